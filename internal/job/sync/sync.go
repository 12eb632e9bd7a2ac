// Package sync is the job that makes the settings of both units alike: it compares
// them, backs up whoever is written to, writes what the standby changed to the active
// unit, and leaves what the active unit changed to the vendor's own sync, which it
// follows up where that does not come about.
//
// It is pure: what differs and what is to be written is internal/settings' to say, and
// internal/control reads and writes. Its steps look at what the pair's record says of that.
package sync

import (
	"fmt"
	"time"

	"tandem/internal/job"
	"tandem/internal/pair"
)

// Kind is the word for the job in the record and on the command line.
const Kind = "sync"

const (
	// readWithin is how long both units may take to be read and compared, with a second
	// attempt, and saveWithin how long a backup may take.
	readWithin = 10 * time.Minute
	saveWithin = 10 * time.Minute
	// writeWithin bounds the writes to one unit: twelve thousand of three calls each, at
	// what a unit bears, take two hours.
	writeWithin = 3 * time.Hour
	// again is how long a comparison, a backup or a write needs to be seen done.
	again = 30 * time.Second
	tries = 5
)

const (
	nothing = "nothing was changed"
	stays   = "what was written stays; tandem restore puts the backup back that was taken before"
)

// Procedure makes the settings alike.
func Procedure() job.Procedure {
	return job.Procedure{
		Kind: Kind, Title: "make the settings of both units alike", TakesSync: true, TakesForce: true,
		Steps: []job.Step{
			{Name: "preflight", Title: "one unit serves, and both say how they are", Within: 2 * time.Minute, Do: preflight, Undoes: nothing},
			{Name: "compare", Title: "both are read and compared with what they last had in common", Within: readWithin, Tries: tries, Do: compare, Undoes: nothing},
			{Name: "save-active", Title: "there is a backup of the active unit as it was", Within: saveWithin, Do: saveActive, Undoes: "the backup is kept"},
			{Name: "write-active", Title: "the active unit has what the standby changed", Within: writeWithin, Tries: tries, Do: writeActive, Undoes: stays},
			{Name: "settle", Title: "the units' own sync had its time", Within: pair.VendorSyncTakes + readWithin, Tries: tries, Do: settle, Undoes: stays},
			{Name: "save-standby", Title: "there is a backup of the standby as it was", Within: saveWithin, Do: saveStandby, Undoes: "the backup is kept"},
			{Name: "restore", Title: "the standby has those parts of the active unit that may be restored", Within: saveWithin + readWithin, Tries: tries, Do: restore, Undoes: stays},
			{Name: "prove", Title: "it is known what becomes of writes to the standby", Within: pair.TrialTakes + readWithin, Tries: tries, Do: prove, Undoes: stays},
			{Name: "write-standby", Title: "the standby has what the active unit changed", Within: writeWithin, Tries: tries, Do: writeStandby, Undoes: stays},
			{Name: "verify", Title: "both are read again, and alike", Within: readWithin, Tries: tries, Do: verify, Undoes: stays},
		},
	}
}

// active is the unit that serves while the other one stands by; ok is false where that
// is not so, and v is how the step stands then. Something else is at work then, and the
// pair is the decision table's.
func active(t *job.Turn) (r pair.Role, v job.Verdict, ok bool) {
	serving := t.ServesAlone()
	if serving == pair.RoleUnknown {
		return serving, job.Yield("exactly one unit must answer 200"), false
	}
	for _, r := range pair.Roles {
		if _, told := t.Told(r); !told {
			return serving, job.Yield("the API of " + t.Name(r) + " must answer"), false
		}
	}
	return serving, job.Verdict{}, true
}

func preflight(t *job.Turn) job.Verdict {
	serving, v, ok := active(t)
	if !ok {
		return v
	}
	for _, r := range pair.Roles {
		if rep, _ := t.Told(r); rep.State != pair.Active && rep.State != pair.Standby {
			return job.Wait(t.Name(r) + " says that it is " + rep.State.String())
		}
	}
	return job.Done(t.Name(serving) + " serves")
}

// work is what this job writes; ok is false where that is not known yet, or was found
// with another unit active.
func work(t *job.Turn) (*pair.SettingsWork, bool) {
	s := t.In.Record.Settings
	if s == nil || s.Work == nil || s.Work.Job != t.Job.ID {
		return nil, false
	}
	return s.Work, true
}

