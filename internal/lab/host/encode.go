package host

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// encode writes one value of Data or Metadata by the host's double-encoding
// rule (functions-host.md 2.2): bytes are base64, a time is a date text in
// whole seconds, an object stays an object, and everything else becomes a
// JSON string that contains JSON text.
func encode(value any) (json.RawMessage, error) {
	switch value := value.(type) {
	case []byte:
		return compact(value)
	case time.Time:
		return compact(value.Format("2006-01-02T15:04:05-07:00"))
	case plainArray:
		return compact([]json.RawMessage(value))
	}
	text, err := compact(value)
	if err != nil || text[0] == '{' {
		return text, err
	}
	return compact(string(text))
}

// plainArray is a batch of events written as a real array, the other reading of
// what was never captured (functions-host.md 9).
type plainArray []json.RawMessage

// compact writes JSON on one line without HTML escapes, as .NET does.
func compact(value any) (json.RawMessage, error) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return nil, fmt.Errorf("encode %T: %w", value, err)
	}
	if raw, ok := value.(json.RawMessage); ok { // the encoder keeps its white space
		out.Reset()
		if err := json.Compact(&out, raw); err != nil {
			return nil, fmt.Errorf("encode JSON text: %w", err)
		}
	}
	return bytes.TrimSpace(out.Bytes()), nil
}

// envelope is the body of an invocation request; both keys are always there
// (functions-host.md 2.1).
type envelope struct {
	Data     map[string]json.RawMessage
	Metadata map[string]json.RawMessage
}

// encodeEnvelope applies the encoding rule to every entry. Null metadata and
// keys that end in "trigger" never appear (functions-host.md 2.3).
func encodeEnvelope(name string, value any, metadata metadata) (json.RawMessage, error) {
	e := envelope{Data: map[string]json.RawMessage{}, Metadata: map[string]json.RawMessage{}}
	var err error
	if e.Data[name], err = encode(value); err != nil {
		return nil, err
	}
	for key, entry := range metadata {
		if entry == nil || strings.HasSuffix(strings.ToLower(key), "trigger") {
			continue
		}
		if e.Metadata[key], err = encode(entry); err != nil {
			return nil, err
		}
	}
	return compact(e)
}

// metadata is a trigger's binding data before it is encoded. Names differ
// only by more than letter case.
type metadata map[string]any

// put stores a value under the spelling of the key that is already there.
func (m metadata) put(name string, value any) {
	for key := range m {
		if strings.EqualFold(key, name) {
			m[key] = value
			return
		}
	}
	m[name] = value
}

// addFields adds the top-level properties of text that is a JSON object:
// objects as objects, scalars as text; arrays and nulls are left out. They
// overwrite what the host itself put there (functions-host.md 2.3).
func (m metadata) addFields(text string) {
	trimmed := strings.TrimSpace(text)
	if !strings.HasPrefix(trimmed, "{") || !strings.HasSuffix(trimmed, "}") {
		return
	}
	for _, field := range fieldsOf([]byte(trimmed)) {
		if value := bindingData(field.value); value != nil {
			m.put(field.name, value)
		}
	}
}

type field struct {
	name  string
	value json.RawMessage
}

// fieldsOf lists an object's properties in their order, so that of two
// spellings of one name the later always wins. Text that isn't one object has
// none.
func fieldsOf(text []byte) []field {
	if !json.Valid(text) {
		return nil
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	if start, err := decoder.Token(); err != nil || start != json.Delim('{') {
		return nil
	}
	var fields []field
	for decoder.More() {
		name, err := decoder.Token()
		if err != nil {
			return nil
		}
		var value json.RawMessage
		if err := decoder.Decode(&value); err != nil {
			return nil
		}
		fields = append(fields, field{fmt.Sprint(name), value})
	}
	return fields
}

// bindingData turns a property into what .NET's text form of it is; nil for
// what the host leaves out.
func bindingData(value json.RawMessage) any {
	switch value[0] {
	case '{':
		return value
	case '[', 'n':
		return nil
	case 't':
		return "True"
	case 'f':
		return "False"
	case '"':
		var text string
		if err := json.Unmarshal(value, &text); err != nil {
			return nil
		}
		return dateText(text)
	}
	return numberText(string(value))
}

// dateText reformats text that .NET's JSON reader takes for a date.
func dateText(text string) string {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999"} {
		if at, err := time.Parse(layout, text); err == nil {
			return at.UTC().Format("01/02/2006 15:04:05")
		}
	}
	return text
}

func numberText(text string) string {
	if !strings.ContainsAny(text, ".eE") {
		return text
	}
	value, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return text
	}
	return strconv.FormatFloat(value, 'f', -1, 64)
}

// callFacts is the real object "sys" of every Metadata.
type callFacts struct {
	MethodName string
	UtcNow     string
	RandGUID   string `json:"RandGuid"`
}

// call is one invocation as a trigger makes it; a retry is a new call.
type call struct {
	function *function
	id       string // the invocation id, a GUID
	trace    string // the traceparent header
	body     json.RawMessage
}

// newCall builds the invocation request of a trigger's value. Fields of text
// that is a JSON object are added to the metadata, as the host does for every
// trigger whose value is text.
func newCall(f *function, value any, about metadata) (*call, error) {
	c := &call{function: f, id: f.random.guid(), trace: f.random.traceParent()}
	about.put("sys", callFacts{
		MethodName: f.info.Name,
		UtcNow:     time.Now().UTC().Format("2006-01-02T15:04:05.0000000Z"),
		RandGUID:   f.random.guid(),
	})
	if text, ok := value.(string); ok {
		about.addFields(text)
	}
	body, err := encodeEnvelope(f.trigger.Name, value, about)
	if err != nil {
		return nil, fmt.Errorf("build call of %s: %w", f.info.Name, err)
	}
	c.body = body
	return c, nil
}
