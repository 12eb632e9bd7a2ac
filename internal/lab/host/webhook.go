package host

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
)

// serveWebhook answers Event Grid by the table of functions-host.md 5.1. The
// handler only ever sees events.
func (l *life) serveWebhook(w http.ResponseWriter, r *http.Request) {
	if !l.host.mayDeliver(r) {
		http.Error(w, "", http.StatusUnauthorized)
		return
	}
	name := r.URL.Query().Get("functionName")
	f := l.host.functionNamed(name)
	if f == nil || f.info.Disabled || !f.trigger.isType("eventGridTrigger") {
		http.Error(w, fmt.Sprintf("cannot find function: '%s'", name), http.StatusNotFound)
		return
	}
	if r.Method == http.MethodOptions {
		w.Header().Set("Webhook-Allowed-Origin", allowedOrigin(r.Header.Get("WebHook-Request-Origin")))
		w.WriteHeader(http.StatusOK)
		return
	}
	switch strings.ToLower(r.Header.Get("aeg-event-type")) {
	case "subscriptionvalidation":
		serveValidation(w, r)
	case "notification":
		l.serveNotification(w, r, f)
	case "unsubscribe":
		w.WriteHeader(http.StatusAccepted)
	default:
		http.Error(w, "", http.StatusBadRequest)
	}
}

func (h *Host) mayDeliver(r *http.Request) bool {
	key := h.config.WebhookKey
	return key == "" || r.URL.Query().Get("code") == key || r.Header.Get("x-functions-key") == key
}

// allowedOrigin echoes Event Grid's own origins and answers its public name to
// everybody else.
func allowedOrigin(origin string) string {
	const public = "eventgrid.azure.net"
	if slices.Contains([]string{public, "eventgrid.azure.us", "eventgrid.azure.cn"}, strings.ToLower(origin)) {
		return origin
	}
	return public
}

func serveValidation(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var events []struct {
		Data struct {
			ValidationCode string `json:"validationCode"`
		} `json:"data"`
	}
	if err == nil {
		err = json.Unmarshal(body, &events)
	}
	if err != nil || len(events) == 0 {
		http.Error(w, "expected an array with one validation event", http.StatusInternalServerError)
		return
	}
	answer, err := compact(map[string]string{"validationResponse": events[0].Data.ValidationCode})
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write(answer) // the caller may have gone
}

// serveNotification runs the events, at once and in parallel where the
// function takes one at a time. One failure fails the whole request, so that
// events that succeeded come again (functions-host.md 3.5).
func (l *life) serveNotification(w http.ResponseWriter, r *http.Request, f *function) {
	body, err := io.ReadAll(r.Body)
	var calls []*call
	if err == nil {
		calls, err = eventCalls(f, body, l.host.config.BatchAsArray)
	}
	if err == nil {
		err = l.invokeAll(calls)
	}
	l.dropIfHalted()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.WriteHeader(http.StatusAccepted)
}

func (l *life) invokeAll(calls []*call) error {
	errs := make([]error, len(calls))
	var running sync.WaitGroup
	for i, c := range calls {
		running.Go(func() { _, errs[i] = l.invoke(c) })
	}
	running.Wait()
	return errors.Join(errs...)
}

// eventCalls builds one call for each event, or one for all of them where the
// cardinality is many.
func eventCalls(f *function, body []byte, batchAsArray bool) ([]*call, error) {
	events, err := readEvents(body)
	if err != nil {
		return nil, err
	}
	if f.many() {
		var value any = events
		if batchAsArray {
			value = plainArray(events)
		}
		c, err := newCall(f, value, eventsMetadata(events))
		return []*call{c}, err
	}
	calls := make([]*call, len(events))
	for i, event := range events {
		if calls[i], err = newCall(f, event, eventMetadata(event)); err != nil {
			return nil, err
		}
	}
	return calls, nil
}

// readEvents reads an array of event objects or one object.
func readEvents(body []byte) ([]json.RawMessage, error) {
	body = bytes.TrimSpace(body)
	if len(body) > 0 && body[0] == '{' {
		body = slices.Concat([]byte("["), body, []byte("]"))
	}
	var events []json.RawMessage
	if err := json.Unmarshal(body, &events); err != nil {
		return nil, fmt.Errorf("read events: %w", err)
	}
	for _, event := range events {
		if len(event) == 0 || event[0] != '{' {
			return nil, errors.New("read events: an event must be an object")
		}
	}
	return events, nil
}

// eventMetadata is the event's data (functions-host.md 2.6).
func eventMetadata(event json.RawMessage) metadata {
	if data := eventData(event); data != nil {
		return metadata{"data": data}
	}
	return metadata{}
}

func eventsMetadata(events []json.RawMessage) metadata {
	all := make([]json.RawMessage, len(events))
	for i, event := range events {
		if all[i] = eventData(event); all[i] == nil {
			all[i] = json.RawMessage("null")
		}
	}
	return metadata{"data": all}
}

func eventData(event json.RawMessage) json.RawMessage {
	for _, f := range fieldsOf(event) {
		if f.name == "data" && string(f.value) != "null" {
			return f.value
		}
	}
	return nil
}
