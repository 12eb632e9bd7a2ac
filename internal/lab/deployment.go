package lab

import (
	"fmt"
	"net/netip"
	"slices"

	"tandem/internal/lab/arm"
	"tandem/internal/lab/network"
)

// The virtual network of every world. The units, their clients and the private
// frontends are in one subnet, and the program is in the one beside it.
var (
	networkSpace  = netip.MustParsePrefix("10.0.0.0/16")
	unitsPrefix   = netip.MustParsePrefix("10.0.0.0/24")
	programPrefix = netip.MustParsePrefix("10.0.1.0/24")
)

const (
	networkName   = "vnet-edge"
	unitsSubnet   = "units"
	programSubnet = "tandem"
	// appliancesSubnet has the units whose addresses are not in unitsPrefix.
	appliancesSubnet = "appliances"
)

// syncPort is the port on which the units exchange their settings
// (loadmaster.md 1.2).
const syncPort = 6973

// ownSubnet is the subnet of units whose addresses are in none of the usual ones, where
// a story has such; the zero prefix otherwise.
func (w *World) ownSubnet() netip.Prefix {
	if first := w.plan.Units[pairRoles[0]].Address; !networkSpace.Contains(first) {
		return netip.PrefixFrom(first, unitsPrefix.Bits()).Masked()
	}
	return netip.Prefix{}
}

func (p plan) networkID() string {
	return p.resource("Microsoft.Network/virtualNetworks", networkName)
}

func (p plan) subnetID(name string) string { return p.networkID() + "/subnets/" + name }

// ProgramSubnet is the subnet in which the program runs, from which it asks the
// units: what a deployment knows of itself.
func (w *World) ProgramSubnet() netip.Prefix { return programPrefix }

// deploy puts the pairs' resources into Resource Manager: the machines, their
// interfaces and their network always, and what the pairs are to have in front
// of them unless the world is a fresh one.
func (w *World) deploy() error {
	network := arm.VirtualNetwork{
		ID: w.plan.networkID(), Space: []netip.Prefix{networkSpace},
		Subnets: []arm.Subnet{{Name: unitsSubnet, Prefix: unitsPrefix}, {Name: programSubnet, Prefix: programPrefix}},
	}
	if own := w.ownSubnet(); own.IsValid() {
		network.Space = append(network.Space, own)
		network.Subnets = append(network.Subnets, arm.Subnet{Name: appliancesSubnet, Prefix: own})
	}
	if err := w.manager.SeedVirtualNetwork(network); err != nil {
		return err
	}
	if !w.Scenario.Fresh {
		if err := w.deployInFront(); err != nil {
			return err
		}
	}
	for _, p := range w.pairs {
		for i, role := range pairRoles {
			if err := w.deployUnit(p, i, role); err != nil {
				return err
			}
		}
	}
	return nil
}

// deployInFront makes the load balancers, their public addresses and the
// security groups of the pairs as their files say.
func (w *World) deployInFront() error {
	var balancers []arm.LoadBalancer
	var groups []arm.SecurityGroup
	for _, p := range w.pairs {
		var err error
		if balancers, err = p.addBalancers(balancers); err != nil {
			return err
		}
		groups = p.addGroup(groups)
		for _, id := range p.plan.publicIPIDs() {
			if err := w.manager.Seed(fmt.Appendf(nil, `{"id": %q}`, id)); err != nil {
				return err
			}
		}
	}
	for _, lb := range balancers {
		if err := w.manager.SeedLoadBalancer(lb); err != nil {
			return err
		}
	}
	for _, g := range groups {
		if err := w.manager.SeedSecurityGroup(g); err != nil {
			return err
		}
	}
	return nil
}

