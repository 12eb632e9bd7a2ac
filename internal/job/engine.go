package job

import (
	"fmt"
	"slices"
	"time"

	"tandem/internal/pair"
)

const (
	// lookedEvery is how often it is stored that a job had a turn, and awayFrom the
	// least time without one that does not count for its steps.
	lookedEvery = 15 * time.Second
	awayFrom    = time.Minute
	// undoWithin is how long a job tries to take back what it did, admin states
	// apart, before it ends and says what is left.
	undoWithin = 5 * time.Minute
	// undoName is the step in which a job takes back.
	undoName = "undo"
)

// Propose says what the pair's running job wants of this look. It returns nil where
// no job runs, and where this release does not know the job's kind or form: then
// nothing of it is touched.
//
// It is pure: it changes nothing of its input, and equal inputs give equal
// proposals. Steps that are true already are passed in one look.
func (r *Registry) Propose(in *pair.Input) *pair.Proposal {
	was := in.Record.Job
	if !was.Running() || was.State == pair.JobUnknown || was.MinReader > pair.Version || was.Unit > pair.Second {
		return nil
	}
	p := r.procedure(was.Kind)
	if p == nil {
		return nil
	}
	t := &Turn{In: in, Job: was.Clone()}
	t.out.Lasts, t.out.Mends = p.Lasts, p.Mends
	t.heed(p)
	overdue := t.overdue()
	t.comeBack()
	switch {
	case t.Job.Step < 0 || t.Job.Step > len(t.Job.Steps) || len(t.Job.Steps) == 0:
		t.end(pair.JobFailed, fmt.Sprintf("its stored form has %d steps and is at number %d, which cannot be; start another job", len(t.Job.Steps), t.Job.Step))
	case p.TakesGEO && t.Job.GEO == nil:
		t.end(pair.JobFailed, "its stored form does not say what its topology wants; apply the topology again")
	case t.Job.State == pair.JobRests:
		t.rest()
	case t.Job.State == pair.JobUndoes:
		t.undo(p)
	case t.closing():
		t.letGo()
	default:
		t.run(p, overdue)
	}
	return t.proposal()
}

// proposal completes what the turn came to. What a person said is only done once it
// is stored, so a look in which somebody spoke is the job's own.
func (t *Turn) proposal() *pair.Proposal {
	t.out.Yield = t.out.Yield && !t.heeded
	if t.Job.State == pair.JobRuns {
		t.measure()
		t.out.Keep = t.Holds() && len(t.out.Release) == 0 && !t.closing() && t.proved()
	}
	if t.out.Next == 0 {
		t.out.Next = pair.Duration(pair.LookAgain)
	}
	t.out.Job = *t.Job
	return &t.out
}

// overdue reports whether the step that runs is past its time by the stored times,
// which also run on while the job leaves its looks to the table.
func (t *Turn) overdue() bool {
	j := t.Job
	return j.Step >= 0 && j.Step < len(j.Steps) && t.isLate(&j.Steps[j.Step])
}

func (t *Turn) isLate(s *pair.JobStep) bool {
	return s.State == pair.StepRuns && s.Within > 0 && t.Now().Sub(s.BeganAt) >= time.Duration(s.Within)
}

// comeBack gives the step that runs the time back in which the job had no turn,
// because a person held the pair, or nobody looked. Who is asked has his time all
// the same. A clock that is behind the one of the last look takes back what that one
// gave: two workers an hour apart would give an hour with each second turn, and the
// step would never end.
func (t *Turn) comeBack() {
	j := t.Job
	away := t.Now().Sub(j.LookedAt)
	switch {
	case j.State == pair.JobAsks || j.State == pair.JobRests:
		return
	case !j.LookedAt.IsZero() && away.Abs() >= awayFrom:
		if j.Step >= 0 && j.Step < len(j.Steps) {
			shift(&j.Steps[j.Step], away)
		}
		shift(&j.Undo, away)
	}
	if j.LookedAt.IsZero() || away >= lookedEvery || away < 0 {
		j.LookedAt = t.Now()
	}
}

