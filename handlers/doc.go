// Package handlers answers the Azure Functions host: the host's payload in, one
// call of the program, the host's answer out.
//
// It decodes, checks, sets the deadline and maps kinds of errors to what the
// host is told; everything else is the program's. Listening is left to
// internal/app. The host's protocol is described in functions-host.md; what is
// kept here of it: every answer is a JSON object with its length (an empty one
// hangs the host), GET / answers at once, and nothing of an invocation's
// metadata is believed.
package handlers
