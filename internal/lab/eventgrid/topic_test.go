package eventgrid

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/messaging"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/eventgrid/azeventgrid"
)

const (
	topicTarget = "/api/events?api-version=2018-01-01"
	batchType   = "application/cloudevents-batch+json; charset=utf-8"
	goodEvent   = `{"id":"1","source":"/x","type":"T","specversion":"1.0","time":"2026-09-23T10:08:00Z","data":{}}`
)

func TestTopic(t *testing.T) {
	replace := func(old, with string) string { return "[" + strings.Replace(goodEvent, old, with, 1) + "]" }
	tests := []struct {
		name, method, target, header, value, contentType, body string
		want                                                   int
		kept                                                   int
	}{
		{"a batch with the key is taken", "POST", topicTarget, "aeg-sas-key", "key", batchType, "[" + goodEvent + "," + goodEvent + "]", 200, 2},
		{"a single event is taken", "POST", topicTarget, "aeg-sas-key", "key", "application/cloudevents+json", goodEvent, 200, 1},
		{"any bearer token is taken", "POST", topicTarget, "Authorization", "Bearer x", batchType, "[" + goodEvent + "]", 200, 1},
		{"an empty batch is taken", "POST", topicTarget, "aeg-sas-key", "key", batchType, "[]", 200, 0},
		{"time may be missing", "POST", topicTarget, "aeg-sas-key", "key", batchType, replace(`"time":"2026-09-23T10:08:00Z",`, ""), 200, 1},
		{"a wrong key is refused", "POST", topicTarget, "aeg-sas-key", "other", batchType, "[]", 401, 0},
		{"no key is refused", "POST", topicTarget, "X", "x", batchType, "[]", 401, 0},
		{"an empty token is refused", "POST", topicTarget, "Authorization", "Bearer ", batchType, "[]", 401, 0},
		{"another path isn't there", "POST", "/other", "aeg-sas-key", "key", batchType, "[]", 404, 0},
		{"another method isn't allowed", "PUT", topicTarget, "aeg-sas-key", "key", batchType, "[]", 405, 0},
		{"another version is refused", "POST", "/api/events", "aeg-sas-key", "key", batchType, "[]", 400, 0},
		{"the Event Grid schema is refused", "POST", topicTarget, "aeg-sas-key", "key", "application/json", "[]", 400, 0},
		{"a missing type is refused", "POST", topicTarget, "aeg-sas-key", "key", "", "[]", 400, 0},
		{"text that isn't JSON is refused", "POST", topicTarget, "aeg-sas-key", "key", batchType, "[", 400, 0},
		{"one bad event refuses all", "POST", topicTarget, "aeg-sas-key", "key", batchType, "[" + goodEvent + ",1]", 400, 0},
		{"null is no event", "POST", topicTarget, "aeg-sas-key", "key", batchType, "[null]", 400, 0},
		{"an id is required", "POST", topicTarget, "aeg-sas-key", "key", batchType, replace(`"id":"1"`, `"id":""`), 400, 0},
		{"a source is required", "POST", topicTarget, "aeg-sas-key", "key", batchType, replace(`"source":"/x",`, ""), 400, 0},
		{"a type must be text", "POST", topicTarget, "aeg-sas-key", "key", batchType, replace(`"type":"T"`, `"type":null`), 400, 0},
		{"only version 1.0 is taken", "POST", topicTarget, "aeg-sas-key", "key", batchType, replace(`"1.0"`, `"0.3"`), 400, 0},
		{"a time must be a time", "POST", topicTarget, "aeg-sas-key", "key", batchType, replace("2026-09-23T10:08:00Z", "today"), 400, 0},
		{"data comes in one form", "POST", topicTarget, "aeg-sas-key", "key", batchType, replace(`"data":{}`, `"data":{},"data_base64":""`), 400, 0},
		{"more than 1 MB is refused", "POST", topicTarget, "aeg-sas-key", "key", batchType, "[" + strings.Repeat(" ", 1<<20) + "]", 413, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := New(http.DefaultClient, Options{}, nil)
			defer g.Close()
			request := httptest.NewRequest(tt.method, tt.target, strings.NewReader(tt.body))
			request.Header.Set(tt.header, tt.value)
			request.Header.Set("Content-Type", tt.contentType)
			recorder := httptest.NewRecorder()
			g.TopicHandler("key").ServeHTTP(recorder, request)
			if recorder.Code != tt.want || len(g.Published()) != tt.kept {
				t.Errorf("status %d %s, kept %d; want %d and %d", recorder.Code, recorder.Body, len(g.Published()), tt.want, tt.kept)
			}
			if strings.Contains(recorder.Body.String(), "key\"") {
				t.Error("the answer shows the key")
			}
		})
	}
}

// direct lets the SDK's client call a handler without a network.
type direct struct{ handler http.Handler }

func (d direct) Do(r *http.Request) (*http.Response, error) {
	recorder := httptest.NewRecorder()
	d.handler.ServeHTTP(recorder, r)
	response := recorder.Result()
	response.Request = r
	return response, nil
}

func TestTopicTakesTheSDKClient(t *testing.T) {
	g := New(http.DefaultClient, Options{}, nil)
	defer g.Close()
	options := &azeventgrid.ClientOptions{ClientOptions: policy.ClientOptions{
		Transport: direct{g.TopicHandler("key")}, Retry: policy.RetryOptions{MaxRetries: -1},
	}}
	const endpoint = "https://topic.example/api/events"
	byKey, err := azeventgrid.NewClientWithSharedKeyCredential(endpoint, azcore.NewKeyCredential("key"), options)
	if err != nil {
		t.Fatal(err)
	}
	byToken, err := azeventgrid.NewClient(endpoint, token{}, options)
	if err != nil {
		t.Fatal(err)
	}
	event, err := messaging.NewCloudEvent("/tandem", "Tandem.Test", map[string]int{"a": 1}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, client := range map[string]*azeventgrid.Client{"key": byKey, "token": byToken} {
		if _, err := client.PublishCloudEvents(t.Context(), []messaging.CloudEvent{event}, nil); err != nil {
			t.Errorf("by %s: %v", name, err)
		}
	}
	if got := g.Published(); len(got) != 2 || string(got[0]) != string(got[1]) {
		t.Errorf("published %s", got)
	}
}

type token struct{}

func (token) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{Token: "t", ExpiresOn: time.Now().Add(time.Hour)}, nil
}

func FuzzReadCloudEvents(f *testing.F) {
	f.Add(batchType, []byte("["+goodEvent+"]"))
	f.Add("application/cloudevents+json", []byte(goodEvent))
	f.Fuzz(func(t *testing.T, contentType string, body []byte) {
		events, err := readCloudEvents(contentType, body)
		if err != nil {
			return
		}
		for _, event := range events {
			if err := checkCloudEvent(event); err != nil {
				t.Errorf("%s was taken: %v", event, err)
			}
		}
	})
}