// shift moves the times of a step that began. What was steady is not any more:
// nobody looked.
func shift(s *pair.JobStep, by time.Duration) {
	if !s.BeganAt.IsZero() {
		s.BeganAt, s.Since = s.BeganAt.Add(by), time.Time{}
	}
}

// closing reports whether the job has failed and only lets go of what stands.
func (t *Turn) closing() bool {
	s := t.current()
	return s != nil && s.State == pair.StepFailed
}

// heed does what a person said about the job. One that is ending anyway is not
// changed any more.
func (t *Turn) heed(p *Procedure) {
	j, said := t.Job, t.Job.Said
	if said == nil || j.State == pair.JobUndoes || t.closing() {
		return
	}
	switch said.Word {
	case pair.JobApprove:
		if j.State == pair.JobAsks {
			j.State, j.Why, j.Consented, t.approved = pair.JobRuns, "", true, said.By
		}
	case pair.JobPause:
		j.State, j.Why = pair.JobRests, "paused by "+words(said)
	case pair.JobResume:
		if j.State == pair.JobRests {
			j.State, j.Why = pair.JobRuns, ""
			t.startOver(p)
		}
	case pair.JobCancel:
		t.cancel(said)
		if j.State == pair.JobUndoes {
			return // the word stays: it says how the job ends
		}
	default:
		return // of a newer release
	}
	j.Said, t.heeded = nil, true
}

// words say who said something about a job, and why.
func words(said *pair.JobWord) string {
	if said.Reason == "" {
		return said.By
	}
	return said.By + " (" + said.Reason + ")"
}

// cancel begins to undo, unless the active state has begun to move: taking back
// half of a move is another move, and a person starts that one.
func (t *Turn) cancel(said *pair.JobWord) {
	j := t.Job
	if j.Committed {
		j.Why = "cancel by " + words(said) + " is refused: the active state has begun to move, and there is no way back by itself; let the job end and start another one"
		return
	}
	if s := t.current(); s != nil {
		s.State, s.Note, s.EndedAt = pair.StepSkipped, "cancelled by "+said.By, t.Now()
	}
	j.State, j.Why = pair.JobUndoes, "cancelled by "+words(said)
}

// startOver has the steps look at everything again after a rest: all of them, or
// from the one that moves the active state where that has begun.
func (t *Turn) startOver(p *Procedure) {
	from := 0
	if t.Job.Committed {
		from = min(t.Job.Step, max(0, slices.IndexFunc(t.Job.Steps, func(s pair.JobStep) bool {
			step, ok := p.step(s.Name)
			return ok && step.Commits && s.State != pair.StepSkipped
		})))
	} else {
		t.Job.Consented = false
	}
	t.reopen(from)
	for n := from; n < len(t.Job.Steps); n++ {
		t.Job.Steps[n].Tries = 0
	}
}

// reopen goes back to a step. How often steps asked is not forgotten, so that going
// back has an end.
func (t *Turn) reopen(from int) {
	j := t.Job
	for n := from; n < len(j.Steps) && n <= j.Step; n++ {
		s := &j.Steps[n]
		*s = pair.JobStep{Name: s.Name, Within: s.Within, Tries: s.Tries, AskedAt: s.AskedAt}
	}
	j.Step = from
}

// rest takes back what stands, and then leaves the pair to the table.
func (t *Turn) rest() {
	switch held := t.heldUnits(); {
	case len(held) == 0:
		t.out.Yield = t.In.Record.Job.State == pair.JobRests
	case !t.Job.Committed:
		t.out.Release = held
	default:
		t.step = t.current()
		if t.step == nil {
			t.step = &t.Job.Undo
		}
		t.TakeBack()
	}
}

