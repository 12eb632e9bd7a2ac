package balancer

import (
	"strings"

	"tandem/internal/balancer/document"
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
	doc, seen := look[document.LoadBalancer](r.views, id)
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
	vm, _ := look[document.VM](r.views, def.VMID(role))
	for _, ref := range vm.Properties.NetworkProfile.Interfaces {
		r.want(ref.Resource())
		nic, _ := look[document.Interface](r.views, ref.Resource())
		config := nic.Holding(def.Units.Of(role).Address)
		if config == nil {
			continue
		}
		r.want(nic.Properties.SecurityGroup.Resource())
		r.want(config.Properties.Subnet.Resource())
		subnet, _ := look[document.Subnet](r.views, config.Properties.Subnet.Resource())
		r.want(subnet.Properties.SecurityGroup.Resource())
		r.namedSubnets(def, config.Properties.Subnet.ID)
		for _, other := range nic.Balancers() {
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

// sibling returns the id of another resource of the same kind and parent.
func sibling(id, name string) string {
	return id[:strings.LastIndexByte(id, '/')+1] + name
}
