package control_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"tandem/internal/control"
	"tandem/internal/pair"
)

// unit is one LoadMaster as a pass can see it.
type unit struct {
	check     pair.CheckAnswer
	state     pair.HAState
	preferred pair.Preference
	checkPort int // as it says itself; 8444 where 0
	power     pair.Power
	forwards  bool   // as a standby too
	broken    bool   // it does not forward, whatever its check port says
	health    string // the load balancer's reason; empty follows the check port
	asked     int    // how often its check port was asked
}

// units are both LoadMasters of the pair. They stay as they are until a test
// changes them.
type units struct {
	mu sync.Mutex
	of map[netip.Addr]*unit
	// onCheck, if not nil, is called before each answer of a check port, with
	// how often that unit was asked. It may change the units by set.
	onCheck func(r pair.Role, asked int)
	// onReport, if not nil, is called before each answer of an API.
	onReport func(ctx context.Context)
}

var (
	firstAddr  = netip.MustParseAddr("10.0.0.4")
	secondAddr = netip.MustParseAddr("10.0.0.5")
)

func addrOf(r pair.Role) netip.Addr { return [2]netip.Addr{firstAddr, secondAddr}[r.Index()] }

func newUnits() *units {
	u := &units{of: map[netip.Addr]*unit{
		firstAddr:  {preferred: pair.PreferFirst, power: pair.PowerRunning},
		secondAddr: {preferred: pair.PreferFirst, power: pair.PowerRunning},
	}}
	u.set(pair.First, pair.Active)
	u.set(pair.Second, pair.Standby)
	return u
}

// set brings a unit into a state, with what its check port then answers.
func (u *units) set(r pair.Role, state pair.HAState) {
	u.mu.Lock()
	defer u.mu.Unlock()
	one := u.of[addrOf(r)]
	one.state = state
	switch state {
	case pair.Active:
		one.check = pair.CheckServing
	case pair.Standby:
		one.check = pair.CheckIdle
	default:
		one.check = pair.CheckSilent
	}
}

func (u *units) serving(r pair.Role) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.of[addrOf(r)].check == pair.CheckServing
}

