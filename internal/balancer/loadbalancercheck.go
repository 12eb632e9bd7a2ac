package balancer

import (
	"net/netip"
	"slices"
	"strings"

	"tandem/internal/balancer/document"
	"tandem/internal/pair"
)

// The platform's limits (azure.md 1.7).
const (
	mostRulesOfInterface = 300
	mostRulesOfBalancer  = 1500
	mostFrontends        = 600
)

// checkBalancer refuses a load balancer that exists and cannot become what the
// pair needs.
func (c *compilation) checkBalancer(b *balancer) {
	c.checkKind(b)
	c.checkNATPools(b)
	c.checkHAPorts(b)
	c.checkSharedProbe(b)
	c.checkCheckRule(b)
	c.checkOneOfAKind(b)
	total := len(b.rules) + len(b.nats) + len(b.othersRules()) + len(b.othersNATRules())
	if total > mostRulesOfBalancer {
		c.refuse(b.at+".rules", plain(total)+" rules", "a load balancer has "+plain(mostRulesOfBalancer)+" at most, those of others included",
			"put some of them on another load balancer")
	}
	if n := len(b.doc.Properties.Frontends) + len(b.newFrontends()); n > mostFrontends {
		c.refuse(b.at+".frontends", plain(n)+" frontends", "a load balancer has "+plain(mostFrontends)+" at most, those of others included",
			"put some of them on another load balancer")
	}
}

func (b *balancer) newFrontends() []*frontend {
	return slices.DeleteFunc(slices.Clone(b.frontends), func(f *frontend) bool { return f.existing != nil })
}

// checkKind refuses what cannot be changed after a load balancer was created.
func (c *compilation) checkKind(b *balancer) {
	if sku := b.doc.SKU; b.exists() && sku.Name != "" && !strings.EqualFold(sku.Name, "Standard") {
		c.refuse(b.at+".name", b.file.Name, "the load balancer is "+sku.Name+", and the pair needs a Standard one; Basic is retired, "+
			"and a SKU cannot be changed", "build a new one under another name, or migrate this one, and name it here")
	} else if strings.EqualFold(sku.Tier, "Global") {
		c.refuse(b.at+".name", b.file.Name, "the load balancer is of the global tier, which has load balancers behind it and no machines",
			"name a regional one")
	}
	for _, p := range b.doc.Properties.Frontends {
		if p.Properties.Public() != b.public() {
			c.refuse(b.at+".frontends", b.frontends[0].file.Name+" is "+kindName(b.public()), "the load balancer has the "+kindName(p.Properties.Public())+
				" frontend "+p.Name+", and is wholly internal or wholly public", "name another load balancer for it in the pair file")
			return
		}
	}
}

func kindName(public bool) string {
	if public {
		return "public"
	}
	return "internal"
}

// checkNATPools refuses NAT rules beside the pools of NAT rules that scale sets have.
func (c *compilation) checkNATPools(b *balancer) {
	if pools := b.doc.Properties.NATPools; len(pools) > 0 && len(b.nats) > 0 {
		c.refuse(b.at+".management", "NAT rules", "the load balancer has the inbound NAT pool "+pools[0].Name+
			" of a scale set, and Azure takes no NAT rules beside one", "leave management out, or name another load balancer")
	}
}

// checkHAPorts refuses a rule for all ports on what the pair uses.
func (c *compilation) checkHAPorts(b *balancer) {
	for _, r := range b.othersRules() {
		p := r.Properties
		if !strings.EqualFold(p.Protocol, "All") || p.FrontendPort != 0 {
			continue
		}
		onFrontend := b.frontendAt(p.Frontend) != nil
		inPool := slices.ContainsFunc(b.pools, func(q *pool) bool { return document.Refer(p.AllPools(), q.id) })
		if onFrontend || inPool {
			c.refuse(b.at+".rules", b.file.Name, "the load balancer has the HA ports rule "+r.Name+
				", which takes every port and excludes every other rule of its frontend and pool",
				"remove that rule, or use other frontends and pools")
		}
	}
}

// checkSharedProbe refuses to change AllProbedUp under the rules of somebody else.
func (c *compilation) checkSharedProbe(b *balancer) {
	name := c.probeName(b)
	others := b.othersOfProbe(name)
	i := slices.IndexFunc(b.doc.Properties.Probes, document.Named[document.Probe](name))
	if i < 0 || len(others) == 0 || !strings.EqualFold(b.doc.Properties.Probes[i].Properties.NoHealthyBackends, "AllProbedUp") {
		return
	}
	c.refuse(b.at+".probe", name, "the probe says AllProbedUp, which would send traffic to both units when neither answers 200, "+
		"and the rule "+others[0]+" of somebody else uses it too", "give that rule a probe of its own, or let it agree to AllProbedDown")
}

