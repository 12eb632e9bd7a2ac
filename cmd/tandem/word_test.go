package main

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"tandem/internal/api"
	"tandem/internal/pair"
)

// remember changes what is stored of the pair edge-weu.
func (o operator) remember(t *testing.T, change func(*pair.Record)) {
	t.Helper()
	o.commit(t, pair.Change{}, change)
}

// commit changes the pair's record, and what else is given with it.
func (o operator) commit(t *testing.T, with pair.Change, change func(*pair.Record)) {
	t.Helper()
	snap, err := o.store.Load(t.Context(), "edge-weu")
	if err != nil {
		t.Fatal(err)
	}
	change(&snap.Record)
	with.Record = snap.Record
	if _, err := o.store.Commit(t.Context(), snap, with); err != nil {
		t.Fatal(err)
	}
}

func (o operator) record(t *testing.T) pair.Record {
	t.Helper()
	snap, err := o.store.Load(t.Context(), "edge-weu")
	if err != nil {
		t.Fatal(err)
	}
	return snap.Record
}

// deliver moves the outbox into the journal, as a pass does.
func (o operator) deliver(t *testing.T) {
	t.Helper()
	snap, err := o.store.Load(t.Context(), "edge-weu")
	if err != nil {
		t.Fatal(err)
	}
	for _, post := range snap.Outbox {
		if err := o.store.AppendJournal(t.Context(), "edge-weu", post); err != nil {
			t.Fatal(err)
		}
		if err := o.store.Delivered(t.Context(), "edge-weu", []string{post.ID}); err != nil {
			t.Fatal(err)
		}
	}
}

// recommended is an operator whose pair has a plan that waits.
func recommended(t *testing.T) operator {
	t.Helper()
	o := newOperator(t)
	file := file(t, "recommend.yaml", strings.Replace(example(t), "mode: observe", "mode: recommend", 1))
	if got := o.run(t, "apply", "-f", file); got.code != exitDone {
		t.Fatalf("got %+v", got)
	}
	o.remember(t, func(rec *pair.Record) {
		rec.Plan = &pair.Plan{
			Hash: "abc", Decision: pair.ID("edge-weu", 1, 1), Row: "both-active-planned", Reason: "both units answer 200", At: time.Now(),
			Intents: []pair.Intent{{Kind: pair.IntentFence, Unit: pair.Second, Want: pair.AdminDown, LoadBalancer: "ilb-edge", Pool: "loadmasters"}},
		}
	})
	return o
}

func TestAPauseIsBegunShownAndEnded(t *testing.T) {
	o := applied(t)
	reason := []string{"--reason", "cabling of rack 7"}
	dry := o.run(t, append([]string{"pause", "edge-weu", "--for", "2h", "--dry-run"}, reason...)...)
	has(t, "the dry run", dry.out, "pair edge-weu paused by ann until ", "(dry run, nothing was changed)")
	if o.record(t).Pause != nil {
		t.Error("a dry run paused the pair")
	}
	if got := o.run(t, "pause", "edge-weu"); got.code != exitBadInput || !strings.Contains(got.err, "reason: expected why") {
		t.Errorf("without a reason: %+v", got)
	}
	got := o.run(t, append([]string{"pause", "edge-weu", "--for", "2h"}, reason...)...)
	if p := o.record(t).Pause; got.code != exitDone || p == nil || p.Owner != "ann" || p.Reason != "cabling of rack 7" || time.Until(p.Until) > 2*time.Hour {
		t.Errorf("got %+v and the pause %+v", got, p)
	}
	has(t, "status", o.run(t, "status").out, "paused by ann until ", "cabling of rack 7")
	has(t, "status of the pair", o.run(t, "status", "edge-weu").out, "stance  paused by ann until ")

	got = o.run(t, append([]string{"pause", "edge-weu", "--by", "bob", "--unit", "second", "--until", "2099-01-02T03:04:05Z"}, reason...)...)
	if got.code != exitBadInput || !strings.Contains(got.err, "at most") {
		t.Errorf("a pause for decades: %+v", got)
	}
	until := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	got = o.run(t, append([]string{"pause", "edge-weu", "--by", "bob", "--unit", "second", "--until", until.Format(time.RFC3339)}, reason...)...)
	has(t, "the answer", got.out, "maintenance of second of pair edge-weu begun by bob until "+until.Format("2006-01-02 15:04:05Z"))
	has(t, "status", o.run(t, "status").out, "maintenance of second by bob")

	has(t, "the resume", o.run(t, "resume", "edge-weu").out, "pair edge-weu resumed by ann; its stance is: observe")
	if o.record(t).Pause != nil {
		t.Error("the pair is still paused")
	}
	has(t, "another resume", o.run(t, "resume", "edge-weu").out, "pair edge-weu: nobody had paused that")
	o.deliver(t)
	has(t, "history", o.run(t, "history", "edge-weu").out, "resume", "ann asked", "pause", "bob asked for second until ", ": cabling of rack 7")
}

