package documents

import (
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the generated parts of the documents instead of comparing them")

// root is the root of the repository, where documents take their paths from.
const root = "../.."

// written reports whether a directory holds what people wrote. What was
// fetched or built is none of ours.
func written(dir string) bool {
	return !slices.Contains([]string{".git", "bin", "build", "node_modules", "testdata"}, dir)
}

// walk calls visit for every file of the repository with one of the endings,
// with its path from the root.
func walk(t *testing.T, ending string, visit func(path string)) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != root && !written(d.Name()):
			return fs.SkipDir
		case !d.IsDir() && strings.HasSuffix(path, ending):
			name, err := filepath.Rel(root, path)
			if err != nil {
				return err
			}
			visit(filepath.ToSlash(name))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// documents returns the paths of all documents.
func documents(t *testing.T) []string {
	t.Helper()
	var all []string
	walk(t, ".md", func(path string) { all = append(all, path) })
	if len(all) == 0 {
		t.Fatal("no document was found")
	}
	return all
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(root, path), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// fresh compares a document with what it would be now, or writes it.
func fresh(t *testing.T, path, was, now string) {
	t.Helper()
	if was == now {
		return
	}
	if *update {
		write(t, path, now)
		return
	}
	a, b := strings.Split(was, "\n"), strings.Split(now, "\n")
	for i := range max(len(a), len(b)) {
		if i >= len(a) || i >= len(b) || a[i] != b[i] {
			t.Errorf("%s, line %d, is not fresh; if the change is meant: go test ./internal/documents -update\n the document: %s\nthe program:  %s",
				path, i+1, lineAt(a, i), lineAt(b, i))
			return
		}
	}
}

func lineAt(lines []string, i int) string {
	if i < len(lines) {
		return lines[i]
	}
	return "(nothing)"
}

// between returns the part of a document between a line that begins with
// "<!-- NAME:" and one that is "<!-- end of NAME -->", and what stands around it.
func between(t *testing.T, path, text, name string) (before, part, after string) {
	t.Helper()
	marker := regexp.MustCompile(`(?s)^(.*<!-- ` + name + `:[^\n]*-->\n)(.*)(<!-- end of ` + name + ` -->\n.*)$`)
	m := marker.FindStringSubmatch(text)
	if m == nil {
		t.Fatalf("%s has lost the markers of the part %q", path, name)
	}
	return m[1], m[2], m[3]
}

// block is a fenced block of a document.
type block struct {
	kind  string   // what stands behind the opening fence
	line  int      // of the first line inside, from 1
	lines []string // inside
}

// blocks returns the fenced blocks of a document, and its lines without them.
func blocks(text string) (fenced []block, prose []string) {
	var open *block
	for i, line := range strings.Split(text, "\n") {
		fence := strings.HasPrefix(line, "```")
		switch {
		case open == nil && fence:
			open = &block{kind: strings.TrimPrefix(line, "```"), line: i + 2}
		case open == nil:
			prose = append(prose, line)
			continue
		case fence:
			fenced = append(fenced, *open)
			open = nil
		default:
			open.lines = append(open.lines, line)
		}
		prose = append(prose, "") // keeps the numbers of the lines
	}
	return fenced, prose
}
