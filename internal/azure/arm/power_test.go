package arm

import (
	"testing"
	"time"

	"tandem/internal/pair"
)

func TestPower(t *testing.T) {
	state := func(code string) string { return `{"statuses":[{"code":"` + code + `"}]}` }
	tests := []struct {
		name string
		body string
		want pair.Power
	}{
		{"a running VM", file(t, "vm-instance-view.running.json"), pair.PowerRunning},
		{"a deallocated VM", file(t, "vm-instance-view.deallocated.json"), pair.PowerDeallocated},
		{"a VM that is being created is on its way up", state("PowerState/creating"), pair.PowerStarting},
		{"a starting VM", state("PowerState/starting"), pair.PowerStarting},
		{"a stopping VM", state("PowerState/stopping"), pair.PowerStopping},
		{"a stopped VM", state("PowerState/stopped"), pair.PowerStopped},
		{"a VM that is being deallocated", state("PowerState/deallocating"), pair.PowerDeallocating},
		{"letter case does not count", state("powerstate/Running"), pair.PowerRunning},
		{"the platform may not know", state("PowerState/unknown"), pair.PowerUnknown},
		{"a new word is unknown", state("PowerState/levitating"), pair.PowerUnknown},
		{"provisioning is no power", state("ProvisioningState/succeeded"), pair.PowerUnknown},
		{"the state may be missing", `{"statuses":[null,{}]}`, pair.PowerUnknown},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newPlatform(t)
			p.on("GET", vmPath+"/instanceView", reply{body: tt.body})
			got, err := p.client(Options{Now: func() time.Time { return epoch }}).Power(t.Context(), definition().VMID(pair.First))
			if err != nil || got.Power != tt.want || !got.At.Equal(epoch) {
				t.Errorf("got %+v, %v; want %v", got, err, tt.want)
			}
		})
	}
}

func TestPowerTellsWhenTheLastOperationEnded(t *testing.T) {
	p := newPlatform(t)
	p.on("GET", vmPath+"/instanceView", reply{body: file(t, "vm-instance-view.deallocated.json")})
	got, err := p.client(Options{}).Power(t.Context(), definition().VMID(pair.First))
	if want := time.Date(2025, 10, 20, 10, 0, 0, 0, time.UTC); err != nil || !got.Since.Equal(want) {
		t.Errorf("got %v, %v; want %v", got.Since, err, want)
	}
}

func TestPowerFailures(t *testing.T) {
	p := newPlatform(t)
	p.on("GET", vmPath+"/instanceView", reply{status: 404, body: problemBody("ResourceNotFound")})
	_, err := p.client(Options{}).Power(t.Context(), definition().VMID(pair.First))
	checkKind(t, err, pair.ErrNotFound)
	if want := "read the power state of VM lm1: not found: status 404 ResourceNotFound: sample text (correlation " + correlated + ")"; err.Error() != want {
		t.Errorf("says %q, want %q", err, want)
	}
	_, err = p.client(Options{}).Power(t.Context(), definition().LoadBalancerID("lb-lm"))
	checkKind(t, err, pair.ErrInvalid)
}
