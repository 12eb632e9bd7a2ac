package main

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"tandem/internal/api"
	"tandem/internal/job"
	"tandem/internal/pair"
)

// procedures are jobs that do nothing; the tests say how they go on.
func procedures(t *testing.T) *job.Registry {
	t.Helper()
	step := func(name string) job.Step {
		return job.Step{Name: name, Title: "nothing is so", Undoes: "nothing", Within: time.Minute, Do: func(*job.Turn) job.Verdict { return job.Wait("nothing") }}
	}
	r, err := job.NewRegistry(
		job.Procedure{Kind: switchover, Title: "move", TakesUnit: true, TakesForce: true, TakesDrain: true, Drain: 5 * time.Minute, Steps: []job.Step{step("fit"), step("drain"), step("reboot")}},
		job.Procedure{Kind: configure, Title: "set up", Steps: []job.Step{step("write")}},
		job.Procedure{Kind: syncs, Title: "make alike", TakesSync: true, TakesForce: true, Steps: []job.Step{step("compare"), step("verify")}},
		job.Procedure{Kind: replace, Title: "take in", TakesUnit: true, NeedsUnit: true, Steps: []job.Step{step("licensed"), step("mode")}},
	)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

const looksAtJob = "GET /api/pairs/edge-weu/jobs"

// goes is how a job goes on after a look at it.
func (o operator) goes(t *testing.T, change func(*pair.Job)) func() {
	return func() { o.remember(t, func(rec *pair.Record) { change(rec.Job) }) }
}

// drains is a job in its second step.
func drains(j *pair.Job) {
	j.Steps[0].State, j.Steps[0].BeganAt, j.Steps[0].EndedAt = pair.StepDone, j.At, j.At.Add(3*time.Second)
	j.Steps[1].State, j.Steps[1].BeganAt, j.Steps[1].Note = pair.StepRuns, time.Now(), "12 connections"
	j.Step = 1
}

func ends(state pair.JobState, why string) func(*pair.Job) {
	return func(j *pair.Job) { j.State, j.Why, j.EndedAt, j.Step = state, why, j.At.Add(250*time.Second), 3 }
}

// asksFor is a job that waits for a person.
func asksFor(j *pair.Job) { j.State, j.Why = pair.JobAsks, "ten seconds without service" }

// approvals are the approvals of the pair's job in its journal, by whom.
func (o operator) approvals(t *testing.T) (by []string) {
	t.Helper()
	snap, err := o.store.Load(t.Context(), "edge-weu")
	if err != nil {
		t.Fatal(err)
	}
	for _, post := range snap.Outbox {
		var a pair.Asked
		if err := json.Unmarshal(post.Body, &a); err != nil {
			t.Fatal(err)
		}
		if a.Job != "" && a.Word == pair.JobApprove {
			by = append(by, a.By)
		}
	}
	return by
}

func TestAJobIsFollowedToItsEnd(t *testing.T) {
	hear := func(j *pair.Job) { j.State, j.Why, j.Said = pair.JobRuns, "", nil }
	nothing := func(*pair.Job) {}
	tests := []struct {
		name     string
		args     []string
		in       string
		asks     bool
		script   []func(*pair.Job)
		code     int
		out, err []string
		approved bool
	}{
		{
			"it is done, with what came of it", nil, "", false,
			[]func(*pair.Job){nothing, drains, ends(pair.JobDone, "no look failed in 40")},
			exitDone,
			[]string{"switchover of pair edge-weu is done after 4m10s: no look failed in 40\n"},
			[]string{"by ann\n", "fit done (3s)", "drain runs: 12 connections\n"},
			false,
		},
		{
			"it fails, with the reason", nil, "", false,
			[]func(*pair.Job){drains, ends(pair.JobFailed, "second does not come back")},
			exitFailed,
			nil,
			[]string{"tandem: switchover of pair edge-weu is failed after 4m10s: second does not come back\n"},
			false,
		},
		{
			"somebody cancels it", nil, "", false,
			[]func(*pair.Job){ends(pair.JobCancelled, "cancelled by eve")},
			exitFailed,
			nil,
			[]string{"is cancelled after 4m10s: cancelled by eve\n"},
			false,
		},
		{
			"what it asks is approved at once with --yes",
			[]string{"--yes"},
			"", false,
			[]func(*pair.Job){asksFor, nothing, hear, ends(pair.JobDone, "")},
			exitDone,
			[]string{"is done"},
			[]string{"asks: ten seconds without service", "goes on"},
			true,
		},
		{
			"a person at a terminal is asked and says yes", nil, "yes\n", true,
			[]func(*pair.Job){asksFor, nothing, hear, ends(pair.JobDone, "")},
			exitDone,
			[]string{"ten seconds without service\n", "Approve this?", "is done"},
			nil, true,
		},
		{
			"a person says no", nil, "no\n", true,
			[]func(*pair.Job){asksFor},
			exitFailed,
			nil,
			[]string{"not approved, and the job waits; tandem jobs approve edge-weu, or tandem jobs cancel edge-weu\n"},
			false,
		},
		{
			"elsewhere nobody can be asked", nil, "yes\n", false,
			[]func(*pair.Job){asksFor},
			exitFailed,
			nil,
			[]string{"tandem: switchover waits for an approval: ten seconds without service; tandem jobs approve edge-weu, or"},
			false,
		},
		{
			"nor in JSON",
			[]string{"-o", "json"},
			"yes\n", true,
			[]func(*pair.Job){asksFor},
			exitFailed,
			nil,
			[]string{"tandem: switchover waits for an approval"},
			false,
		},
		{
			"another job has taken its place", nil, "", false,
			[]func(*pair.Job){func(j *pair.Job) { j.ID = pair.ID("edge-weu", 99, 1) }},
			exitFailed,
			nil,
			[]string{"pair edge-weu has another job by now, edge-weu-000000000099-001; tandem history edge-weu tells what came of edge-weu-000000000002-001\n"},
			false,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := applied(t)
			o.in, o.asks = tt.in, tt.asks
			var steps []func()
			for _, change := range tt.script {
				steps = append(steps, o.goes(t, change))
			}
			o.script(looksAtJob, steps...)
			got := o.run(t, append([]string{"switchover", "edge-weu", "--to", "second", "--drain", "2m", "--reason", "tonight"}, tt.args...)...)
			if got.code != tt.code {
				t.Errorf("got %+v, want exit code %d", got, tt.code)
			}
			has(t, "the output", got.out, tt.out...)
			has(t, "the progress", got.err, tt.err...)
			if by := o.approvals(t); (len(by) == 1 && by[0] == "ann") != tt.approved || len(by) > 1 {
				t.Errorf("approved by %v", by)
			}
			if j := o.record(t).Job; j.Unit != pair.Second || time.Duration(j.Drain) != 2*time.Minute || j.Reason != "tonight" || j.By != "ann" || j.Key == "" {
				t.Errorf("the job is %+v", j)
			}
		})
	}
}

