package events

import (
	"encoding/json"
	"fmt"
	"strings"

	"tandem/internal/pair"
)

// health is the data of both kinds of health events (azure.md 4.1).
type health struct {
	ResourceInfo object[struct {
		Properties object[healthProperties] `json:"properties"`
	}] `json:"resourceInfo"`
	// OperationalInfo is missing in one published sample.
	OperationalInfo object[struct {
		ResourceEventTime text `json:"resourceEventTime"`
	}] `json:"operationalInfo"`
}

type healthProperties struct {
	TargetResourceID  text `json:"targetResourceId"`
	OccurredTime      text `json:"occurredTime"`
	AvailabilityState text `json:"availabilityState"`
	AnnotationName    text `json:"annotationName"`
	Context           text `json:"context"`
}

// availability maps what the platform sees to evidence. Unknown is missing: it
// means that the platform had no news for ten minutes, which is no evidence
// (azure.md 4.1), and so is any word that we do not know.
var availability = map[string]pair.EvidenceKind{
	"available":   pair.EvidenceAvailable,
	"unavailable": pair.EvidenceUnavailable,
	"degraded":    pair.EvidenceDegraded,
}

func readAvailability(e *Event, data json.RawMessage) error {
	p, err := e.readHealth(data)
	if err != nil {
		return err
	}
	return e.addEvidence(availability[strings.ToLower(string(p.AvailabilityState))], "AvailabilityStatusChanged", false)
}

func readAnnotation(e *Event, data json.RawMessage) error {
	p, err := e.readHealth(data)
	if err != nil {
		return err
	}
	a := annotations[strings.ToLower(string(p.AnnotationName))]
	return e.addEvidence(a.kind, a.name, strings.EqualFold(string(p.Context), "Customer Initiated"))
}

// readHealth reads what the health events have in common: which resource, and
// when it happened there rather than when the event was made of it.
func (e *Event) readHealth(data json.RawMessage) (healthProperties, error) {
	var h health
	if err := json.Unmarshal(data, &h); err != nil {
		return healthProperties{}, fmt.Errorf("data: %w", pair.ErrUnreadable)
	}
	p := h.ResourceInfo.fields.Properties.fields
	for _, t := range []text{h.OperationalInfo.fields.ResourceEventTime, p.OccurredTime} {
		if at := t.time(); !at.IsZero() {
			e.At = at
		}
	}
	if id := bounded(p.TargetResourceID, maxSubject); id != "" {
		e.Subject = string(pair.NewResourceID(id))
	}
	if e.Subject == "" {
		return p, fmt.Errorf("it names no resource: %w", pair.ErrUnreadable)
	}
	return p, nil
}

// addEvidence makes the event evidence about the VM that is its subject. Events
// about anything else, such as the VMs of scale sets, are passed over.
func (e *Event) addEvidence(kind pair.EvidenceKind, detail string, byPerson bool) error {
	r := parseResource(e.Subject)
	if kind == pair.EvidenceUnknown || r.kind != kindVM || r.part != "" {
		return nil
	}
	if e.At.IsZero() {
		return fmt.Errorf("it does not say when it happened: %w", pair.ErrUnreadable)
	}
	e.VM = &pair.Evidence{Kind: kind, VM: r.whole, At: e.At, ByPerson: byPerson, Detail: detail, EventID: e.ID}
	return nil
}

// annotations maps annotation names, in lower case, to evidence (azure.md 4.1;
// the platform's page "Resource Health virtual machine Health Annotations").
//
//   - A stop is one even if it was only begun: it will be carried out.
//   - A restart that somebody asked for or planned counts as a start, because
//     the unit is booting; one that nobody wanted counts as unavailable.
//   - Degraded is an advance warning: the VM still works.
//   - Freezes, live migrations and changes of the configuration say nothing
//     about being down and are missing on purpose, as is every unknown name.
var annotations = index(
	annotation{pair.EvidenceStarted, "VirtualMachineRestarted"},
	annotation{pair.EvidenceStarted, "VirtualMachineRebootInitiatedByControlPlane"},
	annotation{pair.EvidenceStarted, "VirtualMachineRebootInitiatedForPlannedMaintenance"},
	annotation{pair.EvidenceStarted, "VirtualMachineStartInitiatedByControlPlane"},
	annotation{pair.EvidenceStarted, "VirtualMachineRedeployInitiatedByControlPlane"},
	annotation{pair.EvidenceStarted, "VirtualMachineRedeployInitiatedByControlPlaneDueToPlannedMaintenance"},
	annotation{pair.EvidenceStarted, "VirtualMachineMigrationInitiatedForPlannedMaintenance"},
	annotation{pair.EvidenceStarted, "VirtualMachineSizeChanged"},

	annotation{pair.EvidenceStopped, "VirtualMachineDeallocationInitiated"},
	annotation{pair.EvidenceStopped, "VirtualMachineStopInitiatedByControlPlane"},
	annotation{pair.EvidenceStopped, "VirtualMachineStoppedInternally"},
	annotation{pair.EvidenceStopped, "VirtualMachinePreempted"},

	annotation{pair.EvidenceUnavailable, "VirtualMachineCrashed"},
	annotation{pair.EvidenceUnavailable, "VirtualMachineFailedToSecureBoot"},
	annotation{pair.EvidenceUnavailable, "VirtualMachineHostCrashed"},
	annotation{pair.EvidenceUnavailable, "VirtualMachineHostRebootedForRepair"},
	annotation{pair.EvidenceUnavailable, "VirtualMachineMigrationInitiatedForRepair"},
	annotation{pair.EvidenceUnavailable, "VirtualMachineStorageOffline"},
	annotation{pair.EvidenceUnavailable, "VirtualMachineProvisioningTimedOut"},

	annotation{pair.EvidenceDegraded, "VirtualMachineMigrationScheduledForDegradedHardware"},
	annotation{pair.EvidenceDegraded, "VirtualMachinePossiblyDegradedDueToHardwareFailure"},
	annotation{pair.EvidenceDegraded, "VirtualMachinePossiblyDegradedDueToHardwareFailureWithRedeployDeadline"},
	annotation{pair.EvidenceDegraded, "PossiblyDegradedDueToHardwareFailureWithRedeployDeadline"},
	annotation{pair.EvidenceDegraded, "VirtualMachineScheduledForServiceHealing"},
	annotation{pair.EvidenceDegraded, "AccelnetUnhealthy"},
)

type annotation struct {
	kind pair.EvidenceKind
	name string
}

func index(all ...annotation) map[string]annotation {
	m := make(map[string]annotation, len(all))
	for _, a := range all {
		m[strings.ToLower(a.name)] = a
	}
	return m
}
