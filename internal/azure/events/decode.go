package events

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"tandem/internal/pair"
)

// Bounds of what is read. A delivery of Event Grid holds at most 1 MB and 5000
// events (functions-host.md 5.3); escaping makes it larger on the way.
const (
	maxBytes  = 8 << 20
	maxEvents = 5000

	maxID      = 256
	maxType    = 256
	maxSubject = 2048
)

// The event types that are acted on; every other type is passed over. A test
// compares them with the SDK's constants.
const (
	typeAvailability = "Microsoft.ResourceNotifications.HealthResources.AvailabilityStatusChanged"
	typeAnnotated    = "Microsoft.ResourceNotifications.HealthResources.ResourceAnnotated"

	typeWriteSuccess  = "Microsoft.Resources.ResourceWriteSuccess"
	typeWriteFailure  = "Microsoft.Resources.ResourceWriteFailure"
	typeWriteCancel   = "Microsoft.Resources.ResourceWriteCancel"
	typeDeleteSuccess = "Microsoft.Resources.ResourceDeleteSuccess"
	typeDeleteFailure = "Microsoft.Resources.ResourceDeleteFailure"
	typeDeleteCancel  = "Microsoft.Resources.ResourceDeleteCancel"
	typeActionSuccess = "Microsoft.Resources.ResourceActionSuccess"
)

// readers maps event types, in lower case, to the reader of their data. An
// action that failed or was cancelled says nothing about the VM: the power
// state is what it was.
var readers = map[string]func(*Event, json.RawMessage) error{
	strings.ToLower(typeAvailability): readAvailability,
	strings.ToLower(typeAnnotated):    readAnnotation,

	strings.ToLower(typeWriteSuccess):  readWrite,
	strings.ToLower(typeWriteFailure):  readWrite,
	strings.ToLower(typeWriteCancel):   readWrite,
	strings.ToLower(typeDeleteSuccess): readDelete,
	strings.ToLower(typeDeleteFailure): readWrite,
	strings.ToLower(typeDeleteCancel):  readWrite,
	strings.ToLower(typeActionSuccess): readAction,
}

// Decode reads the events of one delivery: an event or an array of them, each
// in the Event Grid schema or as CloudEvents 1.0, or a JSON string that holds
// either, which is how the Functions host hands over batches
// (functions-host.md 2.6).
//
// Each event that cannot be read is one error and does not keep the others from
// counting. A delivery that cannot be read at all is one error. All errors wrap
// pair.ErrUnreadable or pair.ErrTooLarge and quote at most an event's id.
func Decode(raw json.RawMessage) ([]Event, []error) {
	items, err := split(raw)
	if err != nil {
		return nil, []error{fmt.Errorf("read events: %w", err)}
	}
	var events []Event
	var errs []error
	for i, item := range items {
		e, err := decode(item)
		if err != nil {
			errs = append(errs, fmt.Errorf("read event %d of %d, id %q: %w", i+1, len(items), e.ID, err))
			continue
		}
		events = append(events, e)
	}
	return events, errs
}

// split takes a delivery apart without looking into the events.
func split(raw json.RawMessage) ([]json.RawMessage, error) {
	if len(raw) > maxBytes {
		return nil, fmt.Errorf("%d bytes, %d are allowed: %w", len(raw), maxBytes, pair.ErrTooLarge)
	}
	raw = unquoted(raw)
	if kind(raw) == '{' {
		return []json.RawMessage{raw}, nil
	}
	var items []json.RawMessage
	if kind(raw) != '[' || json.Unmarshal(raw, &items) != nil {
		return nil, fmt.Errorf("neither an event nor an array of events: %w", pair.ErrUnreadable)
	}
	if len(items) > maxEvents {
		return nil, fmt.Errorf("%d events, %d are allowed: %w", len(items), maxEvents, pair.ErrTooLarge)
	}
	return items, nil
}

