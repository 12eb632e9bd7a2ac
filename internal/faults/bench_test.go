package faults

import (
	"context"
	"testing"
	"time"

	"tandem/internal/lab"
	"tandem/internal/lab/bubble"
)

// BenchmarkVirtualDay plays a day of one pair in the light world, with a crash
// and a split in it: it shall take under ten seconds.
func BenchmarkVirtualDay(b *testing.B) {
	sc := lab.Scenario{Name: "day", Summary: "A day with a crash and a split.", For: 24 * time.Hour, Boot: 2 * time.Minute, Steps: []lab.Step{
		{At: 6 * time.Hour, Do: "crash", Unit: "first"},
		{At: 6*time.Hour + 10*time.Minute, Do: "boot", Unit: "first"},
		{At: 12 * time.Hour, Do: "cut"},
		{At: 12*time.Hour + 10*time.Minute, Do: "heal"},
	}}
	for b.Loop() {
		bubble.Run(func() {
			w, err := newWorld(sc, 1, newLedger())
			if err != nil {
				b.Error(err)
				return
			}
			w.play(context.Background(), 0, nil)
			if w.check.found != nil {
				b.Error(*w.check.found)
			}
		})
	}
}
