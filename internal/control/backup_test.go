package control_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tandem/internal/control"
	"tandem/internal/pair"
	"tandem/internal/vault"
)

const running = "7.2.59.0.22007.RELEASE"

// copier is the units as far as backups go.
type copier struct {
	did    []string
	err    error
	onCopy func()
}

func (c *copier) Backup(_ context.Context, u pair.Unit, w io.Writer) error {
	c.did = append(c.did, "back up "+u.VM)
	if c.onCopy != nil {
		c.onCopy()
	}
	if c.err != nil {
		return c.err
	}
	_, err := io.WriteString(w, "settings of "+u.VM)
	return err
}

func (c *copier) Restore(_ context.Context, u pair.Unit, r io.Reader, parts int) error {
	file, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	c.did = append(c.did, fmt.Sprintf("restore %d of %q on %s", parts, file, u.VM))
	return c.err
}

// told adds to a report the firmware that units run.
type told struct {
	control.Units
	firmware string
}

func (t told) Report(ctx context.Context, u pair.Unit) (pair.Report, error) {
	r, err := t.Units.Report(ctx, u)
	r.Firmware = t.firmware
	return r, err
}

// saving is a healthy pair with a place for backups.
type saving struct {
	*world
	*copier
	memory *vault.Memory
	vault  *vault.Vault
	gate   error // of the place
	worker *control.Controller
}

func newSaving(t *testing.T, change ...func(*pair.Definition)) *saving {
	t.Helper()
	s := &saving{world: newWorld(t, append([]func(*pair.Definition){believing}, change...)...), copier: &copier{}, memory: vault.NewMemory()}
	s.vault = s.memory.Vault(nil)
	s.worker = s.runs(running)
	return s
}

// runs is a worker that sees units which run a firmware.
func (s *saving) runs(firmware string) *control.Controller {
	return s.controller(&effects{}, func(o *control.Options) {
		o.Units = told{o.Units, firmware}
		o.Backups, o.Copies = s.memory.Vault(func(context.Context, bool) error { return s.gate }), s.copier
	})
}

// looks makes passes of a sweep, 15 s apart.
func (s *saving) looks(n int) {
	s.t.Helper()
	for range n {
		if err := s.worker.Pass(s.t.Context(), edge, pair.Cause{Kind: pair.CauseSweep}); err != nil {
			s.t.Fatal(err)
		}
		time.Sleep(15 * time.Second)
	}
}

func (s *saving) kept() []string {
	s.t.Helper()
	all, err := s.vault.List(s.t.Context(), edge)
	if err != nil {
		s.t.Fatal(err)
	}
	var words []string
	for _, b := range all {
		words = append(words, b.Unit.String()+" for "+b.For.String())
	}
	return words
}

// gaveUp are the reasons of the journal for what was given up.
func (s *saving) gaveUp() (why []string) {
	s.t.Helper()
	for _, e := range s.journal() {
		var i pair.Intent
		if e.Kind != pair.EntryClosed {
			continue
		}
		if err := json.Unmarshal(e.Body, &i); err != nil {
			s.t.Fatal(err)
		}
		if i.State == pair.IntentAbandoned {
			why = append(why, i.LastErr)
		}
	}
	return why
}

func (s *saving) backup(r pair.Role) pair.UnitBackup {
	s.t.Helper()
	if b := s.load().Record.Units[r.Index()].Backup; b != nil {
		return *b
	}
	return pair.UnitBackup{}
}

func daily(d *pair.Definition) {
	d.Mode = pair.Observe
	d.Backup = pair.BackupPolicy{Every: pair.Duration(24 * time.Hour), Keep: 2}
}

