package control_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"tandem/internal/control"
	"tandem/internal/pair"
)

// trouble is how a store fails one request; it may take its time. With done the
// request is done all the same.
type trouble func(ctx context.Context, request string) (done bool, err error)

// troubled is a store in trouble.
type troubled struct {
	control.Store
	trouble trouble // nil is none
}

func through[T any](ctx context.Context, s *troubled, request string, do func() (T, error)) (T, error) {
	var none T
	if s.trouble == nil {
		return do()
	}
	done, err := s.trouble(ctx, request)
	switch {
	case err == nil:
		return do()
	case done:
		_, _ = do()
	}
	return none, fmt.Errorf("%s: %w", request, err)
}

func (s *troubled) Load(ctx context.Context, name string) (pair.Snapshot, error) {
	return through(ctx, s, "load", func() (pair.Snapshot, error) { return s.Store.Load(ctx, name) })
}

func (s *troubled) AcquireLease(ctx context.Context, snap pair.Snapshot, owner string, now time.Time, ttl time.Duration) (pair.Snapshot, error) {
	return through(ctx, s, "take lease", func() (pair.Snapshot, error) { return s.Store.AcquireLease(ctx, snap, owner, now, ttl) })
}

func (s *troubled) ReleaseLease(ctx context.Context, snap pair.Snapshot, owner string) (pair.Snapshot, error) {
	return through(ctx, s, "give lease back", func() (pair.Snapshot, error) { return s.Store.ReleaseLease(ctx, snap, owner) })
}

func (s *troubled) Commit(ctx context.Context, snap pair.Snapshot, ch pair.Change) (pair.Snapshot, error) {
	return through(ctx, s, "commit", func() (pair.Snapshot, error) { return s.Store.Commit(ctx, snap, ch) })
}

func (s *troubled) Holds(ctx context.Context, snap pair.Snapshot, owner string, now time.Time) error {
	_, err := through(ctx, s, "holds", func() (struct{}, error) { return struct{}{}, s.Store.Holds(ctx, snap, owner, now) })
	return err
}

// fails lets requests fail of which one of the names is given.
func fails(done bool, err error, requests ...string) trouble {
	return func(_ context.Context, request string) (bool, error) {
		if slices.Contains(requests, request) {
			return done, err
		}
		return false, nil
	}
}

// takes lets every request take that long.
func takes(d time.Duration) trouble {
	return func(ctx context.Context, _ string) (bool, error) {
		select {
		case <-time.After(d):
			return false, nil
		case <-ctx.Done():
			return false, fmt.Errorf("%w: %w", pair.ErrUnknownOutcome, ctx.Err())
		}
	}
}

// fenced is a world in which second is fenced by a process whose store can get
// into trouble.
type fenced struct {
	*world
	store *troubled
	c     *control.Controller
}

func newFenced(t *testing.T, change ...func(*pair.Definition)) *fenced {
	t.Helper()
	f := &fenced{world: newWorld(t, append(change, believing)...)}
	f.c = f.controller(&effects{}, func(o *control.Options) {
		f.store = &troubled{Store: o.Store}
		o.Store = f.store
	})
	_ = f.look()
	f.split()
	_ = f.look()
	if len(f.platform.states()) == 0 {
		t.Fatal("no fence")
	}
	return f
}

func (f *fenced) look() error {
	return f.c.Pass(f.t.Context(), edge, pair.Cause{Kind: pair.CauseSweep})
}

// looks makes passes as the sweep does.
func (f *fenced) looks(n int) {
	for range n {
		time.Sleep(15 * time.Second)
		_ = f.look() // the next one is the repeat
	}
}

