package handlers_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tandem/internal/pair"
)

// binding is one binding of a function.json, with the properties that are used
// here; any other one is a mistake until somebody adds it.
type binding struct {
	Type         string `json:"type"`
	Direction    string `json:"direction"`
	Name         string `json:"name"`
	Cardinality  string `json:"cardinality"`
	Schedule     string `json:"schedule"`
	RunOnStartup *bool  `json:"runOnStartup"`
	UseMonitor   *bool  `json:"useMonitor"`
	QueueName    string `json:"queueName"`
	Connection   string `json:"connection"`
	AuthLevel    string `json:"authLevel"`
	Route        string `json:"route"`
}

// readStrictly reads a settings file and refuses keys that the form does not
// know, which is how a misspelled one would show.
func readStrictly(t *testing.T, name string, form any) {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(form); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

// readFunctions reads every function.json below functions/, by function.
func readFunctions(t *testing.T) map[string][]binding {
	t.Helper()
	folders, err := os.ReadDir("../functions")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]binding{}
	for _, folder := range folders {
		files, err := os.ReadDir(filepath.Join("../functions", folder.Name()))
		if err != nil {
			t.Fatal(err)
		}
		// A single other file would be taken as a script (functions-host.md 6.5).
		if len(files) != 1 || files[0].Name() != "function.json" {
			t.Errorf("functions/%s holds something else than function.json", folder.Name())
		}
		var f struct {
			Bindings []binding `json:"bindings"`
		}
		readStrictly(t, filepath.Join("../functions", folder.Name(), "function.json"), &f)
		all[folder.Name()] = f.Bindings
	}
	return all
}

