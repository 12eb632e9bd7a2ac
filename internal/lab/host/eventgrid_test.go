package host

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"tandem/internal/lab/eventgrid"
)

// face sends requests to the host's public face and, like a network, stops
// waiting when the sender does.
type face struct{ host *Host }

func (f face) RoundTrip(r *http.Request) (*http.Response, error) {
	served := httptest.NewRequest(r.Method, r.URL.String(), r.Body)
	served.Header = r.Header.Clone()
	for name, values := range r.Header { // the wire has one spelling only
		served.Header[http.CanonicalHeaderKey(name)] = values
	}
	answered := make(chan *httptest.ResponseRecorder, 1)
	go func() {
		recorder := httptest.NewRecorder()
		f.host.Handler().ServeHTTP(recorder, served)
		answered <- recorder
	}()
	select {
	case recorder := <-answered:
		return recorder.Result(), nil
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
}

func TestEventGridDeliversThroughTheHost(t *testing.T) {
	for _, schema := range []eventgrid.Schema{eventgrid.EventGridSchema, eventgrid.CloudEventSchemaV1_0} {
		t.Run(schema.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var calls atomic.Int32
				var got []byte
				tr := try(t, app("", "events", eventIn), func(w http.ResponseWriter, r *http.Request) {
					if calls.Add(1) == 1 {
						pause(r, 40*time.Second) // Event Grid gives up; the run goes on
					}
					got, _ = io.ReadAll(r.Body)
					answerWith(fine)(w, r)
				}, func(c *Config, _ *memory) { c.WebhookKey = "key" })
				grid := eventgrid.New(&http.Client{Transport: face{tr.Host}}, eventgrid.Options{Seed: 1, Delay: time.Second}, nil)
				err := grid.Subscribe(t.Context(), eventgrid.Subscription{
					Name: "events", Schema: schema, Endpoint: "https://app.example/runtime/webhooks/EventGrid?functionName=events&code=key",
				})
				if err != nil {
					t.Fatal(err)
				}
				const vm = "/subscriptions/s/resourceGroups/r/providers/Microsoft.Compute/virtualMachines/lm1"
				event := eventgrid.AvailabilityStatusChanged(vm, eventgrid.Available, eventgrid.Unavailable, time.Now())
				grid.Publish(event)
				if err := grid.Wait(t.Context()); err != nil {
					t.Fatal(err)
				}
				wait(time.Minute)
				var envelope struct {
					Data struct{ Event struct{ ID, Subject string } }
				}
				if err := json.Unmarshal(got, &envelope); err != nil {
					t.Fatal(err)
				}
				if seen := envelope.Data.Event; seen.ID != event.ID || seen.Subject != vm || calls.Load() != 2 || len(grid.DeadLetters()) != 0 {
					t.Errorf("%d calls, handler saw %+v", calls.Load(), seen)
				}
				grid.Close()
				if err := tr.finish(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestStatusOfARunningHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := try(t, app("", "events", eventIn), answerWith(fine), nil)
		var status hostStatus
		if err := json.Unmarshal(tr.request("GET", "/admin/host/status", "").Body.Bytes(), &status); err != nil {
			t.Fatal(err)
		}
		if status.State != "Running" || status.ProcessUptime < 1000 {
			t.Errorf("status = %+v", status)
		}
		if err := tr.finish(); err != nil {
			t.Error(err)
		}
		if got := tr.request("GET", "/admin/host/status", "").Code; got != 503 {
			t.Errorf("a stopped host answered %d", got)
		}
		if names := tr.Functions(); !slices.ContainsFunc(names, func(f FunctionInfo) bool { return f.Name == "events" && f.Trigger == "eventGridTrigger" }) {
			t.Errorf("functions = %+v", names)
		}
	})
}
