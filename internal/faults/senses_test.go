package faults

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"tandem/internal/control"
	"tandem/internal/pair"
)

var (
	_ control.Units    = senses{}
	_ control.Works    = senses{}
	_ control.Checks   = senses{}
	_ control.Platform = azure{}
	_ control.Store    = (*keeper)(nil)
	_ control.Outbox   = (*keeper)(nil)
	_ control.Index    = (*keeper)(nil)
)

func (s senses) CheckPort(ctx context.Context, addr netip.AddrPort) pair.CheckSeen {
	p, w := s.p, s.p.machine.world
	if p.travel(ctx, "check "+addr.Addr().String(), answerTakes) != nil {
		return pair.CheckSeen{}
	}
	w.mu.Lock()
	answer := pair.CheckSilent
	a := s.find(addr.Addr())
	if a != nil {
		answer = a.poll(time.Now(), int(addr.Port()), "worker")
	}
	if answer == pair.CheckServing {
		p.grasp(a.site.name).serving[a.role.Index()] = time.Now()
	}
	w.check.asked(p, addr.Addr(), answer)
	w.mu.Unlock()
	switch answer {
	case pair.CheckServing:
		return pair.CheckSeen{Answer: answer, Status: http.StatusOK}
	case pair.CheckIdle:
		return pair.CheckSeen{Answer: answer, Status: http.StatusServiceUnavailable}
	case pair.CheckSilent:
		if p.wait(ctx, addr.String(), checkPatience) != nil || ctx.Err() != nil {
			return pair.CheckSeen{} // nothing was learned
		}
	case pair.CheckUnknown, pair.CheckOdd, pair.CheckRefused: // as it is
	}
	return pair.CheckSeen{Answer: answer}
}

func (s senses) Service(ctx context.Context, unit netip.Addr, c pair.Check) pair.ServiceSeen {
	p, w := s.p, s.p.machine.world
	if p.travel(ctx, "service "+unit.String(), answerTakes) != nil {
		return pair.ServiceSeen{}
	}
	w.mu.Lock()
	now, a := time.Now(), s.find(unit)
	if b, s := w.front(unit); b != nil {
		a = b.picks(s)
	}
	silent, works := a == nil, a != nil && a.forwards(now) && !a.ailments.application
	w.mu.Unlock()
	switch {
	case works:
		return pair.ServiceSeen{Answer: pair.ServicePassed}
	case silent && (p.wait(ctx, unit.String(), checkPatience) != nil || ctx.Err() != nil):
		return pair.ServiceSeen{}
	default:
		return pair.ServiceSeen{Answer: pair.ServiceFailed, Check: c.Name, Detail: "no answer"}
	}
}

// api reaches the API of a unit, under the world's lock.
func (s senses) api(ctx context.Context, u pair.Unit, do func(*appliance)) error {
	p, w := s.p, s.p.machine.world
	what := "ask the API of " + u.VM
	if err := p.travel(ctx, what, 2*answerTakes); err != nil && !w.sentBefore(p) {
		return fmt.Errorf("%s: %w: %w", what, pair.ErrUnreachable, err)
	}
	w.mu.Lock()
	a := s.find(u.Address)
	var err error
	switch {
	case a == nil:
		err = pair.ErrUnreachable
	case a.ailments.apiSilent:
		err = pair.ErrUnreachable
	case a.ailments.certificate:
		err = pair.ErrUntrusted
	case a.ailments.rotated:
		err = pair.ErrRefused
	default:
		do(a)
	}
	w.mu.Unlock()
	if a == nil {
		_ = p.wait(ctx, what, apiPatience) // the error is the same
	}
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return p.gone()
}

func (s senses) Report(ctx context.Context, u pair.Unit) (r pair.Report, err error) {
	err = s.api(ctx, u, func(a *appliance) { r = a.report() })
	return r, err
}

