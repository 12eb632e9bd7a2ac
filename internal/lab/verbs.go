package lab

import (
	"fmt"
	"maps"
	"net/netip"
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
var verbs = allOf(linkVerbs, unitVerbs, azureVerbs, editVerbs, programVerbs, geoVerbs, settingVerbs)

func allOf(parts ...map[string]verb) map[string]verb {
	all := map[string]verb{}
	for _, part := range parts {
		maps.Copy(all, part)
	}
	return all
}

// linkVerbs are what happens to machines and the links between them.
var linkVerbs = map[string]verb{
	"crash":       {"the unit dies without a word; the platform sees it at once", crash},
	"boot":        {"the unit is powered on and boots", boot},
	"deallocate":  {"a person deallocates the VM in the portal; by platform it is taken away", deallocate},
	"start":       {"a person starts the VM in the portal; by platform it comes back", start},
	"cut":         {"the link from one unit to the other is cut; both ways without from and to", cut},
	"heal":        {"the link is whole again; both ways without from and to", heal},
	"event-grid":  {"from now on events come late, several times, or not at all", deliverDifferently},
	"manager-429": {"Resource Manager answers the next requests with 429", throttle},

	"block-probe":     {"a network rule keeps the load balancer's probe from the unit's check port; both without unit", blockProbe},
	"unblock-probe":   {"that rule is lifted; both without unit", unblockProbe},
	"block-partner":   {"a network rule drops new connections from one unit to the other; both ways without from and to", blockPartner},
	"unblock-partner": {"that rule is lifted; both ways without from and to", unblockPartner},
	"cut-worker":      {"the way from the program to the unit is cut, and nothing else; both without unit", cutWorker},
	"heal-worker":     {"the way from the program to the unit is whole again; both without unit", healWorker},
}

// Verbs lists the words for the key do of a step.
func Verbs() []string { return slices.Sorted(maps.Keys(verbs)) }

func crash(w *World, st Step) {
	w.record.log("story", w.vm(st)+" crashes")
	w.units[st.Unit].PowerOff()
	w.unavailable(st.Unit)
}

func boot(w *World, st Step) {
	w.record.log("story", w.vm(st)+" is powered on again")
	w.units[st.Unit].PowerOn()
	w.available(st.Unit)
}

func deallocate(w *World, st Step) {
	if byPlatform(w, st) {
		w.record.log("story", "the platform takes "+w.vm(st)+" away")
		w.evict(st.Unit)
		return
	}
	w.record.log("story", "a person deallocates "+w.vm(st)+" in the portal")
	w.portal(st.Unit, arm.Deallocate)
}

func start(w *World, st Step) {
	if byPlatform(w, st) {
		w.record.log("story", "the platform starts "+w.vm(st))
		w.moved(st.Unit, arm.Running, arm.Start)
		return
	}
	w.record.log("story", "a person starts "+w.vm(st)+" in the portal")
	w.portal(st.Unit, arm.Start)
}

func cut(w *World, st Step) {
	w.record.log("story", "the link between the units is cut"+direction(st))
	for _, way := range w.ways(st) {
		w.net.Cut(way[0], way[1])
	}
}

func heal(w *World, st Step) {
	w.record.log("story", "the link between the units is whole again"+direction(st))
	for _, way := range w.ways(st) {
		w.net.Restore(way[0], way[1])
	}
}

// ways are the directions that a step is about, each from one unit's address
// to another's.
func (w *World) ways(st Step) [][2]netip.Addr {
	from, to := st.From, st.To
	if from == "" && to == "" {
		from, to = pairRoles[0], pairRoles[1]
	}
	for _, role := range []string{from, to} {
		if w.units[role] == nil {
			w.fail(fmt.Sprintf("%s: from %q to %q: expected two of %s", st.Do, from, to, strings.Join(w.roles(), ", ")))
			return nil
		}
	}
	there := [2]netip.Addr{w.plan.Units[from].Address, w.plan.Units[to].Address}
	if st.From != "" {
		return [][2]netip.Addr{there}
	}
	return [][2]netip.Addr{there, {there[1], there[0]}}
}

func direction(st Step) string {
	if st.From == "" {
		return ""
	}
	return fmt.Sprintf(", from %s to %s", st.From, st.To)
}

func blockProbe(w *World, st Step) {
	eachUnit(w, st, func(role string) {
		w.record.log("story", "a network rule keeps the load balancer's probe from "+w.plan.Units[role].VM)
		w.net.Block(dataplane.ProbeSource, w.plan.Units[role].Address, w.plan.HA.CheckPort)
	})
}

func unblockProbe(w *World, st Step) {
	eachUnit(w, st, func(role string) {
		w.record.log("story", "the load balancer's probe reaches "+w.plan.Units[role].VM+" again")
		w.net.Unblock(dataplane.ProbeSource, w.plan.Units[role].Address, w.plan.HA.CheckPort)
	})
}

func blockPartner(w *World, st Step) {
	w.record.log("story", "a network rule drops new connections between the units"+direction(st))
	for _, way := range w.ways(st) {
		w.net.Block(way[0], way[1], 0)
	}
}

func unblockPartner(w *World, st Step) {
	w.record.log("story", "new connections between the units get through again"+direction(st))
	for _, way := range w.ways(st) {
		w.net.Unblock(way[0], way[1], 0)
	}
}

func cutWorker(w *World, st Step) {
	eachUnit(w, st, func(role string) {
		unit := w.plan.Units[role]
		w.record.log("story", "the way between the program and "+unit.VM+" is cut")
		for _, worker := range w.workers {
			w.net.Cut(worker, unit.Address)
			w.net.Cut(unit.Address, worker)
		}
	})
}

func healWorker(w *World, st Step) {
	eachUnit(w, st, func(role string) {
		unit := w.plan.Units[role]
		w.record.log("story", "the way between the program and "+unit.VM+" is whole again")
		for _, worker := range w.workers {
			w.net.Restore(worker, unit.Address)
			w.net.Restore(unit.Address, worker)
		}
	})
}

// eachUnit does something to the unit that a step names, or to both of the
// story's pair where it names none.
func eachUnit(w *World, st Step, do func(role string)) {
	roles := pairRoles[:]
	if st.Unit != "" {
		roles = []string{st.Unit}
	}
	for _, role := range roles {
		if w.units[role] == nil {
			w.fail(fmt.Sprintf("%s: unit %q: expected one of %s", st.Do, role, strings.Join(w.roles(), ", ")))
			return
		}
		do(role)
	}
}

func throttle(w *World, st Step) {
	w.record.log("story", fmt.Sprintf("Resource Manager answers the next %d requests with 429", st.Times))
	w.manager.Inject(arm.Fault{Kind: arm.Answer, Status: 429, Count: st.Times, RetryAfter: st.Late})
}

func (w *World) vm(st Step) string { return w.plan.Units[st.Unit].VM }

// power moves a unit when Resource Manager moved its machine, and lets Resource
// Health tell of it: of a restart's end, resourceEvent does.
func (w *World) power(vmID string, action arm.PowerAction) {
	for role, unit := range w.units {
		if !strings.EqualFold(w.plan.vmID(role), vmID) {
			continue
		}
		address := w.address(role)
		switch action {
		case arm.Deallocate, arm.PowerOff:
			unit.PowerOff()
			w.path.VMStopped(address, true)
			w.unavailable(role)
		case arm.Start:
			w.path.VMStopped(address, false)
			w.settle(unit.Name(), address)
			unit.PowerOn()
			w.available(role)
		case arm.Restart:
			unit.PowerOff()
			w.settle(unit.Name(), address)
			unit.PowerOn()
			w.rebooted(role)
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
	for _, name := range slices.Sorted(maps.Keys(now.Unserved)) {
		if got := w.client.unserved(name); got < now.Unserved[name] {
			w.fail(fmt.Sprintf("%s answered a request %v ago, expected none for %v", name, got, now.Unserved[name]))
		}
	}
	if now.Situation != "" && w.Options.Believed != nil {
		if got := w.Options.Believed(); got != now.Situation {
			w.fail(fmt.Sprintf("the program believes %q, expected %q", got, now.Situation))
		}
	}
	if now.Alarm != "" && w.Options.Alarmed != nil {
		if got := w.Options.Alarmed(); got != now.Alarm {
			w.fail(fmt.Sprintf("the alarm %q stands, expected %q", got, now.Alarm))
		}
	}
	if now.Backups != nil && w.Options.Backups != nil {
		if got := w.Options.Backups(); !maps.Equal(got, now.Backups) {
			w.fail(fmt.Sprintf("backups are kept of %v, expected %v", got, now.Backups))
		}
	}
	if now.Job != "" && w.Options.Job != nil {
		if got := w.Options.Job(); got != now.Job {
			w.fail(fmt.Sprintf("the pair's job is %q, expected %q", got, now.Job))
		}
	}
	if now.Down != nil && w.Options.Believed != nil {
		if got := w.Down(); !slices.Equal(got, *now.Down) {
			w.fail(fmt.Sprintf("set Down in the load balancer: %v, expected %v", got, *now.Down))
		}
	}
	if now.NeighbourDown != nil && w.Options.Believed != nil {
		w.lookNextDoor(*now.NeighbourDown)
	}
	if now.Sync != "" {
		got := "blocked"
		if w.syncs() {
			got = "open"
		}
		if got != now.Sync {
			w.fail(fmt.Sprintf("the sync port between the units is %s, expected %s", got, now.Sync))
		}
	}
	w.lookAtGEO(now)
	w.lookAtSettings(now)
}

// lookNextDoor compares which units of the first neighbour are set Down.
func (w *World) lookNextDoor(want []string) {
	if len(w.pairs) < 2 {
		w.fail("neighbourDown: there is no neighbour: expected neighbours: 1")
		return
	}
	if got := w.downOf(w.pairs[1]); !slices.Equal(got, want) {
		w.fail(fmt.Sprintf("of the neighbour, set Down in the load balancer: %v, expected %v", got, want))
	}
}

// Down lists the units that an admin state holds Down, by role.
func (w *World) Down() []string { return w.downOf(w.pairs[0]) }

func (w *World) downOf(p *pairOf) []string {
	out := []string{}
	lb := p.plan.LoadBalancers[0]
	for _, role := range pairRoles {
		for _, h := range w.path.Health(p.plan.loadBalancerID(0), lb.Rules[0].Name) {
			if h.Address == p.plan.Units[role].Address && h.Reason == dataplane.DownAdmin {
				out = append(out, role)
			}
		}
	}
	return out
}
