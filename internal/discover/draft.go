package discover

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"tandem/internal/balancer"
	"tandem/internal/balancer/document"
	"tandem/internal/pair"
)

// What the guide and the product use where nothing else is said (azure.md 2).
const (
	usualCheckPort = 8444
	usualAPIPort   = 8443
	portSSH        = 22
)

// draft is a pair file in the making.
type draft struct {
	survey *survey
	couple *couple
	units  [2]unit // first and second
	nats   []nat
	group  group
	fronts []*front
	// def is what the file says, without its load balancers.
	def     pair.Definition
	remarks []remark
	unfit   string // why there can be no file; empty if there can
}

// remark is a guess or a note about a place in the file.
type remark struct {
	field, value, why string
	guess             bool
}

func (d *draft) guess(field, value, why string) {
	d.remarks = append(d.remarks, remark{field, value, why, true})
}

func (d *draft) note(field, why string) {
	d.remarks = append(d.remarks, remark{field: field, why: why})
}

// unit is one machine of a pair, and the IP configuration with the address that
// the pair file gives it.
type unit struct {
	id   pair.ResourceID
	doc  *document.VM
	name string
	place
}

func (u unit) address() netip.Addr { return u.config.Addr() }

// draft makes the pair file of two machines, except for its name.
func (v *survey) draft(c *couple) *draft {
	d := &draft{survey: v, couple: c}
	d.nats = v.natsOf(c)
	d.def.Mode = pair.Observe
	d.guess("mode", pair.Observe.String(), "it is always observe here, so that nothing is done before a person has read this file")
	if !d.findUnits() {
		return d
	}
	d.chooseGroup()
	d.findCheckPort()
	if d.unfit = d.unproved(); d.unfit != "" {
		return d
	}
	d.findAPI()
	d.findFronts()
	if len(d.fronts) == 0 && d.unfit == "" {
		d.unfit = "no load-balancing rule sends TCP to their pools from a frontend that a pair file can name"
	}
	if d.unfit == "" {
		d.findSources()
	}
	return d
}

// definition is what the file says so far.
func (d *draft) definition() pair.Definition {
	def := d.def
	def.LoadBalancers = make([]pair.LoadBalancer, len(d.fronts))
	for i, f := range d.fronts {
		def.LoadBalancers[i] = f.definition()
	}
	return def
}

// findUnits says which machine is which unit, and what its address is.
func (d *draft) findUnits() bool {
	first, why := d.roles()
	for i := range d.units {
		id := d.couple.vms[(first+i)%2]
		doc := d.survey.machines[id]
		d.units[i] = unit{id: id, doc: doc, name: spelledName(doc.ID)}
		if !strings.EqualFold(d.units[i].name, id.Name()) {
			d.units[i].name = id.Name()
		}
	}
	if why != "" {
		d.guess("units.first", d.units[0].name, why+"; the units say it themselves (HA mode First or Second, in the guide Master or Slave)")
	}
	if !d.findAddresses() {
		d.unfit = "they have no addresses of one family in their pools"
		return false
	}
	d.def.Azure = scopeOf(d.units[0].doc, d.survey.Search)
	for i, role := range pair.Roles {
		u, at := d.units[i], "units."+role.String()+".api"
		file := pair.Unit{VM: u.name, Address: u.address(), API: pair.API{Secret: d.secretOf(i)}}
		d.guess(at+".secret", file.API.Secret, "made of the machine's name; the unit's credentials belong into the function app's setting "+settingOf(file.API.Secret))
		d.guess(at+".tls", "", "the unit's certificate is not in Azure; as it comes a LoadMaster signs its own, which the system's roots do not know, so pin it (tls: { sha256: … }) or name a caFile")
		if role == pair.First {
			d.def.Units.First = file
		} else {
			d.def.Units.Second = file
		}
		d.checkInterfaces(role, u)
		if strings.EqualFold(u.config.Properties.Allocation, "Dynamic") {
			d.note("units."+role.String()+".address", "it is allocated dynamically; a pair needs it to stay, so make it static")
		}
	}
	d.def.HA.Preferred = pair.PreferFirst
	d.guess("ha.preferred", pair.PreferFirst.String(), "it is the guide's; what the units have is not in Azure (HA parameters, Preferred Host)")
	d.guess("checks", "", "what shows that a unit forwards is not in Azure; without a check, a unit that answers its probe and does not forward is not told from a good one, "+
		"so write one, for example checks: [ { name: shop, port: 443, path: / } ]")
	return true
}

