package pair

import (
	"encoding/json"
	"time"
)

// Version is the version of the stored forms that this release writes, and
// MinReader the oldest release that may read them. A record that needs a newer
// reader is only observed, never rewritten (DESIGN section 6).
const (
	Version   = 1
	MinReader = 1
)

// Record is what is remembered of a pair between passes. It changes only with
// the store's compare-and-swap, so whoever writes it has seen what it replaces.
type Record struct {
	V         int `json:"v"`
	MinReader int `json:"minReader"`

	// Epoch only rises. Every persisted decision takes a new one, every intent
	// carries it, and what carries an older one is refused.
	Epoch uint64 `json:"epoch"`
	// Lease is the time-bounded right to act.
	Lease Lease `json:"lease,omitzero"`

	// Situation is what is believed, since when.
	Situation Situation `json:"situation"`
	Since     time.Time `json:"since,omitzero"`
	// Suspicion counts how often something else was seen in a row.
	Suspicion Suspicion `json:"suspicion,omitzero"`

	// Sight is what the newest observation showed, and Flips are the times at
	// which that changed, the last ones within FlapWindow.
	Sight Situation   `json:"sight,omitempty"`
	Flips []time.Time `json:"flips,omitempty"`
	// Alarm is what somebody should know now; nil when all is well.
	Alarm *Alarmed `json:"alarm,omitempty"`

	// LastActive is the unit that was last seen serving alone; it tells who
	// loses when both serve and nobody is preferred.
	LastActive Role `json:"lastActive,omitempty"`
	// Units holds what is remembered of first and second.
	Units [2]UnitRecord `json:"units"`

	// Admin lists the admin states that we set and have not taken back.
	Admin []AdminHold `json:"admin,omitempty"`
	// Foreign is set while an admin state that is not ours stands on a unit, by
	// the newest reading of the load balancers.
	Foreign bool `json:"foreign,omitempty"`
	// Proofs are the pools on which the lever is proved.
	Proofs []LeverProof `json:"proofs,omitempty"`
	// Moves holds the times of the automatic moves of the last hour.
	Moves []time.Time `json:"moves,omitempty"`
	// Block stops automatic moves until a person acknowledges it.
	Block *Block `json:"block,omitempty"`
	// Plan is what waits for a person's approval.
	Plan *Plan `json:"plan,omitempty"`
	// Drift is what differed from the pair file when that was looked at last; nil
	// where nothing did. Wish is a person's word to write it, and Repairs are the
	// fields that we wrote in the last days.
	Drift   *Drifted `json:"drift,omitempty"`
	Wish    *Wish    `json:"wish,omitempty"`
	Repairs []Repair `json:"repairs,omitempty"`
	// Job is the pair's only job, or the last one that ended.
	Job *Job `json:"job,omitempty"`
	// Settings is how alike the settings of both units are; nil where they were never
	// compared.
	Settings *SettingsRecord `json:"settings,omitempty"`
	// BackUp is a person's wish to have a backup taken now, and Restore to have one put
	// on a unit.
	BackUp  *BackupWish  `json:"backUp,omitempty"`
	Restore *RestoreWish `json:"restore,omitempty"`
	// Pause is set while a person holds the pair.
	Pause *Pause `json:"pause,omitempty"`
	// Prove is a person's wish to have the lever proved.
	Prove *Request `json:"prove,omitempty"`
	// Retire is a person's wish to have the pair forgotten. What we set is taken
	// back first.
	Retire *Request `json:"retire,omitempty"`

	// Unknown holds fields of newer releases, so that they survive a rewrite.
	Unknown map[string]json.RawMessage `json:"-"`
}

