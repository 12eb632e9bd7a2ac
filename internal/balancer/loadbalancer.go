package balancer

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"tandem/internal/balancer/document"
	"tandem/internal/pair"
)

// balancer is one load balancer of the pair: what its file says, what exists of
// it already, and under which names.
type balancer struct {
	file pair.LoadBalancer
	at   string // its place in the pair file
	id   string // as Azure spells it, or will
	doc  *document.LoadBalancer

	frontends []*frontend
	pools     []*pool
	rules     []*balanceRule
	nats      []*natRule

	shape *shape
}

// frontend is a frontend that the pair needs. An existing one is found by its
// name, or else by its address, and keeps its name.
type frontend struct {
	file     pair.Frontend
	at       string
	name     string
	id       string
	existing *document.Part[document.Frontend]
}

// pool is a backend pool that holds the pair's units.
type pool struct {
	name      string
	id        string
	exists    bool
	existing  document.Pool
	ipv6      bool
	byAddress bool
}

// joinedBy returns the IP configuration by which a unit belongs to the pool; nil
// where it does so by its address, or has none of the pool's family.
func (p *pool) joinedBy(m machine) *document.IPConfiguration {
	if p.byAddress {
		return nil
	}
	return m.inFamily(p.ipv6)
}

// balanceRule is a load-balancing rule that the pair needs.
type balanceRule struct {
	pair.Rule
	at       string // its place in the pair file
	existing *document.Part[document.Rule]
	frontend *frontend
	pool     *pool
	why      string
}

// natRule is an inbound NAT rule that the pair needs, or one that must give way.
type natRule struct {
	at       string
	name     string
	id       string
	existing *document.Part[document.NATRule]
	frontend *frontend
	port     int
	unitPort int
	role     pair.Role
	config   *document.IPConfiguration // to which it leads
	dropped  bool                      // something else needs its port of the units
	why      string
}

// public reports whether the pair file makes it a public load balancer.
func (b *balancer) public() bool { return b.frontends[0].file.PublicIP != "" }

func (b *balancer) exists() bool { return b.doc.ID != "" }

// compileBalancers wants the pair's load balancers, and the public addresses
// that they need.
func (c *compilation) compileBalancers() {
	for i, lb := range c.def.LoadBalancers {
		at := "loadBalancers[" + strconv.Itoa(i) + "]"
		if len(lb.Frontends) == 0 || len(lb.Pools) == 0 {
			c.refuse(at, lb.Name, "it has no frontend or no pool, so nothing can be built", "name one of each in the pair file")
			continue
		}
		c.balancers = append(c.balancers, c.newBalancer(at, lb))
	}
	for _, b := range c.balancers {
		c.checkBalancer(b)
		for _, f := range b.frontends {
			c.checkFrontend(b, f)
		}
		for _, p := range b.pools {
			c.checkPool(b, p)
		}
	}
	c.checkUses()
	for _, b := range c.balancers {
		c.wantBalancer(b)
	}
}

// newBalancer finds out what of a load balancer exists, and what has which name.
func (c *compilation) newBalancer(at string, lb pair.LoadBalancer) *balancer {
	b := &balancer{file: lb, at: at, id: spelledID(c.def, "loadBalancers", lb.Name), doc: new(document.LoadBalancer)}
	if doc, ok := read[document.LoadBalancer](c, pair.NewResourceID(b.id)); ok {
		b.doc = doc
		if b.doc.ID == "" {
			b.doc.ID = b.id
		}
		b.id = b.doc.ID
	}
	for i, f := range lb.Frontends {
		b.frontends = append(b.frontends, c.newFrontend(b, at+".frontends["+strconv.Itoa(i)+"]", f))
	}
	for _, name := range lb.Pools {
		b.pools = append(b.pools, b.newPool(name))
	}
	b.rules = c.newRules(b)
	c.givePoolsTheirFamily(b)
	b.nats = c.newNATRules(b)
	return b
}

