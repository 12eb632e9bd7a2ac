package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"tandem/internal/api"
	"tandem/internal/pair"
	"tandem/internal/store"
)

var _ api.Store = (*store.Store)(nil)

// file is a pair file with the name, whose units no other pair has.
func file(name string) string {
	return fmt.Sprintf(`apiVersion: tandem/v1
kind: Pair
name: %[1]s
azure: { subscription: 00000000-0000-0000-0000-000000000001, resourceGroup: rg-edge, location: westeurope }
units:
  first:  { vm: %[1]s-a, address: 10.0.0.4, api: { secret: lm1-api } }
  second: { vm: %[1]s-b, address: 10.0.0.5, api: { secret: lm2-api } }
loadBalancers:
  - name: ilb-edge
    pools: [ loadmasters ]
    frontends: [ { name: vip1, address: 10.0.0.100 } ]
    rules: [ { name: check, frontend: vip1, port: 8444 } ]
`, name)
}

// served is an operator API over an empty store.
type served struct {
	t       *testing.T
	account *store.Embedded
	store   *store.Store
	handler http.Handler
	client  *api.Client
	header  http.Header // of every request of the client
	log     *bytes.Buffer
}

func serve(t *testing.T) *served {
	t.Helper()
	return serveOver(t, store.NewEmbedded(store.EmbeddedOptions{}).Store(store.HandleOptions{}))
}

