package announce

import (
	"time"

	"tandem/internal/pair"
)

// AlarmChanged says that somebody should know something of a pair, something
// else than before, or nothing any more.
type AlarmChanged struct {
	Pair     string     `json:"pair" jsonschema_description:"Name of the pair."`
	Alarm    string     `json:"alarm,omitempty" jsonschema_description:"Row of the decision table that raises it (docs/decisions.md); absent when all is well again."`
	Level    pair.Alarm `json:"level" jsonschema_description:"none when all is well again; warning wants somebody this week, urgent wants somebody now."`
	Since    time.Time  `json:"since" jsonschema_description:"When it was raised or ended, UTC."`
	Decision string     `json:"decision" jsonschema_description:"Id of the decision; tandem explain shows it."`
	Reason   string     `json:"reason" jsonschema_description:"Why, for people. The wording may change in any release."`
	Person   string     `json:"person,omitempty" jsonschema_description:"What a person can do. The wording may change in any release."`
	Epoch    uint64     `json:"epoch" jsonschema_description:"Epoch of the decision. It only rises, so of two events of one pair the one with the higher epoch is newer."`
}

// EventType returns TypeAlarmChanged.
func (AlarmChanged) EventType() string { return TypeAlarmChanged }

func (e AlarmChanged) stamped() Data {
	e.Since = stamp(e.Since)
	return e
}
