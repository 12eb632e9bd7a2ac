package lab

import (
	"fmt"
	"net/netip"
	"testing"
	"time"
)

func TestAUnitAnswersAtItsNewAddress(t *testing.T) {
	inWorld(t, Scenario{}, func(t *testing.T, w *World) {
		w.Do(Step{Do: "deallocate", Unit: "second"})
		time.Sleep(30 * time.Second)
		w.Do(Step{Do: "new-address", Unit: "second", Address: "10.0.0.44"})
		time.Sleep(10 * time.Second)
		w.Do(Step{Do: "start", Unit: "second"})
		time.Sleep(2 * time.Minute)
		if got := checkPortOf(w, w.Worker(), "second"); got != "silence" {
			t.Errorf("at the old address: %s", got)
		}
		status, _, err := get(w.Worker(), fmt.Sprintf("http://10.0.0.44:%d/", w.plan.HA.CheckPort), nil)
		if status != 503 || err != nil {
			t.Errorf("at the new address: %d %v", status, err)
		}
		health := w.path.Health(w.plan.loadBalancerID(0), "https")
		if health[1].Address != netip.MustParseAddr("10.0.0.44") || health[1].Reason != "Down_Probe_HttpStatusCodeError" {
			t.Errorf("the load balancer's probe: %+v", health[1])
		}
		if got := w.units["second"].State().String() + " " + w.units["first"].State().String() + " " + w.Serving(); got != "Standby Active lm1" {
			t.Errorf("the pair: %s", got)
		}
		wantNoFailures(t, w)
	})
}
