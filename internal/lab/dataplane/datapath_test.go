package dataplane_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"tandem/internal/lab/dataplane"
	"tandem/internal/lab/network"
)

const lbID = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.Network/loadBalancers/ilb-edge"

var (
	vip = netip.MustParseAddr("10.0.0.100")
	lm1 = netip.MustParseAddr("10.0.0.4")
	lm2 = netip.MustParseAddr("10.0.0.5")
	pc  = netip.MustParseAddr("10.0.0.50")
)

// unit is a small backend: a check port with a status of its own, a service
// that says its name, and an echo port.
type unit struct {
	host    *network.Host
	name    string
	status  atomic.Int32
	silent  atomic.Bool
	checks  atomic.Int32
	servers []*http.Server
	echo    net.Listener
}

func (u *unit) start(t *testing.T) {
	t.Helper()
	check := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		u.checks.Add(1)
		if u.silent.Load() {
			<-r.Context().Done()
			return
		}
		w.WriteHeader(int(u.status.Load()))
	})
	service := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, "%s for %s", u.name, r.RemoteAddr[:strings.LastIndexByte(r.RemoteAddr, ':')])
	})
	for port, handler := range map[int]http.Handler{8444: check, 443: service} {
		s := &http.Server{Handler: handler}
		l, err := u.host.Listen(port)
		if err != nil {
			t.Fatal(err)
		}
		u.servers = append(u.servers, s)
		go func() { _ = s.Serve(l) }()
	}
	l, err := u.host.Listen(7)
	if err != nil {
		t.Fatal(err)
	}
	u.echo = l
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = io.Copy(c, c)
				_ = c.Close()
			}()
		}
	}()
}

func (u *unit) stop() {
	for _, s := range u.servers {
		_ = s.Close()
	}
	_ = u.echo.Close()
	u.servers = nil
}

type world struct {
	t      *testing.T
	net    *network.Network
	client *network.Host
	path   *dataplane.DataPath
	units  [2]*unit
	start  time.Time

	mu     sync.Mutex
	events []string
}

// inWorld runs a story about two units behind one load balancer in virtual
// time: lm1 answers 200, lm2 answers 503.
func inWorld(t *testing.T, opts dataplane.Options, story func(w *world)) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, net: network.New(network.Options{Seed: 1}), start: time.Now()}
		w.client = w.net.Host("client", pc)
		opts.Phase = 11 * time.Microsecond
		w.path = dataplane.New(w.net, opts, func(event string) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.events = append(w.events, event)
		})
		for i, addr := range []netip.Addr{lm1, lm2} {
			name := fmt.Sprintf("lm%d", i+1)
			w.units[i] = &unit{host: w.net.Host(name, addr), name: name}
			w.units[i].start(t)
		}
		w.units[0].status.Store(200)
		w.units[1].status.Store(503)
		story(w)
		w.path.Close()
		for _, u := range w.units {
			u.stop()
		}
		w.net.Close()
		synctest.Wait()
	})
}

func pair() dataplane.LoadBalancer {
	return dataplane.LoadBalancer{
		ID:        lbID,
		Frontends: []dataplane.Frontend{{Name: "vip1", Address: vip}},
		Pools: []dataplane.Pool{{Name: "loadmasters", Backends: []dataplane.Backend{
			{Name: "lm1", Address: lm1}, {Name: "lm2", Address: lm2},
		}}},
		Probes: []dataplane.Probe{{Name: "check", Protocol: dataplane.HTTP, Port: 8444, Path: "/", Interval: 5 * time.Second, Threshold: 2}},
		Rules: []dataplane.Rule{
			{Name: "https", Frontend: "vip1", FrontendPort: 443, BackendPort: 443, Pool: "loadmasters", Probe: "check"},
			{Name: "echo", Frontend: "vip1", FrontendPort: 7, BackendPort: 7, Pool: "loadmasters", Probe: "check"},
		},
		NATRules: []dataplane.NATRule{{Name: "wui2", Frontend: "vip1", FrontendPort: 8442, BackendPort: 443, Backend: lm2}},
	}
}

