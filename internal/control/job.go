package control

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"tandem/internal/pair"
)

// Jobs says what the running job of a pair wants of a pass, from the same input
// that the decision gets; nil where no job runs, or none that it knows.
type Jobs interface {
	Propose(in *pair.Input) *pair.Proposal
	// Begin gives a job of which it is only said what it is for its steps.
	Begin(asked pair.Job, d *pair.Definition) (pair.Job, error)
}

// Works are what only jobs ask of an appliance.
type Works interface {
	// Reboot asks for a reboot, once: pair.ErrUnknownOutcome where it may have been
	// heard.
	Reboot(ctx context.Context, u pair.Unit) error
	// Configure writes a unit's HA mode and parameters as the pair file says, with
	// that preference, and returns what the unit says of itself then.
	Configure(ctx context.Context, d *pair.Definition, r pair.Role, prefer pair.Preference) (pair.Report, error)
	// Connections counts the connections that the unit carries.
	Connections(ctx context.Context, u pair.Unit) (int, error)
	// Inventory is what a unit says that it has.
	Inventory(ctx context.Context, u pair.Unit) (pair.InventorySeen, error)
}

// judge decides, with what the running job wants.
func (p *pass) judge() {
	p.in.Proposal = nil
	if p.Jobs != nil && p.in.Record.Job.Running() {
		p.in.Proposal = p.Jobs.Propose(&p.in)
	}
	p.d = pair.Decide(&p.in)
}

// atWork reports whether a job runs.
func (p *pass) atWork() bool { return p.snap.Record.Job.Running() }

// askFront makes the pair file's checks at the load balancers' front ends, which is
// what a client sees. A front end of which only the public address's name is known
// is not asked.
func (p *pass) askFront(ctx context.Context, d *pair.Definition) (seen pair.ServiceSeen) {
	for _, c := range d.Checks {
		for _, at := range frontsOf(d, c.Port) {
			c.Port = int(at.Port())
			if seen = p.Checks.Service(ctx, at.Addr(), c); seen.Answer != pair.ServicePassed {
				seen.At = p.now()
				return seen
			}
		}
	}
	seen.At = p.now()
	return seen
}

// frontsOf are the front ends at which a port of the units is published.
func frontsOf(d *pair.Definition, port int) (out []netip.AddrPort) {
	for _, lb := range d.LoadBalancers {
		for _, r := range lb.Rules {
			for _, f := range lb.Frontends {
				if r.UnitPort() == port && f.Name == r.Frontend && f.Address.IsValid() {
					out = append(out, netip.AddrPortFrom(f.Address, uint16(r.Port))) //nolint:gosec // a pair file has ports below 65536
				}
			}
		}
	}
	return out
}

// countFlows asks the units that live how many connections they carry.
func (p *pass) countFlows(ctx context.Context) {
	if p.Works == nil {
		return
	}
	for _, r := range pair.Roles {
		u := p.in.Observation.Unit(r)
		if u.API.Answer != pair.APIAnswered {
			continue
		}
		n, err := p.Works.Connections(ctx, p.snap.Definition.Units.Of(r))
		if err != nil {
			p.Log.WarnContext(ctx, "connections were not counted", "pair", p.name, "unit", r.String(), "error", err.Error())
			continue
		}
		u.Flows = pair.FlowsSeen{Count: n, At: p.now()}
	}
}

// inspect asks the units that live what they have, and makes the pair file's checks
// on one of them.
func (p *pass) inspect(ctx context.Context, r pair.Role) {
	if p.Works == nil {
		return
	}
	d, seen := &p.snap.Definition, &p.in.Observation
	var asks []func()
	for _, r := range pair.Roles {
		u := seen.Unit(r)
		if u.API.Answer != pair.APIAnswered {
			continue
		}
		asks = append(asks, func() {
			has, err := p.Works.Inventory(ctx, d.Units.Of(r))
			if err != nil {
				p.Log.WarnContext(ctx, "a unit did not tell what it has", "pair", p.name, "unit", r.String(), "error", err.Error())
				return
			}
			has.At = p.now()
			u.Inventory = has
		})
	}
	if u := seen.Unit(r); u.Lives() && len(d.Checks) > 0 {
		asks = append(asks, func() { u.Service = p.askService(ctx, d, r) })
	}
	atOnce(asks)
}

// askAgain asks once more for what grew old while something slow came in between,
// silence too: a job's admin states want fresh proof, of who serves as of who does
// not. All of it is asked at once, because one unit may be silent by now, and must
// not make the other one's proof old.
func (p *pass) askAgain(ctx context.Context) {
	d := &p.snap.Definition
	old := func(at time.Time) bool { return p.now().Sub(at) >= staleAfter }
	var asks []func()
	for _, r := range pair.Roles {
		u := p.in.Observation.Unit(r)
		if u.Check.Answer != pair.CheckUnknown && old(u.Check.At) {
			asks = append(asks, func() { u.Check = p.askCheckPort(ctx, d, r) })
		}
		if u.Service.Answer != pair.ServiceUnknown && old(u.Service.At) {
			asks = append(asks, func() { u.Service = p.askService(ctx, d, r) })
		}
	}
	atOnce(asks)
	p.in.Observation.At = p.now()
}