func (s senses) Prefer(ctx context.Context, u pair.Unit, want pair.Preference) (r pair.Report, err error) {
	err = s.write(ctx, u, write{kind: "prefer", prefer: want}, func(a *appliance) {
		a.configure(time.Now(), map[string]string{"haprefered": preferenceText(want)})
		r = a.report()
	})
	return r, err
}

// write changes something at a unit.
func (s senses) write(ctx context.Context, u pair.Unit, n write, do func(*appliance)) error {
	w := s.p.machine.world
	n.address = u.Address
	w.check.leaves(s.p, n)
	return w.effect(ctx, s.p, n.kind+" "+u.VM+" "+n.prefer.String(), func(ctx context.Context) error { return s.api(ctx, u, do) })
}

func preferenceText(p pair.Preference) string {
	if p == pair.PreferFirst {
		return "1"
	}
	return "0"
}

func (s senses) Reboot(ctx context.Context, u pair.Unit) error {
	return s.write(ctx, u, write{kind: "reboot"}, func(a *appliance) { a.reboot(time.Now()) })
}

func (s senses) Configure(ctx context.Context, d *pair.Definition, r pair.Role, prefer pair.Preference) (rep pair.Report, err error) {
	refused := false
	err = s.write(ctx, d.Units.Of(r), write{kind: "configure", prefer: prefer}, func(a *appliance) {
		if refused = a.ailments.noSetUp; refused {
			return
		}
		a.configure(time.Now(), map[string]string{
			"hamode": r.String(), "partner": d.Units.Of(r.Other()).Address.String(), "hcp": strconv.Itoa(d.HA.CheckPort), "haprefered": preferenceText(prefer),
			"hcai": map[bool]string{false: "0", true: "1"}[d.HA.CheckAllInterfaces],
		})
		rep = a.report()
	})
	if err == nil && refused {
		err = pair.ErrRefused
	}
	return rep, err
}

// Connections are those that a unit got while it served, for a minute.
func (s senses) Connections(ctx context.Context, u pair.Unit) (n int, err error) {
	err = s.api(ctx, u, func(a *appliance) {
		if a.lately.serves.is || time.Since(a.lately.serves.since) < time.Minute {
			n = 5
		}
	})
	return n, err
}

// Inventory is that of a unit that nobody built anew.
func (s senses) Inventory(ctx context.Context, u pair.Unit) (has pair.InventorySeen, err error) {
	err = s.api(ctx, u, func(*appliance) { has = pair.InventorySeen{Licensed: true, Services: 1, ServicesHash: "shop"} })
	return has, err
}

// front is the load balancer that has an address, for a pair.
func (w *world) front(address netip.Addr) (*balancer, *site) {
	for _, s := range w.sites {
		for _, lb := range s.original.LoadBalancers {
			if slices.ContainsFunc(lb.Frontends, func(f pair.Frontend) bool { return f.Address == address }) {
				return w.balancer(s.original.LoadBalancerID(lb.Name)), s
			}
		}
	}
	return nil, nil
}

// picks is the appliance of a pair to which the load balancer sends a new
// connection.
func (b *balancer) picks(s *site) *appliance {
	var up []*appliance
	for _, p := range b.probers {
		if is, _ := b.health(p.target); is && p.target.site == s {
			up = append(up, p.target)
		}
	}
	if len(up) == 0 {
		return nil
	}
	return up[up[0].world.roll("pick", b.name, time.Now().UnixMicro())%uint64(len(up))]
}

// azure is a process's way to Resource Manager. Its writes are effects.
type azure struct{ p *process }

const managerTakes = 80 * time.Millisecond

// request makes one request: do is called under the world's lock when it
// arrives, unless a fault takes its place.
func (z azure) request(ctx context.Context, what string, r request, do func(fault managerFault) error) error {
	p, w := z.p, z.p.machine.world
	if err := p.travel(ctx, what, managerTakes); err != nil {
		return fmt.Errorf("%s: %w: %w", what, pair.ErrUnreachable, err)
	}
	return z.arrive(what, r, do, w)
}

