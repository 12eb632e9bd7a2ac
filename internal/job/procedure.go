// Package job is the step engine: it computes what the pair's running job wants of
// one look, as a pair.Proposal that the decision table ranks.
//
// It is pure and never does anything: effects are intents, which internal/control
// carries out under the pair's lease and epoch, and reads back. So a job survives a
// crash at any effect, because the next look computes the same again. The
// procedures are in packages of their own (internal/job/switchover, …).
package job

import (
	"time"

	"tandem/internal/pair"
)

// Procedure is one kind of job: a list of steps.
type Procedure struct {
	Kind  string // the word in the record and on the command line
	Title string // what it is for, in a sentence without an end
	// TakesUnit, TakesForce, TakesDrain and TakesSync say which parts of a Request mean
	// something; the others are refused, so that nobody believes that they count.
	TakesUnit, TakesForce, TakesDrain, TakesSync bool
	// TakesGEO refuses a Request without what its topology wants: nobody else begins it.
	TakesGEO bool
	// NeedsUnit refuses a Request that does not say which unit it is about.
	NeedsUnit bool
	// Lasts: the job's admin states keep out a unit that serves nobody. Where its
	// partner does not prove itself for a moment they are taken back all the same, and
	// the job goes on and asks for them again.
	Lasts bool
	// Mends: what the job writes may be why both units answer 200, so that it goes on
	// while one of them is held Down for that.
	Mends bool
	// Drain is how long connections may take to end where a request does not say.
	Drain time.Duration
	Steps []Step
}

// Step is the smallest part of a procedure that is persisted. It is written as "is
// it so? no: ask for it; yes: next", never as "I did it, so it is so": between two
// turns the process may die, a person may pause the pair, and others act too.
type Step struct {
	Name  string // unique in the procedure; a stored job is matched by it
	Title string // what is so when it is done, for people
	// Within is how long the step may take. Time in which the job gets no turn does
	// not count, and past its end the step has one more look, in which it may find
	// itself done but asks for nothing.
	Within time.Duration
	// Drains adds the job's time for connections to Within.
	Drains bool
	// Tries is how often the step may ask for its effect; 0 means TriesMax.
	Tries int
	// Commits: with this step the active state begins to move. From there the job
	// is not cancelled any more, and never moves back by itself.
	Commits bool
	// Do looks at what is, and says how the step stands. It is called at each look
	// until it says that it is done.
	Do func(*Turn) Verdict
	// Undo takes back what the step did, if a job ends before it commits. Nil:
	// nothing is to be taken back, but for admin states, which the engine does.
	Undo func(*Turn) Verdict
	// Undoes says what taking back means, or why there is none.
	Undoes string
}

// TriesMax is how often a step asks for its effect where it does not say. What did
// not come about after three writes has a cause that a fourth does not mend.
const TriesMax = 3

func (s *Step) tries() int {
	if s.Tries > 0 {
		return s.Tries
	}
	return TriesMax
}

// step returns the step of the procedure with a name.
func (p *Procedure) step(name string) (*Step, bool) {
	for n := range p.Steps {
		if p.Steps[n].Name == name {
			return &p.Steps[n], true
		}
	}
	return nil, false
}

// Verdict is how a step stands.
type Verdict struct {
	kind verdictKind
	why  string
	to   string
}

type verdictKind uint8

const (
	waits verdictKind = iota // the zero value does nothing
	isDone
	isSkipped
	failed
	yields
	wantsConsent
	goesBack
	finishes
)

// Wait says that the step is not done, and what it waits for.
func Wait(forWhat string) Verdict { return Verdict{kind: waits, why: forWhat} }

// Done says that what the step is for was seen.
func Done(note string) Verdict { return Verdict{kind: isDone, why: note} }

// Skip says that there is nothing to do in this step.
func Skip(why string) Verdict { return Verdict{kind: isSkipped, why: why} }

// Fail says that the step cannot be done, and what a person can do.
func Fail(why string) Verdict { return Verdict{kind: failed, why: why} }

// Yield leaves this look to the decision table, because something happened that is
// not the job's. It ends with the step's time.
func Yield(why string) Verdict { return Verdict{kind: yields, why: why} }

// Consent asks a person to approve what is announced. It counts as done once one
// has.
func Consent(announced string) Verdict { return Verdict{kind: wantsConsent, why: announced} }

// Back goes on with an earlier step, because what it was for is not so any more.
func Back(step, why string) Verdict { return Verdict{kind: goesBack, why: why, to: step} }

// Finish ends the whole job as done: what it is for is so already.
func Finish(why string) Verdict { return Verdict{kind: finishes, why: why} }

// known reports whether a role names a unit; a stored one need not.
func known(r pair.Role) bool { return r == pair.First || r == pair.Second }
