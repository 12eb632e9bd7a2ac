package arm_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	azarm "github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	azfake "github.com/Azure/azure-sdk-for-go/sdk/azcore/fake"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/compute/armcompute/v7"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v9"

	"tandem/internal/lab/arm"
)

// patch sends tags through the bare pipeline of the SDK, which can set If-Match.
func (z *azure) patch(ctx context.Context, etag, body string) (*http.Response, error) {
	client, err := azarm.NewClient("test", "v1.0.0", &azfake.TokenCredential{}, z.options)
	if err != nil {
		z.t.Fatal(err)
	}
	req, err := runtime.NewRequest(ctx, http.MethodPatch, "https://management.azure.com"+lbID+"?api-version=2025-05-01")
	if err != nil {
		z.t.Fatal(err)
	}
	if err := req.SetBody(streaming(body), "application/json"); err != nil {
		z.t.Fatal(err)
	}
	if etag != "" {
		req.Raw().Header.Set("If-Match", etag)
	}
	resp, err := client.Pipeline().Do(req)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = runtime.NewResponseError(resp)
	}
	return resp, err
}

type readSeekCloser struct{ *strings.Reader }

func (readSeekCloser) Close() error { return nil }

func streaming(s string) readSeekCloser { return readSeekCloser{strings.NewReader(s)} }

