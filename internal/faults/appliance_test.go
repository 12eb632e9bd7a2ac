package faults

import (
	"net/netip"
	"strconv"
	"strings"
	"time"

	"tandem/internal/pair"
)

const (
	checkEvery  = 5 * time.Second  // between two checks of the partner
	missesMax   = 2                // missed checks until the second unit takes over
	bootUsually = 20 * time.Second // where a story does not say
)

// settings are the HA parameters of an appliance.
type settings struct {
	role        pair.Role // unknown for a single unit
	partner     string
	checkPort   int
	preferFirst bool
	interfaces  bool // its check port listens on all of them
}

// ailments are what can be wrong with an appliance beside power and network.
type ailments struct {
	port         string // what the check port says: honest (empty), 200, 503, silent
	flap         time.Duration
	flapsSince   time.Time
	dead         bool // nothing is forwarded
	application  bool // the real servers are down
	apiSilent    bool
	rotated      bool // another API key
	certificate  bool // another certificate
	stuck        bool // Passive whoever polls it
	waits        bool // without a preference, for a partner that is standby
	boots        bool // again and again, without coming up
	blockedProbe bool
	noSetUp      bool // our user may not change the HA set-up
}

// appliance is a LoadMaster with its VM, by loadmaster.md 2.4. The world's lock
// guards it.
type appliance struct {
	world *world
	key   string    // as stories name it: first, neighbour-second
	role  pair.Role // in its pair
	site  *site
	name  string // of the VM
	vm    pair.ResourceID
	// address is that of its interface; the pair file may have another one. text
	// is the same.
	address netip.Addr
	text    string

	power   pair.Power
	action  *operation // on the VM, while it runs
	changed time.Time  // when the newest operation on the VM ended
	byHuman bool       // a person stopped the VM, by the truth
	gone    bool       // a person deleted the VM
	powers  []time.Time

	on        bool // it has power and boots or is up
	upAt      time.Time
	rebootAt  time.Time
	state     pair.HAState // Unconnected, Active or Standby once it is up
	polled    bool
	misses    int
	next      time.Time // check of the partner
	bootedAt  time.Time
	now       settings // effective
	set       settings // configured
	firmware  string
	installed string
	ailments  ailments
	health    pair.EvidenceKind // as Resource Health tells it

	// unserving is since when it does not answer 200 to anybody; zero while it
	// does.
	unserving time.Time
	// lately is how things were with it, by the second.
	lately lately
}

func (a *appliance) up(now time.Time) bool { return a.on && !now.Before(a.upAt) }

func (a *appliance) clustered(now time.Time) bool { return a.up(now) && a.now.role != pair.RoleUnknown }

// powerOn begins a life.
func (a *appliance) powerOn(now time.Time) {
	if a.on {
		return
	}
	a.on, a.upAt = true, now.Add(a.world.boot)
	if a.ailments.boots {
		a.upAt = now.Add(1000 * time.Hour)
	}
	a.state, a.polled, a.misses, a.now, a.firmware = pair.Unconnected, false, 0, a.set, a.installed
	a.bootedAt = now.UTC().Truncate(time.Second)
	a.rebootAt = time.Time{}
	a.next = a.upAt.Add(time.Duration(1+a.world.roll("phase", a.key, 0)%4) * time.Second)
	if a.now.role == pair.RoleUnknown {
		a.state = pair.NotConfigured
	}
}

func (a *appliance) powerOff() {
	a.on, a.rebootAt = false, time.Time{}
}

// answer is what the check port says to somebody who reaches it.
func (a *appliance) answer(now time.Time, port int) pair.CheckAnswer {
	switch {
	case !a.up(now):
		return pair.CheckSilent
	case !a.clustered(now) || port != a.now.checkPort:
		return pair.CheckRefused
	}
	says := a.ailments.port
	if says == "" && a.ailments.flap > 0 && now.Sub(a.ailments.flapsSince)/a.ailments.flap%2 == 0 {
		says = "503"
	}
	switch {
	case says == "silent":
		return pair.CheckSilent
	case says == "503", says == "" && a.state != pair.Active:
		return pair.CheckIdle
	default:
		return pair.CheckServing
	}
}

// poll is a request to the check port, which the unit notices.
func (a *appliance) poll(now time.Time, port int, from string) pair.CheckAnswer {
	answer := a.answer(now, port)
	counts := from != "partner"
	switch a.world.options["polled-by"] {
	case "load-balancer":
		counts = from == "probe"
	case "anyone":
		counts = true
	}
	if counts && a.clustered(now) && port == a.now.checkPort {
		a.polled = true
	}
	return answer
}

