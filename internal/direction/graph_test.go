package direction

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// module is the path that all packages of this repository begin with.
const module = "tandem"

// root is the directory of the module, seen from this package.
var root = filepath.Join("..", "..")

// node is a package in the import graph.
type node struct {
	imports     []string // of its own files
	testImports []string // of its test files, in the package and beside it
	standard    bool     // of the standard library
}

// graph is the packages of the module and all they need, by import path.
type graph map[string]node

// load asks the go command for the graph. A package that does not compile is
// part of it all the same: it may be wrong in both ways.
func load(t *testing.T) graph {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-e", "-deps", "-json=ImportPath,Imports,TestImports,XTestImports,Standard", "./...")
	cmd.Dir = root
	var failure bytes.Buffer
	cmd.Stderr = &failure
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("list the packages: %v\n%s", err, &failure)
	}
	g, err := parse(bytes.NewReader(out))
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// parse reads the go command's stream of packages.
func parse(r io.Reader) (graph, error) {
	g := graph{}
	for d := json.NewDecoder(r); ; {
		var p struct {
			ImportPath                         string
			Imports, TestImports, XTestImports []string
			Standard                           bool
		}
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return g, nil
		} else if err != nil {
			return nil, fmt.Errorf("read the list of packages: %w", err)
		}
		g[p.ImportPath] = node{imports: p.Imports, testImports: slices.Concat(p.TestImports, p.XTestImports), standard: p.Standard}
	}
}

// ours yields the packages of the module in order.
func (g graph) ours() iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, path := range slices.Sorted(maps.Keys(g)) {
			if below(path, module) && !yield(path) {
				return
			}
		}
	}
}

// reached returns every package that one needs, with the shortest way to it,
// which begins with the package itself.
func (g graph) reached(from string) map[string][]string {
	ways := map[string][]string{}
	for next := [][]string{{from}}; len(next) > 0; next = next[1:] {
		way := next[0]
		for _, to := range g[way[len(way)-1]].imports {
			if _, known := ways[to]; !known && to != from {
				ways[to] = slices.Concat(way, []string{to})
				next = append(next, ways[to])
			}
		}
	}
	return ways
}

// matches tells whether a package is the one that a pattern names, or, where the
// pattern ends in "/...", one in its folder.
func matches(path, pattern string) bool {
	if above, ok := strings.CutSuffix(pattern, "/..."); ok {
		return below(path, above)
	}
	return path == pattern
}

func matchesAny(path string, patterns []string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return matches(path, p) })
}

// below tells whether a package is another one or in its folder.
func below(path, above string) bool {
	return path == above || strings.HasPrefix(path, above+"/")
}
