package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"tandem/internal/api"
	"tandem/internal/pair"
	"tandem/internal/store"
)

// moment is the time of the API in these tests.
var moment = time.Date(2026, 11, 22, 21, 0, 0, 0, time.UTC)

// words is an operator API over one pair, edge, at a fixed time. The store can
// be given to it through a wrapper.
func words(t *testing.T, maxMode pair.Mode, wrap func(api.Store) api.Store) *served {
	t.Helper()
	return wordsWith(t, api.Options{MaxMode: maxMode}, wrap)
}

// wordsWith is the same with other options.
func wordsWith(t *testing.T, o api.Options, wrap func(api.Store) api.Store) *served {
	t.Helper()
	s := &served{t: t, log: &bytes.Buffer{}, header: http.Header{}}
	s.account = store.NewEmbedded(store.EmbeddedOptions{Now: func() time.Time { return moment }})
	s.store = s.account.Store(store.HandleOptions{})
	var kept api.Store = s.store
	if wrap != nil {
		kept = wrap(kept)
	}
	o.Store, o.Log, o.Now = kept, slog.New(slog.NewTextHandler(s.log, nil)), func() time.Time { return moment }
	var err error
	if s.handler, err = api.NewServer(o); err != nil {
		t.Fatal(err)
	}
	if s.client, err = api.NewClient("http://127.0.0.1", "", &http.Client{Transport: direct{s.handler, s.header}}); err != nil {
		t.Fatal(err)
	}
	s.define("edge")
	s.woken()
	return s
}

// direct lets a client call the routes without a socket, with some headers more.
type direct struct {
	handler http.Handler
	header  http.Header
}

func (d direct) RoundTrip(r *http.Request) (*http.Response, error) {
	maps.Copy(r.Header, d.header)
	in := httptest.NewRequestWithContext(r.Context(), r.Method, r.URL.RequestURI(), r.Body)
	in.Header = r.Header
	w := httptest.NewRecorder()
	d.handler.ServeHTTP(w, in)
	return w.Result(), nil
}

// woken takes the wake messages and returns the pairs that they name.
func (s *served) woken() []string {
	s.t.Helper()
	var names []string
	for {
		messages, err := s.account.Dequeue(s.t.Context(), pair.QueuePairs, 32, time.Hour)
		if err != nil {
			s.t.Fatal(err)
		}
		if len(messages) == 0 {
			return names
		}
		for _, m := range messages {
			var wake pair.Message
			if err := json.Unmarshal([]byte(m.Text), &wake); err != nil || wake.Cause.Kind != pair.CausePerson {
				s.t.Fatalf("message %q (%v), want a wake by a person", m.Text, err)
			}
			names = append(names, wake.Pairs...)
		}
	}
}

// remember changes what is stored of the pair edge.
func (s *served) remember(change func(*pair.Record)) pair.Snapshot {
	s.t.Helper()
	snap, err := s.store.Load(s.t.Context(), "edge")
	if err != nil {
		s.t.Fatal(err)
	}
	change(&snap.Record)
	if snap, err = s.store.Commit(s.t.Context(), snap, pair.Change{Record: snap.Record}); err != nil {
		s.t.Fatal(err)
	}
	return snap
}

func (s *served) record() pair.Record {
	s.t.Helper()
	snap, err := s.store.Load(s.t.Context(), "edge")
	if err != nil {
		s.t.Fatal(err)
	}
	return snap.Record
}

func planned(rec *pair.Record) {
	rec.Plan = &pair.Plan{Hash: "abc", Decision: pair.ID("edge", 1, 1), Row: "both-active-planned", At: moment}
}

