package control_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"tandem/internal/control"
	"tandem/internal/pair"
)

// TestAFenceThatIsGivenUpRunsOutAtOnce: of a first write nothing is known, and
// before the second one a unit blinks. What the first one may have done is taken
// back by the next pass, not when the fence would have ended.
func TestAFenceThatIsGivenUpRunsOutAtOnce(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, believing)
		w.passes(1)
		w.split()
		w.platform.onBegin = func(int, pair.AdminChange) (bool, error) { return false, pair.ErrUnknownOutcome }
		w.passes(1)
		w.platform.onBegin = nil
		if i := w.load().Intents; len(i) != 1 || i[0].State != pair.IntentBegun {
			t.Fatalf("intents %+v, want a fence of which nothing is known", i)
		}
		time.Sleep(time.Until(w.load().Intents[0].NotBefore))
		w.platform.onRead = func(string) error { // the reading before the write comes after the decision
			w.units.onCheck = func(r pair.Role, _ int) {
				if r == pair.First {
					w.units.set(pair.First, pair.Standby)
				}
			}
			return nil
		}
		if err := w.pass(pair.CauseSweep); err != nil {
			t.Fatal(err)
		}
		w.platform.onRead, w.units.onCheck = nil, nil
		snap := w.load()
		if h := snap.Record.Admin; len(snap.Intents) != 0 || len(h) != 1 || h[0].Deadline.After(time.Now()) {
			t.Fatalf("intents %+v, holds %+v at %v; want the hold alone, and over", snap.Intents, h, time.Now().UTC())
		}
		w.units.set(pair.First, pair.Active)
		w.passes(1)
		if rows, i := w.rows(), w.load().Intents; rows[len(rows)-1] != "release-expired" || len(i) == 0 || i[0].Kind != pair.IntentRelease || i[0].State != pair.IntentBegun {
			t.Errorf("rows %v, intents %+v; want that the next pass takes it back", rows, i)
		}
		w.kept()
	})
}

// withoutStore brings a process that has set a fence to where it reaches no
// store any more. look makes a pass of it.
func (w *world) withoutStore() (look func()) {
	w.t.Helper()
	c := w.controller(&effects{}, func(o *control.Options) { o.Store = &failing{Store: o.Store, w: w} })
	look = func() { _ = c.Pass(w.t.Context(), edge, pair.Cause{Kind: pair.CauseSweep}) } // without a store it fails
	look()
	w.split()
	look()
	if len(w.platform.states()) != 1 {
		w.t.Fatal("no fence")
	}
	w.storeDown = true
	return look
}

// TestWithoutAStoreAFenceEndsWithItsTime: nobody can renew it, so it goes when
// its time is over, though the survivor serves.
func TestWithoutAStoreAFenceEndsWithItsTime(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, believing)
		look := w.withoutStore()
		deadline := w.load().Record.Admin[0].Deadline
		time.Sleep(time.Until(deadline) - time.Second)
		look()
		if len(w.platform.states()) != 1 {
			t.Fatal("the fence went before its time")
		}
		time.Sleep(time.Second)
		look()
		if got := w.platform.states(); len(got) != 0 {
			t.Errorf("admin states %v at its deadline, want none", got)
		}
	})
}

// TestWithoutAStoreWhatSomebodyChangedIsLeftAlone: our tag still stands, but not
// what it tells of.
func TestWithoutAStoreWhatSomebodyChangedIsLeftAlone(t *testing.T) {
	for _, now := range []pair.AdminState{pair.AdminUp, pair.AdminNone} {
		t.Run(now.String(), func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				w := newWorld(t, believing)
				look := w.withoutStore()
				w.platform.by(func() { w.platform.pools["ilb/pool"].admin[secondAddr] = now })
				begun := w.platform.begun
				w.units.set(pair.First, pair.StateUnknown)
				time.Sleep(10 * time.Second)
				look()
				if got := w.platform.pools["ilb/pool"].admin[secondAddr]; got != now || w.platform.begun != begun {
					t.Errorf("second reads %s after %d writes, want %s and none", got, w.platform.begun-begun, now)
				}
			})
		})
	}
}

// TestWithoutAStoreARefusedWriteIsTriedAgain: what could not be taken back is
// still remembered in the next pass.
func TestWithoutAStoreARefusedWriteIsTriedAgain(t *testing.T) {
	for _, fault := range []string{"the load balancer cannot be read", "the write is refused"} {
		t.Run(fault, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				w := newWorld(t, believing)
				look := w.withoutStore()
				w.units.set(pair.First, pair.StateUnknown)
				if fault == "the write is refused" {
					w.platform.onBegin = func(int, pair.AdminChange) (bool, error) { return false, pair.ErrBusy }
				} else {
					w.platform.onRead = func(string) error { return pair.ErrUnreachable }
				}
				time.Sleep(10 * time.Second)
				look()
				if len(w.platform.states()) != 1 {
					t.Fatal("the fence went all the same")
				}
				w.platform.onBegin, w.platform.onRead = nil, nil
				time.Sleep(10 * time.Second)
				look()
				if got := w.platform.states(); len(got) != 0 {
					t.Errorf("admin states %v after the next pass, want none", got)
				}
			})
		})
	}
}

