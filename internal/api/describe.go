package api

import (
	"bytes"
	"encoding"
	"encoding/json"
	"fmt"
	"net/http"
	"path"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/invopop/jsonschema"

	"tandem/internal/manifest"
	"tandem/internal/pair"
)

// object is a JSON object of the description. Its keys are written in order.
type object = map[string]any

// Describe returns the OpenAPI 3.1 description of the operator API. It is made of
// the routes and of the forms that they take and answer.
func Describe() ([]byte, error) {
	d := describer{schemas: object{}, types: map[string]reflect.Type{}}
	paths := object{}
	for _, e := range (&server{}).routes() {
		at, _ := paths[e.path].(object)
		if at == nil {
			at = object{}
			paths[e.path] = at
		}
		at[strings.ToLower(e.method)] = d.operation(&e)
	}
	if err := d.addPairFile(); err != nil {
		return nil, err
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(object{
		"openapi": "3.1.0",
		"info": object{
			"title": "Tandem operator API", "version": strconv.Itoa(Version),
			"description": "Everything that the commands of tandem do. Fields are only ever added; take what you do not know for nothing.",
		},
		"servers": []object{{
			"url":       "https://{app}.azurewebsites.net",
			"variables": object{"app": object{"default": "tandem-weu", "description": "Name of the function app."}},
		}},
		"security": []object{{"functionKey": []string{}}, {"functionKey": []string{}, "entra": []string{}}},
		"paths":    paths,
		"components": object{
			"schemas":   d.schemas,
			"responses": object{"Problem": d.problem()},
			"securitySchemes": object{
				"functionKey": object{"type": "apiKey", "in": "header", "name": "x-functions-key"},
				"entra": object{
					"type": "http", "scheme": "bearer",
					"description": "A token of Entra ID for the app, needed where TANDEM_AUTH is entra. Its app roles say what the caller may do.",
				},
			},
		},
	}); err != nil {
		return nil, fmt.Errorf("write the description of the operator API: %w", err)
	}
	return b.Bytes(), nil
}

// describer collects the schemas that the operations refer to.
type describer struct {
	schemas object
	types   map[string]reflect.Type // of the schemas, by name
}

// problems are the statuses with which requests are refused, besides those that
// only some endpoints have.
var problems = []int{
	http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusTooManyRequests,
	http.StatusInternalServerError, http.StatusBadGateway,
}

func (d *describer) operation(e *endpoint) object {
	answers := object{"200": object{
		"description": "Done.",
		"content":     object{"application/json": object{"schema": d.schema(e.answer, false)}},
	}}
	refusals := append([]int{http.StatusBadRequest}, problems...)
	if e.body != nil {
		refusals = append(refusals, http.StatusConflict, http.StatusRequestEntityTooLarge)
	}
	for _, status := range refusals {
		answers[strconv.Itoa(status)] = object{"$ref": "#/components/responses/Problem"}
	}
	op := object{
		"operationId": e.id, "summary": e.summary, "x-tandem-role": e.needs.String(), "responses": answers,
	}
	if all := parameters(e); len(all) > 0 {
		op["parameters"] = all
	}
	if e.body != nil {
		op["requestBody"] = object{"required": true, "content": d.content(e.body)}
	}
	return op
}

// content is a body: JSON, or of a pair file YAML as well.
func (d *describer) content(t reflect.Type) object {
	s := object{"schema": d.schema(t, true)}
	if t == reflect.TypeFor[pairFile]() {
		return object{"application/yaml": s, "application/json": s}
	}
	return object{"application/json": s}
}

func (d *describer) problem() object {
	return object{
		"description": "It was not done, and why.",
		"content":     object{"application/problem+json": object{"schema": d.schema(reflect.TypeFor[Problem](), false)}},
	}
}

var inPath = regexp.MustCompile(`\{(\w+)\}`)

// parameters are those of the path, and then the others.
func parameters(e *endpoint) []object {
	var all []object
	for _, m := range inPath.FindAllStringSubmatch(e.path, -1) {
		about := map[string]string{"pair": "Name of the pair.", "id": "Id of the entry, <pair>-<epoch>-<number>.", "topology": "Name of the GEO topology."}[m[1]]
		all = append(all, object{"name": m[1], "in": "path", "required": true, "description": about, "schema": object{"type": "string"}})
	}
	for _, name := range e.takes {
		p := object{"name": name, "in": "query"}
		switch name {
		case "dryRun":
			p["description"], p["schema"] = "Say what would change, change nothing.", object{"type": "boolean", "default": false}
		case "past":
			p["description"], p["schema"] = "Tell the conflicts too that are over, with both values.", object{"type": "boolean", "default": false}
		case "limit":
			p["description"], p["schema"] = "How many entries at most.", object{"type": "integer", "minimum": 1, "maximum": pageMax, "default": journalPage}
		case "after":
			p["description"], p["schema"] = "Continue after this name: next of the page before.", object{"type": "string"}
		case "before":
			p["description"], p["schema"] = "Continue with what is older: next of the page before.", object{"type": "string"}
		case keyHeader:
			p["in"] = "header"
			p["description"] = "The same key as that of the pair's newest job answers that job and starts none."
			p["schema"] = object{"type": "string", "minLength": 1, "maxLength": byMax}
		}
		all = append(all, p)
	}
	return all
}

// schema refers to the schema of a form. One that is read refuses unknown keys;
// one that is answered may get more of them.
func (d *describer) schema(t reflect.Type, read bool) object {
	switch t {
	case reflect.TypeFor[pairFile]():
		return object{"$ref": "#/components/schemas/PairFile"}
	case reflect.TypeFor[document]():
		return object{"type": "object", "description": "An OpenAPI 3.1 document."}
	}
	r := jsonschema.Reflector{Anonymous: true, AllowAdditionalProperties: !read, Mapper: textSchema, Namer: d.name}
	s := r.ReflectFromType(t)
	for name, def := range s.Definitions {
		def.Required = required(d.types[name])
		for p := def.Properties.Oldest(); p != nil; p = p.Next() {
			toComponents(p.Value)
		}
		toComponents(def)
		d.schemas[name] = def
	}
	return object{"$ref": component + d.name(t)}
}

const (
	definition = "#/$defs/"
	component  = "#/components/schemas/"
)

// toComponents lets a schema refer to where the description has the others.
func toComponents(s *jsonschema.Schema) {
	if s == nil {
		return
	}
	if name, ok := strings.CutPrefix(s.Ref, definition); ok {
		s.Ref = component + name
	}
	toComponents(s.Items)
	toComponents(s.AdditionalProperties)
	for _, one := range s.PatternProperties {
		toComponents(one)
	}
}

// name is what a type's schema is called: types of this package by their own name,
// others with that of their package.
func (d *describer) name(t reflect.Type) string {
	if t.Name() == "" || t.PkgPath() == "" {
		return ""
	}
	name := t.Name()
	if t.PkgPath() != reflect.TypeFor[Ask]().PkgPath() {
		name = path.Base(t.PkgPath()) + "." + name
	}
	d.types[name] = t
	return name
}

// required are the keys of a form that are always there. The generator does not
// know omitzero.
func required(t reflect.Type) []string {
	if t.Kind() != reflect.Struct {
		return nil
	}
	var all []string
	for _, f := range reflect.VisibleFields(t) {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous || !f.IsExported() || name == "-" || strings.Contains(options, "omit") {
			continue
		}
		all = append(all, name)
	}
	slices.Sort(all)
	return all
}

// textSchema is the schema of what is written as text: durations, the words of
// closed sets, and whatever else writes itself so.
func textSchema(t reflect.Type) *jsonschema.Schema {
	switch t {
	case reflect.TypeFor[time.Time]():
		return nil // the generator knows it
	case reflect.TypeFor[pair.Duration]():
		return &jsonschema.Schema{Type: "string", Pattern: `^-?([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+$`, Examples: []any{"1h30m", "20s"}}
	}
	if !t.Implements(reflect.TypeFor[encoding.TextMarshaler]()) {
		return nil
	}
	return &jsonschema.Schema{Type: "string", Enum: words(t)}
}

// words are those of a closed set, which is a number with text; nil for others.
func words(t reflect.Type) (all []any) {
	if t.Kind() != reflect.Uint8 {
		return nil
	}
	for n := range uint64(256) {
		v := reflect.New(t)
		v.Elem().SetUint(n)
		text, err := v.Interface().(encoding.TextMarshaler).MarshalText()
		read, ok := reflect.TypeAssert[encoding.TextUnmarshaler](reflect.New(t))
		if err != nil || !ok || read.UnmarshalText(text) != nil {
			return all
		}
		all = append(all, string(text))
	}
	return all
}

// addPairFile adds the schema of pair files, whose parts get names of their own.
func (d *describer) addPairFile() error {
	b, err := manifest.Schema()
	if err != nil {
		return err
	}
	b = bytes.ReplaceAll(b, []byte(`"`+definition), []byte(`"`+component+"file."))
	var root object
	if err := json.Unmarshal(b, &root); err != nil {
		return fmt.Errorf("read the schema of pair files: %w", err)
	}
	parts, _ := root["$defs"].(object)
	for name, part := range parts {
		d.schemas["file."+name] = part
	}
	delete(root, "$defs")
	delete(root, "$schema")
	d.schemas["PairFile"] = root
	return nil
}
