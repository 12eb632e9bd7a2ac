package handlers

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"regexp"

	"tandem/internal/pair"
)

const (
	// messageVersion is the newest form of a message that this release reads.
	messageVersion = 1
	// maxPairs is how many pairs a message may name (DESIGN section 4).
	maxPairs = 50
	// maxName is the longest name of a pair (pair.Definition).
	maxName = 40
	// maxJob bounds the id of a job, <pair>-<epoch>-<seq>.
	maxJob = 80
)

// pairName is the form of a pair's name (pair.Definition).
var pairName = regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9]+)*$`)

// reconcile is the queues tandem-pairs and tandem-jobs: a job is carried on by a pass
// over its pair.
func (s *server) reconcile(ctx context.Context, _ *slog.Logger, body []byte) error {
	value, err := triggerValue(body)
	if err != nil {
		return fmt.Errorf("take message: %w", err)
	}
	m, err := readMessage(value)
	if err != nil {
		return fmt.Errorf("take message: %w", err)
	}
	if err := s.Program.Reconcile(ctx, m); err != nil {
		return fmt.Errorf("reconcile %d pairs: %w", len(m.Pairs), err)
	}
	return nil
}

// readMessage reads and checks a message. A message of a newer release is
// pair.ErrTooNew, whatever else stands in it; a message that says no version is
// one of version 1, so that a person can send one by hand.
func readMessage(value json.RawMessage) (pair.Message, error) {
	var form struct {
		V int `json:"v"`
	}
	if err := json.Unmarshal(value, &form); err != nil {
		return pair.Message{}, fmt.Errorf("%w: not a message: %w", errPayload, pair.ErrUnreadable)
	}
	if form.V > messageVersion {
		return pair.Message{}, fmt.Errorf("version %d, %d is the newest known: %w", form.V, messageVersion, pair.ErrTooNew)
	}
	var m pair.Message
	if err := json.Unmarshal(value, &m); err != nil {
		return pair.Message{}, fmt.Errorf("%w: not a message of version 1: %w", errPayload, pair.ErrUnreadable)
	}
	if m.V < 0 || m.Kind != "wake" || m.Attempt < 0 {
		return pair.Message{}, fmt.Errorf("%w: version %d, kind %.20q, attempt %d: %w", errPayload, m.V, m.Kind, m.Attempt, pair.ErrInvalid)
	}
	if n := len(m.Pairs) + len(m.Topologies); n == 0 || n > maxPairs {
		return pair.Message{}, fmt.Errorf("%w: %d pairs and topologies, 1 to %d are allowed: %w", errPayload, n, maxPairs, pair.ErrInvalid)
	}
	if len(m.Job) > maxJob {
		return pair.Message{}, fmt.Errorf("%w: job %.60q: expected the id of a job: %w", errPayload, m.Job, pair.ErrInvalid)
	}
	for _, name := range m.Pairs {
		if len(name) > maxName || !pairName.MatchString(name) {
			return pair.Message{}, fmt.Errorf("%w: %.60q is no name of a pair: %w", errPayload, name, pair.ErrInvalid)
		}
	}
	for _, name := range m.Topologies {
		if len(name) > maxName || !pairName.MatchString(name) {
			return pair.Message{}, fmt.Errorf("%w: %.60q is no name of a topology: %w", errPayload, name, pair.ErrInvalid)
		}
	}
	m.V = messageVersion
	return m, nil
}
