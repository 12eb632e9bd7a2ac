package api_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"tandem/internal/api"
	"tandem/internal/pair"
)

func TestAServersAddressIsCheckedAndNotRepeated(t *testing.T) {
	for _, server := range []string{
		"", "tandem-weu.azurewebsites.net", "ftp://host", "https://", "https://:443", "://", "https://host:port:more",
		"https://user:sesame@host", "https://host/?code=sesame", "https://host/#sesame",
	} {
		_, err := api.NewClient(server, "", http.DefaultClient)
		if !errors.Is(err, pair.ErrInvalid) || api.ExitCode(err) != 2 {
			t.Errorf("server %q: %v, want invalid", server, err)
		}
		if err != nil && strings.Contains(err.Error(), "sesame") {
			t.Errorf("server %q: the error repeats what may be a secret: %v", server, err)
		}
	}
}

// answering is a client of a server that always answers in one way.
func answering(t *testing.T, answer http.HandlerFunc) *api.Client {
	t.Helper()
	web := httptest.NewServer(answer)
	t.Cleanup(web.Close)
	c, err := api.NewClient(web.URL, "sesame", web.Client())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestTheClientExplainsWhatIsNoAnswerOfOurs(t *testing.T) {
	const html = "<!DOCTYPE html><title>secret page</title>"
	tests := []struct {
		name   string
		answer http.HandlerFunc
		kind   error
		says   string
	}{
		{"401 without a body: the host refused the key", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(401) }, pair.ErrRefused, "--key"},
		{"403 with a page", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(403)
			_, _ = io.WriteString(w, html)
		}, pair.ErrRefused, "--key"},
		{"a page instead of an answer", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, html) }, pair.ErrUnreadable, ""},
		{"a page with 502", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(502)
			_, _ = io.WriteString(w, html)
		}, pair.ErrUnreachable, "502"},
		{"200 without a body", func(http.ResponseWriter, *http.Request) {}, pair.ErrUnreadable, ""},
		{"a problem of a kind that a newer release knows", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(418)
			_, _ = io.WriteString(w, `{"kind":"teapot","status":418,"detail":"short and stout"}`)
		}, nil, "short and stout"},
		{"a connection that breaks off", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, "{")
		}, pair.ErrUnreachable, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := answering(t, tt.answer).Pair(t.Context(), "edge")
			if err == nil || tt.kind != nil && !errors.Is(err, tt.kind) || !strings.Contains(err.Error(), tt.says) {
				t.Fatalf("%v, want kind %v and %q", err, tt.kind, tt.says)
			}
			if strings.Contains(err.Error(), "secret page") || strings.Contains(err.Error(), "sesame") {
				t.Errorf("the error shows too much: %v", err)
			}
			if api.ExitCode(err) != 1 {
				t.Errorf("exit code %d, want 1", api.ExitCode(err))
			}
		})
	}
}

func TestAServerThatIsNotThere(t *testing.T) {
	web := httptest.NewServer(http.NotFoundHandler())
	web.Close()
	c, err := api.NewClient(web.URL, "sesame", web.Client())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Pairs(t.Context()); !errors.Is(err, pair.ErrUnreachable) || strings.Contains(err.Error(), "sesame") {
		t.Errorf("%v, want unreachable, without the key", err)
	}
}

// TestAnAnswerThatNeverEndsIsBounded has a server that goes on writing.
func TestAnAnswerThatNeverEndsIsBounded(t *testing.T) {
	sent := 0
	c := answering(t, func(w http.ResponseWriter, _ *http.Request) {
		chunk := []byte(strings.Repeat(" ", 1<<20))
		for sent = 0; sent < 4*api.AnswerMax; {
			n, err := w.Write(chunk)
			if sent += n; err != nil {
				return
			}
		}
	})
	if _, err := c.Pair(t.Context(), "edge"); !errors.Is(err, pair.ErrUnreadable) {
		t.Errorf("%v, want unreadable", err)
	}
}

// TestTheKeyTravelsInItsHeaderOnly looks at every request of the client.
func TestTheKeyTravelsInItsHeaderOnly(t *testing.T) {
	var requests int
	c := answering(t, func(w http.ResponseWriter, r *http.Request) {
		requests++
		if got := r.Header.Get("X-Functions-Key"); got != "sesame" {
			t.Errorf("%s %s: key %q in the header", r.Method, r.URL, got)
		}
		r.Header.Del("X-Functions-Key")
		body, _ := io.ReadAll(r.Body)
		all := r.URL.String() + string(body)
		for name, values := range r.Header {
			all += name + strings.Join(values, " ")
		}
		if strings.Contains(all, "sesame") {
			t.Errorf("%s %s: the key stands elsewhere too", r.Method, r.URL)
		}
		if r.ContentLength < 0 {
			t.Errorf("%s %s: no Content-Length, the host loses such a body", r.Method, r.URL)
		}
		_, _ = io.WriteString(w, "{}")
	})
	ctx := t.Context()
	_, err1 := c.Apply(ctx, "edge", []byte("kind: Pair"), true)
	_, err2 := c.Pairs(ctx)
	_, err3 := c.Pair(ctx, "edge")
	_, err4 := c.Journal(ctx, "edge", 3, "")
	_, err5 := c.Entry(ctx, "edge", "id")
	if err := errors.Join(err1, err2, err3, err4, err5); err != nil || requests != 5 {
		t.Errorf("%d requests, %v", requests, err)
	}
}

// TestARedirectIsNotFollowed would carry the key to another server.
func TestARedirectIsNotFollowed(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the client followed") }))
	defer elsewhere.Close()
	c := answering(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
	})
	if _, err := c.Pair(t.Context(), "edge"); !errors.Is(err, pair.ErrUnreachable) || !strings.Contains(err.Error(), "307") {
		t.Errorf("%v, want an error with the status", err)
	}
}

// TestNamesAreEscaped asks for a pair whose name is a path.
func TestNamesAreEscaped(t *testing.T) {
	var path string
	c := answering(t, func(w http.ResponseWriter, r *http.Request) {
		path = r.URL.EscapedPath()
		_, _ = io.WriteString(w, "{}")
	})
	if _, err := c.Pair(t.Context(), "../x?y"); err != nil || path != "/api/pairs/..%2Fx%3Fy" {
		t.Errorf("path %q, %v", path, err)
	}
}

func TestAKeyTravelsInClearTextToThisMachineOnly(t *testing.T) {
	for server, want := range map[string]error{
		"http://tandem.example":   pair.ErrInvalid,
		"http://10.0.0.4":         pair.ErrInvalid,
		"http://127.0.10.9:80":    nil,
		"http://localhost:7071":   nil,
		"https://tandem.example":  nil,
		"http://127.0.0.1.attack": pair.ErrInvalid,
	} {
		if _, err := api.NewClient(server, "key", http.DefaultClient); !errors.Is(err, want) {
			t.Errorf("%s with a key: %v, want %v", server, err, want)
		}
		if _, err := api.NewClient(server, "", http.DefaultClient); err != nil {
			t.Errorf("%s without a key: %v", server, err)
		}
	}
}
