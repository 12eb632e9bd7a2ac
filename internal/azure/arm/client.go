// Package arm speaks with Azure Resource Manager: it reads load balancers,
// their rule health and the power state of VMs, writes one admin state, one tag
// or one whole document at a time, and starts and restarts VMs. It answers in
// the words of internal/pair and is the only package that compiles armnetwork.
//
// What an answer means for a pair, whether a write may be made and when it is
// looked at again are left to internal/pair and internal/control. Nothing in
// here repeats a write.
package arm

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	azarm "github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/compute/armcompute/v7"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v9"

	"tandem/internal/pair"
)

// Options are what a Client is made of. Cloud and Credential are required.
type Options struct {
	// Cloud says where Resource Manager is; internal/azure/identity makes it.
	// The endpoint must be https, because every request carries a token.
	Cloud cloud.Configuration
	// Credential signs every request. One per process, since it keeps the
	// tokens (azure.md 8.1).
	Credential azcore.TokenCredential
	// Transport sends the requests. Nil means an HTTP client of its own that
	// follows no redirect.
	Transport policy.Transporter
	// Budget is asked for, or told of, every request that leaves; nil accounts
	// for none, as where nobody else shares what a person's own identity may ask.
	Budget Budget
	// Rank says how urgent the work is that a context is for: see account. Nil
	// means that nothing can wait.
	Rank func(context.Context) pair.Rank
	// Log receives one line for each write and for each answer that had to be
	// done without. Nil discards them.
	Log *slog.Logger
	// Seed starts the random stream of the waits between attempts.
	Seed uint64
	// Now is the clock that stamps what was seen. Nil means time.Now.
	Now func() time.Time
	// ApplicationID is the first word of the User-Agent header, at most 24
	// characters. Empty means "tandem".
	ApplicationID string
}

// Client reads and writes the Azure resources of pairs, in any number of
// subscriptions. Its methods may be called from several goroutines.
type Client struct {
	cred    azcore.TokenCredential
	options *azarm.ClientOptions
	// bare is the pipeline without a generated client, for all that is written
	// and the operations on it: see operation.go.
	bare *azarm.Client
	log  *slog.Logger
	now  func() time.Time

	// mu guards what follows. It is never held over a request or a wait.
	mu            sync.Mutex
	subscriptions map[string]*subscription
	addresses     map[string]cachedAddress // by id of IP configuration or VM, in lower case
}

// subscription holds the generated clients of one subscription.
type subscription struct {
	balancers  *armnetwork.LoadBalancersClient
	rules      *armnetwork.LoadBalancerLoadBalancingRulesClient
	interfaces *armnetwork.InterfacesClient
	machines   *armcompute.VirtualMachinesClient
}

// cachedAddress is the private address of an IP configuration, and all those of its
// interface; of a VM only the latter, of the interface with the unit's address.
type cachedAddress struct {
	addr   netip.Addr
	beside []netip.Addr
	until  time.Time
}

// New checks the options and returns a client. It makes no call.
func New(o Options) (*Client, error) {
	if o.Credential == nil {
		return nil, fmt.Errorf("make a Resource Manager client: %w: no credential", pair.ErrInvalid)
	}
	host, err := endpointHost(o.Cloud)
	if err != nil {
		return nil, fmt.Errorf("make a Resource Manager client: %w: %w", pair.ErrInvalid, err)
	}
	c := &Client{
		cred:          o.Credential,
		log:           o.Log,
		now:           o.Now,
		subscriptions: map[string]*subscription{},
		addresses:     map[string]cachedAddress{},
	}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	if c.now == nil {
		c.now = time.Now
	}
	c.options = c.clientOptions(o, host)
	c.bare, err = azarm.NewClient("tandem/internal/azure/arm", "v1.0.0", c.cred, c.options)
	if err != nil {
		return nil, fmt.Errorf("make a Resource Manager client: %w: %w", pair.ErrInvalid, err)
	}
	return c, nil
}

// endpointHost returns the host of the cloud's Resource Manager.
func endpointHost(c cloud.Configuration) (string, error) {
	service := c.Services[cloud.ResourceManager]
	u, err := url.Parse(service.Endpoint)
	switch {
	case err != nil:
		return "", fmt.Errorf("resource manager endpoint: %w", err)
	case u.Scheme != "https" || u.Hostname() == "":
		return "", fmt.Errorf("resource manager endpoint %q: expected https://host", service.Endpoint)
	case service.Audience == "":
		return "", errors.New("the cloud has no audience for Resource Manager")
	}
	return u.Hostname(), nil
}

