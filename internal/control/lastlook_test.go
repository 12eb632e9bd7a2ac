package control_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"tandem/internal/control"
	"tandem/internal/pair"
	"tandem/internal/settings"
)

// brink is a controller that comes to the moment right before the last look of
// one intent, where a test lets something happen. From then on it notes what
// leaves.
type brink struct {
	*control.Controller
	w       *world
	effect  *effect
	happens func(*brink)

	id     string        // of the intent; empty until it is there
	before pair.Snapshot // as everything was stored when it had happened
	sent   []string

	step      time.Duration // of the worker's wall clock
	holdsTake time.Duration // to look at the lease
	stopFails error         // to ask whether everything is stopped
	taken     error         // what is said of the place among the writers
}

// effect is one way to touch the outside.
type effect struct {
	name  string
	kind  pair.IntentKind
	of    func(pair.Intent) bool // which intents of the kind; nil is all
	early bool                   // it leaves before anything is stored as begun
	pair  func(*pair.Definition)
	stage func(*world) // brings the pair to where it is decided
	// cause wakes the pair; nil is the sweep.
	cause func() pair.Cause
	wants []pair.Intent // of the pair's job; nil is no job
	sends string        // what leaves
	// always: it takes back what is ours, or says what is so. Neither a person's
	// stop nor a doubt in ourselves holds that up.
	always   bool
	deadline time.Duration // 0 for what has none
	shared   bool          // it writes what other pairs write, too
	guard    []objection
	// unguarded: there is nothing in the world that could speak against it.
	unguarded bool
}

// objection is something that speaks against an effect, and what becomes of the
// intent.
type objection struct {
	name    string
	happens func(*brink)
	becomes outcome
	says    string
}

// outcome is what becomes of an intent.
type outcome uint8

const (
	carriedOut outcome = iota
	givenUp            // and nothing of ours stands or counts
	triedAgain         // and then it leaves
	untouched          // the pair is another's: nothing is stored
)

// set returns what brings a unit into a state.
func set(r pair.Role, s pair.HAState) func(*brink) {
	return func(b *brink) { b.w.units.set(r, s) }
}

// answers returns what has a check port answer something, whatever the unit is.
func answers(r pair.Role, a pair.CheckAnswer) func(*brink) {
	return func(b *brink) {
		b.w.units.mu.Lock()
		defer b.w.units.mu.Unlock()
		b.w.units.of[addrOf(r)].check = a
	}
}

func stoppedByPlatform() pair.Cause {
	d := definition()
	return pair.Cause{Kind: pair.CauseVM, Evidence: []pair.Evidence{{Kind: pair.EvidenceStopped, VM: d.VMID(pair.Second), At: time.Now()}}}
}

// prefers changes a unit's own preference, as somebody does at the unit.
func (w *world) prefers(r pair.Role, to pair.Preference) {
	w.units.mu.Lock()
	defer w.units.mu.Unlock()
	w.units.of[addrOf(r)].preferred = to
}

