package pair

import (
	"slices"
	"time"
)

// Stance is what Tandem may do about a pair at this moment, from the pair's
// mode, the global limit, the lever proof, a person's word and our own fitness.
type Stance uint8

// The stances, from the most careful.
const (
	StanceRetired     Stance = iota // a person wants the pair forgotten
	StancePaused                    // a person holds the pair, or everything
	StanceMaintenance               // a person is at work on one unit
	StanceBlind                     // we do not trust what we see, or what we know
	StanceObserve
	StanceRecommend
	StanceAuto
)

var stances = []Stance{StanceRetired, StancePaused, StanceMaintenance, StanceBlind, StanceObserve, StanceRecommend, StanceAuto}

var stanceNames = names{"retired", "paused", "maintenance", "blind", "observe", "recommend", "auto"}

func (s Stance) String() string               { return stanceNames.text(uint8(s)) }
func (s Stance) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads the stored form.
func (s *Stance) UnmarshalText(b []byte) error {
	v, err := stanceNames.parse("stance", b)
	*s = Stance(v)
	return err
}

// BlindCause is why we do not trust ourselves; internal/control finds it.
type BlindCause uint8

// The causes of blindness (ha-design-notes.md 7).
const (
	NotBlind   BlindCause = iota
	BlindClock            // the wall clock stepped
	BlindStall            // a pass took far too long, as on a machine that was frozen
	BlindStore            // the store failed several times
	BlindFleet            // too many pairs became unreachable at once
)

// BlindCauses lists every cause of blindness.
var BlindCauses = []BlindCause{BlindClock, BlindStall, BlindStore, BlindFleet}

var blindNames = names{"no", "the clock stepped", "a pass stalled", "the store failed", "too many pairs at once"}

func (c BlindCause) String() string               { return blindNames.text(uint8(c)) }
func (c BlindCause) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText reads the stored form.
func (c *BlindCause) UnmarshalText(b []byte) error {
	v, err := blindNames.parse("cause of blindness", b)
	*c = BlindCause(v)
	return err
}

// Belief is how sure we are of what was seen, by how often it was seen in a
// row.
type Belief uint8

// The beliefs.
const (
	Glimpsed  Belief = iota // fewer times than failover.suspectAfter
	Suspected               // often enough to say so
	Confirmed               // often enough to act
)

var beliefs = []Belief{Glimpsed, Suspected, Confirmed}

var beliefNames = names{"glimpsed", "suspected", "confirmed"}

func (b Belief) String() string               { return beliefNames.text(uint8(b)) }
func (b Belief) MarshalText() ([]byte, error) { return []byte(b.String()), nil }

// UnmarshalText reads the stored form.
func (b *Belief) UnmarshalText(t []byte) error {
	v, err := beliefNames.parse("belief", t)
	*b = Belief(v)
	return err
}

// Proof is how well it is proved that both units serve.
type Proof uint8

// The proofs.
const (
	ProofNone      Proof = iota
	ProofCheckPort       // both check ports answered 200 just now: enough to renew a fence
	ProofTwoKinds        // and a second kind of evidence says the same: enough to fence
)

var proofs = []Proof{ProofNone, ProofCheckPort, ProofTwoKinds}

var proofNames = names{"none", "check port", "two kinds"}

func (p Proof) String() string               { return proofNames.text(uint8(p)) }
func (p Proof) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText reads the stored form.
func (p *Proof) UnmarshalText(t []byte) error {
	v, err := proofNames.parse("proof", t)
	*p = Proof(v)
	return err
}

// Hold is how an admin state of ours stands.
type Hold uint8