// read has both units compared, and says whether that was done since a moment.
func read(t *job.Turn, since time.Time, why string) (*pair.SettingsWork, job.Verdict, bool) {
	t.Soon(time.Second)
	w, ok := work(t)
	if ok && !w.At.Before(since) {
		return w, job.Verdict{}, true
	}
	if s := t.In.Record.Settings; s != nil && s.Failures > 0 && t.Asked() {
		why += "; the last attempt failed: " + s.Why
	}
	return nil, t.AskAgainAfter(again, why, pair.Intent{Kind: pair.IntentCompare}), false
}

func compare(t *job.Turn) job.Verdict {
	if _, v, ok := active(t); !ok {
		return v
	}
	w, v, ok := read(t, t.Began(), "both units are read")
	if !ok {
		return v
	}
	found := t.In.Record.Settings.Found
	if w.Total == [2]int{} && w.Vendor+w.Parts+w.Stuck == 0 {
		if found.Differences() == 0 {
			return job.Finish("the settings are alike; nothing was written")
		}
		return job.Finish("nothing can be written now: " + found.String() + "; see tandem drift")
	}
	return job.Done(found.String())
}

// same sees that the unit is still active that was when the units were compared: what
// holds on it does not hold on a standby.
func same(t *job.Turn) (w *pair.SettingsWork, v job.Verdict, ok bool) {
	serving, v, ok := active(t)
	if !ok {
		return nil, v, false
	}
	w, known := work(t)
	if !known || w.Active != serving {
		return nil, job.Back("compare", t.Name(serving)+" serves by now"), false
	}
	return w, job.Verdict{}, true
}

func saveActive(t *job.Turn) job.Verdict {
	w, v, ok := same(t)
	switch {
	case !ok:
		return v
	case w.Total[w.Active.Index()] == 0:
		return job.Skip("nothing is written to " + t.Name(w.Active))
	}
	return save(t, w.Active)
}

func saveStandby(t *job.Turn) job.Verdict {
	w, v, ok := same(t)
	switch {
	case !ok:
		return v
	case w.Total[w.Active.Other().Index()] == 0 && w.Parts == 0 && w.Stuck == 0:
		return job.Skip("nothing is written to " + t.Name(w.Active.Other()))
	}
	return save(t, w.Active.Other())
}

// save takes a backup of a unit before it is written to. Without a place for backups a
// person has to say that it may be done without one.
func save(t *job.Turn, r pair.Role) job.Verdict {
	t.Soon(time.Second)
	b := t.In.Record.Units[r.Index()].Backup
	switch {
	case b != nil && !b.At.Before(t.Began()) && b.Failures == 0:
		return job.Done("backup " + b.ID + " is kept; tandem restore puts it back")
	case t.Job.Force:
		return job.Skip("no backup is taken, by force")
	}
	note := "a backup of " + t.Name(r) + " is taken before it is written to"
	if b != nil && b.Failures > 0 && t.Asked() {
		note += "; the last attempt failed: " + b.Why + "; --force does without"
	}
	return t.AskAgainAfter(again, note, pair.Intent{Kind: pair.IntentBackup, Unit: r, Backup: pair.BackupID(r, t.Now())})
}

func writeActive(t *job.Turn) job.Verdict {
	w, v, ok := same(t)
	if !ok {
		return v
	}
	return write(t, w, w.Active)
}

func writeStandby(t *job.Turn) job.Verdict {
	w, v, ok := same(t)
	if !ok {
		return v
	}
	return write(t, w, w.Active.Other())
}

// write has the writes to one unit made. They stay one intent until all are made.
func write(t *job.Turn, w *pair.SettingsWork, r pair.Role) job.Verdict {
	t.Soon(time.Second)
	total, next := w.Total[r.Index()], w.Next[r.Index()]
	switch {
	case total == 0:
		return job.Skip("nothing is written to " + t.Name(r))
	case w.Next == [2]int{} && !t.Asked() && !t.In.Record.Settings.ChangedAt.IsZero():
		return job.Back("compare", "somebody changed settings since both units were read")
	case next >= total && w.Refused > 0:
		return job.Done(fmt.Sprintf("%d writes to %s, of which %d were not taken: %s", total, t.Name(r), w.Refused, w.Why))
	case next >= total:
		return job.Done(fmt.Sprintf("%d writes to %s", total, t.Name(r)))
	}
	return t.AskAgainAfter(again, fmt.Sprintf("%d of %d writes to %s are made", next, total, t.Name(r)), pair.Intent{Kind: pair.IntentWrite, Unit: r})
}

