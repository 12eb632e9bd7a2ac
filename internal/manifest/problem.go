package manifest

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"tandem/internal/pair"
)

// Problem is one mistake in a pair file: where it is, what stands there, and
// what should stand there instead.
type Problem struct {
	// File is the name that the file was read under, empty for a definition
	// that came from no file.
	File string `json:"file,omitempty"`
	// Line and Column count from 1 and are 0 when there is no file. A missing
	// key is reported at the mapping it is missing from.
	Line   int `json:"line,omitempty"`
	Column int `json:"column,omitempty"`
	// Field is the path of the key, for example loadBalancers[0].rules[1].port,
	// and empty when the whole document is meant. It uses first and second
	// also where the file says master and slave.
	Field string `json:"field,omitempty"`
	// Value is what stands there, quoted if it is text, shortened if it is
	// long and [redacted] if it may be a secret. For a key that is missing,
	// unknown or repeated it says so.
	Value string `json:"value"`
	// Expected completes the words "expected …", with the reason where it is
	// not plain.
	Expected string `json:"expected"`
}

// Error returns the problem on one line: file:line: field "x": value: expected ….
func (p Problem) Error() string {
	var b strings.Builder
	if p.File != "" {
		b.WriteString(p.File)
		if p.Line > 0 {
			b.WriteString(":" + strconv.Itoa(p.Line))
		}
		b.WriteString(": ")
	}
	if p.Field != "" {
		fmt.Fprintf(&b, "field %q: ", p.Field)
	}
	fmt.Fprintf(&b, "%s: expected %s", p.Value, p.Expected)
	return b.String()
}

// Problems are all mistakes that were found, in the order of the files and of
// the lines in them. As an error it is of the kind pair.ErrInvalid.
type Problems []Problem

// Error returns the problems, one on a line.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap returns pair.ErrInvalid, the kind that callers act on.
func (ps Problems) Unwrap() error { return pair.ErrInvalid }

// WriteTo writes the problems for a person, one on a line, and then how many
// there are. It writes nothing when there are none.
func (ps Problems) WriteTo(w io.Writer) (int64, error) {
	if len(ps) == 0 {
		return 0, nil
	}
	count := "1 mistake"
	if len(ps) > 1 {
		count = strconv.Itoa(len(ps)) + " mistakes"
	}
	n, err := fmt.Fprintf(w, "%s\n%s\n", ps.Error(), count)
	return int64(n), err
}

// sort puts the problems of one file into the order in which a person meets
// them; equal places keep the order in which they were found.
func (ps Problems) sort() {
	slices.SortStableFunc(ps, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
}

// hidden reports whether what stands at the path may be a secret that somebody
// wrote into the file by mistake.
func hidden(path string) bool {
	return strings.HasSuffix(path, ".secret") || strings.HasSuffix(path, ".api")
}

// clip bounds what comes from outside before it is shown.
func clip(s string) string {
	const most = 60
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
