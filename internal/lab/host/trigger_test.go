package host

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

const oneAtATime = `"extensions":{"queues":{"batchSize":1,"newBatchThreshold":0,"maxPollingInterval":"00:00:02"}}`

func TestQueueMessageIsDeletedAfterSuccess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := try(t, app(oneAtATime, "work", queueIn), answerWith(fine), nil)
		tr.queues.add("work", "hello")
		wait(10 * time.Second)
		if got := tr.queues.texts("work"); len(got) != 0 {
			t.Errorf("left: %q", got)
		}
		if err := tr.finish(); err != nil {
			t.Error(err)
		}
	})
}

func TestQueuePoison(t *testing.T) {
	fails := func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) }
	tests := []struct {
		name    string
		text    string // as the service holds it
		handler http.HandlerFunc
		calls   int
		poison  []string
	}{
		{"a message that keeps failing is called five times and moved", "aGVsbG8=", fails, 5, []string{"hello"}},
		{"a message that isn't base64 is moved without a call", "hello!", fails, 0, []string{"not base64: hello!"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				calls := 0
				tr := try(t, app(oneAtATime, "work", queueIn), func(w http.ResponseWriter, r *http.Request) {
					calls++
					tt.handler(w, r)
				}, nil)
				_ = tr.queues.Enqueue(t.Context(), "work", tt.text)
				wait(time.Minute)
				if got := tr.queues.texts("work-poison"); calls != tt.calls || !slices.Equal(got, tt.poison) || len(tr.queues.texts("work")) != 0 {
					t.Errorf("%d calls, poison %q, left %q", calls, got, tr.queues.texts("work"))
				}
				if err := tr.finish(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestMessageIsMovedRightAfterItsLastFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		members := strings.Replace(oneAtATime, `"batchSize"`, `"visibilityTimeout":"01:00:00","maxDequeueCount":2,"batchSize"`, 1)
		tr := try(t, app(members, "work", queueIn), func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) }, nil)
		tr.queues.add("work", "hello")
		wait(90 * time.Minute)
		if got := tr.queues.texts("work-poison"); len(got) != 1 {
			t.Errorf("half an hour after the second failure the poison queue holds %q", got)
		}
		if err := tr.finish(); err != nil {
			t.Error(err)
		}
	})
}

func TestPoisonQueueHasNoPoisonQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		tr := try(t, app(oneAtATime, "work", strings.Replace(queueIn, `"work"`, `"work-poison"`, 1)), func(w http.ResponseWriter, _ *http.Request) {
			calls++
			w.WriteHeader(500)
		}, nil)
		tr.queues.add("work-poison", "hello")
		wait(2 * time.Hour)
		if got := tr.queues.texts("work-poison"); len(got) != 1 || calls < 6 || len(tr.queues.texts("work-poison-poison")) != 0 {
			t.Errorf("%d calls, left %q", calls, got)
		}
		if err := tr.finish(); err != nil {
			t.Error(err)
		}
	})
}

func TestFailedMessageComesBackAfterVisibilityTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var at []time.Time
		members := strings.Replace(oneAtATime, `"batchSize"`, `"visibilityTimeout":"00:00:30","batchSize"`, 1)
		tr := try(t, app(members, "work", queueIn), func(w http.ResponseWriter, r *http.Request) {
			if at = append(at, time.Now()); len(at) == 1 {
				w.WriteHeader(500)
				return
			}
			answerWith(fine)(w, r)
		}, nil)
		tr.queues.add("work", "hello")
		wait(2 * time.Minute)
		if len(at) != 2 || at[1].Sub(at[0]) < 30*time.Second || at[1].Sub(at[0]) > 33*time.Second {
			t.Errorf("calls at %v", at)
		}
		if err := tr.finish(); err != nil {
			t.Error(err)
		}
	})
}

