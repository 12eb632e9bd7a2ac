package pair

import (
	"slices"
	"time"
)

// Stance is what Tandem may do about a pair at this moment, from the pair's
// mode, the global limit and a person's pause.
type Stance uint8

// The stances, from the most careful.
const (
	StancePaused Stance = iota
	StanceObserve
	StanceRecommend
	StanceAuto
)

var stances = []Stance{StancePaused, StanceObserve, StanceRecommend, StanceAuto}

var stanceNames = names{"paused", "observe", "recommend", "auto"}

func (s Stance) String() string               { return stanceNames.text(uint8(s)) }
func (s Stance) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads the stored form.
func (s *Stance) UnmarshalText(b []byte) error {
	v, err := stanceNames.parse("stance", b)
	*s = Stance(v)
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
	HoldNone     Hold = iota
	HoldSent          // it was decided, but not seen in place yet
	HoldStanding      // it was seen in place
	HoldDue           // more than half of its time is gone
	HoldErased        // it was in place, and somebody else has taken it away
	HoldOpposed       // somebody else has set the survivor Down
	HoldExpired       // its deadline has passed, or lies farther ahead than we ever set one
)

var holds = []Hold{HoldNone, HoldSent, HoldStanding, HoldDue, HoldErased, HoldOpposed, HoldExpired}

var holdNames = names{"none", "sent", "standing", "due", "erased", "opposed", "expired"}

func (h Hold) String() string               { return holdNames.text(uint8(h)) }
func (h Hold) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText reads the stored form.
func (h *Hold) UnmarshalText(b []byte) error {
	v, err := holdNames.parse("hold", b)
	*h = Hold(v)
	return err
}

// Obstacle is what stands in the way of a fence, the first that was found.
type Obstacle uint8

// The obstacles, in the order in which they are looked for.
const (
	ObstacleNone        Obstacle = iota
	ObstacleUnread               // the load balancers were not read in this pass
	ObstacleForeign              // somebody else's admin state stands on one of the units
	ObstacleNoLoser              // it is not known who should yield
	ObstacleUnreachable          // the load balancer does not carry both, or does not see the survivor serving
	ObstaclePreference           // when the link heals the survivor would yield
	ObstacleLimited              // hold-down or the limit of moves forbids another move
)

var obstacles = []Obstacle{ObstacleNone, ObstacleUnread, ObstacleForeign, ObstacleNoLoser, ObstacleUnreachable, ObstaclePreference, ObstacleLimited}

var obstacleNames = names{"none", "balancers unread", "foreign admin state", "no loser", "survivor unreachable", "preference", "limited"}

func (o Obstacle) String() string               { return obstacleNames.text(uint8(o)) }
func (o Obstacle) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// UnmarshalText reads the stored form.
func (o *Obstacle) UnmarshalText(b []byte) error {
	v, err := obstacleNames.parse("obstacle", b)
	*o = Obstacle(v)
	return err
}

// Facts is the observation, the record and the policy boiled down to the few
// closed choices that the table of rows looks at. Because they are closed, a
// test walks every combination.
type Facts struct {
	Situation Situation `json:"situation"` // as seen now
	Belief    Belief    `json:"belief"`    // how sure we are of it
	Stance    Stance    `json:"stance"`
	Fence     Consent   `json:"fence"` // the policy for the lever
	Hold      Hold      `json:"hold"`
	// SurvivorServes: the unit that is not held Down answered 200 just now.
	SurvivorServes bool `json:"survivorServes"`
	// Settled: what was seen has lasted long enough for the load balancer's own
	// probe to have seen it too.
	Settled bool `json:"settled"`
	// Proof is how well it is proved at this moment that both units serve.
	Proof Proof `json:"proof"`
	// Loser is the unit that a fence would set Down; unknown when the record
	// does not tell. The rows do not look at it, people do.
	Loser Role `json:"loser,omitempty"`
	// Obstacle is what stands in the way of a fence.
	Obstacle Obstacle `json:"obstacle"`
}

func facts(in *Input, d *Decision, belief Belief) Facts {
	def, rec, seen := &in.Definition, &d.Record, &in.Observation
	f := Facts{
		Situation: d.Seen,
		Belief:    belief,
		Stance:    stance(def.Mode, in.MaxMode, rec.Pause, d.At),
		Fence:     def.Failover.Fence,
		Hold:      holdOf(def, rec, seen, d.At),
		Settled:   settled(def, d),
		Proof:     proof(def, seen),
		Loser:     loser(def, rec),
	}
	f.Obstacle = obstacle(def, rec, seen, f.Loser, d.At)
	if f.Hold != HoldNone {
		f.SurvivorServes = fresh(seen, rec.Admin[0].Unit.Other())
	}
	return f
}

