package store

import (
	"context"
	"errors"
	"fmt"

	"tandem/internal/pair"
)

// The place of what a person stopped all pairs with: beside the pairs, because
// the index can be rebuilt and this cannot, in a partition whose name no pair
// can have.
const (
	everyPair = "EVERY"
	keyStop   = "stop"
)

// Stop returns what a person stopped all pairs with, nil where nobody did, by
// reading one row. Whether it has ended is for pair.Pause.In to say.
//
// A stop of a newer release is a stop too, with as much of it as could be
// read: who asked for more care than we understand gets all of ours.
func (s *Store) Stop(ctx context.Context) (*pair.Pause, error) {
	_, stop, err := s.stop(ctx)
	if errors.Is(err, pair.ErrTooNew) {
		return stop, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read whether everything is stopped: %w", err)
	}
	return stop, nil
}

// SetStop stops all pairs, or with nil lets them go, in the place of what
// stood. The error is pair.ErrConflict when other writers were always first,
// and pair.ErrTooNew when a newer release wrote the stop that stands.
func (s *Store) SetStop(ctx context.Context, stop *pair.Pause) error {
	err := pair.ErrConflict
	for range raceAttempts {
		if err = s.setStop(ctx, stop); !errors.Is(err, errRaced) {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("set whether everything is stopped: %w", err)
	}
	return nil
}

// stop reads the row; it has no etag where there is none.
func (s *Store) stop(ctx context.Context) (row, *pair.Pause, error) {
	e, err := s.get(ctx, tablePairs, everyPair, keyStop)
	if errors.Is(err, pair.ErrNotFound) {
		return row{}, nil, nil
	}
	if err != nil {
		return row{}, nil, err
	}
	r, stop := readRow(e), &pair.Pause{}
	return r, stop, r.read(stop)
}

// setStop makes one attempt.
func (s *Store) setStop(ctx context.Context, stop *pair.Pause) error {
	r, was, err := s.stop(ctx)
	if err != nil {
		return err
	}
	var o op
	switch {
	case was == nil && stop == nil:
		return nil
	case stop == nil:
		o = op{opRemove, r.entity}
	case was == nil:
		r, err = newRow(everyPair, keyStop, millis(*stop))
		o = r.insert()
	default:
		r, err = r.with(millis(*stop))
		o = r.replace()
	}
	if err != nil {
		return err
	}
	if _, err = s.apply(ctx, tablePairs, everyPair, o); raced(err) {
		return errRaced
	}
	return err
}