// everyEffect lists all of them. A kind of intent that is missing fails the test.
func everyEffect() []effect {
	wantsProof := func(w *world) {
		w.platform.proving = true
		w.amend(func(rec *pair.Record) { rec.Prove = &pair.Request{By: "ann", At: time.Now()} })
	}
	proofGuard := []objection{
		{"the standby serves", set(pair.Second, pair.Active), givenUp, "second answered 200 and first 200 just before the proof"},
		{"the standby is silent", set(pair.Second, pair.StateUnknown), givenUp, "second answered silent"},
		{"the standby refuses connections", answers(pair.Second, pair.CheckRefused), givenUp, "second answered refused"},
		{"the other unit stands by", set(pair.First, pair.Standby), givenUp, "first 503 just before the proof"},
		{"the other unit is silent", set(pair.First, pair.StateUnknown), givenUp, "first silent just before the proof"},
	}
	return []effect{
		{
			name: "a fence", kind: pair.IntentFence, stage: (*world).split, sends: "set Down", deadline: pair.FenceFor, shared: true,
			guard: []objection{
				{"first stands by", set(pair.First, pair.Standby), givenUp, "first answered 503 just before the fence"},
				{"first is silent", set(pair.First, pair.StateUnknown), givenUp, "first answered silent"},
				{"second stands by", set(pair.Second, pair.Standby), givenUp, "second answered 503"},
				{"second answers something odd", answers(pair.Second, pair.CheckOdd), givenUp, "second answered odd status"},
			},
		},
		{
			name: "a tag", kind: pair.IntentTag, of: func(i pair.Intent) bool { return i.Tag != "" }, stage: (*world).split, sends: "set tag",
			always: true, shared: true, unguarded: true,
		},
		{
			name: "a tag's end", kind: pair.IntentTag, of: func(i pair.Intent) bool { return i.Tag == "" }, stage: splitAndYield, sends: "remove tag",
			always: true, shared: true, unguarded: true,
		},
		{name: "a release", kind: pair.IntentRelease, stage: splitAndYield, sends: "set None", always: true, shared: true, unguarded: true},
		{
			name: "a start", kind: pair.IntentStart, pair: func(d *pair.Definition) { auto(&d.Failover.Start) },
			stage: func(w *world) { w.switchOff(pair.Second, pair.PowerDeallocated) }, cause: stoppedByPlatform, sends: "start lm2",
			guard: []objection{
				{"the VM runs", func(b *brink) { b.w.switchOff(pair.Second, pair.PowerRunning) }, givenUp, "is running by now"},
				{"the VM starts", func(b *brink) { b.w.switchOff(pair.Second, pair.PowerStarting) }, givenUp, "is starting by now"},
				{"the VM is being stopped", func(b *brink) { b.w.switchOff(pair.Second, pair.PowerDeallocating) }, givenUp, "is deallocating by now"},
				{"somebody stopped it again", func(b *brink) {
					again := time.Now().Add(2 * time.Minute)
					b.w.platform.by(func() { b.w.platform.since = func(int) time.Time { return again } })
				}, givenUp, "not known any more who stopped"},
			},
		},
		{
			name: "a restart", kind: pair.IntentRestart, pair: func(d *pair.Definition) { auto(&d.Failover.Restart) },
			stage: func(w *world) { w.switchOff(pair.Second, pair.PowerRunning) }, sends: "restart lm2", deadline: pair.RestartWithin,
			guard: []objection{
				{"the partner stands by", set(pair.First, pair.Standby), givenUp, "first answered 503 and second silent"},
				{"the partner is silent", set(pair.First, pair.StateUnknown), givenUp, "first answered silent"},
				{"the unit stands by", set(pair.Second, pair.Standby), givenUp, "second 503 just before the restart"},
				{"the unit serves", set(pair.Second, pair.Active), givenUp, "second 200 just before the restart"},
				{"the unit answers something odd", answers(pair.Second, pair.CheckOdd), givenUp, "second odd status"},
			},
		},
		{
			name: "a preference for first", kind: pair.IntentPrefer, stage: func(w *world) { w.prefers(pair.Second, pair.PreferNone) }, sends: "prefer first",
			guard: []objection{
				{"second serves", set(pair.Second, pair.Active), givenUp, "second answered 200"},
			},
		},
		{
			name: "a preference for nobody", kind: pair.IntentPrefer, pair: func(d *pair.Definition) { d.HA.Preferred = pair.PreferNone },
			stage: func(w *world) { w.prefers(pair.First, pair.PreferFirst) }, sends: "prefer none",
			guard: []objection{
				{"second serves, from which it takes nothing", set(pair.Second, pair.Active), carriedOut, ""},
			},
		},
		{
			name: "an Up", kind: pair.IntentUp, sends: "set Up", deadline: pair.FenceFor, shared: true,
			pair: func(d *pair.Definition) {
				auto(&d.Failover.Up)
				d.HA.StandbyForwards, d.Checks = pair.ForwardsYes, []pair.Check{{Name: "shop", Port: 443}}
			},
			stage: func(w *world) {
				w.units.set(pair.First, pair.Standby)
				w.units.of[firstAddr].forwards = true
			},
			guard: []objection{
				{"first serves", set(pair.First, pair.Active), givenUp, "first answered 200 and second 503"},
				{"second serves", set(pair.Second, pair.Active), givenUp, "first answered 503 and second 200"},
				{"the unit forwards no more", func(b *brink) { b.w.units.of[firstAddr].forwards = false }, givenUp, `first did not pass check "shop"`},
			},
		},
		{
			name: "the write of a proof that must be refused", kind: pair.IntentProve, early: true, stage: wantsProof, sends: "write with a wrong ETag",
			deadline: pair.ProveFor, guard: proofGuard,
		},
		{
			name: "the Down of a proof", kind: pair.IntentProve, stage: wantsProof, sends: "set Down", deadline: pair.ProveFor, shared: true, guard: proofGuard,
		},
		{
			name: "a repair", kind: pair.IntentRepair, pair: deployed, cause: func() pair.Cause { return pair.Cause{Kind: pair.CauseResource} }, sends: "write ilb",
			shared: true, unguarded: true,
		},
		{
			name: "a job's Up", kind: pair.IntentRaise, pair: forwarding, stage: atWork, wants: []pair.Intent{raiseSecond}, sends: "set Up",
			deadline: pair.FenceFor, shared: true,
			guard: []objection{
				{"the unit forwards no more", func(b *brink) { b.w.units.of[secondAddr].forwards = false }, givenUp, `second did not pass check "shop"`},
			},
		},
		{
			name: "a job's Down", kind: pair.IntentDrain, pair: forwarding, stage: atWorkWithUp, wants: []pair.Intent{drainFirst}, sends: "set Down",
			deadline: pair.FenceFor, shared: true,
			guard: []objection{
				{"the other unit forwards no more", func(b *brink) { b.w.units.of[secondAddr].forwards = false }, givenUp, `second did not pass check "shop"`},
				{"the other unit serves by itself", set(pair.Second, pair.Active), carriedOut, ""},
			},
		},
		{
			name: "a job's reboot", kind: pair.IntentReboot, pair: forwarding, stage: atWorkWithUp, wants: []pair.Intent{rebootFirst}, sends: "reboot lm1",
			guard: []objection{
				{"the other unit forwards no more", func(b *brink) { b.w.units.of[secondAddr].forwards = false }, givenUp, `second did not pass check "shop"`},
				{"the other unit serves by itself", set(pair.Second, pair.Active), carriedOut, ""},
				{"the unit serves no more", set(pair.First, pair.Standby), carriedOut, ""},
			},
		},
		{
			name: "a job's HA parameters", kind: pair.IntentConfigure, pair: forwarding, stage: atWork,
			wants: []pair.Intent{{Kind: pair.IntentConfigure, Unit: pair.First, Prefer: pair.PreferFirst}}, sends: "configure lm1",
			guard: []objection{
				{"second serves", set(pair.Second, pair.Active), givenUp, "second answered 200"},
			},
		},
		{
			name: "a backup", kind: pair.IntentBackup, pair: daily, sends: "back up lm2", unguarded: true, // the worker before had no place for that of lm1
		},
		{
			name: "a restore", kind: pair.IntentRestore, sends: "restore lm2",
			stage: func(w *world) {
				w.amend(func(rec *pair.Record) {
					rec.Units[1].Backup = &pair.UnitBackup{ID: "fresh", At: time.Now()}
					rec.Restore = &pair.RestoreWish{
						Request: pair.Request{By: "ann", At: time.Now()}, Unit: pair.Second, Fresh: "fresh", Parts: pair.PartsShared,
						Backup: pair.Backup{ID: "kept", Firmware: running},
					}
				})
			},
			guard: []objection{
				{"the unit serves by now", set(pair.Second, pair.Active), givenUp, "second answered 200"},
			},
		},
		{
			name: "the beginning of a move", kind: pair.IntentMove,
			pair: func(d *pair.Definition) {
				d.HA.Failback, d.Failover.HoldDown = pair.FailbackManaged, pair.Duration(time.Minute)
			},
			stage: func(w *world) {
				w.units.set(pair.First, pair.Standby)
				w.units.set(pair.Second, pair.Active)
				w.prefers(pair.First, pair.PreferNone)
				w.prefers(pair.Second, pair.PreferNone)
			}, wants: []pair.Intent{}, sends: "begin switchover", unguarded: true,
		},
		{
			name: "a comparison of settings", kind: pair.IntentCompare, pair: observing, sends: "read lm2", unguarded: true,
		},
		{
			name: "the beginning of a sync", kind: pair.IntentSync, stage: func(w *world) { w.differs() }, wants: []pair.Intent{}, sends: "begin sync", unguarded: true,
		},
		{
			name: "a job's settings", kind: pair.IntentWrite,
			stage: func(w *world) {
				w.differs()
				atWork(w)
			},
			wants: []pair.Intent{{Kind: pair.IntentWrite, Unit: pair.First}}, sends: "write lm1",
			guard: []objection{
				{"the unit is standby by now", set(pair.First, pair.Standby), givenUp, "first answered 503"},
				{"the other unit serves too", set(pair.Second, pair.Active), givenUp, "second 200"},
			},
		},
		{
			name: "GEO lists", kind: pair.IntentGEO, pair: forwarding, stage: atWork,
			wants: []pair.Intent{{Kind: pair.IntentGEO, Unit: pair.First, GEO: &pair.GEOWrite{Lists: true}}}, sends: "write GEO of lm1",
			guard: []objection{
				{"the unit is standby by now", set(pair.First, pair.Standby), givenUp, "first answered 503"},
				{"the other unit serves too", set(pair.Second, pair.Active), givenUp, "second 200"},
			},
		},
		{
			name: "the beginning of a set-up", kind: pair.IntentSetUp,
			stage: func(w *world) { w.units.of[secondAddr].checkPort = 8445 }, wants: []pair.Intent{}, sends: "begin configure", unguarded: true,
		},
	}
}

