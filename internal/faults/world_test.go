package faults

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"tandem/internal/lab"
	"tandem/internal/manifest"
	"tandem/internal/pair"
)

// tick is how finely the light world's physics go: what its machines do, they do
// once a second. Requests and writes have times of their own.
const tick = time.Second

// phase keeps the ticks apart from everything else that happens at full seconds.
const phase = 137 * time.Microsecond

// firmware is what units run where a story does not say.
const firmware = "7.2.59.0.22007.RELEASE"

// site is one pair of a world.
type site struct {
	name     string
	prefix   string // of its units' keys
	scenario lab.Scenario
	file     []byte         // the pair file of the scenario; nil until it is wanted
	changes  map[string]any // of the pair file, by the operator
	units    [2]*appliance
	original pair.Definition
}

// world is the light one: everything around the program in memory, moved by one
// goroutine. It plays the verbs of the lab's stories.
type world struct {
	scenario lab.Scenario
	options  map[string]string
	seed     uint64
	boot     time.Duration
	start    time.Time
	account  account
	vault    vault // the operator's and the checker's own way, which never fails
	log      func(format string, args ...any)
	effects  *effects // of the kill points; nil elsewhere
	check    *checker
	running  sync.WaitGroup // invocations
	begun    int            // of them, in this second
	over     chan struct{}  // closed when the story ends

	mu        sync.Mutex // guards what follows; never held across a wait
	sites     []*site
	units     []*appliance
	balancers []*balancer
	machines  []*machine
	manager   manager
	tables    tables
	grid      grid
	cuts      map[[2]*appliance]bool // one way
	blocks    map[[2]*appliance]bool // new connections, one way
	due       []action
	halted    bool // the whole function app
	noSweep   time.Time
	failed    []string      // mistakes of the story
	holds     []hold        // writes that will find their worker frozen
	deaths    []death       // of workers, after their next write or events
	idle      []chan func() // to goroutines without work
}

// action is something that happens at a time.
type action struct {
	at time.Time
	n  int
	do func()
}

// hold is a write that finds its worker frozen.
type hold struct {
	machine string
	lasts   time.Duration
}

// death is the end of a worker when a service has taken something from it.
type death struct {
	machine, service string
}

// roll is a number that depends on nothing but the seed and what is asked for.
func (w *world) roll(what, who string, n int64) uint64 {
	h := w.seed*0x9e3779b97f4a7c15 + 0xcbf29ce484222325
	for _, s := range [2]string{what, who} {
		for i := 0; i < len(s); i++ {
			h = (h ^ uint64(s[i])) * 0x100000001b3
		}
	}
	h = (h ^ uint64(n)) * 0x9e3779b97f4a7c15
	h ^= h >> 29
	h *= 0xbf58476d1ce4e5b9
	return h ^ h>>32
}

// definitions holds pair files that were read already: reading one takes as long
// as several steps.
type definitions struct {
	mu  sync.Mutex
	all map[string]pair.Definition
}

var read = &definitions{all: map[string]pair.Definition{}}

// definition reads a pair file with the program's own reader.
func (s *site) definition() (pair.Definition, error) {
	said := maps.Clone(s.scenario.Pair) // with what was changed since, which often is changed back
	if said == nil {
		said = map[string]any{}
	}
	maps.Copy(said, s.changes)
	key := fmt.Sprint(s.name, said) // maps print in order
	read.mu.Lock()
	d, ok := read.all[key]
	read.mu.Unlock()
	if ok {
		return d, nil
	}
	d, err := s.read()
	if err != nil {
		return d, err
	}
	read.mu.Lock()
	defer read.mu.Unlock()
	if len(read.all) > 10_000 {
		clear(read.all)
	}
	read.all[key] = d
	return d, nil
}

