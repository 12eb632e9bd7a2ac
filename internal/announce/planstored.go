package announce

import "tandem/internal/pair"

// PlanStored says that a recommendation waits for a person's approval.
type PlanStored struct {
	Pair     string   `json:"pair" jsonschema_description:"Name of the pair."`
	Hash     string   `json:"hash" jsonschema_description:"Names exactly these actions on exactly this evidence; an approval names it."`
	Decision string   `json:"decision" jsonschema_description:"Id of the decision; tandem explain shows it."`
	Reason   string   `json:"reason" jsonschema_description:"Why, for people. The wording may change in any release."`
	Intents  []Action `json:"intents" jsonschema_description:"What would be done, in this order."`
}

// PlanOf describes a stored plan of the named pair.
func PlanOf(name string, p pair.Plan) PlanStored {
	e := PlanStored{Pair: name, Hash: p.Hash, Decision: p.Decision, Reason: p.Reason, Intents: make([]Action, 0, len(p.Intents))}
	for _, i := range p.Intents {
		e.Intents = append(e.Intents, ActionOf(i))
	}
	return e
}

// EventType returns TypePlanStored.
func (PlanStored) EventType() string { return TypePlanStored }

func (e PlanStored) stamped() Data {
	if e.Intents == nil {
		e.Intents = []Action{} // an empty list, never null: the schema says array
	}
	return e
}
