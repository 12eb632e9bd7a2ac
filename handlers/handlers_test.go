package handlers_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"tandem/handlers"
	"tandem/internal/azure/events"
	"tandem/internal/control"
	"tandem/internal/pair"
)

var _ handlers.Program = (*control.Waker)(nil)

const (
	vm = pair.ResourceID("/subscriptions/00000000-0000-0000-0000-000000000001/resourcegroups/rg-lm/providers/microsoft.compute/virtualmachines/lm-1")
	lb = pair.ResourceID("/subscriptions/00000000-0000-0000-0000-000000000001/resourcegroups/rg-lm/providers/microsoft.network/loadbalancers/lb-lm")
)

var (
	now = time.Date(2026, 9, 23, 10, 6, 3, 0, time.UTC)
	own = events.Own{AppID: "00000000-0000-0000-0000-0000000000ee", ObjectID: "00000000-0000-0000-0000-0000000000ff"}
)

// program records its calls and fails as told.
type program struct {
	calls    []string
	facts    []pair.Evidence
	messages []pair.Message
	err      error
	do       func(context.Context) error // instead of err
}

func (p *program) called(ctx context.Context, format string, args ...any) error {
	p.calls = append(p.calls, fmt.Sprintf(format, args...))
	if p.do != nil {
		return p.do(ctx)
	}
	return p.err
}

func (p *program) Evidence(ctx context.Context, facts []pair.Evidence) error {
	p.facts = append(p.facts, facts...)
	return p.called(ctx, "evidence %d", len(facts))
}

func (p *program) ResourceChanged(ctx context.Context, changes []pair.ResourceChange) error {
	var names []string
	for _, c := range changes {
		names = append(names, c.Resource.Name())
	}
	return p.called(ctx, "changed %s", strings.Join(names, " "))
}

func (p *program) Sweep(ctx context.Context) error { return p.called(ctx, "sweep") }

func (p *program) Reconcile(ctx context.Context, m pair.Message) error {
	p.messages = append(p.messages, m)
	return p.called(ctx, "reconcile %s", strings.Join(m.Pairs, " "))
}

// world is a handler with what stands around it.
type world struct {
	program program
	log     bytes.Buffer
	handler http.Handler
}

func newWorld(t *testing.T, change func(*handlers.Options)) *world {
	t.Helper()
	w := &world{}
	o := handlers.Options{
		Program: &w.program, Own: own, Now: func() time.Time { return now },
		Log: slog.New(slog.NewJSONHandler(&w.log, &slog.HandlerOptions{Level: slog.LevelInfo})),
	}
	if change != nil {
		change(&o)
	}
	h, err := handlers.New(o)
	if err != nil {
		t.Fatal(err)
	}
	w.handler = h
	return w
}

// call sends an invocation as the host does.
func (w *world) call(function string, body []byte) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, function, bytes.NewReader(body))
	r.RemoteAddr = "127.0.0.1:40000"
	r.Header.Set("Content-Type", "application/json; charset=utf-8")
	r.Header.Set("X-Azure-Functions-InvocationId", "7d9f7f1e-3a60-4c0e-9b0f-6a3a9c1e0001")
	return w.serve(r)
}

func (w *world) serve(r *http.Request) *httptest.ResponseRecorder {
	answer := httptest.NewRecorder()
	w.handler.ServeHTTP(answer, r)
	return answer
}

// lines returns the log, one map for each line.
func (w *world) lines(t *testing.T) []map[string]any {
	t.Helper()
	var lines []map[string]any
	for line := range strings.Lines(w.log.String()) {
		var m map[string]any
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, m)
	}
	return lines
}

// checkAnswer checks what the host needs of every answer.
func checkAnswer(t *testing.T, answer *httptest.ResponseRecorder, status int) {
	t.Helper()
	if answer.Code != status {
		t.Errorf("status = %d, want %d; body %s", answer.Code, status, answer.Body)
	}
	if got := answer.Header().Get("Content-Type"); got != "application/json" {
		t.Errorf("content type = %q", got)
	}
	if got := answer.Header().Get("Content-Length"); got != strconv.Itoa(answer.Body.Len()) {
		t.Errorf("content length = %q of %d bytes", got, answer.Body.Len())
	}
	var object map[string]any
	if err := json.Unmarshal(answer.Body.Bytes(), &object); err != nil || object == nil {
		t.Errorf("the answer is no JSON object: %s", answer.Body)
	}
}