// settled applies the configuration and lets every backend be probed.
func (w *world) settled(lb dataplane.LoadBalancer) {
	w.path.Apply(lb)
	time.Sleep(6 * time.Second)
	w.take()
}

func (w *world) take() []string {
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	taken := w.events
	w.events = nil
	return taken
}

// get asks the service behind a frontend port; the answer is the unit's, or
// the error's kind.
func (w *world) get(port int) string {
	c := http.Client{Timeout: 3 * time.Second, Transport: &http.Transport{DialContext: w.client.DialContext, DisableKeepAlives: true}}
	resp, err := c.Get(fmt.Sprintf("http://%s/", netip.AddrPortFrom(vip, uint16(port))))
	if err != nil {
		if e, ok := err.(net.Error); ok && e.Timeout() {
			return "timeout"
		}
		return "error"
	}
	body, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err != nil {
		return "cut"
	}
	return string(body)
}

// spread counts who answers many new connections.
func (w *world) spread(n int) map[string]int {
	count := map[string]int{}
	for range n {
		count[strings.Fields(w.get(443))[0]]++
	}
	return count
}

func (w *world) health() string {
	var all []string
	for _, h := range w.path.Health(lbID, "https") {
		all = append(all, fmt.Sprintf("%s/%s", h.State, h.Reason))
	}
	return strings.Join(all, " ")
}

func (w *world) wantHealth(when, want string) {
	w.t.Helper()
	if got := w.health(); got != want {
		w.t.Errorf("health %s: got %q, want %q", when, got, want)
	}
}

func (w *world) wantEvents(when string, want ...string) {
	w.t.Helper()
	if got := w.take(); !slices.Equal(got, want) {
		w.t.Errorf("events %s:\n got %q\nwant %q", when, got, want)
	}
}

func (w *world) wantGet(when string, port int, want string) {
	w.t.Helper()
	if got := w.get(port); !strings.HasPrefix(got, want) {
		w.t.Errorf("a request %s: got %q, want %q", when, got, want)
	}
}

// until waits for an event, polling virtual time, and returns how long that
// took.
func (w *world) until(event string, limit time.Duration) time.Duration {
	w.t.Helper()
	began := time.Now()
	for time.Since(began) < limit {
		time.Sleep(100 * time.Millisecond)
		for _, e := range w.take() {
			if strings.HasPrefix(e, event) {
				return time.Since(began)
			}
		}
	}
	w.t.Fatalf("no event %q within %s", event, limit)
	return 0
}

func TestTrafficFollowsTheProbe(t *testing.T) {
	inWorld(t, dataplane.Options{}, func(w *world) {
		w.path.Apply(pair())
		w.wantHealth("before the first probe", "NA/NA NA/NA")
		time.Sleep(6 * time.Second)
		events := w.take()
		slices.Sort(events) // which of the two is probed first is the seed's business
		if want := []string{
			"lm1 probed up (200 once): new connections go to lm1",
			"lm2 probed down (503 once): new connections go to lm1",
		}; len(events) != 2 || events[0] != want[0] || !strings.HasPrefix(events[1], "lm2 probed down (503 once)") {
			t.Errorf("first events: got %q, want %q", events, want)
		}
		w.wantHealth("of a healthy pair", "Up/Up_Probe_Success Down/Down_Probe_HttpStatusCodeError")
		w.wantGet("to a healthy pair", 443, "lm1 for 10.0.0.100")

		w.units[1].status.Store(200)
		w.until("lm2 probed up (200 twice): new connections go to lm1 and lm2", time.Minute)
		if got := w.spread(40); got["lm1"] < 8 || got["lm2"] < 8 {
			t.Errorf("two healthy backends share 40 connections as %v", got)
		}
		w.units[0].status.Store(503)
		took := w.until("lm1 probed down (503 twice): new connections go to lm2", time.Minute)
		if took <= 5*time.Second || took > 10100*time.Millisecond {
			t.Errorf("two failures at an interval of 5 s took %s", took)
		}
		w.wantGet("after the failover", 443, "lm2")
	})
}