// read is definition without a memory of other pair files than the site's first.
func (s *site) read() (d pair.Definition, err error) {
	if s.file == nil {
		if s.file, err = s.scenario.PairFile(nil); err != nil {
			return d, err
		}
	}
	file := s.file
	if len(s.changes) > 0 {
		if file, err = lab.ChangedPairFile(file, s.changes); err != nil {
			return d, err
		}
	}
	all, err := manifest.Read("pair file", bytes.NewReader(file))
	if err != nil {
		return d, err
	}
	return all[0], nil
}

// newWorld builds the world of a story. It must be called in a bubble.
func newWorld(sc lab.Scenario, seed uint64, a account) (*world, error) {
	w := &world{
		scenario: sc, options: sc.Options, seed: seed, boot: sc.Boot, start: time.Now(), account: a, vault: a.handle(time.Now),
		log: func(string, ...any) {}, over: make(chan struct{}),
		cuts: map[[2]*appliance]bool{}, blocks: map[[2]*appliance]bool{},
		manager: manager{operations: map[string]*operation{}},
	}
	w.check = newChecker(w)
	if w.boot == 0 {
		w.boot = bootUsually
	}
	if err := w.addSite("", sc); err != nil {
		return nil, err
	}
	for n := range sc.Neighbours {
		if err := w.addSite(lab.NeighbourPrefix(n+1), sc.Neighbour(n+1)); err != nil {
			return nil, err
		}
	}
	for n := range max(sc.Workers, 1) {
		w.machines = append(w.machines, &machine{world: w, name: "worker-" + strconv.Itoa(n+1), cut: map[*appliance]bool{}})
	}
	return w, nil
}

func (w *world) addSite(prefix string, sc lab.Scenario) error {
	s := &site{prefix: prefix, scenario: sc, changes: map[string]any{}}
	d, err := s.definition()
	if err != nil {
		return fmt.Errorf("read the pair file: %w", err)
	}
	s.name, s.original = d.Name, d
	for _, r := range pair.Roles {
		u := d.Units.Of(r)
		a := &appliance{
			world: w, key: prefix + r.String(), role: r, site: s, name: u.VM, vm: d.VMID(r), address: u.Address, text: u.Address.String(), power: pair.PowerRunning,
			set: settings{
				role: r, partner: d.Units.Of(r.Other()).Address.String(), checkPort: d.HA.CheckPort,
				preferFirst: d.HA.Preferred == pair.PreferFirst, interfaces: d.HA.CheckAllInterfaces,
			},
			firmware: firmware, installed: firmware, health: pair.EvidenceAvailable,
		}
		a.configure(w.start, asText(sc.Configured[a.key]))
		a.powerOn(w.start.Add(-w.boot))
		a.bootedAt = w.start.UTC()
		a.state, a.polled, a.next = pair.Standby, true, w.start.Add(time.Duration(1+w.roll("phase", a.key, 0)%5)*time.Second)
		if sc.Active == r.String() || sc.Active == "" && r == pair.First || prefix != "" && r == pair.First {
			a.state = pair.Active
		}
		if prefix != "" && r == pair.Second {
			a.state = pair.Standby
		}
		if a.now.role == pair.RoleUnknown {
			a.state = pair.NotConfigured
		}
		s.units[r.Index()] = a
		w.units = append(w.units, a)
	}
	w.sites = append(w.sites, s)
	for _, lb := range d.LoadBalancers {
		w.addBalancer(s, d, lb)
	}
	return nil
}

// addBalancer adds what a pair has of a load balancer.
func (w *world) addBalancer(s *site, d pair.Definition, lb pair.LoadBalancer) {
	id := d.LoadBalancerID(lb.Name)
	at := slices.IndexFunc(w.balancers, func(b *balancer) bool { return b.id == id })
	if at < 0 {
		at = len(w.balancers)
		w.balancers = append(w.balancers, &balancer{id: id, name: lb.Name, doc: &document{tags: map[string]string{}}})
	}
	b := w.balancers[at]
	for _, name := range lb.Pools {
		b.pools = append(b.pools, pool{name: name, members: s.units[:]})
		b.doc.admin = append(b.doc.admin, []pair.AdminState{pair.AdminNone, pair.AdminNone})
		b.doc.ours = append(b.doc.ours, []bool{false, false})
	}
	b.carried = b.doc
	for _, a := range s.units {
		b.probers = append(b.probers, &prober{
			target: a, port: d.HA.CheckPort, interval: time.Duration(lb.Probe.Interval), threshold: lb.Probe.Threshold,
			next: w.start.Add(time.Duration(1+w.roll("probe", a.key, 0)%5) * time.Second),
		})
	}
}

