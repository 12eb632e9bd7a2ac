package balancer

import (
	"net/netip"
	"slices"
	"strings"

	"tandem/internal/balancer/document"
	"tandem/internal/pair"
)

// machine is what was read of one unit.
type machine struct {
	role   pair.Role
	vm     *document.VM
	nicID  pair.ResourceID // the interface that holds the unit's address; empty when none was found
	nic    *document.Interface
	config *document.IPConfiguration // the one with the unit's address
	subnet *document.Subnet
}

func (m machine) found() bool { return m.config != nil }

// network is the id of the virtual network that the unit is in.
func (m machine) network() pair.ResourceID {
	return pair.NewResourceID(document.UpTo(m.config.Properties.Subnet.ID, "subnets"))
}

// inFamily returns the unit's IP configuration of an address family: the one
// with the unit's own address, or else the first of its interface. It is nil
// where there is none.
func (m machine) inFamily(ipv6 bool) *document.IPConfiguration {
	if m.config == nil || m.config.Addr().Is6() == ipv6 {
		return m.config
	}
	configs := m.nic.Properties.Configurations
	for i := range configs {
		if a := configs[i].Addr(); a.IsValid() && a.Is6() == ipv6 {
			return &configs[i]
		}
	}
	return nil
}

// hasConfig reports whether an IP configuration is one of the unit's interface.
func (m machine) hasConfig(ref document.Reference) bool {
	return slices.ContainsFunc(m.nic.Properties.Configurations, func(c document.IPConfiguration) bool { return ref.Is(c.ID) })
}

// spare returns another IP configuration of the unit's interface than the one
// that load-balancing rules lead to, or nil. One that a NAT rule leads to
// already is preferred.
func (m machine) spare(used *document.IPConfiguration) *document.IPConfiguration {
	var found *document.IPConfiguration
	configs := m.nic.Properties.Configurations
	for i := range configs {
		a, c := configs[i].Addr(), &configs[i]
		if used == nil || c.ID == used.ID || !a.IsValid() || a.Is6() != used.Addr().Is6() || len(c.Properties.Pools) > 0 {
			continue
		}
		if found == nil || len(found.Properties.NATRules) == 0 && len(c.Properties.NATRules) > 0 {
			found = c
		}
	}
	return found
}

// addresses are a unit's addresses to which the pair's traffic goes: its own,
// those in the pools, and those that NAT rules lead to.
func (c *compilation) addresses(m machine) []netip.Addr {
	if !m.found() {
		return nil
	}
	out := []netip.Addr{m.config.Addr()}
	add := func(config *document.IPConfiguration) {
		if config != nil && !slices.Contains(out, config.Addr()) {
			out = append(out, config.Addr())
		}
	}
	for _, b := range c.balancers {
		for _, p := range b.pools {
			add(m.inFamily(p.ipv6))
		}
		for _, n := range b.nats {
			if n.role == m.role && !n.dropped {
				add(n.config)
			}
		}
	}
	return out
}

// groups are the security groups that look at the unit's traffic: the subnet's
// and the interface's. Both must let it through (azure.md 2).
func (m machine) groups() []pair.ResourceID {
	var out []pair.ResourceID
	for _, ref := range []document.Reference{m.subnet.Properties.SecurityGroup, m.nic.Properties.SecurityGroup} {
		if ref.ID != "" && !slices.Contains(out, ref.Resource()) {
			out = append(out, ref.Resource())
		}
	}
	return out
}

// readMachines finds each unit in what was read.
func (c *compilation) readMachines() {
	for _, role := range pair.Roles {
		c.machines[role.Index()] = c.readMachine(role)
	}
}

func (c *compilation) readMachine(role pair.Role) machine {
	unit, m := c.def.Units.Of(role), machine{role: role, vm: new(document.VM), nic: new(document.Interface), subnet: new(document.Subnet)}
	vm, ok := read[document.VM](c, c.def.VMID(role))
	if !ok {
		c.refuse("units."+role.String()+".vm", unit.VM, "there is no such virtual machine in the resource group "+c.def.Azure.ResourceGroup+
			", and the units must be in one (guide 2)", "correct azure.resourceGroup or the name, or move the machine")
		return m
	}
	m.vm = vm
	for _, ref := range vm.Properties.NetworkProfile.Interfaces {
		nic, ok := read[document.Interface](c, ref.Resource())
		if config := nic.Holding(unit.Address); ok && config != nil {
			m.nicID, m.nic, m.config = ref.Resource(), nic, config
			m.subnet, _ = read[document.Subnet](c, config.Properties.Subnet.Resource())
			return m
		}
	}
	c.refuse("units."+role.String()+".address", unit.Address.String(), "no interface of the virtual machine "+unit.VM+" has this address",
		"correct the address, which is that of eth0")
	return m
}

// checkUnits refuses units that cannot be a pair (guide 2).
func (c *compilation) checkUnits() {
	for _, m := range c.machines {
		c.checkUnit(m)
	}
	first, second := c.machines[0], c.machines[1]
	if first.found() && second.found() && first.network() != second.network() {
		c.refuse("units.second.vm", c.def.Units.Second.VM, "it is in the network "+second.network().Name()+", and the first unit in "+
			first.network().Name()+"; a load balancer reaches the machines of one network only",
			"move one of the two into the other's network")
	}
	if c.def.VMID(pair.First) != c.def.VMID(pair.Second) && first.found() && second.found() {
		c.checkSpread(first.vm, second.vm)
	}
}

