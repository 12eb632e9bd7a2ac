package geo

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"tandem/internal/pair"
)

// Record is the stored form of a topology: what it is, what was brought about of it,
// and how far that is. It changes only with the store's compare-and-swap.
type Record struct {
	V         int `json:"v"`
	MinReader int `json:"minReader"`
	// Epoch only rises. Whoever writes to a standalone unit has stored the epoch in
	// which it does, and looks before each write whether that still stands.
	Epoch uint64 `json:"epoch"`
	// Lease is the time-bounded right to act.
	Lease pair.Lease `json:"lease,omitzero"`
	// Due is when the topology is to be looked at next.
	Due time.Time `json:"due,omitzero"`

	// Topology is what a person applied last, with the addresses of its pairs.
	Topology Topology `json:"topology"`
	// Earlier has the members of earlier topologies whose lists may still be there.
	// Only what they had is ever removed.
	Earlier Topology       `json:"earlier,omitzero"`
	Members []MemberRecord `json:"members,omitempty"`
	// Run is the newest application of the topology by a person.
	Run Run `json:"run,omitzero"`
	// Alarms are what somebody should know now.
	Alarms []Alarm `json:"alarms,omitempty"`
}

// Snapshot is a topology as it was read; Version names its state in the store, empty
// for one that is not there yet.
type Snapshot struct {
	Record  Record
	Version string
}

// MemberRecord is what is remembered of one member.
type MemberRecord struct {
	Name string `json:"name"`
	// Owes is what no unit shows; it is stored before the effect that makes it.
	Owes Debt `json:"owes,omitempty"`
	// Run is the run for which it was first looked at: then it is settled what it owes.
	Run string `json:"run,omitempty"`
	// Created are the clusters that were missing on this member when it was looked at
	// for a run: whoever brings them, it is because of us.
	Created []netip.Addr `json:"created,omitempty"`
	// Submitted is where its partners were submitted last; a standalone unit has no
	// role.
	Submitted pair.GEOSubmitted `json:"submitted,omitzero"`
	// Job is the pair's job of this topology that runs, and Settled the one of which it
	// was taken in how it ended.
	Job     string `json:"job,omitempty"`
	Settled string `json:"settled,omitempty"`
	// Failed says why nothing more is tried, until a person applies the topology again
	// or acknowledges the job that failed.
	Failed string `json:"failed,omitempty"`
	// Note says how the member stands, and Since since when its pair is waited for.
	Note  string    `json:"note,omitempty"`
	Since time.Time `json:"since,omitzero"`
	// Tries counts how often a standalone unit did not take what was written, one after
	// the other, and Repairs are the times of the last hour at which the member was put
	// right without a run.
	Tries   int         `json:"tries,omitempty"`
	Repairs []time.Time `json:"repairs,omitempty"`
	// Refusal is set while a standalone unit refuses our credentials.
	Refusal *pair.Refusal `json:"refusal,omitempty"`
}

// RunState is how far a run has come.
type RunState uint8

// The states of a run. One that waits goes on by itself when it can.
const (
	RunNone RunState = iota
	Runs
	Waits // all that can be done now is done, and somebody is away or must act
	RunDone
	RunCancelled
)

var runStates = [...]string{"none", "runs", "waits", "done", "cancelled"}

func (s RunState) String() string               { return word(runStates[:], uint8(s)) }
func (s RunState) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads the stored form.
func (s *RunState) UnmarshalText(b []byte) error {
	n, err := parse("state of a run", runStates[:], b)
	*s = RunState(n)
	return err
}

// Open reports whether the run is not over.
func (s RunState) Open() bool { return s == Runs || s == Waits }

// Run is the bringing about of a topology that a person asked for.
type Run struct {
	ID     string    `json:"id,omitempty"` // <topology>-<epoch>
	By     string    `json:"by,omitempty"`
	Reason string    `json:"reason,omitempty"`
	At     time.Time `json:"at,omitzero"`
	State  RunState  `json:"state,omitempty"`
	// Asks is set while the job of a pair waits for a person's approval.
	Asks bool `json:"asks,omitempty"`
	// Why says what it waits for, or how it ended.
	Why     string    `json:"why,omitempty"`
	EndedAt time.Time `json:"endedAt,omitzero"`
	// Steps are what was done, the newest last; StepsKept of them are kept.
	Steps []RunStep `json:"steps,omitempty"`
}

// StepsKept bounds the steps of a run that are kept, so that its record stays small.
const StepsKept = 200

// RunStep is one thing that a run has done, or begun on a pair.
type RunStep struct {
	At     time.Time `json:"at"`
	Member string    `json:"member"`
	What   string    `json:"what"`
}

