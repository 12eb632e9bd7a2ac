package lab

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	azarm "github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"

	"tandem/internal/lab/arm"
	"tandem/internal/lab/eventgrid"
	"tandem/internal/lab/loadmaster"
)

// program is what the program has of Azure: the pipeline and the pollers that
// the SDK's clients are made of, with its own identity, and the events that it
// is told. (The clients themselves meet Resource Manager in its own tests.)
type program struct {
	w        *World
	pipeline runtime.Pipeline

	mu  sync.Mutex
	got []event
}

type event struct {
	Type, Subject string
	Time          time.Time
	Data          struct {
		ResourceInfo struct {
			Properties struct{ PreviousAvailabilityState, AvailabilityState, AnnotationName, Context string }
		}
		OperationName string
		Claims        struct{ Name string }
	}
}

// GetToken is that of the managed identity.
func (p *program) GetToken(_ context.Context, o policy.TokenRequestOptions) (azcore.AccessToken, error) {
	now := time.Now()
	audience := strings.TrimSuffix(o.Scopes[0], "/.default")
	return azcore.AccessToken{Token: arm.UnsignedToken(Tandem, audience, "", now, now.Add(time.Hour)), ExpiresOn: now.Add(time.Hour)}, nil
}

// asProgram puts the clients into a world, and a webhook that every event is
// delivered to.
func asProgram(t *testing.T, w *World) *program {
	t.Helper()
	p := &program{w: w}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(w.Authority())
	opts := &azarm.ClientOptions{DisableRPRegistration: true, ClientOptions: policy.ClientOptions{
		Cloud: cloud.Configuration{Services: map[cloud.ServiceName]cloud.ServiceConfiguration{
			cloud.ResourceManager: {Endpoint: "https://" + ManagerName, Audience: "https://" + ManagerName},
		}},
		Transport: &http.Client{Transport: &http.Transport{
			DialContext: w.Worker().DialContext, DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: roots},
		}},
		Retry: policy.RetryOptions{MaxRetries: -1},
	}}
	client, err := azarm.NewClient("test", "v1.0.0", p, opts)
	if err != nil {
		t.Fatal(err)
	}
	p.pipeline = client.Pipeline()
	if err := w.serveTLS(w.net.Host("hook", netip.MustParseAddr("203.0.113.99")), "hook.example.com", p); err != nil {
		t.Fatal(err)
	}
	if err := w.grid.Subscribe(t.Context(), eventgrid.Subscription{Name: "all", Endpoint: "https://hook.example.com/", Schema: eventgrid.CloudEventSchemaV1_0}); err != nil {
		t.Fatal(err)
	}
	return p
}

// ServeHTTP is the webhook.
func (p *program) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("WebHook-Allowed-Origin", "*")
	if r.Method == http.MethodOptions {
		return
	}
	b, err := io.ReadAll(r.Body)
	var e event
	if err = errors.Join(err, json.Unmarshal(b, &e)); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.got = append(p.got, e)
}

// events are those since the last call, in the order in which they came.
func (p *program) events() []event {
	p.mu.Lock()
	defer p.mu.Unlock()
	got := p.got
	p.got = nil
	return got
}

// told lists the events since the last call, shortly and sorted.
func (p *program) told() []string {
	var out []string
	for _, e := range p.events() {
		q := e.Data.ResourceInfo.Properties
		what := strings.Join(strings.Fields(strings.Join([]string{
			e.Data.OperationName, e.Data.Claims.Name, q.AvailabilityState, q.AnnotationName, q.Context,
		}, " ")), " ")
		out = append(out, e.Subject[strings.LastIndexByte(e.Subject, '/')+1:]+" "+e.Type[strings.LastIndexByte(e.Type, '.')+1:]+": "+what)
	}
	slices.Sort(out)
	return out
}