func TestBackupsOfBothUnitsAreTakenAndTheOldestGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSaving(t, daily)
		s.looks(3)
		if want := []string{"back up lm1", "back up lm2"}; !slices.Equal(s.did, want) {
			t.Fatalf("did %q, want %q", s.did, want)
		}
		all, err := s.vault.List(t.Context(), edge)
		if err != nil || len(all) != 2 || all[0].ID != s.backup(pair.Second).ID || all[0].Firmware != running || all[0].VM != "lm2" {
			t.Fatalf("kept %+v, %v; remembered %+v", all, err, s.backup(pair.Second))
		}
		if _, file, err := s.vault.Get(t.Context(), edge, all[1].ID); err != nil || string(file) != "settings of lm1" {
			t.Errorf("%q, %v", file, err)
		}
		s.amend(func(rec *pair.Record) {
			rec.BackUp = &pair.BackupWish{Request: pair.Request{By: "ann", At: time.Now()}, Unit: pair.First}
		})
		s.looks(1)
		for range 4 {
			time.Sleep(24 * time.Hour)
			s.looks(3)
		}
		want := []string{"second for schedule", "first for schedule", "second for schedule", "first for schedule", "first for person"}
		if got := s.kept(); !slices.Equal(got, want) {
			t.Errorf("kept %q, want %q", got, want)
		}
	})
}

// While a process takes a backup, no other pair is held or written for one.
func TestAProcessTakesOneBackupAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSaving(t, daily)
		other := s.load().Definition
		other.Name, other.Units.First.VM, other.Units.Second.VM = "other", "lm3", "lm4"
		if _, err := s.store.Define(t.Context(), other, nil); err != nil {
			t.Fatal(err)
		}
		look := func() {
			if err := s.worker.Pass(t.Context(), "other", pair.Cause{Kind: pair.CauseSweep}); err != nil {
				t.Error(err)
			}
			time.Sleep(5 * time.Second)
		}
		look() // what is seen is believed
		s.did = nil
		s.onCopy = func() {
			s.onCopy = nil
			before, err := s.store.Load(t.Context(), "other")
			if err != nil {
				t.Fatal(err)
			}
			look()
			after, err := s.store.Load(t.Context(), "other")
			if err != nil || after.Version != before.Version {
				t.Errorf("the other pair was written: %v, open %v", err, after.Intents)
			}
		}
		s.looks(1)
		if want := []string{"back up lm1"}; !slices.Equal(s.did, want) {
			t.Fatalf("did %q, want %q", s.did, want)
		}
		look()
		if want := []string{"back up lm1", "back up lm4"}; !slices.Equal(s.did, want) {
			t.Errorf("did %q, want %q", s.did, want)
		}
	})
}

// A pass that dies when a backup is kept, before that is recorded, leaves its intent.
func TestABackupThatIsKeptAlreadyIsNotTakenAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSaving(t)
		s.looks(1)
		id := pair.BackupID(pair.Second, time.Now())
		if _, err := s.vault.Put(t.Context(), edge, pair.Backup{ID: id}, []byte("x")); err != nil {
			t.Fatal(err)
		}
		snap := s.load()
		i := pair.Intent{ID: pair.ID(edge, snap.Record.Epoch, 2), Epoch: snap.Record.Epoch, Kind: pair.IntentBackup, State: pair.IntentBegun, Unit: pair.Second, Backup: id, By: pair.OwnerTandem}
		if _, err := s.store.Commit(t.Context(), snap, pair.Change{Record: snap.Record, PutIntents: []pair.Intent{i}}); err != nil {
			t.Fatal(err)
		}
		s.looks(1)
		if s.backup(pair.Second).ID != id || len(s.did) > 0 || len(s.load().Intents) > 0 {
			t.Errorf("remembered %+v after %q, %v is open", s.backup(pair.Second), s.did, s.load().Intents)
		}
	})
}

func TestABackupThatFailsIsToldAndTriedAgainLater(t *testing.T) {
	tests := []struct {
		name  string
		spoil func(*saving)
		says  string
	}{
		{"a unit that refuses", func(s *saving) { s.err = fmt.Errorf("the user lacks the permission: %w", pair.ErrRefused) }, "lacks the permission"},
		{"a place that refuses", func(s *saving) { s.gate = fmt.Errorf("no role: %w", pair.ErrRefused) }, "no role"},
		{"no place", func(s *saving) {
			s.worker = s.controller(&effects{}, func(o *control.Options) { o.Copies = s.copier })
		}, "TANDEM_BACKUPS"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSaving(t, daily)
				s.amend(func(rec *pair.Record) { // of second none is due
					rec.Units[1].Backup = &pair.UnitBackup{ID: "x", At: time.Now()}
				})
				tt.spoil(s)
				s.looks(3 * 4) // three minutes
				if b := s.backup(pair.First); b.Failures != 1 || !strings.Contains(b.Why, tt.says) || strings.Contains(b.Why, "settings of") {
					t.Fatalf("after three minutes %+v", b)
				}
				if why := s.gaveUp(); len(why) != 1 || !strings.Contains(why[0], tt.says) {
					t.Errorf("the journal says %q", why)
				}
				s.looks(20 * 4)
				rec := s.load().Record
				if b := s.backup(pair.First); b.Failures != 3 || rec.Alarm == nil || rec.Alarm.Row != "backup-fails" {
					t.Errorf("after twenty minutes %+v, alarm %+v", b, rec.Alarm)
				}
			})
		})
	}
}

