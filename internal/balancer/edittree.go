package balancer

import (
	"bytes"
	"fmt"
	"iter"
	"strconv"
	"unicode/utf8"

	"tandem/internal/pair"
)

const (
	// maxBytes bounds a document. A security group with every rule that the
	// platform allows (azure.md 1.7) is well below it.
	maxBytes = 4 << 20
	// maxDepth bounds how deep values nest. Documents of network resources nest
	// less than 20 deep.
	maxDepth = 64
)

// tree is a JSON text and where its values stand in it, so that one value can
// be replaced and every other byte stays. The nodes are in the order of the
// text: the first child of a container is the node behind it.
type tree struct {
	raw   []byte
	nodes []node
}

// node is one value.
type node struct {
	kind    kind
	escaped bool // the value is a text with escapes
	name    name
	at      span  // of the value
	end     int32 // the first node behind the value
}

// name is that of a member, with its quotes; it is empty elsewhere.
type name struct {
	span
	escaped bool
}

// span is a range of bytes.
type span struct{ from, to int32 }

// kind is a JSON type, by the letter that begins its values.
type kind byte

// The kinds of values. The zero value is no value.
const (
	object  kind = '{'
	list    kind = '['
	text    kind = '"'
	number  kind = '0'
	truth   kind = 't'
	falsity kind = 'f'
	null    kind = 'n'
)

// readTree reads a JSON text, and puts its nodes into a slice that is used
// again. It accepts what json.Valid accepts, within the bounds above. The
// error is a pair.ErrUnreadable or pair.ErrTooLarge.
func readTree(raw []byte, nodes []node) (tree, error) {
	if len(raw) > maxBytes {
		return tree{}, fmt.Errorf("read JSON: %d bytes are more than %d: %w", len(raw), maxBytes, pair.ErrTooLarge)
	}
	// Every value is the first of its container or behind a comma.
	if n := min(bytes.Count(raw, []byte{','}), len(raw)/8) + 16; cap(nodes) < n && len(raw) > 256 {
		nodes = make([]node, 0, n+n/4)
	}
	p := parser{tree: tree{raw: raw, nodes: nodes[:0]}}
	if err := p.value(name{}, maxDepth); err != nil {
		return tree{}, err
	}
	p.space()
	if p.at < len(raw) {
		return tree{}, p.wrong("text behind the value")
	}
	return p.tree, nil
}

// children are the members of an object or the elements of a list.
func (t *tree) children(n int) iter.Seq[int] {
	return func(yield func(int) bool) {
		for c := n + 1; c < int(t.nodes[n].end); c = int(t.nodes[c].end) {
			if !yield(c) {
				return
			}
		}
	}
}

// bytes are those of a value.
func (t *tree) bytes(n int) []byte { return t.raw[t.nodes[n].at.from:t.nodes[n].at.to] }

// item is where an element, or a member with its name, stands in its container.
func (t *tree) item(n int) span {
	at := t.nodes[n].at
	if own := t.nodes[n].name; own.to > own.from {
		at.from = own.from
	}
	return at
}

// is says whether there is a value of that kind.
func (t *tree) is(n int, k kind) bool { return n >= 0 && t.nodes[n].kind == k }

// nothing says whether a place shows no value: null and no member mean the
// same to Resource Manager.
func (t *tree) nothing(n int) bool { return n < 0 || t.nodes[n].kind == null }

// member finds the value of that name in an object, without regard to case, or
// -1. A name that comes twice is refused, because nobody can say which counts.
func (t *tree) member(n int, called string) (int, error) {
	found := -1
	for c := range t.children(n) {
		own := t.nodes[c].name
		if !quotedIs(t.raw[own.from:own.to], own.escaped, called) {
			continue
		}
		if found >= 0 {
			return -1, fmt.Errorf("%q comes twice: %w", called, pair.ErrUnreadable)
		}
		found = c
	}
	return found, nil
}

// elements are the objects of a list by the value of their key, in the form in
// which texts are compared without regard to case.
func (t *tree) elements(n int, key string) (elements, error) {
	found := elements{}
	for c := range t.children(n) {
		if t.nodes[c].kind != object {
			continue
		}
		k, err := t.member(c, key)
		if err != nil {
			return nil, err
		}
		if !t.is(k, text) {
			continue
		}
		value := fold(unquote(t.bytes(k)))
		if _, twice := found[value]; twice {
			c = twiceThere
		}
		found[value] = c
	}
	return found, nil
}

type elements map[string]int

// twiceThere stands for an element that comes twice.
const twiceThere = -2

// element finds the element whose key has that value, or -1. Two of them are
// refused.
func (e elements) element(value string) (int, error) {
	n, ok := e[fold(value)]
	switch {
	case !ok:
		return -1, nil
	case n == twiceThere:
		return -1, fmt.Errorf("%q comes twice: %w", value, pair.ErrUnreadable)
	default:
		return n, nil
	}
}

// parser reads one value after the other.
type parser struct {
	tree
	at int
}

func (p *parser) wrong(what string) error {
	return fmt.Errorf("read JSON at byte %d: %s: %w", p.at, what, pair.ErrUnreadable)
}

