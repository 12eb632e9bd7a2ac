package geo

import (
	"net/netip"
	"slices"

	"tandem/internal/pair"
)

// Own says which address a pair's access list has for the pair itself.
type Own uint8

// The choices. The guide's text asks for the first unit's address; its worked
// example has the active unit's for the second pair (loadmaster.md 4.4 and 8).
const (
	OwnFirst Own = iota
	OwnActive
)

// Wanted is what every member must hold. As JSON it is the first half of what
// tandem geo plan prints.
type Wanted struct {
	// Members are in the order of the file.
	Members []Lists `json:"members"`
}

// Lists are what one member must hold. To the appliance they are sets; here
// they are in the order of the guide's worked example: the pairs, the last one
// first, then the standalone units.
type Lists struct {
	Name  string       `json:"name"`
	Kind  Kind         `json:"kind"`
	Units []netip.Addr `json:"units"`
	// Access is Remote GEO LoadMaster Access (geoclients): who may fetch the
	// member's service states. It has one own address and all of the others.
	Access []netip.Addr `json:"access"`
	// Partners are the GEO LoadMaster Partners (geopartners): with whom the DNS
	// configuration is kept in step. It has all addresses but the member's own,
	// and of each pair both, because a pair in the cloud shares no address.
	Partners []netip.Addr `json:"partners"`
	// Clusters are the addresses of the clusters, all of the type Remote LM: the
	// first unit's of each pair, and each standalone unit's. They are the same
	// for every member, and share their memory.
	Clusters []netip.Addr `json:"clusters"`
	// Known are the addresses under which the others know the units.
	Known []netip.Addr `json:"-"`
	// Active is the unit that serves, as far as the topology says.
	Active pair.Role `json:"-"`
}

// Compile says what every member of a topology must hold. Each pair that the
// topology names must have been looked up.
func Compile(t Topology, own Own) Wanted {
	var known, clusters []netip.Addr
	begins := make([]int, len(t.Members)) // of each member in known
	for _, i := range listed(t.Members) {
		begins[i] = len(known)
		known = append(known, t.Members[i].Known()...)
		clusters = append(clusters, known[begins[i]])
	}
	w := Wanted{Members: make([]Lists, 0, len(t.Members))}
	for i, m := range t.Members {
		units := m.Units()
		before, after := known[:begins[i]], known[begins[i]+len(units):]
		access := make([]netip.Addr, 0, len(before)+1+len(after))
		access = append(append(append(access, before...), m.own(own)), after...)
		partners := make([]netip.Addr, 0, len(before)+len(after))
		partners = append(append(partners, before...), after...)
		w.Members = append(w.Members, Lists{
			Name: m.Name, Kind: m.Kind(), Units: units, Access: access, Partners: partners, Clusters: clusters,
			Known: m.Known(), Active: m.Active,
		})
	}
	return w
}

// listed returns the members' indexes in the order of the lists.
func listed(members []Member) []int {
	order := make([]int, 0, len(members))
	for i, m := range slices.Backward(members) {
		if m.Kind() == KindPair {
			order = append(order, i)
		}
	}
	for i, m := range members {
		if m.Kind() != KindPair {
			order = append(order, i)
		}
	}
	return order
}

// own returns the member's entry in its own access list. A unit asks itself at
// its own address, whatever the others call it.
func (m Member) own(own Own) netip.Addr {
	units := m.Units()
	if own == OwnActive && m.Kind() == KindPair && m.Active == pair.Second {
		return units[1]
	}
	return units[0]
}
