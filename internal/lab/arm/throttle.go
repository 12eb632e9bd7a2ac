package arm

import (
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Bucket is a token bucket: how many requests it holds, and how many come
// back per second. The zero value means the documented one, 250 and 25 for
// reads, 200 and 10 for writes (azure.md 1.10).
type Bucket struct {
	Size      int
	PerSecond float64
}

func (b Bucket) withDefaults(standard Bucket) Bucket {
	if b.Size <= 0 {
		b.Size = standard.Size
	}
	if b.PerSecond <= 0 {
		b.PerSecond = standard.PerSecond
	}
	return b
}

// bucketLevel is how full a bucket was at some time.
type bucketLevel struct {
	tokens float64
	at     time.Time
}

// take takes a token, or tells how long it is until there is one.
func (l *bucketLevel) take(b Bucket, now time.Time) (left int, wait time.Duration) {
	l.tokens = min(float64(b.Size), l.tokens+now.Sub(l.at).Seconds()*b.PerSecond)
	l.at = now
	if l.tokens < 1 {
		return 0, time.Duration(math.Ceil((1 - l.tokens) / b.PerSecond * float64(time.Second)))
	}
	l.tokens--
	return int(l.tokens), 0
}

// admit spends a token of the principal, or answers 429. Polling a long
// operation is a read like any other, and every POST counts as a write.
func (m *Manager) admit(c *call) error {
	m.mu.Lock()
	defer m.unlockAndDeliver()
	what, bucket := "reads", m.opts.Reads
	if c.method != http.MethodGet && c.method != http.MethodHead {
		what, bucket = "writes", m.opts.Writes
	}
	key := what + "|" + strings.ToLower(c.target.subscription) + "|" + c.principal.key()
	level := m.buckets[key]
	now := time.Now()
	if level == nil {
		level = &bucketLevel{tokens: float64(bucket.Size), at: now}
		m.buckets[key] = level
	}
	left, wait := level.take(bucket, now)
	c.header.Set("X-Ms-Ratelimit-Remaining-Subscription-"+what, strconv.Itoa(left))
	if wait == 0 {
		return nil
	}
	m.logf("%s: throttled, too many %s", c.principal, what)
	seconds := int(math.Ceil(wait.Seconds()))
	return &failure{
		status: http.StatusTooManyRequests, code: "SubscriptionRequestsThrottled", retryAfter: wait,
		message: fmt.Sprintf("Number of '%s' for subscription '%s' exceeded. Please try again after '%d' seconds after additional tokens are available.",
			what, c.target.subscription, seconds),
	}
}