func asText(changes map[string]any) map[string]string {
	out := map[string]string{}
	for name, v := range changes {
		out[name] = fmt.Sprint(v)
	}
	return out
}

// at is the appliance with an address.
func (w *world) at(address string) *appliance {
	for _, a := range w.units {
		if a.text == address {
			return a
		}
	}
	return nil
}

func (w *world) atAddr(address netip.Addr) *appliance {
	for _, a := range w.units {
		if a.address == address {
			return a
		}
	}
	return nil
}

func (w *world) unit(key string) *appliance {
	for _, a := range w.units {
		if a.key == key {
			return a
		}
	}
	return nil
}

// linked reports whether a connection from one appliance to another comes about.
func (w *world) linked(from, to *appliance) bool {
	return !w.cuts[[2]*appliance{from, to}] && !w.cuts[[2]*appliance{to, from}] && !w.blocks[[2]*appliance{from, to}]
}

// later lets something happen. w.mu is held, then and now.
func (w *world) later(at time.Time, do func()) {
	w.due = append(w.due, action{at: at, n: len(w.due), do: do})
}

// settle lets happen what is due by now, in its order. w.mu is held.
func (w *world) settle() {
	for len(w.due) > 0 {
		now, first := time.Now(), -1
		for n := range w.due {
			if !w.due[n].at.After(now) && (first < 0 || w.due[n].at.Before(w.due[first].at)) {
				first = n
			}
		}
		if first < 0 {
			return
		}
		do := w.due[first].do
		w.due = slices.Delete(w.due, first, first+1)
		do()
	}
}

// play plays the whole story, and then goes on until the checker has seen what
// it wants to see at the end.
func (w *world) play(ctx context.Context, after time.Duration, settled func() bool) {
	for _, m := range w.machines {
		m.boot()
	}
	w.operate(lab.Step{Do: "define"})
	steps := w.scenario.Steps
	time.Sleep(phase)
	end := w.start.Add(w.scenario.For)
	for n := 0; !w.check.broken(); n++ {
		now := time.Now()
		elapsed := now.Sub(w.start)
		w.mu.Lock()
		w.settle()
		w.physics(now)
		w.check.second(now)
		w.mu.Unlock()
		for len(steps) > 0 && steps[0].At <= elapsed {
			w.check.stepped(len(w.scenario.Steps) - len(steps))
			w.do(steps[0])
			steps = steps[1:]
		}
		w.host(n)
		if len(steps) == 0 && now.After(end) && (settled == nil || settled() || now.After(end.Add(after))) {
			break
		}
		time.Sleep(tick)
	}
	close(w.over)
	w.mu.Lock()
	machines := w.machines
	w.mu.Unlock()
	for _, m := range machines {
		m.kill()
	}
	w.running.Wait()
}

// physics lets the machines live for a moment. w.mu is held.
func (w *world) physics(now time.Time) {
	for _, a := range w.units {
		a.live(now)
	}
	for _, b := range w.balancers {
		b.probe(w, now)
	}
	for _, a := range w.units {
		switch serving := a.answer(now, a.site.original.HA.CheckPort) == pair.CheckServing; {
		case serving:
			a.unserving = time.Time{}
		case a.unserving.IsZero():
			a.unserving = now
		}
		a.lately.note(now, a)
	}
}

