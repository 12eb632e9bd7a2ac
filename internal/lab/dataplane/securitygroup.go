package dataplane

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"tandem/internal/lab/network"
)

// Interface is a network interface with what guards it.
type Interface struct {
	Addresses []netip.Addr
	// Network is the address space of its virtual network: what the tag
	// VirtualNetwork stands for.
	Network []netip.Prefix
	// Applications are the ids of the application security groups that it is in.
	Applications []string
	// Groups are those of the interface and of its subnet; each must let a
	// packet pass (azure.md 2). An interface without any behaves as one whose
	// group has no rule but the default ones: a Standard load balancer is closed
	// to what comes from outside of the network (azure.md 1.2).
	Groups []SecurityGroup
}

// SecurityGroup is the rules of a network security group, the default ones
// among them, in any order.
type SecurityGroup []SecurityRule

// SecurityRule is a rule of a security group. Where nothing is said it is
// about nobody: "*" stands for everybody, and for every port.
type SecurityRule struct {
	Direction Direction
	Priority  int // the lowest number decides first
	Access    Access
	Protocol  string // Tcp, * or anything else, which is none of the lab's
	// Sources and Destinations are addresses, prefixes, *, ids of application
	// security groups and the tags VirtualNetwork, AzureLoadBalancer and
	// Internet. Other tags stand for nobody in the lab.
	Sources, Destinations []string
	// SourcePorts and DestinationPorts are numbers, ranges such as 8000-8100,
	// and *. The destination is the unit's own port, never a frontend's
	// (azure.md 2).
	SourcePorts, DestinationPorts []string
}

// Direction is the direction of a rule, in the spelling of the API.
type Direction string

// The directions.
const (
	Inbound  Direction = "Inbound"
	Outbound Direction = "Outbound"
)

// Access is what a rule does, in the spelling of the API.
type Access string

// The accesses.
const (
	Allow Access = "Allow"
	Deny  Access = "Deny"
)

// Guard lets the security groups of interfaces decide about every new stream
// to and from them, in place of those of the last call: the probe's, a
// client's on its way through a frontend, and whatever goes to a unit
// directly. Addresses of no interface are nobody's to guard. Established
// streams go on, whatever changes.
func (d *DataPath) Guard(interfaces []Interface) {
	applications := map[string][]netip.Addr{}
	for _, i := range interfaces {
		for _, id := range i.Applications {
			id = strings.ToLower(id)
			applications[id] = append(applications[id], i.Addresses...)
		}
	}
	guards := map[netip.Addr]guard{}
	for _, i := range interfaces {
		g := guardOf(i, tagged{network: i.Network, withProbe: d.opts.ProbeInVirtualNetwork, applications: applications})
		for _, addr := range i.Addresses {
			guards[addr.Unmap()] = g
		}
	}
	d.net.SetFilter(network.Filter(func(from, to netip.AddrPort) bool {
		if g, known := guards[from.Addr()]; known && !g.lets(Outbound, from, to) {
			return false
		}
		g, known := guards[to.Addr()]
		return !known || g.lets(Inbound, from, to)
	}))
}

// guard is what guards an interface, ready to be asked. It is never changed.
type guard struct{ groups []map[Direction][]matcher }

// guardOf prepares the groups of an interface.
func guardOf(i Interface, tags tagged) guard {
	groups := i.Groups
	if len(groups) == 0 {
		groups = []SecurityGroup{defaultRules()}
	}
	var g guard
	for _, rules := range groups {
		sorted := slices.SortedStableFunc(slices.Values(rules), func(a, b SecurityRule) int { return a.Priority - b.Priority })
		ready := map[Direction][]matcher{}
		for _, r := range sorted {
			ready[r.Direction] = append(ready[r.Direction], matcher{
				allow:   r.Access == Allow,
				matches: r.Protocol == "*" || strings.EqualFold(r.Protocol, "Tcp"),
				from:    tags.places(r.Sources), to: tags.places(r.Destinations),
				fromPorts: portRanges(r.SourcePorts), toPorts: portRanges(r.DestinationPorts),
			})
		}
		g.groups = append(g.groups, ready)
	}
	return g
}

