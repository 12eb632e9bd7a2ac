package main

import (
	"fmt"
	"io"
	"os"
	"time"
)

// progressEvery is how often a line is written where lines stay.
const progressEvery = 10 * time.Second

// progress tells how far the trials are: on a terminal in one line that is
// written anew, elsewhere in a line now and then.
type progress struct {
	w        io.Writer
	terminal bool
	all      int
	start    time.Time

	done, survived int
	told           time.Time
}

func newProgress(w io.Writer, all int) *progress {
	now := time.Now()
	p := &progress{w: w, all: all, start: now, told: now}
	if f, ok := w.(*os.File); ok {
		info, err := f.Stat()
		p.terminal = err == nil && info.Mode()&os.ModeCharDevice != 0
	}
	return p
}

func (p *progress) add(v verdict) {
	p.done++
	if v == survived {
		p.survived++
	}
	now := time.Now()
	last := p.done == p.all
	if !p.terminal && !last && now.Sub(p.told) < progressEvery {
		return
	}
	p.told = now
	took := now.Sub(p.start)
	line := fmt.Sprintf("%d of %d tried, %d survived, %s", p.done, p.all, p.survived, took.Round(time.Second))
	if !last {
		left := took / time.Duration(p.done) * time.Duration(p.all-p.done)
		line += fmt.Sprintf(", about %s left", left.Round(time.Second))
	}
	if p.terminal {
		fmt.Fprint(p.w, "\r\x1b[K", line)
	} else {
		fmt.Fprintln(p.w, line)
	}
}

// end leaves the line on a terminal as it is.
func (p *progress) end() {
	if p.terminal && p.done > 0 {
		fmt.Fprintln(p.w)
	}
}
