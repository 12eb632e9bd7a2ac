// Package move holds the steps that move the active state from one unit to the
// other, for the jobs that do so: a switchover, and the reboot of the unit that
// serves (DESIGN section 5, "State" and "Up").
//
// A unit becomes active only by the appliances' own rules. What Tandem adds is the
// order, so that no new connection is lost: the target takes connections before the
// old unit is kept from them, and the old one has ended its own before it goes.
package move

import (
	"fmt"
	"time"

	"tandem/internal/job"
	"tandem/internal/pair"
)

// Times of the steps.
const (
	// Soak is how long the target carries all new connections before the state is
	// moved: what does not work shows within it, and taking back is still easy.
	Soak = time.Minute
	// rebootTakes is more than a unit on Azure needs to be reachable after a reboot:
	// five minutes by the guide, 500 s at most by the vendor's own tools
	// (loadmaster.md 2.6 and 5).
	rebootTakes = 10 * time.Minute
	// rebootAgain is how long a unit that was told to reboot has before it is told
	// once more: commands such as reboot take several seconds to begin.
	rebootAgain = 2 * time.Minute
	// askedFor is how long a person has to approve.
	askedFor = time.Hour
	// oddFor is how long both units, or neither, may answer 200 before the decision
	// table looks after the pair again: a move itself needs ten to fifteen seconds.
	oddFor = time.Minute
	// goneFor is how long the old unit must be silent to count as gone by itself.
	goneFor = 15 * time.Second
	// followsWithin is how long the load balancer may take to find the unit that serves.
	followsWithin = time.Minute
	// landsWithin is how long an admin state may take to be seen in the data path.
	landsWithin = 8 * time.Minute
)

// How says in which way a job moves the active state.
type How struct {
	// Needed reports whether the job moves it at all; nil means yes.
	Needed func(*job.Turn) bool
	// ByReboot moves it by a reboot of the old unit in either direction, because
	// that unit must be rebooted anyway.
	ByReboot bool
	// Prefix begins the names of the steps, for a job that moves the state twice.
	Prefix string
	// Before are steps right before the move, for what only a unit without traffic
	// can bear.
	Before []job.Step
}

// Steps are the steps of a move, from the proof of the target until no admin state
// stands any more.
func Steps(how How) []job.Step {
	steps := []job.Step{
		{
			Name: "fit", Title: "the target is fit", Within: 2 * time.Minute, Do: how.fit,
			Undoes: "nothing was changed",
		},
		{
			Name: "announce", Title: "a person has approved what cannot be avoided", Within: askedFor, Do: announce,
			Undoes: "nothing was changed",
		},
		{
			Name: "preference", Title: "neither unit is preferred, so that nothing moves by itself", Within: 3 * time.Minute, Do: preferNone, Undo: preferAgain,
			Undoes: "the preference for first is set again, where first serves and the pair file wants it",
		},
		{
			Name: "raise", Title: "the target takes new connections too", Within: landsWithin, Do: raise,
			Undoes: "the admin state of the target goes back to None",
		},
		{
			Name: "drain", Title: "the old unit takes no new connections", Within: landsWithin, Do: how.drain,
			Undoes: "the admin state of the old unit goes back to None",
		},
		{
			Name: "soak", Title: "the target carries the traffic, and the old unit's connections have ended", Within: Soak + time.Minute, Drains: true, Do: how.soak,
			Undoes: "nothing more than the admin states was changed",
		},
		{
			Name: "still-fit", Title: "the target is still fit", Within: 2 * time.Minute, Do: how.stillFit,
			Undoes: "nothing more than the admin states was changed",
		},
	}
	steps = append(steps, how.Before...)
	steps = append(steps, job.Step{
		Name: "move", Title: "the target is active", Within: rebootTakes, Commits: true, Do: how.move,
		Undoes: "there is no way back by itself: moving back is another switchover",
	}, job.Step{
		Name: "release", Title: "the load balancer follows the units by itself again", Within: landsWithin, Do: release,
		Undoes: "the admin states go back when the units' own answers agree with them",
	})
	for n := range steps {
		steps[n].Name = how.Prefix + steps[n].Name
	}
	if how.Needed == nil {
		return steps
	}
	for n := range steps {
		do := steps[n].Do
		steps[n].Do = func(t *job.Turn) job.Verdict {
			if !how.Needed(t) {
				return job.Skip("the active state need not move")
			}
			return do(t)
		}
	}
	return steps
}

// soft reports whether the target takes connections before it is active. That is
// settled when a person is asked, or need not be: nobody is surprised by a gap.
func soft(t *job.Turn) bool { return !t.Job.Consented }

