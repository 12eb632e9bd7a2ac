package geo_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tandem/internal/geo"
	"tandem/internal/pair"
)

// pairOf is a pair with the units 172.24.1.N and the one after it.
func pairOf(name string, n int) geo.Member {
	return geo.Member{Name: name, First: guideAddress(n), Second: guideAddress(n + 1)}
}

func standaloneOf(name string, n int) geo.Member {
	return geo.Member{Name: name, Standalone: guideAddress(n)}
}

func guideAddress(n int) netip.Addr { return netip.AddrFrom4([4]byte{172, 24, 1, byte(n)}) }

// listed is what a member holds in the form of the guide: addresses with blanks
// between them, .5 for 172.24.1.5.
type listed struct{ access, partners, clusters string }

func short(all []netip.Addr) string {
	texts := make([]string, len(all))
	for i, a := range all {
		texts[i] = strings.TrimPrefix(a.String(), "172.24.1")
	}
	return strings.Join(texts, " ")
}

// told is a step on one line.
func told(s geo.Step) string {
	return strings.TrimSpace(fmt.Sprintf("%d %s %s %s %s", s.N, s.Member, short([]netip.Addr{s.Unit}), s.Action, short(s.Values)))
}

// The four cases of the guide, section 8 (8.1 is one pair, 8.4 any number of
// pairs and standalone units), and the worked example of 8.4, as its rules and
// loadmaster.md 4.4 give them.
func TestTheGuidesCases(t *testing.T) {
	secondServes := pairOf("pair2", 7)
	secondServes.Active = pair.Second
	example := []geo.Member{pairOf("pair1", 5), pairOf("pair2", 7), standaloneOf("sa1", 9), standaloneOf("sa2", 10)}
	worked := []geo.Member{example[0], secondServes, example[2], example[3]}
	for _, tt := range []struct {
		name    string
		members []geo.Member
		own     geo.Own
		want    []listed
		steps   []string
	}{
		{
			"8.1: one pair has no partners and is not restarted",
			[]geo.Member{pairOf("pair1", 5)},
			geo.OwnFirst,
			[]listed{{".5", "", ".5"}},
			[]string{"1 pair1 .5 set-access .5", "2 pair1 .5 create-clusters .5"},
		},
		{
			"a pair and a standalone unit",
			[]geo.Member{pairOf("pair1", 5), standaloneOf("sa1", 9)},
			geo.OwnFirst,
			[]listed{{".5 .9", ".9", ".5 .9"}, {".5 .6 .9", ".5 .6", ".5 .9"}},
			[]string{
				"1 pair1 .5 set-access .5 .9", "2 pair1 .5 set-partners .9",
				"3 sa1 .9 set-access .5 .6 .9", "4 sa1 .9 set-partners .5 .6",
				"5 pair1 .5 reboot", "6 pair1 .6 resubmit-partners .9",
				"7 sa1 .9 resubmit-partners .5 .6",
				"8 pair1 .6 create-clusters .5 .9", "9 sa1 .9 create-clusters .5 .9",
			},
		},
		{
			"two pairs",
			[]geo.Member{pairOf("pair1", 5), pairOf("pair2", 7)},
			geo.OwnFirst,
			[]listed{{".7 .8 .5", ".7 .8", ".7 .5"}, {".7 .5 .6", ".5 .6", ".7 .5"}},
			[]string{
				"1 pair1 .5 set-access .7 .8 .5", "2 pair1 .5 set-partners .7 .8",
				"3 pair2 .7 set-access .7 .5 .6", "4 pair2 .7 set-partners .5 .6",
				"5 pair1 .5 reboot", "6 pair1 .6 resubmit-partners .7 .8",
				"7 pair2 .7 reboot", "8 pair2 .8 resubmit-partners .5 .6",
				"9 pair1 .6 create-clusters .7 .5", "10 pair2 .8 create-clusters .7 .5",
			},
		},
		{
			"8.4: pairs and standalone units", example, geo.OwnFirst,
			[]listed{
				{".7 .8 .5 .9 .10", ".7 .8 .9 .10", ".7 .5 .9 .10"},
				{".7 .5 .6 .9 .10", ".5 .6 .9 .10", ".7 .5 .9 .10"},
				{".7 .8 .5 .6 .9 .10", ".7 .8 .5 .6 .10", ".7 .5 .9 .10"},
				{".7 .8 .5 .6 .9 .10", ".7 .8 .5 .6 .9", ".7 .5 .9 .10"},
			},
			[]string{
				"1 pair1 .5 set-access .7 .8 .5 .9 .10", "2 pair1 .5 set-partners .7 .8 .9 .10",
				"3 pair2 .7 set-access .7 .5 .6 .9 .10", "4 pair2 .7 set-partners .5 .6 .9 .10",
				"5 sa1 .9 set-access .7 .8 .5 .6 .9 .10", "6 sa1 .9 set-partners .7 .8 .5 .6 .10",
				"7 sa2 .10 set-access .7 .8 .5 .6 .9 .10", "8 sa2 .10 set-partners .7 .8 .5 .6 .9",
				"9 pair1 .5 reboot", "10 pair1 .6 resubmit-partners .7 .8 .9 .10",
				"11 pair2 .7 reboot", "12 pair2 .8 resubmit-partners .5 .6 .9 .10",
				"13 sa1 .9 resubmit-partners .7 .8 .5 .6 .10", "14 sa2 .10 resubmit-partners .7 .8 .5 .6 .9",
				"15 pair1 .6 create-clusters .7 .5 .9 .10", "16 pair2 .8 create-clusters .7 .5 .9 .10",
				"17 sa1 .9 create-clusters .7 .5 .9 .10", "18 sa2 .10 create-clusters .7 .5 .9 .10",
			},
		},
		{
			"the worked example, whose second pair has its active unit's address", worked, geo.OwnActive,
			[]listed{
				{".7 .8 .5 .9 .10", ".7 .8 .9 .10", ".7 .5 .9 .10"},
				{".8 .5 .6 .9 .10", ".5 .6 .9 .10", ".7 .5 .9 .10"},
				{".7 .8 .5 .6 .9 .10", ".7 .8 .5 .6 .10", ".7 .5 .9 .10"},
				{".7 .8 .5 .6 .9 .10", ".7 .8 .5 .6 .9", ".7 .5 .9 .10"},
			},
			[]string{
				"1 pair1 .5 set-access .7 .8 .5 .9 .10", "2 pair1 .5 set-partners .7 .8 .9 .10",
				"3 pair2 .8 set-access .8 .5 .6 .9 .10", "4 pair2 .8 set-partners .5 .6 .9 .10",
				"5 sa1 .9 set-access .7 .8 .5 .6 .9 .10", "6 sa1 .9 set-partners .7 .8 .5 .6 .10",
				"7 sa2 .10 set-access .7 .8 .5 .6 .9 .10", "8 sa2 .10 set-partners .7 .8 .5 .6 .9",
				"9 pair1 .5 reboot", "10 pair1 .6 resubmit-partners .7 .8 .9 .10",
				"11 pair2 .7 reboot", "12 pair2 .8 resubmit-partners .5 .6 .9 .10",
				"13 sa1 .9 resubmit-partners .7 .8 .5 .6 .10", "14 sa2 .10 resubmit-partners .7 .8 .5 .6 .9",
				"15 pair1 .6 create-clusters .7 .5 .9 .10", "16 pair2 .8 create-clusters .7 .5 .9 .10",
				"17 sa1 .9 create-clusters .7 .5 .9 .10", "18 sa2 .10 create-clusters .7 .5 .9 .10",
			},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := geo.Compile(geo.Topology{Members: tt.members}, tt.own)
			var got []listed
			for _, l := range w.Members {
				got = append(got, listed{short(l.Access), short(l.Partners), short(l.Clusters)})
			}
			if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(listed{})); diff != "" {
				t.Errorf("lists, -want +got:\n%s", diff)
			}
			var steps []string
			for _, s := range geo.Plan(w, geo.Seen{}) {
				steps = append(steps, told(s))
			}
			if diff := cmp.Diff(tt.steps, steps); diff != "" {
				t.Errorf("steps, -want +got:\n%s", diff)
			}
		})
	}
}
