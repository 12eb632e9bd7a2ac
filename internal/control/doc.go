// Package control makes one pass over one pair, and is the only executor of
// intents.
//
// A pass reads what is stored, observes both units and sometimes the load
// balancer, lets internal/pair decide, stores the decision with a new epoch,
// and only then acts, one effect at a time, each persisted before and after.
// What is decided stands in internal/pair; how to talk to the outside stands
// in the adapters. Invariants kept here: no effect without a stored intent of
// the standing epoch and a lease that was looked at just before, but for taking
// back what is ours where the store cannot be used; a write is believed only
// when it was seen; a quiet pass writes nothing.
package control
