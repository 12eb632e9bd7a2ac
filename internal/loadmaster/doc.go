// Package loadmaster is the client of the appliance's own API. It asks a unit
// what it is and does, sets its HA mode and parameters, reboots it, backs it up
// and restores it, and answers in the words of internal/pair.
//
// The JSON API (v2) is spoken first and the XML API (v1) where v2 is not to be
// had; all that differs between them and between firmware releases ends here.
// A unit is never asked faster than it bears, whatever the number of callers
// (loadmaster.md 0.1 item 4), nor again and again with credentials that it
// refused. The check port is left to internal/probe, deciding to internal/pair,
// and the way to the secrets to the caller.
package loadmaster
