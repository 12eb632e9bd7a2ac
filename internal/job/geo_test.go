package job_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"tandem/internal/job"
	"tandem/internal/job/geo"
	"tandem/internal/pair"
)

// writeGEO is what an appliance makes of a write, which reads first.
func (u *unit) writeGEO(w *pair.GEOWrite) {
	if w.Lists {
		u.geo.Access, u.geo.Partners = w.Access, w.Partners
		u.submitted = u.submitted || w.Submit
	}
	for _, c := range w.Create {
		if !u.geo.HasCluster(c) {
			u.geo.Clusters = append(slices.Clone(u.geo.Clusters), c)
		}
	}
	u.geo.Clusters = slices.DeleteFunc(slices.Clone(u.geo.Clusters), func(c pair.GEOCluster) bool { return slices.Contains(w.Delete, c.Address) })
}

func addresses(all ...string) []netip.Addr {
	out := make([]netip.Addr, len(all))
	for i, a := range all {
		out[i] = netip.MustParseAddr(a)
	}
	return out
}

// wish is what a topology wants of the pair, at its first turn.
func wish() pair.GEOWish {
	return pair.GEOWish{
		Topology: "global", Access: addresses("10.0.0.4", "10.0.1.4", "10.0.1.5"), Partners: addresses("10.0.1.4", "10.0.1.5"), Restart: true, Submit: true,
		Create: []pair.GEOCluster{{Name: "edge", Address: addresses("10.0.0.4")[0]}, {Name: "other", Address: addresses("10.0.1.4")[0]}},
		Delete: addresses("10.0.9.9"),
	}
}

// inTurn gives the job its turns as a topology does that has only this pair: each when
// what came before it is done.
func inTurn(w *world) {
	j := w.rec.Job
	if !j.Running() || w.now.Second()%15 != 7 || j.Step >= len(j.Steps) {
		return
	}
	to, ok := map[string]pair.GEOTurn{"turn-lists": pair.GEOLists, "turn-restart": pair.GEORestart, "turn-clusters": pair.GEOClusters}[j.Steps[j.Step].Name]
	if ok && j.GEO.Turn < to {
		w.rec.Job = j.Clone()
		w.rec.Job.GEO.Turn = to
	}
}

// joins is a world in which the job of a topology has begun.
func joins(t testing.TB, def pair.Definition, active pair.Role, g pair.GEOWish) *world {
	w := newWorld(t, def, active)
	w.event = inTurn
	for _, u := range w.units {
		u.geo.Clusters = []pair.GEOCluster{{Name: "left", Address: addresses("10.0.9.9")[0]}}
	}
	w.start(job.Request{Kind: geo.Kind, GEO: &g})
	return w
}

// gone wrong says what of the wish is not so on the unit that serves.
func (w *world) wrongGEO(want pair.GEOWish) string {
	for _, u := range w.units {
		if u.check(w.now) != pair.CheckServing {
			continue
		}
		switch {
		case !u.geo.Holds(want.Access, want.Partners):
			return fmt.Sprintf("%s holds %v and %v", u.role, u.geo.Access, u.geo.Partners)
		case len(want.Partners) > 0 && !u.submitted:
			return u.role.String() + " serves, and its partners were not submitted since it does"
		case !slices.Equal(u.geo.Clusters, want.Create):
			return fmt.Sprintf("%s has clusters %v", u.role, u.geo.Clusters)
		}
		return ""
	}
	return "nobody serves"
}