// forwarding is a pair whose standby forwards too.
func forwarding(d *pair.Definition) {
	d.HA.StandbyForwards, d.Checks = pair.ForwardsYes, []pair.Check{{Name: "shop", Port: 443}}
}

// atWork gives the pair a job.
func atWork(w *world) {
	w.units.of[secondAddr].forwards = true
	w.amend(func(rec *pair.Record) {
		rec.Job = &pair.Job{V: 1, MinReader: 1, ID: "edge-000000000001-001", Kind: "switchover", By: "ada", State: pair.JobRuns, Unit: pair.Second}
	})
}

// atWorkWithUp gives it one that holds second Up.
func atWorkWithUp(w *world) {
	atWork(w)
	w.holdsUp()
}

// holdsUp has the pair's job hold second Up.
func (w *world) holdsUp() {
	w.platform.by(func() { w.platform.pools["ilb/pool"].admin[secondAddr] = pair.AdminUp })
	w.amend(func(rec *pair.Record) {
		rec.Admin = []pair.AdminHold{{
			LoadBalancer: "ilb", Pool: "pool", Unit: pair.Second, State: pair.AdminUp, Lever: pair.LeverJob, Owner: "ada", Landed: true,
			Since: time.Now(), Deadline: time.Now().Add(pair.FenceFor),
		}}
	})
}

