package store

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tandem/internal/pair"
)

const subscription = "00000000-0000-0000-0000-00000000000A"

// process returns another process's store over the same account.
func process(s *Store) *Store {
	other := newStore(s.backend, s.now)
	other.prefix = s.prefix
	return other
}

func reserve(t *testing.T, s *Store, reads, writes int, now time.Time) {
	t.Helper()
	if err := s.Reserve(t.Context(), subscription, reads, writes, now); err != nil {
		t.Error(err)
	}
}

// refused asks for what must be refused, and returns for how long.
func refused(t *testing.T, s *Store, reads, writes int, now time.Time) time.Duration {
	t.Helper()
	err := s.Reserve(t.Context(), subscription, reads, writes, now)
	wantKind(t, err, pair.ErrThrottled)
	return pair.RetryAfter(err, 0)
}

// atMost fails unless a wait is longer than nothing and not longer than most.
func atMost(t *testing.T, wait, most time.Duration) {
	t.Helper()
	if wait <= 0 || wait > most {
		t.Errorf("got a wait of %v, want up to %v", wait, most)
	}
}

func testBudget(t *testing.T, a account) {
	other := process(a.Store)
	reserve(t, a.Store, 100, 60, noon)
	reserve(t, other, 25, 40, noon)
	atMost(t, refused(t, a.Store, 1, 0, noon), 2*time.Second)
	atMost(t, refused(t, other, 0, 1, noon), 2*time.Second)
	if err := other.Reserve(t.Context(), "another subscription", 125, 100, noon); err != nil {
		t.Error(err)
	}
	later := noon.Add(10 * time.Second)
	reserve(t, other, 125, 0, later)
	atMost(t, refused(t, a.Store, 1, 0, later), 10*time.Second)
	reserve(t, a.Store, 0, 0, later) // nothing is always there
	for _, n := range []requests{{-1, 0}, {0, -1}, {126, 0}, {0, 101}} {
		wantKind(t, a.Reserve(t.Context(), subscription, n.reads, n.writes, later), pair.ErrInvalid)
	}
	wantKind(t, a.Spend(t.Context(), subscription, -1, 0, later), pair.ErrInvalid)
	wantKind(t, a.Reserve(t.Context(), "", 1, 0, later), pair.ErrInvalid)
}

func testRest(t *testing.T, a account) {
	ctx := t.Context()
	other := process(a.Store)
	reserve(t, other, 1, 0, noon)
	reserve(t, other, 1, 0, noon) // one more is put by
	if err := a.HoldBack(ctx, "00000000-0000-0000-0000-00000000000a", time.Minute, noon); err != nil {
		t.Fatal(err)
	}
	for _, s := range []*Store{a.Store, process(a.Store)} {
		for _, n := range []requests{{1, 0}, {0, 1}} {
			wait := refused(t, s, n.reads, n.writes, noon)
			if wait <= time.Minute {
				t.Errorf("%+v: got a wait of %v, want more than a minute", n, wait)
			}
		}
	}
	refused(t, other, 1, 0, noon.Add(portionLife))
	if err := other.HoldBack(ctx, subscription, time.Second, noon.Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	refused(t, process(a.Store), 1, 0, noon.Add(time.Minute)) // the longer rest stands, and nothing was saved up
	reserve(t, process(a.Store), 1, 0, noon.Add(time.Minute+80*time.Millisecond))
}

func testSpend(t *testing.T, a account) {
	ctx := t.Context()
	for range 4 {
		if err := a.Spend(ctx, subscription, 25, 0, noon); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.Spend(ctx, subscription, 10, 1, noon); err != nil { // too little to tell
		t.Fatal(err)
	}
	reserve(t, process(a.Store), 25, 0, noon)
	atMost(t, refused(t, process(a.Store), 1, 0, noon), time.Second)
	// The next one that asks tells the rest: 10 reads more than there were.
	if wait := refused(t, a.Store, 1, 0, noon); wait < 11*80*time.Millisecond {
		t.Errorf("got a wait of %v, want at least as long as the debt", wait)
	}
	if wait := refused(t, process(a.Store), 1, 0, noon); wait < 11*80*time.Millisecond {
		t.Errorf("another process waits %v, want at least as long as the debt", wait)
	}
}

// counted returns a store over the account that counts its requests.
func counted(e *Embedded) (s *Store, reads, writes *atomic.Int64) {
	reads, writes = new(atomic.Int64), new(atomic.Int64)
	return e.Store(HandleOptions{Gate: func(_ context.Context, write bool) error {
		if write {
			writes.Add(1)
		} else {
			reads.Add(1)
		}
		return nil
	}}), reads, writes
}

func TestAProcessSeldomAsksTheStore(t *testing.T) {
	tests := []struct {
		name          string
		every         time.Duration
		n             int
		reads, writes int64 // at most, of the store
		granted       int   // at least
	}{
		{"ten in a second, by portions of twenty", 100 * time.Millisecond, 600, 40, 40, 600},
		{"one in a second, by portions that do not spoil", time.Second, 60, 30, 30, 60},
		{"one in a minute, each by itself", time.Minute, 10, 10, 10, 10},
		{"four times of what there is, and refusing costs nothing", 20 * time.Millisecond, 3000, 90, 60, 125 + 600},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, reads, writes := counted(NewEmbedded(EmbeddedOptions{}))
			granted := 0
			for i := range tt.n {
				err := s.Reserve(t.Context(), subscription, 1, 0, noon.Add(time.Duration(i)*tt.every))
				if err == nil {
					granted++
				} else {
					wantKind(t, err, pair.ErrThrottled)
				}
			}
			if granted < tt.granted || reads.Load() > tt.reads || writes.Load() > tt.writes {
				t.Errorf("%d of %d granted by %d reads and %d writes, want at least %d by at most %d and %d",
					granted, tt.n, reads.Load(), writes.Load(), tt.granted, tt.reads, tt.writes)
			}
		})
	}
}

