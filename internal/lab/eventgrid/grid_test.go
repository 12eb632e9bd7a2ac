package eventgrid

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// arrival is one request that reached the webhook.
type arrival struct {
	at     time.Duration // since the start of the test
	header http.Header
	body   string
	ids    []string
}

// webhook is an endpoint in memory; status says what delivery number n, from
// 1, is answered. 0 gives no answer at all.
type webhook struct {
	start  time.Time
	status func(n int) int

	mu       sync.Mutex
	arrivals []arrival
}

func (h *webhook) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method == http.MethodOptions {
		return reply(200, "", "WebHook-Allowed-Origin", r.Header["WebHook-Request-Origin"][0]), nil
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	if r.Header["aeg-event-type"][0] == "SubscriptionValidation" {
		var events []struct{ Data validation }
		if err := json.Unmarshal(body, &events); err != nil {
			return nil, err
		}
		return reply(200, `{"validationResponse":"`+events[0].Data.ValidationCode+`"}`), nil
	}
	status := h.receive(r, body)
	if status == 0 {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	return reply(status, ""), nil
}

func (h *webhook) receive(r *http.Request, body []byte) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	a := arrival{at: time.Since(h.start), header: r.Header, body: string(body)}
	var events []struct{ ID string }
	if body[0] == '{' {
		body = slices.Concat([]byte("["), body, []byte("]"))
	}
	if json.Unmarshal(body, &events) == nil {
		for _, e := range events {
			a.ids = append(a.ids, e.ID)
		}
	}
	h.arrivals = append(h.arrivals, a)
	if h.status == nil {
		return 200
	}
	return h.status(len(h.arrivals))
}

func (h *webhook) got() []arrival {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.arrivals)
}

func reply(status int, body string, headers ...string) *http.Response {
	header := http.Header{}
	for i := 0; i < len(headers); i += 2 {
		header.Set(headers[i], headers[i+1])
	}
	return &http.Response{StatusCode: status, Header: header, Body: io.NopCloser(strings.NewReader(body))}
}

func always(status int) func(int) int { return func(int) int { return status } }

func event(id string) Event {
	return Event{ID: id, Type: "T", Subject: "/subscriptions/s/vm", Source: "/subscriptions/s", Time: time.Now(), Data: map[string]string{"a": "<b>"}, DataVersion: "1"}
}