// settingOf is the setting in which a function app keeps a secret.
func settingOf(secret string) string {
	return "TANDEM_SECRET_" + strings.ToUpper(strings.ReplaceAll(secret, "-", "_"))
}

// scopeOf is where a machine is, as its document spells it.
func scopeOf(vm *document.VM, s Search) pair.Scope {
	scope := pair.Scope{Subscription: s.Subscription, ResourceGroup: s.ResourceGroup, Location: strings.ToLower(strings.ReplaceAll(vm.Location, " ", ""))}
	if p := strings.Split(vm.ID, "/"); len(p) > 4 && strings.EqualFold(p[4], s.ResourceGroup) {
		scope.ResourceGroup = p[4]
	}
	return scope
}

// roles says which machine of the couple is the first unit, by its index, and
// why; without a reason where a person has said it.
func (d *draft) roles() (int, string) {
	c := d.couple
	for i, id := range c.vms {
		if strings.EqualFold(id.Name(), d.survey.VMs[0]) {
			return i, ""
		}
	}
	for _, leads := range []func(nat) bool{
		func(n nat) bool { return n.BackendPort == usualAPIPort }, nat.isSSH, func(n nat) bool { return !n.isSSH() },
	} {
		var lowest [2]nat
		for _, n := range d.nats {
			i := slices.Index(c.vms[:], n.vm)
			if n.isTCP() && leads(n) && (lowest[i].vm == "" || n.FrontendPort < lowest[i].FrontendPort) {
				lowest[i] = n
			}
		}
		for i, n := range lowest {
			if other := lowest[1-i]; n.vm != "" && other.vm != "" && n.FrontendPort < other.FrontendPort {
				return i, fmt.Sprintf("its port on the load balancer, %d, is below the other's, %d, as in the guide", n.FrontendPort, other.FrontendPort)
			}
		}
	}
	if compareNatural(c.vms[0].Name(), c.vms[1].Name()) > 0 {
		return 1, "its name comes first"
	}
	return 0, "its name comes first"
}

// compareNatural compares names with the numbers in them as numbers, so that lm2
// comes before lm10.
func compareNatural(a, b string) int {
	digits := regexp.MustCompile(`[0-9]+|[^0-9]+`)
	x, y := digits.FindAllString(a, -1), digits.FindAllString(b, -1)
	return slices.CompareFunc(x, y, func(s, t string) int {
		n, err1 := strconv.ParseUint(s, 10, 64)
		m, err2 := strconv.ParseUint(t, 10, 64)
		if err1 == nil && err2 == nil && n != m {
			if n < m {
				return -1
			}
			return 1
		}
		return strings.Compare(s, t)
	})
}

// findAddresses gives both units an address of one family: that in a pool of
// IPv4, or where there is none, the interface's own, or that of IPv6.
func (d *draft) findAddresses() bool {
	pools := d.bestFirst()
	for _, find := range []func(*pool, pair.ResourceID) *place{
		func(p *pool, vm pair.ResourceID) *place { return p.placeOf(vm, false) },
		func(p *pool, vm pair.ResourceID) *place { return d.survey.ownAddress(p.placeOf(vm, true)) },
		func(p *pool, vm pair.ResourceID) *place { return p.placeOf(vm, true) },
	} {
		var found [2]*place
		for i, u := range d.units {
			for _, p := range pools {
				if found[i] == nil {
					found[i] = find(p, u.id)
				}
			}
		}
		if found[0] != nil && found[1] != nil {
			d.units[0].place, d.units[1].place = *found[0], *found[1]
			return true
		}
	}
	return false
}

// placeOf is where a machine is in a pool, in one address family.
func (p *pool) placeOf(vm pair.ResourceID, ipv6 bool) *place {
	if m := p.of(vm, ipv6); m != nil {
		return &m.place
	}
	return nil
}

