package balancer

import (
	"net/netip"
	"slices"
	"strings"

	"tandem/internal/balancer/document"
	"tandem/internal/pair"
)

// use is what one rule takes at both of its ends. Azure tells rules apart by
// these (azure.md 1.6).
type use struct {
	what      string // for a person
	at        string // in the pair file; empty for a rule of somebody else
	portAt    string
	unitAt    string
	nat       bool
	named     bool // by the pair file
	balancer  pair.ResourceID
	public    bool
	protocol  string
	frontend  pair.ResourceID
	low, high int // frontend ports
	unitPort  int
	floating  bool
	configs   []pair.ResourceID
}

// checkUses refuses rules that Azure could not tell apart, each with the one
// that was there before.
func (c *compilation) checkUses() {
	uses := c.uses()
	for i, u := range uses {
		if u.at == "" {
			continue
		}
		for j, other := range uses {
			if j == i || other.at != "" && j > i { // two of the pair's are compared once
				continue
			}
			c.checkClash(u, other)
		}
	}
	for _, m := range c.machines {
		n := 0
		for _, u := range uses {
			if slices.ContainsFunc(m.nic.Properties.Configurations, func(config document.IPConfiguration) bool {
				return slices.Contains(u.configs, pair.NewResourceID(config.ID))
			}) {
				n++
			}
		}
		if n > mostRulesOfInterface {
			c.refuse("loadBalancers", plain(n)+" rules", "they lead to the "+m.role.String()+" unit's interface, which takes "+plain(mostRulesOfInterface)+
				" at most, those of others included (LoadBalancerRuleCountLimitReachedForNic)", "publish fewer ports")
		}
	}
}

// checkClash refuses one of the pair's rules that another rule is in the way of.
func (c *compilation) checkClash(u, other use) {
	if !sameProtocol(u.protocol, other.protocol) {
		return
	}
	wayOut := "give one of the two another port"
	if other.at == "" && u.named && !other.nat {
		wayOut += ", or, if they are meant to be the same, call it " + strings.TrimPrefix(other.what, "rule ") + " in the pair file"
	}
	if other.balancer != u.balancer {
		other.what += " of the load balancer " + other.balancer.Name()
	}
	if u.frontend == other.frontend && u.low <= other.high && other.low <= u.high {
		c.refuse(u.portAt, plain(u.low), "the "+other.what+" has this port of the frontend "+u.frontend.Name()+
			" too, and a frontend's port leads to one place", wayOut)
		return
	}
	sameKind := u.balancer == other.balancer || u.public == other.public
	if !sameKind || !u.sameTarget(other) {
		return
	}
	switch {
	case u.nat || other.nat:
		c.refuse(u.unitAt, plain(u.unitPort), "the "+other.what+" leads to this port of the units too, and Azure takes a port and protocol "+
			"once on an IP configuration without floating IP (RulesUseSameBackendPortProtocolAndIPConfig)",
			"leave one of the two out, or lead the NAT rule to another IP configuration")
	case u.floating:
		c.refuse(u.unitAt, plain(u.unitPort), "the "+other.what+" leads to this port too, with the same frontend's address, so the units cannot tell the two apart",
			"give one of the two another backendPort")
	default:
		c.refuse(u.unitAt, plain(u.unitPort), "the "+other.what+" leads to this port of the units too, and without floating IP Azure takes each once "+
			"(RulesUseSameBackendPortProtocolAndPool)",
			"give one of the two another backendPort, or set floatingIP: true on both and give the units the frontends' addresses on loopbacks")
	}
}

func sameProtocol(a, b string) bool {
	return strings.EqualFold(a, b) || strings.EqualFold(a, "All") || strings.EqualFold(b, "All")
}

// sameTarget reports whether what arrives at the units by both rules has the
// same destination: with floating IP that is the frontend's address, otherwise
// the IP configuration's.
func (u use) sameTarget(other use) bool {
	if u.unitPort != other.unitPort || u.floating != other.floating {
		return false
	}
	if u.floating {
		return u.frontend == other.frontend
	}
	return slices.ContainsFunc(u.configs, func(id pair.ResourceID) bool { return slices.Contains(other.configs, id) })
}

// uses lists the rules of the pair, and then those of others that exist, on the
// pair's load balancers and on the others that its units are behind.
func (c *compilation) uses() []use {
	var out []use
	for _, b := range c.balancers {
		out = append(out, c.ownUses(b)...)
	}
	for _, b := range c.balancers {
		out = append(out, c.othersUses(pair.NewResourceID(b.id), b.doc, b.othersRules(), b.othersNATRules())...)
	}
	seen := make(map[pair.ResourceID]bool)
	for _, m := range c.machines {
		for _, id := range m.nic.Balancers() {
			if doc, ok := read[document.LoadBalancer](c, id); ok && !c.isOurs(id) && !seen[id] {
				seen[id] = true
				out = append(out, c.othersUses(id, doc, doc.Properties.Rules, doc.Properties.NATRules)...)
			}
		}
	}
	return out
}

