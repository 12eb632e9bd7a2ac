package discover

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"tandem/internal/balancer"
	"tandem/internal/balancer/document"
	"tandem/internal/pair"
)

// group is a security group as far as it is about one pair.
type group struct {
	id     pair.ResourceID // empty where there is none that a pair file can name
	name   string          // as it is spelled
	shared bool            // both units' traffic goes through it
	rules  []securityRule  // of people and of Tandem, in the order in which they are looked at
	owner  string          // the pair that a Tandem wrote rules for; empty where it has not
}

// securityRule is one rule of a group, taken apart.
type securityRule struct {
	name     string
	priority int
	inbound  bool
	allow    bool
	protocol string
	sources  []string // addresses, networks, tags, and ids of application security groups
	ports    []portRange
	anyPort  bool // it looks at no source port
	// reaches are the units, by their index, that its destinations include.
	reaches [2]bool
	to      []string
}

type portRange struct{ low, high int }

// newGroup takes a group apart.
func newGroup(id pair.ResourceID, doc *document.SecurityGroup, units [2]unit) group {
	g := group{id: id, name: spelledName(doc.ID)}
	if pair.NewResourceID(doc.ID) != id {
		g.name = id.Name()
	}
	for _, r := range doc.Properties.Rules {
		g.rules = append(g.rules, newSecurityRule(r, units))
	}
	slices.SortStableFunc(g.rules, func(a, b securityRule) int { return cmp.Compare(a.priority, b.priority) })
	g.owner = ownerOf(g.rules)
	return g
}

func newSecurityRule(r document.Part[document.SecurityRule], units [2]unit) securityRule {
	p := r.Properties
	out := securityRule{
		name: r.Name, priority: p.Priority, inbound: strings.EqualFold(p.Direction, "Inbound"), allow: strings.EqualFold(p.Access, "Allow"),
		protocol: p.Protocol, sources: document.Both(p.Source, p.Sources), to: document.Both(p.Destination, p.Destinations),
	}
	for _, ref := range p.SourceGroups {
		out.sources = append(out.sources, "the application security group "+ref.Resource().Name())
	}
	for _, text := range document.Both(p.Port, p.Ports) {
		if ports, ok := parsePorts(text); ok {
			out.ports = append(out.ports, ports)
		}
	}
	from := document.Both(p.SourcePort, p.SourcePorts)
	out.anyPort = len(from) == 0 || slices.Contains(from, "*") || slices.Contains(from, "0-65535")
	for i, u := range units {
		out.reaches[i] = slices.ContainsFunc(out.to, u.isIn) || slices.ContainsFunc(p.DestinationGroups, u.belongs)
	}
	return out
}

func parsePorts(s string) (portRange, bool) {
	if s == "*" {
		return portRange{0, 65535}, true
	}
	low, high, isRange := strings.Cut(s, "-")
	from, err1 := strconv.Atoi(low)
	if !isRange {
		high = low
	}
	to, err2 := strconv.Atoi(high)
	return portRange{from, to}, err1 == nil && err2 == nil
}

// isIn says whether a destination of a rule includes the unit.
func (u unit) isIn(word string) bool {
	switch strings.ToLower(word) {
	case "*", "any", "virtualnetwork":
		return true
	}
	n, ok := network(word)
	return ok && n.Contains(u.address())
}

// belongs says whether the unit's address is in an application security group.
func (u unit) belongs(group document.Reference) bool {
	return slices.ContainsFunc(u.config.Properties.SecurityGroups, func(r document.Reference) bool { return r.Resource() == group.Resource() })
}

// network reads an address or a network; tags are none.
func network(word string) (netip.Prefix, bool) {
	if p, err := netip.ParsePrefix(word); err == nil {
		return p.Masked(), true
	}
	if a, err := netip.ParseAddr(word); err == nil && a.Zone() == "" {
		return single(a), true
	}
	return netip.Prefix{}, false
}

// beginsRules and endsOwner are around a pair's name in the names of the rules
// that Tandem writes for it, as in tandem-edge-weu--sync.
const (
	beginsRules = "tandem-"
	endsOwner   = "--"
)

// ownerOf is the pair for which a Tandem has written most of the rules that
// reach both units; of several the first by name.
func ownerOf(rules []securityRule) string {
	count := make(map[string]int)
	for _, r := range rules {
		rest, begins := strings.CutPrefix(r.name, beginsRules)
		name, _, ends := strings.Cut(rest, endsOwner)
		if begins && ends && isName(name) && r.about() {
			count[name]++
		}
	}
	best := ""
	for _, name := range slices.Sorted(maps.Keys(count)) {
		if count[name] > count[best] {
			best = name
		}
	}
	return best
}

// about says whether a rule names both units as its destinations.
func (r securityRule) about() bool {
	return r.reaches == [2]bool{true, true} && !slices.Contains(r.to, "*")
}

// written returns the rules that a Tandem has written for the pair for one need,
// one for each address family.
func (g group) written(need string) []securityRule {
	var out []securityRule
	for _, r := range g.rules {
		name := beginsRules + g.owner + endsOwner + need
		if g.owner != "" && (strings.EqualFold(r.name, name) || strings.EqualFold(r.name, name+"-v6")) {
			out = append(out, r)
		}
	}
	return out
}

