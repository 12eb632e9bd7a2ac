package control

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

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

// Units asks an appliance what it says of itself.
type Units interface {
	Report(ctx context.Context, u pair.Unit) (pair.Report, error)
}

// CheckPorts asks a unit's check port, as the load balancer's probe does.
type CheckPorts interface {
	CheckPort(ctx context.Context, addr netip.AddrPort) pair.CheckSeen
}

// Platform is Azure: the load balancer and the VMs.
type Platform interface {
	LoadBalancer(ctx context.Context, d pair.Definition, lb pair.LoadBalancer, health bool) (pair.BalancerSeen, error)
	// BeginAdminState asks last right before it sends the write, and sends
	// nothing when last returns an error.
	BeginAdminState(ctx context.Context, change pair.AdminChange, last func(context.Context) error) (pair.Operation, error)
	Poll(ctx context.Context, token string) (pair.Operation, error)
	Power(ctx context.Context, vm pair.ResourceID) (pair.PowerSeen, error)
}

// Options are the parts of a controller and its times.
type Options struct {
	Store     Store
	Outbox    Outbox
	Publisher Publisher // nil publishes nothing
	Units     Units
	Checks    CheckPorts
	Platform  Platform
	Log       *slog.Logger
	// Worker names this process in leases; it must differ between processes.
	Worker string
	// MaxMode lowers the mode of every pair; unset lowers nothing.
	MaxMode pair.Mode
	// Lease is how long a pass may hold a pair; longer than Budget, so that a
	// pass ends before its lease does. Default 30 s.
	Lease time.Duration
	// Budget is how long one pass may take. Default 20 s.
	Budget time.Duration
	// Now is the worker's clock. Default time.Now.
	Now func() time.Time
}

// Controller makes passes. It is safe for concurrent use; passes over one pair
// exclude each other by the store's lease, also between processes.
type Controller struct {
	Options
	passes atomic.Uint64
	turns  turns
	seats  chan struct{} // one is taken by each pass of a sweep

	mu     sync.Mutex
	readAt map[string]time.Time // by pair: when its load balancers were read last
	// chained is, by pair, when its chain of looks was carried on last.
	chained map[string]link
}

// link is one look of a chain.
type link struct {
	epoch uint64
	at    time.Time
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
		Options: o, readAt: map[string]time.Time{}, chained: map[string]link{},
		turns: turns{taken: map[string]*turn{}}, seats: make(chan struct{}, sweptAtOnce),
	}, nil
}

// now reads the worker's clock in the stored form, UTC milliseconds, so that a
// decision computed again from its stored input sees the same time.
func (c *Controller) now() time.Time { return c.Now().UTC().Truncate(time.Millisecond) }