// splitAndYield brings a pair to the end of a fence.
func splitAndYield(w *world) {
	w.split()
	w.passes(2)
	if len(w.platform.states()) != 1 {
		w.t.Fatal("no fence stands")
	}
	w.heal()
}

// objections are all that may speak against an effect.
func (e *effect) objections() []objection {
	unless := func(o outcome) outcome {
		if e.always {
			return carriedOut
		}
		return o
	}
	out := []objection{
		{"nothing is against it", func(*brink) {}, carriedOut, ""},
		{"another worker has the pair", theft, untouched, "lease lost"},
		{"a newer decision stands", func(b *brink) { b.w.amend(func(*pair.Record) {}) }, untouched, "a newer epoch stands"},
		{"the look takes too long", func(b *brink) { b.holdsTake = 4*time.Second + time.Millisecond }, triedAgain, "the last look before the write took 4.001s"},
		{"the look takes just as long as it may", func(b *brink) { b.holdsTake = 4 * time.Second }, carriedOut, ""},
		{"a person has stopped everything", func(b *brink) {
			if err := b.w.store.SetStop(b.w.t.Context(), &pair.Pause{Owner: "ann"}, pair.Entry{}); err != nil {
				b.w.t.Fatal(err)
			}
		}, unless(givenUp), "ann stopped everything"},
		{"nobody can tell whether a person has", func(b *brink) { b.stopFails = pair.ErrUnreachable }, unless(triedAgain), "ask whether everything is stopped"},
		{"our clock has stepped", func(b *brink) { b.step = -10 * time.Second }, unless(givenUp), "we do not trust ourselves, the clock stepped"},
	}
	if e.shared {
		out = append(out, objection{"another pair writes there", func(b *brink) { b.taken = pair.ErrBusy }, triedAgain, "another pair writes"})
	}
	if e.deadline > 0 {
		out = append(out, objection{"its time is over", func(*brink) { time.Sleep(e.deadline) }, givenUp, "its deadline"})
	}
	return append(out, e.guard...)
}

