package pair

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// HADrift is what a unit says of its HA set-up and the pair file says otherwise.
//
// The preference is no part of it. It has a lever of its own (LeverPrefer), which
// knows that one which we suspended ourselves is no drift.
type HADrift struct {
	Fields []HAField `json:"fields"`
	Since  time.Time `json:"since"` // since when exactly this was seen
	// Dispute names a field that somebody has changed back after each of our last
	// two repairs. Units do not tell who it was.
	Dispute string `json:"dispute,omitempty"`
}

// HAField is one field of a unit's HA set-up: what it has, and what it must have.
type HAField struct {
	Name string `json:"name"`
	Has  string `json:"has"`
	Want string `json:"want"`
}

// The fields of the HA set-up (loadmaster.md 2.1).
const (
	haMode       = "HA mode"
	haCheckPort  = "check port"
	haPartner    = "partner"
	haInterfaces = "all interfaces"
)

func (f HAField) String() string { return f.Name + " " + f.Has + " instead of " + f.Want }

// haFields are the fields of a unit's HA set-up that its own words contradict. What
// it does not tell contradicts nothing: without HA it tells none of them, and that
// is a unit that is yet to be set up, or was built anew.
func haFields(def *Definition, seen *Observation, r Role) (out []HAField) {
	u := seen.Unit(r)
	if u.API.Answer != APIAnswered {
		return nil
	}
	rep, ha := &u.API.Report, &def.HA
	partner := def.Units.Of(r.Other()).Address
	if rep.Role != RoleUnknown && rep.Role != r {
		out = append(out, HAField{haMode, rep.Role.String(), r.String()})
	}
	if rep.CheckPort != 0 && ha.CheckPort != 0 && rep.CheckPort != ha.CheckPort {
		out = append(out, HAField{haCheckPort, fmt.Sprint(rep.CheckPort), fmt.Sprint(ha.CheckPort)})
	}
	if wrongPartner(rep.Partner, partner) {
		out = append(out, HAField{haPartner, rep.Partner, partner.String()})
	}
	// Beside a partner it tells its HA parameters; without one it tells nothing.
	if rep.Partner != "" && rep.AllInterfaces != ha.CheckAllInterfaces {
		out = append(out, HAField{haInterfaces, fmt.Sprint(rep.AllInterfaces), fmt.Sprint(ha.CheckAllInterfaces)})
	}
	return out
}

// misconfigured says what the units' own words about their set-up contradict so that
// they are no pair, empty where nothing.
func misconfigured(def *Definition, seen *Observation) string {
	for _, r := range Roles {
		for _, f := range haFields(def, seen, r) {
			if f.Name != haInterfaces {
				return r.String() + " has " + f.String()
			}
		}
	}
	return ""
}

// wrongPartner reports whether a partner that is given by address is another
// one. A host name says nothing to us.
func wrongPartner(partner string, want netip.Addr) bool {
	if partner == "" {
		return false
	}
	a, err := netip.ParseAddr(partner)
	return err == nil && want.IsValid() && a.Unmap() != want.Unmap()
}

// learnSetUp remembers what a unit says of its HA set-up that is not as it must be. A
// unit that does not tell changes nothing of that.
func (d *Decision) learnSetUp(in *Input, r Role) {
	u := &d.Record.Units[r.Index()]
	if in.Observation.Unit(r).API.Answer != APIAnswered {
		return
	}
	switch fields := haFields(&in.Definition, &in.Observation, r); {
	case len(fields) == 0 && u.SetUp != nil:
		u.SetUp, d.Changed = nil, true
	case len(fields) > 0 && (u.SetUp == nil || !slices.Equal(u.SetUp.Fields, fields)):
		u.SetUp = &HADrift{Fields: fields, Since: d.At, Dispute: disputedSetUp(d.Record.Repairs, r, fields)}
		d.Changed = true
	}
}

// disputedSetUp finds a field of a unit that was set twice already.
func disputedSetUp(repairs []Repair, r Role, fields []HAField) string {
	for _, f := range fields {
		times := 0
		for _, done := range repairs {
			if done.Unit == r && done.Field == f.Name {
				times++
			}
		}
		if times >= 2 {
			return r.String() + ": " + f.Name + ", set by Tandem and changed back at the unit by somebody whom it does not name"
		}
	}
	return ""
}

// HasSetUp notes the fields of a unit's HA set-up that were written.
func (rec *Record) HasSetUp(r Role, at time.Time) {
	drift := rec.Units[r.Index()].SetUp
	if drift == nil {
		return
	}
	rec.Repairs = slices.Clone(rec.Repairs)
	for _, f := range drift.Fields {
		rec.Repairs = append(rec.Repairs, Repair{Unit: r, Field: f.Name, At: at})
	}
	rec.Repairs = rec.Repairs[max(0, len(rec.Repairs)-RepairsKept):]
}

