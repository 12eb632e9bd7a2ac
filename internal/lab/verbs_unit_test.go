package lab

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.yaml.in/yaml/v3"

	"tandem/internal/lab/arm"
	"tandem/internal/lab/network"
)

// inWorld plays a world without program until the test has seen enough of it:
// half a minute is over when it begins, so the client is served and every probe
// has its verdict.
func inWorld(t *testing.T, sc Scenario, see func(t *testing.T, w *World)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		sc.Name, sc.Summary, sc.For = "test", "A test.", time.Hour
		w, err := New(sc, Options{Seed: 1, Believed: func() string { return "" }})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		over := make(chan error)
		go func() { over <- w.Run(ctx) }()
		time.Sleep(30*time.Second + 77*time.Millisecond)
		see(t, w)
		cancel()
		if err := <-over; err != nil {
			t.Error(err)
		}
		if t.Failed() {
			for _, l := range w.Transcript() {
				t.Log(l.Clock(), l.Source, l.Event)
			}
		}
		w.Close()
		time.Sleep(time.Minute)
	})
}

// view is how things look to everybody who looks at the first pair. The parts
// about units are in the order first, second.
type view struct {
	client   string // who serves it
	balancer string // the reasons for the verdicts of the probe
	units    string // what they are
	worker   string // what the check ports say to it
	api      string // and what the API says to the key and the pin of the pair file
}

var usual = view{
	client: "lm1", balancer: "Up_Probe_Success Down_Probe_HttpStatusCodeError", units: "Active Standby", worker: "200 503", api: "200 200",
}

// seen looks at everything.
func seen(t *testing.T, w *World) view {
	t.Helper()
	v := view{client: w.Serving()}
	for _, h := range w.path.Health(w.plan.loadBalancerID(0), "https") {
		v.balancer += " " + string(h.Reason)
	}
	for _, role := range pairRoles {
		v.units += " " + w.units[role].State().String()
		v.worker += " " + checkPortOf(w, w.Worker(), role)
		v.api += " " + apiOf(t, w, role)
	}
	for _, part := range []*string{&v.balancer, &v.units, &v.worker, &v.api} {
		*part = strings.TrimSpace(*part)
	}
	return v
}

// or fills what is not said from another view.
func (v view) or(other view) view {
	for _, f := range []struct{ mine, others *string }{
		{&v.client, &other.client}, {&v.balancer, &other.balancer}, {&v.units, &other.units}, {&v.worker, &other.worker}, {&v.api, &other.api},
	} {
		if *f.mine == "" {
			*f.mine = *f.others
		}
	}
	return v
}

func checkPortOf(w *World, from *network.Host, role string) string {
	status, _, err := get(from, fmt.Sprintf("http://%s:%d/", w.plan.Units[role].Address, w.plan.HA.CheckPort), nil)
	return answerOf(status, err)
}

// apiOf calls the API as the program does: with the key and the pin that the
// pair file gives it.
func apiOf(t *testing.T, w *World, role string) string {
	t.Helper()
	var file struct {
		Units map[string]struct {
			API struct {
				TLS struct {
					SHA256 string `yaml:"sha256"`
				} `yaml:"tls"`
			} `yaml:"api"`
		} `yaml:"units"`
	}
	if err := yaml.Unmarshal(w.PairFile(), &file); err != nil {
		t.Fatal(err)
	}
	unit := w.plan.Units[role]
	pinned := &tls.Config{InsecureSkipVerify: true, VerifyConnection: func(s tls.ConnectionState) error {
		if sum := sha256.Sum256(s.PeerCertificates[0].Raw); hex.EncodeToString(sum[:]) != file.Units[role].API.TLS.SHA256 {
			return errPin
		}
		return nil
	}}
	status, _, err := get(w.Worker(), fmt.Sprintf("https://%s:%d/access/listapi?apikey=%s", unit.Address, unit.API.Port, w.Secrets()[unit.API.Secret]), pinned)
	return answerOf(status, err)
}

var errPin = errors.New("another certificate")

func answerOf(status int, err error) string {
	switch {
	case errors.Is(err, errPin):
		return "pin"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "refused"
	case errors.Is(err, context.DeadlineExceeded):
		return "silence"
	case err != nil:
		return err.Error()
	}
	return strconv.Itoa(status)
}

