// Package dataplane is the data path of the simulated Azure load balancer: it
// probes the backends from 168.63.129.16, keeps the verdicts, carries the
// connections of clients from the frontends to the backends, and lets security
// groups decide about them.
//
// What is wanted comes from the package beside it that plays Resource
// Manager; this one knows resource ids, but no JSON and no HTTP interface.
package dataplane

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"tandem/internal/lab/network"
)

// ProbeSource is the address that all probes come from (azure.md 1.4).
var ProbeSource = netip.AddrFrom4([4]byte{168, 63, 129, 16})

// Options configure a DataPath. The zero value is the documented behaviour.
type Options struct {
	// Seed chooses which backend a connection goes to, and when within its
	// interval each probe runs.
	Seed uint64
	// Phase is added to the start of every probe, so that no timer of another
	// actor fires in the same instant: whole microseconds, distinct for each
	// actor. Probers stay apart from each other by nanoseconds.
	Phase time.Duration
	// DownResetsConnections makes the admin state Down close established
	// connections, as the API description says. The documentation, and so the
	// default, is that they persist (azure.md 1.5).
	DownResetsConnections bool
	// Flapping slows the readmission of backends that keep falling.
	Flapping Flapping
	// ClientHost finds the host of a client, so that backends see the address
	// of the client as they do on Azure. Nil, or a nil answer, means that they
	// see the address of the frontend. It must not block.
	ClientHost func(netip.Addr) *network.Host
	// ProbeInVirtualNetwork makes the service tag VirtualNetwork hold the
	// probe's source as well. azure.md 2 names only AzureLoadBalancer for it,
	// while the tag is said to hold "the virtual IP address of the host", which
	// is the same address.
	ProbeInVirtualNetwork bool
}

// Flapping is the penalty for backends that keep falling. That there is one
// is documented ("the platform waits longer before marking up", azure.md
// 1.4); these parameters are our own: the nth fall within Window asks for
// Threshold·2^(n-Free) successes in a row instead of Threshold, where n > Free.
type Flapping struct {
	Window       time.Duration // zero means 10 min
	Free         int           // falls without a penalty; zero means 1
	MaxSuccesses int           // the most that is asked for; zero means 24
}

func (f Flapping) withDefaults() Flapping {
	if f.Window <= 0 {
		f.Window = 10 * time.Minute
	}
	if f.Free <= 0 {
		f.Free = 1
	}
	if f.MaxSuccesses <= 0 {
		f.MaxSuccesses = 24
	}
	return f
}

// DataPath carries the traffic of all load balancers of a world. Its methods
// may be called at any time from any goroutine, and return at once; only
// Close waits.
type DataPath struct {
	net    *network.Network
	opts   Options
	log    func(event string)
	source *network.Host

	running sync.WaitGroup // probers, accept loops and connections

	mu        sync.Mutex // guards what follows, and the balancers, probers and flows
	closed    bool
	order     []string // the ids of balancers, oldest first
	balancers map[string]*balancer
	doors     map[netip.Addr]*network.Host // every frontend address that was ever used
	stopped   map[netip.Addr]bool
	started   int // probers so far
	flows     map[int]*flow
	flowN     int
}

// balancer is one load balancer at work.
type balancer struct {
	LoadBalancer
	listeners map[netip.AddrPort]net.Listener
	probers   map[probeKey]*prober
	minutes   []minute // of its metric, oldest first
}

// New attaches the probe source to the network and returns a data path
// without load balancers. It panics when the network has a host with that
// address already. The log, which may be nil, gets a sentence about each
// change of where new connections go; it must not block.
func New(net *network.Network, opts Options, log func(event string)) *DataPath {
	if log == nil {
		log = func(string) {}
	}
	opts.Flapping = opts.Flapping.withDefaults()
	return &DataPath{
		net:       net,
		opts:      opts,
		log:       log,
		source:    net.Host("azure-probe", ProbeSource),
		balancers: map[string]*balancer{},
		doors:     map[netip.Addr]*network.Host{},
		stopped:   map[netip.Addr]bool{},
		flows:     map[int]*flow{},
	}
}

