package faults

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"tandem/internal/job"
	"tandem/internal/lab"
	"tandem/internal/pair"
)

// verbs are the lab's, as the light world does them. Each is called with the
// world's lock, but for those of the operator.
var verbs = map[string]func(*world, lab.Step){
	"crash":      each(func(w *world, _ lab.Step, a *appliance) { a.powerOff(); w.status(a, pair.EvidenceUnavailable) }),
	"boot":       each(func(w *world, _ lab.Step, a *appliance) { a.powerOn(time.Now()); w.status(a, pair.EvidenceAvailable) }),
	"deallocate": each(deallocate),
	"start":      each(start),
	"cut":        ways(func(w *world, way [2]*appliance) { w.cuts[way] = true }),
	"heal":       ways(func(w *world, way [2]*appliance) { delete(w.cuts, way) }),

	"block-partner":   ways(func(w *world, way [2]*appliance) { w.blocks[way] = true }),
	"unblock-partner": ways(func(w *world, way [2]*appliance) { delete(w.blocks, way) }),
	"block-probe":     each(func(_ *world, _ lab.Step, a *appliance) { a.ailments.blockedProbe = true }),
	"unblock-probe":   each(func(_ *world, _ lab.Step, a *appliance) { a.ailments.blockedProbe = false }),
	"cut-worker":      each(func(w *world, _ lab.Step, a *appliance) { w.cutWorkers(a, true) }),
	"heal-worker":     each(func(w *world, _ lab.Step, a *appliance) { w.cutWorkers(a, false) }),
	"event-grid":      func(w *world, st lab.Step) { w.grid.late, w.grid.times, w.grid.lose = st.Late, st.Times, st.Lose },

	"flap": each(func(_ *world, st lab.Step, a *appliance) {
		a.ailments.flap, a.ailments.flapsSince = st.Every, time.Now()
	}),
	"calm": each(func(_ *world, _ lab.Step, a *appliance) { a.ailments.flap = 0 }),
	"check-port": each(func(_ *world, st lab.Step, a *appliance) {
		a.ailments.port = strings.TrimSuffix(st.State, "honest")
	}),
	"stop-forwarding":  each(func(_ *world, _ lab.Step, a *appliance) { a.ailments.dead = true }),
	"forward":          each(func(_ *world, _ lab.Step, a *appliance) { a.ailments.dead = false }),
	"application-down": each(func(_ *world, _ lab.Step, a *appliance) { a.ailments.application = true }),
	"application-up":   each(func(_ *world, _ lab.Step, a *appliance) { a.ailments.application = false }),
	"rotate-password":  each(func(_ *world, _ lab.Step, a *appliance) { a.ailments.rotated = true }),
	"restore-password": each(func(_ *world, _ lab.Step, a *appliance) { a.ailments.rotated = false }),
	"new-certificate":  each(func(_ *world, _ lab.Step, a *appliance) { a.ailments.certificate = true }),
	"configure":        each(func(_ *world, st lab.Step, a *appliance) { a.configure(time.Now(), asText(st.Set)) }),
	"reboot":           each(func(_ *world, _ lab.Step, a *appliance) { a.reboot(time.Now()) }),
	"firmware":         each(func(_ *world, st lab.Step, a *appliance) { a.installed = st.State }),
	"stuck-passive":    each(func(_ *world, _ lab.Step, a *appliance) { a.ailments.stuck = true; a.stick() }),
	"stuck-standby": each(func(_ *world, _ lab.Step, a *appliance) {
		if !a.ailments.waits && a.state == pair.Active && a.clustered(time.Now()) && !a.now.preferFirst {
			a.state = pair.Standby
		}
		a.ailments.waits = true
	}),
	"stuck-boot": each(func(_ *world, _ lab.Step, a *appliance) { a.ailments.boots = true }),
	"unstick": each(func(w *world, _ lab.Step, a *appliance) {
		if now := time.Now(); a.ailments.boots && a.on && !a.up(now) {
			a.upAt = now.Add(w.boot)
		}
		a.ailments.stuck, a.ailments.waits, a.ailments.boots = false, false, false
	}),
	"replace-unit": each(func(w *world, _ lab.Step, a *appliance) {
		a.powerOff()
		a.set = settings{checkPort: 8444}
		a.ailments.dead, a.ailments.certificate, a.ailments.rotated = true, true, true // it has no services and no key
		w.status(a, pair.EvidenceUnavailable)
		if a.power == pair.PowerRunning {
			a.powerOn(time.Now())
			w.status(a, pair.EvidenceAvailable)
		}
	}),
	"license-unit":  each(func(_ *world, _ lab.Step, a *appliance) { a.ailments.rotated = false }),
	"hang":          each(func(_ *world, _ lab.Step, a *appliance) { a.powerOff() }),
	"pin":           each(func(_ *world, _ lab.Step, a *appliance) { a.ailments.certificate = false }),
	"refuse-set-up": each(func(_ *world, _ lab.Step, a *appliance) { a.ailments.noSetUp = true }),
	"allow-set-up":  each(func(_ *world, _ lab.Step, a *appliance) { a.ailments.noSetUp = false }),
	"api-silent":    each(func(_ *world, _ lab.Step, a *appliance) { a.ailments.apiSilent = true }),
	"api-answers":   each(func(_ *world, _ lab.Step, a *appliance) { a.ailments.apiSilent = false }),

	"manager-429": func(w *world, st lab.Step) {
		w.manager.inject(managerFault{kind: answers429, count: st.Times, delay: st.Late})
	},
	"manager-throttled": func(w *world, st lab.Step) {
		w.manager.inject(managerFault{kind: answers429, until: time.Now().Add(st.For), delay: st.Late})
	},
	"manager-down": func(w *world, st lab.Step) {
		w.manager.inject(managerFault{kind: cuts, until: time.Now().Add(st.For)})
	},
	"manager-late": managerLate,
	"manager-no-effect": func(w *world, st lab.Step) {
		w.manager.inject(managerFault{kind: hasNoEffect, count: st.Times})
	},
	"manager-fails":    func(w *world, st lab.Step) { w.manager.inject(managerFault{kind: endsFailed, count: st.Times}) },
	"edit-between":     func(w *world, st lab.Step) { w.manager.inject(managerFault{kind: overtakes, count: st.Times}) },
	"allocation-fails": func(w *world, st lab.Step) { w.manager.inject(managerFault{kind: noRoom, count: st.Times}) },
	"redeploy":         redeploy,
	"set-admin":        each(setAdmin),
	"new-address": each(func(w *world, st lab.Step, a *appliance) {
		a.address, a.text = netip.MustParseAddr(st.Address), st.Address // a story is right
		for _, b := range w.balancers {
			w.rival(b)
		}
	}),
	"delete-vm": each(func(w *world, _ lab.Step, a *appliance) {
		a.gone, a.power = true, pair.PowerUnknown
		w.stopped(a)
		w.tell(a, pair.Evidence{Kind: pair.EvidenceDeleted, ByPerson: true, Detail: "microsoft.compute/virtualmachines/delete"})
	}),
	"event-storm":    each(storm),
	"replay-events":  replay,
	"foreign-events": func(*world, lab.Step) {}, // the handlers drop them before the program of this world sees them
	"annotate": each(func(w *world, st lab.Step, a *appliance) {
		kind, known := annotations[strings.TrimPrefix(st.State, "VirtualMachine")]
		if known {
			w.tell(a, pair.Evidence{Kind: kind, ByPerson: kind == pair.EvidenceStopped, Detail: st.State})
		}
	}),

	"kill":              kill,
	"kill-after-write":  func(w *world, st lab.Step) { w.killAfter("manager", st) },
	"kill-after-events": func(w *world, st lab.Step) { w.killAfter("topic", st) },
	"stop-program":      func(w *world, _ lab.Step) { w.stopProgram(true) },
	"start-program":     func(w *world, _ lab.Step) { w.stopProgram(false) },
	"sweep-gap":         func(w *world, st lab.Step) { w.noSweep = time.Now().Add(st.For) },
	"freeze": func(w *world, st lab.Step) {
		if m := w.machine(st); m != nil {
			m.freeze(st.For)
		}
	},
	"freeze-before-write": func(w *world, st lab.Step) {
		for range max(st.Times, 1) {
			w.holds = append(w.holds, hold{st.Unit, st.For})
		}
	},
	"clock": func(w *world, st lab.Step) {
		if m := w.machine(st); m != nil {
			m.skew += st.For
			m.stepped = time.Now()
			w.check.troubled()
		}
	},
	"store-down":     func(w *world, _ lab.Step) { w.tables.down = true },
	"store-readonly": func(w *world, _ lab.Step) { w.tables.only = true },
	"store-up":       func(w *world, _ lab.Step) { w.tables = tables{} },
	"store-slow":     func(w *world, st lab.Step) { w.tables.late = st.Late },
	"store-fails": func(w *world, st lab.Step) {
		for n := range max(st.Times, 1) {
			w.tables.fails = append(w.tables.fails, w.roll("store", "", int64(n)+time.Since(w.start).Milliseconds())%2 == 0)
		}
	},
}

