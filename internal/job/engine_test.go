package job_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"tandem/internal/job"
	"tandem/internal/pair"
)

func step(name string, do func(*job.Turn) job.Verdict) job.Step {
	return job.Step{Name: name, Title: name + " is so", Within: time.Minute, Do: do, Undoes: "nothing was changed"}
}

func of(t testing.TB, steps ...job.Step) *job.Registry {
	t.Helper()
	r, err := job.NewRegistry(job.Procedure{Kind: "try", Title: "try the engine", TakesForce: true, Steps: steps})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// running is an input with a job of these steps that began at noon.
func running(t testing.TB, r *job.Registry) *pair.Input {
	t.Helper()
	def := edge()
	j, err := r.New(job.Request{ID: "edge-000000000001-001", Kind: "try", By: "anna", At: noon}, &def)
	if err != nil {
		t.Fatal(err)
	}
	return &pair.Input{Definition: def, Record: pair.Record{Job: &j}, Observation: pair.Observation{At: noon}}
}

// look makes one look after a while, and stores what the job came to unless it
// leaves the look to the table.
func look(t testing.TB, r *job.Registry, in *pair.Input, after time.Duration) *pair.Proposal {
	t.Helper()
	in.Observation.At = in.Observation.At.Add(after)
	p := r.Propose(in)
	if p == nil {
		t.Fatalf("no proposal for %+v", in.Record.Job)
	}
	if !p.Yield {
		in.Record.Job = p.Job.Clone()
	}
	return p
}

var start = pair.Intent{Kind: pair.IntentStart, Unit: pair.Second}

func isDone(*job.Turn) job.Verdict { return job.Done("it was so") }

func TestStepsThatAreTrueArePassedInOneLook(t *testing.T) {
	r := of(t, step("one", isDone), step("two", func(*job.Turn) job.Verdict { return job.Skip("nothing to do") }),
		step("three", func(t *job.Turn) job.Verdict { return t.Ask("a start", start) }))
	in := running(t, r)
	p := look(t, r, in, time.Second)
	if got := []pair.StepState{p.Job.Steps[0].State, p.Job.Steps[1].State, p.Job.Steps[2].State}; !slices.Equal(got, []pair.StepState{pair.StepDone, pair.StepSkipped, pair.StepRuns}) {
		t.Errorf("steps are %v", got)
	}
	if len(p.Intents) != 1 || p.Job.Steps[2].Tries != 1 || p.Job.State != pair.JobRuns {
		t.Errorf("proposal is %+v", p)
	}
}

func TestAnEffectIsAskedForWhileItIsNotUnderWay(t *testing.T) {
	r := of(t, step("one", func(t *job.Turn) job.Verdict { return t.Ask("a start", start) }))
	in := running(t, r)
	asks := func(after time.Duration, want int, rule string) {
		t.Helper()
		if p := look(t, r, in, after); len(p.Intents) != want {
			t.Errorf("%s: %d intents, want %d", rule, len(p.Intents), want)
		}
	}
	asks(time.Second, 1, "it is asked for")
	in.Open = []pair.Intent{start}
	asks(20*time.Second, 0, "not while it is under way")
	in.Open = nil
	asks(time.Second, 1, "again when it was given up")
	asks(time.Second, 0, "but not at once")
	asks(10*time.Second, 1, "a third time")
	if p := look(t, r, in, 11*time.Second); p.Job.State != pair.JobFailed || !strings.Contains(p.Job.Why, "3 times") || len(p.Intents) > 0 {
		t.Errorf("and then no more: %s %q", p.Job.State, p.Job.Why)
	}
}

func TestEveryStepEnds(t *testing.T) {
	tests := []struct {
		name  string
		do    func(*job.Turn) job.Verdict
		after time.Duration
		want  pair.JobState
		why   string
	}{
		{"a step that waits has its time", func(*job.Turn) job.Verdict { return job.Wait("rain") }, 58 * time.Second, pair.JobRuns, ""},
		{"and then fails with what it waited for", func(*job.Turn) job.Verdict { return job.Wait("rain") }, time.Minute, pair.JobFailed, "not done within 1m0s: rain"},
		{"one that is done at its last look is done", func(t *job.Turn) job.Verdict {
			if t.Now().After(noon.Add(30 * time.Second)) {
				return job.Done("")
			}
			return job.Wait("rain")
		}, time.Minute, pair.JobDone, "no interruption was measured"},
		{"at its last look it asks for nothing", func(t *job.Turn) job.Verdict {
			if t.Late() {
				return t.Ask("a start", start)
			}
			return job.Wait("rain")
		}, time.Minute, pair.JobFailed, "a start"},
		{"one that panics has failed with the panic's text", func(*job.Turn) job.Verdict { panic("no such thing") }, time.Second, pair.JobFailed, "no such thing"},
		{"one that leaves its looks to the table has its time too", func(*job.Turn) job.Verdict { return job.Yield("both serve") }, time.Minute, pair.JobFailed, "both serve, and that for longer than 1m0s"},
		{"one that goes back to nowhere fails", func(*job.Turn) job.Verdict { return job.Back("none", "it is gone") }, time.Second, pair.JobFailed, `no step "none"`},
		{"one that finishes ends the job", func(*job.Turn) job.Verdict { return job.Finish("it was so") }, time.Second, pair.JobDone, "it was so"},
		{"nobody approves for ever", func(*job.Turn) job.Verdict { return job.Consent("a gap") }, time.Minute, pair.JobFailed, "nobody approved"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := of(t, step("one", tt.do))
			in := running(t, r)
			look(t, r, in, 0)
			for range 2 {
				if in.Record.Job.Running() {
					look(t, r, in, tt.after/2)
				}
			}
			if j := in.Record.Job; j.State != tt.want || !strings.Contains(j.Why, tt.why) {
				t.Errorf("job is %s: %q; want %s: %q", j.State, j.Why, tt.want, tt.why)
			}
		})
	}
}

