package loadmaster

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// arguments are the parameters of a call by lower-case name.
type arguments map[string]string

// command is one that the API knows, by its lower-case name.
type command struct {
	name string
	run  func(*Unit, arguments) answer
	// always says that a unit knows it before it is licensed. Which do is not
	// documented: here those that read, and the reboot.
	always bool
}

// commands are those of every unit, which has them from New: one of them lists them.
var commands = commandTable()

// commandTable is the commands by their names in lower case. The cloud forms do what
// the Azure forms do (loadmaster.md 2.1).
func commandTable() map[string]command {
	commands := []command{
		{"azurehamode", (*Unit).setMode, false},
		{"azurehaparam", (*Unit).setHAParameters, false},
		{"backup", (*Unit).giveBackup, false},
		{"get", (*Unit).get, true},
		{"getall", (*Unit).getAll, true},
		{"getazurehaparams", (*Unit).getHAParameters, true},
		{"getcloudhaparams", (*Unit).getHAParameters, true},
		{"licenseinfo", (*Unit).licenseInfo, true},
		{"listapi", (*Unit).listAPI, true},
		{"reboot", (*Unit).rebootCommand, true},
		{"restore", (*Unit).restore, false},
		{"set", (*Unit).setAndFollow, false},
		{"setcloudhamode", (*Unit).setMode, false},
		{"setcloudhaparam", (*Unit).setHAParameters, false},
		{"stats", (*Unit).stats, true},
		{"vstotals", (*Unit).vsTotals, true},
	}
	table := map[string]command{}
	for _, c := range slices.Concat(commands, geoCommands(), serviceCommands(), bindingCommands(), classCommands(), moreCommands()) {
		table[c.name] = c
	}
	return table
}

// execute runs a command; its name has any case (loadmaster.md 1.1), and dots or
// slashes in it, as in the two notations.
func (u *Unit) execute(name string, args arguments) answer {
	c, known := u.commands[strings.ReplaceAll(strings.ToLower(name), ".", "/")]
	switch {
	case !known:
		return fail(405, "Unknown command")
	case !c.always && !u.isLicensed(): // no text of such a refusal is known
		return fail(422, "Command not allowed on an unlicensed unit")
	}
	return c.run(u, args)
}

