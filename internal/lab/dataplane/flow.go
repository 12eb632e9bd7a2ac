package dataplane

import (
	"context"
	"encoding/binary"
	"errors"
	"hash/fnv"
	"io"
	"maps"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"tandem/internal/lab/network"
)

// handshake is how long a client waits for an answer before each of its
// SYNs is repeated, and after the last (the habit of Linux: 127 s in all).
var handshake = []time.Duration{
	1 * time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 16 * time.Second, 32 * time.Second, 64 * time.Second,
}

const defaultIdle = 4 * time.Minute

// flow is one connection of a client. The pool (empty for NAT) and the
// backend are known once it is established; they are guarded by DataPath.mu.
type flow struct {
	balancer string
	cancel   context.CancelFunc
	pool     string
	backend  netip.Addr
}

// target is where a new connection goes.
type target struct {
	pool    string // empty for NAT
	address netip.AddrPort
	idle    time.Duration
}

func (d *DataPath) accept(id string, at netip.AddrPort, l net.Listener) {
	for {
		client, err := l.Accept()
		if err != nil {
			return
		}
		ctx, cancel := context.WithCancel(context.Background())
		f := &flow{balancer: id, cancel: cancel}
		n, ok := d.track(f)
		if !ok {
			cancel()
			_ = client.Close()
			return
		}
		d.running.Go(func() {
			defer d.untrack(n)
			defer cancel()
			d.serve(ctx, f, at, client)
		})
	}
}

func (d *DataPath) track(f *flow) (n int, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return 0, false
	}
	d.flowN++
	d.flows[d.flowN] = f
	return d.flowN, true
}

func (d *DataPath) untrack(n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.flows, n)
}

// establish notes where a connection went.
func (d *DataPath) establish(f *flow, t target) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f.pool, f.backend = t.pool, t.address.Addr()
}

// endFlows ends the chosen connections, oldest first; their goroutines
// follow. d.mu is held.
func (d *DataPath) endFlows(chosen func(*flow) bool) {
	for _, n := range slices.Sorted(maps.Keys(d.flows)) {
		if f := d.flows[n]; chosen(f) {
			f.cancel()
		}
	}
}

// serve carries one connection from its first packet to its end. The network
// has completed the client's handshake already; until a backend has taken
// the connection the client hears nothing, which is what a black hole looks
// like from above.
func (d *DataPath) serve(ctx context.Context, f *flow, at netip.AddrPort, client net.Conn) {
	defer func() { _ = client.Close() }()
	early := readEarly(ctx, client)
	server, t, err := d.connect(ctx, early.gone, f, at, client)
	sent, ended := early.stop()
	if err != nil {
		return
	}
	defer func() { _ = server.Close() }()
	d.establish(f, t)
	p := &pipe{client: client, server: server, idle: t.idle}
	p.run(ctx, sent, ended)
}

// errNoBackend ends a connection that found no backend in the time a client
// gives it.
var errNoBackend = errors.New("no backend took the connection")

// connect finds a backend and dials it. As the client would by repeating its
// SYN, it asks again after 1, 3, 7, … seconds, so a connection that began
// just before a failover is carried by the backend that is eligible then.
func (d *DataPath) connect(ctx, gone context.Context, f *flow, at netip.AddrPort, client net.Conn) (net.Conn, target, error) {
	from := client.RemoteAddr().(*net.TCPAddr).AddrPort()
	for i, wait := range handshake {
		if i > 0 { // an end of data after a handshake that took no time is no sign that the client left
			ctx = gone
		}
		attempt, cancel := context.WithTimeout(ctx, wait)
		t, host, ok := d.choose(f.balancer, from, at)
		if !ok {
			<-attempt.Done()
			cancel()
		} else {
			conn, err := host.DialContext(attempt, "tcp", t.address.String())
			cancel()
			if err == nil || errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, net.ErrClosed) {
				return conn, t, err
			}
		}
		if err := ctx.Err(); err != nil {
			return nil, target{}, err
		}
	}
	return nil, target{}, errNoBackend
}

// choose picks the backend of a new connection and the host to dial it from.
func (d *DataPath) choose(id string, from, at netip.AddrPort) (target, *network.Host, bool) {
	d.mu.Lock()
	t, ok := d.targetOf(id, from, at)
	host := d.doors[at.Addr()]
	d.mu.Unlock()
	if d.opts.ClientHost != nil {
		if h := d.opts.ClientHost(from.Addr()); h != nil {
			host = h
		}
	}
	if t.idle <= 0 {
		t.idle = defaultIdle
	}
	return t, host, ok
}