func TestAWordIsStoredWithANewEpochAnEntryAndAWake(t *testing.T) {
	ann := &pair.Request{By: "ann", Reason: "why", At: moment}
	tests := []struct {
		name   string
		word   api.Word
		before func(*pair.Record)
		ask    api.Ask
		want   func(*testing.T, pair.Record)
		entry  pair.Asked
	}{
		{
			"a pause without an end", api.Pause, nil,
			api.Ask{},
			func(t *testing.T, rec pair.Record) {
				equal(t, rec.Pause, &pair.Pause{Owner: "ann", Reason: "why"})
			},
			pair.Asked{Word: "pause", By: "ann", Reason: "why"},
		},
		{
			"a maintenance for two hours", api.Pause, nil,
			api.Ask{For: pair.Duration(2 * time.Hour), Unit: pair.Second},
			func(t *testing.T, rec pair.Record) {
				equal(t, rec.Pause, &pair.Pause{Owner: "ann", Reason: "why", Unit: pair.Second, Until: moment.Add(2 * time.Hour)})
			},
			pair.Asked{Word: "pause", By: "ann", Reason: "why", Unit: pair.Second, Until: moment.Add(2 * time.Hour)},
		},
		{
			"a pause until a time, in another zone and with too fine a part", api.Pause, nil,
			api.Ask{Until: moment.Add(time.Hour + 7*time.Microsecond).In(time.FixedZone("CET", 3600))},
			func(t *testing.T, rec pair.Record) { equal(t, rec.Pause.Until, moment.Add(time.Hour)) },
			pair.Asked{Word: "pause", By: "ann", Reason: "why", Until: moment.Add(time.Hour)},
		},
		{
			"a resume", api.Resume, func(rec *pair.Record) { rec.Pause = &pair.Pause{Owner: "bob", Reason: "x"} },
			api.Ask{},
			func(t *testing.T, rec pair.Record) { equal(t, rec.Pause, (*pair.Pause)(nil)) },
			pair.Asked{Word: "resume", By: "ann", Reason: "why"},
		},
		{
			"an approval of the plan that waits", api.Approve, planned,
			api.Ask{Plan: "abc"},
			func(t *testing.T, rec pair.Record) { equal(t, rec.Plan.Approved, ann) },
			pair.Asked{Word: "approve", By: "ann", Reason: "why", Plan: "abc", Until: moment.Add(pair.ApprovedFor)},
		},
		{
			"an acknowledgement", api.Ack,
			func(rec *pair.Record) {
				rec.Block, rec.Moves = &pair.Block{Since: moment, Reason: "both-active-blocked"}, []time.Time{moment}
				rec.Units[1].Powered = []time.Time{moment}
				rec.Units[0].Refusal = &pair.Refusal{Until: moment.Add(time.Hour)}
				rec.Job = &pair.Job{ID: pair.ID("edge", 1, 1), State: pair.JobFailed}
			},
			api.Ask{},
			func(t *testing.T, rec pair.Record) {
				if rec.Block != nil || rec.Moves != nil || rec.Units[1].Powered != nil || rec.Units[0].Refusal != nil || !rec.Job.Acknowledged {
					t.Errorf("left %+v, %v and %v, want nothing", rec.Block, rec.Moves, rec.Units[1].Powered)
				}
			},
			pair.Asked{Word: "ack", By: "ann", Reason: "why"},
		},
		{
			"a proof", api.Prove, nil,
			api.Ask{},
			func(t *testing.T, rec pair.Record) { equal(t, rec.Prove, ann) },
			pair.Asked{Word: "prove", By: "ann", Reason: "why"},
		},
		{
			"a removal", api.Remove, nil,
			api.Ask{},
			func(t *testing.T, rec pair.Record) { equal(t, rec.Retire, ann) },
			pair.Asked{Word: "remove", By: "ann", Reason: "why"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := words(t, pair.ModeUnset, nil)
			mode(t, s, pair.Recommend)
			if tt.before != nil {
				s.remember(tt.before)
			}
			was := s.record()
			tt.ask.By, tt.ask.Reason = " ann ", "why"

			dry, err := s.client.Ask(t.Context(), tt.word, "edge", tt.ask, true)
			if err != nil {
				t.Fatal(err)
			}
			equal(t, s.record(), was)

			got, err := s.client.Ask(t.Context(), tt.word, "edge", tt.ask, false)
			if err != nil {
				t.Fatal(err)
			}
			want := api.Asked{
				V: 1, Word: tt.word, Pair: "edge", Change: "stored", Epoch: was.Epoch + 1, By: "ann",
				Until: tt.entry.Until, Plan: tt.entry.Plan, Stance: got.Stance,
			}
			equal(t, got, want)
			want.DryRun = true
			equal(t, dry, want)
			if got.Stance == "" {
				t.Error("the answer does not say what may be done now")
			}
			snap, err := s.store.Load(t.Context(), "edge")
			if err != nil {
				t.Fatal(err)
			}
			tt.want(t, snap.Record)
			if snap.Record.Epoch != was.Epoch+1 {
				t.Errorf("epoch %d after %d, want one more", snap.Record.Epoch, was.Epoch)
			}
			post := snap.Outbox[len(snap.Outbox)-1]
			if post.ID != pair.ID("edge", was.Epoch+1, 1) || post.Kind != pair.PostJournal || post.Type != pair.EntryAsked || !post.At.Equal(moment) {
				t.Errorf("for the journal %+v", post)
			}
			var entry pair.Asked
			if err := json.Unmarshal(post.Body, &entry); err != nil {
				t.Fatal(err)
			}
			equal(t, entry, tt.entry)
			equal(t, s.woken(), []string{"edge"})
			if log := s.log.String(); !strings.Contains(log, "word="+string(tt.word)) || strings.Count(log, "a person asked") != 1 {
				t.Errorf("the log does not tell it once: %s", log)
			}
		})
	}
}