// ask makes a request and reads the answer's document.
func (p *program) ask(t *testing.T, method, id string, body any, header ...string) (map[string]any, *http.Response, error) {
	t.Helper()
	req, err := runtime.NewRequest(t.Context(), method, "https://"+ManagerName+id+"?api-version=2025-04-01")
	if err != nil {
		t.Fatal(err)
	}
	if body != nil {
		if err := runtime.MarshalAsJSON(req, body); err != nil {
			t.Fatal(err)
		}
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Raw().Header.Set(header[i], header[i+1])
	}
	resp, err := p.pipeline.Do(req)
	if err == nil && resp.StatusCode >= http.StatusBadRequest {
		err = runtime.NewResponseError(resp)
	}
	if err != nil {
		return nil, nil, err
	}
	d := map[string]any{}
	if len(payload(t, resp)) > 0 {
		err = runtime.UnmarshalAsJSON(resp, &d)
	}
	return d, resp, err
}

func payload(t *testing.T, resp *http.Response) []byte {
	t.Helper()
	b, err := runtime.Payload(resp)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (p *program) read(t *testing.T, id string) map[string]any {
	t.Helper()
	d, _, err := p.ask(t, http.MethodGet, id, nil)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func (p *program) balancer() string { return p.w.plan.loadBalancerID(0) }

func (p *program) pool() string { return p.w.plan.poolIDs()[0] }

// fence sets second Down, with If-Match, and waits for the end of the write.
func (p *program) fence(t *testing.T) error {
	t.Helper()
	pool := p.read(t, p.pool())
	part(parts(pool, "loadBalancerBackendAddresses")[1], "properties")["adminState"] = "Down"
	_, resp, err := p.ask(t, http.MethodPut, p.pool(), pool, "If-Match", pool["etag"].(string))
	return p.ended(t, resp, err)
}

// result is what a long operation ends with; the pollers want it to have a name.
type result struct{}

// ended waits for the end of a long operation.
func (p *program) ended(t *testing.T, resp *http.Response, err error) error {
	t.Helper()
	if err != nil {
		return err
	}
	poller, err := runtime.NewPoller[result](resp, p.pipeline, nil)
	return untilDone(t, poller, err)
}

func untilDone(t *testing.T, poller *runtime.Poller[result], err error) error {
	t.Helper()
	if err == nil {
		_, err = poller.PollUntilDone(t.Context(), &runtime.PollUntilDoneOptions{Frequency: time.Second})
	}
	return err
}

// begin asks for an action on a machine and returns the token of the operation.
func (p *program) begin(t *testing.T, role string, action arm.PowerAction) string {
	t.Helper()
	_, resp, err := p.ask(t, http.MethodPost, p.w.plan.vmID(role)+"/"+action.String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	poller, err := runtime.NewPoller[result](resp, p.pipeline, nil)
	if err != nil {
		t.Fatal(err)
	}
	token, err := poller.ResumeToken()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// resume waits for the end of what has the token.
func (p *program) resume(t *testing.T, token string) error {
	t.Helper()
	poller, err := runtime.NewPollerFromResumeToken[result](token, p.pipeline, nil)
	return untilDone(t, poller, err)
}

func (p *program) act(t *testing.T, role string, action arm.PowerAction) error {
	t.Helper()
	_, resp, err := p.ask(t, http.MethodPost, p.w.plan.vmID(role)+"/"+action.String(), nil)
	return p.ended(t, resp, err)
}

// code is what the SDK makes of a refusal.
func code(err error) string {
	var re *azcore.ResponseError
	switch {
	case err == nil:
		return ""
	case errors.As(err, &re):
		return re.ErrorCode
	}
	return "no answer"
}

// reads is the admin states that a read shows, and what the data path does.
func (p *program) reads(t *testing.T) string {
	t.Helper()
	var s []string
	for _, a := range parts(p.read(t, p.pool()), "loadBalancerBackendAddresses") {
		s = append(s, fmt.Sprint(part(a, "properties")["adminState"]))
	}
	return strings.Join(s, " ") + " / " + strings.Join(p.w.Down(), " ")
}

func wantNoFailures(t *testing.T, w *World) {
	t.Helper()
	if f := w.Failures(); len(f) != 0 {
		t.Errorf("not as expected: %q", f)
	}
}

func TestWritesThatGoWrong(t *testing.T) {
	const done, undone, unseen = "None Down / second", "None None / ", "None Down / "
	old := map[string]string{"late-write-shows": "old"}
	for _, tt := range []struct {
		name    string
		options map[string]string
		do      []Step
		codes   []string // of the writes, the second half a minute after the first
		soon    string   // ten seconds after the first
		later   string   // a minute and more after the last
	}{
		{"nothing goes wrong", nil, nil, []string{""}, done, done},
		{"a late write is read at once", nil, []Step{{Do: "manager-late", Late: time.Minute, Times: 1}}, []string{""}, unseen, done},
		{"or when it takes effect", old, []Step{{Do: "manager-late", Late: time.Minute}}, []string{""}, undone, done},
		{"until lateness ends", old, []Step{{Do: "manager-late", Late: time.Hour}, {Do: "manager-late"}}, []string{""}, done, done},
		{"a write without effect is read for ever", nil, []Step{{Do: "manager-no-effect"}}, []string{""}, unseen, unseen},
		{"or never", old, []Step{{Do: "manager-no-effect"}}, []string{""}, undone, undone},
		{"a repeat brings it", old, []Step{{Do: "manager-no-effect"}}, []string{"", ""}, undone, done},
		{"unless that has none either", nil, []Step{{Do: "manager-no-effect", Times: 2}}, []string{"", ""}, unseen, unseen},
		{"a write that fails moves nothing", nil, []Step{{Do: "manager-fails", Times: 1}}, []string{"InternalServerError"}, unseen, unseen},
		{"somebody is faster, once", nil, []Step{{Do: "edit-between"}}, []string{"PreconditionFailed", ""}, undone, done},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, Scenario{Options: tt.options}, func(t *testing.T, w *World) {
				p := asProgram(t, w)
				for _, st := range tt.do {
					w.Do(st)
				}
				for i, want := range tt.codes {
					if got := code(p.fence(t)); got != want {
						t.Errorf("write %d: %q, want %q", i+1, got, want)
					}
					if i == 0 {
						time.Sleep(10 * time.Second)
						if got := p.reads(t); got != tt.soon {
							t.Errorf("soon after the write: %s, want %s", got, tt.soon)
						}
					}
					time.Sleep(20 * time.Second)
				}
				time.Sleep(time.Minute)
				if got := p.reads(t); got != tt.later {
					t.Errorf("later: %s, want %s", got, tt.later)
				}
				wantNoFailures(t, w)
			})
		})
	}
}

func TestAnEditBetweenIsSomebodyElses(t *testing.T) {
	inWorld(t, Scenario{}, func(t *testing.T, w *World) {
		p := asProgram(t, w)
		w.Do(Step{Do: "edit-between", Times: 1})
		before := p.read(t, p.balancer())
		if got := code(p.fence(t)); got != "PreconditionFailed" {
			t.Errorf("the write: %q", got)
		}
		now := p.read(t, p.balancer())
		idle := func(lb map[string]any) any {
			return part(parts(lb, "loadBalancingRules")[0], "properties")["idleTimeoutInMinutes"]
		}
		if now["etag"] == before["etag"] || idle(now) == idle(before) {
			t.Errorf("idle timeout %v after %v", idle(now), idle(before))
		}
		time.Sleep(10 * time.Second)
		if got := p.told(); !slices.Equal(got, []string{"ilb-edge ResourceWriteSuccess: Microsoft.Network/loadBalancers/write operator@example.com"}) {
			t.Errorf("events: %q", got)
		}
		if w.Writes() != 0 {
			t.Errorf("%d writes were counted as the program's", w.Writes())
		}
	})
}

func TestResourceManagerIsAway(t *testing.T) {
	for _, tt := range []struct {
		name string
		do   Step
		code string
		wait string // Retry-After
	}{
		{"throttled, and says for how long", Step{Do: "manager-throttled", For: 3 * time.Minute}, "SubscriptionRequestsThrottled", "180"},
		{"throttled, and asks for less patience than it takes", Step{Do: "manager-throttled", For: 3 * time.Minute, Late: 17 * time.Second}, "SubscriptionRequestsThrottled", "17"},
		{"down", Step{Do: "manager-down", For: 3 * time.Minute}, "no answer", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, Scenario{}, func(t *testing.T, w *World) {
				p := asProgram(t, w)
				w.Do(tt.do)
				_, _, err := p.ask(t, http.MethodGet, p.balancer(), nil)
				if code(err) != tt.code {
					t.Errorf("got %q, want %q", code(err), tt.code)
				}
				if re, is := errors.AsType[*azcore.ResponseError](err); is && re.RawResponse.Header.Get("Retry-After") != tt.wait {
					t.Errorf("Retry-After %s, want %s", re.RawResponse.Header.Get("Retry-After"), tt.wait)
				}
				w.Do(Step{Do: "set-admin", Unit: "second", State: "Down"})
				time.Sleep(2*time.Minute + 59*time.Second)
				if err := p.act(t, "first", arm.Start); code(err) != tt.code {
					t.Errorf("right before the end: %q, want %q", code(err), tt.code)
				}
				time.Sleep(2 * time.Second)
				if got := p.reads(t); got != "None Down / second" {
					t.Errorf("a person's write got through to %s", got)
				}
				if w.Actions() != 0 || w.Reads() != 2 || w.Writes() != 0 {
					t.Errorf("counted %d actions, %d reads and %d writes", w.Actions(), w.Reads(), w.Writes())
				}
				wantNoFailures(t, w)
			})
		})
	}
}

