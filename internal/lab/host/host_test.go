package host

import (
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"
)

func TestHostFileMistakes(t *testing.T) {
	const good = `"version":"2.0","customHandler":{"description":{"defaultExecutablePath":"handler"}}`
	tests := []struct {
		name, file string
		settings   map[string]string
		want       string // part of the error, empty for none
	}{
		{"the shortest file is fine", `{` + good + `}`, nil, ""},
		{"the example is fine", string(read(t, "config-host.json")), nil, ""},
		{"another version is refused", strings.Replace(`{`+good+`}`, "2.0", "1.0", 1), nil, "version"},
		{"the program is required", `{"version":"2.0"}`, nil, "customHandler.description.defaultExecutablePath"},
		{"a program can come from an app setting", `{"version":"2.0"}`, map[string]string{"AzureFunctionsJobHost__customHandler__description__defaultExecutablePath": "h"}, ""},
		{"an app setting can also break a value", `{` + good + `}`, map[string]string{"azurefunctionsjobhost__Version": "3"}, "version"},
		{"a batch size above 32 is refused", `{` + good + `,"extensions":{"queues":{"batchSize":33}}}`, nil, "batchSize"},
		{"a polling interval under 100 ms is refused", `{` + good + `,"extensions":{"queues":{"maxPollingInterval":"00:00:00.0500000"}}}`, nil, "maxPollingInterval"},
		{"an unknown encoding is refused", `{` + good + `,"extensions":{"queues":{"messageEncoding":"utf8"}}}`, nil, "messageEncoding"},
		{"a timeout under a second is refused", `{` + good + `,"functionTimeout":"00:00:00"}`, nil, "functionTimeout"},
		{"-1 is no timeout", `{` + good + `,"functionTimeout":"-1"}`, nil, ""},
		{"proxy mode isn't modelled", strings.Replace(`{`+good+`}`, `"description"`, `"enableProxyingHttpRequest":true,"description"`, 1), nil, "enableProxyingHttpRequest"},
		{"a host-wide retry policy isn't modelled", `{` + good + `,"retry":{"strategy":"fixedDelay"}}`, nil, "retry"},
		{"two spellings of one key are refused", `{` + good + `,"Version":"2.0"}`, nil, "twice"},
		{"all mistakes come together", `{"version":"1.0"}`, nil, "defaultExecutablePath"},
		{"text that isn't JSON is refused", `{`, nil, "read host.json"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := New(Config{App: fstest.MapFS{"host.json": {Data: []byte(tt.file)}}, Launcher: &memory{}, Settings: tt.settings})
			switch {
			case tt.want == "" && err != nil:
				t.Errorf("error = %v", err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("error = %v, want %q in it", err, tt.want)
			}
		})
	}
}

