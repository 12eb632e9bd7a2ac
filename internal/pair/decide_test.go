package pair

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the generated files instead of comparing them")

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func definition() Definition {
	return Definition{
		Name: "edge", Mode: Auto,
		Azure: Scope{Subscription: "s", ResourceGroup: "rg", Location: "westeurope"},
		Units: Units{
			First:  Unit{VM: "lm1", Address: netip.MustParseAddr("10.0.0.4")},
			Second: Unit{VM: "lm2", Address: netip.MustParseAddr("10.0.0.5")},
		},
		HA:            HA{Preferred: PreferFirst},
		LoadBalancers: []LoadBalancer{{Name: "ilb", Pools: []string{"pool"}}},
		Failover:      Failover{Fence: Allowed},
	}.WithDefaults()
}

// proven is the input of a pair whose lever is proved, as mode auto wants it.
func proven() Input {
	return Input{Definition: definition(), Record: Record{Proofs: []LeverProof{{LoadBalancer: "ilb", Pool: "pool", Back: true}}}}
}

func at(answer CheckAnswer, state HAState) UnitSeen {
	u := UnitSeen{Check: CheckSeen{Answer: answer, At: noon}}
	switch {
	case state != StateUnknown:
		u.API = APISeen{Answer: APIAnswered, At: noon, Report: Report{State: state, Preferred: PreferFirst}}
	case answer == CheckSilent:
		u.API = APISeen{Answer: APISilent, At: noon}
	}
	return u
}

func withBalancer(o Observation, second AdminState) Observation {
	o.Balancers = []BalancerSeen{{Name: "ilb", At: o.At, Pools: []PoolSeen{{
		Name: "pool", ETag: "1", Members: []MemberSeen{
			{Name: "a", Address: netip.MustParseAddr("10.0.0.4"), Admin: AdminNone},
			{Name: "b", Address: netip.MustParseAddr("10.0.0.5"), Admin: second},
		},
	}}}}
	return o
}

// told is a unit whose API says more of it.
func told(u UnitSeen, more Report) UnitSeen {
	more.State, more.Preferred = u.API.Report.State, u.API.Report.Preferred
	u.API.Report = more
	return u
}

// served is a unit whose checks were made.
func served(u UnitSeen, answer ServiceAnswer) UnitSeen {
	u.Service = ServiceSeen{Answer: answer, Check: "shop", At: noon}
	return u
}

// withFirst changes the admin state of the first unit.
func withFirst(o Observation, admin AdminState) Observation {
	o = withBalancer(o, o.Balancers[0].Pools[0].Members[1].Admin)
	o.Balancers[0].Pools[0].Members[0].Admin = admin
	return o
}

func withoutFirst(o Observation) Observation {
	o = withBalancer(o, AdminNone)
	o.Balancers[0].Pools[0].Members = o.Balancers[0].Pools[0].Members[1:]
	return o
}

func withHealth(o Observation, address string, up bool) Observation {
	o = withBalancer(o, AdminNone)
	o.Balancers[0].Health = []HealthSeen{{Rule: "check", Address: netip.MustParseAddr(address), Up: up, Reason: "Down_Probe_TcpProbeTimeout"}}
	return o
}

func TestClassifyNamesWhatIsSeen(t *testing.T) {
	tests := []struct {
		name          string
		first, second UnitSeen
		started       time.Duration // of the second unit, before now
		want          Situation
	}{
		{"one serves and one idles: healthy", at(CheckServing, Active), at(CheckIdle, Standby), 0, Healthy},
		{"the check port is enough where the API says nothing", at(CheckServing, StateUnknown), at(CheckIdle, StateUnknown), 0, Healthy},
		{"the second may be the one that serves", at(CheckIdle, Standby), at(CheckServing, Active), 0, Healthy},
		{"two answers of 200 from units that are set up right: the link is cut", at(CheckServing, Active), at(CheckServing, Active), 0, LinkCut},
		{"two answers of 200 that nothing explains: both active", at(CheckServing, Active), at(CheckServing, StateUnknown), 0, BothActive},
		{"two answers of 200 from two first units: both active", at(CheckServing, Active), told(at(CheckServing, Active), Report{Role: First}), 0, BothActive},
		{"a silent partner: degraded", at(CheckServing, Active), at(CheckSilent, StateUnknown), 0, Degraded},
		{"a refusing partner: degraded", at(CheckServing, Active), at(CheckRefused, StateUnknown), 0, Degraded},
		{"a partner started a minute ago: booting", at(CheckServing, Active), at(CheckSilent, StateUnknown), time.Minute, Booting},
		{"five minutes after the start the grace is over", at(CheckServing, Active), at(CheckSilent, StateUnknown), BootGrace, Degraded},
		{"a standby that says unconnected is not polled", at(CheckServing, Active), at(CheckIdle, Unconnected), 0, Unpolled},
		{"a standby that says unconnected just after its start is booting", at(CheckServing, Active), at(CheckIdle, Unconnected), time.Minute, Booting},
		{"a partner with another check port is misconfigured", at(CheckServing, Active), told(at(CheckRefused, Standby), Report{CheckPort: 8445}), 0, Misconfigured},
		{"a standby whose partner is itself is misconfigured", at(CheckServing, Active), told(at(CheckIdle, Standby), Report{Partner: "10.0.0.5"}), 0, Misconfigured},
		{"a partner given by name contradicts nothing", at(CheckServing, Active), told(at(CheckIdle, Standby), Report{Partner: "lm1"}), 0, Healthy},
		{"other firmware on the standby", told(at(CheckServing, Active), Report{Firmware: "7.2.61"}), told(at(CheckIdle, Standby), Report{Firmware: "7.2.60"}), 0, VersionMismatch},
		{"firmware that one unit does not tell is no mismatch", told(at(CheckServing, Active), Report{Firmware: "7.2.61"}), at(CheckIdle, Standby), 0, Healthy},
		{"the active fails a check that the standby passes: it lies", served(at(CheckServing, Active), ServiceFailed), served(at(CheckIdle, Standby), ServicePassed), 0, Lying},
		{"both fail the check: the application is down", served(at(CheckServing, Active), ServiceFailed), served(at(CheckIdle, Standby), ServiceFailed), 0, ApplicationDown},
		{"the active fails and nobody asked the standby: the application is down", served(at(CheckServing, Active), ServiceFailed), at(CheckIdle, Standby), 0, ApplicationDown},
		{"a standby that does not forward is healthy", served(at(CheckServing, Active), ServicePassed), served(at(CheckIdle, Standby), ServiceFailed), 0, Healthy},
		{"a partner that lives but hides its check port is unclear", at(CheckServing, Active), at(CheckRefused, Standby), 0, Unclear},
		{"a partner that was not asked is unclear", at(CheckServing, Active), UnitSeen{}, 0, Unclear},
		{"HA not configured on one unit", at(CheckServing, Active), at(CheckRefused, NotConfigured), 0, Unconfigured},
		{"nobody answers 200: none active", at(CheckIdle, Standby), at(CheckIdle, Standby), 0, NoneActive},
		{"nobody answers at all: none active", at(CheckSilent, StateUnknown), at(CheckSilent, StateUnknown), 0, NoneActive},
		{"nobody serves yet, but one is booting", at(CheckSilent, StateUnknown), at(CheckSilent, StateUnknown), time.Minute, Booting},
		{"a settled standby is not booting, however young", at(CheckSilent, StateUnknown), at(CheckIdle, Standby), time.Minute, NoneActive},
		{"nothing was asked: unclear", UnitSeen{}, UnitSeen{}, 0, Unclear},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var rec Record
			if tt.started > 0 {
				rec.Units[1].StartedAt = noon.Add(-tt.started)
			}
			o := Observation{At: noon, Units: [2]UnitSeen{tt.first, tt.second}}
			def := definition()
			if got := Classify(&def, &o, &rec); got != tt.want {
				t.Errorf("Classify(%v, %v) = %v, want %v", tt.first, tt.second, got, tt.want)
			}
		})
	}
}

