package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"tandem/internal/lab"
)

func TestTheListOfStoriesIsForPeopleAndPrograms(t *testing.T) {
	all, err := lab.Scenarios()
	if err != nil || len(all) == 0 {
		t.Fatal(err)
	}
	text := command{}.run(t, "lab", "--list")
	printed := command{}.run(t, "lab", "--list", "-o", "json")
	if text.code != exitDone || printed.code != exitDone {
		t.Fatalf("got %+v and %+v", text, printed)
	}
	var told map[string][]map[string]string
	if err := json.Unmarshal([]byte(printed.out), &told); err != nil || len(told) != 1 || len(told["scenarios"]) != len(all) {
		t.Fatalf("%v in:\n%s", err, printed.out)
	}
	for i, s := range all {
		one := told["scenarios"][i]
		if len(one) != 2 || one["name"] != s.Name || one["summary"] != s.Summary {
			t.Errorf("got %v, want the name and the summary of %s", one, s.Name)
		}
		has(t, "the list", text.out, s.Name+" ", s.Summary)
	}
}

func TestTheOpenQuestionsAreListedWithTheirAnswers(t *testing.T) {
	has(t, "the list", command{}.run(t, "lab", "--list-options").out, "second-write", "supersedes|refused", "azure.md 1.9")
	var told struct {
		Options []struct {
			Name, About string
			Answers     []string
		}
	}
	got := command{}.run(t, "lab", "--list-options", "-o", "json")
	if err := json.Unmarshal([]byte(got.out), &told); err != nil || len(told.Options) != len(lab.OpenQuestions) {
		t.Errorf("%v in:\n%s", err, got.out)
	}
}

func TestAStoryIsPrintedAsJSON(t *testing.T) {
	t.Parallel()
	got := runApart(t, "lab", "--scenario", "first-crashes", "--seed", "3", "-o", "json")
	if got.code != exitDone || got.err != "" {
		t.Fatalf("exit code %d: %s", got.code, got.err)
	}
	var told struct {
		Scenario      string
		Seed          uint64
		Passed        bool
		OutageSeconds struct{ Tandem, LoadBalancerOnly float64 }
		Timeline      []struct{ At, Source, Event string }
		Decisions     []struct{ ID, At, Row, Reason string }
	}
	if err := json.Unmarshal([]byte(got.out), &told); err != nil {
		t.Fatal(err)
	}
	if told.Scenario != "first-crashes" || told.Seed != 3 || !told.Passed || told.OutageSeconds.Tandem <= 0 || told.OutageSeconds.LoadBalancerOnly <= 0 {
		t.Errorf("got %+v", told)
	}
	if !slices.ContainsFunc(told.Decisions, func(d struct{ ID, At, Row, Reason string }) bool {
		return d.Row == "degraded" && d.ID != "" && d.Reason != ""
	}) {
		t.Errorf("decisions %+v: degraded is missing", told.Decisions)
	}
	clock := regexp.MustCompile(`^\d\d:\d\d:\d\d\.\d{3}$`)
	for _, m := range told.Timeline {
		if !clock.MatchString(m.At) || m.Source == "" || m.Event == "" {
			t.Errorf("moment %+v", m)
		}
	}
	var keys map[string]any
	if err := json.Unmarshal([]byte(got.out), &keys); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"scenario", "seed", "passed", "outageSeconds", "timeline", "decisions"} {
		if _, there := keys[key]; !there {
			t.Errorf("key %q is missing", key)
		}
	}
}

func TestAStoryIsToldInPlainTextTheSameForTheSameSeed(t *testing.T) {
	t.Parallel()
	args := []string{"lab", "--scenario", "partner-link-cut", "--speed", "0"}
	one, two := runApart(t, args...), runApart(t, args...)
	if one.code != exitDone || one.err != "" {
		t.Fatalf("exit code %d: %s", one.code, one.err)
	}
	if one != two {
		t.Errorf("two runs differ:\n%s\n%s", one.out, two.out)
	}
	has(t, "the story", one.out, "partner-link-cut (seed 1)", "the link between the units is cut", "decides fence", "load balancer alone", "as expected")
	if strings.Contains(one.out, "\x1b") {
		t.Error("there are colours off a terminal")
	}
}

func TestAStoryThatDoesNotEndAsExpectedFails(t *testing.T) {
	t.Parallel()
	got := runApart(t, "lab", "--scenario", "partner-link-cut-survivor-yields", "--option", "no-preference-healing=first", "-o", "json")
	var told struct {
		Passed   bool
		Failures []string
	}
	if err := json.Unmarshal([]byte(got.out), &told); err != nil || got.code != exitFailed || told.Passed || len(told.Failures) == 0 || got.err != "" {
		t.Errorf("exit code %d, %v, %q\n%s", got.code, err, told.Failures, got.err)
	}
}

// running is the program in a process of its own, as it goes.
type running struct {
	t    *testing.T
	cmd  *exec.Cmd
	out  *bufio.Scanner
	rest io.Reader
	errs strings.Builder
}

// start starts the program; it is ended at the latest with the test.
func start(t *testing.T, args ...string) *running {
	t.Helper()
	program := binary(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	r := &running{t: t, cmd: exec.CommandContext(ctx, program, args...)}
	r.cmd.Stderr = &r.errs
	out, err := r.cmd.StdoutPipe()
	if err == nil {
		err = r.cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	r.out, r.rest = bufio.NewScanner(out), out
	return r
}

// line reads until a line that matches and returns what its groups found.
func (r *running) line(form string) []string {
	r.t.Helper()
	wanted := regexp.MustCompile(form)
	for r.out.Scan() {
		if found := wanted.FindStringSubmatch(r.out.Text()); found != nil {
			return found
		}
	}
	r.t.Fatalf("the program ended without a line like %s: %s", form, r.errs.String())
	return nil
}

// interrupt presses Ctrl-C and returns how the program ended.
func (r *running) interrupt() answer {
	r.t.Helper()
	if err := r.cmd.Process.Signal(os.Interrupt); err != nil {
		r.t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, r.rest) // else it might wait for its reader
	_ = r.cmd.Wait()                   // the exit code says it
	return answer{code: r.cmd.ProcessState.ExitCode(), err: r.errs.String()}
}

func TestAStoryInRealTimeIsOpenToOtherProgramsUntilInterrupted(t *testing.T) {
	t.Parallel()
	r := start(t, "lab", "--scenario", "healthy-hour", "--proxy", "127.0.0.1:0")
	address := r.line(`^proxy on (\S+): curl`)[1]
	client := &http.Client{Transport: &http.Transport{Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: address}), DisableKeepAlives: true}}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://10.0.0.4:8444/", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatalf("ask the check port through %q: %v", address, err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("the first unit's check port answers %d through the proxy", resp.StatusCode)
	}
	if got := r.interrupt(); got != (answer{code: exitDone}) {
		t.Errorf("after Ctrl-C: %+v", got)
	}
}

func TestCtrlCEndsAStory(t *testing.T) {
	t.Parallel()
	r := start(t, "lab", "--scenario", "first-crashes", "--speed", "10")
	r.line("00:00:")
	if got := r.interrupt(); got != (answer{code: exitFailed, err: "tandem: stopped\n"}) {
		t.Errorf("got %+v", got)
	}
}