func TestThresholdCountsInBothDirections(t *testing.T) {
	inWorld(t, dataplane.Options{}, func(w *world) {
		w.settled(pair())
		next := func() {
			time.Sleep(5 * time.Second)
			synctest.Wait()
		}
		w.units[0].status.Store(500)
		next()
		w.wantHealth("after one failure", "Up/Up_Probe_ApproachingUnhealthyThreshold Down/Down_Probe_HttpStatusCodeError")
		w.units[0].status.Store(200)
		next()
		w.wantHealth("after a success between", "Up/Up_Probe_Success Down/Down_Probe_HttpStatusCodeError")
		w.units[0].status.Store(500)
		next()
		next()
		w.wantHealth("after two failures in a row", "Down/Down_Probe_HttpStatusCodeError Down/Down_Probe_HttpStatusCodeError")
		w.units[0].status.Store(200)
		next()
		w.wantHealth("after one success", "Down/Down_Probe_ApproachingHealthyThreshold Down/Down_Probe_HttpStatusCodeError")
		next()
		w.wantHealth("after two successes", "Up/Up_Probe_Success Down/Down_Probe_HttpStatusCodeError")
		w.wantEvents("of the story",
			"lm1 probed down (500 twice): no new connection gets through",
			"lm1 probed up (200 twice): new connections go to lm1")
	})
}

func TestOnly200IsHealthy(t *testing.T) {
	for _, tt := range []struct {
		name   string
		fault  func(w *world)
		event  string
		reason string
	}{
		{"204 is a failure", func(w *world) { w.units[0].status.Store(204) }, "lm1 probed down (204 twice)", "Down_Probe_HttpStatusCodeError"},
		{"a redirect is a failure", func(w *world) { w.units[0].status.Store(302) }, "lm1 probed down (302 twice)", "Down_Probe_HttpStatusCodeError"},
		{
			"a refused connection is a failure", func(w *world) {
				w.units[0].stop()
				w.units[0].start(w.t)
				_ = w.units[0].servers[0].Close()
				_ = w.units[0].servers[1].Close()
			},
			"lm1 probed down (connection refused twice)", "Down_Probe_HttpEndpointUnreachable",
		},
		{"silence after the request is a failure", func(w *world) { w.units[0].silent.Store(true) }, "lm1 probed down (no answer twice)", "Down_Probe_HttpNoResponse"},
		{"a dead host is a failure", func(w *world) { w.units[0].host.SetUp(false) }, "lm1 probed down (no connection twice)", "Down_Probe_HttpEndpointUnreachable"},
		{"a network rule against the probe source is a failure", func(w *world) { w.net.Block(dataplane.ProbeSource, lm1, 8444) }, "lm1 probed down (no connection twice)", "Down_Probe_HttpEndpointUnreachable"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, dataplane.Options{}, func(w *world) {
				w.settled(pair())
				tt.fault(w)
				if took := w.until(tt.event, time.Minute); took > 15100*time.Millisecond {
					t.Errorf("it took %s", took)
				}
				w.wantHealth("then", "Down/"+tt.reason+" Down/Down_Probe_HttpStatusCodeError")
			})
		})
	}
}

func TestBlockedProbeIsOneUnitsAndCanBeLifted(t *testing.T) {
	inWorld(t, dataplane.Options{}, func(w *world) {
		w.settled(pair())
		w.net.Block(dataplane.ProbeSource, lm1, 8444)
		w.until("lm1 probed down", time.Minute)
		w.wantHealth("behind the network rule", "Down/Down_Probe_HttpEndpointUnreachable Down/Down_Probe_HttpStatusCodeError")
		w.net.Unblock(dataplane.ProbeSource, lm1, 8444)
		w.until("lm1 probed up (200 twice): new connections go to lm1", time.Minute)
	})
}

