package faults

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"tandem/internal/control"
	"tandem/internal/job"
	"tandem/internal/job/configure"
	"tandem/internal/job/switchover"
	"tandem/internal/pair"
)

const (
	// invocationFor is how long the handler lets one invocation take.
	invocationFor = 20 * time.Second
	// restartAfter is how long the host needs to start a handler that died.
	restartAfter = 3*time.Second + 311*time.Millisecond
	// clockStep is what nobody can take for a clock that was merely adjusted.
	clockStep = 2 * time.Second
)

// procedures are the jobs of this release.
var procedures = func() *job.Registry {
	r, err := job.NewRegistry(configure.Procedure(), switchover.Procedure())
	if err != nil {
		panic(err) // its procedures are ours
	}
	return r
}()

// errDead is what a handler meets that was killed.
var errDead = fmt.Errorf("this process is dead: %w", pair.ErrUnreachable)

// machine is one instance of the function app: an address, a clock, and a way
// out that can be frozen. Handlers come and go on it. The world's lock guards it.
type machine struct {
	world   *world
	name    string
	skew    time.Duration // of its wall clock
	stepped time.Time     // when that changed last
	frozen  time.Time     // until when its input and output stand still
	cut     map[*appliance]bool
	process *process // nil while none runs
	lives   int
}

// boot starts a handler.
func (m *machine) boot() {
	w := m.world
	w.mu.Lock()
	defer w.mu.Unlock()
	m.lives++
	p := &process{machine: m, name: fmt.Sprintf("%s-%d", m.name, m.lives), began: time.Now(), dead: make(chan struct{}), sites: map[string]*grasp{}}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	kept := &keeper{p, w.account.handle(p.now)}
	log := slog.New(&listener{p: p})
	var most pair.Mode
	if err := most.UnmarshalText([]byte(cmp.Or(w.scenario.MaxMode, pair.ModeUnset.String()))); err != nil {
		panic(err) // a story is right
	}
	c, err := control.New(control.Options{
		Store: kept, Outbox: kept, Publisher: topic{p}, Units: senses{p}, Checks: senses{p}, Platform: azure{p}, Jobs: procedures, Works: senses{p}, Log: log,
		Worker: p.name, Now: p.now, Uptime: func() time.Duration { return time.Since(p.began) + time.Second }, MaxMode: most,
	})
	if err != nil {
		panic(err) // its options are ours
	}
	p.waker = &control.Waker{Index: kept, Queue: kept, Controller: c, Log: log}
	m.process = p
}

// kill ends the handler, also a frozen one.
func (m *machine) kill() {
	m.world.mu.Lock()
	defer m.world.mu.Unlock()
	m.die()
}

// die is kill under the world's lock.
func (m *machine) die() {
	p := m.process
	if p == nil {
		return
	}
	m.process = nil
	m.world.check.troubled()
	close(p.dead)
	p.cancel()
	over := m.world.over
	m.world.running.Go(func() {
		again := time.NewTimer(restartAfter)
		defer again.Stop()
		select {
		case <-again.C:
			m.boot()
		case <-over:
		}
	})
}

// invoke makes one call into the handler, as the host does.
func (m *machine) invoke(call func(context.Context, *process) error) error {
	m.world.mu.Lock()
	p := m.process
	m.world.mu.Unlock()
	if p == nil {
		return errDead
	}
	ctx, cancel := context.WithTimeout(p.ctx, invocationFor)
	defer cancel()
	ctx = context.WithValue(ctx, invocation{}, new(invocation))
	if err := call(ctx, p); err != nil {
		return err
	}
	return p.gone()
}

// invocation is the key and the identity of an invocation in its context. It has a
// size, so that no two have one address.
type invocation struct{ _ byte }

// process is a handler in this process.
type process struct {
	machine *machine
	name    string
	began   time.Time
	waker   *control.Waker
	dead    chan struct{}
	ctx     context.Context
	cancel  context.CancelFunc

	// The world's lock guards these.
	sites   map[string]*grasp
	waits   int64         // how often it waited while its machine was frozen
	looked  bool          // it has read a pair
	skew    time.Duration // of its clock, when it did so last
	stepped time.Time     // the last step of its clock that it could see
	jumped  time.Time     // and since when it could
	faults  []time.Time   // of reading pairs
}

// grasp is what the world knows of a process's hold on a pair.
type grasp struct {
	generation uint64
	epoch      uint64
	serving    [2]time.Time         // when each unit answered 200 to it last
	pass       onePass              // the newest that it began
	known      map[string]time.Time // admin states of ours that stand by what it read, by place, since when it knows
}

