package arm_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v9"

	"tandem/internal/lab/arm"
	"tandem/internal/lab/dataplane"
)

const (
	stateDown = armnetwork.LoadBalancerBackendAddressAdminStateDown
	stateNone = armnetwork.LoadBalancerBackendAddressAdminStateNone
)

func TestLoadBalancerIsShownWithWhatTheServiceAdds(t *testing.T) {
	onAzure(t, arm.Options{}, func(ctx context.Context, z *azure) {
		lb := z.getLB(ctx)
		p := lb.Properties
		if *lb.ID != lbID || *lb.Name != "lb-lm" || *p.ProvisioningState != armnetwork.ProvisioningStateSucceeded || *lb.SKU.Name != "Standard" {
			t.Errorf("got %s %s %s %s", *lb.ID, *lb.Name, *p.ProvisioningState, *lb.SKU.Name)
		}
		pool := p.BackendAddressPools[0]
		if *pool.Etag != *lb.Etag || *p.Probes[0].Etag != *lb.Etag {
			t.Errorf("children have etags %s and %s, want the parent's %s", *pool.Etag, *p.Probes[0].Etag, *lb.Etag)
		}
		if n := len(pool.Properties.BackendIPConfigurations); n != 2 {
			t.Errorf("the pool refers back to %d IP configurations, want 2", n)
		}
		address := pool.Properties.LoadBalancerBackendAddresses[0]
		if *address.Name != "rg-lm_lm-1-nicipconfig1" || *address.Properties.NetworkInterfaceIPConfiguration.ID != nic1+"/ipConfigurations/ipconfig1" ||
			address.Properties.IPAddress != nil || *address.Properties.AdminState != stateNone {
			t.Errorf("the first address is %+v", *address.Properties)
		}
		rule := lbID + "/loadBalancingRules/https"
		if *pool.Properties.LoadBalancingRules[0].ID != rule || *p.Probes[0].Properties.LoadBalancingRules[0].ID != rule ||
			*p.FrontendIPConfigurations[0].Properties.LoadBalancingRules[0].ID != rule {
			t.Error("a child does not refer back to its rule")
		}
		if id := *p.InboundNatRules[0].Properties.BackendIPConfiguration.ID; id != nic1+"/ipConfigurations/ipconfig1" {
			t.Errorf("the NAT rule forwards to %s", id)
		}
		if r := p.LoadBalancingRules[0].Properties; *r.IdleTimeoutInMinutes != 4 || *r.LoadDistribution != "Default" || len(r.BackendAddressPools) != 1 {
			t.Errorf("defaults of the rule: %+v", *r)
		}
	})
}

func TestNICAddressesAreShownWhereTheOptionSaysSo(t *testing.T) {
	onAzure(t, arm.Options{ShowNICAddresses: true}, func(ctx context.Context, z *azure) {
		if a := z.getPool(ctx).Properties.LoadBalancerBackendAddresses[1].Properties.IPAddress; a == nil || *a != "10.0.2.5" {
			t.Errorf("the second address is %v", a)
		}
	})
}

func TestExchangesLookAsRecorded(t *testing.T) {
	onAzure(t, arm.Options{}, func(ctx context.Context, z *azure) {
		type exchange struct {
			Response struct {
				Status  int
				Headers map[string]string
				Body    any
			}
			Poll     struct{ Body any }
			FinalGet struct{ Body any }
		}
		for _, tt := range []struct{ file, path, body string }{
			{"arm-put-loadbalancer.exchange.json", "Microsoft.Network/loadBalancers/lb-new", `{"location": "westeurope", "sku": {"name": "Standard"}, "properties": {}}`},
			{"arm-put-backendpool.exchange.json", "Microsoft.Network/loadBalancers/lb-new/backendAddressPools/pool1", `{"name": "pool1", "properties": {}}`},
		} {
			var want exchange
			if err := json.Unmarshal([]byte(strings.ReplaceAll(string(example(t, tt.file)), "lb-lm", "lb-new")), &want); err != nil {
				t.Fatal(err)
			}
			status, header, got := z.do(ctx, http.MethodPut, base+tt.path, tt.body)
			if status != want.Response.Status {
				t.Errorf("%s: got status %d, want %d: %s", tt.file, status, want.Response.Status, got)
			}
			poll := header.Get("Azure-AsyncOperation")
			if anyGUID.ReplaceAllString(poll, "") != anyGUID.ReplaceAllString(want.Response.Headers["Azure-AsyncOperation"], "") {
				t.Errorf("%s: got Azure-AsyncOperation %q", tt.file, poll)
			}
			wantExample(t, got, want.Response.Body, true)
			time.Sleep(4 * time.Second)
			if want.Poll.Body != nil {
				_, _, got = z.do(ctx, http.MethodGet, strings.TrimPrefix(poll, "https://management.azure.com"), "")
				wantExample(t, got, want.Poll.Body, true)
				_, header, got = z.do(ctx, http.MethodGet, base+tt.path, "")
				wantExample(t, got, want.FinalGet.Body, false)
				if header.Get("ETag") == "" {
					t.Error("GET of a pool has no ETag header")
				}
			}
		}
	})
}

