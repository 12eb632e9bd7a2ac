package pair

import (
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// lasting is the input of a pair that has been in a situation for an hour, so
// that one more look confirms it.
func lasting(s Situation, o Observation) Input {
	in := proven()
	in.Record.Situation, in.Record.Sight, in.Record.Since = s, s, noon.Add(-time.Hour)
	in.Record.LastActive = First
	in.Definition.Failover.Start, in.Definition.Failover.Restart, in.Definition.Failover.Up = Allowed, Allowed, Allowed
	in.Observation = copied(o)
	return in
}

// copied lets a rule change what was seen without changing it for the next.
func copied(o Observation) Observation {
	o.Balancers = slices.Clone(o.Balancers)
	for i := range o.Balancers {
		b := &o.Balancers[i]
		b.Health, b.Pools = slices.Clone(b.Health), slices.Clone(b.Pools)
		for j := range b.Pools {
			b.Pools[j].Members = slices.Clone(b.Pools[j].Members)
		}
	}
	return o
}

// powered is a unit whose power state was read.
func powered(u UnitSeen, p Power) UnitSeen {
	u.Power = PowerSeen{Power: p, At: noon}
	return u
}

// prefers is a unit that tells another preference.
func prefers(u UnitSeen, p Preference) UnitSeen {
	u.API.Report.Preferred = p
	return u
}

const (
	probeSuccess = "Up_Probe_Success"
	probeTimeout = "Down_Probe_TcpProbeTimeout"
	probeDown    = "Down_Probe_HttpStatusCodeError"
)

// withProbes is what the load balancer's probe says of both units.
func withProbes(o Observation, first, second string) Observation {
	o = withBalancer(o, AdminNone)
	for i, reason := range []string{first, second} {
		o.Balancers[0].Health = append(o.Balancers[0].Health, HealthSeen{
			Rule: "check", Address: o.Balancers[0].Pools[0].Members[i].Address, Up: strings.HasPrefix(reason, "Up"), Reason: reason,
		})
	}
	return o
}

func bothServe() Observation {
	return withBalancer(observed(at(CheckServing, Active), at(CheckServing, Active)), AdminNone)
}

func healthyPair() Observation { return observed(at(CheckServing, Active), at(CheckIdle, Standby)) }

func silentUnit() UnitSeen { return at(CheckSilent, StateUnknown) }

// halfSilent is a pair whose second unit is silent, with its power state.
func halfSilent(p Power) Observation {
	return observed(at(CheckServing, Active), powered(silentUnit(), p))
}

// known is platform evidence of the second unit, a minute old.
func known(in *Input, kind EvidenceKind) *Evidence {
	e := &in.Record.Units[1].Platform
	*e = Evidence{Kind: kind, VM: in.Definition.VMID(Second), At: noon.Add(-time.Minute)}
	return e
}

// rule is one rule about what a confirmed situation leads to.
type rule struct {
	name   string
	change func(*Input)
	row    string
	lever  Lever
	unit   Role
}

func keeps(t *testing.T, s Situation, o Observation, rules []rule) {
	t.Helper()
	for _, tt := range rules {
		t.Run(tt.name, func(t *testing.T) {
			in := lasting(s, o)
			if tt.change != nil {
				tt.change(&in)
			}
			d := Decide(&in)
			if d.Row != tt.row || d.Facts.Lever != tt.lever || d.Facts.Unit != tt.unit {
				t.Errorf("row %s, lever %v of %v; want %s, %v of %v\n%s", d.Row, d.Facts.Lever, d.Facts.Unit, tt.row, tt.lever, tt.unit, Explain(&in, &d))
			}
		})
	}
}

func TestAVMThatIsSwitchedOffIsStarted(t *testing.T) {
	open := func(kind IntentKind, r Role) func(*Input) {
		return func(in *Input) {
			known(in, EvidenceStopped)
			in.Open = []Intent{{Kind: kind, Unit: r}}
		}
	}
	before := func(r Role, ago ...time.Duration) func(*Input) {
		return func(in *Input) {
			known(in, EvidenceStopped)
			for _, a := range ago {
				in.Record.Units[r.Index()].Powered = append(in.Record.Units[r.Index()].Powered, noon.Add(-a))
			}
		}
	}
	// changed is a VM on which an operation ended so long after the stop.
	changed := func(after time.Duration) func(*Input) {
		return func(in *Input) {
			in.Observation.Units[1].Power.Since = known(in, EvidenceStopped).At.Add(after)
		}
	}
	// unread takes the power state from the record, where a minute-old event stands beside it.
	unread := func(kind EvidenceKind, read time.Duration) func(*Input) {
		return func(in *Input) {
			in.Observation.Units[1].Power = PowerSeen{}
			in.Record.Units[1].Power = PowerSeen{Power: PowerStopped, At: noon.Add(-read)}
			known(in, kind)
		}
	}
	keeps(t, Degraded, halfSilent(PowerDeallocated), []rule{
		{"the platform stopped it: it is started", func(in *Input) { known(in, EvidenceStopped) }, "start", LeverStart, Second},
		{"stopped and not deallocated is switched off as well", func(in *Input) {
			known(in, EvidenceStopped)
			in.Observation.Units[1].Power.Power = PowerStopped
		}, "start", LeverStart, Second},
		{"nothing is known of who stopped it: a person is asked", nil, "start-planned", LeverStart, Second},
		{"it is unavailable, which says nothing of who wants it so: a person is asked", func(in *Input) { known(in, EvidenceUnavailable) }, "start-planned", LeverStart, Second},
		{"a person stopped it: that is an instruction", func(in *Input) { known(in, EvidenceStopped).ByPerson = true }, "degraded", LeverNone, RoleUnknown},
		{"it was started and stopped again since: a person is asked", changed(time.Minute + 1), "start-planned", LeverStart, Second},
		{"what ended about when the event says is that stop", changed(time.Minute), "start", LeverStart, Second},
		{"the record's power state tells that too", func(in *Input) {
			changed(time.Hour)(in)
			in.Record.Units[1].Power, in.Observation.Units[1].Power = in.Observation.Units[1].Power, PowerSeen{}
		}, "start-planned", LeverStart, Second},
		{"the policy forbids it", func(in *Input) { in.Definition.Failover.Start = Never }, "degraded", LeverStart, Second},
		{"the policy asks", func(in *Input) {
			known(in, EvidenceStopped)
			in.Definition.Failover.Start = Ask
		}, "start-planned", LeverStart, Second},
		{"mode recommend asks", func(in *Input) {
			known(in, EvidenceStopped)
			in.Definition.Mode = Recommend
		}, "start-planned", LeverStart, Second},
		{"mode observe says so", func(in *Input) {
			known(in, EvidenceStopped)
			in.Definition.Mode = Observe
		}, "degraded", LeverStart, Second},
		{"its API refuses us, so it is not switched off whatever the platform says", func(in *Input) {
			known(in, EvidenceStopped)
			in.Observation.Units[1].API.Answer = APIRefused
		}, "degraded", LeverNone, RoleUnknown},
		{"a VM that is being stopped is not started", func(in *Input) {
			known(in, EvidenceStopped)
			in.Observation.Units[1].Power.Power = PowerDeallocating
		}, "degraded", LeverNone, RoleUnknown},
		{"the first unit is started as well as the second", func(in *Input) {
			in.Observation.Units[0], in.Observation.Units[1] = in.Observation.Units[1], in.Observation.Units[0]
		}, "start-planned", LeverStart, First},
		{"a start that is under way is not started again", open(IntentStart, Second), "under-way", LeverStart, Second},
		{"a start of the other unit is another thing", open(IntentStart, First), "start", LeverStart, Second},
		{"a restart under way is another thing", open(IntentRestart, Second), "start", LeverStart, Second},
		{"twice in a day is enough", before(Second, 20*time.Hour, time.Hour), "start-held", LeverStart, Second},
		{"once in a day and once the day before is not too often", before(Second, 25*time.Hour, time.Hour), "start", LeverStart, Second},
		{"the other unit's starts do not count", before(First, 20*time.Hour, time.Hour), "start", LeverStart, Second},
		{"a power state that was read once is enough", unread(EvidenceStopped, 2*time.Minute), "start", LeverStart, Second},
		{"a start that came after it makes it unknown", unread(EvidenceStarted, 2*time.Minute), "degraded", LeverNone, RoleUnknown},
		{"so does that it is available", unread(EvidenceAvailable, 2*time.Minute), "degraded", LeverNone, RoleUnknown},
		{"but not that it is unavailable", unread(EvidenceUnavailable, 2*time.Minute), "start-planned", LeverStart, Second},
		{"nor a start before it was read", unread(EvidenceStarted, 30*time.Second), "start-planned", LeverStart, Second},
		{"nor one in the moment in which it was read", unread(EvidenceStarted, time.Minute), "start-planned", LeverStart, Second},
	})
	keeps(t, NoneActive, observed(powered(silentUnit(), PowerStopped), powered(silentUnit(), PowerStopped)), []rule{
		{"of two that are switched off the first is started first", nil, "start-planned", LeverStart, First},
		{"where a person stopped the first, the second is started", func(in *Input) {
			in.Record.Units[0].Platform = Evidence{Kind: EvidenceStopped, ByPerson: true}
		}, "start-planned", LeverStart, Second},
	})
}

func TestAStartIsRememberedForADay(t *testing.T) {
	in := lasting(Degraded, halfSilent(PowerStopped))
	known(&in, EvidenceStopped)
	in.Record.Units[1].Powered = []time.Time{noon.Add(-25 * time.Hour), noon.Add(-time.Hour)}
	d := Decide(&in)
	if got := d.Record.Units[1].Powered; d.Row != "start" || len(got) != 2 || !got[1].Equal(noon) || len(d.Record.Moves) != 0 {
		t.Errorf("row %s, powered %v, moves %v; want a start beside the one an hour ago, which is no move", d.Row, got, d.Record.Moves)
	}
	if len(d.Intents) != 1 || d.Intents[0].Kind != IntentStart || d.Intents[0].Unit != Second || d.Intents[0].By != OwnerTandem {
		t.Errorf("intents %+v, want one start of second", d.Intents)
	}
}

func TestAVMIsRestartedOnlyForCertain(t *testing.T) {
	certain := withProbes(halfSilent(PowerRunning), probeSuccess, probeTimeout)
	keeps(t, Degraded, certain, []rule{
		{"our eyes and the load balancer's agree: it is restarted", nil, "restart", LeverRestart, Second},
		{"restart is never by default", func(in *Input) { in.Definition.Failover.Restart = Never }, "degraded", LeverRestart, Second},
		{"a policy nobody spoke about is never", func(in *Input) { in.Definition.Failover.Restart = ConsentUnset }, "degraded", LeverRestart, Second},
		{"its silence must outlast a boot", func(in *Input) { in.Record.Since = noon.Add(-BootGrace + time.Second) }, "degraded", LeverNone, RoleUnknown},
		{"which it has after exactly the grace", func(in *Input) { in.Record.Since = noon.Add(-BootGrace) }, "restart", LeverRestart, Second},
		{"a unit whose API refuses us is not silent", func(in *Input) { in.Observation.Units[1].API.Answer = APIUntrusted }, "degraded", LeverNone, RoleUnknown},
		{"nor one whose API speaks nonsense", func(in *Input) { in.Observation.Units[1].API.Answer = APIBroken }, "degraded", LeverNone, RoleUnknown},
		{"nor one whose check port answers oddly", func(in *Input) {
			in.Observation.Units[1].Check.Answer = CheckOdd
			in.Observation = withProbes(in.Observation, probeSuccess, probeDown)
		}, "degraded", LeverNone, RoleUnknown},
		{"what is not known to run is not restarted", func(in *Input) { in.Observation.Units[1].Power = PowerSeen{} }, "degraded", LeverNone, RoleUnknown},
		{"a restart under way is not begun again", func(in *Input) { in.Open = []Intent{{Kind: IntentRestart, Unit: Second}} }, "under-way", LeverRestart, Second},
		{"a restart of the other unit is another thing", func(in *Input) { in.Open = []Intent{{Kind: IntentRestart, Unit: First}} }, "restart", LeverRestart, Second},
		{"twice in a day is enough", func(in *Input) {
			in.Record.Units[1].Powered = []time.Time{noon.Add(-2 * time.Hour), noon.Add(-time.Hour)}
		}, "restart-held", LeverRestart, Second},
		{"the load balancer must be read", func(in *Input) { in.Observation.Balancers = nil }, "balancer-unread", LeverRestart, Second},
		{"every load balancer must be", func(in *Input) {
			in.Definition.LoadBalancers = append(in.Definition.LoadBalancers, LoadBalancer{Name: "elb"})
		}, "balancer-unread", LeverRestart, Second},
		{"a partner that answered long ago proves nothing", func(in *Input) { in.Observation.Units[0].Check.At = noon.Add(-FreshFor) }, "restart-held", LeverRestart, Second},
		{"nor one that the probe does not see", func(in *Input) { in.Observation = withProbes(in.Observation, probeDown, probeTimeout) }, "restart-held", LeverRestart, Second},
		{"nor one that only an admin state holds up", func(in *Input) { in.Observation = withProbes(in.Observation, "Up_Admin", probeTimeout) }, "restart-held", LeverRestart, Second},
		{"a unit that the probe reaches is not restarted", func(in *Input) { in.Observation = withProbes(in.Observation, probeSuccess, probeSuccess) }, "restart-held", LeverRestart, Second},
		{"nor one of which the probe gets an answer: then our own way to it is broken", func(in *Input) { in.Observation = withProbes(in.Observation, probeSuccess, probeDown) }, "restart-held", LeverRestart, Second},
		{"nor one of which the probe says nothing", func(in *Input) { in.Observation.Balancers[0].Health = in.Observation.Balancers[0].Health[:1] }, "restart-held", LeverRestart, Second},
	})
}

func TestThePreferenceIsSetToWhatItMustBe(t *testing.T) {
	differs := observed(at(CheckServing, Active), prefers(at(CheckIdle, Standby), PreferNone))
	keeps(t, Healthy, differs, []rule{
		{"a unit that tells another preference is set", nil, "preference", LeverPrefer, RoleUnknown},
		{"a unit that tells none contradicts nothing", func(in *Input) { in.Observation.Units[1].API.Report.Preferred = PreferenceUnknown }, "healthy", LeverNone, RoleUnknown},
		{"a pair that must prefer none is asked for none", func(in *Input) {
			in.Definition.HA.Preferred = PreferNone
			in.Observation.Units[0].API.Report.Preferred = PreferNone
		}, "healthy", LeverNone, RoleUnknown},
		{"setting it is not begun twice", func(in *Input) { in.Open = []Intent{{Kind: IntentPrefer, Unit: Second}} }, "under-way", LeverPrefer, RoleUnknown},
		{"another intent is another thing", func(in *Input) { in.Open = []Intent{{Kind: IntentStart, Unit: Second}} }, "preference", LeverPrefer, RoleUnknown},
		{"it never pulls the active state away from second", func(in *Input) {
			in.Observation.Units[0].Check.Answer, in.Observation.Units[1].Check.Answer = CheckIdle, CheckServing
		}, "preference-held", LeverPrefer, RoleUnknown},
		{"preferring none pulls nothing away from second", func(in *Input) {
			in.Definition.HA.Preferred = PreferNone
			in.Observation.Units[0].Check.Answer, in.Observation.Units[1].Check.Answer = CheckIdle, CheckServing
		}, "preference", LeverPrefer, RoleUnknown},
		{"a recent move does not stop it, because it is none", func(in *Input) { in.Record.Moves = []time.Time{noon.Add(-time.Minute)} }, "preference", LeverPrefer, RoleUnknown},
		{"mode recommend asks", func(in *Input) { in.Definition.Mode = Recommend }, "preference-planned", LeverPrefer, RoleUnknown},
		{"a managed failback takes the preference from the units", func(in *Input) {
			in.Definition.HA.Failback = FailbackManaged
			in.Observation.Units[0].API.Report.Preferred = PreferNone
		}, "healthy", LeverNone, RoleUnknown},
	})
	standbys := observed(at(CheckIdle, Standby), prefers(at(CheckIdle, Standby), PreferNone))
	keeps(t, NoneActive, standbys, []rule{
		{"two standbys are told that first shall serve", nil, "preference", LeverPrefer, RoleUnknown},
		{"even where the pair prefers none", func(in *Input) { in.Definition.HA.Preferred = PreferNone }, "preference", LeverPrefer, RoleUnknown},
		{"two that know it already are not told", func(in *Input) { in.Observation.Units[1].API.Report.Preferred = PreferFirst }, "none-active", LeverNone, RoleUnknown},
		{"a first that is silent would not hear it", func(in *Input) { in.Observation.Units[0] = silentUnit() }, "none-active", LeverNone, RoleUnknown},
		{"it is a move, which hold-down stops", func(in *Input) { in.Record.Moves = []time.Time{noon.Add(-time.Minute)} }, "preference-held", LeverPrefer, RoleUnknown},
		{"where the cause is their set-up, that is mended instead", func(in *Input) { in.Observation.Units[1].API.Report.CheckPort = 1 }, "none-active", LeverSetUp, Second},
	})
}

func TestAPreferenceIsWrittenToThoseThatTellAnother(t *testing.T) {
	tests := []struct {
		name          string
		situation     Situation
		pair          Preference
		first, second UnitSeen
		want          []string
		moves         int
	}{
		{"only the one that differs", Healthy, PreferFirst, at(CheckServing, Active), prefers(at(CheckIdle, Standby), PreferNone), []string{"preference of second is first"}, 0},
		{"both where both differ", Healthy, PreferNone, at(CheckServing, Active), at(CheckIdle, Standby), []string{"preference of first is none", "preference of second is none"}, 0},
		{"never one that tells nothing", Healthy, PreferNone, at(CheckServing, Active), prefers(at(CheckIdle, Standby), PreferenceUnknown), []string{"preference of first is none"}, 0},
		{"first where neither serves, which is a move", NoneActive, PreferNone, prefers(at(CheckIdle, Standby), PreferNone), at(CheckIdle, Standby), []string{"preference of first is first"}, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := lasting(tt.situation, observed(tt.first, tt.second))
			in.Definition.HA.Preferred = tt.pair
			d := Decide(&in)
			var got []string
			for _, i := range d.Intents {
				got = append(got, i.String())
			}
			if !slices.Equal(got, tt.want) || len(d.Record.Moves) != tt.moves {
				t.Errorf("row %s: %q and %d moves, want %q and %d", d.Row, got, len(d.Record.Moves), tt.want, tt.moves)
			}
		})
	}
}

