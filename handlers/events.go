package handlers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"tandem/internal/azure/events"
	"tandem/internal/pair"
)

// maxUnreadable is how many unreadable events of a delivery are described in
// the log; the rest is counted.
const maxUnreadable = 3

// events is VMHealth and ResourceChanged. Both do the same: what an event means
// stands in the event, and which function it comes to is only a filter that
// somebody set up in a subscription.
func (s *server) events(ctx context.Context, log *slog.Logger, body []byte) error {
	value, err := triggerValue(body)
	if err != nil {
		return fmt.Errorf("take events: %w", err)
	}
	all, unreadable := events.Decode(value)
	if len(unreadable) > 0 {
		sample := errors.Join(unreadable[:min(len(unreadable), maxUnreadable)]...)
		if len(all) == 0 {
			return fmt.Errorf("take events: %w: %d unreadable: %w", errPayload, len(unreadable), sample)
		}
		log.Warn("events unreadable", "unreadable", len(unreadable), "readable", len(all), "error", sample.Error())
	}
	facts, changed, own := s.sort(all)
	level := slog.LevelDebug
	if len(facts)+len(changed) > 0 {
		level = slog.LevelInfo
	}
	log.Log(ctx, level, "events taken", "events", len(all), "facts", len(facts), "changed", len(changed), "own", own)
	if len(facts) > 0 {
		if err := s.Program.Evidence(ctx, facts); err != nil {
			return fmt.Errorf("take %d facts: %w", len(facts), err)
		}
	}
	if len(changed) > 0 {
		if err := s.Program.ResourceChanged(ctx, changed); err != nil {
			return fmt.Errorf("take %d changed resources: %w", len(changed), err)
		}
	}
	return nil
}

// sort takes out of the events what the program shall know: facts, and the
// resources that others changed, each once. It counts the changes of our own,
// which wake nobody. A VM that we restarted is still news, because the unit is
// booting; but nobody's instruction.
func (s *server) sort(all []events.Event) (facts []pair.Evidence, changed []pair.ResourceChange, own int) {
	now := s.Now()
	for _, e := range all {
		if e.VM != nil {
			fact := *e.VM
			fact.ByPerson = fact.ByPerson && !s.Own.Did(e.By)
			if fact.At.After(now) {
				fact.At = now // or it would stay the newest fact until then
			}
			facts = append(facts, fact)
		}
		switch {
		case e.Changed == nil:
		case s.Own.Did(e.Changed.By):
			own++
		case !slices.ContainsFunc(changed, func(c pair.ResourceChange) bool { return c.Resource == e.Changed.Resource }):
			changed = append(changed, pair.ResourceChange{Resource: e.Changed.Resource, By: cmp.Or(e.Changed.By.ObjectID, e.Changed.By.AppID)})
		}
	}
	return facts, changed, own
}
