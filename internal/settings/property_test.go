package settings

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"tandem/internal/pair"
)

// The small worlds of the random histories: few names and few values, so that both
// units often touch the same thing. Everything is in stand-ins; place puts a unit's
// own addresses in. Some of it must never be in a write.
var (
	worldClasses = []Class{Parameters, Hosts, ContentRules, Certificates, Users, VirtualServices, GEOClusters, GEONames}
	worldIDs     = map[Class][]string{
		Parameters: {""}, Hosts: {"1.1.1.1", "1.1.1.2", "1.1.1.3"}, ContentRules: {"r1", "r2", "r3"}, Certificates: {"c1", "c2"}, Users: {"ann", "bob"},
		VirtualServices: {"@0/443/tcp", "@0/80/tcp", "10.0.0.20/443/tcp", "10.0.0.21/443/tcp", "10.0.0.4/25/tcp", "10.0.0.5/25/tcp"},
		GEOClusters:     {"k1", "k2"}, GEONames: {"www.example.com"},
		RealServers: {"10.1.1.1:80", "10.1.1.2:80"}, SubServices: {"api", "web"}, GEOMaps: {"@0", "10.0.0.4", "10.9.9.9"},
	}
	worldFields = map[Class][]string{
		Parameters: {"motd", "snat", "hostname", "hostname2", "geopartners", "radiussecret"}, Hosts: {"fqdn"}, ContentRules: {"pattern", "negate"}, Certificates: {"modulus"},
		Users: {"perms"}, VirtualServices: {"nickname", "certfile", "requestrules", "index"}, GEOClusters: {"ipaddress", "type"}, GEONames: {"failtime"},
		RealServers: {"weight", "status"}, SubServices: {"nickname"}, GEOMaps: {"weight"},
	}
	worldKids   = map[Class][]Class{VirtualServices: {SubServices, RealServers}, SubServices: {RealServers}, GEONames: {GEOMaps}}
	worldValues = map[string][]string{
		"certfile": {"", "c1", "c2"}, "requestrules": {"", "r1", "r1\nr2"}, "ipaddress": {"", "@0", "10.0.0.4", "10.0.0.5", "10.7.7.7"},
		"motd": {"", "a", "b", "*********"},
	}
)

func drawValue(rt *rapid.T, field string) string {
	values := worldValues[field]
	if values == nil {
		values = []string{"", "a", "b", "c"}
	}
	return rapid.SampledFrom(values).Draw(rt, field)
}

func drawObject(rt *rapid.T, c Class, id string) Object {
	o := Object{Class: c, ID: id}
	for _, name := range worldFields[c] {
		o.set(name, drawValue(rt, name))
	}
	for _, kid := range worldKids[c] {
		o.Kids = append(o.Kids, drawObjects(rt, kid)...)
	}
	sortObjects(o.Kids)
	return o
}

func drawObjects(rt *rapid.T, c Class) []Object {
	var objects []Object
	for _, id := range worldIDs[c] {
		if id == "" || rapid.Bool().Draw(rt, "is there") {
			objects = append(objects, drawObject(rt, c, id))
		}
	}
	return objects
}

// changed is what a history makes of objects.
func changed(rt *rapid.T, c Class, objects []Object) []Object {
	var out []Object
	for _, id := range worldIDs[c] {
		i := slices.IndexFunc(objects, func(o Object) bool { return o.ID == id && o.Class == c })
		what := rapid.IntRange(0, 9).Draw(rt, "what happens")
		switch {
		case i < 0 && what == 0:
			out = append(out, drawObject(rt, c, id))
		case i < 0 || what == 1 && id != "":
		default:
			o := objects[i]
			o.Fields = slices.Clone(o.Fields)
			if what < 4 {
				name := rapid.SampledFrom(worldFields[c]).Draw(rt, "field")
				o.set(name, drawValue(rt, name))
			}
			before := o.Kids
			o.Kids = nil
			for _, kid := range worldKids[c] {
				o.Kids = append(o.Kids, changed(rt, kid, before)...)
			}
			sortObjects(o.Kids)
			out = append(out, o)
		}
	}
	return out
}

