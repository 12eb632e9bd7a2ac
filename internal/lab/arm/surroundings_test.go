package arm_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"tandem/internal/lab/arm"
	"tandem/internal/lab/dataplane"
)

const (
	nsgID = base + "Microsoft.Network/networkSecurityGroups/nsg-lm"
	pipID = base + "Microsoft.Network/publicIPAddresses/pip-lm"
)

// doc reads a document as ada.
func (z *azure) doc(ctx context.Context, id string) map[string]any {
	z.t.Helper()
	status, _, b := z.do(ctx, http.MethodGet, id, "")
	if status != http.StatusOK {
		z.t.Fatalf("GET %s: %d %s", id, status, b)
	}
	d, _ := parse(z.t, []byte(b)).(map[string]any)
	return d
}

// put writes a document as ada and returns the status and the code of the
// refusal, or of its only detail.
func (z *azure) put(ctx context.Context, id string, d any, header ...string) (int, string) {
	z.t.Helper()
	b, err := json.Marshal(d)
	if err != nil {
		z.t.Fatal(err)
	}
	status, _, answer := z.do(ctx, http.MethodPut, id, string(b), header...)
	var refusal struct {
		Error struct {
			Code    string
			Details []struct{ Code string }
		}
	}
	_ = json.Unmarshal([]byte(answer), &refusal)
	if len(refusal.Error.Details) == 1 {
		return status, refusal.Error.Details[0].Code
	}
	return status, refusal.Error.Code
}

// in goes down a document by keys and indexes.
func in(v any, path ...any) any {
	for _, p := range path {
		switch p := p.(type) {
		case string:
			o, _ := v.(map[string]any)
			v = o[p]
		case int:
			l, _ := v.([]any)
			if p >= len(l) {
				return nil
			}
			v = l[p]
		}
	}
	return v
}

// set changes a member of the object at a path.
func set(d map[string]any, value any, path ...any) map[string]any {
	o, _ := in(d, path[:len(path)-1]...).(map[string]any)
	o[path[len(path)-1].(string)] = value
	return d
}

func idRef(id string) map[string]any { return map[string]any{"id": id} }

// groupDocument is a security group with rules of their properties.
func groupDocument(rules ...map[string]any) map[string]any {
	list := []any{}
	for i, r := range rules {
		p := map[string]any{
			"direction": "Inbound", "access": "Allow", "priority": 100 + i, "protocol": "Tcp", "sourceAddressPrefix": "*",
			"sourcePortRange": "*", "destinationAddressPrefix": "*", "destinationPortRange": "8444",
		}
		maps.Copy(p, r)
		list = append(list, map[string]any{"name": fmt.Sprintf("r%d", i), "properties": p})
	}
	return map[string]any{"location": "westeurope", "properties": map[string]any{"securityRules": list}}
}

var config0 = []any{"properties", "ipConfigurations", 0, "properties"}

func at(path []any, more ...any) []any { return append(slices.Clone(path), more...) }

func TestTheSurroundingsOfAPairAreShown(t *testing.T) {
	onAzure(t, arm.Options{}, func(ctx context.Context, z *azure) {
		seed := func(err error) {
			if err != nil {
				t.Fatal(err)
			}
		}
		seed(z.manager.SeedSecurityGroup(arm.SecurityGroup{ID: nsgID, Rules: []arm.SecurityRule{
			{Name: "check", Priority: 100, From: []string{"AzureLoadBalancer"}, Port: 8444},
			{Name: "deny", Priority: 110, Deny: true, From: []string{"10.9.0.0/16", "10.8.0.0/16"}, Port: 22},
		}}))
		seed(z.manager.SeedVM(arm.VM{ID: vm1, Interfaces: []string{nic1, nic2}, Zone: "1"}))
		seed(z.manager.SeedVM(arm.VM{ID: vm2, Interfaces: []string{nic2}, AvailabilitySet: base + "Microsoft.Compute/availabilitySets/set"}))
		seed(z.manager.SeedNIC(arm.NIC{
			ID: nic1, VM: vm1, Address: addresses[0], Subnet: subnet, SecurityGroup: nsgID, Secondary: []netip.Addr{netip.MustParseAddr("10.0.2.40")},
			Pools: []string{poolID},
		}))
		vm, nic, group := z.doc(ctx, vm1), z.doc(ctx, nic1), z.doc(ctx, nsgID)
		for _, tt := range []struct {
			name      string
			got, want any
		}{
			{"zone", in(vm, "zones", 0), "1"},
			{"first interface", in(vm, "properties", "networkProfile", "networkInterfaces", 0, "properties", "primary"), true},
			{"second interface", in(vm, "properties", "networkProfile", "networkInterfaces", 1, "id"), nic2},
			{"availability set", in(z.doc(ctx, vm2), "properties", "availabilitySet", "id"), base + "Microsoft.Compute/availabilitySets/set"},
			{"machine of the interface", in(nic, "properties", "virtualMachine", "id"), vm1},
			{"subnet", in(nic, at(config0, "subnet", "id")...), subnet},
			{"pool", in(nic, at(config0, "loadBalancerBackendAddressPools", 0, "id")...), poolID},
			{"second configuration", in(nic, "properties", "ipConfigurations", 1, "properties", "privateIPAddress"), "10.0.2.40"},
			{"which is not the primary one", in(nic, "properties", "ipConfigurations", 1, "properties", "primary"), false},
			{"id of the configuration", in(nic, "properties", "ipConfigurations", 1, "id"), nic1 + "/ipConfigurations/ipconfig2"},
			{"etag of the configuration", in(nic, "properties", "ipConfigurations", 1, "etag"), in(nic, "etag")},
			{"rule", in(group, "properties", "securityRules", 0, "properties", "sourceAddressPrefix"), "AzureLoadBalancer"},
			{"rule with several sources", in(group, "properties", "securityRules", 1, "properties", "sourceAddressPrefixes", 1), "10.8.0.0/16"},
			{"default rule", in(group, "properties", "defaultSecurityRules", 2, "name"), "DenyAllInBound"},
			{"user of the group", in(group, "properties", "networkInterfaces", 0, "id"), nic1},
			{"prefix", in(z.doc(ctx, subnet), "properties", "addressPrefix"), "10.0.2.0/24"},
			{"address space", in(z.doc(ctx, vnetID), "properties", "addressSpace", "addressPrefixes", 0), "10.0.0.0/16"},
			{"user of the subnet", in(z.doc(ctx, subnet), "properties", "ipConfigurations", 0, "id"), nic1 + "/ipConfigurations/ipconfig1"},
			{"frontend in the subnet", in(z.doc(ctx, subnet), "properties", "ipConfigurations", 3, "id"), lbID + "/frontendIPConfigurations/vip1"},
		} {
			if tt.got != tt.want {
				t.Errorf("%s: got %v, want %v", tt.name, tt.got, tt.want)
			}
		}
	})
}

