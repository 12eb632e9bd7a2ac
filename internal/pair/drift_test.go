package pair

import (
	"slices"
	"strings"
	"testing"
	"time"
)

const lbID = ResourceID("/subscriptions/s/resourcegroups/rg/providers/microsoft.network/loadbalancers/ilb")

// differing is a drift in one field of the load balancer, seen since long.
func differing(fields ...string) *Drifted {
	d := Drift{At: noon, Hash: "plan-1", Steps: []DriftStep{{Resource: lbID, LoadBalancer: "ilb", Hash: "step-1", Changes: len(fields), Fields: fields}}}
	return &Drifted{Drift: d, Since: noon.Add(-time.Hour)}
}

func TestADriftIsRepairedPlannedOrExplained(t *testing.T) {
	wish := func(hash string, ago time.Duration) func(*Input) {
		return func(in *Input) { in.Record.Wish = &Wish{Plan: hash, By: "ann", At: noon.Add(-ago)} }
	}
	mode := func(m Mode, then func(*Input)) func(*Input) {
		return func(in *Input) {
			in.Definition.Mode = m
			if then != nil {
				then(in)
			}
		}
	}
	tests := []struct {
		name    string
		change  func(*Input)
		row     string
		intents int
	}{
		{"mode auto repairs it", nil, "repair", 1},
		{"mode recommend plans it", mode(Recommend, nil), "repair-planned", 0},
		{"mode observe says so", mode(Observe, nil), "drift", 0},
		{"a pause does nothing", func(in *Input) { in.Record.Pause = &Pause{Owner: "ann"} }, "paused", 0},
		{"our blindness does nothing", func(in *Input) { in.Blind = BlindStore }, "blind", 0},
		{"what was seen a moment ago may be a deployment in progress", func(in *Input) { in.Record.Drift.Since = noon.Add(-DriftSettles + 1) }, "repair-held", 0},
		{"what was seen for a while is not", func(in *Input) { in.Record.Drift.Since = noon.Add(-DriftSettles) }, "repair", 1},
		{"a repair that failed rests", func(in *Input) { in.Record.Drift.NotBefore = noon.Add(1) }, "repair-held", 0},
		{"and is tried again", func(in *Input) { in.Record.Drift.NotBefore = noon }, "repair", 1},
		{"a dispute asks", func(in *Input) { in.Record.Drift.Dispute = "x" }, "repair-disputed", 0},
		{"what cannot be is explained", func(in *Input) { in.Record.Drift.Hash, in.Record.Drift.Refusal = "", "x" }, "repair-held", 0},
		{"a repair that is under way is not begun again", func(in *Input) { in.Open = []Intent{{Kind: IntentRepair, Resource: lbID}} }, "under-way", 0},
		{"a person's wish is carried out in mode observe", mode(Observe, wish("plan-1", 0)), "apply", 1},
		{"at once", func(in *Input) { wish("plan-1", 0)(in); in.Record.Drift.Since = noon }, "apply", 1},
		{"whatever the units do", func(in *Input) { wish("plan-1", 0)(in); in.Observation = observed(silentUnit(), UnitSeen{}) }, "apply", 1},
		{"over a dispute", func(in *Input) { wish("plan-1", 0)(in); in.Record.Drift.Dispute = "x" }, "apply", 1},
		{"not in a pause", func(in *Input) { wish("plan-1", 0)(in); in.Record.Pause = &Pause{Owner: "ann"} }, "paused", 0},
		{"not for another plan", wish("plan-2", 0), "apply-refused", 0},
		{"not when it is old", mode(Observe, wish("plan-1", WishFor)), "drift", 0},
		{"not before what was begun is done", func(in *Input) {
			wish("plan-1", 0)(in)
			in.Open = []Intent{{Kind: IntentRepair, Resource: lbID}}
		}, "under-way", 0},
		{"an approval is enough in mode recommend", mode(Recommend, func(in *Input) {
			in.Record.Plan = &Plan{Since: in.Record.Since, Hash: planHash(in.Record.Since, []Intent{{Kind: IntentRepair, LoadBalancer: "ilb", Resource: lbID, Step: "step-1"}}), Approved: &Request{By: "ann", At: noon}}
		}), "repair", 1},
		{"an approval of another write is none", mode(Recommend, func(in *Input) {
			in.Record.Plan = &Plan{Since: in.Record.Since, Hash: planHash(in.Record.Since, []Intent{{Kind: IntentRepair, LoadBalancer: "ilb", Resource: lbID, Step: "step-2"}}), Approved: &Request{By: "ann", At: noon}}
		}), "repair-planned", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := lasting(Healthy, healthyPair())
			in.Record.Drift = differing("properties.probes[check].properties.port")
			if tt.change != nil {
				tt.change(&in)
			}
			d := Decide(&in)
			repairs := 0
			for _, i := range d.Intents {
				if i.Kind == IntentRepair && i.Resource == lbID && i.Step == "step-1" {
					repairs++
				}
			}
			if d.Row != tt.row || repairs != tt.intents {
				t.Errorf("row %s with %v, want %s with %d repairs\n%s", d.Row, d.Intents, tt.row, tt.intents, Explain(&in, &d))
			}
		})
	}
}

