package pair

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Sync is the policy for settings that both units should have alike.
type Sync struct {
	Every     Duration       `json:"every,omitempty" jsonschema:"type=string,default=2m" jsonschema_description:"Least time between two comparisons of the units' settings, 1m or more. Nothing is read where neither unit says that its settings changed."`
	Conflicts ConflictPolicy `json:"conflicts,omitempty" jsonschema_description:"Where both units changed the same thing: active takes the active unit's value (default), ask takes none until a person chooses (tandem conflicts)."`
	Restore   bool           `json:"restore,omitempty" jsonschema_description:"What the units' own sync does not carry to a standby may be restored there from a backup of the active unit: services, GEO or single sign-on as a whole, and never where that would bring addresses or overwrite what waits for a person."`
	MaxDrift  Duration       `json:"maxDrift,omitempty" jsonschema:"type=string,default=1h" jsonschema_description:"How long settings may differ, 10m or more. After that it is an alarm, and neither unit is fit to take over from the other one but by force."`
}

// ConflictPolicy says whose value is taken where both units changed the same thing.
type ConflictPolicy uint8

// The policies for conflicts.
const (
	ConflictsUnset  ConflictPolicy = iota
	ConflictsActive                // the active unit's
	ConflictsAsk                   // nobody's, until a person chooses
)

var conflictNames = names{"unset", "active", "ask"}

func (c ConflictPolicy) String() string               { return conflictNames.text(uint8(c)) }
func (c ConflictPolicy) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText reads the pair file's and the stored form.
func (c *ConflictPolicy) UnmarshalText(b []byte) error {
	v, err := conflictNames.parse("policy for conflicts", b)
	*c = ConflictPolicy(v)
	return err
}

// SettingsRecord is how alike the settings of both units are. The settings themselves
// are in documents beside the record, which it names: what is stored with each
// decision must stay small.
type SettingsRecord struct {
	// Base is the document of what both units last had in common, and Comparison that
	// of the newest comparison.
	Base       string `json:"base,omitempty"`
	Comparison string `json:"comparison,omitempty"`
	// Marks are the times of their last change that first and second told before they
	// were compared, and ComparedAt is when that was. ChangedAt is when another mark was
	// seen since, zero where none was.
	Marks      [2]time.Time `json:"marks,omitzero"`
	ComparedAt time.Time    `json:"comparedAt,omitzero"`
	ChangedAt  time.Time    `json:"changedAt,omitzero"`

	// AlikeAt is when nothing differed last, zero where that was never so.
	AlikeAt time.Time `json:"alikeAt,omitzero"`

	// Found is what the comparison found, zero where nothing differs, and Since when the
	// oldest of that was seen first.
	Found SettingsFound `json:"found,omitzero"`
	Since time.Time     `json:"since,omitzero"`
	// Settles is when the newest of it will have had the time that the vendor's own
	// sync needs; before that it says nothing.
	Settles time.Time `json:"settles,omitzero"`

	// Failures counts comparisons that failed since; TriedAt is the last one, and Why
	// what was in its way.
	Failures int       `json:"failures,omitempty"`
	TriedAt  time.Time `json:"triedAt,omitzero"`
	Why      string    `json:"why,omitempty"`

	// Chosen are a person's choices for what was found, at most ChoicesMost.
	Chosen []SettingsChoice `json:"chosen,omitempty"`

	// Work is how far the newest sync is. Past names the comparisons of syncs in which a
	// value won over another one, the newest last and PastMost of them, so that no value is lost.
	Work *SettingsWork  `json:"work,omitempty"`
	Past []SettingsPast `json:"past,omitempty"`
	// Standby is what became of object writes to a unit while it stood by.
	Standby [2]StandbyWrites `json:"standby,omitzero"`

	Unknown map[string]json.RawMessage `json:"-"`
}

// SettingsFound counts what is not alike.
type SettingsFound struct {
	// ToFirst and ToSecond are differences that the named unit is to get.
	ToFirst  int `json:"toFirst,omitempty"`
	ToSecond int `json:"toSecond,omitempty"`
	// Conflicts are those that both units made and that have no winner.
	Conflicts int `json:"conflicts,omitempty"`
	// Asked are those that wait for a person for another reason, and Held those for
	// which something has to be done first.
	Asked int `json:"asked,omitempty"`
	Held  int `json:"held,omitempty"`
	// Unread are classes that were not read on both units.
	Unread int `json:"unread,omitempty"`
}

