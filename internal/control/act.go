package control

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"tandem/internal/pair"
)

const (
	// attemptsMax is how often an intent is tried before it is given up and
	// reported.
	attemptsMax = 6
	// patience is how long one pass watches a running operation before it
	// leaves it to the next message; no invocation waits longer than 20 s.
	patience = 10 * time.Second
	// pollEvery is how often a running operation is asked for when the
	// platform does not say.
	pollEvery = 2 * time.Second
)

// errGuard means that a last look just before the effect spoke against it.
var errGuard = errors.New("a last look spoke against it")

// executor carries one intent one step further. It is safe to repeat: it looks
// at the world first and writes only the difference. It returns true when the
// effect was seen.
type executor func(ctx context.Context, p *pass, i *pair.Intent) (seen bool, err error)

// executors has exactly one entry for every kind of intent; a test compares it
// with pair.IntentKinds.
var executors = map[pair.IntentKind]executor{
	pair.IntentFence:   fence,
	pair.IntentRelease: release,
}

// act carries out the open intents in the order of their ids. None waits for
// another: a pool that is gone must not keep what we set in the next one
// standing. Only a pass that has lost the pair ends at once.
func (p *pass) act(ctx context.Context) error {
	var errs []error
	for _, i := range slices.Clone(p.snap.Intents) {
		err := p.actOn(ctx, i)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s %s: %w", i.Kind, i.ID, err))
		}
		if lost(err) {
			break
		}
	}
	return errors.Join(errs...)
}

// lost reports whether the pair is another pass's by now.
func lost(err error) bool {
	return errors.Is(err, pair.ErrLeaseLost) || errors.Is(err, pair.ErrStaleEpoch)
}

func (p *pass) actOn(ctx context.Context, i pair.Intent) error {
	run, known := executors[i.Kind]
	if !known {
		return fmt.Errorf("intent of kind %s: %w", i.Kind, pair.ErrTooNew)
	}
	seen, err := run(ctx, p, &i)
	switch {
	case err == nil && seen:
		return p.done(ctx, i)
	case err == nil:
		return p.keep(ctx, i, nil) // still running, the next look goes on
	case lost(err):
		return err // not ours any more: write nothing
	case errors.Is(err, errGuard):
		return p.abandon(ctx, i, err)
	case i.Attempts >= attemptsMax:
		return errors.Join(p.abandon(ctx, i, err), err)
	default:
		return errors.Join(p.keep(ctx, i, err), err)
	}
}

// fence sets the loser Down, if a last look at both units allows it.
func fence(ctx context.Context, p *pass, i *pair.Intent) (bool, error) {
	return p.setAdminState(ctx, i, p.bothServe)
}

// release sets an admin state of ours back to None. Nothing can speak against
// that.
func release(ctx context.Context, p *pass, i *pair.Intent) (bool, error) {
	return p.setAdminState(ctx, i, func(context.Context) error { return nil })
}

// bothServe looks once more at both units, right before each write of Down. The
// decision's evidence may be some seconds old by then, and the last unit that
// serves is never set Down.
func (p *pass) bothServe(ctx context.Context) error {
	for _, r := range pair.Roles {
		if seen := p.askCheckPort(ctx, &p.snap.Definition, r); seen.Answer != pair.CheckServing {
			return fmt.Errorf("%s answered %s just before the fence: %w", r, seen.Answer, errGuard)
		}
	}
	return nil
}

