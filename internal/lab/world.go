package lab

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"tandem/internal/lab/arm"
	"tandem/internal/lab/dataplane"
	"tandem/internal/lab/eventgrid"
	"tandem/internal/lab/host"
	"tandem/internal/lab/loadmaster"
	"tandem/internal/lab/network"
)

// Names and addresses of the simulated Azure services.
const (
	ManagerName = "management.azure.com"
	TopicName   = "tandem.westeurope-1.eventgrid.azure.net"
	AppName     = "tandem.azurewebsites.net"
	// IdentityURL is the managed identity endpoint inside the network.
	IdentityURL = "http://169.254.129.1:8081/msi/token"
	// IdentitySecret is what a caller of the identity endpoint must show.
	IdentitySecret = "lab-identity-header"
	// webhookKey is the host's system key for Event Grid.
	webhookKey = "lab-eventgrid-key"
)

var (
	managerAddr  = netip.MustParseAddr("203.0.113.10")
	topicAddr    = netip.MustParseAddr("203.0.113.30")
	gridAddr     = netip.MustParseAddr("203.0.113.31")
	appAddr      = netip.MustParseAddr("203.0.113.20")
	identityAddr = netip.MustParseAddr("169.254.129.1")
	clientAddr   = netip.MustParseAddr("10.0.0.200")
	workerAddr   = netip.MustParseAddr("10.0.1.4")
)

// Tandem is the principal under which the program acts on Resource Manager, and
// Person the one who clicks in the portal.
var (
	Tandem = arm.Principal{AppID: "00000000-0000-0000-0000-0000000000bb", ObjectID: "00000000-0000-0000-0000-0000000000cc", Name: "tandem"}
	Person = arm.Principal{ObjectID: "00000000-0000-0000-0000-0000000000dd", Name: "operator@example.com"}
)

// phase gives every actor its own microseconds, so that no two timers fire in
// the same instant.
func phase(actor int) time.Duration { return time.Duration(11+actor*13) * time.Microsecond }

// The actors, in the order of their phases.
const (
	actorFirst = iota
	actorSecond
	actorDataPath
	actorManager
	actorGrid
	actorHost
	actorClient
	actorStory
)

// Program is what a story brings along of the program under test: the staged
// function app, how its handler is started, and the storage account's queues.
type Program struct {
	App      fs.FS
	Launcher host.Launcher
	Queues   host.Queues
	Settings map[string]string
}

// Options are how a world differs from the story it is made for.
type Options struct {
	Seed uint64
	// Tell gets every line of the transcript, sorted within each instant; it
	// may be nil.
	Tell func(Line)
	// Believed tells what the program believes of the pair, for the looks of
	// the story; nil where there is no program.
	Believed func() string
	// Took is called when a service has taken something from the program and
	// has not yet answered, the worst moment for the program to die: Resource
	// Manager a write (ManagerName), or the topic events (TopicName). It may be
	// nil.
	Took func(service string)
}

// World is one simulated world with one story in it.
type World struct {
	Scenario Scenario
	Options  Options

	behaviour behaviour
	plan      plan
	pairFile  []byte
	net       *network.Network
	units     map[string]*loadmaster.Unit
	path      *dataplane.DataPath
	manager   *arm.Manager
	grid      *eventgrid.Grid
	authority *authority
	client    *client
	outside   *network.Host // the client's
	worker    *network.Host
	app       *network.Host
	host      *host.Host
	record    *transcript
	// subscribed is closed when Event Grid's subscriptions to the program stand.
	subscribed chan struct{}
	servers    []*http.Server
	wait       sync.WaitGroup
	failures   []string
}

// New builds the world of a story. Close takes it down again.
func New(sc Scenario, o Options) (*World, error) {
	b, err := behaviourOf(sc.Options)
	if err != nil {
		return nil, fmt.Errorf("story %s: %w", sc.Name, err)
	}
	file, err := sc.PairFile(nil)
	if err != nil {
		return nil, err
	}
	w := &World{
		Scenario: sc, Options: o, behaviour: b,
		net:   network.New(network.Options{Seed: o.Seed}),
		units: map[string]*loadmaster.Unit{}, subscribed: make(chan struct{}),
		record: &transcript{start: time.Now(), tell: o.Tell},
	}
	if w.plan, err = readPlan(file); err != nil {
		return nil, err
	}
	if w.authority, err = newAuthority(); err != nil {
		return nil, err
	}
	for _, build := range []func() error{w.buildUnits, w.buildAzure, w.buildEvents, w.buildClient} {
		if err := build(); err != nil {
			w.Close()
			return nil, fmt.Errorf("build the world of story %s: %w", sc.Name, err)
		}
	}
	return w, nil
}