// TestATagOutlivesItsAdminState: while an admin state of ours stands, the load
// balancer says whose it is.
func TestATagOutlivesItsAdminState(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, believing)
		splitAndYield(w)
		w.platform.onBegin = func(int, pair.AdminChange) (bool, error) { return false, pair.ErrBusy }
		for range 12 {
			w.passes(1)
			if len(w.platform.states()) != 1 || w.platform.tags[pair.TagName(edge)] == "" {
				t.Fatalf("admin states %v, tags %v; want the fence and its tag", w.platform.states(), w.platform.tags)
			}
		}
		if w.platform.begun < 3 {
			t.Fatalf("only %d writes were tried", w.platform.begun)
		}
		w.platform.onBegin = nil
		w.run(3 * time.Minute)
		if len(w.platform.states()) != 0 || len(w.platform.tags) != 0 {
			t.Errorf("admin states %v, tags %v; want neither", w.platform.states(), w.platform.tags)
		}
	})
}

// TestWhatAPersonSetMeanwhileIsLeftAlone lets a person set an admin state between
// our decision and our reading before the write.
func TestWhatAPersonSetMeanwhileIsLeftAlone(t *testing.T) {
	upOnFirst := func(d *pair.Definition) {
		auto(&d.Failover.Up)
		d.HA.StandbyForwards, d.Checks = pair.ForwardsYes, []pair.Check{{Name: "shop", Port: 443}}
	}
	standsUp := func(w *world) {
		w.units.set(pair.First, pair.Standby)
		w.units.of[firstAddr].forwards = true
		w.passes(1)
		if got := w.platform.states()["ilb/pool/first"]; got != pair.AdminUp {
			w.t.Fatalf("first is %s, want it Up", got)
		}
		w.units.set(pair.First, pair.Active)
		time.Sleep(20 * time.Second) // until the load balancer's probe has seen it
	}
	tests := []struct {
		name  string
		pair  func(*pair.Definition)
		stage func(*world)
		kind  pair.IntentKind
		unit  pair.Role
		sets  pair.AdminState
	}{
		{"Up, where we set Down", onePool, (*world).split, pair.IntentFence, pair.Second, pair.AdminUp},
		{"Down, where we set Down", onePool, (*world).split, pair.IntentFence, pair.Second, pair.AdminDown},
		{"Up, where we take Down back", onePool, splitAndYield, pair.IntentRelease, pair.Second, pair.AdminUp},
		{"Down, where we set Up", upOnFirst, func(w *world) {
			w.units.set(pair.First, pair.Standby)
			w.units.of[firstAddr].forwards = true
		}, pair.IntentUp, pair.First, pair.AdminDown},
		{"Up, where we set Up", upOnFirst, func(w *world) {
			w.units.set(pair.First, pair.Standby)
			w.units.of[firstAddr].forwards = true
		}, pair.IntentUp, pair.First, pair.AdminUp},
		{"Down, where we take Up back", upOnFirst, standsUp, pair.IntentRelease, pair.First, pair.AdminDown},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				w := newWorld(t, asking(tt.pair))
				w.passes(1)
				tt.stage(w)
				w.platform.onRead = func(string) error {
					if slices.ContainsFunc(w.load().Intents, func(i pair.Intent) bool { return i.Kind == tt.kind }) {
						p := w.platform.pools["ilb/pool"]
						p.admin[addrOf(tt.unit)] = tt.sets
						p.version++
						w.platform.onRead = nil
					}
					return nil
				}
				wrote := len(w.platform.wrote())
				for range 6 {
					w.passes(1)
				}
				if w.platform.onRead != nil {
					t.Fatalf("no %s was decided; rows %v", tt.kind, w.rows())
				}
				snap := w.load()
				state := w.platform.states()[fmt.Sprintf("ilb/pool/%s", tt.unit)]
				if got := w.platform.wrote()[wrote:]; state != tt.sets || len(got) != 0 {
					t.Errorf("%s is %s after the writes %v, want the person's %s and none", tt.unit, state, got, tt.sets)
				}
				if len(snap.Record.Admin) != 0 || slices.ContainsFunc(snap.Intents, func(i pair.Intent) bool { return i.Pool != "" }) {
					t.Errorf("holds %+v, intents %+v of what is a person's", snap.Record.Admin, snap.Intents)
				}
			})
		})
	}
}

// TestARestartThatWasDecidedLongAgoIsNotMade: the worker that decided it dies,
// and the function app stands still for a while. The restart rests on what the
// load balancer saw then, so it is decided anew.
func TestARestartThatWasDecidedLongAgoIsNotMade(t *testing.T) {
	tests := []struct {
		name    string
		after   time.Duration
		changes func(*world)
		want    []string
	}{
		{"the next worker makes it at once", 10 * time.Second, func(*world) {}, []string{"restart lm2"}},
		{"later it is decided anew", time.Hour, func(*world) {}, []string{"restart lm2"}},
		{"and not, where the load balancer sees the unit serve by then", time.Hour, func(w *world) {
			w.units.of[secondAddr].health = "Up_Probe_Success"
		}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				w := newWorld(t, asking(func(d *pair.Definition) { auto(&d.Failover.Restart) }))
				w.passes(1)
				w.switchOff(pair.Second, pair.PowerRunning)
				w.passes(60)                                        // five minutes, and one look more
				w.start(&effects{at: 3, fate: failed, kills: true}) // the lease, the decision, and then
				_ = w.pass(pair.CauseSweep)
				if i := w.load().Intents; len(i) != 1 || i[0].Kind != pair.IntentRestart || i[0].State != pair.IntentOpen {
					t.Fatalf("intents %+v, want a restart that was decided and not sent", i)
				}
				tt.changes(w)
				time.Sleep(tt.after)
				w.start(&effects{})
				w.run(time.Minute)
				if got := w.platform.acted; !slices.Equal(got, tt.want) {
					t.Errorf("acted %v, want %v; rows %v", got, tt.want, w.rows())
				}
			})
		})
	}
}