// TestASurvivorDiesWhileTheStoreIsInTrouble: whatever the store does not do, the
// pass that sees the survivor silent takes the fence back, and when the store is
// well again the record is put right.
func TestASurvivorDiesWhileTheStoreIsInTrouble(t *testing.T) {
	tests := []struct {
		name    string
		trouble trouble
	}{
		{"it cannot be reached", fails(false, pair.ErrUnreachable, "load", "take lease", "give lease back", "commit", "holds")},
		{"it gives no lease, because it can only be read", fails(false, pair.ErrRefused, "take lease", "give lease back", "commit")},
		{"it stores no decision", fails(false, pair.ErrUnreachable, "commit")},
		{"it says nothing of a lease that it gave", fails(true, pair.ErrUnknownOutcome, "take lease")},
		{"it says nothing of a decision that it stored", fails(true, pair.ErrUnknownOutcome, "commit")},
		{"it does not say whether the lease still stands", fails(false, pair.ErrUnreachable, "holds")},
		{"every request takes a second and a half", takes(1500 * time.Millisecond)},
		{"every request takes four seconds", takes(4 * time.Second)},
		{"every request takes a minute", takes(time.Minute)},
		{"the record is too new", fails(false, pair.ErrTooNew, "load")},
		{"the record became too new meanwhile", fails(false, pair.ErrTooNew, "take lease")},
		{"the pair is not there any more", fails(false, pair.ErrNotFound, "load")},
		{"it makes the program panic", func(_ context.Context, request string) (bool, error) {
			if request == "commit" {
				panic("commit")
			}
			return false, nil
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				f := newFenced(t)
				time.Sleep(10 * time.Second)
				f.store.trouble = tt.trouble
				f.units.set(pair.First, pair.StateUnknown)
				f.units.onReport = func(context.Context) { time.Sleep(5 * time.Second) } // as an API that is silent
				began := time.Now()
				_ = f.look()
				if got := f.platform.states(); len(got) != 0 {
					t.Fatalf("admin states %v after one pass, want none\n%s", got, f.log.text())
				}
				if took := time.Since(began); took > 20*time.Second+2*time.Second {
					t.Errorf("the pass took %v", took)
				}
				f.looks(8)
				if got := f.platform.wrote(); !slices.Equal(got, []string{"pool Down", "pool None"}) {
					t.Errorf("wrote %v, want None once", got)
				}
				if n := strings.Count(f.log.text(), "second is None in ilb/pool, without the store"); n > 1 {
					t.Errorf("told %d times that it was seen", n)
				}
				f.store.trouble = nil
				f.looks(20)
				if snap := f.load(); len(snap.Record.Admin)+len(snap.Intents) != 0 || f.platform.tags[pair.TagName(edge)] != "" {
					t.Errorf("holds %v, intents %v, tags %v: not put right; rows %v", snap.Record.Admin, snap.Intents, f.platform.tags, f.rows())
				}
				f.kept()
			})
		})
	}
}

// TestASurvivorThatDiesDuringThePassIsFoundOut: what was decided rested on its
// answer, and the store took its time to fail.
func TestASurvivorThatDiesDuringThePassIsFoundOut(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f := newFenced(t)
		time.Sleep(pair.FenceFor/2 + time.Second) // to be renewed
		f.store.trouble = func(_ context.Context, request string) (bool, error) {
			if request == "commit" {
				f.units.set(pair.First, pair.StateUnknown)
				return false, pair.ErrUnreachable
			}
			return false, nil
		}
		_ = f.look()
		if got := f.platform.states(); len(got) != 0 {
			t.Errorf("admin states %v, want none", got)
		}
	})
}

// TestWhatSomebodySetToNoneIsLeft: a fence that was in place and is not is not
// on its way.
func TestWhatSomebodySetToNoneIsLeft(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f := newFenced(t)
		f.store.trouble = fails(false, pair.ErrUnreachable, "load")
		f.platform.pools["ilb/pool"].admin[secondAddr] = pair.AdminNone
		f.units.set(pair.First, pair.StateUnknown)
		f.looks(2)
		if got := f.platform.wrote(); len(got) != 1 {
			t.Errorf("wrote %v", got)
		}
	})
}

// TestALeverProofOutlastsAFaultOfTheStore: the table has judged that it stands.
func TestALeverProofOutlastsAFaultOfTheStore(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, believing)
		store := &troubled{}
		c := w.controller(&effects{}, func(o *control.Options) {
			store.Store = o.Store
			o.Store = store
		})
		look := func() { _ = c.Pass(t.Context(), edge, pair.Cause{Kind: pair.CauseSweep}) }
		look()
		w.platform.slowHealth, w.platform.proving = true, true
		w.amend(func(rec *pair.Record) { rec.Prove = &pair.Request{By: "ann", At: time.Now()} })
		look()
		if len(w.platform.states()) != 1 {
			t.Fatalf("no proof; rows %v", w.rows())
		}
		store.trouble = fails(false, pair.ErrUnreachable, "take lease")
		time.Sleep(15 * time.Second)
		look()
		if got := w.platform.states(); len(got) != 1 {
			t.Errorf("admin states %v, want the proof's Down", got)
		}
	})
}