// Differences is how many differences there are.
func (f SettingsFound) Differences() int {
	return f.ToFirst + f.ToSecond + f.Conflicts + f.Asked + f.Held
}

// String says what was found, for people.
func (f SettingsFound) String() string {
	var words []string
	say := func(n int, what string) {
		if n > 0 {
			words = append(words, fmt.Sprintf("%d %s", n, what))
		}
	}
	say(f.ToFirst, "to carry to first")
	say(f.ToSecond, "to carry to second")
	say(f.Conflicts, "in conflict")
	say(f.Asked, "that ask a person")
	say(f.Held, "for which something has to be done first")
	if len(words) == 0 {
		return "nothing differs"
	}
	return strings.Join(words, ", ")
}

// SettingsWork is what a job writes to which unit, and how far that is. The writes
// themselves are computed anew from the comparison, in the same order.
type SettingsWork struct {
	Job  string `json:"job"`
	Plan string `json:"plan"` // the document of the comparison
	// At is when the units were read, and Active the one that was active then.
	At     time.Time `json:"at"`
	Active Role      `json:"active"`
	// Total are the writes by object calls to first and second, and Next is the first of
	// them that is not made.
	Total [2]int `json:"total,omitzero"`
	Next  [2]int `json:"next,omitzero"`
	// Vendor are the writes to the standby that are left to the units' own sync until
	// Settles, and Parts the sum of the parts of a backup of the active unit that are to
	// be restored on the standby.
	Vendor  int       `json:"vendor,omitempty"`
	Settles time.Time `json:"settles,omitzero"`
	Parts   int       `json:"parts,omitempty"`
	// Stuck are the writes to the standby that nothing carries, and StuckWhy is why.
	Stuck    int    `json:"stuck,omitempty"`
	StuckWhy string `json:"stuckWhy,omitempty"`
	// Refused are the writes that a unit does not take, and Why is the newest reason.
	Refused int    `json:"refused,omitempty"`
	Why     string `json:"why,omitempty"`
	// Tried names the one write that was made on the standby to see whether it lasts, and
	// TriedAt is when; zero where none was.
	Tried   string    `json:"tried,omitempty"`
	TriedAt time.Time `json:"triedAt,omitzero"`
}

// SettingsPast names the comparison of a sync in which somebody's value was taken.
type SettingsPast struct {
	Job        string    `json:"job"`
	Comparison string    `json:"comparison"`
	At         time.Time `json:"at"`
}

// PastMost bounds the comparisons that are kept for the values that lost.
const PastMost = 5

// StandbyWrites is what became of object writes to a unit that stands by, which the
// vendor does not say (loadmaster.md 1.7).
type StandbyWrites uint8

// What may have become of them. The zero value is that nobody has tried.
const (
	StandbyUntried StandbyWrites = iota
	StandbyKeeps                 // one was still there after TrialTakes
	StandbyRejects               // the unit does not take them
	StandbyForgets               // it took one, and that was gone later
)

var standbyNames = names{"untried", "keeps", "rejects", "forgets"}

func (w StandbyWrites) String() string               { return standbyNames.text(uint8(w)) }
func (w StandbyWrites) MarshalText() ([]byte, error) { return []byte(w.String()), nil }

// UnmarshalText reads the stored form.
func (w *StandbyWrites) UnmarshalText(b []byte) error {
	v, err := standbyNames.parse("fate of writes to a standby", b)
	*w = StandbyWrites(v)
	return err
}

// TrialTakes is how long a write must last on a standby to be proved: longer than a
// round of the vendor's own sync.
const TrialTakes = 150 * time.Second

// SettingsChoice is a person's word for one difference: whose state is right.
type SettingsChoice struct {
	ID   string    `json:"id"`
	Unit Role      `json:"unit"`
	By   string    `json:"by"`
	At   time.Time `json:"at"`
}

// ChoicesMost bounds the choices that wait to be carried out, because the record is
// stored with each decision.
const ChoicesMost = 100

