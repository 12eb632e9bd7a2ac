// Package balancer knows the load balancer, security group and interfaces that
// a pair must have (sections 4 to 6 of the guide), compares them with what was
// read, and makes the plan of what to write.
//
// It is pure: values in, values out. internal/azure/arm reads and writes the
// documents, internal/control decides whether a plan is carried out.
package balancer

import (
	"encoding/json"
	"net/netip"

	"tandem/internal/pair"
)

// World is what was read: documents of Resource Manager, byte for byte as it
// sent them, by resource id. A resource that was looked for and does not exist
// is there with a nil document.
type World map[pair.ResourceID]json.RawMessage

// Surroundings is what neither the pair file nor Azure tells.
type Surroundings struct {
	// From are Tandem's own subnets, from which check ports and APIs are asked. Empty
	// means that nobody has said: then no rule is made for them, and none removed.
	From []netip.Prefix
	// Members are the addresses of the other members of the pair's GEO topology,
	// and TunnelPort the port of the tunnel between them; empty and 0 where the
	// pair is in none.
	Members    []netip.Prefix
	TunnelPort int
	// CheckPorts are the health check ports that the units themselves say, first
	// and second; 0 where a unit was not asked.
	CheckPorts [2]int
	// Bonded are the units that say that interfaces of theirs are bonded
	// (bondmode, loadmaster.md 3.2). No document of Azure shows it.
	Bonded [2]bool
}

// Wanted is the complete state that a pair must have, in the order in which
// resources are written: what others refer to comes first.
type Wanted struct {
	Pair      string
	Resources []Resource
}

// Resource is one resource that must be as its fields say. What no field names
// belongs to somebody else and is left alone.
type Resource struct {
	ID pair.ResourceID
	// New is the document to begin with where the resource does not exist:
	// location, SKU and what else is only said at creation. Nil means that Tandem
	// does not create it.
	New    json.RawMessage
	Fields []Field
}

// Field is one place in a document that must have a value.
type Field struct {
	Path Path
	// Want is the value as JSON: a scalar, or an array of scalars, which is
	// compared as a set. Nil wants nothing but that the place exists, which is
	// how a list must hold an element.
	Want json.RawMessage
	// Absent is the value that the platform means where it sends none; nil where
	// a missing value is always a difference.
	Absent json.RawMessage
	// Remove wants the place to be gone. It is only used for elements that are
	// known to be ours.
	Remove bool
	Why    string // the reason for a person, with its source
}

// Path leads to a place in a document, for example properties, probes[name=check],
// properties, port. Names and the values of keys are compared without regard to
// case, as Resource Manager does.
type Path []Segment

// Segment is a field of an object, or with a Key the element of the array of
// that name whose key ("name" or "id") has the Value. An element that is missing
// is added with its key.
type Segment struct {
	Name, Key, Value string
}
