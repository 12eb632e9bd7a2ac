package control_test

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"tandem/internal/control"
	"tandem/internal/pair"
)

// The tests of this file are about what a fence needs while it stands, and how
// long it takes to believe that one is gone.

// watching counts the readings of rule health, and fails checks of the pair file
// that a unit would pass.
type watching struct {
	control.Platform
	control.Checks
	w *world

	mu      sync.Mutex
	healths []time.Time
	checks  int
	fails   int           // so many checks of first, from now on
	slow    time.Duration // that one reading of rule health takes
}

// watch replaces the worker by one that is watched.
func (w *world) watch() *watching {
	w.t.Helper()
	seen := &watching{w: w}
	w.waker.Controller = w.controller(w.fx, func(o *control.Options) {
		seen.Platform, seen.Checks = o.Platform, o.Checks
		o.Platform, o.Checks = seen, seen
	})
	return seen
}

func (s *watching) LoadBalancer(ctx context.Context, d pair.Definition, lb pair.LoadBalancer, health bool) (pair.BalancerSeen, error) {
	if health {
		s.mu.Lock()
		s.healths = append(s.healths, time.Now())
		s.mu.Unlock()
		time.Sleep(s.slow)
	}
	return s.Platform.LoadBalancer(ctx, d, lb, health)
}

func (s *watching) Service(ctx context.Context, addr netip.Addr, c pair.Check) pair.ServiceSeen {
	s.mu.Lock()
	s.checks++
	fail := addr == firstAddr && s.fails > 0
	if fail {
		s.fails--
	}
	s.mu.Unlock()
	if fail {
		return pair.ServiceSeen{Answer: pair.ServiceFailed, Check: c.Name, Detail: "no answer"}
	}
	return s.Checks.Service(ctx, addr, c)
}

// since are the readings of rule health after a time.
func (s *watching) since(t time.Time) []time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(s.healths), func(at time.Time) bool { return !at.After(t) })
}

// checked is a pair with a check of its service.
func checked(d *pair.Definition) {
	d.Checks = []pair.Check{{Name: "shop", Port: 443, Expect: 200}}
}

// fenced brings the pair to where its fence stands.
func (w *world) fenced() {
	w.t.Helper()
	w.splitUntilFence()
	w.run(10 * time.Second)
	if h := w.load().Record.Admin; len(h) != 1 || !h[0].Landed {
		w.t.Fatalf("holds %+v, want a fence that stands", h)
	}
}

func (w *world) lastRow() string {
	w.t.Helper()
	rows := w.rows()
	return rows[len(rows)-1]
}

func TestTheLoadBalancersViewIsReadWhileAFenceStands(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t)
		seen := w.watch()
		w.fenced()
		from := time.Now()
		w.run(10 * time.Minute)
		reads := seen.since(from)
		for n, at := range reads[1:] {
			if apart := at.Sub(reads[n]); apart > 40*time.Second {
				t.Errorf("%v between two readings of rule health, want half a minute and a look at most", apart)
			}
		}
		if n := len(reads); n < 18 || n > 40 {
			t.Errorf("%d readings in ten minutes, want two a minute, and those before renewals", n)
		}
		renewed := w.load().Record.Admin[0].Deadline.Add(-pair.FenceFor)
		if !slices.ContainsFunc(reads, func(at time.Time) bool { return renewed.Sub(at) >= 0 && renewed.Sub(at) < 5*time.Second }) {
			t.Errorf("renewed at %v, rule health was read at %v: want it read right before", renewed, reads)
		}
		w.heal()
		w.run(time.Minute)
		from = time.Now()
		w.run(2 * time.Minute)
		if reads := seen.since(from); len(reads) != 0 {
			t.Errorf("%d readings of rule health of a pair without a fence", len(reads))
		}
		w.kept()
	})
}