// ownAddress is the IPv4 configuration of the interface of another one.
func (v *survey) ownAddress(at *place) *place {
	if at == nil {
		return nil
	}
	var found *place
	for i := range v.nics[at.nic].Properties.Configurations {
		c := &v.nics[at.nic].Properties.Configurations[i]
		if a := c.Addr(); a.IsValid() && a.Is4() && (found == nil || c.Properties.Primary && !found.config.Properties.Primary) {
			found = &place{at.nic, c}
		}
	}
	return found
}

// bestFirst are the pools with those first that a rule to the usual check port
// sends to: what is in them are the units for certain.
func (d *draft) bestFirst() []*pool {
	best := func(p *pool) bool {
		return slices.ContainsFunc(p.balancer.Properties.Rules, func(r document.Part[document.Rule]) bool {
			return r.Properties.BackendPort == usualCheckPort && document.Refer(r.Properties.AllPools(), string(p.id()))
		})
	}
	out := slices.Clone(d.couple.pools)
	slices.SortStableFunc(out, func(a, b *pool) int {
		switch x, y := best(a), best(b); {
		case x == y:
			return 0
		case x:
			return -1
		default:
			return 1
		}
	})
	return out
}

// checkInterfaces tells of machines with several interfaces.
func (d *draft) checkInterfaces(role pair.Role, u unit) {
	n := len(u.doc.Properties.NetworkProfile.Interfaces)
	if n < 2 {
		return
	}
	if !d.def.HA.CheckAllInterfaces {
		d.def.HA.CheckAllInterfaces = true
		d.guess("ha.checkAllInterfaces", "true", "the machine "+plain(u.name)+" has "+strconv.Itoa(n)+
			" interfaces, and then the check port must answer on all of them; whether it does is set on the units (hcai)")
	}
	d.guess("units."+role.String()+".address", u.address().String(), "of "+strconv.Itoa(n)+" interfaces this is the one in the pools, "+plain(u.nic.Name()))
}

// secretName makes a name of a secret from that of a machine.
func secretName(vm string) string {
	name := strings.Trim(strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z', '0' <= r && r <= '9', r == '-':
			return r
		case 'A' <= r && r <= 'Z':
			return r + 'a' - 'A'
		default:
			return '-'
		}
	}, vm), "-")
	if name == "" || name[0] < 'a' {
		name = "lm" + name
	}
	return name[:min(len(name), 100)] + "-api"
}

func (d *draft) secretOf(i int) string {
	name := secretName(d.units[i].name)
	if i == 1 && name == secretName(d.units[0].name) {
		return name + "-2"
	}
	return name
}

// ours are the load-balancing rules that send to the couple's pools.
func (d *draft) ours() []ruleSeen {
	var out []ruleSeen
	for _, b := range d.couple.balancers() {
		for _, r := range b.Properties.Rules {
			if slices.ContainsFunc(document.IDs(r.Properties.AllPools()), d.couple.owns) {
				out = append(out, ruleSeen{b, r, b.ProbeOf(r.Properties.Probe)})
			}
		}
	}
	return out
}

// ruleSeen is a load-balancing rule and the probe that it uses, if any.
type ruleSeen struct {
	balancer *document.LoadBalancer
	document.Part[document.Rule]
	probe *document.Part[document.Probe]
}

// checked says whether the rule's probe asks a port over HTTP.
func (r ruleSeen) checked(port int) bool {
	return r.probe != nil && r.probe.Properties.IsHTTP() && r.probe.Properties.Port == port
}

