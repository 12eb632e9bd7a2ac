package settings

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"tandem/internal/pair"
)

// ErrStandbyRejects means that a unit which says that it is standby did not take a
// write. It may have rejected the values; but what a standby says of writes is not
// documented (loadmaster.md 1.7), and this is what Rejected is about.
var ErrStandbyRejects = errors.New("the unit is standby and rejects the write")

// NotKept is a unit that took a write and reads otherwise. It is of the kind
// pair.ErrConflict: read again and decide again.
type NotKept struct {
	What        string // the write, without its values
	Field       string // "" where it is the object that is not there, or still there
	Wanted, Got string // in normal form
}

// Error has no values: some are secrets of the settings' owner, and errors get into
// the journal.
func (e *NotKept) Error() string {
	switch {
	case e.Field != "":
		return fmt.Sprintf("%s: the unit took it, and %s reads otherwise: %v", e.What, e.Field, pair.ErrConflict)
	default:
		return fmt.Sprintf("%s: the unit took it, and it is %s, expected %s: %v", e.What, e.Got, e.Wanted, pair.ErrConflict)
	}
}

func (e *NotKept) Unwrap() error { return pair.ErrConflict }

// Writer makes writes on one unit by the calls of its API. How a write is made is
// here and not in the client, because it is all names, normal forms and places of
// settings; the calls are the caller's, as function of an answer.
//
// Each write is looked for first and made only as far as it is not so already; then
// it is looked for again and compared in normal form. So a write may be repeated
// after any failure, and what a repeat would double is not doubled. It is for one
// goroutine.
type Writer struct {
	call func(Call) (Node, error)
	// seen are the answers to looks since the last call that changed something: what
	// one write reads back, the next one need not read again.
	seen map[string]Node
}

// NewWriter returns a writer to a unit that call reaches. The errors of call are
// passed on; one of kind pair.ErrInvalid or pair.ErrNotFound to a look by name is that
// there is nothing of that name.
func NewWriter(call func(Call) (Node, error)) *Writer {
	return &Writer{call: call, seen: map[string]Node{}}
}

// Forget has the next write look anew, whatever was seen.
func (w *Writer) Forget() { clear(w.seen) }

// Write makes a write. It returns nil when it is so then. What object calls cannot
// make, or a unit has not to be changed, is pair.ErrInvalid and pair.ErrNotFound;
// *NotKept is a unit that took it and reads otherwise.
func (w *Writer) Write(write Write) error {
	if why := write.Refused(); why != "" {
		return fmt.Errorf("%s: %s: %w", write.what(), why, pair.ErrInvalid)
	}
	how := setters[write.of]
	chances := 1
	switch {
	case write.verb == Add:
		chances = 2 // to add it, and to set what was not taken with that
	case write.class == RuleBindings:
		chances = len(write.fields) // one at a time: some lists are shown in two places
	}
	for chance := 0; ; chance++ {
		have, err := how.look(w, write)
		if err != nil {
			return fmt.Errorf("%s: %w", write.what(), err)
		}
		left := write.left(have)
		if left.done || left.onlyExtra && chance == chances {
			return nil
		}
		if chance == chances {
			return left.notKept(write, have)
		}
		if write.class == RuleBindings {
			left.fields = left.fields[len(left.fields)-1:]
		}
		if err := how.set(w, write, have, left.fields); err != nil {
			return fmt.Errorf("%s: %w", write.what(), err)
		}
	}
}

// what names a write without values, which may be secrets of the settings' owner.
func (w Write) what() string {
	return strings.TrimSpace(w.verb.String() + " " + w.class.String() + " " + strings.Join(w.path, " "))
}

// Refused returns why a write cannot be made by object calls, and what a person can
// do, or nothing where it can.
func (w Write) Refused() string {
	s := w.class.spec()
	why := map[Verb]string{Add: s.addByHand, Modify: s.changeByHand, Delete: s.removeByHand}[w.verb]
	switch {
	case w.class == ClassUnknown || w.verb == VerbNone || s.place != Synchronised || setters[w.of].set == nil:
		return "it is not a write of synchronised settings"
	case why != "":
		return why
	case slices.Contains(w.path, "") || len(w.path) < 2 && w.of.spec().within != ClassUnknown:
		return "it has no identity: name it in the WUI of the unit that has it"
	case slices.ContainsFunc(w.path, func(id string) bool { return strings.HasPrefix(id, own) }):
		return "this unit's own address is not known"
	case w.verb != Modify:
		return ""
	}
	for _, f := range w.fields {
		if why := s.fixed[f.Name]; why != "" {
			return f.Name + ": " + why
		}
	}
	return ""
}

