package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"tandem/internal/pair"
)

// LeaseSkew is how far the clocks of two workers may be apart. A worker stops
// to believe in its own lease when it ends; another worker waits this much
// longer before it takes it. Machines in Azure are kept well within a second
// of each other; a lease must be much longer than this margin.
const LeaseSkew = 5 * time.Second

// AcquireLease takes the pair for the owner until now+ttl, by replacing the
// record on the condition that it is the snapshot's. The generation rises with
// every acquisition, also of the same owner, so of two workers with one name
// only the later one holds it.
//
// The error is pair.ErrLeaseLost while another owner holds the pair, and
// pair.ErrConflict when it was changed in any other way since the snapshot.
func (s *Store) AcquireLease(ctx context.Context, snap pair.Snapshot, owner string, now time.Time, ttl time.Duration) (pair.Snapshot, error) {
	name := snap.Definition.Name
	got, err := s.setLease(ctx, snap, func(rec pair.Record) (pair.Lease, error) {
		if rec.Lease.HeldByOther(owner, now, LeaseSkew) {
			return pair.Lease{}, heldBy(rec.Lease)
		}
		return pair.Lease{Owner: owner, Until: now.Add(ttl), Generation: rec.Lease.Generation + 1}, nil
	})
	if err != nil {
		return pair.Snapshot{}, fmt.Errorf("take the lease of pair %s: %w", name, err)
	}
	return got, nil
}

// RenewLease extends the owner's lease until now+ttl. The error is
// pair.ErrLeaseLost when the lease is not the snapshot's any more or had ended,
// and pair.ErrConflict or pair.ErrStaleEpoch when the record was changed beside
// it: what was decided on the snapshot no longer counts.
func (s *Store) RenewLease(ctx context.Context, snap pair.Snapshot, owner string, now time.Time, ttl time.Duration) (pair.Snapshot, error) {
	name := snap.Definition.Name
	got, err := s.setLease(ctx, snap, func(rec pair.Record) (pair.Lease, error) {
		if err := holds(rec, snap, owner, now); err != nil {
			return pair.Lease{}, err
		}
		return pair.Lease{Owner: owner, Until: now.Add(ttl), Generation: rec.Lease.Generation}, nil
	})
	if err != nil {
		return pair.Snapshot{}, fmt.Errorf("renew the lease of pair %s: %w", name, err)
	}
	return got, nil
}

// setLease replaces the lease in the record, if the record is the snapshot's
// and next agrees. Before a difference is reported as a conflict, next may
// find a better reason.
func (s *Store) setLease(ctx context.Context, snap pair.Snapshot, next func(pair.Record) (pair.Lease, error)) (pair.Snapshot, error) {
	name := snap.Definition.Name
	r, rec, err := s.readRecord(ctx, name)
	if err != nil {
		return pair.Snapshot{}, err
	}
	lease, err := next(rec)
	if err != nil {
		return pair.Snapshot{}, err
	}
	if r.etag != snap.Version {
		return pair.Snapshot{}, overtaken(rec, snap)
	}
	rec.Lease = lease
	etag, rec, err := s.putRecord(ctx, name, r, rec)
	if raced(err) {
		return pair.Snapshot{}, s.explain(ctx, snap, next)
	}
	if err != nil {
		return pair.Snapshot{}, err
	}
	snap.Record, snap.Version = rec, etag
	return snap, nil
}

// explain tells why a write on the snapshot's condition was refused.
func (s *Store) explain(ctx context.Context, snap pair.Snapshot, next func(pair.Record) (pair.Lease, error)) error {
	_, rec, err := s.readRecord(ctx, snap.Definition.Name)
	switch {
	case errors.Is(err, pair.ErrNotFound), errors.Is(err, pair.ErrTooNew):
		return err
	case err != nil: // that the write was refused is certain all the same
		return fmt.Errorf("%w (the reason is not known: %w)", pair.ErrConflict, err)
	}
	if next != nil {
		if _, err := next(rec); err != nil {
			return err
		}
	}
	return overtaken(rec, snap)
}

// overtaken returns why the stored record is not the snapshot's any more.
func overtaken(rec pair.Record, snap pair.Snapshot) error {
	was := snap.Record
	switch {
	case was.Lease.Owner != "" && rec.Lease.Generation != was.Lease.Generation:
		return fmt.Errorf("generation %d of the lease stands, not %d: %w", rec.Lease.Generation, was.Lease.Generation, pair.ErrLeaseLost)
	case rec.Epoch > was.Epoch:
		return fmt.Errorf("epoch %d stands, not %d: %w", rec.Epoch, was.Epoch, pair.ErrStaleEpoch)
	default:
		return pair.ErrConflict
	}
}

