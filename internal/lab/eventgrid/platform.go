package eventgrid

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"strings"
	"time"
)

// Availability is a VM's state as Resource Health reports it. The zero value
// is Azure's own Unknown: no information for over ten minutes, which proves
// nothing (azure.md 4.1).
type Availability int

// The availability states (azure.md 4.1).
const (
	Unknown Availability = iota
	Available
	Unavailable
	Degraded
)

// String returns the name used in events.
func (a Availability) String() string {
	switch a {
	case Available:
		return "Available"
	case Unavailable:
		return "Unavailable"
	case Degraded:
		return "Degraded"
	default:
		return "Unknown"
	}
}

// Annotation is what Resource Health says about something that happened to a
// VM; the names, contexts and categories are listed in azure.md 4.1.
type Annotation struct {
	Name     string // e.g. "VirtualMachineHostCrashed"
	Reason   string
	Summary  string
	Context  string // "Platform Initiated", "Customer Initiated", …
	Category string // "Planned", "Unplanned", …
}

// OperationStatus is how an operation of Resource Manager ended.
type OperationStatus int

// The ends of an operation; the zero value is none of them.
const (
	Succeeded OperationStatus = iota + 1
	Failed
	Canceled
)

// String returns the status as events spell it.
func (s OperationStatus) String() string {
	switch s {
	case Succeeded:
		return "Succeeded"
	case Failed:
		return "Failed"
	case Canceled:
		return "Canceled"
	}
	return "unknown status"
}

// eventSuffix ends the event type. An operation that has not ended has none.
func (s OperationStatus) eventSuffix() string {
	switch s {
	case Succeeded:
		return "Success"
	case Failed:
		return "Failure"
	case Canceled:
		return "Cancel"
	}
	return ""
}

// Operation is one call to Resource Manager that changed something.
type Operation struct {
	Name          string // e.g. "Microsoft.Compute/virtualMachines/deallocate/action"
	ResourceID    string
	Status        OperationStatus
	CorrelationID string
	TenantID      string
	// Claims are those of the caller's token. The object id there is also
	// the principal of the role assignment.
	Claims map[string]string
	// Method is the HTTP method. Empty leaves httpRequest out, as Azure does
	// when a resource is created (azure.md 4.3).
	Method string
}

type healthData struct {
	ResourceInfo    resourceInfo    `json:"resourceInfo"`
	OperationalInfo operationalInfo `json:"operationalInfo"`
	APIVersion      string          `json:"apiVersion"`
}

type resourceInfo struct {
	ID         string `json:"id"`
	Name       string `json:"name"`
	Type       string `json:"type"`
	Properties any    `json:"properties"`
}

type operationalInfo struct {
	ResourceEventTime string `json:"resourceEventTime"`
}

type target struct {
	TargetResourceID   string `json:"targetResourceId"`
	TargetResourceType string `json:"targetResourceType"`
	OccurredTime       string `json:"occurredTime"`
}

type availabilityProperties struct {
	target
	PreviousAvailabilityState string `json:"previousAvailabilityState"`
	AvailabilityState         string `json:"availabilityState"`
}

type annotationProperties struct {
	target
	AnnotationName string `json:"annotationName"`
	Reason         string `json:"reason"`
	Summary        string `json:"summary"`
	Context        string `json:"context"`
	Category       string `json:"category"`
}

// AvailabilityStatusChanged is the event of a VM whose availability state
// changed (azure.md 4.1).
func AvailabilityStatusChanged(vmID string, previous, state Availability, at time.Time) Event {
	const kind = "AvailabilityStatusChanged"
	id := eventID(kind, vmID, previous.String(), state.String(), timestamp(at))
	return healthEvent(kind, id, vmID, at, healthData{
		ResourceInfo: healthResource(vmID, "availabilityStatuses", id, availabilityProperties{
			target:                    targetOf(vmID, at),
			PreviousAvailabilityState: previous.String(),
			AvailabilityState:         state.String(),
		}),
		APIVersion: "2023-12-01",
	})
}

// Report publishes the event of a VM's new availability state, unless that is
// what was reported of the VM last: Resource Health tells of changes only. It
// says whether there was a change. A VM of which nothing was reported is
// Available.
func (g *Grid) Report(vmID string, state Availability, at time.Time) bool {
	previous, changed := g.noteHealth(vmID, state)
	if changed {
		g.Publish(AvailabilityStatusChanged(vmID, previous, state, at))
	}
	return changed
}

func (g *Grid) noteHealth(vmID string, state Availability) (previous Availability, changed bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	key := strings.ToLower(vmID)
	previous, known := g.health[key]
	if !known {
		previous = Available
	}
	g.health[key] = state
	return previous, previous != state
}

// ResourceAnnotated is the event of an annotation on a VM (azure.md 4.1).
func ResourceAnnotated(vmID string, annotation Annotation, at time.Time) Event {
	const kind = "ResourceAnnotated"
	id := eventID(kind, vmID, annotation.Name, timestamp(at))
	return healthEvent(kind, id, vmID, at, healthData{
		ResourceInfo: healthResource(vmID, "resourceAnnotations", id, annotationProperties{
			target:         targetOf(vmID, at),
			AnnotationName: annotation.Name,
			Reason:         annotation.Reason,
			Summary:        annotation.Summary,
			Context:        annotation.Context,
			Category:       annotation.Category,
		}),
		APIVersion: "2022-08-01",
	})
}