// place puts a unit's own addresses where stand-ins are.
func place(objects []Object, at map[string]string) []Object {
	out := slices.Clone(objects)
	for i := range out {
		o := &out[i]
		o.ID = replaced(o.ID, at)
		o.Fields = slices.Clone(o.Fields)
		for j := range o.Fields {
			o.Fields[j].Value = replaced(o.Fields[j].Value, at)
		}
		o.Kids = place(o.Kids, at)
	}
	sortObjects(out)
	return slices.CompactFunc(out, func(a, b Object) bool { return compareObjects(a, b) == 0 }) // a unit has one of each
}

type world struct {
	base   Base
	units  [2]*Snapshot
	policy Policy
}

// drawWorld makes a pair with a random history since both were last alike, or none.
func drawWorld(rt *rapid.T) world {
	w := world{base: Base{First: origin, Second: origin, Classes: map[Class][]Object{}}}
	a := addressesOf(interfacesOf[0], interfacesOf[1])
	for u := range w.units {
		w.units[u] = &Snapshot{Interfaces: interfacesOf[u], Origin: origin}
		if rapid.IntRange(0, 9).Draw(rt, "rebuilt") == 0 {
			w.units[u].Origin.Serial = "2"
		}
		if rapid.IntRange(0, 9).Draw(rt, "upgraded") == 0 {
			w.units[u].Origin.Firmware = "7.2.61"
		}
	}
	for _, c := range worldClasses {
		var common []Object
		if rapid.IntRange(0, 4).Draw(rt, "seen before") > 0 {
			common = drawObjects(rt, c)
			sortObjects(common)
			w.base.Classes[c] = common
		}
		for u := range w.units {
			if rapid.IntRange(0, 19).Draw(rt, "not read") == 0 {
				continue
			}
			objects := changed(rt, c, common)
			if common == nil {
				objects = drawObjects(rt, c)
			}
			w.units[u].Put(c, place(objects, a.at[u]))
		}
	}
	w.policy.Active = rapid.SampledFrom([]pair.Role{pair.RoleUnknown, pair.First, pair.Second}).Draw(rt, "active")
	w.policy.Prefer = rapid.SampledFrom([]Prefer{PreferNobody, PreferActive, PreferFirst, PreferSecond}).Draw(rt, "prefer")
	return w
}

// apply writes to a unit as a unit would, and returns what it has then.
func apply(t fataler, s *Snapshot, writes []Write) *Snapshot {
	after := *s
	after.classes = map[Class][]Object{}
	for c, objects := range s.classes {
		after.classes[c] = place(objects, nil) // a deep copy
	}
	for _, w := range writes {
		top := w.Of()
		for top.spec().within != ClassUnknown {
			top = top.spec().within
		}
		objects := after.classes[top]
		path := w.Path()
		if len(path) == 0 {
			path = []string{""}
		}
		after.classes[top] = applyTo(t, w, objects, path)
	}
	return &after
}

type fataler interface {
	Fatalf(format string, args ...any)
}

func applyTo(t fataler, w Write, objects []Object, path []string) []Object {
	last := len(path) == 1
	i := slices.IndexFunc(objects, func(o Object) bool { return o.ID == path[0] && (!last || o.Class == w.Of()) })
	if !last {
		if i < 0 {
			t.Fatalf("%s is written into something that is not there", w)
		}
		objects[i].Kids = applyTo(t, w, objects[i].Kids, path[1:])
		return objects
	}
	switch w.Verb() {
	case Add:
		if i >= 0 {
			t.Fatalf("%s: it is there already", w)
		}
		objects = append(objects, Object{Class: w.Of(), ID: path[0]})
		i = len(objects) - 1
	case Delete:
		if i < 0 {
			t.Fatalf("%s: it is not there", w)
		}
		return slices.Delete(objects, i, i+1)
	case Modify, VerbNone:
		if i < 0 {
			t.Fatalf("%s: it is not there", w)
		}
	}
	for _, f := range w.Fields() {
		objects[i].set(f.Name, f.Value)
	}
	sortObjects(objects)
	return objects
}