// envelope holds the fields of both schemas; CloudEvents is told apart by its
// specversion (functions-host.md 2.6).
type envelope struct {
	ID          text            `json:"id"`
	Subject     text            `json:"subject"`
	Data        json.RawMessage `json:"data"`
	SpecVersion text            `json:"specversion"`
	Type        text            `json:"type"`
	Time        text            `json:"time"`
	DataBase64  text            `json:"data_base64"`
	EventType   text            `json:"eventType"`
	EventTime   text            `json:"eventTime"`
}

// decode reads one event. On an error the event holds its id as far as known.
func decode(raw json.RawMessage) (Event, error) {
	var env envelope
	if kind(raw) != '{' || json.Unmarshal(raw, &env) != nil {
		return Event{}, fmt.Errorf("not a JSON object: %w", pair.ErrUnreadable)
	}
	typ, at := env.EventType, env.EventTime
	if env.SpecVersion != "" {
		typ, at = env.Type, env.Time
	}
	e := Event{ID: bounded(env.ID, maxID), Type: bounded(typ, maxType), At: at.time()}
	if e.ID == "" || e.Type == "" {
		return e, fmt.Errorf("no id, no type, or one of more than %d bytes: %w", maxID, pair.ErrUnreadable)
	}
	if len(env.Subject) > maxSubject {
		return e, fmt.Errorf("a subject of %d bytes: %w", len(env.Subject), pair.ErrUnreadable)
	}
	e.Subject = string(pair.NewResourceID(string(env.Subject)))
	read := readers[strings.ToLower(e.Type)]
	if read == nil {
		return e, nil
	}
	data, err := env.data()
	if err != nil {
		return e, err
	}
	err = read(&e, data)
	return e, err
}

// data returns the event's data as a JSON object.
func (env *envelope) data() (json.RawMessage, error) {
	data := unquoted(env.Data)
	if len(data) == 0 {
		b, err := base64.StdEncoding.DecodeString(string(env.DataBase64))
		if err != nil {
			return nil, fmt.Errorf("data is not base64: %w", pair.ErrUnreadable)
		}
		data = b
	}
	if kind(data) != '{' || !json.Valid(data) {
		return nil, fmt.Errorf("data is not a JSON object: %w", pair.ErrUnreadable)
	}
	return data, nil
}

// unquoted returns the JSON inside a JSON string that holds an object or an
// array, and everything else as it is.
func unquoted(raw json.RawMessage) json.RawMessage {
	raw = bytes.TrimSpace(raw)
	var s string
	if kind(raw) != '"' || json.Unmarshal(raw, &s) != nil {
		return raw
	}
	inner := bytes.TrimSpace([]byte(s))
	if k := kind(inner); k != '{' && k != '[' {
		return raw
	}
	return inner
}

// kind returns the first byte of a JSON value, which tells what it is, and 0
// for nothing.
func kind(raw json.RawMessage) byte {
	if raw = bytes.TrimSpace(raw); len(raw) > 0 {
		return raw[0]
	}
	return 0
}

// text is a JSON string; anything else in its place counts as absent, so that
// one odd field does not cost the whole event (azure.md 4.4).
type text string

// UnmarshalJSON never fails.
func (t *text) UnmarshalJSON(b []byte) error {
	var s string
	if json.Unmarshal(b, &s) == nil {
		*t = text(s)
	}
	return nil
}

// time returns the time in UTC, zero when it is none.
func (t text) time() time.Time {
	at, err := time.Parse(time.RFC3339Nano, string(t))
	if err != nil || at.Year() < 2000 {
		return time.Time{} // also .NET's zero date, which is the year 1
	}
	return at.UTC()
}

// object is a JSON object, or a JSON string that holds one; anything else in
// its place counts as absent (azure.md 4.4).
type object[T any] struct{ fields T }

// UnmarshalJSON never fails.
func (o *object[T]) UnmarshalJSON(b []byte) error {
	if b = unquoted(b); kind(b) == '{' {
		var fields T
		if json.Unmarshal(b, &fields) == nil {
			o.fields = fields
		}
	}
	return nil
}

// bounded returns the text when it is not longer than limit, otherwise nothing.
func bounded(t text, limit int) string {
	if len(t) > limit {
		return ""
	}
	return string(t)
}
