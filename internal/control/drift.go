package control

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"tandem/internal/balancer"
	"tandem/internal/geo"
	"tandem/internal/pair"
)

// Resources reads and writes whole documents of Resource Manager.
type Resources interface {
	// Read returns a document as it was sent, with its ETag; pair.ErrNotFound where
	// there is none.
	Read(ctx context.Context, id pair.ResourceID) (doc json.RawMessage, etag string, err error)
	// BeginWrite sends a document, on the condition of the ETag or, without one,
	// that it does not exist yet. It asks last as Platform.BeginAdminState does.
	BeginWrite(ctx context.Context, id pair.ResourceID, doc []byte, etag string, last func(context.Context) error) (pair.Operation, error)
}

// Brakes keep the writers of one resource apart, and the pairs few that are changed
// at once. All processes share them through the store, and so they share what a
// subscription allows, which whoever sends the requests sees to (RankOf).
type Brakes interface {
	AcquireWriter(ctx context.Context, resource pair.ResourceID, w pair.Writer, now time.Time, ttl time.Duration) (pair.Writer, error)
	HoldsWriter(ctx context.Context, w pair.Writer, now time.Time) error
	ReleaseWriter(ctx context.Context, w pair.Writer) error
	TakeSlot(ctx context.Context, name string, limit int, now time.Time, ttl time.Duration) error
	GiveSlot(ctx context.Context, name string) error
}

const (
	// guardEvery is how often everything that a pair needs is compared with its pair
	// file when nothing happens. Events about the resources come at once; this is
	// the guarantee behind them.
	guardEvery = 30 * time.Minute
	// guardReads is about what one comparison costs: load balancer, security group,
	// and two VMs with interface and subnet.
	guardReads = 8
	// guardMost bounds the documents of one comparison.
	guardMost = 64
	// changedAtOnce is how many pairs may be repaired at the same time.
	changedAtOnce = 10
	// slotFor is how long a pair that is repaired keeps its slot without a word.
	slotFor = 2 * time.Minute
	// writerRetry is how soon a resource is asked for again that another pair writes.
	writerRetry = time.Second
	// writerFor is how long a write may keep other writers of its resource away.
	writerFor = 30 * time.Second
)

// guardDue reports whether this pass compares everything with the pair file.
func (p *pass) guardDue() bool {
	if p.Resources == nil {
		return false
	}
	rec, now := &p.snap.Record, p.Uptime()
	p.mu.Lock()
	defer p.mu.Unlock()
	m := p.memory()
	repairing := false
	for _, i := range p.snap.Intents {
		repairing = repairing || i.Kind == pair.IntentRepair
	}
	fenced := len(rec.Admin) > 0 && !slices.ContainsFunc(rec.Admin, func(h pair.AdminHold) bool { return !h.Fence() || !h.Landed })
	switch {
	case repairing || len(rec.Admin) > 0 && !fenced || p.atWork():
		return false // it is being written, or something more urgent stands
	case p.restsUntil(pair.RankRepair) > now:
		p.guardOwed()
		return false
	case fenced && (!bothServe(&p.in.Observation) || m.guardAt != 0 && now-m.guardAt < pair.DriftSettles):
		return false // or what comes next must not wait for it
	case fenced: // what cut the link may stand there, and then it is mended by nobody else
		m.guardAt = now
		return true
	case p.cause.Kind == pair.CauseResource, rec.Wish != nil, m.guardOwed != nil:
		m.guardAt = now
		return true
	case (rec.Drift != nil || p.setOtherwise()) && (m.guardAt == 0 || now-m.guardAt >= pair.DriftSettles), m.guardAt == 0 || now-m.guardAt >= p.leisurely(guardEvery):
		if !p.quiet.AllowN(epoch0.Add(now), guardReads) {
			return false
		}
		m.guardAt = now
		return true
	default:
		return false
	}
}

// setOtherwise reports whether a unit has just been found to be set up otherwise than
// the pair file says. Before that is mended it must be known whether the load balancer
// differs too: then it may be the file that is wrong.
func (p *pass) setOtherwise() bool {
	return slices.ContainsFunc(p.snap.Record.Units[:], func(u pair.UnitRecord) bool {
		return u.SetUp != nil && p.now().Sub(u.SetUp.Since) < 2*pair.DriftSettles
	})
}

// guardSoon has the next pass compare everything.
func (p *pass) guardSoon() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.memory().guardAt = 0
}

// guardLater has a later pass compare everything, because there is no room for it
// now among the requests of the subscription.
func (p *pass) guardLater() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.memory().guardAt = 0
	p.guardOwed()
}