// The model: what a unit has as a flat list of facts, in which an object is a fact
// like its fields. Two lists are merged fact by fact.
type facts map[string]string

func factsOf(objects []Object, above string, into facts) {
	for _, o := range objects {
		at := above + "/" + o.Class.String() + " " + o.ID
		into[at] = "there"
		for _, f := range o.Fields {
			if o.Class.fieldPlace(f.Name) == Synchronised {
				into[at+"|"+f.Name] = f.Value
			}
		}
		factsOf(o.Kids, at, into)
	}
}

// reported reports whether a fact is of what a difference is about, or below it.
func reported(d Difference, fact string) bool {
	object, field, _ := strings.Cut(fact, "|")
	return pathOf(object, d.Path) && (d.Field == "" || d.Field == field)
}

// pathOf reports whether an object's fact is that of a path, or below it.
func pathOf(object string, path []string) bool {
	rest := object
	for _, id := range path {
		_, after, found := strings.Cut(rest, " "+id)
		if !found || after != "" && after[0] != '/' {
			return false
		}
		rest = after
	}
	return true
}

func neutralFacts(a addresses, unit int, s *Snapshot, c Class) facts {
	all := facts{}
	objects, _ := s.Objects(c)
	factsOf(a.neutral(objects, unit), "", all)
	return all
}

func mirrored(w world) world {
	m := world{base: Base{First: w.base.Second, Second: w.base.First, Classes: w.base.Classes}, policy: w.policy}
	m.policy.Active = w.policy.Active.Other()
	switch w.policy.Prefer {
	case PreferFirst:
		m.policy.Prefer = PreferSecond
	case PreferSecond:
		m.policy.Prefer = PreferFirst
	case PreferActive, PreferNobody:
	}
	return m
}

// TestMergeIsSymmetric merges with the units exchanged, and compares. Only what is
// said in names of units and in addresses may differ.
func TestMergeIsSymmetric(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := drawWorld(rt)
		a := addressesOf(interfacesOf[0], interfacesOf[1])
		straight := Merge(w.base, w.units[0], w.units[1], w.policy)
		m := mirrored(w)
		for u := range m.units { // the same settings on the other address
			m.units[u] = &Snapshot{Interfaces: interfacesOf[u], Origin: w.units[1-u].Origin}
			for c, objects := range w.units[1-u].classes {
				m.units[u].Put(c, swapped(objects, a))
			}
		}
		m.base.Classes = map[Class][]Object{}
		for c, objects := range w.base.Classes {
			m.base.Classes[c] = swapped(objects, a)
		}
		back := Merge(m.base, m.units[0], m.units[1], m.policy)
		if got, want := shown(back, true, a), shown(straight, false, a); got != want {
			rt.Fatalf("exchanged:\n%s", cmp.Diff(want, got))
		}
	})
}

// swapped exchanges the units' own addresses in objects.
func swapped(objects []Object, a addresses) []Object {
	swap := map[string]string{a.at[0]["@0"]: a.at[1]["@0"], a.at[1]["@0"]: a.at[0]["@0"]}
	return place(objects, swap)
}