// run passes what is so already, up to the first step that has to wait.
func (t *Turn) run(p *Procedure, overdue bool) {
	j := t.Job
	switch why := t.disproved(); {
	case why == "" || j.Committed:
	case p.Lasts:
		if s := t.current(); s != nil {
			s.Note = why + ": what was set in the load balancer is taken back until that is over"
		}
		t.out.Release = t.heldUnits()
		t.Soon(time.Second)
		return
	default:
		t.fail(p, why+": what was set in the load balancer is taken back")
		return
	}
	for range 4 * len(j.Steps) {
		if j.Step == len(j.Steps) {
			t.measure() // the last look tells how it ended
			t.end(pair.JobDone, j.Gap.String())
			return
		}
		s, ok := p.step(j.Steps[j.Step].Name)
		if !ok {
			t.fail(p, fmt.Sprintf("this release does not know the step %q; start the job anew", j.Steps[j.Step].Name))
			return
		}
		t.begin(s)
		v := t.do(s)
		if s.Commits && v.kind != isSkipped && v.kind != failed {
			j.Committed = true
		}
		if !t.settle(p, v, overdue) {
			return
		}
		overdue = false
	}
	t.fail(p, "its steps go round in a circle; this is a fault of Tandem's")
}

// begin makes a step the one that runs.
func (t *Turn) begin(s *Step) {
	t.step = &t.Job.Steps[t.Job.Step]
	if t.step.State != pair.StepRuns {
		t.step.State, t.step.BeganAt = pair.StepRuns, t.Now()
	}
	t.tries, t.late = s.tries(), t.isLate(t.step)
}

// do asks a step how it stands. One that panics has failed: a fault in one
// procedure must not stop the pass of the pair.
func (t *Turn) do(s *Step) (v Verdict) { return t.call(s.Do) }

func (t *Turn) call(f func(*Turn) Verdict) (v Verdict) {
	defer func() {
		if r := recover(); r != nil {
			v = Fail(fmt.Sprintf("the step panicked, which is a fault of Tandem's: %v", r))
		}
	}()
	return f(t)
}

// settle notes how the step stands, and reports whether the next one has its turn.
func (t *Turn) settle(p *Procedure, v Verdict, overdue bool) bool {
	j := t.Job
	switch v.kind {
	case isDone:
		return t.pass(pair.StepDone, v.why)
	case isSkipped:
		return t.pass(pair.StepSkipped, v.why)
	case finishes:
		for n := j.Step; n < len(j.Steps); n++ {
			j.Steps[n].State, j.Steps[n].EndedAt = pair.StepSkipped, t.Now()
		}
		t.step.Note, j.Step = v.why, len(j.Steps)
		t.end(pair.JobDone, v.why)
	case failed:
		t.fail(p, v.why)
	case goesBack:
		return t.goBack(p, v)
	case yields:
		if t.late || overdue {
			t.fail(p, fmt.Sprintf("%s, and that for longer than %v", v.why, t.step.Within))
			return false
		}
		was := t.In.Record.Job // a look that is the table's is not stored, and the step's time must be
		t.step.Note, t.out.Yield = v.why, was.Step == j.Step && was.Steps[was.Step].State == pair.StepRuns
	case wantsConsent:
		return t.consent(p, v.why)
	default:
		if t.late {
			t.fail(p, fmt.Sprintf("not done within %v: %s", t.step.Within, v.why))
			return false
		}
		t.step.Note = v.why
	}
	return false
}

func (t *Turn) pass(state pair.StepState, note string) bool {
	t.step.State, t.step.Note, t.step.EndedAt, t.step.Since = state, note, t.Now(), time.Time{}
	t.Job.Step++
	return true
}

// goBack reopens an earlier step. It counts as a try of the step that goes back, so
// that it has an end, and happens once in a look.
func (t *Turn) goBack(p *Procedure, v Verdict) bool {
	to := slices.IndexFunc(t.Job.Steps, func(s pair.JobStep) bool { return s.Name == v.to })
	switch {
	case to < 0 || to >= t.Job.Step:
		t.fail(p, fmt.Sprintf("%s, and there is no step %q to go back to", v.why, v.to))
		return false
	case t.late || t.step.Tries >= t.tries:
		t.fail(p, fmt.Sprintf("%s, again after %s", v.why, times(t.step.Tries)))
		return false
	case t.wentBack:
		t.step.Note = v.why
		return false
	}
	t.step.Tries++
	t.wentBack = true
	t.reopen(to)
	t.Job.Steps[to].Note = v.why
	return true
}

