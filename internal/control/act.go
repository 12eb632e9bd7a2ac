package control

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
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
	// pollEvery is how often a running operation is asked for when the
	// platform does not say.
	pollEvery = 2 * time.Second
	// lastLookMax is how long the last look before a write may take; with it the
	// evidence for a fence is under five seconds old (DESIGN promise 2).
	lastLookMax = 4 * time.Second
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
)

// guards says what is asked right before an effect. It has exactly one entry for
// every kind of intent, which a test compares with pair.IntentKinds; a kind
// without one is not carried out.
var guards = map[pair.IntentKind]func(*pass, context.Context, *pair.Intent) error{
	pair.IntentFence:   (*pass).fenceAllowed,
	pair.IntentRelease: func(*pass, context.Context, *pair.Intent) error { return nil }, // nothing can speak against it
}

// act carries out the open intents. Load balancers do not wait for each other,
// but on each there is one write at a time, because a second one would cancel
// the first (azure.md 0 item 1). Only a pass that has lost the pair ends at
// once; what fails otherwise stays open and is tried again by a later look.
func (p *pass) act(ctx context.Context) error {
	until := p.now().Add(patience)
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
		if p.now().Add(soonest).After(until) || wait(ctx, soonest) != nil {
			return nil // still running: the next look goes on
		}
	}
}

// next picks one intent of each load balancer: the one whose write is running,
// or else the first that may begin now.
func (p *pass) next() []pair.Intent {
	var out []pair.Intent
	for _, i := range p.snap.Intents {
		at := slices.IndexFunc(out, func(o pair.Intent) bool { return o.LoadBalancer == i.LoadBalancer })
		switch {
		case i.Token == "" && i.NotBefore.After(p.now()):
		case at < 0:
			out = append(out, i)
		case i.Token != "" && out[at].Token == "":
			out[at] = i
		}
	}
	return out
}

// step carries one intent one step further and stores how far it came. It
// returns how long to wait for a running write, and an error only where the
// pair is another pass's by now or cannot be stored.
func (p *pass) step(ctx context.Context, i pair.Intent) (time.Duration, error) {
	guard, known := guards[i.Kind]
	if !known {
		return 0, fmt.Errorf("intent of kind %s: %w", i.Kind, pair.ErrTooNew)
	}
	after, seen, err := p.setAdminState(ctx, &i, guard)
	switch {
	case lost(err):
		return 0, err // not ours any more: write nothing
	case err == nil && seen:
		return 0, p.done(ctx, i)
	case err == nil && i.Token == p.tokenOf(i.ID):
		return after, nil // nothing new to store
	case err == nil:
		return after, p.keep(ctx, i, nil)
	case errors.Is(err, errGone), errors.Is(err, errForeign), errors.Is(err, errGuard),
		i.Kind == pair.IntentFence && i.Attempts >= attemptsMax:
		p.complain(ctx, i, err)
		return 0, p.abandon(ctx, i, err)
	default:
		p.complain(ctx, i, err)
		i.NotBefore = p.now().Add(max(pair.RetryAfter(err, 0), p.backoff(i.Attempts)))
		return 0, p.keep(ctx, i, err)
	}
}

