package pair

import (
	"encoding/json"
	"fmt"
	"time"
)

// IntentKind is what an intent wants done. Every kind has exactly one executor
// in internal/control, which a test checks.
type IntentKind uint8

// The kinds of intents of this release.
const (
	IntentUnknown   IntentKind = iota
	IntentFence                // set the loser Down in a pool
	IntentRelease              // set an admin state of ours back to None
	IntentTag                  // say on the load balancer what of ours stands on it
	IntentStart                // start a unit's VM
	IntentRestart              // restart a unit's VM
	IntentPrefer               // set a unit's preference
	IntentUp                   // set a unit Up in a pool that neither unit serves by itself
	IntentProve                // prove the lever on a pool, with Down on the standby
	IntentRepair               // write a resource as the pair file says
	IntentRaise                // set a standby Up that is proved to forward, for a job
	IntentDrain                // set a unit Down whose partner is Up or answers 200, for a job
	IntentReboot               // reboot a unit, for a job
	IntentMove                 // begin a job that moves the active state to a unit
	IntentConfigure            // write a unit's HA mode and parameters as the pair file says, for a job
	IntentBackup               // take a backup of a unit and keep it
	IntentRestore              // put parts of a backup on a unit
	IntentGEO                  // write GEO lists or clusters of a unit, for a job
	IntentSetUp                // begin a job that sets up HA on both units as the pair file says
	IntentCompare              // read the settings of both units and compare them
	IntentWrite                // write settings to a unit, for a job
	IntentSync                 // begin a job that makes the settings of both units alike
)

// IntentKinds lists every kind that a decision may emit.
var IntentKinds = []IntentKind{
	IntentFence, IntentRelease, IntentTag, IntentStart, IntentRestart, IntentPrefer, IntentUp, IntentProve, IntentRepair,
	IntentRaise, IntentDrain, IntentReboot, IntentMove, IntentConfigure, IntentBackup, IntentRestore, IntentGEO, IntentSetUp,
	IntentCompare, IntentWrite, IntentSync,
}

var intentNames = names{"unknown", "fence", "release", "tag", "start", "restart", "prefer", "up", "prove", "repair", "raise", "drain", "reboot", "move", "configure", "backup", "restore", "geo", "set-up", "compare", "write", "sync"}

