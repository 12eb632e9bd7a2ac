// Package network is the in-memory IP network of the lab: hosts with the
// addresses of the pair file, TCP streams between them, and the faults on the
// way (cut links, security rules, dead hosts).
//
// It needs no privilege and no free port, and it blocks only on channels and
// timers, so it runs in real time and inside a testing/synctest bubble alike.
// What the hosts do with their streams is left to the packages beside it;
// outside.go lets programs that know nothing of the lab reach in.
package network

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// Options configure a Network. The zero value is ready for use.
type Options struct {
	// Seed chooses the first ephemeral port of every host; equal seeds give
	// equal ports. Streams have no latency: what is written has arrived.
	Seed uint64
}

const (
	firstEphemeralPort = 49152
	lastEphemeralPort  = 65535
	// backlog is how many connections a listener keeps until they are
	// accepted. Further dials wait, as they do where a kernel drops their SYN.
	backlog = 128
)

// Network is an in-memory IP network: hosts with addresses, TCP streams
// between them, faults on the way. Its methods may be called at any time from
// any goroutine.
type Network struct {
	seed    uint64
	done    chan struct{}  // closed by Close
	outside sync.WaitGroup // what Bind and ServeProxy started

	mu      sync.Mutex // guards what follows, and the hosts and listeners
	closed  bool
	changed chan struct{} // closed and replaced whenever a waiting dial should look again
	hosts   map[netip.Addr]*Host
	names   map[string]netip.Addr
	cuts    map[link]bool
	rules   map[rule]bool // those that drop
	filter  Filter        // of new streams; nil for none
	streams map[uint64]*stream
	streamN uint64
}

// link is one direction between two addresses.
type link struct{ from, to netip.Addr }

// rule is what a rule of a security group is about: new streams in one
// direction, to one port or to all (0).
type rule struct {
	link
	port int
}

// New returns an empty network.
func New(opts Options) *Network {
	return &Network{
		seed:    opts.Seed,
		done:    make(chan struct{}),
		changed: make(chan struct{}),
		hosts:   map[netip.Addr]*Host{},
		names:   map[string]netip.Addr{},
		cuts:    map[link]bool{},
		rules:   map[rule]bool{},
		streams: map[uint64]*stream{},
	}
}

// Host is one machine on the network, with one address.
type Host struct {
	net  *Network
	name string
	addr netip.Addr

	// Guarded by net.mu.
	up        bool
	listeners map[int]*listener
	nextPort  int
}

// Host attaches a host that is up and has no listener. It panics when the
// address is invalid or taken, since that is an error of the program that
// builds the world.
func (n *Network) Host(name string, addr netip.Addr) *Host {
	h, err := n.Attach(name, addr)
	if err != nil {
		panic(err)
	}
	return h
}

// Attach is Host for an address that comes from a document or a person, who may
// have chosen one that is taken: it fails then.
func (n *Network) Attach(name string, addr netip.Addr) (*Host, error) {
	addr = addr.Unmap()
	if !addr.IsValid() {
		return nil, fmt.Errorf("attach host %s: it has no address", name)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if other, taken := n.hosts[addr]; taken {
		return nil, fmt.Errorf("attach host %s: address %s is taken by %s", name, addr, other.name)
	}
	h := &Host{net: n, name: name, addr: addr, up: true, listeners: map[int]*listener{}}
	h.nextPort = firstEphemeralPort + n.rand(addr).IntN(lastEphemeralPort-firstEphemeralPort)
	n.hosts[addr] = h
	n.broadcast()
	return h, nil
}

// rand returns the random stream of the host with an address; it does not
// depend on the order in which hosts are attached.
func (n *Network) rand(addr netip.Addr) *rand.Rand {
	b := addr.As16()
	return rand.New(rand.NewPCG(n.seed^binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])))
}

// Name makes a DNS name resolve to an address for every host. A later call
// for the same name replaces the address.
func (n *Network) Name(dns string, addr netip.Addr) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.names[canonicalName(dns)] = addr.Unmap()
	n.broadcast()
}

func canonicalName(dns string) string {
	return strings.ToLower(strings.TrimSuffix(dns, "."))
}

// Cut drops the packets that go from one address to another, in this
// direction only. TCP needs both: dials between the two hang until their
// context ends, whoever makes them, and established streams stall.
func (n *Network) Cut(from, to netip.Addr) { n.setCut(from, to, true) }

// Restore undoes Cut. Stalled streams carry on where they stopped, as TCP
// does when its retransmissions get through.
func (n *Network) Restore(from, to netip.Addr) { n.setCut(from, to, false) }