// theft lets another worker take the lease, whose clock is far ahead.
func theft(b *brink) {
	if _, err := b.w.store.AcquireLease(b.w.t.Context(), b.w.load(), "thief", time.Now().Add(time.Hour), time.Minute); err != nil {
		b.w.t.Fatal(err)
	}
}

// TestTheLastLookBeforeEveryEffect lets everything happen that can speak against
// an effect, right before the last look at it.
func TestTheLastLookBeforeEveryEffect(t *testing.T) {
	all := everyEffect()
	for _, kind := range pair.IntentKinds {
		if !slices.ContainsFunc(all, func(e effect) bool { return e.kind == kind && (e.unguarded || len(e.guard) > 0) }) {
			t.Errorf("no row says what may speak against an intent of kind %s", kind)
		}
	}
	for _, e := range all {
		for _, o := range e.objections() {
			t.Run(e.name+": "+o.name, func(t *testing.T) {
				inBubble(t, func(t *testing.T) {
					b := newBrink(t, &e, o.happens)
					err := b.come()
					b.judge(o, err)
				})
			})
		}
	}
}

// newBrink brings a pair to where an effect is decided.
func newBrink(t *testing.T, e *effect, happens func(*brink)) *brink {
	t.Helper()
	change := e.pair
	if change == nil {
		change = onePool
	}
	w := newWorld(t, asking(change))
	b := &brink{w: w, effect: e, happens: happens}
	b.Controller = w.controller(&effects{}, func(o *control.Options) {
		o.Store, o.Units, o.Platform, o.Brakes = &brinkStore{o.Store, b}, &brinkUnits{o.Units, b}, &brinkPlatform{o.Platform, b}, &brinkBrakes{b: b}
		o.Now = func() time.Time { return time.Now().Add(b.step) }
		o.Budget, o.Lease = 10*time.Minute, 11*time.Minute // for what must be seen to be late
		if e.wants != nil {
			o.Jobs, o.Works = &brinkJobs{script{wants: e.wants}, b}, &brinkWorks{b: b}
		}
		if e.kind == pair.IntentBackup || e.kind == pair.IntentRestore {
			o.Units, o.Backups, o.Copies = told{o.Units, running}, brinkVault{}, &brinkCopies{b}
		}
		if e.kind == pair.IntentCompare || e.kind == pair.IntentWrite {
			o.Settings, o.Documents = &brinkSettings{b}, w.store
		}
		if e.kind == pair.IntentGEO {
			o.GEO = &brinkGEO{b}
		}
		if e.kind == pair.IntentRepair {
			docs := w.deploy()
			docs.drifted()
			o.Resources = &brinkResources{docs, b}
		}
	})
	w.passes(1)
	if e.stage != nil {
		e.stage(w)
	}
	return b
}