func TestConditionsOfWrites(t *testing.T) {
	onAzure(t, arm.Options{}, func(ctx context.Context, z *azure) {
		ids := map[string]string{"load balancer": lbID, "interface": nic1, "network": vnetID, "group": nsgID, "public address": pipID}
		for _, id := range []string{nsgID, pipID} {
			d := map[string]any{"location": "westeurope", "properties": map[string]any{}}
			if status, code := z.put(ctx, id, d, "If-Match", `W/"x"`); status != 412 || code != "PreconditionFailedEtagMismatch" {
				t.Errorf("a PUT on a version of what is not there: %d %s", status, code)
			}
			if status, _ := z.put(ctx, id, d, "If-None-Match", "*"); status != 201 {
				t.Errorf("creation gives %d", status)
			}
		}
		time.Sleep(10 * time.Second)
		for name, id := range ids {
			d := z.doc(ctx, id)
			etag, _ := d["etag"].(string)
			if status, code := z.put(ctx, id, d, "If-None-Match", "*"); status != 412 || code != "PreconditionFailedEtagMismatch" {
				t.Errorf("%s: creation of what is there: %d %s", name, status, code)
			}
			if status, code := z.put(ctx, id, d, "If-Match", `W/"other"`); status != 412 || code != "PreconditionFailedEtagMismatch" {
				t.Errorf("%s: a PUT on another version: %d %s", name, status, code)
			}
			if now := z.doc(ctx, id)["etag"]; now != etag {
				t.Errorf("%s: a refused write changed the ETag", name)
			}
			if status, code := z.put(ctx, id, d, "If-Match", etag); status != 200 {
				t.Errorf("%s: a PUT on the version that is there: %d %s", name, status, code)
			}
			if now := z.doc(ctx, id)["etag"]; now == etag {
				t.Errorf("%s: a write kept the ETag", name)
			}
			time.Sleep(10 * time.Second)
		}
		z.manager.SetOptions(arm.Options{InterfaceIfMatch: arm.Ignored, CreateIfNoneMatch: arm.Ignored})
		if status, code := z.put(ctx, nic1, z.doc(ctx, nic1), "If-Match", `W/"other"`, "If-None-Match", "*"); status != 200 {
			t.Errorf("where the options ignore conditions: %d %s", status, code)
		}
	})
}

func TestListsComeInPages(t *testing.T) {
	for _, size := range []int{0, 1} {
		onAzure(t, arm.Options{PageSize: size}, func(ctx context.Context, z *azure) {
			pages, found := 0, []string{}
			for pager := z.nics.NewListPager(group, nil); pager.More(); pages++ {
				page, err := pager.NextPage(ctx)
				if err != nil {
					t.Fatal(err)
				}
				for _, nic := range page.Value {
					found = append(found, *nic.Name)
				}
			}
			if want := max(1, 2*size); pages != want || !slices.Equal(found, []string{"lm-1-nic", "lm-2-nic"}) {
				t.Errorf("%d pages with %v, want %d", pages, found, want)
			}
			for _, kind := range []string{
				"Network/loadBalancers", "Network/networkSecurityGroups", "Network/virtualNetworks", "Network/publicIPAddresses", "Compute/virtualMachines",
			} {
				if status, _, b := z.do(ctx, http.MethodGet, base+"Microsoft."+kind, ""); status != 200 || !strings.Contains(b, `"value"`) {
					t.Errorf("list of %s: %d %s", kind, status, b)
				}
			}
			if status, _, _ := z.do(ctx, http.MethodGet, base+"Microsoft.Network/loadBalancers?api-version=2025-05-01&$skiptoken=x", ""); status != 400 {
				t.Errorf("a token that nobody gave: %d", status)
			}
		})
	}
}