// value reads one value, which may hold others that deep.
func (p *parser) value(called name, deep int) error {
	p.space()
	if p.at == len(p.raw) {
		return p.wrong("the text ends")
	}
	n, from := len(p.nodes), p.at
	p.nodes = append(p.nodes, node{kind: kind(p.raw[p.at]), name: called})
	var err error
	switch c := p.raw[p.at]; c {
	case '{', '[':
		err = p.container(kind(c), deep)
	case '"':
		var own name
		own, err = p.quoted()
		p.nodes[n].escaped = own.escaped
	case 't':
		err = p.word("true")
	case 'f':
		err = p.word("false")
	case 'n':
		err = p.word("null")
	default:
		p.nodes[n].kind = number
		err = p.number()
	}
	if err != nil {
		return err
	}
	p.nodes[n].at = span{int32(from), int32(p.at)}
	p.nodes[n].end = int32(len(p.nodes))
	return nil
}

// container reads an object or a list.
func (p *parser) container(k kind, deep int) error {
	if deep == 0 {
		return p.wrong("nested deeper than " + strconv.Itoa(maxDepth))
	}
	closing := byte(k) + 2 // ] behind [ and } behind {, in ASCII
	p.at++
	p.space()
	if p.take(closing) {
		return nil
	}
	for {
		var called name
		if k == object {
			var err error
			p.space()
			if called, err = p.quoted(); err != nil {
				return err
			}
			p.space()
			if !p.take(':') {
				return p.wrong("expected a colon")
			}
		}
		if err := p.value(called, deep-1); err != nil {
			return err
		}
		p.space()
		if p.take(closing) {
			return nil
		}
		if !p.take(',') {
			return p.wrong("expected a comma")
		}
	}
}

// quoted reads a string, which may be the name of a member.
func (p *parser) quoted() (name, error) {
	from, escaped := p.at, false
	if !p.take('"') {
		return name{}, p.wrong("expected a string")
	}
	for p.at < len(p.raw) {
		switch c := p.raw[p.at]; {
		case c == '"':
			p.at++
			return name{span{int32(from), int32(p.at)}, escaped}, nil
		case c == '\\':
			escaped = true
			if err := p.escape(); err != nil {
				return name{}, err
			}
		case c < ' ':
			return name{}, p.wrong("control character in a string")
		default:
			p.at++
		}
	}
	return name{}, p.wrong("the string does not end")
}

// escape reads what begins with a backslash in a string.
func (p *parser) escape() error {
	p.at++
	if p.at == len(p.raw) {
		return p.wrong("the string does not end")
	}
	switch p.raw[p.at] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		p.at++
		return nil
	case 'u':
		p.at++
		for end := p.at + 4; p.at < end; p.at++ {
			if p.at == len(p.raw) || !isHex(p.raw[p.at]) {
				return p.wrong("expected four hexadecimal digits")
			}
		}
		return nil
	default:
		return p.wrong("unknown escape")
	}
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

// number reads a number, with the grammar of RFC 8259.
func (p *parser) number() error {
	p.take('-')
	if !p.take('0') && !p.digits() {
		return p.wrong("expected a value")
	}
	if p.take('.') && !p.digits() {
		return p.wrong("expected a digit")
	}
	if p.take('e') || p.take('E') {
		if !p.take('+') {
			p.take('-')
		}
		if !p.digits() {
			return p.wrong("expected a digit")
		}
	}
	return nil
}

func (p *parser) digits() bool {
	from := p.at
	for p.at < len(p.raw) && '0' <= p.raw[p.at] && p.raw[p.at] <= '9' {
		p.at++
	}
	return p.at > from
}

func (p *parser) word(w string) error {
	if len(p.raw)-p.at < len(w) || string(p.raw[p.at:p.at+len(w)]) != w {
		return p.wrong("expected a value")
	}
	p.at += len(w)
	return nil
}

func (p *parser) take(c byte) bool {
	if p.at < len(p.raw) && p.raw[p.at] == c {
		p.at++
		return true
	}
	return false
}

func (p *parser) space() {
	for p.at < len(p.raw) {
		switch p.raw[p.at] {
		case ' ', '\t', '\n', '\r':
			p.at++
		default:
			return
		}
	}
}

// quotedIs says whether a JSON string means that text, without regard to case.
func quotedIs(quoted []byte, escaped bool, s string) bool {
	if escaped {
		return sameFold(unquote(quoted), s)
	}
	return sameFold(quoted[1:len(quoted)-1], s)
}

// sameFold compares texts without regard to case. It means the same as
// comparing what strings.ToLower makes of them, and is quick for ASCII.
func sameFold[A, B ~string | ~[]byte](a A, b B) bool {
	for i := range min(len(a), len(b)) {
		x, y := a[i], b[i]
		if x >= utf8.RuneSelf || y >= utf8.RuneSelf {
			return fold(string(a)) == fold(string(b))
		}
		if x != y && lower(x) != lower(y) {
			return false
		}
	}
	return len(a) == len(b)
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + ('a' - 'A')
	}
	return c
}
