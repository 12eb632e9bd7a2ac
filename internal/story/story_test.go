package story

import (
	"context"
	"encoding/json"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tandem/internal/lab"
	"tandem/internal/pair"
)

// play plays a story in a bubble of virtual time.
func play(t *testing.T, sc lab.Scenario, seed uint64) Outcome {
	t.Helper()
	var out Outcome
	synctest.Test(t, func(t *testing.T) {
		var err error
		if out, err = Play(context.WithoutCancel(t.Context()), sc, Options{Seed: seed}); err != nil {
			t.Fatal(err)
		}
	})
	return out
}

func show(t *testing.T, o Outcome) {
	t.Helper()
	for _, m := range o.Timeline {
		t.Logf("%s %-13s %s", m.At, m.Source, m.Event)
	}
	b, _ := json.MarshalIndent(o.Decisions, "", " ")
	t.Logf("decisions %s", b)
}

// collectLess lets the garbage of many worlds, of which little stays, be
// collected less often until a test and those in it are over.
func collectLess(t *testing.T) {
	t.Helper()
	was := debug.SetGCPercent(400)
	t.Cleanup(func() { debug.SetGCPercent(was) })
}

// TestStories plays every story and demands what it expects.
func TestStories(t *testing.T) {
	collectLess(t)
	all, err := lab.Scenarios()
	if err != nil {
		t.Fatal(err)
	}
	for _, sc := range all {
		if sc.For > longest {
			continue
		}
		t.Run(sc.Name, func(t *testing.T) {
			t.Parallel() // each has a world and a clock of its own
			out := watched(t, sc, 1)
			if !out.Passed {
				for _, f := range out.Failures {
					t.Error(f)
				}
				show(t, out)
			}
			t.Logf("outage %+v split %+v, %d decisions, %d writes", out.OutageSeconds, out.SplitSeconds, len(out.Decisions), out.Writes)
		})
	}
}

// with plays a story with the program alone, in a bubble of virtual time.
func with(t *testing.T, sc lab.Scenario, seed uint64) Outcome {
	t.Helper()
	var out Outcome
	synctest.Test(t, func(t *testing.T) {
		var err error
		if out, _, _, err = With(context.WithoutCancel(t.Context()), sc, Options{Seed: seed}); err != nil {
			t.Fatal(err)
		}
	})
	return out
}

// TestSameSeedTellsTheSameStory compares the whole transcript of two runs, in
// stories with many things at once.
func TestSameSeedTellsTheSameStory(t *testing.T) {
	for _, name := range []string{"partner-link-cut", "deallocated-event-twice"} {
		t.Run(name, func(t *testing.T) {
			sc, err := lab.Find(name)
			if err != nil {
				t.Fatal(err)
			}
			a, b := with(t, sc, 7), with(t, sc, 7)
			for i := range a.Timeline {
				if i >= len(b.Timeline) || a.Timeline[i] != b.Timeline[i] {
					around := func(o Outcome) []Moment { return o.Timeline[max(0, i-3):min(i+3, len(o.Timeline))] }
					t.Fatalf("line %d:\n first %v\nsecond %v", i, around(a), around(b))
				}
			}
			if other := with(t, sc, 8); slices.Equal(other.Timeline, a.Timeline) {
				t.Error("another seed tells the very same story")
			}
		})
	}
}

// TestEveryAnswerToAnOpenQuestion plays the same failure in worlds that answer
// what the references leave open in another way than they infer. The program
// must come to the same end in all of them.
func TestEveryAnswerToAnOpenQuestion(t *testing.T) {
	collectLess(t)
	sc, err := lab.ReadScenario("test", []byte(`
name: short-cut
summary: The link between the units is cut for two minutes.
for: 4m30s
steps:
  - { at: 1m, do: cut }
  - { at: 3m, do: heal }
`))
	if err != nil {
		t.Fatal(err)
	}
	for n, q := range lab.OpenQuestions {
		if n%oneOf > 0 {
			continue
		}
		for _, answer := range q.Answers[1:] {
			t.Run(q.Name+"="+answer, func(t *testing.T) {
				t.Parallel()
				out := with(t, sc.With(map[string]string{q.Name: answer}), 3)
				inOrder(&out, "decisions", rowsOf(out), []string{"healthy", "fence", "release-healed"})
				if last := out.Decisions[len(out.Decisions)-1]; last.Believed != pair.Healthy {
					out.fail("believed %v at the end, expected healthy", last.Believed)
				}
				for _, f := range out.Failures {
					t.Error(f)
				}
				if t.Failed() {
					show(t, out)
				}
			})
		}
	}
}

