package control

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"tandem/internal/pair"
)

// Backups is where backups of units are kept.
type Backups interface {
	// Put keeps one under its id and says what is known of it then; pair.ErrExists
	// where it is kept already.
	Put(ctx context.Context, name string, b pair.Backup, file []byte) (pair.Backup, error)
	// List returns those of a pair, the newest first.
	List(ctx context.Context, name string) ([]pair.Backup, error)
	// Get returns one with its file, whose content is proved to be what was kept.
	Get(ctx context.Context, name, id string) (pair.Backup, []byte, error)
	Delete(ctx context.Context, name, id string) error
}

// Copies takes a backup of a unit, and puts one on it.
type Copies interface {
	Backup(ctx context.Context, u pair.Unit, w io.Writer) error
	Restore(ctx context.Context, u pair.Unit, r io.Reader, parts int) error
}

const (
	// savedAtOnce is how many passes of a process take backups at once: each may hold
	// one in memory three times over.
	savedAtOnce = 1
	// prunedAtOnce bounds how many old backups one pass deletes.
	prunedAtOnce = 20
)

// errNoPlace means that the program was not told where to keep backups.
var errNoPlace = fmt.Errorf("there is no place for backups: TANDEM_BACKUPS is not set: %w", pair.ErrRefused)

// spare reports whether this pass may decide on a backup: one is wanted, and it has
// the process's only place for that. Without it none is decided, so that a fleet whose
// backups are all due takes them one after the other, and holds no pair meanwhile.
func (p *pass) spare() bool {
	return pair.BackupWanted(&p.in) && p.claim()
}

// claim takes that place until the pass ends.
func (p *pass) claim() bool {
	if p.saves {
		return true
	}
	select {
	case p.saving <- struct{}{}:
		p.saves = true
	default:
	}
	return p.saves
}

func (p *pass) unclaim() {
	if p.saves {
		p.saves = false
		<-p.saving
	}
}

// backUp takes a backup of a unit and keeps it under the intent's id. One that is
// kept already was taken by a pass that died before it recorded that.
//
// An attempt is made once. What failed is told, and tried again by the record's own
// count, so that a unit that refuses costs a call now and then, and not a held pair.
func (p *pass) backUp(ctx context.Context, i *pair.Intent) (time.Duration, bool, error) {
	if p.Backups == nil || p.Copies == nil {
		return 0, false, once{errNoPlace}
	}
	if !p.claim() {
		i.NotBefore = p.now().Add(pair.LookAgain)
		return 0, false, nil
	}
	ctx, cancel := p.transfer(ctx)
	defer cancel()
	kept, err := p.Backups.List(ctx, p.name)
	if err != nil {
		return 0, false, once{err}
	}
	if at := slices.IndexFunc(kept, func(b pair.Backup) bool { return b.ID == i.Backup }); at >= 0 {
		p.prune(ctx, kept[at], kept)
		return 0, true, nil
	}
	if err := p.begun(ctx, i); err != nil {
		return 0, false, err
	}
	if err := p.save(ctx, i, kept); err != nil {
		return 0, false, once{err}
	}
	return 0, true, nil
}

// transfer bounds what moves a file, so that time is left to record it.
func (p *pass) transfer(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, max(time.Second, p.began+p.Budget-deliverTime-p.Uptime()))
}

// once is an error after which this intent is not tried again, whatever else it is.
type once struct{ err error }

func (o once) Error() string        { return o.err.Error() }
func (o once) Unwrap() error        { return o.err }
func (o once) Is(target error) bool { return target == errNeverAgain }

// save takes the backup, keeps it, and deletes what is too many beside those kept.
func (p *pass) save(ctx context.Context, i *pair.Intent, kept []pair.Backup) error {
	unit := p.snap.Definition.Units.Of(i.Unit)
	var file bytes.Buffer
	if err := p.Copies.Backup(ctx, unit, &file); err != nil {
		return err
	}
	b := pair.Backup{ID: i.Backup, VM: unit.VM, For: p.purposeOf(i), Firmware: p.in.Observation.Unit(i.Unit).API.Report.Firmware}
	b, err := p.Backups.Put(ctx, p.name, b, file.Bytes())
	if err != nil && !errors.Is(err, pair.ErrExists) {
		return err
	}
	p.prune(ctx, b, kept)
	return nil
}

// purposeOf is what an intent takes a backup for.
func (p *pass) purposeOf(i *pair.Intent) pair.BackupPurpose {
	switch w := p.snap.Record.Restore; {
	case i.Job != "", w != nil && w.Fresh == i.Backup:
		return pair.BackupBefore
	case i.By != pair.OwnerTandem:
		return pair.BackupAsked
	default:
		return pair.BackupScheduled
	}
}

