package faults

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"tandem/internal/pair"
)

// The times of Resource Manager, as those of the lab's.
const (
	asyncDelay  = 3 * time.Second
	effectDelay = time.Second
	healthDelay = 2 * time.Second
	actionDelay = 20 * time.Second
)

// document is what a load balancer holds. One that was given away is never
// changed.
type document struct {
	admin [][]pair.AdminState // by pool and member
	ours  [][]bool            // whether the program wrote it
	tags  map[string]string
}

func (d *document) clone() *document {
	c := &document{tags: maps.Clone(d.tags)}
	for n := range d.admin {
		c.admin = append(c.admin, slices.Clone(d.admin[n]))
		c.ours = append(c.ours, slices.Clone(d.ours[n]))
	}
	return c
}

// pool is a backend pool; its members never change, only their addresses.
type pool struct {
	name    string
	members []*appliance
}

// balancer is a load balancer: what was written, what reads show of it, and
// what the traffic follows.
type balancer struct {
	id      pair.ResourceID
	name    string
	pools   []pool
	doc     *document
	shown   *document // what reads show, where it is not doc; nil otherwise
	carried *document // what the traffic follows
	etag    int
	seenTag int // the ETag that reads show with shown
	running *operation
	version int // of the document that the traffic shall follow
	applied int // and of the one that it follows
	probers []*prober
}

// prober is the load balancer's probe of one appliance.
type prober struct {
	target    *appliance
	port      int
	interval  time.Duration
	threshold int
	next      time.Time
	verdict   pair.CheckAnswer // CheckUnknown, CheckServing or CheckIdle for down
	streak    int
	last      pair.CheckAnswer
}

func (b *balancer) find(name string, a *appliance) (p, m int, ok bool) {
	for p := range b.pools {
		if b.pools[p].name == name {
			m := slices.Index(b.pools[p].members, a)
			return p, m, m >= 0
		}
	}
	return 0, 0, false
}

// probe lets the load balancer probe who is due.
func (b *balancer) probe(w *world, now time.Time) {
	for _, p := range b.probers {
		if now.Before(p.next) {
			continue
		}
		p.next = p.next.Add(p.interval)
		if p.next.Before(now) {
			p.next = now.Add(p.interval)
		}
		if p.target.power != pair.PowerRunning {
			p.verdict, p.streak = pair.CheckUnknown, 0
			continue
		}
		p.last = pair.CheckSilent
		if !p.target.ailments.blockedProbe {
			p.last = p.target.poll(now, p.port, "probe")
		}
		p.note(p.last == pair.CheckServing)
	}
}

func (p *prober) note(ok bool) {
	if p.verdict != pair.CheckUnknown && ok == (p.verdict == pair.CheckServing) {
		p.streak = 0
		return
	}
	needed := 1
	if p.verdict != pair.CheckUnknown {
		needed = p.threshold
	}
	if p.streak++; p.streak < needed {
		return
	}
	p.streak, p.verdict = 0, pair.CheckIdle
	if ok {
		p.verdict = pair.CheckServing
	}
}

// health is the load balancer's view of an appliance, in the platform's words.
func (b *balancer) health(a *appliance) (up bool, reason string) {
	for _, p := range b.probers {
		if p.target != a {
			continue
		}
		admin := b.carriedAdmin(a)
		switch {
		case a.power != pair.PowerRunning:
			return false, ""
		case admin == pair.AdminUp:
			return true, "Up_Admin"
		case admin == pair.AdminDown:
			return false, "Down_Admin"
		case p.verdict == pair.CheckUnknown:
			return false, "NA"
		case p.verdict == pair.CheckServing && p.streak > 0:
			return true, "Up_Probe_ApproachingUnhealthyThreshold"
		case p.verdict == pair.CheckServing:
			return true, "Up_Probe_Success"
		case p.streak > 0:
			return false, "Down_Probe_ApproachingHealthyThreshold"
		case p.last == pair.CheckIdle:
			return false, "Down_Probe_HttpStatusCodeError"
		default:
			return false, "Down_Probe_HttpEndpointUnreachable"
		}
	}
	return false, ""
}

