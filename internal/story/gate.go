package story

import (
	"sync"
	"time"
)

// gate is what all input and output of a worker goes through, so that it can
// be frozen: whoever does input or output waits, and goes on when the freeze
// ends.
type gate struct {
	mu     sync.Mutex // guards what follows; never held across a wait
	until  time.Time
	thawed chan struct{} // closed when the freeze ends; nil where there is none
	later  []func()      // what the frozen have asked for without waiting
}

// freeze stops the worker for a while from now; of two freezes the longer
// counts.
func (g *gate) freeze(d time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	until := time.Now().Add(d)
	if d <= 0 || !until.After(g.until) {
		return
	}
	g.until = until
	if g.thawed == nil {
		g.thawed = make(chan struct{})
	}
	time.AfterFunc(d, g.thaw)
}

// thaw ends the freeze, unless it has been made longer.
func (g *gate) thaw() {
	g.mu.Lock()
	if g.thawed == nil || time.Now().Before(g.until) {
		g.mu.Unlock()
		return
	}
	later := g.later
	close(g.thawed)
	g.thawed, g.later = nil, nil
	g.mu.Unlock()
	for _, do := range later {
		do()
	}
}

// pass waits while the worker is frozen, or until the process is dead.
func (g *gate) pass(dead <-chan struct{}) {
	for {
		g.mu.Lock()
		thawed := g.thawed
		g.mu.Unlock()
		if thawed == nil {
			return
		}
		select {
		case <-thawed:
		case <-dead:
			return
		}
	}
}

// whenThawed does something now, or when the freeze ends; it never waits.
func (g *gate) whenThawed(do func()) {
	g.mu.Lock()
	if g.thawed != nil {
		g.later = append(g.later, do)
		g.mu.Unlock()
		return
	}
	g.mu.Unlock()
	do()
}
