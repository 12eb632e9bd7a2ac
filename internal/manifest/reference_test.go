package manifest_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tandem/internal/manifest"
)

func TestReferencesAreFresh(t *testing.T) {
	for name, of := range map[string]struct{ from, tables string }{
		"pair-file.md": {"internal/pair", manifest.Reference()},
		"geo.md":       {"internal/geo", manifest.TopologyReference()},
	} {
		generated := "<!-- generated from " + of.from + " by `go test ./internal/manifest -update` -->\n"
		const endGenerated = "<!-- end of generated part -->"
		path := filepath.Join("..", "..", "docs", name)
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		before, rest, ok := strings.Cut(string(content), generated)
		_, after, ok2 := strings.Cut(rest, endGenerated)
		if !ok || !ok2 {
			t.Fatalf("%s has lost its markers", path)
		}
		compareFile(t, path, []byte(before+generated+"\n"+of.tables+endGenerated+after))
	}
}

func TestReferenceShowsRealMessages(t *testing.T) {
	example, err := os.ReadFile(filepath.Join("..", "..", "examples", "edge-weu.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = manifest.Read("edge-weu.yaml", strings.NewReader(strings.NewReplacer(
		"name: check, frontend: vip1", "name: check, frontend: vpi", "confirmAfter: 3", "confirmAfter: 1").Replace(string(example))))
	problems, _ := errors.AsType[manifest.Problems](err)
	var shown strings.Builder
	if _, err := problems.WriteTo(&shown); err != nil {
		t.Fatal(err)
	}
	reference, err := os.ReadFile(filepath.Join("..", "..", "docs", "pair-file.md"))
	if err != nil {
		t.Fatal(err)
	}
	if shown.Len() == 0 || !strings.Contains(string(reference), shown.String()) {
		t.Errorf("docs/pair-file.md does not show what is printed:\n%s", shown.String())
	}
}

func TestTagsTellTheDefaultsOfTheProgram(t *testing.T) {
	differences, tagged := manifest.Defaults()
	for _, d := range differences {
		t.Errorf("key %s: its tag says %q, WithDefaults gives %q", d.Key, d.Tag, d.Program)
	}
	if tagged == 0 {
		t.Error("no key has a default in its tag, want some")
	}
}

func TestEveryClosedSetHasItsWords(t *testing.T) {
	undecided, decided := manifest.Undecided()
	if len(undecided) > 0 || decided == 0 {
		t.Errorf("no words for %v, words for %d keys", undecided, decided)
	}
}
