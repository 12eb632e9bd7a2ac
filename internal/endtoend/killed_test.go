package endtoend

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"tandem/internal/api"
	"tandem/internal/lab"
	"tandem/internal/pair"
	"tandem/internal/store"
)

// pairName is the pair of every story (internal/lab/scenarios/pair.yaml).
const pairName = "edge-weu"

// scenario is a world in which the test itself lets things happen, each when
// the one before it has come to its end. The program is as quick to believe as
// a pair file allows.
func scenario(name string) lab.Scenario {
	return lab.Scenario{
		Name: name, Summary: name, For: 8 * time.Minute, Boot: 3 * time.Second,
		Pair: map[string]any{"failover.suspectAfter": 1, "failover.confirmAfter": 2, "failover.recoverAfter": 2},
	}
}

// sweepEvery is the timer's schedule, and also how long the host leaves a
// message alone whose run has failed (host.json, visibilityTimeout).
const sweepEvery = 15 * time.Second

func TestAFenceWhoseWriterIsKilledInTheMiddleIsCarriedOnAndReleased(t *testing.T) {
	t.Parallel()
	d := deploy(t, scenario("link-cut-and-killed"))
	d.apply()
	d.untilStatus("the pair is believed healthy", healthy)
	d.tandem(0, "prove", pairName, "--by", "ann@example.com", "--no-wait")
	d.until("the lever is proved", func() bool {
		now := d.load()
		return len(now.Record.Proofs) == 1 && now.Record.Proofs[0].Back && len(now.Intents) == 0
	})
	d.says(d.tandem(0, "status"), "PAIR", "edge-weu", "auto", "healthy", "first")
	before := d.world.Writes()

	d.kill(lab.ManagerName, pair.LinkCut)
	d.world.Do(lab.Step{Do: "cut"})
	d.until("both units answer 200", func() bool { return d.answers200("10.0.0.4:8444") && d.answers200("10.0.0.5:8444") })
	d.sweep()
	killed := d.wasKilled()
	left := d.load()
	if len(left.Intents) != 2 || len(left.Record.Admin) != 1 || len(left.Outbox) == 0 {
		t.Fatalf("the killed handler left %d intents, %d holds, %d posts behind; expected a tag and a fence in the middle", len(left.Intents), len(left.Record.Admin), len(left.Outbox))
	}
	if tag, fence := left.Intents[0], left.Intents[1]; tag.Kind != pair.IntentTag || tag.State != pair.IntentBegun || fence.Kind != pair.IntentFence || fence.State != pair.IntentOpen {
		t.Fatalf("the killed handler left %s %s and %s %s behind; expected a tag that was begun, its answer never seen, and a fence to follow", tag.Kind, tag.State, fence.Kind, fence.State)
	}
	if !left.Record.Lease.Until.After(killed) {
		t.Errorf("the lease of the killed handler ended at %v, before it was killed at %v", left.Record.Lease.Until, killed)
	}
	d.says(d.tandem(3, "status"), "partner link cut", "second", "Down in ilb-edge")

	d.untilStatus("the fence is done", func(s api.Status) bool { return len(s.Open) == 0 && len(s.Holds) == 1 })
	d.until("only the first unit serves", func() bool { return slices.Equal(d.world.Down(), []string{"second"}) && d.world.Serving() == "lm1" })
	d.world.Do(lab.Step{Do: "heal"})
	d.untilStatus("the fence is released", func(s api.Status) bool { return len(s.Open)+len(s.Holds) == 0 })
	d.untilStatus("the pair is believed healthy", healthy)
	d.until("no admin state stands", func() bool { return len(d.world.Down()) == 0 })
	d.says(d.tandem(0, "status", pairName), "edge-weu", "auto", "healthy", "first")

	entries := d.journal()
	rows, ids := d.decisions(entries)
	d.inOrder("decisions", rows, "healthy", "prove", "prove-ends", "suspected", "fence", "release-healed")
	ended, closings := d.closed(entries)
	if want := []string{"prove second done, 1 writes", "release second done, 1 writes", "fence second done, 1 writes", "release second done, 1 writes"}; !slices.Equal(ended, want) {
		t.Errorf("ended intents %q, expected %q", ended, want)
	} else {
		var fence pair.Intent
		d.read(closings[2], &fence)
		d.takenOver(left.Record.Lease, fence.BegunAt)
	}
	if n := d.world.Writes() - before; n != 4 {
		t.Errorf("%d writes to Resource Manager, expected the fence and its release, each with the tag", n)
	}
	d.published(entries)
	d.says(d.tandem(0, "history", pairName), "TIME", "release done: second in ilb-edge/loadmasters", "fence done: second in ilb-edge/loadmasters", "seen Down", "applied")
	d.says(d.tandem(0, "explain", pairName, ids["fence"]),
		"row", "fence", "because", "both units answer 200", "check port", "200", "API", "answered (active", "intends", "fence: second to Down in ilb-edge/loadmasters", "you can", "Repair the link")
	if own, others := d.changesTaken(); own == 0 || others > 0 {
		t.Errorf("%d events of own writes and %d of others were taken, expected own ones only, which wake nobody", own, others)
	}
	d.endsClean()
}