func TestAUnitIsSetUpOnlyWhereItProvesThatItForwards(t *testing.T) {
	forwards := withBalancer(observed(at(CheckIdle, Standby), served(at(CheckIdle, Standby), ServicePassed)), AdminNone)
	also := func(change func(*Input)) func(*Input) {
		return func(in *Input) {
			in.Definition.HA.StandbyForwards = ForwardsYes
			change(in)
		}
	}
	keeps(t, NoneActive, forwards, []rule{
		{"the one that passes the checks is set Up", also(func(*Input) {}), "up", LeverUp, Second},
		{"first where it passes them too", also(func(in *Input) { in.Observation.Units[0].Service.Answer = ServicePassed }), "up", LeverUp, First},
		{"not where nobody says that a standby forwards", nil, "none-active", LeverNone, RoleUnknown},
		{"not where it is said that it does not", func(in *Input) { in.Definition.HA.StandbyForwards = ForwardsNo }, "none-active", LeverNone, RoleUnknown},
		{"not where neither passes the checks", also(func(in *Input) { in.Observation.Units[1].Service.Answer = ServiceFailed }), "none-active", LeverNone, RoleUnknown},
		{"the policy may forbid it", also(func(in *Input) { in.Definition.Failover.Up = Never }), "none-active", LeverUp, Second},
		{"the policy may ask", also(func(in *Input) { in.Definition.Failover.Up = Ask }), "up-planned", LeverUp, Second},
		{"the load balancer must be read", also(func(in *Input) { in.Observation.Balancers = nil }), "balancer-unread", LeverUp, Second},
		{"not beside somebody else's admin state", also(func(in *Input) { in.Observation = withBalancer(in.Observation, AdminDown) }), "up-held", LeverUp, Second},
		{"hold-down stops it", also(func(in *Input) { in.Record.Moves = []time.Time{noon.Add(-time.Minute)} }), "up-held", LeverUp, Second},
	})
	in := lasting(NoneActive, forwards)
	in.Definition.HA.StandbyForwards = ForwardsYes
	d := Decide(&in)
	want := AdminHold{
		LoadBalancer: "ilb", Pool: "pool", Unit: Second, State: AdminUp, Epoch: d.Epoch, Owner: OwnerTandem, Reason: "up",
		Since: noon, Deadline: noon.Add(FenceFor), Lever: LeverUp,
	}
	if !reflect.DeepEqual(d.Record.Admin, []AdminHold{want}) || len(d.Record.Moves) != 1 {
		t.Errorf("holds %+v, moves %v; want %+v and one move", d.Record.Admin, d.Record.Moves, want)
	}
}

