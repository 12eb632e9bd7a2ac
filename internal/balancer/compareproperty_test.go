package balancer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"tandem/internal/pair"
)

// The names of the random documents: each is one sort of value, so that most
// documents are such as the fields suppose.
var (
	objectNames = []string{"properties", "inner"}
	listNames   = []string{"rules", "pools"}
	leafNames   = []string{"port", "requestPath", "protocol", "prefixes"}
	alienNames  = []string{"x", "etag", "a.b", "ä"}
	keys        = []string{"a", "b", "c"}
	scalars     = []string{`1`, `1.0`, `10e-1`, `2`, `true`, `false`, `"Tcp"`, `"TCP"`, `"\u0054cp"`, `"<ä>"`, `"/subscriptions/A"`, `"/Subscriptions/a"`, `""`}
)

// model is a JSON value before it is spelled.
type model struct {
	literal  string // of a scalar
	list     bool
	names    []string // of an object's members, beside its values
	children []model
}

func genDocument(rt *rapid.T, deep int) model {
	m := model{names: []string{}}
	add := func(name string, v model) {
		if rapid.Bool().Draw(rt, "upper") {
			name = strings.ToUpper(name)
		}
		m.names, m.children = append(m.names, name), append(m.children, v)
	}
	for _, name := range slices.Concat(objectNames, listNames, leafNames, alienNames) {
		switch rapid.IntRange(0, 4).Draw(rt, "presence of "+name) {
		case 0, 1:
			continue
		case 2:
			add(name, model{literal: "null"})
			continue
		}
		switch {
		case deep == 0 || slices.Contains(leafNames, name):
			add(name, genLeaf(rt))
		case slices.Contains(listNames, name):
			add(name, genList(rt, deep-1))
		case slices.Contains(alienNames, name):
			add(name, rapid.SampledFrom([]model{{literal: "7"}, {list: true}, {names: []string{}}, {names: []string{"id", "ID"}, children: []model{{literal: "1"}, {literal: "2"}}}}).Draw(rt, "alien"))
		default:
			add(name, genDocument(rt, deep-1))
		}
	}
	return m
}

func genLeaf(rt *rapid.T) model {
	if rapid.IntRange(0, 3).Draw(rt, "sort of leaf") > 0 {
		return model{literal: rapid.SampledFrom(scalars).Draw(rt, "scalar")}
	}
	m := model{list: true}
	for _, s := range rapid.SliceOfN(rapid.SampledFrom(scalars), 0, 3).Draw(rt, "scalars") {
		m.children = append(m.children, model{literal: s})
	}
	return m
}

func genList(rt *rapid.T, deep int) model {
	m := model{list: true}
	for _, key := range rapid.Permutation(keys).Draw(rt, "keys") {
		switch rapid.IntRange(0, 3).Draw(rt, "presence of "+key) {
		case 0:
			continue
		case 1: // somebody else's
			m.children = append(m.children, rapid.SampledFrom([]model{{literal: `"a"`}, {literal: "null"}, {names: []string{"port"}, children: []model{{literal: "5"}}}}).Draw(rt, "alien element"))
			continue
		}
		if rapid.Bool().Draw(rt, "upper") {
			key = strings.ToUpper(key)
		}
		e := genDocument(rt, deep)
		e.names, e.children = append(e.names, "name"), append(e.children, model{literal: `"` + key + `"`})
		m.children = append(m.children, e)
	}
	return m
}

// spell writes a value with its members in random order and random white space.
func (m model) spell(r *rand.Rand) string {
	space := func() string { return []string{"", "", " ", "\n\t", "  "}[r.IntN(5)] }
	if m.literal != "" {
		return m.literal
	}
	order := r.Perm(len(m.children))
	opening, closing := "{", "}"
	if m.list {
		opening, closing = "[", "]"
		slices.Sort(order)
	}
	var parts []string
	for _, i := range order {
		part := space()
		if !m.list {
			name, _ := json.Marshal(m.names[i])
			part += string(name) + space() + ":" + space()
		}
		parts = append(parts, part+m.children[i].spell(r)+space())
	}
	if len(parts) == 0 {
		return opening + space() + closing
	}
	return opening + strings.Join(parts, ",") + closing
}

func draw(rt *rapid.T, m model) json.RawMessage {
	return raw(m.spell(rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "spelling"), 0))))
}

// genFields are fields that do not contradict each other.
func genFields(rt *rapid.T) []Field {
	var fields []Field
	for range rapid.IntRange(1, 8).Draw(rt, "number of fields") {
		f := genField(rt)
		if _, err := compareFields(append(slices.Clone(fields), f), raw(`{}`)); err == nil {
			fields = append(fields, f)
		}
	}
	return fields
}