func TestACrashWhoseNewsIsCutOffByAKillIsToldOnceAndTheUnitReturns(t *testing.T) {
	t.Parallel()
	d := deploy(t, scenario("first-crashes-and-killed"))
	d.apply()
	d.untilStatus("the pair is believed healthy", healthy)

	<-d.world.Subscribed()
	d.kill(lab.TopicName, pair.Degraded)
	d.world.Do(lab.Step{Do: "crash", Unit: "first"})
	d.wasKilled()
	if left := d.load(); left.Record.Situation != pair.Degraded || len(left.Outbox) == 0 {
		t.Fatalf("the killed handler left the belief %s and %d posts behind; expected degraded, and the news not known to be out", left.Record.Situation, len(left.Outbox))
	}
	d.says(d.tandem(3, "status"), "edge-weu", "auto", "degraded", "second")
	d.until("the load balancer has moved to the second unit", func() bool { return d.world.Serving() == "lm2" })
	d.until("the news is out", func() bool { return len(d.load().Outbox) == 0 })
	d.says(d.tandem(0, "explain", pairName), "row", "degraded", "because", "degraded, first silent", "you can", "Find out why the silent unit is gone")

	d.world.Do(lab.Step{Do: "boot", Unit: "first"})
	d.untilStatus("the pair is believed healthy again", healthy)
	d.until("the first unit serves again", func() bool { return d.world.Serving() == "lm1" })
	d.says(d.tandem(0, "status", pairName, "-o", "json"), `"situation": "healthy"`, `"active": "first"`)

	entries := d.journal()
	rows, _ := d.decisions(entries)
	d.inOrder("decisions", rows, "healthy", "suspected", "degraded", "healthy")
	if ended, _ := d.closed(entries); len(ended) > 0 || d.world.Writes() > 0 {
		t.Errorf("%q and %d writes to Resource Manager, expected the load balancer to be left alone", ended, d.world.Writes())
	}
	d.published(entries)
	d.endsClean()
}

func healthy(s api.Status) bool { return s.Situation == pair.Healthy }

// answers200 asks a check port through the proxy, as a person does with curl.
func (d *deployment) answers200(address string) bool {
	d.t.Helper()
	req, err := http.NewRequestWithContext(d.t.Context(), http.MethodGet, "http://"+address+"/", http.NoBody)
	if err != nil {
		d.t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, Proxy: http.ProxyURL(d.proxy)}}
	resp, err := client.Do(req)
	if err != nil {
		d.t.Fatal(err)
	}
	_ = resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// load reads what is stored of the pair.
func (d *deployment) load() pair.Snapshot {
	d.t.Helper()
	snap, err := d.store.Load(d.t.Context(), pairName)
	if err != nil {
		d.t.Fatal(err)
	}
	return snap
}

// takenOver demands that a killed handler's lease was honoured, and then taken
// by the next message: a sweep's or the one that the kill interrupted. When the
// write was sent counts, because how soon it is seen in effect is Azure's own.
func (d *deployment) takenOver(dead pair.Lease, at time.Time) {
	d.t.Helper()
	free := dead.Until.Add(store.LeaseSkew)
	const slow = 10 * time.Second // the pass itself, on a busy machine
	if at.Before(free) || at.After(free.Add(sweepEvery+slow)) {
		d.t.Errorf("the fence was carried on at %v; the killed handler's lease was free at %v", at, free)
	}
}

// line is what the test reads of a line of the program's log.
type line struct {
	Level, Msg   string
	Changed, Own int
}

// log reads what the handlers printed. The last line of a killed one may be
// cut off.
func (d *deployment) log() []line {
	d.t.Helper()
	var out []line
	for i, h := range d.launcher.started() {
		printed := h.stdout.String()
		for text := range strings.Lines(printed) {
			var l line
			if err := json.Unmarshal([]byte(text), &l); err != nil && strings.HasSuffix(text, "\n") {
				d.t.Errorf("handler %d printed a line that is not JSON: %s", i+1, text)
			}
			out = append(out, l)
		}
	}
	return out
}

// changesTaken counts the changed resources that events told of, by who
// changed them.
func (d *deployment) changesTaken() (own, others int) {
	d.t.Helper()
	for _, l := range d.log() {
		if l.Msg == "events taken" {
			own, others = own+l.Own, others+l.Changed
		}
	}
	return own, others
}

// endsClean stops everything, and demands that nothing is left behind and that
// nothing went wrong on the way but the kill.
func (d *deployment) endsClean() {
	d.t.Helper()
	d.stop()
	for _, f := range d.world.Failures() {
		d.t.Error(f)
	}
	handlers := d.launcher.started()
	if len(handlers) != 2 {
		d.t.Errorf("%d handlers were started, expected the killed one and the next one", len(handlers))
	}
	for i, h := range handlers {
		if code := h.reaped(d.t); code != -1 {
			d.t.Errorf("handler %d ended with exit code %d, expected to be killed", i+1, code)
		}
		if printed := h.stderr.String(); printed != "" {
			d.t.Errorf("handler %d printed on standard error:\n%s", i+1, printed)
		}
		d.discreet("the handler", h.stdout.String()+h.stderr.String())
	}
	for _, l := range d.log() {
		if l.Level == "ERROR" {
			d.t.Errorf("the log has the error %q", l.Msg)
		}
	}
	left, err := d.queues.names(d.t.Context(), "")
	if err != nil || slices.ContainsFunc(left, func(name string) bool { return strings.HasSuffix(name, "-poison") }) {
		d.t.Errorf("queues %q, %v; expected no poison queue", left, err)
	}
}