// buildUnits makes both LoadMasters, up and running, and the pair file that
// pins their certificates.
func (w *World) buildUnits() error {
	pins := map[string]string{}
	active := w.Scenario.Active
	if active == "" {
		active = "first"
	}
	for i, role := range []string{"first", "second"} {
		u := w.plan.Units[role]
		other := w.plan.Units[map[string]string{"first": "second", "second": "first"}[role]]
		unit, err := loadmaster.New(loadmaster.Config{
			Name: u.VM, Role: loadmaster.Role(i + 1), Partner: other.Address, CheckPort: w.plan.HA.CheckPort, APIPort: u.API.Port,
			Preferred: w.plan.HA.Preferred == "first", AllInterfaces: w.plan.HA.CheckAllInterfaces,
			APIKey: APIKey(u.API.Secret), ServicePorts: w.plan.servicePorts(), BootDelay: w.Scenario.Boot,
			Phase: phase(actorFirst + i), Seed: w.Options.Seed*10 + uint64(i), Options: w.behaviour.unit,
		}, w.net.Host(u.VM, u.Address), w.record.to(u.VM))
		if err != nil {
			return err
		}
		w.units[role] = unit
		pins[role] = unit.CertificateSHA256()
		state := loadmaster.Standby
		if role == active {
			state = loadmaster.Active
		}
		unit.Start(state)
	}
	var err error
	w.pairFile, err = w.Scenario.PairFile(pins)
	return err
}

// APIKey is the API key of a unit, by the name of its secret in the pair file.
func APIKey(secret string) string { return "lab-key-of-" + secret }

// buildAzure makes the load balancer's data path and Resource Manager with the
// pair's resources in it.
func (w *World) buildAzure() error {
	w.outside = w.net.Host("client", clientAddr)
	b := w.behaviour
	b.dataplane.Seed, b.dataplane.Phase = w.Options.Seed*10+2, phase(actorDataPath)
	b.dataplane.ClientHost = func(a netip.Addr) *network.Host {
		if a == clientAddr {
			return w.outside
		}
		return nil
	}
	w.path = dataplane.New(w.net, b.dataplane, w.record.to("load balancer"))
	b.arm.Phase = phase(actorManager)
	manager, err := arm.New(arm.Config{
		Subscriptions: []string{w.plan.Azure.Subscription}, Seed: w.Options.Seed*10 + 3, Options: b.arm,
		Log: w.record.to("azure"), OnEvent: w.resourceEvent, OnPower: w.power,
	}, w.path)
	if err != nil {
		return err
	}
	w.manager = manager
	if err := w.seed(); err != nil {
		return err
	}
	identity, err := arm.NewIdentity(arm.IdentityConfig{Secret: IdentitySecret, System: Tandem})
	if err != nil {
		return err
	}
	if err := w.serve(w.net.Host("identity", identityAddr), 8081, identity); err != nil {
		return err
	}
	return w.serveTLS(w.net.Host("azure", managerAddr), ManagerName, w.watched(ManagerName, http.MethodPut, manager))
}

// watched calls Options.Took between a request with the method and its answer.
func (w *World) watched(service, method string, handler http.Handler) http.Handler {
	if w.Options.Took == nil {
		return handler
	}
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.Method == method {
			rw = beforeAnswer{rw, func() { w.Options.Took(service) }}
		}
		handler.ServeHTTP(rw, r)
	})
}

// beforeAnswer makes a call before an answer of success leaves.
type beforeAnswer struct {
	http.ResponseWriter
	call func()
}

func (b beforeAnswer) WriteHeader(status int) {
	if status < http.StatusMultipleChoices {
		b.call()
	}
	b.ResponseWriter.WriteHeader(status)
}

