package balancer

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"tandem/internal/pair"
)

// Whatever the document, the place and the value: nothing panics, every error
// is of a kind that a caller knows, and what is written is what was wanted.
func FuzzCompareAndEdit(f *testing.F) {
	files, err := filepath.Glob(filepath.Join("testdata", "*.json"))
	if err != nil || len(files) == 0 {
		f.Fatal("no examples", err)
	}
	for _, file := range files {
		doc, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(doc, "response.body.properties.probes[name=check].properties.port", []byte(`8444`), false)
		f.Add(doc, "response.body.properties.provisioningState", []byte(`"Failed"`), false)
		f.Add(doc, "response.body.properties.backendAddressPools", []byte(``), true)
	}
	f.Add([]byte(`{"l":[{"name":"a","p":1.0},null,"x"]}`), "l[name=A].P", []byte(`1e0`), false)
	f.Add([]byte(`{"l":[ {"name":"a"} ]}`), "l[name=a]", []byte(``), true)
	f.Add([]byte(`{"\u004c":null}`), "l[name=a].x[id=b]", []byte(``), false)
	f.Add([]byte(`{"a":["x","X"]}`), "a", []byte(`["x"]`), false)
	f.Fuzz(func(t *testing.T, doc []byte, path string, value []byte, remove bool) {
		p, err := parsePath(path)
		if err != nil {
			return
		}
		field := Field{Path: p, Remove: remove}
		if len(value) > 0 {
			field.Want = value
		}
		want := Wanted{Resources: []Resource{{ID: "/r", Fields: []Field{field}}}}
		plan, err := Compare(want, World{"/r": doc})
		if err != nil {
			if !errors.Is(err, pair.ErrUnreadable) && !errors.Is(err, pair.ErrTooLarge) && !errors.Is(err, pair.ErrInvalid) && !(doc == nil && errors.Is(err, pair.ErrNotFound)) {
				t.Fatalf("%v is of no kind", err)
			}
			return
		}
		written := doc
		for _, step := range stored(t, plan).Steps {
			if written, err = step.Edit(written); err != nil {
				t.Fatalf("edit of %q by %v: %v", doc, changesOf(plan), err)
			}
		}
		if len(written) > maxBytes {
			return
		}
		again, err := Compare(want, World{"/r": written})
		if err != nil || !again.Empty() || !json.Valid(written) {
			t.Fatalf("%q becomes %q by %v, and then there are %v, %v", doc, written, changesOf(plan), changesOf(again), err)
		}
	})
}

// A plan may come from a store or from a person.
func FuzzEditByAnyPlan(f *testing.F) {
	f.Add([]byte(`{"action":"update","changes":[{"path":"a[name=b].c","from":1,"to":[{}]}]}`), []byte(`{"a":[{"name":"b","c":1.0}]}`))
	f.Add([]byte(`{"action":"update","changes":[{"path":"a","to":{}},{"path":"b"}]}`), []byte(`{"b":null}`))
	f.Add([]byte(`{"action":"create","new":{"x":1},"changes":[{"path":"a[name=b].name","to":"B"}]}`), []byte(``))
	f.Fuzz(func(t *testing.T, plan, doc []byte) {
		var s Step
		if json.Unmarshal(plan, &s) != nil {
			return
		}
		if s.Action == Create {
			doc = nil
		}
		if written, err := s.Edit(doc); err == nil && !json.Valid(written) {
			t.Fatalf("%q becomes %q by %s", doc, written, plan)
		}
		if err := Render(io.Discard, Plan{Steps: []Step{s}}); err != nil {
			t.Fatal(err)
		}
	})
}
