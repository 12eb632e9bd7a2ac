package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"net/http"
	"strconv"
	"sync"
	"time"

	"tandem/internal/manifest"
	"tandem/internal/pair"
)

const (
	// bodyMax bounds what is read of a request.
	bodyMax = 1 << 20
	// pageMax bounds a page of a list.
	pageMax = 200
)

// Store is what the API reads, and where it keeps what a person says.
type Store interface {
	Load(ctx context.Context, name string) (pair.Snapshot, error)
	Define(ctx context.Context, d pair.Definition, posts func(epoch uint64) []pair.Post) (pair.Snapshot, error)
	Commit(ctx context.Context, snap pair.Snapshot, ch pair.Change) (pair.Snapshot, error)
	Stop(ctx context.Context) (*pair.Pause, error)
	SetStop(ctx context.Context, stop *pair.Pause, said pair.Entry) error
	// Said is what was said about all pairs, newest first.
	Said(ctx context.Context) ([]pair.Entry, error)
	Pairs(ctx context.Context) iter.Seq2[string, error]
	Journal(ctx context.Context, name string, limit int, before string) ([]pair.Entry, error)
	Entry(ctx context.Context, name, id string) (pair.Entry, error)
	Send(ctx context.Context, queue string, m pair.Message, delay time.Duration) error
}

// Options are the parts of the server.
type Options struct {
	Store Store
	Log   *slog.Logger
	Now   func() time.Time // default time.Now
	// MaxMode is the program's limit of all modes, to say what a pair may do;
	// unset is no limit.
	MaxMode pair.Mode
	// Planner compares pairs with Azure; nil plans nothing.
	Planner Planner
	// Topologies brings GEO topologies about; nil has none.
	Topologies Topologies
	// Jobs makes jobs; nil starts none.
	Jobs Jobs
	// Keeper tells which backups are kept; nil keeps none.
	Keeper Keeper
	// Documents gives what is kept beside a pair's record; nil has none.
	Documents Documents
	// Auth is what is believed about who calls.
	Auth Auth
}

type server struct {
	Options
	// described makes the API's description when it is first asked for.
	described func() ([]byte, error)
}

// now is the time in the stored form.
func (s *server) now() time.Time { return s.Now().UTC().Truncate(time.Millisecond) }

// NewServer returns the routes, all under /api/. Who may call them at all is
// decided before: by the host's function key, and by platform authentication where
// it is configured (DESIGN section 4), which also tells who calls.
func NewServer(o Options) (http.Handler, error) {
	if o.Store == nil || o.Log == nil {
		return nil, errors.New("make operator API: options Store and Log must be given")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Auth > AuthNone {
		return nil, fmt.Errorf("make operator API: authentication %d is unknown: %w", o.Auth, pair.ErrInvalid)
	}
	s := &server{Options: o, described: sync.OnceValues(Describe)}
	mux := http.NewServeMux()
	for _, e := range s.routes() {
		mux.Handle(e.method+" "+e.path, s.answer(s.admit(e.needs, e.serve)))
	}
	mux.Handle("/", s.answer(func(r *http.Request) (any, error) { return nil, noRoute(r) }))
	return mux, nil
}

func noRoute(r *http.Request) error {
	return fmt.Errorf("%s %s: no such route: %w", r.Method, r.URL.Path, pair.ErrNotFound)
}

// answer makes a handler of a function that returns a form or an error.
func (s *server) answer(f func(*http.Request) (any, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		form, err := f(r)
		if err == nil {
			s.write(w, r, http.StatusOK, "application/json", form)
			return
		}
		p := problemOf(err)
		if mistakes, ok := errors.AsType[manifest.Problems](err); ok {
			p.Mistakes = mistakesOf(mistakes)
		}
		if u, ok := errors.AsType[*unfit](err); ok {
			p.Plan, p.Job = u.plan, u.job
		}
		if p.Status == http.StatusUnauthorized {
			w.Header().Set("WWW-Authenticate", "Bearer")
		}
		if p.Status >= http.StatusInternalServerError {
			s.Log.ErrorContext(r.Context(), "operator API failed", "method", r.Method, "path", r.URL.Path, "error", err.Error())
		}
		s.write(w, r, p.Status, "application/problem+json", p)
	})
}

func (s *server) write(w http.ResponseWriter, r *http.Request, status int, kind string, form any) {
	b, err := json.Marshal(form)
	if err != nil {
		s.Log.ErrorContext(r.Context(), "operator API answer cannot be written", "error", err.Error())
		status, b = http.StatusInternalServerError, []byte(`{"kind":"internal","status":500}`)
	}
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Content-Length", strconv.Itoa(len(b)+1))
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(append(b, '\n')) // the caller is gone: nobody to tell
}

