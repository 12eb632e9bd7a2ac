package network

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"
)

// window is how much a lane holds before its writer has to wait, in bytes.
const window = 64 << 10

// stream is one TCP connection: two ends and a lane in each direction. End 0
// is the one that dialled.
type stream struct {
	id    uint64
	hosts [2]*Host
	ends  [2]*conn

	mu   sync.Mutex // guards what follows, the ends and their lanes; taken after Network.mu
	cut  bool       // the link is cut in one direction or both
	down [2]bool    // the host of this end went down since the stream began
	back [2]bool    // and is up again, knowing nothing of the stream
}

// lane carries the bytes of one direction.
type lane struct {
	buf      []byte
	arrived  int  // how many bytes of buf the reader may have; the rest is on its way
	fin      bool // the writer will write no more
	finSeen  bool // and the reader has been told
	deaf     bool // the reading end is closed
	deafSeen bool // and the writer has been told
	wake     chan struct{}
}

func newLane() *lane { return &lane{wake: make(chan struct{})} }

func (l *lane) broadcast() {
	close(l.wake)
	l.wake = make(chan struct{})
}

// conn is one end of a stream: a net.Conn that can also close its writing
// direction alone.
type conn struct {
	s             *stream
	net           *Network
	end           int // index in s.ends
	local, remote *net.TCPAddr
	in, out       *lane

	// Guarded by s.mu.
	closed        bool
	wasReset      bool
	readDeadline  time.Time
	writeDeadline time.Time
}

func newStream(id uint64, from, to *Host, local, remote netip.AddrPort) *stream {
	s := &stream{id: id, hosts: [2]*Host{from, to}}
	there, back := newLane(), newLane()
	l, r := net.TCPAddrFromAddrPort(local), net.TCPAddrFromAddrPort(remote)
	s.ends[0] = &conn{s: s, net: from.net, end: 0, local: l, remote: r, in: back, out: there}
	s.ends[1] = &conn{s: s, net: from.net, end: 1, local: r, remote: l, in: there, out: back}
	return s
}

func (s *stream) setCut(cut bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cut != cut {
		s.cut = cut
		s.settle()
	}
}

func (s *stream) setUp(h *Host, up bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, host := range s.hosts {
		if host != h {
			continue
		}
		s.down[i] = true // a stream never outlives the host of one of its ends
		s.back[i] = up
	}
	s.settle()
}

// settle moves what can move: bytes, ends of data, and the answer of a host
// that came back and knows nothing of the stream. s.mu is held.
func (s *stream) settle() {
	for _, c := range s.ends {
		peer := s.ends[1-c.end]
		switch {
		case s.cut || s.down[c.end]:
		case !s.down[peer.end]:
			c.out.deliver()
		case s.back[peer.end] && c.out.pending():
			c.wasReset = true
			c.in.broadcast()
			c.out.broadcast()
		}
	}
}

// deliver makes everything that was written readable.
func (l *lane) deliver() {
	l.deafSeen = l.deaf
	if l.deaf {
		l.buf = l.buf[:0]
	}
	l.arrived, l.finSeen = len(l.buf), l.fin
	l.broadcast()
}

// pending tells whether something is on its way.
func (l *lane) pending() bool { return len(l.buf) > l.arrived || l.fin && !l.finSeen }

// reset ends the stream as a host does that has no use for it: the other end
// of c gets ECONNRESET.
func (s *stream) reset(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.closed = true
	s.ends[1-c.end].wasReset = true
	c.in.broadcast()
	c.out.broadcast()
}

// abandon closes both ends, because the network is gone.
func (s *stream) abandon() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.ends {
		c.closed = true
		c.out.broadcast()
	}
}

// Read reads what has arrived, and waits for it until the deadline.
func (c *conn) Read(p []byte) (int, error) {
	for {
		c.s.mu.Lock()
		n, err := c.readArrived(p)
		wake, deadline := c.in.wake, c.readDeadline
		c.s.mu.Unlock()
		if n > 0 || err != nil || len(p) == 0 {
			return n, c.opError("read", err)
		}
		await(wake, deadline)
	}
}