func TestAJobIsBegunWithoutWaiting(t *testing.T) {
	o := applied(t)
	dry := o.run(t, "switchover", "edge-weu", "--dry-run")
	if dry.code != exitDone || dry.out != "switchover of pair edge-weu would be begun: fit, drain, reboot (dry run, nothing was changed)\n" || o.record(t).Job != nil {
		t.Errorf("a dry run: %+v", dry)
	}
	got := o.run(t, "configure", "edge-weu", "--no-wait")
	if got.code != exitDone || got.out != "configure edge-weu-000000000002-001 is begun, as ann asked; tandem jobs watch edge-weu tells how it goes on\n" || got.err != "" {
		t.Errorf("got %+v", got)
	}
	dry = o.run(t, "switchover", "edge-weu", "--dry-run")
	if dry.code != exitFound || !strings.Contains(dry.out, "nothing would be begun: pair edge-weu has a job already: configure edge-weu-000000000002-001 of ann") {
		t.Errorf("a dry run while another runs: %+v", dry)
	}
	got = o.run(t, "switchover", "edge-weu")
	if got.code != exitFailed || !strings.Contains(got.err, "has a job already") {
		t.Errorf("another one: %+v", got)
	}
	o.remember(t, func(rec *pair.Record) { rec.Job.State = pair.JobDone })
	if got = o.run(t, "switchover", "edge-weu", "--timeout", "5ms"); got.code != exitFailed || !strings.Contains(got.err, "not done after 5ms: runs at step 1 of 3, fit; it goes on without this command") {
		t.Errorf("without a pass: %+v", got)
	}
	o.remember(t, func(rec *pair.Record) { rec.Job.State = pair.JobDone })
	if got = o.run(t, "switchover", "edge-weu", "--force"); got.code != exitFailed || !strings.Contains(got.err, "the force role needs Entra ID") {
		t.Errorf("by force: %+v", got)
	}
	var told api.JobAsked
	o.script(looksAtJob, o.goes(t, ends(pair.JobFailed, "x")))
	got = o.run(t, "switchover", "edge-weu", "-o", "json")
	if err := json.Unmarshal([]byte(got.out), &told); err != nil || got.code != exitFailed || got.err != "" || told.Word != "start" || told.Job.State != pair.JobFailed {
		t.Errorf("in JSON: %v, %+v", err, got)
	}
	o.deliver(t)
	has(t, "history", o.run(t, "history", "edge-weu").out, "configure", "ann asked for job edge-weu-000000000002-001", "switchover")
}

