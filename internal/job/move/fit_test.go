package move_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"tandem/internal/job"
	"tandem/internal/job/move"
	"tandem/internal/pair"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

// fitPair is a pair of which first serves and second is fit in every way.
func fitPair() *pair.Input {
	def := pair.Definition{
		Name: "edge",
		Units: pair.Units{
			First:  pair.Unit{VM: "lm1", Address: netip.MustParseAddr("10.0.0.4")},
			Second: pair.Unit{VM: "lm2", Address: netip.MustParseAddr("10.0.0.5")},
		},
		HA:            pair.HA{StandbyForwards: pair.ForwardsYes},
		LoadBalancers: []pair.LoadBalancer{{Name: "ilb", Pools: []string{"one"}}},
		Checks:        []pair.Check{{Name: "shop", Port: 443}},
	}.WithDefaults()
	in := &pair.Input{Definition: def, Observation: pair.Observation{At: noon}}
	pool := pair.PoolSeen{Name: "one"}
	for _, r := range pair.Roles {
		u := in.Observation.Unit(r)
		u.Check = pair.CheckSeen{Answer: pair.CheckServing, At: noon}
		u.Service = pair.ServiceSeen{Answer: pair.ServicePassed, At: noon}
		u.API = pair.APISeen{Answer: pair.APIAnswered, At: noon, Report: pair.Report{
			State: pair.Active, Role: r, Preferred: pair.PreferFirst, Partner: def.Units.Of(r.Other()).Address.String(), CheckPort: 8444, Firmware: "7.2.59.0", BootedAt: noon.Add(-time.Hour),
		}}
		pool.Members = append(pool.Members, pair.MemberSeen{Name: r.String(), Address: def.Units.Of(r).Address, Admin: pair.AdminNone})
	}
	in.Observation.Units[1].Check.Answer = pair.CheckIdle
	in.Observation.Units[1].API.Report.State = pair.Standby
	in.Observation.Balancers = []pair.BalancerSeen{{Name: "ilb", At: noon, Pools: []pair.PoolSeen{pool}}}
	return in
}

