package host

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// stopGrace is how long running invocations may go on when the host stops
// (functions-host.md 1.5).
const stopGrace = 10 * time.Second

// life is the host between two starts: its listeners, its running
// invocations and its handler process. It keeps its two contexts because
// invocations made by the HTTP face must outlive the request that caused
// them: the host doesn't pass a caller's cancellation on (functions-host.md
// 1.6).
type life struct {
	host *Host

	listen context.Context // ends when listeners must take no more work
	stop   context.CancelCauseFunc
	work   context.Context // ends when running invocations are given up
	abort  context.CancelCauseFunc

	mu      sync.Mutex // guards the fields below; never held across a wait
	closed  bool       // nobody may enter any more
	worker  *worker    // nil while there is none to wait for
	changed chan struct{}

	busy sync.WaitGroup // triggers and invocations
}

// live runs one life and says why it ended; errStopping stands for the end of
// ctx.
func (h *Host) live(ctx context.Context) error {
	l := &life{host: h, changed: make(chan struct{})}
	l.listen, l.stop = context.WithCancelCause(ctx)
	l.work, l.abort = context.WithCancelCause(context.WithoutCancel(ctx))
	defer l.abort(errStopping)
	defer l.stop(errStopping)
	h.setLife(l)

	var supervisor sync.WaitGroup
	if loaded := l.startTriggers(); loaded == 0 {
		h.log(LevelWarning, "No job functions found")
	} else {
		supervisor.Go(l.supervise)
	}
	<-l.listen.Done()
	l.drain()
	l.abort(errStopping)
	supervisor.Wait()
	l.busy.Wait()
	return l.reason(ctx)
}

// drain waits for running work, but not for long, and not at all when there
// is no handler to finish it.
func (l *life) drain() {
	l.close()
	cause := context.Cause(l.listen)
	if errors.Is(cause, ErrRestartLimit) || errors.Is(cause, ErrNotReady) {
		return
	}
	done := make(chan struct{})
	go func() {
		l.busy.Wait()
		close(done)
	}()
	grace := time.NewTimer(stopGrace)
	defer grace.Stop()
	select {
	case <-done:
	case <-grace.C:
		l.host.log(LevelWarning, "Functions did not complete within %v", stopGrace)
	case <-l.work.Done():
	}
}

func (l *life) reason(ctx context.Context) error {
	switch {
	case l.halted():
		return ErrHalted
	case ctx.Err() != nil:
		return errStopping
	}
	return context.Cause(l.listen)
}

// startTriggers starts the listener of every loaded function and returns how
// many there are. Event Grid and HTTP functions have none: they are called.
func (l *life) startTriggers() int {
	loaded := 0
	for _, f := range l.host.functions {
		if f.info.Err != nil {
			continue
		}
		loaded++
		if f.info.Disabled {
			l.host.log(LevelInformation, "Function '%s' is disabled", f.info.Name)
			continue
		}
		switch {
		case f.trigger.isType("timerTrigger"):
			l.busy.Go(func() { l.runTimer(f) })
		case f.trigger.isType("queueTrigger"):
			l.busy.Go(func() { l.runQueue(f) })
		}
	}
	return loaded
}

// enter counts one piece of work in, unless the host stops; leave it with
// busy.Done.
func (l *life) enter() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	l.busy.Add(1)
	return true
}

func (l *life) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
}

// halted says whether the instance died, after which nothing may be done to
// the outside any more.
func (l *life) halted() bool { return errors.Is(context.Cause(l.work), ErrHalted) }

func (l *life) setWorker(w *worker) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.worker = w
	close(l.changed)
	l.changed = make(chan struct{})
}

func (l *life) currentWorker() (*worker, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.worker, l.changed
}

func (l *life) kill() {
	if w, _ := l.currentWorker(); w != nil {
		w.process.Kill()
	}
}

// readyWorker waits for a handler that answers. After four initialization
// timeouts the host gives up and shuts itself down (functions-host.md 1.3).
func (l *life) readyWorker() (*worker, error) {
	limit := time.NewTimer(4 * l.host.file.initializationTimeout)
	defer limit.Stop()
	for {
		w, changed := l.currentWorker()
		var ready <-chan struct{}
		if w != nil {
			ready = w.ready
		}
		select {
		case <-ready:
			return w, nil
		case <-changed:
		case <-l.work.Done():
			return nil, fmt.Errorf("wait for the handler: %w", context.Cause(l.work))
		case <-limit.C:
			l.stop(ErrNotReady)
			return nil, ErrNotReady
		}
	}
}

// sleep waits and says whether listeners may go on.
func (l *life) sleep(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return l.listen.Err() == nil
	case <-l.listen.Done():
		return false
	}
}