// Apply makes a configuration effective at once. Probing goes on where
// nothing changed; a backend or probe that is new has not been probed yet; a
// probe that asks something else than before keeps the old verdict until it
// has reached its own. Established connections are left alone, whatever
// changes, unless DownResetsConnections says otherwise. The data path owns
// the frontend addresses and attaches their hosts itself; where the network has
// another host, the log says so and nobody is served there.
func (d *DataPath) Apply(lb LoadBalancer) {
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		return
	}
	b := d.balancers[lb.ID]
	if b == nil {
		b = &balancer{listeners: map[netip.AddrPort]net.Listener{}, probers: map[probeKey]*prober{}}
		d.balancers[lb.ID] = b
		d.order = append(d.order, lb.ID)
	}
	old := b.LoadBalancer
	b.LoadBalancer = lb.clone()
	events := d.updateListeners(b)
	d.updateProbers(b)
	events = append(events, d.adminChanges(b, old)...)
	d.mu.Unlock()
	d.tell(events)
}

// Remove takes a load balancer away: its frontends fall silent and its
// connections end.
func (d *DataPath) Remove(id string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	b := d.balancers[id]
	if b == nil {
		return
	}
	b.LoadBalancer = LoadBalancer{ID: id}
	d.updateProbers(b)
	d.updateListeners(b)
	delete(d.balancers, id)
	d.order = slices.DeleteFunc(d.order, func(other string) bool { return other == id })
	d.endFlows(func(f *flow) bool { return f.balancer == id })
}

// VMStopped says whether the machine with an address is stopped. A stopped
// machine is not probed, gets no new connections unless its admin state is
// Up, and shows an empty health. Once started again it counts as not probed
// yet, and its first success marks it up (azure.md 1.4).
func (d *DataPath) VMStopped(addr netip.Addr, stopped bool) {
	addr = addr.Unmap()
	d.mu.Lock()
	if d.stopped[addr] == stopped {
		d.mu.Unlock()
		return
	}
	d.stopped[addr] = stopped
	var events []string
	for _, id := range d.order {
		b := d.balancers[id]
		for _, key := range b.probeKeys() {
			if key.address != addr {
				continue
			}
			p := b.probers[key]
			served := p.verdict == up
			p.forget()
			if served && stopped {
				events = append(events, d.sentence(b, p, "stopped"))
			}
		}
	}
	d.mu.Unlock()
	d.tell(events)
}

// Close ends all probing, listening and connections, and waits for it. Later
// calls of Apply do nothing.
func (d *DataPath) Close() {
	d.mu.Lock()
	d.closed = true
	for _, id := range d.order {
		b := d.balancers[id]
		b.LoadBalancer = LoadBalancer{ID: id}
		d.updateProbers(b)
		d.updateListeners(b)
	}
	d.endFlows(func(*flow) bool { return true })
	d.mu.Unlock()
	d.running.Wait()
}

func (d *DataPath) tell(events []string) {
	for _, e := range events {
		d.log(e)
	}
}

// updateListeners opens and closes ports until they are the wanted ones, and
// returns what went wrong. d.mu is held.
func (d *DataPath) updateListeners(b *balancer) (events []string) {
	want := b.sockets()
	for at, l := range b.listeners {
		if !slices.Contains(want, at) {
			_ = l.Close()
			delete(b.listeners, at)
		}
	}
	d.closeDoors()
	for _, at := range want {
		if b.listeners[at] != nil {
			continue
		}
		l, err := d.listen(at)
		if err != nil {
			events = append(events, fmt.Sprintf("%s cannot take connections on %s: %v", b.Name(), at, err))
			continue
		}
		b.listeners[at] = l
		id := b.ID
		d.running.Go(func() { d.accept(id, at, l) })
	}
	return events
}

