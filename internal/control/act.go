package control

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"time"

	"tandem/internal/pair"
)

const (
	// attemptsMax is how often a fence is tried before it is given up and
	// reported. A release is never given up: what we set is ours to take back.
	attemptsMax = 6
	// patience is how long one pass watches running operations before it leaves
	// them to the next message; no invocation waits longer than 20 s.
	patience = 10 * time.Second
	// deliverTime is kept of a pass's budget for what has to be told at its end.
	deliverTime = 5 * time.Second
	// effectPatience is how long the load balancer's own view may take to follow a
	// write before the write is made again.
	effectPatience = time.Minute
	// lateFor is how long None must have agreed with the load balancer's own view
	// before the release of an admin state is believed that was never seen in
	// effect: until then its own write may come late. Nobody promises how long one
	// takes; most are over in 30 s, and rule health may need some minutes to tell
	// (azure.md 1.10). It is as long as a lever proof gives it (pair.ProveFor).
	// What comes later still is found as an admin state of somebody else.
	lateFor = 5 * time.Minute
	// lateEvery is how often that view is read meanwhile, where the other unit
	// serves; otherwise it is at each look.
	lateEvery = 15 * time.Second
	// pollEvery is how often a running operation is asked for when the
	// platform does not say.
	pollEvery = 2 * time.Second
	// lastLookMax is how long the last look before a write may take; with it the
	// evidence for a fence is under five seconds old (DESIGN promise 2).
	lastLookMax = 4 * time.Second
	// waitMax is the longest wait of any kind: for room for a VM, which the
	// adapter says takes ten minutes.
	waitMax = 15 * time.Minute
	// backoffMax is the longest wait after an attempt that failed; the waits
	// before double from pair.LookAgain.
	backoffMax = 2 * time.Minute
)

var (
	// errGuard means that a last look just before the effect spoke against it.
	errGuard = errors.New("a last look spoke against it")
	// errForeign means that the admin state is somebody else's.
	errForeign = errors.New("the admin state is not ours")
	// errGone means that the load balancer was read and does not hold the unit's
	// address there any more.
	errGone = errors.New("the pool does not hold the unit any more")
	// errNeverAgain means that another attempt would do harm or cannot help.
	errNeverAgain = errors.New("it is not tried again")
)

// executor is how a kind of intent is carried out.
type executor struct {
	// run brings the intent one step further. seen means that its effect was
	// seen; after is how long to wait for what runs.
	run func(*pass, context.Context, *pair.Intent) (after time.Duration, seen bool, err error)
	// guard is asked right before an effect.
	guard func(*pass, context.Context, *pair.Intent) error
	// lever is what mode and policy must still allow when it is carried out;
	// LeverNone is always allowed.
	lever pair.Lever
	// done changes the record when the effect was seen; nil changes nothing.
	done func(*pass, *pair.Record, pair.Intent)
	// waits: a write that lets fences and releases go first when many pairs want
	// to write.
	waits bool
	// endless: it is never given up, because what we set is ours to take back.
	endless bool
}

