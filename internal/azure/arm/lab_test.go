package arm_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"maps"
	"math/big"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	azfake "github.com/Azure/azure-sdk-for-go/sdk/azcore/fake"

	"tandem/internal/azure/arm"
	labarm "tandem/internal/lab/arm"
	"tandem/internal/lab/dataplane"
	"tandem/internal/lab/network"
	"tandem/internal/pair"
)

// These tests drive the adapter against the lab's Resource Manager, over TLS
// on the lab's network, in virtual time.

const endpoint = "https://management.azure.com"

var (
	first  = netip.MustParseAddr("10.0.2.4")
	second = netip.MustParseAddr("10.0.2.5")
)

// certificate is made once, outside of all bubbles.
var certificate = sync.OnceValue(func() tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"management.azure.com"}, NotAfter: time.Now().AddDate(100, 0, 0)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
})

// traffic is a data path in which the first unit answers its probe.
type traffic struct{}

func (traffic) Apply(dataplane.LoadBalancer) {}
func (traffic) Remove(string)                {}
func (traffic) Guard([]dataplane.Interface)  {}
func (traffic) Availability(_ string, from, until time.Time) []dataplane.Availability {
	var all []dataplane.Availability
	for i, unit := range []netip.Addr{first, second} {
		for at := from; at.Before(until); at = at.Add(time.Minute) {
			all = append(all, dataplane.Availability{Address: unit, Minute: at, Percent: float64(100 * (1 - i))})
		}
	}
	return all
}

func (traffic) Health(string, string) []dataplane.BackendHealth {
	return []dataplane.BackendHealth{
		{Address: first, State: dataplane.StateUp, Reason: "Up_Probe_Success"},
		{Address: second, State: dataplane.StateDown, Reason: "Down_Probe_HttpStatusCodeError"},
	}
}

// world is a pair on the lab's platform.
type world struct {
	t       *testing.T
	manager *labarm.Manager
	client  *arm.Client
	options arm.Options // of client
	pair    pair.Definition
}

func inTheLab(t *testing.T, opts labarm.Options, story func(t *testing.T, w *world)) {
	t.Helper()
	cert := certificate()
	leaf, err := x509.ParseCertificate(cert.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, pair: definition()}
		opts.Phase = 3 * time.Microsecond
		w.manager, err = labarm.New(labarm.Config{
			Subscriptions:  []string{w.pair.Azure.Subscription},
			ResourceGroups: []string{w.pair.Azure.ResourceGroup},
			Seed:           1,
			Options:        opts,
			Tokens:         map[string]labarm.Principal{"fake_token": {AppID: "00000000-0000-0000-0000-0000000000bb", Name: "tandem"}},
		}, traffic{})
		if err != nil {
			t.Fatal(err)
		}
		w.seed()

		lan := network.New(network.Options{})
		platform := lan.Host("management", netip.MustParseAddr("203.0.113.1"))
		lan.Name("management.azure.com", platform.Addr())
		listener, err := platform.Listen(443)
		if err != nil {
			t.Fatal(err)
		}
		server := &http.Server{Handler: w.manager, ErrorLog: log.New(io.Discard, "", 0)}
		var serving sync.WaitGroup
		serving.Go(func() {
			_ = server.Serve(tls.NewListener(listener, &tls.Config{Certificates: []tls.Certificate{cert}}))
		})
		transport := &http.Transport{
			DialContext:     lan.Host("worker", netip.MustParseAddr("10.0.3.4")).DialContext,
			TLSClientConfig: &tls.Config{RootCAs: roots},
		}
		w.options = arm.Options{
			Cloud: cloud.Configuration{Services: map[cloud.ServiceName]cloud.ServiceConfiguration{
				cloud.ResourceManager: {Endpoint: endpoint, Audience: endpoint},
			}},
			Credential: &azfake.TokenCredential{},
			Transport:  &http.Client{Transport: transport},
			Seed:       1,
		}
		w.client = w.other()
		story(t, w)
		transport.CloseIdleConnections()
		_ = server.Close()
		serving.Wait()
		w.manager.Close()
		lan.Close()
		synctest.Wait()
	})
}

