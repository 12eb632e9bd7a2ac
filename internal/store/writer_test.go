package store

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"tandem/internal/pair"
)

const sharedBalancer = pair.ResourceID("/subscriptions/1/resourceGroups/RG edge/providers/Microsoft.Network/loadBalancers/ilb-edge")

func become(t *testing.T, s *Store, owner, name string, rank pair.Rank, now time.Time) pair.Writer {
	t.Helper()
	w, err := s.AcquireWriter(t.Context(), sharedBalancer, pair.Writer{Owner: owner, Pair: name, Rank: rank}, now, ttl)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// kept asks to become the writer, which must be refused, and returns for how
// long.
func kept(t *testing.T, s *Store, owner, name string, rank pair.Rank, now time.Time) time.Duration {
	t.Helper()
	_, err := s.AcquireWriter(t.Context(), sharedBalancer, pair.Writer{Owner: owner, Pair: name, Rank: rank}, now, ttl)
	wantKind(t, err, pair.ErrBusy)
	return pair.RetryAfter(err, 0)
}

func testWriter(t *testing.T, a account) {
	ctx := t.Context()
	one := become(t, a.Store, "w1", "edge-a", pair.RankRepair, noon)
	want := pair.Writer{
		Resource: pair.NewResourceID(string(sharedBalancer)), Owner: "w1", Pair: "edge-a", Rank: pair.RankRepair, Until: noon.Add(ttl), Generation: 1,
	}
	diff(t, one, want)
	if err := a.HoldsWriter(ctx, one, noon.Add(ttl-time.Millisecond)); err != nil {
		t.Error(err)
	}
	wantKind(t, a.HoldsWriter(ctx, one, noon.Add(ttl)), pair.ErrBusy)

	diff(t, kept(t, a.Store, "w2", "edge-b", pair.RankRepair, noon.Add(time.Second)), ttl+LeaseSkew-time.Second)
	text := fmt.Sprint(a.HoldsWriter(ctx, pair.Writer{Resource: one.Resource, Owner: "w2", Pair: "edge-b", Rank: pair.RankRepair, Generation: 1}, noon))
	if !strings.Contains(text, "ilb-edge: pair edge-a writes to it for repair until 2026-11-22T12:00:30Z") {
		t.Errorf("got %q, want who writes", text)
	}

	// A fence takes it at once; an equal one and any repair wait for it.
	fence := become(t, a.Store, "w3", "edge-c", pair.RankFence, noon.Add(time.Second))
	if fence.Generation != 2 {
		t.Errorf("got generation %d, want 2", fence.Generation)
	}
	err := a.HoldsWriter(ctx, one, noon.Add(time.Second))
	wantKind(t, err, pair.ErrBusy)
	if errors.Is(err, pair.ErrLeaseLost) {
		t.Error("a worker that lost a resource still has its pair")
	}
	diff(t, pair.RetryAfter(err, 0), ttl+LeaseSkew)
	diff(t, kept(t, a.Store, "w4", "edge-d", pair.RankFence, noon.Add(time.Second)), ttl+LeaseSkew)
	diff(t, kept(t, a.Store, "w3", "edge-c", pair.RankRepair, noon.Add(time.Second)), ttl+LeaseSkew) // nor does it lower itself
	if err := a.ReleaseWriter(ctx, one); err != nil {                                                // has nothing to let go
		t.Error(err)
	}
	if err := a.HoldsWriter(ctx, fence, noon.Add(time.Second)); err != nil {
		t.Error(err)
	}

	// Another worker of the same pair goes on with what the first began.
	again := become(t, a.Store, "w5", "edge-c", pair.RankFence, noon.Add(2*time.Second))
	wantKind(t, a.HoldsWriter(ctx, fence, noon.Add(2*time.Second)), pair.ErrBusy)

	// The same worker as well, and of two of one name only the later one holds.
	last := become(t, a.Store, "w5", "edge-c", pair.RankFence, noon.Add(2*time.Second))
	forged := last
	forged.Owner = "w6"
	for _, w := range []pair.Writer{again, forged} {
		wantKind(t, a.HoldsWriter(ctx, w, noon.Add(2*time.Second)), pair.ErrBusy)
		if err := a.ReleaseWriter(ctx, w); err != nil {
			t.Error(err)
		}
	}
	if err := a.HoldsWriter(ctx, last, noon.Add(2*time.Second)); err != nil {
		t.Error(err)
	}
	if err := a.ReleaseWriter(ctx, last); err != nil {
		t.Fatal(err)
	}
	wantKind(t, a.HoldsWriter(ctx, last, noon.Add(2*time.Second)), pair.ErrBusy)
	if next := become(t, a.Store, "w1", "edge-a", pair.RankRepair, noon.Add(2*time.Second)); next.Generation != 5 {
		t.Errorf("got generation %d, want 5: it never falls", next.Generation)
	}
}

func testWriterDies(t *testing.T, a account) {
	dead := become(t, a.Store, "w1", "edge-a", pair.RankFence, noon)
	for _, rank := range []pair.Rank{pair.RankRepair, pair.RankFence} {
		diff(t, kept(t, a.Store, "w2", "edge-b", rank, noon.Add(ttl+LeaseSkew-time.Millisecond)), time.Millisecond)
	}
	next := become(t, a.Store, "w2", "edge-b", pair.RankRepair, noon.Add(ttl+LeaseSkew))
	wantKind(t, a.HoldsWriter(t.Context(), dead, noon), pair.ErrBusy)
	if err := a.ReleaseWriter(t.Context(), dead); err != nil {
		t.Error(err)
	}
	if err := a.HoldsWriter(t.Context(), next, noon.Add(ttl+LeaseSkew)); err != nil {
		t.Error(err)
	}
	// What a clock took that was ahead binds nobody.
	become(t, a.Store, "w3", "edge-b", pair.RankRepair, noon.Add(time.Hour))
	become(t, a.Store, "w1", "edge-a", pair.RankRepair, noon)
}

func testWriterRefused(t *testing.T, a account) {
	ctx := t.Context()
	good := pair.Writer{Owner: "w1", Pair: "edge-a", Rank: pair.RankRepair}
	for name, w := range map[string]pair.Writer{
		"no owner":        {Pair: "edge-a", Rank: pair.RankRepair},
		"no pair":         {Owner: "w1", Rank: pair.RankRepair},
		"no rank":         {Owner: "w1", Pair: "edge-a"},
		"a rank too high": {Owner: "w1", Pair: "edge-a", Rank: pair.RankFence + 1},
		"a long owner":    {Owner: strings.Repeat("w", maxKey+1), Pair: "edge-a", Rank: pair.RankRepair},
	} {
		if _, err := a.AcquireWriter(ctx, sharedBalancer, w, noon, ttl); !errors.Is(err, pair.ErrInvalid) {
			t.Errorf("%s: got %v, want %v", name, err, pair.ErrInvalid)
		}
	}
	for _, ttl := range []time.Duration{0, -time.Second, MaxHold + time.Millisecond} {
		_, err := a.AcquireWriter(ctx, sharedBalancer, good, noon, ttl)
		wantKind(t, err, pair.ErrInvalid)
	}
	_, err := a.AcquireWriter(ctx, "", good, noon, ttl)
	wantKind(t, err, pair.ErrInvalid)
	_, err = a.AcquireWriter(ctx, pair.ResourceID(strings.Repeat("x", maxKey+1)), good, noon, ttl)
	wantKind(t, err, pair.ErrTooLarge)
	wantKind(t, a.HoldsWriter(ctx, pair.Writer{Resource: sharedBalancer, Generation: 1, Owner: "w1"}, noon), pair.ErrBusy)
	if err := a.ReleaseWriter(ctx, pair.Writer{Resource: sharedBalancer, Generation: 1, Owner: "w1"}); err != nil {
		t.Error(err)
	}
	// The longest time is honoured also by a clock that is behind.
	if _, err := a.AcquireWriter(ctx, sharedBalancer, good, noon, MaxHold); err != nil {
		t.Fatal(err)
	}
	diff(t, kept(t, a.Store, "w2", "edge-b", pair.RankRepair, noon.Add(-LeaseSkew)), pair.LeaseMax+LeaseSkew)
}

func testWriterRace(t *testing.T, a account) {
	const workers = 30
	won := make([]pair.Writer, workers)
	var all sync.WaitGroup
	for i := range workers {
		all.Go(func() {
			w, err := a.AcquireWriter(context.Background(), sharedBalancer, pair.Writer{Owner: fmt.Sprintf("w%d", i), Pair: fmt.Sprintf("edge-%d", i), Rank: pair.RankRepair}, noon, ttl)
			if won[i] = w; err != nil && (!errors.Is(err, pair.ErrBusy) || pair.RetryAfter(err, 0) == 0) {
				t.Errorf("worker %d: %v", i, err)
			}
		})
	}
	all.Wait()
	holders := 0
	for _, w := range won {
		if w.Owner != "" && a.HoldsWriter(t.Context(), w, noon) == nil {
			holders++
		}
	}
	_, stands, err := a.writer(t.Context(), pair.NewResourceID(string(sharedBalancer)))
	if err != nil || holders != 1 || stands.Value.Generation != 1 {
		t.Errorf("%d hold it, at generation %d (%v), want one at generation 1", holders, stands.Value.Generation, err)
	}
}

// TestInNoOrderOfRequestsAreThereTwoWriters has workers of three pairs, whose
// clocks differ as much as they may, ask for one resource at the same time, in
// every order of their requests: one is the writer, and the others wait.
func TestInNoOrderOfRequestsAreThereTwoWriters(t *testing.T) {
	orders := everySchedule(func(pick func(int) int) {
		e := NewEmbedded(EmbeddedOptions{})
		var workers []func(func(context.Context, bool) error)
		var writers, waiting int
		for i := range 3 {
			now := noon.Add(time.Duration(i-1) * LeaseSkew / 2)
			workers = append(workers, func(gate func(context.Context, bool) error) {
				s := e.Store(HandleOptions{Gate: gate})
				w, err := s.AcquireWriter(t.Context(), sharedBalancer, pair.Writer{Owner: fmt.Sprint("w", i), Pair: fmt.Sprint("edge-", i), Rank: pair.RankRepair}, now, ttl)
				switch {
				case err == nil && s.HoldsWriter(t.Context(), w, now) == nil:
					writers++
				case errors.Is(err, pair.ErrBusy) && pair.RetryAfter(err, 0) > 0:
					waiting++
				default:
					t.Errorf("worker %d: %v", i, err)
				}
			})
		}
		schedule(pick, workers...)
		if writers != 1 || waiting != 2 {
			t.Errorf("%d write and %d wait, want 1 and 2", writers, waiting)
		}
	})
	if orders < 90 {
		t.Errorf("%d orders were tried, want all", orders)
	}
}

// TestInEveryOrderOfRequestsAFenceWrites has a repair and a fence ask, check and
// let go, in every order of their requests: the fence never waits, and nobody is
// confirmed once a later one was.
func TestInEveryOrderOfRequestsAFenceWrites(t *testing.T) {
	orders := everySchedule(func(pick func(int) int) {
		e := NewEmbedded(EmbeddedOptions{})
		var confirmed []pair.Writer
		worker := func(i int, rank pair.Rank) func(func(context.Context, bool) error) {
			return func(gate func(context.Context, bool) error) {
				s := e.Store(HandleOptions{Gate: gate})
				w, err := s.AcquireWriter(t.Context(), sharedBalancer, pair.Writer{Owner: fmt.Sprint("w", i), Pair: fmt.Sprint("edge-", i), Rank: rank}, noon, ttl)
				if err == nil {
					if err = s.HoldsWriter(t.Context(), w, noon); err == nil {
						confirmed = append(confirmed, w)
					}
				}
				if err != nil && (rank == pair.RankFence || !errors.Is(err, pair.ErrBusy)) {
					t.Errorf("%s: %v", rank, err)
				}
				if err := s.ReleaseWriter(t.Context(), w); w.Owner != "" && err != nil {
					t.Error(err)
				}
			}
		}
		schedule(pick, worker(0, pair.RankRepair), worker(1, pair.RankFence))
		for i := 1; i < len(confirmed); i++ {
			if confirmed[i].Generation <= confirmed[i-1].Generation {
				t.Errorf("generation %d was confirmed after %d", confirmed[i].Generation, confirmed[i-1].Generation)
			}
		}
		_, stands, err := e.Store(HandleOptions{}).writer(t.Context(), pair.NewResourceID(string(sharedBalancer)))
		if err != nil || stands.Value.Owner != "" {
			t.Errorf("%+v is left (%v), want nobody", stands.Value, err)
		}
	})
	if orders < 20 {
		t.Errorf("%d orders were tried, want all", orders)
	}
}

// TestAnEqualRankNeverTakesWhatItsHolderBelievesIn has workers whose clocks
// differ ask, check, let go and die at random, their requests in any order: a
// resource passes to another pair of no higher rank only when it was let go, or
// its holder's own clock says that it ended; generations only rise; and of two
// that are confirmed the later one has the higher generation.
func TestAnEqualRankNeverTakesWhatItsHolderBelievesIn(t *testing.T) {
	taken := 0
	for seed := range uint64(30) {
		rng := rand.New(rand.NewPCG(seed, 7))
		e := NewEmbedded(EmbeddedOptions{})
		watch := e.Store(HandleOptions{})
		clock := noon
		skews := map[string]time.Duration{}
		var confirmed uint64
		var workers []func(func(context.Context, bool) error)
		for i := range 4 {
			owner := fmt.Sprint("w", i)
			skews[owner] = time.Duration(rng.Int64N(int64(LeaseSkew)))
			own := rand.New(rand.NewPCG(seed, 100+uint64(i)))
			workers = append(workers, func(gate func(context.Context, bool) error) {
				s := e.Store(HandleOptions{Gate: gate})
				now := func() time.Time { return clock.Add(skews[owner]) }
				for range 12 {
					as := pair.Writer{Owner: owner, Pair: fmt.Sprint("edge-", i%3), Rank: pair.RankRepair + pair.Rank(own.IntN(6)/5)}
					w, err := s.AcquireWriter(t.Context(), sharedBalancer, as, now(), time.Duration(1+own.IntN(4))*time.Second)
					if err != nil {
						wantKind(t, err, pair.ErrBusy)
						_ = gate(t.Context(), false)
						continue
					}
					for range own.IntN(4) {
						if s.HoldsWriter(t.Context(), w, now()) != nil {
							break
						}
						if confirmed = max(confirmed, w.Generation); w.Generation < confirmed {
							t.Errorf("seed %d: generation %d was confirmed after %d", seed, w.Generation, confirmed)
						}
					}
					if own.IntN(3) > 0 { // or it dies
						if err := s.ReleaseWriter(t.Context(), w); err != nil {
							t.Error(err)
						}
					}
				}
			})
		}
		var was pair.Writer
		schedule(func(n int) int {
			_, got, err := watch.writer(t.Context(), pair.NewResourceID(string(sharedBalancer)))
			if err != nil {
				t.Fatal(err)
			}
			if is := got.Value; is.Generation != was.Generation {
				free := was.Owner == "" || is.Rank > was.Rank || is.Rank == was.Rank && is.Pair == was.Pair
				if ended := !clock.Add(skews[was.Owner]).Before(was.Until); !free && !ended || is.Generation != was.Generation+1 {
					t.Errorf("seed %d at %v: %+v took the place of %+v", seed, clock.Sub(noon), is, was)
				} else if !free {
					taken++
				}
			}
			was = got.Value
			clock = clock.Add(time.Duration(rng.Int64N(int64(2 * time.Second))))
			return rng.IntN(n)
		}, workers...)
	}
	if taken == 0 {
		t.Error("no writer that died was ever followed")
	}
}

func TestAWriteWhoseAnswerIsLostCanBeAskedForAgain(t *testing.T) {
	e := NewEmbedded(EmbeddedOptions{})
	s := e.Store(HandleOptions{})
	e.Fail(Fault{Answers: pair.ErrUnreachable})
	_, err := s.AcquireWriter(t.Context(), sharedBalancer, pair.Writer{Owner: "w1", Pair: "edge-a", Rank: pair.RankRepair}, noon, ttl)
	wantKind(t, err, pair.ErrUnknownOutcome)
	e.Fail(Fault{})
	kept(t, s, "w2", "edge-b", pair.RankRepair, noon)
	if w := become(t, s, "w1", "edge-a", pair.RankRepair, noon); w.Generation != 2 {
		t.Errorf("got generation %d, want 2", w.Generation)
	}
}

// meddled returns a store before each of whose writes another one changes what
// is to be written.
func meddled(e *Embedded, meddle func(*Store)) *Store {
	other := e.Store(HandleOptions{})
	return e.Store(HandleOptions{Gate: func(_ context.Context, write bool) error {
		if write {
			meddle(other)
		}
		return nil
	}})
}

func TestWhoIsNeverFirstIsToldToWait(t *testing.T) {
	busy := func(err error) {
		t.Helper()
		wantKind(t, err, pair.ErrBusy)
		diff(t, pair.RetryAfter(err, 0), raceWait)
	}
	e := NewEmbedded(EmbeddedOptions{})
	touch := func(part, key string) func(*Store) {
		return func(s *Store) {
			r, v, err := brake[struct{}](t.Context(), s, part, key)
			if err == nil {
				err = s.putBrake(t.Context(), r, v)
			}
			if err != nil {
				t.Error(err)
			}
		}
	}
	w := become(t, e.Store(HandleOptions{}), "w1", "edge-a", pair.RankRepair, noon)
	s := meddled(e, touch(writersPartition, escape(string(w.Resource))))
	_, err := s.AcquireWriter(t.Context(), sharedBalancer, pair.Writer{Owner: "w2", Pair: "edge-b", Rank: pair.RankFence}, noon, ttl)
	busy(err)
	wantKind(t, s.ReleaseWriter(t.Context(), w), pair.ErrConflict)

	s = meddled(e, touch(budgetsPartition, escape(strings.ToLower(subscription))))
	busy(s.Reserve(t.Context(), subscription, 1, 0, noon))
	busy(s.Spend(t.Context(), subscription, portionReads, 0, noon))
	busy(s.HoldBack(t.Context(), subscription, time.Minute, noon))

	if err := e.Store(HandleOptions{}).TakeSlot(t.Context(), "edge-a", 9, noon, ttl); err != nil {
		t.Fatal(err)
	}
	s = meddled(e, touch(slotsPartition, keySlots))
	busy(s.TakeSlot(t.Context(), "edge-b", 9, noon, ttl))
	busy(s.GiveSlot(t.Context(), "edge-a"))
}