// targetOf finds the rule for a socket and the backend for a client. d.mu is
// held.
func (d *DataPath) targetOf(id string, from, at netip.AddrPort) (target, bool) {
	b := d.balancers[id]
	if b == nil {
		return target{}, false
	}
	here := func(frontend string, port int) bool {
		addr, ok := b.frontend(frontend)
		return ok && netip.AddrPortFrom(addr, uint16(port)) == at
	}
	for _, r := range b.Rules {
		if !here(r.Frontend, r.FrontendPort) {
			continue
		}
		eligible := d.eligible(b, r)
		if len(eligible) == 0 || r.FloatingIP {
			return target{}, false
		}
		chosen := eligible[d.flowHash(r.Distribution, from, at)%uint64(len(eligible))]
		return target{r.Pool, netip.AddrPortFrom(chosen.Address, uint16(r.BackendPort)), r.IdleTimeout}, true
	}
	for _, r := range b.NATRules {
		if here(r.Frontend, r.FrontendPort) && r.Backend.IsValid() {
			return target{address: netip.AddrPortFrom(r.Backend, uint16(r.BackendPort)), idle: r.IdleTimeout}, true
		}
	}
	return target{}, false
}

// flowHash spreads connections. The protocol takes no part, being TCP always.
func (d *DataPath) flowHash(by Distribution, from, at netip.AddrPort) uint64 {
	if by == SourceIP || by == SourceIPProtocol {
		return d.opts.Seed ^ hash(from.Addr().String(), at.Addr().String())
	}
	return d.opts.Seed ^ hash(from.String(), at.String())
}

// hash is FNV-1a with a finishing mix, because the low bits of FNV alone
// follow the last characters too closely to spread consecutive ports.
func hash(parts ...string) uint64 {
	h := fnv.New64a()
	for _, p := range parts {
		var n [4]byte
		binary.BigEndian.PutUint32(n[:], uint32(len(p)))
		_, _ = h.Write(n[:])
		_, _ = io.WriteString(h, p)
	}
	x := h.Sum64()
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	return x
}

// early keeps what a client sends before a backend has taken its connection,
// and notices when it leaves.
type early struct {
	client net.Conn
	gone   context.Context // ends when the client ended its side, or with the flow
	done   chan struct{}
	buf    []byte // what follows belongs to the goroutine until done
	ended  bool
}

// chunkSize is how much is carried at once, in bytes. Most connections of a
// world are one short request each, and larger chunks were more than half of
// all that a story allocated.
const chunkSize = 4 << 10

// maxEarly bounds what is kept of a client that is not served yet, in bytes.
const maxEarly = 64 << 10

func readEarly(ctx context.Context, client net.Conn) *early {
	gone, leave := context.WithCancel(ctx)
	e := &early{client: client, gone: gone, done: make(chan struct{})}
	go e.read(leave)
	return e
}

func (e *early) read(leave context.CancelFunc) {
	defer close(e.done)
	chunk := make([]byte, chunkSize)
	for len(e.buf) < maxEarly {
		n, err := e.client.Read(chunk)
		e.buf = append(e.buf, chunk[:n]...)
		if errors.Is(err, os.ErrDeadlineExceeded) { // stop
			return
		}
		if err != nil {
			e.ended = true
			leave()
			return
		}
	}
}

// stop hands over what was read, and whether that was all.
func (e *early) stop() (sent []byte, ended bool) {
	_ = e.client.SetReadDeadline(time.Unix(1, 0))
	<-e.done
	_ = e.client.SetReadDeadline(time.Time{})
	return e.buf, e.ended
}

// pipe joins a client and a backend until both are done, one fails, or
// neither says anything for the idle time.
type pipe struct {
	client, server net.Conn
	idle           time.Duration
	active         atomic.Int64 // when something was last said, in Unix nanoseconds
}

func (p *pipe) run(ctx context.Context, sent []byte, ended bool) {
	p.touch()
	defer context.AfterFunc(ctx, p.close)()
	var back sync.WaitGroup
	back.Go(func() { p.copy(p.client, p.server) })
	if _, err := p.server.Write(sent); err != nil {
		p.close()
	} else if ended {
		endWriting(p.server)
	} else {
		p.copy(p.server, p.client)
	}
	back.Wait()
}

func (p *pipe) touch() { p.active.Store(time.Now().UnixNano()) }

func (p *pipe) close() {
	_ = p.client.Close()
	_ = p.server.Close()
}

// copy carries one direction, and passes its end on as such.
func (p *pipe) copy(to, from net.Conn) {
	chunk := make([]byte, chunkSize)
	for {
		_ = from.SetReadDeadline(time.Now().Add(p.idle))
		n, err := from.Read(chunk)
		if n > 0 {
			p.touch()
			_ = to.SetWriteDeadline(time.Now().Add(p.idle))
			if _, werr := to.Write(chunk[:n]); werr != nil {
				p.close()
				return
			}
		}
		switch {
		case err == nil:
		case errors.Is(err, io.EOF):
			endWriting(to)
			return
		case errors.Is(err, os.ErrDeadlineExceeded) && time.Since(time.Unix(0, p.active.Load())) < p.idle:
			// The other direction has been busy.
		default:
			p.close()
			return
		}
	}
}

// endWriting closes the writing direction alone where that is possible.
func endWriting(c net.Conn) {
	if half, ok := c.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
		return
	}
	_ = c.Close()
}
