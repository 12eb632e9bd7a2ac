package control_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"tandem/internal/control"
	"tandem/internal/pair"
	"tandem/internal/store"
)

func TestEveryIntentHasExactlyOneExecutor(t *testing.T) {
	for _, k := range pair.IntentKinds {
		if !control.Executed(k) {
			t.Errorf("no executor for %s", k)
		}
	}
	if control.Executed(pair.IntentUnknown) {
		t.Error("an unknown intent is carried out")
	}
}

// inBubble runs a test of one world in virtual time.
func inBubble(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, test)
}

func TestAQuietPassCostsOneReadingOfTheStore(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t)
		w.passes(1) // takes the pair at its word
		var reads, writes int
		gated := w.account.Store(store.HandleOptions{Gate: func(_ context.Context, write bool) error {
			if write {
				writes++
			} else {
				reads++
			}
			return nil
		}})
		loads := &counting{Store: gated}
		c := w.controller(&effects{}, func(o *control.Options) { o.Store, o.Outbox = loads, gated })
		sweep := pair.Cause{Kind: pair.CauseSweep}
		if err := c.Pass(t.Context(), edge, sweep); err != nil { // this controller's first reading of the load balancer
			t.Fatal(err)
		}
		calls := w.platform.calls()
		reads, writes, loads.loads, loads.leases = 0, 0, 0, 0
		const n = 19 // five minutes less one pass
		for range n {
			time.Sleep(control.BalancersEvery / (n + 1))
			if err := c.Pass(t.Context(), edge, sweep); err != nil {
				t.Fatal(err)
			}
		}
		if loads.loads != n || loads.leases != 0 || reads != 2*n || writes != 0 {
			t.Errorf("%d quiet passes: %d loads, %d leases, %d reads, %d writes; want %d loads of one read each, as many looks whether everything is stopped, and nothing else", n, loads.loads, loads.leases, reads, writes, n)
		}
		if got := w.platform.calls() - calls; got != 0 {
			t.Errorf("%d quiet passes made %d calls to Resource Manager, want none", n, got)
		}
		time.Sleep(control.BalancersEvery / (n + 1))
		if err := c.Pass(t.Context(), edge, sweep); err != nil {
			t.Fatal(err)
		}
		if got := w.platform.calls() - calls; got != 1 {
			t.Errorf("after five minutes the load balancer was read %d times, want once", got)
		}
		if err := c.Pass(t.Context(), edge, pair.Cause{Kind: pair.CauseResource}); err != nil {
			t.Fatal(err)
		}
		if got := w.platform.calls() - calls; got != 2 {
			t.Errorf("after an event about it the load balancer was read %d times, want once more", got-1)
		}
	})
}

// counting counts what a controller asks of its store.
type counting struct {
	*store.Store
	loads, leases int
}

func (c *counting) Load(ctx context.Context, name string) (pair.Snapshot, error) {
	c.loads++
	return c.Store.Load(ctx, name)
}

func (c *counting) AcquireLease(ctx context.Context, snap pair.Snapshot, owner string, now time.Time, ttl time.Duration) (pair.Snapshot, error) {
	c.leases++
	return c.Store.AcquireLease(ctx, snap, owner, now, ttl)
}