// setAdminState brings one backend address to the wanted admin state: read,
// write the difference with If-Match, wait, read again. Only the last reading
// counts as done.
//
// That a write begins is stored before the guard speaks and before the lease is
// looked at, so that nothing slow stands between these and the write.
func (p *pass) setAdminState(ctx context.Context, i *pair.Intent, guard func(context.Context) error) (bool, error) {
	if i.Token != "" {
		return p.watch(ctx, i)
	}
	etag, now, err := p.adminState(ctx, i)
	if err != nil {
		if !passing(err) {
			i.Attempts++
		}
		return false, err
	}
	if now == i.Want && !i.Rewrite {
		return true, nil
	}
	was := i.State
	i.Attempts++
	i.State = pair.IntentBegun
	if err := p.keep(ctx, *i, nil); err != nil {
		return false, err
	}
	if err := guard(ctx); err != nil {
		i.State = was // nothing was sent by this attempt
		return false, err
	}
	if err := p.Store.Holds(ctx, p.snap, p.owner, p.now()); err != nil {
		return false, err
	}
	op, err := p.Platform.BeginAdminState(ctx, pair.AdminChange{
		LoadBalancer: p.snap.Definition.LoadBalancerID(i.LoadBalancer), Pool: i.Pool,
		Address: p.snap.Definition.Units.Of(i.Unit).Address, Want: i.Want, ETag: etag, Rewrite: i.Rewrite,
	})
	if err != nil {
		return false, err
	}
	i.Token, i.BegunAt, i.Rewrite = op.Token, p.now(), false
	if err := p.keep(ctx, *i, nil); err != nil {
		return false, err
	}
	return p.watch(ctx, i)
}

// watch polls a running operation for a while. When it ends, the world is read
// again: success of the operation is not success of the change.
func (p *pass) watch(ctx context.Context, i *pair.Intent) (bool, error) {
	until := p.now().Add(patience)
	for i.Token != "" {
		op, err := p.Platform.Poll(ctx, i.Token)
		if err != nil {
			if !passing(err) {
				i.Token = "" // superseded, failed or lost: look at the world and begin again
			}
			return false, err
		}
		if op.Done {
			i.Token = ""
			break
		}
		after := op.After
		if after == 0 {
			after = pollEvery
		}
		if p.now().Add(after).After(until) {
			return false, nil
		}
		if err := wait(ctx, after); err != nil {
			return false, nil
		}
	}
	_, now, err := p.adminState(ctx, i)
	if err == nil && now != i.Want {
		return false, fmt.Errorf("%s in pool %s reads %s after the write of %s was called finished: %w",
			i.Unit, i.Pool, now, i.Want, pair.ErrUnknownOutcome)
	}
	return err == nil, err
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
	return "", 0, fmt.Errorf("%s is not in pool %s of %s: %w", i.Unit, i.Pool, i.LoadBalancer, pair.ErrNotFound)
}

// keep stores how far an intent has come.
func (p *pass) keep(ctx context.Context, i pair.Intent, why error) error {
	if why != nil {
		i.LastErr = why.Error()
	}
	return p.store(ctx, pair.Change{Record: p.snap.Record, PutIntents: []pair.Intent{i}})
}

// done closes an intent whose effect was seen. The hold that a release took
// back is forgotten.
func (p *pass) done(ctx context.Context, i pair.Intent) error {
	rec := p.snap.Record
	if i.Kind == pair.IntentRelease {
		rec.Admin = slices.DeleteFunc(slices.Clone(rec.Admin), func(h pair.AdminHold) bool { return holds(h, i) })
		if len(rec.Admin) == 0 {
			rec.Admin = nil
		}
	}
	p.did = append(p.did, fmt.Sprintf("%s %s is %s in %s/%s", i.Kind, i.Unit, i.Want, i.LoadBalancer, i.Pool))
	i.State, i.LastErr = pair.IntentDone, ""
	return p.close(ctx, i, rec)
}

// abandon gives an intent up. The hold of a fence runs out at once, so that the
// next pass takes back whatever came of it. A fence of which a write was sent
// stays open until then, because the release must supersede what may still be
// on its way.
func (p *pass) abandon(ctx context.Context, i pair.Intent, why error) error {
	rec := p.snap.Record
	if i.Kind == pair.IntentFence {
		rec.Admin = slices.Clone(rec.Admin)
		for n := range rec.Admin {
			if holds(rec.Admin[n], i) {
				rec.Admin[n].Deadline = p.now()
			}
		}
	}
	i.LastErr = why.Error()
	if i.Kind == pair.IntentFence && i.State == pair.IntentBegun {
		return p.store(ctx, pair.Change{Record: rec, PutIntents: []pair.Intent{i}})
	}
	i.State = pair.IntentAbandoned
	return p.close(ctx, i, rec)
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
