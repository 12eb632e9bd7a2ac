package host

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestAnswers(t *testing.T) {
	const js = "application/json; charset=utf-8"
	tests := []struct {
		name        string
		status      int
		contentType string
		body        string
		hangs       bool
		fails       string // part of the error
	}{
		{"the minimal answer succeeds", 200, js, fine, false, ""},
		{"the example of it succeeds", 200, js, string(read(t, "answer-ok-minimal.json")), false, ""},
		{"an empty object succeeds", 200, js, "{}", false, ""},
		{"text/json is JSON too", 200, "text/json", "{}", false, ""},
		{"any 2xx succeeds", 202, js, "{}", false, ""},
		{"all three members may be null", 200, js, `{"Outputs":null,"Logs":null,"ReturnValue":null}`, false, ""},
		{"member names ignore letter case", 200, js, `{"outputs":{},"LOGS":["x"]}`, false, ""},
		{"null hangs", 200, js, " null ", true, ""},
		{"an empty body hangs", 200, js, "", true, ""},
		{"an empty body hangs whatever its type", 204, "", " \n", true, ""},
		{"a redirect that isn't followed fails", 304, js, "{}", false, "304"},
		{"4xx fails whatever the body says", 404, js, fine, false, "404"},
		{"5xx fails whatever the body says", 503, js, fine, false, "503"},
		{"a body without a content type fails", 200, "", fine, false, "invalid HttpResponseMessage"},
		{"a body of another type fails", 200, "text/plain", fine, false, "invalid HttpResponseMessage"},
		{"null of another type fails", 200, "text/plain", "null", false, "invalid HttpResponseMessage"},
		{"bad JSON fails", 200, js, `{"Outputs":`, false, "invalid HttpResponseMessage"},
		{"an array fails", 200, js, `[]`, false, "invalid HttpResponseMessage"},
		{"a bare string fails", 200, js, `"ok"`, false, "invalid HttpResponseMessage"},
		{"logs must be a list", 200, js, `{"Logs":"x"}`, false, "invalid HttpResponseMessage"},
		{"logs must be texts", 200, js, `{"Logs":[1]}`, false, "invalid HttpResponseMessage"},
		{"outputs must be an object", 200, js, `{"Outputs":[]}`, false, "invalid HttpResponseMessage"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := parseAnswer(tt.status, tt.contentType, []byte(tt.body))
			if got := errors.Is(err, errNoAnswer); got != tt.hangs {
				t.Errorf("hangs = %v, want %v", got, tt.hangs)
			}
			if tt.fails == "" && !tt.hangs && err != nil {
				t.Errorf("error = %v", err)
			}
			if tt.fails != "" && (err == nil || !strings.Contains(err.Error(), tt.fails)) {
				t.Errorf("error = %v, want %q in it", err, tt.fails)
			}
		})
	}
}

func TestOutputValues(t *testing.T) {
	tests := []struct {
		name, value string
		binary      bool
		want        []string
	}{
		{"an object is one message, indented", `{"a":{"b":1},"c":[]}`, false, []string{"{\n  \"a\": {\n    \"b\": 1\n  },\n  \"c\": []\n}"}},
		{"an array is one message for each element", `[{"a":1},"x",2,true]`, false, []string{"{\n  \"a\": 1\n}", "x", "2", "True"}},
		{"a string that holds an array is split", `"[1,\"b\"]"`, false, []string{"1", "b"}},
		{"a string that holds an object is indented", `"{\"a\":1}"`, false, []string{"{\n  \"a\": 1\n}"}},
		{"other text stays as it is", `"fail-over"`, false, []string{"fail-over"}},
		{"text that looks like base64 is decoded", `"test"`, false, []string{"\xb5\xeb-"}},
		{"white space doesn't protect from it", `"te st"`, false, []string{"\xb5\xeb-"}},
		{"empty text is empty bytes", `""`, false, []string{""}},
		{"a binary binding decodes nothing", `"test"`, true, []string{"test"}},
		{"an element of an array isn't decoded", `["test"]`, false, []string{"test"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := messages(json.RawMessage(tt.value), tt.binary)
			if err != nil || !slices.Equal(got, tt.want) {
				t.Errorf("messages(%s) = %q, %v, want %q", tt.value, got, err, tt.want)
			}
		})
	}
}