// get sends one request on a connection of its own, with the patience of a
// client.
func get(from *network.Host, url string, config *tls.Config) (status int, servedBy string, err error) {
	c := &http.Client{Timeout: clientPatience, Transport: &http.Transport{DialContext: from.DialContext, TLSClientConfig: config, DisableKeepAlives: true}}
	req, err := http.NewRequest(http.MethodGet, url, http.NoBody)
	if err != nil {
		return 0, "", err
	}
	resp, err := c.Do(req)
	if err != nil {
		return 0, "", err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close() // read to its end
	return resp.StatusCode, resp.Header.Get("X-Served-By"), err
}

// TestVerbs does something, looks at what has become of it, undoes it, and
// looks again: then everything is as usual. What a row does not mention is as
// usual too.
func TestVerbs(t *testing.T) {
	const (
		yes, no     = "Up_Probe_Success", "Down_Probe_HttpStatusCodeError"
		unreachable = "Down_Probe_HttpEndpointUnreachable"
	)
	first, second := Step{Unit: "first"}, Step{Unit: "second"}
	does := func(do string, st Step) []Step { st.Do = do; return []Step{st} }
	tests := []struct {
		name  string
		do    []Step
		after time.Duration // 30s where nothing is said
		want  view
		undo  []Step
	}{
		{
			name: "a standby may claim to be active", do: does("check-port", Step{Unit: "second", State: "200"}),
			want: view{client: "*", balancer: yes + " " + yes, worker: "200 200"}, undo: does("check-port", Step{Unit: "second", State: "honest"}),
		},
		{
			name: "an active unit may deny it", do: does("check-port", Step{Unit: "first", State: "503"}),
			want: view{client: "nobody", balancer: no + " " + no, worker: "503 503"}, undo: does("check-port", Step{Unit: "first", State: "honest"}),
		},
		{
			name: "a mute check port is a dead one to the partner", do: does("check-port", Step{Unit: "first", State: "silent"}),
			want: view{client: "lm2", balancer: "Down_Probe_HttpNoResponse " + yes, units: "Active Active", worker: "silence 200"},
			undo: does("check-port", Step{Unit: "first", State: "honest"}),
		},
		{
			name: "a unit that does not forward only disappoints clients", do: does("stop-forwarding", first),
			want: view{client: "nobody"}, undo: does("forward", first),
		},
		{
			name: "dead real servers only disappoint clients", do: does("application-down", Step{}),
			want: view{client: "nobody"}, undo: does("application-up", Step{}),
		},
		{
			name: "real servers that only the standby misses are missed by nobody", do: does("application-down", second), undo: does("application-up", second),
		},
		{
			name: "without its probe the load balancer knows nobody", do: does("block-probe", Step{}),
			want: view{client: "nobody", balancer: unreachable + " " + unreachable}, undo: does("unblock-probe", Step{}),
		},
		{
			name: "the probe of one unit can be kept away alone", do: does("block-probe", second),
			want: view{balancer: yes + " " + unreachable}, undo: does("unblock-probe", second),
		},
		{
			name: "a second that cannot ask first takes it for dead", do: does("block-partner", Step{From: "second", To: "first"}),
			want: view{client: "both", balancer: yes + " " + yes, units: "Active Active", worker: "200 200"},
			undo: does("unblock-partner", Step{From: "second", To: "first"}),
		},
		{
			name: "a preferred first does not depend on asking second", do: does("block-partner", Step{From: "first", To: "second"}),
			undo: does("unblock-partner", Step{From: "first", To: "second"}),
		},
		{
			name: "a rule both ways is like a cut", do: does("block-partner", Step{}),
			want: view{client: "both", balancer: yes + " " + yes, units: "Active Active", worker: "200 200"}, undo: does("unblock-partner", Step{}),
		},
		{
			name: "the program alone may be blind", do: does("cut-worker", Step{}),
			want: view{worker: "silence silence", api: "silence silence"}, undo: does("heal-worker", Step{}),
		},
		{
			name: "or blind on one eye", do: does("cut-worker", first),
			want: view{worker: "silence 503", api: "silence 200"}, undo: does("heal-worker", first),
		},
		{
			name: "a changed API key lets the program in no more", do: does("rotate-password", first),
			want: view{api: "401 200"}, undo: does("restore-password", first),
		},
		{
			name: "a closed API port says nothing about the check port", do: does("api-silent", second),
			want: view{api: "200 refused"}, undo: does("api-answers", second),
		},
		{
			name: "a unit that is stuck serves nobody, and second waits for it", do: does("stuck-passive", first),
			want: view{client: "nobody", balancer: no + " " + no, units: "Passive Standby", worker: "503 503"}, undo: does("unstick", first),
		},
		{
			name: "a unit that hangs is silent to everybody", do: does("hang", second), after: 15 * time.Second,
			want: view{balancer: yes + " " + unreachable, units: "Active Off", worker: "200 silence", api: "200 silence"}, undo: does("boot", second),
		},
		{
			name: "a preferred first waits for nobody", do: append(does("stuck-standby", first), does("stuck-standby", second)...),
			undo: append(does("unstick", first), does("unstick", second)...),
		},
		{
			name: "another check port makes no pair", do: does("configure", Step{Unit: "second", Set: map[string]any{"hcp": 8445}}),
			want: view{balancer: yes + " " + unreachable, units: "Active Active", worker: "200 refused"},
			undo: does("configure", Step{Unit: "second", Set: map[string]any{"hcp": 8444}}),
		},
		{
			name: "a wrong partner is nobody to be found", do: does("configure", Step{Unit: "second", Set: map[string]any{"partner": "10.0.0.9"}}),
			want: view{client: "both", balancer: yes + " " + yes, units: "Active Active", worker: "200 200"},
			undo: does("configure", Step{Unit: "second", Set: map[string]any{"partner": "10.0.0.4"}}),
		},
		{
			name: "a reboot takes a unit away", do: does("reboot", second), after: 15 * time.Second,
			want: view{balancer: yes + " " + unreachable, units: "Active Booting", worker: "200 silence", api: "200 silence"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, Scenario{}, func(t *testing.T, w *World) {
				if got := seen(t, w); got != usual {
					t.Fatalf("at first %+v, want %+v", got, usual)
				}
				for _, st := range tt.do {
					w.Do(st)
				}
				if tt.after == 0 {
					tt.after = 30 * time.Second
				}
				time.Sleep(tt.after)
				want, got := tt.want.or(usual), seen(t, w)
				if want.client == "*" {
					want.client = got.client
				}
				if got != want {
					t.Errorf("got  %+v\nwant %+v", got, want)
				}
				for _, st := range tt.undo {
					w.Do(st)
				}
				time.Sleep(45 * time.Second)
				if got := seen(t, w); got != usual {
					t.Errorf("at the end %+v\nwant %+v", got, usual)
				}
				if f := w.Failures(); len(f) != 0 {
					t.Errorf("not as expected: %q", f)
				}
			})
		})
	}
}

