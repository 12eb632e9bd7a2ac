package pair

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// TestDecisionsDocument keeps docs/decisions.md equal to the table: the rows as
// they stand in it, and the diagram as a walk over all combinations gives it.
func TestDecisionsDocument(t *testing.T) {
	var b strings.Builder
	b.WriteString(`# Decisions

<!-- Written from internal/pair by: go test ./internal/pair -update -->

A pass sees one pair, names the situation, and looks for the first row of this table that applies. That row is the
decision: it tells what is done, how loudly, when the pair is looked at again, why, and what a person can do. What the
rows ask of the facts is Go, in [internal/pair/rows.go](../internal/pair/rows.go); ` + "`tandem explain`" + ` shows the row that won
with the evidence it used.

`)
	fmt.Fprintf(&b, `The order is the meaning. Taking back what we set comes before everything, then a person's pause, then what is not yet
believed, then the situations. A situation is believed when it was seen often enough in a row (failover.suspectAfter,
confirmAfter, recoverAfter of the [pair file](pair-file.md)), and observations less than %v apart count as one.

| Time | Is | Meaning |
| --- | --- | --- |
| looks again | %v | when a pair is looked at again that is not quiet; a quiet one waits for the sweep |
| fresh | %v | how old an answer of a check port may be to count as proof for a fence |
| a fence stands | %v | unless it is renewed, which is due after half of that |
| boot grace | %v | how long a unit's silence does not count after its start |

## The rows

| | Row | Does | Alarm | Looks again | Because | What a person can do |
| --- | --- | --- | --- | --- | --- | --- |
`, Spacing, LookAgain, FreshFor, FenceFor, BootGrace)
	for i, r := range Rows() {
		next := "sweep"
		if r.Next > 0 {
			next = r.Next.String()
		}
		fmt.Fprintf(&b, "| %d | `%s` | %s | %s | %s | %s | %s |\n", i+1, r.Name, r.Acts, r.Alarm, next, cell(r.Why), cell(r.Person))
	}
	b.WriteString(`
Alarm: notice is told, warning wants somebody this week, urgent wants somebody now.

## From situation to action

What leads where, found by trying every combination of the facts. Rows that can follow from the same situations hang on
one node.

`)
	b.WriteString("```mermaid\n" + diagram() + "```\n")
	golden(t, "../../docs/decisions.md", b.String())
}

// cell makes a text fit into a cell of a table.
func cell(text string) string { return strings.ReplaceAll(text, "|", `\|`) }

// diagram draws situations, rows and actions with the edges between them.
func diagram() string {
	wins := map[string][]Situation{} // by row
	everyCase(func(f *Facts) {
		row := choose(f).Name
		if !slices.Contains(wins[row], f.Situation) {
			wins[row] = append(wins[row], f.Situation)
		}
	})
	var b strings.Builder
	b.WriteString("flowchart LR\n")
	var from, acts []string
	for _, r := range Rows() {
		slices.Sort(wins[r.Name])
		from = numbered(&b, "s", `(["%s"])`, from, situations(wins[r.Name]))
		acts = numbered(&b, "a", `[["%s"]]`, acts, r.Acts)
		fmt.Fprintf(&b, "  s%d --> %s --> a%d\n", slices.Index(from, situations(wins[r.Name])), r.Name, slices.Index(acts, r.Acts))
	}
	return b.String()
}

// numbered draws a node where it is mentioned for the first time, and returns
// all that were mentioned.
func numbered(b *strings.Builder, prefix, shape string, known []string, text string) []string {
	if slices.Contains(known, text) {
		return known
	}
	fmt.Fprintf(b, "  %s%d"+shape+"\n", prefix, len(known), text)
	return append(known, text)
}

// situations names a set of situations in the shortest way.
func situations(in []Situation) string {
	var out, words []string
	for _, s := range Situations {
		if slices.Contains(in, s) {
			words = append(words, s.String())
		} else {
			out = append(out, s.String())
		}
	}
	switch {
	case len(out) == 0:
		return "any situation"
	case len(out) < len(words):
		return "any but " + strings.Join(out, ", ")
	default:
		return strings.Join(words, ", ")
	}
}
