package faults

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tandem/internal/lab"
	"tandem/internal/pair"
)

const (
	// settlesAfter is how long after its end a story that nobody interrupted is
	// looked at, and atLatest how long one may need that was: 35 seconds until
	// the lease of the dead is over, two minutes of the longest wait after an
	// attempt that failed, hold-down, and the looks that it takes to believe.
	settlesAfter = 2 * time.Minute
	atLatest     = 15 * time.Minute
	// hurriedKills is after how many effects of a story a pass is stopped at most
	// with few().
	hurriedKills = 5
)

var everyKill = flag.Bool("kills", false, "stop a story's pass after each of its effects, not after some")

// Why the light world cannot play a story.
const (
	needsDocuments = "it is about whole documents of Resource Manager, of which the light world has but what a fence needs"
	needsVault     = "it is about backups, which the light world's processes have no place for"
	needsGEO       = "it is about topologies, whose kill points are in internal/control and internal/job"
	needsSettings  = "it is about settings, of which the units of the light world have none; their kill points are in internal/control"
	needsBlank     = "it is about a unit that was built anew, and those of the light world have neither licences nor services"
)

// meetsOneStep are stories in which a person or a fault meets one step of a job at a
// set time. A worker that dies moves the steps, so what is met is another one, and
// so may be the end: all promises hold, and sameness is asked for in the whole world,
// whose few kill points of them are far from it.
var meetsOneStep = []string{
	"announced-trouble", "switchover-cancelled", "switchover-does-not-forward", "switchover-two-people", "switchover-wrong-role",
}

// notForTheLight are the verbs that the light world does not know, with the reason.
// Stories with one of them have their kill points in the whole world.
var notForTheLight = map[string]string{
	"edit": needsDocuments, "delete": needsDocuments, "write": needsDocuments, "manager-busy": needsDocuments, "refuse-health": needsDocuments,
	"replace": needsBlank, "restore-unit": needsBlank,
	"backup": needsVault, "restore": needsVault, "refuse-backups": needsVault, "allow-backups": needsVault, "kill-after-backup": needsVault,
	"at-unit": needsSettings, "many-services": needsSettings, "keep-backup": needsSettings, "sync": needsSettings, "choose": needsSettings, "block-sync": needsSettings, "unblock-sync": needsSettings,
	"geo-apply": needsGEO, "geo-cancel": needsGEO, "geo-serve": needsGEO,
}

// wholeOnly says why a story can be played in the whole world alone, by what it does
// and by the rows that must win in it; empty where the light one can play it.
func wholeOnly(sc lab.Scenario) string {
	for _, st := range sc.Steps {
		if why := notForTheLight[st.Do]; why != "" {
			return why
		}
	}
	for _, row := range sc.Expect.Decisions {
		switch {
		case strings.HasPrefix(row, "repair"):
			return needsDocuments
		case strings.HasPrefix(row, "sync"), row == "settings-differ":
			return needsSettings
		}
	}
	return ""
}

// ending is what must be the same however a story was interrupted.
type ending struct {
	Site      string
	Situation pair.Situation
	Mode      pair.Mode
	Holds     []string // admin states of ours by the record
	Intents   int
	Outbox    int
	Paused    bool
	Blocked   bool
}

// end is how a world ends: each pair, the load balancers, and the units.
func (w *world) end() string {
	var all []string
	for _, s := range w.sites {
		snap, err := w.vault.Load(context.Background(), s.name)
		if err != nil {
			all = append(all, s.name+": "+err.Error())
			continue
		}
		e := ending{
			Site: s.name, Situation: snap.Record.Situation, Mode: snap.Definition.Mode, Intents: len(snap.Intents), Outbox: len(snap.Outbox),
			Paused: snap.Record.Pause != nil, Blocked: snap.Record.Block != nil,
		}
		for _, h := range snap.Record.Admin {
			e.Holds = append(e.Holds, fmt.Sprintf("%s is %s in %s/%s", h.Unit, h.State, h.LoadBalancer, h.Pool))
		}
		all = append(all, fmt.Sprintf("%+v", e))
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, b := range w.balancers {
		doc, _ := b.visible()
		all = append(all, fmt.Sprintf("%s reads %v with %d tags, in force is %v", b.name, doc.admin, len(doc.tags), b.carried.admin))
	}
	for _, a := range w.units {
		all = append(all, fmt.Sprintf("%s prefers first: %v", a.key, a.set.preferFirst))
	}
	return strings.Join(all, "\n")
}

// interrupted plays a story of which one effect goes wrong. It returns how the
// story ended, once that is as wanted or it had its time, the effects that were
// made, and the rows of the decisions.
func interrupted(t *testing.T, sc lab.Scenario, fx *effects, want string) (got string, rows []string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w, err := newWorld(sc, 1, newLedger())
		if err != nil {
			t.Fatal(err)
		}
		w.effects, w.check.hasty = fx, true
		after, settled := atLatest, func() bool { return w.end() == want }
		if want == "" {
			after, settled = settlesAfter, func() bool { return false }
		}
		w.play(context.Background(), after, settled)
		got = w.end()
		if w.check.found != nil {
			got += "\nand it breaks " + w.check.found.String()
		}
		if len(w.failed) > 0 {
			t.Errorf("the light world cannot play it: %v", w.failed)
		}
		rows = w.rows(t)
	})
	return got, rows
}

