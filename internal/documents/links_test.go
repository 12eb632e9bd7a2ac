package documents

import (
	"go/parser"
	"go/token"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
)

// link is a link of a document to something in the repository.
type link struct {
	line   int
	text   string
	path   string // from the root
	anchor string
}

var linkForm = regexp.MustCompile(`\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^()\s]+)\)`)

// links returns the relative links of a document.
func links(t *testing.T, document, text string) []link {
	t.Helper()
	var all []link
	_, prose := blocks(text)
	for i, line := range prose {
		for _, m := range linkForm.FindAllStringSubmatch(line, -1) {
			u, err := url.Parse(m[2])
			if err != nil {
				t.Errorf("%s:%d: link %q: %v", document, i+1, m[2], err)
				continue
			}
			if u.Scheme != "" {
				continue
			}
			to := document
			if u.Path != "" {
				to = path.Join(path.Dir(document), u.Path)
			}
			all = append(all, link{line: i + 1, text: m[1], path: to, anchor: u.Fragment})
		}
	}
	return all
}

func TestRelativeLinksLeadSomewhere(t *testing.T) {
	seen := 0
	for _, document := range documents(t) {
		for _, l := range links(t, document, read(t, document)) {
			seen++
			if strings.HasPrefix(l.path, "..") {
				t.Errorf("%s:%d: link to %s leads out of the repository", document, l.line, l.path)
				continue
			}
			if _, err := os.Stat(filepath.Join(root, l.path)); err != nil {
				t.Errorf("%s:%d: link to %s: there is no such file", document, l.line, l.path)
				continue
			}
			if l.anchor != "" && !slices.Contains(anchors(read(t, l.path)), l.anchor) {
				t.Errorf("%s:%d: link to %s#%s: there is no such heading", document, l.line, l.path, l.anchor)
			}
		}
	}
	if seen == 0 {
		t.Error("no document has a link, so the test sees nothing")
	}
}

// anchors returns the anchors of a document's headings, made as GitHub does.
func anchors(text string) []string {
	var all []string
	_, prose := blocks(text)
	for _, line := range prose {
		heading := strings.TrimLeft(line, "#")
		if heading == line || !strings.HasPrefix(heading, " ") {
			continue
		}
		all = append(all, strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case unicode.IsLetter(r), unicode.IsDigit(r), r == '-', r == '_':
				return unicode.ToLower(r)
			default:
				return -1
			}
		}, strings.TrimSpace(linkForm.ReplaceAllString(heading, "$1"))))
	}
	return all
}

var codeName = regexp.MustCompile("^`(?:[A-Za-z]+\\.)?([A-Za-z][A-Za-z0-9]*)`$")

// TestLinkedCodeIsThere demands that a link such as [`Controller.Pass`](…/pass.go)
// leads to a file, or a package, that declares the name.
func TestLinkedCodeIsThere(t *testing.T) {
	seen := 0
	for _, document := range documents(t) {
		for _, l := range links(t, document, read(t, document)) {
			name := codeName.FindStringSubmatch(l.text)
			if name == nil {
				continue
			}
			info, err := os.Stat(filepath.Join(root, l.path))
			if err != nil || !info.IsDir() && !strings.HasSuffix(l.path, ".go") {
				continue
			}
			seen++
			if !declares(t, l.path, info.IsDir(), name[1]) {
				t.Errorf("%s:%d: %s does not declare %s", document, l.line, l.path, name[1])
			}
		}
	}
	if seen == 0 {
		t.Error("no document links to code, so the test sees nothing")
	}
}

// declares reports whether a Go file, or one in a directory, declares the name
// as a function, method, type, constant or variable.
func declares(t *testing.T, where string, isDir bool, name string) bool {
	t.Helper()
	files := []string{where}
	if isDir {
		found, err := filepath.Glob(filepath.Join(root, where, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		files = nil
		for _, f := range found {
			files = append(files, path.Join(where, filepath.Base(f)))
		}
	}
	form := regexp.MustCompile(`(?m)^(?:func (?:\([^)]*\) )?|type |var |const |\t)` + name + `\b`)
	return slices.ContainsFunc(files, func(f string) bool { return form.MatchString(read(t, f)) })
}

var (
	testName = regexp.MustCompile("`((?:Test|Fuzz|Benchmark)[A-Z][A-Za-z0-9]*)`")
	testFunc = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Benchmark)[A-Z]\w*)\(`)
)

// TestNamedTestsExist demands that every test that a document names is one.
func TestNamedTestsExist(t *testing.T) {
	tests := map[string]bool{}
	walk(t, "_test.go", func(path string) {
		for _, m := range testFunc.FindAllStringSubmatch(read(t, path), -1) {
			tests[m[1]] = true
		}
	})
	for _, document := range documents(t) {
		for i, line := range strings.Split(read(t, document), "\n") {
			for _, m := range testName.FindAllStringSubmatch(line, -1) {
				if !tests[m[1]] {
					t.Errorf("%s:%d: there is no test %s", document, i+1, m[1])
				}
			}
		}
	}
}

// TestMakeTargetsExist demands that whatever a document says to make is a
// target.
func TestMakeTargetsExist(t *testing.T) {
	named := regexp.MustCompile("`make ([a-z][a-z-]*)|^(?:\\$ )?make ([a-z][a-z-]*)")
	makefile := read(t, "Makefile")
	for _, document := range documents(t) {
		for i, line := range strings.Split(read(t, document), "\n") {
			for _, m := range named.FindAllStringSubmatch(line, -1) {
				target := m[1] + m[2]
				if !strings.Contains(makefile, "\n"+target+":") {
					t.Errorf("%s:%d: make %s: there is no such target", document, i+1, target)
				}
			}
		}
	}
}

// TestEveryDirectDependencyHasItsReason compares the table in ARCHITECTURE.md
// with what the code imports.
func TestEveryDirectDependencyHasItsReason(t *testing.T) {
	const document = "ARCHITECTURE.md"
	modules := regexp.MustCompile(`(?m)^\t(\S+) v\S+`).FindAllStringSubmatch(read(t, "go.mod"), -1)
	var used []string
	walk(t, ".go", func(file string) {
		f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, file), nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range f.Imports {
			imported := strings.Trim(i.Path.Value, `"`)
			for _, m := range modules {
				if (imported == m[1] || strings.HasPrefix(imported, m[1]+"/")) && !slices.Contains(used, m[1]) {
					used = append(used, m[1])
				}
			}
		}
	})
	_, part, _ := between(t, document, read(t, document), "dependencies")
	var told []string
	for _, m := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\|").FindAllStringSubmatch(part, -1) {
		told = append(told, m[1])
	}
	slices.Sort(used)
	for _, m := range used {
		if !slices.Contains(told, m) {
			t.Errorf("%s does not say why %s is worth having", document, m)
		}
	}
	for _, m := range told {
		if !slices.Contains(used, m) {
			t.Errorf("%s has a reason for %s, which no code imports", document, m)
		}
	}
}