// executorOf returns how intents of a kind are carried out. A kind without an
// executor is not carried out; a test sees that every kind has one.
func executorOf(kind pair.IntentKind) (e executor, known bool) {
	switch kind {
	case pair.IntentFence:
		return executor{run: (*pass).setAdminState, guard: (*pass).fenceAllowed, lever: pair.LeverFence, done: landed}, true
	case pair.IntentRelease:
		return executor{run: (*pass).setAdminState, guard: (*pass).nothingAgainst, done: released, endless: true}, true
	case pair.IntentTag:
		return executor{run: (*pass).setTag, guard: (*pass).nothingAgainst}, true
	case pair.IntentUp:
		return executor{run: (*pass).setAdminState, guard: (*pass).upAllowed, lever: pair.LeverUp, done: landed}, true
	case pair.IntentProve:
		return executor{run: (*pass).proveLever, guard: (*pass).proofAllowed, lever: pair.LeverProve, done: shown, waits: true}, true
	case pair.IntentPrefer:
		return executor{run: (*pass).setPreference, guard: (*pass).preferenceAllowed, lever: pair.LeverPrefer, waits: true}, true
	case pair.IntentStart:
		return executor{run: (*pass).startVM, guard: (*pass).startAllowed, lever: pair.LeverStart, done: powered, waits: true}, true
	case pair.IntentRepair:
		return executor{run: (*pass).repair, guard: (*pass).nothingAgainst, lever: pair.LeverRepair, done: repaired, waits: true}, true
	case pair.IntentRaise:
		return executor{run: (*pass).setAdminState, guard: (*pass).raiseAllowed, lever: pair.LeverJob, done: landed}, true
	case pair.IntentDrain:
		return executor{run: (*pass).setAdminState, guard: (*pass).drainAllowed, lever: pair.LeverJob, done: landed}, true
	case pair.IntentReboot:
		return executor{run: (*pass).reboot, guard: (*pass).rebootAllowed, lever: pair.LeverJob, done: rebooted, waits: true}, true
	case pair.IntentMove:
		return executor{run: (*pass).beginJob, guard: (*pass).nothingAgainst, lever: pair.LeverMove, done: begins}, true
	case pair.IntentSetUp:
		return executor{run: (*pass).beginJob, guard: (*pass).nothingAgainst, lever: pair.LeverSetUp, done: begins}, true
	case pair.IntentConfigure:
		return executor{run: (*pass).configure, guard: (*pass).configureAllowed, lever: pair.LeverJob, done: configured, waits: true}, true
	case pair.IntentBackup:
		return executor{run: (*pass).backUp, guard: (*pass).backupAllowed, done: saved}, true
	case pair.IntentRestore:
		return executor{run: (*pass).restore, guard: (*pass).restoreAllowed, lever: pair.LeverJob, done: wasRestored, waits: true}, true
	case pair.IntentSync:
		return executor{run: (*pass).beginJob, guard: (*pass).nothingAgainst, lever: pair.LeverSync, done: begins}, true
	case pair.IntentWrite:
		return executor{run: (*pass).writeSettings, guard: (*pass).writeAllowed, lever: pair.LeverJob, waits: true}, true
	case pair.IntentCompare:
		return executor{run: (*pass).compareSettings, guard: (*pass).compareAllowed, done: wasCompared}, true
	case pair.IntentGEO:
		return executor{run: (*pass).writeGEO, guard: (*pass).geoAllowed, lever: pair.LeverJob, done: submitted, waits: true}, true
	case pair.IntentRestart:
		return executor{run: (*pass).restartVM, guard: (*pass).restartAllowed, lever: pair.LeverRestart, done: powered, waits: true}, true
	default:
		return executor{}, false
	}
}

// nothingAgainst is the guard of what is always right: to take back what is
// ours, and to say what is so.
func (*pass) nothingAgainst(context.Context, *pair.Intent) error { return nil }

// act carries out the open intents. Load balancers do not wait for each other,
// but on each there is one write at a time, because a second one would cancel
// the first (azure.md 0 item 1). Only a pass that has lost the pair ends at
// once; what fails otherwise stays open and is tried again by a later look.
func (p *pass) act(ctx context.Context) error {
	p.unhurry()
	until := min(p.Uptime()+patience, p.began+p.Budget-deliverTime)
	for {
		soonest := time.Duration(0)
		for _, i := range p.next() {
			after, err := p.step(ctx, i)
			if err != nil {
				return fmt.Errorf("%s %s: %w", i.Kind, i.ID, err)
			}
			if after > 0 && (soonest == 0 || after < soonest) {
				soonest = after
			}
		}
		if len(p.next()) == 0 {
			return nil
		}
		if p.Uptime()+soonest > until || wait(ctx, soonest) != nil {
			return nil // still running: the next look goes on
		}
	}
}

