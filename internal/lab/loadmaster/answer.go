package loadmaster

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"strconv"
	"strings"
)

// answer is what a command has to say, before it becomes XML or JSON.
type answer struct {
	status int     // also the HTTP status
	text   string  // of a plain success or an error
	fields []field // of any other success
	file   []byte  // of a success that is a file (loadmaster.md 1.1)
	padded bool    // v1 puts the values on lines of their own (loadmaster.md 1.5)
	nested bool    // v2 does not flatten (V2GetNested)
}

// field is a named part of an answer: exactly one of leaf, object, repeated
// and list.
type field struct {
	name     string
	leaf     *leaf
	object   []field
	repeated [][]field // in XML one element each, in JSON an array of objects
	list     *list
}

// leaf is a value, in both notations.
type leaf struct {
	xml  string
	json any
}

// list is a sequence of values. In XML each is an element of its own, inside
// one that has the name of the field; in JSON they are an array.
type list struct {
	element string
	values  []string
}

// text is a field that is a string in JSON as well.
func text(name, value string) field {
	return field{name: name, leaf: &leaf{value, value}}
}

// typed is a field whose JSON type follows from its text: yes and no are
// booleans and digits are a number (loadmaster.md 1.6).
func typed(name, value string) field {
	return field{name: name, leaf: &leaf{value, typedValue(value)}}
}

// number is a field that is a number in JSON.
func number[T int | int64](name string, value T) field {
	return typed(name, strconv.FormatInt(int64(value), 10))
}

func object(name string, fields ...field) field { return field{name: name, object: fields} }

func typedValue(value string) any {
	switch value {
	case "yes":
		return true
	case "no":
		return false
	}
	// ParseUint alone would let +5 pass and make a number of 007.
	if n, err := strconv.ParseUint(value, 10, 63); err == nil && strconv.FormatUint(n, 10) == value {
		return n
	}
	return value
}

func done() answer { return answer{status: 200, text: "Command completed ok"} }

func fail(status int, format string, args ...any) answer {
	return answer{status: status, text: fmt.Sprintf(format, args...)}
}

func data(fields ...field) answer { return answer{status: 200, fields: fields} }

func missing(name string) answer {
	a := fail(400, "%s: String Value missing", name)
	a.padded = true
	return a
}

func unknownValue(name string) answer { return fail(422, "Unknown parameter value %s.", name) }

const xmlHeader = `<?xml version="1.0" encoding="ISO-8859-1"?>`

// xml renders the v1 envelope (loadmaster.md 1.5) in ISO-8859-1.
func (a answer) xml() []byte {
	var b strings.Builder
	switch {
	case a.status >= 400 && a.padded:
		fmt.Fprintf(&b, "%s\n<Response stat=\"%d\" code=\"fail\">\n<Error>\n%s\n</Error>\n</Response>\n", xmlHeader, a.status, escape(a.text))
	case a.status >= 400:
		fmt.Fprintf(&b, "%s\n<Response stat=\"%d\" code=\"fail\">\n<Error>%s</Error>\n</Response>\n", xmlHeader, a.status, escape(a.text))
	case a.fields == nil: // with the line ends that were recorded
		fmt.Fprintf(&b, "%s\r\n<Response stat=\"200\" code=\"ok\">\r\n<Success>%s</Success>\r\n</Response>\n", xmlHeader, escape(a.text))
	case a.padded:
		fmt.Fprintf(&b, "%s\n<Response stat=\"200\" code=\"ok\">\n<Success>\n<Data>\n", xmlHeader)
		writeXML(&b, a.fields, "\n")
		b.WriteString("</Data>\n</Success>\n</Response>\n")
	default:
		fmt.Fprintf(&b, "%s\n<Response stat=\"200\" code=\"ok\">\n<Success><Data>", xmlHeader)
		writeXML(&b, a.fields, "")
		b.WriteString("</Data></Success>\n</Response>\n")
	}
	return latin1(b.String())
}

func writeXML(b *strings.Builder, fields []field, padding string) {
	for _, f := range fields {
		for _, one := range f.repeated {
			writeXML(b, []field{object(f.name, one...)}, padding)
		}
		if f.repeated != nil {
			continue
		}
		fmt.Fprintf(b, "<%s>", f.name)
		switch {
		case f.leaf != nil:
			b.WriteString(padding + escape(f.leaf.xml) + padding)
		case f.list != nil:
			for _, value := range f.list.values {
				fmt.Fprintf(b, "<%s>%s</%[1]s>", f.list.element, escape(value))
			}
		default:
			b.WriteString("\n")
			writeXML(b, f.object, padding)
		}
		fmt.Fprintf(b, "</%s>\n", f.name)
	}
}

func escape(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s)) // a strings.Builder takes everything
	return b.String()
}

// latin1 encodes ISO-8859-1, with references for what it does not have.
func latin1(s string) []byte {
	b := make([]byte, 0, len(s))
	for _, r := range s {
		if r < 0x100 {
			b = append(b, byte(r))
		} else {
			b = fmt.Appendf(b, "&#%d;", r)
		}
	}
	return b
}

// json renders the v2 envelope: the code first, the status last, the fields
// flattened in between (loadmaster.md 1.6).
func (a answer) json(values V2Values) []byte {
	fields := a.fields
	switch {
	case fields == nil:
		fields = []field{text("message", a.text)}
	case a.nested:
		fields = []field{object("Success", object("Data", fields...))}
	}
	status := "ok"
	if a.status >= 400 {
		status = "fail"
	}
	code := field{name: "code", leaf: &leaf{json: a.status}}
	all := append([]field{code}, fields...)
	var compact, b bytes.Buffer
	writeJSON(&compact, append(all, text("status", status)), values, 0)
	_ = json.Indent(&b, compact.Bytes(), "", " ") // it is valid: we wrote it
	b.WriteByte('\n')
	return b.Bytes()
}

// writeJSON writes an object. The call's own code stays a number whatever
// values says: only the answer of a command has disputed types.
func writeJSON(b *bytes.Buffer, fields []field, values V2Values, depth int) {
	b.WriteByte('{')
	for i, f := range fields {
		if i > 0 {
			b.WriteByte(',')
		}
		b.Write(marshal(f.name))
		b.WriteByte(':')
		switch {
		case f.leaf != nil && values == V2Strings && (depth > 0 || i > 0):
			b.Write(marshal(f.leaf.xml))
		case f.leaf != nil:
			b.Write(marshal(f.leaf.json))
		case f.list != nil:
			b.Write(marshal(append([]string{}, f.list.values...)))
		case f.repeated != nil:
			writeArray(b, f.repeated, values)
		default:
			writeJSON(b, f.object, values, depth+1)
		}
	}
	b.WriteByte('}')
}

func writeArray(b *bytes.Buffer, objects [][]field, values V2Values) {
	b.WriteByte('[')
	for i, o := range objects {
		if i > 0 {
			b.WriteByte(',')
		}
		writeJSON(b, o, values, 1)
	}
	b.WriteByte(']')
}

// isSpecial tells of characters that JSON may write in another way.
func isSpecial(r rune) bool { return r < ' ' || r > '~' || r == '"' || r == '\\' }

// marshal renders strings, numbers, booleans and lists of them, leaving HTML
// as it is. Most values are short texts without a special character, of which a list
// of services has a hundred thousand.
func marshal(v any) []byte {
	if s, ok := v.(string); ok && strings.IndexFunc(s, isSpecial) < 0 {
		return []byte(`"` + s + `"`)
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(v) // these types always encode
	return bytes.TrimSpace(b.Bytes())
}
