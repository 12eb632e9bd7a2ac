package arm_test

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/compute/armcompute/v7"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v9"

	"tandem/internal/lab/arm"
	"tandem/internal/lab/dataplane"
)

func (z *azure) beginDown(ctx context.Context, i int) (*runtime.Poller[armnetwork.LoadBalancerBackendAddressPoolsClientCreateOrUpdateResponse], error) {
	return z.pools.BeginCreateOrUpdate(ctx, group, "lb-lm", "loadmasters", setAdmin(z.getPool(ctx), i, stateDown), nil)
}

func TestASecondWriteSupersedesTheFirst(t *testing.T) {
	onAzure(t, arm.Options{FirstAnswer: arm.AlwaysUpdating}, func(ctx context.Context, z *azure) {
		first, err := z.beginDown(ctx, 1)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		lb := z.getLB(ctx)
		lb.Properties.BackendAddressPools[0].Properties.LoadBalancerBackendAddresses[1].Properties.AdminState = new(stateNone)
		second, err := z.lbs.BeginCreateOrUpdate(ctx, group, "lb-lm", lb, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, err = await(ctx, first, nil)
		resp := wantResponseError(t, err, 200, "Canceled")
		if !strings.Contains(err.Error(), "CanceledAndSupersededDueToAnotherOperation") {
			t.Errorf("the error does not tell that the write was superseded: %v", err)
		}
		wantExample(t, body(t, resp), parse(t, example(t, "arm-async-superseded.json")), true)
		if _, err := await(ctx, second, nil); err != nil {
			t.Error(err)
		}
		time.Sleep(2 * time.Second)
		if got := z.path.take(); !slices.Equal(got, []string{"lm-1=None lm-2=None"}) {
			t.Errorf("the data path was told %q, want only the second write", got)
		}
		if got := told(z.takeEvents()); !slices.Equal(got, []string{
			"ResourceWriteCancel Network/loadBalancers/backendAddressPools/write loadmasters",
			"ResourceWriteSuccess Network/loadBalancers/write lb-lm",
		}) {
			t.Errorf("events: %q", got)
		}
	})
}

func TestASecondWriteIsRefusedWhereTheOptionSaysSo(t *testing.T) {
	onAzure(t, arm.Options{SecondWrite: arm.Refused}, func(ctx context.Context, z *azure) {
		first, err := z.beginDown(ctx, 1)
		if err != nil {
			t.Fatal(err)
		}
		_, err = z.lbs.BeginCreateOrUpdate(ctx, group, "lb-lm", z.getLB(ctx), nil)
		resp := wantResponseError(t, err, 429, "RetryableError")
		wantExample(t, body(t, resp), parse(t, example(t, "arm-error-429-locked.json")), true)
		if got := resp.Header.Get("Retry-After"); got != "5" {
			t.Errorf("Retry-After %q, want 5", got)
		}
		if _, err := await(ctx, first, nil); err != nil {
			t.Error(err)
		}
		if _, err = z.lbs.BeginCreateOrUpdate(ctx, group, "lb-lm", z.getLB(ctx), nil); err != nil {
			t.Errorf("after the first write ended: %v", err)
		}
	})
}

func TestAWriteIsResumedByItsToken(t *testing.T) {
	onAzure(t, arm.Options{AsyncDelay: 30 * time.Second, RetryAfter: 7 * time.Second}, func(ctx context.Context, z *azure) {
		poller, err := z.beginDown(ctx, 0)
		if err != nil {
			t.Fatal(err)
		}
		token, err := poller.ResumeToken()
		if err != nil {
			t.Fatal(err)
		}
		resumed, err := z.pools.BeginCreateOrUpdate(ctx, "", "", "", armnetwork.BackendAddressPool{},
			&armnetwork.LoadBalancerBackendAddressPoolsClientBeginCreateOrUpdateOptions{ResumeToken: token})
		if err != nil {
			t.Fatal(err)
		}
		resp, err := resumed.Poll(ctx)
		if err != nil || resumed.Done() || resp.Header.Get("Retry-After") != "7" {
			t.Errorf("first poll: done %t, %v", resumed.Done(), err)
		}
		time.Sleep(31 * time.Second)
		if _, err := resumed.Poll(ctx); err != nil || !resumed.Done() {
			t.Fatalf("after the delay: done %t, %v", resumed.Done(), err)
		}
		result, err := resumed.Result(ctx)
		if err != nil || admins(result.BackendAddressPool) != "Down None" {
			t.Errorf("result: %v", err)
		}
	})
}

func TestFirstAnswers(t *testing.T) {
	for _, tt := range []struct {
		first              arm.FirstAnswer
		lbEnded, poolEnded bool
	}{
		{arm.AsRecorded, true, false},
		{arm.AlwaysUpdating, false, false},
		{arm.AlwaysSucceeded, true, true},
	} {
		t.Run(tt.first.String(), func(t *testing.T) {
			onAzure(t, arm.Options{FirstAnswer: tt.first}, func(ctx context.Context, z *azure) {
				lb, err := z.lbs.BeginCreateOrUpdate(ctx, group, "lb-lm", z.getLB(ctx), nil)
				if err != nil || lb.Done() != tt.lbEnded {
					t.Errorf("load balancer: done %t, %v", lb.Done(), err)
				}
				time.Sleep(10 * time.Second)
				pool, err := z.beginDown(ctx, 1)
				if err != nil || pool.Done() != tt.poolEnded {
					t.Errorf("pool: done %t, %v", pool.Done(), err)
				}
				if got := z.path.take(); len(got) != 1 {
					t.Errorf("just after the answer the data path was told %q", got)
				}
				time.Sleep(4100 * time.Millisecond)
				if got := z.path.take(); len(got) != 1 {
					t.Errorf("after both delays the data path was told %q", got)
				}
			})
		})
	}
}

func TestThrottling(t *testing.T) {
	onAzure(t, arm.Options{Reads: arm.Bucket{Size: 5, PerSecond: 0.5}}, func(ctx context.Context, z *azure) {
		for i := range 5 {
			status, header, _ := z.do(ctx, http.MethodGet, lbID, "")
			if left := header.Get("X-Ms-Ratelimit-Remaining-Subscription-Reads"); status != 200 || left != string(rune('4'-i)) {
				t.Errorf("read %d: %d, %s left", i, status, left)
			}
		}
		status, header, b := z.do(ctx, http.MethodGet, lbID, "")
		if status != 429 || header.Get("Retry-After") != "2" || !strings.Contains(b, "SubscriptionRequestsThrottled") {
			t.Errorf("sixth read: %d, Retry-After %q, %s", status, header.Get("Retry-After"), b)
		}
		if status, _, _ := z.do(ctx, http.MethodPatch, lbID, `{"tags": {}}`); status != 200 {
			t.Errorf("a write while reads are throttled: %d", status)
		}
		if _, err := z.lbs.Get(ctx, group, "lb-lm", nil); err != nil {
			t.Errorf("another principal: %v", err)
		}
		time.Sleep(2 * time.Second)
		if status, _, _ := z.do(ctx, http.MethodGet, lbID, ""); status != 200 {
			t.Errorf("after Retry-After: %d", status)
		}
	})
}

func TestFaults(t *testing.T) {
	put := func(ctx context.Context, z *azure) error {
		_, err := z.beginDown(ctx, 1)
		return err
	}
	for _, tt := range []struct {
		name  string
		fault arm.Fault
		check func(ctx context.Context, z *azure, err error)
		state string // of the pool afterwards
	}{
		{
			"an answer takes the place of the write",
			arm.Fault{Kind: arm.Answer, Method: "PUT", PathPrefix: strings.ToUpper(lbID), Status: 503, RetryAfter: 1500 * time.Millisecond},
			func(_ context.Context, z *azure, err error) {
				if resp := wantResponseError(z.t, err, 503, "ServiceUnavailable"); resp.Header.Get("Retry-After") != "2" {
					z.t.Errorf("Retry-After %q", resp.Header.Get("Retry-After"))
				}
			}, "None None",
		},
		{
			"any known refusal can be answered",
			arm.Fault{
				Kind: arm.Answer, Method: "PUT", Status: 429, Code: "RetryableError",
				Message: "A retryable error occurred.", DetailCode: "ReferencedResourceNotProvisioned",
			},
			func(_ context.Context, z *azure, err error) {
				resp := wantResponseError(z.t, err, 429, "RetryableError")
				want := strings.ReplaceAll(string(example(z.t, "arm-error-429-referenced-not-provisioned.json")), "\r", "")
				wantExample(z.t, body(z.t, resp), parse(z.t, []byte(want)), true)
			}, "None None",
		},
		{
			"a cut connection does nothing",
			arm.Fault{Kind: arm.Cut, Method: "PUT"},
			func(_ context.Context, z *azure, err error) {
				if err == nil {
					z.t.Error("no error")
				}
			}, "None None",
		},
		{
			"a connection cut after the write leaves it done",
			arm.Fault{Kind: arm.CutAfter, Method: "PUT"},
			func(_ context.Context, z *azure, err error) {
				if err == nil {
					z.t.Error("no error")
				}
			}, "None Down",
		},
		{
			"no answer until the client gives up",
			arm.Fault{Kind: arm.Hang, Method: "PUT"},
			func(_ context.Context, z *azure, err error) {
				if !errors.Is(err, context.DeadlineExceeded) {
					z.t.Errorf("got %v", err)
				}
			}, "None None",
		},
		{
			"a fault for another path is none",
			arm.Fault{Kind: arm.Answer, Method: "PUT", PathPrefix: vm1, Status: 500},
			func(_ context.Context, z *azure, err error) {
				if err != nil {
					z.t.Error(err)
				}
			}, "None Down",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			onAzure(t, arm.Options{}, func(ctx context.Context, z *azure) {
				z.manager.Inject(tt.fault)
				short, cancel := context.WithTimeout(ctx, 10*time.Second)
				defer cancel()
				tt.check(ctx, z, put(short, z))
				z.manager.ClearFaults()
				if got := admins(z.getPool(ctx)); got != tt.state {
					t.Errorf("admin states %s, want %s", got, tt.state)
				}
				if err := put(ctx, z); err != nil {
					t.Errorf("the next write: %v", err)
				}
			})
		})
	}
}

