package lab

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tandem/internal/lab/network"
)

// measured plays a story without the program and returns the world's failures
// and what the client measured.
func measured(t *testing.T, sc Scenario, also func(w *World)) (failures []string, o Outage) {
	t.Helper()
	sc.Name = "test"
	synctest.Test(t, func(t *testing.T) {
		w, err := New(sc, Options{Seed: 1})
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			w.Close()
			time.Sleep(time.Minute)
			synctest.Wait()
		}()
		done := make(chan error)
		go func() { done <- w.Run(context.Background()) }()
		if also != nil {
			also(w)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		failures, o = w.Failures(), w.Outage()
	})
	return failures, o
}

// reach dials and tells what came of it.
func reach(h *network.Host, at string) string {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	conn, err := h.DialContext(ctx, "tcp", at)
	switch {
	case err == nil:
		_ = conn.Close()
		return "open"
	case ctx.Err() != nil:
		return "silent"
	}
	return "refused"
}

func TestTheSeededWorldIsAsThePairFileSays(t *testing.T) {
	failures, o := measured(t, Scenario{For: 2 * time.Minute}, func(w *World) {
		time.Sleep(30 * time.Second)
		stranger := w.net.Host("stranger", netip.MustParseAddr("192.0.2.77"))
		for _, tt := range []struct {
			from *network.Host
			at   string
			want string
		}{
			{w.Worker(), "10.0.0.4:8444", "open"},     // Tandem's check
			{w.Worker(), "10.0.0.5:8443", "open"},     // Tandem's own calls
			{w.outside, "10.0.0.4:8443", "open"},      // managementFrom
			{stranger, "10.0.0.4:443", "open"},        // from: [ 0.0.0.0/0 ]
			{stranger, "10.0.0.4:8444", "silent"},     // nobody else's business
			{stranger, "10.0.0.4:8443", "silent"},     //
			{stranger, "192.0.2.78:8443", "silent"},   // nobody is there
			{stranger, "203.0.113.10:443", "open"},    // not behind a security group
			{w.outside, "10.0.0.4:6973", "open"},      // let in by the default rules of the network
			{stranger, "10.0.0.4:6973", "silent"},     //
			{w.outside, "10.0.0.100:9999", "refused"}, // no rule of the load balancer
		} {
			if got := reach(tt.from, tt.at); got != tt.want {
				t.Errorf("%s to %s: %s, want %s", tt.from.Name(), tt.at, got, tt.want)
			}
		}
		if !w.Passes("first", "second", syncPort) || !w.syncs() {
			t.Error("the sync port is closed between the units")
		}
	})
	if len(failures) > 0 || o.Total > 0 || o.Requests == 0 {
		t.Errorf("failures %q, outage %+v", failures, o)
	}
}

func TestManagementReachesADownUnit(t *testing.T) {
	served := func(w *World, port int) string {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		conn, err := w.outside.DialContext(ctx, "tcp", fmt.Sprintf("10.0.0.100:%d", port))
		if err != nil {
			return "nobody"
		}
		defer func() { _ = conn.Close() }()
		_ = conn.SetDeadline(time.Now().Add(2 * time.Second))
		_, _ = fmt.Fprint(conn, "GET / HTTP/1.1\r\n\r\n") // to a TLS port, which says so
		b := make([]byte, 64)
		n, err := conn.Read(b)
		if err != nil && n == 0 {
			return "nobody"
		}
		return string(b[:n])
	}
	measured(t, Scenario{For: 2 * time.Minute, Steps: []Step{{At: 30 * time.Second, Do: "set-admin", Unit: "second", State: "Down"}}}, func(w *World) {
		time.Sleep(time.Minute)
		if got := w.Down(); len(got) != 1 {
			t.Fatalf("down: %v", got)
		}
		for _, port := range []int{8441, 8442} {
			if got := served(w, port); !strings.Contains(got, "400 Bad Request") {
				t.Errorf("management on port %d gives %q", port, got)
			}
		}
	})
}

