package documents

import (
	"context"
	"log/slog"
	"maps"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"tandem/internal/api"
	"tandem/internal/control"
	"tandem/internal/manifest"
	"tandem/internal/pair"
	"tandem/internal/store"
)

// The documents show one evening: four pairs with fixed times, so that the
// commands print the same every time. The passes, the store and the operator
// API are the program's own; the units and Azure are as the test says.
var evening = time.Date(2026, 11, 22, 21, 0, 0, 0, time.UTC)

// serve returns the address of an operator API over four pairs.
func serve(t *testing.T) string {
	t.Helper()
	w := &world{now: evening, answers: map[netip.Addr]pair.HAState{}, down: map[netip.Addr]bool{}, tags: map[pair.ResourceID]map[string]string{}}
	account := store.NewEmbedded(store.EmbeddedOptions{Now: w.clock})
	kept := account.Store(store.HandleOptions{})
	log := slog.New(slog.DiscardHandler)
	controller, err := control.New(control.Options{
		Store: kept, Outbox: kept, Units: w, Checks: w, Platform: w, Log: log, Worker: "documents",
		Now: w.clock, Uptime: func() time.Duration { return w.clock().Sub(evening) },
	})
	if err != nil {
		t.Fatal(err)
	}
	routes, err := api.NewServer(api.Options{Store: kept, Log: log, Now: w.clock})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(routes)
	t.Cleanup(server.Close)

	names := []string{"edge-frc", "edge-neu", "edge-sea", "edge-uks"}
	for i, name := range names {
		snap, err := kept.Define(t.Context(), w.define(t, name, i), nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := kept.Commit(t.Context(), snap, pair.Change{Record: proved(snap)}); err != nil {
			t.Fatal(err)
		}
	}
	for tick := range 8 {
		if tick == 3 { // the evening begins quietly
			w.answer("10.0.0.5", pair.Active)       // edge-frc: the link is cut, a person is asked
			w.answer("10.0.2.4", pair.StateUnknown) // edge-sea: first is gone, second serves
			w.answer("10.0.2.5", pair.Active)
			w.answer("10.0.3.5", pair.Active) // edge-uks: the link is cut, Tandem may fence
		}
		w.pass()
		for _, name := range names {
			if err := controller.Pass(t.Context(), name, pair.Cause{Kind: pair.CauseSweep}); err != nil {
				t.Fatal(err)
			}
		}
	}
	return server.URL
}

// proved is the pair's record once the lever is proved on each of its pools, as
// mode auto wants it before it acts.
func proved(snap pair.Snapshot) pair.Record {
	rec := snap.Record
	for _, lb := range snap.Definition.LoadBalancers {
		for _, pool := range lb.Pools {
			rec.Proofs = append(rec.Proofs, pair.LeverProof{LoadBalancer: lb.Name, Pool: pool, At: evening, By: "ada", Back: true})
		}
	}
	return rec
}

// world is what the passes see of the outside.
type world struct {
	mu      sync.Mutex
	now     time.Time
	answers map[netip.Addr]pair.HAState // StateUnknown is silence
	down    map[netip.Addr]bool         // in the load balancer
	tags    map[pair.ResourceID]map[string]string
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

// pass lets the time go by until the next look.
func (w *world) pass() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(pair.LookAgain)
}

func (w *world) answer(address string, state pair.HAState) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.answers[netip.MustParseAddr(address)] = state
}

// define makes the n-th pair from the example, with units in a network of its
// own. Its first unit is active.
func (w *world) define(t *testing.T, name string, n int) pair.Definition {
	t.Helper()
	path := filepath.Join(root, "examples", "edge-weu.yaml")
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	all, err := manifest.Read(path, f)
	if err != nil {
		t.Fatal(err)
	}
	d := all[0]
	d.Name, d.Azure.ResourceGroup = name, "rg-"+name
	d.Units.First.Address = netip.AddrFrom4([4]byte{10, 0, byte(n), 4})
	d.Units.Second.Address = netip.AddrFrom4([4]byte{10, 0, byte(n), 5})
	d.Mode = pair.Auto
	switch name {
	case "edge-frc":
		d.Mode = pair.Recommend
	case "edge-uks":
		d.Failover.Fence = pair.Allowed
	}
	w.answer(d.Units.First.Address.String(), pair.Active)
	w.answer(d.Units.Second.Address.String(), pair.Standby)
	return d
}

