package main

import (
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"tandem/internal/api"
	"tandem/internal/pair"
	"tandem/internal/store"
)

// operator runs commands against an operator API over the embedded store.
type operator struct {
	command
	store *store.Store
	// after, if set, is called after each answer to a request, before the next.
	after *func(*http.Request)
}

func newOperator(t *testing.T, edits ...func(*api.Options)) operator {
	t.Helper()
	kept := store.NewEmbedded(store.EmbeddedOptions{}).Store(store.HandleOptions{})
	options := api.Options{Store: kept, Log: slog.New(slog.DiscardHandler), Jobs: procedures(t)}
	for _, edit := range edits {
		edit(&options)
	}
	routes, err := api.NewServer(options)
	if err != nil {
		t.Fatal(err)
	}
	after := func(*http.Request) {}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := httptest.NewRecorder()
		routes.ServeHTTP(answer, r)
		after(r) // before the client can ask again
		w.WriteHeader(answer.Code)
		_, _ = answer.Body.WriteTo(w)
	}))
	t.Cleanup(server.Close)
	return operator{command{environ: []string{"TANDEM_SERVER=" + server.URL, "USER=ann"}}, kept, &after}
}

// decide stores a decision on the pair edge-weu, as a pass does, in which both
// units answered as given on their check ports.
func (o operator) decide(t *testing.T, first, second pair.CheckAnswer) pair.Decision {
	t.Helper()
	ctx, now := t.Context(), time.Now().UTC().Truncate(time.Millisecond)
	snap, err := o.store.Load(ctx, "edge-weu")
	if err != nil {
		t.Fatal(err)
	}
	in := pair.Input{Definition: snap.Definition, MaxMode: pair.Auto, Record: snap.Record}
	in.Observation.At = now
	in.Observation.Units[0].Check = pair.CheckSeen{Answer: first, At: now}
	in.Observation.Units[1].Check = pair.CheckSeen{Answer: second, At: now}
	d := pair.Decide(&in)
	if d.Quiet() {
		t.Fatalf("row %s stores nothing", d.Row)
	}
	if snap, err = o.store.AcquireLease(ctx, snap, "test", now, time.Minute); err != nil {
		t.Fatal(err)
	}
	if snap, err = o.store.Commit(ctx, snap, pair.Change{Record: d.Record}); err != nil {
		t.Fatal(err)
	}
	if _, err = o.store.ReleaseLease(ctx, snap, "test"); err != nil {
		t.Fatal(err)
	}
	o.journal(t, d.ID, pair.EntryDecided, pair.Decided{Decision: d, Input: in, Reason: pair.Explain(&in, &d), Person: pair.PersonCanDo(&d)})
	return d
}

func (o operator) journal(t *testing.T, id, kind string, body any) {
	t.Helper()
	b, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	post := pair.Post{V: pair.Version, MinReader: pair.MinReader, ID: id, Kind: pair.PostJournal, At: time.Now().UTC().Truncate(time.Millisecond), Type: kind, Body: b}
	if err := o.store.AppendJournal(t.Context(), "edge-weu", post); err != nil {
		t.Fatal(err)
	}
}

// applied is an operator whose pair is defined by the example.
func applied(t *testing.T) operator {
	t.Helper()
	o := newOperator(t)
	if got := o.run(t, "apply", "-f", examplePair); got.code != exitDone {
		t.Fatalf("got %+v", got)
	}
	return o
}

func TestApplyTellsWhatItChangedAndADryRunChangesNothing(t *testing.T) {
	o := newOperator(t)
	changed := file(t, "changed.yaml", strings.Replace(example(t), "holdDown: 10m", "holdDown: 20m", 1))
	for _, step := range []struct {
		args []string
		want string
	}{
		{[]string{"-f", examplePair, "--dry-run"}, "pair edge-weu created (dry run, nothing was changed)\n"},
		{[]string{"-f", examplePair}, "pair edge-weu created\n"},
		{[]string{"-f", examplePair}, "pair edge-weu unchanged\n"},
		{[]string{"-f", changed, "--dry-run"}, "pair edge-weu changed (dry run, nothing was changed)\n"},
		{[]string{"-f", changed}, "pair edge-weu changed\n"},
		{[]string{"-f", changed, "-o", "json"}, "{\n  \"pairs\": [\n    {\n      \"v\": 1,\n      \"name\": \"edge-weu\",\n      \"change\": \"unchanged\"\n    }\n  ]\n}\n"},
	} {
		got := o.run(t, append([]string{"apply"}, step.args...)...)
		if want := (answer{exitDone, step.want, ""}); got != want {
			t.Errorf("apply %v: got %+v, want %+v", step.args, got, want)
		}
	}
}

