package document

import (
	"testing"

	"tandem/internal/pair"
)

func TestAnAddressIsOneThatAUnitCanHave(t *testing.T) {
	for text, valid := range map[string]bool{
		"10.0.0.4": true, "fd00::4": true,
		"": false, "10.0.0.0/28": false, "fe80::4%eth0": false, "::ffff:10.0.0.4": false, "0.0.0.0": false, "224.0.0.1": false,
	} {
		var c IPConfiguration
		c.Properties.Address = text
		if c.Addr().IsValid() != valid {
			t.Errorf("%q is an address: %v, want %v", text, !valid, valid)
		}
	}
}

func TestUpToIsThePartOfAnIDBeforeAKindOfChild(t *testing.T) {
	for _, tt := range []struct{ id, child, want string }{
		{"/g/loadBalancers/ilb/backendAddressPools/p", "backendaddresspools", "/g/loadBalancers/ilb"},
		{"/g/loadBalancers/ilb", "backendAddressPools", "/g/loadBalancers/ilb"},
		{"/g/x/backendAddressPoolsOfMine/p", "backendAddressPools", "/g/x/backendAddressPoolsOfMine/p"},
	} {
		if got := UpTo(tt.id, tt.child); got != tt.want {
			t.Errorf("%s up to %s is %s, want %s", tt.id, tt.child, got, tt.want)
		}
	}
}

func TestWhatARuleRefersToIsFoundWithoutRegardToCase(t *testing.T) {
	d := LoadBalancer{ID: "/g/loadBalancers/ILB"}
	d.Properties.Probes = []Part[Probe]{{Name: "other"}, {Name: "Check"}}
	d.Properties.Frontends = []Part[Frontend]{{Name: "vip"}}
	if p := d.ProbeOf(Reference{"/g/loadbalancers/ilb/probes/check"}); p != &d.Properties.Probes[1] {
		t.Errorf("got probe %v", p)
	}
	if f := d.FrontendOf(Reference{}); f != nil {
		t.Errorf("no reference leads to frontend %v", f)
	}
	pool := Reference{"/p/A"}
	rule := Rule{Pool: pool, Pools: []Reference{{"/P/a"}, {}, {"/p/b"}}}
	if got := IDs(rule.AllPools()); len(got) != 2 || got[0] != pair.ResourceID("/p/a") || got[1] != "/p/b" {
		t.Errorf("got pools %v, want each once", got)
	}
}
