package discover

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"tandem/internal/balancer"
	"tandem/internal/balancer/document"
	"tandem/internal/pair"
)

// survey is what was understood of a world.
type survey struct {
	Search
	world    balancer.World
	provider string // begins the ids of the resource group, in lower case

	balancers []*document.LoadBalancer // of the resource group, in order of their ids
	odd       []pair.ResourceID        // documents of it that are none of their kind
	machines  map[pair.ResourceID]*document.VM
	nics      map[pair.ResourceID]*document.Interface
	owners    map[pair.ResourceID]pair.ResourceID // of interfaces: the machine
	byAddress map[netip.Addr][]place
	byPool    map[pair.ResourceID][]place
}

// place is an IP configuration of an interface.
type place struct {
	nic    pair.ResourceID
	config *document.IPConfiguration
}

func newSurvey(s Search, w balancer.World) *survey {
	v := &survey{
		Search: s, world: w,
		provider:  strings.ToLower("/subscriptions/" + s.Subscription + "/resourceGroups/" + s.ResourceGroup + "/providers/"),
		machines:  make(map[pair.ResourceID]*document.VM),
		nics:      make(map[pair.ResourceID]*document.Interface),
		owners:    make(map[pair.ResourceID]pair.ResourceID),
		byAddress: make(map[netip.Addr][]place),
		byPool:    make(map[pair.ResourceID][]place),
	}
	for _, id := range slices.Sorted(maps.Keys(w)) {
		switch kind := kindOf(id); {
		case kind == "loadbalancers" && v.inGroup(id):
			if doc := look[document.LoadBalancer](v, id); doc != nil {
				doc.ID = cmp.Or(doc.ID, string(id))
				v.balancers = append(v.balancers, doc)
			}
		case kind == "virtualmachines" && v.inGroup(id):
			if doc := look[document.VM](v, id); doc != nil {
				doc.ID = cmp.Or(doc.ID, string(id))
				v.machines[id] = doc
			}
		case kind == "networkinterfaces":
			if doc := look[document.Interface](v, id); doc != nil {
				v.addInterface(id, doc)
			}
		}
	}
	for _, id := range slices.Sorted(maps.Keys(v.machines)) {
		for _, ref := range v.machines[id].Properties.NetworkProfile.Interfaces {
			v.owners[ref.Resource()] = id
		}
	}
	return v
}

// spelledName is the last part of an id as a document spells it.
func spelledName(id string) string { return id[strings.LastIndexByte(id, '/')+1:] }

// kindOf is the kind of a resource, the part of its id before the name.
func kindOf(id pair.ResourceID) string {
	rest := string(id[:max(strings.LastIndexByte(string(id), '/'), 0)])
	return rest[strings.LastIndexByte(rest, '/')+1:]
}

func (v *survey) inGroup(id pair.ResourceID) bool { return strings.HasPrefix(string(id), v.provider) }

// look returns a resource's document. It is nil where the resource is missing or
// its document is none of its kind.
func look[T any](v *survey, id pair.ResourceID) *T {
	raw := v.world[id]
	if raw == nil {
		return nil
	}
	doc := new(T)
	if json.Unmarshal(raw, doc) != nil {
		v.odd = append(v.odd, id)
		return nil
	}
	return doc
}

func (v *survey) addInterface(id pair.ResourceID, doc *document.Interface) {
	v.nics[id] = doc
	if vm := doc.Properties.Machine.Resource(); vm != "" {
		v.owners[id] = vm
	}
	for i := range doc.Properties.Configurations {
		p := place{id, &doc.Properties.Configurations[i]}
		if a := p.config.Addr(); a.IsValid() {
			v.byAddress[a] = append(v.byAddress[a], p)
		}
		for _, ref := range p.config.Properties.Pools {
			v.byPool[ref.Resource()] = append(v.byPool[ref.Resource()], p)
		}
	}
}

// unreadInterfaces are the interfaces of the machines that no list had, because
// they are in another resource group, and those in small pools.
func (v *survey) unreadInterfaces() []pair.ResourceID {
	var out []pair.ResourceID
	for _, id := range slices.Sorted(maps.Keys(v.machines)) {
		for _, ref := range v.machines[id].Properties.NetworkProfile.Interfaces {
			out = append(out, ref.Resource())
		}
	}
	for _, b := range v.balancers {
		for _, p := range b.Properties.Pools {
			refs := configurationsOf(p.Properties)
			if len(refs) > 4 { // more than the two families of two machines
				continue
			}
			for _, ref := range refs {
				if id := document.UpTo(ref, "ipconfigurations"); kindOf(id) == "networkinterfaces" && !strings.Contains(string(id), "/virtualmachinescalesets/") {
					out = append(out, id)
				}
			}
		}
	}
	return out
}

// configurationsOf are the IP configurations that a pool names, each once.
func configurationsOf(p document.Pool) []pair.ResourceID {
	refs := slices.Clip(p.Configurations)
	for _, a := range p.Addresses {
		refs = append(refs, a.Properties.Configuration)
	}
	var out []pair.ResourceID
	seen := map[pair.ResourceID]bool{"": true}
	for _, id := range document.IDs(refs) {
		if !seen[id] {
			seen[id] = true
			out = append(out, id)
		}
	}
	return out
}

