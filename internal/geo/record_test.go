package geo_test

import (
	"encoding/json"
	"net/netip"
	"reflect"
	"slices"
	"testing"
	"time"

	"tandem/internal/geo"
	"tandem/internal/pair"
)

// TestACalmPlanRestartsOnlyWhatOwesIt: a list that differs is written, and no pair is
// restarted for it but one that owes that.
func TestACalmPlanRestartsOnlyWhatOwesIt(t *testing.T) {
	w := geo.Compile(geo.Topology{Name: "global", Members: []geo.Member{
		{Name: "a", First: netip.MustParseAddr("10.0.0.4"), Second: netip.MustParseAddr("10.0.0.5")},
		{Name: "b", Standalone: netip.MustParseAddr("10.0.9.9")},
	}}, geo.OwnFirst)
	for _, tt := range []struct {
		name string
		calm bool
		owes geo.Debt
		want []geo.Action
	}{
		{"not calm: what is new is restarted for", false, geo.OwesNothing, []geo.Action{geo.SetAccess, geo.SetPartners, geo.Reboot, geo.ResubmitPartners, geo.CreateClusters}},
		{"calm: it is written", true, geo.OwesNothing, []geo.Action{geo.SetAccess, geo.SetPartners, geo.CreateClusters}},
		{"calm, and a submission is owed", true, geo.OwesSubmit, []geo.Action{geo.SetAccess, geo.SetPartners, geo.ResubmitPartners, geo.CreateClusters}},
		{"calm, and a restart is owed", true, geo.OwesReboot, []geo.Action{geo.SetAccess, geo.SetPartners, geo.Reboot, geo.ResubmitPartners, geo.CreateClusters}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got []geo.Action
			for _, s := range geo.Plan(w, geo.Seen{Calm: tt.calm, Members: map[string]geo.Held{"a": {Owes: tt.owes}}}) {
				if s.Member == "a" {
					got = append(got, s.Action)
				}
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

// TestAHalfMadeClusterIsMissing where an earlier plan created it, and nowhere else.
func TestAHalfMadeClusterIsMissing(t *testing.T) {
	at := netip.MustParseAddr("10.0.9.9")
	w := geo.Compile(geo.Topology{Name: "global", Members: []geo.Member{{Name: "b", Standalone: at}}}, geo.OwnFirst)
	for _, created := range []bool{true, false} {
		held := geo.Held{Access: []netip.Addr{at}, Clusters: []geo.Cluster{{Name: "b", Address: at, Created: created, Half: true}}}
		steps := geo.Plan(w, geo.Seen{Members: map[string]geo.Held{"b": held}})
		if got := len(steps) == 1 && steps[0].Action == geo.CreateClusters; got != created {
			t.Errorf("created by us %t: steps %+v", created, steps)
		}
	}
}

// TestWhatATopologySupersedes has every unit once, under names that mean nobody else.
func TestWhatATopologySupersedes(t *testing.T) {
	alone := func(name, at string) geo.Member { return geo.Member{Name: name, Standalone: netip.MustParseAddr(at)} }
	rec := geo.Record{
		Topology: geo.Topology{Name: "global", Members: []geo.Member{alone("sa1", "10.0.9.1"), alone("sa2", "10.0.9.2")}},
		Earlier:  geo.Topology{Name: "global", Members: []geo.Member{alone("old", "10.0.9.1"), alone("sa3", "10.0.9.3")}},
	}
	got := rec.Superseded(geo.Topology{Name: "global", Members: []geo.Member{alone("sa2", "10.0.9.2"), alone("sa1", "10.0.9.7")}})
	want := []geo.Member{alone("sa1-gone-1", "10.0.9.1"), alone("sa2", "10.0.9.2"), alone("sa3", "10.0.9.3")}
	if !reflect.DeepEqual(got.Members, want) {
		t.Errorf("got %+v, want %+v", got.Members, want)
	}
}

// TestARecordIsReadAsItWasWritten, and a word of a newer release is told as such.
func TestARecordIsReadAsItWasWritten(t *testing.T) {
	noon := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	rec := geo.Record{Members: []geo.MemberRecord{{Name: "a", Owes: geo.OwesReboot}}, Run: geo.Run{State: geo.Waits}}
	for n := range geo.StepsKept + 5 {
		rec.Run.Did(noon.Add(time.Duration(n)*time.Second), "a", "lists")
	}
	if n := len(rec.Run.Steps); n != geo.StepsKept || !rec.Run.Steps[0].At.Equal(noon.Add(5*time.Second)) {
		t.Errorf("%d steps are kept, the first of %v", n, rec.Run.Steps[0].At)
	}
	b, err := json.Marshal(rec)
	if err != nil {
		t.Fatal(err)
	}
	var again geo.Record
	if err := json.Unmarshal(b, &again); err != nil || !reflect.DeepEqual(rec, again) {
		t.Errorf("got %+v, %v", again, err)
	}
	for _, text := range []string{`{"members":[{"name":"a","owes":"later"}]}`, `{"run":{"state":"later"}}`} {
		if err := json.Unmarshal([]byte(text), &again); err == nil {
			t.Errorf("%s was read", text)
		}
	}
	young := geo.Alarm{Kind: geo.AlarmPartner, Since: noon}
	if young.Stands(noon.Add(geo.Patience-1)) || !young.Stands(noon.Add(geo.Patience)) || !(geo.Alarm{Kind: geo.AlarmAway, Since: noon}).Stands(noon) {
		t.Error("an alarm stands too early or too late")
	}
	if s := (pair.GEOSubmitted{Unit: pair.First, BootedAt: noon, At: noon}); !s.On(pair.First, noon.Add(time.Second)) || s.On(pair.First, noon.Add(time.Minute)) || s.On(pair.Second, noon) {
		t.Error("another life of a unit is taken for this one")
	}
}
