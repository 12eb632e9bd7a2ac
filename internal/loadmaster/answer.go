package loadmaster

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
)

// answer is what a unit said, in one form for both dialects.
type answer struct {
	// code is the worse one of the HTTP status and the code in the body;
	// either may tell of the failure alone (loadmaster.md 7 item 18).
	code int
	// page means that there was no answer of the API but something for people:
	// an HTML page, bare words, or nothing (loadmaster.md 1.5, 401 and 404).
	page    bool
	message string  // text of a plain success or of an error
	data    element // the fields
	// after is how long the unit asks to wait, 0 when it says nothing.
	after time.Duration
}

// element is a named value with a text, or with further elements below it.
// Lists are elements of one name side by side, as XML has them; so a list of
// one and a single value, which the dialects mix up, are the same thing.
type element struct {
	name string
	text string
	kids []element
}

// child finds an element by name: with exactly this case if it exists, since
// Status and status are two things (loadmaster.md 1.6), and otherwise with
// any case, since firmware spells keys as it likes (3.1).
func (e element) child(name string) (element, bool) {
	for _, kid := range e.kids {
		if kid.name == name {
			return kid, true
		}
	}
	for _, kid := range e.kids {
		if strings.EqualFold(kid.name, name) {
			return kid, true
		}
	}
	return element{}, false
}

// children finds all elements of a name, in the case in which child finds the
// first.
func (e element) children(name string) []element {
	first, ok := e.child(name)
	if !ok {
		return nil
	}
	var all []element
	for _, kid := range e.kids {
		if kid.name == first.name {
			all = append(all, kid)
		}
	}
	return all
}

// empty reports whether the element says nothing, as a list without elements
// may be written (loadmaster.md 7 item 16).
func (e element) empty() bool { return len(e.kids) == 0 && unpadded(e.text) == "" }

// value returns the text of a field, without the padding and the quotes of
// old firmware (loadmaster.md 1.5), and whether the field is there.
func (e element) value(name string) (string, bool) {
	kid, ok := e.child(name)
	return unpadded(kid.text), ok
}

func unpadded(s string) string {
	s = strings.TrimSpace(s)
	if len(s) >= 2 && s[0] == '"' && s[len(s)-1] == '"' {
		s = strings.TrimSpace(s[1 : len(s)-1])
	}
	return s
}

// failedCode stands for an answer that says "fail" without a code.
const failedCode = http.StatusUnprocessableEntity

// decode reads an answer by what it looks like, not by what was asked: the
// layers of a unit that refuse a call do not always speak its dialect.
func decode(status int, body []byte) (answer, error) {
	body = bytes.TrimSpace(bytes.TrimPrefix(body, []byte("\xef\xbb\xbf")))
	switch {
	case bytes.HasPrefix(body, []byte("{")):
		return decodeJSON(status, body)
	case bytes.HasPrefix(body, []byte("<?xml")), bytes.HasPrefix(body, []byte("<Response")):
		return decodeXML(status, body)
	default:
		return answer{code: status, page: true}, nil
	}
}

// decodeJSON reads an answer of the API v2: fields at the top level beside
// code, status and message, or nested as in v1 (loadmaster.md 1.6, 7 item 3).
func decodeJSON(status int, body []byte) (answer, error) {
	var top map[string]any
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	if err := decoder.Decode(&top); err != nil {
		return answer{}, fmt.Errorf("read JSON: %w", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return answer{}, errors.New("read JSON: more than one value")
	}
	envelope := element{kids: fromObject(top)}
	a := answer{code: status, data: envelope}
	if text, ok := envelope.value("code"); ok {
		a.code = max(a.code, codeOf(text))
	}
	if text, _ := envelope.value("status"); strings.EqualFold(text, "fail") && a.code < 400 {
		a.code = failedCode
	}
	a.message, _ = envelope.value("message")
	a.data.kids = slices.DeleteFunc(slices.Clone(envelope.kids), func(e element) bool {
		return e.name == "code" || e.name == "status" || e.name == "message"
	})
	for _, layer := range []string{"Response", "Success", "Data"} {
		if inner, ok := a.data.child(layer); ok && len(inner.kids) > 0 {
			a.data = inner
		}
	}
	return a, nil
}

func fromObject(object map[string]any) []element {
	var kids []element
	for _, name := range slices.Sorted(maps.Keys(object)) {
		kids = append(kids, fromJSON(name, object[name])...)
	}
	return kids
}

func fromJSON(name string, value any) []element {
	switch v := value.(type) {
	case map[string]any:
		return []element{{name: name, kids: fromObject(v)}}
	case []any:
		var list []element
		for _, item := range v {
			list = append(list, fromJSON(name, item)...)
		}
		return list
	case nil:
		return []element{{name: name}}
	case string:
		return []element{{name: name, text: v}}
	default: // json.Number, bool
		return []element{{name: name, text: fmt.Sprint(v)}}
	}
}

// decodeXML reads an answer of the API v1 (loadmaster.md 1.5).
func decodeXML(status int, body []byte) (answer, error) {
	text, err := toUTF8(body)
	if err != nil {
		return answer{}, err
	}
	document, err := parseMarkup(text)
	if err != nil {
		return answer{}, fmt.Errorf("read XML: %w", err)
	}
	response, ok := document.child("Response")
	if !ok {
		return answer{}, errors.New("read XML: expected a Response element, found none")
	}
	a := answer{code: status}
	if stat, ok := response.value("@stat"); ok {
		a.code = max(a.code, codeOf(stat))
	}
	message, failed := response.value("Error")
	if code, _ := response.value("@code"); (failed || strings.EqualFold(code, "fail")) && a.code < 400 {
		a.code = failedCode
	}
	a.message = message
	if success, ok := response.child("Success"); ok {
		if a.data, ok = success.child("Data"); !ok {
			a.message = unpadded(success.text)
		}
	}
	return a, nil
}

// codeOf reads a code; the word ok of old answers is a 200.
func codeOf(text string) int {
	if strings.EqualFold(text, "ok") {
		return http.StatusOK
	}
	code, err := strconv.Atoi(text)
	if err != nil || code < 0 || code > 999 {
		return failedCode
	}
	return code
}

// toUTF8 converts an XML document from the encoding that it declares. Units
// declare ISO-8859-1 (loadmaster.md 1.1).
func toUTF8(body []byte) (string, error) {
	declaration, _, _ := bytes.Cut(body, []byte("?>"))
	switch name := encodingName(string(declaration)); name {
	case "iso-8859-1", "latin1", "us-ascii":
		b, err := charmap.ISO8859_1.NewDecoder().Bytes(body)
		return string(b), err
	case "windows-1252":
		b, err := charmap.Windows1252.NewDecoder().Bytes(body)
		return string(b), err
	default:
		if !utf8.Valid(body) {
			return "", fmt.Errorf("read XML: expected UTF-8 or ISO-8859-1, found bytes that are not of the declared encoding %.20q", name)
		}
		return string(body), nil
	}
}

func encodingName(declaration string) string {
	if !strings.HasPrefix(declaration, "<?xml") {
		return ""
	}
	return strings.ToLower(attribute(declaration, "encoding"))
}