// TestAFenceWithoutAStoreStandsByProofAndUntilItsDeadline: while the survivor
// serves nothing is taken back, and its time is not longer for that.
func TestAFenceWithoutAStoreStandsByProofAndUntilItsDeadline(t *testing.T) {
	for name, requests := range map[string][]string{
		"the store cannot be reached":  {"load"},
		"it says nothing but too new":  {"too new"},
		"the lease cannot be taken":    {"take lease"},
		"nothing of it can be written": {"take lease", "commit", "give lease back"},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				f := newFenced(t)
				f.store.trouble = fails(false, pair.ErrUnreachable, requests...)
				if requests[0] == "too new" {
					f.store.trouble = fails(false, pair.ErrTooNew, "load")
				}
				f.looks(2)
				if got := f.platform.states(); len(got) != 1 {
					t.Fatalf("admin states %v, want the fence: its survivor serves", got)
				}
				f.looks(7)
				if got := f.platform.states(); len(got) != 0 {
					t.Errorf("admin states %v two minutes later, want none", got)
				}
			})
		})
	}
}

// TestAFenceThatAnotherReleaseRenewsIsItsOwn: this process remembers an older
// deadline, and the tag tells the newer one.
func TestAFenceThatAnotherReleaseRenewsIsItsOwn(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f := newFenced(t)
		f.store.trouble = fails(false, pair.ErrTooNew, "load")
		until := time.Now().Add(3*time.Minute + 30*time.Second)
		f.platform.tags[pair.TagName(edge)] = "second is Down until " + until.UTC().Format(time.RFC3339) + " by decision 41 (fence) of tandem"
		f.looks(12)
		if got := f.platform.states(); len(got) != 1 {
			t.Fatalf("admin states %v, want the fence of the other release", got)
		}
		f.looks(4)
		if got := f.platform.states(); len(got) != 0 {
			t.Errorf("admin states %v, want none: the tag's time is over too", got)
		}
	})
}

// TestATagOfAClockThatWasAheadKeepsNoFence: its deadline is farther ahead than
// anybody sets one.
func TestATagOfAClockThatWasAheadKeepsNoFence(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f := newFenced(t)
		f.store.trouble = fails(false, pair.ErrTooNew, "load")
		f.platform.tags[pair.TagName(edge)] = "second is Down until " + time.Now().Add(time.Hour).UTC().Format(time.RFC3339) + " by decision 41 (fence) of tandem"
		f.looks(9)
		if got := f.platform.states(); len(got) != 0 {
			t.Errorf("admin states %v, want none", got)
		}
	})
}

// TestAFenceWithoutATag: where tags cannot be written, the pool's version tells
// whether the Down is still ours.
func TestAFenceWithoutATag(t *testing.T) {
	for _, changed := range []bool{false, true} {
		t.Run(fmt.Sprintf("the pool was written since: %v", changed), func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				f := newFenced(t, twoPools)
				clear(f.platform.tags)
				f.looks(1) // the store vouches for what is read
				f.store.trouble = fails(false, pair.ErrUnreachable, "load")
				f.units.set(pair.First, pair.StateUnknown)
				if changed {
					f.platform.pools["ilb/pool"].version++
				}
				f.looks(2)
				got := f.platform.states()
				if _, left := got["ilb/pool/second"]; left != changed || len(got) > 1 {
					t.Errorf("admin states %v\n%s", got, f.log.text())
				}
				if refused := strings.Contains(f.log.text(), "neither a tag of the load balancer nor the pool's version"); refused != changed {
					t.Errorf("the log says that it is not known whose it is: %v", refused)
				}
			})
		})
	}
}

// TestAFenceOnItsWayIsSuperseded: what was accepted and is not there yet would
// come when nobody looks any more. One write is enough.
func TestAFenceOnItsWayIsSuperseded(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f := &fenced{world: newWorld(t, believing)}
		f.c = f.controller(&effects{}, func(o *control.Options) {
			f.store = &troubled{Store: o.Store}
			o.Store = f.store
		})
		f.platform.takes = time.Minute
		_ = f.look()
		f.split()
		_ = f.look()
		if got := f.platform.wrote(); !slices.Equal(got, []string{"pool Down"}) {
			t.Fatalf("wrote %v, want the fence", got)
		}
		f.store.trouble = fails(false, pair.ErrUnreachable, "load")
		f.units.set(pair.First, pair.StateUnknown)
		f.looks(8)
		if got := f.platform.wrote(); !slices.Equal(got, []string{"pool Down", "pool None"}) {
			t.Errorf("wrote %v, want None once over the Down that is on its way", got)
		}
		f.platform.pools["ilb/pool"].admin[secondAddr] = pair.AdminDown // it came all the same
		f.looks(6)
		if got := f.platform.states(); len(got) != 0 {
			t.Errorf("admin states %v", got)
		}
	})
}