// findCheckPort finds the port that the load balancers' probes ask.
func (d *draft) findCheckPort() {
	rules := d.ours()
	asked := func(port int) bool {
		return slices.ContainsFunc(rules, func(r ruleSeen) bool { return r.checked(port) })
	}
	led := func(port int) bool {
		return slices.ContainsFunc(rules, func(r ruleSeen) bool { return r.Properties.BackendPort == port })
	}
	best, why := usualCheckPort, "it is the guide's; no rule to the pools has an HTTP probe"
	if named := ports(d.group.written("check-probe")); len(named) == 1 {
		best, why = named[0], "the rules of the security group "+plain(d.group.name)+" name it; no rule to the pools has an HTTP probe"
	}
	if asked(usualCheckPort) {
		best, why = usualCheckPort, "the load balancer's HTTP probe asks it, and it is the guide's"
	} else {
		asks := false
		for _, r := range rules {
			if r.probe == nil || !r.probe.Properties.IsHTTP() {
				continue
			}
			if port := r.probe.Properties.Port; !asks || led(port) && !led(best) {
				asks, best, why = true, port, "the load balancer's HTTP probe "+plain(r.probe.Name)+" asks it"
			}
		}
	}
	d.def.HA.CheckPort = best
	d.guess("ha.checkPort", strconv.Itoa(best), why+"; what the units have is not in Azure, and must be the same (HA parameters)")
}

// unproved says why nothing shows that the machines are LoadMasters: two machines
// behind a load balancer can be anything.
func (d *draft) unproved() string {
	if d.survey.VMs != [2]string{} || d.group.owner != "" || d.vendorsImage() || d.leadsToUnits() {
		return ""
	}
	asked := slices.ContainsFunc(d.ours(), func(r ruleSeen) bool { return r.checked(d.def.HA.CheckPort) })
	if !asked {
		return "nothing shows that they are LoadMasters: no rule to their pools has an HTTP probe, nothing leads to port 8444 or 8443, " +
			"and their image is not the vendor's; name them with --vm to have their file"
	}
	d.note("", "nothing but an HTTP probe speaks for LoadMasters here: nothing leads to port 8444 or 8443, and the machines' image is not the vendor's")
	return ""
}

// vendorsImage says whether one of the machines was made of the vendor's image
// (loadmaster.md 2.7).
func (d *draft) vendorsImage() bool {
	return slices.ContainsFunc(d.units[:], func(u unit) bool {
		return strings.EqualFold(u.doc.Properties.StorageProfile.Image.Publisher, "kemptech")
	})
}

// leadsToUnits says whether something leads to a port that LoadMasters have.
func (d *draft) leadsToUnits() bool {
	usual := func(port int) bool { return port == usualCheckPort || port == usualAPIPort }
	return slices.ContainsFunc(d.ours(), func(r ruleSeen) bool { return usual(r.Properties.BackendPort) }) ||
		slices.ContainsFunc(d.nats, func(n nat) bool { return usual(n.BackendPort) })
}

// findAPI finds the ports of the units' APIs: NAT rules lead to them, and rules
// that a Tandem wrote into the security group name them.
func (d *draft) findAPI() {
	named := ports(append(d.group.written("api-tandem"), d.group.written("api")...))
	found := [2]int{d.ledTo(0, named), d.ledTo(1, named)}
	for i, role := range pair.Roles {
		port, why := found[i], "a NAT rule leads to it"
		switch other := found[1-i]; {
		case port == usualAPIPort || port == 0 && slices.Equal(named, []int{usualAPIPort}):
			port, why = usualAPIPort, ""
		case port != 0:
		case len(named) == 1:
			port, why = named[0], "the rules of the security group "+plain(d.group.name)+" name it"
		case len(named) == 2 && other != 0:
			port, why = named[0]+named[1]-other, "the rules of the security group "+plain(d.group.name)+" name it, and the other unit has the other"
		case len(named) == 2:
			port, why = named[i], "the rules of the security group "+plain(d.group.name)+" name two, and which unit has which is not in Azure"
		default:
			port, why = usualAPIPort, "it is that of the vendor's images; no NAT rule leads to another one"
		}
		if why != "" {
			d.guess("units."+role.String()+".api.port", strconv.Itoa(port), why)
		}
		if role == pair.First {
			d.def.Units.First.API.Port = port
		} else {
			d.def.Units.Second.API.Port = port
		}
	}
}

