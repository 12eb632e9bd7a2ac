package pair

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"
)

// compares is a healthy pair whose units say when their settings changed last.
func compares(change func(*Input)) *Input {
	in := proven()
	in.Compares = true
	in.Observation = Observation{At: noon, Units: [2]UnitSeen{at(CheckServing, Active), at(CheckIdle, Standby)}}
	for n := range in.Observation.Units {
		in.Observation.Units[n].API.Report.ChangedAt = noon.Add(-24 * time.Hour)
	}
	in.Record.Situation, in.Record.Since, in.Record.Sight, in.Record.LastActive = Healthy, noon.Add(-time.Hour), Healthy, First
	in.Record.Settings = &SettingsRecord{
		ComparedAt: noon.Add(-10 * time.Minute), Marks: [2]time.Time{noon.Add(-24 * time.Hour), noon.Add(-24 * time.Hour)}, AlikeAt: noon.Add(-time.Hour),
	}
	change(&in)
	return &in
}

func TestSettingsAreComparedWhen(t *testing.T) {
	changed := func(in *Input) { in.Observation.Units[1].API.Report.ChangedAt = noon.Add(-time.Minute) }
	tests := []struct {
		name   string
		change func(*Input)
		want   bool
	}{
		{"nothing changed", func(*Input) {}, false},
		{"they were never compared", func(in *Input) { in.Record.Settings = nil }, true},
		{"a unit says that its settings changed", changed, true},
		{"but not within sync.every of the last time", func(in *Input) { changed(in); in.Record.Settings.ComparedAt = noon.Add(-time.Minute) }, false},
		{"a unit that tells no time has not changed", func(in *Input) { in.Observation.Units[1].API.Report.ChangedAt = time.Time{} }, false},
		{"a day has gone by", func(in *Input) { in.Record.Settings.ComparedAt = noon.Add(-24 * time.Hour) }, true},
		{"what differs has had its time", func(in *Input) {
			in.Record.Settings.Found.ToSecond, in.Record.Settings.Settles = 1, noon
		}, true},
		{"but once", func(in *Input) {
			in.Record.Settings.Found.ToSecond, in.Record.Settings.Settles = 1, noon.Add(-11*time.Minute)
		}, false},
		{"what differs is looked at now and then", func(in *Input) {
			in.Record.Settings.Found.ToSecond, in.Record.Settings.ComparedAt = 1, noon.Add(-15*time.Minute)
		}, true},
		{"one failed five minutes ago", func(in *Input) {
			in.Record.Settings.Failures, in.Record.Settings.TriedAt = 1, noon.Add(-5*time.Minute)
		}, true},
		{"but not ten minutes after the second failure", func(in *Input) {
			in.Record.Settings.Failures, in.Record.Settings.TriedAt = 2, noon.Add(-9*time.Minute)
		}, false},
		{"the last one was made by a clock that was ahead", func(in *Input) { in.Record.Settings.ComparedAt = noon.Add(time.Hour) }, true},
		{"the process has no time for it", func(in *Input) { changed(in); in.Compares = false }, false},
		{"the pair has been well for a moment only", func(in *Input) { changed(in); in.Record.Since = noon.Add(-time.Minute) }, false},
		{"a unit may still be starting", func(in *Input) { changed(in); in.Record.Units[1].StartedAt = noon.Add(-4 * time.Minute) }, false},
		{"a unit's API is silent", func(in *Input) { changed(in); in.Observation.Units[1].API.Answer = APISilent }, false},
		{"a job runs", func(in *Input) { changed(in); in.Record.Job = &Job{Kind: "switchover", State: JobAsks} }, false},
		{"a person paused the pair", func(in *Input) { changed(in); in.Record.Pause = &Pause{Owner: "ann"} }, false},
		{"in mode auto too", func(in *Input) { changed(in); in.Definition.Mode = Auto }, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := Decide(compares(func(in *Input) { in.Definition.Mode = Observe; tt.change(in) }))
			got := len(d.Intents) == 1 && d.Intents[0].Kind == IntentCompare
			if got != tt.want || !got && len(d.Intents) > 0 {
				t.Errorf("row %s, intents %v, want a comparison: %t", d.Row, d.Intents, tt.want)
			}
		})
	}
}

