// Package probe asks a unit's health check port whether the unit is active,
// as the Azure load balancer does: plain HTTP, GET /, and only the status
// counts (loadmaster.md 2.3). With the checks of the pair file it asks a
// unit's published ports whether the unit forwards.
//
// It tells what it saw and judges nothing; what a silence or an odd status
// means is left to internal/pair. The unit's API is internal/loadmaster's.
package probe
