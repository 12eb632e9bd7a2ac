package manifest

import (
	"fmt"
	"reflect"
	"strconv"

	"tandem/internal/pair"
)

// Validate checks a definition that came from no file, such as the body of a
// request, by the same rules as Read. The error is nil or Problems, which then
// have no file and no line.
func Validate(d pair.Definition) error {
	problems := Problems(checkTags(d, func(_ string, v reflect.Value) bool { return !v.IsZero() }))
	problems = append(problems, checkRules(d.WithDefaults())...)
	if len(problems) == 0 {
		return nil
	}
	return problems
}

// checkTags checks that what is required was given and that what was given is
// within the limits of its tags.
func checkTags(doc any, given func(path string, v reflect.Value) bool) []Problem {
	c := tagChecker{given: given}
	c.mapping(reflect.ValueOf(doc), "")
	return c.problems
}

type tagChecker struct {
	given    func(path string, v reflect.Value) bool
	problems []Problem
}

func (c *tagChecker) refuse(path, value, expected string) {
	c.problems = append(c.problems, Problem{Field: path, Value: value, Expected: expected})
}

// full reports whether there are more problems than anybody will be shown.
func (c *tagChecker) full() bool { return len(c.problems) > mostProblems }

func (c *tagChecker) mapping(v reflect.Value, path string) {
	for _, k := range keys(v.Type()) {
		field := v.FieldByIndex(k.index)
		at := join(path, k.name)
		switch {
		case c.full():
			return
		case c.given(at, field):
			c.field(k, field, at)
		case k.required:
			c.refuse(at, "missing", k.expectsSomething())
		}
	}
}

func (c *tagChecker) field(k key, v reflect.Value, path string) {
	if !k.allows(v) {
		c.refuse(path, show(v, path), k.expects())
	}
	if isMapping(v.Type()) {
		c.mapping(v, path)
	}
	if v.Kind() == reflect.Slice && isMapping(v.Type().Elem()) {
		for i := range v.Len() {
			c.mapping(v.Index(i), path+"["+strconv.Itoa(i)+"]")
		}
	}
}

// expectsSomething says what is missing, in the words of the reference.
func (k key) expectsSomething() string {
	return k.expects() + " (" + k.description + ")"
}

// show returns a value for a message.
func show(v reflect.Value, path string) string {
	if hidden(path) {
		return "[redacted]"
	}
	switch v := v.Interface().(type) {
	case string:
		return strconv.Quote(clip(v))
	case int:
		return strconv.Itoa(v)
	case bool:
		return strconv.FormatBool(v)
	case fmt.Stringer: // addresses, networks, durations and the closed sets
		return strconv.Quote(clip(v.String()))
	}
	switch {
	case v.Kind() != reflect.Slice:
		return "a mapping"
	case v.IsNil():
		return "missing"
	case v.Len() == 0:
		return "an empty list"
	default:
		return "a list of " + strconv.Itoa(v.Len())
	}
}
