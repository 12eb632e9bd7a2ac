package network

import (
	"net"
	"net/netip"
)

// listener is an open port of a host. Its fields are guarded by the network's
// mutex.
type listener struct {
	host   *Host
	port   int
	queue  []*conn
	closed bool
	wake   chan struct{} // closed and replaced when Accept should look again
}

// Accept waits for the next stream. After Close, and after the host went
// down, it fails with net.ErrClosed.
func (l *listener) Accept() (net.Conn, error) {
	n := l.host.net
	for {
		n.mu.Lock()
		wake, closed := l.wake, l.closed
		var conn *conn
		if !closed && len(l.queue) > 0 {
			conn = l.pop()
		}
		n.mu.Unlock()
		switch {
		case closed:
			return nil, &net.OpError{Op: "accept", Net: "tcp", Addr: l.Addr(), Err: net.ErrClosed}
		case conn != nil:
			return conn, nil
		}
		<-wake
	}
}

// Close closes the port. Streams that nobody accepted are reset, accepted
// ones live on.
func (l *listener) Close() error {
	n := l.host.net
	n.mu.Lock()
	defer n.mu.Unlock()
	if l.closed {
		return &net.OpError{Op: "close", Net: "tcp", Addr: l.Addr(), Err: net.ErrClosed}
	}
	l.close()
	n.broadcast()
	return nil
}

// Addr is the address of the host with the port, a *net.TCPAddr.
func (l *listener) Addr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(l.host.addr, uint16(l.port)))
}

func (l *listener) push(c *conn) {
	l.queue = append(l.queue, c)
	l.broadcast()
}

func (l *listener) pop() *conn {
	c := l.queue[0]
	l.queue = l.queue[1:]
	if len(l.queue) == backlog-1 {
		l.host.net.broadcast()
	}
	return c
}

// close takes the port off its host. Where the host has just gone down the
// resets of waiting streams do not get out.
func (l *listener) close() {
	l.closed = true
	delete(l.host.listeners, l.port)
	if l.host.up {
		for _, c := range l.queue {
			c.s.reset(c)
			delete(l.host.net.streams, c.s.id)
		}
	}
	l.queue = nil
	l.broadcast()
}

func (l *listener) broadcast() {
	close(l.wake)
	l.wake = make(chan struct{})
}