// forwards tells whether the unit does its part in published services.
func (a *appliance) forwards(now time.Time) bool {
	return a.up(now) && !a.ailments.dead && (a.state == pair.Active || a.state == pair.Standby && a.world.options["standby-forwards"] == "yes")
}

// live lets the unit do what is due.
func (a *appliance) live(now time.Time) {
	if !a.rebootAt.IsZero() && !now.Before(a.rebootAt) {
		a.powerOff()
		a.powerOn(now)
	}
	if !a.clustered(now) || now.Before(a.next) {
		return
	}
	a.next = a.next.Add(checkEvery)
	if a.next.Before(now) {
		a.next = now.Add(checkEvery)
	}
	view := a.askPartner(now)
	a.misses++
	if view != pair.CheckSilent {
		a.misses = 0
	}
	a.stick()
	if !a.ailments.stuck && (a.polled || a.world.options["passive-until"] == "partner-checked") {
		a.state = a.successor(view)
	}
}

func (a *appliance) stick() {
	if a.ailments.stuck && a.state != pair.NotConfigured {
		a.state = pair.Unconnected
	}
}

// askPartner checks the partner: 200, 503, or silent for everything else.
func (a *appliance) askPartner(now time.Time) pair.CheckAnswer {
	partner := a.world.at(a.now.partner)
	if partner == nil || partner == a || !a.world.linked(a, partner) {
		return pair.CheckSilent
	}
	switch answer := partner.poll(now, a.now.checkPort, "partner"); answer {
	case pair.CheckServing, pair.CheckIdle:
		return answer
	default:
		return pair.CheckSilent
	}
}

// successor is the state machine of loadmaster.md 2.4.
func (a *appliance) successor(partner pair.CheckAnswer) pair.HAState {
	wasActive, healing := a.state == pair.Active, a.world.options["no-preference-healing"]
	if a.now.role == pair.First {
		switch {
		case a.ailments.waits && !a.now.preferFirst && partner == pair.CheckIdle:
			return pair.Standby
		case a.now.preferFirst || partner != pair.CheckServing:
			return pair.Active
		case wasActive && healing != "first":
			return pair.Active
		default:
			return pair.Standby
		}
	}
	stays := wasActive && !a.now.preferFirst
	switch {
	case a.ailments.waits && !a.now.preferFirst && partner == pair.CheckIdle:
		return pair.Standby
	case partner == pair.CheckServing && stays && (healing == "first" || healing == "nobody"):
		return pair.Active
	case partner == pair.CheckServing:
		return pair.Standby
	case partner == pair.CheckIdle && stays:
		return pair.Active
	case partner == pair.CheckIdle:
		return pair.Standby
	case a.misses >= missesMax:
		return pair.Active
	default:
		return a.state
	}
}

// report is what the API says of the unit.
func (a *appliance) report() pair.Report {
	r := pair.Report{
		State: a.state, Role: a.set.role, Preferred: pair.PreferNone, Partner: a.set.partner, CheckPort: a.set.checkPort, AllInterfaces: a.set.interfaces,
		Firmware: a.firmware, BootedAt: a.bootedAt,
	}
	if a.set.preferFirst {
		r.Preferred = pair.PreferFirst
	}
	if a.state == pair.NotConfigured && a.set.role == pair.RoleUnknown {
		r = pair.Report{State: a.state, Firmware: a.firmware, BootedAt: a.bootedAt}
	}
	return r
}

// configure changes settings as a person does at the unit.
func (a *appliance) configure(now time.Time, changes map[string]string) {
	for name, value := range changes {
		switch strings.ToLower(name) {
		case "hamode":
			a.set.role = map[string]pair.Role{"first": pair.First, "master": pair.First, "second": pair.Second, "slave": pair.Second}[value]
		case "partner":
			a.set.partner = value
		case "hcp":
			a.set.checkPort, _ = strconv.Atoi(value) // a story is right
		case "haprefered":
			a.set.preferFirst = value == "1"
		case "hcai":
			a.set.interfaces = value == "1"
		}
	}
	if !a.up(now) {
		return
	}
	role := a.now.role
	if a.world.options["parameters-need-reboot"] != "yes" {
		a.now = a.set
		a.now.role = role
	}
	if a.world.options["mode-applies-at-once"] != "yes" || role == a.set.role {
		return
	}
	a.now.role = a.set.role
	a.state, a.polled, a.misses = pair.Unconnected, false, 0
	if a.now.role == pair.RoleUnknown {
		a.state = pair.NotConfigured
	}
}

// reboot makes the unit go away within seconds.
func (a *appliance) reboot(now time.Time) {
	if a.on && a.rebootAt.IsZero() {
		a.rebootAt = now.Add(time.Duration(2+a.world.roll("reboot", a.key, now.Unix())%3) * time.Second)
	}
}
