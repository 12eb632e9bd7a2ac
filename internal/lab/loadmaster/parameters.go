package loadmaster

import (
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
	local                     // of this unit alone, by the guide's list (loadmaster.md 2.5)
	own                       // of this unit by nature, although the list does not have it
	synchronised              // of the pair
)

// parameter is one that get, set and getall know.
type parameter struct {
	attribute
	scope scope
}

// mask is what a secret reads as. Written back it is stored like any other
// value, so that a client that does so shows up (loadmaster.md 6 number 8).
const mask = "********"

// parameterTable is the parameters by what becomes of them (loadmaster.md 3.1), in
// the order of getall, with what a unit has of them that nobody has set up. Those of
// GEO access are on no list of what stays on its unit.
var parameterTable = []struct {
	scope scope
	names string
}{
	{computed, "version text\n serialnumber text\n boottime text\n activetime text\n hastatus text\n hamode text\n haprefered text\n enableapi text\n apiport text\n wuiport text"},
	{local, `
		hostname text
		ha1hostname text
		ha2hostname text
		nameserver text is=168.63.129.16 in=nameserver|namserver
		searchlist text
		dfltgw text is=10.0.0.1
		dfltgwv6 text
		admingw text
		WUICACertList text
	`},
	{own, `
		adminclientaccess number is=0 range=0..3
		sshaccess switch is=yes
		sshport number is=22 range=3..65530
		sshiface number
		SSHPreAuth text
		wuiiface number
		wuiaccess switch
		multihomedwui switch
		tethering switch
		outboundcipherset text
		eccerts number range=0..2
		hideaslloginmsg switch
		dnssecclient switch
		hatimeout number range=1..5
		hawait number range=0..200
		havhid number
		irqbalance switch
		linearesplogs switch
		netconsole text
		netconsoleinterface text
		EnableIsetupCli switch
		backuptop switch
	`},
	{synchronised, `
		DNSNamesEnable switch
		DNSUpdateInterval number range=1..60
		DNSReloadOnError switch
		WUITLSProtocols number is=7 range=0..31
		WUICipherset text
		WUITLS13Ciphersets text
		wuipreauth text range=0..5000
		sessioncontrol switch is=no
		sessionbasicauth switch
		sessionidletime number range=60..86400
		sessionmaxfailattempts number is=3 range=1..999
		sessionconcurrent number range=0..9
		hoverhelp switch
		motd text range=0..5000
		wuidisplaylines number range=10..100
		autosave switch
		sessionauthmode number
		sessionlocalauth switch
		radiusserver text
		radiusport number
		radiussecret secret is=lab-radius-secret
		radiusbackupserver text
		radiusbackupport number
		radiusbackupsecret secret
		radiusrevalidateinterval number
		wuildapep text
		wuiusergroups text
		wuinestedgroups switch
		WuiDomain text
		wuiservercertval switch
		wuicertmapping number
		MinPassword number range=8..16
		extendedperms switch
		geoclients text
		geopartners text
		geosshport number is=22 range=3..65530
		geo_ssh_iface number
		snat switch
		allowupload switch
		conntimeout number is=660 range=0..86400
		keepalive switch
		multigw switch
		nonlocalrs switch
		onlydefaultroutes switch
		resetclose switch
		subnetorigin switch
		subnetoriginating switch
		tcptimestamp switch
		tcpsack switch
		TCPnorecycle switch
		routefilter switch
		dhkeysize number
		http_proxy text
		IPV6forwarding switch
		dhcpv6 switch
		sslrenegotiate switch
		SSLForceServerVerify switch
		localbind switch
		alwayspersist text
		addcookieport switch
		rfcconform switch
		closeonerror switch
		addvia number
		rsarelocal switch
		droponfail switch
		dropatdrainend switch
		transparent switch
		authtimeout number range=30..300
		authpostwait number
		clienttokentimeout number range=60..300
		finalpersist switch
		addforwardheader number
		expect100 number
		allowemptyposts switch
		AllowEmptyHttpHeaders switch
		ForceFullRSMatch switch
		slowstart number range=0..600
		ShareSubVSPersist switch
		CEFmsgFormat switch
		SameSite number
		L7NTLMProxy switch
		loguseragent switch
		logsplitinterval number range=1..100
		syslogemergency text
		syslogcritical text
		syslogerror text
		syslogwarn text
		syslognotice text
		sysloginfo text
		SyslogPort number is=514 range=3..65530
		syslogprot text one=tcp|udp|tls
		syslogcert text
		snmpenable switch
		snmpv3enable switch
		snmpv3user text
		snmpv3userpasswd secret
		snmpAuthProt text
		snmpPrivProt text
		snmpclient text
		snmpcommunity text
		snmpcontact text
		snmplocation text
		snmptrapenable switch
		snmpHaTrap switch
		snmpv1sink text
		snmpv2sink text
		emailenable switch
		emailserver text
		emailport number range=3..65530
		emailuser text
		emailpassword secret is=lab-mail-password
		emaildomain text
		emailsslmode number range=0..3
		emailemergency text
		emailcritical text
		emailerror text
		emailwarn text
		emailnotice text
		emailinfo text
		ntphost text is=pool.ntp.org
		ntpkeyid number
		ntpkeysecret secret is=lab-ntp-secret
		ntpkeytype text one=SHA-1|SHA|M
		timezone text
		backupenable switch
		backupday number range=0..7
		backuphour number range=0..23
		backupminute number range=0..59
		backupmethod text is=wput
		backuphost text
		backuppath text
		backupuser text
		backuppassword secret is=lab-backup-password
		backupident secret
		backupsecure switch
		backupnetstat switch
		OCSPPort number
		OCSPUseSSL switch
		OCSPOnServerFail switch
		OCSPServer text
		OCSPUrl text
		OCSPcertChecking switch
		SSLStapling switch
		SSLRefreshInterval number
		cachesize number is=100 range=1..409
		hostcache switch
		paranoia number range=0..3
		limitinput number
		L7LimitInput number
		MaxConnsLimit number
		MaxCPSLimit number
		MaxRPSLimit number
		MaxBandwidthLimit number
		ClientMaxConnsLimit number
		ClientCPSLimit number
		ClientRPSLimit number
		ClientMaxBandwidthLimit number
		ClientRepeatDelay number range=10..86400
		SendRateLimitError switch
		RateLimitFail number
		LimitLogging switch
		TelemetryServer text
		TelemetryActiveTimeout number
		TelemetryInactiveTimeout number
		renewperiod number range=1..60
		directoryurl text
	`},
}

