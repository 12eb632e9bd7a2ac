package host

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"time"
)

// spanPattern is the part of .NET's TimeSpan text that host.json and timer
// schedules use: [d.]hh:mm:ss[.fffffff], hh:mm, or a bare number of days.
var spanPattern = regexp.MustCompile(`^(-)?(?:(?:(\d+)\.)?(\d{1,2}):(\d{1,2})(?::(\d{1,2})(?:\.(\d{1,7}))?)?|(\d+))$`)

// parseSpan reads a .NET TimeSpan. A bare number means days, as it does in
// .NET. Hours above 23 and minutes or seconds above 59 are refused: .NET
// reads "24:00:00" as 24 days, which nobody ever meant.
func parseSpan(text string) (time.Duration, error) {
	part := spanPattern.FindStringSubmatch(text)
	if part == nil {
		return 0, fmt.Errorf("read time span %q: expected [d.]hh:mm:ss", text)
	}
	days := number(part[2]) + number(part[7])
	hours, minutes, seconds := number(part[3]), number(part[4]), number(part[5])
	if days > 10_000_000 || hours > 23 || minutes > 59 || seconds > 59 {
		return 0, fmt.Errorf("read time span %q: a part is out of range", text)
	}
	whole := time.Duration(seconds) * time.Second
	whole += time.Duration(minutes)*time.Minute + time.Duration(hours)*time.Hour
	if days > int(math.MaxInt64/(24*time.Hour))-1 {
		return 0, fmt.Errorf("read time span %q: too long", text)
	}
	whole += time.Duration(days) * 24 * time.Hour
	if fraction := part[6]; fraction != "" {
		ticks := number((fraction + "0000000")[:7])
		whole += time.Duration(ticks) * 100 * time.Nanosecond
	}
	if part[1] == "-" {
		whole = -whole
	}
	return whole, nil
}

// number reads digits already matched by a pattern; no digits are 0 and too
// many are a number that no range check accepts.
func number(digits string) int {
	if digits == "" {
		return 0
	}
	n, err := strconv.Atoi(digits)
	if err != nil {
		return math.MaxInt32
	}
	return n
}