// mode defines the pair edge with another mode.
func mode(t *testing.T, s *served, m pair.Mode) {
	t.Helper()
	changed := strings.Replace(file("edge"), "kind: Pair\n", "kind: Pair\nmode: "+m.String()+"\n", 1)
	if _, err := s.client.Apply(t.Context(), "edge", []byte(changed), false); err != nil {
		t.Fatal(err)
	}
	s.woken()
}

func equal(t *testing.T, got, want any) {
	t.Helper()
	a, errA := json.Marshal(got)
	b, errB := json.Marshal(want)
	if errA != nil || errB != nil || !bytes.Equal(a, b) {
		t.Errorf("got %s, want %s", a, b)
	}
}

func TestAWordThatChangesNothingIsNotStored(t *testing.T) {
	tests := []struct {
		name   string
		word   api.Word
		before func(*pair.Record)
	}{
		{"a resume of what is not paused", api.Resume, nil},
		{"a removal that was asked for", api.Remove, func(rec *pair.Record) { rec.Retire = &pair.Request{By: "bob"} }},
		{"a proof that was asked for", api.Prove, func(rec *pair.Record) { rec.Prove = &pair.Request{By: "bob"} }},
		{"a proof that is being made", api.Prove, func(rec *pair.Record) {
			rec.Admin = []pair.AdminHold{{Unit: pair.Second, Lever: pair.LeverProve, Deadline: moment.Add(time.Minute)}}
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := words(t, pair.ModeUnset, nil)
			if tt.before != nil {
				s.remember(tt.before)
			}
			was := s.record()
			got, err := s.client.Ask(t.Context(), tt.word, "edge", api.Ask{By: "ann", Reason: "why"}, false)
			if err != nil || got.Change != "unchanged" || got.Epoch != was.Epoch {
				t.Errorf("got %+v, %v; want unchanged in epoch %d", got, err, was.Epoch)
			}
			equal(t, s.record(), was)
			if names := s.woken(); names != nil {
				t.Errorf("woke %v", names)
			}
		})
	}
}

