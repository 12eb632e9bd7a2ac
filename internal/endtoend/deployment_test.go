package endtoend

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"tandem/internal/api"
	"tandem/internal/config"
	"tandem/internal/lab"
	"tandem/internal/lab/azurite"
	"tandem/internal/lab/host"
	"tandem/internal/pair"
	"tandem/internal/store"
)

// lease is how long a pass may hold a pair here. It is as short as a pass
// allows, because a killed handler's lease has to run out.
const lease = 9 * time.Second

// patience is how long the test waits for anything. What it waits for takes
// half a minute at most; the rest is for a busy machine.
const patience = 90 * time.Second

// deployment is the staged app at work: the host's stand-in runs it, Azurite
// keeps its state, and a lab's world on a real socket is all the rest.
type deployment struct {
	t        *testing.T
	app      string   // the staged script root
	server   string   // address of the host's public face
	proxy    *url.URL // the way into the world
	launcher *launcher
	world    *lab.World
	queues   queues
	store    *store.Store // looks at the state from beside the program
	api      *api.Client
	secrets  map[string]string // what must never be printed, by what it is
	stop     func()            // ends the host and the world's story

	killed chan time.Time // when the handler was, after kill

	mu   sync.Mutex // guards what follows
	die  death
	told strings.Builder
}

// deploy starts the staged app in the world of a story. It ends with the test.
func deploy(t *testing.T, sc lab.Scenario) *deployment {
	t.Helper()
	d := &deployment{t: t, app: app(t), killed: make(chan time.Time, 1)}
	d.launcher = &launcher{Exec: host.Exec{Dir: d.app}}
	connection := d.openStorage()
	var err error
	if d.world, err = lab.New(sc, lab.Options{Seed: 1, Tell: d.tell, Took: d.took}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.world.Close)

	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var running sync.WaitGroup
	d.stop = func() { cancel(); running.Wait() }
	t.Cleanup(d.end)
	way := d.listen()
	d.proxy = &url.URL{Scheme: "http", Host: way.Addr().String()}
	running.Go(func() {
		if err := d.world.Network().ServeProxy(ctx, way, d.world.Worker()); err != nil {
			t.Error(err)
		}
	})
	err = d.world.Attach(lab.Program{
		App: os.DirFS(d.app), Launcher: d.launcher, Queues: d.queues, Settings: d.settings(connection),
	})
	if err != nil {
		t.Fatal(err)
	}
	running.Go(func() {
		if err := d.world.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	public := d.listen()
	face := &http.Server{Handler: d.world.Handler(), ReadHeaderTimeout: time.Minute}
	running.Go(func() { _ = face.Serve(public) }) // always an error: it was closed
	running.Go(func() { <-ctx.Done(); _ = face.Close() })
	d.server = "http://" + public.Addr().String()
	if d.api, err = api.NewClient(d.server, "", plain()); err != nil {
		t.Fatal(err)
	}
	return d
}

// plain is a client that leaves no connection behind and asks no proxy.
func plain() *http.Client { return &http.Client{Transport: &http.Transport{DisableKeepAlives: true}} }

// openStorage starts Azurite and returns its connection string.
func (d *deployment) openStorage() string {
	d.t.Helper()
	server, err := azurite.Start(d.t.Context())
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			d.t.Error(err)
		}
	})
	if d.queues, err = openQueues(server.ConnectionString(), plain()); err != nil {
		d.t.Fatal(err)
	}
	if d.store, err = store.NewAzure(store.AzureOptions{ConnectionString: server.ConnectionString(), Transport: plain()}); err != nil {
		d.t.Fatal(err)
	}
	return server.ConnectionString()
}

func (d *deployment) listen() net.Listener {
	d.t.Helper()
	l, err := (&net.ListenConfig{}).Listen(d.t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		d.t.Fatal(err)
	}
	return l
}

