package documents

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"tandem/internal/lab"
)

const failureModes = "docs/failure-modes.md"

var (
	storyLink = regexp.MustCompile(`^\[([a-z0-9-]+)\]\(\.\./internal/lab/scenarios/([a-z0-9-]+)\.yaml\)`)
	underline = regexp.MustCompile(`^\| ---`)
)

// TestEveryFailureHasItsStory compares docs/failure-modes.md with the stories:
// each row names stories that there are, and each story stands in a row. Behind
// a story stand the limits that it sets itself; with -update they are written.
func TestEveryFailureHasItsStory(t *testing.T) {
	const document = failureModes
	all, err := lab.Scenarios()
	if err != nil {
		t.Fatal(err)
	}
	stories := map[string]lab.Scenario{}
	for _, s := range all {
		stories[s.Name] = s
	}
	text := read(t, document)
	before, part, after := between(t, document, text, "failures")
	var (
		now  strings.Builder
		told = map[string]bool{}
	)
	for line := range strings.Lines(part) {
		cells := strings.Split(strings.TrimSuffix(line, "\n"), " | ")
		if !strings.HasPrefix(line, "|") || underline.MatchString(line) || cells[0] == "| What fails" {
			now.WriteString(line)
			continue
		}
		if len(cells) != 5 {
			t.Fatalf("%s: a row has %d cells, expected 5: %s", document, len(cells), line)
		}
		named := strings.Split(strings.TrimSuffix(cells[4], " |"), "<br>")
		for i, cell := range named {
			m := storyLink.FindStringSubmatch(cell)
			if m == nil || m[1] != m[2] {
				t.Errorf("%s: %q: expected a link to a story, in the row %q", document, cell, cells[0])
				continue
			}
			s, exists := stories[m[1]]
			if !exists {
				t.Errorf("%s: there is no story %s, which the row %q names", document, m[1], cells[0])
				continue
			}
			told[s.Name] = true
			named[i] = m[0] + limits(s)
		}
		now.WriteString(strings.Join(cells[:4], " | ") + " | " + strings.Join(named, "<br>") + " |\n")
	}
	for _, s := range all {
		if !told[s.Name] {
			t.Errorf("%s has no row for the story %s: %s", document, s.Name, s.Summary)
		}
	}
	fresh(t, document, text, before+now.String()+after)
}

// limits tells what a story allows with Tandem in it.
func limits(s lab.Scenario) string {
	words := []string{"no answer " + short(s.Expect.Outage.Tandem)}
	if s.Expect.Split > 0 {
		words = append(words, "both serve "+short(s.Expect.Split))
	}
	return fmt.Sprintf(" (%s)", strings.Join(words, ", "))
}

// short leaves the zeros out that time.Duration writes behind whole minutes.
func short(d time.Duration) string {
	text := d.String()
	for _, zero := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(text, zero) {
			text = strings.TrimSuffix(text, zero[1:])
		}
	}
	return text
}

// TestEachFailureIsToldOnce demands that no two rows tell of the same failure,
// and that the test above sees any.
func TestEachFailureIsToldOnce(t *testing.T) {
	const document = failureModes
	_, part, _ := between(t, document, read(t, document), "failures")
	var told []string
	for line := range strings.Lines(part) {
		what, _, _ := strings.Cut(line, " | ")
		switch {
		case !strings.HasPrefix(line, "|"), underline.MatchString(line), what == "| What fails":
		case slices.Contains(told, what):
			t.Errorf("%s tells twice of the failure %q", document, what)
		default:
			told = append(told, what)
		}
	}
	if len(told) == 0 {
		t.Errorf("%s has no row, so the test sees nothing", document)
	}
}
