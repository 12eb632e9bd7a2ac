package documents

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"tandem/internal/pair"
)

// TestOperationsTellsOfEveryRow demands that whoever is woken by a row finds it
// in docs/operations.md, and finds there no row that is none.
func TestOperationsTellsOfEveryRow(t *testing.T) {
	const document = "docs/operations.md"
	var rows []string
	for _, r := range pair.Rows() {
		rows = append(rows, r.Name)
	}
	_, part, _ := between(t, document, read(t, document), "rows")
	told := firstCells(part)
	for _, r := range told {
		if !slices.Contains(rows, r) {
			t.Errorf("%s tells of row %s, which is not in the table", document, r)
		}
	}
	for _, r := range rows {
		if n := count(told, r); n != 1 {
			t.Errorf("%s tells %d times of row %s, expected once", document, n, r)
		}
	}
}

var quoted = regexp.MustCompile("`([^`]+)`")

// firstCells returns what stands in backquotes in the first column of a table.
func firstCells(part string) []string {
	var all []string
	for line := range strings.Lines(part) {
		cells := strings.Split(line, "|")
		if len(cells) < 3 {
			continue
		}
		for _, m := range quoted.FindAllStringSubmatch(cells[1], -1) {
			all = append(all, m[1])
		}
	}
	return all
}

func count(words []string, word string) int {
	n := 0
	for _, w := range words {
		if w == word {
			n++
		}
	}
	return n
}

// TestOperationsTellsOfEverySituation demands the same of the situations that
// tandem status shows.
func TestOperationsTellsOfEverySituation(t *testing.T) {
	const document = "docs/operations.md"
	_, part, _ := between(t, document, read(t, document), "situations")
	told := firstCells(part)
	for _, s := range pair.Situations {
		if n := count(told, s.String()); n != 1 {
			t.Errorf("%s tells %d times of the situation %q, expected once", document, n, s)
		}
	}
	if len(told) != len(pair.Situations) {
		t.Errorf("%s tells of the situations %q, expected only those of the program", document, told)
	}
}
