package events_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/google/go-cmp/cmp"

	"tandem/internal/azure/events"
	"tandem/internal/pair"
)

// topic is a custom topic that remembers what was published.
type topic struct {
	*httptest.Server
	answer func(w http.ResponseWriter) // nil accepts

	mu     sync.Mutex // guards bodies and header
	bodies [][]byte
	header http.Header
}

func newTopic(t *testing.T, answer func(w http.ResponseWriter)) *topic {
	t.Helper()
	s := &topic{answer: answer}
	s.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		s.mu.Lock()
		s.bodies, s.header = append(s.bodies, b), r.Header
		s.mu.Unlock()
		if s.answer != nil {
			s.answer(w)
		}
	}))
	t.Cleanup(s.Close)
	return s
}

// sent is what was published until now, and the header of the newest request. That a
// request was answered does not order what its handler did before what a test
// does next: the lock does.
func (s *topic) sent() ([][]byte, http.Header) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.bodies), s.header
}

func (s *topic) publisher(t *testing.T) *events.Publisher {
	t.Helper()
	p, err := events.NewPublisher(events.PublisherOptions{
		Endpoint: s.URL + "/api/events", Key: azcore.NewKeyCredential("top-secret-key"), Transport: s.Client(),
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func post(seq int, body string) pair.Post {
	return pair.Post{
		V: 1, MinReader: 1, ID: pair.ID("edge-weu", 42, seq), Kind: pair.PostEvent, Type: "tandem.pair.action-done",
		At: time.Date(2026, 9, 23, 14, 0, 0, 0, time.FixedZone("CEST", 7200)), Body: json.RawMessage(body),
	}
}

func TestPublish(t *testing.T) {
	s := newTopic(t, nil)
	p := s.publisher(t)
	for range 2 { // a repeat
		if err := p.Publish(t.Context(), []pair.Post{post(1, `{"pair":"edge-weu"}`), post(2, `{"b":[1,2]}`)}); err != nil {
			t.Fatal(err)
		}
	}
	bodies, header := s.sent()
	const want = `[` +
		`{"data":{"pair":"edge-weu"},"datacontenttype":"application/json","id":"edge-weu-000000000042-001","source":"/tandem/pairs/edge-weu","specversion":"1.0","subject":"edge-weu","time":"2026-09-23T12:00:00Z","type":"tandem.pair.action-done"},` +
		`{"data":{"b":[1,2]},"datacontenttype":"application/json","id":"edge-weu-000000000042-002","source":"/tandem/pairs/edge-weu","specversion":"1.0","subject":"edge-weu","time":"2026-09-23T12:00:00Z","type":"tandem.pair.action-done"}]`
	if diff := cmp.Diff(want, string(bodies[0])); diff != "" {
		t.Errorf("body (-want +got):\n%s", diff)
	}
	if string(bodies[0]) != string(bodies[1]) {
		t.Error("a repeat differs from the first time")
	}
	if got := header.Get("Content-Type"); !strings.HasPrefix(got, "application/cloudevents-batch+json") {
		t.Errorf("content type = %q", got)
	}
	if header.Get("aeg-sas-key") != "top-secret-key" {
		t.Error("the key was not sent")
	}
}

func TestPublishNothingMakesNoCall(t *testing.T) {
	s := newTopic(t, nil)
	if err := s.publisher(t).Publish(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if bodies, _ := s.sent(); len(bodies) != 0 {
		t.Errorf("%d requests", len(bodies))
	}
}

func TestPublishKeepsEveryRequestBelowTheLimit(t *testing.T) {
	s := newTopic(t, nil)
	var posts []pair.Post
	for i := range 50 {
		posts = append(posts, post(i, `{"x":"`+strings.Repeat("y", 60_000)+`"}`))
	}
	if err := s.publisher(t).Publish(t.Context(), posts); err != nil {
		t.Fatal(err)
	}
	var ids []string
	bodies, _ := s.sent()
	for _, b := range bodies {
		if len(b) > 1_000_000 {
			t.Errorf("a request of %d bytes", len(b))
		}
		var batch []struct{ ID string }
		if err := json.Unmarshal(b, &batch); err != nil {
			t.Fatal(err)
		}
		for _, e := range batch {
			ids = append(ids, e.ID)
		}
	}
	if len(bodies) != 4 || len(ids) != len(posts) {
		t.Fatalf("%d requests with %d events, want 4 with %d", len(bodies), len(ids), len(posts))
	}
	for i := range posts {
		if ids[i] != posts[i].ID {
			t.Fatalf("event %d is %s, want %s", i, ids[i], posts[i].ID)
		}
	}
}

func TestPublishRefusesWhatCanNeverBeSent(t *testing.T) {
	change := func(f func(*pair.Post)) pair.Post {
		p := post(9, `{}`)
		f(&p)
		return p
	}
	tests := []struct {
		rule string
		post pair.Post
		want error
	}{
		{"a journal entry is no event", change(func(p *pair.Post) { p.Kind = pair.PostJournal }), pair.ErrInvalid},
		{"a foreign type is not published in our name", change(func(p *pair.Post) { p.Type = "Microsoft.Resources.ResourceWriteSuccess" }), pair.ErrInvalid},
		{"an id without a pair", change(func(p *pair.Post) { p.ID = "000000000042-001" }), pair.ErrInvalid},
		{"an id without numbers", change(func(p *pair.Post) { p.ID = "edge-weu" }), pair.ErrInvalid},
		{"an id that ends early", change(func(p *pair.Post) { p.ID = "edge-weu-42-" }), pair.ErrInvalid},
		{"an empty body", change(func(p *pair.Post) { p.Body = nil }), pair.ErrInvalid},
		{"a body that is no object", change(func(p *pair.Post) { p.Body = json.RawMessage(`"text"`) }), pair.ErrInvalid},
		{"a broken body", change(func(p *pair.Post) { p.Body = json.RawMessage(`{"a":`) }), pair.ErrInvalid},
		{"a body beyond the platform's limit", change(func(p *pair.Post) { p.Body = json.RawMessage(`{"x":"` + strings.Repeat("y", 1_000_000) + `"}`) }), pair.ErrTooLarge},
	}
	for _, tt := range tests {
		t.Run(tt.rule, func(t *testing.T) {
			s := newTopic(t, nil)
			err := s.publisher(t).Publish(t.Context(), []pair.Post{post(1, `{}`), tt.post})
			if !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.post.ID) {
				t.Errorf("error = %v, want %v that names %s", err, tt.want, tt.post.ID)
			}
			if bodies, _ := s.sent(); len(bodies) != 0 {
				t.Error("something was sent")
			}
		})
	}
}

func TestPublishKinds(t *testing.T) {
	status := func(code int, header ...string) func(http.ResponseWriter) {
		return func(w http.ResponseWriter) {
			for i := 0; i < len(header); i += 2 {
				w.Header().Set(header[i], header[i+1])
			}
			w.WriteHeader(code)
			fmt.Fprint(w, `{"error":{"code":"SomeCode","message":"internal-detail"}}`)
		}
	}
	tests := []struct {
		rule   string
		answer func(http.ResponseWriter)
		want   error
		after  time.Duration
	}{
		{"400: the topic takes another schema", status(400), pair.ErrInvalid, 0},
		{"401: the credential is not accepted", status(401), pair.ErrRefused, 0},
		{"403: the role is missing", status(403), pair.ErrRefused, 0},
		{"404: there is no such topic", status(404), pair.ErrNotFound, 0},
		{"413: too large", status(413), pair.ErrTooLarge, 0},
		{"429: patience, as long as it says", status(429, "Retry-After", "17"), pair.ErrThrottled, 17 * time.Second},
		{"429 without a time is just throttled", status(429), pair.ErrThrottled, 0},
		{"503: patience", status(503, "Retry-After", "0"), pair.ErrThrottled, 0},
		{"a wait of years is cut short", status(503, "Retry-After", "99999999"), pair.ErrThrottled, time.Hour},
		{"500: it may have been taken", status(500), pair.ErrUnknownOutcome, 0},
		{"a redirect is not followed", status(307, "Location", "https://elsewhere.example/"), pair.ErrUnknownOutcome, 0},
		{"a connection that breaks after sending leaves the outcome open", func(http.ResponseWriter) { panic(http.ErrAbortHandler) }, pair.ErrUnknownOutcome, 0},
	}
	for _, tt := range tests {
		t.Run(tt.rule, func(t *testing.T) {
			s := newTopic(t, tt.answer)
			client := s.Client()
			client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
			err := s.publisher(t).Publish(t.Context(), []pair.Post{post(1, `{}`)})
			if !errors.Is(err, tt.want) {
				t.Errorf("error = %v, want %v", err, tt.want)
			}
			if got := pair.RetryAfter(err, 0); got != tt.after {
				t.Errorf("wait = %v, want %v", got, tt.after)
			}
			if bodies, _ := s.sent(); len(bodies) != 1 {
				t.Errorf("%d requests; the outbox is the retry", len(bodies))
			}
			if strings.Contains(err.Error(), "top-secret-key") || strings.Contains(err.Error(), "internal-detail") {
				t.Errorf("error tells too much: %v", err)
			}
		})
	}
}

// transport answers without a network.
type transport func(*http.Request) (*http.Response, error)

func (f transport) Do(r *http.Request) (*http.Response, error) { return f(r) }

// credential fails like one that cannot get a token.
type credential struct{ err error }

func (c credential) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{Token: "t", ExpiresOn: time.Now().Add(time.Hour)}, c.err
}

func TestPublishWithoutAnAnswer(t *testing.T) {
	fails := func(err error) transport {
		return func(*http.Request) (*http.Response, error) { return nil, err }
	}
	tests := []struct {
		rule string
		o    events.PublisherOptions
		want error
	}{
		{"nobody listens: nothing was sent", events.PublisherOptions{Credential: credential{}, Transport: fails(&net.OpError{Op: "dial", Err: errors.New("refused")})}, pair.ErrUnreachable},
		{"the name is unknown: nothing was sent", events.PublisherOptions{Credential: credential{}, Transport: fails(&net.DNSError{Err: "no such host"})}, pair.ErrUnreachable},
		{"a timeout leaves the outcome open", events.PublisherOptions{Credential: credential{}, Transport: fails(context.DeadlineExceeded)}, pair.ErrUnknownOutcome},
		{"no token, no request", events.PublisherOptions{Credential: credential{errors.New("no identity")}, Transport: fails(errors.New("must not be called"))}, pair.ErrRefused},
	}
	for _, tt := range tests {
		t.Run(tt.rule, func(t *testing.T) {
			tt.o.Endpoint = "https://topic.example/api/events"
			p, err := events.NewPublisher(tt.o)
			if err != nil {
				t.Fatal(err)
			}
			if err := p.Publish(t.Context(), []pair.Post{post(1, `{}`)}); !errors.Is(err, tt.want) {
				t.Errorf("error = %v, want %v", err, tt.want)
			}
		})
	}
}

func TestNewPublisherChecksItsOptions(t *testing.T) {
	key := azcore.NewKeyCredential("k")
	tests := []struct {
		rule string
		o    events.PublisherOptions
		ok   bool
	}{
		{"https and a key", events.PublisherOptions{Endpoint: "https://topic.example/api/events", Key: key}, true},
		{"https and an identity", events.PublisherOptions{Endpoint: "https://topic.example/api/events", Credential: credential{}}, true},
		{"no endpoint", events.PublisherOptions{Key: key}, false},
		{"plain http", events.PublisherOptions{Endpoint: "http://topic.example/api/events", Key: key}, false},
		{"a password in the endpoint", events.PublisherOptions{Endpoint: "https://u:hidden@topic.example/", Key: key}, false},
		{"nobody to publish as", events.PublisherOptions{Endpoint: "https://topic.example/api/events"}, false},
		{"two to publish as", events.PublisherOptions{Endpoint: "https://topic.example/api/events", Key: key, Credential: credential{}}, false},
	}
	for _, tt := range tests {
		t.Run(tt.rule, func(t *testing.T) {
			_, err := events.NewPublisher(tt.o)
			if (err == nil) != tt.ok {
				t.Fatalf("error = %v", err)
			}
			if err != nil && (!errors.Is(err, pair.ErrInvalid) || strings.Contains(err.Error(), "hidden")) {
				t.Errorf("error = %v", err)
			}
		})
	}
}

// TestPublishedAsDocumented sends every example of docs/events.md and compares
// what arrives with what the document shows.
func TestPublishedAsDocumented(t *testing.T) {
	doc, err := os.ReadFile("../../../docs/events.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```json\n(.*?)\n```").FindAllSubmatch(doc, -1)
	if len(blocks) == 0 {
		t.Fatal("the document shows no example")
	}
	s := newTopic(t, nil)
	p := s.publisher(t)
	for i, block := range blocks {
		var shown struct {
			ID, Type string
			Time     time.Time
			Data     json.RawMessage
		}
		if err := json.Unmarshal(block[1], &shown); err != nil {
			t.Fatal(err)
		}
		if err := p.Publish(t.Context(), []pair.Post{{ID: shown.ID, Kind: pair.PostEvent, Type: shown.Type, At: shown.Time, Body: shown.Data}}); err != nil {
			t.Fatal(err)
		}
		var want any
		var got []any
		bodies, _ := s.sent()
		if err := errors.Join(json.Unmarshal(block[1], &want), json.Unmarshal(bodies[i], &got)); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]any{want}, got); diff != "" {
			t.Errorf("%s (-documented +sent):\n%s", shown.Type, diff)
		}
	}
}
