package balancer

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"tandem/internal/balancer/document"
)

// groupWriter gives the pair's rules of its group their numbers.
type groupWriter struct {
	c       *compilation
	doc     *document.SecurityGroup
	prefix  string
	others  group // without the pair's rules
	taken   map[numbered]bool
	at      spot
	written map[string]bool // names in lower case
}

// numbered is a number of one direction, which one rule has.
type numbered struct {
	outbound bool
	priority int
}

// wantGroup wants one rule for each need and address family. Rules of the pair
// that nothing needs any more are wanted gone; those of others stay.
func (c *compilation) wantGroup(known tags, doc *document.SecurityGroup, needs []need) {
	c.group = &shape{resource: Resource{ID: c.def.SecurityGroupID(), New: blank(c.groupID(), c.def.Azure.Location, false, "{}")}}
	w := groupWriter{
		c: c, doc: doc, prefix: prefixOfRules(c.def.Name), at: c.group.properties(),
		taken: make(map[numbered]bool), written: make(map[string]bool),
	}
	w.others = known.newGroup(c.group.resource.ID, rulesOf(doc, func(r ruleOfGroup) bool { return !w.isOurs(r) }))
	for _, n := range c.partnerOut() {
		if limit, _ := w.limit(n, false); limit <= lastPriority {
			needs = append(slices.Clip(needs), n)
		}
	}
	var rules []*wantedRule
	for _, n := range needs {
		for _, ipv6 := range []bool{false, true} {
			if r := w.newRule(n, ipv6); r != nil {
				rules = append(rules, r)
			}
		}
	}
	w.number(rules)
	c.group.expect(13 * len(rules))
	for _, r := range rules {
		w.want(r)
	}
	w.clean()
	if n := len(doc.Properties.Rules) + len(rules); n > mostRulesOfGroup+w.replaced() {
		c.refuse("securityGroup.name", c.def.SecurityGroup.Name, plain(n-w.replaced())+" rules are more than the "+plain(mostRulesOfGroup)+
			" that a group has at most", "remove rules that nobody needs, or name a group of the pair's own")
	}
}

// wantedRule is one rule of the pair's group.
type wantedRule struct {
	need
	ruleName string
	from     []netip.Prefix // of one family; empty where there is a tag
	to       []netip.Prefix // single addresses of one family; empty means any
	limit    int            // the number must be lower
	before   groupRule      // the rule that sets the limit
	existing *ruleOfGroup
	priority int
}

func (w *groupWriter) isOurs(r ruleOfGroup) bool {
	return strings.HasPrefix(strings.ToLower(r.Name), w.prefix)
}

// newRule makes the rule for a need in one address family. It is nil where the
// need has no source or no destination there: one rule cannot have addresses of
// both (ResourceCannotContainAddressPrefixesFromDifferentAddressFamilies).
func (w *groupWriter) newRule(n need, ipv6 bool) *wantedRule {
	r := &wantedRule{need: n, ruleName: w.prefix + n.name, from: family(n.from, ipv6), to: w.destinations(n, ipv6)}
	if len(r.from) == 0 || len(r.to) == 0 && !n.anywhere {
		return nil
	}
	if n.anywhere {
		r.to = nil
	}
	if n.tag != "" {
		r.from = nil
	}
	if ipv6 {
		r.ruleName += "-v6"
	}
	if len(r.from) > mostAddresses {
		w.c.refuse(n.at, plain(len(r.from))+" networks", "a security rule has "+plain(mostAddresses)+" at most", "join neighbouring networks")
	}
	r.limit, r.before = w.limit(n, ipv6)
	if i := slices.IndexFunc(w.doc.Properties.Rules, func(e ruleOfGroup) bool { return strings.EqualFold(e.Name, r.ruleName) }); i >= 0 {
		r.existing = &w.doc.Properties.Rules[i]
	}
	return r
}

// family returns the networks of one address family, each once and in order.
func family(prefixes []netip.Prefix, ipv6 bool) []netip.Prefix {
	var out []netip.Prefix
	for _, p := range prefixes {
		if p.IsValid() && p.Addr().Is6() == ipv6 {
			out = append(out, p.Masked())
		}
	}
	slices.SortFunc(out, netip.Prefix.Compare)
	return slices.Compact(out)
}

// destinations are the addresses of one family that a need leads to.
func (w *groupWriter) destinations(n need, ipv6 bool) []netip.Prefix {
	to := n.to
	if len(to) == 0 && !n.anywhere {
		for _, m := range w.c.machines {
			to = append(to, w.c.addresses(m)...)
		}
	}
	out := make([]netip.Prefix, len(to))
	for i, a := range to {
		out[i] = single(a)
	}
	return family(out, ipv6)
}

// limit is the number that the need's rule must be below: that of the first rule
// of somebody else that denies some of its traffic. Without one it is the first
// number that no rule can have.
func (w *groupWriter) limit(n need, ipv6 bool) (int, groupRule) {
	limit, before := lastPriority+1, groupRule{}
	for _, m := range w.c.machines {
		if n.idle || !m.found() {
			continue
		}
		for _, t := range n.journeys(w.c, m, ipv6) {
			if v := w.others.evaluate(t); !v.allowed && v.rule.priority < limit {
				limit, before = v.rule.priority, v.rule
			}
		}
	}
	return limit, before
}

