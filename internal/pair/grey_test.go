package pair

import (
	"testing"
	"time"
)

// measuring adds to an observation what the load balancer's availability metric
// shows of both units, negative for nothing, and of minutes in which they answered
// as they do now.
func measuring(o Observation, first, second int) Observation {
	o = copied(o)
	if len(o.Balancers) == 0 {
		o.Balancers = withBalancer(o, AdminNone).Balancers
	}
	def := definition()
	for n, percent := range []int{first, second} {
		if percent >= 0 {
			o.Balancers[0].Availability = append(o.Balancers[0].Availability, AvailabilitySeen{
				Address: def.Units.Of(Roles[n]).Address, Percent: percent, Answer: o.Units[n].Check.Answer,
				Since: noon.Add(-6 * time.Minute), At: noon,
			})
		}
	}
	return o
}

// grown is an observation whose reading of the metric is as old as that.
func grown(o Observation, age time.Duration) Observation {
	o = copied(o)
	for n := range o.Balancers[0].Availability {
		o.Balancers[0].Availability[n].At = noon.Add(-age)
	}
	return o
}

// TestTheMetricNamesWhatRuleHealthDoesNotTell: it tells that the load balancer does
// not see a unit that we see, or sees one that we do not, and is forgotten when it or
// the unit says otherwise.
func TestTheMetricNamesWhatRuleHealthDoesNotTell(t *testing.T) {
	var (
		measured = ProbedSeen{Unreached: true, Reason: ReasonMeasured}
		timeout  = ProbedSeen{Unreached: true, Reason: probeTimeout}
		up       = ProbedSeen{Up: true, Reason: ReasonMeasured}
		none     = ProbedSeen{}
		healthy  = healthyPair()
		dark     = observed(silentUnit(), silentUnit())
		moved    = observed(at(CheckIdle, Standby), at(CheckServing, Active))
	)
	elsewhere := measuring(healthy, 0, 0)
	elsewhere.Balancers[0].Availability[0].Answer = CheckIdle
	tests := []struct {
		name string
		seen Observation
		was  ProbedSeen // of the first unit
		want ProbedSeen
		sees Situation
	}{
		{"few probes reach the unit that serves: it is not polled", measuring(healthy, 0, 0), none, measured, Unpolled},
		{"less than half of them is few", measuring(healthy, 49, 0), none, measured, Unpolled},
		{"half of them is not", measuring(healthy, 50, 0), none, none, Healthy},
		{"a standby that none reaches is as it must be", measuring(healthy, 100, 0), none, none, Healthy},
		{"a backend that is not measured says nothing", measuring(healthy, -1, -1), none, none, Healthy},
		{"minutes in which the unit answered otherwise say nothing", elsewhere, none, none, Healthy},
		{"an old reading says nothing", grown(measuring(healthy, 0, 0), measuredFor), none, none, Healthy},
		{"a reading of a clock that is ahead says nothing", grown(measuring(healthy, 0, 0), -2*bootSkew), none, none, Healthy},

		{"rule health that sees the unit serve is younger", measuring(withProbes(healthy, probeSuccess, probeDown), 0, 0), none, none, Healthy},
		{"rule health that contradicts the unit is borne out", measuring(withProbes(healthy, probeDown, probeDown), 0, 0), none, measured, Unpolled},
		{"and not where the metric is with the unit", measuring(withProbes(healthy, probeDown, probeDown), 100, 0), none, none, Healthy},
		{"rule health says more where it knows why", measuring(withProbes(healthy, probeTimeout, probeDown), 0, 0), none, timeout, Unpolled},
		{"an admin state explains the metric", measuring(withProbes(healthy, "Down_Admin", probeDown), 0, 0), none, ProbedSeen{Foreign: AdminDown}, Healthy},
		{"also where it was shown earlier", measuring(healthy, 0, 0), ProbedSeen{Foreign: AdminDown}, ProbedSeen{Foreign: AdminDown}, Healthy},

		{"what it named stands while nothing is read", healthy, measured, measured, Unpolled},
		{"and is over when it shows the unit serving", measuring(healthy, 90, 0), measured, none, Healthy},
		{"or when rule health does", withProbes(healthy, probeSuccess, probeDown), measured, none, Healthy},
		{"or when the unit serves no more", moved, measured, none, Healthy},
		{"a unit that is silent for a moment ends nothing", observed(silentUnit(), at(CheckServing, Active)), measured, measured, Degraded},
		{"what rule health said is not ended by the metric, which is older", measuring(healthy, 90, 0), timeout, timeout, Unpolled},

		{"neither answers us and the probes reach one: we are blind", measuring(dark, 90, 0), none, up, Blind},
		{"they reach none: none serves", measuring(dark, 0, 0), none, none, NoneActive},
		{"that is over when the probes reach none", measuring(dark, 0, 0), up, none, NoneActive},
		{"or when a unit answers us", healthy, up, none, Healthy},
		{"while one answers us it is not noted that they reach the other", measuring(observed(silentUnit(), at(CheckServing, Active)), 90, -1), none, none, Degraded},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := lasting(tt.sees, tt.seen)
			in.Record.Units[0].Probed = tt.was
			d := Decide(&in)
			if got := d.Record.Units[0].Probed; got != tt.want || d.Seen != tt.sees {
				t.Errorf("remembered %+v and saw %v, want %+v and %v", got, d.Seen, tt.want, tt.sees)
			}
			again := lasting(tt.sees, tt.seen)
			again.Record.Units = d.Record.Units
			if d := Decide(&again); d.Record.Units[0].Probed != tt.want {
				t.Errorf("seen once more it is %+v, want %+v still", d.Record.Units[0].Probed, tt.want)
			}
		})
	}
}