func TestAFenceEndsWhereTheLoadBalancerDoesNotSeeItsSurvivor(t *testing.T) {
	for _, reason := range []string{"Down_Probe_TcpProbeTimeout", "Down_Probe_HttpStatusCodeError", "Down_Admin"} {
		t.Run(reason, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				w := newWorld(t)
				w.fenced()
				w.units.of[firstAddr].health = reason
				w.run(45 * time.Second)
				if got := w.platform.states(); len(got) != 0 || len(w.load().Record.Admin) != 0 {
					t.Errorf("admin states %v, holds %v; want none half a minute later", got, w.load().Record.Admin)
				}
				want := "release-unreached"
				if reason == "Down_Admin" {
					want = "release-opposed"
				}
				if rows := w.rows(); !slices.Contains(rows, want) {
					t.Errorf("rows %v, want %s", rows, want)
				}
				w.run(15 * time.Minute) // hold-down is over
				if got := w.platform.states(); len(got) != 0 {
					t.Errorf("admin states %v, want no fence for a unit that the load balancer does not see", got)
				}
				w.kept()
			})
		})
	}
}

// TestAReleaseComesBeforeTheLoadBalancersView: that view takes its time, and the
// survivor is silent.
func TestAReleaseComesBeforeTheLoadBalancersView(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t)
		seen := w.watch()
		w.fenced()
		time.Sleep(35 * time.Second) // so that it would be read
		seen.slow = 8 * time.Second
		w.units.set(pair.First, pair.StateUnknown)
		from := time.Now()
		w.platform.onBegin = func(_ int, ch pair.AdminChange) (bool, error) {
			if took := time.Since(from); ch.Want == pair.AdminNone && took > 6*time.Second {
				t.Errorf("None was written %v after the survivor fell silent", took)
			}
			return true, nil
		}
		if err := w.pass(pair.CauseSweep); err != nil {
			t.Fatal(err)
		}
		if got := w.lastRow(); got != "release-survivor" || len(w.platform.states()) != 0 {
			t.Errorf("row %s, admin states %v; want the fence taken back", got, w.platform.states())
		}
	})
}

func TestOnlyAUnitThatForwardsIsLeftAlone(t *testing.T) {
	tests := []struct {
		name   string
		checks func(*pair.Definition)
		broken []pair.Role
		fenced bool
	}{
		{"both forward", checked, nil, true},
		{"the survivor does not", checked, []pair.Role{pair.First}, false},
		{"the loser does not", checked, []pair.Role{pair.Second}, true},
		{"neither does: it is the application", checked, []pair.Role{pair.First, pair.Second}, true},
		{"nobody checks", onePool, []pair.Role{pair.First}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				w := newWorld(t, tt.checks)
				w.passes(1)
				w.split()
				for _, r := range tt.broken {
					w.units.of[addrOf(r)].broken = true
				}
				w.run(time.Minute)
				if got := len(w.platform.states()) == 1; got != tt.fenced {
					t.Errorf("admin states %v after rows %v, want a fence: %v", w.platform.states(), w.rows(), tt.fenced)
				}
				if got := w.lastRow() == "both-active-lying"; got == tt.fenced {
					t.Errorf("row %s", w.lastRow())
				}
				w.kept()
			})
		})
		t.Run(tt.name+", while a fence stands", func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				w := newWorld(t, tt.checks)
				w.fenced()
				for _, r := range tt.broken {
					w.units.of[addrOf(r)].broken = true
				}
				w.run(15 * time.Second)
				if got := len(w.platform.states()) == 1; got != tt.fenced {
					t.Errorf("admin states %v after rows %v, want the fence to stand: %v", w.platform.states(), w.rows(), tt.fenced)
				}
				if got := slices.Contains(w.rows(), "release-lying"); got == tt.fenced {
					t.Errorf("rows %v", w.rows())
				}
				w.kept()
			})
		})
	}
}

// TestOneLostAnswerDoesNotEndAFence: a check is made once more where it would.
func TestOneLostAnswerDoesNotEndAFence(t *testing.T) {
	for fails, stands := range map[int]bool{1: true, 2: false} {
		inBubble(t, func(t *testing.T) {
			w := newWorld(t, checked)
			seen := w.watch()
			w.fenced()
			seen.fails = fails
			w.run(15 * time.Second)
			if got := len(w.platform.states()) == 1; got != stands || seen.fails != 0 {
				t.Errorf("the survivor failed %d checks: the fence stands %v, rows %v", fails, got, w.rows())
			}
		})
	}
}