// Did remembers a step.
func (r *Run) Did(at time.Time, member, what string) {
	r.Steps = append(slices.Clone(r.Steps), RunStep{At: at, Member: member, What: what})
	r.Steps = r.Steps[max(0, len(r.Steps)-StepsKept):]
}

// Alarm is something about a member that somebody should know.
type Alarm struct {
	Kind   string    `json:"kind"`
	Member string    `json:"member"`
	Text   string    `json:"text"`
	Since  time.Time `json:"since"`
}

// The kinds of alarms.
const (
	// AlarmAway: the member cannot be asked.
	AlarmAway = "away"
	// AlarmFailed: the member's job failed, or its unit did not take what was written.
	AlarmFailed = "failed"
	// AlarmDrift: the member differs, and its mode does not let us repair that.
	AlarmDrift = "drift"
	// AlarmPartner: the member does not reach another one.
	AlarmPartner = "partner"
	// AlarmTwice: a member has two clusters of one name.
	AlarmTwice = "cluster-twice"
	// AlarmCluster: a cluster has the address of a unit that does not serve.
	AlarmCluster = "cluster-address"
)

// Member returns what is remembered of a member, which it adds where there is
// nothing yet.
func (r *Record) Member(name string) *MemberRecord {
	for i := range r.Members {
		if r.Members[i].Name == name {
			return &r.Members[i]
		}
	}
	r.Members = append(r.Members, MemberRecord{Name: name})
	return &r.Members[len(r.Members)-1]
}

// Superseded returns what the record's topologies have had so far, for a topology
// that takes their place: members with units that a newer one has too are not there
// twice.
func (r *Record) Superseded(next Topology) Topology {
	out := Topology{Name: next.Name}
	used := map[netip.Addr]bool{}
	for _, m := range slices.Concat(r.Topology.Members, r.Earlier.Members) {
		units := m.Units()
		if slices.ContainsFunc(units, func(a netip.Addr) bool { return !a.IsValid() || used[a] }) {
			continue
		}
		for _, a := range units {
			used[a] = true
		}
		out.Members = append(out.Members, m)
	}
	return out.Apart(next)
}

// Apart returns the topology with other names for those members whose names mean
// other units in next.
func (t Topology) Apart(next Topology) Topology {
	names := map[string]bool{}
	for _, m := range next.Members {
		names[m.Name] = true
	}
	members := slices.Clone(t.Members)
	for i, m := range members {
		same := slices.ContainsFunc(next.Members, func(o Member) bool { return o.Name == m.Name && slices.Equal(o.Units(), m.Units()) })
		for n := 1; !same && names[members[i].Name]; n++ {
			members[i].Name = fmt.Sprintf("%s-gone-%d", m.Name, n)
		}
		names[members[i].Name] = true
	}
	t.Members = members
	return t
}

// word is the word for a number, which may be of a newer release.
func word(words []string, n uint8) string {
	if int(n) < len(words) {
		return words[n]
	}
	return words[0]
}

func parse(what string, words []string, b []byte) (uint8, error) {
	if n := slices.Index(words, string(b)); n >= 0 {
		return uint8(n), nil
	}
	return 0, fmt.Errorf("%s %.40q: %w", what, b, pair.ErrTooNew)
}

var debtWords = []string{"nothing", "submit", "restart"}

func (d Debt) String() string               { return word(debtWords, uint8(d)) }
func (d Debt) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads the stored form.
func (d *Debt) UnmarshalText(b []byte) error {
	n, err := parse("debt", debtWords, b)
	*d = Debt(n)
	return err
}

// Readable reports whether this release may act on what it read.
func (r *Record) Readable() bool { return r.MinReader <= pair.Version }

// Patience is how long a partner may be down, or a cluster have the address of a unit
// that does not serve, before that is an alarm: the appliances ask each other every two
// minutes, and bring by themselves what the guide says changes by itself.
const Patience = 10 * time.Minute

// Stands reports whether somebody should know of it by now.
func (a Alarm) Stands(now time.Time) bool {
	return a.Kind != AlarmPartner && a.Kind != AlarmCluster || now.Sub(a.Since) >= Patience
}

// Comparison is what a topology must be beside what its units hold now.
type Comparison struct {
	Wanted Wanted
	// Steps are what is left to do.
	Steps  []Step
	Alarms []Alarm
}

// UnmarshalText reads the action's word.
func (a *Action) UnmarshalText(b []byte) error {
	n, err := parse("action", actionWords[:], b)
	*a = Action(n)
	return err
}

var kindWords = []string{"unknown", "pair", "standalone"}

// UnmarshalText reads the word for the kind.
func (k *Kind) UnmarshalText(b []byte) error {
	n, err := parse("kind of a member", kindWords, b)
	*k = Kind(n)
	return err
}
