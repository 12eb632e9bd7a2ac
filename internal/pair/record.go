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

	// LastActive is the unit that was last seen serving alone; it tells who
	// loses when both serve and nobody is preferred.
	LastActive Role `json:"lastActive,omitempty"`
	// Units holds what is remembered of first and second.
	Units [2]UnitRecord `json:"units"`

	// Admin lists the admin states that we set and have not taken back.
	Admin []AdminHold `json:"admin,omitempty"`
	// Moves holds the times of the automatic moves of the last hour.
	Moves []time.Time `json:"moves,omitempty"`
	// Plan is what waits for a person's approval.
	Plan *Plan `json:"plan,omitempty"`
	// Pause is set while a person holds the pair.
	Pause *Pause `json:"pause,omitempty"`

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
}

// Plan is a stored recommendation. The hash names exactly these intents on
// exactly this evidence, so that nobody approves something else.
type Plan struct {
	Hash     string    `json:"hash"`
	Decision string    `json:"decision"`
	Row      string    `json:"row"`
	Intents  []Intent  `json:"intents"`
	Reason   string    `json:"reason"`
	At       time.Time `json:"at"`
}

// Pause is a person's hold on the pair: observed and explained, not touched.
type Pause struct {
	Owner  string    `json:"owner"`
	Reason string    `json:"reason"`
	Until  time.Time `json:"until,omitzero"` // zero means until resumed
}

// In reports whether the pause stands at the time now.
func (p *Pause) In(now time.Time) bool {
	return p != nil && (p.Until.IsZero() || now.Before(p.Until))
}

type recordFields Record

// MarshalJSON writes the record with the unknown fields it was read with.
func (r Record) MarshalJSON() ([]byte, error) { return marshalKeeping(recordFields(r), r.Unknown) }

// UnmarshalJSON reads a record and keeps the fields that it does not know.
func (r *Record) UnmarshalJSON(b []byte) error {
	var f recordFields
	if err := json.Unmarshal(b, &f); err != nil {
		return err
	}
	unknown, err := unknownFields(b, f)
	if err != nil {
		return err
	}
	*r = Record(f)
	r.Unknown = unknown
	return nil
}

// Readable reports whether this release may act on what it read.
func (r Record) Readable() bool { return r.MinReader <= Version }