// deployUnit makes the machine of a unit, each of a pair in a zone of its own,
// and its interface.
func (w *World) deployUnit(p *pairOf, i int, role string) error {
	subnet := unitsSubnet
	if w.ownSubnet().IsValid() {
		subnet = appliancesSubnet
	}
	vm, nic := p.plan.vmID(role), arm.NIC{
		ID: p.plan.nicID(role), VM: p.plan.vmID(role), Address: p.plan.Units[role].Address, Subnet: p.plan.subnetID(subnet),
	}
	if !w.Scenario.Fresh {
		nic.Pools, nic.NATRules = p.plan.poolIDs(), p.plan.natIDs(i)
		if name := p.plan.SecurityGroup.Name; name != "" {
			nic.SecurityGroup = p.plan.securityGroupID()
		}
	}
	if err := w.manager.SeedVM(arm.VM{ID: vm, Interfaces: []string{nic.ID}, Zone: fmt.Sprint(i + 1)}); err != nil {
		return err
	}
	return w.manager.SeedNIC(nic)
}

// hostAt finds the machine with an address, so that a security group sees who
// it is that sends through a load balancer.
func (w *World) hostAt(a netip.Addr) *network.Host {
	if a == w.outside.Addr() {
		return w.outside
	}
	if w.crowd != nil && a == w.crowd.host.Addr() {
		return w.crowd.host
	}
	for _, m := range w.machines {
		if a == m.Addr() {
			return m
		}
	}
	return nil
}

// Passes tells whether new connections get from one unit to a port of another,
// by their roles: whether no cut link, no rule and no security group is in the
// way.
func (w *World) Passes(from, to string, port int) bool {
	return w.net.Passes(w.plan.Units[from].Address, netip.AddrPortFrom(w.plan.Units[to].Address, uint16(port)))
}

// syncs is whether the units' settings get from each to the other.
func (w *World) syncs() bool {
	first, second := pairRoles[0], pairRoles[1]
	return w.Passes(first, second, syncPort) && w.Passes(second, first, syncPort)
}

// groupRules are the rules of a pair's security group (azure.md 2): the ports of
// the units, each with those who may open it.
func (p plan) groupRules() []arm.SecurityRule {
	units := []string{p.Units[pairRoles[0]].Address.String(), p.Units[pairRoles[1]].Address.String()}
	program := []string{programPrefix.String()}
	rules := []arm.SecurityRule{
		{Name: "check-probe", From: []string{"AzureLoadBalancer"}, Port: p.HA.CheckPort},
		{Name: "check-partner", From: units, Port: p.HA.CheckPort},
		{Name: "check-tandem", From: program, Port: p.HA.CheckPort},
		{Name: "sync", From: units, Port: syncPort},
		{Name: "api-tandem", From: program, Port: p.apiPort()},
	}
	if from := words(p.SecurityGroup.ManagementFrom); len(from) > 0 {
		rules = append(rules,
			arm.SecurityRule{Name: "api", From: from, Port: p.apiPort()},
			arm.SecurityRule{Name: "ssh", From: from, Port: sshPort},
		)
	}
	for _, port := range p.servicePorts() {
		var from []string
		for _, r := range p.published() {
			if r.unitPort() == port {
				from = append(from, words(r.From)...)
			}
		}
		slices.Sort(from)
		if from = slices.Compact(from); len(from) > 0 {
			rules = append(rules, arm.SecurityRule{Name: fmt.Sprintf("published-%d", port), From: from, Port: port})
		}
	}
	for i, r := range rules {
		rules[i].Description = "pair " + p.Name + ": " + r.Name
		rules[i].Name = "tandem-" + p.Name + "--" + r.Name
		rules[i].To = units
	}
	return rules
}

func words(prefixes []netip.Prefix) []string {
	var all []string
	for _, p := range prefixes {
		all = append(all, p.String())
	}
	return all
}

// firstPriority and priorityStep leave room before and between the rules.
const (
	firstPriority = 1000
	priorityStep  = 10
)

// addGroup adds the rules of the pair to the group that its file names, which
// may be another pair's as well.
func (p *pairOf) addGroup(all []arm.SecurityGroup) []arm.SecurityGroup {
	if p.plan.SecurityGroup.Name == "" {
		return all
	}
	id := p.plan.securityGroupID()
	at := slices.IndexFunc(all, func(g arm.SecurityGroup) bool { return g.ID == id })
	if at < 0 {
		at = len(all)
		all = append(all, arm.SecurityGroup{ID: id})
	}
	for _, r := range p.plan.groupRules() {
		r.Priority = firstPriority + priorityStep*len(all[at].Rules)
		all[at].Rules = append(all[at].Rules, r)
	}
	return all
}