func genField(rt *rapid.T) Field {
	f := Field{Why: "because"}
	for deep := 0; ; deep++ {
		sort := rapid.IntRange(0, 4).Draw(rt, "part")
		switch {
		case sort <= 1 && deep < 3:
			f.Path = append(f.Path, Segment{Name: rapid.SampledFrom(objectNames).Draw(rt, "object")})
			continue
		case sort == 2 && deep < 3:
			f.Path = append(f.Path, Segment{Name: rapid.SampledFrom(listNames).Draw(rt, "list"), Key: "name", Value: rapid.SampledFrom(keys).Draw(rt, "key")})
			if rapid.IntRange(0, 2).Draw(rt, "goes on") > 0 {
				continue
			}
			f.Remove = rapid.Bool().Draw(rt, "removed")
			return f
		}
		f.Path = append(f.Path, Segment{Name: rapid.SampledFrom(leafNames).Draw(rt, "leaf")})
		if f.Remove = rapid.IntRange(0, 4).Draw(rt, "removed") == 0; f.Remove {
			return f
		}
		f.Want = draw(rt, genLeaf(rt))
		if rapid.Bool().Draw(rt, "means something when absent") {
			f.Absent = draw(rt, genLeaf(rt))
		}
		return f
	}
}

func compareFields(fields []Field, doc json.RawMessage) (Plan, error) {
	return Compare(Wanted{Pair: "p", Resources: []Resource{{ID: "/r", New: raw(`{ "location" : "here" }`), Fields: fields}}}, World{"/r": doc})
}

// compareOrSkip skips documents that the fields do not fit.
func compareOrSkip(rt *rapid.T, fields []Field, doc json.RawMessage) Plan {
	plan, err := compareFields(fields, doc)
	if errors.Is(err, pair.ErrUnreadable) {
		rt.Skip(err)
	}
	if err != nil {
		rt.Fatal(err)
	}
	return plan
}

func TestAfterAPlanIsCarriedOutNothingDiffers(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		fields := genFields(rt)
		var doc json.RawMessage // nil: it does not exist
		if rapid.IntRange(0, 9).Draw(rt, "exists") > 0 {
			doc = draw(rt, genDocument(rt, 3))
		}
		plan := compareOrSkip(rt, fields, doc)
		for _, step := range plan.Steps {
			written, err := step.Edit(doc)
			if err != nil {
				rt.Fatalf("%s by %v: %v", doc, changesOf(plan), err)
			}
			want := decode(rt, slices.Concat(doc, step.New))
			for _, c := range step.Changes {
				want = applied(want, mustPath(t, c.Path), c.To)
			}
			if diff := cmp.Diff(want, decode(rt, written)); diff != "" {
				rt.Fatalf("%s becomes %s by %v (- want, + got):\n%s", doc, written, changesOf(plan), diff)
			}
			doc = written
		}
		again, err := compareFields(fields, doc)
		if err != nil || !again.Empty() {
			rt.Fatalf("%s, and still %v, %v", doc, changesOf(again), err)
		}
	})
}

// applied is what a change makes of a decoded document, done the simple way.
func applied(v any, path Path, to json.RawMessage) any {
	if len(path) == 0 {
		return decoded(to)
	}
	o, _ := v.(map[string]any)
	if o == nil {
		o = map[string]any{}
	}
	name, s, rest := path[0].Name, path[0], path[1:]
	for have := range o {
		if strings.EqualFold(have, name) {
			name = have
		}
	}
	switch {
	case s.Key == "" && len(rest) == 0 && to == nil:
		delete(o, name)
	case s.Key == "":
		o[name] = applied(o[name], rest, to)
	default:
		l, _ := o[name].([]any)
		if l == nil {
			l = []any{}
		}
		i := slices.IndexFunc(l, func(e any) bool {
			key, _ := e.(map[string]any)
			text, _ := key[s.Key].(string)
			return strings.EqualFold(text, s.Value)
		})
		switch {
		case i < 0:
			l = append(l, applied(nil, rest, to))
		case len(rest) == 0 && to == nil:
			l = slices.Delete(l, i, i+1)
		default:
			l[i] = applied(l[i], rest, to)
		}
		o[name] = l
	}
	return o
}

// decode reads JSON with its numbers as they are spelled.
func decode(rt *rapid.T, b []byte) any {
	if !json.Valid(b) {
		rt.Fatalf("%s is not JSON", b)
	}
	return decoded(b)
}

func decoded(b []byte) any {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var v any
	if d.Decode(&v) != nil {
		return nil
	}
	return v
}

// One change after the other, each leaves every byte before and behind its
// place; and all at once make the same bytes.
func TestEditLeavesEveryOtherByte(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		fields := genFields(rt)
		doc := []byte(draw(rt, genDocument(rt, 3)))
		plan := compareOrSkip(rt, fields, doc)
		if plan.Empty() {
			return
		}
		step := plan.Steps[0]
		atOnce, err := step.Edit(doc)
		if err != nil {
			rt.Fatal(err)
		}
		for _, c := range step.Changes {
			one := step
			one.Changes = []Change{c}
			written, err := one.Edit(doc)
			if err != nil {
				rt.Fatal(err)
			}
			if lost, most := outside(doc, written), len(valueAt(doc, mustPath(t, c.Path))); c.To != nil && lost > most {
				rt.Fatalf("%s becomes %s: %d bytes are lost, the place has %d", doc, written, lost, most)
			}
			if c.To == nil && outside(written, doc) > 0 {
				rt.Fatalf("%s becomes %s, which is not what is left of it", doc, written)
			}
			doc = written
		}
		if string(doc) != string(atOnce) {
			rt.Fatalf("one after the other makes\n%s, at once\n%s", doc, atOnce)
		}
	})
}