func TestAPersonSetsAdminStates(t *testing.T) {
	inWorld(t, Scenario{Neighbours: 1}, func(t *testing.T, w *World) {
		p := asProgram(t, w)
		for _, tt := range []struct{ unit, state, want, neighbours, serving string }{
			{"first", "Down", "Down None / first", "[]", "nobody"},
			{"first", "None", "None None / ", "[]", "lm1"},
			{"second", "Up", "None Up / ", "[]", "*"}, // a standby does not forward
			{"second", "None", "None None / ", "[]", "lm1"},
			{"neighbour-second", "Down", "None None / ", "[second]", "lm1"},
		} {
			w.Do(Step{Do: "set-admin", Unit: tt.unit, State: tt.state})
			time.Sleep(20 * time.Second)
			if got := p.reads(t); got != tt.want {
				t.Errorf("%s %s: %s, want %s", tt.unit, tt.state, got, tt.want)
			}
			if got := fmt.Sprint(w.downOf(w.pairs[1])); got != tt.neighbours {
				t.Errorf("%s %s: neighbours %s, want %s", tt.unit, tt.state, got, tt.neighbours)
			}
			if got := w.Serving(); got != tt.serving && tt.serving != "*" {
				t.Errorf("%s %s: served by %s, want %s", tt.unit, tt.state, got, tt.serving)
			}
		}
		wantNoFailures(t, w)
		if w.Writes() != 0 {
			t.Errorf("%d writes of a person were counted as the program's", w.Writes())
		}
	})
}

