package control_test

import (
	"context"
	"fmt"
	"iter"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"tandem/internal/control"
	"tandem/internal/pair"
)

// fleet is many pairs behind a load balancer each, kept in memory, with a clock
// that a test moves. It answers everything at once.
type fleet struct {
	names []string
	defs  map[string]pair.Definition

	mu    sync.Mutex
	kept  map[string]*memory
	units map[netip.Addr]*unit
	admin map[string]pair.AdminState // by load balancer and address
	now   time.Time
	calls int      // to Resource Manager that read
	wrote []string // to Resource Manager, in order
	// until is when Resource Manager stops answering 429, and refused how often it
	// did.
	until   time.Time
	refused int
	queue   []pair.Message
}

func newFleet(t testing.TB, pairs int, change func(n int, d *pair.Definition)) *fleet {
	t.Helper()
	f := &fleet{
		defs: map[string]pair.Definition{}, kept: map[string]*memory{}, units: map[netip.Addr]*unit{}, admin: map[string]pair.AdminState{},
		now: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC),
	}
	for n := range pairs {
		d := definition()
		d.Name = fmt.Sprintf("pair-%05d", n)
		d.LoadBalancers = []pair.LoadBalancer{{Name: "lb-" + d.Name, Pools: []string{"pool"}}}
		d.Units.First = pair.Unit{VM: d.Name + "-lm1", Address: netip.AddrFrom4([4]byte{10, 1 + byte(n>>8), byte(n), 4})}
		d.Units.Second = pair.Unit{VM: d.Name + "-lm2", Address: netip.AddrFrom4([4]byte{10, 1 + byte(n>>8), byte(n), 5})}
		believing(&d)
		if change != nil {
			change(n, &d)
		}
		d = d.WithDefaults()
		f.names, f.defs[d.Name] = append(f.names, d.Name), d
		f.units[d.Units.First.Address] = &unit{check: pair.CheckServing, state: pair.Active, preferred: pair.PreferFirst, power: pair.PowerRunning}
		f.units[d.Units.Second.Address] = &unit{check: pair.CheckIdle, state: pair.Standby, preferred: pair.PreferFirst, power: pair.PowerRunning}
		f.kept[d.Name] = newMemory(pair.Snapshot{Definition: d, Record: pair.Record{
			Proofs: []pair.LeverProof{{LoadBalancer: d.LoadBalancers[0].Name, Pool: "pool", Back: true}},
		}})
	}
	return f
}

func (f *fleet) waker(t testing.TB, change ...func(*control.Options)) *control.Waker {
	t.Helper()
	start := f.now
	log := slog.New(slog.DiscardHandler)
	o := control.Options{
		Store: f, Outbox: f, Units: f, Checks: f, Platform: f, Log: log, Worker: "fleet",
		Now: f.clock, Uptime: func() time.Duration { return f.clock().Sub(start) },
	}
	for _, c := range change {
		c(&o)
	}
	c, err := control.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return &control.Waker{Index: f, Queue: f, Controller: c, Log: log}
}

func (f *fleet) clock() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.now
}

func (f *fleet) pass(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.now = f.now.Add(d)
}

// sweep wakes every pair and makes the passes.
func (f *fleet) sweep(t testing.TB, w *control.Waker) {
	t.Helper()
	if err := w.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.drain(t, w)
}

// drain makes the passes that messages ask for, those that were sent before it
// began: looks come after their delay, which the test lets go by.
func (f *fleet) drain(t testing.TB, w *control.Waker) {
	t.Helper()
	f.mu.Lock()
	messages := f.queue
	f.queue = nil
	f.mu.Unlock()
	for _, m := range messages {
		if err := w.Reconcile(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
}

func (f *fleet) Due(context.Context, time.Time) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for _, name := range f.names {
			if !yield(name, nil) {
				return
			}
		}
	}
}

func (f *fleet) PairsOfVM(context.Context, pair.ResourceID) ([]string, error) { return nil, nil }

func (f *fleet) PairsOfResource(context.Context, pair.ResourceID) ([]string, error) { return nil, nil }

func (f *fleet) Send(_ context.Context, _ string, m pair.Message, _ time.Duration) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.queue = append(f.queue, m)
	return nil
}

