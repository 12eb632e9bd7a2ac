package eventgrid

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"time"
)

// answerLimit is how long Event Grid waits for an answer
// (functions-host.md 5.3).
const answerLimit = 30 * time.Second

// largestAnswer bounds what is read of a webhook's answer.
const largestAnswer = 1 << 20

// origin is what Event Grid calls itself in the CloudEvents handshake.
const origin = "eventgrid.azure.net"

// Subscription is an event subscription with a webhook as its destination.
type Subscription struct {
	Name     string
	Endpoint string // URL, with the key in its query
	Schema   Schema
	// EventTypes are the types wanted; none means all.
	EventTypes []string
	// SubjectBeginsWith filters by the start of the subject; letter case
	// doesn't count.
	SubjectBeginsWith string
	// MaxEventsPerBatch is 1 to 5000; 0 means 1, which is no batching.
	MaxEventsPerBatch int
	// AzureFunction marks a destination that was given by resource id: there
	// is no handshake, and 401 is tried again (functions-host.md 5.1, 5.3).
	AzureFunction bool
}

// subscription is a validated Subscription and the copies not yet sent.
type subscription struct {
	Subscription
	waiting []*parcel // guarded by the grid's mu, in the order of publishing
}

func (s *subscription) wants(event Event) bool {
	return (len(s.EventTypes) == 0 || slices.Contains(s.EventTypes, event.Type)) &&
		hasPrefixFold(event.Subject, s.SubjectBeginsWith)
}

// Subscribe checks a subscription, performs the validation handshake of its
// schema with the endpoint, and delivers events published from then on. It is
// an error when the endpoint doesn't prove that it wants events or the name
// is taken.
func (g *Grid) Subscribe(ctx context.Context, wanted Subscription) error {
	if err := wanted.check(); err != nil {
		return fmt.Errorf("create event subscription %q: %w", wanted.Name, err)
	}
	wanted.MaxEventsPerBatch = max(1, wanted.MaxEventsPerBatch)
	if !wanted.AzureFunction {
		if err := g.handshake(ctx, wanted); err != nil {
			return fmt.Errorf("create event subscription %q: validate endpoint: %w", wanted.Name, err)
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if slices.ContainsFunc(g.subscriptions, func(s *subscription) bool { return s.Name == wanted.Name }) {
		return fmt.Errorf("create event subscription %q: it exists already", wanted.Name)
	}
	wanted.EventTypes = slices.Clone(wanted.EventTypes)
	g.subscriptions = append(g.subscriptions, &subscription{Subscription: wanted})
	return nil
}

func (s Subscription) check() error {
	var errs []error
	if s.Name == "" {
		errs = append(errs, errors.New("a name is required"))
	}
	if s.Schema != EventGridSchema && s.Schema != CloudEventSchemaV1_0 {
		errs = append(errs, fmt.Errorf("%v: expected EventGridSchema or CloudEventSchemaV1_0", s.Schema))
	}
	if endpoint, err := url.Parse(s.Endpoint); err != nil || endpoint.Host == "" || (endpoint.Scheme != "https" && endpoint.Scheme != "http") {
		errs = append(errs, errors.New("the endpoint must be an http or https URL")) // it holds a key: not shown
	}
	if s.MaxEventsPerBatch < 0 || s.MaxEventsPerBatch > 5000 {
		errs = append(errs, fmt.Errorf("%d events per batch: expected 1 to 5000", s.MaxEventsPerBatch))
	}
	return errors.Join(errs...)
}

// handshake proves that the endpoint wants events (azure.md 4.6).
func (g *Grid) handshake(ctx context.Context, s Subscription) error {
	ctx, cancel := context.WithTimeout(ctx, answerLimit)
	defer cancel()
	if s.Schema == CloudEventSchemaV1_0 {
		return g.askPermission(ctx, s)
	}
	return g.sendCode(ctx, s)
}

// validation is the data of the event that starts the Event Grid schema's
// handshake.
type validation struct {
	ValidationCode string `json:"validationCode"`
	ValidationURL  string `json:"validationUrl"`
}

// sendCode posts a code that the endpoint must give back. The other way of
// the real service, opening the validation URL, isn't modelled.
func (g *Grid) sendCode(ctx context.Context, s Subscription) error {
	code := g.newGUID()
	event := Event{
		ID: g.newGUID(), Type: "Microsoft.EventGrid.SubscriptionValidationEvent", Time: time.Now(), DataVersion: "1",
		Source: "/subscriptions/00000000-0000-0000-0000-000000000001",
		Data: validation{code, "https://rp-westeurope.eventgrid.azure.net:553/eventsubscriptions/" +
			url.PathEscape(s.Name) + "/validate?id=" + code},
	}
	text, err := event.encode(EventGridSchema)
	if err != nil {
		return err
	}
	body := slices.Concat([]byte("["), text, []byte("]"))
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.Endpoint, bytes.NewReader(body))
	if err != nil {
		return withoutURL(err)
	}
	request.Header.Set("Content-Type", "application/json; charset=utf-8")
	request.Header["aeg-event-type"] = []string{"SubscriptionValidation"}
	status, answer, _, err := g.exchange(request)
	if err != nil {
		return err
	}
	var reply struct {
		ValidationResponse string `json:"validationResponse"`
	}
	if status != http.StatusOK || json.Unmarshal(answer, &reply) != nil || reply.ValidationResponse != code {
		return fmt.Errorf("status %d without the validation code", status)
	}
	return nil
}

// askPermission is the abuse protection of the CloudEvents webhooks.
func (g *Grid) askPermission(ctx context.Context, s Subscription) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodOptions, s.Endpoint, nil)
	if err != nil {
		return withoutURL(err)
	}
	request.Header["WebHook-Request-Origin"] = []string{origin}
	request.Header["WebHook-Request-Rate"] = []string{"120"}
	status, _, header, err := g.exchange(request)
	if err != nil {
		return err
	}
	if allowed := header.Get("WebHook-Allowed-Origin"); status != http.StatusOK || (allowed != "*" && allowed != origin) {
		return fmt.Errorf("status %d without permission for %s", status, origin)
	}
	return nil
}

// exchange sends a request and reads the answer.
func (g *Grid) exchange(request *http.Request) (int, []byte, http.Header, error) {
	response, err := g.client.Do(request)
	if err != nil {
		return 0, nil, nil, withoutURL(err)
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, largestAnswer))
	if err = errors.Join(err, response.Body.Close()); err != nil {
		return 0, nil, nil, err
	}
	return response.StatusCode, body, response.Header, nil
}

// withoutURL takes the endpoint, which holds a key, out of an error.
func withoutURL(err error) error {
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		return fmt.Errorf("%s: %w", wrapped.Op, wrapped.Err)
	}
	return err
}