func TestAWordThatDoesNotFitIsRefused(t *testing.T) {
	paused := func(rec *pair.Record) { planned(rec); rec.Pause = &pair.Pause{Owner: "bob", Reason: "x"} }
	tests := []struct {
		name   string
		word   api.Word
		before func(*pair.Record)
		plan   string // asked
		says   string
		waits  string // the plan that the problem names
	}{
		{"an approval where no plan waits", api.Approve, nil, "abc", "no plan waits", ""},
		{"an approval of another plan", api.Approve, planned, "abd", "the plan that waits is abc", "abc"},
		{"an approval while the pair is paused", api.Approve, paused, "abc", "stance is paused", "abc"},
		{"an acknowledgement of nothing", api.Ack, nil, "", "nothing to acknowledge", ""},
		{"a proof during a pause", api.Prove, paused, "", "resume first", ""},
		{"a pause of a pair that is being removed", api.Pause, func(rec *pair.Record) { rec.Retire = &pair.Request{By: "bob"} }, "", "being removed, as bob asked", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := words(t, pair.ModeUnset, nil)
			mode(t, s, pair.Recommend)
			if tt.before != nil {
				s.remember(tt.before)
			}
			was := s.record()
			ask, err := json.Marshal(api.Ask{By: "ann", Reason: "why", Plan: tt.plan})
			if err != nil {
				t.Fatal(err)
			}
			p := s.problem(s.ask("POST", "/api/pairs/edge/"+string(tt.word), string(ask)))
			if p.Kind != "conflict" || p.Status != http.StatusConflict || !strings.Contains(p.Detail, tt.says) || p.Plan != tt.waits {
				t.Errorf("problem %+v, want a conflict that says %q and names the plan %q", p, tt.says, tt.waits)
			}
			equal(t, s.record(), was)
			_, err = s.client.Ask(t.Context(), tt.word, "edge", api.Ask{By: "ann", Reason: "why", Plan: tt.plan}, false)
			if !errors.Is(err, pair.ErrConflict) || api.ExitCode(err) != 1 {
				t.Errorf("the client has %v", err)
			}
		})
	}
}

func TestAPairThatIsBeingRemovedIsNotDefinedAnew(t *testing.T) {
	s := words(t, pair.ModeUnset, nil)
	s.remember(func(rec *pair.Record) { rec.Retire = &pair.Request{By: "bob"} })
	if _, err := s.client.Apply(t.Context(), "edge", []byte(file("edge")), false); !errors.Is(err, pair.ErrConflict) || !strings.Contains(err.Error(), "when it is gone") {
		t.Errorf("got %v, want a conflict", err)
	}
}

