// Package host is a stand-in of the Azure Functions host with a custom
// handler: it starts the handler process, calls it for timers, queue messages,
// Event Grid events and HTTP requests with every oddity of the real wire
// format, and restarts it by the real rules. The specification is
// functions-host.md. The storage, the network and the platform around the
// host (scaling, drain, keys other than the webhook's) are left to others.
package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"
	"time"
)

// Levels of log lines, as the real host spells them.
const (
	LevelInformation = "Information"
	LevelWarning     = "Warning"
	LevelError       = "Error"
)

var (
	// ErrRestartLimit means that the handler failed for the third time, each
	// within 30 minutes of the one before, and the host has stopped itself.
	// The platform would start a new host (functions-host.md 1.4).
	ErrRestartLimit = errors.New("exceeded http worker restart retry count")
	// ErrNotReady means that an invocation waited four initialization
	// timeouts for a handler that never became ready, and the host has shut
	// itself down (functions-host.md 1.3).
	ErrNotReady = errors.New("the handler did not become ready")
	// ErrHalted means that Halt ended the instance.
	ErrHalted = errors.New("the instance was halted")

	errRestart  = errors.New("the host restarts")
	errStopping = errors.New("the host stops")
)

// Config is what a host is made of. App, Settings, Launcher and, where the
// app has queues or an eventGrid output, Queues and Events are required.
type Config struct {
	// App is the staged script root: host.json and one folder for each
	// function beside it.
	App fs.FS
	// Settings are the app settings. They replace %NAME%, override host.json
	// with the prefix AzureFunctionsJobHost__, and become the handler's
	// environment.
	Settings map[string]string
	// Launcher starts the handler process.
	Launcher Launcher
	// Queues is the storage account's queue service.
	Queues Queues
	// Events takes what eventGrid output bindings send.
	Events EventSink
	// Timers is the part of host storage that outlives this host and is
	// shared by the hosts of one app: schedule status and the lock that lets
	// each timer run on one of them only. Nil means one of its own.
	Timers *TimerStore
	// WebhookKey is the system key that Event Grid must send as code. Empty
	// means that none is wanted, as under the command line tools.
	WebhookKey string
	// Log takes the handler's output lines and the host's own events. It must
	// not call the host. Nil drops them.
	Log func(level, line string)

	// Seed starts the host's random streams, one for each function.
	Seed uint64
	// Phase is added to every periodic start, so that the host's timers never
	// fire in the same instant as another actor's.
	Phase time.Duration

	// ContentLength sends invocations with a Content-Length, as under the
	// command line tools, instead of in chunks as in Azure.
	ContentLength bool
	// BatchAsArray sends a batch of events as a real array instead of a string
	// that holds one; neither was ever captured (functions-host.md 9).
	BatchAsArray bool
	// TimerLeaseGap is how long timers wait at start before they first try
	// for their lock: the lease of a predecessor, 0 to 2 minutes
	// (functions-host.md 3.7).
	TimerLeaseGap time.Duration
	// StrictAnswers fails an invocation at once, and reports it in Failures,
	// when the answer is null or empty. The real host waits for
	// functionTimeout and then kills the handler.
	StrictAnswers bool
}

// Host is one instance of the Functions host.
type Host struct {
	config    Config
	file      hostFile
	functions []*function
	random    *stream

	mu       sync.Mutex // guards the fields below; never held across a wait
	life     *life      // nil while Run isn't running
	running  bool
	started  time.Time
	failures []string
	// frozenUntil is when the instance goes on that Freeze stopped.
	frozenUntil time.Time
}