func TestLongMessageStaysHidden(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		tr := try(t, app(oneAtATime+`,"functionTimeout":"-1"`, "work", queueIn), func(w http.ResponseWriter, r *http.Request) {
			calls++
			pause(r, 25*time.Minute)
			answerWith(fine)(w, r)
		}, nil)
		tr.queues.add("work", "hello")
		wait(40 * time.Minute)
		renewals := 0
		for _, call := range tr.queues.calls {
			if call == "update m1 10m0s" {
				renewals++
			}
		}
		if calls != 1 || renewals < 4 || len(tr.queues.texts("work")) != 0 {
			t.Errorf("%d calls, %d renewals, left %q", calls, renewals, tr.queues.texts("work"))
		}
		if err := tr.finish(); err != nil {
			t.Error(err)
		}
	})
}

func TestHaltLeavesTheMessageToReappear(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := try(t, app(oneAtATime, "work", queueIn), func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, nil)
		tr.queues.add("work", "hello")
		wait(10 * time.Second)
		tr.Halt()
		<-tr.done
		if got, _ := tr.queues.Dequeue(t.Context(), "work", 1, 0); len(got) != 0 {
			t.Error("the message was released")
		}
		wait(10 * time.Minute)
		if got, _ := tr.queues.Dequeue(t.Context(), "work", 1, 0); len(got) != 1 || got[0].DequeueCount != 2 {
			t.Errorf("after ten minutes: %+v", got)
		}
		tr.cancel()
	})
}

