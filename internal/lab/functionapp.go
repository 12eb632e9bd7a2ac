package lab

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"tandem/internal/lab/host"
)

const (
	// newHostAfter is how long the platform takes to start a new Functions host
	// in place of one that has stopped itself (functions-host.md 1.4 says only
	// that it does).
	newHostAfter = 10 * time.Second
	// hostThaw is how much later than its handler a frozen Functions host goes
	// on, so that what the handler was about to send leaves before the host
	// finds that the handler took too long.
	hostThaw = 50 * time.Millisecond
	// instancePhase keeps the timers of the instances apart.
	instancePhase = 3 * time.Microsecond
)

// functionApp is the app as the platform runs it: instances of the Functions
// host that drain the same queues, a front end that shares requests among them,
// and the switch that stops and starts all of it.
type functionApp struct {
	instances []*instance
	timers    *host.TimerStore
	do        func(Step) error // the program's side of a step; may be nil
	log       func(source, event string)
	fail      func(string)

	mu      sync.Mutex // guards what follows, and the instances' fields below their hosts
	stopped bool
	changed chan struct{}      // closed and replaced when stopped changes
	turn    int                // whose turn the next request is
	fatal   map[string][]fatal // by service: the requests that are to kill
	later   []*time.Timer      // deaths to come
}

// fatal is a request that kills the handler that sent it; what is empty may be
// anything.
type fatal struct{ worker, method string }

func (f fatal) is(worker, method string) bool {
	return (f.worker == "" || f.worker == worker) && (f.method == "" || strings.EqualFold(f.method, method))
}

// instance is one machine of the app.
type instance struct {
	name    string
	address netip.Addr
	host    *host.Host

	cancel context.CancelFunc // ends the host's present run
	killed bool               // by the story, so that its host may give up
}

// newFunctionApp makes an app of as many instances as the world has workers.
// Nothing runs yet.
func (w *World) newFunctionApp(p Program) (*functionApp, error) {
	launchers := append([]host.Launcher{p.Launcher}, p.Others...)
	if len(launchers) != len(w.machines) {
		return nil, fmt.Errorf("%d launchers for %d workers", len(launchers), len(w.machines))
	}
	a := &functionApp{
		timers: &host.TimerStore{}, do: p.Do, log: w.record.log, fail: w.fail,
		changed: make(chan struct{}), fatal: map[string][]fatal{},
	}
	for n, machine := range w.machines {
		h, err := host.New(host.Config{
			App: p.App, Settings: p.Settings, Launcher: launchers[n], Queues: p.Queues, Timers: a.timers, WebhookKey: webhookKey,
			Log: func(level, line string) { w.hostLine(machine.Name(), level, line) },
			// The seeds of the instances are far apart, because those around the
			// first one's belong to other actors.
			Seed: w.Options.Seed*10 + 5 + uint64(n)<<32, Phase: phase(actorHost) + time.Duration(n)*instancePhase, StrictAnswers: true,
			ContentLength: w.behaviour.host.ContentLength, BatchAsArray: w.behaviour.host.BatchAsArray,
		})
		if err != nil {
			return nil, err
		}
		a.instances = append(a.instances, &instance{name: machine.Name(), address: machine.Addr(), host: h})
	}
	return a, nil
}

// run keeps every instance's host running while the app is started, until ctx
// ends.
func (a *functionApp) run(ctx context.Context) {
	var wait sync.WaitGroup
	for _, i := range a.instances {
		wait.Go(func() { a.runInstance(ctx, i) })
	}
	wait.Wait()
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, t := range a.later {
		t.Stop()
	}
}

func (a *functionApp) runInstance(ctx context.Context, i *instance) {
	for a.waitUntilStarted(ctx) {
		inner, cancel := context.WithCancel(ctx)
		if !a.begin(i, cancel) { // stopped since
			cancel()
			continue
		}
		err := i.host.Run(inner)
		cancel()
		switch {
		case err == nil:
		case errors.Is(err, host.ErrRestartLimit) && a.wasKilled(i):
			a.log(sourceHost, i.name+": the host has stopped itself, the platform starts a new one")
			if !sleep(ctx, newHostAfter) {
				return
			}
		default:
			a.fail("the Functions host ended: " + err.Error())
			return
		}
	}
}

