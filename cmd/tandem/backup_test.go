package main

import (
	"context"
	"strings"
	"testing"
	"time"

	"tandem/internal/api"
	"tandem/internal/pair"
)

// keeps are the backups of every pair.
type keeps []pair.Backup

func (k keeps) List(context.Context, string) ([]pair.Backup, error) { return k, nil }

var night = time.Date(2026, 11, 22, 2, 0, 0, 0, time.UTC)

// nightly is a backup of second that is kept.
var nightly = pair.Backup{
	ID: pair.BackupID(pair.Second, night), Unit: pair.Second, VM: "lm2", At: night, For: pair.BackupScheduled,
	Firmware: "7.2.59.0.22007.RELEASE", Size: 71234, SHA256: strings.Repeat("ab", 32),
}

const looksAtBackups = "GET /api/pairs/edge-weu/backups"

// saving is an operator whose pair has backups.
func saving(t *testing.T) operator {
	t.Helper()
	o := newOperator(t, func(opts *api.Options) { opts.Keeper = keeps{nightly} })
	if got := o.run(t, "apply", "-f", examplePair); got.code != exitDone {
		t.Fatalf("got %+v", got)
	}
	return o
}

func TestBackupsAreListed(t *testing.T) {
	o := saving(t)
	got := o.run(t, "backups", "edge-weu")
	if got.code != exitDone {
		t.Errorf("%+v", got)
	}
	has(t, "the list", got.out, "taken when a person asks, the newest 14", "second (lm2): none was taken", nightly.ID, "schedule", "71234", "7.2.59", "abababababab")
	has(t, "JSON", o.run(t, "backups", "edge-weu", "-o", "json").out, `"sha256": "`+nightly.SHA256, `"firmware"`)
	o.remember(t, func(rec *pair.Record) {
		rec.Units[1].Backup = &pair.UnitBackup{Failures: 2, TriedAt: night, Why: "the user lacks the permission"}
	})
	if got = o.run(t, "backups", "edge-weu"); got.code != exitFound {
		t.Errorf("after a failure: %+v", got)
	}
	has(t, "the list", got.out, "second (lm2): failed 2 times", "the user lacks the permission")
}

func TestABackupIsWaitedFor(t *testing.T) {
	took := func(o operator, t *testing.T) func() {
		return func() {
			o.remember(t, func(rec *pair.Record) {
				rec.BackUp, rec.Units[1].Backup = nil, &pair.UnitBackup{ID: "x", At: night}
			})
		}
	}
	o := saving(t)
	o.script(looksAtBackups, took(o, t))
	got := o.run(t, "backup", "edge-weu", "--unit", "second")
	if got.code != exitDone || strings.Contains(got.out, "first") {
		t.Errorf("%+v", got)
	}
	has(t, "the end", got.out, "second (lm2): taken at ")
	has(t, "meanwhile", got.err, "waits until the pair is calm")

	o.script(looksAtBackups, func() {
		o.remember(t, func(rec *pair.Record) { rec.BackUp = nil })
		o.journal(t, pair.ID("edge-weu", 9, 302), pair.EntryClosed, pair.Intent{Kind: pair.IntentBackup, Unit: pair.Second, State: pair.IntentAbandoned, LastErr: "the user lacks the permission"})
	})
	if got = o.run(t, "backup", "edge-weu"); got.code != exitFailed || !strings.Contains(got.err, "backup second was given up: the user lacks the permission") {
		t.Errorf("%+v", got)
	}
	if got = o.run(t, "backup", "edge-weu", "--no-wait"); got.code != exitDone || !strings.Contains(got.out, "will be taken as soon as the pair is calm, as ann asked") || o.record(t).BackUp == nil {
		t.Errorf("%+v", got)
	}
}

func TestARestoreIsShownAndAskedFor(t *testing.T) {
	args := []string{"restore", "edge-weu", "--unit", "second", "--backup", nightly.ID}
	tests := []struct {
		name  string
		args  []string
		in    string
		asks  bool
		code  int
		says  string
		asked bool
	}{
		{"a dry run changes nothing", []string{"--dry-run"}, "", false, exitDone, "would be restored (dry run", false},
		{"a person says no", nil, "no\n", true, exitFailed, "nobody agreed", false},
		{"elsewhere nobody can be asked", nil, "yes\n", false, exitFailed, "give --yes", false},
		{"nor in JSON", []string{"-o", "json"}, "yes\n", true, exitFailed, "give --yes", false},
		{"a person says yes", []string{"--no-wait"}, "yes\n", true, exitDone, "will be restored as soon as the pair is calm", true},
		{"or said so before", []string{"--no-wait", "--yes", "--types", "services"}, "", false, exitDone, "services of backup", true},
		{"what is in the way is told", []string{"--yes", "--types", "base"}, "", false, exitFound, "leave it out, or --force", false},
		{"force needs its role", []string{"--yes", "--force"}, "", false, exitFailed, "force role needs Entra ID", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := saving(t)
			o.in, o.asks = tt.in, tt.asks
			got := o.run(t, append(args, tt.args...)...)
			if asked := o.record(t).Restore != nil; got.code != tt.code || asked != tt.asked || !strings.Contains(got.out+got.err, tt.says) {
				t.Errorf("asked %t: %+v; want exit code %d, %t and %q", asked, got, tt.code, tt.asked, tt.says)
			}
		})
	}
	for _, wrong := range [][]string{{"--unit", "third"}, {"--unit", ""}, {"--backup", "../x"}} {
		o := saving(t)
		if got := o.run(t, append(args, wrong...)...); got.code != exitBadInput {
			t.Errorf("%v: %+v", wrong, got)
		}
	}
}

func TestARestoreIsWaitedFor(t *testing.T) {
	args := []string{"restore", "edge-weu", "--unit", "second", "--backup", nightly.ID, "--yes", "--reason", "rebuilt"}
	o := saving(t)
	o.script(looksAtBackups, func() {}, func() {
		o.remember(t, func(rec *pair.Record) {
			w := rec.Restore
			rec.Restore, rec.Units[1].Restored = nil, &pair.Restored{Backup: w.Backup.ID, Parts: w.Parts, By: w.By, Key: w.Key, At: night}
		})
	})
	got := o.run(t, args...)
	if got.code != exitDone {
		t.Errorf("%+v", got)
	}
	has(t, "the end", got.out, "services,geo,sso of backup "+nightly.ID+" restored on second at ", "compare, and reboot it")
	o.deliver(t)
	has(t, "the history", o.run(t, "history", "edge-weu").out, "restore", "ann asked for second, services,geo,sso of "+nightly.ID+": rebuilt")

	o.script(looksAtBackups, func() {
		o.remember(t, func(rec *pair.Record) { rec.Restore = nil })
		o.journal(t, pair.ID("edge-weu", 9, 302), pair.EntryClosed, pair.Intent{
			Kind: pair.IntentRestore, Unit: pair.Second, Backup: nightly.ID, Parts: 14, State: pair.IntentAbandoned, LastErr: `second runs firmware "7.2.60"`,
		})
	})
	if got = o.run(t, args...); got.code != exitFailed || !strings.Contains(got.err, `was not restored on second: restore services,geo,sso of `+nightly.ID+` on second was given up: second runs firmware "7.2.60"`) {
		t.Errorf("%+v", got)
	}
	o = saving(t)
	o.script(looksAtBackups, func() { o.remember(t, func(rec *pair.Record) { rec.Restore = nil }) })
	if got = o.run(t, args...); got.code != exitFailed || !strings.Contains(got.err, "it waited too long") {
		t.Errorf("%+v", got)
	}
}