// prune deletes the oldest of a unit's backups of one purpose that are too many. The
// one that was just taken stays, so that a unit is never left without one, and so does
// one that is about to be restored; others than ours are not in the list. What cannot
// be deleted is found again.
func (p *pass) prune(ctx context.Context, fresh pair.Backup, kept []pair.Backup) {
	left, deleted := p.snap.Definition.Backup.Kept()-1, 0
	wish := p.snap.Record.Restore
	for _, b := range kept {
		if b.Unit != fresh.Unit || b.For != fresh.For || b.ID == fresh.ID || wish != nil && b.ID == wish.Backup.ID {
			continue
		}
		if left--; left >= 0 || deleted == prunedAtOnce {
			continue
		}
		deleted++
		if err := p.Backups.Delete(ctx, p.name, b.ID); err != nil {
			p.Log.WarnContext(ctx, "an old backup was not deleted", "pair", p.name, "backup", b.ID, "error", err.Error())
		}
	}
}

// backupAllowed keeps credentials resting that the unit refused, and a pair alone that
// a person holds by now.
func (p *pass) backupAllowed(_ context.Context, i *pair.Intent) error {
	if p.d.Facts.Stance < pair.StanceObserve {
		return fmt.Errorf("the stance is %s by now: %w", p.d.Facts.Stance, errGuard)
	}
	if r := p.snap.Record.Units[i.Unit.Index()].Refusal; r.In(p.now()) {
		return fmt.Errorf("%s refused our credentials, which rest until %s: %w", i.Unit, r.Until.Format("15:04:05"), errGuard)
	}
	return nil
}

// saved remembers the newest backup of a unit.
func saved(_ *pass, rec *pair.Record, i pair.Intent) {
	_, at, err := pair.ParseBackupID(i.Backup)
	if err != nil {
		return // of another release, whose names tell no time
	}
	rec.Units[i.Unit.Index()].Backup = &pair.UnitBackup{ID: i.Backup, At: at}
}

// unsaved counts a backup that failed, and ends the wish to restore one: that has no
// way back then. A backup that was stopped says nothing of the unit.
func (p *pass) unsaved(rec *pair.Record, i pair.Intent, why error) {
	if i.Kind != pair.IntentBackup && i.Kind != pair.IntentRestore {
		return
	}
	if u := &rec.Units[i.Unit.Index()]; i.Kind == pair.IntentBackup && !errors.Is(why, errGuard) {
		u.Backup = u.Backup.Failed(p.now(), why)
	}
	if w := rec.Restore; w != nil && (w.Fresh == i.Backup || i.Kind == pair.IntentRestore) {
		rec.Restore = nil
	}
}

// restore puts parts of a backup on a unit. The file is read and proved before
// anything is sent. To put the same file on it once more changes nothing, so an
// attempt of which nothing is known is simply made again.
func (p *pass) restore(ctx context.Context, i *pair.Intent) (time.Duration, bool, error) {
	if p.Backups == nil || p.Copies == nil {
		return 0, false, once{errNoPlace}
	}
	ctx, cancel := p.transfer(ctx)
	defer cancel()
	_, file, err := p.Backups.Get(ctx, p.name, i.Backup)
	if err != nil {
		i.Attempts++
		if !passing(err) {
			err = once{err}
		}
		return 0, false, err
	}
	if err := p.begun(ctx, i); err != nil {
		return 0, false, err
	}
	err = p.Copies.Restore(ctx, p.snap.Definition.Units.Of(i.Unit), bytes.NewReader(file), i.Parts)
	return 0, err == nil, err
}

// restoreAllowed keeps a unit that serves from being changed under its connections,
// and firmware from getting another one's settings, unless that was forced.
func (p *pass) restoreAllowed(ctx context.Context, i *pair.Intent) error {
	if i.Job != "" {
		return p.syncRestoreAllowed(ctx, i)
	}
	w := p.snap.Record.Restore
	if w == nil || w.Backup.ID != i.Backup || w.Unit != i.Unit {
		return fmt.Errorf("nobody wants it any more: %w", errGuard)
	}
	if err := p.backupAllowed(ctx, i); err != nil || w.Force {
		return err
	}
	runs := p.in.Observation.Unit(i.Unit).API.Report.Firmware
	if runs == "" || runs != w.Backup.Firmware {
		return fmt.Errorf("%s runs firmware %q, and the backup is of %q; --force overrides that: %w", i.Unit, runs, w.Backup.Firmware, errGuard)
	}
	if a := p.answers(ctx)[i.Unit.Index()]; a == pair.CheckServing {
		return fmt.Errorf("%s answered %s just before the restore; have its partner serve first (tandem switchover), or --force: %w", i.Unit, a, errGuard)
	}
	return nil
}

// wasRestored remembers what was put on a unit. Nobody waits for it any more.
func wasRestored(p *pass, rec *pair.Record, i pair.Intent) {
	done := &pair.Restored{Backup: i.Backup, Parts: i.Parts, By: i.By, At: p.now()}
	if w := rec.Restore; w != nil {
		done.Key = w.Key
	}
	rec.Units[i.Unit.Index()].Restored = done
	if i.Job == "" {
		rec.Restore = nil
	}
}
