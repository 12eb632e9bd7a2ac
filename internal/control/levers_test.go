package control_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"tandem/internal/control"
	"tandem/internal/pair"
)

// asking is a pair of which everything is believed at first sight and where
// levers may be pulled.
func asking(change func(*pair.Definition)) func(*pair.Definition) {
	return func(d *pair.Definition) {
		believing(d)
		change(d)
	}
}

func auto(lever *pair.Consent) { *lever = pair.Allowed }

// unproved forgets that the lever was proved.
func (w *world) unproved() {
	w.t.Helper()
	w.change(func(rec *pair.Record) { rec.Proofs = nil })
}

func TestModeAutoWaitsForTheLeverProof(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, believing)
		w.unproved()
		w.passes(1)
		w.split()
		w.passes(3)
		if got := w.platform.wrote(); len(got) != 0 {
			t.Fatalf("wrote %v before the lever was proved", got)
		}
		if snap := w.load(); snap.Record.Plan == nil {
			t.Errorf("no plan in %+v, want one that waits for a person", snap.Record)
		}
		w.amend(func(rec *pair.Record) {
			rec.Plan.Approved = &pair.Request{By: "ann", At: time.Now()}
		})
		w.run(20 * time.Second)
		if got := w.platform.states(); got["ilb/pool/second"] != pair.AdminDown {
			t.Errorf("admin states %v after the approval, want the fence", got)
		}
		if h := w.load().Record.Admin; len(h) != 1 || h[0].Owner != "ann" {
			t.Errorf("holds %+v, want one of ann", h)
		}
	})
}

func TestTheLeverProof(t *testing.T) {
	tests := []struct {
		name   string
		change func(*world)
		proved bool
		says   string
	}{
		{"shows Down in the load balancer and goes back", func(*world) {}, true, ""},
		{"fails where a write with a wrong ETag is taken", func(w *world) { w.platform.takesWrong = true }, false, "wrong ETag"},
		{"fails where the data path never shows Down", func(w *world) { w.platform.slowHealth = true }, false, "never showed that second is Down"},
		{"is refused where a person set an admin state", func(w *world) {
			w.platform.pools["ilb/pool"].admin[firstAddr] = pair.AdminDown
		}, false, "in the way of prove"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				w := newWorld(t, believing, twoPools)
				w.unproved()
				w.platform.proving = true
				tt.change(w)
				w.passes(1)
				w.amend(func(rec *pair.Record) { rec.Prove = &pair.Request{By: "ann", At: time.Now()} })
				w.run(11 * time.Minute) // what never showed is watched when it is taken back
				snap := w.load()
				back := len(snap.Record.Proofs) == 2
				for _, p := range snap.Record.Proofs {
					back = back && p.Back && p.By == "ann"
				}
				if back != tt.proved {
					t.Errorf("proofs %+v, want proved %v", snap.Record.Proofs, tt.proved)
				}
				states := w.platform.states()
				delete(states, "ilb/pool/first") // the person's
				if len(states)+len(snap.Record.Admin)+len(snap.Intents) != 0 || snap.Record.Prove != nil || w.platform.tags[pair.TagName(edge)] != "" {
					t.Errorf("left behind: states %v, holds %v, intents %v, tags %v", states, snap.Record.Admin, snap.Intents, w.platform.tags)
				}
				if all := w.log.text() + strings.Join(w.told(), "\n"); !strings.Contains(all, tt.says) {
					t.Errorf("nothing says %q:\n%s", tt.says, all)
				}
			})
		})
	}
}

// told are the bodies of the journal.
func (w *world) told() []string {
	var out []string
	for _, e := range w.journal() {
		out = append(out, string(e.Body))
	}
	return out
}

func (w *world) switchOff(r pair.Role, power pair.Power) {
	w.units.set(r, pair.StateUnknown)
	w.units.mu.Lock()
	w.units.of[addrOf(r)].power = power
	w.units.mu.Unlock()
}

