package control

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"tandem/internal/pair"
	"tandem/internal/settings"
)

const (
	// writeFor is how long one pass writes settings: the pair is held meanwhile.
	writeFor = 8 * time.Second
	// writesAtOnce is how many writes are handed to a unit before what was done is
	// stored; a write takes two or three of the six calls a second that a unit bears.
	writesAtOnce = 25
	// trialStep is the step of an intent that makes one write to a standby
	// (internal/job/sync).
	trialStep = "trial"
	// refusedMost bounds the reason that is kept, in bytes.
	refusedMost = 300
)

// routes are the writes of a comparison, by the way that each takes.
type routes struct {
	active   []settings.Write // by object calls, where they hold
	standby  []settings.Write // by object calls, where they were proved to last
	vendor   []settings.Write // left to the vendor's own sync
	stuck    []settings.Write // that nothing carries
	stuckWhy string
	parts    settings.Part // of a backup of the active unit
}

// routesOf divides the writes of a comparison. The same comparison with the same policy
// gives the same writes in the same order, so that a number names one of them.
func (p *pass) routesOf(c *settings.Comparison, r *settings.Result) routes {
	active := c.Policy.Active
	if active == pair.RoleUnknown {
		return routes{}
	}
	both := [2][]settings.Write{p.asked(r.ToFirst), p.asked(r.ToSecond)}
	out := routes{active: both[active.Index()]}
	around := p.circumstances(c, r, len(out.active) > 0)
	for _, w := range both[active.Other().Index()] {
		switch method, part, why := settings.Route(w, around); method {
		case settings.ObjectCalls:
			out.standby = append(out.standby, w)
		case settings.VendorSync, settings.ProvokedSync:
			out.vendor = append(out.vendor, w)
		case settings.PartialRestore:
			out.parts |= part
		case settings.MethodWait:
			out.stuck, out.stuckWhy = append(out.stuck, w), why
		}
	}
	return out
}

// asked are those writes that the job is to make.
func (p *pass) asked(all []settings.Write) []settings.Write {
	j := p.snap.Record.Job
	if j.Sync == nil || len(j.Sync.Only) == 0 {
		return all
	}
	return slices.DeleteFunc(slices.Clone(all), func(w settings.Write) bool { return !slices.ContainsFunc(j.Sync.Only, w.In) })
}

// circumstances are what decides how the standby can be written to.
func (p *pass) circumstances(c *settings.Comparison, r *settings.Result, owed bool) settings.Circumstances {
	active, j := c.Policy.Active, p.snap.Record.Job
	standby := active.Other()
	around := settings.Circumstances{
		Receiver: standby, Active: active, SyncTried: !c.At.Before(settles(c, r)),
		MayRestore: p.snap.Definition.Sync.Restore && (j.Sync == nil || len(j.Sync.Only) == 0) && !owed,
	}
	for _, h := range r.Held {
		around.Pending |= h.Class.Part()
	}
	for _, f := range r.Conflicts {
		if f.Winner == pair.RoleUnknown {
			around.Pending |= f.Class.Part()
		}
	}
	for _, c := range r.Unread { // nobody knows what a restore would overwrite there
		if slices.Contains(settings.Everyday(), c) {
			around.Pending |= c.Part()
		}
	}
	around.OwnAddresses = settings.PartsWithOwnAddresses([2]*settings.Snapshot{&c.First, &c.Second}[active.Index()])
	if s := p.snap.Record.Settings; s != nil {
		around.Writes = map[pair.StandbyWrites]settings.Lasting{
			pair.StandbyKeeps: settings.Lasts, pair.StandbyRejects: settings.Rejected, pair.StandbyForgets: settings.Forgotten,
		}[s.Standby[standby.Index()]]
	}
	return around
}

// settles is when the vendor's own sync has had its time for everything that the standby
// is to get.
func settles(c *settings.Comparison, r *settings.Result) time.Time {
	var newest time.Time
	see := func(id string, from pair.Role) {
		if at := c.Since[id]; from == c.Policy.Active && at.After(newest) {
			newest = at
		}
	}
	for _, d := range r.Carried {
		see(d.ID, d.From)
	}
	for _, d := range r.Conflicts {
		see(d.ID, d.Winner)
	}
	return newest.Add(pair.VendorSyncTakes)
}