// annotations are those that the program takes for evidence, of which stories
// speak.
var annotations = map[string]pair.EvidenceKind{
	"Restarted": pair.EvidenceStarted, "RebootInitiatedByControlPlane": pair.EvidenceStarted, "RebootInitiatedForPlannedMaintenance": pair.EvidenceStarted,
	"DeallocationInitiated": pair.EvidenceStopped, "StopInitiatedByControlPlane": pair.EvidenceStopped, "StoppedInternally": pair.EvidenceStopped,
	"Crashed": pair.EvidenceUnavailable, "HostCrashed": pair.EvidenceUnavailable, "HostRebootedForRepair": pair.EvidenceUnavailable,
	"MigrationScheduledForDegradedHardware": pair.EvidenceDegraded, "PossiblyDegradedDueToHardwareFailure": pair.EvidenceDegraded,
	"ScheduledForServiceHealing": pair.EvidenceDegraded,
}

// words are the operator's verbs.
var words = []string{
	"define", "apply", "pause", "resume", "approve", "ack", "prove", "remove", "newer-record", "switchover", "set-up", "consent", "cancel",
}

// do lets one step of the story happen.
func (w *world) do(st lab.Step) {
	if st.Do == "" {
		if st.Expect != nil && reflect.ValueOf(*st.Expect).IsZero() {
			w.healing()
		}
		return // another look, which the lab's world compares
	}
	w.log("%s", stepText(st))
	if slices.Contains(words, st.Do) {
		w.operate(st)
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if verb := verbs[st.Do]; verb != nil {
		w.settle()
		verb(w, st)
		return
	}
	w.fail("%s: the light world does not know it", st.Do)
}

// healing ends what waits for something to happen: the faults of which nobody
// has met the next one yet.
func (w *world) healing() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.manager.faults, w.tables.fails, w.holds, w.deaths = nil, nil, nil, nil
}