func TestOutputsReachTheirBindings(t *testing.T) {
	const returnQueue = `{"type":"queue","direction":"out","name":"$return","queueName":"out"}`
	tests := []struct {
		name, bindings, answer string
		want                   []string
	}{
		{
			"an array gives several messages", queueOut, string(read(t, "answer-ok-queue-several.json")),
			[]string{"{\n  \"kind\": \"reconcile\",\n  \"pair\": \"lm-pair-1\"\n}", "{\n  \"kind\": \"sync\",\n  \"pair\": \"lm-pair-1\"\n}"},
		},
		{"a word that is base64 arrives as six bytes", queueOut, string(read(t, "answer-trap-base64-lookalike.json")), []string{"}\xa8\xa5\xa2\xf7\xab"}},
		{"unknown names are ignored", queueOut, `{"Outputs":{"other":"x-y"}}`, nil},
		{"letter case of a binding name counts", queueOut, `{"Outputs":{"Work":"x-y"}}`, nil},
		{"null sends nothing", queueOut, `{"Outputs":{"work":null}}`, nil},
		{"a returned object's properties are outputs", queueOut, `{"ReturnValue":{"work":"x-y"}}`, []string{"x-y"}},
		{"$return takes the return value", returnQueue, `{"ReturnValue":"x-y"}`, []string{"x-y"}},
		{"$return keeps a returned object whole", returnQueue, `{"ReturnValue":{"work":1}}`, []string{"{\n  \"work\": 1\n}"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tr := try(t, app("", "events", eventIn+","+tt.bindings), answerWith(tt.answer), nil)
				if reply := notify(tr, "events", `[{"id":"1"}]`); reply != 202 {
					t.Errorf("status = %d", reply)
				}
				if got := tr.queues.texts("out"); !slices.Equal(got, tt.want) {
					t.Errorf("queue = %q, want %q", got, tt.want)
				}
				if err := tr.finish(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func notify(tr *trial, function, body string) int {
	return tr.request("POST", "/runtime/webhooks/EventGrid?functionName="+function, body, "aeg-event-type", "Notification").Code
}

func TestMessagesArePlainWithoutEncoding(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := try(t, app(`"extensions":{"queues":{"messageEncoding":"none"}}`, "events", eventIn+","+queueOut),
			answerWith(`{"Outputs":{"work":"x-y"}}`), nil)
		notify(tr, "events", `{"id":"1"}`)
		if got := tr.queues.texts("out"); !slices.Equal(got, []string{"not base64: x-y"}) {
			t.Errorf("queue = %q", got)
		}
		if err := tr.finish(); err != nil {
			t.Error(err)
		}
	})
}

func TestEmptyAnswer(t *testing.T) {
	empty := func(http.ResponseWriter, *http.Request) {}
	t.Run("strict answers fail at once and are reported", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			tr := try(t, app("", "events", eventIn), empty, nil)
			start := time.Now()
			if got := notify(tr, "events", `{"id":"1"}`); got != 500 || time.Since(start) > time.Second {
				t.Errorf("status %d after %v", got, time.Since(start))
			}
			if got := tr.Failures(); len(got) != 1 || !strings.Contains(got[0], "events") {
				t.Errorf("failures = %q", got)
			}
			if err := tr.finish(); err != nil {
				t.Error(err)
			}
		})
	})
	t.Run("otherwise the invocation hangs until functionTimeout and the handler is replaced", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			tr := try(t, app(`"functionTimeout":"00:05:00"`, "events", eventIn), empty, func(c *Config, _ *memory) { c.StrictAnswers = false })
			start := time.Now()
			if got := notify(tr, "events", `{"id":"1"}`); got != 500 || time.Since(start) < 5*time.Minute {
				t.Errorf("status %d after %v", got, time.Since(start))
			}
			wait(time.Second)
			if got := tr.memory.started(); got != 2 {
				t.Errorf("%d starts, want 2", got)
			}
			if got := tr.Failures(); len(got) != 0 {
				t.Errorf("failures = %q", got)
			}
			if err := tr.finish(); err != nil {
				t.Error(err)
			}
		})
	})
}

