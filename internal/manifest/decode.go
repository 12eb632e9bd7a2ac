package manifest

import (
	"encoding"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"tandem/internal/nearest"
	"tandem/internal/pair"
)

// mostProblems bounds what is reported of one document; whoever gets so many
// has given us something other than such a file.
const mostProblems = 100

// mostItems bounds every list, so that a small file cannot fill the memory.
const mostItems = 1000

// place is where something stands in a file.
type place struct{ line, column int }

// decoder reads one document into a struct and remembers where everything
// stood. Unlike the library's own decoder it goes on after a mistake, knows
// the path and the line of each, and accepts no form that a reader of the
// file could take for another value (010, 1e3, a date).
type decoder struct {
	file     string
	problems Problems
	more     bool             // there are problems past mostProblems
	places   map[string]place // path → what was written there
	failed   map[string]bool  // paths whose value could not be read
	holding  map[string]bool  // paths of everything around those
}

func newDecoder(file string) *decoder {
	return &decoder{
		file:    file,
		places:  make(map[string]place),
		failed:  make(map[string]bool),
		holding: make(map[string]bool),
	}
}

// value reads node n into v. The path names the place, for problems.
func (d *decoder) value(n *yaml.Node, v reflect.Value, path string, k key) {
	d.places[path] = place{n.Line, n.Column}
	switch {
	case n.Kind == yaml.AliasNode:
		d.refuse(n, path, "an alias", "the value itself, because aliases are not supported")
	case n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null":
		d.refuse(n, path, "nothing", k.expects()+", or the key left out")
	case isMapping(v.Type()):
		d.mapping(n, v, path, k)
	case v.Kind() == reflect.Slice:
		d.list(n, v, path, k)
	case n.Kind != yaml.ScalarNode || !d.scalar(n, v):
		d.refuse(n, path, shown(n, path), k.expects()+d.hint(n, v.Type()))
	}
}

// hint explains the commonest reason why a scalar was not taken.
func (d *decoder) hint(n *yaml.Node, t reflect.Type) string {
	if words := choices(t); words != nil {
		if word, ok := nearest.Word(n.Value, words); ok {
			return fmt.Sprintf(" (did you mean %s?)", word)
		}
		return ""
	}
	if n.Kind != yaml.ScalarNode {
		return ""
	}
	quoted := n.ShortTag() == "!!str"
	switch {
	case t.Kind() == reflect.String && !quoted:
		return ", in quotes"
	case t.Kind() == reflect.Int && quoted && decimal.MatchString(n.Value):
		return ", without quotes"
	default:
		return ""
	}
}

var (
	decimal      = regexp.MustCompile(`^(0|-?[1-9][0-9]*)$`)
	durationForm = regexp.MustCompile(durationPattern)
)

// scalar reads a scalar node and reports whether it has the right form.
func (d *decoder) scalar(n *yaml.Node, v reflect.Value) bool {
	switch {
	case isText(v.Type()):
		return n.ShortTag() == "!!str" && text(n.Value, v)
	case v.Kind() == reflect.String:
		v.SetString(n.Value)
		return n.ShortTag() == "!!str" && n.Value != ""
	case v.Kind() == reflect.Int:
		i, err := strconv.ParseInt(n.Value, 10, 32)
		v.SetInt(i)
		return err == nil && n.ShortTag() == "!!int" && decimal.MatchString(n.Value)
	case v.Kind() == reflect.Bool:
		v.SetBool(n.Value == "true")
		return n.ShortTag() == "!!bool" && (n.Value == "true" || n.Value == "false")
	default:
		panic("manifest: no form for the type " + v.Type().String())
	}
}

// text reads a value that is written as text. An empty one would be taken for
// "not given" by most types, so it is refused here.
func text(s string, v reflect.Value) bool {
	if words := choices(v.Type()); words != nil {
		s = ownWord(s)
		if !slices.Contains(words, s) {
			return false
		}
	}
	if v.Type() == reflect.TypeFor[pair.Duration]() && !durationForm.MatchString(s) {
		return false
	}
	return s != "" && v.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(s)) == nil
}

