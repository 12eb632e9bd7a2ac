package control_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"tandem/internal/control"
	"tandem/internal/pair"
)

// TestASlowStoreIsToBlameForTheWholePass: what cut the last request off at once is
// whatever took the time of the pass before it.
func TestASlowStoreIsToBlameForTheWholePass(t *testing.T) {
	tests := []struct {
		name         string
		load, report time.Duration // what these take
		blind        bool
	}{
		{"a store that took the time makes blind", 4900 * time.Millisecond, 15 * time.Second, true},
		{"a store that took a second makes blind", time.Second, 18900 * time.Millisecond, true},
		{"a unit that took it does not", 0, 19900 * time.Millisecond, false},
		{"nor a unit beside a store that is as always", 200 * time.Millisecond, 19700 * time.Millisecond, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				w := newWorld(t, believing)
				store := &troubled{}
				c := w.controller(&effects{}, func(o *control.Options) {
					store.Store = o.Store
					o.Store = store
				})
				look := func() error { return c.Pass(t.Context(), edge, pair.Cause{Kind: pair.CauseSweep}) }
				if err := look(); err != nil {
					t.Fatal(err)
				}
				w.split()
				store.trouble = func(ctx context.Context, request string) (bool, error) {
					switch request {
					case "load":
						time.Sleep(tt.load)
					case "take lease":
						<-ctx.Done()
						return false, fmt.Errorf("%w: %w", pair.ErrUnknownOutcome, ctx.Err())
					}
					return false, nil
				}
				w.units.onReport = func(ctx context.Context) {
					select {
					case <-time.After(tt.report):
					case <-ctx.Done():
					}
				}
				for range 3 {
					if err := look(); err == nil {
						t.Fatal("a pass went well, the test is wrong")
					}
				}
				store.trouble, w.units.onReport = nil, nil
				if err := look(); err != nil {
					t.Fatal(err)
				}
				if rows := w.rows(); slices.Contains(rows, "blind") != tt.blind {
					t.Errorf("rows %v; want blind: %v", rows, tt.blind)
				}
			})
		})
	}
}
