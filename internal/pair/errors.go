package pair

import (
	"errors"
	"time"
)

// The kinds of errors on which a caller acts. Adapters translate what their
// libraries return into these, wrapped with %w; internal/api, handlers and the
// commands have one table each from kind to answer. Everything else is a fault
// of ours and is reported as such.
var (
	// ErrNotFound means that the thing is not there. Azure also says so when
	// we are not allowed to see it (ha-design-notes.md 13).
	ErrNotFound = errors.New("not found")
	// ErrExists means that something with this identity is there already.
	ErrExists = errors.New("already exists")
	// ErrConflict means that what we read was changed before our write: read
	// again and decide again, never write the same again.
	ErrConflict = errors.New("changed by somebody else meanwhile")
	// ErrLeaseLost means that another worker holds the pair now.
	ErrLeaseLost = errors.New("lease lost")
	// ErrStaleEpoch means that a newer decision stands.
	ErrStaleEpoch = errors.New("a newer epoch stands")
	// ErrTooNew means that a record was written by a newer release than this
	// one can read; such a pair is only observed.
	ErrTooNew = errors.New("written by a newer release")
	// ErrThrottled means that the other side asks for patience.
	ErrThrottled = errors.New("throttled")
	// ErrBusy means that another operation holds the object (Azure's 409 and
	// 429 "another operation", azure.md 1.9).
	ErrBusy = errors.New("another operation is running on it")
	// ErrSuperseded means that a later write cancelled ours.
	ErrSuperseded = errors.New("superseded by a later write")
	// ErrRefused means that credentials or permissions were not accepted.
	ErrRefused = errors.New("refused")
	// ErrUntrusted means that the other side's certificate is not the one
	// that was pinned or signed as configured.
	ErrUntrusted = errors.New("certificate not trusted")
	// ErrUnreachable means that no answer came.
	ErrUnreachable = errors.New("no answer")
	// ErrUnknownOutcome means that a write was sent and nothing is known of
	// its effect: it may be done, may still be done, or may never be done.
	ErrUnknownOutcome = errors.New("outcome unknown")
	// ErrInvalid means that what was given cannot be right.
	ErrInvalid = errors.New("invalid")
	// ErrTooLarge means that a value does not fit where it must be kept.
	ErrTooLarge = errors.New("too large")
	// ErrUnreadable means that an answer or payload could not be understood.
	ErrUnreadable = errors.New("unreadable")
)

// Waiting is an error that says how long to wait before another attempt.
type Waiting struct {
	Err   error
	After time.Duration
}

func (w *Waiting) Error() string { return w.Err.Error() }
func (w *Waiting) Unwrap() error { return w.Err }

// RetryAfter returns how long err asks to wait, and otherwise.
func RetryAfter(err error, otherwise time.Duration) time.Duration {
	if w, ok := errors.AsType[*Waiting](err); ok && w.After > 0 {
		return w.After
	}
	return otherwise
}
