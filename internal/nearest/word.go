// Package nearest finds the word a person probably meant when a name in a
// file or an environment is not known. It only compares; which names are known
// and how the suggestion is worded is left to its callers.
package nearest

import "strings"

// longest bounds the compared words in bytes, because they come from outside
// and the comparison takes the product of both lengths.
const longest = 80

// Word returns the known word that is nearest to got, and false when none is
// near enough to be worth suggesting: letter case aside, a third of the word
// may differ, and at least one letter may. Of equally near words the first wins.
func Word(got string, known []string) (string, bool) {
	if len(got) > longest {
		return "", false
	}
	best, bestDistance := "", max(1, len(got)/3)+1
	for _, k := range known {
		if len(k) > longest {
			continue
		}
		if d := distance(strings.ToLower(got), strings.ToLower(k)); d < bestDistance {
			best, bestDistance = k, d
		}
	}
	return best, best != ""
}

// distance counts the inserted, dropped, replaced and swapped neighbouring
// bytes between a and b (optimal string alignment), keeping three rows.
func distance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			replaced := last[j-1]
			if a[i-1] != b[j-1] {
				replaced++
			}
			row[j] = min(last[j]+1, row[j-1]+1, replaced)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
