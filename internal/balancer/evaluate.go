package balancer

import (
	"cmp"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"tandem/internal/balancer/document"
	"tandem/internal/pair"
)

// ruleOfGroup is a rule of a security group by its name.
type ruleOfGroup = document.Part[document.SecurityRule]

// The numbers that a person's rules can have (azure.md 2), and that of the
// default rule that denies what no other rule allows.
const (
	firstPriority = 100
	lastPriority  = 4096
	noPriority    = 65500
)

// group is a security group in the form in which it is evaluated.
type group struct {
	id    pair.ResourceID
	rules []groupRule // in the order in which the platform looks at them
	// beside are the addresses that are not on the internet.
	beside []netip.Prefix
}

// groupRule is a rule of a security group with its tags resolved.
type groupRule struct {
	name         string
	priority     int
	inbound      bool
	allow        bool
	protocol     string
	sources      []netip.Prefix
	destinations []netip.Prefix
	ports        []portRange
	anySource    bool // it looks at no source port
	vague        bool // it denies addresses that only the platform knows
}

type portRange struct{ low, high int }

// builtin reports whether the rule is one of those that every group ends with.
func (r groupRule) builtin() bool { return r.priority > lastPriority }

// String names the rule with the number that decides about its turn.
func (r groupRule) String() string {
	return "rule " + r.name + " (priority " + strconv.Itoa(r.priority) + ")"
}

// tags knows which addresses the platform's words stand for, as far as that
// matters to one pair.
type tags struct {
	network  []netip.Prefix // VirtualNetwork
	internet []netip.Prefix
	members  map[pair.ResourceID][]netip.Prefix // of application security groups, the units' only
}

// The addresses from which the load balancer's probes come (azure.md 1.4).
var (
	probe4 = netip.MustParsePrefix("168.63.129.16/32")
	probe6 = netip.MustParsePrefix("fe80::1234:5678:9abc/128")
)

// private are the addresses that nobody on the internet has, and those of the
// platform's probes; public are all others.
var (
	private = append(prefixes("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7"), probe4, probe6)
	public  = without(everything(), private)
)

// internetBeside is the internet without networks that are somebody's own although
// their addresses are public.
func internetBeside(subnets []netip.Prefix) []netip.Prefix {
	own := slices.DeleteFunc(slices.Clone(subnets), func(p netip.Prefix) bool { return covered(p, private) })
	return without(public, own)
}

func prefixes(words ...string) []netip.Prefix {
	out := make([]netip.Prefix, len(words))
	for i, w := range words {
		out[i] = netip.MustParsePrefix(w)
	}
	return out
}

// everything is all addresses of both families.
func everything() []netip.Prefix { return prefixes("0.0.0.0/0", "::/0") }

// newTags resolves the tags for machines in the given subnets. Whatever comes
// from a private address comes through the machines' own network, a peered one
// or a gateway, and those are VirtualNetwork together; everything else is
// Internet (azure.md 2).
func newTags(subnets []netip.Prefix) tags {
	return tags{
		network:  append(slices.Clip(private), subnets...),
		internet: internetBeside(subnets),
		members:  make(map[pair.ResourceID][]netip.Prefix),
	}
}

// addresses returns what a word of a rule stands for. Where only the platform
// knows it, as for the tags of its services, a Deny is taken to mean all public
// addresses and an Allow none: of two guesses the one that asks a person.
func (t tags) addresses(word string, allow bool) []netip.Prefix {
	if p, err := netip.ParsePrefix(word); err == nil {
		return []netip.Prefix{p.Masked()}
	}
	if a, err := netip.ParseAddr(word); err == nil {
		return []netip.Prefix{netip.PrefixFrom(a, a.BitLen())}
	}
	switch strings.ToLower(word) {
	case "*", "any":
		return everything()
	case "virtualnetwork":
		return t.network
	case "internet":
		return t.internet
	case "azureloadbalancer":
		return []netip.Prefix{probe4, probe6}
	}
	if allow {
		return nil
	}
	return t.internet
}

