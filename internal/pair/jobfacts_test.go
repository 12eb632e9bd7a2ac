package pair

import (
	"encoding/json"
	"reflect"
	"slices"
	"testing"
	"time"
)

// moving is a switchover to second in its drain: second is held Up and forwards,
// first is held Down and still says that it is active.
func moving() Input {
	up, down := hold(LeverJob, AdminUp, true), hold(LeverJob, AdminDown, true)
	up.Owner, down.Owner, down.Unit = "ada", "ada", First
	o := withFirst(withBalancer(observed(served(at(CheckServing, Active), ServicePassed), served(at(CheckIdle, Standby), ServicePassed)), AdminUp), AdminDown)
	in := lasting(Healthy, o)
	job := Job{V: 1, MinReader: 1, ID: "edge-000000000003-001", Kind: "switchover", By: "ada", State: JobRuns, Unit: Second, Steps: []JobStep{{Name: "drain", State: StepRuns}}}
	in.Record.Admin, in.Record.Job = []AdminHold{up, down}, &job
	in.Proposal = &Proposal{Job: job, Keep: true, Next: Duration(2 * time.Second)}
	return in
}

// starting is the same job before its first effect.
func starting() Input {
	in := moving()
	in.Record.Admin = nil
	in.Observation = withBalancer(in.Observation, AdminNone)
	in.Proposal.Keep = false
	in.Proposal.Intents = []Intent{{Kind: IntentRaise, LoadBalancer: "ilb", Pool: "pool", Unit: Second, Want: AdminUp}}
	return in
}

func TestWhatStandsOfAJobIsHeldOnlyOnProof(t *testing.T) {
	tests := []struct {
		name   string
		change func(*Input)
		row    string
	}{
		{"the target is Up and forwards: it stands", func(*Input) {}, "job-holds"},
		{"the target answers 200 by itself: it stands", func(in *Input) {
			in.Observation.Units[1] = at(CheckServing, Active)
		}, "job-holds"},
		{"the target fails a check: both go back", func(in *Input) { in.Observation.Units[1].Service.Answer = ServiceFailed }, "release-job"},
		{"the target is silent: both go back", func(in *Input) { in.Observation.Units[1] = silentUnit() }, "release-job"},
		{"what the target passed is too old: both go back", func(in *Input) {
			in.Observation.Units[1].Service.At = noon.Add(-FreshFor)
		}, "release-job"},
		{"the target answers 200 and fails a check: both go back", func(in *Input) {
			in.Observation.Units[1] = served(at(CheckServing, Active), ServiceFailed)
		}, "release-job"},
		{"nothing sends traffic to the target: both go back", func(in *Input) {
			in.Record.Admin = in.Record.Admin[1:]
			in.Observation.Balancers[0].Pools[0].Members[1].Admin = AdminNone
		}, "release-job"},
		{"the job does not run any more: both go back", func(in *Input) { in.Record.Job.State = JobFailed }, "release-job"},
		{"the job is unknown to this release: both go back", func(in *Input) { in.Proposal = nil }, "release-job"},
		{"the proposal is another job's: both go back", func(in *Input) { in.Proposal.Job.ID = "edge-000000000001-001" }, "release-job"},
		{"the job yields: both go back", func(in *Input) { in.Proposal.Yield = true }, "release-job"},
		{"the job undoes: both go back", func(in *Input) { in.Record.Job.State = JobUndoes }, "release-job"},
		{"somebody cleared the Down: it is not set again", func(in *Input) {
			in.Observation.Balancers[0].Pools[0].Members[0].Admin = AdminNone
		}, "job-erased"},
		{"somebody set the target Down: never both", func(in *Input) {
			in.Observation.Balancers[0].Pools[0].Members[1].Admin = AdminDown
		}, "job-erased"},
		{"its time is over", func(in *Input) { in.Record.Admin[1].Deadline = noon }, "release-expired"},
		{"the pair is paused", func(in *Input) { in.Record.Pause = &Pause{Owner: "eve"} }, "release-paused"},
		{"everything is stopped", func(in *Input) { in.Stop = &Pause{Owner: "eve"} }, "release-paused"},
		{"we are blind", func(in *Input) { in.Blind = BlindClock }, "release-blind"},
		{"mode observe allows what a person wants", func(in *Input) { in.Definition.Mode = Observe }, "job-holds"},
		{"mode observe does not allow what nobody wants", func(in *Input) {
			in.Definition.Mode = Observe
			in.Record.Admin[0].Owner, in.Record.Admin[1].Owner, in.Record.Job.By = OwnerTandem, OwnerTandem, OwnerTandem
		}, "release-mode"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := moving()
			tt.change(&in)
			d := Decide(&in)
			if d.Row != tt.row {
				t.Fatalf("row %s, want %s", d.Row, tt.row)
			}
			released := slices.ContainsFunc(d.Intents, func(i Intent) bool { return i.Kind == IntentRelease && i.Unit == First })
			stands := in.Observation.Balancers[0].Pools[0].Members[0].Admin == AdminDown
			if want := stands && tt.row != "job-holds"; released != want {
				t.Errorf("first is released: %v, want %v; intents %v", released, want, d.Intents)
			}
			if j := d.Record.Job; (tt.row == "release-job" || tt.row == "job-erased") && j.State == JobRuns {
				t.Errorf("the job goes on: %+v", j)
			}
		})
	}
}

