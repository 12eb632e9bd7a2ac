// Package app assembles the program from its parts, in the same way for the
// function app and for the lab.
//
// It decides nothing and talks to nobody; it only says which part gets which.
package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"

	"tandem/handlers"
	"tandem/internal/api"
	"tandem/internal/azure/arm"
	"tandem/internal/azure/events"
	"tandem/internal/balancer"
	"tandem/internal/control"
	"tandem/internal/loadmaster"
	"tandem/internal/pair"
	"tandem/internal/probe"
	"tandem/internal/store"
	"tandem/internal/vault"
)

// Options are the parts that differ between the function app and the lab.
// Store, Secrets, Credential, Client, Log and Worker are required.
type Options struct {
	Store *store.Store
	// Vault is where backups are kept; nil takes none.
	Vault      *vault.Vault
	Secrets    loadmaster.Secrets
	Credential azcore.TokenCredential
	Cloud      cloud.Configuration
	// Client sends the requests to Azure; it must not retry.
	Client *http.Client
	// DialContext and Proxy are the way to the units.
	DialContext func(ctx context.Context, network, address string) (net.Conn, error)
	Proxy       func(*http.Request) (*url.URL, error)
	// Topic is the custom topic for events; empty publishes none. TopicKey is
	// its access key; empty uses the identity.
	Topic    string
	TopicKey string
	// Surroundings is what neither a pair file nor Azure tells.
	Surroundings balancer.Surroundings
	// Auth is what the operator API believes about who calls.
	Auth api.Auth
	// Own is our identity in events, so that our own writes wake nobody.
	Own events.Own
	// Peers are those who may call the handler; nil is this machine only.
	Peers []netip.Prefix
	// Worker names this process in leases.
	Worker string
	// Now is the worker's wall clock, default time.Now. Uptime is the time since
	// a moment in its past by its monotonic clock, which never steps.
	Now     func() time.Time
	Uptime  func() time.Duration
	MaxMode pair.Mode
	Budget  time.Duration // of one pass, default 20 s
	Lease   time.Duration // default 30 s
	Seed    uint64        // of the jitters
	Log     *slog.Logger
}

// App is the assembled program.
type App struct {
	handler http.Handler
	units   *loadmaster.Client
	idle    []interface{ CloseIdleConnections() }
}

// New assembles the program. It starts nothing and calls nobody.
func New(o Options) (*App, error) {
	units, err := loadmaster.New(loadmaster.Options{Secrets: o.Secrets, DialContext: o.DialContext, Proxy: o.Proxy, OneLogin: control.OneLogin, Log: o.Log, Seed: o.Seed})
	if err != nil {
		return nil, fmt.Errorf("assemble the program: %w", err)
	}
	checks, err := probe.New(probe.Options{DialContext: o.DialContext, Proxy: o.Proxy})
	if err != nil {
		return nil, fmt.Errorf("assemble the program: %w", err)
	}
	platform, err := arm.New(arm.Options{
		Cloud: o.Cloud, Credential: o.Credential, Transport: o.Client, Budget: o.Store, Rank: control.RankOf, Log: o.Log, Seed: o.Seed + 1,
	})
	if err != nil {
		return nil, fmt.Errorf("assemble the program: %w", err)
	}
	publisher, err := newPublisher(o)
	if err != nil {
		return nil, fmt.Errorf("assemble the program: %w", err)
	}
	procedures, err := newJobs()
	if err != nil {
		return nil, fmt.Errorf("assemble the program: %w", err)
	}
	var backups control.Backups
	var keeper api.Keeper
	if o.Vault != nil {
		backups, keeper = o.Vault, o.Vault
	}
	topologies, err := control.NewTopologies(control.TopologyOptions{
		Store: o.Store, GEO: units, Jobs: procedures, Log: o.Log, Worker: o.Worker, MaxMode: o.MaxMode, Budget: o.Budget, Lease: o.Lease, Now: o.Now,
	})
	if err != nil {
		return nil, fmt.Errorf("assemble the program: %w", err)
	}
	controller, err := control.New(control.Options{
		Store: o.Store, Outbox: o.Store, Publisher: publisher, Units: units, Checks: prober{checks}, Platform: platform,
		Resources: platform, Brakes: o.Store, Metrics: platform, Jobs: procedures, Works: works{units}, GEO: units, Topologies: topologies, Backups: backups, Copies: units, Settings: units, Documents: o.Store, Surroundings: o.Surroundings,
		Log: o.Log, Worker: o.Worker, MaxMode: o.MaxMode, Budget: o.Budget, Lease: o.Lease, Now: o.Now, Uptime: o.Uptime,
	})
	if err != nil {
		return nil, fmt.Errorf("assemble the program: %w", err)
	}
	routes, err := api.NewServer(api.Options{Store: o.Store, Jobs: procedures, Log: o.Log, Now: o.Now, MaxMode: o.MaxMode, Planner: controller, Topologies: topologies, Keeper: keeper, Documents: o.Store, Auth: o.Auth})
	if err != nil {
		return nil, fmt.Errorf("assemble the program: %w", err)
	}
	handler, err := handlers.New(handlers.Options{
		Program: &control.Waker{Index: o.Store, Queue: o.Store, Controller: controller, Topologies: topologies, Log: o.Log},
		API:     routes, Own: o.Own, Log: o.Log, Peers: o.Peers,
	})
	if err != nil {
		return nil, fmt.Errorf("assemble the program: %w", err)
	}
	return &App{handler: handler, units: units, idle: []interface{ CloseIdleConnections() }{o.Client}}, nil
}

