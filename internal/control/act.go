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
	pair.IntentRelease: setAdminState,
}

// act carries out the open intents in the order of their ids. The first one
// that fails ends the pass: later ones may depend on it.
func (p *pass) act(ctx context.Context) error {
	for _, i := range slices.Clone(p.snap.Intents) {
		if err := p.actOn(ctx, i); err != nil {
			return fmt.Errorf("%s %s: %w", i.Kind, i.ID, err)
		}
	}
	return nil
}

func (p *pass) actOn(ctx context.Context, i pair.Intent) error {
	run, known := executors[i.Kind]
	if !known {
		return fmt.Errorf("intent of kind %s: %w", i.Kind, pair.ErrTooNew)
	}
	seen, err := run(ctx, p, &i)
	switch {
	case err == nil && seen:
		return p.close(ctx, i, pair.IntentDone, "")
	case err == nil:
		return p.keep(ctx, i, nil) // still running, the next look goes on
	case errors.Is(err, pair.ErrLeaseLost), errors.Is(err, pair.ErrStaleEpoch):
		return err // not ours any more: write nothing
	case errors.Is(err, errGuard):
		return p.close(ctx, i, pair.IntentAbandoned, err.Error())
	case i.Attempts >= attemptsMax:
		return errors.Join(p.close(ctx, i, pair.IntentAbandoned, err.Error()), err)
	default:
		return errors.Join(p.keep(ctx, i, err), err)
	}
}

// fence looks once more at both units before it touches the load balancer. The
// decision's evidence may be some seconds old by now, and the last unit that
// serves is never set Down.
func fence(ctx context.Context, p *pass, i *pair.Intent) (bool, error) {
	if i.State == pair.IntentOpen {
		for _, r := range []pair.Role{i.Unit.Other(), i.Unit} {
			if seen := p.askCheckPort(ctx, &p.snap.Definition, r); seen.Answer != pair.CheckServing {
				return false, fmt.Errorf("%s answered %s just before the fence: %w", r, seen.Answer, errGuard)
			}
		}
	}
	return setAdminState(ctx, p, i)
}

// setAdminState brings one backend address to the wanted admin state: read,
// write the difference with If-Match, wait, read again. Only the last reading
// counts as done.
func setAdminState(ctx context.Context, p *pass, i *pair.Intent) (bool, error) {
	if i.Token != "" {
		return p.watch(ctx, i)
	}
	etag, now, err := p.adminState(ctx, i)
	if err != nil || now == i.Want && !i.Rewrite {
		return err == nil, err
	}
	i.Attempts++
	i.State = pair.IntentBegun
	if err := p.keep(ctx, *i, nil); err != nil {
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
			if !errors.Is(err, pair.ErrThrottled) && !errors.Is(err, pair.ErrUnreachable) {
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
	d := &p.snap.Definition
	at := slices.IndexFunc(d.LoadBalancers, func(lb pair.LoadBalancer) bool { return lb.Name == i.LoadBalancer })
	if at < 0 {
		return "", 0, fmt.Errorf("load balancer %s is not part of pair %s any more: %w", i.LoadBalancer, p.name, pair.ErrNotFound)
	}
	seen, err := p.Platform.LoadBalancer(ctx, *d, d.LoadBalancers[at], false)
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

// close ends an intent: the hold that a release took back is forgotten, and
// what happened goes into the journal and out to the subscribers.
func (p *pass) close(ctx context.Context, i pair.Intent, state pair.IntentState, why string) error {
	i.State, i.LastErr = state, why
	ch := pair.Change{Record: p.snap.Record, DelIntents: []string{i.ID}, Outbox: closingPosts(p, i)}
	if i.Kind == pair.IntentRelease && state == pair.IntentDone {
		ch.Record.Admin = slices.DeleteFunc(slices.Clone(ch.Record.Admin), func(h pair.AdminHold) bool {
			return h.LoadBalancer == i.LoadBalancer && h.Pool == i.Pool && h.Unit == i.Unit
		})
		if len(ch.Record.Admin) == 0 {
			ch.Record.Admin = nil
		}
	}
	if state == pair.IntentDone {
		p.done = append(p.done, fmt.Sprintf("%s %s is %s in %s/%s", i.Kind, i.Unit, i.Want, i.LoadBalancer, i.Pool))
	}
	return p.store(ctx, ch)
}

func (p *pass) store(ctx context.Context, ch pair.Change) error {
	snap, err := p.Store.Commit(ctx, p.snap, ch)
	if err != nil {
		return err
	}
	p.snap = snap
	return nil
}
