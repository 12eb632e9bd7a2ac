package azurite

import (
	"context"
	"errors"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestAStartedServerAnswersAndAStoppedOneIsGone(t *testing.T) {
	s, err := Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	endpoints := regexp.MustCompile(`(Blob|Queue|Table)Endpoint=(http://127\.0\.0\.1:\d+/devstoreaccount1);`).FindAllStringSubmatch(s.ConnectionString(), -1)
	if len(endpoints) != 3 {
		t.Fatalf("connection string %s: got %d endpoints, want 3", s.ConnectionString(), len(endpoints))
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
	for _, e := range endpoints {
		resp, err := client.Get(e[2])
		if err != nil {
			t.Fatalf("ask %s at %s: %v", e[1], e[2], err)
		}
		_ = resp.Body.Close()
		if got := resp.Header.Get("Server"); !strings.HasPrefix(got, "Azurite-"+e[1]) {
			t.Errorf("%s at %s: got the server %q", e[1], e[2], got)
		}
	}
	for range 2 {
		if err := s.Stop(); err != nil {
			t.Fatal(err)
		}
	}
	if resp, err := client.Get(endpoints[0][2]); err == nil {
		_ = resp.Body.Close()
		t.Error("a stopped server still answers")
	}
}

func TestAMissingInstallationIsExplained(t *testing.T) {
	t.Run("without node_modules in any directory above", func(t *testing.T) {
		t.Chdir(t.TempDir())
		if _, err := Start(t.Context()); !errors.Is(err, ErrMissing) {
			t.Errorf("got %v, want %v", err, ErrMissing)
		}
	})
	t.Run("without node", func(t *testing.T) {
		t.Setenv("PATH", t.TempDir())
		if _, err := Start(t.Context()); !errors.Is(err, ErrMissing) {
			t.Errorf("got %v, want %v", err, ErrMissing)
		}
	})
}

func TestAStartThatIsGivenUpLeavesNothingBehind(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if s, err := Start(ctx); err == nil {
		t.Errorf("got a server, want an error; stop: %v", s.Stop())
	} else if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
}

func TestTheLogKeepsItsEnd(t *testing.T) {
	var l tail
	_, _ = l.Write([]byte(strings.Repeat("x", maxLog)))
	_, _ = l.Write([]byte("the end"))
	if got := l.String(); len(got) != maxLog || !strings.HasSuffix(got, "xthe end") {
		t.Errorf("got %d bytes ending in %q", len(got), got[len(got)-10:])
	}
}
