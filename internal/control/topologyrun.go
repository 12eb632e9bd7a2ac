package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"tandem/internal/geo"
	"tandem/internal/pair"
)

const (
	// pairPatience is how long a run waits for a pair that has another job, is held by a
	// person or is not healthy, before it goes on without it and catches it up later.
	pairPatience = 10 * time.Minute
	// stepTurnClusters is the step of the pair's job with which its restart is over.
	stepTurnClusters = "turn-clusters"
	// createdAtOnce are written on a standalone unit in one pass: two calls each, of
	// which a unit takes six a second.
	createdAtOnce = 20
)

// act collects what may be done now: the next of the run that a person began, or what
// keeps the topology right without one.
func (p *topologyPass) act() {
	switch run := &p.snap.Record.Run; {
	case p.stop.In(p.now()):
	case run.State.Open():
		p.run()
	default:
		p.cancelJobs()
		p.guard()
	}
}

// does remembers something to do once it is stored that it may be done.
func (p *topologyPass) does(s *site, what string, do func(context.Context) error) {
	p.effects = append(p.effects, effect{site: s, what: what, do: do})
}

// run does the next phase that may be done: every pair is ready; lists; restarts, one
// pair at a time; partners once more; clusters. What is left to do in an earlier phase
// keeps the later ones waiting, but for members that cannot be reached or have failed.
func (p *topologyPass) run() {
	if p.lock() {
		return
	}
	for _, phase := range []func() bool{p.listsPhase, p.restartPhase, p.submitPhase, p.clusterPhase} {
		if phase() {
			return
		}
	}
}

// acts are the members to whom something may be done.
func (p *topologyPass) acts() []*site {
	return slices.DeleteFunc(slices.Clone(p.sites), func(s *site) bool { return s.away != "" || s.rec.Failed != "" })
}

// working is the running job of a site, nil where it has none.
func (p *topologyPass) working(s *site) *pair.Job {
	if j := s.job(p.snap.Record.Topology.Name); j.Running() {
		return j
	}
	return nil
}

// lock begins a job on every pair that is concerned, in the order of the names, before
// anything is written; and reports whether the run waits for that. A pair that cannot
// have one for long is left out, and caught up later.
func (p *topologyPass) lock() (waits bool) {
	name := p.snap.Record.Topology.Name
	concerned := slices.DeleteFunc(p.acts(), func(s *site) bool { return !s.isPair() || !s.todo() })
	slices.SortFunc(concerned, func(a, b *site) int { return strings.Compare(a.member.Pair, b.member.Pair) })
	begun := slices.ContainsFunc(p.sites, func(s *site) bool { j := p.working(s); return j != nil && j.GEO.Turn > pair.GEOWaits })
	for _, s := range concerned {
		if p.working(s) != nil {
			continue
		}
		if why := p.obstacle(s); why != "" {
			if s.rec.Since.IsZero() {
				s.rec.Since = p.now()
			}
			s.rec.Note = "waits: " + why
			waits = waits || !begun && p.now().Sub(s.rec.Since) < pairPatience
			continue
		}
		waits = waits || !begun
		s.rec.Since = time.Time{}
		p.does(s, "begin job", func(ctx context.Context) error { return p.beginJob(ctx, s, name) })
	}
	return waits
}

// obstacle is why no job can be begun on a pair now, empty where one can. To submit the
// partners on a unit that serves alone, its own partner need not be well.
func (p *topologyPass) obstacle(s *site) string {
	rec := &s.snap.Record
	switch j := rec.Job; {
	case rec.Retire != nil:
		return "the pair is being removed"
	case rec.Pause.In(p.now()):
		return "the pair is held by " + rec.Pause.Owner
	case j.Running():
		return "the pair has another job, " + j.Kind + " " + j.ID
	case j.Unheeded() && s.job(p.snap.Record.Topology.Name) == nil:
		return "the pair's job " + j.ID + " failed, and nobody has taken note (tandem ack)"
	case rec.Situation != pair.Healthy && s.rec.Owes == geo.OwesReboot:
		return "the pair is " + rec.Situation.String()
	}
	return ""
}

