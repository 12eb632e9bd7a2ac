package arm

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// FaultKind is what goes wrong.
type FaultKind int

// The kinds. The first four happen instead of what was asked for, or of its
// answer, whatever that is; the others happen to what was asked for, and match
// only requests that they can happen to.
const (
	NoFault       FaultKind = iota
	Answer                  // Status is answered, nothing is done
	Cut                     // the connection is cut, nothing is done
	CutAfter                // it is done, then the connection is cut: the client cannot know
	Hang                    // no answer until the client gives up, nothing is done
	FailOperation           // the PUT or VM action is accepted, and ends Failed; a PATCH, which ends at once, is answered 500
	NoEffect                // the PUT or PATCH succeeds, but the data path does not follow, unless a later write brings it along
	Late                    // the PUT or PATCH is called Succeeded at once, and takes effect after Delay
	Overtaken               // right before a PUT or PATCH with If-Match, Rival edits the resource that it is about
)

// String returns the kind as words.
func (k FaultKind) String() string {
	return word(int(k), "no fault", "answer", "cut", "cut after", "hang", "fail operation", "no effect", "late", "overtaken")
}

// Fault is something that goes wrong with the next requests that match.
type Fault struct {
	Kind       FaultKind
	Method     string // empty matches all
	PathPrefix string // compared without case, as PathSuffix is
	PathSuffix string
	By         Principal // whose requests; the zero value matches everybody's
	Count      int       // how many requests; zero means one, or any number before Until; negative means any number
	Until      time.Time // the fault is over then; zero means never
	// Status, Code, Message, DetailCode and RetryAfter are for Answer; an
	// empty code is the usual one of the status. Code and Message are for
	// FailOperation too.
	Status     int
	Code       string
	Message    string
	DetailCode string        // of the only detail; empty for none
	RetryAfter time.Duration // zero means none, or the time to Until where that is set
	Delay      time.Duration // of Late: from the answer to the effect
	Rival      Principal     // of Overtaken
}

// before tells whether the fault takes the place of the request.
func (f Fault) before() bool { return f.Kind == Answer || f.Kind == Cut || f.Kind == Hang }

func (f Fault) matches(c *call) bool {
	path := strings.ToLower(c.url.Path)
	return (f.Method == "" || strings.EqualFold(f.Method, c.method)) &&
		(f.By == Principal{} || f.By == c.principal) &&
		strings.HasPrefix(path, strings.ToLower(f.PathPrefix)) && strings.HasSuffix(path, strings.ToLower(f.PathSuffix)) &&
		f.Kind.canHappenTo(c)
}

// canHappenTo tells whether a fault of the kind makes a difference to a request.
func (k FaultKind) canHappenTo(c *call) bool {
	switch k {
	case FailOperation:
		return c.writes() || c.method == http.MethodPost && strings.EqualFold(c.target.kind, "virtualMachines")
	case NoEffect, Late:
		return c.writes()
	case Overtaken:
		return c.writes() && c.ifMatch != "" && strings.EqualFold(c.target.provider, networkProvider)
	default:
		return true
	}
}

// Inject adds a fault. Of several that match a request the oldest is used.
func (m *Manager) Inject(f Fault) {
	if f.Count == 0 && f.Until.IsZero() {
		f.Count = 1
	}
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

// EndFaults removes the faults of one kind.
func (m *Manager) EndFaults(kind FaultKind) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.faults = slices.DeleteFunc(m.faults, func(f *Fault) bool { return f.Kind == kind })
}

// meet counts a request, and gives it the fault that is in its way.
func (m *Manager) meet(c *call) {
	m.mu.Lock()
	defer m.unlockAndDeliver()
	if c.method == http.MethodGet {
		m.count(c, Requests{Reads: 1})
	}
	m.takeFault(c, time.Now())
}

// takeFault uses up the fault for a request. m.mu is held.
func (m *Manager) takeFault(c *call, now time.Time) {
	m.faults = slices.DeleteFunc(m.faults, func(f *Fault) bool { return !f.Until.IsZero() && !now.Before(f.Until) })
	for i, f := range m.faults {
		if !f.matches(c) {
			continue
		}
		c.fault = *f
		if c.fault.RetryAfter == 0 && !f.Until.IsZero() {
			c.fault.RetryAfter = f.Until.Sub(now)
		}
		if f.Count--; f.Count == 0 {
			m.faults = slices.Delete(m.faults, i, i+1)
		}
		m.logf("fault: %s for %s %s", f.describe(), strings.ToLower(c.method), c.target.label())
		return
	}
}

func (f Fault) describe() string {
	if f.Kind == Answer {
		return fmt.Sprintf("answer %d", f.Status)
	}
	return f.Kind.String()
}

// overtake lets the rival of a fault change the resource that a request is
// about, as somebody in the portal does: a whole write, of a load balancer with
// another idle timeout, of anything else as it is, which is another version all
// the same. m.mu is held.
func (m *Manager) overtake(c *call) {
	t := c.target
	t.child, t.childName, t.verb = "", "", ""
	k := kindOf(t.provider, t.kind)
	if k == nil || m.resources[strings.ToLower(resourceID(t, k))] == nil {
		return
	}
	r := m.resources[strings.ToLower(resourceID(t, k))]
	d := clone(r.doc)
	for _, rule := range list(properties(d), "loadBalancingRules") {
		q := properties(rule)
		q["idleTimeoutInMinutes"] = whole(4 + (number(q, "idleTimeoutInMinutes", 4)-3)%27) // the next of 4 to 30
	}
	body, err := json.Marshal(d)
	if err != nil {
		panic(err) // it came from JSON
	}
	rival := &call{
		method: http.MethodPut, url: &url.URL{Path: r.id, RawQuery: c.url.RawQuery}, base: c.base, target: t, body: body,
		correlation: m.guid(), principal: c.fault.Rival,
	}
	if _, err := m.put(rival, k, r); err != nil {
		m.logf("%s could not edit %s first: %v", rival.principal, r.name(), err)
	}
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
