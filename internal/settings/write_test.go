package settings

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestNoWriteCanBeMadeOfWhatIsExcluded asks for every class and field that is not
// synchronised.
func TestNoWriteCanBeMadeOfWhatIsExcluded(t *testing.T) {
	for c := range classCount {
		s := c.spec()
		fields := []Field{{"anything", "*****"}}
		for _, name := range append(slices.Clone(s.state), s.secret...) {
			fields = append(fields, Field{name, "x"})
		}
		if c == Parameters {
			for _, g := range parameterGroups {
				for name := range strings.FieldsSeq(strings.ToLower(g.names)) {
					if g.place != Synchronised {
						fields = append(fields, Field{strings.TrimSuffix(name, "*"), "x"})
					}
				}
			}
			fields = append(fields, Field{"hostname2", "x"})
		}
		for _, verb := range []Verb{Add, Modify, Delete} {
			for _, w := range newWrites(verb, c, []string{"x"}, fields, nil) {
				checkWrite(t, w)
				if len(w.Fields()) > 0 {
					t.Errorf("%s", w)
				}
			}
		}
	}
}

// TestOrder: what is referred to comes first, and goes last.
func TestOrder(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var writes []Write
		for range rapid.IntRange(0, 12).Draw(rt, "writes") {
			c := rapid.SampledFrom([]Class{Parameters, ContentRules, VirtualServices, RealServers, RuleBindings, GEOClusters, GEOMaps}).Draw(rt, "class")
			writes = append(writes, Write{class: c, of: c, verb: rapid.SampledFrom([]Verb{Add, Modify, Delete}).Draw(rt, "verb"), path: []string{rapid.SampledFrom([]string{"a", "b"}).Draw(rt, "id")}})
		}
		Order(writes)
		for i := range writes {
			for _, later := range writes[i+1:] {
				w := writes[i]
				switch {
				case w.verb == Delete && later.verb != Delete:
					rt.Fatalf("%s before %s", w, later)
				case w.verb == Delete && w.class < later.class:
					rt.Fatalf("%s before %s", w, later)
				case later.verb != Delete && w.class > later.class:
					rt.Fatalf("%s before %s", w, later)
				}
			}
		}
	})
}

func TestInputs(t *testing.T) {
	tests := []struct {
		rule string
		w    Write
		want []Field
	}{
		{
			"a rule's fields have other names to write",
			Write{of: ContentRules, fields: []Field{{"caseindependent", "Y"}, {"headervalue", "x"}, {"pattern", "p"}}},
			[]Field{{"nocase", "1"}, {"replacement", "x"}, {"pattern", "p"}},
		},
		{"a service's rewriting has words", Write{of: VirtualServices, fields: []Field{{"sslrewrite", "2"}, {"sslrewrite", ""}}}, []Field{{"sslrewrite", "https"}, {"sslrewrite", ""}}},
		{"a time to fail is read in seconds and written in minutes", Write{of: GEONames, fields: []Field{{"failtime", "180"}, {"failtime", ""}}}, []Field{{"failtime", "3"}, {"failtime", ""}}},
		{"any port of a mapping is a 2", Write{of: GEOMaps, fields: []Field{{"mappedport", "*"}, {"mappedport", "80"}}}, []Field{{"mapport", "2"}, {"mapport", "80"}}},
	}
	for _, tt := range tests {
		if got := tt.w.Inputs(); !slices.Equal(got, tt.want) {
			t.Errorf("%s: got %v, want %v", tt.rule, got, tt.want)
		}
	}
}