func (n *Network) setCut(from, to netip.Addr, cut bool) {
	from, to = from.Unmap(), to.Unmap()
	n.mu.Lock()
	defer n.mu.Unlock()
	if cut {
		n.cuts[link{from, to}] = true
	} else {
		delete(n.cuts, link{from, to})
	}
	for _, s := range n.streamsInOrder() {
		s.setCut(n.isCut(s.hosts[0].addr, s.hosts[1].addr))
	}
	n.broadcast()
}

// isCut tells whether TCP cannot work between two addresses. n.mu is held.
func (n *Network) isCut(a, b netip.Addr) bool {
	return n.cuts[link{a, b}] || n.cuts[link{b, a}]
}

// Block drops the packets that would open a stream from one address to a port
// of another, or to any port with port 0, as a rule of a security group does:
// it is stateful, so established streams go on, and so do new ones the other
// way (azure.md 2). Dials hang until the rule is lifted or their context ends.
func (n *Network) Block(from, to netip.Addr, port int) { n.setRule(from, to, port, true) }

// Unblock lifts the rule that Block has made with the same arguments; others
// stay.
func (n *Network) Unblock(from, to netip.Addr, port int) { n.setRule(from, to, port, false) }

func (n *Network) setRule(from, to netip.Addr, port int, drops bool) {
	r := rule{link{from.Unmap(), to.Unmap()}, port}
	n.mu.Lock()
	defer n.mu.Unlock()
	if drops {
		n.rules[r] = true
	} else {
		delete(n.rules, r)
	}
	n.broadcast()
}

// isBlocked tells whether a rule or the filter keeps new streams from a port.
// The filter is part of the simulated world, so those who reach in by Bind are
// none of its business. n.mu is held.
func (n *Network) isBlocked(from, to netip.AddrPort) bool {
	way := link{from.Addr(), to.Addr()}
	if n.rules[rule{way, 0}] || n.rules[rule{way, int(to.Port())}] {
		return true
	}
	return n.filter != nil && from.Addr() != outsideAddr && !n.filter(from, to)
}

// streamsInOrder returns the streams oldest first, so that what wakes up
// never depends on the order of a map. n.mu is held.
func (n *Network) streamsInOrder() []*stream {
	return slices.SortedFunc(maps.Values(n.streams), func(a, b *stream) int { return cmp.Compare(a.id, b.id) })
}

// broadcast lets everybody who waits for the network look again. n.mu is held.
func (n *Network) broadcast() {
	close(n.changed)
	n.changed = make(chan struct{})
}

// Close closes every listener and every stream, ends what Bind and ServeProxy
// started, and waits for it. Later dials and listens fail with net.ErrClosed.
func (n *Network) Close() {
	n.mu.Lock()
	if !n.closed {
		n.closed = true
		close(n.done)
		for _, h := range n.hostsInOrder() {
			h.closeListeners()
		}
		for _, s := range n.streamsInOrder() {
			s.abandon()
		}
		clear(n.streams)
		n.broadcast()
	}
	n.mu.Unlock()
	n.outside.Wait()
}

// hostsInOrder returns the hosts by address. n.mu is held.
func (n *Network) hostsInOrder() []*Host {
	return slices.SortedFunc(maps.Values(n.hosts), func(a, b *Host) int { return a.addr.Compare(b.addr) })
}

// Addr is the address of the host.
func (h *Host) Addr() netip.Addr { return h.addr }

// Name is the name that Network.Host was given; it takes no part in name
// resolution.
func (h *Host) Name() string { return h.name }

// SetUp switches the host. Going down closes its listeners without a word,
// and its streams fall silent: both ends block until their deadline or Close.
// Up again it is a fresh host without listeners; a peer that still writes to
// a stream from before is told so by ECONNRESET.
func (h *Host) SetUp(up bool) {
	n := h.net
	n.mu.Lock()
	defer n.mu.Unlock()
	if h.up == up {
		return
	}
	h.up = up
	if !up {
		h.closeListeners()
	}
	for _, s := range n.streamsInOrder() {
		s.setUp(h, up)
	}
	n.broadcast()
}

// closeListeners closes the listeners by port. net.mu is held.
func (h *Host) closeListeners() {
	for _, port := range slices.Sorted(maps.Keys(h.listeners)) {
		h.listeners[port].close()
	}
}

// Listen opens a TCP port on the host; port 0 chooses a free one. It fails
// with EADDRINUSE when the port is taken, with ENETDOWN when the host is down
// and with net.ErrClosed when the network is closed.
func (h *Host) Listen(port int) (net.Listener, error) {
	n := h.net
	n.mu.Lock()
	defer n.mu.Unlock()
	if port == 0 {
		for port = h.ephemeralPort(); h.listeners[port] != nil; port = h.ephemeralPort() {
		}
	}
	l := &listener{host: h, port: port, wake: make(chan struct{})}
	if err := h.checkListen(port); err != nil {
		return nil, &net.OpError{Op: "listen", Net: "tcp", Addr: l.Addr(), Err: err}
	}
	h.listeners[port] = l
	n.broadcast()
	return l, nil
}