// everyCase walks every combination of the facts that the table looks at. While
// something of ours stands there are no facts about a lever, and otherwise none
// about what stands (facts).
func everyCase(visit func(*Facts)) {
	for _, situation := range Situations {
		for _, belief := range beliefs {
			for _, st := range stances {
				f := Facts{Situation: situation, Belief: belief, Stance: st}
				for _, proof := range proofs {
					f.Proof = proof
					everyHold(f, visit)
				}
				everyLever(f, visit)
			}
		}
	}
}

func everyHold(f Facts, visit func(*Facts)) {
	for _, hold := range holds[1:] {
		for bits := range 8 {
			f.Hold, f.SurvivorServes, f.Settled, f.Licence = hold, bits&1 == 1, bits&2 == 2, bits&4 == 4
			visit(&f)
			if hold == HoldStanding && f.Stance == StanceAuto {
				mends := f
				mends.Lever, mends.Permit = LeverRepair, PermitAct
				visit(&mends)
				mends.Lever = LeverSetUp
				visit(&mends)
			}
			if hold == HoldStanding { // a job that mends goes on beside the fence
				goes := f
				goes.Job = JobFactGoes
				visit(&goes)
			}
		}
	}
}

func everyLever(f Facts, visit func(*Facts)) {
	for bits := range 16 {
		f.Foreign, f.Refused, f.Unsaved, f.Apart = bits&1 == 1, bits&2 == 2, bits&4 == 4, bits&8 == 8
		for _, job := range jobFacts[1:] { // beside levers a job only has something to say
			f.Job = job
			visit(&f)
		}
		f.Job = JobFactNone
		f.Lever, f.Permit, f.Obstacle = LeverNone, PermitNever, ObstacleNone
		visit(&f)
		for _, lever := range Levers[1:] {
			if possible := leversOf(f.Situation); !slices.Contains(possible, lever) {
				continue
			}
			for _, permit := range permits {
				for _, obstacle := range obstacles {
					if permit == PermitNever && obstacle != ObstacleNone && (lever != LeverRepair || obstacle != ObstacleUnderWay) {
						continue // nobody looked for one
					}
					f.Lever, f.Permit, f.Obstacle = lever, permit, obstacle
					if lever == LeverRepair && permit == PermitAct && (obstacle == ObstacleNone || obstacle == ObstacleMoved || obstacle == ObstacleRefusal) {
						f.Wished = true
						visit(&f)
						f.Wished = false
					}
					if (lever == LeverRepair || lever == LeverSetUp) && f.Situation.BothServe() && (permit != PermitAct || obstacle != ObstacleNone) {
						continue // the fence comes before what would have to wait
					}
					visit(&f)
				}
			}
		}
	}
}

// leversOf are the levers that chooseLever may name in a situation; the test of
// the sequences sees that it names no other.
func leversOf(s Situation) []Lever {
	switch s {
	case BothActive, LinkCut:
		return []Lever{LeverFence, LeverSetUp, LeverRepair}
	case NoneActive:
		return []Lever{LeverPrefer, LeverUp, LeverStart, LeverSetUp, LeverRepair}
	case Degraded:
		return []Lever{LeverStart, LeverRestart, LeverRepair}
	case Healthy:
		return []Lever{LeverProve, LeverPrefer, LeverMove, LeverSetUp, LeverSync, LeverRepair}
	case Misconfigured, Unpolled:
		return []Lever{LeverSetUp, LeverRepair}
	default:
		return []Lever{LeverRepair}
	}
}

// TestTableIsPinned keeps every change of the table deliberate: how many of all
// combinations each row wins, and which situation leads to which row. A row
// that is removed, moved or changed shows here, because each wins somewhere.
func TestTableIsPinned(t *testing.T) {
	wins := map[string]int{}
	edges := map[string]bool{}
	total := 0
	everyCase(func(f *Facts) {
		total++
		row := choose(f)
		wins[row.Name]++
		edges[f.Situation.String()+" -> "+row.Name] = true
	})
	var b strings.Builder
	fmt.Fprintf(&b, "rows %d, edges %d, combinations %d\n", len(rows), len(edges), total)
	for _, r := range rows {
		if wins[r.Name] == 0 {
			t.Errorf("row %s never wins: it is dead, or stands too low", r.Name)
		}
		fmt.Fprintf(&b, "%-24s %d\n", r.Name, wins[r.Name])
	}
	for _, e := range slices.Sorted(mapKeys(edges)) {
		fmt.Fprintln(&b, e)
	}
	golden(t, "testdata/table.txt", b.String())
}

func mapKeys(m map[string]bool) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// TestTableKeepsThePromises checks DESIGN section 10 on every combination,
// written without a look at the rows' conditions.
func TestTableKeepsThePromises(t *testing.T) {
	everyCase(func(f *Facts) {
		row := choose(f)
		held := f.Stance < StanceObserve // a person holds the pair, or we are blind
		switch row.Acts {
		case "fence":
			first := f.Permit == PermitAct && f.Lever == LeverFence && f.Obstacle == ObstacleNone && f.Belief == Confirmed && f.Hold == HoldNone
			second := f.Hold == HoldErased && f.Proof == ProofTwoKinds && f.SurvivorServes && f.Licence
			if !f.Situation.BothServe() || held || !first && !second {
				t.Fatalf("row %s fences on %+v", row.Name, *f)
			}
		case "renew":
			if !f.Situation.BothServe() || held || !f.Licence || f.Proof == ProofNone || f.Hold != HoldDue {
				t.Fatalf("row %s renews on %+v", row.Name, *f)
			}
		case "release":
			if f.Hold == HoldNone {
				t.Fatalf("row %s releases nothing on %+v", row.Name, *f)
			}
		case "forget":
			if f.Hold != HoldErased && f.Hold != HoldLost && f.Hold != HoldJobErased {
				t.Fatalf("row %s forgets what stands on %+v", row.Name, *f)
			}
		case "job":
			goes := f.Job == JobFactGoes && f.Hold == HoldNone || f.Hold == HoldJob && f.Licence
			beside := f.Job == JobFactGoes && f.Hold == HoldStanding && f.Licence && f.SurvivorServes && f.Situation.BothServe()
			goes = goes || beside
			if held || !goes {
				t.Fatalf("row %s carries a job on, on %+v", row.Name, *f)
			}
		case "preference", "up", "start", "restart", "prove", "move", "repair", "set up HA", "sync":
			if f.Hold == HoldStanding { // what may have cut the link is mended beside the fence
				if held || row.Name != "repair-fenced" && row.Name != "set-up-fenced" || f.Permit != PermitAct || !f.Licence || !f.SurvivorServes || !f.Situation.BothServe() {
					t.Fatalf("row %s acts beside a fence on %+v", row.Name, *f)
				}
				return
			}
			if held || f.Permit != PermitAct || f.Obstacle != ObstacleNone || f.Belief != Confirmed && !f.Wished || f.Hold != HoldNone {
				t.Fatalf("row %s acts on %+v", row.Name, *f)
			}
		case "plan":
			disputed := f.Obstacle == ObstacleDispute && f.Permit != PermitNever
			if held || !disputed && (f.Permit != PermitAsk || f.Obstacle != ObstacleNone) || f.Belief != Confirmed || f.Hold != HoldNone {
				t.Fatalf("row %s plans on %+v", row.Name, *f)
			}
		default:
			mustGo := slices.Contains([]Hold{HoldExpired, HoldOpposed, HoldUnreached, HoldLying, HoldProved, HoldUpDone, HoldLeaving, HoldJobDone}, f.Hold)
			mayStay := !held && f.Licence && f.SurvivorServes &&
				(f.Situation.BothServe() || !f.Settled || f.Hold == HoldProving || f.Hold == HoldUp)
			if mustGo || f.Hold != HoldNone && !mayStay {
				t.Fatalf("row %s leaves an admin state of ours standing on %+v", row.Name, *f)
			}
			if row.Remove && (f.Stance != StanceRetired || f.Hold != HoldNone) {
				t.Fatalf("row %s forgets the pair on %+v", row.Name, *f)
			}
		}
	})
}

