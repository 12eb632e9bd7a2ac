package arm

import (
	"net/http"
	"strings"
	"time"
)

// Event is the end of a write, a delete or a VM action, with what a resource
// event of Event Grid tells of it (azure.md 4.3).
type Event struct {
	Type            string // Microsoft.Resources.ResourceWriteSuccess and the like
	Subject         string // the resource id
	Operation       string // Microsoft.Network/loadBalancers/write
	Status          string // Succeeded, Failed or Canceled
	CorrelationID   string
	Claims          Principal
	HTTPMethod      string // empty, like URL, when the resource was created
	URL             string
	ClientRequestID string
	Provider        string
	SubscriptionID  string
	TenantID        string
	Time            time.Time
}

// newEvent prepares the event of a request. m.mu is held.
func (m *Manager) newEvent(c *call, subject, operation string, created bool) *Event {
	e := &Event{
		Subject: subject, Operation: operation, CorrelationID: c.correlation, Claims: c.principal, ClientRequestID: c.clientID,
		Provider: kindOf(c.target.provider, c.target.kind).provider, SubscriptionID: c.target.subscription, TenantID: m.cfg.TenantID,
	}
	if !created || c.method != http.MethodPut {
		e.HTTPMethod, e.URL = c.method, c.base+c.url.RequestURI()
	}
	return e
}

// announce tells of the end of an operation. m.mu is held.
func (m *Manager) announce(op *operation) {
	if op.event == nil {
		return
	}
	e := *op.event
	verb := map[string]string{"write": "Write", "delete": "Delete", "action": "Action"}[lastSegment(strings.ToLower(e.Operation))]
	outcome := map[status]string{succeeded: "Success", failed: "Failure", canceled: "Cancel"}[op.status]
	e.Type = "Microsoft.Resources.Resource" + verb + outcome
	e.Status, e.Time = op.status.String(), op.ended
	m.later(func() { m.cfg.OnEvent(e) })
}
