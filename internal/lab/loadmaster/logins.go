package loadmaster

import (
	"fmt"
	"strconv"
	"time"
)

// lockedFor is how long a locked user bal has to wait. Other users stay locked
// until a person lets them in again; the unit here has but one (Progress,
// LoadMaster feature description "User Management", session management).
const lockedFor = 10 * time.Minute

// logins is what a unit remembers of failed logins of its user. It locks the
// account after sessionmaxfailattempts of them in a row (loadmaster.md 1.4).
type logins struct {
	failed   int       // since the unit was made
	inARow   int       // since the last one that worked, or that locked the account
	until    time.Time // the account is locked
	lockouts int
}

// FailedLogins is how many logins with wrong credentials there were since the
// unit was made. Those while the account was locked do not count.
func (u *Unit) FailedLogins() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.logins.failed
}

// Lockouts is how often the account was locked since the unit was made.
func (u *Unit) Lockouts() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.logins.lockouts
}

// authorised checks a key or else a user and a password. The key wins when
// both are there (loadmaster.md 1.4). A locked account lets nobody in, and a unit
// that was never licensed asks nobody for credentials (loadmaster.md 5).
func (u *Unit) authorised(key, user, password string) bool {
	if !u.isLicensed() {
		return true
	}
	u.mu.Lock()
	byKey := key != ""
	ok := u.password != "" && same(user, u.cfg.User) && same(password, u.password)
	attempt := same(user, u.cfg.User)
	if byKey {
		ok = u.apiKey != "" && same(key, u.apiKey)
		attempt = u.cfg.Options.FailedKeys == FailedKeysCount
	}
	event := ""
	if attempt {
		ok, event = u.logIn(ok, time.Now())
	}
	u.mu.Unlock()
	u.say(event)
	return ok
}

// logIn counts a login to the unit's account, and tells whether it gets in.
// u.mu is held.
func (u *Unit) logIn(ok bool, now time.Time) (in bool, event string) {
	l := &u.logins
	switch {
	case now.Before(l.until):
		return false, ""
	case ok:
		l.inARow = 0
		return true, ""
	}
	l.failed++
	l.inARow++
	if most, err := strconv.Atoi(u.parameters["sessionmaxfailattempts"]); err != nil || l.inARow < most {
		return false, ""
	}
	event = fmt.Sprintf("locks its account for %s after %d failed logins", lockedFor, l.inARow)
	l.inARow, l.until = 0, now.Add(lockedFor)
	l.lockouts++
	return false, event
}