// parameters are those of the table, and parametersByName the same by their names in
// lower case.
var parameters, parametersByName = func() ([]parameter, map[string]parameter) {
	all, byName := []parameter{}, map[string]parameter{}
	for _, group := range parameterTable {
		for _, a := range attributesOf(group.names) {
			p := parameter{a, group.scope}
			all = append(all, p)
			for _, name := range a.inputs {
				byName[name] = p
			}
		}
	}
	return all, byName
}()

func initialParameters(cfg Config) map[string]string {
	values := map[string]string{}
	for _, p := range parameters {
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
	p, known := parametersByName[strings.ToLower(name)]
	return p, known
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
	if p.form == formSecret && value != "" {
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

// store writes a parameter as the unit's state allows, and answers for it. u.mu is
// held.
func (u *Unit) store(p parameter, value string) answer {
	if p.scope == synchronised && u.state == Standby && u.cfg.Options.StandbyWrites == StandbyRejectsWrites {
		return refusedOnStandby()
	}
	u.remember()
	value, ok := p.read(value)
	if !ok {
		return unknownValue(p.name)
	}
	if slices.Contains(logLevels, p.name) {
		u.moveLogHosts(value, p.name)
		value = u.addLogHosts(p.name, value)
	}
	u.parameters[p.name] = value
	if p.scope == synchronised && !p.isGEO() { // GEO has its own way to the partner
		u.touch(classParameters, p.name)
	}
	u.changedAt = time.Now()
	return done()
}

// read makes a value what is read back of it (loadmaster.md 3.6), and tells whether
// the unit takes it. An empty one unsets.
func (p parameter) read(value string) (string, bool) {
	switch {
	case value == "":
		return "", true
	case p.name == "conntimeout" && value == "0":
		return "660", true
	case p.name == "backupmethod" && value == "ftp":
		return "wput", true
	}
	return p.accept(value)
}
