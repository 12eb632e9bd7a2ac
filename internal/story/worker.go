package story

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"tandem/internal/api"
	"tandem/internal/app"
	"tandem/internal/azure/events"
	"tandem/internal/balancer"
	"tandem/internal/lab"
	"tandem/internal/lab/network"
	"tandem/internal/pair"
	"tandem/internal/store"
)

// worker is one instance of the function app: a machine with an address, a
// clock, and a way out that can be frozen. The handler's processes come and go
// on it.
type worker struct {
	stage   *stage
	machine *network.Host
	teller  string // who tells the transcript what it does
	gate    gate

	mu   sync.Mutex // guards what follows
	step time.Duration
	next int // port
}

// now is the machine's wall clock. Its monotonic clock never steps, so the time
// that it gives has no monotonic reading.
func (w *worker) now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Now().Add(w.step).Round(0)
}

func (w *worker) stepClock(by time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.step += by
}

// freeze stops the worker, handler and host, for a while.
func (w *worker) freeze(d time.Duration) {
	w.gate.freeze(d)
	w.stage.world.FreezeHost(w.machine.Name(), d)
}

// program assembles the program for a process on this machine.
func (w *worker) program(p *process, id string) (*app.App, error) {
	client, err := w.azureClient(p)
	if err != nil {
		return nil, err
	}
	s, started := w.stage, time.Now()
	most, err := maxMode(s.world.Scenario)
	if err != nil {
		return nil, err
	}
	return app.New(app.Options{
		Store:   s.account.Store(store.HandleOptions{Now: w.now, Gate: p.storeGate, Tables: s.gate}),
		Vault:   s.vault.Vault(p.vaultGate),
		Secrets: secrets(s.world.Secrets()), Credential: credential{}, Cloud: azure(),
		Client: client, DialContext: p.dialOut, Topic: "https://" + lab.TopicName + "/api/events", TopicKey: lab.TopicKey,
		Own: events.Own{AppID: lab.Tandem.AppID, ObjectID: lab.Tandem.ObjectID}, Peers: []netip.Prefix{netip.PrefixFrom(w.machine.Addr(), 32)},
		Surroundings: balancer.Surroundings{From: []netip.Prefix{s.world.ProgramSubnet()}},
		Auth:         api.AuthNone, // the story's operator is alone in its world
		Worker:       id, Seed: s.seed, Log: slog.New(teller{tell: p.tell}),
		Now: w.now, Uptime: func() time.Duration { return time.Since(started) }, MaxMode: most,
	})
}

// maxMode is the setting TANDEM_MAX_MODE of a story.
func maxMode(sc lab.Scenario) (most pair.Mode, err error) {
	err = most.UnmarshalText([]byte(cmp.Or(sc.MaxMode, pair.ModeUnset.String())))
	return most, err
}

func (w *worker) azureClient(p *process) (*http.Client, error) {
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(w.stage.world.Authority()) {
		return nil, errors.New("the lab's authority is no PEM certificate")
	}
	return &http.Client{Transport: &heldWrites{process: p, next: &http.Transport{
		DialContext: p.dialOut, ForceAttemptHTTP2: false, DisableKeepAlives: true,
		TLSClientConfig: &tls.Config{
			RootCAs: roots, MinVersion: tls.VersionTLS12,
			// Handshakes cost most of what the program costs in a story.
			CurvePreferences: []tls.CurveID{tls.X25519}, ClientSessionCache: tls.NewLRUClientSessionCache(0),
		},
	}}}, nil
}

// tell is what the process writes to its log: nothing while it is frozen, and
// nothing after its end.
func (p *process) tell(event string) {
	if p.pass() == nil {
		p.worker.stage.world.Log(p.worker.teller, event)
	}
}

// pass waits while the worker is frozen. The error is net.ErrClosed for a
// process that has been killed: whatever of it still runs here reaches nobody.
func (p *process) pass() error {
	p.worker.gate.pass(p.dead)
	select {
	case <-p.dead:
		return net.ErrClosed
	default:
	}
	if p.isDoomed() {
		return net.ErrClosed
	}
	return nil
}

func (p *process) storeGate(_ context.Context, write bool) error {
	if err := p.pass(); err != nil || !write {
		return err
	}
	return p.stored()
}

// vaultGate is storeGate for the container of backups, whose next write may be one of
// which the process dies.
func (p *process) vaultGate(ctx context.Context, write bool) error {
	err := p.storeGate(ctx, write)
	if fatal := &p.worker.stage.fatal; err == nil && write && fatal.Add(-1) >= 0 {
		p.doom()
	} else if err == nil && write {
		fatal.Add(1)
	}
	return err
}

// dialOut dials as the process, which keeps its connections until it ends.
func (p *process) dialOut(ctx context.Context, netw, address string) (net.Conn, error) {
	if err := p.pass(); err != nil {
		return nil, err
	}
	inner, err := p.worker.machine.DialContext(ctx, netw, address)
	if gone := p.pass(); err == nil && gone != nil {
		_ = inner.Close()
		return nil, gone
	}
	if err != nil {
		return nil, err
	}
	return p.own(inner), nil
}