// encode packs a value as the host does: bare objects, everything else as JSON
// in a string (functions-host.md 2.2).
func encode(t testing.TB, name string, value any) []byte {
	t.Helper()
	inner, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	if inner[0] != '{' {
		if inner, err = json.Marshal(string(inner)); err != nil {
			t.Fatal(err)
		}
	}
	b, err := json.Marshal(map[string]any{
		"Data":     map[string]json.RawMessage{name: inner},
		"Metadata": map[string]any{"DequeueCount": "1", "sys": "oops"},
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// message packs the text of a queue message.
func message(t testing.TB, text string) []byte { return encode(t, "message", text) }

func sample(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// compact writes JSON as the host does, on one line.
func compact(t testing.TB, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := json.Compact(&out, b); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestEverySample(t *testing.T) {
	const evidence = "evidence 1"
	tests := []struct {
		file, function string
		status         int
		calls          []string
		logged         string // kind of the one warning, if any
	}{
		{"timer-with-status.json", "/Sweep", 200, []string{"sweep"}, ""},
		{"timer-first-run.json", "/Sweep", 200, []string{"sweep"}, ""},
		{"timer-past-due.json", "/Sweep", 200, []string{"sweep"}, ""},
		{"timer-no-monitor.json", "/Sweep", 200, []string{"sweep"}, ""},
		{"timer-constant-interval.json", "/Sweep", 200, []string{"sweep"}, ""},
		{"timer-with-retry-context.json", "/Sweep", 200, []string{"sweep"}, ""},
		{"eventgrid-one.eventgrid.json", "/VMHealth", 200, []string{evidence}, ""},
		{"eventgrid-one.cloudevents.json", "/VMHealth", 200, []string{evidence}, ""},
		{"eventgrid-one.cloudevents-string-data.json", "/VMHealth", 200, nil, "payload cannot be used"},
		{"eventgrid-many.eventgrid.json", "/VMHealth", 200, []string{evidence}, ""},
		{"eventgrid-many.eventgrid.json", "/ResourceChanged", 200, []string{evidence}, ""},
		{"queue-text.recorded.json", "/ReconcilePair", 200, nil, "payload cannot be used"},
		{"queue-json-object.json", "/ReconcilePair", 200, nil, "payload cannot be used"},
		{"queue-json-name-collision.json", "/ReconcilePair", 200, nil, "payload cannot be used"},
		{"queue-json-array.json", "/ReconcilePair", 200, nil, "payload cannot be used"},
		{"queue-binary.json", "/ReconcilePair", 200, nil, "payload cannot be used"},
		{"http-not-forwarded.json", "/API", 404, nil, ""},
	}
	tested := map[string]bool{"answer-ok-minimal.json": true}
	for _, tt := range tests {
		tested[tt.file] = true
		t.Run(tt.file+tt.function, func(t *testing.T) {
			w := newWorld(t, nil)
			answer := w.call(tt.function, compact(t, sample(t, tt.file)))
			checkAnswer(t, answer, tt.status)
			if diff := cmp.Diff(tt.calls, w.program.calls); diff != "" {
				t.Errorf("calls (-want +got):\n%s", diff)
			}
			checkWarnings(t, w, tt.function, tt.logged)
		})
	}
	files, err := filepath.Glob("testdata/*.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !tested[filepath.Base(f)] {
			t.Errorf("%s is not tested", f)
		}
	}
}

// checkWarnings checks that the log holds one warning of the kind, in the
// stable form, or none at all.
func checkWarnings(t *testing.T, w *world, function, kind string) {
	t.Helper()
	var warnings []map[string]any
	for _, line := range w.lines(t) {
		if line["level"] != "INFO" {
			warnings = append(warnings, line)
		}
	}
	if kind == "" {
		if len(warnings) > 0 {
			t.Errorf("warnings: %v", warnings)
		}
		return
	}
	if len(warnings) != 1 {
		t.Fatalf("%d warnings, want 1: %v", len(warnings), warnings)
	}
	got := warnings[0]
	if got["msg"] != "invocation failed" || got["kind"] != kind || got["path"] != function || got["invocation"] != "7d9f7f1e-3a60-4c0e-9b0f-6a3a9c1e0001" || got["error"] == "" {
		t.Errorf("warning = %v", got)
	}
}

func TestTheAnswerIsTheMinimalOne(t *testing.T) {
	w := newWorld(t, nil)
	if diff := cmp.Diff(string(compact(t, sample(t, "answer-ok-minimal.json"))), w.call("/Sweep", []byte("{}")).Body.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestRawRequests sends the recorded requests byte for byte, chunked and not,
// to a real server.
func TestRawRequests(t *testing.T) {
	for _, name := range []string{"request-azure.http", "request-local.http", "request-ping.http"} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, nil)
			server := httptest.NewServer(w.handler)
			defer server.Close()
			raw := string(sample(t, name))
			want := http.StatusNotFound // the sample's function is not ours
			if name == "request-ping.http" {
				want = http.StatusOK
			}
			send(t, server, raw, want)
			if want == http.StatusNotFound {
				send(t, server, strings.Replace(raw, "POST /work ", "POST /ReconcilePair ", 1), http.StatusOK)
				checkLogged(t, w, "neither an object nor an array")
			}
		})
	}
}

// send writes a request as it is and checks the status of the answer.
func send(t *testing.T, server *httptest.Server, raw string, status int) {
	t.Helper()
	c, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, raw); err != nil {
		t.Fatal(err)
	}
	answer, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != status {
		t.Errorf("status = %d, want %d", answer.StatusCode, status)
	}
}

func checkLogged(t *testing.T, w *world, text string) {
	t.Helper()
	if !strings.Contains(w.log.String(), text) {
		t.Errorf("the log does not say %q:\n%s", text, w.log.String())
	}
}

func TestRoutes(t *testing.T) {
	tests := []struct {
		rule, method, path, peer, contentType string
		status                                int
		calls                                 int
	}{
		{"the host's poll is answered at once", "GET", "/", "127.0.0.1:1", "", 200, 0},
		{"a function is called by its name", "POST", "/Sweep", "127.0.0.1:1", "application/json", 200, 1},
		{"IPv6 loopback is this machine, too", "POST", "/Sweep", "[::1]:1", "application/json", 200, 1},
		{"and so is loopback in IPv6 dress", "POST", "/Sweep", "[::ffff:127.0.0.1]:1", "application/json", 200, 1},
		{"letter case counts in function names", "POST", "/sweep", "127.0.0.1:1", "application/json", 404, 0},
		{"an unknown function is not there", "POST", "/RunAll", "127.0.0.1:1", "application/json", 404, 0},
		{"a part of a function is not there", "POST", "/Sweep/x", "127.0.0.1:1", "application/json", 404, 0},
		{"a function is not read with GET", "GET", "/Sweep", "127.0.0.1:1", "", 404, 0},
		{"nobody posts to the root", "POST", "/", "127.0.0.1:1", "application/json", 404, 0},
		{"a path is never cleaned into another one", "POST", "//Sweep", "127.0.0.1:1", "application/json", 404, 0},
		{"another machine may not call", "POST", "/Sweep", "10.0.0.9:1", "application/json", 403, 0},
		{"another machine may not poll either", "GET", "/", "10.0.0.9:1", "", 403, 0},
		{"another machine may not use the API either", "GET", "/api/pairs", "10.0.0.9:1", "", 403, 0},
		{"a caller without an address may not call", "POST", "/Sweep", "pipe", "application/json", 403, 0},
		{"a form of a web page is not an invocation", "POST", "/Sweep", "127.0.0.1:1", "text/plain", 415, 0},
		{"an invocation says what it is", "POST", "/Sweep", "127.0.0.1:1", "", 415, 0},
		{"without an API there is none", "GET", "/api/pairs", "127.0.0.1:1", "", 404, 0},
	}
	for _, tt := range tests {
		t.Run(tt.rule, func(t *testing.T) {
			w := newWorld(t, nil)
			r := httptest.NewRequest(tt.method, "http://127.0.0.1"+tt.path, strings.NewReader("{}"))
			r.RemoteAddr = tt.peer
			if tt.contentType != "" {
				r.Header.Set("Content-Type", tt.contentType)
			}
			checkAnswer(t, w.serve(r), tt.status)
			if len(w.program.calls) != tt.calls {
				t.Errorf("calls: %v", w.program.calls)
			}
		})
	}
}

func TestPeersOfTheLab(t *testing.T) {
	w := newWorld(t, func(o *handlers.Options) { o.Peers = []netip.Prefix{netip.MustParsePrefix("10.0.9.0/24")} })
	for peer, want := range map[string]int{"10.0.9.1:5": 200, "10.0.8.1:5": 403, "127.0.0.1:5": 403} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RemoteAddr = peer
		if got := w.serve(r).Code; got != want {
			t.Errorf("%s: status %d, want %d", peer, got, want)
		}
	}
}