func TestWhenSettingsAreApart(t *testing.T) {
	policy := definition().Sync
	tests := []struct {
		name string
		s    *SettingsRecord
		says string
	}{
		{"nothing is known of them", nil, ""},
		{"they are alike", &SettingsRecord{ComparedAt: noon}, ""},
		{"they differ since less than sync.maxDrift", &SettingsRecord{Found: SettingsFound{ToFirst: 1}, Since: noon.Add(-59 * time.Minute)}, ""},
		{"they differ for as long", &SettingsRecord{Found: SettingsFound{ToFirst: 1, Held: 2}, Since: noon.Add(-time.Hour)}, "1 to carry to first, 2 for which something"},
		{"they could not be compared for as long", &SettingsRecord{Failures: SettingsAlarm, Why: "no rights"}, "5 times: no rights"},
		{"what failed once or twice is no alarm", &SettingsRecord{Failures: 2, Why: "no rights"}, ""},
	}
	for _, tt := range tests {
		if got := tt.s.Apart(policy, noon); (got == "") != (tt.says == "") || !strings.Contains(got, tt.says) {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.says)
		}
	}
}

func TestASyncByItselfWants(t *testing.T) {
	settled := func(in *Input) {
		s := in.Record.Settings
		s.Found.ToFirst, s.Since, s.Settles = 1, noon.Add(-20*time.Minute), noon.Add(-16*time.Minute)
	}
	tests := []struct {
		name   string
		change func(*Input)
		row    string
	}{
		{"what differs had its time", settled, "sync"},
		{"mode auto, or a person's word", func(in *Input) { settled(in); in.Definition.Mode = Recommend }, "sync-planned"},
		{"what differs to have had its time", func(in *Input) { settled(in); in.Record.Settings.Settles = noon.Add(time.Minute) }, "healthy"},
		{"nothing that waits for a person", func(in *Input) { settled(in); in.Record.Settings.Found.Asked = 1 }, "healthy"},
		{"units that were alike once", func(in *Input) { settled(in); in.Record.Settings.AlikeAt = time.Time{} }, "healthy"},
		{"a comparison of what is there now", func(in *Input) {
			settled(in)
			in.Observation.Units[0].API.Report.ChangedAt, in.Compares = noon, false
		}, "healthy"},
		{"a person to have taken note of a job that failed", func(in *Input) { settled(in); in.Record.Job = &Job{Kind: "sync", State: JobFailed} }, "job-failed"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if d := Decide(compares(tt.change)); d.Row != tt.row {
				t.Errorf("row %s, want %s", d.Row, tt.row)
			}
		})
	}
}

func TestChoicesAreBounded(t *testing.T) {
	s := &SettingsRecord{}
	for n := range ChoicesMost + 1 {
		now, err := s.Choose(SettingsChoice{ID: string(rune('a' + n)), Unit: First})
		if n == ChoicesMost {
			if !errors.Is(err, ErrTooLarge) {
				t.Errorf("one more: %v", err)
			}
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		s = now
	}
	again, err := s.Choose(SettingsChoice{ID: "a", Unit: Second})
	if err != nil || again.Choice("a") != Second || s.Choice("a") != First || again.Choice("none") != RoleUnknown {
		t.Errorf("another word for the same: %v, %v", err, again.Choice("a"))
	}
}

func TestSettingsOfANewerReleaseSurvive(t *testing.T) {
	var s SettingsRecord
	if err := json.Unmarshal([]byte(`{"base":"base-1","found":{"toFirst":2},"later":{"a":1}}`), &s); err != nil {
		t.Fatal(err)
	}
	s.Failures = 1
	b, err := json.Marshal(s)
	if err != nil || !strings.Contains(string(b), `"later":{"a":1}`) || !strings.Contains(string(b), `"toFirst":2`) || !strings.Contains(string(b), `"failures":1`) {
		t.Errorf("%s, %v", b, err)
	}
}