func TestUnknownResourceGroupsAreNotFound(t *testing.T) {
	m, err := arm.New(arm.Config{Subscriptions: []string{sub}, ResourceGroups: []string{"RG-LM"}, Tokens: map[string]arm.Principal{"ada": ada}}, &recorder{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	for group, want := range map[string]int{"rg-lm": 200, "rg-else": 404} {
		path := "/subscriptions/" + sub + "/resourceGroups/" + group + "/providers/Microsoft.Network/loadBalancers?api-version=2025-05-01"
		r := httptest.NewRequest(http.MethodGet, path, nil)
		r.Header.Set("Authorization", "Bearer ada")
		w := httptest.NewRecorder()
		m.ServeHTTP(w, r)
		if w.Code != want || want == 404 && !strings.Contains(w.Body.String(), "ResourceGroupNotFound") {
			t.Errorf("%s: %d %s", group, w.Code, w.Body)
		}
	}
}

func TestAnInterfaceJoinsAndLeaves(t *testing.T) {
	onAzure(t, arm.Options{}, func(ctx context.Context, z *azure) {
		nic := z.doc(ctx, nic2)
		before := z.doc(ctx, lbID)
		pools := in(nic, at(config0, "loadBalancerBackendAddressPools")...)
		delete(in(nic, config0...).(map[string]any), "loadBalancerBackendAddressPools")
		delete(nic["properties"].(map[string]any), "virtualMachine")
		if status, code := z.put(ctx, nic2, nic); status != 200 {
			t.Fatalf("leaving: %d %s", status, code)
		}
		left := z.doc(ctx, lbID)
		if left["etag"] == before["etag"] || in(left, "properties", "probes", 0, "etag") != left["etag"] {
			t.Error("the load balancer that was left has its old ETag")
		}
		if members, _ := in(left, "properties", "backendAddressPools", 0, "properties", "loadBalancerBackendAddresses").([]any); len(members) != 1 {
			t.Errorf("the pool that was left has %v", members)
		}
		if len(z.path.now().Pools[0].Backends) != 2 {
			t.Error("the traffic follows before the write has taken effect")
		}
		time.Sleep(10 * time.Second)
		if len(z.path.now().Pools[0].Backends) != 1 {
			t.Errorf("the data path has %+v", z.path.now().Pools[0])
		}
		nic = z.doc(ctx, nic2)
		if in(nic, "properties", "virtualMachine", "id") != vm2 {
			t.Error("a write without the machine took the interface away from it")
		}
		set(nic, pools, at(config0, "loadBalancerBackendAddressPools")...)
		etag := z.doc(ctx, lbID)["etag"]
		if status, code := z.put(ctx, nic2, nic); status != 200 {
			t.Fatalf("joining: %d %s", status, code)
		}
		joined := z.doc(ctx, lbID)
		if joined["etag"] == etag {
			t.Error("the load balancer that was joined has its old ETag")
		}
		if got := in(joined, "properties", "backendAddressPools", 0, "properties", "backendIPConfigurations", 1, "id"); got != nic2+"/ipConfigurations/ipconfig1" {
			t.Errorf("the second member is %v", got)
		}
		etag = joined["etag"]
		if status, _ := z.put(ctx, nic2, set(z.doc(ctx, nic2), map[string]any{"owner": "ada"}, "tags")); status != 200 || z.doc(ctx, lbID)["etag"] != etag {
			t.Error("a write that joins nothing changed the load balancer")
		}
		time.Sleep(10 * time.Second)
		if len(z.path.now().Pools[0].Backends) != 2 {
			t.Errorf("the data path has %+v", z.path.now().Pools[0])
		}
	})
}

func TestInterfacesThatCannotJoinAreRefused(t *testing.T) {
	other := strings.Replace(lbID, "lb-lm", "lb-two", 1)
	join := func(field string, ids ...string) func(map[string]any) {
		return func(nic map[string]any) {
			refs := []any{}
			for _, id := range ids {
				refs = append(refs, idRef(id))
			}
			set(nic, refs, at(config0, field)...)
		}
	}
	tests := []struct {
		name   string
		edit   func(nic map[string]any)
		status int
		code   string
	}{
		{"a pool that does not exist", join("loadBalancerBackendAddressPools", poolID+"2"), 400, "InvalidResourceReference"},
		{"a group that does not exist", func(nic map[string]any) { set(nic, idRef(nsgID+"2"), "properties", "networkSecurityGroup") }, 400, "InvalidResourceReference"},
		{"a subnet that does not exist", func(nic map[string]any) { set(nic, idRef(vnetID+"/subnets/nope"), at(config0, "subnet")...) }, 400, "InvalidResourceReference"},
		{"a NAT rule of another interface", join("loadBalancerInboundNatRules", natID), 400, "InvalidRequestFormat"},
		{"a NAT rule to the port of a load balancing rule", join("loadBalancerInboundNatRules", lbID+"/inboundNatRules/service"), 400, "RulesUseSameBackendPortProtocolAndIPConfig"},
		{"a second internal load balancer", join("loadBalancerBackendAddressPools", poolID, other+"/backendAddressPools/p"), 400, "AnotherInternalLoadBalancerExists"},
		{"a pool of addresses", join("loadBalancerBackendAddressPools", lbID+"/backendAddressPools/addresses"), 400, "InvalidRequestFormat"},
		{"an address of another subnet", func(nic map[string]any) { set(nic, "10.0.3.7", at(config0, "privateIPAddress")...) }, 400, "InvalidRequestFormat"},
		{"an address that the platform keeps", func(nic map[string]any) { set(nic, "10.0.2.3", at(config0, "privateIPAddress")...) }, 400, "PrivateIPAddressInReservedRange"},
		{"the address of another interface", func(nic map[string]any) { set(nic, "10.0.2.4", at(config0, "privateIPAddress")...) }, 400, "PrivateIPAddressIsAllocated"},
		{"the address of a frontend", func(nic map[string]any) { set(nic, vip.String(), at(config0, "privateIPAddress")...) }, 400, "PrivateIPAddressIsAllocated"},
		{"another location", func(nic map[string]any) { nic["location"] = "northeurope" }, 409, "InvalidResourceLocation"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			onAzure(t, arm.Options{}, func(ctx context.Context, z *azure) {
				lb := z.doc(ctx, lbID)
				p := lb["properties"].(map[string]any)
				p["inboundNatRules"] = append(p["inboundNatRules"].([]any), map[string]any{"name": "service", "properties": map[string]any{
					"protocol": "Tcp", "frontendPort": 9443, "backendPort": 443, "frontendIPConfiguration": idRef(lbID + "/frontendIPConfigurations/vip1"),
				}})
				p["backendAddressPools"] = append(p["backendAddressPools"].([]any), map[string]any{"name": "addresses", "properties": map[string]any{
					"loadBalancerBackendAddresses": []any{map[string]any{"name": "a", "properties": map[string]any{"ipAddress": "10.0.2.9", "virtualNetwork": idRef(vnetID)}}},
				}})
				if status, code := z.put(ctx, lbID, lb); status != 200 {
					t.Fatalf("prepare: %d %s", status, code)
				}
				if err := z.manager.SeedLoadBalancer(arm.LoadBalancer{
					ID: other, Frontends: []arm.Frontend{{Name: "vip1", Address: netip.MustParseAddr("10.0.2.101"), Subnet: subnet}}, Pools: []string{"p"},
				}); err != nil {
					t.Fatal(err)
				}
				nic := z.doc(ctx, nic2)
				etag, lbTag := nic["etag"], z.doc(ctx, lbID)["etag"]
				tt.edit(nic)
				if status, code := z.put(ctx, nic2, nic); status != tt.status || code != tt.code {
					t.Errorf("got %d %s, want %d %s", status, code, tt.status, tt.code)
				}
				if z.doc(ctx, nic2)["etag"] != etag || z.doc(ctx, lbID)["etag"] != lbTag {
					t.Error("a refused write changed something")
				}
				if members, _ := in(z.doc(ctx, lbID), "properties", "backendAddressPools", 0, "properties", "loadBalancerBackendAddresses").([]any); len(members) != 2 {
					t.Errorf("the pool has %d members after it", len(members))
				}
			})
		})
	}
}

// What refers to something that is being written has to wait (azure.md 1.9).
func TestWhatIsReferredToMustBeReady(t *testing.T) {
	onAzure(t, arm.Options{}, func(ctx context.Context, z *azure) {
		nic, lb := z.doc(ctx, nic2), z.doc(ctx, lbID)
		if status, _ := z.put(ctx, poolID, in(lb, "properties", "backendAddressPools", 0)); status != 200 {
			t.Fatal(status)
		}
		status, header, answer := z.do(ctx, http.MethodPut, nic2, text(t, nic))
		if status != 429 || header.Get("Retry-After") != "5" {
			t.Errorf("an interface of a load balancer that is being written: %d, Retry-After %q", status, header.Get("Retry-After"))
		}
		wantExample(t, answer, parse(t, example(t, "arm-error-429-referenced-not-provisioned.json")), true)
		time.Sleep(5 * time.Second)
		if status, code := z.put(ctx, nic2, nic); status != 200 {
			t.Errorf("once that has ended: %d %s", status, code)
		}
		if status, _ := z.put(ctx, nsgID, groupDocument()); status != 201 {
			t.Fatal(status)
		}
		nic = set(z.doc(ctx, nic2), idRef(nsgID), "properties", "networkSecurityGroup")
		if status, code := z.put(ctx, nic2, nic); status != 429 || code != "ReferencedResourceNotProvisioned" {
			t.Errorf("an interface with a group that is being written: %d %s", status, code)
		}
		if status, _ := z.put(ctx, pipID, map[string]any{"location": "westeurope"}); status != 201 {
			t.Fatal(status)
		}
		lb = z.doc(ctx, lbID)
		p := in(lb, "properties", "frontendIPConfigurations", 0).(map[string]any)
		p["properties"] = map[string]any{"publicIPAddress": idRef(pipID)}
		if status, code := z.put(ctx, lbID, lb); status != 429 || code != "ReferencedResourceNotProvisioned" {
			t.Errorf("a load balancer with an address that is being written: %d %s", status, code)
		}
		z.manager.Inject(arm.Fault{Kind: arm.FailOperation, Method: http.MethodPut, PathSuffix: "pip-lm"})
		z.put(ctx, pipID, map[string]any{"location": "westeurope"})
		time.Sleep(time.Minute)
		if status, code := z.put(ctx, lbID, lb); status != 429 || code != "ReferencedResourceNotProvisioned" {
			t.Errorf("a load balancer with an address whose write failed: %d %s", status, code)
		}
	})
}

func text(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestFrontendsNeedAPlace(t *testing.T) {
	private := func(addr string, more map[string]any) map[string]any {
		p := map[string]any{"privateIPAddress": addr, "privateIPAllocationMethod": "Static", "subnet": idRef(subnet)}
		maps.Copy(p, more)
		return p
	}
	tests := []struct {
		name string
		edit func(lb, frontend map[string]any)
		code string
	}{
		{"neither a subnet nor a public address", func(_, f map[string]any) { delete(f, "subnet") }, "FrontendIPConfigHasNoSubnetOrPublicIP"},
		{"both", func(_, f map[string]any) { f["publicIPAddress"] = idRef(pipID) }, "FrontendIPConfigHasBothSubnetAndPublicIP"},
		{"an unknown subnet", func(_, f map[string]any) { f["subnet"] = idRef(vnetID + "/subnets/nope") }, "InvalidResourceReference"},
		{"a unit's address", func(_, f map[string]any) { f["privateIPAddress"] = "10.0.2.4" }, "PrivateIPAddressIsAllocated"},
		{"an address that the platform keeps", func(_, f map[string]any) { f["privateIPAddress"] = "10.0.2.255" }, "PrivateIPAddressInReservedRange"},
		{"an address of another subnet", func(_, f map[string]any) { f["privateIPAddress"] = "10.0.9.9" }, "InvalidRequestFormat"},
		{"another SKU", func(lb, _ map[string]any) { lb["sku"] = map[string]any{"name": "Basic"} }, "InvalidRequestFormat"},
		{"a public address of another SKU", func(_, f map[string]any) {
			for k := range f {
				delete(f, k)
			}
			f["publicIPAddress"] = idRef(pipID)
		}, "DifferentSkuLoadBalancersAndPublicIPAddressNotAllowed"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			onAzure(t, arm.Options{}, func(ctx context.Context, z *azure) {
				if err := z.manager.Seed([]byte(`{"id": "` + pipID + `", "sku": {"name": "Basic"}}`)); err != nil {
					t.Fatal(err)
				}
				lb, frontend := z.doc(ctx, lbID), private(vip.String(), nil)
				in(lb, "properties", "frontendIPConfigurations", 0).(map[string]any)["properties"] = frontend
				if status, code := z.put(ctx, lbID, lb); status != 200 {
					t.Fatalf("as it is: %d %s", status, code)
				}
				tt.edit(lb, frontend)
				if status, code := z.put(ctx, lbID, lb); status != 400 || code != tt.code {
					t.Errorf("got %d %s, want %s", status, code, tt.code)
				}
			})
		})
	}
}

func TestImpossibleSurroundingsAreRefused(t *testing.T) {
	group := func(rules ...map[string]any) map[string]any { return groupDocument(rules...) }
	one := func(key string, value any) map[string]any { return group(map[string]any{key: value}) }
	tests := []struct {
		name, id string
		doc      map[string]any
		code     string
	}{
		{"two rules of one priority", nsgID, group(map[string]any{"priority": 100}, map[string]any{"priority": 100}), "SecurityRuleConflict"},
		{"a priority below 100", nsgID, one("priority", 99), "InvalidRequestFormat"},
		{"a priority above 4096", nsgID, one("priority", 4097), "InvalidRequestFormat"},
		{"no direction", nsgID, one("direction", ""), "InvalidRequestFormat"},
		{"an access of its own", nsgID, one("access", "Perhaps"), "InvalidRequestFormat"},
		{"a protocol of its own", nsgID, one("protocol", "Quic"), "InvalidRequestFormat"},
		{"no source", nsgID, one("sourceAddressPrefix", ""), "InvalidRequestFormat"},
		{"no port", nsgID, one("destinationPortRange", ""), "InvalidRequestFormat"},
		{"a port that is none", nsgID, one("destinationPortRange", "70000"), "InvalidRequestFormat"},
		{"a range the wrong way round", nsgID, one("destinationPortRange", "9-8"), "InvalidRequestFormat"},
		{"an address that is none", nsgID, one("sourceAddressPrefix", "10.0.0.0/33"), "InvalidRequestFormat"},
		{"a description that is too long", nsgID, one("description", strings.Repeat("x", 141)), "InvalidRequestFormat"},
		{"a network without a space", base + "Microsoft.Network/virtualNetworks/v", map[string]any{"location": "westeurope"}, "InvalidRequestFormat"},
		{"a subnet outside of the space", base + "Microsoft.Network/virtualNetworks/v", map[string]any{"location": "westeurope", "properties": map[string]any{
			"addressSpace": map[string]any{"addressPrefixes": []any{"10.1.0.0/16"}},
			"subnets":      []any{map[string]any{"name": "s", "properties": map[string]any{"addressPrefix": "10.2.0.0/24"}}},
		}}, "InvalidRequestFormat"},
		{"a dynamic address of the Standard SKU", pipID, map[string]any{"location": "westeurope", "properties": map[string]any{"publicIPAllocationMethod": "Dynamic"}}, "InvalidRequestFormat"},
		{"an unknown version", pipID, map[string]any{"location": "westeurope", "properties": map[string]any{"publicIPAddressVersion": "IPv5"}}, "InvalidRequestFormat"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			onAzure(t, arm.Options{}, func(ctx context.Context, z *azure) {
				if status, code := z.put(ctx, tt.id, tt.doc); status != 400 || code != tt.code {
					t.Errorf("got %d %s, want %s", status, code, tt.code)
				}
			})
		})
	}
	onAzure(t, arm.Options{}, func(ctx context.Context, z *azure) {
		if status, code := z.put(ctx, nsgID, group(map[string]any{"priority": 100}, map[string]any{"priority": 100, "direction": "Outbound"})); status != 201 {
			t.Errorf("equal priorities in two directions: %d %s", status, code)
		}
	})
}