func (c *compilation) checkUnit(m machine) {
	at, unit := "units."+m.role.String(), c.def.Units.Of(m.role)
	if l := m.vm.Location; l != "" && plainLocation(l) != plainLocation(c.def.Azure.Location) {
		c.refuse(at+".vm", unit.VM, "it is in the region "+l+", and a load balancer in "+c.def.Azure.Location+" cannot reach it",
			"correct azure.location")
	}
	if n := len(m.vm.Properties.NetworkProfile.Interfaces); n > 1 && !c.def.HA.CheckAllInterfaces {
		c.refuse("ha.checkAllInterfaces", "false", "the virtual machine "+unit.VM+" has several interfaces, and the check port answers on "+
			"one of them unless hcai is set, so the probe may see a unit that is up as down",
			"set ha.checkAllInterfaces: true, and hcai=1 on both units")
	}
	if c.around.Bonded[m.role.Index()] {
		c.refuse(at+".vm", unit.VM, "the unit says that interfaces of it are bonded, which is impossible on Azure; "+
			"no document of Azure shows it", "undo the bond on the unit, and use one interface")
	}
	if p := c.around.CheckPorts[m.role.Index()]; p != 0 && p != c.def.HA.CheckPort {
		c.refuse("ha.checkPort", plain(c.def.HA.CheckPort), "the "+m.role.String()+" unit itself says "+plain(p)+
			"; with different ports on units and probe, HA does not work",
			"make the health check port the same on both units and in the pair file")
	}
}

// checkSpread refuses units that one broken rack or one maintenance takes away
// together: they are in one availability set or in two zones (guide 2).
func (c *compilation) checkSpread(first, second *document.VM) {
	set1, set2 := first.Properties.AvailabilitySet.Resource(), second.Properties.AvailabilitySet.Resource()
	oneSet := set1 != "" && set1 == set2
	twoZones := len(first.Zones) == 1 && len(second.Zones) == 1 && first.Zones[0] != second.Zones[0]
	if oneSet || twoZones {
		return
	}
	c.refuse("units", spread(first)+" and "+spread(second),
		"the units are neither in one availability set nor in two zones, so one fault or one maintenance of Azure takes both (guide 2)",
		"deploy the machines again into one availability set, or into two zones; neither can be changed afterwards")
}

// spread says for a person where a machine is.
func spread(vm *document.VM) string {
	switch set := vm.Properties.AvailabilitySet.Resource(); {
	case set != "":
		return "availability set " + set.Name()
	case len(vm.Zones) > 0:
		return "zone " + strings.Join(vm.Zones, ", ")
	default:
		return "no set and no zone"
	}
}

// compileInterfaces wants of each unit's interface what is only said there: the
// pools and the NAT rules of each of its IP configurations, and a security group
// where none looks at the unit's traffic.
func (c *compilation) compileInterfaces() {
	for _, m := range c.machines {
		if !m.found() {
			continue
		}
		s := &shape{resource: Resource{ID: m.nicID}}
		for i := range m.nic.Properties.Configurations {
			c.compileConfiguration(s, m, &m.nic.Properties.Configurations[i])
		}
		if c.group != nil && len(m.groups()) == 0 {
			_, exists := look[document.SecurityGroup](c.views, c.group.resource.ID)
			s.takesNew = s.takesNew || exists != there
			s.properties().refers("networkSecurityGroup", c.groupID(),
				"neither the interface nor its subnet has a security group, and a Standard load balancer reaches nobody without one")
		}
		c.nics = append(c.nics, s)
	}
	if c.swapped() {
		c.refuse("loadBalancers", "NAT rules", "each unit has a NAT rule that belongs to the other one, and a rule leads to one machine at a time, "+
			"so no order of writes can exchange them", "exchange the ports in management, or take one rule off its interface by hand")
	}
}

// compileConfiguration wants the memberships of one IP configuration.
func (c *compilation) compileConfiguration(s *shape, m machine, config *document.IPConfiguration) {
	at := s.properties().element("ipConfigurations", config.Name)
	for _, b := range c.balancers {
		for _, p := range b.pools {
			if p.joinedBy(m) != config {
				continue
			}
			at.reference("loadBalancerBackendAddressPools", p.id).exists(
				"the " + m.role.String() + " unit belongs to the pool " + p.name + ", by its interface (guide 5)")
			s.takesNew = s.takesNew || !p.exists
		}
		for _, n := range b.nats {
			c.compileNATMembership(s, at, m, config, n)
		}
	}
}

// compileNATMembership joins a NAT rule, or leaves one that leads elsewhere.
func (c *compilation) compileNATMembership(s *shape, at spot, m machine, config *document.IPConfiguration, n *natRule) {
	at = at.reference("loadBalancerInboundNatRules", n.id)
	joined := document.Refer(config.Properties.NATRules, n.id)
	switch {
	case n.role == m.role && n.config == config && !n.dropped:
		at.exists(n.why + "; a NAT rule finds its machine by the interface's reference")
		s.takesNew = s.takesNew || n.existing == nil
	case joined:
		s.gives = true
		why := "the NAT rule leads to the " + n.role.String() + " unit"
		if n.dropped {
			why = n.why
		}
		at.gone(why)
	}
}

// swapped reports whether both units hold a NAT rule that the other one must have.
func (c *compilation) swapped() bool {
	var holds [2]bool
	for _, b := range c.balancers {
		for _, n := range b.nats {
			for i, m := range c.machines {
				holds[i] = holds[i] || !n.dropped && n.role != m.role && m.inNAT(n.id)
			}
		}
	}
	return holds[0] && holds[1]
}

// inNAT reports whether the unit's interface refers to a NAT rule.
func (m machine) inNAT(id string) bool {
	return slices.ContainsFunc(m.nic.Properties.Configurations, func(c document.IPConfiguration) bool {
		return document.Refer(c.Properties.NATRules, id)
	})
}
