package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"unicode/utf16"

	"tandem/internal/pair"
)

// row is the stored form of one thing: its JSON text, split over the
// properties data, data2, data3 and so on where it is longer than one property
// may be, with the versions of its writer and of its oldest reader beside it.
// Properties that this release does not know survive a rewrite.
type row struct {
	entity
	minReader int
	data      []byte
}

// The properties of a row.
const (
	propV         = "v"
	propMinReader = "minReader"
	propData      = "data"
	propDue       = "due" // of a pair in the index, in dueLayout
)

// newRow makes the row of a value that is not stored yet.
func newRow(part, key string, value any) (row, error) {
	return row{entity: entity{partition: part, key: key}}.with(value)
}

// with returns the row with another value, still with the etag of the one
// that it replaces.
func (r row) with(value any) (row, error) {
	data, err := json.Marshal(value)
	if err != nil {
		return row{}, fmt.Errorf("write %s: %w: %w", r.key, pair.ErrInvalid, err)
	}
	props := maps.Clone(r.props)
	if props == nil {
		props = map[string]any{}
	}
	maps.DeleteFunc(props, func(name string, _ any) bool { return dataPart(name) > 0 })
	for i, part := range split(strings.ToValidUTF8(string(data), "\ufffd")) {
		props[dataProp(i+1)] = part
	}
	r.minReader, r.data = max(r.minReader, pair.MinReader), data
	props[propV], props[propMinReader] = pair.Version, r.minReader
	r.props = props
	return r, nil
}

// readRow reads the wrapper of a stored row; its data may still be unreadable
// for this release.
func readRow(e entity) row {
	r := row{entity: e, minReader: number(e.props[propMinReader])}
	for i := 1; ; i++ {
		part, ok := e.props[dataProp(i)].(string)
		if !ok {
			return r
		}
		r.data = append(r.data, part...)
	}
}

// read decodes the row's value. The error is pair.ErrTooNew where a newer
// release is needed for it; the value is then what could be read of it.
func (r row) read(value any) error {
	err := json.Unmarshal(r.data, value)
	if r.minReader > pair.Version {
		return fmt.Errorf("read %s, for readers of version %d: %w", r.key, r.minReader, pair.ErrTooNew)
	}
	if errors.Is(err, pair.ErrTooNew) { // a word that only a newer release knows
		return fmt.Errorf("read %s: %w", r.key, err)
	}
	if err != nil {
		return fmt.Errorf("read %s: %w: %w", r.key, pair.ErrUnreadable, err)
	}
	return nil
}

func (r row) insert() op  { return op{opInsert, r.entity} }
func (r row) replace() op { return op{opReplace, r.entity} }

func dataProp(n int) string {
	if n == 1 {
		return propData
	}
	return propData + strconv.Itoa(n)
}

// dataPart returns the number of a part of the data, and 0 for another
// property.
func dataPart(name string) int {
	rest, ok := strings.CutPrefix(name, propData)
	if !ok {
		return 0
	}
	if rest == "" {
		return 1
	}
	n, err := strconv.Atoi(rest)
	if err != nil || n < 2 || dataProp(n) != name {
		return 0
	}
	return n
}

// split cuts a text into parts that each fit into one property. It counts
// UTF-16 units, as the service does, and never cuts a character.
func split(s string) []string {
	if len(s) <= maxText { // at least one byte for each unit
		return []string{s}
	}
	var parts []string
	start, n := 0, 0
	for i, r := range s {
		if w := utf16.RuneLen(r); n+w > maxText {
			parts = append(parts, s[start:i])
			start, n = i, w
		} else {
			n += w
		}
	}
	return append(parts, s[start:])
}

// number reads a whole number; JSON brings them as float64.
func number(v any) int {
	switch n := v.(type) {
	case int:
		return n
	case float64:
		return int(n)
	default:
		return 0
	}
}