func (f *fleet) of(name string) *memory {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.kept[name]
}

func (f *fleet) Load(ctx context.Context, name string) (pair.Snapshot, error) {
	return f.of(name).Load(ctx, name)
}
func (f *fleet) Delete(context.Context, string) error      { return nil }
func (f *fleet) Stop(context.Context) (*pair.Pause, error) { return nil, nil }

func (f *fleet) AcquireLease(ctx context.Context, snap pair.Snapshot, owner string, now time.Time, ttl time.Duration) (pair.Snapshot, error) {
	return f.of(snap.Definition.Name).AcquireLease(ctx, snap, owner, now, ttl)
}

func (f *fleet) ReleaseLease(ctx context.Context, snap pair.Snapshot, owner string) (pair.Snapshot, error) {
	return f.of(snap.Definition.Name).ReleaseLease(ctx, snap, owner)
}

func (f *fleet) Holds(ctx context.Context, snap pair.Snapshot, owner string, now time.Time) error {
	return f.of(snap.Definition.Name).Holds(ctx, snap, owner, now)
}

func (f *fleet) Commit(ctx context.Context, snap pair.Snapshot, ch pair.Change) (pair.Snapshot, error) {
	return f.of(snap.Definition.Name).Commit(ctx, snap, ch)
}

func (f *fleet) AppendJournal(context.Context, string, pair.Post) error { return nil }

func (f *fleet) Delivered(ctx context.Context, name string, ids []string) error {
	return f.of(name).Delivered(ctx, name, ids)
}

func (f *fleet) unit(a netip.Addr) unit {
	f.mu.Lock()
	defer f.mu.Unlock()
	return *f.units[a]
}

func (f *fleet) set(a netip.Addr, u unit) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.units[a] = &u
}

func (f *fleet) Report(_ context.Context, u pair.Unit) (pair.Report, error) {
	one := f.unit(u.Address)
	if one.check == pair.CheckSilent {
		return pair.Report{}, pair.ErrUnreachable
	}
	return pair.Report{State: one.state, Preferred: one.preferred, CheckPort: 8444}, nil
}

func (f *fleet) Prefer(ctx context.Context, u pair.Unit, _ pair.Preference) (pair.Report, error) {
	return f.Report(ctx, u)
}

func (f *fleet) CheckPort(_ context.Context, a netip.AddrPort) pair.CheckSeen {
	return pair.CheckSeen{Answer: f.unit(a.Addr()).check}
}

func (f *fleet) Service(context.Context, netip.Addr, pair.Check) pair.ServiceSeen {
	return pair.ServiceSeen{}
}

func (f *fleet) LoadBalancer(_ context.Context, d pair.Definition, lb pair.LoadBalancer, health bool) (pair.BalancerSeen, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.throttled(); err != nil {
		return pair.BalancerSeen{}, err
	}
	f.calls++
	seen := pair.BalancerSeen{Name: lb.Name, At: f.now, Pools: []pair.PoolSeen{{Name: "pool", ETag: "1"}}}
	for _, r := range pair.Roles {
		a := d.Units.Of(r).Address
		state := f.admin[lb.Name+a.String()]
		if state == pair.AdminUnknown {
			state = pair.AdminNone
		}
		seen.Pools[0].Members = append(seen.Pools[0].Members, pair.MemberSeen{Name: r.String(), Address: a, Admin: state})
		if health {
			up := f.units[a].check == pair.CheckServing
			reason := map[bool]string{true: "Up_Probe_Success", false: "Down_Probe_HttpStatusCodeError"}[up]
			if state != pair.AdminNone {
				up, reason = state == pair.AdminUp, state.String()+"_Admin"
			}
			seen.Health = append(seen.Health, pair.HealthSeen{Rule: "check", Address: a, Up: up, Reason: reason})
		}
	}
	if health {
		f.calls += 2 // a POST is a write to Azure's limits; its answer is polled twice at least
	}
	return seen, nil
}

