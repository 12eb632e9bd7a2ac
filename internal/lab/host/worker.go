package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Version is the host version the stand-in shows to the handler.
const Version = "4.1052.200.0"

const (
	readyPoll    = 25 * time.Millisecond // functions-host.md 1.3
	crashLimit   = 3                     // functions-host.md 1.4
	crashMemory  = 30 * time.Minute      // functions-host.md 1.4
	largestReply = 100 << 20             // bounds memory; the real host has no such limit
)

// worker is one handler process and the client that calls it.
type worker struct {
	process Process
	client  *http.Client
	base    string        // http://127.0.0.1:<port>
	ready   chan struct{} // closed when GET / was answered
	ended   chan struct{} // closed when the process has ended; code is set then
	code    int
	renew   chan struct{} // holds a value when functionTimeout ran out
	output  *handlerOutput
}

// verdict is what follows the end of a process.
type verdict int

const (
	stopVerdict    verdict = iota // the host stops
	stayVerdict                   // exit code 0: nothing is started again
	restartVerdict                // exit code 200 or a timed-out invocation
	crashVerdict                  // everything else: counted, then restarted
)

// supervise keeps one handler process running by the rules of
// functions-host.md 1.4 until the life's work ends or the handler crashed too
// often, which stops the host. Crashes are forgotten when half an hour passes
// between two. A program that can't be started isn't tried again.
func (l *life) supervise() {
	crashes, last := 0, time.Time{}
	if !l.sleep(l.host.config.Phase) {
		return
	}
	for {
		l.thaw(l.host.config.Phase)
		w, err := l.launch()
		if err != nil {
			l.host.log(LevelError, "Failed to start the handler: %v", err)
			return
		}
		switch l.attend(w) {
		case stopVerdict, stayVerdict:
			return
		case crashVerdict:
			if time.Since(last) > crashMemory {
				crashes = 0
			}
			crashes, last = crashes+1, time.Now()
			if crashes >= crashLimit {
				l.host.log(LevelError, "Exceeded http worker restart retry count for runtime: custom. Shutting down Functions Host")
				l.stop(ErrRestartLimit)
				return
			}
		case restartVerdict: // not counted
		}
		l.host.log(LevelInformation, "Restarting the handler")
	}
}

// launch starts the process and the goroutine that waits for it, which ends
// with the process.
func (l *life) launch() (*worker, error) {
	port, err := l.host.port()
	if err != nil {
		return nil, fmt.Errorf("find a port: %w", err)
	}
	env := l.host.environment(port)
	output := newHandlerOutput(l.host)
	env.Stdout, env.Stderr = output.stdout, output.stderr
	process, err := l.host.config.Launcher.Start(l.work, env)
	if err != nil {
		return nil, err
	}
	w := &worker{
		process: process,
		base:    "http://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(port)),
		ready:   make(chan struct{}),
		ended:   make(chan struct{}),
		renew:   make(chan struct{}, 1),
		output:  output,
	}
	w.client = w.newClient(!l.host.file.forwardHTTP)
	go func() {
		w.code = process.Wait()
		close(w.ended)
	}()
	l.setWorker(w)
	return w, nil
}

func (h *Host) port() (int, error) {
	if h.file.port != 0 {
		return h.file.port, nil
	}
	return h.config.Launcher.Port()
}

// newClient makes a client without a proxy, compression or retries. Redirects
// are followed unless HTTP forwarding is on (functions-host.md 1.7).
func (w *worker) newClient(follow bool) *http.Client {
	client := &http.Client{Transport: &http.Transport{
		DialContext:         w.dial,
		DisableCompression:  true,
		MaxIdleConnsPerHost: 100,
		IdleConnTimeout:     time.Minute,
	}}
	if !follow {
		client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	}
	return client
}

// dial refuses for an ended process whatever its machine would say.
func (w *worker) dial(ctx context.Context, network, address string) (net.Conn, error) {
	select {
	case <-w.ended:
		return nil, &net.OpError{Op: "dial", Net: network, Err: syscall.ECONNREFUSED}
	default:
		return w.process.Dial(ctx, network, address)
	}
}