// TestWhatMakesATargetFit looks once at a pair in which one thing is wrong. Force
// overrides what is proof, never what lives or what is somebody else's.
func TestWhatMakesATargetFit(t *testing.T) {
	registry, err := job.NewRegistry(job.Procedure{Kind: "move", Title: "move", TakesForce: true, TakesUnit: true, Steps: move.Steps(move.How{})})
	if err != nil {
		t.Fatal(err)
	}
	second := func(in *pair.Input) *pair.UnitSeen { return in.Observation.Unit(pair.Second) }
	tests := []struct {
		name          string
		change        func(*pair.Input)
		state, forced pair.StepState // of the step, and with force
		says          string
	}{
		{"a standby that passes everything is fit", func(*pair.Input) {}, pair.StepDone, pair.StepDone, "may take over"},
		{"a silent target is not", func(in *pair.Input) { second(in).Check.Answer = pair.CheckSilent }, pair.StepRuns, pair.StepRuns, "must answer 503"},
		{"an answer of a while ago proves nothing", func(in *pair.Input) { second(in).Check.At = noon.Add(-pair.FreshFor) }, pair.StepRuns, pair.StepRuns, ""},
		{"an answer of the future proves nothing", func(in *pair.Input) { second(in).Check.At = noon.Add(time.Second) }, pair.StepRuns, pair.StepRuns, ""},
		{"two that serve are no pair to move", func(in *pair.Input) { second(in).Check.Answer = pair.CheckServing }, pair.StepRuns, pair.StepRuns, "exactly one"},
		{"other firmware", func(in *pair.Input) { second(in).API.Report.Firmware = "7.2.60.0" }, pair.StepFailed, pair.StepDone, "different firmware"},
		{"firmware that is not told", func(in *pair.Input) { second(in).API.Report.Firmware = "" }, pair.StepRuns, pair.StepDone, "tell their firmware"},
		{"a target set up as first", func(in *pair.Input) { second(in).API.Report.Role = pair.First }, pair.StepFailed, pair.StepDone, "set up as first"},
		{"a target with itself as partner", func(in *pair.Input) { second(in).API.Report.Partner = "10.0.0.5" }, pair.StepFailed, pair.StepDone, "as partner"},
		{"a target with another check port", func(in *pair.Input) { second(in).API.Report.CheckPort = 8445 }, pair.StepFailed, pair.StepDone, "check port 8445"},
		{"an unconnected target", func(in *pair.Input) { second(in).API.Report.State = pair.Unconnected }, pair.StepRuns, pair.StepDone, "unconnected"},
		{"a target whose API is silent", func(in *pair.Input) { second(in).API.Answer = pair.APISilent }, pair.StepRuns, pair.StepDone, "API of second (lm2)"},
		{"a target that fails a check", func(in *pair.Input) {
			second(in).Service = pair.ServiceSeen{Answer: pair.ServiceFailed, Check: "shop", At: noon}
		}, pair.StepRuns, pair.StepDone, "fails check shop"},
		{"a target whose checks were made a while ago", func(in *pair.Input) { second(in).Service.At = noon.Add(-time.Minute) }, pair.StepRuns, pair.StepDone, "must pass"},
		{"a load balancer that was not read", func(in *pair.Input) { in.Observation.Balancers = nil }, pair.StepRuns, pair.StepRuns, "was not read"},
		{"a Down of somebody else", func(in *pair.Input) { in.Observation.Balancers[0].Pools[0].Members[0].Admin = pair.AdminDown }, pair.StepFailed, pair.StepFailed, "not the job's"},
		{"a pool without the target", func(in *pair.Input) {
			p := &in.Observation.Balancers[0].Pools[0]
			p.Members = p.Members[:1]
		}, pair.StepFailed, pair.StepFailed, "not in pool ilb/one"},
		{"settings that differ for too long", func(in *pair.Input) {
			in.Record.Settings = &pair.SettingsRecord{Found: pair.SettingsFound{ToSecond: 2}, Since: noon.Add(-time.Hour), ComparedAt: noon}
		}, pair.StepFailed, pair.StepDone, "2 to carry to second"},
		{"settings that differ for a while are said", func(in *pair.Input) {
			in.Record.Settings = &pair.SettingsRecord{Found: pair.SettingsFound{ToSecond: 2}, Since: noon.Add(-time.Minute), ComparedAt: noon}
		}, pair.StepDone, pair.StepDone, "its settings differ: 2 to carry to second"},
		{"a probe that does not reach the target", func(in *pair.Input) { in.Record.Units[1].Probed.Unreached = true }, pair.StepRuns, pair.StepRuns, "probe gets no answer"},
	}
	for _, tt := range tests {
		for _, force := range []bool{false, true} {
			t.Run(tt.name, func(t *testing.T) {
				in := fitPair()
				tt.change(in)
				j, err := registry.New(job.Request{ID: "edge-000000000001-001", Kind: "move", By: "anna", At: noon, Force: force}, &in.Definition)
				if err != nil {
					t.Fatal(err)
				}
				in.Record.Job = &j
				p := registry.Propose(in)
				want := tt.state
				if force {
					want = tt.forced
				}
				got := p.Job.Steps[0]
				if got.State != want || !strings.Contains(got.Note, tt.says) {
					t.Errorf("force %t: step is %s: %q; want %s: %q", force, got.State, got.Note, want, tt.says)
				}
				if !p.Read && want != pair.StepRuns {
					t.Error("the load balancer is not asked for")
				}
				if force && tt.state != pair.StepDone && want == pair.StepDone && !strings.Contains(got.Note, "overridden by force") {
					t.Errorf("force is not recorded: %q", got.Note)
				}
			})
		}
	}
}

