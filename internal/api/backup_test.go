package api_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"tandem/internal/api"
	"tandem/internal/pair"
)

// lastNight is a backup of second that is kept.
var lastNight = pair.Backup{
	ID: pair.BackupID(pair.Second, moment.Add(-19*time.Hour)), Unit: pair.Second, VM: "lm2", At: moment.Add(-19 * time.Hour),
	For: pair.BackupScheduled, Firmware: "7.2.59.0.22007.RELEASE", Size: 7, SHA256: strings.Repeat("a", 64),
}

// ofFirst is one of first.
var ofFirst = pair.Backup{ID: pair.BackupID(pair.First, moment), Unit: pair.First, VM: "lm1", At: moment}

func saving(t *testing.T) *served {
	t.Helper()
	return wordsWith(t, api.Options{Jobs: procedures(t), Keeper: keeps{lastNight, ofFirst}, Auth: api.AuthNone}, nil)
}

func TestBackupsAreListedWithHowTheyStand(t *testing.T) {
	s := saving(t)
	s.remember(func(rec *pair.Record) {
		rec.Units[1].Backup = &pair.UnitBackup{Failures: 2, TriedAt: moment, Why: "refused"}
		rec.BackUp = &pair.BackupWish{Request: pair.Request{By: "ann", At: moment}, Unit: pair.First}
	})
	got, err := s.client.Backups(t.Context(), "edge")
	if err != nil {
		t.Fatal(err)
	}
	equal(t, got.Backups, []pair.Backup{lastNight, ofFirst})
	if got.Keep != 14 || got.Every != 0 || got.Asked == nil || got.Asked.By != "ann" || len(got.Units) != 2 || got.Units[1].Last.Why != "refused" || !got.Units[1].Due.IsZero() {
		t.Errorf("%+v", got)
	}
	none := wordsWith(t, api.Options{}, nil)
	if got, err := none.client.Backups(t.Context(), "edge"); err != nil || len(got.Backups) != 0 {
		t.Errorf("where none can be kept: %+v, %v", got, err)
	}
}

func TestABackupIsAskedFor(t *testing.T) {
	s := saving(t)
	ask := api.Ask{By: "ann", Reason: "before the new certificates", Unit: pair.Second}
	for n, want := range []string{"stored", "unchanged"} {
		got, err := s.client.Ask(t.Context(), api.BackUp, "edge", ask, false)
		if err != nil || got.Change != want {
			t.Fatalf("time %d: %+v, %v", n+1, got, err)
		}
	}
	if w := s.record().BackUp; w == nil || w.By != "ann" || w.Unit != pair.Second || !w.At.Equal(moment) {
		t.Errorf("remembered %+v", w)
	}
	equal(t, s.entry(), pair.Asked{Word: "backup", By: "ann", Reason: "before the new certificates", Unit: pair.Second})
	equal(t, s.woken(), []string{"edge"})
}