func TestMistakesOfAStoryFailIt(t *testing.T) {
	inWorld(t, Scenario{}, func(t *testing.T, w *World) {
		for i, tt := range []struct {
			step Step
			want string
		}{
			{Step{Do: "forward", Unit: "third"}, `unit "third": expected one of first, second`},
			{Step{Do: "cut-worker", Unit: "neighbour-first"}, `unit "neighbour-first": expected one of first, second`},
			{Step{Do: "cut", From: "first", To: "lm2"}, `to "lm2": expected two of first, second`},
			{Step{Do: "block-partner", To: "first"}, `from "" to "first"`},
			{Step{Do: "check-port", Unit: "first", State: "404"}, `state "404": expected one of honest`},
			{Step{Do: "flap", Unit: "first"}, "every 0s: expected a time"},
			{Step{Do: "firmware", Unit: "first"}, "expected a version"},
			{Step{Do: "configure", Unit: "first"}, "set is empty"},
			{Step{Do: "configure", Unit: "first", Set: map[string]any{"haprefered": 2}}, "configure lm1: azurehaparam: Unknown parameter value"},
			{Step{Expect: &Now{NeighbourDown: &[]string{}}}, "there is no neighbour"},
		} {
			w.Do(tt.step)
			if f := w.Failures(); len(f) != i+1 || !strings.Contains(f[i], tt.want) {
				t.Fatalf("%+v: failures %q, want the last with %q", tt.step, f, tt.want)
			}
		}
		if got := seen(t, w); got != usual {
			t.Errorf("a mistake had an effect: %+v", got)
		}
	})
}

