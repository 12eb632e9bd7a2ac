package control

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"tandem/internal/geo"
	"tandem/internal/pair"
)

// site is one member of a topology, or of an earlier one whose lists may still be
// there, as a pass sees it.
type site struct {
	member geo.Member
	lists  geo.Lists
	gone   bool
	rec    *geo.MemberRecord

	snap pair.Snapshot // of a pair
	role pair.Role     // the unit of a pair that serves
	unit pair.Unit     // whom to ask
	seen pair.GEOSeen
	away string // why it was not asked, or did not answer
	// unread: the record of the pair could not be read, so that nothing is known of it.
	unread bool

	steps []geo.Step
}

func (s *site) isPair() bool { return s.lists.Kind == geo.KindPair }

// job is the pair's job if it is one of this topology.
func (s *site) job(topology string) *pair.Job {
	if j := s.snap.Record.Job; j != nil && j.Kind == kindGEO && j.GEO != nil && j.GEO.Topology == topology {
		return j
	}
	return nil
}

// has reports whether the plan has one of these steps for the member.
func (s *site) has(actions ...geo.Action) bool {
	return slices.ContainsFunc(s.steps, func(step geo.Step) bool { return slices.Contains(actions, step.Action) })
}

// values are those of the member's step of a kind; ok is false where it has none.
func (s *site) values(a geo.Action) (list []netip.Addr, ok bool) {
	for _, step := range s.steps {
		if step.Action == a {
			return step.Values, true
		}
	}
	return nil, false
}

// refused keeps credentials resting that a standalone unit refused. Those of a pair's
// units are kept in the pair's record, by its own looks.
func (s *site) refused(now time.Time, err error) {
	if !s.isPair() && errors.Is(err, pair.ErrRefused) {
		s.rec.Refusal = s.rec.Refusal.After(now, pair.RetryAfter(err, time.Minute))
	}
}

// triesMax is how often a standalone unit is written to that does not take it.
const triesMax = 5

// tried counts what a standalone unit did not take. What is not ours any more, or could
// not be stored, says nothing of it.
func (s *site) tried(what string, err error) {
	if s.isPair() || lost(err) || errors.Is(err, pair.ErrBusy) || errors.Is(err, pair.ErrRefused) {
		return
	}
	if s.rec.Tries++; s.rec.Tries >= triesMax {
		s.rec.Failed = fmt.Sprintf("%s failed %d times, the last time with: %.300s", what, s.rec.Tries, err)
	}
}

// repairsMax is how often a member is put right in an hour without a run. More often is
// a dispute with somebody else who writes it.
const repairsMax = 6

// mayRepair counts a repair, and reports whether there were not too many.
func (s *site) mayRepair(now time.Time) bool {
	s.rec.Repairs = slices.DeleteFunc(slices.Clone(s.rec.Repairs), func(t time.Time) bool { return now.Sub(t) >= time.Hour })
	if len(s.rec.Repairs) >= repairsMax {
		s.rec.Failed = fmt.Sprintf("it was put right %d times within an hour, and differs again: somebody else writes it too", repairsMax)
		return false
	}
	s.rec.Repairs = append(s.rec.Repairs, now)
	return true
}

// look reads the pairs' records, and asks one unit of each member what it holds.
func (p *topologyPass) look(ctx context.Context) {
	rec := &p.snap.Record
	rec.Topology.Members = slices.Clone(rec.Topology.Members)
	p.addSites(rec.Topology.Members, false)
	p.addSites(rec.Earlier.Apart(rec.Topology).Members, true)
	p.each(func(s *site) { p.find(ctx, s) })
	p.compile()
	asking, cancel := context.WithTimeout(ctx, askedFor)
	defer cancel()
	p.each(func(s *site) { p.ask(asking, s) })
}

const (
	// askedAtOnce is how many units are asked at the same time, and askedFor how long all
	// of them may take together: many that are silent must leave time for the others.
	askedAtOnce = 64
	askedFor    = 12 * time.Second
)

func (p *topologyPass) each(do func(*site)) {
	for chunk := range slices.Chunk(p.sites, askedAtOnce) {
		all := make([]func(), len(chunk))
		for i, s := range chunk {
			all[i] = func() { do(s) }
		}
		atOnce(all)
	}
}

