package store

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"tandem/internal/pair"
)

// The place of what a person stopped all pairs with, and of what persons said
// about all of them: beside the pairs, because the index can be rebuilt and this
// cannot, in a partition whose name no pair can have.
const (
	everyPair  = "EVERY"
	keyStop    = "stop"
	prefixSaid = "said-" // a number that falls with each word, so that the newest is first
	afterSaid  = "said."
)

// saidMax is how many words about all pairs are kept. There are a few in a
// year; this bounds what a history reads when a script said them by the minute.
const saidMax = 200

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
// stood, and keeps what was said with it, under an id of its own, all or
// nothing. To let go what nobody stopped changes and keeps nothing. The error is
// pair.ErrConflict when other writers were always first, and pair.ErrTooNew when
// a newer release wrote the stop that stands.
func (s *Store) SetStop(ctx context.Context, stop *pair.Pause, said pair.Entry) error {
	err := pair.ErrConflict
	for range raceAttempts {
		if err = s.setStop(ctx, stop, said); !errors.Is(err, errRaced) {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("set whether everything is stopped: %w", err)
	}
	return nil
}

// Said returns what was said about all pairs, newest first, by reading a page of
// at most saidMax rows. One entry for all pairs costs one row to write however
// many they are; one in each pair's journal would be ten thousand transactions
// within the one request of a person who is in a hurry. What of it belongs into
// a pair's history is for the reader to say. Entries of a newer release that
// cannot be read are left out.
func (s *Store) Said(ctx context.Context) ([]pair.Entry, error) {
	rows, err := s.list(ctx, tablePairs, query{partition: everyPair, from: prefixSaid, to: afterSaid})
	if err != nil {
		return nil, fmt.Errorf("read what was said about all pairs: %w", err)
	}
	var entries []pair.Entry
	for _, e := range rows {
		entry, err := readEntry(e)
		if errors.Is(err, pair.ErrTooNew) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read what was said about all pairs: %w", err)
		}
		entries = append(entries, entry)
	}
	return entries, nil
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
func (s *Store) setStop(ctx context.Context, stop *pair.Pause, said pair.Entry) error {
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
	words, err := s.say(ctx, said)
	if err != nil {
		return err
	}
	if _, err = s.apply(ctx, tablePairs, everyPair, append(words, o)...); raced(err) {
		return errRaced
	}
	return err
}

// say returns the operations that keep an entry as the newest, and forget the
// one that is too many then.
func (s *Store) say(ctx context.Context, said pair.Entry) ([]op, error) {
	n, err := s.saidSoFar(ctx)
	if err != nil {
		return nil, err
	}
	n++
	said.ID = pair.ID(everyPair, n, 1)
	r, err := newRow(everyPair, saidKey(n), millis(said))
	if err != nil || n <= saidMax {
		return []op{r.insert()}, err
	}
	old, err := s.get(ctx, tablePairs, everyPair, saidKey(n-saidMax))
	if errors.Is(err, pair.ErrNotFound) {
		return []op{r.insert()}, nil
	}
	return []op{r.insert(), {opRemove, old}}, err
}

// saidSoFar is the number of the newest word.
func (s *Store) saidSoFar(ctx context.Context) (uint64, error) {
	q := query{partition: everyPair, from: prefixSaid, to: afterSaid, limit: 1}
	for {
		rows, next, err := s.page(ctx, tablePairs, q)
		switch {
		case err != nil:
			return 0, err
		case len(rows) > 0:
			falling, err := strconv.ParseUint(strings.TrimPrefix(rows[0].key, prefixSaid), 10, 64)
			if err != nil || falling > maxEpoch {
				return 0, fmt.Errorf("read %s: expected a number: %w", rows[0].key, pair.ErrUnreadable)
			}
			return maxEpoch - falling, nil
		case next == (cursor{}):
			return 0, nil
		}
		q.after = next
	}
}

func saidKey(n uint64) string { return fmt.Sprintf("%s%012d", prefixSaid, maxEpoch-n) }
