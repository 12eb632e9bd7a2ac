package endtoend

import (
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"

	"tandem/internal/lab"
)

// teller keeps the transcript of the world, for when a test has failed.
type teller struct {
	mu   sync.Mutex // guards text
	text strings.Builder
}

func (l *teller) line(line lab.Line) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fmt.Fprintf(&l.text, "%s  %-13s  %s\n", line.Clock(), line.Source, line.Event)
}

func (l *teller) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// accountKey finds the key in a connection string.
func accountKey(t *testing.T, connection string) string {
	t.Helper()
	found := regexp.MustCompile(`AccountKey=([^;]+)`).FindStringSubmatch(connection)
	if found == nil {
		t.Fatal("the connection string has no key")
	}
	return found[1]
}
