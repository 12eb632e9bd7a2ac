package control_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tandem/internal/control"
	"tandem/internal/geo"
	"tandem/internal/job"
	jobgeo "tandem/internal/job/geo"
	"tandem/internal/pair"
	"tandem/internal/store"
)

var _ control.TopologyStore = (*store.Store)(nil)

// geoUnit is a LoadMaster as far as GEO sees it.
type geoUnit struct {
	held      pair.GEOSeen
	submitted bool // its partners, since it serves
	silent    bool
	refuses   error // what it says to a write
}

// sites is a world of pairs and standalone units, with the topologies of one worker.
// Its pairs carry out their jobs by themselves, as internal/job/geo does.
type sites struct {
	t     *testing.T
	now   time.Time
	store *store.Store
	units map[netip.Addr]*geoUnit
	pairs map[string]*sitePair
	names []string // of the pairs
	top   *control.Topologies
	fx    *siteEffects
	n     int      // workers so far
	wrote []string // by the topologies themselves
	log   []string // restarts and submissions of the pairs
	syncs bool     // the settings sync brings lists and clusters to the other unit
}

type sitePair struct {
	def     pair.Definition
	active  pair.Role
	moves   time.Time // since when first is away for a restart
	asks    bool      // its job asks before it restarts
	fails   string    // its next job fails with this
	holding bool      // it does not look after its job
}

// siteEffects lets one effect go wrong, and its worker die of that.
type siteEffects struct {
	at   int
	fate fate

	mu   sync.Mutex // guards the rest: a pass has effects on several units at once
	n    int
	dead bool
	what []string
}

func (fx *siteEffects) do(what string, f func() error) error {
	fx.mu.Lock()
	defer fx.mu.Unlock()
	if fx.dead {
		return fmt.Errorf("the worker is dead: %w", pair.ErrUnreachable)
	}
	fx.n++
	fx.what = append(fx.what, what)
	if fx.n != fx.at {
		return f()
	}
	fx.dead = true
	if fx.fate == unknown {
		if err := f(); err != nil {
			return err
		}
	}
	return fmt.Errorf("no answer: %w", pair.ErrUnknownOutcome)
}

// siteStore is a worker's handle of the store.
type siteStore struct {
	*store.Store
	fx *siteEffects
}

func (s siteStore) PutTopology(ctx context.Context, snap geo.Snapshot) (out geo.Snapshot, err error) {
	err = s.fx.do("put", func() error { out, err = s.Store.PutTopology(ctx, snap); return err })
	return out, err
}

func (s siteStore) Commit(ctx context.Context, snap pair.Snapshot, ch pair.Change) (out pair.Snapshot, err error) {
	err = s.fx.do("commit "+snap.Definition.Name, func() error { out, err = s.Store.Commit(ctx, snap, ch); return err })
	return out, err
}

func (s siteStore) Send(ctx context.Context, q string, m pair.Message, d time.Duration) error {
	return s.fx.do("send", func() error { return s.Store.Send(ctx, q, m, d) })
}

// GEO and SetGEO are the units as the topologies reach them.
func (w *sites) GEO(_ context.Context, u pair.Unit) (pair.GEOSeen, error) {
	one := w.units[u.Address]
	if one == nil || one.silent {
		return pair.GEOSeen{}, fmt.Errorf("%s: %w", u.Address, pair.ErrUnreachable)
	}
	seen := one.held
	seen.At = w.now
	return seen, nil
}

func (w *sites) SetGEO(ctx context.Context, u pair.Unit, what pair.GEOWrite) (seen pair.GEOSeen, err error) {
	for _, p := range w.pairs {
		if u.Address == p.def.Units.First.Address || u.Address == p.def.Units.Second.Address {
			w.t.Errorf("the topology itself writes on %s, which is a unit of pair %s", u.Address, p.def.Name)
		}
	}
	one := w.units[u.Address]
	if one.silent || one.refuses != nil {
		return seen, errors.Join(one.refuses, pair.ErrUnreachable)
	}
	err = w.fx.do("write "+u.Address.String(), func() error {
		w.wrote = append(w.wrote, u.Address.String())
		one.take(what)
		return nil
	})
	if err != nil {
		return seen, err
	}
	return w.GEO(ctx, u)
}

