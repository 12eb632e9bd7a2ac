package loadmaster

import (
	"testing"
	"time"

	"tandem/internal/pair"
)

func TestHAStateWords(t *testing.T) {
	tests := map[string]pair.HAState{
		"Active": pair.Active, "STANDBY": pair.Standby, "Passive": pair.Unconnected, "unchecked": pair.Unconnected,
		"HA not configured": pair.NotConfigured, "": pair.StateUnknown, "Resting": pair.StateUnknown,
	}
	for word, want := range tests {
		if got := haState(word); got != want {
			t.Errorf("%q: got %v, want %v", word, got, want)
		}
	}
}

func TestRoleWords(t *testing.T) {
	tests := map[string]pair.Role{
		"first": pair.First, "Master": pair.First, "second": pair.Second, "SLAVE": pair.Second,
		"single": pair.RoleUnknown, "none": pair.RoleUnknown, "": pair.RoleUnknown, "third": pair.RoleUnknown,
	}
	for word, want := range tests {
		if got := role(word); got != want {
			t.Errorf("%q: got %v, want %v", word, got, want)
		}
	}
}

func TestTimes(t *testing.T) {
	moment := time.Date(2021, 11, 25, 14, 8, 29, 0, time.UTC)
	tests := []struct {
		name string
		text string
		want time.Time
	}{
		{"Unix seconds", "1637849309", moment},
		{"a date as licences have it", "Thu Nov 25 14:08:29 UTC 2021", moment},
		{"a date with an offset", "2021-11-25T15:08:29+01:00", moment},
		{"the first moment of a virtual clock", "946684800", time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)},
		{"an uptime is not a time", "86400", time.Time{}},
		{"zero is unknown", "0", time.Time{}},
		{"a date that no store can hold is unknown", "999999999999999", time.Time{}},
		{"a zone that is not UTC is unknown", "Thu Nov 25 14:08:29 CET 2021", time.Time{}},
		{"nothing is unknown", "", time.Time{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := timeOf(tt.text); !got.Equal(tt.want) {
				t.Errorf("%q: got %v, want %v", tt.text, got, tt.want)
			}
		})
	}
}
