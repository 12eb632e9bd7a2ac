package job

import (
	"net/netip"
	"slices"
	"strconv"
	"time"

	"tandem/internal/pair"
)

// toldFor is how old a unit's own view of itself may be to count. It is asked for
// at each look, and what is read after it may be slow.
const toldFor = 30 * time.Second

// fresh reports whether what was seen at a time is young enough to be proof. What
// comes from the future is a clock that stepped, which proves nothing.
func (t *Turn) fresh(at time.Time, within time.Duration) bool {
	age := t.Now().Sub(at)
	return age >= 0 && age < within
}

// Serves reports whether the unit answered 200 on its check port just now.
func (t *Turn) Serves(r pair.Role) bool {
	return known(r) && t.check(r).Answer == pair.CheckServing && t.fresh(t.check(r).At, pair.FreshFor)
}

// Idle reports whether the unit was asked just now and did not answer 200.
func (t *Turn) Idle(r pair.Role) bool {
	return known(r) && t.check(r).Answer != pair.CheckServing && t.check(r).Answer != pair.CheckUnknown && t.fresh(t.check(r).At, pair.FreshFor)
}

// StandsBy reports whether the unit answered 503 just now, as a standby does.
func (t *Turn) StandsBy(r pair.Role) bool { return t.Idle(r) && t.check(r).Answer == pair.CheckIdle }

func (t *Turn) check(r pair.Role) *pair.CheckSeen { return &t.In.Observation.Unit(r).Check }

// Moved reports whether the target serves alone.
func (t *Turn) Moved() bool { return t.Serves(t.Target()) && t.Idle(t.Old()) }

// ServesAlone is the unit that serves while its partner does not, RoleUnknown where
// that is not known.
func (t *Turn) ServesAlone() pair.Role {
	for _, r := range pair.Roles {
		if t.Serves(r) && t.Idle(r.Other()) {
			return r
		}
	}
	return pair.RoleUnknown
}

// Passes reports whether the unit passed the pair file's checks just now, Fails
// whether it failed one.
func (t *Turn) Passes(r pair.Role) bool { return t.service(r, pair.ServicePassed) }

// Fails is not the contrary of Passes: a unit that was not asked does neither.
func (t *Turn) Fails(r pair.Role) bool { return t.service(r, pair.ServiceFailed) }

func (t *Turn) service(r pair.Role, a pair.ServiceAnswer) bool {
	if !known(r) {
		return false
	}
	s := &t.In.Observation.Unit(r).Service
	return s.Answer == a && t.fresh(s.At, pair.FreshFor)
}

// FrontFails reports whether the load balancers' front ends do not answer as the pair
// file's checks expect.
func (t *Turn) FrontFails() bool {
	front := &t.In.Observation.Front
	return front.Answer == pair.ServiceFailed && t.fresh(front.At, toldFor)
}

// Forwards reports whether the unit proves that it forwards: it answers 200 and
// fails no check, or passes the checks.
func (t *Turn) Forwards(r pair.Role) bool { return t.Serves(r) && !t.Fails(r) || t.Passes(r) }

// Told is what the unit said of itself by its API in this look; false where it said
// nothing.
func (t *Turn) Told(r pair.Role) (*pair.Report, bool) {
	if !known(r) {
		return nil, false
	}
	a := &t.In.Observation.Unit(r).API
	return &a.Report, a.Answer == pair.APIAnswered && t.fresh(a.At, toldFor)
}

// Has is what the unit said in this look that it has; false where it said nothing.
func (t *Turn) Has(r pair.Role) (*pair.InventorySeen, bool) {
	if !known(r) {
		return nil, false
	}
	i := &t.In.Observation.Unit(r).Inventory
	return i, !i.At.IsZero() && t.fresh(i.At, toldFor)
}

// HoldsGEO is what the unit said in this look that it holds of GEO; false where it
// said nothing.
func (t *Turn) HoldsGEO(r pair.Role) (*pair.GEOSeen, bool) {
	if !known(r) {
		return nil, false
	}
	g := t.In.Observation.Unit(r).GEO
	return g, g != nil && t.fresh(g.At, toldFor)
}

// Prefers reports whether both units say that they have a preference.
func (t *Turn) Prefers(p pair.Preference) bool { return len(t.preferOtherwise(p)) == 0 }

