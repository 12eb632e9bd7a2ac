package geo_test

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"tandem/internal/geo"
	"tandem/internal/pair"
)

// topologies draws up to 20 pairs and 20 standalone units in any order, some of
// them behind NAT.
func topologies(t *rapid.T) geo.Topology {
	pairs, alone := rapid.IntRange(0, 20).Draw(t, "pairs"), rapid.IntRange(0, 20).Draw(t, "standalone")
	if pairs+alone == 0 {
		pairs = 1
	}
	six := rapid.Bool().Draw(t, "IPv6")
	next := 0
	address := func() netip.Addr {
		next++
		if six {
			return netip.AddrFrom16([16]byte{0xfd, 15: byte(next)})
		}
		return netip.AddrFrom4([4]byte{10, 0, 0, byte(next)})
	}
	maybe := func() netip.Addr {
		if rapid.IntRange(0, 4).Draw(t, "NAT") > 0 {
			return netip.Addr{}
		}
		return address()
	}
	var members []geo.Member
	for i := range pairs {
		members = append(members, geo.Member{
			Name: fmt.Sprintf("pair%d", i), First: address(), Second: address(),
			Active: rapid.SampledFrom([]pair.Role{pair.RoleUnknown, pair.First, pair.Second}).Draw(t, "active"),
			NAT:    geo.NAT{First: maybe(), Second: maybe()},
		})
	}
	for i := range alone {
		members = append(members, geo.Member{Name: fmt.Sprintf("sa%d", i), Standalone: address(), NAT: geo.NAT{Standalone: maybe()}})
	}
	return geo.Topology{Members: rapid.Permutation(members).Draw(t, "order")}
}

// guide is a second implementation, from the words of the guide (loadmaster.md
// 4.4): it asks of every unit and every member whether the one belongs into the
// other's list.
type guide struct {
	members []geo.Member
	own     geo.Own
}

func or(nat, own netip.Addr) string {
	if nat.IsValid() {
		return nat.String()
	}
	return own.String()
}

func isPair(m geo.Member) bool { return !m.Standalone.IsValid() }

// others tells all units of every other member.
func (g guide) others(m geo.Member) []string {
	var all []string
	for _, o := range g.members {
		switch {
		case o.Name == m.Name:
		case isPair(o):
			all = append(all, or(o.NAT.First, o.First), or(o.NAT.Second, o.Second))
		default:
			all = append(all, or(o.NAT.Standalone, o.Standalone))
		}
	}
	return all
}

func (g guide) active(m geo.Member) string {
	switch {
	case !isPair(m):
		return m.Standalone.String()
	case m.Active == pair.Second:
		return m.Second.String()
	default:
		return m.First.String()
	}
}

// access is who may ask: the member itself, and all units of the others.
func (g guide) access(m geo.Member) []string {
	itself := m.Standalone.String()
	if isPair(m) {
		itself = m.First.String()
		if g.own == geo.OwnActive {
			itself = g.active(m)
		}
	}
	return append(g.others(m), itself)
}

// clusters stand for each pair by its first unit, and for each standalone unit.
func (g guide) clusters() []string {
	var all []string
	for _, m := range g.members {
		if isPair(m) {
			all = append(all, or(m.NAT.First, m.First))
		} else {
			all = append(all, or(m.NAT.Standalone, m.Standalone))
		}
	}
	return all
}

// steps are the guide's, in its order, each on one line.
func (g guide) steps() []string {
	var all []string
	say := func(m geo.Member, unit, action string, values []string) {
		slices.Sort(values)
		all = append(all, strings.TrimSpace(m.Name+" "+unit+" "+action+" "+strings.Join(values, " ")))
	}
	for _, m := range g.members {
		say(m, g.active(m), "set-access", g.access(m))
		if len(g.members) > 1 {
			say(m, g.active(m), "set-partners", g.others(m))
		}
	}
	pairs := 0
	for _, m := range g.members {
		if isPair(m) && len(g.members) > 1 {
			pairs++
			say(m, m.First.String(), "reboot", nil)
			say(m, m.Second.String(), "resubmit-partners", g.others(m))
		}
	}
	for _, m := range g.members {
		if !isPair(m) && pairs > 0 {
			say(m, m.Standalone.String(), "resubmit-partners", g.others(m))
		}
	}
	for _, m := range g.members {
		at := g.active(m)
		if isPair(m) && len(g.members) > 1 {
			at = m.Second.String()
		}
		say(m, at, "create-clusters", g.clusters())
	}
	return all
}

// sorted returns addresses as a set is compared.
func sorted(all []netip.Addr) []string {
	texts := make([]string, len(all))
	for i, a := range all {
		texts[i] = a.String()
	}
	slices.Sort(texts)
	return texts
}

func lines(steps []geo.Step) []string {
	var all []string
	for _, s := range steps {
		all = append(all, strings.TrimSpace(fmt.Sprintf("%s %s %s %s", s.Member, s.Unit, s.Action, strings.Join(sorted(s.Values), " "))))
	}
	return all
}