// TestAFenceIsStoredBeforeItIsWrittenAndSeenBeforeItIsDone looks at the store
// at the moment of the write, and at the order of all effects.
func TestAFenceIsStoredBeforeItIsWrittenAndSeenBeforeItIsDone(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t)
		w.splitUntilFence()
		w.platform.pools["ilb/pool"].version = 77
		w.platform.onBegin = func(_ int, ch pair.AdminChange) (bool, error) {
			snap := w.load()
			if w.platform.tags[pair.TagName(edge)] == "" {
				t.Error("at the write the load balancer does not say whose it will be")
			}
			if len(snap.Intents) != 1 || snap.Intents[0].State != pair.IntentBegun || snap.Intents[0].Attempts != 1 || snap.Intents[0].Epoch != snap.Record.Epoch {
				t.Errorf("at the write the store has the intents %+v, want one of epoch %d that has begun", snap.Intents, snap.Record.Epoch)
			}
			if h := snap.Record.Admin; len(h) != 1 || h[0].Unit != pair.Second || h[0].State != pair.AdminDown || !h[0].Deadline.After(time.Now()) {
				t.Errorf("at the write the store has the holds %+v, want the one that the write makes", h)
			}
			want := pair.AdminChange{
				LoadBalancer: definition().LoadBalancerID("ilb"), Pool: "pool", Address: secondAddr, VM: vmOf(pair.Second), Want: pair.AdminDown, ETag: "78",
			}
			if ch != want {
				t.Errorf("the write is %+v, want %+v", ch, want)
			}
			return true, nil
		}
		w.start(&effects{})
		if err := w.pass(pair.CauseSweep); err != nil {
			t.Fatal(err)
		}
		want := []string{
			"take lease", "commit", // the decision
			"commit", "tag", "commit", // begun, said, and closed
			"commit", "write Down", "commit", // begun, written, seen and closed
			"journal", "send", "journal", "journal", "publish", "delivered", "give lease back",
		}
		if !slices.Equal(w.fx.done, want) {
			t.Errorf("effects\n%v, want\n%v", w.fx.done, want)
		}
		if got := w.platform.states(); !maps.Equal(got, map[string]pair.AdminState{"ilb/pool/second": pair.AdminDown}) {
			t.Errorf("admin states %v, want the second unit Down", got)
		}
		snap := w.load()
		if len(snap.Intents) != 0 || len(snap.Outbox) != 0 || snap.Record.Lease.Owner != "" || len(snap.Record.Admin) != 1 {
			t.Errorf("left behind: intents %v, outbox %v, lease %v, holds %v; want the hold alone", snap.Intents, snap.Outbox, snap.Record.Lease, snap.Record.Admin)
		}
	})
}

// TestWhatGoesWrongWithAWriteIsTriedAgain lets the first write of a fence go
// wrong, and looks at what the pass leaves and what the next one makes of it.
func TestWhatGoesWrongWithAWriteIsTriedAgain(t *testing.T) {
	wait := &pair.Waiting{Err: pair.ErrThrottled, After: 42 * time.Second}
	tests := []struct {
		name   string
		sent   bool
		err    error
		state  pair.IntentState
		again  time.Duration // when it is tried again, at the earliest
		writes []string      // that were accepted, after the second try
	}{
		{"refused with 412: read again, then written with the new version", false, pair.ErrConflict, pair.IntentOpen, 10 * time.Second, []string{"pool Down"}},
		{"another operation holds the load balancer", false, pair.ErrBusy, pair.IntentOpen, 10 * time.Second, []string{"pool Down"}},
		{"throttled: tried again when the platform says", false, wait, pair.IntentOpen, 42 * time.Second, []string{"pool Down"}},
		{"not sent, or so it seems", false, pair.ErrUnreachable, pair.IntentBegun, 10 * time.Second, []string{"pool Down"}},
		{"outcome unknown, and it was lost", false, pair.ErrUnknownOutcome, pair.IntentBegun, 10 * time.Second, []string{"pool Down"}},
		{"outcome unknown, and it was done: seen, not written again", true, pair.ErrUnknownOutcome, pair.IntentBegun, 10 * time.Second, []string{"pool Down"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				w := newWorld(t)
				w.splitUntilFence()
				w.messages()
				w.platform.onBegin = func(n int, _ pair.AdminChange) (bool, error) {
					if n > 1 {
						return true, nil
					}
					w.platform.pools["ilb/pool"].version++ // somebody else's write, for the 412
					if tt.sent {
						w.platform.pools["ilb/pool"].version--
					}
					return tt.sent, fmt.Errorf("write pool: %w", tt.err)
				}
				m := pair.Message{V: 1, Kind: "wake", Pairs: []string{edge}, Cause: pair.Cause{Kind: pair.CauseSweep}}
				if err := w.waker.Reconcile(t.Context(), m); err != nil {
					t.Fatal(err)
				}
				snap := w.load()
				if len(snap.Intents) != 1 || snap.Intents[0].State != tt.state || snap.Intents[0].Attempts != 1 || !strings.Contains(snap.Intents[0].LastErr, tt.err.Error()) {
					t.Fatalf("after the fault the intents are %+v, want one that is %v, with one attempt and the fault %q", snap.Intents, tt.state, tt.err)
				}
				pause := time.Until(snap.Intents[0].NotBefore)
				if pause < tt.again || pause > tt.again+3*time.Second {
					t.Errorf("tried again after %v, want %v and up to 3s of jitter", pause, tt.again)
				}
				time.Sleep(pause - time.Second)
				begun := w.platform.begun
				if err := w.waker.Reconcile(t.Context(), m); err != nil || w.platform.begun != begun {
					t.Fatalf("before its time: %v and %d writes, want none", err, w.platform.begun-begun)
				}
				time.Sleep(time.Second)
				if err := w.waker.Reconcile(t.Context(), m); err != nil {
					t.Fatal(err)
				}
				if got := w.platform.wrote(); !slices.Equal(got, tt.writes) {
					t.Errorf("writes %v, want %v", got, tt.writes)
				}
				if snap := w.load(); len(snap.Intents) != 0 || len(snap.Record.Admin) != 1 {
					t.Errorf("after the second try: intents %v, holds %v; want the hold alone", snap.Intents, snap.Record.Admin)
				}
				w.kept()
			})
		})
	}
}