func TestFaultsAreCounted(t *testing.T) {
	onAzure(t, arm.Options{}, func(ctx context.Context, z *azure) {
		z.manager.Inject(arm.Fault{Kind: arm.Answer, Count: 2, Status: 500})
		z.manager.Inject(arm.Fault{Kind: arm.Answer, Count: 1, Status: 403})
		for _, want := range []int{500, 500, 403, 200} {
			if status, _, _ := z.do(ctx, http.MethodGet, lbID, ""); status != want {
				t.Errorf("got %d, want %d", status, want)
			}
		}
	})
}

func TestAWriteThatFailsLater(t *testing.T) {
	onAzure(t, arm.Options{}, func(ctx context.Context, z *azure) {
		z.manager.Inject(arm.Fault{Kind: arm.FailOperation, Method: "PUT"})
		p, err := z.beginDown(ctx, 1)
		_, err = await(ctx, p, err)
		wantResponseError(t, err, 200, "InternalServerError")
		lb := z.getLB(ctx)
		if *lb.Properties.ProvisioningState != armnetwork.ProvisioningStateFailed {
			t.Errorf("provisioning state %s", *lb.Properties.ProvisioningState)
		}
		time.Sleep(time.Minute)
		if got := z.path.take(); len(got) != 0 {
			t.Errorf("the data path was told %q", got)
		}
		// It is repaired by writing the same again (azure.md 1.9).
		q, err := z.lbs.BeginCreateOrUpdate(ctx, group, "lb-lm", lb, nil)
		resp, err := await(ctx, q, err)
		if err != nil || *resp.Properties.ProvisioningState != armnetwork.ProvisioningStateSucceeded {
			t.Errorf("repair: %v", err)
		}
		if got := told(z.takeEvents()); !slices.Equal(got, []string{
			"ResourceWriteFailure Network/loadBalancers/backendAddressPools/write loadmasters",
			"ResourceWriteSuccess Network/loadBalancers/write lb-lm",
		}) {
			t.Errorf("events: %q", got)
		}
	})
}