func definition() pair.Definition {
	return pair.Definition{
		Name:  "edge",
		Azure: pair.Scope{Subscription: "00000000-0000-0000-0000-000000000001", ResourceGroup: "rg-lm", Location: "westeurope"},
		Units: pair.Units{
			First:  pair.Unit{VM: "lm-1", Address: first},
			Second: pair.Unit{VM: "lm-2", Address: second},
		},
		LoadBalancers: []pair.LoadBalancer{{Name: "lb-lm", Pools: []string{"loadmasters"}}},
	}.WithDefaults()
}

func (w *world) seed() {
	base := "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg-lm/providers/"
	lb := base + "Microsoft.Network/loadBalancers/lb-lm"
	nic := func(n string) string { return base + "Microsoft.Network/networkInterfaces/lm-" + n + "-nic" }
	vm := func(n string) string { return base + "Microsoft.Compute/virtualMachines/lm-" + n }
	pools := []string{lb + "/backendAddressPools/loadmasters"}
	subnet := base + "Microsoft.Network/virtualNetworks/vnet-lm/subnets/units"
	err := errors.Join(
		w.manager.SeedVirtualNetwork(labarm.VirtualNetwork{
			ID: base + "Microsoft.Network/virtualNetworks/vnet-lm", Space: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/16")},
			Subnets: []labarm.Subnet{{Name: "units", Prefix: netip.MustParsePrefix("10.0.2.0/24")}},
		}),
		w.manager.SeedNIC(labarm.NIC{ID: nic("1"), VM: vm("1"), Address: first, Subnet: subnet, Pools: pools}),
		w.manager.SeedNIC(labarm.NIC{ID: nic("2"), VM: vm("2"), Address: second, Subnet: subnet, Pools: pools}),
		w.manager.SeedVM(labarm.VM{ID: vm("1"), Interfaces: []string{nic("1")}}),
		w.manager.SeedVM(labarm.VM{ID: vm("2"), Interfaces: []string{nic("2")}, Power: labarm.Deallocated}),
		w.manager.SeedLoadBalancer(labarm.LoadBalancer{
			ID:        lb,
			Frontends: []labarm.Frontend{{Name: "vip1", Address: netip.MustParseAddr("10.0.2.100"), Subnet: subnet}},
			Pools:     []string{"loadmasters"},
			Probes:    []labarm.Probe{{Name: "check", Port: 8444, Path: "/", Interval: 5 * time.Second, Threshold: 2}},
			Rules:     []labarm.Rule{{Name: "https", Frontend: "vip1", Pool: "loadmasters", Probe: "check", FrontendPort: 443, BackendPort: 443}},
		}),
	)
	if err != nil {
		w.t.Fatal(err)
	}
}

// look reads the load balancer and returns its pool.
func (w *world) look() pair.PoolSeen {
	w.t.Helper()
	seen, err := w.client.LoadBalancer(w.t.Context(), w.pair, w.pair.LoadBalancers[0], false)
	if err != nil || len(seen.Pools) != 1 || len(seen.Pools[0].Members) != 2 {
		w.t.Fatalf("the load balancer looks like %+v, %v", seen, err)
	}
	return seen.Pools[0]
}

func (w *world) set(unit netip.Addr, want pair.AdminState, etag string) (pair.Operation, error) {
	return w.client.BeginAdminState(w.t.Context(), pair.AdminChange{
		LoadBalancer: w.pair.LoadBalancerID("lb-lm"), Pool: "loadmasters", Address: unit, Want: want, ETag: etag,
	}, allowed)
}

// settle polls an operation to its end.
func (w *world) settle(op pair.Operation) error {
	for !op.Done {
		time.Sleep(max(op.After, time.Second))
		var err error
		if op, err = w.client.Poll(w.t.Context(), op.Token); err != nil {
			return err
		}
	}
	return nil
}

