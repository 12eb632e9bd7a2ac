package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"tandem/internal/lab/host"
	"tandem/internal/lab/network"
)

// theirs is a program that says which worker answers, and counts its sweeps.
type theirs struct {
	machine *network.Host
	port    int

	mu     sync.Mutex
	starts int
	sweeps []time.Duration // since the bubble's beginning
	begun  time.Time
}

func (p *theirs) Port() (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.port++
	return 40000 + p.port, nil
}

func (p *theirs) Start(ctx context.Context, env host.Environment) (host.Process, error) {
	l, err := p.machine.Listen(env.Port)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	p.starts++
	p.mu.Unlock()
	one := &running{machine: p.machine, port: env.Port, server: &http.Server{Handler: p}, done: make(chan struct{})}
	go func() {
		defer close(one.done)
		_ = one.server.Serve(l) // until it is killed
	}()
	context.AfterFunc(ctx, one.Kill)
	return one, nil
}

func (p *theirs) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	if r.URL.Path == "/Sweep" {
		p.mu.Lock()
		p.sweeps = append(p.sweeps, time.Since(p.begun))
		p.mu.Unlock()
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", "2")
	w.Header().Set("X-Worker", p.machine.Name())
	_, _ = io.WriteString(w, "{}")
}

func (p *theirs) started() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.starts
}

func (p *theirs) swept(from, to time.Duration) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, at := range p.sweeps {
		if at >= from && at < to {
			n++
		}
	}
	return n
}

type running struct {
	machine *network.Host
	port    int
	server  *http.Server
	done    chan struct{}
}

func (r *running) Wait() int {
	<-r.done
	return -1
}
func (r *running) Kill() { _ = r.server.Close() }
func (r *running) Dial(ctx context.Context, netw, _ string) (net.Conn, error) {
	return r.machine.DialContext(ctx, netw, fmt.Sprintf("%s:%d", r.machine.Addr(), r.port))
}

func theirApp() fstest.MapFS {
	file := func(bindings string) *fstest.MapFile {
		return &fstest.MapFile{Data: []byte(`{"bindings":[` + bindings + `]}`)}
	}
	const events = `{"type":"eventGridTrigger","direction":"in","name":"events"}`
	return fstest.MapFS{
		"host.json": {Data: []byte(`{"version":"2.0","customHandler":{"description":{"defaultExecutablePath":"x"},"enableForwardingHttpRequest":true},` +
			`"extensionBundle":{"id":"B"},"extensions":{"http":{"routePrefix":"api"}}}`)},
		"API/function.json":             file(`{"type":"httpTrigger","direction":"in","name":"req","route":"{*path}"},{"type":"http","direction":"out","name":"res"}`),
		"Sweep/function.json":           file(`{"type":"timerTrigger","direction":"in","name":"timer","schedule":"*/15 * * * * *","useMonitor":false}`),
		"VMHealth/function.json":        file(events),
		"ResourceChanged/function.json": file(events),
	}
}

// playing is a world in which their program runs.
type playing struct {
	*World
	programs []*theirs
	web      *http.Client
	begun    time.Time
}

// played plays a story of theirs, and looks at it in the middle.
func played(t *testing.T, sc Scenario, do func(Step) error, look func(*playing)) []string {
	t.Helper()
	var failures []string
	synctest.Test(t, func(t *testing.T) {
		sc.Name, sc.Summary = "test", "a test"
		w, err := New(sc, Options{Seed: 1})
		if err != nil {
			t.Fatal(err)
		}
		defer w.Close()
		p := &playing{World: w, begun: time.Now(), web: &http.Client{Transport: &http.Transport{DialContext: w.outside.DialContext, DisableKeepAlives: true}}}
		program := Program{App: theirApp(), Do: do, Settings: map[string]string{"AzureWebJobsStorage": "lab"}}
		for _, machine := range w.Workers() {
			p.programs = append(p.programs, &theirs{machine: machine, begun: p.begun})
		}
		program.Launcher = p.programs[0]
		for _, other := range p.programs[1:] {
			program.Others = append(program.Others, other)
		}
		if err := w.Attach(program); err != nil {
			t.Fatal(err)
		}
		var wait sync.WaitGroup
		wait.Go(func() { _ = w.Run(t.Context()) })
		look(p)
		wait.Wait()
		failures = w.Failures()
	})
	return failures
}

func (p *playing) at(d time.Duration) { time.Sleep(time.Until(p.begun.Add(d))) }