func (z azure) arrive(what string, r request, do func(fault managerFault) error, w *world) error {
	w.mu.Lock()
	w.settle()
	fault := w.manager.meet(time.Now(), r)
	var err error
	switch fault.kind {
	case answers429:
		err = &pair.Waiting{Err: fmt.Errorf("%s: %w", what, pair.ErrThrottled), After: fault.delay}
	case cuts:
		err = pair.ErrUnreachable
		if r != reads {
			err = pair.ErrUnknownOutcome
		}
	default:
		err = do(fault)
	}
	if fault.kind != noFault {
		w.check.troubled()
	}
	w.mu.Unlock()
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return z.p.gone()
}

func (w *world) balancer(id pair.ResourceID) *balancer {
	for _, b := range w.balancers {
		if b.id == id {
			return b
		}
	}
	return nil
}

func (z azure) LoadBalancer(ctx context.Context, d pair.Definition, lb pair.LoadBalancer, health bool) (seen pair.BalancerSeen, err error) {
	w := z.p.machine.world
	err = z.request(ctx, "read load balancer "+lb.Name, reads, func(managerFault) error {
		b := w.balancer(d.LoadBalancerID(lb.Name))
		if b == nil {
			return pair.ErrNotFound
		}
		seen = z.see(b, &d, lb)
		return nil
	})
	if err != nil {
		return pair.BalancerSeen{}, err
	}
	seen.At = z.p.now().UTC().Truncate(time.Millisecond)
	if health && z.p.wait(ctx, "health", healthDelay) == nil && ctx.Err() == nil {
		_ = z.request(ctx, "ask load balancer "+lb.Name+" for its health", reads, func(managerFault) error { // unknown stays empty
			b := w.balancer(d.LoadBalancerID(lb.Name))
			for _, r := range pair.Roles {
				if a := w.atAddr(d.Units.Of(r).Address); a != nil {
					up, reason := b.health(a)
					seen.Health = append(seen.Health, pair.HealthSeen{Rule: "check", Address: a.address, Up: up, Reason: reason})
				}
			}
			return nil
		})
	}
	return seen, z.p.gone()
}

// see is what a read of a load balancer shows. The world's lock is held.
func (z azure) see(b *balancer, d *pair.Definition, lb pair.LoadBalancer) pair.BalancerSeen {
	doc, etag := b.visible()
	seen := pair.BalancerSeen{Name: b.name}
	for n, p := range b.pools {
		one := pair.PoolSeen{Name: p.name, ETag: fmt.Sprintf("W/%d", etag)}
		for m, a := range p.members {
			if a.address == d.Units.First.Address || a.address == d.Units.Second.Address {
				one.Members = append(one.Members, pair.MemberSeen{Name: a.name, Address: a.address, Admin: doc.admin[n][m]})
			}
		}
		named := false
		for _, name := range lb.Pools {
			named = named || name == p.name
		}
		if named || len(one.Members) > 0 {
			seen.Pools = append(seen.Pools, one)
		}
	}
	for name, value := range doc.tags {
		if len(name) > len(pair.TagPrefix) && name[:len(pair.TagPrefix)] == pair.TagPrefix {
			if seen.Tags == nil {
				seen.Tags = map[string]string{}
			}
			seen.Tags[name] = value
		}
	}
	return seen
}

// send is the moment in which a write leaves: the last look, then the bytes. A
// worker that is frozen in between sends them when it goes on, whoever has given
// up on them meanwhile.
func (z azure) send(ctx context.Context, what string, r request, note write, last func(context.Context) error, do func(fault managerFault) error) error {
	p, w := z.p, z.p.machine.world
	w.check.before(p, &note)
	if err := last(ctx); err != nil {
		return err
	}
	if err := p.gone(); err != nil {
		return err
	}
	w.check.leaves(p, note)
	w.mu.Lock()
	for n, h := range w.holds {
		if h.machine == "" || h.machine == p.machine.name {
			p.machine.freeze(h.lasts)
			w.holds = append(w.holds[:n:n], w.holds[n+1:]...)
			break
		}
	}
	w.mu.Unlock()
	err := w.effect(ctx, p, what, func(ctx context.Context) error {
		if err := p.travel(ctx, what, managerTakes); err != nil && !w.sentBefore(p) {
			return err
		}
		return z.arrive(what, r, do, w)
	})
	if err == nil {
		w.took(p, "manager")
	}
	switch gone := p.gone(); {
	case gone != nil:
		return gone
	case err == nil && ctx.Err() != nil:
		return fmt.Errorf("%s: %w: %w", what, pair.ErrUnknownOutcome, ctx.Err())
	default:
		return err
	}
}