// shown writes a result down in an order of its own; with exchange, as it reads with
// the units exchanged.
func shown(r Result, exchange bool, a addresses) string {
	name := func(role pair.Role) string { return role.String() }
	to := [2][]Write{r.ToFirst, r.ToSecond}
	swap := strings.NewReplacer()
	if exchange {
		name = func(role pair.Role) string { return role.Other().String() }
		to[0], to[1] = to[1], to[0]
		swap = strings.NewReplacer(a.at[0]["@0"], a.at[1]["@0"], a.at[1]["@0"], a.at[0]["@0"])
	}
	var lines []string
	for u, writes := range to {
		for _, w := range writes {
			lines = append(lines, fmt.Sprintf("%d %s", u, swap.Replace(w.String())))
		}
	}
	for _, c := range r.Conflicts {
		lines = append(lines, swap.Replace(fmt.Sprintf("conflict %s %q %s %s", c.Class, c.Path, c.Field, name(c.Winner))))
	}
	for _, h := range r.Held {
		lines = append(lines, swap.Replace(fmt.Sprintf("held %s %q %s %s %s", h.Class, h.Path, h.Field, name(h.From), h.Reason)))
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// TestMergeIsIdempotent writes what a merge says and merges again: nothing more is
// to be written, and the same waits.
func TestMergeIsIdempotent(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := drawWorld(rt)
		r := Merge(w.base, w.units[0], w.units[1], w.policy)
		after := [2]*Snapshot{apply(rt, w.units[0], r.ToFirst), apply(rt, w.units[1], r.ToSecond)}
		again := Merge(r.Base, after[0], after[1], w.policy)
		if len(again.ToFirst)+len(again.ToSecond) > 0 {
			rt.Fatalf("the second time it writes\n%s%s after\n%s%s", story(again.ToFirst), story(again.ToSecond), story(r.ToFirst), story(r.ToSecond))
		}
		if diff := cmp.Diff(open(r), open(again)); diff != "" {
			rt.Fatalf("what waits is something else (-first time +second time):\n%s", diff)
		}
		for c := range r.Base.Classes {
			if diff := cmp.Diff(text(r.Base.Classes[c]), text(again.Base.Classes[c])); diff != "" {
				rt.Fatalf("the common %s changed:\n%s", c, diff)
			}
		}
	})
}