// differs reports whether a unit's HA set-up has this field otherwise.
func (h *HADrift) differs(field string) bool {
	return h != nil && slices.ContainsFunc(h.Fields, func(f HAField) bool { return f.Name == field })
}

// setUp chooses to begin a job that sets up HA as the pair file says, where a unit
// says that it is set up otherwise. It gives way to every other lever that fits, but
// for two. A fence, because the wrong set-up is why both serve, and mending that is
// milder; and a preference that has to wait. A unit without HA is left to people: it
// may be one that was built anew, and a blank unit must not become active.
//
// A new HA mode wants a reboot, so that a person is asked then.
func (d *Decision) setUp(in *Input, other choice, s Stance) choice {
	c := choice{LeverSetUp, RoleUnknown, Allowed}
	for _, r := range Roles {
		u := &d.Record.Units[r.Index()]
		if u.SetUp != nil && c.unit == RoleUnknown {
			c.unit = r
		}
		if u.SetUp.differs(haMode) {
			c.consent = Ask
		}
	}
	mends := d.Seen == Misconfigured || d.Seen == Healthy || d.Seen == Unpolled || d.Seen == NoneActive || d.Seen.BothServe()
	blank := notConfigured(&in.Observation.Units[0]) || notConfigured(&in.Observation.Units[1])
	switch {
	case c.unit == RoleUnknown || !mends || blank || d.Record.Job.Running():
		return other
	case other.lever == LeverNone:
		return c
	case other.lever != LeverFence && other.lever != LeverPrefer:
		return other
	case s == StanceAuto && c.consent == Allowed && d.setUpObstacle(in, false) == ObstacleNone:
		return c
	default:
		return other
	}
}

// setUpObstacle is what stands in the way of setting up HA. A person's word passes a
// dispute, the wait and the limits.
func (d *Decision) setUpObstacle(in *Input, approved bool) Obstacle {
	rec := &d.Record
	switch {
	case underWay(in, IntentSetUp, RoleUnknown):
		return ObstacleUnderWay
	case rec.Foreign:
		return ObstacleForeign
	case in.Observation.Units[0].API.Answer != APIAnswered || in.Observation.Units[1].API.Answer != APIAnswered:
		return ObstacleUnproved // what differs is from before, and it could not be seen when it is right
	case rec.Job.Unheeded():
		return ObstacleFailed
	case d.Seen == NoneActive && hidden(in, rec) != ObstacleNone:
		return hidden(in, rec)
	case rec.Drift != nil && (rec.Units[0].SetUp.differs(haCheckPort) || rec.Units[1].SetUp.differs(haCheckPort)):
		return ObstacleRefusal // unit and load balancer differ from the file: it may be the file that is wrong
	case approved:
		return ObstacleNone
	}
	for _, u := range rec.Units {
		switch {
		case u.SetUp == nil:
		case u.SetUp.Dispute != "":
			return ObstacleDispute
		case d.At.Sub(u.SetUp.Since) < DriftSettles:
			return ObstacleHoldDown
		}
	}
	// It moves nothing, so that the last move need not be long ago.
	if limited(in.Definition.Failover, rec, d.At) == ObstacleBlocked {
		return ObstacleBlocked
	}
	return ObstacleNone
}

// Unheeded reports whether a job has failed, or one that no person wanted was
// cancelled, and nobody has taken note of that.
func (j *Job) Unheeded() bool {
	return j != nil && !j.Acknowledged && (j.State == JobFailed || j.State == JobCancelled && j.By == OwnerTandem)
}

// setUpStep names exactly what is to be set up, so that a person approves that.
func (rec *Record) setUpStep() string {
	var words []string
	for _, r := range Roles {
		if u := rec.Units[r.Index()].SetUp; u != nil {
			words = append(words, r.String()+" "+u.Differences())
		}
	}
	return strings.Join(words, "; ")
}

// Differences say what differs, for people.
func (h *HADrift) Differences() string {
	words := make([]string, len(h.Fields))
	for n, f := range h.Fields {
		words[n] = f.String()
	}
	return strings.Join(words, ", ")
}

// UnitHADrift is what differs in the HA set-up of one unit.
type UnitHADrift struct {
	Unit Role `json:"unit"`
	HADrift
}

// SetUp lists what differs in the units' HA set-up.
func (rec *Record) SetUp() (all []UnitHADrift) {
	for _, r := range Roles {
		if h := rec.Units[r.Index()].SetUp; h != nil {
			all = append(all, UnitHADrift{r, *h})
		}
	}
	return all
}

// Words say what of a unit's HA set-up differs and since when, in the length of a
// sentence.
func (h *HADrift) Words() string {
	words := h.Differences() + ", seen since " + h.Since.UTC().Format(time.DateTime) + "Z"
	if h.Dispute != "" {
		words += "; disputed: " + h.Dispute
	}
	return words
}
