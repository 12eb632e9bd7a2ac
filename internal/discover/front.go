package discover

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"tandem/internal/balancer/document"
	"tandem/internal/pair"
)

// front is one load balancer of a draft.
type front struct {
	doc   *document.LoadBalancer
	pools []*pool
	// file is what the pair file says of it, without frontends and rules.
	file      pair.LoadBalancer
	frontends []*item[pair.Frontend]
	rules     []*item[pair.Rule]
	remarks   []remark // with the fields below the load balancer
}

// item is an element of a list of the file, with the remarks about it.
type item[T any] struct {
	value   T
	remarks []remark // with the fields below the element
	drop    bool
}

func (f *front) guess(field, value, why string) {
	f.remarks = append(f.remarks, remark{field, value, why, true})
}

func (f *front) note(field, why string) {
	f.remarks = append(f.remarks, remark{field: field, why: why})
}

// definition is what the file says of the load balancer.
func (f *front) definition() pair.LoadBalancer {
	lb := f.file
	lb.Frontends, lb.Rules = nil, nil
	for _, x := range f.frontends {
		lb.Frontends = append(lb.Frontends, x.value)
	}
	for _, x := range f.rules {
		lb.Rules = append(lb.Rules, x.value)
	}
	return lb
}

// findFronts makes the part of the file about each load balancer.
func (d *draft) findFronts() {
	for _, b := range d.couple.balancers() {
		f := d.newFront(b)
		if len(f.rules) == 0 && !f.file.CentralPairAwareness {
			d.note("loadBalancers", "the load balancer "+plain(f.file.Name)+" is left out, because it has no rule for TCP to their pools that a pair file can say: "+f.told())
			continue
		}
		d.fronts = append(d.fronts, f)
	}
	d.findGivenWay()
}

// told are the notes of a load balancer in one sentence.
func (f *front) told() string {
	var out []string
	for _, r := range f.remarks {
		if !r.guess {
			out = append(out, r.why)
		}
	}
	if len(out) == 0 {
		return "there is none at all"
	}
	return strings.Join(out, "; ")
}

func (d *draft) newFront(b *document.LoadBalancer) *front {
	f := &front{doc: b}
	f.file.Name = spelledName(b.ID)
	d.choosePools(f)
	kept := d.findRules(f)
	natted := d.findManagement(f)
	d.findFrontends(f, append(kept, natted...))
	d.findProbe(f)
	d.tellOthers(f)
	return f
}

// choosePools chooses the pools of one kind, because a pair file says for all
// pools of a load balancer how the units join them.
func (d *draft) choosePools(f *front) {
	all := d.couple.poolsOf(f.doc)
	byAddress := all[0].byAddress
	for _, p := range d.bestFirst() {
		if p.balancer == f.doc {
			byAddress = p.byAddress
			break
		}
	}
	if f.file.Members = pair.ByInterface; byAddress {
		f.file.Members = pair.ByAddress
	}
	for _, p := range all {
		if p.byAddress != byAddress {
			f.note("pools", "the pool "+plain(p.name)+" is left out with its rules, because the units are in it in the other way than in "+plain(d.bestOf(f).name)+
				" (members says it for all pools of a load balancer)")
			continue
		}
		f.pools = append(f.pools, p)
		f.file.Pools = append(f.file.Pools, p.name)
		for _, m := range p.members {
			if m.admin != "" && !strings.EqualFold(m.admin, pair.AdminNone.String()) {
				f.note("pools", "in the pool "+plain(p.name)+" the admin state of "+plain(m.vm.Name())+" is "+plain(m.admin)+" now; a pair file says nothing about that")
			}
		}
	}
}

func (d *draft) bestOf(f *front) *pool {
	for _, p := range d.bestFirst() {
		if p.balancer == f.doc {
			return p
		}
	}
	return f.pools[0]
}

// findRules takes over the rules that send TCP to the pools, and returns their
// frontends.
func (d *draft) findRules(f *front) []document.Reference {
	var used []document.Reference
	for _, r := range f.doc.Properties.Rules {
		if !slices.ContainsFunc(document.IDs(r.Properties.AllPools()), d.couple.owns) {
			continue
		}
		if why := d.unspeakable(f, r.Properties); why != "" {
			f.note("rules", "the rule "+describe(r)+" is left out and stays as it is, because "+why)
			continue
		}
		if d.isCentral(f, r.Properties) {
			f.file.CentralPairAwareness = true
			f.guess("centralPairAwareness", "true", "the rule "+describe(r)+" leads to the units' API, which is what Kemp 360 Central needs")
			used = append([]document.Reference{r.Properties.Frontend}, used...) // that rule is on the first frontend
			continue
		}
		f.rules = append(f.rules, d.newRule(f, r))
		used = append(used, r.Properties.Frontend)
	}
	return used
}