// settle waits for the vendor's own sync, which carries what the active unit changed,
// and then looks what it left.
func settle(t *job.Turn) job.Verdict {
	w, v, ok := same(t)
	switch {
	case !ok:
		return v
	case w.Vendor == 0 && t.Asked():
		return job.Done(t.In.Record.Settings.Found.String())
	case w.Vendor == 0:
		return job.Skip("nothing is left to the units' own sync")
	case t.Now().Before(w.Settles):
		t.Soon(w.Settles.Sub(t.Now()))
		return job.Wait(fmt.Sprintf("%d settings are left to the units' own sync until %s", w.Vendor, w.Settles.Format("15:04:05Z")))
	}
	_, v, ok = read(t, w.Settles, "both units are read again")
	if ok {
		return job.Wait("more was changed meanwhile")
	}
	return v
}

// restore puts those parts of a fresh backup of the active unit on the standby that the
// policy allows and in which nothing is lost.
func restore(t *job.Turn) job.Verdict {
	w, v, ok := same(t)
	switch {
	case !ok:
		return v
	}
	t.Soon(time.Second)
	standby := w.Active.Other()
	b, done := t.In.Record.Units[w.Active.Index()].Backup, t.In.Record.Units[standby.Index()].Restored
	switch {
	case t.Asked() && done != nil && !done.At.Before(t.Began()) && !w.At.Before(done.At):
		return job.Done(pair.PartsText(done.Parts) + " of " + done.Backup + " is restored on " + t.Name(standby))
	case w.Parts == 0:
		return job.Skip("no part of a backup is restored")
	case b == nil || b.At.Before(t.Began()):
		return t.AskAgainAfter(again, "a backup of "+t.Name(w.Active)+" is taken", pair.Intent{Kind: pair.IntentBackup, Unit: w.Active, Backup: pair.BackupID(w.Active, t.Now())})
	case done == nil || done.Backup != b.ID:
		return t.AskAgainAfter(again, pair.PartsText(w.Parts)+" of it is restored on "+t.Name(standby),
			pair.Intent{Kind: pair.IntentRestore, Unit: standby, Backup: b.ID, Parts: w.Parts})
	}
	_, v, _ = read(t, done.At, "both units are read again")
	return v
}

// prove makes one write to the standby that has to be made anyway, and looks whether it
// is there after the vendor's own sync.
func prove(t *job.Turn) job.Verdict {
	w, v, ok := same(t)
	if !ok {
		return v
	}
	standby := w.Active.Other()
	fate := t.In.Record.Settings.Standby[standby.Index()]
	switch {
	case w.Tried != "" && w.At.Before(w.TriedAt.Add(pair.TrialTakes)): // it was made
	case fate != pair.StandbyUntried && (t.Asked() || w.Stuck > 0):
		return job.Done(t.Name(standby) + " " + fate.String() + " writes while it stands by")
	case w.Stuck == 0:
		return job.Skip("nothing is left for the standby")
	default:
		return t.AskAgainAfter(again, "one of the settings is written to "+t.Name(standby), pair.Intent{Kind: pair.IntentWrite, Unit: standby, Step: Trial})
	}
	if until := w.TriedAt.Add(pair.TrialTakes); t.Now().Before(until) && fate == pair.StandbyUntried {
		t.Soon(until.Sub(t.Now()))
		return job.Wait("whether it is still there is looked at " + until.Format("15:04:05Z"))
	}
	if _, v, ok = read(t, w.TriedAt.Add(pair.TrialTakes), "both units are read again"); !ok {
		return v
	}
	return job.Done(t.Name(standby) + " " + fate.String() + " writes while it stands by")
}

// Trial is the step of an intent that makes one write to a standby.
const Trial = "trial"

// verify reads both units once more. What is left is named: a job that could not do
// everything has failed.
func verify(t *job.Turn) job.Verdict {
	if _, v, ok := same(t); !ok {
		return v
	}
	w, v, ok := read(t, t.Began(), "both units are read again")
	if !ok {
		return v
	}
	found := t.In.Record.Settings.Found
	left := w.Total[0] + w.Total[1] + w.Vendor + w.Stuck
	switch {
	case found.Differences() == 0:
		return job.Done("the settings are alike")
	case w.Stuck > 0:
		return job.Fail(fmt.Sprintf("%d settings of %s do not get to %s: %s", w.Stuck, t.Name(w.Active), t.Name(w.Active.Other()), w.StuckWhy))
	case w.Refused > 0:
		return job.Fail(fmt.Sprintf("%d writes were not taken: %s", w.Refused, w.Why))
	case left > 0 || w.Parts > 0:
		return job.Back("compare", "more was changed meanwhile, or a write did not hold: "+found.String())
	default:
		return job.Done("what can be carried over is alike; " + found.String() + "; see tandem drift")
	}
}
