package balancer

import (
	"net/netip"
	"slices"
	"strings"

	"tandem/internal/balancer/document"
	"tandem/internal/pair"
)

// Limits of a security group (azure.md 1.7, 2).
const (
	mostRulesOfGroup = 1000
	mostAddresses    = 4000
	newPriority      = 1000 // where numbers for new rules are looked for first
)

// prefixOfRules begins the names of a pair's rules. No pair's name has two
// dashes in a row, so the rules of edge are never taken for those of edge-weu.
func prefixOfRules(pairName string) string { return "tandem-" + pairName + "--" }

// need is traffic that the pair must get through, and the security rule for it.
type need struct {
	name     string // the end of the rule's name
	at       string // its place in the pair file
	why      string
	protocol string
	ports    []int
	outbound bool
	// tag is a source that only a service tag names; from is then where it comes from.
	tag  string
	from []netip.Prefix
	// to are the destinations where they are not the units' own addresses, and
	// anywhere says that they are not known yet.
	to       []netip.Addr
	anywhere bool
	// except lets exceptions stand that a person made to a wide source.
	except bool
	// idle needs nothing: the rule is only written because the pair file wants it.
	idle bool
}

// tcp is a need for TCP to ports of the units.
func tcp(name, at string, from []netip.Prefix, why string, ports ...int) need {
	return need{name: name, at: at, why: why, protocol: "Tcp", ports: ports, from: from}
}

// needs lists the traffic of a pair (azure.md 2, guide 6).
func (c *compilation) needs() []need {
	check, api := c.def.HA.CheckPort, c.apiPorts()
	probe := tcp("check-probe", "ha.checkPort", []netip.Prefix{probe4, probe6}, "the load balancer's probe asks the check port (guide 6)", check)
	probe.tag = "AzureLoadBalancer"
	out := []need{
		probe,
		tcp("check-partner", "ha.checkPort", c.partners(), "each unit asks its partner's check port", check),
		tcp("check-tandem", "ha.checkPort", c.around.From, "Tandem asks the check ports", check),
		tcp("sync", "units", c.partners(), "the units keep their settings in step on port 6973 (guide 6)", 6973),
		tcp("api-tandem", "units", c.around.From, "Tandem asks the units' API", api...),
	}
	for _, n := range []need{
		tcp("api", "securityGroup.managementFrom", c.def.SecurityGroup.ManagementFrom, "people reach the web interface and the API (guide 6)", api...),
		tcp("ssh", "securityGroup.managementFrom", c.def.SecurityGroup.ManagementFrom, "people reach SSH (guide 6)", 22),
	} {
		n.except = true
		out = append(out, n)
	}
	out = append(out, c.published()...)
	out = append(out, c.topology()...)
	if c.def.SecurityGroup.GuidePorts {
		out = append(out, c.guidePorts()...)
	}
	return out
}

// apiPorts are the ports of the units' APIs.
func (c *compilation) apiPorts() []int {
	first, second := c.def.Units.First.API.Port, c.def.Units.Second.API.Port
	if first == second {
		return []int{first}
	}
	return []int{first, second}
}

// partners are the units' addresses, as networks of one address.
func (c *compilation) partners() []netip.Prefix {
	return []netip.Prefix{single(c.def.Units.First.Address), single(c.def.Units.Second.Address)}
}

func single(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }

// published are the ports that clients may reach, one rule for each port of the
// units: that is the port a security group sees (azure.md 2).
func (c *compilation) published() []need {
	var out []need
	for _, b := range c.balancers {
		for _, r := range b.rules {
			if len(r.From) == 0 {
				continue
			}
			n := tcp("published-"+plain(r.UnitPort()), r.at+".from", r.From, "clients reach the published port (guide 6)", r.UnitPort())
			n.except = true
			if r.FloatingIP {
				n.name += "-floating"
				n.to, n.anywhere = c.floatingTo(b, r)
			}
			out = merge(out, n)
		}
	}
	return out
}

// merge adds a need to those of other rules that lead to the same port.
func merge(needs []need, n need) []need {
	i := slices.IndexFunc(needs, func(o need) bool { return o.name == n.name })
	if i < 0 {
		return append(needs, n)
	}
	o := &needs[i]
	o.from = append(slices.Clip(o.from), n.from...)
	o.to, o.anywhere = append(slices.Clip(o.to), n.to...), o.anywhere || n.anywhere
	return needs
}

