package settings

import (
	"net/netip"
	"slices"
	"strings"
)

// own stands before the id of the interface whose address on its own unit is meant.
// HA rewrites GEO addresses that are the sender's to the receiver's, in both
// directions (loadmaster.md 2.5); so an address that each unit has for itself is
// one value here. The same holds for services that sit on a unit's own address,
// since none floats on Azure (2.7). Everything else stays as it is.
const own = "@"

// addresses are the units' own addresses, by the interfaces that both have.
type addresses struct {
	of    [2]map[string]string // address to stand-in
	at    [2]map[string]string // and back
	faces [2][]Interface
}

func addressesOf(first, second []Interface) addresses {
	a := addresses{faces: [2][]Interface{first, second}}
	for i := range a.faces {
		a.of[i], a.at[i] = map[string]string{}, map[string]string{}
		for _, face := range a.faces[i] {
			if slices.ContainsFunc(a.faces[1-i], func(f Interface) bool { return f.ID == face.ID }) {
				a.of[i][face.Address.String()] = own + face.ID
				a.at[i][own+face.ID] = face.Address.String()
			}
		}
	}
	return a
}

// known reports whether the interfaces of both units were read.
func (a addresses) known() bool { return len(a.faces[0]) > 0 && len(a.faces[1]) > 0 }

// replaced replaces the address at the beginning of a text, before a slash.
func replaced(text string, by map[string]string) string {
	head, _, _ := strings.Cut(text, "/")
	if to, ok := by[head]; ok {
		return to + text[len(head):]
	}
	return text
}

// neutral returns objects with stand-ins for the addresses of their unit. What needs
// none is shared with the argument.
func (a addresses) neutral(objects []Object, unit int) []Object {
	out := objects
	for i := range objects {
		o, changed := a.neutralObject(objects[i], unit)
		if !changed {
			continue
		}
		if &out[0] == &objects[0] {
			out = slices.Clone(objects)
		}
		out[i] = o
	}
	if len(out) > 0 && &out[0] != &objects[0] {
		sortObjects(out)
	}
	return out
}

func (a addresses) neutralObject(o Object, unit int) (Object, bool) {
	s, before := o.Class.spec(), o
	if s.standsOn {
		o.ID = replaced(o.ID, a.of[unit])
	}
	for _, name := range s.addresses {
		if value := o.Value(name); value != replaced(value, a.of[unit]) {
			o.Fields = slices.Clone(o.Fields)
			o.set(name, replaced(value, a.of[unit]))
		}
	}
	kids := a.neutral(o.Kids, unit)
	changed := o.ID != before.ID || len(o.Fields) > 0 && &o.Fields[0] != &before.Fields[0] || len(kids) > 0 && &kids[0] != &o.Kids[0]
	o.Kids = kids
	return o, changed
}

// needsAddresses reports whether objects of a class, or what lies in them, may hold
// a unit's own address.
func needsAddresses(c Class) bool {
	for i := range inventory {
		s := &inventory[i]
		if (Class(i) == c || s.within == c) && (s.standsOn || len(s.addresses) > 0) {
			return true
		}
	}
	return false
}

// misplaced returns why a text that begins with an address cannot be written to a
// unit. On a unit whose own address it is, it would mean something else than where
// it comes from; and a service needs its address to be there already, which no sync
// brings (loadmaster.md 2.7).
func (a addresses) misplaced(text string, c Class, to int) Reason {
	head, _, _ := strings.Cut(text, "/")
	addr, err := netip.ParseAddr(head)
	if err != nil || addr.IsUnspecified() {
		return NoReason // a stand-in, or a wildcard
	}
	there := false
	for _, face := range a.faces[to] {
		if face.Address == addr {
			return PartnersAddress
		}
		there = there || slices.Contains(face.Additional, addr)
	}
	if c == VirtualServices && !there {
		return AddressMissing
	}
	return NoReason
}
