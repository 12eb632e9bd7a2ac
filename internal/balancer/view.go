package balancer

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"tandem/internal/pair"
)

// viewer fills values with what documents say, as encoding/json does, from the
// tree that comparing needs as well: encoding/json reads every byte three times,
// and took a third of the time of a plan. It knows what the documents here are made
// of: structs with tags, lists, texts, whole numbers and truths. What no field
// names is passed over, and null leaves a field as it is. A value of another type
// than its field is pair.ErrUnreadable.
type viewer struct {
	nodes  []node // used again for each document
	fields map[reflect.Type][]viewed
}

// viewed is a field of a struct and the name that its tag gives it.
type viewed struct {
	name  string
	index int
}

func newViewer() *viewer { return &viewer{fields: make(map[reflect.Type][]viewed)} }

// view fills what into points to.
func (v *viewer) view(raw []byte, into any) error {
	t, err := readTree(raw, v.nodes)
	if err != nil {
		return err
	}
	v.nodes = t.nodes
	return v.fill(&t, 0, reflect.ValueOf(into).Elem())
}

func (v *viewer) fill(t *tree, n int, into reflect.Value) error {
	switch is, kind := t.nodes[n].kind, into.Kind(); {
	case is == null:
	case kind == reflect.Struct && is == object:
		return v.fillStruct(t, n, into)
	case kind == reflect.Slice && is == list:
		return v.fillSlice(t, n, into)
	case kind == reflect.String && is == text:
		into.SetString(unquote(t.bytes(n)))
	case kind == reflect.Bool && (is == truth || is == falsity):
		into.SetBool(is == truth)
	case kind == reflect.Int && is == number:
		i, err := strconv.ParseInt(string(t.bytes(n)), 10, 64)
		if err != nil {
			return fmt.Errorf("read JSON: %.40s is no whole number: %w", t.bytes(n), pair.ErrUnreadable)
		}
		into.SetInt(i)
	default:
		return fmt.Errorf("read JSON: %.40s is no %s: %w", t.bytes(n), kind, pair.ErrUnreadable)
	}
	return nil
}

func (v *viewer) fillStruct(t *tree, n int, into reflect.Value) error {
	fields := v.fieldsOf(into.Type())
	for c := range t.children(n) {
		own := t.nodes[c].name
		for _, f := range fields {
			if !quotedIs(t.raw[own.from:own.to], own.escaped, f.name) {
				continue
			}
			if err := v.fill(t, c, into.Field(f.index)); err != nil {
				return fmt.Errorf("%s: %w", f.name, err)
			}
			break
		}
	}
	return nil
}

func (v *viewer) fillSlice(t *tree, n int, into reflect.Value) error {
	size := 0
	for range t.children(n) {
		size++
	}
	into.Set(reflect.MakeSlice(into.Type(), size, size))
	i := 0
	for c := range t.children(n) {
		if err := v.fill(t, c, into.Index(i)); err != nil {
			return err
		}
		i++
	}
	return nil
}

func (v *viewer) fieldsOf(t reflect.Type) []viewed {
	if known, ok := v.fields[t]; ok {
		return known
	}
	fields := make([]viewed, t.NumField())
	for i := range fields {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		fields[i] = viewed{name, i}
	}
	v.fields[t] = fields
	return fields
}
