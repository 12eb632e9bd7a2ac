package pair

import (
	"cmp"
	"slices"
	"time"
)

// Lever is what a decision may pull, from the mildest to the strongest but for
// the order in the code, which is that of their invention (DESIGN section 5).
type Lever uint8

// The levers.
const (
	LeverNone    Lever = iota
	LeverFence         // set the loser of two active units Down
	LeverPrefer        // set the preference of both units
	LeverUp            // set a proved unit Up where neither answers 200
	LeverStart         // start a VM that is stopped
	LeverRestart       // restart a VM that is broken for certain
	LeverProve         // prove that admin states work on this load balancer
	LeverRepair        // write load balancer, security group and interfaces as the pair file says
	LeverJob           // what a job's step wants
	LeverMove          // begin a job that moves the active state, drained
	LeverSetUp         // begin a job that sets up HA as the pair file says
	LeverSync          // begin a job that makes the settings of both units alike
)

// Levers lists every lever.
var Levers = []Lever{LeverNone, LeverFence, LeverPrefer, LeverUp, LeverStart, LeverRestart, LeverProve, LeverRepair, LeverJob, LeverMove, LeverSetUp, LeverSync}

var leverNames = names{"none", "fence", "prefer", "up", "start", "restart", "prove", "repair", "job", "move", "set-up", "sync"}

func (l Lever) String() string               { return leverNames.text(uint8(l)) }
func (l Lever) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// UnmarshalText reads the stored form.
func (l *Lever) UnmarshalText(b []byte) error {
	v, err := leverNames.parse("lever", b)
	*l = Lever(v)
	return err
}

// Permit is whether a lever may be pulled, by mode, policy and a person's word.
type Permit uint8

// The permits.
const (
	PermitNever Permit = iota // mode observe, or the policy says never
	PermitAsk                 // a plan is stored and waits for a person
	PermitAct
)

var permits = []Permit{PermitNever, PermitAsk, PermitAct}

var permitNames = names{"never", "ask", "act"}

func (p Permit) String() string               { return permitNames.text(uint8(p)) }
func (p Permit) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText reads the stored form.
func (p *Permit) UnmarshalText(b []byte) error {
	v, err := permitNames.parse("permit", b)
	*p = Permit(v)
	return err
}

// Obstacle is what stands in the way of a lever, the first that was found.
type Obstacle uint8

// The obstacles.
const (
	ObstacleNone        Obstacle = iota
	ObstacleUnderWay             // it is being done already
	ObstacleUnread               // the load balancers were not read in this pass
	ObstacleForeign              // somebody else's admin state stands on one of the units
	ObstacleNoLoser              // it is not known who should yield
	ObstacleUnreachable          // the load balancer does not carry both, or does not see the survivor serving
	ObstaclePreference           // the preference would move the active state to the wrong unit
	ObstacleUnproved             // the second kind of evidence is missing
	ObstacleHoldDown             // the last move is too recent
	ObstacleBlocked              // there were too many moves; a person must acknowledge
	ObstacleDispute              // somebody changes back what we repair
	ObstacleRefusal              // what the pair file asks for cannot be had
	ObstacleMoved                // the world is not any more what a person saw
	ObstacleLying                // the survivor fails a check that the loser passes
	ObstacleFailed               // the last job failed, and nobody has taken note
	ObstacleUnequal              // the settings of both units differ
)

var obstacles = []Obstacle{
	ObstacleNone, ObstacleUnderWay, ObstacleUnread, ObstacleForeign, ObstacleNoLoser, ObstacleUnreachable, ObstaclePreference,
	ObstacleUnproved, ObstacleHoldDown, ObstacleBlocked, ObstacleDispute, ObstacleRefusal, ObstacleMoved, ObstacleLying, ObstacleFailed, ObstacleUnequal,
}

var obstacleNames = names{
	"none", "under way", "balancers unread", "foreign admin state", "no loser", "survivor unreachable", "preference",
	"unproved", "hold-down", "blocked", "dispute", "refusal", "moved", "survivor lies", "job failed", "settings differ",
}