// ReleaseLease gives the pair up: it clears owner and end and keeps the
// generation. It also succeeds on a record that somebody else changed while
// the lease stood; the snapshot's Version is then empty, because nothing may
// be committed on a snapshot that is partly old. The error is
// pair.ErrLeaseLost when the lease is not the snapshot's any more.
func (s *Store) ReleaseLease(ctx context.Context, snap pair.Snapshot, owner string) (pair.Snapshot, error) {
	name := snap.Definition.Name
	for range raceAttempts {
		r, rec, err := s.readRecord(ctx, name)
		if err == nil && (rec.Lease.Owner != owner || rec.Lease.Generation != snap.Record.Lease.Generation) {
			err = fmt.Errorf("generation %d of the lease stands, not %d: %w", rec.Lease.Generation, snap.Record.Lease.Generation, pair.ErrLeaseLost)
		}
		if err != nil {
			return pair.Snapshot{}, fmt.Errorf("release the lease of pair %s: %w", name, err)
		}
		rec.Lease = pair.Lease{Generation: rec.Lease.Generation}
		etag, written, err := s.putRecord(ctx, name, r, rec)
		if raced(err) {
			continue
		}
		if err != nil {
			return pair.Snapshot{}, fmt.Errorf("release the lease of pair %s: %w", name, err)
		}
		if r.etag != snap.Version {
			etag = ""
		}
		snap.Record, snap.Version = written, etag
		return snap, nil
	}
	return pair.Snapshot{}, fmt.Errorf("release the lease of pair %s: %w", name, pair.ErrConflict)
}

// Holds reads the record alone and reports whether the owner may still act on
// what it decided with the snapshot. It is asked right before each effect. The
// error is pair.ErrLeaseLost when the lease ended, was taken, or the pair was
// deleted, pair.ErrStaleEpoch when a newer decision stands, and
// pair.ErrTooNew when a newer release has taken over.
func (s *Store) Holds(ctx context.Context, snap pair.Snapshot, owner string, now time.Time) error {
	name := snap.Definition.Name
	_, rec, err := s.readRecord(ctx, name)
	switch {
	case errors.Is(err, pair.ErrNotFound):
		err = fmt.Errorf("the pair was deleted: %w", pair.ErrLeaseLost)
	case err == nil:
		err = holds(rec, snap, owner, now)
	}
	if err != nil {
		return fmt.Errorf("check the lease of pair %s: %w", name, err)
	}
	return nil
}

// holds reports whether the owner holds the snapshot's lease and epoch in the
// stored record.
func holds(rec pair.Record, snap pair.Snapshot, owner string, now time.Time) error {
	lease := rec.Lease
	switch {
	case lease.Owner != owner || lease.Generation != snap.Record.Lease.Generation:
		return heldBy(lease)
	case !now.Before(lease.Until):
		return fmt.Errorf("it ended at %s: %w", lease.Until.UTC().Format(time.RFC3339), pair.ErrLeaseLost)
	case rec.Epoch > snap.Record.Epoch:
		return fmt.Errorf("epoch %d stands, not %d: %w", rec.Epoch, snap.Record.Epoch, pair.ErrStaleEpoch)
	default:
		return nil
	}
}

func heldBy(l pair.Lease) error {
	if l.Owner == "" {
		return fmt.Errorf("nobody holds it any more: %w", pair.ErrLeaseLost)
	}
	return fmt.Errorf("held by %s until %s: %w", l.Owner, l.Until.UTC().Format(time.RFC3339), pair.ErrLeaseLost)
}

// readRecord reads the record row of a pair, for writers.
func (s *Store) readRecord(ctx context.Context, name string) (row, pair.Record, error) {
	if err := checkName(name); err != nil {
		return row{}, pair.Record{}, err
	}
	e, err := s.get(ctx, tablePairs, name, keyRecord)
	if err != nil {
		return row{}, pair.Record{}, err
	}
	return recordRow(e)
}

// putRecord replaces the record row and returns its new version and the record
// as it is stored.
func (s *Store) putRecord(ctx context.Context, name string, r row, rec pair.Record) (string, pair.Record, error) {
	next, rec, err := nextRecord(r, rec)
	if err != nil {
		return "", rec, err
	}
	etags, err := s.apply(ctx, tablePairs, name, next.replace())
	if err != nil {
		return "", rec, err
	}
	return etags[0], rec, nil
}

// nextRecord puts a record into its stored form, in the place of r.
func nextRecord(r row, rec pair.Record) (row, pair.Record, error) {
	rec.V, rec.MinReader = pair.Version, max(rec.MinReader, r.minReader, pair.MinReader)
	rec = millis(rec)
	next, err := r.with(rec)
	return next, rec, err
}