func TestDiscovery(t *testing.T) {
	settings := map[string]string{"AzureWebJobsStorage": "lab"}
	tests := []struct {
		name     string
		root     fstest.MapFS
		members  string
		settings map[string]string
		want     []string // name, and ! when it isn't loaded, - when disabled
	}{
		{"direct child folders with a function.json are functions", files("b", queueIn, "a", queueIn), "", nil, []string{"a", "b"}},
		{"a functions folder in the middle means no functions", files("functions/a", queueIn, "functions/b", queueIn), "", nil, nil},
		{"a folder without function.json is skipped silently", fstest.MapFS{"bin/x.txt": {}}, "", nil, nil},
		{"a bad function.json leaves the others alone", files("a", `{`, "b", queueIn), "", nil, []string{"a!", "b"}},
		{"the allow list hides the others", files("a", queueIn, "b", queueIn), `"functions":["B"]`, nil, []string{"b"}},
		{"a function can be disabled by a setting", files("a", queueIn), "", map[string]string{"AzureWebJobs.a.Disabled": "true"}, []string{"a-"}},
		{"the setting may be spelled without dots", files("a", queueIn), "", map[string]string{"AzureWebJobs__a__Disabled": "True"}, []string{"a-"}},
		{"a name must start with a letter", files("1a", queueIn), "", nil, []string{"1a!"}},
		{"host is no name", files("host", queueIn), "", nil, []string{"host!"}},
		{"a function needs a trigger", files("a", queueOut), "", nil, []string{"a!"}},
		{"a function has one trigger only", files("a", queueIn+","+eventIn), "", nil, []string{"a!"}},
		{"binding names are unique", files("a", queueIn+`,{"type":"queue","direction":"out","name":"Message","queueName":"q"}`), "", nil, []string{"a!"}},
		{"binding names have no dash", files("a", `{"type":"eventGridTrigger","direction":"in","name":"my-event"}`), "", nil, []string{"a!"}},
		{"unknown binding types are refused", files("a", `{"type":"blobTrigger","direction":"in","name":"b"}`), "", nil, []string{"a!"}},
		{"a %NAME% needs its app setting", files("a", `{"type":"queueTrigger","direction":"in","name":"m","queueName":"%Q%"}`), "", nil, []string{"a!"}},
		{"a %NAME% is replaced", files("a", `{"type":"queueTrigger","direction":"in","name":"m","queueName":"%Q%"}`), "", map[string]string{"Q": "x"}, []string{"a"}},
		{"a connection needs its app setting", files("a", `{"type":"queueTrigger","direction":"in","name":"m","queueName":"q","connection":"Other"}`), "", nil, []string{"a!"}},
		{"a connection may be settings with its prefix", files("a", `{"type":"queueTrigger","direction":"in","name":"m","queueName":"q","connection":"Other"}`), "", map[string]string{"Other__accountName": "x"}, []string{"a"}},
		{"a bad schedule is refused", files("a", `{"type":"timerTrigger","direction":"in","name":"t","schedule":"* * 25 * * *"}`), "", nil, []string{"a!"}},
		{"a topic's key and identity exclude each other", files("a", eventIn+`,{"type":"eventGrid","direction":"out","name":"n","connection":"T","topicKeySetting":"K"}`), "", nil, []string{"a!"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			members := tt.members
			if members != "" {
				members = "," + members
			}
			tt.root["host.json"] = &fstest.MapFile{Data: []byte(strings.Replace(minimalHostFile, "%s", members, 1))}
			all := map[string]string{}
			for _, m := range []map[string]string{settings, tt.settings} {
				maps.Copy(all, m)
			}
			h, err := New(Config{App: tt.root, Launcher: &memory{}, Queues: &queues{}, Settings: all})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			broken := 0
			for _, f := range h.Functions() {
				name := f.Name
				if f.Err != nil {
					name += "!"
					broken++
				}
				if f.Disabled {
					name += "-"
				}
				got = append(got, name)
			}
			if !slices.Equal(got, tt.want) || len(h.Failures()) != broken {
				t.Errorf("functions = %q, want %q; failures %q", got, tt.want, h.Failures())
			}
		})
	}
}

func files(functions ...string) fstest.MapFS {
	root := fstest.MapFS{}
	for i := 0; i < len(functions); i += 2 {
		root[functions[i]+"/function.json"] = &fstest.MapFile{Data: []byte(`{"bindings":[` + functions[i+1] + `]}`)}
	}
	return root
}

func TestBundleAndRoutesAreChecked(t *testing.T) {
	root := files("a", queueIn)
	root["host.json"] = &fstest.MapFile{Data: []byte(`{"version":"2.0","customHandler":{"description":{"defaultExecutablePath":"h"}}}`)}
	h, err := New(Config{App: root, Launcher: &memory{}, Queues: &queues{}, Settings: map[string]string{"AzureWebJobsStorage": "x"}})
	if err != nil || h.Functions()[0].Err == nil {
		t.Errorf("queues without the extension bundle: %v", err)
	}
	root["host.json"] = &fstest.MapFile{Data: []byte(`{"version":"2.0","customHandler":{"description":{"defaultExecutablePath":"h"},"http":{"routes":[{"route":"x"}]}}}`)}
	if _, err := New(Config{App: root, Launcher: &memory{}}); err == nil {
		t.Error("routes in host.json beside a function.json were accepted")
	}
}

func TestWithoutFunctionsTheHandlerIsNotStarted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := try(t, app(""), answerWith(fine), nil)
		if tr.memory.started() != 0 || tr.logged("No job functions found") != 1 {
			t.Errorf("%d starts", tr.memory.started())
		}
		if err := tr.finish(); err != nil {
			t.Error(err)
		}
	})
}

func TestRestartRules(t *testing.T) {
	exitAfter := func(wait time.Duration, codes ...int) func(int, *memoryProcess) {
		return func(start int, p *memoryProcess) {
			if start > len(codes) {
				return
			}
			select {
			case <-time.After(wait):
				p.exit(codes[start-1])
			case <-p.ended:
			}
		}
	}
	tests := []struct {
		name   string
		wait   time.Duration
		codes  []int
		starts int
		err    error
	}{
		{"exit code 0 is never started again", time.Minute, []int{0}, 1, nil},
		{"exit code 200 starts again and isn't counted", time.Minute, []int{200, 200, 200, 200}, 5, nil},
		{"one crash starts again", time.Minute, []int{1}, 2, nil},
		{"a signal is a crash", time.Minute, []int{-1}, 2, nil},
		{"the third crash stops the host", time.Minute, []int{1, 2, -1}, 3, ErrRestartLimit},
		{"crashes before it is ready count too", time.Millisecond, []int{1, 1, 1}, 3, ErrRestartLimit},
		{"crashes over 30 minutes apart never add up", 31 * time.Minute, []int{1, 1, 1, 1}, 5, nil},
		{"code 200 between crashes clears nothing", time.Minute, []int{1, 200, 1, 1}, 4, ErrRestartLimit},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tr := try(t, app("", "events", eventIn), answerWith(fine), func(_ *Config, m *memory) {
					m.delay = 50 * time.Millisecond
					m.script = exitAfter(tt.wait, tt.codes...)
				})
				wait(4 * time.Hour)
				if got := tr.memory.started(); got != tt.starts {
					t.Errorf("%d starts, want %d", got, tt.starts)
				}
				if err := tr.finish(); !errors.Is(err, tt.err) {
					t.Errorf("Run = %v, want %v", err, tt.err)
				}
			})
		})
	}
}