func serveOver(t *testing.T, kept api.Store) *served {
	t.Helper()
	s := &served{t: t, log: &bytes.Buffer{}}
	s.store, _ = kept.(*store.Store)
	handler, err := api.NewServer(api.Options{Store: kept, Log: slog.New(slog.NewTextHandler(s.log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	s.handler = handler
	web := httptest.NewServer(handler)
	t.Cleanup(web.Close)
	if s.client, err = api.NewClient(web.URL+"/", "", web.Client()); err != nil {
		t.Fatal(err)
	}
	return s
}

// ask makes one request to the routes and returns the answer.
func (s *served) ask(method, path, body string) *http.Response {
	s.t.Helper()
	return s.askWith(method, path, body, nil)
}

// askWith makes one with headers of its own.
func (s *served) askWith(method, path, body string, header http.Header) *http.Response {
	s.t.Helper()
	r := httptest.NewRequestWithContext(s.t.Context(), method, path, strings.NewReader(body))
	maps.Copy(r.Header, header)
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, r)
	return w.Result()
}

// problem reads the problem in an answer.
func (s *served) problem(resp *http.Response) api.Problem {
	s.t.Helper()
	var p api.Problem
	if err := json.NewDecoder(resp.Body).Decode(&p); err != nil {
		s.t.Fatalf("status %d: no problem in the answer: %v", resp.StatusCode, err)
	}
	if got := resp.Header.Get("Content-Type"); got != "application/problem+json" {
		s.t.Errorf("a problem of type %q", got)
	}
	if p.Status != resp.StatusCode {
		s.t.Errorf("problem of status %d in an answer of status %d", p.Status, resp.StatusCode)
	}
	return p
}

func (s *served) define(names ...string) {
	s.t.Helper()
	for _, name := range names {
		if _, err := s.client.Apply(s.t.Context(), name, []byte(file(name)), false); err != nil {
			s.t.Fatal(err)
		}
	}
}

// entries puts n entries into a pair's journal, ids 2 to n+1 of epoch 1.
func (s *served) entries(name string, n int) {
	s.t.Helper()
	for i := range n {
		post := pair.Post{ID: pair.ID(name, 1, i+2), Kind: pair.PostJournal, Type: pair.EntryDecided, At: time.Now(), Body: []byte(`{}`)}
		if err := s.store.AppendJournal(s.t.Context(), name, post); err != nil {
			s.t.Fatal(err)
		}
	}
}

func TestEveryAnswerHasItsLength(t *testing.T) {
	s := serve(t)
	s.define("edge")
	s.entries("edge", 3)
	tests := []struct {
		method, path, body string
		status             int
	}{
		{"GET", "/api/pairs", "", 200},
		{"GET", "/api/pairs/edge", "", 200},
		{"HEAD", "/api/pairs/edge", "", 200},
		{"PUT", "/api/pairs/edge", file("edge"), 200},
		{"GET", "/api/pairs/edge/journal", "", 200},
		{"GET", "/api/pairs/edge/journal/" + pair.ID("edge", 1, 2), "", 200},
		{"GET", "/api/pairs/none", "", 404},
		{"GET", "/api/pairs/none/journal", "", 404},
		{"GET", "/api/pairs/edge/journal/" + pair.ID("edge", 1, 99), "", 404},
		{"GET", "/api/pairs/edge/journal/nonsense", "", 400},
		{"GET", "/api/pairs/NO-NAME", "", 400},
		{"GET", "/api", "", 404},
		{"GET", "/api/", "", 404},
		{"GET", "/api/nothing", "", 404},
		{"DELETE", "/api/pairs/edge", "", 404},
		{"POST", "/api/pairs", "{}", 404},
		{"PATCH", "/api/pairs/edge", "{}", 404},
	}
	for _, tt := range tests {
		t.Run(tt.method+" "+tt.path, func(t *testing.T) {
			resp := s.ask(tt.method, tt.path, tt.body)
			if resp.StatusCode != tt.status {
				t.Errorf("status %d, want %d", resp.StatusCode, tt.status)
			}
			b, err := io.ReadAll(resp.Body)
			if err != nil {
				t.Fatal(err)
			}
			if got := resp.Header.Get("Content-Length"); got != strconv.Itoa(len(b)) {
				t.Errorf("Content-Length %q of %d bytes", got, len(b))
			}
			if resp.Header.Get("Cache-Control") != "no-store" {
				t.Error("the answer may be stored on its way")
			}
			var object map[string]any
			if err := json.Unmarshal(b, &object); err != nil {
				t.Errorf("the answer is no JSON object: %v", err)
			}
		})
	}
}

func TestADefinitionIsCreatedChangedOrUnchanged(t *testing.T) {
	s := serve(t)
	ctx := t.Context()
	changed := strings.Replace(file("edge"), "kind: Pair\n", "kind: Pair\nmode: auto\n", 1)
	steps := []struct {
		name   string
		file   string
		dryRun bool
		want   string
		epoch  uint64 // afterwards; 0 is no pair
	}{
		{"a dry run creates nothing", file("edge"), true, "created", 0},
		{"a new pair is created", file("edge"), false, "created", 1},
		{"the same file changes nothing", file("edge"), false, "unchanged", 1},
		{"a dry run changes nothing", changed, true, "changed", 1},
		{"a change takes a new epoch", changed, false, "changed", 2},
		{"a dry run of what is there", changed, true, "unchanged", 2},
	}
	for _, st := range steps {
		got, err := s.client.Apply(ctx, "edge", []byte(st.file), st.dryRun)
		if err != nil {
			t.Fatalf("%s: %v", st.name, err)
		}
		if want := (api.Applied{V: 1, Name: "edge", Change: st.want, DryRun: st.dryRun}); got != want {
			t.Errorf("%s: %+v, want %+v", st.name, got, want)
		}
		status, err := s.client.Pair(ctx, "edge")
		if st.epoch == 0 && !errors.Is(err, pair.ErrNotFound) || st.epoch != 0 && (err != nil || status.Epoch != st.epoch) {
			t.Errorf("%s: afterwards epoch %d, %v; want epoch %d", st.name, status.Epoch, err, st.epoch)
		}
	}
	snap, err := s.store.Load(ctx, "edge")
	if err != nil {
		t.Fatal(err)
	}
	var kinds []string
	for _, p := range snap.Outbox {
		kinds = append(kinds, p.ID+" "+p.Type)
	}
	if want := []string{pair.ID("edge", 1, 1) + " applied", pair.ID("edge", 2, 1) + " applied"}; !slices.Equal(kinds, want) {
		t.Errorf("for the journal %v, want %v", kinds, want)
	}
}

func TestADefinitionThatCannotBeRightIsRefused(t *testing.T) {
	tests := []struct {
		name     string
		path     string
		body     string
		status   int
		kind     string
		mistakes []string // fields
		says     string
	}{
		{"another name than in the path", "other", file("edge"), 400, "invalid", nil, `"edge" in the file, "other" in the path`},
		{"an empty body, as the host makes of a chunked one", "edge", "", 400, "invalid", nil, "Content-Length"},
		{"no YAML at all", "edge", "\x00\x01{", 400, "invalid", []string{""}, ""},
		{
			"all mistakes together, each with its line and field", "edge",
			strings.NewReplacer("westeurope", `""`, "name: ilb-edge", "name: ilb-edge\n    colour: red", "10.0.0.5", "10.0.0.256").Replace(file("edge")),
			400, "invalid",
			[]string{"azure.location", "loadBalancers[0].colour", "units.second.address"},
			"",
		},
		{"two pairs in one file", "edge", file("edge") + "---\n" + file("other"), 400, "invalid", nil, "holds 2 pairs"},
		{"more than the limit", "edge", strings.Repeat("#", api.BodyMax+1), 413, "too-large", nil, strconv.Itoa(api.BodyMax)},
		{"units of another pair", "thief", strings.ReplaceAll(strings.ReplaceAll(file("thief"), "thief-a", "owner-a"), "thief-b", "owner-b"), 409, "exists", nil, "owner"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := serve(t)
			s.define("owner")
			resp := s.ask("PUT", "/api/pairs/"+tt.path, tt.body)
			p := s.problem(resp)
			if p.Status != tt.status || p.Kind != tt.kind || !strings.Contains(p.Detail, tt.says) {
				t.Errorf("problem %+v, want status %d, kind %s and a detail with %q", p, tt.status, tt.kind, tt.says)
			}
			var fields []string
			for _, m := range p.Mistakes {
				fields = append(fields, m.Field)
				if m.Expected == "" {
					t.Errorf("mistake %+v does not say what was expected", m)
				}
			}
			slices.Sort(fields)
			if !slices.Equal(fields, tt.mistakes) {
				t.Errorf("mistakes in %q, want in %q", fields, tt.mistakes)
			}
			if _, err := s.store.Load(t.Context(), tt.path); !errors.Is(err, pair.ErrNotFound) {
				t.Errorf("after the refusal the pair is there: %v", err)
			}
		})
	}
}

// TestTheExampleIsTaken defines the pair file that the documents show.
func TestTheExampleIsTaken(t *testing.T) {
	b, err := os.ReadFile("../../examples/edge-weu.yaml")
	if err != nil {
		t.Fatal(err)
	}
	s := serve(t)
	if got, err := s.client.Apply(t.Context(), "edge-weu", b, false); err != nil || got.Change != "created" {
		t.Errorf("apply: %+v, %v", got, err)
	}
}

func TestPairsArePaged(t *testing.T) {
	s := serve(t)
	var want []string
	for n := range api.PageMax + 5 {
		want = append(want, fmt.Sprintf("pair-%03d", n))
	}
	s.define(want...)
	var page api.Pairs
	if err := json.NewDecoder(s.ask("GET", "/api/pairs", "").Body).Decode(&page); err != nil {
		t.Fatal(err)
	}
	if len(page.Pairs) != api.PageMax || page.Next != want[api.PageMax-1] {
		t.Errorf("the first page has %d pairs and continues after %q, want %d and %q", len(page.Pairs), page.Next, api.PageMax, want[api.PageMax-1])
	}
	all, err := s.client.Pairs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range all {
		got = append(got, p.Name)
	}
	if !slices.Equal(got, want) {
		t.Errorf("the client lists %d pairs, want all %d in order", len(got), len(want))
	}
	page = api.Pairs{}
	if err := json.NewDecoder(s.ask("GET", "/api/pairs?after=pair-202", "").Body).Decode(&page); err != nil {
		t.Fatal(err)
	}
	if len(page.Pairs) != 2 || page.Pairs[0].Name != "pair-203" || page.Next != "" {
		t.Errorf("after pair-202 come %+v, want the last two and no more", page)
	}
}

func TestNoPairsAreAnEmptyList(t *testing.T) {
	b, err := io.ReadAll(serve(t).ask("GET", "/api/pairs", "").Body)
	if want := `{"v":1,"pairs":[]}` + "\n"; err != nil || string(b) != want {
		t.Errorf("answer %q, %v; want %q", b, err, want)
	}
}

func TestTheJournalIsReadBackwards(t *testing.T) {
	s := serve(t)
	s.define("edge")
	s.entries("edge", 30)
	seqs := func(j api.Journal) (out []int) {
		for _, e := range j.Entries {
			n, err := strconv.Atoi(e.ID[len(e.ID)-3:])
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, n)
		}
		return out
	}
	newest, err := s.client.Journal(t.Context(), "edge", 4, "")
	if err != nil || !slices.Equal(seqs(newest), []int{31, 30, 29, 28}) || newest.Next != pair.ID("edge", 1, 28) {
		t.Errorf("the newest four: %v, next %q, %v", seqs(newest), newest.Next, err)
	}
	older, err := s.client.Journal(t.Context(), "edge", 4, newest.Next)
	if err != nil || !slices.Equal(seqs(older), []int{27, 26, 25, 24}) {
		t.Errorf("the next four: %v, %v", seqs(older), err)
	}
	last, err := s.client.Journal(t.Context(), "edge", 4, pair.ID("edge", 1, 4))
	if err != nil || !slices.Equal(seqs(last), []int{3, 2}) || last.Next != "" {
		t.Errorf("the oldest: %v, next %q, %v; want two and no more", seqs(last), last.Next, err)
	}
	var some api.Journal
	if err := json.NewDecoder(s.ask("GET", "/api/pairs/edge/journal", "").Body).Decode(&some); err != nil || len(some.Entries) != 20 {
		t.Errorf("without a limit: %d entries, %v; want 20", len(some.Entries), err)
	}
	for _, limit := range []string{"0", "-1", "many", strconv.Itoa(api.PageMax + 1), "1e2", "99999999999999999999"} {
		if p := s.problem(s.ask("GET", "/api/pairs/edge/journal?limit="+limit, "")); p.Kind != "invalid" || !strings.Contains(p.Detail, "1 to 200") {
			t.Errorf("limit %s: %+v, want invalid", limit, p)
		}
	}
	if p := s.problem(s.ask("GET", "/api/pairs/edge/journal?before=other-000000000001-001", "")); p.Kind != "invalid" {
		t.Errorf("before an entry of another pair: %+v, want invalid", p)
	}
	entry, err := s.client.Entry(t.Context(), "edge", pair.ID("edge", 1, 7))
	if err != nil || entry.ID != pair.ID("edge", 1, 7) || entry.Kind != pair.EntryDecided {
		t.Errorf("one entry: %+v, %v", entry, err)
	}
}

// TestStatusShowsWhatIsStored stores what a status can show.
func TestStatusShowsWhatIsStored(t *testing.T) {
	s := serve(t)
	s.define("edge")
	snap, err := s.store.Load(t.Context(), "edge")
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	rec := snap.Record
	rec.Situation, rec.Since, rec.LastActive = pair.BothActive, at, pair.First
	rec.Suspicion = pair.Suspicion{Situation: pair.Healthy, Count: 2, Since: at, CountedAt: at}
	rec.Admin = []pair.AdminHold{{LoadBalancer: "ilb-edge", Pool: "loadmasters", Unit: pair.Second, State: pair.AdminDown, Epoch: 1, Owner: "tandem", Reason: "fence", Since: at, Deadline: at}}
	intent := pair.Intent{ID: pair.ID("edge", 1, 2), Epoch: 1, Kind: pair.IntentFence, Reason: "fence"}
	if _, err := s.store.Commit(t.Context(), snap, pair.Change{Record: rec, PutIntents: []pair.Intent{intent}}); err != nil {
		t.Fatal(err)
	}
	got, err := s.client.Pair(t.Context(), "edge")
	if err != nil {
		t.Fatal(err)
	}
	if got.Situation != pair.BothActive || !got.Since.Equal(at) || got.Active != pair.First || got.Suspicion == nil || got.Suspicion.Count != 2 ||
		len(got.Holds) != 1 || len(got.Open) != 1 || got.Mode != pair.Observe || got.Warning != "" {
		t.Errorf("status %+v does not show what is stored", got)
	}
}

func TestAPairOfANewerReleaseIsShownWithAWarning(t *testing.T) {
	s := serve(t)
	s.define("edge", "other")
	snap, err := s.store.Load(t.Context(), "edge")
	if err != nil {
		t.Fatal(err)
	}
	snap.Record.MinReader = pair.Version + 1
	if _, err := s.store.Commit(t.Context(), snap, pair.Change{Record: snap.Record}); err != nil {
		t.Fatal(err)
	}
	all, err := s.client.Pairs(t.Context())
	if err != nil || len(all) != 2 || all[0].Name != "edge" || all[0].Warning == "" || all[1].Warning != "" {
		t.Errorf("pairs %+v, %v; want both, and a warning at the first", all, err)
	}
	if _, err := s.client.Apply(t.Context(), "edge", []byte(file("edge")), false); !errors.Is(err, pair.ErrTooNew) {
		t.Errorf("apply: %v, want that it is too new", err)
	}
}

// broken is a store that fails with one error.
type broken struct{ err error }

func (b broken) Load(context.Context, string) (pair.Snapshot, error) { return pair.Snapshot{}, b.err }

func (b broken) Define(context.Context, pair.Definition, func(uint64) []pair.Post) (pair.Snapshot, error) {
	return pair.Snapshot{}, b.err
}

func (b broken) Commit(context.Context, pair.Snapshot, pair.Change) (pair.Snapshot, error) {
	return pair.Snapshot{}, b.err
}

func (b broken) Stop(context.Context) (*pair.Pause, error)              { return nil, b.err }
func (b broken) SetStop(context.Context, *pair.Pause, pair.Entry) error { return b.err }
func (b broken) Said(context.Context) ([]pair.Entry, error)             { return nil, b.err }

func (b broken) Pairs(context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) { yield("", b.err) }
}