// returned is a message that was put back, and when it becomes visible.
type returned struct {
	message pair.Message
	after   time.Duration
}

// putBack waits for the messages that were put back, two minutes at most.
func (w *world) putBack() []returned {
	w.t.Helper()
	start := time.Now()
	var out []returned
	for range 120 {
		for _, m := range w.messages() {
			if m.Attempt > 0 {
				out = append(out, returned{m, time.Since(start)})
			}
		}
		if len(out) > 0 {
			break
		}
		time.Sleep(time.Second)
	}
	return out
}

func TestAReadingThatDisagreesIsNotDone(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t)
		w.splitUntilFence()
		w.platform.lies = true
		if err := w.pass(pair.CauseSweep); err != nil {
			t.Fatal(err)
		}
		if snap := w.load(); len(snap.Intents) != 1 || snap.Intents[0].State != pair.IntentBegun || !strings.Contains(snap.Intents[0].LastErr, "outcome unknown") {
			t.Errorf("intents %+v, want the fence still open", snap.Intents)
		}
		if events, _ := w.topic.received(); slices.Contains(events, "tandem.pair.action-done") {
			t.Errorf("published %v, want nothing to be called done", events)
		}
		w.platform.lies = false
		time.Sleep(15 * time.Second)
		if err := w.pass(pair.CauseSweep); err != nil {
			t.Fatal(err)
		}
		if snap := w.load(); len(snap.Intents) != 0 || len(w.platform.states()) != 1 {
			t.Errorf("the next pass leaves intents %v and states %v, want the fence done", snap.Intents, w.platform.states())
		}
	})
}

// TestALastLookCanSpeakAgainstAFence lets a unit stop serving between the
// decision and the write. No Down is written, and the next pass forgets the hold.
func TestALastLookCanSpeakAgainstAFence(t *testing.T) {
	for _, r := range pair.Roles {
		t.Run(r.String()+" stops serving just before", func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				w := newWorld(t, twoPools)
				w.splitUntilFence()
				w.platform.onRead = func(string) error { // the reading before the write
					if len(w.load().Intents) > 0 {
						w.units.set(r, pair.Standby)
					}
					return nil
				}
				if err := w.pass(pair.CauseSweep); err != nil {
					t.Fatal(err)
				}
				snap := w.load()
				if len(snap.Intents) != 0 || len(snap.Record.Admin) != 0 {
					t.Errorf("intents %v, holds %v; want both given up, because nothing was sent", snap.Intents, snap.Record.Admin)
				}
				events, _ := w.topic.received()
				if !slices.Contains(events, "tandem.pair.action-abandoned") {
					t.Errorf("published %v, want the fence to be abandoned", events)
				}
				w.platform.onRead = nil
				time.Sleep(5 * time.Second)
				if err := w.pass(pair.CauseSweep); err != nil {
					t.Fatal(err)
				}
				if snap := w.load(); len(snap.Record.Admin) != 0 || len(snap.Intents) != 0 {
					t.Errorf("the next pass leaves holds %v and intents %v, want none", snap.Record.Admin, snap.Intents)
				}
				if got := w.platform.wrote(); len(got) != 0 {
					t.Errorf("writes %v, want none", got)
				}
				w.kept()
			})
		})
	}
}

