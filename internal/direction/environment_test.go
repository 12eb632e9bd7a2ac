package direction

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// mayRead are the places that read the environment, with the reason.
var mayRead = map[string]string{
	"internal/config":              "is the one way in: settings are read, checked and explained in one place",
	"cmd":                          "hands the environment to internal/config, and asks what a terminal wants (NO_COLOR)",
	"internal/lab/host/process.go": "starts the handler, which inherits the environment as under the real host",
}

// readers are the functions that read the environment, by import path.
var readers = map[string][]string{
	"os":      {"Getenv", "LookupEnv", "Environ", "ExpandEnv"},
	"syscall": {"Getenv", "Environ"},
}

func TestOnlyConfigReadsTheEnvironment(t *testing.T) {
	found, err := environmentReads(os.DirFS(root))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range found {
		t.Errorf("%s; a setting is a field of internal/config, where it is checked and documented", f)
	}
}

// environmentReads returns where Go files, other than tests and those in
// mayRead, call or name a function that reads the environment.
func environmentReads(tree fs.FS) ([]string, error) {
	var found []string
	err := fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && skipped(name), mayRead[name] != "" && d.IsDir():
			return fs.SkipDir
		case d.IsDir() || mayRead[name] != "" || path.Ext(name) != ".go" || strings.HasSuffix(name, "_test.go"):
			return nil
		}
		src, err := fs.ReadFile(tree, name)
		if err != nil {
			return err
		}
		reads, err := readsIn(name, src)
		found = append(found, reads...)
		return err
	})
	return found, err
}

// skipped tells whether a directory holds no Go of ours, by the go command's
// own rule and by what is installed and built beside the source.
func skipped(name string) bool {
	base := path.Base(name)
	return name != "." && (base[0] == '.' || base[0] == '_' || slices.Contains([]string{"testdata", "node_modules", "bin", "build"}, base))
}

func readsIn(name string, src []byte) ([]string, error) {
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, name, src, parser.SkipObjectResolution)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	imported := map[string]string{} // path by the name in this file
	for _, spec := range file.Imports {
		p, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", name, err)
		}
		as := path.Base(p)
		if spec.Name != nil {
			as = spec.Name.Name
		}
		imported[as] = p
	}
	var found []string
	ast.Inspect(file, func(n ast.Node) bool {
		sel, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		if x, ok := sel.X.(*ast.Ident); ok && slices.Contains(readers[imported[x.Name]], sel.Sel.Name) {
			found = append(found, fmt.Sprintf("%s reads the environment by %s.%s", files.Position(sel.Pos()), imported[x.Name], sel.Sel.Name))
		}
		return true
	})
	return found, nil
}
