package handlers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"net/netip"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"tandem/internal/azure/events"
	"tandem/internal/pair"
)

// Program is what the functions do. Each call may come twice, late, or at the
// same time as another one.
type Program interface {
	// Evidence takes facts about virtual machines, of any pair or of none.
	Evidence(ctx context.Context, facts []pair.Evidence) error
	// ResourceChanged takes load balancers, security groups and interfaces
	// that somebody else wrote or deleted, each once.
	ResourceChanged(ctx context.Context, changes []pair.ResourceChange) error
	// Sweep wakes what is due.
	Sweep(ctx context.Context) error
	// Reconcile looks at the pairs that a message names. A passing fault is
	// the program's to put back; an error makes the host deliver the message
	// again, and after five times put it into the poison queue.
	Reconcile(ctx context.Context, m pair.Message) error
}

const (
	// defaultDeadline is what DESIGN section 4 allows an invocation.
	defaultDeadline = 20 * time.Second
	// maxDeadline is how long Event Grid waits for an answer before it calls
	// the delivery failed (functions-host.md 5.3).
	maxDeadline = 30 * time.Second
	// maxBody bounds an invocation. Event Grid delivers at most 1 MB, which
	// comes twice in it (Data and Metadata), escaped.
	maxBody = 8 << 20
	// maxPanic bounds what is logged of a panic's value.
	maxPanic = 1000
)

// Options are the parts of the handler.
type Options struct {
	// Program does the work.
	Program Program
	// API serves everything under /api/, in the host's forward mode: with the
	// original method, path, headers and body. nil answers 404.
	API http.Handler
	// Own is Tandem's identity: writes of its own wake nobody.
	Own events.Own
	// Log gets one line for every invocation that did not go well. nil drops
	// them.
	Log *slog.Logger
	// Deadline ends each invocation, the API's included; below 30s, 0 is 20s.
	// The host does not tell its own (functions-host.md 1.6).
	Deadline time.Duration
	// Peers are the networks that may call. None is this machine only, because
	// the host sends no credentials (functions-host.md 2.1); the lab's host
	// lives at an address of its own.
	Peers []netip.Prefix
	// Now tells the time; nil is time.Now.
	Now func() time.Time
}

// New checks the options and returns the handler of everything that the host
// asks: GET / for "are you there", POST /<Function> for each function but API,
// and /api/ for forwarded requests. Everything else is answered with 404.
func New(o Options) (http.Handler, error) {
	if o.Program == nil {
		return nil, fmt.Errorf("make host handlers: no program: %w", pair.ErrInvalid)
	}
	if o.Deadline < 0 || o.Deadline >= maxDeadline {
		return nil, fmt.Errorf("make host handlers: deadline %v: expected less than %v: %w", o.Deadline, maxDeadline, pair.ErrInvalid)
	}
	if o.Deadline == 0 {
		o.Deadline = defaultDeadline
	}
	if o.API == nil {
		o.API = http.HandlerFunc(notFound)
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &server{Options: o}
	s.functions = map[string]function{
		"/VMHealth":        s.events,
		"/ResourceChanged": s.events,
		"/Sweep":           s.sweep,
		"/ReconcilePair":   s.reconcile,
		"/RunJob":          s.reconcile,
	}
	return s, nil
}

type server struct {
	Options
	functions map[string]function // by path; not changed after New
}

// function is one trigger: it decodes the body and makes the call.
type function func(ctx context.Context, log *slog.Logger, body []byte) error

// ServeHTTP finds out what the host wants.
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	out := &started{ResponseWriter: w}
	log := s.Log.With("path", r.URL.Path, "invocation", invocation(r))
	defer recovered(out, log)
	ctx, cancel := context.WithTimeout(r.Context(), s.Deadline)
	defer cancel()
	r = r.WithContext(ctx)

	f := s.functions[r.URL.Path]
	switch {
	case !s.mayCall(r.RemoteAddr):
		log.Warn("refused a caller that is not the host", "peer", r.RemoteAddr)
		fail(out, http.StatusForbidden, "only the Functions host may call")
	case r.URL.Path == "/api" || strings.HasPrefix(r.URL.Path, "/api/"):
		s.API.ServeHTTP(out, r)
	case r.URL.Path == "/" && (r.Method == http.MethodGet || r.Method == http.MethodHead):
		succeed(out)
	case f == nil || r.Method != http.MethodPost:
		notFound(out, r)
	case !isJSON(r):
		// The host always says JSON. A page in a browser on this machine
		// cannot, without asking first.
		fail(out, http.StatusUnsupportedMediaType, "expected application/json")
	default:
		s.invoke(out, r, f, log)
	}
}

// invoke runs one function and answers the host.
func (s *server) invoke(w http.ResponseWriter, r *http.Request, f function, log *slog.Logger) {
	start := s.Now()
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	switch {
	case err != nil:
		err = fmt.Errorf("read invocation: %w: %w", pair.ErrUnreachable, err)
	case len(body) > maxBody:
		err = fmt.Errorf("%w: more than %d bytes: %w", errPayload, maxBody, pair.ErrTooLarge)
	default:
		err = f(r.Context(), log, body)
	}
	respond(w, log.With("took", s.Now().Sub(start)), err)
}

// mayCall reports whether the peer at the address may call.
func (s *server) mayCall(address string) bool {
	peer, err := netip.ParseAddrPort(address)
	if err != nil {
		return false
	}
	ip := peer.Addr().Unmap()
	if len(s.Peers) == 0 {
		return ip.IsLoopback()
	}
	return slices.ContainsFunc(s.Peers, func(p netip.Prefix) bool { return p.Contains(ip) })
}

// invocation returns the host's id of this try, for the log only.
func invocation(r *http.Request) string {
	id := r.Header.Get("X-Azure-Functions-InvocationId")
	return id[:min(len(id), 64)]
}

func isJSON(r *http.Request) bool {
	t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return err == nil && t == "application/json"
}

// recovered turns a panic into an answer, so that one broken invocation neither
// ends the process nor leaves the host waiting. Where an answer has begun, the
// connection is closed instead.
func recovered(w *started, log *slog.Logger) {
	v := recover()
	if v == nil {
		return
	}
	if err, ok := v.(error); !ok || !errors.Is(err, http.ErrAbortHandler) {
		text := fmt.Sprint(v)
		log.Error("panic", "panic", text[:min(len(text), maxPanic)], "stack", string(debug.Stack()))
	}
	if w.begun {
		panic(http.ErrAbortHandler)
	}
	fail(w, http.StatusInternalServerError, "a fault inside Tandem; its log has the details")
}

// started is a response writer that knows whether an answer has begun.
type started struct {
	http.ResponseWriter
	begun bool
}

func (w *started) WriteHeader(status int) {
	w.begun = true
	w.ResponseWriter.WriteHeader(status)
}

func (w *started) Write(b []byte) (int, error) {
	w.begun = true
	return w.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController reach the writer underneath.
func (w *started) Unwrap() http.ResponseWriter { return w.ResponseWriter }
