package settings

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"tandem/internal/pair"
)

// Reason is why a difference waits.
type Reason uint8

// The reasons. The first five ask a person, whose choice ends them (Policy.Chosen).
// The others ask for something to be done first, and no choice ends them.
const (
	NoReason Reason = iota
	// DeletedOnStandby is what is gone on a unit that is not known to be active: a
	// standby may have forgotten it, or never have had it.
	DeletedOnStandby
	// ManyDeleted is more of a class gone at once than a person deletes.
	ManyDeleted
	// SerialChanged is a change seen on a unit that is another one now.
	SerialChanged
	// LicenceChanged is a change seen on a unit with another licence.
	LicenceChanged
	// FirmwareChanged is a change seen on a unit that was upgraded or downgraded.
	FirmwareChanged
	// FirmwareDiffers is a field that perhaps only the newer firmware has.
	FirmwareDiffers
	// AddressMissing is a service on an address that the other unit does not have.
	// Addresses are on the guide's list: it must be added there first.
	AddressMissing
	// PartnersAddress is an object that names the other unit's own address, where
	// it would mean something else.
	PartnersAddress
	// ByHand is what object calls cannot carry: private keys, passwords, files.
	ByHand
	// NeedsOther is what refers to something that the other unit does not get.
	NeedsOther
)

var reasons = [...]struct{ name, why string }{
	{"none", "nothing is in its way"},
	{"deleted-on-standby", "it is gone on a unit that is not known to be active"},
	{"many-deleted", "more of the class is gone at once than is believed without asking"},
	{"serial-changed", "the unit has another serial number than when both were last alike"},
	{"licence-changed", "the unit has another licence than when both were last alike"},
	{"firmware-changed", "the unit has another firmware than when both were last alike"},
	{"firmware-differs", "the units have different firmware, and only one of them has the field"},
	{"address-missing", "the service's address must be added to the other unit first"},
	{"partners-address", "it names the other unit's own address, which there would mean that unit itself"},
	{"by-hand", "object calls cannot carry it"},
	{"needs-other", "it refers to something that the other unit does not have"},
}

func (r Reason) String() string { return reasons[r.index()].name }

// Why returns the reason as a sentence for a person.
func (r Reason) Why() string { return reasons[r.index()].why }

func (r Reason) index() int {
	if int(r) >= len(reasons) {
		return 0
	}
	return int(r)
}

// MarshalText writes the name of a reason, as stored states spell it.
func (r Reason) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads the name of a reason; one that is not known is
// pair.ErrInvalid.
func (r *Reason) UnmarshalText(b []byte) error {
	for i := range reasons {
		if reasons[i].name == string(b) {
			*r = Reason(i)
			return nil
		}
	}
	return fmt.Errorf("read reason %q: %w", b, pair.ErrInvalid)
}

// Sight is what of a thing there is on a unit, or was: a field's value, or an
// object. The zero value means that there is nothing.
type Sight struct {
	Value  string  `json:"value,omitempty"`
	Object *Object `json:"object,omitempty"`
}

// Difference is something that is not alike on both units. In its path and values
// @ and the id of an interface stand for the unit's own address there.
type Difference struct {
	// ID is made of all that follows: a choice for this difference is none for
	// another one of the same field.
	ID     string   `json:"id"`
	Class  Class    `json:"class"`
	Path   []string `json:"path"`
	Field  string   `json:"field,omitempty"` // "" for the whole object
	Base   Sight    `json:"base"`
	First  Sight    `json:"first"`
	Second Sight    `json:"second"`
}

// Carried is a difference that is carried over: From is the unit whose state the other
// one gets.
type Carried struct {
	Difference
	From pair.Role `json:"from"`
}

// Conflict is a difference that both units made: two values for one field, or one
// deleted what the other changed. Winner is whose state was taken, RoleUnknown when
// a person has to choose. Both states are here, so that neither is lost.
type Conflict struct {
	Difference
	Winner pair.Role `json:"winner"`
}

// Held is a difference that is not carried over now. From is the unit that made it.
type Held struct {
	Difference
	From   pair.Role `json:"from"`
	Reason Reason    `json:"reason"`
	Detail string    `json:"detail,omitempty"`
}

// newDifference gives a difference its id. It writes lengths before texts, so that
// no two differences read the same.
func newDifference(c Class, path []string, field string, base, first, second Sight) Difference {
	d := Difference{Class: c, Path: slices.Clone(path), Field: field, Base: base, First: first, Second: second}
	var b strings.Builder
	say := func(text string) { b.WriteString(strconv.Itoa(len(text)) + " " + text) }
	say(c.String())
	for _, id := range path {
		say(id)
	}
	say(field)
	for _, s := range []Sight{base, first, second} {
		say(s.Value)
		if s.Object != nil {
			s.Object.say(say)
		}
	}
	sum := sha256.Sum256([]byte(b.String()))
	d.ID = hex.EncodeToString(sum[:6])
	return d
}

func (o *Object) say(say func(string)) {
	say("object " + o.Class.String())
	say(o.ID)
	for _, f := range o.Fields {
		say(f.Name)
		say(f.Value)
	}
	for i := range o.Kids {
		o.Kids[i].say(say)
	}
	say("end")
}

// sightOf is the sight of an object, or of none.
func sightOf(o *Object) Sight {
	if o == nil {
		return Sight{}
	}
	return Sight{Object: o}
}
