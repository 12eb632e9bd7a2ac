package balancer

import (
	"net/netip"
	"slices"
	"strings"

	"tandem/internal/pair"
)

// Reads returns what must still be read before the pair can be judged, in a
// fixed order. It is asked again after each reading, until it returns nothing:
// only a document tells what it refers to. What was read and does not exist, or
// cannot be understood, is not asked for again.
func Reads(def *pair.Definition, w World) []pair.ResourceID {
	return missingFor(def, newViews(w))
}

// missingFor is Reads with what was understood of the documents so far.
func missingFor(def *pair.Definition, v *views) []pair.ResourceID {
	r := reading{views: v, asked: make(map[pair.ResourceID]bool)}
	if def.SecurityGroup.Name != "" {
		r.want(def.SecurityGroupID())
	}
	for _, lb := range def.LoadBalancers {
		r.loadBalancer(def, lb)
	}
	for _, role := range pair.Roles {
		r.machine(def, role)
	}
	return r.missing
}

// reading collects the resources that are asked for and not there.
type reading struct {
	views   *views
	asked   map[pair.ResourceID]bool
	missing []pair.ResourceID
}

func (r *reading) want(id pair.ResourceID) {
	if _, read := r.views.world[id]; id != "" && !read && !r.asked[id] {
		r.asked[id] = true
		r.missing = append(r.missing, id)
	}
}

func (r *reading) loadBalancer(def *pair.Definition, lb pair.LoadBalancer) {
	id := def.LoadBalancerID(lb.Name)
	r.want(id)
	doc, seen := look[balancerDocument](r.views, id)
	if seen == unread {
		return
	}
	for _, f := range lb.Frontends {
		if f.PublicIP != "" {
			r.want(pair.NewResourceID(publicIPOf(def, doc, f)))
		}
	}
}

// machine asks for a unit's machine, its interfaces, and of the one that holds
// the unit's address what decides about its traffic: the subnet, both security
// groups, and the other load balancers that it is behind.
func (r *reading) machine(def *pair.Definition, role pair.Role) {
	r.want(def.VMID(role))
	vm, _ := look[vmDocument](r.views, def.VMID(role))
	for _, ref := range vm.Properties.NetworkProfile.NetworkInterfaces {
		r.want(ref.id())
		nic, _ := look[nicDocument](r.views, ref.id())
		config := nic.holding(def.Units.Of(role).Address)
		if config == nil {
			continue
		}
		r.want(nic.Properties.NetworkSecurityGroup.id())
		r.want(config.Properties.Subnet.id())
		subnet, _ := look[subnetDocument](r.views, config.Properties.Subnet.id())
		r.want(subnet.Properties.NetworkSecurityGroup.id())
		r.namedSubnets(def, config.Properties.Subnet.ID)
		for _, other := range nic.balancers() {
			r.want(other)
		}
	}
}

// namedSubnets asks for the subnets that the pair file names for frontends.
func (r *reading) namedSubnets(def *pair.Definition, beside string) {
	for _, lb := range def.LoadBalancers {
		for _, f := range lb.Frontends {
			if f.Subnet != "" {
				r.want(pair.NewResourceID(sibling(beside, f.Subnet)))
			}
		}
	}
}

// sight says what is known of a resource.
type sight uint8

const (
	unread     sight = iota // nobody looked
	missing                 // it does not exist
	unreadable              // it is no document of its kind
	there
)

// views are the documents of a world as far as this package understands them;
// each is read once.
type views struct {
	world  World
	seen   map[pair.ResourceID]any
	viewer *viewer
}

func newViews(w World) *views {
	return &views{world: w, seen: make(map[pair.ResourceID]any, len(w)), viewer: newViewer()}
}

// look returns a resource's document as far as this package needs it. Unless it
// is there, the document is empty.
func look[T any](v *views, id pair.ResourceID) (*T, sight) {
	if doc, ok := v.seen[id].(*T); ok {
		return doc, there
	}
	raw, read := v.world[id]
	switch {
	case !read:
		return new(T), unread
	case raw == nil:
		return new(T), missing
	}
	doc := new(T)
	if v.viewer.view(raw, doc) != nil {
		return new(T), unreadable
	}
	v.seen[id] = doc
	return doc, there
}

// reference is how a document names another resource, or a part of one.
type reference struct {
	ID string `json:"id"`
}