// The holds.
const (
	HoldNone      Hold = iota
	HoldSent           // a fence was decided, but not seen in place yet
	HoldStanding       // it was seen in place
	HoldDue            // more than half of its time is gone
	HoldErased         // it was in place, and somebody else has taken it away
	HoldLost           // and that for the second time
	HoldOpposed        // somebody else has set the survivor Down
	HoldUnreached      // the load balancer does not see the survivor serving
	HoldLying          // the survivor fails a check that the held unit passes
	HoldExpired        // its deadline has passed, or lies farther ahead than we ever set one
	HoldProving        // Down for the lever proof, not seen in the data path yet
	HoldProved         // Down for the lever proof, which has shown what it was for
	HoldUp             // Up while neither unit answers 200
	HoldUpDone         // Up, and no longer needed or no longer proved
	HoldLeaving        // taken back, and what was sent before may still come
	HoldJob            // a job's, which wants it and is right in that
	HoldJobDone        // a job's, which does not want it any more, or may not
	HoldJobErased      // a job's, which somebody else has taken away
)

var holds = []Hold{
	HoldNone, HoldSent, HoldStanding, HoldDue, HoldErased, HoldLost, HoldOpposed, HoldUnreached, HoldLying, HoldExpired,
	HoldProving, HoldProved, HoldUp, HoldUpDone, HoldLeaving,
	HoldJob, HoldJobDone, HoldJobErased,
}

var holdNames = names{
	"none", "sent", "standing", "due", "erased", "erased again", "opposed", "survivor unreached", "survivor lies", "expired",
	"proving", "proved", "up", "up no longer", "leaving", "job", "job no longer", "job erased",
}

func (h Hold) String() string               { return holdNames.text(uint8(h)) }
func (h Hold) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText reads the stored form.
func (h *Hold) UnmarshalText(b []byte) error {
	v, err := holdNames.parse("hold", b)
	*h = Hold(v)
	return err
}

// Facts is the observation, the record and the policy boiled down to the few
// closed choices that the table of rows looks at. Because they are closed, a
// test walks every combination.
type Facts struct {
	Situation Situation `json:"situation"` // as seen now
	Belief    Belief    `json:"belief"`    // how sure we are of it
	Stance    Stance    `json:"stance"`

	// Hold is how our admin states stand. While one stands, nothing else is
	// done, and the facts about a lever are left out.
	Hold Hold `json:"hold"`
	// SurvivorServes: the unit that is not held Down answered 200 just now.
	SurvivorServes bool `json:"survivorServes,omitempty"`
	// Settled: what was seen has lasted long enough for the load balancer's own
	// probe to have seen it too.
	Settled bool `json:"settled,omitempty"`
	// Licence: the mode and the policy still allow what stands.
	Licence bool `json:"licence,omitempty"`
	// Proof is how well it is proved at this moment that both units serve.
	Proof Proof `json:"proof"`

	// Job is what matters of the pair's job. While it goes, the facts about a lever
	// are left out.
	Job JobFact `json:"job,omitempty"`

	// Lever is the one that fits the situation, Permit whether it may be
	// pulled, and Obstacle what stands in its way.
	Lever    Lever    `json:"lever,omitempty"`
	Permit   Permit   `json:"permit,omitempty"`
	Obstacle Obstacle `json:"obstacle,omitempty"`
	// Unit is the one that the lever acts on; unknown where it acts on both, or
	// where the record does not tell. The rows do not look at it, people do.
	Unit Role `json:"unit,omitempty"`
	// Foreign: an admin state that is not ours stands on a unit.
	Foreign bool `json:"foreign,omitempty"`

	// Refused: a unit's API does not let us in, or has another certificate.
	Refused bool `json:"refused,omitempty"`

	// Unsaved: the backups of a unit fail again and again.
	Unsaved bool `json:"unsaved,omitempty"`
	// Apart: the settings of both units differ, or were not compared, for too long.
	Apart bool `json:"apart,omitempty"`

	// Unproved: mode auto waits for the lever proof. It is part of the stance
	// already, and here for people.
	Unproved bool `json:"unproved,omitempty"`
	// Approved: a person approved exactly this.
	Approved bool `json:"approved,omitempty"`
	// Wished: a person wants the pair's resources written.
	Wished bool `json:"wished,omitempty"`
}