// next picks one intent of each place: the one whose operation is running, or
// else the first that may begin now. A tag is taken away when nothing else is
// left to do on its load balancer.
func (p *pass) next() []pair.Intent {
	var out []pair.Intent
	for _, i := range p.snap.Intents {
		at := slices.IndexFunc(out, func(o pair.Intent) bool { return o.Place() == i.Place() })
		switch {
		case i.Token == "" && (p.waitsStill(i) || p.tagTooSoon(i) || p.repairTooSoon(i)):
		case at < 0:
			out = append(out, i)
		case i.Token != "" && out[at].Token == "":
			out[at] = i
		}
	}
	return out
}

// waitsStill reports whether an intent waits for its next attempt. A wait that
// is longer than any we give was stored by a clock that was ahead.
func (p *pass) waitsStill(i pair.Intent) bool {
	left := i.NotBefore.Sub(p.now())
	return left > 0 && left <= waitMax
}

func (p *pass) tagTooSoon(i pair.Intent) bool {
	return i.Kind == pair.IntentTag && i.Tag == "" && slices.ContainsFunc(p.snap.Intents, func(o pair.Intent) bool {
		return o.LoadBalancer == i.LoadBalancer && o.Kind != pair.IntentTag
	})
}

// repairTooSoon reports whether an earlier step of the same repair is not done:
// what refers to something comes after it.
func (p *pass) repairTooSoon(i pair.Intent) bool {
	return i.Kind == pair.IntentRepair && slices.ContainsFunc(p.snap.Intents, func(o pair.Intent) bool {
		return o.Kind == pair.IntentRepair && o.ID < i.ID
	})
}

// step carries one intent one step further and stores how far it came. It
// returns how long to wait for a running write, and an error only where the
// pair is another pass's by now or cannot be stored.
func (p *pass) step(ctx context.Context, i pair.Intent) (time.Duration, error) {
	e, known := executorOf(i.Kind)
	if !known {
		return 0, fmt.Errorf("intent of kind %s: %w", i.Kind, pair.ErrTooNew)
	}
	if i.Job != "" && e.lever != pair.LeverNone {
		e.lever = pair.LeverJob
	}
	if i.Token == "" && e.lever != pair.LeverNone && !pair.Licensed(&p.snap.Definition, e.lever, i.By, p.d.Facts.Stance) {
		return 0, p.abandon(ctx, i, fmt.Errorf("the stance is %s by now, or the policy changed: %w", p.d.Facts.Stance, errGuard))
	}
	if e.waits && i.Token == "" && !p.writes.AllowN(epoch0.Add(p.Uptime()), 1) {
		i.NotBefore = p.now().Add(pair.LookAgain)
		return 0, p.keep(ctx, i, nil)
	}
	after, seen, err := e.run(p, ctx, &i)
	switch {
	case lost(err):
		return 0, err // not ours any more: write nothing
	case err == nil && seen:
		return 0, p.done(ctx, i)
	case err == nil && p.isStored(i):
		return after, nil // nothing new to store
	case err == nil:
		return after, p.keep(ctx, i, nil)
	case errors.Is(err, errGone), errors.Is(err, errForeign), errors.Is(err, errGuard), errors.Is(err, errNeverAgain),
		!(e.endless || i.Kind == pair.IntentTag && i.Tag == "" && !errors.Is(err, pair.ErrRefused)) && i.Attempts >= attemptsMax:
		p.complain(ctx, i, err)
		return 0, p.abandon(ctx, i, err)
	default:
		p.complain(ctx, i, err)
		i.NotBefore = p.now().Add(min(max(pair.RetryAfter(err, 0), p.backoff(i.Attempts)), waitMax))
		return 0, p.keep(ctx, i, err)
	}
}

// isStored reports whether an intent has come no further than it is stored.
func (p *pass) isStored(i pair.Intent) bool {
	return slices.ContainsFunc(p.snap.Intents, func(o pair.Intent) bool {
		return o.ID == i.ID && o.Token == i.Token && o.BegunAt.Equal(i.BegunAt) && o.NotBefore.Equal(i.NotBefore) && o.Rewrite == i.Rewrite && o.Late == i.Late
	})
}