func TestGoingBackHasAnEnd(t *testing.T) {
	r := of(t, step("one", isDone), step("two", func(*job.Turn) job.Verdict { return job.Back("one", "one is not so any more") }))
	in := running(t, r)
	for range 10 {
		if in.Record.Job.Running() {
			look(t, r, in, time.Second)
		}
	}
	if j := in.Record.Job; j.State != pair.JobFailed || !strings.Contains(j.Why, "again after 3 times") {
		t.Errorf("job is %s: %q", j.State, j.Why)
	}
}

func TestTimeWithoutATurnDoesNotCount(t *testing.T) {
	r := of(t, step("one", func(*job.Turn) job.Verdict { return job.Wait("rain") }))
	in := running(t, r)
	look(t, r, in, 0)
	look(t, r, in, 30*time.Second)
	look(t, r, in, time.Hour)
	look(t, r, in, 29*time.Second)
	if j := in.Record.Job; j.State != pair.JobRuns {
		t.Errorf("after 59 s of its own the job is %s: %s", j.State, j.Why)
	}
	look(t, r, in, time.Second)
	if j := in.Record.Job; j.State != pair.JobFailed {
		t.Errorf("after a minute of its own the job is %s", j.State)
	}
}

// TestClocksApart has two workers take turns whose clocks are an hour apart: when
// the clock is mended, the step has its time left and no more.
func TestClocksApart(t *testing.T) {
	r := of(t, step("one", func(*job.Turn) job.Verdict { return job.Wait("rain") }))
	in := running(t, r)
	look(t, r, in, 0)
	for range 5 {
		look(t, r, in, time.Hour)
		look(t, r, in, -time.Hour)
	}
	look(t, r, in, 59*time.Second)
	if j := in.Record.Job; j.State != pair.JobRuns {
		t.Errorf("after 59 s of its own the job is %s: %s", j.State, j.Why)
	}
	look(t, r, in, time.Second)
	if j := in.Record.Job; j.State != pair.JobFailed {
		t.Errorf("after a minute of its own the job is %s", j.State)
	}
}

