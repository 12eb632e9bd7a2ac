package handlers_test

import (
	"encoding/json"
	"net/http"
	"path/filepath"
	"regexp"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"tandem/internal/pair"
)

// functions are all that the host invokes with a payload.
var functions = []string{"/VMHealth", "/ResourceChanged", "/Sweep", "/ReconcilePair"}

// heard is what the program was told by an invocation.
type heard struct {
	Status   int
	Calls    []string
	Facts    []pair.Evidence
	Messages []pair.Message
}

func hear(t *testing.T, function string, body []byte) heard {
	t.Helper()
	w := newWorld(t, nil)
	answer := w.call(function, body)
	checkAnswer(t, answer, answer.Code)
	return heard{answer.Code, w.program.calls, w.program.facts, w.program.messages}
}

// FuzzPackingAndMetadataChangeNothing packs a trigger's value in each way that
// the host knows, with any metadata beside it: the program must hear the same,
// because how a value comes is the host's choice, and metadata is in part the
// sender's (functions-host.md 2.2, 2.3).
func FuzzPackingAndMetadataChangeNothing(f *testing.F) {
	files, err := filepath.Glob("testdata/*.json")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		var sampled struct{ Data map[string]json.RawMessage }
		if err := json.Unmarshal(sample(f, filepath.Base(file)), &sampled); err != nil {
			f.Fatal(err)
		}
		for _, value := range sampled.Data {
			var text string
			if json.Unmarshal(value, &text) == nil {
				value = json.RawMessage(text)
			}
			f.Add(string(value), `{"sys":{"MethodName":"VMHealth"}}`)
		}
	}
	f.Add(`{"v":1,"kind":"wake","pairs":["edge-weu"]}`, `{"kind":"job","pairs":["other"],"Data":{"x":{}}}`)
	f.Fuzz(func(t *testing.T, value, metadata string) {
		isValue := json.Valid([]byte(value)) && utf8.ValidString(value) && (value[0] == '{' || value[0] == '[')
		if !isValue || !json.Valid([]byte(metadata)) {
			t.Skip()
		}
		bare := invocation(t, json.RawMessage(value), "")
		for _, function := range functions {
			want := hear(t, function, bare)
			for _, body := range [][]byte{
				invocation(t, json.RawMessage(value), metadata),
				invocation(t, value, metadata),
				invocation(t, string(jsonOf(t, value)), metadata),
			} {
				if diff := cmp.Diff(want, hear(t, function, body)); diff != "" {
					t.Errorf("%s hears something else (-bare +packed)\n%s\n%s", function, diff, body)
				}
			}
		}
	})
}

// invocation packs a value, with metadata unless that is empty.
func invocation(t *testing.T, value any, metadata string) []byte {
	t.Helper()
	body := map[string]any{"Data": map[string]any{"trigger": value}}
	if metadata != "" {
		body["Metadata"] = json.RawMessage(metadata)
	}
	return jsonOf(t, body)
}

func jsonOf(t *testing.T, value any) []byte {
	t.Helper()
	b, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// FuzzAMessageThatIsPutBackSaysTheSame takes the text of a queue message. What
// of it reaches the program is bounded and well formed; and when the program
// puts it back, as it does after a passing fault, it is heard again unchanged.
func FuzzAMessageThatIsPutBackSaysTheSame(f *testing.F) {
	f.Add(`{"v":1,"kind":"wake","pairs":["edge-weu"],"cause":{"kind":"sweep"},"attempt":3}`)
	f.Add(`{"kind":"wake","pairs":["a","a-1"],"cause":{"kind":"again","epoch":18446744073709551615}}`)
	f.Add(`{"v":1,"kind":"wake","pairs":["edge"],"cause":{"kind":"vm","evidence":[{"kind":"stopped","vm":"/x","at":"2026-09-23T12:06:03.5+02:00","byPerson":true,"eventId":"e"}]}}`)
	f.Add(`{"v":1,"kind":"wake","pairs":["edge"],"cause":{"kind":"a word of tomorrow","evidence":[{"kind":"another"}],"resource":"/X"},"more":[1]}`)
	f.Add(`{"v":2,"kind":"job","job":"x"}`)
	f.Add(`{"v":1,"kind":"wake","pairs":["Edge","-","a--b",""]}`)
	name := regexp.MustCompile(`^[a-z]([a-z0-9]|-[a-z0-9]){0,39}$`)
	f.Fuzz(func(t *testing.T, text string) {
		first := hear(t, "/ReconcilePair", message(t, text))
		if len(first.Messages) == 0 {
			return
		}
		m := first.Messages[0]
		if m.V != 1 || m.Kind != "wake" || m.Attempt < 0 || len(m.Pairs) == 0 || len(m.Pairs) > 50 {
			t.Errorf("an unchecked message: %+v", m)
		}
		for _, n := range m.Pairs {
			if !name.MatchString(n) || len(n) > 40 {
				t.Errorf("%q is no name of a pair", n)
			}
		}
		again := hear(t, "/ReconcilePair", message(t, string(jsonOf(t, m))))
		if diff := cmp.Diff(first, again, cmpopts.EquateEmpty()); diff != "" || again.Status != http.StatusOK {
			t.Errorf("status %d (-first +again)\n%s", again.Status, diff)
		}
	})
}