// each lets a verb happen to the unit that a step names, or to both of the
// story's pair.
func each(do func(*world, lab.Step, *appliance)) func(*world, lab.Step) {
	return func(w *world, st lab.Step) {
		if st.Unit == "" {
			do(w, st, w.sites[0].units[0])
			do(w, st, w.sites[0].units[1])
			return
		}
		if a := w.unit(st.Unit); a != nil {
			do(w, st, a)
			return
		}
		w.fail("%s: no unit %q", st.Do, st.Unit)
	}
}

func ways(do func(*world, [2]*appliance)) func(*world, lab.Step) {
	return func(w *world, st lab.Step) {
		from, to := w.sites[0].units[0], w.sites[0].units[1]
		if st.From != "" {
			from, to = w.unit(st.From), w.unit(st.To)
			do(w, [2]*appliance{from, to})
			return
		}
		do(w, [2]*appliance{from, to})
		do(w, [2]*appliance{to, from})
	}
}

func (w *world) cutWorkers(a *appliance, cut bool) {
	for _, m := range w.machines {
		m.cut[a] = cut
	}
}

func deallocate(w *world, st lab.Step, a *appliance) {
	if st.By != "platform" {
		_, _ = w.act(a, "deallocate", managerFault{}, true) // nothing is in its way
		return
	}
	a.action.end(pair.ErrSuperseded)
	a.power, a.byHuman = pair.PowerDeallocated, false
	w.stopped(a)
	w.tell(a, pair.Evidence{Kind: pair.EvidenceStopped, Detail: "VirtualMachinePreempted"})
}

