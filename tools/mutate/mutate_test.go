package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const fixture = "testdata/fixture"

func TestWhatIsMutated(t *testing.T) {
	tests := []struct {
		rule string
		code string
		want []string
	}{
		{
			"an if condition is negated, and moved by its boundary", "if a < b {}",
			[]string{"condition: !(a < b) instead of a < b", "boundary: a <= b instead of a < b"},
		},
		{
			"an equality is only negated, because that is its boundary", "if a == b {}",
			[]string{"condition: !(a == b) instead of a == b"},
		},
		{
			"an equality that is no condition is moved", "c := a != b; _ = c",
			[]string{"boundary: a == b instead of a != b"},
		},
		{
			"a whole condition and each operand are negated, a part of a chain is not", "if x && y && z {}",
			[]string{
				"condition: !(x && y && z) instead of x && y && z",
				"condition: !(x) instead of x", "condition: !(y) instead of y", "condition: !(z) instead of z",
			},
		},
		{
			"an operand in parentheses is one", "c := x || (y && z); _ = c",
			[]string{
				"condition: !(x) instead of x", "condition: !(y && z) instead of (y && z)",
				"condition: !(y) instead of y", "condition: !(z) instead of z",
			},
		},
		{
			"each condition of a tagless switch is negated", "switch { case x, a >= b: case y: default: }",
			[]string{
				"condition: !(x) instead of x", "condition: !(a >= b) instead of a >= b", "boundary: a > b instead of a >= b",
				"condition: !(y) instead of y",
			},
		},
		{"the values of a switch are no conditions", "switch a { case b: }", nil},
		{"the condition of a loop is negated", "for x {}", []string{"condition: !(x) instead of x"}},
		{"a loop without a condition has none", "for {}", nil},
		{
			"a condition that is returned is negated, any other value is not", "func() (bool, error, bool, bool) { return !x, nil, y, (a <= b) }()",
			[]string{
				"condition: !(!x) instead of !x",
				"condition: !(a <= b) instead of (a <= b)", "boundary: a < b instead of a <= b",
			},
		},
		{
			"every row of a table is dropped", `_ = []Row{{Name: "one"}, two, {}}`,
			[]string{"row: without one", "row: without two", "row: without {}"},
		},
		{"the elements of other lists stay", `_ = []int{1, 2}; _ = Row{}; _ = []Row(nil)`, nil},
	}
	for _, tt := range tests {
		t.Run(tt.rule, func(t *testing.T) {
			ms := mutantsOfText(t, "package p; func f() { "+tt.code+" }")
			var got []string
			for _, m := range ms {
				_, what, _ := strings.Cut(m.String(), ": ")
				got = append(got, what)
			}
			slices.Sort(got)
			slices.Sort(tt.want)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func mutantsOfText(t *testing.T, text string) []mutant {
	t.Helper()
	ms, err := mutants("p.go", &source{path: "/p.go", text: []byte(text)})
	if err != nil {
		t.Fatal(err)
	}
	return ms
}

func TestAMutantDiffersInOnePlaceAndKeepsItsLines(t *testing.T) {
	const text = `package p

var rows = []Row{
	{Name: "one", when: func(f *Facts) bool { return f.A == f.B }},
	// A comment of the second.
	{
		Name: "two",
	},
}

func last(a, b int) bool { return (a < b) }
`
	ms := mutantsOfText(t, text)
	got := map[string]string{}
	for _, m := range ms {
		mutated := string(m.mutated())
		if strings.Count(mutated, "\n") != strings.Count(text, "\n") {
			t.Errorf("%s: the lines have other numbers:\n%s", m, mutated)
		}
		got[m.String()] = mutated
	}
	want := map[string]string{
		"p.go:4:2: row: without one":                                "[]Row{\n\t\n\n{\n\t\tName: \"two\",\n",
		"p.go:4:51: condition: !(f.A == f.B) instead of f.A == f.B": "return !(f.A == f.B) }},\n",
		"p.go:6:2: row: without two":                                "second.\n\t\n\n\n}\n",
		"p.go:11:35: condition: !(a < b) instead of (a < b)":        "return !((a < b)) }\n",
		"p.go:11:38: boundary: a <= b instead of a < b":             "return (a <= b) }\n",
	}
	for m, piece := range want {
		if !strings.Contains(got[m], piece) {
			t.Errorf("%s: want %q in\n%s", m, piece, got[m])
		}
		delete(got, m)
	}
	for m := range got {
		t.Errorf("unexpected: %s", m)
	}
}

func TestASampleIsChosenByTheSeedAndKeepsTheOrder(t *testing.T) {
	all := make([]mutant, 100)
	for i := range all {
		all[i].Line = i
	}
	a, b, other := sample(all, 10, 1), sample(all, 10, 1), sample(all, 10, 2)
	lines := func(ms []mutant) (out []int) {
		for _, m := range ms {
			out = append(out, m.Line)
		}
		return out
	}
	if !slices.Equal(lines(a), lines(b)) || slices.Equal(lines(a), lines(other)) {
		t.Errorf("seed 1 gives %v and %v, seed 2 %v", lines(a), lines(b), lines(other))
	}
	if !slices.IsSorted(lines(a)) || len(slices.Compact(lines(a))) != 10 {
		t.Errorf("not ten in order: %v", lines(a))
	}
}

// The figures are those that anybody can count in the fixture.
func TestTheFigureOfThePackageThatIsCountedByHand(t *testing.T) {
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	before := names(t, fixture)
	var out, progress bytes.Buffer
	code := run(t.Context(), []string{
		"-o", "json", "-also", filepath.Join(fixture, "caller"), "-skip", "^TestDocument$", "-timeout", "8s", "-least", "70", fixture,
	}, &out, &progress)
	var got report
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatalf("%v\n%s\n%s", err, &out, &progress)
	}
	want := []count{
		{Class: condition, Made: 4, Killed: 3, Hung: 1, Survived: 1, Percent: 75},
		{Class: row, Made: 2, Killed: 1, Survived: 1, Percent: 50},
		{Class: boundary, Made: 3, Killed: 2, Survived: 1, Percent: percent(2, 3)},
	}
	if diff := cmp.Diff(want, got.Classes); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if got.Percent != percent(4, 6) || got.Reached || code != 1 {
		t.Errorf("%v %%, reached %t, exit code %d; want 4 of 6, too few for 70 %%", got.Percent, got.Reached, code)
	}
	survivors := []string{
		`testdata/fixture/fixture.go:14:36: condition: !(s == "") instead of s == ""`,
		"testdata/fixture/fixture.go:17:35: boundary: n >= 10 instead of n > 10",
		"testdata/fixture/table.go:10:2: row: without unchecked",
	}
	if diff := cmp.Diff(survivors, texts(got.Survivors)); diff != "" {
		t.Errorf("survivors (-want +got)\n%s", diff)
	}
	if want := []string{"testdata/fixture/table.go:14:18: row: without {Name: os.DevNull, Answer: \"nowhere\"}"}; !slices.Equal(texts(got.Broken), want) {
		t.Errorf("broken: %q, want %q", texts(got.Broken), want)
	} else if !strings.Contains(got.Broken[0].Why, `"os" imported and not used`) {
		t.Errorf("why it is broken: %q", got.Broken[0].Why)
	}
	if !strings.Contains(progress.String(), "10 of 10 tried, 3 survived") {
		t.Errorf("progress: %s", &progress)
	}
	if left := names(t, tmp); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	if after := names(t, fixture); !slices.Equal(before, after) {
		t.Errorf("the tree was %v and is %v", before, after)
	}
}

func TestATestThatIsNotSkippedCounts(t *testing.T) {
	var out bytes.Buffer
	code := run(t.Context(), []string{"-only", "table.go", "-least", "100", fixture}, &out, io.Discard)
	if code != 0 || !strings.Contains(out.String(), "tandem/tools/mutate/testdata/fixture: 100.0 % of conditions and rows killed (of all), at least 100 % wanted") {
		t.Errorf("exit code %d\n%s", code, &out)
	}
}

func TestMistakesAreMadeInTheFilesThatAreNamed(t *testing.T) {
	s, err := findSuite(t.Context(), fixture)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		rule string
		only []string
		want []string
	}{
		{"all, where none is named", nil, []string{"fixture.go", "table.go"}},
		{"one", []string{"table.go"}, []string{"table.go"}},
		{"several", []string{"table.go", "fixture.go"}, []string{"fixture.go", "table.go"}},
	}
	for _, tt := range tests {
		t.Run(tt.rule, func(t *testing.T) {
			ms, err := mutantsOf(s, options{dir: fixture, only: tt.only})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, m := range ms {
				got = append(got, filepath.Base(m.File))
			}
			if got = slices.Compact(got); !slices.Equal(got, tt.want) {
				t.Errorf("mistakes in %v, want them in %v", got, tt.want)
			}
		})
	}
}

func TestTestsThatFailWithoutAMistakeMeasureNothing(t *testing.T) {
	s, err := findSuite(t.Context(), fixture)
	if err != nil {
		t.Fatal(err)
	}
	impatient := &trials{suites: []*suite{s}, tmp: t.TempDir(), timeout: time.Nanosecond}
	if err := impatient.prove(t.Context()); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want that the tests did not end", err)
	}
}

func TestNothingIsConcludedOfAPackageThatSomebodyWorksOn(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "a.go")
	write := func(name string) {
		t.Helper()
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(file)
	begun := &trials{suites: []*suite{{Dir: dir}}}
	var err error
	if begun.before, err = begun.written(); err != nil {
		t.Fatal(err)
	}
	if err := begun.unchanged(); err != nil {
		t.Error(err)
	}
	write(filepath.Join(dir, "new.go"))
	if err := begun.unchanged(); !errors.Is(err, errChanged) {
		t.Errorf("a new file: %v", err)
	}
	if err := os.Remove(filepath.Join(dir, "new.go")); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(file, time.Time{}, time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if err := begun.all(t.Context(), nil, func(result) {}); !errors.Is(err, errChanged) {
		t.Errorf("a file that was written again: %v", err)
	}
}

func TestAnInterruptedTrialSaysSoAndStops(t *testing.T) {
	s, err := findSuite(t.Context(), fixture)
	if err != nil {
		t.Fatal(err)
	}
	ms, err := mutantsOf(s, options{dir: fixture, only: []string{"fixture.go"}})
	if err != nil {
		t.Fatal(err)
	}
	s.timeout = time.Minute // of which one mutant would take all
	ctx, cancel := context.WithCancel(t.Context())
	tried := 0
	begun := &trials{suites: []*suite{s}, jobs: 1, tmp: t.TempDir()}
	err = begun.all(ctx, ms, func(result) { tried++; cancel() })
	if !errors.Is(err, context.Canceled) || tried != 1 {
		t.Errorf("%d mutants tried, error %v; want one and that it was cancelled", tried, err)
	}

	var complaint bytes.Buffer
	if code := run(ctx, []string{fixture}, io.Discard, &complaint); code != 1 || complaint.String() != "mutate: interrupted\n" {
		t.Errorf("exit code %d, %q", code, &complaint)
	}
}

func TestTheCommandLine(t *testing.T) {
	tests := []struct {
		rule string
		args []string
		code int
		says string
	}{
		{"help is an answer", []string{"--help"}, 0, "mutate -n 60 -seed 1"},
		{"an unknown flag", []string{"-x"}, 2, "not defined: -x; see mutate --help"},
		{"two directories", []string{"a", "b"}, 2, "2 directories, expected one"},
		{"an unknown form", []string{"-o", "xml"}, 2, "-o xml: expected text or json"},
		{"no jobs", []string{"-j", "0"}, 2, "out of range"},
		{"more than everything", []string{"-least", "101"}, 2, "out of range"},
		{"a broken pattern", []string{"-skip", "("}, 2, "-skip: "},
		{"a directory that is not there", []string{"testdata/none"}, 1, "find the package in testdata/none"},
		{"a package without tests", []string{"../../internal/azure"}, 1, "find the package in ../../internal/azure"},
		{"a file that is not there", []string{"-only", "table.go", "-only", "none.go", fixture}, 1, "testdata/fixture has no file none.go"},
		{"a file without conditions", []string{"-only", "doc.go", "../../internal/control"}, 1, "nothing to negate or to drop in ../../internal/control doc.go"},
	}
	for _, tt := range tests {
		t.Run(tt.rule, func(t *testing.T) {
			var out, complaint bytes.Buffer
			code := run(t.Context(), tt.args, &out, &complaint)
			said := &complaint
			if tt.code == 0 {
				said = &out
			}
			if code != tt.code || !strings.Contains(said.String(), tt.says) {
				t.Errorf("exit code %d, want %d\n%s%s", code, tt.code, &out, &complaint)
			}
		})
	}
}

func texts(ms []mutant) []string {
	var out []string
	for _, m := range ms {
		out = append(out, m.String())
	}
	return out
}

func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}
