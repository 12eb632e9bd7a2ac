package loadmaster_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"tandem/internal/loadmaster"
	"tandem/internal/pair"
)

// TestASecondAttemptMakesOneLogin: a unit locks the account after three failed
// logins, and the attempt before this one has made one or two.
func TestASecondAttemptMakesOneLogin(t *testing.T) {
	const v2, v1 = "v2 getazurehaparams", "v1 getazurehaparams"
	refuses := func(c call) reply { return failed(c, 401, "no") }
	old := func(code int) func(call) reply {
		unit := newHealthy()
		return func(c call) reply {
			if c.api == "v2" {
				return reply{status: code, body: "<html>"}
			}
			return unit.answer(c)
		}
	}
	tests := []struct {
		name   string
		knows  func(call) reply // what the unit answered before; nil is never asked
		answer func(call) reply
		once   bool
		want   []string
		rest   time.Duration
	}{
		{"the first may find out in two which API the unit takes", nil, refuses, false, []string{v2, v1}, time.Hour},
		{"the second makes one", nil, refuses, true, []string{v2}, 2 * time.Minute},
		{"and tries the other API where that costs no login", nil, old(404), true, []string{v2, v1}, 0},
		{"it is made in the API that the unit took", old(401), refuses, true, []string{v1}, 2 * time.Minute},
		{"the first as well", old(401), refuses, false, []string{v1}, 2 * time.Minute},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			answer := tt.knows
			inBubble(t, func(c call) reply { return answer(c) }, func(t *testing.T, w *world) {
				once := false
				c := newClient(t, loadmaster.Options{
					Secrets: w.secrets, DialContext: w.own.DialContext, OneLogin: func(context.Context) bool { return once },
				})
				defer c.Close()
				if tt.knows != nil {
					if _, err := c.HAParameters(t.Context(), w.pair); err != nil {
						t.Fatal(err)
					}
				}
				for range 2 { // the second is made as the first, or an API would be forgotten in between
					w.forget()
					answer, once = tt.answer, tt.once
					_, err := c.HAParameters(t.Context(), w.pair)
					if got := w.asked(); !slices.Equal(got, tt.want) {
						t.Errorf("got calls %q, want %q", got, tt.want)
					}
					if got := pair.RetryAfter(err, 0); errors.Is(err, pair.ErrRefused) != (tt.rest > 0) || got != tt.rest {
						t.Errorf("got %v and a rest of %v, want a rest of %v", err, got, tt.rest)
					}
					time.Sleep(2 * time.Minute)
					if tt.rest == 0 {
						return
					}
				}
			})
		})
	}
}