// all returns the addresses of a place of a rule.
func (t tags) all(words []string, groups []document.Reference, allow bool) []netip.Prefix {
	var out []netip.Prefix
	for _, w := range words {
		out = append(out, t.addresses(w, allow)...)
	}
	for _, id := range document.IDs(groups) {
		out = append(out, t.members[id]...)
	}
	return out
}

// newGroup resolves a group's rules. A group that does not exist yet has the
// default rules only.
func (t tags) newGroup(id pair.ResourceID, rules []ruleOfGroup) group {
	g := group{id: id, beside: t.network}
	for _, r := range rules {
		g.rules = append(g.rules, t.rule(r))
	}
	slices.SortStableFunc(g.rules, func(a, b groupRule) int { return cmp.Compare(a.priority, b.priority) })
	return g
}

func (t tags) rule(r ruleOfGroup) groupRule {
	p := r.Properties
	allow := strings.EqualFold(p.Access, "Allow")
	out := groupRule{
		name: r.Name, priority: p.Priority, inbound: r.Properties.Inbound(), allow: allow, protocol: p.Protocol,
		sources:      t.all(document.Both(p.Source, p.Sources), p.SourceGroups, allow),
		destinations: t.all(document.Both(p.Destination, p.Destinations), p.DestinationGroups, allow),
		anySource:    slices.ContainsFunc(document.Both(p.SourcePort, p.SourcePorts), isAnyPort) || len(document.Both(p.SourcePort, p.SourcePorts)) == 0,
	}
	out.vague = !allow && slices.ContainsFunc(document.Both(p.Source, p.Sources), func(word string) bool { return t.addresses(word, true) == nil })
	for _, text := range document.Both(p.Port, p.Ports) {
		if ports, ok := parsePorts(text); ok {
			out.ports = append(out.ports, ports)
		}
	}
	return out
}

func isAnyPort(s string) bool { return s == "*" || s == "0-65535" }

func parsePorts(s string) (portRange, bool) {
	if s == "*" {
		return portRange{0, 65535}, true
	}
	low, high, isRange := strings.Cut(s, "-")
	from, err1 := strconv.Atoi(low)
	if !isRange {
		return portRange{from, from}, err1 == nil
	}
	to, err2 := strconv.Atoi(high)
	return portRange{from, to}, err1 == nil && err2 == nil
}

// defaultRules are those that every group ends with (azure.md 2).
func defaultRules() []ruleOfGroup {
	rule := func(name, direction, access string, priority int, from, to string) ruleOfGroup {
		r := ruleOfGroup{Name: name}
		r.Properties.Direction, r.Properties.Access, r.Properties.Priority, r.Properties.Protocol = direction, access, priority, "*"
		r.Properties.Source, r.Properties.SourcePort, r.Properties.Destination, r.Properties.Port = from, "*", to, "*"
		return r
	}
	return []ruleOfGroup{
		rule("AllowVnetInBound", "Inbound", "Allow", 65000, "VirtualNetwork", "VirtualNetwork"),
		rule("AllowAzureLoadBalancerInBound", "Inbound", "Allow", 65001, "AzureLoadBalancer", "*"),
		rule("DenyAllInBound", "Inbound", "Deny", noPriority, "*", "*"),
		rule("AllowVnetOutBound", "Outbound", "Allow", 65000, "VirtualNetwork", "VirtualNetwork"),
		rule("AllowInternetOutBound", "Outbound", "Allow", 65001, "*", "Internet"),
		rule("DenyAllOutBound", "Outbound", "Deny", noPriority, "*", "*"),
	}
}

// traffic is new connections from a network to a port of one machine.
type traffic struct {
	from     netip.Prefix
	to       netip.Addr
	port     int
	protocol string // Tcp or Udp
	outbound bool   // judged where it leaves instead of where it arrives
	// except lets a Deny that takes out a part of the source stand: it is a
	// person's exception to a rule as wide as the internet.
	except bool
}

