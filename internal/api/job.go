package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"tandem/internal/job"
	"tandem/internal/pair"
)

// Jobs makes the jobs that a person can ask for; internal/job has them.
type Jobs interface {
	// New makes the job that a request asks for. What is wrong with the request is
	// pair.ErrInvalid.
	New(req job.Request, def *pair.Definition) (pair.Job, error)
	Kinds() []string
}

// JobStart is the body with which a person starts a job.
type JobStart struct {
	Kind   string    `json:"kind" jsonschema_description:"What shall be done: switchover, configure, replace, sync."`
	By     string    `json:"by,omitempty" jsonschema_description:"Who wants it. Needed unless Entra ID tells that."`
	Reason string    `json:"reason,omitempty" jsonschema_description:"Why, for whoever finds it so at night."`
	Unit   pair.Role `json:"unit,omitempty" jsonschema_description:"The unit that the job is about: the target of a switchover, or the one that is taken in by replace. Unset is left to a switchover."`
	// Drain is how long connections may take to end; unset is the job's own time.
	Drain pair.Duration `json:"drain,omitempty" jsonschema_description:"How long connections of the old unit may take to end. Unset is the job's own time."`
	Force bool          `json:"force,omitempty" jsonschema_description:"Override the proof that the target is fit; of a sync, that a backup is taken first. Needs the role Tandem.Force."`
	// Sync is what a sync of settings carries over; unset is everything, by the pair file.
	Sync *pair.JobSync `json:"sync,omitempty" jsonschema_description:"What a sync of settings carries over. Unset is everything, by the pair file."`
}

// JobAsk is the body of a person's word about a job.
type JobAsk struct {
	Job    string `json:"job" jsonschema_description:"The id of the job as it was seen, so that nobody cancels another one."`
	By     string `json:"by,omitempty" jsonschema_description:"Who says it. Needed unless Entra ID tells that."`
	Reason string `json:"reason,omitempty" jsonschema_description:"Why, for whoever finds it so at night."`
}

// JobAsked is the answer to the start of a job and to a word about one.
type JobAsked struct {
	V      int    `json:"v"`
	Word   string `json:"word"` // start, approve, pause, resume, cancel
	Pair   string `json:"pair"`
	Change string `json:"change"` // stored, unchanged: it was so already
	DryRun bool   `json:"dryRun,omitempty"`
	// Epoch is the pair's after the word.
	Epoch uint64   `json:"epoch"`
	By    string   `json:"by"`
	Job   pair.Job `json:"job"`
	// Stance says what Tandem may do about the pair now, in words.
	Stance string `json:"stance,omitempty"`
	// Obstacle is why the job would not be started now. Only a dry run has it;
	// otherwise it is refused.
	Obstacle string `json:"obstacle,omitempty"`
}

// JobStarts is the word of an answer to the start of a job.
const JobStarts = "start"

// PairJob is the newest job of a pair: the one that runs, or the last that ended.
type PairJob struct {
	Pair string `json:"pair"`
	// At is the server's time, by which it is told for how long the job has run.
	At  time.Time `json:"at"`
	Job *pair.Job `json:"job,omitempty"`
	// Waits is why a job that runs gets no turn now: a person holds the pair.
	Waits string `json:"waits,omitempty"`
	// Warning is set where this release cannot read what is stored, or may not act
	// on it.
	Warning string `json:"warning,omitempty"`
}

// JobList is the answer to a question for jobs.
type JobList struct {
	V    int       `json:"v"`
	Jobs []PairJob `json:"jobs"` // of pairs that have one
	// Next continues the list; empty at its end.
	Next string `json:"next,omitempty"`
}

// keyHeader names the request that starts a job, so that the same one twice
// starts it once.
const keyHeader = "Idempotency-Key"

