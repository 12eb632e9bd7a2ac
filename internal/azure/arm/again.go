package arm

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"tandem/internal/pair"
)

const (
	// attempts is how often a GET is tried. The next pass is never far, so
	// more would only hide an outage.
	attempts = 2
	// firstWait is the mean of the wait before the second attempt; jitter
	// takes up to half of it off or adds it.
	firstWait = 400 * time.Millisecond
	// longestWait is how long a Retry-After is waited for here. What is longer
	// goes to the caller as a *pair.Waiting.
	longestWait = 2 * time.Second
	// longestAfter bounds what a caller is told to wait, because a clock that
	// is wrong on either side makes absurd dates.
	longestAfter = time.Hour
)

// getAgain repeats a GET that got no answer or an answer of a platform in
// trouble. It replaces the SDK's retries and never touches another method: a
// write is decided again, not sent again.
type getAgain struct {
	now func() time.Time

	mu   sync.Mutex // guards rand, for the time of one draw
	rand *rand.Rand
}

func newGetAgain(seed uint64, now func() time.Time) *getAgain {
	return &getAgain{now: now, rand: rand.New(rand.NewPCG(seed, 0x61726d))}
}

// Do sends the request, and a GET again if that may help.
func (g *getAgain) Do(req *policy.Request) (*http.Response, error) {
	if req.Raw().Method != http.MethodGet {
		return req.Next()
	}
	ctx := req.Raw().Context()
	for attempt := 1; ; attempt++ {
		resp, err := req.Clone(ctx).Next()
		if attempt == attempts || ctx.Err() != nil || !passing(resp, err) {
			return resp, err
		}
		wait := retryAfter(resp, g.now())
		if wait > longestWait {
			return resp, err
		}
		if wait == 0 {
			wait = g.jitter()
		}
		if sleep(ctx, wait) != nil {
			return resp, err
		}
	}
}

// passing reports whether another attempt may get a better answer. Errors of a
// known kind are not the network's: a refused token stays refused, and a budget
// that is spent is spent for the second attempt too.
func passing(resp *http.Response, err error) bool {
	if err != nil {
		return !untrusted(err) && !errors.Is(err, pair.ErrRefused) && !errors.Is(err, pair.ErrInvalid) && !errors.Is(err, pair.ErrUnreadable) &&
			!errors.Is(err, pair.ErrThrottled)
	}
	switch resp.StatusCode {
	case http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	default:
		return false
	}
}

func (g *getAgain) jitter() time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	return firstWait/2 + time.Duration(g.rand.Int64N(int64(firstWait)))
}

// sleep waits for d or for the end of ctx, whose error it returns.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// retryAfter returns how long an answer asks to wait, 0 when it does not say.
// Azure sends seconds, a date, or milliseconds under two names of its own
// (azure.md 1.9).
func retryAfter(resp *http.Response, now time.Time) time.Duration {
	if resp == nil {
		return 0
	}
	var after time.Duration
	for _, name := range []string{"Retry-After-Ms", "X-Ms-Retry-After-Ms"} {
		if n, err := strconv.ParseInt(resp.Header.Get(name), 10, 32); err == nil && after == 0 {
			after = time.Duration(n) * time.Millisecond
		}
	}
	text := resp.Header.Get("Retry-After")
	if n, err := strconv.ParseInt(text, 10, 32); err == nil && after == 0 {
		after = time.Duration(n) * time.Second
	} else if t, err := http.ParseTime(text); err == nil && after == 0 {
		after = t.Sub(now)
	}
	return min(max(after, 0), longestAfter)
}