func TestATemplateErasesAdminStatesAndTags(t *testing.T) {
	inWorld(t, Scenario{}, func(t *testing.T, w *World) {
		p := asProgram(t, w)
		if err := p.fence(t); err != nil {
			t.Fatal(err)
		}
		owner := map[string]any{"tags": map[string]any{"tandem-edge-weu": "second Down, epoch 7"}}
		if _, _, err := p.ask(t, http.MethodPatch, p.balancer(), owner); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		if got := w.Tags(0); len(got) != 1 || got["tandem-edge-weu"] != "second Down, epoch 7" || p.reads(t) != "None Down / second" {
			t.Errorf("before: tags %v, %s", got, p.reads(t))
		}
		if w.Writes() != 2 {
			t.Errorf("%d writes of the program were counted, want 2", w.Writes())
		}
		w.Do(Step{Do: "redeploy"})
		time.Sleep(10 * time.Second)
		if got := w.Tags(0); len(got) != 0 || p.reads(t) != "None None / " {
			t.Errorf("after: tags %v, %s", got, p.reads(t))
		}
		if got := w.Serving(); got != "lm1" {
			t.Errorf("served by %s", got)
		}
		wantNoFailures(t, w)
	})
}

func TestStartsForWhichThereIsNoRoom(t *testing.T) {
	inWorld(t, Scenario{Boot: time.Minute}, func(t *testing.T, w *World) {
		p := asProgram(t, w)
		w.Do(Step{Do: "deallocate", Unit: "second"})
		time.Sleep(30 * time.Second)
		w.Do(Step{Do: "allocation-fails", Times: 1})
		if got := code(p.act(t, "second", arm.Start)); got != "AllocationFailed" {
			t.Errorf("the first start: %q", got)
		}
		if err := p.act(t, "second", arm.Start); err != nil {
			t.Errorf("the second start: %v", err)
		}
		time.Sleep(2 * time.Minute)
		if got := w.units["second"].State(); got != loadmaster.Standby {
			t.Errorf("second is %s", got)
		}
		if w.Actions() != 2 {
			t.Errorf("%d actions were counted, want 2", w.Actions())
		}
	})
}

