package handlers

import (
	"context"
	"fmt"
	"log/slog"
)

// sweep is the timer. The call itself is the message: what the host says about
// its schedule is not read, because the program goes by its own clock and its
// own record (functions-host.md 2.4).
func (s *server) sweep(ctx context.Context, _ *slog.Logger, _ []byte) error {
	if err := s.Program.Sweep(ctx); err != nil {
		return fmt.Errorf("sweep: %w", err)
	}
	return nil
}