// rows are the rows of the stored decisions of the story's pair, oldest first.
func (w *world) rows(t *testing.T) []string {
	t.Helper()
	entries, err := w.vault.Journal(context.Background(), w.sites[0].name, 1000, "")
	if err != nil {
		t.Fatal(err)
	}
	var rows []string
	for _, e := range slices.Backward(entries) {
		var d struct {
			Decision struct {
				Row string `json:"row"`
			} `json:"decision"`
		}
		if e.Kind == pair.EntryDecided && json.Unmarshal(e.Body, &d) == nil {
			rows = append(rows, d.Decision.Row)
		}
	}
	return rows
}

// TestKillPointsOfStories stops the pass after effects of each story of the lab in
// turn, once "failed", not done, and once "unknown", done without an answer, and has
// a fresh worker carry on. The end must be the same, and no promise may be broken on
// the way (promises 4 and 5). With -kills, as make kill-points has it, it is after
// each effect.
func TestKillPointsOfStories(t *testing.T) {
	all, err := lab.Scenarios()
	if err != nil {
		t.Fatal(err)
	}
	for _, sc := range all {
		if wholeOnly(sc) != "" {
			continue // TestKillPointsOfTheWholeWorld plays it
		}
		t.Run(sc.Name, func(t *testing.T) {
			t.Parallel()
			killPoints(t, sc)
		})
	}
}

func killPoints(t *testing.T, sc lab.Scenario) {
	t.Helper()
	fx := &effects{}
	want, rows := interrupted(t, sc, fx, "")
	if strings.Contains(want, "and it breaks") {
		t.Fatalf("uninterrupted, it ends with\n%s", want)
	}
	if missing := firstMissing(rows, sc.Expect.Decisions); missing != "" && !slices.Contains(meetsOneStep, sc.Name) {
		t.Errorf("in the light world the decisions are %v, expected %v: %s is missing", rows, sc.Expect.Decisions, missing)
	}
	chosen := killsAt(fx.done)
	until, moves := knownUntil(sc), slices.Contains(meetsOneStep, sc.Name)
	for _, n := range chosen {
		if fx.when[n] >= until || t.Failed() {
			break
		}
		for _, f := range []fate{failed, unknown} {
			if got, _ := interrupted(t, sc, &effects{at: n + 1, fate: f}, want); got != want && (!moves || strings.Contains(got, "and it breaks")) {
				t.Errorf("effect %d of %d, %s, %v:\nends with\n%s\nwant\n%s", n+1, len(fx.done), fx.done[n], f, got, want)
			}
		}
	}
	t.Logf("%d effects, of which went wrong %d", len(fx.done), len(chosen))
}

// killsAt are the effects that go wrong in turn: with few() a handful, otherwise
// each that comes after another one than before, and with -kills each. A
// story has the same few effects in the same order for most of its passes.
func killsAt(done []string) (at []int) {
	every := max(10, len(done)/hurriedKills)
	pairs := map[[2]string]bool{}
	before := ""
	for n, what := range done {
		fresh := !pairs[[2]string{before, what}]
		if *everyKill || few() && n%every == 0 || !few() && fresh {
			at = append(at, n)
		}
		pairs[[2]string{before, what}], before = true, what
	}
	return at
}

// readWithin is how long a process may take that comes after one that died, until it
// has read the pair: to start, to the next sweep, and its pass.
const readWithin = 30 * time.Second

// knownUntil is when the last effect may go wrong whose process leaves another one
// that knows what it knew. Who comes when the record is too new to read knows of no
// fence that stands: the memory of the dead is all that there was.
func knownUntil(sc lab.Scenario) time.Duration {
	for _, st := range sc.Steps {
		if st.Do == "newer-record" {
			return st.At - readWithin
		}
	}
	return sc.For + atLatest
}

// firstMissing is the first word that is not in the list in its order.
func firstMissing(list, want []string) string {
	at := 0
	for _, word := range list {
		if at < len(want) && word == want[at] {
			at++
		}
	}
	if at < len(want) {
		return want[at]
	}
	return ""
}

// TestEveryVerbIsKnown demands that the light world knows what the lab's stories
// can do, or that it is said why it does not.
func TestEveryVerbIsKnown(t *testing.T) {
	for _, verb := range lab.Verbs() {
		known := verbs[verb] != nil || slices.Contains(words, verb)
		switch why := notForTheLight[verb]; {
		case !known && why == "":
			t.Errorf("the light world does not know the verb %s", verb)
		case known && why != "":
			t.Errorf("the light world knows the verb %s, so nothing keeps it from stories with it", verb)
		}
	}
}
