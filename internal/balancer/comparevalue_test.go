package balancer

import (
	"errors"
	"testing"

	"tandem/internal/pair"
)

func TestWhichValuesAreEqual(t *testing.T) {
	for _, row := range []struct {
		name  string
		path  string
		a, b  string
		equal bool
	}{
		{"ids are compared without case", "x", `"/subscriptions/1/resourceGroups/RG"`, `"/subscriptions/1/resourcegroups/rg"`, true},
		{"enumerations are compared without case", "protocol", `"TCP"`, `"Tcp"`, true},
		{"other letters are other texts", "protocol", `"Tcp"`, `"Udp"`, false},
		{"letters beyond ASCII have case too", "x", `"Ä"`, `"ä"`, true},
		{"an escape means its letter", "x", `"\u0054cp"`, `"tcp"`, true},
		{"the path of a request has case", "probes[name=check].requestPath", `"/Health"`, `"/health"`, false},
		{"whatever its own name's case", "probes[name=check].RequestPath", `"/Health"`, `"/health"`, false},
		{"a description has case", "description", `"A"`, `"a"`, false},
		{"a tag has case", "tags.owner", `"A"`, `"a"`, false},
		{"numbers are compared as numbers", "port", `8444`, `8444.0`, true},
		{"with exponents", "port", `1e3`, `1000`, true},
		{"with negative exponents", "port", `1`, `1000E-003`, true},
		{"with zeros in front", "port", `0.05`, `5e-2`, true},
		{"with either sign of zero", "port", `-0`, `0e7`, true},
		{"a sign makes a difference", "port", `-5`, `5`, false},
		{"digits make a difference beyond the precision of floats", "port", `9007199254740993`, `9007199254740992`, false},
		{"an exponent that nobody writes is no reason to compute", "port", `1e99999999999999999999`, `1e99999999999999999999`, true},
		{"nor to be equal to another", "port", `1e99999999999999999999`, `1e99999999999999999998`, false},
		{"a number is no text", "port", `8444`, `"8444"`, false},
		{"a truth is no text", "on", `true`, `"true"`, false},
		{"true is not false", "on", `true`, `false`, false},
		{"lists are compared as sets", "x", `["b", "A"]`, `["a","B"]`, true},
		{"in which nothing counts twice", "x", `["a","A","a"]`, `["a"]`, true},
		{"an element more is a difference", "x", `["a","b"]`, `["a"]`, false},
		{"no elements are not none of a list", "x", `[]`, `""`, false},
		{"numbers in lists are numbers", "x", `[1, 2.0]`, `[2,1e0]`, true},
		{"paths in lists keep their case", "requestPath", `["A"]`, `["a"]`, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			p := mustPath(t, row.path)
			for _, values := range [][2]string{{row.a, row.b}, {row.b, row.a}} {
				if got := equalIn(t, p, values[0], values[1]); got != row.equal {
					t.Errorf("%s and %s are equal: %t, want %t", values[0], values[1], got, row.equal)
				}
			}
		})
	}
}

// equalIn says whether Compare finds no difference.
func equalIn(t *testing.T, path Path, stands, want string) bool {
	t.Helper()
	before := build(t, path, stands)
	plan, err := Compare(Wanted{Resources: []Resource{{ID: "/r", Fields: []Field{{Path: path, Want: raw(want)}}}}}, World{"/r": before})
	if err != nil {
		t.Fatal(err)
	}
	return plan.Empty()
}

// build returns a document that shows a value at a path.
func build(t *testing.T, path Path, value string) []byte {
	t.Helper()
	var ps places
	p, err := ps.at(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.want(wish{set: raw(value)}); err != nil {
		t.Fatal(err)
	}
	return ps.root.build(nil)
}

func TestWhatAFieldMayWant(t *testing.T) {
	for _, row := range []struct {
		name string
		want string
		ok   bool
	}{
		{"a scalar", ` "a" `, true},
		{"a list of scalars", `[1, "a", true]`, true},
		{"no null", `null`, false},
		{"no null in a list", `[null]`, false},
		{"no object", `{}`, false},
		{"no list of lists", `[[]]`, false},
		{"no list of objects", `[{}]`, false},
		{"nothing that is not JSON", `a`, false},
		{"nothing at all that is not JSON", ``, false},
		{"nothing that is not UTF-8", "\"\xff\"", false},
	} {
		t.Run(row.name, func(t *testing.T) {
			for _, f := range []Field{
				{Path: Path{{Name: "a"}}, Want: raw(row.want)},
				{Path: Path{{Name: "a"}}, Want: raw("1"), Absent: raw(row.want)},
			} {
				_, err := Compare(Wanted{Resources: []Resource{{ID: "/r", Fields: []Field{f}}}}, World{"/r": raw(`{}`)})
				if ok := err == nil; ok != row.ok {
					t.Errorf("%s: %v", row.want, err)
				}
				if err != nil && !errors.Is(err, pair.ErrInvalid) && !errors.Is(err, pair.ErrUnreadable) {
					t.Errorf("%v is of no kind", err)
				}
			}
		})
	}
}