// prober puts the outcome of a check into the words of an observation.
type prober struct{ *probe.Prober }

// Service makes one check. Where nothing was learned of the unit, it is as if
// nobody had asked.
func (p prober) Service(ctx context.Context, unit netip.Addr, c pair.Check) pair.ServiceSeen {
	result := p.Check(ctx, unit, c)
	switch result.Outcome {
	case probe.CheckUnknown:
		return pair.ServiceSeen{}
	case probe.CheckPassed:
		return pair.ServiceSeen{Answer: pair.ServicePassed}
	default:
		return pair.ServiceSeen{Answer: pair.ServiceFailed, Check: c.Name, Detail: result.String()}
	}
}

// newPublisher returns nil, which publishes nothing, where no topic is given.
func newPublisher(o Options) (control.Publisher, error) {
	if o.Topic == "" {
		return nil, nil
	}
	p := events.PublisherOptions{Endpoint: o.Topic, Credential: o.Credential, Transport: o.Client}
	if o.TopicKey != "" {
		p.Credential, p.Key = nil, azcore.NewKeyCredential(o.TopicKey)
	}
	publisher, err := events.NewPublisher(p)
	if err != nil {
		return nil, err
	}
	return publisher, nil
}

// Handler is the custom handler that the Functions host calls.
func (a *App) Handler() http.Handler { return a.handler }

// Close gives up idle connections. Nothing else has to end: state is safe at
// every instant (functions-host.md 0.1 fact 3).
func (a *App) Close() {
	a.units.Close()
	for _, c := range a.idle {
		c.CloseIdleConnections()
	}
}

// Serve answers on the listener until ctx ends, and then lets running requests
// end for as long as grace.
func Serve(ctx context.Context, l net.Listener, h http.Handler, log *slog.Logger, grace time.Duration) error {
	base := context.WithoutCancel(ctx)
	s := &http.Server{
		Handler: h, ReadHeaderTimeout: 10 * time.Second, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn),
		BaseContext: func(net.Listener) context.Context { return base },
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(l) }()
	select {
	case err := <-ended:
		return fmt.Errorf("serve on %s: %w", l.Addr(), err)
	case <-ctx.Done():
	}
	last, cancel := context.WithTimeout(base, grace)
	defer cancel()
	if err := s.Shutdown(last); err != nil {
		return errors.Join(fmt.Errorf("stop serving on %s: %w", l.Addr(), err), s.Close())
	}
	return nil
}