func TestTheLeverIsProvedOnTheStandby(t *testing.T) {
	asked := func(change func(*Input)) func(*Input) {
		return func(in *Input) {
			in.Record.Prove = &Request{By: "alice", At: noon}
			change(in)
		}
	}
	keeps(t, Healthy, withBalancer(healthyPair(), AdminNone), []rule{
		{"a person's wish is enough", asked(func(*Input) {}), "prove", LeverProve, Second},
		{"in every mode", asked(func(in *Input) { in.Definition.Mode = Observe }), "prove", LeverProve, Second},
		{"nobody asked, nothing is proved", nil, "healthy", LeverNone, RoleUnknown},
		{"it comes before a preference that differs", asked(func(in *Input) { in.Observation.Units[1].API.Report.Preferred = PreferNone }), "prove", LeverProve, Second},
		{"the standby may be first", asked(func(in *Input) {
			u := &in.Observation.Units
			u[0], u[1] = u[1], u[0]
		}), "prove", LeverProve, First},
		{"the load balancer must be read", asked(func(in *Input) { in.Observation.Balancers = nil }), "balancer-unread", LeverProve, Second},
		{"not beside somebody else's admin state", asked(func(in *Input) { in.Observation = withBalancer(in.Observation, AdminDown) }), "prove-refused", LeverProve, Second},
		{"not where the active unit answered long ago", asked(func(in *Input) { in.Observation.Units[0].Check.At = noon.Add(-FreshFor) }), "prove-refused", LeverProve, Second},
		{"not where a pool lacks the active unit", asked(func(in *Input) { in.Observation = withoutFirst(in.Observation) }), "prove-refused", LeverProve, Second},
	})
	in := lasting(Healthy, withBalancer(healthyPair(), AdminNone))
	asked(func(*Input) {})(&in)
	d := Decide(&in)
	if len(d.Record.Admin) != 1 || d.Record.Prove != nil || len(d.Record.Moves) != 0 {
		t.Fatalf("record %+v, want one hold, the wish gone, no move", d.Record)
	}
	if h := d.Record.Admin[0]; h.Owner != "alice" || h.Lever != LeverProve || !h.Deadline.Equal(noon.Add(ProveFor)) || h.Fence() {
		t.Errorf("hold %+v, want a proof of alice for %v", h, ProveFor)
	}
	in.Observation = withBalancer(in.Observation, AdminDown)
	if d := Decide(&in); d.Row != "prove-refused" || d.Record.Prove != nil {
		t.Errorf("row %s, wish %v; a refused wish must end", d.Row, d.Record.Prove)
	}
}

func TestAFenceHasItsObstacles(t *testing.T) {
	move := func(ago ...time.Duration) func(*Input) {
		return func(in *Input) {
			for _, a := range ago {
				in.Record.Moves = append(in.Record.Moves, noon.Add(-a))
			}
		}
	}
	probed := func(first, second string) func(*Input) {
		return func(in *Input) {
			in.Observation.Units[0].API, in.Observation.Units[1].API = APISeen{}, APISeen{}
			in.Observation = withProbes(in.Observation, first, second)
		}
	}
	keeps(t, LinkCut, bothServe(), []rule{
		{"nothing in the way: second is fenced", nil, "fence", LeverFence, Second},
		{"the policy asks", func(in *Input) { in.Definition.Failover.Fence = Ask }, "both-active-planned", LeverFence, Second},
		{"the policy forbids", func(in *Input) { in.Definition.Failover.Fence = Never }, "both-active-policy", LeverFence, Second},
		{"nobody spoke about the policy", func(in *Input) { in.Definition.Failover.Fence = ConsentUnset }, "both-active-policy", LeverFence, Second},
		{"the lever must be proved", func(in *Input) { in.Record.Proofs = nil }, "both-active-planned", LeverFence, Second},
		{"a proof must have gone back", func(in *Input) { in.Record.Proofs = []LeverProof{{LoadBalancer: "ilb", Pool: "pool"}} }, "both-active-planned", LeverFence, Second},
		{"a proof of another pool is none", func(in *Input) { in.Record.Proofs[0].Pool = "other" }, "both-active-planned", LeverFence, Second},
		{"a proof of another load balancer is none", func(in *Input) { in.Record.Proofs[0].LoadBalancer = "elb" }, "both-active-planned", LeverFence, Second},
		{"the load balancer must be read", func(in *Input) { in.Observation.Balancers = nil }, "both-active-read", LeverFence, Second},
		{"an Up that is not ours is a person at work", func(in *Input) { in.Observation = withBalancer(in.Observation, AdminUp) }, "both-active-foreign", LeverFence, Second},
		{"nobody knows who should yield", func(in *Input) {
			in.Definition.HA.Preferred = PreferNone
			in.Record.LastActive = RoleUnknown
		}, "both-active-no-loser", LeverFence, RoleUnknown},
		{"the one that was not active before yields", func(in *Input) { in.Definition.HA.Preferred = PreferNone }, "fence", LeverFence, Second},
		{"first yields only where both say that they prefer none", func(in *Input) {
			in.Definition.HA.Preferred = PreferNone
			in.Record.LastActive = Second
			in.Observation.Units[1].API.Report.Preferred = PreferNone
		}, "both-active-preference", LeverFence, First},
		{"a survivor that the load balancer sees down", probed(probeTimeout, probeSuccess), "both-active-unreachable", LeverFence, Second},
		{"the probe's word for both is a second kind of evidence", probed(probeSuccess, probeSuccess), "fence", LeverFence, Second},
		{"its word for first alone is not", probed(probeSuccess, probeDown), "both-active-unproved", LeverFence, Second},
		{"an admin state that only the load balancer's own view shows is a person at work", probed("Up_Admin", probeSuccess), "both-active-foreign", LeverFence, Second},
		{"so is a Down", probed(probeSuccess, "Down_Admin"), "both-active-foreign", LeverFence, Second},
		{"the platform's own Up is no word of the probe", probed("Up_Platform", probeSuccess), "both-active-unproved", LeverFence, Second},
		{"a survivor that fails a check that the loser passes is not left alone", bothServed(ServiceFailed, ServicePassed), "both-active-lying", LeverFence, Second},
		{"a loser that fails it is fenced", bothServed(ServicePassed, ServiceFailed), "fence", LeverFence, Second},
		{"where both fail it is the application", bothServed(ServiceFailed, ServiceFailed), "fence", LeverFence, Second},
		{"a check of the survivor alone tells nothing", bothServed(ServiceFailed, ServiceUnknown), "fence", LeverFence, Second},
		{"a survivor that lies stays in the way of what a person approved", func(in *Input) {
			in.Definition.Failover.Fence = Ask
			in.Record = Decide(in).Record
			in.Record.Plan.Approved = &Request{By: "alice", At: noon}
			bothServed(ServiceFailed, ServicePassed)(in)
		}, "both-active-lying", LeverFence, Second},
		{"the units' own word for one alone is not", func(in *Input) { in.Observation.Units[1].API.Report.State = StateUnknown }, "both-active-unproved", LeverFence, Second},
		{"an answer as old as freshness proves nothing", func(in *Input) { in.Observation.Units[1].Check.At = noon.Add(-FreshFor) }, "both-active-unproved", LeverFence, Second},
		{"an answer just younger does", func(in *Input) { in.Observation.Units[1].Check.At = noon.Add(-FreshFor + 1) }, "fence", LeverFence, Second},
		{"an answer from the future proves nothing", func(in *Input) { in.Observation.Units[1].Check.At = noon.Add(1) }, "both-active-unproved", LeverFence, Second},
		{"there is nothing to fence where no pool holds the loser", func(in *Input) {
			p := &in.Observation.Balancers[0].Pools[0]
			p.Members = p.Members[:1]
		}, "both-active-unreachable", LeverFence, Second},
		{"hold-down stops a second move", move(10*time.Minute - 1), "both-active-limited", LeverFence, Second},
		{"and is over after its time", move(10 * time.Minute), "fence", LeverFence, Second},
		{"two moves in an hour are enough", move(50*time.Minute, 30*time.Minute), "both-active-blocked", LeverFence, Second},
		{"one of them an hour ago does not count", move(time.Hour, 30*time.Minute), "fence", LeverFence, Second},
		{"no limit where none is set", func(in *Input) {
			in.Definition.Failover.MaxMovesPerHour = 0
			move(50*time.Minute, 30*time.Minute)(in)
		}, "fence", LeverFence, Second},
		{"moves of a clock that was ahead do not count", move(-time.Hour, -2*time.Hour), "fence", LeverFence, Second},
		{"a little ahead is another clock, and counts", move(-30 * time.Second), "both-active-limited", LeverFence, Second},
		{"a block stands until a person acknowledges it", func(in *Input) { in.Record.Block = &Block{} }, "both-active-blocked", LeverFence, Second},
	})
}

