package balancer

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tandem/internal/pair"
)

// field wants a value at a path; "" wants that the element exists.
func field(t testing.TB, path, want string) Field {
	t.Helper()
	f := Field{Path: mustPath(t, path), Why: "because of " + path}
	if want != "" {
		f.Want = raw(want)
	}
	return f
}

func gone(t testing.TB, path string) Field {
	t.Helper()
	return Field{Path: mustPath(t, path), Remove: true, Why: "because of " + path}
}

func absent(f Field, value string) Field {
	f.Absent = raw(value)
	return f
}

// compareOne compares one resource, /r.
func compareOne(t testing.TB, doc string, fields ...Field) (Plan, error) {
	t.Helper()
	return Compare(Wanted{Pair: "p", Resources: []Resource{{ID: "/r", Fields: fields}}}, World{"/r": raw(doc)})
}

// changesOf are the changes of a plan as text, without reasons.
func changesOf(p Plan) []string {
	var all []string
	for _, s := range p.Steps {
		for _, c := range s.Changes {
			all = append(all, fmt.Sprintf("%s: %s -> %s", c.Path, c.From, c.To))
		}
	}
	return all
}

func TestCompare(t *testing.T) {
	for _, row := range []struct {
		name   string
		doc    string
		fields []Field
		want   []string
	}{
		{"what is as wanted is no change", `{"a":{"b":1}}`, []Field{field(t, "a.b", "1")}, nil},
		{"what is otherwise is changed", `{"a":{"b":1}}`, []Field{field(t, "a.b", "2")}, []string{"a.b: 1 -> 2"}},
		{"names are compared without case", `{"A":{"\u0042":1}}`, []Field{field(t, "a.b", "2")}, []string{"a.b: 1 -> 2"}},
		{"what is missing is added", `{}`, []Field{field(t, "a.b", "2")}, []string{"a.b:  -> 2"}},
		{"null is missing", `{"a":{"b":null}}`, []Field{field(t, "a.b", "2")}, []string{"a.b:  -> 2"}},
		{"also above", `{"a":null}`, []Field{field(t, "a.b", "2")}, []string{"a.b:  -> 2"}},
		{"what is missing may be what it means to be missing", `{}`, []Field{absent(field(t, "a.b", "2"), "2.0")}, nil},
		{"or mean something else", `{"a":null}`, []Field{absent(field(t, "a.b", "2"), "3")}, []string{"a.b:  -> 2"}},
		{"a missing list may mean an empty one", `{}`, []Field{absent(field(t, "a", "[]"), "[ ]")}, nil},
		{"what stands counts, whatever a missing value means", `{"a":3}`, []Field{absent(field(t, "a", "2"), "2")}, []string{"a: 3 -> 2"}},
		{"a list is compared as a set", `{"a":["y", "X"]}`, []Field{field(t, "a", `["x","y"]`)}, nil},
		{"a list that differs becomes the wanted one", `{"a":["y", "z"]}`, []Field{field(t, "a", `["x", "y"]`)}, []string{`a: ["y","z"] -> ["x","y"]`}},
		{
			"something else than a value is replaced, and shown in a form that does not change by itself",
			`{"a":{"z":1.0, "etag":"5", "b":{"ProvisioningState":"Updating","c":"\u0041<"}}}`,
			[]Field{field(t, "a", "1")},
			[]string{`a: {"b":{"c":"A\u003c"},"z":1.0} -> 1`},
		},
		{"an element is found by its key, without case", `{"l":[{"p":0},{"Name":"B","p":1},{"name":"a","p":2}]}`, []Field{field(t, "l[name=b].p", "2")}, []string{"l[name=b].p: 1 -> 2"}},
		{"an element may be found by its id", `{"l":[{"id":"/subscriptions/X"}]}`, []Field{field(t, "l[id=/subscriptions/x]", "")}, nil},
		{"fields of a missing element become one element", `{"l":[{"name":"b"}]}`, []Field{field(t, "l[name=a].p.q", "1"), field(t, "l[name=a].p.r", `[ "x" ]`), field(t, "l[name=a].s", "true")}, []string{`l[name=a]:  -> {"name":"a","p":{"q":1,"r":["x"]},"s":true}`}},
		{"also elements inside of it", `{}`, []Field{field(t, "l[name=a].m[id=b]", ""), field(t, "l[name=a].m[id=c].d", "1")}, []string{`l[name=a]:  -> {"name":"a","m":[{"id":"b"},{"id":"c","d":1}]}`}},
		{"a missing value in an element is only one where the element is there", `{"l":[{"name":"a"}]}`, []Field{absent(field(t, "l[name=a].p", "1"), "1"), absent(field(t, "l[name=b].p", "1"), "1")}, []string{`l[name=b]:  -> {"name":"b","p":1}`}},
		{"the key may be wanted as a field as well", `{}`, []Field{field(t, "l[name=a].name", `"A"`), field(t, "l[name=a].p", "1")}, []string{`l[name=a]:  -> {"name":"a","p":1}`}},
		{"what must be gone is removed", `{"l":[{"name":"a"}],"b":1}`, []Field{gone(t, "l[name=A]"), gone(t, "b")}, []string{`l[name=A]: {"name":"a"} -> `, "b: 1 -> "}},
		{"what is gone stays away", `{"b":null}`, []Field{gone(t, "l[name=a]"), gone(t, "b"), gone(t, "l[name=b].c"), gone(t, "d.e")}, nil},
		{"nothing is removed from an element that is added", `{}`, []Field{field(t, "l[name=a].p", "1"), gone(t, "l[name=a].q")}, []string{`l[name=a]:  -> {"name":"a","p":1}`}},
		{"the same may be wanted twice", `{}`, []Field{field(t, "a", "1"), field(t, "A", "1")}, []string{"a:  -> 1"}},
		{"changes are in the order of the wanted state", `{"a":1,"b":1,"c":{"d":1}}`, []Field{field(t, "c.d", "2"), field(t, "b", "2"), field(t, "a", "2")}, []string{"c.d: 1 -> 2", "b: 1 -> 2", "a: 1 -> 2"}},
		{"other elements, members and their likes are left alone", `{"x":{"b":7},"l":[{"name":"z","p":7},5,"a",null]}`, []Field{field(t, "l[name=z].p", "7")}, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			plan, err := compareOne(t, row.doc, row.fields...)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(row.want, changesOf(plan)); diff != "" {
				t.Errorf("changes of %s (- want, + got):\n%s", row.doc, diff)
			}
			if plan.Empty() != (len(row.want) == 0) {
				t.Errorf("the plan is empty: %t", plan.Empty())
			}
		})
	}
}