func TestAJobThatHasMovedTheActiveStateIsNotUndone(t *testing.T) {
	in := moving()
	in.Record.Job.Committed = true
	in.Observation.Units[1] = silentUnit()
	if d := Decide(&in); d.Row != "release-job" || d.Record.Job.State != JobRuns {
		t.Errorf("row %s, job %+v", d.Row, d.Record.Job)
	}
}

// TestAJobThatLastsIsNotUndone where the one who serves proves nothing for a moment: its
// admin states go back all the same, and somebody else's doing ends it as any other.
func TestAJobThatLastsIsNotUndone(t *testing.T) {
	tests := []struct {
		name   string
		change func(*Input)
		row    string
		state  JobState
	}{
		{"first, which serves, fails a check", func(in *Input) { in.Observation.Units[0].Service.Answer = ServiceFailed }, "release-job", JobRuns},
		{"it is silent", func(in *Input) { in.Observation.Units[0] = silentUnit() }, "release-job", JobRuns},
		{"somebody cleared the Down", func(in *Input) {
			in.Observation.Balancers[0].Pools[0].Members[1].Admin = AdminNone
		}, "job-erased", JobUndoes},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := moving()
			down := in.Record.Admin[1]
			down.Unit = Second
			in.Record.Admin = []AdminHold{down}
			in.Observation = withBalancer(in.Observation, AdminDown)
			in.Proposal.Lasts = true
			tt.change(&in)
			d := Decide(&in)
			if d.Row != tt.row || d.Record.Job.State != tt.state {
				t.Errorf("row %s, job %s; want %s, %s", d.Row, d.Record.Job.State, tt.row, tt.state)
			}
			if released := slices.ContainsFunc(d.Intents, func(i Intent) bool { return i.Kind == IntentRelease }); released != (tt.row == "release-job") {
				t.Errorf("intents are %v", d.Intents)
			}
		})
	}
}

// secondServes is seen after a move to second: neither unit has a preference.
func secondServes() Observation {
	return withBalancer(observed(prefers(at(CheckIdle, Standby), PreferNone), prefers(at(CheckServing, Active), PreferNone)), AdminNone)
}

// TestAJobIsAloneWithThePair: while it goes, neither doubt nor another lever comes
// between; a person's stop and our own doubt in ourselves do.
func TestAJobIsAloneWithThePair(t *testing.T) {
	tests := []struct {
		name   string
		change func(*Input)
		row    string
	}{
		{"it goes", func(*Input) {}, "job"},
		{"although what is seen is new", func(in *Input) { in.Observation.Units[1] = silentUnit() }, "job"},
		{"although another lever fits", func(in *Input) { in.Record.Drift = differing("a") }, "job"},
		{"it waits while the pair is paused", func(in *Input) { in.Record.Pause = &Pause{Owner: "eve"} }, "paused"},
		{"it waits in a maintenance", func(in *Input) { in.Record.Pause = &Pause{Owner: "eve", Unit: First} }, "maintenance"},
		{"it waits while we are blind", func(in *Input) { in.Blind = BlindStore }, "blind"},
		{"it leaves to the table what is not its own", func(in *Input) { in.Proposal.Yield = true }, "healthy"},
		{"what waits for a person is said", func(in *Input) { in.Proposal, in.Record.Job.State = nil, JobAsks }, "job-asks"},
		{"what failed is said", func(in *Input) { in.Proposal, in.Record.Job.State = nil, JobFailed }, "job-failed"},
		{"until somebody has taken note", func(in *Input) {
			in.Proposal, in.Record.Job.State, in.Record.Job.Acknowledged = nil, JobFailed, true
		}, "healthy"},
		{"what is over says nothing", func(in *Input) { in.Proposal, in.Record.Job.State = nil, JobDone }, "healthy"},
		{"a preference that waits is said after a job", func(in *Input) {
			in.Observation, in.Proposal, in.Record.Job.State = secondServes(), nil, JobDone
		}, "preference-held"},
		{"but not before one that failed", func(in *Input) {
			in.Observation, in.Proposal, in.Record.Job.State = secondServes(), nil, JobFailed
		}, "job-failed"},
		{"nor before one that asks", func(in *Input) {
			in.Observation, in.Proposal, in.Record.Job.State = secondServes(), nil, JobAsks
		}, "job-asks"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := starting()
			tt.change(&in)
			if d := Decide(&in); d.Row != tt.row {
				t.Fatalf("row %s, want %s", d.Row, tt.row)
			}
		})
	}
}