// planSync says what the running job is to write, and what became of the one write that it
// made on a standby to see whether it lasts.
func (p *pass) planSync(c *settings.Comparison, r *settings.Result, id string) (*pair.SettingsWork, pair.StandbyWrites) {
	w := &pair.SettingsWork{Job: p.snap.Record.Job.ID, Plan: id, At: c.At, Active: c.Policy.Active, Settles: settles(c, r)}
	fate := pair.StandbyUntried
	if s := p.snap.Record.Settings; s != nil && s.Work != nil && s.Work.Job == w.Job {
		was := s.Work
		w.Refused, w.Why, w.Tried, w.TriedAt = was.Refused, was.Why, was.Tried, was.TriedAt
		if w.Tried != "" && w.Active != pair.RoleUnknown && !c.At.Before(w.TriedAt.Add(pair.TrialTakes)) {
			fate = pair.StandbyKeeps
			if slices.ContainsFunc([2][]settings.Write{r.ToFirst, r.ToSecond}[w.Active.Other().Index()], func(o settings.Write) bool { return nameOf(o) == w.Tried }) {
				fate = pair.StandbyForgets
			}
			w.Tried = ""
			now := *s
			now.Standby[w.Active.Other().Index()] = fate
			p.snap.Record.Settings = &now // for the routes; stored with the rest
		}
	}
	if w.Active == pair.RoleUnknown {
		return w, fate
	}
	ways := p.routesOf(c, r)
	w.Total[w.Active.Index()], w.Total[w.Active.Other().Index()] = len(ways.active), len(ways.standby)
	w.Vendor, w.Parts, w.Stuck, w.StuckWhy = len(ways.vendor), int(ways.parts), len(ways.stuck), ways.stuckWhy
	return w, fate
}

// nameOf names a write without its values.
func nameOf(w settings.Write) string {
	sum := sha256.Sum256([]byte(w.String()))
	return hex.EncodeToString(sum[:8])
}

// writeSettings makes the next writes of a job to a unit. How far it is, is stored
// before and after; each write is made unless it is so already, so that what a pass that
// died had done is only looked at.
func (p *pass) writeSettings(ctx context.Context, i *pair.Intent) (time.Duration, bool, error) {
	if p.Settings == nil || p.Documents == nil {
		return 0, false, once{errNoSettings}
	}
	writes, err := p.writesOf(ctx, i)
	if err != nil {
		return 0, false, once{err}
	}
	if len(writes) == 0 {
		return 0, true, nil
	}
	if err := p.begun(ctx, i); err != nil {
		return 0, false, err
	}
	ctx, cancel := p.transfer(ctx)
	defer cancel()
	until := p.Uptime() + writeFor
	for len(writes) > 0 && p.Uptime() < until && ctx.Err() == nil {
		batch := together(writes)
		short, stop := context.WithTimeout(ctx, until-p.Uptime())
		done, err := p.Settings.WriteSettings(short, p.snap.Definition.Units.Of(i.Unit), batch)
		stop()
		refused := done < len(batch) && ofTheWrite(err)
		p.wrote(i, batch[:done])
		if refused {
			p.refuse(i, batch[done], err)
			done++
		}
		writes = writes[done:]
		if done > 0 {
			i.Attempts = 0
		}
		if err != nil && !refused {
			if short.Err() != nil && ctx.Err() == nil && done > 0 {
				break // it was only the time of this pass
			}
			return 0, false, err
		}
	}
	if len(writes) == 0 {
		return 0, true, nil
	}
	i.NotBefore = p.now().Add(time.Second)
	return 0, false, nil
}

// together are the writes that are handed to a unit at once: one that object calls
// cannot make is by itself, so that its refusal is its own.
func together(writes []settings.Write) []settings.Write {
	n := slices.IndexFunc(writes, func(w settings.Write) bool { return w.Refused() != "" })
	switch {
	case n == 0:
		return writes[:1]
	case n < 0:
		n = len(writes)
	}
	return writes[:min(n, writesAtOnce)]
}

// writesOf are the writes of an intent that are not made.
func (p *pass) writesOf(ctx context.Context, i *pair.Intent) ([]settings.Write, error) {
	s := p.snap.Record.Settings
	if s == nil || s.Work == nil || s.Work.Job != i.Job || i.Job == "" {
		return nil, fmt.Errorf("write settings to %s: no job has planned that: %w", i.Unit, errNeverAgain)
	}
	var c settings.Comparison
	if err := p.document(ctx, s.Work.Plan, &c); err != nil {
		return nil, err
	}
	if c.V == 0 {
		return nil, fmt.Errorf("write settings to %s: the plan %s is gone: %w", i.Unit, s.Work.Plan, pair.ErrNotFound)
	}
	r := c.Result()
	ways := p.routesOf(&c, &r)
	all := ways.standby
	switch {
	case i.Step == trialStep:
		at := slices.IndexFunc(ways.stuck, func(w settings.Write) bool { return w.Refused() == "" })
		if at < 0 || s.Work.Tried != "" {
			return nil, nil
		}
		return ways.stuck[at : at+1], nil
	case i.Unit == s.Work.Active:
		all = ways.active
	}
	next := s.Work.Next[i.Unit.Index()]
	if total := s.Work.Total[i.Unit.Index()]; total != len(all) || next > total {
		return nil, fmt.Errorf("write settings to %s: the plan has %d writes by now, and had %d: %w", i.Unit, len(all), total, errNeverAgain)
	}
	return all[next:], nil
}

