package settings

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"tandem/internal/pair"
)

func idsOf(r Result) []string {
	var ids []string
	for _, c := range r.Carried {
		ids = append(ids, c.ID)
	}
	for _, c := range r.Conflicts {
		ids = append(ids, c.ID)
	}
	for _, h := range r.Held {
		ids = append(ids, h.ID)
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// TestCommonHidesNoDifference merges on what was found to be common, and finds the
// same differences, with the same ids.
func TestCommonHidesNoDifference(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := drawWorld(rt)
		before := Merge(w.base, w.units[0], w.units[1], w.policy)
		after := Merge(Common(w.base, w.units[0], w.units[1], before), w.units[0], w.units[1], w.policy)
		if d := cmp.Diff(idsOf(before), idsOf(after)); d != "" {
			rt.Fatalf("on the common state (-before +after):\n%s", d)
		}
	})
}

// TestSnapshotsAreKept merges snapshots that were stored and read again.
func TestSnapshotsAreKept(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := drawWorld(rt)
		var read [2]*Snapshot
		for u := range w.units {
			b, err := json.Marshal(w.units[u])
			if err != nil {
				rt.Fatal(err)
			}
			read[u] = &Snapshot{}
			if err := json.Unmarshal(b, read[u]); err != nil {
				rt.Fatal(err)
			}
		}
		got, want := Merge(w.base, read[0], read[1], w.policy), Merge(w.base, w.units[0], w.units[1], w.policy)
		if story(got.ToFirst) != story(want.ToFirst) || story(got.ToSecond) != story(want.ToSecond) || waiting(got) != waiting(want) {
			rt.Fatalf("got\n%s%s%s\nwant\n%s%s%s", story(got.ToFirst), story(got.ToSecond), waiting(got), story(want.ToFirst), story(want.ToSecond), waiting(want))
		}
	})
}

func TestCommonFollowsWhatBothCameTo(t *testing.T) {
	base := Base{First: origin, Second: origin, Classes: objectsOf(t, "parameters - motd=a snat=yes")}
	first, second := unitOf(t, 0, "parameters - motd=b snat=no"), unitOf(t, 1, "parameters - motd=b snat=yes")
	policy := Policy{Active: pair.First, Prefer: PreferActive}
	now := Common(base, first, second, Merge(base, first, second, policy))
	back := unitOf(t, 0, "parameters - motd=a snat=no") // which first takes back
	r := Merge(now, back, second, policy)
	if got, want := story(r.ToFirst)+story(r.ToSecond), "modify parameters: motd=a, snat=no\n"; got != want || len(r.ToFirst) > 0 {
		t.Errorf("to first %q, to second %q, want %q", story(r.ToFirst), story(r.ToSecond), want)
	}
	if len(r.Carried) != 2 || r.Carried[0].From != pair.First || r.Carried[0].Field != "motd" || r.Carried[0].Base.Value != "b" {
		t.Errorf("carried %+v", r.Carried)
	}
}