// lost reports whether the pair is another pass's by now.
func lost(err error) bool {
	return errors.Is(err, pair.ErrLeaseLost) || errors.Is(err, pair.ErrStaleEpoch)
}

func (p *pass) complain(ctx context.Context, i pair.Intent, err error) {
	p.Log.WarnContext(ctx, "an intent was not carried out", "pair", p.name, "intent", i.ID, "kind", i.Kind.String(),
		"loadBalancer", i.LoadBalancer, "pool", i.Pool, "attempts", i.Attempts, "error", err.Error())
}

// backoff is how long to wait after so many attempts. Pairs that share a load
// balancer wait differently long, or they would cancel each other for ever.
func (p *pass) backoff(attempts int) time.Duration {
	d := min(pair.LookAgain<<min(attempts, 10), backoffMax)
	h := fnv.New32a()
	_, _ = h.Write([]byte(p.name)) // never fails
	return d + time.Duration(h.Sum32()%3000)*time.Millisecond
}

// setAdminState brings one backend address to the wanted admin state: read,
// write the difference with If-Match, poll, read again. Only the last reading
// counts as done.
//
// That a write may be sent is stored before it is sent. The lease and the guard
// are looked at right before the bytes leave, when everything slow is over.
func (p *pass) setAdminState(ctx context.Context, i *pair.Intent) (after time.Duration, seen bool, err error) {
	if i.Token != "" {
		return p.watch(ctx, i, (*pass).lookAtAdminState)
	}
	etag, now, err := p.adminState(ctx, i)
	switch {
	case err != nil:
		i.Attempts++
		return 0, false, err
	case now == i.Want && i.State == pair.IntentOpen && i.Kind != pair.IntentRelease:
		return 0, false, fmt.Errorf("%s reads %s, and we have not written it: %w", i.Unit, now, errForeign)
	case now == pair.AdminUp && p.heldAs(*i) != pair.AdminUp, now == pair.AdminDown && (i.Want == pair.AdminUp || p.heldAs(*i) == pair.AdminUp):
		return 0, false, fmt.Errorf("%s reads %s: %w", i.Unit, now, errForeign)
	case now == i.Want && !i.Rewrite:
		p.wasSent(i)
		return p.lookAtAdminState(ctx, i)
	case now == i.Want && p.hasLanded(*i):
		return 0, true, nil // while this waited to be written again
	}
	if i.Want != pair.AdminNone && i.State == pair.IntentBegun && !i.Rewrite {
		i.Late = true // nobody knows what became of the write before
	}
	return p.begin(ctx, i, (*pass).lookAtAdminState, func(last func(context.Context) error) (pair.Operation, error) {
		return p.Platform.BeginAdminState(ctx, p.change(i, etag), last)
	})
}

// heldAs is the admin state that we hold the intent's backend address in.
func (p *pass) heldAs(i pair.Intent) pair.AdminState {
	for _, h := range p.snap.Record.Admin {
		if holds(h, i) {
			return h.State
		}
	}
	return pair.AdminNone
}

// hasLanded reports whether a look has seen the intent's admin state in effect.
func (p *pass) hasLanded(i pair.Intent) bool {
	return slices.ContainsFunc(p.snap.Record.Admin, func(h pair.AdminHold) bool { return holds(h, i) && h.State == i.Want && h.Landed })
}

func (p *pass) change(i *pair.Intent, etag string) pair.AdminChange {
	return pair.AdminChange{
		LoadBalancer: p.snap.Definition.LoadBalancerID(i.LoadBalancer), Pool: i.Pool,
		Address: p.snap.Definition.Units.Of(i.Unit).Address, VM: p.snap.Definition.VMID(i.Unit), Want: i.Want, ETag: etag, Rewrite: i.Rewrite,
	}
}