func TestFenceAndRelease(t *testing.T) {
	inTheLab(t, labarm.Options{}, func(t *testing.T, w *world) {
		before := w.look()
		for i, m := range before.Members {
			if m.Address != []netip.Addr{first, second}[i] || m.Admin != pair.AdminNone {
				t.Fatalf("the members are %+v", before.Members)
			}
		}
		op, err := w.set(second, pair.AdminDown, before.ETag)
		if err != nil || op.Done {
			t.Fatalf("fence: %+v, %v", op, err)
		}
		if err := w.settle(op); err != nil {
			t.Fatal(err)
		}
		fenced := w.look()
		if fenced.Members[0].Admin != pair.AdminNone || fenced.Members[1].Admin != pair.AdminDown || fenced.ETag == before.ETag {
			t.Fatalf("fenced: %+v", fenced)
		}
		if _, err := w.set(second, pair.AdminNone, before.ETag); !errors.Is(err, pair.ErrConflict) {
			t.Errorf("a release that was decided before the fence gives %v", err)
		}
		if op, err = w.set(second, pair.AdminDown, fenced.ETag); err != nil || !op.Done {
			t.Errorf("the same fence again: %+v, %v", op, err)
		}
		if w.look().ETag != fenced.ETag {
			t.Error("the same fence again was written")
		}
		if op, err = w.set(second, pair.AdminNone, fenced.ETag); err != nil {
			t.Fatal(err)
		}
		if err := w.settle(op); err != nil {
			t.Fatal(err)
		}
		if released := w.look(); released.Members[1].Admin != pair.AdminNone {
			t.Errorf("released: %+v", released)
		}
	})
}

func TestHealthAndPowerInTheLab(t *testing.T) {
	inTheLab(t, labarm.Options{}, func(t *testing.T, w *world) {
		seen, err := w.client.LoadBalancer(t.Context(), w.pair, w.pair.LoadBalancers[0], true)
		if err != nil || len(seen.Health) != 2 || !seen.Health[0].ProbedUp() || seen.Health[1].Up || seen.Health[1].Reason != "Down_Probe_HttpStatusCodeError" {
			t.Errorf("health %+v, %v", seen.Health, err)
		}
		for role, want := range map[pair.Role]pair.Power{pair.First: pair.PowerRunning, pair.Second: pair.PowerDeallocated} {
			if got, err := w.client.Power(t.Context(), w.pair.VMID(role)); err != nil || got.Power != want {
				t.Errorf("%s: %+v, %v", role, got, err)
			}
		}
	})
}

func TestALaterWriteSupersedes(t *testing.T) {
	inTheLab(t, labarm.Options{}, func(t *testing.T, w *world) {
		early, err := w.set(second, pair.AdminDown, w.look().ETag)
		if err != nil {
			t.Fatal(err)
		}
		late, err := w.set(second, pair.AdminNone, w.look().ETag)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.settle(early); !errors.Is(err, pair.ErrSuperseded) {
			t.Errorf("the early write ends with %v", err)
		}
		if err := w.settle(late); err != nil {
			t.Errorf("the late write ends with %v", err)
		}
	})
}

func TestASecondWriteMayBeRefused(t *testing.T) {
	inTheLab(t, labarm.Options{SecondWrite: labarm.Refused}, func(t *testing.T, w *world) {
		if _, err := w.set(second, pair.AdminDown, w.look().ETag); err != nil {
			t.Fatal(err)
		}
		_, err := w.set(first, pair.AdminDown, w.look().ETag)
		if !errors.Is(err, pair.ErrBusy) || pair.RetryAfter(err, 0) == 0 {
			t.Errorf("got %v, asks to wait %v", err, pair.RetryAfter(err, 0))
		}
	})
}