// ask sends a request to the app and returns its status and who answered.
func (p *playing) ask(t *testing.T) (int, string) {
	t.Helper()
	resp, err := p.web.Get("http://" + AppName + "/api/x")
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	return resp.StatusCode, resp.Header.Get("X-Worker")
}

func steps(all ...Step) Scenario { return Scenario{For: 3 * time.Minute, Steps: all} }

func noFailures(t *testing.T, failures []string) {
	t.Helper()
	for _, f := range failures {
		t.Error(f)
	}
}

func TestAStoppedAppAnswersThatItIsStopped(t *testing.T) {
	noFailures(t, played(t, steps(Step{At: 30 * time.Second, Do: "stop-program"}, Step{At: 90 * time.Second, Do: "start-program"}), nil, func(p *playing) {
		for _, look := range []struct {
			at   time.Duration
			want int
		}{{20 * time.Second, 200}, {40 * time.Second, 403}, {95 * time.Second, 200}} {
			p.at(look.at)
			if got, _ := p.ask(t); got != look.want {
				t.Errorf("status %d at %v, want %d", got, look.at, look.want)
			}
		}
		p.at(2 * time.Minute)
		if got := p.programs[0].swept(41*time.Second, 90*time.Second); got != 0 {
			t.Errorf("%d sweeps of a stopped app", got)
		}
		if got := p.programs[0].swept(90*time.Second, 2*time.Minute); got == 0 {
			t.Error("no sweep after the start")
		}
	}))
}

func TestRequestsAreSharedAmongTheWorkersAndTheTimerIsNot(t *testing.T) {
	sc := steps()
	sc.Workers = 2
	noFailures(t, played(t, sc, nil, func(p *playing) {
		p.at(30 * time.Second)
		var who []string
		for range 4 {
			_, name := p.ask(t)
			who = append(who, name)
		}
		slices.Sort(who)
		if want := []string{"worker-1", "worker-1", "worker-2", "worker-2"}; !slices.Equal(who, want) {
			t.Errorf("answered by %v, want %v", who, want)
		}
		p.at(2 * time.Minute)
		if one, two := p.programs[0].swept(0, time.Hour), p.programs[1].swept(0, time.Hour); one < 7 || two != 0 {
			t.Errorf("%d and %d sweeps, want all on the first worker", one, two)
		}
	}))
}

func TestAKilledHandlerIsStartedAgain(t *testing.T) {
	for _, tt := range []struct {
		name   string
		step   Step
		starts []int // of each worker, when it is over
	}{
		{"once, the first worker's", Step{Do: "kill"}, []int{2, 1}},
		{"the named worker's", Step{Do: "kill", Unit: "worker-2"}, []int{1, 2}},
		{"three times, when a new host takes over", Step{Do: "kill", Times: 3, Every: 2 * time.Second}, []int{4, 1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.step.At = 30 * time.Second
			sc := steps(tt.step)
			sc.Workers = 2
			noFailures(t, played(t, sc, nil, func(p *playing) {
				p.at(2 * time.Minute)
				for i, want := range tt.starts {
					if got := p.programs[i].started(); got != want {
						t.Errorf("worker-%d was started %d times, want %d", i+1, got, want)
					}
				}
				if got, _ := p.ask(t); got != 200 {
					t.Errorf("status %d afterwards", got)
				}
			}))
		})
	}
}

func TestAHandlerThatDiesByItselfFailsTheStory(t *testing.T) {
	failures := played(t, steps(), nil, func(p *playing) {
		for n := range 3 {
			p.at(time.Duration(10+2*n) * time.Second)
			p.program.instances[0].host.Kill()
		}
	})
	if len(failures) == 0 || !strings.Contains(failures[0], "the Functions host ended") {
		t.Errorf("failures %q", failures)
	}
}

func TestASweepGapSilencesTheTimerAlone(t *testing.T) {
	noFailures(t, played(t, steps(Step{At: 31 * time.Second, Do: "sweep-gap", For: time.Minute}), nil, func(p *playing) {
		p.at(40 * time.Second)
		if got, _ := p.ask(t); got != 200 {
			t.Errorf("status %d in the gap", got)
		}
		p.at(2 * time.Minute)
		before, gap, after := p.programs[0].swept(0, 31*time.Second), p.programs[0].swept(31*time.Second, 91*time.Second), p.programs[0].swept(91*time.Second, time.Hour)
		if before != 2 || gap != 0 || after == 0 {
			t.Errorf("%d sweeps before, %d in, %d after the gap", before, gap, after)
		}
	}))
}

