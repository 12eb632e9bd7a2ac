package arm

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// document is a JSON object. Numbers are json.Number, so that they come back
// as they were. Once stored a document is never changed: whoever wants a
// change clones it first, so answers and timers can keep what they have.
type document = map[string]any

// parseDocument parses exactly one JSON object.
func parseDocument(b []byte) (document, error) {
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	var d document
	if err := dec.Decode(&d); err != nil {
		return nil, fmt.Errorf("parse document: %w", err)
	}
	if _, err := dec.Token(); err != io.EOF || d == nil {
		return nil, errNotObject
	}
	return d, nil
}

func clone(d document) document { return cloneValue(d).(document) }

func cloneValue(v any) any {
	switch v := v.(type) {
	case document:
		c := make(document, len(v))
		for k, e := range v {
			c[k] = cloneValue(e)
		}
		return c
	case []any:
		c := make([]any, len(v))
		for i, e := range v {
			c[i] = cloneValue(e)
		}
		return c
	}
	return v
}

// text returns a string field, or "".
func text(d document, key string) string {
	s, _ := d[key].(string)
	return s
}

// number returns a whole number field, or the standard where there is none.
func number(d document, key string, standard int) int {
	n, isNumber := d[key].(json.Number)
	if !isNumber {
		return standard
	}
	i, err := strconv.Atoi(n.String())
	if err != nil {
		return standard
	}
	return i
}

func truth(d document, key string) bool {
	b, _ := d[key].(bool)
	return b
}

// object returns a field that is an object, or an empty one that is not part
// of d.
func object(d document, key string) document {
	o, isObject := d[key].(document)
	if !isObject {
		return document{}
	}
	return o
}

// ensure returns a field that is an object, and makes it one first if need be.
func ensure(d document, key string) document {
	o, isObject := d[key].(document)
	if !isObject {
		o = document{}
		d[key] = o
	}
	return o
}

func properties(d document) document { return object(d, "properties") }

// list returns the objects of an array field.
func list(d document, key string) []document {
	array, _ := d[key].([]any)
	var objects []document
	for _, e := range array {
		if o, isObject := e.(document); isObject {
			objects = append(objects, o)
		}
	}
	return objects
}

// reference returns the id in a field like {"id": "…"}.
func reference(d document, key string) string { return text(object(d, key), "id") }

// references returns the ids in a field like [{"id": "…"}].
func references(d document, key string) []string {
	var ids []string
	for _, o := range list(d, key) {
		ids = append(ids, text(o, "id"))
	}
	return ids
}

// setReferences writes ids in the form that references reads, or removes the
// field where there are none.
func setReferences(d document, key string, ids []string) {
	delete(d, key)
	if len(ids) == 0 {
		return
	}
	array := make([]any, len(ids))
	for i, id := range ids {
		array[i] = document{"id": id}
	}
	d[key] = array
}

// standard sets a field that is missing or null.
func standard(d document, key string, value any) {
	if d[key] == nil {
		d[key] = value
	}
}

func whole(i int) json.Number { return json.Number(strconv.Itoa(i)) }

// lastSegment returns what follows the last slash of an id.
func lastSegment(id string) string { return id[strings.LastIndexByte(id, '/')+1:] }
