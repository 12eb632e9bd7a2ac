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
	var told []string
	for line := range strings.Lines(part) {
		cells := strings.Split(line, "|")
		if len(cells) < 3 || strings.HasPrefix(strings.TrimSpace(cells[1]), "---") || strings.TrimSpace(cells[1]) == "Row" {
			continue
		}
		for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(cells[1], -1) {
			told = append(told, m[1])
			if !slices.Contains(rows, m[1]) {
				t.Errorf("%s tells of row %s, which is not in the table", document, m[1])
			}
		}
	}
	for _, r := range rows {
		if n := count(told, r); n != 1 {
			t.Errorf("%s tells %d times of row %s, expected once", document, n, r)
		}
	}
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