// jobOf is the running job if it is the one that wants the intent.
func (p *pass) jobOf(i *pair.Intent) (*pair.Job, error) {
	j := p.snap.Record.Job
	if !j.Running() || j.ID != i.Job {
		return nil, fmt.Errorf("job %s does not run any more: %w", i.Job, errGuard)
	}
	return j, nil
}

// raiseAllowed wants the unit to prove that it forwards although it stands by.
func (p *pass) raiseAllowed(ctx context.Context, i *pair.Intent) error {
	if _, err := p.jobOf(i); err != nil {
		return err
	}
	if err := p.expired(i); err != nil {
		return err
	}
	if p.snap.Definition.HA.StandbyForwards != pair.ForwardsYes {
		return fmt.Errorf("the pair file does not say that a standby forwards: %w", errGuard)
	}
	return p.passes(ctx, i.Unit)
}

// drainAllowed wants traffic to be carried by the other unit: it answers 200, or it
// is held Up in that very pool and forwards.
func (p *pass) drainAllowed(ctx context.Context, i *pair.Intent) error {
	if _, err := p.jobOf(i); err != nil {
		return err
	}
	if err := p.expired(i); err != nil {
		return err
	}
	target := i.Unit.Other()
	if p.answers(ctx)[target.Index()] == pair.CheckServing {
		return nil
	}
	up := slices.ContainsFunc(p.snap.Record.Admin, func(h pair.AdminHold) bool {
		return h.LoadBalancer == i.LoadBalancer && h.Pool == i.Pool && h.Unit == target && h.State == pair.AdminUp && h.Landed
	})
	if !up {
		return fmt.Errorf("%s neither answers 200 nor is held Up in pool %s: %w", target, i.Pool, errGuard)
	}
	return p.passes(ctx, target)
}

// passes wants a unit to pass the pair file's checks now.
func (p *pass) passes(ctx context.Context, r pair.Role) error {
	if seen := p.askService(ctx, &p.snap.Definition, r); seen.Answer != pair.ServicePassed {
		return fmt.Errorf("%s did not pass check %q just before: %w", r, seen.Check, errGuard)
	}
	return nil
}

// rebootAllowed keeps the last unit from being rebooted that serves: its partner
// answers 200, or is held Up by the job and forwards. Where neither answers 200
// there is nobody to interrupt; where only the unit itself does, a person must have
// been told of the gap: the job asked, or was forced.
func (p *pass) rebootAllowed(ctx context.Context, i *pair.Intent) error {
	j, err := p.jobOf(i)
	if err != nil {
		return err
	}
	if err := p.expired(i); err != nil {
		return err
	}
	a := p.answers(ctx)
	partner := i.Unit.Other()
	switch {
	case a[partner.Index()] == pair.CheckServing, a[i.Unit.Index()] != pair.CheckServing:
		return nil
	case slices.ContainsFunc(p.snap.Record.Admin, func(h pair.AdminHold) bool { return h.Unit == partner && h.State == pair.AdminUp && h.Landed }):
		return p.passes(ctx, partner)
	case a[partner.Index()] == pair.CheckIdle && (j.Consented || j.Force):
		return nil
	default:
		return fmt.Errorf("%s is the only unit that answers 200, and its partner answered %s: %w", i.Unit, a[partner.Index()], errGuard)
	}
}

// configureAllowed keeps credentials resting that the unit refused, and a
// preference for first from pulling the active state away.
func (p *pass) configureAllowed(ctx context.Context, i *pair.Intent) error {
	if _, err := p.jobOf(i); err != nil {
		return err
	}
	return p.preferenceAllowed(ctx, i)
}

// reboot asks a unit to reboot, once. Where it is not known whether it heard that,
// it may be going down already; the job looks at its boot time.
func (p *pass) reboot(ctx context.Context, i *pair.Intent) (time.Duration, bool, error) {
	switch {
	case p.Works == nil:
		return 0, false, fmt.Errorf("reboot %s: %w: %w", i.Unit, pair.ErrRefused, errNeverAgain)
	case i.State == pair.IntentBegun:
		return 0, false, fmt.Errorf("it is not known whether the reboot of %s was heard: %w", i.Unit, errNeverAgain)
	}
	if err := p.begun(ctx, i); err != nil {
		return 0, false, err
	}
	err := p.Works.Reboot(ctx, p.snap.Definition.Units.Of(i.Unit))
	if err != nil && notSent(err) {
		i.State = pair.IntentOpen
	}
	return 0, err == nil, err
}

