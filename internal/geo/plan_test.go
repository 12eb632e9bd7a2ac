package geo_test

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tandem/internal/geo"
	"tandem/internal/pair"
)

// settled is what is seen once everything that is wanted was brought about.
func settled(w geo.Wanted) geo.Seen {
	seen := geo.Seen{Members: map[string]geo.Held{}, Earlier: w}
	for _, l := range w.Members {
		h := geo.Held{Access: slices.Clone(l.Access), Partners: slices.Clone(l.Partners)}
		for _, of := range w.Members {
			h.Clusters = append(h.Clusters, geo.Cluster{Name: of.Name, Address: of.Known[0], Created: true})
		}
		seen.Members[l.Name] = h
	}
	return seen
}

func TestAPlanHasWhatIsStillToDo(t *testing.T) {
	pair1, pair2, sa1, sa2 := pairOf("pair1", 5), pairOf("pair2", 7), standaloneOf("sa1", 9), standaloneOf("sa2", 10)
	four := []geo.Member{pair1, pair2, sa1, sa2}
	edit := func(seen *geo.Seen, name string, f func(h *geo.Held)) {
		h := seen.Members[name]
		f(&h)
		seen.Members[name] = h
	}
	for _, tt := range []struct {
		name          string
		earlier, next []geo.Member
		change        func(seen *geo.Seen)
		want          []string
	}{
		{"nothing, where everything is there", four, four, func(*geo.Seen) {}, nil},
		{"lists are sets", four, four, func(seen *geo.Seen) {
			edit(seen, "pair1", func(h *geo.Held) { slices.Reverse(h.Access); slices.Reverse(h.Partners) })
			edit(seen, "sa1", func(h *geo.Held) { h.Access = append(h.Access, h.Access...) })
		}, nil},
		{"the own entry may be either unit's", four, four, func(seen *geo.Seen) {
			edit(seen, "pair2", func(h *geo.Held) {
				h.Access = []netip.Addr{guideAddress(8), guideAddress(5), guideAddress(6), guideAddress(9), guideAddress(10)}
			})
		}, nil},
		{"an own entry there must be", four, four, func(seen *geo.Seen) {
			edit(seen, "pair1", func(h *geo.Held) { h.Access = h.Partners })
		}, []string{"1 pair1 .5 set-access .7 .8 .5 .9 .10"}},
		{"only the pair whose partners changed is restarted, and every standalone unit takes it up", four, four, func(seen *geo.Seen) {
			edit(seen, "pair2", func(h *geo.Held) { h.Partners = h.Partners[1:] })
		}, []string{
			"1 pair2 .7 set-partners .5 .6 .9 .10", "2 pair2 .7 reboot", "3 pair2 .8 resubmit-partners .5 .6 .9 .10",
			"4 sa1 .9 resubmit-partners .7 .8 .5 .6 .10", "5 sa2 .10 resubmit-partners .7 .8 .5 .6 .9",
		}},
		{"a standalone unit's own list is written and nobody restarted", four, four, func(seen *geo.Seen) {
			edit(seen, "sa1", func(h *geo.Held) { h.Partners = nil })
		}, []string{"1 sa1 .9 set-partners .7 .8 .5 .6 .10"}},
		{"own units among a pair's partners are taken out", four, four, func(seen *geo.Seen) {
			edit(seen, "sa2", func(h *geo.Held) { h.Partners = append(h.Partners, guideAddress(10)) })
		}, []string{"1 sa2 .10 set-partners .7 .8 .5 .6 .9"}},
		{"somebody else's addresses stay, and are written again with ours", four, four, func(seen *geo.Seen) {
			edit(seen, "sa1", func(h *geo.Held) { h.Access = append(h.Access, guideAddress(99)) })
			edit(seen, "sa2", func(h *geo.Held) { h.Access = append([]netip.Addr{guideAddress(99)}, h.Access[1:]...) })
		}, []string{"1 sa2 .10 set-access .7 .8 .5 .6 .9 .10 .99"}},
		{"after a failover the partners are submitted on the unit that serves", four, four, func(seen *geo.Seen) {
			edit(seen, "pair1", func(h *geo.Held) { h.Active, h.Owes = pair.Second, geo.OwesSubmit })
		}, []string{"1 pair1 .6 resubmit-partners .7 .8 .9 .10"}},
		{"a restart that is owed is made, where second serves too", four, four, func(seen *geo.Seen) {
			edit(seen, "pair1", func(h *geo.Held) { h.Active, h.Owes = pair.Second, geo.OwesReboot })
			seen.Members = map[string]geo.Held{"pair1": seen.Members["pair1"], "pair2": {Unreachable: true}, "sa1": {Unreachable: true}, "sa2": seen.Members["sa2"]}
		}, []string{
			"1 pair1 .5 reboot", "2 pair1 .6 resubmit-partners .7 .8 .9 .10", "3 sa2 .10 resubmit-partners .7 .8 .5 .6 .9",
		}},
		{"a standalone unit that missed it is caught up", four, four, func(seen *geo.Seen) {
			edit(seen, "sa2", func(h *geo.Held) { h.Owes = geo.OwesSubmit })
		}, []string{"1 sa2 .10 resubmit-partners .7 .8 .5 .6 .9"}},
		{"an unreachable member does not block the others", []geo.Member{pair1, sa1}, []geo.Member{pair1, sa1, sa2}, func(seen *geo.Seen) {
			edit(seen, "pair1", func(h *geo.Held) { h.Unreachable = true })
		}, []string{
			"1 sa1 .9 set-access .5 .6 .9 .10", "2 sa1 .9 set-partners .5 .6 .10",
			"3 sa2 .10 set-access .5 .6 .9 .10", "4 sa2 .10 set-partners .5 .6 .9",
			"5 sa1 .9 create-clusters .10", "6 sa2 .10 create-clusters .5 .9 .10",
		}},
		{"a member that leaves is taken out everywhere and loses the lists, not its clusters", []geo.Member{pair1, sa1, sa2}, []geo.Member{pair1, sa1}, func(*geo.Seen) {}, []string{
			"1 pair1 .5 set-access .5 .9", "2 pair1 .5 set-partners .9",
			"3 sa1 .9 set-access .5 .6 .9", "4 sa1 .9 set-partners .5 .6",
			"5 sa2 .10 set-access", "6 sa2 .10 set-partners",
			"7 pair1 .5 reboot", "8 pair1 .6 resubmit-partners .9", "9 sa1 .9 resubmit-partners .5 .6",
			"10 pair1 .6 delete-clusters .10", "11 sa1 .9 delete-clusters .10",
		}},
		{"the last pair has no partners and needs no restart for it", []geo.Member{pair1, sa1}, []geo.Member{pair1}, func(seen *geo.Seen) {
			edit(seen, "sa1", func(h *geo.Held) { h.Unreachable = true })
		}, []string{
			"1 pair1 .5 set-access .5", "2 pair1 .5 set-partners", "3 pair1 .5 delete-clusters .9",
		}},
		{"a cluster that we did not create is not deleted", []geo.Member{sa1, sa2}, []geo.Member{sa1}, func(seen *geo.Seen) {
			edit(seen, "sa2", func(h *geo.Held) { h.Unreachable = true })
			edit(seen, "sa1", func(h *geo.Held) { h.Clusters[1].Created = false })
		}, []string{"1 sa1 .9 set-access .9", "2 sa1 .9 set-partners"}},
		{"a member under a new name keeps its cluster", []geo.Member{sa1, sa2}, []geo.Member{sa1, standaloneOf("east", 10)}, func(seen *geo.Seen) {
			seen.Members["east"] = seen.Members["sa2"]
			delete(seen.Members, "sa2")
		}, nil},
		{"a cluster whose address the appliance has changed is there", four, four, func(seen *geo.Seen) {
			edit(seen, "pair1", func(h *geo.Held) { h.Active, h.Clusters[0].Address = pair.Second, guideAddress(6) })
			edit(seen, "sa1", func(h *geo.Held) { h.Clusters[0].Name = "somebody" })
			edit(seen, "sa2", func(h *geo.Held) { h.Clusters[0].Address = guideAddress(99) })
		}, nil},
		{"a missing cluster is created on the active unit", four, four, func(seen *geo.Seen) {
			edit(seen, "pair1", func(h *geo.Held) { h.Active, h.Clusters = pair.Second, h.Clusters[2:] })
		}, []string{"1 pair1 .6 create-clusters .7 .5"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			seen := settled(geo.Compile(geo.Topology{Members: tt.earlier}, geo.OwnFirst))
			tt.change(&seen)
			var got []string
			for _, s := range geo.Plan(geo.Compile(geo.Topology{Members: tt.next}, geo.OwnFirst), seen) {
				got = append(got, told(s))
				if s.Reason == "" {
					t.Errorf("step %s has no reason", told(s))
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestOthersKnowAMemberByItsNATAddressAndItKnowsItselfByItsOwn(t *testing.T) {
	far := pairOf("far", 5)
	far.NAT = geo.NAT{First: netip.MustParseAddr("203.0.113.5"), Second: netip.MustParseAddr("203.0.113.6")}
	alone := standaloneOf("alone", 9)
	alone.NAT = geo.NAT{Standalone: netip.MustParseAddr("203.0.113.9")}
	w := geo.Compile(geo.Topology{Members: []geo.Member{far, alone}}, geo.OwnFirst)
	want := []listed{
		{".5 203.0.113.9", "203.0.113.9", "203.0.113.5 203.0.113.9"},
		{"203.0.113.5 203.0.113.6 .9", "203.0.113.5 203.0.113.6", "203.0.113.5 203.0.113.9"},
	}
	for i, l := range w.Members {
		if got := (listed{short(l.Access), short(l.Partners), short(l.Clusters)}); got != want[i] {
			t.Errorf("%s: got %+v, want %+v", l.Name, got, want[i])
		}
	}
	if steps := geo.Plan(w, settled(w)); len(steps) != 0 {
		t.Errorf("Plan of what is there = %v, want nothing", steps)
	}
}

func TestPlanLeavesItsInputAlone(t *testing.T) {
	members := []geo.Member{pairOf("pair1", 5), pairOf("pair2", 7), standaloneOf("sa1", 9)}
	w := geo.Compile(geo.Topology{Members: members}, geo.OwnFirst)
	same := geo.Compile(geo.Topology{Members: members}, geo.OwnFirst)
	seen := settled(geo.Compile(geo.Topology{Members: members[:2]}, geo.OwnFirst))
	before := settled(geo.Compile(geo.Topology{Members: members[:2]}, geo.OwnFirst))
	for _, s := range geo.Plan(w, seen) {
		for i := range s.Values {
			s.Values[i] = netip.Addr{}
		}
	}
	equal := cmp.Comparer(func(a, b netip.Addr) bool { return a == b })
	if diff := cmp.Diff(same, w, equal) + cmp.Diff(before, seen, equal); diff != "" {
		t.Errorf("changed: %s", diff)
	}
}

func TestWordsOfKindsAndActions(t *testing.T) {
	if got := geo.KindUnknown.String() + " " + (geo.Member{}).Kind().String() + " " + geo.Action(99).String() + " " + geo.NoAction.String(); got != "unknown unknown unknown none" {
		t.Error(got)
	}
}
