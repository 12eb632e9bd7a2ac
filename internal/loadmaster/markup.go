package loadmaster

import (
	"fmt"
	"html"
	"strings"
)

const (
	// maxDepth is how deep elements are told apart; the API needs six levels.
	// Tags below it count as text.
	maxDepth = 64
	// maxTag is the longest tag; what is longer counts as text. It also keeps
	// the time for hostile answers in proportion to their size.
	maxTag = 512
)

// openElement is an element whose end tag was not met yet.
type openElement struct {
	element
	start int // of its content
}

// markup parses what units call XML. Values in it hold raw HTML, banners with
// unclosed paragraphs for instance (loadmaster.md 1.5), at which encoding/xml
// gives up even when it is not strict. So only what a parser can be sure of is
// an error here, which is an element cut off by the end of the answer; end
// tags that nothing opened are text, and elements left open, such as <br>, end
// with their parent.
type markup struct {
	src  string
	pos  int
	open []openElement // open[0] is the document
}

// parseMarkup returns the document; its root element is the only child. The
// text of an element with children is their source, so that HTML survives as
// the value it is. Attributes are children whose names begin with @.
func parseMarkup(src string) (element, error) {
	m := &markup{src: src, open: []openElement{{}}}
	for {
		i := strings.IndexByte(m.src[m.pos:], '<')
		if i < 0 {
			break
		}
		m.pos += i
		m.tag()
	}
	if top := m.open[len(m.open)-1]; len(m.open) > 1 {
		return element{}, fmt.Errorf("the answer ends inside <%.40s>", top.name)
	}
	return m.open[0].element, nil
}

// tag reads what begins with the < at m.pos and moves behind it.
func (m *markup) tag() {
	rest := m.src[m.pos:]
	switch {
	case strings.HasPrefix(rest, "<!--"):
		m.skipPast("-->")
	case strings.HasPrefix(rest, "<![CDATA["):
		m.skipPast("]]>")
	case strings.HasPrefix(rest, "<!"), strings.HasPrefix(rest, "<?"):
		m.skipPast(">")
	case strings.HasPrefix(rest, "</"):
		m.endTag()
	case nameLength(rest[1:]) > 0:
		m.startTag()
	default: // a bare < in a text
		m.pos++
	}
}

func (m *markup) skipPast(end string) {
	i := strings.Index(m.src[m.pos:], end)
	if i < 0 {
		m.pos = len(m.src)
		return
	}
	m.pos += i + len(end)
}

func (m *markup) startTag() {
	rest := m.src[m.pos:]
	length := tagLength(rest)
	if length < 0 { // no end: text, or cut off, which shows at the end
		m.pos++
		return
	}
	name := rest[1 : 1+nameLength(rest[1:length])]
	inside := rest[1+len(name) : length-1]
	m.pos += length
	e := element{name: name}
	for _, a := range []string{"stat", "code"} { // all that the API uses
		if v := attribute(inside, a); v != "" {
			e.kids = append(e.kids, element{name: "@" + a, text: html.UnescapeString(v)})
		}
	}
	switch {
	case strings.HasSuffix(inside, "/"):
		m.add(e)
	case len(m.open) <= maxDepth:
		m.open = append(m.open, openElement{element: e, start: m.pos})
	}
}

// endTag closes the innermost element of the name and all that is open in it.
func (m *markup) endTag() {
	start := m.pos
	rest := m.src[start+2:]
	name := rest[:nameLength(rest)]
	m.skipPast(">")
	for i := len(m.open) - 1; i > 0; i-- {
		if m.open[i].name != name {
			continue
		}
		for len(m.open) > i {
			m.close(start)
		}
		return
	}
}

// close ends the innermost element, whose content ends at end.
func (m *markup) close(end int) {
	last := len(m.open) - 1
	e := m.open[last]
	m.open = m.open[:last]
	e.text = m.src[e.start:end]
	if len(e.kids) == 0 {
		e.text = plainText(e.text)
	}
	m.add(e.element)
}

func (m *markup) add(e element) {
	parent := &m.open[len(m.open)-1]
	parent.kids = append(parent.kids, e)
}

func plainText(s string) string {
	trimmed := strings.TrimSpace(s)
	if inner, ok := strings.CutPrefix(trimmed, "<![CDATA["); ok {
		return strings.TrimSuffix(inner, "]]>")
	}
	return html.UnescapeString(s)
}

func nameLength(s string) int {
	for i := range len(s) {
		c := s[i]
		letter := 'a' <= c|0x20 && c|0x20 <= 'z' || c == '_'
		if !letter && (i == 0 || strings.IndexByte("0123456789.-:", c) < 0) {
			return i
		}
	}
	return len(s)
}

// tagLength returns the length of the tag at the start of s, which ends at the
// first > outside quotes, or -1 when there is none near.
func tagLength(s string) int {
	var quote byte
	for i := range min(len(s), maxTag) {
		switch c := s[i]; {
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'':
			quote = c
		case c == '>':
			return i + 1
		}
	}
	return -1
}

// attribute finds name="value" in the inside of a tag.
func attribute(tag, name string) string {
	_, after, found := strings.Cut(tag, " "+name+"=")
	if !found || after == "" || after[0] != '"' && after[0] != '\'' {
		return ""
	}
	value, _, closed := strings.Cut(after[1:], after[:1])
	if !closed {
		return ""
	}
	return value
}