// addSites makes a site of each member. Of earlier members only those matter whose
// units are in no member of now.
func (p *topologyPass) addSites(members []geo.Member, gone bool) {
	for _, m := range members {
		if gone && slices.ContainsFunc(p.sites, func(s *site) bool { return shares(s.member, m) }) {
			continue
		}
		p.sites = append(p.sites, &site{member: m, gone: gone})
	}
	for _, s := range p.sites {
		p.snap.Record.Member(s.member.Name)
	}
	for _, s := range p.sites { // when all are there: the list may have moved
		s.rec = p.snap.Record.Member(s.member.Name)
	}
}

// find reads the record of a pair: its units' addresses may be others by now, and it
// tells which of them serves.
func (p *topologyPass) find(ctx context.Context, s *site) {
	if s.member.Kind() == geo.KindStandalone {
		s.unit = pair.Unit{VM: s.member.Name, Address: s.member.Standalone, API: s.member.API}
		return
	}
	snap, err := p.Store.Load(ctx, s.member.Pair)
	switch {
	case errors.Is(err, pair.ErrNotFound):
		s.away = "pair " + s.member.Pair + " is not defined any more"
		return
	case err != nil:
		s.away, s.unread = "its record could not be read: "+err.Error(), true
		return
	}
	s.snap = snap
	units := snap.Definition.Units
	s.member.First, s.member.Second = units.First.Address, units.Second.Address
	s.role = snap.Record.LastActive
	if s.unit = units.Of(s.role); s.role == pair.RoleUnknown {
		s.away = "no unit of it was seen to serve yet"
	}
}

// compile computes what each member must hold, with the addresses that pairs have now.
func (p *topologyPass) compile() {
	now := geo.Topology{Name: p.snap.Record.Topology.Name}
	before := now
	for _, s := range p.sites {
		if s.gone {
			before.Members = append(before.Members, s.member)
		} else {
			now.Members = append(now.Members, s.member)
		}
	}
	p.wanted = geo.Compile(now, geo.OwnFirst)
	earlier := geo.Compile(before, geo.OwnFirst)
	lists := slices.Concat(p.wanted.Members, earlier.Members)
	for i, s := range p.sites {
		if s.lists = lists[i]; s.gone {
			s.lists.Access, s.lists.Partners, s.lists.Clusters = nil, nil, nil
		}
	}
}

// ask asks the member's unit that serves.
func (p *topologyPass) ask(ctx context.Context, s *site) {
	if s.away != "" {
		return
	}
	refusal := s.rec.Refusal
	if s.isPair() {
		refusal = s.snap.Record.Units[s.role.Index()].Refusal
	}
	switch {
	case refusal.In(p.now()):
		s.away = "it refused our credentials, which rest until " + refusal.Until.UTC().Format("15:04:05Z")
		return
	case refusal != nil:
		ctx = oneLogin(ctx)
	}
	seen, err := p.GEO.GEO(ctx, s.unit)
	if err != nil {
		s.away = "its unit " + s.unit.Address.String() + " was asked: " + err.Error()
		s.refused(p.now(), err)
		return
	}
	s.seen = seen
	s.rec.Refusal = nil
}

// learn takes in what became of the jobs that were begun, and where partners are owed
// because another unit serves by now, or another life of it.
func (p *topologyPass) learn() {
	rec := &p.snap.Record
	for _, s := range p.sites {
		if s.isPair() {
			s.learnOfJob(rec)
		}
		if s.rec.Owes == geo.OwesReboot && !rec.Run.State.Open() {
			s.rec.Owes = geo.OwesSubmit // the run was cancelled, and nothing is restarted without one
		}
		if s.away == "" && s.rec.Owes == geo.OwesNothing && len(s.lists.Partners) > 0 && !s.rec.Submitted.On(s.role, s.seen.BootedAt) {
			s.rec.Owes = geo.OwesSubmit
		}
	}
	p.forget()
}

// forget drops what is remembered of members that are in no topology any more.
func (p *topologyPass) forget() {
	rec := &p.snap.Record
	rec.Members = slices.DeleteFunc(rec.Members, func(m geo.MemberRecord) bool {
		return !slices.ContainsFunc(p.sites, func(s *site) bool { return s.rec.Name == m.Name })
	})
	for _, s := range p.sites {
		s.rec = rec.Member(s.member.Name)
	}
}