func (u *Unit) get(args arguments) answer {
	name, given := args["param"]
	if !given {
		return missing("param")
	}
	p, known := u.findParameter(name)
	if !known {
		return unknownValue(name)
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	a := data(u.parameterField(p))
	a.padded = true
	a.nested = u.cfg.Options.V2Get == V2GetNested
	return a
}

func (u *Unit) getAll(arguments) answer {
	u.mu.Lock()
	defer u.mu.Unlock()
	var fields []field
	for _, p := range parameters {
		if _, known := u.findParameter(p.name); known && u.value(p) != "" {
			fields = append(fields, u.parameterField(p))
		}
	}
	return data(fields...)
}

// parameterField is a parameter in an answer; nameserver is a list in JSON
// (loadmaster.md 1.6). u.mu is held.
func (u *Unit) parameterField(p parameter) field {
	value := u.shown(p)
	if p.name == "nameserver" {
		return field{name: p.name, leaf: &leaf{value, strings.Split(value, ",")}}
	}
	return typed(p.name, value)
}

func (u *Unit) set(args arguments) answer {
	name, given := args["param"]
	if !given {
		return missing("param")
	}
	value, given := args["value"]
	if !given {
		return missing("value")
	}
	if strings.EqualFold(name, noLogging) {
		return writes(func(u *Unit, _ arguments) answer { u.moveLogHosts(value, ""); return done() })(u, args)
	}
	p, known := u.findParameter(name)
	if !known {
		return unknownValue(name)
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if p.name == "enableapi" {
		return u.setEnableAPI(value)
	}
	if p.scope == computed {
		return unknownValue(name)
	}
	return u.store(p, value)
}

// setEnableAPI takes yes and no and nothing else (loadmaster.md 1.3). u.mu is
// held.
func (u *Unit) setEnableAPI(value string) answer {
	if value != "yes" && value != "no" {
		return unknownValue("enableapi")
	}
	u.apiEnabled = value == "yes"
	u.changedAt = time.Now()
	return done()
}

// roleWord knows the words that azurehamode takes (loadmaster.md 2.1).
func roleWord(word string) (Role, bool) {
	switch strings.ToLower(word) {
	case "first", "master":
		return First, true
	case "second", "slave":
		return Second, true
	case "single":
		return Single, true
	}
	return 0, false
}

func (u *Unit) setMode(args arguments) answer {
	word, given := args["hamode"]
	if !given {
		return missing("hamode")
	}
	role, known := roleWord(word)
	if !known {
		return unknownValue("hamode")
	}
	u.mu.Lock()
	settings := u.configured
	settings.role = role
	events := u.configure(settings)
	u.mu.Unlock()
	u.sayAll(events)
	u.settlePorts()
	return done()
}

// setHAParameters changes the parameters that are given and leaves the rest.
// The vendor's SDK always sends haprefered and hcai, with 0 for what its
// caller left out (loadmaster.md 0.1 fact 3); the unit believes it.
func (u *Unit) setHAParameters(args arguments) answer {
	u.mu.Lock()
	if u.faults.SetUpRefused {
		u.mu.Unlock()
		return fail(403, "Permission denied") // as of a backup
	}
	settings := u.configured
	if bad := settings.update(args); bad != "" {
		u.mu.Unlock()
		return unknownValue(bad)
	}
	events := u.configure(settings)
	u.mu.Unlock()
	u.sayAll(events)
	u.settlePorts()
	return done()
}

// update takes over the given parameters, and names one that is impossible.
func (s *haSettings) update(args arguments) (bad string) {
	if partner, given := args["partner"]; given {
		if !isHost(partner) {
			return "partner"
		}
		s.partner = partner
	}
	if port, given := args["hcp"]; given {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return "hcp"
		}
		s.checkPort = int(n)
	}
	if first, given := args["haprefered"]; given {
		if first != "0" && first != "1" {
			return "haprefered"
		}
		s.preferFirst = first == "1"
	}
	if all, given := args["hcai"]; given {
		if all != "0" && all != "1" {
			return "hcai"
		}
		s.allInterfaces = all
	}
	return ""
}

// isHost tells whether a text can be an address or a host name.
func isHost(text string) bool {
	if _, err := netip.ParseAddr(text); err == nil {
		return true
	}
	odd := func(r rune) bool { return r >= 0x80 || !strings.ContainsRune(hostRunes, r) }
	return text != "" && len(text) <= 253 && strings.IndexFunc(text, odd) < 0
}

const hostRunes = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."

// configure stores HA settings, lets those work that need no reboot, and
// returns the sentences about it; a unit that is off has nothing to say. u.mu
// is held.
func (u *Unit) configure(settings haSettings) []string {
	events := u.configured.differences(settings)
	if len(events) > 0 {
		u.changedAt = time.Now()
	}
	u.configured = settings
	switch {
	case u.life == nil:
		return nil
	case u.state < Passive:
		return events // the boot takes them over
	}
	before := u.effective.role
	if !u.cfg.Options.ParametersNeedReboot {
		u.effective = settings
		u.effective.role = before
	}
	if u.cfg.Options.ModeAppliesAtOnce {
		u.effective.role = settings.role
	}
	switch {
	case before == u.effective.role:
	case u.effective.role == Single:
		events = append(events, u.become(Active, "it is a single unit now"))
	default:
		events = append(events, u.become(Passive, "its HA mode is new"))
		u.polled, u.misses = false, 0
	}
	return events
}

// differences tells what changes from s to t.
func (s haSettings) differences(t haSettings) []string {
	var events []string
	note := func(changed bool, name string, value any) {
		if changed {
			events = append(events, fmt.Sprintf("sets %s=%v", name, value))
		}
	}
	note(s.role != t.role, "hamode", t.role)
	note(s.partner != t.partner, "partner", t.partner)
	note(s.checkPort != t.checkPort, "hcp", t.checkPort)
	note(s.preferFirst != t.preferFirst, "haprefered", oneZero(t.preferFirst))
	note(s.allInterfaces != t.allInterfaces, "hcai", t.allInterfaces)
	return events
}

func (u *Unit) sayAll(events []string) {
	for _, event := range events {
		u.say(event)
	}
}

func (u *Unit) getHAParameters(arguments) answer {
	u.mu.Lock()
	defer u.mu.Unlock()
	s := u.configured
	if s.role == Single {
		return data(object("AzureHA", text("HaMode", "single"), text("HaPrefered", ""), text("Partner", ""), text("Port", "")))
	}
	fields := []field{
		text("HaMode", u.modeWord()),
		typed("HaPrefered", oneZero(s.preferFirst)),
		text("Partner", s.partner),
		number("Port", s.checkPort),
	}
	if value, present := u.allInterfacesText(); present {
		fields = append(fields, field{name: "HealthCheckAllInterfaces", leaf: &leaf{value, value == "1"}})
	}
	return data(object("AzureHA", fields...))
}

// modeWord is the configured role as HaMode reads it. u.mu is held.
func (u *Unit) modeWord() string {
	switch {
	case u.cfg.Options.HAModeWords != OldWords:
		return u.configured.role.String()
	case u.configured.role == First:
		return "master"
	}
	return "slave"
}

// allInterfacesText is HealthCheckAllInterfaces as v1 reads it. u.mu is held.
func (u *Unit) allInterfacesText() (value string, present bool) {
	value = u.configured.allInterfaces
	switch u.cfg.Options.AllInterfaces {
	case AllInterfacesAbsent:
		return "", false
	case AllInterfacesPresent:
		return orDefault(value, "0"), true
	case AllInterfacesUnset:
	}
	return orDefault(value, "unset"), true
}

// stats has the parts of v1-stats.xml that a monitor reads; the loads are
// those of an idle unit.
func (u *Unit) stats(arguments) answer {
	u.mu.Lock()
	defer u.mu.Unlock()
	now := time.Now()
	idle := object("total", number("User", 0), number("System", 1), number("Idle", 99), number("IOWaiting", 0))
	memory := object("Memory", number("MBtotal", 2003), number("memused", 312140), number("percentmemused", 15),
		number("memfree", 1739060), number("percentmemfree", 85))
	totals := object("VStotals", number("ConnsPerSec", 0), number("TotalConns", u.servedInAll()),
		number("BytesPerSec", 0), number("PktsPerSec", 0))
	eth0 := object("eth0", number("ifaceID", 0), number("speed", 10000), number("inbytesTotal", 0), number("outbytesTotal", 0))
	return data(object("CPU", idle), memory, object("Network", eth0), totals, u.serviceStats(),
		object("TPS", number("Total", 0), number("SSL", 0)),
		object("Timestamp", number("Sec", now.Unix()), number("Usec", now.Nanosecond()/1000), number("Period", 5_000_000)),
		number("ChangeTime", u.changedAt.Unix()))
}

// serviceStats lists the virtual services, numbered in the unit's own way
// (loadmaster.md 0.1 fact 9). u.mu is held.
func (u *Unit) serviceStats() field {
	f := field{name: "Vs", repeated: [][]field{}}
	status := "up"
	if u.faults.ServicesDead || u.faults.RealServersDown {
		status = "down"
	}
	for _, vs := range u.shelf(classServices).items {
		if u.waitsForReboot {
			break
		}
		port, _ := strconv.Atoi(vs.Values["vsport"])
		enabled, _ := truth(orDefault(vs.Values["enable"], "Y"))
		f.repeated = append(f.repeated, []field{
			text("VSAddress", vs.Values["vsaddress"]), text("VSPort", vs.Values["vsport"]), text("VSProt", vs.Values["protocol"]),
			number("Index", vs.index), text("Status", status), text("ErrorCode", "0"),
			typed("Enable", oneZero(enabled)), number("TotalConns", u.served[port]), number("ActiveConns", u.open[port]),
		})
	}
	return f
}

// servedInAll counts the requests to all services since the boot. u.mu is
// held.
func (u *Unit) servedInAll() int {
	total := 0
	for _, n := range u.served {
		total += n
	}
	return total
}

// vsTotals counts up, down and disabled objects; its element names are
// inferred (loadmaster.md 5).
func (u *Unit) vsTotals(arguments) answer {
	u.mu.Lock()
	defer u.mu.Unlock()
	services := len(u.shelf(classServices).items)
	up := services
	if u.faults.ServicesDead || u.faults.RealServersDown {
		up = 0
	}
	counts := func(name string, up, down int) field {
		return object(name, number("Up", up), number("Down", down), number("Disabled", 0))
	}
	return data(object("VStotals", counts("VS", up, services-up), counts("SubVS", 0, 0), counts("RS", up, services-up)))
}

func (u *Unit) licenseInfo(arguments) answer {
	u.mu.Lock()
	defer u.mu.Unlock()
	kind, status := "VLM-5000 ESP GEO", "Single Perm"
	if !u.licensed { // no text of it is known
		kind, status = "", "Unlicensed"
	}
	return data(
		text("uuid", "941b6d65-1758-40a3-8a89-"+strings.Repeat("0", max(0, 12-len(u.serial)))+u.serial),
		text("ActivationDate", "Wed May 17 16:47:46 UTC 2017"),
		text("LicensedUntil", "unlimited"),
		text("SupportLevel", "Basic 2 years"),
		text("SupportUntil", "Fri May 17 04:00:00 UTC 2030"),
		text("LicenseType", kind),
		text("LicenseStatus", status),
		text("ApplianceModel", "VLM-5000 ESP GEO"),
		number("MaxVS", 0), number("MaxRS", 0), number("Bandwidth", 5000), number("TpsLimit", 10000),
		typed("HA", yesNo(u.effective.role != Single)), typed("FirstHA", yesNo(u.effective.role == First)),
		typed("ModSecurity", "yes"), typed("AFE", "yes"), typed("ESP", "yes"), typed("VLM", "yes"),
		text("VlmPlatform", "AZURE"), text("SKU", "VLM_AZURE_64"),
		typed("FreeLicense", "no"), typed("Temporary", "no"), typed("ASL", "no"),
		typed("MandatoryTether", "no"), typed("MultipleConnect", "no"),
	)
}

func (u *Unit) listAPI(arguments) answer {
	names := slices.Sorted(maps.Keys(u.commands))
	return data(text("version", u.runningFirmware()), field{name: "commands", list: &list{"cmd", names}})
}

func (u *Unit) rebootCommand(arguments) answer {
	u.Reboot()
	return done()
}

// Reboot does what the command reboot does: the unit goes away within seconds
// and boots again. It does nothing to a unit that is off.
func (u *Unit) Reboot() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.requestReboot()
}

// Configure changes settings as a person does at the unit, through the code of
// its commands: hamode first, then other parameters by name, then those of
// azurehaparam together. It fails where the unit refuses one of them; those
// before it are made. A unit that is off takes them too: they are on its disk
// when it boots.
func (u *Unit) Configure(settings map[string]string) error {
	type call struct {
		name string
		args arguments
	}
	var calls []call
	ha := arguments{}
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		switch key, value := strings.ToLower(name), settings[name]; key {
		case "hamode":
			calls = slices.Insert(calls, 0, call{"azurehamode", arguments{key: value}})
		case "partner", "hcp", "haprefered", "hcai":
			ha[key] = value
		default:
			calls = append(calls, call{"set", arguments{"param": name, "value": value}})
		}
	}
	if len(ha) > 0 {
		calls = append(calls, call{"azurehaparam", ha})
	}
	for _, c := range calls {
		if a := u.execute(c.name, c.args); a.status != 200 {
			return fmt.Errorf("configure %s: %s: %s", u.cfg.Name, c.name, a.text)
		}
	}
	return nil
}
