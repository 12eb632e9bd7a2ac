package store

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"tandem/internal/pair"
)

// messageLife is how long a message is kept that nobody deletes (azure.md 6.4).
const messageLife = 7 * 24 * time.Hour

// maxDequeue is how many messages one request can take (azure.md 6.4).
const maxDequeue = 32

// Message is a message as a host takes it from an embedded queue. Its text is
// what was sent; the Base64 of the real queue is left out on both ends.
type Message struct {
	ID           string // stays the same as often as the message is taken
	PopReceipt   string // of this taking; needed to delete or hide it
	Text         string
	DequeueCount int // how often it was taken, this time included
	InsertedAt   time.Time
	ExpiresAt    time.Time
	NextVisible  time.Time
}

// queued is a message in its queue.
type queued struct {
	Message
	order uint64 // of sending, for messages of one moment
}

// Enqueue puts a text into a queue, as a host does with a poisoned message.
func (e *Embedded) Enqueue(ctx context.Context, queue, text string, delay time.Duration) error {
	err := checkMessage(queue, text, delay)
	if err == nil {
		err = alive(ctx)
	}
	if err == nil {
		err = e.add(queue, text, max(delay, 0))
	}
	if err != nil {
		return fmt.Errorf("send a message to queue %s: %w", queue, err)
	}
	return nil
}

func (e *Embedded) add(queue, text string, delay time.Duration) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.write(); err != nil {
		return err
	}
	now := e.now()
	id := e.next()
	e.queues[queue] = append(e.queues[queue], &queued{order: e.versions, Message: Message{
		ID: id, Text: text, InsertedAt: now, ExpiresAt: now.Add(messageLife), NextVisible: now.Add(wholeSeconds(delay)),
	}})
	return e.written()
}

// wholeSeconds rounds up: the service counts delays in seconds, and a message
// should rather come late than early.
func wholeSeconds(d time.Duration) time.Duration {
	return (d + time.Second - 1).Truncate(time.Second)
}

// Dequeue takes up to limit visible messages, at most 32, the longest visible
// first, and hides them for the time given. An empty or unknown queue gives
// none.
func (e *Embedded) Dequeue(ctx context.Context, queue string, limit int, visibility time.Duration) ([]Message, error) {
	if err := alive(ctx); err != nil {
		return nil, fmt.Errorf("take messages from queue %s: %w", queue, err)
	}
	if visibility < time.Second || visibility > messageLife {
		return nil, fmt.Errorf("take messages from queue %s, hidden for %s: %w", queue, visibility, pair.ErrInvalid)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.read(); err != nil {
		return nil, fmt.Errorf("take messages from queue %s: %w", queue, err)
	}
	now := e.now()
	e.queues[queue] = slices.DeleteFunc(e.queues[queue], func(m *queued) bool { return !now.Before(m.ExpiresAt) })
	var visible []*queued
	for _, m := range e.queues[queue] {
		if !now.Before(m.NextVisible) {
			visible = append(visible, m)
		}
	}
	slices.SortFunc(visible, func(a, b *queued) int {
		return cmp.Or(a.NextVisible.Compare(b.NextVisible), cmp.Compare(a.order, b.order))
	})
	var taken []Message
	for _, m := range visible[:min(max(limit, 0), maxDequeue, len(visible))] {
		m.DequeueCount++
		m.PopReceipt = e.next()
		m.NextVisible = now.Add(visibility)
		taken = append(taken, m.Message)
	}
	return taken, nil
}

// Delete removes a message that was taken. The error is pair.ErrNotFound when
// it is gone, and pair.ErrConflict when it was taken again meanwhile.
func (e *Embedded) Delete(ctx context.Context, queue, id, popReceipt string) error {
	err := e.change(ctx, queue, id, popReceipt, func(m *queued) {
		e.queues[queue] = slices.DeleteFunc(e.queues[queue], func(o *queued) bool { return o == m })
	})
	if err != nil {
		return fmt.Errorf("delete message %s of queue %s: %w", id, queue, err)
	}
	return nil
}

// Update hides a message that was taken for another while from now, 0 shows it
// at once, and returns its new pop receipt; the old one is worth nothing from
// then on. Errors are as for Delete.
func (e *Embedded) Update(ctx context.Context, queue, id, popReceipt string, visibility time.Duration) (string, error) {
	var receipt string
	err := e.change(ctx, queue, id, popReceipt, func(m *queued) {
		receipt = e.next()
		m.PopReceipt, m.NextVisible = receipt, e.now().Add(max(visibility, 0))
	})
	if err != nil {
		return "", fmt.Errorf("hide message %s of queue %s: %w", id, queue, err)
	}
	return receipt, nil
}

// change does something to a message that the caller has taken.
func (e *Embedded) change(ctx context.Context, queue, id, popReceipt string, do func(*queued)) error {
	if err := alive(ctx); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.write(); err != nil {
		return err
	}
	i := slices.IndexFunc(e.queues[queue], func(m *queued) bool { return m.ID == id })
	if i < 0 || !e.now().Before(e.queues[queue][i].ExpiresAt) {
		return pair.ErrNotFound
	}
	m := e.queues[queue][i]
	if popReceipt == "" || m.PopReceipt != popReceipt {
		return fmt.Errorf("its pop receipt is another: %w", pair.ErrConflict)
	}
	do(m)
	return e.written()
}
