package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"tandem/internal/api"
	"tandem/internal/pair"
)

const editor = "00000000-0000-0000-0000-0000000000dd"

// differ stores a decision on a comparison, one hour ago, that found two fields of
// the load balancer changed and an interface gone.
func (o operator) differ(t *testing.T, by string) time.Time {
	t.Helper()
	snap, err := o.store.Load(t.Context(), "edge-weu")
	if err != nil {
		t.Fatal(err)
	}
	d := snap.Definition
	at := time.Now().UTC().Truncate(time.Millisecond).Add(-time.Hour)
	in := pair.Input{Definition: d, MaxMode: pair.Auto, Record: snap.Record}
	in.Observation.At = at
	in.Observation.Units[0].Check = pair.CheckSeen{Answer: pair.CheckServing, At: at}
	in.Observation.Units[1].Check = pair.CheckSeen{Answer: pair.CheckIdle, At: at}
	in.Observation.Drift = &pair.Drift{At: at, Hash: "0123456789abcdef", By: by, Steps: []pair.DriftStep{{
		Resource: d.LoadBalancerID("ilb-edge"), LoadBalancer: "ilb-edge", Hash: "0", Changes: 2,
		Fields: []string{"properties.probes[name=check].properties.port", "properties.probes[name=check].properties.requestPath"},
	}, {
		Resource: d.SecurityGroupID(), Hash: "1", Create: true, Changes: 1, Fields: []string{"properties.securityRules[name=x]"},
	}}}
	decided := pair.Decide(&in)
	if decided.Record.Drift == nil {
		t.Fatalf("row %s remembers no drift", decided.Row)
	}
	if _, err := o.store.Commit(t.Context(), snap, pair.Change{Record: decided.Record}); err != nil {
		t.Fatal(err)
	}
	o.journal(t, decided.ID, pair.EntryDecided, pair.Decided{Decision: decided, Input: in, Reason: pair.Explain(&in, &decided), Person: pair.PersonCanDo(&decided)})
	return at
}

// TestADriftIsToldWithWhatSinceWhenAndByWhom, by both commands, to a person and in
// JSON.
func TestADriftIsToldWithWhatSinceWhenAndByWhom(t *testing.T) {
	o := applied(t)
	o.decide(t, pair.CheckServing, pair.CheckIdle)
	at := o.differ(t, editor)
	what := []string{
		"load balancer ilb-edge differs in properties.probes[name=check].properties.port, properties.probes[name=check].properties.requestPath",
		"security group nsg-edge is missing: properties.securityRules[name=x]",
	}
	for _, args := range [][]string{{"status", "edge-weu"}, {"explain", "edge-weu"}} {
		got := o.run(t, args...)
		has(t, args[0], got.out, append([]string{"differs", "since", since(at), "changed by", editor, "0123456789abcdef"}, what...)...)
	}
	if got := o.run(t, "status"); got.code != exitFound {
		t.Errorf("status ends with %d where something differs, want %d", got.code, exitFound)
	}

	told := func(d *pair.Drifted) {
		t.Helper()
		if d == nil || !d.Since.Equal(at) || d.By != editor || len(d.Steps) != 2 || len(d.Steps[0].Fields) != 2 {
			t.Errorf("got %+v, want what differs since %v by %s", d, at, editor)
		}
	}
	var status struct{ Pairs []api.Status }
	if err := json.Unmarshal([]byte(o.run(t, "status", "-o", "json").out), &status); err != nil || len(status.Pairs) != 1 {
		t.Fatal(err)
	}
	told(status.Pairs[0].Drift)
	var explanation explained
	if err := json.Unmarshal([]byte(o.run(t, "explain", "edge-weu", "-o", "json").out), &explanation); err != nil {
		t.Fatal(err)
	}
	told(explanation.Drift)
}

