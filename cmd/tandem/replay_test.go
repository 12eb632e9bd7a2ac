package main

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"tandem/internal/pair"
	"tandem/internal/replay"
)

// lookedAt is an operator whose pair has some decisions.
func lookedAt(t *testing.T) operator {
	t.Helper()
	o := applied(t)
	o.decide(t, pair.CheckServing, pair.CheckIdle)
	o.decide(t, pair.CheckServing, pair.CheckServing)
	o.deliver(t)
	return o
}

func TestAHistoryIsReplayedFromAFileAndFromTheServer(t *testing.T) {
	o := lookedAt(t)
	all := o.run(t, "history", "edge-weu", "--all", "-o", "json")
	name := file(t, "edge-weu.json", all.out)
	want := answer{exitDone, "pair edge-weu: 2 decisions computed again, 2 as stored\n", ""}
	if got := (command{}).run(t, "replay", name); got != want {
		t.Errorf("from a file: %+v", got)
	}
	if got := (command{in: all.out}).run(t, "replay", "-"); got != want {
		t.Errorf("from standard input: %+v", got)
	}
	if got := o.run(t, "replay", "edge-weu"); got != want {
		t.Errorf("from the server: %+v", got)
	}
	var v replay.Verdict
	if got := (command{}).run(t, "replay", name, "-o", "json"); json.Unmarshal([]byte(got.out), &v) != nil || v.Same != 2 || v.First != nil {
		t.Errorf("in JSON: %+v", got)
	}
}

func TestADecisionThatDoesNotFollowIsNamed(t *testing.T) {
	o := lookedAt(t)
	b := o.run(t, "history", "edge-weu", "--all", "-o", "json").out
	name := file(t, "edge-weu.json", strings.Replace(b, `"row": "healthy"`, `"row": "degraded"`, 1))
	got := command{}.run(t, "replay", name)
	if got.code != exitFound || got.err != "" {
		t.Errorf("got %+v, want exit code %d", got, exitFound)
	}
	has(t, "the answer", got.out, "2 decisions computed again, 1 as stored", "the first that differs is edge-weu-000000000002-001, in the field row",
		`stored  "degraded"`, `now     "healthy"`)
}

func TestWhatWouldHaveHappenedIsToldWithItsLimits(t *testing.T) {
	o := lookedAt(t)
	got := o.run(t, "replay", "edge-weu", "--set", "failover.suspectAfter=1", "--set", "failover.confirmAfter=2")
	if got.code != exitDone || got.err != "" {
		t.Errorf("got %+v", got)
	}
	has(t, "the answer", got.out, "HAPPENED", "WOULD HAVE HAPPENED", "edge-weu-000000000002-001", "the same", "glimpsed", "suspected",
		"With failover.suspectAfter=1, failover.confirmAfter=2 the courses part at ", "What was seen is what was seen in the real course", "are not stored")
	has(t, "where nothing changes", o.run(t, "replay", "edge-weu", "--set", "sync.every=3m").out, "With sync.every=3m nothing would have been decided otherwise.")
	var told struct {
		Replay  replay.Verdict
		WhatIf  struct{ Decisions []replay.Step }
		Caveats string
	}
	got = o.run(t, "replay", "edge-weu", "--set", "failover.suspectAfter=1", "-o", "json")
	if err := json.Unmarshal([]byte(got.out), &told); err != nil || len(told.WhatIf.Decisions) != 2 || told.WhatIf.Decisions[1].Same || told.Caveats == "" {
		t.Errorf("in JSON: %v\n%s", err, got.out)
	}
}

func TestAWrongEditOrFileIsBadInput(t *testing.T) {
	o := lookedAt(t)
	for _, tt := range []struct{ set, says string }{
		{"failover.confirmAfter=0", `field "failover.confirmAfter": 0: expected a whole number from 1 to 20`},
		{"failover.confirmAftr=5", "did you mean"},
	} {
		got := o.run(t, "replay", "edge-weu", "--set", tt.set)
		if got.code != exitBadInput || got.out != "" || !strings.Contains(got.err, tt.says) {
			t.Errorf("--set %s: %+v", tt.set, got)
		}
	}
	if got := (command{}).run(t, "replay", file(t, "page.html", "<html>")); got.code != exitBadInput || !strings.Contains(got.err, "tandem history --all -o json") {
		t.Errorf("a page: %+v", got)
	}
	if got := o.run(t, "replay", "edge-nowhere"); got.code != exitFailed || got.out != "" {
		t.Errorf("a pair that is not there: %+v", got)
	}
	if _, err := os.Stat("edge-weu"); err == nil {
		t.Error("a file edge-weu would hide the pair")
	}
}