// member is one machine in a pool, by one of its addresses.
type member struct {
	place
	vm    pair.ResourceID
	admin string
}

// pool is a backend pool with its members.
type pool struct {
	balancer  *document.LoadBalancer
	name      string
	byAddress bool // how its members joined it; a pool has one kind
	members   []member
	stranger  string // a member that is no machine that is known; empty if there is none
}

func (p *pool) id() pair.ResourceID { return p.balancer.Child("backendAddressPools", p.name) }

func (p *pool) String() string {
	return "load balancer " + plain(spelledName(p.balancer.ID)) + ", pool " + plain(p.name)
}

// of returns the first member that belongs to a machine, of one address family.
func (p *pool) of(vm pair.ResourceID, ipv6 bool) *member {
	for i, m := range p.members {
		if a := m.config.Addr(); m.vm == vm && a.IsValid() && a.Is6() == ipv6 {
			return &p.members[i]
		}
	}
	return nil
}

// newPool finds the members of a pool: what it names itself, and the interfaces
// that name it.
func (v *survey) newPool(b *document.LoadBalancer, doc document.Part[document.Pool]) *pool {
	p := &pool{balancer: b, name: doc.Name, byAddress: doc.Properties.ByAddress()}
	seen := make(map[pair.ResourceID]bool)
	add := func(at place, admin string) {
		id := pair.NewResourceID(string(at.nic) + "/" + at.config.Name)
		if seen[id] {
			return
		}
		seen[id] = true
		vm := v.owners[at.nic]
		if vm == "" {
			p.stranger = "the interface " + plain(at.nic.Name()) + ", which belongs to no machine"
		}
		p.members = append(p.members, member{at, vm, admin})
	}
	for _, a := range doc.Properties.Addresses {
		at, ok := v.configuration(a.Properties.Configuration.Resource())
		if !ok && a.Properties.Address != "" {
			at, ok = v.holding(a.Properties, doc.Properties.Network)
		}
		switch {
		case ok:
			add(at, a.Properties.AdminState)
		case a.Properties.Configuration.ID != "":
			p.stranger = v.nameOf(a.Properties.Configuration.Resource())
		default:
			p.stranger = "the address " + plain(a.Properties.Address) + ", which no machine of the resource group has"
		}
	}
	for _, ref := range configurationsOf(doc.Properties) {
		if at, ok := v.configuration(ref); ok {
			add(at, "")
		} else {
			p.stranger = v.nameOf(ref)
		}
	}
	for _, at := range v.byPool[p.id()] {
		add(at, "")
	}
	return p
}

// nameOf says for a person what an IP configuration that was not read belongs to.
func (v *survey) nameOf(config pair.ResourceID) string {
	if before, _, scaled := strings.Cut(string(config), "/virtualmachines/"); scaled && strings.Contains(before, "/virtualmachinescalesets/") {
		return "the scale set " + plain(pair.ResourceID(before).Name())
	}
	return "the interface " + plain(document.UpTo(config, "ipconfigurations").Name()) + ", of which nothing could be read"
}

// configuration finds an IP configuration by its id.
func (v *survey) configuration(id pair.ResourceID) (place, bool) {
	nic := document.UpTo(id, "ipconfigurations")
	doc := v.nics[nic]
	if doc == nil {
		return place{}, false
	}
	for i := range doc.Properties.Configurations {
		if c := &doc.Properties.Configurations[i]; strings.EqualFold(c.Name, id.Name()) {
			return place{nic, c}, true
		}
	}
	return place{}, false
}

// holding finds the IP configuration that a member by address means. Networks may
// have the same addresses, so the member's counts where it names one.
func (v *survey) holding(a document.PoolAddress, ofPool document.Reference) (place, bool) {
	addr, err := netip.ParseAddr(a.Address)
	if err != nil {
		return place{}, false
	}
	network := a.Network.Resource()
	if network == "" && a.Subnet.ID != "" {
		network = document.UpTo(a.Subnet.Resource(), "subnets")
	}
	if network == "" {
		network = ofPool.Resource()
	}
	for _, at := range v.byAddress[addr] {
		if network == "" || at.config.Network() == network {
			return at, true
		}
	}
	return place{}, false
}

// couple is two machines and the pools that hold just them.
type couple struct {
	vms   [2]pair.ResourceID // in order of their ids
	pools []*pool            // in order of the load balancers and of the pools in each
}

func (c *couple) String() string {
	return "machines " + plain(c.vms[0].Name()) + " and " + plain(c.vms[1].Name())
}

// balancers are the couple's load balancers.
func (c *couple) balancers() []*document.LoadBalancer {
	var out []*document.LoadBalancer
	for _, p := range c.pools {
		if !slices.Contains(out, p.balancer) {
			out = append(out, p.balancer)
		}
	}
	return out
}