// left reports whether a site waits for a job that it cannot have.
func (p *topologyPass) left(s *site) bool { return s.isPair() && p.working(s) == nil }

// listsPhase has both lists written everywhere.
func (p *topologyPass) listsPhase() (busy bool) {
	for _, s := range p.acts() {
		if !s.has(geo.SetAccess, geo.SetPartners) || p.left(s) {
			continue
		}
		busy = true
		if !s.isPair() {
			p.writeLists(s)
			continue
		}
		to := pair.GEOLists
		if p.over(s) { // another unit serves by now, and has them not: another job writes them
			to = pair.GEOClusters
		}
		p.let(s, to)
	}
	return busy
}

// restartPhase restarts the pairs that owe it, one at a time and only while every other
// one is well.
func (p *topologyPass) restartPhase() (busy bool) {
	owing := slices.DeleteFunc(p.acts(), func(s *site) bool { return !s.isPair() || s.rec.Owes != geo.OwesReboot || p.left(s) })
	if s := p.restarting(); s != nil {
		return true
	}
	if slices.ContainsFunc(p.sites, func(s *site) bool { return s.unread }) {
		return true // it may be the one that is being restarted
	}
	for _, s := range owing {
		if why, lasts := p.unwell(s); why != "" {
			s.rec.Note = "waits: " + why
			busy = busy || !lasts
			continue
		}
		for _, o := range p.sites { // it is owed from the moment on when the pair may go
			if !o.isPair() && !o.gone && len(o.lists.Partners) > 0 {
				o.rec.Owes = geo.OwesSubmit
			}
		}
		p.let(s, pair.GEORestart)
		return true
	}
	return busy
}

// restarting is the pair that may be restarted at this moment, nil for none.
func (p *topologyPass) restarting() *site {
	for _, s := range p.sites {
		if j := p.working(s); j != nil && j.GEO.Restart && j.GEO.Turn >= pair.GEORestart && !p.over(s) {
			return s
		}
	}
	return nil
}

// over reports whether the part of the pair's job with the restart is over.
func (p *topologyPass) over(s *site) bool {
	j := p.working(s)
	if j == nil {
		return false
	}
	at := slices.IndexFunc(j.Steps, func(step pair.JobStep) bool { return step.Name == stepTurnClusters })
	return j.Step >= at
}

// unwell says why a pair is not restarted now: itself or another pair of the topology
// is not healthy, or at work otherwise. lasts: it has been so for long, and the rest of
// the topology goes on meanwhile. A pair of which one unit has been gone for long, or
// whose job waits, does not keep the other ones from being restarted; one that is being
// moved does, and one whose site may be down.
func (p *topologyPass) unwell(s *site) (why string, lasts bool) {
	long := func(o *site) bool { return p.now().Sub(o.snap.Record.Since) >= pairPatience }
	if is := s.snap.Record.Situation; is != pair.Healthy {
		return "the pair is " + is.String(), long(s)
	}
	for _, o := range p.sites {
		rec := &o.snap.Record
		switch {
		case o == s || !o.isPair() || o.gone:
		case rec.Job.Running() && rec.Job.Kind != kindGEO && (rec.Job.Committed || p.now().Sub(rec.Job.At) < pairPatience):
			return "pair " + o.member.Pair + " is at work: " + rec.Job.Kind, false
		case rec.Situation != pair.Healthy && (rec.Situation != pair.Degraded || !long(o)):
			return "pair " + o.member.Pair + " is " + rec.Situation.String(), false
		}
	}
	return "", false
}