func TestApplyOfAWrongFileCallsNobody(t *testing.T) {
	got := command{environ: []string{"TANDEM_SERVER=http://127.0.0.1:1"}}.run(t, "apply", "-f", file(t, "wrong.yaml", wrong(t)))
	if got.code != exitBadInput || got.out != "" || !strings.Contains(got.err, "2 mistakes") {
		t.Errorf("got %+v", got)
	}
}

func TestStatusOfNothingIsNoFault(t *testing.T) {
	o := newOperator(t)
	if got := o.run(t, "status"); got != (answer{exitDone, "PAIR  MODE  SITUATION  SINCE  ACTIVE  NOTE\n", ""}) {
		t.Errorf("got %+v", got)
	}
	if got := o.run(t, "status", "-o", "json"); got != (answer{exitDone, "{\n  \"pairs\": []\n}\n", ""}) {
		t.Errorf("got %+v", got)
	}
}

func TestStatusEndsWithThreeUnlessAllIsWell(t *testing.T) {
	o := applied(t)
	if got := o.run(t, "status"); got.code != exitFound || !strings.Contains(got.out, "unclear") {
		t.Errorf("a pair that nobody looked at yet: %+v", got)
	}
	o.decide(t, pair.CheckServing, pair.CheckIdle)
	got := o.run(t, "status", "edge-weu")
	if got.code != exitDone || got.err != "" {
		t.Errorf("a healthy pair: %+v", got)
	}
	has(t, "status", got.out, "edge-weu", "observe", "healthy", "first")
	o.decide(t, pair.CheckSilent, pair.CheckServing)
	got = o.run(t, "status")
	if got.code != exitDone || got.err != "" {
		t.Errorf("a suspicion is no finding: %+v", got)
	}
	has(t, "status", got.out, "healthy", "degraded seen 1 times")
}

func TestStatusInJSONIsWhatTheAPIAnswers(t *testing.T) {
	o := applied(t)
	o.decide(t, pair.CheckServing, pair.CheckIdle)
	got := o.run(t, "status", "-o", "json")
	var told struct {
		Pairs []struct {
			V                             int
			Name, Mode, Situation, Active string
			Epoch                         uint64
			Since                         time.Time
		}
	}
	if err := json.Unmarshal([]byte(got.out), &told); err != nil || len(told.Pairs) != 1 {
		t.Fatalf("%v in:\n%s", err, got.out)
	}
	if p := told.Pairs[0]; p.V != api.Version || p.Name != "edge-weu" || p.Mode != "observe" || p.Situation != "healthy" || p.Active != "first" || p.Epoch != 2 || p.Since.IsZero() {
		t.Errorf("got %+v", p)
	}
}

func TestHistoryIsTheJournalNewestFirstPageByPage(t *testing.T) {
	o := applied(t)
	o.decide(t, pair.CheckServing, pair.CheckIdle)
	d := o.decide(t, pair.CheckSilent, pair.CheckServing)
	o.journal(t, pair.ID("edge-weu", d.Epoch, 302), pair.EntryClosed, pair.Intent{
		V: 1, MinReader: 1, ID: pair.ID("edge-weu", d.Epoch, 2), Kind: pair.IntentFence, State: pair.IntentDone,
		LoadBalancer: "ilb-edge", Pool: "loadmasters", Unit: pair.Second, Want: pair.AdminDown,
	})
	got := o.run(t, "history", "edge-weu", "--limit", "2")
	lines := strings.Split(got.out, "\n")
	if got.code != exitDone || got.err != "" || len(lines) != 5 {
		t.Fatalf("got %+v, expected a heading, two entries and where to go on", got)
	}
	has(t, "the newest entry", lines[1], "edge-weu-000000000003-302", "fence done: second in ilb-edge/loadmasters", "seen Down")
	has(t, "the one before", lines[2], d.ID, "glimpsed", "degraded, first silent, second 200")
	if want := "older: tandem history edge-weu --before " + d.ID; lines[3] != want {
		t.Fatalf("got %q, want %q", lines[3], want)
	}
	got = o.run(t, append(strings.Fields(lines[3])[2:], "-o", "json")...)
	var page api.Journal
	if err := json.Unmarshal([]byte(got.out), &page); err != nil || len(page.Entries) != 1 || page.Entries[0].ID != pair.ID("edge-weu", 2, 1) {
		t.Errorf("the next page: %v\n%s", err, got.out)
	}
	if got := o.run(t, "history", "edge-weu", "--limit", "0"); got.code != exitBadInput || !strings.Contains(got.err, "1 to 200") {
		t.Errorf("an impossible limit: %+v", got)
	}
}