// checkListen says why the port cannot be opened. net.mu is held.
func (h *Host) checkListen(port int) error {
	switch {
	case h.net.closed:
		return net.ErrClosed
	case !h.up:
		return os.NewSyscallError("bind", syscall.ENETDOWN)
	case port < 1 || port > 65535:
		return &net.AddrError{Err: "invalid port", Addr: strconv.Itoa(port)}
	case h.listeners[port] != nil:
		return os.NewSyscallError("bind", syscall.EADDRINUSE)
	}
	return nil
}

// ephemeralPort returns the next source port. Ports come round again after
// 16,384 streams, which does no harm: nothing finds a stream by its port.
// net.mu is held.
func (h *Host) ephemeralPort() int {
	port := h.nextPort
	h.nextPort++
	if h.nextPort > lastEphemeralPort {
		h.nextPort = firstEphemeralPort
	}
	return port
}

// DialContext opens a stream from this host to host:port, where the host is
// an address or a name of the network; it fits http.Transport.DialContext.
// An up host that does not listen refuses at once (ECONNREFUSED). A host that
// is down, an address nobody has, a cut link, a rule of Block and the filter
// make it hang until that is over or ctx ends. All errors are *net.OpError.
func (h *Host) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	conn, remote, err := h.dial(ctx, network, address)
	if err != nil {
		op := &net.OpError{Op: "dial", Net: network, Source: &net.TCPAddr{IP: h.addr.AsSlice()}, Err: err}
		if remote.IsValid() {
			op.Addr = net.TCPAddrFromAddrPort(remote)
		}
		return nil, op
	}
	return conn, nil
}

func (h *Host) dial(ctx context.Context, network, address string) (net.Conn, netip.AddrPort, error) {
	if network != "tcp" && network != "tcp4" && network != "tcp6" {
		return nil, netip.AddrPort{}, net.UnknownNetworkError(network)
	}
	name, port, err := splitAddress(address)
	if err != nil {
		return nil, netip.AddrPort{}, err
	}
	var remote netip.AddrPort
	for {
		if err := ctx.Err(); err != nil {
			return nil, remote, err
		}
		h.net.mu.Lock()
		changed := h.net.changed
		var conn *conn
		addr, err := h.net.resolve(name)
		if err == nil {
			remote = netip.AddrPortFrom(addr, port)
			conn, err = h.connect(remote)
		}
		h.net.mu.Unlock()
		if !errors.Is(err, errNoAnswer) {
			if err != nil {
				return nil, remote, err
			}
			return conn, remote, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
}

// errNoAnswer stands for packets that get lost: it never leaves the package.
var errNoAnswer = errors.New("no answer")

// connect makes the stream if everything on the way allows it now. net.mu is
// held.
func (h *Host) connect(remote netip.AddrPort) (*conn, error) {
	n := h.net
	if n.closed {
		return nil, net.ErrClosed
	}
	peer := n.hosts[remote.Addr()]
	local := netip.AddrPortFrom(h.addr, uint16(h.nextPort))
	if peer == nil || !h.up || !peer.up || n.isCut(h.addr, peer.addr) || n.isBlocked(local, remote) {
		return nil, errNoAnswer
	}
	l := peer.listeners[int(remote.Port())]
	if l == nil {
		return nil, os.NewSyscallError("connect", syscall.ECONNREFUSED)
	}
	if len(l.queue) >= backlog {
		return nil, errNoAnswer
	}
	n.streamN++
	s := newStream(n.streamN, h, peer, netip.AddrPortFrom(h.addr, uint16(h.ephemeralPort())), remote)
	n.streams[s.id] = s
	l.push(s.ends[1])
	return s.ends[0], nil
}

func splitAddress(address string) (host string, port uint16, err error) {
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		return "", 0, err
	}
	number, err := strconv.ParseUint(text, 10, 16)
	if err != nil || number == 0 {
		return "", 0, &net.AddrError{Err: "invalid port", Addr: address}
	}
	return host, uint16(number), nil
}

// resolve turns an address or a name into an address. n.mu is held.
func (n *Network) resolve(host string) (netip.Addr, error) {
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.Unmap(), nil
	}
	addr, ok := n.names[canonicalName(host)]
	if !ok {
		return netip.Addr{}, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	return addr, nil
}

// forget drops a stream both ends of which are closed.
func (n *Network) forget(s *stream) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.streams, s.id)
}