// TestChecksAreMadeWhereTheyTell: of two units that answer 200 only where a fence
// may come of it, and beside the reading of the load balancer.
func TestChecksAreMadeWhereTheyTell(t *testing.T) {
	tests := []struct {
		name   string
		change func(*pair.Definition)
		looks  int // of two units that answer 200
		want   int
	}{
		{"a look that cannot confirm makes none", onePool, 2, 0},
		{"one that may makes those of both", onePool, 3, 2},
		{"none in mode observe", func(d *pair.Definition) { d.Mode = pair.Observe }, 4, 0},
		{"none where the policy never fences", func(d *pair.Definition) { d.Failover.Fence = pair.Never }, 4, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				w := newWorld(t, checked, tt.change)
				w.passes(1)
				w.split()
				seen := w.watch()
				w.passes(tt.looks)
				if seen.checks != tt.want {
					t.Errorf("%d checks, want %d", seen.checks, tt.want)
				}
			})
		})
	}
}

// unseen brings the pair to where a fence was sent, and is not in effect when the
// link heals and it has to be taken back.
func (w *world) unseen() {
	w.t.Helper()
	w.platform.slowHealth = true
	w.splitUntilFence()
	w.run(10 * time.Second)
	w.heal()
	w.run(45 * time.Second)
	w.platform.slowHealth = false
	snap := w.load()
	if h := snap.Record.Admin; len(h) != 1 || h[0].Landed || len(w.platform.states()) != 0 {
		w.t.Fatalf("holds %+v, admin states %v; want None in the place of a fence that was never seen", h, w.platform.states())
	}
}

func TestAReleaseOfWhatWasNeverSeenIsWatched(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t)
		w.unseen()
		if row := w.lastRow(); row != "release-watched" {
			t.Errorf("row %s, want release-watched", row)
		}
		w.run(3 * time.Minute)
		if w.platform.tags[pair.TagName(edge)] == "" {
			t.Error("the tag is gone while a Down of ours may still come")
		}
		before := len(w.platform.wrote())
		w.units.of[secondAddr].health = "Down_Admin" // the late write takes effect
		w.run(30 * time.Second)
		if wrote := w.platform.wrote(); len(wrote) != before+1 || wrote[before] != "pool None" {
			t.Errorf("writes %v, want one more None within half a minute", wrote[before:])
		}
		if len(w.load().Record.Admin) != 1 || w.load().Record.Foreign {
			t.Errorf("record %+v, want the Down known as ours", w.load().Record)
		}
		w.units.of[secondAddr].health = "" // and the None too
		w.run(6 * time.Minute)
		if snap := w.load(); len(snap.Record.Admin)+len(snap.Intents) != 0 || w.platform.tags[pair.TagName(edge)] != "" {
			t.Errorf("holds %v, intents %v, tags %v; want nothing left", snap.Record.Admin, snap.Intents, w.platform.tags)
		}
		w.kept()
	})
}

// TestWhatComesTooLateIsForeign: a Down that comes when its release was believed
// is nobody's that we know.
func TestWhatComesTooLateIsForeign(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t)
		w.unseen()
		w.run(6 * time.Minute)
		before := len(w.platform.wrote())
		w.units.of[secondAddr].health = "Down_Admin"
		w.run(21 * time.Minute)
		if rec := w.load().Record; !rec.Foreign || w.lastRow() != "foreign-admin-state" || rec.Alarm == nil {
			t.Errorf("row %s, record %+v; want an alarm about an admin state that is not ours", w.lastRow(), rec)
		}
		if wrote := w.platform.wrote(); len(wrote) != before {
			t.Errorf("writes %v to what is not ours", wrote[before:])
		}
		w.units.of[secondAddr].health = ""
		w.run(6 * time.Minute)
		if rec := w.load().Record; rec.Foreign || rec.Alarm != nil {
			t.Errorf("record %+v: the alarm outlives its cause", rec)
		}
	})
}