// run feeds a sequence of observations, five seconds apart, and carries the
// record along as the store does.
func run(in *Input, seen ...Observation) []Decision {
	var out []Decision
	for i, o := range seen {
		shift := time.Duration(i) * LookAgain
		o.At = o.At.Add(shift)
		for r := range o.Units {
			if !o.Units[r].Check.At.IsZero() {
				o.Units[r].Check.At = o.Units[r].Check.At.Add(shift)
			}
		}
		in.Observation = o
		d := Decide(in)
		in.Record = d.Record
		in.Record.Admin = slices.Clone(in.Record.Admin)
		for n := range in.Record.Admin {
			in.Record.Admin[n].Landed = true // control has seen it in place
		}
		out = append(out, d)
	}
	return out
}

func rowNames(ds []Decision) []string {
	var out []string
	for _, d := range ds {
		out = append(out, d.Row)
	}
	return out
}

func observed(first, second UnitSeen) Observation {
	return Observation{At: noon, Units: [2]UnitSeen{first, second}}
}

func TestDecideFollowsASequence(t *testing.T) {
	healthy := observed(at(CheckServing, Active), at(CheckIdle, Standby))
	gone := observed(at(CheckSilent, StateUnknown), at(CheckServing, Active))
	both := withBalancer(observed(at(CheckServing, Active), at(CheckServing, Active)), AdminNone)
	fenced := withBalancer(observed(at(CheckServing, Active), at(CheckServing, Active)), AdminDown)
	bothUnproved := withBalancer(observed(at(CheckServing, StateUnknown), at(CheckServing, StateUnknown)), AdminNone)
	tests := []struct {
		name   string
		change func(*Input)
		seen   []Observation
		want   []string
	}{
		{"a healthy new pair is taken at its word", nil, []Observation{healthy, healthy}, []string{"healthy", "healthy"}},
		{"three silent answers make it degraded", nil, []Observation{healthy, gone, gone, gone, gone}, []string{"healthy", "glimpsed", "suspected", "degraded", "degraded"}},
		{
			"recovery takes five", nil,
			[]Observation{healthy, gone, gone, gone, healthy, healthy, healthy, healthy, healthy, healthy},
			[]string{"healthy", "glimpsed", "suspected", "degraded", "glimpsed", "suspected", "suspected", "suspected", "healthy", "healthy"},
		},
		{"one good answer clears a suspicion", nil, []Observation{healthy, gone, gone, healthy, gone}, []string{"healthy", "glimpsed", "suspected", "healthy", "glimpsed"}},
		{"two active units are fenced when confirmed and proved", nil, []Observation{healthy, both, both, both, fenced}, []string{"healthy", "glimpsed", "suspected", "fence", "fence-stands"}},
		{
			"and released when the loser yields and the probe had time to see it", nil,
			[]Observation{healthy, both, both, both, fenced, healthy, healthy, healthy, healthy},
			[]string{"healthy", "glimpsed", "suspected", "fence", "fence-stands", "fence-outlasts", "fence-outlasts", "fence-outlasts", "release-healed"},
		},
		{"and released first when the survivor falls silent", nil, []Observation{healthy, both, both, both, gone}, []string{"healthy", "glimpsed", "suspected", "fence", "release-survivor"}},
		{"no second kind of evidence, no fence", nil, []Observation{healthy, bothUnproved, bothUnproved, bothUnproved}, []string{"healthy", "glimpsed", "suspected", "both-active-unproved"}},
		{"mode observe only says so", func(in *Input) { in.Definition.Mode = Observe }, []Observation{healthy, both, both, both}, []string{"healthy", "glimpsed", "suspected", "both-active-observed"}},
		{"the global limit lowers the mode", func(in *Input) { in.MaxMode = Recommend }, []Observation{healthy, both, both, both}, []string{"healthy", "glimpsed", "suspected", "both-active-planned"}},
		{"policy ask plans in mode auto", func(in *Input) { in.Definition.Failover.Fence = Ask }, []Observation{healthy, both, both, both}, []string{"healthy", "glimpsed", "suspected", "both-active-planned"}},
		{"policy never explains", func(in *Input) { in.Definition.Failover.Fence = Never }, []Observation{healthy, both, both, both}, []string{"healthy", "glimpsed", "suspected", "both-active-policy"}},
		{"a pause does nothing", func(in *Input) { in.Record.Pause = &Pause{Owner: "me"} }, []Observation{healthy, both, both, both}, []string{"paused", "paused", "paused", "paused"}},
		{"hold-down stops a second move", func(in *Input) { in.Record.Moves = []time.Time{noon.Add(-5 * time.Minute)} }, []Observation{healthy, both, both, both}, []string{"healthy", "glimpsed", "suspected", "both-active-limited"}},
		{
			"our admin state that is gone is set once more; gone again it is forgotten, and another fence waits for a person", nil,
			[]Observation{healthy, both, both, both, fenced, both, fenced, both, both},
			[]string{"healthy", "glimpsed", "suspected", "fence", "fence-stands", "fence-again", "fence-stands", "fence-erased", "both-active-blocked"},
		},
		{
			"the fence goes first when somebody sets the survivor Down", nil,
			[]Observation{healthy, both, both, both, withFirst(fenced, AdminDown)},
			[]string{"healthy", "glimpsed", "suspected", "fence", "release-opposed"},
		},
		{
			"no fence where the load balancer does not see the survivor", nil,
			[]Observation{healthy, both, both, withHealth(both, "10.0.0.4", false)},
			[]string{"healthy", "glimpsed", "suspected", "both-active-unreachable"},
		},
		{
			"no fence that would empty a pool", nil,
			[]Observation{healthy, both, both, withoutFirst(both)},
			[]string{"healthy", "glimpsed", "suspected", "both-active-unreachable"},
		},
		{"somebody else's Down is left alone", nil, []Observation{healthy, both, both, withBalancer(both, AdminDown)}, []string{"healthy", "glimpsed", "suspected", "both-active-foreign"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := proven()
			if tt.change != nil {
				tt.change(&in)
			}
			got := run(&in, tt.seen...)
			if !reflect.DeepEqual(rowNames(got), tt.want) {
				t.Errorf("rows:\n got %v\nwant %v", rowNames(got), tt.want)
			}
		})
	}
}

func TestDecideFencesSecondInEveryPoolAndRemembersIt(t *testing.T) {
	in := proven()
	both := withBalancer(observed(at(CheckServing, Active), at(CheckServing, Active)), AdminNone)
	ds := run(&in, observed(at(CheckServing, Active), at(CheckIdle, Standby)), both, both, both)
	d := ds[len(ds)-1]
	if len(d.Intents) != 2 || d.Intents[0].Kind != IntentTag || d.Intents[1].Kind != IntentFence || d.Intents[1].Unit != Second || d.Intents[1].Want != AdminDown {
		t.Fatalf("intents = %+v, want a tag and then one fence of second", d.Intents)
	}
	if d.Intents[1].ID != ID("edge", d.Epoch, 3) || d.Record.Epoch != d.Epoch {
		t.Errorf("id %s and record epoch %d do not carry epoch %d", d.Intents[0].ID, d.Record.Epoch, d.Epoch)
	}
	if len(d.Record.Admin) != 1 || !d.Record.Admin[0].Deadline.Equal(d.At.Add(FenceFor)) || len(d.Record.Moves) != 1 {
		t.Errorf("record = %+v, want one hold with a deadline and one move", d.Record)
	}
}

func TestFirstIsFencedOnlyWithoutPreference(t *testing.T) {
	for _, read := range []Preference{PreferenceUnknown, PreferFirst, PreferNone} {
		in := proven()
		in.Definition.HA.Preferred = PreferNone
		serving := at(CheckServing, Active)
		serving.API.Report.Preferred = read
		both := withBalancer(observed(serving, serving), AdminNone)
		ds := run(&in, observed(at(CheckIdle, Standby), at(CheckServing, Active)), both, both, both)
		got := ds[len(ds)-1]
		want := "both-active-preference"
		if read == PreferNone {
			want = "fence"
		}
		if got.Row != want || got.Facts.Unit != First {
			t.Errorf("haprefered read back as %v: row %s, loser %v; want %s, first", read, got.Row, got.Facts.Unit, want)
		}
	}
}