func TestWhatTheProgramDoesToMachines(t *testing.T) {
	const stopped, started = "lm2 AvailabilityStatusChanged: Unavailable", "lm2 AvailabilityStatusChanged: Available"
	inWorld(t, Scenario{Boot: time.Minute}, func(t *testing.T, w *World) {
		p := asProgram(t, w)
		w.Do(Step{Do: "deallocate", Unit: "second"})
		time.Sleep(30 * time.Second)
		if got, want := p.told(), []string{stopped, "lm2 ResourceActionSuccess: Microsoft.Compute/virtualMachines/deallocate/action operator@example.com"}; !slices.Equal(got, want) {
			t.Errorf("events of a stop: %q, want %q", got, want)
		}
		if got := seen(t, w); got.balancer != "Up_Probe_Success" || got.units != "Active Off" {
			t.Errorf("after a stop: %+v", got)
		}

		token := p.begin(t, "second", arm.Start)
		time.Sleep(10 * time.Second)
		if got := w.units["second"].State(); got != loadmaster.Off || w.manager.Power(w.plan.vmID("second")) != arm.Starting {
			t.Errorf("while it is started the unit is %s", got)
		}
		if err := p.resume(t, token); err != nil {
			t.Fatal(err)
		}
		if got := w.units["second"].State(); got != loadmaster.Booting {
			t.Errorf("when it is started the unit is %s", got)
		}
		time.Sleep(90 * time.Second)
		if got := seen(t, w); got != usual {
			t.Errorf("after a start: %+v", got)
		}
		if got, want := p.told(), []string{started, "lm2 ResourceActionSuccess: Microsoft.Compute/virtualMachines/start/action tandem"}; !slices.Equal(got, want) {
			t.Errorf("events of a start: %q, want %q", got, want)
		}

		token = p.begin(t, "second", arm.Restart)
		time.Sleep(time.Second)
		if got := w.units["second"].State(); got != loadmaster.Booting || w.manager.Power(w.plan.vmID("second")) != arm.Running {
			t.Errorf("while it is restarted the unit is %s", got)
		}
		if err := p.resume(t, token); err != nil {
			t.Fatal(err)
		}
		time.Sleep(90 * time.Second)
		if got := seen(t, w); got != usual {
			t.Errorf("after a restart: %+v", got)
		}
		if got, want := p.told(), []string{
			started, stopped, "lm2 ResourceActionSuccess: Microsoft.Compute/virtualMachines/restart/action tandem",
			"lm2 ResourceAnnotated: VirtualMachineRebootInitiatedByControlPlane Customer Initiated",
		}; !slices.Equal(got, want) {
			t.Errorf("events of a restart: %q, want %q", got, want)
		}
		if w.Actions() != 2 {
			t.Errorf("%d actions were counted, want 2", w.Actions())
		}
		wantNoFailures(t, w)
	})
}