// configure writes a unit's HA mode and parameters. The adapter reads them back.
func (p *pass) configure(ctx context.Context, i *pair.Intent) (time.Duration, bool, error) {
	if p.Works == nil {
		return 0, false, fmt.Errorf("configure %s: %w: %w", i.Unit, pair.ErrRefused, errNeverAgain)
	}
	if err := p.begun(ctx, i); err != nil {
		return 0, false, err
	}
	_, err := p.Works.Configure(ctx, &p.snap.Definition, i.Unit, i.Prefer)
	return 0, err == nil, err
}

// begun stores that an effect may be made, and looks once more whether it may.
func (p *pass) begun(ctx context.Context, i *pair.Intent) error {
	was := i.State
	i.Attempts++
	i.State = pair.IntentBegun
	if err := p.keep(ctx, *i, nil); err != nil {
		i.State = was
		return err
	}
	if err := p.lastLook(ctx, i); err != nil {
		i.State = was
		return err
	}
	return nil
}

// queue is where the looks of the newest decision are asked for: a job has its own,
// so that neither keeps the other waiting.
func (p *pass) queue() string {
	if p.d.Facts.Job == pair.JobFactGoes || p.d.Facts.Hold == pair.HoldJob {
		return pair.QueueJobs
	}
	return pair.QueuePairs
}

// rebooted opens the boot grace of a unit that we rebooted.
func rebooted(p *pass, rec *pair.Record, i pair.Intent) {
	rec.Units[i.Unit.Index()].StartedAt = p.now()
}

// drained reports whether the job has held first Up and second Down until now, or
// asked a person: then the preference may pull the active state to first.
func (p *pass) drained() bool {
	j := p.snap.Record.Job
	return j.Running() && j.Unit == pair.First && j.Committed
}

// configured notes that a unit's HA set-up was written, so that somebody who changes
// it back again and again is known for that.
func configured(p *pass, rec *pair.Record, i pair.Intent) { rec.HasSetUp(i.Unit, p.now()) }

// beginJob begins a job that no person asked for by its name.
func (p *pass) beginJob(ctx context.Context, i *pair.Intent) (time.Duration, bool, error) {
	if err := p.begun(ctx, i); err != nil {
		return 0, false, err
	}
	if p.atWork() {
		return 0, false, fmt.Errorf("job %s runs: %w", p.snap.Record.Job.ID, errGuard)
	}
	_, err := p.jobFor(*i)
	return 0, err == nil, err
}

// jobFor is the job that an intent asks for.
func (p *pass) jobFor(i pair.Intent) (pair.Job, error) {
	if p.Jobs == nil {
		return pair.Job{}, fmt.Errorf("begin a job: no jobs here: %w: %w", pair.ErrRefused, errNeverAgain)
	}
	asked := pair.Job{ID: i.ID, Kind: "switchover", By: i.By, Reason: i.Reason, At: p.now(), Unit: i.Unit}
	if i.Kind == pair.IntentSetUp {
		asked.Kind, asked.Unit = "configure", pair.RoleUnknown // it is about both
	}
	if i.Kind == pair.IntentSync {
		asked.Kind, asked.Unit = "sync", pair.RoleUnknown
	}
	j, err := p.Jobs.Begin(asked, &p.snap.Definition)
	if err != nil {
		return pair.Job{}, fmt.Errorf("begin a %s: %w: %w", asked.Kind, err, errNeverAgain)
	}
	return j, nil
}

// begins puts the job into the record. That it can be made was seen before.
func begins(p *pass, rec *pair.Record, i pair.Intent) {
	if j, err := p.jobFor(i); err == nil {
		rec.Job = &j
	}
}

// poisoned has a job undone whose message failed again and again, with the reason:
// what cannot be carried on must not stand for ever, nor silently. Past the point of
// no return its steps have deadlines, and the sweep carries it on.
func (c *Controller) poisoned(ctx context.Context, name, id string, why error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), putBackAfter)
	defer cancel()
	snap, err := c.Store.Load(ctx, name)
	if err != nil {
		return fmt.Errorf("end job %s that cannot be carried on: %w: %w", id, err, why)
	}
	j := snap.Record.Job
	if !j.Running() || j.ID != id || j.Committed || j.State == pair.JobUndoes {
		return fmt.Errorf("job %s: %w", id, why)
	}
	undone := j.Clone()
	undone.State, undone.Why = pair.JobUndoes, fmt.Sprintf("its message failed %d times, the last time with: %.200s", putBackMax, why)
	snap.Record.Job = undone
	snap.Record.Epoch++
	if _, err := c.Store.Commit(ctx, snap, pair.Change{Record: snap.Record}); err != nil {
		return fmt.Errorf("end job %s that cannot be carried on: %w: %w", id, err, why)
	}
	c.Log.ErrorContext(ctx, "a job cannot be carried on and is undone", "pair", name, "job", id, "error", why.Error())
	return nil
}