func TestCompareRefuses(t *testing.T) {
	deep := Path{}
	for range maxParts + 1 {
		deep = append(deep, Segment{Name: "a"})
	}
	for _, row := range []struct {
		name   string
		doc    string
		fields []Field
		kind   error
	}{
		{"a document that is not JSON", `{`, nil, pair.ErrUnreadable},
		{"an empty document", ``, nil, pair.ErrUnreadable},
		{"a document that is not an object", `[]`, nil, pair.ErrUnreadable},
		{"null as a document", `null`, nil, pair.ErrUnreadable},
		{"an enormous document", `{"a":"` + strings.Repeat("a", maxBytes) + `"}`, nil, pair.ErrTooLarge},
		{"a document that nests without end", `{"a":` + strings.Repeat("[", 1_000_000), nil, pair.ErrUnreadable},
		{"a value where members are wanted", `{"a":"b"}`, []Field{field(t, "a.b", "1")}, pair.ErrUnreadable},
		{"a list where members are wanted", `{"a":[]}`, []Field{field(t, "a.b", "1")}, pair.ErrUnreadable},
		{"an object where elements are wanted", `{"a":{}}`, []Field{field(t, "a[name=b]", "")}, pair.ErrUnreadable},
		{"a name that comes twice", `{"a":1,"A":1}`, []Field{field(t, "a", "1")}, pair.ErrUnreadable},
		{"an element that comes twice", `{"l":[{"name":"a"},{"name":"A"}]}`, []Field{field(t, "l[name=a]", "")}, pair.ErrUnreadable},
		{"a key that comes twice", `{"l":[{"name":"a","Name":"b"}]}`, []Field{field(t, "l[name=a]", "")}, pair.ErrUnreadable},
		{"a field without a path", `{}`, []Field{{Want: raw("1")}}, pair.ErrInvalid},
		{"a part without a name", `{}`, []Field{{Path: Path{{}}, Want: raw("1")}}, pair.ErrInvalid},
		{"half a key", `{}`, []Field{{Path: Path{{Name: "l", Key: "name"}}}}, pair.ErrInvalid},
		{"the other half of a key", `{}`, []Field{{Path: Path{{Name: "l", Value: "a"}}}}, pair.ErrInvalid},
		{"a path that is not UTF-8", `{}`, []Field{{Path: Path{{Name: "\xff"}}, Want: raw("1")}}, pair.ErrInvalid},
		{"a path without end", `{}`, []Field{{Path: deep, Want: raw("1")}}, pair.ErrInvalid},
		{"a member without a value", `{}`, []Field{field(t, "a", "")}, pair.ErrInvalid},
		{"an element as a value", `{}`, []Field{field(t, "l[name=a]", "1")}, pair.ErrInvalid},
		{"two values for one field", `{}`, []Field{field(t, "a", "1"), field(t, "a", "2")}, pair.ErrInvalid},
		{"a value for what must be gone", `{}`, []Field{field(t, "a", "1"), gone(t, "A")}, pair.ErrInvalid},
		{"both in one field", `{}`, []Field{{Path: mustPath(t, "a"), Want: raw("1"), Remove: true}}, pair.ErrInvalid},
		{"a field in a value", `{}`, []Field{field(t, "a", "1"), field(t, "a.b", "1")}, pair.ErrInvalid},
		{"a value around a field", `{}`, []Field{field(t, "a.b", "1"), field(t, "a", "1")}, pair.ErrInvalid},
		{"a field in what must be gone", `{}`, []Field{gone(t, "l[name=a]"), field(t, "l[name=a].b", "1")}, pair.ErrInvalid},
		{"what must be gone around a field", `{}`, []Field{field(t, "l[name=a].b", "1"), gone(t, "l[name=a]")}, pair.ErrInvalid},
		{"one list by two keys", `{}`, []Field{field(t, "l[name=a]", ""), field(t, "l[id=a]", "")}, pair.ErrInvalid},
		{"a list that is an object", `{}`, []Field{field(t, "l[name=a]", ""), field(t, "l.a", "1")}, pair.ErrInvalid},
		{"another key than the one that finds the element", `{}`, []Field{field(t, "l[name=a].name", `"b"`)}, pair.ErrInvalid},
		{"something in a key", `{}`, []Field{field(t, "l[name=a].name.b", `1`)}, pair.ErrInvalid},
		{"an element without its key", `{}`, []Field{gone(t, "l[name=a].name")}, pair.ErrInvalid},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, err := compareOne(t, row.doc, row.fields...)
			if !errors.Is(err, row.kind) {
				t.Fatalf("%v, want %v", err, row.kind)
			}
			if !strings.Contains(err.Error(), "/r") || len(err.Error()) > 1000 {
				t.Errorf("the message does not name the resource, or is too long: %v", err)
			}
		})
	}
}