func TestWholeWriteReplaces(t *testing.T) {
	onAzure(t, arm.Options{}, func(ctx context.Context, z *azure) {
		lb := z.getLB(ctx)
		before := *lb.Etag
		lb.Tags = map[string]*string{"tandem": new("1")}
		lb.Properties.InboundNatRules = nil
		poller, err := z.lbs.BeginCreateOrUpdate(ifMatch(ctx, before), group, "lb-lm", lb, nil)
		if err == nil && !poller.Done() {
			t.Error("the recorded first answer of a load balancer says Succeeded, so the poller must be done")
		}
		resp, err := await(ctx, poller, err)
		if err != nil {
			t.Fatal(err)
		}
		if *resp.Etag == before || *resp.Properties.BackendAddressPools[0].Etag != *resp.Etag {
			t.Errorf("etag %s and of the pool %s after %s", *resp.Etag, *resp.Properties.BackendAddressPools[0].Etag, before)
		}
		if len(resp.Properties.InboundNatRules) != 0 || *resp.Tags["tandem"] != "1" {
			t.Errorf("after the write: %d NAT rules, tags %v", len(resp.Properties.InboundNatRules), resp.Tags)
		}
		nic, err := z.nics.Get(ctx, group, "lm-1-nic", nil)
		if err != nil {
			t.Fatal(err)
		}
		if refs := nic.Properties.IPConfigurations[0].Properties.LoadBalancerInboundNatRules; len(refs) != 0 {
			t.Errorf("the interface still refers to %s", *refs[0].ID)
		}
		if got := z.path.take(); len(got) != 0 {
			t.Errorf("the data path followed at once: %q", got)
		}
		time.Sleep(5 * time.Second)
		if got := z.path.take(); len(got) != 1 || len(z.path.last.NATRules) != 0 {
			t.Errorf("the data path was told %q", got)
		}
	})
}