func TestAWriteThatNeverTakesEffect(t *testing.T) {
	onAzure(t, arm.Options{}, func(ctx context.Context, z *azure) {
		z.manager.Inject(arm.Fault{Kind: arm.NoEffect, Method: "PUT"})
		p, err := z.beginDown(ctx, 1)
		if resp, err := await(ctx, p, err); err != nil || admins(resp.BackendAddressPool) != "None Down" {
			t.Errorf("the write: %v", err)
		}
		time.Sleep(time.Hour)
		if got := z.path.take(); len(got) != 0 {
			t.Errorf("the data path was told %q", got)
		}
	})
}

func TestOptionsChangeAtRunTime(t *testing.T) {
	onAzure(t, arm.Options{}, func(ctx context.Context, z *azure) {
		z.manager.SetOptions(arm.Options{EffectDelay: 10 * time.Minute, AsyncDelay: -1})
		p, err := z.beginDown(ctx, 1)
		if _, err := await(ctx, p, err); err != nil {
			t.Fatal(err)
		}
		time.Sleep(9 * time.Minute)
		if got := z.path.take(); len(got) != 0 {
			t.Errorf("too early the data path was told %q", got)
		}
		time.Sleep(2 * time.Minute)
		if got := z.path.take(); len(got) != 1 {
			t.Errorf("the data path was told %q", got)
		}
	})
}