func TestAnyTopologyHasTheListsAndStepsOfTheGuidesWords(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		topology := topologies(t)
		g := guide{topology.Members, rapid.SampledFrom([]geo.Own{geo.OwnFirst, geo.OwnActive}).Draw(t, "own")}
		w := geo.Compile(topology, g.own)
		for i, m := range topology.Members {
			l := w.Members[i]
			for what, lists := range map[string][2][]string{
				"access":   {sorted(l.Access), g.access(m)},
				"partners": {sorted(l.Partners), g.others(m)},
				"clusters": {sorted(l.Clusters), g.clusters()},
			} {
				slices.Sort(lists[1])
				if !slices.Equal(lists[0], lists[1]) {
					t.Fatalf("%s of %s: got %v, the guide has %v", what, m.Name, lists[0], lists[1])
				}
			}
			pairsFirst(t, topology, l)
		}
		if diff := gocmp.Diff(g.steps(), lines(geo.Plan(w, geo.Seen{}))); diff != "" {
			t.Fatalf("steps, -guide +got:\n%s", diff)
		}
	})
}

// pairsFirst demands the order of the worked example: the pairs, the last one
// first, then the standalone units.
func pairsFirst(t *rapid.T, topology geo.Topology, l geo.Lists) {
	place := func(a netip.Addr) int {
		for i, m := range topology.Members {
			switch a {
			case m.Standalone, m.NAT.Standalone:
				return len(topology.Members) + i
			case m.First, m.Second, m.NAT.First, m.NAT.Second:
				return -i
			}
		}
		return 0
	}
	for _, list := range [][]netip.Addr{l.Access, l.Partners, l.Clusters} {
		if !slices.IsSortedFunc(list, func(a, b netip.Addr) int { return cmp.Compare(place(a), place(b)) }) {
			t.Fatalf("order of a list of %s: %v", l.Name, list)
		}
	}
}

// units is what the members hold while a plan is carried out, and what is
// remembered of the steps as Debt says.
type units map[string]geo.Held

func (u units) do(w geo.Wanted, s geo.Step) {
	h := u[s.Member]
	at := slices.IndexFunc(w.Members, func(l geo.Lists) bool { return l.Name == s.Member })
	isPair := at >= 0 && w.Members[at].Kind == geo.KindPair
	switch s.Action {
	case geo.SetAccess:
		h.Access = s.Values
	case geo.SetPartners:
		h.Partners = s.Values
		if isPair && len(s.Values) > 0 {
			h.Owes = geo.OwesReboot
		}
	case geo.Reboot:
		h.Active, h.Owes = pair.Second, geo.OwesSubmit
		for _, l := range w.Members {
			if o := u[l.Name]; l.Kind == geo.KindStandalone {
				o.Owes = geo.OwesSubmit
				u[l.Name] = o
			}
		}
	case geo.ResubmitPartners:
		h.Owes = geo.OwesNothing
	case geo.CreateClusters:
		for _, a := range s.Values {
			h.Clusters = append(slices.Clone(h.Clusters), geo.Cluster{Name: a.String(), Address: a, Created: true})
		}
	case geo.DeleteClusters:
		h.Clusters = slices.DeleteFunc(slices.Clone(h.Clusters), func(c geo.Cluster) bool { return slices.Contains(s.Values, c.Address) })
	case geo.NoAction:
	}
	u[s.Member] = h
}

// Whatever a topology becomes, and wherever the work stops: the plan of what is
// then there is the rest of the plan.
func TestAPlanThatStoppedAnywhereGoesOnWithTheRest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := topologies(t)
		some := func(what string) geo.Topology {
			var kept []geo.Member
			for _, m := range all.Members {
				if rapid.IntRange(0, 9).Draw(t, what) > 0 {
					kept = append(kept, m)
				}
			}
			return geo.Topology{Members: kept}
		}
		w, seen := geo.Compile(some("now"), geo.OwnFirst), settled(geo.Compile(some("earlier"), geo.OwnFirst))
		for _, m := range all.Members {
			h := seen.Members[m.Name]
			h.Unreachable = rapid.IntRange(0, 9).Draw(t, "unreachable") == 0
			seen.Members[m.Name] = h
		}
		steps := geo.Plan(w, seen)
		now := units(seen.Members)
		stop := rapid.IntRange(0, len(steps)).Draw(t, "stop")
		for n, s := range steps {
			if n == stop {
				if diff := gocmp.Diff(lines(steps[n:]), lines(geo.Plan(w, seen))); diff != "" {
					t.Fatalf("after %d of %d steps, -rest +plan:\n%s", n, len(steps), diff)
				}
			}
			if s.Action == geo.Reboot && steps[n+1].Action != geo.ResubmitPartners {
				t.Fatalf("%s is restarted and does not get its partners before anything else", s.Member)
			}
			now.do(w, s)
		}
		if left := geo.Plan(w, seen); len(left) > 0 {
			t.Fatalf("still to do in the end: %v", lines(left))
		}
	})
}