func TestAPIIsForwardedAsItIs(t *testing.T) {
	var got string
	api := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		_, limited := r.Context().Deadline()
		got = fmt.Sprint(r.Method, " ", r.RequestURI, " ", r.Header.Get("Content-Type"), " ", string(b), " ", err, " ", limited)
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(http.StatusTeapot)
		fmt.Fprint(w, "hello")
	})
	w := newWorld(t, func(o *handlers.Options) { o.API = api })
	r := httptest.NewRequest(http.MethodPut, "/api//pairs/%2e%2e/x?dry=true", strings.NewReader("a: 1"))
	r.RemoteAddr = "127.0.0.1:1"
	r.Header.Set("Content-Type", "application/yaml")
	answer := w.serve(r)
	if want := "PUT /api//pairs/%2e%2e/x?dry=true application/yaml a: 1 <nil> true"; got != want {
		t.Errorf("request = %q, want %q", got, want)
	}
	if answer.Code != http.StatusTeapot || answer.Header().Get("Content-Type") != "text/html" || answer.Body.String() != "hello" {
		t.Errorf("answer = %d %v %s", answer.Code, answer.Header(), answer.Body)
	}
}

const (
	ownClaims   = `{"appid":"00000000-0000-0000-0000-0000000000ee","http://schemas.microsoft.com/identity/claims/objectidentifier":"00000000-0000-0000-0000-0000000000ff"}`
	aliceClaims = `{"appid":"00000000-0000-0000-0000-0000000000bb","name":"Alice Doe","http://schemas.microsoft.com/identity/claims/objectidentifier":"00000000-0000-0000-0000-0000000000cc"}`
)