// TestClocksThatStep: what was stored by a clock that was ahead binds nobody.
func TestClocksThatStep(t *testing.T) {
	t.Run("a suspicion counted in the future is counted anew", func(t *testing.T) {
		in := proven()
		run(&in, observed(at(CheckServing, Active), at(CheckIdle, Standby)))
		in.Record.Suspicion = Suspicion{Situation: NoneActive, Since: noon.Add(time.Hour), Count: 1, CountedAt: noon.Add(time.Hour)}
		silent := observed(at(CheckSilent, StateUnknown), at(CheckSilent, StateUnknown))
		if got := rowNames(run(&in, silent, silent, silent)); got[2] != "none-active" {
			t.Errorf("rows %v, want none-active at the third look", got)
		}
	})
	t.Run("a hold that ends later than we ever set one is expired", func(t *testing.T) {
		in := proven()
		in.Record.Admin = []AdminHold{{LoadBalancer: "ilb", Pool: "pool", Unit: Second, State: AdminDown, Deadline: noon.Add(time.Hour), Landed: true}}
		both := withBalancer(observed(at(CheckServing, Active), at(CheckServing, Active)), AdminDown)
		if got := run(&in, both)[0]; got.Row != "release-expired" {
			t.Errorf("row %s, want release-expired", got.Row)
		}
	})
	t.Run("a lease from far in the future holds nobody off", func(t *testing.T) {
		l := Lease{Owner: "other", Until: noon.Add(time.Hour)}
		if l.HeldByOther("me", noon, time.Second) {
			t.Error("honoured")
		}
		if l.Until = noon.Add(time.Minute); !l.HeldByOther("me", noon, time.Second) {
			t.Error("a lease of a minute is not honoured")
		}
	})
	t.Run("a boot in the future grants no grace", func(t *testing.T) {
		rec := Record{}
		rec.Units[1].StartedAt = noon.Add(time.Hour)
		o := observed(at(CheckServing, Active), at(CheckSilent, StateUnknown))
		def := definition()
		if got := Classify(&def, &o, &rec); got != Degraded {
			t.Errorf("seen %v, want degraded", got)
		}
	})
}

// TestWordsOfANewerRelease: a stored word that is not known says that the pair
// is too new, and a message keeps what can be read.
func TestWordsOfANewerRelease(t *testing.T) {
	var rec Record
	if err := json.Unmarshal([]byte(`{"v":1,"minReader":1,"situation":"sideways"}`), &rec); !errors.Is(err, ErrTooNew) {
		t.Errorf("record: got %v, want ErrTooNew", err)
	}
	var m Message
	if err := json.Unmarshal([]byte(`{"v":1,"kind":"wake","pairs":["a"],"cause":{"kind":"job","evidence":[{"kind":"melted","vm":"x"}]}}`), &m); err != nil || m.Cause.Kind != CauseUnknown || len(m.Pairs) != 1 {
		t.Errorf("message: got %+v, %v", m, err)
	}
}

func TestABurstOfObservationsConfirmsNothing(t *testing.T) {
	in := proven()
	run(&in, observed(at(CheckServing, Active), at(CheckIdle, Standby)))
	for i := range 50 {
		o := observed(at(CheckSilent, StateUnknown), at(CheckServing, Active))
		o.At = noon.Add(LookAgain + time.Duration(i)*10*time.Millisecond)
		in.Observation = o
		d := Decide(&in)
		in.Record = d.Record
		if d.Believed != Healthy {
			t.Fatalf("observation %d within half a second was believed: %v", i, d.Believed)
		}
	}
}

func TestAQuietDecisionChangesNothing(t *testing.T) {
	in := proven()
	healthy := observed(at(CheckServing, Active), at(CheckIdle, Standby))
	run(&in, healthy)
	before := in.Record
	d := run(&in, healthy)[0]
	if !d.Quiet() || d.ID != "" || !reflect.DeepEqual(before, d.Record) {
		t.Errorf("second healthy look: quiet %v, id %q, record %+v", d.Quiet(), d.ID, d.Record)
	}
}

func TestEvidenceIsTakenOnceAndNeverBackwards(t *testing.T) {
	in := Input{Definition: definition(), Observation: observed(at(CheckServing, Active), at(CheckSilent, StateUnknown))}
	vm := in.Definition.VMID(Second)
	started := Evidence{Kind: EvidenceStarted, VM: vm, At: noon.Add(-time.Minute)}
	in.Evidence = []Evidence{started, started, {Kind: EvidenceStopped, VM: vm, At: noon.Add(-time.Hour)}, {Kind: EvidenceStarted, VM: "other", At: noon}}
	d := Decide(&in)
	u := d.Record.Units[1]
	if !u.StartedAt.Equal(started.At) || u.Platform.Kind != EvidenceStarted || d.Seen != Booting {
		t.Errorf("remembered %+v and saw %v, want the start a minute ago and booting", u, d.Seen)
	}
	in.Record, in.Evidence = d.Record, []Evidence{started}
	in.Record.Suspicion = Suspicion{}
	before := in.Record.Units
	if d = Decide(&in); !reflect.DeepEqual(d.Record.Units, before) {
		t.Errorf("the same evidence again changed %+v to %+v", before, d.Record.Units)
	}
}

// TestDecideLeavesItsInputAlone guards promise 10: a stored input must still be
// the input after the decision.
func TestDecideLeavesItsInputAlone(t *testing.T) {
	in := proven()
	both := withBalancer(observed(at(CheckServing, Active), at(CheckServing, Active)), AdminNone)
	for range 4 {
		in.Observation = both
		before, _ := json.Marshal(in)
		d := Decide(&in)
		after, _ := json.Marshal(in)
		if string(before) != string(after) {
			t.Fatalf("input changed:\n%s\n%s", before, after)
		}
		var again Input
		if err := json.Unmarshal(before, &again); err != nil {
			t.Fatal(err)
		}
		d2 := Decide(&again)
		a, _ := json.Marshal(d)
		b, _ := json.Marshal(d2)
		if string(a) != string(b) {
			t.Fatalf("recomputed from the stored input:\n got %s\nwant %s", b, a)
		}
		in.Record = d.Record
		both.At = both.At.Add(LookAgain)
		both.Units[0].Check.At, both.Units[1].Check.At = both.At, both.At
	}
}