func TestACertificateIsNewForGood(t *testing.T) {
	inWorld(t, Scenario{}, func(t *testing.T, w *World) {
		w.Do(Step{Do: "new-certificate", Unit: "second"})
		if got := seen(t, w); got != (view{api: "200 pin"}.or(usual)) {
			t.Errorf("got %+v", got)
		}
	})
}

func TestTheOperatorPinsTheCertificateOfNow(t *testing.T) {
	var want string
	var did []Step
	failures := played(t, steps(Step{Do: "new-certificate", Unit: "second"}, Step{Do: "pin", Unit: "second"}, Step{Do: "pin", Unit: "neighbour-first"}),
		func(st Step) error { did = append(did, st); return nil },
		func(p *playing) {
			time.Sleep(time.Second) // the steps are over
			want = p.units["second"].CertificateSHA256()
		})
	if len(did) != 1 || did[0].Do != "apply" || did[0].Unit != "edge-weu" || did[0].Set["units.second.api.tls.sha256"] != want {
		t.Errorf("the operator was asked for %+v, want the pin %s applied", did, want)
	}
	if len(failures) != 1 || !strings.Contains(failures[0], "neighbour-first") {
		t.Errorf("failures %q, want one about the neighbour", failures)
	}
}

// TestFlapping looks at a check port that flaps slower than, as often as and
// faster than it is probed, every five seconds.
func TestFlapping(t *testing.T) {
	for _, tt := range []struct {
		every time.Duration
		falls bool // whether the load balancer notices
	}{{20 * time.Second, true}, {5 * time.Second, false}, {2 * time.Second, true}} {
		t.Run(tt.every.String(), func(t *testing.T) {
			inWorld(t, Scenario{}, func(t *testing.T, w *World) {
				w.Do(Step{Do: "flap", Unit: "first", Every: tt.every})
				said := map[string]int{}
				for range 240 {
					said[checkPortOf(w, w.Worker(), "first")]++
					time.Sleep(499 * time.Millisecond)
				}
				if said["200"] < 100 || said["503"] < 100 || len(said) != 2 {
					t.Errorf("it said %v in two minutes, want 200 and 503 in equal parts", said)
				}
				w.Do(Step{Do: "calm", Unit: "first"})
				falls := 0
				for _, l := range w.Transcript() {
					if strings.HasPrefix(l.Event, "lm1 probed down") {
						falls++
					}
				}
				if (falls > 0) != tt.falls {
					t.Errorf("the load balancer saw it fall %d times, want some: %v", falls, tt.falls)
				}
				time.Sleep(130 * time.Second) // the platform waits longer before it trusts a unit that flaps
				if got := seen(t, w); got != usual {
					t.Errorf("at the end %+v, want %+v", got, usual)
				}
			})
		})
	}
}

func TestFirmwareIsOneRebootAway(t *testing.T) {
	inWorld(t, Scenario{}, func(t *testing.T, w *World) {
		w.Do(Step{Do: "firmware", Unit: "second", State: "7.2.60.0.12345"})
		before, _ := w.units["second"].Parameter("version")
		w.Do(Step{Do: "reboot", Unit: "second"})
		time.Sleep(time.Minute)
		after, _ := w.units["second"].Parameter("version")
		if before != "7.2.59.0.22007.RELEASE" || after != "7.2.60.0.12345" {
			t.Errorf("%s before the reboot and %s after it", before, after)
		}
	})
}

