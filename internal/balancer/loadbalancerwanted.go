package balancer

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"tandem/internal/balancer/document"
	"tandem/internal/pair"
)

// wantBalancer wants all fields of a load balancer.
func (c *compilation) wantBalancer(b *balancer) {
	b.shape = &shape{resource: Resource{
		ID: pair.NewResourceID(b.id), New: blank(b.id, c.def.Azure.Location, true, "{}"),
	}}
	b.shape.expect(4*len(b.frontends) + 5*len(b.pools) + 7 + 12*len(b.rules) + 5*len(b.nats))
	at := b.shape.properties()
	for _, f := range b.frontends {
		c.wantFrontend(b, at, f)
	}
	for _, p := range b.pools {
		c.wantPool(at, p)
	}
	probe := c.wantProbe(b, at)
	for _, r := range b.rules {
		b.wantRule(at, r, probe)
	}
	for _, n := range b.nats {
		b.wantNATRule(at, n)
	}
}

func (c *compilation) wantFrontend(b *balancer, at spot, f *frontend) {
	at = at.element("frontendIPConfigurations", f.name)
	if f.file.PublicIP != "" {
		id := publicIPOf(c.def, b.doc, f.file)
		at.refers("publicIPAddress", id, "the frontend's public address, as the pair file says")
		c.wantPublicIP(id, f.file.Is6())
		return
	}
	why := "the frontend's address, as the pair file says"
	at.must("privateIPAddress", f.file.Address.String(), why)
	at.must("privateIPAllocationMethod", "Static", "an address that clients know must stay")
	at.mustUnless("privateIPAddressVersion", ipVersion(f.file.Is6()), "IPv4", why)
	// A frontend that exists keeps its subnet unless the pair file names one.
	if subnet := c.subnetOf(f); subnet != "" && (f.existing == nil || f.file.Subnet != "") {
		at.refers("subnet", subnet, "the frontend's subnet, in the units' network")
	}
}

// subnetOf is the id of the subnet that a frontend's address is in.
func (c *compilation) subnetOf(f *frontend) string {
	first := c.machines[0]
	switch {
	case !first.found():
		return ""
	case f.file.Subnet == "":
		return first.config.Properties.Subnet.ID
	default:
		return sibling(first.config.Properties.Subnet.ID, f.file.Subnet)
	}
}

// wantPublicIP wants a public address to exist: Standard like the load balancer
// (azure.md 1.2), and static, because clients know it.
func (c *compilation) wantPublicIP(id string, ipv6 bool) {
	c.publicIPs = append(c.publicIPs, &shape{resource: Resource{
		ID:  pair.NewResourceID(id),
		New: blank(id, c.def.Azure.Location, true, `{"publicIPAllocationMethod":"Static","publicIPAddressVersion":"`+ipVersion(ipv6)+`"}`),
	}})
}

func ipVersion(ipv6 bool) string {
	if ipv6 {
		return "IPv6"
	}
	return "IPv4"
}

func (c *compilation) wantPool(at spot, p *pool) {
	why := "the pool that holds the units (guide 5)"
	at.under(Segment{Name: "backendAddressPools", Key: "name", Value: p.name}).exists(why)
	if !p.byAddress {
		return
	}
	at = at.element("backendAddressPools", p.name)
	for _, m := range c.machines {
		if config := m.inFamily(p.ipv6); config != nil {
			c.wantAddress(at, p, m, config)
		}
	}
}

// wantAddress wants a unit to be in a pool by its address.
func (c *compilation) wantAddress(at spot, p *pool, m machine, config *document.IPConfiguration) {
	why := "the " + m.role.String() + " unit belongs to the pool " + p.name + ", by its address"
	name, located := c.def.Units.Of(m.role).VM, p.existing.Network.ID != ""
	for _, a := range p.existing.Addresses {
		if addr, err := netip.ParseAddr(a.Properties.Address); err == nil && addr == config.Addr() {
			name, located = a.Name, located || a.Properties.Network.ID != "" || a.Properties.Subnet.ID != ""
		}
	}
	at = at.element("loadBalancerBackendAddresses", name)
	at.must("ipAddress", config.Addr().String(), why)
	if !located {
		at.refers("virtualNetwork", document.UpTo(config.Properties.Subnet.ID, "subnets"), why)
	}
}

// wantProbe wants the health probe of the check port, and returns its id.
func (c *compilation) wantProbe(b *balancer, at spot) string {
	name := c.probeName(b)
	at = at.element("probes", name)
	p := b.file.Probe
	const guide = "the load balancer asks the check port which unit is active (guide 5.3)"
	at.must("protocol", "Http", "a standby answers 503, which only HTTP shows (guide 5.3)")
	at.must("port", c.def.HA.CheckPort, guide)
	at.must("requestPath", p.Path, guide)
	at.must("intervalInSeconds", int(time.Duration(p.Interval)/time.Second), guide)
	at.must("numberOfProbes", p.Threshold, "the older of two fields for the threshold")
	at.must("probeThreshold", p.Threshold, guide)
	at.mustUnless("noHealthyBackendsBehavior", "AllProbedDown", "AllProbedDown",
		"with AllProbedUp both units would get traffic when neither answers 200")
	return b.id + "/probes/" + name
}