func TestFunctions(t *testing.T) {
	off := false
	events := []binding{{Type: "eventGridTrigger", Direction: "in", Name: "events", Cardinality: "many"}}
	want := map[string][]binding{
		"VMHealth":        events,
		"ResourceChanged": events,
		// The schedule is literal: a function whose %SETTING% is missing is not
		// loaded, and the sweep is the guarantee behind everything else.
		"Sweep":         {{Type: "timerTrigger", Direction: "in", Name: "timer", Schedule: "*/15 * * * * *", RunOnStartup: &off, UseMonitor: &off}},
		"ReconcilePair": {{Type: "queueTrigger", Direction: "in", Name: "message", QueueName: pair.QueuePairs, Connection: "AzureWebJobsStorage"}},
		"RunJob":        {{Type: "queueTrigger", Direction: "in", Name: "message", QueueName: pair.QueueJobs, Connection: "AzureWebJobsStorage"}},
		// Forward mode needs exactly these two (functions-host.md 2.7).
		"API": {{Type: "httpTrigger", Direction: "in", Name: "req", AuthLevel: "function", Route: "{*path}"}, {Type: "http", Direction: "out", Name: "res"}},
	}
	if diff := cmp.Diff(want, readFunctions(t)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestFunctionNames checks the host's rules for names (functions-host.md 4.1).
func TestFunctionNames(t *testing.T) {
	function := regexp.MustCompile(`^(?i)[a-z][a-z0-9_\-]{0,127}$`)
	name := regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9]{0,127}$`)
	for f, bindings := range readFunctions(t) {
		if !function.MatchString(f) || strings.EqualFold(f, "host") {
			t.Errorf("%s is no name of a function", f)
		}
		inputs := 0
		for _, b := range bindings {
			if !name.MatchString(b.Name) {
				t.Errorf("%s: %q is no name of a binding", f, b.Name)
			}
			if b.Direction == "in" {
				inputs++
			}
		}
		if inputs != 1 {
			t.Errorf("%s has %d inputs; the handlers expect the trigger's alone", f, inputs)
		}
	}
}

// TestEveryFunctionIsAnswered keeps the folders and the handlers in step.
func TestEveryFunctionIsAnswered(t *testing.T) {
	for f, bindings := range readFunctions(t) {
		if bindings[0].Type == "httpTrigger" {
			continue // forwarded, TestAPIIsForwardedAsItIs
		}
		if got := newWorld(t, nil).call("/"+f, []byte("{}")).Code; got != http.StatusOK {
			t.Errorf("%s: status %d", f, got)
		}
	}
}

func TestHostSettings(t *testing.T) {
	var host struct {
		Version         string `json:"version"`
		FunctionTimeout string `json:"functionTimeout"`
		ExtensionBundle struct {
			ID      string `json:"id"`
			Version string `json:"version"`
		} `json:"extensionBundle"`
		CustomHandler struct {
			Description struct {
				DefaultExecutablePath string   `json:"defaultExecutablePath"`
				Arguments             []string `json:"arguments"`
			} `json:"description"`
			InitializationTimeout       string `json:"initializationTimeout"`
			EnableForwardingHTTPRequest bool   `json:"enableForwardingHttpRequest"`
		} `json:"customHandler"`
		Extensions struct {
			HTTP struct {
				RoutePrefix string `json:"routePrefix"`
			} `json:"http"`
			Queues struct {
				BatchSize          int    `json:"batchSize"`
				NewBatchThreshold  int    `json:"newBatchThreshold"`
				MaxPollingInterval string `json:"maxPollingInterval"`
				VisibilityTimeout  string `json:"visibilityTimeout"`
				MaxDequeueCount    int    `json:"maxDequeueCount"`
				MessageEncoding    string `json:"messageEncoding"`
			} `json:"queues"`
		} `json:"extensions"`
		Logging struct {
			LogLevel            map[string]string `json:"logLevel"`
			ApplicationInsights struct {
				SamplingSettings struct {
					IsEnabled     bool   `json:"isEnabled"`
					ExcludedTypes string `json:"excludedTypes"`
				} `json:"samplingSettings"`
			} `json:"applicationInsights"`
		} `json:"logging"`
	}
	readStrictly(t, "../host.json", &host)
	queues, handler := host.Extensions.Queues, host.CustomHandler
	for rule, ok := range map[string]bool{
		"the host takes no other version":                                host.Version == "2.0",
		"the bundle brings Event Grid and queues":                        host.ExtensionBundle.ID == "Microsoft.Azure.Functions.ExtensionBundle" && host.ExtensionBundle.Version == "[4.*, 5.0.0)",
		"the program is started as a server":                             handler.Description.DefaultExecutablePath == "tandem" && slices.Equal(handler.Description.Arguments, []string{"serve"}),
		"the API is forwarded as it came":                                handler.EnableForwardingHTTPRequest && host.Extensions.HTTP.RoutePrefix == "api",
		"our deadline ends an invocation long before the host's kill":    span(t, host.FunctionTimeout) > 4*30*time.Second,
		"the host does not wait for ever for a start":                    span(t, handler.InitializationTimeout) == 30*time.Second,
		"a wake is seen within two seconds":                              span(t, queues.MaxPollingInterval) == 2*time.Second,
		"messages have the encoding that the store writes":               queues.MessageEncoding == "base64",
		"a message that fails is not tried again at once, nor for ever":  span(t, queues.VisibilityTimeout) >= 10*time.Second && queues.MaxDequeueCount == 5,
		"a few messages at once, because each stands for up to 50 pairs": queues.BatchSize+queues.NewBatchThreshold <= 16,
		"our own lines arrive":                                           host.Logging.LogLevel["Host.Function.Console"] == "Information",
		"and none of them is sampled away":                               strings.Contains(host.Logging.ApplicationInsights.SamplingSettings.ExcludedTypes, "Trace"),
	} {
		if !ok {
			t.Errorf("host.json breaks the rule: %s", rule)
		}
	}
}

// span reads .NET's hh:mm:ss.
func span(t *testing.T, s string) time.Duration {
	t.Helper()
	at, err := time.Parse("15:04:05", s)
	if err != nil {
		t.Fatalf("%q is no time span: %v", s, err)
	}
	return at.Sub(time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC))
}

// TestLocalSettingsHoldNoSecret: whoever adds a setting adds it here, too, and
// thinks about what it is.
func TestLocalSettingsHoldNoSecret(t *testing.T) {
	var local struct {
		IsEncrypted bool
		Values      map[string]string
		Host        struct {
			LocalHTTPPort int `json:"LocalHttpPort"`
		}
	}
	readStrictly(t, "../local.settings.json", &local)
	want := map[string]string{
		"FUNCTIONS_WORKER_RUNTIME": "custom",
		"AzureWebJobsStorage":      "UseDevelopmentStorage=true",
		"TANDEM_MAX_MODE":          "observe",
	}
	if diff := cmp.Diff(want, local.Values); diff != "" || local.IsEncrypted {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