// TestAnAbandonedFenceIsNotBelievedToStand lets a unit blink just before the
// write. Both serve again at once, and a hold of which nothing was written must
// not be taken for a fence.
func TestAnAbandonedFenceIsNotBelievedToStand(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t)
		w.splitUntilFence()
		w.platform.onRead = func(string) error {
			if len(w.load().Intents) > 0 {
				w.units.set(pair.First, pair.Standby)
			}
			return nil
		}
		if err := w.pass(pair.CauseSweep); err != nil {
			t.Fatal(err)
		}
		w.platform.onRead = nil
		w.units.set(pair.First, pair.Active)
		if snap := w.load(); len(snap.Record.Admin) != 0 || len(snap.Record.Moves) != 0 {
			t.Errorf("holds %v and moves %v, want none, because nothing is Down", snap.Record.Admin, snap.Record.Moves)
		}
		w.passes(2)
		if rows, wrote := w.rows(), w.platform.wrote(); !slices.Equal(rows, []string{"healthy", "glimpsed", "suspected", "fence", "fence"}) || len(wrote) != 1 {
			t.Errorf("rows %v and writes %v, want another fence, which is written", rows, wrote)
		}
	})
}

// TestAFenceThatCannotBeDoneIsTakenBack lets every write of a fence go wrong.
func TestAFenceThatCannotBeDoneIsTakenBack(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t)
		w.splitUntilFence()
		w.platform.onBegin = func(_ int, ch pair.AdminChange) (bool, error) {
			return ch.Want == pair.AdminNone, fmt.Errorf("write pool: %w", pair.ErrRefused)
		}
		for range 40 { // the waits between the attempts double
			if err := w.pass(pair.CauseSweep); err != nil {
				t.Fatal(err)
			}
			time.Sleep(5 * time.Second)
		}
		if n := w.platform.begun; n == 0 || n > control.AttemptsMax {
			t.Errorf("%d writes were tried, want at most %d", n, control.AttemptsMax)
		}
		w.platform.onBegin = nil
		if snap := w.load(); len(snap.Record.Admin)+len(snap.Intents) != 0 {
			t.Errorf("holds %v, intents %v; want none, because nothing was sent", snap.Record.Admin, snap.Intents)
		}
		if got := w.platform.wrote(); len(got) != 0 {
			t.Errorf("writes %v, want none", got)
		}
		if events, _ := w.topic.received(); !slices.Contains(events, "tandem.pair.action-abandoned") {
			t.Errorf("published %v, want the fence to be abandoned", events)
		}
	})
}

// TestAPoolThatIsGoneKeepsNoOtherFenced takes one of two pools away while the
// fence stands: the other one must be released all the same.
func TestAPoolThatIsGoneKeepsNoOtherFenced(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, twoPools)
		w.splitUntilFence()
		w.passes(1)
		w.platform.by(func() { delete(w.platform.pools, "ilb/pool") })
		w.heal()
		w.passes(6)
		if got := w.platform.states(); len(got) != 0 {
			t.Errorf("admin states %v, want the remaining pool to be released", got)
		}
		if h := w.load().Record.Admin; len(h) != 0 {
			t.Errorf("holds %v, want none: where the load balancer was read and the pool is not there, nothing stands", h)
		}
	})
}

// TestAReleaseIsDoneThoughTheDefinitionNamesThePoolNoMore changes the pair
// while a fence stands.
func TestAReleaseIsDoneThoughTheDefinitionNamesThePoolNoMore(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t)
		w.splitUntilFence()
		w.passes(1)
		d := definition()
		d.LoadBalancers[0].Name = "new"
		w.platform.by(func() {
			w.platform.pools["new/pool"] = &pool{name: "pool", admin: map[netip.Addr]pair.AdminState{firstAddr: pair.AdminNone, secondAddr: pair.AdminNone}}
		})
		w.define(d)
		w.heal()
		w.passes(6)
		if got := w.platform.states(); len(got) != 0 {
			t.Errorf("admin states %v, want none", got)
		}
	})
}

