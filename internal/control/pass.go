package control

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"time"

	"tandem/internal/pair"
)

// releasePatience is how long giving the lease back may take.
const releasePatience = 2 * time.Second

// pass is the state of one pass over one pair.
type pass struct {
	*Controller
	Store asked // the Controller's, watched
	name  string
	cause pair.Cause
	// owner is the process: a lease that a pass of it could not give back does not
	// keep the next one waiting. The lease's generation tells the two apart.
	owner string
	began time.Duration // uptime
	snap  pair.Snapshot
	in    pair.Input
	d     pair.Decision
	did   []string // what was seen done in this pass, in words
	// hurry ends the work with the store in time to do without it.
	hurry  *time.Timer
	unread error             // why the pair could not be read
	fault  error             // how the store failed this pass
	waited time.Duration     // for the store, in all
	leased bool              // the lease is to be given back
	saves  bool              // the process's only place for a backup is this pass's
	found  *compared         // what a comparison of settings found
	sent   map[string]bool   // intents whose write has left
	read   map[place]version // how the pools were read last
	// writing is where this pass is the only writer among all pairs, by intent.
	writing map[string]pair.Writer
}

// Pass looks at one pair, decides, and does what was decided. Its order is the
// product's table of contents, and the reason for each place is in DESIGN
// section 5.
//
// An error asks for another try soon. Nothing is lost by it: what was decided is
// stored, and what is stored is carried on.
func (c *Controller) Pass(ctx context.Context, name string, cause pair.Cause) (err error) {
	if cause.Kind == pair.CauseSweep {
		stand, err := c.seat(ctx, name)
		if err != nil {
			return err
		}
		defer stand()
	}
	giveBack, err := c.turns.take(ctx, name, cause.Kind != pair.CauseSweep)
	if err != nil {
		return fmt.Errorf("wait for the pass before: %w", err)
	}
	if giveBack == nil {
		return nil // the pass that runs now sees what this one would see
	}
	defer giveBack()
	ctx, cancel := context.WithTimeout(ctx, c.Budget)
	defer cancel()
	p := &pass{
		Controller: c, name: name, cause: cause, owner: c.Worker,
		writing: map[string]pair.Writer{}, sent: map[string]bool{}, read: map[place]version{},
	}
	p.Store = asked{c.Store, p}
	start := c.now()
	p.began = c.Uptime()
	c.vigil.beat(c.now(), p.began)
	defer func() { p.tell(start, err) }()
	defer func() { p.remember(c.Uptime() - p.began) }()
	defer recovered(&err)

	err = p.withStore(ctx)
	if p.fault != nil && p.vigil.storeFailed(p.Uptime()) {
		p.Log.ErrorContext(ctx, "the store failed again and again: this process trusts itself no more, takes back what it has set, and does nothing else until it was well for a minute",
			"pair", p.name, "error", p.fault.Error())
	}
	err = p.withoutStore(ctx, err)
	if p.leased {
		err = errors.Join(err, p.release(ctx))
	}
	return p.dismissed(err)
}

// withStore is the pass as it should be.
func (p *pass) withStore(ctx context.Context) (err error) {
	ctx, stop := p.hurried(ctx)
	defer stop()
	defer p.unclaim()
	defer recovered(&err)
	if p.unread = p.load(ctx); p.unread != nil {
		return p.unread
	}
	p.unhurryUnless(func(pair.AdminHold) bool { return true })
	if p.cause.Kind == pair.CauseAgain && p.cause.Epoch != p.snap.Record.Epoch {
		return nil // a newer decision has a chain of looks of its own
	}
	p.look(ctx)
	p.decide(ctx)
	if ctx.Err() != nil {
		p.d = pair.Decision{}
		return fmt.Errorf("look at pair %s: cut short, so nothing is concluded: %w", p.name, context.Cause(ctx))
	}
	if p.d.Quiet() && len(p.snap.Intents) == 0 {
		left := p.deliverLeft(ctx)
		if p.d.Remove {
			return errors.Join(left, p.forget(ctx))
		}
		return p.lookAgain(ctx, left)
	}
	if err = p.acquire(ctx); err != nil {
		return p.outrun(err)
	}
	return p.lookAgain(ctx, p.carryOut(ctx))
}

// load reads the pair. A store that does not answer must leave time for what can
// be done without it.
func (p *pass) load(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, p.Budget/4)
	defer cancel()
	snap, err := p.Store.Load(ctx, p.name)
	p.snap = p.outlived(snap)
	return err
}

// forget deletes a pair that a person wants forgotten and of which nothing of
// ours is left.
func (p *pass) forget(ctx context.Context) error {
	if err := p.Store.Delete(ctx, p.name); err != nil && !errors.Is(err, pair.ErrNotFound) {
		return err
	}
	p.snap.Record.Settings = nil
	if p.Documents != nil {
		p.forgetDocuments(ctx)
	}
	p.did = append(p.did, "the pair is forgotten")
	p.snap.Record.Admin = nil
	return nil
}

