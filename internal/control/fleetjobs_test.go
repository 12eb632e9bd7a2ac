package control_test

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"tandem/internal/control"
	"tandem/internal/job"
	"tandem/internal/job/switchover"
	"tandem/internal/pair"
)

// moving is a fleet whose standbys forward, and whose units take over by themselves
// when their partner reboots.
type moving struct {
	*fleet
	booted map[netip.Addr]time.Time
	later  []transition
	looks  int
}

// transition is what a unit will be.
type transition struct {
	at      time.Time
	address netip.Addr
	become  unit
}

const (
	takesOver = 15 * time.Second // two checks of the partner that fail, five seconds apart, and the first one
	comesBack = time.Minute
)

func newMoving(t testing.TB, pairs int) *moving {
	t.Helper()
	m := &moving{booted: map[netip.Addr]time.Time{}}
	m.fleet = newFleet(t, pairs, func(_ int, d *pair.Definition) {
		forwarding(d)
		d.HA.Preferred = pair.PreferNone
	})
	for a := range m.units {
		m.units[a].preferred, m.booted[a] = pair.PreferNone, m.now.Add(-time.Hour)
	}
	return m
}

func (m *moving) Report(ctx context.Context, u pair.Unit) (pair.Report, error) {
	r, err := m.fleet.Report(ctx, u)
	partner := u.Address.As4()
	partner[3] ^= 1
	r.Role = pair.First
	if partner[3] == 4 {
		r.Role = pair.Second
	}
	r.Firmware, r.BootedAt, r.Partner = "7.2.59.0", m.booted[u.Address], netip.AddrFrom4(partner).String()
	return r, err
}

func (m *moving) Service(_ context.Context, a netip.Addr, _ pair.Check) pair.ServiceSeen {
	m.looks++
	if m.unit(a).check == pair.CheckSilent {
		return pair.ServiceSeen{Answer: pair.ServiceFailed, Check: "shop"}
	}
	return pair.ServiceSeen{Answer: pair.ServicePassed}
}

// Reboot takes the unit away for a minute; its partner takes over.
func (m *moving) Reboot(_ context.Context, u pair.Unit) error {
	now, partner := m.clock(), u.Address.As4()
	partner[3] ^= 1 // first ends in 4, second in 5
	m.booted[u.Address] = now
	m.set(u.Address, unit{check: pair.CheckSilent, preferred: pair.PreferNone, power: pair.PowerRunning})
	m.later = append(m.later,
		transition{now.Add(takesOver), netip.AddrFrom4(partner), unit{check: pair.CheckServing, state: pair.Active, preferred: pair.PreferNone, power: pair.PowerRunning}},
		transition{now.Add(comesBack), u.Address, unit{check: pair.CheckIdle, state: pair.Standby, preferred: pair.PreferNone, power: pair.PowerRunning}})
	return nil
}

func (m *moving) Configure(context.Context, *pair.Definition, pair.Role, pair.Preference) (pair.Report, error) {
	return pair.Report{}, pair.ErrRefused // nobody asks for it here
}

func (m *moving) Connections(context.Context, pair.Unit) (int, error) { return 0, nil }

func (m *moving) Inventory(context.Context, pair.Unit) (pair.InventorySeen, error) {
	return pair.InventorySeen{}, pair.ErrRefused // as above
}

// live lets the time go by, and happen what is due.
func (m *moving) live(d time.Duration) {
	m.pass(d)
	now := m.clock()
	for len(m.later) > 0 {
		next := -1
		for n := range m.later {
			if !m.later[n].at.After(now) {
				next = n
				break
			}
		}
		if next < 0 {
			return
		}
		m.set(m.later[next].address, m.later[next].become)
		m.later = append(m.later[:next], m.later[next+1:]...)
	}
}

func procedures(t testing.TB) *job.Registry {
	t.Helper()
	r, err := job.NewRegistry(switchover.Procedure())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// begin starts a switchover to second on every pair.
func (m *moving) begin(t testing.TB, jobs *job.Registry) {
	t.Helper()
	for _, name := range m.names {
		d := m.defs[name]
		j, err := jobs.Begin(pair.Job{ID: name + "-000000000001-001", Kind: "switchover", By: "ada", At: m.now, Unit: pair.Second}, &d)
		if err != nil {
			t.Fatal(err)
		}
		snap := m.kept[name].snap
		snap.Record.Job = &j
		m.kept[name].put(snap)
	}
}

// ended counts the jobs that are done, and those that ended otherwise.
func (m *moving) ended() (done, otherwise int) {
	for _, kept := range m.kept {
		switch j := kept.snap.Record.Job; {
		case j.State == pair.JobDone:
			done++
		case j.State.Ended():
			otherwise++
		}
	}
	return done, otherwise
}

// BenchmarkJobsInFlight lets one instance carry 1,000 switchovers at once, each with
// both admin states, a reboot and the way back, until all are done: one operation is
// all of them. cpu-ms/turn is the processor time of one pass of one pair with its
// job; minutes are those of the fleet's clock.
func BenchmarkJobsInFlight(b *testing.B) {
	const pairs = 1000
	jobs := procedures(b)
	for b.Loop() {
		m := newMoving(b, pairs)
		w := m.waker(b, func(o *control.Options) { o.Units, o.Checks, o.Works, o.Jobs = m, m, m, jobs })
		m.sweep(b, w)
		m.begin(b, jobs)
		before, began, looks := cpu(b), m.clock(), m.looks
		for n := 0; ; n++ {
			if n%3 == 0 {
				m.sweep(b, w)
			} else {
				m.drain(b, w)
			}
			done, otherwise := m.ended()
			if otherwise > 0 || m.clock().Sub(began) > 2*time.Hour {
				b.Fatalf("%d of %d jobs are done, %d ended otherwise after %v; one is %+v", done, pairs, otherwise, m.clock().Sub(began), m.kept[m.names[0]].snap.Record.Job)
			}
			if done == pairs {
				break
			}
			m.live(5 * time.Second)
		}
		turns := float64(m.looks-looks) / 2 // both units are checked in each
		b.ReportMetric((cpu(b)-before).Seconds()*1000/turns, "cpu-ms/turn")
		b.ReportMetric((cpu(b) - before).Seconds(), "cpu-s")
		b.ReportMetric(turns/pairs, "turns/job")
		b.ReportMetric(float64(len(m.wrote))/pairs, "writes/job")
		b.ReportMetric(float64(m.calls)/pairs, "reads/job")
		b.ReportMetric(m.clock().Sub(began).Minutes(), "minutes")
	}
}