// startJob starts a job, unless something is in its way. With dryRun=true it only
// says what would happen.
func (s *server) startJob(r *http.Request) (any, error) {
	ask, err := readBody[JobStart](r, "start a job", "kind, by, reason, unit, drain, force, sync")
	if err != nil {
		return nil, err
	}
	if ask.By, err = byOf(r, ask.By); err != nil {
		return nil, err
	}
	key, err := readKey(r)
	if err == nil {
		err = s.checkStart(&ask)
	}
	if err != nil {
		return nil, fmt.Errorf("start a job: %w: %w", err, pair.ErrInvalid)
	}
	if s.Jobs == nil {
		return nil, fmt.Errorf("start a job: this server has none: %w", pair.ErrNotFound)
	}
	if ask.Force {
		if err := s.mayForce(callerOf(r)); err != nil {
			return nil, err
		}
	}
	name, dryRun := r.PathValue("pair"), r.URL.Query().Get("dryRun") == "true"
	return untilFirst("start a job of", name, func() (JobAsked, error) { return s.startOnce(r.Context(), name, ask, key, dryRun) })
}

// readKey reads the idempotency key, which is kept in the pair's record.
func readKey(r *http.Request) (string, error) {
	values := r.Header.Values(keyHeader)
	if len(values) == 0 {
		return "", nil
	}
	if len(values) > 1 || values[0] == "" || !oneLine(values[0], byMax) {
		return "", fmt.Errorf("%s: expected one line of 1 to %d bytes, once", keyHeader, byMax)
	}
	return values[0], nil
}

// checkStart refuses what no job takes; what one kind takes is the job's to say.
func (s *server) checkStart(a *JobStart) error {
	if err := checkSpeaker(&a.By, &a.Reason); err != nil {
		return err
	}
	switch {
	case s.Jobs != nil && !slices.Contains(s.Jobs.Kinds(), a.Kind):
		return fmt.Errorf("kind %q: expected one of %s", clip(a.Kind), strings.Join(s.Jobs.Kinds(), ", "))
	case a.Drain < 0 || time.Duration(a.Drain) > job.DrainMost:
		return fmt.Errorf("drain %s: expected a time from 0s to %s", a.Drain, job.DrainMost)
	}
	return checkSync(a.Sync)
}

// startOnce looks at the pair and begins the job, or says what is in its way. A job
// that Tandem began by itself gives way to a person's.
func (s *server) startOnce(ctx context.Context, name string, ask JobStart, key string, dryRun bool) (JobAsked, error) {
	snap, stop, err := s.load(ctx, name)
	if err != nil {
		return JobAsked{}, err
	}
	now, rec := s.now(), &snap.Record
	out := JobAsked{
		V: Version, Word: JobStarts, Pair: name, Change: changeUnchanged, DryRun: dryRun, Epoch: rec.Epoch, By: ask.By, Stance: s.stanceWords(snap, stop),
	}
	was := rec.Job
	if was != nil && key != "" && was.Key == key {
		if was.Kind != ask.Kind || was.By != ask.By {
			return out, unfitf("the key was used by %s for %s: take another one", was.By, jobWords(was))
		}
		out.Job = *was
		return out, nil
	}
	made, err := s.Jobs.New(job.Request{
		ID: pair.ID(name, rec.Epoch+1, 1), Kind: ask.Kind, By: ask.By, Reason: ask.Reason, At: now, Unit: ask.Unit, Force: ask.Force,
		Drain: time.Duration(ask.Drain), Sync: ask.Sync,
	}, &snap.Definition)
	if err != nil {
		return out, err
	}
	made.Key = key
	out.Job = made
	obstacle := s.inTheWay(snap, stop)
	if obstacle != nil && dryRun {
		out.Obstacle = obstacle.Error()
		return out, nil
	}
	said := pair.Asked{Word: ask.Kind, By: ask.By, Reason: ask.Reason, Unit: ask.Unit, Force: ask.Force, Job: made.ID}
	switch {
	case obstacle == nil:
		rec.Job = &made
	case obstacle.gives:
		said = pair.Asked{Word: pair.JobCancel, By: ask.By, Reason: "it gives way to " + ask.Kind, Job: was.ID}
		rec.Job = was.Clone()
		rec.Job.Said = &pair.JobWord{Word: said.Word, By: said.By, Reason: said.Reason, At: now}
	default:
		return out, obstacle
	}
	rec.Epoch++
	out.Change, out.Epoch = changeStored, rec.Epoch
	if dryRun {
		return out, nil
	}
	if err := s.keep(ctx, snap, said, now); err != nil {
		return out, err
	}
	if obstacle != nil {
		return out, obstacle
	}
	return out, nil
}

