package config

import (
	"fmt"
	"reflect"
	"strings"
)

// Names returns the names of all settings that are read.
func Names() []string {
	var out []string
	for _, s := range all(reflect.TypeFor[settings]()) {
		out = append(out, s.name)
	}
	return out
}

// Reference returns the tables of docs/configuration.md.
func Reference() string {
	var b strings.Builder
	for _, part := range []struct {
		title string
		typ   reflect.Type
	}{
		{"Settings of the function app", reflect.TypeFor[Config]()},
		{"The host's own storage", reflect.TypeFor[hostStorage]()},
		{"Settings of the operator's commands", reflect.TypeFor[Operator]()},
	} {
		fmt.Fprintf(&b, "## %s\n\n| Setting | Holds | Default | Meaning |\n| --- | --- | --- | --- |\n", part.title)
		for _, s := range all(part.typ) {
			byDefault := ""
			if s.byDefault != "" {
				byDefault = "`" + s.byDefault + "`"
			}
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", s.name, s.expects(), byDefault, s.meaning)
		}
		b.WriteString("\n")
	}
	return b.String()
}
