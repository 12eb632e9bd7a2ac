package api_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"tandem/internal/api"
	"tandem/internal/job"
	"tandem/internal/pair"
)

// procedures are jobs that do nothing.
func procedures(t testing.TB) api.Jobs {
	t.Helper()
	step := func(name string) job.Step {
		return job.Step{Name: name, Title: "nothing is so", Undoes: "nothing", Within: time.Minute, Do: func(*job.Turn) job.Verdict { return job.Wait("nothing") }}
	}
	r, err := job.NewRegistry(
		job.Procedure{Kind: "switchover", Title: "move", TakesUnit: true, TakesForce: true, TakesDrain: true, Drain: 5 * time.Minute, Steps: []job.Step{step("fit"), step("drain")}},
		job.Procedure{Kind: "configure", Title: "set up", Steps: []job.Step{step("write")}},
	)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// working is an operator API that has jobs, over one pair, edge.
func working(t *testing.T, wrap func(api.Store) api.Store) *served {
	t.Helper()
	return wordsWith(t, api.Options{Jobs: procedures(t)}, wrap)
}

// runs puts a job into the record of the pair edge, as a pass leaves it.
func (s *served) runs(change func(*pair.Job)) {
	s.t.Helper()
	s.remember(func(rec *pair.Record) {
		rec.Job = &pair.Job{
			V: 1, MinReader: 1, ID: pair.ID("edge", 7, 1), Kind: "switchover", By: "bob", At: moment.Add(-time.Minute), State: pair.JobRuns,
			Steps: []pair.JobStep{{Name: "fit", State: pair.StepRuns}, {Name: "drain"}},
		}
		if change != nil {
			change(rec.Job)
		}
	})
}

// entry is the newest word in the pair's outbox.
func (s *served) entry() pair.Asked {
	s.t.Helper()
	snap, err := s.store.Load(s.t.Context(), "edge")
	if err != nil {
		s.t.Fatal(err)
	}
	post := snap.Outbox[len(snap.Outbox)-1]
	if post.Type != pair.EntryAsked || post.ID != pair.ID("edge", snap.Record.Epoch, 1) || !post.At.Equal(moment) {
		s.t.Errorf("for the journal %+v, want a word in epoch %d", post, snap.Record.Epoch)
	}
	var a pair.Asked
	if err := json.Unmarshal(post.Body, &a); err != nil {
		s.t.Fatal(err)
	}
	return a
}

func TestAJobIsStartedWithANewEpochAnEntryAndAWake(t *testing.T) {
	s := working(t, nil)
	ask := api.JobStart{Kind: "switchover", By: " ann ", Reason: "host maintenance", Unit: pair.Second, Drain: pair.Duration(time.Minute)}
	was := s.record()
	dry, err := s.client.StartJob(t.Context(), "edge", ask, "", true)
	if err != nil || !dry.DryRun || dry.Change != "stored" || dry.Obstacle != "" || dry.Job.Steps[1].Name != "drain" {
		t.Errorf("a dry run: %+v, %v", dry, err)
	}
	equal(t, s.record(), was)
	got, err := s.client.StartJob(t.Context(), "edge", ask, "k-1", false)
	if err != nil {
		t.Fatal(err)
	}
	rec, id := s.record(), pair.ID("edge", was.Epoch+1, 1)
	want := pair.Job{
		V: 1, MinReader: 1, ID: id, Key: "k-1", Kind: "switchover", By: "ann", Reason: "host maintenance", At: moment, Unit: pair.Second,
		Drain: pair.Duration(time.Minute), State: pair.JobRuns,
		Steps: []pair.JobStep{{Name: "fit", Within: pair.Duration(time.Minute)}, {Name: "drain", Within: pair.Duration(time.Minute)}},
	}
	equal(t, rec.Job, want)
	equal(t, got, api.JobAsked{V: 1, Word: "start", Pair: "edge", Change: "stored", Epoch: was.Epoch + 1, By: "ann", Job: want, Stance: "observe"})
	if rec.Epoch != was.Epoch+1 {
		t.Errorf("epoch %d after %d, want one more", rec.Epoch, was.Epoch)
	}
	equal(t, s.entry(), pair.Asked{Word: "switchover", By: "ann", Reason: "host maintenance", Unit: pair.Second, Job: id})
	equal(t, s.woken(), []string{"edge"})
	if log := s.log.String(); strings.Count(log, "a person asked") != 1 || !strings.Contains(log, "job="+id) {
		t.Errorf("the log does not tell it once: %s", log)
	}
}

func TestWhatIsInTheWayOfAJobIsNamedWithTheWayOut(t *testing.T) {
	tests := []struct {
		name   string
		before func(*served)
		says   []string
		job    bool // that the problem names
	}{
		{
			"another job, its owner, since when, and how to end it", func(s *served) { s.runs(nil) },
			[]string{"switchover edge-000000000007-001 of bob since 2026-11-22 20:59:00Z", "tandem jobs watch edge", "tandem jobs cancel edge"},
			true,
		},
		{
			"one that is past the point of no return is not to be cancelled", func(s *served) { s.runs(func(j *pair.Job) { j.Committed = true }) },
			[]string{"has begun to move, so let it end"},
			true,
		},
		{"Tandem's own past that point does not give way", func(s *served) {
			s.runs(func(j *pair.Job) { j.By, j.Committed = pair.OwnerTandem, true })
		}, []string{"of tandem", "let it end"}, true},
		{"one that is being undone", func(s *served) { s.runs(func(j *pair.Job) { j.State = pair.JobUndoes }) }, []string{"is being undone; try again"}, true},
		{"one that a person has cancelled", func(s *served) {
			s.runs(func(j *pair.Job) { j.Said = &pair.JobWord{Word: pair.JobCancel, By: "eve"} })
		}, []string{"is being undone; try again"}, true},
		{"one that rests is the pair's all the same", func(s *served) { s.runs(func(j *pair.Job) { j.State = pair.JobRests }) }, []string{"has a job already"}, true},
		{"a pause", func(s *served) {
			s.remember(func(rec *pair.Record) { rec.Pause = &pair.Pause{Owner: "bob", Reason: "cabling"} })
		}, []string{"pair edge is paused by bob: cabling; resume first"}, false},
		{"a maintenance", func(s *served) {
			s.remember(func(rec *pair.Record) { rec.Pause = &pair.Pause{Owner: "bob", Unit: pair.First, Reason: "disk"} })
		}, []string{"maintenance of first by bob: disk"}, false},
		{"a pause of all pairs", func(s *served) {
			if err := s.store.SetStop(s.t.Context(), &pair.Pause{Owner: "bob", Reason: "fire"}, pair.Entry{Kind: pair.EntryAsked, At: moment, Body: []byte(`{}`)}); err != nil {
				s.t.Fatal(err)
			}
		}, []string{"paused with all pairs by bob: fire"}, false},
		{"a removal", func(s *served) {
			s.remember(func(rec *pair.Record) { rec.Retire = &pair.Request{By: "bob"} })
		}, []string{"is being removed, as bob asked"}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := working(t, nil)
			tt.before(s)
			was := s.record()
			p := s.problem(s.ask("POST", "/api/pairs/edge/jobs", `{"kind":"configure","by":"ann"}`))
			if p.Status != http.StatusConflict || p.Kind != "conflict" || (p.Job != "") != tt.job {
				t.Errorf("problem %+v", p)
			}
			for _, words := range tt.says {
				if !strings.Contains(p.Detail, words) {
					t.Errorf("%q is missing in %q", words, p.Detail)
				}
			}
			_, err := s.client.StartJob(t.Context(), "edge", api.JobStart{Kind: "configure", By: "ann"}, "", false)
			if !errors.Is(err, pair.ErrConflict) || api.ExitCode(err) != 1 {
				t.Errorf("the client has %v", err)
			}
			dry, err := s.client.StartJob(t.Context(), "edge", api.JobStart{Kind: "configure", By: "ann"}, "", true)
			if err != nil || dry.Change != "unchanged" || !strings.Contains(dry.Obstacle, tt.says[0]) || dry.Job.Kind != "configure" {
				t.Errorf("a dry run says %+v, %v; want it to say %q", dry, err, tt.says[0])
			}
			equal(t, s.record(), was)
			if names := s.woken(); names != nil {
				t.Errorf("woke %v", names)
			}
		})
	}
}

