package loadmaster

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// attribute is one that the objects of a class have.
type attribute struct {
	name    string   // as answers spell it
	inputs  []string // as setters spell it, in lower case
	initial string   // what it is while nobody has set it
	form    string
	low     int // of a number; high is 0 for one without limits
	high    int
	oneOf   []string
	refers  string // the class of the objects that the value names, with blanks between
	shown   bool   // in an answer without a value too
}

// The forms of values: in the XML and in the JSON notation (loadmaster.md 1.5, 1.6).
const (
	formText    = "text"
	formFlag    = "flag"    // Y and N, and a boolean
	formSwitch  = "switch"  // yes and no, and a boolean
	formNumber  = "number"  // and a number
	formDigits  = "digits"  // and a string
	formSecret  = "secret"  // eight asterisks in both
	formSeveral = "several" // elements Opt, and an array
	formUnshown = "unshown" // in no answer
	formMade    = "made"    // by serviceField, and in no setter
)

// attributesOf reads attributes, one to a line: its name, its form, and what else
// there is to say of it. It is for the tables of this package, and panics where one
// is wrong.
func attributesOf(table string) []attribute {
	var all []attribute
	for line := range strings.Lines(table) {
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		a := attribute{name: words[0], inputs: []string{strings.ToLower(words[0])}, form: words[1]}
		for _, word := range words[2:] {
			name, value, _ := strings.Cut(word, "=")
			a.say(name, value)
		}
		all = append(all, a)
	}
	return all
}

func (a *attribute) say(name, value string) {
	switch name {
	case "is":
		a.initial = value
	case "in":
		a.inputs = strings.Split(value, "|")
	case "range":
		low, high, _ := strings.Cut(value, "..")
		a.low, _ = strconv.Atoi(low)
		a.high, _ = strconv.Atoi(high)
	case "one":
		a.oneOf = strings.Split(value, "|")
	case "refers":
		a.refers = value
	case "shown":
		a.shown = true
	default:
		panic(fmt.Sprintf("attribute %s: %q is nothing that can be said of it", a.name, name))
	}
}

// accept makes a value what is stored, and tells whether it is one that the unit
// takes.
func (a *attribute) accept(value string) (string, bool) {
	switch a.form {
	case formFlag, formSwitch:
		on, known := truth(value)
		if a.form == formFlag {
			return yn(on), known
		}
		return yesNo(on), known
	case formNumber, formDigits:
		n, err := strconv.Atoi(value)
		if err != nil || a.high > 0 && (n < a.low || n > a.high) {
			return "", value == ""
		}
		return strconv.Itoa(n), true
	}
	if a.oneOf != nil && value != "" {
		i := slices.IndexFunc(a.oneOf, func(word string) bool { return strings.EqualFold(word, value) })
		if i < 0 {
			return "", false
		}
		return a.oneOf[i], true
	}
	return value, a.high == 0 || len(value) <= a.high
}

// truth reads a boolean, which setters take in many words (loadmaster.md 1.5, 1.6).
func truth(value string) (on, known bool) {
	switch strings.ToLower(value) {
	case "1", "y", "yes", "true":
		return true, true
	case "0", "n", "no", "false", "":
		return false, true
	}
	return false, false
}

// field is a value in an answer.
func (a *attribute) field(value string) field {
	switch a.form {
	case formFlag:
		return field{name: a.name, leaf: &leaf{value, value == "Y"}}
	case formSwitch, formNumber:
		return typed(a.name, value)
	case formSecret:
		if value != "" {
			value = mask
		}
	case formSeveral:
		return field{name: a.name, list: &list{"Opt", strings.Fields(strings.NewReplacer(";", " ", ",", " ").Replace(value))}}
	}
	return text(a.name, value)
}

// value is what is stored of an attribute, or what it is without.
func (a *attribute) value(stored map[string]string) string {
	if value, set := stored[strings.ToLower(a.name)]; set {
		return value
	}
	return a.initial
}

// fieldsOf are the attributes in an answer, with those that are made from made.
func fieldsOf(all []attribute, stored map[string]string, made func(name string) (field, bool)) []field {
	var fields []field
	for i := range all {
		a := &all[i]
		switch value := a.value(stored); {
		case a.form == formUnshown:
		case a.form == formMade:
			if f, there := made(a.name); there {
				fields = append(fields, f)
			}
		case value != "" || a.shown:
			fields = append(fields, a.field(value))
		}
	}
	return fields
}

// take stores the attributes that are among the arguments, or none of them where one
// is impossible, which it names. u.mu is held.
func (u *Unit) take(all []attribute, args arguments, stored map[string]string) (bad string) {
	taken := map[string]string{}
	for i := range all {
		a := &all[i]
		for _, input := range a.inputs {
			value, given := args[input]
			if !given || a.form == formMade {
				continue
			}
			value, ok := a.accept(value)
			if !ok || !u.hasAll(a.refers, value) {
				return a.name
			}
			taken[strings.ToLower(a.name)] = value
		}
	}
	maps.Copy(stored, taken)
	return ""
}

// hasAll tells whether the unit has the objects of a class that a value names. u.mu
// is held.
func (u *Unit) hasAll(class, names string) bool {
	if class == "" {
		return true
	}
	for name := range strings.FieldsSeq(names) {
		if u.find(class, name) == nil {
			return false
		}
	}
	return true
}