func TestEventsTellWhoDidWhat(t *testing.T) {
	onAzure(t, arm.Options{}, func(ctx context.Context, z *azure) {
		p, err := z.beginDown(ctx, 1)
		if err != nil {
			t.Fatal(err)
		}
		if got := z.takeEvents(); len(got) != 0 {
			t.Errorf("an event before the end of the operation: %q", told(got))
		}
		if _, err := await(ctx, p, nil); err != nil {
			t.Fatal(err)
		}
		events := z.takeEvents()
		if len(events) != 1 {
			t.Fatalf("events: %q", told(events))
		}
		e := events[0]
		e.URL, _, _ = strings.Cut(e.URL, "?")
		want := arm.Event{
			Type: "Microsoft.Resources.ResourceWriteSuccess", Subject: poolID, Operation: "Microsoft.Network/loadBalancers/backendAddressPools/write",
			Status: "Succeeded", CorrelationID: e.CorrelationID, Claims: tandem, HTTPMethod: "PUT", URL: "https://management.azure.com" + poolID,
			ClientRequestID: e.ClientRequestID, Provider: "Microsoft.Network", SubscriptionID: sub, TenantID: "00000000-0000-0000-0000-0000000000aa", Time: e.Time,
		}
		if e != want {
			t.Errorf("got %+v\nwant %+v", e, want)
		}
		if e.CorrelationID == "" || !e.Time.Before(time.Now()) {
			t.Errorf("correlation %q, time %s", e.CorrelationID, e.Time)
		}

		// A new resource has no request in its event; the correlation is the client's.
		_, header, _ := z.do(ctx, http.MethodPut, base+"Microsoft.Network/loadBalancers/lb-new", `{"location": "westeurope"}`, "X-Ms-Correlation-Request-Id", "mine")
		if header.Get("X-Ms-Correlation-Request-Id") != "mine" || header.Get("X-Ms-Request-Id") == "" {
			t.Errorf("header %v", header)
		}
		if events = z.takeEvents(); len(events) != 1 || events[0].CorrelationID != "mine" || events[0].HTTPMethod != "" || events[0].Claims != ada {
			t.Errorf("events: %+v", events)
		}
	})
}

func TestDelete(t *testing.T) {
	onAzure(t, arm.Options{}, func(ctx context.Context, z *azure) {
		p, err := z.lbs.BeginDelete(ctx, group, "lb-lm", nil)
		if _, err := await(ctx, p, err); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		_, err = z.lbs.Get(ctx, group, "lb-lm", nil)
		wantResponseError(t, err, 404, "ResourceNotFound")
		if got := told(z.takeEvents()); !slices.Equal(got, []string{"ResourceDeleteSuccess Network/loadBalancers/delete lb-lm"}) {
			t.Errorf("events: %q", got)
		}
		if !slices.Equal(z.path.removed, []string{lbID}) {
			t.Errorf("removed from the data path: %q", z.path.removed)
		}
		nic, err := z.nics.Get(ctx, group, "lm-2-nic", nil)
		if err != nil || len(nic.Properties.IPConfigurations[0].Properties.LoadBalancerBackendAddressPools) != 0 {
			t.Errorf("the interface after the delete: %v", err)
		}
	})
}

