package eventgrid

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"
	"time"
)

// largestPublish is the limit of one publish call (azure.md 7).
const largestPublish = 1 << 20

// Published lists the events that the custom topic took, in their order and
// as they came. Event Grid doesn't remove duplicates, so neither does this.
func (g *Grid) Published() []json.RawMessage {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.published)
}

// TopicHandler is the endpoint of a custom topic whose input schema is
// CloudEvents: POST /api/events with the key in aeg-sas-key or any bearer
// token. All events of a call are checked before one is kept.
func (g *Grid) TopicHandler(key string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		status, err := g.accept(w, r, key)
		if err != nil {
			refuse(w, status, err)
			return
		}
		w.WriteHeader(http.StatusOK)
	})
}

func (g *Grid) accept(w http.ResponseWriter, r *http.Request, key string) (int, error) {
	if r.URL.Path != "/api/events" {
		return http.StatusNotFound, errors.New("the endpoint is /api/events")
	}
	if r.Method != http.MethodPost {
		return http.StatusMethodNotAllowed, errors.New("expected POST")
	}
	if !authorised(r, key) {
		return http.StatusUnauthorized, errors.New("the request has no valid key or token")
	}
	if version := r.URL.Query().Get("api-version"); version != "2018-01-01" {
		return http.StatusBadRequest, fmt.Errorf("api-version %q: expected 2018-01-01", version)
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, largestPublish))
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return http.StatusRequestEntityTooLarge, errors.New("the call is larger than 1 MB")
	}
	if err != nil {
		return http.StatusBadRequest, errors.New("the body can't be read")
	}
	events, err := readCloudEvents(r.Header.Get("Content-Type"), body)
	if err != nil {
		return http.StatusBadRequest, err
	}
	g.keep(events)
	return http.StatusOK, nil
}

func (g *Grid) keep(events []json.RawMessage) {
	g.log(fmt.Sprintf("custom topic took %d events", len(events)))
	g.mu.Lock()
	defer g.mu.Unlock()
	g.published = append(g.published, events...)
}

func authorised(r *http.Request, key string) bool {
	if sent := r.Header.Get("aeg-sas-key"); sent != "" {
		return sent == key
	}
	token, isBearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	return isBearer && strings.TrimSpace(token) != ""
}

// readCloudEvents reads a batch or a single event and checks each by the
// rules of CloudEvents 1.0. A topic of this schema refuses every other one.
func readCloudEvents(contentType string, body []byte) ([]json.RawMessage, error) {
	media, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		return nil, errors.New("a content type is required")
	}
	var events []json.RawMessage
	switch media {
	case "application/cloudevents-batch+json":
		err = json.Unmarshal(body, &events)
	case "application/cloudevents+json":
		events = []json.RawMessage{bytes.TrimSpace(body)}
	default:
		return nil, fmt.Errorf("content type %s: this topic takes CloudEvents only", media)
	}
	if err != nil {
		return nil, errors.New("the body isn't a JSON array")
	}
	for i, event := range events {
		if err := checkCloudEvent(event); err != nil {
			return nil, fmt.Errorf("event %d: %w", i, err)
		}
	}
	return events, nil
}

func checkCloudEvent(event json.RawMessage) error {
	var attributes map[string]json.RawMessage
	if err := json.Unmarshal(event, &attributes); err != nil || attributes == nil {
		return errors.New("expected a JSON object")
	}
	for _, name := range []string{"id", "source", "type", "specversion"} {
		if text, err := textOf(attributes[name]); err != nil || text == "" {
			return fmt.Errorf("%s must be text that isn't empty", name)
		}
	}
	if version, _ := textOf(attributes["specversion"]); version != "1.0" {
		return fmt.Errorf("specversion %q: expected 1.0", version)
	}
	if at, given := attributes["time"]; given {
		text, err := textOf(at)
		if err != nil {
			return errors.New("time must be text")
		}
		if _, err := time.Parse(time.RFC3339Nano, text); err != nil {
			return fmt.Errorf("time %q: expected RFC 3339", text)
		}
	}
	if _, both := attributes["data_base64"]; both && attributes["data"] != nil {
		return errors.New("data and data_base64 exclude each other")
	}
	return nil
}

func textOf(value json.RawMessage) (string, error) {
	var text *string
	if err := json.Unmarshal(value, &text); err != nil {
		return "", err
	}
	if text == nil {
		return "", errors.New("null isn't text")
	}
	return *text, nil
}

// refusal is the service's error body.
type refusal struct {
	Error struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	} `json:"error"`
}

func refuse(w http.ResponseWriter, status int, err error) {
	var body refusal
	body.Error.Code = strings.ReplaceAll(http.StatusText(status), " ", "")
	body.Error.Message = err.Error()
	text, encodeErr := marshal(body)
	if encodeErr != nil {
		http.Error(w, "", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(text) // the caller may have gone
}
