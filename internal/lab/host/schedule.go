package host

import (
	"errors"
	"fmt"
	"math/bits"
	"strconv"
	"strings"
	"time"
)

// schedule tells when a timer fires next.
type schedule interface {
	// next returns the first occurrence after t; the zero time means never.
	next(t time.Time) time.Time
	// adjustsForDST is true for cron expressions and false for a constant
	// interval (functions-host.md 2.4).
	adjustsForDST() bool
}

// parseSchedule reads a timer's schedule: six or five cron fields, or a
// TimeSpan (functions-host.md 4.1). A schedule that never fires is an error.
func parseSchedule(text string) (schedule, error) {
	fields := strings.Fields(text)
	if len(fields) == 1 {
		interval, err := parseSpan(fields[0])
		if err != nil {
			return nil, fmt.Errorf("read schedule: %w", err)
		}
		if interval <= 0 {
			return nil, fmt.Errorf("read schedule %q: the interval must be above zero", text)
		}
		return constant(interval), nil
	}
	return parseCron(text, fields)
}

// constant fires at a fixed distance from the start of the run before.
type constant time.Duration

func (c constant) next(t time.Time) time.Time { return t.Add(time.Duration(c)) }
func (constant) adjustsForDST() bool          { return false }

// tooFrequentToMonitor says whether occurrences lie less than a minute apart;
// the host then keeps no schedule status (functions-host.md 2.4).
func tooFrequentToMonitor(s schedule, from time.Time) bool {
	at := s.next(from)
	for range 5 {
		following := s.next(at)
		if following.IsZero() {
			return false
		}
		if following.Sub(at) < time.Minute {
			return true
		}
		at = following
	}
	return false
}

// cron is a six-field expression; bit n of a field is set when n matches. A
// day must match both the day and the weekday field, as in NCrontab, which
// the host uses.
type cron struct {
	second, minute, hour, day, month, weekday uint64
}

type cronField struct {
	name      string
	low, high int
	words     string // names of low, low+1, …, three letters each
}

func cronFields() [6]cronField {
	return [6]cronField{
		{name: "second", high: 59},
		{name: "minute", high: 59},
		{name: "hour", high: 23},
		{name: "day", low: 1, high: 31},
		{name: "month", low: 1, high: 12, words: "janfebmaraprmayjunjulaugsepoctnovdec"},
		{name: "day-of-week", high: 6, words: "sunmontuewedthufrisat"},
	}
}

func parseCron(text string, fields []string) (schedule, error) {
	if len(fields) == 5 {
		fields = append([]string{"0"}, fields...)
	}
	if len(fields) != 6 {
		return nil, fmt.Errorf("read schedule %q: expected six fields or a time span", text)
	}
	var set [6]uint64
	for i, f := range cronFields() {
		mask, err := f.parse(fields[i])
		if err != nil {
			return nil, fmt.Errorf("read schedule %q: %w", text, err)
		}
		set[i] = mask
	}
	c := cron{set[0], set[1], set[2], set[3], set[4], set[5]}
	if c.next(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
		return nil, fmt.Errorf("read schedule %q: it never fires", text)
	}
	return c, nil
}

// parse reads one field: a list of *, a, a-b, each with an optional /step.
func (f cronField) parse(text string) (uint64, error) {
	var mask uint64
	for part := range strings.SplitSeq(text, ",") {
		low, high, step, err := f.span(part)
		if err != nil {
			return 0, fmt.Errorf("%s field %q: %w", f.name, text, err)
		}
		for n := low; n <= high; n += step {
			mask |= 1 << n
		}
	}
	return mask, nil
}

// span reads one list entry. A single value with a step runs to the end of
// the field's range.
func (f cronField) span(text string) (low, high, step int, err error) {
	body, stepText, stepped := strings.Cut(text, "/")
	step = 1
	if stepped {
		if step, err = strconv.Atoi(stepText); err != nil || step < 1 || step > 59 {
			return 0, 0, 0, errors.New("a step must be a number from 1 to 59")
		}
	}
	if body == "*" {
		return f.low, f.high, step, nil
	}
	first, last, ranged := strings.Cut(body, "-")
	if low, err = f.value(first); err != nil {
		return 0, 0, 0, err
	}
	switch {
	case ranged:
		if high, err = f.value(last); err != nil {
			return 0, 0, 0, err
		}
	case stepped:
		high = f.high
	default:
		high = low
	}
	if high < low {
		return 0, 0, 0, errors.New("a range must not run backwards")
	}
	return low, high, step, nil
}

func (f cronField) value(text string) (int, error) {
	if at := strings.Index(f.words, strings.ToLower(text)); len(text) == 3 && at >= 0 && at%3 == 0 {
		return f.low + at/3, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < f.low || n > f.high {
		return 0, fmt.Errorf("expected a number from %d to %d", f.low, f.high)
	}
	return n, nil
}

func (cron) adjustsForDST() bool { return true }

// next walks days, then looks for the first time of day. Forty years hold
// every pattern that ever fires: a weekday falls on 29 February once in 28
// years, or once in 40 across a century without a leap day.
func (c cron) next(t time.Time) time.Time {
	t = t.UTC().Truncate(time.Second).Add(time.Second)
	day := time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, time.UTC)
	earliest := t.Sub(day)
	for end := day.AddDate(40, 0, 0); day.Before(end); day = day.AddDate(0, 0, 1) {
		if has(c.month, int(day.Month())) && has(c.day, day.Day()) && has(c.weekday, int(day.Weekday())) {
			if at, ok := c.timeOfDay(earliest); ok {
				return day.Add(at)
			}
		}
		earliest = 0
	}
	return time.Time{}
}

// timeOfDay returns the first matching time of day that isn't before earliest.
func (c cron) timeOfDay(earliest time.Duration) (time.Duration, bool) {
	hour, minute, second := int(earliest.Hours()), int(earliest.Minutes())%60, int(earliest.Seconds())%60
	for h := atLeast(c.hour, hour); h >= 0; h = atLeast(c.hour, h+1) {
		if h > hour {
			minute, second = 0, 0
		}
		for m := atLeast(c.minute, minute); m >= 0; m = atLeast(c.minute, m+1) {
			if m > minute {
				second = 0
			}
			if s := atLeast(c.second, second); s >= 0 {
				return time.Duration(h)*time.Hour + time.Duration(m)*time.Minute + time.Duration(s)*time.Second, true
			}
		}
	}
	return 0, false
}

func has(mask uint64, n int) bool { return mask&(1<<n) != 0 }

// atLeast returns the lowest set bit that is n or above, or -1.
func atLeast(mask uint64, n int) int {
	rest := mask >> n << n
	if rest == 0 {
		return -1
	}
	return bits.TrailingZeros64(rest)
}