func TestStartOfAStoppedVM(t *testing.T) {
	stopped := func(byPerson bool) pair.Cause {
		d := definition()
		return pair.Cause{Kind: pair.CauseVM, Evidence: []pair.Evidence{{Kind: pair.EvidenceStopped, VM: d.VMID(pair.Second), At: time.Now(), ByPerson: byPerson}}}
	}
	tests := []struct {
		name  string
		start pair.Consent
		cause func() pair.Cause
		want  []string
		row   string
	}{
		{"the platform stopped it and policy allows: it is started", pair.Allowed, func() pair.Cause { return stopped(false) }, []string{"start lm2"}, "start"},
		{"a person stopped it: it is left alone", pair.Allowed, func() pair.Cause { return stopped(true) }, nil, "degraded"},
		{"nobody knows who stopped it: a person is asked", pair.Allowed, func() pair.Cause { return pair.Cause{Kind: pair.CauseSweep} }, nil, "start-planned"},
		{"policy ask plans it", pair.Ask, func() pair.Cause { return stopped(false) }, nil, "start-planned"},
		{"policy never explains", pair.Never, func() pair.Cause { return stopped(false) }, nil, "degraded"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				w := newWorld(t, asking(func(d *pair.Definition) { d.Failover.Start = tt.start }))
				w.passes(1)
				w.switchOff(pair.Second, pair.PowerDeallocated)
				if err := w.waker.Controller.Pass(t.Context(), edge, tt.cause()); err != nil {
					t.Fatal(err)
				}
				w.passes(2)
				if got := w.platform.acted; !slices.Equal(got, tt.want) {
					t.Errorf("acted %v, want %v", got, tt.want)
				}
				if rows := w.rows(); !slices.Contains(rows, tt.row) {
					t.Errorf("rows %v, want %s", rows, tt.row)
				}
			})
		})
	}
}

func TestAVMThatDoesNotStayUpIsStartedTwiceADay(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, asking(func(d *pair.Definition) { auto(&d.Failover.Start) }))
		w.passes(1)
		for n := range 5 {
			w.switchOff(pair.Second, pair.PowerStopped)
			d := definition()
			if err := w.waker.Controller.Pass(t.Context(), edge, pair.Cause{Kind: pair.CauseVM, Evidence: []pair.Evidence{
				{Kind: pair.EvidenceStopped, VM: d.VMID(pair.Second), At: time.Now(), EventID: fmt.Sprint(n)},
			}}); err != nil {
				t.Fatal(err)
			}
			w.run(7 * time.Minute)
		}
		if got := len(w.platform.acted); got != pair.PowerPerDay {
			t.Errorf("started %d times, want %d", got, pair.PowerPerDay)
		}
	})
}

func TestRestartWantsEveryProof(t *testing.T) {
	tests := []struct {
		name   string
		change func(*world)
		want   []string
	}{
		{"down for everybody, partner up for everybody: it is restarted", func(*world) {}, []string{"restart lm2"}},
		{"the load balancer still sees it up", func(w *world) { w.units.of[secondAddr].health = "Up_Probe_Success" }, nil},
		{"the load balancer does not see the partner", func(w *world) { w.units.of[firstAddr].health = "Down_Probe_TcpProbeTimeout" }, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				w := newWorld(t, asking(func(d *pair.Definition) { auto(&d.Failover.Restart) }))
				w.passes(1)
				w.switchOff(pair.Second, pair.PowerRunning)
				tt.change(w)
				w.run(4 * time.Minute)
				if len(w.platform.acted) != 0 {
					t.Fatalf("acted %v inside the grace", w.platform.acted)
				}
				w.run(3 * time.Minute)
				if got := w.platform.acted; !slices.Equal(got, tt.want) {
					t.Errorf("acted %v, want %v; rows %v", got, tt.want, w.rows())
				}
			})
		})
	}
}