func facts(in *Input, d *Decision, belief Belief) (Facts, choice) {
	def, rec, seen := &in.Definition, &d.Record, &in.Observation
	f := Facts{Situation: d.Seen, Belief: belief, Foreign: rec.Foreign, Proof: proof(def, seen)}
	f.Unproved = !proved(def, rec)
	f.Stance = stance(in, rec, f.Unproved)
	d.heedJob(in, f.Stance)
	f.Settled = settled(def, d)
	if f.Hold = holdOf(in, rec, f.Settled); f.Hold == HoldNone {
		f.Settled = false
	} else {
		f.SurvivorServes = rec.Admin[0].Lever == LeverUp || rec.Admin[0].Lever == LeverJob || fresh(seen, rec.Admin[0].Unit.Other())
		f.Licence = licence(def, rec.Admin[0], f.Stance)
		f.Unit = rec.Admin[0].Unit
		if p := proposed(in, rec); p != nil && p.Mends && !p.Yield && f.Hold == HoldStanding && rec.Admin[0].Fence() {
			f.Job = JobFactGoes
		}
		return f, d.mends(in, &f)
	}
	f.Refused = refused(&seen.Units[0]) || refused(&seen.Units[1])
	f.Unsaved = unsaved(def, rec)
	f.Apart = rec.Settings.Apart(def.Sync, d.At) != ""
	if f.Job = jobFact(in, rec); f.Job == JobFactGoes {
		return f, choice{}
	}
	c := chooseLever(in, d, f.Stance)
	f.Lever, f.Unit = c.lever, c.unit
	f.Wished = c.lever == LeverRepair && d.wished(in)
	f.Approved = approved(rec.Plan, d.At) && rec.Plan.Hash == planHash(rec.Since, intentsOf(c, in, d))
	f.Permit = permit(c, f.Stance, f.Approved, f.Wished)
	switch {
	case c.lever == LeverRepair && underWay(in, IntentRepair, RoleUnknown):
		f.Obstacle = ObstacleUnderWay // a person's wish, in a mode that allows nothing else
	case f.Permit != PermitNever:
		f.Obstacle = obstacle(c, in, d, f.Proof, f.Approved)
	}
	return f, c
}

func refused(u *UnitSeen) bool {
	return u.API.Answer == APIRefused || u.API.Answer == APIUntrusted
}

// approved reports whether a person has just approved the plan.
func approved(p *Plan, now time.Time) bool {
	if p == nil || p.Approved == nil {
		return false
	}
	age := now.Sub(p.Approved.At)
	return age > -bootSkew && age < ApprovedFor
}

// proved reports whether the lever is proved on every pool of the pair.
func proved(def *Definition, rec *Record) bool {
	for _, lb := range def.LoadBalancers {
		for _, pool := range lb.Pools {
			if !slices.ContainsFunc(rec.Proofs, func(p LeverProof) bool { return p.Back && p.LoadBalancer == lb.Name && p.Pool == pool }) {
				return false
			}
		}
	}
	return true
}

// stance lowers the pair's mode by the global limit, by an outstanding lever
// proof, by our own blindness, and by a person's word.
func stance(in *Input, rec *Record, unproved bool) Stance {
	mode := in.Definition.Mode
	if in.MaxMode != ModeUnset {
		mode = min(mode, in.MaxMode)
	}
	now := in.Observation.At
	switch {
	case rec.Retire != nil:
		return StanceRetired
	case in.Stop.In(now), rec.Pause.In(now) && rec.Pause.Unit == RoleUnknown:
		return StancePaused
	case rec.Pause.In(now):
		return StanceMaintenance
	case in.Blind != NotBlind:
		return StanceBlind
	case mode == Auto && !unproved:
		return StanceAuto
	case mode == Auto, mode == Recommend:
		return StanceRecommend
	default:
		return StanceObserve
	}
}