// readArrived reads without waiting; nothing and nil mean wait. s.mu is held.
func (c *conn) readArrived(p []byte) (int, error) {
	switch l := c.in; {
	case c.closed:
		return 0, net.ErrClosed
	case expired(c.readDeadline):
		return 0, os.ErrDeadlineExceeded
	case c.wasReset:
		return 0, os.NewSyscallError("read", syscall.ECONNRESET)
	case l.arrived > 0:
		n := copy(p, l.buf[:l.arrived])
		l.buf = l.buf[:copy(l.buf, l.buf[n:])]
		l.arrived -= n
		l.broadcast()
		return n, nil
	case l.finSeen:
		return 0, io.EOF
	}
	return 0, nil
}

// Write hands all of p to the lane, and waits for room until the deadline.
func (c *conn) Write(p []byte) (int, error) {
	written := 0
	for {
		c.s.mu.Lock()
		n, err := c.writeRoom(p[written:])
		wake, deadline := c.out.wake, c.writeDeadline
		c.s.mu.Unlock()
		written += n
		if err != nil || written == len(p) {
			return written, c.opError("write", err)
		}
		if n == 0 {
			await(wake, deadline)
		}
	}
}

// writeRoom writes as much as there is room for. s.mu is held.
func (c *conn) writeRoom(p []byte) (int, error) {
	l := c.out
	switch {
	case c.closed:
		return 0, net.ErrClosed
	case expired(c.writeDeadline):
		return 0, os.ErrDeadlineExceeded
	case c.wasReset:
		return 0, os.NewSyscallError("write", syscall.ECONNRESET)
	case l.fin || l.deafSeen:
		return 0, os.NewSyscallError("write", syscall.EPIPE)
	}
	n := min(len(p), window-len(l.buf))
	if n > 0 {
		l.buf = append(l.buf, p[:n]...)
		c.s.settle()
	}
	return n, nil
}

// CloseWrite ends the writing direction: the peer reads the rest and then
// io.EOF, and can still write.
func (c *conn) CloseWrite() error {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	if c.closed {
		return c.opError("close", net.ErrClosed)
	}
	c.out.fin = true
	c.s.settle()
	return nil
}

// Close closes this end. The peer reads the rest and then io.EOF; when it
// writes it gets EPIPE.
func (c *conn) Close() error {
	c.s.mu.Lock()
	if c.closed {
		c.s.mu.Unlock()
		return c.opError("close", net.ErrClosed)
	}
	c.closed = true
	c.out.fin, c.in.deaf = true, true
	c.s.settle()
	// A stalled stream did not deliver, but our own calls must still return.
	c.in.broadcast()
	c.out.broadcast()
	both := c.s.ends[1-c.end].closed
	c.s.mu.Unlock()
	if both {
		c.net.forget(c.s)
	}
	return nil
}

// LocalAddr is the address of this end, a *net.TCPAddr.
func (c *conn) LocalAddr() net.Addr { return c.local }

// RemoteAddr is the true address of the other end, a *net.TCPAddr.
func (c *conn) RemoteAddr() net.Addr { return c.remote }

// SetDeadline sets the read and the write deadline.
func (c *conn) SetDeadline(t time.Time) error { return c.setDeadlines(&t, &t) }

// SetReadDeadline sets when Read fails with os.ErrDeadlineExceeded, also one
// that waits already. The zero time means never.
func (c *conn) SetReadDeadline(t time.Time) error { return c.setDeadlines(&t, nil) }

// SetWriteDeadline does for Write what SetReadDeadline does for Read.
func (c *conn) SetWriteDeadline(t time.Time) error { return c.setDeadlines(nil, &t) }

func (c *conn) setDeadlines(read, write *time.Time) error {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	if c.closed {
		return c.opError("set", net.ErrClosed)
	}
	if read != nil {
		c.readDeadline = *read
		c.in.broadcast()
	}
	if write != nil {
		c.writeDeadline = *write
		c.out.broadcast()
	}
	return nil
}

// opError dresses an error as package net does; io.EOF stays naked.
func (c *conn) opError(op string, err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return err
	}
	return &net.OpError{Op: op, Net: "tcp", Source: c.local, Addr: c.remote, Err: err}
}

func expired(deadline time.Time) bool {
	return !deadline.IsZero() && !time.Now().Before(deadline)
}

// await returns when wake is closed or the deadline has come.
func await(wake <-chan struct{}, deadline time.Time) {
	if deadline.IsZero() {
		<-wake
		return
	}
	timer := time.NewTimer(time.Until(deadline))
	defer timer.Stop()
	select {
	case <-wake:
	case <-timer.C:
	}
}