// TestADriftComesBeforeWhatItMayHaveCaused, and after a lever that needs no asking
// where the repair does.
func TestADriftAmongOtherThings(t *testing.T) {
	split := func(in *Input) {
		in.Observation = observed(at(CheckServing, Active), at(CheckServing, Active))
		in.Record.Situation = LinkCut
	}
	tests := []struct {
		name   string
		change func(*Input)
		row    string
	}{
		{"two active units: in mode auto the repair comes first", split, "repair"},
		{"and while it is under way the fence", func(in *Input) {
			split(in)
			in.Open = []Intent{{Kind: IntentRepair, Resource: lbID}}
		}, "both-active-read"},
		{"in mode recommend the fence is planned first", func(in *Input) {
			split(in)
			in.Definition.Mode = Recommend
		}, "both-active-read"},
		{"a unit that nobody polls: the wrong probe is repaired", func(in *Input) {
			in.Record.Situation = Unpolled
			in.Record.Units[1].Probed = ProbedSeen{Unreached: true, Reason: "x"}
		}, "repair"},
		{"in mode observe the unit is what is told", func(in *Input) {
			in.Record.Situation = Unpolled
			in.Record.Units[1].Probed = ProbedSeen{Unreached: true, Reason: "x"}
			in.Definition.Mode = Observe
		}, "unconnected"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := lasting(Healthy, healthyPair())
			in.Record.Drift = differing("x")
			tt.change(&in)
			if d := Decide(&in); d.Row != tt.row {
				t.Errorf("row %s, want %s\n%s", d.Row, tt.row, Explain(&in, &d))
			}
		})
	}
}

func TestAReadingIsRemembered(t *testing.T) {
	in := lasting(Healthy, healthyPair())
	seen := differing("port").Drift
	in.Observation.Drift = &seen
	d := Decide(&in)
	if d.Record.Drift == nil || !d.Record.Drift.Since.Equal(noon) || d.Row != "repair-held" {
		t.Fatalf("row %s, drift %+v; want it to be seen since now", d.Row, d.Record.Drift)
	}
	in.Record = d.Record
	if d := Decide(&in); !d.Record.Drift.Since.Equal(noon) {
		t.Errorf("seen since %v, want the first time", d.Record.Drift.Since)
	}
	in.Observation.Drift = &Drift{At: noon}
	in.Record.Wish = &Wish{Plan: "plan-1", At: noon}
	if d := Decide(&in); d.Record.Drift != nil || d.Record.Wish != nil || d.Row != "healthy" {
		t.Errorf("row %s, drift %+v, wish %+v; want all forgotten", d.Row, d.Record.Drift, d.Record.Wish)
	}
	in.Observation.Drift = nil
	if d := Decide(&in); d.Record.Drift == nil {
		t.Error("what was not read was forgotten")
	}
}

func TestWhatIsChangedBackTwiceIsADispute(t *testing.T) {
	repair := func(field, by string, ago time.Duration) Repair {
		return Repair{Resource: lbID, Field: field, By: by, At: noon.Add(-ago)}
	}
	tests := []struct {
		name    string
		repairs []Repair
		by      string
		want    bool
	}{
		{"the first change is none", nil, "bob", false},
		{"nor the second", []Repair{repair("port", "bob", time.Hour)}, "bob", false},
		{"the third by the same principal is", []Repair{repair("port", "bob", 2*time.Hour), repair("port", "bob", time.Hour)}, "bob", true},
		{"two principals have no dispute yet", []Repair{repair("port", "eve", 2*time.Hour), repair("port", "bob", time.Hour)}, "bob", false},
		{"another field counts by itself", []Repair{repair("path", "bob", 2*time.Hour), repair("port", "bob", time.Hour)}, "bob", false},
		{"whom no event names is always the same", []Repair{repair("port", "", 2*time.Hour), repair("port", "", time.Hour)}, "", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := lasting(Healthy, healthyPair())
			in.Record.Repairs = tt.repairs
			seen := differing("port").Drift
			seen.By = tt.by
			in.Observation.Drift = &seen
			d := Decide(&in)
			if got := d.Record.Drift.Dispute; (got != "") != tt.want || tt.want && !strings.Contains(got, "port") {
				t.Errorf("dispute %q", got)
			}
		})
	}
}

