package documents

import (
	"errors"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// runnable are the commands that a block ```console may hold: they change
// nothing outside the test, and end soon.
var runnable = regexp.MustCompile(`^(?:tandem (?:apply|explain|geo plan|history|schema|status|validate|version|lab --list|help)\b|make help$|echo \$\?$)`)

// TestCommandsPrintWhatTheDocumentsShow runs every command of every block that
// is marked ```console, in the order in which a reader meets them, and compares
// what it prints. Commands that are not for a test stand in blocks marked ```sh.
//
// Each document has a server of its own (world_test.go).
func TestCommandsPrintWhatTheDocumentsShow(t *testing.T) {
	program, err := built()
	if err != nil {
		t.Fatal(err)
	}
	ran := 0
	for _, document := range documents(t) {
		text := read(t, document)
		fenced, _ := blocks(text)
		fenced = slices.DeleteFunc(fenced, func(b block) bool { return b.kind != "console" })
		if len(fenced) == 0 {
			continue
		}
		s := shell{t: t, program: program, server: serve(t)}
		lines := strings.Split(text, "\n")
		var now []string
		kept := 0 // of the lines
		for _, b := range fenced {
			now = append(now, lines[kept:b.line-1]...)
			now = append(now, s.replay(document, b)...)
			kept = b.line - 1 + len(b.lines)
		}
		fresh(t, document, text, strings.Join(append(now, lines[kept:]...), "\n"))
		ran += s.ran
	}
	if ran == 0 {
		t.Error("no document has a command, so the test sees nothing")
	}
}

// shell runs the commands of one document.
type shell struct {
	t               *testing.T
	program, server string
	exit            int
	ran             int
}

// replay returns the block as it would be now.
func (s *shell) replay(document string, b block) []string {
	s.t.Helper()
	var out []string
	for i, line := range b.lines {
		command, ok := strings.CutPrefix(line, "$ ")
		if !ok {
			continue
		}
		if !runnable.MatchString(command) {
			s.t.Fatalf("%s:%d: %q is not run by this test; mark the block sh, not console", document, b.line+i, command)
		}
		out = append(append(out, line), s.run(command)...)
	}
	return out
}

func (s *shell) run(command string) []string {
	s.t.Helper()
	s.ran++
	if command == "echo $?" {
		return []string{strconv.Itoa(s.exit)}
	}
	words := strings.Fields(command) // no shell, so a document can do no more than these commands can
	if words[0] == "tandem" {
		words[0] = s.program
	}
	cmd := exec.CommandContext(s.t.Context(), words[0], words[1:]...)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "TANDEM_SERVER="+s.server)
	out, err := cmd.CombinedOutput()
	if _, ended := errors.AsType[*exec.ExitError](err); err != nil && !ended {
		s.t.Fatal(err)
	}
	if s.exit = cmd.ProcessState.ExitCode(); s.exit != 0 && s.exit != 3 {
		s.t.Errorf("%s: exit code %d, expected 0 or 3\n%s", command, s.exit, out)
	}
	var lines []string
	for line := range strings.Lines(string(out)) {
		lines = append(lines, strings.TrimRight(line, " \n"))
	}
	return lines
}