func TestStaleETagIsRefused(t *testing.T) {
	for _, tt := range []struct {
		name   string
		opts   arm.Options
		write  func(ctx context.Context, z *azure) error
		status int
	}{
		{"on a write of the whole", arm.Options{}, func(ctx context.Context, z *azure) error {
			lb := z.getLB(ctx)
			_, err := z.lbs.BeginCreateOrUpdate(ifMatch(ctx, `W/"invalid"`), group, "lb-lm", lb, nil)
			return err
		}, 412},
		{"on a write of the whole, whatever PoolIfMatch says", arm.Options{PoolIfMatch: arm.Ignored}, func(ctx context.Context, z *azure) error {
			lb := z.getLB(ctx)
			_, err := z.lbs.BeginCreateOrUpdate(ifMatch(ctx, `W/"invalid"`), group, "lb-lm", lb, nil)
			return err
		}, 412},
		{"on a write of a pool", arm.Options{}, func(ctx context.Context, z *azure) error {
			pool := z.getPool(ctx)
			_, err := z.pools.BeginCreateOrUpdate(ifMatch(ctx, `W/"invalid"`), group, "lb-lm", "loadmasters", pool, nil)
			return err
		}, 412},
		{"but not on a pool where it is ignored", arm.Options{PoolIfMatch: arm.Ignored}, func(ctx context.Context, z *azure) error {
			pool := z.getPool(ctx)
			_, err := z.pools.BeginCreateOrUpdate(ifMatch(ctx, `W/"invalid"`), group, "lb-lm", "loadmasters", pool, nil)
			return err
		}, 0},
		{"after a write of a child", arm.Options{}, func(ctx context.Context, z *azure) error {
			lb, pool := z.getLB(ctx), z.getPool(ctx)
			p, err := z.pools.BeginCreateOrUpdate(ctx, group, "lb-lm", "loadmasters", pool, nil)
			if _, err := await(ctx, p, err); err != nil {
				return err
			}
			_, err = z.lbs.BeginCreateOrUpdate(ifMatch(ctx, *lb.Etag), group, "lb-lm", lb, nil)
			return err
		}, 412},
		{"on a NAT rule", arm.Options{}, func(ctx context.Context, z *azure) error {
			nat := *z.getLB(ctx).Properties.InboundNatRules[0]
			_, err := z.nats.BeginCreateOrUpdate(ifMatch(ctx, `W/"invalid"`), group, "lb-lm", "wui", nat, nil)
			return err
		}, 412},
		{"and without If-Match nothing is compared", arm.Options{}, func(ctx context.Context, z *azure) error {
			lb := z.getLB(ctx)
			lb.Etag = new(`W/"invalid"`)
			_, err := z.lbs.BeginCreateOrUpdate(ctx, group, "lb-lm", lb, nil)
			return err
		}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			onAzure(t, tt.opts, func(ctx context.Context, z *azure) {
				err := tt.write(ctx, z)
				if tt.status == 0 {
					if err != nil {
						t.Error(err)
					}
					return
				}
				wantResponseError(t, err, tt.status, "PreconditionFailed")
			})
		})
	}
}

func TestRefusalsLookAsRecorded(t *testing.T) {
	onAzure(t, arm.Options{}, func(ctx context.Context, z *azure) {
		lb := z.getLB(ctx)
		_, err := z.lbs.BeginCreateOrUpdate(ifMatch(ctx, `W/"invalid"`), group, "lb-lm", lb, nil)
		resp := wantResponseError(t, err, 412, "PreconditionFailed")
		wantExample(t, body(t, resp), parse(t, example(t, "arm-error-412-etag.json")), true)

		_, err = z.pools.Get(ctx, group, "lb-lm", "nope", nil)
		resp = wantResponseError(t, err, 404, "NotFound")
		wantExample(t, body(t, resp), parse(t, example(t, "arm-error-404-notfound.json")), true)

		pool := z.getPool(ctx)
		pool.Properties.LoadBalancerBackendAddresses = pool.Properties.LoadBalancerBackendAddresses[:1]
		_, err = z.pools.BeginCreateOrUpdate(ctx, group, "lb-lm", "loadmasters", pool, nil)
		resp = wantResponseError(t, err, 400, "ModificationOfNICIpConfigBackendPoolNotSupported")
		wantExample(t, body(t, resp), parse(t, example(t, "arm-error-400-nic-pool-modification.json")), true)

		clash := *lb.Properties.LoadBalancingRules[0]
		properties := *clash.Properties
		clash.Name, clash.Properties = new("https2"), &properties
		properties.FrontendPort = new(int32(8443))
		lb.Properties.LoadBalancingRules = append(lb.Properties.LoadBalancingRules, &clash)
		_, err = z.lbs.BeginCreateOrUpdate(ctx, group, "lb-lm", lb, nil)
		resp = wantResponseError(t, err, 400, "RulesUseSameBackendPortProtocolAndPool")
		wantExample(t, body(t, resp), parse(t, example(t, "arm-error-400-backend-port-clash.json")), true)

		if got := z.path.take(); len(got) != 0 {
			t.Errorf("refused writes reached the data path: %q", got)
		}
	})
}

