package pair

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// BackupPolicy says how often backups are taken of both units, and how many are
// kept. Nothing is taken by itself where Every is not set: a backup holds the unit's
// secrets, so that keeping one is a person's decision (loadmaster.md 3.5).
type BackupPolicy struct {
	Every Duration `json:"every,omitempty" jsonschema:"type=string" jsonschema_description:"Time between two backups of a unit, from 1h to 744h. None are taken by themselves when left out."`
	Keep  int      `json:"keep,omitempty" jsonschema:"minimum=1,maximum=365" jsonschema_description:"How many backups of a unit are kept, 14 when left out: of those that were due, of those that a person asked for, and of those that were taken before a change, so many each."`
}

// Kept is how many backups are kept of each unit and purpose.
func (p BackupPolicy) Kept() int { return cmp.Or(p.Keep, 14) }

// BackupPurpose is what a backup was taken for. Retention counts each apart, so that
// a busy day of jobs does not drive out last week's.
type BackupPurpose uint8

// The purposes.
const (
	BackupUnknown   BackupPurpose = iota
	BackupScheduled               // it was due
	BackupAsked                   // a person asked for it
	BackupBefore                  // the unit is about to be changed
)

// BackupPurposes lists every purpose.
var BackupPurposes = []BackupPurpose{BackupScheduled, BackupAsked, BackupBefore}

var backupPurposeNames = names{"unknown", "schedule", "person", "before"}

func (p BackupPurpose) String() string               { return backupPurposeNames.text(uint8(p)) }
func (p BackupPurpose) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText reads the stored form.
func (p *BackupPurpose) UnmarshalText(b []byte) error {
	v, err := backupPurposeNames.parse("purpose of a backup", b)
	*p = BackupPurpose(v)
	return err
}

// Backup is what is known of a backup that is kept, without what is in it.
type Backup struct {
	ID   string `json:"id"`
	Unit Role   `json:"unit"`
	VM   string `json:"vm"`
	// At is when it was decided to take it, to the millisecond.
	At       time.Time     `json:"at"`
	For      BackupPurpose `json:"for"`
	Firmware string        `json:"firmware,omitempty"` // that the unit told
	Size     int64         `json:"size"`               // in bytes
	SHA256   string        `json:"sha256"`             // of the file, in hexadecimal digits
}

// BackupMost bounds a backup, in bytes: what is larger is not known to work in the
// appliance's JSON API (loadmaster.md 7 item 23).
const BackupMost = 50 << 20

const backupStamp = "20060102T150405.000Z"

// BackupID names the backup of a unit that was decided at a time. The text order of
// a unit's names is the order of their times, and equal decisions give equal names,
// so that one that is carried out twice keeps one file.
func BackupID(r Role, at time.Time) string { return r.String() + "-" + at.UTC().Format(backupStamp) }

// ParseBackupID reads the name of a backup.
func ParseBackupID(id string) (Role, time.Time, error) {
	word, stamp, _ := strings.Cut(id, "-")
	at, err := time.Parse(backupStamp, stamp)
	for _, r := range Roles {
		if err == nil && BackupID(r, at) == id && r.String() == word {
			return r, at, nil
		}
	}
	return RoleUnknown, time.Time{}, fmt.Errorf("backup %q: expected an id such as %s: %w", id, BackupID(Second, time.Unix(1.8e9, 0)), ErrInvalid)
}

// The parts of a backup that can be restored, as the unit adds them up
// (loadmaster.md 3.5).
const (
	PartBase     = 1 // addresses, names and HA settings, which are the unit's own
	PartServices = 2
	PartGEO      = 4
	PartSSO      = 8
	// PartsShared are those that belong on both units.
	PartsShared = PartServices | PartGEO | PartSSO
	partsAll    = PartBase | PartsShared
)

var partNames = []struct {
	bit  int
	word string
}{{PartBase, "base"}, {PartServices, "services"}, {PartGEO, "geo"}, {PartSSO, "sso"}}

// PartWords lists the words for parts of a backup.
func PartWords() []string {
	words := make([]string, len(partNames))
	for n, p := range partNames {
		words[n] = p.word
	}
	return words
}

// PartsText says which parts a sum names.
func PartsText(parts int) string {
	var words []string
	for _, p := range partNames {
		if parts&p.bit != 0 {
			words = append(words, p.word)
		}
	}
	return strings.Join(words, ",")
}