func TestWhatIsUnknownIsSeenByLooking(t *testing.T) {
	tests := []struct {
		name  string
		fault labarm.FaultKind
		want  pair.AdminState // of the unit afterwards
	}{
		{"a write whose answer is lost is done", labarm.CutAfter, pair.AdminDown},
		{"a write that is lost is not done", labarm.Cut, pair.AdminNone},
		{"a write without an answer is not done", labarm.Hang, pair.AdminNone},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inTheLab(t, labarm.Options{}, func(t *testing.T, w *world) {
				etag := w.look().ETag
				w.manager.Inject(labarm.Fault{Kind: tt.fault, Method: http.MethodPut})
				ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
				defer cancel()
				_, err := w.client.BeginAdminState(ctx, pair.AdminChange{
					LoadBalancer: w.pair.LoadBalancerID("lb-lm"), Pool: "loadmasters", Address: second, Want: pair.AdminDown, ETag: etag,
				}, allowed)
				if !errors.Is(err, pair.ErrUnknownOutcome) {
					t.Fatalf("got %v", err)
				}
				time.Sleep(30 * time.Second)
				if got := w.look().Members[1].Admin; got != tt.want {
					t.Errorf("the unit is %s, want %s", got, tt.want)
				}
			})
		})
	}
}

// other returns a second client of the same platform, as another process has.
func (w *world) other() *arm.Client {
	w.t.Helper()
	c, err := arm.New(w.options)
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

func (w *world) power(role pair.Role) pair.Power {
	w.t.Helper()
	seen, err := w.client.Power(w.t.Context(), w.pair.VMID(role))
	if err != nil {
		w.t.Fatal(err)
	}
	return seen.Power
}

func TestAMachineIsStartedAndRestarted(t *testing.T) {
	inTheLab(t, labarm.Options{}, func(t *testing.T, w *world) {
		vm := w.pair.VMID(pair.Second)
		if _, err := w.client.BeginRestart(t.Context(), vm, allowed); !errors.Is(err, pair.ErrRefused) {
			t.Errorf("a restart of a VM that does not run gives %v", err)
		}
		op, err := w.client.BeginStart(t.Context(), vm, allowed)
		if err != nil || op.Done {
			t.Fatalf("start: %+v, %v", op, err)
		}
		if got := w.power(pair.Second); got != pair.PowerStarting {
			t.Errorf("while it starts it is %v", got)
		}
		w.client = w.other()
		if err := w.settle(op); err != nil || w.power(pair.Second) != pair.PowerRunning {
			t.Fatalf("started: %v, %v", err, w.power(pair.Second))
		}
		if op, err = w.client.BeginStart(t.Context(), vm, allowed); err != nil {
			t.Fatal(err)
		}
		if err := w.settle(op); err != nil {
			t.Errorf("starting what runs: %v", err)
		}
		if op, err = w.client.BeginRestart(t.Context(), vm, allowed); err != nil || op.Done {
			t.Fatalf("restart: %+v, %v", op, err)
		}
		if err := w.settle(op); err != nil || w.power(pair.Second) != pair.PowerRunning {
			t.Errorf("restarted: %v, %v", err, w.power(pair.Second))
		}
	})
}

func TestWhatBecomesOfAStart(t *testing.T) {
	tests := []struct {
		name   string
		fault  labarm.Fault
		begins error // of the request
		ends   error // of its operation
		after  time.Duration
		want   pair.Power
	}{
		{"no room is found at the end", labarm.Fault{Kind: labarm.FailOperation, Code: "AllocationFailed"}, nil, pair.ErrRefused, 10 * time.Minute, pair.PowerDeallocated},
		{"no room is known at once", labarm.Fault{Kind: labarm.Answer, Status: 409, Code: "ZonalAllocationFailed"}, pair.ErrRefused, nil, 10 * time.Minute, pair.PowerDeallocated},
		{"the platform is throttled", labarm.Fault{Kind: labarm.Answer, Status: 429, RetryAfter: 17 * time.Second}, pair.ErrThrottled, nil, 17 * time.Second, pair.PowerDeallocated},
		{"the answer is lost", labarm.Fault{Kind: labarm.CutAfter}, pair.ErrUnknownOutcome, nil, 0, pair.PowerRunning},
		{"the request is lost", labarm.Fault{Kind: labarm.Cut}, pair.ErrUnknownOutcome, nil, 0, pair.PowerDeallocated},
		{"no answer comes", labarm.Fault{Kind: labarm.Hang}, pair.ErrUnknownOutcome, nil, 0, pair.PowerDeallocated},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inTheLab(t, labarm.Options{}, func(t *testing.T, w *world) {
				tt.fault.Method = http.MethodPost
				w.manager.Inject(tt.fault)
				ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
				defer cancel()
				op, err := w.client.BeginStart(ctx, w.pair.VMID(pair.Second), allowed)
				if !errors.Is(err, tt.begins) {
					t.Fatalf("begins with %v, want %v", err, tt.begins)
				}
				if err == nil {
					if err = w.settle(op); !errors.Is(err, tt.ends) {
						t.Fatalf("ends with %v, want %v", err, tt.ends)
					}
				}
				if got := pair.RetryAfter(err, 0); got != tt.after {
					t.Errorf("asks to wait %v, want %v", got, tt.after)
				}
				time.Sleep(time.Minute)
				if got := w.power(pair.Second); got != tt.want {
					t.Errorf("a minute later the VM is %v, want %v", got, tt.want)
				}
			})
		})
	}
}