func TestAProbeRunsOnlyWhereARuleUsesIt(t *testing.T) {
	inWorld(t, dataplane.Options{}, func(w *world) {
		lb := pair()
		for i := range lb.Rules {
			lb.Rules[i].Probe = ""
		}
		lb.Pools[0].Backends[0].AdminState = dataplane.AdminDown
		w.path.Apply(lb)
		time.Sleep(time.Minute)
		if n := w.units[0].checks.Load(); n != 0 {
			t.Errorf("an unused probe ran %d times", n)
		}
		if got := w.spread(20); got["lm1"] == 0 || got["lm2"] == 0 {
			t.Errorf("without a probe every backend is eligible and admin states mean nothing, but connections went to %v", got)
		}
		if h := w.path.Health(lbID, "https"); h != nil {
			t.Errorf("health of a rule without a probe: %v", h)
		}
	})
}

func TestAdminStatesOverrideTheProbe(t *testing.T) {
	for _, tt := range []struct {
		name           string
		admin1, admin2 dataplane.AdminState
		event          string
		health, serves string
	}{
		{
			"Down refuses new connections whatever the probe says", dataplane.AdminDown, "", "lm1 set Down in loadmasters: no new connection gets through",
			"Down/Down_Admin Down/Down_Probe_HttpStatusCodeError", "timeout",
		},
		{
			"Up takes new connections whatever the probe says", "", dataplane.AdminUp, "lm2 set Up in loadmasters: new connections go to lm1 and lm2",
			"Up/Up_Probe_Success Up/Up_Admin", "lm",
		},
		{
			"Up and Down together move everything", dataplane.AdminDown, dataplane.AdminUp, "lm2 set Up in loadmasters: new connections go to lm2",
			"Down/Down_Admin Up/Up_Admin", "lm2",
		},
		{
			"Down does nothing to NAT rules", "", dataplane.AdminDown, "lm2 set Down in loadmasters: new connections go to lm1",
			"Up/Up_Probe_Success Down/Down_Admin", "lm1",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, dataplane.Options{}, func(w *world) {
				w.settled(pair())
				lb := pair()
				lb.Pools[0].Backends[0].AdminState = tt.admin1
				lb.Pools[0].Backends[1].AdminState = tt.admin2
				w.path.Apply(lb)
				if got := w.take(); !slices.Contains(got, tt.event) {
					t.Errorf("events: got %q, want %q", got, tt.event)
				}
				w.wantHealth("with admin states", tt.health)
				w.wantGet("with admin states", 443, tt.serves)
				w.wantGet("to the NAT port of the second unit", 8442, "lm2")

				w.path.Apply(pair())
				w.wantHealth("with the admin states cleared", "Up/Up_Probe_Success Down/Down_Probe_HttpStatusCodeError")
			})
		})
	}
}

func TestEstablishedConnectionsPersist(t *testing.T) {
	probeDown := func(w *world) {
		w.units[0].status.Store(503)
		w.until("lm1 probed down", time.Minute)
	}
	adminDown := func(w *world) {
		lb := pair()
		lb.Pools[0].Backends[0].AdminState = dataplane.AdminDown
		w.path.Apply(lb)
	}
	for _, tt := range []struct {
		name   string
		opts   dataplane.Options
		lonely bool
		event  func(w *world)
		kept   bool
	}{
		{"when the probe fails", dataplane.Options{}, false, probeDown, true},
		{"when the admin state is Down, as documented", dataplane.Options{}, false, adminDown, true},
		{"but not under Down where the option says so", dataplane.Options{DownResetsConnections: true}, false, adminDown, false},
		{"but not when the only backend of a pool fails", dataplane.Options{}, true, probeDown, false},
		{"when the load balancer is written again", dataplane.Options{}, false, func(w *world) { w.path.Apply(pair()) }, true},
		{"but not when it is removed", dataplane.Options{}, false, func(w *world) { w.path.Remove(lbID) }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, tt.opts, func(w *world) {
				lb := pair()
				if tt.lonely {
					lb.Pools[0].Backends = lb.Pools[0].Backends[:1]
				}
				w.settled(lb)
				conn := w.dial(7)
				defer func() { _ = conn.Close() }()
				if err := echo(conn); err != nil {
					t.Fatalf("echo before: %v", err)
				}
				tt.event(w)
				synctest.Wait()
				if err := echo(conn); (err == nil) != tt.kept {
					t.Errorf("echo after: %v, want kept %t", err, tt.kept)
				}
			})
		})
	}
}

