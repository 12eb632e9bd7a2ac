package events

import (
	"strings"
	"time"

	"tandem/internal/pair"
)

// Event is one event in the words of the domain. An event that we know but do
// not act on has neither VM nor Changed.
type Event struct {
	ID      string // as sent; repeated deliveries carry the same one
	Type    string // as sent
	Subject string // in the form of pair.NewResourceID
	// At is when it happened, by the platform's clock; zero when the event
	// does not say so, which is never the case when VM is set.
	At time.Time
	// By is who caused it, as far as the event says so.
	By Principal

	// VM is what the event says about a virtual machine.
	VM *pair.Evidence
	// Changed is set when somebody wrote or deleted a network resource.
	Changed *Change
}

// Change is a write or a delete of a load balancer, security group or
// interface, or of a part of one. It also stands for attempts that failed or
// were cancelled: they may have changed something, and looking is cheap.
type Change struct {
	Resource  pair.ResourceID // the whole resource, also when a part was written
	Operation string          // for example microsoft.network/loadbalancers/write
	By        Principal
	// CorrelationID is the platform's id of the request that caused it.
	CorrelationID string
}

// Principal is who did something: the application and the object that the
// caller's token was issued for. Names and addresses are never read.
type Principal struct {
	AppID, ObjectID string // GUIDs; empty when the event does not say
}

// Own is Tandem's own identity, by which its own writes are recognised when
// they come back as events. The zero value recognises nothing.
type Own struct {
	AppID, ObjectID string // GUIDs; either may be empty
}

// Did reports whether the principal is Tandem itself. What both sides know must
// be equal: a person who signed in through our application has our AppID but
// another ObjectID. When in doubt the answer is no, which costs one look.
func (o Own) Did(p Principal) bool {
	apps := o.AppID != "" && p.AppID != ""
	objects := o.ObjectID != "" && p.ObjectID != ""
	if apps && !strings.EqualFold(o.AppID, p.AppID) || objects && !strings.EqualFold(o.ObjectID, p.ObjectID) {
		return false
	}
	return apps || objects
}