func (o Obstacle) String() string               { return obstacleNames.text(uint8(o)) }
func (o Obstacle) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// UnmarshalText reads the stored form.
func (o *Obstacle) UnmarshalText(b []byte) error {
	v, err := obstacleNames.parse("obstacle", b)
	*o = Obstacle(v)
	return err
}

// PowerPerDay is how often in a day we start or restart one VM. What does not
// stay up after two starts has a cause that a third one does not mend.
const PowerPerDay = 2

// RestartWithin is how long after its decision a restart may be sent. The last
// look before it asks the units again, and not the load balancer, which takes
// seconds to tell; after that it is decided anew.
const RestartWithin = time.Minute

// choice is a lever with the unit it acts on and the policy for it.
type choice struct {
	lever   Lever
	unit    Role
	consent Consent
}

// chooseLever picks the one lever that fits the situation, the mildest first.
func chooseLever(in *Input, d *Decision, s Stance) choice {
	return d.repair(in, d.setUp(in, chooseForSituation(in, d), s), s)
}

func chooseForSituation(in *Input, d *Decision) choice {
	def, f := &in.Definition, &in.Definition.Failover
	switch {
	case d.Seen.BothServe():
		return choice{LeverFence, loser(def, &d.Record), f.Fence}
	case d.Seen == NoneActive:
		return chooseForNone(in, d)
	case d.Seen == Degraded:
		return chooseForDegraded(in, d)
	case d.Seen != Healthy:
		return choice{}
	case threatened(&d.Record, servingAlone(&in.Observation)) && !threatened(&d.Record, servingAlone(&in.Observation).Other()) && !moveFailed(&d.Record):
		return choice{LeverMove, servingAlone(&in.Observation).Other(), Allowed}
	case d.Record.Prove != nil:
		return choice{LeverProve, servingAlone(&in.Observation).Other(), Allowed}
	case d.syncs(in):
		return choice{LeverSync, RoleUnknown, Allowed}
	case preferenceDiffers(&in.Observation, def.HA.UnitPreference()):
		return choice{LeverPrefer, RoleUnknown, Allowed}
	case def.HA.Failback == FailbackManaged && def.HA.Preferred == PreferFirst && servingAlone(&in.Observation) == Second && !threatened(&d.Record, First) && !moveFailed(&d.Record):
		return choice{LeverMove, First, Allowed}
	default:
		return choice{}
	}
}

// moveKind is the kind of the job that IntentMove begins.
const moveKind = "switchover"

// moveFailed reports whether a move of our own has failed and nobody has taken note
// of that: what could not be done is not begun again and again.
func moveFailed(rec *Record) bool {
	return rec.Job != nil && rec.Job.Kind == moveKind && rec.Job.By == OwnerTandem && rec.Job.State == JobFailed && !rec.Job.Acknowledged
}

// threatened reports whether the platform has announced trouble for a unit's VM
// and has not called it well since: broken hardware below it, or work on it.
func threatened(rec *Record, r Role) bool {
	return r != RoleUnknown && rec.Units[r.Index()].Platform.Kind == EvidenceDegraded
}

// chooseForNone picks the lever for a pair that nobody serves: what is switched
// off is switched on; two standbys are told who shall serve; then a unit that
// is proved to forward may be set Up. A restart is never automatic here,
// because it wants a partner that serves.
func chooseForNone(in *Input, d *Decision) choice {
	seen, f := &in.Observation, &in.Definition.Failover
	for _, r := range Roles {
		if consent, ok := startable(seen, &d.Record, r, f.Start); ok {
			return choice{LeverStart, r, consent}
		}
	}
	if misconfigured(&in.Definition, seen) != "" {
		return choice{} // the cause is known, and no lever mends it
	}
	if seen.Units[0].Check.Answer == CheckIdle && preferenceDiffers(seen, PreferFirst) {
		return choice{LeverPrefer, RoleUnknown, Allowed}
	}
	if in.Definition.HA.StandbyForwards == ForwardsYes {
		for _, r := range Roles {
			if seen.Unit(r).Service.Answer == ServicePassed {
				return choice{LeverUp, r, f.Up}
			}
		}
	}
	return choice{}
}

