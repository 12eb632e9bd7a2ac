package endtoend

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"tandem/internal/lab/host"
)

// stage builds the program for this machine and lays it out as `make app`
// does. The program itself has no race detector in it: it is the deployed one.
func stage(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	binary, app := filepath.Join(dir, "binary"), filepath.Join(dir, "app")
	for _, args := range [][]string{
		{"build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w -buildid= -X main.version=endtoend", "-o", binary, "./cmd/tandem"},
		{"run", "./tools/package", "stage", binary, app},
	} {
		cmd := exec.CommandContext(t.Context(), "go", args...)
		cmd.Dir = filepath.Join("..", "..")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("go %v: %v\n%s", args, err, out)
		}
	}
	return app
}

// launcher starts the staged program and keeps what it prints.
type launcher struct {
	host.Exec

	mu       sync.Mutex // guards handlers
	handlers []*handler
}

// handler is one process of the program.
type handler struct {
	host.Process
	stdout, stderr output
}

// Start starts the program.
func (l *launcher) Start(ctx context.Context, env host.Environment) (host.Process, error) {
	h := &handler{stdout: output{next: env.Stdout}, stderr: output{next: env.Stderr}}
	env.Stdout, env.Stderr = &h.stdout, &h.stderr
	var err error
	if h.Process, err = l.Exec.Start(ctx, env); err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.handlers = append(l.handlers, h)
	return h, nil
}

// started lists the processes in the order of their starts.
func (l *launcher) started() []*handler {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]*handler(nil), l.handlers...)
}

// ended waits until the process was reaped.
func (h *handler) ended(t *testing.T) int {
	t.Helper()
	code := make(chan int, 1)
	go func() { code <- h.Wait() }()
	select {
	case c := <-code:
		return c
	case <-time.After(10 * time.Second):
		t.Fatal("a handler is still there")
		return 0
	}
}
