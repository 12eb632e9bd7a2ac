package control

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"reflect"
	"slices"
	"time"

	"tandem/internal/geo"
	"tandem/internal/pair"
)

// TopologyStore keeps GEO topologies, and the pairs that are members of them.
type TopologyStore interface {
	Topology(ctx context.Context, name string) (geo.Snapshot, error)
	PutTopology(ctx context.Context, snap geo.Snapshot) (geo.Snapshot, error)
	Topologies(ctx context.Context) ([]geo.Snapshot, error)
	DueTopologies(ctx context.Context, now time.Time) ([]string, error)
	Load(ctx context.Context, name string) (pair.Snapshot, error)
	Commit(ctx context.Context, snap pair.Snapshot, ch pair.Change) (pair.Snapshot, error)
	Stop(ctx context.Context) (*pair.Pause, error)
	Send(ctx context.Context, queue string, m pair.Message, delay time.Duration) error
}

// TopologyOptions are the parts of Topologies; all but the times and MaxMode must be
// given.
type TopologyOptions struct {
	Store TopologyStore
	GEO   GEO
	Jobs  Jobs
	Log   *slog.Logger
	// Worker, MaxMode, Lease, Budget and Now are as in Options.
	Worker  string
	MaxMode pair.Mode
	Lease   time.Duration
	Budget  time.Duration
	Now     func() time.Time
}

// Topologies brings GEO topologies about and keeps them right. It writes to standalone
// units itself, under the lease and the epoch of their topology. A pair's units are
// written by the pair's own executor alone: on a pair it begins a job of the kind geo,
// and says how far that may go.
//
// What is to do is computed anew in each pass from what the units hold. Only what no
// unit shows is remembered, and it is stored before the effect that makes it; so a
// pass that ends anywhere is carried on by the next one.
type Topologies struct{ TopologyOptions }

const (
	// runEvery, waitEvery and guardEvery are the times between two looks at a topology:
	// while a run goes on, while one waits for a member, and otherwise.
	runEvery      = 10 * time.Second
	waitEvery     = time.Minute
	topologyEvery = 5 * time.Minute
	// writtenAtOnce is how many members are written to at the same time.
	writtenAtOnce = 8
	// kindGEO is the kind of the job that is begun on pairs (internal/job/geo).
	kindGEO = "geo"
)

// NewTopologies checks the options.
func NewTopologies(o TopologyOptions) (*Topologies, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Lease == 0 {
		o.Lease = 30 * time.Second
	}
	if o.Budget == 0 {
		o.Budget = 20 * time.Second
	}
	if o.Store == nil || o.GEO == nil || o.Jobs == nil || o.Log == nil || o.Worker == "" || o.Lease <= o.Budget {
		return nil, fmt.Errorf("make topologies: options Store, GEO, Jobs, Log and Worker must be given, and a lease longer than the budget: %w", pair.ErrInvalid)
	}
	return &Topologies{o}, nil
}

func (t *Topologies) now() time.Time { return t.Now().UTC().Truncate(time.Millisecond) }

// topologyPass is one look at one topology.
type topologyPass struct {
	*Topologies
	snap    geo.Snapshot
	sites   []*site
	wanted  geo.Wanted
	stop    *pair.Pause
	effects []effect
}

// effect is one thing that is done when it is stored that it may be.
type effect struct {
	site *site
	what string
	do   func(context.Context) error
	err  error
}

// Pass looks at one topology and does the next that may be done: lease, look, plan,
// store, do, store what became of it.
func (t *Topologies) Pass(ctx context.Context, name string) (err error) {
	ctx, cancel := context.WithTimeout(ctx, t.Budget)
	defer cancel()
	defer recovered(&err)
	p := &topologyPass{Topologies: t}
	switch taken, err := p.take(ctx, name); {
	case err != nil:
		return fmt.Errorf("take topology %s: %w", name, err)
	case !taken:
		return nil // somebody else looks at it
	}
	defer p.giveBack(ctx)
	if p.stop, err = t.Store.Stop(ctx); err != nil {
		return fmt.Errorf("look at topology %s: %w", name, err)
	}
	p.look(ctx)
	if ctx.Err() != nil {
		return fmt.Errorf("look at topology %s: cut short, so nothing is concluded: %w", name, ctx.Err())
	}
	p.learn()
	p.plan()
	p.act()
	p.judge()
	if len(p.effects) > 0 {
		p.snap.Record.Epoch++
		if err := p.put(ctx); err != nil {
			return fmt.Errorf("store what is done about topology %s: %w", name, err)
		}
	}
	p.carryOut(ctx)
	p.snap.Record.Lease = pair.Lease{Generation: p.snap.Record.Lease.Generation}
	if err := p.put(ctx); err != nil {
		return fmt.Errorf("store topology %s: %w", name, err)
	}
	return nil
}