func TestWhatIsNoWordIsRefused(t *testing.T) {
	long := strings.Repeat("x", 501)
	tests := []struct {
		name, path, body string
		status           int
		says             string
	}{
		{"no body, as the host makes of a chunked one", "pairs/edge/pause", ``, 400, "Content-Length"},
		{"no JSON", "pairs/edge/pause", `pause`, 400, "JSON object"},
		{"an unknown key", "pairs/edge/pause", `{"by":"ann","reason":"r","force":true}`, 400, `unknown field \"force\"`},
		{"more than one object", "pairs/edge/pause", `{"by":"ann","reason":"r"} {}`, 400, "nothing after it"},
		{"more than the limit", "pairs/edge/pause", `{"by":"` + strings.Repeat("x", 17<<10) + `"}`, 413, "16384"},
		{"nobody", "pairs/edge/pause", `{"by":" ","reason":"r"}`, 400, "by: expected who asks"},
		{"the program's own name", "pairs/edge/pause", `{"by":"Tandem","reason":"r"}`, 400, "the program's own"},
		{"a name of two lines", "pairs/edge/pause", `{"by":"ann\nbob","reason":"r"}`, 400, "one line"},
		{"a pause without a reason", "pairs/edge/pause", `{"by":"ann"}`, 400, "reason: expected why"},
		{"a removal without a reason", "pairs/edge/remove", `{"by":"ann"}`, 400, "reason: expected why"},
		{"a stop without a reason", "stop", `{"by":"ann"}`, 400, "reason: expected why"},
		{"a reason that is too long", "pairs/edge/pause", `{"by":"ann","reason":"` + long + `"}`, 400, "500 bytes"},
		{"a reason that colours the terminal", "pairs/edge/pause", `{"by":"ann","reason":"\u001b[31m"}`, 400, "one line"},
		{"a unit that is none", "pairs/edge/pause", `{"by":"ann","reason":"r","unit":"third"}`, 400, "third"},
		{"a stop of one unit", "stop", `{"by":"ann","reason":"r","unit":"first"}`, 400, "unit"},
		{"a plan to pause", "pairs/edge/pause", `{"by":"ann","reason":"r","plan":"abc"}`, 400, "plan"},
		{"an approval of whatever waits", "pairs/edge/approve", `{"by":"ann"}`, 400, "the hash of the plan"},
		{"a proof with an end", "pairs/edge/prove", `{"by":"ann","for":"2h"}`, 400, "have an end"},
		{"an end that has passed", "pairs/edge/pause", `{"by":"ann","reason":"r","until":"2026-11-22T20:59:59Z"}`, 400, "after now"},
		{"an end in a hundred years", "pairs/edge/pause", `{"by":"ann","reason":"r","until":"2126-11-22T20:59:59Z"}`, 400, "at most"},
		{"a time that is none", "pairs/edge/pause", `{"by":"ann","reason":"r","until":"tomorrow"}`, 400, "tomorrow"},
		{"a while below nothing", "pairs/edge/pause", `{"by":"ann","reason":"r","for":"-1h"}`, 400, "more than nothing"},
		{"a while of more than a year", "pairs/edge/pause", `{"by":"ann","reason":"r","for":"9000h"}`, 400, "at most"},
		{"two ends", "pairs/edge/pause", `{"by":"ann","reason":"r","for":"1h","until":"2026-11-22T23:00:00Z"}`, 400, "one of them"},
		{"a word that is none", "pairs/edge/kick", `{"by":"ann"}`, 404, "no such route"},
		{"a word about all pairs about one", "pairs/edge/stop", `{"by":"ann","reason":"r"}`, 404, "no such route"},
		{"a pair that is not there", "pairs/none/pause", `{"by":"ann","reason":"r"}`, 404, "none"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := words(t, pair.ModeUnset, nil)
			was := s.record()
			p := s.problem(s.ask("POST", "/api/"+tt.path, tt.body))
			if detail := strings.ReplaceAll(p.Detail, `"`, `\"`); p.Status != tt.status || !strings.Contains(detail, tt.says) || len(p.Detail) > 600 {
				t.Errorf("problem %+v, want status %d and %q", p, tt.status, tt.says)
			}
			equal(t, s.record(), was)
			if stop, err := s.store.Stop(t.Context()); stop != nil || err != nil {
				t.Errorf("all is stopped: %+v, %v", stop, err)
			}
		})
	}
}

// racing is a store in which a pass is faster, as often as it says.
type racing struct {
	api.Store
	times int
	err   error
	asked int
}

func (r *racing) Commit(ctx context.Context, snap pair.Snapshot, ch pair.Change) (pair.Snapshot, error) {
	if r.asked++; r.asked <= r.times {
		return pair.Snapshot{}, fmt.Errorf("commit pair edge: %w", r.err)
	}
	return r.Store.Commit(ctx, snap, ch)
}