func TestExplainTellsTheNewestDecisionOrTheNamedOne(t *testing.T) {
	o := applied(t)
	if got := o.run(t, "explain", "edge-weu"); got.code != exitFailed || !strings.Contains(got.err, "nothing was decided about pair edge-weu yet") {
		t.Errorf("before the first look: %+v", got)
	}
	first := o.decide(t, pair.CheckServing, pair.CheckIdle)
	o.decide(t, pair.CheckSilent, pair.CheckServing)
	got := o.run(t, "explain", "edge-weu")
	if got.code != exitDone || got.err != "" {
		t.Fatalf("got %+v", got)
	}
	has(t, "the newest decision", got.out, "row           glimpsed", "because       degraded, first silent, second 200",
		"believed      healthy (before: healthy)", "may           observe", "first         lm1 10.0.0.4", "  check port  silent, 0s old", "facts         glimpsed")
	has(t, "the named decision", o.run(t, "explain", "edge-weu", first.ID).out, "row           healthy", "  check port  503")

	var d pair.Decided
	if err := json.Unmarshal([]byte(o.run(t, "explain", "edge-weu", first.ID, "-o", "json").out), &d); err != nil || d.Decision.ID != first.ID {
		t.Errorf("in JSON: decision %q, %v", d.Decision.ID, err)
	}
	o.journal(t, pair.ID("edge-weu", 1, 1), pair.EntryApplied, struct{}{})
	if got := o.run(t, "explain", "edge-weu", pair.ID("edge-weu", 1, 1)); got.code != exitBadInput || !strings.Contains(got.err, "is not a decision") {
		t.Errorf("an entry that is none: %+v", got)
	}
}

// TestExplainSaysWhatMayBeDoneNow: a pair that is well is not decided upon anew
// because somebody paused it.
func TestExplainSaysWhatMayBeDoneNow(t *testing.T) {
	o := applied(t)
	d := o.decide(t, pair.CheckServing, pair.CheckIdle)
	for _, tt := range []struct {
		args []string
		want string
	}{
		{nil, "may now       observe\n"},
		{[]string{"pause", "edge-weu", "--reason", "cabling"}, "may now       paused by ann: cabling\n"},
		{[]string{"pause", "edge-weu", "--reason", "disk", "--unit", "first"}, "may now       maintenance of first by ann: disk\n"},
		{[]string{"pause", "--all", "--reason", "storm"}, "may now       paused with all pairs by ann: storm\n"},
	} {
		if tt.args != nil {
			if got := o.run(t, tt.args...); got.code != exitDone {
				t.Fatalf("%v: %+v", tt.args, got)
			}
		}
		got := o.run(t, "explain", "edge-weu")
		if got.code != exitDone || !strings.HasPrefix(got.out, tt.want+"decision      "+d.ID) {
			t.Errorf("after %v: %+v, want first %q", tt.args, got, tt.want)
		}
		has(t, "the decision", got.out, "may           observe")
	}
	var told struct {
		MayNow   string
		Decision struct{ ID string }
	}
	if err := json.Unmarshal([]byte(o.run(t, "explain", "edge-weu", "-o", "json").out), &told); err != nil || told.Decision.ID != d.ID || told.MayNow != "paused with all pairs by ann: storm" {
		t.Errorf("in JSON: %+v, %v", told, err)
	}
	if got := o.run(t, "explain", "edge-weu", d.ID); strings.Contains(got.out, "may now") {
		t.Errorf("with a decision of the past: %s", got.out)
	}
	o.deliver(t)
	if err := o.store.Delete(t.Context(), "edge-weu"); err != nil {
		t.Fatal(err)
	}
	has(t, "a pair that is gone", o.run(t, "explain", "edge-weu").out, "may now       nothing: the pair is not defined any more")
}

func TestAPauseOfAllPairsStandsInTheHistoryOfEach(t *testing.T) {
	o := applied(t)
	o.deliver(t)
	d := o.decide(t, pair.CheckServing, pair.CheckIdle)
	for _, args := range [][]string{
		{"pause", "--all", "--reason", "storm", "--for", "2h"}, {"resume", "--all", "--by", "bob"}, {"resume", "--all", "--by", "bob"}, // the last one ends nothing
	} {
		if got := o.run(t, args...); got.code != exitDone {
			t.Fatalf("%v: %+v", args, got)
		}
	}
	lines := strings.Split(o.run(t, "history", "edge-weu").out, "\n")
	if len(lines) != 6 {
		t.Fatalf("got %q, want a heading and four entries", lines)
	}
	has(t, "the newest", lines[1], "EVERY-000000000002-001", "resume --all  bob asked")
	has(t, "before it", lines[2], "EVERY-000000000001-001", "pause --all   ann asked until 20", ": storm")
	has(t, "the decision", lines[3], d.ID, "healthy")
	name := file(t, "edge-weu.json", o.run(t, "history", "edge-weu", "--all", "-o", "json").out)
	if got := (command{}).run(t, "replay", name); got != (answer{exitDone, "pair edge-weu: 1 decisions computed again, 1 as stored\n", ""}) {
		t.Errorf("replayed: %+v", got)
	}
}

