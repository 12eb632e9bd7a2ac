package settings

import (
	"slices"
	"strings"
)

// Verb is what a write does.
type Verb uint8

// The verbs. The zero value does nothing.
const (
	VerbNone Verb = iota
	Add
	Modify
	Delete
)

func (v Verb) String() string {
	switch v {
	case Add:
		return "add"
	case Modify:
		return "modify"
	case Delete:
		return "delete"
	default:
		return "nothing"
	}
}

// Write is one thing to write to one unit. Only this package makes writes, and
// only of what is synchronised: that is what keeps the settings of the guide's list
// on their units (DESIGN promise 6).
type Write struct {
	class, of Class
	verb      Verb
	path      []string
	fields    []Field
}

// Class returns what is written; its place in the order of writes is the class's.
func (w Write) Class() Class { return w.class }

// Of returns the class of the object that is written to. It is another than Class
// for RuleBindings only, which are set on services and real servers.
func (w Write) Of() Class { return w.of }

// Verb returns what is done.
func (w Write) Verb() Verb { return w.verb }

// Path returns the identities of the object and of those it lies in, outermost
// first, with the addresses of the unit that is written to.
func (w Write) Path() []string { return slices.Clone(w.path) }

// Fields returns the values that the object shall have, in normal form: all of them
// to add it, those that change to modify it. One without a value is to be cleared.
func (w Write) Fields() []Field { return slices.Clone(w.fields) }

// Inputs returns the fields as the setters of the API want them, where that is
// another name or value than reads give (loadmaster.md 3.6). Lists keep one item to
// a line; what refers to another object has its identity.
func (w Write) Inputs() []Field {
	inputs := make([]Field, len(w.fields))
	for i, f := range w.fields {
		inputs[i] = inputOf(w.of, f)
	}
	return inputs
}

func (w Write) String() string {
	var b strings.Builder
	b.WriteString(w.verb.String() + " " + w.class.String())
	if id := strings.Join(w.path, " "); id != "" {
		b.WriteString(" " + id)
	}
	for i, f := range w.fields {
		b.WriteString([]string{": ", ", "}[min(i, 1)] + f.Name + "=" + f.Value)
	}
	return b.String()
}

// bindings are the fields that bind rules, other services or other real servers to a
// service or a real server. They are written by themselves, after all that they bind
// (loadmaster.md 3.4).
var bindings = wordSet("matchrules requestrules responserules matchbodyrules preprocessrules prerules member.matchrules followvsid follow")

// writable reports whether a field may be in a write.
func writable(c Class, f Field) bool {
	return c.fieldPlace(f.Name) == Synchronised && !masked(f.Value)
}

// newWrites makes the writes of one object to a unit, whose own addresses are put
// in. What is not synchronised is left out, whatever was asked for; nothing may be
// left then.
func newWrites(verb Verb, c Class, path []string, fields []Field, at map[string]string) []Write {
	if c.Place() != Synchronised {
		return nil
	}
	w := Write{class: c, of: c, verb: verb, path: make([]string, len(path))}
	for i, id := range path {
		w.path[i] = replaced(id, at)
	}
	bound := Write{class: RuleBindings, of: c, verb: Modify, path: w.path}
	for _, f := range fields {
		if !writable(c, f) {
			continue
		}
		if slices.Contains(c.spec().addresses, f.Name) {
			f.Value = replaced(f.Value, at)
		}
		if bindings[f.Name] {
			bound.fields = append(bound.fields, f)
		} else {
			w.fields = append(w.fields, f)
		}
	}
	var writes []Write
	if verb != Modify || len(w.fields) > 0 {
		writes = append(writes, w)
	}
	if len(bound.fields) > 0 {
		writes = append(writes, bound)
	}
	return writes
}

// Order sorts writes so that each finds what it refers to: what is added or changed
// in the order of the classes, and then what is deleted the other way, when nothing
// uses it any more (loadmaster.md 3.4).
func Order(writes []Write) {
	slices.SortStableFunc(writes, func(a, b Write) int {
		switch {
		case a.verb == Delete && b.verb != Delete:
			return 1
		case a.verb != Delete && b.verb == Delete:
			return -1
		case a.verb == Delete && b.verb == Delete:
			a, b = b, a
		}
		if a.class != b.class {
			return int(a.class) - int(b.class)
		}
		return slices.Compare(a.path, b.path)
	})
}
