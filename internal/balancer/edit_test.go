package balancer

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"tandem/internal/pair"
)

func TestEditChangesOnlyWhatIsPlanned(t *testing.T) {
	for _, row := range []struct {
		name   string
		doc    string
		fields []Field
		want   string
	}{
		{"a value is replaced", "{ \"a\" : 1.0 ,\n\t\"b\" : 1e3 }\n", []Field{field(t, "b", "7")}, "{ \"a\" : 1.0 ,\n\t\"b\" : 7 }\n"},
		{"names keep their spelling", `{"A" :{"\u0062":1}}`, []Field{field(t, "a.b", "2")}, `{"A" :{"\u0062":2}}`},
		{"a member is added behind the others", `{ "a": 1 }`, []Field{field(t, "b", "2"), field(t, "c", "3")}, `{ "a": 1,"b":2,"c":3 }`},
		{"also to an empty object", `{ }`, []Field{field(t, "b", "2"), field(t, "c", "3")}, `{"b":2,"c":3 }`},
		{"missing objects and lists are made", `{}`, []Field{field(t, "a.b", "1"), field(t, "a.l[name=x].c", "2"), field(t, "a.l[name=y]", "")}, `{"a":{"b":1,"l":[{"name":"x","c":2},{"name":"y"}]}}`},
		{"null becomes what is wanted", `{"a" : null, "b": null}`, []Field{field(t, "a.c", "1"), field(t, "b", "2")}, `{"a" : {"c":1}, "b": 2}`},
		{"a list that is null too", `{"l" : null}`, []Field{field(t, "l[name=a]", "")}, `{"l" : [{"name":"a"}]}`},
		{"an element is added behind the others", `{"l":[ {"name":"a"} ]}`, []Field{field(t, "l[name=b]", ""), field(t, "l[name=c]", "")}, `{"l":[ {"name":"a"},{"name":"b"},{"name":"c"} ]}`},
		{"also to an empty list", `{"l":[ ]}`, []Field{field(t, "l[name=b]", "")}, `{"l":[{"name":"b"} ]}`},
		{"the first is removed with what parted it from the next", `{ "l":1 , "b":2 }`, []Field{gone(t, "l")}, `{ "b":2 }`},
		{"the last is removed with what parted it from the one before", `{ "l":1 , "b":2 }`, []Field{gone(t, "b")}, `{ "l":1 }`},
		{"one in the middle is removed with what parted it from the one before", `{"a":1 , "b":2,  "c":3}`, []Field{gone(t, "b")}, `{"a":1,  "c":3}`},
		{"the only one leaves nothing", `{"l":[ {"name":"a"} ]}`, []Field{gone(t, "l[name=a]")}, `{"l":[]}`},
		{"all of them leave nothing", `{"l":[ {"name":"a"} , {"name":"b"} ]}`, []Field{gone(t, "l[name=a]"), gone(t, "l[name=b]")}, `{"l":[]}`},
		{"one may go and another come", `{"l":[ {"name":"a"} ]}`, []Field{gone(t, "l[name=a]"), field(t, "l[name=b]", "")}, `{"l":[{"name":"b"}]}`},
		{
			"everything at once", `{"x":[1,{"y":null}],"l":[{"name":"a","p":1}, 5, {"name":"b" , "p":[ 1 ]}, {"name":"c"}],"z":"\u00e9"}`,
			[]Field{field(t, "l[name=d].q", "4"), gone(t, "l[name=a]"), field(t, "l[name=b].p", `[1,2]`), field(t, "l[name=b].r", "true"), gone(t, "l[name=c]")},
			`{"x":[1,{"y":null}],"l":[5, {"name":"b" , "p":[1,2],"r":true},{"name":"d","q":4}],"z":"\u00e9"}`,
		},
		{"text is written with its escapes", `{}`, []Field{field(t, "a", `"<\u00e9\n\">"`)}, `{"a":"\u003c\u00e9\n\"\u003e"}`},
	} {
		t.Run(row.name, func(t *testing.T) {
			plan, err := compareOne(t, row.doc, row.fields...)
			if err != nil {
				t.Fatal(err)
			}
			for _, step := range []Step{plan.Steps[0], stored(t, plan).Steps[0]} {
				got, err := step.Edit([]byte(row.doc))
				if err != nil {
					t.Fatal(err)
				}
				if string(got) != row.want {
					t.Errorf("%s becomes\n%s, want\n%s", row.doc, got, row.want)
				}
			}
			again, err := compareOne(t, row.want, row.fields...)
			if err != nil || !again.Empty() {
				t.Errorf("afterwards there are %v, %v", changesOf(again), err)
			}
		})
	}
}

