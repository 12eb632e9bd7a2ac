package control_test

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"tandem/internal/control"
	"tandem/internal/pair"
)

// meter is the availability metric of the pair's load balancer.
type meter struct {
	percent map[netip.Addr]float64
	err     error
	since   []time.Duration // of each reading, before it
}

func (m *meter) Availability(_ context.Context, lb pair.ResourceID, since time.Time) (map[netip.Addr]float64, error) {
	m.since = append(m.since, time.Since(since))
	if lb.Name() != "ilb" {
		return nil, pair.ErrNotFound
	}
	return m.percent, m.err
}

// metered is a pair whose rule health says what a test wants.
type metered struct {
	*platform
	health func([]pair.HealthSeen) []pair.HealthSeen
	asked  int // for rule health
}

func (p *metered) LoadBalancer(ctx context.Context, d pair.Definition, lb pair.LoadBalancer, health bool) (pair.BalancerSeen, error) {
	b, err := p.platform.LoadBalancer(ctx, d, lb, health)
	if health {
		p.asked++
		b.Health = p.health(b.Health)
	}
	return b, err
}

func refusedHealth([]pair.HealthSeen) []pair.HealthSeen { return nil }

// doubted is rule health that sees the first unit answer something else than 200.
func doubted(h []pair.HealthSeen) []pair.HealthSeen {
	for n := range h {
		if h[n].Address == firstAddr {
			h[n].Up, h[n].Reason = false, "Down_Probe_HttpStatusCodeError"
		}
	}
	return h
}

// greyWorld makes passes every 15 s over a pair with a metric.
type greyWorld struct {
	*world
	*control.Controller
	meter   *meter
	metered *metered
}

func newGreyWorld(t *testing.T, health func([]pair.HealthSeen) []pair.HealthSeen) *greyWorld {
	t.Helper()
	g := &greyWorld{world: newWorld(t), meter: &meter{percent: map[netip.Addr]float64{firstAddr: 0, secondAddr: 0}}}
	g.metered = &metered{platform: g.platform, health: health}
	g.Controller = g.controller(&effects{}, func(o *control.Options) { o.Platform, o.Metrics = g.metered, g.meter })
	return g
}

func (g *greyWorld) sweeps(d time.Duration) {
	g.t.Helper()
	for range d / (15 * time.Second) {
		if err := g.Pass(g.t.Context(), edge, pair.Cause{Kind: pair.CauseSweep}); err != nil {
			g.t.Fatal(err)
		}
		time.Sleep(15 * time.Second)
	}
}

// TestWhenTheMetricIsRead counts the readings of an hour.
func TestWhenTheMetricIsRead(t *testing.T) {
	plain := func(h []pair.HealthSeen) []pair.HealthSeen { return h }
	tests := []struct {
		name     string
		health   func([]pair.HealthSeen) []pair.HealthSeen
		percent  float64 // of the first unit
		do       func(g *greyWorld)
		min, max int
	}{
		{"never where rule health tells", plain, 100, func(g *greyWorld) { g.sweeps(time.Hour) }, 0, 0},
		{"where it does not, as seldom as rule health is asked for", refusedHealth, 100, func(g *greyWorld) { g.sweeps(time.Hour) }, 3, 4},
		{"also where it contradicts what answers us", doubted, 100, func(g *greyWorld) { g.sweeps(time.Hour) }, 3, 4},
		{"not before the units have answered alike for long enough to tell", refusedHealth, 100, func(g *greyWorld) { g.sweeps(14 * time.Minute) }, 0, 0},
		{"once a minute while it is what tells that a unit is not reached", refusedHealth, 0, func(g *greyWorld) { g.sweeps(time.Hour) }, 40, 50},
		{"one that cannot be read is not asked for all the time", refusedHealth, 0, func(g *greyWorld) {
			g.meter.err = pair.ErrRefused
			g.sweeps(time.Hour)
		}, 3, 4},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				g := newGreyWorld(t, tt.health)
				g.meter.percent[firstAddr] = tt.percent
				tt.do(g)
				if n := len(g.meter.since); n < tt.min || n > tt.max {
					t.Errorf("read %d times, want %d to %d", n, tt.min, tt.max)
				}
				for _, since := range g.meter.since {
					if since != 6*time.Minute {
						t.Errorf("read for the last %v", since)
					}
				}
			})
		})
	}
}

