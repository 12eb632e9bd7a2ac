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
	"math/big"
	"net/http"
	"net/netip"
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
			Subscriptions: []string{w.pair.Azure.Subscription},
			Seed:          1,
			Options:       opts,
			Tokens:        map[string]labarm.Principal{"fake_token": {AppID: "00000000-0000-0000-0000-0000000000bb", Name: "tandem"}},
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
		w.client, err = arm.New(arm.Options{
			Cloud: cloud.Configuration{Services: map[cloud.ServiceName]cloud.ServiceConfiguration{
				cloud.ResourceManager: {Endpoint: endpoint, Audience: endpoint},
			}},
			Credential: &azfake.TokenCredential{},
			Transport:  &http.Client{Transport: transport},
			Seed:       1,
		})
		if err != nil {
			t.Fatal(err)
		}
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
	err := errors.Join(
		w.manager.SeedNIC(labarm.NIC{ID: nic("1"), VM: vm("1"), Address: first, Pools: pools}),
		w.manager.SeedNIC(labarm.NIC{ID: nic("2"), VM: vm("2"), Address: second, Pools: pools}),
		w.manager.SeedVM(labarm.VM{ID: vm("1"), Interfaces: []string{nic("1")}}),
		w.manager.SeedVM(labarm.VM{ID: vm("2"), Interfaces: []string{nic("2")}, Power: labarm.Deallocated}),
		w.manager.SeedLoadBalancer(labarm.LoadBalancer{
			ID:        lb,
			Frontends: []labarm.Frontend{{Name: "vip1", Address: netip.MustParseAddr("10.0.2.100")}},
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

// allowed is the last look of a caller who has nothing against the write.
func allowed(context.Context) error { return nil }
