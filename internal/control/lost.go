package control

import (
	"context"
	"fmt"

	"tandem/internal/pair"
)

// Standing names the pairs for which this process knows an admin state of ours
// to stand.
func (c *Controller) Standing() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []string
	for name, m := range c.known {
		if m.standing != nil {
			out = append(out, name)
		}
	}
	return out
}

// withoutStore is what is left to do for a pair whose state cannot be read: if
// an admin state of ours stands by what this process remembers, and the unit
// that it leaves to serve does so no more, or its time is over, it goes back to
// None. That needs no store, because it is the platform's own state and the one
// thing that is allowed in every mode (DESIGN promise 3). Nothing is remembered
// of it: when the store returns, the record says that it stands, the load
// balancer says that it does not, and the table judges that.
func (p *pass) withoutStore(ctx context.Context, why error) error {
	p.mu.Lock()
	snap := p.memory().standing
	p.mu.Unlock()
	if snap == nil {
		return why
	}
	p.snap = *snap
	p.look(ctx)
	var left []pair.AdminHold
	for _, h := range snap.Record.Admin {
		other := p.in.Observation.Unit(h.Unit.Other())
		if h.Fence() && other.Check.Answer == pair.CheckServing && p.now().Before(h.Deadline) {
			left = append(left, h)
			continue
		}
		if err := p.takeBack(ctx, h); err != nil {
			p.Log.ErrorContext(ctx, "an admin state of ours could not be taken back without the store", "pair", p.name,
				"unit", h.Unit.String(), "loadBalancer", h.LoadBalancer, "pool", h.Pool, "error", err.Error())
			left = append(left, h)
			continue
		}
		p.did = append(p.did, fmt.Sprintf("%s is None in %s/%s, without the store", h.Unit, h.LoadBalancer, h.Pool))
	}
	p.snap.Record.Admin = left
	return why
}

// takeBack sets one admin state back to None, if it is still there and the load
// balancer's tag says that it is ours.
func (p *pass) takeBack(ctx context.Context, h pair.AdminHold) error {
	i := &pair.Intent{LoadBalancer: h.LoadBalancer, Pool: h.Pool, Unit: h.Unit, Want: pair.AdminNone}
	seen, err := p.readPool(ctx, i, false)
	if err != nil {
		return err
	}
	etag, now, err := memberIn(seen, i, p.snap.Definition.Units.Of(i.Unit))
	if err != nil || now != h.State {
		return err
	}
	if !pair.Tagged(&seen, p.name, h) {
		return fmt.Errorf("%s reads %s, and no tag of the load balancer says that it is ours: %w", i.Unit, now, errForeign)
	}
	_, err = p.Platform.BeginAdminState(ctx, p.change(i, etag), func(context.Context) error { return nil })
	return err
}
