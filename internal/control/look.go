package control

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"time"

	"tandem/internal/pair"
)

const (
	// balancersEvery is how often a quiet pair's load balancers are read, and
	// healthEvery how often their rule health, which costs more. Reading them at
	// every pass would exhaust the subscription's budget at 500 pairs (azure.md
	// 1.10).
	balancersEvery = 5 * time.Minute
	healthEvery    = 15 * time.Minute
	// healthCalls is what rule health costs: a POST and the polls of its answer.
	healthCalls = 3
	// powerEvery is how often the power state of a silent unit is read once what
	// is seen is believed; darkEvery is how often the load balancers are, while
	// neither unit answers us.
	powerEvery = time.Minute
	darkEvery  = 30 * time.Second
	// watchEvery is how often rule health is read while an admin state of ours
	// stands, because whether the load balancer reaches the survivor is its own to
	// say; and while it shows one of somebody else that the document does not read.
	watchEvery = 30 * time.Second
	// watchTakes is more than reading rule health may take.
	watchTakes = 15 * time.Second
	// stopEvery is how old our knowledge of a global stop may be when a pass
	// looks. It is read afresh before every effect.
	stopEvery = 10 * time.Second
)

// look observes both units, and the platform where that is worth its price.
func (p *pass) look(ctx context.Context) {
	d := &p.snap.Definition
	p.in = pair.Input{
		Definition: *d, MaxMode: p.MaxMode, Record: p.snap.Record, Evidence: p.cause.Evidence, Open: tokenless(p.snap.Intents),
		Stop: p.stopped(ctx), Blind: p.vigil.blind(p.Uptime()),
	}
	seen := &p.in.Observation
	read := false // whether the load balancers were asked for
	asks := []func(){func() { read = p.askCheckPorts(ctx, d) }}
	for _, r := range pair.Roles {
		u := seen.Unit(r)
		asks = append(asks, func() { u.API = p.askAPI(ctx, d, r) })
	}
	atOnce(asks)
	p.askServices(ctx, d)
	if p.atWork() {
		seen.Front = p.askFront(ctx, d)
	}
	p.refresh(ctx)
	dark := !seen.Units[0].Lives() && !seen.Units[1].Lives()
	if ctx.Err() == nil {
		p.vigil.looked(p.name, dark, p.Uptime())
		p.in.Blind = p.vigil.blind(p.Uptime())
	}
	if dark || !seen.Units[0].Lives() || !seen.Units[1].Lives() {
		p.readPower(ctx)
	}
	if due, health, rank := p.balancersDue(dark); due && !read {
		p.readBalancers(ranked(ctx, rank), health)
	}
	if p.guardDue() {
		seen.Drift = p.drift(ctx)
		p.refresh(ctx)
	}
	if p.atWork() {
		p.askAgain(ctx)
	}
	p.in.Spare, p.in.Compares = p.spare(), p.compares()
}

// askCheckPorts asks both units. Where both answer 200, and a fence stands or this
// look may be the one that makes us believe it, the load balancers are read at
// once, and both units' checks are made beside that: whatever the units' API
// adds, a fence needs that reading, and it is the slowest part.
//
// It reports whether the load balancers were asked for.
func (p *pass) askCheckPorts(ctx context.Context, d *pair.Definition) (read bool) {
	seen, rec := &p.in.Observation, &p.snap.Record
	asks := make([]func(), 0, 3)
	for _, r := range pair.Roles {
		u := seen.Unit(r)
		asks = append(asks, func() { u.Check = p.askCheckPort(ctx, d, r) })
	}
	atOnce(asks)
	p.noteAnswers()
	stands := len(rec.Admin) > 0
	believed := rec.Situation.BothServe() || rec.Suspicion.Count+1 >= d.Failover.ConfirmAfter
	fences := believed && d.Mode >= pair.Recommend && d.Failover.Fence >= pair.Ask && !rec.Pause.In(p.now())
	if !bothServe(seen) || !stands && !fences {
		return false
	}
	_, health, _ := p.balancersDue(false)
	asks = append(asks[:0], func() { seen.Balancers = p.balancers(ctx, health || !stands) })
	for _, r := range pair.Roles {
		u := seen.Unit(r)
		asks = append(asks, func() { u.Service = p.askService(ctx, d, r) })
	}
	atOnce(asks)
	if stands {
		p.askSurvivorAgain(ctx, d, rec.Admin[0].Unit.Other())
	}
	return true
}

