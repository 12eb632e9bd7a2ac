package move

import (
	"fmt"
	"net/netip"
	"time"

	"tandem/internal/job"
	"tandem/internal/pair"
)

// Verify is the step that sees the pair as it must be after a move: the target
// serves alone, and its partner is back and stands by.
func Verify() job.Step {
	return job.Step{
		Name: "verify", Title: "the target serves alone, and its partner stands by", Within: rebootTakes, Do: verify,
		Undoes: "there is no way back by itself: moving back is another switchover",
	}
}

func verify(t *job.Turn) job.Verdict {
	target, old := t.Target(), t.Old()
	rep, told := t.Told(old)
	both := t.Serves(old) && t.Serves(target)
	odd := t.Steady(!t.Serves(target) && t.Idle(target) || both, oddFor)
	switch {
	case odd && both:
		return job.Yield("both units answer 200")
	case odd && t.Serves(old):
		return job.Fail(t.Name(old) + " serves again: the active state has moved back, and not by this job")
	case odd:
		return job.Yield("neither unit answers 200")
	case told && rep.State == pair.NotConfigured:
		return job.Fail(t.Name(old) + " came back and says that HA is not configured; run tandem configure")
	case told && rep.Role != pair.RoleUnknown && rep.Role != old:
		return job.Fail(t.Name(old) + " came back set up as " + rep.Role.String() + "; run tandem configure, or set its HA mode, and reboot it")
	case !t.Serves(target) || both:
		return job.Wait("exactly one unit must answer 200")
	case !told || !t.StandsBy(old):
		return job.Wait(t.Name(old) + " is not back yet")
	case rep.State != pair.Standby && rep.State != pair.StateUnknown:
		return job.Wait(t.Name(old) + " is back and says that it is " + rep.State.String() + ", and must stand by")
	}
	if mine, ok := t.Told(target); ok && mine.State != pair.Active && mine.State != pair.StateUnknown {
		return job.Wait(t.Name(target) + " answers 200 and says that it is " + mine.State.String())
	}
	return job.Done(t.Name(target) + " serves, and " + t.Name(old) + " stands by")
}

// Settle is the step after a move in which the preference becomes what it must be:
// as the pair file says where first serves, and none where second does, because a
// preference for first would move the state back.
func Settle() job.Step {
	return job.Step{
		Name: "settle", Title: "the preference fits who serves", Within: 5 * time.Minute, Do: settle,
		Undoes: "what is set is what the pair file asks for",
	}
}

func settle(t *job.Turn) job.Verdict {
	want := t.In.Definition.HA.UnitPreference()
	switch serving := t.ServesAlone(); {
	case serving == pair.RoleUnknown:
		return job.Wait("exactly one unit must answer 200")
	case serving == pair.Second && want == pair.PreferFirst:
		if t.Prefers(pair.PreferNone) {
			return job.Done("second serves, so that the preference for first stays suspended until a drained move back")
		}
		want = pair.PreferNone
	case t.Prefers(want):
		return job.Done("both units say " + want.String())
	}
	for _, r := range pair.Roles {
		if _, ok := t.Told(r); !ok {
			return job.Wait(t.Name(r) + " does not tell its preference")
		}
	}
	return t.Ask("the preference becomes "+want.String()+" on both units", t.Prefer(want)...)
}

// Follow is the step in which the load balancer finds who serves: its probe needs some
// seconds more than the units. That it does not is no failure of the job, which has
// done its part and says so.
func Follow() job.Step {
	return job.Step{
		Name: "follow", Title: "the load balancer's front end answers", Within: followsWithin, Undoes: "nothing was changed",
		Do: func(t *job.Turn) job.Verdict {
			switch {
			case !t.FrontFails():
				return job.Done("nothing speaks against it")
			case t.Late():
				return job.Done("it does not answer after " + followsWithin.String())
			}
			return job.Wait("the front end must answer again")
		},
	}
}

// Wrong says what a unit's own words about its HA set-up contradict in the pair
// file, the preference apart; empty where nothing. It is meant for units that told.
func Wrong(t *job.Turn, r pair.Role) string {
	rep, _ := t.Told(r)
	ha := &t.In.Definition.HA
	partner := t.In.Definition.Units.Of(r.Other()).Address
	switch at, err := netip.ParseAddr(rep.Partner); {
	case WrongMode(t, r):
		return fmt.Sprintf("%s is set up as %s", t.Name(r), rep.Role)
	case rep.Partner == "":
		return t.Name(r) + " has no partner"
	case err == nil && at.Unmap() != partner.Unmap(): // a host name says nothing to us
		return fmt.Sprintf("%s has %s as partner instead of %s", t.Name(r), at, partner)
	case rep.CheckPort != ha.CheckPort:
		return fmt.Sprintf("%s has check port %d instead of %d", t.Name(r), rep.CheckPort, ha.CheckPort)
	case rep.AllInterfaces != ha.CheckAllInterfaces:
		return fmt.Sprintf("%s listens on all interfaces: %t instead of %t", t.Name(r), rep.AllInterfaces, ha.CheckAllInterfaces)
	default:
		return ""
	}
}

// WrongMode reports whether a unit is set up with another HA mode than its role, or
// with none. It is meant for units that told.
func WrongMode(t *job.Turn, r pair.Role) bool {
	rep, _ := t.Told(r)
	return rep.Role != r
}