// Prefer are the intents that give both units a preference, and no more than that;
// a unit that does not tell is asked for too.
func (t *Turn) Prefer(p pair.Preference) []pair.Intent {
	var out []pair.Intent
	for _, r := range t.preferOtherwise(p) {
		out = append(out, pair.Intent{Kind: pair.IntentPrefer, Unit: r, Prefer: p})
	}
	return out
}

func (t *Turn) preferOtherwise(p pair.Preference) (out []pair.Role) {
	for _, r := range pair.Roles {
		if rep, ok := t.Told(r); !ok || rep.Preferred != p {
			out = append(out, r)
		}
	}
	return out
}

// Rebooted reports whether the unit lives again and has booted since the job noted
// its boot time (Job.Boots).
func (t *Turn) Rebooted(r pair.Role) bool {
	rep, ok := t.Told(r)
	was := t.Job.Boots[r.Index()]
	return ok && !was.IsZero() && !rep.BootedAt.IsZero() && rep.BootedAt.Sub(was).Abs() > bootJitter
}

// bootJitter is how far two readings of one boot time may lie apart, because a unit
// may compute it from its clock.
const bootJitter = 5 * time.Second

// NoteBoot remembers a unit's boot time, so that a reboot is recognised by another
// one. What is noted stays: a repeated request must not take the new one for the
// old. It reports whether one is noted.
func (t *Turn) NoteBoot(r pair.Role) bool {
	if rep, ok := t.Told(r); ok && t.Job.Boots[r.Index()].IsZero() {
		t.Job.Boots[r.Index()] = rep.BootedAt
	}
	return !t.Job.Boots[r.Index()].IsZero()
}

// BalancersRead reports whether every load balancer of the pair was read in this
// pass.
func (t *Turn) BalancersRead() bool {
	n := len(t.In.Observation.Balancers)
	return n > 0 && n == len(t.In.Definition.LoadBalancers)
}

// Pools are the intents that give the unit an admin state wherever it is a member.
func (t *Turn) Pools(kind pair.IntentKind, r pair.Role, want pair.AdminState) []pair.Intent {
	var out []pair.Intent
	t.members(func(lb *pair.BalancerSeen, p *pair.PoolSeen, m pair.MemberSeen) {
		if m.Address == t.address(r) {
			out = append(out, pair.Intent{Kind: kind, LoadBalancer: lb.Name, Pool: p.Name, Unit: r, Want: want})
		}
	})
	return out
}

// NotIn names a pool that holds one unit and not the other, empty where there is
// none: a unit is never set Down where its partner does not take over.
func (t *Turn) NotIn(r pair.Role) string {
	missing := ""
	t.members(func(lb *pair.BalancerSeen, p *pair.PoolSeen, m pair.MemberSeen) {
		has := slices.ContainsFunc(p.Members, func(o pair.MemberSeen) bool { return o.Address == t.address(r) })
		if m.Address == t.address(r.Other()) && !has {
			missing = lb.Name + "/" + p.Name
		}
	})
	return missing
}

// Foreign names an admin state on a unit that is not the pair's own, empty where
// there is none: somebody is at work there.
func (t *Turn) Foreign() string {
	found := ""
	t.members(func(lb *pair.BalancerSeen, p *pair.PoolSeen, m pair.MemberSeen) {
		ours := slices.ContainsFunc(t.In.Record.Admin, func(h pair.AdminHold) bool {
			return h.LoadBalancer == lb.Name && h.Pool == p.Name && h.State == m.Admin && t.address(h.Unit) == m.Address
		})
		if (m.Admin == pair.AdminUp || m.Admin == pair.AdminDown) && !ours {
			found = m.Admin.String() + " on " + m.Name + " in " + lb.Name + "/" + p.Name
		}
	})
	for _, r := range pair.Roles {
		if f := t.In.Record.Units[r.Index()].Probed.Foreign; f != pair.AdminUnknown && found == "" {
			found = f.String() + " on " + r.String() + " by the load balancer's own view"
		}
	}
	return found
}

func (t *Turn) members(visit func(*pair.BalancerSeen, *pair.PoolSeen, pair.MemberSeen)) {
	for i := range t.In.Observation.Balancers {
		lb := &t.In.Observation.Balancers[i]
		for n := range lb.Pools {
			for _, m := range lb.Pools[n].Members {
				visit(lb, &lb.Pools[n], m)
			}
		}
	}
}