func TestARestartHelpsACrashedUnit(t *testing.T) {
	inWorld(t, Scenario{Boot: time.Minute}, func(t *testing.T, w *World) {
		p := asProgram(t, w)
		w.Do(Step{Do: "crash", Unit: "second"})
		if err := p.act(t, "second", arm.Start); err != nil || w.units["second"].State() != loadmaster.Off {
			t.Errorf("the start of a machine that runs: %v, %s", err, w.units["second"].State())
		}
		if err := p.act(t, "second", arm.Restart); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Minute)
		if got := seen(t, w); got != usual {
			t.Errorf("after a restart: %+v", got)
		}
		if got, want := p.told(), []string{
			"lm2 AvailabilityStatusChanged: Available", "lm2 AvailabilityStatusChanged: Unavailable",
			"lm2 ResourceActionSuccess: Microsoft.Compute/virtualMachines/restart/action tandem",
			"lm2 ResourceActionSuccess: Microsoft.Compute/virtualMachines/start/action tandem",
			"lm2 ResourceAnnotated: VirtualMachineRebootInitiatedByControlPlane Customer Initiated",
		}; !slices.Equal(got, want) {
			t.Errorf("events: %q, want %q", got, want)
		}
	})
}

func TestThePlatformStopsAndStartsMachines(t *testing.T) {
	inWorld(t, Scenario{Boot: time.Minute}, func(t *testing.T, w *World) {
		p := asProgram(t, w)
		w.Do(Step{Do: "deallocate", Unit: "first", By: "platform"})
		time.Sleep(30 * time.Second)
		if got := seen(t, w); got.units != "Off Active" || got.client != "lm2" || got.balancer != "Up_Probe_Success" {
			t.Errorf("after it was taken away: %+v", got)
		}
		if got, want := p.told(), []string{
			"lm1 AvailabilityStatusChanged: Unavailable", "lm1 ResourceAnnotated: VirtualMachinePreempted Platform Initiated",
		}; !slices.Equal(got, want) {
			t.Errorf("events: %q, want %q", got, want)
		}
		if got := w.manager.Power(w.plan.vmID("first")); got != arm.Deallocated {
			t.Errorf("the machine is %s", got)
		}
		w.Do(Step{Do: "start", Unit: "first", By: "platform"})
		time.Sleep(90 * time.Second)
		if got := seen(t, w); got != usual {
			t.Errorf("after it came back: %+v", got)
		}
		if got, want := p.told(), []string{"lm1 AvailabilityStatusChanged: Available"}; !slices.Equal(got, want) {
			t.Errorf("events: %q, want %q", got, want)
		}
		wantNoFailures(t, w)
	})
}