type settingsFields SettingsRecord

// MarshalJSON writes the record with the unknown fields it was read with.
func (s SettingsRecord) MarshalJSON() ([]byte, error) {
	return marshalKeeping(settingsFields(s), s.Unknown)
}

// UnmarshalJSON reads the record and keeps the fields that it does not know.
func (s *SettingsRecord) UnmarshalJSON(b []byte) error {
	var f settingsFields
	if err := json.Unmarshal(b, &f); err != nil {
		return err
	}
	unknown, err := unknownFields(b, f)
	if err != nil {
		return err
	}
	*s = SettingsRecord(f)
	s.Unknown = unknown
	return nil
}

const (
	// VendorSyncTakes is the time that the vendor's own sync gets for a change: two of
	// its rounds of two minutes (loadmaster.md 2.5).
	VendorSyncTakes = 4 * time.Minute
	// againEvery is how often settings are compared that differ, and againAnyway those
	// that do not, although no unit says that anything changed: its word may be wrong.
	againEvery  = 15 * time.Minute
	againAnyway = 24 * time.Hour
	// settingsRetry is how long to wait after a comparison that failed; it doubles with
	// each, up to againAnyway.
	settingsRetry = 5 * time.Minute
	// SettingsAlarm is how many in a row must fail before somebody is told.
	SettingsAlarm = 5
)

// Failed is how the comparison stands after an attempt that failed.
func (s *SettingsRecord) Failed(now time.Time, why error) *SettingsRecord {
	out := SettingsRecord{}
	if s != nil {
		out = *s
	}
	out.Failures, out.TriedAt, out.Why = out.Failures+1, now, why.Error()
	if len(out.Why) > whyMost {
		out.Why = strings.ToValidUTF8(out.Why[:whyMost], "") + "…"
	}
	return &out
}

// Documents names the documents that the record points to.
func (s *SettingsRecord) Documents() []string {
	all := []string{s.Base, s.Comparison}
	if s.Work != nil {
		all = append(all, s.Work.Plan)
	}
	for _, p := range s.Past {
		all = append(all, p.Comparison)
	}
	return all
}

// Choice is a person's choice for a difference, RoleUnknown where there is none.
func (s *SettingsRecord) Choice(id string) Role {
	for _, c := range s.Chosen {
		if c.ID == id {
			return c.Unit
		}
	}
	return RoleUnknown
}

// marks are the times of their last change that both units tell now; what one does
// not tell is as it was.
func (s *SettingsRecord) marks(seen *Observation) [2]time.Time {
	m := s.Marks
	for _, r := range Roles {
		if u := &seen.Unit(r).API; u.Answer == APIAnswered && !u.Report.ChangedAt.IsZero() {
			m[r.Index()] = u.Report.ChangedAt
		}
	}
	return m
}

// Marks are the times of their last change that both units tell in an observation,
// zero where one does not.
func Marks(seen *Observation) [2]time.Time { return (&SettingsRecord{}).marks(seen) }

// learnSettings notes when a unit says for the first time that its settings changed
// since they were compared.
func (d *Decision) learnSettings(in *Input) {
	s := d.Record.Settings
	if s == nil {
		return
	}
	changed := s.marks(&in.Observation) != s.Marks
	if changed == !s.ChangedAt.IsZero() {
		return
	}
	now := *s
	now.ChangedAt = time.Time{}
	if changed {
		now.ChangedAt = d.At
	}
	d.Record.Settings, d.Changed = &now, true
}

// CompareWanted reports whether the settings of units that both answer are due to be
// compared. Whether this is the moment for it is the decision's to say.
func CompareWanted(in *Input) bool {
	for _, r := range Roles {
		u := &in.Observation.Unit(r).API
		if u.Answer != APIAnswered || u.Report.State != Active && u.Report.State != Standby {
			return false
		}
	}
	return in.Definition.Sync.due(in.Record.Settings, &in.Observation)
}

