package faults

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"time"

	"tandem/internal/lab"
	"tandem/internal/pair"
)

const (
	// evidenceFor is how old the answer of the other unit may be when a Down
	// leaves (promise 2).
	evidenceFor = 5 * time.Second
	// passWithin is how long the next pass may take to have looked, decided and
	// written, when nothing is in its way: 15 s to the next sweep, 5 s for an API
	// that is silent, 2 s for rule health, the requests, and some room.
	passWithin = 45 * time.Second
	// troubleFor is how much longer it may take after something was in the way:
	// the longest wait after an attempt that failed is two minutes, and a lease
	// that nobody gives back ends earlier.
	troubleFor = 2*time.Minute + 15*time.Second
	// aloneWithin is how long a process that knows of an admin state of ours may
	// take to bring it back without the store, when nothing else is in its way:
	// 15 s to the next sweep, 20 s for a pass that began before and 20 s for its
	// own, and the write.
	aloneWithin = 75 * time.Second
	// leaseSkew is how much longer than it says a lease is honoured.
	leaseSkew = 5 * time.Second
	// clockTroubleFor is the same after a clock stepped: a lease may reach six
	// minutes ahead before it binds nobody.
	clockTroubleFor = 7 * time.Minute
	// standFor is how long what is not a lever proof may stand without being
	// renewed, proofFor a proof.
	standFor = 2 * time.Minute
	proofFor = 5 * time.Minute
	// approvedFor is how long after a person's approval its writes may come:
	// ten minutes to the decision, and attempts that wait longer each time.
	approvedFor = 25 * time.Minute
)

// violation is a broken promise.
type violation struct {
	promise string
	rule    string // of the promise, the same for all its violations
	step    int    // of the story, from 1
	at      time.Duration
	what    string
}

func (v *violation) String() string {
	return fmt.Sprintf("%s\nat step %d, %v: %s", v.promise, v.step, v.at, v.what)
}

// The promises of DESIGN section 10 that are looked for.
const (
	promiseEpoch    = "promise 1: at most one unit is authorised per epoch, epochs never fall, no older write lands on a newer one"
	promiseEvidence = "promise 2: no fence without fresh evidence, released by the next pass, never both, never past its time"
	promiseStance   = "promise 3: nothing is done without leave, but taking back what is ours"
	promiseCrash    = "promise 5: a crash after any effect loses nothing"
	promiseSecret   = "promise 9: no secret is stored or logged"
	promiseJournal  = "promise 10: any decision can be computed again from the journal, byte for byte"
	promiseConverge = "promise 11: when faults stop, the pair converges"
	promiseLever    = "levers and guards (DESIGN section 5)"
	rulePanic       = "the program does not panic"
	ruleLab         = "nothing happens that the lab counts as a failure"
)

// write is something that the program is about to do to the outside.
type write struct {
	kind     string // admin, tag, prefer, start, restart, reboot, configure
	balancer pair.ResourceID
	pool     string
	address  netip.Addr
	vm       pair.ResourceID
	want     pair.AdminState
	name     string // of a tag
	tag      string
	prefer   pair.Preference
	lever    string // what it is for, by the intent that is open
	job      string // the job that wants it, empty for none
	epoch    uint64
	began    time.Time // the last look before it
	stale    bool      // the pair was another pass's before the last look
}

// harmless is what is allowed always.
func (n write) harmless() bool {
	return n.kind == "admin" && n.want == pair.AdminNone || n.kind == "tag" && n.tag == ""
}

func (n write) String() string {
	return fmt.Sprintf("%s %s%s %s%s%s %s epoch %d", n.kind, n.want, n.prefer, n.pool, n.address, n.vm.Name(), n.tag, n.epoch)
}

// checker looks at the world's truth and at what was stored, and knows nothing
// of how the program decides. The world's lock guards it.
type checker struct {
	world    *world
	thorough bool // computes every decision again, not every fourth
	hasty    bool // computes none again
	told     bool // what was journalled goes to the world's log
	step     int
	found    *violation

	trouble  time.Time // until when something may still be in the way
	troubles time.Time // when something was in the way last
	hindered time.Time // until when something may that is not the store
	expected map[string]*expectation
	epochs   map[string]uint64 // the highest that was stored, by pair
	landed   map[string]uint64 // the epoch of the newest write, by place
	renewed  map[string]time.Time
	entries  map[string][]byte // of the journal, by id
	events   map[string]string
	intents  map[string]int // stored and not closed, by id
	rows     map[string]int // of the decisions
}

