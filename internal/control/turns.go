package control

import (
	"context"
	"fmt"
	"sync"
	"time"

	"tandem/internal/pair"
)

// turnPatience is how long a pass waits for the one before it. It is short,
// because what it waits is taken from the time of its own invocation; a pass
// that gives up is put back into the queue.
const turnPatience = 5 * time.Second

// sweptAtOnce is how many passes of sweeps run at the same time in one process.
// The host hands out 600 pairs at once, and a pass with its two TLS connections
// needs a tenth of a megabyte. What an event or a fence asks for never waits.
const sweptAtOnce = 64

// seat waits for one of the seats that passes of sweeps share, and returns what
// gives it back.
func (c *Controller) seat(ctx context.Context, name string) (giveBack func(), err error) {
	select {
	case c.seats <- struct{}{}:
		return func() { <-c.seats }, nil
	case <-ctx.Done():
		c.Log.WarnContext(ctx, "pair was not looked at, others took all the time", "pair", name)
		return nil, fmt.Errorf("wait for the passes over other pairs: %w", ctx.Err())
	}
}

// turns lets the passes over one pair in this process run one after the other.
// Safety does not rest on it, the store's lease and epoch see to that across
// processes; it saves the work of passes that would only meet the lease.
type turns struct {
	mu    sync.Mutex
	taken map[string]*turn
}

type turn struct {
	free chan struct{} // holds one token while nobody has the turn
	want int           // who has it or waits for it
}

// take waits for the pair's turn and returns what gives it back. With wait
// false it does not wait, and returns nil when somebody has the turn.
func (t *turns) take(ctx context.Context, name string, wait bool) (giveBack func(), err error) {
	one := t.enter(name)
	select {
	case <-one.free:
		return func() { t.leave(name, one, true) }, nil
	default:
	}
	if !wait {
		t.leave(name, one, false)
		return nil, nil
	}
	patience := time.NewTimer(turnPatience)
	defer patience.Stop()
	select {
	case <-one.free:
		return func() { t.leave(name, one, true) }, nil
	case <-patience.C:
		err = pair.ErrBusy
	case <-ctx.Done():
		err = ctx.Err()
	}
	t.leave(name, one, false)
	return nil, err
}

func (t *turns) enter(name string) *turn {
	t.mu.Lock()
	defer t.mu.Unlock()
	one := t.taken[name]
	if one == nil {
		one = &turn{free: make(chan struct{}, 1)}
		one.free <- struct{}{}
		t.taken[name] = one
	}
	one.want++
	return one
}

func (t *turns) leave(name string, one *turn, had bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if had {
		one.free <- struct{}{} // never waits: there is one token
	}
	if one.want--; one.want == 0 {
		delete(t.taken, name)
	}
}
