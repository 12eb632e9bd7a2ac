package control_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"tandem/internal/pair"
)

// The tests of this file are sequences that once left an admin state behind, or
// woke everybody for nothing.

// TestAReleaseThatCannotBeDoneMakesNoStorm: a release is never given up, and its
// tries get rarer instead of more.
func TestAReleaseThatCannotBeDoneMakesNoStorm(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t)
		w.splitUntilFence()
		w.run(5 * time.Second)
		w.platform.onBegin = func(_ int, _ pair.AdminChange) (bool, error) {
			return false, fmt.Errorf("write pool: %w", pair.ErrRefused)
		}
		w.heal()
		w.run(2 * time.Minute)
		begun, decisions, sent := w.platform.begun, len(w.rows()), len(w.fx.sent)
		w.run(10 * time.Minute)
		if n := w.platform.begun - begun; n == 0 || n > 10 {
			t.Errorf("%d writes tried in ten minutes, want a few", n)
		}
		if n := len(w.rows()) - decisions; n > 3 {
			t.Errorf("%d decisions stored in ten minutes of nothing new: %v", n, w.rows())
		}
		if n := len(w.fx.sent) - sent; n > 10*12+10*4+10 { // a chain of 5 s, sweeps of 15 s
			t.Errorf("%d messages sent in ten minutes", n)
		}
		w.platform.onBegin = nil
		w.run(3 * time.Minute)
		if got := w.platform.states(); len(got) != 0 || len(w.load().Record.Admin) != 0 {
			t.Errorf("admin states %v, holds %v; want none once it can be done", got, w.load().Record.Admin)
		}
	})
}

// TestAFenceThatLandsLateIsSuperseded: the write of a fence is on its way when
// it has to be released, and the release meets a busy platform for a while. It
// must not take a reading of None for the end.
func TestAFenceThatLandsLateIsSuperseded(t *testing.T) {
	for _, fault := range []error{pair.ErrBusy, pair.ErrThrottled, pair.ErrUnknownOutcome} {
		t.Run(fault.Error(), func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				w := newWorld(t)
				w.platform.takes = 6 * time.Minute
				w.splitUntilFence()
				w.platform.onBegin = func(int, pair.AdminChange) (bool, error) { return true, pair.ErrUnknownOutcome }
				w.run(5 * time.Second) // the fence is sent, and nothing is known of it
				w.platform.onBegin = func(int, pair.AdminChange) (bool, error) { return false, fmt.Errorf("write: %w", fault) }
				w.heal()
				w.run(4 * time.Minute)
				w.platform.onBegin, w.platform.takes = nil, 2*time.Second
				w.run(15 * time.Minute)
				if got := w.platform.states(); len(got) != 0 {
					t.Errorf("admin states %v although nothing is held: %v", got, w.load().Record.Admin)
				}
				if snap := w.load(); len(snap.Record.Admin)+len(snap.Intents) != 0 {
					t.Errorf("holds %v, intents %v; want none", snap.Record.Admin, snap.Intents)
				}
				w.kept()
			})
		})
	}
}

// TestPoolsOfOneLoadBalancerAreWrittenOneAfterTheOther: a second write on the
// same load balancer would cancel the first, for ever.
func TestPoolsOfOneLoadBalancerAreWrittenOneAfterTheOther(t *testing.T) {
	for _, takes := range []time.Duration{20 * time.Second, 40 * time.Second, time.Minute} {
		t.Run(takes.String(), func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				w := newWorld(t, twoPools)
				w.splitUntilFence()
				w.run(5 * time.Second)
				w.platform.takes = takes
				w.heal()
				w.run(30*time.Second + 3*takes)
				if got := w.platform.states(); len(got) != 0 {
					t.Errorf("admin states %v, want both pools released", got)
				}
				if wrote := w.platform.wrote(); len(wrote) != 4 {
					t.Errorf("writes %v, want two of Down and two of None", wrote)
				}
			})
		})
	}
}

// TestAPersonsDownOnTheSurvivorEndsTheFence: both must never be Down.
func TestAPersonsDownOnTheSurvivorEndsTheFence(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t)
		w.splitUntilFence()
		w.run(5 * time.Second)
		w.platform.by(func() { w.platform.pools["ilb/pool"].admin[firstAddr] = pair.AdminDown })
		w.run(30 * time.Second)
		if got := w.platform.states(); got["ilb/pool/second"] == pair.AdminDown || got["ilb/pool/first"] != pair.AdminDown {
			t.Errorf("admin states %v, want ours gone and the person's left alone", got)
		}
		if rows := w.rows(); !slices.Contains(rows, "release-opposed") {
			t.Errorf("rows %v, want release-opposed", rows)
		}
	})
}

// TestSomebodyElsesDownIsNotAdopted: a person sets the loser Down while our own
// write is refused for it. It is the person's, and stays when the link heals.
func TestSomebodyElsesDownIsNotAdopted(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t)
		w.splitUntilFence()
		w.platform.onBegin = func(n int, _ pair.AdminChange) (bool, error) {
			if n == 1 {
				p := w.platform.pools["ilb/pool"]
				p.admin[secondAddr] = pair.AdminDown
				p.version++
				return false, fmt.Errorf("write: %w", pair.ErrConflict)
			}
			return true, nil
		}
		w.run(time.Minute)
		w.heal()
		w.run(2 * time.Minute)
		if got := w.platform.states(); got["ilb/pool/second"] != pair.AdminDown {
			t.Errorf("admin states %v: the person's Down was cleared", got)
		}
		if h := w.load().Record.Admin; len(h) != 0 {
			t.Errorf("holds %v of what we never wrote", h)
		}
	})
}

// TestAFenceThatIsForbiddenMeanwhileIsTakenBack lowers the policy while the
// fence could not be written yet, and while it stands.
func TestAFenceThatIsForbiddenMeanwhileIsTakenBack(t *testing.T) {
	for _, standing := range []bool{false, true} {
		t.Run(fmt.Sprintf("standing %v", standing), func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				w := newWorld(t)
				w.splitUntilFence()
				if !standing {
					w.platform.onBegin = func(int, pair.AdminChange) (bool, error) { return false, pair.ErrBusy }
				}
				w.run(5 * time.Second)
				w.platform.onBegin = nil
				d := definition()
				d.Failover.Fence = pair.Never
				w.define(d)
				w.run(time.Minute)
				if got := w.platform.states(); len(got) != 0 {
					t.Errorf("admin states %v, want none under fence: never", got)
				}
				if wrote := w.platform.wrote(); !standing && slices.Contains(wrote, "pool Down") {
					t.Errorf("writes %v: a fence was written after it was forbidden", wrote)
				}
			})
		})
	}
}

// TestUnitsDoNotMoveUnderAFence: holds name a unit by its role, so the roles
// keep their machines while one stands.
func TestUnitsDoNotMoveUnderAFence(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t)
		w.splitUntilFence()
		w.run(5 * time.Second)
		d := definition()
		d.Units.First, d.Units.Second = d.Units.Second, d.Units.First
		if _, err := w.store.Define(t.Context(), d, nil); !errors.Is(err, pair.ErrBusy) {
			t.Errorf("swapping the units under a fence: %v, want busy", err)
		}
		w.heal()
		w.run(time.Minute)
		if _, err := w.store.Define(t.Context(), d, nil); err != nil {
			t.Errorf("swapping them afterwards: %v", err)
		}
		if rec := w.load().Record; rec.LastActive != pair.RoleUnknown {
			t.Errorf("the last active unit is still said to be %v, which is another machine now", rec.LastActive)
		}
	})
}