func chooseForDegraded(in *Input, d *Decision) choice {
	gone := servingAlone(&in.Observation).Other()
	if gone == RoleUnknown {
		return choice{}
	}
	consent, ok := startable(&in.Observation, &d.Record, gone, in.Definition.Failover.Start)
	switch {
	case ok:
		return choice{LeverStart, gone, consent}
	case !in.Observation.Unit(gone).Lives() && power(&in.Observation, &d.Record, gone) == PowerRunning &&
		d.At.Sub(d.Record.Since) >= BootGrace: // its silence has outlasted a boot
		return choice{LeverRestart, gone, in.Definition.Failover.Restart}
	default:
		return choice{}
	}
}

// power is the newest power state that is known of a silent unit.
func power(seen *Observation, rec *Record, r Role) Power {
	if p := seen.Unit(r).Power.Power; p != PowerUnknown {
		return p
	}
	u := &rec.Units[r.Index()]
	if e := u.Platform; (e.Kind == EvidenceStarted || e.Kind == EvidenceAvailable) && e.At.After(u.Power.At) {
		return PowerUnknown // it was started since that was read
	}
	return u.Power.Power
}

// startable reports whether a VM is switched off and no person did that: a stop
// by a person is an instruction. Until an event has told that the platform did
// it, a person is asked: that a VM is unavailable says nothing of who wants it
// so, and the event of a person's stop comes when the stop is over.
func startable(seen *Observation, rec *Record, r Role, consent Consent) (Consent, bool) {
	e := rec.Units[r.Index()].Platform
	switch {
	case !stopped(seen, rec, r), e.Kind == EvidenceStopped && e.ByPerson:
		return Never, false
	case e.Kind != EvidenceStopped, changedSince(seen, rec, r, e):
		return min(consent, Ask), true
	default:
		return consent, true
	}
}

// StartsAlone reports whether a VM may be started without asking a person: the
// platform stopped it, and that was the last that happened to it.
func StartsAlone(rec *Record, r Role, now PowerSeen) bool {
	seen := Observation{}
	seen.Unit(r).Power = now
	consent, ok := startable(&seen, rec, r, Allowed)
	return ok && consent == Allowed
}

// changedSince reports whether the platform has ended an operation on the VM
// after the stop that an event told of. Somebody started it since and stopped it
// again, of which no event has come yet.
func changedSince(seen *Observation, rec *Record, r Role, stop Evidence) bool {
	p := seen.Unit(r).Power
	if p.Power == PowerUnknown {
		p = rec.Units[r.Index()].Power
	}
	return p.Since.Sub(stop.At) > toldWithin
}

// toldWithin is how much later than the time in its event an operation may end by
// the VM's own account.
const toldWithin = time.Minute

func stopped(seen *Observation, rec *Record, r Role) bool {
	p := power(seen, rec, r)
	return !seen.Unit(r).Lives() && (p == PowerStopped || p == PowerDeallocated)
}

// preferenceDiffers reports whether a unit that tells its preference has
// another one.
func preferenceDiffers(seen *Observation, want Preference) bool {
	for _, r := range Roles {
		if p := seen.Unit(r).API.Report.Preferred; p != PreferenceUnknown && p != want {
			return true
		}
	}
	return false
}

// permit says whether the chosen lever may be pulled. Proving it is a person's
// wish already.
func permit(c choice, s Stance, approved, wished bool) Permit {
	switch {
	case c.lever == LeverNone:
		return PermitNever
	case c.lever == LeverProve, wished:
		return PermitAct
	case s != StanceAuto && s != StanceRecommend, c.consent == Never, c.consent == ConsentUnset:
		return PermitNever
	case approved, s == StanceAuto && c.consent == Allowed:
		return PermitAct
	default:
		return PermitAsk
	}
}