// list answers a page of pairs; after continues it.
func (s *server) list(r *http.Request) (any, error) {
	out := Pairs{V: Version, Pairs: []Status{}}
	after := r.URL.Query().Get("after")
	stop, err := s.Store.Stop(r.Context())
	if err != nil {
		return nil, err
	}
	for name, err := range s.Store.Pairs(r.Context()) {
		if err != nil {
			return nil, err
		}
		if name <= after {
			continue
		}
		if len(out.Pairs) == pageMax {
			out.Next = out.Pairs[pageMax-1].Name
			break
		}
		st, err := s.status(r.Context(), name, stop)
		if errors.Is(err, pair.ErrNotFound) {
			continue // deleted since the list was read
		}
		if err != nil {
			return nil, err
		}
		out.Pairs = append(out.Pairs, st)
	}
	return out, nil
}

func (s *server) show(r *http.Request) (any, error) {
	stop, err := s.Store.Stop(r.Context())
	if err != nil {
		return nil, err
	}
	return s.status(r.Context(), r.PathValue("pair"), stop)
}

// define takes one pair file. With dryRun=true it only says what would happen.
func (s *server) define(r *http.Request) (any, error) {
	d, err := readDefinition(r)
	if err != nil {
		return nil, err
	}
	name := r.PathValue("pair")
	if d.Name != name {
		return nil, fmt.Errorf("pair %q in the file, %q in the path: expected the same: %w", d.Name, name, pair.ErrInvalid)
	}
	out := Applied{V: Version, Name: name, DryRun: r.URL.Query().Get("dryRun") == "true"}
	if out.Change, err = s.difference(r.Context(), d); err != nil || out.DryRun || out.Change == changeUnchanged {
		return out, err
	}
	if _, err = s.Store.Define(r.Context(), d, func(epoch uint64) []pair.Post { return s.applied(d, epoch) }); err != nil {
		return nil, err
	}
	s.wake(r.Context(), name)
	return out, nil
}

// wake has pairs looked at now. What a person said is stored, so a failure
// costs no more than the time to the next sweep.
func (s *server) wake(ctx context.Context, names ...string) {
	m := pair.Message{V: 1, Kind: "wake", Pairs: names, Cause: pair.Cause{Kind: pair.CausePerson}}
	if err := s.Store.Send(ctx, pair.QueuePairs, m, 0); err != nil {
		s.Log.WarnContext(ctx, "what a person said waits for the sweep", "pairs", names, "error", err.Error())
	}
}

// applied is the journal's entry of a new or changed definition.
func (s *server) applied(d pair.Definition, epoch uint64) []pair.Post {
	b, err := json.Marshal(d)
	if err != nil {
		panic("api: a definition that cannot be written: " + err.Error()) // it was read from text
	}
	return []pair.Post{{
		V: pair.Version, MinReader: pair.MinReader, ID: pair.ID(d.Name, epoch, 1), Kind: pair.PostJournal,
		At: s.now(), Type: pair.EntryApplied, Body: b,
	}}
}

func readDefinition(r *http.Request) (pair.Definition, error) {
	b, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, bodyMax))
	if _, over := errors.AsType[*http.MaxBytesError](err); over {
		return pair.Definition{}, fmt.Errorf("pair file: more than %d bytes: %w", bodyMax, pair.ErrTooLarge)
	}
	if err != nil {
		return pair.Definition{}, fmt.Errorf("read pair file: %w: %w", pair.ErrUnreachable, err)
	}
	if len(b) == 0 {
		return pair.Definition{}, fmt.Errorf("pair file: empty; the host passes a body on only with Content-Length: %w", pair.ErrInvalid)
	}
	ds, err := manifest.Read("pair file", bytes.NewReader(b))
	if err != nil {
		return pair.Definition{}, fmt.Errorf("%w: %w", pair.ErrInvalid, err)
	}
	if len(ds) != 1 {
		return pair.Definition{}, fmt.Errorf("pair file holds %d pairs, expected one: %w", len(ds), pair.ErrInvalid)
	}
	return ds[0], nil
}

func (s *server) difference(ctx context.Context, d pair.Definition) (string, error) {
	snap, err := s.Store.Load(ctx, d.Name)
	switch {
	case errors.Is(err, pair.ErrNotFound):
		return "created", nil
	case err != nil:
		return "", err
	case snap.Record.Retire != nil:
		return "", unfitf("pair %s is being removed, as %s asked: apply it again when it is gone", d.Name, snap.Record.Retire.By)
	}
	a, err := json.Marshal(snap.Definition)
	if err != nil {
		return "", err
	}
	b, err := json.Marshal(d)
	if err != nil {
		return "", err
	}
	if string(a) == string(b) {
		return changeUnchanged, nil
	}
	return "changed", nil
}

func (s *server) entry(r *http.Request) (any, error) {
	return s.Store.Entry(r.Context(), r.PathValue("pair"), r.PathValue("id"))
}

func mistakesOf(ps manifest.Problems) []Mistake {
	out := make([]Mistake, len(ps))
	for i, p := range ps {
		out[i] = Mistake{Line: p.Line, Field: p.Field, Value: p.Value, Expected: p.Expected}
	}
	return out
}
