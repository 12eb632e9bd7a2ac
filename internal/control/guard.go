package control

import (
	"context"
	"fmt"

	"tandem/internal/pair"
)

// answers asks both check ports now. The decision's evidence may be some
// seconds old by the time of an effect.
func (p *pass) answers(ctx context.Context) (answers [2]pair.CheckAnswer) {
	asks := make([]func(), 0, 2)
	for _, r := range pair.Roles {
		asks = append(asks, func() { answers[r.Index()] = p.askCheckPort(ctx, &p.snap.Definition, r).Answer })
	}
	atOnce(asks)
	return answers
}

// expired refuses what should have been done by now. What is renewed by proof while
// its write is still being made has the time of its hold.
func (p *pass) expired(i *pair.Intent) error {
	deadline := i.Deadline
	for _, h := range p.snap.Record.Admin {
		if holds(h, *i) && h.Deadline.After(deadline) {
			deadline = h.Deadline
		}
	}
	if !deadline.IsZero() && !p.now().Before(deadline) {
		return fmt.Errorf("its deadline %s has passed: %w", deadline.Format("15:04:05"), errGuard)
	}
	return nil
}

// fenceAllowed looks once more at both units, right before the write of Down:
// the last unit that serves is never set Down.
func (p *pass) fenceAllowed(ctx context.Context, i *pair.Intent) error {
	if err := p.expired(i); err != nil {
		return err
	}
	for n, answer := range p.answers(ctx) {
		if answer != pair.CheckServing {
			return fmt.Errorf("%s answered %s just before the fence: %w", pair.Roles[n], answer, errGuard)
		}
	}
	return nil
}

// proofAllowed wants the unit that is set Down to serve nobody, and the other
// one to serve.
func (p *pass) proofAllowed(ctx context.Context, i *pair.Intent) error {
	if err := p.expired(i); err != nil {
		return err
	}
	a := p.answers(ctx)
	if down, up := a[i.Unit.Index()], a[i.Unit.Other().Index()]; down != pair.CheckIdle || up != pair.CheckServing {
		return fmt.Errorf("%s answered %s and %s %s just before the proof: %w", i.Unit, down, i.Unit.Other(), up, errGuard)
	}
	return nil
}

// upAllowed wants nobody to answer 200, and the unit to prove that it forwards.
func (p *pass) upAllowed(ctx context.Context, i *pair.Intent) error {
	if err := p.expired(i); err != nil {
		return err
	}
	a := p.answers(ctx)
	if a[0] == pair.CheckServing || a[1] == pair.CheckServing {
		return fmt.Errorf("first answered %s and second %s: %w", a[0], a[1], errGuard)
	}
	if seen := p.askService(ctx, &p.snap.Definition, i.Unit); seen.Answer != pair.ServicePassed {
		return fmt.Errorf("%s did not pass check %q just before: %w", i.Unit, seen.Check, errGuard)
	}
	return nil
}

// preferenceAllowed keeps a preference for first from pulling the active state
// away from a second unit that serves. It also keeps credentials resting that the
// unit refused: a preference is written with a login as well.
func (p *pass) preferenceAllowed(ctx context.Context, i *pair.Intent) error {
	if r := p.snap.Record.Units[i.Unit.Index()].Refusal; r.In(p.now()) {
		return fmt.Errorf("%s refused our credentials, which rest until %s: %w", i.Unit, r.Until.Format("15:04:05"), errGuard)
	}
	if i.Prefer != pair.PreferFirst || i.Job != "" && p.drained() {
		return nil
	}
	if a := p.answers(ctx); a[1] == pair.CheckServing {
		return fmt.Errorf("second answered %s: %w", a[1], errGuard)
	}
	return nil
}

// startAllowed wants the VM to be switched off still.
func (p *pass) startAllowed(ctx context.Context, i *pair.Intent) error {
	seen, err := p.Platform.Power(ctx, p.snap.Definition.VMID(i.Unit))
	switch {
	case err != nil:
		return err
	case seen.Power != pair.PowerStopped && seen.Power != pair.PowerDeallocated:
		return fmt.Errorf("the VM of %s is %s by now: %w", i.Unit, seen.Power, errGuard)
	case i.By == pair.OwnerTandem && !p.startsAlone(i.Unit, seen):
		return fmt.Errorf("it is not known any more who stopped the VM of %s: %w", i.Unit, errGuard)
	default:
		return nil
	}
}

// startsAlone reports whether nobody has to be asked about a start, by the power
// state that was read now. If somebody has, the next look reads it too.
func (p *pass) startsAlone(r pair.Role, now pair.PowerSeen) bool {
	if pair.StartsAlone(&p.snap.Record, r, now) {
		return true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.memory().powerAt = 0
	return false
}

// restartAllowed wants the partner to serve and the unit to be silent still.
func (p *pass) restartAllowed(ctx context.Context, i *pair.Intent) error {
	if err := p.expired(i); err != nil {
		return err
	}
	a := p.answers(ctx)
	if up, down := a[i.Unit.Other().Index()], a[i.Unit.Index()]; up != pair.CheckServing || down.Answered() {
		return fmt.Errorf("%s answered %s and %s %s just before the restart: %w", i.Unit.Other(), up, i.Unit, down, errGuard)
	}
	return nil
}