// licence reports whether mode and policy still allow what stands.
func licence(def *Definition, h AdminHold, s Stance) bool {
	lever := h.Lever
	if lever == LeverNone {
		lever = LeverFence
	}
	return Licensed(def, lever, h.Owner, s)
}

// Licensed reports whether mode and policy allow a lever, pulled for an owner.
// What a person approved is allowed as long as the policy still asks; a proof is
// a person's wish in every mode.
func Licensed(def *Definition, l Lever, owner string, s Stance) bool {
	consent := Allowed
	switch l {
	case LeverFence:
		consent = def.Failover.Fence
	case LeverUp:
		consent = def.Failover.Up
	case LeverStart:
		consent = def.Failover.Start
	case LeverRestart:
		consent = def.Failover.Restart
	case LeverProve:
		return s >= StanceObserve
	case LeverRepair, LeverJob:
		if owner != OwnerTandem && owner != "" {
			return s >= StanceObserve // a person's wish, in every mode
		}
	case LeverNone, LeverPrefer, LeverMove, LeverSetUp, LeverSync: // the mildest has no policy of its own
	}
	if owner != OwnerTandem && owner != "" {
		return s >= StanceRecommend && consent >= Ask
	}
	return s == StanceAuto && consent == Allowed
}

// OwnerTandem is the owner of what no person approved.
const OwnerTandem = "tandem"

// holdOf says how our admin states stand, the most urgent one first.
func holdOf(in *Input, rec *Record, settled bool) Hold {
	if len(rec.Admin) == 0 {
		return HoldNone
	}
	def, seen, now := &in.Definition, &in.Observation, in.Observation.At
	if !slices.ContainsFunc(rec.Admin, func(a AdminHold) bool { return !in.leaving(a) }) {
		return HoldLeaving
	}
	h, again, unseen := HoldStanding, false, false
	for _, a := range rec.Admin {
		left, most := a.Deadline.Sub(now), FenceFor
		if a.Lever == LeverProve {
			most = ProveFor
		}
		again = again || a.Again
		switch {
		case left <= 0 || left > most+bootSkew:
			return HoldExpired
		case left <= FenceFor/2 && (a.Landed || adminSeen(seen, a.LoadBalancer, a.Pool, def.Units.Of(a.Unit)) == a.State):
			h = HoldDue
		case !a.Landed && h != HoldDue:
			h = HoldSent
		}
		unseen = unseen || !a.Landed
	}
	lever, survivor := rec.Admin[0].Lever, rec.Admin[0].Unit.Other()
	switch {
	case lever == LeverUp:
		return holdUp(in, rec.Admin[0].Unit, settled)
	case lever == LeverJob:
		return holdJob(in, rec)
	case !unseen && slices.ContainsFunc(rec.Admin, in.erased) && (again || lever == LeverProve):
		return HoldLost
	case opposed(def, rec, seen):
		return HoldOpposed
	case seenDown(seen, def.Units.Of(survivor)):
		return HoldUnreached
	case lies(seen, survivor):
		return HoldLying
	case !unseen && slices.ContainsFunc(rec.Admin, in.erased):
		return HoldErased
	case lever == LeverProve && (!unseen || !underWay(in, IntentProve, RoleUnknown)):
		return HoldProved
	case lever == LeverProve:
		return HoldProving
	default:
		return h
	}
}

// holdUp says whether a unit that we set Up still has to be: its partner does not
// answer 200, and it proves that it forwards. When it answers 200 by itself, the
// load balancer's own probe needs a while to see that, and Up stands until then.
func holdUp(in *Input, r Role, settled bool) Hold {
	seen := &in.Observation
	self := seen.Unit(r).Check.Answer == CheckServing
	switch {
	case seen.Unit(r.Other()).Check.Answer == CheckServing, self && settled, !self && seen.Unit(r).Service.Answer != ServicePassed:
		return HoldUpDone
	default:
		return HoldUp
	}
}