func TestALaterActionPreempts(t *testing.T) {
	inTheLab(t, labarm.Options{}, func(t *testing.T, w *world) {
		early, err := w.client.BeginStart(t.Context(), w.pair.VMID(pair.Second), allowed)
		if err != nil {
			t.Fatal(err)
		}
		late, err := w.client.BeginStart(t.Context(), w.pair.VMID(pair.Second), allowed)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.settle(early); !errors.Is(err, pair.ErrSuperseded) {
			t.Errorf("the early start ends with %v", err)
		}
		if err := w.settle(late); err != nil {
			t.Errorf("the late start ends with %v", err)
		}
	})
}

// tags reads the tags that are ours.
func (w *world) tags() map[string]string {
	w.t.Helper()
	seen, err := w.client.LoadBalancer(w.t.Context(), w.pair, w.pair.LoadBalancers[0], false)
	if err != nil {
		w.t.Fatal(err)
	}
	return seen.Tags
}

func (w *world) tag(name, value string, last func(context.Context) error) error {
	w.t.Helper()
	op, err := w.client.SetTag(w.t.Context(), w.pair.LoadBalancerID("lb-lm"), name, value, last)
	if err == nil && !op.Done {
		w.t.Fatalf("the tag is not seen: %+v", op)
	}
	return err
}

func TestTagsInTheLab(t *testing.T) {
	for name, opts := range map[string]labarm.Options{"as recorded": {}, "always updating": {FirstAnswer: labarm.AlwaysUpdating}} {
		t.Run(name, func(t *testing.T) {
			inTheLab(t, opts, func(t *testing.T, w *world) {
				before := w.look()
				steps := []struct {
					name, value string
					want        map[string]string
				}{
					{"tandem-edge", "second Down until 10:02", map[string]string{"tandem-edge": "second Down until 10:02"}},
					{"tandem-other", "x", map[string]string{"tandem-edge": "second Down until 10:02", "tandem-other": "x"}},
					{"tandem-edge", "second Down until 10:04", map[string]string{"tandem-edge": "second Down until 10:04", "tandem-other": "x"}},
					{"tandem-edge", "second Down until 10:04", map[string]string{"tandem-edge": "second Down until 10:04", "tandem-other": "x"}},
					{"tandem-other", "", map[string]string{"tandem-edge": "second Down until 10:04"}},
					{"tandem-edge", "", nil},
					{"tandem-edge", "", nil},
				}
				etag := before.ETag
				for _, step := range steps {
					quiet := maps.Equal(step.want, w.tags())
					if err := w.tag(step.name, step.value, allowed); err != nil {
						t.Fatalf("%s=%s: %v", step.name, step.value, err)
					}
					now := w.look().ETag
					if got := w.tags(); !maps.Equal(got, step.want) || (now == etag) != quiet {
						t.Errorf("after %s=%s the tags are %v, written: %t; want %v", step.name, step.value, got, now != etag, step.want)
					}
					etag = now
				}
				if after := w.look(); !slices.Equal(after.Members, before.Members) {
					t.Errorf("the members were %+v and are %+v", before.Members, after.Members)
				}
			})
		})
	}
}

