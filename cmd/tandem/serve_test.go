package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

// served is the program as it serves.
type served struct {
	address string
	stop    context.CancelFunc
	ended   chan answer
}

// startServing runs the program as a custom handler and waits for the line that
// says where it listens.
func startServing(t *testing.T, environ []string, args ...string) served {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	read, write := io.Pipe()
	s := served{stop: cancel, ended: make(chan answer, 1)}
	go func() {
		var errs bytes.Buffer
		code := run(ctx, &console{out: write, err: &errs, environ: environ}, args)
		_ = write.Close()
		s.ended <- answer{code: code, err: errs.String()}
	}()
	var line struct{ Msg, Address string }
	dec := json.NewDecoder(read)
	if err := dec.Decode(&line); err != nil || line.Msg != "serving" {
		t.Fatalf("got %+v, %v; standard error %+v", line, err, <-s.ended)
	}
	go func() { _, _ = io.Copy(io.Discard, read) }() // ends with the program
	s.address = line.Address
	return s
}

func (s served) get(t *testing.T, path string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+s.address+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

func TestTheProgramServesWithAndWithoutTheWord(t *testing.T) {
	for _, args := range [][]string{{"serve"}, nil} {
		start := time.Now()
		s := startServing(t, []string{"TANDEM_STORE=embedded", "TANDEM_LISTEN=127.0.0.1:0"}, args...)
		status, body := s.get(t, "/")
		t.Logf("tandem %v: first answer after %v", args, time.Since(start))
		if status != http.StatusOK || !json.Valid([]byte(body)) {
			t.Errorf("GET / answers %d %q, expected a JSON object", status, body)
		}
		if status, body := s.get(t, "/api/pairs"); status != http.StatusOK || !strings.Contains(body, `"pairs":[]`) {
			t.Errorf("GET /api/pairs answers %d %q", status, body)
		}
		s.stop()
		if got := <-s.ended; got != (answer{code: exitDone}) {
			t.Errorf("after a signal: %+v", got)
		}
	}
}

func TestTheHostsPortComesFirst(t *testing.T) {
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	environ := []string{"TANDEM_STORE=embedded", "TANDEM_LISTEN=127.0.0.1:0", "FUNCTIONS_CUSTOMHANDLER_PORT=" + strconv.Itoa(port)}

	// While another has the port the program fails, so that the host tries again.
	if got := (command{environ: environ}).run(t, "serve"); got.code != exitFailed || !strings.Contains(got.err, "listen for the Functions host") {
		t.Errorf("on a port that is taken: %+v", got)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	s := startServing(t, environ, "serve")
	if want := "127.0.0.1:" + strconv.Itoa(port); s.address != want {
		t.Errorf("listens on %s, want %s", s.address, want)
	}
	s.stop()
	<-s.ended
}

func TestWrongSettingsAreAllTold(t *testing.T) {
	got := command{environ: []string{"TANDEM_STORE=paper", "TANDEM_LEASE=forever", "TANDEM_SECRET_LM1_API={not a secret"}}.run(t, "serve")
	if got.code != exitBadInput || got.out != "" {
		t.Errorf("got %+v", got)
	}
	has(t, "the error", got.err, "the settings are wrong", "TANDEM_STORE", "TANDEM_LEASE", "TANDEM_SECRET_LM1_API")
	if strings.Contains(got.err, "not a secret") {
		t.Errorf("a secret is shown: %s", got.err)
	}
}