func TestAJobThatEndedIsNotInTheWay(t *testing.T) {
	for _, state := range []pair.JobState{pair.JobDone, pair.JobFailed, pair.JobCancelled} {
		s := working(t, nil)
		s.runs(func(j *pair.Job) { j.State = state })
		got, err := s.client.StartJob(t.Context(), "edge", api.JobStart{Kind: "configure", By: "ann"}, "", false)
		if err != nil || got.Change != "stored" || s.record().Job.Kind != "configure" {
			t.Errorf("after one that is %s: %+v, %v", state, got, err)
		}
	}
}

func TestTandemsOwnJobGivesWayToAPersons(t *testing.T) {
	s := working(t, nil)
	s.runs(func(j *pair.Job) { j.By = pair.OwnerTandem })
	was, ask := s.record(), api.JobStart{Kind: "configure", By: "ann"}
	dry, err := s.client.StartJob(t.Context(), "edge", ask, "", true)
	if err != nil || !strings.Contains(dry.Obstacle, "gives way to you") {
		t.Errorf("a dry run: %+v, %v", dry, err)
	}
	equal(t, s.record(), was)
	if _, err = s.client.StartJob(t.Context(), "edge", ask, "", false); !errors.Is(err, pair.ErrConflict) || !strings.Contains(err.Error(), "It gives way to you and is being undone; try again") {
		t.Errorf("got %v", err)
	}
	rec := s.record()
	if rec.Job.ID != was.Job.ID || rec.Epoch != was.Epoch+1 {
		t.Errorf("the job is %s in epoch %d, want the same one in a new epoch", rec.Job.ID, rec.Epoch)
	}
	equal(t, rec.Job.Said, pair.JobWord{Word: pair.JobCancel, By: "ann", Reason: "it gives way to configure", At: moment})
	equal(t, s.entry(), pair.Asked{Word: "cancel", By: "ann", Reason: "it gives way to configure", Job: was.Job.ID})
	equal(t, s.woken(), []string{"edge"})
	if _, err = s.client.StartJob(t.Context(), "edge", ask, "", false); !errors.Is(err, pair.ErrConflict) || s.record().Epoch != rec.Epoch {
		t.Errorf("once more: %v in epoch %d, want the same answer and nothing stored", err, s.record().Epoch)
	}
}