// come makes passes until the effect is about to leave, and returns how that
// pass ended.
func (b *brink) come() (err error) {
	b.w.t.Helper()
	for range 100 {
		err = b.look()
		if b.id != "" {
			return err
		}
		if err != nil {
			b.w.t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
	}
	b.w.t.Fatalf("it is not decided; rows %v", b.w.rows())
	return nil
}

func (b *brink) look() error {
	cause := pair.Cause{Kind: pair.CauseSweep}
	if b.effect.cause != nil {
		cause = b.effect.cause()
	}
	return b.Pass(b.w.t.Context(), edge, cause)
}

// judge looks at what became of the effect and its intent.
func (b *brink) judge(o objection, err error) {
	t := b.w.t
	t.Helper()
	left := slices.Contains(b.sent, b.effect.sends)
	if left != (o.becomes == carriedOut) {
		t.Errorf("sent %q, want %q among it: %t", b.sent, b.effect.sends, o.becomes == carriedOut)
	}
	if o.becomes != untouched && err != nil {
		t.Errorf("pass: %v", err)
	}
	now := b.w.load()
	at := slices.IndexFunc(now.Intents, func(i pair.Intent) bool { return i.ID == b.id })
	switch o.becomes {
	case carriedOut:
		if at >= 0 && now.Intents[at].State == pair.IntentOpen {
			t.Errorf("the intent is %+v, want it done or begun", now.Intents[at])
		}
	case givenUp:
		b.isGivenUp(now, at, o.says)
	case triedAgain:
		b.isTriedAgain(now, at, o.says)
	case untouched:
		b.isUntouched(now, err, o.says)
	}
	b.w.kept()
}

func (b *brink) isGivenUp(now pair.Snapshot, at int, says string) {
	t := b.w.t
	t.Helper()
	if at >= 0 {
		t.Errorf("the intent is still open: %+v", now.Intents[at])
	}
	ends := b.endings()
	if len(ends) != 1 || ends[0].State != pair.IntentAbandoned || !strings.Contains(ends[0].LastErr, says) {
		t.Errorf("the journal tells of %+v, want one abandoned because %q", ends, says)
	}
	stands := slices.DeleteFunc(slices.Clone(now.Record.Admin), func(h pair.AdminHold) bool { return h.Landed && h.State == pair.AdminUp }) // a job's, from before
	if len(stands) > 0 || len(now.Record.Moves) > 0 || len(now.Record.Units[0].Powered)+len(now.Record.Units[1].Powered) > 0 {
		t.Errorf("holds %v, moves %v and units %+v, want nothing of what was not sent", now.Record.Admin, now.Record.Moves, now.Record.Units)
	}
}

// endings are the intent as the journal has it closed.
func (b *brink) endings() []pair.Intent {
	b.w.t.Helper()
	return slices.DeleteFunc(b.w.closed(b.effect.kind), func(i pair.Intent) bool { return i.ID != b.id })
}

func (b *brink) isTriedAgain(now pair.Snapshot, at int, says string) {
	t := b.w.t
	t.Helper()
	if at < 0 {
		t.Fatalf("the intent is gone: %+v", b.endings())
	}
	i := now.Intents[at]
	if !strings.Contains(i.LastErr, says) || !i.NotBefore.After(time.Now()) || i.Token != "" || i.State != b.unsent() {
		t.Errorf("the intent is %+v, want it to wait because %q, and as nothing was sent to be %s", i, says, b.unsent())
	}
	b.holdsTake, b.stopFails, b.taken = 0, nil, nil
	for range 6 {
		time.Sleep(5 * time.Second)
		if err := b.look(); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(slices.DeleteFunc(b.sent, func(s string) bool { return s != b.effect.sends })); n != 1 {
		t.Errorf("sent %d times when nothing is against it any more, want once; rows %v", n, b.w.rows())
	}
}

// unsent is the state of an intent of which nothing was sent. A preference may
// be written twice, so nobody keeps account of it.
func (b *brink) unsent() pair.IntentState {
	if b.effect.kind == pair.IntentPrefer {
		return pair.IntentBegun
	}
	return pair.IntentOpen
}

func (b *brink) isUntouched(now pair.Snapshot, err error, says string) {
	t := b.w.t
	t.Helper()
	if !errors.Is(err, pair.ErrLeaseLost) && !errors.Is(err, pair.ErrStaleEpoch) || !strings.Contains(err.Error(), says) {
		t.Errorf("pass: %v, want that %s", err, says)
	}
	was := b.before.Record
	was.Lease = now.Record.Lease // it gives its own back
	if !reflect.DeepEqual(now.Intents, b.before.Intents) || !reflect.DeepEqual(now.Record, was) {
		t.Errorf("the pair is another's, and is stored as\n%+v\nwant\n%+v", now, b.before)
	}
}

// reach is the moment.
func (b *brink) reach(i pair.Intent) {
	e := b.effect
	if b.id != "" || i.Kind != e.kind || e.of != nil && !e.of(i) {
		return
	}
	b.id = i.ID
	b.happens(b)
	b.before = b.w.load()
}

// leaves notes what leaves from then on.
func (b *brink) leaves(what string) {
	if b.id != "" {
		b.sent = append(b.sent, what)
	}
}

// past has a last look and notes what it lets pass.
func (b *brink) past(what string, last func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		err := last(ctx)
		if err == nil {
			b.leaves(what)
		}
		return err
	}
}

type brinkStore struct {
	control.Store
	b *brink
}

// Commit is where what may be sent is stored, right before it is.
func (s *brinkStore) Commit(ctx context.Context, snap pair.Snapshot, ch pair.Change) (pair.Snapshot, error) {
	got, err := s.Store.Commit(ctx, snap, ch)
	for _, i := range ch.PutIntents {
		if err == nil && i.State == pair.IntentBegun && !s.b.effect.early {
			s.b.reach(i)
		}
	}
	return got, err
}

func (s *brinkStore) Holds(ctx context.Context, snap pair.Snapshot, owner string, now time.Time) error {
	if s.b.id != "" {
		time.Sleep(s.b.holdsTake)
	}
	return s.Store.Holds(ctx, snap, owner, now)
}

func (s *brinkStore) Stop(ctx context.Context) (*pair.Pause, error) {
	if s.b.id != "" && s.b.stopFails != nil {
		return nil, s.b.stopFails
	}
	return s.Store.Stop(ctx)
}

type brinkUnits struct {
	control.Units
	b *brink
}

func (u *brinkUnits) Prefer(ctx context.Context, which pair.Unit, want pair.Preference) (pair.Report, error) {
	u.b.leaves("prefer " + want.String())
	return u.Units.Prefer(ctx, which, want)
}

type brinkJobs struct {
	script
	b *brink
}

// Begin is pure, and asked for when the job can be begun and when it is stored.
func (j *brinkJobs) Begin(asked pair.Job, d *pair.Definition) (pair.Job, error) {
	if what := "begin " + asked.Kind; !slices.Contains(j.b.sent, what) {
		j.b.leaves(what)
	}
	return j.script.Begin(asked, d)
}

type brinkWorks struct {
	labour
	b *brink
}

func (l *brinkWorks) Reboot(_ context.Context, u pair.Unit) error {
	l.b.leaves("reboot " + u.VM)
	return nil
}

func (l *brinkWorks) Configure(_ context.Context, d *pair.Definition, r pair.Role, _ pair.Preference) (pair.Report, error) {
	l.b.leaves("configure " + d.Units.Of(r).VM)
	return pair.Report{}, nil
}

// brinkVault keeps one backup, and forgets what it is given.
type brinkVault struct{}

func (brinkVault) Put(_ context.Context, _ string, b pair.Backup, _ []byte) (pair.Backup, error) {
	return b, nil
}
func (brinkVault) List(context.Context, string) ([]pair.Backup, error) { return nil, nil }
func (brinkVault) Get(_ context.Context, _, id string) (pair.Backup, []byte, error) {
	return pair.Backup{ID: id}, []byte("x"), nil
}
func (brinkVault) Delete(context.Context, string, string) error { return nil }

type brinkCopies struct{ b *brink }

func (c *brinkCopies) Backup(_ context.Context, u pair.Unit, _ io.Writer) error {
	c.b.leaves("back up " + u.VM)
	return nil
}

func (c *brinkCopies) Restore(_ context.Context, u pair.Unit, _ io.Reader, _ int) error {
	c.b.leaves("restore " + u.VM)
	return nil
}

// brinkSettings are those of a first unit that lacks a host.
type brinkSettings struct{ b *brink }

func (s *brinkSettings) ReadSettings(_ context.Context, u pair.Unit, _ ...settings.Class) (settings.Snapshot, error) {
	if u.Address == secondAddr {
		s.b.leaves("read " + u.VM)
	}
	return settings.Snapshot{}, nil
}

func (s *brinkSettings) WriteSettings(_ context.Context, u pair.Unit, writes []settings.Write) (int, error) {
	s.b.leaves("write " + u.VM)
	return len(writes), nil
}

// differs has a comparison stored that found a host on second, which first is to get by
// the job that atWork begins.
func (w *world) differs() {
	w.t.Helper()
	c := settings.Comparison{V: settings.ComparisonVersion, At: time.Now(), Policy: settings.Policy{Active: pair.First}}
	c.First.Put(settings.Hosts, nil)
	c.Second.Put(settings.Hosts, []settings.Object{{Class: settings.Hosts, ID: "192.0.2.1", Fields: []settings.Field{{Name: "fqdn", Value: "one"}}}})
	r, _ := c.Compare(nil)
	doc, err := json.Marshal(&c)
	if err == nil {
		err = w.store.PutDocument(w.t.Context(), edge, "comparison-1", doc)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	w.amend(func(rec *pair.Record) {
		rec.Settings = &pair.SettingsRecord{
			Comparison: "comparison-1", ComparedAt: time.Now(), AlikeAt: time.Now(), Found: r.Found(), Since: time.Now(),
			Work: &pair.SettingsWork{Job: "edge-000000000001-001", Plan: "comparison-1", Active: pair.First, Total: [2]int{len(r.ToFirst), 0}},
		}
	})
}

type brinkPlatform struct {
	control.Platform
	b *brink
}

// LoadBalancer is what is read right before a write that stores nothing.
func (p *brinkPlatform) LoadBalancer(ctx context.Context, d pair.Definition, lb pair.LoadBalancer, health bool) (pair.BalancerSeen, error) {
	seen, err := p.Platform.LoadBalancer(ctx, d, lb, health)
	for _, i := range p.b.w.load().Intents {
		if p.b.effect.early && i.State == pair.IntentOpen {
			p.b.reach(i)
		}
	}
	return seen, err
}

func (p *brinkPlatform) BeginAdminState(ctx context.Context, ch pair.AdminChange, last func(context.Context) error) (pair.Operation, error) {
	return p.Platform.BeginAdminState(ctx, ch, p.b.past("set "+ch.Want.String(), last))
}

func (p *brinkPlatform) ProveIfMatch(ctx context.Context, ch pair.AdminChange) error {
	p.b.leaves("write with a wrong ETag")
	return p.Platform.ProveIfMatch(ctx, ch)
}

func (p *brinkPlatform) SetTag(ctx context.Context, lb pair.ResourceID, name, value string, last func(context.Context) error) (pair.Operation, error) {
	what := "set tag"
	if value == "" {
		what = "remove tag"
	}
	return p.Platform.SetTag(ctx, lb, name, value, p.b.past(what, last))
}

func (p *brinkPlatform) BeginStart(ctx context.Context, vm pair.ResourceID, last func(context.Context) error) (pair.Operation, error) {
	return p.Platform.BeginStart(ctx, vm, p.b.past("start "+vm.Name(), last))
}

func (p *brinkPlatform) BeginRestart(ctx context.Context, vm pair.ResourceID, last func(context.Context) error) (pair.Operation, error) {
	return p.Platform.BeginRestart(ctx, vm, p.b.past("restart "+vm.Name(), last))
}

type brinkResources struct {
	control.Resources
	b *brink
}

func (r *brinkResources) BeginWrite(ctx context.Context, id pair.ResourceID, doc []byte, etag string, last func(context.Context) error) (pair.Operation, error) {
	return r.Resources.BeginWrite(ctx, id, doc, etag, r.b.past("write "+id.Name(), last))
}

// brinkBrakes let everybody write until another pair does.
type brinkBrakes struct {
	openBrakes
	b *brink
}

func (k *brinkBrakes) HoldsWriter(context.Context, pair.Writer, time.Time) error {
	if k.b.id != "" && k.b.taken != nil {
		return fmt.Errorf("another pair writes: %w", k.b.taken)
	}
	return nil
}

// openBrakes brake nothing.
type openBrakes struct{}

var _ control.Brakes = openBrakes{}

func (openBrakes) AcquireWriter(_ context.Context, resource pair.ResourceID, w pair.Writer, _ time.Time, _ time.Duration) (pair.Writer, error) {
	w.Resource = resource
	return w, nil
}

func (openBrakes) HoldsWriter(context.Context, pair.Writer, time.Time) error { return nil }

func (openBrakes) ReleaseWriter(context.Context, pair.Writer) error { return nil }

func (openBrakes) TakeSlot(context.Context, string, int, time.Time, time.Duration) error { return nil }

func (openBrakes) GiveSlot(context.Context, string) error { return nil }

// brinkGEO is where GEO lists leave for.
type brinkGEO struct{ b *brink }

func (*brinkGEO) GEO(context.Context, pair.Unit) (pair.GEOSeen, error) { return pair.GEOSeen{}, nil }

func (g *brinkGEO) SetGEO(_ context.Context, u pair.Unit, _ pair.GEOWrite) (pair.GEOSeen, error) {
	g.b.leaves("write GEO of " + u.VM)
	return pair.GEOSeen{}, nil
}
