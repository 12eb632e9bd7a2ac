package main

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"tandem/internal/api"
	"tandem/internal/balancer"
	"tandem/internal/pair"
)

// planner answers with what it holds, whatever is asked.
type planner struct {
	plan     balancer.Plan
	refusals []balancer.Refusal
}

func (p *planner) Plan(context.Context, pair.Definition) (balancer.Plan, []balancer.Refusal, error) {
	return p.plan, p.refusals, nil
}

const (
	idGroup = "/subscriptions/s/resourcegroups/g/providers/microsoft.network/networksecuritygroups/nsg-edge"
	idLB    = "/subscriptions/s/resourcegroups/g/providers/microsoft.network/loadbalancers/ilb-edge"
)

// planned is an operator of a pair of which two resources have to be written.
func planned(t *testing.T) (operator, *planner) {
	t.Helper()
	p := &planner{plan: balancer.Plan{V: 1, Pair: "edge-weu", Hash: "0123456789abcdef", Steps: []balancer.Step{
		{Resource: idGroup, Action: balancer.Update, Changes: []balancer.Change{{Path: "properties.a", To: json.RawMessage("1")}}, Hash: "a"},
		{Resource: idLB, Action: balancer.Update, Changes: []balancer.Change{{Path: "properties.b", To: json.RawMessage("2")}}, Hash: "b"},
	}}}
	o := newOperator(t, func(options *api.Options) { options.Planner = p })
	if got := o.run(t, "apply", "-f", examplePair); got.code != exitFound {
		t.Fatalf("got %+v", got)
	}
	return o, p
}

func TestApplyWritesNothingThatNobodyAgreedTo(t *testing.T) {
	o, p := planned(t)
	for _, row := range []struct {
		name string
		args []string
		code int
		out  []string
		err  string
	}{
		{"nobody was asked", nil, exitFound, []string{"+ properties.a: 1", "nothing of this is written yet", "--plan 0123456789abcdef"}, ""},
		{"it only says what it would do", []string{"--dry-run"}, exitFound, []string{"dry run, nothing was changed", "0 to create, 2 to change"}, ""},
		{"the plan is another one by now", []string{"--plan", "fedcba9876543210"}, exitFailed, nil, "the plan is 0123456789abcdef by now, not fedcba9876543210, and nothing was changed"},
		{"in JSON nobody is asked", []string{"-o", "json"}, exitFound, []string{`"hash": "0123456789abcdef"`}, ""},
	} {
		got := o.run(t, append([]string{"apply", "-f", examplePair}, row.args...)...)
		if got.code != row.code || !strings.Contains(got.err, row.err) || o.record(t).Wish != nil {
			t.Errorf("%s: got %+v, wish %v", row.name, got, o.record(t).Wish)
		}
		has(t, row.name, got.out, row.out...)
	}
	p.plan = balancer.Plan{V: 1, Pair: "edge-weu"}
	if got := o.run(t, "apply", "-f", examplePair); got.code != exitDone || got.out != "pair edge-weu unchanged\n" {
		t.Errorf("where nothing has to be written: %+v", got)
	}
	p.refusals = []balancer.Refusal{{Field: "ha.checkPort", Value: "8444", Why: "the first unit itself says 8445", WayOut: "make them equal"}}
	for _, args := range [][]string{{"plan", "-f", examplePair}, {"plan", "edge-weu"}, {"apply", "-f", examplePair}, {"apply", "-f", examplePair, "--plan", "0123456789abcdef"}} {
		got := o.run(t, args...)
		if got.code != exitBadInput || o.record(t).Wish != nil {
			t.Errorf("%v of what cannot be: %+v", args, got)
		}
		has(t, "what cannot be", got.out, "ha.checkPort: 8444", "why: the first unit itself says 8445", "way out: make them equal")
	}
}

// What was given up is not called written.
func TestApplyTellsWhatCameOfEachWrite(t *testing.T) {
	for _, row := range []struct {
		name  string
		state pair.IntentState // of the second write
		why   string
		code  int
		out   []string
		err   string
	}{
		{
			"both are made", pair.IntentDone, "", exitDone,
			[]string{"written: security group nsg-edge (", "written: load balancer ilb-edge (", "pair edge-weu is as its file says"},
			"writes security group nsg-edge",
		},
		{
			"the second one is given up", pair.IntentAbandoned, "it is not what the plan was made on", exitFailed,
			[]string{"written: security group nsg-edge (", "not written: load balancer ilb-edge, 1 attempts: it is not what the plan was made on\n"},
			"not everything was written",
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			o, _ := planned(t)
			repair := func(seq string, id pair.ResourceID) pair.Intent {
				return pair.Intent{V: pair.Version, MinReader: pair.MinReader, ID: "edge-weu-000000000009-" + seq, Epoch: 9, Kind: pair.IntentRepair, State: pair.IntentOpen, Resource: id}
			}
			both := []pair.Intent{repair("301", idGroup), repair("302", idLB)}
			closes := func(i pair.Intent, state pair.IntentState, why string) {
				i.State, i.LastErr, i.Attempts = state, why, len(why[:min(1, len(why))])
				o.journal(t, i.ID, pair.EntryClosed, i)
			}
			o.script("GET /api/pairs/edge-weu", func() {
				o.commit(t, pair.Change{PutIntents: both}, func(rec *pair.Record) {
					rec.Epoch, rec.Wish, rec.Drift = 9, nil, &pair.Drifted{Drift: pair.Drift{At: time.Now(), Hash: "0123456789abcdef"}}
				})
			}, func() {
				o.commit(t, pair.Change{DelIntents: []string{both[0].ID, both[1].ID}}, func(rec *pair.Record) {
					if rec.Drift = nil; row.why != "" {
						rec.Drift = &pair.Drifted{Drift: pair.Drift{At: time.Now(), Hash: "another"}}
					}
				})
				closes(both[0], pair.IntentDone, "")
				closes(both[1], row.state, row.why)
			})
			got := o.run(t, "apply", "-f", examplePair, "--plan", "0123456789abcdef", "--timeout", "2s")
			if got.code != row.code {
				t.Errorf("got %+v, want exit code %d", got, row.code)
			}
			has(t, "the output", got.out, row.out...)
			has(t, "the progress", got.err, row.err)
			if strings.Count(got.out, "written: ") != 2 {
				t.Errorf("each is told once: %s", got.out)
			}
			has(t, "history", o.run(t, "history", "edge-weu").out, "repair done: security group nsg-edge")
		})
	}
}