func bothServe(seen *pair.Observation) bool {
	return seen.Units[0].Check.Answer == pair.CheckServing && seen.Units[1].Check.Answer == pair.CheckServing
}

// askSurvivorAgain makes the survivor's checks once more where it failed one that
// the unit held Down passes: a fence that is taken back may not be set again for
// a while, so one lost answer shall not end it.
func (p *pass) askSurvivorAgain(ctx context.Context, d *pair.Definition, survivor pair.Role) {
	one, other := p.in.Observation.Unit(survivor), p.in.Observation.Unit(survivor.Other())
	if one.Service.Answer == pair.ServiceFailed && other.Service.Answer == pair.ServicePassed {
		one.Service = p.askService(ctx, d, survivor)
	}
}

// stopped tells whether a person stopped everything, by a reading that is a few
// seconds old at most. Where it cannot be read, what was read last counts.
func (p *pass) stopped(ctx context.Context) *pair.Pause {
	p.mu.Lock()
	stop, read := p.stop, p.stopAt != 0 && p.Uptime()-p.stopAt < stopEvery && p.cause.Kind != pair.CausePerson
	p.mu.Unlock()
	if read {
		return stop
	}
	now, err := p.Store.Stop(ctx)
	if err != nil {
		p.Log.WarnContext(ctx, "it is not known whether everything is stopped", "error", err.Error())
		p.vigil.storeFailed(p.Uptime())
		return stop
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stop, p.stopAt = now, p.Uptime()
	return now
}

// askServices makes the pair file's checks where they tell something: on the
// unit that answers 200, and on others only where a standby forwards too. Of two
// units that answer 200 they only tell whom a fence may leave, so askCheckPorts
// makes them where there may be one.
func (p *pass) askServices(ctx context.Context, d *pair.Definition) {
	seen := &p.in.Observation
	if len(d.Checks) == 0 || bothServe(seen) {
		return
	}
	var asks []func()
	for _, r := range pair.Roles {
		u := seen.Unit(r)
		if u.Check.Answer == pair.CheckServing || u.Lives() && d.HA.StandbyForwards == pair.ForwardsYes {
			asks = append(asks, func() { u.Service = p.askService(ctx, d, r) })
		}
	}
	atOnce(asks)
}

// askService makes the checks of one unit; the first that fails is the result.
func (p *pass) askService(ctx context.Context, d *pair.Definition, r pair.Role) (seen pair.ServiceSeen) {
	for _, c := range d.Checks {
		seen = p.Checks.Service(ctx, d.Units.Of(r).Address, c)
		seen.At = p.now()
		if seen.Answer != pair.ServicePassed {
			return seen
		}
	}
	return seen
}

// atOnce does everything at the same time and waits for it. A panic goes on
// where the pass can make an error of it; left alone it would end the process.
func atOnce(all []func()) {
	var wg sync.WaitGroup
	panics := make([]error, len(all))
	for n, do := range all {
		one := func() {
			defer recovered(&panics[n])
			do()
		}
		if n == len(all)-1 {
			one() // which needs no goroutine of its own
			break
		}
		wg.Go(one)
	}
	wg.Wait()
	if err := errors.Join(panics...); err != nil {
		panic(err)
	}
}

// askAPI asks a unit for its own view of itself, unless credentials rest that it
// refused: to this process or, by the record, to another one.
func (p *pass) askAPI(ctx context.Context, d *pair.Definition, r pair.Role) pair.APISeen {
	switch refusal := p.snap.Record.Units[r.Index()].Refusal; {
	case refusal.In(p.now()):
		return pair.APISeen{Answer: pair.APIRefused, At: p.now(), Rest: p.refusedFor(r)}
	case refusal != nil:
		ctx = oneLogin(ctx)
	}
	report, err := p.Units.Report(ctx, d.Units.Of(r))
	seen := pair.APISeen{Answer: apiAnswer(err), At: p.now(), Report: report}
	if errors.Is(err, pair.ErrRefused) {
		seen.Rest = pair.Duration(pair.RetryAfter(err, 0))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.memory().refused[r.Index()] = time.Duration(seen.Rest)
	return seen
}

// refusedFor is for how long credentials shall rest that were refused to this
// process, and of which the record does not know by now.
func (p *pass) refusedFor(r pair.Role) pair.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return pair.Duration(p.memory().refused[r.Index()])
}

// staleAfter is the age at which an answer of a check port is asked for again
// before anything is decided; a fence wants one under pair.FreshFor.
const staleAfter = 2 * time.Second

// refresh asks the check ports again that answered some time ago, because
// something slow came in between, and sets the time of the observation.
func (p *pass) refresh(ctx context.Context) {
	seen := &p.in.Observation
	var asks []func()
	for _, r := range pair.Roles {
		if c := &seen.Unit(r).Check; c.Answer.Answered() && p.now().Sub(c.At) >= staleAfter {
			asks = append(asks, func() { *c = p.askCheckPort(ctx, &p.snap.Definition, r) })
		}
	}
	atOnce(asks)
	seen.At = p.now()
}

func (p *pass) askCheckPort(ctx context.Context, d *pair.Definition, r pair.Role) pair.CheckSeen {
	seen := p.Checks.CheckPort(ctx, netip.AddrPortFrom(d.Units.Of(r).Address, uint16(d.HA.CheckPort)))
	seen.At = p.now()
	return seen
}

// apiAnswer sorts an adapter's error. A refusal is not a death: a password
// that was changed must not look like a unit that is down.
func apiAnswer(err error) pair.APIAnswer {
	switch {
	case err == nil:
		return pair.APIAnswered
	case errors.Is(err, pair.ErrRefused), errors.Is(err, pair.ErrNotFound), errors.Is(err, pair.ErrThrottled):
		return pair.APIRefused
	case errors.Is(err, pair.ErrUntrusted):
		return pair.APIUntrusted
	case errors.Is(err, pair.ErrUnreadable):
		return pair.APIBroken
	default:
		return pair.APISilent
	}
}

// readPower asks the platform about units that do not answer: while something
// new is seen, and then once a minute, because each question counts.
func (p *pass) readPower(ctx context.Context) {
	seen := &p.in.Observation
	p.mu.Lock()
	m := p.memory()
	due := pair.Classify(&p.in.Definition, seen, &p.snap.Record) != p.snap.Record.Situation || m.powerAt == 0 || p.Uptime()-m.powerAt >= powerEvery
	if due {
		m.powerAt = p.Uptime()
	}
	p.mu.Unlock()
	if !due {
		return
	}
	for _, r := range pair.Roles {
		u := seen.Unit(r)
		if u.Lives() || p.throttled(ctx) {
			continue
		}
		power, err := p.Platform.Power(ctx, p.snap.Definition.VMID(r))
		if err != nil {
			p.throttle(ctx, err)
			p.Log.WarnContext(ctx, "power state is unknown", "pair", p.name, "unit", r.String(), "error", err.Error())
			continue
		}
		u.Power = power
	}
}

// balancersDue reports whether this pass shall read the load balancers, and
// their rule health: after an event about them, while something of ours stands,
// when intents are open, while the probe does not reach a unit or nobody
// reaches any, and now and then anyway. The last is what waits when there are
// many pairs. While an admin state of ours stands, rule health is read every
// watchEvery and before each renewal, and not where the survivor is silent: it
// takes seconds, and the release comes first. The rank is that of the reading.
func (p *pass) balancersDue(dark bool) (due, health bool, rank pair.Rank) {
	rec := &p.snap.Record
	p.mu.Lock()
	defer p.mu.Unlock()
	m, now := p.memory(), p.Uptime()
	switch {
	case len(rec.Admin) > 0 && p.in.Observation.Unit(rec.Admin[0].Unit.Other()).Check.Answer != pair.CheckServing:
		return true, false, pair.RankUnknown
	case rec.Units[0].Probed.Unreached || rec.Units[1].Probed.Unreached:
		return true, m.heard || now-m.healthAt >= watchEvery, pair.RankUnknown
	case dark:
		old := m.healthAt == 0 || now-m.healthAt >= darkEvery
		return old, old, pair.RankUnknown
	case len(rec.Admin) > 0:
		return true, p.watchDue(m.healthAt, now), pair.RankUnknown
	case (rec.Units[0].Probed.Foreign != pair.AdminUnknown || rec.Units[1].Probed.Foreign != pair.AdminUnknown) && now-m.healthAt >= watchEvery:
		return true, true, pair.RankUnknown // it may be over
	case p.cause.Kind == pair.CauseResource || len(p.snap.Intents) > 0:
		return true, false, pair.RankUnknown
	case m.readAt != 0 && now-m.readAt < p.leisurely(balancersEvery):
		return false, false, pair.RankLook
	}
	health = m.healthAt == 0 || now-m.healthAt >= p.leisurely(healthEvery)
	calls := 1
	if health {
		calls += healthCalls
	}
	return p.quiet.AllowN(epoch0.Add(now), calls), health, pair.RankLook
}

// leisurely is how often something is read of a quiet pair that would be read every
// so often if there were few: so much less often that all pairs of this process stay
// within its calls a minute. Without that those would be served whose names come
// first, and the others never. p.mu is held.
func (p *pass) leisurely(every time.Duration) time.Duration {
	const perMinute = float64(time.Minute)/float64(balancersEvery) + healthCalls*float64(time.Minute)/float64(healthEvery) +
		guardReads*float64(time.Minute)/float64(guardEvery)
	return time.Duration(float64(every) * max(1, float64(len(p.known))*perMinute/quietReads))
}

// watchDue reports whether rule health shall be read while an admin state of ours
// stands: every watchEvery, and where it may be due to be renewed by the end of
// this look; but not where waiting for it could let the deadline pass.
func (p *pass) watchDue(readAt, now time.Duration) bool {
	due := readAt == 0 || now-readAt >= watchEvery
	for _, h := range p.snap.Record.Admin {
		left := h.Deadline.Sub(p.now())
		if left < watchTakes {
			return false
		}
		due = due || left <= pair.FenceFor/2+pair.LookAgain
	}
	return due
}

// tokenless copies intents without the tokens of running operations: those are
// signed addresses, no facts of a decision, and must not get into the journal.
func tokenless(intents []pair.Intent) []pair.Intent {
	out := slices.Clone(intents)
	for n := range out {
		out[n].Token = ""
	}
	return out
}

// readBalancers reads every load balancer of the pair. A load balancer that
// cannot be read is left out, so the decision knows that it was not seen; a
// quiet pair tries again in its turn.
func (p *pass) readBalancers(ctx context.Context, health bool) {
	p.in.Observation.Balancers = p.balancers(ctx, health)
	p.refresh(ctx)
}

func (p *pass) balancers(ctx context.Context, health bool) []pair.BalancerSeen {
	var seen []pair.BalancerSeen
	for _, lb := range p.snap.Definition.LoadBalancers {
		if p.throttled(ctx) {
			break
		}
		b, err := p.Platform.LoadBalancer(ctx, p.snap.Definition, lb, health)
		if err != nil {
			p.throttle(ctx, err)
			p.Log.WarnContext(ctx, "load balancer was not read", "pair", p.name, "loadBalancer", lb.Name, "error", err.Error())
			continue
		}
		p.saw(b)
		p.measure(ctx, &b, health)
		seen = append(seen, b)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	m := p.memory()
	m.readAt = p.Uptime()
	if health {
		m.healthAt = m.readAt
		m.heard = slices.ContainsFunc(seen, func(b pair.BalancerSeen) bool { return len(b.Health) > 0 })
	}
	return seen
}
