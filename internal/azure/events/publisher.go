package events

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/messaging"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/eventgrid/azeventgrid"

	"tandem/internal/pair"
)

// maxBatch bounds one request, in bytes. The platform takes 1 MB and does not
// say which megabyte it means (azure.md 7); this is the smaller one.
const maxBatch = 1_000_000

// Publisher sends posts to a custom topic of Event Grid as CloudEvents 1.0. It
// may be used by several goroutines at once.
type Publisher struct {
	client *azeventgrid.Client
}

// PublisherOptions say where to publish and as whom.
type PublisherOptions struct {
	// Endpoint is the topic's URL including /api/events. It must be https:
	// the client refuses to send credentials over anything else.
	Endpoint string
	// Credential is the identity to publish as. Either this or Key is needed.
	Credential azcore.TokenCredential
	// Key is an access key of the topic, for topics without Entra ID.
	Key *azcore.KeyCredential
	// Transport sends the requests; nil is an HTTP client of its own.
	Transport policy.Transporter
}

// NewPublisher checks the options and returns a publisher. It makes no call.
func NewPublisher(o PublisherOptions) (*Publisher, error) {
	u, err := url.Parse(o.Endpoint)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil {
		// The value is not repeated: somebody may have put a key into it.
		return nil, fmt.Errorf("make event publisher: endpoint: expected https://…/api/events: %w", pair.ErrInvalid)
	}
	if (o.Credential == nil) == (o.Key == nil) {
		return nil, fmt.Errorf("make event publisher: expected either a credential or a key: %w", pair.ErrInvalid)
	}
	// The outbox is the retry: what fails stays there and is sent again.
	options := &azeventgrid.ClientOptions{ClientOptions: azcore.ClientOptions{
		Transport: limited(o.Transport),
		Retry:     policy.RetryOptions{MaxRetries: -1},
	}}
	var client *azeventgrid.Client
	if o.Key != nil {
		client, err = azeventgrid.NewClientWithSharedKeyCredential(o.Endpoint, o.Key, options)
	} else {
		client, err = azeventgrid.NewClient(o.Endpoint, o.Credential, options)
	}
	if err != nil {
		return nil, fmt.Errorf("make event publisher: %w", err)
	}
	return &Publisher{client: client}, nil
}

// Publish sends the posts, in order and in as many requests as they need. A
// post's id is the event's id, so that sending it again is recognised by whoever
// receives it.
//
// On an error some of the posts may have been sent, and the caller sends all of
// them again. An error that wraps pair.ErrInvalid or pair.ErrTooLarge would come
// again: the caller sends the posts one by one to find and drop the one that
// can never be sent.
func (p *Publisher) Publish(ctx context.Context, posts []pair.Post) error {
	batches, err := batch(posts)
	if err != nil {
		return fmt.Errorf("publish events: %w", err)
	}
	for _, b := range batches {
		if _, err := p.client.PublishCloudEvents(ctx, b, nil); err != nil {
			return fmt.Errorf("publish %d events: %w", len(b), translate(ctx, err))
		}
	}
	return nil
}

// batch turns posts into events and groups them so that no request exceeds
// maxBatch.
func batch(posts []pair.Post) ([][]messaging.CloudEvent, error) {
	var batches [][]messaging.CloudEvent
	room := 0
	for _, post := range posts {
		e, err := cloudEvent(post)
		if err != nil {
			return nil, fmt.Errorf("post %s: %w", post.ID, err)
		}
		b, err := json.Marshal(e)
		if err != nil {
			return nil, fmt.Errorf("post %s: %w: %w", post.ID, pair.ErrInvalid, err)
		}
		need := len(b) + 1 // and a comma
		if need > maxBatch-2 {
			return nil, fmt.Errorf("post %s of %d bytes: %w", post.ID, len(b), pair.ErrTooLarge)
		}
		if need > room {
			batches = append(batches, nil)
			room = maxBatch - 2 // the brackets
		}
		room -= need
		batches[len(batches)-1] = append(batches[len(batches)-1], e)
	}
	return batches, nil
}

// cloudEvent makes the event of a post. Everything in it comes from the post,
// so a repeat is byte for byte the same.
func cloudEvent(post pair.Post) (messaging.CloudEvent, error) {
	name, err := pairOf(post.ID)
	if err != nil {
		return messaging.CloudEvent{}, err
	}
	if post.Kind != pair.PostEvent || !strings.HasPrefix(post.Type, "tandem.") {
		return messaging.CloudEvent{}, fmt.Errorf("a post of kind %s and type %q is no event: %w", post.Kind, post.Type, pair.ErrInvalid)
	}
	if kind(post.Body) != '{' || !json.Valid(post.Body) {
		return messaging.CloudEvent{}, fmt.Errorf("its body is not a JSON object: %w", pair.ErrInvalid)
	}
	at, contentType := post.At.UTC(), "application/json"
	return messaging.CloudEvent{
		SpecVersion:     "1.0",
		ID:              post.ID,
		Source:          "/tandem/pairs/" + name,
		Subject:         &name,
		Type:            post.Type,
		Time:            &at,
		DataContentType: &contentType,
		Data:            post.Body,
	}, nil
}

// pairOf returns the pair's name in an id of the form that pair.ID makes.
func pairOf(id string) (string, error) {
	name := id
	for range 2 { // sequence and epoch
		i := strings.LastIndexByte(name, '-')
		if i < 1 || strings.Trim(name[i+1:], "0123456789") != "" || i+1 == len(name) {
			return "", fmt.Errorf("an id of the form pair-epoch-sequence was expected: %w", pair.ErrInvalid)
		}
		name = name[:i]
	}
	return name, nil
}

// translate turns an error of the SDK into one of the domain's kinds. The SDK's
// text for an answer is left out, because it repeats the whole answer.
func translate(ctx context.Context, err error) error {
	if answer, ok := errors.AsType[*azcore.ResponseError](err); ok {
		refusal := fmt.Errorf("status %d %.60q: %w", answer.StatusCode, answer.ErrorCode, kindOfStatus(answer.StatusCode))
		if after := retryAfter(answer.RawResponse); after > 0 {
			return &pair.Waiting{Err: refusal, After: after}
		}
		return refusal
	}
	if neverSent(err) {
		return fmt.Errorf("%w: %w", pair.ErrUnreachable, err)
	}
	if _, ok := errors.AsType[interface {
		error
		NonRetriable()
	}](err); ok && ctx.Err() == nil {
		return fmt.Errorf("%w: %w", pair.ErrRefused, err) // no token could be had
	}
	return fmt.Errorf("%w: %w", pair.ErrUnknownOutcome, err)
}
