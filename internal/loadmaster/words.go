package loadmaster

import (
	"strconv"
	"strings"
	"time"

	"tandem/internal/pair"
)

// haState translates hastatus (loadmaster.md 2.2). Passive is a unit that
// nobody has polled yet, in the guide's word an unconnected one.
func haState(word string) pair.HAState {
	switch strings.ToLower(word) {
	case "active":
		return pair.Active
	case "standby":
		return pair.Standby
	case "passive", "unconnected", "unchecked":
		return pair.Unconnected
	case "ha not configured", "not configured":
		return pair.NotConfigured
	default:
		return pair.StateUnknown
	}
}

// role translates HaMode in both vocabularies (loadmaster.md 2.1). Single,
// none, nothing and what is not known are all RoleUnknown.
func role(word string) pair.Role {
	switch strings.ToLower(word) {
	case "first", "master":
		return pair.First
	case "second", "slave":
		return pair.Second
	default:
		return pair.RoleUnknown
	}
}

// preference translates HaPrefered. The 2 of classic HA, prefer second, does
// not exist in cloud HA (loadmaster.md 2.1).
func preference(word string) pair.Preference {
	switch strings.ToLower(word) {
	case "1", "true", "yes", "y":
		return pair.PreferFirst
	case "0", "false", "no", "n":
		return pair.PreferNone
	default:
		return pair.PreferenceUnknown
	}
}

// yes translates HealthCheckAllInterfaces; unset means no (loadmaster.md 2.1).
func yes(word string) bool {
	switch strings.ToLower(word) {
	case "1", "true", "yes", "y":
		return true
	default:
		return false
	}
}

// no translates HealthCheckAllInterfaces, for those who must know it: unset
// and a missing one mean no as well.
func no(word string) bool {
	switch strings.ToLower(word) {
	case "0", "false", "no", "n", "unset", "":
		return true
	default:
		return false
	}
}

func portOf(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > 65535 {
		return 0
	}
	return n
}

const (
	// firstMoment tells Unix seconds from a count of seconds since the start,
	// whose form is not documented: it is in 1985, or an uptime of 15 years.
	firstMoment = 500_000_000
	// lastMoment is in the year 9999, the last one that JSON can hold.
	lastMoment = 253_370_764_800
)

// timeOf reads a time of the unit: Unix seconds or the date that licences are
// written with, both in UTC. Anything else is unknown; a guess would look like
// a restart of the unit.
func timeOf(text string) time.Time {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		if n < firstMoment || n > lastMoment {
			return time.Time{}
		}
		return time.Unix(n, 0).UTC()
	}
	for _, layout := range []string{"Mon Jan _2 15:04:05 UTC 2006", time.RFC3339} {
		if t, err := time.Parse(layout, text); err == nil && t.Year() > 1985 {
			return t.UTC()
		}
	}
	return time.Time{}
}