func TestAJobIsStartedOnceAlthoughItsAnswerWasLost(t *testing.T) {
	o := applied(t)
	o.script("POST /api/pairs/edge-weu/jobs", func() { panic(http.ErrAbortHandler) }, func() { panic(http.ErrAbortHandler) })
	got := o.run(t, "configure", "edge-weu", "--no-wait")
	if got.code != exitDone || !strings.Contains(got.out, "configure edge-weu-000000000002-001 is begun") || o.record(t).Epoch != 2 {
		t.Errorf("got %+v in epoch %d", got, o.record(t).Epoch)
	}
}

func TestCtrlCEndsTheWatchingAndNotTheJob(t *testing.T) {
	for _, args := range [][]string{{"switchover", "edge-weu"}, {"jobs", "watch", "edge-weu"}} {
		o := applied(t)
		if args[0] == "jobs" {
			o.run(t, "switchover", "edge-weu", "--no-wait")
		}
		ctx, cancel := context.WithCancel(t.Context())
		o.script(looksAtJob, func() {}, func() {}, cancel)
		got := o.runUntil(ctx, args...)
		if got.code != exitFailed || !strings.Contains(got.err, "tandem: not watched any more; edge-weu-000000000002-001 goes on without this command: tandem jobs watch edge-weu, or tandem jobs cancel edge-weu\n") {
			t.Errorf("%v: %+v", args, got)
		}
		if j := o.record(t).Job; j.State != pair.JobRuns || j.Said != nil {
			t.Errorf("%v: the job is %+v", args, j)
		}
	}
}