// opposed reports whether somebody set the survivor of our fence Down, by the
// document or by what the load balancer does.
func opposed(def *Definition, rec *Record, seen *Observation) bool {
	for _, a := range rec.Admin {
		u := def.Units.Of(a.Unit.Other())
		if adminSeen(seen, a.LoadBalancer, a.Pool, u) == AdminDown || adminShown(seen, a.LoadBalancer, u) == AdminDown {
			return true
		}
	}
	return false
}

// adminShown is the admin state that a load balancer's own view shows for a unit,
// None where it shows none or was not read.
func adminShown(seen *Observation, balancer string, u Unit) AdminState {
	for _, b := range seen.Balancers {
		for _, h := range b.Health {
			if b.Name == balancer && h.Address == u.Address && h.Admin() != AdminNone {
				return h.Admin()
			}
		}
	}
	return AdminNone
}

// leaving reports whether None was written in the place of an admin state of ours
// that was never seen, so that it may still come.
func (in *Input) leaving(a AdminHold) bool {
	return slices.ContainsFunc(in.Open, func(i Intent) bool {
		return i.Kind == IntentRelease && i.Late && i.State == IntentBegun && i.LoadBalancer == a.LoadBalancer && i.Pool == a.Pool && i.Unit == a.Unit
	})
}

// seenDown reports whether a load balancer that tells sees the unit as not
// serving, or has not for minutes, whatever the unit says itself.
func seenDown(seen *Observation, u Unit) bool {
	for _, lb := range seen.Balancers {
		for _, h := range lb.Health {
			if h.Address == u.Address && !h.Up {
				return true
			}
		}
	}
	return overlooked(seen, u)
}

// lies reports whether a unit that answers 200 fails a check of the pair file that
// its partner passes. Where both fail it is the application.
func lies(seen *Observation, r Role) bool {
	return seen.Unit(r).Service.Answer == ServiceFailed && seen.Unit(r.Other()).Service.Answer == ServicePassed
}

// erased reports whether an admin state of ours, once seen in place, is not
// there any more, and not because we are taking it back.
func (in *Input) erased(a AdminHold) bool {
	now := adminSeen(&in.Observation, a.LoadBalancer, a.Pool, in.Definition.Units.Of(a.Unit))
	return now != AdminUnknown && now != a.State && !slices.ContainsFunc(in.Open, func(i Intent) bool {
		return i.Kind == IntentRelease && i.LoadBalancer == a.LoadBalancer && i.Pool == a.Pool && i.Unit == a.Unit
	})
}

// adminSeen is the admin state of a unit in a pool, unknown where it was not
// read.
func adminSeen(seen *Observation, balancer, pool string, u Unit) AdminState {
	for _, b := range seen.Balancers {
		for _, p := range b.Pools {
			for _, m := range p.Members {
				if b.Name == balancer && p.Name == pool && m.Address == u.Address {
					return m.Admin
				}
			}
		}
	}
	return AdminUnknown
}

// fresh reports whether the unit answered 200 within FreshFor before now. An
// answer from the future is a clock that stepped, which proves nothing.
func fresh(seen *Observation, r Role) bool {
	c := seen.Unit(r).Check
	age := seen.At.Sub(c.At)
	return c.Answer == CheckServing && age >= 0 && age < FreshFor
}

// settled reports whether the situation stands for as long as the slowest probe
// of the pair's load balancers needs to change its mind. A fence that is taken
// back earlier sends new flows to a unit that just stopped serving.
func settled(def *Definition, d *Decision) bool {
	since := d.Record.Since
	if s := d.Record.Suspicion; s.Count > 0 {
		since = s.Since
	}
	needs := time.Duration(0)
	for i := range def.LoadBalancers {
		p := &def.LoadBalancers[i].Probe
		needs = max(needs, time.Duration(p.Interval)*time.Duration(p.Threshold+1))
	}
	return d.At.Sub(since) >= needs
}