func (c *compilation) newFrontend(b *balancer, at string, file pair.Frontend) *frontend {
	f := &frontend{file: file, at: at, name: file.Name}
	for _, same := range []func(document.Part[document.Frontend]) bool{
		func(p document.Part[document.Frontend]) bool { return strings.EqualFold(p.Name, file.Name) },
		func(p document.Part[document.Frontend]) bool { return hasAddress(p.Properties, c.def, b.doc, file) },
	} {
		if i := slices.IndexFunc(b.doc.Properties.Frontends, same); i >= 0 {
			f.existing = &b.doc.Properties.Frontends[i]
			f.name = f.existing.Name
			break
		}
	}
	f.id = b.id + "/frontendIPConfigurations/" + f.name
	return f
}

// certain reports whether the frontend is the pair's for certain: a name alone
// could be that of another pair's, on a load balancer that two share.
func (f *frontend) certain(def *pair.Definition, doc *document.LoadBalancer) bool {
	return f.existing == nil || hasAddress(f.existing.Properties, def, doc, f.file)
}

// hasAddress reports whether an existing frontend has the address that a pair file
// gives to one.
func hasAddress(p document.Frontend, def *pair.Definition, doc *document.LoadBalancer, file pair.Frontend) bool {
	if file.PublicIP != "" {
		return p.PublicIP.Is(publicIPOf(def, doc, file))
	}
	a, err := netip.ParseAddr(p.Address)
	return err == nil && a == file.Address
}

// publicIPOf is the id of a frontend's public IP: the one that the frontend has
// already, where that has the name, because it may be in another resource group.
func publicIPOf(def *pair.Definition, doc *document.LoadBalancer, file pair.Frontend) string {
	for _, f := range doc.Properties.Frontends {
		if strings.EqualFold(f.Name, file.Name) && strings.EqualFold(f.Properties.PublicIP.Resource().Name(), file.PublicIP) {
			return f.Properties.PublicIP.ID
		}
	}
	return spelledID(def, "publicIPAddresses", file.PublicIP)
}

func (b *balancer) newPool(name string) *pool {
	p := &pool{name: name, byAddress: b.file.Members == pair.ByAddress}
	if i := slices.IndexFunc(b.doc.Properties.Pools, document.Named[document.Pool](name)); i >= 0 {
		p.name, p.exists, p.existing = b.doc.Properties.Pools[i].Name, true, b.doc.Properties.Pools[i].Properties
	}
	p.id = b.id + "/backendAddressPools/" + p.name
	return p
}

// newRules are the rules of the pair file, one to the check port where the file
// has none, and the one for Kemp 360 Central.
func (c *compilation) newRules(b *balancer) []*balanceRule {
	var out []*balanceRule
	checked := false
	for i, rule := range b.file.Rules {
		r := &balanceRule{Rule: rule, at: b.at + ".rules[" + strconv.Itoa(i) + "]", why: "a published port (guide 5.4)"}
		switch c.def.HA.CheckPort {
		case rule.UnitPort():
			checked, r.why = true, whyCheckRule
		case rule.Port:
			checked = true // it is refused, and says so itself
		}
		if j := slices.IndexFunc(b.doc.Properties.Rules, document.Named[document.Rule](rule.Name)); j >= 0 {
			r.existing = &b.doc.Properties.Rules[j]
			c.checkRuleName(b, r)
		}
		out = append(out, r)
	}
	if !checked {
		out = append(out, b.ownRule(c.def, out, "check", c.def.HA.CheckPort, "ha.checkPort", whyCheckRule))
	}
	if b.file.CentralPairAwareness {
		why := "Kemp 360 Central finds the active unit through the load balancer (guide 5.2)"
		if b.file.Management.WUI != (pair.PortPair{}) && !c.spared(b) {
			why += "; the NAT rules of management.wui give way to it, because Azure takes port " + plain(c.def.Units.First.API.Port) +
				" once on an IP configuration, and the interfaces have no other one"
		}
		out = append(out, b.ownRule(c.def, out, "central", c.def.Units.First.API.Port, b.at+".centralPairAwareness", why))
	}
	for _, r := range out {
		r.frontend, r.pool = b.frontendOf(r), b.poolOf(r)
	}
	return out
}

const whyCheckRule = "the pair's state can be asked through the load balancer (guide 5.4)"

