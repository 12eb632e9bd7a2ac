package manifest_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"

	"tandem/internal/manifest"
	"tandem/internal/pair"
)

// FuzzMistakesAreFewShortAndOnALineEach reads any file: what is wrong with it
// is reported in as many lines as there are mistakes, of which there is a
// limit, and none is longer than a terminal can bear.
func FuzzMistakesAreFewShortAndOnALineEach(f *testing.F) {
	f.Add(valid)
	f.Add(strings.ReplaceAll(valid, "443", `"4\n43"`))
	f.Add("name: \"a\\u2028\\u001b[31m\"\nkind: [" + strings.Repeat("x, ", 200) + "]\n" + strings.Repeat("long", 100) + ": 1")
	f.Add("kind: Pair\n---\nkind: GeoTopology\n--- \n!!binary 7\n...\n%TAG")
	f.Add("{\"\\r\\n\": {\"\\u0000\": 1}}")
	f.Fuzz(func(t *testing.T, content string) {
		_, err := manifest.Read("pair.yaml", strings.NewReader(content))
		if err == nil {
			return
		}
		problems, ok := errors.AsType[manifest.Problems](err)
		if !ok || !errors.Is(err, pair.ErrInvalid) {
			t.Fatalf("an error that is no list of problems: %v", err)
		}
		documents := 1 + strings.Count(content, "---") + strings.Count(content, "...")
		if len(problems) > 101*documents {
			t.Errorf("%d mistakes in %d documents", len(problems), documents)
		}
		for _, p := range problems {
			if text := p.Error(); len(text) > 2000 || strings.ContainsFunc(text, unicode.IsControl) {
				t.Errorf("not fit for a terminal, %d bytes: %q", len(text), text)
			}
		}
	})
}

// FuzzAnUnknownKeyIsNamedAndItsValueIsNot adds any key to the example, at any
// depth. Where nobody knows it, the file is refused, and what the key holds is
// not repeated: it may be a password that has no place there.
func FuzzAnUnknownKeyIsNamedAndItsValueIsNot(f *testing.F) {
	const password = "correct horse battery"
	f.Add("password", byte(0))
	f.Add("apikey", byte(1))
	f.Add("secretz", byte(2))
	f.Add("sha256", byte(3))
	f.Add("mode", byte(0))
	f.Add(password[:7]+"\n"+password[7:], byte(2))
	places := []string{"name: edge", "vm: lm1", "secret: lm1-api", "name: ilb"}
	example, err := os.ReadFile(filepath.Join("..", "..", "examples", "edge-weu.yaml"))
	if err != nil {
		f.Fatal(err)
	}
	if _, err := manifest.Read("example", strings.NewReader(string(example))); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, key string, place byte) {
		if strings.Contains(key, password) {
			return // a key is no secret, so it may be shown
		}
		name, err := json.Marshal(key)
		if err != nil {
			t.Fatal(err)
		}
		known := places[int(place)%len(places)]
		entry := string(name) + `: "` + password + `"`
		content := strings.Replace(valid, known, known+", "+entry, 1)
		if known == places[0] || known == places[3] { // in a mapping of lines
			indent := strings.Repeat(" ", 4*strings.Count(known, "ilb"))
			content = strings.Replace(valid, known, known+"\n"+indent+entry, 1)
		}
		_, err = manifest.Read("pair.yaml", strings.NewReader(content))
		if err == nil {
			t.Fatalf("taken:\n%s", content)
		}
		if text := err.Error(); strings.Contains(text, "unknown key") && strings.Contains(text, password) {
			t.Errorf("repeats what an unknown key holds: %s", text)
		}
	})
}