// isWritten says whether a rule is one that a Tandem has written for the pair.
func (g group) isWritten(r securityRule) bool {
	return g.owner != "" && strings.HasPrefix(strings.ToLower(r.name), beginsRules+g.owner+endsOwner)
}

// networks are the sources of rules that are networks, in order and each once.
func networks(rules []securityRule) []netip.Prefix {
	var out []netip.Prefix
	for _, r := range rules {
		for _, word := range r.sources {
			if n, ok := network(word); ok {
				out = append(out, n)
			}
		}
	}
	return sorted(out)
}

func sorted(networks []netip.Prefix) []netip.Prefix {
	slices.SortFunc(networks, netip.Prefix.Compare)
	return slices.Compact(networks)
}

// ports are the ports of rules, in order and each once.
func ports(rules []securityRule) []int {
	var out []int
	for _, r := range rules {
		for _, p := range r.ports {
			if p.low == p.high {
				out = append(out, p.low)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// surroundings are what the rules of a Tandem tell of where it is, and of the
// topology that the pair is in.
func (g group) surroundings() balancer.Surroundings {
	s := balancer.Surroundings{From: networks(append(g.written("check-tandem"), g.written("api-tandem")...))}
	tunnel := g.written("geo-tunnel")
	s.Members = networks(append(g.written("geo-dns-tcp"), tunnel...))
	if all := ports(tunnel); len(all) > 0 {
		s.TunnelPort = all[0]
	}
	return s
}

// lets is what a group's rules let in to a port of the units.
type lets struct {
	from []netip.Prefix
	why  []string // for each rule that was read
	left []string // what cannot be said in a pair file
}

// lets reads who may open a port of both units, as far as a person's own rules
// say it in networks. The first rule that matches decides, so a network that is
// denied before is left out.
func (g group) lets(port int, ipv6 bool) lets {
	var out lets
	var denied []securityRule
	for _, r := range g.rules {
		if !r.inbound || !r.takes(port) || g.isWritten(r) {
			continue
		}
		if !r.allow {
			denied = append(denied, r)
			continue
		}
		if !r.anyPort || r.reaches != [2]bool{true, true} {
			out.left = append(out.left, "the rule "+plain(r.name)+" lets in to port "+strconv.Itoa(port)+" only some connections, or to one unit only")
			continue
		}
		out.add(r, port, denied, ipv6)
	}
	out.from = sorted(out.from)
	return out
}

// takes says whether a rule looks at TCP to a port of a unit.
func (r securityRule) takes(port int) bool {
	return (r.protocol == "*" || strings.EqualFold(r.protocol, "Tcp")) && (r.reaches[0] || r.reaches[1]) &&
		slices.ContainsFunc(r.ports, func(p portRange) bool { return p.low <= port && port <= p.high })
}

// add adds the sources of a rule that lets in.
func (l *lets) add(r securityRule, port int, denied []securityRule, ipv6 bool) {
	at := "the rule " + plain(r.name)
	read := false
	for _, word := range r.sources {
		from, ok := sourcesOf(word, ipv6)
		switch {
		case !ok && strings.EqualFold(word, "AzureLoadBalancer"):
			continue // the probe, and no client
		case !ok && strings.EqualFold(word, "VirtualNetwork"):
			l.left = append(l.left, at+" lets in the network itself (VirtualNetwork), which is no address; the group's default rule does so too")
			continue
		case !ok:
			l.left = append(l.left, at+" lets in "+plain(word)+", which is no address")
			continue
		}
		for _, n := range from {
			if by := deniedBy(denied, n); by != "" {
				l.left = append(l.left, at+" lets in "+n.String()+" to port "+strconv.Itoa(port)+", which the rule "+plain(by)+" denies before it")
				continue
			}
			l.from, read = append(l.from, n), true
		}
	}
	if read {
		l.why = append(l.why, at)
	}
}

// sourcesOf are the networks of a source of a rule.
func sourcesOf(word string, ipv6 bool) ([]netip.Prefix, bool) {
	switch strings.ToLower(word) {
	case "*", "any", "internet":
		out := []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}
		if ipv6 {
			out = append(out, netip.MustParsePrefix("::/0"))
		}
		return out, true
	}
	n, ok := network(word)
	return []netip.Prefix{n}, ok
}

// deniedBy names the rule that denies all of a network, if there is one.
func deniedBy(rules []securityRule, n netip.Prefix) string {
	for _, r := range rules {
		if slices.ContainsFunc(r.sources, func(word string) bool { return deniesAll(word, n) }) {
			return r.name
		}
	}
	return ""
}

// deniesAll says whether a source of a Deny includes all of a network. Of the
// tags only those are known that are about the whole of the internet or of the
// network; others are taken to deny a part at most, which stays denied anyway.
func deniesAll(word string, n netip.Prefix) bool {
	inside := func(p netip.Prefix) bool { return p.Bits() <= n.Bits() && p.Contains(n.Addr()) }
	switch strings.ToLower(word) {
	case "*", "any":
		return true
	case "internet":
		return !slices.ContainsFunc(private(), n.Overlaps)
	case "virtualnetwork":
		return slices.ContainsFunc(private(), inside)
	}
	p, ok := network(word)
	return ok && inside(p)
}

// private are the addresses that nobody on the internet has.
func private() []netip.Prefix {
	var out []netip.Prefix
	for _, p := range []string{"10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"} {
		out = append(out, netip.MustParsePrefix(p))
	}
	return out
}
