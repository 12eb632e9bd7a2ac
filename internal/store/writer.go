package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"tandem/internal/pair"
)

// The brakes stand in the index's table, each kind in a partition of its own,
// out of Reindex's way: they are about resources, subscriptions and the fleet,
// not about one pair, and to lose them is no harm that lasts longer than a
// lease.
const writersPartition = "writers" // rows: writers, by resource id

// raceWait is how long to wait after a brake's row could not be written because
// others were always first.
const raceWait = time.Second

// AcquireWriter makes w, of which Owner, Pair and Rank are given, the one
// writer of a resource until now+ttl, at most MaxHold, and returns it as it is
// stored. A writer of a lower rank loses the resource at once and finds out by
// HoldsWriter; one of the same pair and rank is followed at once as well, so the
// call also extends.
//
// The error is pair.ErrBusy, as a *pair.Waiting with the time that is left,
// while another pair writes with the same rank or anybody with a higher one,
// and when others were always first. After pair.ErrUnknownOutcome the pair may
// be the writer, and can ask again.
func (s *Store) AcquireWriter(ctx context.Context, resource pair.ResourceID, w pair.Writer, now time.Time, ttl time.Duration) (pair.Writer, error) {
	w.Resource = pair.NewResourceID(string(resource))
	got, err := s.acquireWriter(ctx, w, now, ttl)
	if err != nil {
		return pair.Writer{}, fmt.Errorf("become the writer of %s: %w", w.Resource.Name(), err)
	}
	return got, nil
}

func (s *Store) acquireWriter(ctx context.Context, w pair.Writer, now time.Time, ttl time.Duration) (pair.Writer, error) {
	if err := checkWriter(w); err != nil {
		return w, err
	}
	if err := checkTTL(ttl); err != nil {
		return w, err
	}
	for range raceAttempts {
		r, stands, err := s.writer(ctx, w.Resource)
		if err != nil {
			return w, err
		}
		if left := stands.Value.KeepsOut(w, now, LeaseSkew); left > 0 {
			return w, writtenBy(stands.Value, left)
		}
		w.Until, w.Generation = now.Add(ttl), stands.Value.Generation+1
		w = millis(w)
		stands.Value = w
		if err = s.putBrake(ctx, r, stands); !raced(err) {
			return w, err
		}
	}
	return w, errBusy(raceWait)
}

// HoldsWriter reads the resource's row alone and reports whether w may still
// write. It is asked right before a write is sent.
//
// The error is pair.ErrBusy when w ended or another one took its place, as a
// *pair.Waiting where that one would keep w out now. It is not
// pair.ErrLeaseLost: the pair is still its worker's, and only this write must
// wait.
func (s *Store) HoldsWriter(ctx context.Context, w pair.Writer, now time.Time) error {
	_, got, err := s.writer(ctx, w.Resource)
	stands := got.Value
	switch same := stands.Owner != "" && stands.Owner == w.Owner && stands.Generation == w.Generation; {
	case err != nil, same && now.Before(stands.Until):
	case same:
		err = fmt.Errorf("it ended at %s: %w", stands.Until.UTC().Format(time.RFC3339), pair.ErrBusy)
	default:
		err = writtenBy(stands, stands.KeepsOut(w, now, LeaseSkew))
	}
	if err != nil {
		return fmt.Errorf("check the writer of %s: %w", w.Resource.Name(), err)
	}
	return nil
}

// ReleaseWriter lets the resource go, for a writer that is done, its running
// operation included. It keeps the generation, and leaves a resource alone that
// is another writer's by now.
func (s *Store) ReleaseWriter(ctx context.Context, w pair.Writer) error {
	err := pair.ErrConflict
	for range raceAttempts {
		var r row
		var stands keeping[pair.Writer]
		r, stands, err = s.writer(ctx, w.Resource)
		if err != nil || stands.Value.Owner != w.Owner || stands.Value.Generation != w.Generation {
			break
		}
		stands.Value = pair.Writer{Resource: w.Resource, Generation: w.Generation}
		if err = s.putBrake(ctx, r, stands); !raced(err) {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("let %s go: %w", w.Resource.Name(), err)
	}
	return nil
}

// writer reads the row of a resource; a row without an etag is not there yet.
func (s *Store) writer(ctx context.Context, id pair.ResourceID) (row, keeping[pair.Writer], error) {
	return brake[pair.Writer](ctx, s, writersPartition, escape(string(id)))
}

// brake reads the row of a brake, which may not be there yet: then it has no
// etag, and its value is the zero one.
func brake[T any](ctx context.Context, s *Store, part, key string) (r row, v keeping[T], err error) {
	e, err := s.get(ctx, tableIndex, part, key)
	if errors.Is(err, pair.ErrNotFound) {
		return row{entity: entity{partition: part, key: key}}, v, nil
	}
	if err != nil {
		return r, v, err
	}
	r = readRow(e)
	return r, v, r.read(&v)
}

// putBrake writes the row of a brake, on the condition that it is as it was
// read.
func (s *Store) putBrake(ctx context.Context, r row, value any) error {
	next, err := r.with(value)
	if err != nil {
		return err
	}
	o := next.replace()
	if r.etag == "" {
		o = next.insert()
	}
	_, err = s.apply(ctx, tableIndex, r.partition, o)
	return err
}

func checkWriter(w pair.Writer) error {
	if err := checkName(w.Pair); err != nil {
		return err
	}
	if w.Owner == "" || units(w.Owner) > maxKey || w.Rank < pair.RankRepair || w.Rank > pair.RankFence {
		return fmt.Errorf("owner %.60q of rank %s: %w", w.Owner, w.Rank, pair.ErrInvalid)
	}
	return nil
}

// MaxHold is the longest time for which a resource or a slot may be taken at
// once. A worker whose clock is LeaseSkew behind must not see an end beyond
// pair.LeaseMax, which it would take for one of a wrong clock.
const MaxHold = pair.LeaseMax - LeaseSkew

func checkTTL(ttl time.Duration) error {
	if ttl <= 0 || ttl > MaxHold {
		return fmt.Errorf("for %v, expected up to %v: %w", ttl, MaxHold, pair.ErrInvalid)
	}
	return nil
}

// writtenBy returns why a resource cannot be had, and for how long if that is
// known.
func writtenBy(w pair.Writer, left time.Duration) error {
	if w.Owner == "" {
		return fmt.Errorf("it was taken and let go meanwhile: %w", pair.ErrBusy)
	}
	err := fmt.Errorf("pair %s writes to it for %s until %s: %w", w.Pair, w.Rank, w.Until.UTC().Format(time.RFC3339), pair.ErrBusy)
	if left > 0 {
		return &pair.Waiting{Err: err, After: left}
	}
	return err
}

// errBusy says that others were always first.
func errBusy(after time.Duration) error {
	return &pair.Waiting{Err: fmt.Errorf("others were always first: %w", pair.ErrBusy), After: after}
}