func TestATagIsNotWrittenOverWhatOthersChanged(t *testing.T) {
	inTheLab(t, labarm.Options{}, func(t *testing.T, w *world) {
		err := w.tag("tandem-edge", "ours", func(ctx context.Context) error {
			_, err := w.other().SetTag(ctx, w.pair.LoadBalancerID("lb-lm"), "tandem-edge", "theirs", allowed)
			return err
		})
		if got := w.tags()["tandem-edge"]; !errors.Is(err, pair.ErrConflict) || got != "theirs" {
			t.Errorf("got %v, the tag is %q; want ErrConflict and theirs", err, got)
		}
	})
}

// The order in which a fence and its tag are written matters to the caller.
func TestATagIsAWriteLikeAnyOther(t *testing.T) {
	inTheLab(t, labarm.Options{}, func(t *testing.T, w *world) {
		etag := w.look().ETag
		if err := w.tag("tandem-edge", "x", allowed); err != nil {
			t.Fatal(err)
		}
		if _, err := w.set(second, pair.AdminDown, etag); !errors.Is(err, pair.ErrConflict) {
			t.Errorf("a fence that was decided before the tag gives %v", err)
		}
		op, err := w.set(second, pair.AdminDown, w.look().ETag)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.tag("tandem-edge", "y", allowed); err != nil {
			t.Fatal(err)
		}
		if err := w.settle(op); !errors.Is(err, pair.ErrSuperseded) {
			t.Errorf("a fence that still ran ends with %v", err)
		}
	})
	inTheLab(t, labarm.Options{SecondWrite: labarm.Refused}, func(t *testing.T, w *world) {
		if _, err := w.set(second, pair.AdminDown, w.look().ETag); err != nil {
			t.Fatal(err)
		}
		if err := w.tag("tandem-edge", "x", allowed); !errors.Is(err, pair.ErrBusy) || pair.RetryAfter(err, 0) == 0 {
			t.Errorf("got %v, asks to wait %v", err, pair.RetryAfter(err, 0))
		}
	})
}

func TestWhatIsUnknownOfATagIsSeenByLooking(t *testing.T) {
	tests := []struct {
		name  string
		fault labarm.FaultKind
		want  string
	}{
		{"a write whose answer is lost is done", labarm.CutAfter, "x"},
		{"a write that is lost is not done", labarm.Cut, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inTheLab(t, labarm.Options{}, func(t *testing.T, w *world) {
				w.manager.Inject(labarm.Fault{Kind: tt.fault, Method: http.MethodPatch})
				if err := w.tag("tandem-edge", "x", allowed); !errors.Is(err, pair.ErrUnknownOutcome) {
					t.Fatalf("got %v", err)
				}
				if got := w.tags()["tandem-edge"]; got != tt.want {
					t.Errorf("the tag is %q, want %q", got, tt.want)
				}
			})
		})
	}
}

func TestTheLeverIsProved(t *testing.T) {
	tests := []struct {
		name string
		opts labarm.Options
		want error
	}{
		{"where If-Match is honoured", labarm.Options{}, nil},
		{"not where it is ignored", labarm.Options{PoolIfMatch: labarm.Ignored}, pair.ErrInvalid},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inTheLab(t, tt.opts, func(t *testing.T, w *world) {
				before := w.look()
				op, err := w.set(second, pair.AdminDown, before.ETag)
				if err == nil {
					err = w.settle(op)
				}
				if err != nil {
					t.Fatal(err)
				}
				before = w.look()
				err = w.client.ProveIfMatch(t.Context(), pair.AdminChange{LoadBalancer: w.pair.LoadBalancerID("lb-lm"), Pool: "loadmasters"})
				if !errors.Is(err, tt.want) {
					t.Fatalf("got %v, want %v", err, tt.want)
				}
				time.Sleep(30 * time.Second)
				after := w.look()
				if !slices.Equal(after.Members, before.Members) || (after.ETag == before.ETag) != (tt.want == nil) {
					t.Errorf("the pool was %+v and is %+v", before, after)
				}
			})
		})
	}
}

// allowed is the last look of a caller who has nothing against the write.
func allowed(context.Context) error { return nil }