func TestMachinesAreShown(t *testing.T) {
	onAzure(t, arm.Options{}, func(ctx context.Context, z *azure) {
		at := time.Now().UTC().Format("2006-01-02T15:04:05-07:00")
		for vm, file := range map[string]string{vm1: "vm-instance-view.running.json", vm2: "vm-instance-view.deallocated.json"} {
			_, _, got := z.do(ctx, http.MethodGet, vm+"/instanceView", "")
			want := strings.ReplaceAll(string(example(t, file)), "2025-10-20T10:00:00+00:00", at)
			wantExample(t, got, parse(t, []byte(want)), true)
		}
		plain, err := z.vms.Get(ctx, group, "lm-1", nil)
		if err != nil || plain.Properties.InstanceView != nil || *plain.Properties.NetworkProfile.NetworkInterfaces[0].ID != nic1 {
			t.Errorf("plain: %v", err)
		}
		expand := armcompute.InstanceViewTypesInstanceView
		full, err := z.vms.Get(ctx, group, "lm-2", &armcompute.VirtualMachinesClientGetOptions{Expand: &expand})
		if err != nil || *full.Properties.InstanceView.Statuses[1].Code != "PowerState/deallocated" {
			t.Errorf("expanded: %v", err)
		}
		page, err := z.vms.NewListAllPager(&armcompute.VirtualMachinesClientListAllOptions{StatusOnly: new("true")}).NextPage(ctx)
		if err != nil || len(page.Value) != 2 || *page.Value[0].Properties.InstanceView.Statuses[1].Code != "PowerState/running" || page.Value[0].Properties.NetworkProfile != nil {
			t.Errorf("status only: %d machines, %v", len(page.Value), err)
		}
		group1, err := z.vms.NewListPager(group, nil).NextPage(ctx)
		if err != nil || len(group1.Value) != 2 {
			t.Errorf("list: %v", err)
		}
	})
}

func TestPowerActions(t *testing.T) {
	type vms = armcompute.VirtualMachinesClient
	start := func(ctx context.Context, c *vms, name string) error {
		p, err := c.BeginStart(ctx, group, name, nil)
		_, err = await(ctx, p, err)
		return err
	}
	restart := func(ctx context.Context, c *vms, name string) error {
		p, err := c.BeginRestart(ctx, group, name, nil)
		_, err = await(ctx, p, err)
		return err
	}
	powerOff := func(ctx context.Context, c *vms, name string) error {
		p, err := c.BeginPowerOff(ctx, group, name, nil)
		_, err = await(ctx, p, err)
		return err
	}
	deallocate := func(ctx context.Context, c *vms, name string) error {
		p, err := c.BeginDeallocate(ctx, group, name, nil)
		_, err = await(ctx, p, err)
		return err
	}
	for _, tt := range []struct {
		name   string
		vm     string
		act    func(context.Context, *vms, string) error
		during arm.PowerState
		after  arm.PowerState
		powers []string
		event  string
	}{
		{"start switches on at its end", vm2, start, arm.Starting, arm.Running, []string{"start lm-2"}, "start/action lm-2"},
		{"start of what runs does nothing", vm1, start, arm.Running, arm.Running, nil, "start/action lm-1"},
		{"restart", vm1, restart, arm.Running, arm.Running, []string{"restart lm-1"}, "restart/action lm-1"},
		{"power off", vm1, powerOff, arm.Stopping, arm.Stopped, []string{"powerOff lm-1"}, "powerOff/action lm-1"},
		{"power off of what is deallocated does nothing", vm2, powerOff, arm.Deallocated, arm.Deallocated, nil, "powerOff/action lm-2"},
		{"deallocate", vm1, deallocate, arm.Deallocating, arm.Deallocated, []string{"deallocate lm-1"}, "deallocate/action lm-1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			onAzure(t, arm.Options{}, func(ctx context.Context, z *azure) {
				done := make(chan error, 1)
				go func() { done <- tt.act(ctx, z.vms, tt.vm[len(tt.vm)-4:]) }()
				time.Sleep(2 * time.Second)
				if got := z.manager.Power(tt.vm); got != tt.during {
					t.Errorf("during the action: %s, want %s", got, tt.during)
				}
				if err := <-done; err != nil {
					t.Error(err)
				}
				if got := z.manager.Power(tt.vm); got != tt.after {
					t.Errorf("after the action: %s, want %s", got, tt.after)
				}
				if got := told(z.takeEvents()); !slices.Equal(got, []string{"ResourceActionSuccess Compute/virtualMachines/" + tt.event}) {
					t.Errorf("events: %q", got)
				}
				if !slices.Equal(z.powers, tt.powers) {
					t.Errorf("machines moved: %q, want %q", z.powers, tt.powers)
				}
			})
		})
	}
}

