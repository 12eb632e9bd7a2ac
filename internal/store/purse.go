package store

import (
	"context"
	"fmt"
	"sync"
	"time"

	"tandem/internal/pair"
)

const (
	// portionReads and portionWrites are the most that a process takes of a
	// budget at once, so that it seldom has to ask the store. A write comes with
	// several reads: before it, and of its operation.
	portionReads  = 20
	portionWrites = 5
	// portionLife is how long a portion may be used. The shorter it is, the less
	// can be sent at once of what many processes have put by.
	portionLife = 5 * time.Second
)

// purse is what one process holds of a subscription's budget.
type purse struct {
	turn chan struct{} // full while one of the process asks the store

	mu            sync.Mutex // guards what follows; never held across a wait
	reads, writes portion
	// seen is the budget as it was stored last, as far as this process knows.
	// Others can only have taken of it since, so what it refuses is refused
	// without asking the store.
	seen budget
}

// portion is what a process has put by of one kind.
type portion struct {
	left  int       // below 0 what was spent and the store was not told of yet
	since time.Time // when it was given, of which it may be used for portionLife
	// more is what to take beside what is needed. It grows while portions are
	// used up and falls when one spoils, because what spoils is lost to all.
	more int
}

func newPurse() *purse { return &purse{turn: make(chan struct{}, 1)} }

// enter waits until no other of the process asks the store.
func (p *purse) enter(ctx context.Context) error {
	select {
	case p.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for others who ask: %w: %w", pair.ErrUnreachable, ctx.Err())
	}
}

// tryEnter is enter for one that does not wait: who is asking now, or comes
// next, tells what is owed as well.
func (p *purse) tryEnter() bool {
	select {
	case p.turn <- struct{}{}:
		return true
	default:
		return false
	}
}

func (p *purse) leave() { <-p.turn }

// answer pays n, or refuses it, as far as that can be said without the store.
func (p *purse) answer(n requests, now time.Time) (answered bool, err error) {
	switch paid, wait := p.pay(n, now); {
	case paid:
		return true, nil
	case wait > 0:
		return true, exhausted(wait)
	default:
		return false, nil
	}
}

// pay takes n out of the purse if all of it is there. If not, it returns for
// how long it is of no use to ask the store, 0 where that has to be asked.
func (p *purse) pay(n requests, now time.Time) (paid bool, wait time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.spoil(now)
	if p.there(n) == n {
		p.add(requests{}.less(n))
		return true, 0
	}
	if p.seen.astray(now) {
		p.seen = budget{}
	}
	return false, p.refused(n.less(p.there(n)), now)
}

// scrape takes out of the purse what is there of n, and returns it with what to
// take from the store beside the rest.
func (p *purse) scrape(n requests, now time.Time) (there, more requests) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.spoil(now)
	there = p.there(n)
	p.add(requests{}.less(there))
	return there, p.wish(n.less(there))
}

// putBack returns what was scraped for nothing.
func (p *purse) putBack(n requests) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.add(n)
}

// owe takes n out of the purse whether it is there or not, and reports whether
// the store should be told.
func (p *purse) owe(n requests, now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.spoil(now)
	p.add(requests{}.less(n))
	return p.reads.left <= -portionReads || p.writes.left <= -portionWrites
}

// owed returns what was spent and the store was not told of yet.
func (p *purse) owed() requests {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.debts()
}

// settle notes how the budget is stored after told was told and got was given
// for a need, and what is put by of it.
func (p *purse) settle(told, got, need requests, stored budget, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.add(told)
	p.seen = p.seen.later(stored)
	if got.reads > 0 {
		p.reads.put(got.reads-need.reads, portionReads, now)
	}
	if got.writes > 0 {
		p.writes.put(got.writes-need.writes, portionWrites, now)
	}
}

// deny notes how the budget is stored that has too little for a need after told
// was told, and returns how long to wait.
func (p *purse) deny(told, need requests, stored budget, now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.add(told)
	p.seen = p.seen.later(stored)
	return p.refused(need, now)
}

// rest throws the portions away, and refuses until the rest is over.
func (p *purse) rest(after time.Duration, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reads.left, p.writes.left = min(p.reads.left, 0), min(p.writes.left, 0)
	p.seen = p.seen.rested(after, now)
}

// refused returns how long to wait for a need by what was seen, and 0 if the
// store has to be asked. Where little is left, a portion's worth has to come
// together first, or the store would be asked for each single request. The
// caller holds mu.
func (p *purse) refused(need requests, now time.Time) time.Duration {
	return p.seen.spent(p.debts(), now).wait(need.plus(p.wish(need)), now)
}

// wish is what to take beside what is needed. The caller holds mu.
func (p *purse) wish(need requests) (more requests) {
	if need.reads > 0 {
		more.reads = p.reads.more
	}
	if need.writes > 0 {
		more.writes = p.writes.more
	}
	return more
}

// there is what the purse has of n. The caller holds mu.
func (p *purse) there(n requests) requests {
	return requests{min(max(p.reads.left, 0), n.reads), min(max(p.writes.left, 0), n.writes)}
}

// debts is what is owed. The caller holds mu.
func (p *purse) debts() requests { return requests{max(-p.reads.left, 0), max(-p.writes.left, 0)} }

// add changes what is left. The caller holds mu.
func (p *purse) add(n requests) {
	p.reads.left += n.reads
	p.writes.left += n.writes
}

// spoil forgets what is too old. The caller holds mu.
func (p *purse) spoil(now time.Time) {
	p.reads.spoil(now)
	p.writes.spoil(now)
}

// spoil forgets a portion that is too old, by a clock that may have gone back.
func (q *portion) spoil(now time.Time) {
	if q.left > 0 && now.Sub(q.since).Abs() >= portionLife {
		q.left, q.more = 0, q.more/2
	}
}

// put puts by what was taken beside what was needed, and makes the next one
// larger, up to size.
func (q *portion) put(n, size int, now time.Time) {
	q.left += n
	q.since = now
	q.more = min(2*q.more+1, size-1)
}
