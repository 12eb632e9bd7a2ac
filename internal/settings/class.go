package settings

import (
	"fmt"

	"tandem/internal/pair"
)

// Class is a kind of setting: what is read together, has one sort of identity and
// lies in one place. The inventory says which there are (loadmaster.md 3).
type Class uint8

// The classes in the order in which they are written; deletions go the other
// way (loadmaster.md 3.4). The zero value is no class.
const (
	ClassUnknown Class = iota

	Parameters
	HealthGlobals
	AdaptiveGlobals
	WAFSettings
	Hosts
	CipherSets
	Intermediates
	Certificates
	ACMECertificates
	LDAPEndpoints
	SSODomains
	RemoteGroups
	Users
	WAFFiles
	OWASPFiles
	Templates
	ContentRules
	VirtualServices
	SubServices
	RealServers
	RuleBindings
	OWASPRules
	PacketFilter
	AccessLists
	ServiceAccessLists
	ClientConnectionLimits
	ClientRateLimits
	ClientRequestLimits
	ClientBandwidthLimits
	LimitRules
	VPNs
	SDNControllers
	Ingress
	GEOClusters
	GEOLocations
	GEORanges
	GEOAccessList
	GEONames
	GEOMaps
	GEORecords
	GEOParameters
	GEOAccessSettings

	// What follows is never written.
	UnitState
	Interfaces
	Routes
	AdminAccess
	PartnerLists
	HAMode
	Licence
	APIKeys
	AddOns
	PrivateKeys
	Passwords
	DNSSECKeys
	CacheExceptions
	SSOImages
	ErrorFiles

	classCount
)

func (c Class) String() string {
	if c == ClassUnknown || c >= classCount {
		return "unknown"
	}
	return inventory[c].name
}

// MarshalText writes the name of a class, as commands and stored states spell it.
func (c Class) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText reads the name of a class; one that is not in the inventory is
// pair.ErrInvalid.
func (c *Class) UnmarshalText(b []byte) error {
	for i := ClassUnknown + 1; i < classCount; i++ {
		if inventory[i].name == string(b) {
			*c = i
			return nil
		}
	}
	return fmt.Errorf("read class of settings %q: %w", b, pair.ErrInvalid)
}

// Place says whose business a setting is.
type Place uint8

const (
	// PlaceUnknown is a setting that the inventory does not have. It is shown and
	// never written, because it may be one that must stay on its unit.
	PlaceUnknown Place = iota
	// Synchronised settings are the same on both units. Nothing else is written.
	Synchronised
	// Local is exactly the list of what the guide says is not synchronised
	// (loadmaster.md 2.5).
	Local
	// Own settings belong to their unit by nature, although the guide's list does
	// not have them: HA mode, ports of the API, debugging.
	Own
	// Elsewhere are the lists of GEO partners and clients, which are different on
	// each unit by rule and belong to the GEO job (loadmaster.md 4.4).
	Elsewhere
	// State is what a unit says of itself that nobody has set: versions, indexes,
	// whether something is up.
	State
	// Masked are secrets that read back as asterisks. They are neither compared nor
	// written: a unit would take the asterisks for the secret (loadmaster.md 0.1
	// item 5).
	Masked
	// Unreadable is what the API does not give at all.
	Unreadable
)

var placeNames = [...]string{"not in the inventory", "synchronised", "local", "own", "GEO job", "state", "masked", "cannot be read"}

func (p Place) String() string {
	if int(p) >= len(placeNames) {
		return placeNames[PlaceUnknown]
	}
	return placeNames[p]
}