// obstacle finds the first thing that stands in the way of the chosen lever.
// A person's approval passes the limits of automatic moves, and nothing else.
func obstacle(c choice, in *Input, d *Decision, p Proof, approved bool) Obstacle {
	def, rec, seen := &in.Definition, &d.Record, &in.Observation
	var o Obstacle
	switch c.lever {
	case LeverNone:
		return ObstacleNone
	case LeverFence:
		o = fenceObstacle(def, rec, seen, c.unit)
	case LeverPrefer:
		return preferObstacle(in, d)
	case LeverUp:
		o = upObstacle(in, rec, c.unit)
	case LeverStart:
		return startObstacle(in, rec, c.unit, d.At)
	case LeverRestart:
		return restartObstacle(in, d, c.unit)
	case LeverProve:
		return proveObstacle(def, rec, seen, c.unit)
	case LeverRepair:
		return d.repairObstacle(in, approved)
	case LeverSetUp:
		return d.setUpObstacle(in, approved)
	case LeverSync:
		return ObstacleNone // or it was not chosen
	case LeverJob: // a job's proposal is not a choice of the table
	case LeverMove:
		o = moveObstacle(in, d, c.unit)
	}
	switch {
	case o != ObstacleNone:
		return o
	case c.lever == LeverFence && p != ProofTwoKinds:
		return ObstacleUnproved
	case approved:
		return ObstacleNone
	default:
		return limited(def.Failover, rec, d.At)
	}
}

func unread(def *Definition, seen *Observation) bool {
	return len(seen.Balancers) == 0 || len(seen.Balancers) != len(def.LoadBalancers)
}

func fenceObstacle(def *Definition, rec *Record, seen *Observation, loser Role) Obstacle {
	switch {
	case unread(def, seen):
		return ObstacleUnread
	case foreign(def, rec, seen):
		return ObstacleForeign
	case loser == RoleUnknown:
		return ObstacleNoLoser
	case !fenceable(def, seen, loser):
		return ObstacleUnreachable
	case lies(seen, loser.Other()):
		return ObstacleLying
	case loser == First && !preferNone(seen):
		return ObstaclePreference
	default:
		return ObstacleNone
	}
}

// fenceable reports whether the survivor takes over wherever the loser is set
// Down: it is in every pool that the loser is in, and no load balancer says
// that its probe does not reach it. Without that a fence would empty a pool.
func fenceable(def *Definition, seen *Observation, loser Role) bool {
	down, up := def.Units.Of(loser).Address, def.Units.Of(loser.Other()).Address
	if seenDown(seen, def.Units.Of(loser.Other())) {
		return false
	}
	pools := 0
	for _, b := range seen.Balancers {
		for _, p := range b.Pools {
			hasLoser := slices.ContainsFunc(p.Members, func(m MemberSeen) bool { return m.Address == down })
			if hasLoser && !slices.ContainsFunc(p.Members, func(m MemberSeen) bool { return m.Address == up }) {
				return false
			}
			if hasLoser {
				pools++
			}
		}
	}
	return pools > 0
}

// preferObstacle keeps the preference for first from pulling the active state
// away from a second unit that serves: that is a move, and a drained one only
// (DESIGN section 5, "a preference that we suspended stays suspended").
func preferObstacle(in *Input, d *Decision) Obstacle {
	switch {
	case underWay(in, IntentPrefer, RoleUnknown):
		return ObstacleUnderWay
	case d.Seen != NoneActive && in.Definition.HA.UnitPreference() == PreferFirst && servingAlone(&in.Observation) != First:
		return ObstaclePreference
	case d.Seen == NoneActive:
		return cmp.Or(hidden(in, &d.Record), limited(in.Definition.Failover, &d.Record, d.At))
	default:
		return ObstacleNone
	}
}