// TestHowLongAReleaseIsWatched: only what may still come is waited for.
func TestHowLongAReleaseIsWatched(t *testing.T) {
	nothing := func(*world) {}
	tests := []struct {
		name  string
		fence func(*world) // while it is set
		heal  func(*world) // before it is taken back
		least time.Duration
		most  time.Duration
	}{
		{"a fence that was seen goes at once", nothing, nothing, 0, 30 * time.Second},
		{"one that was written again may come twice", func(w *world) {
			w.platform.slowHealth = true
			w.run(90 * time.Second)
			w.platform.slowHealth = false
		}, nothing, 5 * time.Minute, 6 * time.Minute},
		{"one that only the document shows may come", func(w *world) {
			w.platform.onRead = nil
			w.units.of[secondAddr].health = ""
			w.waker.Controller = w.controller(w.fx, func(o *control.Options) { o.Platform = &mute{o.Platform} })
			w.run(2 * time.Minute)
		}, func(w *world) { w.start(&effects{}) }, 5 * time.Minute, 6 * time.Minute},
		{"one of which nothing was sent does not", func(w *world) {
			w.platform.onBegin = func(int, pair.AdminChange) (bool, error) { return false, pair.ErrBusy }
		}, func(w *world) { w.platform.onBegin = nil }, 0, 40 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				w := newWorld(t)
				w.splitUntilFence()
				tt.fence(w)
				w.run(20 * time.Second)
				if len(w.load().Record.Admin) != 1 {
					t.Fatalf("holds %v, want a fence; rows %v", w.load().Record.Admin, w.rows())
				}
				tt.heal(w)
				w.heal()
				from := time.Now()
				w.until(10*time.Minute, func() bool { return len(w.load().Record.Admin) == 0 })
				if took := time.Since(from); took < tt.least || took > tt.most || len(w.platform.states()) != 0 {
					t.Errorf("taken back after %v, want %v to %v; rows %v, admin states %v", took, tt.least, tt.most, w.rows(), w.platform.states())
				}
				w.kept()
			})
		})
	}
}

// mute is a platform without rule health.
type mute struct{ control.Platform }

func (m *mute) LoadBalancer(ctx context.Context, d pair.Definition, lb pair.LoadBalancer, _ bool) (pair.BalancerSeen, error) {
	return m.Platform.LoadBalancer(ctx, d, lb, false)
}

// TestWhoTakesAFenceAwayTwiceHasTheLastWord: ten minutes and hours later too.
func TestWhoTakesAFenceAwayTwiceHasTheLastWord(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t)
		w.fenced()
		for range 2 {
			w.platform.by(func() { w.platform.pools["ilb/pool"].admin[secondAddr] = pair.AdminNone })
			w.run(time.Minute)
		}
		before := w.platform.wrote()
		w.run(3 * time.Hour)
		if wrote := w.platform.wrote(); len(wrote) != len(before) || w.load().Record.Block == nil {
			t.Errorf("writes %v and then %v, block %+v; want no fence before a person acknowledges", before, wrote[len(before):], w.load().Record.Block)
		}
		w.amend(func(rec *pair.Record) { rec.Block, rec.Moves = nil, nil }) // tandem ack
		w.run(time.Minute)
		if got := w.platform.states(); got["ilb/pool/second"] != pair.AdminDown {
			t.Errorf("admin states %v after the ack, rows %v; want a fence", got, w.rows())
		}
		w.kept()
	})
}

// TestAFenceThatComesWhileItWaitsToBeWrittenAgain: it is seen in place by a look,
// and is neither written once more nor given up.
func TestAFenceThatComesWhileItWaitsToBeWrittenAgain(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t)
		w.platform.slowHealth = true
		w.splitUntilFence()
		waits := func() bool {
			i := w.load().Intents
			return len(i) == 1 && i[0].Attempts >= 3 && i[0].Rewrite && time.Until(i[0].NotBefore) > 20*time.Second
		}
		for range 600 {
			if w.run(time.Second); waits() {
				break
			}
		}
		if !waits() {
			t.Fatalf("intents %+v, want a fence that waits to be written again", w.load().Intents)
		}
		if left := time.Until(w.load().Record.Admin[0].Deadline); left <= 0 {
			t.Fatalf("the hold ended %v ago, want it renewed", -left)
		}
		before := len(w.platform.wrote())
		w.platform.slowHealth = false
		w.run(40 * time.Second)
		if h := w.load().Record.Admin; len(h) != 1 || !h[0].Landed {
			t.Errorf("holds %+v, want the fence seen in place by a look", h)
		}
		w.run(2 * time.Minute)
		snap := w.load()
		if h := snap.Record.Admin; len(snap.Intents) != 0 || len(h) != 1 || !h[0].Landed || !h[0].Late {
			t.Errorf("intents %+v, holds %+v; want the fence done, and known to have been sent more than once", snap.Intents, h)
		}
		if wrote := w.platform.wrote(); len(wrote) != before {
			t.Errorf("writes %v after it was in place", wrote[before:])
		}
		w.kept()
	})
}
