package store

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	"tandem/internal/pair"
)

// Commit stores a change of a pair, all of it or nothing, on the condition
// that the record is still the snapshot's, and returns the pair as it is then.
// The lease is kept as it is stored: a change cannot touch it.
//
// When the condition failed, nothing was stored, and the pair must be loaded
// and decided again: pair.ErrLeaseLost if the snapshot's lease was taken,
// pair.ErrStaleEpoch if a newer epoch stands, pair.ErrConflict for any other
// change, pair.ErrNotFound if the pair was deleted. pair.ErrStaleEpoch is also
// the answer to a change that would lower the epoch or add an intent of an
// older one; pair.ErrTooLarge to one that exceeds what one transaction can
// hold, 100 rows and 4 MiB. After pair.ErrUnknownOutcome the change may be
// stored or not.
func (s *Store) Commit(ctx context.Context, snap pair.Snapshot, ch pair.Change) (pair.Snapshot, error) {
	got, err := s.commit(ctx, snap, ch)
	if err != nil {
		return pair.Snapshot{}, fmt.Errorf("commit pair %s: %w", snap.Definition.Name, err)
	}
	return got, nil
}

func (s *Store) commit(ctx context.Context, snap pair.Snapshot, ch pair.Change) (pair.Snapshot, error) {
	p, err := s.partition(ctx, snap.Definition.Name)
	if err != nil {
		return pair.Snapshot{}, err
	}
	stored, rec, err := p.record()
	if err != nil {
		return pair.Snapshot{}, err
	}
	if stored.etag != snap.Version {
		return pair.Snapshot{}, overtaken(rec, snap)
	}
	if ch.Record.Epoch < rec.Epoch {
		return pair.Snapshot{}, fmt.Errorf("epoch %d stands, not %d: %w", rec.Epoch, ch.Record.Epoch, pair.ErrStaleEpoch)
	}
	ch.Record.Lease = rec.Lease
	t := transaction{p: p}
	got, err := t.change(stored, ch)
	if err != nil {
		return pair.Snapshot{}, err
	}
	etags, err := s.apply(ctx, tablePairs, p.name, t.ops...)
	if raced(err) {
		return pair.Snapshot{}, s.explain(ctx, snap, nil)
	}
	if err != nil {
		return pair.Snapshot{}, err
	}
	got.Version = etags[0]
	return got, nil
}

// transaction collects the operations of one change of a pair.
type transaction struct {
	p   partition
	ops []op
}

// change adds everything of the change, the record first, and returns what the
// pair will be.
func (t *transaction) change(stored row, ch pair.Change) (pair.Snapshot, error) {
	got, err := t.p.snapshot()
	if err != nil {
		return got, err
	}
	var next row
	if next, got.Record, err = nextRecord(stored, ch.Record); err != nil {
		return got, err
	}
	t.ops = append(t.ops, next.replace())
	if ch.Definition != nil {
		if got.Definition, err = t.define(*ch.Definition); err != nil {
			return got, err
		}
	}
	if got.Intents, err = t.intents(got.Intents, got.Record.Epoch, ch); err != nil {
		return got, err
	}
	got.Outbox, err = t.outbox(got.Outbox, ch.Outbox)
	return got, err
}

// define replaces the definition. What the index says of the pair must stay
// as it is, because the index is in another table.
func (t *transaction) define(d pair.Definition) (pair.Definition, error) {
	r, was, err := t.p.definition()
	if err != nil {
		return d, err
	}
	if d.Name != was.Name || !slices.Equal(indexKeys(d), indexKeys(was)) {
		return d, fmt.Errorf("change the units or resources of a definition otherwise than by Define: %w", pair.ErrInvalid)
	}
	next, err := r.with(d)
	t.ops = append(t.ops, next.replace())
	return d, err
}