func TestCompareOfResources(t *testing.T) {
	made := Resource{ID: "/made", New: raw(`{ "location": "here" }`), Fields: []Field{field(t, "a", "1"), field(t, "location", `"HERE"`)}}
	found := Resource{ID: "/found", Fields: []Field{field(t, "a", "1")}}
	bare := Resource{ID: "/bare", New: raw(`{}`)}
	for _, row := range []struct {
		name string
		want []Resource
		w    World
		plan []string
		kind error
	}{
		{"what does not exist is created", []Resource{made}, World{"/made": nil}, []string{"create /made", "a:  -> 1"}, nil},
		{"what exists is not", []Resource{made}, World{"/made": raw(`{"a":2,"location":"here"}`)}, []string{"update /made", "a: 2 -> 1"}, nil},
		{"what is created is created without any field, too", []Resource{bare}, World{"/bare": nil}, []string{"create /bare"}, nil},
		{"what nothing is wanted of is left alone", []Resource{bare}, World{"/bare": raw(`{"a":1}`)}, nil, nil},
		{"steps are in the order of the wanted state", []Resource{found, made}, World{"/made": nil, "/found": raw(`{}`)}, []string{"update /found", "a:  -> 1", "create /made", "a:  -> 1"}, nil},
		{"what does not exist and is not ours to create is an error", []Resource{found}, World{"/found": nil}, nil, pair.ErrNotFound},
		{"what was not read is an error", []Resource{made}, World{}, nil, pair.ErrInvalid},
		{"what is wanted twice is an error", []Resource{made, made}, World{"/made": nil}, nil, pair.ErrInvalid},
		{"what cannot be begun with is an error", []Resource{{ID: "/made", New: raw(`[]`)}}, World{"/made": nil}, nil, pair.ErrUnreadable},
		{"what is not UTF-8 cannot be begun with", []Resource{{ID: "/made", New: raw("{\"a\":\"\xff\"}")}}, World{"/made": nil}, nil, pair.ErrInvalid},
	} {
		t.Run(row.name, func(t *testing.T) {
			plan, err := Compare(Wanted{Pair: "p", Resources: row.want}, row.w)
			if !errors.Is(err, row.kind) || err != nil && !strings.Contains(err.Error(), string(row.want[0].ID)) {
				t.Fatalf("%v, want %v", err, row.kind)
			}
			var got []string
			for _, s := range plan.Steps {
				got = append(got, s.Action.String()+" "+string(s.Resource))
				got = append(got, changesOf(Plan{Steps: []Step{s}})...)
			}
			if diff := cmp.Diff(row.plan, got); diff != "" {
				t.Errorf("plan (- want, + got):\n%s", diff)
			}
		})
	}
}

