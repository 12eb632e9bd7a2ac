package api_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"tandem/internal/api"
	"tandem/internal/manifest"
	"tandem/internal/pair"
)

// methods are those that a caller may try.
var methods = []string{http.MethodGet, http.MethodHead, http.MethodPut, http.MethodPost, http.MethodDelete, http.MethodPatch}

// FuzzEveryRequestIsAnsweredInJSON asks anything: the answer is never a fault
// of ours, has its length, and is a JSON object, of a problem one that repeats
// its status.
func FuzzEveryRequestIsAnsweredInJSON(f *testing.F) {
	const get, put, post = 0, 2, 3
	id := pair.ID("edge", 1, 2)
	for _, path := range []string{
		"/api/pairs?after=edge", "/api/pairs/edge", "/api/pairs/edge/journal?limit=1&before=" + id, "/api/pairs/edge/journal/" + id,
		"/api/jobs?after=x", "/api/pairs/edge/jobs", "/api/openapi.json", "/api/pairs/%2e%2e%2F/journal/..", "/api/pairs/edge/journal?limit=-1&before=edge-1", "/",
	} {
		f.Add(byte(get), path, "")
		f.Add(byte(len(path)), path, "{}")
	}
	f.Add(byte(put), "/api/pairs/edge?dryRun=true", file("edge"))
	f.Add(byte(put), "/api/pairs/other", strings.Replace(file("other"), "10.0.0.4", "{}", 1))
	f.Add(byte(post), "/api/pairs/edge/pause", `{"by":"ann","reason":"work","for":"2h","unit":"second"}`)
	f.Add(byte(post), "/api/pairs/edge/approve?dryRun=true", `{"by":"ann","plan":"abc"}`)
	f.Add(byte(post), "/api/pairs/edge/remove", `{"by":"ann","reason":"sold"}`)
	f.Add(byte(post), "/api/stop", `{"by":"ann","reason":"work","until":"9999-12-31T23:59:59Z"}`)
	f.Fuzz(func(t *testing.T, number byte, path, body string) {
		method := methods[int(number)%len(methods)]
		if !canBeAsked(method, path) {
			return // no such request can be made
		}
		s := serve(t)
		s.define("edge")
		s.entries("edge", 2)
		resp := s.ask(method, path, body)
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode == http.StatusMovedPermanently || resp.StatusCode == http.StatusTemporaryRedirect {
			return // to the path without dots, by net/http
		}
		if resp.StatusCode >= http.StatusInternalServerError {
			t.Errorf("%s %s: a fault of ours: %s\n%s", method, path, b, s.log)
		}
		if got := resp.Header.Get("Content-Length"); got != strconv.Itoa(len(b)) {
			t.Errorf("%s %s: Content-Length %q of %d bytes", method, path, got, len(b))
		}
		var object map[string]any
		if err := json.Unmarshal(b, &object); err != nil || object == nil {
			t.Fatalf("%s %s: no JSON object: %s", method, path, b)
		}
		if resp.StatusCode != http.StatusOK && object["status"] != float64(resp.StatusCode) {
			t.Errorf("%s %s: status %d says %s", method, path, resp.StatusCode, b)
		}
	})
}

// canBeAsked reports whether a request with this target reaches a server.
func canBeAsked(method, path string) bool {
	_, err := http.ReadRequest(bufio.NewReader(strings.NewReader(method + " " + path + " HTTP/1.0\r\n\r\n")))
	return err == nil && strings.HasPrefix(path, "/")
}

// FuzzADefinitionIsTakenByTheRulesOfItsFile puts any file: it is taken exactly
// if the reader of pair files takes it, a refusal is the caller's mistake, and
// the same file again changes nothing.
func FuzzADefinitionIsTakenByTheRulesOfItsFile(f *testing.F) {
	f.Add(file("edge"))
	f.Add(file("edge") + "---\n" + file("other"))
	f.Add("name: edge")
	f.Add("{")
	f.Add("")
	example, err := os.ReadFile(filepath.Join("..", "..", "examples", "edge-weu.yaml"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(example))
	f.Fuzz(func(t *testing.T, content string) {
		name := "edge"
		ds, err := manifest.Read("file", strings.NewReader(content))
		right := err == nil && len(ds) == 1
		if right {
			name = ds[0].Name
		}
		s := serve(t)
		for _, want := range []string{"created", "unchanged"} {
			got, err := s.client.Apply(t.Context(), name, []byte(content), false)
			if right != (err == nil) {
				t.Fatalf("the reader of pair files takes it is %t, the API says %v", right, err)
			}
			if err != nil {
				if !errors.Is(err, pair.ErrInvalid) && !errors.Is(err, pair.ErrTooLarge) {
					t.Errorf("not the caller's mistake: %v", err)
				}
				return
			}
			if got.Change != want || got.Name != name {
				t.Errorf("%+v, want %s", got, want)
			}
		}
	})
}

// answers is a network on which every request has the same answer.
type answers struct {
	status int
	body   string
}

func (a answers) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{
		StatusCode: a.status, Header: http.Header{"Location": {"/elsewhere"}}, Body: io.NopCloser(strings.NewReader(a.body)), Request: r,
	}, nil
}

// FuzzTheClientTakesOnlyAnAnswerForSuccess gives a command any answer: what is
// not a 200 with JSON is an error with an exit code, and an error that the
// server explained keeps its words.
func FuzzTheClientTakesOnlyAnAnswerForSuccess(f *testing.F) {
	f.Add(200, `{"v":1,"name":"edge","mode":"auto","situation":"healthy","epoch":3}`)
	f.Add(200, `{"v":1,"name":"edge","mode":"a word of tomorrow"}`)
	f.Add(404, `{"kind":"not-found","status":404,"detail":"pair edge: not found"}`)
	f.Add(409, `{"kind":"a kind of tomorrow","status":409,"detail":"x","mistakes":[{"expected":"y"}]}`)
	f.Add(401, ``)
	f.Add(302, `<html>`)
	f.Fuzz(func(t *testing.T, status int, body string) {
		status = 200 + int(uint(status-200)%400) // each number is a status that a server can send
		c, err := api.NewClient("https://tandem.test", "key", &http.Client{Transport: answers{status, body}})
		if err != nil {
			t.Fatal(err)
		}
		_, errPair := c.Pair(t.Context(), "edge")
		_, errJournal := c.Journal(t.Context(), "edge", 1, "")
		_, errApply := c.Apply(t.Context(), "edge", []byte("x"), true)
		for _, err := range []error{errPair, errJournal, errApply} {
			if err == nil && (status != http.StatusOK || !json.Valid([]byte(body))) {
				t.Errorf("status %d with %q is a success", status, body)
			}
			if code := api.ExitCode(err); (code == 0) != (err == nil) || code < 0 || code > 2 {
				t.Errorf("exit code %d for %v", code, err)
			}
			if problem, ok := errors.AsType[*api.Error](err); ok && err.Error() != problem.Problem.Detail {
				t.Errorf("%q says %q", problem.Problem.Detail, err)
			}
		}
	})
}