// freeze stops the machine for a while from now. The world's lock is held.
func (m *machine) freeze(d time.Duration) {
	if until := time.Now().Add(d); until.After(m.frozen) {
		m.frozen = until
	}
	m.world.check.troubled()
}

func (z azure) BeginAdminState(ctx context.Context, ch pair.AdminChange, last func(context.Context) error) (op pair.Operation, err error) {
	w := z.p.machine.world
	what := "set " + ch.Want.String()
	note := write{kind: "admin", balancer: ch.LoadBalancer, pool: ch.Pool, address: ch.Address, want: ch.Want}
	note.epoch = w.check.epochOf(note)
	same := false
	err = z.request(ctx, "read pool "+ch.Pool, reads, func(managerFault) error {
		b := w.balancer(ch.LoadBalancer)
		a := w.atAddr(ch.Address)
		if b == nil || a == nil {
			return pair.ErrNotFound
		}
		p, m, ok := b.find(ch.Pool, a)
		doc, etag := b.visible()
		switch {
		case !ok:
			return pair.ErrNotFound
		case fmt.Sprintf("W/%d", etag) != ch.ETag:
			return pair.ErrConflict
		}
		same = doc.admin[p][m] == ch.Want
		return nil
	})
	switch {
	case err != nil:
		return op, err
	case same && !ch.Rewrite:
		return pair.Operation{Done: true}, nil
	}
	err = z.send(ctx, what, writes, note, last, func(fault managerFault) error {
		b := w.balancer(ch.LoadBalancer)
		if fault.kind == overtakes {
			w.rival(b)
		}
		if err := w.mayWrite(b, ch.ETag); err != nil {
			return err
		}
		p, m, _ := b.find(ch.Pool, w.atAddr(ch.Address))
		w.check.lands(note)
		d := b.doc.clone()
		d.admin[p][m], d.ours[p][m] = ch.Want, true
		running := w.write(b, d, how{fault: fault})
		op = pair.Operation{Token: running.token}
		if running.over {
			op = pair.Operation{Done: true}
		}
		return nil
	})
	if err != nil {
		return pair.Operation{}, err
	}
	return op, nil
}

// mayWrite is what Resource Manager looks at before a write.
func (w *world) mayWrite(b *balancer, etag string) error {
	switch {
	case etag != "" && etag != fmt.Sprintf("W/%d", b.etag) && w.options["pool-if-match"] != "ignored":
		return pair.ErrConflict
	case b.running != nil && w.options["second-write"] == "refused":
		return &pair.Waiting{Err: pair.ErrBusy, After: 5 * time.Second}
	default:
		return nil
	}
}

func (z azure) ProveIfMatch(ctx context.Context, ch pair.AdminChange) error {
	w := z.p.machine.world
	ignored := w.options["pool-if-match"] == "ignored"
	return z.request(ctx, "prove If-Match on pool "+ch.Pool, writes, func(fault managerFault) error {
		b := w.balancer(ch.LoadBalancer)
		if b == nil {
			return pair.ErrNotFound
		}
		if !ignored {
			return nil
		}
		w.write(b, b.doc.clone(), how{fault: fault})
		return pair.ErrInvalid
	})
}

