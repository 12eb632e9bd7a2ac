package faults

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tandem/internal/api"
	"tandem/internal/lab"
	"tandem/internal/pair"
	"tandem/internal/story"
)

const (
	wholeSequences = 100
	// wholeSteps are fewer than in the light world, because each costs thirty
	// times as much.
	wholeSteps = 30
)

// TestRandomFaultsWholeWorld plays random sequences through the lab's world,
// with the real handlers, clients and stores.
func TestRandomFaultsWholeWorld(t *testing.T) {
	n := wholeSequences
	if few() {
		n /= 10
	}
	if os.Getenv("FAULTS_SEED") != "" {
		n = 1
	}
	first := firstSeed(t)
	began, cpu := time.Now(), cpuTime()
	found := inParallel(t, first, n, func(t *testing.T, seed uint64) *finding {
		sc, healing := generateWhole(t, seed)
		f := playWhole(t, sc, seed)
		if f != nil {
			f.healing = healing
		}
		return f
	})
	took, used := time.Since(began), cpuTime()-cpu
	t.Logf("seeds %d to %d: %d sequences of %d steps in %v, %v of CPU for a step", first, first+uint64(n)-1, n, wholeSteps,
		took.Round(time.Millisecond), (used / time.Duration(n*wholeSteps)).Round(time.Microsecond))
	for _, f := range found {
		tell(t, f, f.story, f.what, f.world, "TestRandomFaultsWholeWorld")
	}
}

// generateWhole makes the story of a seed for the lab's world, which has what the
// light one has not: documents that somebody can edit. In mode observe nobody but a
// person undoes that.
func generateWhole(t *testing.T, seed uint64) (sc lab.Scenario, healing int) {
	t.Helper()
	sc, healing = generate(seed, wholeSteps)
	sc.For += healedFor - healedSoon
	edited := slices.ContainsFunc(sc.Steps, func(st lab.Step) bool { return st.Do == "edit-between" })
	if sc.Pair["mode"] != pair.Observe.String() || !edited {
		return sc, healing
	}
	undo := edits(t, sc)
	for n := range undo {
		undo[n].At = sc.Steps[len(sc.Steps)-1].At // when the last of our own writes are over, which may meet an edit too
	}
	sc.Steps = append(sc.Steps, undo...)
	return sc, healing + len(undo)
}

// edits are a person's writes of what edit-between changes, as the pair files say.
func edits(t *testing.T, sc lab.Scenario) (all []lab.Step) {
	t.Helper()
	stories := []lab.Scenario{sc}
	for n := range sc.Neighbours {
		stories = append(stories, sc.Neighbour(n+1))
	}
	for _, one := range stories {
		d, err := (&site{scenario: one}).definition()
		if err != nil {
			t.Fatal(err)
		}
		for _, lb := range d.LoadBalancers {
			st := lab.Step{Do: "edit", State: "loadBalancers/" + lb.Name, Set: map[string]any{}}
			for _, rule := range lb.Rules {
				st.Set["properties.loadBalancingRules["+rule.Name+"].properties.idleTimeoutInMinutes"] = int(time.Duration(rule.IdleTimeout) / time.Minute)
			}
			all = append(all, st)
		}
	}
	return all
}

// playWhole plays a story in the lab's world and returns the promise that it
// broke, if any.
func playWhole(t *testing.T, sc lab.Scenario, seed uint64) (found *finding) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		watch := &watcher{sc: sc, start: time.Now(), epochs: map[string]uint64{}, ended: make(chan struct{})}
		ctx := context.WithoutCancel(t.Context())
		out, _, _, err := story.With(ctx, sc, story.Options{Seed: seed, Journal: true, Expose: func(ctx context.Context, world *lab.World) error {
			watch.world = world
			go watch.run(ctx)
			return nil
		}})
		close(watch.ended)
		if err != nil {
			t.Errorf("seed %d: %v", seed, err)
			return
		}
		watch.journal(out.Entries)
		watch.transcript(out)
		for _, f := range out.Failures {
			// The operator asks for approvals where nothing waits, and while the
			// program cannot answer.
			if !strings.Contains(f, "the operator cannot") {
				watch.violated(ruleLab, "%s", f)
			}
		}
		if watch.found != nil {
			found = &finding{seed: seed, story: sc, what: *watch.found, world: last(out)}
		}
	})
	return found
}