// begin stores that a write may be sent, sends it, and goes on as far as the
// platform has got with it.
func (p *pass) begin(ctx context.Context, i *pair.Intent, effect func(*pass, context.Context, *pair.Intent) (time.Duration, bool, error),
	send func(last func(context.Context) error) (pair.Operation, error),
) (time.Duration, bool, error) {
	was := i.State
	holds, err := p.writer(ctx, i)
	if errors.Is(err, pair.ErrBusy) {
		return writerRetry, false, nil // no attempt of ours: another pair is at work there
	}
	i.Attempts++
	if err != nil {
		p.failedBy(err)
		return 0, false, err
	}
	i.State = pair.IntentBegun
	if err := p.keep(ctx, *i, nil); err != nil {
		i.State = was // nothing was sent
		return 0, false, err
	}
	op, err := send(func(ctx context.Context) error {
		if err := holds(ctx); err != nil {
			p.failedBy(err)
			return err
		}
		return p.lastLook(ctx, i)
	})
	if err != nil {
		if notSent(err) {
			i.State = was
		}
		return 0, false, err
	}
	p.wasSent(i)
	i.Token, i.BegunAt = op.Token, p.now()
	if op.Done {
		p.free(ctx, *i)
		return effect(p, ctx, i)
	}
	return waitFor(op), false, nil
}

// lastLook asks the guard, then whether a person stopped everything, and then
// the lease. A last look that took long is none: what the guard saw must be
// fresh when the write leaves.
func (p *pass) lastLook(ctx context.Context, i *pair.Intent) error {
	began := p.Uptime()
	e, _ := executorOf(i.Kind) // or it would not be here
	if err := e.guard(p, ctx, i); err != nil {
		return err
	}
	if err := p.mayAct(ctx, i); err != nil {
		return err
	}
	if err := p.Store.Holds(ctx, p.snap, p.owner, p.now()); err != nil {
		return err
	}
	if took := p.Uptime() - began; took > lastLookMax {
		return fmt.Errorf("the last look before the write took %v: %w", took, pair.ErrBusy)
	}
	return nil
}

// mayAct asks once more, right before an effect, what the decision rested on and
// may have changed since: a person's stop, and our own fitness. To take back
// what is ours, and to say what is so, is always allowed.
func (p *pass) mayAct(ctx context.Context, i *pair.Intent) error {
	if i.Kind == pair.IntentRelease || i.Kind == pair.IntentTag {
		return nil
	}
	p.vigil.beat(p.now(), p.Uptime())
	if cause := p.vigil.blind(p.Uptime()); cause != pair.NotBlind {
		return fmt.Errorf("we do not trust ourselves, %s: %w", cause, errGuard)
	}
	stop, err := p.Store.Stop(ctx)
	switch {
	case err != nil:
		return fmt.Errorf("ask whether everything is stopped: %w: %w", pair.ErrBusy, err)
	case stop.In(p.now()):
		return fmt.Errorf("%s stopped everything: %w", stop.Owner, errGuard)
	default:
		return nil
	}
}

// notSent reports whether an error says that the write had no effect and never
// will have one.
func notSent(err error) bool {
	for _, kind := range []error{errGuard, pair.ErrConflict, pair.ErrBusy, pair.ErrThrottled, pair.ErrRefused, pair.ErrNotFound, pair.ErrInvalid, pair.ErrUnreadable, pair.ErrTooLarge} {
		if errors.Is(err, kind) {
			return !errors.Is(err, pair.ErrUnknownOutcome)
		}
	}
	return false
}

func waitFor(op pair.Operation) time.Duration {
	if op.After > 0 {
		return op.After
	}
	return pollEvery
}