// TestAStoryMayWantBlindness: the program must not have trusted itself for the
// causes that a story names, in their order.
func TestAStoryMayWantBlindness(t *testing.T) {
	for _, tt := range []struct {
		name         string
		found, wants []string
		fails        bool
	}{
		{"what is wanted was found", []string{"the clock stepped"}, []string{"the clock stepped"}, false},
		{"others may stand between", []string{"the clock stepped", "a pass stalled", "the store failed"}, []string{"the clock stepped", "the store failed"}, false},
		{"another cause is not the one", []string{"a pass stalled"}, []string{"the clock stepped"}, true},
		{"none is none", []string{""}, []string{"the store failed"}, true},
		{"who wants nothing takes any", []string{"the store failed"}, nil, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var o Outcome
			for _, cause := range tt.found {
				o.Decisions = append(o.Decisions, Decision{Row: "blind", Blind: cause})
			}
			judge(lab.Scenario{Expect: lab.Expect{Blind: tt.wants}}, &o, lab.Outage{}, lab.Outage{}, nil)
			if got := len(o.Failures) > 0; got != tt.fails {
				t.Errorf("fails %v: %v, want %v", got, o.Failures, tt.fails)
			}
		})
	}
}

// TestAStoryMayWantRightAnswersOfGEO: with the program no longer than it says, and
// without it no less.
func TestAStoryMayWantRightAnswersOfGEO(t *testing.T) {
	wants := lab.ExpectGEO{WrongAnswers: time.Minute, Unanswered: time.Second, AloneAtLeast: time.Hour}
	for _, tt := range []struct {
		name          string
		geo           *lab.GEO
		with, without lab.Resolved
		fails         string
	}{
		{"all is as it may be", &lab.GEO{}, lab.Resolved{Wrong: time.Minute, Unanswered: time.Second}, lab.Resolved{Wrong: time.Hour}, ""},
		{"wrong for too long", &lab.GEO{}, lab.Resolved{Wrong: 2 * time.Minute}, lab.Resolved{Wrong: time.Hour}, "wrong GEO answers with Tandem for 2m0s, expected at most 1m0s"},
		{"nobody answers", &lab.GEO{}, lab.Resolved{Unanswered: 2 * time.Second}, lab.Resolved{Wrong: time.Hour}, "no GEO answer at all with Tandem for 2s, expected at most 1s"},
		{"right without it as well", &lab.GEO{}, lab.Resolved{}, lab.Resolved{Wrong: time.Minute}, "wrong GEO answers without Tandem for 1m0s, expected at least 1h0m0s"},
		{"a story without GEO wants nothing", nil, lab.Resolved{}, lab.Resolved{}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var o Outcome
			judge(lab.Scenario{GEO: tt.geo, Expect: lab.Expect{GEO: wants}}, &o, lab.Outage{Resolved: tt.with}, lab.Outage{Resolved: tt.without}, nil)
			if got := strings.Join(o.Failures, ", "); got != tt.fails {
				t.Errorf("fails with %q, want %q", got, tt.fails)
			}
		})
	}
}

// TestMaxModeOfAStory: nothing said lowers nothing, and a word that is none is a
// mistake.
func TestMaxModeOfAStory(t *testing.T) {
	for _, tt := range []struct {
		word  string
		want  pair.Mode
		fails bool
	}{{"", pair.ModeUnset, false}, {"observe", pair.Observe, false}, {"recommend", pair.Recommend, false}, {"auto", pair.Auto, false}, {"sometimes", 0, true}} {
		if got, err := maxMode(lab.Scenario{MaxMode: tt.word}); (err != nil) != tt.fails || err == nil && got != tt.want {
			t.Errorf("%q: %v, %v; want %v", tt.word, got, err, tt.want)
		}
	}
}