// knows notes what a process has read of our admin states.
func (g *grasp) knows(holds []pair.AdminHold) {
	known := map[string]time.Time{}
	for _, h := range holds {
		at := h.LoadBalancer + "/" + h.Pool + "/" + h.Unit.String()
		known[at] = time.Now()
		if since, was := g.known[at]; was {
			known[at] = since
		}
	}
	g.known = known
}

// onePass is what a process met in a pass that has to take something back.
type onePass struct {
	call   any // the invocation that it is in
	began  time.Time
	looked bool          // it asked the check ports
	silent [2]bool       // which units did not answer 200
	snap   pair.Snapshot // as it was read
}

func (p *process) grasp(pairName string) *grasp {
	g := p.sites[pairName]
	if g == nil {
		g = &grasp{}
		p.sites[pairName] = g
	}
	return g
}

// now is the machine's wall clock.
func (p *process) now() time.Time {
	w := p.machine.world
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Now().Add(p.machine.skew).Round(0)
}

func (p *process) gone() error {
	select {
	case <-p.dead:
		return errDead
	default:
		return nil
	}
}

// pass waits while the machine is frozen. What waited goes on one after the
// other, in an order that depends on what it is and when it began to wait.
func (p *process) pass(what string) error {
	w := p.machine.world
	for {
		w.mu.Lock()
		left := time.Until(p.machine.frozen)
		if left > 0 {
			p.waits++
		}
		nth := p.waits
		w.mu.Unlock()
		if left <= 0 {
			return p.gone()
		}
		thaw := time.NewTimer(left + time.Duration(w.roll("thaw "+what, p.name, nth)%5000)*time.Microsecond)
		select {
		case <-thaw.C:
		case <-p.dead:
			thaw.Stop()
			return errDead
		}
	}
}

// travel is the way of a request or an answer: it takes its time, and neither
// leaves nor arrives while the machine is frozen. It depends on what is asked,
// so that equal stories go alike.
func (p *process) travel(ctx context.Context, what string, about time.Duration) error {
	if err := p.pass(what); err != nil {
		return err
	}
	w := p.machine.world
	d := about/2 + time.Duration(w.roll(what, p.name, time.Now().UnixMicro())%uint64(about))
	if d < shortWay {
		time.Sleep(d) // which is cheaper than a timer, and over soon
	} else if err := p.wait(ctx, what, d); err != nil {
		return err
	}
	if err := p.pass(what); err != nil {
		return err
	}
	return ctx.Err()
}

// shortWay is what nobody gives up waiting for.
const shortWay = 150 * time.Millisecond

// wait is how long somebody waits who gets no answer.
func (p *process) wait(ctx context.Context, what string, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-p.dead:
	case <-ctx.Done():
	}
	return p.pass(what)
}

// tables are what is wrong with the tables of the storage account.
type tables struct {
	down  bool
	only  bool // they can only be read
	late  time.Duration
	fails []bool // the next requests: whether they are done all the same
}

// keeper is a process's way to the store. Its writes are effects.
type keeper struct {
	p     *process
	vault vault
}

const (
	storeTakes = 4 * time.Millisecond
	// cutOffAt is how long a request must have been on its way so that its end says
	// something about the store.
	cutOffAt = time.Second
)

// ask makes one request to the tables.
func (k *keeper) ask(ctx context.Context, what string, write bool, do func(context.Context) error) error {
	p, w := k.p, k.p.machine.world
	w.mu.Lock()
	t := &w.tables
	late, down, fails, done := t.late, t.down || t.only && write, false, false
	if !down && len(t.fails) > 0 {
		fails, done, t.fails = true, t.fails[0], t.fails[1:]
	}
	if down || fails || late > 0 {
		w.check.storeTroubled()
	}
	w.mu.Unlock()
	began := time.Now()
	if err := p.travel(ctx, what, storeTakes+late); err != nil {
		err = fmt.Errorf("reach the store: %w: %w", pair.ErrUnreachable, err)
		if time.Since(began) < cutOffAt {
			return err // who gave it no time learns nothing about the store
		}
		return k.lost(what, err)
	}
	switch {
	case down, fails && !write:
		return k.lost(what, fmt.Errorf("the tables cannot be reached: %w", pair.ErrUnreachable))
	case fails && !done:
		return k.lost(what, fmt.Errorf("the tables gave no answer: %w", pair.ErrUnknownOutcome))
	}
	perform := func(ctx context.Context) error { return do(ctx) }
	var err error
	if write {
		err = w.effect(ctx, p, what, perform)
	} else {
		err = perform(ctx)
	}
	switch gone := p.gone(); {
	case gone != nil:
		return gone
	case err == nil && fails:
		return k.lost(what, fmt.Errorf("the tables gave no answer: %w", pair.ErrUnknownOutcome))
	default:
		return err
	}
}