// ownRule is a rule that the pair file does not list. An existing one is found
// by what it does, because nobody was asked for its name.
func (b *balancer) ownRule(def *pair.Definition, others []*balanceRule, name string, port int, at, why string) *balanceRule {
	r := &balanceRule{Rule: pair.Rule{
		Frontend: b.file.Frontends[0].Name, Port: port, Persistence: pair.PersistNone, IdleTimeout: pair.Duration(4 * time.Minute),
	}, at: at, why: why}
	isFile := func(name string) bool {
		return slices.ContainsFunc(others, func(o *balanceRule) bool { return strings.EqualFold(o.Name, name) })
	}
	same := func(p document.Part[document.Rule]) bool {
		return !isFile(p.Name) && p.Properties.Frontend.Is(b.frontends[0].id) &&
			p.Properties.FrontendPort == port && strings.EqualFold(p.Properties.Protocol, "Tcp")
	}
	own := ownName(def.Name, name, func(n string) bool {
		return isFile(n) || slices.ContainsFunc(b.doc.Properties.Rules, document.Named[document.Rule](n))
	})
	i := slices.IndexFunc(b.doc.Properties.Rules, same)
	if i < 0 {
		i = slices.IndexFunc(b.doc.Properties.Rules, func(p document.Part[document.Rule]) bool {
			return !isFile(p.Name) && strings.EqualFold(p.Name, def.Name+"-"+name)
		})
	}
	r.Name = own
	if i >= 0 {
		r.existing = &b.doc.Properties.Rules[i]
		r.Name = r.existing.Name
	}
	return r
}

// ownName is a name that Tandem chooses for something new: a plain one, or one
// that begins with the pair's where another pair has that (two pairs can share
// one load balancer).
func ownName(pairName, plain string, taken func(string) bool) string {
	name := plain
	for n := 1; taken(name); n++ {
		name = pairName + "-" + plain
		if n > 1 {
			name += "-" + strconv.Itoa(n)
		}
	}
	return name
}

func (b *balancer) frontendOf(r *balanceRule) *frontend {
	i := slices.IndexFunc(b.frontends, func(f *frontend) bool { return strings.EqualFold(f.file.Name, r.Frontend) })
	return b.frontends[max(i, 0)]
}

// poolOf is the pool that a rule sends to: the one that the pair file names, the
// one of the pair's that it sends to already, or the first.
func (b *balancer) poolOf(r *balanceRule) *pool {
	name := r.Pool
	if name == "" && r.existing != nil {
		name = r.existing.Properties.Pool.Resource().Name()
	}
	i := slices.IndexFunc(b.pools, func(p *pool) bool { return strings.EqualFold(p.name, name) })
	return b.pools[max(i, 0)]
}

// givePoolsTheirFamily makes each pool one of IPv6 configurations when its rules
// are on IPv6 frontends. A pool holds one family only (azure.md 1.3).
func (c *compilation) givePoolsTheirFamily(b *balancer) {
	for _, p := range b.pools {
		p.ipv6 = c.def.Units.First.Address.Is6()
		first := true
		for _, r := range b.rules {
			if r.pool != p {
				continue
			}
			if ipv6 := r.frontend.file.Is6(); first {
				p.ipv6, first = ipv6, false
			} else if ipv6 != p.ipv6 {
				c.refuse(r.at+".pool", p.name, "rules of both address families use this pool, and a pool holds IP configurations of one",
					"give the rules on IPv6 frontends a pool of their own, in pools and in pool")
			}
		}
	}
}

// newNATRules are the inbound NAT rules of the pair file. An existing one is
// found by its port of the load balancer, or else by the name that Tandem would
// give it, or else by the unit and its port that it leads to.
func (c *compilation) newNATRules(b *balancer) []*natRule {
	var out []*natRule
	for _, u := range []struct {
		key, what string
		ports     pair.PortPair
		unitPorts [2]int
	}{
		{"wui", "WUI", b.file.Management.WUI, [2]int{c.def.Units.First.API.Port, c.def.Units.Second.API.Port}},
		{"ssh", "SSH", b.file.Management.SSH, [2]int{22, 22}},
	} {
		for i, port := range [2]int{u.ports.First, u.ports.Second} {
			role := pair.Roles[i]
			if port == 0 {
				continue
			}
			out = append(out, &natRule{
				at: b.at + ".management." + u.key + "." + role.String(), name: "LoadMaster" + strconv.Itoa(i+1) + "-" + u.what,
				port: port, unitPort: u.unitPorts[i], role: role, frontend: b.natFrontend(),
				why: "the " + role.String() + " unit's " + u.what + " has a port of its own on the load balancer (guide 5.2)",
			})
		}
	}
	c.matchNATRules(b, out)
	for _, n := range out {
		c.aimNATRule(b, n)
	}
	return out
}

