package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spf13/cobra"
)

// built is the program in a file, for what needs a process of its own: virtual
// time and signals. It is built when the first test asks, without the race
// detector, with which a story takes ten times as long; the tests of
// internal/story play all of them with it.
var built struct {
	once sync.Once
	dir  string
	err  error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if err := os.RemoveAll(built.dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// binary returns the name of the built program.
func binary(t *testing.T) string {
	t.Helper()
	built.once.Do(func() {
		if built.dir, built.err = os.MkdirTemp("", "tandem-command-"); built.err != nil {
			return
		}
		// As `make app` builds it, so that what it compiled is used again.
		build := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-o", filepath.Join(built.dir, "tandem"), ".")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			built.err = fmt.Errorf("go build: %w\n%s", err, out)
		}
	})
	if built.err != nil {
		t.Fatal(built.err)
	}
	return filepath.Join(built.dir, "tandem")
}

// answer is what a command printed and its exit code.
type answer struct {
	code     int
	out, err string
}

// command is one run of the program.
type command struct {
	environ []string
	in      string
	colors  bool
	live    bool
	asks    bool
}

// run runs a command in this process.
func (c command) run(t *testing.T, args ...string) answer {
	t.Helper()
	return c.runUntil(t.Context(), args...)
}

// runUntil runs a command until it ends or ctx does, as by Ctrl-C.
func (c command) runUntil(ctx context.Context, args ...string) answer {
	var out, errs bytes.Buffer
	code := run(ctx, &console{
		out: &out, err: &errs, in: strings.NewReader(c.in), environ: c.environ, colors: c.colors, live: c.live, asks: c.asks, every: time.Millisecond,
	}, args)
	return answer{code, out.String(), errs.String()}
}

// runApart runs a command in a process of its own.
func runApart(t *testing.T, args ...string) answer {
	t.Helper()
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(t.Context(), binary(t), args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return answer{cmd.ProcessState.ExitCode(), out.String(), errs.String()}
}

// file writes a file of the test and returns its name.
func file(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// has demands that a text has all the words.
func has(t *testing.T, what, text string, words ...string) {
	t.Helper()
	for _, word := range words {
		if !strings.Contains(text, word) {
			t.Errorf("%s: %q is missing in:\n%s", what, word, text)
		}
	}
}

func TestMistakesOfTheCallerHaveTheirOwnExitCodeAndOneErrorLine(t *testing.T) {
	server := "http://127.0.0.1:1" // nobody is asked
	tests := []struct {
		name string
		args []string
		says string
	}{
		{"a word that is no command", []string{"nonsense"}, `"nonsense"`},
		{"a flag that is none", []string{"status", "--nonsense"}, "tandem status --help"},
		{"an output form that is none", []string{"version", "-o", "yaml"}, "expected text or json"},
		{"an argument too many", []string{"version", "more"}, `"more"`},
		{"an argument too few", []string{"history", "--server", server}, "tandem history --help"},
		{"a number that is none", []string{"history", "edge-weu", "--limit", "many"}, "--limit"},
		{"no pair file", []string{"validate"}, "-f edge-weu.yaml"},
		{"no pair file to apply", []string{"apply", "--server", server}, "-f edge-weu.yaml"},
		{"a pair file that is not there", []string{"validate", "-f", filepath.Join("nowhere", "x.yaml")}, "nowhere"},
		{"no server", []string{"status"}, "--server or TANDEM_SERVER"},
		{"a server that is no address", []string{"status", "--server", "tandem-weu"}, "https://tandem-weu.azurewebsites.net"},
		{"a pause of nobody", []string{"pause", "--reason", "x", "--server", server}, "expected one pair, or --all"},
		{"a pause of one and all", []string{"pause", "edge-weu", "--all", "--reason", "x", "--server", server}, "expected one pair, or --all"},
		{"a pause for nothing", []string{"pause", "edge-weu", "--by", "ann", "--for", "0s", "--server", server}, "--for"},
		{"a pause until a day", []string{"pause", "edge-weu", "--by", "ann", "--until", "tomorrow", "--server", server}, "--until"},
		{"a maintenance of no unit", []string{"pause", "edge-weu", "--by", "ann", "--unit", "third", "--server", server}, "first or second"},
		{"a maintenance of no unit at all", []string{"maintenance", "edge-weu", "--by", "ann", "--reason", "x", "--server", server}, "--unit: expected first or second"},
		{"a switchover to no unit", []string{"switchover", "edge-weu", "--by", "ann", "--to", "third", "--server", server}, "--to"},
		{"a drain of nothing", []string{"switchover", "edge-weu", "--by", "ann", "--drain", "0s", "--server", server}, "--drain"},
		{"a replacement of no unit", []string{"replace", "edge-weu", "--by", "ann", "--server", server}, "--unit: expected first or second"},
		{"a replacement of both", []string{"replace", "edge-weu", "--by", "ann", "--unit", "both", "--server", server}, "--unit"},
		{"a job of nobody", []string{"configure", "edge-weu", "--server", server}, "give --by"},
		{"a word about a job of nobody", []string{"jobs", "cancel", "edge-weu", "--server", server}, "give --by"},
		{"a job to watch that is not named", []string{"jobs", "watch", "--server", server}, "tandem jobs watch --help"},
		{"a word of nobody", []string{"resume", "edge-weu", "--server", server}, "give --by"},
		{"an edit that is none", []string{"replay", "edge-weu", "--set", "nonsense", "--server", server}, "failover.confirmAfter=5"},
		{"a history that is not there", []string{"replay", filepath.Join("nowhere", "x.json")}, "nowhere"},
		{"a history and a limit", []string{"history", "edge-weu", "--all", "--limit", "3", "--server", server}, "limit"},
		{"a history that is not there, nor a server", []string{"replay", "edge-weu-json"}, "there is no file edge-weu-json, and no pair of that name can be asked for: no server"},
		{"a story that is none", []string{"lab", "--scenario", "nonsense"}, `story "nonsense": there is no such story`},
		{"a story with a slip", []string{"lab", "--scenario", "partner-link-ctu"}, "(did you mean partner-link-cut?); tandem lab --list"},
		{"an open question that is none", []string{"lab", "--option", "nonsense=yes"}, "second-write"},
		{"an answer that is none", []string{"lab", "--option", "second-write=nonsense"}, "supersedes"},
		{"an option without an answer", []string{"lab", "--option", "second-write"}, "--option"},
		{"a speed below nothing", []string{"lab", "--speed", "-1"}, "--speed"},
		{"a seed that is none", []string{"lab", "--seed", "-1"}, "--seed"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := command{}.run(t, tt.args...)
			if got.code != exitBadInput || got.out != "" {
				t.Errorf("exit code %d, printed %q; expected %d and nothing", got.code, got.out, exitBadInput)
			}
			if !strings.HasPrefix(got.err, "tandem: ") || strings.Count(got.err, "\n") != 1 {
				t.Errorf("expected one line that begins with the program's name, got:\n%s", got.err)
			}
			has(t, "the error", got.err, tt.says)
		})
	}
}

// each calls f for every command of the program but cobra's own.
func each(t *testing.T, f func(*testing.T, *cobra.Command)) {
	t.Helper()
	eachBelow(t, newRoot(&console{}), f)
}

func eachBelow(t *testing.T, cmd *cobra.Command, f func(*testing.T, *cobra.Command)) {
	f(t, cmd)
	for _, sub := range cmd.Commands() {
		t.Run(sub.Name(), func(t *testing.T) { eachBelow(t, sub, f) })
	}
}

func TestEveryCommandHasHelpWithExamplesThatCanBeTyped(t *testing.T) {
	each(t, func(t *testing.T, cmd *cobra.Command) {
		if cmd.Short == "" || strings.HasSuffix(cmd.Short, ".") {
			t.Errorf("summary %q: expected a phrase", cmd.Short)
		}
		got := command{}.run(t, append(strings.Fields(cmd.CommandPath())[1:], "--help")...)
		if got.code != exitDone || got.err != "" {
			t.Errorf("help ended with exit code %d: %s", got.code, got.err)
		}
		has(t, "the help", got.out, "Usage:", "Examples:")
		typed := 0
		for line := range strings.Lines(cmd.Example) {
			_, args, ours := strings.Cut(" "+strings.TrimSpace(line), " tandem ")
			if !ours {
				continue // curl, func
			}
			typed++
			args, _, _ = strings.Cut(args, " >")
			canBeTyped(t, typedWords(args))
		}
		if typed == 0 {
			t.Errorf("no example calls the program:\n%s", cmd.Example)
		}
	})
}

// typedWords cuts a line as a shell does that knows double quotes only.
func typedWords(line string) []string {
	var all []string
	for i, part := range strings.Split(line, `"`) {
		if i%2 == 1 {
			all = append(all, part)
		} else {
			all = append(all, strings.Fields(part)...)
		}
	}
	return all
}

// canBeTyped checks the arguments of an example against the command's own rules.
func canBeTyped(t *testing.T, args []string) {
	t.Helper()
	cmd, rest, err := newRoot(&console{}).Find(args)
	if err == nil {
		err = cmd.ParseFlags(rest)
	}
	if err == nil && cmd.Args != nil {
		err = cmd.Args(cmd, cmd.Flags().Args())
	}
	if err != nil {
		t.Errorf("example tandem %s: %v", strings.Join(args, " "), err)
	}
}

func TestVersionIsPrinted(t *testing.T) {
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"version"}, version + "\n"},
		{[]string{"version", "-o", "json"}, "{\n  \"version\": \"" + version + "\"\n}\n"},
		{[]string{"--version"}, "tandem version " + version + "\n"},
	} {
		if got := (command{}).run(t, tt.args...); got != (answer{exitDone, tt.want, ""}) {
			t.Errorf("tandem %v: got %+v, want %q", tt.args, got, tt.want)
		}
	}
}