// expectation is what a person has said about a pair.
type expectation struct {
	definition pair.Definition
	since      time.Time // of the definition
	paused     *pair.Pause
	pausedAt   time.Time
	stop       *pair.Pause
	stopAt     time.Time
	approved   time.Time
	asked      time.Time           // for the lever proof
	jobs       map[string]struct{} // that a person wants
	consented  map[string]struct{} // jobs of which a person approved the interruption
}

func newChecker(w *world) *checker {
	return &checker{
		world: w, expected: map[string]*expectation{}, epochs: map[string]uint64{}, landed: map[string]uint64{},
		renewed: map[string]time.Time{}, entries: map[string][]byte{}, events: map[string]string{}, intents: map[string]int{}, rows: map[string]int{},
	}
}

func (c *checker) lock() func() {
	c.world.mu.Lock()
	return c.world.mu.Unlock
}

// violated notes the first broken promise. The world's lock is held.
func (c *checker) violated(promise, format string, args ...any) {
	if c.found == nil {
		c.found = &violation{promise: promise, rule: format, step: c.step, at: time.Since(c.world.start), what: fmt.Sprintf(format, args...)}
	}
}

func (c *checker) broken() bool {
	defer c.lock()()
	return c.found != nil
}

func (c *checker) stepped(n int) {
	defer c.lock()()
	c.step = n + 1
}

// troubled notes that something is in the program's way. The world's lock is
// held.
func (c *checker) troubled() {
	c.storeTroubled()
	c.troubledFor(troubleFor)
}

// storeTroubled notes that the store is in its way, which is no excuse for what
// needs none.
func (c *checker) storeTroubled() {
	c.troubles = time.Now()
	c.trouble = later(c.trouble, c.troubles.Add(troubleFor))
}

func (c *checker) troubledFor(d time.Duration) {
	until := time.Now().Add(d)
	c.trouble, c.hindered = later(c.trouble, until), later(c.hindered, until)
}

func (c *checker) expect(name string) *expectation {
	if c.expected[name] == nil {
		c.expected[name] = &expectation{jobs: map[string]struct{}{}, consented: map[string]struct{}{}}
	}
	return c.expected[name]
}

func (c *checker) expects(name string, do func(*expectation)) {
	defer c.lock()()
	do(c.expect(name))
}

func (c *checker) expectsAll(do func(*expectation)) {
	defer c.lock()()
	for _, s := range c.world.sites {
		do(c.expect(s.name))
	}
}

func (e *expectation) defined(d pair.Definition) { e.definition, e.since = d, time.Now() }

func (e *expectation) stopped(stop *pair.Pause) { e.stop, e.stopAt = stop, time.Now() }

func (e *expectation) heard(st lab.Step, rec pair.Record) {
	switch st.Do {
	case "pause":
		e.paused, e.pausedAt = rec.Pause, time.Now()
	case "resume":
		e.paused = nil
	case "approve":
		e.approved = time.Now()
	case "prove":
		e.asked = time.Now()
	case "switchover", "set-up":
		e.jobs[rec.Job.ID] = struct{}{}
	case "consent":
		e.consented[rec.Job.ID] = struct{}{}
	}
}