// inTheWay is why no job can be started now; nil where one can.
func (s *server) inTheWay(snap pair.Snapshot, stop *pair.Pause) *unfit {
	name, rec, j := snap.Definition.Name, &snap.Record, snap.Record.Job
	stance, _ := s.stance(snap, stop)
	switch {
	case rec.Retire != nil:
		return &unfit{why: fmt.Sprintf("pair %s is being removed, as %s asked", name, rec.Retire.By)}
	case stance <= pair.StanceMaintenance:
		return &unfit{why: fmt.Sprintf("no job is begun now: pair %s is %s; resume first", name, s.stanceWords(snap, stop))}
	case !j.Running():
		return nil
	}
	is := fmt.Sprintf("pair %s has a job already: %s", name, jobWords(j))
	switch {
	case j.State == pair.JobUndoes || cancelled(j):
		return &unfit{job: j.ID, why: is + ", which is being undone; try again when it has ended, which tandem jobs watch " + name + " tells"}
	case j.Committed:
		return &unfit{job: j.ID, why: is + ". The active state has begun to move, so let it end; watch it with tandem jobs watch " + name}
	case j.By == pair.OwnerTandem:
		return &unfit{job: j.ID, gives: true, why: is + ". It gives way to you and is being undone; try again when it has ended, which tandem jobs watch " + name + " tells"}
	default:
		return &unfit{job: j.ID, why: is + ". Wait for it with tandem jobs watch " + name + ", or end it with tandem jobs cancel " + name}
	}
}

// jobWords name a job, its owner, and since when it runs or that it is over.
func jobWords(j *pair.Job) string {
	words := fmt.Sprintf("%s %s of %s since %s", j.Kind, j.ID, j.By, j.At.UTC().Format("2006-01-02 15:04:05Z"))
	if j.State.Ended() {
		words += ", which is " + j.State.String()
	}
	return words
}

// cancelled reports whether a person has cancelled the job, heard by now or not.
func cancelled(j *pair.Job) bool { return j.Said != nil && j.Said.Word == pair.JobCancel }

// sayJob takes a person's word about the pair's job, which must be the one that the
// person saw. With dryRun=true it only says what would happen.
func (s *server) sayJob(word string) func(*http.Request) (any, error) {
	return func(r *http.Request) (any, error) {
		ask, err := readBody[JobAsk](r, word+" a job", "job, by, reason")
		if err != nil {
			return nil, err
		}
		if ask.By, err = byOf(r, ask.By); err != nil {
			return nil, err
		}
		err = checkSpeaker(&ask.By, &ask.Reason)
		if err == nil && (ask.Job == "" || !oneLine(ask.Job, idMax)) {
			err = errors.New("job: expected the id of the job, as tandem jobs shows it")
		}
		if err != nil {
			return nil, fmt.Errorf("%s a job: %w: %w", word, err, pair.ErrInvalid)
		}
		name, dryRun := r.PathValue("pair"), r.URL.Query().Get("dryRun") == "true"
		return untilFirst(word+" the job of", name, func() (JobAsked, error) { return s.sayJobOnce(r.Context(), name, word, ask, dryRun) })
	}
}

