package control

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"tandem/internal/pair"
)

// publishPatience is how long a pass waits for the topic. Whether subscribers
// are told by this pass or by a later one matters less than the pair itself.
const publishPatience = 5 * time.Second

// deliverLeft brings out what a crash left behind. While somebody holds the
// lease nothing is left behind: the holder is about to deliver it. A second
// delivery would do no harm in the journal and to subscribers, but it would
// start a second chain of looks.
func (p *pass) deliverLeft(ctx context.Context) error {
	if p.snap.Record.Lease.HeldByOther(p.owner, p.now(), 0) {
		return nil
	}
	return p.deliver(ctx)
}

// deliver brings the outbox out, each post for itself: one that has to wait
// keeps no other back, and what went out is not sent again by the next try. It
// runs at the start of a pass and at its end.
func (p *pass) deliver(ctx context.Context) error {
	var (
		events []pair.Post
		gone   []string
		errs   []error
	)
	for _, post := range p.snap.Outbox {
		if post.Kind == pair.PostEvent {
			events = append(events, post)
			continue
		}
		if err := p.deliverOne(ctx, post); err == nil || p.drop(ctx, post, err) {
			gone = append(gone, post.ID)
		} else {
			errs = append(errs, fmt.Errorf("deliver %s %s of pair %s: %w", post.Kind, post.ID, p.name, err))
		}
	}
	gone = append(gone, p.publish(ctx, events)...)
	if len(gone) > 0 {
		if err := p.Outbox.Delivered(ctx, p.name, gone); err != nil {
			return errors.Join(append(errs, fmt.Errorf("clear the outbox of pair %s: %w", p.name, err))...)
		}
	}
	p.snap.Outbox = slices.DeleteFunc(slices.Clone(p.snap.Outbox), func(post pair.Post) bool { return slices.Contains(gone, post.ID) })
	return errors.Join(errs...)
}

func (p *pass) deliverOne(ctx context.Context, post pair.Post) error {
	if post.Kind == pair.PostJournal {
		return p.Outbox.AppendJournal(ctx, p.name, post)
	}
	m, err := messageOf(post)
	if err != nil {
		return err
	}
	return p.Outbox.Send(ctx, post.Queue, m, time.Duration(post.Delay))
}

// publish sends events and returns the ids of those that are settled. Events
// that the topic does not take now stay in the outbox for the next pass, which
// is no fault of this one: a topic that is down must not keep the pair waiting.
// Where some of them can never be sent, they are sent one by one to find which.
func (p *pass) publish(ctx context.Context, events []pair.Post) (gone []string) {
	if len(events) == 0 {
		return nil
	}
	err := p.publishAll(ctx, events)
	switch {
	case err == nil:
		for _, e := range events {
			gone = append(gone, e.ID)
		}
		return gone
	case !hopeless(err):
		p.Log.WarnContext(ctx, "events wait for the topic", "pair", p.name, "events", len(events), "error", err.Error())
		return p.outdated(ctx, events)
	case len(events) == 1:
		p.drop(ctx, events[0], err)
		return []string{events[0].ID}
	}
	for n := range events {
		one := p.publish(ctx, events[n:n+1])
		if one == nil {
			break // the rest would wait as well
		}
		gone = append(gone, one...)
	}
	return gone
}

// publishFor is how long an event waits for a topic that does not take it. Event
// Grid itself gives up after a day (functions-host.md 5.3), and an outbox that
// grows for ever would take the pair down with it.
const publishFor = 24 * time.Hour

// outdated gives up the events that have waited too long and returns their ids.
func (p *pass) outdated(ctx context.Context, events []pair.Post) (gone []string) {
	for _, e := range events {
		if p.now().Sub(e.At) > publishFor {
			p.Log.ErrorContext(ctx, "an event was not taken for a day and is dropped", "pair", p.name, "post", e.ID, "type", e.Type)
			gone = append(gone, e.ID)
		}
	}
	return gone
}

func (p *pass) publishAll(ctx context.Context, events []pair.Post) error {
	if p.Publisher == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, publishPatience)
	defer cancel()
	return p.Publisher.Publish(ctx, events)
}

// hopeless reports whether a post that failed so would fail for ever.
func hopeless(err error) bool {
	return errors.Is(err, pair.ErrInvalid) || errors.Is(err, pair.ErrTooLarge) || errors.Is(err, pair.ErrUnreadable)
}

// drop gives up a post that can never be delivered, and reports whether it is
// one: it would keep the outbox full for ever. The log names it; what stands in
// it stays out of the log.
func (p *pass) drop(ctx context.Context, post pair.Post, err error) bool {
	if !hopeless(err) {
		return false
	}
	p.Log.ErrorContext(ctx, "a post can never be delivered and is dropped",
		"pair", p.name, "post", post.ID, "kind", post.Kind.String(), "type", post.Type, "error", err.Error())
	return true
}