// checkCheckRule refuses a rule on the check port that leads elsewhere.
func (c *compilation) checkCheckRule(b *balancer) {
	port := c.def.HA.CheckPort
	for _, r := range b.rules {
		if r.Port == port && r.UnitPort() != port {
			c.refuse(r.at+".backendPort", plain(r.UnitPort()), "the probe asks port "+plain(port)+
				", and this rule gives the answer of another port for that of the check port", "make it "+plain(port)+", or use another frontend port")
		}
	}
}

// checkOneOfAKind refuses a second internal or a second public load balancer for
// an interface, unless Azure took it before.
func (c *compilation) checkOneOfAKind(b *balancer) {
	if b.file.Members == pair.ByAddress {
		return
	}
	for _, m := range c.machines {
		if slices.Contains(m.nic.Balancers(), pair.NewResourceID(b.id)) {
			continue
		}
		if other := c.sameKind(b, m); other != "" {
			c.refuse(b.at+".name", b.file.Name, "the "+m.role.String()+" unit's interface is behind the "+kindName(b.public())+" "+other+
				" too, and can be behind one internal and one public load balancer (AnotherInternalLoadBalancerExists)",
				"put the frontends and rules of both on one load balancer")
		}
	}
}

// sameKind names another load balancer of the same kind that a unit is behind or
// will be.
func (c *compilation) sameKind(b *balancer, m machine) string {
	for _, other := range c.balancers {
		if other == b {
			break
		}
		if other.public() == b.public() && other.file.Members != pair.ByAddress {
			return pair.NewResourceID(other.id).Title()
		}
	}
	for _, id := range m.nic.Balancers() {
		doc, ok := read[document.LoadBalancer](c, id)
		if ok && !c.isOurs(id) && len(doc.Properties.Frontends) > 0 && doc.Properties.Frontends[0].Properties.Public() == b.public() {
			return id.Title()
		}
	}
	return ""
}

// isOurs reports whether a load balancer is one of the pair's.
func (c *compilation) isOurs(id pair.ResourceID) bool {
	return slices.ContainsFunc(c.balancers, func(b *balancer) bool { return pair.NewResourceID(b.id) == id })
}

// checkRuleName refuses to take a rule of somebody else's for the pair's because
// of its name: one that neither comes from a frontend of the pair nor leads to a
// pool of it.
func (c *compilation) checkRuleName(b *balancer, r *balanceRule) {
	p := r.existing.Properties
	f := b.frontendAt(p.Frontend)
	fromOurs := p.Frontend.ID == "" || f != nil && f.certain(c.def, b.doc)
	toOurs := len(p.AllPools()) == 0 || slices.ContainsFunc(b.pools, func(q *pool) bool { return document.Refer(p.AllPools(), q.id) })
	if !fromOurs && !toOurs {
		c.refuse(r.at+".name", r.Name, "the load balancer has a rule of this name that leads from the frontend "+p.Frontend.Resource().Name()+
			" to the pool "+p.Pool.Resource().Name()+", so it is somebody else's", "choose another name")
		r.existing = nil
	}
}

// checkFrontendName refuses to take the frontend that somebody else's rules use
// for the pair's because of its name.
func (c *compilation) checkFrontendName(b *balancer, f *frontend) {
	if f.certain(c.def, b.doc) {
		return
	}
	for _, r := range b.doc.Properties.Rules {
		ours := slices.ContainsFunc(b.rules, func(o *balanceRule) bool { return o.existing != nil && strings.EqualFold(o.existing.Name, r.Name) })
		if !ours && r.Properties.Frontend.Is(f.id) {
			c.refuse(f.at+".name", f.file.Name, "the load balancer has a frontend of this name with another address, and the rule "+r.Name+
				" of somebody else uses it", "choose another name, or correct the address")
			return
		}
	}
}

func (c *compilation) checkFrontend(b *balancer, f *frontend) {
	c.checkFrontendName(b, f)
	if f.file.Is6() {
		for _, m := range c.machines {
			if m.found() && m.inFamily(true) == nil {
				c.refuse(f.at, f.file.Name, "it takes IPv6 traffic, and the "+m.role.String()+" unit's interface "+m.nicID.Name()+
					" has no IPv6 configuration", "add one to the interface, in a subnet with an IPv6 network")
			}
		}
	}
	if f.file.PublicIP != "" {
		c.checkPublicIP(b, f)
		return
	}
	for _, r := range b.rules {
		if r.frontend == f && r.FloatingIP {
			c.checkFloating(r)
		}
	}
	if subnet := c.subnetOf(f); subnet != "" && (f.existing == nil || f.file.Subnet != "") {
		c.checkSubnet(f, pair.NewResourceID(subnet))
	}
}

