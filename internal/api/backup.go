package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"tandem/internal/pair"
)

// Keeper tells which backups are kept. What is in them is nobody's to read here.
type Keeper interface {
	// List returns those of a pair, the newest first.
	List(ctx context.Context, name string) ([]pair.Backup, error)
}

// BackupList is the answer to a question for a pair's backups.
type BackupList struct {
	V    int    `json:"v"`
	Pair string `json:"pair"`
	// Every is the time between two backups of a unit, zero where none are taken by
	// themselves; Keep is how many are kept of each unit and purpose.
	Every pair.Duration `json:"every,omitempty"`
	Keep  int           `json:"keep"`
	// Epoch is the pair's.
	Epoch uint64        `json:"epoch"`
	Units []UnitBackups `json:"units"`
	// Backups are those that are kept, the newest first.
	Backups []pair.Backup `json:"backups"`
	// Asked is a person's wish for a backup that waits, and Restoring one for a
	// restore that is not done.
	Asked     *pair.BackupWish  `json:"asked,omitempty"`
	Restoring *pair.RestoreWish `json:"restoring,omitempty"`
}

// UnitBackups is how the backups of one unit stand.
type UnitBackups struct {
	Unit pair.Role `json:"unit"`
	VM   string    `json:"vm"`
	// Last is what came of the newest attempts; nil where there was none.
	Last *pair.UnitBackup `json:"last,omitempty"`
	// Due is when the next one is due; zero where none are taken by themselves.
	Due time.Time `json:"due,omitzero"`
	// Busy: one is being taken or restored.
	Busy     bool           `json:"busy,omitempty"`
	Restored *pair.Restored `json:"restored,omitempty"`
}

// RestoreAsk is the body with which a person has a backup restored.
type RestoreAsk struct {
	By     string    `json:"by,omitempty" jsonschema_description:"Who wants it. Needed unless Entra ID tells that."`
	Reason string    `json:"reason,omitempty" jsonschema_description:"Why, for whoever finds it so at night."`
	Unit   pair.Role `json:"unit" jsonschema_description:"The unit on which it is restored."`
	Backup string    `json:"backup" jsonschema_description:"The id of the backup."`
	Types  []string  `json:"types,omitempty" jsonschema_description:"The parts of it: base, services, geo, sso. Unset is all but base, which is the unit's own."`
	Force  bool      `json:"force,omitempty" jsonschema_description:"Restore base, the backup of the partner, that of another firmware, or a unit that serves. Needs the role Tandem.Force."`
}

// RestoreAsked is the answer to that.
type RestoreAsked struct {
	V      int    `json:"v"`
	Pair   string `json:"pair"`
	Change string `json:"change"` // stored, unchanged: it was asked for already
	DryRun bool   `json:"dryRun,omitempty"`
	// Epoch is the pair's after the word.
	Epoch  uint64      `json:"epoch"`
	By     string      `json:"by"`
	Unit   pair.Role   `json:"unit"`
	Backup pair.Backup `json:"backup"`
	Types  []string    `json:"types"`
	Force  bool        `json:"force,omitempty"`
	// Notes say what will be done, in this order, and what to know of it.
	Notes []string `json:"notes"`
	// Obstacle is why it would not be done now. Only a dry run has it; otherwise it
	// is refused.
	Obstacle string `json:"obstacle,omitempty"`
	// Stance says what Tandem may do about the pair now, in words.
	Stance string `json:"stance,omitempty"`
}

// restoreWord is the word of the journal for a restore.
const restoreWord = "restore"

// takesIn is the kind of the job that waits for a restore of its own unit
// (internal/job/replace).
const takesIn = "replace"

// backUp has a backup taken as soon as the pair is calm.
func backUp(t *told, rec *pair.Record) (bool, error) {
	switch {
	case t.stance < pair.StanceObserve:
		return false, unfitf("no backup is taken now: the stance is %s, resume first", t.stance)
	case rec.Job.Running():
		return false, &unfit{job: rec.Job.ID, why: "no backup is taken now: the pair has a job, " + jobWords(rec.Job)}
	case len(rec.Admin) > 0:
		return false, unfitf("no backup is taken now: an admin state of ours stands, see tandem status")
	case rec.BackUp != nil && t.now.Before(rec.BackUp.At.Add(time.Minute)):
		return false, nil // it is about to be
	}
	rec.BackUp = &pair.BackupWish{Request: *t.request(), Unit: t.ask.Unit}
	return true, nil
}