func (w *world) dial(port int) net.Conn {
	w.t.Helper()
	conn, err := w.client.DialContext(context.Background(), "tcp", netip.AddrPortFrom(vip, uint16(port)).String())
	if err != nil {
		w.t.Fatal(err)
	}
	return conn
}

func echo(conn net.Conn) error {
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(conn, "ping"); err != nil {
		return err
	}
	_, err := io.ReadFull(conn, make([]byte, 4))
	return err
}

func TestTheEndOfOneDirectionIsPassedOn(t *testing.T) {
	inWorld(t, dataplane.Options{}, func(w *world) {
		w.settled(pair())
		conn := w.dial(7)
		defer func() { _ = conn.Close() }()
		big := strings.Repeat("x", 300_000)
		go func() {
			_, _ = io.WriteString(conn, big)
			_ = conn.(interface{ CloseWrite() error }).CloseWrite()
		}()
		got, err := io.ReadAll(conn)
		if err != nil || string(got) != big {
			t.Errorf("got %d bytes back and %v, want %d", len(got), err, len(big))
		}
	})
}

func TestIdleConnectionsEnd(t *testing.T) {
	inWorld(t, dataplane.Options{}, func(w *world) {
		w.settled(pair())
		conn := w.dial(7)
		defer func() { _ = conn.Close() }()
		for range 3 {
			time.Sleep(3 * time.Minute)
			if err := echo(conn); err != nil {
				t.Fatalf("echo after three minutes: %v", err)
			}
		}
		time.Sleep(4*time.Minute + time.Second)
		if err := echo(conn); err == nil {
			t.Error("a connection survived four idle minutes")
		}
	})
}

func TestAnAttemptIsRepeatedLikeASYN(t *testing.T) {
	inWorld(t, dataplane.Options{}, func(w *world) {
		w.settled(pair())
		w.units[0].host.SetUp(false)
		w.units[1].status.Store(200)
		conn := w.dial(7) // lm1 is dead but not yet down
		defer func() { _ = conn.Close() }()
		_ = conn.SetDeadline(time.Now().Add(time.Minute))
		if _, err := io.WriteString(conn, "ping"); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if _, err := io.ReadFull(conn, make([]byte, 4)); err != nil {
			t.Fatalf("the connection was not carried by the other unit: %v", err)
		}
		if took := time.Since(began); took < 5*time.Second || took > 20*time.Second {
			t.Errorf("the other unit answered after %s", took)
		}
	})
}

func TestAClientThatLeavesIsForgotten(t *testing.T) {
	inWorld(t, dataplane.Options{}, func(w *world) {
		w.settled(pair())
		w.units[0].status.Store(503)
		w.until("lm1 probed down", time.Minute)
		w.wantGet("while nobody is healthy", 443, "timeout") // after 3 s
		w.units[0].status.Store(200)
		w.until("lm1 probed up", time.Minute)
		time.Sleep(5 * time.Minute)
		w.wantGet("later", 443, "lm1")
	})
}

