package control

import "tandem/internal/pair"

// ExecutorKinds returns the kinds of intents that have an executor.
func ExecutorKinds() []pair.IntentKind {
	var kinds []pair.IntentKind
	for k := range executors {
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
)
