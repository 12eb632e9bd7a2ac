package probe

import (
	"cmp"
	"context"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"tandem/internal/pair"
)

// CheckOutcome is what became of one check of the pair file.
type CheckOutcome uint8

// The outcomes. Failed is an answer of something, only not the expected one;
// refused and silent are those of the check port (pair.CheckAnswer).
const (
	CheckUnknown CheckOutcome = iota // nothing was learned of the unit
	CheckPassed
	CheckFailed
	CheckRefused
	CheckSilent
)

func (o CheckOutcome) String() string {
	switch o {
	case CheckPassed:
		return "passed"
	case CheckFailed:
		return "failed"
	case CheckRefused:
		return "refused"
	case CheckSilent:
		return "silent"
	default:
		return "unknown"
	}
}

// CheckResult is what one check found on one unit.
type CheckResult struct {
	Outcome CheckOutcome
	// Status is the HTTP status of the answer, 0 where none came or where the
	// answer was not HTTP.
	Status int
	// At is when the answer came, or was given up; zero where nothing was
	// learned.
	At time.Time
}

// String says what was got, in a few words for people.
func (r CheckResult) String() string {
	switch {
	case r.Outcome == CheckFailed && r.Status == 0:
		return "an answer that is not the expected protocol"
	case r.Status != 0:
		return "status " + strconv.Itoa(r.Status)
	default:
		return r.Outcome.String()
	}
}

// Check sends one request of the pair file to the unit's own published port,
// past the load balancer, and tells whether the expected status came back,
// which proves that this unit forwards. The body is not read and redirects are
// not followed; a redirect is an answer like any other. The time is that of
// CheckPort, two seconds unless Options say otherwise.
//
// What the check leaves out is filled as pair.Definition.WithDefaults does,
// but for the scheme, which is then http. CheckUnknown means that nothing was
// learned: ctx ended first, our own proxy or socket failed, or the check
// cannot be made, which internal/manifest keeps out of pair files.
//
// With https the certificate is not verified: it is that of the published
// service and names the service, while the unit is asked by its address. That
// is safe, because nothing secret is sent and nothing of the answer is
// believed but its status; whoever stands in the way could as well have
// forwarded the request and answered it himself.
func (p *Prober) Check(ctx context.Context, unit netip.Addr, c pair.Check) CheckResult {
	target, ok := address(unit, c)
	if !ok || ctx.Err() != nil {
		return CheckResult{}
	}
	status, answer := p.ask(ctx, target)
	if answer == pair.CheckUnknown {
		return CheckResult{}
	}
	return CheckResult{Outcome: outcome(status, answer, c), Status: status, At: p.opts.Now()}
}

// address returns the URL of a check. A path that would lead to another host,
// such as "@elsewhere/", makes none.
func address(unit netip.Addr, c pair.Check) (string, bool) {
	scheme, path := cmp.Or(c.Scheme, pair.HTTP), cmp.Or(c.Path, "/")
	if !unit.IsValid() || unit.Zone() != "" || c.Port < 1 || c.Port > 65535 || scheme != pair.HTTP && scheme != pair.HTTPS || !strings.HasPrefix(path, "/") {
		return "", false
	}
	target := scheme.String() + "://" + netip.AddrPortFrom(unit.Unmap(), uint16(c.Port)).String() + path
	_, err := url.Parse(target)
	return target, err == nil
}

func outcome(status int, answer pair.CheckAnswer, c pair.Check) CheckOutcome {
	switch {
	case status != 0 && status == cmp.Or(c.Expect, http.StatusOK):
		return CheckPassed
	case answer == pair.CheckRefused:
		return CheckRefused
	case answer == pair.CheckSilent:
		return CheckSilent
	default:
		return CheckFailed
	}
}
