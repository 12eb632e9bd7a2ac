package story

import (
	"context"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"tandem/internal/api"
	"tandem/internal/lab"
	"tandem/internal/pair"
)

// tale reads a story whose first lines are given.
func tale(t *testing.T, text string) lab.Scenario {
	t.Helper()
	sc, err := lab.ReadScenario("test", []byte("name: test\nsummary: A test.\n"+text))
	if err != nil {
		t.Fatal(err)
	}
	return sc
}

// clock is a time of the transcript.
func clock(t *testing.T, at string) time.Duration {
	t.Helper()
	d, err := time.Parse("15:04:05.000", at)
	if err != nil {
		t.Fatal(err)
	}
	return d.Sub(d.Truncate(24 * time.Hour))
}

// said lists what a source said from one time to another.
func said(t *testing.T, o Outcome, source string, from, to time.Duration) []string {
	t.Helper()
	var out []string
	for _, m := range o.Timeline {
		if at := clock(t, m.At); m.Source == source && at >= from && at < to {
			out = append(out, m.Event)
		}
	}
	return out
}

// mentions reports whether a line of a source has all the parts.
func mentions(o Outcome, source string, parts ...string) bool {
	return slices.ContainsFunc(o.Timeline, func(m Moment) bool {
		return m.Source == source && !slices.ContainsFunc(parts, func(p string) bool { return !strings.Contains(m.Event, p) })
	})
}

