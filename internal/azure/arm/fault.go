package arm

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"
	"unicode"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"

	"tandem/internal/pair"
)

// call is one call of Resource Manager. It keeps what is needed to say
// afterwards what became of it.
type call struct {
	what  string // what is attempted and with which thing, the start of its errors
	write bool
	now   func() time.Time

	sent atomic.Bool    // set by wire
	resp *http.Response // the last answer, set by the SDK
}

type callKey struct{}

func (c *Client) reading(format string, args ...any) *call {
	return &call{what: fmt.Sprintf(format, args...), now: c.now}
}

func (c *Client) writing(what string) *call {
	return &call{what: what, write: true, now: c.now}
}

// within returns the context to make the call with.
func (k *call) within(ctx context.Context) context.Context {
	return policy.WithCaptureResponse(context.WithValue(ctx, callKey{}, k), &k.resp)
}

// failed turns what the SDK returned into an error of one of pair's kinds. It
// is the only place that knows the SDK's errors.
func (k *call) failed(err error) error {
	if e, ok := errors.AsType[*azcore.ResponseError](err); ok && e.RawResponse != nil {
		return k.refused(e.RawResponse)
	}
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err // without the address, which holds a signature when it is an operation's
	}
	canceled, late := errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded)
	switch {
	case untrusted(err):
		return fmt.Errorf("%s: %w: %w", k.what, pair.ErrUntrusted, err)
	case k.write && k.sent.Load() && !dialing(err) && (canceled || late):
		return fmt.Errorf("%s: %w: %w", k.what, pair.ErrUnknownOutcome, err)
	case k.write && k.sent.Load() && !dialing(err):
		// Its text only: whatever it is, it must not look like another kind.
		return fmt.Errorf("%s: %w: %s", k.what, pair.ErrUnknownOutcome, err.Error())
	case canceled, hasKind(err):
		return fmt.Errorf("%s: %w", k.what, err)
	case !late && k.resp != nil && k.resp.StatusCode < http.StatusBadRequest:
		return fmt.Errorf("%s: %w: %s%s", k.what, pair.ErrUnreadable, err.Error(), correlation(k.resp)) // its text only, as above
	default:
		return fmt.Errorf("%s: %w: %w", k.what, pair.ErrUnreachable, err)
	}
}

// hasKind reports whether err already is of a kind that may come from below:
// from the credential, from homeOnly, from account or from wire.
func hasKind(err error) bool {
	for _, kind := range []error{pair.ErrRefused, pair.ErrUnreachable, pair.ErrInvalid, pair.ErrUnreadable, pair.ErrThrottled} {
		if errors.Is(err, kind) {
			return true
		}
	}
	return false
}

// untrusted reports whether the other side's certificate was not accepted, in
// which case no request was sent.
func untrusted(err error) bool {
	_, ok := errors.AsType[*tls.CertificateVerificationError](err)
	return ok
}

// dialing reports whether no connection came about, so that nothing was sent.
func dialing(err error) bool {
	e, ok := errors.AsType[*net.OpError](err)
	return ok && e.Op == "dial"
}

// refused turns an answer that is not a success into an error. A long-running
// operation that failed has status 200 (azure.md 1.9).
func (k *call) refused(resp *http.Response) error {
	a := readAnswer(resp)
	err := fmt.Errorf("%s: %w: %s%s", k.what, a.kind(k.write), a, correlation(resp))
	after := retryAfter(resp, k.now())
	if after == 0 && slices.ContainsFunc(a.codes, noCapacity) {
		after = capacityAfter
	}
	if after > 0 {
		return &pair.Waiting{Err: err, After: after}
	}
	return err
}

// correlation names the call as Azure's own logs do.
func correlation(resp *http.Response) string {
	for _, name := range []string{"X-Ms-Correlation-Request-Id", "X-Ms-Request-Id"} {
		if id := resp.Header.Get(name); id != "" {
			return " (correlation " + oneLine(id, 64) + ")"
		}
	}
	return ""
}

// answer is what Resource Manager says about a failure.
type answer struct {
	status  int
	codes   []string // the code, then those of the details
	message string
}

// problem is the error object of Resource Manager, alone or as the member
// "error".
type problem struct {
	Code    string    `json:"code"`
	Message string    `json:"message"`
	Details []problem `json:"details"`
}