// tags lists them as name=value, sorted.
func tags(lb armnetwork.LoadBalancer) string {
	var all []string
	for name, value := range lb.Tags {
		all = append(all, name+"="+*value)
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

func TestTagsOfALoadBalancer(t *testing.T) {
	for _, tt := range []struct {
		name  string
		opts  arm.Options
		stale bool // the ETag is not the newest
		want  string
		code  string // of the refusal
	}{
		{"a PATCH replaces all tags", arm.Options{}, false, "b=3 c=4", ""},
		{"or adds to them where the option says so", arm.Options{TagsPatch: arm.Merges}, false, "a=1 b=3 c=4", ""},
		{"a stale ETag is refused", arm.Options{}, true, "a=1 b=2", "PreconditionFailed"},
		{"unless it is ignored", arm.Options{TagsIfMatch: arm.Ignored}, true, "b=3 c=4", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			onAzure(t, tt.opts, func(ctx context.Context, z *azure) {
				before := z.getLB(ctx)
				first, err := z.lbs.UpdateTags(ctx, group, "lb-lm", armnetwork.TagsObject{Tags: map[string]*string{"a": new("1"), "b": new("2")}}, nil)
				if err != nil || tags(first.LoadBalancer) != "a=1 b=2" || *first.Etag == *before.Etag {
					t.Fatalf("the SDK's client: tags %s, %v", tags(first.LoadBalancer), err)
				}
				etag := *first.Etag
				if tt.stale {
					etag = *before.Etag
				}
				resp, err := z.patch(ctx, etag, `{"tags": {"b": "3", "c": "4"}}`)
				if tt.code != "" {
					wantResponseError(t, err, http.StatusPreconditionFailed, tt.code)
				} else if err != nil || resp.Header.Get("Etag") == etag {
					t.Errorf("the bare pipeline: %v", err)
				}
				if got := tags(z.getLB(ctx)); got != tt.want {
					t.Errorf("a read shows tags %q, want %q", got, tt.want)
				}
				time.Sleep(time.Minute)
				if got := z.path.take(); len(got) != 0 {
					t.Errorf("the data path was told %q of tags", got)
				}
			})
		})
	}
}

func TestTagsAreAWriteLikeOthers(t *testing.T) {
	one := armnetwork.TagsObject{Tags: map[string]*string{"a": new("1")}}
	t.Run("they supersede a write that runs, and take along what it wanted", func(t *testing.T) {
		onAzure(t, arm.Options{}, func(ctx context.Context, z *azure) {
			first, err := z.beginDown(ctx, 1)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := z.lbs.UpdateTags(ctx, group, "lb-lm", one, nil); err != nil {
				t.Error(err)
			}
			_, err = await(ctx, first, nil)
			wantResponseError(t, err, 200, "Canceled")
			time.Sleep(time.Minute)
			if got := z.path.take(); !slices.Equal(got, []string{"lm-1=None lm-2=Down"}) {
				t.Errorf("the data path was told %q", got)
			}
		})
	})
	t.Run("they are refused while one runs where the option says so", func(t *testing.T) {
		onAzure(t, arm.Options{SecondWrite: arm.Refused}, func(ctx context.Context, z *azure) {
			if _, err := z.beginDown(ctx, 1); err != nil {
				t.Fatal(err)
			}
			_, err := z.lbs.UpdateTags(ctx, group, "lb-lm", one, nil)
			wantResponseError(t, err, 429, "RetryableError")
		})
	})
	t.Run("they are throttled", func(t *testing.T) {
		onAzure(t, arm.Options{Writes: arm.Bucket{Size: 1, PerSecond: 0.1}}, func(ctx context.Context, z *azure) {
			if _, err := z.lbs.UpdateTags(ctx, group, "lb-lm", one, nil); err != nil {
				t.Error(err)
			}
			_, err := z.lbs.UpdateTags(ctx, group, "lb-lm", one, nil)
			wantResponseError(t, err, 429, "SubscriptionRequestsThrottled")
		})
	})
	t.Run("they fail at once where a write would fail later", func(t *testing.T) {
		onAzure(t, arm.Options{}, func(ctx context.Context, z *azure) {
			z.manager.Inject(arm.Fault{Kind: arm.FailOperation})
			_, err := z.lbs.UpdateTags(ctx, group, "lb-lm", one, nil)
			wantResponseError(t, err, 500, "InternalServerError")
			if got := tags(z.getLB(ctx)); got != "" {
				t.Errorf("tags %q", got)
			}
		})
	})
}

func TestWritesThatTakeEffectLateOrNever(t *testing.T) {
	const late = 5 * time.Minute
	for _, tt := range []struct {
		name   string
		opts   arm.Options
		kind   arm.FaultKind
		before string // what a read shows right after the write
		after  string // and much later
		moved  []string
	}{
		{"late, and reads show it at once", arm.Options{}, arm.Late, "None Down", "None Down", []string{"lm-1=None lm-2=Down"}},
		{"late, and reads show it when it takes effect", arm.Options{Unseen: arm.ShowsOld}, arm.Late, "None None", "None Down", []string{"lm-1=None lm-2=Down"}},
		{"never, and reads show it", arm.Options{}, arm.NoEffect, "None Down", "None Down", nil},
		{"never, and reads do not show it", arm.Options{Unseen: arm.ShowsOld}, arm.NoEffect, "None None", "None None", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			onAzure(t, tt.opts, func(ctx context.Context, z *azure) {
				z.manager.Inject(arm.Fault{Kind: tt.kind, Delay: late})
				p, err := z.beginDown(ctx, 1)
				if err != nil || p.Done() != (tt.kind == arm.Late) {
					t.Fatalf("the write: done %t, %v", p.Done(), err)
				}
				if _, err := await(ctx, p, nil); err != nil {
					t.Error(err)
				}
				if got := admins(z.getPool(ctx)); got != tt.before {
					t.Errorf("right after the write a read shows %s, want %s", got, tt.before)
				}
				if got := z.getLB(ctx).Properties.BackendAddressPools[0]; admins(*got) != tt.before {
					t.Errorf("right after the write a read of the whole shows %s, want %s", admins(*got), tt.before)
				}
				if got := z.path.take(); len(got) != 0 {
					t.Errorf("right after the write the data path was told %q", got)
				}
				time.Sleep(late + time.Second)
				if got := admins(z.getPool(ctx)); got != tt.after {
					t.Errorf("later a read shows %s, want %s", got, tt.after)
				}
				if got := z.path.take(); !slices.Equal(got, tt.moved) {
					t.Errorf("later the data path was told %q, want %q", got, tt.moved)
				}
				if got := told(z.takeEvents()); !slices.Equal(got, []string{"ResourceWriteSuccess Network/loadBalancers/backendAddressPools/write loadmasters"}) {
					t.Errorf("events: %q", got)
				}
			})
		})
	}
}

