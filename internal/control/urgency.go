package control

import (
	"context"
	"errors"
	"fmt"
	"time"

	"tandem/internal/pair"
)

type rankKey struct{}

// ranked notes in a context how urgent the work is that is done with it, for
// whoever sends its requests. Only what can wait is marked: a mark that was
// forgotten costs others a little of what they may ask, and keeps no fence back.
func ranked(ctx context.Context, r pair.Rank) context.Context {
	return context.WithValue(ctx, rankKey{}, r)
}

// RankOf returns how urgent the work is that a context is for: pair.RankLook for a
// look at a pair with which nothing is wrong, pair.RankRepair for what compares a
// pair with its file and repairs it, and pair.RankUnknown, which waits for nothing,
// for all else.
func RankOf(ctx context.Context) pair.Rank {
	r, _ := ctx.Value(rankKey{}).(pair.Rank)
	return r
}

const (
	// throttledFor is how long nothing is read after a 429 that does not say, and
	// throttledMax the most that one is believed.
	throttledFor = 10 * time.Second
	throttledMax = time.Minute
)

// rest is until which uptime nothing is asked of Resource Manager about one
// subscription: what only reads, and what can wait.
type rest struct{ reads, waits time.Duration }

// throttle keeps what would be asked back for as long as Resource Manager asks for,
// and reports whether it does. What can wait keeps back only what can wait: the
// error may be that of the budget, which is none to a fence. Writes that cannot wait
// have a wait of their own in their intents.
//
// Whoever sends the requests keeps to it too, in every process. This spares the
// passes over many pairs to find that out one by one.
func (p *pass) throttle(ctx context.Context, err error) bool {
	if !errors.Is(err, pair.ErrThrottled) {
		return false
	}
	until := p.Uptime() + min(pair.RetryAfter(err, throttledFor), throttledMax)
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.rests[p.subscription()]
	r.waits = max(r.waits, until)
	if RankOf(ctx) == pair.RankUnknown {
		r.reads = until
	}
	p.rests[p.subscription()] = r
	return true
}

// throttled reports whether what the context is for must not be asked now.
func (p *pass) throttled(ctx context.Context) bool { return p.resting(ctx) != nil }

// resting is the error of what must not be asked now, with what is left of the wait.
func (p *pass) resting(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	left := p.restsUntil(RankOf(ctx)) - p.Uptime()
	if left <= 0 {
		return nil
	}
	return &pair.Waiting{Err: fmt.Errorf("wait until Resource Manager can be asked again: %w", pair.ErrThrottled), After: left}
}

// restsUntil is the uptime until which nothing of a rank is asked. p.mu is held.
func (p *pass) restsUntil(rank pair.Rank) time.Duration {
	r := p.rests[p.subscription()]
	if rank == pair.RankUnknown {
		return r.reads
	}
	return r.waits
}

func (p *pass) subscription() string { return p.snap.Definition.Azure.Subscription }
