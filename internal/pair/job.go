package pair

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// JobState is how far a job has come.
type JobState uint8

// The states of a job. While it asks, runs, rests or is undone, it is the pair's
// only one.
const (
	JobUnknown   JobState = iota
	JobAsks               // it waits for a person's approval of what it announced
	JobRuns               // its steps are carried out
	JobRests              // a person paused it; nothing of it stands meanwhile
	JobUndoes             // it was cancelled or cannot go on, and takes back what it did
	JobDone               // all its steps are done
	JobFailed             // it could not go on; what could be taken back was
	JobCancelled          // a person ended it
)

// JobStates lists every state of a job.
var JobStates = []JobState{JobAsks, JobRuns, JobRests, JobUndoes, JobDone, JobFailed, JobCancelled}

var jobStateNames = names{"unknown", "asks", "runs", "rests", "undoes", "done", "failed", "cancelled"}

func (s JobState) String() string               { return jobStateNames.text(uint8(s)) }
func (s JobState) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads the stored form.
func (s *JobState) UnmarshalText(b []byte) error {
	v, err := jobStateNames.parse("job state", b)
	*s = JobState(v)
	return err
}

// Ended reports whether a job is over, so that another may begin.
func (s JobState) Ended() bool { return s == JobDone || s == JobFailed || s == JobCancelled }

// StepState is how far a step of a job has come.
type StepState uint8

// The states of a step.
const (
	StepOpen    StepState = iota // it has not begun
	StepRuns                     // it is being done, or waited for
	StepDone                     // what it is for was seen
	StepFailed                   // it could not be done in its time
	StepSkipped                  // there was nothing to do
)

var stepStateNames = names{"open", "runs", "done", "failed", "skipped"}

func (s StepState) String() string               { return stepStateNames.text(uint8(s)) }
func (s StepState) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads the stored form.
func (s *StepState) UnmarshalText(b []byte) error {
	v, err := stepStateNames.parse("step state", b)
	*s = StepState(v)
	return err
}

// Job is a resumable procedure on a pair. It is kept in the pair's record, so that
// its progress and the intents of its steps change in one transaction; a crash at
// any point leaves it where the next pass finds it. The procedures are those of
// internal/job; this release leaves a job alone whose kind it does not know.
type Job struct {
	V         int    `json:"v"`
	MinReader int    `json:"minReader"`
	ID        string `json:"id"` // <pair>-<epoch>-<seq> of what accepted it
	Kind      string `json:"kind"`
	// Key is the idempotency key of the request that began it: the same request
	// once more is answered with this job.
	Key string `json:"key,omitempty"`

	// By is who wants it, OwnerTandem where no person does, and At since when.
	By     string    `json:"by"`
	Reason string    `json:"reason,omitempty"`
	At     time.Time `json:"at"`

	// Unit is the one that the job is about: the target of a switchover, or the one
	// that is taken in.
	Unit Role `json:"unit,omitempty"`
	// Force overrides the proof that the target is fit.
	Force bool `json:"force,omitempty"`
	// Drain is how long connections of the old unit may take to end.
	Drain Duration `json:"drain,omitempty"`
	// Sync is what a sync of settings carries over.
	Sync *JobSync `json:"sync,omitempty"`

	State JobState `json:"state"`
	// Why is the reason of the state, where it needs one: what is asked, what
	// failed, who cancelled.
	Why string `json:"why,omitempty"`
	// Said is a person's newest word about the job: it approves, rests, goes on or
	// is cancelled.
	Said *JobWord `json:"said,omitempty"`

	Steps []JobStep `json:"steps,omitempty"`
	// Step is the index of the step that runs, len(Steps) when all are over.
	Step int `json:"step"`
	// Consented is set when a person has approved an interruption that the job
	// announced.
	Consented bool `json:"consented,omitempty"`
	// Committed is set when the active state has begun to move: there is no way
	// back by itself any more.
	Committed bool `json:"committed,omitempty"`
	// Boots are the units' boot times before the job restarted them, by the units'
	// own clocks.
	Boots [2]time.Time `json:"boots,omitzero"`
	// Gap is what was measured of an interruption at the load balancer's front end.
	Gap Gap `json:"gap,omitzero"`
	// LookedAt is when the job had a turn, to a quarter of a minute. The time that it
	// gets no turn, as while a person holds the pair, is not the time of its steps.
	LookedAt time.Time `json:"lookedAt,omitzero"`
	// GEO is what a job of the kind geo brings about.
	GEO *GEOWish `json:"geo,omitempty"`
	// Undo is how far the taking back has come, for a job that is undone.
	Undo JobStep `json:"undo,omitzero"`

	EndedAt time.Time `json:"endedAt,omitzero"`
	// Acknowledged is set when a person has taken note of a failure.
	Acknowledged bool `json:"acknowledged,omitempty"`

	Unknown map[string]json.RawMessage `json:"-"`
}

// JobSync is what a sync of settings carries over.
type JobSync struct {
	// Prefer is whose value is taken where both units changed the same thing: first,
	// second or active. Unset goes by the pair file.
	Prefer string `json:"prefer,omitempty" jsonschema:"enum=first,enum=second,enum=active" jsonschema_description:"Whose value is taken where both units changed the same thing. Unset goes by the pair file."`
	// Only are the classes that are written; all where there are none.
	Only []string `json:"only,omitempty" jsonschema_description:"The classes of settings that are written, by their names in docs/settings.md. Unset is all."`
}

