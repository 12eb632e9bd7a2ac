package pair

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

// calm is a healthy pair in mode observe that wants backups and is looked at with
// time for one.
func calm(change ...func(*Input)) Input {
	in := proven()
	in.Observation = observed(at(CheckServing, Active), at(CheckIdle, Standby))
	in.Definition.Mode = Observe
	in.Definition.Backup = BackupPolicy{Every: Duration(24 * time.Hour)}
	in.Record.Situation, in.Record.Since = Healthy, noon.Add(-time.Hour)
	in.Spare = true
	for _, c := range change {
		c(&in)
	}
	return in
}

func taken(r Role, ago time.Duration) func(*Input) {
	return func(in *Input) {
		in.Record.Units[r.Index()].Backup = &UnitBackup{ID: BackupID(r, noon.Add(-ago)), At: noon.Add(-ago)}
	}
}

func failed(r Role, times int, ago time.Duration) func(*Input) {
	return func(in *Input) {
		in.Record.Units[r.Index()].Backup = &UnitBackup{Failures: times, TriedAt: noon.Add(-ago), Why: "refused"}
	}
}

func TestABackupIsTakenWhenItIsDueAndThePairIsCalm(t *testing.T) {
	fresh := func(in *Input) { taken(First, time.Hour)(in); taken(Second, time.Hour)(in) }
	tests := []struct {
		name   string
		change []func(*Input)
		want   string // what is taken, and for whom
	}{
		{"the first unit comes first", nil, "backup first for tandem"},
		{"and the second when the first has one", []func(*Input){taken(First, time.Hour)}, "backup second for tandem"},
		{"none is taken before its time", []func(*Input){fresh}, ""},
		{"one is taken when its time has come", []func(*Input){fresh, taken(Second, 24*time.Hour)}, "backup second for tandem"},
		{"one of a clock that was ahead does not count", []func(*Input){fresh, taken(First, -48*time.Hour)}, "backup first for tandem"},
		{"none is taken where the pair file wants none", []func(*Input){func(in *Input) { in.Definition.Backup.Every = 0 }}, ""},
		{"a process without time takes none", []func(*Input){func(in *Input) { in.Spare = false }}, ""},
		{"a failed one waits five minutes", []func(*Input){fresh, failed(First, 1, 4*time.Minute)}, ""},
		{"and is tried again then", []func(*Input){fresh, failed(First, 1, 5*time.Minute)}, "backup first for tandem"},
		{"the third waits longer", []func(*Input){fresh, failed(First, 3, 19*time.Minute)}, ""},
		{"many failures wait six hours at most", []func(*Input){fresh, failed(First, 99, 6*time.Hour)}, "backup first for tandem"},
		{"a unit that does not tell how it is has none taken", []func(*Input){taken(Second, time.Hour), func(in *Input) { in.Observation.Units[0].API = APISeen{} }}, ""},
		{"nor one that is not set up", []func(*Input){taken(Second, time.Hour), func(in *Input) { in.Observation.Units[0].API.Report.State = NotConfigured }}, ""},
		{"while a unit may be booting none is taken of either", []func(*Input){func(in *Input) { in.Record.Units[1].StartedAt = noon.Add(-time.Minute) }}, ""},
		{"in a pause none is taken", []func(*Input){func(in *Input) { in.Record.Pause = &Pause{Owner: "ann"} }}, ""},
		{"in a stop of everything none is taken", []func(*Input){func(in *Input) { in.Stop = &Pause{Owner: "ann"} }}, ""},
		{"where we do not trust ourselves none is taken", []func(*Input){func(in *Input) { in.Blind = BlindClock }}, ""},
		{"beside a job none is taken", []func(*Input){func(in *Input) { in.Record.Job = &Job{ID: "j", Kind: "switchover", State: JobRests} }}, ""},
		{"beside something that is being done none is taken", []func(*Input){func(in *Input) { in.Open = []Intent{{Kind: IntentStart, Unit: Second}} }}, ""},
		{"a person gets both units at once", []func(*Input){fresh, func(in *Input) { in.Record.BackUp = &BackupWish{Request: Request{By: "ann", At: noon}} }}, "backup first for ann, backup second for ann"},
		{"or the one that was named", []func(*Input){fresh, func(in *Input) { in.Record.BackUp = &BackupWish{Request: Request{By: "ann", At: noon}, Unit: Second} }}, "backup second for ann"},
		{"also where nothing is scheduled", []func(*Input){func(in *Input) {
			in.Definition.Backup.Every = 0
			in.Record.BackUp = &BackupWish{Request: Request{By: "ann", At: noon}, Unit: First}
		}}, "backup first for ann"},
		{"but not what was wanted a while ago", []func(*Input){fresh, func(in *Input) {
			in.Record.BackUp = &BackupWish{Request: Request{By: "ann", At: noon.Add(-11 * time.Minute)}}
		}}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := calm(tt.change...)
			d := Decide(&in)
			var got []string
			for _, i := range d.Intents {
				if id := BackupID(i.Unit, in.Observation.At); i.Backup != id {
					t.Errorf("kept as %q, want %q", i.Backup, id)
				}
				got = append(got, i.String()+" for "+i.By)
			}
			if strings.Join(got, ", ") != tt.want {
				t.Errorf("row %s: got %q, want %q", d.Row, strings.Join(got, ", "), tt.want)
			}
			if w := d.Record.BackUp; w != nil && tt.want != "" {
				t.Errorf("the wish still stands: %+v", w)
			}
		})
	}
}

