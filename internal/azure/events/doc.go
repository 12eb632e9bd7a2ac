// Package events reads what Event Grid brings and publishes what Tandem has to
// say.
//
// Reading is tolerant and bounded: own structs with the few fields that are
// used, because the SDK's refuse published samples (azure.md 4.4), and nothing
// of an event is kept beyond what a decision needs, because events carry
// personal data (azure.md 4.3). What an event leads to is left to others.
package events