// lost notes a fault of the store that the process is told of.
func (k *keeper) lost(what string, err error) error {
	w := k.p.machine.world
	w.mu.Lock()
	defer w.mu.Unlock()
	if what == "load" || what == "take lease" {
		k.p.faults = append(k.p.faults, time.Now())
	}
	return err
}

func (k *keeper) Load(ctx context.Context, name string) (snap pair.Snapshot, err error) {
	k.looks()
	err = k.ask(ctx, "load", false, func(ctx context.Context) (err error) {
		snap, err = k.vault.Load(ctx, name)
		return err
	})
	if err == nil {
		k.learn(snap)
		k.p.machine.world.check.begins(ctx, k.p, snap)
	}
	return snap, err
}

// looks notes the beginning of a pass, in which a process can find out that its
// clock has stepped since the one before.
func (k *keeper) looks() {
	p, w := k.p, k.p.machine.world
	w.mu.Lock()
	defer w.mu.Unlock()
	if by := p.machine.skew - p.skew; p.looked && (by > clockStep || by < -clockStep) {
		p.stepped, p.jumped = p.machine.stepped, time.Now()
	}
	p.looked, p.skew = true, p.machine.skew
}

// learn notes what a process knows of a pair.
func (k *keeper) learn(snap pair.Snapshot) {
	w := k.p.machine.world
	w.mu.Lock()
	defer w.mu.Unlock()
	g := k.p.grasp(snap.Definition.Name)
	g.generation, g.epoch = snap.Record.Lease.Generation, snap.Record.Epoch
	g.knows(snap.Record.Admin)
}

// change is a write that returns the pair as it is then.
func (k *keeper) change(ctx context.Context, what string, was pair.Snapshot, do func(context.Context) (pair.Snapshot, error)) (pair.Snapshot, error) {
	var snap pair.Snapshot
	err := k.ask(ctx, what, true, func(ctx context.Context) (err error) {
		if snap, err = do(ctx); err == nil {
			k.p.machine.world.check.stored(was, snap)
		}
		return err
	})
	if err != nil {
		return pair.Snapshot{}, err
	}
	k.learn(snap)
	return snap, nil
}

func (k *keeper) AcquireLease(ctx context.Context, snap pair.Snapshot, owner string, now time.Time, ttl time.Duration) (pair.Snapshot, error) {
	return k.change(ctx, "take lease", snap, func(ctx context.Context) (pair.Snapshot, error) {
		return k.vault.AcquireLease(ctx, snap, owner, now, ttl)
	})
}

func (k *keeper) ReleaseLease(ctx context.Context, snap pair.Snapshot, owner string) (pair.Snapshot, error) {
	return k.change(ctx, "give lease back", snap, func(ctx context.Context) (pair.Snapshot, error) {
		return k.vault.ReleaseLease(ctx, snap, owner)
	})
}

func (k *keeper) Commit(ctx context.Context, snap pair.Snapshot, ch pair.Change) (pair.Snapshot, error) {
	got, err := k.change(ctx, "commit", snap, func(ctx context.Context) (pair.Snapshot, error) {
		got, err := k.vault.Commit(ctx, snap, ch)
		if err == nil {
			k.p.machine.world.check.committed(k.p, snap, ch)
		}
		return got, err
	})
	return got, err
}

func (k *keeper) Holds(ctx context.Context, snap pair.Snapshot, owner string, now time.Time) error {
	return k.ask(ctx, "holds", false, func(ctx context.Context) error { return k.vault.Holds(ctx, snap, owner, now) })
}

func (k *keeper) Delete(ctx context.Context, name string) error {
	return k.ask(ctx, "delete", true, func(ctx context.Context) error { return k.vault.Delete(ctx, name) })
}

func (k *keeper) Stop(ctx context.Context) (stop *pair.Pause, err error) {
	err = k.ask(ctx, "stop", false, func(ctx context.Context) (err error) {
		stop, err = k.vault.Stop(ctx)
		return err
	})
	return stop, err
}

func (k *keeper) AppendJournal(ctx context.Context, name string, post pair.Post) error {
	return k.ask(ctx, "journal", true, func(ctx context.Context) error {
		err := k.vault.AppendJournal(ctx, name, post)
		if err == nil {
			k.p.machine.world.check.journalled(name, post)
		}
		return err
	})
}

func (k *keeper) Delivered(ctx context.Context, name string, ids []string) error {
	return k.ask(ctx, "delivered", true, func(ctx context.Context) error { return k.vault.Delivered(ctx, name, ids) })
}

// Send does not touch the tables, so it works when they do not.
func (k *keeper) Send(ctx context.Context, queue string, m pair.Message, delay time.Duration) error {
	if err := k.p.travel(ctx, "send", storeTakes); err != nil {
		return fmt.Errorf("reach the queue: %w: %w", pair.ErrUnreachable, err)
	}
	return k.p.machine.world.effect(ctx, k.p, "send", func(ctx context.Context) error { return k.vault.Send(ctx, queue, m, delay) })
}