func TestAllPairsArePausedAtOnce(t *testing.T) {
	o := applied(t)
	if got := o.run(t, "pause", "--all", "--reason", "fire"); got.code != exitDone || got.out != "all pairs paused by ann; what of ours stands is taken back first\n" {
		t.Errorf("got %+v", got)
	}
	has(t, "status", o.run(t, "status").out, "all pairs paused by ann: fire")
	has(t, "a resume of the pair alone", o.run(t, "resume", "edge-weu").out, "its stance is: paused with all pairs by ann: fire")
	var told api.Asked
	got := o.run(t, "resume", "--all", "-o", "json")
	if err := json.Unmarshal([]byte(got.out), &told); err != nil || told.Word != api.Go || told.Change != "stored" || told.By != "ann" {
		t.Errorf("in JSON: %v\n%s", err, got.out)
	}
	if stop, err := o.store.Stop(t.Context()); stop != nil || err != nil {
		t.Errorf("all is still stopped: %+v, %v", stop, err)
	}
}

func TestAPlanIsApprovedByItsHashOrByAPersonWhoSawIt(t *testing.T) {
	tests := []struct {
		name     string
		args     []string
		in       string
		asks     bool
		code     int
		says     string // on either output
		approved bool
	}{
		{"by its hash", []string{"abc"}, "", false, exitDone, "plan abc of pair edge-weu approved by ann until ", true},
		{"another hash is refused with the one that waits", []string{"abd"}, "", false, exitFailed, "the plan that waits is abc", false},
		{"a person at a terminal sees it and says yes", nil, "yes\n", true, exitDone, "would do  fence: second to Down in ilb-edge/loadmasters", true},
		{"a person says no", nil, "no\n", true, exitFailed, "tandem: not approved", false},
		{"a person says nothing", nil, "", true, exitFailed, "tandem: not approved", false},
		{"elsewhere nobody can be asked", nil, "yes\n", false, exitBadInput, "tandem approve edge-weu abc", false},
		{"nor in JSON", []string{"-o", "json"}, "yes\n", true, exitBadInput, "tandem approve edge-weu abc", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := recommended(t)
			o.in, o.asks = tt.in, tt.asks
			got := o.run(t, append([]string{"approve", "edge-weu"}, tt.args...)...)
			if approved := o.record(t).Plan.Approved != nil; got.code != tt.code || approved != tt.approved || !strings.Contains(got.out+got.err, tt.says) {
				t.Errorf("approved %v: %+v; want exit code %d, approved %v and %q", approved, got, tt.code, tt.approved, tt.says)
			}
		})
	}
	o := applied(t)
	o.asks = true
	if got := o.run(t, "approve", "edge-weu"); got.code != exitFailed || !strings.Contains(got.err, "no plan of pair edge-weu waits") {
		t.Errorf("where no plan waits: %+v", got)
	}
}