func (b *balancer) carriedAdmin(a *appliance) pair.AdminState {
	for p := range b.pools {
		if m := slices.Index(b.pools[p].members, a); m >= 0 {
			return b.carried.admin[p][m]
		}
	}
	return pair.AdminUnknown
}

// operation is a long operation of the platform.
type operation struct {
	token string
	over  bool
	err   error // where it ended otherwise than well
}

func (o *operation) end(err error) {
	if o != nil && !o.over {
		o.over, o.err = true, err
	}
}

// faultKind is what goes wrong with a request to Resource Manager.
type faultKind uint8

const (
	noFault     faultKind = iota
	answers429            // nothing is done
	cuts                  // nothing is done and nobody knows
	takesLate             // it succeeds at once and takes effect late
	hasNoEffect           // it succeeds and the traffic never follows
	endsFailed            // it is accepted and ends Failed
	overtakes             // somebody edits the load balancer right before it
	noRoom                // starts of VMs end with AllocationFailed
)

// request is what is asked of Resource Manager.
type request uint8

const (
	reads  request = iota
	writes         // of a load balancer
	starts         // of a VM
	acts           // other actions on a VM
)

type managerFault struct {
	kind  faultKind
	count int // how many requests; negative is any number
	until time.Time
	delay time.Duration // Retry-After, or how late
}

func (f *managerFault) meets(r request) bool {
	switch f.kind {
	case answers429, cuts:
		return true
	case noRoom:
		return r == starts
	default:
		return r == writes
	}
}

// manager is what is wrong with Resource Manager.
type manager struct {
	faults     []*managerFault
	operations map[string]*operation
	tokens     int
}

func (m *manager) inject(f managerFault) {
	if f.count == 0 && f.until.IsZero() {
		f.count = 1
	} else if f.count == 0 {
		f.count = -1
	}
	m.faults = append(m.faults, &f)
}

func (m *manager) endFaults(kind faultKind) {
	m.faults = slices.DeleteFunc(m.faults, func(f *managerFault) bool { return f.kind == kind })
}

// meet uses up the fault that is in the way of a request.
func (m *manager) meet(now time.Time, r request) managerFault {
	m.faults = slices.DeleteFunc(m.faults, func(f *managerFault) bool { return !f.until.IsZero() && !now.Before(f.until) })
	for n, f := range m.faults {
		if !f.meets(r) {
			continue
		}
		got := *f
		if got.kind == answers429 && got.delay == 0 && !f.until.IsZero() {
			got.delay = f.until.Sub(now)
		}
		if f.count--; f.count == 0 {
			m.faults = slices.Delete(m.faults, n, n+1)
		}
		return got
	}
	return managerFault{}
}

// secretToken marks what of a resume token nobody else may see.
const secretToken = "sig-of-an-operation"

func (m *manager) begin() *operation {
	m.tokens++
	o := &operation{token: fmt.Sprintf("operation-%d-%s", m.tokens, secretToken)}
	m.operations[o.token] = o
	return o
}

// how is how a write of a load balancer goes.
type how struct {
	fault    managerFault
	tagsOnly bool
}

