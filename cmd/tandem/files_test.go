package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var (
	examplePair   = filepath.Join("..", "..", "examples", "edge-weu.yaml")
	exampleSchema = filepath.Join("..", "..", "docs", "schema", "pair.schema.json")
)

// example is the text of the example pair file.
func example(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile(examplePair)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// wrong is the example with two mistakes on different lines.
func wrong(t *testing.T) string {
	t.Helper()
	return strings.NewReplacer("mode: observe", "mode: sometimes", "confirmAfter: 3", "confirmAfter: 1").Replace(example(t))
}

func TestAValidPairFileIsSaidToBeValid(t *testing.T) {
	want := answer{exitDone, "pair edge-weu is valid\n", ""}
	if got := (command{}).run(t, "validate", "-f", examplePair); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got := (command{in: example(t)}).run(t, "validate", "-f", "-"); got != want {
		t.Errorf("from standard input: got %+v, want %+v", got, want)
	}
	got := command{}.run(t, "validate", "-f", examplePair, "-o", "json")
	if want := "{\n  \"valid\": true,\n  \"pairs\": [\n    \"edge-weu\"\n  ]\n}\n"; got != (answer{exitDone, want, ""}) {
		t.Errorf("got %+v, want %q", got, want)
	}
}

func TestAllMistakesOfAPairFileAreToldTogether(t *testing.T) {
	name := file(t, "wrong.yaml", wrong(t))
	got := command{}.run(t, "validate", "-f", name)
	if got.code != exitBadInput || got.out != "" {
		t.Errorf("exit code %d, printed %q", got.code, got.out)
	}
	has(t, "the error", got.err, name+":6: field \"mode\": \"sometimes\": expected", "failover.confirmAfter", "2 mistakes")
}

func TestMistakesInJSONAreForPrograms(t *testing.T) {
	got := command{in: wrong(t)}.run(t, "validate", "-f", "-", "-o", "json")
	if got.code != exitBadInput || got.err != "" {
		t.Errorf("exit code %d, standard error %q", got.code, got.err)
	}
	var told struct {
		Valid    bool
		Pairs    []string
		Mistakes []struct {
			File, Field, Value, Expected string
			Line                         int
		}
	}
	if err := json.Unmarshal([]byte(got.out), &told); err != nil {
		t.Fatalf("%v in:\n%s", err, got.out)
	}
	if told.Valid || len(told.Pairs) > 0 || len(told.Mistakes) != 2 {
		t.Fatalf("got %+v, expected two mistakes", told)
	}
	if m := told.Mistakes[0]; m.File == "" || m.Line != 6 || m.Field != "mode" || m.Expected == "" {
		t.Errorf("got %+v, expected file, line, field and what was expected", m)
	}
}

func TestAFileThatCannotBeReadIsBadInputInBothForms(t *testing.T) {
	for _, form := range []string{"text", "json"} {
		got := command{}.run(t, "validate", "-f", filepath.Join(t.TempDir(), "missing.yaml"), "-o", form)
		if got.code != exitBadInput || !strings.Contains(got.err, "missing.yaml") {
			t.Errorf("%s: got %+v", form, got)
		}
		if form == "json" && got.out != "{\n  \"valid\": false\n}\n" {
			t.Errorf("printed %q", got.out)
		}
	}
}

func TestTheMistakesOfEveryFileAreTold(t *testing.T) {
	one, two := file(t, "one.yaml", wrong(t)), file(t, "two.yaml", "kind: Pear\n")
	got := command{}.run(t, "validate", "-f", one, "-f", two, "-f", "missing.yaml")
	if got.code != exitBadInput {
		t.Errorf("exit code %d", got.code)
	}
	has(t, "the error", got.err, "tandem: read pair file: open missing.yaml", "\n"+one+":", "\n"+two+":")

	got = command{}.run(t, "validate", "-f", one, "-f", two, "-f", "missing.yaml", "-o", "json")
	has(t, "the answer", got.out, one, two)
	if want := "tandem: read pair file: open missing.yaml: no such file or directory\n"; got.code != exitBadInput || got.err != want {
		t.Errorf("exit code %d, standard error %q, want %q", got.code, got.err, want)
	}
}

func TestTwoFilesCannotDefineOnePair(t *testing.T) {
	got := command{}.run(t, "validate", "-f", examplePair, "-f", file(t, "again.yaml", example(t)))
	if got.code != exitBadInput || got.out != "" {
		t.Errorf("got %+v", got)
	}
}

func TestThePrintedSchemaIsTheOneInTheDocuments(t *testing.T) {
	want, err := os.ReadFile(exampleSchema)
	if err != nil {
		t.Fatal(err)
	}
	got := command{}.run(t, "schema")
	if got.code != exitDone || got.err != "" || got.out != string(want) {
		t.Errorf("exit code %d, %q, %d bytes; the document has %d", got.code, got.err, len(got.out), len(want))
	}
}