// TestWhatHappensToTheProgram plays the verbs that happen to the program, with
// the program in it.
func TestWhatHappensToTheProgram(t *testing.T) {
	collectLess(t)
	const cutAndHeal = "for: 6m\nsteps:\n  - { at: 1m, do: cut }\n  - { at: 4m, do: heal }\n"
	tests := []struct {
		name, story string
		rows        []string // that win, in this order
		check       func(t *testing.T, o Outcome)
	}{
		{
			"without its tables the program stores nothing, and goes on when they are back",
			"for: 5m\nsteps:\n  - { at: 50s, do: store-down }\n  - { at: 1m, do: crash, unit: first }\n  - { at: 3m, do: store-up }\n",
			[]string{"healthy", "degraded"},
			func(t *testing.T, o Outcome) {
				for _, d := range o.Decisions {
					if at := clock(t, d.At); at > 50*time.Second && at < 3*time.Minute {
						t.Errorf("%s was decided at %s, without tables", d.Row, d.At)
					}
				}
			},
		},
		{
			"slow tables slow the program down, no more",
			strings.Replace(cutAndHeal, "steps:\n", "steps:\n  - { at: 30s, do: store-slow, late: 1s }\n", 1),
			[]string{"healthy", "fence", "release-healed"},
			nil,
		},
		{
			"writes to the tables with an unknown outcome are carried on",
			strings.Replace(cutAndHeal, "heal }", "heal }\n  - { at: 4m, do: store-fails, times: 8 }", 1),
			[]string{"healthy", "fence", "healthy"},
			func(t *testing.T, o Outcome) {
				if !mentions(o, "tandem", "the tables gave no answer") {
					t.Error("no request to the tables failed")
				}
			},
		},
		{
			"a handler that is killed again and again is started again, by a new host in the end",
			"for: 5m\nsteps:\n  - { at: 30s, do: kill, times: 4, every: 5s }\n  - { at: 2m, do: crash, unit: first }\n",
			[]string{"healthy", "degraded"},
			func(t *testing.T, o Outcome) {
				if !mentions(o, "host", "worker-1: the host has stopped itself") {
					t.Error("the host has not stopped itself after three crashes")
				}
			},
		},
		{
			"a handler that dies after its write has landed leaves a fence that the next one carries on",
			strings.Replace(cutAndHeal, "steps:\n", "steps:\n  - { at: 30s, do: kill-after-write, state: put }\n", 1),
			[]string{"healthy", "fence", "release-healed"},
			func(t *testing.T, o Outcome) {
				if !mentions(o, "story", "the handler of worker-1 is killed", lab.ManagerName) || !mentions(o, "tandem", "fence second is Down") {
					t.Error("the handler was not killed after its write, or the fence was not carried on")
				}
			},
		},
		{
			"a handler that dies after the topic has taken its events loses nothing",
			"for: 4m\nsteps:\n  - { at: 30s, do: kill-after-events }\n  - { at: 1m, do: crash, unit: first }\n",
			[]string{"healthy", "degraded"},
			func(t *testing.T, o Outcome) {
				if !mentions(o, "story", "the handler of worker-1 is killed", lab.TopicName) {
					t.Error("the handler was not killed")
				}
			},
		},
		{
			"a stopped app does nothing until it is started",
			"for: 5m\nsteps:\n  - { at: 50s, do: stop-program }\n  - { at: 1m, do: crash, unit: first }\n  - { at: 3m, do: start-program }\n",
			[]string{"healthy", "degraded"},
			func(t *testing.T, o Outcome) {
				if got := said(t, o, "tandem", time.Minute, 3*time.Minute); len(got) > 0 {
					t.Errorf("the stopped program says %q", got)
				}
			},
		},
		{
			"a frozen worker is silent, and goes on afterwards",
			"for: 6m\nsteps:\n  - { at: 1m, do: freeze, for: 2m }\n  - { at: 1m1s, do: crash, unit: first }\n",
			[]string{"healthy", "degraded"},
			func(t *testing.T, o Outcome) {
				if got := said(t, o, "tandem", time.Minute, 3*time.Minute); len(got) > 0 {
					t.Errorf("the frozen program says %q", got)
				}
			},
		},
		{
			"a write that was held leaves after the freeze, too late to do harm",
			"workers: 2\nfor: 12m\nsteps:\n  - { at: 30s, do: freeze-before-write, state: put, for: 5m }\n  - { at: 1m, do: cut }\n  - { at: 9m, do: heal }\n",
			[]string{"healthy", "fence", "release-healed"},
			func(t *testing.T, o Outcome) {
				if !mentions(o, "story", "is frozen for 5m0s, about to send PUT") {
					t.Error("no write was held")
				}
				if !mentions(o, "azure", "tandem: put of loadmasters", "refused with 412") {
					t.Error("Resource Manager did not refuse the late write")
				}
			},
		},
		{
			"a clock that steps moves the times that the program notes",
			"for: 4m\nsteps:\n  - { at: 1m, do: clock, for: 10m }\n  - { at: 2m, do: crash, unit: first }\n",
			[]string{"healthy", "degraded"},
			func(t *testing.T, o Outcome) {
				if last := o.Decisions[len(o.Decisions)-1]; clock(t, last.At) < 12*time.Minute {
					t.Errorf("%s was noted at %s, expected ten minutes later than it was", last.Row, last.At)
				}
			},
		},
		{
			"the operator changes the policy by applying the pair file",
			"for: 4m\nsteps:\n  - { at: 30s, do: apply, set: { failover.confirmAfter: 5 } }\n  - { at: 1m, do: cut }\n",
			[]string{"healthy", "fence"},
			func(t *testing.T, o Outcome) {
				if !mentions(o, "tandem", "was seen 4 of 5 times") {
					t.Error("the program did not wait for five looks")
				}
			},
		},
		{
			"a pair that a newer release wrote is left alone",
			"for: 4m\nsteps:\n  - { at: 30s, do: newer-record }\n  - { at: 1m, do: crash, unit: first }\n",
			[]string{"healthy"},
			func(t *testing.T, o Outcome) {
				if len(o.Decisions) != 1 {
					t.Errorf("rows %v, expected none after the newer release's record", rowsOf(o))
				}
			},
		},
		{
			"a gap of the timer leaves the pair to its events",
			"for: 5m\nsteps:\n  - { at: 40s, do: event-grid, lose: true }\n  - { at: 50s, do: sweep-gap, for: 2m }\n  - { at: 1m, do: crash, unit: first }\n",
			[]string{"healthy", "degraded"},
			func(t *testing.T, o Outcome) {
				if got := said(t, o, "tandem", time.Minute, 2*time.Minute+50*time.Second); len(got) > 0 {
					t.Errorf("the program woke in the gap: %q", got)
				}
			},
		},
		{
			"two workers share the work and come to the same end",
			"workers: 2\n" + cutAndHeal,
			[]string{"healthy", "fence", "release-healed"},
			func(t *testing.T, o Outcome) {
				for _, w := range []string{"worker-1", "worker-2"} {
					if len(said(t, o, w, 0, time.Hour)) == 0 {
						t.Errorf("%s did nothing", w)
					}
				}
			},
		},
		{
			"the timer moves away from a frozen worker",
			"workers: 2\nfor: 8m\nsteps:\n  - { at: 40s, do: event-grid, lose: true }\n  - { at: 50s, do: freeze, for: 6m }\n  - { at: 1m, do: crash, unit: first }\n",
			[]string{"healthy", "degraded"},
			func(t *testing.T, o Outcome) {
				if len(said(t, o, "worker-1", time.Minute, 6*time.Minute+50*time.Second)) > 0 || !mentions(o, "worker-2", "decides degraded") {
					t.Error("worker-2 did not take over from the frozen worker-1")
				}
			},
		},
		{
			"of two workers the named one is killed and frozen",
			"workers: 2\nfor: 4m\nsteps:\n  - { at: 30s, do: kill, unit: worker-2 }\n  - { at: 40s, do: freeze, unit: worker-2, for: 3m }\n  - { at: 1m, do: crash, unit: first }\n",
			[]string{"healthy", "degraded"},
			func(t *testing.T, o Outcome) {
				if got := said(t, o, "worker-2", 40*time.Second, 3*time.Minute); len(got) > 0 || !mentions(o, "host", "worker-2: Error: The handler failed") {
					t.Errorf("worker-2 says %q, and was not killed", got)
				}
			},
		},
		{
			"both pairs behind one load balancer are applied",
			"neighbours: 1\nfor: 2m\nsteps: []\n",
			[]string{"healthy"},
			func(t *testing.T, o Outcome) {
				var applied int
				for _, line := range said(t, o, "operator", 0, time.Hour) {
					if strings.HasPrefix(line, "applies the pair file of ") {
						applied++
					}
				}
				if applied != 2 {
					t.Errorf("%d pair files were applied, want 2", applied)
				}
			},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			out := with(t, tale(t, tt.story), 5)
			inOrder(&out, "decisions", rowsOf(out), tt.rows)
			for _, f := range out.Failures {
				t.Error(f)
			}
			if tt.check != nil {
				tt.check(t, out)
			}
			if t.Failed() {
				show(t, out)
			}
		})
	}
}