func TestQueueParallelism(t *testing.T) {
	tests := []struct {
		name             string
		batch, threshold int
	}{
		{"one at a time", 1, 0},
		{"a whole batch", 4, 0},
		{"a batch and the threshold", 4, 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var mu sync.Mutex
				running, most, calls := 0, 0, 0
				members := fmt.Sprintf(`"extensions":{"queues":{"batchSize":%d,"newBatchThreshold":%d}}`, tt.batch, tt.threshold)
				tr := try(t, app(members, "work", queueIn), func(w http.ResponseWriter, r *http.Request) {
					mu.Lock()
					running++
					calls++
					most = max(most, running)
					n := calls
					mu.Unlock()
					pause(r, time.Duration(n%7+1)*time.Second)
					mu.Lock()
					running--
					mu.Unlock()
					answerWith(fine)(w, r)
				}, nil)
				for i := range 40 {
					tr.queues.add("work", fmt.Sprint("message ", i))
				}
				wait(10 * time.Minute)
				if calls != 40 || most != tt.batch+tt.threshold {
					t.Errorf("%d calls, at most %d at once, want %d", calls, most, tt.batch+tt.threshold)
				}
				if err := tr.finish(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestBackoffGrowsToTheLongestInterval(t *testing.T) {
	b := newBackoff(newStream(7, "poll"), 2*time.Second)
	last := time.Duration(0)
	for i := range 10 {
		wait := b.next()
		if wait < last || wait < 100*time.Millisecond || wait > 2*time.Second {
			t.Errorf("wait %d = %v after %v", i, wait, last)
		}
		last = wait
	}
	if last != 2*time.Second {
		t.Errorf("last wait = %v", last)
	}
	if b.reset(); b.next() != 100*time.Millisecond {
		t.Error("reset doesn't start from 100 ms")
	}
}

// ticks collects the runs of a timer function.
type ticks struct {
	mu   sync.Mutex
	at   []time.Time
	late []bool
	took time.Duration
}

func (k *ticks) serve(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Data struct{ Timer struct{ IsPastDue bool } }
	}
	data, _ := io.ReadAll(r.Body)
	_ = json.Unmarshal(data, &body)
	k.mu.Lock()
	k.at, k.late = append(k.at, time.Now().UTC()), append(k.late, body.Data.Timer.IsPastDue)
	k.mu.Unlock()
	pause(r, k.took)
	answerWith(fine)(w, r)
}

// runs lists when the runs were and which of them were past due.
func (k *ticks) runs() ([]time.Time, []bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.at), slices.Clone(k.late)
}

// seconds lists when the runs were, in whole seconds of the day.
func (k *ticks) seconds() []int {
	var all []int
	runs, _ := k.runs()
	for _, at := range runs {
		all = append(all, at.Hour()*3600+at.Minute()*60+at.Second())
	}
	return all
}

func TestTimer(t *testing.T) {
	midnight := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC) // where a bubble starts
	last := midnight.Add(-10 * time.Minute)
	tests := []struct {
		name    string
		binding string
		took    time.Duration
		stored  TimerStatus
		gap     time.Duration
		want    []int // seconds after midnight, within 20 minutes
		late    bool  // the first run is past due
	}{
		{"without a status the first run is at the next time", timerIn, 0, TimerStatus{}, 0, []int{300, 600, 900}, false},
		{"a missed time is made up for once, at start", timerIn, 0, TimerStatus{Last: last, Next: last.Add(5 * time.Minute), LastUpdated: last}, 0, []int{0, 300, 600, 900}, true},
		{"a time that is still to come isn't past due", timerIn, 0, TimerStatus{Last: midnight, Next: midnight.Add(5 * time.Minute), LastUpdated: midnight}, 0, []int{300, 600, 900}, false},
		{"a changed schedule isn't past due", timerIn, 0, TimerStatus{Last: last, Next: last.Add(time.Minute), LastUpdated: last}, 0, []int{300, 600, 900}, false},
		{"runOnStartup runs at start", startupIn, 0, TimerStatus{}, 0, []int{0, 300, 600, 900}, false},
		{"an overrun leads to one run at once", timerIn, 7 * time.Minute, TimerStatus{}, 0, []int{300, 720, 1140}, false},
		{"a lease of a predecessor delays the start", timerIn, 0, TimerStatus{}, 2 * time.Minute, []int{300, 600, 900}, false},
		{"a run missed while waiting for the lease isn't made up for without a status", timerIn, 0, TimerStatus{}, 6 * time.Minute, []int{600, 900}, false},
		{"an interval counts from the start of the run before", `{"type":"timerTrigger","direction":"in","name":"timer","schedule":"00:06:00"}`, 0, TimerStatus{}, 0, []int{360, 720, 1080}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := &ticks{took: tt.took}
				store := &TimerStore{}
				if !tt.stored.Last.IsZero() {
					store.SetStatus("tick", tt.stored)
				}
				tr := try(t, app("", "tick", tt.binding), k.serve, func(c *Config, _ *memory) {
					c.Timers, c.TimerLeaseGap = store, tt.gap
				})
				wait(19*time.Minute + 30*time.Second)
				if got := k.seconds(); !slices.Equal(got, tt.want) {
					t.Errorf("runs at %v, want %v", got, tt.want)
				}
				if _, late := k.runs(); len(late) > 0 && (late[0] != tt.late || slices.Contains(late[1:], true)) {
					t.Errorf("past due = %v", late)
				}
				if err := tr.finish(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestTimerRunsOnOneHostAndMovesWhenItDies(t *testing.T) {
	for _, tt := range []struct {
		name        string
		end         func(*trial)
		after, upTo int // the first quick tick of the other host, seconds after the end
		held        bool
	}{
		{"after a clean stop within a minute", func(tr *trial) { _ = tr.finish() }, 0, 75, false},
		{"after a death within two minutes, not at once", func(tr *trial) {
			tr.Halt()
			<-tr.done
		}, 15, 135, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := &TimerStore{}
				share := func(c *Config, _ *memory) { c.Timers = store }
				one, two := &ticks{}, &ticks{}
				first := try(t, app("", "tick", quickIn), one.serve, share)
				second := try(t, app("", "tick", quickIn), two.serve, share)
				wait(10 * time.Minute)
				if len(one.seconds()) < 30 || len(two.seconds()) != 0 {
					t.Fatalf("runs at %v and %v", one.seconds(), two.seconds())
				}
				tt.end(first)
				ended, stranger := time.Now(), &life{}
				if held := !store.lock("tick", stranger, time.Minute); held != tt.held {
					t.Errorf("lock held after the end = %v, want %v", held, tt.held)
				}
				store.unlock("tick", stranger)
				wait(5 * time.Minute)
				moved, _ := two.runs()
				if len(moved) == 0 {
					t.Fatal("the timer didn't move")
				}
				if gap := int(moved[0].Sub(ended).Seconds()); gap < tt.after || gap > tt.upTo {
					t.Errorf("moved after %d s, want %d to %d", gap, tt.after, tt.upTo)
				}
				first.cancel()
				<-first.done
				if err := second.finish(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestFailedTimerRunIsNotTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls, store := 0, &TimerStore{}
		tr := try(t, app("", "tick", timerIn), func(w http.ResponseWriter, _ *http.Request) {
			calls++
			w.WriteHeader(500)
		}, func(c *Config, _ *memory) { c.Timers = store })
		wait(9 * time.Minute)
		if status, ok := store.Status("tick"); calls != 1 || !ok || status.Next.Minute() != 10 || status.Last.Minute() != 5 {
			t.Errorf("%d calls, status %+v", calls, status)
		}
		if err := tr.finish(); err != nil {
			t.Error(err)
		}
	})
}

func TestWebhookStatuses(t *testing.T) {
	const hook = "/runtime/webhooks/EventGrid?code=key&functionName="
	tests := []struct {
		name, method, target, event, body string
		want                              int
	}{
		{"a wrong key is refused", "POST", "/runtime/webhooks/EventGrid?functionName=events&code=other", "Notification", `{}`, 401},
		{"a missing key is refused", "POST", "/runtime/webhooks/EventGrid?functionName=events", "Notification", `{}`, 401},
		{"an unknown function isn't found", "POST", hook + "nobody", "Notification", `{}`, 404},
		{"a function of another trigger isn't found", "POST", hook + "work", "Notification", `{}`, 404},
		{"letter case of the name doesn't count", "POST", hook + "EVENTS", "Notification", `{"id":"ok"}`, 202},
		{"an array is taken", "POST", hook + "events", "Notification", `[{"id":"ok"},{"id":"ok"}]`, 202},
		{"an empty array is taken", "POST", hook + "events", "Notification", `[]`, 202},
		{"one failure fails all", "POST", hook + "events", "Notification", `[{"id":"ok"},{"id":"bad"}]`, 500},
		{"many in one call fail together", "POST", hook + "batch", "Notification", `[{"id":"ok"},{"id":"bad"}]`, 500},
		{"text that isn't JSON fails", "POST", hook + "events", "Notification", `{`, 500},
		{"an event that isn't an object fails", "POST", hook + "events", "Notification", `[1]`, 500},
		{"unsubscribe is accepted", "POST", hook + "events", "Unsubscribe", `{}`, 202},
		{"a missing event type is a bad request", "POST", hook + "events", "", `{}`, 400},
		{"another event type is a bad request", "POST", hook + "events", "Other", `{}`, 400},
		{"options are answered", "OPTIONS", hook + "events", "", "", 200},
		{"a validation is answered", "POST", hook + "events", "SubscriptionValidation", `[{"data":{"validationCode":"c"}}]`, 200},
	}
	synctest.Test(t, func(t *testing.T) {
		tr := try(t, app("", "events", eventIn, "batch", eventsIn, "work", queueIn), func(w http.ResponseWriter, r *http.Request) {
			data, _ := io.ReadAll(r.Body)
			if strings.Contains(string(data), "bad") {
				w.WriteHeader(500)
				return
			}
			answerWith(fine)(w, r)
		}, func(c *Config, _ *memory) { c.WebhookKey = "key" })
		for _, tt := range tests {
			headers := []string{}
			if tt.event != "" {
				headers = []string{"aeg-event-type", tt.event}
			}
			if got := tr.request(tt.method, tt.target, tt.body, headers...); got.Code != tt.want {
				t.Errorf("%s: status %d %s, want %d", tt.name, got.Code, got.Body, tt.want)
			}
		}
		if err := tr.finish(); err != nil {
			t.Error(err)
		}
	})
}

func TestWebhookOrigins(t *testing.T) {
	for origin, want := range map[string]string{
		"eventgrid.azure.net": "eventgrid.azure.net", "eventgrid.azure.us": "eventgrid.azure.us",
		"evil.example": "eventgrid.azure.net", "": "eventgrid.azure.net",
	} {
		if got := allowedOrigin(origin); got != want {
			t.Errorf("allowedOrigin(%q) = %q, want %q", origin, got, want)
		}
	}
}

func TestRunByHandMistakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := try(t, app("", "events", eventIn, "batch", eventsIn, "api", httpIn+","+httpOut), answerWith(fine), nil)
		for _, tt := range []struct {
			name, target, body string
			want               int
			failed             bool
		}{
			{"an unknown function isn't found", "nobody", `{"input":""}`, 404, false},
			{"input is required", "events", `{}`, 400, false},
			{"input must be text", "events", `{"input":1}`, 400, false},
			{"the body must be JSON", "events", `{`, 400, false},
			{"an HTTP function is called by its route", "api", `{"input":""}`, 400, false},
			{"an array of events fails in the background", "events", `{"input":"[{}]"}`, 202, true},
			{"a batch function fails in the background", "batch", `{"input":"{}"}`, 202, true},
		} {
			before := tr.logged("(Failed)")
			reply := tr.request("POST", "/admin/functions/"+tt.target, tt.body)
			synctest.Wait()
			if failed := tr.logged("(Failed)") > before; reply.Code != tt.want || failed != tt.failed {
				t.Errorf("%s: status %d, failed %v", tt.name, reply.Code, failed)
			}
		}
		if got := tr.request("GET", "/admin/host/ping", "").Code; got != 200 {
			t.Errorf("ping = %d", got)
		}
		if err := tr.finish(); err != nil {
			t.Error(err)
		}
	})
}

// forwarding switches HTTP forwarding on.
func forwarding(c *Config, _ *memory) {
	c.Settings["AzureFunctionsJobHost__customHandler__enableForwardingHttpRequest"] = "true"
}

func TestForwardedRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type seen struct {
			method, uri, body, host, agent, colour, invocation string
		}
		var got seen
		tr := try(t, app("", "api", httpIn+","+httpOut), func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			got = seen{r.Method, r.RequestURI, string(body), r.Host, r.UserAgent(), r.Header.Get("X-Colour"), r.Header.Get("X-Azure-Functions-InvocationId")}
			w.Header().Set("X-Answer", "yes")
			w.WriteHeader(http.StatusTeapot)
			_, _ = io.WriteString(w, "short and stout")
		}, forwarding)
		reply := tr.request("PUT", "http://app.example/api/pairs/a%2Fb?x=1", "hello", "X-Colour", "blue", "User-Agent", "curl/8")
		want := seen{"PUT", "/api/pairs/a%2Fb?x=1", "hello", "app.example", "curl/8 Azure-Functions-Host/" + Version, "blue", got.invocation}
		if got != want || got.invocation == "" {
			t.Errorf("handler saw %+v, want %+v", got, want)
		}
		if reply.Code != http.StatusTeapot || reply.Body.String() != "short and stout" || reply.Header().Get("X-Answer") != "yes" {
			t.Errorf("caller got %d %v %s", reply.Code, reply.Header(), reply.Body)
		}

		chunked := httptest.NewRequest("PUT", "http://app.example/api/x", io.MultiReader(strings.NewReader("hello")))
		chunked.ContentLength = -1
		tr.Handler().ServeHTTP(httptest.NewRecorder(), chunked)
		if got.body != "" {
			t.Errorf("a chunked body arrived: %q", got.body)
		}
		if reply := tr.request("GET", "/other/x", ""); reply.Code != 404 {
			t.Errorf("outside the prefix: %d", reply.Code)
		}
		if err := tr.finish(); err != nil {
			t.Error(err)
		}
	})
}