func TestAnExpiredWishIsForgotten(t *testing.T) {
	in := calm(taken(First, time.Hour), taken(Second, time.Hour), func(in *Input) {
		in.Record.BackUp = &BackupWish{Request: Request{By: "ann", At: noon.Add(-11 * time.Minute)}}
		in.Record.Restore = &RestoreWish{Request: Request{By: "ann", At: noon.Add(-11 * time.Minute)}, Unit: Second}
	})
	if d := Decide(&in); d.Record.BackUp != nil || d.Record.Restore != nil || !d.Changed || len(d.Intents) > 0 {
		t.Errorf("%+v, %+v, %v", d.Record.BackUp, d.Record.Restore, d.Intents)
	}
}

// A restore takes a backup of the unit as it is, and waits for it.
func TestARestoreHasAWayBack(t *testing.T) {
	wish := RestoreWish{Request: Request{By: "ann", At: noon}, Unit: Second, Backup: Backup{ID: BackupID(Second, noon.Add(-time.Hour))}, Parts: PartsShared}
	in := calm(taken(First, time.Hour), taken(Second, time.Hour), func(in *Input) { in.Record.Restore = &wish })
	d := Decide(&in)
	if len(d.Intents) != 1 || d.Intents[0].Kind != IntentBackup || d.Record.Restore.Fresh != d.Intents[0].Backup || d.Next == 0 {
		t.Fatalf("%v, %+v, next %v", d.Intents, d.Record.Restore, d.Next)
	}
	if wish.Fresh != "" {
		t.Error("the input was changed")
	}
	in.Record = d.Record
	in.Open = d.Intents
	if d = Decide(&in); len(d.Intents) != 0 || d.Record.Restore == nil {
		t.Errorf("while it is taken: %v, %+v", d.Intents, d.Record.Restore)
	}
	in.Open = nil
	in.Record.Units[1].Backup = &UnitBackup{ID: in.Record.Restore.Fresh, At: noon}
	d = Decide(&in)
	if len(d.Intents) != 1 || d.Intents[0].String() != "restore services,geo,sso of "+wish.Backup.ID+" on second" || d.Intents[0].By != "ann" {
		t.Errorf("when it is kept: %v", d.Intents)
	}
	in.Record.Units[1].Backup = &UnitBackup{ID: "another", At: noon}
	if d = Decide(&in); len(d.Intents) != 0 || d.Record.Restore != nil {
		t.Errorf("where it was not taken: %v, %+v", d.Intents, d.Record.Restore)
	}
}