func TestNoHealthyBackends(t *testing.T) {
	for _, tt := range []struct {
		behaviour dataplane.NoHealthyBackends
		serves    string
		health    string
	}{
		{dataplane.AllProbedDown, "timeout", "Down/Down_Probe_HttpStatusCodeError Down/Down_Probe_HttpStatusCodeError"},
		{dataplane.AllProbedUp, "lm", "Up/Up_Probe_AllDownIsUp Up/Up_Probe_AllDownIsUp"},
	} {
		t.Run(tt.behaviour.String(), func(t *testing.T) {
			inWorld(t, dataplane.Options{}, func(w *world) {
				lb := pair()
				lb.Probes[0].NoHealthyBackends = tt.behaviour
				w.settled(lb)
				w.units[0].status.Store(503)
				w.until("lm1 probed down", time.Minute)
				w.wantHealth("with all down", tt.health)
				w.wantGet("with all down", 443, tt.serves)
			})
		})
	}
}

func TestFlappingIsReadmittedSlowerAndSlower(t *testing.T) {
	inWorld(t, dataplane.Options{Flapping: dataplane.Flapping{MaxSuccesses: 6}}, func(w *world) {
		w.settled(pair())
		for i, want := range []int{2, 4, 6, 6} { // successes
			w.units[0].status.Store(503)
			w.until("lm1 probed down", time.Minute)
			w.units[0].status.Store(200)
			took := w.until("lm1 probed up", 2*time.Minute)
			least, most := time.Duration(want-1)*5*time.Second, time.Duration(want)*5*time.Second+time.Second
			if took < least || took > most {
				t.Errorf("readmission after fall %d took %s, want %s to %s", i+1, took, least, most)
			}
		}
		time.Sleep(11 * time.Minute)
		w.units[0].status.Store(503)
		w.until("lm1 probed down", time.Minute)
		w.units[0].status.Store(200)
		if took := w.until("lm1 probed up", time.Minute); took > 11*time.Second {
			t.Errorf("an old penalty was not forgiven: %s", took)
		}
	})
}

func TestStoppedMachines(t *testing.T) {
	inWorld(t, dataplane.Options{}, func(w *world) {
		w.settled(pair())
		w.units[1].status.Store(200)
		w.until("lm2 probed up", time.Minute)
		w.path.VMStopped(lm1, true)
		w.wantEvents("of the stop", "lm1 stopped: new connections go to lm2")
		w.wantHealth("of a stopped machine", "/ Up/Up_Probe_Success")
		before := w.units[0].checks.Load()
		time.Sleep(time.Minute)
		if n := w.units[0].checks.Load(); n != before {
			t.Errorf("a stopped machine was probed %d times", n-before)
		}
		w.path.VMStopped(lm1, false)
		w.wantHealth("of a machine just started", "NA/NA Up/Up_Probe_Success")
		if took := w.until("lm1 probed up (200 once): new connections go to lm1 and lm2", time.Minute); took > 5100*time.Millisecond {
			t.Errorf("the first success after a start took %s", took)
		}
	})
}

func TestAnAnswerFromBeforeAStopIsForgotten(t *testing.T) {
	inWorld(t, dataplane.Options{}, func(w *world) {
		w.settled(pair())
		w.units[0].silent.Store(true)
		time.Sleep(5 * time.Second) // now a probe waits for its answer
		w.path.VMStopped(lm1, true)
		time.Sleep(6 * time.Second)
		w.path.VMStopped(lm1, false)
		w.wantHealth("after the restart", "NA/NA Down/Down_Probe_HttpStatusCodeError")
		w.wantEvents("of the stop", "lm1 stopped: no new connection gets through")
	})
}