func TestAFenceIsSetWhereTheLoserIs(t *testing.T) {
	in := lasting(LinkCut, bothServe())
	pools := &in.Observation.Balancers[0].Pools
	*pools = append(*pools, PoolSeen{Name: "spare", Members: (*pools)[0].Members[:1]}, PoolSeen{Name: "more", Members: (*pools)[0].Members})
	d := Decide(&in)
	var got []string
	for _, i := range d.Intents {
		got = append(got, i.String())
	}
	if want := []string{"tag of ilb is set", "fence second is Down in ilb/pool", "fence second is Down in ilb/more"}; !slices.Equal(got, want) || len(d.Record.Admin) != 2 {
		t.Errorf("row %s: %q and %d holds, want %q", d.Row, got, len(d.Record.Admin), want)
	}
}

func TestTooManyMovesAreBlockedOnce(t *testing.T) {
	many := []time.Time{noon.Add(-50 * time.Minute), noon.Add(-30 * time.Minute)}
	up := withBalancer(observed(at(CheckIdle, Standby), served(at(CheckIdle, Standby), ServicePassed)), AdminNone)
	tests := []struct {
		name      string
		situation Situation
		seen      Observation
		change    func(*Input)
		row       string
		blocked   bool
	}{
		{"too many fences are blocked", BothActive, bothServe(), func(in *Input) { in.Record.Moves = many }, "both-active-blocked", true},
		{"too many moves of another lever are", NoneActive, up, func(in *Input) { in.Record.Moves = many }, "up-held", true},
		{"hold-down is over by itself", NoneActive, up, func(in *Input) { in.Record.Moves = many[1:]; in.Definition.Failover.HoldDown = Duration(time.Hour) }, "up-held", false},
		{"too many starts are over by themselves", Degraded, halfSilent(PowerStopped), func(in *Input) { in.Record.Units[1].Powered = many }, "start-held", false},
		{"too many restarts are", Degraded, halfSilent(PowerRunning), func(in *Input) { in.Record.Units[1].Powered = many }, "restart-held", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := lasting(tt.situation, tt.seen)
			in.Definition.HA.StandbyForwards = ForwardsYes
			tt.change(&in)
			d := Decide(&in)
			if d.Row != tt.row || (d.Record.Block != nil) != tt.blocked {
				t.Fatalf("row %s, block %v; want %s, blocked %v", d.Row, d.Record.Block, tt.row, tt.blocked)
			}
			if !tt.blocked {
				return
			}
			in.Record = d.Record
			if again := Decide(&in); !again.Quiet() {
				t.Error("blocked again")
			}
		})
	}
}

func TestWhatIsLicensed(t *testing.T) {
	def := definition()
	f := &def.Failover
	f.Fence, f.Up, f.Start, f.Restart = Allowed, Ask, Never, ConsentUnset
	tests := []struct {
		name   string
		lever  Lever
		owner  string
		stance Stance
		want   bool
	}{
		{"what the policy allows stands in mode auto", LeverFence, OwnerTandem, StanceAuto, true},
		{"not in mode recommend", LeverFence, OwnerTandem, StanceRecommend, false},
		{"nobody's name is ours", LeverFence, "", StanceRecommend, false},
		{"nobody's name is ours in mode auto too", LeverUp, "", StanceAuto, false},
		{"what a person approved stands in mode recommend", LeverFence, "alice", StanceRecommend, true},
		{"not in mode observe", LeverFence, "alice", StanceObserve, false},
		{"what the policy asks for is not ours", LeverUp, OwnerTandem, StanceAuto, false},
		{"but a person's", LeverUp, "alice", StanceAuto, true},
		{"what the policy forbids is nobody's", LeverStart, "alice", StanceAuto, false},
		{"what nobody spoke about is nobody's", LeverRestart, "alice", StanceAuto, false},
		{"a preference needs no policy", LeverPrefer, OwnerTandem, StanceAuto, true},
		{"a proof is a person's wish in mode observe", LeverProve, "alice", StanceObserve, true},
		{"not where we are blind", LeverProve, "alice", StanceBlind, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := Licensed(&def, tt.lever, tt.owner, tt.stance); got != tt.want {
				t.Errorf("Licensed(%v, %q, %v) = %v", tt.lever, tt.owner, tt.stance, got)
			}
		})
	}
}

// hold is a hold of ours on the second unit that was set half a minute ago.
func hold(l Lever, s AdminState, landed bool) AdminHold {
	lasts := FenceFor
	if l == LeverProve {
		lasts = ProveFor
	}
	return AdminHold{
		LoadBalancer: "ilb", Pool: "pool", Unit: Second, State: s, Lever: l, Landed: landed, Owner: OwnerTandem,
		Epoch: 7, Since: noon.Add(-30 * time.Second), Deadline: noon.Add(lasts - 30*time.Second),
	}
}

// bothServed gives both units the result of their checks.
func bothServed(first, second ServiceAnswer) func(*Input) {
	return func(in *Input) {
		for n, a := range []ServiceAnswer{first, second} {
			in.Observation.Units[n] = served(in.Observation.Units[n], a)
		}
	}
}