// proof says how well it is proved that both units serve.
func proof(def *Definition, seen *Observation) Proof {
	switch {
	case !fresh(seen, First) || !fresh(seen, Second):
		return ProofNone
	case !secondKind(def, seen):
		return ProofCheckPort
	default:
		return ProofTwoKinds
	}
}

// secondKind reports whether another kind of source than our own request to
// the check port sees both units as active: their own API, or the load
// balancer's probe. Two requests from the same place are one kind
// (ha-design-notes.md 6).
func secondKind(def *Definition, seen *Observation) bool {
	return seen.Units[0].API.Report.State == Active && seen.Units[1].API.Report.State == Active ||
		probedUp(seen, def.Units.First) && probedUp(seen, def.Units.Second)
}

func probedUp(seen *Observation, u Unit) bool {
	for _, lb := range seen.Balancers {
		for _, h := range lb.Health {
			if h.Address == u.Address && h.ProbedUp() {
				return true
			}
		}
	}
	return false
}

// loser is the unit that yields when both serve: second where the units prefer
// first, otherwise the one that was not active before (DESIGN section 5).
func loser(def *Definition, rec *Record) Role {
	if def.HA.UnitPreference() == PreferFirst {
		return Second
	}
	return rec.LastActive.Other()
}

// probedDown reports whether every load balancer that tells sees the unit as
// down.
func probedDown(seen *Observation, u Unit) bool {
	told := false
	for _, lb := range seen.Balancers {
		for _, h := range lb.Health {
			if h.Address == u.Address && h.Up {
				return false
			}
			told = told || h.Address == u.Address
		}
	}
	return told
}

// preferNone reports whether both units themselves say haprefered=0. With a
// preference for first, a fenced first becomes the only active unit when the
// link heals, and nobody would be left.
func preferNone(seen *Observation) bool {
	return seen.Units[0].API.Report.Preferred == PreferNone && seen.Units[1].API.Report.Preferred == PreferNone
}

// foreign reports whether an admin state stands on a unit that we did not set, by
// the document or by what the load balancer does: a person's maintenance, or what
// came so late that we had given it up, never ours to clear.
func foreign(def *Definition, rec *Record, seen *Observation) bool {
	for _, lb := range seen.Balancers {
		for _, p := range lb.Pools {
			for _, m := range p.Members {
				if (m.Admin == AdminUp || m.Admin == AdminDown) && !ours(def, rec, lb.Name, p.Name, m) {
					return true
				}
			}
		}
	}
	return foreignShown(rec, seen, First, def.Units.First) != AdminUnknown || foreignShown(rec, seen, Second, def.Units.Second) != AdminUnknown
}

// foreignShown is the admin state that a load balancer's own view shows for a unit
// although we did not set it and no pool reads it; unknown where there is none.
func foreignShown(rec *Record, seen *Observation, r Role, u Unit) AdminState {
	for _, b := range seen.Balancers {
		now := adminShown(seen, b.Name, u)
		ours := slices.ContainsFunc(rec.Admin, func(h AdminHold) bool { return h.LoadBalancer == b.Name && h.Unit == r && h.State == now })
		reads := slices.ContainsFunc(b.Pools, func(p PoolSeen) bool { return adminSeen(seen, b.Name, p.Name, u) == now })
		if now != AdminNone && !ours && !reads {
			return now
		}
	}
	return AdminUnknown
}

func ours(def *Definition, rec *Record, balancer, pool string, m MemberSeen) bool {
	for _, h := range rec.Admin {
		if h.LoadBalancer == balancer && h.Pool == pool && h.State == m.Admin && def.Units.Of(h.Unit).Address == m.Address {
			return true
		}
	}
	return false
}
