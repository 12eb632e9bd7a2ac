package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"tandem/internal/pair"
)

// Define makes a pair, or changes its definition. It first enters the pair and
// its units and resources into the index, then stores definition and record
// together. A definition that is stored already changes nothing.
//
// A new pair starts with epoch 1, or above the epoch that its deleted
// predecessor of the same name had reached; each change of the definition
// takes a new epoch, because it is a change of authority. posts, if not nil,
// is called with that epoch and returns what is put into the outbox with it,
// such as the journal's entry; it is called again when the write has to be
// repeated.
//
// The error is pair.ErrExists when a unit belongs to another pair, which it
// names; pair.ErrTooNew when a newer release wrote the pair; pair.ErrInvalid
// when the definition cannot be stored at all. After an error the call can be
// repeated.
func (s *Store) Define(ctx context.Context, d pair.Definition, posts func(epoch uint64) []pair.Post) (pair.Snapshot, error) {
	if err := checkDefinition(d); err != nil {
		return pair.Snapshot{}, fmt.Errorf("define pair %s: %w", d.Name, err)
	}
	err := pair.ErrConflict
	for range raceAttempts {
		var got pair.Snapshot
		if got, err = s.define(ctx, d, posts); err == nil {
			return got, nil
		}
		if !errors.Is(err, errRaced) {
			break
		}
	}
	return pair.Snapshot{}, fmt.Errorf("define pair %s: %w", d.Name, err)
}

// errRaced marks a conflict of the definition's own write, which may be
// repeated, unlike a unit that belongs to another pair.
var errRaced = fmt.Errorf("another writer was first: %w", pair.ErrConflict)

func checkDefinition(d pair.Definition) error {
	if err := checkName(d.Name); err != nil {
		return err
	}
	if d.Units.First.VM == "" || d.Units.Second.VM == "" || d.VMID(pair.First) == d.VMID(pair.Second) {
		return fmt.Errorf("units on the VMs %q and %q: %w", d.Units.First.VM, d.Units.Second.VM, pair.ErrInvalid)
	}
	r, err := newRow(d.Name, keyDefinition, d)
	if err != nil {
		return err
	}
	return checkTransaction(d.Name, []op{r.insert()})
}

// define makes one attempt.
func (s *Store) define(ctx context.Context, d pair.Definition, posts func(uint64) []pair.Post) (pair.Snapshot, error) {
	p, err := s.partition(ctx, d.Name)
	if err != nil {
		return pair.Snapshot{}, err
	}
	var was pair.Definition
	if p.exists() {
		snap, err := p.snapshot()
		if err != nil {
			return pair.Snapshot{}, err
		}
		was = snap.Definition
	}
	if err := s.enterIndex(ctx, d); err != nil {
		return pair.Snapshot{}, err
	}
	t := transaction{p: p}
	if err := t.apply(d, was, posts); err != nil {
		return pair.Snapshot{}, err
	}
	if len(t.ops) > 0 {
		if _, err := s.apply(ctx, tablePairs, d.Name, t.ops...); raced(err) {
			return pair.Snapshot{}, errRaced
		} else if err != nil {
			return pair.Snapshot{}, err
		}
	}
	if err := s.leaveIndex(ctx, d.Name, without(indexKeys(was), indexKeys(d))); err != nil {
		return pair.Snapshot{}, err
	}
	return s.Load(ctx, d.Name)
}

// apply adds the operations that make the partition hold the definition; none
// if it does.
func (t *transaction) apply(d, was pair.Definition, posts func(uint64) []pair.Post) error {
	if t.p.exists() && sameDefinition(d, was) {
		return nil
	}
	write := t.create
	if t.p.exists() {
		write = t.redefine
	}
	epoch, err := write(d)
	if err != nil || posts == nil {
		return err
	}
	for _, post := range posts(epoch) {
		if _, err := t.post(post); err != nil {
			return err
		}
	}
	return nil
}

// create adds a new pair, in the place of its predecessor's tombstone.
func (t *transaction) create(d pair.Definition) (uint64, error) {
	rec := pair.Record{V: pair.Version, MinReader: pair.MinReader, Epoch: 1}
	if e, ok := t.p.byKey[keyTombstone]; ok {
		var stone tombstone
		if err := readRow(e).read(&stone); err != nil {
			return 0, err
		}
		rec.Epoch = stone.Epoch + 1
		rec.Lease.Generation = stone.Generation
		t.ops = append(t.ops, op{opRemove, e})
	}
	record, err := newRow(t.p.name, keyRecord, rec)
	if err != nil {
		return 0, err
	}
	definition, err := newRow(t.p.name, keyDefinition, d)
	t.ops = append(t.ops, record.insert(), definition.insert())
	return rec.Epoch, err
}