// take is what an appliance makes of a write.
func (u *geoUnit) take(w pair.GEOWrite) {
	if w.Lists {
		u.held.Access, u.held.Partners = w.Access, w.Partners
		u.submitted = u.submitted || w.Submit
	}
	for _, c := range w.Create {
		if !u.held.HasCluster(c) {
			u.held.Clusters = append(slices.Clone(u.held.Clusters), c)
		}
	}
	u.held.Clusters = slices.DeleteFunc(slices.Clone(u.held.Clusters), func(c pair.GEOCluster) bool { return slices.Contains(w.Delete, c.Address) })
}

var siteNoon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// newSites makes so many healthy pairs, first serving, and standalone units.
func newSites(t *testing.T, pairs, alone int) *sites {
	t.Helper()
	w := &sites{t: t, now: siteNoon, units: map[netip.Addr]*geoUnit{}, pairs: map[string]*sitePair{}, syncs: true}
	w.store = store.NewEmbedded(store.EmbeddedOptions{Now: func() time.Time { return w.now }}).Store(store.HandleOptions{})
	for n := range pairs {
		d := definition()
		d.Name = fmt.Sprintf("pair%d", n+1)
		d.Azure.ResourceGroup = d.Name
		d.Units.First.Address, d.Units.Second.Address = siteAddr(n, 4), siteAddr(n, 5)
		snap, err := w.store.Define(t.Context(), d, nil)
		if err != nil {
			t.Fatal(err)
		}
		w.pairs[d.Name] = &sitePair{def: snap.Definition, active: pair.First}
		w.names = append(w.names, d.Name)
		w.onPair(d.Name, func(rec *pair.Record) {
			rec.Situation, rec.LastActive, rec.Since = pair.Healthy, pair.First, w.now.Add(-time.Hour)
		})
		for _, r := range pair.Roles {
			w.units[d.Units.Of(r).Address] = &geoUnit{held: pair.GEOSeen{BootedAt: siteNoon.Add(-time.Hour)}}
		}
	}
	for n := range alone {
		w.units[siteAddr(100+n, 9)] = &geoUnit{held: pair.GEOSeen{BootedAt: siteNoon.Add(-time.Hour)}}
	}
	w.start(&siteEffects{})
	return w
}

func siteAddr(site, host int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, 1, byte(site), byte(host)})
}