// guardOwed remembers an event after which everything was not compared: it does not
// wait once more for its turn among the quiet pairs, and whom it named is not
// forgotten. p.mu is held.
func (p *pass) guardOwed() {
	if p.cause.Kind == pair.CauseResource {
		p.memory().guardOwed = &p.cause
	}
}

// guardedBy is the principal of the event about the pair's resources that nothing was
// compared after yet; there is none such from now on.
func (p *pass) guardedBy() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	m := p.memory()
	by := p.cause.By
	if m.guardOwed != nil {
		by = cmp.Or(by, m.guardOwed.By)
	}
	m.guardOwed = nil
	return by
}

// drift compares what was read with the pair file. Nil means that it could not be
// read, which says nothing about it.
func (p *pass) drift(ctx context.Context) *pair.Drift {
	plan, refusals, err := p.plan(ctx)
	if p.throttle(ranked(ctx, pair.RankRepair), err) {
		p.guardLater()
		p.Log.InfoContext(ctx, "the pair is compared with its file when there is room for it", "pair", p.name, "error", err.Error())
		return nil
	}
	out := &pair.Drift{At: p.now(), By: p.guardedBy()}
	switch {
	case errors.Is(err, pair.ErrRefused):
		out.Refusal = "what there is cannot be read: " + err.Error()
		return out
	case err != nil:
		p.Log.WarnContext(ctx, "the pair was not compared with its file", "pair", p.name, "error", err.Error())
		return nil
	case len(refusals) > 0:
		out.Refusal = refusals[0].String()
		if n := len(refusals) - 1; n > 0 {
			out.Refusal += fmt.Sprintf("; and %d more (tandem plan)", n)
		}
		return out
	case plan.Empty():
		return out
	}
	out.Hash = plan.Hash
	for _, s := range plan.Steps {
		out.Steps = append(out.Steps, driftStep(p.snap.Definition, s))
	}
	return out
}

func driftStep(d pair.Definition, s balancer.Step) pair.DriftStep {
	out := pair.DriftStep{Resource: s.Resource, Hash: s.Hash, Create: s.Action == balancer.Create, Changes: len(s.Changes)}
	for _, lb := range d.LoadBalancers {
		if d.LoadBalancerID(lb.Name) == s.Resource {
			out.LoadBalancer = lb.Name
		}
	}
	for _, c := range s.Changes[:min(len(s.Changes), pair.FieldsKept)] {
		out.Fields = append(out.Fields, c.Path)
	}
	return out
}

// Plan compares a definition with what there is in Azure. It only reads, and what
// it reads can wait: pair.ErrThrottled says that the requests of the subscription
// are spent.
func (c *Controller) Plan(ctx context.Context, d pair.Definition) (balancer.Plan, []balancer.Refusal, error) {
	return c.plan(ctx, d, c.Surroundings)
}

// plan is Plan with what the units of this look say of themselves. A person who
// plans for a file gets it without: to ask the units that a file names would send
// their secret wherever the file says.
func (p *pass) plan(ctx context.Context) (balancer.Plan, []balancer.Refusal, error) {
	around := p.Surroundings
	for _, r := range pair.Roles {
		around.CheckPorts[r.Index()] = p.in.Observation.Unit(r).API.Report.CheckPort
	}
	return p.Controller.plan(ctx, p.snap.Definition, around)
}

// plan compares. Where something has to be written, and a unit has another check
// port than the file, nothing is: the load balancer may be the one that is right.
// Where nothing has to be, the situation says it (misconfigured).
func (c *Controller) plan(ctx context.Context, d pair.Definition, around balancer.Surroundings) (balancer.Plan, []balancer.Refusal, error) {
	ctx = ranked(ctx, pair.RankRepair)
	if c.Resources == nil {
		return balancer.Plan{}, nil, fmt.Errorf("plan pair %s: %w", d.Name, pair.ErrNotFound)
	}
	w, err := c.readWorld(ctx, &d)
	if err != nil {
		return balancer.Plan{}, nil, err
	}
	if around.Members, err = c.others(ctx, d.Name); err != nil {
		return balancer.Plan{}, nil, err // rules of theirs must not look as if nobody wanted them
	}
	if len(around.Members) > 0 {
		around.TunnelPort = geo.TunnelPort
	}
	untold := around
	untold.CheckPorts = c.Surroundings.CheckPorts
	var plan balancer.Plan
	want, refusals := balancer.Compile(&d, w, untold)
	if len(refusals) == 0 {
		if plan, err = balancer.Compare(want, w); err != nil || plan.Empty() {
			return plan, nil, err
		}
		_, refusals = balancer.Compile(&d, w, around)
	}
	if len(refusals) > 0 {
		return balancer.Plan{V: balancer.PlanVersion, Pair: d.Name}, refusals, nil
	}
	return plan, nil, nil
}