// A pause that comes while a backup waits for its turn is kept.
func TestNoBackupIsBegunInAPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSaving(t, daily)
		s.looks(1)
		s.amend(func(rec *pair.Record) { rec.Pause = &pair.Pause{Owner: "ann"} })
		snap := s.load()
		i := pair.Intent{ID: pair.ID(edge, snap.Record.Epoch, 2), Epoch: snap.Record.Epoch, Kind: pair.IntentBackup, Unit: pair.Second, Backup: pair.BackupID(pair.Second, time.Now()), By: pair.OwnerTandem}
		if _, err := s.store.Commit(t.Context(), snap, pair.Change{Record: snap.Record, PutIntents: []pair.Intent{i}}); err != nil {
			t.Fatal(err)
		}
		s.did = nil
		s.looks(2)
		if len(s.did) > 0 || len(s.load().Intents) > 0 || s.backup(pair.Second).Failures > 0 {
			t.Errorf("did %q, %v open, %+v", s.did, s.load().Intents, s.backup(pair.Second))
		}
	})
}

// wish has what was kept of second put on a unit.
func (s *saving) wish(r pair.Role, change ...func(*pair.RestoreWish)) pair.RestoreWish {
	s.t.Helper()
	at := time.Now()
	b, err := s.vault.Put(s.t.Context(), edge, pair.Backup{ID: pair.BackupID(pair.Second, at.Add(-time.Hour)), VM: "lm2", Firmware: running, For: pair.BackupScheduled}, []byte("old settings"))
	if err != nil {
		s.t.Fatal(err)
	}
	w := pair.RestoreWish{Request: pair.Request{By: "ann", At: at}, Key: "k", Unit: r, Backup: b, Parts: pair.PartsShared}
	for _, c := range change {
		c(&w)
	}
	s.amend(func(rec *pair.Record) { rec.Restore = &w })
	return w
}

func TestARestoreTakesABackupFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSaving(t)
		s.looks(1)
		w := s.wish(pair.Second)
		s.looks(3)
		if want := []string{"back up lm2", `restore 14 of "old settings" on lm2`}; !slices.Equal(s.did, want) {
			t.Errorf("did %q, want %q", s.did, want)
		}
		rec := s.load().Record
		if r := rec.Units[1].Restored; r == nil || r.Backup != w.Backup.ID || r.Key != "k" || r.By != "ann" || rec.Restore != nil {
			t.Errorf("remembered %+v, the wish is %+v", r, rec.Restore)
		}
		if want := []string{"second for before", "second for schedule"}; !slices.Equal(s.kept(), want) {
			t.Errorf("kept %q, want %q", s.kept(), want)
		}
	})
}

// The backup before a restore makes room for itself, and not in the place of the one
// that is to be restored.
func TestWhatIsToBeRestoredIsNotDeletedBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSaving(t, func(d *pair.Definition) { d.Backup.Keep = 1 })
		s.looks(1)
		old := pair.Backup{ID: pair.BackupID(pair.Second, time.Now().Add(-48*time.Hour)), Firmware: running, For: pair.BackupBefore}
		old, err := s.vault.Put(t.Context(), edge, old, []byte("older settings"))
		if err != nil {
			t.Fatal(err)
		}
		s.wish(pair.Second, func(w *pair.RestoreWish) { w.Backup = old })
		s.looks(3)
		if want := `restore 14 of "older settings" on lm2`; !slices.Contains(s.did, want) {
			t.Errorf("did %q, want %q; %q", s.did, want, s.gaveUp())
		}
	})
}