func TestPublicAddressesAreGivenOutOnce(t *testing.T) {
	onAzure(t, arm.Options{}, func(ctx context.Context, z *azure) {
		create := func(name string, p map[string]any) string {
			id := base + "Microsoft.Network/publicIPAddresses/" + name
			if status, code := z.put(ctx, id, map[string]any{"location": "westeurope", "properties": p}); status != 201 {
				t.Fatalf("create %s: %d %s", name, status, code)
			}
			time.Sleep(10 * time.Second)
			address, _ := in(z.doc(ctx, id), "properties", "ipAddress").(string)
			return address
		}
		a, b, c := create("a", nil), create("b", nil), create("c", map[string]any{"publicIPAddressVersion": "IPv6"})
		if a != "198.51.100.1" || b != "198.51.100.2" || !netip.MustParseAddr(c).Is6() {
			t.Errorf("addresses %s, %s and %s", a, b, c)
		}
		id := base + "Microsoft.Network/publicIPAddresses/a"
		if status, _ := z.put(ctx, id, map[string]any{"location": "westeurope"}); status != 200 || in(z.doc(ctx, id), "properties", "ipAddress") != a {
			t.Error("a write without the address changed it")
		}
		if addr, known := z.manager.PublicAddress(id); !known || addr.String() != a {
			t.Errorf("the address is %v, %t", addr, known)
		}
		if _, known := z.manager.PublicAddress(pipID); known {
			t.Error("what does not exist has an address")
		}
	})
}

