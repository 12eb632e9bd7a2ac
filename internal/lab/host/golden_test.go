package host

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func read(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func decode(t *testing.T, data []byte) map[string]any {
	t.Helper()
	var value map[string]any
	if err := json.Unmarshal(data, &value); err != nil {
		t.Fatalf("%v in %s", err, data)
	}
	return value
}

// goldenHost loads functions from the example configuration files.
func goldenHost(t *testing.T, functions map[string]string) *Host {
	t.Helper()
	root := fstest.MapFS{"host.json": {Data: read(t, "config-host.json")}}
	for name, file := range functions {
		root[name+"/function.json"] = &fstest.MapFile{Data: []byte(file)}
	}
	var local struct{ Values map[string]string }
	if err := json.Unmarshal(read(t, "config-local.settings.json"), &local); err != nil {
		t.Fatal(err)
	}
	h, err := New(Config{App: root, Launcher: &memory{}, Queues: &queues{}, Settings: local.Values})
	if err != nil {
		t.Fatal(err)
	}
	if failures := h.Failures(); len(failures) > 0 {
		t.Fatal(failures)
	}
	return h
}

// sameBody compares a body with an example. What differs with every call is
// checked for its form and then taken over: sys.UtcNow and sys.RandGuid.
func sameBody(t *testing.T, name string, body []byte) {
	t.Helper()
	if bytes.ContainsAny(body, "\n") {
		t.Errorf("body isn't compact: %s", body)
	}
	want, got := decode(t, read(t, name)), decode(t, body)
	wantSys, isObject := want["Metadata"].(map[string]any)["sys"].(map[string]any)
	if isObject {
		gotSys := got["Metadata"].(map[string]any)["sys"].(map[string]any)
		if _, err := time.Parse("2006-01-02T15:04:05.0000000Z", gotSys["UtcNow"].(string)); err != nil {
			t.Error(err)
		}
		if len(gotSys["RandGuid"].(string)) != 36 {
			t.Errorf("RandGuid = %v", gotSys["RandGuid"])
		}
		gotSys["UtcNow"], gotSys["RandGuid"] = wantSys["UtcNow"], wantSys["RandGuid"]
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

func body(t *testing.T, f *function, value any, about metadata) []byte {
	t.Helper()
	c, err := newCall(f, value, about)
	if err != nil {
		t.Fatal(err)
	}
	return c.body
}

func moment(t *testing.T, text string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func TestQueueCallsEqualTheExamples(t *testing.T) {
	const id, receipt = "52d53c5f-e212-487e-998b-abbe3b9d51e4", "MjNTZXAyMDI2MTA6MDc6MDEwMTIz"
	bindings := func(name, more string) string {
		return `{"bindings":[{"type":"queueTrigger","direction":"in","queueName":"lm-work","name":"` + name + `"` + more + `}]}`
	}
	tests := []struct {
		file, function, config, text string
		message                      Message
	}{
		{
			"queue-text.recorded.json", "queue", bindings("queue", ""), "hello!!",
			Message{
				ID: id, PopReceipt: "MThGZWIyMDI1MDM6MDY6MjA3NjM1", DequeueCount: 1,
				InsertionTime: moment(t, "2025-02-18T03:06:19.4Z"), ExpirationTime: moment(t, "2025-02-25T03:06:19.4Z"), NextVisibleTime: moment(t, "2025-02-18T03:16:20.7Z"),
			},
		},
		{
			"queue-json-object.json", "work", string(read(t, "config-function-queue.json")),
			`{"kind":"reconcile","pair":"lm-pair-1","attempt":2,"detail":{"reason":"event","vm":"lm-1"},"tags":["a","b"]}`,
			Message{DequeueCount: 2},
		},
		{
			"queue-json-name-collision.json", "work", string(read(t, "config-function-queue.json")),
			`{"id":"job-17","requestedAt":"2026-09-23T10:06:59Z","sys":"oops"}`,
			Message{DequeueCount: 1},
		},
		{
			"queue-json-array.json", "work", string(read(t, "config-function-queue.json")),
			`["1fb6fa94-d965-4306-abe0-4810f0774e97","two"]`,
			Message{DequeueCount: 1},
		},
		{"queue-binary.json", "work", bindings("message", `,"dataType":"binary"`), "\x00\x01hello", Message{DequeueCount: 1}},
	}
	for _, tt := range tests {
		t.Run(tt.file, func(t *testing.T) {
			m := tt.message
			if m.ID == "" {
				m.ID, m.PopReceipt = id, receipt
				m.InsertionTime, m.ExpirationTime = moment(t, "2026-09-23T10:07:00Z"), moment(t, "2026-09-30T10:07:00Z")
				m.NextVisibleTime = moment(t, "2026-09-23T10:17:01Z")
			}
			f := goldenHost(t, map[string]string{tt.function: tt.config}).functions[0]
			sameBody(t, tt.file, body(t, f, queueValue(f, []byte(tt.text)), queueMetadata(m)))
		})
	}
}

func TestTimerCallsEqualTheExamples(t *testing.T) {
	config := string(read(t, "config-function-timer.json"))
	last, next := moment(t, "2026-09-23T10:00:00.0041512Z"), moment(t, "2026-09-23T10:05:00Z")
	stored := TimerStatus{Last: last, Next: next, LastUpdated: last}
	tests := []struct {
		file, config string
		status       TimerStatus
		pastDue      bool
	}{
		{"timer-with-status.json", config, stored, false},
		{"timer-first-run.json", config, TimerStatus{Next: next}, false},
		{"timer-past-due.json", config, stored, true},
		{"timer-no-monitor.json", strings.Replace(config, `"useMonitor": true`, `"useMonitor": false`, 1), stored, false},
		{"timer-no-monitor.json", strings.Replace(config, "%TICK_SCHEDULE%", "*/10 * * * * *", 1), stored, false},
		{"timer-constant-interval.json", strings.Replace(config, "%TICK_SCHEDULE%", "00:00:10", 1), stored, false},
	}
	for _, tt := range tests {
		t.Run(tt.file, func(t *testing.T) {
			f := goldenHost(t, map[string]string{"tick": tt.config}).functions[0]
			sameBody(t, tt.file, body(t, f, f.timerInfo(tt.status, tt.pastDue), metadata{}))
		})
	}
}

func TestEventCallsEqualTheExamples(t *testing.T) {
	one := string(read(t, "config-function-eventgrid.json"))
	for _, file := range []string{"eventgrid-one.eventgrid.json", "eventgrid-one.cloudevents.json", "eventgrid-one.cloudevents-string-data.json"} {
		t.Run(file, func(t *testing.T) {
			data := decode(t, read(t, file))["Data"].(map[string]any)
			binding := slices.Collect(func(yield func(string) bool) {
				for name := range data {
					yield(name)
				}
			})[0]
			f := goldenHost(t, map[string]string{"events": strings.Replace(one, `"name": "event"`, `"name": "`+binding+`"`, 1)}).functions[0]
			sent, _ := json.MarshalIndent([]any{data[binding]}, "", "  ")
			calls, err := eventCalls(f, sent, false)
			if err != nil {
				t.Fatal(err)
			}
			sameBody(t, file, calls[0].body)
		})
	}
	t.Run("eventgrid-many.eventgrid.json", func(t *testing.T) {
		f := goldenHost(t, map[string]string{"eventsbatch": string(read(t, "config-function-eventgrid-many.json"))}).functions[0]
		sent := decode(t, read(t, "eventgrid-many.eventgrid.json"))["Data"].(map[string]any)["events"].(string)
		calls, err := eventCalls(f, []byte(sent), false)
		if err != nil || len(calls) != 1 {
			t.Fatal(calls, err)
		}
		sameBody(t, "eventgrid-many.eventgrid.json", calls[0].body)
	})
}

func TestHTTPCallEqualsTheExample(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got []byte
		root := fstest.MapFS{
			"host.json":            {Data: read(t, "config-host.json")},
			"status/function.json": {Data: read(t, "config-function-http.json")},
		}
		tr := try(t, root, func(w http.ResponseWriter, r *http.Request) {
			got, _ = io.ReadAll(r.Body)
			answerWith(string(read(t, "answer-ok-http.json")))(w, r)
		}, nil)
		reply := tr.request("POST", "http://localhost:7071/api/pairs/lm-pair-1?dry=true", `{"action":"reconcile","force":false}`,
			"Accept", "*/*", "Content-Type", "application/json", "User-Agent", "curl/8.5.0")
		sameBody(t, "http-not-forwarded.json", got)
		if reply.Code != 202 || reply.Header().Get("Location") != "/api/pairs/lm-pair-1" || reply.Body.String() != `{"accepted":true}` {
			t.Errorf("answer = %d %v %s", reply.Code, reply.Header(), reply.Body)
		}
		if err := tr.finish(); err != nil {
			t.Error(err)
		}
	})
}

// rawHead returns the request line and the header names in their spelling,
// sorted.
func rawHead(t *testing.T, message []byte) (line string, names []string, rest []byte) {
	t.Helper()
	head, rest, ok := bytes.Cut(message, []byte("\r\n\r\n"))
	if !ok {
		t.Fatalf("no header end in %q", message)
	}
	lines := strings.Split(string(head), "\r\n")
	for _, l := range lines[1:] {
		name, _, _ := strings.Cut(l, ":")
		names = append(names, name)
	}
	slices.Sort(names)
	return lines[0], names, rest
}

func TestRequestsOnTheWireEqualTheExamples(t *testing.T) {
	for _, tt := range []struct {
		file       string
		withLength bool
	}{{"request-azure.http", false}, {"request-local.http", true}} {
		t.Run(tt.file, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := goldenHost(t, map[string]string{"work": string(read(t, "config-function-queue.json"))}).functions[0]
				c, err := newCall(f, "hello!!", metadata{})
				if err != nil {
					t.Fatal(err)
				}
				p := &memoryProcess{conns: make(chan net.Conn, 1), listening: make(chan struct{}), ended: make(chan struct{})}
				close(p.listening)
				w := &worker{process: p, base: "http://127.0.0.1:34567", ended: p.ended}
				w.client = w.newClient(true)
				var wire bytes.Buffer
				served := make(chan *http.Request)
				go func() {
					conn, _ := p.Accept()
					request, err := http.ReadRequest(bufio.NewReader(io.TeeReader(conn, &wire)))
					if err != nil {
						t.Error(err)
					}
					_, _ = io.Copy(io.Discard, request.Body)
					_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
					_ = conn.Close()
					served <- request
				}()
				if _, err := w.post(t.Context(), c, tt.withLength); err != nil {
					t.Fatal(err)
				}
				request := <-served
				wantLine, wantNames, _ := rawHead(t, read(t, tt.file))
				line, names, _ := rawHead(t, wire.Bytes())
				if line != wantLine || !slices.Equal(names, wantNames) {
					t.Errorf("got %q %v, want %q %v", line, names, wantLine, wantNames)
				}
				want, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(read(t, tt.file))))
				if err != nil {
					t.Fatal(err)
				}
				for _, name := range []string{"User-Agent", "Content-Type", "X-Azure-Functions-HostVersion"} {
					if got, want := request.Header.Get(name), want.Header.Get(name); got != want {
						t.Errorf("%s = %q, want %q", name, got, want)
					}
				}
				w.client.CloseIdleConnections()
			})
		})
	}
}