func TestAfterExitZeroCallsFailUntilTheHostRestarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := try(t, app("", "events", eventIn), answerWith(fine), func(_ *Config, m *memory) {
			m.script = func(start int, p *memoryProcess) {
				if start == 1 {
					time.Sleep(time.Minute)
					p.exit(0)
				}
			}
		})
		if got := notify(tr, "events", `{"id":"1"}`); got != 202 {
			t.Errorf("before: %d", got)
		}
		wait(2 * time.Minute)
		if got := notify(tr, "events", `{"id":"2"}`); got != 500 || tr.logged("connection refused") == 0 {
			t.Errorf("after exit 0: %d", got)
		}
		tr.Restart()
		wait(time.Second)
		if got := notify(tr, "events", `{"id":"3"}`); got != 202 || tr.memory.started() != 2 {
			t.Errorf("after restart: %d, %d starts", got, tr.memory.started())
		}
		if err := tr.finish(); err != nil {
			t.Error(err)
		}
	})
}

func TestKillDuringAnInvocationFailsItAndStartsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int32
		tr := try(t, app("", "events", eventIn), func(w http.ResponseWriter, r *http.Request) {
			if calls.Add(1) == 1 {
				<-r.Context().Done()
				return
			}
			answerWith(fine)(w, r)
		}, nil)
		status := make(chan int)
		go func() { status <- notify(tr, "events", `{"id":"1"}`) }()
		wait(time.Minute)
		tr.Kill()
		if got := <-status; got != 500 {
			t.Errorf("killed invocation answered %d", got)
		}
		wait(time.Second)
		if got := notify(tr, "events", `{"id":"1"}`); got != 202 || tr.memory.started() != 2 {
			t.Errorf("next invocation answered %d", got)
		}
		if tr.logged("failed with exit code -1") != 1 {
			t.Error("the crash isn't logged")
		}
		if err := tr.finish(); err != nil {
			t.Error(err)
		}
	})
}

func TestReadiness(t *testing.T) {
	t.Run("an invocation waits for the handler", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			tr := try(t, app("", "events", eventIn), answerWith(fine), func(_ *Config, m *memory) { m.delay = 20 * time.Second })
			start := time.Now()
			if got := notify(tr, "events", `{"id":"1"}`); got != 202 || time.Since(start) < 18*time.Second {
				t.Errorf("%d after %v", got, time.Since(start))
			}
			if err := tr.finish(); err != nil {
				t.Error(err)
			}
		})
	})
	t.Run("a handler that never listens is a crash each time", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			tr := try(t, app("", "events", eventIn), answerWith(fine), func(_ *Config, m *memory) { m.delay = time.Hour })
			<-tr.done
			if !errors.Is(tr.err, ErrRestartLimit) || tr.memory.started() != 3 {
				t.Errorf("Run = %v after %d starts", tr.err, tr.memory.started())
			}
		})
	})
	t.Run("a program that can't be started isn't tried again, and waiting calls end the host", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			tr := try(t, app("", "events", eventIn), answerWith(fine), func(c *Config, _ *memory) { c.Launcher = broken{} })
			if got := notify(tr, "events", `{"id":"1"}`); got != 500 {
				t.Errorf("status %d", got)
			}
			<-tr.done
			if !errors.Is(tr.err, ErrNotReady) || tr.logged("Failed to start the handler") != 1 {
				t.Errorf("Run = %v", tr.err)
			}
		})
	})
}

type broken struct{}

func (broken) Port() (int, error) { return 1, nil }
func (broken) Start(context.Context, Environment) (Process, error) {
	return nil, errors.New("exec format error")
}

