package host

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

// TestMain lets the test binary play the handler: the host starts it again
// with LAB_HANDLER among the app settings.
func TestMain(m *testing.M) {
	if os.Getenv("LAB_HANDLER") != "" {
		playHandler()
		return
	}
	os.Exit(m.Run())
}

func playHandler() {
	port := os.Getenv("FUNCTIONS_CUSTOMHANDLER_PORT")
	http.HandleFunc("/api/hello", func(w http.ResponseWriter, _ *http.Request) {
		dir, _ := os.Getwd()
		fmt.Fprint(w, port, " ", os.Getenv("FUNCTIONS_CUSTOMHANDLER_WORKER_ID"), " ", dir, " ", os.Getenv("FUNCTIONS_APP_ROOT_PATH"), " ", strings.Join(os.Args[1:], ","))
	})
	http.HandleFunc("/api/exit/", func(_ http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(os.Stderr, "asked to exit")
		code, _ := strconv.Atoi(strings.TrimPrefix(r.URL.Path, "/api/exit/"))
		os.Exit(code)
	})
	fmt.Println("handler listens on", port)
	if err := http.ListenAndServe("127.0.0.1:"+port, nil); err != nil {
		os.Exit(9)
	}
}

func TestExec(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	root := fstest.MapFS{
		"host.json":         {Data: fmt.Appendf(nil, `{"version":"2.0","customHandler":{"enableForwardingHttpRequest":true,"description":{"defaultExecutablePath":%q,"arguments":["serve"]}}}`, self)},
		"api/function.json": {Data: []byte(`{"bindings":[` + httpIn + `,` + httpOut + `]}`)},
	}
	lines := make(chan string, 1000)
	h, err := New(Config{
		App: root, Launcher: Exec{Dir: dir}, Settings: map[string]string{"LAB_HANDLER": "1"},
		Log: func(level, line string) { lines <- level + " " + line },
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- h.Run(ctx) }()
	for h.current() == nil {
		time.Sleep(time.Millisecond)
	}
	get := func(path string) (int, []string) {
		recorder := httptest.NewRecorder()
		h.Handler().ServeHTTP(recorder, httptest.NewRequest("GET", path, nil))
		return recorder.Code, strings.Fields(recorder.Body.String())
	}

	status, first := get("/api/hello")
	if status != 200 || len(first) != 5 || first[2] != dir || first[3] != dir || first[4] != "serve" {
		t.Fatalf("first answer = %d %q", status, first)
	}
	h.Kill()
	second := whenChanged(t, get, first)
	if status, _ := get("/api/exit/200"); status != 500 {
		t.Errorf("a request cut by the handler's exit = %d", status)
	}
	third := whenChanged(t, get, second)
	if _, err := net.Dial("tcp", "127.0.0.1:"+first[0]); err == nil && first[0] != third[0] {
		t.Error("the killed handler still listens")
	}

	get("/api/exit/0")
	if status, _ := get("/api/hello"); status != 500 {
		t.Errorf("after exit code 0 the handler answered %d", status)
	}
	h.Restart()
	fourth := whenChanged(t, get, third)
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Run = %v", err)
	}
	if _, err := net.Dial("tcp", "127.0.0.1:"+fourth[0]); err == nil {
		t.Error("the handler outlived the host")
	}
	close(lines)
	said := map[string]bool{}
	for line := range lines {
		said[line] = true
	}
	for _, want := range []string{LevelInformation + " handler listens on " + first[0], LevelError + " asked to exit"} {
		if !said[want] {
			t.Errorf("log has no line %q", want)
		}
	}
}

// whenChanged asks until another process answers.
func whenChanged(t *testing.T, get func(string) (int, []string), before []string) []string {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for time.Now().Before(deadline) {
		if status, answer := get("/api/hello"); status == 200 && answer[1] != before[1] {
			return answer
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatal("no new process answers")
	return nil
}

func TestExecReportsAMissingProgram(t *testing.T) {
	_, err := Exec{Dir: t.TempDir()}.Start(t.Context(), Environment{Program: "./no-such-handler"})
	if err == nil {
		t.Error("a missing program was started")
	}
}
