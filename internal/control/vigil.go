package control

import (
	"context"
	"errors"
	"sync"
	"time"

	"tandem/internal/pair"
)

const (
	// clockStep is how far the wall clock may move against the one that never
	// steps; NTP slews by far less between two passes.
	clockStep = 2 * time.Second
	// quietFor is how long nothing may go wrong before we trust ourselves again:
	// after any blind time the picture has to be stable first
	// (ha-design-notes.md 10).
	quietFor = time.Minute
	// storeFaults within faultWindow are a burst.
	storeFaults = 3
	faultWindow = time.Minute
	// fleetLeast is how many pairs must be unreachable at once, and more than
	// half of those that were looked at, before our own network is the likelier
	// cause (ha-design-notes.md 7).
	fleetLeast  = 3
	fleetWindow = time.Minute
)

// vigil watches this process itself: whether its clock, its speed, its store
// and its network are such that what it sees can be trusted. All its times are
// uptimes, because the wall clock is one of the suspects.
type vigil struct {
	mu      sync.Mutex
	beaten  bool
	wall    time.Time
	uptime  time.Duration
	trouble pair.BlindCause
	until   time.Duration // blind until this uptime
	faults  []time.Duration
	looks   map[string]glance
}

// glance is the newest look at one pair.
type glance struct {
	at   time.Duration
	dark bool // neither unit answered anything
}

// beat compares the two clocks.
func (v *vigil) beat(now time.Time, uptime time.Duration) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if drift := now.Sub(v.wall) - (uptime - v.uptime); v.beaten && (drift > clockStep || drift < -clockStep) {
		v.blindTo(pair.BlindClock, uptime)
	}
	v.beaten, v.wall, v.uptime = true, now, uptime
}

// stalled notes that something took far longer than it may.
func (v *vigil) stalled(uptime time.Duration) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.blindTo(pair.BlindStall, uptime)
}

// storeFailed notes a fault of the store, and reports whether that is the one
// with which the trust in this process ends.
func (v *vigil) storeFailed(uptime time.Duration) (ends bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	recent := v.faults[:0]
	for _, at := range v.faults {
		if uptime-at < faultWindow {
			recent = append(recent, at)
		}
	}
	v.faults = append(recent, uptime)
	if len(v.faults) < storeFaults {
		return false
	}
	ends = v.trouble == pair.NotBlind || uptime >= v.until
	v.blindTo(pair.BlindStore, uptime)
	return ends
}

// looked notes whether a pair was dark to us.
func (v *vigil) looked(name string, dark bool, uptime time.Duration) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.looks[name] = glance{uptime, dark}
	if !dark {
		return
	}
	all, bad := 0, 0
	for n, g := range v.looks {
		switch {
		case uptime-g.at > fleetWindow:
			delete(v.looks, n)
		case g.dark:
			bad++
			all++
		default:
			all++
		}
	}
	if bad >= fleetLeast && 2*bad > all {
		v.blindTo(pair.BlindFleet, uptime)
	}
}

// blindTo begins or prolongs a blind time. v.mu is held.
func (v *vigil) blindTo(cause pair.BlindCause, uptime time.Duration) {
	v.trouble, v.until = cause, uptime+quietFor
}

// blind is why nothing may be done now, if so.
func (v *vigil) blind(uptime time.Duration) pair.BlindCause {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.trouble != pair.NotBlind && uptime < v.until {
		return v.trouble
	}
	return pair.NotBlind
}

// asked is a pass's way to the store. It notes in the pass how the store failed
// it; the vigil counts the passes. What it takes to give a lease back is left
// out: that is tried for a moment only.
type asked struct {
	Store
	p *pass
}

// slowStore is how long a pass has waited for the store, in all its requests, when
// the store is to blame that there was no time left for one of them. Each request
// alone does not tell: of a store that is slow the last one of a pass may be cut off
// at once, because those before took all the time.
const slowStore = time.Second

// ask makes one request.
func ask[T any](ctx context.Context, p *pass, request func() (T, error)) (T, error) {
	began := p.Uptime()
	got, err := request()
	p.waited += p.Uptime() - began
	if ctx.Err() == nil || p.waited >= slowStore {
		p.failedBy(err)
	}
	return got, err
}

// failedBy notes an error that says that the store could not be used, and not
// that it has another opinion.
func (p *pass) failedBy(err error) {
	for _, kind := range []error{pair.ErrNotFound, pair.ErrExists, pair.ErrTooNew, pair.ErrInvalid, pair.ErrTooLarge, pair.ErrBusy} {
		if errors.Is(err, kind) {
			return
		}
	}
	if err != nil && !anothers(err) {
		p.fault = err
	}
}

func (a asked) Load(ctx context.Context, name string) (pair.Snapshot, error) {
	return ask(ctx, a.p, func() (pair.Snapshot, error) { return a.Store.Load(ctx, name) })
}

// Stop only counts what it takes: where it fails, what was read last counts, and the
// rest of the pass can go on.
func (a asked) Stop(ctx context.Context) (*pair.Pause, error) {
	began := a.p.Uptime()
	defer func() { a.p.waited += a.p.Uptime() - began }()
	return a.Store.Stop(ctx)
}

func (a asked) AcquireLease(ctx context.Context, snap pair.Snapshot, owner string, now time.Time, ttl time.Duration) (pair.Snapshot, error) {
	return ask(ctx, a.p, func() (pair.Snapshot, error) { return a.Store.AcquireLease(ctx, snap, owner, now, ttl) })
}

func (a asked) Holds(ctx context.Context, snap pair.Snapshot, owner string, now time.Time) error {
	_, err := ask(ctx, a.p, func() (struct{}, error) { return struct{}{}, a.Store.Holds(ctx, snap, owner, now) })
	return err
}

func (a asked) Commit(ctx context.Context, snap pair.Snapshot, ch pair.Change) (pair.Snapshot, error) {
	return ask(ctx, a.p, func() (pair.Snapshot, error) { return a.Store.Commit(ctx, snap, ch) })
}
