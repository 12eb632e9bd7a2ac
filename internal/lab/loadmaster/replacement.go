package loadmaster

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"time"
)

// Replace puts a new appliance in the place of the unit, at its address: without
// power, never licensed, without HA, services and credentials, and with another
// serial number and certificate. It takes the power from one that has it. A backup
// of what was there is kept, as people have one.
func (u *Unit) Replace() {
	kept := u.backup(nil).file
	u.PowerOff()
	u.RotateCertificate()
	u.mu.Lock()
	defer u.mu.Unlock()
	u.kept = kept
	u.configured = haSettings{role: Single, checkPort: usualCheckPort}
	u.parameters = initialParameters(u.cfg)
	u.shelves, u.published = map[string]*shelf{}, nil
	u.setUp(nil)
	u.sync = newSyncState(time.Now())
	if u.cfg.Options.SyncNewUnit == SyncNewUnitEverything {
		u.sync.since, u.sync.asksAll = geoVersion{}, true
	}
	u.geo = geoState{}
	u.apiKey, u.password = "", ""
	u.licensed = false
	u.apiEnabled = u.cfg.Options.UnlicensedAPI == UnlicensedAPIOpen
	u.firmware, u.installed = u.cfg.Firmware, u.cfg.Firmware
	u.serial = nextSerial(u.serial)
	u.logins.inARow, u.logins.until = 0, time.Time{}
	u.changedAt = time.Now()
}

func nextSerial(serial string) string {
	n, err := strconv.ParseUint(serial, 10, 63)
	if err != nil {
		return serial + "1"
	}
	return strconv.FormatUint(n+1, 10)
}

// License is what a person does with a new unit before anybody can work with it:
// it is licensed, which turns its API on (loadmaster.md 1.3), and gets an API key
// and a password. All else is left to others.
func (u *Unit) License(apiKey, password string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.licensed, u.apiEnabled = true, true
	u.apiKey, u.password = apiKey, password
}

// RestoreKept restores the backup that was kept of the unit before it was replaced:
// services and GEO, or with base all of it, which brings back role, partner and
// preference too. It fails where the unit refuses that.
func (u *Unit) RestoreKept(base bool) error {
	kind := virtualServices | geoSettings
	if base {
		kind |= baseSettings
	}
	u.mu.Lock()
	kept := base64.StdEncoding.EncodeToString(u.kept)
	u.mu.Unlock()
	if a := u.execute("restore", arguments{fileArgument: kept, "type": strconv.Itoa(kind)}); a.status != 200 {
		return fmt.Errorf("restore %s: %s", u.cfg.Name, a.text)
	}
	return nil
}

// isLicensed tells whether the unit was ever licensed.
func (u *Unit) isLicensed() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.licensed
}