func TestNoBackupIsAskedForWhileSomethingGoesOn(t *testing.T) {
	for name, before := range map[string]func(*served){
		"resume first": func(s *served) {
			s.remember(func(rec *pair.Record) { rec.Pause = &pair.Pause{Owner: "bob", Reason: "cabling"} })
		},
		"has a job": func(s *served) { s.runs(nil) },
		"an admin state of ours stands": func(s *served) {
			s.remember(func(rec *pair.Record) {
				rec.Admin = []pair.AdminHold{{LoadBalancer: "ilb", Pool: "pool", Unit: pair.Second, State: pair.AdminDown, Deadline: moment.Add(time.Minute)}}
			})
		},
	} {
		s := saving(t)
		before(s)
		if _, err := s.client.Ask(t.Context(), api.BackUp, "edge", api.Ask{By: "ann"}, false); !errors.Is(err, pair.ErrConflict) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestARestoreIsAskedForOnce(t *testing.T) {
	s := saving(t)
	ask := api.RestoreAsk{By: "ann", Reason: "rebuilt", Unit: pair.Second, Backup: lastNight.ID}
	was := s.record()
	dry, err := s.client.Restore(t.Context(), "edge", ask, "", true)
	if err != nil || !dry.DryRun || dry.Change != "stored" || dry.Obstacle != "" || len(dry.Notes) != 5 || strings.Join(dry.Types, ",") != "services,geo,sso" {
		t.Errorf("a dry run: %+v, %v", dry, err)
	}
	equal(t, s.record(), was)
	for n, want := range []string{"stored", "unchanged"} {
		got, err := s.client.Restore(t.Context(), "edge", ask, "k-1", false)
		if err != nil || got.Change != want {
			t.Fatalf("time %d: %+v, %v", n+1, got, err)
		}
	}
	equal(t, s.record().Restore, &pair.RestoreWish{
		Request: pair.Request{By: "ann", Reason: "rebuilt", At: moment}, Key: "k-1", Unit: pair.Second, Backup: lastNight, Parts: pair.PartsShared,
	})
	equal(t, s.entry(), pair.Asked{Word: "restore", By: "ann", Reason: "rebuilt", Unit: pair.Second, Backup: lastNight.ID, Parts: "services,geo,sso"})
	equal(t, s.woken(), []string{"edge"})
	s.remember(func(rec *pair.Record) {
		rec.Restore, rec.Units[1].Restored = nil, &pair.Restored{Backup: lastNight.ID, Key: "k-1", At: moment}
	})
	if got, err := s.client.Restore(t.Context(), "edge", ask, "k-1", false); err != nil || got.Change != "unchanged" || s.record().Restore != nil {
		t.Errorf("when it is done: %+v, %v", got, err)
	}
}

func TestWhatIsInTheWayOfARestore(t *testing.T) {
	second := func(*api.RestoreAsk) {}
	serves := func(s *served) { s.remember(func(rec *pair.Record) { rec.LastActive = pair.Second }) }
	replaces := func(kind string, unit pair.Role) func(*served) {
		return func(s *served) { s.runs(func(j *pair.Job) { j.Kind, j.Unit = kind, unit }) }
	}
	tests := []struct {
		name   string
		before func(*served)
		change func(*api.RestoreAsk)
		says   string // empty: nothing
		force  string // what force does not override
	}{
		{"nothing, on the standby", nil, second, "", ""},
		{"the unit serves", serves, second, "tandem switchover", ""},
		{"base", nil, func(a *api.RestoreAsk) { a.Types = []string{"base", "services"} }, "leave it out", ""},
		{"the partner's backup", nil, func(a *api.RestoreAsk) { a.Backup = ofFirst.ID }, "is of the partner", ""},
		{"the partner's base, with force too", nil, func(a *api.RestoreAsk) { a.Backup, a.Types = ofFirst.ID, []string{"base"} }, "never restored", "never restored"},
		{"a pause, with force too", func(s *served) {
			s.remember(func(rec *pair.Record) { rec.Pause = &pair.Pause{Owner: "bob", Reason: "cabling"} })
		}, second, "resume first", "resume first"},
		{"a job, with force too", replaces("switchover", pair.Second), second, "has a job", "has a job"},
		{"a replacement of the other unit", replaces("replace", pair.First), second, "has a job", "has a job"},
		{"but no replacement of that unit, which waits for it", replaces("replace", pair.Second), second, "", ""},
		{"another restore a moment ago", func(s *served) {
			s.remember(func(rec *pair.Record) {
				rec.Restore = &pair.RestoreWish{Request: pair.Request{By: "bob", At: moment.Add(-time.Second)}, Unit: pair.First, Backup: ofFirst}
			})
		}, second, "as bob asked", "as bob asked"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for force, says := range map[bool]string{false: tt.says, true: tt.force} {
				s := saving(t)
				if tt.before != nil {
					tt.before(s)
				}
				ask := api.RestoreAsk{By: "ann", Unit: pair.Second, Backup: lastNight.ID, Force: force}
				tt.change(&ask)
				dry, err := s.client.Restore(t.Context(), "edge", ask, "", true)
				if err != nil || (says == "") != (dry.Obstacle == "") || !strings.Contains(dry.Obstacle, says) {
					t.Errorf("force %t, dry: %q, %v; want %q", force, dry.Obstacle, err, says)
				}
				_, err = s.client.Restore(t.Context(), "edge", ask, "", false)
				if (says == "") != (err == nil) || err != nil && (!errors.Is(err, pair.ErrConflict) || !strings.Contains(err.Error(), says)) {
					t.Errorf("force %t: %v; want %q", force, err, says)
				}
			}
		})
	}
}

func TestWhatIsNoRequestForARestoreIsRefused(t *testing.T) {
	s := saving(t)
	tests := []struct {
		name string
		ask  api.RestoreAsk
		want error
	}{
		{"nobody", api.RestoreAsk{Unit: pair.Second, Backup: lastNight.ID}, pair.ErrInvalid},
		{"no unit", api.RestoreAsk{By: "ann", Backup: lastNight.ID}, pair.ErrInvalid},
		{"no backup", api.RestoreAsk{By: "ann", Unit: pair.Second}, pair.ErrInvalid},
		{"a path", api.RestoreAsk{By: "ann", Unit: pair.Second, Backup: "../other/" + lastNight.ID}, pair.ErrInvalid},
		{"a part that there is not", api.RestoreAsk{By: "ann", Unit: pair.Second, Backup: lastNight.ID, Types: []string{"all"}}, pair.ErrInvalid},
		{"a backup that is not kept", api.RestoreAsk{By: "ann", Unit: pair.Second, Backup: pair.BackupID(pair.Second, moment)}, pair.ErrNotFound},
	}
	for _, tt := range tests {
		if _, err := s.client.Restore(t.Context(), "edge", tt.ask, "", false); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
	none := wordsWith(t, api.Options{}, nil)
	if _, err := none.client.Restore(t.Context(), "edge", api.RestoreAsk{By: "ann", Unit: pair.Second, Backup: lastNight.ID}, "", false); !errors.Is(err, pair.ErrNotFound) || !strings.Contains(err.Error(), "TANDEM_BACKUPS") {
		t.Errorf("without a place: %v", err)
	}
	keyed := wordsWith(t, api.Options{Keeper: keeps{lastNight}, Auth: api.AuthKey}, nil)
	if _, err := keyed.client.Restore(t.Context(), "edge", api.RestoreAsk{By: "ann", Unit: pair.Second, Backup: lastNight.ID, Force: true}, "", false); !errors.Is(err, pair.ErrRefused) {
		t.Errorf("force with a key: %v", err)
	}
}
