package endtoend

import (
	"context"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"tandem/internal/config"
	"tandem/internal/lab"
	"tandem/internal/lab/azurite"
	"tandem/internal/lab/host"
	"tandem/internal/store"
)

// deployment is the staged app at work: a world around it, Azurite below it.
type deployment struct {
	t        *testing.T
	world    *lab.World
	app      string // the staged script root
	launcher *launcher
	queues   queues
	store    *store.Store // looks at the state from beside the program
	server   string       // address of the host's public face
	secrets  []string     // what must never be printed
	tell     *teller
	stop     func() // ends everything; may be called more than once
}

// deploy stages the app and starts it in the world of a story. wrote is called
// between a write to Resource Manager and its answer.
func deploy(t *testing.T, sc lab.Scenario, settings map[string]string, wrote func(*deployment)) *deployment {
	t.Helper()
	d := &deployment{t: t, tell: &teller{}}
	connection := d.storage()
	d.app = stage(t)
	d.launcher = &launcher{Exec: host.Exec{Dir: d.app}}
	var err error
	if d.world, err = lab.New(sc, lab.Options{Seed: 1, Tell: d.tell.line, Wrote: func() { wrote(d) }}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.world.Close)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var wait sync.WaitGroup
	d.stop = func() { cancel(); wait.Wait() }
	t.Cleanup(d.stop)
	proxy := d.listen(func(l net.Listener) {
		wait.Go(func() {
			if err := d.world.Network().ServeProxy(ctx, l, d.world.Worker()); err != nil {
				t.Error(err)
			}
		})
	})
	all := d.settings(connection, proxy)
	maps.Copy(all, settings)
	if err := d.world.Attach(lab.Program{App: os.DirFS(d.app), Launcher: d.launcher, Queues: d.queues, Settings: all}); err != nil {
		t.Fatal(err)
	}
	d.server = "http://" + d.listen(func(l net.Listener) {
		face := &http.Server{Handler: d.world.Handler(), ReadHeaderTimeout: time.Minute}
		wait.Go(func() { _ = face.Serve(l) }) // ends with Close
		wait.Go(func() { <-ctx.Done(); _ = face.Close() })
	})
	wait.Go(func() {
		if err := d.world.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	return d
}

// storage starts Azurite and opens what the host and the test use of it.
func (d *deployment) storage() (connection string) {
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
	connection = server.ConnectionString()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	if d.queues, err = openQueues(connection, client); err != nil {
		d.t.Fatal(err)
	}
	if d.store, err = store.NewAzure(store.AzureOptions{ConnectionString: connection, Transport: client}); err != nil {
		d.t.Fatal(err)
	}
	return connection
}

// listen opens a port of this machine for serve, and returns its address.
func (d *deployment) listen(serve func(net.Listener)) string {
	d.t.Helper()
	l, err := (&net.ListenConfig{}).Listen(d.t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		d.t.Fatal(err)
	}
	serve(l)
	return l.Addr().String()
}

// settings are the app settings of a deployment whose way out is the proxy. The
// managed identity is the platform's own, as in Azure.
func (d *deployment) settings(connection, proxy string) map[string]string {
	d.t.Helper()
	out := map[string]string{
		"AzureWebJobsStorage": connection, "TANDEM_STORAGE": connection,
		"TANDEM_CLOUD": "custom", "TANDEM_ARM_ENDPOINT": "https://" + lab.ManagerName, "TANDEM_CA_FILE": d.file("ca.pem", d.world.Authority()),
		"TANDEM_OWN_APP_ID": lab.Tandem.AppID, "TANDEM_OWN_OBJECT_ID": lab.Tandem.ObjectID,
		"TANDEM_TOPIC_ENDPOINT": "https://" + lab.TopicName + "/api/events", "TANDEM_TOPIC_KEY": lab.TopicKey,
		"TANDEM_LOG_LEVEL":  "debug",
		"IDENTITY_ENDPOINT": lab.IdentityURL, "IDENTITY_HEADER": lab.IdentitySecret,
		"HTTP_PROXY": "http://" + proxy, "HTTPS_PROXY": "http://" + proxy, "NO_PROXY": "127.0.0.1",
	}
	d.secrets = []string{lab.TopicKey, lab.IdentitySecret, connection, accountKey(d.t, connection)}
	for name, secret := range d.world.Secrets() {
		out[config.SecretSetting(name)] = secret
		d.secrets = append(d.secrets, secret)
	}
	return out
}

// file writes a file of the test.
func (d *deployment) file(name string, b []byte) string {
	d.t.Helper()
	path := filepath.Join(d.t.TempDir(), name)
	if err := os.WriteFile(path, b, 0o600); err != nil {
		d.t.Fatal(err)
	}
	return path
}

// until waits for something, and tells what it waited for in vain.
func (d *deployment) until(what string, within time.Duration, met func() bool) {
	d.t.Helper()
	start := time.Now()
	for !met() {
		if time.Since(start) > within {
			d.t.Fatalf("not within %v: %s", within, what)
		}
		time.Sleep(100 * time.Millisecond)
	}
	d.t.Logf("%5.1f s for: %s", time.Since(start).Seconds(), what)
}
