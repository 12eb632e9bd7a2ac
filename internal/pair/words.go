package pair

import (
	"fmt"
	"strings"
)

// Role is a unit's fixed place in the pair. It never changes; what moves is
// the HAState. The vendor's guide says master and slave for first and second.
type Role uint8

// The two roles. The zero value means that the role is not known.
const (
	RoleUnknown Role = iota
	First
	Second
)

// Roles lists both units in the order in which they are always reported.
var Roles = [2]Role{First, Second}

// Other returns the partner's role, and RoleUnknown for RoleUnknown.
func (r Role) Other() Role {
	switch r {
	case First:
		return Second
	case Second:
		return First
	default:
		return RoleUnknown
	}
}

// Index returns the place of the role in an array of two, and is meant for
// First and Second only: RoleUnknown panics, because guessing a unit is worse.
func (r Role) Index() int {
	if r != First && r != Second {
		panic("pair: index of an unknown role")
	}
	return int(r) - 1
}

var roleNames = names{"unknown", "first", "second"}

func (r Role) String() string               { return roleNames.text(uint8(r)) }
func (r Role) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText accepts both vocabularies, first and second as well as the
// guide's master and slave (loadmaster.md 2.1).
func (r *Role) UnmarshalText(b []byte) error {
	switch strings.ToLower(string(b)) {
	case "master":
		*r = First
		return nil
	case "slave":
		*r = Second
		return nil
	}
	v, err := roleNames.parse("role", b)
	*r = Role(v)
	return err
}

// HAState is what a unit says it is doing now (API parameter hastatus,
// loadmaster.md 2.2).
type HAState uint8

// The states. Unconnected is the guide's word for a unit that the load
// balancer has not polled yet; the API calls it Passive.
const (
	StateUnknown HAState = iota
	Active
	Standby
	Unconnected
	NotConfigured
)

var stateNames = names{"unknown", "active", "standby", "unconnected", "not configured"}

func (s HAState) String() string               { return stateNames.text(uint8(s)) }
func (s HAState) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads the stored form.
func (s *HAState) UnmarshalText(b []byte) error {
	v, err := stateNames.parse("HA state", b)
	*s = HAState(v)
	return err
}

// Preference is which unit takes the active state back when it returns
// (haprefered; cloud HA knows no preference for second, loadmaster.md 2.1).
type Preference uint8

// The preferences; the zero value means that it was not read or not set.
const (
	PreferenceUnknown Preference = iota
	PreferFirst
	PreferNone
)

var preferenceNames = names{"unknown", "first", "none"}

func (p Preference) String() string               { return preferenceNames.text(uint8(p)) }
func (p Preference) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText reads the pair file's and the stored form.
func (p *Preference) UnmarshalText(b []byte) error {
	v, err := preferenceNames.parse("preference", b)
	*p = Preference(v)
	return err
}

// Mode is how much Tandem may do by itself. Its zero value does nothing but
// explain, like Observe.
type Mode uint8

// The modes, from the most careful to the most free; a lower one is a smaller
// number, which is how TANDEM_MAX_MODE lowers a pair's mode.
const (
	ModeUnset Mode = iota
	Observe
	Recommend
	Auto
)

var modeNames = names{"unset", "observe", "recommend", "auto"}

func (m Mode) String() string               { return modeNames.text(uint8(m)) }
func (m Mode) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText reads the pair file's and the stored form.
func (m *Mode) UnmarshalText(b []byte) error {
	v, err := modeNames.parse("mode", b)
	*m = Mode(v)
	return err
}

// Consent is the policy for a lever: never use it, ask a person, or use it.
type Consent uint8

// The consents; unset behaves as Never, because a lever nobody spoke about is
// not ours to pull. Defaults are set by the pair file's reader.
const (
	ConsentUnset Consent = iota
	Never
	Ask
	Allowed
)

var consentNames = names{"unset", "never", "ask", "auto"}

func (c Consent) String() string               { return consentNames.text(uint8(c)) }
func (c Consent) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText reads the pair file's and the stored form.
func (c *Consent) UnmarshalText(b []byte) error {
	v, err := consentNames.parse("policy", b)
	*c = Consent(v)
	return err
}

// Failback is who moves the active state back to the preferred unit.
type Failback uint8

// The failback policies of DESIGN section 5.
const (
	FailbackUnset   Failback = iota
	FailbackUnit             // the appliances do it by haprefered=1
	FailbackManaged          // Tandem does it, drained, after the hold
	FailbackNever            // whoever is active stays
)

var failbackNames = names{"unset", "unit", "managed", "never"}

func (f Failback) String() string               { return failbackNames.text(uint8(f)) }
func (f Failback) MarshalText() ([]byte, error) { return []byte(f.String()), nil }

// UnmarshalText reads the pair file's and the stored form.
func (f *Failback) UnmarshalText(b []byte) error {
	v, err := failbackNames.parse("failback", b)
	*f = Failback(v)
	return err
}