// JobWord is what a person said about a job.
type JobWord struct {
	Word   string    `json:"word"` // approve, pause, resume, cancel
	By     string    `json:"by"`
	Reason string    `json:"reason,omitempty"`
	At     time.Time `json:"at"`
}

// The words about a job.
const (
	JobApprove = "approve"
	JobPause   = "pause"
	JobResume  = "resume"
	JobCancel  = "cancel"
)

// JobStep is the smallest part of a job that is persisted.
type JobStep struct {
	Name  string    `json:"name"`
	State StepState `json:"state"`
	// Within is how long the step may take; 0 has no limit.
	Within  Duration  `json:"within,omitempty"`
	BeganAt time.Time `json:"beganAt,omitzero"`
	EndedAt time.Time `json:"endedAt,omitzero"`
	// Tries counts how often the step asked for its effect, or had to go back to an
	// earlier one; AskedAt is when it asked last.
	Tries   int       `json:"tries,omitempty"`
	AskedAt time.Time `json:"askedAt,omitzero"`
	// Since is since when what the step waits for is seen without a break.
	Since time.Time `json:"since,omitzero"`
	// Note says in a sentence what it waits for or what came of it.
	Note string `json:"note,omitempty"`
}

// Gap is what looks at the load balancer's front end, by the pair file's checks,
// have shown during a job. Between two looks it knows nothing, so a gap is known
// to the time between looks only.
type Gap struct {
	Looks  int       `json:"looks,omitempty"`
	Failed int       `json:"failed,omitempty"`
	LastOK time.Time `json:"lastOK,omitzero"`
	// Longest is the longest time from a look that was answered to the next one
	// that was, with failed looks in between.
	Longest Duration `json:"longest,omitempty"`
	Broken  bool     `json:"broken,omitempty"` // the newest look failed
}

// String says what was measured, for people.
func (g Gap) String() string {
	switch {
	case g.Looks == 0:
		return "no interruption was measured: nothing is known of the front end"
	case g.Broken:
		return fmt.Sprintf("the front end does not answer at the end; %d of %d looks failed", g.Failed, g.Looks)
	case g.Failed == 0:
		return fmt.Sprintf("no interruption in %d looks at the front end", g.Looks)
	default:
		return fmt.Sprintf("interrupted for %v at most at a time; %d of %d looks at the front end failed",
			time.Duration(g.Longest).Round(time.Millisecond), g.Failed, g.Looks)
	}
}

type jobFields Job

// MarshalJSON writes the job with the unknown fields it was read with.
func (j Job) MarshalJSON() ([]byte, error) { return marshalKeeping(jobFields(j), j.Unknown) }

// UnmarshalJSON reads a job and keeps the fields that it does not know.
func (j *Job) UnmarshalJSON(b []byte) error {
	var f jobFields
	if err := json.Unmarshal(b, &f); err != nil {
		return err
	}
	unknown, err := unknownFields(b, f)
	if err != nil {
		return err
	}
	*j = Job(f)
	j.Unknown = unknown
	return nil
}

// Running reports whether a job is the pair's and not over.
func (j *Job) Running() bool { return j != nil && !j.State.Ended() }

// Clone returns a copy that shares nothing that changes.
func (j *Job) Clone() *Job {
	c := *j
	c.Steps = slices.Clone(j.Steps)
	if j.GEO != nil {
		geo := *j.GEO
		c.GEO = &geo
	}
	return &c
}

// words say in the length of a sentence what a job is doing.
func (j *Job) words() string {
	words := j.Kind + " " + j.ID + " for " + j.By
	switch {
	case j.State != JobRuns:
		words += " " + j.State.String()
	case j.Step < len(j.Steps):
		words += " at step " + j.Steps[j.Step].Name
	}
	switch {
	case j.Why != "":
		words += ": " + j.Why
	case j.State == JobRuns && j.Step < len(j.Steps) && j.Steps[j.Step].Note != "":
		words += ": " + j.Steps[j.Step].Note
	}
	return words
}

// Proposal is what the running job wants of this pass. It is computed by
// internal/job from the same input and is a part of it, so that the decision table
// ranks it: what takes back our admin states, a pause and blindness come before.
type Proposal struct {
	// Job is the job as it is after this pass, if the proposal is taken.
	Job Job `json:"job"`
	// Intents are what it wants done, without ids. Deadline and Want are set where
	// they are admin states.
	Intents []Intent `json:"intents,omitempty"`
	// Release are the units whose admin states by the job are to be taken back; the
	// table makes the intents.
	Release []Role `json:"release,omitempty"`
	// Keep renews the admin states of the job that stand: they are freshly proved.
	Keep bool `json:"keep,omitempty"`
	// Yield leaves this pass to the table: something happened that is not the job's.
	Yield bool `json:"yield,omitempty"`
	// Read wants the load balancers read in this pass, and Count the units'
	// connections.
	Read  bool `json:"read,omitempty"`
	Count bool `json:"count,omitempty"`
	// Inspect wants both units asked what they have, and the pair file's checks made
	// on this one, also where it answers on its check port to nobody.
	Inspect Role `json:"inspect,omitempty"`
	// Mends: what the job writes may be why both units answer 200, so that it goes on
	// beside a fence.
	Mends bool `json:"mends,omitempty"`
	// GEO wants a unit asked what it holds of GEO.
	GEO Role `json:"geo,omitempty"`
	// Lasts: the job is not over where the table takes its admin states back. They
	// keep out a unit that serves nobody, so that it is safe without them for a while.
	Lasts bool `json:"lasts,omitempty"`
	// Next is when to look again.
	Next Duration `json:"next,omitempty"`
}