// ofTheWrite reports whether an error says something of one write, so that the next one
// is worth trying. What it says of the unit, or of nothing, does not.
func ofTheWrite(err error) bool {
	if errors.Is(err, pair.ErrUnknownOutcome) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return false
	}
	for _, kind := range []error{pair.ErrInvalid, pair.ErrNotFound, pair.ErrConflict, settings.ErrStandbyRejects} {
		if errors.Is(err, kind) {
			return true
		}
	}
	return false
}

// wrote counts writes that are made, to be stored with the intent.
func (p *pass) wrote(i *pair.Intent, made []settings.Write) {
	if len(made) == 0 {
		return
	}
	s := *p.snap.Record.Settings
	w := *s.Work
	if i.Step == trialStep {
		w.Tried, w.TriedAt = nameOf(made[0]), p.now()
	} else {
		w.Next[i.Unit.Index()] += len(made)
	}
	s.Work = &w
	p.snap.Record.Settings = &s
}

// refuse remembers that a unit does not take a write, and why. What a standby does not
// take, or does not keep, it is not asked to take again.
func (p *pass) refuse(i *pair.Intent, write settings.Write, why error) {
	s := *p.snap.Record.Settings
	w := *s.Work
	switch notKept := (*settings.NotKept)(nil); {
	case i.Unit == w.Active:
	case errors.As(why, &notKept):
		s.Standby[i.Unit.Index()] = pair.StandbyForgets
	case errors.Is(why, settings.ErrStandbyRejects) || i.Step == trialStep:
		s.Standby[i.Unit.Index()] = pair.StandbyRejects
	}
	if i.Step != trialStep {
		w.Refused++
		w.Next[i.Unit.Index()]++
	}
	w.Why = fmt.Sprintf("%s %s %s: %s", write.Verb(), write.Class(), write.Path(), why)
	w.Why = w.Why[:min(len(w.Why), refusedMost)]
	s.Work = &w
	p.snap.Record.Settings = &s
}

// writeAllowed lets settings be written where the job has planned it, and while the unit
// is what it was then: what is written to a standby may be gone a moment later.
func (p *pass) writeAllowed(ctx context.Context, i *pair.Intent) error {
	if _, err := p.jobOf(i); err != nil {
		return err
	}
	if refusal := p.snap.Record.Units[i.Unit.Index()].Refusal; refusal.In(p.now()) {
		return fmt.Errorf("%s refused our credentials, which rest until %s: %w", i.Unit, refusal.Until.Format("15:04:05"), errGuard)
	}
	s := p.snap.Record.Settings
	if s == nil || s.Work == nil || s.Work.Job != i.Job {
		return fmt.Errorf("job %s has planned no writes: %w", i.Job, errGuard)
	}
	a := p.answers(ctx)
	active := s.Work.Active
	if a[active.Index()] != pair.CheckServing || a[active.Other().Index()] == pair.CheckServing {
		return fmt.Errorf("%s answered %s and %s %s, and the plan is for %s alone: %w", active, a[active.Index()], active.Other(), a[active.Other().Index()], active, errGuard)
	}
	return nil
}

// syncRestoreAllowed lets a job put parts of a backup of the active unit on the standby:
// never base, and never under the connections of a unit that serves. Both run one
// firmware, or the parts would not mean the same.
func (p *pass) syncRestoreAllowed(ctx context.Context, i *pair.Intent) error {
	if i.Parts&pair.PartBase != 0 || i.Parts&pair.PartsShared == 0 {
		return fmt.Errorf("restore %q: only services, GEO and single sign-on are restored on a partner: %w", pair.PartsText(i.Parts), errGuard)
	}
	if err := p.writeAllowed(ctx, i); err != nil {
		return err
	}
	seen := &p.in.Observation
	here, there := seen.Unit(i.Unit).API.Report.Firmware, seen.Unit(i.Unit.Other()).API.Report.Firmware
	switch {
	case i.Unit == p.snap.Record.Settings.Work.Active:
		return fmt.Errorf("%s is active: %w", i.Unit, errGuard)
	case here == "" || here != there:
		return fmt.Errorf("%s runs firmware %q, and its partner %q: %w", i.Unit, here, there, errGuard)
	}
	return nil
}