// ParseParts adds up parts by their words, PartsShared where there are none.
func ParseParts(words []string) (int, error) {
	sum := 0
	for _, w := range words {
		at := slices.IndexFunc(partNames, func(p struct {
			bit  int
			word string
		},
		) bool {
			return p.word == w
		})
		if at < 0 {
			return 0, fmt.Errorf("type %q: expected one of %s: %w", w, strings.Join(PartWords(), ", "), ErrInvalid)
		}
		sum |= partNames[at].bit
	}
	return cmp.Or(sum, PartsShared), nil
}

// Restored is the newest backup that was put on a unit, and who wanted it.
type Restored struct {
	Backup string    `json:"backup"`
	Parts  int       `json:"parts"`
	By     string    `json:"by"`
	Key    string    `json:"key,omitempty"` // idempotency key of the request
	At     time.Time `json:"at"`
}

// UnitBackup is how the backups of a unit stand.
type UnitBackup struct {
	// ID is the newest that is known to be kept, and At its time.
	ID string    `json:"id,omitempty"`
	At time.Time `json:"at,omitzero"`
	// Failures counts attempts that failed since; TriedAt is the last one, and Why
	// what was in its way.
	Failures int       `json:"failures,omitempty"`
	TriedAt  time.Time `json:"triedAt,omitzero"`
	Why      string    `json:"why,omitempty"`
}

// BackupWish is a person's word to take a backup now, of both units where none is
// named.
type BackupWish struct {
	Request
	Unit Role `json:"unit,omitempty"`
}

// RestoreWish is a person's word to put parts of a backup on a unit. A backup of the
// unit as it is comes first. It is no job, because a replacement, which is one, waits
// for it.
type RestoreWish struct {
	Request
	Key    string `json:"key,omitempty"` // idempotency key of the request
	Unit   Role   `json:"unit"`
	Backup Backup `json:"backup"`
	Parts  int    `json:"parts"`
	// Force overrides that the unit must not serve and must run the firmware of the
	// backup.
	Force bool `json:"force,omitempty"`
	// Fresh is the id of the backup that is taken before, once it is decided.
	Fresh string `json:"fresh,omitempty"`
}

const (
	// backupRetry is how long to wait after a backup that failed; it doubles with
	// each, up to backupRetryMost.
	backupRetry     = 5 * time.Minute
	backupRetryMost = 6 * time.Hour
	// BackupAlarm is how many attempts in a row must fail before somebody is told.
	BackupAlarm = 3
	// wishedFor is how long a person's word about backups waits for a moment that is
	// calm.
	wishedFor = 10 * time.Minute
	// whyMost bounds a reason that is kept, in bytes.
	whyMost = 300
)

// Failed is how a unit's backups stand after an attempt that failed.
func (b *UnitBackup) Failed(now time.Time, why error) *UnitBackup {
	out := UnitBackup{}
	if b != nil {
		out = *b
	}
	out.Failures, out.TriedAt, out.Why = out.Failures+1, now, why.Error()
	if len(out.Why) > whyMost {
		out.Why = strings.ToValidUTF8(out.Why[:whyMost], "") + "…"
	}
	return &out
}

// BackupDue is when the next backup of a unit is due, zero where none is: every so
// often, and after failures with a wait that grows.
func (p BackupPolicy) BackupDue(b *UnitBackup) time.Time {
	switch every := time.Duration(p.Every); {
	case every <= 0:
		return time.Time{}
	case b == nil:
		return time.Unix(0, 0).UTC()
	case b.Failures > 0:
		return b.TriedAt.Add(min(backupRetry<<min(b.Failures-1, 10), backupRetryMost, max(every, backupRetry)))
	default:
		return b.At.Add(every)
	}
}

// BackupWanted reports whether a backup is due of a unit that answers, or a person
// wants one. Whether this is the moment for it is the decision's to say.
func BackupWanted(in *Input) bool {
	return in.Record.BackUp != nil || slices.ContainsFunc(Roles[:], func(r Role) bool {
		return in.Observation.Unit(r).API.Answer == APIAnswered && in.Definition.Backup.due(in.Record.Units[r.Index()].Backup, in.Observation.At)
	})
}