func TestAPersonsWord(t *testing.T) {
	undone := func(*job.Turn) job.Verdict { return job.Done("taken back") }
	waits := job.Step{Name: "one", Title: "one", Within: time.Hour, Do: func(*job.Turn) job.Verdict { return job.Wait("rain") }, Undo: undone, Undoes: "it goes back"}
	asks := step("one", func(*job.Turn) job.Verdict { return job.Consent("a gap") })
	commits := waits
	commits.Commits = true
	tests := []struct {
		name  string
		step  job.Step
		words []string
		want  pair.JobState
		why   string
	}{
		{"approve: what was announced may happen", asks, []string{pair.JobApprove}, pair.JobDone, ""},
		{"approve where nothing is asked changes nothing", waits, []string{pair.JobApprove}, pair.JobRuns, ""},
		{"pause: it rests", waits, []string{pair.JobPause}, pair.JobRests, "paused by bert"},
		{"resume: it goes on", waits, []string{pair.JobPause, pair.JobResume}, pair.JobRuns, ""},
		{"pause said twice is said once, so that resume is heard", waits, []string{pair.JobPause, pair.JobPause, pair.JobResume}, pair.JobRuns, ""},
		{"resume while it asks changes nothing", asks, []string{pair.JobResume}, pair.JobAsks, "a gap"},
		{"cancel: it is undone and cancelled", waits, []string{pair.JobCancel}, pair.JobCancelled, "cancelled by bert"},
		{"cancel while it asks", asks, []string{pair.JobCancel}, pair.JobCancelled, "cancelled by bert"},
		{"cancel while it rests", waits, []string{pair.JobPause, pair.JobCancel}, pair.JobCancelled, "cancelled by bert"},
		{"cancel after the state has begun to move is refused in words", commits, []string{pair.JobCancel}, pair.JobRuns, "there is no way back by itself"},
		{"a word of a newer release is left alone", waits, []string{"hurry"}, pair.JobRuns, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := of(t, tt.step)
			in := running(t, r)
			look(t, r, in, time.Second)
			for _, word := range tt.words {
				in.Record.Job.Said = &pair.JobWord{Word: word, By: "bert", At: in.Observation.At}
				if p := look(t, r, in, time.Second); p.Yield || p.Job.Said != nil && word != pair.JobCancel && word != "hurry" {
					t.Errorf("the look in which %q was said is left to the table, and the word is lost", word)
				}
			}
			if j := in.Record.Job; j.State != tt.want || !strings.Contains(j.Why, tt.why) {
				t.Errorf("job is %s: %q; want %s: %q", j.State, j.Why, tt.want, tt.why)
			}
		})
	}
}

func TestWhatThisReleaseDoesNotKnow(t *testing.T) {
	r := of(t, step("one", isDone))
	tests := []struct {
		name    string
		change  func(*pair.Job)
		nothing bool
		why     string
	}{
		{"another kind is left alone", func(j *pair.Job) { j.Kind = "upgrade" }, true, ""},
		{"a form for newer readers is left alone", func(j *pair.Job) { j.MinReader = pair.Version + 1 }, true, ""},
		{"a state of no name is left alone", func(j *pair.Job) { j.State = pair.JobUnknown }, true, ""},
		{"a job that is over wants nothing", func(j *pair.Job) { j.State = pair.JobDone }, true, ""},
		{"a step of another release fails with a reason", func(j *pair.Job) { j.Steps[0].Name = "zero" }, false, `does not know the step "zero"`},
		{"a number that cannot be fails with a reason", func(j *pair.Job) { j.Step = 7 }, false, "cannot be"},
		{"and a negative one", func(j *pair.Job) { j.Step = -1 }, false, "cannot be"},
		{"no steps at all", func(j *pair.Job) { j.Steps = nil }, false, "cannot be"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := running(t, r)
			tt.change(in.Record.Job)
			p := r.Propose(in)
			if (p == nil) != tt.nothing {
				t.Fatalf("proposal is %+v", p)
			}
			if p != nil && (p.Job.State != pair.JobFailed || !strings.Contains(p.Job.Why, tt.why)) {
				t.Errorf("job is %s: %q, want %q", p.Job.State, p.Job.Why, tt.why)
			}
		})
	}
}