// take reads the topology and takes its lease.
func (p *topologyPass) take(ctx context.Context, name string) (bool, error) {
	snap, err := p.Store.Topology(ctx, name)
	switch {
	case errors.Is(err, pair.ErrNotFound):
		return false, nil
	case err != nil:
		return false, err
	case snap.Record.Lease.HeldByOther(p.Worker, p.now(), leaseSkew):
		return false, nil
	}
	snap.Record.Lease = pair.Lease{Owner: p.Worker, Until: p.now().Add(p.Lease), Generation: snap.Record.Lease.Generation + 1}
	p.snap = snap
	if err := p.put(ctx); errors.Is(err, pair.ErrConflict) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	return true, nil
}

// leaseSkew is how far the clocks of two workers may be apart.
const leaseSkew = 5 * time.Second

// giveBack lets the next pass in at once, where this one could not end as it should.
func (p *topologyPass) giveBack(ctx context.Context) {
	if p.snap.Record.Lease.Owner == "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releasePatience)
	defer cancel()
	now, err := p.Store.Topology(ctx, p.snap.Record.Topology.Name)
	if err != nil || now.Record.Lease.Owner != p.Worker || now.Record.Lease.Generation != p.snap.Record.Lease.Generation {
		return
	}
	now.Record.Lease = pair.Lease{Generation: now.Record.Lease.Generation}
	_, _ = p.Store.PutTopology(ctx, now) // or it ends by itself
}

func (p *topologyPass) put(ctx context.Context) error {
	snap, err := p.Store.PutTopology(ctx, p.snap)
	if err != nil {
		return err
	}
	p.snap.Version = snap.Version // the sites point into the record that is here
	return nil
}

// holds reports whether the topology is still this pass's, right before an effect.
func (p *topologyPass) holds(ctx context.Context) error {
	began := p.now()
	now, err := p.Store.Topology(ctx, p.snap.Record.Topology.Name)
	was := &p.snap.Record
	switch {
	case err != nil:
		return err
	case now.Record.Lease.Generation != was.Lease.Generation || now.Record.Lease.Owner != p.Worker || !began.Before(was.Lease.Until):
		return pair.ErrLeaseLost
	case now.Record.Epoch != was.Epoch:
		return pair.ErrStaleEpoch
	case p.now().Sub(began) > lastLookMax:
		return fmt.Errorf("the last look before the write took %v: %w", p.now().Sub(began), pair.ErrBusy)
	}
	return nil
}

// carryOut does what was stored that it may be done. What fails is seen to be missing
// by the next pass.
func (p *topologyPass) carryOut(ctx context.Context) {
	for some := range slices.Chunk(p.effects, writtenAtOnce) {
		asks := make([]func(), len(some))
		for i := range some {
			asks[i] = func() {
				if some[i].err = p.holds(ctx); some[i].err == nil {
					some[i].err = some[i].do(ctx)
				}
			}
		}
		atOnce(asks)
	}
	for _, e := range p.effects {
		log := []any{"topology", p.snap.Record.Topology.Name, "member", e.site.rec.Name, "what", e.what}
		if e.err != nil {
			p.Log.WarnContext(ctx, "a step of a topology was not done", append(log, "error", e.err.Error())...)
			e.site.rec.Note = e.what + " failed: " + e.err.Error()
			e.site.refused(p.now(), e.err)
			e.site.tried(e.what, e.err)
			continue
		}
		e.site.rec.Tries = 0
		p.Log.InfoContext(ctx, "a step of a topology was done", log...)
		p.snap.Record.Run.Did(p.now(), e.site.rec.Name, e.what)
	}
}

