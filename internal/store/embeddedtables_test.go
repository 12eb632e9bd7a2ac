package store

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"tandem/internal/pair"
)

func TestATableGateDecidesWhatReachesTheTables(t *testing.T) {
	lost := fmt.Errorf("lost: %w", pair.ErrUnknownOutcome)
	tests := []struct {
		name   string
		gate   TableGate
		want   error
		landed bool
	}{
		{"what it lets through is as without it", func(_ context.Context, _ bool, do func() error) error { return do() }, nil, true},
		{"what it stops did nothing", func(context.Context, bool, func() error) error { return pair.ErrUnreachable }, pair.ErrUnreachable, false},
		{"an answer that it loses leaves what was done", func(_ context.Context, _ bool, do func() error) error {
			return errors.Join(lost, do())
		}, pair.ErrUnknownOutcome, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := NewEmbedded(EmbeddedOptions{})
			free := e.Store(HandleOptions{})
			snap := define(t, free, definition("edge-weu", 1))
			gated := e.Store(HandleOptions{Tables: func(ctx context.Context, write bool, do func() error) error {
				if !write {
					return do()
				}
				return tt.gate(ctx, write, do)
			}})
			load(t, gated, "edge-weu")
			_, err := gated.Commit(t.Context(), snap, decided(snap))
			wantKind(t, err, tt.want)
			if got := load(t, free, "edge-weu").Record.Epoch == 2; got != tt.landed {
				t.Errorf("landed is %t, want %t", got, tt.landed)
			}
			if err := gated.Send(t.Context(), pair.QueuePairs, pair.Message{}, 0); err != nil {
				t.Errorf("send a message: %v, want queues to work", err)
			}
		})
	}
}

func TestARecordMarkedByANewerReleaseIsLeftAlone(t *testing.T) {
	e := NewEmbedded(EmbeddedOptions{})
	s := e.Store(HandleOptions{})
	wantKind(t, e.MarkRecord("edge-weu", 99), pair.ErrNotFound)
	before := define(t, s, definition("edge-weu", 1))
	if err := e.MarkRecord("edge-weu", 99); err != nil {
		t.Fatal(err)
	}
	got, err := s.Load(t.Context(), "edge-weu")
	wantKind(t, err, pair.ErrTooNew)
	if got.Version != "" || got.Record.MinReader != 99 || got.Record.Epoch != before.Record.Epoch {
		t.Errorf("read version %q, minimum reader %d, epoch %d; want none, 99 and %d", got.Version, got.Record.MinReader, got.Record.Epoch, before.Record.Epoch)
	}
	if _, err := s.AcquireLease(t.Context(), before, "w1", time.Now(), ttl); err == nil {
		t.Error("a worker that had read the record before took the lease")
	}
}
