package store

import "time"

// requests is a number of requests to Resource Manager, of the two kinds that
// it limits apart.
type requests struct{ reads, writes int }

func (n requests) plus(o requests) requests {
	return requests{n.reads + o.reads, n.writes + o.writes}
}

func (n requests) less(o requests) requests {
	return requests{n.reads - o.reads, n.writes - o.writes}
}

// allowance is what may be sent of one kind: so many requests at once, and then
// one each so often.
type allowance struct {
	burst int
	each  time.Duration
}

// What we take of a subscription, at most half of what it allows, because
// others use it too and fences do not ask (azure.md 1.10). Resource Manager
// takes 250 reads at once and then 25 in a second; writes are bounded by
// Microsoft.Network, which takes 1,000 in five minutes, more than by Resource
// Manager, which takes 200 at once and then 10 in a second.
//
// What processes hold in portions, and clocks that differ, come on top of a
// burst; even so there are never more than 250 reads at once, and 500 writes in
// five minutes.
var (
	readAllowance  = allowance{burst: 125, each: 80 * time.Millisecond}
	writeAllowance = allowance{burst: 100, each: 800 * time.Millisecond}
)

// budget is the stored form of what is left for a subscription. Each bucket of
// tokens is kept as the one time at which it will be full again: it fills by
// itself, and what is spent, also what was spent without asking, and what has
// to rest only move that time on.
type budget struct {
	Subscription string    `json:"subscription"`
	ReadsFullAt  time.Time `json:"readsFullAt,omitzero"`
	WritesFullAt time.Time `json:"writesFullAt,omitzero"`
}

// wait returns how long it takes until so many requests can be taken, at most a
// burst of each kind, and 0 if they can be taken now.
func (b budget) wait(n requests, now time.Time) time.Duration {
	return max(readAllowance.wait(b.ReadsFullAt, n.reads, now), writeAllowance.wait(b.WritesFullAt, n.writes, now))
}

// spent returns the budget after so many requests.
func (b budget) spent(n requests, now time.Time) budget {
	b.ReadsFullAt = readAllowance.spent(b.ReadsFullAt, n.reads, now)
	b.WritesFullAt = writeAllowance.spent(b.WritesFullAt, n.writes, now)
	return b
}

// rested returns the budget after an answer that asked for patience: nothing is
// left until that is over, and nothing is saved up then.
func (b budget) rested(after time.Duration, now time.Time) budget {
	b.ReadsFullAt = readAllowance.rested(b.ReadsFullAt, after, now)
	b.WritesFullAt = writeAllowance.rested(b.WritesFullAt, after, now)
	return b
}

// portion returns how much a process is given that needs n now, which is there,
// and would take more if there is more.
func (b budget) portion(n, more requests, now time.Time) requests {
	return requests{
		reads:  n.reads + min(more.reads, max(readAllowance.left(b.ReadsFullAt, now)-n.reads, 0)),
		writes: n.writes + min(more.writes, max(writeAllowance.left(b.WritesFullAt, now)-n.writes, 0)),
	}
}

// later returns the later times of both: what is known of the budget when each
// was true once.
func (b budget) later(o budget) budget {
	if o.ReadsFullAt.After(b.ReadsFullAt) {
		b.ReadsFullAt = o.ReadsFullAt
	}
	if o.WritesFullAt.After(b.WritesFullAt) {
		b.WritesFullAt = o.WritesFullAt
	}
	return b
}

// astray reports whether a time lies farther ahead than any that is stored: it
// was noted by a clock that was ahead, or now is by one that is behind.
func (b budget) astray(now time.Time) bool {
	return readAllowance.astray(b.ReadsFullAt, now) || writeAllowance.astray(b.WritesFullAt, now)
}

// window is how long an empty bucket takes to be full.
func (a allowance) window() time.Duration { return time.Duration(a.burst) * a.each }

func (a allowance) astray(fullAt, now time.Time) bool {
	return fullAt.Sub(now) > maxWait+a.window()+LeaseSkew
}

// at returns when the bucket will be full, seen from now. One whose time went
// astray is empty: that is safe, and ends.
func (a allowance) at(fullAt, now time.Time) time.Time {
	switch {
	case fullAt.Before(now):
		return now
	case a.astray(fullAt, now):
		return now.Add(a.window())
	default:
		return fullAt
	}
}

func (a allowance) wait(fullAt time.Time, n int, now time.Time) time.Duration {
	if n == 0 {
		return 0
	}
	full := a.at(fullAt, now).Add(time.Duration(min(n, a.burst)) * a.each)
	return max(full.Sub(now)-a.window(), 0)
}

// left is how many can be taken now; below 0 while a debt is paid off.
func (a allowance) left(fullAt, now time.Time) int {
	return int((a.window() - a.at(fullAt, now).Sub(now)) / a.each)
}

// spent never puts a bucket deeper into debt than one burst: who asks must not
// wait for ever because others need not ask.
func (a allowance) spent(fullAt time.Time, n int, now time.Time) time.Time {
	at := a.at(fullAt, now)
	next := at.Add(time.Duration(n) * a.each)
	if deepest := now.Add(2 * a.window()); next.After(deepest) {
		next = deepest
	}
	if next.Before(at) { // it rests longer than that
		return at
	}
	return next
}

func (a allowance) rested(fullAt time.Time, after time.Duration, now time.Time) time.Time {
	at := a.at(fullAt, now)
	if until := now.Add(min(max(after, 0), maxWait) + a.window()); until.After(at) {
		return until
	}
	return at
}