func TestImpossibleLoadBalancersAreRefused(t *testing.T) {
	edit := func(f func(p *armnetwork.LoadBalancerPropertiesFormat)) func(*armnetwork.LoadBalancer) {
		return func(lb *armnetwork.LoadBalancer) { f(lb.Properties) }
	}
	for _, tt := range []struct {
		name string
		edit func(*armnetwork.LoadBalancer)
		code string
	}{
		{"a rule for the port that a NAT rule uses on the same interface", edit(func(p *armnetwork.LoadBalancerPropertiesFormat) {
			p.LoadBalancingRules[0].Properties.BackendPort = new(int32(8443))
		}), "RulesUseSameBackendPortProtocolAndIPConfig"},
		{"two rules for one frontend port", edit(func(p *armnetwork.LoadBalancerPropertiesFormat) {
			p.InboundNatRules[0].Properties.FrontendPort = new(int32(443))
		}), "InvalidRequestFormat"},
		{"a rule with a probe that is gone", edit(func(p *armnetwork.LoadBalancerPropertiesFormat) { p.Probes = nil }), "InvalidResourceReference"},
		{
			"rules without a frontend", edit(func(p *armnetwork.LoadBalancerPropertiesFormat) { p.FrontendIPConfigurations = nil }),
			"LoadBalancerWithoutFrontendIPCantHaveChildResources",
		},
		{"a pool and pools that differ", edit(func(p *armnetwork.LoadBalancerPropertiesFormat) {
			p.LoadBalancingRules[0].Properties.BackendAddressPools = []*armnetwork.SubResource{{ID: new(poolID + "2")}}
		}), "LoadBalancingRuleBackendAdressPoolAndBackendAddressPoolsCannotBeSetAtTheSameTimeWithDifferentValue"},
		{"a probe more often than every five seconds", edit(func(p *armnetwork.LoadBalancerPropertiesFormat) {
			p.Probes[0].Properties.IntervalInSeconds = new(int32(4))
		}), "InvalidRequestFormat"},
		{"an HTTP probe without a path", edit(func(p *armnetwork.LoadBalancerPropertiesFormat) { p.Probes[0].Properties.RequestPath = nil }), "InvalidRequestFormat"},
		{"an HTTP probe of a forbidden port", edit(func(p *armnetwork.LoadBalancerPropertiesFormat) { p.Probes[0].Properties.Port = new(int32(25)) }), "InvalidRequestFormat"},
		{"an idle timeout of two minutes", edit(func(p *armnetwork.LoadBalancerPropertiesFormat) {
			p.LoadBalancingRules[0].Properties.IdleTimeoutInMinutes = new(int32(2))
		}), "InvalidRequestFormat"},
		{"two children of one name", edit(func(p *armnetwork.LoadBalancerPropertiesFormat) { p.Probes = append(p.Probes, p.Probes[0]) }), "InvalidRequestFormat"},
		{"another location", func(lb *armnetwork.LoadBalancer) { lb.Location = new("northeurope") }, "InvalidResourceLocation"},
		{"no location", func(lb *armnetwork.LoadBalancer) { lb.Location = nil }, "LocationRequired"},
		{"a tag that is too long", func(lb *armnetwork.LoadBalancer) {
			lb.Tags = map[string]*string{"owner": new(strings.Repeat("x", 257))}
		}, "InvalidRequestFormat"},
		{"a member removed from a pool of interfaces", edit(func(p *armnetwork.LoadBalancerPropertiesFormat) {
			p.BackendAddressPools[0].Properties.LoadBalancerBackendAddresses = p.BackendAddressPools[0].Properties.LoadBalancerBackendAddresses[:1]
		}), "ModificationOfNICIpConfigBackendPoolNotSupported"},
		{"a member added to a pool of interfaces", edit(func(p *armnetwork.LoadBalancerPropertiesFormat) {
			pool := p.BackendAddressPools[0].Properties
			pool.LoadBalancerBackendAddresses = append(pool.LoadBalancerBackendAddresses, &armnetwork.LoadBalancerBackendAddress{
				Name: new("third"), Properties: &armnetwork.LoadBalancerBackendAddressPropertiesFormat{IPAddress: new("10.0.2.6")},
			})
		}), "ModificationOfNICIpConfigBackendPoolNotSupported"},
		{"a new pool with interfaces and an admin state", edit(func(p *armnetwork.LoadBalancerPropertiesFormat) {
			p.BackendAddressPools = append(p.BackendAddressPools, &armnetwork.BackendAddressPool{Name: new("new"), Properties: p.BackendAddressPools[0].Properties})
		}), "ModificationOfNICIpConfigBackendPoolNotSupported"},
		{"an admin state that does not exist", edit(func(p *armnetwork.LoadBalancerPropertiesFormat) {
			p.BackendAddressPools[0].Properties.LoadBalancerBackendAddresses[0].Properties.AdminState = new(armnetwork.LoadBalancerBackendAddressAdminState("Drain"))
		}), "InvalidRequestFormat"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			onAzure(t, arm.Options{}, func(ctx context.Context, z *azure) {
				lb := z.getLB(ctx)
				before := *lb.Etag
				tt.edit(&lb)
				_, err := z.lbs.BeginCreateOrUpdate(ctx, group, "lb-lm", lb, nil)
				status := 400
				if tt.code == "InvalidResourceLocation" {
					status = 409
				}
				wantResponseError(t, err, status, tt.code)
				if after := *z.getLB(ctx).Etag; after != before {
					t.Errorf("a refused write changed the etag from %s to %s", before, after)
				}
			})
		})
	}
}