// floatingTo is the destination that arrives with floating IP: the frontend's
// address, which for a public one is known once it exists.
func (c *compilation) floatingTo(b *balancer, r *balanceRule) (to []netip.Addr, anywhere bool) {
	if r.frontend.file.PublicIP == "" {
		return []netip.Addr{r.frontend.file.Address}, false
	}
	doc, _ := read[document.PublicIP](c, pair.NewResourceID(publicIPOf(c.def, b.doc, r.frontend.file)))
	if a, err := netip.ParseAddr(doc.Properties.Address); err == nil {
		return []netip.Addr{a}, false
	}
	return nil, true
}

// topology is the traffic with the other members of a GEO topology.
func (c *compilation) topology() []need {
	if len(c.around.Members) == 0 {
		return nil
	}
	const at = "units"
	var out []need
	if port := c.around.TunnelPort; port != 0 {
		out = append(out, tcp("geo-tunnel", at, c.around.Members, "GEO partners keep their DNS configuration in step", port))
	}
	dns := tcp("geo-dns-tcp", at, c.around.Members, "GEO members answer each other's DNS requests", 53)
	udp := dns
	udp.name, udp.protocol = "geo-dns-udp", "Udp"
	return append(out, dns, udp)
}

// guidePorts are the guide's rules for the NAT ports.
func (c *compilation) guidePorts() []need {
	var ports []int
	for _, b := range c.balancers {
		for _, n := range b.nats {
			ports = append(ports, n.port)
		}
	}
	if len(ports) == 0 {
		return nil
	}
	slices.Sort(ports)
	n := tcp("guide-ports", "securityGroup.guidePorts", c.def.SecurityGroup.ManagementFrom,
		"the guide recommends it (guide 6); it opens nothing, because a security group sees the port on the unit, 8443 or 22, "+
			"and not the load balancer's; written because securityGroup.guidePorts is true", slices.Compact(ports)...)
	n.idle = true
	return []need{n}
}

// partnerOut is the same traffic where it leaves a unit. Every group lets that
// out unless somebody denies it, so it is only written against such a Deny.
func (c *compilation) partnerOut() []need {
	check := tcp("check-out", "ha.checkPort", c.partners(), "each unit asks its partner's check port", c.def.HA.CheckPort)
	sync := tcp("sync-out", "units", c.partners(), "the units keep their settings in step on port 6973 (guide 6)", 6973)
	check.outbound, sync.outbound = true, true
	return []need{check, sync}
}

// journeys are the need's traffic to one unit, or from it, in one address family.
func (n need) journeys(c *compilation, m machine, ipv6 bool) []traffic {
	to := n.to
	if len(to) == 0 {
		to = c.addresses(m)
	}
	if n.outbound {
		to = []netip.Addr{c.def.Units.Of(m.role.Other()).Address}
	}
	var out []traffic
	for _, from := range n.from {
		own := from == single(c.def.Units.Of(m.role).Address)
		if from.Addr().Is6() != ipv6 || n.outbound != own && (n.outbound || slices.Contains(c.partners(), from)) {
			continue // no unit speaks to itself, and out of a unit goes only its own
		}
		for _, a := range to {
			for _, port := range n.ports {
				if a.Is6() == ipv6 {
					out = append(out, traffic{from: from, to: a, port: port, protocol: n.protocol, outbound: n.outbound, except: n.except})
				}
			}
		}
	}
	return out
}

// String names the traffic for a person.
func (t traffic) String() string {
	direction := " from " + t.from.String() + " to " + t.to.String()
	if t.from.IsSingleIP() {
		direction = " from " + t.from.Addr().String() + " to " + t.to.String()
	}
	return strings.ToUpper(t.protocol) + " " + plain(t.port) + direction
}

// groupID is the id of the pair's security group as Azure spells it, or will.
func (c *compilation) groupID() string {
	if doc, ok := read[document.SecurityGroup](c, c.def.SecurityGroupID()); ok && doc.ID != "" {
		return doc.ID
	}
	return spelledID(c.def, "networkSecurityGroups", c.def.SecurityGroup.Name)
}

