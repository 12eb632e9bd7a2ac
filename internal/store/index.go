package store

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"tandem/internal/pair"
)

// The index is one partition, so that everything a pair has in it changes in
// one transaction. It holds a row for each pair with the time when it is due,
// a claim for each unit's VM, and a row for each resource and pair.
const (
	indexPartition = "index"
	prefixPair     = "pair-"
	prefixVM       = "vm-"
	prefixResource = "resource-"
	afterPair      = "pair." // follows every key that begins with prefixPair
)

// dueLayout makes the text order of due times their time order.
const dueLayout = "2006-01-02T15:04:05.000Z"

// claimGrace is how old a claim must be before it counts as left behind when
// its pair's definition does not name the unit: Define claims first and stores
// the definition after, and may be slow.
const claimGrace = 15 * time.Minute

// indexed is the value of every row of the index.
type indexed struct {
	Pair string    `json:"pair"`
	ID   string    `json:"id,omitempty"` // of the VM or resource
	At   time.Time `json:"at"`           // when it was entered
}

// indexKeys returns the keys of everything that a pair has in the index, in
// order; none for the empty definition.
func indexKeys(d pair.Definition) []string {
	if d.Name == "" {
		return nil
	}
	var keys []string
	for key := range indexEntries(d) {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// indexEntries yields the key and the id of each row that a pair has in the
// index.
func indexEntries(d pair.Definition) map[string]string {
	entries := map[string]string{prefixPair + d.Name: ""}
	for _, r := range pair.Roles {
		id := string(d.VMID(r))
		entries[prefixVM+escape(id)] = id
	}
	for _, id := range resources(d) {
		entries[resourceKey(id)+d.Name] = string(id)
	}
	return entries
}

// resources returns the ids of what a pair shares or owns beside its VMs.
func resources(d pair.Definition) []pair.ResourceID {
	var ids []pair.ResourceID
	for _, lb := range d.LoadBalancers {
		ids = append(ids, d.LoadBalancerID(lb.Name))
	}
	if d.SecurityGroup.Name != "" {
		ids = append(ids, pair.NewResourceID("/subscriptions/"+d.Azure.Subscription+"/resourceGroups/"+d.Azure.ResourceGroup+
			"/providers/Microsoft.Network/networkSecurityGroups/"+d.SecurityGroup.Name))
	}
	return ids
}

func vmKey(id pair.ResourceID) string {
	return prefixVM + escape(string(pair.NewResourceID(string(id))))
}

// resourceKey is what the keys of a resource begin with; the pair's name
// follows, because several pairs may share it.
func resourceKey(id pair.ResourceID) string {
	return prefixResource + escape(string(pair.NewResourceID(string(id)))) + keySeparator
}

// enterIndex claims the pair's units and enters the pair and its resources, in
// one transaction. It does nothing if all is there.
func (s *Store) enterIndex(ctx context.Context, d pair.Definition) error {
	err := pair.ErrConflict
	for range raceAttempts {
		var ops []op
		if ops, err = s.missing(ctx, d); err != nil || len(ops) == 0 {
			return err
		}
		if _, err = s.apply(ctx, tableIndex, indexPartition, ops...); !raced(err) {
			return err
		}
	}
	return fmt.Errorf("enter it into the index: %w", err)
}

// missing returns the operations that enter the pair into the index. The error
// is pair.ErrExists when a unit is claimed by another pair.
func (s *Store) missing(ctx context.Context, d pair.Definition) ([]op, error) {
	entries := indexEntries(d)
	var ops []op
	for _, key := range indexKeys(d) {
		value := indexed{Pair: d.Name, ID: entries[key], At: s.now()}
		e, err := s.get(ctx, tableIndex, indexPartition, key)
		var o *op
		switch {
		case errors.Is(err, pair.ErrNotFound):
			var r row
			r, err = newIndexRow(key, value)
			ops = append(ops, r.insert())
		case err == nil:
			o, err = s.takeOver(ctx, readRow(e), value)
		}
		if err != nil {
			return nil, err
		}
		if o != nil {
			ops = append(ops, *o)
		}
	}
	return ops, nil
}

// takeOver returns the operation that gives a row of the index to the pair of
// the value, nil if it has it. The error is pair.ErrExists when it is another
// pair's.
func (s *Store) takeOver(ctx context.Context, r row, value indexed) (*op, error) {
	var was indexed
	if err := r.read(&was); err != nil {
		return nil, err
	}
	if was.Pair == value.Pair {
		return nil, nil
	}
	left, err := s.leftBehind(ctx, was)
	if err != nil {
		return nil, err
	}
	if !left {
		return nil, fmt.Errorf("vm %s belongs to pair %s: %w", pair.ResourceID(was.ID).Name(), was.Pair, pair.ErrExists)
	}
	r, err = r.with(millis(value))
	o := r.replace()
	return &o, err
}

// newIndexRow makes a row of the index; a pair's row is due at once.
func newIndexRow(key string, value indexed) (row, error) {
	r, err := newRow(indexPartition, key, millis(value))
	if err == nil && strings.HasPrefix(key, prefixPair) {
		r.props[propDue] = time.Time{}.Format(dueLayout)
	}
	return r, err
}

// leftBehind reports whether a claim is nobody's: old enough, and of a pair
// that does not exist or does not name the VM.
func (s *Store) leftBehind(ctx context.Context, claim indexed) (bool, error) {
	if s.now().Sub(claim.At) < claimGrace {
		return false, nil
	}
	e, err := s.get(ctx, tablePairs, claim.Pair, keyDefinition)
	if errors.Is(err, pair.ErrNotFound) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	var d pair.Definition
	if err := readRow(e).read(&d); err != nil {
		return false, err
	}
	for _, r := range pair.Roles {
		if string(d.VMID(r)) == claim.ID {
			return false, nil
		}
	}
	return true, nil
}

// leaveIndex removes rows of the pair from the index; what is gone or belongs
// to another pair now is left alone.
func (s *Store) leaveIndex(ctx context.Context, name string, keys []string) error {
	var err error
	for range raceAttempts {
		var ops []op
		if ops, err = s.leaving(ctx, name, keys); err != nil || len(ops) == 0 {
			break
		}
		if _, err = s.apply(ctx, tableIndex, indexPartition, ops...); !raced(err) {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("take it out of the index: %w", err)
	}
	return nil
}

func (s *Store) leaving(ctx context.Context, name string, keys []string) ([]op, error) {
	var ops []op
	for _, key := range keys {
		e, err := s.get(ctx, tableIndex, indexPartition, key)
		if errors.Is(err, pair.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		var was indexed
		if err := readRow(e).read(&was); err != nil {
			return nil, err
		}
		if was.Pair == name {
			ops = append(ops, op{opRemove, e})
		}
	}
	return ops, nil
}

// Pairs yields the names of all pairs in order. It reads on in pages, so it
// shows each pair that was there all the time exactly once. After an error it
// yields nothing more.
func (s *Store) Pairs(ctx context.Context) iter.Seq2[string, error] {
	return s.indexedPairs(ctx, "")
}

// Due yields the names of the pairs that are due by now, like Pairs.
func (s *Store) Due(ctx context.Context, now time.Time) iter.Seq2[string, error] {
	return s.indexedPairs(ctx, now.UTC().Format(dueLayout))
}

func (s *Store) indexedPairs(ctx context.Context, dueBy string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		q := query{partition: indexPartition, from: prefixPair, to: afterPair, dueBy: dueBy}
		for {
			rows, next, err := s.page(ctx, tableIndex, q)
			if err != nil {
				yield("", fmt.Errorf("list pairs: %w", err))
				return
			}
			for _, e := range rows {
				if !yield(strings.TrimPrefix(e.key, prefixPair), nil) {
					return
				}
			}
			if next == (cursor{}) {
				return
			}
			q.after = next
		}
	}
}

// SetDue says when the pair is to be looked at next, in whole milliseconds. If
// another writer sets it at the same moment, the sooner of both stands: a look
// too early costs little, one too late breaks the guarantee of the sweep. A
// pair that is missing in the index is entered. The error is pair.ErrNotFound
// if there is no such pair.
func (s *Store) SetDue(ctx context.Context, name string, due time.Time) error {
	if err := checkName(name); err != nil {
		return fmt.Errorf("set when it is due: %w", err)
	}
	want := due.UTC().Format(dueLayout)
	err := pair.ErrConflict
	for range raceAttempts {
		var o *op
		if o, want, err = s.dueOp(ctx, name, want, errors.Is(err, errRaced)); err != nil || o == nil {
			break
		}
		if _, err = s.apply(ctx, tableIndex, indexPartition, *o); !raced(err) {
			break
		}
		err = errRaced
	}
	if err != nil {
		return fmt.Errorf("set when pair %s is due: %w", name, err)
	}
	return nil
}

// dueOp returns the operation that sets the due time, nil if it is set, and
// the time itself: after a lost race the sooner one.
func (s *Store) dueOp(ctx context.Context, name, want string, lost bool) (*op, string, error) {
	e, err := s.get(ctx, tableIndex, indexPartition, prefixPair+name)
	if errors.Is(err, pair.ErrNotFound) {
		if _, err := s.get(ctx, tablePairs, name, keyDefinition); err != nil {
			return nil, want, err
		}
		r, err := newIndexRow(prefixPair+name, indexed{Pair: name, At: s.now()})
		if err != nil {
			return nil, want, err
		}
		r.props[propDue] = want
		o := r.insert()
		return &o, want, nil
	}
	if err != nil {
		return nil, want, err
	}
	r := readRow(e)
	var was indexed
	if err := r.read(&was); err != nil {
		return nil, want, err
	}
	set, _ := e.props[propDue].(string)
	if lost && set < want {
		want = set
	}
	if set == want {
		return nil, want, nil
	}
	if r, err = r.with(was); err != nil {
		return nil, want, err
	}
	r.props[propDue] = want
	o := r.replace()
	return &o, want, nil
}

// PairsOfVM returns the pair that owns the VM: none or one name.
func (s *Store) PairsOfVM(ctx context.Context, id pair.ResourceID) ([]string, error) {
	e, err := s.get(ctx, tableIndex, indexPartition, vmKey(id))
	if errors.Is(err, pair.ErrNotFound) {
		return nil, nil
	}
	var was indexed
	if err == nil {
		err = readRow(e).read(&was)
	}
	if err != nil {
		return nil, fmt.Errorf("find the pair of vm %s: %w", id.Name(), err)
	}
	return []string{was.Pair}, nil
}

// PairsOfResource returns the pairs that use the load balancer or security
// group, in order.
func (s *Store) PairsOfResource(ctx context.Context, id pair.ResourceID) ([]string, error) {
	key := resourceKey(id)
	to := strings.TrimSuffix(key, keySeparator) + keyAfter
	rows, err := s.list(ctx, tableIndex, query{partition: indexPartition, from: key, to: to})
	if err != nil {
		return nil, fmt.Errorf("find the pairs of %s: %w", id.Name(), err)
	}
	var names []string
	for _, e := range rows {
		names = append(names, strings.TrimPrefix(e.key, key))
	}
	return names, nil
}
