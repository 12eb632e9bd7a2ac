package balancer

import (
	"bytes"
	"fmt"

	"tandem/internal/pair"
)

// ErrMoved means that a document no longer shows what a step was planned for:
// read, compare and decide again. It is a pair.ErrConflict.
var ErrMoved = fmt.Errorf("the document is not what was planned for: %w", pair.ErrConflict)

// Edit returns the document to write: the one that was read, with exactly the
// planned places changed and every other byte as it was, because a PUT replaces
// the whole resource (azure.md 1.8). For a resource that is created, doc is
// nil. Missing members and elements are added behind those that are there.
//
// It fails with ErrMoved where the document does not show what every change is
// from, and with the errors of Compare where it cannot be read.
func (s Step) Edit(doc []byte) ([]byte, error) {
	out, err := s.edit(doc)
	if err != nil {
		return nil, fmt.Errorf("edit %s: %w", s.Resource, err)
	}
	return out, nil
}

func (s Step) edit(doc []byte) ([]byte, error) {
	switch s.Action {
	case Create:
		if doc != nil {
			return nil, fmt.Errorf("it exists already: %w", ErrMoved)
		}
		doc = s.New
	case Update:
		if doc == nil {
			return nil, fmt.Errorf("it does not exist any more: %w", ErrMoved)
		}
	default:
		return nil, fmt.Errorf("action %v: %w", s.Action, pair.ErrInvalid)
	}
	root, err := s.plant()
	if err != nil {
		return nil, err
	}
	t, err := readDocument(doc, nil)
	if err != nil {
		return nil, err
	}
	e := editor{doc: t, out: make([]byte, 0, len(doc)+1024)}
	if err := e.edit(root, 0); err != nil {
		return nil, err
	}
	out := append([]byte(nil), doc[:t.nodes[0].at.from]...)
	out = append(out, e.out...)
	return append(out, doc[t.nodes[0].at.to:]...), nil
}

// plant puts the changes where they belong.
func (s Step) plant() (*place, error) {
	var ps places
	for _, c := range s.Changes {
		path, err := parsePath(c.Path)
		if err != nil {
			return nil, err
		}
		p, err := ps.at(path)
		if err != nil {
			return nil, err
		}
		w := wish{was: c.From, remove: c.To == nil}
		if c.To != nil {
			to, err := readTree(c.To, nil)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", c.Path, err)
			}
			w.set = to.bytes(0)
		}
		if err := p.want(w); err != nil {
			return nil, fmt.Errorf("%s: %w", c.Path, err)
		}
	}
	return &ps.root, nil
}

// editor writes a document again with changes.
type editor struct {
	doc tree
	out []byte
}

// edit writes the value n, with what is changed at and below p.
func (e *editor) edit(p *place, n int) error {
	switch {
	case p.ends:
		if !e.shows(p, n) {
			return moved(p)
		}
		e.out = append(e.out, p.set...)
		return nil
	case p.first == nil: // no changes at all
		e.out = append(e.out, e.doc.bytes(n)...)
		return nil
	case e.doc.is(n, null):
		return e.add(p)
	}
	container := object
	if p.first.element {
		container = list
	}
	if !e.doc.is(n, container) {
		return moved(p)
	}
	return e.editContainer(p, n)
}

// shows says whether the document shows what a change is from.
func (e *editor) shows(p *place, n int) bool {
	if e.doc.nothing(n) || p.was == nil {
		return e.doc.nothing(n) && p.was == nil
	}
	was, err := readTree(p.was, nil)
	if err != nil {
		return false
	}
	return bytes.Equal(e.doc.write(nil, n, p.form), was.write(nil, 0, p.form))
}

// editContainer writes an object or a list. What stays keeps the text before
// it, except that what becomes the first has the text that opened the container.
func (e *editor) editContainer(p *place, n int) error {
	changed, missing, err := e.match(p, n)
	if err != nil {
		return err
	}
	whole := e.doc.nodes[n].at
	opening, behind, stays := span{whole.from, whole.from + 1}, whole.from+1, 0
	for c := range e.doc.children(n) {
		item, before := e.doc.item(c), span{behind, e.doc.item(c).from}
		if behind == whole.from+1 {
			opening.to = item.from
		}
		behind = item.to
		q := changed[c]
		if q != nil && q.remove {
			if !e.shows(q, c) || e.doc.nothing(c) {
				return moved(q)
			}
			continue
		}
		if stays == 0 {
			before = opening
		}
		stays++
		e.copy(before)
		if q == nil {
			e.copy(item)
			continue
		}
		e.copy(span{item.from, e.doc.nodes[c].at.from})
		if err := e.edit(q, c); err != nil {
			return err
		}
	}
	closing := span{behind, whole.to}
	if stays == 0 {
		e.copy(span{whole.from, whole.from + 1})
		if behind > whole.from+1 { // all were removed, and the white space with them
			closing.from = whole.to - 1
		}
	}
	for _, q := range missing {
		if stays > 0 {
			e.out = append(e.out, ',')
		}
		stays++
		if !q.element {
			e.out = append(appendQuoted(e.out, q.name), ':')
		}
		if err := e.add(q); err != nil {
			return err
		}
	}
	e.copy(closing)
	return nil
}

// match finds the places below p among the children of n.
func (e *editor) match(p *place, n int) (changed map[int]*place, missing []*place, err error) {
	changed = map[int]*place{}
	var found elements
	if p.first.element {
		if found, err = e.doc.elements(n, p.first.name); err != nil {
			return nil, nil, fmt.Errorf("%s: %w", p.path(), err)
		}
	}
	for q := range p.below() {
		var c int
		if q.element {
			c, err = found.element(q.value)
		} else {
			c, err = e.doc.member(n, q.name)
		}
		switch {
		case err != nil:
			return nil, nil, fmt.Errorf("%s: %w", p.path(), err)
		case c < 0:
			missing = append(missing, q)
		default:
			changed[c] = q
		}
	}
	return changed, missing, nil
}

// add writes what must stand at a place where nothing stands.
func (e *editor) add(p *place) error {
	if q := p.unexpected(); q != nil {
		return moved(q)
	}
	e.out = p.build(e.out)
	return nil
}

// unexpected finds a place at or below p that was planned for something that
// stands there, or for an element to stand around it; nil when there is none.
func (p *place) unexpected() *place {
	if p.ends && (p.was != nil || p.remove) || p.element && !p.ends {
		return p
	}
	for q := range p.below() {
		if u := q.unexpected(); u != nil {
			return u
		}
	}
	return nil
}

func (e *editor) copy(s span) { e.out = append(e.out, e.doc.raw[s.from:s.to]...) }

func moved(p *place) error { return fmt.Errorf("%s: %w", p.path(), ErrMoved) }
