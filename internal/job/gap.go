package job

import (
	"tandem/internal/pair"
)

// measure adds a look at the front end to what is known of an interruption.
func (t *Turn) measure() {
	g, seen := &t.Job.Gap, &t.In.Observation.Front
	if seen.Answer == pair.ServiceUnknown || !seen.At.After(g.LastOK) {
		return // not looked at, or this look has counted
	}
	g.Looks++
	if seen.Answer == pair.ServiceFailed {
		g.Failed++
		g.Broken = true
		return
	}
	if g.Broken && !g.LastOK.IsZero() {
		g.Longest = max(g.Longest, pair.Duration(seen.At.Sub(g.LastOK)))
	}
	g.Broken, g.LastOK = false, seen.At
}
