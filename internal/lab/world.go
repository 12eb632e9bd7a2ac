package lab

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
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
	internetAddr = netip.MustParseAddr("192.0.2.200") // of the client where the frontend is public
	workerAddr   = netip.MustParseAddr("10.0.1.4")
)

// Tandem is the principal under which the program acts on Resource Manager,
// Person the one who clicks in the portal, and Pipeline the one that deploys
// infrastructure code.
var (
	Tandem   = arm.Principal{AppID: "00000000-0000-0000-0000-0000000000bb", ObjectID: "00000000-0000-0000-0000-0000000000cc", Name: "tandem"}
	Person   = arm.Principal{ObjectID: "00000000-0000-0000-0000-0000000000dd", Name: "operator@example.com"}
	Pipeline = arm.Principal{AppID: "00000000-0000-0000-0000-0000000000ee", ObjectID: "00000000-0000-0000-0000-0000000000ff", Name: "pipeline"}
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
	actorNeighbours // two for each pair
)

// Program is what a story brings along of the program under test: the staged
// function app, how its handler is started, and the storage account's queues.
type Program struct {
	App      fs.FS
	Launcher host.Launcher
	// Others start the handler on the workers beyond the first, in their order.
	Others   []host.Launcher
	Queues   host.Queues
	Settings map[string]string
	// Do lets a step happen to the program that only its own side can do, one
	// of programVerbs. It must not wait. It may be nil: then those steps are
	// told and do nothing.
	Do func(Step) error
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
	// Job tells how far the pair's newest job is, for the same.
	Job func() string
	// Backups counts the pair's backups that are kept, by the role of the unit.
	Backups func() map[string]int
	// Alarmed tells which alarm of the pair stands, for the same looks.
	Alarmed func() string
	// Topology tells how far the run of the story's topology is, and of which kinds
	// the alarms are that stand in it, for the same looks.
	Topology func() (state string, alarms []string)
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
	plan      plan // of the pair that the story is about, with the units of both
	pairs     []*pairOf
	net       *network.Network
	units     map[string]*loadmaster.Unit
	path      *dataplane.DataPath
	manager   *arm.Manager
	grid      *eventgrid.Grid
	authority *authority
	client    *client
	members   []geoMember     // none where the story has no GEO
	resolver  *resolver       // nil where the story has no GEO
	crowd     *crowd          // nil where the story has no clients that hold connections
	outside   *network.Host   // the client's
	machines  []*network.Host // of the workers
	workers   []netip.Addr    // every address from which the program reaches the units
	app       *network.Host
	program   *functionApp // nil where there is none
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
	w := &World{
		Scenario: sc, Options: o, behaviour: b,
		net:   network.New(network.Options{Seed: o.Seed}),
		units: map[string]*loadmaster.Unit{}, subscribed: make(chan struct{}),
		record: &transcript{start: time.Now(), tell: o.Tell},
	}
	if err = w.readPlans(); err != nil {
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

// readPlans reads the pair files of the world. A step names the units of the
// neighbours by roles of their own; so does the plan.
func (w *World) readPlans() error {
	pairs := []*pairOf{{file: w.Scenario.PairFile, actors: [2]int{actorFirst, actorSecond}, seed: 0, active: w.Scenario.Active}}
	for n := range w.Scenario.Neighbours {
		actor := actorNeighbours + 2*n
		pairs = append(pairs, &pairOf{
			prefix: NeighbourPrefix(n + 1), file: w.Scenario.Neighbour(n + 1).PairFile,
			actors: [2]int{actor, actor + 1}, seed: 8 + uint64(n)<<32,
		})
	}
	for _, p := range pairs {
		file, err := p.file(nil)
		if err != nil {
			return err
		}
		if p.plan, err = readPlan(file); err != nil {
			return err
		}
	}
	w.pairs, w.plan = pairs, pairs[0].plan
	w.plan.Units = map[string]planUnit{}
	for _, p := range pairs {
		for role, u := range p.plan.Units {
			w.plan.Units[p.prefix+role] = u
		}
	}
	w.planStandalones()
	for role := range w.Scenario.Configured {
		if _, known := w.plan.Units[role]; !known {
			return fmt.Errorf("story %s: configured: unit %q: expected one of %s", w.Scenario.Name, role, strings.Join(w.roles(), ", "))
		}
	}
	return nil
}

// roles lists the units as steps name them.
func (w *World) roles() []string { return slices.Sorted(maps.Keys(w.plan.Units)) }

// buildUnits makes the LoadMasters, up and running, and the pair files that
// pin their certificates.
func (w *World) buildUnits() error {
	for _, p := range w.pairs {
		pins := map[string]string{}
		for i, role := range pairRoles {
			unit, err := w.buildUnit(p, i)
			if err != nil {
				return err
			}
			pins[role] = unit.CertificateSHA256()
		}
		var err error
		if p.pinned, err = p.file(pins); err != nil {
			return err
		}
	}
	if err := w.buildGEO(); err != nil {
		return err
	}
	for _, p := range w.pairs {
		for _, role := range pairRoles {
			state := loadmaster.Standby
			if role == p.active || role == pairRoles[0] && p.active == "" {
				state = loadmaster.Active
			}
			w.units[p.prefix+role].Start(state)
		}
	}
	for n := range w.standalones() {
		w.units[standaloneName(n)].Start(loadmaster.Active)
	}
	return nil
}

// buildUnit makes the first (0) or second (1) unit of a pair, which is off.
func (w *World) buildUnit(p *pairOf, i int) (*loadmaster.Unit, error) {
	role := pairRoles[i]
	u, other := p.plan.Units[role], p.plan.Units[pairRoles[1-i]]
	unit, err := loadmaster.New(loadmaster.Config{
		Name: u.VM, Role: loadmaster.Role(i + 1), Partner: other.Address, CheckPort: p.plan.HA.CheckPort, APIPort: u.API.Port,
		Preferred: p.plan.HA.Preferred == "first", AllInterfaces: p.plan.HA.CheckAllInterfaces,
		APIKey: APIKey(u.API.Secret), ServicePorts: p.plan.servicePorts(), BootDelay: w.Scenario.Boot,
		Phase: phase(p.actors[i]), Seed: w.Options.Seed*10 + p.seed + uint64(i), Options: w.behaviour.unit,
	}, w.net.Host(u.VM, u.Address), w.record.to(u.VM))
	if err != nil {
		return nil, err
	}
	w.units[p.prefix+role] = unit
	return unit, unit.Configure(asText(w.Scenario.Configured[p.prefix+role]))
}

// asText writes settings as the API takes them.
func asText(settings map[string]any) map[string]string {
	out := map[string]string{}
	for name, value := range settings {
		out[name] = fmt.Sprint(value)
	}
	return out
}

// APIKey is the API key of a unit, by the name of its secret in the pair file.
func APIKey(secret string) string { return "lab-key-of-" + secret }

// buildAzure makes the load balancer's data path and Resource Manager with the
// pair's resources in it.
func (w *World) buildAzure() error {
	w.outside = w.net.Host("client", w.plan.clientAddress())
	b := w.behaviour
	b.dataplane.Seed, b.dataplane.Phase = w.Options.Seed*10+2, phase(actorDataPath)
	b.dataplane.ClientHost = w.hostAt
	w.path = dataplane.New(w.net, b.dataplane, w.record.to("load balancer"))
	b.arm.Phase = phase(actorManager)
	manager, err := arm.New(arm.Config{
		Subscriptions: []string{w.plan.Azure.Subscription}, ResourceGroups: []string{w.plan.Azure.ResourceGroup},
		Seed: w.Options.Seed*10 + 3, Options: b.arm,
		Log: w.record.to("azure"), OnEvent: w.resourceEvent, OnPower: w.power,
	}, w.path)
	if err != nil {
		return err
	}
	w.manager = manager
	if err := w.deploy(); err != nil {
		return err
	}
	identity, err := arm.NewIdentity(arm.IdentityConfig{Secret: IdentitySecret, System: Tandem})
	if err != nil {
		return err
	}
	if err := w.serve(w.net.Host("identity", identityAddr), 8081, identity); err != nil {
		return err
	}
	return w.serveTLS(w.net.Host("azure", managerAddr), ManagerName, w.watched(ManagerName, manager))
}

// watched calls took between a request that changes something and its answer.
func (w *World) watched(service string, handler http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if Changes(r) {
			rw = beforeAnswer{rw, func() { w.took(service, r.Method, r.RemoteAddr) }}
		}
		handler.ServeHTTP(rw, r)
	})
}

