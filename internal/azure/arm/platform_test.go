package arm

import (
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	azfake "github.com/Azure/azure-sdk-for-go/sdk/azcore/fake"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"tandem/internal/pair"
)

const (
	home        = "https://management.test"
	lbPath      = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg-lm/providers/Microsoft.Network/loadBalancers/lb-lm"
	poolPath    = lbPath + "/backendAddressPools/loadmasters"
	healthPath  = lbPath + "/loadBalancingRules/check/health"
	nicsPath    = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg-lm/providers/Microsoft.Network/networkInterfaces/"
	vmPath      = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg-lm/providers/Microsoft.Compute/virtualMachines/lm1"
	opPath      = "/subscriptions/00000000-0000-0000-0000-000000000001/providers/Microsoft.Network/locations/westeurope/operations/op1"
	poolETag    = `W/"aaaaaaaa-0000-0000-0000-000000000001"`
	correlated  = "11111111-2222-3333-4444-555555555555"
	signedQuery = "?api-version=2025-05-01&s=signature-of-the-address"
)

// reply is one answer of the scripted platform.
type reply struct {
	status int
	header http.Header
	body   string
	hang   bool // no answer until the request is given up
	cut    bool // the connection breaks instead of an answer
}

// sent is one request that reached the platform.
type sent struct {
	method, path, query string
	header              http.Header
	body                string
}

// platform is a scripted Resource Manager: each route gives its replies in
// order and repeats the last. It is an http.Handler for real sockets and, for
// bubbles with virtual time, a transport.
type platform struct {
	t *testing.T

	mu       sync.Mutex
	routes   map[string][]reply
	requests []sent
}

// newPlatform knows the interfaces of both units.
func newPlatform(t *testing.T) *platform {
	p := &platform{t: t, routes: map[string][]reply{}}
	for _, nic := range []string{"lm-1-nic", "lm-2-nic"} {
		p.on("GET", nicsPath+nic, reply{body: file(t, nic+".json")})
	}
	return p
}

func (p *platform) on(method, path string, replies ...reply) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.routes[method+" "+strings.ToLower(path)] = replies
}

func (p *platform) next(r *http.Request) reply {
	var body []byte
	if r.Body != nil {
		body, _ = io.ReadAll(r.Body)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.requests = append(p.requests, sent{r.Method, r.URL.Path, r.URL.RawQuery, r.Header.Clone(), string(body)})
	key := r.Method + " " + strings.ToLower(r.URL.Path)
	replies := p.routes[key]
	switch len(replies) {
	case 0:
		p.t.Errorf("unexpected request %s", key)
		return reply{status: http.StatusTeapot}
	case 1:
	default:
		p.routes[key] = replies[1:]
	}
	return replies[0]
}

// seen returns the requests with a method, all of them for "".
func (p *platform) seen(method string) []sent {
	p.mu.Lock()
	defer p.mu.Unlock()
	var found []sent
	for _, r := range p.requests {
		if method == "" || r.method == method {
			found = append(found, r)
		}
	}
	return found
}

func (p *platform) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a := p.next(r)
	switch {
	case a.hang:
		<-r.Context().Done()
		return
	case a.cut:
		panic(http.ErrAbortHandler)
	}
	maps.Copy(w.Header(), a.header)
	w.Header().Set("X-Ms-Correlation-Request-Id", correlated)
	if a.status != 0 {
		w.WriteHeader(a.status)
	}
	_, _ = io.WriteString(w, a.body)
}

// Do answers without a network.
func (p *platform) Do(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	var broken error
	func() {
		defer func() {
			if recover() != nil {
				broken = io.ErrUnexpectedEOF
			}
		}()
		p.ServeHTTP(w, r)
	}()
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	if broken != nil {
		return nil, broken
	}
	return w.Result(), nil
}

// client returns a client of the platform that needs no network.
func (p *platform) client(o Options) *Client {
	p.t.Helper()
	if o.Transport == nil {
		o.Transport = p
	}
	if o.Cloud.Services == nil {
		o.Cloud = at(home)
	}
	if o.Credential == nil {
		o.Credential = &azfake.TokenCredential{}
	}
	c, err := New(o)
	if err != nil {
		p.t.Fatal(err)
	}
	return c
}

func at(endpoint string) cloud.Configuration {
	return cloud.Configuration{Services: map[cloud.ServiceName]cloud.ServiceConfiguration{
		cloud.ResourceManager: {Endpoint: endpoint, Audience: endpoint},
	}}
}

func file(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func header(pairs ...string) http.Header {
	h := http.Header{}
	for i := 0; i < len(pairs); i += 2 {
		h.Set(pairs[i], pairs[i+1])
	}
	return h
}

// definition is the pair of the recorded files.
func definition() pair.Definition {
	return pair.Definition{
		Name:  "edge",
		Azure: pair.Scope{Subscription: "00000000-0000-0000-0000-000000000001", ResourceGroup: "rg-lm", Location: "westeurope"},
		Units: pair.Units{
			First:  pair.Unit{VM: "lm1", Address: netip.MustParseAddr("10.0.2.4")},
			Second: pair.Unit{VM: "lm2", Address: netip.MustParseAddr("10.0.2.5")},
		},
		LoadBalancers: []pair.LoadBalancer{{Name: "lb-lm", Pools: []string{"loadmasters", "named-but-empty", "missing"}}},
	}.WithDefaults()
}

func fence() pair.AdminChange {
	return pair.AdminChange{
		LoadBalancer: definition().LoadBalancerID("lb-lm"),
		Pool:         "loadmasters",
		Address:      netip.MustParseAddr("10.0.2.4"),
		Want:         pair.AdminDown,
		ETag:         poolETag,
	}
}

// taken is the platform's answer to a pool write that it will do, as recorded
// in arm-put-backendpool.exchange.json.
func taken(base string) reply {
	return reply{
		status: http.StatusCreated,
		header: header("Azure-AsyncOperation", base+opPath+signedQuery, "Retry-After", "3"),
		body:   `{"name":"loadmasters","properties":{"provisioningState":"Updating"}}`,
	}
}

var _ policy.Transporter = (*platform)(nil)

// allowed is the last look of a caller who has nothing against the write.
func allowed(context.Context) error { return nil }

func addr(s string) netip.Addr {
	a, _ := netip.ParseAddr(s)
	return a
}

// kinds are all kinds that this package gives.
var kinds = []error{
	pair.ErrNotFound, pair.ErrConflict, pair.ErrThrottled, pair.ErrBusy, pair.ErrSuperseded, pair.ErrRefused,
	pair.ErrUntrusted, pair.ErrUnreachable, pair.ErrUnknownOutcome, pair.ErrInvalid, pair.ErrUnreadable, pair.ErrTooLarge,
}

// checkKind checks that an error is of exactly one kind, and fit to be shown.
func checkKind(t *testing.T, err, want error) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want %v", want)
	}
	for _, kind := range kinds {
		if errors.Is(err, kind) != (kind == want) {
			t.Errorf("%q is %v: %t", err, kind, errors.Is(err, kind))
		}
	}
	if text := err.Error(); strings.ContainsAny(text, "\r\n") || strings.Contains(text, "signature") || strings.Contains(text, "Bearer") {
		t.Errorf("not fit to be shown: %q", text)
	}
}

// epoch is where the clocks of these tests start.
var epoch = time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