// ledTo is the port of a unit to which a NAT rule for its web interface leads, 0
// where there is none.
func (d *draft) ledTo(i int, named []int) int {
	best := 0
	for _, n := range d.nats {
		port := n.BackendPort
		if n.vm != d.units[i].id || n.isSSH() || !n.isTCP() || port == 0 || port == d.def.HA.CheckPort {
			continue
		}
		if rank(port, named) > rank(best, named) {
			best = port
		}
	}
	return best
}

// rank says how much speaks for a port to be that of an API.
func rank(port int, named []int) int {
	switch {
	case port == 0:
		return 0
	case slices.Contains(named, port):
		return 3
	case port == usualAPIPort:
		return 2
	default:
		return 1
	}
}

// nat is an inbound NAT rule that leads to a machine of the couple.
type nat struct {
	document.NATRule
	balancer *document.LoadBalancer
	name     string
	vm       pair.ResourceID
	at       place
}

// isSSH says whether the rule is for SSH.
func (n nat) isSSH() bool { return n.BackendPort == portSSH }

func (n nat) isTCP() bool { return strings.EqualFold(n.Protocol, "Tcp") }

// natsOf finds the NAT rules of the couple's load balancers that lead to one of
// its machines: the rule names an IP configuration, or an interface the rule.
func (v *survey) natsOf(c *couple) []nat {
	var out []nat
	for _, b := range c.balancers() {
		for _, r := range b.Properties.NATRules {
			at, ok := v.configuration(r.Properties.Configuration.Resource())
			if !ok {
				at, ok = v.referring(b.Child("inboundNatRules", r.Name), c)
			}
			if vm := v.owners[at.nic]; ok && slices.Contains(c.vms[:], vm) {
				out = append(out, nat{r.Properties, b, r.Name, vm, at})
			}
		}
	}
	return out
}

// referring finds the IP configuration of the couple that refers to a NAT rule.
func (v *survey) referring(rule pair.ResourceID, c *couple) (place, bool) {
	for _, vm := range c.vms {
		for _, ref := range v.machines[vm].Properties.NetworkProfile.Interfaces {
			doc := v.nics[ref.Resource()]
			if doc == nil {
				continue
			}
			for i := range doc.Properties.Configurations {
				config := &doc.Properties.Configurations[i]
				if slices.ContainsFunc(config.Properties.NATRules, func(r document.Reference) bool { return r.Resource() == rule }) {
					return place{ref.Resource(), config}, true
				}
			}
		}
	}
	return place{}, false
}

// surroundings are those of the search; what it does not know, the rules of a
// Tandem in the group may tell.
func (d *draft) surroundings() balancer.Surroundings {
	s, told := d.survey.Surroundings, d.group.surroundings()
	if len(s.From) == 0 {
		s.From = told.From
	}
	if len(s.Members) == 0 && s.TunnelPort == 0 {
		s.Members, s.TunnelPort = told.Members, told.TunnelPort
	}
	return s
}

// validName is the form of a pair's name, and mostName its length.
var validName = regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9]+)*$`)

const mostName = 40

func isName(s string) bool { return len(s) <= mostName && validName.MatchString(s) }

// nameIt returns a name for the pair, and why that one.
func (d *draft) nameIt() (string, string) {
	if d.group.owner != "" {
		return d.group.owner, "the rules in the security group " + plain(d.group.name) + " are called after it"
	}
	b := d.couple.pools[0].balancer
	from, why := spelledName(b.ID), "made of the load balancer's; it must be the only pair of that name that a Tandem looks after"
	for _, doc := range b.Properties.Pools {
		if !d.couple.owns(b.Child("backendAddressPools", doc.Name)) && len(d.couple.balancers()) == 1 {
			from, why = from+"-"+d.couple.pools[0].name, "made of the load balancer's and the pool's; it must be the only pair of that name that a Tandem looks after"
			break
		}
	}
	return nameFrom(from), why
}

// nameFrom makes a pair's name of anything.
func nameFrom(s string) string {
	words := strings.FieldsFunc(strings.ToLower(s), func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') })
	name := strings.Join(words, "-")
	if name == "" || name[0] <= '9' {
		name = strings.TrimRight("pair-"+name, "-")
	}
	return strings.TrimRight(name[:min(len(name), mostName)], "-")
}