// watch polls a running operation once, and looks at its effect when it ended.
func (p *pass) watch(ctx context.Context, i *pair.Intent, effect func(*pass, context.Context, *pair.Intent) (time.Duration, bool, error)) (time.Duration, bool, error) {
	op, err := p.Platform.Poll(ctx, i.Token)
	switch {
	case err != nil && passing(err):
		return max(pair.RetryAfter(err, 0), pollEvery), false, nil
	case err != nil:
		i.Token, i.Rewrite = "", i.Pool != "" // superseded, failed or lost: what reads as written may never take effect
		return 0, false, err
	case !op.Done:
		return waitFor(op), false, nil
	default:
		p.free(ctx, *i)
		return effect(p, ctx, i)
	}
}

// lookAtAdminState reads the world after a write that is called finished: success
// of the operation is not success of the change, and what the load balancer's
// document says is not what its data path does (azure.md 0 item 4). So its own
// view of the unit is asked too. It follows late: after a while, where it says
// nothing the document has to do, and where it contradicts the write is made
// again. None in the place of what was never seen agrees at once and means
// nothing: that is watched for lateFor, and written again when it comes.
func (p *pass) lookAtAdminState(ctx context.Context, i *pair.Intent) (time.Duration, bool, error) {
	i.Token, i.Rewrite = "", false
	seen, err := p.readPool(ctx, i, true)
	if err != nil {
		return 0, false, err
	}
	unit := p.snap.Definition.Units.Of(i.Unit)
	_, now, err := memberIn(seen, i, unit)
	switch {
	case err != nil:
		return 0, false, err
	case now != i.Want:
		return 0, false, fmt.Errorf("%s in pool %s reads %s after the write of %s was called finished: %w",
			i.Unit, i.Pool, now, i.Want, pair.ErrUnknownOutcome)
	}
	known, agrees := inEffect(seen, unit, i.Want)
	if i.BegunAt.IsZero() || i.BegunAt.After(p.now()) { // or a clock went back
		i.BegunAt = p.now()
	}
	release := i.Want == pair.AdminNone
	switch waited := p.now().Sub(i.BegunAt); {
	case release && i.Late && (agrees || !known) && waited < lateFor:
		every := lateEvery
		if p.in.Observation.Unit(i.Unit.Other()).Check.Answer != pair.CheckServing {
			every = pair.LookAgain
		}
		i.NotBefore = p.now().Add(every) // and not a wait in its place: the rest goes back meanwhile
		return 0, false, nil
	case agrees:
		return 0, true, nil
	case waited < effectPatience:
		return pair.LookAgain, false, nil
	case !known:
		i.Late = i.Late || !release // the document alone says that it is in place
		return 0, true, nil
	case release && i.Late:
		i.Rewrite = true
		p.Log.WarnContext(ctx, "an admin state of ours took effect after it was taken back, and is taken back again", "pair", p.name,
			"intent", i.ID, "unit", i.Unit.String(), "loadBalancer", i.LoadBalancer, "pool", i.Pool)
		return 0, false, nil
	}
	i.Rewrite, i.Late = true, !release
	return 0, false, fmt.Errorf("%s in pool %s reads %s, but the load balancer does not follow: %w", i.Unit, i.Pool, i.Want, pair.ErrUnknownOutcome)
}

// inEffect reports whether the load balancer's own view of a unit is known, and
// whether it agrees with an admin state. Where it stays unknown, reading the
// state back has to do.
func inEffect(seen pair.BalancerSeen, unit pair.Unit, want pair.AdminState) (known, agrees bool) {
	for _, h := range seen.Health {
		if h.Address != unit.Address {
			continue
		}
		if want == pair.AdminNone {
			return true, !strings.HasSuffix(h.Reason, "_Admin")
		}
		return true, h.Reason == want.String()+"_Admin"
	}
	return false, false
}

// passing reports whether an error says nothing of the thing that was asked for,
// so that the same question may be asked again as often as needed.
func passing(err error) bool {
	return errors.Is(err, pair.ErrThrottled) || errors.Is(err, pair.ErrUnreachable) || errors.Is(err, pair.ErrBusy)
}