// TestAFrozenWorkerNeverWrites stops a worker between its last look and its
// write, for longer than its lease. Another worker takes over and takes a newer
// epoch; then the frozen one wakes up (promise 1).
func TestAFrozenWorkerNeverWrites(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t)
		w.splitUntilFence()
		thaw := make(chan struct{})
		frozen := w.controller(&effects{}, func(o *control.Options) {
			o.Worker, o.Budget, o.Lease = "frozen", time.Hour, 2*time.Hour // its timers are frozen as well
			o.Store = &shortLease{o.Store}
			o.Checks = &freezing{Checks: o.Checks, at: func() bool { return len(w.load().Intents) > 0 }, until: thaw}
		})
		result := make(chan error)
		go func() {
			result <- frozen.Pass(context.WithoutCancel(t.Context()), edge, pair.Cause{Kind: pair.CauseVM})
		}()
		synctest.Wait()
		if snap := w.load(); len(snap.Intents) != 1 || snap.Record.Lease.Owner != "frozen" {
			t.Fatalf("intents %v, lease %v: the worker is not where it should freeze", snap.Intents, snap.Record.Lease)
		}
		epoch := w.load().Record.Epoch
		time.Sleep(40 * time.Second) // its lease and the others' patience are over
		w.heal()
		w.passes(70) // the frozen write may still come, which is watched for five minutes
		if now := w.load().Record; now.Epoch <= epoch || len(now.Admin) != 0 {
			t.Fatalf("epoch %d, holds %v: the other worker did not take over", now.Epoch, now.Admin)
		}
		written := w.platform.begun
		close(thaw)
		if err := <-result; !errors.Is(err, pair.ErrLeaseLost) && !errors.Is(err, pair.ErrStaleEpoch) {
			t.Errorf("the frozen worker's pass: %v, want that it lost the pair", err)
		}
		if w.platform.begun != written || len(w.platform.states()) != 0 {
			t.Errorf("the frozen worker wrote: %v", w.platform.wrote())
		}
		if snap := w.load(); snap.Record.Admin != nil || len(snap.Intents) != 0 {
			t.Errorf("the frozen worker left %v and %v in the store", snap.Record.Admin, snap.Intents)
		}
	})
}

// TestALeaseThatWasNotGivenBackKeepsNobodyOfTheSameProcessWaiting: a fault of the
// store at the end of one pass must not hold up the release of the next.
func TestALeaseThatWasNotGivenBackKeepsNobodyOfTheSameProcessWaiting(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, believing)
		keeps := &keepsLease{}
		c := w.controller(&effects{}, func(o *control.Options) { keeps.Store, o.Store = o.Store, keeps })
		look := func() { _ = c.Pass(t.Context(), edge, pair.Cause{Kind: pair.CauseSweep}) }
		look()
		w.split()
		look()
		if len(w.platform.states()) != 1 || w.load().Record.Lease.Owner == "" {
			t.Fatalf("admin states %v, lease %+v; want a fence and a lease that is left", w.platform.states(), w.load().Record.Lease)
		}
		w.units.set(pair.First, pair.StateUnknown)
		time.Sleep(5 * time.Second)
		look()
		if got := w.platform.states(); len(got) != 0 {
			t.Errorf("admin states %v after the next pass, want none", got)
		}
	})
}

// keepsLease is a store that does not answer when a lease is given back.
type keepsLease struct{ control.Store }

func (*keepsLease) ReleaseLease(context.Context, pair.Snapshot, string) (pair.Snapshot, error) {
	return pair.Snapshot{}, pair.ErrUnreachable
}

// shortLease is a store that grants a lease for half a minute.
type shortLease struct{ control.Store }

func (s *shortLease) AcquireLease(ctx context.Context, snap pair.Snapshot, owner string, now time.Time, _ time.Duration) (pair.Snapshot, error) {
	return s.Store.AcquireLease(ctx, snap, owner, now, 30*time.Second)
}

// freezing stops a worker in front of an answer of a check port.
type freezing struct {
	control.Checks
	at    func() bool
	until chan struct{}
	froze atomic.Bool
}

func (f *freezing) CheckPort(ctx context.Context, addr netip.AddrPort) pair.CheckSeen {
	if f.froze.Load() || f.at() {
		f.froze.Store(true)
		<-f.until
		return pair.CheckSeen{Answer: pair.CheckServing} // nothing but the lease speaks against its write
	}
	return f.Checks.CheckPort(ctx, addr)
}

// TestTwoWorkersMakeOneFence lets two workers look at the same split at the
// same moment, again and again.
func TestTwoWorkersMakeOneFence(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t)
		w.platform.takes = 3 * time.Second
		w.splitUntilFence()
		other := w.controller(&effects{})
		for range 5 {
			var both sync.WaitGroup
			for _, c := range []*control.Controller{w.waker.Controller, other} {
				both.Go(func() {
					err := c.Pass(t.Context(), edge, pair.Cause{Kind: pair.CauseVM})
					if err != nil && !errors.Is(err, pair.ErrLeaseLost) && !errors.Is(err, pair.ErrConflict) && !errors.Is(err, pair.ErrStaleEpoch) {
						t.Errorf("pass: %v", err)
					}
				})
			}
			both.Wait()
			time.Sleep(5 * time.Second)
		}
		if got := w.platform.wrote(); !slices.Equal(got, []string{"pool Down"}) {
			t.Errorf("writes %v, want one Down", got)
		}
		fences := 0
		for _, row := range w.rows() {
			if row == "fence" {
				fences++
			}
		}
		if fences != 1 || len(w.load().Record.Moves) != 1 {
			t.Errorf("%d fences and %d moves, want one of each; rows %v", fences, len(w.load().Record.Moves), w.rows())
		}
		w.kept()
	})
}

