package pair

import (
	"net/netip"
	"time"
)

// Observation is everything one pass saw of a pair: facts with a time, no
// judgement. What was not asked or not answered is unknown, never down.
type Observation struct {
	// At is the time of the observation and the only clock of the decision.
	At time.Time `json:"at"`
	// Units holds what was seen of first and second, in this order.
	Units [2]UnitSeen `json:"units"`
	// Balancers holds the load balancers that were read in this pass; it is
	// empty in most passes, because reading costs (DESIGN section 5).
	Balancers []BalancerSeen `json:"balancers,omitempty"`
	// Front is what the pair file's checks found at the load balancers' front ends;
	// unknown unless a job runs.
	Front ServiceSeen `json:"front,omitzero"`
	// Drift is what differs from the pair file; nil in most passes, because
	// reading everything costs.
	Drift *Drift `json:"drift,omitempty"`
}

// Unit returns what was seen of the unit in the role.
func (o *Observation) Unit(r Role) *UnitSeen { return &o.Units[r.Index()] }

// UnitSeen is what one pass saw of one unit, from up to three independent
// kinds of sources: its check port, its API, and the platform.
type UnitSeen struct {
	Check   CheckSeen   `json:"check,omitzero"`
	API     APISeen     `json:"api,omitzero"`
	Power   PowerSeen   `json:"power,omitzero"`
	Service ServiceSeen `json:"service,omitzero"`
	Flows   FlowsSeen   `json:"flows,omitzero"`
	// Inventory is asked for by a job that takes in a new unit, and by nobody else.
	Inventory InventorySeen `json:"inventory,omitzero"`
	// GEO is asked for by a job that brings it about, and by nobody else.
	GEO *GEOSeen `json:"geo,omitempty"`
}

// InventorySeen is what a unit says that it has; At is zero where it was not asked
// or did not tell.
type InventorySeen struct {
	// Licensed: it names a licence. A unit that was never licensed serves nobody.
	Licensed bool `json:"licensed,omitempty"`
	// Services counts its virtual services, and ServicesHash names exactly these, by
	// port and protocol: addresses and numbers are each unit's own (loadmaster.md 0.1
	// fact 9, 7 item 9).
	Services     int       `json:"services,omitempty"`
	ServicesHash string    `json:"servicesHash,omitempty"`
	At           time.Time `json:"at,omitzero"`
}

// FlowsSeen is how many connections a unit says that it carries; At is zero where
// it was not asked.
type FlowsSeen struct {
	Count int       `json:"count,omitempty"`
	At    time.Time `json:"at,omitzero"`
}

// Lives reports whether the unit answered anything to us at all.
func (u *UnitSeen) Lives() bool { return u.Check.Answer.Answered() || u.API.Answer.answered() }

// CheckAnswer is how the check port answered. Only the status counts, the text
// is not reliable (loadmaster.md 2.3).
type CheckAnswer uint8

// The answers of the check port.
const (
	CheckUnknown CheckAnswer = iota // not asked
	CheckServing                    // 200: this unit is active
	CheckIdle                       // 503: this unit is standby
	CheckOdd                        // any other status
	CheckRefused                    // connection refused or reset
	CheckSilent                     // no answer in time
)

var checkNames = names{"unknown", "200", "503", "odd status", "refused", "silent"}

func (c CheckAnswer) String() string               { return checkNames.text(uint8(c)) }
func (c CheckAnswer) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText reads the stored form.
func (c *CheckAnswer) UnmarshalText(b []byte) error {
	v, err := checkNames.parse("check answer", b)
	*c = CheckAnswer(v)
	return err
}

// Answered reports whether the unit answered at all, with any status.
func (c CheckAnswer) Answered() bool {
	return c == CheckServing || c == CheckIdle || c == CheckOdd
}

// CheckSeen is one answer of a check port.
type CheckSeen struct {
	Answer CheckAnswer `json:"answer"`
	Status int         `json:"status,omitempty"` // HTTP status, 0 when there was none
	At     time.Time   `json:"at,omitzero"`      // when the answer came
}

// APIAnswer is whether the appliance's API answered.
type APIAnswer uint8

// The answers of the API. Refused is not down: a changed password must not
// look like a dead unit.
const (
	APIUnknown   APIAnswer = iota // not asked
	APIAnswered                   // it answered, the report is filled
	APIRefused                    // 401, 403, or the API is switched off
	APIUntrusted                  // the certificate is not the pinned one
	APIBroken                     // an answer that could not be understood
	APISilent                     // no answer
)

var apiNames = names{"unknown", "answered", "refused", "untrusted", "unreadable", "silent"}

func (a APIAnswer) String() string               { return apiNames.text(uint8(a)) }
func (a APIAnswer) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText reads the stored form.
func (a *APIAnswer) UnmarshalText(b []byte) error {
	v, err := apiNames.parse("API answer", b)
	*a = APIAnswer(v)
	return err
}

// answered reports whether something at the API's address answered, with
// whatever.
func (a APIAnswer) answered() bool {
	return a == APIAnswered || a == APIRefused || a == APIUntrusted || a == APIBroken
}

// APISeen is what a unit's API said.
type APISeen struct {
	Answer APIAnswer `json:"answer"`
	At     time.Time `json:"at,omitzero"`
	// Rest is how long our credentials must not be tried again, where they were
	// tried and refused just now.
	Rest   Duration `json:"rest,omitempty"`
	Report Report   `json:"report,omitzero"`
}