// submitPhase has partners submitted where they are owed still.
func (p *topologyPass) submitPhase() (busy bool) {
	for _, s := range p.acts() {
		switch {
		case s.rec.Owes == geo.OwesNothing || len(s.lists.Partners) == 0 || p.left(s):
		case s.isPair() && s.rec.Owes == geo.OwesReboot: // whose turn has not come
		case s.isPair():
			p.let(s, pair.GEORestart)
			busy = true
		default:
			p.writeLists(s)
			busy = true
		}
	}
	return busy
}

// clusterPhase has the clusters written, and lets every job go to its end.
func (p *topologyPass) clusterPhase() (busy bool) {
	for _, s := range p.acts() {
		switch {
		case p.left(s) || s.isPair() && s.rec.Owes == geo.OwesReboot: // whose turn has not come
		case s.has(geo.CreateClusters) && !p.creates(s):
			busy = true
		case s.isPair():
			p.let(s, pair.GEOClusters)
			busy = true
		case s.has(geo.CreateClusters, geo.DeleteClusters):
			p.writeClusters(s)
			busy = true
		}
	}
	return busy
}

// creates reports whether it is the member's turn to have clusters created: one after
// the other, because partners pass them on, and two that create the same one at once
// would each have it twice.
func (p *topologyPass) creates(s *site) bool {
	for _, o := range p.acts() {
		if o.has(geo.CreateClusters) && !(p.snap.Record.Run.State.Open() && p.left(o)) {
			return o == s
		}
	}
	return false
}

// wish is what the job of a pair brings about.
func (p *topologyPass) wish(s *site, to pair.GEOTurn) pair.GEOWish {
	w := pair.GEOWish{
		Topology: p.snap.Record.Topology.Name, Turn: to, Access: p.listFor(s, geo.SetAccess), Partners: p.listFor(s, geo.SetPartners),
		Restart: s.rec.Owes == geo.OwesReboot && p.snap.Record.Run.State.Open(), Submit: s.rec.Owes != geo.OwesNothing,
	}
	if create, ok := s.values(geo.CreateClusters); ok && p.creates(s) {
		w.Create = p.clusters(create)
	}
	w.Delete, _ = s.values(geo.DeleteClusters)
	return w
}

// listFor is the list that the member shall hold: as the plan has it, with what of
// somebody else's stands in it, or as it is where the plan finds nothing to change.
func (p *topologyPass) listFor(s *site, a geo.Action) []netip.Addr {
	if list, ok := s.values(a); ok {
		return list
	}
	if a == geo.SetAccess {
		return s.seen.Access
	}
	return s.seen.Partners
}

// clusters names the clusters with these addresses.
func (p *topologyPass) clusters(list []netip.Addr) (all []pair.GEOCluster) {
	for _, a := range list {
		for _, l := range p.wanted.Members {
			if l.Known[0] == a {
				all = append(all, pair.GEOCluster{Name: l.Name, Address: a})
			}
		}
	}
	return all
}

// writeLists writes both lists of a standalone unit, and submits its partners.
func (p *topologyPass) writeLists(s *site) {
	w := pair.GEOWrite{Lists: true, Access: p.listFor(s, geo.SetAccess), Partners: p.listFor(s, geo.SetPartners)}
	w.Submit = len(w.Partners) > 0
	what := "both lists"
	if !s.has(geo.SetAccess, geo.SetPartners) {
		what = "partners once more"
	}
	if s.rec.Owes = geo.OwesNothing; w.Submit {
		s.rec.Owes = geo.OwesSubmit // until it is known that they were
	}
	p.does(s, what, func(ctx context.Context) error {
		seen, err := p.GEO.SetGEO(ctx, s.unit, w)
		if err != nil {
			return err
		}
		s.rec.Owes, s.rec.Note = geo.OwesNothing, ""
		s.rec.Submitted = pair.GEOSubmitted{BootedAt: seen.BootedAt, At: p.now()}
		return nil
	})
}