// TestThePreferenceFitsWhoServes: a preference for first beside a second that serves
// would move the active state undrained.
func TestThePreferenceFitsWhoServes(t *testing.T) {
	registry, err := job.NewRegistry(job.Procedure{Kind: "settle", Title: "settle", Steps: []job.Step{move.Settle()}})
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name     string
		serves   pair.Role
		failback pair.Failback
		has      pair.Preference // both units
		wants    pair.Preference // of the intents; unknown for none
		state    pair.StepState
	}{
		{"first serves and is preferred: nothing to do", pair.First, pair.FailbackUnit, pair.PreferFirst, pair.PreferenceUnknown, pair.StepDone},
		{"first serves and is not preferred: it is set", pair.First, pair.FailbackUnit, pair.PreferNone, pair.PreferFirst, pair.StepRuns},
		{"first serves and the pair file leaves failback to us", pair.First, pair.FailbackManaged, pair.PreferFirst, pair.PreferNone, pair.StepRuns},
		{"second serves: the preference stays suspended", pair.Second, pair.FailbackUnit, pair.PreferNone, pair.PreferenceUnknown, pair.StepDone},
		{"second serves and first is preferred: that is taken away", pair.Second, pair.FailbackUnit, pair.PreferFirst, pair.PreferNone, pair.StepRuns},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := fitPair()
			in.Definition.HA.Failback = tt.failback
			for _, r := range pair.Roles {
				in.Observation.Unit(r).API.Report.Preferred = tt.has
				in.Observation.Unit(r).Check.Answer = pair.CheckIdle
			}
			in.Observation.Unit(tt.serves).Check.Answer = pair.CheckServing
			j, err := registry.New(job.Request{ID: "edge-000000000001-001", Kind: "settle", By: "anna", At: noon}, &in.Definition)
			if err != nil {
				t.Fatal(err)
			}
			in.Record.Job = &j
			p := registry.Propose(in)
			if p.Job.Steps[0].State != tt.state || (len(p.Intents) > 0) != (tt.wants != pair.PreferenceUnknown) {
				t.Fatalf("step is %+v, intents %v", p.Job.Steps[0], p.Intents)
			}
			for _, i := range p.Intents {
				if i.Kind != pair.IntentPrefer || i.Prefer != tt.wants {
					t.Errorf("%s is wanted", i)
				}
			}
		})
	}
}

// TestTheFrontEndIsWaitedFor, and not for ever: that it does not answer may have been
// so before.
func TestTheFrontEndIsWaitedFor(t *testing.T) {
	registry, err := job.NewRegistry(job.Procedure{Kind: "follow", Title: "follow", Steps: []job.Step{move.Follow()}})
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name  string
		front pair.ServiceAnswer
		began time.Duration // before now
		state pair.JobState
	}{
		{"it answers: the job is done", pair.ServicePassed, 0, pair.JobDone},
		{"nobody can ask it: the job is done", pair.ServiceUnknown, 0, pair.JobDone},
		{"it does not answer: the job waits", pair.ServiceFailed, 59 * time.Second, pair.JobRuns},
		{"and after a minute it is done all the same", pair.ServiceFailed, time.Minute, pair.JobDone},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := fitPair()
			in.Observation.Front = pair.ServiceSeen{Answer: tt.front, At: noon}
			j, err := registry.New(job.Request{ID: "edge-000000000001-001", Kind: "follow", By: "anna", At: noon}, &in.Definition)
			if err != nil {
				t.Fatal(err)
			}
			j.Steps[0].State, j.Steps[0].BeganAt, j.LookedAt = pair.StepRuns, noon.Add(-tt.began), noon
			j.Gap = pair.Gap{Looks: 3, Failed: 3, Broken: true}
			in.Record.Job = &j
			got := registry.Propose(in).Job
			if got.State != tt.state || got.State == pair.JobDone && got.Gap.Broken != (tt.front != pair.ServicePassed) {
				t.Errorf("the job is %s: %s", got.State, got.Why)
			}
		})
	}
}
