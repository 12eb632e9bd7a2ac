package balancer

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"tandem/internal/pair"
)

// form is a way to write a value. Two values are equal when they are the same
// in a form that compares.
type form uint8

const (
	// shown is for people and plans: no white space, names in order, and without
	// what the platform counts by itself.
	shown form = iota
	// folded is for comparing: also texts in lower case, numbers in one spelling,
	// lists of scalars as sets, and null like no member.
	folded
	// exact compares like folded, but for the case of texts.
	exact
)

// Most texts in a network resource are ids, names, enumerations, tags of
// services and addresses, in which Resource Manager disregards case. caseful
// are the members in which case means something: paths and free text.
func caseful(name string) bool {
	return sameFold(name, "requestPath") || sameFold(name, "description") || sameFold(name, "tags")
}

// volatile members change with every write of anything beside them; they say
// nothing about what stands there.
func volatile(name string) bool {
	return sameFold(name, "etag") || sameFold(name, "provisioningState")
}

// readWant reads a value of a Field: a scalar or a list of scalars.
func readWant(value json.RawMessage, nodes []node) (tree, error) {
	t, err := readTree(value, nodes)
	if err != nil {
		return tree{}, err
	}
	if !utf8.Valid(value) {
		return tree{}, fmt.Errorf("%.80q is not UTF-8: %w", value, pair.ErrInvalid)
	}
	for n := range t.nodes {
		if k := t.nodes[n].kind; k == null || k == object || k == list && n > 0 {
			return tree{}, fmt.Errorf("%.80s is neither a scalar nor a list of scalars: %w", value, pair.ErrInvalid)
		}
	}
	return t, nil
}

// write appends a value in a form.
func (t *tree) write(out []byte, n int, f form) []byte {
	switch t.nodes[n].kind {
	case text:
		s := unquote(t.bytes(n))
		if f == folded {
			s = fold(s)
		}
		return appendQuoted(out, s)
	case number:
		if f == shown {
			return append(out, t.bytes(n)...)
		}
		return appendNumber(out, t.bytes(n))
	case list:
		return t.writeList(out, n, f)
	case object:
		return t.writeObject(out, n, f)
	default:
		return append(out, t.bytes(n)...)
	}
}

func (t *tree) writeList(out []byte, n int, f form) []byte {
	var elements [][]byte
	for c := range t.children(n) {
		elements = append(elements, t.write(nil, c, f))
	}
	if f != shown && t.isSet(n) {
		slices.SortFunc(elements, bytes.Compare)
		elements = slices.CompactFunc(elements, bytes.Equal)
	}
	out = append(out, '[')
	out = append(out, bytes.Join(elements, []byte{','})...)
	return append(out, ']')
}

// isSet says whether a value is a list of scalars, which is compared as a set.
func (t *tree) isSet(n int) bool {
	if !t.is(n, list) {
		return false
	}
	for c := range t.children(n) {
		if t.is(c, object) || t.is(c, list) {
			return false
		}
	}
	return true
}

// writeObject sorts members with their values, so that the order does not count
// even where names differ in nothing but case.
func (t *tree) writeObject(out []byte, n int, f form) []byte {
	var members [][]byte
	for c := range t.children(n) {
		name := t.name(c)
		if volatile(name) || f != shown && t.is(c, null) {
			continue
		}
		inner := f
		if f == folded && caseful(name) {
			inner = exact
		}
		if f != shown {
			name = fold(name)
		}
		members = append(members, t.write(append(appendQuoted(nil, name), ':'), c, inner))
	}
	slices.SortFunc(members, bytes.Compare)
	out = append(out, '{')
	out = append(out, bytes.Join(members, []byte{','})...)
	return append(out, '}')
}

// name is a member's name.
func (t *tree) name(n int) string {
	at := t.nodes[n].name
	return unquote(t.raw[at.from:at.to])
}

// fold puts a text into the form in which texts are compared without regard to
// case.
func fold(s string) string { return strings.ToLower(s) }

// unquote returns what a JSON string means, which readTree has accepted.
func unquote(quoted []byte) string {
	plain := quoted[1 : len(quoted)-1]
	if isPlain(plain) {
		return string(plain)
	}
	var s string
	if json.Unmarshal(quoted, &s) != nil {
		return string(plain)
	}
	return s
}

// appendQuoted appends a text as encoding/json writes it, so that a plan that
// was stored and read again is the same plan.
func appendQuoted(out []byte, s string) []byte {
	if isPlain(s) {
		out = append(out, '"')
		out = append(out, s...)
		return append(out, '"')
	}
	quoted, err := json.Marshal(s)
	if err != nil { // a string has no way to fail
		return strconv.AppendQuoteToASCII(out, s)
	}
	return append(out, quoted...)
}

// appendCompact appends a JSON value as encoding/json writes a json.RawMessage:
// without white space, and with HTML escaped.
func appendCompact(out, value []byte) []byte {
	if !slices.ContainsFunc(value, func(c byte) bool { return c <= ' ' || c > '~' || c == '<' || c == '>' || c == '&' }) {
		return append(out, value...)
	}
	var compact, escaped bytes.Buffer
	if json.Compact(&compact, value) != nil { // readTree has accepted it
		return append(out, value...)
	}
	json.HTMLEscape(&escaped, compact.Bytes())
	return append(out, escaped.Bytes()...)
}

// isPlain says whether a text stands in JSON as it is, also where HTML is
// escaped.
func isPlain[T ~string | ~[]byte](s T) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case c < ' ', c > '~', c == '"', c == '\\', c == '<', c == '>', c == '&':
			return false
		}
	}
	return true
}

// appendNumber appends the one spelling of a number: its digits without zeros
// at either end, and an exponent. 1.0, 1 and 10e-1 are one number. Numbers with
// an exponent that nobody would write are only equal to themselves.
func appendNumber(out, spelled []byte) []byte {
	s := string(spelled)
	negative := strings.HasPrefix(s, "-")
	mantissa, exponent := strings.TrimPrefix(s, "-"), 0
	if e := strings.IndexAny(mantissa, "eE"); e >= 0 {
		var err error
		if exponent, err = strconv.Atoi(mantissa[e+1:]); err != nil || exponent > maxExponent || exponent < -maxExponent {
			return append(out, spelled...)
		}
		mantissa = mantissa[:e]
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	exponent -= len(fraction)
	digits := strings.TrimLeft(whole+fraction, "0")
	if digits == "" {
		return append(out, '0')
	}
	significant := strings.TrimRight(digits, "0")
	exponent += len(digits) - len(significant)
	if negative {
		out = append(out, '-')
	}
	out = append(append(out, significant...), 'e')
	return strconv.AppendInt(out, int64(exponent), 10)
}

// maxExponent keeps the arithmetic of exponents from overflowing.
const maxExponent = 1 << 30
