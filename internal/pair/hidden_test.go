package pair

import "testing"

// TestAHiddenUnitMayServe: what tells us nothing on its check port may serve all
// the same. Neither first is preferred then, which would take the active state
// away, nor another unit set Up, before the load balancer says that it does not.
func TestAHiddenUnitMayServe(t *testing.T) {
	hides := func(second UnitSeen, probe string) func(Observation) Observation {
		return func(o Observation) Observation {
			o.Units[1] = second
			if probe != "" {
				o.Balancers = withProbes(o, probeDown, probe).Balancers
			}
			return o
		}
	}
	talking := at(CheckSilent, StateUnknown)
	talking.API = APISeen{Answer: APIAnswered, At: noon, Report: Report{State: Active}}
	tests := []struct {
		name   string
		seen   func(Observation) Observation
		change func(*Input)
		prefer string // the row, where first should be preferred
		up     string // and where it could be set Up
	}{
		{"the probe sees it serve", hides(silentUnit(), probeSuccess), nil, "preference-held", "up-held"},
		{"also where its API answers us", hides(talking, probeSuccess), nil, "preference-held", "up-held"},
		{"also where it refuses connections", hides(at(CheckRefused, StateUnknown), probeSuccess), nil, "preference-held", "up-held"},
		{"nobody asked the load balancer", hides(silentUnit(), ""), nil, "balancer-unread", "balancer-unread"},
		{"the load balancer was asked and says nothing of it", func(o Observation) Observation {
			o = hides(silentUnit(), probeSuccess)(o)
			o.Balancers[0].Health = nil
			return o
		}, nil, "balancer-unread", "balancer-unread"},
		{"the platform itself holds it up", hides(silentUnit(), "Up_Platform"), nil, "balancer-unread", "balancer-unread"},
		{"the probe does not see it either", hides(silentUnit(), probeTimeout), nil, "preference", "up"},
		{"it is switched off", hides(powered(silentUnit(), PowerStopped), ""), func(in *Input) {
			known(in, EvidenceStopped).ByPerson = true
		}, "preference", "balancer-unread"},
		{"it says itself that it stands by", hides(at(CheckIdle, Standby), ""), nil, "preference", "balancer-unread"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			first := at(CheckIdle, Standby)
			first.API.Report.Preferred = PreferNone
			for _, lever := range []Lever{LeverPrefer, LeverUp} {
				in := lasting(NoneActive, tt.seen(observed(first, UnitSeen{})))
				want := tt.prefer
				if lever == LeverUp {
					want = tt.up
					in.Definition.HA.StandbyForwards = ForwardsYes
					in.Observation.Units[0] = served(at(CheckIdle, Standby), ServicePassed)
				}
				if tt.change != nil {
					tt.change(&in)
				}
				if d := Decide(&in); d.Row != want || d.Seen != NoneActive {
					t.Errorf("%s: %s, row %s (%+v), want %s", lever, d.Seen, d.Row, d.Facts, want)
				}
			}
		})
	}
}