func TestWhatAJobWantsIsStoredBeforeItIsDone(t *testing.T) {
	in := starting()
	in.Proposal.Job.Steps = []JobStep{{Name: "raise", State: StepRuns, Tries: 1}}
	d := Decide(&in)
	if len(d.Intents) != 2 || d.Intents[0].Kind != IntentTag || d.Intents[1].Kind != IntentRaise {
		t.Fatalf("intents %v, want the tag before the admin state", d.Intents)
	}
	i, h := d.Intents[1], d.Record.Admin[0]
	if i.Job != in.Record.Job.ID || i.By != "ada" || !i.Deadline.Equal(noon.Add(FenceFor)) {
		t.Errorf("intent %+v", i)
	}
	if h.Lever != LeverJob || h.Owner != "ada" || h.State != AdminUp || h.Unit != Second || !h.Deadline.Equal(noon.Add(FenceFor)) {
		t.Errorf("hold %+v", h)
	}
	if d.Record.Job.Steps[0].Tries != 1 || time.Duration(d.Next) != 2*time.Second {
		t.Errorf("job %+v, next %v", d.Record.Job, d.Next)
	}
	if in.Record.Job.Steps[0].Name != "drain" {
		t.Error("the input was changed")
	}
}

func TestAJobThatWaitsWritesNothing(t *testing.T) {
	in := moving()
	in.Record.Situation, in.Record.Sight, in.Record.LastActive = Healthy, Healthy, First
	in.Proposal.Keep = true
	in.Record.Alarm = nil
	first := Decide(&in)
	in.Record = first.Record
	if d := Decide(&in); !d.Quiet() {
		t.Errorf("row %s changes %v, intents %v", d.Row, d.Changed, d.Intents)
	}
}

func TestAJobsAdminStatesAreRenewedAndTakenBackUnitByUnit(t *testing.T) {
	in := moving()
	for n := range in.Record.Admin {
		in.Record.Admin[n].Deadline = noon.Add(FenceFor / 2)
	}
	d := Decide(&in)
	if !d.Record.Admin[0].Deadline.Equal(noon.Add(FenceFor)) || !d.Record.Admin[1].Deadline.Equal(noon.Add(FenceFor)) {
		t.Errorf("holds %+v, want both renewed", d.Record.Admin)
	}
	in = moving()
	in.Proposal.Keep, in.Proposal.Release = false, []Role{Second}
	d = Decide(&in)
	if len(d.Intents) != 2 || d.Intents[0].Kind != IntentRelease || d.Intents[0].Unit != Second {
		t.Fatalf("intents %v, want second alone released", d.Intents)
	}
	if left := readTag(d.Intents[1].Tag); len(left) != 1 || left[0].Unit != First {
		t.Errorf("the tag says %q, want what still stands", d.Intents[1].Tag)
	}
}

// TestWhatAJobTakesBackItTakesBackInAnOrder: Up carries the traffic until Down is
// gone.
func TestWhatAJobTakesBackItTakesBackInAnOrder(t *testing.T) {
	in := starting()
	d := Decide(&in)
	in.Record = d.Record
	in.Record.Admin[0].Landed = true
	in.Observation = withFirst(withBalancer(in.Observation, AdminUp), AdminNone)
	in.Proposal = &Proposal{Job: *in.Record.Job, Intents: []Intent{{Kind: IntentDrain, LoadBalancer: "ilb", Pool: "pool", Unit: First, Want: AdminDown}}}
	d = Decide(&in)
	in.Record = d.Record
	in.Record.Admin[0].Landed, in.Record.Admin[1].Landed = true, true
	in.Observation = withFirst(in.Observation, AdminDown)
	in.Record.Job.State = JobFailed
	d = Decide(&in)
	var units []Role
	for _, i := range d.Intents {
		if i.Kind == IntentRelease {
			units = append(units, i.Unit)
		}
	}
	if !slices.Equal(units, []Role{First, Second}) {
		t.Errorf("released in the order %v, want first, which is Down, before second, which is Up; row %s", units, d.Row)
	}
}