func TestTheGapIsMeasuredAtTheFrontEnd(t *testing.T) {
	r := of(t, step("one", func(*job.Turn) job.Verdict { return job.Wait("rain") }))
	in := running(t, r)
	at := func(after time.Duration, a pair.ServiceAnswer) {
		in.Observation.Front = pair.ServiceSeen{Answer: a, At: in.Observation.At.Add(after)}
		look(t, r, in, after)
	}
	at(time.Second, pair.ServicePassed)
	at(time.Second, pair.ServiceFailed)
	at(time.Second, pair.ServiceUnknown)
	at(time.Second, pair.ServiceFailed)
	at(time.Second, pair.ServicePassed)
	look(t, r, in, time.Second) // the same answer once more
	if g := in.Record.Job.Gap; g.Looks != 4 || g.Failed != 2 || g.Longest != pair.Duration(4*time.Second) || g.Broken {
		t.Errorf("measured %+v", g)
	}
}

func TestARegistryIsChecked(t *testing.T) {
	good := step("one", isDone)
	bare := good
	bare.Undoes = ""
	endless := good
	endless.Within = 0
	tests := []struct {
		name string
		is   []job.Procedure
	}{
		{"two of one kind", []job.Procedure{{Kind: "a", Title: "a", Steps: []job.Step{good}}, {Kind: "a", Title: "b", Steps: []job.Step{good}}}},
		{"no steps", []job.Procedure{{Kind: "a", Title: "a"}}},
		{"two steps of one name", []job.Procedure{{Kind: "a", Title: "a", Steps: []job.Step{good, good}}}},
		{"a step that does not say what undoing means", []job.Procedure{{Kind: "a", Title: "a", Steps: []job.Step{bare}}}},
		{"a step without a time", []job.Procedure{{Kind: "a", Title: "a", Steps: []job.Step{endless}}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := job.NewRegistry(tt.is...); err == nil {
				t.Error("it is taken")
			}
		})
	}
}

func TestARequestIsRefusedWithItsValue(t *testing.T) {
	r, def := registry(t), edge()
	good := job.Request{ID: "edge-000000000001-001", Kind: "switchover", By: "anna", At: noon}
	tests := []struct {
		name   string
		change func(*job.Request)
		says   string
	}{
		{"an unknown kind", func(q *job.Request) { q.Kind = "dance" }, `"dance": expected one of switchover, configure`},
		{"no id", func(q *job.Request) { q.ID = "" }, "id"},
		{"nobody", func(q *job.Request) { q.By = "" }, "who wants"},
		{"no time", func(q *job.Request) { q.At = time.Time{} }, "expected a time"},
		{"a role that is none", func(q *job.Request) { q.Unit = 9 }, "expected first or second"},
		{"a drain of days", func(q *job.Request) { q.Drain = 48 * time.Hour }, "48h0m0s: expected a time from 0s to 1h0m0s"},
		{"a drain before the beginning", func(q *job.Request) { q.Drain = -time.Second }, "-1s"},
		{"force where nothing can be forced", func(q *job.Request) { q.Kind, q.Force = "configure", true }, "force"},
		{"a unit where both are meant", func(q *job.Request) { q.Kind, q.Unit = "configure", pair.First }, "unit first"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			req := good
			tt.change(&req)
			if _, err := r.New(req, &def); !errors.Is(err, pair.ErrInvalid) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("error is %v, want %q", err, tt.says)
			}
		})
	}
	j, err := r.New(good, &def)
	if err != nil || j.State != pair.JobRuns || j.Drain != pair.Duration(5*time.Minute) || len(j.Steps) == 0 {
		t.Errorf("job %+v, error %v", j, err)
	}
}

