package control_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"tandem/internal/pair"
)

// end is what must be the same however a story was interrupted.
type end struct {
	Situation pair.Situation
	States    map[string]pair.AdminState
	Holds     []pair.AdminHold
	Intents   []pair.Intent
	Outbox    []pair.Post
	Moves     int
}

func (w *world) end() end {
	snap := w.load()
	return end{
		Situation: snap.Record.Situation, States: w.platform.states(), Holds: snap.Record.Admin, Intents: snap.Intents,
		Outbox: snap.Outbox, Moves: len(snap.Record.Moves),
	}
}

// splitAndHeal is the story that is interrupted: both units become active, the
// loser is fenced, the split heals, and the fence is taken back. The times leave
// room for a lease that nobody gives back and for what follows, and for a release
// that is watched because nobody knows whether a write was sent.
func (w *world) splitAndHeal() {
	settled := func(holds int) func() bool {
		return func() bool {
			snap := w.load()
			return len(snap.Record.Admin) == holds && len(snap.Intents)+len(snap.Outbox) == 0 && snap.Record.Lease.Owner == ""
		}
	}
	w.split()
	w.until(time.Minute, settled(len(w.platform.pools)))
	w.heal()
	w.until(8*time.Minute, func() bool { return settled(0)() && w.load().Record.Situation == pair.Healthy })
}

// TestAPassThatStopsAfterAnyEffectIsCarriedOn lets each effect of a whole fence
// and its release go wrong in turn: not done, or done without an answer, and the
// worker dies of it or lives on. Every story must end in the same way (promises
// 4 and 5), and no rule may be broken on the way (promise 2).
func TestAPassThatStopsAfterAnyEffectIsCarriedOn(t *testing.T) {
	tests := []struct {
		name  string
		takes time.Duration // each write
		kills bool
		pools func(*pair.Definition)
		wrote []string
	}{
		{"the worker dies, writes land at once", 0, true, twoPools, []string{"pool Down", "pool2 Down", "pool None", "pool2 None"}},
		{"the worker dies, a write outlasts its pass", 25 * time.Second, true, onePool, []string{"pool Down", "pool None"}},
		{"the worker lives on", 3 * time.Second, false, onePool, []string{"pool Down", "pool None"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			story := func(t *testing.T, fx *effects) *world {
				w := newWorld(t, tt.pools, believing)
				w.platform.takes = tt.takes
				w.passes(1)
				w.start(fx)
				w.splitAndHeal()
				w.kept()
				return w
			}
			var want end
			var events, all []string
			synctest.Test(t, func(t *testing.T) {
				w := story(t, &effects{})
				want, events, all = w.end(), w.received(), w.fx.done
				if len(want.States)+len(want.Holds)+len(want.Intents)+len(want.Outbox) > 0 || want.Situation != pair.Healthy || want.Moves != 1 {
					t.Fatalf("uninterrupted, the story ends with %+v, want a healthy pair, nothing left standing, and one move", want)
				}
				if wrote := w.platform.wrote(); !slices.Equal(wrote, tt.wrote) {
					t.Fatalf("uninterrupted, the writes are %v, want %v", wrote, tt.wrote)
				}
			})
			for n, what := range all {
				for _, f := range []fate{failed, unknown} {
					synctest.Test(t, func(t *testing.T) {
						w := story(t, &effects{at: n + 1, fate: f, kills: tt.kills})
						w.judge(fmt.Sprintf("effect %d of %d, %s, %v", n+1, len(all), what, f), want, events)
					})
					if t.Failed() {
						t.FailNow() // the first one says it all
					}
				}
			}
		})
	}
}

// received are the events as subscribers get them, sorted: a story that was
// interrupted may tell of a release before or after it tells that the pair is
// healthy.
func (w *world) received() []string {
	w.t.Helper()
	got, err := w.topic.received()
	if err != nil {
		w.t.Error(err)
	}
	slices.Sort(got)
	return got
}

func (w *world) judge(name string, want end, events []string) {
	w.t.Helper()
	if got := w.end(); fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
		w.t.Errorf("%s:\nends with %+v\nwant      %+v", name, got, want)
	}
	if received := w.received(); !slices.Equal(received, events) {
		w.t.Errorf("%s:\nevents %v\nwant   %v", name, received, events)
	}
	w.everyEpochIsTold(name)
	if w.t.Failed() {
		w.t.Logf("writes %v\nrows %v\nlog:\n%s", w.platform.wrote(), w.rows(), w.log.text())
	}
}

// everyEpochIsTold checks that the journal holds one decision for every epoch
// that was taken, and the end of every intent once.
func (w *world) everyEpochIsTold(name string) {
	w.t.Helper()
	epochs := map[uint64]int{}
	open := map[string]int{}
	for _, e := range w.journal() {
		switch e.Kind {
		case pair.EntryDecided:
			var d pair.Decided
			if err := json.Unmarshal(e.Body, &d); err != nil {
				w.t.Fatal(err)
			}
			epochs[d.Decision.Epoch]++
			for _, i := range d.Decision.Intents {
				open[i.ID]++
			}
		case pair.EntryClosed:
			var i pair.Intent
			if err := json.Unmarshal(e.Body, &i); err != nil {
				w.t.Fatal(err)
			}
			open[i.ID]--
		}
	}
	for epoch := uint64(2); epoch <= w.load().Record.Epoch; epoch++ { // the first one is the definition's
		if epochs[epoch] != 1 {
			w.t.Errorf("%s: %d decisions of epoch %d in the journal, want one", name, epochs[epoch], epoch)
		}
	}
	for id, n := range open {
		if n != 0 {
			w.t.Errorf("%s: intent %s was decided and not closed once in the journal", name, id)
		}
	}
}