func TestAStaleReadIsStaleAsAWhole(t *testing.T) {
	onAzure(t, arm.Options{Unseen: arm.ShowsOld}, func(ctx context.Context, z *azure) {
		z.manager.Inject(arm.Fault{Kind: arm.Late, Delay: time.Minute, Count: 2})
		before := z.getPool(ctx)
		for i := range 2 {
			if _, err := z.beginDown(ctx, i); err != nil {
				t.Fatal(err)
			}
			time.Sleep(10 * time.Second)
		}
		pool := z.getPool(ctx)
		if *pool.Etag != *before.Etag || admins(pool) != "None None" {
			t.Errorf("a stale read shows %s", admins(pool))
		}
		_, err := z.pools.BeginCreateOrUpdate(ifMatch(ctx, *pool.Etag), group, "lb-lm", "loadmasters", pool, nil)
		wantResponseError(t, err, http.StatusPreconditionFailed, "PreconditionFailed")
		time.Sleep(45 * time.Second) // the first is effective, the second is not
		if got := admins(z.getPool(ctx)); got != "Down None" {
			t.Errorf("after the first has taken effect a read shows %s", got)
		}
		p, err := z.beginDown(ctx, 1) // which is not late
		if _, err := await(ctx, p, err); err != nil {
			t.Fatal(err)
		}
		if got := admins(z.getPool(ctx)); got != "Down Down" {
			t.Errorf("after a write that is not late a read shows %s", got)
		}
		time.Sleep(time.Hour)
		if got := z.path.take(); !slices.Equal(got, []string{"lm-1=Down lm-2=None", "lm-1=Down lm-2=Down"}) {
			t.Errorf("the data path was told %q", got)
		}
	})
}

func TestALaterWriteBringsAnUnseenOneAlong(t *testing.T) {
	onAzure(t, arm.Options{}, func(ctx context.Context, z *azure) {
		z.manager.Inject(arm.Fault{Kind: arm.NoEffect})
		p, err := z.beginDown(ctx, 1)
		if _, err := await(ctx, p, err); err != nil {
			t.Fatal(err)
		}
		if _, err := z.lbs.UpdateTags(ctx, group, "lb-lm", armnetwork.TagsObject{}, nil); err == nil {
			t.Error("a PATCH without tags was taken")
		}
		if _, err := z.patch(ctx, "", `{"tags": {}}`); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Minute)
		if got := z.path.take(); len(got) != 0 {
			t.Errorf("tags brought %q along", got)
		}
		if _, err := z.lbs.BeginCreateOrUpdate(ctx, group, "lb-lm", z.getLB(ctx), nil); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Minute)
		if got := z.path.take(); !slices.Equal(got, []string{"lm-1=None lm-2=Down"}) {
			t.Errorf("a write of the whole brought %q along", got)
		}
	})
}

func TestSomebodyElseIsFaster(t *testing.T) {
	for _, tt := range []struct {
		name  string
		opts  arm.Options
		write func(ctx context.Context, z *azure, etag string) error
		stale bool // the write is refused
	}{
		{"a pool's write", arm.Options{}, func(ctx context.Context, z *azure, etag string) error {
			_, err := z.pools.BeginCreateOrUpdate(ifMatch(ctx, etag), group, "lb-lm", "loadmasters", setAdmin(z.getPool(ctx), 1, stateDown), nil)
			return err
		}, true},
		{"a pool's write where If-Match is ignored", arm.Options{PoolIfMatch: arm.Ignored}, func(ctx context.Context, z *azure, etag string) error {
			_, err := z.pools.BeginCreateOrUpdate(ifMatch(ctx, etag), group, "lb-lm", "loadmasters", setAdmin(z.getPool(ctx), 1, stateDown), nil)
			return err
		}, false},
		{"a PATCH of tags", arm.Options{}, func(ctx context.Context, z *azure, etag string) error {
			_, err := z.patch(ctx, etag, `{"tags": {"a": "1"}}`)
			return err
		}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			onAzure(t, tt.opts, func(ctx context.Context, z *azure) {
				z.manager.Inject(arm.Fault{Kind: arm.Overtaken, Rival: ada})
				lb := z.getLB(ctx) // which does not use up the fault
				err := tt.write(ctx, z, *lb.Etag)
				if tt.stale {
					wantResponseError(t, err, http.StatusPreconditionFailed, "PreconditionFailed")
				} else if err != nil {
					t.Error(err)
				}
				now := z.getLB(ctx)
				if got := *now.Properties.LoadBalancingRules[0].Properties.IdleTimeoutInMinutes; got != 5 || *now.Etag == *lb.Etag {
					t.Errorf("idle timeout %d", got)
				}
				if e := z.takeEvents(); len(e) == 0 || e[0].Claims != ada || e[0].Operation != "Microsoft.Network/loadBalancers/write" {
					t.Errorf("events: %+v", e)
				}
				if err := tt.write(ctx, z, *now.Etag); err != nil {
					t.Errorf("on the next try: %v", err)
				}
			})
		})
	}
}