// settings are the app settings of a deployment whose way out is the proxy. The
// managed identity is found as in Azure.
func (d *deployment) settings(connection string) map[string]string {
	d.t.Helper()
	authority := filepath.Join(d.t.TempDir(), "ca.pem")
	if err := os.WriteFile(authority, d.world.Authority(), 0o600); err != nil {
		d.t.Fatal(err)
	}
	d.secrets = map[string]string{
		"the topic's key": lab.TopicKey, "the identity header": lab.IdentitySecret,
		"the storage key": regexp.MustCompile(`AccountKey=([^;]+)`).FindStringSubmatch(connection)[1],
	}
	out := map[string]string{
		"AzureWebJobsStorage": connection, "TANDEM_STORAGE": connection,
		"TANDEM_CLOUD": "custom", "TANDEM_ARM_ENDPOINT": "https://" + lab.ManagerName, "TANDEM_CA_FILE": authority,
		"TANDEM_OWN_APP_ID": lab.Tandem.AppID, "TANDEM_OWN_OBJECT_ID": lab.Tandem.ObjectID,
		"TANDEM_SUBNETS":        d.world.ProgramSubnet().String(),
		"TANDEM_TOPIC_ENDPOINT": "https://" + lab.TopicName + "/api/events", "TANDEM_TOPIC_KEY": lab.TopicKey,
		"TANDEM_LEASE": lease.String(), "TANDEM_PASS_BUDGET": (lease - time.Second).String(), "TANDEM_LOG_LEVEL": "debug",
		"IDENTITY_ENDPOINT": lab.IdentityURL, "IDENTITY_HEADER": lab.IdentitySecret,
		"HTTP_PROXY": d.proxy.String(), "HTTPS_PROXY": d.proxy.String(), "NO_PROXY": "127.0.0.1",
	}
	for name, secret := range d.world.Secrets() {
		out[config.SecretSetting(name)] = secret
		d.secrets["secret "+name] = secret
	}
	return out
}

// death says when the handler shall die: in the hands of which service, and in
// what situation as it is stored then.
type death struct {
	service string
	in      pair.Situation
}

// kill has the handler killed when the service has taken something from it and
// has not yet answered, once the situation is believed. The time comes on
// d.killed.
func (d *deployment) kill(service string, in pair.Situation) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.die = death{service, in}
}

// took is called by the world. The answer waits until nothing is left of the
// handler.
func (d *deployment) took(service string) {
	d.mu.Lock()
	die := d.die
	d.mu.Unlock()
	if service != die.service {
		return
	}
	if now, err := d.store.Load(context.Background(), pairName); err != nil || now.Record.Situation != die.in {
		return
	}
	d.kill("", 0)
	handlers := d.launcher.started()
	last := handlers[len(handlers)-1]
	last.Kill()
	last.Wait()
	d.killed <- time.Now()
}

// wasKilled waits for a kill, and for the host to have seen it, and returns its
// time.
func (d *deployment) wasKilled() (at time.Time) {
	d.t.Helper()
	d.until("the handler was killed", func() bool {
		select {
		case at = <-d.killed:
			return true
		default:
			return false
		}
	})
	d.until("the host has started another one", func() bool { return len(d.launcher.started()) == 2 })
	return at
}

// until waits for something that must come true.
func (d *deployment) until(what string, met func() bool) {
	d.t.Helper()
	start := time.Now()
	for !met() {
		if time.Since(start) > patience {
			d.t.Fatalf("not within %v: %s", patience, what)
		}
		time.Sleep(200 * time.Millisecond)
	}
	d.t.Logf("after %4.1f s %s", time.Since(start).Seconds(), what)
}

// tell keeps the world's transcript.
func (d *deployment) tell(l lab.Line) {
	d.mu.Lock()
	defer d.mu.Unlock()
	fmt.Fprintf(&d.told, "%s  %-13s  %s\n", l.Clock(), l.Source, l.Event)
}

// end stops everything, and tells the whole story if the test has failed.
func (d *deployment) end() {
	d.stop()
	if !d.t.Failed() {
		return
	}
	d.world.Transcript() // tells the last lines
	d.mu.Lock()
	defer d.mu.Unlock()
	d.t.Logf("the world:\n%s", d.told.String())
	for i, h := range d.launcher.started() {
		d.t.Logf("handler %d:\n%s%s", i+1, h.stdout.String(), h.stderr.String())
	}
}
