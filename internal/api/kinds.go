package api

import (
	"errors"
	"net/http"

	"tandem/internal/pair"
)

// kinds is the only table from error kinds to what a caller is told. Exit is
// the exit code of the command that met the error (DESIGN section 8).
var kinds = []struct {
	err    error
	name   string
	status int
	exit   int
}{
	{pair.ErrInvalid, "invalid", http.StatusBadRequest, 2},
	{pair.ErrTooLarge, "too-large", http.StatusRequestEntityTooLarge, 2},
	{pair.ErrNotFound, "not-found", http.StatusNotFound, 1},
	{pair.ErrExists, "exists", http.StatusConflict, 1},
	{pair.ErrConflict, "conflict", http.StatusConflict, 1},
	{pair.ErrLeaseLost, "busy", http.StatusConflict, 1},
	{pair.ErrStaleEpoch, "conflict", http.StatusConflict, 1},
	{pair.ErrBusy, "busy", http.StatusConflict, 1},
	{pair.ErrTooNew, "too-new", http.StatusConflict, 1},
	{ErrNobody, "unauthenticated", http.StatusUnauthorized, 1},
	{pair.ErrRefused, "refused", http.StatusForbidden, 1},
	{pair.ErrThrottled, "throttled", http.StatusTooManyRequests, 1},
	{pair.ErrUnreachable, "unreachable", http.StatusBadGateway, 1},
	{pair.ErrUnknownOutcome, "outcome-unknown", http.StatusBadGateway, 1},
}

// problemOf describes an error for the caller. What is none of the known kinds
// is a fault of ours; its text stays in our log.
func problemOf(err error) Problem {
	for _, k := range kinds {
		if errors.Is(err, k.err) {
			return Problem{Kind: k.name, Status: k.status, Detail: err.Error()}
		}
	}
	return Problem{Kind: "internal", Status: http.StatusInternalServerError, Detail: "a fault inside Tandem; its log has the details"}
}

// Error is a problem that the server answered with.
type Error struct{ Problem Problem }

func (e *Error) Error() string { return e.Problem.Detail }

// Is gives the error kind back, so that callers on both sides of the wire ask
// with errors.Is. Kinds with one name are not told apart.
func (e *Error) Is(target error) bool {
	for _, k := range kinds {
		if k.name == e.Problem.Kind && k.err == target {
			return true
		}
	}
	return false
}

// ExitCode is the exit code for an error: 0 for none, 2 for bad input, 1 for
// everything else.
func ExitCode(err error) int {
	if err == nil {
		return 0
	}
	for _, k := range kinds {
		if errors.Is(err, k.err) {
			return k.exit
		}
	}
	return 1
}