func TestEnvironment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := try(t, app(`"x":1`, "events", eventIn), answerWith(fine), func(c *Config, _ *memory) {
			c.Settings["COLOUR"] = "blue"
			c.Settings["AzureFunctionsJobHost__customHandler__description__arguments"] = `["serve","--port %FUNCTIONS_CUSTOMHANDLER_PORT%","\"a b\"","%UNSET%","%COLOUR%"]`
		})
		env := tr.memory.environment(0)
		if want := []string{"serve", "--port", "34567", "a b", "blue"}; !slices.Equal(env.Arguments, want) {
			t.Errorf("arguments = %q, want %q", env.Arguments, want)
		}
		for name, want := range map[string]string{"FUNCTIONS_CUSTOMHANDLER_PORT": "34567", "FUNCTIONS_HTTPWORKER_PORT": "34567", "COLOUR": "blue"} {
			if got := env.Variables[name]; got != want {
				t.Errorf("%s = %q, want %q", name, got, want)
			}
		}
		tr.Kill()
		wait(time.Second)
		first, second := tr.memory.environment(0).Variables, tr.memory.environment(1).Variables
		if id := "FUNCTIONS_CUSTOMHANDLER_WORKER_ID"; first[id] == "" || first[id] == second[id] {
			t.Errorf("worker ids %q and %q", first[id], second[id])
		}
		if err := tr.finish(); err != nil {
			t.Error(err)
		}
	})
}

func TestOutputLines(t *testing.T) {
	tests := []struct {
		name, line string
		errorsOnly bool
		want       string
	}{
		{"a line on stderr is an error", "hello", true, LevelError},
		{"a warning is a warning", "Warning: hello", true, LevelWarning},
		{"without the switch only alarming words are errors", "hello", false, LevelInformation},
		{"without the switch a failure is an error", "it Failed", false, LevelError},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := stderrLevel(tt.line, tt.errorsOnly); got != tt.want {
				t.Errorf("stderrLevel(%q) = %s, want %s", tt.line, got, tt.want)
			}
		})
	}
	var got []string
	w := &lineWriter{line: func(line string) { got = append(got, line) }}
	_, _ = io.WriteString(w, "one\r\ntw")
	_, _ = io.WriteString(w, "o\n\nlast")
	w.flush()
	if want := []string{"one", "two", "", "last"}; !slices.Equal(got, want) {
		t.Errorf("lines = %q, want %q", got, want)
	}
}

func TestStopping(t *testing.T) {
	slow := func(d time.Duration) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			pause(r, d)
			answerWith(fine)(w, r)
		}
	}
	for _, tt := range []struct {
		name string
		took time.Duration
		want int
	}{
		{"a running invocation may finish within ten seconds", 8 * time.Second, 202},
		{"a longer one is given up", 30 * time.Second, 500},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tr := try(t, app("", "events", eventIn), slow(tt.took), nil)
				status := make(chan int)
				go func() { status <- notify(tr, "events", `{"id":"1"}`) }()
				wait(time.Second)
				tr.cancel()
				wait(time.Millisecond)
				if got := notify(tr, "events", `{"id":"2"}`); got != 503 {
					t.Errorf("a request to a stopping host: %d", got)
				}
				if got := <-status; got != tt.want {
					t.Errorf("status = %d, want %d", got, tt.want)
				}
				if err := tr.finish(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestHaltGivesNoAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := try(t, app("", "events", eventIn), func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, nil)
		dropped := make(chan any)
		go func() {
			defer func() { dropped <- recover() }()
			notify(tr, "events", `{"id":"1"}`)
		}()
		wait(time.Second)
		tr.Halt()
		if got := <-dropped; got != http.ErrAbortHandler {
			t.Errorf("request ended with %v", got)
		}
		<-tr.done
		if !errors.Is(tr.err, ErrHalted) {
			t.Errorf("Run = %v", tr.err)
		}
	})
}

func TestRunIsNotRunTwiceAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := try(t, app("", "events", eventIn), answerWith(fine), nil)
		if err := tr.Run(t.Context()); err == nil {
			t.Error("a second Run was accepted")
		}
		if err := tr.finish(); err != nil {
			t.Error(err)
		}
	})
}

func TestSameSeedSameIdentifiers(t *testing.T) {
	run := func() (ids []string) {
		synctest.Test(t, func(t *testing.T) {
			tr := try(t, app("", "tick", quickIn), func(w http.ResponseWriter, r *http.Request) {
				ids = append(ids, r.Header.Get("X-Azure-Functions-InvocationId"))
				answerWith(fine)(w, r)
			}, nil)
			wait(time.Minute)
			if err := tr.finish(); err != nil {
				t.Error(err)
			}
		})
		return ids
	}
	first, second := run(), run()
	if len(first) < 4 || !slices.Equal(first, second) {
		t.Errorf("identifiers %q and %q", first, second)
	}
	if slices.Sort(first); len(slices.Compact(first)) != len(second) {
		t.Error("an invocation id was used twice")
	}
}