// Report is a unit's own view of itself. Every field may be missing, because
// firmware releases differ (loadmaster.md 7).
type Report struct {
	State         HAState    `json:"state,omitempty"`
	Role          Role       `json:"role,omitempty"` // as configured on the unit
	Preferred     Preference `json:"preferred,omitempty"`
	Partner       string     `json:"partner,omitempty"`   // address or host name
	CheckPort     int        `json:"checkPort,omitempty"` // 0 when unknown
	AllInterfaces bool       `json:"allInterfaces,omitempty"`
	Firmware      string     `json:"firmware,omitempty"`
	BootedAt      time.Time  `json:"bootedAt,omitzero"`
	ChangedAt     time.Time  `json:"changedAt,omitzero"` // last change of the configuration, a cheap change counter
}

// PowerSeen is what the platform says about the VM.
type PowerSeen struct {
	Power Power     `json:"power"`
	At    time.Time `json:"at,omitzero"`
	// Since is when the platform last ended an operation on the VM, zero where it
	// does not tell. Why a VM was stopped is only known of the stop that came last.
	Since time.Time `json:"since,omitzero"`
}

// ServiceAnswer is what the pair file's checks found on one unit. They prove
// forwarding, which an open check port does not (ha-design-notes.md 6).
type ServiceAnswer uint8

// The answers to the checks; unknown where none was made.
const (
	ServiceUnknown ServiceAnswer = iota
	ServicePassed                // every check got the answer that it expects
	ServiceFailed                // one of them did not
)

var serviceNames = names{"unknown", "passed", "failed"}

func (a ServiceAnswer) String() string               { return serviceNames.text(uint8(a)) }
func (a ServiceAnswer) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText reads the stored form.
func (a *ServiceAnswer) UnmarshalText(b []byte) error {
	v, err := serviceNames.parse("service answer", b)
	*a = ServiceAnswer(v)
	return err
}

// ServiceSeen is the result of a unit's checks: the first one that failed, or
// none.
type ServiceSeen struct {
	Answer ServiceAnswer `json:"answer"`
	Check  string        `json:"check,omitempty"`  // name of the one that failed
	Detail string        `json:"detail,omitempty"` // what it got instead
	At     time.Time     `json:"at,omitzero"`
}

// BalancerSeen is a load balancer as read in this pass.
type BalancerSeen struct {
	Name  string     `json:"name"`
	At    time.Time  `json:"at"`
	Pools []PoolSeen `json:"pools,omitempty"`
	// Health is the load balancer's own view of each unit through the rule of
	// the check port, the truth for "polled by the load balancer".
	Health []HealthSeen `json:"health,omitempty"`
	// Availability is what its probes measured of units that have answered us alike
	// for some minutes. It is minutes old, so it proves nothing: it names what rule
	// health does not tell, and stays empty where that tells enough.
	Availability []AvailabilitySeen `json:"availability,omitempty"`
	// Tags are those of its tags that begin with TagPrefix.
	Tags map[string]string `json:"tags,omitempty"`
}

// TagPrefix begins the names of all tags that are ours.
const TagPrefix = "tandem-"

// PoolSeen is one backend pool with the members that are the pair's units.
type PoolSeen struct {
	Name    string       `json:"name"`
	ETag    string       `json:"etag,omitempty"`
	Members []MemberSeen `json:"members,omitempty"`
}

// MemberSeen is one backend address of a pool.
type MemberSeen struct {
	Name    string     `json:"name"`
	Address netip.Addr `json:"address,omitzero"`
	Admin   AdminState `json:"admin"`
}

// AvailabilitySeen is the load balancer's availability metric of one backend
// address, as far as it had come when it was read: two to five minutes are missing
// (azure.md 3).
type AvailabilitySeen struct {
	Address netip.Addr `json:"address"`
	Percent int        `json:"percent"` // of the probes that were answered with 200
	// Answer is what the check port answered us at every look since a minute before
	// Since, until At.
	Answer CheckAnswer `json:"answer"`
	Since  time.Time   `json:"since"`
	At     time.Time   `json:"at"`
}

// HealthSeen is the load balancer's view of one backend address (azure.md
// 1.11); Reason is the platform's own word, empty for a stopped VM.
type HealthSeen struct {
	Rule    string     `json:"rule"`
	Address netip.Addr `json:"address"`
	Up      bool       `json:"up"`
	Reason  string     `json:"reason,omitempty"`
}

// ProbedUp reports whether the probe itself, not an admin state, sees the unit
// as serving.
func (h HealthSeen) ProbedUp() bool { return h.Up && h.Reason == "Up_Probe_Success" }

// Admin is the admin state by which the load balancer explains what it does with
// the unit, None where it explains it otherwise.
func (h HealthSeen) Admin() AdminState {
	switch h.Reason {
	case "Down_Admin":
		return AdminDown
	case "Up_Admin":
		return AdminUp
	default:
		return AdminNone
	}
}

// Refused reports whether the probe got another answer than 200 from the unit, as
// the 503 of a standby (azure.md 1.11): the unit lives.
func (h HealthSeen) Refused() bool { return h.Reason == "Down_Probe_HttpStatusCodeError" }

// Unreached reports whether the probe got no answer from the unit, which is
// another thing than the 503 of a standby (azure.md 1.11).
func (h HealthSeen) Unreached() bool {
	switch h.Reason {
	case "Down_Probe_HttpEndpointUnreachable", "Down_Probe_TcpProbeTimeout", "Down_Probe_HttpNoResponse":
		return true
	}
	return false
}
