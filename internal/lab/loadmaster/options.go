package loadmaster

// Options hold every behaviour that the references call undocumented,
// inferred or unseen, so that a story can be told with both answers. The zero
// value of each is the answer the references infer.
type Options struct {
	// StandbyForwards makes published services answer on a standby too
	// (loadmaster.md 2.2 says only "not serving, ready").
	StandbyForwards bool
	// PolledBy says whose request counts as being polled by the load
	// balancer (loadmaster.md 2.3).
	PolledBy PolledBy
	// PassiveUntil says what ends the state Passive (loadmaster.md 2.4).
	PassiveUntil PassiveUntil
	// NoPreferenceHealing says who yields when both units are active without
	// a preferred one and see each other again (loadmaster.md 2.4).
	NoPreferenceHealing NoPreferenceHealing
	// HAStatus says whether the firmware knows hastatus (loadmaster.md 2.2,
	// and 7 number 2).
	HAStatus HAStatusSupport
	// HAModeWords are the words HaMode is read back in; documented are first
	// and second for writing (loadmaster.md 2.1, and 7 number 1).
	HAModeWords Words
	// HealthWords are those in the body of the check port's 200; documented
	// are Master and Slave (loadmaster.md 2.3, and 7 number 17).
	HealthWords Words
	// AllInterfaces is how HealthCheckAllInterfaces reads (loadmaster.md 2.1).
	AllInterfaces AllInterfacesField
	// StandbyWrites is what a standby does with a write to a synchronised
	// parameter (loadmaster.md 1.7, and 7 number 4).
	StandbyWrites StandbyWrites
	// SyncDirection, SyncConflict, SyncCertificates, SyncUsers, SyncAddresses,
	// SyncVersions and SyncNewUnit are what the units' own sync does where no
	// document says (loadmaster.md 2.5, 2.7, and 7 numbers 7 to 9).
	SyncDirection    SyncDirection
	SyncConflict     SyncConflict
	SyncCertificates SyncCertificates
	SyncUsers        SyncUsers
	SyncAddresses    SyncAddresses
	SyncVersions     SyncVersions
	SyncNewUnit      SyncNewUnit
	// ModeAppliesAtOnce makes a new HA mode work without the reboot that the
	// guide asks for and the API text does not (loadmaster.md 2.1, 2.6).
	ModeAppliesAtOnce bool
	// ParametersNeedReboot makes azurehaparam work only after a reboot
	// (loadmaster.md 7 number 14).
	ParametersNeedReboot bool
	// V2NeedsSessionManagement makes API v2 answer 404 until the parameter
	// sessioncontrol is on (loadmaster.md 7 number 15).
	V2NeedsSessionManagement bool
	// V2Values is how values look in JSON (loadmaster.md 1.6, and 7 number 1).
	V2Values V2Values
	// V2Get is the shape of the JSON answer to get (loadmaster.md 7 number 3).
	V2Get V2Get
	// Unauthorized is what bad credentials are answered with
	// (loadmaster.md 1.5, 1.6).
	Unauthorized UnauthorizedAnswer
	// BootAnswer is what the API port says in the last part of a boot
	// (loadmaster.md 2.6, and 6 number 6).
	BootAnswer BootAnswer
	// DeadRealServers is what a published service of an active unit does when
	// every real server behind it is down; no reference says.
	DeadRealServers DeadRealServers
	// FailedKeys says whether a wrong API key counts as a failed login of the
	// unit's user, as a wrong password does (loadmaster.md 1.4).
	FailedKeys FailedKeys
	// StandbyKeepsConnections makes a unit that becomes standby carry on the
	// connections that it has; no reference says.
	StandbyKeepsConnections bool
	// RestoreNeedsReboot makes restored services work only after a reboot
	// (loadmaster.md 7 number 19).
	RestoreNeedsReboot bool
	// UnlicensedAPI is what a unit that was never licensed does with calls
	// (loadmaster.md 1.3, 5).
	UnlicensedAPI UnlicensedAPI
	// TimesAsText writes boottime and activetime as a date rather than as
	// Unix seconds; no value other than 0 was seen (loadmaster.md 2.2).
	TimesAsText bool
	// Partners says when the GEO partners must be submitted again
	// (loadmaster.md 4.4, and 6 number 10).
	Partners Partners
	// PairCluster says whether a pair's cluster follows its active unit
	// (loadmaster.md 2.5).
	PairCluster PairCluster
	// EmptyGEO is the answer where there is no such cluster or name, or none at
	// all (loadmaster.md 4.2).
	EmptyGEO EmptyGEO
}

// Partners says when a unit has forgotten its GEO partners, whose addresses it
// still reads back.
type Partners int

// The answers to Partners.
const (
	PartnersForgottenWhenActive Partners = iota // by a unit that becomes active
	PartnersForgottenAtBoot                     // and by a standalone unit that boots
	PartnersKept
)

// PairCluster is what becomes of a pair's cluster at a failover.
type PairCluster int

// The answers to PairCluster.
const (
	PairClusterFollows PairCluster = iota // its address becomes the active unit's, on all partners
	PairClusterStays
)

// EmptyGEO is what is answered where nothing is found.
type EmptyGEO int

// The answers to EmptyGEO.
const (
	EmptyGEOIsAnError EmptyGEO = iota // 422, No geo data found
	EmptyGEOIsEmpty                   // 200 without data
)

