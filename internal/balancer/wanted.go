package balancer

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"tandem/internal/pair"
)

// Compile makes the complete state that a pair must have from its definition
// and from what was read: the world tells what exists already under a name of
// somebody's own, on which interface a unit's address is, and what stands in
// the way. It returns every reason why the pair cannot be built at once, and no
// wanted state then. Equal arguments give equal results.
func Compile(def *pair.Definition, w World, s Surroundings) (Wanted, []Refusal) {
	filled := def.WithDefaults()
	c := compilation{def: &filled, views: newViews(w), around: s, said: make(map[Refusal]bool)}
	if c.unread(); len(c.refusals) > 0 {
		return Wanted{}, c.refusals
	}
	c.readMachines()
	c.checkUnits()
	c.compileBalancers()
	c.compileSecurityGroup()
	c.compileInterfaces()
	if len(c.refusals) > 0 {
		return Wanted{}, c.refusals
	}
	return Wanted{Pair: c.def.Name, Resources: c.ordered()}, nil
}

// compilation is what one call of Compile knows so far.
type compilation struct {
	def    *pair.Definition
	views  *views
	around Surroundings

	machines [2]machine // by pair.Role.Index

	publicIPs []*shape
	balancers []*balancer
	group     *shape // nil where the pair file names none
	nics      []*shape

	refusals []Refusal
	said     map[Refusal]bool
}

// unread refuses to judge a pair that was not read.
func (c *compilation) unread() {
	for _, id := range missingFor(c.def, c.views) {
		c.refuse(string(id), "not read", "what must be written follows from what exists", "read it first")
	}
}

// read returns a document that must be one of its kind if it exists.
func read[T any](c *compilation, id pair.ResourceID) (*T, bool) {
	doc, seen := look[T](c.views, id)
	if seen == unreadable {
		c.refuse(string(id), "not a document of its kind", "a field has a type that this release does not know", "a newer release of Tandem may read it")
	}
	return doc, seen == there
}

// ordered puts the resources into the order in which they are written: what
// others refer to comes first. Interfaces that give something up come before the
// load balancers, because a port that leads to one machine cannot lead to
// another at the same time (azure.md 1.6), unless they also take what only that
// write creates.
func (c *compilation) ordered() []Resource {
	var out []Resource
	add := func(shapes ...*shape) {
		for _, s := range shapes {
			out = append(out, s.resource)
		}
	}
	add(c.publicIPs...)
	if c.group != nil {
		add(c.group)
	}
	early := func(s *shape) bool { return s.gives && !s.takesNew }
	for _, s := range c.nics {
		if early(s) {
			add(s)
		}
	}
	for _, b := range c.balancers {
		add(b.shape)
	}
	for _, gives := range []bool{true, false} {
		for _, s := range c.nics {
			if !early(s) && s.gives == gives {
				add(s)
			}
		}
	}
	return out
}

// shape collects the fields of one resource.
type shape struct {
	resource Resource
	gives    bool // it lets go of something that another resource takes
	takesNew bool // it refers to something that does not exist yet

	spare []Segment // for paths, of which there are hundreds
}

// longer returns a path with another segment behind it.
func (s *shape) longer(p Path, by Segment) Path {
	n := len(p) + 1
	if len(s.spare) < n {
		s.spare = make([]Segment, 128+n)
	}
	out := s.spare[:n:n]
	s.spare = s.spare[n:]
	copy(out, p)
	out[n-1] = by
	return out
}

// expect makes room for so many more fields.
func (s *shape) expect(fields int) {
	s.resource.Fields = slices.Grow(s.resource.Fields, fields)
}

// spot is a place in a resource.
type spot struct {
	shape *shape
	path  Path
}

// properties is the spot that nearly everything in a resource is below.
func (s *shape) properties() spot { return spot{s, Path{{Name: "properties"}}} }

// in is a field of the object at the spot.
func (p spot) in(name string) spot { return p.under(Segment{Name: name}) }

// element is the properties of the element of a list of the object at the spot.
func (p spot) element(list, name string) spot {
	return p.under(Segment{Name: list, Key: "name", Value: name}).in("properties")
}

// reference is the element of a list of references of the object at the spot.
func (p spot) reference(list, id string) spot {
	return p.under(Segment{Name: list, Key: "id", Value: id})
}

func (p spot) under(s Segment) spot { return spot{p.shape, p.shape.longer(p.path, s)} }

// must wants a field of the object at the spot to have a value.
func (p spot) must(name string, value any, why string) { p.mustUnless(name, value, nil, why) }

// mustUnless is must for a field that the platform leaves out where it has the
// value absent.
func (p spot) mustUnless(name string, value, absent any, why string) {
	f := Field{Path: p.in(name).path, Want: scalar(value), Why: why}
	if absent != nil {
		f.Absent = scalar(absent)
	}
	p.shape.resource.Fields = append(p.shape.resource.Fields, f)
}

// refers wants a field of the object at the spot to refer to a resource.
func (p spot) refers(name, id, why string) { p.in(name).must("id", id, why) }

// exists wants the list to hold the element at the spot.
func (p spot) exists(why string) {
	p.shape.resource.Fields = append(p.shape.resource.Fields, Field{Path: p.path, Why: why})
}

// gone wants nothing to be at the spot.
func (p spot) gone(why string) {
	p.shape.resource.Fields = append(p.shape.resource.Fields, Field{Path: p.path, Remove: true, Why: why})
}

// scalar writes a number, a text, a truth or a list of texts as JSON.
func scalar(v any) json.RawMessage {
	switch v := v.(type) {
	case string:
		return appendQuoted(nil, v)
	case int:
		return strconv.AppendInt(nil, int64(v), 10)
	case bool:
		return strconv.AppendBool(nil, v)
	case []string:
		out := []byte{'['}
		for i, s := range v {
			if i > 0 {
				out = append(out, ',')
			}
			out = appendQuoted(out, s)
		}
		return append(out, ']')
	default:
		panic("balancer: a field wants what is neither a scalar nor a list of texts")
	}
}

// blank is the document to begin with: what is only said at creation. Its id
// spells the new resource's name as the pair file does.
func blank(id, location string, standard bool, properties string) json.RawMessage {
	out := append([]byte(`{"id":`), scalar(id)...)
	out = append(append(out, `,"location":`...), scalar(location)...)
	if standard {
		out = append(out, `,"sku":{"name":"Standard","tier":"Regional"}`...)
	}
	return append(append(out, `,"properties":`...), properties+"}"...)
}

// spelledID is the id of a resource of the pair as its file spells it. Ids in
// lower case are only for comparing.
func spelledID(def *pair.Definition, kind, name string) string {
	return "/subscriptions/" + def.Azure.Subscription + "/resourceGroups/" + def.Azure.ResourceGroup +
		"/providers/Microsoft.Network/" + kind + "/" + name
}

// plainLocation makes "West Europe" and westeurope equal, which the platform
// uses for the same region.
func plainLocation(s string) string { return strings.ToLower(strings.ReplaceAll(s, " ", "")) }