// waitUntilStarted waits while the app is stopped, and says whether it is to run.
func (a *functionApp) waitUntilStarted(ctx context.Context) bool {
	for {
		a.mu.Lock()
		stopped, changed := a.stopped, a.changed
		a.mu.Unlock()
		switch {
		case ctx.Err() != nil:
			return false
		case !stopped:
			return true
		}
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
}

func (a *functionApp) begin(i *instance, cancel context.CancelFunc) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	i.cancel = cancel
	return !a.stopped
}

// stop stops the app as a person does in the portal: every host is stopped as
// usual, and none is started.
func (a *functionApp) stop(stopped bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.stopped == stopped {
		return
	}
	a.stopped = stopped
	close(a.changed)
	a.changed = make(chan struct{})
	for _, i := range a.instances {
		if stopped && i.cancel != nil {
			i.cancel()
		}
	}
}

// ServeHTTP is the front end. It gives each request to the next instance in
// turn, frozen ones included, and answers for a stopped app with 403, "This web
// app is stopped", as App Service does.
func (a *functionApp) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	stopped, i := a.stopped, a.instances[a.turn%len(a.instances)]
	a.turn++
	a.mu.Unlock()
	if stopped {
		http.Error(w, "Error 403 - This web app is stopped.", http.StatusForbidden)
		return
	}
	i.host.Handler().ServeHTTP(w, r)
}

// kill ends the handler process of an instance.
func (a *functionApp) kill(i *instance) {
	a.mu.Lock()
	i.killed = true
	a.mu.Unlock()
	i.host.Kill()
}

// killTimes kills a handler now and then again, so many times in all.
func (a *functionApp) killTimes(i *instance, times int, every time.Duration) {
	a.kill(i)
	a.mu.Lock()
	defer a.mu.Unlock()
	for n := 1; n < times; n++ {
		a.later = append(a.later, time.AfterFunc(time.Duration(n)*every, func() { a.kill(i) }))
	}
}

func (a *functionApp) wasKilled(i *instance) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return i.killed
}

// killAfter has a handler die when the service has taken one of its next
// requests.
func (a *functionApp) killAfter(service string, f fatal, times int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.fatal[service] = slices.Concat(a.fatal[service], slices.Repeat([]fatal{f}, times))
}

// took kills the handler that sent a request which the service has taken and
// not yet answered, where that is to be fatal.
func (a *functionApp) took(service, method, remote string) {
	from, err := netip.ParseAddrPort(remote)
	if err != nil {
		return
	}
	at := slices.IndexFunc(a.instances, func(i *instance) bool { return i.address == from.Addr() })
	if at < 0 {
		return // somebody else
	}
	i := a.instances[at]
	a.mu.Lock()
	n := slices.IndexFunc(a.fatal[service], func(f fatal) bool { return f.is(i.name, method) })
	if n >= 0 {
		a.fatal[service] = slices.Delete(a.fatal[service], n, n+1)
	}
	a.mu.Unlock()
	if n >= 0 {
		a.log("story", fmt.Sprintf("the handler of %s is killed: %s has taken its request and not answered yet", i.name, service))
		a.kill(i)
	}
}

// named finds an instance, the first where no name is given.
func (a *functionApp) named(name string) *instance {
	for _, i := range a.instances {
		if name == "" || name == i.name {
			return i
		}
	}
	return nil
}

// failures lists what the hosts met that no handler may do.
func (a *functionApp) failures() []string {
	var all []string
	for _, i := range a.instances {
		all = append(all, i.host.Failures()...)
	}
	return all
}

// sleep waits and says whether ctx still lives.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