// PairMoved has the topologies looked at that a pair is a member of. What is lost here
// the sweep finds.
func (t *Topologies) PairMoved(ctx context.Context, name string) {
	all, err := t.Store.Topologies(ctx)
	if err != nil {
		t.Log.WarnContext(ctx, "topologies of a pair that moved wait for the sweep", "pair", name, "error", err.Error())
		return
	}
	for _, snap := range all {
		if !slices.ContainsFunc(snap.Record.Topology.Members, func(m geo.Member) bool { return m.Pair == name }) {
			continue
		}
		t.Wake(ctx, snap.Record.Topology.Name)
	}
}

// Others are the addresses by which the units of a pair know those of the other
// members of its topology, in order.
func (t *Topologies) Others(ctx context.Context, name string) (out []netip.Addr, err error) {
	all, err := t.Store.Topologies(ctx)
	for _, snap := range all {
		out = append(out, snap.Record.Topology.Others(name)...)
	}
	slices.SortFunc(out, netip.Addr.Compare)
	return slices.Compact(out), err
}

// Wake has a topology looked at now. If that is lost, the sweep does.
func (t *Topologies) Wake(ctx context.Context, name string) {
	m := pair.Message{V: 1, Kind: "wake", Topologies: []string{name}, Cause: pair.Cause{Kind: pair.CausePerson}}
	if err := t.Store.Send(ctx, pair.QueueJobs, m, 0); err != nil {
		t.Log.WarnContext(ctx, "a topology waits for the sweep", "topology", name, "error", err.Error())
	}
}

// Sweep has every topology looked at that is due.
func (t *Topologies) Sweep(ctx context.Context) error {
	names, err := t.Store.DueTopologies(ctx, t.now())
	if err != nil {
		return err
	}
	for _, name := range names {
		t.Wake(ctx, name)
	}
	return nil
}

// Apply makes a topology the one that shall be, and begins to bring it about for a
// person. Nothing but its record is written here.
func (t *Topologies) Apply(ctx context.Context, next geo.Topology, by, reason string) (geo.Record, error) {
	if err := t.fits(ctx, next); err != nil {
		return geo.Record{}, err
	}
	err := pair.ErrConflict
	for range 4 {
		var snap geo.Snapshot
		snap, err = t.Store.Topology(ctx, next.Name)
		if err != nil && !errors.Is(err, pair.ErrNotFound) {
			return geo.Record{}, err
		}
		rec, now := &snap.Record, t.now()
		rec.Earlier = rec.Superseded(next)
		rec.Topology = next
		rec.Epoch++
		rec.Run = geo.Run{ID: fmt.Sprintf("%s-%012d", next.Name, rec.Epoch), By: by, Reason: reason, At: now, State: geo.Runs}
		rec.Members = slices.Clone(rec.Members)
		for i := range rec.Members {
			m := &rec.Members[i]
			m.Failed, m.Since, m.Tries, m.Repairs = "", time.Time{}, 0, nil
		}
		rec.Due = now
		snap, err = t.Store.PutTopology(ctx, snap)
		if err == nil {
			t.Log.InfoContext(ctx, "a person applied a topology", "topology", next.Name, "by", by, "reason", reason, "run", snap.Record.Run.ID)
			t.Wake(ctx, next.Name)
			return snap.Record, nil
		}
		if !errors.Is(err, pair.ErrConflict) && !errors.Is(err, pair.ErrExists) {
			break
		}
	}
	return geo.Record{}, err
}

// Cancel ends a run. What is written stays; jobs that have not begun to move the
// active state are cancelled by the next pass.
func (t *Topologies) Cancel(ctx context.Context, name, by, reason string) (geo.Record, error) {
	err := pair.ErrConflict
	for range 4 {
		var snap geo.Snapshot
		if snap, err = t.Store.Topology(ctx, name); err != nil {
			return geo.Record{}, err
		}
		rec := &snap.Record
		if !rec.Run.State.Open() {
			return *rec, nil
		}
		rec.Run.State, rec.Run.EndedAt, rec.Run.Why = geo.RunCancelled, t.now(), "cancelled by "+by
		if reason != "" {
			rec.Run.Why += " (" + reason + ")"
		}
		rec.Epoch++
		rec.Due = t.now()
		if snap, err = t.Store.PutTopology(ctx, snap); err == nil {
			t.Log.InfoContext(ctx, "a person cancelled a topology's run", "topology", name, "by", by, "reason", reason, "run", snap.Record.Run.ID)
			t.Wake(ctx, name)
			return snap.Record, nil
		}
		if !errors.Is(err, pair.ErrConflict) {
			break
		}
	}
	return geo.Record{}, err
}