// UnitRecord is what is remembered of one unit.
type UnitRecord struct {
	// Platform is the newest evidence that events brought about the VM.
	Platform Evidence `json:"platform,omitzero"`
	// StartedAt is the newest known start of the VM, which opens the boot
	// grace of five minutes (loadmaster.md 2.6).
	StartedAt time.Time `json:"startedAt,omitzero"`
	// Power is the newest power state that was read while the unit did not
	// answer; it is forgotten when it answers.
	Power PowerSeen `json:"power,omitzero"`
	// Probed is the load balancer's newest view of the unit. It is remembered
	// because rule health is read in few passes; only changes are stored.
	Probed ProbedSeen `json:"probed,omitzero"`
	// Refusal is set while the unit's API refuses our credentials. Every process
	// keeps to it, because units lock an account after a few failed logins.
	Refusal *Refusal `json:"refusal,omitempty"`
	// Powered are the times of the last day at which we started or restarted
	// the VM.
	Powered []time.Time `json:"powered,omitempty"`
	// SetUp is what the unit says of its HA set-up and the pair file says otherwise;
	// nil where nothing.
	SetUp *HADrift `json:"setUp,omitempty"`
	// Backup is how the unit's backups stand, and Restored what was put on it last;
	// nil where there was none.
	Backup   *UnitBackup `json:"backup,omitempty"`
	Restored *Restored   `json:"restored,omitempty"`
}

// Refusal is how long credentials rest that a unit refused.
type Refusal struct {
	Until time.Time `json:"until"`
	Rest  Duration  `json:"rest"`
}

// refusalMost is the longest that refused credentials rest.
const refusalMost = 24 * time.Hour

// In reports whether the credentials rest at the time now. A rest that ends later
// than one from now could was stored by a clock that was ahead, and counts for
// nothing.
func (r *Refusal) In(now time.Time) bool {
	return r != nil && now.Before(r.Until) && !r.Until.After(now.Add(refusalMost+bootSkew))
}

// After is the refusal that follows on r when credentials were refused once more:
// they rest thirty times as long as before, and a day at most. Where they rest
// already, two processes were refused in the same moment; that was a second failed
// login, and a third may lock the account.
func (r *Refusal) After(now time.Time, rest time.Duration) *Refusal {
	if r != nil {
		rest = min(max(rest, 30*time.Duration(r.Rest)), refusalMost)
	}
	until := now.Add(rest)
	if r.In(now) && r.Until.After(until) {
		until = r.Until
	}
	return &Refusal{Until: until, Rest: Duration(rest)}
}

// ProbedSeen is whether the load balancer's probe gets no answer from a unit, and
// its word for that; while neither unit answers us, whether the probe sees the
// unit as serving; and which admin state the load balancer shows for the unit that
// is not ours and that no pool reads, zero for none.
type ProbedSeen struct {
	Up        bool       `json:"up,omitempty"`
	Unreached bool       `json:"unreached,omitempty"`
	Reason    string     `json:"reason,omitempty"`
	Foreign   AdminState `json:"foreign,omitempty"`
}

// Alarmed is an alarm that stands, by the row that raised it or the row's topic.
type Alarmed struct {
	Row   string    `json:"row"`
	Level Alarm     `json:"level"`
	Since time.Time `json:"since"`
}

// LeverProof is what was proved of one pool: that a write with a wrong ETag is
// refused, and that an admin state arrives in the data path and goes back
// (DESIGN section 5).
type LeverProof struct {
	LoadBalancer string    `json:"loadBalancer"`
	Pool         string    `json:"pool"`
	At           time.Time `json:"at"`
	By           string    `json:"by"`
	// Back is set when the admin state of the proof was seen to be gone again;
	// only then the lever counts as proved.
	Back bool `json:"back,omitempty"`
}

// Block stops automatic moves: there were too many of them in an hour, or
// somebody took our fence away for the second time.
type Block struct {
	Since  time.Time `json:"since"`
	Reason string    `json:"reason"`
}

// Request is something that a person asked for.
type Request struct {
	By     string    `json:"by"`
	Reason string    `json:"reason,omitempty"`
	At     time.Time `json:"at"`
}

// Lease is the right of one worker to act on the pair for a while. The
// generation rises with each holder; a holder that sees another generation has
// lost it, whatever its clock says.
type Lease struct {
	Owner      string    `json:"owner,omitempty"`
	Until      time.Time `json:"until,omitzero"`
	Generation uint64    `json:"generation,omitempty"`
}

// LeaseMax is the longest that a lease may last. One that ends later was taken
// by a clock that was ahead, and binds nobody.
const LeaseMax = 6 * time.Minute