func (c *compilation) ownUses(b *balancer) []use {
	var out []use
	id := pair.NewResourceID(b.id)
	for _, r := range b.rules {
		u := use{
			what: "rule " + r.Name, at: r.at, portAt: r.at, unitAt: r.at, balancer: id, public: b.public(), protocol: "Tcp",
			frontend: pair.NewResourceID(r.frontend.id), low: r.Port, high: r.Port, unitPort: r.UnitPort(), floating: r.FloatingIP,
		}
		if strings.HasSuffix(r.at, "]") { // one of the list in the pair file
			u.named, u.portAt, u.unitAt = true, r.at+".port", r.at+".port"
			if r.BackendPort != 0 {
				u.unitAt = r.at + ".backendPort"
			}
		}
		for _, m := range c.machines {
			u.leadsTo(m.inFamily(r.pool.ipv6))
		}
		out = append(out, u)
	}
	for _, n := range b.nats {
		if n.dropped {
			continue
		}
		u := use{
			what: "NAT rule " + n.name, at: n.at, portAt: n.at, unitAt: n.at, nat: true, balancer: id, public: b.public(), protocol: "Tcp",
			frontend: pair.NewResourceID(n.frontend.id), low: n.port, high: n.port, unitPort: n.unitPort,
		}
		u.leadsTo(n.config)
		out = append(out, u)
		c.checkAttached(n)
	}
	return out
}

func (u *use) leadsTo(config *document.IPConfiguration) {
	if config != nil {
		u.configs = append(u.configs, pair.NewResourceID(config.ID))
	}
}

// checkAttached refuses to take a NAT rule away from a machine of somebody else.
func (c *compilation) checkAttached(n *natRule) {
	if n.existing == nil || n.existing.Properties.Configuration.ID == "" {
		return
	}
	target := n.existing.Properties.Configuration
	if c.machines[0].hasConfig(target) || c.machines[1].hasConfig(target) {
		return
	}
	c.refuse(n.at, plain(n.port), "the NAT rule "+n.name+" has this port, and leads to "+document.UpTo(target.ID, "ipConfigurations")+
		", which is none of the units' interfaces with their addresses", "use another port, or take the rule off that interface")
}

// othersUses lists existing rules that are not the pair's.
func (c *compilation) othersUses(id pair.ResourceID, doc *document.LoadBalancer, rules []document.Part[document.Rule], nats []document.Part[document.NATRule]) []use {
	var out []use
	public := slices.ContainsFunc(doc.Properties.Frontends, func(p document.Part[document.Frontend]) bool { return p.Properties.Public() })
	for _, r := range rules {
		p := r.Properties
		u := use{
			what: "rule " + r.Name, balancer: id, public: public, protocol: p.Protocol, frontend: p.Frontend.Resource(),
			low: p.FrontendPort, high: p.FrontendPort, unitPort: p.BackendPort, floating: p.FloatingIP,
		}
		for _, pool := range p.AllPools() {
			u.configs = append(u.configs, c.membersOf(doc, pool)...)
		}
		out = append(out, u)
	}
	for _, n := range nats {
		p := n.Properties
		u := use{
			what: "NAT rule " + n.Name, nat: true, balancer: id, public: public, protocol: p.Protocol, frontend: p.Frontend.Resource(),
			low: p.FrontendPort, high: p.FrontendPort, unitPort: p.BackendPort, floating: p.FloatingIP,
		}
		if p.RangeStart > 0 {
			u.low, u.high = p.RangeStart, p.RangeEnd
			u.configs = c.membersOf(doc, p.Pool)
		} else if p.Configuration.ID != "" {
			u.configs = document.IDs([]document.Reference{p.Configuration})
		}
		out = append(out, u)
	}
	return out
}

// membersOf returns which of the units' IP configurations are in an existing
// pool, in either way.
func (c *compilation) membersOf(doc *document.LoadBalancer, pool document.Reference) []pair.ResourceID {
	var addresses []netip.Addr
	if i := slices.IndexFunc(doc.Properties.Pools, document.Named[document.Pool](pool.Resource().Name())); i >= 0 {
		for _, a := range doc.Properties.Pools[i].Properties.Addresses {
			if addr, err := netip.ParseAddr(a.Properties.Address); err == nil {
				addresses = append(addresses, addr)
			}
		}
	}
	var out []pair.ResourceID
	for _, m := range c.machines {
		for _, config := range m.nic.Properties.Configurations {
			if document.Refer(config.Properties.Pools, pool.ID) || slices.Contains(addresses, config.Addr()) {
				out = append(out, pair.NewResourceID(config.ID))
			}
		}
	}
	for _, b := range c.balancers { // those that will be members
		for _, p := range b.pools {
			if !pool.Is(p.id) {
				continue
			}
			for _, m := range c.machines {
				if config := m.inFamily(p.ipv6); config != nil {
					out = append(out, pair.NewResourceID(config.ID))
				}
			}
		}
	}
	return out
}

// othersRules are the existing rules that are not the pair's.
func (b *balancer) othersRules() []document.Part[document.Rule] {
	return slices.DeleteFunc(slices.Clone(b.doc.Properties.Rules), func(p document.Part[document.Rule]) bool { return b.isOurs(p.Name) })
}

// othersNATRules are the existing NAT rules that are not the pair's.
func (b *balancer) othersNATRules() []document.Part[document.NATRule] {
	return slices.DeleteFunc(slices.Clone(b.doc.Properties.NATRules), func(p document.Part[document.NATRule]) bool {
		return slices.ContainsFunc(b.nats, func(n *natRule) bool { return strings.EqualFold(n.name, p.Name) })
	})
}