func TestWhatIsInUseIsNotDeleted(t *testing.T) {
	onAzure(t, arm.Options{}, func(ctx context.Context, z *azure) {
		if status, _ := z.put(ctx, nsgID, groupDocument()); status != 201 {
			t.Fatal(status)
		}
		time.Sleep(10 * time.Second)
		if status, code := z.put(ctx, nic1, set(z.doc(ctx, nic1), idRef(nsgID), "properties", "networkSecurityGroup")); status != 200 {
			t.Fatal(status, code)
		}
		for id, code := range map[string]string{nsgID: "InUseNetworkSecurityGroupCannotBeDeleted", vnetID: "InUseSubnetCannotBeDeleted"} {
			if status, _, b := z.do(ctx, http.MethodDelete, id, ""); status != 400 || !strings.Contains(b, code) {
				t.Errorf("%d %s, want %s", status, b, code)
			}
		}
		z.put(ctx, nic1, set(z.doc(ctx, nic1), nil, "properties", "networkSecurityGroup"))
		if status, _, b := z.do(ctx, http.MethodDelete, nsgID, ""); status != 202 {
			t.Errorf("a group that nobody uses: %d %s", status, b)
		}
	})
}

func TestALoadBalancerThatDropsAPoolChangesItsInterfaces(t *testing.T) {
	onAzure(t, arm.Options{}, func(ctx context.Context, z *azure) {
		one, two := z.doc(ctx, nic1)["etag"], z.doc(ctx, nic2)["etag"]
		lb := z.doc(ctx, lbID)
		set(lb, []any{}, "properties", "inboundNatRules")
		if status, code := z.put(ctx, lbID, lb); status != 200 {
			t.Fatal(status, code)
		}
		if z.doc(ctx, nic1)["etag"] == one || z.doc(ctx, nic2)["etag"] != two {
			t.Error("the ETag must change of the interface that lost its NAT rule, and of no other")
		}
	})
}