// consent waits for a person. Meanwhile the pair is the table's, so nothing of the
// job may stand or be half done when a step asks.
func (t *Turn) consent(p *Procedure, announced string) bool {
	j := t.Job
	switch {
	case j.Consented && t.approved != "":
		return t.pass(pair.StepDone, "approved by "+t.approved)
	case j.Consented:
		return t.pass(pair.StepDone, "approved")
	case t.late:
		t.fail(p, fmt.Sprintf("nobody approved it within %v", t.step.Within))
		return false
	}
	t.step.Note = announced
	t.out.Yield = j.State == pair.JobAsks && j.Why == announced
	j.State, j.Why = pair.JobAsks, announced
	return false
}

// fail ends the step that runs, and begins to take back what the job did. Past the
// point of no return only admin states are taken back, as the units' own answers
// agree with them.
func (t *Turn) fail(p *Procedure, why string) {
	j := t.Job
	if s := t.current(); s != nil {
		s.State, s.Note, s.EndedAt, s.Since = pair.StepFailed, why, t.Now(), time.Time{}
	}
	j.Why = why
	t.out.Intents, t.out.Yield = nil, false
	if j.Committed {
		j.State = pair.JobRuns
		t.letGo()
		return
	}
	j.State = pair.JobUndoes
	t.undo(p)
}

// letGo ends a job that failed after the active state began to move. It never moves
// back. Nothing is renewed any more, so what the units do not agree with ends at its
// deadline.
func (t *Turn) letGo() {
	t.step = t.current()
	if t.TakeBack() == "" {
		t.end(pair.JobFailed, t.Job.Why)
	}
	t.Soon(time.Second)
}

// undo takes back what the job did before it committed: admin states first, and at
// once.
func (t *Turn) undo(p *Procedure) {
	j := t.Job
	if s := t.current(); s != nil && s.State == pair.StepRuns { // the table ended the job
		s.State, s.Note, s.EndedAt = pair.StepFailed, j.Why, t.Now()
	}
	if j.Undo.BeganAt.IsZero() {
		j.Undo = pair.JobStep{Name: undoName, State: pair.StepRuns, Within: pair.Duration(undoWithin), BeganAt: t.Now()}
	}
	t.step, t.tries, t.late = &j.Undo, TriesMax, t.isLate(&j.Undo)
	if held := t.heldUnits(); len(held) > 0 {
		t.out.Release = held
		j.Undo.Note = "the admin states go back to None"
		t.Soon(time.Second)
		return
	}
	left := ""
	for n := min(j.Step, len(j.Steps)-1); n >= 0 && !j.Committed; n-- {
		s, ok := p.step(j.Steps[n].Name)
		if !ok || s.Undo == nil || j.Steps[n].BeganAt.IsZero() {
			continue
		}
		switch v := t.call(s.Undo); {
		case v.kind == isDone || v.kind == isSkipped:
		case v.kind == failed || t.late:
			left = "; what is left: " + v.why
		default:
			j.Undo.Note = v.why
			return
		}
	}
	j.Undo.State, j.Undo.EndedAt = pair.StepDone, t.Now()
	if left != "" {
		j.Undo.State, j.Undo.Note = pair.StepFailed, left
	}
	t.end(t.endOfUndo(), j.Why+left)
}

// endOfUndo tells a job that a person ended from one that could not go on.
func (t *Turn) endOfUndo() pair.JobState {
	j := t.Job
	broken := slices.ContainsFunc(j.Steps, func(s pair.JobStep) bool { return s.State == pair.StepFailed })
	if j.Said != nil && j.Said.Word == pair.JobCancel && !broken {
		return pair.JobCancelled
	}
	return pair.JobFailed
}

func (t *Turn) end(state pair.JobState, why string) {
	t.Job.State, t.Job.Why, t.Job.EndedAt = state, why, t.Now()
	t.out.Intents, t.out.Yield, t.out.Next = nil, false, 0
}

// current is the step that has its turn, nil where all are over.
func (t *Turn) current() *pair.JobStep {
	if j := t.Job; j.Step >= 0 && j.Step < len(j.Steps) {
		return &j.Steps[j.Step]
	}
	return nil
}