func TestFaultsOfATimeAndOfAPrincipal(t *testing.T) {
	onAzure(t, arm.Options{}, func(ctx context.Context, z *azure) {
		z.manager.Inject(arm.Fault{Kind: arm.Answer, Status: 429, By: tandem, Until: time.Now().Add(time.Minute)})
		for i, want := range []string{"60", "40", "20"} {
			_, err := z.lbs.Get(ctx, group, "lb-lm", nil)
			if resp := wantResponseError(t, err, 429, "TooManyRequests"); resp.Header.Get("Retry-After") != want {
				t.Errorf("request %d: Retry-After %s, want %s", i, resp.Header.Get("Retry-After"), want)
			}
			if status, _, _ := z.do(ctx, http.MethodGet, lbID, ""); status != 200 {
				t.Errorf("somebody else got %d", status)
			}
			time.Sleep(20 * time.Second)
		}
		z.getLB(ctx)
		if got := z.manager.Requests(tandem); got != (arm.Requests{Reads: 4}) {
			t.Errorf("counted %+v", got)
		}
		z.manager.Inject(arm.Fault{Kind: arm.Cut, Count: -1})
		for range 3 {
			if _, err := z.lbs.Get(ctx, group, "lb-lm", nil); err == nil {
				t.Error("a connection was not cut")
			}
		}
		z.manager.EndFaults(arm.Hang)
		if _, err := z.lbs.Get(ctx, group, "lb-lm", nil); err == nil {
			t.Error("the end of another kind of fault ended this one")
		}
		z.manager.EndFaults(arm.Cut)
		z.getLB(ctx)
	})
}

func TestStartsFailForWantOfRoom(t *testing.T) {
	onAzure(t, arm.Options{}, func(ctx context.Context, z *azure) {
		z.manager.Inject(arm.Fault{Kind: arm.FailOperation, PathSuffix: "/START", Code: "AllocationFailed"})
		q, err := z.vms.BeginPowerOff(ctx, group, "lm-1", nil)
		if _, err := await(ctx, q, err); err != nil {
			t.Errorf("what is no start failed: %v", err)
		}
		p, err := z.vms.BeginStart(ctx, group, "lm-2", nil)
		_, err = await(ctx, p, err)
		wantResponseError(t, err, 200, "AllocationFailed")
		if got := z.manager.Power(vm2); got != arm.Deallocated {
			t.Errorf("the machine is %s", got)
		}
		if got := z.manager.Requests(tandem).Actions; got != 2 {
			t.Errorf("%d actions were counted, want 2", got)
		}
	})
}

func TestAPowerActionIsResumedByItsToken(t *testing.T) {
	onAzure(t, arm.Options{}, func(ctx context.Context, z *azure) {
		start, err := z.vms.BeginStart(ctx, group, "lm-2", nil)
		if err != nil {
			t.Fatal(err)
		}
		restart, err := z.vms.BeginRestart(ctx, group, "lm-1", nil)
		if err != nil {
			t.Fatal(err)
		}
		startToken, err1 := start.ResumeToken()
		restartToken, err2 := restart.ResumeToken()
		if err := errors.Join(err1, err2); err != nil {
			t.Fatal(err)
		}
		start, err1 = z.vms.BeginStart(ctx, "", "", &armcompute.VirtualMachinesClientBeginStartOptions{ResumeToken: startToken})
		restart, err2 = z.vms.BeginRestart(ctx, "", "", &armcompute.VirtualMachinesClientBeginRestartOptions{ResumeToken: restartToken})
		if err := errors.Join(err1, err2); err != nil {
			t.Fatal(err)
		}
		if _, err := start.Poll(ctx); err != nil || start.Done() {
			t.Errorf("first poll: done %t, %v", start.Done(), err)
		}
		_, err1 = await(ctx, start, nil)
		_, err2 = await(ctx, restart, nil)
		if err := errors.Join(err1, err2); err != nil {
			t.Error(err)
		}
		if got := z.manager.Requests(tandem).Actions; got != 2 {
			t.Errorf("%d actions were counted, want 2", got)
		}
		if !slices.Equal(z.powers, []string{"restart lm-1", "start lm-2"}) {
			t.Errorf("machines moved: %q", z.powers)
		}
	})
}