// HeldByOther reports whether another worker than owner holds the lease at the
// time now. Clocks of workers differ, so a lease is honoured for skew longer
// than it says.
func (l Lease) HeldByOther(owner string, now time.Time, skew time.Duration) bool {
	return l.Owner != "" && l.Owner != owner && now.Before(l.Until.Add(skew)) && !l.Until.After(now.Add(LeaseMax))
}

// Suspicion is a situation that was seen but is not believed yet.
type Suspicion struct {
	Situation Situation `json:"situation,omitempty"`
	Since     time.Time `json:"since,omitzero"`
	Count     int       `json:"count,omitempty"`
	CountedAt time.Time `json:"countedAt,omitzero"`
}

// AdminHold is one admin state of ours that stands, on every pool of one load
// balancer that holds the unit.
type AdminHold struct {
	LoadBalancer string     `json:"loadBalancer"`
	Pool         string     `json:"pool"`
	Unit         Role       `json:"unit"`
	State        AdminState `json:"state"`
	Epoch        uint64     `json:"epoch"`
	Owner        string     `json:"owner"`
	Reason       string     `json:"reason"`
	Since        time.Time  `json:"since"`
	Deadline     time.Time  `json:"deadline"`
	// Landed is set when the admin state was seen in place. Until then its write
	// may still be on its way, so that reading None proves nothing.
	Landed bool `json:"landed,omitempty"`
	// Late is set when another write of it may still take effect, although it was
	// seen in place: it was sent more than once, or seen in the document alone.
	Late bool `json:"late,omitempty"`
	// Lever is what the admin state is for; the zero value is a fence.
	Lever Lever `json:"lever,omitempty"`
	// Again is set when somebody took the fence away and it was set once more.
	Again bool `json:"again,omitempty"`
}

// Fence reports whether the hold keeps a unit from serving.
func (h AdminHold) Fence() bool { return h.Lever == LeverNone || h.Lever == LeverFence }

// Plan is a stored recommendation. The hash names exactly these intents on
// exactly this evidence, so that nobody approves something else.
type Plan struct {
	Hash     string    `json:"hash"`
	Decision string    `json:"decision"`
	Row      string    `json:"row"`
	Intents  []Intent  `json:"intents"`
	Reason   string    `json:"reason"`
	At       time.Time `json:"at"`
	// Since is the occurrence of the situation that the plan is about.
	Since time.Time `json:"since,omitzero"`
	// Approved is a person's word; it holds for ApprovedFor.
	Approved *Request `json:"approved,omitempty"`
}

// ApprovedFor is how long an approval may be acted on. What the plan rests on
// changes; one who approves wants it now.
const ApprovedFor = 10 * time.Minute

// Pause is a person's hold on the pair: observed and explained, not touched.
// With a unit it is the maintenance of that unit, whose silence is expected.
type Pause struct {
	Owner  string    `json:"owner"`
	Unit   Role      `json:"unit,omitempty"`
	Reason string    `json:"reason"`
	Until  time.Time `json:"until,omitzero"` // zero means until resumed
}

// over reports whether the pause ended so long ago that it is so by every clock:
// one process with a clock that is ahead must not end it for the others.
func (p *Pause) over(now time.Time) bool { return !p.In(now) && now.Sub(p.Until) > 24*time.Hour }

// In reports whether the pause stands at the time now.
func (p *Pause) In(now time.Time) bool {
	return p != nil && (p.Until.IsZero() || now.Before(p.Until))
}

type recordFields Record

// MarshalJSON writes the record with the unknown fields it was read with.
func (rec Record) MarshalJSON() ([]byte, error) {
	return marshalKeeping(recordFields(rec), rec.Unknown)
}

// UnmarshalJSON reads a record and keeps the fields that it does not know.
func (rec *Record) UnmarshalJSON(b []byte) error {
	var f recordFields
	if err := json.Unmarshal(b, &f); err != nil {
		return err
	}
	unknown, err := unknownFields(b, f)
	if err != nil {
		return err
	}
	*rec = Record(f)
	rec.Unknown = unknown
	return nil
}

// Readable reports whether this release may act on what it read.
func (rec Record) Readable() bool { return rec.MinReader <= Version }