// TestTheReasonNamesEverythingThatCounts: each clause where it belongs, and
// nowhere else.
func TestTheReasonNamesEverythingThatCounts(t *testing.T) {
	of := func(row string) string { return rowNamed(row).Why }
	stopped := func(r Role, person bool) func(*Input) {
		return func(in *Input) {
			in.Record.Units[r.Index()].Platform = Evidence{Kind: EvidenceStopped, ByPerson: person}
		}
	}
	const proveIt = "; mode auto waits for the lever proof (tandem prove)"
	tests := []struct {
		name      string
		situation Situation
		seen      Observation
		change    func(*Input)
		want      string
	}{
		{"nothing to add", Healthy, healthyPair(), nil, of("healthy")},
		{"two that serve have a loser", LinkCut, bothServe(), nil, of("fence") + "; the loser is second, lm2"},
		{"where it is not known, none is named", LinkCut, bothServe(), func(in *Input) {
			in.Definition.HA.Preferred, in.Record.LastActive = PreferNone, RoleUnknown
		}, of("both-active-no-loser")},
		{"what stands in the way of a fence is a row of its own", LinkCut, bothServe(), func(in *Input) {
			in.Record.Moves = []time.Time{noon}
		}, of("both-active-limited") + "; the loser is second, lm2"},
		{"another lever is about a unit", Degraded, halfSilent(PowerStopped), nil, of("start-planned") + "; it is about second, lm2"},
		{"a preference is about both", Healthy, observed(at(CheckServing, Active), prefers(at(CheckIdle, Standby), PreferNone)), nil, of("preference")},
		{"a unit that no lever is about is not named", Healthy, withBalancer(healthyPair(), AdminDown), func(in *Input) {
			in.Record.Admin = []AdminHold{hold(LeverFence, AdminDown, true)}
		}, of("release-healed")},
		{"what stands in the way of another lever is named", Degraded, halfSilent(PowerRunning), func(in *Input) {
			in.Record.Units[1].Powered = []time.Time{noon.Add(-time.Hour), noon.Add(-time.Minute)}
		}, of("restart-held") + "; it is about second, lm2; in the way of restart: there were too many; a person must look (tandem ack)"},
		{"that the load balancer is unread is a row of its own", Degraded, halfSilent(PowerRunning), nil, of("balancer-unread") + "; it is about second, lm2"},
		{"who approved it", LinkCut, bothServe(), func(in *Input) {
			in.Definition.Failover.Fence = Ask
			in.Record = Decide(in).Record
			in.Record.Plan.Approved = &Request{By: "alice", At: noon}
		}, of("fence") + "; the loser is second, lm2; approved by alice"},
		{"what is set up wrong", Misconfigured, observed(at(CheckServing, Active), told(at(CheckIdle, Standby), Report{CheckPort: 1})), nil, of("misconfigured") + "; it is about second, lm2; in the way of set-up: it has not stood for a minute yet, and a person may be at work there; second has check port 1 instead of 8444, seen since 2026-11-22 12:00:00Z"},
		{"also where neither serves", NoneActive, observed(at(CheckIdle, Standby), told(at(CheckIdle, Standby), Report{Role: First})), nil, of("none-active") + "; it is about second, lm2; in the way of set-up: it has not stood for a minute yet, and a person may be at work there; second has HA mode first instead of second, seen since 2026-11-22 12:00:00Z"},
		{
			"also where both serve", BothActive, observed(at(CheckServing, Active), told(at(CheckServing, Active), Report{Partner: "10.0.0.9"})), nil,
			of("both-active-read") + "; the loser is second, lm2; second has partner 10.0.0.9 instead of 10.0.0.4, seen since 2026-11-22 12:00:00Z",
		},
		{"not where it explains nothing", Booting, observed(told(at(CheckServing, Active), Report{CheckPort: 1}), powered(silentUnit(), PowerStarting)), nil, of("booting")},
		{"a person stopped it", Degraded, halfSilent(PowerStopped), stopped(Second, true), of("degraded") + "; a person stopped second, lm2"},
		{"nobody did", Degraded, halfSilent(PowerStopped), stopped(Second, false), of("start") + "; it is about second, lm2"},
		{"a person did, and it lives again", Healthy, healthyPair(), stopped(Second, true), of("healthy")},
		{"why we are blind", Healthy, healthyPair(), func(in *Input) { in.Blind = BlindStore }, of("blind") + "; the store failed"},
		{"mode auto waits for the proof", Healthy, healthyPair(), func(in *Input) { in.Record.Proofs = nil }, of("healthy") + proveIt},
		{"mode recommend waits for nothing", Healthy, healthyPair(), func(in *Input) {
			in.Record.Proofs, in.Definition.Mode = nil, Recommend
		}, of("healthy")},
		{"a lowered mode auto waits for nothing", Healthy, healthyPair(), func(in *Input) {
			in.Record.Proofs, in.MaxMode = nil, Observe
		}, of("healthy")},
		{"how often it was seen", Healthy, halfSilent(PowerUnknown), nil, of("glimpsed") + "; degraded was seen 1 of 3 times"},
		{"a recovery takes more", Degraded, healthyPair(), nil, of("glimpsed") + "; healthy was seen 1 of 5 times"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := lasting(tt.situation, tt.seen)
			if tt.change != nil {
				tt.change(&in)
			}
			d := Decide(&in)
			if got := Why(&in, &d); got != tt.want {
				t.Errorf("row %s because\n got %s\nwant %s", d.Row, got, tt.want)
			}
			if row := rowNamed(d.Row); PersonCanDo(&d) != row.Person {
				t.Errorf("a person can do %q, want %q", PersonCanDo(&d), row.Person)
			}
		})
	}
}

func TestARowOfAnotherReleaseIsSaidToBeUnknown(t *testing.T) {
	in, d := lasting(Healthy, healthyPair()), Decision{Row: "sideways"}
	if got := Why(&in, &d); got != `row "sideways" is not known to this release` || PersonCanDo(&d) != "" {
		t.Errorf("because %s, a person can do %q", got, PersonCanDo(&d))
	}
}

func TestAnApprovalIsNamedWhereItIsKnown(t *testing.T) {
	for _, tt := range []struct {
		plan *Plan
		want string
	}{{nil, "a person"}, {&Plan{}, "a person"}, {&Plan{Approved: &Request{By: "alice"}}, "alice"}} {
		if got := approvedBy(&Input{Record: Record{Plan: tt.plan}}); got != tt.want {
			t.Errorf("approved by %s, want %s", got, tt.want)
		}
	}
}

