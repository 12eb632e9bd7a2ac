package balancer

import (
	"encoding/json"
	"fmt"
	"strings"

	"tandem/internal/pair"
)

// String is the form in which plans name a place, for example
// properties.probes[name=check].properties.port. Names and values with other
// characters stand in quotes, as JSON writes them.
func (p Path) String() string {
	var b strings.Builder
	for i, s := range p {
		if i > 0 {
			b.WriteByte('.')
		}
		b.WriteString(quoteUnless(s.Name, isNameByte))
		if s.Key != "" {
			b.WriteString("[" + quoteUnless(s.Key, isNameByte) + "=" + quoteUnless(s.Value, isValueByte) + "]")
		}
	}
	return b.String()
}

// parsePath reads what Path.String writes.
func parsePath(s string) (Path, error) {
	var path Path
	r := pathReader{s}
	for {
		seg := Segment{}
		ok := r.word(&seg.Name, isNameByte)
		if ok && r.take("[") {
			ok = r.word(&seg.Key, isNameByte) && r.take("=") && r.word(&seg.Value, isValueByte) && r.take("]")
		}
		if !ok {
			return nil, fmt.Errorf("read path %.200q: nothing that is expected at %.40q: %w", s, r.rest, pair.ErrInvalid)
		}
		path = append(path, seg)
		if r.rest == "" {
			return path, nil
		}
		if !r.take(".") {
			return nil, fmt.Errorf("read path %.200q: expected a point at %.40q: %w", s, r.rest, pair.ErrInvalid)
		}
	}
}

// pathReader takes one part of a path after the other.
type pathReader struct{ rest string }

func (r *pathReader) take(s string) bool {
	rest, ok := strings.CutPrefix(r.rest, s)
	r.rest = rest
	return ok
}

// word takes a name or a value, which is not empty.
func (r *pathReader) word(into *string, plain func(byte) bool) bool {
	n := 0
	if strings.HasPrefix(r.rest, `"`) {
		p := parser{tree: tree{raw: []byte(r.rest)}}
		if _, err := p.quoted(); err != nil {
			return false
		}
		n = p.at
		*into = unquote([]byte(r.rest[:n]))
	} else {
		for n < len(r.rest) && plain(r.rest[n]) {
			n++
		}
		*into = r.rest[:n]
	}
	r.rest = r.rest[n:]
	return *into != ""
}

func quoteUnless(s string, plain func(byte) bool) string {
	for i := range len(s) {
		if !plain(s[i]) {
			quoted, err := json.Marshal(s)
			if err != nil { // a string has no way to fail
				return s
			}
			return string(quoted)
		}
	}
	return s
}

func isNameByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' || c == '-' || c == '$'
}

func isValueByte(c byte) bool {
	return ' ' <= c && c <= '~' && c != '"' && c != '\\' && c != ']'
}
