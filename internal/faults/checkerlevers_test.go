package faults

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tandem/internal/lab"
	"tandem/internal/pair"
)

// The rules of this file are about the levers beside the fence (DESIGN section
// 5): what must be so of the world when a write leaves that sets a unit Up,
// prefers the first unit, restarts a VM or starts one. They go by what has been
// so for a while, because nobody can know of what changed a moment ago.

const (
	// lookedAt is how long something must have been so that a last look before a
	// write must have seen it.
	lookedAt = evidenceFor
	// readAt is the same of what only a whole pass sees: the load balancer's own
	// view, and what the API says.
	readAt = 30 * time.Second
)

// spell is how something is, and since when.
type spell struct {
	is    bool
	since time.Time
}

func (s *spell) note(now time.Time, is bool) {
	if is != s.is || s.since.IsZero() {
		s.is, s.since = is, now
	}
}

// has reports whether it has been so for as long.
func (s *spell) has(now time.Time, is bool, long time.Duration) bool {
	return s.is == is && !s.since.IsZero() && now.Sub(s.since) >= long
}

// lately is how things are with an appliance, noted every second.
type lately struct {
	serves   spell // its check port says 200
	answers  spell // its check port says something
	talks    spell // its API does
	forwards spell // it does its part in published services, and they work
	probed   spell // a load balancer sends it traffic because its probe says so
	off      spell // its VM is switched off
	reached  map[*machine]*spell
}

// note is called under the world's lock.
func (l *lately) note(now time.Time, a *appliance) {
	answer := a.answer(now, a.site.original.HA.CheckPort)
	l.serves.note(now, answer == pair.CheckServing)
	l.answers.note(now, answer.Answered())
	l.talks.note(now, a.up(now) && !a.ailments.apiSilent)
	l.forwards.note(now, a.forwards(now) && !a.ailments.application)
	l.off.note(now, a.power == pair.PowerStopped || a.power == pair.PowerDeallocated)
	probed := false
	for _, b := range a.world.balancers {
		_, reason := b.health(a) // what a person holds Down serves nobody
		probed = probed || strings.HasPrefix(reason, "Up_Probe")
	}
	l.probed.note(now, probed)
	if l.reached == nil {
		l.reached = map[*machine]*spell{}
	}
	for _, m := range a.world.machines {
		if l.reached[m] == nil {
			l.reached[m] = &spell{}
		}
		l.reached[m].note(now, !m.cut[a])
	}
}

// reaches reports whether a worker could ask the appliance at its last look.
func (l *lately) reaches(now time.Time, m *machine, long time.Duration) bool {
	r := l.reached[m]
	return r != nil && r.has(now, true, long)
}

// seenServing reports whether a worker that looks at everything must know that
// the appliance serves: it says so to the worker, or the load balancer's probe
// finds it so.
func (l *lately) seenServing(now time.Time, m *machine) bool {
	return l.serves.has(now, true, lookedAt) && (l.reaches(now, m, lookedAt) || l.probed.has(now, true, readAt))
}