func TestSomebodyElseIsFasterWithAnyResource(t *testing.T) {
	onAzure(t, arm.Options{}, func(ctx context.Context, z *azure) {
		for _, id := range []string{nic1, vnetID, lbID} {
			d := z.doc(ctx, id)
			etag, _ := d["etag"].(string)
			z.manager.Inject(arm.Fault{Kind: arm.Overtaken, Rival: tandem, PathPrefix: id})
			if status, code := z.put(ctx, id, d, "If-Match", etag); status != 412 || code != "PreconditionFailedEtagMismatch" {
				t.Errorf("%s: %d %s", id, status, code)
			}
			if z.doc(ctx, id)["etag"] == etag {
				t.Errorf("%s: nobody was faster", id)
			}
			time.Sleep(10 * time.Second)
		}
		d := z.doc(ctx, nic1)
		z.manager.Inject(arm.Fault{Kind: arm.Overtaken, Rival: tandem})
		if status, code := z.put(ctx, nic1, d); status != 200 {
			t.Errorf("a write without a condition: %d %s", status, code)
		}
	})
}

// guards tells who guards the first unit: how many rules each group has.
func (z *azure) guards() []int {
	z.path.take()
	z.path.mu.Lock()
	defer z.path.mu.Unlock()
	var all []int
	for _, i := range z.path.guarded {
		if i.Addresses[0] == addresses[0] {
			for _, g := range i.Groups {
				all = append(all, len(g))
			}
		}
	}
	return all
}