// hidden is what stands in the way of a lever for a pair that nobody serves,
// where a unit's check port tells us nothing: it may serve all the same, and only
// the load balancers' own view can say that it does not.
func hidden(in *Input, rec *Record) Obstacle {
	seen := &in.Observation
	for _, r := range Roles {
		u := in.Definition.Units.Of(r)
		switch {
		case seen.Unit(r).Check.Answer.Answered(), stopped(seen, rec, r), probedDown(seen, u):
		case probedUp(seen, u):
			return ObstacleUnproved
		default:
			return ObstacleUnread
		}
	}
	return ObstacleNone
}

func upObstacle(in *Input, rec *Record, r Role) Obstacle {
	switch {
	case unread(&in.Definition, &in.Observation):
		return ObstacleUnread
	case foreign(&in.Definition, rec, &in.Observation):
		return ObstacleForeign
	case len(poolIntents(in, IntentUp, r, AdminUp, time.Time{})) == 0:
		return ObstacleUnreachable
	default:
		return hidden(in, rec)
	}
}

func startObstacle(in *Input, rec *Record, r Role, now time.Time) Obstacle {
	switch {
	case underWay(in, IntentStart, r):
		return ObstacleUnderWay
	case poweredTooOften(rec, r, now):
		return ObstacleBlocked
	default:
		return ObstacleNone
	}
}

// probedGone reports whether every load balancer that tells sees the unit as
// down, and none gets an answer from it. A probe that gets the 503 of a standby
// says that the unit lives, and that our own way to it is the broken one.
func probedGone(seen *Observation, u Unit) bool {
	for _, lb := range seen.Balancers {
		for _, h := range lb.Health {
			if h.Address == u.Address && h.Refused() {
				return false
			}
		}
	}
	return probedDown(seen, u)
}

// restartObstacle asks for everything at once: only when the load balancer's own
// view says that the unit is down and its partner is up, and the partner answers
// us too (DESIGN section 5).
func restartObstacle(in *Input, d *Decision, r Role) Obstacle {
	seen := &in.Observation
	switch {
	case underWay(in, IntentRestart, r):
		return ObstacleUnderWay
	case poweredTooOften(&d.Record, r, d.At):
		return ObstacleBlocked
	case unread(&in.Definition, seen):
		return ObstacleUnread
	case !fresh(seen, r.Other()) || !probedUp(seen, in.Definition.Units.Of(r.Other())) || !probedGone(seen, in.Definition.Units.Of(r)):
		return ObstacleUnproved
	default:
		return ObstacleNone
	}
}

func proveObstacle(def *Definition, rec *Record, seen *Observation, standby Role) Obstacle {
	switch {
	case unread(def, seen):
		return ObstacleUnread
	case foreign(def, rec, seen):
		return ObstacleForeign
	case standby == RoleUnknown || !fresh(seen, standby.Other()):
		return ObstacleUnproved
	case !fenceable(def, seen, standby):
		return ObstacleUnreachable
	default:
		return ObstacleNone
	}
}

// moveObstacle keeps a move of our own apart from everything else: nobody else is at
// work at the load balancer, and what is seen has stood for the hold-down, which
// begins again when the platform says something about the target, and the settings of
// both are alike, as far as they were compared. Announced trouble does not wait for that. Whether the target is fit is the job's to prove.
func moveObstacle(in *Input, d *Decision, target Role) Obstacle {
	steady := d.Record.Since
	if said := d.Record.Units[target.Index()].Platform.At; said.After(steady) {
		steady = said
	}
	switch {
	case underWay(in, IntentMove, RoleUnknown):
		return ObstacleUnderWay
	case unread(&in.Definition, &in.Observation):
		return ObstacleUnread
	case foreign(&in.Definition, &d.Record, &in.Observation):
		return ObstacleForeign
	case !threatened(&d.Record, target.Other()) && d.At.Sub(steady) < time.Duration(in.Definition.Failover.HoldDown):
		return ObstacleHoldDown
	case !threatened(&d.Record, target.Other()) && d.Record.Settings != nil && d.Record.Settings.Found.Differences() > 0:
		return ObstacleUnequal
	default:
		return ObstacleNone
	}
}

