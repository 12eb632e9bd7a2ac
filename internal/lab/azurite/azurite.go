// Package azurite runs Azurite, the emulator of Azure's storage, for tests
// that need the real protocol of tables and queues.
//
// It starts the pinned version of the repository's package.json on free
// loopback ports, keeps everything in memory, and stops it again. What is
// stored in it is left to the tests.
package azurite

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"
)

// ErrMissing means that Node.js or the emulator is not installed here.
var ErrMissing = errors.New("run `make test`, it installs Azurite; needs Node.js 20 or later")

// The account that every Azurite has, and its key, which is public.
const (
	accountName = "devstoreaccount1"
	accountKey  = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)

const (
	// startTimeout is generous: on a busy machine Node takes its time.
	startTimeout = time.Minute
	stopTimeout  = 5 * time.Second
	// maxLog bounds what is kept of the emulator's log.
	maxLog = 64 << 10
)

// script is the emulator below a directory that holds node_modules.
var script = filepath.Join("node_modules", "azurite", "dist", "src", "azurite.js")

// Server is a running Azurite.
type Server struct {
	endpoints map[string]string // by service: Blob, Queue, Table
	cmd       *exec.Cmd
	dir       string
	log       *tail
	done      chan struct{} // closed when the process has ended

	stop    sync.Mutex // guards stopped
	stopped bool
}

// Start runs Azurite on free loopback ports and returns when it answers. It
// looks for node_modules in the working directory and in those above. The
// context bounds the start only. The error is ErrMissing where Node.js or
// Azurite is not installed.
func Start(ctx context.Context) (*Server, error) {
	node, path, err := find()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "azurite-")
	if err != nil {
		return nil, fmt.Errorf("start azurite: %w", err)
	}
	s := &Server{dir: dir, log: &tail{}, done: make(chan struct{})}
	// Port 0 lets the system choose, and the log tells what it chose, so no
	// other program can take the ports in between.
	s.cmd = exec.Command(node, path, //nolint:noctx // it outlives the context of its start; Stop ends it
		"--silent", "--disableTelemetry", "--inMemoryPersistence", "--skipApiVersionCheck",
		"--blobHost", "127.0.0.1", "--blobPort", "0",
		"--queueHost", "127.0.0.1", "--queuePort", "0",
		"--tableHost", "127.0.0.1", "--tablePort", "0")
	s.cmd.Dir = dir
	s.cmd.Stderr = s.log
	out, err := s.cmd.StdoutPipe()
	if err == nil {
		err = s.cmd.Start()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start azurite: %w", err), os.RemoveAll(dir))
	}
	ready := make(chan map[string]string, 1)
	go s.follow(out, ready)
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	select {
	case s.endpoints = <-ready:
		return s, nil
	case <-s.done:
		err = errors.New("it ended at once")
	case <-ctx.Done():
		err = ctx.Err()
	}
	return nil, errors.Join(fmt.Errorf("start azurite: %w; its log:\n%s", err, s.Log()), s.Stop())
}

// find returns the programs to run.
func find() (node, path string, err error) {
	if node, err = exec.LookPath("node"); err != nil {
		return "", "", fmt.Errorf("node is not on the PATH: %w", ErrMissing)
	}
	dir, err := os.Getwd()
	if err != nil {
		return "", "", fmt.Errorf("find azurite: %w", err)
	}
	for {
		path = filepath.Join(dir, script)
		if _, err := os.Stat(path); err == nil {
			return node, path, nil
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", "", fmt.Errorf("no directory above has %s: %w", script, ErrMissing)
		}
		dir = up
	}
}

var listening = regexp.MustCompile(`^Azurite (Blob|Queue|Table) service is successfully listening at (http://\S+)$`)

// follow reads the log until the process ends, and reports the endpoints once
// all three services listen.
func (s *Server) follow(out io.Reader, ready chan<- map[string]string) {
	found := map[string]string{}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		fmt.Fprintln(s.log, lines.Text())
		if m := listening.FindStringSubmatch(strings.TrimSpace(lines.Text())); m != nil {
			if found[m[1]] = m[2]; len(found) == 3 {
				ready <- found
				found = map[string]string{}
			}
		}
	}
	_, _ = io.Copy(s.log, out) // after a line that was too long
	_ = s.cmd.Wait()           // how it ended says nothing: Stop kills it
	close(s.done)
}

// ConnectionString names the account with its key and all three endpoints.
func (s *Server) ConnectionString() string {
	text := "DefaultEndpointsProtocol=http;AccountName=" + accountName + ";AccountKey=" + accountKey + ";"
	for _, service := range []string{"Blob", "Queue", "Table"} {
		text += service + "Endpoint=" + s.endpoints[service] + "/" + accountName + ";"
	}
	return text
}

// Log returns the end of the emulator's log.
func (s *Server) Log() string { return s.log.String() }

// Stop ends the process and waits for it. It may be called more than once.
func (s *Server) Stop() error {
	s.stop.Lock()
	defer s.stop.Unlock()
	if s.stopped {
		return nil
	}
	s.stopped = true
	// Nothing is worth saving: an error of a signal means that it has ended.
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.done:
	case <-time.After(stopTimeout):
		_ = s.cmd.Process.Kill()
		<-s.done
	}
	if err := os.RemoveAll(s.dir); err != nil {
		return fmt.Errorf("stop azurite: %w", err)
	}
	return nil
}

// tail keeps the end of what is written to it.
type tail struct {
	mu  sync.Mutex // guards buf
	buf []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, p...)
	if n := len(t.buf) - maxLog; n > 0 {
		t.buf = append(t.buf[:0], t.buf[n:]...)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.buf)
}

// Shared is one emulator for all tests of a package, which starts when the first of
// them wants it. The zero value is ready.
type Shared struct {
	once   sync.Once
	server *Server
	conn   string
	err    error
}

// ConnectionString starts the emulator if nobody has. Where one runs elsewhere, by its
// connection string, that is taken.
func (s *Shared) ConnectionString(elsewhere string) (string, error) {
	s.once.Do(func() {
		if s.conn = elsewhere; s.conn != "" {
			return
		}
		if s.server, s.err = Start(context.Background()); s.err == nil {
			s.conn = s.server.ConnectionString()
		}
	})
	return s.conn, s.err
}

// Stop ends an emulator of its own.
func (s *Shared) Stop() error {
	if s.server == nil {
		return nil
	}
	return s.server.Stop()
}
