package control

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"tandem/internal/pair"
)

// proofEnds is how long before its deadline a proof is given up, so that it is
// said why before the table takes it back.
const proofEnds = 20 * time.Second

// setTag says on the load balancer what of ours stands on it, or that nothing
// does any more. It is done when the tag was seen.
func (p *pass) setTag(ctx context.Context, i *pair.Intent) (time.Duration, bool, error) {
	if i.Token != "" {
		return p.watch(ctx, i, (*pass).lookAtTag)
	}
	return p.begin(ctx, i, (*pass).lookAtTag, func(last func(context.Context) error) (pair.Operation, error) {
		d := &p.snap.Definition
		return p.Platform.SetTag(ctx, d.LoadBalancerID(i.LoadBalancer), pair.TagName(d.Name), i.Tag, last)
	})
}

// lookAtTag believes an operation that is called done, because the adapter
// reads a tag back; one that ran on is read here.
func (p *pass) lookAtTag(ctx context.Context, i *pair.Intent) (time.Duration, bool, error) {
	if i.Token == "" {
		return 0, true, nil
	}
	i.Token = ""
	seen, err := p.Platform.LoadBalancer(ctx, p.snap.Definition, pair.LoadBalancer{Name: i.LoadBalancer}, false)
	if err == nil && seen.Tags[pair.TagName(p.name)] != i.Tag {
		err = fmt.Errorf("the tag of %s reads %q: %w", i.LoadBalancer, seen.Tags[pair.TagName(p.name)], pair.ErrUnknownOutcome)
	}
	return 0, err == nil, err
}

// proveLever makes the two halves of a lever proof on one pool: a write with a
// wrong ETag must be refused, and a Down on the standby must show in the load
// balancer's own view. That it goes back is seen when it is released.
func (p *pass) proveLever(ctx context.Context, i *pair.Intent) (time.Duration, bool, error) {
	if i.State == pair.IntentOpen && i.Token == "" {
		if err := p.proveIfMatch(ctx, i); err != nil {
			return 0, false, err
		}
	}
	if i.Deadline.Sub(p.now()) < proofEnds {
		return 0, false, fmt.Errorf("the load balancer never showed that %s is Down: %w", i.Unit, errNeverAgain)
	}
	return p.setAdminState(ctx, i)
}

// proveIfMatch makes the write that must be refused. Who may write at all, and
// whether it may be now, is asked first, as before any write.
func (p *pass) proveIfMatch(ctx context.Context, i *pair.Intent) error {
	etag, _, err := p.adminState(ctx, i)
	if err != nil {
		i.Attempts++
		return err
	}
	if err := p.lastLook(ctx, i); err != nil {
		return err
	}
	if err := p.Platform.ProveIfMatch(ctx, p.change(i, etag)); errors.Is(err, pair.ErrInvalid) {
		return fmt.Errorf("%w: %w", errNeverAgain, err)
	} else if err != nil {
		i.Attempts++
		return err
	}
	return nil
}

// shown remembers a proof, complete but for the way back.
func shown(p *pass, rec *pair.Record, i pair.Intent) {
	landed(p, rec, i)
	by := pair.OwnerTandem
	for _, h := range rec.Admin {
		if holds(h, i) {
			by = h.Owner
		}
	}
	rec.Proofs = slices.DeleteFunc(slices.Clone(rec.Proofs), func(l pair.LeverProof) bool {
		return l.LoadBalancer == i.LoadBalancer && l.Pool == i.Pool
	})
	rec.Proofs = append(rec.Proofs, pair.LeverProof{LoadBalancer: i.LoadBalancer, Pool: i.Pool, At: p.now(), By: by})
}

// setPreference sets one unit's preference. The adapter reads it back.
func (p *pass) setPreference(ctx context.Context, i *pair.Intent) (time.Duration, bool, error) {
	i.Attempts++
	i.State = pair.IntentBegun
	if err := p.keep(ctx, *i, nil); err != nil {
		return 0, false, err
	}
	if err := p.lastLook(ctx, i); err != nil {
		return 0, false, err
	}
	report, err := p.Units.Prefer(ctx, p.snap.Definition.Units.Of(i.Unit), i.Prefer)
	if err == nil && report.Preferred != i.Prefer {
		err = fmt.Errorf("the preference of %s reads %s: %w", i.Unit, report.Preferred, pair.ErrUnknownOutcome)
	}
	return 0, err == nil, err
}

// startVM starts a unit's VM. To start one that runs changes nothing, so an
// attempt of which nothing is known is simply made again.
func (p *pass) startVM(ctx context.Context, i *pair.Intent) (time.Duration, bool, error) {
	if i.Token != "" {
		return p.watch(ctx, i, (*pass).lookAtStart)
	}
	if i.State == pair.IntentBegun {
		if _, running, err := p.lookAtStart(ctx, i); err == nil && running {
			return 0, true, nil
		}
	}
	return p.begin(ctx, i, (*pass).lookAtStart, func(last func(context.Context) error) (pair.Operation, error) {
		return p.Platform.BeginStart(ctx, p.snap.Definition.VMID(i.Unit), last)
	})
}

// lookAtStart reads the power state: success of the operation is not success of
// the change.
func (p *pass) lookAtStart(ctx context.Context, i *pair.Intent) (time.Duration, bool, error) {
	i.Token = ""
	seen, err := p.Platform.Power(ctx, p.snap.Definition.VMID(i.Unit))
	if err == nil && seen.Power != pair.PowerRunning {
		err = fmt.Errorf("the VM of %s reads %s after its start was called finished: %w", i.Unit, seen.Power, pair.ErrUnknownOutcome)
	}
	return 0, err == nil, err
}

// restartVM restarts a unit's VM, once: where it is not known whether the
// request went out, it may be booting already, and the table asks again in its
// time.
func (p *pass) restartVM(ctx context.Context, i *pair.Intent) (time.Duration, bool, error) {
	over := func(*pass, context.Context, *pair.Intent) (time.Duration, bool, error) { return 0, true, nil }
	switch {
	case i.Token != "":
		return p.watch(ctx, i, over)
	case i.State == pair.IntentBegun:
		return 0, false, fmt.Errorf("it is not known whether the restart of %s was sent: %w", i.Unit, errNeverAgain)
	}
	return p.begin(ctx, i, over, func(last func(context.Context) error) (pair.Operation, error) {
		return p.Platform.BeginRestart(ctx, p.snap.Definition.VMID(i.Unit), last)
	})
}