// poolsOf are the couple's pools on one of its load balancers.
func (c *couple) poolsOf(b *document.LoadBalancer) []*pool {
	var out []*pool
	for _, p := range c.pools {
		if p.balancer == b {
			out = append(out, p)
		}
	}
	return out
}

// owns says whether one of the pools is the couple's.
func (c *couple) owns(id pair.ResourceID) bool {
	return slices.ContainsFunc(c.pools, func(p *pool) bool { return p.id() == id })
}

// couples finds the machines that stand together in pools, and says of everything
// else why it makes no pair.
func (v *survey) couples() ([]*couple, []Skipped) {
	var skipped []Skipped
	skip := func(what, why string) { skipped = append(skipped, Skipped{what, why}) }
	for _, id := range v.odd {
		skip(plain(kindOf(id)+" "+id.Name()), "its document has a form that this release does not know")
	}
	wanted := v.wanted(skip)
	byVMs := make(map[[2]pair.ResourceID]*couple)
	var all []*couple
	for _, b := range v.balancers {
		if why := unfitBalancer(b); why != "" {
			if wanted == nil {
				skip("load balancer "+plain(spelledName(b.ID)), why)
			}
			continue
		}
		for _, doc := range b.Properties.Pools {
			p := v.newPool(b, doc)
			vms := p.machines()
			if wanted != nil && !slices.ContainsFunc(vms, func(id pair.ResourceID) bool { return slices.Contains(wanted, id) }) {
				continue // nobody asked for it
			}
			if why := v.unfit(p, vms); why != "" {
				skip(p.String(), why)
				continue
			}
			key := [2]pair.ResourceID{vms[0], vms[1]}
			if byVMs[key] == nil {
				byVMs[key] = &couple{vms: key}
				all = append(all, byVMs[key])
			}
			byVMs[key].pools = append(byVMs[key].pools, p)
		}
	}
	all = v.single(all, wanted, skip)
	if len(all) == 0 && len(wanted) == 2 {
		skip("machines "+plain(wanted[0].Name())+" and "+plain(wanted[1].Name()), "no pool of a load balancer of the resource group holds these two and nothing else")
	}
	return all, skipped
}

// wanted are those of the machines that the search names that exist, in order of
// their ids; nil where it names none.
func (v *survey) wanted(skip func(what, why string)) []pair.ResourceID {
	if v.VMs == [2]string{} {
		return nil
	}
	out := []pair.ResourceID{}
	for _, name := range v.VMs {
		id := pair.NewResourceID(v.provider + "microsoft.compute/virtualmachines/" + name)
		if v.machines[id] == nil {
			skip("VM "+plain(name), "there is no such virtual machine in the resource group "+plain(v.ResourceGroup))
			continue
		}
		out = append(out, id)
	}
	slices.Sort(out)
	return out
}

// unfitBalancer says why a load balancer can be in front of no pair.
func unfitBalancer(d *document.LoadBalancer) string {
	switch {
	case strings.EqualFold(d.SKU.Name, "Gateway"):
		return "it is a gateway load balancer, which has no published ports"
	case strings.EqualFold(d.SKU.Tier, "Global"):
		return "it is of the global tier, which has load balancers behind it and no machines"
	case len(d.Properties.Pools) == 0:
		return "it has no backend pool"
	default:
		return ""
	}
}

// machines are the machines in a pool, in order of their ids.
func (p *pool) machines() []pair.ResourceID {
	var out []pair.ResourceID
	for _, m := range p.members {
		if m.vm != "" {
			out = append(out, m.vm)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// unfit says why a pool makes no pair.
func (v *survey) unfit(p *pool, vms []pair.ResourceID) string {
	switch {
	case p.stranger != "":
		return "it holds " + p.stranger
	case len(vms) == 0:
		return "it is empty"
	case len(vms) == 1:
		return "it holds one machine only, " + plain(vms[0].Name())
	case len(vms) > 2:
		return fmt.Sprintf("it holds %d machines, and a pair has two", len(vms))
	}
	for _, id := range vms {
		if v.machines[id] == nil {
			return "it holds the machine " + plain(id.Name()) + ", which is not in the resource group " + plain(v.ResourceGroup) + "; a pair and its load balancers are in one"
		}
	}
	return ""
}

// single leaves out couples of which a machine is in another one too: a unit
// belongs to one pair.
func (v *survey) single(all []*couple, wanted []pair.ResourceID, skip func(what, why string)) []*couple {
	partners := make(map[pair.ResourceID][]*couple)
	for _, c := range all {
		for _, id := range c.vms {
			partners[id] = append(partners[id], c)
		}
	}
	var out []*couple
	for _, c := range all {
		asked := wanted != nil && slices.Equal(c.vms[:], wanted)
		if wanted != nil && !asked {
			skip(c.String(), "other machines were asked for")
			continue
		}
		why := ""
		for _, id := range c.vms {
			if len(partners[id]) > 1 && !asked {
				why = plain(id.Name()) + " is in pools with different machines, and a unit belongs to one pair; say which with --vm"
			}
		}
		if why != "" {
			skip(c.String(), why)
			continue
		}
		out = append(out, c)
	}
	return out
}