func start(w *world, st lab.Step, a *appliance) {
	if st.By != "platform" {
		_, _ = w.act(a, "start", w.manager.meet(time.Now(), starts).only(noRoom), true) // its end tells
		return
	}
	w.moved(a, "start")
}

// only is the fault, if it is of a kind: the others are the program's alone.
func (f managerFault) only(kind faultKind) managerFault {
	if f.kind == kind {
		return f
	}
	return managerFault{}
}

func managerLate(w *world, st lab.Step) {
	w.manager.endFaults(takesLate)
	if st.Late > 0 {
		f := managerFault{kind: takesLate, count: st.Times, delay: st.Late}
		if st.Times == 0 {
			f.count = -1
		}
		w.manager.inject(f)
	}
}

// redeploy writes the load balancers from a template that knows neither admin
// states nor tags.
func redeploy(w *world, _ lab.Step) {
	for _, b := range w.balancers {
		d := b.doc.clone()
		d.tags = map[string]string{}
		for p := range d.admin {
			for m := range d.admin[p] {
				d.admin[p][m], d.ours[p][m] = pair.AdminNone, false
			}
		}
		w.byPerson(b, d)
	}
}

// byPerson is a write of somebody else, of which an event tells.
func (w *world) byPerson(b *balancer, d *document) {
	w.write(b, d, how{})
	w.publish(event{resource: b.id})
}

func setAdmin(w *world, st lab.Step, a *appliance) {
	state := map[string]pair.AdminState{"None": pair.AdminNone, "Up": pair.AdminUp, "Down": pair.AdminDown}[st.State]
	for _, b := range w.balancers {
		d, found := b.doc.clone(), false
		for p := range b.pools {
			if m := slices.Index(b.pools[p].members, a); m >= 0 {
				// Who sets what we have set, or are about to, is one with us: nobody
				// can see whose it is.
				d.ours[p][m] = d.ours[p][m] && d.admin[p][m] == state || w.wants(a, state)
				if d.ours[p][m] {
					w.check.troubled() // it stands from now on, however long it was on its way back
				}
				d.admin[p][m], found = state, true
			}
		}
		if found {
			w.byPerson(b, d)
		}
	}
}

// wants reports whether the program holds an appliance in an admin state, by
// what it has stored.
func (w *world) wants(a *appliance, state pair.AdminState) bool {
	snap, err := w.vault.Load(context.Background(), a.site.name)
	return err == nil && slices.ContainsFunc(snap.Record.Admin, func(h pair.AdminHold) bool { return h.Unit == a.role && h.State == state })
}

func storm(w *world, st lab.Step, a *appliance) {
	kinds := [2]pair.EvidenceKind{pair.EvidenceUnavailable, pair.EvidenceAvailable}
	for i := range min(st.Times, 40) {
		w.tell(a, pair.Evidence{Kind: kinds[1-i%2], Detail: "AvailabilityStatusChanged"})
		last := &w.grid.waiting
		if len(*last) > 0 {
			if f := (*last)[len(*last)-1].fact; f != nil {
				f.At = f.At.Add(-time.Duration(i/2) * 10 * time.Millisecond)
			}
		}
	}
}

// replay delivers again what was delivered, the newest first.
func replay(w *world, st lab.Step) {
	for range max(st.Times, 1) {
		at := time.Now()
		for n := len(w.grid.delivered) - 1; n >= max(0, len(w.grid.delivered)-40); n-- {
			e := w.grid.delivered[n]
			at = at.Add(50 * time.Millisecond)
			e.at, e.tries = at, 0
			w.grid.waiting = append(w.grid.waiting, e)
		}
	}
}

func (w *world) machine(st lab.Step) *machine {
	for _, m := range w.machines {
		if m.name == st.Unit || st.Unit == "" {
			return m
		}
	}
	return nil
}