// describe names a rule for a person.
func describe(r document.Part[document.Rule]) string {
	return fmt.Sprintf("%s (%s %d to %d)", plain(r.Name), plain(strings.ToUpper(r.Properties.Protocol)), r.Properties.FrontendPort, r.Properties.BackendPort)
}

// unspeakable says why a rule cannot be said in a pair file.
func (d *draft) unspeakable(f *front, r document.Rule) string {
	pools := document.IDs(r.AllPools())
	inFile := func(id pair.ResourceID) bool {
		return slices.ContainsFunc(f.pools, func(p *pool) bool { return p.id() == id })
	}
	switch {
	case strings.EqualFold(r.Protocol, "All") && r.FrontendPort == 0:
		return "it is for HA ports, and a pair file publishes single ports; Tandem writes nothing beside such a rule"
	case !strings.EqualFold(r.Protocol, "Tcp"):
		return "a pair file publishes TCP only"
	case len(pools) > 1:
		return "it sends to several pools"
	case !inFile(pools[0]):
		return "its pool is left out"
	case r.FrontendPort < 1 || r.FrontendPort > 65534 || r.BackendPort < 1 || r.BackendPort > 65535:
		return "its ports are none that a pair file can say"
	}
	return d.unnamable(f, r.Frontend)
}

// unnamable says why a frontend cannot be said in a pair file.
func (d *draft) unnamable(f *front, ref document.Reference) string {
	p := f.doc.FrontendOf(ref)
	switch {
	case p == nil:
		return "its frontend is not one of the load balancer's"
	case p.Properties.PublicIPPrefix.ID != "" && p.Properties.PublicIP.ID == "":
		return "its frontend " + plain(p.Name) + " has a public IP prefix, and a pair file names single public IPs"
	case p.Properties.PublicIP.ID == "" && !addressOf(p.Properties.Address).IsValid():
		return "its frontend " + plain(p.Name) + " has neither a private address nor a public IP"
	default:
		return ""
	}
}

func addressOf(s string) netip.Addr {
	a, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Addr{}
	}
	return a
}

// isCentral says whether a rule is the one for Kemp 360 Central (guide 5.2): it
// leads from the API's port to the API, and is as Tandem would make it.
func (d *draft) isCentral(f *front, r document.Rule) bool {
	api := d.def.Units.First.API.Port
	usual := (r.Idle == 0 || r.Idle == 4) && !r.FloatingIP && persistence(r.Distribution) == pair.PersistNone
	return r.FrontendPort == api && r.BackendPort == api && api == d.def.Units.Second.API.Port && usual && !f.file.CentralPairAwareness &&
		len(d.group.written("published-"+strconv.Itoa(api))) == 0
}

func persistence(distribution string) pair.Persistence {
	switch strings.ToLower(distribution) {
	case "sourceip":
		return pair.PersistSourceIP
	case "sourceipprotocol":
		return pair.PersistSourceIPProtocol
	default:
		return pair.PersistNone
	}
}

func (d *draft) newRule(f *front, r document.Part[document.Rule]) *item[pair.Rule] {
	p := r.Properties
	x := &item[pair.Rule]{value: pair.Rule{Name: r.Name, Frontend: f.doc.FrontendOf(p.Frontend).Name, Port: p.FrontendPort, FloatingIP: p.FloatingIP}}
	if p.BackendPort != p.FrontendPort {
		x.value.BackendPort = p.BackendPort
	}
	if len(f.pools) > 1 {
		x.value.Pool = f.poolName(p.AllPools()[0].Resource())
	}
	if q := persistence(p.Distribution); q != pair.PersistNone {
		x.value.Persistence = q
	}
	if p.Idle != 0 && p.Idle != 4 {
		x.value.IdleTimeout = pair.Duration(time.Duration(p.Idle) * time.Minute)
	}
	if p.BackendPort == d.def.HA.CheckPort {
		why := "it leads to the check port"
		if (ruleSeen{probe: f.doc.ProbeOf(p.Probe)}).checked(p.BackendPort) {
			why += ", which its own probe asks"
		}
		x.remarks = append(x.remarks, remark{"", "the check rule", "this is the rule through which the pair's state can be asked, because " + why, true})
	}
	return x
}

func (f *front) poolName(id pair.ResourceID) string {
	for _, p := range f.pools {
		if p.id() == id {
			return p.name
		}
	}
	return ""
}

