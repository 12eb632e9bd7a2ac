package loadmaster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"tandem/internal/pair"
)

const (
	// maxAnswer bounds what is read of an answer that is neither a file nor a list.
	maxAnswer = 1 << 20

	// maxList bounds what is read of a list, in bytes. One of 2,000 services and
	// 10,000 real servers has about 8 MB. listTimeout is how long it may take.
	maxList     = 32 << 20
	listTimeout = time.Minute

	// retryAfter is the wait before a dropped read is tried again, and
	// retryJitter what is added at random (loadmaster.md 1.1).
	retryAfter  = time.Second
	retryJitter = 250 * time.Millisecond
)

// call runs one command and returns the fields of its answer.
func (s *session) call(ctx context.Context, c command) (element, error) {
	if err := c.check(); err != nil {
		return element{}, fmt.Errorf("call on %s: %w", s.unit.at, err)
	}
	speak := s.unit.speaks(s.key, time.Now())
	a, err := s.try(ctx, speak, c)
	if err != nil {
		return element{}, err
	}
	if a.turnedAway() {
		if speak == v2 && s.oldAPITakes(c) && s.mayTryOldAPI(ctx, a) {
			return s.fallBack(ctx, c, a)
		}
		if a.code != http.StatusUnauthorized { // which says nothing of the API
			s.unit.forgetOldAPI()
		}
		return element{}, s.turnedAway(c, speak, a, 0)
	}
	return s.settle(c, speak, a)
}

// mayTryOldAPI reports whether a call that the JSON API turned away may be made in
// the XML API. After a 401 that is a second failed login if the credentials are
// wrong: where the unit took the JSON API before, or where the caller allows but
// one, it is not made.
func (s *session) mayTryOldAPI(ctx context.Context, refused answer) bool {
	return refused.code != http.StatusUnauthorized || !s.unit.takesNewAPI() && !s.client.opts.OneLogin(ctx)
}

// fallBack tries the XML API after the JSON API turned the call away, which
// also happens with good credentials: in old firmware, and where Session
// Management is off (loadmaster.md 7 item 15). What was turned away was not
// done, so this is safe for writes too.
func (s *session) fallBack(ctx context.Context, c command, refused answer) (element, error) {
	a, err := s.try(ctx, v1, c)
	if err != nil {
		if refused.code == http.StatusUnauthorized {
			s.unit.refuse(s.key, time.Now())
		}
		return element{}, err
	}
	if a.turnedAway() {
		return element{}, s.turnedAway(c, v1, a, refused.code)
	}
	if a.code < 500 && !a.page {
		s.unit.rememberOldAPI(s.key, refused.code, time.Now())
		s.client.opts.Log.LogAttrs(ctx, slog.LevelWarn, "unit refuses API v2 and takes API v1: is Session Management on?",
			slog.String("unit", s.unit.at.String()), slog.Int("code", refused.code), slog.Duration("for", oldAPIFor))
	}
	return s.settle(c, v1, a)
}

// oldAPITakes reports whether these credentials can go with the command in the
// XML API without standing in the URL (requestV1).
func (s *session) oldAPITakes(c command) bool { return c.upload == nil || s.creds.User != "" }

// turnedAway ends a call that no API took; other is the code with which the API
// tried before turned it away. Each 401 is a failed login, after which these
// credentials rest: here for a moment, and as the error says in the pair's record.
func (s *session) turnedAway(c command, d dialect, a answer, other int) error {
	failed := 0
	for _, code := range []int{a.code, other} {
		if code == http.StatusUnauthorized {
			failed++
		}
	}
	if failed == 0 {
		return s.verdict(c, d, a)
	}
	a.code = http.StatusUnauthorized
	after := s.unit.refuse(s.key, time.Now())
	if failed > 1 {
		after = bothRefused
	}
	return &pair.Waiting{Err: s.verdict(c, d, a), After: after}
}

// turnedAway reports whether the unit did not let the call in: a login wanted,
// no such API, or a page where the API should be.
func (a answer) turnedAway() bool {
	switch {
	case a.code >= 300 && a.code < 400, a.code == http.StatusUnauthorized, a.code == http.StatusNotFound:
		return true
	default:
		return a.page && a.code >= 400 && a.code < 500 && a.code != http.StatusForbidden && a.code != http.StatusTooManyRequests
	}
}

func (s *session) settle(c command, d dialect, a answer) (element, error) {
	if err := s.verdict(c, d, a); err != nil {
		return element{}, err
	}
	s.unit.accept(d)
	return a.data, nil
}

// try sends a command, and a read once more when the unit drops it.
func (s *session) try(ctx context.Context, d dialect, c command) (answer, error) {
	a, err := s.send(ctx, d, c)
	if c.write || !errors.Is(err, errDropped) {
		return a, err
	}
	select {
	case <-ctx.Done():
		return answer{}, err
	case <-time.After(s.unit.pause()):
		return s.send(ctx, d, c)
	}
}

// send makes one exchange with the unit, in its turn.
func (s *session) send(ctx context.Context, d dialect, c command) (answer, error) {
	if err := s.awaitTurn(ctx, c); err != nil {
		return answer{}, err
	}
	callCtx, cancel := context.WithTimeout(ctx, c.timeout(s.client.opts.Timeout))
	defer cancel()
	p := &progress{}
	req, err := d.request(p.watch(callCtx), s.unit.at.String(), s.creds, c)
	if err != nil {
		return answer{}, s.fault(c, "make the request: "+s.shown(err.Error()), pair.ErrInvalid)
	}
	transport := s.line.reads
	if c.write {
		transport = s.line.forWriting()
	}
	resp, err := transport.RoundTrip(req) // not http.Client: no redirects, no cookies, no URLs in errors
	if err != nil {
		return answer{}, s.lost(ctx, c, p, err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, c.limit()+1))
	if err != nil {
		return answer{}, s.lost(ctx, c, p, err)
	}
	if int64(len(body)) > c.limit() {
		return answer{}, s.unreadable(c, fmt.Sprintf("expected an answer of at most %d bytes", c.limit()))
	}
	a, err := c.decode(resp, body)
	if err != nil {
		return answer{}, s.unreadable(c, s.shown(err.Error()))
	}
	if seconds, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && seconds > 0 {
		a.after = min(time.Duration(seconds)*time.Second, longestWait)
	}
	return a, nil
}

// awaitTurn waits until the unit may be called again.
func (s *session) awaitTurn(ctx context.Context, c command) error {
	if left := s.unit.refused(s.key, time.Now()); left > 0 {
		return s.refusedStill(c, left)
	}
	if err := s.unit.bucket.Wait(ctx); err != nil {
		if end := ctx.Err(); end != nil {
			return s.fault(c, "given up while other calls had their turn", end)
		}
		return &pair.Waiting{
			Err:   s.fault(c, "too many calls wait for their turn to be made in time", pair.ErrThrottled),
			After: time.Second,
		}
	}
	return nil
}