// TestAReleaseSupersedesAFenceOnItsWay releases while the Down of the fence may
// still land. Reading None proves nothing then, so the release is written.
func TestAReleaseSupersedesAFenceOnItsWay(t *testing.T) {
	tests := []struct {
		name  string
		fault error // of the fence's write, nil for one that runs
	}{
		{"the fence has a running operation", nil},
		{"the fence's write was not confirmed", pair.ErrUnknownOutcome},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				w := newWorld(t)
				w.platform.takes = 25 * time.Second
				w.splitUntilFence()
				w.platform.onBegin = func(int, pair.AdminChange) (bool, error) { return true, tt.fault }
				_ = w.pass(pair.CauseSweep) // it is not done in this pass
				w.platform.onBegin = nil
				snap := w.load()
				if len(snap.Intents) != 1 || snap.Intents[0].State != pair.IntentBegun || (snap.Intents[0].Token != "") != (tt.fault == nil) {
					t.Fatalf("intents %+v: the fence is not on its way", snap.Intents)
				}
				w.units.set(pair.First, pair.Standby) // the survivor yields
				w.units.set(pair.Second, pair.Active)
				w.run(90 * time.Second)
				if got := w.platform.wrote(); !slices.Equal(got, []string{"pool Down", "pool None"}) {
					t.Errorf("writes %v, want the Down and a None that supersedes it", got)
				}
				if got := w.platform.states(); len(got) != 0 {
					t.Errorf("admin states %v, want none", got)
				}
				w.run(5 * time.Minute) // in which the Down may still come
				if snap := w.load(); len(snap.Record.Admin)+len(snap.Intents) != 0 {
					t.Errorf("holds %v, intents %v; want none", snap.Record.Admin, snap.Intents)
				}
			})
		})
	}
}

// TestTheSurvivorsSilenceReleases is promise 2: a fence ends with its evidence.
func TestTheSurvivorsSilenceReleases(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t)
		w.splitUntilFence()
		w.passes(1)
		w.units.set(pair.First, pair.StateUnknown)
		w.passes(1)
		if got := w.platform.states(); len(got) != 0 {
			t.Errorf("admin states %v after the survivor fell silent, want none", got)
		}
		if rows := w.rows(); rows[len(rows)-1] != "release-survivor" {
			t.Errorf("rows %v, want the release of the survivor's silence last", rows)
		}
	})
}

func TestAnOperationThatIsBusyIsPolledAgainWithItsToken(t *testing.T) {
	for _, fault := range []error{pair.ErrBusy, pair.ErrThrottled, pair.ErrUnreachable} {
		t.Run(fault.Error(), func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				w := newWorld(t)
				w.platform.takes = 3 * time.Second
				w.splitUntilFence()
				w.platform.onPoll = func() error { return fmt.Errorf("poll: %w", fault) }
				if err := w.pass(pair.CauseSweep); err != nil {
					t.Fatal(err)
				}
				if i := w.load().Intents; len(i) != 1 || i[0].Token == "" {
					t.Errorf("intents %+v, want the one with its token", i)
				}
				w.platform.onPoll = nil
				time.Sleep(5 * time.Second)
				if err := w.pass(pair.CauseSweep); err != nil {
					t.Fatal(err)
				}
				if got := w.platform.wrote(); !slices.Equal(got, []string{"pool Down"}) || len(w.load().Intents) != 0 {
					t.Errorf("writes %v, intents %v; want one write, seen and done", got, w.load().Intents)
				}
			})
		})
	}
}