// The vendor's present guide has pools of addresses, behind a public and an
// internal load balancer as often as not.
func TestAWorldOfAddressesAndTwoLoadBalancers(t *testing.T) {
	lb := func(name string, frontend map[string]any) map[string]any {
		frontend["name"] = "vip"
		return map[string]any{
			"name": name, "pools": []any{"loadmasters"}, "members": "address", "frontends": []any{frontend},
			"probe": map[string]any{"path": "/", "interval": "5s", "threshold": 2},
			"rules": []any{map[string]any{"name": "https", "frontend": "vip", "port": 443, "from": []any{"0.0.0.0/0"}}},
		}
	}
	both := map[string]any{"loadBalancers": []any{
		lb("lb-edge", map[string]any{"publicIP": "pip-edge"}), lb("ilb-edge", map[string]any{"address": "10.0.0.100"}),
	}}
	failures, o := measured(t, Scenario{For: 3 * time.Minute, Pair: both, Steps: []Step{
		{At: time.Minute, Expect: &Now{Serving: "lm1"}},
		{At: time.Minute, Do: "set-admin", Unit: "first", State: "Down"},
		{At: 90 * time.Second, Expect: &Now{Serving: "nobody"}},
		{At: 90 * time.Second, Do: "set-admin", Unit: "first", State: "None"},
		{At: 2 * time.Minute, Expect: &Now{Serving: "lm1"}},
	}}, func(w *World) {
		time.Sleep(45 * time.Second)
		if got := reach(w.Worker(), "10.0.0.100:443"); got != "open" {
			t.Errorf("the internal frontend is %s", got)
		}
	})
	if len(failures) > 0 || o.Total < 20*time.Second || o.Total > 40*time.Second {
		t.Errorf("failures %q, outage %+v", failures, o)
	}
}

// testLB and the like are names in the ids of what a fresh world gets.
const (
	testNetwork = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg-edge/providers/Microsoft.Network/"
	testLB      = testNetwork + "loadBalancers/ilb-edge"
)

func ref(id string) map[string]any { return map[string]any{"id": id} }

// builtByHand are the writes that make everything in front of a fresh pair.
func builtByHand() []Step {
	allow := func(priority int, from string, port string) map[string]any {
		return map[string]any{"properties": map[string]any{
			"direction": "Inbound", "access": "Allow", "priority": priority, "protocol": "Tcp", "sourceAddressPrefix": from,
			"sourcePortRange": "*", "destinationAddressPrefix": "*", "destinationPortRange": port,
		}}
	}
	rule := func(port int) map[string]any {
		return map[string]any{"properties": map[string]any{
			"protocol": "Tcp", "frontendPort": port, "backendPort": port, "frontendIPConfiguration": ref(testLB + "/frontendIPConfigurations/vip1"),
			"backendAddressPool": ref(testLB + "/backendAddressPools/loadmasters"), "probe": ref(testLB + "/probes/check"),
		}}
	}
	join := func(nic string) Step {
		return Step{At: 50 * time.Second, Do: "edit", State: "networkInterfaces/" + nic, Set: map[string]any{
			"properties.networkSecurityGroup.id":                                                testNetwork + "networkSecurityGroups/nsg-edge",
			"properties.ipConfigurations[ipconfig1].properties.loadBalancerBackendAddressPools": []any{ref(testLB + "/backendAddressPools/loadmasters")},
		}}
	}
	return []Step{
		{At: 30 * time.Second, Expect: &Now{Serving: "nobody"}},
		{At: 30 * time.Second, Do: "edit", State: "networkSecurityGroups/nsg-edge", Set: map[string]any{
			"location":                        "westeurope",
			"properties.securityRules[probe]": allow(100, "AzureLoadBalancer", "8444"),
			"properties.securityRules[https]": allow(110, "10.0.0.200", "443"),
		}},
		{At: 40 * time.Second, Do: "edit", State: "loadBalancers/ilb-edge", Set: map[string]any{
			"location": "westeurope", "sku.name": "Standard",
			"properties.frontendIPConfigurations[vip1]": map[string]any{"properties": map[string]any{
				"privateIPAddress": "10.0.0.100", "privateIPAllocationMethod": "Static", "subnet": ref(testNetwork + "virtualNetworks/vnet-edge/subnets/units"),
			}},
			"properties.backendAddressPools[loadmasters]": map[string]any{},
			"properties.probes[check]": map[string]any{"properties": map[string]any{
				"protocol": "Http", "port": 8444, "requestPath": "/", "intervalInSeconds": 5, "probeThreshold": 2,
			}},
			"properties.loadBalancingRules[check]": rule(8444), "properties.loadBalancingRules[https]": rule(443),
		}},
		join("lm1-nic"), join("lm2-nic"),
	}
}

