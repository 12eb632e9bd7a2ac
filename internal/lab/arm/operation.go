package arm

import (
	"net/http"
	"net/url"
	"strings"
	"time"
)

// status is how far a long operation is.
type status int

const (
	inProgress status = iota
	succeeded
	failed
	canceled
)

// String returns the spelling of the API.
func (s status) String() string { return word(int(s), "InProgress", "Succeeded", "Failed", "Canceled") }

// operation is a long operation: a write, a delete, a VM action or a health
// action.
type operation struct {
	id       string
	provider string
	location string
	query    url.Values // api-version of the polling address
	title    string
	who      Principal
	res      *resource
	status   status
	failure  *failure
	moves    bool // the data path follows
	body     any  // what operationResults answers at the end
	began    time.Time
	ended    time.Time
	event    *Event // told at the end; nil for none
}

// keptOperations is how many operations that ended can still be polled.
const keptOperations = 1000

// defaultLockWait is the wait that a locked resource asks for.
const defaultLockWait = 5 * time.Second

// begin makes the operation of a change. m.mu is held.
func (m *Manager) begin(c *call, r *resource, ch change) *operation {
	op := m.newOperation(c, r, ch.title)
	op.event = m.newEvent(c, ch.subject, ch.operation, ch.created)
	return op
}

func (m *Manager) newOperation(c *call, r *resource, title string) *operation {
	location := plainLocation(text(r.doc, "location"))
	if location == "" {
		location = "westeurope"
	}
	op := &operation{
		id: m.guid(), provider: r.kind.provider, location: location, title: title, who: c.principal, res: r, began: time.Now(),
		query: url.Values{"api-version": {c.url.Query().Get("api-version")}},
	}
	m.operations[op.id] = op
	return op
}

// schedule lets a write end and take effect. m.mu is held.
func (m *Manager) schedule(c *call, r *resource, op *operation, updating bool) {
	switch {
	case c.fault.Kind == FailOperation:
		f := c.fault.failure("InternalServerError")
		m.after(m.opts.AsyncDelay, func() { m.finish(op, failed, f) })
		return
	case updating:
		m.after(m.opts.AsyncDelay, func() { m.finish(op, succeeded, nil) })
	default:
		m.finish(op, succeeded, nil)
	}
	delay := m.opts.AsyncDelay + m.opts.EffectDelay
	if c.fault.Kind == Late {
		delay = c.fault.Delay
	}
	version, doc := r.version, r.doc
	m.after(delay, func() {
		r.reveal(op)
		if op.moves && op.status == succeeded && version > r.applied && m.resources[strings.ToLower(r.id)] == r {
			r.applied = version
			m.takeEffect(r, doc)
		}
	})
}

// takeEffect lets the traffic follow a write. m.mu is held.
func (m *Manager) takeEffect(r *resource, doc document) {
	if r.kind.is("loadBalancers") {
		m.carry(r, doc)
		return
	}
	r.carried = doc
	m.guard()
	if !r.kind.is("networkInterfaces") {
		return
	}
	for _, lb := range m.order { // their members may have changed
		if !lb.kind.is("loadBalancers") {
			continue
		}
		d := clone(lb.doc)
		m.completeLoadBalancer(d)
		lb.doc = d
		if lb.carried != nil {
			m.carry(lb, lb.carried)
		}
	}
}

// carry hands a load balancer to the data path. m.mu is held.
func (m *Manager) carry(r *resource, doc document) {
	r.carried = doc
	lb := m.traffic(r.id, doc)
	m.later(func() { m.path.Apply(lb) })
}

// supersede ends the operation that runs on a resource, because another one
// has come. m.mu is held.
func (m *Manager) supersede(r *resource, by *operation) {
	old := r.running
	if old == nil {
		return
	}
	m.logf("the write of %s by %s is superseded by one of %s", r.name(), old.who, by.who)
	m.finish(old, canceled, &failure{code: "Canceled", message: "Operation was canceled.", details: []detail{{
		"CanceledAndSupersededDueToAnotherOperation",
		"Operation " + old.title + " (" + old.id + ") was canceled and superseded by operation " + by.title + " (" + by.id + ").",
	}}})
}