// others are the units of the other members of a pair's GEO topology.
func (c *Controller) others(ctx context.Context, name string) (out []netip.Prefix, err error) {
	if c.Topologies == nil {
		return nil, nil
	}
	addresses, err := c.Topologies.Others(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("find the GEO topology of pair %s: %w", name, err)
	}
	for _, a := range addresses {
		out = append(out, netip.PrefixFrom(a, a.BitLen()))
	}
	return out, nil
}

// readWorld reads what has to be known of Azure to compare a pair with its file,
// document by document, until nothing more follows from what was read.
func (c *Controller) readWorld(ctx context.Context, d *pair.Definition) (balancer.World, error) {
	w := balancer.World{}
	for {
		missing := balancer.Reads(d, w)
		if len(missing) == 0 {
			return w, nil
		}
		if len(w)+len(missing) > guardMost {
			return nil, fmt.Errorf("read the resources of pair %s: more than %d: %w", d.Name, guardMost, pair.ErrTooLarge)
		}
		for _, id := range missing {
			doc, _, err := c.Resources.Read(ctx, id)
			if err != nil && !errors.Is(err, pair.ErrNotFound) {
				return nil, fmt.Errorf("read the resources of pair %s: %w", d.Name, err)
			}
			w[id] = doc // nil where there is none
		}
	}
}

// errMoved means that a resource is not any more what the plan was made on.
var errMoved = errors.New("it is not what the plan was made on")

// repair brings a repair one step further, which waits where the requests of the
// subscription are spent, or Resource Manager asks for patience. That is no attempt
// of it: it says nothing of the resource.
func (p *pass) repair(ctx context.Context, i *pair.Intent) (after time.Duration, seen bool, err error) {
	tried := i.Attempts
	ctx = ranked(ctx, pair.RankRepair)
	if err := p.resting(ctx); err != nil {
		return 0, false, err
	}
	after, seen, err = p.mend(ctx, i)
	if p.throttle(ctx, err) {
		i.Attempts = tried
	}
	return after, seen, err
}

// mend writes one resource as the pair file says: everything is read again, and
// only if exactly the planned step follows from it, it is written, on the
// condition that nobody was faster.
func (p *pass) mend(ctx context.Context, i *pair.Intent) (after time.Duration, seen bool, err error) {
	switch {
	case i.Token != "":
		if after, seen, err = p.watch(ctx, i, (*pass).lookAtRepair); err != nil {
			i.BegunAt = time.Time{} // it came to nothing, and is written again
		}
		return after, seen, err
	case i.State == pair.IntentBegun && !i.BegunAt.IsZero():
		return p.lookAtRepair(ctx, i) // it is called finished, and reading may be behind it
	}
	if err := p.brake(ctx); err != nil {
		i.Attempts++
		return 0, false, err
	}
	step, err := p.stepOf(ctx, i)
	if err != nil {
		i.Attempts++
		return 0, false, err
	}
	if step.Hash == "" {
		return 0, true, nil
	}
	if step.Hash != i.Step {
		return 0, false, fmt.Errorf("%s: %w: %w", i.Resource.Title(), errMoved, errNeverAgain)
	}
	doc, etag, err := p.Resources.Read(ctx, i.Resource)
	if err != nil && !errors.Is(err, pair.ErrNotFound) {
		i.Attempts++
		return 0, false, err
	}
	body, err := step.Edit(doc)
	if err != nil {
		return 0, false, fmt.Errorf("%w: %w: %w", errMoved, errNeverAgain, err)
	}
	return p.begin(ctx, i, (*pass).lookAtRepair, func(last func(context.Context) error) (pair.Operation, error) {
		return p.Resources.BeginWrite(ctx, i.Resource, body, etag, last)
	})
}

// stepOf is the step that the resource needs now; an empty one where it is right.
func (p *pass) stepOf(ctx context.Context, i *pair.Intent) (balancer.Step, error) {
	plan, refusals, err := p.plan(ctx)
	switch {
	case err != nil:
		return balancer.Step{}, err
	case len(refusals) > 0:
		return balancer.Step{}, fmt.Errorf("%s: %w", refusals[0], errNeverAgain)
	}
	for _, s := range plan.Steps {
		if s.Resource == i.Resource {
			return s, nil
		}
	}
	return balancer.Step{}, nil
}