func (z azure) SetTag(ctx context.Context, lb pair.ResourceID, name, value string, last func(context.Context) error) (op pair.Operation, err error) {
	w := z.p.machine.world
	etag, same := "", false
	err = z.request(ctx, "read the tags", reads, func(managerFault) error {
		b := w.balancer(lb)
		if b == nil {
			return pair.ErrNotFound
		}
		doc, tag := b.visible()
		etag, same = fmt.Sprintf("W/%d", tag), doc.tags[name] == value
		return nil
	})
	if err != nil {
		return op, err
	}
	if same {
		return pair.Operation{Done: true}, nil
	}
	note := write{kind: "tag", balancer: lb, tag: value, name: name}
	err = z.send(ctx, "set tag", writes, note, last, func(fault managerFault) error {
		b := w.balancer(lb)
		if fault.kind == overtakes {
			w.rival(b)
		}
		if err := w.mayWrite(b, etag); err != nil {
			return err
		}
		if fault.kind == endsFailed {
			return pair.ErrUnknownOutcome // a PATCH ends at once
		}
		d := b.doc.clone()
		if d.tags = maps.Clone(d.tags); value == "" {
			delete(d.tags, name)
		} else {
			d.tags[name] = value
		}
		w.write(b, d, how{fault: fault, tagsOnly: true})
		return nil
	})
	if err != nil {
		return pair.Operation{}, err
	}
	err = z.request(ctx, "read the tags", reads, func(managerFault) error {
		if doc, _ := w.balancer(lb).visible(); doc.tags[name] != value {
			return pair.ErrUnknownOutcome
		}
		return nil
	})
	if err != nil {
		return pair.Operation{}, fmt.Errorf("see the tag: %w", pair.ErrUnknownOutcome)
	}
	return pair.Operation{Done: true}, nil
}

func (z azure) BeginStart(ctx context.Context, vm pair.ResourceID, last func(context.Context) error) (pair.Operation, error) {
	return z.begin(ctx, vm, "start", starts, last)
}

func (z azure) BeginRestart(ctx context.Context, vm pair.ResourceID, last func(context.Context) error) (pair.Operation, error) {
	return z.begin(ctx, vm, "restart", acts, last)
}

func (z azure) begin(ctx context.Context, vm pair.ResourceID, action string, r request, last func(context.Context) error) (op pair.Operation, err error) {
	w := z.p.machine.world
	err = z.send(ctx, action+" VM "+vm.Name(), r, write{kind: action, vm: vm}, last, func(fault managerFault) error {
		for _, a := range w.units {
			if a.vm != vm || a.gone {
				continue
			}
			running, err := w.act(a, action, fault, false)
			if err == nil {
				op.Token = running.token
				a.powers = append(a.powers, time.Now())
			}
			return err
		}
		return pair.ErrNotFound
	})
	if err != nil {
		return pair.Operation{}, err
	}
	return op, nil
}

func (z azure) Poll(ctx context.Context, token string) (op pair.Operation, err error) {
	w := z.p.machine.world
	err = z.request(ctx, "poll", reads, func(managerFault) error {
		o := w.manager.operations[token]
		switch {
		case o == nil:
			return pair.ErrUnknownOutcome
		case !o.over:
			op = pair.Operation{Token: token, After: time.Second}
		case o.err != nil:
			return o.err
		default:
			op = pair.Operation{Done: true}
		}
		return nil
	})
	if err != nil {
		return pair.Operation{}, err
	}
	return op, nil
}

func (z azure) Power(ctx context.Context, vm pair.ResourceID) (seen pair.PowerSeen, err error) {
	w := z.p.machine.world
	err = z.request(ctx, "read the power state of "+vm.Name(), reads, func(managerFault) error {
		for _, a := range w.units {
			if a.vm == vm && !a.gone {
				seen.Power, seen.Since = a.power, a.changed.UTC().Truncate(time.Second)
				return nil
			}
		}
		return pair.ErrNotFound
	})
	if err != nil {
		return pair.PowerSeen{}, err
	}
	seen.At = z.p.now().UTC().Truncate(time.Millisecond)
	return seen, nil
}
