package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"tandem/internal/pair"
)

// The row keys of a pair's partition.
const (
	keyDefinition = "definition"
	keyRecord     = "record"
	keyTombstone  = "tombstone"
	prefixIntent  = "intent-"
	prefixOutbox  = "outbox-"
	afterOutbox   = "outbox." // follows every key that begins with prefixOutbox
)

// partition is all rows of one pair, read at one moment.
type partition struct {
	name  string
	rows  []entity // in the order of their keys
	byKey map[string]entity
}

func newPartition(name string, rows []entity) partition {
	p := partition{name: name, rows: rows, byKey: make(map[string]entity, len(rows))}
	for _, e := range rows {
		p.byKey[e.key] = e
	}
	return p
}

// exists reports whether the pair is there; a tombstone is not a pair.
func (p partition) exists() bool { return p.byKey[keyRecord].etag != "" }

// tombstone is what remains of a deleted pair: what a pair of the same name
// must continue above, and what is still to be taken out of the index.
type tombstone struct {
	Epoch      uint64          `json:"epoch"`
	Generation uint64          `json:"generation"` // of the lease
	Definition pair.Definition `json:"definition"`
}

// recordRow reads the record. The error is pair.ErrTooNew where only a newer
// release may act on it; epoch and lease are read even then, because they have
// kept their meaning since the first release.
func recordRow(e entity) (row, pair.Record, error) {
	r := readRow(e)
	var rec pair.Record
	err := r.read(&rec)
	if err == nil && rec.V == 0 {
		err = fmt.Errorf("read %s: it has no version, so it is none of ours: %w", keyRecord, pair.ErrUnreadable)
	}
	if err == nil && rec.Readable() {
		return r, rec, nil
	}
	var least struct {
		V         int        `json:"v"`
		MinReader int        `json:"minReader"`
		Epoch     uint64     `json:"epoch"`
		Lease     pair.Lease `json:"lease"`
	}
	if rec.V == 0 && json.Unmarshal(r.data, &least) == nil {
		rec = pair.Record{V: least.V, Epoch: least.Epoch, Lease: least.Lease, MinReader: least.MinReader}
	}
	rec.MinReader = max(rec.MinReader, r.minReader)
	if rec.MinReader > pair.Version {
		return r, rec, fmt.Errorf("read %s, for readers of version %d: %w", keyRecord, rec.MinReader, pair.ErrTooNew)
	}
	return r, rec, err
}

// record returns the pair's record row, for writers: what cannot be read in
// full is an error.
func (p partition) record() (row, pair.Record, error) {
	if !p.exists() {
		return row{}, pair.Record{}, pair.ErrNotFound
	}
	return recordRow(p.byKey[keyRecord])
}

// definition returns the pair's definition row.
func (p partition) definition() (row, pair.Definition, error) {
	var d pair.Definition
	e, ok := p.byKey[keyDefinition]
	if !ok {
		return row{}, d, fmt.Errorf("record without a definition: %w", pair.ErrUnreadable)
	}
	r := readRow(e)
	return r, d, r.read(&d)
}

// snapshot decodes the pair.
func (p partition) snapshot() (pair.Snapshot, error) {
	if !p.exists() {
		return pair.Snapshot{}, pair.ErrNotFound
	}
	var snap pair.Snapshot
	var newer, broken error
	note := func(err error) bool {
		if errors.Is(err, pair.ErrTooNew) {
			newer = err
		} else if err != nil {
			broken = err
		}
		return err == nil
	}
	var err error
	_, snap.Record, err = p.record()
	note(err)
	_, snap.Definition, err = p.definition()
	note(err)
	for _, e := range p.rows {
		switch {
		case strings.HasPrefix(e.key, prefixIntent):
			var i pair.Intent
			if note(readIntent(e, &i)) {
				snap.Intents = append(snap.Intents, i)
			}
		case strings.HasPrefix(e.key, prefixOutbox):
			var post pair.Post
			if note(readPost(e, &post)) {
				snap.Outbox = append(snap.Outbox, post)
			}
		}
	}
	switch {
	case newer != nil:
		snap.Definition.Name = p.name
		return snap, newer
	case broken != nil:
		return pair.Snapshot{}, broken
	}
	snap.Version = p.byKey[keyRecord].etag
	return snap, nil
}

func readIntent(e entity, i *pair.Intent) error {
	r := readRow(e)
	if err := r.read(i); err != nil {
		return err
	}
	return readable(r, i.MinReader)
}

func readPost(e entity, p *pair.Post) error {
	r := readRow(e)
	if err := r.read(p); err != nil {
		return err
	}
	return readable(r, p.MinReader)
}

// readable refuses a value that names a newer reader in itself.
func readable(r row, minReader int) error {
	if minReader > pair.Version {
		return fmt.Errorf("read %s, for readers of version %d: %w", r.key, minReader, pair.ErrTooNew)
	}
	return nil
}

// ofPair reports whether an id is one of the pair's: <pair>-<epoch>-<seq>.
func ofPair(name, id string) bool {
	rest, ok := strings.CutPrefix(id, name+"-")
	if !ok {
		return false
	}
	epoch, seq, ok := strings.Cut(rest, "-")
	return ok && digits(epoch) && digits(seq)
}

func digits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}
