package settings

import (
	"os"
	"path/filepath"
	"testing"

	"tandem/internal/pair"
)

// FuzzReading has every class read the same answer. Nothing of what a unit says may
// make a reading panic, make a write of what is excluded, or leave an index in an
// object.
func FuzzReading(f *testing.F) {
	files, err := filepath.Glob("testdata/v*")
	if err != nil || len(files) == 0 {
		f.Fatalf("no examples: %v", err)
	}
	for _, file := range files {
		body, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(body)
	}
	f.Add([]byte(`{"VS":[{"Index":1,"VSAddress":"@0","VSPort":"/","SubVS":[{"VSIndex":2}]},{"Index":2,"MasterVSID":1,"Rs":[{"Addr":"::1"}]}]}`))
	f.Add([]byte(`{"cert":[{"name":"a"},{"name":"a"}],"addr":{"addr":"1.1.1.1/99"},"motd":"*****","hostname":"x"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		n, err := parse(body)
		if err != nil {
			return // the client refuses what is no tree, and its own fuzzing is about that
		}
		r := NewReading(append(Everyday(), OWASPRules, ServiceAccessLists)...)
		for calls := r.Next(); len(calls) > 0 && len(calls) < 1000; calls = r.Next() {
			for _, call := range calls {
				_ = r.Take(call, n) // an answer that is not understood is one of the cases
			}
		}
		s := r.Snapshot()
		s.Interfaces = interfacesOf[0]
		for c := range s.classes {
			for _, o := range s.classes[c] {
				checkObject(t, &o)
			}
		}
		empty := unitOf(t, 1, "")
		result := Merge(Base{}, &s, empty, Policy{Active: pair.First, Prefer: PreferActive})
		for _, w := range append(result.ToFirst, result.ToSecond...) {
			if own := w.Path(); len(own) > 0 && own[0] != "" && own[0][0] == '@' {
				continue // the answer itself had what looks like a stand-in
			}
			for _, field := range w.Fields() {
				if w.Of().fieldPlace(field.Name) != Synchronised || masked(field.Value) {
					t.Errorf("%s", w)
				}
			}
		}
	})
}

// FuzzWriter has a unit answer everything with the same, whatever is written to it. No
// answer may make a writer panic, make calls without end, or write what must not be
// written.
func FuzzWriter(f *testing.F) {
	files, err := filepath.Glob("testdata/v*")
	if err != nil || len(files) == 0 {
		f.Fatalf("no examples: %v", err)
	}
	for _, file := range files {
		body, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(body)
	}
	f.Add([]byte(`{"VSAddress":"10.0.0.20","VSPort":"443","Protocol":"tcp","Index":1,"CipherSet":"Custom_1","FollowVSID":1,"SubVS":[{"VSIndex":1,"Name":"-"}]}`))
	var writes []Write
	for _, tt := range wireTests {
		writes = append(writes, writesTo(f, drawn(f, tt.before), drawn(f, tt.after))...)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		n, err := parse(body)
		if err != nil {
			return
		}
		for _, w := range writes {
			calls := 0
			writer := NewWriter(func(c Call) (Node, error) {
				if calls++; calls > 1000 {
					t.Fatalf("%s: %d calls", w, calls)
				}
				for _, a := range c.Args {
					if masked(a.Value) || c.Writes && c.Command == "set" && a.Name == "param" && a.Value != noLogging && ParameterPlace(a.Value) != Synchronised {
						t.Errorf("%s: %s", w, c)
					}
				}
				return n, nil
			})
			_ = writer.Write(w) // what comes of it is one of the cases
		}
	})
}

func checkObject(t *testing.T, o *Object) {
	for i, field := range o.Fields {
		if o.Class.fieldPlace(field.Name) != Synchronised || field.Value == "" {
			t.Errorf("%s %q has %s=%q", o.Class, o.ID, field.Name, field.Value)
		}
		if i > 0 && o.Fields[i-1].Name >= field.Name {
			t.Errorf("%s %q has %s after %s", o.Class, o.ID, field.Name, o.Fields[i-1].Name)
		}
	}
	for i := range o.Kids {
		checkObject(t, &o.Kids[i])
	}
}
