package eventgrid

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// example is the part of an example that the constructors are given.
type example struct {
	EventType, Type string
	EventTime, Time time.Time
	DataVersion     string
	Subject         string
	Data            struct {
		ResourceInfo struct {
			Properties struct {
				TargetResourceID, PreviousAvailabilityState, AvailabilityState string
				AnnotationName, Reason, Summary, Context, Category             string
			}
		}
		CorrelationID, OperationName, Status, TenantID string
		ResourceURI                                    string
		Claims                                         map[string]string
		HTTPRequest                                    *struct{ Method string }
	}
}

func (e example) kind() string { return e.EventType + e.Type }

func (e example) at() time.Time {
	if e.Time.IsZero() {
		return e.EventTime
	}
	return e.Time
}

func availability(name string) Availability {
	for _, a := range []Availability{Available, Unavailable, Degraded} {
		if a.String() == name {
			return a
		}
	}
	return Unknown
}

// build makes the event that an example shows.
func (e example) build(t *testing.T) Event {
	t.Helper()
	p := e.Data.ResourceInfo.Properties
	operation := Operation{
		Name: e.Data.OperationName, ResourceID: e.Data.ResourceURI, CorrelationID: e.Data.CorrelationID,
		TenantID: e.Data.TenantID, Claims: e.Data.Claims,
	}
	for _, s := range []OperationStatus{Succeeded, Failed, Canceled} {
		if s.String() == e.Data.Status {
			operation.Status = s
		}
	}
	if e.Data.HTTPRequest != nil {
		operation.Method = e.Data.HTTPRequest.Method
	}
	switch kind := e.kind(); {
	case strings.HasSuffix(kind, "AvailabilityStatusChanged"):
		return AvailabilityStatusChanged(p.TargetResourceID, availability(p.PreviousAvailabilityState), availability(p.AvailabilityState), e.at())
	case strings.HasSuffix(kind, "ResourceAnnotated"):
		return ResourceAnnotated(p.TargetResourceID, Annotation{p.AnnotationName, p.Reason, p.Summary, p.Context, p.Category}, e.at())
	case strings.Contains(kind, "ResourceWrite"):
		return ResourceWrite(operation, e.at())
	case strings.Contains(kind, "ResourceDelete"):
		return ResourceDelete(operation, e.at())
	case strings.Contains(kind, "ResourceAction"):
		return ResourceAction(operation, e.at())
	}
	t.Fatalf("no constructor for %s", e.kind())
	return Event{}
}

// invented are the values that the constructors make up: their form counts,
// not their text.
var invented = map[string]bool{
	"id": true, "name": true, "clientRequestId": true, "principalId": true,
}

// blank replaces invented values by their kind.
func blank(value any) any {
	switch value := value.(type) {
	case map[string]any:
		for name, child := range value {
			if text, ok := child.(string); ok && invented[name] && text != "" {
				child = text[:strings.LastIndex(text, "/")+1] + "(text)" // a resource id keeps its parent
			}
			value[name] = blank(child)
		}
	case []any:
		for i := range value {
			value[i] = blank(value[i])
		}
	}
	return value
}

func TestPlatformEventsEqualTheExamples(t *testing.T) {
	files, err := filepath.Glob("testdata/*.json")
	if err != nil || len(files) < 40 {
		t.Fatalf("%d examples, %v", len(files), err)
	}
	for _, file := range files {
		if strings.Contains(file, "validation") {
			continue
		}
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			schema := CloudEventSchemaV1_0
			text = []byte(strings.TrimSpace(string(text)))
			if strings.HasSuffix(file, ".eventgrid.json") {
				schema = EventGridSchema
				text = []byte(strings.TrimSuffix(strings.TrimPrefix(string(text), "["), "]"))
			}
			var shown example
			var want, got any
			if err := json.Unmarshal(text, &shown); err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(text, &want); err != nil {
				t.Fatal(err)
			}
			built, err := shown.build(t).encode(schema)
			if err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(built, &got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(blank(want), blank(got)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestValidationEventEqualsTheExample(t *testing.T) {
	var got, want []map[string]any
	g := New(&http.Client{Transport: tripper(func(r *http.Request) (*http.Response, error) {
		if err := json.NewDecoder(r.Body).Decode(&got); err != nil {
			return nil, err
		}
		return reply(500, ""), nil
	})}, Options{}, nil)
	defer g.Close()
	_ = g.Subscribe(t.Context(), Subscription{Name: "sub1", Endpoint: "https://app.example/", Schema: EventGridSchema})
	text, err := os.ReadFile("testdata/subscription-validation.eventgrid.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &want); err != nil {
		t.Fatal(err)
	}
	for _, events := range [][]map[string]any{got, want} {
		data := events[0]["data"].(map[string]any)
		for _, name := range []string{"validationCode", "validationUrl"} {
			if text, ok := data[name].(string); ok && text != "" {
				data[name] = "(text)"
			}
		}
		events[0]["eventTime"], events[0]["id"] = "(text)", "(text)"
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestEventIDs(t *testing.T) {
	at := time.Date(2026, 9, 23, 10, 0, 0, 0, time.UTC)
	const vm = "/subscriptions/s/resourceGroups/r/providers/Microsoft.Compute/virtualMachines/lm1"
	one := AvailabilityStatusChanged(vm, Available, Unavailable, at)
	if again := AvailabilityStatusChanged(vm, Available, Unavailable, at); one.ID != again.ID || len(one.ID) != 36 {
		t.Errorf("the same fact has ids %s and %s", one.ID, again.ID)
	}
	if later := AvailabilityStatusChanged(vm, Available, Unavailable, at.Add(time.Second)); one.ID == later.ID {
		t.Error("two instants have one id")
	}
	if one.Source != "/subscriptions/s" || one.Subject != vm {
		t.Errorf("source %s, subject %s", one.Source, one.Subject)
	}
}