func (b broken) Journal(context.Context, string, int, string) ([]pair.Entry, error) {
	return nil, b.err
}
func (b broken) Send(context.Context, string, pair.Message, time.Duration) error { return b.err }
func (b broken) Entry(context.Context, string, string) (pair.Entry, error) {
	return pair.Entry{}, b.err
}

// TestEveryKindKeepsItsMeaningOverTheWire sends each kind of error through the
// routes and back to the client, which asks for it as the server did.
func TestEveryKindKeepsItsMeaningOverTheWire(t *testing.T) {
	for _, k := range api.Kinds() {
		t.Run(k.Err.Error(), func(t *testing.T) {
			s := serveOver(t, broken{fmt.Errorf("read it: %w", k.Err)})
			p := s.problem(s.ask("GET", "/api/pairs/edge/journal/"+pair.ID("edge", 1, 1), ""))
			if want := (api.Problem{Kind: k.Name, Status: k.Status, Detail: "read it: " + k.Err.Error()}); p.Kind != want.Kind || p.Status != want.Status || p.Detail != want.Detail {
				t.Errorf("problem %+v, want %+v", p, want)
			}
			_, err := s.client.Entry(t.Context(), "edge", pair.ID("edge", 1, 1))
			if !errors.Is(err, k.Err) {
				t.Errorf("the client has %v, want %v", err, k.Err)
			}
			if got := api.ExitCode(err); got != k.Exit {
				t.Errorf("exit code %d, want %d", got, k.Exit)
			}
			if got := api.ExitCode(fmt.Errorf("run a command: %w", k.Err)); got != k.Exit {
				t.Errorf("exit code %d on the server's side, want %d", got, k.Exit)
			}
		})
	}
}