// due reports whether a unit's backup is due. One that was taken in the future is of a
// clock that was ahead, and counts for nothing.
func (p BackupPolicy) due(b *UnitBackup, now time.Time) bool {
	at := p.BackupDue(b)
	ahead := b != nil && (b.At.Sub(now) > bootSkew || b.TriedAt.Sub(now) > bootSkew)
	return !at.IsZero() && (!now.Before(at) || ahead)
}

// unsaved reports whether the backups of a unit fail again and again.
func unsaved(def *Definition, rec *Record) bool {
	return def.Backup.Every > 0 && slices.ContainsFunc(rec.Units[:], func(u UnitRecord) bool {
		return u.Backup != nil && u.Backup.Failures >= BackupAlarm
	})
}

// backUp adds a backup to a decision that does nothing else, one after the other. It
// is no action on the pair, so that every mode takes it (promise 3): it reads one unit
// and writes beside our own state. But it takes seconds in which the pair is held, so
// it waits while anything goes on: a unit boots, a job runs, something of ours stands
// or is being done, a person holds the pair, or we do not trust ourselves.
func (d *Decision) backUp(in *Input) {
	rec := &d.Record
	d.expireWishes()
	if d.Facts.Stance < StanceObserve || len(d.Intents) > 0 || len(in.Open) > 0 || d.ReadBalancers {
		return
	}
	if d.putBack(in) || d.Facts.Hold != HoldNone || rec.Job.Running() || !in.Spare || booted(rec, d.At) {
		return
	}
	if w := rec.BackUp; w != nil {
		rec.BackUp = nil
		for _, r := range Roles {
			if w.Unit == RoleUnknown || w.Unit == r {
				d.save(in, r, w.By)
			}
		}
		return
	}
	for _, r := range Roles {
		if d.backupDue(in, r) {
			d.save(in, r, OwnerTandem)
			return
		}
	}
}

// save has a backup taken, and returns its id.
func (d *Decision) save(in *Input, r Role, by string) string {
	id := BackupID(r, d.At)
	d.intend(in, Intent{Kind: IntentBackup, Unit: r, Backup: id, By: by})
	return id
}

// expireWishes drops what a person wanted a while ago: who asks wants it now.
func (d *Decision) expireWishes() {
	over := func(at time.Time) bool { return d.At.Sub(at) > wishedFor || at.Sub(d.At) > bootSkew }
	if w := d.Record.BackUp; w != nil && over(w.At) {
		d.Record.BackUp, d.Changed = nil, true
	}
	if w := d.Record.Restore; w != nil && over(w.At) {
		d.Record.Restore, d.Changed = nil, true
	}
}

// putBack goes on with what a person wants restored: first a backup of the unit as it
// is, then the restore. It reports whether there is anything to do. A job is in its
// way, but for one that lasts until this very unit has its settings back.
func (d *Decision) putBack(in *Input) bool {
	w := d.Record.Restore
	if w == nil {
		return false
	}
	rec, p := &d.Record, proposed(in, &d.Record)
	waiting := p != nil && p.Lasts && p.Job.Unit == w.Unit
	if (d.Facts.Hold != HoldNone || rec.Job.Running()) && !waiting {
		return true
	}
	u := rec.Units[w.Unit.Index()].Backup
	switch {
	case w.Fresh == "":
		wish := *w
		wish.Fresh = d.save(in, w.Unit, w.By)
		rec.Restore = &wish
		if d.Next == 0 {
			d.Next = Duration(LookAgain)
		}
	case u != nil && u.ID == w.Fresh:
		d.intend(in, Intent{Kind: IntentRestore, Unit: w.Unit, Backup: w.Backup.ID, Parts: w.Parts, By: w.By})
	default: // there is no way back without it
		rec.Restore, d.Changed = nil, true
	}
	return true
}

// backupDue reports whether a unit that says how it is has a backup due.
func (d *Decision) backupDue(in *Input, r Role) bool {
	u := in.Observation.Unit(r)
	settled := u.API.Answer == APIAnswered && (u.API.Report.State == Active || u.API.Report.State == Standby)
	return settled && d.Seen == d.Believed && d.Facts.Belief == Confirmed && in.Definition.Backup.due(d.Record.Units[r.Index()].Backup, d.At)
}

// booted reports whether a unit may still be starting.
func booted(rec *Record, now time.Time) bool {
	return slices.ContainsFunc(rec.Units[:], func(u UnitRecord) bool {
		age := now.Sub(u.StartedAt)
		return age >= -bootSkew && age < BootGrace
	})
}