func TestAWordIsSaidAgainWhereAPassWasFaster(t *testing.T) {
	tests := []struct {
		name  string
		times int
		err   error
		asked int   // attempts
		want  error // nil is stored
	}{
		{"nine times is not too often", 9, pair.ErrConflict, 10, nil},
		{"a lost lease is the pass's, not ours", 1, pair.ErrLeaseLost, 2, nil},
		{"a newer epoch is read", 1, pair.ErrStaleEpoch, 2, nil},
		{"ten times is", 10, pair.ErrConflict, 10, pair.ErrConflict},
		{"another fault is told at once", 1, pair.ErrUnreachable, 1, pair.ErrUnreachable},
		{"what may be stored is not stored twice", 1, pair.ErrUnknownOutcome, 1, pair.ErrUnknownOutcome},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := &racing{times: tt.times, err: tt.err}
			s := words(t, pair.ModeUnset, func(kept api.Store) api.Store { r.Store = kept; return r })
			_, err := s.client.Ask(t.Context(), api.Pause, "edge", api.Ask{By: "ann", Reason: "why"}, false)
			if !errors.Is(err, tt.want) || r.asked != tt.asked || (s.record().Pause != nil) != (tt.want == nil) {
				t.Errorf("%v after %d attempts, paused %v; want %v after %d", err, r.asked, s.record().Pause, tt.want, tt.asked)
			}
		})
	}
}

func TestAllPairsAreStoppedAndLetGo(t *testing.T) {
	s := words(t, pair.ModeUnset, nil)
	var names []string
	for n := range 120 {
		names = append(names, fmt.Sprintf("pair-%03d", n))
	}
	s.define(names...)
	s.woken()
	names = append([]string{"edge"}, names...)
	ctx := t.Context()
	ask := func(w api.Word, a api.Ask, dryRun bool, change string) {
		t.Helper()
		a.By = "ann"
		got, err := s.client.Ask(ctx, w, "", a, dryRun)
		if err != nil || got.Word != w || got.Change != change || got.DryRun != dryRun || got.Pair != "" || got.By != "ann" {
			t.Errorf("%s: %+v, %v; want %s", w, got, err, change)
		}
	}
	stopped := func(want *pair.Pause) {
		t.Helper()
		stop, err := s.store.Stop(ctx)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, stop, want)
		all, err := s.client.Pairs(ctx)
		if err != nil || len(all) != len(names) {
			t.Fatalf("%d pairs, %v", len(all), err)
		}
		for _, p := range all {
			equal(t, p.Stop, want)
			if paused := strings.HasPrefix(p.Stance, "paused with all pairs by ann until 2026-11-22 22:00:00Z: fire"); paused != (want != nil) {
				t.Errorf("pair %s: stance %q", p.Name, p.Stance)
			}
		}
	}
	ask(api.Go, api.Ask{}, false, "unchanged")
	ask(api.Stop, api.Ask{Reason: "fire", For: pair.Duration(time.Hour)}, true, "stored")
	stopped(nil)
	if got := s.woken(); got != nil {
		t.Errorf("woke %v for nothing", got)
	}
	ask(api.Stop, api.Ask{Reason: "fire", For: pair.Duration(time.Hour)}, false, "stored")
	equal(t, s.woken(), names)
	stopped(&pair.Pause{Owner: "ann", Reason: "fire", Until: moment.Add(time.Hour)})
	ask(api.Go, api.Ask{}, false, "stored")
	equal(t, s.woken(), names)
	stopped(nil)
}