func TestMetadataOfMessages(t *testing.T) {
	tests := []struct {
		name, text string
		want       map[string]string // beyond the host's own; "-" for absent
	}{
		{"keys that end in trigger never appear", `{"myTrigger":1,"TRIGGER":2}`, map[string]string{"myTrigger": "-", "TRIGGER": "-"}},
		{"nulls and arrays are left out", `{"n":null,"a":[1]}`, map[string]string{"n": "-", "a": "-"}},
		{"numbers and booleans become text", `{"i":2,"f":1.5e3,"t":true,"b":false}`, map[string]string{"i": `"2"`, "f": `"1500"`, "t": `"True"`, "b": `"False"`}},
		{"dates are reformatted", `{"at":"2026-09-23T12:06:59.5+02:00"}`, map[string]string{"at": `"09/23/2026 10:06:59"`}},
		{"a field replaces the host's entry under the host's spelling", `{"POPRECEIPT":"x"}`, map[string]string{"PopReceipt": `"x"`, "POPRECEIPT": "-"}},
		{"text that only looks like an object adds nothing", `{"a":1}}`, map[string]string{"a": "-"}},
		{"a JSON text adds nothing", `"{}"`, map[string]string{}},
	}
	f := &function{info: FunctionInfo{Name: "work"}, trigger: binding{Name: "message"}, random: newStream(1, "work")}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, err := newCall(f, tt.text, queueMetadata(Message{ID: "1", PopReceipt: "2", DequeueCount: 1}))
			if err != nil {
				t.Fatal(err)
			}
			got := decode(t, c.body)["Metadata"].(map[string]any)
			for name, want := range tt.want {
				if value, ok := got[name]; ok != (want != "-") || ok && value != want {
					t.Errorf("%s = %v, want %s", name, value, want)
				}
			}
		})
	}
}

func FuzzParseAnswer(f *testing.F) {
	f.Add(200, "application/json", []byte(fine))
	f.Add(200, "application/json", []byte(`{"outputs":{"work":["a",{"b":1}]},"ReturnValue":{"work":"dGVzdA=="},"logs":["x"]}`))
	f.Add(204, "", []byte(""))
	function := &function{outputs: []binding{{Type: "http", Name: "res"}}}
	f.Fuzz(func(t *testing.T, status int, contentType string, body []byte) {
		a, err := parseAnswer(status, contentType, body)
		if err != nil {
			return
		}
		for _, name := range []string{"work", "$return"} {
			if value, ok := a.output(name, name == "$return"); ok {
				_, _ = messages(value, false)
			}
		}
		_, _ = httpReply(function, a)
	})
}

func FuzzEnvelopeIsJSON(f *testing.F) {
	f.Add(`{"kind":"x","n":1e3,"at":"2026-09-23T10:06:59Z","sys":{},"SYS":1,"t":true,"l":[],"z":null}`)
	f.Add("plain \xff text")
	function := &function{info: FunctionInfo{Name: "work"}, trigger: binding{Name: "message"}, random: newStream(1, "work")}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := newCall(function, text, queueMetadata(Message{ID: "1", DequeueCount: 1}))
		if err != nil {
			t.Fatal(err)
		}
		var e struct {
			Data     map[string]string
			Metadata map[string]json.RawMessage
		}
		if err := json.Unmarshal(c.body, &e); err != nil {
			t.Fatal(err)
		}
		var inner string
		if err := json.Unmarshal([]byte(e.Data["message"]), &inner); err != nil {
			t.Fatal(err)
		}
		if want := strings.ToValidUTF8(text, "\ufffd"); strings.ToValidUTF8(inner, "\ufffd") != want && !strings.ContainsRune(inner, '\ufffd') {
			t.Errorf("message = %q, want %q", inner, want)
		}
	})
}