func TestSecurityGroupsTakeEffectLikeOtherWrites(t *testing.T) {
	onAzure(t, arm.Options{}, func(ctx context.Context, z *azure) {
		put := func(id string, d any) {
			t.Helper()
			if status, code := z.put(ctx, id, d); status > 201 {
				t.Fatalf("PUT %s: %d %s", id, status, code)
			}
		}
		check := func(when string, want ...int) {
			t.Helper()
			if got := z.guards(); !slices.Equal(got, want) {
				t.Errorf("%s the groups have %v rules, want %v", when, got, want)
			}
		}
		check("at the beginning")
		put(nsgID, groupDocument(nil))
		time.Sleep(10 * time.Second)
		check("with a group that nobody has")
		put(nic1, set(z.doc(ctx, nic1), idRef(nsgID), "properties", "networkSecurityGroup"))
		check("before the write has taken effect")
		time.Sleep(10 * time.Second)
		check("with the interface's group", 7)
		put(nsgID, groupDocument(nil, nil))
		check("right after the write of the group", 7)
		time.Sleep(10 * time.Second)
		check("later", 8)
		put(strings.Replace(nsgID, "nsg-lm", "nsg-subnet", 1), groupDocument())
		time.Sleep(10 * time.Second)
		net := z.doc(ctx, vnetID)
		set(net, idRef(strings.Replace(nsgID, "nsg-lm", "nsg-subnet", 1)), "properties", "subnets", 0, "properties", "networkSecurityGroup")
		put(vnetID, net)
		time.Sleep(10 * time.Second)
		check("with the subnet's group too", 6, 8)
		z.manager.Inject(arm.Fault{Kind: arm.NoEffect, Method: http.MethodPut})
		put(nsgID, groupDocument(nil, nil, nil))
		time.Sleep(time.Minute)
		check("after a write without effect", 6, 8)
		z.manager.Inject(arm.Fault{Kind: arm.Late, Method: http.MethodPut, Delay: time.Hour})
		put(nsgID, groupDocument(nil, nil, nil, nil))
		time.Sleep(time.Minute)
		check("after a write that is late", 6, 8)
		time.Sleep(time.Hour)
		check("at last", 6, 10)
		z.path.mu.Lock()
		rule := z.path.guarded[0].Groups[1][0]
		z.path.mu.Unlock()
		if rule.Direction != dataplane.Inbound || rule.Access != dataplane.Allow || rule.Priority != 100 || rule.Protocol != "Tcp" ||
			!slices.Equal(rule.Sources, []string{"*"}) || !slices.Equal(rule.DestinationPorts, []string{"8444"}) {
			t.Errorf("the rule is %+v", rule)
		}
	})
}

