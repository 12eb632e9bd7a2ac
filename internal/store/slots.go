package store

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"tandem/internal/pair"
)

// The place of the slots, one row for the whole fleet.
const (
	slotsPartition = "slots"
	keySlots       = "changing"
)

// MaxSlots is the largest limit of pairs that are changed at once, which bounds
// the slots' row.
const MaxSlots = 100

// slots is the stored form of who is being changed, in the order of names.
type slots struct {
	Holders []keeping[slot] `json:"holders,omitempty"`
}

// slot is one pair that is being changed.
type slot struct {
	Pair  string    `json:"pair"`
	Until time.Time `json:"until"`
}

// ended reports whether a slot is free again. Clocks differ, so it is kept for
// LeaseSkew longer than it says; one that ends later than any may was taken by
// a clock that was ahead.
func (s slot) ended(now time.Time) bool {
	return !now.Before(s.Until.Add(LeaseSkew)) || s.Until.After(now.Add(pair.LeaseMax))
}

// with returns the slots with one for the pair until a time; a pair that has
// one keeps it. Where no more than limit may have one, and do, wait is the time
// until the first of them ends.
func (s slots) with(name string, limit int, now, until time.Time) (next slots, wait time.Duration) {
	mine := keeping[slot]{Value: slot{Pair: name}}
	for _, h := range s.Holders {
		switch left := h.Value.Until.Add(LeaseSkew).Sub(now); {
		case h.Value.Pair == name:
			mine = h
			continue
		case h.Value.ended(now):
			continue
		case wait == 0 || left < wait:
			wait = left
		}
		next.Holders = append(next.Holders, h)
	}
	if mine.Value.ended(now) && len(next.Holders) >= limit {
		return s, wait
	}
	mine.Value.Until = until
	next.Holders = append(next.Holders, mine)
	slices.SortFunc(next.Holders, func(a, b keeping[slot]) int { return cmp.Compare(a.Value.Pair, b.Value.Pair) })
	return next, 0
}

// without returns the slots without the pair's.
func (s slots) without(name string) slots {
	s.Holders = slices.DeleteFunc(slices.Clone(s.Holders), func(h keeping[slot]) bool { return h.Value.Pair == name })
	return s
}

// TakeSlot lets a pair be one of at most limit, 1 to MaxSlots, that are changed
// at once, until now+ttl, at most MaxHold. A pair that has a slot keeps it until
// the new time, whatever the limit. It is a brake and no lock: which worker
// speaks for the pair is for the pair's lease to say.
//
// A slot is the pair's and no worker's, so that the worker that takes a pair over
// goes on in its slot and does not wait for that of a dead one to end. The price is
// small: a worker that stood still between its last write under the pair's lease and
// GiveSlot gives back what its successor works in by then, and until the successor's
// next step, which takes the slot again, one pair more than the limit is changed.
//
// The error is pair.ErrBusy, as a *pair.Waiting with the time until the first
// slot ends, while there is none, and with a short time when others were always
// first.
func (s *Store) TakeSlot(ctx context.Context, name string, limit int, now time.Time, ttl time.Duration) error {
	err := checkName(name)
	if err == nil {
		err = checkTTL(ttl)
	}
	if err == nil && (limit < 1 || limit > MaxSlots) {
		err = fmt.Errorf("a limit of %d, expected 1 to %d: %w", limit, MaxSlots, pair.ErrInvalid)
	}
	if err == nil {
		err = s.takeSlot(ctx, name, limit, now, now.Add(ttl))
	}
	if err != nil {
		return fmt.Errorf("take a slot for pair %s: %w", name, err)
	}
	return nil
}

func (s *Store) takeSlot(ctx context.Context, name string, limit int, now, until time.Time) error {
	for range raceAttempts {
		r, all, err := brake[slots](ctx, s, slotsPartition, keySlots)
		if err != nil {
			return err
		}
		next, wait := all.Value.with(name, limit, now, until)
		if wait > 0 {
			return &pair.Waiting{Err: fmt.Errorf("%d pairs are being changed: %w", limit, pair.ErrBusy), After: wait}
		}
		all.Value = millis(next)
		if err = s.putBrake(ctx, r, all); !raced(err) {
			return err
		}
	}
	return errBusy(raceWait)
}

// GiveSlot gives a pair's slot back; a pair that has none has nothing to give.
// A slot that could not be given back ends by itself.
func (s *Store) GiveSlot(ctx context.Context, name string) error {
	err := errBusy(raceWait)
	for range raceAttempts {
		var r row
		var all keeping[slots]
		if r, all, err = brake[slots](ctx, s, slotsPartition, keySlots); err != nil {
			break
		}
		left := all.Value.without(name)
		if len(left.Holders) == len(all.Value.Holders) {
			break
		}
		all.Value = left
		if err = s.putBrake(ctx, r, all); !raced(err) {
			break
		}
		err = errBusy(raceWait)
	}
	if err != nil {
		return fmt.Errorf("give the slot of pair %s back: %w", name, err)
	}
	return nil
}
