package arm

import (
	"net/netip"
	"strings"

	"tandem/internal/lab/dataplane"
)

// checkVirtualNetwork refuses a network or subnet without a usable prefix.
func checkVirtualNetwork(r *resource, d document) error {
	p := properties(d)
	space := prefixes(object(p, "addressSpace"), "addressPrefixes")
	if len(space) == 0 {
		return refuse(codeFormat, "Virtual network "+r.id+" has no valid address space.")
	}
	for _, s := range list(p, "subnets") {
		prefix, err := netip.ParsePrefix(text(properties(s), "addressPrefix"))
		inside := false
		for _, whole := range space {
			inside = inside || err == nil && whole.Contains(prefix.Addr()) && whole.Bits() <= prefix.Bits()
		}
		if !inside {
			return refuse(codeFormat, "Subnet "+text(s, "name")+" of "+r.id+" has no address prefix within the address space.")
		}
	}
	return nil
}

// prefixes reads a list of prefixes; one that is none leaves nothing.
func prefixes(d document, key string) []netip.Prefix {
	array, _ := d[key].([]any)
	var all []netip.Prefix
	for _, e := range array {
		s, _ := e.(string)
		p, err := netip.ParsePrefix(s)
		if err != nil {
			return nil
		}
		all = append(all, p)
	}
	return all
}

// completeVirtualNetwork fills in what the service adds to every subnet.
func completeVirtualNetwork(d document) {
	for _, s := range list(properties(d), "subnets") {
		p := properties(s)
		standard(p, "privateEndpointNetworkPolicies", "Disabled")
		standard(p, "privateLinkServiceNetworkPolicies", "Enabled")
	}
}

// guard puts the security groups in place that are in effect. m.mu is held.
func (m *Manager) guard() {
	var all []dataplane.Interface
	for _, r := range m.order {
		if !r.kind.is("networkInterfaces") || r.carried == nil {
			continue
		}
		own := m.rulesOf(reference(properties(r.carried), "networkSecurityGroup"))
		for _, c := range list(properties(r.carried), "ipConfigurations") {
			if i, known := m.guarded(properties(c)); known {
				i.Groups = append(i.Groups, own...)
				all = append(all, i)
			}
		}
	}
	m.later(func() { m.path.Guard(all) })
}

// guarded describes an IP configuration for the data path, with the group of
// its subnet. Where no virtual network is known, nobody guards it. m.mu is
// held.
func (m *Manager) guarded(p document) (dataplane.Interface, bool) {
	addr, err := netip.ParseAddr(text(p, "privateIPAddress"))
	t := parseTarget(reference(p, "subnet"))
	vnet, _ := m.find(reference(p, "subnet"))
	if err != nil || vnet == nil || vnet.carried == nil {
		return dataplane.Interface{}, false
	}
	subnet := child(vnet.carried, "subnets", t.childName)
	return dataplane.Interface{
		Addresses:    []netip.Addr{addr},
		Network:      prefixes(object(properties(vnet.carried), "addressSpace"), "addressPrefixes"),
		Applications: references(p, "applicationSecurityGroups"),
		Groups:       m.rulesOf(reference(properties(subnet), "networkSecurityGroup")),
	}, true
}

// rulesOf returns the rules of a group that are in effect, or nothing where
// there is no such group. m.mu is held.
func (m *Manager) rulesOf(group string) []dataplane.SecurityGroup {
	r, _ := m.find(group)
	if r == nil || r.carried == nil {
		return nil
	}
	rules := dataplane.SecurityGroup{}
	for _, col := range r.kind.collections {
		for _, rule := range list(properties(r.carried), col.name) {
			rules = append(rules, securityRule(properties(rule)))
		}
	}
	return []dataplane.SecurityGroup{rules}
}

func securityRule(p document) dataplane.SecurityRule {
	// The API takes and gives words in any case.
	access, direction := dataplane.Deny, dataplane.Outbound
	if strings.EqualFold(text(p, "access"), string(dataplane.Allow)) {
		access = dataplane.Allow
	}
	if strings.EqualFold(text(p, "direction"), string(dataplane.Inbound)) {
		direction = dataplane.Inbound
	}
	return dataplane.SecurityRule{
		Direction: direction, Priority: number(p, "priority", 0), Access: access, Protocol: text(p, "protocol"),
		Sources:      append(oneOrMany(p, "sourceAddressPrefix", "es"), references(p, "sourceApplicationSecurityGroups")...),
		Destinations: append(oneOrMany(p, "destinationAddressPrefix", "es"), references(p, "destinationApplicationSecurityGroups")...),
		SourcePorts:  oneOrMany(p, "sourcePortRange", "s"), DestinationPorts: oneOrMany(p, "destinationPortRange", "s"),
	}
}

// oneOrMany reads a value that a rule may have alone or in a list, the name of
// which has an ending more.
func oneOrMany(p document, key, plural string) []string {
	var all []string
	if s := text(p, key); s != "" {
		all = append(all, s)
	}
	array, _ := p[key+plural].([]any)
	for _, e := range array {
		if s, isText := e.(string); isText {
			all = append(all, s)
		}
	}
	return all
}
