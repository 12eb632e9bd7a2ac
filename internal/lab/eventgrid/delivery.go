package eventgrid

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// gatherTime is how far ahead a batch looks: events due within it go along.
const gatherTime = time.Second

// deliver waits until the parcel is due and then delivers it together with
// others of its subscription, or finds that another one has taken it along.
func (g *Grid) deliver(p *parcel) {
	if !g.sleep(time.Until(p.due)) {
		return
	}
	batch := g.take(p)
	if len(batch) == 0 {
		return
	}
	g.push(p.subscription, batch, p.random)
	g.settle(len(batch))
}

// take removes a batch led by p from what waits; none when p is already gone.
func (g *Grid) take(p *parcel) []*parcel {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := p.subscription
	if !slices.Contains(s.waiting, p) {
		return nil
	}
	batch, horizon := []*parcel{p}, time.Now().Add(gatherTime)
	s.waiting = slices.DeleteFunc(s.waiting, func(other *parcel) bool {
		if other == p {
			return true
		}
		if len(batch) >= s.MaxEventsPerBatch || other.due.After(horizon) {
			return false
		}
		batch = append(batch, other)
		return true
	})
	if p.shuffled {
		p.random.Shuffle(len(batch), func(i, j int) { batch[i], batch[j] = batch[j], batch[i] })
	}
	return batch
}

// push tries to deliver a batch until it is taken or given up. A batch
// succeeds or fails as a whole (functions-host.md 5.3).
func (g *Grid) push(s *subscription, batch []*parcel, random *rand.Rand) {
	events := make([]json.RawMessage, len(batch))
	for i, p := range batch {
		events[i], _ = p.event.encode(s.Schema) // Publish has proved that it can be encoded
	}
	for attempt := 1; ; attempt++ {
		status, err := g.post(s, batch, events, attempt)
		if g.ctx.Err() != nil {
			return
		}
		g.log(fmt.Sprintf("delivery %d of %s to %s: %s", attempt, ids(batch), s.Name, outcome(status, err)))
		if status >= 200 && status <= 204 {
			g.noteTaken(batch)
			return
		}
		wait, reason := g.next(s, batch, attempt, status, random)
		if reason != 0 {
			g.giveUp(s, batch, events, DeadLetter{Subscription: s.Name, Reason: reason, Attempts: attempt, LastStatus: status, At: time.Now()})
			return
		}
		if !g.sleep(wait) {
			return
		}
	}
}

func ids(batch []*parcel) string {
	all := make([]string, len(batch))
	for i, p := range batch {
		all[i] = p.event.ID
	}
	return strings.Join(all, ", ")
}

func outcome(status int, err error) string {
	if err != nil {
		return err.Error()
	}
	return "status " + strconv.Itoa(status)
}

// next decides after a failed attempt: how long to wait, or why to give up.
func (g *Grid) next(s *subscription, batch []*parcel, attempt, status int, random *rand.Rand) (time.Duration, Reason) {
	if !retryable(status, s.AzureFunction) {
		return 0, Undeliverable
	}
	if attempt >= g.options.MaxDeliveryAttempts {
		return 0, AttemptsExhausted
	}
	wait := max(ladder(attempt), leastWait(status))
	wait += time.Duration(random.Int64N(int64(wait) / 10)) // the service spreads retries
	oldest := slices.MinFunc(batch, func(a, b *parcel) int { return a.published.Compare(b.published) })
	if time.Since(oldest.published)+wait > g.options.TimeToLive {
		return 0, Expired
	}
	return wait, 0
}

// retryable says whether a status is tried again. Both kinds of destination
// give up on 400, 403 and 413, webhooks on 401 as well (functions-host.md
// 5.3).
func retryable(status int, azureFunction bool) bool {
	switch status {
	case http.StatusBadRequest, http.StatusForbidden, http.StatusRequestEntityTooLarge:
		return false
	case http.StatusUnauthorized:
		return azureFunction
	}
	return true
}

// ladder is the time before the next try after a number of failed ones
// (functions-host.md 5.3).
func ladder(failed int) time.Duration {
	steps := [...]time.Duration{
		10 * time.Second, 30 * time.Second, time.Minute, 5 * time.Minute, 10 * time.Minute,
		30 * time.Minute, time.Hour, 3 * time.Hour, 6 * time.Hour, 12 * time.Hour,
	}
	return steps[min(failed, len(steps))-1]
}

// leastWait is what some statuses ask for at least (functions-host.md 5.3).
func leastWait(status int) time.Duration {
	switch status {
	case http.StatusUnauthorized, http.StatusNotFound:
		return 5 * time.Minute
	case http.StatusRequestTimeout:
		return 2 * time.Minute
	case http.StatusServiceUnavailable:
		return 30 * time.Second
	}
	return 10 * time.Second
}

func (g *Grid) giveUp(s *subscription, batch []*parcel, events []json.RawMessage, letter DeadLetter) {
	g.log(fmt.Sprintf("dead letter %s for %s: %v", ids(batch), s.Name, letter.Reason))
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, event := range events {
		letter.Event = event
		g.dead = append(g.dead, letter)
	}
}

// post makes one delivery and waits up to 30 seconds for the answer; status 0
// means that none came.
func (g *Grid) post(s *subscription, batch []*parcel, events []json.RawMessage, attempt int) (int, error) {
	ctx, cancel := context.WithTimeout(g.ctx, answerLimit)
	defer cancel()
	body, contentType := pack(s.Subscription, events)
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.Endpoint, bytes.NewReader(body))
	if err != nil {
		return 0, withoutURL(err)
	}
	for name, value := range map[string]string{
		"Content-Type":          contentType,
		"aeg-event-type":        "Notification",
		"aeg-subscription-name": strings.ToUpper(s.Name),
		"aeg-delivery-count":    strconv.Itoa(attempt - 1),
		"aeg-metadata-version":  metadataVersion,
		"aeg-data-version":      batch[0].event.DataVersion,
	} {
		request.Header[name] = []string{value}
	}
	if len(batch) == 1 {
		request.Header["aeg-output-event-id"] = []string{batch[0].event.ID}
	}
	status, _, _, err := g.exchange(request)
	return status, err
}

// pack writes the body: always an array in the Event Grid schema, one object
// in CloudEvents unless batching is on.
func pack(s Subscription, events []json.RawMessage) (body []byte, contentType string) {
	array := slices.Concat([]byte("["), bytes.Join(texts(events), []byte(",")), []byte("]"))
	switch {
	case s.Schema == EventGridSchema:
		return array, "application/json; charset=utf-8"
	case s.MaxEventsPerBatch > 1:
		return array, "application/cloudevents-batch+json; charset=utf-8"
	}
	return events[0], "application/cloudevents+json; charset=utf-8"
}

func texts(events []json.RawMessage) [][]byte {
	all := make([][]byte, len(events))
	for i, event := range events {
		all[i] = event
	}
	return all
}