func TestAHandlerDiesWhenTheServiceHasTakenItsRequest(t *testing.T) {
	noFailures(t, played(t, steps(Step{At: 20 * time.Second, Do: "kill-after-write", Unit: "worker-1", State: "put"}), nil, func(p *playing) {
		p.at(30 * time.Second)
		took := func(service, method, from string) int {
			p.took(service, method, from)
			time.Sleep(time.Second)
			return p.programs[0].started()
		}
		for _, look := range []struct {
			what, service, method, from string
			starts                      int
		}{
			{"the topic took something", TopicName, "POST", "10.0.1.4:1", 1},
			{"somebody else wrote", ManagerName, "PUT", "10.0.0.200:1", 1},
			{"the worker wrote otherwise", ManagerName, "PATCH", "10.0.1.4:1", 1},
			{"the worker wrote", ManagerName, "PUT", "10.0.1.4:1", 2},
			{"the worker wrote once more", ManagerName, "PUT", "10.0.1.4:1", 2},
		} {
			if got := took(look.service, look.method, look.from); got != look.starts {
				t.Errorf("%s: %d starts, want %d", look.what, got, look.starts)
			}
		}
	}))
}

func TestWhatChangesSomething(t *testing.T) {
	for _, tt := range []struct {
		method, path string
		want         bool
	}{
		{"GET", "/lb", false},
		{"PUT", "/lb/pool", true},
		{"PATCH", "/lb", true},
		{"DELETE", "/lb", true},
		{"POST", "/vm/start", true},
		{"POST", "/vm/restart", true},
		{"POST", "/lb/loadBalancingRules/https/health", false},
	} {
		r, err := http.NewRequestWithContext(t.Context(), tt.method, "https://"+ManagerName+tt.path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		if got := Changes(r); got != tt.want {
			t.Errorf("%s %s changes something: %t", tt.method, tt.path, got)
		}
	}
}

func TestWithoutAProgramItsVerbsAreToldAndDoNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, err := New(Scenario{Name: "a", Summary: "b", For: time.Minute}, Options{Seed: 1})
		if err != nil {
			t.Fatal(err)
		}
		defer w.Close()
		lines := len(w.Transcript())
		for _, name := range slices.Sorted(maps.Keys(programVerbs)) {
			w.Do(Step{Do: name, For: time.Minute, Late: time.Second, Times: 2})
			told := w.Transcript()[lines:]
			lines += len(told)
			if len(told) != 1 || told[0].Source != "story" && told[0].Source != "operator" {
				t.Errorf("%s told %v, want one line of the story or the operator", name, told)
			}
		}
		noFailures(t, w.Failures())
	})
}

func TestTheProgramsSideIsAskedForWhatIsItsOwn(t *testing.T) {
	var done []Step
	do := func(st Step) error {
		done = append(done, st)
		if st.Do == "clock" {
			return errors.New("no clock")
		}
		return nil
	}
	failures := played(t, steps(
		Step{Do: "store-down"}, Step{Do: "clock", For: -time.Second}, Step{Do: "pause"}, Step{Do: "ack", Unit: "edge-two"}, Step{Do: "sweep-gap"},
	), do, func(*playing) {})
	var got []string
	for _, st := range done {
		got = append(got, strings.TrimSpace(st.Do+" "+st.Unit))
	}
	if want := []string{"store-down", "clock", "pause edge-weu", "ack edge-two"}; !slices.Equal(got, want) {
		t.Errorf("asked for %q, want %q", got, want)
	}
	if want := []string{"clock: no clock"}; !slices.Equal(failures, want) {
		t.Errorf("failures %q, want %q", failures, want)
	}
}

func TestAnEditedPairFileKeepsTheRest(t *testing.T) {
	b, err := ChangedPairFile([]byte("a: 1\nfailover: { confirmAfter: 3, suspectAfter: 2 }\n"), map[string]any{"failover.confirmAfter": 5})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"a: 1", "confirmAfter: 5", "suspectAfter: 2"} {
		if !strings.Contains(string(b), want) {
			t.Errorf("edited file lacks %q:\n%s", want, b)
		}
	}
	if _, err := ChangedPairFile([]byte("\t:"), nil); err == nil {
		t.Error("no YAML was edited")
	}
}
