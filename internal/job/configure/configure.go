// Package configure sets up HA on both units as the pair file says (section 7 of
// the guide): mode, partner, check port, preference and interfaces, then the reboots
// that a new mode needs. What is right already is not touched.
package configure

import (
	"time"

	"tandem/internal/job"
	"tandem/internal/job/move"
	"tandem/internal/pair"
)

// Kind is the word for this job in the record and on the command line.
const Kind = "configure"

const (
	// drain is how long connections may take to end where the unit that serves must
	// be rebooted.
	drain = 5 * time.Minute
	// rebootTakes is how long a unit may take to be back: five minutes by the guide,
	// 500 s at most by the vendor's own tools (loadmaster.md 2.6 and 5).
	rebootTakes = 10 * time.Minute
	// rebootAgain is how long a unit that was told to reboot has before it is told
	// once more.
	rebootAgain = 2 * time.Minute
	// settled is how long a unit that was told to reboot may still answer.
	settled = time.Minute
)

const noWayBack = "what is written is what the pair file asks for, so it stays"

// Procedure sets up both units. A unit that does not serve is rebooted where its
// mode changed. One that serves is rebooted last, and only after its partner has
// taken over, drained or announced as in a switchover.
func Procedure() job.Procedure {
	steps := []job.Step{
		{Name: "preflight", Title: "both units can be set up", Within: 2 * time.Minute, Do: preflight, Undoes: "nothing was changed"},
		{Name: "parameters", Title: "mode, partner, check port and interfaces are right", Within: 5 * time.Minute, Do: parameters, Undoes: noWayBack},
		{Name: "reboot-second", Title: "second works in its mode", Within: rebootTakes, Do: rebootOf(pair.Second), Undoes: noWayBack},
		{Name: "reboot-first", Title: "first works in its mode", Within: rebootTakes, Do: rebootOf(pair.First), Undoes: noWayBack},
	}
	steps = append(steps, move.Steps(move.How{
		Needed: moves, ByReboot: true,
		Before: []job.Step{{
			Name: "mode", Title: "the unit that serves has its mode", Within: 5 * time.Minute, Commits: true, Do: modeOfOld,
			Undoes: "a new mode may stop a unit at once; there is no way back by itself",
		}},
	})...)
	steps = append(steps, job.Step{
		Name: "rest", Title: "the unit that served is set up too", Within: rebootTakes, Do: rest, Undoes: noWayBack,
	}, job.Step{
		Name: "verify", Title: "both units work in their modes, and exactly one serves", Within: rebootTakes, Do: verify, Undoes: noWayBack,
	}, move.Settle(), move.Follow())
	return job.Procedure{
		Kind: Kind, Title: "set up HA on both units as the pair file says",
		TakesDrain: true, Drain: drain, Mends: true, Steps: steps,
	}
}

// moves reports whether the unit that serves must be rebooted, so that its partner
// has to take over. It is settled by preflight, in the job's unit.
func moves(t *job.Turn) bool { return t.Target() != pair.RoleUnknown }

// works reports whether a unit serves, by its check port or by its own word: where
// its check port is another one, only the latter tells.
func works(t *job.Turn, r pair.Role) bool {
	rep, ok := t.Told(r)
	return t.Serves(r) || ok && rep.State == pair.Active
}

// needsBoot reports whether a unit must be rebooted before its mode works.
func needsBoot(t *job.Turn, r pair.Role) bool {
	rep, _ := t.Told(r)
	return move.WrongMode(t, r) || rep.State == pair.NotConfigured
}

func preflight(t *job.Turn) job.Verdict {
	for _, r := range pair.Roles {
		if _, ok := t.Told(r); !ok {
			return job.Wait("the API of " + t.Name(r) + " must answer")
		}
	}
	t.Job.Unit = pair.RoleUnknown
	for _, r := range pair.Roles {
		rep, _ := t.Told(r)
		if needsBoot(t, r) && t.Job.By == pair.OwnerTandem {
			return job.Fail(t.Name(r) + " must be rebooted, which is not done without a person; run tandem configure")
		}
		if needsBoot(t, r) && rep.BootedAt.IsZero() {
			return job.Fail(t.Name(r) + " must be rebooted and does not tell its boot time, so that it could not be recognised; set it up by hand")
		}
		if works(t, r) && !works(t, r.Other()) && needsBoot(t, r) {
			t.Job.Unit = r.Other()
		}
	}
	if moves(t) {
		return job.Done(t.Name(t.Old()) + " serves and must be rebooted, so " + t.Name(t.Target()) + " takes over before that")
	}
	return job.Done("both units answer")
}

// parameters writes what differs, on both units at once. The mode of a unit that
// serves is left to a later step: it may stop serving with it.
func parameters(t *job.Turn) job.Verdict {
	var wanted []pair.Intent
	for _, r := range pair.Roles {
		if _, ok := t.Told(r); !ok {
			return job.Wait("the API of " + t.Name(r) + " must answer")
		}
		if moves(t) && r == t.Old() || move.Wrong(t, r) == "" && prefers(t, r) {
			continue
		}
		if needsBoot(t, r) {
			t.NoteBoot(r)
		}
		wanted = append(wanted, pair.Intent{Kind: pair.IntentConfigure, Unit: r, Prefer: preference(t)})
	}
	switch {
	case len(wanted) > 0:
		return t.Ask("both units say what the pair file says", wanted...)
	case !t.Asked():
		return job.Skip("everything is right already")
	}
	return job.Done("read back from both units")
}