func TestWhatWasSeenIsSaidShortly(t *testing.T) {
	tests := []struct {
		name   string
		second UnitSeen
		probed ProbedSeen
		want   string
	}{
		{"an API that was not asked is left out", at(CheckIdle, StateUnknown), ProbedSeen{}, "second 503"},
		{"an API that answered is its word", at(CheckIdle, Standby), ProbedSeen{}, "second 503 (standby)"},
		{"an API that did not is how", at(CheckSilent, StateUnknown), ProbedSeen{}, "second silent (API silent)"},
		{"a check that failed is named", UnitSeen{Check: CheckSeen{Answer: CheckIdle}, Service: ServiceSeen{Answer: ServiceFailed, Check: "shop", Detail: "500"}}, ProbedSeen{}, "second 503 (check shop failed: 500)"},
		{"one that passed is not", served(at(CheckIdle, StateUnknown), ServicePassed), ProbedSeen{}, "second 503"},
		{"a probe that does not reach a unit that answers is", at(CheckIdle, StateUnknown), ProbedSeen{Unreached: true, Reason: "late"}, "second 503 (the load balancer: late)"},
		{"one that reaches it is not", at(CheckIdle, StateUnknown), ProbedSeen{Reason: "late"}, "second 503"},
		{"nor where it answers nobody", at(CheckRefused, StateUnknown), ProbedSeen{Unreached: true, Reason: "late"}, "second refused"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := lasting(Healthy, observed(at(CheckServing, Active), tt.second))
			d := Decision{Seen: Degraded}
			d.Record.Units[1].Probed = tt.probed
			if got, want := Saw(&in, &d), "degraded, first 200 (active), "+tt.want; got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

// TestAnAlarmStandsUntilItIsOver: it is raised once for one thing, whatever rows
// speak of it, and a doubt neither raises nor ends it.
func TestAnAlarmStandsUntilItIsOver(t *testing.T) {
	degraded := &Alarmed{Row: "degraded", Level: AlarmWarning, Since: noon.Add(-time.Hour)}
	fence := &Alarmed{Row: "fence", Level: AlarmUrgent, Since: noon.Add(-time.Hour)}
	tests := []struct {
		name      string
		situation Situation
		seen      Observation
		was       *Alarmed
		holds     bool
		want      *Alarmed
	}{
		{"no alarm where all is well", Healthy, healthyPair(), nil, false, nil},
		{"a warning raises one", Degraded, halfSilent(PowerUnknown), nil, false, &Alarmed{Row: "degraded", Level: AlarmWarning, Since: noon}},
		{"and it stands since then", Degraded, halfSilent(PowerUnknown), degraded, false, degraded},
		{"another alarm takes its place", Degraded, halfSilent(PowerUnknown), fence, false, &Alarmed{Row: "degraded", Level: AlarmWarning, Since: noon}},
		{"rows about one thing are one alarm", LinkCut, withBalancer(bothServe(), AdminDown), fence, true, fence},
		{"it ends when it is confirmed to be over", Healthy, healthyPair(), degraded, false, nil},
		{"it does not end by a glimpse of the end", Degraded, healthyPair(), degraded, false, degraded},
		{"a glimpse of trouble raises none", Healthy, halfSilent(PowerUnknown), nil, false, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := lasting(tt.situation, tt.seen)
			in.Record.Alarm = tt.was
			if tt.holds {
				in.Record.Admin = []AdminHold{hold(LeverFence, AdminDown, true)}
			}
			if d := Decide(&in); !reflect.DeepEqual(d.Record.Alarm, tt.want) {
				t.Errorf("row %s: alarm %+v, want %+v", d.Row, d.Record.Alarm, tt.want)
			}
		})
	}
}

func TestNewerEvidenceCountsUnlessItOnlyFollows(t *testing.T) {
	tests := []struct {
		name       string
		known, new EvidenceKind
		age        time.Duration // of the new, a minute is as old as the known
		taken      bool
	}{
		{"a stopped machine is unavailable, whoever stopped it", EvidenceStopped, EvidenceUnavailable, 0, false},
		{"or degraded", EvidenceStopped, EvidenceDegraded, 0, false},
		{"a stopped machine that is available was started", EvidenceStopped, EvidenceAvailable, 0, true},
		{"an available machine that is unavailable is news", EvidenceAvailable, EvidenceUnavailable, 0, true},
		{"so is a degraded one", EvidenceAvailable, EvidenceDegraded, 0, true},
		{"as old is not newer", EvidenceAvailable, EvidenceUnavailable, time.Minute, false},
		{"older is not newer", EvidenceAvailable, EvidenceUnavailable, time.Hour, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := lasting(Healthy, healthyPair())
			was := *known(&in, tt.known)
			e := Evidence{Kind: tt.new, VM: was.VM, At: noon.Add(-tt.age)}
			in.Evidence = []Evidence{e}
			d := Decide(&in)
			want := was
			if tt.taken {
				want = e
			}
			if got := d.Record.Units[1].Platform; got != want || d.Changed != tt.taken {
				t.Errorf("remembered %+v, changed %v; want %+v", got, d.Changed, want)
			}
		})
	}
}

func TestThePowerStateIsRememberedWhileAUnitIsSilent(t *testing.T) {
	earlier := PowerSeen{Power: PowerStopped, At: noon.Add(-time.Hour)}
	tests := []struct {
		name   string
		second UnitSeen
		was    PowerSeen
		event  time.Duration // newest evidence, ago
		want   PowerSeen
	}{
		{"what is read is remembered", powered(silentUnit(), PowerRunning), PowerSeen{}, 2 * time.Hour, PowerSeen{Power: PowerRunning, At: noon}},
		{"the same again is nothing new", powered(silentUnit(), PowerStopped), earlier, 2 * time.Hour, earlier},
		{"another one is", powered(silentUnit(), PowerRunning), earlier, 2 * time.Hour, PowerSeen{Power: PowerRunning, At: noon}},
		{"so is the same again after an event", powered(silentUnit(), PowerStopped), earlier, time.Minute, PowerSeen{Power: PowerStopped, At: noon}},
		{"what is not read is kept", silentUnit(), earlier, time.Minute, earlier},
		{"a unit that answers needs none", at(CheckIdle, Standby), earlier, 2 * time.Hour, PowerSeen{}},
		{"nor is it read then", powered(at(CheckIdle, Standby), PowerRunning), PowerSeen{}, 2 * time.Hour, PowerSeen{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := Degraded
			if tt.second.Lives() {
				s = Healthy
			}
			in := lasting(s, observed(at(CheckServing, Active), tt.second))
			in.Definition.Mode = Observe // no plan, which would be a change of its own
			in.Record.Alarm = &Alarmed{Row: "degraded"}
			if s == Healthy {
				in.Record.Alarm = nil
			}
			in.Record.Units[1].Power = tt.was
			in.Record.Units[1].Platform = Evidence{Kind: EvidenceUnavailable, At: noon.Add(-tt.event)}
			d := Decide(&in)
			if got := d.Record.Units[1].Power; got != tt.want || d.Changed != (tt.want != tt.was) {
				t.Errorf("remembered %+v, changed %v; want %+v", got, d.Changed, tt.want)
			}
		})
	}
}

// TestWhatTheProbeSaysIsRemembered: that it sees a unit serving tells something
// only while neither answers us.
func TestWhatTheProbeSaysIsRemembered(t *testing.T) {
	dark := observed(silentUnit(), silentUnit())
	unreached := ProbedSeen{Unreached: true, Reason: probeTimeout}
	tests := []struct {
		name string
		seen Observation
		was  ProbedSeen // of both
		want [2]ProbedSeen
		row  Situation
	}{
		{"neither answers us and the probe sees one: we are blind", withProbes(dark, probeSuccess, probeDown), ProbedSeen{}, [2]ProbedSeen{{Up: true}, {}}, Blind},
		{"it may be the second", withProbes(dark, probeDown, probeSuccess), ProbedSeen{}, [2]ProbedSeen{{}, {Up: true}}, Blind},
		{"it sees none: none serves", withProbes(dark, probeDown, probeDown), ProbedSeen{Up: true}, [2]ProbedSeen{}, NoneActive},
		{"an admin state's Up is no word of the probe", withProbes(dark, "Up_Admin", probeDown), ProbedSeen{}, [2]ProbedSeen{{Foreign: AdminUp}, {}}, NoneActive},
		{"what was not read is kept", dark, ProbedSeen{Up: true}, [2]ProbedSeen{{Up: true}, {Up: true}}, Blind},
		{"while first answers us it is not noted that the probe sees it", withProbes(healthyPair(), probeSuccess, probeDown), ProbedSeen{}, [2]ProbedSeen{}, Healthy},
		{"nor while only second answers", withProbes(observed(silentUnit(), at(CheckServing, Active)), probeDown, probeSuccess), ProbedSeen{}, [2]ProbedSeen{}, Degraded},
		{"nor while only first answers", withProbes(observed(at(CheckServing, Active), silentUnit()), probeSuccess, probeDown), ProbedSeen{}, [2]ProbedSeen{}, Degraded},
		{"a unit that answers us and not the probe is not polled", withProbes(healthyPair(), probeSuccess, probeTimeout), ProbedSeen{}, [2]ProbedSeen{{}, unreached}, Unpolled},
		{"and is remembered so", healthyPair(), unreached, [2]ProbedSeen{unreached, unreached}, Unpolled},
		{"a silent one tells nothing by it", withProbes(observed(at(CheckServing, Active), silentUnit()), probeSuccess, probeTimeout), ProbedSeen{}, [2]ProbedSeen{{}, unreached}, Degraded},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := lasting(tt.row, tt.seen)
			in.Record.Units[0].Probed, in.Record.Units[1].Probed = tt.was, tt.was
			d := Decide(&in)
			if got := [2]ProbedSeen{d.Record.Units[0].Probed, d.Record.Units[1].Probed}; got != tt.want || d.Seen != tt.row {
				t.Errorf("remembered %+v and saw %v, want %+v and %v", got, d.Seen, tt.want, tt.row)
			}
		})
	}
	for _, reason := range []string{probeDown, probeSuccess} {
		in := lasting(Healthy, withProbes(healthyPair(), probeSuccess, reason))
		if d := Decide(&in); !d.Quiet() {
			t.Errorf("a healthy pair whose standby the probe finds %s is written: %+v", reason, d.Record)
		}
	}
	if p, _ := probed(&Observation{Balancers: []BalancerSeen{{Health: []HealthSeen{{Up: true, Reason: probeSuccess}, {Reason: probeDown}}}}}, Unit{}); !p.Up {
		t.Error("one load balancer of two that sees a unit serving is enough")
	}
}

