package manifest

import (
	"net/netip"
	"strconv"
	"strings"

	"tandem/internal/geo"
	"tandem/internal/pair"
)

// topologyExemplar has one of everything that a list of a topology can hold.
func topologyExemplar() topologyDocument {
	return topologyDocument{Topology: geo.Topology{Members: []geo.Member{{}}}}
}

// checkTopology looks up the pairs that a topology names, reports what no tag
// can say, and returns the topology with their addresses.
func (rd *reader) checkTopology(doc *decoded) geo.Topology {
	c := topologyChecker{
		topology: doc.topology.WithDefaults(), pairs: make(map[string]pair.Units), all: rd.all,
		names: make(unique), named: make(unique), units: make(map[netip.Addr]string),
	}
	given := rd.given
	for _, of := range rd.documents {
		given = append(given, of.definition)
	}
	for _, d := range given {
		if d.Name != "" {
			c.pairs[d.Name] = d.Units
			c.known = append(c.known, d.Name)
		}
	}
	if n := len(c.topology.Members); n > geo.MostMembers {
		c.refuse("members", c.topology.Members, strconv.Itoa(geo.MostMembers)+
			" at most, because a name that all of them serve has a map for each, and an appliance has no more for one name")
	}
	for i := range c.topology.Members {
		c.member(index("members", i), &c.topology.Members[i], doc.topology.Members[i].Name != "")
	}
	for i, m := range c.topology.Members {
		c.behindNAT(index("members", i), m)
	}
	for _, p := range c.problems {
		doc.addChecked(p)
	}
	return c.topology
}

// topologyChecker collects what the rules of one topology refuse.
type topologyChecker struct {
	checker
	topology geo.Topology
	pairs    map[string]pair.Units // by name
	known    []string              // the names, in the order of the files
	all      bool                  // there are no pairs but those
	names    unique                // of the members
	named    unique                // the pairs that members name
	units    map[netip.Addr]string // where the others' name for a unit stands
	family   netip.Addr            // one address of the family that all must have
}

// member checks one member by itself and against those before it, and fills in
// its addresses where it names a pair.
func (c *topologyChecker) member(at string, m *geo.Member, hasName bool) {
	if !c.shape(at, *m) {
		return
	}
	twice := len(c.problems)
	if hasName {
		c.once(c.names, at+".name", m.Name, "member")
	} else {
		c.once(c.names, at+".pair", m.Name, "member")
	}
	if twice == len(c.problems) {
		c.once(c.named, at+".pair", m.Pair, "member")
	}
	if twice < len(c.problems) && m.Pair != "" {
		return // that its units are in two members is said
	}
	if m.Pair != "" && !c.lookUp(at, m) {
		return
	}
	c.addresses(at, *m)
}

// shape reports whether the member is one thing, and nothing is said of it that
// belongs to another.
func (c *topologyChecker) shape(at string, m geo.Member) bool {
	before := len(c.problems)
	alone, paired := m.Standalone.IsValid(), m.First.IsValid() || m.Second.IsValid()
	switch {
	case !alone && !paired && m.Pair == "":
		c.refuse(at, m, "pair, or first and second, or standalone in it")
	case alone && (paired || m.Pair != ""):
		c.refuse(at+".standalone", m.Standalone, "either the units of a pair or a standalone unit")
	case paired && m.Pair != "":
		c.refuse(at+".pair", m.Pair, "no address beside it, because the pair's file has them")
	case paired && !m.First.IsValid():
		c.missing(at+".first", "the address of the pair's first unit")
	case paired && !m.Second.IsValid():
		c.missing(at+".second", "the address of the pair's second unit")
	}
	if m.Name == "" {
		c.missing(at+".name", "the member's name, which is its cluster's too")
	}
	if !alone && m.API != (pair.API{}) {
		c.refuse(at+".api", m.API.Secret, "no such key, because a pair's file says how its units are reached")
	}
	c.api(at+".api", m.API)
	if alone && m.Active != pair.RoleUnknown {
		c.refuse(at+".active", m.Active, "no such key, because a standalone unit is always active")
	}
	if alone && (m.NAT.First.IsValid() || m.NAT.Second.IsValid()) {
		c.refuse(at+".nat", m.NAT, "only standalone in it, because the member is a standalone unit")
	}
	if !alone && m.NAT.Standalone.IsValid() {
		c.refuse(at+".nat", m.NAT, "only first and second in it, because the member is a pair")
	}
	return before == len(c.problems)
}

func (c *topologyChecker) missing(field, expected string) {
	c.problems = append(c.problems, Problem{Field: field, Value: "missing", Expected: expected})
}

// lookUp fills in the addresses of the pair that a member names.
func (c *topologyChecker) lookUp(at string, m *geo.Member) bool {
	units, found := c.pairs[m.Pair]
	m.First, m.Second = units.First.Address, units.Second.Address
	switch {
	case found || !c.all:
	case len(c.known) == 0:
		c.refuse(at+".pair", m.Pair, "a pair whose file is given as well")
	default:
		c.refuse(at+".pair", m.Pair, "the name of a pair whose file is given as well: "+clip(strings.Join(c.known, ", ")))
	}
	return m.First.IsValid() && m.Second.IsValid()
}

// entry is an address and where it stands.
type entry struct {
	field   string
	address netip.Addr
}

// entries returns the units' own addresses and those under which the others
// know them.
func entries(at string, m geo.Member) (own, known []entry) {
	fields := []string{".first", ".second"}
	if m.Kind() == geo.KindStandalone {
		fields = []string{".standalone"}
	}
	others := m.Known()
	for i, a := range m.Units() {
		field := at + fields[i]
		if m.Pair != "" {
			field = at + ".pair"
		}
		own = append(own, entry{field, a})
		if others[i] != a {
			field = at + ".nat" + fields[i]
		}
		known = append(known, entry{field, others[i]})
	}
	return own, known
}

// addresses checks that every address can be one, and that no unit has a name
// of one before it.
func (c *topologyChecker) addresses(at string, m geo.Member) {
	own, known := entries(at, m)
	if len(own) == 2 && own[0].address == own[1].address {
		c.refuse(own[1].field, own[1].address, "another address than the first unit's, because a pair in the cloud shares none")
		return
	}
	for i, e := range known {
		c.fits(own[i])
		if e.field != own[i].field {
			c.fits(e)
		}
		if taken, twice := c.units[e.address]; twice {
			c.refuse(e.field, e.address, "another address, because the unit in "+taken+" has this one, and a unit belongs to one member")
		} else {
			c.units[e.address] = e.field
		}
	}
}

// fits refuses what cannot be a unit's address, or is of another family than
// those before it: a unit is let in by the address that it comes from, and that
// is of the family of the one that it goes to.
func (c *topologyChecker) fits(e entry) {
	before := len(c.problems)
	c.address(e.field, e.address)
	switch {
	case before < len(c.problems):
	case !c.family.IsValid():
		c.family = e.address
	case c.family.Is4() != e.address.Is4():
		c.refuse(e.field, e.address, "an address of the same family as "+c.family.String()+
			", because a unit is let in by the address that it comes from")
	}
}

// behindNAT refuses an own address behind NAT that is another unit's name: the
// access list could not tell them apart.
func (c *topologyChecker) behindNAT(at string, m geo.Member) {
	if m.Kind() == geo.KindUnknown {
		return
	}
	own, known := entries(at, m)
	for i, e := range own {
		taken, twice := c.units[e.address]
		if twice && taken != e.field && e.address != known[i].address {
			c.refuse(e.field, e.address, "another address, because the others know the unit in "+taken+" by this one")
		}
	}
}
