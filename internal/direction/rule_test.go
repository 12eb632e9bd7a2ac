package direction

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// rule says what some packages must not import. Patterns are import paths;
// "/..." at the end means the package and all below it.
type rule struct {
	name string
	why  string
	// of are the packages that the rule binds, without those in except.
	of, except []string
	// never are what they must not import; but are exceptions from that. A
	// package may always import what it holds in its own folder.
	never, but []string
	// through also forbids to reach it by way of other packages.
	through bool
	// only, where not nil, is all that they may import besides the standard
	// library.
	only []string
	// tests binds the test files as well.
	tests bool
}

// binds tells whether a package is one of those the rule is about.
func (r rule) binds(path string) bool {
	return matchesAny(path, r.of) && !matchesAny(path, r.except)
}

// broken returns one sentence for each import that breaks the rule.
func (r rule) broken(g graph) []string {
	var found []string
	for from := range g.ours() {
		if !r.binds(from) {
			continue
		}
		ways := map[string][]string{}
		if r.through {
			ways = g.reached(from)
		}
		for _, to := range g[from].imports {
			ways[to] = []string{from, to}
		}
		for _, to := range slices.Sorted(maps.Keys(ways)) {
			if r.forbids(g, from, to) {
				found = append(found, strings.Join(ways[to], " imports "))
			}
		}
		if !r.tests {
			continue
		}
		for _, to := range g[from].testImports {
			if r.forbids(g, from, to) {
				found = append(found, fmt.Sprintf("a test of %s imports %s", from, to))
			}
		}
	}
	return found
}

func (r rule) forbids(g graph, from, to string) bool {
	if below(to, from) && from != module { // everything is below the module
		return false
	}
	if r.only != nil && !g[to].standard && !matchesAny(to, r.only) {
		return true
	}
	return matchesAny(to, r.never) && !matchesAny(to, r.but)
}