// due reports whether settings are to be compared: when a unit says that they changed,
// when what differs has had its time, and now and then anyway.
func (p Sync) due(s *SettingsRecord, seen *Observation) bool {
	switch now := seen.At; {
	case p.Every <= 0:
		return false
	case s == nil:
		return true
	case s.ComparedAt.Sub(now) > bootSkew, s.TriedAt.Sub(now) > bootSkew: // of a clock that was ahead
		return true
	case s.Failures > 0:
		return now.Sub(s.TriedAt) >= min(settingsRetry<<min(s.Failures-1, 10), againAnyway)
	case now.Sub(s.ComparedAt) < time.Duration(p.Every):
		return false
	case s.marks(seen) != s.Marks:
		return true
	case s.Found.Differences() > 0:
		return s.ComparedAt.Before(s.Settles) && !now.Before(s.Settles) || now.Sub(s.ComparedAt) >= againEvery
	default:
		return now.Sub(s.ComparedAt) >= againAnyway
	}
}

// compare adds a comparison of both units' settings to a decision that does nothing
// else. It reads both and writes beside our own state, so that every mode makes it, and
// it holds the pair for seconds, so that it waits while anything goes on (see backUp).
func (d *Decision) compare(in *Input) {
	rec := &d.Record
	busy := len(d.Intents) > 0 || len(in.Open) > 0 || d.ReadBalancers || d.Facts.Hold != HoldNone || rec.Job.Running() || rec.Restore != nil
	if d.Facts.Stance < StanceObserve || busy || !in.Compares || booted(rec, d.At) || !CompareWanted(in) {
		return
	}
	if d.Believed != Healthy || d.Seen != d.Believed || d.Facts.Belief != Confirmed || d.At.Sub(rec.Since) < settledFor {
		return
	}
	d.intend(in, Intent{Kind: IntentCompare, By: OwnerTandem})
}

// settledFor is how long a pair has been well before its settings are compared: a unit
// that has just come back gets what it missed by the vendor's own sync.
const settledFor = VendorSyncTakes

// Apart says why the settings of both units must not be taken for alike any more,
// empty where they may: they differ for longer than the policy allows, or were not
// compared for as long although that was due.
func (s *SettingsRecord) Apart(p Sync, now time.Time) string {
	longest := time.Duration(p.MaxDrift)
	switch {
	case s == nil || longest <= 0:
		return ""
	case s.Found.Differences() > 0 && !s.Since.IsZero() && now.Sub(s.Since) >= longest:
		return fmt.Sprintf("the settings of both units differ since %s: %s", s.Since.Format("2006-01-02 15:04:05Z"), s.Found)
	case s.Failures >= SettingsAlarm && now.Sub(s.ComparedAt) >= longest:
		return fmt.Sprintf("the settings of both units could not be compared %d times: %s", s.Failures, s.Why)
	default:
		return ""
	}
}

// Settled reports whether what was found to differ has had the time that the vendor's
// own sync needs, and was seen after it.
func (s *SettingsRecord) Settled() bool {
	return s != nil && s.Found.Differences() > 0 && s.ChangedAt.IsZero() && !s.ComparedAt.Before(s.Settles)
}

// syncs reports whether a job is to be begun that makes the settings alike: what differs
// has had the vendor's own sync and nothing of it waits for a person. Units that were
// never seen alike are a person's to bring together, and so is what a job could not do.
func (d *Decision) syncs(in *Input) bool {
	rec := &d.Record
	s := rec.Settings
	return s.Settled() && s.Found.ToFirst+s.Found.ToSecond > 0 && s.Found.Conflicts+s.Found.Asked == 0 && !s.AlikeAt.IsZero() &&
		!rec.Job.Running() && !rec.Job.Unheeded() && s.marks(&in.Observation) == s.Marks
}

// Choose keeps a person's choice, in the place of an earlier one for the same thing.
func (s *SettingsRecord) Choose(c SettingsChoice) (*SettingsRecord, error) {
	out := *s
	out.Chosen = slices.DeleteFunc(slices.Clone(s.Chosen), func(o SettingsChoice) bool { return o.ID == c.ID })
	if len(out.Chosen) >= ChoicesMost {
		return nil, fmt.Errorf("%d choices wait to be carried out, possible are %d; run tandem sync first: %w", len(out.Chosen), ChoicesMost, ErrTooLarge)
	}
	out.Chosen = append(out.Chosen, c)
	return &out, nil
}