func TestJobsAreShown(t *testing.T) {
	o := applied(t)
	const header = "PAIR  ID  KIND  STATE  STEP  ELAPSED  BY  NOTE\n"
	for _, args := range [][]string{{"jobs"}, {"jobs", "edge-weu"}} {
		if got := o.run(t, args...); got != (answer{exitDone, header, ""}) {
			t.Errorf("%v without a job: %+v", args, got)
		}
	}
	if got := o.run(t, "jobs", "none"); got.code != exitFailed || !strings.Contains(got.err, "none") {
		t.Errorf("of no pair: %+v", got)
	}
	o.run(t, "switchover", "edge-weu", "--no-wait")
	o.remember(t, func(rec *pair.Record) { drains(rec.Job) })
	got := o.run(t, "jobs")
	if got.code != exitDone {
		t.Errorf("got %+v", got)
	}
	has(t, "jobs", got.out, "edge-weu-000000000002-001  switchover  runs   2 of 3  0s       ann  drain: 12 connections\n")
	got = o.run(t, "jobs", "edge-weu")
	has(t, "one job", got.out, "\n\ndone  fit     3s  \nruns  drain   0s  12 connections\nopen  reboot      \n")
	if got = o.run(t, "jobs", "--kind", "configure"); got != (answer{exitDone, header, ""}) {
		t.Errorf("of another kind: %+v", got)
	}
	var told struct{ Jobs []api.PairJob }
	if err := json.Unmarshal([]byte(o.run(t, "jobs", "--kind", "switchover", "-o", "json").out), &told); err != nil || len(told.Jobs) != 1 || told.Jobs[0].Job.Step != 1 {
		t.Errorf("in JSON: %v, %+v", err, told)
	}
	has(t, "status", o.run(t, "status").out, "switchover for ann, step 2 of 3: drain")

	o.run(t, "pause", "edge-weu", "--reason", "fire")
	has(t, "in a pause", o.run(t, "jobs").out, "waits, because the pair is paused by ann: fire")
	o.run(t, "resume", "edge-weu")
	o.remember(t, func(rec *pair.Record) { asksFor(rec.Job) })
	got = o.run(t, "jobs")
	if got.code != exitFound {
		t.Errorf("one that asks: %+v", got)
	}
	has(t, "one that asks", got.out, "asks", "ten seconds without service; tandem jobs approve edge-weu\n")
	o.remember(t, func(rec *pair.Record) { ends(pair.JobFailed, "x")(rec.Job) })
	if got = o.run(t, "jobs"); got.code != exitFound || !strings.Contains(got.out, "failed  3 of 3  4m10s") {
		t.Errorf("one that failed: %+v", got)
	}
	if got = o.run(t, "ack", "edge-weu"); got.code != exitDone {
		t.Errorf("an acknowledgement: %+v", got)
	}
	if got = o.run(t, "jobs"); got.code != exitDone {
		t.Errorf("one that is acknowledged: %+v", got)
	}
}

func TestWordsAreSaidAboutThePairsJob(t *testing.T) {
	o := applied(t)
	if got := o.run(t, "jobs", "cancel", "edge-weu"); got.code != exitFailed || !strings.Contains(got.err, "pair edge-weu has no job") {
		t.Errorf("of no job: %+v", got)
	}
	o.run(t, "switchover", "edge-weu", "--no-wait")
	const id = "edge-weu-000000000002-001"
	steps := []struct {
		name   string
		before func(*pair.Job)
		args   []string
		code   int
		says   string
		said   string
	}{
		{"what asks nothing is not approved", nil, []string{"approve", "edge-weu"}, exitFailed, "asks nothing now", ""},
		{"what asks is approved", asksFor, []string{"approve", "edge-weu"}, exitDone, "switchover " + id + " approved by ann; tandem jobs watch edge-weu tells", "approve"},
		{"a dry run says nothing", func(j *pair.Job) { j.State, j.Said = pair.JobRuns, nil }, []string{"pause", id, "--dry-run"}, exitDone, "paused by ann; tandem jobs watch edge-weu tells how it goes on (dry run", ""},
		{"by the id", nil, []string{"pause", id, "--by", "eve", "--reason", "lunch"}, exitDone, "paused by eve", "pause"},
		{"by the id of another one", nil, []string{"resume", "edge-weu-000000000001-001"}, exitFailed, "has another job by now, " + id, "pause"},
		{"it goes on", nil, []string{"resume", "edge-weu"}, exitDone, "resumed by ann", "resume"},
		{"it is cancelled", nil, []string{"cancel", "edge-weu"}, exitDone, "cancelled by ann", "cancel"},
		{"and not twice", nil, []string{"cancel", "edge-weu"}, exitDone, "that was said already", "cancel"},
	}
	for _, st := range steps {
		if st.before != nil {
			o.remember(t, func(rec *pair.Record) { st.before(rec.Job) })
		}
		got := o.run(t, append([]string{"jobs"}, st.args...)...)
		said := ""
		if j := o.record(t).Job; j.Said != nil {
			said = j.Said.Word
		}
		if got.code != st.code || !strings.Contains(got.out+got.err, st.says) || said != st.said {
			t.Errorf("%s: said %q, %+v", st.name, said, got)
		}
	}
	var told api.JobAsked
	if err := json.Unmarshal([]byte(o.run(t, "jobs", "cancel", "edge-weu", "-o", "json").out), &told); err != nil || told.Word != "cancel" || told.Job.ID != id {
		t.Errorf("in JSON: %v, %+v", err, told)
	}
	o.deliver(t)
	has(t, "history", o.run(t, "history", "edge-weu").out, "jobs pause", "eve asked for job "+id+": lunch", "jobs cancel")
}

