package host

import (
	"testing"
	"time"
)

func TestSchedules(t *testing.T) {
	tests := []struct {
		name, schedule, from, want string // want empty: refused
	}{
		{"every five minutes", "0 */5 * * * *", "2026-09-23T10:00:00Z", "2026-09-23T10:05:00Z"},
		{"an occurrence isn't its own successor", "0 */5 * * * *", "2026-09-23T10:04:59.5Z", "2026-09-23T10:05:00Z"},
		{"five fields start at second 0", "*/5 * * * *", "2026-09-23T10:00:01Z", "2026-09-23T10:05:00Z"},
		{"every fifteen seconds", "*/15 * * * * *", "2026-09-23T10:00:59Z", "2026-09-23T10:01:00Z"},
		{"a list", "0 0 8,20 * * *", "2026-09-23T08:00:00Z", "2026-09-23T20:00:00Z"},
		{"a range", "0 0 9-17 * * *", "2026-09-23T17:00:00Z", "2026-09-24T09:00:00Z"},
		{"a range with a step", "0 0 8-18/5 * * *", "2026-09-23T13:00:00Z", "2026-09-23T18:00:00Z"},
		{"a start with a step", "0 50/4 * * * *", "2026-09-23T10:54:00Z", "2026-09-23T10:58:00Z"},
		{"weekday names", "0 30 9 * * mon-FRI", "2026-09-25T10:00:00Z", "2026-09-28T09:30:00Z"},
		{"month names", "0 0 0 1 jan *", "2026-09-25T10:00:00Z", "2027-01-01T00:00:00Z"},
		{"day and weekday must both match", "0 0 0 13 * 5", "2026-09-25T10:00:00Z", "2026-11-13T00:00:00Z"},
		{"a leap day", "0 0 0 29 2 *", "2026-09-25T10:00:00Z", "2028-02-29T00:00:00Z"},
		{"the end of a year", "59 59 23 31 12 *", "2026-12-31T23:59:59Z", "2027-12-31T23:59:59Z"},
		{"an interval", "00:05:00", "2026-09-23T10:00:01Z", "2026-09-23T10:05:01Z"},
		{"an interval with days and a fraction", "1.00:00:00.5000000", "2026-09-23T10:00:00Z", "2026-09-24T10:00:00.5Z"},
		{"a bare number is days", "2", "2026-09-23T10:00:00Z", "2026-09-25T10:00:00Z"},
		{"a day that never comes is refused", "0 0 0 31 2 *", "", ""},
		{"an hour out of range is refused", "0 0 24 * * *", "", ""},
		{"a backward range is refused", "0 0 9-8 * * *", "", ""},
		{"a step of zero is refused", "*/0 * * * * *", "", ""},
		{"four fields are refused", "* * * *", "", ""},
		{"24 hours are refused because .NET reads 24 days", "24:00:00", "", ""},
		{"no interval is refused", "00:00:00", "", ""},
		{"a backward interval is refused", "-00:00:10", "", ""},
		{"nothing is refused", "", "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, err := parseSchedule(tt.schedule)
			if tt.want == "" {
				if err == nil {
					t.Errorf("%q was accepted", tt.schedule)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := s.next(moment(t, tt.from)); !got.Equal(moment(t, tt.want)) {
				t.Errorf("%q after %s = %v, want %s", tt.schedule, tt.from, got, tt.want)
			}
		})
	}
}

func FuzzParseSchedule(f *testing.F) {
	for _, text := range []string{"0 */5 * * * *", "1-5/2,7 * 3 * JAN-mar 0", "00:05:00", "1.02:03:04.5", "*/9223372036854775807 * * * * *", "%"} {
		f.Add(text)
	}
	from := time.Date(2026, 9, 23, 10, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, text string) {
		s, err := parseSchedule(text)
		if err != nil {
			return
		}
		if next := s.next(from); !next.After(from) {
			t.Errorf("%q after %v = %v", text, from, next)
		}
	})
}
