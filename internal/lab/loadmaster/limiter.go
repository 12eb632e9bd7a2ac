package loadmaster

import "time"

const (
	limitCalls  = 30
	limitWindow = 3 * time.Second
)

// limiter is the unit's limit of 30 API calls in less than 3 seconds, over v1
// and v2 together (loadmaster.md 0.1 fact 4).
type limiter struct {
	calls [limitCalls]time.Time // the last ones, as a ring
	next  int
}

// allow counts a call and tells whether it may be answered. A call that may
// not does not count.
func (l *limiter) allow(now time.Time) bool {
	oldest := l.calls[l.next]
	if !oldest.IsZero() && now.Sub(oldest) < limitWindow {
		return false
	}
	l.calls[l.next] = now
	l.next = (l.next + 1) % limitCalls
	return true
}
