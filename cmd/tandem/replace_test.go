package main

import (
	"encoding/json"
	"strings"
	"testing"

	"tandem/internal/api"
	"tandem/internal/pair"
)

func TestAReplacementIsBegunAndFollowed(t *testing.T) {
	o := applied(t)
	dry := o.run(t, "replace", "edge-weu", "--unit", "second", "--dry-run")
	if dry.code != exitDone || dry.out != "replace of pair edge-weu would be begun: licensed, mode (dry run, nothing was changed)\n" || o.record(t).Job != nil {
		t.Errorf("a dry run: %+v", dry)
	}
	o.script(looksAtJob,
		o.goes(t, func(j *pair.Job) {
			j.Steps[0].State, j.Steps[0].BeganAt, j.Steps[0].Note = pair.StepRuns, j.At, "second (lm2) has no licence"
		}),
		o.goes(t, ends(pair.JobDone, "no interruption in 40 looks")))
	got := o.run(t, "replace", "edge-weu", "--unit", "second", "--reason", "its disk was lost", "-o", "json")
	var told api.JobAsked
	if err := json.Unmarshal([]byte(got.out), &told); err != nil || got.code != exitDone || got.err != "" {
		t.Fatalf("in JSON: %v, %+v", err, got)
	}
	if j := told.Job; j.Kind != replace || j.Unit != pair.Second || j.Reason != "its disk was lost" || j.State != pair.JobDone {
		t.Errorf("the job is %+v", j)
	}
	o.script(looksAtJob,
		o.goes(t, func(j *pair.Job) {
			j.Steps[0].State, j.Steps[0].BeganAt, j.Steps[0].Note = pair.StepRuns, j.At, "first (lm1) has no licence"
		}),
		o.goes(t, ends(pair.JobFailed, "not done within 1h0m0s: first (lm1) has no licence")))
	got = o.run(t, "replace", "edge-weu", "--unit", "first")
	if got.code != exitFailed || !strings.Contains(got.err, "licensed runs: first (lm1) has no licence") || !strings.Contains(got.err, "replace of pair edge-weu is failed") {
		t.Errorf("a person is told what to do, and that it came to nothing: %+v", got)
	}
}
