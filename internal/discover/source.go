package discover

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"tandem/internal/balancer/document"
	"tandem/internal/pair"
)

// chooseGroup chooses the security group that the file names: the one that a
// Tandem has written rules for the pair into, or else one that both units'
// traffic goes through.
func (d *draft) chooseGroup() {
	var ids []pair.ResourceID
	var seen [2][]pair.ResourceID
	for i, u := range d.units {
		seen[i] = d.survey.groupsOf(u)
	}
	for _, id := range append(slices.Clip(seen[0]), seen[1]...) {
		if !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	best := 0
	for _, id := range ids {
		doc := look[document.SecurityGroup](d.survey, id)
		if doc == nil || !d.survey.inGroup(id) {
			continue
		}
		g := newGroup(id, doc, d.units)
		g.shared = slices.Contains(seen[0], id) && slices.Contains(seen[1], id)
		worth := 1
		if g.shared {
			worth += 2
		}
		if g.owner != "" {
			worth += 4
		}
		if worth > best {
			best, d.group = worth, g
		}
	}
	d.def.SecurityGroup.Name = d.group.name
	d.tellGroups(ids)
}

// groupsOf are the security groups that a unit's traffic goes through, the
// interface's first.
func (v *survey) groupsOf(u unit) []pair.ResourceID {
	var out []pair.ResourceID
	add := func(ref document.Reference) {
		if ref.ID != "" && !slices.Contains(out, ref.Resource()) {
			out = append(out, ref.Resource())
		}
	}
	add(v.nics[u.nic].Properties.SecurityGroup)
	if subnet := look[document.Subnet](v, u.config.Properties.Subnet.Resource()); subnet != nil {
		add(subnet.Properties.SecurityGroup)
	}
	return out
}

// tellGroups tells why the file names the group, and of the others.
func (d *draft) tellGroups(ids []pair.ResourceID) {
	g := d.group
	if g.id == "" {
		d.guess("securityGroup", "", "no group that a pair file can name looks at the units' traffic, so no networks can be named either (from, managementFrom)")
	} else if g.owner == "" {
		d.guess("securityGroup.name", g.name, "it looks at the traffic of the units' interfaces; Tandem writes rules of its own into it, beside those that are there. "+
			"Leave securityGroup and every from out, and it writes none")
	}
	if g.id != "" && !g.shared {
		d.note("securityGroup", "the group looks at the traffic of one of the units only")
	}
	for _, id := range ids {
		switch {
		case id == g.id:
		case !d.survey.inGroup(id):
			d.note("securityGroup", "the group "+plain(id.Name())+" looks at the units' traffic too; it is in another resource group, so a pair file cannot name it, and Tandem does not write to it")
		default:
			d.note("securityGroup", "the group "+plain(id.Name())+" looks at the units' traffic too; Tandem does not write to it")
		}
	}
	var others []string
	for _, r := range g.rules {
		if !g.isWritten(r) {
			others = append(others, plain(r.name))
		}
	}
	if len(others) > 0 {
		d.note("securityGroup", "rules of others in the group, which Tandem leaves alone: "+enumerate(others))
	}
}

// findSources finds out who may reach the published ports and the units' web
// interface and SSH.
func (d *draft) findSources() {
	if d.group.id == "" {
		return
	}
	ipv6 := slices.ContainsFunc(d.fronts, func(f *front) bool {
		return slices.ContainsFunc(f.frontends, func(x *item[pair.Frontend]) bool { return x.value.Is6() })
	})
	left := make(map[string]bool)
	read := make(map[int]lets)
	letsIn := func(port int) lets {
		l, known := read[port]
		if !known {
			l = d.group.lets(port, ipv6)
			read[port] = l
		}
		for _, why := range l.left {
			if !left[why] && d.group.owner == "" {
				left[why] = true
				d.note("securityGroup", why)
			}
		}
		return l
	}
	for _, f := range d.fronts {
		for _, x := range f.rules {
			d.sourcesOfRule(f, x, letsIn)
		}
	}
	d.sourcesOfManagement(letsIn)
}

// sourcesOfRule says which clients the group lets in to a published port.
func (d *draft) sourcesOfRule(f *front, x *item[pair.Rule], letsIn func(int) lets) {
	port, isAPI := x.value.UnitPort(), d.def.Units.First.API.Port
	add := func(from []netip.Prefix, why string) {
		if x.value.From = from; len(from) > 0 {
			x.remarks = append(x.remarks, remark{"from", listed(from), why, true})
		}
	}
	if d.group.owner != "" {
		name := "published-" + strconv.Itoa(port)
		rules := d.group.written(name)
		if x.value.FloatingIP {
			rules = d.floating(f, x.value, d.group.written(name+"-floating"))
		}
		add(networks(rules), "the rule "+beginsRules+d.group.owner+endsOwner+name+" of the security group lets them in; where several rules lead to one port of the units, each has all of them")
		return
	}
	if port == isAPI || port == d.def.Units.Second.API.Port {
		return // that is managementFrom
	}
	l := letsIn(port)
	if len(l.from) == 0 {
		x.remarks = append(x.remarks, remark{"from", "", "no rule of the security group lets addresses from outside the network in to port " + strconv.Itoa(port) + " of the units", true})
	}
	add(l.from, "the security group lets them in to port "+strconv.Itoa(port)+" of the units by "+enumerate(l.why))
}

// floating are those of the rules that are about a frontend's own address, which
// is the destination that arrives with floating IP.
func (d *draft) floating(f *front, r pair.Rule, rules []securityRule) []securityRule {
	var out []securityRule
	for _, x := range f.frontends {
		if !strings.EqualFold(x.value.Name, r.Frontend) {
			continue
		}
		at := x.value.Address
		if x.value.PublicIP != "" {
			at = d.publicAddress(f, x.value.Name)
		}
		for _, rule := range rules {
			about := slices.ContainsFunc(rule.to, func(word string) bool {
				n, ok := network(word)
				return word == "*" || ok && at.IsValid() && n.Contains(at)
			})
			if about {
				out = append(out, rule)
			}
		}
	}
	return out
}

// publicAddress is the address of a frontend's public IP, where it has one.
func (d *draft) publicAddress(f *front, frontend string) netip.Addr {
	for _, p := range f.doc.Properties.Frontends {
		if p.Name != frontend {
			continue
		}
		if doc := look[document.PublicIP](d.survey, p.Properties.PublicIP.Resource()); doc != nil {
			return addressOf(doc.Properties.Address)
		}
	}
	return netip.Addr{}
}

// sourcesOfManagement says who may reach both the web interface and SSH: a pair
// file has one list for the two.
func (d *draft) sourcesOfManagement(letsIn func(int) lets) {
	g := &d.def.SecurityGroup
	if d.group.owner != "" {
		g.GuidePorts = len(d.group.written("guide-ports")) > 0
		if g.ManagementFrom = networks(d.group.written("api")); len(g.ManagementFrom) > 0 {
			d.guess("securityGroup.managementFrom", listed(g.ManagementFrom), "the rule "+beginsRules+d.group.owner+endsOwner+"api of the group lets them in")
		}
		return
	}
	first, second, ssh := letsIn(d.def.Units.First.API.Port), letsIn(d.def.Units.Second.API.Port), letsIn(portSSH)
	var one []netip.Prefix
	for _, n := range sorted(slices.Concat(first.from, second.from, ssh.from)) {
		if slices.Contains(first.from, n) && slices.Contains(second.from, n) && slices.Contains(ssh.from, n) {
			g.ManagementFrom = append(g.ManagementFrom, n)
		} else {
			one = append(one, n)
		}
	}
	if len(g.ManagementFrom) > 0 {
		d.guess("securityGroup.managementFrom", listed(g.ManagementFrom), "the group lets them in to the web interface and to SSH by "+enumerate(sameOnce(first.why, second.why, ssh.why)))
	}
	if len(one) > 0 {
		d.note("securityGroup", "left out of managementFrom, because the group lets them in to one of the web interface and SSH only: "+listed(one))
	}
}

func sameOnce(lists ...[]string) []string {
	all := slices.Concat(lists...)
	slices.Sort(all)
	return slices.Compact(all)
}

// listed writes networks for a person.
func listed(networks []netip.Prefix) string {
	out := make([]string, len(networks))
	for i, n := range networks {
		out[i] = n.String()
	}
	return enumerate(out)
}
