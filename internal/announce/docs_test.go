package announce_test

import (
	"bytes"
	"encoding"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/invopop/jsonschema"
	check "github.com/santhosh-tekuri/jsonschema/v6"

	"tandem/internal/announce"
	"tandem/internal/pair"
)

var update = flag.Bool("update", false, "write docs/events.md and docs/events/*.schema.json instead of comparing them")

const docs = "../../docs"

// catalogue lists every published type with what the document says about it
// and one example of its data.
var catalogue = []struct {
	id      string // of the example
	about   string
	example announce.Data
}{
	{
		"edge-weu-000000000042-002",
		"A pair is now believed to be in another situation. It follows the belief, which is confirmed by several\nobservations, not every single observation.",
		announce.SituationChanged{
			Pair: "edge-weu", From: pair.Healthy, To: pair.BothActive, Since: noon,
			Decision: pair.ID("edge-weu", 42, 0), Reason: "both units answer 200 on the check port", Epoch: 42,
		},
	},
	{
		"edge-weu-000000000042-003",
		"An action was done and its effect was seen.",
		announce.ActionDone{Pair: "edge-weu", Action: announce.ActionOf(fence), At: noon},
	},
	{
		"edge-weu-000000000043-002",
		"An action was given up, for example because a newer decision stands. Whether it had an effect is told by the\nevents that follow.",
		announce.ActionAbandoned{Pair: "edge-weu", Action: announce.ActionOf(fence), Why: "a newer epoch stands", At: noon},
	},
	{
		"edge-weu-000000000042-004",
		"A recommendation waits for a person. An approval (`tandem approve`) names its hash.",
		announce.PlanOf("edge-weu", pair.Plan{
			Hash: "9f2c41d07be3", Decision: pair.ID("edge-weu", 42, 0), Reason: "both units answer 200 on the check port",
			At: noon, Intents: []pair.Intent{fence},
		}),
	},
	{
		"edge-weu-000000000044-103",
		"Somebody should know something else of a pair than before, or nothing any more. An alarm stands until another one\nor an event without one follows; doubts neither raise nor end it.",
		announce.AlarmChanged{
			Pair: "edge-weu", Alarm: "degraded", Level: pair.AlarmWarning, Since: noon, Decision: pair.ID("edge-weu", 44, 1),
			Reason: "one unit serves and the other is gone", Person: "Find out why the silent unit is gone.", Epoch: 44,
		},
	},
}

