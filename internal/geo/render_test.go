package geo_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tandem/internal/geo"
	"tandem/internal/pair"
)

// The lists can be copied into the fields of the appliance's pages.
func TestRenderWritesAPlanForAPerson(t *testing.T) {
	second := pairOf("pair1", 5)
	second.Active = pair.Second
	far := standaloneOf("sa1", 9)
	far.NAT.Standalone = netip.MustParseAddr("203.0.113.9")
	w := geo.Compile(geo.Topology{Members: []geo.Member{second, far}}, geo.OwnActive)
	var b strings.Builder
	if err := geo.Render(&b, w, geo.Plan(w, geo.Seen{})); err != nil {
		t.Fatal(err)
	}
	want := `pair1: pair 172.24.1.5 172.24.1.6
  Remote GEO LoadMaster Access  172.24.1.6 203.0.113.9
  GEO LoadMaster Partners       203.0.113.9
  the own entry is the active unit's, as in the guide's worked example; its text asks for the first unit's
sa1: standalone unit 172.24.1.9
  known to the others as        203.0.113.9
  Remote GEO LoadMaster Access  172.24.1.5 172.24.1.6 172.24.1.9
  GEO LoadMaster Partners       172.24.1.5 172.24.1.6

clusters on every member, type Remote LM
  pair1  172.24.1.5
  sa1    203.0.113.9

steps
  1  set-access on 172.24.1.6 of pair1: 172.24.1.6 203.0.113.9
     because a unit answers only those that its access list has, and a pair in the cloud has no shared address, so both units of every other pair are in it
  2  set-partners on 172.24.1.6 of pair1: 203.0.113.9
     because the DNS configuration is kept in step with every unit of the others, and with none of its own pair
  3  set-access on 172.24.1.9 of sa1: 172.24.1.5 172.24.1.6 172.24.1.9
  4  set-partners on 172.24.1.9 of sa1: 172.24.1.5 172.24.1.6
  5  reboot on 172.24.1.5 of pair1
     because the partners must be submitted on second too, which is possible only while it serves; second serves, so the pair is moved to first beforehand
  6  resubmit-partners on 172.24.1.6 of pair1: 203.0.113.9
     because a unit that becomes active has no partners until they are submitted on it
  7  resubmit-partners on 172.24.1.9 of sa1: 172.24.1.5 172.24.1.6
     because a standalone unit takes up the restarted pairs when its partners are submitted again
  8  create-clusters on 172.24.1.6 of pair1: 172.24.1.5 203.0.113.9
     because each member is asked for its services' states through its cluster
  9  create-clusters on 172.24.1.9 of sa1: 172.24.1.5 203.0.113.9
`
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// A member without partners says so, and a pair whose first unit serves says
// nothing of the other one.
func TestRenderOfOnePair(t *testing.T) {
	w := geo.Compile(geo.Topology{Members: []geo.Member{pairOf("pair1", 5)}}, geo.OwnActive)
	var b strings.Builder
	if err := geo.Render(&b, w, nil); err != nil {
		t.Fatal(err)
	}
	want := "pair1: pair 172.24.1.5 172.24.1.6\n  Remote GEO LoadMaster Access  172.24.1.5\n  GEO LoadMaster Partners       none\n\n" +
		"clusters on every member, type Remote LM\n  pair1  172.24.1.5\n\nsteps\n"
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestAMemberThatIsNamedByItsPairHasThePairsName(t *testing.T) {
	was := geo.Topology{Members: []geo.Member{{Pair: "edge"}, {Name: "east", Pair: "edge-neu"}}}
	now := was.WithDefaults()
	if now.Members[0].Name != "edge" || now.Members[1].Name != "east" || was.Members[0].Name != "" {
		t.Errorf("got %+v, from %+v", now, was)
	}
}

func TestOnlyAPairThatSecondServesIsMovedBeforehand(t *testing.T) {
	for _, active := range []pair.Role{pair.RoleUnknown, pair.First, pair.Second} {
		m := pairOf("pair1", 5)
		m.Active = active
		w := geo.Compile(geo.Topology{Members: []geo.Member{m, standaloneOf("sa1", 9)}}, geo.OwnFirst)
		for _, s := range geo.Plan(w, geo.Seen{}) {
			if moved := strings.Contains(s.Reason, "moved to first beforehand"); moved != (s.Action == geo.Reboot && active == pair.Second) {
				t.Errorf("%v active: %s, because %s", active, told(s), s.Reason)
			}
		}
	}
}