// verdict is what a group does with traffic, and by which rule.
type verdict struct {
	allowed bool
	rule    groupRule
}

// evaluate answers whether a group lets traffic through, all of it. The first
// rule that matches decides (azure.md 2); traffic from a network can be split
// between several.
func (g group) evaluate(t traffic) verdict {
	var decided []netip.Prefix // of the source, by the rules so far
	for _, r := range g.rules {
		if !r.matches(t) || !r.takes(t.from, decided) {
			continue
		}
		exception := t.except && (r.vague || r.leaves(t.from, g.beside))
		if !r.allow && !exception {
			return verdict{false, r}
		}
		if r.vague && exception {
			continue // whom it denies is not known, so a later rule must let all of them in
		}
		if decided = append(decided, r.sources...); covered(t.from, decided) {
			return verdict{r.allow, r}
		}
	}
	return verdict{rule: groupRule{name: "DenyAll", priority: noPriority}} // as every group ends
}

// leaves says whether the rule is not about all of a network. Of everybody these
// are those on the internet: a Deny of the internet leaves nobody whom a published
// port is for.
func (r groupRule) leaves(from netip.Prefix, beside []netip.Prefix) bool {
	about := r.sources
	if !covered(from, beside) {
		about = append(slices.Clip(about), beside...)
	}
	return !covered(from, about)
}

// takes says whether the rule decides about addresses of a network that no rule
// has decided about.
func (r groupRule) takes(from netip.Prefix, decided []netip.Prefix) bool {
	return slices.ContainsFunc(r.sources, func(p netip.Prefix) bool {
		common := p // of two networks that overlap, one is in the other
		if p.Bits() < from.Bits() {
			common = from
		}
		return p.Overlaps(from) && !covered(common, decided)
	})
}

// matches says whether the rule looks at such traffic, whatever its source.
func (r groupRule) matches(t traffic) bool {
	if r.inbound == t.outbound || r.protocol != "*" && !strings.EqualFold(r.protocol, t.protocol) {
		return false
	}
	if r.allow && !r.anySource { // it lets only some connections through
		return false
	}
	inPorts := slices.ContainsFunc(r.ports, func(p portRange) bool { return p.low <= t.port && t.port <= p.high })
	return inPorts && slices.ContainsFunc(r.destinations, func(p netip.Prefix) bool { return p.Contains(t.to) })
}

// covered says whether every address of a network is in one of the set's.
func covered(p netip.Prefix, set []netip.Prefix) bool {
	inside := false
	for _, q := range set {
		if !q.Overlaps(p) {
			continue
		}
		if q.Bits() <= p.Bits() {
			return true
		}
		inside = true
	}
	if !inside {
		return false
	}
	low, high := halves(p)
	return covered(low, set) && covered(high, set)
}

// without returns the addresses of a that are not in b.
func without(a, b []netip.Prefix) []netip.Prefix {
	for _, hole := range b {
		var rest []netip.Prefix
		for _, p := range a {
			rest = append(rest, cut(p, hole)...)
		}
		a = rest
	}
	return a
}

// cut returns the parts of a network that are outside another.
func cut(p, hole netip.Prefix) []netip.Prefix {
	switch {
	case !p.Overlaps(hole):
		return []netip.Prefix{p}
	case hole.Bits() <= p.Bits():
		return nil
	}
	low, high := halves(p)
	return append(cut(low, hole), cut(high, hole)...)
}

// halves splits a network that is more than one address.
func halves(p netip.Prefix) (low, high netip.Prefix) {
	bits := p.Bits() + 1
	b := p.Masked().Addr().As16()
	at := bits - 1
	if p.Addr().Is4() {
		at += 96
	}
	b[at/8] |= 0x80 >> (at % 8)
	second := netip.AddrFrom16(b)
	if p.Addr().Is4() {
		second = second.Unmap()
	}
	return netip.PrefixFrom(p.Masked().Addr(), bits), netip.PrefixFrom(second, bits)
}
