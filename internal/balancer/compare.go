package balancer

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"tandem/internal/pair"
)

// Compare makes the plan that turns what was read into what is wanted; an empty
// one when nothing differs.
//
// Names of members and elements are compared without regard to case, and so are
// texts, except in the few places where case means something (caseful);
// numbers as numbers, lists of scalars as sets, and what the platform does not
// send as Field.Absent.
//
// It fails with pair.ErrNotFound where a resource does not exist that Tandem
// does not create, with pair.ErrUnreadable or pair.ErrTooLarge where a document
// is not what one of its kind can be, and with pair.ErrInvalid where the wanted
// state contradicts itself or the resource was never read.
func Compare(want Wanted, w World) (Plan, error) {
	plan := Plan{V: PlanVersion, Pair: want.Pair, Steps: []Step{}}
	c := comparer{}
	seen := make(map[pair.ResourceID]bool, len(want.Resources))
	for _, r := range want.Resources {
		doc, read := w[r.ID]
		if !read || seen[r.ID] {
			return Plan{}, fmt.Errorf("compare %s: not read, or wanted twice: %w", r.ID, pair.ErrInvalid)
		}
		seen[r.ID] = true
		step, err := c.resource(r, doc)
		if err != nil {
			return Plan{}, fmt.Errorf("compare %s: %w", r.ID, err)
		}
		if len(step.Changes) > 0 || step.Action == Create {
			step.Hash = step.hash()
			plan.Steps = append(plan.Steps, step)
		}
	}
	plan.Hash = plan.hash()
	return plan, nil
}

// comparer compares one resource after the other, and uses its memory again.
type comparer struct {
	doc     tree
	changes []Change

	places       places
	nodes, value []node // of documents and of values of fields
	a, b         []byte // two values in the same form
}

// resource compares a resource with its document.
func (c *comparer) resource(r Resource, doc json.RawMessage) (Step, error) {
	step := Step{Resource: r.ID, Action: Update}
	if doc == nil {
		if r.New == nil {
			return Step{}, fmt.Errorf("it does not exist, and is not created by Tandem: %w", pair.ErrNotFound)
		}
		if !utf8.Valid(r.New) {
			return Step{}, fmt.Errorf("what to begin with is not UTF-8: %w", pair.ErrInvalid)
		}
		doc, step.Action = r.New, Create
	}
	root, err := c.plant(r.Fields)
	if err != nil {
		return Step{}, err
	}
	if c.doc, err = readDocument(doc, c.nodes); err != nil {
		return Step{}, err
	}
	c.nodes, c.changes = c.doc.nodes, []Change{}
	if err := c.look(root, 0); err != nil {
		return Step{}, err
	}
	step.Changes = c.changes
	if step.Action == Create {
		step.New = appendCompact(nil, doc)
	}
	return step, nil
}

// readDocument reads the document of a resource, which is an object.
func readDocument(doc json.RawMessage, nodes []node) (tree, error) {
	t, err := readTree(doc, nodes)
	if err == nil && !t.is(0, object) {
		err = fmt.Errorf("its document is not an object: %w", pair.ErrUnreadable)
	}
	return t, err
}

// plant puts the fields of a resource where they belong.
func (c *comparer) plant(fields []Field) (*place, error) {
	ps := &c.places
	ps.clear()
	for _, f := range fields {
		p, err := ps.at(f.Path)
		if err != nil {
			return nil, err
		}
		w, err := c.field(f)
		if err == nil {
			err = p.want(w)
		}
		if err != nil {
			return nil, fmt.Errorf("field %s: %w", f.Path, err)
		}
	}
	return &ps.root, nil
}

// field checks what a field wants.
func (c *comparer) field(f Field) (wish, error) {
	w := wish{remove: f.Remove, why: f.Why}
	if f.Remove && f.Want != nil {
		return wish{}, errTwice
	}
	for _, v := range []struct{ from, into *json.RawMessage }{{&f.Want, &w.set}, {&f.Absent, &w.absent}} {
		if *v.from == nil {
			continue
		}
		t, err := readWant(*v.from, c.value)
		if err != nil {
			return wish{}, err
		}
		c.value = t.nodes
		*v.into = t.bytes(0)
	}
	return w, nil
}