// TestSameSeedTellsTheSameTroubles compares the transcripts of two runs in which
// everything happens to the program at once.
func TestSameSeedTellsTheSameTroubles(t *testing.T) {
	sc := tale(t, `
workers: 2
for: 12m
steps:
  - { at: 20s, do: store-slow, late: 300ms }
  - { at: 30s, do: freeze-before-write, for: 3m }
  - { at: 35s, do: clock, unit: worker-2, for: 3s }
  - { at: 1m, do: cut }
  - { at: 2m, do: kill, unit: worker-2, times: 2, every: 7s }
  - { at: 5m, do: store-fails, times: 9 }
  - { at: 6m, do: heal }
  - { at: 6m, do: kill-after-write }
  - { at: 7m, do: freeze, unit: worker-2, for: 40s }
  - { at: 9m, do: stop-program }
  - { at: 10m, do: start-program }
`)
	a, b := with(t, sc, 7), with(t, sc, 7)
	for i := range a.Timeline {
		if i >= len(b.Timeline) || a.Timeline[i] != b.Timeline[i] {
			around := func(o Outcome) []Moment { return o.Timeline[max(0, i-3):min(i+3, len(o.Timeline))] }
			t.Fatalf("line %d:\n first %v\nsecond %v", i, around(a), around(b))
		}
	}
}

type answering func(*http.Request) *http.Response

func (f answering) RoundTrip(r *http.Request) (*http.Response, error) { return f(r), nil }