func TestARestoreThatMayNotBe(t *testing.T) {
	tests := []struct {
		name  string
		unit  pair.Role
		spoil func(*testing.T, *saving, pair.RestoreWish)
		force bool
		says  string // empty: it is done
	}{
		{"a unit that serves is left alone", pair.First, nil, false, "answered 200"},
		{"unless by force", pair.First, nil, true, ""},
		{"another firmware's settings are left alone", pair.Second, func(_ *testing.T, s *saving, _ pair.RestoreWish) { s.worker = s.runs("7.2.60.0.1.RELEASE") }, false, "runs firmware"},
		{"unless by force", pair.Second, func(_ *testing.T, s *saving, _ pair.RestoreWish) { s.worker = s.runs("7.2.60.0.1.RELEASE") }, true, ""},
		{"a unit that does not tell its firmware is left alone", pair.Second, func(_ *testing.T, s *saving, _ pair.RestoreWish) { s.worker = s.runs("") }, false, "runs firmware"},
		{"a backup that is gone is not restored", pair.Second, func(t *testing.T, s *saving, w pair.RestoreWish) {
			t.Helper()
			if err := s.vault.Delete(t.Context(), edge, w.Backup.ID); err != nil {
				t.Fatal(err)
			}
		}, false, "not found"},
		{"where the unit gives no backup of itself nothing is restored", pair.Second, func(_ *testing.T, s *saving, _ pair.RestoreWish) { s.err = pair.ErrRefused }, true, "refused"},
		{"what a person took back is not done", pair.Second, func(_ *testing.T, s *saving, _ pair.RestoreWish) {
			s.onCopy = func() { s.amend(func(rec *pair.Record) { rec.Pause = &pair.Pause{Owner: "bob"} }) }
		}, false, "-"},
	}
	for _, tt := range tests {
		t.Run(tt.name+" "+tt.says, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSaving(t)
				s.looks(1)
				w := s.wish(tt.unit, func(w *pair.RestoreWish) { w.Force = tt.force })
				if tt.spoil != nil {
					tt.spoil(t, s, w)
				}
				for range 3 {
					_ = s.worker.Pass(t.Context(), edge, pair.Cause{Kind: pair.CauseSweep}) // one of them loses the pair to a person
					time.Sleep(15 * time.Second)
				}
				restored := slices.ContainsFunc(s.did, func(did string) bool { return strings.HasPrefix(did, "restore") })
				why := strings.Join(s.gaveUp(), "; ")
				switch {
				case restored != (tt.says == ""):
					t.Errorf("did %q, and the journal says %q", s.did, why)
				case tt.says != "" && tt.says != "-" && (!strings.Contains(why, tt.says) || s.load().Record.Restore != nil):
					t.Errorf("the journal says %q, the wish is %+v", why, s.load().Record.Restore)
				}
			})
		})
	}
}

func TestARestoreOfWhichNothingIsKnownIsMadeAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSaving(t)
		s.looks(1)
		s.wish(pair.Second)
		s.looks(1)
		s.err = errors.Join(errors.New("cut"), pair.ErrUnknownOutcome)
		s.looks(1)
		s.err = nil
		s.looks(3)
		if len(s.did) != 3 || s.did[1] != s.did[2] || s.load().Record.Units[1].Restored == nil {
			t.Errorf("did %q", s.did)
		}
	})
}

// What is in a backup is for the container and the unit, and for nobody else.
func TestNothingOfABackupIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSaving(t, daily)
		s.looks(3)
		s.wish(pair.Second)
		s.looks(3)
		s.wish(pair.First, func(w *pair.RestoreWish) { w.Backup.SHA256 = "another" })
		s.looks(3)
		if len(s.did) < 4 {
			t.Fatalf("did %q", s.did)
		}
		told := s.log.text()
		for _, e := range s.journal() {
			told += string(e.Body)
		}
		record, err := json.Marshal(s.load())
		if err != nil {
			t.Fatal(err)
		}
		if told += string(record); strings.Contains(told, "settings") || !strings.Contains(told, s.backup(pair.First).ID) {
			t.Errorf("it is told: %s", told)
		}
	})
}

