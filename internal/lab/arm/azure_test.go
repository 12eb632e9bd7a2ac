package arm_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	azarm "github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	azfake "github.com/Azure/azure-sdk-for-go/sdk/azcore/fake"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/compute/armcompute/v7"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v9"

	"tandem/internal/lab/arm"
	"tandem/internal/lab/dataplane"
	"tandem/internal/lab/network"
)

const (
	sub    = "00000000-0000-0000-0000-000000000001"
	group  = "rg-lm"
	base   = "/subscriptions/" + sub + "/resourceGroups/" + group + "/providers/"
	lbID   = base + "Microsoft.Network/loadBalancers/lb-lm"
	poolID = lbID + "/backendAddressPools/loadmasters"
	natID  = lbID + "/inboundNatRules/wui"
	vm1    = base + "Microsoft.Compute/virtualMachines/lm-1"
	vm2    = base + "Microsoft.Compute/virtualMachines/lm-2"
	nic1   = base + "Microsoft.Network/networkInterfaces/lm-1-nic"
	nic2   = base + "Microsoft.Network/networkInterfaces/lm-2-nic"
	vnetID = base + "Microsoft.Network/virtualNetworks/vnet-lm"
	subnet = vnetID + "/subnets/units"
)

var (
	management = netip.MustParseAddr("203.0.113.1")
	worker     = netip.MustParseAddr("10.0.3.4")
	vip        = netip.MustParseAddr("10.0.2.100")
	addresses  = []netip.Addr{netip.MustParseAddr("10.0.2.4"), netip.MustParseAddr("10.0.2.5")}
	tandem     = arm.Principal{AppID: "00000000-0000-0000-0000-0000000000bb", ObjectID: "00000000-0000-0000-0000-0000000000cc", Name: "tandem"}
	ada        = arm.Principal{ObjectID: "00000000-0000-0000-0000-0000000000dd", Name: "ada"}
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

// recorder is a data path that notes what it is told.
type recorder struct {
	mu      sync.Mutex
	applied []string // when, and the admin states of the pool
	last    dataplane.LoadBalancer
	removed []string
	guarded []dataplane.Interface
	health  []dataplane.BackendHealth
	minutes []dataplane.Availability
}

func (r *recorder) Apply(lb dataplane.LoadBalancer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last = lb
	var states []string
	for _, p := range lb.Pools {
		for _, b := range p.Backends {
			states = append(states, b.Name+"="+b.AdminState.String())
		}
	}
	r.applied = append(r.applied, strings.Join(states, " "))
}

func (r *recorder) Remove(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.removed = append(r.removed, id)
}

func (r *recorder) Health(string, string) []dataplane.BackendHealth {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.health
}

func (r *recorder) Guard(interfaces []dataplane.Interface) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.guarded = interfaces
}

func (r *recorder) Availability(_ string, from, until time.Time) []dataplane.Availability {
	r.mu.Lock()
	defer r.mu.Unlock()
	var known []dataplane.Availability
	for _, m := range r.minutes {
		if !m.Minute.Before(from) && m.Minute.Before(until) {
			known = append(known, m)
		}
	}
	return known
}

// take returns what was applied since the last call.
func (r *recorder) take() []string {
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	taken := r.applied
	r.applied = nil
	return taken
}

// now is what the data path has of the load balancer that was applied last.
func (r *recorder) now() dataplane.LoadBalancer {
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.last
}

// azure is a Resource Manager on an in-memory network with a seeded pair,
// and the real clients.
type azure struct {
	t       *testing.T
	net     *network.Network
	worker  *network.Host
	manager *arm.Manager
	path    *recorder
	http    *http.Client
	options *azarm.ClientOptions
	lbs     *armnetwork.LoadBalancersClient
	pools   *armnetwork.LoadBalancerBackendAddressPoolsClient
	nats    *armnetwork.InboundNatRulesClient
	rules   *armnetwork.LoadBalancerLoadBalancingRulesClient
	probes  *armnetwork.LoadBalancerProbesClient
	fronts  *armnetwork.LoadBalancerFrontendIPConfigurationsClient
	nics    *armnetwork.InterfacesClient
	nsgs    *armnetwork.SecurityGroupsClient
	vms     *armcompute.VirtualMachinesClient

	mu     sync.Mutex
	events []arm.Event
	powers []string
	logs   []string
}

// onAzure runs a story in virtual time.
func onAzure(t *testing.T, opts arm.Options, story func(ctx context.Context, z *azure)) {
	t.Helper()
	certificate()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Hour)
		defer cancel()
		z := &azure{t: t, net: network.New(network.Options{}), path: &recorder{}}
		z.worker = z.net.Host("worker", worker)
		z.manage(opts, z.path)
		stop := z.serve()
		z.connect()
		z.seed()
		z.path.take()
		story(ctx, z)
		z.http.CloseIdleConnections()
		stop()
		z.manager.Close()
		z.net.Close()
		time.Sleep(time.Minute) // the server lingers where it refused a body
		synctest.Wait()
	})
}

