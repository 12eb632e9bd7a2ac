package pair

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// otherwise is what is remembered of a unit that has another check port.
func otherwise(since time.Duration) *HADrift {
	return &HADrift{Fields: []HAField{{haCheckPort, "8445", "8444"}}, Since: noon.Add(-since)}
}

// wrongPort is a pair of which second has had another check port for two minutes.
func wrongPort() Input {
	in := lasting(Misconfigured, withBalancer(observed(at(CheckServing, Active), told(at(CheckRefused, Active), Report{CheckPort: 8445})), AdminNone))
	in.Record.Units[1].SetUp = otherwise(2 * time.Minute)
	return in
}

func TestWhatAUnitSaysOfItsHASetUpIsComparedWithThePairFile(t *testing.T) {
	tests := []struct {
		name string
		says Report
		want string
	}{
		{"nothing said contradicts nothing", Report{}, ""},
		{"as the pair file says", Report{Role: Second, Partner: "10.0.0.4", CheckPort: 8444}, ""},
		{"another mode", Report{Role: First}, "HA mode first instead of second"},
		{"another check port", Report{CheckPort: 8445}, "check port 8445 instead of 8444"},
		{"itself as partner", Report{Partner: "10.0.0.5"}, "partner 10.0.0.5 instead of 10.0.0.4"},
		{"a partner by name says nothing to us", Report{Partner: "lm1"}, ""},
		{"all interfaces", Report{Partner: "10.0.0.4", AllInterfaces: true}, "all interfaces true instead of false"},
		{
			"everything at once",
			Report{Role: First, Partner: "10.0.0.9", CheckPort: 1, AllInterfaces: true},
			"HA mode first instead of second, check port 1 instead of 8444, partner 10.0.0.9 instead of 10.0.0.4, all interfaces true instead of false",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := lasting(Healthy, observed(at(CheckServing, Active), told(at(CheckIdle, Standby), tt.says)))
			d := Decide(&in)
			got := ""
			for _, h := range d.Record.SetUp() {
				got += h.Differences()
				if h.Unit != Second || !h.Since.Equal(noon) {
					t.Errorf("it is %s's since %v", h.Unit, h.Since)
				}
			}
			if got != tt.want {
				t.Errorf("differs %q, want %q", got, tt.want)
			}
		})
	}
}

func TestWhatDiffersIsRememberedUntilTheUnitSaysOtherwise(t *testing.T) {
	tests := []struct {
		name   string
		second UnitSeen
		want   *HADrift
	}{
		{"the same: since then", told(at(CheckRefused, Active), Report{CheckPort: 8445}), otherwise(2 * time.Minute)},
		{"something else: since now", told(at(CheckRefused, Active), Report{CheckPort: 8446}), &HADrift{Fields: []HAField{{haCheckPort, "8446", "8444"}}, Since: noon}},
		{"it is right again", told(at(CheckIdle, Standby), Report{CheckPort: 8444}), nil},
		{"it does not answer: nothing is new", silentUnit(), otherwise(2 * time.Minute)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := wrongPort()
			in.Observation.Units[1] = tt.second
			d := Decide(&in)
			got := d.Record.Units[1].SetUp
			if (got == nil) != (tt.want == nil) || got != nil && got.Words() != tt.want.Words() {
				t.Errorf("remembered %+v, want %+v", got, tt.want)
			}
		})
	}
}

