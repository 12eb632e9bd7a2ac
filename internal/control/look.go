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

// balancersEvery is how often a quiet pair's load balancers are read. Reading
// them at every pass would exhaust the subscription's budget at 500 pairs
// (azure.md 1.10).
const balancersEvery = 5 * time.Minute

// look observes both units, and the platform where that is worth its price.
func (p *pass) look(ctx context.Context) {
	d := &p.snap.Definition
	p.in = pair.Input{Definition: *d, MaxMode: p.MaxMode, Record: p.snap.Record, Evidence: p.cause.Evidence, Open: p.snap.Intents}
	seen := &p.in.Observation
	var asks []func()
	for _, r := range pair.Roles {
		u := seen.Unit(r)
		asks = append(asks, func() { u.Check = p.askCheckPort(ctx, d, r) }, func() { u.API = p.askAPI(ctx, d, r) })
	}
	atOnce(asks)
	p.refresh(ctx)
	if pair.Classify(seen, &p.snap.Record) != p.snap.Record.Situation {
		p.readPower(ctx)
	}
	if p.balancersDue() {
		p.readBalancers(ctx)
	}
}

// atOnce does everything at the same time and waits for it. A panic goes on
// where the pass can make an error of it; left alone it would end the process.
func atOnce(all []func()) {
	var wg sync.WaitGroup
	panics := make([]error, len(all))
	for n, do := range all {
		wg.Go(func() {
			defer recovered(&panics[n])
			do()
		})
	}
	wg.Wait()
	if err := errors.Join(panics...); err != nil {
		panic(err)
	}
}

func (p *pass) askAPI(ctx context.Context, d *pair.Definition, r pair.Role) pair.APISeen {
	report, err := p.Units.Report(ctx, d.Units.Of(r))
	return pair.APISeen{Answer: apiAnswer(err), At: p.now(), Report: report}
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

// readPower asks the platform about units that do not answer. It is asked only
// while something new is seen, because each question counts.
func (p *pass) readPower(ctx context.Context) {
	for _, r := range pair.Roles {
		u := p.in.Observation.Unit(r)
		if u.Check.Answer.Answered() || u.API.Answer == pair.APIAnswered {
			continue
		}
		power, err := p.Platform.Power(ctx, p.snap.Definition.VMID(r))
		if err != nil {
			p.Log.WarnContext(ctx, "power state is unknown", "pair", p.name, "unit", r.String(), "error", err.Error())
			continue
		}
		u.Power = power
	}
}

// balancersDue reports whether this pass shall read the load balancers: after
// an event about them, while something of ours stands, when intents are open,
// and every five minutes.
func (p *pass) balancersDue() bool {
	if p.cause.Kind == pair.CauseResource || len(p.snap.Record.Admin) > 0 || len(p.snap.Intents) > 0 {
		return true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.now().Sub(p.readAt[p.name]) >= balancersEvery
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

// readBalancers reads every load balancer of the pair. Where a fence may follow
// it asks for the rule health too: the load balancer's own view is the truth for
// who it reaches. A load balancer that cannot be read is left out, so the
// decision knows that it was not seen; a quiet pair tries again in its turn.
func (p *pass) readBalancers(ctx context.Context) {
	seen := &p.in.Observation
	health := pair.Classify(seen, &p.snap.Record) == pair.BothActive && len(p.snap.Record.Admin) == 0
	seen.Balancers = nil
	for _, lb := range p.snap.Definition.LoadBalancers {
		b, err := p.Platform.LoadBalancer(ctx, p.snap.Definition, lb, health)
		if err != nil {
			p.Log.WarnContext(ctx, "load balancer was not read", "pair", p.name, "loadBalancer", lb.Name, "error", err.Error())
			continue
		}
		seen.Balancers = append(seen.Balancers, b)
	}
	p.refresh(ctx)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.readAt[p.name] = seen.At
}