func (t *Turn) address(r pair.Role) netip.Addr { return t.In.Definition.Units.Of(r).Address }

// Stands reports whether the job holds the unit in an admin state that was seen in
// the data path, in every pool that holds the unit and was read.
func (t *Turn) Stands(r pair.Role, state pair.AdminState) bool {
	mine := slices.DeleteFunc(t.holds(), func(h pair.AdminHold) bool { return h.Unit != r || h.State != state })
	stands := len(mine) > 0 && !slices.ContainsFunc(mine, func(h pair.AdminHold) bool { return !h.Landed })
	t.members(func(lb *pair.BalancerSeen, p *pair.PoolSeen, m pair.MemberSeen) {
		held := slices.ContainsFunc(mine, func(h pair.AdminHold) bool { return h.LoadBalancer == lb.Name && h.Pool == p.Name })
		if m.Address == t.address(r) && (m.Admin != state || !held) {
			stands = false
		}
	})
	return stands
}

// holds are the admin states of jobs that stand or may stand.
func (t *Turn) holds() []pair.AdminHold {
	return slices.DeleteFunc(slices.Clone(t.In.Record.Admin), func(h pair.AdminHold) bool { return h.Lever != pair.LeverJob || !known(h.Unit) })
}

// Holds reports whether an admin state of the job stands or may stand.
func (t *Turn) Holds() bool { return len(t.holds()) > 0 }

// HeldDown reports whether an admin state of ours keeps the unit from new connections,
// whatever it is for.
func (t *Turn) HeldDown(r pair.Role) bool {
	return slices.ContainsFunc(t.In.Record.Admin, func(h pair.AdminHold) bool { return h.Unit == r && h.State == pair.AdminDown })
}

func (t *Turn) heldUnits() []pair.Role {
	var units []pair.Role
	for _, r := range pair.Roles {
		if slices.ContainsFunc(t.holds(), func(h pair.AdminHold) bool { return h.Unit == r }) {
			units = append(units, r)
		}
	}
	return units
}

// proved reports whether everything that the job holds is right at this moment:
// whoever is Up, or is the partner of one that is Down, proves freshly that it
// forwards.
func (t *Turn) proved() bool {
	for _, h := range t.holds() {
		if serving := t.carrier(h); !t.Forwards(serving) {
			return false
		}
	}
	return true
}

// disproved says which unit that must carry the traffic was just seen not to.
func (t *Turn) disproved() string {
	for _, h := range t.holds() {
		r := t.carrier(h)
		switch {
		case t.Forwards(r):
		case t.Fails(r):
			return t.Name(r) + " fails check " + t.In.Observation.Unit(r).Service.Check
		case t.Idle(r) && !t.In.Observation.Unit(r).Lives():
			return t.Name(r) + " does not answer any more"
		}
	}
	return ""
}

// carrier is the unit that takes new connections because of a hold.
func (t *Turn) carrier(h pair.AdminHold) pair.Role {
	if h.State == pair.AdminDown {
		return h.Unit.Other()
	}
	return h.Unit
}

func times(n int) string {
	if n == 1 {
		return "once"
	}
	return strconv.Itoa(n) + " times"
}

// Missing are those of Pools in which the admin state is not held and read already.
func (t *Turn) Missing(kind pair.IntentKind, r pair.Role, want pair.AdminState) []pair.Intent {
	return slices.DeleteFunc(t.Pools(kind, r, want), func(i pair.Intent) bool {
		held := slices.ContainsFunc(t.holds(), func(h pair.AdminHold) bool {
			return h.LoadBalancer == i.LoadBalancer && h.Pool == i.Pool && h.Unit == r && h.State == want && h.Landed
		})
		return held && t.adminSeen(i) == want
	})
}

func (t *Turn) adminSeen(i pair.Intent) pair.AdminState {
	now := pair.AdminUnknown
	t.members(func(lb *pair.BalancerSeen, p *pair.PoolSeen, m pair.MemberSeen) {
		if lb.Name == i.LoadBalancer && p.Name == i.Pool && m.Address == t.address(i.Unit) {
			now = m.Admin
		}
	})
	return now
}

// Flows is how many connections the unit says that it carries; false where it did
// not say in this look.
func (t *Turn) Flows(r pair.Role) (int, bool) {
	f := &t.In.Observation.Unit(r).Flows
	return f.Count, !f.At.IsZero() && t.fresh(f.At, toldFor)
}