// TestOneThatLivesIsEnoughToSeeBy: what the probe said earlier blinds nobody who
// reaches a unit.
func TestOneThatLivesIsEnoughToSeeBy(t *testing.T) {
	def, silent, idle := definition(), silentUnit(), at(CheckIdle, Standby)
	var rec Record
	rec.Units[0].Probed.Up = true
	for _, tt := range []struct {
		name  string
		units [2]UnitSeen
		want  Situation
	}{
		{"neither lives", [2]UnitSeen{silent, silent}, Blind},
		{"first lives", [2]UnitSeen{idle, silent}, NoneActive},
		{"second lives", [2]UnitSeen{silent, idle}, NoneActive},
	} {
		if got := Classify(&def, &Observation{At: noon, Units: tt.units}, &rec); got != tt.want {
			t.Errorf("%s: saw %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestAnAdminStateOfSomebodyElseIsRemembered(t *testing.T) {
	tests := []struct {
		name string
		seen Observation
		was  bool
		want bool
	}{
		{"it is seen", withBalancer(healthyPair(), AdminDown), false, true},
		{"it is gone", withBalancer(healthyPair(), AdminNone), true, false},
		{"nobody looked", healthyPair(), true, true},
		{"one of two load balancers is not all", Observation{At: noon, Units: healthyPair().Units, Balancers: make([]BalancerSeen, 2)}, true, true},
		{"it stands still", withBalancer(healthyPair(), AdminDown), true, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := lasting(Healthy, tt.seen)
			if in.Record.Foreign = tt.was; tt.was {
				in.Record.Alarm = &Alarmed{Row: "foreign-admin-state"}
			}
			if d := Decide(&in); d.Record.Foreign != tt.want || d.Facts.Foreign != tt.want || d.Changed != (tt.was != tt.want) {
				t.Errorf("foreign %v, changed %v, row %s; want %v", d.Record.Foreign, d.Changed, d.Row, tt.want)
			}
		})
	}
}

func TestAnAdminStateIsOursByEveryPartOfIt(t *testing.T) {
	tests := []struct {
		name   string
		change func(*AdminHold)
		want   bool // foreign
	}{
		{"all the same: ours", func(*AdminHold) {}, false},
		{"another load balancer", func(h *AdminHold) { h.LoadBalancer = "elb" }, true},
		{"another pool", func(h *AdminHold) { h.Pool = "other" }, true},
		{"another unit", func(h *AdminHold) { h.Unit = First }, true},
		{"another state", func(h *AdminHold) { h.State = AdminUp }, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := lasting(LinkCut, withBalancer(bothServe(), AdminDown))
			in.Record.Admin = []AdminHold{hold(LeverFence, AdminDown, true)}
			tt.change(&in.Record.Admin[0])
			if d := Decide(&in); d.Record.Foreign != tt.want {
				t.Errorf("foreign %v, want %v", d.Record.Foreign, tt.want)
			}
		})
	}
}

func TestWhoServedAloneIsRemembered(t *testing.T) {
	tests := []struct {
		name          string
		first, second CheckAnswer
		was, want     Role
	}{
		{"first alone", CheckServing, CheckIdle, Second, First},
		{"second alone", CheckSilent, CheckServing, First, Second},
		{"both say nothing new of who did", CheckServing, CheckServing, Second, Second},
		{"nor does neither", CheckIdle, CheckIdle, Second, Second},
		{"a partner that was not asked may serve too", CheckServing, CheckUnknown, Second, Second},
		{"first may have been the one not asked", CheckUnknown, CheckServing, First, First},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := lasting(Healthy, observed(at(tt.first, StateUnknown), at(tt.second, StateUnknown)))
			in.Record.LastActive = tt.was
			if d := Decide(&in); d.Record.LastActive != tt.want {
				t.Errorf("last active %v, want %v", d.Record.LastActive, tt.want)
			}
		})
	}
}

// flips are n changes of what was seen, the newest as long ago as is said.
func flips(n int, ago time.Duration) []time.Time {
	var out []time.Time
	for i := range n {
		out = append(out, noon.Add(-ago-time.Duration(n-1-i)*time.Second))
	}
	return out
}

func TestFlappingComesAndGoes(t *testing.T) {
	tests := []struct {
		name     string
		believed Situation
		flips    []time.Time
		seen     Observation
		want     Situation
	}{
		{"seven changes are an unquiet failover", Healthy, flips(7, time.Minute), healthyPair(), Healthy},
		{"eight are flapping", Healthy, flips(8, time.Minute), healthyPair(), Flapping},
		{"eight of which one is long ago are not", Healthy, flips(8, FlapWindow-7*time.Second), healthyPair(), Healthy},
		{"three keep it flapping", Flapping, flips(3, time.Minute), healthyPair(), Flapping},
		{"two are calm", Flapping, flips(2, time.Minute), healthyPair(), Healthy},
		{"two units that serve are fenced, however they came to it", Healthy, flips(8, time.Minute), bothServe(), LinkCut},
		{"one who is blind cannot tell", Healthy, flips(8, time.Minute), withProbes(observed(silentUnit(), silentUnit()), probeSuccess, probeDown), Blind},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := lasting(tt.believed, tt.seen)
			in.Record.Flips = tt.flips
			if d := Decide(&in); d.Seen != tt.want {
				t.Errorf("saw %v, want %v", d.Seen, tt.want)
			}
		})
	}
}

func TestChangesOfWhatIsSeenAreCounted(t *testing.T) {
	tests := []struct {
		name     string
		believed Situation
		sight    Situation // of the look before
		flips    []time.Time
		want     []time.Time
		changed  bool
	}{
		{"the same again is no change", Healthy, Healthy, nil, nil, false},
		{"another sight is one", Healthy, Degraded, flips(1, time.Minute), append(flips(1, time.Minute), noon), true},
		{"one that is long ago is dropped", Healthy, Degraded, flips(1, FlapWindow), []time.Time{noon}, true},
		{"the first sight is none", Healthy, Unclear, nil, nil, true},
		{"no more are kept than are counted", Healthy, Degraded, flips(8, time.Minute), append(flips(8, time.Minute)[1:], noon), true},
		{"calm for the whole window, they are forgotten", Healthy, Healthy, flips(2, FlapWindow), nil, true},
		{"a moment earlier they are not", Healthy, Healthy, flips(2, FlapWindow-time.Millisecond), flips(2, FlapWindow-time.Millisecond), false},
		{"a pair that flaps is not written at every change", Flapping, Degraded, flips(8, time.Second), flips(8, time.Second), false},
		{"one that flaps by an old record begins to count", Flapping, Degraded, nil, []time.Time{noon}, true},
		{"but now and then", Flapping, Degraded, flips(8, FlapWindow/10), append(flips(8, FlapWindow/10)[1:], noon), true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := lasting(tt.believed, healthyPair())
			in.Record.Sight, in.Record.Flips = tt.sight, tt.flips
			if tt.believed == Flapping {
				in.Record.Alarm = &Alarmed{Row: "flapping"}
			}
			d := Decide(&in)
			if len(tt.flips) < flapsAt || tt.believed == Flapping {
				if d.Changed != tt.changed {
					t.Errorf("changed %v, want %v", d.Changed, tt.changed)
				}
			}
			if !slices.EqualFunc(d.Record.Flips, tt.want, time.Time.Equal) {
				t.Errorf("changes at %v, want %v", d.Record.Flips, tt.want)
			}
		})
	}
}

func TestWhatIsOverIsForgotten(t *testing.T) {
	in := lasting(Healthy, healthyPair())
	in.Record.Moves = []time.Time{noon.Add(-time.Hour), noon.Add(-10 * time.Minute)}
	in.Record.Pause = &Pause{Owner: "alice", Until: noon.Add(-24*time.Hour - 1)}
	in.Record.Plan = &Plan{Since: noon}
	d := Decide(&in)
	if len(d.Record.Moves) != 1 || d.Record.Pause != nil || d.Record.Plan != nil || !d.Changed {
		t.Errorf("record %+v, want one move, no pause and no plan", d.Record)
	}
	in.Record.Moves = []time.Time{noon.Add(-time.Hour + 1)}
	in.Record.Pause = &Pause{Owner: "alice", Until: noon.Add(1)}
	in.Record.Plan = &Plan{Since: in.Record.Since}
	if d := Decide(&in); !d.Quiet() || d.Row != "paused" {
		t.Errorf("row %s, record %+v; want it to be left as it is", d.Row, d.Record)
	}
}

// TestAPauseThatEndedIsKeptForADay: a clock that is ahead ends a pause for its own
// process and for no other one.
func TestAPauseThatEndedIsKeptForADay(t *testing.T) {
	in := lasting(Healthy, healthyPair())
	in.Record.Pause = &Pause{Owner: "alice", Until: noon.Add(-24 * time.Hour)}
	if d := Decide(&in); !d.Quiet() || d.Row != "healthy" {
		t.Errorf("row %s, pause %+v; want it to be left and not to count", d.Row, d.Record.Pause)
	}
}

