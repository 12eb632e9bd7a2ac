package replay

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"tandem/internal/pair"
)

// Verdict is what came of computing a history again.
type Verdict struct {
	Pair      string `json:"pair"`
	Decisions int    `json:"decisions"`
	Same      int    `json:"same"`
	Newer     int    `json:"newer,omitempty"` // left out, written by a newer release
	// First is the first difference; nil where all are the same.
	First *Difference `json:"first,omitempty"`
}

// Difference is one field in which a stored decision is not what its stored
// input gives. Values are in JSON, empty where there is none.
type Difference struct {
	Decision   string `json:"decision"`
	Field      string `json:"field"`
	Stored     string `json:"stored"`
	Recomputed string `json:"recomputed"`
}

// Check computes every decision from its stored input and compares it with the
// stored one, byte for byte (DESIGN promise 10). The error is
// pair.ErrUnreadable for an input that no pass can have had.
func (h History) Check() (Verdict, error) {
	v := Verdict{Pair: h.Pair, Decisions: len(h.Decisions), Newer: h.Newer}
	for i := range h.Decisions {
		diff, err := h.Decisions[i].check()
		if err != nil {
			return v, err
		}
		if diff == nil {
			v.Same++
		} else if v.First == nil {
			v.First = diff
		}
	}
	return v, nil
}

func (r *Recorded) check() (*Difference, error) {
	d, err := decide(r.ID, &r.Input)
	if err != nil {
		return nil, err
	}
	now, err := json.Marshal(d)
	if err != nil {
		return nil, fmt.Errorf("write decision %.80q: %w: %w", r.ID, pair.ErrUnreadable, err)
	}
	var stored bytes.Buffer
	if err := json.Compact(&stored, r.Stored); err != nil {
		return nil, fmt.Errorf("read decision %.80q: %w: %w", r.ID, pair.ErrUnreadable, err)
	}
	if bytes.Equal(stored.Bytes(), now) {
		return nil, nil
	}
	// A program between the journal and us may have spelled the same text in
	// another way; only a difference in a field is one.
	a, err := generic(r.Stored)
	if err != nil {
		return nil, fmt.Errorf("read decision %.80q: %w: %w", r.ID, pair.ErrUnreadable, err)
	}
	b, err := generic(now)
	if err != nil {
		return nil, err
	}
	diff := compare("", a, b)
	if diff != nil {
		diff.Decision = r.ID
	}
	return diff, nil
}

func generic(b []byte) (any, error) {
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	var v any
	err := dec.Decode(&v)
	return v, err
}

// compare returns the first field in which two JSON values differ, in the order
// of the fields' names.
func compare(path string, a, b any) *Difference {
	switch x := a.(type) {
	case map[string]any:
		if y, ok := b.(map[string]any); ok {
			return compareFields(path, x, y)
		}
	case []any:
		if y, ok := b.([]any); ok {
			return compareItems(path, x, y)
		}
	default:
		if a == b && a != nil {
			return nil
		}
	}
	return &Difference{Field: path, Stored: shown(a), Recomputed: shown(b)}
}

func compareFields(path string, a, b map[string]any) *Difference {
	all := maps.Clone(a)
	maps.Copy(all, b)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		at := name
		if path != "" {
			at = path + "." + name
		}
		if diff := compareOne(at, a, b, name); diff != nil {
			return diff
		}
	}
	return nil
}

func compareOne(path string, a, b map[string]any, name string) *Difference {
	x, inA := a[name]
	y, inB := b[name]
	switch {
	case !inA:
		return &Difference{Field: path, Recomputed: shown(y)}
	case !inB:
		return &Difference{Field: path, Stored: shown(x)}
	case x == nil && y == nil:
		return nil
	default:
		return compare(path, x, y)
	}
}

func compareItems(path string, a, b []any) *Difference {
	for i := range max(len(a), len(b)) {
		at := path + "[" + strconv.Itoa(i) + "]"
		switch {
		case i >= len(a):
			return &Difference{Field: at, Recomputed: shown(b[i])}
		case i >= len(b):
			return &Difference{Field: at, Stored: shown(a[i])}
		case a[i] == nil && b[i] == nil:
			continue
		}
		if diff := compare(at, a[i], b[i]); diff != nil {
			return diff
		}
	}
	return nil
}

// shown is a value in JSON, shortened.
func shown(v any) string {
	const most = 200
	b, err := json.Marshal(v)
	if err != nil {
		return "?" // it was read from JSON
	}
	if len(b) > most {
		return string(bytes.ToValidUTF8(b[:most], nil)) + "…"
	}
	return string(b)
}