func TestUnitsCanBeginMisconfigured(t *testing.T) {
	both := map[string]map[string]any{"second": {"hamode": "first", "haprefered": 1}}
	inWorld(t, Scenario{Configured: both}, func(t *testing.T, w *World) {
		want := view{client: "both", balancer: "Up_Probe_Success Up_Probe_Success", units: "Active Active", worker: "200 200"}
		if got := seen(t, w); got != want.or(usual) {
			t.Errorf("both as first: %+v", got)
		}
		w.Do(Step{Do: "configure", Unit: "second", Set: map[string]any{"hamode": "second"}})
		time.Sleep(10 * time.Second)
		if got := w.units["second"].State().String(); got != "Active" {
			t.Errorf("another mode works without a reboot: %s", got)
		}
		w.Do(Step{Do: "reboot", Unit: "second"})
		time.Sleep(time.Minute)
		if got := seen(t, w); got != usual {
			t.Errorf("after the reboot: %+v", got)
		}
	})
	for _, wrong := range []map[string]map[string]any{{"third": {"hcp": 8445}}, {"first": {"hcp": "none"}}, {"neighbour-first": {}}} {
		if w, err := New(Scenario{Configured: wrong}, Options{}); err == nil {
			w.Close()
			t.Errorf("%v was accepted", wrong)
		}
	}
}

func TestAStoryInWhichAnAccountIsLockedFails(t *testing.T) {
	for _, tt := range []struct {
		name    string
		options map[string]string
		calls   int
		want    string // the only failure
	}{
		{"two failed logins lock nothing", nil, 2, ""},
		{"three lock the account", nil, 3, "3 failed logins locked the account of lm1"},
		{"where keys do not count nothing is locked", map[string]string{"failed-keys": "ignored"}, 3, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, err := New(Scenario{Name: "test", For: time.Minute, Options: tt.options}, Options{Seed: 1})
				if err != nil {
					t.Fatal(err)
				}
				w.Do(Step{Do: "rotate-password", Unit: "first"})
				for range tt.calls {
					if got := apiOf(t, w, "first"); got != "401" {
						t.Errorf("the API answers %s", got)
					}
				}
				if err := w.Run(t.Context()); err != nil {
					t.Error(err)
				}
				if got := strings.Join(w.Failures(), "; "); got != tt.want {
					t.Errorf("failures %q, want %q", got, tt.want)
				}
				w.Close()
				time.Sleep(time.Minute)
			})
		})
	}
}

func TestTwoPairsBehindOneLoadBalancer(t *testing.T) {
	inWorld(t, Scenario{Neighbours: 1}, func(t *testing.T, w *World) {
		health := func(rule string) string {
			var out []string
			for _, h := range w.path.Health(w.plan.loadBalancerID(0), rule) {
				out = append(out, strings.TrimPrefix(h.Address.String(), "10.0.0.")+" "+string(h.State))
			}
			return strings.Join(out, ", ")
		}
		if mine, theirs := health("https"), health("neighbour-https"); mine != "4 Up, 5 Down" || theirs != "6 Up, 7 Down" {
			t.Errorf("health is %q and %q", mine, theirs)
		}
		served := func() string {
			_, by, err := get(w.outside, "http://10.0.0.101:443/", nil)
			return fmt.Sprint(by, err)
		}
		if got := served(); got != "lm3<nil>" {
			t.Errorf("the neighbour's frontend is served by %s", got)
		}
		w.Do(Step{Do: "crash", Unit: "neighbour-first"})
		time.Sleep(40 * time.Second)
		if got := served(); got != "lm4<nil>" {
			t.Errorf("after a crash the neighbour's frontend is served by %s", got)
		}
		w.Do(Step{Do: "boot", Unit: "neighbour-first"})
		w.Do(Step{Do: "deallocate", Unit: "neighbour-second"})
		w.Do(Step{Do: "block-probe", Unit: "neighbour-first"})
		w.Do(Step{Do: "cut", From: "neighbour-first", To: "neighbour-second"})
		time.Sleep(time.Minute)
		if got := health("neighbour-https"); got != "6 Down, 7 " {
			t.Errorf("health of the neighbour is %q", got)
		}
		if got := seen(t, w); got != usual {
			t.Errorf("the first pair has a part in it: %+v", got)
		}
	})
}

func TestTheNeighboursAdminStatesAreItsOwn(t *testing.T) {
	inWorld(t, Scenario{Neighbours: 1}, func(t *testing.T, w *World) {
		none, theirs := []string{}, []string{"second"}
		w.Do(Step{Expect: &Now{Down: &none, NeighbourDown: &none}})
		setDown(t, w, "neighbours", "lm4")
		time.Sleep(10 * time.Second)
		w.Do(Step{Expect: &Now{Down: &none, NeighbourDown: &theirs}})
		if f := w.Failures(); len(f) != 0 {
			t.Error(f)
		}
		w.Do(Step{Expect: &Now{NeighbourDown: &none}})
		if f := w.Failures(); len(f) != 1 || !strings.Contains(f[0], "of the neighbour") {
			t.Errorf("failures %q, want one about the neighbour", f)
		}
	})
}

