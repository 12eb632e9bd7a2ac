package events

import (
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"tandem/internal/pair"
)

// kindOfStatus says what a status of the topic's endpoint means (azure.md 7).
func kindOfStatus(status int) error {
	switch status {
	case http.StatusBadRequest:
		return pair.ErrInvalid // for example a topic with another input schema
	case http.StatusUnauthorized, http.StatusForbidden:
		return pair.ErrRefused
	case http.StatusNotFound:
		return pair.ErrNotFound
	case http.StatusRequestEntityTooLarge:
		return pair.ErrTooLarge
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		return pair.ErrThrottled
	default:
		return pair.ErrUnknownOutcome
	}
}

// maxRetryAfter bounds what the platform may ask for.
const maxRetryAfter = time.Hour

// retryAfter returns how long an answer asks to wait, 0 when it does not say.
// A date instead of seconds counts as not saying: it would need a clock that
// agrees with theirs.
func retryAfter(answer *http.Response) time.Duration {
	if answer == nil {
		return 0
	}
	s, err := strconv.Atoi(answer.Header.Get("Retry-After"))
	if err != nil || s < 0 {
		return 0
	}
	return time.Duration(min(s, int(maxRetryAfter/time.Second))) * time.Second
}

// neverSent reports whether a request surely did not leave: nobody was there to
// take it. Every other fault of the network leaves the outcome open.
func neverSent(err error) bool {
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
		return true
	}
	_, ok := errors.AsType[*net.DNSError](err)
	return ok
}

// maxAnswer bounds the body of an answer; the endpoint answers with nothing or
// a short error.
const maxAnswer = 1 << 20

// limited returns a transport that reads no more than maxAnswer of an answer.
// The default one follows no redirect, because the key would go along to
// wherever it leads.
func limited(t policy.Transporter) policy.Transporter {
	if t == nil {
		t = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	}
	return limiter{t}
}

type limiter struct{ next policy.Transporter }

func (l limiter) Do(r *http.Request) (*http.Response, error) {
	answer, err := l.next.Do(r)
	if err != nil || answer == nil {
		return answer, err
	}
	answer.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(answer.Body, maxAnswer), answer.Body}
	return answer, nil
}