func TestRefusedCredentialsRestLongerEachTime(t *testing.T) {
	tests := []struct {
		name string
		was  *Refusal
		api  APISeen
		want *Refusal
	}{
		{"the first time as long as the adapter says", nil, APISeen{Answer: APIRefused, Rest: Duration(2 * time.Minute)}, &Refusal{noon.Add(2 * time.Minute), Duration(2 * time.Minute)}},
		{"then thirty times as long", &Refusal{noon, Duration(2 * time.Minute)}, APISeen{Answer: APIRefused, Rest: Duration(2 * time.Minute)}, &Refusal{noon.Add(time.Hour), Duration(time.Hour)}},
		{"or as the adapter says", &Refusal{noon, Duration(time.Minute)}, APISeen{Answer: APIRefused, Rest: Duration(time.Hour)}, &Refusal{noon.Add(time.Hour), Duration(time.Hour)}},
		{"and a day at most", &Refusal{noon, Duration(time.Hour)}, APISeen{Answer: APIRefused, Rest: Duration(time.Hour)}, &Refusal{noon.Add(24 * time.Hour), Duration(24 * time.Hour)}},
		{"a second worker that was refused in the same moment counts too", &Refusal{noon.Add(1), Duration(2 * time.Minute)}, APISeen{Answer: APIRefused, Rest: Duration(2 * time.Minute)}, &Refusal{noon.Add(time.Hour), Duration(time.Hour)}},
		{"and never makes the rest shorter", &Refusal{noon.Add(24*time.Hour + time.Minute), Duration(24 * time.Hour)}, APISeen{Answer: APIRefused, Rest: Duration(time.Hour)}, &Refusal{noon.Add(24*time.Hour + time.Minute), Duration(24 * time.Hour)}},
		{"a rest of a clock that was further ahead is none", &Refusal{noon.Add(24*time.Hour + time.Minute + 1), Duration(time.Minute)}, APISeen{Answer: APIRefused, Rest: Duration(time.Minute)}, &Refusal{noon.Add(30 * time.Minute), Duration(30 * time.Minute)}},
		{"a unit that was not asked refuses nothing new", nil, APISeen{Answer: APIRefused}, nil},
		{"an answer ends it", &Refusal{noon, Duration(time.Hour)}, APISeen{Answer: APIAnswered}, nil},
		{"silence does not", &Refusal{noon, Duration(time.Hour)}, APISeen{Answer: APISilent}, &Refusal{noon, Duration(time.Hour)}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := lasting(Healthy, healthyPair())
			in.Record.Units[1].Refusal = tt.was
			in.Observation.Units[1].API.Answer, in.Observation.Units[1].API.Rest = tt.api.Answer, tt.api.Rest
			got := Decide(&in).Record.Units[1].Refusal
			if (got == nil) != (tt.want == nil) || got != nil && *got != *tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

func TestObservationsCountWhenTheyAreApart(t *testing.T) {
	tests := []struct {
		name  string
		apart time.Duration
		seen  Observation
		want  Suspicion
	}{
		{"too close they count once", Spacing - 1, halfSilent(PowerUnknown), Suspicion{Degraded, noon.Add(-time.Minute), 1, noon.Add(-Spacing + 1)}},
		{"apart they count", Spacing, halfSilent(PowerUnknown), Suspicion{Degraded, noon.Add(-time.Minute), 2, noon}},
		{"something else is counted anew", Spacing, observed(silentUnit(), silentUnit()), Suspicion{NoneActive, noon, 1, noon}},
		{"a count from the future is begun anew", -1, halfSilent(PowerUnknown), Suspicion{Degraded, noon, 1, noon}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := lasting(Healthy, tt.seen)
			in.Record.Suspicion = Suspicion{Situation: Degraded, Since: noon.Add(-time.Minute), Count: 1, CountedAt: noon.Add(-tt.apart)}
			if d := Decide(&in); d.Record.Suspicion != tt.want {
				t.Errorf("suspicion %+v, want %+v", d.Record.Suspicion, tt.want)
			}
		})
	}
}

func TestALeaseHoldsOthersOff(t *testing.T) {
	tests := []struct {
		name  string
		owner string
		until time.Duration
		want  bool
	}{
		{"it binds others", "other", time.Minute, true},
		{"it does not bind its owner", "me", time.Minute, false},
		{"nobody's binds nobody", "", time.Minute, false},
		{"it is honoured for the skew", "other", -time.Second + 1, true},
		{"and no longer", "other", -time.Second, false},
		{"it binds for as long as one may last", "other", LeaseMax, true},
		{"a longer one is of a clock that was ahead", "other", LeaseMax + 1, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := (Lease{Owner: tt.owner, Until: noon.Add(tt.until)}).HeldByOther("me", noon, time.Second); got != tt.want {
				t.Errorf("held by another: %v, want %v", got, tt.want)
			}
		})
	}
}

func TestARecordIsReadableByItsReader(t *testing.T) {
	for reader, want := range map[int]bool{0: true, Version: true, Version + 1: false} {
		if got := (Record{MinReader: reader}).Readable(); got != want {
			t.Errorf("a record for readers from %d is readable: %v", reader, got)
		}
	}
}

func TestAnErrorMayAskForPatience(t *testing.T) {
	tests := []struct {
		name string
		err  error
		want time.Duration
	}{
		{"one that asks is waited for", fmt.Errorf("read the pool: %w", &Waiting{Err: ErrThrottled, After: time.Minute}), time.Minute},
		{"one that asks for nothing is not", &Waiting{Err: ErrThrottled}, time.Second},
		{"nor for less than nothing", &Waiting{Err: ErrThrottled, After: -time.Minute}, time.Second},
		{"one that does not speak of it is not", ErrThrottled, time.Second},
		{"no error is not", nil, time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := RetryAfter(tt.err, time.Second); got != tt.want {
				t.Errorf("wait %v, want %v", got, tt.want)
			}
		})
	}
}

func TestWordsOfEventsAreRead(t *testing.T) {
	for k := range evidenceNames {
		var got EvidenceKind
		if err := got.UnmarshalText([]byte(EvidenceKind(k).String())); err != nil || got != EvidenceKind(k) {
			t.Errorf("%v is read as %v, %v", EvidenceKind(k), got, err)
		}
	}
	for k := range causeNames {
		var got CauseKind
		if err := got.UnmarshalText([]byte(CauseKind(k).String())); err != nil || got != CauseKind(k) {
			t.Errorf("%v is read as %v, %v", CauseKind(k), got, err)
		}
	}
}

func TestAValueWithoutAWordIsANumber(t *testing.T) {
	if got := Role(len(roleNames)).String(); got != "value 3" {
		t.Errorf("got %q", got)
	}
}

func TestAStartALittleAheadGrantsItsGrace(t *testing.T) {
	for ahead, want := range map[time.Duration]Situation{bootSkew: Booting, bootSkew + 1: Degraded} {
		in := lasting(Degraded, halfSilent(PowerUnknown))
		in.Record.Units[1].StartedAt = noon.Add(ahead)
		if d := Decide(&in); d.Seen != want {
			t.Errorf("started %v ahead of us: saw %v, want %v", ahead, d.Seen, want)
		}
	}
}

func TestTheSchemeFollowsThePort(t *testing.T) {
	for port, want := range map[int]Scheme{443: HTTPS, 8443: HTTPS, 80: HTTP, 8080: HTTP} {
		d := Definition{Checks: []Check{{Port: port}, {Port: port, Scheme: HTTP}}}.WithDefaults()
		if d.Checks[0].Scheme != want || d.Checks[1].Scheme != HTTP {
			t.Errorf("port %d: schemes %v and %v, want %v where nothing is said", port, d.Checks[0].Scheme, d.Checks[1].Scheme, want)
		}
	}
}

func TestUnknownFieldsSurviveARewrite(t *testing.T) {
	tests := []struct {
		name string
		v    any
	}{{"record", &Record{}}, {"intent", &Intent{}}}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := `{"v":1,"minReader":1,"fromTheFuture":{"a":[1,2]}}`
			if err := json.Unmarshal([]byte(in), tt.v); err != nil {
				t.Fatal(err)
			}
			out, err := json.Marshal(tt.v)
			if err != nil || !strings.Contains(string(out), `"fromTheFuture":{"a":[1,2]}`) {
				t.Errorf("rewritten as %s, %v", out, err)
			}
		})
	}
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s is not what the table gives now; if the change is meant, run: go test ./internal/pair -update\n got:\n%s\nwant:\n%s", file, got, want)
	}
}

func BenchmarkDecide(b *testing.B) {
	in := Input{Definition: definition(), Observation: observed(at(CheckServing, Active), at(CheckIdle, Standby))}
	in.Record = Decide(&in).Record
	b.ReportAllocs()
	for b.Loop() {
		if d := Decide(&in); !d.Quiet() {
			b.Fatal("not quiet")
		}
	}
}
