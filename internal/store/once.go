package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"tandem/internal/pair"
)

// once is the value of an idempotency key's row.
type once struct {
	At time.Time `json:"at"`
}

// Once reports whether the key is used for the first time in its scope, of all
// callers anywhere, and marks it as used. Both may hold any characters; escaped
// they are at most 512 characters long, or the error is pair.ErrTooLarge.
//
// After pair.ErrUnknownOutcome the key may be marked although nobody was told
// that it was the first: a caller whose effect must not be lost looks for the
// effect, not for the key.
func (s *Store) Once(ctx context.Context, scope, key string) (first bool, err error) {
	r, err := newRow(escape(scope), escape(key), millis(once{At: s.now()}))
	if err == nil {
		_, err = s.apply(ctx, tableOnce, r.partition, r.insert())
	}
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, pair.ErrExists):
		return false, nil
	default:
		return false, fmt.Errorf("mark a key of %s as used: %w", scope, err)
	}
}