func TestAnAutomaticJobEndsWhereTheModeForbidsIt(t *testing.T) {
	for _, mode := range []Mode{Observe, Recommend} {
		in := starting()
		in.Definition.Mode, in.Record.Job.By = mode, OwnerTandem
		if d := Decide(&in); d.Record.Job.State != JobUndoes {
			t.Errorf("in mode %s it is %s", mode, d.Record.Job.State)
		}
		in.Record.Job.By = "ada"
		if d := Decide(&in); d.Record.Job.State != JobRuns {
			t.Errorf("in mode %s a person's is %s", mode, d.Record.Job.State)
		}
	}
}

func TestAJobIsStoredWithWhatItDoesNotKnow(t *testing.T) {
	const stored = `{"v":1,"minReader":1,"id":"edge-000000000003-001","kind":"switchover","by":"ada","at":"2026-11-22T12:00:00Z","state":"runs","step":0,"later":{"a":1}}`
	var j Job
	if err := json.Unmarshal([]byte(stored), &j); err != nil {
		t.Fatal(err)
	}
	c := j.Clone()
	b, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	var want, got map[string]any
	_, _ = json.Unmarshal([]byte(stored), &want), json.Unmarshal(b, &got)
	if !reflect.DeepEqual(got, want) {
		t.Errorf("written as %s, was %s", b, stored)
	}
	for _, s := range JobStates {
		if over := s == JobDone || s == JobFailed || s == JobCancelled; s.Ended() != over {
			t.Errorf("%s has ended: %v", s, s.Ended())
		}
	}
}

