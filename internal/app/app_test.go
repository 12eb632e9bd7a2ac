package app

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tandem/internal/config"
)

func settings(t *testing.T, more ...string) config.Config {
	t.Helper()
	c, err := config.Load(append([]string{"TANDEM_STORE=embedded"}, more...))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestTheProgramIsAssembledFromItsSettings(t *testing.T) {
	o, err := FromSettings(settings(t, "TANDEM_TOPIC_ENDPOINT=https://topic.example/api/events", "TANDEM_TOPIC_KEY=k"), "w", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	a, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	if a.Handler() == nil {
		t.Error("no handler")
	}
}

func TestSettingsThatCannotWorkAreNamed(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ name, setting, want string }{
		{"a CA file that is not there", "TANDEM_CA_FILE=/nonexistent.pem", "TANDEM_CA_FILE"},
		{"a CA file without a certificate", "TANDEM_CA_FILE=" + empty, "holds no PEM certificate"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := FromSettings(settings(t, tt.setting), "w", slog.New(slog.DiscardHandler))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want an error with %q", err, tt.want)
			}
		})
	}
}

func TestSecretsComeFromTheSettingThatTheirNameSays(t *testing.T) {
	s := secrets{settings(t, "TANDEM_SECRET_LM1_API=bal:pass")}
	if c, err := s.Credentials(t.Context(), "lm1-api"); err != nil || c.User != "bal" || c.Password != "pass" {
		t.Errorf("got user %q, %v", c.User, err)
	}
	if _, err := s.Credentials(t.Context(), "lm2-api"); err == nil || !strings.Contains(err.Error(), "TANDEM_SECRET_LM2_API") {
		t.Errorf("got %v, want an error that names the missing setting", err)
	}
}

func TestMissingPartsAreRefused(t *testing.T) {
	if _, err := New(Options{Log: slog.New(slog.DiscardHandler)}); err == nil {
		t.Error("a program without its parts was assembled")
	}
}

// TestServeLetsRunningRequestsEnd stops the server while a request runs.
func TestServeLetsRunningRequestsEnd(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	begun := make(chan struct{})
	ctx, stop := context.WithCancel(t.Context())
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(begun)
		stop()
		time.Sleep(50 * time.Millisecond) // the server is stopping by now
		if r.Context().Err() == nil {
			_, _ = io.WriteString(w, "done")
		}
	})
	ended := make(chan error, 1)
	go func() { ended <- Serve(ctx, l, handler, slog.New(slog.DiscardHandler), 5*time.Second) }()
	resp, err := http.Get("http://" + l.Addr().String())
	<-begun
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if string(body) != "done" || err != nil {
		t.Errorf("the running request got %q, %v", body, err)
	}
	if err := <-ended; err != nil {
		t.Errorf("Serve ended with %v", err)
	}
}