// intents writes and deletes intents; deleting one that is gone already is not
// an error.
func (t *transaction) intents(was []pair.Intent, epoch uint64, ch pair.Change) ([]pair.Intent, error) {
	now := make(map[string]pair.Intent, len(was)+len(ch.PutIntents))
	for _, i := range was {
		now[i.ID] = i
	}
	for _, i := range ch.PutIntents {
		i.V, i.MinReader = pair.Version, max(i.MinReader, pair.MinReader)
		i = millis(i)
		r, err := t.put(prefixIntent, i.ID, i)
		if err != nil {
			return nil, err
		}
		if err := checkEpoch(i, r.etag == "", epoch); err != nil {
			return nil, err
		}
		now[i.ID] = i
	}
	for _, id := range ch.DelIntents {
		if e, ok := t.p.byKey[prefixIntent+id]; ok {
			t.ops = append(t.ops, op{opRemove, e})
		}
		delete(now, id)
	}
	return slices.SortedFunc(maps.Values(now), func(a, b pair.Intent) int { return cmp.Compare(a.ID, b.ID) }), nil
}

// checkEpoch refuses a new intent of any epoch but the record's, and a changed
// one of a later epoch.
func checkEpoch(i pair.Intent, added bool, epoch uint64) error {
	switch {
	case i.Epoch > epoch:
		return fmt.Errorf("intent %s of epoch %d in epoch %d: %w", i.ID, i.Epoch, epoch, pair.ErrInvalid)
	case added && i.Epoch < epoch:
		return fmt.Errorf("intent %s of epoch %d in epoch %d: %w", i.ID, i.Epoch, epoch, pair.ErrStaleEpoch)
	default:
		return nil
	}
}

// outbox adds posts. A post that waits there already is left as it is: ids
// tell repeats.
func (t *transaction) outbox(was, add []pair.Post) ([]pair.Post, error) {
	for _, post := range add {
		if _, ok := t.p.byKey[prefixOutbox+post.ID]; ok {
			continue
		}
		post, err := t.post(post)
		if err != nil {
			return nil, err
		}
		was = append(was, post)
	}
	slices.SortFunc(was, func(a, b pair.Post) int { return cmp.Compare(a.ID, b.ID) })
	return was, nil
}

// post inserts one post.
func (t *transaction) post(post pair.Post) (pair.Post, error) {
	if post.Kind == pair.PostUnknown || post.Body == nil {
		return post, fmt.Errorf("post %s without kind or body: %w", post.ID, pair.ErrInvalid)
	}
	post.V, post.MinReader = pair.Version, max(post.MinReader, pair.MinReader)
	post = millis(post)
	_, err := t.put(prefixOutbox, post.ID, post)
	return post, err
}

// put inserts the row of a value, or replaces it where it was there, and
// returns the row.
func (t *transaction) put(prefix, id string, value any) (row, error) {
	if !ofPair(t.p.name, id) {
		return row{}, fmt.Errorf("id %.80q, expected %s-<epoch>-<seq>: %w", id, t.p.name, pair.ErrInvalid)
	}
	if e, ok := t.p.byKey[prefix+id]; ok {
		r, err := readRow(e).with(value)
		t.ops = append(t.ops, r.replace())
		return r, err
	}
	r, err := newRow(t.p.name, prefix+id, value)
	t.ops = append(t.ops, r.insert())
	return r, err
}

// Delivered takes posts out of the outbox; ids that are not there any more are
// fine, because delivering is repeated after a crash.
func (s *Store) Delivered(ctx context.Context, name string, ids []string) error {
	if err := checkName(name); err != nil {
		return fmt.Errorf("empty the outbox of pair %s: %w", name, err)
	}
	if len(ids) == 0 {
		return nil
	}
	wanted := make(map[string]bool, len(ids))
	for _, id := range ids {
		wanted[prefixOutbox+id] = true
	}
	var err error
	for range raceAttempts {
		if err = s.delivered(ctx, name, wanted); !raced(err) {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("empty the outbox of pair %s: %w", name, err)
	}
	return nil
}

// delivered deletes the posts that are still there. Posts never change, so
// deleting them does not need the record's lock.
func (s *Store) delivered(ctx context.Context, name string, wanted map[string]bool) error {
	rows, err := s.list(ctx, tablePairs, query{partition: name, from: prefixOutbox, to: afterOutbox})
	if err != nil {
		return err
	}
	var ops []op
	for _, e := range rows {
		if wanted[e.key] {
			ops = append(ops, op{opRemove, e})
		}
	}
	for chunk := range slices.Chunk(ops, maxOps) {
		if _, err := s.apply(ctx, tablePairs, name, chunk...); err != nil {
			return err
		}
	}
	return nil
}
