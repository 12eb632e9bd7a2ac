package story

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"tandem/internal/pair"
)

// tables are the ways in which the tables of the storage account can fail the
// workers, all of them alike, while the queues work.
type tables struct {
	random *rand.Rand

	mu    sync.Mutex // guards what follows, and random; never held across a wait
	down  bool
	only  bool // reads work
	late  time.Duration
	fails []bool // the next requests: whether they are done all the same
	n     int    // counts requests
}

func newTables(seed uint64) *tables {
	return &tables{random: rand.New(rand.NewPCG(seed, 0x7461626c6573))}
}

func (t *tables) setDown() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.down = true
}

// setReadOnly refuses every write.
func (t *tables) setReadOnly() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.only = true
}

func (t *tables) setLate(late time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.late = late
}

// heal ends every fault.
func (t *tables) heal() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.down, t.only, t.late, t.fails = false, false, 0, nil
}

// failNext lets the next requests fail, half of them after they were done.
func (t *tables) failNext(times int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	next := make([]bool, times)
	for i := range next {
		next[i] = i%2 == 0
	}
	t.random.Shuffle(times, func(i, j int) { next[i], next[j] = next[j], next[i] })
	t.fails = append(t.fails, next...)
}

// fate is what becomes of one request.
type fate struct {
	half    time.Duration // that it is slower, on each way
	down    bool
	only    bool // writes are refused
	fails   bool
	allSame bool // it is done although it fails
}

func (t *tables) next() fate {
	t.mu.Lock()
	defer t.mu.Unlock()
	f := fate{down: t.down, only: t.only}
	if t.late > 0 {
		t.n++ // requests of one instant come back apart from each other
		f.half = t.late/2 + time.Duration(t.n%1000)
	}
	if !t.down && len(t.fails) > 0 {
		f.fails, f.allSame, t.fails = true, t.fails[0], t.fails[1:]
	}
	return f
}

// gate is a store.TableGate. A slow request is done half-way through its time,
// so one that is given up may have been done or not.
func (t *tables) gate(ctx context.Context, write bool, do func() error) error {
	f := t.next()
	if err := wait(ctx, f.half, write); err != nil {
		return err
	}
	switch {
	case f.down:
		return fmt.Errorf("the tables cannot be reached: %w", pair.ErrUnreachable)
	case f.only && write:
		return fmt.Errorf("the tables can only be read: %w", pair.ErrRefused)
	case f.fails && !write:
		return fmt.Errorf("the tables gave no answer: %w", pair.ErrUnreachable)
	case f.fails && f.allSame:
		if err := do(); err != nil {
			return err
		}
		return errLost
	case f.fails:
		return errLost
	}
	if err := do(); err != nil {
		return err
	}
	return wait(ctx, f.half, write)
}

// errLost is the fate of a write that was sent and not answered.
var errLost = fmt.Errorf("the tables gave no answer: %w", pair.ErrUnknownOutcome)

// wait is the time that a request takes one way. Who does not wait for it knows
// nothing of a write.
func wait(ctx context.Context, d time.Duration, write bool) error {
	if d == 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
	}
	kind := pair.ErrUnreachable
	if write {
		kind = pair.ErrUnknownOutcome
	}
	return fmt.Errorf("the tables gave no answer in time: %w: %w", kind, ctx.Err())
}
