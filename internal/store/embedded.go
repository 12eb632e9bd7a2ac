package store

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"tandem/internal/pair"
)

// EmbeddedOptions configure an embedded storage account.
type EmbeddedOptions struct {
	// Now is the account's own clock, for the delays of messages; nil means
	// time.Now.
	Now func() time.Time
}

// Embedded is a storage account in memory, as strict as the real one: versions
// that a write must name, all-or-nothing transactions, limits, forbidden
// characters, pages, delayed and hidden messages. It is made for the lab and
// for tests, and nothing of it outlives the process.
//
// It never waits, so it works in real time and in a testing/synctest bubble.
type Embedded struct {
	now func() time.Time

	mu       sync.Mutex // guards what follows; never held across a wait
	tables   map[string]map[string]*shelf
	queues   map[string][]*queued
	versions uint64 // counts etags, message ids and pop receipts
	fault    Fault
}

// shelf is one partition of a table.
type shelf struct {
	keys []string // sorted
	rows map[string]entity
}

// Fault is what an embedded account suffers from. An error that is not nil is
// returned, wrapped, by every request of its sort. It should be of one of
// pair's kinds, such as pair.ErrUnreachable or pair.ErrThrottled.
type Fault struct {
	Reads  error // requests that only read, including taking messages from a queue
	Writes error // requests that write; nothing is written
	// Answers is the fate of writes that are done and not confirmed: their
	// caller gets pair.ErrUnknownOutcome with this error.
	Answers error
}

// NewEmbedded returns an empty account without faults.
func NewEmbedded(opts EmbeddedOptions) *Embedded {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	return &Embedded{now: opts.Now, tables: map[string]map[string]*shelf{}, queues: map[string][]*queued{}}
}

// HandleOptions configure one worker's way to an embedded account.
type HandleOptions struct {
	// Now is the worker's clock; nil means the account's.
	Now func() time.Time
	// Gate, if not nil, is called before each request, for example to freeze
	// the worker or to cut it off. It may wait, and an error that it returns
	// ends the request before anything was done.
	Gate func(ctx context.Context, write bool) error
	// Tables, if not nil, stands around each request to a table, outside of
	// Gate.
	Tables TableGate
}

// Store returns a store over the account. Every worker of a lab has its own,
// and all of them share the account's contents.
func (e *Embedded) Store(opts HandleOptions) *Store {
	if opts.Now == nil {
		opts.Now = e.now
	}
	var b backend = &handle{account: e, gate: opts.Gate}
	if opts.Tables != nil {
		b = gatedTables{backend: b, gate: opts.Tables}
	}
	return newStore(b, opts.Now)
}

// Fail makes requests fail from now on; the zero Fault heals the account.
func (e *Embedded) Fail(f Fault) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.fault = f
}

// read returns why a request that reads must fail. The caller holds mu.
func (e *Embedded) read() error {
	if e.fault.Reads != nil {
		return fmt.Errorf("ask the store: %w", e.fault.Reads)
	}
	return nil
}

// write returns why a request that writes must fail. The caller holds mu.
func (e *Embedded) write() error {
	if e.fault.Writes != nil {
		return fmt.Errorf("ask the store: %w", e.fault.Writes)
	}
	return nil
}

// written returns the error of a write that was done. The caller holds mu.
func (e *Embedded) written() error {
	if e.fault.Answers != nil {
		return fmt.Errorf("ask the store: %w: %w", pair.ErrUnknownOutcome, e.fault.Answers)
	}
	return nil
}

// next returns a new version. The caller holds mu.
func (e *Embedded) next() string {
	e.versions++
	return strconv.FormatUint(e.versions, 10)
}

// handle is one worker's backend.
type handle struct {
	account *Embedded
	gate    func(ctx context.Context, write bool) error
}

var _ backend = (*handle)(nil)

// pass lets a request through, or not.
func (h *handle) pass(ctx context.Context, write bool) error {
	if h.gate != nil {
		if err := h.gate(ctx, write); err != nil {
			return fmt.Errorf("reach the store: %w", err)
		}
	}
	return alive(ctx)
}

// alive refuses a request whose context has ended.
func alive(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("reach the store: %w: %w", pair.ErrUnreachable, err)
	}
	return nil
}

func (h *handle) get(ctx context.Context, table, part, key string) (entity, error) {
	if err := h.pass(ctx, false); err != nil {
		return entity{}, err
	}
	a := h.account
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.read(); err != nil {
		return entity{}, err
	}
	if s := a.tables[table][part]; s != nil {
		if e, ok := s.rows[key]; ok {
			return e.clone(), nil
		}
	}
	return entity{}, fmt.Errorf("%s: %w", key, pair.ErrNotFound)
}

