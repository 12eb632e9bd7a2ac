package host

import (
	"fmt"
	"sync"
	"time"
)

// TimerStore is the part of host storage that timers use: the status blobs
// and the locks (functions-host.md 3.7). Hosts of one app share it; it
// outlives them. The zero value is ready to use.
type TimerStore struct {
	mu     sync.Mutex // guards the fields below
	status map[string]TimerStatus
	locks  map[string]timerLock
	// skipUntil is when timers fire again that Skip keeps quiet.
	skipUntil time.Time
}

// TimerStatus is a timer's status blob, written after each run.
type TimerStatus struct {
	Last        time.Time // when the last run started
	Next        time.Time // the occurrence after it
	LastUpdated time.Time
}

type timerLock struct {
	holder *life
	until  time.Time
}

// Status returns what is stored for a function, if anything is.
func (s *TimerStore) Status(function string) (TimerStatus, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	status, ok := s.status[function]
	return status, ok
}

// SetStatus stores a function's status, as a run does; a test uses it to make
// a timer past due.
func (s *TimerStore) SetStatus(function string, status TimerStatus) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.status == nil {
		s.status = map[string]TimerStatus{}
	}
	s.status[function] = status
}

// lock takes or renews a function's lock and says whether the holder has it.
func (s *TimerStore) lock(function string, holder *life, period time.Duration) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if held, ok := s.locks[function]; ok && held.holder != holder && now.Before(held.until) {
		return false
	}
	if s.locks == nil {
		s.locks = map[string]timerLock{}
	}
	s.locks[function] = timerLock{holder, now.Add(period)}
	return true
}

// Skip keeps every timer from firing for a while from now. The times that fall
// into it are skipped, as if nobody had held the lock.
func (s *TimerStore) Skip(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.skipUntil = time.Now().Add(d)
}

func (s *TimerStore) skips() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Now().Before(s.skipUntil)
}

func (s *TimerStore) unlock(function string, holder *life) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.locks[function].holder == holder {
		delete(s.locks, function)
	}
}

// timerInfo is the trigger's value (functions-host.md 2.4).
type timerInfo struct {
	Schedule       scheduleInfo
	ScheduleStatus *scheduleStatus
	IsPastDue      bool
}

type scheduleInfo struct {
	AdjustForDST bool
}

type scheduleStatus struct {
	Last, Next, LastUpdated localTime
}

// localTime is a time with up to seven digits and the offset, "+00:00" in
// Azure.
type localTime time.Time

// MarshalJSON writes the form .NET gives a local time.
func (t localTime) MarshalJSON() ([]byte, error) {
	return compact(time.Time(t).UTC().Format("2006-01-02T15:04:05.9999999-07:00"))
}

// runTimer waits for the timer's lock, keeps it, and runs the function at its
// times, one run at a time.
func (l *life) runTimer(f *function) {
	if !l.sleep(l.host.config.TimerLeaseGap + f.phase) {
		return
	}
	store, file := l.host.config.Timers, l.host.file
	for !store.lock(f.info.Name, l, file.lockPeriod) {
		if !l.sleep(file.lockRecovery) {
			return
		}
	}
	var keeper sync.WaitGroup
	keeper.Go(func() { l.keepTimer(f) })
	l.fireTimer(f)
	keeper.Wait()
	if !l.halted() {
		store.unlock(f.info.Name, l)
	}
}

// keepTimer renews the lock at half its period until listeners stop. What it
// lost while it was frozen it gets back only when it is free.
func (l *life) keepTimer(f *function) {
	for l.sleep(l.host.file.lockPeriod / 2) {
		l.thaw(f.phase)
		l.host.config.Timers.lock(f.info.Name, l, l.host.file.lockPeriod)
	}
}

// fireTimer runs the function at once when an occurrence was missed or
// runOnStartup asks for it, and then at every occurrence. The next time is
// set when a run ends, from its start, so an overrun leads to one run at once
// and then to the normal times (functions-host.md 3.7). A time at which another
// host has the lock passes by.
func (l *life) fireTimer(f *function) {
	status, pastDue := l.timerAtStart(f)
	if pastDue || f.trigger.RunOnStartup {
		status = l.runTimerOnce(f, status, pastDue)
	}
	for l.sleep(time.Until(status.Next.Add(f.phase))) {
		l.thaw(f.phase)
		if l.mayFire(f) {
			status = l.runTimerOnce(f, status, false)
		} else {
			status.Next = f.schedule.next(time.Now())
		}
	}
}

// mayFire says whether this host has the timer's lock at a time of its
// schedule, which it may have lost while it was frozen.
func (l *life) mayFire(f *function) bool {
	store := l.host.config.Timers
	return store.lock(f.info.Name, l, l.host.file.lockPeriod) && !store.skips()
}

// timerAtStart reads the stored status. A changed schedule counts from now
// and isn't past due.
func (l *life) timerAtStart(f *function) (status TimerStatus, pastDue bool) {
	now := time.Now()
	if f.monitored {
		if stored, ok := l.host.config.Timers.Status(f.info.Name); ok {
			if !stored.Next.Equal(f.schedule.next(stored.Last)) {
				stored.Next = f.schedule.next(now)
			}
			return stored, now.After(stored.Next)
		}
	}
	return TimerStatus{Next: f.schedule.next(now)}, false
}

// runTimerOnce makes one run and stores the status as if it had succeeded: a
// failed run isn't tried again (functions-host.md 3.5).
func (l *life) runTimerOnce(f *function, status TimerStatus, pastDue bool) TimerStatus {
	start := time.Now().UTC()
	c, err := newCall(f, f.timerInfo(status, pastDue), metadata{})
	if err == nil {
		_, err = l.invoke(c)
	}
	if err != nil {
		l.host.log(LevelError, "Timer %s: %v", f.info.Name, err)
	}
	after := TimerStatus{Last: start, Next: f.schedule.next(start), LastUpdated: start}
	if f.monitored && !l.halted() {
		l.host.config.Timers.SetStatus(f.info.Name, after)
	}
	return after
}

func (f *function) timerInfo(status TimerStatus, pastDue bool) timerInfo {
	info := timerInfo{Schedule: scheduleInfo{f.schedule.adjustsForDST()}, IsPastDue: pastDue}
	if f.monitored {
		info.ScheduleStatus = &scheduleStatus{localTime(status.Last), localTime(status.Next), localTime(status.LastUpdated)}
	}
	return info
}

// timerNow is the value of a run by hand: the status is read from storage
// (functions-host.md 6.3).
func (l *life) timerNow(f *function) (timerInfo, error) {
	if f.schedule == nil {
		return timerInfo{}, fmt.Errorf("function %s has no schedule", f.info.Name)
	}
	status, _ := l.timerAtStart(f)
	return f.timerInfo(status, false), nil
}