func TestPreferenceIsKept(t *testing.T) {
	tests := []struct {
		name   string
		change func(*world)
		first  pair.Preference
		second pair.Preference
	}{
		{"a unit that lost its preference gets it back", func(w *world) { w.units.of[secondAddr].preferred = pair.PreferNone }, pair.PreferFirst, pair.PreferFirst},
		{"but never while second serves", func(w *world) {
			w.units.set(pair.First, pair.Standby)
			w.units.set(pair.Second, pair.Active)
			w.units.of[firstAddr].preferred, w.units.of[secondAddr].preferred = pair.PreferNone, pair.PreferNone
		}, pair.PreferNone, pair.PreferNone},
		{"two standbys are told who shall serve", func(w *world) {
			w.units.set(pair.First, pair.Standby)
			w.units.of[firstAddr].preferred, w.units.of[secondAddr].preferred = pair.PreferNone, pair.PreferNone
		}, pair.PreferFirst, pair.PreferFirst},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				w := newWorld(t, believing)
				w.passes(1)
				tt.change(w)
				w.run(time.Minute)
				if a, b := w.units.of[firstAddr].preferred, w.units.of[secondAddr].preferred; a != tt.first || b != tt.second {
					t.Errorf("preferences %v and %v, want %v and %v; rows %v", a, b, tt.first, tt.second, w.rows())
				}
			})
		})
	}
}

func TestUpStandsOnlyUntilAUnitAnswers(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, asking(func(d *pair.Definition) {
			auto(&d.Failover.Up)
			d.HA.StandbyForwards = pair.ForwardsYes
			d.Checks = []pair.Check{{Name: "shop", Port: 443}}
		}))
		w.passes(1)
		w.units.set(pair.First, pair.Standby)
		w.units.of[firstAddr].forwards = true
		w.run(20 * time.Second)
		if got := w.platform.states(); got["ilb/pool/first"] != pair.AdminUp {
			t.Fatalf("admin states %v, want first Up; rows %v", got, w.rows())
		}
		w.units.set(pair.First, pair.Active)
		w.run(20 * time.Second)
		if got := w.platform.states(); len(got) != 0 {
			t.Errorf("admin states %v after first answers 200, want none; rows %v", got, w.rows())
		}
	})
}

func TestAPersonsWord(t *testing.T) {
	tests := []struct {
		name string
		word func(*pair.Record)
		row  string
	}{
		{"pause", func(rec *pair.Record) { rec.Pause = &pair.Pause{Owner: "ann"} }, "release-paused"},
		{"maintenance", func(rec *pair.Record) { rec.Pause = &pair.Pause{Owner: "ann", Unit: pair.Second} }, "release-paused"},
		{"remove", func(rec *pair.Record) { rec.Retire = &pair.Request{By: "ann"} }, "release-retired"},
	}
	for _, tt := range tests {
		t.Run(tt.name+" first takes back what we set", func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				w := newWorld(t, believing)
				w.passes(1)
				w.split()
				w.run(10 * time.Second)
				if len(w.platform.states()) != 1 {
					t.Fatal("no fence to take back")
				}
				w.amend(tt.word)
				rows := w.rows
				if tt.name == "remove" {
					w.run(5 * time.Second)
					kept := w.rows()
					rows = func() []string { return kept }
				}
				w.run(time.Minute)
				if got := w.platform.states(); len(got) != 0 || w.platform.tags[pair.TagName(edge)] != "" {
					t.Errorf("admin states %v and tags %v stand", got, w.platform.tags)
				}
				if tt.name == "remove" {
					if _, err := w.store.Load(t.Context(), edge); !errors.Is(err, pair.ErrNotFound) {
						t.Errorf("the pair is not gone: %v", err)
					}
					return
				}
				if got := rows(); !slices.Contains(got, tt.row) {
					t.Errorf("rows %v, want %s", got, tt.row)
				}
			})
		})
	}
}