// write notes one write to Resource Manager.
func (f *fleet) write(ctx context.Context, what string, last func(context.Context) error) (pair.Operation, error) {
	if err := last(ctx); err != nil {
		return pair.Operation{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.throttled(); err != nil {
		return pair.Operation{}, err
	}
	f.wrote = append(f.wrote, f.now.Format("15:04:05 ")+what)
	return pair.Operation{Done: true}, nil
}

// throttled is Resource Manager's 429, while it lasts. The caller holds mu.
func (f *fleet) throttled() error {
	left := f.until.Sub(f.now)
	if left <= 0 {
		return nil
	}
	f.refused++
	return &pair.Waiting{Err: pair.ErrThrottled, After: left}
}

func (f *fleet) BeginAdminState(ctx context.Context, ch pair.AdminChange, last func(context.Context) error) (pair.Operation, error) {
	op, err := f.write(ctx, "fence", last)
	if err != nil {
		return op, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.admin[ch.LoadBalancer.Name()+ch.Address.String()] = ch.Want
	return op, nil
}

func (f *fleet) ProveIfMatch(context.Context, pair.AdminChange) error { return nil }

func (f *fleet) SetTag(ctx context.Context, _ pair.ResourceID, _, _ string, last func(context.Context) error) (pair.Operation, error) {
	return f.write(ctx, "tag", last)
}

func (f *fleet) BeginStart(ctx context.Context, vm pair.ResourceID, last func(context.Context) error) (pair.Operation, error) {
	op, err := f.write(ctx, "start", last)
	if err != nil {
		return op, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.vm(vm).power = pair.PowerRunning
	return op, nil
}

// vm is the unit on a VM. The caller holds mu.
func (f *fleet) vm(id pair.ResourceID) *unit {
	d := f.defs[strings.TrimSuffix(strings.TrimSuffix(id.Name(), "-lm1"), "-lm2")]
	if strings.HasSuffix(id.Name(), "-lm2") {
		return f.units[d.Units.Second.Address]
	}
	return f.units[d.Units.First.Address]
}

func (f *fleet) BeginRestart(ctx context.Context, _ pair.ResourceID, last func(context.Context) error) (pair.Operation, error) {
	return f.write(ctx, "restart", last)
}

func (f *fleet) Poll(context.Context, string) (pair.Operation, error) {
	return pair.Operation{Done: true}, nil
}

func (f *fleet) Power(_ context.Context, vm pair.ResourceID) (pair.PowerSeen, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.throttled(); err != nil {
		return pair.PowerSeen{}, err
	}
	f.calls++
	return pair.PowerSeen{Power: f.vm(vm).power, At: f.now}, nil
}

// cpu is the processor time that this process has used.
func cpu(t testing.TB) time.Duration {
	t.Helper()
	var use syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &use); err != nil {
		t.Fatal(err)
	}
	return time.Duration(use.Utime.Nano() + use.Stime.Nano())
}

// BenchmarkQuietFleet sweeps 10,000 quiet pairs for ten minutes of their time:
// each sweep shall take under 10 s of processor time, and all together shall
// read Resource Manager fewer than 200 times a minute.
func BenchmarkQuietFleet(b *testing.B) {
	const pairs, minutes = 10000, 10
	f := newFleet(b, pairs, nil)
	w := f.waker(b)
	for b.Loop() {
		f.calls = 0
		before, sweeps := cpu(b), 0
		for range minutes * time.Minute / (15 * time.Second) {
			f.sweep(b, w)
			f.pass(15 * time.Second)
			sweeps++
		}
		b.ReportMetric((cpu(b)-before).Seconds()/float64(sweeps), "cpu-s/sweep")
		b.ReportMetric(float64(f.calls)/minutes, "reads/min")
	}
	if len(f.wrote) != 0 {
		b.Errorf("wrote %v", f.wrote)
	}
}

// zoneOutage lets the first VM of 500 pairs be switched off at once, while
// every tenth pair is cut and has two active units, and lets Tandem work until a
// minute after Resource Manager has stopped answering 429, which it does for a
// while.
func zoneOutage(t testing.TB, throttled time.Duration) *fleet {
	t.Helper()
	f := newFleet(t, 500, func(_ int, d *pair.Definition) { d.Failover.Start = pair.Allowed })
	w := f.waker(t)
	f.sweep(t, w)
	f.pass(15 * time.Second)
	f.zoneFails(t, w, f.clock().Add(throttled))
	for range throttled / (15 * time.Second) {
		f.sweep(t, w)
		f.pass(15 * time.Second)
	}
	for tick := range 60 {
		if tick%15 == 0 {
			f.sweep(t, w)
		}
		if tick%5 == 0 {
			f.drain(t, w)
		}
		f.pass(time.Second)
	}
	return f
}

// zoneFails takes the first VMs of nine in ten pairs away, lets the others have
// two active units, and has Resource Manager answer 429 until a time.
func (f *fleet) zoneFails(t testing.TB, w *control.Waker, until time.Time) {
	t.Helper()
	var gone []pair.Evidence
	for n, name := range f.names {
		d := f.defs[name]
		f.set(d.Units.Second.Address, unit{check: pair.CheckServing, state: pair.Active, preferred: pair.PreferFirst, power: pair.PowerRunning})
		if n%10 == 0 {
			continue
		}
		f.set(d.Units.First.Address, unit{check: pair.CheckSilent, power: pair.PowerDeallocated})
		gone = append(gone, pair.Evidence{Kind: pair.EvidenceStopped, VM: d.VMID(pair.First), At: f.clock()})
	}
	f.mu.Lock()
	f.until = until
	f.mu.Unlock()
	for _, e := range gone {
		name := strings.TrimSuffix(e.VM.Name(), "-lm1")
		if err := w.Reconcile(t.Context(), pair.Message{V: 1, Kind: "wake", Pairs: []string{name}, Cause: pair.Cause{Kind: pair.CauseVM, Evidence: []pair.Evidence{e}}}); err != nil {
			t.Fatal(err)
		}
	}
}

// TestAZoneOutageStaysWithinTheBudget: fences do not wait for the starts of VMs
// that other pairs want, and the starts keep to what a subscription allows.
func TestAZoneOutageStaysWithinTheBudget(t *testing.T) {
	f := zoneOutage(t, 0)
	perSecond := map[string]int{}
	starts, fences, late := 0, 0, 0
	for _, line := range f.wrote {
		at, what, _ := strings.Cut(line, " ")
		perSecond[at]++
		switch what {
		case "start":
			starts++
		case "fence":
			fences++
			if at > "12:00:20" {
				late++
			}
		}
	}
	if fences != 50 || late != 0 {
		t.Errorf("%d fences, %d of them later than the next sweep; want 50 and none", fences, late)
	}
	if starts < 200 || starts > 600 {
		t.Errorf("%d starts in a minute, want as many as 7 a second and a burst of 100 allow", starts)
	}
	for at, n := range perSecond {
		if n > 200 {
			t.Errorf("%d writes at %s, more than a subscription takes at once", n, at)
		}
	}
}

// TestAZoneOutageUnderThrottling: Resource Manager answers 429 for ten minutes of
// it. What one pair meets, all others of the process heed, so it is hardly asked;
// then the fences come before everything else.
func TestAZoneOutageUnderThrottling(t *testing.T) {
	const throttled = 10 * time.Minute
	f := zoneOutage(t, throttled)
	if most := 2 * int(throttled/time.Minute); f.refused > most {
		t.Errorf("%d requests met a 429, want %d at most", f.refused, most)
	}
	begin := time.Date(2026, 11, 22, 12, 0, 15, 0, time.UTC).Add(throttled)
	soon := begin.Add(time.Minute / 2).Format("15:04:05")
	fences, late, starts := 0, 0, 0
	for _, line := range f.wrote {
		at, what, _ := strings.Cut(line, " ")
		switch {
		case at < begin.Format("15:04:05"):
			t.Fatalf("%s was taken while everything met a 429", line)
		case what == "start":
			starts++
		case what == "fence" && at > soon:
			late++
			fallthrough
		case what == "fence":
			fences++
		}
	}
	if fences != 50 || late != 0 || starts < 100 {
		t.Errorf("%d fences, %d of them later than half a minute after the last 429, and %d starts; want 50, none, and at least the burst of 100", fences, late, starts)
	}
}

func BenchmarkZoneOutage(b *testing.B) {
	for b.Loop() {
		f := zoneOutage(b, 0)
		b.ReportMetric(float64(len(f.wrote)), "writes")
		b.ReportMetric(float64(f.calls), "reads")
	}
}