// TestAWrongSetUpIsMended walks what lets the job begin, and what holds it up.
func TestAWrongSetUpIsMended(t *testing.T) {
	job := func(j Job) func(*Input) {
		return func(in *Input) {
			j.ID, j.Kind = "edge-000000000003-001", "configure"
			in.Record.Job = &j
		}
	}
	mode := func(in *Input) {
		in.Observation.Units[1] = told(at(CheckIdle, Standby), Report{Role: First})
		in.Record.Units[1].SetUp = &HADrift{Fields: []HAField{{haMode, "first", "second"}}, Since: noon.Add(-2 * time.Minute)}
	}
	interfaces := func(in *Input) {
		in.Record.Situation, in.Record.Sight = Healthy, Healthy
		in.Observation.Units[1] = told(at(CheckIdle, Standby), Report{Partner: "10.0.0.4", AllInterfaces: true})
		in.Record.Units[1].SetUp = &HADrift{Fields: []HAField{{haInterfaces, "true", "false"}}, Since: noon.Add(-2 * time.Minute)}
	}
	as := func(s Situation, first, second UnitSeen) func(*Input) {
		return func(in *Input) {
			in.Record.Situation, in.Record.Sight = s, s
			in.Observation.Units = [2]UnitSeen{first, second}
		}
	}
	port := func(u UnitSeen) UnitSeen { return told(u, Report{CheckPort: 8445}) }
	tests := []struct {
		name     string
		change   []func(*Input)
		row      string
		obstacle Obstacle
	}{
		{"in mode auto it begins", nil, "set-up", ObstacleNone},
		{"in mode recommend it is planned", []func(*Input){func(in *Input) { in.Definition.Mode = Recommend }}, "set-up-planned", ObstacleNone},
		{"in mode observe it is told", []func(*Input){func(in *Input) { in.Definition.Mode = Observe }}, "misconfigured", ObstacleNone},
		{"a new mode wants a reboot, so that a person is asked in mode auto too", []func(*Input){mode}, "set-up-planned", ObstacleNone},
		{"interfaces alone leave the pair well, and are mended too", []func(*Input){interfaces}, "set-up", ObstacleNone},
		{"and are told in mode observe", []func(*Input){interfaces, func(in *Input) { in.Definition.Mode = Observe }}, "set-up-drift", ObstacleNone},
		{"not before a minute", []func(*Input){func(in *Input) { in.Record.Units[1].SetUp = otherwise(59 * time.Second) }}, "misconfigured", ObstacleHoldDown},
		{"not while somebody is at work at the load balancer", []func(*Input){func(in *Input) { in.Observation = withBalancer(in.Observation, AdminDown) }}, "misconfigured", ObstacleForeign},
		{"not after a job that failed", []func(*Input){job(Job{By: OwnerTandem, State: JobFailed})}, "misconfigured", ObstacleFailed},
		{"nor after one that a person began", []func(*Input){job(Job{By: "ada", State: JobFailed})}, "misconfigured", ObstacleFailed},
		{"nor after one of ours that a person cancelled", []func(*Input){job(Job{By: OwnerTandem, State: JobCancelled})}, "misconfigured", ObstacleFailed},
		{"but after that of a person who cancelled it himself", []func(*Input){job(Job{By: "ada", State: JobCancelled})}, "set-up", ObstacleNone},
		{"and when somebody has taken note", []func(*Input){job(Job{By: OwnerTandem, State: JobFailed, Acknowledged: true})}, "set-up", ObstacleNone},
		{"not while another job is the pair's", []func(*Input){job(Job{By: "ada", State: JobAsks})}, "misconfigured", ObstacleNone},
		{"not while a unit's API is silent, or it could not be seen when it is right", []func(*Input){func(in *Input) {
			in.Observation.Units[0] = at(CheckServing, StateUnknown)
		}}, "misconfigured", ObstacleUnproved},
		{"it is begun once", []func(*Input){func(in *Input) { in.Open = []Intent{{Kind: IntentSetUp, Unit: Second}} }}, "misconfigured", ObstacleUnderWay},
		{"not after too many moves", []func(*Input){func(in *Input) { in.Record.Block = &Block{Since: noon} }}, "misconfigured", ObstacleBlocked},
		{"a move of a moment ago is no reason to wait", []func(*Input){func(in *Input) { in.Record.Moves = []time.Time{noon.Add(-time.Minute)} }}, "set-up", ObstacleNone},
		{"where the load balancer differs too, it may be the file that is wrong", []func(*Input){func(in *Input) {
			in.Record.Drift = &Drifted{Drift: Drift{Refusal: "the second unit itself says 8445"}, Since: noon.Add(-time.Hour)}
		}}, "misconfigured", ObstacleRefusal},
		{"a dispute waits for a person", []func(*Input){func(in *Input) { in.Record.Units[1].SetUp.Dispute = "second: check port" }}, "set-up-disputed", ObstacleDispute},
		{"a unit without HA may be a new one, which is left to people", []func(*Input){func(in *Input) {
			in.Observation.Units[1] = at(CheckRefused, NotConfigured)
			in.Record.Situation, in.Record.Sight = Unconfigured, Unconfigured
			in.Record.Units[0].SetUp = otherwise(2 * time.Minute)
		}}, "unconfigured", ObstacleNone},
		{"where both serve it comes before the fence", []func(*Input){as(BothActive, at(CheckServing, Active), port(at(CheckServing, Active)))}, "set-up", ObstacleNone},
		{"but the fence does not wait for it", []func(*Input){
			as(BothActive, at(CheckServing, Active), port(at(CheckServing, Active))), func(in *Input) { in.Record.Units[1].SetUp.Since = noon },
		}, "fence", ObstacleNone},
		{"where nobody serves it is what helps", []func(*Input){as(NoneActive, port(at(CheckIdle, Standby)), port(at(CheckIdle, Standby))), func(in *Input) {
			in.Record.Units[0].SetUp = otherwise(2 * time.Minute)
		}}, "set-up", ObstacleNone},
		{"and what a unit serves at another port is asked of the load balancer first", []func(*Input){
			as(NoneActive, port(at(CheckRefused, Active)), port(at(CheckRefused, Standby))), func(in *Input) {
				in.Record.Units[0].SetUp, in.Observation.Balancers = otherwise(2*time.Minute), nil
			},
		}, "balancer-unread", ObstacleUnread},
		{"announced trouble comes first", []func(*Input){interfaces, func(in *Input) {
			in.Record.Units[0].Platform = Evidence{Kind: EvidenceDegraded, At: noon}
		}}, "move", ObstacleNone},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := wrongPort()
			for _, change := range tt.change {
				change(&in)
			}
			d := Decide(&in)
			if d.Row != tt.row || d.Facts.Obstacle != tt.obstacle {
				t.Fatalf("row %s, obstacle %s; want %s, %s\n%s", d.Row, d.Facts.Obstacle, tt.row, tt.obstacle, Explain(&in, &d))
			}
			begins := slices.ContainsFunc(d.Intents, func(i Intent) bool { return i.Kind == IntentSetUp })
			if begins != (tt.row == "set-up") || len(d.Record.Moves) > len(in.Record.Moves) && tt.row == "set-up" {
				t.Errorf("intents %v, moves %v", d.Intents, d.Record.Moves)
			}
		})
	}
}