// seed puts the pair's load balancers, interfaces and machines into Resource
// Manager.
func (w *World) seed() error {
	var pools []string
	for i, lb := range w.plan.LoadBalancers {
		id := w.plan.loadBalancerID(i)
		interval, err := time.ParseDuration(lb.Probe.Interval)
		if err != nil {
			return fmt.Errorf("probe interval of %s: %w", lb.Name, err)
		}
		seed := arm.LoadBalancer{ID: id, Pools: lb.Pools, Probes: []arm.Probe{{
			Name: "check", Port: w.plan.HA.CheckPort, Path: lb.Probe.Path, Interval: interval, Threshold: lb.Probe.Threshold,
		}}}
		for _, f := range lb.Frontends {
			seed.Frontends = append(seed.Frontends, arm.Frontend{Name: f.Name, Address: f.Address})
		}
		for _, r := range lb.Rules {
			seed.Rules = append(seed.Rules, arm.Rule{
				Name: r.Name, Frontend: r.Frontend, Pool: lb.Pools[0], Probe: "check", FrontendPort: r.Port, BackendPort: r.Port,
			})
		}
		if err := w.manager.SeedLoadBalancer(seed); err != nil {
			return err
		}
		for _, pool := range lb.Pools {
			pools = append(pools, id+"/backendAddressPools/"+pool)
		}
	}
	for _, role := range []string{"first", "second"} {
		if err := w.manager.SeedVM(arm.VM{ID: w.plan.vmID(role), Interfaces: []string{w.plan.nicID(role)}}); err != nil {
			return err
		}
		if err := w.manager.SeedNIC(arm.NIC{ID: w.plan.nicID(role), VM: w.plan.vmID(role), Address: w.plan.Units[role].Address, Pools: pools}); err != nil {
			return err
		}
	}
	return nil
}

func (w *World) buildClient() error {
	lb := w.plan.LoadBalancers[0]
	port := w.plan.servicePorts()[0]
	w.client = newClient(w.outside, netip.AddrPortFrom(lb.Frontends[0].Address, uint16(port)), phase(actorClient), w.record.to("client"))
	w.worker = w.net.Host("worker", workerAddr)
	w.app = w.net.Host("function app", appAddr)
	w.net.Name(AppName, appAddr)
	return nil
}

// serve answers HTTP on a host of the network.
func (w *World) serve(h *network.Host, port int, handler http.Handler) error {
	l, err := h.Listen(port)
	if err != nil {
		return fmt.Errorf("listen on %s port %d: %w", h.Name(), port, err)
	}
	w.serveOn(l, handler)
	return nil
}

// serveTLS answers HTTPS on a host that has the name.
func (w *World) serveTLS(h *network.Host, name string, handler http.Handler) error {
	config, err := w.authority.server(name)
	if err != nil {
		return err
	}
	w.net.Name(name, h.Addr())
	l, err := h.Listen(443)
	if err != nil {
		return fmt.Errorf("listen as %s: %w", name, err)
	}
	w.serveOn(tls.NewListener(l, config), handler)
	return nil
}

func (w *World) serveOn(l net.Listener, handler http.Handler) {
	s := &http.Server{Handler: handler, ReadHeaderTimeout: 30 * time.Second, ErrorLog: log.New(io.Discard, "", 0)}
	w.servers = append(w.servers, s)
	w.wait.Go(func() {
		if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			w.record.log("story", "a simulated service stopped: "+err.Error())
		}
	})
}

// Attach brings the program into the world: a Functions host that runs it, and
// Event Grid's subscriptions to it.
func (w *World) Attach(p Program) error {
	h, err := host.New(host.Config{
		App: p.App, Settings: p.Settings, Launcher: p.Launcher, Queues: p.Queues, WebhookKey: webhookKey,
		Log:  func(level, line string) { w.hostLine(level, line) },
		Seed: w.Options.Seed*10 + 5, Phase: phase(actorHost), StrictAnswers: true,
		ContentLength: w.behaviour.host.ContentLength, BatchAsArray: w.behaviour.host.BatchAsArray,
	})
	if err != nil {
		return fmt.Errorf("start the function app: %w", err)
	}
	w.host = h
	if err := w.serveTLS(w.app, AppName, h.Handler()); err != nil {
		return err
	}
	return w.serve(w.app, 80, h.Handler())
}