// levers looks at a write that is about to leave. The world's lock is held.
func (c *checker) levers(p *process, n write, target, partner *appliance) {
	now, m := time.Now(), p.machine
	l, other := &target.lately, &partner.lately
	switch {
	case n.lever == "raise":
		if l.forwards.has(now, false, lookedAt) {
			c.violated(promiseLever, "%s sends %s, and %s has forwarded nothing for %v", p.name, n, target.key, now.Sub(l.forwards.since))
		}
	case n.kind == "reboot":
		// A job may interrupt only what a person has approved, or carries already.
		_, told := c.expect(target.site.name).consented[n.job]
		if !told && l.serves.has(now, true, lookedAt) && l.reaches(now, m, lookedAt) && other.serves.has(now, false, lookedAt) && !c.carried(partner) {
			c.violated(promiseLever, "%s reboots %s, which has served alone for %v", p.name, target.key, now.Sub(other.serves.since))
		}
	case n.kind == "admin" && n.want == pair.AdminUp:
		for _, a := range []*appliance{target, partner} {
			if a.lately.seenServing(now, m) {
				c.violated(promiseLever, "%s sends %s, although %s has answered 200 for %v", p.name, n, a.key, now.Sub(a.lately.serves.since))
			}
		}
		if l.forwards.has(now, false, lookedAt) {
			c.violated(promiseLever, "%s sends %s, and %s has forwarded nothing for %v", p.name, n, target.key, now.Sub(l.forwards.since))
		}
	case n.kind == "prefer" && n.prefer == pair.PreferFirst:
		first, second := target.site.units[0], target.site.units[1]
		if _, told := c.expect(target.site.name).consented[n.job]; told || n.job != "" && c.carried(first) {
			return
		}
		if second.state == pair.Active && second.lately.seenServing(now, m) && first.lately.serves.has(now, false, lookedAt) {
			c.violated(promiseLever, "%s sends %s, although %s has served alone for %v", p.name, n, second.key, now.Sub(first.lately.serves.since))
		}
	case n.kind == "restart":
		switch {
		case l.answers.has(now, true, lookedAt) && l.reaches(now, m, lookedAt):
			c.violated(promiseLever, "%s restarts %s, whose check port has answered for %v", p.name, target.key, now.Sub(l.answers.since))
		case l.talks.has(now, true, readAt) && l.reaches(now, m, readAt):
			c.violated(promiseLever, "%s restarts %s, whose API has answered for %v", p.name, target.key, now.Sub(l.talks.since))
		case l.probed.has(now, true, readAt):
			c.violated(promiseLever, "%s restarts %s, which the load balancer has seen serve for %v", p.name, target.key, now.Sub(l.probed.since))
		case other.serves.has(now, false, lookedAt):
			c.violated(promiseLever, "%s restarts %s, and its partner has not served for %v", p.name, target.key, now.Sub(other.serves.since))
		}
	case n.kind == "start":
		if l.off.has(now, false, lookedAt) {
			c.violated(promiseLever, "%s starts %s, whose VM has not been switched off for %v", p.name, target.key, now.Sub(l.off.since))
		}
	}
}

// carried reports whether a load balancer sends an appliance traffic because we
// hold it Up, and it forwards that.
func (c *checker) carried(a *appliance) bool {
	return slices.ContainsFunc(c.world.balancers, func(b *balancer) bool { return b.carries(a) })
}