// defaultRules are those that every group ends with (azure.md 2).
func defaultRules() SecurityGroup {
	all := []string{"*"}
	rule := func(d Direction, priority int, a Access, from, to string) SecurityRule {
		return SecurityRule{
			Direction: d, Priority: priority, Access: a, Protocol: "*",
			Sources: []string{from}, Destinations: []string{to}, SourcePorts: all, DestinationPorts: all,
		}
	}
	return SecurityGroup{
		rule(Inbound, 65000, Allow, tagVirtualNetwork, tagVirtualNetwork),
		rule(Inbound, 65001, Allow, tagLoadBalancer, "*"),
		rule(Inbound, 65500, Deny, "*", "*"),
		rule(Outbound, 65000, Allow, tagVirtualNetwork, tagVirtualNetwork),
		rule(Outbound, 65001, Allow, "*", tagInternet),
		rule(Outbound, 65500, Deny, "*", "*"),
	}
}

// lets tells whether every group lets a new stream pass. In each the first
// rule that matches decides; where none does, nothing passes.
func (g guard) lets(d Direction, from, to netip.AddrPort) bool {
	for _, group := range g.groups {
		i := slices.IndexFunc(group[d], func(m matcher) bool { return m.is(from, to) })
		if i < 0 || !group[d][i].allow {
			return false
		}
	}
	return true
}

// matcher is a rule, ready to be asked.
type matcher struct {
	allow, matches     bool // matches: it is about TCP
	from, to           []place
	fromPorts, toPorts [][2]uint16
}

func (m matcher) is(from, to netip.AddrPort) bool {
	return m.matches && within(m.from, from.Addr()) && within(m.to, to.Addr()) && among(m.fromPorts, from.Port()) && among(m.toPorts, to.Port())
}

// place is a set of addresses.
type place func(netip.Addr) bool

func within(places []place, a netip.Addr) bool {
	return slices.ContainsFunc(places, func(p place) bool { return p(a) })
}

func among(ranges [][2]uint16, port uint16) bool {
	return slices.ContainsFunc(ranges, func(r [2]uint16) bool { return r[0] <= port && port <= r[1] })
}

// The service tags that mean something in the lab (azure.md 2).
const (
	tagVirtualNetwork = "VirtualNetwork"
	tagLoadBalancer   = "AzureLoadBalancer"
	tagInternet       = "Internet"
)

// tagged knows what tags stand for at an interface.
type tagged struct {
	network      []netip.Prefix
	withProbe    bool
	applications map[string][]netip.Addr // by id in lower case
}

func (t tagged) places(words []string) []place {
	var all []place
	for _, w := range words {
		if p := t.place(w); p != nil {
			all = append(all, p)
		}
	}
	return all
}

// place returns what one word stands for, nil for nobody.
func (t tagged) place(word string) place {
	if addr, err := netip.ParseAddr(word); err == nil {
		return func(a netip.Addr) bool { return a == addr.Unmap() }
	}
	if prefix, err := netip.ParsePrefix(word); err == nil {
		return prefix.Contains
	}
	if members, known := t.applications[strings.ToLower(word)]; known {
		return func(a netip.Addr) bool { return slices.Contains(members, a) }
	}
	switch {
	case word == "*":
		return func(netip.Addr) bool { return true }
	case strings.EqualFold(word, tagLoadBalancer):
		return func(a netip.Addr) bool { return a == ProbeSource }
	case strings.EqualFold(word, tagVirtualNetwork):
		return t.inside
	case strings.EqualFold(word, tagInternet):
		return func(a netip.Addr) bool { return !t.inside(a) && a != ProbeSource }
	}
	return nil
}

func (t tagged) inside(a netip.Addr) bool {
	return t.withProbe && a == ProbeSource || slices.ContainsFunc(t.network, func(p netip.Prefix) bool { return p.Contains(a) })
}

// portRanges reads ports; what is no port is about none.
func portRanges(words []string) [][2]uint16 {
	var all [][2]uint16
	for _, w := range words {
		low, high, isRange := strings.Cut(w, "-")
		if w == "*" {
			low, high, isRange = "0", "65535", true
		}
		if !isRange {
			high = low
		}
		from, errFrom := strconv.ParseUint(low, 10, 16)
		until, errUntil := strconv.ParseUint(high, 10, 16)
		if errFrom == nil && errUntil == nil {
			all = append(all, [2]uint16{uint16(from), uint16(until)})
		}
	}
	return all
}