func TestTheStanceSaysWhatMayBeDone(t *testing.T) {
	proved := []pair.LeverProof{{LoadBalancer: "ilb-edge", Pool: "loadmasters", At: moment, By: "ann", Back: true}}
	tests := []struct {
		name    string
		mode    pair.Mode
		maxMode pair.Mode
		before  func(*pair.Record)
		want    string
	}{
		{"observe", pair.Observe, pair.Auto, nil, "observe"},
		{"recommend", pair.Recommend, pair.Auto, nil, "recommend"},
		{"auto without the proof", pair.Auto, pair.Auto, nil, "auto (acts as recommend: the lever is not proved, run tandem prove)"},
		{"auto with a proof that did not end", pair.Auto, pair.ModeUnset, func(rec *pair.Record) {
			rec.Proofs = []pair.LeverProof{{LoadBalancer: "ilb-edge", Pool: "loadmasters", At: moment, By: "ann"}}
		}, "auto (acts as recommend: the lever is not proved, run tandem prove)"},
		{"auto with the proof", pair.Auto, pair.Auto, func(rec *pair.Record) { rec.Proofs = proved }, "auto"},
		{"auto that the program limits", pair.Auto, pair.Observe, func(rec *pair.Record) { rec.Proofs = proved }, "auto (acts as observe: TANDEM_MAX_MODE)"},
		{"auto that the program limits to what it is", pair.Auto, pair.Recommend, nil, "auto (acts as recommend: TANDEM_MAX_MODE)"},
		{"a pause", pair.Auto, pair.Auto, func(rec *pair.Record) { rec.Pause = &pair.Pause{Owner: "ann", Reason: "cabling"} }, "paused by ann: cabling"},
		{"a pause that has ended", pair.Observe, pair.Auto, func(rec *pair.Record) { rec.Pause = &pair.Pause{Owner: "ann", Reason: "cabling", Until: moment} }, "observe"},
		{"a maintenance", pair.Auto, pair.Auto, func(rec *pair.Record) {
			rec.Pause = &pair.Pause{Owner: "ann", Unit: pair.Second, Reason: "disk", Until: moment.Add(time.Hour)}
		}, "maintenance of second by ann until 2026-11-22 22:00:00Z: disk"},
		{"a removal", pair.Auto, pair.Auto, func(rec *pair.Record) { rec.Retire = &pair.Request{By: "ann", Reason: "sold"} }, "retired: ann wants the pair forgotten: sold"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := words(t, tt.maxMode, nil)
			mode(t, s, tt.mode)
			if tt.before != nil {
				s.remember(tt.before)
			}
			got, err := s.client.Pair(t.Context(), "edge")
			if err != nil || got.Stance != tt.want || got.Mode != tt.mode {
				t.Errorf("mode %s, stance %q, %v; want %q", got.Mode, got.Stance, err, tt.want)
			}
		})
	}
}

func TestStatusShowsWhatWaitsForAPerson(t *testing.T) {
	s := words(t, pair.ModeUnset, nil)
	snap := s.remember(func(rec *pair.Record) {
		planned(rec)
		rec.Alarm = &pair.Alarmed{Row: "both-active-planned", Level: pair.AlarmUrgent, Since: moment}
		rec.Block = &pair.Block{Since: moment, Reason: "both-active-blocked"}
		rec.Prove, rec.Foreign = &pair.Request{By: "ann", At: moment}, true
		rec.Proofs = []pair.LeverProof{{LoadBalancer: "ilb-edge", Pool: "gone", Back: true}, {LoadBalancer: "ilb-edge", Pool: "loadmasters", At: moment, By: "ann", Back: true}}
	})
	intent := pair.Intent{ID: pair.ID("edge", 1, 2), Epoch: 1, Kind: pair.IntentFence, Unit: pair.Second, Token: "https://a-signed-address"}
	if _, err := s.store.Commit(t.Context(), snap, pair.Change{Record: snap.Record, PutIntents: []pair.Intent{intent}}); err != nil {
		t.Fatal(err)
	}
	got, err := s.client.Pair(t.Context(), "edge")
	if err != nil {
		t.Fatal(err)
	}
	if got.Alarm == nil || got.Alarm.Row != "both-active-planned" || got.Block == nil || got.Plan == nil || got.Plan.Hash != "abc" || got.Prove == nil || !got.Foreign {
		t.Errorf("status %+v does not show what waits", got)
	}
	equal(t, got.Proofs, []api.Proof{{LoadBalancer: "ilb-edge", Pool: "loadmasters", Proved: true, At: moment, By: "ann"}})
	if len(got.Open) != 1 || got.Open[0].Token != "" {
		t.Errorf("open intents %+v, want one without its token", got.Open)
	}
}