func TestWhatCannotBeReadOrWrittenIsLeftAlone(t *testing.T) {
	tests := []struct {
		name  string
		spoil func(w *world)
		kind  error // of the pass; nil is success
	}{
		{"a pair of a newer release", func(w *world) {
			snap := w.load()
			snap.Record.MinReader = pair.Version + 1
			if _, err := w.store.Commit(w.t.Context(), snap, pair.Change{Record: snap.Record}); err != nil {
				w.t.Fatal(err)
			}
		}, nil},
		{"a store that cannot be read", func(w *world) { w.account.Fail(store.Fault{Reads: pair.ErrUnreachable}) }, pair.ErrUnreachable},
		{"a store that cannot be written", func(w *world) { w.account.Fail(store.Fault{Writes: pair.ErrUnreachable}) }, pair.ErrUnreachable},
		{"a store that confirms no write", func(w *world) { w.account.Fail(store.Fault{Answers: pair.ErrUnreachable}) }, pair.ErrUnknownOutcome},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				w := newWorld(t)
				w.splitUntilFence() // the next pass would fence
				before := w.load()
				tt.spoil(w)
				err := w.pass(pair.CauseVM)
				w.account.Fail(store.Fault{})
				if !errors.Is(err, tt.kind) {
					t.Errorf("pass: %v, want %v", err, tt.kind)
				}
				if w.platform.begun != 0 {
					t.Errorf("the platform was written: %v", w.platform.wrote())
				}
				after, err := w.store.Load(t.Context(), edge)
				if err != nil && !errors.Is(err, pair.ErrTooNew) {
					t.Fatal(err)
				}
				if after.Record.Epoch != before.Record.Epoch || !reflect.DeepEqual(after.Intents, before.Intents) {
					t.Errorf("the store is at epoch %d with %v, want it as it was: epoch %d, %v", after.Record.Epoch, after.Intents, before.Record.Epoch, before.Intents)
				}
			})
		})
	}
}

func TestAPairThatIsGoneIsDropped(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t)
		if err := w.store.Delete(t.Context(), edge); err != nil {
			t.Fatal(err)
		}
		m := pair.Message{V: 1, Kind: "wake", Pairs: []string{edge}, Cause: pair.Cause{Kind: pair.CauseVM}}
		if err := w.waker.Reconcile(t.Context(), m); err != nil {
			t.Errorf("reconcile: %v, want success", err)
		}
		if got := w.messages(); len(got) != 0 {
			t.Errorf("messages %v, want none", got)
		}
	})
}

func TestAPanicInAnAdapterIsAnError(t *testing.T) {
	tests := []struct {
		name  string
		panic func(*world)
	}{
		{"in the appliance's API", func(w *world) { w.units.onReport = func(context.Context) { panic("boom") } }},
		{"in the check port", func(w *world) { w.units.onCheck = func(pair.Role, int) { panic("boom") } }},
		{"in the platform, in the middle of a fence", func(w *world) {
			w.platform.onBegin = func(int, pair.AdminChange) (bool, error) { panic("boom") }
		}},
		{"in the topic", func(w *world) { w.topic.refuse = func([]pair.Post) error { panic("boom") } }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				w := newWorld(t)
				w.splitUntilFence()
				tt.panic(w)
				err := w.pass(pair.CauseSweep)
				if err == nil || !strings.Contains(err.Error(), "panic: boom") {
					t.Errorf("pass: %v, want the panic as an error", err)
				}
				if !strings.Contains(w.log.text(), "panic: boom") {
					t.Error("the line of the pass does not tell of the panic")
				}
				w.units.onReport, w.units.onCheck, w.topic.refuse = nil, nil, nil
				w.platform.onBegin = nil
				if owner := w.load().Record.Lease.Owner; owner != "" {
					t.Errorf("the lease is still held by %s", owner)
				}
				if err := w.pass(pair.CauseSweep); err != nil {
					t.Errorf("the next pass: %v, want success", err)
				}
				if got := w.platform.states(); len(got) != 1 {
					t.Errorf("admin states %v after the next pass, want the fence", got)
				}
			})
		})
	}
}

