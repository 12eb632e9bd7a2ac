package pair

import (
	"net/netip"
	"slices"
	"time"
)

// GEOSeen is what a unit holds of GEO; At is zero where it was not asked or did not
// tell (loadmaster.md 4).
type GEOSeen struct {
	// Access is Remote GEO LoadMaster Access and Partners the GEO LoadMaster Partners;
	// to the appliance both are sets.
	Access   []netip.Addr `json:"access,omitempty"`
	Partners []netip.Addr `json:"partners,omitempty"`
	Clusters []GEOCluster `json:"clusters,omitempty"`
	// Status is what the unit says of its partners.
	Status []GEOPartner `json:"status,omitempty"`
	// BootedAt is by the unit's own clock; zero where it does not tell.
	BootedAt time.Time `json:"bootedAt,omitzero"`
	At       time.Time `json:"at,omitzero"`
}

// Holds reports whether the unit's lists are these, in whatever order.
func (g *GEOSeen) Holds(access, partners []netip.Addr) bool {
	return SameAddresses(g.Access, access) && SameAddresses(g.Partners, partners)
}

// HasCluster reports whether the unit has the cluster in full: under its name or its
// address, and of the type Remote LM.
func (g *GEOSeen) HasCluster(c GEOCluster) bool {
	return slices.ContainsFunc(g.Clusters, func(o GEOCluster) bool { return (o.Name == c.Name || o.Address == c.Address) && !o.Half })
}

// HasAddress reports whether a cluster of the unit has the address.
func (g *GEOSeen) HasAddress(a netip.Addr) bool {
	return slices.ContainsFunc(g.Clusters, func(o GEOCluster) bool { return o.Address == a })
}

// SameAddresses reports whether two lists are the same set.
func SameAddresses(a, b []netip.Addr) bool {
	in := func(all []netip.Addr) func(netip.Addr) bool {
		return func(x netip.Addr) bool { return !slices.Contains(all, x) }
	}
	return !slices.ContainsFunc(a, in(b)) && !slices.ContainsFunc(b, in(a))
}

// GEOCluster is a cluster: a place with services, which is asked for their states.
type GEOCluster struct {
	Name    string     `json:"name"`
	Address netip.Addr `json:"address"`
	// Half: it reads as the type default, as one does between its two writes.
	Half bool `json:"half,omitempty"`
}

// GEOPartner is what a unit says of one of its partners, in its own word.
type GEOPartner struct {
	Address netip.Addr `json:"address"`
	Status  string     `json:"status,omitempty"`
}

// GEOWrite is what IntentGEO writes on one unit: both lists, or clusters.
type GEOWrite struct {
	// Lists has the two lists written, where they differ. They are whole, so that an
	// empty one empties the unit's.
	Lists    bool         `json:"lists,omitempty"`
	Access   []netip.Addr `json:"access,omitempty"`
	Partners []netip.Addr `json:"partners,omitempty"`
	// Submit has the partners written also where they read right: a unit that becomes
	// active has forgotten them, and reads as before (loadmaster.md 4.4).
	Submit bool `json:"submit,omitempty"`
	// Create are clusters of the type Remote LM that are missing, and Delete the
	// addresses of those that are too many.
	Create []GEOCluster `json:"create,omitempty"`
	Delete []netip.Addr `json:"delete,omitempty"`
}

// GEOTurn is how far a topology lets the job of a pair go.
type GEOTurn uint8

// The turns, in their order. A job that has the last one goes to its end.
const (
	GEOWaits    GEOTurn = iota // it holds the pair for the topology, and writes nothing
	GEOLists                   // it writes both lists
	GEORestart                 // it restarts first, where it shall, and submits the partners
	GEOClusters                // it creates and deletes clusters
)

var geoTurnNames = names{"waits", "lists", "restart", "clusters"}

func (t GEOTurn) String() string               { return geoTurnNames.text(uint8(t)) }
func (t GEOTurn) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText reads the stored form.
func (t *GEOTurn) UnmarshalText(b []byte) error {
	v, err := geoTurnNames.parse("turn", b)
	*t = GEOTurn(v)
	return err
}

// GEOWish is what a job of the kind geo brings about on its pair. Its topology makes
// it, and says how far the job may go.
type GEOWish struct {
	Topology string       `json:"topology"`
	Turn     GEOTurn      `json:"turn"`
	Access   []netip.Addr `json:"access,omitempty"`
	Partners []netip.Addr `json:"partners,omitempty"`
	// Restart has first restarted, so that second serves and can have the partners
	// submitted.
	Restart bool `json:"restart,omitempty"`
	// Submit has the partners submitted although they read right.
	Submit bool         `json:"submit,omitempty"`
	Create []GEOCluster `json:"create,omitempty"`
	Delete []netip.Addr `json:"delete,omitempty"`
	// Restarted is set when second has taken over because of the restart: it is never
	// made twice, whatever becomes of the job.
	Restarted bool `json:"restarted,omitempty"`
	// Submitted is where the partners were submitted last by this job.
	Submitted GEOSubmitted `json:"submitted,omitzero"`
}

// GEOSubmitted is on which unit, and in which life of it, partners were submitted.
type GEOSubmitted struct {
	Unit     Role      `json:"unit,omitempty"`
	BootedAt time.Time `json:"bootedAt,omitzero"`
	At       time.Time `json:"at,omitzero"`
}

// geoBootJitter is how far two readings of one boot time may lie apart, because a
// unit may compute it from its clock.
const geoBootJitter = 5 * time.Second

// On reports whether that was on this unit, in the life that began then. Where the
// unit does not tell its boot time, its being the same one must do.
func (s GEOSubmitted) On(r Role, booted time.Time) bool {
	return !s.At.IsZero() && s.Unit == r && (s.BootedAt.IsZero() || booted.IsZero() || booted.Sub(s.BootedAt).Abs() <= geoBootJitter)
}