// lookAtRepair reads the world after a write that is called finished.
func (p *pass) lookAtRepair(ctx context.Context, i *pair.Intent) (time.Duration, bool, error) {
	i.Token = ""
	step, err := p.stepOf(ctx, i)
	switch {
	case err != nil:
		return 0, false, err
	case step.Hash == "":
		return 0, true, nil
	}
	if i.BegunAt.IsZero() || i.BegunAt.After(p.now()) { // or a clock went back
		i.BegunAt = p.now()
	}
	if p.now().Sub(i.BegunAt) < effectPatience && step.Hash == i.Step {
		return pair.LookAgain, false, nil // reading may be behind what was written
	}
	return 0, false, fmt.Errorf("%s differs still after the write was called finished: %w: %w",
		i.Resource.Title(), pair.ErrUnknownOutcome, errNeverAgain)
}

// brake asks whether a repair may go on now: for room among the pairs that are
// changed at once.
func (p *pass) brake(ctx context.Context) error {
	if p.Brakes == nil {
		return nil
	}
	if err := p.Brakes.TakeSlot(ctx, p.name, changedAtOnce, p.now(), slotFor); err != nil {
		return fmt.Errorf("wait for other pairs that are changed: %w", err)
	}
	return nil
}

// repaired notes what was written, and has everything compared again when the
// last step is done.
func repaired(p *pass, rec *pair.Record, i pair.Intent) {
	rec.Repaired(i.Resource, p.now())
	p.guardSoon()
}

// unrepaired notes that a repair failed, so that it rests, and gives up what comes
// after it, which rests on it.
func (p *pass) unrepaired(rec *pair.Record, why error) (also []string) {
	if rec.Drift != nil {
		d := *rec.Drift
		d.NotBefore, d.LastErr = p.now().Add(pair.RepairAgain), why.Error()
		if errors.Is(why, errMoved) {
			d.NotBefore = time.Time{} // what differs now is another thing
		}
		rec.Drift = &d
	}
	for _, o := range p.snap.Intents {
		if o.Kind == pair.IntentRepair {
			also = append(also, o.ID)
		}
	}
	p.guardSoon()
	return also
}

// shared is the resource of an intent that several pairs may write to.
func (p *pass) shared(i *pair.Intent) pair.ResourceID {
	if i.LoadBalancer != "" {
		return p.snap.Definition.LoadBalancerID(i.LoadBalancer)
	}
	return i.Resource
}

// writer becomes the only writer of an intent's resource among all pairs. A fence
// and its release do not wait for a repair, which finds out and is made again.
func (p *pass) writer(ctx context.Context, i *pair.Intent) (holds func(context.Context) error, err error) {
	resource := p.shared(i)
	if p.Brakes == nil || resource == "" {
		return func(context.Context) error { return nil }, nil
	}
	rank := pair.RankFence
	if i.Kind == pair.IntentRepair {
		rank = pair.RankRepair
	}
	w, err := p.Brakes.AcquireWriter(ctx, resource, pair.Writer{Owner: p.owner, Pair: p.name, Rank: rank}, p.now(), writerFor)
	switch {
	case err == nil:
	case i.Kind == pair.IntentRelease, rank == pair.RankFence && !errors.Is(err, pair.ErrBusy):
		// A write of another pair that this one cancels is made again; an admin state
		// that has to go must not stand because of it.
		p.Log.WarnContext(ctx, "written without being the only writer", "pair", p.name, "resource", string(resource), "error", err.Error())
		return func(context.Context) error { return nil }, nil
	default:
		return nil, fmt.Errorf("become the writer of %s: %w", resource.Name(), err)
	}
	p.writing[i.ID] = w
	return func(ctx context.Context) error { return p.Brakes.HoldsWriter(ctx, w, p.now()) }, nil
}

// free lets others write to the resource of an intent, when its write is over.
func (p *pass) free(ctx context.Context, i pair.Intent) {
	w, ok := p.writing[i.ID]
	if !ok {
		return
	}
	delete(p.writing, i.ID)
	if err := p.Brakes.ReleaseWriter(ctx, w); err != nil {
		p.Log.WarnContext(ctx, "a resource was not given back; it is free when its time is over", "pair", p.name, "resource", string(w.Resource), "error", err.Error())
	}
}

// written gives back what an intent that is closed needed.
func (p *pass) written(ctx context.Context, i pair.Intent) {
	p.free(ctx, i)
	if i.Kind != pair.IntentRepair || p.Brakes == nil {
		return
	}
	for _, o := range p.snap.Intents {
		if o.Kind == pair.IntentRepair {
			return
		}
	}
	if err := p.Brakes.GiveSlot(ctx, p.name); err != nil {
		p.Log.WarnContext(ctx, "the place among the pairs that are changed was not given back", "pair", p.name, "error", err.Error())
	}
}
