package job

import (
	"fmt"
	"slices"
	"time"

	"tandem/internal/pair"
)

// Turn is one look of a job: what was seen, the job as it shall be remembered, and
// what it wants done. Steps read and ask through it.
type Turn struct {
	// In is what the decision gets too. It must not be changed.
	In *pair.Input
	// Job is the copy that is stored if the proposal is taken.
	Job *pair.Job

	out      pair.Proposal
	step     *pair.JobStep // whose turn it is
	tries    int
	late     bool   // the step's time is over
	approved string // who approved just now
	heeded   bool   // a person's word was done
	wentBack bool
}

// askAgainAfter is how long a step waits before it asks again for an effect that
// was given up: what a guard refused a moment ago, it would refuse again.
const askAgainAfter = 10 * time.Second

// Now is the time of the observation, the only clock of a job.
func (t *Turn) Now() time.Time { return t.In.Observation.At }

// Target is the unit that the job is about, and Old its partner; RoleUnknown where
// it is not about one.
func (t *Turn) Target() pair.Role { return t.Job.Unit }

// Old is the partner of Target.
func (t *Turn) Old() pair.Role { return t.Job.Unit.Other() }

// Name says which unit a role is, for people.
func (t *Turn) Name(r pair.Role) string {
	if !known(r) {
		return "no unit"
	}
	return r.String() + " (" + t.In.Definition.Units.Of(r).VM + ")"
}

// Read wants the load balancers read in this pass, Count the units' connections.
func (t *Turn) Read() { t.out.Read = true }

// Count wants the units' connections counted in this pass.
func (t *Turn) Count() { t.out.Count = true }

// Inspect wants both units asked what they have, and the checks made on this one.
func (t *Turn) Inspect(r pair.Role) { t.out.Inspect = r }

// GEO wants this unit asked what it holds of GEO.
func (t *Turn) GEO(r pair.Role) { t.out.GEO = r }

// Soon wants the next look after d or earlier.
func (t *Turn) Soon(d time.Duration) {
	if t.out.Next == 0 || d < time.Duration(t.out.Next) {
		t.out.Next = pair.Duration(d)
	}
}

// Late reports whether the step's time is over, so that it asks for nothing more.
func (t *Turn) Late() bool { return t.late }

// Ask wants effects that were looked for and not seen. What is being done already
// is not asked for again, nor what was asked for just now, nor more often than the
// step may. note says what the step waits for then.
func (t *Turn) Ask(note string, intents ...pair.Intent) Verdict {
	return t.AskAgainAfter(askAgainAfter, note, intents...)
}

// AskAgainAfter is Ask for an effect that needs longer than usual to be seen after
// it was made, as a reboot: it is not asked for a second time before.
func (t *Turn) AskAgainAfter(after time.Duration, note string, intents ...pair.Intent) Verdict {
	missing := slices.DeleteFunc(slices.Clone(intents), func(i pair.Intent) bool { return slices.ContainsFunc(t.In.Open, i.Same) })
	note += t.refused(intents)
	asked := t.Now().Sub(t.step.AskedAt)
	switch {
	case len(missing) == 0, t.late:
		return Wait(note)
	case t.step.Tries > 0 && asked >= 0 && asked < after:
		return Wait(note)
	case t.step.Tries >= t.tries:
		return Fail(note + ": it was asked for " + times(t.step.Tries) + " and is not seen; look at the journal for what refused it")
	}
	for n := range missing {
		if i := &missing[n]; i.Pool != "" {
			i.Deadline = t.Now().Add(pair.FenceFor)
		}
	}
	t.step.Tries++
	t.step.AskedAt = t.Now()
	t.out.Intents = append(t.out.Intents, missing...)
	return Wait(note)
}

// refused says why effects that are being tried were not made so far.
func (t *Turn) refused(intents []pair.Intent) string {
	for _, o := range t.In.Open {
		if o.LastErr != "" && slices.ContainsFunc(intents, o.Same) {
			return fmt.Sprintf("; so far: %.200s", o.LastErr)
		}
	}
	return ""
}

// Asked reports whether the step has asked for anything.
func (t *Turn) Asked() bool { return t.step.Tries > 0 }

// Steady reports whether something has been so at each look for a time. There is
// one such thing in a step.
func (t *Turn) Steady(is bool, lasted time.Duration) bool {
	switch {
	case !is:
		t.step.Since = time.Time{}
		return false
	case t.step.Since.IsZero() || t.step.Since.After(t.Now()):
		t.step.Since = t.Now()
	}
	return t.Now().Sub(t.step.Since) >= lasted
}

// Began is when the step began, without the time in which the job had no turn.
func (t *Turn) Began() time.Time { return t.step.BeganAt }

// TakeBack takes the job's admin states back as soon as the units' own answers say
// the same: whoever is Up answers 200 and whoever is Down does not, for as long as
// the load balancer's probe needs to see that too. It returns what it waits for,
// empty when nothing stands any more.
//
// Where a unit is Down that answers 200, and its partner proves nothing, everything
// goes back at once: the load balancer must find the one that serves.
func (t *Turn) TakeBack() (waitsFor string) {
	held := t.heldUnits()
	if len(held) == 0 {
		return ""
	}
	agree, needed := true, false
	for _, h := range t.holds() {
		if h.State != pair.AdminDown {
			agree = agree && t.Serves(h.Unit)
			continue
		}
		agree = agree && t.Idle(h.Unit)
		needed = needed || t.Serves(h.Unit) && t.Idle(h.Unit.Other()) && !t.Forwards(h.Unit.Other())
	}
	if t.Steady(agree, t.settles()) || needed {
		t.out.Release = held
		return "the admin states go back to None"
	}
	return "the admin states go back when the units' own answers agree with them"
}

// settles is how long the slowest probe of the pair's load balancers needs to see
// what the units answer.
func (t *Turn) settles() time.Duration {
	needs := time.Duration(0)
	for i := range t.In.Definition.LoadBalancers {
		p := &t.In.Definition.LoadBalancers[i].Probe
		needs = max(needs, time.Duration(p.Interval)*time.Duration(p.Threshold+1))
	}
	return needs
}