// host does what the Functions host does once a second: it fires the timer and
// hands out messages and events.
func (w *world) host(n int) {
	w.begun = 0
	if n%15 == 2 {
		w.sweep()
	}
	if n%2 == 0 {
		for _, m := range w.account.dequeue(30 * time.Second) {
			w.handOut(m)
		}
	}
	w.deliver()
}

// begin makes a call in a goroutine of its own, a little later than the call
// before it, because what begins in one instant goes on in any order. How much
// later is another number each time: calls wait whole seconds for this and that,
// and what began seconds apart would end in one instant.
func (w *world) begin(call func()) {
	w.begun++
	after := time.Duration(w.begun)*1100*time.Microsecond + time.Duration(w.roll("begin", "", time.Now().UnixMicro()+int64(w.begun))%uint64(time.Millisecond))
	w.hand(func() {
		time.Sleep(after)
		call()
	})
}

// hand gives work to a goroutine that has nothing to do, or to a new one. A pass
// needs a deep stack: growing one for each, with all its frames, would take a tenth
// of all time.
func (w *world) hand(work func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if n := len(w.idle); n > 0 {
		w.idle[n-1] <- work
		w.idle = w.idle[:n-1]
		return
	}
	next := make(chan func(), 1)
	w.running.Go(func() {
		for work != nil {
			work()
			work = w.rest(next)
		}
	})
}

// rest waits for more work, nil when there is none any more.
func (w *world) rest(next chan func()) (work func()) {
	w.mu.Lock()
	w.idle = append(w.idle, next)
	w.mu.Unlock()
	select {
	case work = <-next:
	case <-w.over:
		select {
		case work = <-next: // which was given in this very instant
		default:
		}
	}
	return work
}

func (w *world) sweep() {
	w.mu.Lock()
	skip := time.Now().Before(w.noSweep)
	w.mu.Unlock()
	if m := w.able("sweep"); m != nil && !skip {
		w.begin(func() {
			_ = m.invoke(func(ctx context.Context, p *process) error { return p.waker.Sweep(ctx) }) // the next one is the repeat
		})
	}
}

// poisonAfter is how often a message is tried before the host gives it up.
const poisonAfter = 5

// handOut gives a message to a worker. One that failed comes again.
func (w *world) handOut(l letter) {
	m := w.able("message")
	if m == nil {
		return
	}
	w.begin(func() {
		err := m.invoke(func(ctx context.Context, p *process) error { return p.waker.Reconcile(ctx, l.message) })
		if err == nil || l.taken >= poisonAfter {
			w.account.drop(l)
		}
	})
}

// able picks a worker that is neither dead nor frozen, nil where there is none.
func (w *world) able(what string) *machine {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.halted {
		return nil
	}
	now := time.Now()
	var out []*machine
	for _, m := range w.machines {
		if m.process != nil && !now.Before(m.frozen) {
			out = append(out, m)
		}
	}
	switch {
	case len(out) == 0:
		return nil
	case what == "sweep":
		return out[0]
	default:
		return out[w.roll(what, "", now.UnixMicro())%uint64(len(out))]
	}
}

func (w *world) fail(format string, args ...any) {
	w.failed = append(w.failed, fmt.Sprintf(format, args...))
}

// grid is Event Grid: what waits to be delivered, and how.
type grid struct {
	late      time.Duration
	times     int
	lose      bool
	waiting   []event
	delivered []event
	n         int64
}

// event is one fact about a VM, or a resource that was changed.
type event struct {
	at       time.Time // of delivery
	tries    int
	fact     *pair.Evidence
	resource pair.ResourceID
}

// publish hands an event to Event Grid. w.mu is held.
func (w *world) publish(e event) {
	g := &w.grid
	g.n++
	if g.lose {
		return
	}
	e.at = time.Now().Add(2*time.Second + time.Duration(w.roll("grid", "", g.n)%3000)*time.Millisecond + g.late)
	for range max(g.times, 1) {
		g.waiting = append(g.waiting, e)
		e.at = e.at.Add(time.Second)
	}
}