// finish ends an operation once. m.mu is held.
func (m *Manager) finish(op *operation, s status, f *failure) {
	if op.status != inProgress {
		return
	}
	op.status, op.failure, op.ended = s, f, time.Now()
	if r := op.res; r.running == op {
		r.running = nil
		if s != canceled && r.kind.provider == networkProvider {
			r.doc = inState(r.kind, r.doc, s.String())
		}
	}
	if s == failed {
		m.logf("what %s did to %s failed: %s", op.who, op.res.name(), f.code)
	}
	m.announce(op)
	m.finished = append(m.finished, op)
	if len(m.finished) > keptOperations {
		delete(m.operations, m.finished[0].id)
		m.finished = m.finished[1:]
	}
}

// locked refuses a write while another operation holds the resource.
func locked(r *resource, wait time.Duration) *failure {
	return &failure{
		status: http.StatusTooManyRequests, code: "RetryableError", message: "A retryable error occurred.", retryAfter: wait,
		details: []detail{{"RetryableErrorDueToAnotherOperation", "Operation " + r.running.title + " (" + r.running.id + ") is updating resource " +
			r.id + ". The call can be retried in " + wait.String() + "."}},
	}
}

// asyncHeader leads the client to the status of an operation.
func (m *Manager) asyncHeader(c *call, op *operation) http.Header {
	h := http.Header{"Azure-Asyncoperation": {op.address(c, "operations")}}
	setRetryAfter(h, m.opts.RetryAfter)
	return h
}

// locationHeader leads the client to the result of an operation.
func (m *Manager) locationHeader(c *call, op *operation) http.Header {
	h := http.Header{"Location": {op.address(c, "operationResults")}}
	setRetryAfter(h, m.opts.RetryAfter)
	return h
}

func (op *operation) address(c *call, what string) string {
	return c.base + "/subscriptions/" + c.target.subscription + "/providers/" + op.provider + "/locations/" + op.location +
		"/" + what + "/" + op.id + "?" + op.query.Encode()
}

// poll answers a question about a long operation. m.mu is held.
func (m *Manager) poll(c *call) (answer, error) {
	op := m.operations[strings.ToLower(c.target.operation)]
	switch {
	case c.method != http.MethodGet:
		return answer{}, notAllowed(c)
	case op == nil || !strings.EqualFold(op.provider, c.target.provider):
		return answer{}, &failure{status: http.StatusNotFound, code: "OperationNotFound", message: "The operation " + c.target.operation + " was not found."}
	case c.target.result:
		return m.pollResult(c, op)
	}
	a := ok(op.document())
	if op.status == inProgress {
		a.header = http.Header{}
		setRetryAfter(a.header, m.opts.RetryAfter)
	}
	return a, nil
}

// operationBody is the status of an operation. Compute tells more than the
// network provider does.
type operationBody struct {
	StartTime string     `json:"startTime,omitempty"`
	EndTime   string     `json:"endTime,omitempty"`
	Status    string     `json:"status"`
	Error     *errorBody `json:"error,omitempty"`
	Name      string     `json:"name,omitempty"`
}

func (op *operation) document() operationBody {
	b := operationBody{Status: op.status.String()}
	if op.failure != nil {
		e := op.failure.body()
		b.Error = &e
	}
	if op.provider == computeProvider {
		b.Name, b.StartTime = op.id, stamp(op.began)
		if op.status != inProgress {
			b.EndTime = stamp(op.ended)
		}
	}
	return b
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.0000000-07:00") }

func (m *Manager) pollResult(c *call, op *operation) (answer, error) {
	switch op.status {
	case inProgress:
		return answer{status: http.StatusAccepted, header: m.locationHeader(c, op)}, nil
	case succeeded:
		if op.body == nil {
			return answer{status: http.StatusNoContent}, nil
		}
		return ok(op.body), nil
	default: // it failed or was canceled, and has the reason
		f := *op.failure
		f.status = http.StatusConflict
		return answer{}, &f
	}
}