// look compares a place with what stands there; n is -1 where the member is
// missing.
func (c *comparer) look(p *place, n int) error {
	switch {
	case p.remove:
		if !c.doc.nothing(n) {
			c.change(p, n)
		}
	case p.set != nil && c.doc.nothing(n):
		if p.absent == nil || !c.equalValues(p.set, p.absent, p.form) {
			c.change(p, n)
		}
	case p.set != nil:
		if !c.equal(p, n) {
			c.change(p, n)
		}
	case p.first != nil && p.first.element:
		return c.lookIntoList(p, n)
	default:
		return c.lookIntoObject(p, n)
	}
	return nil
}

func (c *comparer) lookIntoObject(p *place, n int) error {
	if !c.doc.nothing(n) && !c.doc.is(n, object) {
		return fmt.Errorf("%s is not an object: %w", p.path(), pair.ErrUnreadable)
	}
	for q := range p.below() {
		m := -1
		if c.doc.is(n, object) {
			var err error
			if m, err = c.doc.member(n, q.name); err != nil {
				return fmt.Errorf("%s: %w", p.path(), err)
			}
		}
		if err := c.look(q, m); err != nil {
			return err
		}
	}
	return nil
}

func (c *comparer) lookIntoList(p *place, n int) error {
	if !c.doc.nothing(n) && !c.doc.is(n, list) {
		return fmt.Errorf("%s is not a list: %w", p.path(), pair.ErrUnreadable)
	}
	var found elements
	if c.doc.is(n, list) && p.first != nil {
		var err error
		if found, err = c.doc.elements(n, p.first.name); err != nil {
			return fmt.Errorf("%s: %w", p.path(), err)
		}
	}
	for q := range p.below() {
		m, err := found.element(q.value)
		if err != nil {
			return fmt.Errorf("%s: %w", p.path(), err)
		}
		switch {
		case m >= 0:
			if err := c.look(q, m); err != nil {
				return err
			}
		case q.wanted():
			c.changes = append(c.changes, Change{Path: q.path().String(), To: q.build(nil), Why: strings.Join(q.reasons(nil), "; ")})
		}
	}
	return nil
}

// change notes that a place must become what is wanted.
func (c *comparer) change(p *place, n int) {
	ch := Change{Path: p.path().String(), Why: p.why}
	if !c.doc.nothing(n) {
		ch.From = c.doc.write(nil, n, shown)
	}
	if !p.remove {
		ch.To = appendCompact(nil, p.set)
	}
	c.changes = append(c.changes, ch)
}

// reasons appends why a place must be: its own reason where it has one,
// otherwise those of what is below it.
func (p *place) reasons(whys []string) []string {
	if p.ends && !p.remove {
		if p.why != "" && !slices.Contains(whys, p.why) {
			whys = append(whys, p.why)
		}
		return whys
	}
	for q := range p.below() {
		whys = q.reasons(whys)
	}
	return whys
}

// equal says whether what stands at a place is what is wanted.
func (c *comparer) equal(p *place, n int) bool {
	stands := c.doc.bytes(n)
	if bytes.Equal(stands, p.set) {
		return true
	}
	if c.doc.is(n, text) && !c.doc.nodes[n].escaped && p.set[0] == '"' && p.form == folded && !bytes.ContainsRune(p.set, '\\') {
		return sameFold(stands, p.set)
	}
	c.a = c.doc.write(c.a[:0], n, p.form)
	c.b = c.wantedForm(c.b[:0], p.set, p.form)
	return bytes.Equal(c.a, c.b)
}

func (c *comparer) equalValues(x, y json.RawMessage, f form) bool {
	c.a, c.b = c.wantedForm(c.a[:0], x, f), c.wantedForm(c.b[:0], y, f)
	return bytes.Equal(c.a, c.b)
}

// wantedForm appends a value of a field, which was read before, in a form.
func (c *comparer) wantedForm(out []byte, value json.RawMessage, f form) []byte {
	t, err := readTree(value, c.value)
	if err != nil {
		return append(out, value...)
	}
	c.value = t.nodes
	return t.write(out, 0, f)
}