// natFrontend is the frontend for new NAT rules: the first of IPv4, if any.
func (b *balancer) natFrontend() *frontend {
	i := slices.IndexFunc(b.frontends, func(f *frontend) bool { return !f.file.Is6() })
	return b.frontends[max(i, 0)]
}

func (c *compilation) matchNATRules(b *balancer, rules []*natRule) {
	existing, claimed := b.doc.Properties.NATRules, make(map[int]bool)
	match := func(n *natRule, same func(document.Part[document.NATRule]) bool) {
		for i, p := range existing {
			if n.existing == nil && !claimed[i] && same(p) {
				n.existing, claimed[i] = &existing[i], true
				if f := b.frontendAt(p.Properties.Frontend); f != nil {
					n.frontend = f
				}
			}
		}
	}
	for _, n := range rules {
		match(n, func(p document.Part[document.NATRule]) bool {
			return b.frontendAt(p.Properties.Frontend) != nil && p.Properties.FrontendPort == n.port && strings.EqualFold(p.Properties.Protocol, "Tcp")
		})
	}
	for _, n := range rules {
		match(n, func(p document.Part[document.NATRule]) bool { return strings.EqualFold(p.Name, c.def.Name+"-"+n.name) })
		match(n, func(p document.Part[document.NATRule]) bool {
			return strings.EqualFold(p.Name, n.name) && (b.frontendAt(p.Properties.Frontend) != nil || c.onlyMoved(n, p.Properties))
		})
	}
	for _, n := range rules { // of a port of a unit there can be one
		match(n, func(p document.Part[document.NATRule]) bool {
			return b.frontendAt(p.Properties.Frontend) != nil && p.Properties.BackendPort == n.unitPort &&
				c.machines[n.role.Index()].hasConfig(p.Properties.Configuration)
		})
	}
	for _, n := range rules {
		if n.existing != nil {
			n.name = n.existing.Name
		} else {
			n.name = ownName(c.def.Name, n.name, func(name string) bool { return slices.ContainsFunc(existing, document.Named[document.NATRule](name)) })
		}
		n.id = b.id + "/inboundNatRules/" + n.name
	}
}

// onlyMoved reports whether an existing NAT rule differs from the wanted one in
// its frontend alone: the same port of the load balancer leads to the same port of
// the same unit, which only one rule can.
func (c *compilation) onlyMoved(n *natRule, p document.NATRule) bool {
	return p.FrontendPort == n.port && p.BackendPort == n.unitPort && c.machines[n.role.Index()].hasConfig(p.Configuration)
}

func (b *balancer) frontendAt(ref document.Reference) *frontend {
	for _, f := range b.frontends {
		if ref.Is(f.id) {
			return f
		}
	}
	return nil
}

// aimNATRule finds the IP configuration that a NAT rule leads to. A rule for Kemp
// 360 Central has the units' web interface on the one that the pools hold, so the
// NAT rules take another one, or give way.
func (c *compilation) aimNATRule(b *balancer, n *natRule) {
	m := c.machines[n.role.Index()]
	n.config = m.inFamily(n.frontend.file.Is6())
	if !b.file.CentralPairAwareness || n.unitPort != c.def.Units.First.API.Port {
		return
	}
	if n.dropped = !c.spared(b); !n.dropped {
		n.config = m.spare(n.config)
		n.why += ", on an IP configuration of its own, because the rule for Kemp 360 Central has port " + plain(n.unitPort) +
			" on the other one; the unit must have that address too, and its web interface on it"
	} else {
		n.why = "the rule for Kemp 360 Central leads to port " + plain(n.unitPort) +
			" of the units, and Azure takes it once on an IP configuration (guide 5.2)"
	}
}

// spared reports whether both units have an IP configuration for the NAT rules
// that no load-balancing rule leads to.
func (c *compilation) spared(b *balancer) bool {
	ipv6 := b.natFrontend().file.Is6()
	for _, m := range c.machines {
		if m.spare(m.inFamily(ipv6)) == nil {
			return false
		}
	}
	return true
}

// plain writes a number for a person.
func plain(n int) string { return strconv.Itoa(n) }
