package pair

import "time"

// EvidenceKind is what an event from the platform says about a unit's VM.
type EvidenceKind uint8

// The kinds of platform evidence. They are hints: each may come twice, late,
// out of order, or never (ha-design-notes.md 12).
const (
	EvidenceUnknown     EvidenceKind = iota
	EvidenceAvailable                // the platform sees the VM as available
	EvidenceUnavailable              // the VM is unavailable, for whatever reason
	EvidenceDegraded                 // still usable, trouble announced
	EvidenceStarted                  // the VM was started or restarted
	EvidenceStopped                  // the VM was stopped or deallocated
	EvidenceDeleted                  // the VM is gone
)

var evidenceNames = names{"unknown", "available", "unavailable", "degraded", "started", "stopped", "deleted"}

func (k EvidenceKind) String() string               { return evidenceNames.text(uint8(k)) }
func (k EvidenceKind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText reads the stored form. A word of a newer release is read as
// unknown: the message it stands in still says who shall be looked at.
func (k *EvidenceKind) UnmarshalText(b []byte) error {
	v, err := evidenceNames.parse("evidence", b)
	if err != nil {
		v = uint8(EvidenceUnknown)
	}
	*k = EvidenceKind(v)
	return nil
}

// Evidence is one fact about a VM that an event brought.
type Evidence struct {
	Kind EvidenceKind `json:"kind"`
	VM   ResourceID   `json:"vm"`
	At   time.Time    `json:"at"` // when it happened, by the platform's clock
	// ByPerson is true where the platform says that a customer did it: such a
	// stop is an instruction, not an accident.
	ByPerson bool   `json:"byPerson,omitempty"`
	Detail   string `json:"detail,omitempty"` // annotation or operation name
	EventID  string `json:"eventId,omitempty"`
}

// Cause is why a pass runs. It changes how closely the pass looks, never what
// it concludes from what it sees.
type Cause struct {
	Kind     CauseKind  `json:"kind"`
	Evidence []Evidence `json:"evidence,omitempty"`
	Resource ResourceID `json:"resource,omitempty"` // for CauseResource
	By       string     `json:"by,omitempty"`       // the principal that changed it, as far as the event tells
	// Epoch, for CauseAgain, is that of the decision that asked to look again;
	// only the newest decision's chain of looks goes on.
	Epoch uint64 `json:"epoch,omitempty"`
}

// ResourceChange is what an event told of a load balancer, security group or
// interface: that it was changed, and by which principal, empty where the event
// does not tell.
type ResourceChange struct {
	Resource ResourceID
	By       string
}

// CauseKind is what woke a pair.
type CauseKind uint8

// The causes.
const (
	CauseUnknown  CauseKind = iota
	CauseSweep              // the timer: the guarantee behind the hints
	CauseVM                 // an event about a VM of the pair
	CauseResource           // an event about a load balancer, security group or interface
	CauseAgain              // the pass before asked to look again
	CausePerson             // a person asked
)

var causeNames = names{"unknown", "sweep", "vm", "resource", "again", "person"}

func (c CauseKind) String() string               { return causeNames.text(uint8(c)) }
func (c CauseKind) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText reads the stored form. A word of a newer release is read as
// unknown: the message it stands in still says who shall be looked at.
func (c *CauseKind) UnmarshalText(b []byte) error {
	v, err := causeNames.parse("cause", b)
	if err != nil {
		v = uint8(CauseUnknown)
	}
	*c = CauseKind(v)
	return nil
}