func (u *units) Report(ctx context.Context, which pair.Unit) (pair.Report, error) {
	if u.onReport != nil {
		u.onReport(ctx)
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	one := u.of[which.Address]
	if one == nil || one.check == pair.CheckSilent {
		return pair.Report{}, fmt.Errorf("ask %s: %w", which.VM, pair.ErrUnreachable)
	}
	return pair.Report{State: one.state, Preferred: one.preferred, CheckPort: cmp.Or(one.checkPort, 8444)}, nil
}

func (u *units) Prefer(_ context.Context, which pair.Unit, want pair.Preference) (pair.Report, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	one := u.of[which.Address]
	if one == nil || one.check == pair.CheckSilent {
		return pair.Report{}, fmt.Errorf("set the preference of %s: %w", which.VM, pair.ErrUnreachable)
	}
	one.preferred = want
	return pair.Report{State: one.state, Preferred: want, CheckPort: 8444}, nil
}

func (u *units) Service(_ context.Context, addr netip.Addr, c pair.Check) pair.ServiceSeen {
	u.mu.Lock()
	defer u.mu.Unlock()
	if one := u.of[addr]; one.forwards || one.check == pair.CheckServing && !one.broken {
		return pair.ServiceSeen{Answer: pair.ServicePassed}
	}
	return pair.ServiceSeen{Answer: pair.ServiceFailed, Check: c.Name, Detail: "refused"}
}

func (u *units) CheckPort(_ context.Context, addr netip.AddrPort) pair.CheckSeen {
	u.mu.Lock()
	one := u.of[addr.Addr()]
	one.asked++
	asked := one.asked
	u.mu.Unlock()
	if u.onCheck != nil {
		role := pair.First
		if addr.Addr() == secondAddr {
			role = pair.Second
		}
		u.onCheck(role, asked)
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	return pair.CheckSeen{Answer: one.check}
}

// platform is Azure as a pass needs it: load balancers whose pools have
// versions, and writes that take their time, are superseded by later ones, and
// may go wrong in each way that the adapter's documentation names.
type platform struct {
	units *units

	mu    sync.Mutex
	pools map[string]*pool // by "load balancer/pool"
	ops   map[string]*operation
	// takes is how long a write takes until it lands.
	takes time.Duration
	// lies makes writes end with success and change nothing.
	lies bool
	// onBegin, if not nil, is asked before a write; what it returns is the
	// answer. With sent, the write goes on although it was not confirmed.
	onBegin func(n int, ch pair.AdminChange) (sent bool, err error)
	// onPoll, if not nil, may fail a poll.
	onPoll func() error
	// onRead, if not nil, may fail the reading of a load balancer.
	onRead func(lb string) error
	// since, if not nil, is when the last operation on a VM ended, by the n-th
	// reading of its power.
	since func(n int) time.Time

	tags map[string]string
	// takesWrong makes a write with a wrong ETag land, and slowHealth keeps the
	// load balancer's view from following admin states.
	takesWrong, slowHealth bool
	proving                bool         // a Down on the standby is meant
	acted                  []string     // VM actions
	onAct                  func() error // may refuse one

	begun, reads, polls, powers int
	writes                      []pair.AdminChange // that were accepted
	broken                      []string           // rules that a write broke
}

type pool struct {
	name    string
	version int
	admin   map[netip.Addr]pair.AdminState
	running *operation
}

type operation struct {
	pool  *pool
	addr  netip.Addr
	want  pair.AdminState
	lands time.Time
	done  bool
	ended error
}

func newPlatform(u *units, d pair.Definition) *platform {
	f := &platform{units: u, pools: map[string]*pool{}, ops: map[string]*operation{}, tags: map[string]string{}}
	for _, lb := range d.LoadBalancers {
		for _, name := range lb.Pools {
			f.pools[lb.Name+"/"+name] = &pool{
				name: name, admin: map[netip.Addr]pair.AdminState{firstAddr: pair.AdminNone, secondAddr: pair.AdminNone},
			}
		}
	}
	return f
}

var _ control.Platform = (*platform)(nil)

// settle lets land what is due. The caller holds mu.
func (f *platform) settle() {
	for _, o := range f.ops {
		if o.done || o.ended != nil || time.Now().Before(o.lands) {
			continue
		}
		o.done = true
		if o.pool.running == o {
			o.pool.running = nil
		}
		if !f.lies {
			o.pool.admin[o.addr] = o.want
			o.pool.version++
		}
		f.check(o)
	}
}

// check notes a write that broke what must hold for all of them. The caller
// holds mu.
func (f *platform) check(o *operation) {
	if o.pool.admin[firstAddr] == pair.AdminDown && o.pool.admin[secondAddr] == pair.AdminDown {
		f.broken = append(f.broken, "both units are Down in "+o.pool.name)
	}
}

func (f *platform) LoadBalancer(_ context.Context, d pair.Definition, lb pair.LoadBalancer, health bool) (pair.BalancerSeen, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.settle()
	f.reads++
	if f.onRead != nil {
		if err := f.onRead(lb.Name); err != nil {
			return pair.BalancerSeen{}, err
		}
	}
	seen := pair.BalancerSeen{Name: lb.Name, At: time.Now(), Tags: maps.Clone(f.tags)}
	for _, key := range slices.Sorted(mapKeys(f.pools)) {
		p := f.pools[key]
		if key != lb.Name+"/"+p.name {
			continue
		}
		one := pair.PoolSeen{Name: p.name, ETag: strconv.Itoa(p.version)}
		for _, r := range pair.Roles {
			a := d.Units.Of(r).Address
			one.Members = append(one.Members, pair.MemberSeen{Name: r.String(), Address: a, Admin: p.admin[a]})
		}
		seen.Pools = append(seen.Pools, one)
	}
	if seen.Pools == nil && len(lb.Pools) > 0 {
		return pair.BalancerSeen{}, fmt.Errorf("read load balancer %s: %w", lb.Name, pair.ErrNotFound)
	}
	if health {
		for _, r := range pair.Roles {
			seen.Health = append(seen.Health, f.healthOf(lb, d.Units.Of(r).Address))
		}
	}
	return seen, nil
}

// healthOf is the load balancer's view of a unit, by a rule of one of the named
// pools. The caller holds mu.
func (f *platform) healthOf(lb pair.LoadBalancer, addr netip.Addr) pair.HealthSeen {
	f.units.mu.Lock()
	defer f.units.mu.Unlock()
	h := pair.HealthSeen{Rule: "check", Address: addr}
	u := f.units.of[addr]
	for _, name := range lb.Pools {
		p := f.pools[lb.Name+"/"+name]
		if p == nil {
			continue
		}
		if s := p.admin[addr]; s != pair.AdminNone && !f.slowHealth {
			h.Up, h.Reason = s == pair.AdminUp, s.String()+"_Admin"
			return h
		}
	}
	switch {
	case u.health != "":
		h.Reason = u.health
	case u.check == pair.CheckServing:
		h.Reason = "Up_Probe_Success"
	case u.check.Answered():
		h.Reason = "Down_Probe_HttpStatusCodeError"
	default:
		h.Reason = "Down_Probe_TcpProbeTimeout"
	}
	h.Up = strings.HasPrefix(h.Reason, "Up")
	return h
}

// carriedByPartner reports whether the other member of a pool is Up and forwards.
func (f *platform) carriedByPartner(p *pool, down netip.Addr) bool {
	f.units.mu.Lock()
	defer f.units.mu.Unlock()
	for addr, u := range f.units.of {
		if addr != down && p.admin[addr] == pair.AdminUp && u.forwards {
			return true
		}
	}
	return false
}

func (f *platform) ProveIfMatch(_ context.Context, ch pair.AdminChange) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.takesWrong {
		return fmt.Errorf("write pool %s with a wrong ETag: it was taken: %w", ch.Pool, pair.ErrInvalid)
	}
	return nil
}

func (f *platform) SetTag(ctx context.Context, _ pair.ResourceID, name, value string, last func(context.Context) error) (pair.Operation, error) {
	if err := last(ctx); err != nil {
		return pair.Operation{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range f.pools {
		p.version++
	}
	if f.tags[name] = value; value == "" {
		delete(f.tags, name)
	}
	return pair.Operation{Done: true}, nil
}

func (f *platform) BeginStart(ctx context.Context, vm pair.ResourceID, last func(context.Context) error) (pair.Operation, error) {
	return f.act(ctx, "start "+vm.Name(), vm, last)
}

func (f *platform) BeginRestart(ctx context.Context, vm pair.ResourceID, last func(context.Context) error) (pair.Operation, error) {
	return f.act(ctx, "restart "+vm.Name(), vm, last)
}

func (f *platform) act(ctx context.Context, what string, vm pair.ResourceID, last func(context.Context) error) (pair.Operation, error) {
	if err := last(ctx); err != nil {
		return pair.Operation{}, err
	}
	if f.onAct != nil {
		if err := f.onAct(); err != nil {
			return pair.Operation{}, err
		}
	}
	f.mu.Lock()
	f.acted = append(f.acted, what)
	f.mu.Unlock()
	f.units.mu.Lock()
	defer f.units.mu.Unlock()
	addr := firstAddr
	if vm.Name() == "lm2" {
		addr = secondAddr
	}
	f.units.of[addr].power = pair.PowerRunning
	return pair.Operation{Done: true}, nil
}

func (f *platform) BeginAdminState(ctx context.Context, ch pair.AdminChange, last func(context.Context) error) (pair.Operation, error) {
	p, sent, fault := f.prepare(ch)
	switch {
	case !sent:
		return pair.Operation{}, fault
	case p.admin[ch.Address] == ch.Want && !ch.Rewrite:
		return pair.Operation{Done: true}, fault
	}
	if err := last(ctx); err != nil {
		return pair.Operation{}, err
	}
	if ch.Want == pair.AdminDown && !f.proving && (!f.units.serving(pair.First) || !f.units.serving(pair.Second)) && !f.carriedByPartner(p, ch.Address) {
		f.mu.Lock()
		f.broken = append(f.broken, "a Down was written although one unit did not serve")
		f.mu.Unlock()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for key, other := range f.pools { // a write cancels every other one on its load balancer
		if strings.HasPrefix(key, ch.LoadBalancer.Name()+"/") && other.running != nil {
			other.running.ended, other.running = pair.ErrSuperseded, nil
		}
	}
	o := &operation{pool: p, addr: ch.Address, want: ch.Want, lands: time.Now().Add(f.takes)}
	p.running = o
	p.version++
	token := "token-" + strconv.Itoa(len(f.ops)+1)
	f.ops[token] = o
	f.writes = append(f.writes, ch)
	if fault != nil {
		return pair.Operation{}, fault
	}
	f.settle()
	if o.done {
		return pair.Operation{Done: true}, nil
	}
	return pair.Operation{Token: token, After: time.Second}, nil
}

// prepare is what stands before the write: the fault that a test wants, the
// pool, and its version.
func (f *platform) prepare(ch pair.AdminChange) (p *pool, sent bool, fault error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.settle()
	f.begun++
	if f.onBegin != nil {
		if sent, fault = f.onBegin(f.begun, ch); fault != nil && !sent {
			return nil, false, fault
		}
	}
	p = f.pools[ch.LoadBalancer.Name()+"/"+ch.Pool]
	switch {
	case p == nil:
		return nil, false, fmt.Errorf("write pool %s: %w", ch.Pool, pair.ErrNotFound)
	case strconv.Itoa(p.version) != ch.ETag:
		return nil, false, fmt.Errorf("write pool %s: %w", ch.Pool, pair.ErrConflict)
	}
	return p, true, fault
}

func (f *platform) Poll(_ context.Context, token string) (pair.Operation, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.settle()
	f.polls++
	if f.onPoll != nil {
		if err := f.onPoll(); err != nil {
			return pair.Operation{}, err
		}
	}
	switch o := f.ops[token]; {
	case o == nil:
		return pair.Operation{}, fmt.Errorf("poll %s: %w", token, pair.ErrUnknownOutcome)
	case o.ended != nil:
		return pair.Operation{}, fmt.Errorf("poll %s: %w", token, o.ended)
	case o.done:
		return pair.Operation{Done: true}, nil
	default:
		return pair.Operation{Token: token, After: time.Second}, nil
	}
}

func (f *platform) Power(_ context.Context, vm pair.ResourceID) (pair.PowerSeen, error) {
	f.mu.Lock()
	f.powers++
	var since time.Time
	if f.since != nil {
		since = f.since(f.powers)
	}
	f.mu.Unlock()
	f.units.mu.Lock()
	defer f.units.mu.Unlock()
	addr := firstAddr
	if vm.Name() == "lm2" {
		addr = secondAddr
	}
	return pair.PowerSeen{Power: f.units.of[addr].power, At: time.Now(), Since: since}, nil
}

// calls is how often Resource Manager was asked for anything.
func (f *platform) calls() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.reads + f.begun + f.polls + f.powers
}

// states are the admin states that stand now, by "pool/unit", None left out.
func (f *platform) states() map[string]pair.AdminState {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.settle()
	out := map[string]pair.AdminState{}
	for key, p := range f.pools {
		for _, r := range pair.Roles {
			if s := p.admin[addrOf(r)]; s != pair.AdminNone {
				out[key+"/"+r.String()] = s
			}
		}
	}
	return out
}

// wrote lists the accepted writes in words.
func (f *platform) wrote() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := []string{}
	for _, ch := range f.writes {
		out = append(out, ch.Pool+" "+ch.Want.String())
	}
	return out
}

// by changes the platform under its lock.
func (f *platform) by(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

// topic is the subscribers' side: it remembers what was published.
type topic struct {
	mu    sync.Mutex
	posts []pair.Post
	// refuse, if not nil, says what is wrong with the posts.
	refuse func([]pair.Post) error
	calls  int
}

func (f *topic) Publish(_ context.Context, posts []pair.Post) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls++
	if f.refuse != nil {
		if err := f.refuse(posts); err != nil {
			return err
		}
	}
	f.posts = append(f.posts, posts...)
	return nil
}

// received are the events as a subscriber sees them who removes repeats by id,
// in words. A repeat that says something else is a fault.
func (f *topic) received() ([]string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []string
	var errs []error
	byID := map[string]pair.Post{}
	for _, p := range f.posts {
		if was, ok := byID[p.ID]; !ok {
			byID[p.ID] = p
			out = append(out, p.Type)
		} else if string(was.Body) != string(p.Body) || was.Type != p.Type {
			errs = append(errs, fmt.Errorf("event %s came with two contents:\n%s\n%s", p.ID, was.Body, p.Body))
		}
	}
	return out, errors.Join(errs...)
}