// setDown sets the backend of a machine Down as a person does in the portal.
func setDown(t *testing.T, w *World, pool, machine string) {
	t.Helper()
	lb, err := w.manager.Document(w.plan.loadBalancerID(0))
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Properties struct {
			Pools []struct {
				Name       string         `json:"name"`
				Properties map[string]any `json:"properties"`
			} `json:"backendAddressPools"`
		} `json:"properties"`
	}
	if err := json.Unmarshal(lb, &doc); err != nil {
		t.Fatal(err)
	}
	for _, p := range doc.Properties.Pools {
		if p.Name != pool {
			continue
		}
		for _, entry := range p.Properties["loadBalancerBackendAddresses"].([]any) {
			of := entry.(map[string]any)["properties"].(map[string]any)
			if strings.Contains(fmt.Sprint(of), machine+"-nic") {
				of["adminState"] = "Down"
			}
		}
		body, err := json.Marshal(map[string]any{"properties": p.Properties})
		if err != nil {
			t.Fatal(err)
		}
		now := time.Now()
		url := "https://" + ManagerName + w.plan.loadBalancerID(0) + "/backendAddressPools/" + pool + "?api-version=2025-04-01"
		req := httptest.NewRequest(http.MethodPut, url, bytes.NewReader(body))
		req.Header.Set("Authorization", "Bearer "+arm.UnsignedToken(Person, "https://"+ManagerName, "", now, now.Add(time.Hour)))
		answer := httptest.NewRecorder()
		if w.manager.ServeHTTP(answer, req); answer.Code >= http.StatusBadRequest {
			t.Fatalf("set %s Down: %d %s", machine, answer.Code, answer.Body)
		}
	}
}

func TestPairFilesAreOfTheirPairs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, err := New(Scenario{Neighbours: 2, Pair: map[string]any{"mode": "observe"}}, Options{Seed: 1})
		if err != nil {
			t.Fatal(err)
		}
		defer w.Close()
		files := w.PairFiles()
		if len(files) != 3 || string(files[0].YAML) != string(w.PairFile()) {
			t.Fatalf("%d files, want that of PairFile and two others", len(files))
		}
		for i, want := range [][]string{
			{"edge-weu", "vm: lm1", "vm: lm2", "- loadmasters", w.units["first"].CertificateSHA256(), w.units["second"].CertificateSHA256()},
			{"edge-neu", "vm: lm3", "vm: lm4", "- neighbours", w.units["neighbour-first"].CertificateSHA256(), w.units["neighbour-second"].CertificateSHA256()},
			{"edge-neu-2", "vm: lm5", "vm: lm6", "- neighbours-2", "address: 10.0.0.9", "address: 10.0.0.102", w.units["neighbour-2-first"].CertificateSHA256()},
		} {
			for _, text := range append(want, "mode: observe", "name: ilb-edge") {
				if files[i].Name != want[0] || !strings.Contains(string(files[i].YAML), text) {
					t.Errorf("file of %s lacks %q:\n%s", files[i].Name, text, files[i].YAML)
				}
			}
		}
		if got := len(w.Secrets()); got != 6 {
			t.Errorf("%d secrets, want one of each unit", got)
		}
	})
}

func TestTheSameSeedTellsTheSameStoryOfTwoPairs(t *testing.T) {
	var told []string
	for range 3 {
		inWorld(t, Scenario{Neighbours: 1}, func(t *testing.T, w *World) {
			for _, st := range []Step{
				{Do: "flap", Unit: "first", Every: 5 * time.Second},
				{Do: "application-down"},
				{Do: "block-partner", From: "neighbour-second", To: "neighbour-first"},
				{Do: "reboot", Unit: "second"},
				{Do: "block-probe", Unit: "neighbour-first"},
				{Do: "application-up"},
				{Do: "calm", Unit: "first"},
			} {
				w.Do(st)
				time.Sleep(17 * time.Second)
			}
			var b strings.Builder
			for _, l := range w.Transcript() {
				fmt.Fprintln(&b, l.Clock(), l.Source, l.Event)
			}
			told = append(told, b.String())
		})
	}
	for _, other := range told[1:] {
		if other != told[0] {
			t.Fatalf("two stories:\n%s\n%s", told[0], other)
		}
	}
}