// last is the end of a transcript.
func last(o story.Outcome) string {
	var b strings.Builder
	for _, m := range o.Timeline[max(0, len(o.Timeline)-60):] {
		fmt.Fprintf(&b, "%s %-13s %s\n", m.At, m.Source, m.Event)
	}
	return b.String()
}

// watcher looks for broken promises in the lab's world: at what the load
// balancer's own view shows while the story is played, at what the operator API
// says at its end, and at the journal.
type watcher struct {
	world  *lab.World
	sc     lab.Scenario
	start  time.Time
	ended  chan struct{}
	found  *violation
	epochs map[string]uint64
}

func (w *watcher) violated(promise, format string, args ...any) {
	if w.found == nil {
		at := time.Since(w.start)
		w.found = &violation{promise: promise, rule: format, step: w.step(at), at: at, what: fmt.Sprintf(format, args...)}
	}
}

// step is the number of the step that was done last.
func (w *watcher) step(at time.Duration) int {
	n := 0
	for n < len(w.sc.Steps) && w.sc.Steps[n].At <= at {
		n++
	}
	return n
}

// run looks every five seconds, with a phase of its own, until the story ends.
func (w *watcher) run(ctx context.Context) {
	time.Sleep(53 * time.Microsecond)
	beat := time.NewTicker(5 * time.Second)
	defer beat.Stop()
	for {
		select {
		case <-w.ended:
			return
		case <-ctx.Done():
			return
		case <-beat.C:
		}
		at := time.Since(w.start)
		if down := w.world.Down(); len(down) == 2 && !w.byPerson(at) {
			w.violated(promiseEvidence, "both units are held Down, and no person has set one")
		}
		if left := w.sc.For - at; left < 7*time.Second && left >= 2*time.Second {
			w.converged(ctx)
		}
	}
}

// byPerson reports whether a person holds a unit Down at a time, or did just
// now.
func (w *watcher) byPerson(at time.Duration) bool {
	held := map[string]bool{}
	recent := false
	for _, st := range w.sc.Steps {
		if st.At > at || st.Do != "set-admin" {
			continue
		}
		held[st.Unit] = st.State == "Down"
		recent = recent || at-st.At < 20*time.Second
	}
	return recent || held["first"] || held["second"]
}

// converged asks the operator API whether anything is left.
func (w *watcher) converged(ctx context.Context) {
	inside := &http.Client{Transport: &http.Transport{DialContext: w.world.Worker().DialContext, DisableKeepAlives: true}, Timeout: 20 * time.Second}
	c, err := api.NewClient("http://"+lab.AppName, "", inside)
	if err != nil {
		w.violated(promiseConverge, "the operator API cannot be asked: %v", err)
		return
	}
	for _, f := range w.world.PairFiles() {
		w.pairConverged(ctx, c, f.Name)
	}
	if down := w.world.Down(); len(down) > 0 {
		w.violated(promiseConverge, "%v is held Down %v after the last fault was healed", down, healedFor)
	}
	for name := range w.world.Tags(0) {
		if strings.HasPrefix(name, pair.TagPrefix) {
			w.violated(promiseConverge, "the tag %s stands %v after the last fault was healed", name, healedFor)
		}
	}
}

func (w *watcher) pairConverged(ctx context.Context, c *api.Client, name string) {
	s, err := c.Pair(ctx, name)
	switch {
	case err != nil:
		w.violated(promiseConverge, "%s cannot be asked for: %v", name, err)
	case s.Situation != pair.Healthy:
		w.violated(promiseConverge, "%s is believed %s %v after the last fault was healed", name, s.Situation, healedFor)
	case s.Alarm != nil && s.Alarm.Row == "api-refused" && w.did("rotate-password"):
		// The client tries credentials again that were refused after an hour, or
		// when a person changes the secret.
	case s.Alarm != nil:
		w.violated(promiseConverge, "%s has the alarm %s %v after the last fault was healed", name, s.Alarm.Row, healedFor)
	case len(s.Holds)+len(s.Open) > 0:
		w.violated(promiseConverge, "%s has %d admin states and %d open intents %v after the last fault was healed", name, len(s.Holds), len(s.Open), healedFor)
	}
}

// did reports whether the story has a step with a verb.
func (w *watcher) did(verb string) bool {
	return slices.ContainsFunc(w.sc.Steps, func(st lab.Step) bool { return st.Do == verb })
}