// TestAViewThatOnlyTheMetricTells: it names the situation, what it is about is
// remembered, and it is over when the metric says so.
func TestAViewThatOnlyTheMetricTells(t *testing.T) {
	for name, health := range map[string]func([]pair.HealthSeen) []pair.HealthSeen{"refused": refusedHealth, "contradicts": doubted} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				g := newGreyWorld(t, health)
				g.sweeps(17 * time.Minute)
				rec := g.load().Record
				if rec.Situation != pair.Unpolled || rec.Units[0].Probed.Reason != pair.ReasonMeasured || rec.Units[1].Probed.Unreached {
					t.Fatalf("%s, units %+v; want that the load balancer does not see the first", rec.Situation, rec.Units)
				}
				g.meter.percent[firstAddr] = 100
				g.sweeps(4 * time.Minute)
				if rec := g.load().Record; rec.Situation != pair.Healthy || rec.Units[0].Probed != (pair.ProbedSeen{}) {
					t.Errorf("%s, units %+v; want that it is over", rec.Situation, rec.Units)
				}
				if n := len(g.platform.writes); n != 0 {
					t.Errorf("%d writes", n)
				}
			})
		})
	}
}

// TestRuleHealthThatDoesNotAnswerIsAskedSeldom: each question counts as a write to
// the platform, and a pair that is not reached is looked at again and again.
func TestRuleHealthThatDoesNotAnswerIsAskedSeldom(t *testing.T) {
	for name, tt := range map[string]struct {
		health   func([]pair.HealthSeen) []pair.HealthSeen
		min, max int
	}{
		"refused": {refusedHealth, 10, 11}, "answered": {doubted, 60, 60},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				g := newGreyWorld(t, tt.health)
				g.sweeps(17 * time.Minute)
				g.metered.asked = 0
				for range 60 { // five minutes
					if err := g.Pass(t.Context(), edge, pair.Cause{Kind: pair.CauseSweep}); err != nil {
						t.Fatal(err)
					}
					time.Sleep(5 * time.Second)
				}
				if n := g.metered.asked; n < tt.min || n > tt.max {
					t.Errorf("asked %d times in five minutes, want %d to %d", n, tt.min, tt.max)
				}
			})
		})
	}
}

// TestMinutesThatAreAboutSomethingElseTellNothing: the metric is no word about a
// unit that answered otherwise meanwhile, that nobody looked at, or on which an admin
// state stood.
func TestMinutesThatAreAboutSomethingElseTellNothing(t *testing.T) {
	tests := []struct {
		name string
		do   func(g *greyWorld) // in the tenth minute
	}{
		{"the unit has just become active", func(g *greyWorld) {
			g.units.set(pair.First, pair.Standby)
			g.units.set(pair.Second, pair.Active)
			g.sweeps(15 * time.Second)
			g.units.set(pair.First, pair.Active)
			g.units.set(pair.Second, pair.Standby)
		}},
		{"nobody looked for a while", func(*greyWorld) { time.Sleep(5 * time.Minute) }},
		{"somebody set the unit Down", func(g *greyWorld) {
			set := func(state pair.AdminState) {
				g.platform.by(func() { g.platform.pools["ilb/pool"].admin[firstAddr] = state })
				if err := g.Pass(g.t.Context(), edge, pair.Cause{Kind: pair.CauseResource}); err != nil {
					g.t.Fatal(err)
				}
			}
			set(pair.AdminDown)
			set(pair.AdminNone)
		}},
		{"another process takes over", func(g *greyWorld) { g.Forget(edge) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				g := newGreyWorld(t, refusedHealth)
				g.sweeps(10 * time.Minute)
				tt.do(g)
				g.sweeps(6 * time.Minute)
				if rec := g.load().Record; rec.Units[0].Probed.Unreached {
					t.Errorf("%s: %+v", rec.Situation, rec.Units[0].Probed)
				}
			})
		})
	}
}