// findFrontends takes over the frontends that are used, in the order of the
// document, after the one for Kemp 360 Central.
func (d *draft) findFrontends(f *front, used []document.Reference) {
	ids := make([]pair.ResourceID, len(used))
	for i, ref := range used {
		ids[i] = ref.Resource()
	}
	parts := f.doc.Properties.Frontends
	if f.file.CentralPairAwareness {
		first := f.doc.FrontendOf(used[0])
		parts = append([]document.Part[document.Frontend]{*first}, slices.DeleteFunc(slices.Clone(parts), func(p document.Part[document.Frontend]) bool { return strings.EqualFold(p.Name, first.Name) })...)
	}
	for _, p := range parts {
		if slices.Contains(ids, f.doc.Child("frontendIPConfigurations", p.Name)) {
			f.frontends = append(f.frontends, d.newFrontend(p))
		}
	}
}

func (d *draft) newFrontend(p document.Part[document.Frontend]) *item[pair.Frontend] {
	x := &item[pair.Frontend]{value: pair.Frontend{Name: p.Name}}
	if public := p.Properties.PublicIP; public.ID != "" {
		x.value.PublicIP = spelledName(public.ID)
		if doc := look[document.PublicIP](d.survey, public.Resource()); doc != nil {
			x.value.IPv6 = strings.EqualFold(doc.Properties.Version, "IPv6")
		} else {
			x.remarks = append(x.remarks, remark{"ipv6", "", "the public IP could not be read, so it is taken to be of IPv4", true})
		}
		if !d.survey.inGroup(public.Resource()) {
			x.remarks = append(x.remarks, remark{field: "publicIP", why: "it is in another resource group; a pair file has no place for that, and Tandem finds it as long as the frontend has it"})
		}
		return x
	}
	x.value.Address = addressOf(p.Properties.Address)
	mine, its := d.units[0].config.Properties.Subnet, p.Properties.Subnet
	switch {
	case its.ID == "" || its.Resource() == mine.Resource():
	case document.UpTo(its.Resource(), "subnets") == document.UpTo(mine.Resource(), "subnets"):
		x.value.Subnet = spelledName(its.ID)
	default:
		x.remarks = append(x.remarks, remark{field: "address", why: "it is in another network than the units, " + plain(document.UpTo(its.Resource(), "subnets").Name())})
	}
	return x
}

// findProbe takes over the values of the probe that asks the check port.
func (d *draft) findProbe(f *front) {
	var found *document.Part[document.Probe]
	for _, r := range f.doc.Properties.Rules {
		if !slices.ContainsFunc(document.IDs(r.Properties.AllPools()), d.couple.owns) {
			continue
		}
		seen := ruleSeen{f.doc, r, f.doc.ProbeOf(r.Properties.Probe)}
		if seen.checked(d.def.HA.CheckPort) && (found == nil || r.Properties.BackendPort == d.def.HA.CheckPort) {
			found = seen.probe
		}
	}
	if found == nil {
		f.file.Probe = pair.BalanceProbe{Path: "/", Interval: pair.Duration(5 * time.Second), Threshold: 2}
		f.guess("probe", "path /, interval 5s, threshold 2", "no rule to the pools uses an HTTP probe on the check port, so these are the guide's values")
		return
	}
	p := found.Properties
	f.file.Probe = pair.BalanceProbe{Path: p.Path, Interval: pair.Duration(time.Duration(p.Interval) * time.Second), Threshold: p.Threshold}
	if p.Threshold == 0 {
		f.file.Probe.Threshold = p.Count
		f.guess("probe.threshold", strconv.Itoa(p.Count), "the probe "+plain(found.Name)+" has only the older field numberOfProbes")
	} else if p.Count != 0 && p.Count != p.Threshold {
		f.guess("probe.threshold", strconv.Itoa(p.Threshold), fmt.Sprintf("the probe %s has %d in probeThreshold, which counts, and %d in the older field numberOfProbes", plain(found.Name), p.Threshold, p.Count))
	}
}

// findManagement takes over the NAT rules that lead to the units' API and SSH,
// and returns their frontends.
func (d *draft) findManagement(f *front) []document.Reference {
	var used []document.Reference
	for _, n := range d.nats {
		if n.balancer != f.doc {
			continue
		}
		i := 0
		if n.vm == d.units[1].id {
			i = 1
		}
		port := f.managementOf(n, i, d)
		why := d.unnamable(f, n.Frontend)
		switch {
		case port == nil:
			why = "a pair file has the units' API and SSH only"
		case *port != 0:
			why = "the unit has another one for the same port"
		case n.FrontendPort < 1 || n.FrontendPort > 65535:
			why = "its port is none that a pair file can say"
		}
		if why != "" {
			f.note("management", fmt.Sprintf("the NAT rule %s (%s %d to %s port %d) is left out and stays as it is, because %s",
				plain(n.name), plain(strings.ToUpper(n.Protocol)), n.FrontendPort, plain(n.vm.Name()), n.BackendPort, why))
			continue
		}
		*port = n.FrontendPort
		used = append(used, n.Frontend)
	}
	return used
}

