package control

import (
	"time"

	"tandem/internal/pair"
)

// Executed reports whether intents of a kind are carried out.
func Executed(kind pair.IntentKind) bool {
	e, known := executorOf(kind)
	return known && e.run != nil && e.guard != nil
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

// Vigil is the process's watch over itself.
type Vigil struct{ v *vigil }

// NewVigil returns one that has seen nothing.
func NewVigil() Vigil { return Vigil{&vigil{looks: map[string]glance{}}} }

// Looked notes a look at a pair.
func (v Vigil) Looked(name string, dark bool, uptime time.Duration) { v.v.looked(name, dark, uptime) }

// Blind is why nothing may be done at the uptime.
func (v Vigil) Blind(uptime time.Duration) pair.BlindCause { return v.v.blind(uptime) }