func TestAUnitMayNotComeUpFromItsReboot(t *testing.T) {
	inWorld(t, Scenario{}, func(t *testing.T, w *World) {
		w.Do(Step{Do: "stuck-boot", Unit: "second"})
		w.Do(Step{Do: "reboot", Unit: "second"})
		time.Sleep(5 * time.Minute)
		away := view{balancer: "Up_Probe_Success Down_Probe_HttpEndpointUnreachable", units: "Active Booting", worker: "200 silence", api: "200 silence"}
		if got := seen(t, w); got != away.or(usual) {
			t.Errorf("got %+v", got)
		}
		w.Do(Step{Do: "unstick", Unit: "second"})
		time.Sleep(2 * time.Minute)
		if got := seen(t, w); got != usual {
			t.Errorf("at the end %+v", got)
		}
	})
}

// TestABlankUnitServesNobodyUntilItIsMadeAUnitOfThePair replaces each unit in turn,
// and has a person do by hand what makes it one again.
func TestABlankUnitServesNobodyUntilItIsMadeAUnitOfThePair(t *testing.T) {
	const up, unreachable = "Up_Probe_Success", "Down_Probe_HttpEndpointUnreachable"
	for _, tt := range []struct {
		unit, partner string
		blank         view
	}{
		{"second", "10.0.0.4", view{balancer: up + " " + unreachable, units: "Active Active", worker: "200 refused", api: "200 pin"}},
		{
			"first", "10.0.0.5", view{client: "lm2", balancer: unreachable + " " + up, units: "Active Active", worker: "refused 200", api: "pin 200"},
		},
	} {
		t.Run(tt.unit, func(t *testing.T) {
			inWorld(t, Scenario{}, func(t *testing.T, w *World) {
				w.Do(Step{Do: "replace-unit", Unit: tt.unit})
				time.Sleep(time.Minute)
				if got := seen(t, w); got != tt.blank.or(usual) {
					t.Errorf("blank: %+v", got)
				}
				w.Do(Step{Do: "license-unit", Unit: tt.unit})
				w.Do(Step{Do: "configure", Unit: tt.unit, Set: map[string]any{"hamode": tt.unit, "partner": tt.partner, "hcp": 8444, "haprefered": 1}})
				w.Do(Step{Do: "reboot", Unit: tt.unit})
				time.Sleep(2 * time.Minute)
				if got := seen(t, w).units; got != "Active Standby" {
					t.Errorf("configured: %s", got)
				}
				want := usual.client
				if tt.unit == "first" {
					want = "nobody" // it is preferred, active, and has no services
				}
				if got := w.Serving(); got != want {
					t.Errorf("served by %s, want %s", got, want)
				}
				wantNoFailures(t, w)
			})
		})
	}
	t.Run("and is not configured before it is licensed", func(t *testing.T) {
		inWorld(t, Scenario{}, func(t *testing.T, w *World) {
			w.Do(Step{Do: "replace-unit", Unit: "second"})
			time.Sleep(time.Minute)
			w.Do(Step{Do: "configure", Unit: "second", Set: map[string]any{"hamode": "second"}})
			if f := w.Failures(); len(f) != 1 || !strings.Contains(f[0], "unlicensed") {
				t.Errorf("failures %q", f)
			}
		})
	})
	t.Run("and stays off where Azure has switched its machine off", func(t *testing.T) {
		inWorld(t, Scenario{}, func(t *testing.T, w *World) {
			w.Do(Step{Do: "deallocate", Unit: "second"})
			time.Sleep(30 * time.Second)
			w.Do(Step{Do: "replace-unit", Unit: "second"})
			time.Sleep(time.Minute)
			if got := w.units["second"].State().String(); got != "Off" {
				t.Errorf("it is %s", got)
			}
		})
	})
}