// Changes reports whether a request asks Resource Manager or a topic to change
// something. Of the actions, only that for a rule's health does not.
func Changes(r *http.Request) bool {
	switch r.Method {
	case http.MethodPut, http.MethodPatch, http.MethodDelete:
		return true
	case http.MethodPost:
		return !strings.HasSuffix(r.URL.Path, "/health")
	}
	return false
}

func (w *World) took(service, method, from string) {
	if w.Options.Took != nil {
		w.Options.Took(service)
	}
	if w.program != nil {
		w.program.took(service, method, from)
	}
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

func (w *World) buildClient() error {
	w.client = newClient(w.outside, w.service, phase(actorClient), w.record.to("client"))
	if w.Scenario.Clients.Count > 0 {
		host := w.net.Host("clients", w.outside.Addr().Next())
		w.crowd = newCrowd(host, w.service, w.Scenario.Clients, w.Options.Seed*10+5, w.record.to("clients"))
	}
	for n, addr := 0, workerAddr; n < max(w.Scenario.Workers, 1); n, addr = n+1, addr.Next() {
		w.machines = append(w.machines, w.net.Host(workerName(n), addr))
		w.workers = append(w.workers, addr)
	}
	w.app = w.net.Host("function app", appAddr)
	w.net.Name(AppName, appAddr)
	return nil
}

// service is where the client sends its requests: the first published port of
// the first frontend. A public address is there once its resource is.
func (w *World) service() (netip.AddrPort, bool) {
	f, port := w.plan.LoadBalancers[0].Frontends[0], uint16(w.plan.published()[0].Port)
	if f.PublicIP == "" {
		return netip.AddrPortFrom(f.Address, port), true
	}
	addr, known := w.manager.PublicAddress(w.plan.publicIPID(f.PublicIP))
	return netip.AddrPortFrom(addr, port), known
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

// Attach brings the program into the world: a Functions host that runs it on
// each worker, and Event Grid's subscriptions to it.
func (w *World) Attach(p Program) error {
	a, err := w.newFunctionApp(p)
	if err != nil {
		return fmt.Errorf("start the function app: %w", err)
	}
	w.program = a
	if err := w.serveTLS(w.app, AppName, a); err != nil {
		return err
	}
	return w.serve(w.app, 80, a)
}

// hostLine keeps the warnings and errors of a worker's host; the handler's own
// lines are told by the program itself.
func (w *World) hostLine(worker, level, line string) {
	if level != host.LevelError && level != host.LevelWarning {
		return
	}
	if len(w.machines) > 1 {
		level = worker + ": " + level
	}
	w.record.log(sourceHost, level+": "+line)
}

// Run plays the story to its end, or until ctx ends. That nobody locked the
// account of a unit is expected of every story.
func (w *World) Run(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, w.Scenario.For)
	defer cancel()
	var wait sync.WaitGroup
	wait.Go(func() { w.client.run(ctx) })
	if w.crowd != nil {
		wait.Go(func() { w.crowd.run(ctx) })
	}
	if w.resolver != nil {
		wait.Go(func() { w.resolver.run(ctx) })
	}
	if w.program != nil {
		wait.Go(func() { w.program.run(ctx) })
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
	if w.program != nil {
		for _, f := range w.program.failures() {
			w.fail("the Functions host would hang or refuse: " + f)
		}
	}
	w.judgeConnections()
	w.judgeSettings()
	for _, role := range w.roles() {
		if u := w.units[role]; u.Lockouts() > 0 {
			w.fail(fmt.Sprintf("%d failed logins locked the account of %s", u.FailedLogins(), u.Name()))
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
	if st.Alone && w.program != nil {
		return
	}
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

// Outage is what the client measured, and the resolver.
func (w *World) Outage() Outage {
	o := w.client.measured()
	if w.resolver != nil {
		o.Resolved = w.resolver.result()
	}
	return o
}

// Connections is what came of the connections of the story's clients.
func (w *World) Connections() Connections {
	if w.crowd == nil {
		return Connections{}
	}
	return w.crowd.measured()
}

// PairFile is the story's pair file, with the pins of the units' certificates.
func (w *World) PairFile() []byte { return w.pairs[0].pinned }

// PairFiles are the pair files of the world, that of PairFile first and then the
// neighbours'.
func (w *World) PairFiles() []PairFile {
	var out []PairFile
	for _, p := range w.pairs {
		out = append(out, PairFile{Name: p.plan.Name, YAML: p.pinned})
	}
	return out
}

// Authority is the PEM of the certificate authority of the simulated services.
func (w *World) Authority() []byte { return w.authority.pem() }

// Worker is the host on which the program runs, with the address from which it
// reaches the pair; where there are several, the first.
func (w *World) Worker() *network.Host { return w.machines[0] }

// Workers are all hosts on which the program runs, worker-1 first.
func (w *World) Workers() []*network.Host { return w.machines }

// Network is the world's network, to be exposed to programs outside.
func (w *World) Network() *network.Network { return w.net }

// Handler is the public face of the function app, after Attach.
func (w *World) Handler() http.Handler { return w.program }

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