func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// adminState reads the load balancer and returns the pool's version and the
// admin state of the intent's unit in it.
func (p *pass) adminState(ctx context.Context, i *pair.Intent) (etag string, state pair.AdminState, err error) {
	seen, err := p.readPool(ctx, i, false)
	if err != nil {
		return "", 0, err
	}
	return memberIn(seen, i, p.snap.Definition.Units.Of(i.Unit))
}

func memberIn(seen pair.BalancerSeen, i *pair.Intent, unit pair.Unit) (etag string, state pair.AdminState, err error) {
	for _, pool := range seen.Pools {
		for _, m := range pool.Members {
			if pool.Name == i.Pool && m.Address == unit.Address {
				return pool.ETag, m.Admin, nil
			}
		}
	}
	return "", 0, fmt.Errorf("%s in pool %s of %s: %w", i.Unit, i.Pool, i.LoadBalancer, errGone)
}

// readPool reads the load balancer of an intent as far as its pool. It goes by
// the intent alone: what we set must be found again when the definition no
// longer names the pool.
func (p *pass) readPool(ctx context.Context, i *pair.Intent, health bool) (pair.BalancerSeen, error) {
	seen, err := p.Platform.LoadBalancer(ctx, p.snap.Definition, pair.LoadBalancer{Name: i.LoadBalancer, Pools: []string{i.Pool}}, health)
	if err == nil {
		p.saw(seen)
	}
	return seen, err
}

// keep stores how far an intent has come.
func (p *pass) keep(ctx context.Context, i pair.Intent, why error) error {
	if why != nil {
		i.LastErr = why.Error()
	}
	return p.store(ctx, pair.Change{Record: p.snap.Record, PutIntents: []pair.Intent{i}})
}

// done closes an intent whose effect was seen, and changes the record with it.
func (p *pass) done(ctx context.Context, i pair.Intent) error {
	rec := p.snap.Record
	if e, _ := executorOf(i.Kind); e.done != nil {
		e.done(p, &rec, i)
	}
	p.did = append(p.did, i.String())
	i.State, i.LastErr, i.Token = pair.IntentDone, "", ""
	return p.close(ctx, i, rec)
}

// landed notes that an admin state of ours is known to be in place, and whether
// another write of it may still come.
func landed(_ *pass, rec *pair.Record, i pair.Intent) {
	rec.Admin = slices.Clone(rec.Admin)
	for n := range rec.Admin {
		if h := &rec.Admin[n]; holds(*h, i) {
			h.Landed, h.Late = true, h.Late || i.Late
		}
	}
}

// released forgets an admin state of ours. With that of a lever proof the proof
// is complete.
func released(_ *pass, rec *pair.Record, i pair.Intent) {
	for _, h := range rec.Admin {
		if !holds(h, i) || h.Lever != pair.LeverProve {
			continue
		}
		rec.Proofs = slices.Clone(rec.Proofs)
		for n := range rec.Proofs {
			if rec.Proofs[n].LoadBalancer == h.LoadBalancer && rec.Proofs[n].Pool == h.Pool {
				rec.Proofs[n].Back = true
			}
		}
	}
	rec.Admin = without(rec.Admin, i)
}

// powered opens the boot grace of a VM that we started.
func powered(p *pass, rec *pair.Record, i pair.Intent) {
	u := &rec.Units[i.Unit.Index()]
	u.StartedAt, u.Power = p.now(), pair.PowerSeen{}
}

// abandon gives an intent up. Where nothing of ours can stand there, because
// nothing was sent, or the place is gone, or what stands there is somebody
// else's, the hold is forgotten. Otherwise it runs out at once, so that the next
// pass takes back whatever came of it.
func (p *pass) abandon(ctx context.Context, i pair.Intent, why error) error {
	rec := p.snap.Record
	if i.State == pair.IntentOpen || errors.Is(why, errGone) || errors.Is(why, errForeign) {
		uncount(&rec, i)
		rec.Admin = without(rec.Admin, i)
	} else {
		rec.Admin = slices.Clone(rec.Admin)
		for n := range rec.Admin {
			if holds(rec.Admin[n], i) {
				rec.Admin[n].Deadline = p.now()
			}
		}
	}
	p.unsaved(&rec, i, why)
	p.uncompared(&rec, i, why)
	i.State, i.LastErr = pair.IntentAbandoned, why.Error()
	if i.Kind == pair.IntentRepair {
		return p.closeAll(ctx, i, rec, p.unrepaired(&rec, why))
	}
	return p.close(ctx, i, rec, p.untag(i, rec)...)
}