func TestForwardedRequestToADeadHandlerIs500(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := try(t, app("", "api", httpIn+","+httpOut), answerWith(fine), func(c *Config, m *memory) {
			forwarding(c, m)
			m.script = func(_ int, p *memoryProcess) {
				time.Sleep(500 * time.Millisecond)
				p.exit(0)
			}
		})
		if reply := tr.request("GET", "/api/x", ""); reply.Code != 500 || reply.Body.Len() != 0 {
			t.Errorf("got %d %s", reply.Code, reply.Body)
		}
		if err := tr.finish(); err != nil {
			t.Error(err)
		}
	})
}

func TestRoutes(t *testing.T) {
	tests := []struct {
		name, template, path string
		want                 map[string]any // nil for no match
	}{
		{"letter case of a literal doesn't count", "Pairs", "/api/pairs", map[string]any{}},
		{"a parameter takes one segment", "pairs/{pair}", "/api/pairs/a", map[string]any{"pair": "a"}},
		{"a parameter doesn't take two", "pairs/{pair}", "/api/pairs/a/b", nil},
		{"a parameter is unescaped", "pairs/{pair}", "/api/pairs/a%20b", map[string]any{"pair": "a b"}},
		{"a required parameter must be there", "pairs/{pair}", "/api/pairs", nil},
		{"an optional one may be missing", "pairs/{pair?}", "/api/pairs", map[string]any{"pair": nil}},
		{"an int takes numbers", "jobs/{id:int}", "/api/jobs/7", map[string]any{"id": "7"}},
		{"an int takes nothing else", "jobs/{id:int}", "/api/jobs/x", nil},
		{"a catch-all takes the rest", "{*path}", "/api/a/b/c", map[string]any{"path": "a/b/c"}},
		{"a catch-all takes nothing too", "{*path}", "/api", map[string]any{"path": nil}},
		{"the prefix counts", "pairs", "/pairs", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, err := parseRoute("api", tt.template)
			if err != nil {
				t.Fatal(err)
			}
			got, ok := r.match(tt.path)
			if ok != (tt.want != nil) || ok && fmt.Sprint(got) != fmt.Sprint(tt.want) {
				t.Errorf("%s matches %s = %v %v, want %v", tt.template, tt.path, got, ok, tt.want)
			}
		})
	}
	catchAll, _ := parseRoute("api", "{*path}")
	literal, _ := parseRoute("api", "pairs")
	parameter, _ := parseRoute("api", "{name}")
	if literal.compare(parameter) >= 0 || parameter.compare(catchAll) >= 0 || catchAll.compare(literal) <= 0 {
		t.Error("the most specific route doesn't win")
	}
}