func TestAGlobalStopIsAskedForRightBeforeTheWrite(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, believing)
		w.passes(1)
		w.split()
		w.platform.onBegin = func(int, pair.AdminChange) (bool, error) {
			return true, w.store.SetStop(t.Context(), &pair.Pause{Owner: "ann", Reason: "storm"}, pair.Entry{})
		}
		w.run(time.Minute)
		if got := w.platform.wrote(); len(got) != 0 {
			t.Errorf("wrote %v after everything was stopped", got)
		}
		w.platform.onBegin = nil
		if err := w.store.SetStop(t.Context(), nil, pair.Entry{}); err != nil {
			t.Fatal(err)
		}
		w.run(time.Minute)
		if got := w.platform.states(); len(got) != 1 {
			t.Errorf("admin states %v after it goes on, want the fence; rows %v", got, w.rows())
		}
	})
}

// TestBlindness lets the process lose its trust in itself in each way, and then
// a split come: nothing may be written for a quiet minute, and then it is.
func TestBlindness(t *testing.T) {
	var step time.Duration
	tests := []struct {
		name string
		make func(*testing.T, *world) *control.Controller
		hurt func(*world, *control.Controller)
		want pair.BlindCause
	}{
		{"a clock that steps", func(_ *testing.T, w *world) *control.Controller {
			step = 0
			return w.controller(&effects{}, func(o *control.Options) { o.Now = func() time.Time { return time.Now().Add(step) } })
		}, func(*world, *control.Controller) { step = -time.Hour }, pair.BlindClock},
		{
			"a pass that was frozen", func(_ *testing.T, w *world) *control.Controller { return w.controller(&effects{}) },
			func(w *world, c *control.Controller) {
				w.units.onReport = func(context.Context) { time.Sleep(5 * time.Minute) }
				_ = c.Pass(w.t.Context(), edge, pair.Cause{Kind: pair.CauseSweep})
				w.units.onReport = nil
			}, pair.BlindStall,
		},
		{"a store that fails", func(_ *testing.T, w *world) *control.Controller {
			return w.controller(&effects{}, func(o *control.Options) { o.Store = &failing{Store: o.Store, w: w} })
		}, func(w *world, c *control.Controller) {
			w.storeDown = true
			for range 3 {
				_ = c.Pass(w.t.Context(), edge, pair.Cause{Kind: pair.CauseSweep})
			}
			w.storeDown = false
		}, pair.BlindStore},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				w := newWorld(t, believing)
				c := tt.make(t, w)
				look := func() {
					if err := c.Pass(t.Context(), edge, pair.Cause{Kind: pair.CauseSweep}); err != nil {
						t.Fatal(err)
					}
				}
				look()
				tt.hurt(w, c)
				w.split()
				for range 4 {
					time.Sleep(10 * time.Second)
					look()
				}
				if got := w.platform.wrote(); len(got) != 0 {
					t.Fatalf("wrote %v while blind", got)
				}
				if all := strings.Join(w.told(), "\n"); !strings.Contains(all, `"blind":"`+tt.want.String()) {
					t.Errorf("no decision says %q: %v", tt.want, w.rows())
				}
				for range 4 {
					time.Sleep(15 * time.Second)
					look()
				}
				if got := w.platform.states(); len(got) != 1 {
					t.Errorf("admin states %v after a quiet minute, want the fence; rows %v", got, w.rows())
				}
			})
		})
	}
}

// failing is a store that cannot be reached for a while.
type failing struct {
	control.Store
	w *world
}

func (f *failing) Load(ctx context.Context, name string) (pair.Snapshot, error) {
	if f.w.storeDown {
		return pair.Snapshot{}, fmt.Errorf("load: %w", pair.ErrUnreachable)
	}
	return f.Store.Load(ctx, name)
}