func TestEventsThatMeanNothing(t *testing.T) {
	for _, tt := range []struct {
		name string
		do   Step
		vm   string         // the end of the subjects
		want map[string]int // events by their last word
	}{
		{
			"a storm",
			Step{Do: "event-storm", Unit: "second", Times: 50},
			"rg-edge/providers/Microsoft.Compute/virtualMachines/lm2",
			map[string]int{"Available": 25, "Unavailable": 25},
		},
		{
			"an annotation",
			Step{Do: "annotate", Unit: "neighbour-first", State: "HostRebootedForRepair"},
			"/lm3",
			map[string]int{"VirtualMachineHostRebootedForRepair": 1},
		},
		{
			"the end of what was announced",
			Step{Do: "annotate", Unit: "first", State: "Available"},
			"/lm1",
			map[string]int{"Available": 1},
		},
		{
			"an annotation with its whole name",
			Step{Do: "annotate", Unit: "first", State: "VirtualMachineMigrationInitiatedForPlannedMaintenance"},
			"/lm1",
			map[string]int{"VirtualMachineMigrationInitiatedForPlannedMaintenance": 1},
		},
		{
			"events of others",
			Step{Do: "foreign-events", Times: 2},
			"",
			map[string]int{
				"Unavailable": 6, "VirtualMachineHostCrashed": 6, "Microsoft.Compute/virtualMachines/deallocate/action": 6,
				"Microsoft.Compute/virtualMachines/delete": 6, "Microsoft.Network/loadBalancers/write": 6, "Microsoft.Network/loadBalancers/delete": 6,
			},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, Scenario{Neighbours: 1}, func(t *testing.T, w *World) {
				p := asProgram(t, w)
				w.Do(tt.do)
				time.Sleep(10 * time.Second)
				got := map[string]int{}
				for i, e := range p.events() {
					q := e.Data.ResourceInfo.Properties
					got[q.AvailabilityState+q.AnnotationName+e.Data.OperationName]++
					if !strings.HasSuffix(e.Subject, tt.vm) {
						t.Errorf("event %d is about %s", i, e.Subject)
					}
					if tt.vm == "" && slices.ContainsFunc(w.roles(), func(r string) bool { return strings.EqualFold(w.plan.vmID(r), e.Subject) }) {
						t.Errorf("event %d is about a machine of ours", i)
					}
				}
				if fmt.Sprint(got) != fmt.Sprint(tt.want) {
					t.Errorf("events %v, want %v", got, tt.want)
				}
				if v := seen(t, w); v != usual {
					t.Errorf("something happened: %+v", v)
				}
				wantNoFailures(t, w)
			})
		})
	}
}

func TestAStormIsNeverNewerThanItsBeginning(t *testing.T) {
	inWorld(t, Scenario{}, func(t *testing.T, w *World) {
		p := asProgram(t, w)
		begun := time.Now()
		w.Do(Step{Do: "event-storm", Unit: "first", Times: 6})
		time.Sleep(10 * time.Second)
		at := map[time.Duration]string{}
		got := p.events()
		slices.SortFunc(got, func(a, b event) int {
			return strings.Compare(b.Data.ResourceInfo.Properties.AvailabilityState, a.Data.ResourceInfo.Properties.AvailabilityState)
		})
		for _, e := range got {
			at[begun.Sub(e.Time).Round(time.Millisecond)] += e.Data.ResourceInfo.Properties.AvailabilityState + " "
		}
		const both = "Unavailable Available "
		if want := fmt.Sprint(map[time.Duration]string{0: both, stormStep: both, 2 * stormStep: both}); fmt.Sprint(at) != want {
			t.Errorf("event times before the storm %v, want %s", at, want)
		}
	})
}