// backups answers which backups are kept, and how they stand.
func (s *server) backups(r *http.Request) (any, error) {
	name := r.PathValue("pair")
	snap, err := s.Store.Load(r.Context(), name)
	if err != nil {
		return nil, err
	}
	def, rec := &snap.Definition, &snap.Record
	out := BackupList{
		V: Version, Pair: name, Every: def.Backup.Every, Keep: def.Backup.Kept(), Epoch: rec.Epoch, Backups: []pair.Backup{},
		Asked: rec.BackUp, Restoring: rec.Restore,
	}
	for _, role := range pair.Roles {
		u := rec.Units[role.Index()]
		out.Units = append(out.Units, UnitBackups{
			Unit: role, VM: def.Units.Of(role).VM, Last: u.Backup, Due: def.Backup.BackupDue(u.Backup), Restored: u.Restored,
			Busy: slices.ContainsFunc(snap.Intents, func(i pair.Intent) bool {
				return i.Unit == role && (i.Kind == pair.IntentBackup || i.Kind == pair.IntentRestore)
			}),
		})
	}
	if s.Keeper == nil {
		return out, nil
	}
	kept, err := s.Keeper.List(r.Context(), name)
	out.Backups = append(out.Backups, kept...)
	return out, err
}

// restore takes a person's word to put a backup on a unit. With dryRun=true it only
// says what would happen.
func (s *server) restore(r *http.Request) (any, error) {
	ask, err := readBody[RestoreAsk](r, "restore a backup", "by, reason, unit, backup, types, force")
	if err != nil {
		return nil, err
	}
	if ask.By, err = byOf(r, ask.By); err != nil {
		return nil, err
	}
	key, err := readKey(r)
	if err == nil {
		err = checkSpeaker(&ask.By, &ask.Reason)
	}
	if err == nil && ask.Unit == pair.RoleUnknown {
		err = errors.New("unit: expected first or second")
	}
	parts, wrong := pair.ParseParts(ask.Types)
	_, _, bad := pair.ParseBackupID(ask.Backup)
	if err = errors.Join(err, wrong, bad); err != nil {
		return nil, fmt.Errorf("restore a backup: %w: %w", err, pair.ErrInvalid)
	}
	if ask.Force {
		if err := s.mayForce(callerOf(r)); err != nil {
			return nil, err
		}
	}
	name, dryRun := r.PathValue("pair"), r.URL.Query().Get("dryRun") == "true"
	b, err := s.backup(r.Context(), name, ask.Backup)
	if err != nil {
		return nil, err
	}
	wish := pair.RestoreWish{Request: pair.Request{By: ask.By, Reason: ask.Reason, At: s.now()}, Key: key, Unit: ask.Unit, Backup: b, Parts: parts, Force: ask.Force}
	return untilFirst("restore a backup of", name, func() (RestoreAsked, error) { return s.restoreOnce(r.Context(), name, wish, dryRun) })
}

// backup finds what is known of a backup.
func (s *server) backup(ctx context.Context, name, id string) (pair.Backup, error) {
	if s.Keeper == nil {
		return pair.Backup{}, fmt.Errorf("restore backup %s: there is no place for backups, TANDEM_BACKUPS is not set: %w", id, pair.ErrNotFound)
	}
	all, err := s.Keeper.List(ctx, name)
	if err != nil {
		return pair.Backup{}, err
	}
	at := slices.IndexFunc(all, func(b pair.Backup) bool { return b.ID == id })
	if at < 0 {
		return pair.Backup{}, fmt.Errorf("backup %s of pair %s, which has %d: %w", id, name, len(all), pair.ErrNotFound)
	}
	return all[at], nil
}

func (s *server) restoreOnce(ctx context.Context, name string, w pair.RestoreWish, dryRun bool) (RestoreAsked, error) {
	snap, stop, err := s.load(ctx, name)
	if err != nil {
		return RestoreAsked{}, err
	}
	rec := &snap.Record
	out := RestoreAsked{
		V: Version, Pair: name, Change: changeUnchanged, DryRun: dryRun, Epoch: rec.Epoch, By: w.By, Unit: w.Unit, Backup: w.Backup,
		Types: strings.Split(pair.PartsText(w.Parts), ","), Force: w.Force, Stance: s.stanceWords(snap, stop), Notes: restoreNotes(&snap.Definition, &w),
	}
	if done := rec.Units[w.Unit.Index()].Restored; w.Key != "" && (rec.Restore != nil && rec.Restore.Key == w.Key || done != nil && done.Key == w.Key) {
		return out, nil
	}
	if why := s.againstRestore(snap, stop, &w); why != nil {
		if dryRun {
			out.Obstacle = why.Error()
			return out, nil
		}
		return out, why
	}
	rec.Restore = &w
	rec.Epoch++
	out.Change, out.Epoch = changeStored, rec.Epoch
	if dryRun {
		return out, nil
	}
	said := pair.Asked{Word: restoreWord, By: w.By, Reason: w.Reason, Unit: w.Unit, Force: w.Force, Backup: w.Backup.ID, Parts: pair.PartsText(w.Parts)}
	return out, s.keep(ctx, snap, said, w.At)
}

