package network

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// This file lets unmodified programs reach the network over real sockets. It
// is therefore not for use inside a testing/synctest bubble.

// dialTimeout ends a dial from outside that nobody answers, as the kernel of
// an outside program would not do for minutes.
const dialTimeout = 30 * time.Second

// acceptPause is the time before Accept is tried again after a failure.
const acceptPause = 100 * time.Millisecond

// ServeProxy serves an HTTP proxy on a real listener: CONNECT tunnels and
// absolute-form requests (RFC 9112 section 3.2.2), dialled inside the network
// as the host via. A host that refuses gives 502, one that is silent for 30
// seconds 504. ServeProxy returns nil when ctx or the network ends, after
// all that it started has ended, and otherwise the error of the listener. It
// closes l.
func (n *Network) ServeProxy(ctx context.Context, l net.Listener, via *Host) error {
	ctx, end, err := n.startOutside(ctx)
	if err != nil {
		return errors.Join(fmt.Errorf("serve proxy on %s: %w", l.Addr(), err), l.Close())
	}
	defer end()
	p := newProxy(via)
	defer p.transport.CloseIdleConnections()
	server := &http.Server{
		Handler:           p,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ConnState:         p.count,
		ReadHeaderTimeout: dialTimeout,
		ErrorLog:          log.New(io.Discard, "", 0), // a broken client is its own business
	}
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(ended)
		_ = server.Close()
	})
	err = server.Serve(l)
	if !stop() {
		<-ended
	}
	if ctx.Err() == nil {
		end()
		err = errors.Join(fmt.Errorf("serve proxy on %s: %w", l.Addr(), err), server.Close())
	} else {
		err = nil
	}
	p.running.Wait()
	return err
}

// startOutside gives a context that ends with ctx and with the network, which
// waits for the returned function. That function may be called repeatedly.
func (n *Network) startOutside(ctx context.Context) (context.Context, func(), error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return nil, nil, net.ErrClosed
	}
	ctx, cancel := context.WithCancel(ctx)
	n.outside.Go(func() {
		select {
		case <-n.done:
			cancel()
		case <-ctx.Done():
		}
	})
	n.outside.Add(1)
	done := sync.OnceFunc(n.outside.Done)
	return ctx, func() { cancel(); done() }, nil
}

// proxy is the handler of ServeProxy.
type proxy struct {
	via       *Host
	transport *http.Transport
	forward   *httputil.ReverseProxy
	running   sync.WaitGroup // connections of the server, and tunnels
}

func newProxy(via *Host) *proxy {
	p := &proxy{via: via}
	p.transport = &http.Transport{DialContext: p.dial, DisableCompression: true}
	p.forward = &httputil.ReverseProxy{
		Rewrite:       func(*httputil.ProxyRequest) {}, // the request line has it all
		Transport:     p.transport,
		FlushInterval: -1,
		ErrorHandler:  func(w http.ResponseWriter, _ *http.Request, err error) { refuse(w, err) },
		ErrorLog:      log.New(io.Discard, "", 0),
	}
	return p
}

func (p *proxy) dial(ctx context.Context, network, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	return p.via.DialContext(ctx, network, address)
}

// ServeHTTP serves one tunnel or one request.
func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.Method == http.MethodConnect:
		p.tunnel(w, r)
	case r.URL.IsAbs():
		p.forward.ServeHTTP(w, r)
	default:
		http.Error(w, "this is a proxy: send CONNECT or an absolute URL", http.StatusBadRequest)
	}
}

// count follows the server's connections. It learns of a new one before the
// server starts a goroutine for it, and of its end when that is all but over.
func (p *proxy) count(_ net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		p.running.Add(1)
	case http.StateClosed, http.StateHijacked:
		p.running.Done()
	case http.StateActive, http.StateIdle:
	}
}

func (p *proxy) tunnel(w http.ResponseWriter, r *http.Request) {
	inside, err := p.dial(r.Context(), "tcp", r.Host)
	if err != nil {
		refuse(w, err)
		return
	}
	p.running.Add(1) // a hijacked connection is no longer counted
	defer p.running.Done()
	outside, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		_ = inside.Close()
		refuse(w, err)
		return
	}
	_ = outside.SetDeadline(time.Time{})
	if _, err := io.WriteString(outside, "HTTP/1.1 200 Connection established\r\n\r\n"); err != nil {
		_ = inside.Close()
		_ = outside.Close()
		return
	}
	// What was read ahead comes first. The rest must not go through the
	// server's reader: at the end of the data it would end r.Context, and a
	// half-closed tunnel with it.
	ahead := io.LimitReader(buffered.Reader, int64(buffered.Reader.Buffered()))
	pass(r.Context(), readerConn{outside, io.MultiReader(ahead, outside)}, inside)
}

