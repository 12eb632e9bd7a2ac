package story

import (
	"context"
	"encoding/base64"
	"fmt"
	"time"

	"tandem/internal/lab/host"
	"tandem/internal/store"
)

// queues lets the simulated host drain the embedded store's queues. The host
// wants texts as the service holds them, which is Base64; the embedded queues
// leave that out on both ends.
type queues struct{ account *store.Embedded }

func (q queues) Dequeue(ctx context.Context, queue string, limit int, visibility time.Duration) ([]host.Message, error) {
	taken, err := q.account.Dequeue(ctx, queue, limit, visibility)
	out := make([]host.Message, len(taken))
	for i, m := range taken {
		out[i] = host.Message{
			ID: m.ID, PopReceipt: m.PopReceipt, Text: base64.StdEncoding.EncodeToString([]byte(m.Text)), DequeueCount: m.DequeueCount,
			InsertionTime: m.InsertedAt, ExpirationTime: m.ExpiresAt, NextVisibleTime: m.NextVisible,
		}
	}
	return out, err
}

func (q queues) Update(ctx context.Context, queue string, m host.Message, visibility time.Duration) (host.Message, error) {
	receipt, err := q.account.Update(ctx, queue, m.ID, m.PopReceipt, visibility)
	m.PopReceipt, m.NextVisibleTime = receipt, time.Now().Add(visibility)
	return m, err
}

func (q queues) Delete(ctx context.Context, queue string, m host.Message) error {
	return q.account.Delete(ctx, queue, m.ID, m.PopReceipt)
}

func (q queues) Enqueue(ctx context.Context, queue, text string) error {
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return fmt.Errorf("enqueue to %s: %w", queue, err)
	}
	return q.account.Enqueue(ctx, queue, string(b), 0)
}
