package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"tandem/internal/pair"
)

// Reindex makes the index agree with the definitions of all pairs: it enters
// what is missing and removes what no definition names, unless it was entered
// within the last quarter of an hour, because a Define may be on its way. A
// unit that two definitions name stays with the pair that holds its claim; the
// error then is pair.ErrExists and names both, after everything else was done.
// It returns how many rows were added and removed.
func (s *Store) Reindex(ctx context.Context) (added, removed int, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("rebuild the index: %w", err)
		}
	}()
	wanted, err := s.wantedIndex(ctx)
	if err != nil {
		return 0, 0, err
	}
	rows, err := s.list(ctx, tableIndex, query{partition: indexPartition})
	if err != nil {
		return 0, 0, err
	}
	var errs []error
	for _, e := range rows {
		switch gone, err := s.tidy(ctx, e, wanted); {
		case err != nil:
			errs = append(errs, err)
		case gone:
			removed++
		}
	}
	for _, key := range slices.Sorted(maps.Keys(wanted)) {
		owners := wanted[key]
		for _, other := range owners[1:] {
			errs = append(errs, fmt.Errorf("pairs %s and %s name the vm %s: %w", owners[0].Pair, other.Pair, pair.ResourceID(other.ID).Name(), pair.ErrExists))
		}
		done, err := s.enter(ctx, key, owners[0])
		if err != nil {
			errs = append(errs, err)
		}
		if done {
			added++
		}
	}
	return added, removed, errors.Join(errs...)
}

// wantedIndex returns who should be in the index by the definitions of all
// pairs. Only a VM can have more than one owner, which is a mistake.
func (s *Store) wantedIndex(ctx context.Context) (map[string][]indexed, error) {
	rows, err := s.list(ctx, tablePairs, query{from: keyDefinition})
	if err != nil {
		return nil, err
	}
	wanted := map[string][]indexed{}
	for _, e := range rows {
		var d pair.Definition
		err := readRow(e).read(&d)
		if newer := errors.Is(err, pair.ErrTooNew) && d.Name == e.partition; err != nil && !newer {
			return nil, fmt.Errorf("pair %s: %w", e.partition, err)
		}
		for key, id := range indexEntries(d) {
			wanted[key] = append(wanted[key], indexed{Pair: d.Name, ID: id, At: s.now()})
		}
	}
	return wanted, nil
}

// tidy takes one row of the index: a right one needs no more work and leaves
// wanted, one that nobody wants is removed. The claim of a VM that two pairs
// name is put first among its owners.
func (s *Store) tidy(ctx context.Context, e entity, wanted map[string][]indexed) (gone bool, err error) {
	var was indexed
	if err := readRow(e).read(&was); err != nil {
		return false, err
	}
	owners := wanted[e.key]
	if i := slices.IndexFunc(owners, func(o indexed) bool { return o.Pair == was.Pair }); i >= 0 {
		owners[0], owners[i] = owners[i], owners[0]
		if len(owners) == 1 {
			delete(wanted, e.key)
		}
		return false, nil
	}
	if s.now().Sub(was.At) < claimGrace {
		if len(owners) > 0 && strings.HasPrefix(e.key, prefixVM) {
			delete(wanted, e.key)
			return false, fmt.Errorf("vm %s is claimed by pair %s and named by pair %s: %w",
				pair.ResourceID(was.ID).Name(), was.Pair, owners[0].Pair, pair.ErrExists)
		}
		return false, nil
	}
	_, err = s.apply(ctx, tableIndex, indexPartition, op{opRemove, e})
	if raced(err) {
		return false, nil
	}
	return err == nil, err
}

// enter inserts one row; that it is there by now is fine.
func (s *Store) enter(ctx context.Context, key string, value indexed) (bool, error) {
	r, err := newIndexRow(key, value)
	if err != nil {
		return false, err
	}
	_, err = s.apply(ctx, tableIndex, indexPartition, r.insert())
	if errors.Is(err, pair.ErrExists) {
		return false, nil
	}
	return err == nil, err
}