func kill(w *world, st lab.Step) {
	m := w.machine(st)
	if m == nil {
		return
	}
	every := st.Every
	if every == 0 {
		every = 10 * time.Second
	}
	for n := range max(st.Times, 1) {
		w.later(time.Now().Add(time.Duration(n)*every), m.die)
	}
}

func (w *world) killAfter(service string, st lab.Step) {
	for range max(st.Times, 1) {
		w.deaths = append(w.deaths, death{st.Unit, service})
	}
}

func (w *world) stopProgram(stop bool) {
	w.halted = stop
	for _, m := range w.machines {
		if stop {
			m.die()
		}
	}
}

// operate does what the operator asks for. The operator reaches the store when
// the program's workers do, so nothing is done while the tables are down.
func (w *world) operate(st lab.Step) {
	s := w.sites[0]
	for _, other := range w.sites {
		if st.Unit == other.name {
			s = other
		}
	}
	w.mu.Lock()
	down := w.tables.down
	w.mu.Unlock()
	if down {
		return
	}
	ctx := context.Background()
	var err error
	switch {
	case st.Do == "define":
		for _, s := range w.sites {
			err = errors.Join(err, w.apply(ctx, s))
			if !w.scenario.Unproved {
				err = errors.Join(err, w.prove(ctx, s))
			}
		}
	case st.Do == "apply":
		maps.Copy(s.changes, st.Set)
		err = w.apply(ctx, s)
	case st.Do == "newer-record":
		err = w.account.mark(s.name, 99)
	case st.State == "all":
		err = w.stopAll(ctx, st)
	default:
		err = w.word(ctx, s, st)
	}
	if err != nil {
		w.log("which is refused: %v", err)
		return
	}
	for _, one := range w.sites {
		if one == s || st.State == "all" || st.Do == "define" {
			m := pair.Message{V: 1, Kind: "wake", Pairs: []string{one.name}, Cause: pair.Cause{Kind: pair.CausePerson}}
			if err := w.vault.Send(ctx, pair.QueuePairs, m, 0); err != nil {
				w.log("which wakes nobody: %v", err)
			}
		}
	}
}

func (w *world) apply(ctx context.Context, s *site) error {
	d, err := s.definition()
	if err != nil {
		return err
	}
	w.check.expects(s.name, func(e *expectation) { e.defined(d) })
	snap, err := w.vault.Define(ctx, d, nil)
	if err == nil {
		w.check.stored(pair.Snapshot{}, snap)
	}
	return err
}

// prove remembers that the lever was proved when the pair was set up.
func (w *world) prove(ctx context.Context, s *site) error {
	snap, err := w.vault.Load(ctx, s.name)
	if err != nil {
		return err
	}
	rec := snap.Record
	for _, lb := range snap.Definition.LoadBalancers {
		for _, pool := range lb.Pools {
			rec.Proofs = append(rec.Proofs, pair.LeverProof{
				LoadBalancer: lb.Name, Pool: pool, At: w.start.UTC().Truncate(time.Millisecond), By: "operator", Back: true,
			})
		}
	}
	_, err = w.vault.Commit(ctx, snap, pair.Change{Record: rec})
	return err
}

func (w *world) stopAll(ctx context.Context, st lab.Step) error {
	var stop *pair.Pause
	if st.Do == "pause" {
		stop = &pair.Pause{Owner: "operator", Reason: "story", Until: until(st)}
	}
	w.check.expectsAll(func(e *expectation) { e.stopped(stop) })
	return w.vault.SetStop(ctx, stop, pair.Entry{})
}

func until(st lab.Step) time.Time {
	d := st.For
	if d == 0 {
		d = 10 * time.Minute
	}
	return time.Now().Add(d).UTC().Truncate(time.Millisecond)
}

// word stores a person's word in the pair's record, with a new epoch.
func (w *world) word(ctx context.Context, s *site, st lab.Step) error {
	for range 20 {
		snap, err := w.vault.Load(ctx, s.name)
		if err != nil {
			return err
		}
		rec := snap.Record
		if err := speak(&snap.Definition, &rec, st); err != nil {
			return err
		}
		rec.Epoch++
		got, err := w.vault.Commit(ctx, snap, pair.Change{Record: rec})
		if err == nil {
			w.check.expects(s.name, func(e *expectation) { e.heard(st, rec) })
			w.check.stored(snap, got)
			return nil
		}
		if !errors.Is(err, pair.ErrConflict) && !errors.Is(err, pair.ErrStaleEpoch) && !errors.Is(err, pair.ErrLeaseLost) {
			return err
		}
	}
	return pair.ErrConflict
}