func healthResource(vmID, kind, name string, properties any) resourceInfo {
	kind = "Microsoft.ResourceHealth/" + kind
	return resourceInfo{ID: vmID + "/providers/" + kind + "/" + name, Name: name, Type: kind, Properties: properties}
}

func targetOf(vmID string, at time.Time) target {
	return target{TargetResourceID: vmID, TargetResourceType: "Microsoft.Compute/virtualMachines", OccurredTime: timestamp(at)}
}

func healthEvent(kind, id, vmID string, at time.Time, data healthData) Event {
	data.OperationalInfo.ResourceEventTime = timestamp(at)
	return Event{
		ID:          id,
		Type:        "Microsoft.ResourceNotifications.HealthResources." + kind,
		Subject:     vmID,
		Source:      subscriptionOf(vmID),
		Time:        at,
		Data:        data,
		DataVersion: "1",
	}
}

type operationData struct {
	Authorization    authorization     `json:"authorization"`
	Claims           map[string]string `json:"claims"`
	CorrelationID    string            `json:"correlationId"`
	ResourceProvider string            `json:"resourceProvider"`
	ResourceURI      string            `json:"resourceUri"`
	OperationName    string            `json:"operationName"`
	Status           string            `json:"status"`
	SubscriptionID   string            `json:"subscriptionId"`
	TenantID         string            `json:"tenantId"`
	HTTPRequest      *httpRequest      `json:"httpRequest,omitempty"`
}

type authorization struct {
	Scope    string   `json:"scope"`
	Action   string   `json:"action"`
	Evidence evidence `json:"evidence"`
}

type evidence struct {
	Role                string `json:"role"`
	RoleAssignmentScope string `json:"roleAssignmentScope"`
	RoleAssignmentID    string `json:"roleAssignmentId"`
	RoleDefinitionID    string `json:"roleDefinitionId"`
	PrincipalID         string `json:"principalId"`
	PrincipalType       string `json:"principalType"`
}

type httpRequest struct {
	ClientRequestID string `json:"clientRequestId"`
	ClientIPAddress string `json:"clientIpAddress"`
	Method          string `json:"method"`
	URL             string `json:"url"`
}

// ResourceWrite is the event of a PUT or PATCH (azure.md 4.3).
func ResourceWrite(operation Operation, at time.Time) Event {
	return operationEvent("ResourceWrite", operation, at)
}

// ResourceDelete is the event of a DELETE (azure.md 4.3).
func ResourceDelete(operation Operation, at time.Time) Event {
	return operationEvent("ResourceDelete", operation, at)
}

// ResourceAction is the event of a POST such as start or deallocate
// (azure.md 4.3).
func ResourceAction(operation Operation, at time.Time) Event {
	return operationEvent("ResourceAction", operation, at)
}

func operationEvent(kind string, o Operation, at time.Time) Event {
	scope := subscriptionOf(o.ResourceID)
	provider, _, _ := strings.Cut(o.Name, "/")
	id := eventID(kind, o.ResourceID, o.Name, o.Status.String(), o.CorrelationID, timestamp(at))
	claims := maps.Clone(o.Claims)
	if claims == nil {
		claims = map[string]string{}
	}
	data := operationData{
		Authorization: authorization{Scope: o.ResourceID, Action: o.Name, Evidence: evidence{
			Role:                "Contributor",
			RoleAssignmentScope: scope,
			RoleAssignmentID:    "00000000000000000000000000000001",
			RoleDefinitionID:    "00000000000000000000000000000002",
			PrincipalID:         strings.ReplaceAll(claims["http://schemas.microsoft.com/identity/claims/objectidentifier"], "-", ""),
			PrincipalType:       "ServicePrincipal",
		}},
		Claims:           claims,
		CorrelationID:    o.CorrelationID,
		ResourceProvider: provider,
		ResourceURI:      o.ResourceID,
		OperationName:    o.Name,
		Status:           o.Status.String(),
		SubscriptionID:   strings.TrimPrefix(scope, "/subscriptions/"),
		TenantID:         o.TenantID,
	}
	if o.Method != "" {
		data.HTTPRequest = &httpRequest{
			ClientRequestID: eventID("request", id),
			ClientIPAddress: "203.0.113.10",
			Method:          o.Method,
			URL:             "https://management.azure.com" + o.ResourceID + "?api-version=2025-04-01",
		}
	}
	return Event{
		ID:          id,
		Type:        "Microsoft.Resources." + kind + o.Status.eventSuffix(),
		Subject:     o.ResourceID,
		Source:      scope,
		Time:        at,
		Data:        data,
		DataVersion: "2",
	}
}

// subscriptionOf returns the /subscriptions/<id> part of a resource id, which
// is the topic of all these events.
func subscriptionOf(resourceID string) string {
	parts := strings.SplitN(resourceID, "/", 4)
	if len(parts) < 3 {
		return resourceID
	}
	return "/" + parts[1] + "/" + parts[2]
}

// eventID makes a GUID of what an event says, so that a run can be repeated:
// the same fact at the same instant is the same event.
func eventID(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\n")))
	return guid(sum[:16])
}

func guid(bytes []byte) string {
	bytes[6] = bytes[6]&0x0f | 0x40
	bytes[8] = bytes[8]&0x3f | 0x80
	text := hex.EncodeToString(bytes)
	return text[:8] + "-" + text[8:12] + "-" + text[12:16] + "-" + text[16:20] + "-" + text[20:]
}