// attend waits for the process to become ready and then to end, and says what
// follows. The process has ended when it returns.
func (l *life) attend(w *worker) verdict {
	outcome := l.watch(w)
	w.process.Kill()
	<-w.ended
	w.client.CloseIdleConnections()
	w.output.flush()
	if outcome == crashVerdict || outcome == restartVerdict {
		l.setWorker(nil)
	}
	if outcome == crashVerdict {
		l.host.log(LevelError, "The handler failed with exit code %d. Last errors: %s", w.code, w.output.lastErrors())
	}
	return outcome
}

func (l *life) watch(w *worker) verdict {
	if err := l.awaitReady(w); err != nil {
		select {
		case <-w.ended:
			return verdictOf(w.code)
		default:
		}
		if l.work.Err() != nil {
			return stopVerdict
		}
		l.host.log(LevelError, "The handler did not become ready: %v", err)
		return crashVerdict
	}
	close(w.ready)
	select {
	case <-w.ended:
		return verdictOf(w.code)
	case <-w.renew:
		return restartVerdict
	case <-l.work.Done():
		return stopVerdict
	}
}

func verdictOf(code int) verdict {
	switch code {
	case 0:
		return stayVerdict
	case 200:
		return restartVerdict
	}
	return crashVerdict
}

// awaitReady asks GET / every 25 ms. A refused connection means not yet; any
// status and any other transport error means ready (functions-host.md 1.3).
func (l *life) awaitReady(w *worker) error {
	ctx, cancel := context.WithTimeout(l.work, l.host.file.initializationTimeout)
	defer cancel()
	poll := time.NewTicker(readyPoll)
	defer poll.Stop()
	for {
		err := w.ping(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if !errors.Is(err, syscall.ECONNREFUSED) {
			return nil
		}
		select {
		case <-poll.C:
		case <-w.ended:
			return errors.New("the process ended")
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// ping sends GET / without a body and without host headers.
func (w *worker) ping(ctx context.Context) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, w.base+"/", nil)
	if err != nil {
		return err
	}
	request.Header.Set("User-Agent", "") // sends none
	response, err := w.client.Do(request)
	if err != nil {
		return err
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, largestReply)) // the status is all that counts
	return response.Body.Close()
}

// replace asks for a new process because an invocation ran into
// functionTimeout.
func (w *worker) replace() {
	select {
	case w.renew <- struct{}{}:
	default:
	}
}

// handlerOutput logs the handler's lines and remembers the last errors for
// the message about a crash.
type handlerOutput struct {
	stdout, stderr *lineWriter
	mu             sync.Mutex // guards errors
	errors         []string   // the last three lines of stderr
}

func newHandlerOutput(h *Host) *handlerOutput {
	o := &handlerOutput{}
	o.stdout = &lineWriter{line: func(line string) { h.log(LevelInformation, "%s", line) }}
	o.stderr = &lineWriter{line: func(line string) {
		o.remember(line)
		h.log(stderrLevel(line, h.file.stderrIsErrors), "%s", line)
	}}
	return o
}

// stderrLevel classifies a line as the host does
// (functions-host.md 1.1, useStdErrorStreamForErrorsOnly).
func stderrLevel(line string, errorsOnly bool) string {
	lower := strings.ToLower(line)
	if strings.Contains(lower, "warn") {
		return LevelWarning
	}
	for _, word := range []string{"error", "fail", "severe", "unhandled exception"} {
		if strings.Contains(lower, word) {
			return LevelError
		}
	}
	if errorsOnly {
		return LevelError
	}
	return LevelInformation
}

func (o *handlerOutput) remember(line string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.errors = append(o.errors, line)
	o.errors = o.errors[max(0, len(o.errors)-3):]
}

func (o *handlerOutput) lastErrors() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return strings.Join(o.errors, " | ")
}

func (o *handlerOutput) flush() {
	o.stdout.flush()
	o.stderr.flush()
}