func TestHowAFenceStands(t *testing.T) {
	ends := func(after time.Duration) func(*Input) {
		return func(in *Input) { in.Record.Admin[0].Deadline = noon.Add(after) }
	}
	gone := func(in *Input) { in.Observation = withBalancer(in.Observation, AdminNone) }
	erase := func(in *Input) { in.Observation.Balancers[0].Pools[0].Members[1].Admin = AdminNone }
	shown := func(first, second string) func(*Input) {
		return func(in *Input) {
			in.Observation = withProbes(in.Observation, first, second)
			in.Observation.Balancers[0].Pools[0].Members[1].Admin = AdminDown
		}
	}
	leaving := func(in *Input) {
		gone(in)
		in.Open = []Intent{{Kind: IntentRelease, State: IntentBegun, LoadBalancer: "ilb", Pool: "pool", Unit: Second, Late: true}}
	}
	tests := []struct {
		name   string
		change func(*Input)
		hold   Hold
		row    string
	}{
		{"seen in place it stands", func(*Input) {}, HoldStanding, "fence-stands"},
		{"a fence of an older release says no lever", func(in *Input) { in.Record.Admin[0].Lever = LeverNone }, HoldStanding, "fence-stands"},
		{"unseen it was sent", func(in *Input) { in.Record.Admin[0].Landed = false; gone(in) }, HoldSent, "fence-sent"},
		{"not read in this pass it still stands", func(in *Input) { in.Observation.Balancers = nil }, HoldStanding, "fence-stands"},
		{"the document alone does not show it in place", func(in *Input) { in.Record.Admin[0].Landed = false }, HoldSent, "fence-sent"},
		{"with the load balancer's own view it does", func(in *Input) { shown(probeSuccess, "Down_Admin")(in); in.Record.Admin[0].Landed = false }, HoldStanding, "fence-stands"},
		{"that view alone does not", func(in *Input) {
			shown(probeSuccess, "Down_Admin")(in)
			erase(in)
			in.Record.Admin[0].Landed = false
		}, HoldSent, "fence-sent"},
		{"a proof is seen by who makes it", func(in *Input) {
			shown(probeSuccess, "Down_Admin")(in)
			in.Record.Admin[0].Landed, in.Record.Admin[0].Lever = false, LeverProve
			in.Open = []Intent{{Kind: IntentProve, LoadBalancer: "ilb", Pool: "pool", Unit: Second}}
		}, HoldProving, "prove-stands"},
		{"after half of its time it is due", ends(FenceFor / 2), HoldDue, "fence-renewed"},
		{"a moment before it is not", ends(FenceFor/2 + 1), HoldStanding, "fence-stands"},
		{"what was never seen in place is not renewed", func(in *Input) {
			ends(FenceFor / 2)(in)
			in.Record.Admin[0].Landed = false
			gone(in)
		}, HoldSent, "fence-sent"},
		{"what is seen in place now is", func(in *Input) {
			ends(FenceFor / 2)(in)
			in.Record.Admin[0].Landed = false
		}, HoldDue, "fence-renewed"},
		{"one pool that is due makes the fence due", func(in *Input) {
			ends(FenceFor / 2)(in)
			other := hold(LeverFence, AdminDown, false)
			other.Pool = "other"
			in.Record.Admin = append(in.Record.Admin, other)
		}, HoldDue, "fence-renewed"},
		{"it is not renewed without proof", func(in *Input) {
			ends(FenceFor / 2)(in)
			in.Observation.Units[1].Check.At = noon.Add(-FreshFor)
		}, HoldDue, "fence-stands"},
		{"at its deadline it is over", ends(0), HoldExpired, "release-expired"},
		{"a moment before it is not over", ends(1), HoldDue, "fence-renewed"},
		{"another clock may be a minute ahead", ends(FenceFor + bootSkew), HoldStanding, "fence-stands"},
		{"a deadline farther ahead than we ever set one is over", ends(FenceFor + bootSkew + 1), HoldExpired, "release-expired"},
		{"taken away once it is set again", gone, HoldErased, "fence-again"},
		{"but not without both kinds of proof", func(in *Input) {
			gone(in)
			in.Observation.Units[1].API = APISeen{}
		}, HoldErased, "fence-erased"},
		{"taken away twice it is forgotten", func(in *Input) { gone(in); in.Record.Admin[0].Again = true }, HoldLost, "fence-erased"},
		{"another admin state in its place took it away", func(in *Input) { in.Observation = withBalancer(in.Observation, AdminUp) }, HoldErased, "fence-again"},
		{"what we take back ourselves is not taken away", func(in *Input) {
			gone(in)
			in.Open = []Intent{{Kind: IntentRelease, LoadBalancer: "ilb", Pool: "pool", Unit: Second}}
		}, HoldStanding, "fence-stands"},
		{"a release of another unit is another thing", func(in *Input) {
			gone(in)
			in.Open = []Intent{{Kind: IntentRelease, LoadBalancer: "ilb", Pool: "pool", Unit: First}}
		}, HoldErased, "fence-again"},
		{"a release in another pool is another thing", func(in *Input) {
			gone(in)
			in.Open = []Intent{{Kind: IntentRelease, LoadBalancer: "ilb", Pool: "other", Unit: Second}}
		}, HoldErased, "fence-again"},
		{"a release on another load balancer is another thing", func(in *Input) {
			gone(in)
			in.Open = []Intent{{Kind: IntentRelease, LoadBalancer: "elb", Pool: "pool", Unit: Second}}
		}, HoldErased, "fence-again"},
		{"a fence under way is no release", func(in *Input) {
			gone(in)
			in.Open = []Intent{{Kind: IntentFence, LoadBalancer: "ilb", Pool: "pool", Unit: Second}}
		}, HoldErased, "fence-again"},
		{"somebody set the survivor Down", func(in *Input) { in.Observation = withFirst(in.Observation, AdminDown) }, HoldOpposed, "release-opposed"},
		{"and only the load balancer's own view shows it", shown("Down_Admin", "Down_Admin"), HoldOpposed, "release-opposed"},
		{"the load balancer sees the survivor serving", shown(probeSuccess, "Down_Admin"), HoldStanding, "fence-stands"},
		{"its probe does not reach the survivor any more", shown(probeTimeout, "Down_Admin"), HoldUnreached, "release-unreached"},
		{"it sees another answer of the survivor than we", shown(probeDown, "Down_Admin"), HoldUnreached, "release-unreached"},
		{"an unreached survivor is not fenced for again", func(in *Input) { shown(probeTimeout, probeSuccess)(in); erase(in) }, HoldUnreached, "release-unreached"},
		{"nor is its fence renewed", func(in *Input) { shown(probeTimeout, "Down_Admin")(in); ends(FenceFor / 2)(in) }, HoldUnreached, "release-unreached"},
		{"another load balancer may tell", func(in *Input) {
			shown(probeSuccess, "Down_Admin")(in)
			in.Observation.Balancers = append(in.Observation.Balancers, BalancerSeen{Name: "elb", Health: []HealthSeen{{Address: in.Definition.Units.First.Address}}})
		}, HoldUnreached, "release-unreached"},
		{"the survivor fails a check that the held unit passes", bothServed(ServiceFailed, ServicePassed), HoldLying, "release-lying"},
		{"both fail it", bothServed(ServiceFailed, ServiceFailed), HoldStanding, "fence-stands"},
		{"the held unit fails it", bothServed(ServicePassed, ServiceFailed), HoldStanding, "fence-stands"},
		{"a survivor that lies is not fenced for again", func(in *Input) { bothServed(ServiceFailed, ServicePassed)(in); gone(in) }, HoldLying, "release-lying"},
		{"taken away twice it is forgotten, whatever the survivor does", func(in *Input) {
			bothServed(ServiceFailed, ServicePassed)(in)
			gone(in)
			in.Record.Admin[0].Again = true
		}, HoldLost, "fence-erased"},
		{"taken back it may still come", leaving, HoldLeaving, "release-watched"},
		{"also past its deadline", func(in *Input) { leaving(in); ends(0)(in) }, HoldLeaving, "release-watched"},
		{"and matters most where nobody else serves", func(in *Input) { leaving(in); in.Observation.Units[0].Check.Answer = CheckSilent }, HoldLeaving, "release-survivor"},
		{"None was not written yet", func(in *Input) { leaving(in); in.Open[0].State = IntentOpen }, HoldStanding, "fence-stands"},
		{"what was seen in place does not come again", func(in *Input) { leaving(in); in.Open[0].Late = false }, HoldStanding, "fence-stands"},
		{"one pool that was not taken back keeps it standing", func(in *Input) {
			leaving(in)
			in.Record.Admin = append(in.Record.Admin, hold(LeverFence, AdminDown, true))
			in.Record.Admin[1].Pool = "other"
		}, HoldStanding, "fence-stands"},
		{"the survivor answered long ago", func(in *Input) { in.Observation.Units[0].Check.At = noon.Add(-FreshFor) }, HoldStanding, "release-survivor"},
		{"the policy was lowered", func(in *Input) { in.Definition.Failover.Fence = Ask }, HoldStanding, "release-mode"},
		{"what a person approved stands as long as the policy asks", func(in *Input) {
			in.Definition.Failover.Fence = Ask
			in.Record.Admin[0].Owner = "alice"
		}, HoldStanding, "fence-stands"},
		{"we are blind", func(in *Input) { in.Blind = BlindClock }, HoldStanding, "release-blind"},
		{"a person stopped everything", func(in *Input) { in.Stop = &Pause{Owner: "alice"} }, HoldStanding, "release-paused"},
		{"a stop that is over stops nothing", func(in *Input) { in.Stop = &Pause{Owner: "alice", Until: noon} }, HoldStanding, "fence-stands"},
		{"a person is at work on one unit", func(in *Input) { in.Record.Pause = &Pause{Owner: "alice", Unit: First} }, HoldStanding, "release-paused"},
		{"the pair is to be forgotten", func(in *Input) { in.Record.Retire = &Request{By: "alice"} }, HoldStanding, "release-retired"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := lasting(LinkCut, withBalancer(bothServe(), AdminDown))
			in.Record.Admin = []AdminHold{hold(LeverFence, AdminDown, true)}
			tt.change(&in)
			if d := Decide(&in); d.Facts.Hold != tt.hold || d.Row != tt.row {
				t.Errorf("hold %v, row %s; want %v, %s", d.Facts.Hold, d.Row, tt.hold, tt.row)
			}
		})
	}
}

// TestAFenceOutlastsTheProbe: the load balancer's slowest probe must have seen
// what we saw.
func TestAFenceOutlastsTheProbe(t *testing.T) {
	for _, tt := range []struct {
		name  string
		since time.Duration // ago
		doubt time.Duration // a suspicion of the same, ago
		want  string
	}{
		{"too early: it stands", 15*time.Second - 1, 0, "fence-outlasts"},
		{"after three intervals it is taken back", 15 * time.Second, 0, "release-healed"},
		{"what is not yet believed counts from its first sight", time.Hour, 10 * time.Second, "fence-outlasts"},
		{"and lasts no shorter", time.Hour, 15 * time.Second, "release-healed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in := lasting(Healthy, withBalancer(healthyPair(), AdminDown))
			in.Record.Since = noon.Add(-tt.since)
			in.Record.Admin = []AdminHold{hold(LeverFence, AdminDown, true)}
			if tt.doubt > 0 {
				in.Record.Situation = LinkCut
				in.Record.Suspicion = Suspicion{Situation: Healthy, Count: 1, Since: noon.Add(-tt.doubt), CountedAt: noon.Add(-5 * time.Second)}
			}
			if d := Decide(&in); d.Row != tt.want {
				t.Errorf("row %s, want %s", d.Row, tt.want)
			}
		})
	}
}

func TestHowAProofStands(t *testing.T) {
	proving := []Intent{{Kind: IntentProve, LoadBalancer: "ilb", Pool: "pool", Unit: Second}}
	tests := []struct {
		name   string
		change func(*Input)
		hold   Hold
		row    string
	}{
		{"until it is seen in the data path it stands", func(*Input) {}, HoldProving, "prove-stands"},
		{"seen there it goes back", func(in *Input) { in.Record.Admin[0].Landed = true }, HoldProved, "prove-ends"},
		{"nobody works on it any more: it goes back", func(in *Input) { in.Open = nil }, HoldProved, "prove-ends"},
		{"somebody works on something else: it goes back", func(in *Input) { in.Open = []Intent{{Kind: IntentStart}} }, HoldProved, "prove-ends"},
		{"somebody took it away: it is not set again", func(in *Input) {
			in.Record.Admin[0].Landed = true
			in.Observation = withBalancer(in.Observation, AdminNone)
		}, HoldLost, "fence-erased"},
		{"it may stand longer than a fence", func(in *Input) { in.Record.Admin[0].Deadline = noon.Add(ProveFor + bootSkew) }, HoldProving, "prove-stands"},
		{"but not longer than we ever set one", func(in *Input) { in.Record.Admin[0].Deadline = noon.Add(ProveFor + bootSkew + 1) }, HoldExpired, "release-expired"},
		{"it is a person's, in every mode", func(in *Input) { in.Definition.Mode = Observe }, HoldProving, "prove-stands"},
		{"the active unit fell silent", func(in *Input) { in.Observation.Units[0] = silentUnit() }, HoldProving, "release-survivor"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := lasting(Healthy, withBalancer(healthyPair(), AdminDown))
			in.Record.Admin, in.Open = []AdminHold{hold(LeverProve, AdminDown, false)}, proving
			in.Record.Admin[0].Owner = "alice"
			tt.change(&in)
			if d := Decide(&in); d.Facts.Hold != tt.hold || d.Row != tt.row {
				t.Errorf("hold %v, row %s; want %v, %s", d.Facts.Hold, d.Row, tt.hold, tt.row)
			}
		})
	}
}

