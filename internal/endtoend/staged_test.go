package endtoend

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

// staged is the function app that all tests of the package run; it is built
// when the first one asks.
var staged struct {
	once sync.Once
	dir  string
	err  error
}

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		if err := os.RemoveAll(staged.dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = max(code, 1)
		}
		os.Exit(code)
	}))
}

// app returns the staged script root.
func app(t *testing.T) string {
	t.Helper()
	staged.once.Do(func() { staged.dir, staged.err = stage() })
	if staged.err != nil {
		t.Fatal(staged.err)
	}
	return filepath.Join(staged.dir, "app")
}

// stage builds the program for this machine and lays it out as `make app` does.
// The program has no race detector in it: it is the one that is deployed.
func stage() (dir string, err error) {
	if dir, err = os.MkdirTemp("", "tandem-endtoend-"); err != nil {
		return "", err
	}
	binary := filepath.Join(dir, "binary")
	for _, args := range [][]string{
		{"build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w -buildid= -X main.version=endtoend", "-o", binary, "./cmd/tandem"},
		{"run", "./tools/package", "stage", binary, filepath.Join(dir, "app")},
	} {
		cmd := exec.Command("go", args...)
		cmd.Dir = filepath.Join("..", "..")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return dir, fmt.Errorf("go %v: %w\n%s", args, err, out)
		}
	}
	return dir, nil
}
