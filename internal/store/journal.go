package store

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"tandem/internal/pair"
)

// maxEpoch and maxSeq are the largest numbers of an id that the journal's keys
// can hold. At an epoch each second they last for thirty thousand years.
const (
	maxEpoch = 999_999_999_999
	maxSeq   = 999_999
)

// AppendJournal puts a post into the pair's journal as an entry with the
// post's id. An entry of that id which is there already is success: delivering
// is repeated after a crash.
func (s *Store) AppendJournal(ctx context.Context, name string, post pair.Post) error {
	key, err := journalKey(name, post.ID)
	if err != nil {
		return fmt.Errorf("write the journal of pair %s: %w", name, err)
	}
	entry := millis(pair.Entry{ID: post.ID, Kind: post.Type, At: post.At, Body: post.Body})
	r, err := newRow(name, key, entry)
	if err == nil {
		_, err = s.apply(ctx, tableJournal, name, r.insert())
	}
	if err != nil && !errors.Is(err, pair.ErrExists) {
		return fmt.Errorf("write entry %s of the journal: %w", post.ID, err)
	}
	return nil
}

// Journal returns entries of the pair's journal, newest first: at most limit,
// which is held between 1 and 1000, and only those older than the entry with
// the id before, unless that is empty. A journal is kept when its pair is
// deleted. Entries of a newer release that cannot be read are left out.
func (s *Store) Journal(ctx context.Context, name string, limit int, before string) ([]pair.Entry, error) {
	q := query{partition: name, limit: min(max(limit, 1), pageSize)}
	if err := checkName(name); err != nil {
		return nil, fmt.Errorf("read the journal: %w", err)
	}
	if before != "" {
		key, err := journalKey(name, before)
		if err != nil {
			return nil, fmt.Errorf("read the journal of pair %s: %w", name, err)
		}
		q.from = key + "." // the first key after it
	}
	var entries []pair.Entry
	for want := q.limit; ; {
		rows, next, err := s.page(ctx, tableJournal, q)
		if err != nil {
			return nil, fmt.Errorf("read the journal of pair %s: %w", name, err)
		}
		for _, e := range rows {
			entry, err := readEntry(e)
			if errors.Is(err, pair.ErrTooNew) {
				continue
			}
			if err != nil {
				return nil, fmt.Errorf("read the journal of pair %s: %w", name, err)
			}
			entries = append(entries, entry)
		}
		if next == (cursor{}) || len(entries) >= want {
			return entries, nil
		}
		q.after, q.limit = next, want-len(entries)
	}
}

// Entry returns one entry of the pair's journal.
func (s *Store) Entry(ctx context.Context, name, id string) (pair.Entry, error) {
	key, err := journalKey(name, id)
	if err != nil {
		return pair.Entry{}, fmt.Errorf("read the journal of pair %s: %w", name, err)
	}
	e, err := s.get(ctx, tableJournal, name, key)
	if err != nil {
		return pair.Entry{}, fmt.Errorf("read entry %s of the journal: %w", id, err)
	}
	entry, err := readEntry(e)
	if err != nil {
		return pair.Entry{}, fmt.Errorf("read entry %s of the journal: %w", id, err)
	}
	return entry, nil
}

// readEntry decodes an entry. Only what a person wants to see is in it, so one
// of a newer release is shown if it has our form.
func readEntry(e entity) (pair.Entry, error) {
	var entry pair.Entry
	err := readRow(e).read(&entry)
	if errors.Is(err, pair.ErrTooNew) && entry.ID != "" {
		return entry, nil
	}
	return entry, err
}

// journalKey turns an id round, so that the order of the keys, which is the
// only order of a table, is newest first.
func journalKey(name, id string) (string, error) {
	if err := checkName(name); err != nil {
		return "", err
	}
	bad := fmt.Errorf("id %.80q, expected %s-<epoch>-<seq>: %w", id, name, pair.ErrInvalid)
	if !ofPair(name, id) {
		return "", bad
	}
	e, q, _ := strings.Cut(strings.TrimPrefix(id, name+"-"), "-")
	epoch, errEpoch := strconv.ParseUint(e, 10, 64)
	seq, errSeq := strconv.ParseUint(q, 10, 64)
	if errEpoch != nil || errSeq != nil || epoch > maxEpoch || seq > maxSeq || pair.ID(name, epoch, int(seq)) != id {
		return "", bad
	}
	return fmt.Sprintf("%012d-%06d", maxEpoch-epoch, maxSeq-seq), nil
}
