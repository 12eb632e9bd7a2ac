package pair

import (
	"slices"
	"testing"
	"time"
)

// TestWhatATagCallsOursKeepsItsTime: what is taken over after the store was lost
// ends when its tag says so, and one whose time is over is taken over to be taken
// back: nobody else would.
func TestWhatATagCallsOursKeepsItsTime(t *testing.T) {
	tests := []struct {
		name string
		left time.Duration // by the tag
		row  string
	}{
		{"it stands for its time", FenceFor / 2, "fence-renewed"},
		{"and is not given more", FenceFor/2 + time.Second, "fence-stands"},
		{"at its end it is taken back", 0, "release-expired"},
		{"also where that is long ago", -24 * time.Hour, "release-expired"},
		{"a time that we never give is none", time.Hour, "release-expired"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := hold(LeverFence, AdminDown, true)
			h.Deadline = noon.Add(tt.left)
			in := lasting(LinkCut, withBalancer(bothServe(), AdminDown))
			in.Definition.Failover.Fence = Allowed
			in.Observation.Balancers[0].Tags = map[string]string{TagName("edge"): tagText(h)}
			d := Decide(&in)
			if d.Row != tt.row || len(d.Record.Admin) != 1 {
				t.Fatalf("row %s, holds %+v; want %s of one", d.Row, d.Record.Admin, tt.row)
			}
			if got := d.Record.Admin[0].Deadline; tt.row != "fence-renewed" && !got.Equal(h.Deadline) {
				t.Errorf("it ends at %s, want %s as the tag says", got, h.Deadline)
			}
			released := slices.ContainsFunc(d.Intents, func(i Intent) bool { return i.Kind == IntentRelease && i.Unit == Second })
			if released != (tt.row == "release-expired") {
				t.Errorf("intents %v", d.Intents)
			}
		})
	}
}
