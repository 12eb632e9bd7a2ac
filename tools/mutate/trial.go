package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// verdict is what became of a mutant.
type verdict uint8

const (
	untried  verdict = iota
	broken           // it does not compile, so it does not count
	killed           // a test failed
	hung             // the tests did not end, which counts as killed
	survived         // every test passed
)

const (
	// patience is how long tests may take, besides slower times what they take
	// without a mistake.
	patience = 10 * time.Second
	slower   = 5
	// mostMemory bounds the address space of a run of tests, in KiB: a mutant
	// whose loop does not end may fill the memory long before its time is up.
	mostMemory = 4 << 20
)

// suite is a package whose tests judge the mutants.
type suite struct {
	Dir         string
	ImportPath  string
	GoFiles     []string
	TestGoFiles []string
	// XTestGoFiles are tests in a package of their own beside it.
	XTestGoFiles []string

	timeout time.Duration // of one run of its tests
}

// findSuite asks the go command about the package in a directory.
func findSuite(ctx context.Context, dir string) (*suite, error) {
	path := dir
	if !filepath.IsAbs(dir) {
		path = "." + string(filepath.Separator) + filepath.Clean(dir)
	}
	out, err := command(ctx, "", "go", "list", "-json=Dir,ImportPath,GoFiles,TestGoFiles,XTestGoFiles", "--", path)
	if err != nil {
		return nil, fmt.Errorf("find the package in %s: %w", dir, err)
	}
	var s suite
	if err := json.Unmarshal(out, &s); err != nil {
		return nil, fmt.Errorf("find the package in %s: %w", dir, err)
	}
	if len(s.TestGoFiles)+len(s.XTestGoFiles) == 0 {
		return nil, fmt.Errorf("the package in %s has no tests", dir)
	}
	return &s, nil
}

// errTests means that tests failed, which is what should become of a mutant.
var errTests = errors.New("tests failed")

// build compiles the tests of the suite, with the files of an overlay in place
// of those on disk unless it is empty.
func (s *suite) build(ctx context.Context, tmp, overlay string) (binary string, err error) {
	binary = filepath.Join(tmp, filepath.Base(s.ImportPath)+".test")
	// Without what only a debugger needs, linking takes half the time.
	args := []string{"test", "-c", "-vet=off", "-ldflags=-s -w", "-o", binary}
	if overlay != "" {
		args = append(args, "-overlay", overlay)
	}
	if _, err := command(ctx, tmp, "go", append(args, s.ImportPath)...); err != nil {
		return "", fmt.Errorf("compile the tests of %s: %w", s.ImportPath, err)
	}
	return binary, nil
}

// limited runs a command with bounded memory, where the system can do that.
const limited = `ulimit -v "$1" 2>/dev/null; shift; exec "$@"`

// run runs compiled tests where the go command runs them. The error is
// errTests where they fail, and context.DeadlineExceeded where they hang.
func (s *suite) run(ctx context.Context, tmp, binary, skip string) error {
	timed, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	args := []string{"-c", limited, "sh", strconv.Itoa(mostMemory), binary, "-test.failfast", "-test.short=false", "-test.paniconexit0", "-test.timeout=0"}
	if skip != "" {
		args = append(args, "-test.skip="+skip)
	}
	cmd := prepare(timed, tmp, "sh", args...)
	cmd.Dir = s.Dir
	err := cmd.Run()
	if end := timed.Err(); end != nil {
		return end
	}
	if _, ok := errors.AsType[*exec.ExitError](err); ok {
		return errTests
	}
	return err
}

// command runs a command and returns what it writes. Its complaint is part of
// the error.
func command(ctx context.Context, tmp, name string, args ...string) ([]byte, error) {
	var out, complaint bytes.Buffer
	cmd := prepare(ctx, tmp, name, args...)
	cmd.Stdout, cmd.Stderr = &out, &complaint
	err := cmd.Run()
	if end := ctx.Err(); end != nil {
		return nil, end
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %s", err, strings.TrimSpace(complaint.String()))
	}
	return out.Bytes(), nil
}

// prepare makes a command that leaves nothing behind: what it writes besides
// its output goes below tmp, and it ends with everything that it has started.
// In a process group of its own it does not see Ctrl-C, which would otherwise
// look like a test that fails.
func prepare(ctx context.Context, tmp, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	if tmp != "" {
		cmd.Env = append(cmd.Environ(), "TMPDIR="+tmp, "GOTMPDIR="+tmp)
	}
	return cmd
}