// transport makes the last stations before the network.
func (c *Client) transport(o Options) policy.Transporter {
	if o.Transport == nil {
		o.Transport = newTransport()
	}
	out := &wire{next: o.Transport}
	if o.Budget == nil {
		return out
	}
	if o.Rank == nil {
		o.Rank = func(context.Context) pair.Rank { return pair.RankUnknown }
	}
	return &account{next: out, budget: o.Budget, rank: o.Rank, now: c.now, log: c.log, tabs: map[string]*tab{}}
}

// clientOptions makes the options that all clients share. The SDK's own
// retries are off: they would repeat a write, they sleep inside Begin when a
// resource is locked, and their jitter has no seed (azure.md 1.9). Registering
// resource providers is off because it needs rights that we do not want.
func (c *Client) clientOptions(o Options, host string) *azarm.ClientOptions {
	application := o.ApplicationID
	if application == "" {
		application = "tandem"
	}
	return &azarm.ClientOptions{
		ClientOptions: policy.ClientOptions{
			Cloud:     o.Cloud,
			Retry:     policy.RetryOptions{MaxRetries: -1},
			Telemetry: policy.TelemetryOptions{ApplicationID: application},
			Transport: c.transport(o),
			PerCallPolicies: []policy.Policy{
				&homeOnly{host: strings.ToLower(host)},
				newGetAgain(o.Seed, c.now),
			},
		},
		DisableRPRegistration: true,
	}
}

// newTransport returns the HTTP client for clients that are given none. A
// redirect is an answer like any other: Resource Manager sends none, and
// following one would repeat a write.
func newTransport() *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			Proxy:                 http.ProxyFromEnvironment,
			ForceAttemptHTTP2:     true,
			TLSClientConfig:       &tls.Config{MinVersion: tls.VersionTLS12},
			TLSHandshakeTimeout:   10 * time.Second,
			ResponseHeaderTimeout: 30 * time.Second,
			MaxIdleConnsPerHost:   10,
			IdleConnTimeout:       90 * time.Second,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// subscription returns the clients of a subscription and makes them at the
// first use, which calls nobody.
func (c *Client) subscription(id string) (*subscription, error) {
	id = strings.ToLower(id)
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.subscriptions[id]; s != nil {
		return s, nil
	}
	network, err := armnetwork.NewClientFactory(id, c.cred, c.options)
	if err != nil {
		return nil, fmt.Errorf("make clients for subscription %s: %w", id, err)
	}
	machines, err := armcompute.NewVirtualMachinesClient(id, c.cred, c.options)
	if err != nil {
		return nil, fmt.Errorf("make clients for subscription %s: %w", id, err)
	}
	s := &subscription{
		balancers:  network.NewLoadBalancersClient(),
		rules:      network.NewLoadBalancerLoadBalancingRulesClient(),
		interfaces: network.NewInterfacesClient(),
		machines:   machines,
	}
	c.subscriptions[id] = s
	return s, nil
}

// The kinds of resources that are ours to ask for.
const (
	balancerKind  = "Microsoft.Network/loadBalancers"
	interfaceKind = "Microsoft.Network/networkInterfaces"
	networkKind   = "Microsoft.Network/virtualNetworks"
	subnetKind    = networkKind + "/subnets"
	machineKind   = "Microsoft.Compute/virtualMachines"
)

func isOf(id *azarm.ResourceID, kind string) bool {
	return strings.EqualFold(id.ResourceType.String(), kind)
}

// parseID takes a resource id apart and checks that it is of the kind.
func parseID(id pair.ResourceID, kind string) (*azarm.ResourceID, error) {
	parsed, err := azarm.ParseResourceID(string(id))
	if err != nil || !isOf(parsed, kind) || parsed.SubscriptionID == "" {
		return nil, fmt.Errorf("resource id %q: %w: expected the id of a %s", id, pair.ErrInvalid, kind)
	}
	return parsed, nil
}

// value returns what p points at, or the zero value: the SDK's models are
// pointers throughout, and any of them may be missing from an answer.
func value[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}