func (k IntentKind) String() string               { return intentNames.text(uint8(k)) }
func (k IntentKind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText reads the stored form.
func (k *IntentKind) UnmarshalText(b []byte) error {
	v, err := intentNames.parse("intent", b)
	*k = IntentKind(v)
	return err
}

// IntentState is how far an intent has come.
type IntentState uint8

// The states of an intent. Done means seen to be done, not answered with
// success.
const (
	IntentOpen      IntentState = iota // no write was sent
	IntentBegun                        // a write may have been sent
	IntentDone                         // its effect was seen
	IntentAbandoned                    // given up
)

var intentStateNames = names{"open", "begun", "done", "abandoned"}

func (s IntentState) String() string               { return intentStateNames.text(uint8(s)) }
func (s IntentState) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads the stored form.
func (s *IntentState) UnmarshalText(b []byte) error {
	v, err := intentStateNames.parse("intent state", b)
	*s = IntentState(v)
	return err
}

// Intent is the stored form of one thing that shall be done. It is persisted
// before its effect and closed after the effect was seen, so that a crash in
// between is carried on by the next pass.
type Intent struct {
	V         int         `json:"v"`
	MinReader int         `json:"minReader"`
	ID        string      `json:"id"` // <pair>-<epoch>-<seq>
	Epoch     uint64      `json:"epoch"`
	Kind      IntentKind  `json:"kind"`
	State     IntentState `json:"state"`

	LoadBalancer string     `json:"loadBalancer,omitempty"`
	Pool         string     `json:"pool,omitempty"`
	Unit         Role       `json:"unit,omitempty"`
	Want         AdminState `json:"want,omitempty"`
	Deadline     time.Time  `json:"deadline,omitzero"` // of the admin state that results, or of the write
	Reason       string     `json:"reason"`
	// By is who wants it: a person who approved it, or OwnerTandem.
	By string `json:"by,omitempty"`
	// Rewrite has the write sent even where the state already reads as wanted,
	// because an earlier write of ours may still be on its way.
	Rewrite bool `json:"rewrite,omitempty"`
	// Late: an admin state of ours that was sent, and not seen in the data path,
	// may still come: a fence that was sent more than once, or believed by the
	// document alone, and the release of one. Such a release is not believed at
	// once.
	Late bool `json:"late,omitempty"`
	// Prefer is the preference of IntentPrefer and IntentConfigure, and Tag the text of IntentTag,
	// empty to remove it.
	Prefer Preference `json:"prefer,omitempty"`
	Tag    string     `json:"tag,omitempty"`
	// Resource is what IntentRepair writes, and Step the hash of exactly that
	// write: where it is another one by then, nothing is written. For IntentSetUp it
	// says what differs.
	Resource ResourceID `json:"resource,omitempty"`
	Step     string     `json:"step,omitempty"`

	// Backup is the id under which IntentBackup keeps what it takes, or of the one
	// that IntentRestore restores, and Parts the sum of its parts.
	Backup string `json:"backup,omitempty"`
	Parts  int    `json:"parts,omitempty"`

	// GEO is what IntentGEO writes.
	GEO *GEOWrite `json:"geo,omitempty"`

	// Job is the id of the job that wants it.
	Job string `json:"job,omitempty"`

	// Token resumes a running platform operation in another process.
	Token    string `json:"token,omitempty"`
	Attempts int    `json:"attempts,omitempty"`
	// NotBefore is when the next attempt may begin, after one that failed.
	NotBefore time.Time `json:"notBefore,omitzero"`
	BegunAt   time.Time `json:"begunAt,omitzero"`
	LastErr   string    `json:"lastError,omitempty"`

	Unknown map[string]json.RawMessage `json:"-"`
}

type intentFields Intent

// MarshalJSON writes the intent with the unknown fields it was read with.
func (i Intent) MarshalJSON() ([]byte, error) { return marshalKeeping(intentFields(i), i.Unknown) }

// UnmarshalJSON reads an intent and keeps the fields that it does not know.
func (i *Intent) UnmarshalJSON(b []byte) error {
	var f intentFields
	if err := json.Unmarshal(b, &f); err != nil {
		return err
	}
	unknown, err := unknownFields(b, f)
	if err != nil {
		return err
	}
	*i = Intent(f)
	i.Unknown = unknown
	return nil
}

// Same reports whether both intents concern the same thing: the same backend
// address, the tag of the same load balancer, the same resource, or the same
// lever of one unit.
func (i Intent) Same(o Intent) bool {
	return i.LoadBalancer == o.LoadBalancer && i.Pool == o.Pool && i.Unit == o.Unit && i.Resource == o.Resource && (i.Pool != "" || i.Kind == o.Kind)
}

// String says what the intent wants, in few words and without its text for the
// tag, which says the same once more.
func (i Intent) String() string {
	switch {
	case i.Kind == IntentTag && i.Tag == "":
		return "tag of " + i.LoadBalancer + " is gone"
	case i.Kind == IntentTag:
		return "tag of " + i.LoadBalancer + " is set"
	case i.Kind == IntentPrefer:
		return "preference of " + i.Unit.String() + " is " + i.Prefer.String()
	case i.Kind == IntentRepair:
		return "repair " + i.Resource.Kind() + " " + i.Resource.Name()
	case i.Kind == IntentSetUp:
		return "set up HA as the pair file says: " + i.Step
	case i.Kind == IntentCompare:
		return "compare the settings of both units"
	case i.Kind == IntentSync:
		return "make the settings of both units alike: " + i.Step
	case i.Kind == IntentWrite:
		return "write settings to " + i.Unit.String()
	case i.Kind == IntentGEO && i.GEO != nil && i.GEO.Lists:
		return "GEO lists of " + i.Unit.String()
	case i.Kind == IntentGEO:
		return "GEO clusters of " + i.Unit.String()
	case i.Kind == IntentRestore:
		return "restore " + PartsText(i.Parts) + " of " + i.Backup + " on " + i.Unit.String()
	case i.Pool != "":
		return fmt.Sprintf("%s %s is %s in %s/%s", i.Kind, i.Unit, i.Want, i.LoadBalancer, i.Pool)
	default:
		return i.Kind.String() + " " + i.Unit.String()
	}
}

// Place names what the intent writes to; on one place there is one write at a
// time.
func (i Intent) Place() string {
	switch {
	case i.LoadBalancer != "":
		return i.LoadBalancer
	case i.Resource != "":
		return string(i.Resource)
	}
	return i.Unit.String()
}

// ID makes the id of the seq-th thing of an epoch. Ids are never random: a
// repeated pass makes the same ones, which is how repeats are recognised. The
// numbers are padded so that text order is time order.
func ID(pair string, epoch uint64, seq int) string {
	return fmt.Sprintf("%s-%012d-%03d", pair, epoch, seq)
}