// TestWhatElseIsToldOfADrift: no event names whoever changed it, a repair
// failed, somebody changes it back, a person has it written.
func TestWhatElseIsToldOfADrift(t *testing.T) {
	o := applied(t)
	o.decide(t, pair.CheckServing, pair.CheckIdle)
	at := o.differ(t, "")
	has(t, "status", o.run(t, "status", "edge-weu").out, "nobody knows: no event has told")
	snap, err := o.store.Load(t.Context(), "edge-weu")
	if err != nil {
		t.Fatal(err)
	}
	ch := pair.Change{Record: snap.Record}
	drift := *snap.Record.Drift
	drift.Dispute, drift.LastErr, drift.NotBefore = "load balancer ilb-edge: port", "no rights", at.Add(2*time.Hour)
	ch.Record.Drift, ch.Record.Wish = &drift, &pair.Wish{Plan: "0123456789abcdef", By: "ann", At: at}
	if _, err := o.store.Commit(t.Context(), snap, ch); err != nil {
		t.Fatal(err)
	}
	has(t, "status", o.run(t, "status", "edge-weu").out, "disputed", "load balancer ilb-edge: port",
		"no rights; the next one not before "+since(at.Add(2*time.Hour)), "plan 0123456789abcdef, asked by ann at "+since(at))
}

func TestAPairThatDiffersInNothingSaysNothingOfIt(t *testing.T) {
	o := applied(t)
	o.decide(t, pair.CheckServing, pair.CheckIdle)
	for _, args := range [][]string{{"status", "edge-weu"}, {"explain", "edge-weu"}, {"status", "-o", "json"}, {"explain", "edge-weu", "-o", "json"}} {
		out := o.run(t, args...).out
		for _, word := range []string{"differs", "changed by", `"drift"`} {
			if strings.Contains(out, word) {
				t.Errorf("%v: %q in:\n%s", args, word, out)
			}
		}
	}
}

// TestAWrongSetUpIsToldWithUnitAndSinceWhen, by both commands, to a person and in JSON.
func TestAWrongSetUpIsToldWithUnitAndSinceWhen(t *testing.T) {
	o := applied(t)
	o.decide(t, pair.CheckServing, pair.CheckIdle)
	snap, err := o.store.Load(t.Context(), "edge-weu")
	if err != nil {
		t.Fatal(err)
	}
	at := time.Now().UTC().Truncate(time.Millisecond)
	in := pair.Input{Definition: snap.Definition, MaxMode: pair.Auto, Record: snap.Record}
	in.Observation.At = at
	in.Observation.Units[0].Check = pair.CheckSeen{Answer: pair.CheckServing, At: at}
	second := &in.Observation.Units[1]
	second.Check = pair.CheckSeen{Answer: pair.CheckRefused, At: at}
	second.API = pair.APISeen{Answer: pair.APIAnswered, At: at, Report: pair.Report{State: pair.Active, CheckPort: 8445}}
	for range 2 { // the port is disputed then
		in.Record.Repairs = append(in.Record.Repairs, pair.Repair{Unit: pair.Second, Field: "check port", At: at})
	}
	decided := pair.Decide(&in)
	if _, err := o.store.Commit(t.Context(), snap, pair.Change{Record: decided.Record}); err != nil {
		t.Fatal(err)
	}
	o.journal(t, decided.ID, pair.EntryDecided, pair.Decided{Decision: decided, Input: in, Reason: pair.Explain(&in, &decided), Person: pair.PersonCanDo(&decided)})
	for _, args := range [][]string{{"status", "edge-weu"}, {"explain", "edge-weu"}} {
		has(t, args[0], o.run(t, args...).out, "differs", "HA set-up of second: check port 8445 instead of 8444", "since", since(at), "units do not tell", "disputed", "set by Tandem and changed back")
		has(t, args[0], o.run(t, append(args, "-o", "json")...).out, `"setUp"`, `"has": "8445"`, `"unit": "second"`)
	}
	if got := o.run(t, "status"); got.code != exitFound {
		t.Errorf("status exits with %d, want %d", got.code, exitFound)
	}
}
