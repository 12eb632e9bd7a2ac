// Package api is the operator API: its routes, its client, and the forms of
// what travels between them. The host's API function serves the routes, the
// commands call the client, so what holds for one holds for the other.
//
// It reads and defines pairs, and keeps what a person says about them. What is
// done about it is internal/control's; reading pair files is
// internal/manifest's.
package api

// Version is the version of the forms. A field is only ever added.
const Version = 1
