package balancer

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"
)

const (
	clipRunes    = 80 // of a value
	clipElements = 20 // of a list
)

// Render writes a plan for people, as infrastructure tools show theirs:
// resource by resource and field by field, + for what is added, ~ for what is
// changed, - for what is removed, and the reason behind a #. The marks are the
// first word of their line, so that a command can colour it; what came from a
// document has no control characters.
func Render(w io.Writer, p Plan) error {
	r := renderer{}
	r.plan(p)
	if _, err := w.Write(r.Bytes()); err != nil {
		return fmt.Errorf("show the plan of %s: %w", p.Pair, err)
	}
	return nil
}

type renderer struct{ bytes.Buffer }

// line writes one line, indented by levels.
func (r *renderer) line(level int, format string, args ...any) {
	r.WriteString(strings.Repeat("    ", level))
	fmt.Fprintf(r, format, args...)
	r.WriteByte('\n')
}

func (r *renderer) plan(p Plan) {
	if p.Empty() {
		r.line(0, "%s: everything is as it must be, nothing to do", printable(p.Pair))
		return
	}
	r.line(0, "%s: plan %s", printable(p.Pair), printable(p.Hash))
	creates, updates := 0, 0
	for _, s := range p.Steps {
		if s.Action == Create {
			creates++
		} else {
			updates++
		}
		r.WriteByte('\n')
		r.step(s)
	}
	r.line(0, "\n%d to create, %d to change", creates, updates)
}

func (r *renderer) step(s Step) {
	mark, done := "~", "changed"
	if s.Action == Create {
		mark, done = "+", "created"
	}
	r.line(0, "%s %s will be %s", mark, printable(s.Resource.Title()), done)
	r.line(1, "%s", printable(string(s.Resource)))
	if s.New != nil {
		r.leaves(1, s.New)
	}
	for _, c := range s.Changes {
		r.change(c)
	}
}

func (r *renderer) change(c Change) {
	path := printable(c.Path)
	added, removed, lists := c.elements()
	switch {
	case c.To == nil:
		r.line(1, "- %s: %s", path, value(c.From))
	case c.From == nil && isObject(c.To):
		r.line(1, "+ %s", path)
		r.leaves(2, c.To)
	case c.From == nil:
		r.line(1, "+ %s: %s", path, value(c.To))
	case lists:
		r.line(1, "~ %s", path)
		r.elements("+", added)
		r.elements("-", removed)
	default:
		r.line(1, "~ %s: %s → %s", path, value(c.From), value(c.To))
	}
	if c.Why != "" {
		r.line(2, "# %s", printable(c.Why))
	}
}

// elements writes those of a list that were added or removed.
func (r *renderer) elements(mark string, elements []string) {
	for i, e := range elements {
		if i == clipElements {
			r.line(2, "%s … and %d more", mark, len(elements)-i)
			return
		}
		r.line(2, "%s %s", mark, e)
	}
}

// leaves writes all that is added with a document or an element.
func (r *renderer) leaves(level int, doc json.RawMessage) {
	t, err := readTree(doc, nil)
	if err != nil {
		r.line(level, "+ %s", clip(printable(string(doc))))
		return
	}
	r.leavesOf(level, &t, 0, "")
}

func (r *renderer) leavesOf(level int, t *tree, n int, path string) {
	if int(t.nodes[n].end) == n+1 || t.isSet(n) { // empty or a scalar, or scalars
		r.line(level, "+ %s: %s", printable(path), show(t, n))
		return
	}
	for c := range t.children(n) {
		below := path + label(t, c)
		if t.is(n, object) {
			below = quoteUnless(t.name(c), isNameByte)
			if path != "" {
				below = path + "." + below
			}
		}
		r.leavesOf(level, t, c, below)
	}
}

// label tells an element from the others of its list.
func label(t *tree, n int) string {
	if t.is(n, object) {
		for _, key := range []string{"name", "id"} {
			if k, err := t.member(n, key); err == nil && t.is(k, text) {
				return "[" + key + "=" + quoteUnless(unquote(t.bytes(k)), isValueByte) + "]"
			}
		}
	}
	return "[]"
}

// elements compares what a list was with what it becomes; lists is false where
// the change is not one of a list of scalars.
func (c Change) elements() (added, removed []string, lists bool) {
	before, ok := readList(c.From)
	after, ok2 := readList(c.To)
	if !ok || !ok2 {
		return nil, nil, false
	}
	return onlyIn(after, before, c.form()), onlyIn(before, after, c.form()), true
}

// readList reads a list of scalars.
func readList(value json.RawMessage) (tree, bool) {
	if value == nil {
		return tree{}, false
	}
	t, err := readTree(value, nil)
	return t, err == nil && t.isSet(0)
}

// onlyIn shows the elements of a list that another one does not have.
func onlyIn(of, in tree, f form) []string {
	have := map[string]bool{}
	for c := range in.children(0) {
		have[string(in.write(nil, c, f))] = true
	}
	var shown []string
	for c := range of.children(0) {
		if key := string(of.write(nil, c, f)); !have[key] {
			have[key] = true
			shown = append(shown, show(&of, c))
		}
	}
	return shown
}

func isObject(value json.RawMessage) bool { return bytes.HasPrefix(value, []byte{'{'}) }

// value shows a JSON value.
func value(v json.RawMessage) string {
	t, err := readTree(v, nil)
	if err != nil {
		return clip(printable(string(v)))
	}
	return show(&t, 0)
}

func show(t *tree, n int) string {
	if t.is(n, text) {
		return strconv.Quote(clip(unquote(t.bytes(n))))
	}
	return clip(printable(string(t.bytes(n))))
}

// clip shortens a long text. What tells ids from each other is their end, so
// that is what stays of them; of others it is the beginning.
func clip(s string) string {
	runes := []rune(s)
	switch {
	case len(runes) <= clipRunes:
		return s
	case strings.HasPrefix(s, "/subscriptions/"):
		return "…" + string(runes[len(runes)-clipRunes:])
	default:
		return string(runes[:clipRunes]) + "…"
	}
}

// printable shows what would move the cursor, colour the text or turn its
// direction as an escape.
func printable(s string) string {
	if !strings.ContainsFunc(s, func(c rune) bool { return !unicode.IsPrint(c) }) {
		return s
	}
	var b strings.Builder
	for _, c := range s {
		if unicode.IsPrint(c) {
			b.WriteRune(c)
		} else {
			fmt.Fprintf(&b, `\u%04x`, c)
		}
	}
	return b.String()
}