func TestAnAcknowledgementAllowsMovesAgain(t *testing.T) {
	o := applied(t)
	if got := o.run(t, "ack", "edge-weu"); got.code != exitFailed || !strings.Contains(got.err, "nothing to acknowledge") {
		t.Errorf("of nothing: %+v", got)
	}
	o.remember(t, func(rec *pair.Record) { rec.Block = &pair.Block{Since: time.Now(), Reason: "both-active-blocked"} })
	got := o.run(t, "status", "edge-weu")
	if got.code != exitFound {
		t.Errorf("a blocked pair: exit code %d", got.code)
	}
	has(t, "status", got.out, "blocked: both-active-blocked; tandem ack edge-weu", "blocked  since ")
	has(t, "the answer", o.run(t, "ack", "edge-weu", "--reason", "new switch").out, "pair edge-weu acknowledged by ann: automatic moves are allowed again, credentials that a unit refused are tried within two minutes; its stance is: ")
	if o.record(t).Block != nil {
		t.Error("the block still stands")
	}
}

// script does one thing after each request that matches, and then nothing more.
func (o operator) script(match string, steps ...func()) {
	*o.after = func(r *http.Request) {
		if strings.Contains(r.Method+" "+r.URL.Path, match) && len(steps) > 0 {
			step := steps[0]
			steps = steps[1:]
			step()
		}
	}
}

func TestAProofIsWaitedFor(t *testing.T) {
	const looks = "GET /api/pairs/edge-weu"
	proof := pair.LeverProof{LoadBalancer: "ilb-edge", Pool: "loadmasters", At: time.Now().UTC().Truncate(time.Millisecond), By: "ann"}
	hold := pair.AdminHold{
		LoadBalancer: "ilb-edge", Pool: "loadmasters", Unit: pair.Second, State: pair.AdminDown, Lever: pair.LeverProve,
		Owner: "ann", Deadline: time.Now().Add(time.Minute),
	}
	nothing := func() {}
	begin := func(o operator, t *testing.T) func() {
		return func() {
			o.remember(t, func(rec *pair.Record) { rec.Prove, rec.Admin, rec.Epoch = nil, []pair.AdminHold{hold}, rec.Epoch+1 })
		}
	}
	end := func(o operator, t *testing.T, back bool) func() {
		return func() {
			o.remember(t, func(rec *pair.Record) {
				rec.Admin, rec.Proofs = nil, nil
				if back {
					done := proof
					done.Back = true
					rec.Proofs = []pair.LeverProof{done}
				}
			})
		}
	}
	tests := []struct {
		name   string
		script func(operator, *testing.T) []func()
		code   int
		out    []string
		err    []string
	}{
		{
			"it passes",
			func(o operator, t *testing.T) []func() { return []func(){nothing, begin(o, t), end(o, t, true)} },
			exitDone,
			[]string{"proved on ilb-edge/loadmasters at ", "the lever of pair edge-weu is proved\n"},
			[]string{"tandem: waits for a look at the pair, which is unclear", "tandem: second is held Down in ilb-edge/loadmasters until the load balancer shows it"},
		},
		{
			"it is refused, with the reason",
			func(o operator, t *testing.T) []func() {
				return []func(){nothing, func() {
					o.remember(t, func(rec *pair.Record) { rec.Prove, rec.Epoch = nil, rec.Epoch+1 })
					o.journal(t, pair.ID("edge-weu", 3, 1), pair.EntryDecided, pair.Decided{Decision: pair.Decision{Row: "prove-refused"}, Reason: "an admin state that is not ours stands"})
					for range 2 { // the newest of the history is about all pairs
						if err := o.store.SetStop(t.Context(), &pair.Pause{Owner: "bob"}, pair.Entry{Kind: pair.EntryAsked, At: time.Now(), Body: []byte(`{"word":"stop"}`)}); err != nil {
							t.Error(err)
						}
					}
				}}
			},
			exitFailed, nil,
			[]string{"tandem: the lever of pair edge-weu is not proved: an admin state that is not ours stands\n"},
		},
		{
			"it is given up, with the reason, which comes a moment late",
			func(o operator, t *testing.T) []func() {
				return []func(){nothing, begin(o, t), end(o, t, false), nothing, func() {
					o.journal(t, pair.ID("edge-weu", 3, 302), pair.EntryClosed, pair.Intent{Kind: pair.IntentProve, State: pair.IntentAbandoned, LastErr: "the load balancer never showed Down_Admin"})
				}}
			},
			exitFailed, nil,
			[]string{"waits for the journal", "is not proved: the load balancer never showed Down_Admin\n"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := applied(t)
			o.script(looks, tt.script(o, t)...)
			got := o.run(t, "prove", "edge-weu")
			if got.code != tt.code {
				t.Errorf("got %+v, want exit code %d", got, tt.code)
			}
			has(t, "the output", got.out, tt.out...)
			has(t, "the progress", got.err, tt.err...)
		})
	}
	o := applied(t)
	if got := o.run(t, "prove", "edge-weu", "--timeout", "5ms"); got.code != exitFailed || !strings.Contains(got.err, "not done after 5ms: waits for a look at the pair") {
		t.Errorf("without a pass: %+v", got)
	}
	if o.record(t).Prove == nil {
		t.Error("the wish is gone with the command")
	}
	if got := o.run(t, "prove", "edge-weu", "--no-wait"); got.code != exitDone || got.err != "" {
		t.Errorf("without waiting: %+v", got)
	}
	has(t, "status", o.run(t, "status", "edge-weu").out, "to prove  asked by ann at ", "lever     not proved on ilb-edge/loadmasters")
	o.script(looks, nothing, begin(o, t), end(o, t, true))
	var told struct {
		Word   string
		Passed bool
		Proofs []api.Proof
	}
	got := o.run(t, "prove", "edge-weu", "-o", "json")
	if err := json.Unmarshal([]byte(got.out), &told); err != nil || told.Word != "prove" || !told.Passed || len(told.Proofs) != 1 || got.code != exitDone {
		t.Errorf("in JSON: %v, %+v", err, got)
	}
}

