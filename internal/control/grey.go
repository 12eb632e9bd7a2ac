package control

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"tandem/internal/pair"
)

// Metrics reads what the load balancers' own probes measured.
type Metrics interface {
	// Availability is how many of a load balancer's probes each backend answered
	// with 200 since a time, in percent; a backend without a measurement is missing.
	// It comes minutes late.
	Availability(ctx context.Context, lb pair.ResourceID, since time.Time) (map[netip.Addr]float64, error)
}

const (
	// measuredFor is the time that one reading of the availability metric tells of.
	// It comes two to five minutes late (azure.md 3), so that the newest minute of
	// these is in it.
	measuredFor = 6 * time.Minute
	// measureEvery is how often the metric of a load balancer is read at most, and
	// remeasureEvery how often while it is what tells that a unit is not reached: a
	// new minute comes once a minute.
	measureEvery   = 5 * time.Minute
	remeasureEvery = time.Minute
	// steadyFrom is how long a unit must have answered alike before the minutes of a
	// reading are said to be about that answer: those, and one more for the probe to
	// see the same.
	steadyFrom = measuredFor + time.Minute
	// unwatchedMost is how long nobody may have looked in between.
	unwatchedMost = 2 * time.Minute
	// measureTakes is how long the metric may take, because a fence may wait for
	// what it is read with.
	measureTakes = 3 * time.Second
)

// steady is what a check port answers, and since when it does by this process's own
// looks.
type steady struct {
	answer        pair.CheckAnswer
	since, newest time.Duration // uptime
}

// measurement is one reading of a load balancer's availability metric.
type measurement struct {
	asked   time.Duration // uptime; also where nothing came
	since   time.Time
	at      time.Time
	percent map[netip.Addr]float64
}

// noteAnswers remembers since when each check port answers as it does now. While an
// admin state of ours stands on a unit, the metric shows that in the place of what
// the probe finds (azure.md 1.5), so nothing is said of those minutes.
func (p *pass) noteAnswers() {
	now := p.Uptime()
	p.mu.Lock()
	defer p.mu.Unlock()
	m := p.memory()
	for n, r := range pair.Roles {
		s, answer := &m.answers[n], p.in.Observation.Unit(r).Check.Answer
		held := slices.ContainsFunc(p.snap.Record.Admin, func(h pair.AdminHold) bool { return h.Unit == r })
		if held || s.answer != answer || s.since == 0 || now-s.newest > unwatchedMost {
			s.answer, s.since = answer, now
		}
		s.newest = now
	}
}

// measure adds to what was read of a load balancer what its availability metric
// tells, where rule health says nothing of a unit or contradicts what the unit
// answers us. That is read seldom: it is minutes old, and it counts against the
// subscription as all else.
func (p *pass) measure(ctx context.Context, b *pair.BalancerSeen, health bool) {
	if p.Metrics == nil {
		return
	}
	p.spoilt(b)
	if health && p.doubtful(b) && p.measureDue(b.Name) {
		p.readMetric(ctx, b.Name)
	}
	b.Availability = p.available(b.Name)
}

// spoilt forgets since when a unit answers alike on which an admin state stands.
func (p *pass) spoilt(b *pair.BalancerSeen) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, pool := range b.Pools {
		for _, member := range pool.Members {
			for n, r := range pair.Roles {
				if member.Address == p.snap.Definition.Units.Of(r).Address && (member.Admin == pair.AdminDown || member.Admin == pair.AdminUp) {
					p.memory().answers[n].since = p.Uptime()
				}
			}
		}
	}
}

// doubtful reports whether rule health, which was asked for, does not tell what the
// load balancer sees: it says nothing of a unit, or sees one down for another reason
// than silence that answers us 200.
func (p *pass) doubtful(b *pair.BalancerSeen) bool {
	for _, r := range pair.Roles {
		u := p.snap.Definition.Units.Of(r)
		i := slices.IndexFunc(b.Health, func(h pair.HealthSeen) bool { return h.Address == u.Address })
		if i < 0 {
			return true
		}
		h := b.Health[i]
		if !h.Up && !h.Unreached() && h.Admin() == pair.AdminNone && p.in.Observation.Unit(r).Check.Answer == pair.CheckServing {
			return true
		}
	}
	return false
}

// measureDue reports whether the metric may be read again, and would tell anything:
// one of the units has answered alike for long enough.
func (p *pass) measureDue(balancer string) bool {
	every := measureEvery
	for _, u := range p.snap.Record.Units {
		if u.Probed.Unreached {
			every = remeasureEvery
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	m, now := p.memory(), p.Uptime()
	if asked := m.measured[balancer].asked; asked != 0 && now-asked < every {
		return false
	}
	return slices.ContainsFunc(m.answers[:], func(s steady) bool { return s.since != 0 && now-s.since >= steadyFrom })
}

// readMetric reads the metric and remembers it; one that cannot be read is not
// asked for again at once.
func (p *pass) readMetric(ctx context.Context, balancer string) {
	ctx, cancel := context.WithTimeout(ctx, measureTakes)
	defer cancel()
	got := measurement{asked: p.Uptime(), at: p.now()}
	got.since = got.at.Add(-measuredFor)
	if percent, err := p.Metrics.Availability(ctx, p.snap.Definition.LoadBalancerID(balancer), got.since); err != nil {
		p.Log.WarnContext(ctx, "the availability metric is unknown", "pair", p.name, "loadBalancer", balancer, "error", err.Error())
	} else {
		got.percent = percent
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	m := p.memory()
	if m.measured == nil {
		m.measured = map[string]measurement{}
	}
	m.measured[balancer] = got
}

// available is what the newest reading tells of the units that answered us alike in
// all the minutes that it is about, and answer so still.
func (p *pass) available(balancer string) (out []pair.AvailabilitySeen) {
	p.mu.Lock()
	defer p.mu.Unlock()
	m := p.memory()
	got := m.measured[balancer]
	for n, r := range pair.Roles {
		u := p.snap.Definition.Units.Of(r)
		percent, known := got.percent[u.Address]
		if s := m.answers[n]; known && s.since != 0 && got.asked-s.since >= steadyFrom {
			out = append(out, pair.AvailabilitySeen{Address: u.Address, Percent: int(percent), Answer: s.answer, Since: got.since, At: got.at})
		}
	}
	return out
}