// TestStoredStepNamesStay: a stored job of an older release is matched by them.
func TestStoredStepNamesStay(t *testing.T) {
	r := registry(t)
	want := map[string]string{
		"switchover": "fit announce preference raise drain soak still-fit move release verify settle",
		"configure":  "preflight parameters reboot-second reboot-first fit announce preference raise drain soak still-fit mode move release rest verify settle follow",
		"replace":    "preflight announce preference out licensed restored equal proved mode reboot standby return verify settle",
		"geo": "turn-lists lists turn-restart aim-first back-fit back-announce back-preference back-raise back-drain back-soak back-still-fit back-move back-submit-at-once back-release " +
			"aim-second fit announce preference raise drain soak still-fit move submit-at-once release submit verify settle turn-clusters clusters",
		"sync": "preflight compare save-active write-active settle save-standby restore prove write-standby verify",
	}
	for _, kind := range r.Kinds() {
		p, _ := r.Procedure(kind)
		var names []string
		for _, s := range p.Steps {
			names = append(names, s.Name)
		}
		if got := strings.Join(names, " "); got != want[kind] {
			t.Errorf("steps of %s are %s, want %s", kind, got, want[kind])
		}
	}
}

// FuzzPropose feeds stored jobs of any content: the engine never panics, never
// changes its input, and never wants effects beside a release.
func FuzzPropose(f *testing.F) {
	r := registry(f)
	for seed, kind := range r.Kinds() {
		w := newWorld(f, edge(), pair.First)
		req := job.Request{Kind: kind}
		if p, _ := r.Procedure(kind); p.NeedsUnit {
			req.Unit = pair.Second
		}
		if p, _ := r.Procedure(kind); p.TakesGEO {
			g := wish()
			req.GEO = &g
		}
		w.start(req)
		b, err := json.Marshal(w.rec.Job)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b, uint64(seed))
	}
	f.Add([]byte(`{"kind":"switchover","state":"runs","step":3,"steps":[{"name":"move","state":"runs"},{"name":"soak"},{"name":"raise","state":"failed"},{"name":"drain"}]}`), uint64(3))
	f.Add([]byte(`{"kind":"geo","state":"runs","step":1,"steps":[{"name":"turn-lists","state":"done"},{"name":"lists","state":"runs"}]}`), uint64(5))
	f.Add([]byte(`{"kind":"configure","state":"undoes","unit":"second","committed":true,"step":1,"steps":[{"name":"preference","state":"runs","beganAt":"2026-01-02T12:00:00Z"}]}`), uint64(4))
	f.Fuzz(func(t *testing.T, stored []byte, seed uint64) {
		var j pair.Job
		if json.Unmarshal(stored, &j) != nil {
			return
		}
		rng := source(seed)
		w := newWorld(t, edge(), pair.Roles[rng.IntN(2)])
		w.rec.Job = &j
		for _, u := range w.units {
			u.dead, u.broken, u.mode = rng.IntN(3) == 0, rng.IntN(3) == 0, pair.Role(rng.IntN(3))
		}
		for range rng.IntN(3) {
			w.rec.Admin = append(w.rec.Admin, pair.AdminHold{
				LoadBalancer: "ilb", Pool: "one", Unit: pair.Role(rng.IntN(3)), State: pair.AdminState(rng.IntN(4)), Lever: pair.LeverJob, Landed: rng.IntN(2) == 0,
			})
		}
		in := w.look(rng.IntN(2) == 0)
		before, err := json.Marshal(&in)
		if err != nil {
			return // a time that cannot be written, so it was never stored
		}
		p := r.Propose(&in)
		after, err := json.Marshal(&in)
		if err != nil || string(before) != string(after) {
			t.Fatalf("the input was changed: %v\n%s\n%s", err, before, after)
		}
		if p != nil && len(p.Intents) > 0 && (len(p.Release) > 0 || p.Yield || !p.Job.Running()) {
			t.Fatalf("effects are wanted beside a release, a yield or an end: %+v", p)
		}
	})
}

// BenchmarkPropose is the engine's part of one look at a job in the middle of its
// soak.
func BenchmarkPropose(b *testing.B) {
	w := newWorld(b, edge(), pair.First)
	w.start(job.Request{Kind: "switchover"})
	next := w.now
	for w.rec.Job.Steps[w.rec.Job.Step].Name != "soak" {
		w.second()
		if !w.now.Before(next) {
			next = w.now.Add(w.pass())
		}
	}
	in := w.look(true)
	b.ReportAllocs()
	for b.Loop() {
		if w.jobs.Propose(&in) == nil {
			b.Fatal("no proposal")
		}
	}
}