func TestTheOperatorsCommands(t *testing.T) {
	const plan = `{"v":1,"name":"edge-weu","plan":{"hash":"abc"}}`
	tests := []struct {
		name   string
		step   lab.Step
		shown  string // of the pair
		status int
		path   string
		body   string
		fails  string
	}{
		{"a pause says how long", lab.Step{Do: "pause", Unit: "edge-weu", For: time.Hour}, plan, 200, "/api/pairs/edge-weu/pause", `{"by":"operator@example.com","reason":"story","for":"1h0m0s"}`, ""},
		{"ten minutes where nothing is said", lab.Step{Do: "pause", Unit: "edge-weu"}, plan, 200, "/api/pairs/edge-weu/pause", `{"by":"operator@example.com","reason":"story","for":"10m0s"}`, ""},
		{"a maintenance is of one unit", lab.Step{Do: "pause", Unit: "edge-weu", State: "second"}, plan, 200, "/api/pairs/edge-weu/pause", `{"by":"operator@example.com","reason":"story","for":"10m0s","unit":"second"}`, ""},
		{"a unit that is none is refused", lab.Step{Do: "pause", Unit: "edge-weu", State: "third"}, plan, 200, "", "", "third"},
		{"every pair is stopped", lab.Step{Do: "pause", Unit: "edge-weu", State: "all", For: 90 * time.Second}, plan, 200, "/api/stop", `{"by":"operator@example.com","reason":"story","for":"1m30s"}`, ""},
		{"every pair goes on", lab.Step{Do: "resume", Unit: "edge-weu", State: "all"}, plan, 200, "/api/go", `{"by":"operator@example.com"}`, ""},
		{"one pair is resumed", lab.Step{Do: "resume", Unit: "edge-weu"}, plan, 200, "/api/pairs/edge-weu/resume", `{"by":"operator@example.com"}`, ""},
		{"what blocks is acknowledged", lab.Step{Do: "ack", Unit: "edge-weu"}, plan, 200, "/api/pairs/edge-weu/ack", `{"by":"operator@example.com"}`, ""},
		{"the lever is proved", lab.Step{Do: "prove", Unit: "edge-weu"}, plan, 200, "/api/pairs/edge-weu/prove", `{"by":"operator@example.com"}`, ""},
		{"another pair is removed", lab.Step{Do: "remove", Unit: "edge-two"}, plan, 200, "/api/pairs/edge-two/remove", `{"by":"operator@example.com","reason":"story"}`, ""},
		{"the plan that waits is approved", lab.Step{Do: "approve", Unit: "edge-weu"}, plan, 200, "/api/pairs/edge-weu/approve", `{"by":"operator@example.com","plan":"abc"}`, ""},
		{"without a plan nothing is approved", lab.Step{Do: "approve", Unit: "edge-weu"}, `{}`, 200, "", "", "no plan waits"},
		{"a refusal is a failure", lab.Step{Do: "ack", Unit: "edge-weu"}, plan, 409, "/api/pairs/edge-weu/ack", "", "nothing is blocked"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var path, body string
			client, err := api.NewClient("http://"+lab.AppName, "", &http.Client{Transport: answering(func(r *http.Request) *http.Response {
				b, _ := io.ReadAll(r.Body)
				status, answer := tt.status, `{"v":1,"kind":"conflict","status":409,"detail":"nothing is blocked"}`
				if r.Method == http.MethodGet {
					status, answer = http.StatusOK, tt.shown
				} else {
					path, body = r.URL.Path, string(b)
				}
				return &http.Response{StatusCode: status, Body: io.NopCloser(strings.NewReader(answer)), Request: r}
			})})
			if err != nil {
				t.Fatal(err)
			}
			o := &operator{api: client}
			err = o.command(context.WithoutCancel(t.Context()), tt.step.Do, tt.step)
			if got := err != nil; got != (tt.fails != "") || got && !strings.Contains(err.Error(), tt.fails) {
				t.Errorf("got %v, want %q", err, tt.fails)
			}
			if path != tt.path || tt.body != "" && body != tt.body {
				t.Errorf("POST %s %s, want %s %s", path, body, tt.path, tt.body)
			}
		})
	}
}

func TestACommandThatFailsFailsTheStory(t *testing.T) {
	out := with(t, tale(t, "for: 1m\nsteps:\n  - { at: 30s, do: apply, set: { failover.confirmAfter: never } }\n  - { at: 31s, do: kill, unit: worker-7 }\n"), 1)
	want := []string{"kill: no worker is called \"worker-7\"", "the operator cannot apply edge-weu"}
	for _, w := range want {
		if !slices.ContainsFunc(out.Failures, func(f string) bool { return strings.Contains(f, w) }) {
			t.Errorf("failures %q, want one with %q", out.Failures, w)
		}
	}
	if len(out.Failures) != len(want) || out.Decisions[0].Believed != pair.Healthy {
		t.Errorf("failures %q", out.Failures)
	}
}

// TestAStoryMayWantACommandRefused: a command that is to be refused and is taken
// fails the story, and so does one that is refused where it should be taken.
func TestAStoryMayWantACommandRefused(t *testing.T) {
	for _, tt := range []struct {
		name, second string
		fails        string
	}{
		{"a second job is refused", "switchover, state: first, refused: true", ""},
		{"it is not taken unless that is wanted", "switchover, state: first", "the operator cannot switchover"},
		{"what is taken is not refused", "pause, refused: true", "was not refused"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			out := with(t, tale(t, "for: 90s\nsteps:\n  - { at: 1m, do: switchover, state: second }\n  - { at: 70s, do: "+tt.second+" }\n"), 1)
			if got := strings.Join(out.Failures, "; "); (got == "") != (tt.fails == "") || !strings.Contains(got, tt.fails) {
				t.Errorf("failures %q, want %q", got, tt.fails)
			}
		})
	}
}

// TestWhatHappensAloneHappensWithoutTheProgramOnly: and its outage is demanded
// where a story does.
func TestWhatHappensAloneHappensWithoutTheProgramOnly(t *testing.T) {
	for _, tt := range []struct{ least, fails string }{{"5s", ""}, {"2m", "expected at least 2m0s"}} {
		out := play(t, tale(t, "for: 3m\nsteps:\n  - { at: 1m, do: reboot, unit: first, alone: true }\nexpect: { outage: { tandem: 0s, loadBalancerOnly: 1m, aloneAtLeast: "+tt.least+" } }\n"), 1)
		if got := strings.Join(out.Failures, "; "); (got == "") != (tt.fails == "") || !strings.Contains(got, tt.fails) {
			t.Errorf("at least %s: failures %q, want %q", tt.least, got, tt.fails)
		}
	}
}
