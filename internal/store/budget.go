package store

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"tandem/internal/pair"
)

const budgetsPartition = "budgets" // rows: budget, by subscription

// Reserve takes so many reads and writes of Resource Manager out of the budget
// of a subscription, all of them or none, for work that can wait. All processes
// share the budget through the store; each takes portions, so that it asks the
// store about once for twenty requests, and refuses by itself what cannot have
// come together since it last asked.
//
// The error is pair.ErrThrottled, as a *pair.Waiting with the time until enough
// is there, where the budget is spent or rests; pair.ErrBusy when others were
// always first; and the store's own where it does not answer, which is no leave
// either. Fences and releases do not ask, but tell by Spend.
func (s *Store) Reserve(ctx context.Context, subscription string, reads, writes int, now time.Time) error {
	n := requests{reads, writes}
	err := checkRequests(n)
	if err == nil && (reads > readAllowance.burst || writes > writeAllowance.burst) {
		err = fmt.Errorf("more than %d and %d at once: %w", readAllowance.burst, writeAllowance.burst, pair.ErrInvalid)
	}
	if err == nil {
		err = s.reserve(ctx, subscription, n, now)
	}
	if err != nil {
		return fmt.Errorf("reserve %d reads and %d writes of subscription %.60s: %w", reads, writes, subscription, err)
	}
	return nil
}

// reserve pays from the process's purse, and fills it up where that is needed.
func (s *Store) reserve(ctx context.Context, subscription string, n requests, now time.Time) error {
	p := s.purses.of(subscription)
	if answered, err := p.answer(n, now); answered {
		return err
	}
	if err := p.enter(ctx); err != nil {
		return err
	}
	defer p.leave()
	if answered, err := p.answer(n, now); answered { // another one may have filled it
		return err
	}
	there, more := p.scrape(n, now)
	err := s.refill(ctx, p, subscription, n.less(there), more, now)
	if err != nil {
		p.putBack(there)
	}
	return err
}

// Spend tells the budget of a subscription what was sent without asking it. It
// is told when there is enough to tell, so what a killed process had not told
// is lost, and only what can wait has to wait for it. The error is the store's;
// what could not be told is told later.
func (s *Store) Spend(ctx context.Context, subscription string, reads, writes int, now time.Time) error {
	n := requests{reads, writes}
	err := checkRequests(n)
	if err == nil {
		if p := s.purses.of(subscription); p.owe(n, now) && p.tryEnter() {
			defer p.leave()
			err = s.refill(ctx, p, subscription, requests{}, requests{}, now)
		}
	}
	if err != nil {
		return fmt.Errorf("tell of %d reads and %d writes of subscription %.60s: %w", reads, writes, subscription, err)
	}
	return nil
}

// restStep is how much longer a rest must be to be stored in the place of one
// that stands: many pairs are refused at once, and each is told another time.
const restStep = time.Second

// HoldBack has the whole budget of a subscription rest, for all processes, for
// as long as an answer of Resource Manager asked (Retry-After), at most ten
// minutes; a process that has a portion hears of it within five seconds. A
// longer rest that stands is left. Only pair.ErrThrottled says that the
// subscription needs rest: pair.ErrBusy is about one resource (azure.md 1.9).
//
// After an error this process rests all the same.
func (s *Store) HoldBack(ctx context.Context, subscription string, after time.Duration, now time.Time) error {
	s.purses.of(subscription).rest(after, now)
	err := errBusy(raceWait)
	for range raceAttempts {
		var r row
		var b keeping[budget]
		if r, b, err = s.budget(ctx, subscription); err != nil {
			break
		}
		next := millis(b.Value.rested(after, now))
		if next.ReadsFullAt.Sub(b.Value.ReadsFullAt) < restStep && next.WritesFullAt.Sub(b.Value.WritesFullAt) < restStep && !b.Value.astray(now) {
			break
		}
		b.Value = next
		if err = s.putBrake(ctx, r, b); !raced(err) {
			break
		}
		err = errBusy(raceWait)
	}
	if err != nil {
		return fmt.Errorf("hold back in subscription %.60s: %w", subscription, err)
	}
	return nil
}

// refill tells the store what the process owes it, and takes what it needs, or
// nothing, and more if there is more. What it needs is paid with it. The caller
// has the process's turn.
func (s *Store) refill(ctx context.Context, p *purse, subscription string, need, more requests, now time.Time) error {
	for range raceAttempts {
		r, b, err := s.budget(ctx, subscription)
		if err != nil {
			return err
		}
		told, got := p.owed(), requests{}
		next := b.Value.spent(told, now)
		enough := next.wait(need, now) == 0
		if enough {
			got = next.portion(need, more, now)
			next = next.spent(got, now)
		}
		if told.plus(got) != (requests{}) || b.Value.astray(now) {
			b.Value = millis(next)
			if err = s.putBrake(ctx, r, b); raced(err) {
				continue
			}
			if err != nil {
				return err
			}
		}
		if !enough {
			return exhausted(p.deny(told, need, b.Value, now))
		}
		p.settle(told, got, need, b.Value, now)
		return nil
	}
	return errBusy(raceWait)
}

// budget reads the budget of a subscription, a full one where there is none.
func (s *Store) budget(ctx context.Context, subscription string) (row, keeping[budget], error) {
	id := strings.ToLower(subscription)
	r, b, err := brake[budget](ctx, s, budgetsPartition, escape(id))
	b.Value.Subscription = id
	return r, b, err
}

func checkRequests(n requests) error {
	if n.reads < 0 || n.writes < 0 {
		return fmt.Errorf("less than nothing: %w", pair.ErrInvalid)
	}
	return nil
}

// exhausted says that there is nothing to be had for a while.
func exhausted(wait time.Duration) error {
	return &pair.Waiting{Err: fmt.Errorf("the budget is spent, or rests, for %v: %w", wait, pair.ErrThrottled), After: wait}
}

// purses are what this process holds of the budgets, by subscription.
type purses struct {
	mu sync.Mutex // guards by; never held across a wait
	by map[string]*purse
}

func (p *purses) of(subscription string) *purse {
	p.mu.Lock()
	defer p.mu.Unlock()
	id := strings.ToLower(subscription)
	if p.by[id] == nil {
		if p.by == nil {
			p.by = map[string]*purse{}
		}
		p.by[id] = newPurse()
	}
	return p.by[id]
}