func (d *decoder) list(n *yaml.Node, v reflect.Value, path string, k key) {
	if n.Kind != yaml.SequenceNode {
		d.refuse(n, path, shown(n, path), k.expects())
		return
	}
	if len(n.Content) > mostItems {
		d.refuse(n, path, "a list of "+strconv.Itoa(len(n.Content)), strconv.Itoa(mostItems)+" at most")
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content)))
	for i, item := range n.Content {
		d.value(item, v.Index(i), path+"["+strconv.Itoa(i)+"]", k.item())
	}
}

func (d *decoder) mapping(n *yaml.Node, v reflect.Value, path string, k key) {
	if n.Kind != yaml.MappingNode {
		d.refuse(n, path, shown(n, path), k.expects())
		return
	}
	known := keys(v.Type())
	words := names(known)
	seen := make(map[string]int) // key → line
	for i := 0; i+1 < len(n.Content); i += 2 {
		word, value := n.Content[i], n.Content[i+1]
		k, ok := find(known, word)
		if !ok {
			d.unknown(word, path, words)
			continue
		}
		at := join(path, k.name)
		if line, twice := seen[k.name]; twice {
			d.refuse(word, at, "given twice", fmt.Sprintf("it once, as on line %d", line))
			continue
		}
		seen[k.name] = word.Line
		d.value(value, v.FieldByIndex(k.index), at, k)
	}
}

// find returns the key that a word in the file means, in either vocabulary.
func find(known []key, word *yaml.Node) (key, bool) {
	if word.Kind != yaml.ScalarNode {
		return key{}, false
	}
	for _, k := range known {
		if k.name == ownWord(word.Value) {
			return k, true
		}
	}
	return key{}, false
}

// unknown reports a key that the mapping does not have. What the key holds is
// not shown: it may be a password that has no place here.
func (d *decoder) unknown(word *yaml.Node, path string, known []string) {
	if d.full() {
		return
	}
	if word.Kind != yaml.ScalarNode {
		d.add(Problem{Line: word.Line, Column: word.Column, Field: path, Value: "a key that is not plain text", Expected: oneOf(known)})
		return
	}
	expected := oneOf(known)
	if meant, ok := nearest.Word(word.Value, known); ok {
		expected = fmt.Sprintf("%s (did you mean %q?)", expected, meant)
		d.fail(join(path, meant)) // not to be reported as missing too
	}
	d.refuse(word, join(path, clip(word.Value)), "unknown key", expected)
}

// refuse reports what stands at the path and remembers that it is not read.
func (d *decoder) refuse(n *yaml.Node, path, value, expected string) {
	d.fail(path)
	d.add(Problem{Line: n.Line, Column: n.Column, Field: path, Value: value, Expected: expected})
}

func (d *decoder) add(p Problem) {
	if d.full() {
		return
	}
	p.File = d.file
	d.problems = append(d.problems, p)
}

// full reports whether another problem would be one too many, and remembers
// that there was one. What is costly to say need not be said then.
func (d *decoder) full() bool {
	d.more = d.more || len(d.problems) == mostProblems
	return d.more
}

// fail remembers that what stands at the path could not be read.
func (d *decoder) fail(path string) {
	d.failed[path] = true
	for at := parent(path); at != ""; at = parent(at) {
		d.holding[at] = true
	}
}

// addChecked adds a problem that was found in the decoded value, at the place
// of its field or else of what is around it. It leaves the problem out when
// the field, something around it or something in it could not be read, because
// then it only repeats that.
func (d *decoder) addChecked(p Problem) {
	if d.holding[p.Field] || d.failed[""] {
		return
	}
	for at := p.Field; at != ""; at = parent(at) {
		if d.failed[at] {
			return
		}
	}
	at := p.Field
	for at != "" && !d.given(at, reflect.Value{}) {
		at = parent(at)
	}
	p.Line, p.Column = d.places[at].line, d.places[at].column
	d.add(p)
}

// given reports whether the file says anything at the path.
func (d *decoder) given(path string, _ reflect.Value) bool {
	_, ok := d.places[path]
	return ok
}

// shown returns a node's content for a message.
func shown(n *yaml.Node, path string) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "a mapping"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case hidden(path):
		return "[redacted]"
	}
	quoted := strconv.Quote(clip(n.Value))
	if n.ShortTag() != "!!str" && quoted == `"`+n.Value+`"` {
		return n.Value
	}
	return quoted
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// parent returns the path of what holds the thing at path.
func parent(path string) string {
	return path[:max(0, strings.LastIndexAny(path, ".["))]
}