func TestAFreshWorldIsBuiltByWritesAlone(t *testing.T) {
	const lb, nsg = "loadBalancers/ilb-edge", "networkSecurityGroups/nsg-edge"
	deny := map[string]any{"properties": map[string]any{
		"direction": "Inbound", "access": "Deny", "priority": 101, "protocol": "*", "sourceAddressPrefix": "*",
		"sourcePortRange": "*", "destinationAddressPrefix": "*", "destinationPortRange": "443",
	}}
	denyProbe := map[string]any{"properties": map[string]any{
		"direction": "Inbound", "access": "Deny", "priority": 4096, "protocol": "*", "sourceAddressPrefix": "*",
		"sourcePortRange": "*", "destinationAddressPrefix": "*", "destinationPortRange": "*",
	}}
	tests := []struct {
		name  string
		step  Step
		serve string
	}{
		{"as it should be", Step{}, "lm1"},
		{"a probe on another port finds nobody", Step{State: lb, Set: map[string]any{"properties.probes[check].properties.port": 8445}}, "nobody"},
		{"a rule to another port leads nowhere", Step{State: lb, Set: map[string]any{"properties.loadBalancingRules[https].properties.backendPort": 444}}, "nobody"},
		{"a rule with floating IP leads to an address that no unit has", Step{State: lb, Set: map[string]any{"properties.loadBalancingRules[https].properties.enableFloatingIP": true}}, "nobody"},
		{"a rule without a probe sends to both units", Step{State: lb, Set: map[string]any{"properties.loadBalancingRules[https].properties.probe": nil}}, "partly"},
		{"a rule that is gone leads nowhere", Step{State: lb, Set: map[string]any{"properties.loadBalancingRules[https]": nil}}, "nobody"},
		{"an interface that leaves the pool serves no more", Step{State: "networkInterfaces/lm1-nic", Set: map[string]any{"properties.ipConfigurations[ipconfig1].properties.loadBalancerBackendAddressPools": nil}}, "nobody"},
		{"a group that keeps clients out", Step{State: nsg, Set: map[string]any{"properties.securityRules[deny]": deny}}, "nobody"},
		{"a group that keeps the probe out", Step{State: nsg, Set: map[string]any{
			"properties.securityRules[probe]": nil, "properties.securityRules[deny]": denyProbe,
		}}, "nobody"},
		{"a group of the subnet counts as well", Step{State: "virtualNetworks/vnet-edge", Set: map[string]any{
			"properties.subnets[units].properties.networkSecurityGroup.id": testNetwork + "networkSecurityGroups/nsg-subnet",
		}}, "nobody"},
		{"without the rule for clients the default rules let the network in", Step{State: nsg, Set: map[string]any{"properties.securityRules[https]": nil}}, "lm1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			steps := append(builtByHand(),
				Step{At: 55 * time.Second, Do: "edit", State: "networkSecurityGroups/nsg-subnet", Set: map[string]any{
					"location": "westeurope", "properties.securityRules[deny]": deny,
				}},
				Step{At: 90 * time.Second, Expect: &Now{Serving: "lm1", Sync: "open"}})
			if tt.step.State != "" {
				tt.step.At, tt.step.Do = 90*time.Second, "edit"
				steps = append(steps, tt.step)
			}
			if tt.serve != "partly" {
				steps = append(steps, Step{At: 3 * time.Minute, Expect: &Now{Serving: tt.serve}})
			}
			failures, o := measured(t, Scenario{Fresh: true, For: 3*time.Minute + time.Second, Steps: steps}, nil)
			if len(failures) > 0 {
				t.Errorf("failures: %q", failures)
			}
			if built := 40 * time.Second; tt.serve == "lm1" && o.Total > built || tt.serve != "lm1" && o.Total < built {
				t.Errorf("outage %+v", o)
			}
		})
	}
}

