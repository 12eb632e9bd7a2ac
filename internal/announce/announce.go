// Package announce holds the events that Tandem publishes for others: their
// types and the data of each. Together with the schemas in docs/events it is a
// promise to whoever subscribes.
//
// It only makes posts. The pair's outbox keeps them until they are sent, and
// internal/azure/events sends them.
package announce

import (
	"encoding/json"
	"fmt"
	"time"

	"tandem/internal/pair"
)

// The types of the events. A type's data only ever gains fields; what would
// change the meaning of a field gets a new type.
const (
	TypeSituationChanged = "tandem.pair.situation-changed"
	TypeActionDone       = "tandem.pair.action-done"
	TypeActionAbandoned  = "tandem.pair.action-abandoned"
	TypePlanStored       = "tandem.pair.plan-stored"
	TypeAlarmChanged     = "tandem.pair.alarm-changed"
)

// Data is the data of one event: a SituationChanged, an ActionDone, an
// ActionAbandoned, a PlanStored or an AlarmChanged.
type Data interface {
	// EventType returns the type under which the data is published.
	EventType() string
	// stamped returns the data with its times in the stored form. It is not
	// exported, so that the types of this package are the only ones.
	stamped() Data
}

// Post puts data into the form in which the outbox keeps it until it is
// published. The id is the event's identity for its receivers: a repeated pass
// must give the same one (pair.ID). The only error is a time that JSON cannot
// hold, a year beyond 9999.
func Post(id string, at time.Time, data Data) (pair.Post, error) {
	body, err := json.Marshal(data.stamped())
	if err != nil {
		return pair.Post{}, fmt.Errorf("write event %s of %s: %w", id, data.EventType(), err)
	}
	return pair.Post{
		V: pair.Version, MinReader: pair.MinReader,
		ID: id, Kind: pair.PostEvent, At: stamp(at),
		Type: data.EventType(), Body: body,
	}, nil
}

// stamp puts a time into the stored form, UTC milliseconds (DESIGN section 6).
func stamp(t time.Time) time.Time { return t.UTC().Truncate(time.Millisecond) }
