package manifest_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"tandem/internal/manifest"
)

var update = flag.Bool("update", false, "write the generated documents instead of comparing them")

// compiled returns the schema as an editor would use it, formats included.
func compiled(t testing.TB) *jsonschema.Schema {
	t.Helper()
	text, err := manifest.Schema()
	if err != nil {
		t.Fatal(err)
	}
	return compile(t, text)
}

func compile(t testing.TB, text []byte) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.AssertFormat()
	if err := c.AddResource("pair.schema.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("pair.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// plain turns every document of a file into the values that a schema judges.
func plain(t testing.TB, content []byte) []any {
	t.Helper()
	var out []any
	for dec := yaml.NewDecoder(bytes.NewReader(content)); ; {
		var v any
		if err := dec.Decode(&v); err == io.EOF {
			return out
		} else if err != nil {
			t.Fatalf("decode %q: %v", content, err)
		}
		if v == nil {
			continue
		}
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatalf("encode %q: %v", content, err)
		}
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, doc)
	}
}

func TestSchemaIsFresh(t *testing.T) {
	want, err := manifest.Schema()
	if err != nil {
		t.Fatal(err)
	}
	compareFile(t, filepath.Join("..", "..", "docs", "schema", "pair.schema.json"), want)
}

// compareFile fails when a generated file is not what it would be now.
func compareFile(t *testing.T, path string, want []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, want, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is stale; run: go test ./internal/manifest -update", path)
	}
}

func TestExampleIsValid(t *testing.T) {
	path := filepath.Join("..", "..", "examples", "edge-weu.yaml")
	pairs, err := manifest.Load(nil, path)
	if err != nil {
		t.Fatal(err)
	}
	if len(pairs) != 1 || pairs[0].Name != "edge-weu" {
		t.Errorf("Load = %v, want the one pair edge-weu", pairs)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, doc := range plain(t, content) {
		if err := compiled(t).Validate(doc); err != nil {
			t.Error(err)
		}
	}
}

// The schema judges by itself, so that an editor shows the commonest mistakes
// before the program is asked.
func TestSchemaJudges(t *testing.T) {
	schema := compiled(t)
	for _, tt := range []struct {
		name string
		edit func(doc map[string]any)
		ok   bool
	}{
		{"the example's values are taken", func(map[string]any) {}, true},
		{"the guide's words for the units are taken", func(doc map[string]any) {
			units := doc["units"].(map[string]any)
			doc["units"] = map[string]any{"master": units["first"], "slave": units["second"]}
			doc["ha"] = map[string]any{"preferred": "master"}
		}, true},
		{"both words for one unit are refused", func(doc map[string]any) {
			units := doc["units"].(map[string]any)
			units["master"] = units["first"]
		}, false},
		{"a pair without a second unit is refused", func(doc map[string]any) {
			delete(doc["units"].(map[string]any), "second")
		}, false},
		{"an unknown key is refused", func(doc map[string]any) { doc["colour"] = "red" }, false},
		{"an unknown mode is refused", func(doc map[string]any) { doc["mode"] = "unset" }, false},
		{"another version is refused", func(doc map[string]any) { doc["apiVersion"] = "tandem/v2" }, false},
		{"a missing name is refused", func(doc map[string]any) { delete(doc, "name") }, false},
		{"a unit without an API secret is refused", func(doc map[string]any) {
			delete(doc["units"].(map[string]any)["first"].(map[string]any), "api")
		}, false},
		{"no load balancer is refused", func(doc map[string]any) { doc["loadBalancers"] = []any{} }, false},
		{"a number for a duration is refused", func(doc map[string]any) { doc["sync"] = map[string]any{"every": 120} }, false},
		{"a subscription that is no UUID is refused", func(doc map[string]any) {
			doc["azure"].(map[string]any)["subscription"] = "mine"
		}, false},
		{"an address that is none is refused", func(doc map[string]any) {
			doc["units"].(map[string]any)["first"].(map[string]any)["address"] = "lm1.example"
		}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			doc := plain(t, []byte(valid))[0].(map[string]any)
			tt.edit(doc)
			if err := schema.Validate(doc); (err == nil) != tt.ok {
				t.Errorf("Validate = %v, want taken %v", err, tt.ok)
			}
		})
	}
}
