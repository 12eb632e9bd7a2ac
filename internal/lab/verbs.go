package lab

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"tandem/internal/lab/arm"
	"tandem/internal/lab/dataplane"
)

// verb is one thing that can happen in a story.
type verb struct {
	about string
	run   func(*World, Step)
}

// verbs are all that stories can do. Each is told in the transcript.
var verbs = map[string]verb{
	"crash":       {"the unit dies without a word; the platform sees it at once", crash},
	"boot":        {"the unit is powered on and boots", boot},
	"deallocate":  {"somebody deallocates the VM in the portal", deallocate},
	"start":       {"somebody starts the VM in the portal", start},
	"cut":         {"the link from one unit to the other is cut; both ways without from and to", cut},
	"heal":        {"the link is whole again; both ways without from and to", heal},
	"event-grid":  {"from now on events come late, several times, or not at all", deliverDifferently},
	"manager-429": {"Resource Manager answers the next requests with 429", throttle},
}

// Verbs lists the words for the key do of a step.
func Verbs() []string { return slices.Sorted(maps.Keys(verbs)) }

func crash(w *World, st Step) {
	w.record.log("story", w.vm(st)+" crashes")
	w.units[st.Unit].PowerOff()
	w.availability(st.Unit, "Available", "Unavailable")
}

func boot(w *World, st Step) {
	w.record.log("story", w.vm(st)+" is powered on again")
	w.units[st.Unit].PowerOn()
	w.availability(st.Unit, "Unavailable", "Available")
}

func deallocate(w *World, st Step) {
	w.record.log("story", "a person deallocates "+w.vm(st)+" in the portal")
	w.portal(st.Unit, arm.Deallocate)
	w.availability(st.Unit, "Available", "Unavailable")
}

func start(w *World, st Step) {
	w.record.log("story", "a person starts "+w.vm(st)+" in the portal")
	w.portal(st.Unit, arm.Start)
	w.availability(st.Unit, "Unavailable", "Available")
}

func cut(w *World, st Step) {
	w.record.log("story", "the link between the units is cut"+direction(st))
	for _, d := range directions(st) {
		w.net.Cut(w.plan.Units[d[0]].Address, w.plan.Units[d[1]].Address)
	}
}

func heal(w *World, st Step) {
	w.record.log("story", "the link between the units is whole again"+direction(st))
	for _, d := range directions(st) {
		w.net.Restore(w.plan.Units[d[0]].Address, w.plan.Units[d[1]].Address)
	}
}

// directions are the ways that a step is about, as pairs of roles.
func directions(st Step) [][2]string {
	if st.From != "" {
		return [][2]string{{st.From, st.To}}
	}
	return [][2]string{{"first", "second"}, {"second", "first"}}
}

func direction(st Step) string {
	if st.From == "" {
		return ""
	}
	return fmt.Sprintf(", from %s to %s", st.From, st.To)
}

func throttle(w *World, st Step) {
	w.record.log("story", fmt.Sprintf("Resource Manager answers the next %d requests with 429", st.Times))
	w.manager.Inject(arm.Fault{Kind: arm.Answer, Status: 429, Count: st.Times, RetryAfter: st.Late})
}

func (w *World) vm(st Step) string { return w.plan.Units[st.Unit].VM }

// power moves a unit when Resource Manager moved its machine.
func (w *World) power(vmID string, action arm.PowerAction) {
	for role, unit := range w.units {
		if !strings.EqualFold(w.plan.vmID(role), vmID) {
			continue
		}
		address := w.plan.Units[role].Address
		switch action {
		case arm.Deallocate, arm.PowerOff:
			unit.PowerOff()
			w.path.VMStopped(address, true)
		case arm.Start:
			w.path.VMStopped(address, false)
			unit.PowerOn()
		case arm.Restart:
			unit.PowerOff()
			unit.PowerOn()
		}
	}
}

// look compares how things are with how the story says they must be.
func (w *World) look(now Now) {
	if now.Serving != "" {
		if got := w.client.serving(); got != now.Serving {
			w.fail(fmt.Sprintf("served by %s, expected %s", got, now.Serving))
		}
	}
	if now.Situation != "" && w.Options.Believed != nil {
		if got := w.Options.Believed(); got != now.Situation {
			w.fail(fmt.Sprintf("the program believes %q, expected %q", got, now.Situation))
		}
	}
	if now.Down != nil && w.Options.Believed != nil {
		if got := w.Down(); !slices.Equal(got, *now.Down) {
			w.fail(fmt.Sprintf("set Down in the load balancer: %v, expected %v", got, *now.Down))
		}
	}
}

// Down lists the units that an admin state holds Down, by role.
func (w *World) Down() []string {
	out := []string{}
	lb := w.plan.LoadBalancers[0]
	for _, role := range []string{"first", "second"} {
		for _, h := range w.path.Health(w.plan.loadBalancerID(0), lb.Rules[0].Name) {
			if h.Address == w.plan.Units[role].Address && h.Reason == dataplane.DownAdmin {
				out = append(out, role)
			}
		}
	}
	return out
}