// untag takes the tag away with the last of our admin states on a load balancer
// that came to nothing: it would make ours what is somebody else's.
func (p *pass) untag(i pair.Intent, rec pair.Record) []pair.Intent {
	if i.Pool == "" || i.Kind == pair.IntentRelease || slices.ContainsFunc(rec.Admin, func(h pair.AdminHold) bool { return h.LoadBalancer == i.LoadBalancer }) {
		return nil
	}
	return []pair.Intent{{
		V: pair.Version, MinReader: pair.MinReader, ID: pair.ID(p.name, rec.Epoch, seqUntag+seqOf(i)), Epoch: rec.Epoch,
		Kind: pair.IntentTag, LoadBalancer: i.LoadBalancer, Reason: i.Reason,
	}}
}

// uncount takes back a move that was counted and came to nothing, unless
// another part of it did: hold-down is for what happened.
func uncount(rec *pair.Record, i pair.Intent) {
	if n := len(rec.Moves); i.Kind == pair.IntentMove && i.State == pair.IntentOpen && n > 0 {
		rec.Moves = rec.Moves[:n-1]
	}
	if i.State == pair.IntentOpen && (i.Kind == pair.IntentStart || i.Kind == pair.IntentRestart) {
		if powered := &rec.Units[i.Unit.Index()].Powered; len(*powered) > 0 {
			*powered = (*powered)[:len(*powered)-1]
		}
	}
	at := slices.IndexFunc(rec.Admin, func(h pair.AdminHold) bool { return holds(h, i) })
	if at < 0 || i.State != pair.IntentOpen || rec.Admin[at].Again {
		return
	}
	since := rec.Admin[at].Since
	if slices.ContainsFunc(rec.Admin, func(h pair.AdminHold) bool { return h.Since.Equal(since) && !holds(h, i) }) {
		return
	}
	rec.Moves = slices.DeleteFunc(slices.Clone(rec.Moves), func(t time.Time) bool { return t.Equal(since) })
}

// without drops the holds that are about the intent's backend address.
func without(all []pair.AdminHold, i pair.Intent) []pair.AdminHold {
	rest := slices.DeleteFunc(slices.Clone(all), func(h pair.AdminHold) bool { return holds(h, i) })
	if len(rest) == 0 {
		return nil
	}
	return rest
}

// holds reports whether a hold and an intent are about the same backend address.
func holds(h pair.AdminHold, i pair.Intent) bool {
	return h.LoadBalancer == i.LoadBalancer && h.Pool == i.Pool && h.Unit == i.Unit
}

// close takes an intent out of the open ones, with the record as it is then,
// and puts what happened into the journal and out to the subscribers.
func (p *pass) close(ctx context.Context, i pair.Intent, rec pair.Record, next ...pair.Intent) error {
	defer p.written(ctx, i)
	return p.store(ctx, pair.Change{Record: rec, PutIntents: next, DelIntents: []string{i.ID}, Outbox: closingPosts(p, i)})
}

// closeAll closes an intent together with those that rest on it.
func (p *pass) closeAll(ctx context.Context, i pair.Intent, rec pair.Record, ids []string) error {
	defer p.written(ctx, i)
	return p.store(ctx, pair.Change{Record: rec, DelIntents: ids, Outbox: closingPosts(p, i)})
}

func (p *pass) store(ctx context.Context, ch pair.Change) error {
	snap, err := p.Store.Commit(ctx, p.snap, ch)
	if err != nil {
		return err
	}
	p.snap = snap
	return nil
}