// PolledBy says whose GET on the check port ends the unit's complaint that
// nobody polls it.
type PolledBy int

// The answers to PolledBy.
const (
	PolledByAnyoneButPartner PolledBy = iota
	PolledByLoadBalancer              // only by 168.63.129.16, where Azure's probes come from
	PolledByAnyone                    // by the partner's check as well
)

// PassiveUntil says what ends the state Passive after a boot.
type PassiveUntil int

// The answers to PassiveUntil.
const (
	PassiveUntilPolled PassiveUntil = iota
	PassiveUntilPartnerChecked
)

// NoPreferenceHealing says which active unit becomes standby when neither is
// preferred and they see each other again.
type NoPreferenceHealing int

// The answers to NoPreferenceHealing.
const (
	SecondYields NoPreferenceHealing = iota
	FirstYields
	BothStay // "whoever is active stays", taken literally
)

// HAStatusSupport says whether the parameter hastatus exists.
type HAStatusSupport int

// The answers to HAStatusSupport.
const (
	HAStatusKnown HAStatusSupport = iota
	HAStatusUnknown
)

// Words are the names of the two roles.
type Words int

// The answers to Words.
const (
	DocumentedWords Words = iota
	NewWords              // first, second
	OldWords              // master, slave
)

// AllInterfacesField is how HealthCheckAllInterfaces reads.
type AllInterfacesField int

// The answers to AllInterfacesField.
const (
	AllInterfacesUnset   AllInterfacesField = iota // "unset" until it is set
	AllInterfacesPresent                           // always 0 or 1
	AllInterfacesAbsent                            // no such field
)

// StandbyWrites is what a standby does with a synchronised parameter.
type StandbyWrites int

// The answers to StandbyWrites.
const (
	StandbyAcceptsWrites StandbyWrites = iota
	StandbyRejectsWrites               // with 422
	StandbyLosesWrites                 // accepts, and forgets at the next synchronisation
)

// V2Values is how values look in JSON.
type V2Values int

// The answers to V2Values.
const (
	V2Typed V2Values = iota // numbers, booleans and lists
	V2Strings
)

// V2Get is the shape of the JSON answer to get.
type V2Get int

// The answers to V2Get.
const (
	V2GetFlat   V2Get = iota
	V2GetNested       // under Success.Data, as in XML
)

// UnauthorizedAnswer is the body of a 401.
type UnauthorizedAnswer int

// The answers to UnauthorizedAnswer.
const (
	UnauthorizedNative UnauthorizedAnswer = iota // an HTML page in v1, JSON in v2
	UnauthorizedPage                             // an HTML page in both
	UnauthorizedWord                             // the bare word in both
)

// BootAnswer is what the API port says in the last fifth of a boot.
type BootAnswer int

// The answers to BootAnswer.
const (
	BootNotFound     BootAnswer = iota // 404 with an HTML page
	BootUnauthorized                   // 401 with an HTML page
	BootSilence                        // the unit cannot be reached until it is up
)

// DeadRealServers is what a published service does without real servers.
type DeadRealServers int

// The answers to DeadRealServers.
const (
	DeadRealServers503   DeadRealServers = iota // the unit answers 503 itself
	DeadRealServersReset                        // the port is closed
)

// FailedKeys says whether a wrong API key counts as a failed login.
type FailedKeys int

// The answers to FailedKeys.
const (
	FailedKeysCount FailedKeys = iota
	FailedKeysIgnored
)

// UnlicensedAPI is what a unit that was never licensed does with calls.
type UnlicensedAPI int

// The answers to UnlicensedAPI.
const (
	UnlicensedAPIOpen UnlicensedAPI = iota // it asks for no credentials
	UnlicensedAPIOff                       // its API is off until it is licensed
)

// SyncDirection says which of the units hands on what changed at it.
type SyncDirection int

// The answers to SyncDirection.
const (
	SyncFromActive SyncDirection = iota
	SyncBothWays
)

// SyncConflict says who has an object that both units changed between two rounds.
type SyncConflict int

// The answers to SyncConflict.
const (
	SyncConflictLast   SyncConflict = iota // who changed it last
	SyncConflictActive                     // the active unit
)

// SyncCertificates says whether certificates go along, with their keys.
type SyncCertificates int

// The answers to SyncCertificates.
const (
	SyncCertificatesCarried SyncCertificates = iota
	SyncCertificatesLeft
)

// SyncUsers says whether users and groups go along.
type SyncUsers int

// The answers to SyncUsers.
const (
	SyncUsersLeft SyncUsers = iota
	SyncUsersCarried
)

// SyncAddresses says what becomes of a service on the sender's own address.
type SyncAddresses int

// The answers to SyncAddresses.
const (
	SyncAddressesRewritten SyncAddresses = iota // to the receiver's own
	SyncAddressesAsTheyAre
)

// SyncVersions says whether units of different firmware synchronise.
type SyncVersions int

// The answers to SyncVersions.
const (
	SyncVersionsSame SyncVersions = iota // not until they are the same
	SyncVersionsAny
)

// SyncNewUnit says what a unit that was made anew gets from its partner.
type SyncNewUnit int

// The answers to SyncNewUnit.
const (
	SyncNewUnitChanges SyncNewUnit = iota // what changes from then on
	SyncNewUnitEverything
)
