package discover

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"tandem/internal/manifest"
	"tandem/internal/pair"
)

const (
	width       = 110 // of a line with a comment
	mostRemarks = 200 // in one file
	longest     = 600 // of a remark, in bytes
)

// writeFile writes a pair file with a comment for each remark above what it is
// about, and returns the remarks in the order of the file.
func writeFile(def pair.Definition, header []string, remarks []remark) ([]byte, []remark, error) {
	bare, err := manifest.Format(def)
	if err != nil {
		return nil, nil, err
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(bare, &doc); err != nil {
		return nil, nil, fmt.Errorf("write the pair file of %s: %w", def.Name, err)
	}
	places := newPlaces(doc.Content[0])
	remarks = inOrder(places, remarks)
	if more := len(remarks) - mostRemarks; more > 0 {
		remarks = remarks[:mostRemarks]
		header = append(header, strconv.Itoa(more)+" more remarks are left out here.")
	}
	var end []string // what is about a key of the file that is left out
	for _, r := range remarks {
		p, exact := places.find(r.field)
		switch {
		case p != nil:
			p.comment(commentOf(r, exact))
		case r.field == "":
			header = append(header, commentOf(r, exact))
		default:
			end = append(end, commentOf(r, exact))
		}
	}
	var b bytes.Buffer
	for i, sentence := range header {
		if i > 0 {
			b.WriteString("#\n")
		}
		b.WriteString(wrapped(text(sentence), width) + "\n")
	}
	b.WriteString("\n")
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := enc.Encode(&doc); err != nil {
		return nil, nil, fmt.Errorf("write the pair file of %s: %w", def.Name, err)
	}
	err = enc.Close()
	for _, sentence := range end {
		b.WriteString(wrapped(text(sentence), width) + "\n")
	}
	return b.Bytes(), remarks, err
}

// commentOf is the text of a remark. One about a field that is not in the file
// stands above what the field would be in, and names it.
func commentOf(r remark, exact bool) string {
	name := r.field[strings.LastIndexByte(r.field, '.')+1:]
	switch {
	case !r.guess:
		return "note: " + r.why
	case !exact:
		return "guessed: " + name + " is left out, because " + r.why
	default:
		return "guessed: " + r.why
	}
}

// inOrder puts remarks into the order of the file: those about the whole of it
// first, and those about a key that it does not have last; guesses before notes.
func inOrder(places *places, remarks []remark) []remark {
	order := func(r remark) int {
		p, _ := places.find(r.field)
		switch {
		case p != nil:
			return p.order
		case r.field == "":
			return -1
		default:
			return len(places.byField)
		}
	}
	out := slices.Clone(remarks)
	slices.SortStableFunc(out, func(a, b remark) int {
		switch c := cmp.Compare(order(a), order(b)); {
		case c != 0 || a.guess == b.guess:
			return c
		case a.guess:
			return -1
		default:
			return 1
		}
	})
	return out
}

// places are the places of a file by their fields.
type places struct{ byField map[string]*spot }

// spot is one key or one element of a list.
type spot struct {
	order      int
	node       *yaml.Node   // that has the comment
	containers []*yaml.Node // around it
}

func newPlaces(root *yaml.Node) *places {
	p := &places{byField: make(map[string]*spot)}
	p.walk("", root, nil)
	return p
}

func (p *places) walk(at string, n *yaml.Node, containers []*yaml.Node) {
	inside := append(slices.Clip(containers), n)
	add := func(field string, node, value *yaml.Node) {
		p.byField[field] = &spot{len(p.byField), node, inside}
		p.walk(field, value, inside)
	}
	switch n.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			field := n.Content[i].Value
			if at != "" {
				field = at + "." + field
			}
			add(field, n.Content[i], n.Content[i+1])
		}
	case yaml.SequenceNode:
		for i, item := range n.Content {
			add(at+"["+strconv.Itoa(i)+"]", item, item)
		}
	default: // a value, which is not a place of its own
	}
}

// find returns the place of a field, or else the nearest around it; nil where
// that is the whole file.
func (p *places) find(field string) (found *spot, exact bool) {
	exact = true
	for field != "" {
		if found := p.byField[field]; found != nil {
			return found, exact
		}
		field, exact = field[:max(strings.LastIndexAny(field, ".["), 0)], false
	}
	return nil, false
}

// comment adds a comment above the place. Nothing around it is on one line then.
func (p *spot) comment(s string) {
	for _, c := range p.containers {
		c.Style &^= yaml.FlowStyle
	}
	indent := 2 * len(p.containers)
	if p.node.HeadComment != "" {
		p.node.HeadComment += "\n"
	}
	p.node.HeadComment += wrapped(text(s), width-indent)
}

// wrapped writes a text as lines of a comment.
func wrapped(s string, width int) string {
	var lines []string
	line := "#"
	for word := range strings.FieldsSeq(s) {
		if len(line) > 1 && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > width {
			lines = append(lines, line)
			line = "#"
		}
		line += " " + word
	}
	return strings.Join(append(lines, line), "\n")
}

// plain makes a name from outside one that can be shown: printable, on one line,
// and not long.
func plain(s string) string { return clipped(s, 120) }

// text is plain for a sentence.
func text(s string) string { return clipped(s, longest) }

func clipped(s string, most int) string {
	clean := strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case !unicode.IsPrint(r) || r == utf8.RuneError:
			return '?'
		default:
			return r
		}
	}, s[:min(len(s), 4*most)])
	if len(clean) <= most {
		return clean
	}
	for cut := most; ; cut-- {
		if utf8.RuneStart(clean[cut]) {
			return clean[:cut] + "…"
		}
	}
}

// step is one part of a field: a key, and the number of an element, or -1.
type step struct {
	name  string
	index int
}

// parseField takes a field such as loadBalancers[0].rules[1].port apart.
func parseField(field string) []step {
	var out []step
	if field == "" {
		return nil
	}
	for part := range strings.SplitSeq(field, ".") {
		name, rest, indexed := strings.Cut(part, "[")
		s := step{name, -1}
		if indexed {
			if n, err := strconv.Atoi(strings.TrimSuffix(rest, "]")); err == nil {
				s.index = n
			}
		}
		out = append(out, s)
	}
	return out
}