func TestRepairsAreRememberedForAWhile(t *testing.T) {
	in := lasting(Healthy, healthyPair())
	in.Record.Repairs = []Repair{{Field: "old", At: noon.Add(-RepairsFor)}, {Field: "new", At: noon.Add(-RepairsFor + 1)}}
	d := Decide(&in)
	if len(d.Record.Repairs) != 1 || d.Record.Repairs[0].Field != "new" || !d.Changed {
		t.Errorf("repairs %+v, want the new one", d.Record.Repairs)
	}
	rec := Record{Drift: differing("a", "b")}
	rec.Drift.By = "bob"
	rec.Repaired("another", noon)
	rec.Repaired(lbID, noon)
	want := []Repair{{Resource: lbID, Field: "a", At: noon, By: "bob"}, {Resource: lbID, Field: "b", At: noon, By: "bob"}}
	if !slices.Equal(rec.Repairs, want) {
		t.Errorf("repairs %+v, want %+v", rec.Repairs, want)
	}
	for range RepairsKept {
		rec.Repaired(lbID, noon)
	}
	if len(rec.Repairs) != RepairsKept {
		t.Errorf("%d repairs are kept, want %d", len(rec.Repairs), RepairsKept)
	}
}

func TestARepairSaysWhatDiffers(t *testing.T) {
	in := lasting(Healthy, healthyPair())
	in.Record.Drift = differing("a", "b", "c", "d")
	in.Record.Drift.By, in.Record.Drift.LastErr = "bob", "no rights"
	d := Decide(&in)
	want := "load balancer ilb differs in a, b, c and 1 more; plan plan-1; seen since 2026-11-22 11:00:00Z; the newest change is by bob; the last repair failed: no rights"
	if got := Why(&in, &d); !strings.Contains(got, want) {
		t.Errorf("got %q, want %q in it", got, want)
	}
}

// TestAnIDInAPathIsToldByItsEnd: a person who reads a sentence has no use for the
// whole of it.
func TestAnIDInAPathIsToldByItsEnd(t *testing.T) {
	drift := differing("properties.ipConfigurations[name=ip].properties.pools[id=/subscriptions/s/loadBalancers/ilb/pools/p]", `l[id="/a/b [1]"].x`).Drift
	want := []string{"load balancer ilb differs in properties.ipConfigurations[name=ip].properties.pools[p], l[id=\"/a/b [1]\"].x"}
	if got := drift.Differences(); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestALateEventTellsWhoItWas: the sweep may be faster than the event of a change,
// and then nobody knows yet whose it is.
func TestALateEventTellsWhoItWas(t *testing.T) {
	repair := func(by string) Repair { return Repair{Resource: lbID, Field: "port", By: by, At: noon.Add(-time.Hour)} }
	tests := []struct {
		name     string
		was, now string // who it was, as far as was known, and what the event says
		repairs  []Repair
		by       string
		disputed bool
	}{
		{"it is noted", "", "bob", nil, "bob", false},
		{"a look that no event caused says nothing", "bob", "", nil, "bob", false},
		{"what is known stays", "bob", "eve", nil, "bob", false},
		{"it may be a dispute", "", "bob", []Repair{repair("bob"), repair("bob")}, "bob", true},
		{"or none any more", "", "bob", []Repair{repair(""), repair("")}, "bob", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := lasting(Healthy, healthyPair())
			in.Record.Drift, in.Record.Repairs = differing("port"), tt.repairs
			in.Record.Drift.By, in.Record.Drift.Dispute = tt.was, disputed(tt.repairs, &Drift{By: tt.was, Steps: in.Record.Drift.Steps})
			before := *in.Record.Drift
			seen := before.Drift
			seen.At, seen.By = noon, tt.now
			in.Observation.Drift = &seen
			d := Decide(&in)
			got := d.Record.Drift
			if got.By != tt.by || (got.Dispute != "") != tt.disputed || !got.Since.Equal(before.Since) {
				t.Errorf("by %q, dispute %q, since %v; want %q, a dispute: %t, since %v", got.By, got.Dispute, got.Since, tt.by, tt.disputed, before.Since)
			}
			if in.Record.Drift.By != tt.was {
				t.Error("what is stored was changed in place")
			}
		})
	}
}

func TestADriftThatCannotBeRepairedSaysSinceWhenAndByWhom(t *testing.T) {
	d := Drifted{Drift: Drift{Refusal: "no room; make some", By: "bob"}, Since: noon}
	if got, want := d.words(), "no room; make some; seen since 2026-11-22 12:00:00Z; the newest change is by bob"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
