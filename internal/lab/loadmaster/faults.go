package loadmaster

import "time"

// Faults are what can be wrong with a unit beyond its power and its network
// (loadmaster.md 6 number 11). The zero value is a healthy unit. They stay
// through reboots until they are replaced.
type Faults struct {
	API          APIFault
	APIDelay     time.Duration // added before every answer of the API
	StuckPassive bool          // the unit stays Passive whoever polls it
	// StuckStandby makes a unit without a preference Standby, and keeps it so
	// while its partner answers 503: two such units wait for each other, for ever
	// (loadmaster.md 6 number 11, both standby).
	StuckStandby bool
	// StuckBoot makes every boot begin anew before the unit can be reached.
	StuckBoot bool
	CheckPort CheckPortFault
	// FlapEvery makes an honest check port alternate between 503, with which
	// it begins, and its true answer, for so long each.
	FlapEvery    time.Duration
	ServicesDead bool // nothing is forwarded, whatever the check port says
	// RealServersDown is a fault behind the unit, which does its own part: what
	// its published services do then is an option (Options.DeadRealServers).
	RealServersDown bool
	// BackupsRefused is a user of the API without the permission for backups.
	BackupsRefused bool
	// SetUpRefused is one without the permission to change the HA set-up.
	SetUpRefused bool
}

// APIFault is what is wrong with the API.
type APIFault int

// The faults of the API.
const (
	APIHealthy          APIFault = iota
	APIDrops                     // connections end without an answer (EOF)
	APIServerError               // 500 with an HTML page
	APIUnauthorizedPage          // 401 with an HTML page, whatever the credentials
	APINotFoundPage              // 404 with an HTML page
	APIRefuses                   // the port is closed
)

// CheckPortFault is what is wrong with the check port.
type CheckPortFault int

// The faults of the check port.
const (
	CheckPortHonest CheckPortFault = iota
	CheckPortSays200
	CheckPortSays503
	CheckPortSilent // takes connections and never answers
)

// SetFaults replaces the faults of the unit, also while it runs.
func (u *Unit) SetFaults(f Faults) {
	u.ChangeFaults(func(now *Faults) { *now = f })
}

// ChangeFaults changes some of the faults of the unit and leaves the rest,
// also while it runs. change must not call the unit.
func (u *Unit) ChangeFaults(change func(*Faults)) {
	u.mu.Lock()
	before := u.faults
	change(&u.faults)
	if u.faults.FlapEvery != before.FlapEvery {
		u.flapsSince = time.Now()
	}
	event := ""
	if u.faults.StuckPassive && u.clustered() && u.state != Passive {
		event = u.become(Passive, "stuck")
	}
	if u.faults.StuckStandby && !before.StuckStandby && u.state == Active && u.clustered() && !u.effective.preferFirst {
		event = u.become(Standby, "it waits for its partner")
	}
	u.mu.Unlock()
	u.say(event)
	u.settlePorts()
}

// Faults returns the faults that SetFaults has set.
func (u *Unit) Faults() Faults {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.faults
}

// checkPortFault is what is wrong with the check port at a time. u.mu is held.
func (u *Unit) checkPortFault(now time.Time) CheckPortFault {
	f := u.faults
	if f.CheckPort == CheckPortHonest && f.FlapEvery > 0 && now.Sub(u.flapsSince)/f.FlapEvery%2 == 0 {
		return CheckPortSays503
	}
	return f.CheckPort
}