func TestMetricsComeLate(t *testing.T) {
	onAzure(t, arm.Options{}, func(ctx context.Context, z *azure) {
		start := time.Now().Truncate(time.Minute)
		for i, addr := range addresses {
			for minute := range 10 {
				z.path.minutes = append(z.path.minutes, dataplane.Availability{Address: addr, Minute: start.Add(time.Duration(minute) * time.Minute), Percent: float64(100 * (1 - i))})
			}
		}
		time.Sleep(time.Until(start.Add(4*time.Minute + 30*time.Second)))
		span := start.UTC().Format(time.RFC3339) + "/" + time.Now().UTC().Format(time.RFC3339)
		ask := func(query string) (int, any) {
			status, _, b := z.do(ctx, http.MethodGet, lbID+"/providers/microsoft.insights/metrics?api-version=2021-05-01&timespan="+span+"&metricnames=DipAvailability"+query, "")
			if status != 200 {
				return status, b
			}
			return status, in(parse(t, []byte(b)), "value", 0)
		}
		_, m := ask("&$filter=BackendIPAddress+eq+'*'&interval=PT1M&aggregation=Average")
		for i, addr := range addresses {
			series := in(m, "timeseries", i)
			data, _ := in(series, "data").([]any)
			if in(series, "metadatavalues", 0, "value") != addr.String() || len(data) != 5 {
				t.Fatalf("series %d: %v", i, series)
			}
			for minute, point := range data {
				want := any(float64(100 * (1 - i)))
				if minute > 2 { // the fourth ended half a minute ago, the fifth goes on
					want = nil
				}
				if got := in(point, "average"); got != want {
					t.Errorf("%s minute %d: got %v, want %v", addr, minute, got, want)
				}
			}
		}
		if _, m = ask(""); in(m, "timeseries", 0, "data", 0, "average") != 50.0 || in(m, "timeseries", 1) != nil {
			t.Errorf("all backends together: %v", m)
		}
		for _, wrong := range []string{"&interval=PT5M", "&$filter=FrontendPort+eq+'*'"} {
			if status, b := ask(wrong); status != 400 {
				t.Errorf("%s: %d %v", wrong, status, b)
			}
		}
		for _, path := range []string{
			lbID + "/providers/Microsoft.Insights/metrics?api-version=2021-05-01&metricnames=ByteCount&timespan=" + span,
			lbID + "/providers/Microsoft.Insights/metrics?api-version=2021-05-01&metricnames=DipAvailability",
			nic1 + "/providers/Microsoft.Insights/metrics?api-version=2021-05-01&metricnames=DipAvailability&timespan=" + span,
		} {
			if status, _, b := z.do(ctx, http.MethodGet, path, ""); status != 400 {
				t.Errorf("%s: %d %s", path, status, b)
			}
		}
		if status, _, _ := z.do(ctx, http.MethodGet, strings.Replace(lbID, "lb-lm", "nope", 1)+"/providers/Microsoft.Insights/metrics?api-version=2021-05-01", ""); status != 404 {
			t.Errorf("metrics of nothing: %d", status)
		}
	})
}

// Everything is made by writes, as tandem apply does.
func TestEverythingIsBuiltFromNothing(t *testing.T) {
	onAzure(t, arm.Options{}, func(ctx context.Context, z *azure) {
		put := func(id string, d any) {
			t.Helper()
			if status, code := z.put(ctx, id, d, "If-None-Match", "*"); status != 201 {
				t.Fatalf("PUT %s: %d %s", id, status, code)
			}
			time.Sleep(5 * time.Second)
		}
		lb := strings.Replace(lbID, "lb-lm", "plb-lm", 1)
		put(pipID, map[string]any{"location": "westeurope"})
		put(lb, map[string]any{"location": "westeurope", "properties": map[string]any{
			"frontendIPConfigurations": []any{map[string]any{"name": "vip", "properties": map[string]any{"publicIPAddress": idRef(pipID)}}},
			"backendAddressPools":      []any{map[string]any{"name": "p"}},
			"probes":                   []any{map[string]any{"name": "check", "properties": map[string]any{"protocol": "Http", "port": 8444, "requestPath": "/", "intervalInSeconds": 5, "probeThreshold": 2}}},
			"loadBalancingRules": []any{map[string]any{"name": "https", "properties": map[string]any{
				"protocol": "Tcp", "frontendPort": 443, "backendPort": 444, "enableFloatingIP": true, "frontendIPConfiguration": idRef(lb + "/frontendIPConfigurations/vip"),
				"backendAddressPool": idRef(lb + "/backendAddressPools/p"), "probe": idRef(lb + "/probes/check"),
			}}},
			"inboundNatRules": []any{map[string]any{"name": "ssh", "properties": map[string]any{
				"protocol": "Tcp", "frontendPort": 221, "backendPort": 22, "frontendIPConfiguration": idRef(lb + "/frontendIPConfigurations/vip"),
			}}},
		}})
		if got := z.path.now(); len(got.Rules) != 1 || len(got.Pools[0].Backends) != 0 || len(got.NATRules) != 0 || got.Frontends[0].Address.String() != "198.51.100.1" {
			t.Errorf("before anybody has joined: %+v", got)
		}
		nic := z.doc(ctx, nic1)
		set(nic, []any{idRef(poolID), idRef(lb + "/backendAddressPools/p")}, at(config0, "loadBalancerBackendAddressPools")...)
		set(nic, []any{idRef(natID), idRef(lb + "/inboundNatRules/ssh")}, at(config0, "loadBalancerInboundNatRules")...)
		if status, code := z.put(ctx, nic1, nic); status != 200 {
			t.Fatalf("join: %d %s", status, code)
		}
		time.Sleep(10 * time.Second)
		got := z.path.now()
		if len(got.Pools[0].Backends) != 1 || got.Pools[0].Backends[0].Name != "lm-1" || !got.Rules[0].FloatingIP ||
			len(got.NATRules) != 1 || got.NATRules[0].Backend != addresses[0] || got.NATRules[0].BackendPort != 22 {
			t.Errorf("the data path has %+v", got)
		}
		if in(z.doc(ctx, pipID), "properties", "ipConfiguration", "id") != lb+"/frontendIPConfigurations/vip" {
			t.Error("the public address does not show who has it")
		}
		if status, _, b := z.do(ctx, http.MethodDelete, pipID, ""); status != 400 || !strings.Contains(b, "PublicIPAddressCannotBeDeleted") {
			t.Errorf("a public address in use: %d %s", status, b)
		}
	})
}