// TestAWriteWithoutTheStoreIsLeftToRun: a second one would cancel the first, and
// one that failed is made again.
func TestAWriteWithoutTheStoreIsLeftToRun(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f := newFenced(t)
		f.platform.takes = 40 * time.Second
		f.store.trouble = fails(false, pair.ErrUnreachable, "load")
		f.units.set(pair.First, pair.StateUnknown)
		f.looks(2)
		f.platform.by(func() {
			for _, o := range f.platform.ops {
				if !o.done {
					o.ended, o.pool.running = pair.ErrSuperseded, nil
				}
			}
		})
		f.looks(6)
		if got := f.platform.wrote(); !slices.Equal(got, []string{"pool Down", "pool None", "pool None"}) {
			t.Errorf("wrote %v, want None again once, after it was superseded", got)
		}
		if got := f.platform.states(); len(got) != 0 {
			t.Errorf("admin states %v", got)
		}
		if n := strings.Count(f.log.text(), "second is None in ilb/pool, without the store"); n != 1 {
			t.Errorf("told %d times that it was seen, want once", n)
		}
	})
}

// TestWhatIsNotUrgentWaitsForTheStoreOnce: a release that one fault of the store
// held up is stored by the next pass, and nobody is blamed for it; one that a
// store holds up for long is not.
func TestWhatIsNotUrgentWaitsForTheStoreOnce(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f := newFenced(t)
		f.amend(func(rec *pair.Record) { rec.Pause = &pair.Pause{Owner: "ann", Reason: "work"} })
		f.store.trouble = fails(false, pair.ErrUnreachable, "take lease")
		f.looks(1)
		if got := f.platform.states(); len(got) != 1 {
			t.Fatalf("admin states %v after one fault, want the fence", got)
		}
		f.looks(2)
		if got := f.platform.states(); len(got) != 0 {
			t.Errorf("admin states %v after three faults, want none", got)
		}
	})
	inBubble(t, func(t *testing.T) {
		f := newFenced(t)
		f.amend(func(rec *pair.Record) { rec.Pause = &pair.Pause{Owner: "ann", Reason: "work"} })
		f.store.trouble = fails(false, pair.ErrUnreachable, "take lease")
		f.looks(1)
		f.store.trouble = nil
		f.looks(3)
		if got := f.platform.states(); len(got) != 0 || slices.Contains(f.rows(), "fence-erased") {
			t.Errorf("admin states %v, rows %v", got, f.rows())
		}
	})
}

// TestAStoreThatCannotBeWrittenMakesBlind: loudly, once, and what the process has
// set goes.
func TestAStoreThatCannotBeWrittenMakesBlind(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, believing)
		store := &troubled{}
		c := w.controller(&effects{}, func(o *control.Options) {
			store.Store = o.Store
			o.Store = store
		})
		look := func() { _ = c.Pass(t.Context(), edge, pair.Cause{Kind: pair.CauseSweep}) }
		look()
		store.trouble = fails(false, pair.ErrRefused, "commit")
		w.split()
		for range 6 {
			time.Sleep(10 * time.Second)
			look()
		}
		if n := strings.Count(w.log.text(), `level=ERROR msg="the store failed again and again`); n != 1 {
			t.Errorf("said %d times that the store fails, want once:\n%s", n, w.log.text())
		}
		store.trouble = nil
		time.Sleep(10 * time.Second)
		look()
		if rows := w.rows(); len(w.platform.wrote()) != 0 || !slices.Contains(rows, "blind") {
			t.Errorf("rows %v, wrote %v; want to be blind and do nothing for a minute", rows, w.platform.wrote())
		}
	})
}

