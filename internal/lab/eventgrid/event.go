package eventgrid

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"
)

// Schema is how a subscription wants its events.
type Schema int

// The schemas of Event Grid; the zero value is none of them.
const (
	EventGridSchema Schema = iota + 1
	CloudEventSchemaV1_0
)

// String returns the name that Resource Manager uses.
func (s Schema) String() string {
	switch s {
	case EventGridSchema:
		return "EventGridSchema"
	case CloudEventSchemaV1_0:
		return "CloudEventSchemaV1_0"
	}
	return "unknown schema"
}

// Event is one event, in the words of both schemas.
type Event struct {
	ID      string
	Type    string
	Subject string
	// Source is where the event comes from: the CloudEvents source, which is
	// the topic of the Event Grid schema.
	Source string
	Time   time.Time
	// Data is anything that encoding/json can write.
	Data any
	// DataVersion is the version of Data's shape; only the Event Grid schema
	// shows it.
	DataVersion string
}

// eventGridEvent is an event in the Event Grid schema (azure.md 4).
type eventGridEvent struct {
	ID              string          `json:"id"`
	Topic           string          `json:"topic"`
	Subject         string          `json:"subject"`
	EventType       string          `json:"eventType"`
	DataVersion     string          `json:"dataVersion"`
	MetadataVersion string          `json:"metadataVersion"`
	EventTime       string          `json:"eventTime"`
	Data            json.RawMessage `json:"data"`
}

// cloudEvent is an event in CloudEvents 1.0.
type cloudEvent struct {
	ID          string          `json:"id"`
	Source      string          `json:"source"`
	Subject     string          `json:"subject"`
	Type        string          `json:"type"`
	SpecVersion string          `json:"specversion"`
	Time        string          `json:"time"`
	Data        json.RawMessage `json:"data"`
}

// encode writes the event in a schema. Only data that isn't JSON can fail.
func (e Event) encode(schema Schema) (json.RawMessage, error) {
	data, err := marshal(e.Data)
	if err != nil {
		return nil, fmt.Errorf("encode data of event %s: %w", e.ID, err)
	}
	if schema == CloudEventSchemaV1_0 {
		return marshal(cloudEvent{
			ID: e.ID, Source: e.Source, Subject: e.Subject, Type: e.Type,
			SpecVersion: "1.0", Time: timestamp(e.Time), Data: data,
		})
	}
	return marshal(eventGridEvent{
		ID: e.ID, Topic: e.Source, Subject: e.Subject, EventType: e.Type,
		DataVersion: e.DataVersion, MetadataVersion: metadataVersion, EventTime: timestamp(e.Time), Data: data,
	})
}

const metadataVersion = "1"

// timestamp has the seven digits of every example.
func timestamp(at time.Time) string {
	return at.UTC().Format("2006-01-02T15:04:05.0000000Z")
}

// marshal writes compact JSON without HTML escapes.
func marshal(value any) (json.RawMessage, error) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return nil, err
	}
	return bytes.TrimSpace(out.Bytes()), nil
}