// why says why a move cannot be made without an interruption, empty where it can.
func why(t *job.Turn) string {
	def := &t.In.Definition
	switch {
	case def.HA.StandbyForwards == pair.ForwardsNo:
		return "the pair file says that a standby does not forward"
	case def.HA.StandbyForwards != pair.ForwardsYes:
		return "the pair file does not say that a standby forwards (ha.standbyForwards)"
	case len(def.Checks) == 0:
		return "the pair file has no checks that would prove that the standby forwards"
	case t.Job.Force && !t.Passes(t.Target()):
		return "the target does not pass the pair file's checks"
	default:
		return ""
	}
}

// announce asks a person where connections will be lost. It comes before anything is
// touched, because meanwhile the pair is the decision table's.
func announce(t *job.Turn) job.Verdict {
	reason := why(t)
	if t.Moved() {
		return job.Skip("the active state has moved by itself")
	}
	if reason == "" && !t.Job.Consented {
		return job.Skip("no new connection is lost: the target takes them before it is active")
	}
	return job.Consent(fmt.Sprintf("%s goes away and %s takes over: for ten to fifteen seconds new connections find nobody, and those that stand on %s break; %s",
		t.Name(t.Old()), t.Name(t.Target()), t.Name(t.Old()), reason))
}

func preferNone(t *job.Turn) job.Verdict {
	for _, r := range pair.Roles {
		if _, ok := t.Told(r); !ok && !t.Moved() {
			return job.Wait(t.Name(r) + " does not tell its preference")
		}
	}
	switch {
	case t.Prefers(pair.PreferNone):
		return job.Done("both units say so")
	case t.Moved():
		return job.Skip("the active state has moved by itself")
	}
	return t.Ask("haprefered=0 on both units", t.Prefer(pair.PreferNone)...)
}

// preferAgain gives first its preference back where it serves. Where second serves
// that would be a move, so it stays suspended (DESIGN section 5).
func preferAgain(t *job.Turn) job.Verdict {
	want := t.In.Definition.HA.UnitPreference()
	switch {
	case want != pair.PreferFirst:
		return job.Skip("the pair file prefers none")
	case t.Serves(pair.Second):
		return job.Skip("second serves, so that no unit is preferred")
	case t.Prefers(want):
		return job.Done("first is preferred again")
	case t.Steady(silent(t) != pair.RoleUnknown, goneFor):
		return job.Fail("haprefered=1 on both units, which " + t.Name(silent(t)) + " does not hear")
	case t.ServesAlone() != pair.First:
		return job.Wait("first must serve alone before it is preferred again")
	}
	return t.Ask("haprefered=1 on both units", t.Prefer(want)...)
}

// silent is a unit that gives no answer of any kind, RoleUnknown where both live.
// Nobody waits for it to end a job: the decision table looks after the pair, and
// sets the preference when both are well.
func silent(t *job.Turn) pair.Role {
	for _, r := range pair.Roles {
		if !t.In.Observation.Unit(r).Lives() {
			return r
		}
	}
	return pair.RoleUnknown
}

// raise sets the target Up. It is proved by traffic: the load balancer shows it in
// every pool, and the pair file's checks pass on the unit.
func raise(t *job.Turn) job.Verdict {
	target := t.Target()
	switch {
	case !soft(t):
		return job.Skip("a standby that does not forward is not set Up")
	case t.Moved():
		return job.Skip("the active state has moved by itself")
	case t.Fails(target):
		return job.Fail(t.Name(target) + " fails check " + t.In.Observation.Unit(target).Service.Check + ": it does not forward")
	case t.Stands(target, pair.AdminUp) && t.Passes(target):
		return job.Done("Up is seen in every pool, and the checks pass")
	}
	t.Read()
	t.Soon(2 * time.Second)
	if !t.BalancersRead() {
		return job.Wait("the load balancer must be read")
	}
	if !t.Passes(target) {
		return job.Wait(t.Name(target) + " must pass the checks")
	}
	return t.Ask(t.Name(target)+" Up in every pool", t.Missing(pair.IntentRaise, target, pair.AdminUp)...)
}

// drain sets the old unit Down, once its partner is proved to take its place
// everywhere.
func (h How) drain(t *job.Turn) job.Verdict {
	old, target := t.Old(), t.Target()
	t.Soon(2 * time.Second)
	switch {
	case !soft(t):
		return job.Skip("nobody would take the connections")
	case t.Moved():
		return job.Skip("the active state has moved by itself")
	case !t.Serves(target) && !t.Stands(target, pair.AdminUp):
		return job.Back(h.Prefix+"raise", t.Name(target)+" is not Up any more")
	case t.Steady(t.Idle(old), goneFor):
		return job.Skip(t.Name(old) + " does not answer 200 any more")
	case t.Stands(old, pair.AdminDown):
		return job.Done("Down is seen in every pool")
	}
	t.Read()
	if !t.BalancersRead() || !t.Forwards(target) || !t.Serves(old) {
		return job.Wait("the load balancer and both units must answer")
	}
	if missing := t.NotIn(target); missing != "" {
		return job.Fail(t.Name(target) + " is not in pool " + missing + ", so that nobody would be left there")
	}
	return t.Ask(t.Name(old)+" Down in every pool", t.Missing(pair.IntentDrain, old, pair.AdminDown)...)
}