func arm(id, typ string, subject pair.ResourceID, operation, at, claims string) string {
	return fmt.Sprintf(`{"id":%q,"eventType":"Microsoft.Resources.%s","subject":%q,"eventTime":%q,"data":{"operationName":%q,"claims":%s}}`, id, typ, subject, at, operation, claims)
}

func TestEvents(t *testing.T) {
	const past, future = "2026-09-23T10:06:00Z", "2027-01-01T00:00:00Z"
	write := func(id, claims string) string {
		return arm(id, "ResourceWriteSuccess", lb, "Microsoft.Network/loadBalancers/write", past, claims)
	}
	restart := func(at, claims string) string {
		return arm("r", "ResourceActionSuccess", vm, "Microsoft.Compute/virtualMachines/restart/action", at, claims)
	}
	fact := func(at time.Time, byPerson bool) []pair.Evidence {
		return []pair.Evidence{{Kind: pair.EvidenceStarted, VM: vm, At: at, ByPerson: byPerson, Detail: "microsoft.compute/virtualmachines/restart/action", EventID: "r"}}
	}
	tests := []struct {
		rule   string
		events []string
		calls  []string
		facts  []pair.Evidence
	}{
		{"a write of somebody else is looked at", []string{write("1", aliceClaims)}, []string{"changed lb-lm"}, nil},
		{"a write of our own wakes nobody", []string{write("1", ownClaims)}, nil, nil},
		{"two writes of one resource are one change", []string{write("1", aliceClaims), write("2", ownClaims), write("3", aliceClaims)}, []string{"changed lb-lm"}, nil},
		{"an event for the other function counts all the same", []string{restart(past, aliceClaims), write("2", aliceClaims)}, []string{"evidence 1", "changed lb-lm"}, fact(now.Add(-3*time.Second), true)},
		{"a restart of our own is news but nobody's instruction", []string{restart(past, ownClaims)}, []string{"evidence 1"}, fact(now.Add(-3*time.Second), false)},
		{"a fact from the future is of now", []string{restart(future, aliceClaims)}, []string{"evidence 1"}, fact(now, true)},
		{"nothing to act on is no call", []string{`{"id":"k","eventType":"Microsoft.KeyVault.SecretExpired","data":{}}`}, nil, nil},
		{"no events are no call", nil, nil, nil},
		{"an unreadable event does not keep the others from counting", []string{"7", write("1", aliceClaims)}, []string{"changed lb-lm"}, nil},
	}
	for _, tt := range tests {
		for _, function := range []string{"/VMHealth", "/ResourceChanged"} {
			t.Run(tt.rule+function, func(t *testing.T) {
				w := newWorld(t, nil)
				checkAnswer(t, w.call(function, encode(t, "events", json.RawMessage("["+strings.Join(tt.events, ",")+"]"))), http.StatusOK)
				if diff := cmp.Diff(tt.calls, w.program.calls); diff != "" {
					t.Errorf("calls (-want +got):\n%s", diff)
				}
				if diff := cmp.Diff(tt.facts, w.program.facts); diff != "" {
					t.Errorf("facts (-want +got):\n%s", diff)
				}
				if strings.Contains(w.log.String(), "Alice") {
					t.Errorf("the log names a person:\n%s", w.log.String())
				}
			})
		}
	}
}