// againstRestore is why a backup cannot be restored now; nil where it can. What the
// unit says of itself is looked at right before.
func (s *server) againstRestore(snap pair.Snapshot, stop *pair.Pause, w *pair.RestoreWish) error {
	rec, j := &snap.Record, snap.Record.Job
	stance, _ := s.stance(snap, stop)
	unit := w.Unit.String() + " (" + snap.Definition.Units.Of(w.Unit).VM + ")"
	base := w.Parts&pair.PartBase != 0
	switch {
	case stance < pair.StanceObserve:
		return unfitf("nothing is restored now: pair %s is %s; resume first", snap.Definition.Name, s.stanceWords(snap, stop))
	case rec.Restore != nil && w.At.Sub(rec.Restore.At) < time.Minute:
		return unfitf("backup %s is being restored on %s already, as %s asked", rec.Restore.Backup.ID, rec.Restore.Unit, rec.Restore.By)
	case j.Running() && (j.Kind != takesIn || j.Unit != w.Unit):
		return &unfit{job: j.ID, why: "the pair has a job: " + jobWords(j) + ". Wait for it with tandem jobs watch " + snap.Definition.Name}
	case !j.Running() && len(rec.Admin) > 0:
		return unfitf("an admin state of ours stands, see tandem status")
	case base && w.Backup.Unit != w.Unit:
		return unfitf("base holds addresses, names and HA mode: that of %s is never restored on %s, with --force neither", w.Backup.Unit, w.Unit)
	case w.Force:
		return nil
	case rec.LastActive == w.Unit:
		return unfitf("%s serves: have its partner serve first (tandem switchover), or --force", unit)
	case base:
		return unfitf("base holds addresses, names and HA mode, and %s may be unreachable afterwards: leave it out, or --force", unit)
	case w.Backup.Unit != w.Unit:
		return unfitf("backup %s is of the partner: take one of %s, or --force", w.Backup.ID, w.Unit)
	default:
		return nil
	}
}

// restoreNotes say what a restore does and what it does not.
func restoreNotes(d *pair.Definition, w *pair.RestoreWish) []string {
	unit := w.Unit.String() + " (" + d.Units.Of(w.Unit).VM + ")"
	notes := []string{
		"a backup of " + unit + " as it is now is taken first; without it nothing is restored",
		fmt.Sprintf("the file is proved by its SHA-256, and %s must run firmware %s and not answer 200", unit, w.Backup.Firmware),
		fmt.Sprintf("%s of backup %s, taken %s on %s, is put on %s", pair.PartsText(w.Parts), w.Backup.ID, w.Backup.At.UTC().Format("2006-01-02 15:04:05Z"), w.Backup.VM, unit),
		"the units' own sync may carry it to the partner, or the partner's settings over it, within two minutes",
		"private keys of certificates are not in a backup (loadmaster.md 3.5); where values do not show, reboot the unit",
	}
	if w.Force {
		notes[1] = "the file is proved by its SHA-256; by force it is neither asked whether " + unit + " serves, nor which firmware it runs"
	}
	return notes
}

// Backups tells which backups of a pair are kept, and how they stand.
func (c *Client) Backups(ctx context.Context, name string) (BackupList, error) {
	var out BackupList
	err := c.call(ctx, http.MethodGet, "/api/pairs/"+url.PathEscape(name)+"/backups", nil, &out)
	return out, err
}

// Restore has a backup restored. The same key with the same request asks once,
// however often it is sent; an empty key sends none.
func (c *Client) Restore(ctx context.Context, name string, a RestoreAsk, key string, dryRun bool) (RestoreAsked, error) {
	var out RestoreAsked
	body, err := json.Marshal(a)
	if err != nil {
		return out, fmt.Errorf("restore a backup: %w: %w", pair.ErrInvalid, err)
	}
	header, path := http.Header{}, "/api/pairs/"+url.PathEscape(name)+"/restore"
	if key != "" {
		header.Set(keyHeader, key)
	}
	if dryRun {
		path += "?dryRun=true"
	}
	err = c.send(ctx, http.MethodPost, path, body, header, &out)
	return out, err
}
