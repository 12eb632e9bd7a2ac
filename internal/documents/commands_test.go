package documents

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// runnable are the commands that a block ```console may hold: they change
// nothing outside the test, and end soon.
var runnable = regexp.MustCompile(`^(?:tandem (?:apply|explain|history|schema|status|validate|version|lab --list|help)\b|make help$|echo \$\?$)`)

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
		lines := strings.Split(text, "\n")
		var server string
		now := append([]string(nil), lines...)
		for i := len(fenced) - 1; i >= 0; i-- { // found from the end, so that the numbers of lines hold
			if fenced[i].kind != "console" {
				fenced = append(fenced[:i], fenced[i+1:]...)
			}
		}
		printed := make([][]string, len(fenced))
		for i, b := range fenced {
			if server == "" {
				server = serve(t)
			}
			s := shell{t: t, path: filepath.Dir(program), server: server}
			printed[i] = s.replay(document, b)
			ran += s.ran
		}
		for i := len(fenced) - 1; i >= 0; i-- {
			b := fenced[i]
			rest := append([]string(nil), now[b.line-1+len(b.lines):]...)
			now = append(append(now[:b.line-1], printed[i]...), rest...)
		}
		fresh(t, document, text, strings.Join(now, "\n"))
	}
	if ran == 0 {
		t.Error("no document has a command, so the test sees nothing")
	}
}

// shell runs the commands of one block.
type shell struct {
	t            *testing.T
	path, server string
	exit         int
	ran          int
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
			s.t.Errorf("%s:%d: %q is not run by this test; mark the block sh, not console", document, b.line+i, command)
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
	cmd := exec.CommandContext(s.t.Context(), "sh", "-c", command)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "PATH="+s.path+string(os.PathListSeparator)+os.Getenv("PATH"), "TANDEM_SERVER="+s.server, "NO_COLOR=1")
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