// redefine replaces definition and record.
func (t *transaction) redefine(d pair.Definition) (uint64, error) {
	stored, rec, err := t.p.record()
	if err != nil {
		return 0, err
	}
	rec.Epoch++
	definition, was, err := t.p.definition()
	if err != nil {
		return 0, err
	}
	if err := t.mayMove(was, d, rec); err != nil {
		return 0, err
	}
	forgetUnits(&rec, was, d)
	record, _, err := nextRecord(stored, rec)
	if err != nil {
		return 0, err
	}
	next, err := definition.with(d)
	t.ops = append(t.ops, record.replace(), next.replace())
	return rec.Epoch, err
}

// mayMove refuses a definition that would lose sight of an admin state of ours:
// holds and intents name their unit by its role, so while one stands, the roles
// must keep their machines, addresses and place in Azure.
func (t *transaction) mayMove(was, d pair.Definition, rec pair.Record) error {
	if sameUnits(was, d) {
		return nil
	}
	if len(rec.Admin) == 0 && !slices.ContainsFunc(t.p.rows, func(e entity) bool { return strings.HasPrefix(e.key, prefixIntent) }) {
		return nil
	}
	return fmt.Errorf("other units while an admin state of ours stands in a load balancer: set mode observe, which takes it back, and apply again when tandem status shows none: %w", pair.ErrBusy)
}

func sameUnits(a, b pair.Definition) bool {
	for _, r := range pair.Roles {
		if a.VMID(r) != b.VMID(r) || a.Units.Of(r).Address != b.Units.Of(r).Address {
			return false
		}
	}
	return true
}

// forgetUnits drops what is remembered of a machine that is not the unit any
// more: it would be said of another one.
func forgetUnits(rec *pair.Record, was, d pair.Definition) {
	for _, r := range pair.Roles {
		if was.VMID(r) != d.VMID(r) {
			rec.Units[r.Index()] = pair.UnitRecord{}
			rec.LastActive = pair.RoleUnknown
		}
	}
}

// sameDefinition compares what would be stored.
func sameDefinition(a, b pair.Definition) bool {
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && string(x) == string(y)
}

// Delete removes a pair and leaves a tombstone with its epoch, above which a
// pair of the same name continues. It can be repeated after an error. The
// error is pair.ErrConflict while anything of the pair still stands that nobody
// would look after: an admin state of ours, an open intent, an undelivered
// post; and pair.ErrNotFound if there never was such a pair.
//
// Delete and Define of one name must not run at once; if they did, Reindex
// puts the index right.
func (s *Store) Delete(ctx context.Context, name string) error {
	err := pair.ErrConflict
	for range raceAttempts {
		if err = s.remove(ctx, name); !errors.Is(err, errRaced) {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("delete pair %s: %w", name, err)
	}
	return nil
}

func (s *Store) remove(ctx context.Context, name string) error {
	p, err := s.partition(ctx, name)
	if err != nil {
		return err
	}
	var stone tombstone
	if e, ok := p.byKey[keyTombstone]; ok && !p.exists() {
		if err := readRow(e).read(&stone); err != nil {
			return err
		}
	} else if stone, err = s.bury(ctx, p); err != nil {
		return err
	}
	return s.leaveIndex(ctx, name, indexKeys(stone.Definition))
}

// bury replaces the pair's rows by a tombstone.
func (s *Store) bury(ctx context.Context, p partition) (tombstone, error) {
	snap, err := p.snapshot()
	if err != nil {
		return tombstone{}, err
	}
	if n, m, o := len(snap.Record.Admin), len(snap.Intents), len(snap.Outbox); n+m+o > 0 {
		return tombstone{}, fmt.Errorf("%d admin states, %d intents and %d posts are left: %w", n, m, o, pair.ErrConflict)
	}
	stone := tombstone{Epoch: snap.Record.Epoch, Generation: snap.Record.Lease.Generation, Definition: snap.Definition}
	r, err := newRow(p.name, keyTombstone, stone)
	if err != nil {
		return tombstone{}, err
	}
	ops := []op{r.insert()}
	for _, e := range p.rows {
		ops = append(ops, op{opRemove, e})
	}
	if _, err := s.apply(ctx, tablePairs, p.name, ops...); raced(err) {
		return tombstone{}, errRaced
	} else if err != nil {
		return tombstone{}, err
	}
	return stone, nil
}

// without returns the keys of a that are not in b.
func without(a, b []string) []string {
	in := make(map[string]bool, len(b))
	for _, k := range b {
		in[k] = true
	}
	var left []string
	for _, k := range a {
		if !in[k] {
			left = append(left, k)
		}
	}
	return left
}
