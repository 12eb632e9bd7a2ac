package control_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"maps"
	"sync"
	"testing"
	"time"

	"tandem/internal/control"
	"tandem/internal/pair"
	"tandem/internal/store"
)

// The store keeps what control asks of it.
var (
	_ control.Store  = (*store.Store)(nil)
	_ control.Outbox = (*store.Store)(nil)
	_ control.Index  = (*store.Store)(nil)
	_ control.Queue  = (*store.Store)(nil)
)

const edge = "edge"

func mapKeys[K comparable, V any](m map[K]V) iter.Seq[K] { return maps.Keys(m) }

func definition() pair.Definition {
	return pair.Definition{
		Name: edge, Mode: pair.Auto,
		Azure: pair.Scope{Subscription: "s", ResourceGroup: "rg", Location: "westeurope"},
		Units: pair.Units{
			First:  pair.Unit{VM: "lm1", Address: firstAddr},
			Second: pair.Unit{VM: "lm2", Address: secondAddr},
		},
		LoadBalancers: []pair.LoadBalancer{{Name: "ilb", Pools: []string{"pool"}}},
		Failover:      pair.Failover{Fence: pair.Allowed},
	}.WithDefaults()
}

// onePool is the pair as it is, twoPools one whose fence needs two writes.
func onePool(*pair.Definition)    {}
func twoPools(d *pair.Definition) { d.LoadBalancers[0].Pools = []string{"pool", "pool2"} }

// believing is a pair of which everything is believed at first sight, which
// makes stories short.
func believing(d *pair.Definition) {
	d.Failover.SuspectAfter, d.Failover.ConfirmAfter, d.Failover.RecoverAfter = 1, 1, 1
}

// world is one pair with everything around it, in virtual time.
type world struct {
	t        testing.TB
	account  *store.Embedded
	store    *store.Store // the test's own handle, which never fails
	units    *units
	platform *platform
	topic    *topic
	log      *logs

	ticks     int // seconds of the host
	worker    int // how many were started
	storeDown bool
	fx        *effects // of the worker that runs
	waker     *control.Waker
}

// newWorld makes a healthy pair that is defined and was never looked at. It
// must run in a bubble.
func newWorld(t testing.TB, change ...func(*pair.Definition)) *world {
	t.Helper()
	d := definition()
	for _, c := range change {
		c(&d)
	}
	u := newUnits()
	w := &world{t: t, account: store.NewEmbedded(store.EmbeddedOptions{}), units: u, platform: newPlatform(u, d), topic: &topic{}, log: &logs{}}
	w.store = w.account.Store(store.HandleOptions{})
	w.define(d)
	w.prove(d)
	w.start(&effects{})
	return w
}

// prove remembers the lever as proved, as mode auto wants it.
func (w *world) prove(d pair.Definition) {
	w.t.Helper()
	w.change(func(rec *pair.Record) {
		for _, lb := range d.LoadBalancers {
			for _, pool := range lb.Pools {
				rec.Proofs = append(rec.Proofs, pair.LeverProof{LoadBalancer: lb.Name, Pool: pool, At: time.Now(), By: "test", Back: true})
			}
		}
	})
}

// amend changes the stored record as a person's word does, with a new epoch.
func (w *world) amend(change func(*pair.Record)) {
	w.t.Helper()
	w.change(func(rec *pair.Record) {
		change(rec)
		rec.Epoch++
	})
}

func (w *world) change(change func(*pair.Record)) {
	w.t.Helper()
	snap := w.load()
	ch := pair.Change{Record: snap.Record}
	change(&ch.Record)
	if _, err := w.store.Commit(w.t.Context(), snap, ch); err != nil {
		w.t.Fatal(err)
	}
}

// start starts a worker in the place of the one before.
func (w *world) start(fx *effects) {
	w.worker++
	w.fx = fx
	w.waker = &control.Waker{Index: w.store, Queue: &keeper{Store: w.store, fx: fx}, Controller: w.controller(fx), Log: slog.New(w.log)}
}