func (k *keeper) Due(ctx context.Context, now time.Time) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		err := k.ask(ctx, "due", false, func(context.Context) error { return nil })
		if err != nil {
			yield("", err)
			return
		}
		for name, err := range k.vault.Due(ctx, now) {
			if !yield(name, err) {
				return
			}
		}
	}
}

func (k *keeper) PairsOfVM(ctx context.Context, vm pair.ResourceID) (names []string, err error) {
	err = k.ask(ctx, "pairs of vm", false, func(ctx context.Context) (err error) {
		names, err = k.vault.PairsOfVM(ctx, vm)
		return err
	})
	return names, err
}

func (k *keeper) PairsOfResource(ctx context.Context, id pair.ResourceID) (names []string, err error) {
	err = k.ask(ctx, "pairs of resource", false, func(ctx context.Context) (err error) {
		names, err = k.vault.PairsOfResource(ctx, id)
		return err
	})
	return names, err
}

// topic is a process's way to the custom topic.
type topic struct{ p *process }

func (t topic) Publish(ctx context.Context, posts []pair.Post) error {
	if err := t.p.travel(ctx, "publish", 40*time.Millisecond); err != nil {
		return fmt.Errorf("publish: %w: %w", pair.ErrUnreachable, err)
	}
	w := t.p.machine.world
	err := w.effect(ctx, t.p, "publish", func(context.Context) error {
		w.check.published(posts)
		return nil
	})
	if err != nil {
		return err
	}
	w.took(t.p, "topic")
	return t.p.gone()
}

// took kills a process that was to die when a service had taken something.
func (w *world) took(p *process, service string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	at := slices.IndexFunc(w.deaths, func(d death) bool {
		return d.service == service && (d.machine == "" || d.machine == p.machine.name)
	})
	if at >= 0 && p.machine.process == p {
		w.deaths = slices.Delete(w.deaths, at, at+1)
		p.machine.die()
	}
}

// senses are a process's way to the units.
type senses struct{ p *process }

const (
	answerTakes   = 20 * time.Millisecond
	checkPatience = 2 * time.Second
	apiPatience   = 5 * time.Second
)

// find returns the appliance at an address, if the process reaches it.
func (s senses) find(address netip.Addr) *appliance {
	a := s.p.machine.world.atAddr(address)
	if a == nil || !a.up(time.Now()) || s.p.machine.cut[a] {
		return nil
	}
	return a
}

// listener is what a process writes to its log.
type listener struct{ p *process }

func (l *listener) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelWarn }
func (l *listener) WithAttrs([]slog.Attr) slog.Handler               { return l }
func (l *listener) WithGroup(string) slog.Handler                    { return l }
func (l *listener) Handle(_ context.Context, r slog.Record) error {
	if l.p.gone() == nil {
		l.p.machine.world.check.logged(l.p, r)
	}
	return nil
}

// fate is how an effect goes wrong.
type fate uint8

const (
	failed  fate = iota // it was not done
	unknown             // it was done, and nobody was told
)

func (f fate) String() string { return [...]string{"failed", "unknown"}[f] }

// effects counts what the workers do to the outside, and lets one of them go
// wrong: the process that makes it dies of it.
type effects struct {
	at   int // the effect that goes wrong; 0 is none
	fate fate
	done []string
	when []time.Duration // since the story began, of each
}

// effect does one effect, or not, as is its fate. What was sent is done, also
// when the process dies meanwhile.
func (w *world) effect(ctx context.Context, p *process, what string, do func(context.Context) error) error {
	hit, fate := w.hits(p, what)
	switch {
	case p.gone() != nil && !hit:
		return errDead
	case hit && fate == failed:
		return fmt.Errorf("%s: %w", what, pair.ErrUnreachable)
	}
	err := do(context.WithoutCancel(ctx))
	if err == nil && hit {
		err = fmt.Errorf("%s: %w", what, pair.ErrUnknownOutcome)
	}
	return err
}

// hits counts an effect and reports whether it is the one.
func (w *world) hits(p *process, what string) (bool, fate) {
	if w.effects == nil {
		return false, failed
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if p.machine.process != p {
		return false, failed
	}
	w.effects.done, w.effects.when = append(w.effects.done, what), append(w.effects.when, time.Since(w.start))
	if len(w.effects.done) != w.effects.at {
		return false, failed
	}
	p.machine.die()
	return true, w.effects.fate
}

// sentBefore reports whether the process died of an effect of which it had sent
// all: then it is done.
func (w *world) sentBefore(p *process) bool { return w.effects != nil && p.gone() != nil }