func TestUnreadableEventsAreLoggedOnce(t *testing.T) {
	w := newWorld(t, nil)
	w.call("/VMHealth", encode(t, "events", json.RawMessage(`[7,8,9,10,11,{"id":"k","eventType":"x"}]`)))
	var warnings []map[string]any
	for _, line := range w.lines(t) {
		if line["level"] == "WARN" {
			warnings = append(warnings, line)
		}
	}
	if len(warnings) != 1 || warnings[0]["unreadable"] != 5.0 || warnings[0]["readable"] != 1.0 || strings.Count(warnings[0]["error"].(string), "read event") != 3 {
		t.Errorf("warnings: %v", warnings)
	}
}

func TestMessages(t *testing.T) {
	fifty := strings.TrimSuffix(strings.Repeat(`"edge-weu",`, 50), ",")
	tests := []struct {
		rule, text string
		status     int
		want       *pair.Message
	}{
		{"a wake message", `{"v":1,"kind":"wake","pairs":["edge-weu","edge-neu"],"cause":{"kind":"sweep"},"attempt":3}`, 200, &pair.Message{V: 1, Kind: "wake", Pairs: []string{"edge-weu", "edge-neu"}, Cause: pair.Cause{Kind: pair.CauseSweep}, Attempt: 3}},
		{"a message made by hand needs no version", `{"kind":"wake","pairs":["edge-weu"]}`, 200, &pair.Message{V: 1, Kind: "wake", Pairs: []string{"edge-weu"}}},
		{"fields that are not known are passed over", `{"v":1,"kind":"wake","pairs":["a"],"colour":"red"}`, 200, &pair.Message{V: 1, Kind: "wake", Pairs: []string{"a"}}},
		{"a newer version is left to a newer release, whatever it says", `{"v":2,"kind":"wake","pairs":{"a":1},"cause":{"kind":"moon"}}`, 500, nil},
		{"a version below zero is nonsense", `{"v":-1,"kind":"wake","pairs":["a"]}`, 200, nil},
		{"another kind is not for this queue", `{"v":1,"kind":"job","pairs":["a"]}`, 200, nil},
		{"nobody to wake", `{"v":1,"kind":"wake","pairs":[]}`, 200, nil},
		{"more pairs than a message may name", `{"v":1,"kind":"wake","pairs":[` + fifty + `,"a"]}`, 200, nil},
		{"a name that could be a path", `{"v":1,"kind":"wake","pairs":["../x"]}`, 200, nil},
		{"a name with a line break", `{"v":1,"kind":"wake","pairs":["a\n"]}`, 200, nil},
		{"an endless name", `{"v":1,"kind":"wake","pairs":["` + strings.Repeat("a", 41) + `"]}`, 200, nil},
		{"a negative attempt would go round for ever", `{"v":1,"kind":"wake","pairs":["a"],"attempt":-9}`, 200, nil},
		{"a cause that only a newer release knows: the pairs are looked at all the same", `{"v":1,"kind":"wake","pairs":["a"],"cause":{"kind":"moon"}}`, 200, &pair.Message{V: 1, Kind: "wake", Pairs: []string{"a"}}},
		{"a version that is no number", `{"v":"1","kind":"wake","pairs":["a"]}`, 200, nil},
		{"half a message", `{"v":1,"kind":"wa`, 200, nil},
		{"a list", `["a"]`, 200, nil},
		{"nothing", ``, 200, nil},
	}
	for _, tt := range tests {
		t.Run(tt.rule, func(t *testing.T) {
			w := newWorld(t, nil)
			checkAnswer(t, w.call("/ReconcilePair", message(t, tt.text)), tt.status)
			var want []pair.Message
			if tt.want != nil {
				want = []pair.Message{*tt.want}
			}
			if diff := cmp.Diff(want, w.program.messages); diff != "" {
				t.Errorf("messages (-want +got):\n%s", diff)
			}
			kind := map[bool]string{true: "", false: "payload cannot be used"}[tt.want != nil]
			if tt.status == http.StatusInternalServerError {
				kind = pair.ErrTooNew.Error()
			}
			checkWarnings(t, w, "/ReconcilePair", kind)
		})
	}
}

