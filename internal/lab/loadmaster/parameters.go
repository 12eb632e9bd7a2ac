package loadmaster

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// scope says where the value of a parameter comes from and where it goes
// (loadmaster.md 3.1).
type scope int

const (
	computed     scope = iota // read-only
	local                     // of this unit alone
	synchronised              // of the pair
)

// parameter is one that get, set and getall know.
type parameter struct {
	name    string
	scope   scope
	secret  bool   // reads as eight asterisks
	initial string // for local and synchronised ones
}

// mask is what a secret reads as. Written back it is stored like any other
// value, so that a client that does so shows up (loadmaster.md 6 number 8).
const mask = "********"

// parameterList is the parameters in the order of getall: the HA ones, and a
// few of every kind for clients to be tested with.
func parameterList() []parameter {
	return []parameter{
		{name: "version"},
		{name: "hostname", scope: local},
		{name: "serialnumber"},
		{name: "boottime"},
		{name: "activetime"},
		{name: "hastatus"},
		{name: "hamode"},
		{name: "haprefered"},
		{name: "dfltgw", scope: local, initial: "10.0.0.1"},
		{name: "nameserver", scope: local, initial: "168.63.129.16"},
		{name: "enableapi"},
		{name: "apiport"},
		{name: "wuiport"},
		{name: "WUITLSProtocols", scope: synchronised, initial: "7"},
		{name: "adminclientaccess", scope: local, initial: "0"},
		{name: "sshport", scope: local, initial: "22"},
		{name: "ntphost", scope: synchronised, initial: "pool.ntp.org"},
		{name: "ntpkeysecret", scope: synchronised, secret: true, initial: "lab-ntp-secret"},
		{name: "emailpassword", scope: synchronised, secret: true},
		{name: "radiussecret", scope: synchronised, secret: true, initial: "lab-radius-secret"},
		{name: "backupmethod", scope: synchronised, initial: "wput"},
		{name: "backuppassword", scope: synchronised, secret: true, initial: "lab-backup-password"},
		{name: "sessioncontrol", scope: synchronised, initial: "no"},
		{name: "sessionmaxfailattempts", scope: synchronised, initial: "3"},
		{name: "cachesize", scope: synchronised, initial: "100"},
		{name: "conntimeout", scope: synchronised, initial: "660"},
		{name: "geoclients", scope: synchronised},
		{name: "geopartners", scope: synchronised},
		{name: "geosshport", scope: synchronised, initial: "22"},
		{name: "motd", scope: synchronised},
		{name: "SyslogPort", scope: synchronised, initial: "514"},
	}
}

func initialParameters(cfg Config) map[string]string {
	values := map[string]string{}
	for _, p := range parameterList() {
		if p.scope != computed {
			values[p.name] = p.initial
		}
	}
	values["hostname"] = cfg.Name
	return values
}

// findParameter looks a parameter up without regard to case
// (loadmaster.md 1.1).
func (u *Unit) findParameter(name string) (parameter, bool) {
	if strings.EqualFold(name, "hastatus") && u.cfg.Options.HAStatus == HAStatusUnknown {
		return parameter{}, false
	}
	list := parameterList()
	i := slices.IndexFunc(list, func(p parameter) bool { return strings.EqualFold(p.name, name) })
	if i < 0 {
		return parameter{}, false
	}
	return list[i], true
}

// Parameter returns the stored value of a parameter, secrets in clear, so
// that a story can see what a client really wrote.
func (u *Unit) Parameter(name string) (value string, ok bool) {
	p, ok := u.findParameter(name)
	if !ok {
		return "", false
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.value(p), true
}

// value returns the stored or computed value. u.mu is held.
func (u *Unit) value(p parameter) string {
	switch p.name {
	case "version":
		return u.firmware
	case "serialnumber":
		return u.serial
	case "boottime":
		return u.timeText(u.bootedAt)
	case "activetime":
		return u.timeText(u.activeSince)
	case "hastatus":
		return u.haStatus()
	case "hamode":
		if u.effective.role == Single {
			return "0"
		}
		return "3"
	case "haprefered":
		return oneZero(u.configured.preferFirst)
	case "enableapi":
		return yesNo(u.apiEnabled)
	case "apiport", "wuiport":
		return strconv.Itoa(u.cfg.APIPort)
	}
	return u.parameters[p.name]
}

// shown is value as an answer shows it. u.mu is held.
func (u *Unit) shown(p parameter) string {
	value := u.value(p)
	if p.secret && value != "" {
		return mask
	}
	return value
}

// haStatus is the API's word for the state (loadmaster.md 2.2). u.mu is held.
func (u *Unit) haStatus() string {
	if u.effective.role == Single {
		return "HA not configured"
	}
	return u.state.String()
}

// timeText writes boottime and activetime; the latter is 0 while the unit is
// not active (loadmaster.md 2.2).
func (u *Unit) timeText(t time.Time) string {
	switch {
	case t.IsZero():
		return "0"
	case u.cfg.Options.TimesAsText:
		return t.UTC().Format("Mon Jan _2 15:04:05 UTC 2006")
	}
	return strconv.FormatInt(t.Unix(), 10)
}

// yesNo is a boolean in parameters, interfaces and the licence
// (loadmaster.md 1.5).
func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// oneZero is a boolean as input everywhere (loadmaster.md 1.5).
func oneZero(b bool) string {
	if b {
		return "1"
	}
	return "0"
}

// syncInterval is how often the units of a pair synchronise
// (loadmaster.md 2.5).
const syncInterval = 2 * time.Minute

// store writes a parameter as the unit's state allows, and tells whether it
// did. u.mu is held.
func (u *Unit) store(p parameter, value string) bool {
	if p.scope == synchronised && u.state == Standby {
		switch u.cfg.Options.StandbyWrites {
		case StandbyRejectsWrites:
			return false
		case StandbyLosesWrites:
			u.loseLater(p)
		case StandbyAcceptsWrites:
		}
	}
	u.parameters[p.name] = value
	u.changedAt = time.Now()
	return true
}

// loseLater remembers what the next synchronisation brings back. u.mu is held.
func (u *Unit) loseLater(p parameter) {
	if len(u.lostWrites) == 0 {
		u.lostAt = time.Now().Add(syncInterval)
	}
	if _, known := u.lostWrites[p.name]; !known {
		u.lostWrites[p.name] = u.parameters[p.name]
	}
}

// revertLostWrites does what a synchronisation from the active unit would
// do. u.mu is held.
func (u *Unit) revertLostWrites(now time.Time) {
	if len(u.lostWrites) == 0 || now.Before(u.lostAt) {
		return
	}
	maps.Copy(u.parameters, u.lostWrites)
	clear(u.lostWrites)
	u.changedAt = now
}