// obstacle finds the first thing that stands in the way of a fence.
func obstacle(def *Definition, rec *Record, seen *Observation, loser Role, now time.Time) Obstacle {
	switch {
	case len(seen.Balancers) == 0 || len(seen.Balancers) != len(def.LoadBalancers):
		return ObstacleUnread
	case foreign(def, rec, seen):
		return ObstacleForeign
	case loser == RoleUnknown:
		return ObstacleNoLoser
	case !fenceable(def, seen, loser):
		return ObstacleUnreachable
	case loser == First && !preferNone(seen):
		return ObstaclePreference
	case limited(def.Failover, rec.Moves, now):
		return ObstacleLimited
	default:
		return ObstacleNone
	}
}

// fenceable reports whether the survivor takes over wherever the loser is set
// Down: it is in every pool that the loser is in, and no load balancer says
// that its probe does not reach it. Without that a fence would empty a pool.
func fenceable(def *Definition, seen *Observation, loser Role) bool {
	down, up := def.Units.Of(loser).Address, def.Units.Of(loser.Other()).Address
	pools := 0
	for i := range seen.Balancers {
		b := &seen.Balancers[i]
		for _, h := range b.Health {
			if h.Address == up && !h.Up {
				return false
			}
		}
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

// stance lowers the pair's mode by the global limit and by a pause.
func stance(mode, limit Mode, p *Pause, now time.Time) Stance {
	if limit != ModeUnset {
		mode = min(mode, limit)
	}
	switch {
	case p.In(now):
		return StancePaused
	case mode == Auto:
		return StanceAuto
	case mode == Recommend:
		return StanceRecommend
	default:
		return StanceObserve
	}
}

// holdOf says how our admin states stand, the most urgent one first.
func holdOf(def *Definition, rec *Record, seen *Observation, now time.Time) Hold {
	if len(rec.Admin) == 0 {
		return HoldNone
	}
	h := HoldStanding
	for _, a := range rec.Admin {
		left := a.Deadline.Sub(now)
		switch {
		case left <= 0 || left > FenceFor+bootSkew:
			return HoldExpired
		case !a.Landed:
			h = HoldSent
		case left <= FenceFor/2 && h != HoldSent:
			h = HoldDue
		}
	}
	switch {
	case opposed(def, rec, seen):
		return HoldOpposed
	case h != HoldSent && erased(def, rec, seen):
		return HoldErased
	default:
		return h
	}
}

// opposed reports whether somebody set the survivor of our fence Down.
func opposed(def *Definition, rec *Record, seen *Observation) bool {
	for _, a := range rec.Admin {
		if adminSeen(seen, a.LoadBalancer, a.Pool, def.Units.Of(a.Unit.Other())) == AdminDown {
			return true
		}
	}
	return false
}

// erased reports whether one of our admin states, once seen in place, is not
// there any more.
func erased(def *Definition, rec *Record, seen *Observation) bool {
	for _, a := range rec.Admin {
		now := adminSeen(seen, a.LoadBalancer, a.Pool, def.Units.Of(a.Unit))
		if now != AdminUnknown && now != a.State {
			return true
		}
	}
	return false
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

// loser is the unit that yields when both serve: second where first is
// preferred, otherwise the one that was not active before (DESIGN section 5).
func loser(def *Definition, rec *Record) Role {
	if def.HA.Preferred == PreferFirst {
		return Second
	}
	return rec.LastActive.Other()
}

// preferNone reports whether both units themselves say haprefered=0. With a
// preference for first, a fenced first becomes the only active unit when the
// link heals, and nobody would be left.
func preferNone(seen *Observation) bool {
	return seen.Units[0].API.Report.Preferred == PreferNone && seen.Units[1].API.Report.Preferred == PreferNone
}

func limited(f Failover, moves []time.Time, now time.Time) bool {
	recent := movesSince(moves, now.Add(-time.Hour))
	if len(recent) == 0 {
		return false
	}
	return len(recent) >= f.MaxMovesPerHour || now.Sub(recent[len(recent)-1]) < time.Duration(f.HoldDown)
}

// foreign reports whether an admin state stands on a unit that we did not set:
// a person's maintenance, never ours to clear.
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
	return false
}

func ours(def *Definition, rec *Record, balancer, pool string, m MemberSeen) bool {
	for _, h := range rec.Admin {
		if h.LoadBalancer == balancer && h.Pool == pool && h.State == m.Admin && def.Units.Of(h.Unit).Address == m.Address {
			return true
		}
	}
	return false
}