// journal looks at what was stored of every decision.
func (w *watcher) journal(entries []pair.Entry) {
	slices.SortFunc(entries, func(a, b pair.Entry) int { return cmp.Compare(a.ID, b.ID) })
	open := map[string]int{}
	for _, e := range entries {
		switch e.Kind {
		case pair.EntryDecided:
			w.decided(e, open)
		case pair.EntryClosed:
			var i pair.Intent
			if err := json.Unmarshal(e.Body, &i); err != nil {
				w.violated(promiseJournal, "entry %s cannot be read: %v", e.ID, err)
			}
			if n, decided := open[i.ID]; decided {
				open[i.ID] = n - 1
			}
		}
		for _, secret := range w.secrets() {
			if bytes.Contains(e.Body, []byte(secret)) {
				w.violated(promiseSecret, "entry %s holds a secret", e.ID)
			}
		}
	}
	for id, n := range open {
		if n != 0 {
			w.violated(promiseCrash, "intent %s was decided and not closed once in the journal", id)
		}
	}
}

// decided looks at one stored decision.
func (w *watcher) decided(e pair.Entry, open map[string]int) {
	body, err := storedDecision(e.Body)
	if err != nil {
		w.violated(promiseJournal, "entry %s cannot be read: %v", e.ID, err)
		return
	}
	if what := body.computedAgain(); what != "" {
		w.violated(promiseJournal, "decision %s: %s", e.ID, what)
		return
	}
	in := &body.Input
	var d pair.Decision
	if json.Unmarshal(body.Decision, &d) != nil {
		return // it was read before
	}
	if d.Epoch <= w.epochs[in.Definition.Name] {
		w.violated(promiseEpoch, "decision %s has epoch %d after %d", e.ID, d.Epoch, w.epochs[in.Definition.Name])
	}
	w.epochs[in.Definition.Name] = d.Epoch
	for _, i := range d.Intents {
		open[i.ID]++
		w.allowed(in, &d, i)
	}
}

// allowed looks at one intent by the facts that were stored with it.
func (w *watcher) allowed(in *pair.Input, d *pair.Decision, i pair.Intent) {
	kind, weighty := kinds[i.Kind]
	if !weighty {
		return
	}
	now := in.Observation.At
	approved := in.Record.Plan != nil && in.Record.Plan.Approved != nil
	job := in.Record.Job // a person's job is leave enough in every mode
	wanted := i.Job != "" && job != nil && job.ID == i.Job && job.By != "" && job.By != "tandem"
	switch {
	case in.Stop.In(now), in.Record.Pause.In(now):
		w.violated(promiseStance, "%s: %s in a pause", d.ID, kind)
	case in.Blind != pair.NotBlind:
		w.violated(promiseStance, "%s: %s in blindness", d.ID, kind)
	case kind == "prove", wanted:
	case in.Definition.Mode == pair.Observe, consentOf(&in.Definition.Failover, kind) == pair.Never:
		w.violated(promiseStance, "%s: %s without leave", d.ID, kind)
	case (in.Definition.Mode != pair.Auto || consentOf(&in.Definition.Failover, kind) == pair.Ask) && !approved && len(in.Record.Admin) == 0:
		w.violated(promiseStance, "%s: %s without approval", d.ID, kind)
	}
	if kind != "fence" {
		return
	}
	for _, r := range pair.Roles {
		if c := in.Observation.Unit(r).Check; c.Answer != pair.CheckServing || now.Sub(c.At) >= evidenceFor || now.Before(c.At) {
			w.violated(promiseEvidence, "%s: a fence, and %s answered %s %v before", d.ID, r, c.Answer, now.Sub(c.At))
		}
	}
}

// secrets are what nobody may see outside of the unit it belongs to.
func (w *watcher) secrets() []string {
	out := []string{lab.TopicKey}
	for _, s := range w.world.Secrets() {
		out = append(out, s)
	}
	return out
}

// transcript looks at what the program wrote to its log.
func (w *watcher) transcript(o story.Outcome) {
	secrets := w.secrets()
	for _, m := range o.Timeline {
		if !strings.HasPrefix(m.Source, "tandem") && !strings.HasPrefix(m.Source, "worker-") {
			continue
		}
		for _, s := range secrets {
			if strings.Contains(m.Event, s) {
				w.violated(promiseSecret, "the log holds a secret at %s: %s", m.At, m.Event)
			}
		}
		if strings.Contains(m.Event, "panic: ") {
			w.violated(rulePanic, "at %s: %s", m.At, m.Event)
		}
	}
}
