package pair

import (
	"bytes"
	"encoding/json"
	"slices"
)

// JobFact is what the table has to know of the pair's job.
type JobFact uint8

// The facts about a job.
const (
	JobFactNone   JobFact = iota
	JobFactGoes           // it goes one step further in this pass
	JobFactAsks           // it waits for a person
	JobFactFailed         // it failed, and nobody has taken note of that
)

var jobFacts = []JobFact{JobFactNone, JobFactGoes, JobFactAsks, JobFactFailed}

var jobFactNames = names{"none", "goes", "asks", "failed"}

func (j JobFact) String() string               { return jobFactNames.text(uint8(j)) }
func (j JobFact) MarshalText() ([]byte, error) { return []byte(j.String()), nil }

// UnmarshalText reads the stored form.
func (j *JobFact) UnmarshalText(b []byte) error {
	v, err := jobFactNames.parse("job fact", b)
	*j = JobFact(v)
	return err
}

// jobFact says what of the pair's job matters now.
func jobFact(in *Input, rec *Record) JobFact {
	p := proposed(in, rec)
	switch {
	case rec.Job == nil:
		return JobFactNone
	case p != nil && !p.Yield:
		return JobFactGoes
	case rec.Job.State == JobAsks:
		return JobFactAsks
	case rec.Job.State == JobFailed && !rec.Job.Acknowledged:
		return JobFactFailed
	default:
		return JobFactNone
	}
}

// proposed is the proposal of the job that the record holds; nil for one that was
// made for another job, or before this very decision ended the job.
func proposed(in *Input, rec *Record) *Proposal {
	if in.Proposal == nil || !rec.Job.Running() || in.Proposal.Job.ID != rec.Job.ID || rec.Job.State != in.Record.Job.State {
		return nil
	}
	return in.Proposal
}

// holdJob says whether the admin states of a job are still right: it wants them,
// nobody changed them, and whoever is not held Down is proved to forward. A Down
// whose other side is no longer proved goes at once, whatever the job thinks.
func holdJob(in *Input, rec *Record) Hold {
	seen, def := &in.Observation, &in.Definition
	for _, a := range rec.Admin {
		target := a.Unit
		if a.State == AdminDown {
			target = a.Unit.Other()
		}
		switch shown := adminSeen(seen, a.LoadBalancer, a.Pool, def.Units.Of(target)); {
		case a.Landed && in.erased(a), a.State == AdminDown && shown == AdminDown:
			return HoldJobErased
		case !forwards(seen, target):
			return HoldJobDone
		case a.State == AdminDown && shown != AdminUp && !fresh(seen, target) && len(seen.Balancers) > 0:
			return HoldJobDone // nothing sends traffic to it
		}
	}
	if p := proposed(in, rec); p == nil || p.Yield || rec.Job.State == JobUndoes {
		return HoldJobDone
	}
	return HoldJob
}

// forwards reports whether a unit proves that it forwards: it answers 200, or it
// passed the pair file's checks, just now.
func forwards(seen *Observation, r Role) bool {
	s := seen.Unit(r).Service
	age := seen.At.Sub(s.At)
	return fresh(seen, r) && s.Answer != ServiceFailed || s.Answer == ServicePassed && age >= 0 && age < FreshFor
}

// advance carries the job one step further: what it wants done, what of its admin
// states is taken back or stands for another while, and how far it is. A tag is
// written before the admin state that it is about.
func advance(in *Input, d *Decision, _ choice) {
	p := proposed(in, &d.Record)
	d.setJob(p.Job)
	d.Next = p.Next
	if p.Keep && slices.ContainsFunc(d.Record.Admin, func(h AdminHold) bool { return h.Deadline.Sub(d.At) <= FenceFor/2 }) {
		renew(in, d, choice{})
	}
	wanted := slices.Clone(p.Intents)
	if !Licensed(&in.Definition, LeverJob, p.Job.By, d.Facts.Stance) {
		wanted = nil // it is undone, and even a preference is nobody's wish by now (DESIGN promise 3)
	}
	for n := range wanted {
		i := &wanted[n]
		i.By, i.Job = p.Job.By, p.Job.ID
		if i.Pool == "" {
			continue
		}
		i.Deadline = d.At.Add(FenceFor)
		h := AdminHold{
			LoadBalancer: i.LoadBalancer, Pool: i.Pool, Unit: i.Unit, State: i.Want, Lever: LeverJob,
			Epoch: d.Epoch, Owner: p.Job.By, Reason: d.Row, Since: d.At, Deadline: i.Deadline,
		}
		d.Record.Admin = slices.DeleteFunc(slices.Clone(d.Record.Admin), func(o AdminHold) bool {
			return o.LoadBalancer == h.LoadBalancer && o.Pool == h.Pool && o.Unit == h.Unit
		})
		d.hold(h)
	}
	// Whoever takes everything back takes back Down first: Up of the other unit
	// carries the traffic until then.
	slices.SortStableFunc(d.Record.Admin, func(a, b AdminHold) int { return int(b.State) - int(a.State) })
	for _, i := range wanted {
		if i.Pool != "" {
			d.tag(in, i.LoadBalancer, tagOf(d.Record.Admin, i.LoadBalancer))
		}
	}
	for _, i := range wanted {
		d.intend(in, i)
	}
	if len(p.Release) > 0 {
		d.takeBack(in, slices.DeleteFunc(slices.Clone(d.Record.Admin), func(h AdminHold) bool { return !slices.Contains(p.Release, h.Unit) }))
	}
}

// setJob remembers how far the job is.
func (d *Decision) setJob(j Job) {
	was, err := json.Marshal(d.Record.Job)
	now, err2 := json.Marshal(&j)
	if err != nil || err2 != nil {
		panic("pair: a job that cannot be written") // only text, numbers and times
	}
	if !bytes.Equal(was, now) {
		d.Record.Job, d.Changed = &j, true
	}
}

// releaseJob takes back the admin states of a job that may not stand any more. A
// job that has not moved the active state is over with that, unless it says that it
// lasts.
func releaseJob(in *Input, d *Decision, c choice) {
	release(in, d, c)
	if p := proposed(in, &d.Record); p != nil && p.Lasts {
		return
	}
	d.endJob("its admin states were taken back: it was paused or stopped, its time was over, or the unit that carries the traffic was no longer proved to forward")
}

// forgetJob drops what somebody else took away of a job's admin states, and takes
// back the rest.
func forgetJob(in *Input, d *Decision, c choice) {
	forget(in, d, c)
	d.endJob("somebody else changed an admin state of the job")
}

// endJob has the running job undo what is left of it, unless it is past the point
// from which there is a way back: then its steps look at the world as it is.
func (d *Decision) endJob(why string) {
	if j := d.Record.Job; j.Running() && !j.Committed && j.State != JobUndoes {
		c := j.Clone()
		c.State, c.Why = JobUndoes, why
		d.Record.Job, d.Changed = c, true
	}
}

// heedJob stops a job that no person wants where mode or policy forbid it by now.
func (d *Decision) heedJob(in *Input, s Stance) {
	j := d.Record.Job
	if j.Running() && (s == StanceObserve || s == StanceRecommend) && !Licensed(&in.Definition, LeverJob, j.By, s) {
		d.endJob("mode or policy forbid it by now")
	}
}
