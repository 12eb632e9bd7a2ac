package handlers

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"tandem/internal/pair"
)

// errPayload marks errors about what the host brought: the same payload would
// fail again, so nobody shall bring it again.
var errPayload = errors.New("payload cannot be used")

// triggerValue returns the value of the only input of an invocation, which is
// the trigger's, as a JSON object or array.
//
// The name of the binding does not matter. Metadata is not read at all: fields
// of a queue message overwrite the host's own there (functions-host.md 2.3).
func triggerValue(body []byte) (json.RawMessage, error) {
	var invocation struct {
		Data map[string]json.RawMessage
	}
	if err := json.Unmarshal(body, &invocation); err != nil {
		return nil, fmt.Errorf("%w: not an invocation: %w", errPayload, pair.ErrUnreadable)
	}
	if len(invocation.Data) != 1 {
		return nil, fmt.Errorf("%w: %d inputs instead of the trigger's alone: %w", errPayload, len(invocation.Data), pair.ErrUnreadable)
	}
	for _, value := range invocation.Data {
		return unwrap(value)
	}
	panic("handlers: a map of one without an entry")
}

// maxQuotes is how deep a value is packed into strings at most: the text of a
// queue message comes as JSON inside a string inside a string, a batch of
// events as JSON inside a string, one event as it is (functions-host.md 2.2).
const maxQuotes = 2

// unwrap takes the strings around a JSON object or array away. What it returns
// starts like one, and may still be broken inside.
func unwrap(raw json.RawMessage) (json.RawMessage, error) {
	for range maxQuotes + 1 {
		raw = bytes.TrimSpace(raw)
		if len(raw) > 0 && (raw[0] == '{' || raw[0] == '[') {
			return raw, nil
		}
		var s string
		if err := json.Unmarshal(raw, &s); err != nil {
			break // plain text, a number, null
		}
		raw = json.RawMessage(s)
	}
	return nil, fmt.Errorf("%w: neither an object nor an array: %w", errPayload, pair.ErrUnreadable)
}