func TestHowUpStands(t *testing.T) {
	tests := []struct {
		name   string
		change func(*Input)
		hold   Hold
		row    string
	}{
		{"while neither answers 200 and it forwards, it stands", func(*Input) {}, HoldUp, "up-stands"},
		{"it no longer forwards", func(in *Input) { in.Observation.Units[1].Service.Answer = ServiceFailed }, HoldUpDone, "release-up"},
		{"it is not known to forward", func(in *Input) { in.Observation.Units[1].Service.Answer = ServiceUnknown }, HoldUpDone, "release-up"},
		{"its partner answers 200", func(in *Input) { in.Observation.Units[0] = at(CheckServing, Active) }, HoldUpDone, "release-up"},
		{"it answers 200 itself, which the probe has not seen yet", func(in *Input) { in.Observation.Units[1] = at(CheckServing, Active) }, HoldUp, "up-stands"},
		{"it answers 200 for long enough", func(in *Input) {
			in.Observation.Units[1] = at(CheckServing, Active)
			in.Record.Situation = Healthy
		}, HoldUpDone, "release-up"},
		{"the mode was lowered", func(in *Input) { in.Definition.Mode = Recommend }, HoldUp, "release-mode"},
		{"its time is over", func(in *Input) { in.Record.Admin[0].Deadline = noon }, HoldExpired, "release-expired"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := lasting(NoneActive, withBalancer(observed(at(CheckIdle, Standby), served(at(CheckIdle, Standby), ServicePassed)), AdminUp))
			in.Record.Admin = []AdminHold{hold(LeverUp, AdminUp, true)}
			tt.change(&in)
			if d := Decide(&in); d.Facts.Hold != tt.hold || d.Row != tt.row {
				t.Errorf("hold %v, row %s; want %v, %s", d.Facts.Hold, d.Row, tt.hold, tt.row)
			}
		})
	}
}

func TestARenewedFenceKeepsWhatItIs(t *testing.T) {
	in := lasting(LinkCut, withBalancer(bothServe(), AdminDown))
	in.Record.Admin = []AdminHold{hold(LeverFence, AdminDown, true)}
	in.Record.Admin[0].Deadline = noon.Add(time.Minute)
	d := Decide(&in)
	h := d.Record.Admin[0]
	if !h.Deadline.Equal(noon.Add(FenceFor)) || h.Epoch != d.Epoch || !h.Landed || h.Again || len(d.Intents) != 1 || d.Intents[0].Tag != tagText(h) {
		t.Errorf("hold %+v with %v, want a new deadline and its tag only", h, d.Intents)
	}
}

func TestAReleaseTakesBackWhatMayStand(t *testing.T) {
	open := func(kind IntentKind, state IntentState, pool string) Intent {
		return Intent{Kind: kind, State: state, LoadBalancer: "ilb", Pool: pool, Unit: Second}
	}
	lateFence := open(IntentFence, IntentBegun, "pool")
	lateFence.Late = true
	tests := []struct {
		name   string
		landed bool
		open   []Intent
		want   string // what is written
	}{
		{"what was seen in place is written once", true, nil, "release"},
		{"what was never seen in place is superseded, and may still come", false, nil, "release, rewrite, late"},
		{"of a fence that was never sent there is nothing to supersede", false, []Intent{open(IntentFence, IntentOpen, "pool")}, "release"},
		{"a fence that was begun is superseded, and may still come", false, []Intent{open(IntentFence, IntentBegun, "pool")}, "release, rewrite, late"},
		{"a fence of another pool is another thing", false, []Intent{open(IntentFence, IntentOpen, "other")}, "release, rewrite, late"},
		{"one that was sent twice may come twice", true, []Intent{lateFence}, "release, late"},
		{"a release under way is not begun again", true, []Intent{open(IntentRelease, IntentBegun, "pool")}, ""},
		{"nor where a fence is open beside it", true, []Intent{open(IntentRelease, IntentOpen, "pool"), open(IntentFence, IntentOpen, "pool")}, ""},
		{"a release of another pool is another thing", true, []Intent{open(IntentRelease, IntentOpen, "other")}, "release"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := lasting(LinkCut, bothServe())
			in.Record.Admin, in.Open = []AdminHold{hold(LeverFence, AdminDown, tt.landed)}, tt.open
			in.Record.Admin[0].Deadline = noon
			d := Decide(&in)
			got := ""
			for _, i := range d.Intents {
				if i.Kind == IntentRelease {
					got = "release"
				}
				if i.Rewrite {
					got += ", rewrite"
				}
				if i.Late {
					got += ", late"
				}
			}
			if d.Row != "release-expired" || got != tt.want || len(d.Record.Admin) != 1 {
				t.Errorf("row %s writes %q (%v), want %q, and the hold kept until it is gone", d.Row, got, d.Intents, tt.want)
			}
		})
	}
}

// TestWhatSomebodyTookAwayIsForgotten: the rest is taken back, and the tag goes
// after the last of it.
// TestAFenceThatWasSentTwiceMayComeTwice: seeing one write of it in place says
// nothing of the other one.
func TestAFenceThatWasSentTwiceMayComeTwice(t *testing.T) {
	for _, state := range []IntentState{IntentOpen, IntentBegun} {
		in := lasting(LinkCut, withBalancer(bothServe(), AdminDown))
		in.Record.Admin = []AdminHold{hold(LeverFence, AdminDown, true)}
		in.Record.Admin[0].Late, in.Record.Admin[0].Deadline = true, noon
		in.Open = []Intent{{Kind: IntentFence, State: state, LoadBalancer: "ilb", Pool: "pool", Unit: Second}}
		if d := Decide(&in); len(d.Intents) == 0 || !d.Intents[0].Late || d.Intents[0].Rewrite {
			t.Errorf("row %s intends %+v, want a release that is late, and not written over what reads None", d.Row, d.Intents)
		}
	}
}

// TestWhoTakesAFenceAwayTwiceIsAskedFirst: it is set once more and not a third
// time, however long ago that is.
func TestWhoTakesAFenceAwayTwiceIsAskedFirst(t *testing.T) {
	tests := []struct {
		name   string
		change func(*AdminHold)
		block  bool
	}{
		{"the second time is a person's word", func(h *AdminHold) { h.Again = true }, true},
		{"also of an older release's fence", func(h *AdminHold) { h.Again, h.Lever = true, LeverNone }, true},
		{"the first time is not", func(*AdminHold) {}, false},
		{"a lever proof is no move", func(h *AdminHold) { h.Lever, h.Deadline = LeverProve, noon.Add(ProveFor) }, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := lasting(LinkCut, bothServe())
			in.Record.Admin = []AdminHold{hold(LeverFence, AdminDown, true)}
			in.Observation.Units[0].API, in.Observation.Units[1].API = APISeen{}, APISeen{} // one kind of proof
			tt.change(&in.Record.Admin[0])
			d := Decide(&in)
			if d.Row != "fence-erased" || (d.Record.Block != nil) != tt.block {
				t.Fatalf("row %s, block %+v; want fence-erased, blocked %v", d.Row, d.Record.Block, tt.block)
			}
			if !tt.block {
				return
			}
			if *d.Record.Block != (Block{Since: noon, Reason: "fence-erased"}) {
				t.Errorf("block %+v, want its reason", d.Record.Block)
			}
			in = lasting(LinkCut, bothServe())
			in.Record.Block = d.Record.Block
			if d := Decide(&in); d.Row != "both-active-blocked" || len(d.Intents) > 0 {
				t.Errorf("long afterwards row %s intends %v, want nothing before an ack", d.Row, d.Intents)
			}
		})
	}
}

// TestAForeignAdminStateMayShowInTheViewAlone: it is remembered between readings
// of that view, which are few.
func TestAForeignAdminStateMayShowInTheViewAlone(t *testing.T) {
	tests := []struct {
		name   string
		second string // rule health; empty: not read
		was    AdminState
		hold   AdminState // of ours on second
		want   AdminState
	}{
		{"none is shown", probeDown, AdminUnknown, AdminNone, AdminUnknown},
		{"a Down that the document does not read", "Down_Admin", AdminUnknown, AdminNone, AdminDown},
		{"an Up", "Up_Admin", AdminUnknown, AdminNone, AdminUp},
		{"ours is not foreign", "Down_Admin", AdminUnknown, AdminDown, AdminUnknown},
		{"another one than ours is", "Up_Admin", AdminUnknown, AdminDown, AdminUp},
		{"it stands until it is seen to be gone", "", AdminDown, AdminNone, AdminDown},
		{"and no longer", probeDown, AdminDown, AdminNone, AdminUnknown},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			seen := withBalancer(healthyPair(), tt.hold)
			if tt.second != "" {
				seen = withProbes(healthyPair(), probeSuccess, tt.second)
				seen.Balancers[0].Pools[0].Members[1].Admin = tt.hold
			}
			in := lasting(Healthy, seen)
			in.Record.Units[1].Probed.Foreign, in.Record.Foreign = tt.was, tt.was != AdminUnknown
			if tt.hold == AdminDown {
				in.Record.Admin = []AdminHold{hold(LeverFence, AdminDown, true)}
			}
			d := Decide(&in)
			if got := d.Record.Units[1].Probed.Foreign; got != tt.want || d.Record.Foreign != (tt.want != AdminUnknown) {
				t.Errorf("row %s: remembered %v, foreign %v; want %v", d.Row, got, d.Record.Foreign, tt.want)
			}
		})
	}
}

