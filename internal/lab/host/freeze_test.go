package host

import (
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func TestAFrozenHostLosesItsTimerAndDoesNotFireBesideTheOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		share := &TimerStore{}
		one, two := &ticks{}, &ticks{}
		first := try(t, app("", "tick", quickIn), one.serve, func(c *Config, _ *memory) { c.Timers = share })
		second := try(t, app("", "tick", quickIn), two.serve, func(c *Config, _ *memory) { c.Timers, c.Phase = share, 13*time.Microsecond })
		wait(time.Minute)
		before := len(one.seconds())
		if before == 0 || len(two.seconds()) != 0 {
			t.Fatalf("runs at %v and %v, want all at the first host", one.seconds(), two.seconds())
		}
		first.Freeze(5 * time.Minute)
		wait(5*time.Minute - time.Second)
		if got := len(one.seconds()); got != before {
			t.Errorf("%d runs while the host was frozen", got-before)
		}
		if len(two.seconds()) == 0 {
			t.Error("the timer did not move to the other host")
		}
		wait(5 * time.Minute)
		if got := len(one.seconds()); got != before {
			t.Errorf("%d runs of the thawed host, though the other one has the timer", got-before)
		}
		for _, tr := range []*trial{first, second} {
			if err := tr.finish(); err != nil {
				t.Error(err)
			}
		}
	})
}

func TestAFrozenHostTakesNoMessageAndAnswersLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls ticks
		tr := try(t, app("", "work", queueIn, "page", httpIn+","+httpOut), calls.serve, nil)
		start := time.Now()
		tr.Freeze(time.Minute)
		wait(2 * time.Second) // longer than a poll that began before
		tr.queues.add("work", "x")
		wait(50 * time.Second)
		if got := tr.queues.texts("work"); len(got) != 1 || len(calls.seconds()) != 0 {
			t.Errorf("queue %q after %d calls, want the message left alone", got, len(calls.seconds()))
		}
		if got := tr.request("POST", "/runtime/webhooks/EventGrid?functionName=none", "[]").Code; got == 0 || time.Since(start) < time.Minute {
			t.Errorf("status %d after %v, want an answer after the freeze", got, time.Since(start))
		}
		wait(5 * time.Second)
		if got := tr.queues.texts("work"); len(got) != 0 {
			t.Errorf("queue %q after the freeze, want it drained", got)
		}
		if err := tr.finish(); err != nil {
			t.Error(err)
		}
	})
}

func TestAFrozenHostNoticesAFunctionTimeoutAfterwards(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang := func(_ http.ResponseWriter, r *http.Request) { pause(r, time.Hour) }
		tr := try(t, app(`"functionTimeout":"00:05:00"`, "events", eventIn), hang, nil)
		done := make(chan time.Time)
		go func() { notify(tr, "events", `{"id":"1"}`); done <- time.Now() }()
		wait(time.Minute)
		start := time.Now()
		tr.Freeze(10 * time.Minute)
		if got := (<-done).Sub(start); got < 10*time.Minute || got > 10*time.Minute+time.Second {
			t.Errorf("the invocation was given up after %v, want right after the freeze", got)
		}
		wait(time.Second)
		if got := tr.memory.started(); got != 2 {
			t.Errorf("%d starts, want the handler to be replaced", got)
		}
		if err := tr.finish(); err != nil {
			t.Error(err)
		}
	})
}

func TestSkippedTimesAreNotMadeUpFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, store := &ticks{}, &TimerStore{}
		tr := try(t, app("", "tick", timerIn), k.serve, func(c *Config, _ *memory) { c.Timers = store })
		wait(6 * time.Minute)
		store.Skip(10 * time.Minute)
		wait(15 * time.Minute)
		if got, want := k.seconds(), []int{300, 1200}; !slices.Equal(got, want) {
			t.Errorf("runs at %v, want %v", got, want)
		}
		if err := tr.finish(); err != nil {
			t.Error(err)
		}
	})
}