// frail is a worker's way to the place for backups and to the units: what it does
// there are effects.
type frail struct {
	control.Backups
	copier *copier
	fx     *effects
}

func (f *frail) Put(ctx context.Context, name string, b pair.Backup, file []byte) (pair.Backup, error) {
	return answered(ctx, f.fx, "keep", func(ctx context.Context) (pair.Backup, error) { return f.Backups.Put(ctx, name, b, file) })
}

func (f *frail) Delete(ctx context.Context, name, id string) error {
	return f.fx.do(ctx, "delete", func(ctx context.Context) error { return f.Backups.Delete(ctx, name, id) })
}

func (f *frail) Backup(ctx context.Context, u pair.Unit, w io.Writer) error {
	return f.fx.do(ctx, "back up", func(ctx context.Context) error { return f.copier.Backup(ctx, u, w) })
}

func (f *frail) Restore(ctx context.Context, u pair.Unit, r io.Reader, parts int) error {
	return f.fx.do(ctx, "restore", func(ctx context.Context) error { return f.copier.Restore(ctx, u, r, parts) })
}

// killed plays a restore and the backup before it, with a worker that dies at an
// effect, and others after it. It returns the effects of the first one.
func (s *saving) killed(fx *effects) []string {
	s.t.Helper()
	worker := func(fx *effects) *control.Controller {
		return s.controller(fx, func(o *control.Options) {
			f := &frail{s.vault, s.copier, fx}
			o.Units, o.Backups, o.Copies = told{o.Units, running}, f, f
		})
	}
	s.worker = worker(fx)
	for range 12 { // three minutes
		s.t.Helper()
		ctx, cancel := context.WithTimeout(s.t.Context(), 20*time.Second)
		fx.onDeath(cancel)
		err := s.worker.Pass(ctx, edge, pair.Cause{Kind: pair.CauseSweep})
		cancel()
		switch {
		case fx.alive() != nil && s.worker != nil:
			s.world.worker++
			s.worker, fx = worker(&effects{}), &effects{}
		case err != nil:
			s.t.Fatal(err)
		}
		time.Sleep(15 * time.Second)
	}
	return fx.done
}

// TestABackupAndARestoreSurviveADeathAtAnyEffect stops the worker at each effect in
// turn, which was done or not: in the end one backup was taken of the unit as it was,
// the old one is deleted, and the unit has what a person wanted.
func TestABackupAndARestoreSurviveADeathAtAnyEffect(t *testing.T) {
	play := func(t *testing.T, fx *effects) (done []string) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			s := newSaving(t, func(d *pair.Definition) { d.Backup.Keep = 1 })
			s.looks(1)
			old := pair.Backup{ID: pair.BackupID(pair.Second, time.Now().Add(-48*time.Hour)), For: pair.BackupBefore}
			if _, err := s.vault.Put(t.Context(), edge, old, []byte("x")); err != nil {
				t.Fatal(err)
			}
			w := s.wish(pair.Second)
			done = s.killed(fx)
			if want := []string{"second for before", "second for schedule"}; !slices.Equal(s.kept(), want) {
				t.Errorf("kept %q, want %q", s.kept(), want)
			}
			snap := s.load()
			if r := snap.Record.Units[1].Restored; r == nil || r.Backup != w.Backup.ID || snap.Record.Restore != nil || len(snap.Intents) > 0 {
				t.Errorf("restored %+v, the wish is %+v, open %v; did %q", r, snap.Record.Restore, snap.Intents, s.did)
			}
			if last := s.did[len(s.did)-1]; !strings.HasPrefix(last, `restore 14 of "old settings"`) || len(s.did) > 3 {
				t.Errorf("did %q", s.did)
			}
		})
		return done
	}
	undisturbed := play(t, &effects{})
	if len(undisturbed) < 12 || !slices.Contains(undisturbed, "keep") || !slices.Contains(undisturbed, "delete") || !slices.Contains(undisturbed, "restore") {
		t.Fatalf("undisturbed: %q", undisturbed)
	}
	for n, what := range undisturbed {
		for _, f := range []fate{failed, unknown} {
			t.Run(fmt.Sprintf("%d %s %s", n+1, what, f), func(t *testing.T) {
				play(t, &effects{at: n + 1, fate: f, kills: true})
			})
		}
	}
}