func (h *handle) list(ctx context.Context, table string, q query) ([]entity, cursor, error) {
	if err := h.pass(ctx, false); err != nil {
		return nil, cursor{}, err
	}
	a := h.account
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.read(); err != nil {
		return nil, cursor{}, err
	}
	if q.partition == "" {
		rows, next := a.listAcross(table, q)
		return rows, next, nil
	}
	s := a.tables[table][q.partition]
	if s == nil {
		return nil, cursor{}, nil
	}
	rows, next := s.list(q)
	return rows, next, nil
}

// listAcross returns a page of the rows with one key from all partitions. The
// caller holds mu.
func (e *Embedded) listAcross(table string, q query) ([]entity, cursor) {
	var rows []entity
	for _, part := range slices.Sorted(maps.Keys(e.tables[table])) {
		row, ok := e.tables[table][part].rows[q.from]
		if !ok || part < q.after.partition {
			continue
		}
		if len(rows) == q.limit {
			return rows, cursor{partition: part, key: q.from}
		}
		rows = append(rows, row.clone())
	}
	return rows, cursor{}
}

func (s *shelf) list(q query) ([]entity, cursor) {
	start, _ := slices.BinarySearch(s.keys, max(q.from, q.after.key))
	var rows []entity
	for _, key := range s.keys[start:] {
		if q.to != "" && key >= q.to {
			break
		}
		e := s.rows[key]
		if due, _ := e.props[propDue].(string); q.dueBy != "" && (due == "" || due > q.dueBy) {
			continue
		}
		if len(rows) == q.limit {
			return rows, cursor{partition: q.partition, key: key}
		}
		rows = append(rows, e.clone())
	}
	return rows, cursor{}
}

func (h *handle) apply(ctx context.Context, table, part string, ops []op) ([]string, error) {
	if err := h.pass(ctx, true); err != nil {
		return nil, err
	}
	a := h.account
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.write(); err != nil {
		return nil, err
	}
	s := a.shelf(table, part)
	for _, o := range ops {
		if err := s.check(o); err != nil {
			return nil, err
		}
	}
	etags := make([]string, len(ops))
	for i, o := range ops {
		if o.kind == opRemove {
			s.remove(o.row.key)
			continue
		}
		row := o.row.clone()
		row.etag = `W/"` + a.next() + `"`
		s.put(row)
		etags[i] = row.etag
	}
	return etags, a.written()
}

// shelf returns a partition, made if it is not there. The caller holds mu.
func (e *Embedded) shelf(table, part string) *shelf {
	if e.tables[table] == nil {
		e.tables[table] = map[string]*shelf{}
	}
	s := e.tables[table][part]
	if s == nil {
		s = &shelf{rows: map[string]entity{}}
		e.tables[table][part] = s
	}
	return s
}

// check tests the condition of an operation and the limits of its properties.
func (s *shelf) check(o op) error {
	was, there := s.rows[o.row.key]
	switch {
	case o.kind == opInsert && there:
		return fmt.Errorf("%s %s: %w", o.kind, o.row.key, pair.ErrExists)
	case o.kind != opInsert && !there:
		return fmt.Errorf("%s %s: %w", o.kind, o.row.key, pair.ErrNotFound)
	case o.kind != opInsert && was.etag != o.row.etag:
		return fmt.Errorf("%s %s: %w", o.kind, o.row.key, pair.ErrConflict)
	}
	for name, v := range o.row.props {
		if text, ok := v.(string); ok && units(text) > maxText {
			return fmt.Errorf("%s %s with %d characters in %s: %w", o.kind, o.row.key, units(text), name, pair.ErrTooLarge)
		}
	}
	return nil
}

func (s *shelf) put(e entity) {
	if i, there := slices.BinarySearch(s.keys, e.key); !there {
		s.keys = slices.Insert(s.keys, i, e.key)
	}
	s.rows[e.key] = e
}

func (s *shelf) remove(key string) {
	if i, there := slices.BinarySearch(s.keys, key); there {
		s.keys = slices.Delete(s.keys, i, i+1)
	}
	delete(s.rows, key)
}

func (e entity) clone() entity {
	e.props = maps.Clone(e.props)
	return e
}

func (h *handle) enqueue(ctx context.Context, queue, text string, delay time.Duration) error {
	if err := h.pass(ctx, true); err != nil {
		return err
	}
	return h.account.add(queue, text, delay)
}