func (w *sites) jobs() *job.Registry {
	r, err := job.NewRegistry(jobgeo.Procedure())
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

// start starts a worker in the place of the one before.
func (w *sites) start(fx *siteEffects) {
	w.n++
	w.fx = fx
	var err error
	w.top, err = control.NewTopologies(control.TopologyOptions{
		Store: siteStore{w.store, fx}, GEO: w, Jobs: w.jobs(), Log: slog.New(slog.DiscardHandler), Worker: fmt.Sprintf("worker-%d", w.n),
		Now: func() time.Time { return w.now },
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *sites) load(name string) pair.Snapshot {
	w.t.Helper()
	snap, err := w.store.Load(w.t.Context(), name)
	if err != nil {
		w.t.Fatal(err)
	}
	return snap
}

func (w *sites) onPair(name string, change func(*pair.Record)) {
	w.t.Helper()
	snap := w.load(name)
	if snap.Record.Job != nil {
		snap.Record.Job = snap.Record.Job.Clone()
	}
	change(&snap.Record)
	if _, err := w.store.Commit(w.t.Context(), snap, pair.Change{Record: snap.Record}); err != nil {
		w.t.Fatal(err)
	}
}

// topology has so many of the pairs and of the standalone units.
func (w *sites) topology(pairs, alone int) geo.Topology {
	t := geo.Topology{Name: "global", Mode: pair.Auto}
	for _, name := range w.names[:pairs] {
		u := w.pairs[name].def.Units
		t.Members = append(t.Members, geo.Member{Name: name, Pair: name, First: u.First.Address, Second: u.Second.Address})
	}
	for n := range alone {
		t.Members = append(t.Members, geo.Member{Name: fmt.Sprintf("sa%d", n+1), Standalone: siteAddr(100+n, 9), API: pair.API{Port: 8443, Secret: "sa"}})
	}
	return t
}

func (w *sites) apply(t geo.Topology) {
	w.t.Helper()
	if _, err := w.top.Apply(w.t.Context(), t, "ada", "a new site"); err != nil {
		w.t.Fatal(err)
	}
}

func (w *sites) record() geo.Record {
	w.t.Helper()
	snap, err := w.store.Topology(w.t.Context(), "global")
	if err != nil {
		w.t.Fatal(err)
	}
	return snap.Record
}

// tick lets a quarter of a minute pass: the pairs look after their jobs, and the sweep
// has the topology looked at where it is due. A worker that died is replaced.
func (w *sites) tick() {
	w.t.Helper()
	w.now = w.now.Add(15 * time.Second)
	for _, name := range w.names {
		w.work(name)
	}
	if restarts := w.restarting(); restarts > 1 {
		w.t.Fatalf("%d pairs are restarted at once", restarts)
	}
	due, err := w.store.DueTopologies(w.t.Context(), w.now)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, name := range due {
		_ = w.top.Pass(w.t.Context(), name) // the next sweep is the repeat
	}
	if w.fx.dead {
		w.start(&siteEffects{})
	}
}

func (w *sites) restarting() (n int) {
	for _, p := range w.pairs {
		if !p.moves.IsZero() {
			n++
		}
	}
	return n
}

// run lets the world go on until something is so.
func (w *sites) run(most time.Duration, so func() bool) {
	w.t.Helper()
	for end := w.now.Add(most); !so(); w.tick() {
		if w.now.After(end) {
			rec := w.record()
			w.t.Fatalf("it is not so after %v: run %+v\nmembers %+v\nalarms %+v\n%s", most, rec.Run, rec.Members, rec.Alarms, strings.Join(w.log, "\n"))
		}
	}
}

func (w *sites) is(s geo.RunState) func() bool {
	return func() bool { return w.record().Run.State == s }
}

// work is what the pair makes of its job: what internal/job/geo does, each step in one
// look, and the restart in two minutes.
func (w *sites) work(name string) {
	p := w.pairs[name]
	j := w.load(name).Record.Job
	if !j.Running() || p.holding {
		return
	}
	at := func(step string) int {
		return slices.IndexFunc(j.Steps, func(s pair.JobStep) bool { return s.Name == step })
	}
	active := w.units[p.def.Units.Of(p.active).Address]
	g := *j.GEO
	submit := func() {
		if len(g.Partners) > 0 {
			active.take(pair.GEOWrite{Lists: true, Access: g.Access, Partners: g.Partners, Submit: true})
			g.Submitted = pair.GEOSubmitted{Unit: p.active, BootedAt: active.held.BootedAt, At: w.now}
			w.log = append(w.log, "submit "+name)
		}
	}
	next, state, why := j.Step, pair.JobRuns, ""
	switch {
	case p.fails != "":
		state, why, p.fails = pair.JobFailed, p.fails, ""
	case j.Said != nil && j.Said.Word == pair.JobCancel:
		state = pair.JobCancelled
	case g.Turn < pair.GEOLists:
	case j.Step <= at("lists"):
		if !active.held.Holds(g.Access, g.Partners) {
			active.take(pair.GEOWrite{Lists: true, Access: g.Access, Partners: g.Partners})
			submit()
			w.synchronise(p)
		}
		next = at("turn-restart")
	case g.Restart && !g.Restarted && g.Turn < pair.GEORestart:
	case g.Restart && !g.Restarted && p.asks:
		state, why = pair.JobAsks, "first goes away"
	case g.Restart && !g.Restarted && p.moves.IsZero():
		p.moves = w.now
		w.log = append(w.log, "restart "+name)
		w.serve(name, pair.Second)
	case g.Restart && !g.Restarted && w.now.Sub(p.moves) < 2*time.Minute:
	case g.Restart && !g.Restarted:
		p.moves, g.Restarted, g.Submitted = time.Time{}, true, pair.GEOSubmitted{}
	case j.Step < at("turn-clusters"):
		if g.Submit || g.Restarted {
			submit()
		}
		next = at("turn-clusters")
	case g.Turn < pair.GEOClusters:
	default:
		active.take(pair.GEOWrite{Create: g.Create, Delete: g.Delete})
		w.synchronise(p)
		next, state = len(j.Steps), pair.JobDone
	}
	w.onPair(name, func(rec *pair.Record) { rec.Job.Step, rec.Job.State, rec.Job.Why, rec.Job.GEO = next, state, why, &g })
}

// serve lets another unit of a pair serve, which forgets its partners.
func (w *sites) serve(name string, r pair.Role) {
	p := w.pairs[name]
	p.active = r
	u := w.units[p.def.Units.Of(r).Address]
	u.submitted = false
	w.units[p.def.Units.Of(r.Other()).Address].held.BootedAt = w.now
	w.onPair(name, func(rec *pair.Record) { rec.LastActive = r })
}

// synchronise is the settings sync of the pair.
func (w *sites) synchronise(p *sitePair) {
	if !w.syncs {
		return
	}
	from, to := w.units[p.def.Units.Of(p.active).Address], w.units[p.def.Units.Of(p.active.Other()).Address]
	to.held.Access, to.held.Partners, to.held.Clusters = from.held.Access, from.held.Partners, from.held.Clusters
}

// wrong compares what the units that serve hold with an independent reading of the
// guide; the own entry may be either unit's.
func (w *sites) wrong(t geo.Topology, gone ...netip.Addr) (all []string) {
	known := func(m geo.Member) []netip.Addr { return m.Units() }
	for _, m := range t.Members {
		at := m.Standalone
		if m.Pair != "" {
			at = w.pairs[m.Pair].def.Units.Of(w.pairs[m.Pair].active).Address
		}
		u := w.units[at]
		if u.silent {
			continue
		}
		others := map[netip.Addr]bool{}
		clusters := 0
		for _, o := range t.Members {
			for _, a := range known(o) {
				if o.Name != m.Name {
					others[a] = true
				}
			}
			if slices.ContainsFunc(u.held.Clusters, func(c pair.GEOCluster) bool { return c.Name == o.Name }) {
				clusters++
			}
		}
		own := 0
		for _, a := range u.held.Access {
			if slices.Contains(m.Units(), a) {
				own++
			} else if !others[a] {
				all = append(all, fmt.Sprintf("%s lets %s in", m.Name, a))
			}
		}
		if len(u.held.Access) != len(others)+1 || own != 1 {
			all = append(all, fmt.Sprintf("%s has access %v", m.Name, u.held.Access))
		}
		if !pair.SameAddresses(u.held.Partners, slices.Collect(maps.Keys(others))) {
			all = append(all, fmt.Sprintf("%s has partners %v", m.Name, u.held.Partners))
		}
		if len(others) > 0 && !u.submitted {
			all = append(all, m.Name+" has forgotten its partners")
		}
		if clusters != len(t.Members) {
			all = append(all, fmt.Sprintf("%s has clusters %v", m.Name, u.held.Clusters))
		}
		for _, a := range gone {
			if u.held.HasAddress(a) {
				all = append(all, fmt.Sprintf("%s has a cluster %s still", m.Name, a))
			}
		}
	}
	return all
}

func (w *sites) right(t geo.Topology, gone ...netip.Addr) {
	w.t.Helper()
	if wrong := w.wrong(t, gone...); len(wrong) > 0 {
		w.t.Fatalf("%s\n%s", strings.Join(wrong, "\n"), strings.Join(w.log, "\n"))
	}
}

func (w *sites) restarts() (names []string) {
	for _, line := range w.log {
		if name, ok := strings.CutPrefix(line, "restart "); ok {
			names = append(names, name)
		}
	}
	return names
}

func (w *sites) alarm(kind, member string) bool {
	return slices.ContainsFunc(w.record().Alarms, func(a geo.Alarm) bool { return a.Kind == kind && a.Member == member })
}

// TestATopologyComesAbout: whatever was there before, every member ends with the guide's
// lists, and each pair whose partners are new is restarted once, in the file's order.
func TestATopologyComesAbout(t *testing.T) {
	tests := []struct {
		name         string
		pairs, alone int
		before       func(*sites)
		restarts     []string
	}{
		{"one pair alone: its cluster, no partners, no restart (8.1)", 1, 0, nil, nil},
		{"a pair and a standalone unit (8.2)", 1, 1, nil, []string{"pair1"}},
		{"two pairs (8.3)", 2, 0, nil, []string{"pair1", "pair2"}},
		{"three pairs and two standalone units (8.4)", 3, 2, nil, []string{"pair1", "pair2", "pair3"}},
		{"without a settings sync the unit that takes over gets everything too", 2, 1, func(w *sites) { w.syncs = false }, []string{"pair1", "pair2"}},
		{"a pair on which second serves", 2, 1, func(w *sites) { w.serve("pair2", pair.Second) }, []string{"pair1", "pair2"}},
		{"a pair whose partners are right already is not restarted", 2, 0, func(w *sites) {
			u := w.units[siteAddr(0, 4)]
			u.held.Partners = []netip.Addr{siteAddr(1, 5), siteAddr(1, 4)}
		}, []string{"pair2"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newSites(t, tt.pairs, tt.alone)
			if tt.before != nil {
				tt.before(w)
			}
			top := w.topology(tt.pairs, tt.alone)
			w.apply(top)
			w.run(2*time.Hour, w.is(geo.RunDone))
			w.right(top)
			if got := w.restarts(); !slices.Equal(got, tt.restarts) {
				t.Errorf("restarts %v, want %v", got, tt.restarts)
			}
			wrote := len(w.wrote)
			w.apply(top)
			w.run(time.Hour, w.is(geo.RunDone))
			if got := w.restarts(); !slices.Equal(got, tt.restarts) || len(w.wrote) != wrote {
				t.Errorf("applied once more: restarts %v and %d more writes, want none", got, len(w.wrote)-wrote)
			}
		})
	}
}

// TestATopologysPassIsCarriedOnAfterEachEffect stops the worker at each effect of a
// whole run, before it is done and after: a fresh worker comes to the same end, no pair
// is restarted twice, and never two at once.
func TestATopologysPassIsCarriedOnAfterEachEffect(t *testing.T) {
	t.Parallel()
	story := func(t *testing.T, fx *siteEffects) *sites {
		w := newSites(t, 2, 1)
		w.syncs = false
		top := w.topology(2, 1)
		w.apply(top)
		w.start(fx)
		w.run(3*time.Hour, w.is(geo.RunDone))
		w.right(top)
		return w
	}
	plain := story(t, &siteEffects{})
	what := plain.fx.what
	if len(what) < 20 {
		t.Fatalf("a whole run has the effects %v", what)
	}
	for n := range what {
		if n%oneOf > 0 {
			continue
		}
		for _, f := range []fate{failed, unknown} {
			t.Run(fmt.Sprintf("effect %d, %s, %v", n+1, what[n], f), func(t *testing.T) {
				w := story(t, &siteEffects{at: n + 1, fate: f})
				if got, want := w.restarts(), []string{"pair1", "pair2"}; !slices.Equal(got, want) {
					t.Errorf("restarts %v, want %v", got, want)
				}
			})
		}
	}
}

// TestOnlyWhatAnEarlierTopologyBroughtIsRemoved: a member that has left leaves the
// others' lists and clusters; what a person put there stays.
func TestOnlyWhatAnEarlierTopologyBroughtIsRemoved(t *testing.T) {
	w := newSites(t, 2, 3)
	stranger := netip.MustParseAddr("10.9.9.9")
	alone := w.units[siteAddr(100, 9)]
	alone.held.Access = []netip.Addr{stranger}
	alone.held.Clusters = []pair.GEOCluster{{Name: "mine", Address: stranger}, {Name: "sa3", Address: siteAddr(102, 9)}}
	w.apply(w.topology(2, 3))
	w.run(2*time.Hour, w.is(geo.RunDone))

	less := w.topology(2, 2)
	w.apply(less)
	w.run(2*time.Hour, w.is(geo.RunDone))
	if !slices.Contains(alone.held.Access, stranger) {
		t.Errorf("an address of somebody else's was removed from %v", alone.held.Access)
	}
	if !alone.held.HasAddress(stranger) || !alone.held.HasAddress(siteAddr(102, 9)) {
		t.Errorf("a cluster was deleted that no topology of ours created: %v", alone.held.Clusters)
	}
	alone.held.Access = slices.DeleteFunc(alone.held.Access, func(a netip.Addr) bool { return a == stranger })
	alone.held.Clusters = slices.DeleteFunc(alone.held.Clusters, func(c pair.GEOCluster) bool { return c.Name == "sa3" || c.Name == "mine" })
	w.right(less, siteAddr(102, 9))
	if left := w.units[siteAddr(102, 9)].held; len(left.Access)+len(left.Partners) > 0 {
		t.Errorf("who has left holds %v and %v still", left.Access, left.Partners)
	}
}

// TestAMemberThatIsAwayIsCaughtUpLater: it holds nobody up, and when it is back after an
// hour it gets what the others have, its restart too.
func TestAMemberThatIsAwayIsCaughtUpLater(t *testing.T) {
	for _, tt := range []struct {
		name  string
		units []netip.Addr
	}{
		{"a standalone unit", []netip.Addr{siteAddr(101, 9)}},
		{"a pair", []netip.Addr{siteAddr(0, 4), siteAddr(0, 5)}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newSites(t, 2, 2)
			for _, a := range tt.units {
				w.units[a].silent = true
			}
			top := w.topology(2, 2)
			w.apply(top)
			w.run(time.Hour, w.is(geo.Waits))
			w.right(top) // of those that can be asked
			if len(w.record().Alarms) == 0 {
				t.Error("nobody is told")
			}
			for range 240 {
				w.tick()
			}
			for _, a := range tt.units {
				w.units[a].silent = false
			}
			w.run(time.Hour, w.is(geo.RunDone))
			w.right(top)
			if got := w.restarts(); len(got) != 2 {
				t.Errorf("restarts %v, want each pair once", got)
			}
		})
	}
}

// TestNoRebootAfterAFailover: the partners are submitted on the unit that serves now, by
// a job of the pair; in a mode that does not act it is told instead.
func TestNoRebootAfterAFailover(t *testing.T) {
	for _, tt := range []struct {
		mode  pair.Mode
		syncs bool
		acts  bool
	}{{pair.Auto, true, true}, {pair.Auto, false, true}, {pair.Recommend, true, false}, {pair.Observe, true, false}} {
		t.Run(fmt.Sprintf("%s, sync %t", tt.mode, tt.syncs), func(t *testing.T) {
			w := newSites(t, 2, 1)
			w.syncs = tt.syncs
			top := w.topology(2, 1)
			w.apply(top)
			w.run(time.Hour, w.is(geo.RunDone))
			d := w.pairs["pair1"].def
			d.Mode = tt.mode
			if _, err := w.store.Define(t.Context(), d, nil); err != nil {
				t.Fatal(err)
			}
			before := len(w.restarts())
			w.serve("pair1", pair.First)
			w.onPair("pair1", func(rec *pair.Record) { rec.Situation = pair.Degraded }) // the other unit is gone
			w.top.PairMoved(t.Context(), "pair1")
			if err := w.top.Pass(t.Context(), "global"); err != nil {
				t.Fatal(err)
			}
			for range 120 {
				w.tick()
			}
			if len(w.restarts()) != before {
				t.Errorf("restarts %v after a failover", w.restarts()[before:])
			}
			if told := w.alarm(geo.AlarmDrift, "pair1"); told == tt.acts {
				t.Errorf("told %t, want %t", told, !tt.acts)
			}
			if tt.acts {
				w.right(top)
				if j := w.load("pair1").Record.Job; j.By != pair.OwnerTandem {
					t.Errorf("the job is %s's", j.By)
				}
				return
			}
			if w.units[siteAddr(0, 4)].submitted {
				t.Error("it was done all the same")
			}
			w.apply(top) // a person's word allows it
			w.run(time.Hour, w.is(geo.RunDone))
			w.right(top)
			if len(w.restarts()) != before {
				t.Errorf("restarts %v, although no partner is new", w.restarts()[before:])
			}
		})
	}
}

// TestTheGuardKeepsTheLists: what somebody changes on a standalone unit is put right in
// mode auto, and told otherwise; and it ends where somebody changes it again and again.
func TestTheGuardKeepsTheLists(t *testing.T) {
	w := newSites(t, 1, 1)
	top := w.topology(1, 1)
	w.apply(top)
	w.run(time.Hour, w.is(geo.RunDone))
	u := w.units[siteAddr(100, 9)]
	spoil := func() { u.held.Access = nil }
	spoil()
	w.run(10*time.Minute, func() bool { return len(u.held.Access) > 0 })
	for range 600 {
		w.tick()
		spoil()
	}
	if !w.alarm(geo.AlarmFailed, "sa1") {
		t.Errorf("nobody is told of a dispute: %+v", w.record().Alarms)
	}
	if n := len(w.wrote); n > 20 {
		t.Errorf("%d writes in two hours and a half", n)
	}

	top.Mode = pair.Observe
	w.apply(top)
	w.run(time.Hour, w.is(geo.RunDone))
	spoil()
	for range 60 {
		w.tick()
	}
	if len(u.held.Access) > 0 || !w.alarm(geo.AlarmDrift, "sa1") {
		t.Errorf("in observe: access %v, alarms %+v", u.held.Access, w.record().Alarms)
	}
}

// TestAPairThatCannotBeginIsWaitedFor: for ten minutes everything, then nobody but that
// pair itself.
func TestAPairThatCannotBeginIsWaitedFor(t *testing.T) {
	for _, tt := range []struct {
		name        string
		before, end func(*pair.Record)
	}{
		{
			"it has another job", func(rec *pair.Record) { rec.Job = &pair.Job{ID: "x", Kind: "switchover", State: pair.JobRuns} },
			func(rec *pair.Record) { rec.Job.State = pair.JobDone },
		},
		{"a person holds it", func(rec *pair.Record) { rec.Pause = &pair.Pause{Owner: "bob"} }, func(rec *pair.Record) { rec.Pause = nil }},
		{"it is not healthy", func(rec *pair.Record) { rec.Situation = pair.Degraded }, func(rec *pair.Record) { rec.Situation = pair.Healthy }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newSites(t, 2, 1)
			w.pairs["pair2"].holding = true // nobody looks after its other job
			w.onPair("pair2", tt.before)
			top := w.topology(2, 1)
			w.apply(top)
			for range 20 {
				w.tick()
			}
			if len(w.wrote)+len(w.log) > 0 {
				t.Fatalf("something was written before every pair was ready: %v %v", w.wrote, w.log)
			}
			w.run(2*time.Hour, w.is(geo.Waits))
			if got := w.restarts(); !slices.Equal(got, []string{"pair1"}) {
				t.Errorf("restarts %v meanwhile, want pair1", got)
			}
			w.onPair("pair2", tt.end)
			w.pairs["pair2"].holding = false
			w.run(2*time.Hour, w.is(geo.RunDone))
			w.right(top)
		})
	}
}

// TestAPairWhoseJobFailsIsLeftOut until a person has taken note, and the others are
// brought about.
func TestAPairWhoseJobFailsIsLeftOut(t *testing.T) {
	w := newSites(t, 2, 1)
	w.pairs["pair1"].fails = "the target is not fit"
	top := w.topology(2, 1)
	w.apply(top)
	w.run(2*time.Hour, w.is(geo.Waits))
	if got := w.restarts(); !slices.Equal(got, []string{"pair2"}) || !w.alarm(geo.AlarmFailed, "pair1") {
		t.Errorf("restarts %v and alarms %+v", got, w.record().Alarms)
	}
	w.onPair("pair1", func(rec *pair.Record) { rec.Job.Acknowledged = true })
	w.run(2*time.Hour, w.is(geo.RunDone))
	w.right(top)
}

// TestARunThatIsCancelled leaves what is written, and restarts nothing later.
func TestARunThatIsCancelled(t *testing.T) {
	w := newSites(t, 2, 1)
	w.pairs["pair1"].asks = true
	w.apply(w.topology(2, 1))
	w.run(time.Hour, func() bool { return w.record().Run.Asks })
	if _, err := w.top.Cancel(t.Context(), "global", "bob", "not tonight"); err != nil {
		t.Fatal(err)
	}
	w.tick()
	w.tick()
	w.pairs["pair1"].asks = false
	for range 240 {
		w.tick()
	}
	if got := w.restarts(); len(got) > 0 {
		t.Errorf("restarts %v after the run was cancelled", got)
	}
	for _, name := range w.names {
		if j := w.load(name).Record.Job; j.Running() {
			t.Errorf("job %s of %s runs still", j.ID, name)
		}
	}
}

// TestAClusterThatDoesNotFollowIsTold and never deleted and created for that.
func TestAClusterThatDoesNotFollowIsTold(t *testing.T) {
	w := newSites(t, 2, 1)
	top := w.topology(2, 1)
	w.apply(top)
	w.run(time.Hour, w.is(geo.RunDone))
	alone := w.units[siteAddr(100, 9)]
	was := slices.Clone(alone.held.Clusters)
	for range 60 {
		w.tick()
	}
	var told []geo.Alarm
	for _, a := range w.record().Alarms {
		if a.Kind == geo.AlarmCluster && a.Stands(w.now) {
			told = append(told, a)
		}
	}
	if len(told) == 0 || !slices.Equal(alone.held.Clusters, was) {
		t.Errorf("told %+v, clusters %v", told, alone.held.Clusters)
	}
}

// TestWhatCannotBeAppliedIsRefused: it can be planned.
func TestWhatCannotBeAppliedIsRefused(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*geo.Topology)
		why    string
	}{
		{"a pair without a pair file", func(g *geo.Topology) { g.Members[0].Pair = "" }, "tandem geo plan takes addresses"},
		{"a standalone unit that nobody can reach", func(g *geo.Topology) { g.Members[1].API = pair.API{} }, "expected api"},
		{"two units behind NAT that are reached at one address", func(g *geo.Topology) {
			g.Members = append(g.Members, g.Members[1])
			g.Members[2].Name, g.Members[2].NAT.Standalone = "sa2", netip.MustParseAddr("192.0.2.9")
		}, "cannot both be reached"},
		{"a unit of another topology", func(g *geo.Topology) { g.Name = "other" }, "belongs to topology global"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newSites(t, 1, 1)
			w.apply(w.topology(1, 1))
			top := w.topology(1, 1)
			tt.change(&top)
			_, err := w.top.Apply(t.Context(), top, "ada", "")
			if !errors.Is(err, pair.ErrInvalid) || !strings.Contains(err.Error(), tt.why) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestComparingChangesNothing and says what a run would do.
func TestComparingChangesNothing(t *testing.T) {
	w := newSites(t, 2, 1)
	is, err := w.top.Compare(t.Context(), w.topology(2, 1))
	if err != nil {
		t.Fatal(err)
	}
	restarts := 0
	for _, s := range is.Steps {
		if s.Action == geo.Reboot {
			restarts++
		}
	}
	if restarts != 2 || len(w.wrote) > 0 || w.fx.n > 0 {
		t.Errorf("%d restarts would be made; %v were written, %v stored", restarts, w.wrote, w.fx.what)
	}
}