func TestTheSameKeyStartsOneJob(t *testing.T) {
	s := working(t, nil)
	ask := api.JobStart{Kind: "switchover", By: "ann"}
	first, err := s.client.StartJob(t.Context(), "edge", ask, "k 1", false)
	if err != nil {
		t.Fatal(err)
	}
	again, err := s.client.StartJob(t.Context(), "edge", ask, "k 1", false)
	if err != nil || again.Change != "unchanged" || again.Job.ID != first.Job.ID || again.Epoch != first.Epoch {
		t.Errorf("the same request: %+v, %v", again, err)
	}
	s.remember(func(rec *pair.Record) { rec.Job.State, rec.Pause = pair.JobDone, &pair.Pause{Owner: "bob"} })
	if again, err = s.client.StartJob(t.Context(), "edge", ask, "k 1", false); err != nil || again.Change != "unchanged" || again.Job.State != pair.JobDone {
		t.Errorf("the same request when the job is over: %+v, %v", again, err)
	}
	for _, other := range []api.JobStart{{Kind: "configure", By: "ann"}, {Kind: "switchover", By: "eve"}} {
		if _, err = s.client.StartJob(t.Context(), "edge", other, "k 1", false); !errors.Is(err, pair.ErrConflict) || !strings.Contains(err.Error(), "take another one") {
			t.Errorf("another request with the same key: %v", err)
		}
	}
	for _, key := range []string{strings.Repeat("k", 101), "é\u0007", "a\tb"} {
		r := http.Header{api.KeyHeader: {key}}
		if p := s.problem(s.askWith("POST", "/api/pairs/edge/jobs", `{"kind":"configure","by":"ann"}`, r)); p.Status != 400 || !strings.Contains(p.Detail, api.KeyHeader) {
			t.Errorf("key %q: %+v", key, p)
		}
	}
	if p := s.problem(s.askWith("POST", "/api/pairs/edge/jobs", `{"kind":"configure","by":"ann"}`, http.Header{api.KeyHeader: {"a", "b"}})); p.Status != 400 {
		t.Errorf("two keys: %+v", p)
	}
}