func TestAJobIsWatched(t *testing.T) {
	undoes := func(j *pair.Job) {
		j.State, j.Why = pair.JobUndoes, "cancelled by eve"
		j.Undo = pair.JobStep{Name: "undo", State: pair.StepRuns, BeganAt: j.At, Note: "the admin states go back"}
	}
	watched := func(t *testing.T, live bool, args ...string) answer {
		o := applied(t)
		o.live = live
		o.run(t, "switchover", "edge-weu", "--no-wait")
		nothing := func() {}
		// The first look finds the job, the others follow it.
		o.script(looksAtJob, nothing, nothing, o.goes(t, drains), func() { o.run(t, "pause", "edge-weu", "--reason", "fire") }, func() {
			o.run(t, "resume", "edge-weu")
		}, o.goes(t, undoes), o.goes(t, ends(pair.JobCancelled, "cancelled by eve")))
		return o.run(t, append([]string{"jobs", "watch", "edge-weu"}, args...)...)
	}
	const result = "tandem: switchover of pair edge-weu is cancelled after 4m10s: cancelled by eve\n"
	t.Run("with a line for each change", func(t *testing.T) {
		got := watched(t, false)
		if got.code != exitFailed || got.err != result {
			t.Errorf("got %+v", got)
		}
		want := []string{
			"switchover edge-weu-000000000002-001, by ann", "fit done (3s)", "drain runs: 12 connections",
			"runs: waits, because the pair is paused by ann: fire", "goes on", "undo runs: the admin states go back", "undoes: cancelled by eve",
		}
		lines := strings.Split(strings.TrimSpace(got.out), "\n")
		for i, words := range want {
			if i >= len(lines) || !strings.HasSuffix(lines[i], words) {
				t.Fatalf("line %d: want %q in\n%s", i+1, words, got.out)
			}
		}
		if len(lines) != len(want) {
			t.Errorf("%d lines, want %d:\n%s", len(lines), len(want), got.out)
		}
	})
	t.Run("drawn anew on a terminal", func(t *testing.T) {
		got := watched(t, true)
		draws := strings.Split(got.out, cutLines)[1:]
		if got.code != exitFailed || got.err != result || len(draws) < 6 {
			t.Fatalf("%d draws: %+v", len(draws), got)
		}
		for i, d := range draws {
			list, rest, _ := strings.Cut(d, breakLines)
			lines := strings.Count(list, "\n")
			has(t, "a list", list, "switchover edge-weu-000000000002-001, by ann: ", "fit", "drain", "reboot")
			if last := i == len(draws)-1; !last && rest != "\x1b["+string(rune('0'+lines))+"A\r"+clearBelow {
				t.Errorf("after a list of %d lines the cursor goes with %q", lines, rest)
			}
		}
	})
	t.Run("in JSON when it is over", func(t *testing.T) {
		got := watched(t, true, "-o", "json")
		var told api.PairJob
		if err := json.Unmarshal([]byte(got.out), &told); err != nil || got.code != exitFailed || got.err != "" || told.Job.State != pair.JobCancelled {
			t.Errorf("%v: %+v", err, got)
		}
	})
	o := applied(t)
	o.run(t, "configure", "edge-weu", "--no-wait")
	o.script(looksAtJob, func() {}, o.goes(t, ends(pair.JobDone, "both were right already")))
	if got := o.run(t, "jobs", "watch", "edge-weu-000000000002-001"); got.code != exitDone || !strings.Contains(got.out, "configure of pair edge-weu is done after 4m10s: both were right already\n") {
		t.Errorf("by its id: %+v", got)
	}
	if got := o.run(t, "jobs", "watch", "edge-weu-000000000001-001"); got.code != exitFailed || !strings.Contains(got.err, "has another job by now") {
		t.Errorf("one that is gone: %+v", got)
	}
}