// TestALeaseThatACutPassLeftIsInNobodysWay: the store gives the lease and says so
// too late, and the next pass of the process is not held up by it.
func TestALeaseThatACutPassLeftIsInNobodysWay(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f := newFenced(t)
		f.store.trouble = func(ctx context.Context, request string) (bool, error) {
			if request == "commit" || request == "give lease back" {
				<-ctx.Done()
				return false, fmt.Errorf("%w: %w", pair.ErrUnknownOutcome, ctx.Err())
			}
			return false, nil
		}
		f.units.set(pair.First, pair.StateUnknown)
		_ = f.look()
		if owner := f.load().Record.Lease.Owner; owner == "" {
			t.Fatal("no lease was left, the test is wrong")
		}
		f.store.trouble = nil
		if err := f.look(); err != nil {
			t.Errorf("the next pass: %v", err)
		}
		if rec := f.load().Record; !slices.Contains(f.rows(), "release-expired") || rec.Lease.Owner != "" {
			t.Errorf("rows %v, lease %+v", f.rows(), rec.Lease)
		}
	})
}

// TestWhatAnotherPassIsAtWorkOnIsLeftToIt: its lease is a reason to do nothing,
// and no fault of the store.
func TestWhatAnotherPassIsAtWorkOnIsLeftToIt(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f := newFenced(t)
		if _, err := f.world.store.AcquireLease(t.Context(), f.load(), "another", time.Now(), 30*time.Second); err != nil {
			t.Fatal(err)
		}
		f.units.set(pair.First, pair.StateUnknown)
		if err := f.look(); err != nil {
			t.Error(err)
		}
		if err := f.c.Pass(t.Context(), edge, pair.Cause{Kind: pair.CauseVM}); !errors.Is(err, pair.ErrLeaseLost) {
			t.Errorf("a pass with evidence: %v, want that the lease is another's, to be put back", err)
		}
		if got := f.platform.wrote(); len(got) != 1 {
			t.Errorf("wrote %v beside the holder of the lease", got)
		}
		f.looks(3)
		if got := f.platform.states(); len(got) != 0 {
			t.Errorf("admin states %v when its lease is over, want none", got)
		}
	})
}

// TestAPairThatIsGoneLeavesNothingBehind: nobody would ever renew the fence or
// take it back.
func TestAPairThatIsGoneLeavesNothingBehind(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f := newFenced(t)
		f.store.trouble = fails(false, pair.ErrNotFound, "load")
		if err := f.look(); !errors.Is(err, pair.ErrNotFound) {
			t.Errorf("the pass that writes None: %v, want to come back and see it", err)
		}
		if err := f.look(); err != nil || len(f.platform.states()) != 0 {
			t.Errorf("then: %v, admin states %v", err, f.platform.states())
		}
		if got := f.c.Standing(); len(got) != 0 {
			t.Errorf("%v are remembered", got)
		}
	})
}

// TestNobodyIsBlamedForWhatWasTakenBackWithoutTheStore: the survivor comes back
// and the link is cut still, and the process knows who took the fence away.
func TestNobodyIsBlamedForWhatWasTakenBackWithoutTheStore(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f := newFenced(t)
		f.store.trouble = fails(false, pair.ErrUnreachable, "take lease")
		f.units.set(pair.First, pair.StateUnknown)
		f.looks(1)
		f.units.set(pair.First, pair.Active)
		f.looks(2)
		f.store.trouble = nil
		f.looks(8)
		if rows := f.rows(); slices.Contains(rows, "fence-again") || slices.Contains(rows, "fence-erased") || !slices.Contains(rows, "release-expired") {
			t.Errorf("rows %v", rows)
		}
		if snap := f.load(); len(snap.Record.Admin)+len(snap.Intents) != 0 {
			t.Errorf("holds %v, intents %v", snap.Record.Admin, snap.Intents)
		}
	})
}

// slowIndex lists who is due too late.
type slowIndex struct{ control.Index }

func (slowIndex) Due(ctx context.Context, _ time.Time) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		<-ctx.Done()
		yield("", fmt.Errorf("list: %w: %w", pair.ErrUnreachable, ctx.Err()))
	}
}

// TestASweepLooksAtWhatStandsWhenTheIndexIsSlow: it must not lose its time with
// the question who is due.
func TestASweepLooksAtWhatStandsWhenTheIndexIsSlow(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f := newFenced(t)
		f.store.trouble = takes(time.Minute)
		f.units.set(pair.First, pair.StateUnknown)
		w := &control.Waker{Index: slowIndex{}, Queue: f.world.store, Controller: f.c, Log: slog.New(f.log)}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		if err := w.Sweep(ctx); !errors.Is(err, pair.ErrUnreachable) {
			t.Errorf("sweep: %v, want that the index was not reached", err)
		}
		if got := f.platform.states(); len(got) != 0 {
			t.Errorf("admin states %v, want none\n%s", got, f.log.text())
		}
	})
}