// TestTheSurvivorDiesWithoutAStore: the process that set the fence takes it back
// although nothing can be read or written, and the record is put right later.
func TestTheSurvivorDiesWithoutAStore(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, believing)
		c := w.controller(&effects{}, func(o *control.Options) { o.Store = &failing{Store: o.Store, w: w} })
		look := func() { _ = c.Pass(t.Context(), edge, pair.Cause{Kind: pair.CauseSweep}) }
		look()
		w.split()
		look()
		if len(w.platform.states()) != 1 {
			t.Fatal("no fence")
		}
		w.storeDown = true
		time.Sleep(10 * time.Second)
		look()
		if len(w.platform.states()) != 1 {
			t.Fatal("the fence went although the survivor serves")
		}
		w.units.set(pair.First, pair.StateUnknown)
		time.Sleep(10 * time.Second)
		look()
		if got := w.platform.states(); len(got) != 0 {
			t.Fatalf("admin states %v, want none", got)
		}
		w.storeDown = false
		for range 20 {
			time.Sleep(10 * time.Second)
			look()
		}
		if snap := w.load(); len(snap.Record.Admin)+len(snap.Intents) != 0 || w.platform.tags[pair.TagName(edge)] != "" {
			t.Errorf("holds %v, intents %v, tags %v: not put right", snap.Record.Admin, snap.Intents, w.platform.tags)
		}
	})
}

// TestWithoutAStoreAPersonsDownStays: what a process remembers may be old; the tag
// says whether the Down that it finds is still ours.
func TestWithoutAStoreAPersonsDownStays(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, believing)
		c := w.controller(&effects{}, func(o *control.Options) { o.Store = &failing{Store: o.Store, w: w} })
		look := func() { _ = c.Pass(t.Context(), edge, pair.Cause{Kind: pair.CauseSweep}) }
		look()
		w.split()
		look()
		if len(w.platform.states()) != 1 {
			t.Fatal("no fence")
		}
		w.storeDown = true
		delete(w.platform.tags, pair.TagName(edge)) // another worker took ours back, and a person came
		w.platform.pools["ilb/pool"].version += 4
		w.units.set(pair.First, pair.StateUnknown)
		time.Sleep(10 * time.Second)
		look()
		if len(w.platform.states()) != 1 {
			t.Error("a Down without a tag of ours was taken back")
		}
	})
}

// TestAStartIsNotTriedAgainWhenTheVMWasStoppedAgain: the second stop may be a
// person's, of which no event has come yet.
func TestAStartIsNotTriedAgainWhenTheVMWasStoppedAgain(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, asking(func(d *pair.Definition) { d.Failover.Start = pair.Allowed }))
		w.passes(1)
		w.switchOff(pair.Second, pair.PowerDeallocated)
		d := definition()
		stop := pair.Evidence{Kind: pair.EvidenceStopped, VM: d.VMID(pair.Second), At: time.Now()}
		w.platform.since = func(n int) time.Time { // the decision's reading, and then the guard's
			if n == 1 {
				return stop.At
			}
			return stop.At.Add(2 * time.Minute)
		}
		if err := w.waker.Controller.Pass(t.Context(), edge, pair.Cause{Kind: pair.CauseVM, Evidence: []pair.Evidence{stop}}); err != nil {
			t.Fatal(err)
		}
		w.passes(2)
		if len(w.platform.acted) > 0 {
			t.Errorf("acted %v", w.platform.acted)
		}
		if rows := w.rows(); !slices.Contains(rows, "start-planned") {
			t.Errorf("rows %v, want a person to be asked", rows)
		}
	})
}

