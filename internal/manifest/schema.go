package manifest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"

	"github.com/invopop/jsonschema"

	"tandem/internal/pair"
)

// Schema returns the JSON Schema (2020-12) of a pair file's document. It
// refuses unknown keys like the reader; what several keys must be together is
// only checked by the reader.
func Schema() ([]byte, error) {
	return schema("Tandem pair file", document{Definition: exemplar().WithDefaults()})
}

// TopologySchema returns that of a GEO topology's document.
func TopologySchema() ([]byte, error) {
	return schema("Tandem GEO topology", topologyExemplar())
}

// schema returns the schema of a document, given one that has one of everything
// and its defaults.
func schema(title string, exemplar any) ([]byte, error) {
	r := jsonschema.Reflector{
		Anonymous:      true,
		ExpandedStruct: true,
		Mapper:         textSchema,
	}
	v := reflect.ValueOf(exemplar)
	s := r.ReflectFromType(v.Type())
	s.Title = title
	finish(s, s.Definitions, v.Type(), v)
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(s); err != nil {
		return nil, fmt.Errorf("write schema of a %s: %w", title, err)
	}
	return b.Bytes(), nil
}

// textSchema returns the schema of the types that are written as text.
func textSchema(t reflect.Type) *jsonschema.Schema {
	switch t {
	case reflect.TypeFor[netip.Addr]():
		return &jsonschema.Schema{Type: "string", AnyOf: []*jsonschema.Schema{{Format: "ipv4"}, {Format: "ipv6"}}}
	case reflect.TypeFor[netip.Prefix]():
		return &jsonschema.Schema{Type: "string", Pattern: `^[0-9A-Fa-f:.]+/[0-9]+$`}
	case reflect.TypeFor[pair.Duration]():
		return &jsonschema.Schema{Type: "string", Pattern: durationPattern}
	}
	if words := choices(t); words != nil {
		s := &jsonschema.Schema{Type: "string"}
		for _, w := range words {
			s.Enum = append(s.Enum, w)
			if guide := guideWord(w); guide != "" {
				s.Enum = append(s.Enum, guide)
			}
		}
		return s
	}
	return nil
}

// exemplar has one of everything that a list can hold, so that the defaults of
// list items can be asked for.
func exemplar() pair.Definition {
	return pair.Definition{
		LoadBalancers: []pair.LoadBalancer{{Frontends: []pair.Frontend{{}}, Rules: []pair.Rule{{}}}},
		Checks:        []pair.Check{{}},
	}
}

// finish adds to the schema of a mapping, and to those below it, what the
// generator cannot see: which keys are required, what an unset value becomes,
// that text is not empty, and the guide's words for the units.
func finish(s *jsonschema.Schema, defs jsonschema.Definitions, t reflect.Type, defaults reflect.Value) {
	s.Required, s.AllOf = nil, nil // a type may be met more than once
	for _, k := range keys(t) {
		property, _ := s.Properties.Get(k.name)
		value := defaults.FieldByIndex(k.index)
		if k.required {
			s.Required = append(s.Required, k.name)
		} else if text, ok := k.unsetMeans(value); ok && property.Type == "string" {
			property.Default = text
		}
		switch {
		case isMapping(k.typ):
			finish(defs[k.typ.Name()], defs, k.typ, value)
		case k.typ.Kind() == reflect.Slice && isMapping(k.typ.Elem()):
			finish(defs[k.typ.Elem().Name()], defs, k.typ.Elem(), value.Index(0))
		case k.typ.Kind() == reflect.String:
			property.MinLength = new(uint64(1))
		case k.typ.Kind() == reflect.Slice && k.typ.Elem().Kind() == reflect.String:
			property.Items.MinLength = new(uint64(1))
		}
	}
	allowGuideWords(s)
}

// unsetMeans returns what a key means that was left out, given the value that
// it then has, and false when it then means nothing.
func (k key) unsetMeans(v reflect.Value) (string, bool) {
	if d, ok := reflect.TypeAssert[pair.Duration](v); ok {
		return short(d), d != 0
	}
	if text, ok := reflect.TypeAssert[fmt.Stringer](v); ok {
		zeroIsAWord := slices.Contains(choices(k.typ), text.String())
		return text.String(), !v.IsZero() || zeroIsAWord
	}
	return fmt.Sprint(v), !v.IsZero()
}

// short writes a duration as a person does: 10m rather than 10m0s.
func short(d pair.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// allowGuideWords lets master and slave stand for first and second, but not
// beside them.
func allowGuideWords(s *jsonschema.Schema) {
	for _, role := range pair.Roles {
		own, guide := role.String(), guideWord(role.String())
		property, ok := s.Properties.Get(own)
		if !ok {
			continue
		}
		again := *property
		again.Description = "The guide's word for " + own + "."
		s.Properties.Set(guide, &again)
		either := []*jsonschema.Schema{{Required: []string{own}}, {Required: []string{guide}}}
		if i := slices.Index(s.Required, own); i >= 0 {
			s.Required = slices.Delete(s.Required, i, i+1)
			s.AllOf = append(s.AllOf, &jsonschema.Schema{OneOf: either})
		} else {
			s.AllOf = append(s.AllOf, &jsonschema.Schema{Not: &jsonschema.Schema{AllOf: either}})
		}
	}
}
