package control

import "tandem/internal/pair"

// GuardKinds returns the kinds of intents that are carried out.
func GuardKinds() []pair.IntentKind {
	var kinds []pair.IntentKind
	for k := range guards {
		kinds = append(kinds, k)
	}
	return kinds
}

// AttemptsMax and PutBackMax are the limits that the tests reach.
const (
	AttemptsMax    = attemptsMax
	PutBackMax     = putBackMax
	WakeAtOnce     = wakeAtOnce
	BalancersEvery = balancersEvery
	TurnPatience   = turnPatience
	SweptAtOnce    = sweptAtOnce
)
