package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"tandem/internal/geo"
	"tandem/internal/pair"
)

// topologies is the one partition of all GEO topologies. There are a few of them, so
// one query finds all that are due.
const topologies = "topologies"

// Topology reads what is stored of a topology. The error is pair.ErrNotFound where
// there is none of this name. One of a newer release comes back with pair.ErrTooNew
// and whatever of it could be read; its Version is empty, so nothing can be written
// in its place.
func (s *Store) Topology(ctx context.Context, name string) (geo.Snapshot, error) {
	_, snap, err := s.topology(ctx, name)
	if err != nil {
		return snap, fmt.Errorf("read topology %s: %w", name, err)
	}
	return snap, nil
}

func (s *Store) topology(ctx context.Context, name string) (row, geo.Snapshot, error) {
	if err := checkName(name); err != nil {
		return row{}, geo.Snapshot{}, err
	}
	e, err := s.get(ctx, tableGeo, topologies, name)
	if err != nil {
		return row{}, geo.Snapshot{}, err
	}
	return readTopology(e)
}

func readTopology(e entity) (row, geo.Snapshot, error) {
	r := readRow(e)
	var v keeping[geo.Record]
	err := r.read(&v)
	snap := geo.Snapshot{Record: v.Value}
	if err == nil {
		snap.Version = e.etag
	}
	return r, snap, err
}

// PutTopology stores a topology in the place of what the snapshot was read as, or
// anew where its version is empty, and returns it as it is then. The error is
// pair.ErrConflict where another one wrote since, pair.ErrExists where there is one
// already, and pair.ErrStaleEpoch for an epoch below the one that stands. After
// pair.ErrUnknownOutcome it may be stored or not.
func (s *Store) PutTopology(ctx context.Context, snap geo.Snapshot) (geo.Snapshot, error) {
	got, err := s.putTopology(ctx, snap)
	if err != nil {
		return geo.Snapshot{}, fmt.Errorf("store topology %s: %w", snap.Record.Topology.Name, err)
	}
	return got, nil
}

func (s *Store) putTopology(ctx context.Context, snap geo.Snapshot) (geo.Snapshot, error) {
	rec := millis(snap.Record)
	rec.V, rec.MinReader = pair.Version, max(rec.MinReader, pair.MinReader)
	name := rec.Topology.Name
	r, was, err := s.topology(ctx, name)
	switch {
	case errors.Is(err, pair.ErrNotFound) && snap.Version == "":
		r = row{entity: entity{partition: topologies, key: name}}
	case errors.Is(err, pair.ErrNotFound):
		return snap, fmt.Errorf("it was deleted: %w", pair.ErrConflict)
	case err != nil:
		return snap, err
	case snap.Version == "":
		return snap, pair.ErrExists
	case rec.Epoch < was.Record.Epoch:
		return snap, fmt.Errorf("epoch %d stands, not %d: %w", was.Record.Epoch, rec.Epoch, pair.ErrStaleEpoch)
	case was.Version != snap.Version:
		return snap, pair.ErrConflict
	}
	var v keeping[geo.Record]
	if len(r.data) > 0 {
		if err := r.read(&v); err != nil { // for the sake of what a newer release has added
			return snap, err
		}
	}
	v.Value = rec
	next, err := r.with(v)
	if err != nil {
		return snap, err
	}
	next.props[propDue] = rec.Due.UTC().Format(dueLayout)
	o := next.replace()
	if snap.Version == "" {
		o = next.insert()
	}
	etags, err := s.apply(ctx, tableGeo, topologies, o)
	if err != nil {
		return snap, err
	}
	return geo.Snapshot{Record: rec, Version: etags[0]}, nil
}

// Topologies reads all topologies, in the order of their names. Those of a newer
// release, or that cannot be read, are left out.
func (s *Store) Topologies(ctx context.Context) ([]geo.Snapshot, error) {
	rows, err := s.list(ctx, tableGeo, query{partition: topologies})
	if err != nil {
		return nil, fmt.Errorf("read topologies: %w", err)
	}
	var all []geo.Snapshot
	for _, e := range rows {
		_, snap, err := readTopology(e)
		if err == nil {
			all = append(all, snap)
		}
	}
	return all, nil
}

// DueTopologies returns the names of the topologies that are due by now, in order.
func (s *Store) DueTopologies(ctx context.Context, now time.Time) ([]string, error) {
	rows, err := s.list(ctx, tableGeo, query{partition: topologies, dueBy: now.UTC().Format(dueLayout)})
	if err != nil {
		return nil, fmt.Errorf("find due topologies: %w", err)
	}
	names := make([]string, len(rows))
	for i, e := range rows {
		names[i] = e.key
	}
	return names, nil
}