// TestTheMetricOnlyMakesMoreCareful: it is minutes old, so it is no proof that
// anything may be set, and a reason against leaving a unit to serve alone.
func TestTheMetricOnlyMakesMoreCareful(t *testing.T) {
	both := observed(at(CheckServing, StateUnknown), at(CheckServing, StateUnknown))
	said := observed(at(CheckServing, Active), at(CheckServing, Active))
	tests := []struct {
		name string
		seen Observation
		row  string
	}{
		{"two units that the metric shows serving are not proved to serve", measuring(withBalancer(both, AdminNone), 100, 100), "both-active-unproved"},
		{"a survivor that the metric does not show serving is not left alone", measuring(withBalancer(said, AdminNone), 0, 100), "both-active-unreachable"},
		{"of the loser it may show what it likes", measuring(withBalancer(said, AdminNone), 100, 0), "fence"},
		{"without it everything is as ever", withBalancer(said, AdminNone), "fence"},
		{"rule health that sees the survivor is younger", measuring(withProbes(said, probeSuccess, probeSuccess), 0, 0), "fence"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := lasting(LinkCut, tt.seen)
			if d := Decide(&in); d.Row != tt.row {
				t.Errorf("row %s (%+v), want %s", d.Row, d.Facts, tt.row)
			}
		})
	}
	t.Run("a fence whose survivor the load balancer has not seen for minutes is taken back", func(t *testing.T) {
		in := lasting(LinkCut, measuring(withBalancer(said, AdminDown), 0, -1))
		in.Record.Admin = []AdminHold{{
			LoadBalancer: "ilb", Pool: "pool", Unit: Second, State: AdminDown, Owner: OwnerTandem, Lever: LeverFence, Landed: true,
			Since: noon.Add(-time.Minute), Deadline: noon.Add(FenceFor),
		}}
		if d := Decide(&in); d.Row != "release-unreached" {
			t.Errorf("row %s (%+v)", d.Row, d.Facts)
		}
	})
	t.Run("a unit that nobody sees is neither restarted nor set Up for it", func(t *testing.T) {
		for _, o := range []Observation{
			measuring(withBalancer(observed(at(CheckServing, Active), silentUnit()), AdminNone), 100, 0),
			measuring(withBalancer(observed(at(CheckIdle, Standby), silentUnit()), AdminNone), 0, 0),
		} {
			in := lasting(Degraded, o)
			in.Definition.HA.StandbyForwards = ForwardsYes
			in.Observation.Units[0] = served(in.Observation.Units[0], ServicePassed)
			d := Decide(&in)
			for _, i := range d.Intents {
				t.Errorf("%s: %s", d.Row, i.Kind)
			}
		}
	})
}

func TestTheReasonNamesTheMetric(t *testing.T) {
	in := lasting(Unpolled, measuring(healthyPair(), 0, 0))
	d := Decide(&in)
	want := "unconnected, first 200 (active) (the load balancer: its availability metric shows few probes answered), second 503 (standby)"
	if got := Saw(&in, &d); got != want || d.Row != "unconnected" || PersonCanDo(&d) == "" {
		t.Errorf("row %s: %q, want %q", d.Row, got, want)
	}
}
