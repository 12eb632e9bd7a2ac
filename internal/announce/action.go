package announce

import (
	"time"

	"tandem/internal/pair"
)

// Action is what an intent wants done, in the words of the published events.
type Action struct {
	Intent       string          `json:"intent" jsonschema_description:"Id of the intent. It stays the same when the action is tried again."`
	Kind         pair.IntentKind `json:"kind" jsonschema_description:"What is done."`
	LoadBalancer string          `json:"loadBalancer,omitempty" jsonschema_description:"Name of the load balancer; absent when the action touches none."`
	Pool         string          `json:"pool,omitempty" jsonschema_description:"Name of the backend pool; absent when the action touches none."`
	Unit         pair.Role       `json:"unit,omitempty" jsonschema_description:"Role of the unit that it is about."`
	AdminState   pair.AdminState `json:"adminState,omitempty" jsonschema_description:"Admin state that the unit's backend address gets; absent when the action sets none."`
	Epoch        uint64          `json:"epoch" jsonschema_description:"Epoch of the decision behind it. It only rises."`
	Reason       string          `json:"reason" jsonschema_description:"Why, for people. The wording may change in any release."`
}

// ActionOf describes an intent. Its token, its attempts and the text of its
// last error stay inside: they are ours, not the subscribers'.
func ActionOf(i pair.Intent) Action {
	return Action{
		Intent: i.ID, Kind: i.Kind,
		LoadBalancer: i.LoadBalancer, Pool: i.Pool, Unit: i.Unit, AdminState: i.Want,
		Epoch: i.Epoch, Reason: i.Reason,
	}
}

// ActionDone says that an action was done and its effect was seen.
type ActionDone struct {
	Pair string `json:"pair" jsonschema_description:"Name of the pair."`
	Action
	At time.Time `json:"at" jsonschema_description:"When the effect was seen, UTC."`
}

// EventType returns TypeActionDone.
func (ActionDone) EventType() string { return TypeActionDone }

func (e ActionDone) stamped() Data {
	e.At = stamp(e.At)
	return e
}

// ActionAbandoned says that an action was given up. Whether it had an effect
// is told by the events that follow, not by this one.
type ActionAbandoned struct {
	Pair string `json:"pair" jsonschema_description:"Name of the pair."`
	Action
	Why string    `json:"why" jsonschema_description:"Why it was given up, for people. The wording may change in any release."`
	At  time.Time `json:"at" jsonschema_description:"When it was given up, UTC."`
}

// EventType returns TypeActionAbandoned.
func (ActionAbandoned) EventType() string { return TypeActionAbandoned }

func (e ActionAbandoned) stamped() Data {
	e.At = stamp(e.At)
	return e
}