func TestCompletionScriptsAreWrittenAndBashCanReadItsOwn(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		got := command{}.run(t, "completion", shell)
		if got.code != exitDone || got.err != "" || !strings.Contains(got.out, "__complete") {
			t.Errorf("completion %s: exit code %d, %d bytes, %s", shell, got.code, len(got.out), got.err)
		}
		if shell != "bash" {
			continue
		}
		if _, err := exec.LookPath("bash"); err != nil {
			continue
		}
		check := exec.CommandContext(t.Context(), "bash", "-n")
		check.Stdin = strings.NewReader(got.out)
		if out, err := check.CombinedOutput(); err != nil {
			t.Errorf("bash -n: %v\n%s", err, out)
		}
	}
}

func TestFlagsWithAFewAnswersCompleteThem(t *testing.T) {
	for _, tt := range []struct {
		args []string
		says string
	}{
		{[]string{"__complete", "version", "-o", ""}, "json\n"},
		{[]string{"__complete", "lab", "--scenario", ""}, "first-crashes\tThe first unit crashes"},
		{[]string{"__complete", "validate", "-f", ""}, "yaml\n"},
	} {
		got := command{}.run(t, tt.args...)
		if got.code != exitDone {
			t.Errorf("tandem %v: exit code %d: %s", tt.args, got.code, got.err)
		}
		has(t, strings.Join(tt.args, " "), got.out, tt.says)
	}
}