func TestReasons(t *testing.T) {
	fields := []Field{
		{Path: mustPath(t, "a"), Want: raw("1"), Why: "a is one"},
		{Path: mustPath(t, "l[name=own].b"), Want: raw("1"), Why: "b is one"},
		{Path: mustPath(t, "l[name=own]"), Why: "the element is needed"},
		{Path: mustPath(t, "l[name=parts].b"), Want: raw("1"), Why: "b is one"},
		{Path: mustPath(t, "l[name=parts].c"), Want: raw("1"), Why: "c is one"},
		{Path: mustPath(t, "l[name=parts].d"), Want: raw("1"), Why: "b is one"},
		{Path: mustPath(t, "l[name=parts].e"), Remove: true, Why: "e is nothing"},
		{Path: mustPath(t, "x"), Remove: true, Why: "x is nothing"},
	}
	plan, err := compareOne(t, `{"x":1}`, fields...)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, c := range plan.Steps[0].Changes {
		got[c.Path] = c.Why
	}
	want := map[string]string{"a": "a is one", "l[name=own]": "the element is needed", "l[name=parts]": "b is one; c is one", "x": "x is nothing"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("reasons (- want, + got):\n%s", diff)
	}
}

func TestCompareLeavesItsInputAlone(t *testing.T) {
	want := Wanted{Pair: "p", Resources: []Resource{{ID: "/r", New: raw(`{ "a" : 1 }`), Fields: []Field{field(t, "b", ` [ "y", "x" ] `), field(t, "l[name=a].c", "1")}}}}
	w := World{"/r": raw(`{"b":["x", "z"]}`)}
	before, err := json.Marshal([]any{want, w})
	if err != nil {
		t.Fatal(err)
	}
	plan, err := Compare(want, w)
	if err != nil {
		t.Fatal(err)
	}
	for i := range plan.Steps[0].Changes {
		clear(plan.Steps[0].Changes[i].From)
		clear(plan.Steps[0].Changes[i].To)
	}
	after, err := json.Marshal([]any{want, w})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(before), string(after)); diff != "" {
		t.Errorf("input and plan share memory, or the input was changed:\n%s", diff)
	}
}