// TestMessageForms reads one message in every form in which it may come
// (functions-host.md 2.2): the host's, that of older samples, and a bare object.
func TestMessageForms(t *testing.T) {
	const text = `{"v":1,"kind":"wake","pairs":["edge-weu"]}`
	once, twice := fmt.Sprintf("%q", text), fmt.Sprintf("%q", fmt.Sprintf("%q", text))
	for rule, value := range map[string]string{"as the host sends it": twice, "without the inner quotes": once, "as an object": text} {
		t.Run(rule, func(t *testing.T) {
			w := newWorld(t, nil)
			checkAnswer(t, w.call("/ReconcilePair", []byte(`{"Data":{"anyName":`+value+`},"Metadata":{}}`)), http.StatusOK)
			if diff := cmp.Diff([]string{"reconcile edge-weu"}, w.program.calls); diff != "" {
				t.Errorf("calls (-want +got):\n%s", diff)
			}
		})
	}
}

func TestBrokenInvocations(t *testing.T) {
	tests := map[string]string{
		"nothing":                   ``,
		"not JSON":                  `hello`,
		"null":                      `null`,
		"no data":                   `{"Metadata":{}}`,
		"data of the wrong kind":    `{"Data":[1]}`,
		"two inputs":                `{"Data":{"a":{},"b":{}}}`,
		"a value that is null":      `{"Data":{"a":null}}`,
		"null as the host packs it": `{"Data":{"a":"null"}}`,
		"text, packed too deep":     `{"Data":{"a":"\"\\\"\\\\\\\"{}\\\\\\\"\\\"\""}}`,
		"more than is read":         `{"Data":{"a":"` + strings.Repeat("x", 8<<20) + `"}}`,
	}
	for rule, body := range tests {
		for _, function := range []string{"/VMHealth", "/ResourceChanged", "/ReconcilePair"} {
			t.Run(rule+function, func(t *testing.T) {
				w := newWorld(t, nil)
				checkAnswer(t, w.call(function, []byte(body)), http.StatusOK)
				if w.program.calls != nil {
					t.Errorf("calls: %v", w.program.calls)
				}
				checkWarnings(t, w, function, "payload cannot be used")
			})
		}
	}
}