func (z *azure) manage(opts arm.Options, path arm.DataPath) {
	opts.Phase = 3 * time.Microsecond
	m, err := arm.New(arm.Config{
		Subscriptions: []string{sub},
		TenantID:      "00000000-0000-0000-0000-0000000000aa",
		Seed:          1,
		Options:       opts,
		Tokens:        map[string]arm.Principal{"fake_token": tandem, "ada": ada},
		Audiences:     []string{"https://management.azure.com"},
		Log:           func(s string) { z.note(func() { z.logs = append(z.logs, s) }) },
		OnEvent:       func(e arm.Event) { z.note(func() { z.events = append(z.events, e) }) },
		OnPower: func(id string, a arm.PowerAction) {
			z.note(func() { z.powers = append(z.powers, a.String()+" "+filepath.Base(id)) })
		},
	}, path)
	if err != nil {
		z.t.Fatal(err)
	}
	z.manager = m
}

func (z *azure) note(f func()) {
	z.mu.Lock()
	defer z.mu.Unlock()
	f()
}

func (z *azure) serve() (stop func()) {
	host := z.net.Host("management", management)
	z.net.Name("management.azure.com", management)
	l, err := host.Listen(443)
	if err != nil {
		z.t.Fatal(err)
	}
	s := &http.Server{Handler: z.manager, ErrorLog: log.New(io.Discard, "", 0)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Serve(tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{certificate()}}))
	}()
	return func() {
		_ = s.Close()
		<-done
	}
}