// compileSecurityGroup wants the rules of the pair's group, and refuses what
// another group denies, which Tandem does not write.
func (c *compilation) compileSecurityGroup() {
	known, needs := c.newTags(), c.needs()
	var own pair.ResourceID
	if c.def.SecurityGroup.Name != "" {
		own = c.def.SecurityGroupID()
		doc, _ := read[document.SecurityGroup](c, own)
		c.wantGroup(known, doc, needs)
	}
	for _, m := range c.machines {
		if !m.found() {
			continue
		}
		for _, id := range m.groups() {
			if id != own {
				c.checkOtherGroup(known, id, m, append(slices.Clip(needs), c.partnerOut()...))
			}
		}
		if len(m.groups()) == 0 && own == "" {
			c.checkNoGroup(m)
		}
	}
}

// newTags resolves the tags for the subnets and the application security groups
// of the units.
func (c *compilation) newTags() tags {
	var subnets []netip.Prefix
	for _, m := range c.machines {
		subnets = append(subnets, m.subnet.Prefixes()...)
	}
	t := newTags(subnets)
	for _, m := range c.machines {
		for _, config := range m.nic.Properties.Configurations {
			for _, id := range document.IDs(config.Properties.SecurityGroups) {
				if a := config.Addr(); a.IsValid() {
					t.members[id] = append(t.members[id], single(a))
				}
			}
		}
	}
	return t
}

// checkNoGroup refuses a public frontend that nobody could reach.
func (c *compilation) checkNoGroup(m machine) {
	for _, b := range c.balancers {
		if b.public() {
			c.refuse("securityGroup.name", "missing", "neither the "+m.role.String()+" unit's interface nor its subnet has a security group, and without one "+
				"a Standard load balancer lets nobody in from outside", "name a group, which Tandem creates and puts on the interfaces")
		}
	}
}

// checkOtherGroup refuses a group of somebody else that denies what the pair
// needs.
func (c *compilation) checkOtherGroup(known tags, id pair.ResourceID, m machine, needs []need) {
	doc, ok := read[document.SecurityGroup](c, id)
	if !ok {
		c.refuse(id.Title(), "not there", "the "+m.role.String()+" unit's traffic goes through it, and it could not be read", "read the pair again")
		return
	}
	g := known.newGroup(id, rulesOf(doc, func(ruleOfGroup) bool { return true }))
	for _, n := range needs {
		if t, v, denied := c.denied(g, n, m); denied {
			c.refuse(id.Title(), v.rule.String(), "it denies "+t.String()+": "+n.why+wanting(n)+"; every group that looks at a unit's traffic must let it through, "+
				"and Tandem writes to the one in securityGroup.name only", v.rule.wayOut(id))
		}
	}
}

// wanting says where the pair file wants the need, where it does.
func wanting(n need) string {
	if strings.HasSuffix(n.at, "rom") { // from, managementFrom
		return ", as " + n.at + " says"
	}
	return ""
}

// wayOut says how the rule's traffic can be let through.
func (r groupRule) wayOut(id pair.ResourceID) string {
	if r.builtin() {
		return "add an Allow rule for it to " + id.Name() + ", or name that group in securityGroup.name"
	}
	return "change that rule, or add an Allow rule with a number below " + plain(r.priority) + " to " + id.Name() + ", or name that group in securityGroup.name"
}

// denied looks for traffic of a need that a group does not let through.
func (c *compilation) denied(g group, n need, m machine) (traffic, verdict, bool) {
	if n.idle {
		return traffic{}, verdict{}, false
	}
	for _, ipv6 := range []bool{false, true} {
		for _, t := range n.journeys(c, m, ipv6) {
			if v := g.evaluate(t); !v.allowed {
				return t, v, true
			}
		}
	}
	return traffic{}, verdict{}, false
}

// rulesOf returns the group's rules that are kept, and then the default ones.
func rulesOf(d *document.SecurityGroup, keep func(ruleOfGroup) bool) []ruleOfGroup {
	var out []ruleOfGroup
	for _, r := range d.Properties.Rules {
		if keep(r) {
			out = append(out, r)
		}
	}
	if len(d.Properties.Defaults) == 0 {
		return append(out, defaultRules()...)
	}
	return append(out, d.Properties.Defaults...)
}