func TestTheTimersPayloadDoesNotMatter(t *testing.T) {
	w := newWorld(t, nil)
	checkAnswer(t, w.call("/Sweep", []byte("not JSON at all")), http.StatusOK)
	if diff := cmp.Diff([]string{"sweep"}, w.program.calls); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
}

func TestKindsOfErrors(t *testing.T) {
	wake := message(t, `{"v":1,"kind":"wake","pairs":["edge-weu"]}`)
	event := encode(t, "events", json.RawMessage("["+arm("1", "ResourceWriteSuccess", lb, "w", "2026-09-23T10:06:00Z", aliceClaims)+"]"))
	calls := []struct {
		function string
		body     []byte
	}{{"/ReconcilePair", wake}, {"/ResourceChanged", event}, {"/VMHealth", sample(t, "eventgrid-one.eventgrid.json")}, {"/Sweep", sample(t, "timer-no-monitor.json")}}
	tests := []struct {
		rule  string
		err   error
		level string
		kind  string
	}{
		{"throttled passes", pair.ErrThrottled, "WARN", "throttled"},
		{"busy passes", pair.ErrBusy, "WARN", pair.ErrBusy.Error()},
		{"a conflict passes", pair.ErrConflict, "WARN", pair.ErrConflict.Error()},
		{"a lost lease passes", pair.ErrLeaseLost, "WARN", "lease lost"},
		{"a newer epoch passes", pair.ErrStaleEpoch, "WARN", pair.ErrStaleEpoch.Error()},
		{"a superseded write passes", pair.ErrSuperseded, "WARN", pair.ErrSuperseded.Error()},
		{"no answer passes", pair.ErrUnreachable, "WARN", "no answer"},
		{"an unknown outcome passes", pair.ErrUnknownOutcome, "WARN", "outcome unknown"},
		{"too late passes", context.DeadlineExceeded, "WARN", context.DeadlineExceeded.Error()},
		{"a record of a newer release is left to it", pair.ErrTooNew, "WARN", pair.ErrTooNew.Error()},
		{"a refusal wants a person", pair.ErrRefused, "ERROR", "internal"},
		{"what the program cannot read is not the host's payload", pair.ErrUnreadable, "ERROR", "internal"},
		{"everything else is a fault of ours", errors.New("boom"), "ERROR", "internal"},
	}
	for _, tt := range tests {
		for _, c := range calls {
			t.Run(tt.rule+c.function, func(t *testing.T) {
				w := newWorld(t, nil)
				w.program.err = fmt.Errorf("write lb: %w", tt.err)
				answer := w.call(c.function, c.body)
				checkAnswer(t, answer, http.StatusInternalServerError)
				if strings.Contains(answer.Body.String(), "write lb") {
					t.Errorf("the answer tells details: %s", answer.Body)
				}
				lines := w.lines(t)
				last := lines[len(lines)-1]
				if last["level"] != tt.level || last["kind"] != tt.kind || !strings.Contains(last["error"].(string), "write lb") {
					t.Errorf("line = %v, want %s %s", last, tt.level, tt.kind)
				}
			})
		}
	}
}

func TestAnInvocationEndsAtItsDeadline(t *testing.T) {
	for _, tt := range []struct {
		rule          string
		deadline, end time.Duration
	}{{"20 s unless said otherwise", 0, 20 * time.Second}, {"as said", 5 * time.Second, 5 * time.Second}} {
		t.Run(tt.rule, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, func(o *handlers.Options) { o.Deadline = tt.deadline; o.Now = nil })
				w.program.do = func(ctx context.Context) error {
					<-ctx.Done()
					return ctx.Err()
				}
				start := time.Now()
				checkAnswer(t, w.call("/Sweep", []byte("{}")), http.StatusInternalServerError)
				if took := time.Since(start); took != tt.end {
					t.Errorf("it took %v, want %v", took, tt.end)
				}
			})
		})
	}
}

