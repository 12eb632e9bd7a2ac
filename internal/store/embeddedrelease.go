package store

import (
	"encoding/json"
	"fmt"
	"strconv"

	"tandem/internal/pair"
)

// MarkRecord marks the stored record of a pair for readers of at least a
// version, as a newer release does that has written it. It is made for stories
// and tests: a worker that read the record before loses its condition, and one
// that reads it from now on must leave the pair alone if it is older.
func (e *Embedded) MarkRecord(name string, minReader int) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	s := e.tables[tablePrefix+tablePairs][name]
	if s == nil || s.rows[keyRecord].etag == "" {
		return fmt.Errorf("mark the record of pair %s: %w", name, pair.ErrNotFound)
	}
	r := readRow(s.rows[keyRecord].clone())
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(r.data, &fields); err != nil {
		return fmt.Errorf("mark the record of pair %s: %w: %w", name, pair.ErrUnreadable, err)
	}
	fields[propMinReader] = json.RawMessage(strconv.Itoa(minReader))
	r.minReader = minReader
	r, err := r.with(fields)
	if err != nil {
		return fmt.Errorf("mark the record of pair %s: %w", name, err)
	}
	r.etag = `W/"` + e.next() + `"`
	s.put(r.entity)
	return nil
}