func (r reference) id() pair.ResourceID { return pair.NewResourceID(r.ID) }

// is reports whether the reference is to the resource. Azure compares ids
// without regard to case.
func (r reference) is(id string) bool { return r.ID != "" && strings.EqualFold(r.ID, id) }

// refer reports whether one of the references is to the resource.
func refer(refs []reference, id string) bool {
	return slices.ContainsFunc(refs, func(r reference) bool { return r.is(id) })
}

// ids returns the ids of a list of references, in the form in which ids are compared.
func ids(refs []reference) []pair.ResourceID {
	out := make([]pair.ResourceID, len(refs))
	for i, r := range refs {
		out[i] = r.id()
	}
	return out
}

// upTo returns the part of an id before a kind of child, and the id itself where
// it has none: …/loadbalancers/ilb/backendaddresspools/p → …/loadbalancers/ilb.
func upTo(id, child string) string {
	if i := strings.Index(strings.ToLower(id), "/"+strings.ToLower(child)+"/"); i >= 0 {
		return id[:i]
	}
	return id
}

// sibling returns the id of another resource of the same kind and parent.
func sibling(id, name string) string {
	return id[:strings.LastIndexByte(id, '/')+1] + name
}

// vmDocument is what matters here of a virtual machine.
type vmDocument struct {
	Location   string   `json:"location"`
	Zones      []string `json:"zones"`
	Properties struct {
		AvailabilitySet reference `json:"availabilitySet"`
		NetworkProfile  struct {
			NetworkInterfaces []reference `json:"networkInterfaces"`
		} `json:"networkProfile"`
	} `json:"properties"`
}

// nicDocument is what matters here of a network interface.
type nicDocument struct {
	ID         string `json:"id"`
	Properties struct {
		IPConfigurations     []ipConfiguration `json:"ipConfigurations"`
		NetworkSecurityGroup reference         `json:"networkSecurityGroup"`
	} `json:"properties"`
}

// ipConfiguration is one address of an interface, and what it belongs to.
type ipConfiguration struct {
	ID         string `json:"id"`
	Name       string `json:"name"`
	Properties struct {
		Address        string      `json:"privateIPAddress"`
		Primary        bool        `json:"primary"`
		Subnet         reference   `json:"subnet"`
		Pools          []reference `json:"loadBalancerBackendAddressPools"`
		NATRules       []reference `json:"loadBalancerInboundNatRules"`
		SecurityGroups []reference `json:"applicationSecurityGroups"`
	} `json:"properties"`
}

// address returns the configuration's address, and an invalid one where it is
// none, such as a block of addresses.
func (c *ipConfiguration) address() netip.Addr {
	a, err := netip.ParseAddr(c.Properties.Address)
	if err != nil {
		return netip.Addr{}
	}
	return a
}

// holding returns the configuration that has an address, or nil.
func (n *nicDocument) holding(a netip.Addr) *ipConfiguration {
	for i := range n.Properties.IPConfigurations {
		if c := &n.Properties.IPConfigurations[i]; a.IsValid() && c.address() == a {
			return c
		}
	}
	return nil
}

// balancers returns the load balancers that the interface is behind.
func (n *nicDocument) balancers() []pair.ResourceID {
	var out []pair.ResourceID
	for _, c := range n.Properties.IPConfigurations {
		for _, ref := range c.Properties.Pools {
			out = append(out, pair.NewResourceID(upTo(ref.ID, "backendAddressPools")))
		}
		for _, ref := range c.Properties.NATRules {
			out = append(out, pair.NewResourceID(upTo(ref.ID, "inboundNatRules")))
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// subnetDocument is what matters here of a subnet.
type subnetDocument struct {
	ID         string `json:"id"`
	Properties struct {
		AddressPrefix        string    `json:"addressPrefix"`
		AddressPrefixes      []string  `json:"addressPrefixes"`
		NetworkSecurityGroup reference `json:"networkSecurityGroup"`
	} `json:"properties"`
}

// prefixes returns the subnet's networks, of both address families.
func (s *subnetDocument) prefixes() []netip.Prefix {
	var out []netip.Prefix
	for _, text := range append([]string{s.Properties.AddressPrefix}, s.Properties.AddressPrefixes...) {
		if p, err := netip.ParsePrefix(text); err == nil && !slices.Contains(out, p.Masked()) {
			out = append(out, p.Masked())
		}
	}
	return out
}
