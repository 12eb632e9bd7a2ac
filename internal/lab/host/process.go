package host

import (
	"bytes"
	"context"
	"io"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Launcher starts the handler. A launcher of its own lets the lab run a
// handler inside the test process, with a network in memory.
type Launcher interface {
	// Port returns a port on which the next handler can listen. It is asked
	// before each start unless host.json fixes the port.
	Port() (int, error)
	// Start starts the program and returns at once. An error means that the
	// program couldn't be started at all, which the host doesn't try again
	// (functions-host.md 1.3). When ctx ends the process must end too.
	Start(ctx context.Context, env Environment) (Process, error)
}

// Environment is what a started handler gets (functions-host.md 1.1, 1.2).
type Environment struct {
	Program          string   // host.json's defaultExecutablePath, %NAME% replaced
	Arguments        []string // one command line part each, %NAME% replaced
	WorkingDirectory string   // empty for the script root; relative to it otherwise
	WorkerDirectory  string   // base of a relative Program; empty for the script root
	Port             int      // where the handler must listen, on 127.0.0.1
	// Variables are the app settings and what the host adds, by name.
	Variables map[string]string
	// Stdout and Stderr take the handler's output. They never block on
	// anything but the host's own log function.
	Stdout, Stderr io.Writer
}

// Process is a running handler.
type Process interface {
	// Wait blocks until the process has ended and returns its exit code, or -1
	// when a signal ended it. Any number of callers may wait.
	Wait() int
	// Kill ends the process without warning. Its connections are closed.
	Kill()
	// Dial connects to an address of the process's machine. A port on which
	// nobody listens gives an error that is syscall.ECONNREFUSED.
	Dial(ctx context.Context, network, address string) (net.Conn, error)
}

// Exec starts a real executable that listens on the real loopback. It can't
// be used in a synctest bubble.
type Exec struct {
	Dir string // the staged script root on disk
}

// Port picks a free loopback port. As in the real host, somebody else could
// take it before the handler does.
func (e Exec) Port() (int, error) {
	listener, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return 0, err
	}
	port := listener.Addr().(*net.TCPAddr).Port
	return port, listener.Close()
}

// Start runs the program with this process's environment, the app settings
// and what the host adds.
func (e Exec) Start(ctx context.Context, env Environment) (Process, error) {
	root, err := filepath.Abs(e.Dir)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, program(root, env), env.Arguments...)
	cmd.Dir = below(root, env.WorkingDirectory)
	cmd.Env = os.Environ()
	for name, value := range env.Variables {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	cmd.Env = append(cmd.Env, "FUNCTIONS_APP_ROOT_PATH="+root)
	cmd.Stdout, cmd.Stderr = env.Stdout, env.Stderr
	cmd.WaitDelay = time.Second // a grandchild may hold the pipes
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &execProcess{cmd: cmd, ended: make(chan struct{})}
	go p.reap()
	return p, nil
}

// program is the full path of a file below the worker directory, or the value
// as it is for the PATH search.
func program(root string, env Environment) string {
	path := below(below(root, env.WorkerDirectory), env.Program)
	if _, err := os.Stat(path); err == nil {
		return path
	}
	return env.Program
}

func below(root, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(root, path)
}

type execProcess struct {
	cmd   *exec.Cmd
	ended chan struct{} // closed when the process has been reaped
}

// reap waits for the process; it ends with the process, which Kill and the
// context given to Start guarantee.
func (p *execProcess) reap() {
	_ = p.cmd.Wait() // the exit code is read from the process state
	close(p.ended)
}

func (p *execProcess) Wait() int {
	<-p.ended
	return p.cmd.ProcessState.ExitCode()
}

func (p *execProcess) Kill() {
	_ = p.cmd.Process.Kill() // fails only when the process has ended
}

func (p *execProcess) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	var dialer net.Dialer
	return dialer.DialContext(ctx, network, address)
}

// environment is what the next process gets.
func (h *Host) environment(port int) Environment {
	id := h.random.guid()
	variables := map[string]string{}
	maps.Copy(variables, h.config.Settings)
	maps.Copy(variables, map[string]string{
		"FUNCTIONS_CUSTOMHANDLER_PORT":      strconv.Itoa(port),
		"FUNCTIONS_HTTPWORKER_PORT":         strconv.Itoa(port),
		"FUNCTIONS_CUSTOMHANDLER_WORKER_ID": id,
		"FUNCTIONS_HTTPWORKER_ID":           id,
		"FUNCTIONS_APP_ROOT_PATH":           "/home/site/wwwroot",
	})
	env := Environment{
		Program:          h.file.program,
		WorkingDirectory: h.file.workingDirectory,
		WorkerDirectory:  h.file.workerDirectory,
		Port:             port,
		Variables:        variables,
	}
	env.Arguments = commandLine(expand(strings.Join(h.file.arguments, " "), variables))
	return env
}

// commandLine splits what the host joins with blanks and doesn't quote
// (functions-host.md 1.1): only double quotes keep a blank.
func commandLine(text string) []string {
	var parts []string
	var part strings.Builder
	quoted, started := false, false
	for _, r := range text + " " {
		switch {
		case r == '"':
			quoted, started = !quoted, true
		case r == ' ' && !quoted:
			if started {
				parts = append(parts, part.String())
			}
			part.Reset()
			started = false
		default:
			part.WriteRune(r)
			started = true
		}
	}
	return parts
}

// lineWriter cuts a stream into lines. A line longer than its bound is cut.
type lineWriter struct {
	mu   sync.Mutex // guards rest
	rest []byte
	line func(string)
}

const longestLine = 64 << 10

func (w *lineWriter) Write(data []byte) (int, error) {
	for _, line := range w.split(data) {
		w.line(line)
	}
	return len(data), nil
}

func (w *lineWriter) split(data []byte) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.rest = append(w.rest, data...)
	var lines []string
	for {
		end := bytes.IndexByte(w.rest, '\n')
		if end < 0 && len(w.rest) > longestLine {
			end = longestLine
		}
		if end < 0 {
			return lines
		}
		lines = append(lines, strings.TrimRight(string(w.rest[:end]), "\r"))
		w.rest = bytes.TrimPrefix(w.rest[end:], []byte("\n"))
	}
}

// flush hands on what an ended process left without a line end.
func (w *lineWriter) flush() {
	w.mu.Lock()
	last := string(w.rest)
	w.rest = nil
	w.mu.Unlock()
	if last != "" {
		w.line(last)
	}
}