// writeClusters creates and deletes clusters of a standalone unit.
func (p *topologyPass) writeClusters(s *site) {
	create, _ := s.values(geo.CreateClusters)
	remove, _ := s.values(geo.DeleteClusters)
	create, remove = create[:min(len(create), createdAtOnce)], remove[:min(len(remove), createdAtOnce)]
	s.created(create)
	w := pair.GEOWrite{Create: p.clusters(create), Delete: remove}
	p.does(s, fmt.Sprintf("%d clusters created, %d deleted", len(create), len(remove)), func(ctx context.Context) error {
		_, err := p.GEO.SetGEO(ctx, s.unit, w)
		if err == nil {
			s.rec.Created = slices.DeleteFunc(slices.Clone(s.rec.Created), func(a netip.Addr) bool { return slices.Contains(remove, a) })
			s.rec.Note = ""
		}
		return err
	})
}

// let lets the job of a pair go on, with what it shall bring about by now. A turn that
// it has is not taken away.
func (p *topologyPass) let(s *site, to pair.GEOTurn) {
	j := p.working(s)
	if j.GEO.Turn >= to {
		return
	}
	if create, ok := s.values(geo.CreateClusters); ok {
		s.created(create)
	}
	w, id := p.wish(s, to), j.ID
	p.does(s, "turn "+to.String(), func(ctx context.Context) error {
		return p.onPair(ctx, s, func(rec *pair.Record) *pair.Asked {
			if !rec.Job.Running() || rec.Job.ID != id || rec.Job.GEO == nil || rec.Job.GEO.Turn >= to {
				return nil
			}
			rec.Job = rec.Job.Clone()
			w.Restarted, w.Submitted = rec.Job.GEO.Restarted, rec.Job.GEO.Submitted
			rec.Job.GEO = &w
			return &pair.Asked{Word: kindGEO, By: rec.Job.By, Reason: "turn " + to.String() + " of topology " + w.Topology, Job: id}
		})
	})
}

// beginJob begins the job of a pair for a run. It waits for its turn.
func (p *topologyPass) beginJob(ctx context.Context, s *site, name string) error {
	run := &p.snap.Record.Run
	w := p.wish(s, pair.GEOWaits)
	return p.begin(ctx, s, w, run.By, strings.TrimSuffix("topology "+name+": "+run.Reason, ": "))
}

// begin begins the job of a pair, where it has none.
func (p *topologyPass) begin(ctx context.Context, s *site, w pair.GEOWish, by, reason string) error {
	return p.onPair(ctx, s, func(rec *pair.Record) *pair.Asked {
		if rec.Job.Running() {
			return nil
		}
		asked := pair.Job{ID: pair.ID(s.member.Pair, rec.Epoch+1, 1), Kind: kindGEO, By: by, Reason: reason, At: p.now(), GEO: &w}
		j, err := p.Jobs.Begin(asked, &s.snap.Definition)
		if err != nil {
			p.Log.ErrorContext(ctx, "a job of a topology cannot be made", "pair", s.member.Pair, "error", err.Error())
			return nil
		}
		rec.Job = &j
		s.rec.Note = ""
		return &pair.Asked{Word: kindGEO, By: by, Reason: reason, Job: j.ID}
	})
}

// onPair changes the record of a pair as a person's word does: with a new epoch, so
// that a pass at work on an older one stops before its next effect. Where another
// writer was first, it is read and changed anew; where there is nothing to change,
// nothing is.
func (p *topologyPass) onPair(ctx context.Context, s *site, change func(*pair.Record) *pair.Asked) error {
	snap := s.snap
	for range 4 {
		asked := change(&snap.Record)
		if asked == nil {
			return nil
		}
		snap.Record.Epoch++
		_, err := p.Store.Commit(ctx, snap, pair.Change{Record: snap.Record, Outbox: []pair.Post{p.asked(s, snap.Record.Epoch, *asked)}})
		if err == nil {
			m := pair.Message{V: 1, Kind: "wake", Pairs: []string{s.member.Pair}, Cause: pair.Cause{Kind: pair.CausePerson}}
			if err := p.Store.Send(ctx, pair.QueuePairs, m, 0); err != nil {
				p.Log.WarnContext(ctx, "a pair waits for the sweep", "pair", s.member.Pair, "error", err.Error())
			}
			return nil
		}
		if !changed(err) && !errors.Is(err, pair.ErrLeaseLost) {
			return err
		}
		if snap, err = p.Store.Load(ctx, s.member.Pair); err != nil {
			return err
		}
		if err := p.holds(ctx); err != nil {
			return err
		}
	}
	return fmt.Errorf("change the job of pair %s: %w", s.member.Pair, pair.ErrConflict)
}

