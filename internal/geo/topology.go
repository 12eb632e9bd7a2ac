// Package geo knows what GEO must hold on every unit of a topology of pairs and
// standalone units: Remote GEO LoadMaster Access, GEO LoadMaster Partners and
// the clusters, and the order in which that is brought about (the guide,
// section 8; loadmaster.md 4.4). It is pure: Compile says what must be, Plan
// says what is still to do.
//
// It takes a topology that internal/manifest has accepted, and leaves it to a
// job to carry out the steps.
package geo

import (
	"net/netip"
	"slices"

	"tandem/internal/pair"
)

// TunnelPort is the port of the tunnel between partners where nobody has set another
// one (geosshport, loadmaster.md 4.4).
const TunnelPort = 22

// MostMembers is how many members a topology has at most. What limits them is
// a name that all of them serve: it has one map for each cluster, and there are
// 256 maps for a name from firmware 7.2.57 on, 64 from 7.2.50 on, 16 before
// (loadmaster.md 4.3). No limit of the lists themselves is documented.
const MostMembers = 256

// apiPort is the API's port where none is said, as of a pair's units.
const apiPort = 8443

// Topology is a set of GEO members as a person describes it in a file of the
// kind GeoTopology (DESIGN section 7). The file's keys are the JSON names below.
type Topology struct {
	Name    string    `json:"name" jsonschema:"required,pattern=^[a-z][a-z0-9]*(-[a-z0-9]+)*$,maxLength=40" jsonschema_description:"Name of the topology: lower-case letters, digits and single dashes."`
	Mode    pair.Mode `json:"mode,omitempty" jsonschema:"default=observe" jsonschema_description:"What may be done by itself to keep the lists of standalone units right: observe, recommend, auto. A pair goes by the mode of its own file."`
	Members []Member  `json:"members" jsonschema:"required,minItems=1" jsonschema_description:"The pairs and standalone units, in the order in which pairs are restarted."`
}

// Member is a pair, by its name or by its units' addresses, or a standalone
// unit.
type Member struct {
	Name       string     `json:"name,omitempty" jsonschema:"pattern=^[a-z][a-z0-9]*(-[a-z0-9]+)*$,maxLength=40" jsonschema_description:"Name of the member and of its cluster; the pair's name when left out beside pair."`
	Pair       string     `json:"pair,omitempty" jsonschema_description:"Name of a pair that has a pair file; its units' addresses come from there."`
	First      netip.Addr `json:"first,omitzero" jsonschema:"type=string" jsonschema_description:"Address of a pair's first unit, where there is no pair file."`
	Second     netip.Addr `json:"second,omitzero" jsonschema:"type=string" jsonschema_description:"Address of its second unit."`
	Standalone netip.Addr `json:"standalone,omitzero" jsonschema:"type=string" jsonschema_description:"Address of a unit without a partner."`
	API        pair.API   `json:"api,omitzero" jsonschema:"optional" jsonschema_description:"How the API of a standalone unit is reached; needed to apply the topology."`
	Active     pair.Role  `json:"active,omitempty" jsonschema_description:"Which unit of the pair serves at present; first when left out."`
	NAT        NAT        `json:"nat,omitzero" jsonschema_description:"Under which addresses the other members reach this one, where those are others than its own."`
}

// NAT holds the addresses under which the other members reach a member. Partners
// that meet over the internet name each other by these (loadmaster.md 4.4).
type NAT struct {
	First      netip.Addr `json:"first,omitzero" jsonschema:"type=string" jsonschema_description:"For the first unit."`
	Second     netip.Addr `json:"second,omitzero" jsonschema:"type=string" jsonschema_description:"For the second unit."`
	Standalone netip.Addr `json:"standalone,omitzero" jsonschema:"type=string" jsonschema_description:"For the standalone unit."`
}

// Kind says what a member is.
type Kind uint8

// The kinds of members. The zero value means that it is not known.
const (
	KindUnknown Kind = iota
	KindPair
	KindStandalone
)

// String returns the word for the kind.
func (k Kind) String() string {
	switch k {
	case KindPair:
		return "pair"
	case KindStandalone:
		return "standalone"
	default:
		return "unknown"
	}
}

// MarshalText returns the word for the kind.
func (k Kind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// WithDefaults returns the topology with what follows from the rest of it: a
// member that is named by its pair alone has the pair's name.
func (t Topology) WithDefaults() Topology {
	members := make([]Member, len(t.Members))
	for i, m := range t.Members {
		if m.Name == "" {
			m.Name = m.Pair
		}
		if m.API != (pair.API{}) && m.API.Port == 0 {
			m.API.Port = apiPort
		}
		members[i] = m
	}
	t.Members = members
	if t.Mode == pair.ModeUnset {
		t.Mode = pair.Observe
	}
	return t
}

// Kind returns what the member is.
func (m Member) Kind() Kind {
	switch {
	case m.Standalone.IsValid():
		return KindStandalone
	case m.Pair != "" || m.First.IsValid() || m.Second.IsValid():
		return KindPair
	default:
		return KindUnknown
	}
}

// Units returns the units' own addresses, the first unit's first. They are not
// valid where the member names a pair that was not looked up yet.
func (m Member) Units() []netip.Addr {
	if m.Kind() == KindStandalone {
		return []netip.Addr{m.Standalone}
	}
	return []netip.Addr{m.First, m.Second}
}

// Others returns the addresses by which the units of a pair know those of the other
// members, none where the pair is no member.
func (t Topology) Others(name string) (out []netip.Addr) {
	if !slices.ContainsFunc(t.Members, func(m Member) bool { return m.Pair == name }) {
		return nil
	}
	for _, m := range t.Members {
		if m.Pair != name {
			out = append(out, m.Known()...)
		}
	}
	return slices.DeleteFunc(out, func(a netip.Addr) bool { return !a.IsValid() })
}

// Known returns the addresses under which the other members know the units, in
// the order of Units.
func (m Member) Known() []netip.Addr {
	units, nat := m.Units(), []netip.Addr{m.NAT.First, m.NAT.Second}
	if m.Kind() == KindStandalone {
		nat = []netip.Addr{m.NAT.Standalone}
	}
	for i, a := range nat {
		if a.IsValid() {
			units[i] = a
		}
	}
	return units
}