func TestWhatIsNoRequestForAJobIsRefused(t *testing.T) {
	tests := []struct {
		name, path, body string
		status           int
		says             string
	}{
		{"no body", "", ``, 400, "Content-Length"},
		{"an unknown key", "", `{"kind":"switchover","by":"ann","to":"first"}`, 400, "kind, by, reason, unit, drain, force"},
		{"a kind that is none", "", `{"kind":"dance","by":"ann"}`, 400, "expected one of switchover, configure"},
		{"nobody", "", `{"kind":"switchover"}`, 400, "by: expected who asks"},
		{"the program's own name", "", `{"kind":"switchover","by":"TANDEM"}`, 400, "the program's own"},
		{"a reason of two lines", "", `{"kind":"switchover","by":"ann","reason":"a\nb"}`, 400, "one line"},
		{"a unit that the kind does not take", "", `{"kind":"configure","by":"ann","unit":"first"}`, 400, "expected none"},
		{"a drain below nothing", "", `{"kind":"switchover","by":"ann","drain":"-1s"}`, 400, "drain"},
		{"a drain of a day", "", `{"kind":"switchover","by":"ann","drain":"24h"}`, 400, "from 0s to 1h0m0s"},
		{"force without a role that may", "", `{"kind":"switchover","by":"ann","force":true}`, 403, "the force role needs Entra ID"},
		{"a word that is none", "/kick", `{"job":"x","by":"ann"}`, 404, "no such route"},
		{"a word about no job", "/cancel", `{"by":"ann"}`, 400, "job: expected the id"},
		{"a word with more than one line for an id", "/cancel", `{"by":"ann","job":"a\nb"}`, 400, "job: expected the id"},
		{"a word of nobody", "/cancel", `{"job":"x"}`, 400, "by: expected who asks"},
		{"a word about a job where there is none", "/cancel", `{"job":"x","by":"ann"}`, 409, "pair edge has no job"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := working(t, nil)
			was := s.record()
			p := s.problem(s.ask("POST", "/api/pairs/edge/jobs"+tt.path, tt.body))
			if p.Status != tt.status || !strings.Contains(p.Detail, tt.says) || len(p.Detail) > 600 {
				t.Errorf("problem %+v, want status %d and %q", p, tt.status, tt.says)
			}
			equal(t, s.record(), was)
		})
	}
	s := words(t, pair.ModeUnset, nil)
	if p := s.problem(s.ask("POST", "/api/pairs/edge/jobs", `{"kind":"switchover","by":"ann"}`)); p.Status != 404 || !strings.Contains(p.Detail, "this server has none") {
		t.Errorf("a server without jobs: %+v", p)
	}
}

func TestWordsAboutAJob(t *testing.T) {
	said := func(word string) func(*pair.Job) {
		return func(j *pair.Job) { j.Said = &pair.JobWord{Word: word, By: "eve"} }
	}
	state := func(s pair.JobState) func(*pair.Job) { return func(j *pair.Job) { j.State = s } }
	both := func(s pair.JobState, word string) func(*pair.Job) {
		return func(j *pair.Job) { state(s)(j); said(word)(j) }
	}
	const stored, unchanged, refused = "stored", "unchanged", ""
	tests := []struct {
		name   string
		before func(*pair.Job)
		word   string
		change string
		says   string // where it is refused
	}{
		{"what is asked is approved", state(pair.JobAsks), "approve", stored, ""},
		{"an approval that is not heard yet is not said twice", both(pair.JobAsks, "approve"), "approve", unchanged, ""},
		{"what asks nothing is not approved", nil, "approve", refused, "asks nothing now: it runs"},
		{"what was cancelled is not approved", both(pair.JobAsks, "cancel"), "approve", refused, "was cancelled by eve"},
		{"what runs is paused", nil, "pause", stored, ""},
		{"what asks is paused", state(pair.JobAsks), "pause", stored, ""},
		{"what rests is not paused twice", state(pair.JobRests), "pause", unchanged, ""},
		{"a pause that is not heard yet is not said twice", said("pause"), "pause", unchanged, ""},
		{"what shall go on may be paused again", both(pair.JobRests, "resume"), "pause", stored, ""},
		{"what is undone is not paused", state(pair.JobUndoes), "pause", refused, "is being undone, and that goes on to its end"},
		{"what rests is resumed", state(pair.JobRests), "resume", stored, ""},
		{"a pause that is not heard yet is taken back", said("pause"), "resume", stored, ""},
		{"what runs is not resumed", nil, "resume", unchanged, ""},
		{"a resume that is not heard yet is not said twice", both(pair.JobRests, "resume"), "resume", unchanged, ""},
		{"what was cancelled is not resumed", said("cancel"), "resume", refused, "was cancelled by eve"},
		{"what runs is cancelled", nil, "cancel", stored, ""},
		{"what rests is cancelled", state(pair.JobRests), "cancel", stored, ""},
		{"what is undone is not cancelled twice", state(pair.JobUndoes), "cancel", unchanged, ""},
		{"what was cancelled is not cancelled twice", said("cancel"), "cancel", unchanged, ""},
		{"there is no way back when the active state moves", func(j *pair.Job) { j.Committed = true }, "cancel", refused, "let it end and start another one"},
		{"what moves may rest", func(j *pair.Job) { j.Committed = true }, "pause", stored, ""},
		{"what is over hears nothing", func(j *pair.Job) { j.State, j.EndedAt = pair.JobDone, moment }, "cancel", refused, "is over: it is done since 2026-11-22 21:00:00Z"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := working(t, nil)
			s.runs(tt.before)
			was := s.record()
			ask := api.JobAsk{Job: was.Job.ID, By: "ann", Reason: "why"}
			dry, errDry := s.client.SayJob(t.Context(), tt.word, "edge", ask, true)
			equal(t, s.record(), was)
			got, err := s.client.SayJob(t.Context(), tt.word, "edge", ask, false)
			if tt.change == refused {
				if !errors.Is(err, pair.ErrConflict) || !errors.Is(errDry, pair.ErrConflict) || !strings.Contains(err.Error(), tt.says) {
					t.Errorf("got %v, and of a dry run %v; want a conflict that says %q", err, errDry, tt.says)
				}
				equal(t, s.record(), was)
				return
			}
			if err != nil || errDry != nil || got.Change != tt.change || dry.Change != tt.change || !dry.DryRun || got.Word != tt.word {
				t.Fatalf("got %+v, %v, and of a dry run %+v, %v; want %s", got, err, dry, errDry, tt.change)
			}
			if tt.change == unchanged {
				equal(t, s.record(), was)
				return
			}
			rec := s.record()
			want := *was.Job
			want.Said = &pair.JobWord{Word: tt.word, By: "ann", Reason: "why", At: moment}
			equal(t, rec.Job, want)
			equal(t, got.Job, want)
			equal(t, s.entry(), pair.Asked{Word: tt.word, By: "ann", Reason: "why", Job: want.ID})
			equal(t, s.woken(), []string{"edge"})
			if rec.Epoch != was.Epoch+1 || got.Epoch != rec.Epoch {
				t.Errorf("epoch %d after %d, want one more", rec.Epoch, was.Epoch)
			}
		})
	}
}