// trials tries mutants, some at a time.
type trials struct {
	suites []*suite // the first is the package's own
	skip   string
	jobs   int
	tmp    string
	// timeout is that of each run of tests; 0 is taken from how long they
	// take without a mistake.
	timeout time.Duration
	// before is when each file of the suites was last written.
	before map[string]time.Time
}

// prove runs all tests without a mistake. They must pass, otherwise every
// mutant would look killed.
func (t *trials) prove(ctx context.Context) error {
	for _, s := range t.suites {
		binary, err := s.build(ctx, t.tmp, "")
		if err != nil {
			return err
		}
		s.timeout = t.timeout
		if s.timeout == 0 {
			s.timeout = 10 * time.Minute
		}
		start := time.Now()
		if err := s.run(ctx, t.tmp, binary, t.skip); err != nil {
			return fmt.Errorf("without any mistake, the tests of %s must pass: %w", s.ImportPath, err)
		}
		if t.timeout == 0 {
			s.timeout = patience + slower*time.Since(start)
		}
		if err := os.Remove(binary); err != nil {
			return err
		}
	}
	return nil
}

// errChanged means that somebody works on the package, so that more than one
// thing is wrong with a mutant.
var errChanged = errors.New("the package was changed meanwhile, so nothing can be concluded")

// unchanged returns errChanged where a file of the suites was written since
// the mutants were made.
func (t *trials) unchanged() error {
	now, err := t.written()
	if err == nil && !maps.Equal(now, t.before) {
		err = errChanged
	}
	return err
}

// written returns when each Go file of the suites was last written.
func (t *trials) written() (map[string]time.Time, error) {
	at := map[string]time.Time{}
	for _, s := range t.suites {
		files, err := filepath.Glob(filepath.Join(s.Dir, "*.go"))
		if err != nil {
			return nil, err
		}
		for _, file := range files {
			info, err := os.Stat(file)
			if err != nil {
				return nil, err
			}
			at[file] = info.ModTime()
		}
	}
	return at, nil
}

// result is a mutant that was tried.
type result struct {
	at      int // its place among all
	verdict verdict
	why     string // it is broken
}

// all tries every mutant and hands over each result as it comes, to one at a
// time. It ends early with the context, or where a mutant could not be tried.
func (t *trials) all(ctx context.Context, ms []mutant, came func(result)) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	next := make(chan int)
	results := make(chan result)
	var workers sync.WaitGroup
	for range t.jobs {
		workers.Go(func() {
			for i := range next {
				r, err := t.one(ctx, ms[i])
				if err != nil {
					cancel(err)
					continue
				}
				r.at = i
				results <- r
			}
		})
	}
	go func() {
		defer close(results)
		defer workers.Wait()
		defer close(next)
		for i := range ms {
			select {
			case next <- i:
			case <-ctx.Done():
				return
			}
		}
	}()
	for r := range results {
		came(r)
	}
	if err := context.Cause(ctx); err != nil {
		return err
	}
	return t.unchanged()
}

// one tries one mutant: its own package's tests first, then those of the
// others.
func (t *trials) one(ctx context.Context, m mutant) (result, error) {
	tmp, err := os.MkdirTemp(t.tmp, "")
	if err != nil {
		return result{}, err
	}
	defer func() { _ = os.RemoveAll(tmp) }() // all of t.tmp is removed at the end
	overlay, err := lay(tmp, m)
	if err != nil {
		return result{}, err
	}
	for i, s := range t.suites {
		binary, err := s.build(ctx, tmp, overlay)
		if ctx.Err() != nil {
			return result{}, ctx.Err()
		}
		if err != nil && i == 0 {
			return result{verdict: broken, why: err.Error()}, t.unchanged()
		}
		if err != nil {
			return result{}, err
		}
		err = s.run(ctx, tmp, binary, t.skip)
		switch {
		case ctx.Err() != nil:
			return result{}, ctx.Err()
		case errors.Is(err, context.DeadlineExceeded):
			return result{verdict: hung}, nil
		case errors.Is(err, errTests):
			return result{verdict: killed}, nil
		case err != nil:
			return result{}, fmt.Errorf("run the tests of %s: %w", s.ImportPath, err)
		}
	}
	return result{verdict: survived}, nil
}

// lay writes the mutated file and the overlay that puts it in the place of
// the true one. Nothing in the tree is touched.
func lay(tmp string, m mutant) (string, error) {
	file := filepath.Join(tmp, filepath.Base(m.source.path))
	overlay := filepath.Join(tmp, "overlay.json")
	replace, err := json.Marshal(map[string]map[string]string{"Replace": {m.source.path: file}})
	if err != nil {
		return "", err
	}
	return overlay, errors.Join(os.WriteFile(file, m.mutated(), 0o600), os.WriteFile(overlay, replace, 0o600))
}