// hostLine keeps the host's warnings and errors; the handler's own lines are
// told by the program itself.
func (w *World) hostLine(level, line string) {
	if level == host.LevelError || level == host.LevelWarning {
		w.record.log("host", level+": "+line)
	}
}

// Run plays the story to its end, or until ctx ends.
func (w *World) Run(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, w.Scenario.For)
	defer cancel()
	var wait sync.WaitGroup
	wait.Go(func() { w.client.run(ctx) })
	if w.host != nil {
		wait.Go(func() {
			if err := w.host.Run(ctx); err != nil {
				w.fail("the Functions host ended: " + err.Error())
			}
		})
		wait.Go(func() {
			if err := w.subscribe(ctx); err == nil {
				close(w.subscribed)
			} else if ctx.Err() == nil {
				w.fail(err.Error())
			}
		})
	}
	w.steps(ctx)
	<-ctx.Done()
	wait.Wait()
	if w.host != nil {
		for _, f := range w.host.Failures() {
			w.fail("the Functions host would hang or refuse: " + f)
		}
	}
	return nil
}

// steps lets things happen at their times.
func (w *World) steps(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for _, st := range w.Scenario.Steps {
		timer.Reset(time.Until(w.record.start.Add(st.At + phase(actorStory))))
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		w.Do(st)
	}
}

// Do lets a step happen now, whatever its time: for a story whose next step
// waits for something, and not for a time.
func (w *World) Do(st Step) {
	if do, ok := verbs[st.Do]; ok {
		do.run(w, st)
	}
	if st.Expect != nil {
		w.look(*st.Expect)
	}
}

// fail notes an expectation of the story that was not met.
func (w *World) fail(what string) {
	w.record.mu.Lock()
	w.failures = append(w.failures, what)
	w.record.mu.Unlock()
	w.record.log("story", "NOT AS EXPECTED: "+what)
}

// Log adds a line to the transcript; the program's own story comes in here.
func (w *World) Log(source, event string) { w.record.log(source, event) }

// Fail notes that something the player of the story checks was not met.
func (w *World) Fail(what string) { w.fail(what) }

// Failures lists the expectations that were not met, in order.
func (w *World) Failures() []string {
	w.record.mu.Lock()
	defer w.record.mu.Unlock()
	return append([]string(nil), w.failures...)
}

// Transcript is everything that happened, in order.
func (w *World) Transcript() []Line { return w.record.flush() }

// Outage is what the client measured.
func (w *World) Outage() Outage { return w.client.measured() }

// PairFile is the story's pair file, with the pins of the units' certificates.
func (w *World) PairFile() []byte { return w.pairFile }

// Authority is the PEM of the certificate authority of the simulated services.
func (w *World) Authority() []byte { return w.authority.pem() }

// Worker is the host on which the program runs, with the address from which it
// reaches the pair.
func (w *World) Worker() *network.Host { return w.worker }

// Network is the world's network, to be exposed to programs outside.
func (w *World) Network() *network.Network { return w.net }

// Handler is the public face of the Functions host, after Attach.
func (w *World) Handler() http.Handler { return w.host.Handler() }

// Subscribed is closed when Event Grid has begun to tell the program of things.
func (w *World) Subscribed() <-chan struct{} { return w.subscribed }

// Serving is who answers the client: the name of a unit, both, or nobody.
func (w *World) Serving() string { return w.client.serving() }

// Published are the events that the program published, in order.
func (w *World) Published() []PublishedEvent { return published(w.grid) }

// Secrets are the units' API keys by the name of their secret.
func (w *World) Secrets() map[string]string {
	out := map[string]string{}
	for _, u := range w.plan.Units {
		out[u.API.Secret] = APIKey(u.API.Secret)
	}
	return out
}

// Writes is how many writes Resource Manager has accepted.
func (w *World) Writes() int {
	w.record.mu.Lock()
	defer w.record.mu.Unlock()
	return w.record.writes
}

// Close takes the world down and waits for everything in it.
func (w *World) Close() {
	for _, s := range w.servers {
		_ = s.Close() // its listeners are in memory
	}
	if w.grid != nil {
		w.grid.Close()
	}
	if w.manager != nil {
		w.manager.Close()
	}
	for _, u := range w.units {
		u.Close()
	}
	if w.path != nil {
		w.path.Close()
	}
	w.net.Close()
	w.wait.Wait()
}
