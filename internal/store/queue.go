package store

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"regexp"
	"time"

	"tandem/internal/pair"
)

var queueName = regexp.MustCompile(`^[a-z0-9](-?[a-z0-9])+$`)

// Send puts a message into a queue, where it becomes visible after the delay,
// which is rounded up to whole seconds and may be up to seven days. The error
// is pair.ErrTooLarge for a message of more than 48 KiB, which is what Base64
// leaves of the queue's 64 (azure.md 6.4).
func (s *Store) Send(ctx context.Context, queue string, m pair.Message, delay time.Duration) error {
	if m.V == 0 {
		m.V = pair.Version
	}
	text, err := json.Marshal(m)
	if err == nil {
		err = checkMessage(queue, string(text), delay)
	}
	if err == nil {
		err = s.backend.enqueue(ctx, queue, string(text), max(delay, 0))
	}
	if err != nil {
		return fmt.Errorf("send a message to queue %s: %w", queue, err)
	}
	return nil
}

// checkMessage refuses what a queue would refuse.
func checkMessage(queue, text string, delay time.Duration) error {
	switch n := base64.StdEncoding.EncodedLen(len(text)); {
	case len(queue) < 3 || len(queue) > 63 || !queueName.MatchString(queue):
		return fmt.Errorf("name of a queue: %w", pair.ErrInvalid)
	case n > maxMessage:
		return fmt.Errorf("%d bytes in Base64, possible are %d: %w", n, maxMessage, pair.ErrTooLarge)
	case delay > maxDelay:
		return fmt.Errorf("delay of %s, possible is %s: %w", delay, maxDelay, pair.ErrInvalid)
	default:
		return nil
	}
}