// TestATandemThatLostItsStoreFindsItsFence: the tag tells whose it is.
func TestATandemThatLostItsStoreFindsItsFence(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, believing)
		w.platform.pools["ilb/pool"].admin[secondAddr] = pair.AdminDown
		w.platform.tags[pair.TagName(edge)] = "second is Down until " + time.Now().Add(time.Minute).UTC().Format(time.RFC3339) + " by decision 41 (fence) of tandem"
		w.passes(1)
		if snap := w.load(); len(snap.Record.Admin) != 1 || snap.Record.Epoch <= 41 {
			t.Fatalf("holds %+v of epoch %d, want the tag's", snap.Record.Admin, snap.Record.Epoch)
		}
		w.run(3 * time.Minute)
		if got := w.platform.states(); len(got) != 0 || w.platform.tags[pair.TagName(edge)] != "" {
			t.Errorf("admin states %v and tags %v stand; rows %v", got, w.platform.tags, w.rows())
		}
	})
}

// TestManyPairsAtOnceAreOurOwnFault: when most of what we look at is dark, our
// network is the likelier cause.
func TestManyPairsAtOnceAreOurOwnFault(t *testing.T) {
	v := control.NewVigil()
	for n := range 10 {
		v.Looked(fmt.Sprint(n), false, time.Duration(n)*time.Second)
	}
	for n := range 5 {
		if v.Looked(fmt.Sprint(n), true, 20*time.Second); v.Blind(20*time.Second) != pair.NotBlind {
			t.Fatalf("blind after %d of 10 pairs", n+1)
		}
	}
	if v.Looked("5", true, 20*time.Second); v.Blind(20*time.Second) != pair.BlindFleet {
		t.Error("not blind after 6 of 10 pairs")
	}
	if v.Blind(81*time.Second) != pair.NotBlind {
		t.Error("blind for ever")
	}
}

// TestAPersonsWordStopsWhatIsOpen: a start that could not be made yet is not
// made any more once a person holds the pair.
func TestAPersonsWordStopsWhatIsOpen(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, asking(func(d *pair.Definition) { auto(&d.Failover.Start) }))
		w.passes(1)
		w.switchOff(pair.Second, pair.PowerDeallocated)
		w.platform.onAct = func() error { return fmt.Errorf("start: %w", pair.ErrBusy) }
		d := definition()
		if err := w.waker.Controller.Pass(t.Context(), edge, pair.Cause{Kind: pair.CauseVM, Evidence: []pair.Evidence{
			{Kind: pair.EvidenceStopped, VM: d.VMID(pair.Second), At: time.Now()},
			{Kind: pair.EvidenceUnavailable, VM: d.VMID(pair.Second), At: time.Now().Add(time.Second)},
		}}); err != nil {
			t.Fatal(err)
		}
		if len(w.load().Intents) != 1 {
			t.Fatalf("intents %v, want the start", w.load().Intents)
		}
		w.platform.onAct = nil
		w.amend(func(rec *pair.Record) { rec.Pause = &pair.Pause{Owner: "ann"} })
		w.run(2 * time.Minute)
		if got := w.platform.acted; len(got) != 0 || len(w.load().Intents) != 0 {
			t.Errorf("acted %v with intents %v while a person holds the pair", got, w.load().Intents)
		}
	})
}

// TestAPersonsStopIsRemembered: that the machine is unavailable follows from it,
// and says nothing new.
func TestAPersonsStopIsRemembered(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, asking(func(d *pair.Definition) { auto(&d.Failover.Start) }))
		w.passes(1)
		w.switchOff(pair.Second, pair.PowerDeallocated)
		d := definition()
		if err := w.waker.Controller.Pass(t.Context(), edge, pair.Cause{Kind: pair.CauseVM, Evidence: []pair.Evidence{
			{Kind: pair.EvidenceStopped, ByPerson: true, VM: d.VMID(pair.Second), At: time.Now()},
			{Kind: pair.EvidenceUnavailable, VM: d.VMID(pair.Second), At: time.Now().Add(time.Second)},
		}}); err != nil {
			t.Fatal(err)
		}
		w.passes(3)
		if got := w.platform.acted; len(got) != 0 {
			t.Errorf("acted %v against a person's stop", got)
		}
	})
}