func TestAWordIsAboutTheJobThatWasSeen(t *testing.T) {
	s := working(t, nil)
	s.runs(nil)
	was := s.record()
	p := s.problem(s.ask("POST", "/api/pairs/edge/jobs/cancel", `{"job":"edge-000000000006-001","by":"ann"}`))
	if p.Status != 409 || p.Job != was.Job.ID || !strings.Contains(p.Detail, "the job of pair edge is switchover edge-000000000007-001 of bob since 2026-11-22 20:59:00Z, not edge-000000000006-001") {
		t.Errorf("problem %+v", p)
	}
	equal(t, s.record(), was)
	s.remember(func(rec *pair.Record) { rec.Retire = &pair.Request{By: "bob"} })
	if _, err := s.client.SayJob(t.Context(), "pause", "edge", api.JobAsk{Job: was.Job.ID, By: "ann"}, false); !errors.Is(err, pair.ErrConflict) {
		t.Errorf("a pause of the job of a pair that is being removed: %v", err)
	}
	if _, err := s.client.SayJob(t.Context(), "cancel", "edge", api.JobAsk{Job: was.Job.ID, By: "ann"}, false); err != nil {
		t.Errorf("a cancel of the job of a pair that is being removed: %v", err)
	}
}

func TestAJobIsStartedOnceMoreWhereAPassWasFaster(t *testing.T) {
	r := &racing{times: 3, err: pair.ErrConflict}
	s := working(t, func(kept api.Store) api.Store { r.Store = kept; return r })
	if _, err := s.client.StartJob(t.Context(), "edge", api.JobStart{Kind: "configure", By: "ann"}, "", false); err != nil || r.asked != 4 {
		t.Errorf("%v after %d attempts", err, r.asked)
	}
	r.times = 99
	if _, err := s.client.SayJob(t.Context(), "cancel", "edge", api.JobAsk{Job: s.record().Job.ID, By: "ann"}, false); !errors.Is(err, pair.ErrConflict) || !strings.Contains(err.Error(), "10 times") {
		t.Errorf("got %v", err)
	}
}

