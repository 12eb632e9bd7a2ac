package dataplane

import (
	"net/netip"
	"slices"
	"time"
)

// Availability is what the probes of one minute said of a backend: the metric
// DipAvailability (azure.md 3).
type Availability struct {
	Address netip.Addr
	Minute  time.Time // its begin
	Percent float64   // of the answers that were healthy, 0 to 100
}

// availabilityKept is how long the minutes of a load balancer are kept.
const availabilityKept = time.Hour

// minute is the probes of one minute, by backend.
type minute struct {
	begin time.Time
	tally map[netip.Addr]tally
}

type tally struct{ up, all int }

// Availability returns the minutes from one time until before another, of all
// backends that were probed in them, by address and minute. A machine that is
// off is not probed, so it has none. Like rule health, the metric shows admin
// states in place of what the probe found (azure.md 1.5).
func (d *DataPath) Availability(lbID string, from, until time.Time) []Availability {
	d.mu.Lock()
	defer d.mu.Unlock()
	var all []Availability
	b := d.balancers[lbID]
	if b == nil {
		return nil
	}
	for _, m := range b.minutes {
		if m.begin.Before(from) || !m.begin.Before(until) {
			continue
		}
		for addr, t := range m.tally {
			all = append(all, Availability{addr, m.begin, 100 * float64(t.up) / float64(t.all)})
		}
	}
	slices.SortFunc(all, func(x, y Availability) int {
		if c := x.Address.Compare(y.Address); c != 0 {
			return c
		}
		return x.Minute.Compare(y.Minute)
	})
	return all
}

// measure counts the answer to a probe once for each rule that uses it. d.mu
// is held.
func (b *balancer) measure(p *prober, healthy bool, now time.Time) {
	begin := now.Truncate(time.Minute)
	if n := len(b.minutes); n == 0 || b.minutes[n-1].begin.Before(begin) {
		b.minutes = append(b.minutes, minute{begin, map[netip.Addr]tally{}})
		b.minutes = slices.DeleteFunc(b.minutes, func(m minute) bool { return now.Sub(m.begin) > availabilityKept })
	}
	tallies := b.minutes[len(b.minutes)-1].tally
	for _, r := range b.Rules {
		if r.Probe != p.key.probe {
			continue
		}
		for _, backend := range b.pool(r.Pool).Backends {
			if backend.Address != p.key.address {
				continue
			}
			t := tallies[backend.Address]
			t.all++
			if backend.AdminState == AdminUp || backend.AdminState != AdminDown && healthy {
				t.up++
			}
			tallies[backend.Address] = t
		}
	}
}