// unreadable is a store in which one pair cannot be read.
type unreadable struct {
	api.Store
	name string
}

func (u *unreadable) Load(ctx context.Context, name string) (pair.Snapshot, error) {
	if name == u.name {
		return pair.Snapshot{}, fmt.Errorf("load pair edge: secret detail: %w", pair.ErrUnreadable)
	}
	return u.Store.Load(ctx, name)
}

func TestAPairThatCannotBeReadHidesNoOther(t *testing.T) {
	u := &unreadable{}
	s := words(t, pair.ModeUnset, func(kept api.Store) api.Store { u.Store = kept; return u })
	s.define("other")
	u.name = "edge"
	all, err := s.client.Pairs(t.Context())
	if err != nil || len(all) != 2 || all[0].Name != "edge" || !strings.Contains(all[0].Warning, "cannot be read") || all[1].Warning != "" {
		t.Errorf("pairs %+v, %v; want both, the first with a warning", all, err)
	}
	if strings.Contains(all[0].Warning, "secret") || !strings.Contains(s.log.String(), "secret detail") {
		t.Errorf("the detail belongs into the log alone: %q, %s", all[0].Warning, s.log)
	}
	if _, err := s.client.Ask(t.Context(), api.Pause, "edge", api.Ask{By: "ann", Reason: "why"}, false); err == nil {
		t.Error("a word about a pair that cannot be read was taken")
	}
}

func TestTheJournalOutlivesItsPair(t *testing.T) {
	s := words(t, pair.ModeUnset, nil)
	s.entries("edge", 450)
	snap, err := s.store.Load(t.Context(), "edge")
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, p := range snap.Outbox {
		ids = append(ids, p.ID)
	}
	if err := s.store.Delivered(t.Context(), "edge", ids); err != nil {
		t.Fatal(err)
	}
	if err := s.store.Delete(t.Context(), "edge"); err != nil {
		t.Fatal(err)
	}
	var all []string
	for e, err := range s.client.History(t.Context(), "edge") {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, e.ID)
	}
	if len(all) != 450 || !slices.IsSortedFunc(all, func(a, b string) int { return strings.Compare(b, a) }) {
		t.Errorf("%d entries, want all 450, newest first", len(all))
	}
	if _, err := s.client.Pair(t.Context(), "edge"); !errors.Is(err, pair.ErrNotFound) {
		t.Errorf("the pair is there: %v", err)
	}
}

// FuzzWord says anything at all about a pair.
func FuzzWord(f *testing.F) {
	f.Add("pause", `{"by":"ann","reason":"why","for":"2h","unit":"second"}`)
	f.Add("approve", `{"by":"ann","plan":"abc"}`)
	f.Add("remove", `{"by":"größe","reason":"why"}`)
	f.Add("pause", `{"by":"ann","reason":"why","until":"9999-12-31T23:59:59Z"}`)
	f.Add("pause", `[{}]`)
	f.Fuzz(func(t *testing.T, word, body string) {
		a, err := api.ParseAsk(api.Word(word), []byte(body), moment)
		if err != nil {
			return
		}
		if a.By == "" || len(a.By) > 100 || strings.EqualFold(a.By, pair.OwnerTandem) || strings.ContainsAny(a.By+a.Reason+a.Plan, "\n\r\x1b") {
			t.Errorf("%q was taken as %+v", body, a)
		}
		if a.For != 0 || !a.Until.IsZero() && !a.Until.After(moment) || a.Reason == "" && (word == "pause" || word == "remove" || word == "stop") {
			t.Errorf("%s %q was taken as %+v", word, body, a)
		}
		if _, err := json.Marshal(a); err != nil {
			t.Errorf("%+v cannot be stored: %v", a, err)
		}
	})
}
