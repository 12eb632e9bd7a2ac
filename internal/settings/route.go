package settings

import "tandem/internal/pair"

// Method is a way in which a write reaches a unit.
type Method uint8

// The methods. The zero value is to wait.
const (
	MethodWait Method = iota
	// ObjectCalls write each object by the API's setters.
	ObjectCalls
	// VendorSync leaves it to the units, which synchronise by themselves every two
	// minutes (loadmaster.md 2.5).
	VendorSync
	// ProvokedSync has them do so at once, by a marked virtual service that is
	// made on the active unit and removed again.
	ProvokedSync
	// PartialRestore restores a part of a backup of the active unit, never base.
	PartialRestore
)

func (m Method) String() string {
	switch m {
	case ObjectCalls:
		return "object calls"
	case VendorSync:
		return "the vendor's own sync"
	case ProvokedSync:
		return "the vendor's own sync, provoked"
	case PartialRestore:
		return "restore of a part"
	default:
		return "wait"
	}
}

// Lasting is what was found out about object writes to a standby of this pair: the
// vendor does not say what becomes of them (loadmaster.md 1.7).
type Lasting uint8

// What may have been found. The zero value is that nobody has tried.
const (
	LastingUnknown Lasting = iota
	// Lasts means that a write was still there after 150 seconds, that is, after
	// the vendor's sync.
	Lasts
	// Rejected means that the unit does not take them.
	Rejected
	// Forgotten means that it took one, and it was gone later.
	Forgotten
)

// Circumstances are what decides how a unit can be written to.
type Circumstances struct {
	// Receiver is the unit to write to, Active the one that is active now.
	Receiver, Active pair.Role
	// SyncBlocked means that the vendor's sync cannot work: port 6973 between the
	// units is closed, or it had its time and did not carry this.
	SyncBlocked bool
	// SyncTried means that the vendor's sync had its time since the difference was
	// seen first.
	SyncTried bool
	// MayProvoke is a person's consent to the marked virtual service.
	MayProvoke bool
	// Provoked means that the marked service was made since.
	Provoked bool
	// MayRestore is the policy's consent to restores.
	MayRestore bool
	// Pending are the parts in which something of the receiver waits for a person,
	// which a restore would overwrite.
	Pending Part
	// OwnAddresses are the parts in which the active unit has its own addresses. A
	// restore would bring them to the receiver as they are.
	OwnAddresses Part
	// Writes are what is known of object writes to the receiver while it is standby.
	Writes Lasting
}

// Route says how a write reaches its unit, and why so. Towards the active unit it
// is by object calls. Towards a standby, what the vendor's sync can do is left to
// it; then comes a restore of the part, if nothing is lost by it; and object calls
// only where they were proved to last. The vendor's sync, which still runs, is
// never fought.
func Route(w Write, c Circumstances) (Method, Part, string) {
	part := w.class.Part()
	switch {
	case w.class == ClassUnknown || w.verb == VerbNone:
		return MethodWait, NoPart, "nothing is to be written"
	case c.Receiver == pair.RoleUnknown || c.Active == pair.RoleUnknown:
		return MethodWait, NoPart, "it is not known which unit is active"
	case c.Receiver == c.Active:
		return ObjectCalls, NoPart, "the receiver is active, where writes hold"
	case !c.SyncBlocked && !c.SyncTried:
		return VendorSync, NoPart, "the vendor's sync has not had its time yet"
	case !c.SyncBlocked && c.MayProvoke && !c.Provoked:
		return ProvokedSync, NoPart, "the vendor's sync has not carried it, and may be provoked"
	case c.MayRestore && part != NoPart && part&(c.Pending|c.OwnAddresses) == 0:
		return PartialRestore, part, "the vendor's sync does not carry it, and nothing of the receiver is lost by a restore"
	case c.Writes == Lasts:
		return ObjectCalls, NoPart, "the vendor's sync does not carry it, and writes to this standby were proved to last"
	}
	return MethodWait, NoPart, whyNot(part, c)
}

// whyNot says what stands in the way to a standby.
func whyNot(part Part, c Circumstances) string {
	var restore string
	switch {
	case part == NoPart:
		restore = "no part of a backup but base carries it"
	case !c.MayRestore:
		restore = "restores are not allowed"
	case part&c.OwnAddresses != 0:
		restore = "a restore would bring the active unit's own addresses"
	default:
		restore = "a restore would overwrite what waits for a person on the receiver"
	}
	writes := map[Lasting]string{
		LastingUnknown: "writes to this standby were not proved to last",
		Rejected:       "this standby rejects writes",
		Forgotten:      "this standby forgets writes",
	}[c.Writes]
	return "the vendor's sync does not carry it; " + restore + "; " + writes
}

// PartsWithOwnAddresses returns the parts of a backup in which a unit has its own
// addresses, and which are therefore not restored on its partner. Both that hold any are, as
// long as the unit's interfaces were not read.
func PartsWithOwnAddresses(s *Snapshot) Part {
	if len(s.Interfaces) == 0 {
		return ServicesPart | GEOPart
	}
	a := addressesOf(s.Interfaces, s.Interfaces)
	var parts Part
	for c, objects := range s.classes {
		for i := range objects {
			if _, changed := a.neutralObject(objects[i], 0); changed {
				parts |= c.Part()
				break
			}
		}
	}
	return parts
}
