package loadmaster

import "time"

// Faults are what can be wrong with a unit beyond its power and its network
// (loadmaster.md 6 number 11). The zero value is a healthy unit. They stay
// through reboots until they are replaced.
type Faults struct {
	API          APIFault
	APIDelay     time.Duration // added before every answer of the API
	StuckPassive bool          // the unit stays Passive whoever polls it
	CheckPort    CheckPortFault
	ServicesDead bool // nothing is forwarded, whatever the check port says
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
	u.mu.Lock()
	u.faults = f
	change := ""
	if f.StuckPassive && u.clustered() && u.state != Passive {
		change = u.become(Passive, "stuck")
	}
	u.mu.Unlock()
	u.say(change)
	u.settlePorts()
}

// Faults returns the faults that SetFaults has set.
func (u *Unit) Faults() Faults {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.faults
}
