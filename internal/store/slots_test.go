package store

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"tandem/internal/pair"
)

func testSlots(t *testing.T, a account) {
	ctx := t.Context()
	take := func(name string, limit int, now time.Time) {
		t.Helper()
		if err := a.TakeSlot(ctx, name, limit, now, ttl); err != nil {
			t.Error(err)
		}
	}
	busy := func(name string, limit int, now time.Time, want time.Duration) {
		t.Helper()
		err := a.TakeSlot(ctx, name, limit, now, ttl)
		wantKind(t, err, pair.ErrBusy)
		diff(t, pair.RetryAfter(err, 0), want)
	}
	give := func(name string) {
		t.Helper()
		if err := a.GiveSlot(ctx, name); err != nil {
			t.Error(err)
		}
	}
	give("edge-a") // has none
	take("edge-b", 2, noon)
	take("edge-a", 2, noon.Add(time.Second))
	busy("edge-c", 2, noon.Add(2*time.Second), ttl+LeaseSkew-2*time.Second)
	take("edge-b", 2, noon.Add(10*time.Second)) // who has one keeps it, for longer
	busy("edge-c", 2, noon.Add(10*time.Second), ttl+LeaseSkew-9*time.Second)
	take("edge-a", 1, noon.Add(10*time.Second)) // whatever the limit is by now
	give("edge-a")
	busy("edge-c", 1, noon.Add(10*time.Second), ttl+LeaseSkew)
	take("edge-c", 2, noon.Add(10*time.Second))
	give("edge-a")
	// A dead holder's slot is free after its time, and not before.
	busy("edge-d", 2, noon.Add(10*time.Second+ttl+LeaseSkew-time.Millisecond), time.Millisecond)
	take("edge-d", 1, noon.Add(10*time.Second+ttl+LeaseSkew))
	_, all, err := brake[slots](ctx, a.Store, slotsPartition, keySlots)
	if err != nil || len(all.Value.Holders) != 1 {
		t.Errorf("got the slots %+v (%v), want one: those that ended are gone", all.Value, err)
	}
	take("edge-b", 2, noon.Add(30*time.Second+ttl+LeaseSkew))
	busy("edge-d", 1, noon.Add(10*time.Second+2*(ttl+LeaseSkew)), 20*time.Second) // nor is an ended one of its own
	give("edge-b")
	// One of a clock that was ahead binds nobody, not even its own pair.
	take("edge-d", 1, noon.Add(time.Hour))
	take("edge-a", 1, noon)
	busy("edge-d", 1, noon, ttl+LeaseSkew)

	// Another worker of the pair goes on in its slot. One that gives it back late
	// makes room for a pair too many, until the next step takes it again.
	late := noon.Add(3 * time.Hour)
	take("edge-a", 1, late)
	if err := process(a.Store).TakeSlot(ctx, "edge-a", 1, late.Add(time.Second), ttl); err != nil {
		t.Error(err)
	}
	give("edge-a")
	take("edge-b", 1, late.Add(time.Second))
	take("edge-a", 2, late.Add(2*time.Second))
	busy("edge-c", 2, late.Add(2*time.Second), ttl+LeaseSkew-time.Second)

	for _, limit := range []int{0, -1, MaxSlots + 1} {
		wantKind(t, a.TakeSlot(ctx, "edge-a", limit, noon, ttl), pair.ErrInvalid)
	}
	for _, ttl := range []time.Duration{0, MaxHold + 1} {
		wantKind(t, a.TakeSlot(ctx, "edge-a", 1, noon, ttl), pair.ErrInvalid)
	}
	wantKind(t, a.TakeSlot(ctx, "Edge", 1, noon, ttl), pair.ErrInvalid)
}

// raceSlots has pairs race for slots and returns how many have one.
func raceSlots(t *testing.T, pairs, limit int, of func(i int) *Store) int {
	var mu sync.Mutex
	have := 0
	var all sync.WaitGroup
	for i := range pairs {
		s := of(i)
		all.Go(func() {
			err := s.TakeSlot(context.Background(), fmt.Sprintf("p%03d", i), limit, noon, ttl)
			if err != nil && (!errors.Is(err, pair.ErrBusy) || pair.RetryAfter(err, 0) == 0) {
				t.Errorf("pair %d: %v", i, err)
			}
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				have++
			}
		})
	}
	all.Wait()
	_, stored, err := brake[slots](t.Context(), of(0), slotsPartition, keySlots)
	if err != nil || len(stored.Value.Holders) != have {
		t.Errorf("%d slots are stored (%v), and %d pairs have one", len(stored.Value.Holders), err, have)
	}
	return have
}

func testSlotsRace(t *testing.T, a account) {
	const limit = 4
	if have := raceSlots(t, 30, limit, func(int) *Store { return a.Store }); have != limit {
		t.Errorf("%d pairs have a slot, want %d", have, limit)
	}
}

func TestOfFiveHundredPairsAtOnceNoneIsKeptWaitingAndNoneTooMany(t *testing.T) {
	e := NewEmbedded(EmbeddedOptions{})
	// A pair gives up when others were first so many times, so at least so many
	// have a slot.
	if have := raceSlots(t, 500, 20, func(int) *Store { return e.Store(HandleOptions{}) }); have > 20 || have < raceAttempts {
		t.Errorf("%d pairs have a slot, want up to 20", have)
	}
}

// TestNoMorePairsThanTheLimitBelieveInASlot has pairs whose clocks differ take
// slots, keep them, give them back and die at random, their requests in any
// order: never do more than the limit have one by their own clocks.
func TestNoMorePairsThanTheLimitBelieveInASlot(t *testing.T) {
	full := 0
	for seed := range uint64(25) {
		rng := rand.New(rand.NewPCG(seed, 8))
		e := NewEmbedded(EmbeddedOptions{})
		limit := 1 + rng.IntN(3)
		clock := noon
		until := map[string]time.Time{} // by each pair's own clock
		skews := map[string]time.Duration{}
		var workers []func(func(context.Context, bool) error)
		for i := range 6 {
			name := fmt.Sprint("edge-", i)
			skews[name] = time.Duration(rng.Int64N(int64(LeaseSkew)))
			own := rand.New(rand.NewPCG(seed, 100+uint64(i)))
			workers = append(workers, func(gate func(context.Context, bool) error) {
				s := e.Store(HandleOptions{Gate: gate})
				for range 8 {
					now, ttl := clock.Add(skews[name]), time.Duration(2+own.IntN(20))*time.Second
					if err := s.TakeSlot(t.Context(), name, limit, now, ttl); err == nil {
						until[name] = now.Add(ttl)
					} else {
						wantKind(t, err, pair.ErrBusy)
					}
					_ = gate(t.Context(), false)
					if own.IntN(3) == 0 {
						delete(until, name)
						if err := s.GiveSlot(t.Context(), name); err != nil {
							t.Error(err)
						}
					}
				}
			})
		}
		schedule(func(n int) int {
			have := 0
			for name, end := range until {
				if clock.Add(skews[name]).Before(end) {
					have++
				}
			}
			if have > limit {
				t.Errorf("seed %d at %v: %d pairs have a slot, want up to %d", seed, clock.Sub(noon), have, limit)
			} else if have == limit {
				full++
			}
			clock = clock.Add(time.Duration(rng.Int64N(int64(time.Second))))
			return rng.IntN(n)
		}, workers...)
	}
	if full == 0 {
		t.Error("the limit was never reached")
	}
}