// TestTheActiveStateIsMovedWhereThatIsWanted: back to first where that is left to
// us, and away from a machine of which the platform has announced trouble.
func TestTheActiveStateIsMovedWhereThatIsWanted(t *testing.T) {
	secondServes := secondServes()
	firstServes := withBalancer(observed(at(CheckServing, Active), at(CheckIdle, Standby)), AdminNone)
	managed := func(in *Input) { in.Definition.HA.Failback = FailbackManaged }
	threat := func(r Role) func(*Input) {
		return func(in *Input) { in.Record.Units[r.Index()].Platform = Evidence{Kind: EvidenceDegraded, At: noon} }
	}
	failedBy := func(by string, acknowledged bool) func(*Input) {
		return func(in *Input) {
			in.Record.Job = &Job{ID: "edge-000000000003-001", Kind: "switchover", By: by, State: JobFailed, Acknowledged: acknowledged}
		}
	}
	tests := []struct {
		name   string
		seen   Observation
		change []func(*Input)
		row    string
		to     Role
	}{
		{"managed: back to first", secondServes, []func(*Input){managed}, "move", First},
		{"managed: not before the hold", secondServes, []func(*Input){managed, func(in *Input) { in.Record.Since = noon.Add(-time.Minute) }}, "move-held", RoleUnknown},
		{"managed: not so soon after the last move", secondServes, []func(*Input){managed, func(in *Input) { in.Record.Moves = []time.Time{noon.Add(-time.Minute)} }}, "move-held", RoleUnknown},
		{"managed: not after a move of ours that failed", secondServes, []func(*Input){managed, failedBy(OwnerTandem, false)}, "job-failed", RoleUnknown},
		{"managed: a job of ours that failed and moves nothing is not in the way", secondServes, []func(*Input){managed, failedBy(OwnerTandem, false), func(in *Input) { in.Record.Job.Kind = "configure" }}, "move", First},
		{"managed: but when a person has taken note", secondServes, []func(*Input){managed, failedBy(OwnerTandem, true)}, "move", First},
		{"managed: what failed for a person is another thing", secondServes, []func(*Input){managed, failedBy("ada", false)}, "move", First},
		{"trouble: not after a move of ours that failed", firstServes, []func(*Input){threat(First), failedBy(OwnerTandem, false)}, "job-failed", RoleUnknown},
		{"managed: not to a machine that is in trouble", secondServes, []func(*Input){managed, threat(First)}, "healthy", RoleUnknown},
		{"managed: not before the hold after the platform called the machine unavailable, or well", secondServes, []func(*Input){managed, func(in *Input) {
			in.Record.Units[0].Platform = Evidence{Kind: EvidenceUnavailable, At: noon.Add(-time.Minute)}
		}}, "move-held", RoleUnknown},
		{"managed: what the platform said before the hold is over", secondServes, []func(*Input){managed, func(in *Input) {
			in.Record.Units[0].Platform = Evidence{Kind: EvidenceAvailable, At: noon.Add(-time.Hour)}
		}}, "move", First},
		{"managed: not while somebody is at work at the load balancer", withFirst(secondServes, AdminUp), []func(*Input){managed}, "move-held", RoleUnknown},
		{"managed: in mode recommend it is planned", secondServes, []func(*Input){managed, func(in *Input) { in.Definition.Mode = Recommend }}, "move-planned", RoleUnknown},
		{"managed: in mode observe nothing is", secondServes, []func(*Input){managed, func(in *Input) { in.Definition.Mode = Observe }}, "healthy", RoleUnknown},
		{"managed: nothing to do where first serves", withBalancer(observed(prefers(at(CheckServing, Active), PreferNone), prefers(at(CheckIdle, Standby), PreferNone)), AdminNone), []func(*Input){managed}, "healthy", RoleUnknown},
		{"never: it stays", secondServes, []func(*Input){func(in *Input) { in.Definition.HA.Failback = FailbackNever }}, "healthy", RoleUnknown},
		{"trouble is announced where first serves: to second, at once", firstServes, []func(*Input){threat(First), func(in *Input) { in.Record.Since = noon.Add(-time.Minute) }}, "move", Second},
		{"trouble of the standby moves nothing", firstServes, []func(*Input){threat(Second)}, "healthy", RoleUnknown},
		{"trouble of both moves nothing", firstServes, []func(*Input){threat(First), threat(Second)}, "healthy", RoleUnknown},
		{"trouble that is over moves nothing", firstServes, []func(*Input){func(in *Input) {
			in.Record.Units[0].Platform = Evidence{Kind: EvidenceAvailable, At: noon}
		}}, "healthy", RoleUnknown},
		{"a job at work is enough", firstServes, []func(*Input){threat(First), func(in *Input) {
			in.Record.Job = &Job{ID: "j", State: JobRuns}
			in.Proposal = &Proposal{Job: *in.Record.Job}
		}}, "job", RoleUnknown},
		{"it is begun once", firstServes, []func(*Input){threat(First), func(in *Input) { in.Open = []Intent{{Kind: IntentMove, Unit: Second}} }}, "under-way", RoleUnknown},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := lasting(Healthy, tt.seen)
			for _, change := range tt.change {
				change(&in)
			}
			d := Decide(&in)
			if d.Row != tt.row {
				t.Fatalf("row %s, want %s", d.Row, tt.row)
			}
			moves := slices.DeleteFunc(d.Intents, func(i Intent) bool { return i.Kind != IntentMove })
			if tt.to == RoleUnknown && len(moves) > 0 || tt.to != RoleUnknown && (len(moves) != 1 || moves[0].Unit != tt.to) {
				t.Errorf("moves %v, want to %s", moves, tt.to)
			}
		})
	}
}

// TestAJobOfOurOwnThatTheModeForbidsWantsNothingMore: its undoing sets back a
// preference, which is an action too (DESIGN promise 3). A person's job is undone in
// every mode.
func TestAJobOfOurOwnThatTheModeForbidsWantsNothingMore(t *testing.T) {
	for _, tt := range []struct {
		name, by string
		mode     Mode
		want     int
	}{
		{"ours in mode observe", OwnerTandem, Observe, 0},
		{"ours in mode auto", OwnerTandem, Auto, 1},
		{"a person's in mode observe", "ann", Observe, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in := lasting(Healthy, withBalancer(observed(at(CheckServing, Active), at(CheckIdle, Standby)), AdminNone))
			in.Definition.Mode = tt.mode
			in.Record.Job = &Job{ID: "j", Kind: "configure", By: tt.by, State: JobUndoes}
			in.Proposal = &Proposal{Job: *in.Record.Job, Intents: []Intent{{Kind: IntentPrefer, Unit: First, Prefer: PreferFirst}}}
			d := Decide(&in)
			if d.Row != "job" || len(d.Intents) != tt.want {
				t.Errorf("row %s with intents %v, want job with %d", d.Row, d.Intents, tt.want)
			}
		})
	}
}