// TestAServerIsTheSameByFlagAndBySetting: what one takes the other takes.
func TestAServerIsTheSameByFlagAndBySetting(t *testing.T) {
	tests := []struct {
		name, server, key string
		taken             bool
	}{
		{"https", "https://tandem-weu.azurewebsites.net", "sesame", true},
		{"http, as the lab says, where no key is sent", "http://tandem.azurewebsites.net", "", true},
		{"http on this machine, also with a key", "http://127.0.0.1:7071", "sesame", true},
		{"http elsewhere with a key", "http://tandem.azurewebsites.net", "sesame", false},
		{"no scheme", "tandem.azurewebsites.net", "", false},
		{"no host", "http://:80", "", false},
		{"a query", "https://tandem.azurewebsites.net?code=sesame", "", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, how := range []struct{ environ, args []string }{
				{nil, []string{"--server", tt.server, "--key", tt.key}},
				{[]string{"TANDEM_SERVER=" + tt.server, "TANDEM_KEY=" + tt.key}, nil},
				{[]string{"TANDEM_KEY=" + tt.key}, []string{"--server", tt.server}},
			} {
				c := &console{environ: how.environ}
				cmd := newStatus(c)
				if err := cmd.ParseFlags(how.args); err != nil {
					t.Fatal(err)
				}
				_, err := c.client(cmd)
				if taken := err == nil; taken != tt.taken || err != nil && api.ExitCode(err) != exitBadInput && !errors.As(err, new(*exitError)) {
					t.Errorf("%v with %v: %v, want taken: %v", how.args, how.environ, err, tt.taken)
				}
			}
		})
	}
}

func TestWhatIsNotThereIsAFailure(t *testing.T) {
	o := applied(t)
	for _, args := range [][]string{{"status", "edge-nowhere"}, {"history", "edge-nowhere"}, {"explain", "edge-nowhere"}, {"explain", "edge-weu", "edge-weu-000000000099-001"}} {
		got := o.run(t, args...)
		if got.code != exitFailed || got.out != "" || !strings.HasPrefix(got.err, "tandem: ") || strings.Count(got.err, "\n") != 1 {
			t.Errorf("tandem %v: %+v", args, got)
		}
	}
}

func TestAServerThatCannotBeUsedIsExplained(t *testing.T) {
	var keys []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		keys = append(keys, r.Header.Get("X-Functions-Key"))
		w.WriteHeader(http.StatusUnauthorized)
	}))
	got := command{environ: []string{"TANDEM_SERVER=" + server.URL, "TANDEM_KEY=of-the-environment"}}.run(t, "status")
	if got.code != exitFailed || !strings.Contains(got.err, "function key is missing or wrong") || strings.Contains(got.err, "of-the-environment") {
		t.Errorf("a wrong key: %+v", got)
	}
	(command{environ: []string{"TANDEM_KEY=of-the-environment"}}).run(t, "status", "--server", server.URL, "--key", "of-the-flag")
	if len(keys) != 2 || keys[0] != "of-the-environment" || keys[1] != "of-the-flag" {
		t.Errorf("the server saw the keys %q", keys)
	}
	server.Close()
	if got := (command{}).run(t, "status", "--server", server.URL); got.code != exitFailed || !strings.Contains(got.err, "call the operator API: no answer") {
		t.Errorf("a server that is gone: %+v", got)
	}
}

func TestNamesOfPairsComplete(t *testing.T) {
	o := applied(t)
	for _, name := range []string{"status", "history", "explain"} {
		if got := o.run(t, "__complete", name, "edge"); !strings.HasPrefix(got.out, "edge-weu\n") {
			t.Errorf("tandem %s: %+v", name, got)
		}
	}
	if got := o.run(t, "__complete", "status", "other"); strings.Contains(got.out, "edge-weu") {
		t.Errorf("got %+v, expected no pair", got)
	}
	if got := (command{}).run(t, "__complete", "status", ""); got.code != exitDone || strings.Contains(got.out, "\n\n") {
		t.Errorf("without a server: %+v", got)
	}
}

func TestColoursAreForTerminals(t *testing.T) {
	o := applied(t)
	if got := o.run(t, "status"); strings.Contains(got.out, "\x1b") {
		t.Errorf("colours off a terminal: %q", got.out)
	}
	o.colors = true
	if got := o.run(t, "status"); !strings.Contains(got.out, "\x1b["+yellow+"munclear\x1b[0m") {
		t.Errorf("no colours on a terminal: %q", got.out)
	}
}