func TestManyWhoAskAtOnceAreGivenNoMoreThanThereIs(t *testing.T) {
	e := NewEmbedded(EmbeddedOptions{})
	var granted atomic.Int64
	var all sync.WaitGroup
	for range 5 {
		s := e.Store(HandleOptions{})
		for range 60 {
			all.Go(func() {
				err := s.Reserve(context.Background(), subscription, 1, 0, noon)
				if err == nil {
					granted.Add(1)
				} else if !errors.Is(err, pair.ErrThrottled) && !errors.Is(err, pair.ErrBusy) {
					t.Error(err)
				}
			})
		}
	}
	all.Wait()
	if n := granted.Load(); n > int64(readAllowance.burst) || n < int64(readAllowance.burst)/2 {
		t.Errorf("%d reads were granted, want most of %d", n, readAllowance.burst)
	}
}

func TestWithoutAStoreNothingIsGranted(t *testing.T) {
	down := fmt.Errorf("down for the story: %w", pair.ErrUnreachable)
	for _, fault := range []Fault{{Reads: down}, {Writes: down}, {Answers: down}} {
		e := NewEmbedded(EmbeddedOptions{})
		s := e.Store(HandleOptions{})
		e.Fail(fault)
		for range 3 {
			if err := s.Reserve(t.Context(), subscription, 1, 1, noon); !errors.Is(err, pair.ErrUnreachable) && !errors.Is(err, pair.ErrUnknownOutcome) {
				t.Errorf("%+v: got %v, want the store's error", fault, err)
			}
		}
		for range 3 {
			if err := s.Spend(t.Context(), subscription, portionReads, 0, noon); err == nil {
				t.Errorf("%+v: what was spent was told", fault)
			}
		}
		if err := s.HoldBack(t.Context(), subscription, time.Minute, noon); err == nil {
			t.Errorf("%+v: a rest was stored", fault)
		}
		e.Fail(Fault{})
		// This process rests all the same, and tells later what it spent.
		if wait := refused(t, s, 1, 0, noon.Add(time.Second)); wait < 58*time.Second {
			t.Errorf("%+v: got a wait of %v, want what is left of the rest", fault, wait)
		}
		if fault.Answers == nil {
			refused(t, s, 125, 0, noon.Add(time.Minute+10*time.Second)) // 60 are owed
		}
	}
}

