package story

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"tandem"
	"tandem/internal/geo"
	"tandem/internal/lab"
	"tandem/internal/pair"
	"tandem/internal/store"
)

// jobTales are jobs in the whole world, whose end is the same whatever dies in
// between.
var jobTales = []struct{ name, text string }{
	{"switchover", `
for: 13m
pair: { ha.standbyForwards: yes }
options: { standby-forwards: "yes" }
steps:
  - { at: 1m,     do: switchover, state: second, for: 1m }
  - { at: 12m30s, expect: { serving: lm2, situation: healthy, alarm: preference-held, job: done, down: [] } }
`},
	{"configure-fresh", `
for: 13m
configured: { first: { hamode: single }, second: { hamode: single } }
steps:
  - { at: 1m,     do: set-up }
  - { at: 12m30s, expect: { serving: lm1, situation: healthy, alarm: none, job: done, down: [] } }
`},
	{"replace", `
for: 17m
boot: 1m
steps:
  - { at: 30s,    do: crash, unit: first }
  - { at: 1m,     do: replace-unit, unit: first }
  - { at: 3m,     do: replace, state: first }
  - { at: 3m10s,  do: pin, unit: first }
  - { at: 3m20s,  do: license-unit, unit: first }
  - { at: 3m30s,  do: restore-unit, unit: first, state: all }
  - { at: 16m30s, expect: { serving: lm2, situation: healthy, alarm: preference-held, job: done, down: [], unserved: { lm1: 16m } } }
`},
	{"geo", `
for: 13m
pair: { ha.standbyForwards: yes }
options: { standby-forwards: "yes" }
geo: { standalones: 1 }
steps:
  - { at: 1m,     do: geo-apply, set: { mode: auto } }
  - { at: 11m,    expect: { topology: done, topologyAlarms: [], clusters: { edge-weu: [ edge-weu, sa1 ], sa1: [ edge-weu, sa1 ] }, partners: { edge-weu: [ sa1 ], sa1: [ edge-weu ] } } }
  - { at: 11m,    do: geo-serve, unit: sa1 }
  - { at: 12m30s, expect: { serving: lm2, situation: healthy, alarm: preference-held, job: done, down: [], answers: { edge-weu: [ edge-weu, sa1 ], sa1: [ edge-weu, sa1 ] } } }
`},
	{"restore", `
for: 19m
boot: 1m
pair: { failover.start: never, backup.every: 1h }
steps:
  - { at: 1m30s,  do: deallocate, unit: second }
  - { at: 3m,     do: replace-unit, unit: second }
  - { at: 4m,     do: replace, state: second }
  - { at: 6m,     do: start, unit: second }
  - { at: 9m,     do: license-unit, unit: second }
  - { at: 9m30s,  do: pin, unit: second }
  - { at: 11m,    do: restore, state: second }
  - { at: 18m30s, expect: { serving: lm1, situation: healthy, alarm: none, job: done, down: [], unserved: { lm2: 18m } } }
`},
	{"set-up-by-itself", `
for: 9m
steps:
  - { at: 1m,     do: configure, unit: second, set: { hcp: 8445 } }
  - { at: 8m30s,  expect: { serving: lm1, situation: healthy, alarm: none, job: done, down: [] } }
`},
}

// death is a moment at which a handler dies: with a write to its store that
// arrives first, or does not.
type death struct {
	write   int
	arrives bool
	// again is how many writes later the next handler dies, before that write
	// arrives; 0 for never.
	again int
}

// String names the death.
func (d death) String() string {
	words := fmt.Sprintf("before write %d", d.write)
	if d.arrives {
		words = fmt.Sprintf("after write %d", d.write)
	}
	if d.again > 0 {
		words += fmt.Sprintf(" and %d writes later", d.again)
	}
	return words
}

// morgue kills handlers at their writes to the store, and notes which writes are
// worth it.
type morgue struct {
	world *lab.World
	gate  store.TableGate
	look  *store.Store // of its own, without a gate
	dies  death        // the zero value for nobody

	mu     sync.Mutex // guards what follows; never held across a wait
	writes int
	seen   map[string]pair.IntentState // of the job's intents
	geo    geo.Record                  // the story's topology, as it was before
	deaths []death                     // around the effects of the job
}

// stand is a store.TableGate. An effect follows on the write that begins its intent
// and comes before the one that closes it: who dies after the first has done nothing
// that anybody could see, and who dies before the second has, and nobody knows.
func (m *morgue) stand(ctx context.Context, write bool, do func() error) error {
	if !write {
		return m.gate(ctx, write, do)
	}
	m.mu.Lock()
	m.writes++
	n := m.writes
	m.mu.Unlock()
	first := m.dies.write > 0 && n == m.dies.write
	if again := m.dies.again > 0 && n == m.dies.write+m.dies.again; again || first && !m.dies.arrives {
		m.world.Do(lab.Step{Do: "kill"})
		return errLost
	}
	err := m.gate(ctx, write, do)
	if first {
		m.world.Do(lab.Step{Do: "kill"})
		return errLost
	}
	m.note(n)
	return err
}

