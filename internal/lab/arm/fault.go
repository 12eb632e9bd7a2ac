package arm

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
	"time"
)

// FaultKind is what goes wrong.
type FaultKind int

// The kinds. The first four happen instead of what was asked for, or of its
// answer; the last two happen to what was asked for.
const (
	NoFault       FaultKind = iota
	Answer                  // Status is answered, nothing is done
	Cut                     // the connection is cut, nothing is done
	CutAfter                // it is done, then the connection is cut: the client cannot know
	Hang                    // no answer until the client gives up, nothing is done
	FailOperation           // the write or VM action is accepted, and ends Failed
	NoEffect                // the write succeeds, but the data path never follows
)

// String returns the kind as words.
func (k FaultKind) String() string {
	return word(int(k), "no fault", "answer", "cut", "cut after", "hang", "fail operation", "no effect")
}

// Fault is something that goes wrong with the next requests that match.
type Fault struct {
	Kind       FaultKind
	Method     string // empty matches all
	PathPrefix string // compared without case
	Count      int    // how many requests; zero means one
	// Status, Code, Message, DetailCode and RetryAfter are for Answer; an
	// empty code is the usual one of the status. Code and Message are for
	// FailOperation too.
	Status     int
	Code       string
	Message    string
	DetailCode string // of the only detail; empty for none
	RetryAfter time.Duration
}

// before tells whether the fault takes the place of the request.
func (f Fault) before() bool { return f.Kind == Answer || f.Kind == Cut || f.Kind == Hang }

func (f Fault) matches(c *call) bool {
	return (f.Method == "" || strings.EqualFold(f.Method, c.method)) &&
		len(c.url.Path) >= len(f.PathPrefix) && strings.EqualFold(c.url.Path[:len(f.PathPrefix)], f.PathPrefix)
}

// Inject adds a fault. Of several that match a request the oldest is used.
func (m *Manager) Inject(f Fault) {
	f.Count = max(f.Count, 1)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.faults = append(m.faults, &f)
}

// ClearFaults removes the faults that are left.
func (m *Manager) ClearFaults() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.faults = nil
}

// takeFault uses up the fault for a request. m.mu is held.
func (m *Manager) takeFault(c *call) Fault {
	for i, f := range m.faults {
		if !f.matches(c) {
			continue
		}
		if f.Count--; f.Count == 0 {
			m.faults = append(m.faults[:i:i], m.faults[i+1:]...)
		}
		m.logf("fault: %s for %s %s", f.describe(), strings.ToLower(c.method), c.target.label())
		return *f
	}
	return Fault{}
}

func (f Fault) describe() string {
	if f.Kind == Answer {
		return fmt.Sprintf("answer %d", f.Status)
	}
	return f.Kind.String()
}

// misbehave does what a fault asks for in place of the request.
func (m *Manager) misbehave(w http.ResponseWriter, r *http.Request, c *call) {
	switch c.fault.Kind {
	case Hang:
		_, _ = io.Copy(io.Discard, io.LimitReader(r.Body, maxBody)) // else the server does not notice that the client leaves
		<-r.Context().Done()
		panic(http.ErrAbortHandler)
	case Cut:
		panic(http.ErrAbortHandler)
	default: // Answer; the other kinds do not take the place of a request
		maps.Copy(w.Header(), c.header)
		c.fault.failure("").answer().write(w)
	}
}

// failure is the error that the fault stands for.
func (f Fault) failure(code string) *failure {
	usual := map[int]string{
		http.StatusForbidden:           "AuthorizationFailed",
		http.StatusConflict:            "Conflict",
		http.StatusTooManyRequests:     "TooManyRequests",
		http.StatusInternalServerError: "InternalServerError",
		http.StatusServiceUnavailable:  "ServiceUnavailable",
		http.StatusGatewayTimeout:      "GatewayTimeout",
	}
	e := &failure{status: f.Status, code: f.Code, message: f.Message, retryAfter: f.RetryAfter, details: []detail{}}
	if e.status < 400 || e.status > 599 {
		e.status = http.StatusInternalServerError
	}
	if e.code == "" {
		e.code = code
	}
	if e.code == "" {
		e.code = usual[e.status]
	}
	if e.code == "" {
		e.code = strings.ReplaceAll(http.StatusText(e.status), " ", "")
	}
	if e.message == "" {
		e.message = "An error occurred."
	}
	if f.DetailCode != "" {
		e.details = []detail{{f.DetailCode, e.message}}
	}
	return e
}