func TestAContextThatEndsWhileOthersAskIsGrantedNothing(t *testing.T) {
	asked, answer := make(chan struct{}), make(chan struct{})
	s := NewEmbedded(EmbeddedOptions{}).Store(HandleOptions{Gate: func(_ context.Context, write bool) error {
		if write {
			close(asked)
			<-answer
		}
		return nil
	}})
	done := make(chan error)
	go func() { done <- s.Reserve(t.Context(), subscription, 1, 0, noon) }()
	select {
	case <-asked:
	case err := <-done:
		t.Fatalf("the store was never written: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := s.Reserve(ctx, subscription, 1, 0, noon)
	wantKind(t, err, context.Canceled)
	wantKind(t, err, pair.ErrUnreachable)
	// A fence does not wait for those who ask.
	if err := s.Spend(t.Context(), subscription, portionReads, 0, noon); err != nil {
		t.Error(err)
	}
	close(answer)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestABudgetOfAClockThatWasAheadIsFilledAgain(t *testing.T) {
	for _, n := range []requests{{125, 0}, {0, 100}} {
		e := NewEmbedded(EmbeddedOptions{})
		for range 3 {
			if err := e.Store(HandleOptions{}).Reserve(t.Context(), subscription, n.reads, n.writes, noon.Add(24*time.Hour)); err != nil {
				wantKind(t, err, pair.ErrThrottled)
			}
		}
		s := e.Store(HandleOptions{})
		refused(t, s, min(n.reads, 1), min(n.writes, 1), noon)
		reserve(t, s, n.reads, n.writes, noon.Add(writeAllowance.window()))
	}
}

func TestARestOfAClockThatWasAheadIsReplaced(t *testing.T) {
	e := NewEmbedded(EmbeddedOptions{})
	for _, now := range []time.Time{noon.Add(24 * time.Hour), noon} {
		if err := e.Store(HandleOptions{}).HoldBack(t.Context(), subscription, time.Minute, now); err != nil {
			t.Fatal(err)
		}
	}
	reserve(t, e.Store(HandleOptions{}), 100, 10, noon.Add(time.Minute+readAllowance.window()))
}

func TestAClockThatWentBackRefusesNothingForEver(t *testing.T) {
	for _, n := range []requests{{125, 0}, {0, 100}} {
		s := NewEmbedded(EmbeddedOptions{}).Store(HandleOptions{})
		reserve(t, s, n.reads, n.writes, noon.Add(24*time.Hour))
		refused(t, s, min(n.reads, 1), min(n.writes, 1), noon.Add(24*time.Hour))
		refused(t, s, min(n.reads, 1), min(n.writes, 1), noon)
		reserve(t, s, n.reads, n.writes, noon.Add(writeAllowance.window()))
	}
}

func TestManyWhoAreAskedToRestStoreItOnce(t *testing.T) {
	s, _, writes := counted(NewEmbedded(EmbeddedOptions{}))
	for i := range 100 {
		if err := s.HoldBack(t.Context(), subscription, time.Minute, noon.Add(time.Duration(i)*5*time.Millisecond)); err != nil {
			t.Fatal(err)
		}
	}
	if n := writes.Load(); n != 1 {
		t.Errorf("%d writes, want 1", n)
	}
	if err := s.HoldBack(t.Context(), subscription, time.Minute, noon.Add(restStep)); err != nil || writes.Load() != 2 {
		t.Errorf("%d writes (%v), want 2: a rest that is longer by a second is stored", writes.Load(), err)
	}
}

func TestWhatIsPutByIsThereAfterARefusal(t *testing.T) {
	e := NewEmbedded(EmbeddedOptions{})
	s := e.Store(HandleOptions{})
	reserve(t, s, 1, 0, noon)
	reserve(t, s, 1, 0, noon) // takes two
	e.Fail(Fault{Reads: pair.ErrUnreachable})
	for range 3 {
		wantKind(t, s.Reserve(t.Context(), subscription, 2, 0, noon), pair.ErrUnreachable)
	}
	reserve(t, s, 1, 0, noon)
	wantKind(t, s.Reserve(t.Context(), subscription, 1, 0, noon), pair.ErrUnreachable)
}

// filled returns a purse with a whole portion of both kinds, given at noon.
func filled() *purse {
	p := newPurse()
	p.settle(requests{}, requests{portionReads, portionWrites}, requests{}, budget{}, noon)
	return p
}

func TestAPurse(t *testing.T) {
	one, all := requests{1, 1}, requests{portionReads, portionWrites}
	tests := []struct {
		name string
		of   func(p *purse)
		n    requests
		at   time.Duration // after noon
		paid bool
		wait time.Duration
	}{
		{"a portion is paid out", func(*purse) {}, all, 0, true, 0},
		{"more than a portion is not paid in parts", func(*purse) {}, requests{portionReads + 1, 1}, 0, false, 0},
		{"a portion is good for five seconds", func(*purse) {}, one, portionLife - 1, true, 0},
		{"and not for longer", func(*purse) {}, one, portionLife, false, 0},
		{"a clock that went back a little, as of others who ask, spoils nothing", func(*purse) {}, one, -time.Millisecond, true, 0},
		{"a clock that went back by more does", func(*purse) {}, one, -portionLife, false, 0},
		{"what is owed is paid first", func(p *purse) { p.owe(requests{portionReads, 0}, noon) }, requests{1, 0}, 0, false, 0},
		{"what spoiled pays no debt", func(p *purse) { p.owe(requests{1, 0}, noon.Add(portionLife)) }, requests{0, 1}, portionLife, false, 0},
		{"a rest empties it", func(p *purse) { p.rest(time.Minute, noon) }, requests{1, 0}, 0, false, time.Minute + 2*readAllowance.each},
		{"nothing can be paid always", func(p *purse) { p.rest(time.Minute, noon) }, requests{}, 0, true, 0},
		{"what was seen to be empty is not asked for", func(p *purse) {
			p.settle(requests{}, requests{}, requests{}, budget{}.spent(requests{reads: 125}, noon), noon)
		}, requests{portionReads + 1, 0}, 0, false, 2 * readAllowance.each},
		{"nor what is owed of it", func(p *purse) {
			p.settle(requests{}, requests{}, requests{}, budget{}.spent(requests{reads: 120}, noon), noon)
			p.owe(requests{portionReads + 5, 0}, noon)
		}, requests{1, 0}, 0, false, 2 * readAllowance.each},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := filled()
			p.reads.more, p.writes.more = 1, 0
			tt.of(p)
			if paid, wait := p.pay(tt.n, noon.Add(tt.at)); paid != tt.paid || wait != tt.wait {
				t.Errorf("paid is %t and the wait %v, want %t and %v", paid, wait, tt.paid, tt.wait)
			}
		})
	}
}

func TestAPortionGrowsWhileItIsUsedUpAndShrinksWhenItSpoils(t *testing.T) {
	p := newPurse()
	var got []int
	for range 7 {
		got = append(got, p.reads.more)
		p.reads.put(0, portionReads, noon)
	}
	p.reads.left = 3
	for i := range 2 {
		p.spoil(noon.Add(time.Duration(i+1) * portionLife)) // once only: there is nothing left to spoil
		got = append(got, p.reads.more)
	}
	diff(t, got, []int{0, 1, 3, 7, 15, 19, 19, 9, 9})
}

func TestTheStoreIsToldOfEnoughAtOnce(t *testing.T) {
	for _, tt := range []struct {
		n    requests
		want bool
	}{{requests{19, 4}, false}, {requests{20, 0}, true}, {requests{0, 5}, true}} {
		if got := newPurse().owe(tt.n, noon); got != tt.want {
			t.Errorf("of %+v: got %t, want %t", tt.n, got, tt.want)
		}
	}
}

// TestProcessesTogetherNeverSendMoreThanTheSubscriptionTakes has processes that
// differ in their clocks ask at random, by one and in storms of all of them, and
// come and go: at no time more is sent than Resource Manager takes at once, and
// then at half its rate, and in no five minutes more writes than half of what
// Microsoft.Network takes (azure.md 1.10).
func TestProcessesTogetherNeverSendMoreThanTheSubscriptionTakes(t *testing.T) {
	for seed := range uint64(4) {
		rng := rand.New(rand.NewPCG(seed, 40))
		e := NewEmbedded(EmbeddedOptions{})
		processes := make([]*Store, 2+rng.IntN(30))
		skews := make([]time.Duration, len(processes))
		reads := meter{burst: 250 * 80 * time.Millisecond, each: 80 * time.Millisecond}
		var writes []time.Time
		now, storm := noon, 0
		for now.Before(noon.Add(11 * time.Minute)) {
			i := rng.IntN(len(processes))
			if processes[i] == nil || rng.IntN(500) == 0 {
				processes[i] = e.Store(HandleOptions{})
				skews[i] = time.Duration(rng.Int64N(int64(LeaseSkew)))
			}
			n := requests{rng.IntN(4), rng.IntN(2)}
			switch err := processes[i].Reserve(t.Context(), subscription, n.reads, n.writes, now.Add(skews[i])); {
			case err != nil:
				wantKind(t, err, pair.ErrThrottled)
			case reads.exceeds(n.reads, now):
				t.Fatalf("seed %d: more than 250 reads at once", seed)
			default:
				for range n.writes {
					writes = append(writes, now)
				}
			}
			if first := len(writes) - 501; first >= 0 && now.Sub(writes[first]) < 5*time.Minute {
				t.Fatalf("seed %d: more than 500 writes in %v", seed, now.Sub(writes[first]))
			}
			if storm--; storm > 0 {
				continue
			}
			if now = now.Add(time.Duration(rng.Int64N(int64(800 * time.Millisecond)))); rng.IntN(100) == 0 {
				storm = 30 * len(processes)
			}
		}
	}
}