// sink remembers published events.
type sink struct {
	endpoint, key string
	events        []json.RawMessage
}

func (s *sink) Publish(_ context.Context, endpoint, key string, events []json.RawMessage) error {
	s.endpoint, s.key, s.events = endpoint, key, append(s.events, events...)
	return nil
}

func TestEventGridOutput(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &sink{}
		out := `{"type":"eventGrid","direction":"out","name":"notify","topicEndpointUri":"TOPIC","topicKeySetting":"TOPIC_KEY"}`
		tr := try(t, app("", "events", eventIn+","+out), answerWith(string(read(t, "answer-ok-eventgrid-output.json"))), func(c *Config, _ *memory) {
			c.Events = s
			c.Settings["TOPIC"], c.Settings["TOPIC_KEY"] = "https://topic.example/api/events", "secret"
		})
		if got := notify(tr, "events", `{"id":"1"}`); got != 202 {
			t.Errorf("status %d", got)
		}
		if s.endpoint != "https://topic.example/api/events" || s.key != "secret" || len(s.events) != 1 || decode(t, s.events[0])["specversion"] != "1.0" {
			t.Errorf("published %+v", s)
		}
		if err := tr.finish(); err != nil {
			t.Error(err)
		}
	})
}

func TestHTTPOutput(t *testing.T) {
	tests := []struct {
		name, answer string
		status       int
		body         string
	}{
		{"no outputs at all is an empty success", `{}`, 200, ""},
		{"an output of another name is an empty object", `{"Outputs":{}}`, 200, "{}"},
		{"text that holds an object is read", `{"Outputs":{"res":"{\"status\":404,\"body\":\"gone\"}"}}`, 404, "gone"},
		{"a JSON body is written compact", `{"Outputs":{"res":{"body":{ "a" : 1 }}}}`, 200, `{"a":1}`},
		{"anything else is a failure", `{"Outputs":{"res":"hello"}}`, 500, ""},
		{"a status that is no number is a failure", `{"Outputs":{"res":{"statusCode":"ok"}}}`, 500, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tr := try(t, app("", "api", httpIn+","+httpOut), answerWith(tt.answer), nil)
				if got := tr.request("GET", "/api/x", ""); got.Code != tt.status || got.Body.String() != tt.body {
					t.Errorf("got %d %q, want %d %q", got.Code, got.Body, tt.status, tt.body)
				}
				if err := tr.finish(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}
