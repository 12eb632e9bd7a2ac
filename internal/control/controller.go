package control

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"tandem/internal/balancer"
	"tandem/internal/pair"
)

// Store keeps what is known of the pairs. Every write is conditional on what
// was read; the errors are those of internal/pair.
type Store interface {
	Load(ctx context.Context, name string) (pair.Snapshot, error)
	AcquireLease(ctx context.Context, snap pair.Snapshot, owner string, now time.Time, ttl time.Duration) (pair.Snapshot, error)
	ReleaseLease(ctx context.Context, snap pair.Snapshot, owner string) (pair.Snapshot, error)
	Holds(ctx context.Context, snap pair.Snapshot, owner string, now time.Time) error
	Commit(ctx context.Context, snap pair.Snapshot, ch pair.Change) (pair.Snapshot, error)
	// Delete forgets a pair of which nothing of ours stands any more.
	Delete(ctx context.Context, name string) error
	// Stop returns what a person stopped all pairs with, nil where nobody did.
	Stop(ctx context.Context) (*pair.Pause, error)
}

// Outbox brings posts to where they belong. A repeated delivery does no harm.
type Outbox interface {
	AppendJournal(ctx context.Context, name string, post pair.Post) error
	Send(ctx context.Context, queue string, m pair.Message, delay time.Duration) error
	Delivered(ctx context.Context, name string, ids []string) error
}

// Publisher tells subscribers what happened to a pair.
type Publisher interface {
	Publish(ctx context.Context, posts []pair.Post) error
}

// Units asks an appliance what it says of itself, and sets its preference.
type Units interface {
	Report(ctx context.Context, u pair.Unit) (pair.Report, error)
	// Prefer sets a unit's preference and nothing else, and returns what the
	// unit says of itself then.
	Prefer(ctx context.Context, u pair.Unit, want pair.Preference) (pair.Report, error)
}

// Checks asks a unit's check port, as the load balancer's probe does, and makes
// the pair file's checks of its published ports.
type Checks interface {
	CheckPort(ctx context.Context, addr netip.AddrPort) pair.CheckSeen
	// Service makes one check and tells what was got instead when it failed.
	Service(ctx context.Context, unit netip.Addr, c pair.Check) pair.ServiceSeen
}

// Platform is Azure: the load balancer and the VMs.
type Platform interface {
	LoadBalancer(ctx context.Context, d pair.Definition, lb pair.LoadBalancer, health bool) (pair.BalancerSeen, error)
	// BeginAdminState asks last right before it sends the write, and sends
	// nothing when last returns an error.
	BeginAdminState(ctx context.Context, change pair.AdminChange, last func(context.Context) error) (pair.Operation, error)
	// ProveIfMatch writes the pool as it is with a wrong ETag; nil means that the
	// platform refused it, as it must.
	ProveIfMatch(ctx context.Context, change pair.AdminChange) error
	// SetTag sets a tag of a load balancer, or removes it where the value is
	// empty. It asks last as BeginAdminState does.
	SetTag(ctx context.Context, lb pair.ResourceID, name, value string, last func(context.Context) error) (pair.Operation, error)
	BeginStart(ctx context.Context, vm pair.ResourceID, last func(context.Context) error) (pair.Operation, error)
	BeginRestart(ctx context.Context, vm pair.ResourceID, last func(context.Context) error) (pair.Operation, error)
	Poll(ctx context.Context, token string) (pair.Operation, error)
	Power(ctx context.Context, vm pair.ResourceID) (pair.PowerSeen, error)
}

// Options are the parts of a controller and its times.
type Options struct {
	Store     Store
	Outbox    Outbox
	Publisher Publisher // nil publishes nothing
	Units     Units
	Checks    Checks
	Platform  Platform
	// Resources are whole documents; nil compares and repairs nothing.
	Resources Resources
	// Brakes are shared by all processes; nil brakes nothing.
	Brakes Brakes
	// Metrics are what the load balancers measured; nil reads none.
	Metrics Metrics
	// Jobs proposes what the running job of a pair wants; nil leaves jobs alone. Works
	// is how; nil refuses.
	Jobs  Jobs
	Works Works
	// GEO reads and writes what units hold of GEO; nil refuses. Topologies knows who is
	// in one; nil says that nobody is.
	GEO        GEO
	Topologies Memberships
	// Backups is where backups are kept, and Copies takes and restores them; nil
	// refuses.
	Backups Backups
	Copies  Copies
	// Settings reads and writes what is set on units, and Documents keeps it; nil
	// compares nothing.
	Settings  SettingsUnits
	Documents Documents
	// Surroundings is what neither the pair file nor Azure tells.
	Surroundings balancer.Surroundings
	Log          *slog.Logger
	// Worker names this process in leases; it must differ between processes.
	Worker string
	// MaxMode lowers the mode of every pair; unset lowers nothing.
	MaxMode pair.Mode
	// Lease is how long a pass may hold a pair; longer than Budget, so that a
	// pass ends before its lease does. Default 30 s.
	Lease time.Duration
	// Budget is how long one pass may take. Default 20 s.
	Budget time.Duration
	// Now is the worker's wall clock. Default time.Now.
	Now func() time.Time
	// Uptime is a clock that never steps, from any beginning; Now is compared
	// with it. Default is the time since New.
	Uptime func() time.Duration
}

