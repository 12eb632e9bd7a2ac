package manifest

import (
	"fmt"
	"reflect"
	"strings"
)

// Reference returns the tables of docs/pair-file.md.
func Reference() string { return tables(pairSections()) }

// TopologyReference returns the tables of docs/geo.md.
func TopologyReference() string { return tables(sections(topologyExemplar())) }

func tables(sections []*section) string {
	var b strings.Builder
	for _, s := range sections {
		s.write(&b)
	}
	return b.String()
}

// section describes one kind of mapping and all places where it may stand.
type section struct {
	typ      reflect.Type
	defaults reflect.Value
	paths    []string
}

// pairSections returns those of a pair file.
func pairSections() []*section { return sections(document{Definition: exemplar().WithDefaults()}) }

// sections returns every kind of mapping in the order of the file, given a
// document that has one of everything.
func sections(exemplar any) []*section {
	var out []*section
	v := reflect.ValueOf(exemplar)
	collect(&out, "", v.Type(), v)
	return out
}

func collect(sections *[]*section, path string, t reflect.Type, defaults reflect.Value) {
	for _, s := range *sections {
		if s.typ == t {
			s.paths = append(s.paths, path)
			return
		}
	}
	*sections = append(*sections, &section{t, defaults, []string{path}})
	for _, k := range keys(t) {
		value := defaults.FieldByIndex(k.index)
		switch {
		case isMapping(k.typ):
			collect(sections, join(path, k.name), k.typ, value)
		case k.typ.Kind() == reflect.Slice && isMapping(k.typ.Elem()):
			collect(sections, join(path, k.name)+"[]", k.typ.Elem(), value.Index(0))
		}
	}
}

func (s *section) write(b *strings.Builder) {
	title := "The document"
	if s.paths[0] != "" {
		title = "`" + strings.Join(s.paths, "`, `") + "`"
	}
	fmt.Fprintf(b, "### %s\n\n| Key | Holds | When left out | Meaning |\n| --- | --- | --- | --- |\n", title)
	for _, k := range keys(s.typ) {
		fmt.Fprintf(b, "| %s | %s | %s | %s |\n", k.words(), k.holds(), k.leftOut(s.defaults.FieldByIndex(k.index)), k.description)
	}
	b.WriteString("\n")
}

func (k key) words() string {
	if guide := guideWord(k.name); guide != "" {
		return "`" + k.name + "` (`" + guide + "`)"
	}
	return "`" + k.name + "`"
}

func (k key) holds() string {
	switch {
	case isMapping(k.typ):
		return "a mapping"
	case choices(k.typ) != nil:
		return "`" + strings.Join(choices(k.typ), "`, `") + "`"
	case k.typ.Kind() == reflect.Slice && !isMapping(k.typ.Elem()):
		return k.expects() + ": " + expects(k.typ.Elem(), nil)
	case k.limits["pattern"] != "":
		return strings.Replace(k.expects(), k.limits["pattern"], "`"+k.limits["pattern"]+"`", 1)
	case k.limits["enum"] != "":
		return "`" + k.limits["enum"] + "`"
	default:
		return k.expects()
	}
}

func (k key) leftOut(value reflect.Value) string {
	if k.required {
		return "refused"
	}
	scalar := !isMapping(k.typ) && k.typ.Kind() != reflect.Slice
	if text, ok := k.unsetMeans(value); ok && scalar {
		return "`" + text + "`"
	}
	if k.typ.Kind() == reflect.Bool {
		return "`false`"
	}
	return ""
}

// Difference is a default that the tags and pair.Definition.WithDefaults do
// not agree about.
type Difference struct{ Key, Tag, Program string }

// Defaults returns the keys whose default is not the one in their tag, and how
// many keys have a default in their tag.
func Defaults() (differences []Difference, tagged int) {
	for _, s := range pairSections() {
		for _, k := range keys(s.typ) {
			tag, ok := k.limits["default"]
			if !ok {
				continue
			}
			tagged++
			text, _ := k.unsetMeans(s.defaults.FieldByIndex(k.index))
			if text != tag {
				differences = append(differences, Difference{join(s.paths[0], k.name), tag, text})
			}
		}
	}
	return differences, tagged
}

// Undecided returns the types of a pair file that have a closed set of words
// but no choices.
func Undecided() (undecided []reflect.Type, decided int) {
	for _, s := range append(pairSections(), sections(topologyExemplar())...) {
		for _, k := range keys(s.typ) {
			switch {
			case k.typ.Kind() != reflect.Uint8:
			case choices(k.typ) == nil:
				undecided = append(undecided, k.typ)
			default:
				decided++
			}
		}
	}
	return undecided, decided
}
