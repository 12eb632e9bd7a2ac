package documents

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

// programs is where the built program is.
var programs string

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	var err error
	if programs, err = os.MkdirTemp("", "tandem-documents-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(programs) }() // what is left is in the system's own place for it
	return m.Run()
}

// built builds the program once for all tests, as it is deployed: then what was
// compiled for the test that drives the deployed program serves here too.
var built = sync.OnceValues(func() (program string, err error) {
	program = filepath.Join(programs, "tandem")
	cmd := exec.CommandContext(context.Background(), "go", "build", "-trimpath", "-buildvcs=false", "-o", program, "./cmd/tandem")
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the program: %w\n%s", err, out)
	}
	return program, nil
})

func tandem(t *testing.T, args ...string) string {
	t.Helper()
	program, err := built()
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), program, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("tandem %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

var lineOfEventGrid = regexp.MustCompile(`^\d\d:\d\d:\d\d\.\d{3}  event grid `)

// TestTranscriptIsFresh keeps the transcript in README.md what the lab prints.
// What is left out is counted and said.
func TestTranscriptIsFresh(t *testing.T) {
	const document = "README.md"
	text := read(t, document)
	before, _, after := between(t, document, text, "transcript")
	cut := 0
	var b strings.Builder
	b.WriteString("```\n")
	for line := range strings.Lines(tandem(t, "lab", "--speed", "0")) {
		if lineOfEventGrid.MatchString(line) {
			cut++
			continue
		}
		b.WriteString(line)
	}
	fmt.Fprintf(&b, "```\n\nLeft out: %d lines of Event Grid's deliveries. Nothing else was cut or changed.\n", cut)
	if cut == 0 {
		t.Error("no line of Event Grid was printed; has the transcript another form now?")
	}
	fresh(t, document, text, before+b.String()+after)
}

// excerpts are the stories of which README.md shows some moments, and which.
var excerpts = map[string]*regexp.Regexp{
	"drift-sync-port-blocked": regexp.MustCompile(`^00:0[1-9]:\S+  (story|azure|tandem) `),
	"switchover":              regexp.MustCompile(`^\S+  (operator|clients?|lm\d|load balancer) `),
}

// TestExcerptsAreFresh keeps what README.md shows of other stories what the lab
// prints. What is left out is counted and said.
func TestExcerptsAreFresh(t *testing.T) {
	const document = "README.md"
	for name, shown := range excerpts {
		text := read(t, document)
		before, _, after := between(t, document, text, name)
		kept, left, keeps := "", 0, true
		for line := range strings.Lines(tandem(t, "lab", "--scenario", name, "--speed", "0")) {
			if timed.MatchString(line) || strings.HasPrefix(line, "measured ") {
				keeps = shown.MatchString(line) || strings.HasPrefix(line, "measured ")
			}
			switch {
			case keeps || line == "\n":
				kept += line
			default:
				left++
			}
		}
		fresh(t, document, text, fmt.Sprintf("%s```\n%s```\n\nLeft out: %d lines.\n%s", before, kept, left, after))
	}
}

// figures are the stories whose measurements README.md shows: where Tandem does
// nothing for the outage, where it helps, and where it harms.
var figures = []string{"first-crashes", "partner-link-cut", "link-cut-recommended", "partner-link-cut-survivor-yields", "survivor-dies-while-fenced"}

// TestFiguresAreFresh keeps the measurements in README.md what the lab
// measures.
func TestFiguresAreFresh(t *testing.T) {
	const document = "README.md"
	text := read(t, document)
	before, _, after := between(t, document, text, "figures")
	var list struct {
		Scenarios []struct{ Name, Summary string }
	}
	decode(t, tandem(t, "lab", "--list", "-o", "json"), &list)
	summaries := map[string]string{}
	for _, s := range list.Scenarios {
		summaries[s.Name] = s.Summary
	}
	var b strings.Builder
	b.WriteString("| Story | Outage with Tandem | alone | Both served with Tandem | alone |\n| --- | --: | --: | --: | --: |\n")
	for _, name := range figures {
		var o struct {
			Passed                      bool
			OutageSeconds, SplitSeconds struct{ Tandem, LoadBalancerOnly float64 }
		}
		decode(t, tandem(t, "lab", "--scenario", name, "-o", "json"), &o)
		if !o.Passed || summaries[name] == "" {
			t.Fatalf("story %s is not a story that passes", name)
		}
		fmt.Fprintf(&b, "| [`%s`](internal/lab/scenarios/%s.yaml): %s | %.1f s | %.1f s | %.1f s | %.1f s |\n", name, name, summaries[name],
			o.OutageSeconds.Tandem, o.OutageSeconds.LoadBalancerOnly, o.SplitSeconds.Tandem, o.SplitSeconds.LoadBalancerOnly)
	}
	fresh(t, document, text, before+b.String()+after)
}

func decode(t *testing.T, text string, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), into); err != nil {
		t.Fatalf("%v in:\n%s", err, text)
	}
}

// TestQuotedLinesAreOfTheTranscript looks at blocks marked ```transcript, in
// which a document quotes single moments: each must be one of README.md's
// transcript, in its order. With -update their times are set anew.
func TestQuotedLinesAreOfTheTranscript(t *testing.T) {
	_, part, _ := between(t, "README.md", read(t, "README.md"), "transcript")
	played, _ := blocks(part)
	if len(played) != 1 {
		t.Fatalf("the transcript has %d blocks, expected 1", len(played))
	}
	quoted := 0
	for _, document := range documents(t) {
		text := read(t, document)
		lines := strings.Split(text, "\n")
		rest := moments(played[0])
		fenced, _ := blocks(text)
		for _, b := range fenced {
			if b.kind != "transcript" {
				continue
			}
			for _, m := range moments(b) {
				quoted++
				at := slices.IndexFunc(rest, m.quotes)
				if at < 0 {
					t.Errorf("%s:%d: the transcript has no such moment from here on: %s", document, m.line, m.head)
					continue
				}
				lines[m.line-1] = rest[at].head
				rest = rest[at+1:]
			}
		}
		fresh(t, document, text, strings.Join(lines, "\n"))
	}
	if quoted == 0 {
		t.Error("no document quotes the transcript, so the test sees nothing")
	}
}

// moment is one entry of a transcript: a line with its time, and what follows
// without one.
type moment struct {
	line int // of the head, in its document
	head string
	tail []string
}

var timed = regexp.MustCompile(`^\d\d:\d\d:\d\d\.\d{3}  `)

func moments(b block) []moment {
	var all []moment
	for i, line := range b.lines {
		switch {
		case timed.MatchString(line):
			all = append(all, moment{line: b.line + i, head: line})
		case len(all) > 0:
			all[len(all)-1].tail = append(all[len(all)-1].tail, line)
		}
	}
	return all
}

// quotes reports whether the moment is the other one, at another time perhaps
// and with some of its lines left out.
func (m moment) quotes(other moment) bool {
	rest := other.tail
	for _, line := range m.tail {
		at := slices.Index(rest, line)
		if at < 0 {
			return false
		}
		rest = rest[at+1:]
	}
	return timed.ReplaceAllString(m.head, "") == timed.ReplaceAllString(other.head, "")
}
