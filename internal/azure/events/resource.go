package events

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"tandem/internal/pair"
)

// operation is the data of the events of Resource Manager (azure.md 4.3).
// Nothing else of it is read: claims hold names and addresses of people.
type operation struct {
	Claims        object[claims] `json:"claims"`
	CorrelationID text           `json:"correlationId"`
	OperationName text           `json:"operationName"`
	ResourceURI   text           `json:"resourceUri"`
}

type claims struct {
	AppID    text `json:"appid"`
	ObjectID text `json:"http://schemas.microsoft.com/identity/claims/objectidentifier"`
}

// actions maps operations on a VM, in lower case, to evidence. Those that make
// the VM boot count as a start, because the unit is booting afterwards.
var actions = map[string]pair.EvidenceKind{
	"microsoft.compute/virtualmachines/start/action":              pair.EvidenceStarted,
	"microsoft.compute/virtualmachines/restart/action":            pair.EvidenceStarted,
	"microsoft.compute/virtualmachines/redeploy/action":           pair.EvidenceStarted,
	"microsoft.compute/virtualmachines/reimage/action":            pair.EvidenceStarted,
	"microsoft.compute/virtualmachines/performmaintenance/action": pair.EvidenceStarted,
	"microsoft.compute/virtualmachines/poweroff/action":           pair.EvidenceStopped,
	"microsoft.compute/virtualmachines/deallocate/action":         pair.EvidenceStopped,
	"microsoft.compute/virtualmachines/delete":                    pair.EvidenceDeleted,
}

// readAction reads what was done to a VM. It is somebody's wish: Resource
// Manager only reports what came in through it, with a caller's token.
func readAction(e *Event, data json.RawMessage) error {
	_, name, err := e.readOperation(data)
	if err != nil {
		return err
	}
	return e.addEvidence(actions[name], name, true)
}

// readDelete reads the end of a VM, or the delete of something else.
func readDelete(e *Event, data json.RawMessage) error {
	op, name, err := e.readOperation(data)
	if err != nil {
		return err
	}
	e.addChange(op, name)
	return e.addEvidence(actions[name], name, true)
}

// readWrite reads a write, or an attempt that ended otherwise.
func readWrite(e *Event, data json.RawMessage) error {
	op, name, err := e.readOperation(data)
	if err != nil {
		return err
	}
	e.addChange(op, name)
	return nil
}

// readOperation reads what the events of Resource Manager have in common and
// returns the operation's name in lower case, because its spelling varies.
func (e *Event) readOperation(data json.RawMessage) (operation, string, error) {
	var op operation
	if err := json.Unmarshal(data, &op); err != nil {
		return op, "", fmt.Errorf("data: %w", pair.ErrUnreadable)
	}
	if e.Subject == "" {
		e.Subject = string(pair.NewResourceID(bounded(op.ResourceURI, maxSubject)))
	}
	if e.Subject == "" {
		return op, "", fmt.Errorf("it names no resource: %w", pair.ErrUnreadable)
	}
	c := op.Claims.fields
	e.By = Principal{AppID: guid(c.AppID), ObjectID: guid(c.ObjectID)}
	return op, strings.ToLower(bounded(op.OperationName, maxType)), nil
}

// addChange makes the event a change of the network resource that it is about,
// if it is about one.
func (e *Event) addChange(op operation, name string) {
	r := parseResource(e.Subject)
	if !r.isNetwork() {
		return
	}
	e.Changed = &Change{Resource: r.whole, Operation: name, By: e.By, CorrelationID: guid(op.CorrelationID)}
}

// guid returns a GUID as it is and nothing for any other text, so that no name
// or address is kept, whatever a field holds.
func guid(t text) string {
	if len(t) != 36 {
		return ""
	}
	for i, c := range []byte(t) {
		if dash := i == 8 || i == 13 || i == 18 || i == 23; dash != (c == '-') || !dash && !isHex(c) {
			return ""
		}
	}
	return string(t)
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

// Kinds of resources, in the form of resource ids.
const (
	kindVM            = "microsoft.compute/virtualmachines"
	kindLoadBalancer  = "microsoft.network/loadbalancers"
	kindInterface     = "microsoft.network/networkinterfaces"
	kindSecurityGroup = "microsoft.network/networksecuritygroups"
)

// resource is a resource id taken apart.
type resource struct {
	kind  string          // empty when the id is none of a resource in a group
	whole pair.ResourceID // without the part
	part  string          // for example backendaddresspools/loadmasters
}

// parseResource takes a resource id in lower case apart:
// /subscriptions/S/resourcegroups/G/providers/NAMESPACE/TYPE/NAME[/PART…].
func parseResource(id string) resource {
	const whole = 9 // elements up to the name, counting the empty one in front
	s := strings.SplitN(id, "/", whole+1)
	if len(s) < whole || s[0] != "" || s[1] != "subscriptions" || s[3] != "resourcegroups" || s[5] != "providers" {
		return resource{}
	}
	if slices.Contains(s[:whole][1:], "") {
		return resource{}
	}
	r := resource{kind: s[6] + "/" + s[7], whole: pair.ResourceID(strings.Join(s[:whole], "/"))}
	if len(s) > whole {
		r.part = s[whole]
	}
	return r
}

// isNetwork reports whether the id is a network resource that a pair is made
// of, or a part of one. What other providers attach to it (locks, diagnostic
// settings) is not; tags are, because they name the owner of an admin state.
func (r resource) isNetwork() bool {
	if foreign, ok := strings.CutPrefix(r.part, "providers/"); ok && !strings.HasPrefix(foreign, "microsoft.resources/tags/") {
		return false
	}
	return r.kind == kindLoadBalancer || r.kind == kindInterface || r.kind == kindSecurityGroup
}