// stored is a plan that was stored and read again.
func stored(t testing.TB, p Plan) Plan {
	t.Helper()
	b, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	var back Plan
	if err := json.Unmarshal(b, &back); err != nil {
		t.Fatal(err)
	}
	return back
}

func TestEditOfANewResource(t *testing.T) {
	want := Wanted{Pair: "p", Resources: []Resource{{ID: "/r", New: raw(`{ "location": "here", "zones": ["2", "1"] }`), Fields: []Field{field(t, "properties.l[name=a].b", "1")}}}}
	plan, err := Compare(want, World{"/r": nil})
	if err != nil {
		t.Fatal(err)
	}
	doc, err := plan.Steps[0].Edit(nil)
	if wrote := `{"location":"here","zones":["2","1"],"properties":{"l":[{"name":"a","b":1}]}}`; err != nil || string(doc) != wrote {
		t.Errorf("%s, %v, want %s", doc, err, wrote)
	}
	again, err := Compare(want, World{"/r": doc})
	if err != nil || !again.Empty() {
		t.Errorf("afterwards there are %v, %v", changesOf(again), err)
	}
}

func TestEditRefusesAnotherDocumentThanItWasPlannedFor(t *testing.T) {
	const doc = `{"a":{"b":1,"t":"x"},"l":[{"name":"e","p":"Tcp","etag":"1"}]}`
	for _, row := range []struct {
		name   string
		fields []Field
		now    string
	}{
		{"a value that is another by now", []Field{field(t, "a.b", "2")}, `{"a":{"b":3}}`},
		{"a value that is the wanted one by now", []Field{field(t, "a.b", "2")}, `{"a":{"b":2}}`},
		{"a value that is gone", []Field{field(t, "a.b", "2")}, `{"a":{}}`},
		{"a value whose object is gone", []Field{field(t, "a.b", "2")}, `{}`},
		{"a value whose object is something else", []Field{field(t, "a.b", "2")}, `{"a":5}`},
		{"a value whose element is gone", []Field{field(t, "l[name=e].p", `"Udp"`)}, `{"l":[]}`},
		{"a value whose list is gone", []Field{field(t, "l[name=e].p", `"Udp"`)}, `{"l":null}`},
		{"a value whose list is something else", []Field{field(t, "l[name=e].p", `"Udp"`)}, `{"l":{}}`},
		{"a missing value that is there by now", []Field{field(t, "a.c", "2")}, `{"a":{"c":1}}`},
		{"a missing value whose element is gone", []Field{field(t, "l[name=e].q", "2")}, `{"l":[{"name":"f"}]}`},
		{"a missing element that is there by now", []Field{field(t, "l[name=f]", "")}, `{"l":[{"name":"f"}]}`},
		{"what was to be removed and is gone", []Field{gone(t, "a.b")}, `{"a":{"b":null}}`},
		{"what was to be removed and is gone without a trace", []Field{gone(t, "l[name=e]")}, `{}`},
		{"what was to be removed and is another by now", []Field{gone(t, "l[name=e]")}, `{"l":[{"name":"e","p":"Udp"}]}`},
	} {
		t.Run(row.name, func(t *testing.T) {
			plan, err := compareOne(t, doc, row.fields...)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := plan.Steps[0].Edit([]byte(doc)); err != nil {
				t.Fatalf("what it was planned for: %v", err)
			}
			got, err := plan.Steps[0].Edit([]byte(row.now))
			if !errors.Is(err, ErrMoved) || !errors.Is(err, pair.ErrConflict) || got != nil {
				t.Errorf("%s, %v", got, err)
			}
		})
	}
}