// TestExactlyWhatWasApprovedIsSetUp: what differs is part of the plan's name.
func TestExactlyWhatWasApprovedIsSetUp(t *testing.T) {
	in := wrongPort()
	in.Definition.Mode = Recommend
	d := Decide(&in)
	if d.Record.Plan == nil || !strings.Contains(d.Record.Plan.Reason, "second has check port 8445 instead of 8444") {
		t.Fatalf("row %s, plan %+v", d.Row, d.Record.Plan)
	}
	in.Record.Plan = d.Record.Plan
	in.Record.Plan.Approved = &Request{By: "ann", At: noon}
	if d = Decide(&in); d.Row != "set-up" || d.Intents[0].By != "ann" || d.Record.Plan != nil {
		t.Errorf("row %s, intents %+v", d.Row, d.Intents)
	}
	in.Observation.Units[1].API.Report.CheckPort = 8446
	if d = Decide(&in); d.Row == "set-up" {
		t.Error("it is begun for another port than a person approved")
	}
}

// TestASetUpThatIsChangedBackTwiceIsADispute: a person at the unit means it.
func TestASetUpThatIsChangedBackTwiceIsADispute(t *testing.T) {
	in := wrongPort()
	rec := in.Record
	for times, want := range []string{"", "", "second: check port"} {
		in.Record = rec
		in.Record.Units[1].SetUp = nil
		d := Decide(&in)
		if got := d.Record.Units[1].SetUp.Dispute; !strings.HasPrefix(got, want) || want == "" && got != "" {
			t.Errorf("after %d repairs: disputed %q, want %q", times, got, want)
		}
		rec = d.Record
		rec.HasSetUp(Second, noon)
	}
	if len(rec.Repairs) != 3 || len(in.Record.Repairs) != 2 {
		t.Errorf("repairs %+v", rec.Repairs)
	}
}

// TestWhyBothServeIsMendedBesideTheFence: a fence that stands does not keep the job
// out that mends what it is for.
func TestWhyBothServeIsMendedBesideTheFence(t *testing.T) {
	fenced := func() Input {
		o := withBalancer(observed(at(CheckServing, Active), told(at(CheckServing, Active), Report{Partner: "10.0.0.9"})), AdminDown)
		in := lasting(BothActive, o)
		in.Record.Admin = []AdminHold{hold(LeverFence, AdminDown, true)}
		in.Record.Units[1].SetUp = &HADrift{Fields: []HAField{{haPartner, "10.0.0.9", "10.0.0.4"}}, Since: noon.Add(-2 * time.Minute)}
		return in
	}
	works := func(mends bool) func(*Input) {
		return func(in *Input) {
			in.Record.Job = &Job{ID: "edge-000000000003-001", Kind: "configure", By: OwnerTandem, State: JobRuns}
			in.Proposal = &Proposal{Job: *in.Record.Job, Mends: mends, Intents: []Intent{{Kind: IntentConfigure, Unit: Second}}}
		}
	}
	tests := []struct {
		name   string
		change func(*Input)
		row    string
	}{
		{"the job begins", func(*Input) {}, "set-up-fenced"},
		{"not in the first minute", func(in *Input) { in.Record.Units[1].SetUp.Since = noon.Add(-time.Second) }, "fence-stands"},
		{"not before the fence is seen in place", func(in *Input) { in.Record.Admin[0].Landed = false }, "fence-sent"},
		{"nothing that wants a reboot", func(in *Input) {
			in.Observation.Units[1].API.Report = Report{State: Active, Role: First}
			in.Record.Units[1].SetUp = &HADrift{Fields: []HAField{{haMode, "first", "second"}}, Since: noon.Add(-time.Hour)}
		}, "fence-stands"},
		{"it goes on beside the fence", works(true), "job-fenced"},
		{"another job does not", works(false), "fence-stands"},
		{"the proof of the fence comes first", func(in *Input) { works(true)(in); in.Observation.Units[0] = silentUnit() }, "release-survivor"},
		{"a pause comes first", func(in *Input) { works(true)(in); in.Record.Pause = &Pause{Owner: "ann"} }, "release-paused"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := fenced()
			tt.change(&in)
			d := Decide(&in)
			if d.Row != tt.row {
				t.Fatalf("row %s, want %s: %s", d.Row, tt.row, Explain(&in, &d))
			}
			wrote := slices.ContainsFunc(d.Intents, func(i Intent) bool { return i.Kind == IntentConfigure || i.Kind == IntentSetUp })
			if wrote != (tt.row == "set-up-fenced" || tt.row == "job-fenced") {
				t.Errorf("intents %v", d.Intents)
			}
		})
	}
}
