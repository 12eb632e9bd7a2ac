// Package store keeps what Tandem remembers: pairs with their records, intents
// and outboxes, their journals, the index that finds them, the brakes that all
// processes share, and the queues that wake them.
//
// One logic stands over two backends with the same contract: Table Storage and
// queues in Azure, and an embedded store in memory for the lab and for tests.
// Deciding what to store, and delivering what waits in an outbox, is left to
// internal/control.
//
// Every row of a pair is in one partition, and the record row is that
// partition's lock: whatever changes a definition, an intent or an outbox
// replaces the record row in the same transaction, on the condition that it is
// still the one that was read. So a Snapshot's version speaks for everything
// in it.
package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"tandem/internal/pair"
)

// Store is the program's memory. Its methods may be called at any time from
// any goroutine and any number of processes: safety comes from conditional
// writes, not from locks in memory.
type Store struct {
	backend backend
	now     func() time.Time
	prefix  string // of the tables' names
	purses  purses // what this process has put by of the budgets, to save requests
}

// The tables, without their prefix.
const (
	tablePairs   = "pairs"   // partition: pair; rows: definition, record, intents, outbox, or a tombstone; and the stop of all pairs, with what was said about it
	tableJournal = "journal" // partition: pair; rows: entries, newest first
	tableIndex   = "index"   // one partition of rows: pairs with their due time, claims on VMs, resources; and one for each kind of brake
	tableOnce    = "once"    // partition: scope; rows: idempotency keys
	tableGeo     = "geo"     // one partition of rows: GEO topologies with their due time
	// partition: pair; rows: heads of documents; and a partition for the parts of each
	tableSettings = "settings"
)

// tablePrefix is what the names of all tables begin with (DESIGN section 6).
const tablePrefix = "tandem"

// raceAttempts is how often a write is tried again whose condition failed
// although nothing was decided on it, such as a change of the index.
const raceAttempts = 8

func newStore(b backend, now func() time.Time) *Store {
	return &Store{backend: b, now: now, prefix: tablePrefix}
}

// Load reads everything that is stored of a pair, in one query of its
// partition. The error is pair.ErrNotFound where there is no such pair or it
// was deleted.
//
// A pair that was written by a newer release comes back with pair.ErrTooNew
// and with whatever of it could be read: at least Record.MinReader, Epoch and
// Lease. Its Version is empty, so nothing can be committed on it.
func (s *Store) Load(ctx context.Context, name string) (pair.Snapshot, error) {
	rows, err := s.partition(ctx, name)
	if err != nil {
		return pair.Snapshot{}, fmt.Errorf("load pair %s: %w", name, err)
	}
	snap, err := rows.snapshot()
	if err != nil {
		return snap, fmt.Errorf("load pair %s: %w", name, err)
	}
	return snap, nil
}

// partition reads all rows of a pair as they stood at one moment.
//
// A query's pages are read one after the other, so a pair of more than one page
// may change in between. The record row tells: it moves with every change, so
// if it is the same before the first page and on the last, so is the rest.
func (s *Store) partition(ctx context.Context, name string) (partition, error) {
	if err := checkName(name); err != nil {
		return partition{}, err
	}
	q := query{partition: name}
	rows, more, err := s.page(ctx, tablePairs, q)
	if err != nil {
		return partition{}, err
	}
	if more == (cursor{}) {
		return newPartition(name, rows), nil
	}
	for range raceAttempts {
		before, err := s.get(ctx, tablePairs, name, keyRecord)
		if err != nil && !errors.Is(err, pair.ErrNotFound) {
			return partition{}, err
		}
		rows, err = s.list(ctx, tablePairs, q)
		if err != nil {
			return partition{}, err
		}
		if p := newPartition(name, rows); p.byKey[keyRecord].etag == before.etag {
			return p, nil
		}
	}
	return partition{}, fmt.Errorf("read its rows at one moment: %w", pair.ErrConflict)
}

// get reads one row.
func (s *Store) get(ctx context.Context, table, part, key string) (entity, error) {
	if err := checkKeys(part, key); err != nil {
		return entity{}, err
	}
	return s.backend.get(ctx, s.prefix+table, part, key)
}

// page reads one page of rows; the cursor is empty after the last one.
func (s *Store) page(ctx context.Context, table string, q query) ([]entity, cursor, error) {
	if q.limit == 0 {
		q.limit = pageSize
	}
	return s.backend.list(ctx, s.prefix+table, q)
}

// list reads all pages of a query.
func (s *Store) list(ctx context.Context, table string, q query) ([]entity, error) {
	var all []entity
	for {
		rows, next, err := s.page(ctx, table, q)
		if err != nil {
			return nil, err
		}
		all = append(all, rows...)
		if next == (cursor{}) {
			return all, nil
		}
		q.after = next
	}
}

// apply does one transaction on one partition and returns the new version of
// each row. Nothing is sent if the transaction breaks a limit.
func (s *Store) apply(ctx context.Context, table, part string, ops ...op) ([]string, error) {
	if err := checkTransaction(part, ops); err != nil {
		return nil, err
	}
	return s.backend.apply(ctx, s.prefix+table, part, ops)
}

// raced reports whether a write failed only because another writer was there
// first.
func raced(err error) bool {
	return errors.Is(err, pair.ErrConflict) || errors.Is(err, pair.ErrExists) || errors.Is(err, pair.ErrNotFound)
}

// maxName is the longest name of a pair, as in the pair file's schema.
const maxName = 40

// checkName refuses what cannot be the name of a pair: names arrive in paths
// and messages from outside and become keys.
func checkName(name string) error {
	ok := len(name) > 0 && len(name) <= maxName && name[0] >= 'a' && name[0] <= 'z' &&
		!strings.Contains(name, "--") && !strings.HasSuffix(name, "-")
	for i := 0; ok && i < len(name); i++ {
		c := name[i]
		ok = c == '-' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9'
	}
	if !ok {
		return fmt.Errorf("name %.60q of a pair: %w", name, pair.ErrInvalid)
	}
	return nil
}
