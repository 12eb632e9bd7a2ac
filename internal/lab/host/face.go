package host

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"
)

// largestRequest is the host's own limit of request bodies
// (functions-host.md 1.7).
const largestRequest = 104857600

// Handler is the host's public face: HTTP functions under the route prefix,
// the Event Grid webhook, and the admin endpoints /admin/functions/<Function>,
// /admin/host/status and /admin/host/ping. Function and admin keys aren't
// checked and requests aren't throttled. While Run isn't running it answers 503; after Halt, connections
// are dropped without an answer.
func (h *Host) Handler() http.Handler { return http.HandlerFunc(h.serve) }

func (h *Host) serve(w http.ResponseWriter, r *http.Request) {
	l := h.current()
	if l == nil || !l.enter() {
		http.Error(w, "Function host is not running.", http.StatusServiceUnavailable)
		return
	}
	defer l.busy.Done()
	l.thaw(h.config.Phase)
	r.Body = http.MaxBytesReader(w, r.Body, largestRequest)
	path := strings.ToLower(strings.TrimSuffix(r.URL.Path, "/"))
	switch {
	case path == "/runtime/webhooks/eventgrid":
		l.serveWebhook(w, r)
	case path == "/admin/host/ping" && (r.Method == http.MethodGet || r.Method == http.MethodPost):
		w.WriteHeader(http.StatusOK)
	case path == "/admin/host/status" && r.Method == http.MethodGet:
		h.serveStatus(w)
	case strings.HasPrefix(path, "/admin/functions/") && r.Method == http.MethodPost:
		l.serveRunByHand(w, r)
	default:
		l.serveFunction(w, r)
	}
}

// dropIfHalted ends the request without an answer when the instance died.
func (l *life) dropIfHalted() {
	if l.halted() {
		panic(http.ErrAbortHandler)
	}
}

func (h *Host) functionNamed(name string) *function {
	i := slices.IndexFunc(h.functions, func(f *function) bool {
		return f.info.Err == nil && strings.EqualFold(f.info.Name, name)
	})
	if i < 0 {
		return nil
	}
	return h.functions[i]
}

// hostStatus is the answer of /admin/host/status (functions-host.md 6.4).
type hostStatus struct {
	ID              string       `json:"id"`
	State           string       `json:"state"`
	Version         string       `json:"version"`
	VersionDetails  string       `json:"versionDetails"`
	PlatformVersion string       `json:"platformVersion"`
	InstanceID      string       `json:"instanceId"`
	ComputerName    string       `json:"computerName"`
	ProcessUptime   int64        `json:"processUptime"` // milliseconds
	ContentEditing  string       `json:"functionAppContentEditingState"`
	ExtensionBundle bundleStatus `json:"extensionBundle"`
}

type bundleStatus struct {
	ID      string `json:"id"`
	Version string `json:"version"`
}

func (h *Host) serveStatus(w http.ResponseWriter) {
	h.mu.Lock()
	uptime := time.Since(h.started)
	h.mu.Unlock()
	writeJSON(w, http.StatusOK, hostStatus{
		ID:              "lab-host",
		State:           "Running",
		Version:         Version,
		VersionDetails:  Version,
		InstanceID:      fmt.Sprintf("00000000-0000-4000-8000-%012x", h.config.Seed&0xffffffffffff),
		ComputerName:    "lab",
		ProcessUptime:   uptime.Milliseconds(),
		ContentEditing:  "NotAllowed",
		ExtensionBundle: bundleStatus{ID: h.file.bundleID, Version: "4.38.0"},
	})
}

func writeJSON(w http.ResponseWriter, status int, value any) {
	body, err := compact(value)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(body) // the caller may have gone; nobody else wants to know
}

// serveRunByHand runs a function that isn't an HTTP function in the
// background with the given text as the trigger's value (functions-host.md
// 6.3). The result is only in the log.
func (l *life) serveRunByHand(w http.ResponseWriter, r *http.Request) {
	f := l.host.functionNamed(strings.Trim(r.URL.Path[len("/admin/functions/"):], "/"))
	if f == nil {
		http.Error(w, "", http.StatusNotFound)
		return
	}
	var body struct {
		Input *string `json:"input"`
	}
	data, err := io.ReadAll(r.Body)
	if err != nil || json.Unmarshal(data, &body) != nil || body.Input == nil {
		http.Error(w, `expected {"input": "<text>"}`, http.StatusBadRequest)
		return
	}
	run, err := l.runByHand(f, *body.Input)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	l.busy.Go(run)
	w.WriteHeader(http.StatusAccepted)
}

// runByHand prepares the run; a value that doesn't fit the trigger fails in
// the background like any other run.
func (l *life) runByHand(f *function, input string) (func(), error) {
	switch {
	case f.trigger.isType("timerTrigger"):
		return func() {
			value, err := l.timerNow(f)
			l.runValue(f, value, metadata{}, err)
		}, nil
	case f.trigger.isType("queueTrigger"):
		message := Message{ID: f.random.guid(), PopReceipt: f.random.guid()}
		return func() { l.runValue(f, queueValue(f, []byte(input)), queueMetadata(message), nil) }, nil
	case f.trigger.isType("eventGridTrigger"):
		return func() {
			event, err := oneEvent(f, input)
			l.runValue(f, event, eventMetadata(event), err)
		}, nil
	}
	return nil, fmt.Errorf("function %s: an HTTP function is run by calling its route", f.info.Name)
}

func (l *life) runValue(f *function, value any, about metadata, err error) {
	var c *call
	if err == nil {
		c, err = newCall(f, value, about)
	}
	if err != nil {
		l.host.log(LevelError, "Executed 'Functions.%s' (Failed): %v", f.info.Name, err)
		return
	}
	_, _ = l.invoke(c) // invoke has logged it, and nobody else is told
}

func oneEvent(f *function, text string) (json.RawMessage, error) {
	if f.many() || strings.HasPrefix(strings.TrimSpace(text), "[") {
		return nil, errors.New("only one event, for a function that takes one, can be given by hand")
	}
	events, err := readEvents([]byte(text))
	if err != nil {
		return nil, err
	}
	return events[0], nil
}
