package host

import (
	"context"
	"encoding/base64"
	"math"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// Queues is the queue service of a storage account, at the level of its wire:
// texts are what the service holds. The host itself applies host.json's
// messageEncoding, because a program that forgets it must be found out.
type Queues interface {
	// Dequeue takes up to limit messages and hides them. A queue that doesn't
	// exist holds none.
	Dequeue(ctx context.Context, queue string, limit int, visibility time.Duration) ([]Message, error)
	// Update hides a message for the given time from now, 0 to show it at
	// once, and returns it with its new pop receipt.
	Update(ctx context.Context, queue string, message Message, visibility time.Duration) (Message, error)
	// Delete removes a message; an outdated pop receipt is an error.
	Delete(ctx context.Context, queue string, message Message) error
	// Enqueue adds a message and creates the queue when it is missing.
	Enqueue(ctx context.Context, queue, text string) error
}

// Message is one message as it was taken from a queue.
type Message struct {
	ID              string // stable over redeliveries
	PopReceipt      string // changes with each dequeue and update
	Text            string // as the service holds it, so usually base64
	DequeueCount    int    // 1 at the first delivery
	InsertionTime   time.Time
	ExpirationTime  time.Time
	NextVisibleTime time.Time
}

const (
	hideFor       = 10 * time.Minute // functions-host.md 3.5
	firstIdlePoll = 100 * time.Millisecond
	poisonSuffix  = "-poison"
	tieBreak      = 17 * time.Microsecond // between the messages of one batch
)

// runQueue takes messages and runs them in parallel: a new batch is taken
// when no more than newBatchThreshold are running. An empty queue is polled
// with a random exponential back-off (functions-host.md 4.2).
func (l *life) runQueue(f *function) {
	options := l.host.file.queues
	finished := make(chan struct{}, options.batchSize+options.newBatchThreshold)
	idle := newBackoff(newStream(l.host.config.Seed, f.info.Name+" poll"), options.maxPollingInterval)
	running := 0
	if !l.sleep(f.phase) {
		return
	}
	for l.listen.Err() == nil {
		l.thaw(f.phase)
		batch, err := l.host.config.Queues.Dequeue(l.listen, f.trigger.QueueName, options.batchSize, hideFor)
		if err != nil && l.listen.Err() == nil {
			l.host.log(LevelError, "Queue %s can't be read: %v", f.trigger.QueueName, err)
		}
		for i, message := range batch {
			running++
			l.busy.Go(func() {
				// In virtual time, what starts in one instant runs in any order.
				l.sleep(time.Duration(i) * tieBreak)
				l.handleMessage(f, message)
				finished <- struct{}{}
			})
		}
		if len(batch) > 0 {
			idle.reset()
		} else if !l.sleep(idle.next()) {
			return
		}
		for running > options.newBatchThreshold {
			select {
			case <-finished:
				running--
			case <-l.listen.Done():
				return
			}
		}
	}
}

// handleMessage runs one message to its end: deleted, shown again, or moved
// to the poison queue (functions-host.md 3.5). A host that was cut short
// leaves the message hidden, and it comes back when that ends.
func (l *life) handleMessage(f *function, message Message) {
	options, queue := l.host.file.queues, f.trigger.QueueName
	hasPoison := !strings.HasSuffix(queue, poisonSuffix)
	content, err := decodeMessage(message.Text, options.base64)
	if err != nil || (hasPoison && message.DequeueCount > options.maxDequeueCount) {
		l.poison(f, message)
		return
	}
	held := l.hold(f, message)
	_, err = l.runMessage(f, message, content)
	message = held.release()
	switch {
	case l.work.Err() != nil:
	case err == nil:
		l.storage(f, "delete", func() error { return l.host.config.Queues.Delete(l.work, queue, message) })
	case hasPoison && message.DequeueCount >= options.maxDequeueCount:
		l.poison(f, message)
	case hasPoison:
		l.storage(f, "release", func() error {
			_, err := l.host.config.Queues.Update(l.work, queue, message, options.visibilityTimeout)
			return err
		})
	}
}

func (l *life) runMessage(f *function, message Message, content []byte) (answer, error) {
	c, err := newCall(f, queueValue(f, content), queueMetadata(message))
	if err != nil {
		return answer{}, err
	}
	return l.invoke(c)
}

// queueValue is text, or bytes where the binding says binary.
func queueValue(f *function, content []byte) any {
	if f.binary() {
		return content
	}
	return strings.ToValidUTF8(string(content), string(utf8.RuneError))
}

// queueMetadata is the binding data of functions-host.md 2.5; a time that
// isn't known is left out.
func queueMetadata(message Message) metadata {
	m := metadata{
		"DequeueCount": message.DequeueCount,
		"Id":           message.ID,
		"PopReceipt":   message.PopReceipt,
	}
	for name, at := range map[string]time.Time{
		"InsertionTime":   message.InsertionTime,
		"ExpirationTime":  message.ExpirationTime,
		"NextVisibleTime": message.NextVisibleTime,
	} {
		if !at.IsZero() {
			m[name] = at.UTC()
		}
	}
	return m
}

func decodeMessage(text string, isBase64 bool) ([]byte, error) {
	if !isBase64 {
		return []byte(text), nil
	}
	return base64.StdEncoding.DecodeString(text)
}

// poison copies a message to the poison queue as a new one and deletes it. A
// poison queue has none of its own: there the message stays hidden.
func (l *life) poison(f *function, message Message) {
	queue := f.trigger.QueueName
	if strings.HasSuffix(queue, poisonSuffix) {
		return
	}
	l.host.log(LevelError, "Message has reached MaxDequeueCount or can't be read. Moving message to queue '%s'", queue+poisonSuffix)
	l.storage(f, "move", func() error {
		if err := l.host.config.Queues.Enqueue(l.work, queue+poisonSuffix, message.Text); err != nil {
			return err
		}
		return l.host.config.Queues.Delete(l.work, queue, message)
	})
}

func (l *life) storage(f *function, what string, do func() error) {
	l.thaw(f.phase)
	if err := do(); err != nil && l.work.Err() == nil {
		l.host.log(LevelError, "Queue %s: can't %s a message: %v", f.trigger.QueueName, what, err)
	}
}

// held is a message kept hidden while its function runs.
type held struct {
	cancel context.CancelFunc
	done   sync.WaitGroup
	latest Message // written by renew until done
}

// hold renews a message's invisibility at half its time, in a goroutine that
// release ends.
func (l *life) hold(f *function, message Message) *held {
	ctx, cancel := context.WithCancel(l.work)
	h := &held{cancel: cancel, latest: message}
	h.done.Go(func() { l.renew(ctx, f, h) })
	return h
}

func (l *life) renew(ctx context.Context, f *function, h *held) {
	ticker := time.NewTicker(hideFor / 2)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		l.thaw(f.phase)
		renewed, err := l.host.config.Queues.Update(ctx, f.trigger.QueueName, h.latest, hideFor)
		if err == nil {
			h.latest = renewed
		} else if ctx.Err() == nil {
			l.host.log(LevelWarning, "Queue %s: can't renew a message: %v", f.trigger.QueueName, err)
		}
	}
}

// release ends the renewing and returns the message with its latest receipt.
func (h *held) release() Message {
	h.cancel()
	h.done.Wait()
	return h.latest
}

// backoff is the SDK's randomized exponential back-off: from 100 ms up to the
// longest polling interval.
type backoff struct {
	random   *stream
	longest  time.Duration
	current  time.Duration
	exponent int
}

func newBackoff(random *stream, longest time.Duration) *backoff {
	return &backoff{random: random, longest: longest}
}

// reset starts again from the shortest wait after work was found.
func (b *backoff) reset() { b.current, b.exponent = 0, 0 }

func (b *backoff) next() time.Duration {
	if b.current == b.longest {
		return b.longest
	}
	growth := math.Pow(2, float64(b.exponent)) - 1
	step := growth * b.random.between(0.8, 1.2) * float64(firstIdlePoll)
	b.current = b.longest
	if wait := float64(firstIdlePoll) + step; wait < float64(b.longest) {
		b.current = time.Duration(wait)
		b.exponent++
	}
	return b.current
}