func TestOldEventsComeAgain(t *testing.T) {
	inWorld(t, Scenario{}, func(t *testing.T, w *World) {
		p := asProgram(t, w)
		w.Do(Step{Do: "crash", Unit: "second"})
		time.Sleep(10 * time.Second)
		w.Do(Step{Do: "boot", Unit: "second"})
		time.Sleep(10 * time.Second)
		p.told()
		w.Do(Step{Do: "replay-events", Times: 2})
		time.Sleep(10 * time.Second)
		var got []string
		for _, e := range p.events() {
			got = append(got, e.Data.ResourceInfo.Properties.AvailabilityState)
		}
		if want := []string{"Available", "Unavailable", "Available", "Unavailable"}; !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

func TestAMachineIsGone(t *testing.T) {
	inWorld(t, Scenario{}, func(t *testing.T, w *World) {
		p := asProgram(t, w)
		w.Do(Step{Do: "delete-vm", Unit: "first"})
		time.Sleep(30 * time.Second)
		if got := seen(t, w); got.units != "Off Active" || got.client != "lm2" || got.balancer != "Up_Probe_Success" {
			t.Errorf("after the delete: %+v", got)
		}
		_, _, err := p.ask(t, http.MethodGet, w.plan.vmID("first"), nil)
		if code(err) != "ResourceNotFound" {
			t.Errorf("a read of the machine: %q", code(err))
		}
		if got, want := p.told(), []string{
			"lm1 AvailabilityStatusChanged: Unavailable", "lm1 ResourceDeleteSuccess: Microsoft.Compute/virtualMachines/delete operator@example.com",
		}; !slices.Equal(got, want) {
			t.Errorf("events: %q, want %q", got, want)
		}
		for _, st := range []Step{
			{Do: "start", Unit: "first"}, {Do: "start", Unit: "first", By: "platform"}, {Do: "delete-vm", Unit: "first"}, {Do: "deallocate", Unit: "first", By: "platform"},
		} {
			w.Do(st)
		}
		time.Sleep(time.Minute)
		if got := w.units["first"].State(); got != loadmaster.Off {
			t.Errorf("a machine that is gone is %s", got)
		}
		wantNoFailures(t, w)
	})
}

func TestAnInterfaceMovesToAnotherAddress(t *testing.T) {
	inWorld(t, Scenario{}, func(t *testing.T, w *World) {
		p := asProgram(t, w)
		w.Do(Step{Do: "deallocate", Unit: "first"})
		time.Sleep(30 * time.Second)
		p.told()
		w.Do(Step{Do: "new-address", Unit: "first", Address: "10.0.0.44"})
		time.Sleep(30 * time.Second)
		health := w.path.Health(w.plan.loadBalancerID(0), "https")
		if got := health[0]; got.Address != netip.MustParseAddr("10.0.0.44") || got.Reason != "" {
			t.Errorf("of a stopped machine the load balancer knows %+v", got)
		}
		if got, want := p.told(), []string{"lm1-nic ResourceWriteSuccess: Microsoft.Network/networkInterfaces/write operator@example.com"}; !slices.Equal(got, want) {
			t.Errorf("events: %q, want %q", got, want)
		}
		if got := w.plan.Units["first"].Address; got != netip.MustParseAddr("10.0.0.4") || w.address("first") == got {
			t.Errorf("the pair file has %s, Azure %s", got, w.address("first"))
		}
		w.Do(Step{Do: "set-admin", Unit: "first", State: "Down"})
		time.Sleep(30 * time.Second)
		if got := p.reads(t); !strings.HasPrefix(got, "Down None") {
			t.Errorf("the interface's admin state: %s", got)
		}
		wantNoFailures(t, w)
	})
}

func TestMistakesOfAStoryInAzureFailIt(t *testing.T) {
	inWorld(t, Scenario{}, func(t *testing.T, w *World) {
		for i, tt := range []struct {
			step Step
			want string
		}{
			{Step{Do: "set-admin", Unit: "first", State: "Drain"}, `state "Drain": expected one of None, Up, Down`},
			{Step{Do: "set-admin", Unit: "neighbour-first", State: "Down"}, `unit "neighbour-first": expected one of first, second`},
			{Step{Do: "new-address", Unit: "first", Address: "here"}, "new-address: "},
			{Step{Do: "annotate", Unit: "first", State: "Bored"}, `state "Bored": expected one of AccelnetUnhealthy`},
			{Step{Do: "deallocate", Unit: "first", By: "cat"}, `deallocate: by "cat": expected one of person, platform`},
		} {
			w.Do(tt.step)
			if f := w.Failures(); len(f) != i+1 || !strings.Contains(f[i], tt.want) {
				t.Fatalf("%+v: failures %q, want the last with %q", tt.step, f, tt.want)
			}
		}
	})
}