func TestWhatSomebodyTookAwayIsForgotten(t *testing.T) {
	members := func(admin AdminState) []MemberSeen {
		return []MemberSeen{
			{Name: "a", Address: netip.MustParseAddr("10.0.0.4"), Admin: AdminNone},
			{Name: "b", Address: netip.MustParseAddr("10.0.0.5"), Admin: admin},
		}
	}
	tests := []struct {
		name  string
		other string     // load balancer of the second hold
		stays AdminState // what stands there
		want  []string
		left  int
	}{
		{"all of it", "ilb", AdminNone, []string{"tag of ilb is gone"}, 0},
		{"one pool of two", "ilb", AdminDown, []string{"release second is None in ilb/p2", "tag of ilb is gone"}, 1},
		{"one load balancer of two", "elb", AdminDown, []string{"tag of ilb is gone", "release second is None in elb/p2", "tag of elb is gone"}, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := lasting(LinkCut, bothServe())
			one, two := hold(LeverFence, AdminDown, true), hold(LeverFence, AdminDown, true)
			one.Again = true
			two.LoadBalancer, two.Pool = tt.other, "p2"
			in.Record.Admin = []AdminHold{one, two}
			in.Observation.Balancers = []BalancerSeen{{Name: "ilb", Pools: []PoolSeen{{Name: "pool", Members: members(AdminNone)}}}}
			if tt.other == "ilb" {
				p := &in.Observation.Balancers[0].Pools
				*p = append(*p, PoolSeen{Name: "p2", Members: members(tt.stays)})
			} else {
				in.Observation.Balancers = append(in.Observation.Balancers, BalancerSeen{Name: "elb", Pools: []PoolSeen{{Name: "p2", Members: members(tt.stays)}}})
			}
			d := Decide(&in)
			var got []string
			for _, i := range d.Intents {
				got = append(got, i.String())
			}
			if d.Row != "fence-erased" || !slices.Equal(got, tt.want) || len(d.Record.Admin) != tt.left {
				t.Errorf("row %s: %q, %d left; want %q, %d", d.Row, got, len(d.Record.Admin), tt.want, tt.left)
			}
		})
	}
}

func TestAFenceIsSetOnceMore(t *testing.T) {
	in := lasting(LinkCut, bothServe())
	in.Record.Admin = []AdminHold{hold(LeverFence, AdminDown, true)}
	d := Decide(&in)
	h := d.Record.Admin[0]
	if d.Row != "fence-again" || !h.Again || h.Landed || h.Epoch != d.Epoch || !h.Deadline.Equal(noon.Add(FenceFor)) || len(d.Record.Moves) != 0 {
		t.Errorf("row %s, hold %+v, moves %v; want the same move once more", d.Row, h, d.Record.Moves)
	}
	if len(d.Intents) != 2 || d.Intents[0].Kind != IntentTag || d.Intents[1].Kind != IntentFence || d.Intents[1].By != OwnerTandem {
		t.Errorf("intents %v, want a tag and a fence", d.Intents)
	}
}

// TestAnApprovalIsOfOnePlan: a person approves exactly what was planned, now.
func TestAnApprovalIsOfOnePlan(t *testing.T) {
	approve := func(ago time.Duration) func(*Input) {
		return func(in *Input) { in.Record.Plan.Approved = &Request{By: "alice", At: noon.Add(-ago)} }
	}
	tests := []struct {
		name   string
		change func(*Input)
		want   string
	}{
		{"nobody approved it", func(*Input) {}, "both-active-planned"},
		{"a person approved it", approve(0), "fence"},
		{"an approval holds ten minutes", approve(ApprovedFor - 1), "fence"},
		{"and no longer", approve(ApprovedFor), "both-active-planned"},
		{"another clock may be a little ahead", approve(-bootSkew + 1), "fence"},
		{"an approval from the future is none", approve(-bootSkew), "both-active-planned"},
		{"another hash is another plan", func(in *Input) { approve(0)(in); in.Record.Plan.Hash = "other" }, "both-active-planned"},
		{"what it was of has changed", func(in *Input) { approve(0)(in); in.Observation.Balancers[0].Pools[0].Name = "renamed" }, "both-active-planned"},
		{"another occurrence is another plan", func(in *Input) { approve(0)(in); in.Record.Since = noon.Add(-2 * time.Hour) }, "both-active-planned"},
		{"it passes hold-down", func(in *Input) { approve(0)(in); in.Record.Moves = []time.Time{noon.Add(-time.Minute)} }, "fence"},
		{"it passes a block", func(in *Input) { approve(0)(in); in.Record.Block = &Block{} }, "fence"},
		{"it passes no doubt", func(in *Input) { approve(0)(in); in.Observation.Units[1].Check.At = noon.Add(-FreshFor) }, "both-active-unproved"},
		{"it passes no policy", func(in *Input) { approve(0)(in); in.Definition.Failover.Fence = Never }, "both-active-policy"},
		{"it passes no mode", func(in *Input) { approve(0)(in); in.Definition.Mode = Observe }, "both-active-observed"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := lasting(LinkCut, bothServe())
			in.Definition.Failover.Fence = Ask
			in.Record = Decide(&in).Record
			if in.Record.Plan == nil || len(in.Record.Plan.Hash) != 16 {
				t.Fatalf("plan %+v", in.Record.Plan)
			}
			mine := *in.Record.Plan
			in.Record.Plan = &mine
			tt.change(&in)
			d := Decide(&in)
			if d.Row != tt.want {
				t.Fatalf("row %s, want %s", d.Row, tt.want)
			}
			if d.Row == "fence" && (d.Record.Admin[0].Owner != "alice" || d.Intents[1].By != "alice" || d.Record.Plan != nil) {
				t.Errorf("hold %+v, intent %+v, plan %v; want them to be alice's and the plan gone", d.Record.Admin, d.Intents[1], d.Record.Plan)
			}
		})
	}
}

func TestAPlanIsStoredOnce(t *testing.T) {
	in := lasting(LinkCut, bothServe())
	in.Definition.Failover.Fence = Ask
	d := Decide(&in)
	p := d.Record.Plan
	if p == nil || p.Decision != d.ID || !strings.HasPrefix(p.Reason, "partner link cut, first 200 (active)") || len(p.Intents) != 1 || !p.Intents[0].Deadline.IsZero() {
		t.Fatalf("plan %+v, want one with its reason", p)
	}
	in.Record = d.Record
	if again := Decide(&in); !again.Quiet() {
		t.Errorf("the same plan again changes the record")
	}
	before := p.Reason
	in.Evidence = []Evidence{{Kind: EvidenceDegraded, VM: in.Definition.VMID(Second), At: noon}}
	in.Observation.Units[1].Check.At = noon.Add(-time.Second)
	if again := Decide(&in); again.Quiet() || again.Record.Plan.Decision != d.ID || again.Record.Plan.Reason != before {
		t.Errorf("a later decision rewrote the plan: %+v", again.Record.Plan)
	}
	in.Definition.Failover.Fence, in.Evidence = Ask, nil
	in.Observation.Balancers[0].Pools[0].Name = "renamed"
	if other := Decide(&in); other.Record.Plan.Hash == p.Hash || other.Record.Plan.Decision != other.ID {
		t.Errorf("another plan was not stored: %+v", other.Record.Plan)
	}
}

func TestTagsAreReadBack(t *testing.T) {
	for _, l := range []Lever{LeverFence, LeverUp, LeverProve, LeverNone} {
		h := hold(l, AdminDown, true)
		if l == LeverUp {
			h.State = AdminUp
		}
		got := readTag(tagText(h))
		want := AdminHold{Unit: h.Unit, State: h.State, Lever: max(l, LeverFence), Deadline: h.Deadline.Truncate(time.Second), Epoch: 7, Owner: OwnerTandem, Reason: "read from a tag"}
		if !reflect.DeepEqual(got, []AdminHold{want}) {
			t.Errorf("%q is read as %+v; want %+v", tagText(h), got, want)
		}
	}
	down, up := hold(LeverJob, AdminDown, true), hold(LeverJob, AdminUp, true)
	up.Unit, up.Owner, down.Owner = First, strings.Repeat("é", 150), strings.Repeat("x", 300)
	up.Epoch, down.Epoch = 1<<60, 1<<60
	both := tagText(up, down, up) // one of them stands in two pools
	if len(both) > 256 || len(readTag(both)) != 2 || readTag(both)[1].Unit != Second {
		t.Errorf("%q, %d characters, is read as %+v; Azure allows 256", both, len(both), readTag(both))
	}
	if got := readTag(both + tagSeparator + "and more"); got != nil {
		t.Errorf("a tag of which a part is not ours is read as %+v", got)
	}
	const good = "second is Down until 2026-11-22T12:01:30Z by decision 7 (fence) of tandem"
	if readTag(good) == nil {
		t.Fatalf("%q is not read", good)
	}
	for _, change := range [][2]string{
		{good, ""},
		{" of ", " for "},
		{" until ", " till "},
		{"second", "unknown"},
		{"second", "third"},
		{"Down", "None"},
		{"Down", "Sideways"},
		{"2026", "year"},
		{" 7 ", " -7 "},
		{" 7 ", " 9223372036854775808 "},
		{"(fence)", "(none)"},
		{"(fence)", "(guess)"},
	} {
		text := strings.Replace(good, change[0], change[1], 1)
		if h := readTag(text); h != nil {
			t.Errorf("%q is read as %+v", text, h)
		}
	}
}