// listen opens a port of the host of a frontend address, which is up then. d.mu
// is held.
func (d *DataPath) listen(at netip.AddrPort) (net.Listener, error) {
	h := d.doors[at.Addr()]
	if h == nil {
		var err error
		if h, err = d.net.Attach("frontend-"+at.Addr().String(), at.Addr()); err != nil {
			return nil, err
		}
		d.doors[at.Addr()] = h
	}
	h.SetUp(true)
	return h.Listen(int(at.Port()))
}

// closeDoors silences the frontend addresses that no load balancer has any
// more: nobody answers there, not even with a refusal. d.mu is held.
func (d *DataPath) closeDoors() {
	used := map[netip.Addr]bool{}
	for _, b := range d.balancers {
		for _, at := range b.sockets() {
			used[at.Addr()] = true
		}
	}
	for addr, h := range d.doors {
		if !used[addr] {
			h.SetUp(false)
		}
	}
}

// updateProbers starts and ends probers until they are the wanted ones. d.mu
// is held.
func (d *DataPath) updateProbers(b *balancer) {
	want := map[probeKey]bool{}
	for _, r := range b.Rules {
		cfg, ok := b.probe(r.Probe)
		if !ok {
			continue
		}
		for _, backend := range b.pool(r.Pool).Backends {
			key := probeKey{cfg.Name, backend.Address}
			if want[key] {
				continue
			}
			want[key] = true
			d.updateProber(b, key, cfg, backend.Name)
		}
	}
	for key, p := range b.probers {
		if !want[key] {
			p.cancel()
			delete(b.probers, key)
		}
	}
}

func (d *DataPath) updateProber(b *balancer, key probeKey, cfg Probe, name string) {
	old := b.probers[key]
	if old != nil && old.cfg.sameQuestion(cfg) {
		old.name = name
		return
	}
	p := &prober{key: key, cfg: cfg, name: name}
	if old != nil {
		old.cancel()
		p.verdict, p.last, p.falls = old.verdict, old.last, old.falls
	}
	b.probers[key] = p
	d.started++
	id, first := b.ID, d.firstProbe(b.ID, key, cfg)
	ctx, cancel := context.WithCancel(context.Background())
	p.cancel = cancel
	d.running.Go(func() { d.run(ctx, id, p, first) })
}

// firstProbe is when the next prober begins: somewhere within its interval,
// since every machine's host probes on its own, at whole milliseconds plus
// the phase plus a distinct number of nanoseconds. d.mu is held.
func (d *DataPath) firstProbe(id string, key probeKey, cfg Probe) time.Duration {
	r := rand.New(rand.NewPCG(d.opts.Seed, hash(id, key.probe, key.address.String())))
	spread := time.Duration(r.Int64N(max(cfg.Interval.Milliseconds(), 1))) * time.Millisecond
	return spread + d.opts.Phase + time.Duration(d.started)
}

// adminChanges tells what a new configuration did to the admin states, and
// resets connections where it should. d.mu is held.
func (d *DataPath) adminChanges(b *balancer, old LoadBalancer) (events []string) {
	for _, pool := range b.Pools {
		before := old.pool(pool.Name)
		for _, backend := range pool.Backends {
			was := AdminNone.String()
			for _, o := range before.Backends {
				if o.Address == backend.Address {
					was = o.AdminState.String()
				}
			}
			now := backend.AdminState.String()
			if now == was {
				continue
			}
			events = append(events, d.adminSentence(b, pool, backend))
			if now == string(AdminDown) && d.opts.DownResetsConnections {
				d.endFlows(func(f *flow) bool {
					return f.balancer == b.ID && f.pool == pool.Name && f.backend == backend.Address
				})
			}
		}
	}
	return events
}

// probeKeys lists the probers in a fixed order.
func (b *balancer) probeKeys() []probeKey {
	return slices.SortedFunc(maps.Keys(b.probers), probeKey.compare)
}
