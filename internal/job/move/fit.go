package move

import (
	"strings"
	"time"

	"tandem/internal/job"
	"tandem/internal/pair"
)

// fit proves that the target may become active. A job without a target takes the
// unit that stands by; where the target serves already, there is nothing to do.
func (h How) fit(t *job.Turn) job.Verdict {
	if serving := t.ServesAlone(); t.Target() == pair.RoleUnknown && serving != pair.RoleUnknown {
		t.Job.Unit = serving.Other()
	}
	if t.Target() == pair.RoleUnknown {
		return job.Wait("exactly one unit must answer 200")
	}
	switch {
	case t.Moved() && h.Needed != nil:
		return job.Skip("the active state has moved by itself")
	case t.Moved():
		return job.Finish(t.Name(t.Target()) + " serves already; nothing was touched")
	}
	return h.fitness(t)
}

// stillFit looks once more right before the move. What the target carries by now is
// better proof than what it says.
func (h How) stillFit(t *job.Turn) job.Verdict {
	old, target := t.Old(), t.Target()
	t.Soon(2 * time.Second)
	switch {
	case t.Moved():
		return job.Skip("the active state has moved by itself")
	case soft(t) && t.Idle(old) && t.Stands(target, pair.AdminUp) && t.Passes(target):
		return job.Skip(t.Name(old) + " does not answer 200 any more, and " + t.Name(target) + " carries the traffic")
	case soft(t) && !t.Stands(target, pair.AdminUp):
		return job.Back(h.Prefix+"raise", t.Name(target)+" is not Up any more")
	case soft(t) && !t.Stands(old, pair.AdminDown):
		return job.Back(h.Prefix+"drain", t.Name(old)+" is not Down any more")
	}
	return h.fitness(t)
}

// objection is what speaks against a move.
type objection struct {
	why string
	// forced: force overrides it. lasting: waiting does not mend it.
	forced, lasting bool
}

func (h How) fitness(t *job.Turn) job.Verdict {
	t.Read()
	var overridden []string
	for _, o := range h.objections(t) {
		switch {
		case o.forced && t.Job.Force:
			overridden = append(overridden, o.why)
		case o.lasting:
			return job.Fail("the target is not fit: " + o.why)
		default:
			return job.Wait("the target is not fit yet: " + o.why)
		}
	}
	note := ""
	if len(overridden) > 0 {
		note = "overridden by force: " + strings.Join(overridden, "; ") + "; "
	}
	return job.Done(note + t.Name(t.Target()) + " may take over; " + settings(t))
}

// objections are what speaks against the target, what cannot be overridden first.
func (h How) objections(t *job.Turn) []objection {
	target, old := t.Target(), t.Old()
	var all []objection
	object := func(is bool, o objection) {
		if is {
			all = append(all, o)
		}
	}
	object(!t.Serves(old), objection{why: t.Name(old) + " must answer 200, and alone"})
	object(!t.StandsBy(target), objection{why: t.Name(target) + " must answer 503, as a standby does"})
	object(!t.BalancersRead(), objection{why: "the load balancer was not read"})
	object(t.Foreign() != "", objection{why: "an admin state that is not the job's stands: " + t.Foreign(), lasting: true})
	object(t.NotIn(target) != "", objection{why: t.Name(target) + " is not in pool " + t.NotIn(target), lasting: true})
	apart := t.In.Record.Settings.Apart(t.In.Definition.Sync, t.Now())
	object(apart != "", objection{why: apart + "; run tandem sync", forced: true, lasting: true})
	object(t.In.Record.Units[target.Index()].Probed.Unreached, objection{why: "the load balancer's probe gets no answer from " + t.Name(target)})
	if def := &t.In.Definition; soft(t) && def.HA.StandbyForwards == pair.ForwardsYes && len(def.Checks) > 0 {
		object(t.Fails(target), objection{why: t.Name(target) + " fails check " + t.In.Observation.Unit(target).Service.Check, forced: true})
		object(!t.Passes(target) && !t.Fails(target), objection{why: t.Name(target) + " must pass the pair file's checks", forced: true})
	}
	return append(all, h.told(t)...)
}

// settings say what is known of the settings of both units.
func settings(t *job.Turn) string {
	switch s := t.In.Record.Settings; {
	case s == nil || s.ComparedAt.IsZero():
		return "its settings were never compared with its partner's"
	case s.Found.Differences() > 0:
		return "its settings differ: " + s.Found.String() + ", see tandem drift"
	default:
		return "its settings are its partner's, as compared at " + s.ComparedAt.Format("2006-01-02 15:04:05Z")
	}
}

// told are the objections by what the units say of themselves.
func (h How) told(t *job.Turn) []objection {
	target, old := t.Target(), t.Old()
	there, ok := t.Told(target)
	here, okHere := t.Told(old)
	switch {
	case !ok:
		return []objection{{why: "the API of " + t.Name(target) + " does not answer", forced: true}}
	case !okHere:
		return []objection{{why: "the API of " + t.Name(old) + " does not answer", forced: true}}
	}
	var all []objection
	object := func(is bool, why string, lasting bool) {
		if is {
			all = append(all, objection{why, true, lasting})
		}
	}
	object(there.State != pair.Standby && there.State != pair.StateUnknown, t.Name(target)+" says that it is "+there.State.String()+", and must stand by", false)
	object(!h.ByReboot && here.State != pair.Active && here.State != pair.StateUnknown, t.Name(old)+" says that it is "+here.State.String()+", and must be active", false)
	object(there.Firmware == "" || here.Firmware == "", "not both units tell their firmware", false)
	object(there.Firmware != here.Firmware, "the units run different firmware: "+there.Firmware+" on the target, "+here.Firmware+" on "+t.Name(old), true)
	if wrong := Wrong(t, target); wrong != "" {
		object(true, wrong, true)
	}
	if wrong := Wrong(t, old); wrong != "" && !h.ByReboot { // whose set-up is what the job mends
		object(true, wrong, true)
	}
	return all
}