// TestTheRulesOfTheLevers lets a write leave in a world that a story could lead
// to, whatever the program would do there.
func TestTheRulesOfTheLevers(t *testing.T) {
	var (
		down     = func(a *appliance) { a.powerOff() }
		says     = func(answer string) func(*appliance) { return func(a *appliance) { a.ailments.port = answer } }
		cut      = func(a *appliance) { a.world.cutWorkers(a, true) }
		both     = func(changes ...func(*appliance)) func(first, second *appliance) { return each2(changes, changes) }
		on       = func(changes ...func(*appliance)) func(first, second *appliance) { return each2(changes, nil) }
		onTwo    = func(changes ...func(*appliance)) func(first, second *appliance) { return each2(nil, changes) }
		heldDown = func(a *appliance) {
			for _, b := range a.world.balancers {
				b.doc = b.doc.clone()
				b.doc.admin[0][a.role.Index()], b.carried = pair.AdminDown, b.doc
			}
		}
		up      = write{kind: "admin", want: pair.AdminUp}
		prefers = write{kind: "prefer", prefer: pair.PreferFirst}
		restart = write{kind: "restart"}
		starts  = write{kind: "start"}
	)
	tests := []struct {
		name   string
		was    func(first, second *appliance) // a minute ago
		now    func(first, second *appliance) // a second ago
		write  write                          // about second
		breaks string
	}{
		{"Up where both stand by and the unit forwards", both(says("503")), nil, up, ""},
		{"Up where the other unit serves", nil, nil, up, "first has answered 200"},
		{"Up where the unit serves itself", each2([]func(*appliance){down}, []func(*appliance){says("200")}), nil, up, "second has answered 200"},
		{"Up where only the load balancer can see that the other unit serves", on(cut), nil, up, "first has answered 200"},
		{"Up where only the worker can see it", on(func(a *appliance) { a.ailments.blockedProbe = true }), nil, up, "first has answered 200"},
		{"Up where a person holds the other unit Down", on(cut, heldDown), nil, up, ""},
		{"Up where nobody can see it", on(cut, func(a *appliance) { a.ailments.blockedProbe = true }), nil, up, ""},
		{"Up where the other unit serves since a moment", on(says("503")), on(says("")), up, ""},
		{"Up of a unit that forwards nothing", each2([]func(*appliance){says("503")}, []func(*appliance){func(a *appliance) { a.ailments.dead = true }}), nil, up, "second has forwarded nothing"},

		{"a preference for first where first serves", nil, nil, prefers, ""},
		{"a preference for first where second is active alone", each2([]func(*appliance){down}, nil), nil, prefers, "second has served alone"},
		{"a preference for first where both are active", apart, nil, prefers, ""},
		{"a preference for nobody where second is active alone", each2([]func(*appliance){down}, nil), nil, write{kind: "prefer", prefer: pair.PreferNone}, ""},

		{"a restart of what is silent to everybody", onTwo(down), nil, restart, ""},
		{"a restart of a unit that says 503", nil, nil, restart, "whose check port has answered"},
		{"a restart of one whose API answers", onTwo(says("silent")), nil, restart, "whose API has answered"},
		{"a restart of one that only the load balancer sees serve", func(first, second *appliance) { apart(first, second); cut(second) }, nil, restart, "which the load balancer has seen serve"},
		{"a restart of one that nobody reaches", onTwo(cut, func(a *appliance) { a.ailments.blockedProbe = true }), nil, restart, ""},
		{"a restart beside a partner that does not serve", both(down), nil, restart, "its partner has not served"},
		{"a restart beside a partner that fell silent a moment ago", onTwo(down), on(down), restart, ""},

		{"a start of a VM that is switched off", onTwo(down, func(a *appliance) { a.power = pair.PowerDeallocated }), nil, starts, ""},
		{"a start of one that is stopped from within", onTwo(down, func(a *appliance) { a.power = pair.PowerStopped }), nil, starts, ""},
		{"a start of one that runs", onTwo(down), nil, starts, "has not been switched off"},
		{"a start of one that somebody switched on a moment ago", onTwo(down, func(a *appliance) { a.power = pair.PowerDeallocated }), onTwo(func(a *appliance) { a.power = pair.PowerStarting }), starts, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, err := newWorld(lab.Scenario{Boot: time.Minute, Options: map[string]string{"standby-forwards": "yes"}}, 1, newLedger())
				if err != nil {
					t.Fatal(err)
				}
				m := &machine{world: w, cut: map[*appliance]bool{}}
				w.machines = []*machine{m}
				first, second := w.units[0], w.units[1]
				pass := func(d time.Duration, change func(first, second *appliance)) {
					if change != nil {
						change(first, second)
					}
					for range d / time.Second {
						time.Sleep(time.Second)
						w.physics(time.Now())
					}
				}
				pass(time.Minute, nil)
				pass(time.Minute, tt.was)
				pass(time.Second, tt.now)
				w.check.levers(&process{machine: m, name: "worker"}, tt.write, second, first)
				switch v := w.check.found; {
				case tt.breaks == "" && v != nil:
					t.Errorf("it breaks a rule: %s", v.what)
				case tt.breaks != "" && (v == nil || !strings.Contains(v.what, tt.breaks)):
					t.Errorf("found %+v, want that %q\n%s", v, tt.breaks, w.describe())
				}
			})
		})
	}
}

// each2 changes first by some and second by others.
func each2(first, second []func(*appliance)) func(a, b *appliance) {
	return func(a, b *appliance) {
		for _, change := range first {
			change(a)
		}
		for _, change := range second {
			change(b)
		}
	}
}

// apart cuts the link between two units.
func apart(a, b *appliance) {
	a.world.cuts[[2]*appliance{a, b}], a.world.cuts[[2]*appliance{b, a}] = true, true
}