// refuse answers a dial that failed.
func refuse(w http.ResponseWriter, err error) {
	status := http.StatusBadGateway
	if errors.Is(err, context.DeadlineExceeded) {
		status = http.StatusGatewayTimeout
	}
	http.Error(w, err.Error(), status)
}

// readerConn is a connection of which some bytes were read ahead.
type readerConn struct {
	net.Conn
	r io.Reader
}

func (c readerConn) Read(p []byte) (int, error) { return c.r.Read(p) }

func (c readerConn) CloseWrite() error { return closeWrite(c.Conn) }

// pass copies both ways between two connections, passing the end of one
// direction on as such, until both have ended, one has failed or ctx ends. It
// closes both.
func pass(ctx context.Context, a, b net.Conn) {
	closeBoth := sync.OnceFunc(func() {
		_ = a.Close()
		_ = b.Close()
	})
	defer closeBoth()
	defer context.AfterFunc(ctx, closeBoth)()
	oneWay := func(to, from net.Conn) {
		_, err := io.Copy(to, from)
		if err == nil {
			err = closeWrite(to)
		}
		if err != nil {
			closeBoth()
		}
	}
	var back sync.WaitGroup
	back.Go(func() { oneWay(a, b) })
	oneWay(b, a)
	back.Wait()
}

func closeWrite(c net.Conn) error {
	if half, ok := c.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return c.Close()
}

// Binding is one line of the map that Bind makes.
type Binding struct {
	Name      string         // of the host
	Simulated netip.AddrPort // inside the network
	Loopback  netip.AddrPort // where programs outside reach it
}

// outsideName and outsideAddr belong to the host that bound connections come
// from; the address is of TEST-NET-3 (RFC 5737), so no pair file has it.
const outsideName = "outside"

var outsideAddr = netip.AddrFrom4([4]byte{203, 0, 113, 250})

// Bind gives every listening port of the network a loopback address of its
// own, for programs that know no proxy: the first host by address is
// 127.0.10.1, the second 127.0.10.2 and so on, later ones continue; the port
// stays the same. listen opens the real socket, normally
// (&net.ListenConfig{}).Listen bound to ctx, or net.Listen. Connections come
// from a host named "outside" that is attached for this.
//
// Ports that open later appear, and ports that close, as those of a unit that
// reboots, refuse until they are open again. The map that is returned, sorted
// by Simulated, is that of the beginning. A port that cannot be opened then
// is an error that says what to do about it and undoes the rest; later
// failures are tried again every second. All ends with ctx or the network.
func (n *Network) Bind(ctx context.Context, listen func(network, address string) (net.Listener, error)) ([]Binding, error) {
	ctx, end, err := n.startOutside(ctx)
	if err != nil {
		return nil, fmt.Errorf("bind the network to loopback addresses: %w", err)
	}
	via, err := n.outsideHost()
	if err != nil {
		end()
		return nil, fmt.Errorf("bind the network to loopback addresses: %w", err)
	}
	b := &binder{net: n, via: via, listen: listen, loopback: map[netip.Addr]netip.Addr{}, open: map[netip.AddrPort]net.Listener{}}
	want, changed := b.wanted()
	if err := b.update(ctx, want); err != nil {
		b.closeAll()
		end()
		b.running.Wait()
		return nil, err
	}
	bindings := make([]Binding, 0, len(want))
	for _, w := range want {
		bindings = append(bindings, Binding{Name: w.name, Simulated: w.at, Loopback: b.address(w.at)})
	}
	go func() {
		defer end()
		b.follow(ctx, changed)
	}()
	return bindings, nil
}

// outsideHost finds or attaches the host that bound connections come from.
func (n *Network) outsideHost() (*Host, error) {
	n.mu.Lock()
	h := n.hosts[outsideAddr]
	n.mu.Unlock()
	if h != nil && h.name == outsideName {
		return h, nil
	}
	return n.Attach(outsideName, outsideAddr)
}