// open is what waits for somebody, by the things that it is about.
func open(r Result) []string {
	var all []string
	for _, c := range r.Conflicts {
		if c.Winner == pair.RoleUnknown {
			all = append(all, c.ID)
		}
	}
	for _, h := range r.Held {
		all = append(all, h.ID)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// TestMergeIsComplete compares with the model: after the writes, each fact is on
// both units what a merge of three flat lists says, or it is reported. A value that
// is on no unit any more is in a reported conflict.
func TestMergeIsComplete(t *testing.T) {
	a := addressesOf(interfacesOf[0], interfacesOf[1])
	rapid.Check(t, func(rt *rapid.T) {
		w := drawWorld(rt)
		r := Merge(w.base, w.units[0], w.units[1], w.policy)
		after := [2]*Snapshot{apply(rt, w.units[0], r.ToFirst), apply(rt, w.units[1], r.ToSecond)}
		for _, c := range worldClasses {
			base := facts{}
			factsOf(w.base.Classes[c], "", base)
			was := [2]facts{neutralFacts(a, 0, w.units[0], c), neutralFacts(a, 1, w.units[1], c)}
			is := [2]facts{neutralFacts(a, 0, after[0], c), neutralFacts(a, 1, after[1], c)}
			if slices.Contains(r.Unread, c) {
				if !maps.Equal(was[0], is[0]) || !maps.Equal(was[1], is[1]) {
					rt.Fatalf("%s was not read on both, and written", c)
				}
				continue
			}
			all := maps.Clone(base)
			for _, f := range []facts{was[0], was[1], is[0], is[1]} {
				maps.Copy(all, f)
			}
			for fact := range all {
				checkFact(rt, r, c, fact, base[fact], [2]string{was[0][fact], was[1][fact]}, [2]string{is[0][fact], is[1][fact]})
			}
		}
		for _, c := range r.Conflicts {
			if equalSights(c.First, c.Base) || equalSights(c.Second, c.Base) || equalSights(c.First, c.Second) {
				rt.Fatalf("a conflict that is none: %+v", c)
			}
		}
	})
}

func equalSights(a, b Sight) bool {
	if a.Object == nil || b.Object == nil {
		return a.Object == b.Object && a.Value == b.Value
	}
	return same(a.Object, b.Object)
}

func checkFact(rt *rapid.T, r Result, c Class, fact, base string, was, is [2]string) {
	var held, settled bool
	for _, h := range r.Held {
		held = held || h.topClass() == c && reported(h.Difference, fact)
	}
	for _, conflict := range r.Conflicts {
		if conflict.topClass() == c && reported(conflict.Difference, fact) {
			held = held || conflict.Winner == pair.RoleUnknown
			settled = settled || conflict.Winner != pair.RoleUnknown
		}
	}
	if masked(base) || masked(was[0]) || masked(was[1]) { // which is no value, and nothing to compare
		if is != was && !masked(base) {
			rt.Fatalf("%q was %q, and became %q", fact, was, is)
		}
		return
	}
	switch {
	case held: // which of them waits, and that nothing was done, is the next test's
		return
	case is[0] != is[1]:
		rt.Fatalf("%q is %q and %q, and nothing says so", fact, is[0], is[1])
	case settled:
		if is[0] != was[0] && is[0] != was[1] {
			rt.Fatalf("%q was %q and %q, and became %q", fact, was[0], was[1], is[0])
		}
		return
	}
	want := was[0]
	if was[0] == base {
		want = was[1]
	} else if was[1] != base && was[1] != was[0] {
		rt.Fatalf("%q was %q, both changed it to %q and %q, and no conflict says so", fact, base, was[0], was[1])
	}
	if is[0] != want {
		rt.Fatalf("%q was %q in common, %q and %q, and became %q, want %q", fact, base, was[0], was[1], is[0], want)
	}
}

func (d Difference) topClass() Class {
	c := d.Class
	for c.spec().within != ClassUnknown {
		c = c.spec().within
	}
	return c
}

// TestWhatWaitsIsNotWritten: no write touches what is reported as waiting.
func TestWhatWaitsIsNotWritten(t *testing.T) {
	a := addressesOf(interfacesOf[0], interfacesOf[1])
	rapid.Check(t, func(rt *rapid.T) {
		w := drawWorld(rt)
		r := Merge(w.base, w.units[0], w.units[1], w.policy)
		for u, writes := range [2][]Write{r.ToFirst, r.ToSecond} {
			for _, write := range writes {
				var path []string
				for _, id := range write.Path() {
					path = append(path, replaced(id, a.of[u]))
				}
				for _, h := range r.Held {
					fields := write.Fields()
					touched := slices.ContainsFunc(fields, func(f Field) bool { return f.Name == h.Field })
					if h.Class == write.Of() && slices.Equal(h.Path, path) && (h.Field == "" || touched) {
						rt.Fatalf("%s, and it is held because %s", write, h.Reason)
					}
				}
			}
		}
	})
}

// TestExcludedSettingsAreNeverWritten: of all that random histories bring, what is
// not synchronised is in no write (DESIGN promise 6), nor is a masked value.
func TestExcludedSettingsAreNeverWritten(t *testing.T) {
	written := 0
	rapid.Check(t, func(rt *rapid.T) {
		w := drawWorld(rt)
		r := Merge(w.base, w.units[0], w.units[1], w.policy)
		for _, write := range append(r.ToFirst, r.ToSecond...) {
			written++
			checkWrite(rt, write)
		}
	})
	if written == 0 {
		t.Error("nothing was written at all")
	}
}

func checkWrite(t fataler, w Write) {
	if w.Class().Place() != Synchronised || w.Of().Place() != Synchronised {
		t.Fatalf("%s: %s is %s", w, w.Class(), w.Class().Place())
	}
	for _, f := range w.Fields() {
		if p := w.Of().fieldPlace(f.Name); p != Synchronised {
			t.Fatalf("%s: %s is %s", w, f.Name, p)
		}
		if masked(f.Value) {
			t.Fatalf("%s: %s is masked", w, f.Name)
		}
	}
	for _, id := range w.Path() {
		if strings.HasPrefix(id, own) {
			t.Fatalf("%s: a stand-in is no address", w)
		}
	}
}