// overBy ends what is over by a clock.
func (e *expectation) overBy(now time.Time) {
	if !e.paused.In(now) {
		e.paused = nil
	}
	if !e.stop.In(now) {
		e.stop = nil
	}
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// A global stop is stored apart from the pairs, so a decision may still miss it;
// before a write it is read afresh.
const (
	storedApart = false
	readAfresh  = true
)

// forbids says what speaks against anything but taking back, at a time and by a
// worker's clock; empty where nothing does.
func (e *expectation) forbids(kind, job string, at time.Time, skew time.Duration, stop bool) string {
	stands := func(p *pair.Pause, since time.Time) bool {
		return p != nil && !at.Before(since) && (p.Until.IsZero() || at.Add(skew).Before(p.Until))
	}
	_, wanted := e.jobs[job]
	switch d := &e.definition; {
	case stop && stands(e.stop, e.stopAt):
		return "everything is stopped"
	case stands(e.paused, e.pausedAt):
		return "the pair is paused"
	case kind == "prove" && !e.asked.IsZero():
		return "" // a person asked for it
	case kind == "prove":
		return "nobody asked for the lever proof"
	case wanted, at.Before(e.since):
		return "" // a person's job, or what was in force before
	case d.Mode == pair.Observe:
		return "the mode is observe"
	case consentOf(&d.Failover, kind) == pair.Never:
		return "the policy says never"
	case (d.Mode != pair.Auto || consentOf(&d.Failover, kind) == pair.Ask) && at.Sub(e.approved) > approvedFor:
		return "nobody approved it"
	default:
		return ""
	}
}

func consentOf(f *pair.Failover, kind string) pair.Consent {
	switch kind {
	case "fence":
		return f.Fence
	case "up":
		return f.Up
	case "start":
		return f.Start
	case "restart":
		return f.Restart
	default:
		return pair.Allowed
	}
}

// kinds names intents as consentOf knows them; the others are always allowed.
var kinds = map[pair.IntentKind]string{
	pair.IntentFence: "fence", pair.IntentUp: "up", pair.IntentStart: "start", pair.IntentRestart: "restart",
	pair.IntentPrefer: "prefer", pair.IntentProve: "prove", pair.IntentMove: "move", pair.IntentSetUp: "set-up",
	pair.IntentRaise: "raise", pair.IntentDrain: "drain", pair.IntentReboot: "reboot", pair.IntentConfigure: "configure",
}

// stored looks at every state of a pair that was stored.
func (c *checker) stored(_, now pair.Snapshot) {
	defer c.lock()()
	name := now.Definition.Name
	if now.Record.Epoch < c.epochs[name] {
		c.violated(promiseEpoch, "the epoch of %s fell from %d to %d", name, c.epochs[name], now.Record.Epoch)
	}
	c.epochs[name] = max(c.epochs[name], now.Record.Epoch)
}

// committed looks at a change that a pass stored.
func (c *checker) committed(p *process, was pair.Snapshot, ch pair.Change) {
	defer c.lock()()
	name, now := was.Definition.Name, time.Now()
	if j := ch.Record.Job; j != nil && (was.Record.Job == nil || was.Record.Job.ID != j.ID) && now.Sub(c.expect(name).approved) <= approvedFor {
		c.expect(name).jobs[j.ID] = struct{}{} // the plan that a person approved
	}
	for _, i := range ch.PutIntents {
		isNew := !slices.ContainsFunc(was.Intents, func(o pair.Intent) bool { return o.ID == i.ID })
		kind, weighty := kinds[i.Kind]
		if isNew {
			c.intents[i.ID]++
		}
		if c.told {
			c.world.log("%s stores %s: %s, %s, attempt %d, not before %v, running %v %s", p.name, i.ID, i, i.State, i.Attempts, i.NotBefore.Sub(c.world.start), i.Token != "", i.LastErr)
		}
		if !isNew || !weighty {
			continue
		}
		c.byItself(p, was.Record.Job, i)
		if why := c.expect(name).forbids(kind, i.Job, now, p.machine.skew, storedApart); why != "" {
			c.violated(promiseStance, "%s decides %s although %s", p.name, i.ID+" "+kind, why)
		}
		if unproved := c.unproved(&was); unproved != "" && kind != "prove" && !c.wants(name, i.Job) && now.Sub(c.expect(name).approved) > approvedFor {
			c.violated(promiseStance, "%s decides %s, the lever is not proved on %s and nobody approved it", p.name, i.ID+" "+kind, unproved)
		}
	}
	for _, h := range ch.Record.Admin {
		same := slices.ContainsFunc(was.Record.Admin, func(o pair.AdminHold) bool {
			return o.Pool == h.Pool && o.Unit == h.Unit && o.Deadline.Equal(h.Deadline)
		})
		if same {
			continue
		}
		c.renewed[name] = now
		g := p.grasp(name)
		old := func(r pair.Role) bool {
			carried := h.Lever == pair.LeverJob && (r == h.Unit || heldUp(ch.Record.Admin, r))
			return !carried && now.Sub(g.serving[r.Index()]) > 2*evidenceFor
		}
		renewal := slices.ContainsFunc(was.Record.Admin, func(o pair.AdminHold) bool {
			return o.Pool == h.Pool && o.Unit == h.Unit && h.Deadline.After(o.Deadline)
		})
		if renewal && h.State == pair.AdminDown && c.world.tables.late == 0 && now.Before(p.machine.frozen) == false && (old(pair.First) || old(pair.Second)) && now.After(c.trouble) {
			c.violated(promiseEvidence, "%s renews the fence of %s, first answered 200 %v ago, second %v", p.name, h.Unit, now.Sub(g.serving[0]), now.Sub(g.serving[1]))
		}
	}
}

// byItself judges what Tandem does to HA set-ups that no person wants: what failed is
// not begun again before somebody has taken note, and nothing is rebooted for it.
func (c *checker) byItself(p *process, was *pair.Job, i pair.Intent) {
	switch {
	case was == nil:
	case i.Kind == pair.IntentSetUp && i.By == pair.OwnerTandem && was.State == pair.JobFailed && !was.Acknowledged:
		c.violated(promiseLever, "%s begins to set up HA by itself after %s failed, of which nobody took note", p.name, was.ID)
	case i.Kind == pair.IntentReboot && was.Kind == "configure" && was.By == pair.OwnerTandem:
		c.violated(promiseLever, "%s reboots %s for a set-up that no person wants", p.name, i.Unit)
	}
}

// wants reports whether a person wants a job of a pair.
func (c *checker) wants(name, job string) bool {
	_, is := c.expect(name).jobs[job]
	return is
}

// heldUp reports whether a unit is among those that we hold Up.
func heldUp(holds []pair.AdminHold, r pair.Role) bool {
	return slices.ContainsFunc(holds, func(h pair.AdminHold) bool { return h.Unit == r && h.State == pair.AdminUp })
}

// asked notes what a check port answered to a process. The world's lock is held.
func (c *checker) asked(p *process, address netip.Addr, answer pair.CheckAnswer) {
	for _, s := range c.world.sites {
		for _, r := range pair.Roles {
			if s.original.Units.Of(r).Address == address {
				pass := &p.grasp(s.name).pass
				pass.looked = true
				pass.silent[r.Index()] = pass.silent[r.Index()] || answer != pair.CheckServing
			}
		}
	}
}

// begins is the beginning of a pass, and the end of the one before it in the same
// process: what that one had to take back must be on its way by now (promise 2,
// the next pass releases). With two workers the other one may have been at it.
//
// A pass that finds the pair changed reads it again; that is no new one.
func (c *checker) begins(ctx context.Context, p *process, snap pair.Snapshot) {
	defer c.lock()()
	call := ctx.Value(invocation{})
	if call == p.grasp(snap.Definition.Name).pass.call {
		return
	}
	name, now := snap.Definition.Name, time.Now()
	was := p.grasp(name).pass
	p.grasp(name).pass = onePass{call: call, began: now, snap: snap}
	if !was.looked || len(c.world.machines) > 1 || !c.troubles.Before(was.began) {
		return
	}
	if was.snap.Record.Lease.HeldByOther(p.name, was.began.Add(p.machine.skew), leaseSkew) {
		return // a process that died has left it, and it ends soon
	}
	for _, h := range was.snap.Record.Admin {
		why := c.mustGo(p, &was, h)
		stands := slices.ContainsFunc(snap.Record.Admin, func(o pair.AdminHold) bool {
			return o.LoadBalancer == h.LoadBalancer && o.Pool == h.Pool && o.Unit == h.Unit && o.Since.Equal(h.Since)
		})
		leaving := slices.ContainsFunc(snap.Intents, func(i pair.Intent) bool {
			return i.Kind == pair.IntentRelease && i.LoadBalancer == h.LoadBalancer && i.Pool == h.Pool && i.Unit == h.Unit
		})
		if why != "" && stands && !leaving {
			c.violated(promiseEvidence, "%s is still %s after a pass of %s, although %s", h.Unit, h.State, p.name, why)
		}
	}
}

// mustGo says why an admin state of ours had to be taken back by a pass; empty
// where it had not.
func (c *checker) mustGo(p *process, pass *onePass, h pair.AdminHold) string {
	d, clock := &pass.snap.Definition, pass.began.Add(p.machine.skew)
	switch {
	case !h.Landed:
		return "" // it may be on its way, and is looked at first
	case h.Deadline.Before(clock):
		return "it had expired"
	case pass.snap.Record.Pause.In(clock):
		return "the pair was paused"
	case h.Lever == pair.LeverJob && c.wants(d.Name, jobID(&pass.snap)):
		// A person's job is leave enough in every mode.
	case h.Lever != pair.LeverProve && d.Mode == pair.Observe:
		return "the mode was observe"
	}
	switch {
	case h.State == pair.AdminDown && pass.silent[h.Unit.Other().Index()] && !heldUp(pass.snap.Record.Admin, h.Unit.Other()):
		return "the other unit had not answered 200"
	default:
		return ""
	}
}

// jobID is the id of the pair's job, empty for none.
func jobID(snap *pair.Snapshot) string {
	if snap.Record.Job == nil {
		return ""
	}
	return snap.Record.Job.ID
}

// unproved names a pool on which the lever is not proved although the mode is
// auto.
func (c *checker) unproved(was *pair.Snapshot) string {
	for _, lb := range was.Definition.LoadBalancers {
		for _, p := range lb.Pools {
			if !slices.ContainsFunc(was.Record.Proofs, func(l pair.LeverProof) bool { return l.Back && l.LoadBalancer == lb.Name && l.Pool == p }) {
				return lb.Name + "/" + p
			}
		}
	}
	return ""
}

// epochOf is the epoch of the newest open intent that a write is about.
func (c *checker) epochOf(n write) (epoch uint64) {
	for _, s := range c.world.sites {
		snap, err := c.world.vault.Load(context.Background(), s.name)
		if err != nil {
			continue
		}
		for _, i := range snap.Intents {
			if i.Pool == n.pool && i.Want == n.want && snap.Definition.Units.Of(i.Unit).Address == n.address {
				epoch = max(epoch, i.Epoch)
			}
		}
	}
	return epoch
}

// about is the unit that a write is about, and its partner.
func (c *checker) about(n write) (target, partner *appliance) {
	for _, a := range c.world.units {
		if n.address.IsValid() && a.address == n.address || n.vm != "" && a.vm == n.vm || n.name != "" && n.name == pair.TagPrefix+a.site.name {
			return a, a.site.units[a.role.Other().Index()]
		}
	}
	return nil, nil
}

// before notes how things stand before the last look.
func (c *checker) before(p *process, n *write) {
	n.began = time.Now()
	defer c.lock()()
	target, _ := c.about(*n)
	if target == nil || n.harmless() {
		return
	}
	snap, err := c.world.vault.Load(context.Background(), target.site.name)
	g := p.grasp(target.site.name)
	n.stale = err != nil || snap.Record.Lease.Generation != g.generation || snap.Record.Epoch != g.epoch
}

// leaves looks at a write that is about to leave: nothing is asked any more.
func (c *checker) leaves(p *process, n write) {
	defer c.lock()()
	target, partner := c.about(n)
	now, w := time.Now(), c.world
	if n.began.IsZero() {
		n.began = now
	}
	if target == nil || n.harmless() {
		return
	}
	e, g := c.expect(target.site.name), p.grasp(target.site.name)
	if n.stale {
		c.violated(promiseEpoch, "%s sends %s although the pair was another pass's before its last look", p.name, n)
	}
	if w.tables.down {
		c.violated(promiseStance, "%s sends %s although the store cannot be reached", p.name, n)
	}
	if n.lever, n.job = c.leverOf(target, n); n.lever != "" {
		if why := e.forbids(n.lever, n.job, n.began, p.machine.skew, readAfresh); why != "" {
			c.violated(promiseStance, "%s sends %s although %s", p.name, n, why)
		}
		if why := c.blind(p, n.began); why != "" {
			c.violated(promiseStance, "%s sends %s although %s", p.name, n, why)
		}
	}
	c.levers(p, n, target, partner)
	switch {
	case n.kind == "admin" && n.want == pair.AdminDown:
		if age := now.Sub(g.serving[partner.role.Index()]); age > evidenceFor && !(n.lever == "drain" && w.balancer(n.balancer).carries(partner)) {
			c.violated(promiseEvidence, "%s sends %s, and %s answered 200 to it %v ago", p.name, n, partner.key, age)
		}
	case n.kind == "restart":
		if age := now.Sub(g.serving[partner.role.Index()]); age > evidenceFor {
			c.violated(promiseLever, "%s restarts %s, and its partner answered 200 to it %v ago", p.name, target.key, age)
		}
	case n.kind == "start" && target.byHuman && now.Sub(e.approved) > approvedFor && (target.power == pair.PowerDeallocated || target.power == pair.PowerStopped):
		c.violated(promiseLever, "%s starts %s, which a person stopped", p.name, target.key)
	}
}

// leverOf is what a write is for and which job wants it, by the intents that are
// open.
func (c *checker) leverOf(target *appliance, n write) (kind, job string) {
	if n.kind == "tag" {
		return "", "" // its admin state is looked at
	}
	snap, err := c.world.vault.Load(context.Background(), target.site.name)
	if err != nil {
		return "", ""
	}
	for _, i := range snap.Intents {
		of := kinds[i.Kind]
		if i.Unit == target.role && (of == n.kind || n.kind == "admin" && i.Pool == n.pool && i.Want == n.want) {
			return of, i.Job
		}
	}
	if n.kind == "admin" {
		return "", ""
	}
	return n.kind, ""
}

// carries reports whether the load balancer was told that an appliance is Up, by
// us, and it forwards what it gets.
func (b *balancer) carries(a *appliance) bool {
	for p := range b.pools {
		if m := slices.Index(b.pools[p].members, a); m >= 0 && b.doc.admin[p][m] == pair.AdminUp && b.doc.ours[p][m] {
			return !a.lately.forwards.has(time.Now(), false, lookedAt)
		}
	}
	return false
}

// blind says why a process must not trust itself, by what happened to it; empty
// where nothing did.
func (c *checker) blind(p *process, at time.Time) string {
	if since := at.Sub(p.stepped); p.jumped.Before(at) && since < 55*time.Second {
		return fmt.Sprintf("its clock stepped %v ago, which it could see for %v", since, at.Sub(p.jumped))
	}
	if n := len(p.faults); n >= 4 {
		last := p.faults[n-1]
		if last.Sub(p.faults[n-4]) < 50*time.Second && at.Sub(last) > time.Second && at.Sub(last) < 55*time.Second {
			return fmt.Sprintf("the store has failed four times, the last %v ago", at.Sub(last))
		}
	}
	return ""
}

// lands looks at a write of an admin state that Resource Manager takes. The
// world's lock is held.
func (c *checker) lands(n write) {
	w := c.world
	b, a := w.balancer(n.balancer), w.atAddr(n.address)
	p, m, _ := b.find(n.pool, a)
	if now := b.doc.admin[p][m]; now != pair.AdminNone && !b.doc.ours[p][m] && now != n.want {
		c.violated(promiseLever, "%s overwrites the admin state %s of %s, which is a person's", n, now, a.key)
	}
	place := string(n.balancer) + n.pool + a.key
	if n.epoch > 0 && n.epoch < c.landed[place] {
		c.violated(promiseEpoch, "%s lands, where epoch %d has written", n, c.landed[place])
	}
	c.landed[place] = max(c.landed[place], n.epoch)
}

// written and inForce look at what a load balancer holds, and at what its
// traffic follows. The world's lock is held.
func (c *checker) written(b *balancer) { c.both(b, b.doc, "written") }
func (c *checker) inForce(b *balancer) { c.both(b, b.carried, "in force") }

func (c *checker) both(b *balancer, d *document, what string) {
	for p := range d.admin {
		if d.admin[p][0] == pair.AdminDown && d.ours[p][0] && d.admin[p][1] == pair.AdminDown && d.ours[p][1] {
			c.violated(promiseEvidence, "both units are Down by our hand in %s/%s, %s", b.name, b.pools[p].name, what)
		}
	}
}

// second looks at what stands, once a second. The world's lock is held.
func (c *checker) second(now time.Time) {
	w := c.world
	latest := now
	for _, m := range w.machines {
		// A worker that has been ahead for longer than it doubts itself ends a
		// pause by its own clock, and knows no better.
		if now.Sub(m.stepped) > time.Minute {
			latest = later(latest, now.Add(m.skew))
		}
	}
	for _, s := range w.sites {
		c.expect(s.name).overBy(latest)
	}
	if w.disturbed() {
		c.troubled()
	}
	if w.tables.ill() {
		c.storeTroubled()
	}
	for _, b := range w.balancers {
		doc, _ := b.visible()
		for p := range b.pools {
			for m, a := range b.pools[p].members {
				if doc.admin[p][m] != pair.AdminNone && doc.ours[p][m] {
					c.stands(now, b, p, m, a)
				}
			}
		}
	}
}

// stands looks at one admin state of ours that stands.
func (c *checker) stands(now time.Time, b *balancer, p, m int, a *appliance) {
	doc, _ := b.visible()
	state, other := doc.admin[p][m], a.site.units[a.role.Other().Index()]
	calm := now.Sub(c.trouble)
	if since := other.unserving; state == pair.AdminDown && !since.IsZero() && !b.carries(other) {
		if f := &other.lately.forwards; doc.admin[p][slices.Index(b.pools[p].members, other)] == pair.AdminUp && !f.is {
			since = later(since, f.since) // until then the other unit carried the traffic
		}
		silent, alone := now.Sub(since), c.aloneFor(now, b, p, a)
		if min(silent, alone) > aloneWithin {
			c.violated(promiseEvidence, "%s is held Down in %s/%s, and %s has not answered 200 for %v; nothing but the store was in the way for %v of every process, which knew of it",
				a.key, b.name, b.pools[p].name, other.key, silent, alone)
		}
		if min(silent, calm) > passWithin {
			c.violated(promiseEvidence, "%s is held Down in %s/%s, and %s has not answered 200 for %v; nothing was in the way for %v",
				a.key, b.name, b.pools[p].name, other.key, silent, calm)
		}
	}
	most := standFor
	if tag := doc.tags[pair.TagPrefix+a.site.name]; strings.Contains(tag, "(prove)") || tag == "" {
		most = proofFor
	}
	if age := now.Sub(c.renewed[a.site.name]); min(age-most, calm) > passWithin {
		c.violated(promiseEvidence, "%s is %s in %s/%s and was not renewed for %v; nothing was in the way for %v",
			a.key, state, b.name, b.pools[p].name, age, calm)
	} else if alone := c.aloneFor(now, b, p, a); min(age-most, alone) > aloneWithin {
		c.violated(promiseEvidence, "%s is %s in %s/%s and was not renewed for %v; nothing but the store was in the way for %v of every process, which knew of it",
			a.key, state, b.name, b.pools[p].name, age, alone)
	}
}

// aloneFor is for how long every process has known of an admin state of ours that
// the tag calls ours, with nothing but the store in its way.
func (c *checker) aloneFor(now time.Time, b *balancer, p int, a *appliance) time.Duration {
	doc, _ := b.visible()
	tag := doc.tags[pair.TagPrefix+a.site.name]
	if !strings.HasPrefix(tag, a.role.String()+" is "+doc.admin[p][slices.Index(b.pools[p].members, a)].String()+" ") {
		return 0
	}
	alone := now.Sub(c.hindered)
	for _, m := range c.world.machines {
		if m.process == nil {
			return 0
		}
		since, knows := m.process.grasp(a.site.name).known[b.name+"/"+b.pools[p].name+"/"+a.role.String()]
		if !knows {
			return 0
		}
		alone = min(alone, now.Sub(since))
	}
	return alone
}

// disturbed reports whether something is in the program's way now.
func (w *world) disturbed() bool {
	now := time.Now()
	able := false
	for _, m := range w.machines {
		able = able || m.process != nil && !now.Before(m.frozen)
		if m.stepped.Add(clockTroubleFor).After(now) {
			w.check.troubledFor(m.stepped.Add(clockTroubleFor).Sub(now))
		}
		if m.process == nil || now.Before(m.frozen) {
			return true // its messages wait for another worker
		}
	}
	for _, b := range w.balancers {
		if b.shown != nil {
			return true // reads are stale, and what is written on them is refused
		}
	}
	return !able || w.halted || now.Before(w.noSweep)
}

// ill reports whether something is wrong with the tables now.
func (t *tables) ill() bool { return t.down || t.only || t.late > 0 || len(t.fails) > 0 }

// tell writes the line of a decision or of an intent's end.
func (c *checker) tell(post pair.Post) {
	switch post.Type {
	case pair.EntryDecided:
		var d pair.Decided
		_ = json.Unmarshal(post.Body, &d) // it is shown as far as it can be read
		c.world.log("%s decided %s, %d intents: %s", d.Decision.ID, d.Decision.Row, len(d.Decision.Intents), d.Reason)
	case pair.EntryClosed:
		var i pair.Intent
		_ = json.Unmarshal(post.Body, &i) // as above
		c.world.log("%s %s: %s %s", i.ID, i.State, i, i.LastErr)
	default:
		c.world.log("%s %s", post.ID, post.Body)
	}
}

// journalled looks at what was put into the journal.
func (c *checker) journalled(name string, post pair.Post) {
	c.secrets("the journal's entry "+post.ID, post.Body)
	again := c.thorough || !c.hasty && c.world.roll("again", post.ID, 0)%4 == 0
	unlock := c.lock()
	was, known := c.entries[post.ID]
	if known && !bytes.Equal(was, post.Body) {
		c.violated(promiseCrash, "the journal's entry %s was written with two contents:\n%s\n%s", post.ID, was, post.Body)
	}
	c.entries[post.ID] = post.Body
	unlock()
	if known {
		return
	}
	if c.told {
		c.tell(post)
	}
	switch post.Type {
	case pair.EntryDecided:
		unlock = c.lock()
		c.rows[rowOf(post.Body)]++
		unlock()
		if again {
			c.decision(post)
		}
	case pair.EntryClosed:
		var i struct {
			ID string `json:"id"`
		}
		if err := json.Unmarshal(post.Body, &i); err == nil {
			defer c.lock()()
			c.intents[i.ID]--
		}
	}
}

// rowOf finds the row of a stored decision without reading all of it.
func rowOf(body []byte) string {
	_, rest, _ := bytes.Cut(body, []byte(`"row":"`))
	row, _, _ := bytes.Cut(rest, []byte(`"`))
	return string(row)
}

// decision computes a decision again.
func (c *checker) decision(post pair.Post) {
	body, err := storedDecision(post.Body)
	what := ""
	if err == nil {
		what = body.computedAgain()
	}
	defer c.lock()()
	switch {
	case err != nil:
		c.violated(promiseJournal, "the journal's entry %s cannot be read: %v", post.ID, err)
	case what != "":
		c.violated(promiseJournal, "decision %s: %s", post.ID, what)
	}
}

// decidedEntry is a decision as the journal has it: its text, and what it was made
// on.
type decidedEntry struct {
	Decision json.RawMessage `json:"decision"`
	Input    pair.Input      `json:"input"`
	Reason   string          `json:"reason"`
}

func storedDecision(text []byte) (e decidedEntry, err error) {
	err = json.Unmarshal(text, &e)
	return e, err
}

// computedAgain says in what a stored decision differs from the one that its
// stored input gives.
func (e *decidedEntry) computedAgain() string {
	d := pair.Decide(&e.Input)
	got, err := json.Marshal(d)
	switch {
	case err != nil:
		return err.Error()
	case !bytes.Equal(got, e.Decision):
		input, _ := json.Marshal(e.Input) // it was read
		return fmt.Sprintf("computed again it is\n%s\nand was\n%s\nby the input\n%s", got, e.Decision, input)
	case pair.Explain(&e.Input, &d) != e.Reason:
		return fmt.Sprintf("explained again it is\n%s\nand was\n%s", pair.Explain(&e.Input, &d), e.Reason)
	default:
		return ""
	}
}

// published looks at events that the topic takes.
func (c *checker) published(posts []pair.Post) {
	for _, post := range posts {
		c.secrets("the event "+post.ID, post.Body)
		unlock := c.lock()
		if was, known := c.events[post.ID]; known && was != string(post.Body) {
			c.violated(promiseCrash, "event %s came with two contents:\n%s\n%s", post.ID, was, post.Body)
		}
		c.events[post.ID] = string(post.Body)
		unlock()
	}
}

func (c *checker) secrets(where string, text []byte) {
	if bytes.Contains(text, []byte(secretToken)) {
		defer c.lock()()
		c.violated(promiseSecret, "%s holds the token of an operation: %s", where, text)
	}
}

// logged looks at a line of a worker's log.
func (c *checker) logged(p *process, r slog.Record) {
	r.Attrs(func(a slog.Attr) bool {
		text := a.Value.String()
		if strings.Contains(text, secretToken) {
			c.secrets("the log, "+r.Message, []byte(text))
		}
		if strings.Contains(text, "panic: ") {
			defer c.lock()()
			c.violated(rulePanic, "%s: %s", p.name, text)
		}
		return true
	})
}

// unsettled says what is left of a pair that should have converged; empty where
// it has.
func (w *world) unsettled() string {
	for _, s := range w.sites {
		snap, err := w.vault.Load(context.Background(), s.name)
		if err != nil {
			return s.name + " cannot be read: " + err.Error()
		}
		r := snap.Record
		switch {
		case r.Situation != pair.Healthy:
			return fmt.Sprintf("%s is believed %s", s.name, r.Situation)
		case r.Alarm != nil:
			return fmt.Sprintf("%s has the alarm %s since %v", s.name, r.Alarm.Row, r.Alarm.Since.Sub(w.start))
		case r.Job.Running():
			return fmt.Sprintf("%s has the job %s, which %s", s.name, r.Job.Kind, r.Job.State)
		case len(r.Admin)+len(snap.Intents)+len(snap.Outbox) > 0:
			return fmt.Sprintf("%s has %d admin states, %d intents and %d posts", s.name, len(r.Admin), len(snap.Intents), len(snap.Outbox))
		case r.Lease.Owner != "":
			return fmt.Sprintf("%s is leased to %s", s.name, r.Lease.Owner)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, b := range w.balancers {
		doc, _ := b.visible()
		for p := range b.pools {
			for m, a := range b.pools[p].members {
				if doc.admin[p][m] != pair.AdminNone || b.carried.admin[p][m] != pair.AdminNone {
					return fmt.Sprintf("%s is %s in %s/%s, and %s for the traffic", a.key, doc.admin[p][m], b.name, b.pools[p].name, b.carried.admin[p][m])
				}
			}
		}
		for name := range doc.tags {
			return fmt.Sprintf("%s has the tag %s", b.name, name)
		}
	}
	return ""
}

// ended looks at how a story ended in which all faults were healed.
func (c *checker) ended() {
	left := c.world.unsettled()
	defer c.lock()()
	if left != "" {
		c.violated(promiseConverge, "%v after the last fault was healed, %s", healedFor, left)
		c.found.rule, _, _ = strings.Cut(left, " since ")
	}
	for id, n := range c.intents {
		if n != 0 {
			c.violated(promiseCrash, "intent %s was stored and not closed once in the journal (%+d)", id, n)
		}
	}
}