// start makes a grid with one subscription to the webhook.
func start(t *testing.T, h *webhook, options Options, change func(*Subscription)) *Grid {
	t.Helper()
	h.start = time.Now()
	g := New(&http.Client{Transport: h}, options, nil)
	s := Subscription{Name: "lm-events", Endpoint: "https://app.example/hook?code=key", Schema: EventGridSchema}
	if change != nil {
		change(&s)
	}
	if err := g.Subscribe(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	return g
}

func settled(t *testing.T, g *Grid) {
	t.Helper()
	if err := g.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestRetryLadder(t *testing.T) {
	const s, m, h = time.Second, time.Minute, time.Hour
	tests := []struct {
		name     string
		options  Options
		function bool
		status   func(int) int
		waits    []time.Duration // from the end of a try to the next one, without the spread
		answer   time.Duration   // how long each try takes
		reason   Reason
	}{
		{"the first success ends it", Options{}, false, always(200), nil, 0, 0},
		{"202 is a success", Options{}, false, always(202), nil, 0, 0},
		{"204 is the last success", Options{}, false, always(204), nil, 0, 0},
		{"205 is none", Options{MaxDeliveryAttempts: 2}, false, always(205), []time.Duration{10 * s}, 0, AttemptsExhausted},
		{"one failure is tried again after ten seconds", Options{}, false, failing(1, 500), []time.Duration{10 * s}, 0, 0},
		{
			"failures climb the ladder until the event is a day old",
			Options{},
			false, always(500),
			[]time.Duration{10 * s, 30 * s, m, 5 * m, 10 * m, 30 * m, h, 3 * h, 6 * h, 12 * h},
			0, Expired,
		},
		{"attempts are limited", Options{MaxDeliveryAttempts: 3}, false, always(500), []time.Duration{10 * s, 30 * s}, 0, AttemptsExhausted},
		{"the time to live is limited", Options{TimeToLive: 2 * m}, false, always(500), []time.Duration{10 * s, 30 * s, m}, 0, Expired},
		{"no answer within 30 seconds is a failure", Options{MaxDeliveryAttempts: 2}, false, always(0), []time.Duration{10 * s}, 30 * s, AttemptsExhausted},
		{"503 waits at least 30 seconds", Options{MaxDeliveryAttempts: 2}, false, always(503), []time.Duration{30 * s}, 0, AttemptsExhausted},
		{"408 waits at least two minutes", Options{MaxDeliveryAttempts: 2}, false, always(408), []time.Duration{2 * m}, 0, AttemptsExhausted},
		{"404 waits at least five minutes", Options{MaxDeliveryAttempts: 2}, false, always(404), []time.Duration{5 * m}, 0, AttemptsExhausted},
		{"400 is given up at once", Options{}, false, always(400), nil, 0, Undeliverable},
		{"403 is given up at once", Options{}, false, always(403), nil, 0, Undeliverable},
		{"413 is given up at once", Options{}, false, always(413), nil, 0, Undeliverable},
		{"401 of a webhook is given up at once", Options{}, false, always(401), nil, 0, Undeliverable},
		{"401 of a function app waits five minutes", Options{MaxDeliveryAttempts: 2}, true, always(401), []time.Duration{5 * m}, 0, AttemptsExhausted},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				hook := &webhook{status: tt.status}
				g := start(t, hook, tt.options, func(s *Subscription) { s.AzureFunction = tt.function })
				g.Publish(event("e1"))
				settled(t, g)
				got := hook.got()
				// The last step may lie behind the time to live because of the spread.
				if len(got) != len(tt.waits)+1 && !(tt.reason == Expired && len(got) == len(tt.waits)) {
					t.Fatalf("%d tries, want %d", len(got), len(tt.waits)+1)
				}
				for i := 1; i < len(got); i++ {
					wait := got[i].at - got[i-1].at - tt.answer
					if wait < tt.waits[i-1] || wait > tt.waits[i-1]*11/10 {
						t.Errorf("wait %d = %v, want %v and up to a tenth more", i, wait, tt.waits[i-1])
					}
					if n := got[i].header["aeg-delivery-count"][0]; n != fmt.Sprint(i) {
						t.Errorf("delivery count of try %d = %s", i, n)
					}
				}
				dead := g.DeadLetters()
				if tt.reason == 0 && len(dead) != 0 || tt.reason != 0 && (len(dead) != 1 || dead[0].Reason != tt.reason || dead[0].Attempts != len(got)) {
					t.Errorf("dead letters = %+v, want reason %v", dead, tt.reason)
				}
				g.Close()
			})
		})
	}
}

func failing(times, status int) func(int) int {
	return func(n int) int {
		if n <= times {
			return status
		}
		return 200
	}
}

func TestNetworkFailureIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tries := 0
		g := New(&http.Client{Transport: tripper(func(*http.Request) (*http.Response, error) {
			if tries++; tries == 1 {
				return nil, errors.New("connection refused")
			}
			return reply(200, ""), nil
		})}, Options{}, nil)
		err := g.Subscribe(t.Context(), Subscription{Name: "a", Endpoint: "https://app.example/", Schema: CloudEventSchemaV1_0, AzureFunction: true})
		if err != nil {
			t.Fatal(err)
		}
		g.Publish(event("e1"))
		settled(t, g)
		if tries != 2 {
			t.Errorf("%d tries", tries)
		}
		g.Close()
	})
}

type tripper func(*http.Request) (*http.Response, error)

func (f tripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestFaults(t *testing.T) {
	tests := []struct {
		name   string
		faults Faults
		copies int
		after  time.Duration // the first arrival, at least
		within time.Duration // the last arrival, at most
	}{
		{"on a good day each event comes once, soon", Faults{}, 1, time.Second, 2 * time.Second},
		{"duplicates come n more times", Faults{Duplicate: 2}, 3, time.Second, 2 * time.Second},
		{"late events come late", Faults{Late: time.Hour}, 1, time.Hour, time.Hour + 2*time.Second},
		{"lost events never come", Faults{Lose: 1}, 0, 0, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				hook := &webhook{}
				g := start(t, hook, Options{Seed: 1, Phase: 3 * time.Microsecond, Delay: time.Second, Jitter: time.Second / 2}, nil)
				g.SetFaults(tt.faults)
				if g.Faults() != tt.faults {
					t.Error("Faults isn't what was set")
				}
				for i := range 10 {
					g.Publish(event(fmt.Sprint("e", i)))
				}
				g.SetFaults(Faults{Lose: 1}) // concerns later events only
				settled(t, g)
				got, counts := hook.got(), map[string]int{}
				for _, a := range got {
					counts[a.ids[0]]++
				}
				if len(got) != 10*tt.copies || tt.copies > 0 && len(counts) != 10 {
					t.Fatalf("arrivals %v", counts)
				}
				if len(got) > 0 && (got[0].at < tt.after || got[len(got)-1].at > tt.within) {
					t.Errorf("arrived from %v to %v", got[0].at, got[len(got)-1].at)
				}
				if len(g.DeadLetters()) != 0 {
					t.Error("a dead letter appeared")
				}
				g.Close()
			})
		})
	}
}