// number gives each rule its number: the one that it has, unless that is behind
// a Deny, or else a free one.
func (w *groupWriter) number(rules []*wantedRule) {
	for _, r := range w.doc.Properties.Rules {
		if !w.isOurs(r) {
			w.taken[numbered{!r.Properties.Inbound(), r.Properties.Priority}] = true
		}
	}
	for _, r := range rules {
		if r.existing == nil {
			continue
		}
		p := r.existing.Properties.Priority
		if p >= firstPriority && p < r.limit && !w.taken[numbered{r.outbound, p}] {
			w.give(r, p)
		}
	}
	hardestFirst := slices.SortedStableFunc(slices.Values(rules), func(a, b *wantedRule) int { return a.limit - b.limit })
	for _, r := range hardestFirst {
		if r.priority == 0 {
			w.give(r, w.free(r))
		}
	}
}

func (w *groupWriter) give(r *wantedRule, priority int) {
	r.priority = priority
	w.taken[numbered{r.outbound, priority}] = true
}

// free finds a number below the rule's limit, upwards from where Tandem's rules
// begin, or else downwards from the limit.
func (w *groupWriter) free(r *wantedRule) int {
	for p := newPriority; p < r.limit; p++ {
		if !w.taken[numbered{r.outbound, p}] {
			return p
		}
	}
	for p := min(r.limit, newPriority) - 1; p >= firstPriority; p-- {
		if !w.taken[numbered{r.outbound, p}] {
			return p
		}
	}
	why, wayOut := "the group has no free number for the rule "+r.ruleName, "remove rules that nobody needs"
	if r.before.name != "" {
		why += " below the " + r.before.String() + ", which denies it: " + r.why
		wayOut = "change that rule, or give it a higher number than " + strconv.Itoa(r.before.priority)
	}
	w.c.refuse(w.c.group.resource.ID.Title(), r.before.String(), why, wayOut)
	return 0
}

// want wants all fields of one rule.
func (w *groupWriter) want(r *wantedRule) {
	w.written[strings.ToLower(r.ruleName)] = true
	why := r.why
	if r.before.name != "" {
		why += "; before the " + r.before.String() + ", which would deny it"
	}
	direction := "Inbound"
	if r.outbound {
		direction = "Outbound"
	}
	at := w.at.element("securityRules", r.ruleName)
	at.must("description", "pair "+w.c.def.Name+": "+r.name, why)
	at.must("direction", direction, why)
	at.must("access", "Allow", why)
	at.must("priority", r.priority, why)
	at.must("protocol", r.protocol, why)
	var stands ruleOfGroup
	if r.existing != nil {
		stands = *r.existing
	}
	p := stands.Properties
	at.addresses("sourceAddressPrefix", p.Source, p.Sources, r.tag, r.from, why)
	at.oneOrSeveral("sourcePortRange", "*", nil, why)
	at.addresses("destinationAddressPrefix", p.Destination, p.Destinations, "*", r.to, why)
	at.oneOrSeveral("destinationPortRange", "", texts(r.ports), why)
}

// texts writes ports as a security rule has them.
func texts(ports []int) []string {
	out := make([]string, len(ports))
	for i, p := range ports {
		out[i] = plain(p)
	}
	return out
}

// addresses wants a place of a security rule to have networks, or a word where
// there are none. What says the same in another spelling stays.
func (p spot) addresses(name, one string, several []string, word string, networks []netip.Prefix, why string) {
	if stands := document.Both(one, several); len(networks) > 0 && slices.Equal(networksOf(stands), networks) {
		p.oneOrSeveral(name, "", stands, why)
		return
	}
	out := make([]string, len(networks))
	for i, n := range networks {
		out[i] = n.String()
		if n.IsSingleIP() {
			out[i] = n.Addr().String()
		}
	}
	p.oneOrSeveral(name, word, out, why)
}

// networksOf reads the networks of a place of a security rule; nil if there is
// anything else.
func networksOf(words []string) []netip.Prefix {
	var out []netip.Prefix
	for _, w := range words {
		n, err := netip.ParsePrefix(w)
		if a, notOne := netip.ParseAddr(w); notOne == nil {
			n, err = single(a), nil
		}
		if err != nil {
			return nil
		}
		out = append(out, n.Masked())
	}
	slices.SortFunc(out, netip.Prefix.Compare)
	return slices.Compact(out)
}

// oneOrSeveral wants a place of a security rule that has one field for one value
// and another, called by the plural, for several: what stands in the other one
// must go. The word, a tag or *, stands where there are no values; Azure takes
// it in the first only.
func (p spot) oneOrSeveral(one, word string, values []string, why string) {
	several := one + "es"
	if strings.HasSuffix(one, "Range") {
		several = one + "s"
	}
	switch len(values) {
	case 0:
	case 1:
		word = values[0]
	default:
		p.in(one).gone(why)
		p.must(several, values, why)
		return
	}
	p.must(one, word, why)
	p.mustUnless(several, []string{}, []string{}, why)
}

// clean wants the pair's rules gone that it does not need any more. The rules that
// let Tandem in stay while nobody has said where Tandem is: a function app whose
// setting was lost must not shut itself out.
func (w *groupWriter) clean() {
	for _, r := range w.doc.Properties.Rules {
		lost := len(w.c.around.From) == 0 && strings.HasSuffix(strings.TrimSuffix(strings.ToLower(r.Name), "-v6"), "-tandem")
		if w.isOurs(r) && !lost && !w.written[strings.ToLower(r.Name)] {
			w.at.under(Segment{Name: "securityRules", Key: "name", Value: r.Name}).gone("nothing of the pair needs this rule any more")
		}
	}
}

// replaced is how many of the group's rules are the pair's.
func (w *groupWriter) replaced() int {
	n := 0
	for _, r := range w.doc.Properties.Rules {
		if w.isOurs(r) {
			n++
		}
	}
	return n
}