// binder keeps the real listeners of one Bind equal to the simulated ones.
// Only one goroutine at a time uses its fields.
type binder struct {
	net      *Network
	via      *Host
	listen   func(network, address string) (net.Listener, error)
	loopback map[netip.Addr]netip.Addr
	open     map[netip.AddrPort]net.Listener
	running  sync.WaitGroup // the accepting goroutines and their connections
}

// wantedPort is a simulated port that is open.
type wantedPort struct {
	name string
	at   netip.AddrPort
}

// wanted lists the open ports, sorted, and a channel that is closed when the
// list may have changed. It hands out the loopback addresses.
func (b *binder) wanted() ([]wantedPort, <-chan struct{}) {
	b.net.mu.Lock()
	defer b.net.mu.Unlock()
	var want []wantedPort
	for _, h := range b.net.hostsInOrder() {
		if h == b.via {
			continue
		}
		if _, known := b.loopback[h.addr]; !known {
			i := len(b.loopback)
			b.loopback[h.addr] = netip.AddrFrom4([4]byte{127, 0, byte(10 + i/254), byte(1 + i%254)})
		}
		for port := range h.listeners {
			want = append(want, wantedPort{h.name, netip.AddrPortFrom(h.addr, uint16(port))})
		}
	}
	slices.SortFunc(want, func(x, y wantedPort) int {
		return cmp.Or(x.at.Addr().Compare(y.at.Addr()), cmp.Compare(x.at.Port(), y.at.Port()))
	})
	return want, b.net.changed
}

func (b *binder) address(simulated netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(b.loopback[simulated.Addr()], simulated.Port())
}

// update opens and closes listeners until they are the wanted ones. It goes
// on after an error and returns all of them.
func (b *binder) update(ctx context.Context, want []wantedPort) error {
	keep := map[netip.AddrPort]bool{}
	var errs []error
	for _, w := range want {
		keep[w.at] = true
		if b.open[w.at] == nil {
			errs = append(errs, b.openPort(ctx, w))
		}
	}
	for at, l := range b.open {
		if !keep[at] {
			_ = l.Close()
			delete(b.open, at)
		}
	}
	return errors.Join(errs...)
}

func (b *binder) openPort(ctx context.Context, w wantedPort) error {
	address := b.address(w.at)
	l, err := b.listen("tcp", address.String())
	if err != nil {
		return fmt.Errorf("bind %s of %s to %s: %w%s", w.at, w.name, address, err, advice(err, w.at.Port()))
	}
	b.open[w.at] = l
	b.running.Go(func() { b.accept(ctx, l, w.at) })
	return nil
}

// advice says what a person can do about a port that cannot be opened.
func advice(err error, port uint16) string {
	switch {
	case errors.Is(err, syscall.EACCES) && port < 1024:
		return "; ports below 1024 need root or the capability net_bind_service: run as root, use the proxy instead, " +
			"or lower net.ipv4.ip_unprivileged_port_start to " + strconv.Itoa(int(port))
	case errors.Is(err, syscall.EADDRINUSE):
		return "; another program, perhaps another lab, has this port: stop it, or use the proxy instead"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return "; this system has only 127.0.0.1: add the address to its loopback interface, or use the proxy instead"
	}
	return ""
}

// accept pipes the connections of one port into the network until the port
// is closed. It outlives passing failures, such as too many open files.
func (b *binder) accept(ctx context.Context, l net.Listener, to netip.AddrPort) {
	for {
		outside, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			select {
			case <-ctx.Done():
				return
			case <-time.After(acceptPause):
				continue
			}
		}
		b.running.Go(func() { b.pipe(ctx, outside, to) })
	}
}

func (b *binder) pipe(ctx context.Context, outside net.Conn, to netip.AddrPort) {
	dialCtx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	inside, err := b.via.DialContext(dialCtx, "tcp", to.String())
	if err != nil {
		if tcp, ok := outside.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // the client sees a reset, not an empty answer
		}
		_ = outside.Close()
		return
	}
	pass(ctx, outside, inside)
}

// follow keeps the listeners up to date until ctx ends, then closes them and
// waits for everything.
func (b *binder) follow(ctx context.Context, changed <-chan struct{}) {
	defer b.running.Wait()
	defer b.closeAll()
	retry := time.NewTicker(time.Second)
	defer retry.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-retry.C:
		}
		var want []wantedPort
		want, changed = b.wanted()
		_ = b.update(ctx, want) // tried again at the next tick
	}
}

func (b *binder) closeAll() {
	for _, l := range b.open {
		_ = l.Close()
	}
}