// TestSchemas keeps docs/events/<type>.schema.json equal to the Go types.
func TestSchemas(t *testing.T) {
	files := map[string]bool{}
	for _, c := range catalogue {
		name := filepath.Join(docs, "events", c.example.EventType()+".schema.json")
		files[name] = true
		fresh(t, name, schemaOf(t, c.example))
	}
	found, err := filepath.Glob(filepath.Join(docs, "events", "*.schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range found {
		if !files[name] {
			t.Errorf("%s belongs to no published type", name)
		}
	}
}

// TestExamplesMatchTheirSchemas guards against a schema that describes
// something else than what is sent.
func TestExamplesMatchTheirSchemas(t *testing.T) {
	for _, c := range catalogue {
		t.Run(c.example.EventType(), func(t *testing.T) {
			compiler := check.NewCompiler()
			doc, err := check.UnmarshalJSON(bytes.NewReader(schemaOf(t, c.example)))
			if err != nil {
				t.Fatal(err)
			}
			if err := compiler.AddResource("schema.json", doc); err != nil {
				t.Fatal(err)
			}
			schema, err := compiler.Compile("schema.json")
			if err != nil {
				t.Fatal(err)
			}
			body, err := check.UnmarshalJSON(bytes.NewReader(bodyOf(t, c.id, c.example)))
			if err != nil {
				t.Fatal(err)
			}
			if err := schema.Validate(body); err != nil {
				t.Errorf("the example does not match its schema: %v", err)
			}
			broken := body.(map[string]any)
			delete(broken, "pair")
			if schema.Validate(broken) == nil {
				t.Error("the schema accepts data without the pair's name")
			}
		})
	}
}

// TestEventsDocument keeps docs/events.md equal to the Go types.
func TestEventsDocument(t *testing.T) {
	var b strings.Builder
	b.WriteString(`# Events that Tandem publishes

<!-- Written by: go test ./internal/announce -update -->

Where an Event Grid topic is configured, Tandem publishes what it believes and does as CloudEvents 1.0. It never reads
them again, so subscribing or not changes nothing.

- ` + "`source`" + ` is ` + "`/tandem/pairs/<pair>`" + `, ` + "`subject`" + ` is the pair's name, so one subscription can take one pair.
- Delivery is at least once and in no promised order. ` + "`id`" + ` stays the same when an event is sent again: drop what was
  seen. Ids and epochs only rise within a pair: the higher one is newer.
- Data only gains fields and the words in it only gain members; a receiver passes over what it does not know. What would
  change the meaning of a field gets a new type.
- Events hold names and reasons, never a secret or a setting's value.

| Type | Schema of its data |
| --- | --- |
`)
	for _, c := range catalogue {
		typ := c.example.EventType()
		fmt.Fprintf(&b, "| [`%s`](#%s) | [%s.schema.json](events/%s.schema.json) |\n", typ, strings.ReplaceAll(typ, ".", ""), typ, typ)
	}
	for _, c := range catalogue {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n\n```json\n%s\n```\n\n| Field | Meaning |\n| --- | --- |\n", c.example.EventType(), c.about, envelopeOf(t, c.id, c.example))
		for _, f := range fieldsOf(reflect.TypeOf(c.example)) {
			fmt.Fprintf(&b, "| `%s` | %s |\n", f[0], f[1])
		}
	}
	fresh(t, filepath.Join(docs, "events.md"), []byte(b.String()))
}

// fresh compares a generated file with what is checked in, or writes it.
func fresh(t *testing.T, name string, want []byte) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, want, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	got, err := os.ReadFile(name)
	if err != nil {
		t.Fatalf("%v; run go test ./internal/announce -update", err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s is not what the types say; run go test ./internal/announce -update (-want +got):\n%s", name, diff)
	}
}

// schemaOf generates the schema of a type's data. Words of a closed set are
// written as text with the known ones as examples and not as an enumeration,
// because a later release may know more.
func schemaOf(t *testing.T, d announce.Data) []byte {
	t.Helper()
	reflector := jsonschema.Reflector{
		Anonymous: true, DoNotReference: true, ExpandedStruct: true, AllowAdditionalProperties: true,
		Mapper: func(typ reflect.Type) *jsonschema.Schema {
			if !typ.Implements(reflect.TypeFor[encoding.TextMarshaler]()) || typ == reflect.TypeFor[time.Time]() {
				return nil
			}
			return &jsonschema.Schema{Type: "string", Examples: wordsOf(typ)}
		},
	}
	s := reflector.Reflect(d)
	s.Title = d.EventType()
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return append(b, '\n')
}

// wordsOf lists the known words of a closed set, in its own order.
func wordsOf(typ reflect.Type) []any {
	var words []any
	for _, set := range []any{pair.Situations, pair.IntentKinds, pair.Roles[:], []pair.AdminState{pair.AdminNone, pair.AdminUp, pair.AdminDown}} {
		v := reflect.ValueOf(set)
		for i := 0; v.Type().Elem() == typ && i < v.Len(); i++ {
			words = append(words, fmt.Sprint(v.Index(i).Interface()))
		}
	}
	return words
}

func bodyOf(t *testing.T, id string, d announce.Data) []byte {
	t.Helper()
	p, err := announce.Post(id, noon, d)
	if err != nil {
		t.Fatal(err)
	}
	return p.Body
}

// envelopeOf writes an example as it is sent; that it is really sent so is
// checked by the publisher's tests against the document.
func envelopeOf(t *testing.T, id string, d announce.Data) []byte {
	t.Helper()
	b, err := json.MarshalIndent(struct {
		SpecVersion     string          `json:"specversion"`
		Type            string          `json:"type"`
		Source          string          `json:"source"`
		Subject         string          `json:"subject"`
		ID              string          `json:"id"`
		Time            time.Time       `json:"time"`
		DataContentType string          `json:"datacontenttype"`
		Data            json.RawMessage `json:"data"`
	}{"1.0", d.EventType(), "/tandem/pairs/edge-weu", "edge-weu", id, noon, "application/json", bodyOf(t, id, d)}, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// fieldsOf lists name and meaning of a type's fields in their order; those of
// an embedded struct stand in its place.
func fieldsOf(typ reflect.Type) [][2]string {
	var fields [][2]string
	for f := range typ.Fields() {
		if f.Anonymous {
			fields = append(fields, fieldsOf(f.Type)...)
			continue
		}
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		fields = append(fields, [2]string{name, f.Tag.Get("jsonschema_description")})
	}
	return fields
}