func (w *world) stateOf(a netip.Addr) pair.HAState {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.answers[a]
}

func (w *world) Report(_ context.Context, u pair.Unit) (pair.Report, error) {
	state := w.stateOf(u.Address)
	if state == pair.StateUnknown {
		return pair.Report{}, pair.ErrUnreachable
	}
	return pair.Report{State: state, Preferred: pair.PreferFirst, CheckPort: 8444, Firmware: "7.2.62.0.22931"}, nil
}

// Prefer changes nothing: the units have the preference that the pairs want.
func (w *world) Prefer(ctx context.Context, u pair.Unit, _ pair.Preference) (pair.Report, error) {
	return w.Report(ctx, u)
}

func (w *world) CheckPort(_ context.Context, at netip.AddrPort) pair.CheckSeen {
	switch w.stateOf(at.Addr()) {
	case pair.Active:
		return pair.CheckSeen{Answer: pair.CheckServing, Status: 200}
	case pair.Standby:
		return pair.CheckSeen{Answer: pair.CheckIdle, Status: 503}
	default:
		return pair.CheckSeen{Answer: pair.CheckSilent}
	}
}

// Service passes on the unit that serves.
func (w *world) Service(_ context.Context, unit netip.Addr, c pair.Check) pair.ServiceSeen {
	if w.stateOf(unit) == pair.Active {
		return pair.ServiceSeen{Answer: pair.ServicePassed}
	}
	return pair.ServiceSeen{Answer: pair.ServiceFailed, Check: c.Name, Detail: "silent"}
}

func (w *world) LoadBalancer(_ context.Context, d pair.Definition, lb pair.LoadBalancer, health bool) (pair.BalancerSeen, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	seen := pair.BalancerSeen{Name: lb.Name, At: w.now, Tags: maps.Clone(w.tags[d.LoadBalancerID(lb.Name)])}
	for _, pool := range lb.Pools {
		p := pair.PoolSeen{Name: pool, ETag: "1"}
		for _, r := range pair.Roles {
			m := pair.MemberSeen{Name: d.Units.Of(r).VM, Address: d.Units.Of(r).Address, Admin: pair.AdminNone}
			if w.down[m.Address] {
				m.Admin = pair.AdminDown
			}
			p.Members = append(p.Members, m)
		}
		seen.Pools = append(seen.Pools, p)
	}
	for _, r := range pair.Roles {
		a := d.Units.Of(r).Address
		switch {
		case !health:
		case w.down[a]:
			seen.Health = append(seen.Health, pair.HealthSeen{Rule: "check", Address: a, Reason: "Down_Admin"})
		default:
			up := w.answers[a] == pair.Active
			reason := map[bool]string{true: "Up_Probe_Success", false: "Down_Probe_HttpStatusCodeError"}[up]
			seen.Health = append(seen.Health, pair.HealthSeen{Rule: "check", Address: a, Up: up, Reason: reason})
		}
	}
	return seen, nil
}

func (w *world) BeginAdminState(_ context.Context, ch pair.AdminChange, _ func(context.Context) error) (pair.Operation, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.down[ch.Address] = ch.Want == pair.AdminDown
	return pair.Operation{Done: true}, nil
}

func (w *world) SetTag(_ context.Context, lb pair.ResourceID, name, value string, _ func(context.Context) error) (pair.Operation, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if value == "" {
		delete(w.tags[lb], name)
	} else {
		w.tags[lb] = map[string]string{name: value}
	}
	return pair.Operation{Done: true}, nil
}

func (w *world) ProveIfMatch(context.Context, pair.AdminChange) error { return nil }

func (w *world) BeginStart(context.Context, pair.ResourceID, func(context.Context) error) (pair.Operation, error) {
	return pair.Operation{Done: true}, nil
}

func (w *world) BeginRestart(context.Context, pair.ResourceID, func(context.Context) error) (pair.Operation, error) {
	return pair.Operation{Done: true}, nil
}

func (w *world) Poll(context.Context, string) (pair.Operation, error) {
	return pair.Operation{Done: true}, nil
}

func (w *world) Power(context.Context, pair.ResourceID) (pair.PowerSeen, error) {
	return pair.PowerSeen{Power: pair.PowerRunning, At: w.clock()}, nil
}