// outside is how many bytes of a text are neither at the beginning nor at the
// end of another one.
func outside(of, in []byte) int {
	most := min(len(of), len(in))
	before := 0
	for before < most && of[before] == in[before] {
		before++
	}
	behind := 0
	for behind < most-before && of[len(of)-1-behind] == in[len(in)-1-behind] {
		behind++
	}
	return len(of) - before - behind
}

// valueAt is the text of the value at a path, nil where there is none.
func valueAt(doc json.RawMessage, path Path) json.RawMessage {
	for _, s := range path {
		var members map[string]json.RawMessage
		if json.Unmarshal(doc, &members) != nil {
			return nil
		}
		doc = nil
		for name, v := range members {
			if strings.EqualFold(name, s.Name) {
				doc = v
			}
		}
		if string(doc) == "null" {
			return doc // which becomes something else, with all below it
		}
		if s.Key == "" {
			continue
		}
		var elements []json.RawMessage
		if json.Unmarshal(doc, &elements) != nil {
			return nil
		}
		doc = nil
		for _, e := range elements {
			var key struct{ Name string }
			if json.Unmarshal(e, &key) == nil && strings.EqualFold(key.Name, s.Value) {
				doc = e
			}
		}
	}
	return doc
}

func TestThePlanDoesNotDependOnOrderAndWhiteSpace(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		fields, m := genFields(rt), genDocument(rt, 3)
		one, two := compareOrSkip(rt, fields, draw(rt, m)), compareOrSkip(rt, fields, draw(rt, m))
		if diff := cmp.Diff(one, two); diff != "" {
			rt.Fatalf("two plans of one document:\n%s", diff)
		}
		if diff := cmp.Diff(one, stored(t, one)); diff != "" {
			rt.Fatalf("stored and read again:\n%s", diff)
		}
	})
}

func TestTheHashChangesWhenAndOnlyWhenTheChangesDo(t *testing.T) {
	var same, different int
	rapid.Check(t, func(rt *rapid.T) {
		fields := genFields(rt)
		m := genDocument(rt, 2)
		one := compareOrSkip(rt, fields, draw(rt, m))
		two := compareOrSkip(rt, fields, draw(rt, mutate(rt, m)))
		equal := reflect.DeepEqual(meaning(one), meaning(two))
		if equal != (one.Hash == two.Hash) {
			rt.Fatalf("changes\n%v\nand\n%v\nhave the hashes %s and %s", changesOf(one), changesOf(two), one.Hash, two.Hash)
		}
		if !one.Covers(two) != (!equal && !two.Empty()) {
			rt.Fatalf("%v covers %v: %t", changesOf(one), changesOf(two), one.Covers(two))
		}
		if equal {
			same++
		} else {
			different++
		}
	})
	if same == 0 || different == 0 {
		t.Errorf("%d pairs of plans are the same, %d are not: the test shows nothing", same, different)
	}
}

// mutate spells or makes one of the values differently.
func mutate(rt *rapid.T, m model) model {
	if m.literal != "" {
		return model{literal: rapid.SampledFrom(scalars).Draw(rt, "other scalar")}
	}
	if len(m.children) == 0 {
		return m
	}
	i := rapid.IntRange(0, len(m.children)-1).Draw(rt, "mutated child")
	m.children = slices.Clone(m.children)
	if m.names == nil || m.names[i] != "name" {
		m.children[i] = mutate(rt, m.children[i])
	}
	return m
}

// meaning is what the changes of a plan mean, computed without this package.
func meaning(p Plan) []string {
	var all []string
	for _, s := range p.Steps {
		for _, c := range s.Changes {
			from := meant(decoded(c.From), strings.Contains(c.Path, "requestPath"))
			all = append(all, fmt.Sprintf("%v %s %s %s %s", s.Action, s.Resource, c.Path, from, c.To))
		}
	}
	return all
}

func meant(v any, caseful bool) string {
	switch v := v.(type) {
	case nil:
		return ""
	case json.Number:
		f, _ := v.Float64()
		return fmt.Sprint(f)
	case string:
		if !caseful {
			v = strings.ToLower(v)
		}
		return fmt.Sprintf("%q", v)
	case []any:
		var parts []string
		flat := true
		for _, e := range v {
			parts = append(parts, meant(e, caseful))
			switch e.(type) {
			case map[string]any, []any:
				flat = false
			}
		}
		if flat {
			slices.Sort(parts)
			parts = slices.Compact(parts)
		}
		return fmt.Sprintf("%q", parts)
	case map[string]any:
		parts := map[string][]string{}
		for name, e := range v {
			if name = strings.ToLower(name); e != nil && name != "etag" {
				parts[name] = append(parts[name], meant(e, caseful || name == "requestpath"))
				slices.Sort(parts[name])
			}
		}
		return fmt.Sprint(parts) // fmt sorts the keys of maps
	default:
		return fmt.Sprint(v)
	}
}
