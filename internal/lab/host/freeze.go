package host

import "time"

// Freeze stops the instance for a while from now, as a hypervisor does that
// moves its machine: timers do not fire and locks are not renewed, queues are
// not read, messages keep their visibility, requests wait, and what has run
// out meanwhile is noticed only afterwards. A longer freeze that goes on
// stays. The handler is a process of its own and has to be frozen by its
// launcher.
func (h *Host) Freeze(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if until := time.Now().Add(d); until.After(h.frozenUntil) {
		h.frozenUntil = until
	}
}

func (h *Host) frozenFor() time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	return time.Until(h.frozenUntil)
}

// thaw waits while the instance is frozen, or until its work is given up. What
// waits goes on apart from each other by the distance.
func (l *life) thaw(distance time.Duration) {
	for {
		left := l.host.frozenFor()
		if left <= 0 {
			return
		}
		timer := time.NewTimer(left + distance)
		select {
		case <-timer.C:
		case <-l.work.Done():
			timer.Stop()
			return
		}
	}
}