// left is what of a write is not so yet.
type left struct {
	done      bool
	onlyExtra bool    // what was added has a value that nobody asked for, and no more is left
	fields    []Field // to set
}

// left compares an object, nil where it is not there, with what is wanted.
func (w Write) left(have *Object) left {
	switch {
	case w.verb == Delete:
		return left{done: have == nil}
	case have == nil:
		return left{fields: w.fields}
	}
	var l left
	for _, f := range w.fields {
		if have.Value(f.Name) != f.Value {
			l.fields = append(l.fields, f)
		}
	}
	if w.verb != Add {
		l.done = len(l.fields) == 0
		return l
	}
	wanted := len(l.fields)
	for _, f := range have.Fields { // defaults of a new object that the other unit's object does not have
		named := slices.ContainsFunc(w.fields, func(g Field) bool { return g.Name == f.Name })
		if !named && writable(w.of, f) && !bindings[f.Name] && w.of.spec().fixed[f.Name] == "" {
			l.fields = append(l.fields, Field{Name: f.Name})
		}
	}
	l.done, l.onlyExtra = len(l.fields) == 0, wanted == 0
	return l
}

func (l left) notKept(w Write, have *Object) error {
	switch {
	case w.verb == Delete:
		return &NotKept{What: w.what(), Wanted: "gone", Got: "still there"}
	case have == nil:
		return &NotKept{What: w.what(), Wanted: "there", Got: "not there"}
	default:
		return &NotKept{What: w.what(), Field: l.fields[0].Name, Wanted: l.fields[0].Value, Got: have.Value(l.fields[0].Name)}
	}
}

// look reads by a call that changes nothing.
func (w *Writer) look(call Call) (Node, error) {
	key := call.String()
	if n, ok := w.seen[key]; ok {
		return n, nil
	}
	n, err := w.call(call)
	if err != nil {
		return Node{}, err
	}
	w.seen[key] = n
	return n, nil
}

// lookFor is look for something that may not be there; most firmware says so by an
// error (loadmaster.md 1.5, 4.2).
func (w *Writer) lookFor(call Call) (n Node, there bool, err error) {
	n, err = w.look(call)
	if errors.Is(err, pair.ErrInvalid) || errors.Is(err, pair.ErrNotFound) {
		return Node{}, false, nil
	}
	return n, err == nil && !n.empty(nil), err
}

// do makes a call that changes something. Masked values cannot be in one, since a
// Write has none; that is checked again where calls are sent.
func (w *Writer) do(command string, args ...Field) error {
	_, err := w.answerTo(Call{Command: command, Args: args, Writes: true})
	return err
}

func (w *Writer) answerTo(call Call) (Node, error) {
	w.Forget()
	return w.call(call)
}

// objects reads a class, or what of it belongs to one object, in normal form.
func (w *Writer) objects(c Class, object string) ([]Object, error) {
	r := newReading()
	r.wanted = []Class{c}
	r.got[c] = []Object{}
	for _, read := range c.spec().reads {
		if read.each != ClassUnknown && read.each == c {
			continue // a text of each, which is not what objects are known by
		}
		call := read.of(c, object)
		n, err := w.look(call)
		if err != nil {
			return nil, err
		}
		if err := r.Take(call, n); err != nil {
			return nil, err
		}
	}
	return unique(r.got[c]), nil
}

// find returns the object of an identity, nil where there is none.
func find(objects []Object, c Class, id string) *Object {
	i := slices.IndexFunc(objects, func(o Object) bool { return o.Class == c && o.ID == id })
	if i < 0 {
		return nil
	}
	return &objects[i]
}

// id returns the identity of the object itself, "" for a class that is one object.
func (w Write) id() string {
	if len(w.path) == 0 {
		return ""
	}
	return w.path[len(w.path)-1]
}