func TestATopologysJobPlayedToItsEnd(t *testing.T) {
	const first, second = pair.First, pair.Second
	at := func(after time.Duration, do func(*world)) func(*world) {
		return func(w *world) {
			inTurn(w)
			if w.now.Equal(noon.Add(after)) {
				do(w)
			}
		}
	}
	noRestart := func(g *pair.GEOWish) { g.Restart = false }
	hard := func(d *pair.Definition) { d.HA.StandbyForwards = pair.ForwardsNo }
	tests := []struct {
		name    string
		active  pair.Role
		def     func(*pair.Definition)
		wish    func(*pair.GEOWish)
		event   func(*world)
		refuses bool
		want    pair.JobState
		serves  pair.Role
		reboots [2]int
		lost    int
		why     string
	}{
		{name: "first is restarted, and second has the partners submitted", active: first, want: pair.JobDone, serves: second, reboots: [2]int{1, 0}},
		{name: "where second serves it is moved to first beforehand, and the preference stays suspended", active: second, want: pair.JobDone, serves: second, reboots: [2]int{1, 0}},
		{name: "a standby that does not forward: it is announced, and approved once", active: first, def: hard, want: pair.JobDone, serves: second, reboots: [2]int{1, 0}, lost: 40},
		{name: "both moves are approved at once", active: second, def: hard, want: pair.JobDone, serves: second, reboots: [2]int{1, 0}, lost: 60},
		{name: "nobody approves: nothing is restarted", active: first, def: hard, refuses: true, want: pair.JobFailed, serves: first, why: "nobody approved"},
		{name: "without a restart nothing moves", active: first, wish: noRestart, want: pair.JobDone, serves: first},
		{name: "after a failover: partners on second, and no reboot", active: second, wish: noRestart, want: pair.JobDone, serves: second},
		{
			name: "no partners: no submission, and the cluster", active: first, want: pair.JobDone, serves: first,
			wish: func(g *pair.GEOWish) {
				*g = pair.GEOWish{Topology: "alone", Access: addresses("10.0.0.4"), Create: g.Create[:1], Delete: g.Delete}
			},
		},
		{
			name: "first crashes before its turn: second has everything written", active: first, wish: noRestart,
			event: at(4*time.Second, func(w *world) { w.unit(first).reboot(w.now) }), want: pair.JobDone, serves: first, reboots: [2]int{1, 0}, lost: 30,
		},
		{
			name: "a waiting job leaves the pair to the table, for a day", active: first, event: func(*world) {}, want: pair.JobFailed, serves: first,
			why: "waits for its turn in topology global, and that for longer than 24h0m0s",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			def, g := edge(), wish()
			if tt.def != nil {
				tt.def(&def)
			}
			if tt.wish != nil {
				tt.wish(&g)
			}
			w := joins(t, def, tt.active, g)
			if tt.event != nil {
				w.event = tt.event
			}
			w.approves = !tt.refuses
			if strings.Contains(tt.why, "24h") {
				w.now = noon.Add(24*time.Hour - time.Minute)
				w.rec.Job.Steps[0].State, w.rec.Job.Steps[0].BeganAt = pair.StepRuns, noon
				w.rec.Job.LookedAt = w.now
			}
			end := w.play()
			if end.State != tt.want || !strings.Contains(end.Why, tt.why) {
				w.fatalf("ends as %s: %s", end.State, end.Why)
			}
			if got := [2]int{w.unit(first).reboots, w.unit(second).reboots}; got != tt.reboots {
				w.fatalf("reboots %v, want %v", got, tt.reboots)
			}
			if w.unit(tt.serves).check(w.now) != pair.CheckServing {
				w.fatalf("%s does not serve at the end", tt.serves)
			}
			if wrong := w.wrongGEO(g); tt.want == pair.JobDone && wrong != "" && tt.lost == 0 {
				w.fatalf("%s", wrong)
			}
			if w.lost > tt.lost {
				w.fatalf("%d seconds in which a new connection found nobody, want %d at most", w.lost, tt.lost)
			}
			if tt.serves == second && tt.reboots[0] > 0 && (w.unit(first).prefer != pair.PreferNone || w.unit(second).prefer != pair.PreferNone) {
				w.fatalf("a unit is preferred while second serves")
			}
		})
	}
}

// TestATopologysJobIsCarriedOnAfterEachEffect lets each effect fail, end unknown, come
// twice, or be the last one of its worker: the pair ends the same.
func TestATopologysJobIsCarriedOnAfterEachEffect(t *testing.T) {
	for _, active := range pair.Roles {
		plain := joins(t, edge(), active, wish())
		plain.play()
		want := plain.endState()
		if wrong := plain.wrongGEO(wish()); wrong != "" {
			t.Fatal(wrong)
		}
		outcomes := []outcome{fails, unknown, twice, died}
		if active == pair.Second {
			outcomes = outcomes[3:] // both moves, which are the same steps
		}
		for _, what := range outcomes {
			for at := 1; at <= plain.effects; at++ {
				t.Run(fmt.Sprintf("%s serves, effect %d %s", active, at, what), func(t *testing.T) {
					t.Parallel()
					w := joins(t, edge(), active, wish())
					w.outcome = func(_ *world, n int, i pair.Intent) outcome {
						if n == at && !(what == twice && i.Kind == pair.IntentReboot) {
							return what
						}
						return works
					}
					w.play()
					if got := w.endState(); got != want {
						w.fatalf("ends as %s\nwant       %s", got, want)
					}
					if wrong := w.wrongGEO(wish()); wrong != "" {
						w.fatalf("%s", wrong)
					}
					if n := w.unit(pair.First).reboots; n != 1 {
						w.fatalf("first was rebooted %d times", n)
					}
					if w.lost > 0 {
						w.fatalf("%d seconds in which a new connection found nobody", w.lost)
					}
				})
			}
		}
	}
}

// TestOnlyATopologyBeginsItsJob: nobody else knows what the lists must be.
func TestOnlyATopologyBeginsItsJob(t *testing.T) {
	def := edge()
	_, err := registry(t).New(job.Request{ID: "edge-000000000001-001", Kind: geo.Kind, By: "anna", At: noon}, &def)
	if err == nil || !strings.Contains(err.Error(), "begun by a topology") {
		t.Errorf("got %v", err)
	}
}