// learnOfJob takes in how far the pair's job has come, and once how it ended. Which job
// it is stands in the pair's record alone: a pass that began one may not have lived to
// remember that.
//
// A job that a person cancelled says nothing of another run than its own.
func (s *site) learnOfJob(rec *geo.Record) {
	if s.snap.Version == "" {
		return // it could not be read
	}
	j := s.job(rec.Topology.Name)
	if j == nil {
		s.rec.Job, s.rec.Failed = "", "" // another job has taken its place
		return
	}
	s.rec.Job = ""
	switch {
	case j.ID == s.rec.Settled:
		if j.Acknowledged {
			s.rec.Failed = ""
		}
		return
	case !j.State.Ended():
		s.rec.Job = j.ID
	case j.State == pair.JobDone:
		s.rec.Failed, s.rec.Note = "", ""
	case j.State == pair.JobCancelled && (!rec.Run.State.Open() || j.At.Before(rec.Run.At)):
	case !j.Acknowledged:
		s.rec.Failed = fmt.Sprintf("job %s is %s: %s", j.ID, j.State, j.Why)
	}
	if j.State.Ended() {
		s.rec.Settled = j.ID
	}
	w := j.GEO
	if w.Restarted && s.rec.Owes == geo.OwesReboot {
		s.rec.Owes = geo.OwesSubmit
	}
	if !w.Submitted.At.IsZero() {
		s.rec.Submitted = w.Submitted
		if s.rec.Owes == geo.OwesSubmit {
			s.rec.Owes = geo.OwesNothing
		}
	}
}

// todo reports whether something is left to do on the member itself. That the plan
// has a standalone unit's partners submitted once more when a pair is restarted is
// remembered as a debt when that pair has its turn.
func (s *site) todo() bool {
	if s.isPair() {
		return len(s.steps) > 0
	}
	return s.rec.Owes != geo.OwesNothing || s.has(geo.SetAccess, geo.SetPartners, geo.CreateClusters, geo.DeleteClusters)
}

// plan computes what is left to do. For a run it settles first what each member owes,
// when that member is seen for the first time.
func (p *topologyPass) plan() {
	rec := &p.snap.Record
	if rec.Run.State.Open() {
		p.settle(geo.Plan(p.wanted, p.held(false)))
	}
	for _, step := range geo.Plan(p.wanted, p.held(true)) {
		for _, s := range p.sites {
			if s.rec.Name == step.Member {
				s.steps = append(s.steps, step)
			}
		}
	}
}

// settle remembers of each member that is seen for the first time in this run whether
// it must be restarted, and which clusters it has not.
func (p *topologyPass) settle(steps []geo.Step) {
	run := p.snap.Record.Run.ID
	for _, s := range p.sites {
		if s.away != "" || s.rec.Run == run {
			continue
		}
		s.rec.Run = run
		for _, step := range steps {
			switch {
			case step.Member != s.rec.Name:
			case step.Action == geo.Reboot:
				s.rec.Owes = geo.OwesReboot
			case step.Action == geo.CreateClusters:
				s.created(step.Values)
			}
		}
	}
}

// created remembers clusters as ours.
func (s *site) created(list []netip.Addr) {
	all := slices.Concat(s.rec.Created, list)
	slices.SortFunc(all, netip.Addr.Compare)
	s.rec.Created = slices.Compact(all)
}

// held is what was seen, for a plan. To an earlier plan belong those clusters that
// were missing before, whichever of its member's addresses they have by now.
func (p *topologyPass) held(calm bool) geo.Seen {
	seen := geo.Seen{Members: map[string]geo.Held{}, Calm: calm}
	for _, s := range p.sites {
		if s.gone {
			seen.Earlier.Members = append(seen.Earlier.Members, s.lists)
		}
	}
	for _, s := range p.sites {
		h := geo.Held{
			Unreachable: s.away != "" || s.rec.Failed != "", Active: s.role, Access: s.seen.Access, Partners: s.seen.Partners, Owes: s.rec.Owes,
		}
		for _, c := range s.seen.Clusters {
			h.Clusters = append(h.Clusters, geo.Cluster{Name: c.Name, Address: c.Address, Created: p.ours(s, c), Half: c.Half})
		}
		seen.Members[s.rec.Name] = h
	}
	return seen
}

// ours reports whether a cluster is there because of us.
func (p *topologyPass) ours(s *site, c pair.GEOCluster) bool {
	if slices.Contains(s.rec.Created, c.Address) {
		return true
	}
	for _, o := range p.sites {
		its := slices.Concat(o.lists.Units, o.lists.Known)
		if slices.Contains(its, c.Address) && slices.ContainsFunc(its, func(a netip.Addr) bool { return slices.Contains(s.rec.Created, a) }) {
			return true
		}
	}
	return false
}