func TestJobsAreListed(t *testing.T) {
	u := &unreadable{}
	s := working(t, func(kept api.Store) api.Store { u.Store = kept; return u })
	if one, err := s.client.Job(t.Context(), "edge"); err != nil || one.Job != nil {
		t.Errorf("a pair without a job: %+v, %v", one, err)
	}
	if _, err := s.client.Job(t.Context(), "none"); !errors.Is(err, pair.ErrNotFound) {
		t.Errorf("no pair: %v", err)
	}
	s.runs(nil)
	one, err := s.client.Job(t.Context(), "edge")
	if err != nil || one.Job.ID != pair.ID("edge", 7, 1) || one.Pair != "edge" || !one.At.Equal(moment) || one.Waits != "" {
		t.Errorf("got %+v, %v", one, err)
	}
	s.remember(func(rec *pair.Record) { rec.Pause = &pair.Pause{Owner: "bob", Reason: "disk"} })
	if one, err = s.client.Job(t.Context(), "edge"); err != nil || one.Waits != "paused by bob: disk" {
		t.Errorf("in a pause: %+v, %v", one, err)
	}
	if st, err := s.client.Pair(t.Context(), "edge"); err != nil || st.Job == nil || st.Job.ID != one.Job.ID {
		t.Errorf("status shows the job %+v, %v", st.Job, err)
	}
	var names []string
	for n := range 2 * api.PageMax {
		names = append(names, fmt.Sprintf("pair-%03d", n))
	}
	s.define(names...)
	u.name = "pair-001"
	all, err := s.client.Jobs(t.Context())
	if err != nil || len(all) != 2 || all[0].Pair != "edge" || all[1].Pair != "pair-001" || !strings.Contains(all[1].Warning, "cannot be read") {
		t.Errorf("of all pairs %+v, %v; want the one with a job, and the one that cannot be read", all, err)
	}
	var page api.JobList
	if err := json.NewDecoder(s.ask("GET", "/api/jobs?after=edge", "").Body).Decode(&page); err != nil || page.Next != names[api.PageMax-1] || len(page.Jobs) != 1 {
		t.Errorf("the page of pairs without jobs: %+v, %v; want it to end at %s", page, err, names[api.PageMax-1])
	}
}

func TestAJobOfANewerReleaseIsShownWithAWarning(t *testing.T) {
	s := working(t, nil)
	s.runs(nil)
	s.remember(func(rec *pair.Record) { rec.MinReader = pair.Version + 1 })
	one, err := s.client.Job(t.Context(), "edge")
	if err != nil || one.Job == nil || !strings.Contains(one.Warning, "newer release") {
		t.Errorf("got %+v, %v", one, err)
	}
	if _, err := s.client.SayJob(t.Context(), "cancel", "edge", api.JobAsk{Job: one.Job.ID, By: "ann"}, false); !errors.Is(err, pair.ErrTooNew) {
		t.Errorf("a word about it: %v", err)
	}
}

// FuzzJobRequests ask anything of a pair with a job: the answer is never a fault
// of ours, and whatever it was, one job at most was begun.
func FuzzJobRequests(f *testing.F) {
	f.Add("", "k", `{"kind":"switchover","by":"ann","unit":"second","drain":"5m"}`)
	f.Add("", "\x00", `{"kind":"configure","by":"ann","force":true}`)
	f.Add("/cancel", "", `{"job":"edge-000000000007-001","by":"ann"}`)
	f.Add("/approve", "", `[1]`)
	f.Fuzz(func(t *testing.T, word, key, body string) {
		if !canBeAsked("POST", "/api/pairs/edge/jobs"+word) || !slices.Contains([]string{"", "/approve", "/pause", "/resume", "/cancel"}, word) {
			return // no such request can be made
		}
		s := working(t, nil)
		resp := s.askWith("POST", "/api/pairs/edge/jobs"+word, body, http.Header{api.KeyHeader: {key}})
		if resp.StatusCode >= 500 {
			t.Errorf("%s %q: status %d\n%s", word, body, resp.StatusCode, s.log)
		}
		j := s.record().Job
		if (j != nil) != (resp.StatusCode == http.StatusOK) {
			t.Errorf("%s %q: status %d and the job %+v", word, body, resp.StatusCode, j)
		}
		if j != nil && (j.Force || strings.ContainsAny(j.By+j.Reason+j.Key, "\n\r\x1b") || len(j.Key) > 100 || strings.EqualFold(j.By, pair.OwnerTandem)) {
			t.Errorf("%q was taken as %+v", body, j)
		}
	})
}

var _ api.Jobs = (*job.Registry)(nil)