// fits refuses a topology that can be planned and not applied: whoever is to be
// written to must be known, and a unit belongs to one topology.
func (t *Topologies) fits(ctx context.Context, next geo.Topology) error {
	var errs []error
	refuse := func(m geo.Member, why string) {
		errs = append(errs, fmt.Errorf("member %s: %s: %w", m.Name, why, pair.ErrInvalid))
	}
	reached := map[netip.Addr]string{}
	for _, m := range next.Members {
		for _, a := range m.Units() {
			if other := reached[a]; other != "" && a.IsValid() {
				refuse(m, "its own address "+a.String()+" is that of "+other+" too, so that they cannot both be reached")
			}
			reached[a] = m.Name
		}
		switch {
		case m.Kind() == geo.KindStandalone && m.API.Secret == "":
			refuse(m, "expected api with a secret, by which the unit is reached")
		case m.Kind() == geo.KindPair && m.Pair == "":
			refuse(m, "expected the name of a pair that is defined (pair: NAME), because a pair's units are written by its own jobs alone; tandem geo plan takes addresses")
		case m.Kind() == geo.KindPair && !m.First.IsValid():
			refuse(m, "pair "+m.Pair+" is not defined on this server; tandem apply -f its file first")
		}
	}
	all, err := t.Store.Topologies(ctx)
	if err != nil {
		return err
	}
	for _, other := range all {
		if other.Record.Topology.Name == next.Name {
			continue
		}
		for _, m := range next.Members {
			if slices.ContainsFunc(other.Record.Topology.Members, func(o geo.Member) bool { return shares(o, m) }) {
				refuse(m, "a unit of it belongs to topology "+other.Record.Topology.Name)
			}
		}
	}
	return errors.Join(errs...)
}

// shares reports whether two members have a unit or a pair in common.
func shares(a, b geo.Member) bool {
	return a.Pair != "" && a.Pair == b.Pair || slices.ContainsFunc(a.Known(), func(x netip.Addr) bool { return x.IsValid() && slices.Contains(b.Known(), x) })
}

// Compare looks at the units of a topology and says what is left to do, and what
// somebody should know. It changes nothing.
func (t *Topologies) Compare(ctx context.Context, next geo.Topology) (geo.Comparison, error) {
	if err := t.fits(ctx, next); err != nil {
		return geo.Comparison{}, err
	}
	snap, err := t.Store.Topology(ctx, next.Name)
	if err != nil && !errors.Is(err, pair.ErrNotFound) {
		return geo.Comparison{}, err
	}
	p := &topologyPass{Topologies: t, snap: snap}
	rec := &p.snap.Record
	rec.Members = slices.Clone(rec.Members)
	if !sameTopology(rec.Topology, next) {
		rec.Earlier = rec.Superseded(next)
		rec.Topology = next
		rec.Run = geo.Run{ID: "dry", State: geo.Runs}
	}
	p.look(ctx)
	p.learn()
	p.plan()
	p.judge()
	var steps []geo.Step
	for _, s := range p.sites {
		steps = append(steps, s.steps...)
	}
	slices.SortFunc(steps, func(a, b geo.Step) int { return a.N - b.N })
	return geo.Comparison{Wanted: p.wanted, Steps: steps, Alarms: rec.Alarms}, nil
}

// sameTopology reports whether two topologies are the same in all that they say.
func sameTopology(a, b geo.Topology) bool { return reflect.DeepEqual(a, b) }

// Record is what is known of one topology.
func (t *Topologies) Record(ctx context.Context, name string) (geo.Record, error) {
	snap, err := t.Store.Topology(ctx, name)
	return snap.Record, err
}

// Records is what is known of all of them.
func (t *Topologies) Records(ctx context.Context) ([]geo.Record, error) {
	snaps, err := t.Store.Topologies(ctx)
	all := make([]geo.Record, len(snaps))
	for i, snap := range snaps {
		all[i] = snap.Record
	}
	return all, err
}
