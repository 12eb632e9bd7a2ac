//go:build race

package story

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"tandem/internal/lab"
)

// oneOf is how many plays of a kind there are for each that is played. The race
// detector makes them eight times slower, and what it watches is alike in all of
// them; make test plays all of them without it.
const oneOf = 4

// longest is the longest story that is played with it; three of four are shorter.
const longest = 15 * time.Minute

// watched is how TestStories plays a story.
var watched = half

// half plays a story's half with the program, before fifty clients at most, and
// takes what it expects of the load balancer alone for granted. The race detector
// makes that half eight times slower, and the other half has nothing of the program
// to be watched; without the detector both are played in full.
func half(t *testing.T, sc lab.Scenario, seed uint64) (out Outcome) {
	t.Helper()
	sc.Clients.Count = min(sc.Clients.Count, 50)
	synctest.Test(t, func(t *testing.T) {
		var measured lab.Outage
		var events []string
		var err error
		if out, measured, events, err = With(context.WithoutCancel(t.Context()), sc, Options{Seed: seed}); err != nil {
			t.Fatal(err)
		}
		alone := lab.Outage{Total: sc.Expect.Outage.AloneAtLeast, Split: sc.Expect.SplitWithout}
		alone.Resolved.Wrong = sc.Expect.GEO.AloneAtLeast
		judge(sc, &out, measured, alone, events)
	})
	out.Passed = len(out.Failures) == 0
	return out
}