func TestApplyKeepsWhatIsKnown(t *testing.T) {
	inWorld(t, dataplane.Options{}, func(w *world) {
		w.settled(pair())
		lb := pair()
		lb.Rules = append(lb.Rules, dataplane.Rule{Name: "http", Frontend: "vip1", FrontendPort: 80, BackendPort: 443, Pool: "loadmasters", Probe: "check"})
		lb.Probes[0].NoHealthyBackends = dataplane.AllProbedDown
		w.path.Apply(lb)
		w.wantHealth("after a rule was added", "Up/Up_Probe_Success Down/Down_Probe_HttpStatusCodeError")
		w.wantGet("to the new rule", 80, "lm1")

		lb.Probes[0].Port = 9999
		w.path.Apply(lb)
		w.wantHealth("just after the probe port was changed", "Up/Up_Probe_Success Down/Down_Probe_HttpStatusCodeError")
		w.until("lm1 probed down (connection refused twice): no new connection gets through", time.Minute)

		w.path.Apply(pair())
		if got := w.get(80); got != "error" {
			t.Errorf("a rule that is gone answered %q", got)
		}
		w.path.Remove(lbID)
		w.wantGet("to a load balancer that is gone", 443, "timeout")
		if h := w.path.Health(lbID, "https"); h != nil {
			t.Errorf("health of a load balancer that is gone: %v", h)
		}
		w.settled(pair())
		w.wantGet("to a load balancer that came back", 443, "lm1")
	})
}

func TestTCPProbe(t *testing.T) {
	inWorld(t, dataplane.Options{}, func(w *world) {
		lb := pair()
		lb.Probes[0] = dataplane.Probe{Name: "check", Protocol: dataplane.TCP, Port: 7, Interval: 5 * time.Second, Threshold: 1}
		w.settled(lb)
		w.wantHealth("by TCP", "Up/Up_Probe_Success Up/Up_Probe_Success")
		_ = w.units[1].echo.Close()
		w.until("lm2 probed down (connection refused once): new connections go to lm1", 6*time.Second)
		w.wantHealth("with one port closed", "Up/Up_Probe_Success Down/Down_Probe_TcpProbeTimeout")
	})
}

func TestDistribution(t *testing.T) {
	inWorld(t, dataplane.Options{Seed: 3}, func(w *world) {
		w.units[1].status.Store(200)
		lb := pair()
		lb.Rules[0].Distribution = dataplane.SourceIP
		w.settled(lb)
		if got := w.spread(10); len(got) != 1 {
			t.Errorf("connections of one client with SourceIP went to %v", got)
		}
	})
}

func TestBackendsSeeTheClientWhereItsHostIsKnown(t *testing.T) {
	var client *network.Host
	opts := dataplane.Options{ClientHost: func(addr netip.Addr) *network.Host {
		if addr == pc {
			return client
		}
		return nil
	}}
	inWorld(t, opts, func(w *world) {
		client = w.client
		w.settled(pair())
		w.wantGet("from a known client", 443, "lm1 for 10.0.0.50")
	})
}

func TestSeveralLoadBalancersAreNamed(t *testing.T) {
	inWorld(t, dataplane.Options{}, func(w *world) {
		w.settled(pair())
		public := pair()
		public.ID = strings.Replace(lbID, "ilb-edge", "plb-edge", 1)
		public.Frontends[0].Address = netip.MustParseAddr("203.0.113.7")
		w.settled(public)
		public.Pools[0].Backends[0].AdminState = dataplane.AdminDown
		w.path.Apply(public)
		w.wantEvents("of one of two", "lm1 set Down in loadmasters on plb-edge: no new connection gets through")
		w.wantHealth("of the other", "Up/Up_Probe_Success Down/Down_Probe_HttpStatusCodeError")
	})
}

func TestEqualSeedsGiveEqualStories(t *testing.T) {
	story := func(seed uint64) (lines []string) {
		inWorld(t, dataplane.Options{Seed: seed}, func(w *world) {
			w.path.Apply(pair())
			w.units[1].status.Store(200)
			for range 30 {
				time.Sleep(400 * time.Millisecond)
				lines = append(lines, w.get(443))
				lines = append(lines, fmt.Sprint(time.Since(w.start), w.take()))
			}
		})
		return lines
	}
	if a, b := story(7), story(7); !slices.Equal(a, b) {
		t.Errorf("seed 7 gave two stories:\n%q\n%q", a, b)
	}
	if a, b := story(7), story(8); slices.Equal(a, b) {
		t.Error("seeds 7 and 8 gave the same story")
	}
}