func TestPowerActionsThatGoWrong(t *testing.T) {
	onAzure(t, arm.Options{}, func(ctx context.Context, z *azure) {
		_, err := z.vms.BeginRestart(ctx, group, "lm-2", nil)
		wantResponseError(t, err, 409, "OperationNotAllowed")

		z.manager.Inject(arm.Fault{Kind: arm.FailOperation, Method: "POST"})
		p, err := z.vms.BeginStart(ctx, group, "lm-2", nil)
		_, err = await(ctx, p, err)
		wantResponseError(t, err, 200, "AllocationFailed")

		p, err = z.vms.BeginStart(ctx, group, "lm-2", nil)
		if err != nil {
			t.Fatal(err)
		}
		q, err := z.vms.BeginDeallocate(ctx, group, "lm-2", nil)
		if _, err := await(ctx, q, err); err != nil {
			t.Error(err)
		}
		_, err = await(ctx, p, nil)
		wantResponseError(t, err, 200, "OperationPreempted")
		if got := told(z.takeEvents()); !slices.Equal(got, []string{
			"ResourceActionFailure Compute/virtualMachines/start/action lm-2",
			"ResourceActionFailure Compute/virtualMachines/start/action lm-2",
			"ResourceActionSuccess Compute/virtualMachines/deallocate/action lm-2",
		}) {
			t.Errorf("events: %q", got)
		}
		if !slices.Equal(z.powers, []string{"deallocate lm-2"}) {
			t.Errorf("machines moved: %q", z.powers)
		}
		if err := z.manager.SetPower(vm1, arm.Stopped); err != nil || z.manager.Power(vm1) != arm.Stopped {
			t.Errorf("set power: %v", err)
		}
		if err := z.manager.SetPower(nic1, arm.Stopped); err == nil {
			t.Error("an interface was switched off")
		}
	})
}

func TestTheDataPathFollows(t *testing.T) {
	certificate()
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		z := onRealPath(t)
		defer z.end()
		wantHealth := func(when, want string) {
			t.Helper()
			p, err := z.rules.BeginHealth(ctx, group, "lb-lm", "https", nil)
			resp, err := await(ctx, p, err)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, a := range resp.LoadBalancerBackendAddresses {
				got = append(got, *a.Reason)
			}
			if strings.Join(got, " ") != want {
				t.Errorf("%s: %q, want %q", when, got, want)
			}
		}
		time.Sleep(6 * time.Second)
		wantHealth("a healthy pair", "Up_Probe_Success Down_Probe_HttpStatusCodeError")
		if got := z.ask(); got != "10.0.2.4" {
			t.Errorf("a request was answered by %q", got)
		}
		p, err := z.beginDown(ctx, 0)
		if _, err := await(ctx, p, err); err != nil {
			t.Fatal(err)
		}
		wantHealth("with the active unit set Down", "Down_Admin Down_Probe_HttpStatusCodeError")
		if got := z.ask(); got != "" {
			t.Errorf("a request to nobody was answered by %q", got)
		}
		q, err := z.pools.BeginCreateOrUpdate(ctx, group, "lb-lm", "loadmasters", setAdmin(z.getPool(ctx), 0, stateNone), nil)
		if _, err := await(ctx, q, err); err != nil {
			t.Fatal(err)
		}
		wantHealth("with the admin state back to None", "Up_Probe_Success Down_Probe_HttpStatusCodeError")
	})
}

// realPath is an azure with the true data path and two units.
type realPath struct {
	*azure
	end func()
}

func onRealPath(t *testing.T) realPath {
	z := &azure{t: t, net: newNetwork()}
	z.worker = z.net.Host("worker", worker)
	var servers []*http.Server
	for i, addr := range addresses {
		host := z.net.Host("lm", addr)
		for port, status := range map[int]int{8444: []int{200, 503}[i], 443: 200} {
			s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(status)
				_, _ = w.Write([]byte(addr.String()))
			})}
			l, err := host.Listen(port)
			if err != nil {
				t.Fatal(err)
			}
			servers = append(servers, s)
			go func() { _ = s.Serve(l) }()
		}
	}
	path := dataplane.New(z.net, dataplane.Options{Phase: 5 * time.Microsecond}, nil)
	z.manage(arm.Options{}, path)
	stop := z.serve()
	z.connect()
	z.seed()
	return realPath{z, func() {
		z.http.CloseIdleConnections()
		stop()
		z.manager.Close()
		path.Close()
		for _, s := range servers {
			_ = s.Close()
		}
		z.net.Close()
		synctest.Wait()
	}}
}

// ask sends a request to the frontend and returns who answered, or "".
func (z *azure) ask() string {
	c := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DialContext: z.worker.DialContext, DisableKeepAlives: true}}
	resp, err := c.Get("http://" + netip.AddrPortFrom(vip, 443).String())
	if err != nil {
		return ""
	}
	defer func() { _ = resp.Body.Close() }()
	b := make([]byte, 64)
	n, _ := resp.Body.Read(b)
	return string(b[:n])
}