// probeName finds the probe that the pair's rules use already, or else one of
// Tandem's own names that no rule of somebody else uses. Of several that they use
// it is the one that asks the check port, so that a rule which somebody gave another
// probe gets the pair's back, and that other one is left alone; or else that of the
// rule to the check port.
func (c *compilation) probeName(b *balancer) string {
	probes, used := b.doc.Properties.Probes, -1
	for _, r := range b.byCheckRule(c.def.HA.CheckPort) {
		if r.existing == nil {
			continue
		}
		name := r.existing.Properties.Probe.Resource().Name()
		i := slices.IndexFunc(probes, document.Named[document.Probe](name))
		if i < 0 || r.UnitPort() != c.def.HA.CheckPort && len(b.othersOfProbe(name)) > 0 {
			continue
		}
		if probes[i].Properties.Port == c.def.HA.CheckPort {
			return probes[i].Name
		}
		if used < 0 {
			used = i
		}
	}
	if used >= 0 {
		return probes[used].Name
	}
	if i := slices.IndexFunc(probes, document.Named[document.Probe](c.def.Name+"-check")); i >= 0 {
		return probes[i].Name
	}
	return ownName(c.def.Name, "check", func(name string) bool {
		return slices.ContainsFunc(probes, document.Named[document.Probe](name)) && len(b.othersOfProbe(name)) > 0
	})
}

// byCheckRule returns the rules with the one to the check port first.
func (b *balancer) byCheckRule(port int) []*balanceRule {
	rules := slices.Clone(b.rules)
	slices.SortStableFunc(rules, func(x, y *balanceRule) int {
		switch xIs, yIs := x.UnitPort() == port, y.UnitPort() == port; {
		case xIs == yIs:
			return 0
		case xIs:
			return -1
		default:
			return 1
		}
	})
	return rules
}

// othersOfProbe returns the names of the rules of somebody else that use a probe.
func (b *balancer) othersOfProbe(name string) []string {
	var out []string
	for _, r := range b.doc.Properties.Rules {
		if strings.EqualFold(r.Properties.Probe.Resource().Name(), name) && !b.isOurs(r.Name) {
			out = append(out, r.Name)
		}
	}
	return out
}

// isOurs reports whether an existing rule is one of the pair's.
func (b *balancer) isOurs(name string) bool {
	return slices.ContainsFunc(b.rules, func(r *balanceRule) bool { return strings.EqualFold(r.Name, name) })
}

func (b *balancer) wantRule(at spot, r *balanceRule, probe string) {
	at = at.element("loadBalancingRules", r.Name)
	at.refers("frontendIPConfiguration", r.frontend.id, r.why)
	at.refers("backendAddressPool", r.pool.id, r.why)
	if r.existing != nil && len(r.existing.Properties.Pools) > 0 { // said twice, and never differently (azure.md 1.6)
		for _, other := range r.existing.Properties.Pools {
			if !other.Is(r.pool.id) {
				at.reference("backendAddressPools", other.ID).gone("a rule sends to one pool")
			}
		}
		at.reference("backendAddressPools", r.pool.id).exists(r.why)
	}
	at.refers("probe", probe, "only the active unit gets new connections (guide 5.4)")
	at.must("protocol", "Tcp", r.why)
	at.must("frontendPort", r.Port, r.why)
	at.must("backendPort", r.UnitPort(), r.why)
	at.mustUnless("loadDistribution", distribution(r.Persistence), "Default", "session persistence (guide 5.4: None)")
	at.mustUnless("idleTimeoutInMinutes", int(time.Duration(r.IdleTimeout)/time.Minute), 4, "idle timeout (guide 5.4: 4 minutes)")
	at.mustUnless("enableFloatingIP", r.FloatingIP, false, "floating IP (guide 5.4: disabled)")
	if b.hasOutbound(r.frontend) {
		at.must("disableOutboundSnat", true, "an outbound rule has the same frontend")
	}
}

func distribution(p pair.Persistence) string {
	switch p {
	case pair.PersistSourceIP:
		return "SourceIP"
	case pair.PersistSourceIPProtocol:
		return "SourceIPProtocol"
	default:
		return "Default"
	}
}

func (b *balancer) hasOutbound(f *frontend) bool {
	return slices.ContainsFunc(b.doc.Properties.OutboundRules, func(p document.Part[document.OutboundRule]) bool {
		return document.Refer(p.Properties.Frontends, f.id)
	})
}

func (b *balancer) wantNATRule(at spot, n *natRule) {
	if n.dropped {
		if n.existing != nil {
			at.under(Segment{Name: "inboundNatRules", Key: "name", Value: n.name}).gone(n.why)
		}
		return
	}
	at = at.element("inboundNatRules", n.name)
	at.refers("frontendIPConfiguration", n.frontend.id, n.why)
	at.must("protocol", "Tcp", n.why)
	at.must("frontendPort", n.port, n.why)
	at.must("backendPort", n.unitPort, n.why)
	at.mustUnless("enableFloatingIP", false, false, "floating IP (guide 5.2: disabled)")
}