func TestARuleByHandBlocksTheSync(t *testing.T) {
	rule := func(direction, source, destination string) map[string]any {
		return map[string]any{"properties": map[string]any{
			"direction": direction, "access": "Deny", "priority": 100, "protocol": "Tcp", "sourceAddressPrefix": source,
			"sourcePortRange": "*", "destinationAddressPrefix": destination, "destinationPortRange": "6973",
		}}
	}
	for name, by := range map[string]map[string]any{
		"in": rule("Inbound", "*", "*"), "out": rule("Outbound", "10.0.0.4", "10.0.0.5"), "from the network": rule("Inbound", "VirtualNetwork", "*"),
	} {
		t.Run(name, func(t *testing.T) {
			failures, o := measured(t, Scenario{For: 3 * time.Minute, Steps: []Step{
				{At: time.Minute, Expect: &Now{Sync: "open"}},
				{At: time.Minute, Do: "edit", State: "networkSecurityGroups/nsg-edge", By: "pipeline", Set: map[string]any{"properties.securityRules[mine]": by}},
				{At: 90 * time.Second, Expect: &Now{Sync: "blocked", Serving: "lm1"}},
				{At: 90 * time.Second, Do: "edit", State: "networkSecurityGroups/nsg-edge", Set: map[string]any{"properties.securityRules[mine]": nil}},
				{At: 2 * time.Minute, Expect: &Now{Sync: "open", Serving: "lm1"}},
			}}, nil)
			if len(failures) > 0 || o.Total > 0 {
				t.Errorf("failures %q, outage %+v", failures, o)
			}
		})
	}
}

// A public frontend is closed until a group lets the internet in (azure.md 1.2).
func TestAPublicFrontend(t *testing.T) {
	public := map[string]any{"loadBalancers": []any{map[string]any{
		"name": "lb-edge", "pools": []any{"loadmasters"}, "frontends": []any{map[string]any{"name": "vip1", "publicIP": "pip-edge"}},
		"probe": map[string]any{"path": "/", "interval": "5s", "threshold": 2},
		"rules": []any{map[string]any{"name": "https", "frontend": "vip1", "port": 8080, "backendPort": 443, "from": []any{"0.0.0.0/0"}}},
	}}}
	failures, o := measured(t, Scenario{For: 4 * time.Minute, Pair: public, Steps: []Step{
		{At: 30 * time.Second, Expect: &Now{Serving: "lm1"}},
		{At: 30 * time.Second, Do: "edit", State: "networkInterfaces/lm1-nic", Set: map[string]any{"properties.networkSecurityGroup": nil}},
		{At: 90 * time.Second, Expect: &Now{Serving: "nobody"}},
		{At: 90 * time.Second, Do: "edit", State: "networkInterfaces/lm1-nic", Set: map[string]any{
			"properties.networkSecurityGroup.id": testNetwork + "networkSecurityGroups/nsg-edge",
		}},
		{At: 3 * time.Minute, Expect: &Now{Serving: "lm1"}},
	}}, nil)
	if len(failures) > 0 || o.Total < 50*time.Second || o.Total > 70*time.Second {
		t.Errorf("failures %q, outage %+v", failures, o)
	}
}

func TestADeletedLoadBalancerServesNobody(t *testing.T) {
	failures, o := measured(t, Scenario{For: 2 * time.Minute, Steps: []Step{
		{At: time.Minute, Do: "delete", State: "loadBalancers/ilb-edge", By: "pipeline", Expect: &Now{Serving: "lm1"}},
		{At: 90 * time.Second, Expect: &Now{Serving: "nobody"}},
	}}, func(w *World) {
		time.Sleep(90 * time.Second)
		if refs := part(parts(w.document(w.plan.nicID("first")), "ipConfigurations")[0], "properties")["loadBalancerBackendAddressPools"]; refs != nil {
			t.Errorf("the interface is still in %v", refs)
		}
	})
	if len(failures) > 0 || o.Total < 50*time.Second {
		t.Errorf("failures %q, outage %+v", failures, o)
	}
}

func TestEditsThatNobodyCanMakeFailTheStory(t *testing.T) {
	tests := []struct {
		name string
		step Step
		want string
	}{
		{"no resource is named", Step{State: "ilb-edge"}, "expected a kind and a name"},
		{"somebody else does it", Step{State: "loadBalancers/ilb-edge", By: "platform"}, "expected one of person, pipeline"},
		{"a path through what is no object", Step{State: "loadBalancers/ilb-edge", Set: map[string]any{"location.x.y": 1}}, "location is no object"},
		{"what the service refuses", Step{State: "loadBalancers/ilb-edge", Set: map[string]any{"properties.probes[check].properties.port": 0}}, "InvalidRequestFormat"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.step.At, tt.step.Do = time.Second, "edit"
			failures, _ := measured(t, Scenario{For: 30 * time.Second, Steps: []Step{tt.step}}, nil)
			if len(failures) != 1 || !strings.Contains(failures[0], tt.want) {
				t.Errorf("failures %q, want one with %q", failures, tt.want)
			}
		})
	}
}