func poweredTooOften(rec *Record, r Role, now time.Time) bool {
	return len(since(rec.Units[r.Index()].Powered, now, 24*time.Hour)) >= PowerPerDay
}

// underWay reports whether an intent of the kind is open, for the unit or, with
// RoleUnknown, for any.
func underWay(in *Input, kind IntentKind, r Role) bool {
	return slices.ContainsFunc(in.Open, func(i Intent) bool {
		return i.Kind == kind && (r == RoleUnknown || i.Unit == r)
	})
}

// limited reports whether another automatic move has to wait, or has to be
// asked for: too many in an hour stop them until a person acknowledges.
func limited(f Failover, rec *Record, now time.Time) Obstacle {
	recent := since(rec.Moves, now, time.Hour)
	switch {
	case rec.Block != nil || len(recent) >= f.MaxMovesPerHour && f.MaxMovesPerHour > 0:
		return ObstacleBlocked
	case len(recent) > 0 && now.Sub(recent[len(recent)-1]) < time.Duration(f.HoldDown):
		return ObstacleHoldDown
	default:
		return ObstacleNone
	}
}

// intentsOf are what pulling a lever means, without ids: for a plan as well as
// for a decision.
func intentsOf(c choice, in *Input, d *Decision) []Intent {
	def := &in.Definition
	switch c.lever {
	case LeverFence:
		return poolIntents(in, IntentFence, c.unit, AdminDown, d.At.Add(FenceFor))
	case LeverUp:
		return poolIntents(in, IntentUp, c.unit, AdminUp, d.At.Add(FenceFor))
	case LeverProve:
		return poolIntents(in, IntentProve, c.unit, AdminDown, d.At.Add(ProveFor))
	case LeverStart:
		return []Intent{{Kind: IntentStart, Unit: c.unit}}
	case LeverMove:
		return []Intent{{Kind: IntentMove, Unit: c.unit}}
	case LeverSync:
		return []Intent{{Kind: IntentSync, Step: d.Record.Settings.Found.String()}}
	case LeverSetUp:
		return []Intent{{Kind: IntentSetUp, Unit: c.unit, Step: d.Record.setUpStep()}}
	case LeverRestart:
		return []Intent{{Kind: IntentRestart, Unit: c.unit, Deadline: d.At.Add(RestartWithin)}}
	case LeverRepair:
		out := make([]Intent, len(d.Record.Drift.Steps))
		for n, s := range d.Record.Drift.Steps {
			out[n] = Intent{Kind: IntentRepair, LoadBalancer: s.LoadBalancer, Resource: s.Resource, Step: s.Hash}
		}
		return out
	case LeverPrefer:
		want := def.HA.UnitPreference()
		if d.Seen == NoneActive {
			want = PreferFirst
		}
		var out []Intent
		for _, r := range Roles {
			if p := in.Observation.Unit(r).API.Report.Preferred; p != PreferenceUnknown && p != want {
				out = append(out, Intent{Kind: IntentPrefer, Unit: r, Prefer: want})
			}
		}
		return out
	default:
		return nil
	}
}

// poolIntents are one intent for each pool that holds the unit.
func poolIntents(in *Input, kind IntentKind, r Role, want AdminState, deadline time.Time) []Intent {
	var out []Intent
	address := in.Definition.Units.Of(r).Address
	for _, lb := range in.Observation.Balancers {
		for _, p := range lb.Pools {
			for _, m := range p.Members {
				if m.Address == address {
					out = append(out, Intent{Kind: kind, LoadBalancer: lb.Name, Pool: p.Name, Unit: r, Want: want, Deadline: deadline})
				}
			}
		}
	}
	return out
}