func TestMaintenanceIsAPauseOfOneUnit(t *testing.T) {
	o := applied(t)
	var got [2]pair.Pause
	for i, command := range []string{"maintenance", "pause"} {
		told := o.run(t, command, "edge-weu", "--unit", "second", "--until", time.Now().Add(time.Hour).UTC().Format(time.RFC3339), "--reason", "new disk")
		if told.code != exitDone || !strings.HasPrefix(told.out, "maintenance of second of pair edge-weu begun by ann until ") {
			t.Errorf("%s: %+v", command, told)
		}
		got[i] = *o.record(t).Pause
	}
	if got[0].Unit != pair.Second || got[0].Reason != got[1].Reason || got[0].Owner != got[1].Owner || got[0].Until.Sub(got[1].Until).Abs() > time.Minute {
		t.Errorf("a maintenance is %+v, a pause %+v", got[0], got[1])
	}
}

func TestWhatIsAskedOfJobsIsCompleted(t *testing.T) {
	o := applied(t)
	o.run(t, "switchover", "edge-weu", "--no-wait")
	for _, tt := range []struct {
		args []string
		says string
	}{
		{[]string{"switchover", "ed"}, "edge-weu\n"},
		{[]string{"switchover", "edge-weu", "--to", ""}, "second\n"},
		{[]string{"maintenance", "edge-weu", "--unit", ""}, "first\n"},
		{[]string{"jobs", "watch", ""}, "edge-weu\n"},
		{[]string{"jobs", "ca"}, "cancel\t"},
		{[]string{"jobs", "--kind", "sw"}, "switchover\n"},
	} {
		got := o.run(t, append([]string{"__complete"}, tt.args...)...)
		if got.code != exitDone {
			t.Errorf("%v: %+v", tt.args, got)
		}
		has(t, strings.Join(tt.args, " "), got.out, tt.says)
	}
}

// TestWithATokenTheServerKnowsWhoAsks sends the token, and nobody's name beside it.
func TestWithATokenTheServerKnowsWhoAsks(t *testing.T) {
	var tokens []string
	var body string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		tokens = append(tokens, r.Header.Get("Authorization"))
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		body = string(b)
		_, _ = io.WriteString(w, `{"v":1,"word":"resume","change":"stored","by":"ann@example.com"}`)
	}))
	defer server.Close()
	c := command{environ: []string{"TANDEM_SERVER=" + server.URL, "USER=ann"}}
	if got := c.run(t, "resume", "edge-weu", "--token", "of-the-flag"); got.code != exitDone || !strings.Contains(got.out, "resumed by ann@example.com") || body != "{}" {
		t.Errorf("%+v, sent %s", got, body)
	}
	c.environ = append(c.environ, "TANDEM_TOKEN=of-the-environment")
	c.run(t, "resume", "edge-weu", "--by", "eve")
	if body != `{"by":"eve"}` {
		t.Errorf("sent %s", body)
	}
	c.environ = c.environ[:2]
	c.run(t, "resume", "edge-weu")
	if body != `{"by":"ann"}` {
		t.Errorf("sent %s", body)
	}
	if want := "Bearer of-the-flag,Bearer of-the-environment,"; strings.Join(tokens, ",") != want {
		t.Errorf("tokens %q, want %q", tokens, want)
	}
}