// controller makes another worker's controller over the same world.
func (w *world) controller(fx *effects, change ...func(*control.Options)) *control.Controller {
	w.t.Helper()
	kept := &keeper{Store: w.store, fx: fx}
	o := control.Options{
		Store: kept, Outbox: kept, Publisher: &publisher{w.topic, fx}, Units: &witness{w.units, fx}, Checks: &witness{w.units, fx},
		Platform: &azure{w.platform, fx}, Log: slog.New(w.log), Worker: fmt.Sprintf("worker-%d-%p", w.worker, fx),
	}
	for _, c := range change {
		c(&o)
	}
	c, err := control.New(o)
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

// pass makes one pass of the worker that runs.
func (w *world) pass(kind pair.CauseKind) error {
	ctx, cancel := context.WithTimeout(w.t.Context(), 20*time.Second)
	defer cancel()
	return w.waker.Controller.Pass(ctx, edge, pair.Cause{Kind: kind})
}

// passes makes n passes of a sweep, far enough apart to count.
func (w *world) passes(n int) {
	w.t.Helper()
	for range n {
		if err := w.pass(pair.CauseSweep); err != nil {
			w.t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
	}
}

// run lets the host do its work for a while: it sweeps every 15 s, hands out
// messages, and starts a worker anew that died.
func (w *world) run(d time.Duration) {
	w.t.Helper()
	end := time.Now().Add(d)
	for ; time.Now().Before(end); w.ticks++ {
		if w.ticks%15 == 0 {
			_ = w.invoke(func(ctx context.Context) error { return w.waker.Sweep(ctx) }) // the next tick is the repeat
		}
		w.drain()
		time.Sleep(time.Second)
	}
}

// until lets the host work until something is so, or until the time is over,
// and a little longer, to see that it stays so.
func (w *world) until(d time.Duration, so func() bool) {
	w.t.Helper()
	end := time.Now().Add(d)
	for time.Now().Before(end) && !so() {
		w.run(3 * time.Second)
	}
	w.run(6 * time.Second)
}

// drain hands out the messages that are visible. One that failed comes again.
func (w *world) drain() {
	w.t.Helper()
	taken, err := w.account.Dequeue(w.t.Context(), pair.QueuePairs, 32, 15*time.Second)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, m := range taken {
		var message pair.Message
		if err := json.Unmarshal([]byte(m.Text), &message); err != nil {
			w.t.Fatal(err)
		}
		if w.invoke(func(ctx context.Context) error { return w.waker.Reconcile(ctx, message) }) != nil {
			continue
		}
		if err := w.account.Delete(w.t.Context(), pair.QueuePairs, m.ID, m.PopReceipt); err != nil {
			w.t.Fatal(err)
		}
	}
}

// invoke makes one call into the worker, as the host does. A worker that died
// in it is replaced.
func (w *world) invoke(call func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(w.t.Context(), 20*time.Second)
	defer cancel()
	w.fx.onDeath(cancel)
	err := call(ctx)
	if w.fx.alive() != nil {
		err = errors.Join(err, errDead)
		w.start(&effects{})
	}
	return err
}

// messages are the messages in the queue, taken out of it.
func (w *world) messages() []pair.Message {
	w.t.Helper()
	var out []pair.Message
	for {
		taken, err := w.account.Dequeue(w.t.Context(), pair.QueuePairs, 32, time.Hour)
		if err != nil {
			w.t.Fatal(err)
		}
		if len(taken) == 0 {
			return out
		}
		for _, m := range taken {
			var message pair.Message
			if err := json.Unmarshal([]byte(m.Text), &message); err != nil {
				w.t.Fatal(err)
			}
			out = append(out, message)
			if err := w.account.Delete(w.t.Context(), pair.QueuePairs, m.ID, m.PopReceipt); err != nil {
				w.t.Fatal(err)
			}
		}
	}
}

func (w *world) load() pair.Snapshot {
	w.t.Helper()
	snap, err := w.store.Load(w.t.Context(), edge)
	if err != nil {
		w.t.Fatal(err)
	}
	return snap
}

// split makes both units active, and heal the second one yield.
func (w *world) split() { w.units.set(pair.Second, pair.Active) }
func (w *world) heal()  { w.units.set(pair.Second, pair.Standby) }

// splitUntilFence brings the pair to the pass whose decision is a fence: the
// next one.
func (w *world) splitUntilFence() {
	w.t.Helper()
	w.passes(1)
	w.split()
	w.passes(2)
	if got := w.load().Record.Suspicion; !got.Situation.BothServe() || got.Count != 2 {
		w.t.Fatalf("the suspicion before the fence is %+v, want both active seen twice", got)
	}
}

// journal returns the pair's journal, oldest first.
func (w *world) journal() []pair.Entry {
	w.t.Helper()
	entries, err := w.store.Journal(w.t.Context(), edge, 1000, "")
	if err != nil {
		w.t.Fatal(err)
	}
	for i, j := 0, len(entries)-1; i < j; i, j = i+1, j-1 {
		entries[i], entries[j] = entries[j], entries[i]
	}
	return entries
}

// rows are the rows of the stored decisions, oldest first.
func (w *world) rows() []string {
	w.t.Helper()
	out := []string{}
	for _, e := range w.journal() {
		if e.Kind != pair.EntryDecided {
			continue
		}
		var d pair.Decided
		if err := json.Unmarshal(e.Body, &d); err != nil {
			w.t.Fatal(err)
		}
		out = append(out, d.Decision.Row)
	}
	return out
}

// kept checks what must hold at every moment.
func (w *world) kept() {
	w.t.Helper()
	w.platform.by(func() {
		for _, b := range w.platform.broken {
			w.t.Error(b)
		}
	})
}

// errDead is what a worker meets that was killed.
var errDead = errors.New("this worker is dead")

// fate is how an effect goes wrong.
type fate uint8

const (
	failed  fate = iota // it was not done
	unknown             // it was done, and nobody was told
)

func (f fate) String() string { return [...]string{"failed", "unknown"}[f] }

// effects counts what a worker does to the outside. At one of them it can let
// it go wrong, and kill the worker with it.
type effects struct {
	at    int // the effect that goes wrong; 0 is none
	fate  fate
	kills bool

	mu    sync.Mutex
	done  []string
	sent  []pair.Message
	dead  bool
	death func()
}

func (e *effects) onDeath(call func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.death = call
}

func (e *effects) alive() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.dead {
		return errDead
	}
	return nil
}

// count counts one effect and reports whether it is the one.
func (e *effects) count(what string) (hit bool, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.dead {
		return false, errDead
	}
	e.done = append(e.done, what)
	hit = len(e.done) == e.at
	e.dead = hit && e.kills
	if e.dead && e.death != nil {
		e.death()
	}
	return hit, nil
}

// do does one effect, or not, as it is its fate. What was sent is done, also
// when the worker dies meanwhile.
func (e *effects) do(ctx context.Context, what string, effect func(context.Context) error) error {
	if ctx.Err() != nil && e.alive() == nil {
		return fmt.Errorf("%s: %w: %w", what, pair.ErrUnreachable, ctx.Err())
	}
	hit, err := e.count(what)
	switch {
	case err != nil:
		return err
	case hit && e.fate == failed:
		return fmt.Errorf("%s: %w", what, pair.ErrUnreachable)
	}
	if err := effect(context.WithoutCancel(ctx)); err != nil || !hit {
		return err
	}
	return fmt.Errorf("%s: %w", what, pair.ErrUnknownOutcome)
}

// keeper is a worker's way to the store. Its writes are effects.
type keeper struct {
	*store.Store
	fx *effects
}

func (k *keeper) Load(ctx context.Context, name string) (pair.Snapshot, error) {
	if err := k.fx.alive(); err != nil {
		return pair.Snapshot{}, err
	}
	return k.Store.Load(ctx, name)
}

func (k *keeper) Holds(ctx context.Context, snap pair.Snapshot, owner string, now time.Time) error {
	if err := k.fx.alive(); err != nil {
		return err
	}
	return k.Store.Holds(ctx, snap, owner, now)
}

// answered does an effect that has an answer.
func answered[T any](ctx context.Context, fx *effects, what string, effect func(context.Context) (T, error)) (got T, err error) {
	err = fx.do(ctx, what, func(ctx context.Context) (err error) {
		got, err = effect(ctx)
		return err
	})
	if err != nil {
		var none T
		return none, err
	}
	return got, nil
}

func (k *keeper) AcquireLease(ctx context.Context, snap pair.Snapshot, owner string, now time.Time, ttl time.Duration) (pair.Snapshot, error) {
	return answered(ctx, k.fx, "take lease", func(ctx context.Context) (pair.Snapshot, error) {
		return k.Store.AcquireLease(ctx, snap, owner, now, ttl)
	})
}

func (k *keeper) ReleaseLease(ctx context.Context, snap pair.Snapshot, owner string) (pair.Snapshot, error) {
	return answered(ctx, k.fx, "give lease back", func(ctx context.Context) (pair.Snapshot, error) { return k.Store.ReleaseLease(ctx, snap, owner) })
}

func (k *keeper) Commit(ctx context.Context, snap pair.Snapshot, ch pair.Change) (pair.Snapshot, error) {
	return answered(ctx, k.fx, "commit", func(ctx context.Context) (pair.Snapshot, error) { return k.Store.Commit(ctx, snap, ch) })
}

func (k *keeper) AppendJournal(ctx context.Context, name string, post pair.Post) error {
	return k.fx.do(ctx, "journal", func(ctx context.Context) error { return k.Store.AppendJournal(ctx, name, post) })
}

func (k *keeper) Send(ctx context.Context, queue string, m pair.Message, delay time.Duration) error {
	return k.fx.do(ctx, "send", func(ctx context.Context) error {
		k.fx.sent = append(k.fx.sent, m)
		return k.Store.Send(ctx, queue, m, delay)
	})
}

func (k *keeper) Delivered(ctx context.Context, name string, ids []string) error {
	return k.fx.do(ctx, "delivered", func(ctx context.Context) error { return k.Store.Delivered(ctx, name, ids) })
}

// witness is a worker's way to the units.
type witness struct {
	*units
	fx *effects
}

func (f *witness) Report(ctx context.Context, u pair.Unit) (pair.Report, error) {
	if err := f.fx.alive(); err != nil {
		return pair.Report{}, err
	}
	return f.units.Report(ctx, u)
}

func (f *witness) Prefer(ctx context.Context, u pair.Unit, want pair.Preference) (pair.Report, error) {
	return answered(ctx, f.fx, "prefer", func(ctx context.Context) (pair.Report, error) { return f.units.Prefer(ctx, u, want) })
}

// azure is a worker's way to the platform. Its writes are effects.
type azure struct {
	*platform
	fx *effects
}

func (f *azure) LoadBalancer(ctx context.Context, d pair.Definition, lb pair.LoadBalancer, health bool) (pair.BalancerSeen, error) {
	if err := f.fx.alive(); err != nil {
		return pair.BalancerSeen{}, err
	}
	return f.platform.LoadBalancer(ctx, d, lb, health)
}

func (f *azure) BeginAdminState(ctx context.Context, ch pair.AdminChange, last func(context.Context) error) (pair.Operation, error) {
	return answered(ctx, f.fx, "write "+ch.Want.String(), func(ctx context.Context) (pair.Operation, error) {
		return f.platform.BeginAdminState(ctx, ch, last)
	})
}

func (f *azure) SetTag(ctx context.Context, lb pair.ResourceID, name, value string, last func(context.Context) error) (pair.Operation, error) {
	return answered(ctx, f.fx, "tag", func(ctx context.Context) (pair.Operation, error) {
		return f.platform.SetTag(ctx, lb, name, value, last)
	})
}

func (f *azure) BeginStart(ctx context.Context, vm pair.ResourceID, last func(context.Context) error) (pair.Operation, error) {
	return answered(ctx, f.fx, "start", func(ctx context.Context) (pair.Operation, error) { return f.platform.BeginStart(ctx, vm, last) })
}

func (f *azure) BeginRestart(ctx context.Context, vm pair.ResourceID, last func(context.Context) error) (pair.Operation, error) {
	return answered(ctx, f.fx, "restart", func(ctx context.Context) (pair.Operation, error) { return f.platform.BeginRestart(ctx, vm, last) })
}

func (f *azure) Poll(ctx context.Context, token string) (pair.Operation, error) {
	if err := f.fx.alive(); err != nil {
		return pair.Operation{}, err
	}
	return f.platform.Poll(ctx, token)
}

// publisher is a worker's way to the topic.
type publisher struct {
	*topic
	fx *effects
}

func (f *publisher) Publish(ctx context.Context, posts []pair.Post) error {
	return f.fx.do(ctx, "publish", func(ctx context.Context) error { return f.topic.Publish(ctx, posts) })
}

// logs is a log that can be read again.
type logs struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logs) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelInfo }
func (l *logs) WithAttrs([]slog.Attr) slog.Handler               { return l }
func (l *logs) WithGroup(string) slog.Handler                    { return l }
func (l *logs) Handle(ctx context.Context, r slog.Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slog.NewTextHandler(&l.buf, nil).Handle(ctx, r)
}

func (l *logs) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func (w *world) define(d pair.Definition) {
	w.t.Helper()
	if _, err := w.store.Define(w.t.Context(), d, nil); err != nil {
		w.t.Fatal(err)
	}
}