// preference is what both units must prefer for now: none while the state has to
// move, or while second serves, because a preference for first would move it.
func preference(t *job.Turn) pair.Preference {
	if moves(t) || works(t, pair.Second) {
		return pair.PreferNone
	}
	return t.In.Definition.HA.UnitPreference()
}

// prefers reports whether a unit's preference can stay. None can stay everywhere
// until the job's last step.
func prefers(t *job.Turn, r pair.Role) bool {
	rep, _ := t.Told(r)
	return rep.Preferred == preference(t) || rep.Preferred == pair.PreferNone && works(t, r.Other())
}

// rebootOf reboots a unit that is not the one that serves, and waits until it is
// back.
func rebootOf(r pair.Role) func(*job.Turn) job.Verdict {
	return func(t *job.Turn) job.Verdict {
		rep, ok := t.Told(r)
		switch noted := !t.Job.Boots[r.Index()].IsZero(); {
		case moves(t) && r == t.Old():
			return job.Skip("it serves, and is rebooted when its partner has taken over")
		case ok && t.Rebooted(r) && rep.State == pair.NotConfigured:
			return job.Fail(t.Name(r) + " has rebooted and still says that HA is not configured; look at its licence and its HA mode")
		case t.Rebooted(r):
			return job.Done("it is back, with another boot time")
		case !ok:
			return job.Wait(t.Name(r) + " is not back yet")
		case !noted && rep.State != pair.NotConfigured:
			return job.Skip("its mode did not change")
		}
		if t.HeldDown(r.Other()) {
			return job.Wait(t.Name(r.Other()) + " is held Down in the load balancer, so that this one must stay")
		}
		if works(t, r) && !t.Serves(r.Other()) {
			return job.Wait(t.Name(r.Other()) + " must answer 200 first")
		}
		t.NoteBoot(r)
		return t.AskAgainAfter(rebootAgain, t.Name(r)+" reboots", move.Reboot(t, r))
	}
}

// modeOfOld writes the mode of the unit that served, when its partner carries the
// traffic or a person has approved the gap. The reboot follows at once.
func modeOfOld(t *job.Turn) job.Verdict {
	old := t.Old()
	t.Soon(time.Second)
	if t.Moved() {
		return job.Skip("the active state has moved")
	}
	if _, ok := t.Told(old); !ok {
		return job.Wait("the API of " + t.Name(old) + " must answer")
	}
	if !t.NoteBoot(old) {
		return job.Wait(t.Name(old) + " does not tell its boot time")
	}
	if move.Wrong(t, old) == "" {
		return job.Done("read back")
	}
	return t.Ask(t.Name(old)+" says what the pair file says", pair.Intent{Kind: pair.IntentConfigure, Unit: old, Prefer: pair.PreferNone})
}

// rest does what the move has left to do on the unit that served: as a rule
// nothing, because its reboot was the move. Where the state moved by itself, the
// unit is set up now.
func rest(t *job.Turn) job.Verdict {
	old := t.Old()
	if !moves(t) {
		return job.Skip("the active state need not move")
	}
	if _, ok := t.Told(old); !ok {
		return job.Wait(t.Name(old) + " is not back yet")
	}
	wrong := move.Wrong(t, old) != ""
	switch {
	case t.Rebooted(old) && !wrong:
		return job.Done(t.Name(old) + " is back, with another boot time")
	case !t.Steady(t.Moved(), settled):
		return job.Wait(t.Name(t.Target()) + " must serve alone") // or a reboot that begins is taken for none
	case !t.NoteBoot(old):
		return job.Fail(t.Name(old) + " does not tell its boot time; set it up by hand")
	case wrong:
		return t.Ask(t.Name(old)+" says what the pair file says", pair.Intent{Kind: pair.IntentConfigure, Unit: old, Prefer: pair.PreferNone})
	}
	return t.AskAgainAfter(rebootAgain, t.Name(old)+" reboots", move.Reboot(t, old))
}

func verify(t *job.Turn) job.Verdict {
	for _, r := range pair.Roles {
		rep, ok := t.Told(r)
		switch {
		case !ok:
			return job.Wait("the API of " + t.Name(r) + " must answer")
		case move.Wrong(t, r) != "":
			return job.Fail(move.Wrong(t, r) + "; run tandem configure again, and look who else sets up the units")
		case rep.State == pair.NotConfigured:
			return job.Fail(t.Name(r) + " says that HA is not configured, although its mode is set; look at its licence")
		case rep.State == pair.Unconnected:
			return job.Wait(t.Name(r) + " is unconnected: the load balancer's probe (168.63.129.16) must reach its check port")
		case !t.Job.Boots[r.Index()].IsZero() && !t.Rebooted(r):
			return job.Wait(t.Name(r) + " has not rebooted yet")
		}
	}
	both := t.Serves(pair.First) && t.Serves(pair.Second)
	if t.Steady(both, time.Minute) {
		return job.Yield("both units answer 200")
	}
	if t.ServesAlone() == pair.RoleUnknown {
		return job.Wait("exactly one unit must answer 200")
	}
	return job.Done(t.Name(t.ServesAlone()) + " serves, and both work in their modes")
}