func TestAMachineIsDeleted(t *testing.T) {
	onAzure(t, arm.Options{}, func(ctx context.Context, z *azure) {
		p, err := z.vms.BeginDelete(ctx, group, "lm-1", nil)
		if _, err := await(ctx, p, err); err != nil {
			t.Fatal(err)
		}
		_, err = z.vms.Get(ctx, group, "lm-1", nil)
		wantResponseError(t, err, http.StatusNotFound, "ResourceNotFound")
		nic, err := z.nics.Get(ctx, group, "lm-1-nic", nil)
		if err != nil || nic.Properties.VirtualMachine != nil {
			t.Errorf("the interface: %v", err)
		}
		if got := len(z.getPool(ctx).Properties.LoadBalancerBackendAddresses); got != 2 {
			t.Errorf("%d addresses are in the pool, want both", got)
		}
		if !slices.Equal(z.powers, []string{"deallocate lm-1"}) {
			t.Errorf("machines moved: %q", z.powers)
		}
		if got := told(z.takeEvents()); !slices.Equal(got, []string{"ResourceDeleteSuccess Compute/virtualMachines/delete lm-1"}) {
			t.Errorf("events: %q", got)
		}
	})
}

func TestAnInterfaceGetsAnotherAddress(t *testing.T) {
	onAzure(t, arm.Options{ShowNICAddresses: true}, func(ctx context.Context, z *azure) {
		p, err := z.beginDown(ctx, 1)
		if _, err := await(ctx, p, err); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		z.takeEvents()
		nic, err := z.nics.Get(ctx, group, "lm-2-nic", nil)
		if err != nil {
			t.Fatal(err)
		}
		nic.Properties.IPConfigurations[0].Properties.PrivateIPAddress = new("10.0.2.77")
		q, err := z.nics.BeginCreateOrUpdate(ctx, group, "lm-2-nic", nic.Interface, nil)
		if err != nil || !q.Done() {
			t.Fatalf("the write of an interface has no long operation (azure.md 1.9): %v", err)
		}
		time.Sleep(10 * time.Second)
		z.path.take()
		backend := z.path.last.Pools[0].Backends[1]
		if backend.Address.String() != "10.0.2.77" || backend.AdminState != "Down" {
			t.Errorf("the data path has %+v", backend)
		}
		pool := z.getPool(ctx)
		if got := *pool.Properties.LoadBalancerBackendAddresses[1].Properties.IPAddress; got != "10.0.2.77" || admins(pool) != "None Down" {
			t.Errorf("the pool shows %s, %s", got, admins(pool))
		}
		if got := told(z.takeEvents()); !slices.Equal(got, []string{"ResourceWriteSuccess Network/networkInterfaces/write lm-2-nic"}) {
			t.Errorf("events: %q", got)
		}
		d, err := z.nics.BeginDelete(ctx, group, "lm-2-nic", nil)
		if _, err := await(ctx, d, err); err != nil {
			t.Error(err)
		}
		time.Sleep(10 * time.Second)
		if z.path.take(); len(z.path.last.Pools[0].Backends) != 1 || len(z.getPool(ctx).Properties.LoadBalancerBackendAddresses) != 1 {
			t.Errorf("a deleted interface is still a member: %+v", z.path.last.Pools[0])
		}
	})
}

func TestNewOptionsHaveWords(t *testing.T) {
	for _, tt := range []struct{ got, want string }{
		{arm.Merges.String(), "merges"}, {arm.ShowsOld.String(), "shows old"}, {arm.Late.String(), "late"}, {arm.Overtaken.String(), "overtaken"},
	} {
		if tt.got != tt.want {
			t.Errorf("got %q, want %q", tt.got, tt.want)
		}
	}
}