// note compares the job's intents with those before the write, and the steps of the
// story's topology: its epoch rises when some begin.
func (m *morgue) note(n int) {
	snap, err := m.look.Load(context.Background(), pairName)
	if err != nil || snap.Record.Job == nil {
		return
	}
	now := map[string]pair.IntentState{}
	for _, i := range snap.Intents {
		now[i.ID] = i.State
	}
	topology, _ := m.look.Topology(context.Background(), topologyName) // the zero value where there is none
	m.mu.Lock()
	defer m.mu.Unlock()
	begins := topology.Record.Epoch != m.geo.Epoch
	closes := len(topology.Record.Run.Steps) != len(m.geo.Run.Steps)
	m.geo = topology.Record
	for id, state := range now {
		begins = begins || state == pair.IntentBegun && m.seen[id] != pair.IntentBegun
	}
	for id := range m.seen {
		_, open := now[id]
		closes = closes || !open
	}
	if begins {
		m.deaths = append(m.deaths, death{write: n, arrives: true})
	}
	if closes {
		m.deaths = append(m.deaths, death{write: n})
	}
	m.seen = now
}

// dying plays a job whose handlers die, and returns what was noted of it and what
// was not as it must be.
func dying(t *testing.T, sc lab.Scenario, dies death) (deaths []death, failures []string, outage lab.Outage, end string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		account := store.NewEmbedded(store.EmbeddedOptions{})
		look := account.Store(store.HandleOptions{})
		ctx := context.WithoutCancel(t.Context())
		record := func(show func(pair.Record) string) func() string {
			return func() string {
				snap, err := look.Load(ctx, pairName)
				if err != nil {
					return err.Error()
				}
				return show(snap.Record)
			}
		}
		world, err := lab.New(sc, lab.Options{
			Seed:     1,
			Believed: record(func(r pair.Record) string { return r.Situation.String() }),
			Job:      record(func(r pair.Record) string { return r.Job.State.String() }),
			Topology: topologyOf(ctx, look),
			Alarmed: record(func(r pair.Record) string {
				if r.Alarm == nil {
					return "none"
				}
				return r.Alarm.Row
			}),
		})
		if err != nil {
			t.Fatal(err)
		}
		defer world.Close()
		functions, err := tandem.FunctionApp()
		if err != nil {
			t.Fatal(err)
		}
		s, err := newStage(world, account, 1)
		if err != nil {
			t.Fatal(err)
		}
		m := &morgue{world: world, gate: s.gate, look: look, dies: dies, seen: map[string]pair.IntentState{}}
		s.gate = m.stand
		if err := s.attach(functions); err != nil {
			t.Fatal(err)
		}
		if err := run(ctx, world, s.operator, look); err != nil {
			t.Fatal(err)
		}
		if err := s.linger(); err != nil {
			t.Fatal(err)
		}
		snap, err := look.Load(ctx, pairName)
		if err != nil {
			t.Fatal(err)
		}
		var steps []string
		for _, step := range snap.Record.Job.Steps {
			steps = append(steps, step.Name)
		}
		end = fmt.Sprintf("%s, %d admin states, %d intents, last active %s, steps %s", snap.Record.Job.State, len(snap.Record.Admin), len(snap.Intents), snap.Record.LastActive, strings.Join(steps, " "))
		deaths, failures, outage = m.deaths, world.Failures(), world.Outage()
		if dies.write > 0 && !slices.ContainsFunc(world.Transcript(), func(l lab.Line) bool { return strings.Contains(l.Event, "is killed") }) {
			failures = append(failures, "nobody died")
		}
	})
	return deaths, failures, outage, end
}

// jobDeaths is how many deaths of one job are played, drawn from all of them.
const jobDeaths = 12

// TestAJobWhoseHandlerDiesAroundAnyEffectEndsAsUndisturbed plays a job, and then
// again with the handler dying around its effects: right after one was begun in the
// store and before it was sent, and after it was sent and before that was stored,
// once and twice. The end is the same.
func TestAJobWhoseHandlerDiesAroundAnyEffectEndsAsUndisturbed(t *testing.T) {
	collectLess(t)
	for _, one := range jobTales {
		sc := tale(t, one.text)
		deaths, failures, usual, want := dying(t, sc, death{})
		if len(failures) > 0 || len(deaths) < 6 {
			t.Fatalf("%s, undisturbed: %d effects, %q", one.name, len(deaths), failures)
		}
		t.Logf("%s has %d moments to die at; undisturbed: %s, no answer for %v", one.name, len(deaths), want, usual.Total)
		random := rand.New(rand.NewPCG(1, 0x6a6f62))
		random.Shuffle(len(deaths), func(i, j int) { deaths[i], deaths[j] = deaths[j], deaths[i] })
		for n, d := range deaths[:min(jobDeaths/oneOf, len(deaths))] {
			if n%2 == 1 {
				d.again = 1 + random.IntN(12)
			}
			t.Run(one.name+" "+d.String(), func(t *testing.T) {
				t.Parallel()
				_, failures, outage, end := dying(t, sc, d)
				for _, f := range failures {
					t.Error(f)
				}
				if end != want {
					t.Errorf("ends with %s\nundisturbed    %s", end, want)
				}
				if usual.Total == 0 && outage.Total > 0 {
					t.Errorf("no answer for %v, and undisturbed there always was one", outage.Total)
				}
			})
		}
	}
}