// soak waits for what only time shows, and for the connections of the old unit.
func (h How) soak(t *job.Turn) job.Verdict {
	old, target := t.Old(), t.Target()
	switch {
	case !soft(t):
		return job.Skip("nothing is drained")
	case t.Moved(), t.Steady(t.Idle(old), goneFor):
		return job.Skip(t.Name(old) + " does not answer 200 any more")
	case !t.Serves(target) && !t.Stands(target, pair.AdminUp):
		return job.Back(h.Prefix+"raise", t.Name(target)+" is not Up any more")
	case !t.Stands(old, pair.AdminDown):
		return job.Back(h.Prefix+"drain", t.Name(old)+" is not Down any more")
	}
	t.Count()
	t.Read()
	lasted := t.Now().Sub(t.Began())
	most := max(Soak, time.Duration(t.Job.Drain))
	flows, counted := t.Flows(old)
	left := "it does not tell how many connections are left"
	if counted {
		left = fmt.Sprintf("%d connections are left", flows)
	}
	switch {
	case lasted >= Soak && counted && flows == 0:
		return job.Done(fmt.Sprintf("no connection was left on %s after %v", t.Name(old), lasted.Round(time.Second)))
	case lasted >= most:
		return job.Done(fmt.Sprintf("after %v %s", most, left))
	}
	return job.Wait(fmt.Sprintf("%s on %s, %v of %v at most", left, t.Name(old), lasted.Round(time.Second), most))
}

// move makes the target active. To second: no unit is preferred, and first goes
// away. To first: first is preferred on both (DESIGN section 5).
func (h How) move(t *job.Turn) job.Verdict {
	old, target := t.Old(), t.Target()
	t.Soon(time.Second)
	if t.Moved() {
		return job.Done(t.Name(target) + " answers 200, and " + t.Name(old) + " does not")
	}
	both := t.Serves(old) && t.Serves(target)
	neither := t.Idle(old) && t.Idle(target)
	odd := t.Steady(both || neither, oddFor)
	switch {
	case odd && both:
		return job.Yield("both units answer 200")
	case odd:
		return job.Yield("neither unit answers 200")
	case both && !h.ByReboot && target == pair.First && !t.Prefers(pair.PreferFirst): // a half of it was written: second does not yield
		return t.Ask("haprefered=1 on both units: second yields", t.Prefer(pair.PreferFirst)...)
	case !t.Serves(old) || both:
		return job.Wait(t.Name(target) + " takes over by its own rules")
	case h.ByReboot || target == pair.Second:
		return h.reboot(t)
	case !proved(t):
		return job.Wait(t.Name(target) + " must prove itself again first")
	}
	return t.Ask("haprefered=1 on both units: first takes over", t.Prefer(pair.PreferFirst)...)
}

func (h How) reboot(t *job.Turn) job.Verdict {
	old, target := t.Old(), t.Target()
	switch {
	case t.Rebooted(old):
		return job.Fail(fmt.Sprintf("%s rebooted and serves again, and %s did not take over; see on %s whether it sees its partner's check port", t.Name(old), t.Name(target), t.Name(target)))
	case !proved(t):
		return job.Wait(t.Name(target) + " must prove itself again first")
	case !h.ByReboot && !t.Prefers(pair.PreferNone):
		return job.Wait("haprefered=0 must be read from both units, or first takes the active state back")
	case !t.NoteBoot(old):
		return job.Wait(t.Name(old) + " does not tell its boot time, so that its reboot could not be recognised")
	}
	return t.AskAgainAfter(rebootAgain, t.Name(old)+" reboots, and "+t.Name(target)+" takes over", Reboot(t, old))
}

// Reboot is the intent that reboots a unit. It has a deadline, because what was
// proved for it is soon too old.
func Reboot(t *job.Turn, r pair.Role) pair.Intent {
	return pair.Intent{Kind: pair.IntentReboot, Unit: r, Deadline: t.Now().Add(pair.RestartWithin)}
}

// proved reports whether the target may be left alone with the traffic now: it
// carries it already, or stands by and a person knows of the gap.
func proved(t *job.Turn) bool {
	target := t.Target()
	if soft(t) {
		return t.Stands(target, pair.AdminUp) && t.Passes(target)
	}
	return t.StandsBy(target)
}

func release(t *job.Turn) job.Verdict {
	if t.Holds() {
		t.Soon(time.Second)
		t.Read()
		waitsFor := t.TakeBack()
		switch {
		case waitsFor != "" && t.Serves(t.Old()) && t.Serves(t.Target()):
			return job.Wait("both units answer 200; " + waitsFor)
		case waitsFor != "":
			return job.Wait(waitsFor)
		}
	}
	return job.Done("no admin state of ours stands")
}