// tell publishes a fact about a VM, as of now. w.mu is held.
func (w *world) tell(a *appliance, fact pair.Evidence) {
	fact.VM, fact.At = a.vm, time.Now().UTC().Truncate(time.Millisecond)
	fact.EventID = "event-" + strconv.FormatInt(w.grid.n, 10)
	w.publish(event{fact: &fact})
}

// status is what Resource Health sees; it tells of changes. w.mu is held.
func (w *world) status(a *appliance, kind pair.EvidenceKind) {
	if a.health != kind {
		a.health = kind
		w.tell(a, pair.Evidence{Kind: kind, Detail: "AvailabilityStatusChanged"})
	}
}

// actionEvent is what Resource Manager tells of an action that succeeded.
func (w *world) actionEvent(a *appliance, action string, person bool) {
	kind := pair.EvidenceStarted
	if action == "deallocate" {
		kind = pair.EvidenceStopped
	}
	w.tell(a, pair.Evidence{Kind: kind, ByPerson: person, Detail: "microsoft.compute/virtualmachines/" + action + "/action"})
}

// retries are Event Grid's waits between its tries.
var retries = []time.Duration{10 * time.Second, 30 * time.Second, time.Minute, 5 * time.Minute, 10 * time.Minute, 30 * time.Minute}

// deliver brings events to the program, each to a worker of its own.
func (w *world) deliver() {
	w.mu.Lock()
	now := time.Now()
	var ready []event
	w.grid.waiting = slices.DeleteFunc(w.grid.waiting, func(e event) bool {
		if e.at.After(now) {
			return false
		}
		ready = append(ready, e)
		return true
	})
	w.mu.Unlock()
	for _, e := range ready {
		w.begin(func() { w.deliverOne(e) })
	}
}

func (w *world) deliverOne(e event) {
	err := context.Canceled
	if m := w.able("event"); m != nil {
		err = m.invoke(func(ctx context.Context, p *process) error {
			if e.fact != nil {
				return p.waker.Evidence(ctx, []pair.Evidence{*e.fact})
			}
			return p.waker.ResourceChanged(ctx, []pair.ResourceChange{{Resource: e.resource}})
		})
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case err == nil:
		if len(w.grid.delivered) < 200 {
			w.grid.delivered = append(w.grid.delivered, e)
		}
	case e.tries < len(retries):
		e.at = time.Now().Add(retries[e.tries])
		e.tries++
		w.grid.waiting = append(w.grid.waiting, e)
	}
}

// describe tells how things are, for the report of a violation.
func (w *world) describe() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	var out strings.Builder
	for _, a := range w.units {
		fmt.Fprintf(&out, "%s %s, power %s, on %v, check port %s, prefers first %v, ailments %+v\n", a.key, a.state, a.power, a.on,
			a.answer(now, a.site.original.HA.CheckPort), a.set.preferFirst, a.ailments)
	}
	for _, b := range w.balancers {
		fmt.Fprintf(&out, "%s written %v ours %v carried %v tags %v\n", b.name, b.doc.admin, b.doc.ours, b.carried.admin, b.doc.tags)
	}
	for _, s := range w.sites {
		snap, err := w.vault.Load(context.Background(), s.name)
		if err != nil {
			fmt.Fprintf(&out, "%s: %v\n", s.name, err)
			continue
		}
		r := snap.Record
		fmt.Fprintf(&out, "%s epoch %d, %s since %s, suspicion %+v, alarm %+v, admin %+v, intents %+v, outbox %d, lease %+v, block %+v, plan %v, pause %+v\n",
			s.name, r.Epoch, r.Situation, r.Since.Sub(w.start), r.Suspicion, r.Alarm, r.Admin, snap.Intents, len(snap.Outbox), r.Lease, r.Block, r.Plan, r.Pause)
	}
	return out.String()
}
