// Package pair holds the nouns of Tandem and the decision itself: what a pair
// is, what was seen of it, what is remembered, and what should be done about
// it.
//
// It is pure and imports only the standard library: no clock, no call, no
// logger. Equal arguments give equal results, so any decision can be computed
// again from the journal (DESIGN promise 10). Doing what was decided is left
// to internal/control, talking to the outside is left to the adapters.
package pair