func (s *server) sayJobOnce(ctx context.Context, name, word string, ask JobAsk, dryRun bool) (JobAsked, error) {
	snap, stop, err := s.load(ctx, name)
	if err != nil {
		return JobAsked{}, err
	}
	now, rec := s.now(), &snap.Record
	out := JobAsked{V: Version, Word: word, Pair: name, Change: changeUnchanged, DryRun: dryRun, Epoch: rec.Epoch, By: ask.By, Stance: s.stanceWords(snap, stop)}
	j := rec.Job
	switch {
	case j == nil:
		return out, unfitf("pair %s has no job", name)
	case rec.Retire != nil && word != pair.JobCancel:
		return out, unfitf("pair %s is being removed, as %s asked", name, rec.Retire.By)
	case j.ID != ask.Job:
		return out, &unfit{job: j.ID, why: fmt.Sprintf("the job of pair %s is %s, not %s: look at it first", name, jobWords(j), ask.Job)}
	case j.State.Ended():
		return out, &unfit{job: j.ID, why: fmt.Sprintf("%s is over: it is %s since %s", j.ID, j.State, j.EndedAt.UTC().Format("2006-01-02 15:04:05Z"))}
	}
	out.Job = *j
	changed, err := jobEffects[word](j)
	if err != nil || !changed {
		return out, err
	}
	rec.Job = j.Clone()
	rec.Job.Said = &pair.JobWord{Word: word, By: ask.By, Reason: ask.Reason, At: now}
	rec.Epoch++
	out.Change, out.Epoch, out.Job = changeStored, rec.Epoch, *rec.Job
	if dryRun {
		return out, nil
	}
	return out, s.keep(ctx, snap, pair.Asked{Word: word, By: ask.By, Reason: ask.Reason, Job: j.ID}, now)
}

// jobEffects say whether a word changes anything about a job that is not over. What
// it changes is the job's own matter: it hears the word at its next turn.
var jobEffects = map[string]func(*pair.Job) (bool, error){
	pair.JobApprove: func(j *pair.Job) (bool, error) {
		if j.State != pair.JobAsks || cancelled(j) {
			return false, unfitf("%s asks nothing now: it %s", j.ID, stateWords(j))
		}
		return unheard(j) != pair.JobApprove, nil
	},
	pair.JobPause: func(j *pair.Job) (bool, error) {
		if err := going(j); err != nil {
			return false, err
		}
		return unheard(j) != pair.JobPause && (j.State != pair.JobRests || unheard(j) == pair.JobResume), nil
	},
	pair.JobResume: func(j *pair.Job) (bool, error) {
		if err := going(j); err != nil {
			return false, err
		}
		return unheard(j) == pair.JobPause || j.State == pair.JobRests && unheard(j) != pair.JobResume, nil
	},
	pair.JobCancel: func(j *pair.Job) (bool, error) {
		switch {
		case j.State == pair.JobUndoes || cancelled(j):
			return false, nil
		case j.Committed:
			return false, unfitf("%s is not cancelled any more: the active state has begun to move, and there is no way back by itself; let it end and start another one", j.ID)
		}
		return true, nil
	},
}

// unheard is the word that the job has not heard yet, empty for none.
func unheard(j *pair.Job) string {
	if j.Said == nil {
		return ""
	}
	return j.Said.Word
}

// going refuses a word about a job that is on its way to its end.
func going(j *pair.Job) error {
	if j.State == pair.JobUndoes || cancelled(j) {
		return unfitf("%s %s, and that goes on to its end", j.ID, stateWords(j))
	}
	return nil
}

// stateWords say what a job does that is not over.
func stateWords(j *pair.Job) string {
	switch {
	case cancelled(j):
		return "was cancelled by " + j.Said.By
	case j.State == pair.JobUndoes:
		return "is being undone"
	default:
		return j.State.String()
	}
}

// pairJob answers the pair's newest job. Older ones stand in its journal.
func (s *server) pairJob(r *http.Request) (any, error) {
	stop, err := s.Store.Stop(r.Context())
	if err != nil {
		return nil, err
	}
	one, err := s.jobOf(r.Context(), r.PathValue("pair"), stop)
	if err != nil {
		return nil, err
	}
	out := JobList{V: Version, Jobs: []PairJob{}}
	if one.Job != nil || one.Warning != "" {
		out.Jobs = append(out.Jobs, one)
	}
	return out, nil
}

