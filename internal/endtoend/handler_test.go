package endtoend

import (
	"bytes"
	"context"
	"io"
	"sync"
	"testing"
	"time"

	"tandem/internal/lab/host"
)

// launcher starts the staged program for the host and keeps what it prints.
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

// reaped waits until nothing is left of the process, not even a zombie, and
// returns its exit code, -1 for a signal.
func (h *handler) reaped(t *testing.T) int {
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

// output keeps what is written to it and passes it on.
type output struct {
	next io.Writer

	mu  sync.Mutex // guards buf
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	o.buf.Write(p)
	o.mu.Unlock()
	return o.next.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}
