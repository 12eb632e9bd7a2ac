package job_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"tandem/internal/job"
	"tandem/internal/job/configure"
	"tandem/internal/job/geo"
	"tandem/internal/job/replace"
	"tandem/internal/job/switchover"
	"tandem/internal/job/sync"
	"tandem/internal/pair"
)

// registry holds the procedures, as the program does.
func registry(t testing.TB) *job.Registry {
	t.Helper()
	r, err := job.NewRegistry(switchover.Procedure(), configure.Procedure(), replace.Procedure(), geo.Procedure(), sync.Procedure())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

func edge() pair.Definition {
	return pair.Definition{
		Name: "edge", Mode: pair.Observe,
		Units: pair.Units{
			First:  pair.Unit{VM: "lm1", Address: netip.MustParseAddr("10.0.0.4")},
			Second: pair.Unit{VM: "lm2", Address: netip.MustParseAddr("10.0.0.5")},
		},
		HA:            pair.HA{StandbyForwards: pair.ForwardsYes},
		LoadBalancers: []pair.LoadBalancer{{Name: "ilb", Pools: []string{"one", "two"}}},
		Checks:        []pair.Check{{Name: "shop", Port: 443}},
	}.WithDefaults()
}

// unit is a LoadMaster in the model, with the HA engine of loadmaster.md 2.4.
type unit struct {
	role                 pair.Role // its place
	mode, works          pair.Role // as configured, and in effect; RoleUnknown is single
	prefer               pair.Preference
	partner              string
	port                 int
	state                pair.HAState
	bootedAt, bootsUntil time.Time
	dead, cut            bool // gone for good; cannot reach its partner
	broken               bool // lives and does not forward
	unlicensed, bare     bool // was built anew: without a licence, without services
	stuck                bool // never takes over
	slow                 time.Duration
	misses               int
	flows                float64
	firmware             string
	reboots              int
	modeAfterBoot        pair.Role // a fault: it comes back as this
	geo                  pair.GEOSeen
	submitted            bool // its partners, since it is active
}

func (u *unit) up(now time.Time) bool { return !u.dead && !now.Before(u.bootsUntil) }

func (u *unit) check(now time.Time) pair.CheckAnswer {
	switch {
	case !u.up(now):
		return pair.CheckSilent
	case u.works == pair.RoleUnknown || u.port != 8444:
		return pair.CheckRefused
	case u.state == pair.Active:
		return pair.CheckServing
	default:
		return pair.CheckIdle
	}
}

func (u *unit) forwards(now time.Time) bool { return u.up(now) && !u.broken && !u.bare }

func (u *unit) reboot(now time.Time) {
	if !u.up(now) {
		return
	}
	u.bootsUntil, u.bootedAt = now.Add(u.slow), now.Add(u.slow-time.Second)
	u.works, u.state, u.misses, u.flows = u.mode, pair.Unconnected, 0, 0
	if u.modeAfterBoot != pair.RoleUnknown {
		u.mode, u.works = u.modeAfterBoot, u.modeAfterBoot
	}
	if u.works == pair.RoleUnknown {
		u.state = pair.NotConfigured
	}
	u.reboots++
}

// decide is the engine of loadmaster.md 2.4.
func (u *unit) decide(now time.Time, partner *unit) {
	if !u.up(now) || u.works == pair.RoleUnknown || u.stuck {
		return
	}
	p := partner.check(now)
	if u.cut || partner.cut {
		p = pair.CheckSilent
	}
	active, standby := p == pair.CheckServing, p == pair.CheckIdle
	u.misses++
	if active || standby {
		u.misses = 0
	}
	switch {
	case u.works == pair.First && u.prefer == pair.PreferFirst:
		u.state = pair.Active
	case u.works == pair.First && active:
		if u.state != pair.Active {
			u.state = pair.Standby
		}
	case u.works == pair.First:
		u.state = pair.Active
	case active && (u.prefer != pair.PreferNone || u.state != pair.Active):
		u.state = pair.Standby
	case active:
	case standby && u.prefer == pair.PreferNone && u.state == pair.Active:
	case standby:
		u.state = pair.Standby
	case u.misses >= 2:
		u.state = pair.Active
	}
}

// work is an intent on its way.
type work struct {
	pair.Intent
	at time.Time // when its effect is made
}

// outcome is what becomes of an effect.
type outcome uint8

const (
	works   outcome = iota
	fails           // nothing is done, and control gives it up
	unknown         // it is done, and control gives it up without seeing it
	twice           // it is done, and later once more
	died            // it is done, and the worker dies; another one carries on
)

func (o outcome) String() string {
	return [...]string{"works", "fails", "unknown", "twice", "died"}[o]
}

// world is a pair with its load balancer, and internal/control reduced to what a job
// sees of it: a look, a decision, and intents that are carried out.
type world struct {
	t     testing.TB
	jobs  *job.Registry
	def   pair.Definition
	rec   pair.Record
	units [2]*unit
	now   time.Time
	admin map[string]pair.AdminState // pool and unit
	probe [2]int                     // answers in a row that contradict seen
	seen  [2]bool                    // whether the probe counts the unit as up
	open  []work
	stop  *pair.Pause
	dead  time.Time // no pass before that

	takes    time.Duration
	outcome  func(w *world, n int, i pair.Intent) outcome
	event    func(w *world) // the world's own doing, at each second
	effects  int
	done     []string // effects, in order
	turns    int
	barred   time.Duration // how long somebody who serves is Down for nobody
	lost     int           // seconds in which a new connection found nobody
	approves bool
	last     pair.Decision
	story    []string
}

func newWorld(t testing.TB, def pair.Definition, active pair.Role) *world {
	w := &world{t: t, jobs: registry(t), def: def, now: noon, admin: map[string]pair.AdminState{}, takes: 3 * time.Second, approves: true}
	w.outcome = func(*world, int, pair.Intent) outcome { return works }
	w.event = func(*world) {}
	prefer := def.HA.UnitPreference()
	if active == pair.Second {
		prefer = pair.PreferNone
	}
	for _, r := range pair.Roles {
		w.units[r.Index()] = &unit{
			submitted: true,
			role:      r, mode: r, works: r, prefer: prefer, partner: def.Units.Of(r.Other()).Address.String(), port: 8444, state: pair.Standby,
			bootedAt: noon.Add(-24 * time.Hour), slow: 100 * time.Second, firmware: "7.2.59.0.22007.RELEASE",
		}
		for _, pool := range def.LoadBalancers[0].Pools {
			w.admin[pool+r.String()] = pair.AdminNone
		}
	}
	if active != pair.RoleUnknown {
		w.unit(active).state, w.unit(active).flows, w.seen[active.Index()] = pair.Active, 200, true
	}
	return w
}

func (w *world) unit(r pair.Role) *unit { return w.units[r.Index()] }

func (w *world) start(req job.Request) {
	w.t.Helper()
	req.ID, req.At = "edge-000000000001-001", w.now
	if req.By == "" {
		req.By = "anna"
	}
	j, err := w.jobs.New(req, &w.def)
	if err != nil {
		w.t.Fatal(err)
	}
	w.rec.Job = &j
}

func (w *world) say(word string) {
	j := w.rec.Job.Clone()
	j.Said = &pair.JobWord{Word: word, By: "bert", At: w.now}
	w.rec.Job = j
}

func (w *world) eligible(pool string, r pair.Role) bool {
	switch w.admin[pool+r.String()] {
	case pair.AdminUp:
		return true
	case pair.AdminDown:
		return false
	default:
		return w.seen[r.Index()]
	}
}

// served reports whether a new connection in any pool finds a unit that forwards,
// whichever it is sent to.
func (w *world) served() bool {
	for _, pool := range w.def.LoadBalancers[0].Pools {
		someone := false
		for _, r := range pair.Roles {
			if w.eligible(pool, r) {
				someone = true
				if !w.unit(r).forwards(w.now) {
					return false
				}
			}
		}
		if !someone {
			return false
		}
	}
	return true
}

// second lets one second pass.
func (w *world) second() {
	w.now = w.now.Add(time.Second)
	w.event(w)
	n := int(w.now.Sub(noon) / time.Second)
	for k, r := range pair.Roles {
		u := w.unit(r)
		was := u.state
		if n%5 == k {
			u.decide(w.now, w.unit(r.Other()))
		}
		if was != pair.Active && u.state == pair.Active {
			u.submitted = false
		}
		if n%5 == 3 {
			if up := u.check(w.now) == pair.CheckServing; up != w.seen[k] {
				w.probe[k]++
				if w.probe[k] >= 2 {
					w.seen[k], w.probe[k] = up, 0
				}
			} else {
				w.probe[k] = 0
			}
		}
		takes := w.eligible("one", r) || w.eligible("two", r)
		if takes && u.up(w.now) {
			u.flows = 200
		} else {
			u.flows *= 0.93
		}
	}
	w.carryOut()
	if !w.served() {
		w.lost++
	}
	w.watchDown()
	for _, pool := range w.def.LoadBalancers[0].Pools {
		if w.admin[pool+"first"] == pair.AdminDown && w.admin[pool+"second"] == pair.AdminDown {
			w.fatalf("both units are Down in pool %s", pool)
		}
	}
}

// watchDown sees that nobody who serves is Down for longer than it takes to look and
// to take that back, unless his partner carries the traffic. Where nobody looks,
// nobody can.
func (w *world) watchDown() {
	bad := false
	for _, pool := range w.def.LoadBalancers[0].Pools {
		for _, r := range pair.Roles {
			u, other := w.unit(r), w.unit(r.Other())
			carries := w.eligible(pool, r.Other()) && other.forwards(w.now) || other.check(w.now) == pair.CheckServing
			bad = bad || w.admin[pool+r.String()] == pair.AdminDown && u.check(w.now) == pair.CheckServing && u.forwards(w.now) && !carries
		}
	}
	if !bad || w.now.Before(w.dead) {
		w.barred = 0
		return
	}
	if w.barred += time.Second; w.barred > w.takes+15*time.Second {
		w.fatalf("for %v somebody is Down who serves, and his partner carries nothing", w.barred)
	}
}

func (w *world) fatalf(format string, args ...any) {
	w.t.Helper()
	w.t.Fatalf("%s\n%s", fmt.Sprintf(format, args...), strings.Join(w.story[max(0, len(w.story)-60):], "\n"))
}

func (w *world) note(format string, args ...any) {
	w.story = append(w.story, fmt.Sprintf("%6.0fs ", w.now.Sub(noon).Seconds())+fmt.Sprintf(format, args...))
}

// carryOut makes the effects that are due, looked at once more by a guard, and
// closes the intents.
func (w *world) carryOut() {
	if w.now.Before(w.dead) {
		return
	}
	for _, o := range slices.Clone(w.open) {
		if w.now.Before(o.at) {
			continue
		}
		w.open = slices.DeleteFunc(w.open, func(x work) bool { return x.ID == o.ID })
		if o.Kind == pair.IntentTag {
			continue
		}
		w.effects++
		out := works
		if o.Job != "" { // what the table takes back is never given up
			out = w.outcome(w, w.effects, o.Intent)
		}
		if out == fails || !w.allowed(o.Intent) {
			w.note("given up: %s", o.Intent)
			continue
		}
		w.make(o.Intent)
		w.done = append(w.done, o.String())
		w.note("%s: %s", out, o.Intent)
		if out == unknown && o.Pool == "" {
			continue
		}
		if out == twice && o.Pool == "" {
			again := o
			again.ID, again.Job, again.at = o.ID+"-again", "", w.now.Add(20*time.Second)
			w.open = append(w.open, again)
		}
		if out == died {
			w.dead = w.now.Add(40 * time.Second)
		}
		w.close(o.Intent)
	}
}

// allowed is what the guards of internal/control look at right before the effect.
func (w *world) allowed(i pair.Intent) bool {
	u := w.unit(i.Unit)
	other := w.unit(i.Unit.Other())
	switch i.Kind {
	case pair.IntentRaise:
		return u.forwards(w.now)
	case pair.IntentDrain:
		return other.check(w.now) == pair.CheckServing || w.admin[i.Pool+other.role.String()] == pair.AdminUp && other.forwards(w.now)
	case pair.IntentReboot:
		j := w.rec.Job
		partner := other.check(w.now)
		switch {
		case !u.up(w.now):
			return false
		case partner == pair.CheckServing, u.check(w.now) != pair.CheckServing:
			return true
		case w.admin["one"+other.role.String()] == pair.AdminUp:
			return other.forwards(w.now)
		default:
			return partner == pair.CheckIdle && (j.Consented || j.Force)
		}
	case pair.IntentGEO:
		return u.check(w.now) == pair.CheckServing && other.check(w.now) != pair.CheckServing
	case pair.IntentPrefer, pair.IntentConfigure:
		return u.up(w.now)
	default:
		return true
	}
}

func (w *world) make(i pair.Intent) {
	u := w.unit(i.Unit)
	other := w.unit(i.Unit.Other())
	switch i.Kind {
	case pair.IntentRaise, pair.IntentDrain, pair.IntentRelease:
		w.admin[i.Pool+i.Unit.String()] = i.Want
	case pair.IntentPrefer:
		u.prefer = i.Prefer
	case pair.IntentReboot:
		if u.check(w.now) == pair.CheckServing && other.check(w.now) != pair.CheckServing && !other.up(w.now) {
			w.fatalf("the only unit that serves is rebooted, and its partner is gone")
		}
		u.reboot(w.now)
	case pair.IntentConfigure:
		u.mode, u.prefer, u.partner, u.port = i.Unit, i.Prefer, w.def.Units.Of(i.Unit.Other()).Address.String(), w.def.HA.CheckPort
	case pair.IntentGEO:
		u.writeGEO(i.GEO)
	default:
		w.fatalf("nobody carries out %s", i)
	}
}

// close does to the record what internal/control does when an effect was seen.
func (w *world) close(i pair.Intent) {
	admin := slices.Clone(w.rec.Admin)
	for n := 0; n < len(admin); n++ {
		h := &admin[n]
		if h.LoadBalancer != i.LoadBalancer || h.Pool != i.Pool || h.Unit != i.Unit {
			continue
		}
		if i.Kind == pair.IntentRelease {
			admin = slices.Delete(admin, n, n+1)
			n--
		} else {
			h.Landed = h.State == i.Want
		}
	}
	w.rec.Admin = admin
	if i.Kind == pair.IntentGEO && i.GEO.Submit && w.rec.Job.ID == i.Job {
		w.rec.Job = w.rec.Job.Clone()
		w.rec.Job.GEO.Submitted = pair.GEOSubmitted{Unit: i.Unit, BootedAt: w.unit(i.Unit).bootedAt, At: w.now}
	}
}

// look is what a pass sees.
func (w *world) look(read bool) pair.Input {
	in := pair.Input{Definition: w.def, Record: w.rec, Stop: w.stop}
	in.Observation.At = w.now
	for _, o := range w.open {
		in.Open = append(in.Open, o.Intent)
	}
	for _, r := range pair.Roles {
		u, seen := w.unit(r), in.Observation.Unit(r)
		seen.Check = pair.CheckSeen{Answer: u.check(w.now), At: w.now}
		seen.API = pair.APISeen{Answer: pair.APISilent, At: w.now}
		if !u.up(w.now) {
			continue
		}
		seen.API = pair.APISeen{Answer: pair.APIAnswered, At: w.now, Report: pair.Report{
			State: u.state, Role: u.mode, Preferred: u.prefer, Partner: u.partner, CheckPort: u.port, Firmware: u.firmware, BootedAt: u.bootedAt,
		}}
		if u.works == pair.RoleUnknown {
			seen.API.Report.State = pair.NotConfigured
		}
		if u.state == pair.Active || u.works == pair.RoleUnknown || w.def.HA.StandbyForwards == pair.ForwardsYes {
			seen.Service = pair.ServiceSeen{Answer: pair.ServicePassed, At: w.now}
			if !u.forwards(w.now) {
				seen.Service = pair.ServiceSeen{Answer: pair.ServiceFailed, Check: "shop", At: w.now}
			}
		}
		seen.Inventory = pair.InventorySeen{Licensed: !u.unlicensed, Services: 1, ServicesHash: "shop", At: w.now}
		if u.bare {
			seen.Inventory.Services, seen.Inventory.ServicesHash = 0, ""
		}
		held := u.geo
		held.At = w.now
		seen.GEO = &held
		seen.Flows = pair.FlowsSeen{Count: int(u.flows), At: w.now}
	}
	in.Observation.Front = pair.ServiceSeen{Answer: pair.ServicePassed, At: w.now}
	if !w.served() {
		in.Observation.Front.Answer = pair.ServiceFailed
	}
	if read || len(w.rec.Admin) > 0 || len(w.open) > 0 {
		in.Observation.Balancers = []pair.BalancerSeen{w.balancer()}
	}
	return in
}

func (w *world) balancer() pair.BalancerSeen {
	b := pair.BalancerSeen{Name: "ilb", At: w.now}
	for _, pool := range w.def.LoadBalancers[0].Pools {
		p := pair.PoolSeen{Name: pool}
		for _, r := range pair.Roles {
			p.Members = append(p.Members, pair.MemberSeen{Name: r.String(), Address: w.def.Units.Of(r).Address, Admin: w.admin[pool+r.String()]})
		}
		b.Pools = append(b.Pools, p)
	}
	for k, r := range pair.Roles {
		h := pair.HealthSeen{Rule: "check", Address: w.def.Units.Of(r).Address, Up: w.seen[k], Reason: "Up_Probe_Success"}
		switch w.admin["one"+r.String()] {
		case pair.AdminUp:
			h.Up, h.Reason = true, "Up_Admin"
		case pair.AdminDown:
			h.Up, h.Reason = false, "Down_Admin"
		default:
			if !h.Up {
				h.Reason = "Down_Probe_HttpStatusCodeError"
			}
		}
		b.Health = append(b.Health, h)
	}
	return b
}

// pass looks, decides with what the job wants, and takes the decision's intents on.
func (w *world) pass() time.Duration {
	w.turns++
	decide := func(read bool) pair.Input {
		in := w.look(read)
		if in.Record.Job.Running() {
			in.Proposal = w.jobs.Propose(&in)
			w.sane(&in)
		}
		w.last = pair.Decide(&in)
		return in
	}
	in := decide(false)
	if w.last.ReadBalancers && len(in.Observation.Balancers) == 0 {
		decide(true)
	}
	was := w.rec.Job
	w.rec = w.last.Record
	if j := w.rec.Job; j != nil && (was == nil || j.State != was.State || j.Step != was.Step || j.Why != was.Why) {
		w.note("row %s: job %s, step %d %s", w.last.Row, j.State, j.Step, j.Why)
	}
	for _, i := range w.last.Intents {
		i.State = pair.IntentBegun
		w.open = append(slices.DeleteFunc(w.open, func(o work) bool { return i.Pool != "" && o.Same(i) }), work{i, w.now.Add(w.takes)})
	}
	return time.Duration(w.last.Next)
}

// sane holds a proposal to the promises that every one of them keeps.
func (w *world) sane(in *pair.Input) {
	p := in.Proposal
	if p == nil {
		w.fatalf("no proposal for %+v", in.Record.Job)
	}
	for _, i := range p.Intents {
		target := i.Unit.Other()
		if i.Kind == pair.IntentDrain && w.unit(target).check(w.now) != pair.CheckServing && !(w.admin[i.Pool+target.String()] == pair.AdminUp && w.unit(target).forwards(w.now)) {
			w.fatalf("%s is wanted, and %s neither is Up and proved nor answers 200", i, target)
		}
		if len(p.Release) > 0 || p.Yield {
			w.fatalf("%s is wanted beside a release or a yield", i)
		}
	}
}

// play lets the job run to its end, and the world settle after it.
func (w *world) play() *pair.Job {
	w.t.Helper()
	next := w.now
	for deadline := w.now.Add(6 * time.Hour); w.rec.Job.Running(); {
		if w.now.After(deadline) {
			w.fatalf("the job has no end: %+v", w.rec.Job)
		}
		w.second()
		if w.approves && w.rec.Job.State == pair.JobAsks && w.rec.Job.Said == nil && w.now.Second()%20 == 0 {
			w.say(pair.JobApprove)
		}
		if w.now.Before(next) || w.now.Before(w.dead) {
			continue
		}
		after := w.pass()
		if after == 0 {
			after = 15 * time.Second
		}
		next = w.now.Add(after)
	}
	end := w.rec.Job
	for range 400 {
		w.second()
		if w.now.Second()%5 == 0 && !w.now.Before(w.dead) {
			w.pass()
		}
	}
	if len(w.rec.Admin) > 0 {
		w.fatalf("admin states of the job stand after its end: %+v", w.rec.Admin)
	}
	for at, a := range w.admin {
		if a != pair.AdminNone {
			w.fatalf("%s is %s after the end", at, a)
		}
	}
	return end
}

// endState is what must be the same after a disturbance as without it.
func (w *world) endState() string {
	var out strings.Builder
	for _, u := range w.units {
		fmt.Fprintf(&out, "%s %s %s works as %s; ", u.role, u.state, u.prefer, u.works)
	}
	fmt.Fprintf(&out, "job %s", w.rec.Job.State)
	return out.String()
}

func source(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 7)) }