// remember keeps what this process has to know without the store, and judges
// how the pass went. One that took longer than it may was frozen on its way.
func (p *pass) remember(took time.Duration) {
	if took > p.Budget+stallMargin {
		p.vigil.stalled(p.Uptime())
	}
	p.vigil.beat(p.now(), p.Uptime())
	p.mu.Lock()
	defer p.mu.Unlock()
	m := p.memory()
	switch {
	case p.snap.Version == "":
	case len(p.snap.Record.Admin) == 0:
		m.standing, m.versions = nil, nil
	default:
		snap := p.snap
		m.standing, m.versions = &snap, p.vouched(m.versions)
	}
}

// stallMargin is how far a pass may exceed its budget, which its parts keep by
// themselves, before the process must have stood still.
const stallMargin = 10 * time.Second

// carryOut stores the decision and does what is open, under the lease. It gives
// the lease back where all went well; otherwise there may be something more
// urgent to do first.
func (p *pass) carryOut(ctx context.Context) (err error) {
	if !p.d.Quiet() {
		if err := p.commit(ctx); err != nil {
			return err
		}
	}
	err = errors.Join(p.act(ctx), p.deliver(ctx))
	if !p.d.Quiet() {
		p.tellTopologies(ctx) // who serves is stored; what is more urgent was done before
	}
	if err != nil {
		return err
	}
	return p.release(ctx)
}

// outrun answers a lease that another pass holds. What a sweep would have found
// out the other one does; evidence and the chain of looks must not get lost.
func (p *pass) outrun(err error) error {
	if (errors.Is(err, pair.ErrLeaseLost) || changed(err)) && p.cause.Kind == pair.CauseSweep {
		p.d = pair.Decision{}
		return nil
	}
	return err
}

// changed reports whether the pair's state is not the one that was read.
func changed(err error) bool {
	return errors.Is(err, pair.ErrConflict) || errors.Is(err, pair.ErrStaleEpoch)
}

// recovered makes an error of a panic: a mistake in the pass over one pair must
// not end the process, which is at work on others.
func recovered(err *error) {
	if r := recover(); r != nil {
		*err = errors.Join(*err, fmt.Errorf("panic: %v\n%s", r, debug.Stack()))
	}
}

// dismissed drops the error of a pair whose state could not be read and that
// needs no other try: one that is gone is nobody's work any more, once nothing
// of ours stands; one that is too new is left alone, loudly.
func (p *pass) dismissed(err error) error {
	switch {
	case errors.Is(p.unread, pair.ErrNotFound) && p.standing() == nil:
		p.Log.InfoContext(context.Background(), "pair is gone, its message is dropped", "pair", p.name)
		p.mu.Lock()
		delete(p.known, p.name)
		p.mu.Unlock()
		return nil
	case errors.Is(p.unread, pair.ErrTooNew):
		p.Log.ErrorContext(context.Background(), "pair was written by a newer release: this one only takes back what it set itself", "pair", p.name)
		return nil
	default:
		return err
	}
}

// decide decides, and once more with the load balancers read, connections counted,
// or the units inspected, where the decision or the job asks for that.
func (p *pass) decide(ctx context.Context) {
	p.judge()
	wants := pair.Proposal{}
	if p.in.Proposal != nil {
		wants = *p.in.Proposal
	}
	if !p.d.ReadBalancers && !wants.Count && wants.Inspect == pair.RoleUnknown && wants.GEO == pair.RoleUnknown {
		return
	}
	if p.d.ReadBalancers {
		p.readBalancers(ctx, true)
	}
	if wants.Count {
		p.countFlows(ctx)
	}
	if wants.Inspect != pair.RoleUnknown {
		p.inspect(ctx, wants.Inspect)
	}
	if wants.GEO != pair.RoleUnknown {
		p.askGEO(ctx, wants.GEO)
	}
	if p.atWork() {
		p.askAgain(ctx)
	}
	p.judge()
}

// acquire takes the lease. If the pair is another one than the decision was
// made on, it is looked at and decided again: its definition may have changed,
// and what was seen is older than what another pass concluded. The same where
// nobody knows whether the lease is ours; if it is, it is taken once more.
func (p *pass) acquire(ctx context.Context) error {
	snap, err := p.Store.AcquireLease(ctx, p.snap, p.owner, p.now(), p.Lease)
	if changed(err) || errors.Is(err, pair.ErrUnknownOutcome) {
		if snap, err = p.Store.Load(ctx, p.name); err == nil {
			p.snap = p.outlived(snap)
			p.look(ctx)
			p.decide(ctx)
			snap, err = p.Store.AcquireLease(ctx, p.snap, p.owner, p.now(), p.Lease)
		}
	}
	if err != nil {
		return fmt.Errorf("take the lease of pair %s: %w", p.name, err)
	}
	snap = p.outlived(snap)
	p.snap, p.leased = snap, true
	p.in.Definition, p.in.Record, p.in.Open = snap.Definition, snap.Record, tokenless(snap.Intents)
	p.judge()
	return nil
}

