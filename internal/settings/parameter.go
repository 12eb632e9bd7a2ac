package settings

import (
	"sort"
	"strings"
)

// parameterGroup is a row of the inventory of parameters (loadmaster.md 3.1).
type parameterGroup struct {
	name  string
	place Place
	names string // divided by blanks; a star at the end stands for any rest
}

// parameterGroups has every parameter that is known. One that is not in it is
// not written: a new firmware's hostname would be as unknown as its others.
var parameterGroups = []parameterGroup{
	{"identity", State, "version serialnumber boottime activetime time hastatus"},
	{"host and DNS", Local, "hostname ha1hostname ha2hostname nameserver namserver searchlist"},
	{"DNS client of each unit", Own, "dnssecclient"},
	{"DNS", Synchronised, "DNSNamesEnable DNSUpdateInterval DNSReloadOnError"},
	{"gateways", Local, "dfltgw dfltgwv6 admingw"},
	{"administrative certificate", Local, "WUICACertList"},
	{"admin access", Own, "wuiport wuiiface wuiaccess multihomedwui apiport enableapi sshaccess sshport sshiface SSHPreAuth tethering adminclientaccess " +
		"outboundcipherset eccerts hideaslloginmsg"},
	{"WUI", Synchronised, "WUITLSProtocols WUICipherset WUITLS13Ciphersets wuipreauth sessioncontrol sessionbasicauth sessionidletime " +
		"sessionmaxfailattempts sessionconcurrent hoverhelp motd wuidisplaylines autosave"},
	{"authentication", Synchronised, "sessionauthmode sessionlocalauth radius* wuildapep wuiusergroups wuinestedgroups WuiDomain wuiservercertval " +
		"wuicertmapping MinPassword extendedperms"},
	{"GEO partners", Elsewhere, "geoclients geopartners"},
	{"GEO partners' tunnel", Synchronised, "geosshport geo_ssh_iface"},
	{"network", Synchronised, "snat allowupload conntimeout keepalive multigw nonlocalrs onlydefaultroutes resetclose subnetorigin subnetoriginating " +
		"tcptimestamp tcpsack TCPnorecycle routefilter dhkeysize http_proxy IPV6forwarding dhcpv6 sslrenegotiate SSLForceServerVerify"},
	{"L7", Synchronised, "localbind alwayspersist addcookieport rfcconform closeonerror addvia rsarelocal droponfail dropatdrainend transparent authtimeout " +
		"authpostwait clienttokentimeout finalpersist addforwardheader expect100 allowemptyposts AllowEmptyHttpHeaders ForceFullRSMatch slowstart " +
		"ShareSubVSPersist CEFmsgFormat SameSite L7NTLMProxy loguseragent logsplitinterval"},
	{"classic HA", Own, "hamode haprefered hatimeout hawait havhid haif hastyle hainitial mcast vmac hal4update hal7update macglobal halinkfailreboot"},
	{"logging", Synchronised, "syslogemergency syslogcritical syslogerror syslogwarn syslognotice sysloginfo syslogport syslogprot syslogcert"},
	{"SNMP", Synchronised, "snmpenable snmpv3enable snmpv3user snmpAuthProt snmpPrivProt snmpclient snmpcommunity snmpcontact snmplocation " +
		"snmptrapenable snmpHaTrap snmpv1sink snmpv2sink"},
	{"e-mail", Synchronised, "emailenable emailserver emailport emailuser emaildomain emailsslmode emailemergency emailcritical emailerror emailwarn " +
		"emailnotice emailinfo"},
	{"time", Synchronised, "ntphost ntpkeyid ntpkeytype timezone"},
	{"backup", Synchronised, "backupenable backupday backuphour backupminute backupmethod backuphost backuppath backupuser backupsecure backupnetstat"},
	{"OCSP", Synchronised, "OCSPPort OCSPUseSSL OCSPOnServerFail OCSPServer OCSPUrl OCSPcertChecking SSLStapling SSLRefreshInterval"},
	{"limits", Synchronised, "cachesize hostcache paranoia limitinput L7LimitInput MaxConnsLimit MaxCPSLimit MaxRPSLimit MaxBandwidthLimit ClientMaxConnsLimit " +
		"ClientCPSLimit ClientRPSLimit ClientMaxBandwidthLimit ClientRepeatDelay SendRateLimitError RateLimitFail LimitLogging"},
	{"telemetry", Synchronised, "TelemetryServer TelemetryActiveTimeout TelemetryInactiveTimeout TelemetryOpt*"},
	{"ACME", Synchronised, "renewperiod directoryurl"},
	{"debugging", Own, "irqbalance irqpinning linearesplogs netconsole netconsoleinterface EnableIsetupCli backuptop"},
	{"secrets", Masked, "ntpkeysecret emailpassword radiussecret radiusbackupsecret backuppassword backupident snmpv3userpasswd"},
}

// parameterStars are the groups' names that end with a star, longest first.
type star struct {
	prefix string
	place  Place
}

// parameterPlaces has the places of all parameters by their names in lower case,
// since firmware spells them as it likes (loadmaster.md 3.1).
var parameterPlaces, parameterStars = func() (map[string]Place, []star) {
	places, stars := map[string]Place{}, []star{}
	for _, g := range parameterGroups {
		for name := range strings.FieldsSeq(strings.ToLower(g.names)) {
			if prefix, ok := strings.CutSuffix(name, "*"); ok {
				stars = append(stars, star{prefix, g.place})
				continue
			}
			places[name] = g.place
		}
	}
	sort.Slice(stars, func(i, j int) bool { return len(stars[i].prefix) > len(stars[j].prefix) })
	return places, stars
}()

// ParameterPlace returns whose business a parameter is: PlaceUnknown for one that
// the inventory does not have.
func ParameterPlace(name string) Place {
	name = strings.ToLower(name)
	if place, ok := parameterPlaces[name]; ok {
		return place
	}
	for _, s := range parameterStars {
		if strings.HasPrefix(name, s.prefix) {
			return s.place
		}
	}
	return PlaceUnknown
}