// New reads host.json and every function.json. A mistake in host.json is an
// error, as it is for the host; a function that can't be loaded is reported
// in Functions and Failures while the others still work.
func New(config Config) (*Host, error) {
	if config.App == nil || config.Launcher == nil {
		return nil, errors.New("make functions host: App and Launcher are required")
	}
	file, err := readHostFile(config.App, config.Settings)
	if err != nil {
		return nil, fmt.Errorf("make functions host: %w", err)
	}
	functions, err := readFunctions(config.App, file, config.Settings)
	if err != nil {
		return nil, fmt.Errorf("make functions host: %w", err)
	}
	if config.Timers == nil {
		config.Timers = &TimerStore{}
	}
	h := &Host{config: config, file: file, functions: functions, random: newStream(config.Seed, "host")}
	for i, f := range functions {
		f.random = newStream(config.Seed, f.info.Name)
		f.phase = config.Phase + time.Duration(i+1)*7*time.Microsecond
		if f.info.Err != nil {
			h.fail("%v", f.info.Err)
			continue
		}
		if err := h.checkServices(f); err != nil {
			return nil, fmt.Errorf("make functions host: %w", err)
		}
	}
	return h, nil
}

// checkServices finds a service that a loaded function needs and nobody gave.
func (h *Host) checkServices(f *function) error {
	for _, b := range append([]binding{f.trigger}, f.outputs...) {
		if (b.isType("queueTrigger") || b.isType("queue")) && h.config.Queues == nil {
			return fmt.Errorf("function %s uses queues: Queues is required", f.info.Name)
		}
		if b.isType("eventGrid") && h.config.Events == nil {
			return fmt.Errorf("function %s publishes events: Events is required", f.info.Name)
		}
	}
	return nil
}

// Functions lists the function folders in the order of their names.
func (h *Host) Functions() []FunctionInfo {
	infos := make([]FunctionInfo, len(h.functions))
	for i, f := range h.functions {
		infos[i] = f.info
	}
	return infos
}

// Failures lists what a real host would only have logged or hung on and what
// no handler may do: functions that can't be loaded and, with StrictAnswers,
// null and empty answers. A test wants it empty.
func (h *Host) Failures() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.failures)
}

func (h *Host) fail(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	h.log(LevelError, "%s", line)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.failures = append(h.failures, line)
}

func (h *Host) log(level, format string, args ...any) {
	if h.config.Log != nil {
		h.config.Log(level, fmt.Sprintf(format, args...))
	}
}

// Run starts the handler and the triggers and works until ctx ends, which is
// a normal stop and gives nil: triggers stop first, running invocations get
// 10 seconds, then the handler is killed (functions-host.md 1.5). It returns
// ErrRestartLimit, ErrNotReady or ErrHalted when the host ends by itself, and
// never leaves a goroutine behind. A host can be run again, but not twice at
// once.
func (h *Host) Run(ctx context.Context) error {
	if !h.begin() {
		return errors.New("run functions host: it runs already")
	}
	defer h.end()
	for {
		err := h.live(ctx)
		if err == nil || errors.Is(err, errStopping) {
			return nil
		}
		if !errors.Is(err, errRestart) {
			return fmt.Errorf("run functions host: %w", err)
		}
		h.log(LevelInformation, "Host is restarting")
	}
}

func (h *Host) begin() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.running {
		return false
	}
	h.running = true
	return true
}

func (h *Host) end() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.running, h.life = false, nil
}

// Kill ends the handler process without warning, as the kernel does when
// memory runs out. The host counts it as a crash and starts it again.
func (h *Host) Kill() {
	if l := h.current(); l != nil {
		l.kill()
	}
}

// Restart restarts the host: triggers stop, the handler is killed, and all of
// it starts afresh with an empty crash count. It is also what ends the state
// after a handler exited with code 0.
func (h *Host) Restart() {
	if l := h.current(); l != nil {
		l.stop(errRestart)
	}
}

// Halt ends the instance without warning: the handler is killed, requests get
// no answer, and nothing is deleted, released or unlocked in storage. Run
// returns ErrHalted.
func (h *Host) Halt() {
	if l := h.current(); l != nil {
		l.abort(ErrHalted)
		l.stop(ErrHalted)
	}
}

func (h *Host) current() *life {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.life
}

func (h *Host) setLife(l *life) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.life, h.started = l, time.Now()
}