// Forwards says whether a standby unit forwards traffic that reaches it, which
// no document states (DESIGN section 5, "Up").
type Forwards uint8

// What is known about a standby's forwarding.
const (
	ForwardsUnknown Forwards = iota
	ForwardsYes
	ForwardsNo
)

var forwardsNames = names{"unknown", "yes", "no"}

func (f Forwards) String() string               { return forwardsNames.text(uint8(f)) }
func (f Forwards) MarshalText() ([]byte, error) { return []byte(f.String()), nil }

// UnmarshalText reads the pair file's and the stored form.
func (f *Forwards) UnmarshalText(b []byte) error {
	v, err := forwardsNames.parse("standbyForwards", b)
	*f = Forwards(v)
	return err
}

// Scheme is how a check of the pair file speaks to a published port.
type Scheme uint8

// The schemes; unset takes the usual one of the port.
const (
	SchemeUnset Scheme = iota
	HTTP
	HTTPS
)

var schemeNames = names{"unset", "http", "https"}

func (s Scheme) String() string               { return schemeNames.text(uint8(s)) }
func (s Scheme) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads the pair file's and the stored form.
func (s *Scheme) UnmarshalText(b []byte) error {
	v, err := schemeNames.parse("scheme", b)
	*s = Scheme(v)
	return err
}

// Persistence is which connections of a client the load balancer keeps on one
// unit (loadDistribution, azure.md 1.6).
type Persistence uint8

// The persistences; unset takes the default, none.
const (
	PersistenceUnset        Persistence = iota
	PersistNone                         // by all five parts of a connection's address
	PersistSourceIP                     // by both addresses
	PersistSourceIPProtocol             // by both addresses and the protocol
)

var persistenceNames = names{"unset", "none", "sourceIP", "sourceIPProtocol"}

func (p Persistence) String() string               { return persistenceNames.text(uint8(p)) }
func (p Persistence) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText reads the pair file's and the stored form.
func (p *Persistence) UnmarshalText(b []byte) error {
	v, err := persistenceNames.parse("persistence", b)
	*p = Persistence(v)
	return err
}

// Membership is how the units are made members of backend pools (azure.md 1.3).
type Membership uint8

// The memberships; unset takes the default, by interface.
const (
	MembershipUnset Membership = iota
	ByInterface                // written on the units' network interfaces
	ByAddress                  // written in the pools
)

var membershipNames = names{"unset", "interface", "address"}

func (m Membership) String() string               { return membershipNames.text(uint8(m)) }
func (m Membership) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText reads the pair file's and the stored form.
func (m *Membership) UnmarshalText(b []byte) error {
	v, err := membershipNames.parse("members", b)
	*m = Membership(v)
	return err
}

// AdminState is the load balancer's override of its own probe for one backend
// address (azure.md 1.5): None obeys the probe, Down refuses new flows, Up
// ignores the probe.
type AdminState uint8

// The admin states; unknown means that it was not read.
const (
	AdminUnknown AdminState = iota
	AdminNone
	AdminUp
	AdminDown
)

var adminNames = names{"unknown", "None", "Up", "Down"}

func (a AdminState) String() string               { return adminNames.text(uint8(a)) }
func (a AdminState) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText reads the platform's and the stored form.
func (a *AdminState) UnmarshalText(b []byte) error {
	v, err := adminNames.parse("admin state", b)
	*a = AdminState(v)
	return err
}

// Power is a VM's power state as the platform tells it (azure.md 5).
type Power uint8

// The power states. A running VM says nothing about the appliance inside it.
const (
	PowerUnknown Power = iota
	PowerRunning
	PowerStarting
	PowerStopping
	PowerStopped
	PowerDeallocating
	PowerDeallocated
)

var powerNames = names{"unknown", "running", "starting", "stopping", "stopped", "deallocating", "deallocated"}

func (p Power) String() string               { return powerNames.text(uint8(p)) }
func (p Power) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText reads the stored form.
func (p *Power) UnmarshalText(b []byte) error {
	v, err := powerNames.parse("power state", b)
	*p = Power(v)
	return err
}

// errWord marks a word that this release does not know. In a stored form it was
// written by a newer release.
var errWord = fmt.Errorf("word not known: %w", ErrTooNew)

// names maps the values of one closed set, 0 upwards, to their words. One
// table for both directions keeps logs, stored rows and files in step.
type names []string

func (n names) text(v uint8) string {
	if int(v) < len(n) {
		return n[v]
	}
	return fmt.Sprintf("value %d", v)
}

func (n names) parse(what string, b []byte) (uint8, error) {
	for i, w := range n {
		if strings.EqualFold(w, string(b)) {
			return uint8(i), nil
		}
	}
	return 0, fmt.Errorf("%s %q: expected one of %s: %w", what, b, strings.Join(n[1:], ", "), errWord)
}
