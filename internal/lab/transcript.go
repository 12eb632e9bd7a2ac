package lab

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Line is one thing that happened in a world.
type Line struct {
	At     time.Duration // since the beginning of the story
	Source string        // who tells it: a unit, a load balancer, azure, tandem, client, story …
	Event  string
}

// sourceHost is the source of what the Functions hosts say.
const sourceHost = "host"

// Clock renders the time of the line as the transcript shows it.
func (l Line) Clock() string {
	at := l.At.Truncate(time.Millisecond)
	return fmt.Sprintf("%02d:%02d:%02d.%03d", int(at.Hours()), int(at.Minutes())%60, int(at.Seconds())%60, at.Milliseconds()%1000)
}

// transcript collects lines. Goroutines of one instant run in any order, so the
// lines of one instant are sorted by their source before they are told: the
// same seed gives the same transcript. One source keeps its own order, which is
// that of cause and effect. Only the Functions host does many things at once:
// its lines of one instant have no order, and are sorted by their text.
type transcript struct {
	start time.Time
	tell  func(Line) // may be nil

	mu      sync.Mutex
	lines   []Line
	instant []Line // those of the newest instant, not told yet
	writes  int    // that Resource Manager has finished
}

func (t *transcript) log(source, event string) {
	at := time.Since(t.start)
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.instant) > 0 && t.instant[0].At != at {
		t.flushLocked()
	}
	t.instant = append(t.instant, Line{At: at, Source: source, Event: event})
}

// to returns a log function for one source.
func (t *transcript) to(source string) func(string) {
	return func(event string) { t.log(source, event) }
}

func (t *transcript) flush() []Line {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.flushLocked()
	return t.lines
}

func (t *transcript) flushLocked() {
	slices.SortStableFunc(t.instant, func(a, b Line) int {
		if a.Source == b.Source && a.Source == sourceHost {
			return cmp.Compare(a.Event, b.Event)
		}
		return cmp.Compare(a.Source, b.Source)
	})
	for _, l := range t.instant {
		if t.tell != nil {
			t.tell(l)
		}
	}
	t.lines = append(t.lines, t.instant...)
	t.instant = nil
}