func (p *topologyPass) asked(s *site, epoch uint64, asked pair.Asked) pair.Post {
	b, err := json.Marshal(asked)
	if err != nil {
		panic("control: a word that cannot be written: " + err.Error()) // only text
	}
	return pair.Post{
		V: pair.Version, MinReader: pair.MinReader, ID: pair.ID(s.member.Pair, epoch, 1), Kind: pair.PostJournal,
		At: p.now(), Type: pair.EntryAsked, Body: b,
	}
}

// cancelJobs cancels the jobs of a run that a person cancelled, where the active state
// has not begun to move.
func (p *topologyPass) cancelJobs() {
	run := &p.snap.Record.Run
	if run.State != geo.RunCancelled {
		return
	}
	for _, s := range p.sites {
		j := p.working(s)
		if j == nil || j.By == pair.OwnerTandem || j.Committed || j.Said != nil || j.State == pair.JobUndoes {
			continue
		}
		id := j.ID
		p.does(s, "cancel job", func(ctx context.Context) error {
			return p.onPair(ctx, s, func(rec *pair.Record) *pair.Asked {
				if !rec.Job.Running() || rec.Job.ID != id || rec.Job.Committed {
					return nil
				}
				rec.Job = rec.Job.Clone()
				rec.Job.Said = &pair.JobWord{Word: pair.JobCancel, By: run.By, Reason: run.Why, At: p.now()}
				return &pair.Asked{Word: pair.JobCancel, By: run.By, Reason: run.Why, Job: id}
			})
		})
	}
}

// guard keeps a topology right that is nobody's run: after a failover the partners are
// submitted on the unit that serves now, and what somebody changed is put right, each
// where the member's mode allows that. Nothing is ever restarted.
func (p *topologyPass) guard() {
	name := p.snap.Record.Topology.Name
	for _, s := range p.acts() {
		if !s.todo() || s.gone || p.mode(s) < pair.Auto || p.working(s) != nil {
			continue
		}
		if why := p.obstacle(s); s.isPair() && why != "" {
			s.rec.Note = "waits: " + why
			continue
		}
		if s.has(geo.CreateClusters) && !p.creates(s) && len(s.steps) == 1 {
			continue
		}
		if !s.mayRepair(p.now()) {
			continue
		}
		switch {
		case !s.isPair() && s.has(geo.CreateClusters, geo.DeleteClusters) && !s.has(geo.SetAccess, geo.SetPartners, geo.ResubmitPartners):
			p.writeClusters(s)
		case !s.isPair():
			p.writeLists(s)
		default:
			if create, ok := s.values(geo.CreateClusters); ok {
				s.created(create)
			}
			w := p.wish(s, pair.GEOClusters)
			p.does(s, "begin job", func(ctx context.Context) error {
				return p.begin(ctx, s, w, pair.OwnerTandem, "topology "+name)
			})
		}
	}
}

// mode is what may be done about a member without a person.
func (p *topologyPass) mode(s *site) pair.Mode {
	m := p.snap.Record.Topology.Mode
	if s.isPair() {
		m = s.snap.Definition.Mode
	}
	if p.MaxMode != pair.ModeUnset {
		m = min(m, p.MaxMode)
	}
	return m
}
