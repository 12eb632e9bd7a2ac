package loadmaster

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
	"unicode"

	"tandem/internal/pair"
)

// fault is an error of a call. It keeps kinds, never causes: a cause's text
// may quote the unit, and what a unit says may quote our secrets.
type fault struct {
	text string
	is   []error
}

func (f *fault) Error() string   { return f.text }
func (f *fault) Unwrap() []error { return f.is }

// Marks of faults that matter inside the package only.
var (
	errDropped   = errors.New("connection dropped") // a read may be tried again
	errForbidden = errors.New("forbidden")          // logged in, but this command is not permitted
)

// fault describes what became of a command, ending with its kind.
func (s *session) fault(c command, detail string, kind error, marks ...error) *fault {
	text := fmt.Sprintf("call %s on %s: %s", c, s.unit.at, detail)
	return &fault{text: text + ": " + kind.Error(), is: append(marks, kind)}
}

const maxShown = 200

// shown makes a text of the unit's fit to be logged and kept: without secrets
// and control characters, and short.
func (s *session) shown(text string) string {
	text = s.hider.Replace(text)
	text = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, text)
	text = strings.Join(strings.Fields(text), " ")
	if runes := []rune(text); len(runes) > maxShown {
		return string(runes[:maxShown]) + "…"
	}
	return text
}

// progress is how far a request came.
type progress struct {
	connected atomic.Bool // a connection was had, so the request may have been sent
	answered  atomic.Bool // at least one byte came back
	noTLS     atomic.Bool // TLS could not be agreed upon
}

func (p *progress) watch(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn:              func(httptrace.GotConnInfo) { p.connected.Store(true) },
		GotFirstResponseByte: func() { p.answered.Store(true) },
		TLSHandshakeDone:     func(_ tls.ConnectionState, err error) { p.noTLS.Store(err != nil) },
	})
}

// lost explains a call that ended without an answer. The first rule that fits
// wins.
func (s *session) lost(ctx context.Context, c command, p *progress, err error) error {
	if why, ok := untrusted(err); ok {
		return s.fault(c, s.shown(why), pair.ErrUntrusted)
	}
	detail := s.shown(err.Error())
	if end := ctx.Err(); end != nil { // the caller's, not the call's own
		if c.write && p.connected.Load() {
			return s.fault(c, "given up after it was sent", pair.ErrUnknownOutcome, end)
		}
		return s.fault(c, "given up before an answer came", end)
	}
	switch {
	case c.write && p.connected.Load():
		return s.fault(c, "the request was sent, but the answer was lost: "+detail, pair.ErrUnknownOutcome)
	case timedOut(err):
		return s.fault(c, fmt.Sprintf("expected an answer within %v", c.timeout(s.client.opts.Timeout)), pair.ErrUnreachable)
	case dropped(err):
		return s.fault(c, "the unit dropped the connection: "+detail, pair.ErrUnreachable, errDropped)
	case p.answered.Load() || p.noTLS.Load() || errors.Is(err, http.ErrSchemeMismatch):
		return s.fault(c, "expected HTTP over TLS 1.2 or later: "+detail, pair.ErrUnreadable)
	default:
		return s.fault(c, detail, pair.ErrUnreachable)
	}
}

func untrusted(err error) (why string, ok bool) {
	if d, ok := errors.AsType[*distrust](err); ok {
		return d.why, true
	}
	if v, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return v.Error(), true
	}
	return "", false
}

func timedOut(err error) bool {
	if errors.Is(err, context.DeadlineExceeded) {
		return true
	}
	n, ok := errors.AsType[net.Error](err)
	return ok && n.Timeout()
}

// dropped recognises what clients see when a unit has had too many calls
// (loadmaster.md 0.1 item 4), or goes away.
func dropped(err error) bool {
	for _, sign := range []error{io.EOF, io.ErrUnexpectedEOF, syscall.ECONNRESET, syscall.EPIPE} {
		if errors.Is(err, sign) {
			return true
		}
	}
	return false
}

// unreadable is an answer that cannot be understood. A write may have been
// done nevertheless.
func (s *session) unreadable(c command, detail string) error {
	if c.write {
		return s.fault(c, detail, pair.ErrUnknownOutcome)
	}
	return s.fault(c, detail, pair.ErrUnreadable)
}

// verdict turns an answer that is not a success into an error
// (loadmaster.md 1.5).
func (s *session) verdict(c command, d dialect, a answer) error {
	told := s.told(d, a)
	switch {
	case a.code < 300 && !a.page:
		return nil
	case a.code < 300:
		return s.unreadable(c, "expected JSON or XML, got a page or nothing")
	case a.code < 400:
		return s.fault(c, "expected an answer, was sent elsewhere, perhaps to a login page"+told, pair.ErrRefused)
	case a.code == http.StatusUnauthorized:
		return s.fault(c, "the credentials were not accepted"+told, pair.ErrRefused)
	case a.code == http.StatusForbidden:
		return s.fault(c, "the user lacks the permission"+told, pair.ErrRefused, errForbidden)
	case a.code == http.StatusNotFound:
		return s.fault(c, "the API is switched off (Enable API Interface), or on another port"+told, pair.ErrRefused)
	case a.code == http.StatusMethodNotAllowed, strings.Contains(strings.ToLower(a.message), "unknown parameter"):
		return s.fault(c, "this firmware does not know it"+told, pair.ErrNotFound)
	case a.code == http.StatusTooManyRequests, a.code == http.StatusServiceUnavailable && a.after > 0:
		return &pair.Waiting{Err: s.fault(c, "the unit asks for patience"+told, pair.ErrThrottled), After: a.after}
	case a.code >= 500:
		return s.unreadable(c, "the unit failed"+told)
	default:
		return s.fault(c, "the unit does not accept the values"+told, pair.ErrInvalid)
	}
}

// told quotes the unit, and says why the old API is spoken where it is.
func (s *session) told(d dialect, a answer) string {
	text := " (" + strings.TrimSpace(fmt.Sprintf("%s: %d %s", d, a.code, s.shown(a.message))) + ")"
	if code, fellBack := s.unit.remembersOldAPI(s.key); d == v1 && fellBack {
		text += fmt.Sprintf("; API v2 was refused with %d though the credentials work: is Session Management on?", code)
	}
	return text
}

// refusedStill is the answer to a call that is not made, because the same
// credentials were refused a moment ago.
func (s *session) refusedStill(c command, left time.Duration) error {
	detail := fmt.Sprintf("the credentials were refused before and are not tried again for %v, lest the account be locked", left.Round(time.Second))
	return &pair.Waiting{Err: s.fault(c, detail, pair.ErrRefused), After: left}
}