// TestATagSpeaksForALostStore: what a tag calls ours is taken over where it
// stands, and a tag that speaks of nothing is removed.
func TestATagSpeaksForALostStore(t *testing.T) {
	text := tagText(hold(LeverFence, AdminDown, true))
	tests := []struct {
		name   string
		stands AdminState
		change func(*Input)
		holds  int
		gone   bool // the tag
		epoch  uint64
	}{
		{"what it speaks of stands: it is taken over", AdminDown, func(*Input) {}, 1, false, 8},
		{"our epoch is older: it is taken over", AdminDown, func(in *Input) { in.Record.Epoch = 6 }, 1, false, 8},
		{"our epoch is the same: it is left over from us, and what stands may be a person's", AdminDown, func(in *Input) { in.Record.Epoch = 7 }, 0, true, 8},
		{"so it is where ours is newer", AdminDown, func(in *Input) { in.Record.Epoch = 20 }, 0, true, 21},
		{"nothing stands: it is removed", AdminNone, func(*Input) {}, 0, true, 1},
		{"something else stands: it is removed", AdminUp, func(*Input) {}, 0, true, 1},
		{"a hold is known: it is left", AdminDown, func(in *Input) { in.Record.Admin = []AdminHold{hold(LeverFence, AdminDown, true)} }, 1, false, 0},
		{"a hold on another load balancer says nothing of it", AdminNone, func(in *Input) {
			in.Record.Admin = []AdminHold{hold(LeverFence, AdminDown, true)}
			in.Record.Admin[0].LoadBalancer = "elb"
		}, 1, true, 1},
		{"an intent of ours is open there: it is left", AdminDown, func(in *Input) { in.Open = []Intent{{Kind: IntentTag, LoadBalancer: "ilb"}} }, 0, false, 0},
		{"an intent on another load balancer says nothing of it", AdminNone, func(in *Input) { in.Open = []Intent{{Kind: IntentTag, LoadBalancer: "elb"}} }, 0, true, 1},
		{"what somebody else wrote is left", AdminNone, func(in *Input) { in.Observation.Balancers[0].Tags["tandem-edge"] = "mine" }, 0, false, 0},
		{"another pair's is left", AdminNone, func(in *Input) { in.Observation.Balancers[0].Tags = map[string]string{"tandem-other": text} }, 0, false, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := lasting(LinkCut, withBalancer(bothServe(), tt.stands))
			in.Definition.Failover.Fence = Allowed
			in.Record.Block = &Block{} // no fence of our own
			in.Observation.Balancers[0].Tags = map[string]string{TagName("edge"): text}
			tt.change(&in)
			d := Decide(&in)
			gone := slices.ContainsFunc(d.Intents, func(i Intent) bool { return i.Kind == IntentTag && i.Tag == "" && i.LoadBalancer == "ilb" })
			if len(d.Record.Admin) != tt.holds || gone != tt.gone || tt.epoch > 0 && d.Epoch != tt.epoch {
				t.Errorf("row %s: %d holds, tag gone %v, epoch %d; want %d, %v, %d", d.Row, len(d.Record.Admin), gone, d.Epoch, tt.holds, tt.gone, tt.epoch)
			}
		})
	}
}

func TestWhatIsTheSameThing(t *testing.T) {
	fence := Intent{Kind: IntentFence, LoadBalancer: "ilb", Pool: "pool", Unit: Second}
	start := Intent{Kind: IntentStart, Unit: Second}
	tag := Intent{Kind: IntentTag, LoadBalancer: "ilb"}
	with := func(i Intent, change func(*Intent)) Intent { change(&i); return i }
	tests := []struct {
		name string
		a, b Intent
		want bool
	}{
		{"a fence and the release of the same address", fence, with(fence, func(i *Intent) { i.Kind = IntentRelease }), true},
		{"another pool", fence, with(fence, func(i *Intent) { i.Pool = "other" }), false},
		{"another load balancer", fence, with(fence, func(i *Intent) { i.LoadBalancer = "elb" }), false},
		{"another unit", fence, with(fence, func(i *Intent) { i.Unit = First }), false},
		{"the tag of the same load balancer", tag, with(tag, func(i *Intent) { i.Tag = "text" }), true},
		{"a start and a start", start, start, true},
		{"a start and a restart", start, with(start, func(i *Intent) { i.Kind = IntentRestart }), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.a.Same(tt.b) != tt.want || tt.b.Same(tt.a) != tt.want {
				t.Errorf("same is %v, want %v", !tt.want, tt.want)
			}
		})
	}
}

func TestAnIntentSaysWhatAndWhere(t *testing.T) {
	tests := []struct {
		intent      Intent
		text, place string
	}{
		{Intent{Kind: IntentTag, LoadBalancer: "ilb"}, "tag of ilb is gone", "ilb"},
		{Intent{Kind: IntentTag, LoadBalancer: "ilb", Tag: "long"}, "tag of ilb is set", "ilb"},
		{Intent{Kind: IntentPrefer, Unit: First, Prefer: PreferNone}, "preference of first is none", "first"},
		{Intent{Kind: IntentFence, LoadBalancer: "ilb", Pool: "pool", Unit: Second, Want: AdminDown}, "fence second is Down in ilb/pool", "ilb"},
		{Intent{Kind: IntentRestart, Unit: Second}, "restart second", "second"},
	}
	for _, tt := range tests {
		if got := tt.intent.String(); got != tt.text || tt.intent.Place() != tt.place {
			t.Errorf("%s at %s, want %s at %s", got, tt.intent.Place(), tt.text, tt.place)
		}
	}
}

func TestAHoldIsAFenceByItsLever(t *testing.T) {
	for _, l := range Levers {
		if got, want := (AdminHold{Lever: l}).Fence(), l == LeverNone || l == LeverFence; got != want {
			t.Errorf("lever %v is a fence: %v", l, got)
		}
	}
}

// TestAStopIsLearntInAnyOrder: that the machine is unavailable may be told
// before, after or at the same time as the stop that it follows from.
func TestAStopIsLearntInAnyOrder(t *testing.T) {
	vm := proven().Definition.VMID(Second)
	stop := func(at time.Duration) Evidence {
		return Evidence{Kind: EvidenceStopped, VM: vm, At: noon.Add(at), ByPerson: true}
	}
	gone := func(at time.Duration) Evidence {
		return Evidence{Kind: EvidenceUnavailable, VM: vm, At: noon.Add(at)}
	}
	tests := []struct {
		name string
		came []Evidence
		want EvidenceKind
	}{
		{"the stop first", []Evidence{stop(0), gone(time.Second)}, EvidenceStopped},
		{"the stop last, of the same moment", []Evidence{gone(0), stop(0)}, EvidenceStopped},
		{"the stop last, of an earlier moment", []Evidence{gone(time.Minute), stop(0)}, EvidenceStopped},
		{"a stop of long before explains nothing", []Evidence{gone(time.Hour), stop(0)}, EvidenceUnavailable},
		{"a start in between ends it", []Evidence{stop(0), {Kind: EvidenceStarted, VM: vm, At: noon.Add(time.Minute)}, gone(2 * time.Minute)}, EvidenceUnavailable},
		{"a stop from before a start is old", []Evidence{{Kind: EvidenceStarted, VM: vm, At: noon}, stop(-time.Minute)}, EvidenceStarted},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := proven()
			for _, e := range tt.came {
				in.Observation = observed(at(CheckServing, Active), at(CheckSilent, StateUnknown))
				in.Evidence = []Evidence{e}
				in.Record = Decide(&in).Record
			}
			if got := in.Record.Units[1].Platform.Kind; got != tt.want {
				t.Errorf("remembers %v, want %v", got, tt.want)
			}
		})
	}
}

// TestAPersonsStartIsNoStop: only a stop by a person keeps a VM off.
func TestAPersonsStartIsNoStop(t *testing.T) {
	in := proven()
	in.Definition.Failover.Start = Allowed
	in.Record.Units[1].Platform = Evidence{Kind: EvidenceStarted, ByPerson: true, At: noon.Add(-time.Hour)}
	in.Record.Units[1].Power = PowerSeen{Power: PowerStopped, At: noon}
	in.Observation = observed(at(CheckServing, Active), at(CheckSilent, StateUnknown))
	if consent, ok := startable(&in.Observation, &in.Record, Second, Allowed); !ok || consent != Ask {
		t.Errorf("startable %v, %v; want that a person is asked", consent, ok)
	}
}

// TestDownForCertainWantsEveryLoadBalancer: one that sees the unit up is enough
// to doubt.
func TestDownForCertainWantsEveryLoadBalancer(t *testing.T) {
	unit := proven().Definition.Units.Second
	down, up := HealthSeen{Address: unit.Address}, HealthSeen{Address: unit.Address, Up: true, Reason: "Up_Probe_Success"}
	for _, tt := range []struct {
		health []HealthSeen
		want   bool
	}{{nil, false}, {[]HealthSeen{down}, true}, {[]HealthSeen{down, up}, false}, {[]HealthSeen{up, down}, false}} {
		o := Observation{Balancers: []BalancerSeen{{Health: tt.health}}}
		if got := probedDown(&o, unit); got != tt.want {
			t.Errorf("probedDown(%v) = %v, want %v", tt.health, got, tt.want)
		}
	}
}