// tokenOf is the token with which an intent is stored.
func (p *pass) tokenOf(id string) string {
	for _, i := range p.snap.Intents {
		if i.ID == id {
			return i.Token
		}
	}
	return ""
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

// fenceAllowed looks once more at both units, right before the write of Down.
// The decision's evidence may be some seconds old by then, and the last unit
// that serves is never set Down.
func (p *pass) fenceAllowed(ctx context.Context, i *pair.Intent) error {
	if !p.now().Before(i.Deadline) {
		return fmt.Errorf("its deadline %s has passed: %w", i.Deadline.Format(time.TimeOnly), errGuard)
	}
	answers := [2]pair.CheckSeen{}
	both := make([]func(), 0, 2)
	for _, r := range pair.Roles {
		both = append(both, func() { answers[r.Index()] = p.askCheckPort(ctx, &p.snap.Definition, r) })
	}
	atOnce(both)
	for _, r := range pair.Roles {
		if seen := answers[r.Index()]; seen.Answer != pair.CheckServing {
			return fmt.Errorf("%s answered %s just before the fence: %w", r, seen.Answer, errGuard)
		}
	}
	return nil
}

// setAdminState brings one backend address to the wanted admin state: read,
// write the difference with If-Match, poll, read again. Only the last reading
// counts as done.
//
// That a write may be sent is stored before it is sent. The lease and the guard
// are looked at right before the bytes leave, when everything slow is over.
func (p *pass) setAdminState(ctx context.Context, i *pair.Intent, guard func(*pass, context.Context, *pair.Intent) error) (after time.Duration, seen bool, err error) {
	if i.Token != "" {
		return p.watch(ctx, i)
	}
	etag, now, err := p.adminState(ctx, i)
	switch {
	case err != nil:
		i.Attempts++
		return 0, false, err
	case now == i.Want && i.State == pair.IntentOpen && i.Kind == pair.IntentFence:
		return 0, false, fmt.Errorf("%s reads %s, and we have not written it: %w", i.Unit, now, errForeign)
	case now == pair.AdminUp:
		return 0, false, fmt.Errorf("%s reads %s: %w", i.Unit, now, errForeign)
	case now == i.Want && !i.Rewrite:
		return 0, true, nil
	}
	was := i.State
	i.Attempts++
	i.State = pair.IntentBegun
	if err := p.keep(ctx, *i, nil); err != nil {
		return 0, false, err
	}
	op, err := p.Platform.BeginAdminState(ctx, pair.AdminChange{
		LoadBalancer: p.snap.Definition.LoadBalancerID(i.LoadBalancer), Pool: i.Pool,
		Address: p.snap.Definition.Units.Of(i.Unit).Address, Want: i.Want, ETag: etag, Rewrite: i.Rewrite,
	}, func(ctx context.Context) error { return p.lastLook(ctx, i, guard) })
	if err != nil {
		if notSent(err) {
			i.State = was
		}
		return 0, false, err
	}
	i.Token, i.BegunAt = op.Token, p.now()
	if op.Done {
		return p.lookAtEffect(ctx, i)
	}
	return waitFor(op), false, nil
}

// lastLook asks the guard and then the lease. A last look that took long is none:
// what the guard saw must be fresh when the write leaves.
func (p *pass) lastLook(ctx context.Context, i *pair.Intent, guard func(*pass, context.Context, *pair.Intent) error) error {
	began := p.now()
	if err := guard(p, ctx, i); err != nil {
		return err
	}
	if err := p.Store.Holds(ctx, p.snap, p.owner, p.now()); err != nil {
		return err
	}
	if took := p.now().Sub(began); took > lastLookMax {
		return fmt.Errorf("the last look before the write took %v: %w", took, pair.ErrBusy)
	}
	return nil
}

// notSent reports whether an error says that the write had no effect and never
// will have one.
func notSent(err error) bool {
	for _, kind := range []error{errGuard, pair.ErrConflict, pair.ErrBusy, pair.ErrThrottled, pair.ErrRefused, pair.ErrNotFound, pair.ErrInvalid, pair.ErrUnreadable} {
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

// watch polls a running write once.
func (p *pass) watch(ctx context.Context, i *pair.Intent) (time.Duration, bool, error) {
	op, err := p.Platform.Poll(ctx, i.Token)
	switch {
	case err != nil && passing(err):
		return max(pair.RetryAfter(err, 0), pollEvery), false, nil
	case err != nil:
		i.Token = "" // superseded, failed or lost: look at the world and begin again
		return 0, false, err
	case !op.Done:
		return waitFor(op), false, nil
	default:
		return p.lookAtEffect(ctx, i)
	}
}

// lookAtEffect reads the world after a write that is called finished: success
// of the operation is not success of the change. A finished write of ours has
// superseded whatever was on its way, so reading counts again from here on.
func (p *pass) lookAtEffect(ctx context.Context, i *pair.Intent) (time.Duration, bool, error) {
	i.Token, i.Rewrite = "", false
	_, now, err := p.adminState(ctx, i)
	if err == nil && now != i.Want {
		err = fmt.Errorf("%s in pool %s reads %s after the write of %s was called finished: %w",
			i.Unit, i.Pool, now, i.Want, pair.ErrUnknownOutcome)
	}
	return 0, err == nil, err
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
// admin state of the intent's unit in it. It goes by the intent alone: what we
// set must be found again when the definition no longer names the pool.
func (p *pass) adminState(ctx context.Context, i *pair.Intent) (etag string, state pair.AdminState, err error) {
	d := &p.snap.Definition
	seen, err := p.Platform.LoadBalancer(ctx, *d, pair.LoadBalancer{Name: i.LoadBalancer, Pools: []string{i.Pool}}, false)
	if err != nil {
		return "", 0, err
	}
	for _, pool := range seen.Pools {
		for _, m := range pool.Members {
			if pool.Name == i.Pool && m.Address == d.Units.Of(i.Unit).Address {
				return pool.ETag, m.Admin, nil
			}
		}
	}
	return "", 0, fmt.Errorf("%s in pool %s of %s: %w", i.Unit, i.Pool, i.LoadBalancer, errGone)
}

// keep stores how far an intent has come.
func (p *pass) keep(ctx context.Context, i pair.Intent, why error) error {
	if why != nil {
		i.LastErr = why.Error()
	}
	return p.store(ctx, pair.Change{Record: p.snap.Record, PutIntents: []pair.Intent{i}})
}

// done closes an intent whose effect was seen. The hold of a fence is known to
// be in place from here on, and that of a release is forgotten.
func (p *pass) done(ctx context.Context, i pair.Intent) error {
	rec := p.snap.Record
	if i.Kind == pair.IntentRelease {
		rec.Admin = without(rec.Admin, i)
	} else {
		rec.Admin = slices.Clone(rec.Admin)
		for n := range rec.Admin {
			rec.Admin[n].Landed = rec.Admin[n].Landed || holds(rec.Admin[n], i)
		}
	}
	p.did = append(p.did, fmt.Sprintf("%s %s is %s in %s/%s", i.Kind, i.Unit, i.Want, i.LoadBalancer, i.Pool))
	i.State, i.LastErr = pair.IntentDone, ""
	return p.close(ctx, i, rec)
}

// abandon gives an intent up. Where nothing of ours can stand there, because
// nothing was sent, or the place is gone, or what stands there is somebody
// else's, the hold is forgotten. Otherwise it runs out at once, so that the next
// pass takes back whatever came of it.
func (p *pass) abandon(ctx context.Context, i pair.Intent, why error) error {
	rec := p.snap.Record
	if i.State == pair.IntentOpen || errors.Is(why, errGone) || errors.Is(why, errForeign) {
		rec.Admin = without(rec.Admin, i)
	} else {
		rec.Admin = slices.Clone(rec.Admin)
		for n := range rec.Admin {
			if holds(rec.Admin[n], i) {
				rec.Admin[n].Deadline = p.now()
			}
		}
	}
	i.State, i.LastErr = pair.IntentAbandoned, why.Error()
	return p.close(ctx, i, rec)
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
func (p *pass) close(ctx context.Context, i pair.Intent, rec pair.Record) error {
	return p.store(ctx, pair.Change{Record: rec, DelIntents: []string{i.ID}, Outbox: closingPosts(p, i)})
}

func (p *pass) store(ctx context.Context, ch pair.Change) error {
	snap, err := p.Store.Commit(ctx, p.snap, ch)
	if err != nil {
		return err
	}
	p.snap = snap
	return nil
}