func TestEditSeesTheSameInAnotherSpelling(t *testing.T) {
	plan, err := compareOne(t, `{"a":{"b":1,"id":"/subscriptions/X"},"l":[{"name":"e","etag":"1","n":null}]}`, field(t, "a.b", "2"), field(t, "a.id", `"/subscriptions/y"`), gone(t, "l[name=e]"))
	if err != nil {
		t.Fatal(err)
	}
	got, err := plan.Steps[0].Edit([]byte(`{"new":true,"A":{"ID":"/SUBSCRIPTIONS/x","b":1.0},"l":[{"etag":"2","Name":"E"}]}`))
	if want := `{"new":true,"A":{"ID":"/subscriptions/y","b":2},"l":[]}`; err != nil || string(got) != want {
		t.Errorf("%s, %v, want %s", got, err, want)
	}
}

func TestEditRefuses(t *testing.T) {
	change := func(path, from, to string) Step {
		c := Change{Path: path}
		if from != "" {
			c.From = raw(from)
		}
		if to != "" {
			c.To = raw(to)
		}
		return Step{Resource: "/r", Action: Update, Changes: []Change{c}}
	}
	create := Step{Resource: "/r", Action: Create, New: raw(`{}`)}
	for _, row := range []struct {
		name string
		step Step
		doc  []byte
		kind error
	}{
		{"to create what exists", create, []byte(`{}`), ErrMoved},
		{"to create from something else than an object", Step{Action: Create, New: raw(`1`), Resource: "/r"}, nil, pair.ErrUnreadable},
		{"to change what does not exist", change("a", "", "1"), nil, ErrMoved},
		{"a step that does nothing", Step{Resource: "/r"}, []byte(`{}`), pair.ErrInvalid},
		{"a document that is not JSON", change("a", "", "1"), []byte(`{`), pair.ErrUnreadable},
		{"an empty document", change("a", "", "1"), []byte{}, pair.ErrUnreadable},
		{"a document that is not an object", change("a", "", "1"), []byte(`[]`), pair.ErrUnreadable},
		{"an enormous document", change("a", "", "1"), []byte(strings.Repeat(" ", maxBytes) + `{}`), pair.ErrTooLarge},
		{"a name that comes twice", change("a", "", "1"), []byte(`{"a":1,"A":2}`), pair.ErrUnreadable},
		{"a key that comes twice", change("l[name=a].b", "", "1"), []byte(`{"l":[{"name":"a","Name":"b"}]}`), pair.ErrUnreadable},
		{"an element that comes twice", change("l[name=a].b", "", "1"), []byte(`{"l":[{"name":"a"},{"name":"A"}]}`), pair.ErrUnreadable},
		{"an element that is not an object", change("l[name=a]", "", "1"), []byte(`{"l":[]}`), pair.ErrInvalid},
		{"what is not a path", change("a..b", "", "1"), []byte(`{}`), pair.ErrInvalid},
		{"a path without end", change(strings.Repeat("a.", 1000)+"a", "", "1"), []byte(`{}`), pair.ErrInvalid},
		{"what is not a value", change("a", "", "1 2"), []byte(`{}`), pair.ErrUnreadable},
		{"what was not a value", change("a", "1 2", "1"), []byte(`{"a":1}`), ErrMoved},
		{"changes of one place", Step{Resource: "/r", Action: Update, Changes: []Change{{Path: "a", To: raw("1")}, {Path: "a.b", To: raw("1")}}}, []byte(`{}`), pair.ErrInvalid},
	} {
		t.Run(row.name, func(t *testing.T) {
			got, err := row.step.Edit(row.doc)
			if !errors.Is(err, row.kind) || got != nil {
				t.Fatalf("%s, %v, want %v", got, err, row.kind)
			}
			if !strings.Contains(err.Error(), "/r") || len(err.Error()) > 1000 {
				t.Errorf("the message does not name the resource, or is too long: %.2000v", err)
			}
		})
	}
}

func TestAStepWithoutChangesWritesWhatWasRead(t *testing.T) {
	const doc = " { \"a\" : 1.0 }\r\n"
	got, err := Step{Resource: "/r", Action: Update}.Edit([]byte(doc))
	if err != nil || string(got) != doc {
		t.Errorf("%q, %v", got, err)
	}
}