func TestLossIsAProbability(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hook := &webhook{}
		g := start(t, hook, Options{Seed: 5}, nil)
		g.SetFaults(Faults{Lose: 0.3})
		for i := range 200 {
			g.Publish(event(fmt.Sprint("e", i)))
		}
		settled(t, g)
		if n := len(hook.got()); n < 110 || n > 170 {
			t.Errorf("%d of 200 arrived at a loss of 0.3", n)
		}
		g.Close()
	})
}

func TestReorder(t *testing.T) {
	order := func(reorder time.Duration, seed uint64) (ids []string) {
		synctest.Test(t, func(t *testing.T) {
			hook := &webhook{}
			g := start(t, hook, Options{Seed: seed, Delay: time.Second}, nil)
			g.SetFaults(Faults{Reorder: reorder})
			for i := range 20 {
				g.Publish(event(fmt.Sprintf("e%02d", i)))
			}
			settled(t, g)
			for _, a := range hook.got() {
				ids = append(ids, a.ids...)
			}
			g.Close()
		})
		return ids
	}
	if got := order(0, 1); !slices.IsSorted(got) {
		t.Errorf("without the fault: %v", got)
	}
	first := order(time.Minute, 1)
	if slices.IsSorted(first) {
		t.Error("with the fault the order stayed")
	}
	if again := order(time.Minute, 1); !slices.Equal(first, again) {
		t.Errorf("the same seed gave %v and %v", first, again)
	}
	if other := order(time.Minute, 2); slices.Equal(first, other) {
		t.Error("another seed gave the same order")
	}
}

func TestBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hook := &webhook{status: failing(1, 500)}
		g := start(t, hook, Options{Delay: time.Second}, func(s *Subscription) { s.MaxEventsPerBatch = 3 })
		for i := range 4 {
			g.Publish(event(fmt.Sprint("e", i)))
		}
		settled(t, g)
		var got []string
		for _, a := range hook.got() {
			got = append(got, strings.Join(a.ids, ","))
		}
		// All of the failed batch come again; the rest isn't held up by it.
		if want := []string{"e0,e1,e2", "e3", "e0,e1,e2"}; !slices.Equal(got, want) {
			t.Errorf("batches %q, want %q", got, want)
		}
		g.Close()
	})
}

func TestLateEventDoesNotGoAlongWithAnEarlierBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hook := &webhook{}
		g := start(t, hook, Options{Delay: time.Second}, func(s *Subscription) { s.MaxEventsPerBatch = 10 })
		g.SetFaults(Faults{Late: time.Minute})
		g.Publish(event("late"))
		g.SetFaults(Faults{})
		g.Publish(event("prompt"))
		settled(t, g)
		if got := hook.got(); len(got) != 2 || got[0].ids[0] != "prompt" || got[1].at < time.Minute {
			t.Errorf("arrivals %+v", got)
		}
		g.Close()
	})
}

func TestReorderShufflesABatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hook := &webhook{}
		g := start(t, hook, Options{Seed: 3, Delay: time.Second}, func(s *Subscription) { s.MaxEventsPerBatch = 20 })
		g.SetFaults(Faults{Reorder: time.Millisecond})
		for i := range 20 {
			g.Publish(event(fmt.Sprintf("e%02d", i)))
		}
		settled(t, g)
		if got := hook.got(); len(got) != 1 || len(got[0].ids) != 20 || slices.IsSorted(got[0].ids) {
			t.Errorf("arrivals %+v", got)
		}
		g.Close()
	})
}

func TestBatchIsDeadLetteredAsAWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hook := &webhook{status: always(413)}
		g := start(t, hook, Options{Delay: time.Second}, func(s *Subscription) { s.MaxEventsPerBatch = 10 })
		g.Publish(event("e1"))
		g.Publish(event("e2"))
		settled(t, g)
		if dead := g.DeadLetters(); len(hook.got()) != 1 || len(dead) != 2 || dead[0].LastStatus != 413 || !bytes.Contains(dead[1].Event, []byte("e2")) {
			t.Errorf("%d requests, dead letters %+v", len(hook.got()), dead)
		}
		g.Close()
	})
}

func TestDeliveredForm(t *testing.T) {
	tests := []struct {
		name        string
		schema      Schema
		batch       int
		contentType string
		start       string
	}{
		{"the Event Grid schema comes as an array", EventGridSchema, 1, "application/json; charset=utf-8", `[{"id":"e1","topic":`},
		{"a CloudEvent comes as an object", CloudEventSchemaV1_0, 1, "application/cloudevents+json; charset=utf-8", `{"id":"e1","source":`},
		{"batched CloudEvents come as an array", CloudEventSchemaV1_0, 2, "application/cloudevents-batch+json; charset=utf-8", `[{"id":"e1","source":`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				hook := &webhook{}
				g := start(t, hook, Options{}, func(s *Subscription) { s.Schema, s.MaxEventsPerBatch = tt.schema, tt.batch })
				g.Publish(event("e1"))
				settled(t, g)
				got := hook.got()[0]
				if !strings.HasPrefix(got.body, tt.start) || !strings.Contains(got.body, `"data":{"a":"<b>"}`) {
					t.Errorf("body = %s", got.body)
				}
				for name, want := range map[string]string{
					"Content-Type": tt.contentType, "aeg-event-type": "Notification", "aeg-subscription-name": "LM-EVENTS",
					"aeg-delivery-count": "0", "aeg-metadata-version": "1", "aeg-data-version": "1", "aeg-output-event-id": "e1",
				} {
					if got := got.header[name]; len(got) != 1 || got[0] != want {
						t.Errorf("%s = %q, want %q", name, got, want)
					}
				}
				g.Close()
			})
		})
	}
}

func TestFilters(t *testing.T) {
	tests := []struct {
		name   string
		types  []string
		prefix string
		want   bool
	}{
		{"no filter takes everything", nil, "", true},
		{"a listed type is taken", []string{"X", "T"}, "", true},
		{"another type isn't", []string{"X"}, "", false},
		{"a subject with the prefix is taken whatever its letter case", nil, "/SUBSCRIPTIONS/s/", true},
		{"another subject isn't", nil, "/subscriptions/other", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				hook := &webhook{}
				g := start(t, hook, Options{}, func(s *Subscription) { s.EventTypes, s.SubjectBeginsWith = tt.types, tt.prefix })
				g.Publish(event("e1"))
				settled(t, g)
				if got := len(hook.got()) == 1; got != tt.want {
					t.Errorf("delivered = %v, want %v", got, tt.want)
				}
				g.Close()
			})
		})
	}
}

func TestHandshake(t *testing.T) {
	echo := func(r *http.Request) *http.Response {
		response, _ := (&webhook{}).RoundTrip(r)
		return response
	}
	tests := []struct {
		name   string
		schema Schema
		answer func(*http.Request) *http.Response
		ok     bool
	}{
		{"the code given back proves it", EventGridSchema, echo, true},
		{"another code doesn't", EventGridSchema, func(*http.Request) *http.Response { return reply(200, `{"validationResponse":"x"}`) }, false},
		{"an empty answer doesn't", EventGridSchema, func(*http.Request) *http.Response { return reply(200, "") }, false},
		{"a refusal doesn't", EventGridSchema, func(*http.Request) *http.Response { return reply(401, "") }, false},
		{"the allowed origin proves it", CloudEventSchemaV1_0, echo, true},
		{"any origin allowed proves it", CloudEventSchemaV1_0, func(*http.Request) *http.Response { return reply(200, "", "WebHook-Allowed-Origin", "*") }, true},
		{"another origin doesn't", CloudEventSchemaV1_0, func(*http.Request) *http.Response { return reply(200, "", "WebHook-Allowed-Origin", "x") }, false},
		{"no origin doesn't", CloudEventSchemaV1_0, func(*http.Request) *http.Response { return reply(200, "") }, false},
		{"another status doesn't", CloudEventSchemaV1_0, func(*http.Request) *http.Response { return reply(404, "", "WebHook-Allowed-Origin", "*") }, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := New(&http.Client{Transport: tripper(func(r *http.Request) (*http.Response, error) { return tt.answer(r), nil })}, Options{}, nil)
			defer g.Close()
			err := g.Subscribe(t.Context(), Subscription{Name: "a", Endpoint: "https://app.example/hook?code=secret", Schema: tt.schema})
			if (err == nil) != tt.ok {
				t.Errorf("Subscribe = %v, want success %v", err, tt.ok)
			}
		})
	}
}

func TestHandshakeWaitsThirtySeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(&http.Client{Transport: tripper(func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		})}, Options{}, nil)
		began := time.Now()
		err := g.Subscribe(t.Context(), Subscription{Name: "a", Endpoint: "https://app.example/hook?code=secret", Schema: CloudEventSchemaV1_0})
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != 30*time.Second || strings.Contains(err.Error(), "secret") {
			t.Errorf("Subscribe = %v after %v", err, time.Since(began))
		}
		g.Close()
	})
}

func TestSubscriptionMistakes(t *testing.T) {
	good := Subscription{Name: "a", Endpoint: "https://app.example/", Schema: EventGridSchema, AzureFunction: true}
	tests := []struct {
		name   string
		change func(*Subscription)
	}{
		{"a name is required", func(s *Subscription) { s.Name = "" }},
		{"a schema is required", func(s *Subscription) { s.Schema = 0 }},
		{"the endpoint must be a URL", func(s *Subscription) { s.Endpoint = "app.example" }},
		{"a batch has 5000 events at most", func(s *Subscription) { s.MaxEventsPerBatch = 5001 }},
		{"a name is taken once", func(s *Subscription) { s.Name = "taken" }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := New(http.DefaultClient, Options{}, nil)
			defer g.Close()
			taken := good
			taken.Name = "taken"
			if err := g.Subscribe(t.Context(), taken); err != nil {
				t.Fatal(err)
			}
			s := good
			tt.change(&s)
			if err := g.Subscribe(t.Context(), s); err == nil {
				t.Errorf("%+v was accepted", s)
			}
		})
	}
}

func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hook := &webhook{status: always(0)}
		var lines []string
		g := start(t, hook, Options{}, nil)
		g.log = func(line string) { lines = append(lines, line) }
		g.Publish(event("running"))
		time.Sleep(time.Second)
		g.SetFaults(Faults{Late: time.Hour})
		g.Publish(event("waiting"))
		began := time.Now()
		g.Close()
		if time.Since(began) != 0 {
			t.Errorf("Close took %v", time.Since(began))
		}
		g.Publish(event("after"))
		synctest.Wait()
		if len(hook.got()) != 1 || len(lines) != 2 {
			t.Errorf("%d requests, log %q", len(hook.got()), lines)
		}
		if err := g.Wait(t.Context()); err == nil {
			t.Error("Wait says that everything was delivered")
		}
	})
}

func TestWaitEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := start(t, &webhook{}, Options{Delay: time.Hour}, nil)
		g.Publish(event("e1"))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := g.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Wait = %v", err)
		}
		g.Close()
	})
}

func TestPublishPanicsOnWhatIsNoJSON(t *testing.T) {
	g := New(http.DefaultClient, Options{}, nil)
	defer g.Close()
	defer func() {
		if recover() == nil {
			t.Error("a channel was published")
		}
	}()
	g.Publish(Event{ID: "e", Data: make(chan int)})
}

func TestNames(t *testing.T) {
	for got, want := range map[fmt.Stringer]string{
		EventGridSchema: "EventGridSchema", CloudEventSchemaV1_0: "CloudEventSchemaV1_0", Schema(0): "unknown schema",
		Unknown: "Unknown", Available: "Available", Unavailable: "Unavailable", Degraded: "Degraded",
		Succeeded: "Succeeded", Failed: "Failed", Canceled: "Canceled", OperationStatus(0): "unknown status",
		Undeliverable: "Undeliverable", AttemptsExhausted: "MaxDeliveryAttemptsExceeded", Expired: "TimeToLiveExceeded", Reason(0): "unknown reason",
	} {
		if got.String() != want {
			t.Errorf("%#v = %q, want %q", got, got.String(), want)
		}
	}
}