// TestAFaultOfOursShowsNothing answers what is none of the kinds.
func TestAFaultOfOursShowsNothing(t *testing.T) {
	for _, fault := range []error{errors.New("secret plan"), fmt.Errorf("secret plan: %w", pair.ErrUnreadable)} {
		s := serveOver(t, broken{fault})
		for _, path := range []string{"/api/pairs", "/api/pairs/edge", "/api/pairs/edge/journal", "/api/pairs/edge/journal/" + pair.ID("edge", 1, 1)} {
			s.log.Reset()
			p := s.problem(s.ask("GET", path, ""))
			if p.Kind != "internal" || p.Status != 500 || strings.Contains(p.Detail, "secret") {
				t.Errorf("%s: problem %+v, want an internal one that shows nothing", path, p)
			}
			if !strings.Contains(s.log.String(), "secret plan") || !strings.Contains(s.log.String(), path) {
				t.Errorf("%s: the log does not have it: %s", path, s.log)
			}
		}
		_, err := s.client.Pair(t.Context(), "edge")
		if err == nil || api.ExitCode(err) != 1 || strings.Contains(err.Error(), "secret") {
			t.Errorf("the client has %v", err)
		}
	}
	if api.ExitCode(nil) != 0 {
		t.Error("no error is not exit code 0")
	}
}

func TestAServerNeedsItsParts(t *testing.T) {
	if _, err := api.NewServer(api.Options{}); err == nil {
		t.Error("made a server of nothing")
	}
}

// logger writes where the tests look for the log.
func (s *served) logger() *slog.Logger { return slog.New(slog.NewTextHandler(s.log, nil)) }