// TestPassesOverOnePairTakeTurns holds one pass and lets others come.
func TestPassesOverOnePairTakeTurns(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t)
		w.passes(1)
		running, most := 0, 0
		var mu sync.Mutex
		w.units.onReport = func(context.Context) {
			mu.Lock()
			running++
			most = max(most, running)
			mu.Unlock()
			time.Sleep(2 * time.Second)
			mu.Lock()
			running--
			mu.Unlock()
		}
		results := make(chan error, 4)
		pass := func(kind pair.CauseKind) { results <- w.pass(kind) }
		start := time.Now()
		go pass(pair.CauseVM)
		synctest.Wait()
		go pass(pair.CauseSweep)
		if err := <-results; err != nil || time.Since(start) != 0 {
			t.Errorf("a sweep beside a pass: %v after %v, want success at once", err, time.Since(start))
		}
		go pass(pair.CauseVM)
		go pass(pair.CauseResource)
		synctest.Wait()
		go pass(pair.CauseVM) // three are before it, of two seconds each
		var late int
		for range 4 {
			if err := <-results; errors.Is(err, pair.ErrBusy) {
				late++
			} else if err != nil {
				t.Errorf("pass: %v", err)
			}
		}
		if late != 1 {
			t.Errorf("%d passes gave up waiting, want the last one", late)
		}
		if most != 2 { // both units of one pass
			t.Errorf("%d questions at once, want those of one pass", most)
		}
		if took := time.Since(start); took != 6*time.Second {
			t.Errorf("three passes took %v, want 6s one after the other", took)
		}
	})
}

// TestAnObservationCutShortConcludesNothing lets the deadline come while the
// units are asked: what did not answer in time is not down.
func TestAnObservationCutShortConcludesNothing(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t)
		w.passes(1)
		epoch := w.load().Record.Epoch
		w.units.set(pair.First, pair.StateUnknown)
		w.units.set(pair.Second, pair.StateUnknown)
		w.units.onReport = func(ctx context.Context) { <-ctx.Done() }
		m := pair.Message{V: 1, Kind: "wake", Pairs: []string{edge}, Cause: pair.Cause{Kind: pair.CauseVM}}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		if err := w.waker.Reconcile(ctx, m); err != nil {
			t.Fatal(err)
		}
		if rec := w.load().Record; rec.Epoch != epoch || rec.Suspicion != (pair.Suspicion{}) {
			t.Errorf("epoch %d, suspicion %+v; want nothing stored since epoch %d", rec.Epoch, rec.Suspicion, epoch)
		}
		if log := w.log.text(); !strings.Contains(log, "cut short") || strings.Contains(log, "silent") {
			t.Errorf("the log must say that it was cut short and not what it seemed to be:\n%s", log)
		}
		if back := w.putBack(); len(back) != 1 {
			t.Errorf("put back %v, want the message once", back)
		}
	})
}

// TestALeaseIsGivenBackThoughTheTimeIsOver lets a pass run out of time in the
// middle of its work: the next one must not wait for the lease to end.
func TestALeaseIsGivenBackThoughTheTimeIsOver(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, twoPools)
		w.platform.takes = time.Minute
		w.splitUntilFence()
		w.units.onReport = func(context.Context) { time.Sleep(time.Second) }
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		_ = w.waker.Controller.Pass(ctx, edge, pair.Cause{Kind: pair.CauseVM})
		if ctx.Err() == nil || len(w.load().Intents) == 0 {
			t.Fatal("the pass had time enough, the test is wrong")
		}
		if owner := w.load().Record.Lease.Owner; owner != "" {
			t.Errorf("the lease is still held by %s", owner)
		}
	})
}

// TestAPairThatChangedMeanwhileIsLookedAtAgain changes the definition between
// the look and the lease: what was seen then belongs to other units.
func TestAPairThatChangedMeanwhileIsLookedAtAgain(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t)
		w.splitUntilFence()
		d := definition()
		d.Failover.Fence = pair.Never
		once := true
		w.platform.onRead = func(string) error {
			if once {
				once = false
				w.define(d)
			}
			return nil
		}
		before := w.units.of[firstAddr].asked
		if err := w.pass(pair.CauseVM); err != nil {
			t.Fatal(err)
		}
		if got := w.units.of[firstAddr].asked - before; got != 2 {
			t.Errorf("the unit was asked %d times, want once before and once after the change", got)
		}
		if rows := w.rows(); rows[len(rows)-1] != "both-active-policy" || w.platform.begun != 0 {
			t.Errorf("rows %v, writes %v; want that the new policy counts", rows, w.platform.wrote())
		}
	})
}

func TestNewNamesEveryMissingPart(t *testing.T) {
	_, err := control.New(control.Options{Lease: 10 * time.Second})
	if err == nil {
		t.Fatal("made a controller of nothing")
	}
	for _, want := range []string{"Store", "Outbox", "Units", "Checks", "Platform", "Log", "Worker", "lease 10s must be longer"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not speak of %q", err, want)
		}
	}
}