// release gives the lease back, also when the time of the pass is over: others
// would wait for it until it ends by itself. A lease that is lost already is no
// fault.
func (p *pass) release(ctx context.Context) error {
	p.leased = false
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releasePatience)
	defer cancel()
	_, err := p.Store.ReleaseLease(ctx, p.snap, p.owner)
	if errors.Is(err, pair.ErrLeaseLost) || errors.Is(err, pair.ErrConflict) {
		return nil
	}
	return err
}

// commit stores the decision with its new epoch. An open intent for the same
// backend address as a new one is given up with it: what it did or may have
// done is in the record's holds.
func (p *pass) commit(ctx context.Context) error {
	ch := pair.Change{Record: p.d.Record, PutIntents: p.d.Intents, Outbox: decisionPosts(p)}
	ch.Record.Lease = p.snap.Record.Lease
	for _, open := range p.snap.Intents {
		if slices.ContainsFunc(p.d.Intents, open.Same) {
			open.State, open.LastErr = pair.IntentAbandoned, "decision "+p.d.ID+" took its place"
			ch.DelIntents = append(ch.DelIntents, open.ID)
			ch.Outbox = append(ch.Outbox, closingPosts(p, open)...)
		}
	}
	snap, err := p.Store.Commit(ctx, p.snap, ch)
	if err != nil {
		return fmt.Errorf("store decision %s: %w", p.d.ID, err)
	}
	p.snap = snap
	p.mu.Lock()
	defer p.mu.Unlock()
	p.memory().refused = [2]time.Duration{} // the record knows
	return nil
}

// lookAgain ends a pass: it carries on the chain of looks that the newest
// decision asked for, and hands on how the pass went. Only a pass of that chain
// does so, or a sweep or an event beside it would start a second one; and only
// one without an error, because what failed is put back and carries it on.
func (p *pass) lookAgain(ctx context.Context, err error) error {
	if err != nil {
		return err
	}
	epoch := p.snap.Record.Epoch
	if p.d.Next == 0 || p.cause.Kind != pair.CauseAgain || p.cause.Epoch != epoch || !p.chain(epoch) {
		return nil
	}
	err = p.Outbox.Send(ctx, p.queue(), p.again(epoch), time.Duration(p.d.Next))
	if err != nil && !errors.Is(err, pair.ErrUnknownOutcome) { // if it was lost, the sweep looks again
		return fmt.Errorf("ask for another look at pair %s: %w", p.name, err)
	}
	return nil
}

// chain reports whether this pass may carry on the chain of looks of an epoch:
// not when it was carried on just now, because messages come twice and each
// would go on for ever.
func (p *pass) chain(epoch uint64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	m := p.memory()
	if now := p.Uptime(); m.chained.epoch != epoch || now-m.chained.at >= time.Duration(p.d.Next)/2 {
		m.chained = link{epoch: epoch, at: now}
		return true
	}
	return false
}

func (p *pass) again(epoch uint64) pair.Message {
	m := pair.Message{V: 1, Kind: "wake", Pairs: []string{p.name}, Cause: pair.Cause{Kind: pair.CauseAgain, Epoch: epoch}}
	if p.queue() == pair.QueueJobs {
		m.Job = p.d.Record.Job.ID
	}
	return m
}

// tell writes the one line that holds the whole story of the pass.
func (p *pass) tell(start time.Time, err error) {
	level := slog.LevelDebug
	if !p.d.Quiet() || len(p.did) > 0 {
		level = slog.LevelInfo
	}
	if p.d.Alarm >= pair.AlarmWarning && !p.d.Quiet() {
		level = slog.LevelWarn
	}
	if err != nil {
		level = slog.LevelWarn
	}
	ctx := context.Background()
	if p.d.Row == "" && err == nil || !p.Log.Enabled(ctx, level) {
		return
	}
	attrs := []any{
		"pair", p.name, "cause", p.cause.Kind.String(), "seen", p.d.Seen.String(), "believed", p.d.Believed.String(),
		"row", p.d.Row, "stance", p.d.Facts.Stance.String(), "epoch", p.snap.Record.Epoch, "decision", p.d.ID,
		"intents", len(p.d.Intents), "done", p.did, "open", len(p.snap.Intents), "alarm", p.d.Alarm.String(),
		"next", time.Duration(p.d.Next), "took", p.now().Sub(start),
	}
	if level > slog.LevelDebug && p.d.Row != "" {
		attrs = append(attrs, "saw", pair.Saw(&p.in, &p.d), "why", pair.Why(&p.in, &p.d))
	}
	if err != nil {
		attrs = append(attrs, "error", err.Error())
	}
	p.Log.Log(ctx, level, "pass", attrs...)
}