// allJobs answers the newest job of each pair that has one; after continues it. A
// page is as many pairs as a page of pairs has, with a job or without.
func (s *server) allJobs(r *http.Request) (any, error) {
	out := JobList{V: Version, Jobs: []PairJob{}}
	stop, err := s.Store.Stop(r.Context())
	if err != nil {
		return nil, err
	}
	looked, last, after := 0, "", r.URL.Query().Get("after")
	for name, err := range s.Store.Pairs(r.Context()) {
		if err != nil {
			return nil, err
		}
		if name <= after {
			continue
		}
		if looked == pageMax {
			out.Next = last
			break
		}
		looked, last = looked+1, name
		one, err := s.jobOf(r.Context(), name, stop)
		if errors.Is(err, pair.ErrNotFound) {
			continue // deleted since the list was read
		}
		if err != nil {
			return nil, err
		}
		if one.Job != nil || one.Warning != "" {
			out.Jobs = append(out.Jobs, one)
		}
	}
	return out, nil
}

// jobOf reads one pair's job. A pair that cannot be read is shown with a warning,
// as status does.
func (s *server) jobOf(ctx context.Context, name string, stop *pair.Pause) (PairJob, error) {
	out := PairJob{Pair: name, At: s.now()}
	snap, err := s.Store.Load(ctx, name)
	switch {
	case errors.Is(err, pair.ErrTooNew):
		out.Job, out.Warning = snap.Record.Job, tooNew
	case errors.Is(err, pair.ErrUnreadable):
		s.Log.ErrorContext(ctx, "a pair cannot be read", "pair", name, "error", err.Error())
		out.Warning = unreadable
	case err != nil:
		return out, err
	default:
		out.Job = snap.Record.Job
		if stance, _ := s.stance(snap, stop); out.Job.Running() && stance <= pair.StanceMaintenance {
			out.Waits = s.stanceWords(snap, stop)
		}
	}
	return out, nil
}

// StartJob starts a job of a pair. The same key with the same request starts it
// once, however often it is sent; an empty key sends none.
func (c *Client) StartJob(ctx context.Context, name string, a JobStart, key string, dryRun bool) (JobAsked, error) {
	header := http.Header{}
	if key != "" {
		header.Set(keyHeader, key)
	}
	return c.aboutJob(ctx, "/api/pairs/"+url.PathEscape(name)+"/jobs", a, header, dryRun)
}

// SayJob says a person's word about the job of a pair: pair.JobApprove, JobPause,
// JobResume or JobCancel.
func (c *Client) SayJob(ctx context.Context, word, name string, a JobAsk, dryRun bool) (JobAsked, error) {
	return c.aboutJob(ctx, "/api/pairs/"+url.PathEscape(name)+"/jobs/"+url.PathEscape(word), a, nil, dryRun)
}

func (c *Client) aboutJob(ctx context.Context, path string, ask any, header http.Header, dryRun bool) (JobAsked, error) {
	var out JobAsked
	body, err := json.Marshal(ask)
	if err != nil {
		return out, fmt.Errorf("%s: %w: %w", path, pair.ErrInvalid, err)
	}
	if dryRun {
		path += "?dryRun=true"
	}
	err = c.send(ctx, http.MethodPost, path, body, header, &out)
	return out, err
}

// Job is the newest job of a pair; its Job is nil where there was none.
func (c *Client) Job(ctx context.Context, name string) (PairJob, error) {
	var out JobList
	err := c.call(ctx, http.MethodGet, "/api/pairs/"+url.PathEscape(name)+"/jobs", nil, &out)
	if err != nil || len(out.Jobs) == 0 {
		return PairJob{Pair: name}, err
	}
	return out.Jobs[0], nil
}

// Jobs lists the newest job of each pair that has one, page by page.
func (c *Client) Jobs(ctx context.Context) ([]PairJob, error) {
	var all []PairJob
	after := ""
	for {
		var page JobList
		if err := c.call(ctx, http.MethodGet, "/api/jobs?after="+url.QueryEscape(after), nil, &page); err != nil {
			return nil, err
		}
		all = append(all, page.Jobs...)
		if page.Next <= after { // empty, or a server that goes round in circles
			return all, nil
		}
		after = page.Next
	}
}