// readAnswer never fails: a proxy's HTML page is an answer too.
func readAnswer(resp *http.Response) answer {
	var body struct {
		Error problem `json:"error"`
		problem
	}
	if b, err := runtime.Payload(resp); err == nil && len(b) > 0 {
		_ = json.Unmarshal(b, &body) // what could not be read stays empty
	}
	p := body.Error
	if p.Code == "" {
		p = body.problem
	}
	a := answer{status: resp.StatusCode, message: p.Message}
	for _, q := range append([]problem{p}, p.Details...) {
		if q.Code != "" {
			a.codes = append(a.codes, q.Code)
		}
		if q.Message != "" {
			a.message = q.Message // the last detail says most
		}
	}
	if len(a.codes) == 0 && resp.Header.Get("X-Ms-Error-Code") != "" {
		a.codes = []string{resp.Header.Get("X-Ms-Error-Code")}
	}
	return a
}

func (a answer) String() string {
	text := fmt.Sprintf("status %d", a.status)
	if len(a.codes) > 0 {
		text += " " + oneLine(strings.Join(a.codes, ", "), 200)
	}
	if a.message != "" {
		text += ": " + oneLine(a.message, 400)
	}
	return text
}

// oneLine makes foreign text fit into an error: printable, one line, bounded.
func oneLine(s string, most int) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, s)
	if r := []rune(s); len(r) > most {
		return string(r[:most]) + "…"
	}
	return s
}

// kindOf returns what one of Azure's codes means where it says more than the
// status, otherwise nil. The network provider's 429 means locked as often as
// throttled (azure.md 1.9), and a person's resource lock is a 409.
func kindOf(code string) error {
	switch strings.ToLower(code) {
	case "canceledandsupersededduetoanotheroperation", "operationpreempted":
		return pair.ErrSuperseded
	case "conflictingconcurrentwritenotallowed", "retryableerror", "retryableerrorduetoanotheroperation", "referencedresourcenotprovisioned", "anotheroperationinprogress":
		return pair.ErrBusy
	case "preconditionfailed", "preconditionfailedetagmismatch":
		return pair.ErrConflict
	case "notfound", "resourcenotfound", "resourcegroupnotfound", "subscriptionnotfound":
		return pair.ErrNotFound
	case "authorizationfailed", "linkedauthorizationfailed", "requestdisallowedbypolicy", "scopelocked", "invalidauthenticationtoken",
		"operationnotallowed", "quotaexceeded":
		return pair.ErrRefused
	case "modificationofnicipconfigbackendpoolnotsupported":
		return pair.ErrInvalid
	default:
		if noCapacity(code) {
			return pair.ErrRefused
		}
		return nil
	}
}

// capacityAfter is how long to wait where Azure has no room for a VM, which it
// says without a time. Room is made by others who stop theirs, so asking again
// within seconds is in vain.
const capacityAfter = 10 * time.Minute

// noCapacity reports whether a code says that a region or zone has no room for
// a VM. It is a refusal, like a quota, but one that passes by itself.
func noCapacity(code string) bool {
	switch strings.ToLower(code) {
	case "allocationfailed", "zonalallocationfailed", "overconstrainedallocationrequest", "overconstrainedzonalallocationrequest", "skunotavailable":
		return true
	default:
		return false
	}
}

// kind chooses one of pair's kinds. The last code that is known counts,
// because details are more exact than the code above them. A write that was
// answered with a server's error may have been done all the same.
func (a answer) kind(write bool) error {
	if write && (a.status >= http.StatusInternalServerError || a.status == http.StatusRequestTimeout) {
		return pair.ErrUnknownOutcome
	}
	for _, code := range slices.Backward(a.codes) {
		if kind := kindOf(code); kind != nil {
			return kind
		}
	}
	switch a.status {
	case http.StatusUnauthorized, http.StatusForbidden:
		return pair.ErrRefused
	case http.StatusNotFound, http.StatusGone:
		return pair.ErrNotFound
	case http.StatusConflict, http.StatusPreconditionFailed:
		return pair.ErrConflict
	case http.StatusTooManyRequests:
		return pair.ErrThrottled
	case http.StatusRequestTimeout:
		return pair.ErrUnreachable
	}
	switch {
	case a.status >= http.StatusInternalServerError:
		return pair.ErrUnreachable
	case a.status >= http.StatusBadRequest:
		return pair.ErrInvalid
	case write: // an operation that failed or was cancelled for a reason of its own
		return pair.ErrUnknownOutcome
	default:
		return pair.ErrUnreadable
	}
}