func TestPingOnTheWireEqualsTheExample(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &memoryProcess{conns: make(chan net.Conn, 1), listening: make(chan struct{}), ended: make(chan struct{})}
		close(p.listening)
		w := &worker{process: p, base: "http://127.0.0.1:34567", ended: p.ended}
		w.client = w.newClient(true)
		wire := make(chan []byte)
		go func() {
			conn, _ := p.Accept()
			buffer := make([]byte, 4096)
			n, _ := conn.Read(buffer)
			_, _ = io.WriteString(conn, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
			_ = conn.Close()
			wire <- buffer[:n]
		}()
		if err := w.ping(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got, want := string(<-wire), string(read(t, "request-ping.http")); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

func TestWebhookExchangesEqualTheExamples(t *testing.T) {
	for _, tt := range []struct{ request, response string }{
		{"webhook-validation", "webhook-validation"},
		{"webhook-options", "webhook-options"},
		{"webhook-notification", "webhook-notification"},
		{"webhook-notification-cloudevents", "webhook-notification"},
	} {
		t.Run(tt.request, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tr := try(t, app("", "events", eventIn), answerWith(fine), nil)
				request, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(read(t, tt.request+".request.http"))))
				if err != nil {
					t.Fatal(err)
				}
				recorder := httptest.NewRecorder()
				tr.Handler().ServeHTTP(recorder, request)
				want, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(read(t, tt.response+".response.http"))), nil)
				if err != nil {
					t.Fatal(err)
				}
				wantBody, _ := io.ReadAll(want.Body)
				want.Header.Del("Content-Length")
				if recorder.Code != want.StatusCode || recorder.Body.String() != string(wantBody) {
					t.Errorf("got %d %q, want %d %q", recorder.Code, recorder.Body, want.StatusCode, wantBody)
				}
				if diff := cmp.Diff(want.Header, recorder.Header(), cmp.Transformer("empty", func(h http.Header) http.Header {
					if h == nil {
						return http.Header{}
					}
					return h
				})); diff != "" {
					t.Errorf("headers (-want +got):\n%s", diff)
				}
				if err := tr.finish(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestAdminEndpointsTakeTheExamples(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex // guards bodies
		bodies := map[string]map[string]any{}
		tr := try(t, app("", "events", eventIn, "tick", timerIn, "work", queueIn), func(w http.ResponseWriter, r *http.Request) {
			data, _ := io.ReadAll(r.Body)
			mu.Lock()
			bodies[r.URL.Path] = decode(t, data)["Data"].(map[string]any)
			mu.Unlock()
			answerWith(fine)(w, r)
		}, nil)
		for function, file := range map[string]string{"events": "eventgrid", "tick": "timer", "work": "queue"} {
			if reply := tr.request("POST", "/admin/functions/"+function, string(read(t, "admin-invoke-"+file+".request.json"))); reply.Code != 202 {
				t.Errorf("%s: %d %s", function, reply.Code, reply.Body)
			}
		}
		synctest.Wait()
		if got := bodies["/work"]["message"]; got != `"{\"kind\":\"reconcile\",\"pair\":\"lm-pair-1\"}"` {
			t.Errorf("message = %v", got)
		}
		if _, ok := bodies["/events"]["event"].(map[string]any)["eventType"]; !ok {
			t.Errorf("event = %v", bodies["/events"])
		}
		if _, ok := bodies["/tick"]["timer"].(map[string]any)["Schedule"]; !ok {
			t.Errorf("timer = %v", bodies["/tick"])
		}

		got := decode(t, tr.request("GET", "/admin/host/status", "").Body.Bytes())
		want := decode(t, read(t, "admin-host-status.response.json"))
		if diff := cmp.Diff(sortedKeys(want), sortedKeys(got)); diff != "" {
			t.Errorf("status fields (-want +got):\n%s", diff)
		}
		if err := tr.finish(); err != nil {
			t.Error(err)
		}
	})
}
