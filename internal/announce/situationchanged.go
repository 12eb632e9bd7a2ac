package announce

import (
	"time"

	"tandem/internal/pair"
)

// SituationChanged says that a pair is now believed to be in another situation
// than before. It follows the belief, not every single observation.
type SituationChanged struct {
	Pair     string         `json:"pair" jsonschema_description:"Name of the pair."`
	From     pair.Situation `json:"from" jsonschema_description:"Situation that was believed until now."`
	To       pair.Situation `json:"to" jsonschema_description:"Situation that is believed now."`
	Since    time.Time      `json:"since" jsonschema_description:"When the new situation was first believed, UTC."`
	Decision string         `json:"decision" jsonschema_description:"Id of the decision; tandem explain shows it."`
	Reason   string         `json:"reason" jsonschema_description:"Why, for people. The wording may change in any release."`
	Epoch    uint64         `json:"epoch" jsonschema_description:"Epoch of the decision. It only rises, so of two events of one pair the one with the higher epoch is newer."`
}

// EventType returns TypeSituationChanged.
func (SituationChanged) EventType() string { return TypeSituationChanged }

func (e SituationChanged) stamped() Data {
	e.Since = stamp(e.Since)
	return e
}