// write keeps another document of a load balancer, as Resource Manager does: it
// reads so at once, the traffic follows later, and a write that runs is
// superseded. w.mu is held.
func (w *world) write(b *balancer, d *document, h how) *operation {
	now := time.Now()
	before, beforeTag := b.visible()
	b.doc, b.shown = d, nil
	b.etag++
	op := w.manager.begin()
	late := h.fault.kind == takesLate
	if hides := w.options["late-write-shows"] == "old"; hides && (late || h.fault.kind == hasNoEffect) {
		b.shown, b.seenTag = before, beforeTag
		if h.fault.kind == hasNoEffect {
			b.seenTag = b.etag
		}
	}
	moves := h.fault.kind != hasNoEffect && (!h.tagsOnly || b.running != nil)
	if moves {
		b.version++
	}
	if b.running != nil {
		b.running.end(pair.ErrSuperseded)
	}
	b.running = op
	finish := func(err error) {
		op.end(err)
		if b.running == op {
			b.running = nil
		}
	}
	delay := asyncDelay + effectDelay
	switch {
	case h.fault.kind == endsFailed:
		w.later(now.Add(asyncDelay), func() { finish(pair.ErrUnknownOutcome) })
	case late:
		finish(nil)
		delay = h.fault.delay
	case h.tagsOnly:
		finish(nil)
	default:
		w.later(now.Add(asyncDelay), func() { finish(nil) })
	}
	version := b.version
	w.later(now.Add(delay), func() {
		if late && b.doc == d {
			b.shown = nil
		}
		if moves && op.over && op.err == nil && version > b.applied {
			b.applied, b.carried = version, d
			w.check.inForce(b)
		}
	})
	w.check.written(b)
	return op
}

// visible is what a read shows.
func (b *balancer) visible() (*document, int) {
	if b.shown != nil {
		return b.shown, b.seenTag
	}
	return b.doc, b.etag
}

// rival is somebody who edits a load balancer: nothing that we care about
// changes but its version. w.mu is held.
func (w *world) rival(b *balancer) { w.write(b, b.doc.clone(), how{}) }

// act starts an action on a VM. w.mu is held.
func (w *world) act(a *appliance, action string, fault managerFault, person bool) (*operation, error) {
	now := time.Now()
	if action == "restart" && a.power != pair.PowerRunning {
		return nil, pair.ErrRefused
	}
	op := w.manager.begin()
	a.action.end(pair.ErrSuperseded)
	a.action = op
	ends := func(delay time.Duration, do func()) {
		w.later(now.Add(delay), func() {
			if op.over {
				return
			}
			a.changed = time.Now()
			do()
			op.end(nil)
		})
	}
	switch {
	case action == "start" && fault.kind == noRoom:
		w.later(now.Add(actionDelay), func() { op.end(&pair.Waiting{Err: pair.ErrRefused, After: 10 * time.Minute}) })
	case action == "start" && a.power == pair.PowerRunning, action == "deallocate" && a.power == pair.PowerDeallocated:
		ends(asyncDelay, func() { w.actionEvent(a, action, person) })
	case action == "start":
		a.power = pair.PowerStarting
		ends(actionDelay, func() {
			if a.power == pair.PowerStarting {
				w.moved(a, action)
			}
			w.actionEvent(a, action, person)
		})
	case action == "restart":
		w.moved(a, action)
		ends(actionDelay, func() {
			w.status(a, pair.EvidenceAvailable)
			w.actionEvent(a, action, person)
		})
	default:
		a.power, a.byHuman = pair.PowerDeallocating, person
		w.stopped(a)
		ends(actionDelay, func() {
			if a.power == pair.PowerDeallocating {
				a.power = pair.PowerDeallocated
			}
			w.actionEvent(a, action, person)
		})
	}
	return op, nil
}

// moved is the end of a VM's move to power. w.mu is held.
func (w *world) moved(a *appliance, action string) {
	now := time.Now()
	if action == "restart" {
		a.powerOff()
		a.powerOn(now)
		w.status(a, pair.EvidenceUnavailable)
		w.tell(a, pair.Evidence{Kind: pair.EvidenceStarted, ByPerson: true, Detail: "VirtualMachineRebootInitiatedByControlPlane"})
		return
	}
	a.power, a.byHuman = pair.PowerRunning, false
	a.powerOn(now)
	w.status(a, pair.EvidenceAvailable)
}

func (w *world) stopped(a *appliance) {
	a.powerOff()
	w.status(a, pair.EvidenceUnavailable)
}