func TestAPanicIsAnAnswer(t *testing.T) {
	w := newWorld(t, func(o *handlers.Options) {
		o.API = http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("api is broken") })
	})
	w.program.do = func(context.Context) error { panic(strings.Repeat("sweep is broken ", 1000)) }
	checkAnswer(t, w.call("/Sweep", []byte("{}")), http.StatusInternalServerError)
	checkAnswer(t, w.call("/api/x", nil), http.StatusInternalServerError)
	lines := w.lines(t)
	if len(lines) != 2 {
		t.Fatalf("%d lines, want 2", len(lines))
	}
	for _, line := range lines {
		if line["level"] != "ERROR" || line["msg"] != "panic" || len(line["panic"].(string)) > 1000 || !strings.Contains(line["stack"].(string), "handlers_test.go") {
			t.Errorf("line = %v", line)
		}
	}
	w.program.do = nil
	checkAnswer(t, w.call("/Sweep", []byte("{}")), http.StatusOK) // it lives on
}

func TestAPanicInTheMiddleOfAnAnswerClosesTheConnection(t *testing.T) {
	w := newWorld(t, func(o *handlers.Options) {
		o.API = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, "half an ans")
			panic("api is broken")
		})
	})
	defer func() {
		if v := recover(); v != http.ErrAbortHandler {
			t.Errorf("panic = %v, want http.ErrAbortHandler", v)
		}
		checkLogged(t, w, "api is broken")
	}()
	w.call("/api/x", nil)
	t.Error("no panic")
}

func TestABodyThatBreaksOffIsNotLost(t *testing.T) {
	w := newWorld(t, nil)
	r := httptest.NewRequest(http.MethodPost, "/ReconcilePair", io.MultiReader(strings.NewReader(`{"Data":`), broken{}))
	r.RemoteAddr = "127.0.0.1:1"
	r.Header.Set("Content-Type", "application/json")
	checkAnswer(t, w.serve(r), http.StatusInternalServerError)
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestNewChecksItsOptions(t *testing.T) {
	tests := []struct {
		rule string
		o    handlers.Options
		ok   bool
	}{
		{"a program is enough", handlers.Options{Program: &program{}}, true},
		{"no program", handlers.Options{}, false},
		{"a negative deadline", handlers.Options{Program: &program{}, Deadline: -1}, false},
		{"a deadline beyond Event Grid's patience", handlers.Options{Program: &program{}, Deadline: 30 * time.Second}, false},
	}
	for _, tt := range tests {
		t.Run(tt.rule, func(t *testing.T) {
			h, err := handlers.New(tt.o)
			if (err == nil) != tt.ok || (h != nil) != tt.ok {
				t.Fatalf("handler %v, error %v", h, err)
			}
			if err != nil && !errors.Is(err, pair.ErrInvalid) {
				t.Errorf("error = %v", err)
			}
		})
	}
}

// FuzzInvocation looks for bodies that panic, that are answered in a way the
// host cannot read, or that reach the program unchecked.
func FuzzInvocation(f *testing.F) {
	files, err := filepath.Glob("testdata/*.json")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		f.Add(compact(f, sample(f, filepath.Base(file))))
	}
	f.Add(message(f, `{"v":1,"kind":"wake","pairs":["edge-weu"],"cause":{"kind":"vm","evidence":[{"kind":"stopped"}]}}`))
	f.Add(message(f, `{"v":9,"kind":"wake"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, function := range []string{"/VMHealth", "/ReconcilePair"} {
			w := newWorld(t, nil)
			answer := w.call(function, body)
			if answer.Code != http.StatusOK && !strings.Contains(answer.Body.String(), pair.ErrTooNew.Error()) {
				t.Errorf("%s: %d %s", function, answer.Code, answer.Body)
			}
			checkAnswer(t, answer, answer.Code)
			for _, m := range w.program.messages {
				if m.V != 1 || m.Kind != "wake" || len(m.Pairs) == 0 || len(m.Pairs) > 50 || m.Attempt < 0 {
					t.Errorf("an unchecked message: %+v", m)
				}
			}
		}
	})
}