func TestARemovalIsWaitedFor(t *testing.T) {
	o := applied(t)
	o.remember(t, func(rec *pair.Record) {
		rec.Admin = []pair.AdminHold{{LoadBalancer: "ilb-edge", Pool: "loadmasters", Unit: pair.Second, State: pair.AdminDown, Deadline: time.Now().Add(time.Minute)}}
	})
	if got := o.run(t, "remove", "edge-weu"); got.code != exitBadInput || !strings.Contains(got.err, "reason") {
		t.Errorf("without a reason: %+v", got)
	}
	if got := o.run(t, "remove", "edge-weu", "--reason", "sold", "--no-wait"); got.code != exitDone || !strings.Contains(got.out, "will be forgotten") {
		t.Errorf("without waiting: %+v", got)
	}
	has(t, "status", o.run(t, "status").out, "is being removed, as ann asked")
	o.script("GET /api/pairs/edge-weu", func() {}, func() {
		o.remember(t, func(rec *pair.Record) { rec.Admin = nil })
		o.deliver(t)
		if err := o.store.Delete(t.Context(), "edge-weu"); err != nil {
			t.Error(err)
		}
	})
	got := o.run(t, "remove", "edge-weu", "--reason", "sold")
	if got.code != exitDone || got.out != "pair edge-weu is forgotten; tandem history edge-weu still has its journal\n" {
		t.Errorf("got %+v", got)
	}
	has(t, "the progress", got.err, "waits until nothing of ours stands: second held Down in ilb-edge until ")
	has(t, "history", o.run(t, "history", "edge-weu").out, "remove", "ann asked: sold")
	if got := o.run(t, "status"); got.out != "PAIR  MODE  SITUATION  SINCE  ACTIVE  NOTE\n" {
		t.Errorf("got %+v", got)
	}
}