// managementOf is the place in the file for the port of a NAT rule to the unit
// with the index; nil where there is none.
func (f *front) managementOf(n nat, i int, d *draft) *int {
	m := &f.file.Management
	api := [2]int{d.def.Units.First.API.Port, d.def.Units.Second.API.Port}
	switch {
	case !n.isTCP():
		return nil
	case n.BackendPort == portSSH:
		return [2]*int{&m.SSH.First, &m.SSH.Second}[i]
	case n.BackendPort == api[i]:
		return [2]*int{&m.WUI.First, &m.WUI.Second}[i]
	default:
		return nil
	}
}

// findGivenWay finds the ports of NAT rules that gave way to the rule for Kemp 360
// Central: only the guide's rule in the security group tells of them. Which of
// several load balancers had them does not matter for what is written.
func (d *draft) findGivenWay() {
	var left []int
	for _, port := range ports(d.group.written("guide-ports")) {
		if !slices.ContainsFunc(d.nats, func(n nat) bool { return n.FrontendPort == port }) {
			left = append(left, port)
		}
	}
	for _, f := range d.fronts {
		m := &f.file.Management
		if !f.file.CentralPairAwareness || m.WUI != (pair.PortPair{}) || len(left) == 0 {
			continue
		}
		m.WUI.First = left[0]
		if left = left[1:]; len(left) > 0 {
			m.WUI.Second, left = left[0], left[1:]
		}
		f.guess("management.wui", fmt.Sprintf("%d and %d", m.WUI.First, m.WUI.Second), "no NAT rule has these ports, which a rule of the security group "+plain(d.group.name)+
			" is about; such rules give way to the one for Kemp 360 Central")
	}
}

// tellOthers tells of everything on the load balancer that is not in the file.
func (d *draft) tellOthers(f *front) {
	p := f.doc.Properties
	var others, targets, pooled []string
	for _, r := range p.Rules {
		if !slices.ContainsFunc(document.IDs(r.Properties.AllPools()), d.couple.owns) {
			others = append(others, describe(r))
		}
	}
	f.tell("rules", "rules of others on this load balancer, which Tandem leaves alone", others)
	for _, r := range p.NATRules {
		switch {
		case r.Properties.RangeStart > 0 || r.Properties.Pool.ID != "":
			pooled = append(pooled, plain(r.Name))
		case !slices.ContainsFunc(d.nats, func(n nat) bool { return n.balancer == f.doc && n.name == r.Name }):
			targets = append(targets, fmt.Sprintf("%s (%s %d to %d)", plain(r.Name), plain(strings.ToUpper(r.Properties.Protocol)), r.Properties.FrontendPort, r.Properties.BackendPort))
		}
	}
	f.tell("management", "NAT rules that lead to neither unit, which Tandem leaves alone", targets)
	f.tell("management", "NAT rules for all members of a pool, which a pair file cannot say and Tandem leaves alone", pooled)
	f.tell("management", "inbound NAT pools of scale sets, beside which Azure takes no NAT rules", namesOf(p.NATPools))
	f.tell("frontends", "outbound rules, which a pair file cannot say and Tandem leaves alone", namesOf(p.OutboundRules))
	var pools []string
	for _, q := range p.Pools {
		if !d.couple.owns(f.doc.Child("backendAddressPools", q.Name)) {
			pools = append(pools, plain(q.Name))
		}
	}
	f.tell("pools", "pools of others on this load balancer, which Tandem leaves alone", pools)
}

// mostTold bounds how many names stand in one note.
const mostTold = 20

func (f *front) tell(field, what string, names []string) {
	if len(names) > 0 {
		f.note(field, what+": "+enumerate(names))
	}
}

// enumerate lists names for a person.
func enumerate(names []string) string {
	if n := len(names); n > mostTold {
		return strings.Join(names[:mostTold], ", ") + " and " + strconv.Itoa(n-mostTold) + " more"
	}
	return strings.Join(names, ", ")
}

func namesOf[P any](parts []document.Part[P]) []string {
	var out []string
	for _, p := range parts {
		out = append(out, plain(p.Name))
	}
	return out
}
