package dataplane

import (
	"net/netip"
	"strings"
	"time"
)

// LoadBalancer is the configuration the data path works by: what Resource
// Manager holds, without what carries no packet. Names are unique within
// their list; references are names.
type LoadBalancer struct {
	ID        string // the full resource id; the key of Apply, Remove and Health
	Frontends []Frontend
	Pools     []Pool
	Probes    []Probe
	Rules     []Rule
	NATRules  []NATRule
}

// Name is the last segment of the resource id.
func (lb LoadBalancer) Name() string { return lb.ID[strings.LastIndexByte(lb.ID, '/')+1:] }

// Frontend is an address that clients connect to, private or public. A port
// of it that no rule names refuses connections, where Azure stays silent.
type Frontend struct {
	Name    string
	Address netip.Addr
}

// Pool is a backend pool.
type Pool struct {
	Name     string
	Backends []Backend
}

// Backend is one address of a pool. Name is for the log only.
type Backend struct {
	Name       string
	Address    netip.Addr
	AdminState AdminState
}

// AdminState overrides the probe for one backend in one pool, on every rule
// of that pool that has a probe (azure.md 1.5). Zero means AdminNone.
type AdminState string

// The admin states, in the spelling of the API.
const (
	AdminNone AdminState = "None" // follow the probe
	AdminUp   AdminState = "Up"   // always eligible for new connections
	AdminDown AdminState = "Down" // never eligible for new connections
)

// String returns the spelling of the API.
func (s AdminState) String() string {
	if s == "" {
		return string(AdminNone)
	}
	return string(s)
}

// Protocol is the protocol of a probe.
type Protocol string

// The probe protocols, in the spelling of the API.
const (
	HTTP  Protocol = "Http"
	HTTPS Protocol = "Https" // the certificate is not checked
	TCP   Protocol = "Tcp"
)

// String returns the spelling of the API.
func (p Protocol) String() string { return string(p) }

// NoHealthyBackends says what happens to new connections when the probe is
// down on every backend (azure.md 1.4). Zero means AllProbedDown.
type NoHealthyBackends string

// The behaviours, in the spelling of the API.
const (
	AllProbedDown NoHealthyBackends = "AllProbedDown" // no new connections
	AllProbedUp   NoHealthyBackends = "AllProbedUp"   // new connections go to all of them
)

// String returns the spelling of the API.
func (b NoHealthyBackends) String() string {
	if b == "" {
		return string(AllProbedDown)
	}
	return string(b)
}

// Probe is a health probe. It runs only where a rule uses it (azure.md 1.4).
type Probe struct {
	Name     string
	Protocol Protocol
	Port     int
	Path     string        // HTTP only
	Interval time.Duration // zero means 5 s, the least the platform takes
	// Threshold is how many equal results in a row change the verdict, in
	// both directions. Zero means 1.
	Threshold         int
	NoHealthyBackends NoHealthyBackends
}

// sameQuestion tells whether two probes ask the same thing in the same way,
// so that counting can go on from one to the other.
func (p Probe) sameQuestion(q Probe) bool {
	p.NoHealthyBackends, q.NoHealthyBackends = "", ""
	return p == q
}

func (p Probe) withDefaults() Probe {
	if p.Interval <= 0 {
		p.Interval = 5 * time.Second
	}
	p.Threshold = max(p.Threshold, 1)
	if p.Path == "" {
		p.Path = "/"
	}
	return p
}

// timeout is how long an answer may take: the interval, but an HTTP probe
// never waits longer than 30 s (azure.md 1.4).
func (p Probe) timeout() time.Duration {
	if p.Protocol == TCP {
		return p.Interval
	}
	return min(p.Interval, 30*time.Second)
}

// Distribution says which parts of a connection choose its backend. Zero
// means FiveTuple.
type Distribution string

// The distributions, in the spelling of the API (azure.md 1.6).
const (
	FiveTuple        Distribution = "Default"
	SourceIP         Distribution = "SourceIP"
	SourceIPProtocol Distribution = "SourceIPProtocol"
)

// String returns the spelling of the API.
func (d Distribution) String() string {
	if d == "" {
		return string(FiveTuple)
	}
	return string(d)
}

// Rule is a load balancing rule for TCP. The network of the lab carries
// nothing else, and it has no port 0, so rules for UDP and HA ports have no
// place here.
type Rule struct {
	Name                      string
	Frontend                  string
	FrontendPort, BackendPort int
	Pool                      string
	Probe                     string // empty: every backend is always eligible, whatever its admin state
	Distribution              Distribution
	// FloatingIP keeps the frontend's address as the destination. No machine of
	// the lab has it on a loopback, so none takes the connection (azure.md 1.6).
	FloatingIP  bool
	IdleTimeout time.Duration // zero means 4 min, the default of the API (azure.md 1.6)
}

// NATRule forwards one frontend port to one backend. It has no probe, and
// admin states do nothing to it (azure.md 1.5, 1.6).
type NATRule struct {
	Name                      string
	Frontend                  string
	FrontendPort, BackendPort int
	Backend                   netip.Addr
	IdleTimeout               time.Duration // zero means 4 min
}

func (lb LoadBalancer) frontend(name string) (netip.Addr, bool) {
	for _, f := range lb.Frontends {
		if f.Name == name && f.Address.IsValid() {
			return f.Address.Unmap(), true
		}
	}
	return netip.Addr{}, false
}

func (lb LoadBalancer) pool(name string) Pool {
	for _, p := range lb.Pools {
		if p.Name == name {
			return p
		}
	}
	return Pool{Name: name}
}

func (lb LoadBalancer) rule(name string) (Rule, bool) {
	for _, r := range lb.Rules {
		if r.Name == name {
			return r, true
		}
	}
	return Rule{}, false
}

func (lb LoadBalancer) probe(name string) (Probe, bool) {
	for _, p := range lb.Probes {
		if p.Name == name {
			return p.withDefaults(), true
		}
	}
	return Probe{}, false
}

// sockets lists where the load balancer takes connections, in its own order.
func (lb LoadBalancer) sockets() []netip.AddrPort {
	var all []netip.AddrPort
	add := func(frontend string, port int) {
		if addr, ok := lb.frontend(frontend); ok && port > 0 && port < 1<<16 {
			all = append(all, netip.AddrPortFrom(addr, uint16(port)))
		}
	}
	for _, r := range lb.Rules {
		add(r.Frontend, r.FrontendPort)
	}
	for _, r := range lb.NATRules {
		add(r.Frontend, r.FrontendPort)
	}
	return all
}

// clone copies what the caller of Apply might still change.
func (lb LoadBalancer) clone() LoadBalancer {
	lb.Frontends = append([]Frontend(nil), lb.Frontends...)
	lb.Probes = append([]Probe(nil), lb.Probes...)
	lb.Rules = append([]Rule(nil), lb.Rules...)
	lb.NATRules = append([]NATRule(nil), lb.NATRules...)
	pools := lb.Pools
	lb.Pools = nil
	for _, p := range pools {
		p.Backends = append([]Backend(nil), p.Backends...)
		for i := range p.Backends {
			p.Backends[i].Address = p.Backends[i].Address.Unmap()
		}
		lb.Pools = append(lb.Pools, p)
	}
	return lb
}