// checkFloating refuses a floating IP where an internal load balancer has none
// (azure.md 1.6).
func (c *compilation) checkFloating(r *balanceRule) {
	if r.frontend.file.Is6() {
		c.refuse(r.at+".floatingIP", "true", "an internal load balancer has no floating IP for IPv6", "set it to false, and use another backendPort")
		return
	}
	for _, m := range c.machines {
		if config := m.inFamily(false); config != nil && !config.Properties.Primary {
			c.refuse(r.at+".floatingIP", "true", "the "+m.role.String()+" unit's address is on the secondary IP configuration "+config.Name+
				", for which Azure has no floating IP", "set it to false, or use the primary address")
		}
	}
}

func (c *compilation) checkSubnet(f *frontend, id pair.ResourceID) {
	subnet, ok := read[document.Subnet](c, id)
	field, value := f.at+".subnet", f.file.Subnet
	if value == "" {
		field, value = f.at+".address", f.file.Address.String()
	}
	if !ok {
		c.refuse(field, value, "there is no subnet "+id.Name()+" in the units' network", "name one that exists")
		return
	}
	inside := slices.ContainsFunc(subnet.Prefixes(), func(p netip.Prefix) bool { return p.Contains(f.file.Address) })
	if len(subnet.Prefixes()) > 0 && !inside {
		c.refuse(f.at+".address", f.file.Address.String(), "it is not in the subnet "+id.Name()+", "+joined(subnet.Prefixes()),
			"use a free address of that subnet, or name the right one in subnet")
	}
}

func joined(prefixes []netip.Prefix) string {
	out := make([]string, len(prefixes))
	for i, p := range prefixes {
		out[i] = p.String()
	}
	return strings.Join(out, ", ")
}

func (c *compilation) checkPublicIP(b *balancer, f *frontend) {
	id := pair.NewResourceID(publicIPOf(c.def, b.doc, f.file))
	doc, ok := read[document.PublicIP](c, id)
	if !ok {
		return
	}
	if sku := doc.SKU.Name; sku != "" && !strings.EqualFold(sku, "Standard") {
		c.refuse(f.at+".publicIP", f.file.PublicIP, "the public IP is "+sku+
			", and a Standard load balancer takes Standard ones only; Basic is retired (DifferentSkuLoadBalancersAndPublicIPAddressNotAllowed)",
			"upgrade it to Standard, or name another one")
	}
	if is6 := strings.EqualFold(doc.Properties.Version, "IPv6"); is6 != f.file.Is6() {
		c.refuse(f.at+".ipv6", trueOrFalse(f.file.IPv6), "the public IP is an "+ipVersion(is6)+" address", "set ipv6 to "+trueOrFalse(is6))
	}
	if user := doc.Properties.UsedBy.Resource(); user != "" && !strings.HasPrefix(string(user), string(pair.NewResourceID(b.id))+"/") {
		c.refuse(f.at+".publicIP", f.file.PublicIP, "the public IP belongs to "+string(user)+" already", "name another one")
	}
}

func trueOrFalse(b bool) string {
	if b {
		return "true"
	}
	return "false"
}

// stranger names a member of a pool that is none of the units' interfaces and
// addresses, if there is one.
func (c *compilation) stranger(p document.Pool) string {
	for _, ref := range p.Configurations {
		if !c.hasInterface(ref) {
			return "interface " + pair.NewResourceID(document.UpTo(ref.ID, "ipConfigurations")).Name()
		}
	}
	for _, a := range p.Addresses {
		addr, err := netip.ParseAddr(a.Properties.Address)
		switch ref := a.Properties.Configuration; {
		case ref.ID != "" && !c.hasInterface(ref):
			return "interface " + pair.NewResourceID(document.UpTo(ref.ID, "ipConfigurations")).Name()
		case ref.ID == "" && err == nil && c.machines[0].nic.Holding(addr) == nil && c.machines[1].nic.Holding(addr) == nil:
			return "address " + addr.String()
		}
	}
	return ""
}

// hasInterface reports whether an IP configuration is of an interface of a unit.
func (c *compilation) hasInterface(config document.Reference) bool {
	return slices.ContainsFunc(c.machines[:], func(m machine) bool {
		return document.Refer(m.vm.Properties.NetworkProfile.Interfaces, document.UpTo(config.ID, "ipConfigurations"))
	})
}

// checkPool refuses a pool that others are in, and to turn a pool of one kind of
// members into the other: that cannot be done without an interruption, and
// changes outbound traffic (azure.md 0, 1.3).
func (c *compilation) checkPool(b *balancer, p *pool) {
	if other := c.stranger(p.existing); other != "" {
		c.refuse(b.at+".pools", p.name, "the pool holds "+other+" too, which is none of the pair's units, and would get their traffic",
			"take it out of the pool, or name a pool of the pair's own")
	}
	switch {
	case p.byAddress && p.existing.ByInterface():
		c.refuse(b.at+".members", "address", "the pool "+p.name+" has members by interface, and a pool has one kind",
			"set members: interface, or name a new pool")
	case !p.byAddress && p.existing.ByAddress():
		c.refuse(b.at+".members", "interface", "the pool "+p.name+" has members by address, and a pool has one kind",
			"set members: address, or name a new pool")
	}
}