func TestARestoreWaitsForJobsButNotForOneThatWaitsForIt(t *testing.T) {
	for name, tt := range map[string]struct {
		lasts bool
		unit  Role
		wants int
	}{
		"a job that lasts, about that unit":     {true, Second, 1},
		"a job that lasts, about the other one": {true, First, 0},
		"any other job":                         {false, Second, 0},
	} {
		t.Run(name, func(t *testing.T) {
			j := Job{V: Version, MinReader: MinReader, ID: "edge-000000000001-001", Kind: "replace", State: JobRuns, Unit: tt.unit, By: "ann"}
			in := calm(taken(First, time.Hour), taken(Second, time.Hour), func(in *Input) {
				in.Record.Job = &j
				in.Proposal = &Proposal{Job: j, Lasts: tt.lasts}
				in.Record.Restore = &RestoreWish{Request: Request{By: "ann", At: noon}, Unit: Second, Parts: PartsShared}
			})
			if d := Decide(&in); len(d.Intents) != tt.wants || d.Record.Restore == nil {
				t.Errorf("row %s: %v, %+v", d.Row, d.Intents, d.Record.Restore)
			}
		})
	}
}

func TestFailingBackupsAreToldAfterTheThird(t *testing.T) {
	for failures, want := range map[int]string{2: "healthy", 3: "backup-fails"} {
		in := calm(taken(First, time.Hour), failed(Second, failures, time.Minute))
		d := Decide(&in)
		if d.Row != want || want != "healthy" && !strings.Contains(Why(&in, &d), "the backup of second failed 3 times: refused") {
			t.Errorf("after %d: %s, %s", failures, d.Row, Why(&in, &d))
		}
	}
}

func TestAFailureIsCountedWithItsReason(t *testing.T) {
	var b *UnitBackup
	b = b.Failed(noon, errors.New("refused"))
	was := *b
	b = b.Failed(noon.Add(time.Hour), errors.New(strings.Repeat("ü", 200)))
	if was.Failures != 1 || was.Why != "refused" || b.Failures != 2 || !b.TriedAt.Equal(noon.Add(time.Hour)) || len(b.Why) > whyMost+len("…") {
		t.Errorf("%+v, then %+v", was, b)
	}
}

func TestTheNameOfABackupSaysItsUnitAndTime(t *testing.T) {
	at := noon.Add(123 * time.Millisecond)
	for _, r := range Roles {
		if got, when, err := ParseBackupID(BackupID(r, at)); err != nil || got != r || !when.Equal(at) {
			t.Errorf("%s: %v, %v, %v", BackupID(r, at), got, when, err)
		}
	}
	if BackupID(First, at) >= BackupID(First, at.Add(time.Millisecond)) {
		t.Error("the order of names is not that of times")
	}
	for _, id := range []string{"", "first", "third-20261122T120000.000Z", "first-20261122T120000Z", "../first-20261122T120000.000Z", "first-20261122T120000.000Z/x", "first-20261199T120000.000Z"} {
		if _, _, err := ParseBackupID(id); !errors.Is(err, ErrInvalid) {
			t.Errorf("%q: %v", id, err)
		}
	}
}

func TestPartsAreAddedUp(t *testing.T) {
	for words, want := range map[string]int{"": PartsShared, "services": 2, "base,sso": 9, "base,services,geo,sso": 15} {
		list := slices.DeleteFunc(strings.Split(words, ","), func(s string) bool { return s == "" })
		got, err := ParseParts(list)
		if err != nil || got != want || words != "" && PartsText(got) != words {
			t.Errorf("%q: %d %q, %v", words, got, PartsText(got), err)
		}
	}
	if _, err := ParseParts([]string{"everything"}); !errors.Is(err, ErrInvalid) {
		t.Errorf("%v", err)
	}
}