func speak(d *pair.Definition, rec *pair.Record, st lab.Step) error {
	asked := &pair.Request{By: "operator", Reason: "story", At: time.Now().UTC().Truncate(time.Millisecond)}
	switch st.Do {
	case "pause":
		rec.Pause = &pair.Pause{Owner: "operator", Reason: "story", Until: until(st)}
		if err := rec.Pause.Unit.UnmarshalText([]byte(st.State)); err != nil {
			rec.Pause.Unit = pair.RoleUnknown
		}
	case "resume":
		rec.Pause = nil
	case "approve":
		if rec.Plan == nil {
			return fmt.Errorf("no plan waits: %w", pair.ErrNotFound)
		}
		plan := *rec.Plan
		plan.Approved = asked
		rec.Plan = &plan
	case "ack":
		rec.Block, rec.Moves = nil, nil
		for n := range rec.Units {
			rec.Units[n].Powered, rec.Units[n].Refusal = nil, nil
		}
		if j := rec.Job; j != nil && j.State == pair.JobFailed {
			rec.Job = j.Clone()
			rec.Job.Acknowledged = true
		}
	case "prove":
		rec.Prove = asked
	case "remove":
		rec.Retire = asked
	case "switchover":
		return startJob(d, rec, "switchover", st)
	case "set-up":
		return startJob(d, rec, "configure", st)
	case "consent":
		return sayJob(rec, pair.JobApprove, asked)
	case "cancel":
		return sayJob(rec, pair.JobCancel, asked)
	}
	return nil
}

// startJob begins a job where none is in the way.
func startJob(d *pair.Definition, rec *pair.Record, kind string, st lab.Step) error {
	now := time.Now().UTC().Truncate(time.Millisecond)
	if rec.Job.Running() || rec.Pause.In(now) || rec.Retire != nil {
		return fmt.Errorf("a job runs, or the pair is held: %w", pair.ErrConflict)
	}
	var unit pair.Role
	if st.State != "" {
		if err := unit.UnmarshalText([]byte(st.State)); err != nil {
			return err
		}
	}
	j, err := procedures.New(job.Request{
		ID: pair.ID(d.Name, rec.Epoch+1, 1), Kind: kind, By: "operator", Reason: "story", At: now, Unit: unit, Drain: st.For,
	}, d)
	if err != nil {
		return err
	}
	rec.Job = &j
	return nil
}

// sayJob says a word about the job that runs.
func sayJob(rec *pair.Record, word string, asked *pair.Request) error {
	j := rec.Job
	switch {
	case !j.Running(), word == pair.JobApprove && j.State != pair.JobAsks, word == pair.JobCancel && j.Committed:
		return fmt.Errorf("there is no job to %s: %w", word, pair.ErrNotFound)
	}
	rec.Job = j.Clone()
	rec.Job.Said = &pair.JobWord{Word: word, By: asked.By, Reason: asked.Reason, At: asked.At}
	return nil
}

// stepText is a step in one line.
func stepText(st lab.Step) string {
	words := []string{st.At.String(), st.Do}
	add := func(name, value string, is bool) {
		if is {
			words = append(words, name+"="+value)
		}
	}
	add("unit", st.Unit, st.Unit != "")
	add("from", st.From, st.From != "")
	add("to", st.To, st.To != "")
	add("late", st.Late.String(), st.Late != 0)
	add("times", strconv.Itoa(st.Times), st.Times != 0)
	add("lose", "yes", st.Lose)
	add("by", st.By, st.By != "")
	add("every", st.Every.String(), st.Every != 0)
	add("for", st.For.String(), st.For != 0)
	add("state", st.State, st.State != "")
	add("address", st.Address, st.Address != "")
	add("set", fmt.Sprint(st.Set), len(st.Set) > 0)
	return strings.Join(words, " ")
}