func (z *azure) connect() {
	leaf, err := x509.ParseCertificate(certificate().Certificate[0])
	if err != nil {
		z.t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	z.http = &http.Client{Transport: &http.Transport{DialContext: z.worker.DialContext, TLSClientConfig: &tls.Config{RootCAs: roots}}}
	z.options = &azarm.ClientOptions{DisableRPRegistration: true, ClientOptions: policy.ClientOptions{
		Cloud: cloud.Configuration{Services: map[cloud.ServiceName]cloud.ServiceConfiguration{
			cloud.ResourceManager: {Endpoint: "https://management.azure.com", Audience: "https://management.azure.com"},
		}},
		Transport: z.http,
		Retry:     policy.RetryOptions{MaxRetries: -1},
	}}
	nf, err := armnetwork.NewClientFactory(sub, &azfake.TokenCredential{}, z.options)
	if err != nil {
		z.t.Fatal(err)
	}
	cf, err := armcompute.NewClientFactory(sub, &azfake.TokenCredential{}, z.options)
	if err != nil {
		z.t.Fatal(err)
	}
	z.lbs, z.pools, z.nats = nf.NewLoadBalancersClient(), nf.NewLoadBalancerBackendAddressPoolsClient(), nf.NewInboundNatRulesClient()
	z.rules, z.probes, z.fronts = nf.NewLoadBalancerLoadBalancingRulesClient(), nf.NewLoadBalancerProbesClient(), nf.NewLoadBalancerFrontendIPConfigurationsClient()
	z.nics, z.nsgs, z.vms = nf.NewInterfacesClient(), nf.NewSecurityGroupsClient(), cf.NewVirtualMachinesClient()
}

func (z *azure) seed() {
	errs := []error{
		z.manager.SeedVirtualNetwork(arm.VirtualNetwork{
			ID: vnetID, Space: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/16")},
			Subnets: []arm.Subnet{{Name: "units", Prefix: netip.MustParsePrefix("10.0.2.0/24")}},
		}),
		z.manager.SeedNIC(arm.NIC{ID: nic1, VM: vm1, Address: addresses[0], Subnet: subnet, Pools: []string{poolID}, NATRules: []string{natID}}),
		z.manager.SeedNIC(arm.NIC{ID: nic2, VM: vm2, Address: addresses[1], Subnet: subnet, Pools: []string{poolID}}),
		z.manager.SeedVM(arm.VM{ID: vm1, Interfaces: []string{nic1}}),
		z.manager.SeedVM(arm.VM{ID: vm2, Interfaces: []string{nic2}, Power: arm.Deallocated}),
		z.manager.SeedLoadBalancer(arm.LoadBalancer{
			ID:        lbID,
			Frontends: []arm.Frontend{{Name: "vip1", Address: vip, Subnet: subnet}},
			Pools:     []string{"loadmasters"},
			Probes:    []arm.Probe{{Name: "check", Port: 8444, Path: "/", Interval: 5 * time.Second, Threshold: 2}},
			Rules:     []arm.Rule{{Name: "https", Frontend: "vip1", Pool: "loadmasters", Probe: "check", FrontendPort: 443, BackendPort: 443}},
			NATRules:  []arm.NATRule{{Name: "wui", Frontend: "vip1", FrontendPort: 8441, BackendPort: 8443}},
		}),
	}
	if err := errors.Join(errs...); err != nil {
		z.t.Fatal(err)
	}
}

func (z *azure) getLB(ctx context.Context) armnetwork.LoadBalancer {
	z.t.Helper()
	resp, err := z.lbs.Get(ctx, group, "lb-lm", nil)
	if err != nil {
		z.t.Fatal(err)
	}
	return resp.LoadBalancer
}

func (z *azure) getPool(ctx context.Context) armnetwork.BackendAddressPool {
	z.t.Helper()
	resp, err := z.pools.Get(ctx, group, "lb-lm", "loadmasters", nil)
	if err != nil {
		z.t.Fatal(err)
	}
	return resp.BackendAddressPool
}

// setAdmin changes the pool as documented: the entries that are there, with
// another admin state.
func setAdmin(pool armnetwork.BackendAddressPool, i int, s armnetwork.LoadBalancerBackendAddressAdminState) armnetwork.BackendAddressPool {
	pool.Properties.LoadBalancerBackendAddresses[i].Properties.AdminState = &s
	return pool
}

func admins(pool armnetwork.BackendAddressPool) string {
	var s []string
	for _, a := range pool.Properties.LoadBalancerBackendAddresses {
		s = append(s, string(*a.Properties.AdminState))
	}
	return strings.Join(s, " ")
}

func ifMatch(ctx context.Context, etag string) context.Context {
	return policy.WithHTTPHeader(ctx, http.Header{"If-Match": {etag}})
}

func await[T any](ctx context.Context, p *runtime.Poller[T], err error) (T, error) {
	if err != nil {
		var zero T
		return zero, err
	}
	return p.PollUntilDone(ctx, &runtime.PollUntilDoneOptions{Frequency: time.Second})
}

// do sends a raw request as ada and returns status, header and body.
func (z *azure) do(ctx context.Context, method, path, body string, header ...string) (int, http.Header, string) {
	z.t.Helper()
	if !strings.Contains(path, "?") {
		path += "?api-version=2025-05-01"
	}
	req, err := http.NewRequestWithContext(ctx, method, "https://management.azure.com"+path, strings.NewReader(body))
	if err != nil {
		z.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer ada")
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := z.http.Do(req)
	if err != nil {
		return 0, nil, err.Error()
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		z.t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(b)
}

func (z *azure) takeEvents() []arm.Event {
	synctest.Wait()
	z.mu.Lock()
	defer z.mu.Unlock()
	taken := z.events
	z.events = nil
	return taken
}

// told lists events shortly: type, operation and last segment of the subject.
func told(events []arm.Event) []string {
	var s []string
	for _, e := range events {
		s = append(s, strings.TrimPrefix(e.Type, "Microsoft.Resources.")+" "+strings.TrimPrefix(e.Operation, "Microsoft.")+" "+filepath.Base(e.Subject))
	}
	return s
}

// wantResponseError checks what the SDK made of a refusal and returns the answer.
func wantResponseError(t *testing.T, err error, status int, code string) *http.Response {
	t.Helper()
	var re *azcore.ResponseError
	if !errors.As(err, &re) {
		t.Fatalf("got error %v, want a response error %d %s", err, status, code)
	}
	if re.StatusCode != status || re.ErrorCode != code {
		t.Errorf("got %d %s, want %d %s", re.StatusCode, re.ErrorCode, status, code)
	}
	return re.RawResponse
}

func body(t *testing.T, resp *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func example(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func parse(t *testing.T, b []byte) any {
	t.Helper()
	var v any
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatalf("parse %s: %v", b, err)
	}
	return v
}

var anyGUID = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)

// differ compares an answer with an example: everything the example has must
// be there with the same value, where ids are all equal and text in angle
// brackets stands for any text. With exact, nothing else may be there.
func differ(path string, got, want any, exact bool) (diffs []string) {
	switch w := want.(type) {
	case map[string]any:
		g, isObject := got.(map[string]any)
		if !isObject {
			return []string{fmt.Sprintf("%s: got %v, want an object", path, got)}
		}
		for k, v := range w {
			if _, has := g[k]; !has {
				diffs = append(diffs, fmt.Sprintf("%s.%s is missing", path, k))
				continue
			}
			diffs = append(diffs, differ(path+"."+k, g[k], v, exact)...)
		}
		for k := range g {
			if _, has := w[k]; !has && exact {
				diffs = append(diffs, fmt.Sprintf("%s.%s is not in the example", path, k))
			}
		}
		return diffs
	case []any:
		g, isArray := got.([]any)
		if !isArray || len(g) != len(w) {
			return []string{fmt.Sprintf("%s: got %v, want %v", path, got, want)}
		}
		for i := range w {
			diffs = append(diffs, differ(fmt.Sprintf("%s[%d]", path, i), g[i], w[i], exact)...)
		}
		return diffs
	case string:
		g, isText := got.(string)
		if isText && (strings.HasPrefix(w, "<") || anyGUID.ReplaceAllString(g, "") == anyGUID.ReplaceAllString(w, "")) {
			return nil
		}
	}
	if !reflect.DeepEqual(got, want) {
		diffs = append(diffs, fmt.Sprintf("%s: got %v, want %v", path, got, want))
	}
	return diffs
}

func wantExample(t *testing.T, got string, want any, exact bool) {
	t.Helper()
	for _, d := range differ("$", parse(t, []byte(got)), want, exact) {
		t.Error(d)
	}
}
