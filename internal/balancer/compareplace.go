package balancer

import (
	"bytes"
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"unicode/utf8"

	"tandem/internal/pair"
)

// place is a place in a document that is compared or edited, and what must
// stand there. Places that share the beginning of their paths share the places
// above them, so that a document is walked once.
type place struct {
	step
	up, first, last, next *place
	form                  form // in which values of this place are compared

	ends bool // a path ends here
	wish
}

// step is the way to a place from the one above.
type step struct {
	// name is that of a member, or in an element of a list that of its key, which
	// has the value.
	name, value string
	element     bool
}

// wish is what must stand at a place.
type wish struct {
	set    json.RawMessage // nil for an element that must exist
	absent json.RawMessage // Field.Absent
	was    json.RawMessage // Change.From
	remove bool            // nothing must stand there
	why    string
}

// maxParts bounds paths, so that whatever is built at one can be read again:
// each part is at most a list and an object in it.
const maxParts = maxDepth/2 - 2

// places makes places; they are allocated many at a time, and used again for the
// next document.
type places struct {
	root place
	made []*[placesAtOnce]place
	used int

	last  Path     // the path before
	trail []*place // and the places along it
}

const placesAtOnce = 64

// clear begins anew. Nothing that was made before may be looked at any more.
func (ps *places) clear() { ps.root, ps.used, ps.last = place{}, 0, nil }

func (ps *places) next() *place {
	in := ps.used / placesAtOnce
	if in == len(ps.made) {
		ps.made = append(ps.made, new([placesAtOnce]place))
	}
	p := &ps.made[in][ps.used%placesAtOnce]
	*p = place{}
	ps.used++
	return p
}

// at returns the place to which a path leads.
func (ps *places) at(path Path) (*place, error) {
	if len(path) == 0 || len(path) > maxParts {
		return nil, fmt.Errorf("a path of %d parts: %w", len(path), pair.ErrInvalid)
	}
	ps.root.form = folded
	p, along := &ps.root, true
	for i, s := range path {
		if along = along && i < len(ps.last) && s == ps.last[i]; along {
			p = ps.trail[i]
			continue
		}
		var err error
		if p, err = ps.into(p, s); err != nil {
			return nil, fmt.Errorf("path %s: %w", path, err)
		}
		ps.trail = append(ps.trail[:i], p)
	}
	ps.last = path
	return p, nil
}

// into returns the place that a part of a path leads to from p.
func (ps *places) into(p *place, s Segment) (*place, error) {
	if !s.valid() {
		return nil, fmt.Errorf("a part has no name, only half a key, or is not UTF-8: %w", pair.ErrInvalid)
	}
	q, err := ps.under(p, step{name: s.Name})
	if err == nil && s.Key != "" {
		q, err = ps.under(q, step{name: s.Key, value: s.Value, element: true})
	}
	return q, err
}

func (s Segment) valid() bool {
	return s.Name != "" && (s.Key == "") == (s.Value == "") &&
		utf8.ValidString(s.Name) && utf8.ValidString(s.Key) && utf8.ValidString(s.Value)
}

var (
	errInside = fmt.Errorf("something else is wanted of what is inside: %w", pair.ErrInvalid)
	errMixed  = fmt.Errorf("one list is addressed by one key, and is not an object: %w", pair.ErrInvalid)
	errTwice  = fmt.Errorf("wanted twice, and differently: %w", pair.ErrInvalid)
)

// under returns the place one step below p, a new one where there is none.
func (ps *places) under(p *place, s step) (*place, error) {
	if p.ends && (p.set != nil || p.remove) || p.isKey() {
		return nil, errInside
	}
	if p.first != nil && (p.first.element != s.element || s.element && !sameFold(p.first.name, s.name)) {
		return nil, errMixed
	}
	for q := range p.below() {
		if q.same(s) {
			return q, nil
		}
	}
	q := ps.next()
	q.step, q.up, q.form = s, p, p.form
	if !s.element && caseful(s.name) {
		q.form = exact
	}
	if p.last == nil {
		p.first = q
	} else {
		p.last.next = q
	}
	p.last = q
	return q, nil
}

// same says whether two steps from one place lead to the same one.
func (s step) same(as step) bool { return sameFold(s.value, as.value) && sameFold(s.name, as.name) }

// want says what must stand at a place.
func (p *place) want(w wish) error {
	switch {
	case p.ends:
		if w.remove != p.remove || !bytes.Equal(w.set, p.set) {
			return errTwice
		}
		return nil
	case p.first != nil && (w.remove || w.set != nil):
		return errInside
	case w.set == nil && !w.remove && !p.element:
		return fmt.Errorf("only an element of a list can be wanted without a value: %w", pair.ErrInvalid)
	case w.set != nil && p.element && w.set[0] != '{':
		return fmt.Errorf("an element of a list is wanted as a value: %w", pair.ErrInvalid)
	case p.isKey() && (w.remove || !isText(w.set, p.up.value)):
		return fmt.Errorf("another key is wanted in an element than it is found by: %w", pair.ErrInvalid)
	}
	p.ends, p.wish = true, w
	return nil
}

// isKey says whether a place is the key by which its element is found.
func (p *place) isKey() bool {
	return p.up != nil && p.up.element && sameFold(p.name, p.up.name)
}

// isText says whether a JSON value is that text, without regard to case.
func isText(value []byte, s string) bool {
	return len(value) >= 2 && value[0] == '"' && quotedIs(value, bytes.ContainsRune(value, '\\'), s)
}

// below are the places right below.
func (p *place) below() iter.Seq[*place] {
	return func(yield func(*place) bool) {
		for q := p.first; q != nil; q = q.next {
			if !yield(q) {
				return
			}
		}
	}
}

// path is the way to a place.
func (p *place) path() Path {
	var path Path
	for ; p.up != nil; p = p.up {
		s := Segment{Name: p.name}
		if p.element {
			s = Segment{Name: p.up.name, Key: p.name, Value: p.value}
			p = p.up
		}
		path = append(path, s)
	}
	slices.Reverse(path)
	return path
}

// wanted says whether something must stand at a place or below it.
func (p *place) wanted() bool {
	if p.ends {
		return !p.remove
	}
	for q := range p.below() {
		if q.wanted() {
			return true
		}
	}
	return false
}

// build appends what must stand at a place where nothing stands.
func (p *place) build(out []byte) []byte {
	if p.set != nil {
		return appendCompact(out, p.set)
	}
	opening, closing := byte('{'), byte('}')
	if p.first != nil && p.first.element {
		opening, closing = '[', ']'
	}
	out = append(out, opening)
	empty := true
	if p.element {
		out = append(appendQuoted(out, p.name), ':')
		out, empty = appendQuoted(out, p.value), false
	}
	for q := range p.below() {
		if !q.wanted() || q.isKey() {
			continue
		}
		if !empty {
			out = append(out, ',')
		}
		empty = false
		if !q.element {
			out = append(appendQuoted(out, q.name), ':')
		}
		out = q.build(out)
	}
	return append(out, closing)
}
