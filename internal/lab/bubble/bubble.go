// Package bubble runs a function in virtual time: timers fire as soon as
// everything waits, so an hour passes in a moment and every run is alike.
//
// The virtual time is that of testing/synctest, which the tests use directly.
// This package opens the same bubble in a program, where there is no go test,
// and can hold it to a multiple of real time so that a person can watch.
package bubble

import (
	"flag"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

// Run runs f in a bubble of virtual time and returns when it and every
// goroutine it started have ended. The clock starts at midnight UTC of
// 2000-01-01, as synctest has it. A panic in f ends the program, as any panic
// does.
//
// synctest wants a *testing.T, which only package testing makes; so one test
// is run by its entry point for such drivers. That entry point ends with
// os.Exit, therefore the goroutine that called it is parked for good once f is
// done. It holds no resources.
func Run(f func()) {
	done := make(chan struct{})
	go func() {
		parse()
		match := func(string, string) (bool, error) { return true, nil }
		testing.Main(match, []testing.InternalTest{{Name: "bubble", F: func(t *testing.T) {
			synctest.Test(t, func(*testing.T) { f() })
			close(done)
			select {}
		}}}, nil, nil)
	}()
	<-done
}

// parse gives package testing its flags with their defaults. The program's own
// arguments are none of its business.
func parse() {
	if flag.Lookup("test.v") == nil {
		testing.Init()
	}
	if !flag.Parsed() {
		args := os.Args
		os.Args = args[:1]
		flag.Parse()
		os.Args = args
	}
}

// Pace holds a bubble to speed times real time until stop is closed: 1 is real
// time, 60 lets a minute pass in a second. It must be called inside the bubble
// and be waited for. It works in ticks of a tenth of a real second, by waiting
// for a goroutine outside, which is a wait that keeps virtual time still.
func (c *Clock) Pace(speed float64, stop <-chan struct{}) {
	tick := time.Duration(speed * float64(c.tick))
	timer := time.NewTicker(tick)
	defer timer.Stop()
	for {
		select {
		case <-stop:
			return
		case <-timer.C:
			c.ask <- struct{}{}
			<-c.answer
		}
	}
}

// Clock lends real time to a bubble. It must be made outside of the bubble.
type Clock struct {
	tick        time.Duration
	ask, answer chan struct{}
}

// NewClock starts the clock; Stop ends it.
func NewClock() *Clock {
	c := &Clock{tick: 100 * time.Millisecond, ask: make(chan struct{}), answer: make(chan struct{})}
	go func() {
		next := time.Now()
		for range c.ask {
			next = next.Add(c.tick)
			time.Sleep(time.Until(next))
			c.answer <- struct{}{}
		}
	}()
	return c
}

// Stop ends the clock. Nobody may pace by it any more.
func (c *Clock) Stop() { close(c.ask) }