// Controller makes passes. It is safe for concurrent use; passes over one pair
// exclude each other by the store's lease, also between processes.
type Controller struct {
	Options
	turns  turns
	seats  chan struct{} // one is taken by each pass of a sweep
	saving chan struct{} // and one by each pass that takes a backup

	vigil  vigil
	quiet  *rate.Limiter // of readings of quiet pairs' load balancers
	writes *rate.Limiter // of writes that can wait

	mu     sync.Mutex
	known  map[string]*memory // by pair
	rests  map[string]rest    // of Resource Manager, by subscription
	stop   *pair.Pause        // what a person stopped everything with
	stopAt time.Duration      // uptime at which that was read; 0 is never
}

const (
	// quietReads is how many calls a minute this process spends on pairs with which
	// nothing is wrong, in all: a subscription allows 25 reads a second (azure.md
	// 1.10), and others live in it too. The budget that all processes share would
	// let five times as many pass. This is the cheaper brake, asked first: it costs
	// no request to the store, a comparison that it lets begin has room to end, and
	// what it leaves of the budget is there at once when something is wrong.
	quietReads = 150
	// writesPerSecond and writeBurst stay below what a subscription allows, 10 a
	// second after 200 (azure.md 1.10). Fences and releases do not ask; the rest
	// waits for them.
	writesPerSecond = 7
	writeBurst      = 100
)

// memory is what this process remembers of a pair between passes. All of it can
// be lost.
type memory struct {
	readAt   time.Duration // uptime at which its load balancers were read last, 0 for never
	healthAt time.Duration // and their rule health
	heard    bool          // which told something
	guardAt  time.Duration // and everything was compared with the pair file
	powerAt  time.Duration // and the power state of its silent units
	// guardOwed is an event about its resources after which they were not compared,
	// because there was no room for it.
	guardOwed *pair.Cause
	answers   [2]steady              // what its check ports answer, and since when
	measured  map[string]measurement // the availability metrics of its load balancers
	chained   link                   // its chain of looks, when that was carried on last
	standing  *pair.Snapshot         // the pair while an admin state of ours stands
	// versions are those of the pools in which such a state stood by the newest
	// reading that the store vouched for; backs are the writes of None without it.
	versions map[place]string
	backs    map[place]back
	// refused is for how long each unit's credentials shall rest because it refused
	// them to this process, until the record says so: a pass that another one outran
	// must not keep a failed login to itself.
	refused [2]time.Duration
}

// memory returns what is remembered of the pass's pair. c.mu is held.
func (p *pass) memory() *memory {
	m := p.known[p.name]
	if m == nil {
		m = &memory{}
		p.known[p.name] = m
	}
	return m
}

// link is one look of a chain.
type link struct {
	epoch uint64
	at    time.Duration
}

// New checks the options and returns a controller.
func New(o Options) (*Controller, error) {
	if o.Lease == 0 {
		o.Lease = 30 * time.Second
	}
	if o.Budget == 0 {
		o.Budget = 20 * time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Uptime == nil {
		start := time.Now()
		o.Uptime = func() time.Duration { return time.Since(start) }
	}
	uptime := o.Uptime
	o.Uptime = func() time.Duration { return uptime() + time.Second } // 0 stands for never
	var errs []error
	for _, part := range []struct {
		name    string
		missing bool
	}{
		{"Store", o.Store == nil},
		{"Outbox", o.Outbox == nil},
		{"Units", o.Units == nil},
		{"Checks", o.Checks == nil},
		{"Platform", o.Platform == nil},
		{"Log", o.Log == nil},
		{"Worker", o.Worker == ""},
	} {
		if part.missing {
			errs = append(errs, fmt.Errorf("option %s is missing", part.name))
		}
	}
	if o.Lease <= o.Budget {
		errs = append(errs, fmt.Errorf("lease %v must be longer than the budget of a pass, %v", o.Lease, o.Budget))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("make controller: %w", err)
	}
	return &Controller{
		Options: o, known: map[string]*memory{}, rests: map[string]rest{}, vigil: vigil{looks: map[string]glance{}},
		quiet:  rate.NewLimiter(quietReads/60.0, quietReads),
		writes: rate.NewLimiter(writesPerSecond, writeBurst),
		turns:  turns{taken: map[string]*turn{}}, seats: make(chan struct{}, sweptAtOnce),
		saving: make(chan struct{}, savedAtOnce),
	}, nil
}

// epoch0 turns uptimes into the times that the limiters want, so that a wall
// clock that steps does not move them.
var epoch0 = time.Unix(0, 0)

// now reads the worker's clock in the stored form, UTC milliseconds, so that a
// decision computed again from its stored input sees the same time.
func (c *Controller) now() time.Time { return c.Now().UTC().Truncate(time.Millisecond) }