func TestAdminStateOfInterfacesIsWrittenThroughThePool(t *testing.T) {
	onAzure(t, arm.Options{}, func(ctx context.Context, z *azure) {
		lb, pool := z.getLB(ctx), z.getPool(ctx)
		poller, err := z.pools.BeginCreateOrUpdate(ifMatch(ctx, *pool.Etag), group, "lb-lm", "loadmasters", setAdmin(pool, 1, stateDown), nil)
		if err != nil {
			t.Fatal(err)
		}
		if poller.Done() {
			t.Error("the recorded first answer of a pool says Updating, so the poller must poll")
		}
		if got := z.getLB(ctx); *got.Properties.ProvisioningState != armnetwork.ProvisioningStateUpdating || *got.Etag == *lb.Etag {
			t.Errorf("while a pool is written the load balancer is %s with etag %s", *got.Properties.ProvisioningState, *got.Etag)
		}
		resp, err := await(ctx, poller, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := admins(resp.BackendAddressPool); got != "None Down" || *resp.Properties.ProvisioningState != armnetwork.ProvisioningStateSucceeded {
			t.Errorf("the pool is %s with admin states %s", *resp.Properties.ProvisioningState, got)
		}
		time.Sleep(2 * time.Second)
		if got := z.path.take(); !slices.Equal(got, []string{"lm-1=None lm-2=Down"}) {
			t.Errorf("the data path was told %q", got)
		}

		// A whole write that does not mention the addresses drops the admin state.
		lb = z.getLB(ctx)
		lb.Properties.BackendAddressPools[0].Properties.LoadBalancerBackendAddresses = nil
		p, err := z.lbs.BeginCreateOrUpdate(ctx, group, "lb-lm", lb, nil)
		if _, err := await(ctx, p, err); err != nil {
			t.Fatal(err)
		}
		if got := admins(z.getPool(ctx)); got != "None None" {
			t.Errorf("admin states after a whole write without addresses: %s", got)
		}
	})
}

func TestAddressPoolsAreWrittenByTheirAddresses(t *testing.T) {
	onAzure(t, arm.Options{}, func(ctx context.Context, z *azure) {
		down := stateDown
		entry := func(name, ip string) *armnetwork.LoadBalancerBackendAddress {
			return &armnetwork.LoadBalancerBackendAddress{Name: &name, Properties: &armnetwork.LoadBalancerBackendAddressPropertiesFormat{
				IPAddress: &ip, VirtualNetwork: &armnetwork.SubResource{ID: new(vnetID)},
			}}
		}
		pool := armnetwork.BackendAddressPool{Properties: &armnetwork.BackendAddressPoolPropertiesFormat{
			LoadBalancerBackendAddresses: []*armnetwork.LoadBalancerBackendAddress{entry("a", "10.0.2.4"), entry("b", "10.0.2.9")},
		}}
		pool.Properties.LoadBalancerBackendAddresses[0].Properties.AdminState = &down
		p, err := z.pools.BeginCreateOrUpdate(ctx, group, "lb-lm", "byaddress", pool, nil)
		if _, err := await(ctx, p, err); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		if got := z.path.take(); !slices.Equal(got, []string{"lm-1=None lm-2=None lm-1=Down b=None"}) {
			t.Errorf("the data path was told %q", got)
		}
		pool.Properties.LoadBalancerBackendAddresses = []*armnetwork.LoadBalancerBackendAddress{entry("a", "not an address")}
		_, err = z.pools.BeginCreateOrUpdate(ctx, group, "lb-lm", "byaddress", pool, nil)
		wantResponseError(t, err, 400, "InvalidRequestFormat")
		homeless := entry("a", "10.0.2.4")
		homeless.Properties.VirtualNetwork = nil
		pool.Properties.LoadBalancerBackendAddresses = []*armnetwork.LoadBalancerBackendAddress{homeless}
		_, err = z.pools.BeginCreateOrUpdate(ctx, group, "lb-lm", "byaddress", pool, nil)
		wantResponseError(t, err, 400, "InvalidRequestFormat")
		pager := z.pools.NewListPager(group, "lb-lm", nil)
		page, err := pager.NextPage(ctx)
		if err != nil || len(page.Value) != 2 || pager.More() {
			t.Errorf("list of pools: %d, more %t, %v", len(page.Value), pager.More(), err)
		}
	})
}

func TestUnknownFieldsSurvive(t *testing.T) {
	onAzure(t, arm.Options{}, func(ctx context.Context, z *azure) {
		_, _, got := z.do(ctx, http.MethodGet, lbID, "")
		whole := parse(t, []byte(got)).(map[string]any)
		whole["extendedLocation"] = map[string]any{"name": "edge", "big": json.Number("12345678901234567890")}
		properties := whole["properties"].(map[string]any)
		properties["futureField"] = []any{"<&>", nil, 1.5}
		pool := properties["backendAddressPools"].([]any)[0].(map[string]any)
		address := pool["properties"].(map[string]any)["loadBalancerBackendAddresses"].([]any)[0].(map[string]any)
		address["properties"].(map[string]any)["futureState"] = "Draining"
		b, err := json.Marshal(whole)
		if err != nil {
			t.Fatal(err)
		}
		if status, _, answer := z.do(ctx, http.MethodPut, lbID, string(b)); status != 200 {
			t.Fatalf("PUT: %d %s", status, answer)
		}
		time.Sleep(5 * time.Second)
		status, _, answer := z.do(ctx, http.MethodPatch, lbID, `{"tags": {"a": "b"}}`)
		if status != 200 {
			t.Fatalf("PATCH: %d %s", status, answer)
		}
		for _, want := range []string{`"futureField":["<&>",null,1.5]`, `"big":12345678901234567890`, `"futureState":"Draining"`, `"tags":{"a":"b"}`} {
			if !strings.Contains(answer, want) {
				t.Errorf("after PUT and PATCH %s is not there: %s", want, answer)
			}
		}
	})
}

func TestTagsArePatchedAlone(t *testing.T) {
	onAzure(t, arm.Options{}, func(ctx context.Context, z *azure) {
		before := z.getLB(ctx)
		resp, err := z.lbs.UpdateTags(ctx, group, "lb-lm", armnetwork.TagsObject{Tags: map[string]*string{"tandem": new("epoch 7")}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if *resp.Tags["tandem"] != "epoch 7" || *resp.Etag == *before.Etag || *resp.Properties.ProvisioningState != "Succeeded" {
			t.Errorf("got tags %v, etag %s", resp.Tags, *resp.Etag)
		}
		if status, _, b := z.do(ctx, http.MethodPatch, lbID, `{"properties": {}}`); status != 400 {
			t.Errorf("PATCH of properties: %d %s", status, b)
		}
		if got := told(z.takeEvents()); !slices.Equal(got, []string{"ResourceWriteSuccess Network/loadBalancers/write lb-lm"}) {
			t.Errorf("events: %q", got)
		}
	})
}

func TestReadsOfEverything(t *testing.T) {
	onAzure(t, arm.Options{}, func(ctx context.Context, z *azure) {
		for _, read := range []func() (string, error){
			func() (string, error) {
				r, err := z.probes.Get(ctx, group, "lb-lm", "check", nil)
				return deref(r.ID), err
			},
			func() (string, error) {
				r, err := z.fronts.Get(ctx, group, "LB-LM", "VIP1", nil)
				return deref(r.ID), err
			},
			func() (string, error) {
				r, err := z.rules.Get(ctx, group, "lb-lm", "https", nil)
				return deref(r.ID), err
			},
			func() (string, error) {
				r, err := z.nats.Get(ctx, group, "lb-lm", "wui", nil)
				return deref(r.ID), err
			},
			func() (string, error) {
				r, err := z.nics.Get(ctx, strings.ToUpper(group), "lm-1-nic", nil)
				return deref(r.ID), err
			},
			func() (string, error) {
				page, err := z.lbs.NewListPager(group, nil).NextPage(ctx)
				if err != nil || len(page.Value) != 1 {
					return "", err
				}
				return deref(page.Value[0].ID), nil
			},
			func() (string, error) {
				page, err := z.lbs.NewListAllPager(nil).NextPage(ctx)
				if err != nil || len(page.Value) != 1 {
					return "", err
				}
				return deref(page.Value[0].ID), nil
			},
			func() (string, error) {
				page, err := z.nats.NewListPager(group, "lb-lm", nil).NextPage(ctx)
				if err != nil || len(page.Value) != 1 {
					return "", err
				}
				return deref(page.Value[0].ID), nil
			},
		} {
			if id, err := read(); err != nil || !strings.HasPrefix(id, base) {
				t.Errorf("got %q, %v", id, err)
			}
		}
		_, err := z.lbs.Get(ctx, group, "nope", nil)
		wantResponseError(t, err, 404, "ResourceNotFound")
		for path, want := range map[string]string{
			"/subscriptions/" + strings.Replace(sub, "1", "2", 1) + "/providers/Microsoft.Network/loadBalancers": "SubscriptionNotFound",
			base + "Microsoft.Network/unheardOf/x": "InvalidResourceType",
			"/":                                    "SubscriptionNotFound",
			lbID + "?api-version=":                 "MissingApiVersionParameter",
			lbID + "?api-version=new":              "InvalidApiVersionParameter",
			"/subscriptions/" + sub + "/providers/Microsoft.Network/locations/x/operations/nope": "OperationNotFound",
		} {
			if status, _, b := z.do(ctx, http.MethodGet, path, ""); status/100 != 4 || !strings.Contains(b, want) {
				t.Errorf("GET %s: %d %s, want %s", path, status, b, want)
			}
		}
	})
}

func TestSecurityGroupsAreKept(t *testing.T) {
	onAzure(t, arm.Options{}, func(ctx context.Context, z *azure) {
		group1 := armnetwork.SecurityGroup{Location: new("westeurope"), Properties: &armnetwork.SecurityGroupPropertiesFormat{
			SecurityRules: []*armnetwork.SecurityRule{{Name: new("check"), Properties: &armnetwork.SecurityRulePropertiesFormat{
				Direction: new(armnetwork.SecurityRuleDirectionInbound), Access: new(armnetwork.SecurityRuleAccessAllow),
				Protocol: new(armnetwork.SecurityRuleProtocolTCP), Priority: new(int32(200)),
				SourceAddressPrefix: new("AzureLoadBalancer"), SourcePortRange: new("*"), DestinationAddressPrefix: new("*"), DestinationPortRange: new("8444"),
			}}},
		}}
		p, err := z.nsgs.BeginCreateOrUpdate(ctx, group, "nsg-edge", group1, nil)
		resp, err := await(ctx, p, err)
		if err != nil {
			t.Fatal(err)
		}
		if len(resp.Properties.SecurityRules) != 1 || len(resp.Properties.DefaultSecurityRules) != 6 || *resp.Properties.SecurityRules[0].Etag != *resp.Etag {
			t.Errorf("got %+v", *resp.Properties)
		}
		_, err = z.nsgs.BeginCreateOrUpdate(ifMatch(ctx, `W/"invalid"`), group, "nsg-edge", group1, nil)
		wantResponseError(t, err, 412, "PreconditionFailed")
		if got := told(z.takeEvents()); !slices.Equal(got, []string{"ResourceWriteSuccess Network/networkSecurityGroups/write nsg-edge"}) {
			t.Errorf("events: %q", got)
		}
	})
}

func TestHealthAction(t *testing.T) {
	onAzure(t, arm.Options{}, func(ctx context.Context, z *azure) {
		for _, tt := range []struct {
			file   string
			health []dataplane.BackendHealth
		}{
			{"lb-rule-health.response.json", []dataplane.BackendHealth{
				{Address: addresses[0], State: dataplane.StateUp, Reason: dataplane.UpProbeSuccess},
				{Address: addresses[1], State: dataplane.StateDown, Reason: dataplane.DownHTTPStatusCodeError},
			}},
			{"lb-rule-health.adminstate.response.json", []dataplane.BackendHealth{
				{Address: addresses[0], State: dataplane.StateUp, Reason: dataplane.UpAdmin},
				{Address: addresses[1], State: dataplane.StateDown, Reason: dataplane.DownAdmin},
			}},
		} {
			z.path.health = tt.health
			status, header, _ := z.do(ctx, http.MethodPost, lbID+"/loadBalancingRules/https/health", "")
			location := strings.TrimPrefix(header.Get("Location"), "https://management.azure.com")
			if status != 202 || location == "" {
				t.Fatalf("health: %d, Location %q", status, location)
			}
			if status, _, _ := z.do(ctx, http.MethodGet, location, ""); status != 202 {
				t.Errorf("first poll: %d", status)
			}
			time.Sleep(3 * time.Second)
			_, _, got := z.do(ctx, http.MethodGet, location, "")
			wantExample(t, got, parse(t, example(t, tt.file)), true)
		}
		p, err := z.rules.BeginHealth(ctx, group, "lb-lm", "https", nil)
		resp, err := await(ctx, p, err)
		if err != nil || *resp.Up != 1 || *resp.LoadBalancerBackendAddresses[1].Reason != "Down_Admin" {
			t.Errorf("by the client: %+v, %v", resp.LoadBalancerHealthPerRule, err)
		}
		z.path.health = []dataplane.BackendHealth{{Address: addresses[0]}, {Address: addresses[1], State: dataplane.StateNA, Reason: dataplane.ReasonNA}}
		p, err = z.rules.BeginHealth(ctx, group, "lb-lm", "https", nil)
		resp, err = await(ctx, p, err)
		if err != nil || *resp.Up != 0 || *resp.Down != 0 || *resp.LoadBalancerBackendAddresses[0].State != "" {
			t.Errorf("of a stopped and a new machine: %+v, %v", resp.LoadBalancerHealthPerRule, err)
		}
		_, err = z.rules.BeginHealth(ctx, group, "lb-lm", "nope", nil)
		wantResponseError(t, err, 404, "NotFound")
		if got := told(z.takeEvents()); len(got) != 0 {
			t.Errorf("a health action raised %q", got)
		}
	})
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func TestPublicFrontendsHaveTheAddressTheyReferTo(t *testing.T) {
	onAzure(t, arm.Options{}, func(_ context.Context, z *azure) {
		ip := base + "Microsoft.Network/publicIPAddresses/pip-edge"
		if err := z.manager.SeedLoadBalancer(arm.LoadBalancer{
			ID:        base + "Microsoft.Network/loadBalancers/plb-edge",
			Frontends: []arm.Frontend{{Name: "public", PublicIP: ip}},
		}); err != nil {
			t.Fatal(err)
		}
		if err := z.manager.SeedPublicIP(arm.PublicIP{ID: ip, Address: netip.MustParseAddr("203.0.113.7")}); err != nil {
			t.Fatal(err)
		}
		z.path.take()
		if got := z.path.last.Frontends[0].Address.String(); got != "203.0.113.7" {
			t.Errorf("the data path listens on %s", got)
		}
	})
}

func TestWhatOnlyTheWholeCanChangeIsNotWrittenAlone(t *testing.T) {
	onAzure(t, arm.Options{}, func(ctx context.Context, z *azure) {
		for _, tt := range [][2]string{
			{http.MethodPut, lbID + "/probes/check"},
			{http.MethodPut, lbID + "/loadBalancingRules/https"},
			{http.MethodPut, lbID + "/frontendIPConfigurations/vip1"},
			{http.MethodPatch, poolID},
			{http.MethodPut, vm1},
			{http.MethodPost, vm1 + "/runCommand"},
			{http.MethodPost, lbID},
			{http.MethodPost, base + "Microsoft.Network/loadBalancers"},
		} {
			if status, _, b := z.do(ctx, tt[0], tt[1], "{}"); status != http.StatusMethodNotAllowed {
				t.Errorf("%s %s: %d %s", tt[0], tt[1], status, b)
			}
		}
	})
}
