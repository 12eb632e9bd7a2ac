package settings

import "slices"

// Part is what a restore can restore by itself, as the number that the API gives
// it. Base, 1, is not among them: it holds addresses (loadmaster.md 3.5).
type Part uint8

// The parts.
const (
	NoPart       Part = 0
	ServicesPart Part = 2
	GEOPart      Part = 4
	SSOPart      Part = 8
)

// spec is what the inventory says of a class.
type spec struct {
	name  string
	place Place
	// why it is not synchronised, or what of it object calls cannot carry.
	why string
	// within is the class in whose objects this one's lie, where that is so.
	within Class
	// reads are the calls that together give the class.
	reads []Call
	// key are the fields that make the identity, alternatives divided by a bar.
	// None means that the class is one object, whose fields are the answer's.
	key []string
	// identity is the key in words.
	identity string
	// listed are fields of an answer beside its objects.
	listed []string
	// state are fields that nobody has set: indexes, conditions, counts.
	state []string
	// secret are fields that no read shows.
	secret []string
	// addresses are fields that hold an address which may be the unit's own.
	addresses []string
	// standsOn says that the identity begins with such an address.
	standsOn bool
	// partial means that an object may be there although it was not read, so that
	// its absence says nothing.
	partial bool
	// addByHand, changeByHand and removeByHand say why an object of the class cannot be
	// added, changed or deleted by object calls, and what a person can do.
	addByHand, changeByHand, removeByHand string
	// fixed are fields that no command changes, and why.
	fixed               map[string]string
	part                Part
	add, modify, remove string
	// inputs are the names and values that setters want in place of those that
	// are read.
	inputs map[string]input
}

// Words that stand for the object of which a call is made.
const (
	itsName     = "$name"
	itsAddress  = "$address"
	itsPort     = "$port"
	itsProtocol = "$protocol"
)

const (
	needsPassword = "a password is needed, which cannot be read"
	needsKey      = "the private key cannot be read: it moves with a backup of the certificates"
	needsFile     = "the file has to be uploaded"
	ownCommands   = "each of them has a command of its own, of which the arguments are not documented: set it in the WUI of this unit"
	notDocumented = "the arguments of its commands are not documented: set it in the WUI of this unit"
	guides        = "on the guide's list"
)

// serviceState are the fields of services that are output only.
var serviceState = []string{
	"index", "status", "layer", "mastervs", "mastervsid", "istransparent", "nrules", "nrequestrules", "nresponserules", "nmatchbodyrules",
	"npreprocessrules", "numberofrss",
}

// inventory is loadmaster.md section 3 and 4 as a table, for the API v1; v2 has
// the same commands, with dots for slashes.
var inventory = [classCount]spec{
	Parameters: {
		name: "parameters", place: Synchronised, identity: "one object; a field for each parameter",
		why:   "parameters have a place each, below",
		reads: []Call{{Command: "getall"}}, modify: "set",
	},
	HealthGlobals: {
		name: "health-globals", place: Synchronised, identity: "one object", part: ServicesPart,
		reads: []Call{{Command: "showhealth"}}, modify: "modhealth",
	},
	AdaptiveGlobals: {
		name: "adaptive-globals", place: Synchronised, identity: "one object", part: ServicesPart,
		reads: []Call{{Command: "showadaptive"}}, modify: "modadaptive",
	},
	WAFSettings: {
		name: "waf-settings", place: Synchronised, identity: "one object",
		reads: []Call{{Command: "getwafsettings"}}, modify: "setwafautoupdate",
		changeByHand: ownCommands,
	},
	Hosts: {
		name: "hosts", place: Synchronised, key: []string{"hostip|ipaddress|addr"}, identity: "address",
		reads: []Call{{Command: "gethosts"}}, add: "addhostsentry", remove: "delhostsentry",
		inputs: map[string]input{"fqdn": {name: "hostfqdn"}},
	},
	CipherSets: {
		name: "cipher-sets", place: Synchronised, key: []string{"name"}, identity: "name; of a set made for one service, the service", partial: true,
		why:   "no command lists them: those are read that a service uses, so none is ever deleted. The system's own are the same everywhere",
		reads: []Call{{Command: "getcipherset", Args: []Field{{"name", itsName}}, each: VirtualServices}},
		add:   "modifycipherset", modify: "modifycipherset", remove: "delcipherset",
	},
	Intermediates: {
		name: "intermediate-certificates", place: Synchronised, key: []string{"name"}, identity: "name",
		why:   "their text is read for each",
		reads: []Call{{Command: "listintermediate"}, {Command: "readintermediate", Args: []Field{{"cert", itsName}}, each: Intermediates}},
		add:   "addintermediate", modify: "addintermediate", remove: "delintermediate",
	},
	Certificates: {
		name: "certificates", place: Synchronised, key: []string{"name"}, identity: "name; compared by modulus",
		why: needsKey, addByHand: needsKey, changeByHand: needsKey,
		reads: []Call{{Command: "listcert"}}, add: "restorecert", modify: "restorecert", remove: "delcert",
	},
	ACMECertificates: {
		name: "acme-certificates", place: Synchronised, key: []string{"cert|name"}, identity: "name of the certificate",
		why: "an account is registered on each unit", addByHand: needsKey, changeByHand: needsKey,
		reads: []Call{{Command: "listacmecert", Args: []Field{{"acmetype", "1"}}}, {Command: "listacmecert", Args: []Field{{"acmetype", "2"}}}},
		add:   "addacmecert", remove: "delacmecert", state: []string{"expirydate", "renewaldate", "status"},
	},
	LDAPEndpoints: {
		name: "ldap-endpoints", place: Synchronised, key: []string{"name"}, identity: "name", part: SSOPart,
		why: "the password is masked", secret: []string{"adminpass"}, addByHand: needsPassword,
		reads: []Call{{Command: "showldaplist"}}, add: "addldapendpoint", modify: "modifyldapendpoint", remove: "deleteldapendpoint",
	},
	SSODomains: {
		name: "sso-domains", place: Synchronised, key: []string{"name"}, identity: "name", part: SSOPart,
		why:   "secrets are write-only; metadata and node files have to be uploaded",
		state: []string{"id"}, secret: []string{"kerberospassword", "ldap_password", "radius_shared_secret", "radiussharedsecret", "oidc_secret", "testpass"}, addByHand: needsPassword,
		reads: []Call{{Command: "showdomain"}}, add: "adddomain", modify: "moddomain", remove: "deldomain",
	},
	RemoteGroups: {
		name: "remote-groups", place: Synchronised, key: []string{"name"}, identity: "name",
		why: "not known whether HA synchronises them", reads: []Call{{Command: "grouplist"}},
		add: "groupaddremote", modify: "groupsetperms", remove: "groupdelremote",
	},
	Users: {
		name: "users", place: Synchronised, key: []string{"name"}, identity: "name",
		why: "not known whether HA synchronises them; passwords cannot be read", addByHand: needsPassword,
		reads: []Call{{Command: "userlist"}}, add: "useraddlocal", modify: "usersetperms", remove: "userdellocal",
	},
	WAFFiles: {
		name: "waf-files", place: Synchronised, key: []string{"name|filename"}, identity: "file name", part: ServicesPart,
		why: needsFile, addByHand: needsFile, changeByHand: needsFile,
		reads: []Call{{Command: "listwafrules"}}, add: "addwafcustomrule", remove: "delwafcustomrule",
	},
	OWASPFiles: {
		name: "owasp-files", place: Unreadable, identity: "file name",
		why: "no command lists them; a restore of the services carries them", part: ServicesPart,
		add: "addowaspcustomrule", remove: "delowaspcustomrule",
	},
	Templates: {
		name: "templates", place: Synchronised, key: []string{"name"}, identity: "name",
		why: needsFile, addByHand: needsFile, changeByHand: needsFile,
		reads: []Call{{Command: "listtemplates"}}, add: "uploadtemplate", remove: "deltemplate",
	},
	ContentRules: {
		name: "content-rules", place: Synchronised, key: []string{"name"}, identity: "name", part: ServicesPart,
		reads: []Call{{Command: "showrule"}}, add: "addrule", modify: "modrule", remove: "delrule",
		inputs: map[string]input{
			"caseindependent": {name: "nocase"}, "addhost": {name: "inchost"}, "includequery": {name: "incquery"},
			"setflagonmatch": {name: "setonmatch"}, "headervalue": {name: "replacement"},
		},
	},
	VirtualServices: {
		name: "virtual-services", place: Synchronised, identity: "address, port and protocol", part: ServicesPart, standsOn: true,
		why:   "a unit's own address is the partner's on the partner; an additional address must be there first",
		reads: []Call{{Command: "listvs"}}, add: "addvs", modify: "modvs", remove: "delvs",
		state: serviceState, addresses: []string{"followvsid"},
		inputs: map[string]input{"sslrewrite": {values: []string{"1", "http", "2", "https"}}},
	},
	SubServices: {
		name: "sub-services", place: Synchronised, within: VirtualServices, identity: "service, name and place among equal names", part: ServicesPart,
		reads: []Call{{Command: "listvs"}}, add: "modvs", modify: "modvs", remove: "delvs",
		state: serviceState, addresses: []string{"followvsid"},
		inputs: map[string]input{"sslrewrite": {values: []string{"1", "http", "2", "https"}}},
	},
	RealServers: {
		name: "real-servers", place: Synchronised, within: VirtualServices, identity: "service, address or DNS name, and port", part: ServicesPart,
		reads: []Call{{Command: "listvs"}}, add: "addrs", modify: "modrs", remove: "delrs",
		state: []string{"status", "vsindex", "rsindex", "nrules"},
	},
	RuleBindings: {
		name: "rule-bindings", place: Synchronised, within: VirtualServices, identity: "service or real server, and stage; the order is part of the value", part: ServicesPart,
		reads: []Call{{Command: "listvs"}}, modify: "addprerule, addrequestrule, addresponserule, addresponsebodyrule, addrsrule and their twins; the order by modvs",
	},
	OWASPRules: {
		name: "owasp-rules", place: Synchronised, identity: "service and rule", key: []string{"id"}, part: ServicesPart, standsOn: true,
		why:   "read for each service",
		reads: []Call{{Command: "owasprules", Args: []Field{{"vs", itsAddress}, {"port", itsPort}, {"prot", itsProtocol}}, each: VirtualServices}},
		add:   "owasprules", modify: "owasprules", state: []string{"type"},
		addByHand: "a service has the rules of its rule sets: restore the part, or upload the rule", removeByHand: "a rule goes with its rule set: take that off the service",
	},
	PacketFilter: {
		name: "packet-filter", place: Synchronised, identity: "one object",
		reads: []Call{
			{Command: "aclcontrol", Args: []Field{{"isenabled", ""}}},
			{Command: "aclcontrol", Args: []Field{{"isdrop", ""}}},
			{Command: "aclcontrol", Args: []Field{{"isifblock", ""}}},
			{Command: "aclcontrol", Args: []Field{{"iswuiblock", ""}}},
		},
		modify: "aclcontrol",
		inputs: map[string]input{
			"aclstatus": {name: "enable", values: oneOrZero}, "aclmethod": {name: "drop", values: oneOrZero},
			"aclblockall": {name: "ifblock", values: oneOrZero}, "aclwuiblock": {name: "wuiblock", values: oneOrZero},
		},
	},
	AccessLists: {
		name: "access-lists", place: Synchronised, key: []string{"addr"}, identity: "list and network", listed: []string{"list"},
		reads: []Call{{Command: "aclcontrol", Args: []Field{{"list", "block"}}}, {Command: "aclcontrol", Args: []Field{{"list", "allow"}}}},
		add:   "aclcontrol", modify: "aclcontrol", remove: "aclcontrol",
	},
	ServiceAccessLists: {
		name: "service-access-lists", place: Synchronised, key: []string{"addr"}, identity: "service, list and network", standsOn: true,
		why: "read for each service", listed: []string{"list", "vs_ip", "vs_port", "vs_protocol"},
		reads: []Call{
			{Command: "aclcontrol", Args: []Field{{"listvs", "block"}, {"vsip", itsAddress}, {"vsport", itsPort}, {"vsprot", itsProtocol}}, each: VirtualServices},
			{Command: "aclcontrol", Args: []Field{{"listvs", "allow"}, {"vsip", itsAddress}, {"vsport", itsPort}, {"vsprot", itsProtocol}}, each: VirtualServices},
		},
		add: "aclcontrol", modify: "aclcontrol", remove: "aclcontrol",
	},
	ClientConnectionLimits: limits("client-connection-limits", "clientmaxclimit"),
	ClientRateLimits:       limits("client-rate-limits", "clientcpslimit"),
	ClientRequestLimits:    limits("client-request-limits", "clientrpslimit"),
	ClientBandwidthLimits:  limits("client-bandwidth-limits", "clientbandwidthlimit"),
	LimitRules: {
		name: "limit-rules", place: Synchronised, key: []string{"name"}, identity: "name",
		why:   "their order is not compared",
		reads: []Call{{Command: "listlimitrules"}}, add: "addlimitrule", modify: "modlimitrule", remove: "dellimitrule",
	},
	VPNs: {
		name: "vpns", place: Synchronised, key: []string{"name"}, identity: "name",
		why: "not known whether HA synchronises them; the key is secret", addByHand: needsPassword, changeByHand: notDocumented, removeByHand: notDocumented, secret: []string{"secret", "psk"},
		reads: []Call{{Command: "listvpns"}}, add: "createvpncon", modify: "setvpn...", remove: "deletevpncon", state: []string{"status"},
	},
	SDNControllers: {
		name: "sdn-controllers", place: Synchronised, key: []string{"ipv4", "port"}, identity: "address and port",
		why: "not known whether HA synchronises them; the password is masked", addByHand: needsPassword, changeByHand: notDocumented, removeByHand: notDocumented, secret: []string{"password"},
		reads: []Call{{Command: "getsdncontroller"}}, add: "addsdncontroller", modify: "modsdncontroller", remove: "delsdncontroller",
		state: []string{"id", "clid", "cid"},
	},
	Ingress: {
		name: "kubernetes-ingress", place: Synchronised, identity: "one object",
		why: "not known whether HA synchronises it; its cluster file has to be uploaded", modify: "setlmingress...", changeByHand: ownCommands,
		reads: []Call{{Command: "getlmingressmode"}, {Command: "getlmingressnamespace"}, {Command: "getlmingresswatchtimeout"}},
	},
	GEOClusters: {
		name: "geo-clusters", place: Synchronised, key: []string{"name"}, identity: "name, because the address differs", part: GEOPart,
		why:   "an address that is the unit's own is the partner's on the partner",
		reads: []Call{{Command: "listclusters"}}, add: "addcluster", modify: "modcluster", remove: "delcluster",
		state: []string{"status", "index", "clustervsaddress"}, addresses: []string{"ipaddress"},
		fixed:  map[string]string{"ipaddress": "a cluster is known by its address: delete it, and add it with the other one"},
		inputs: map[string]input{"ipaddress": {name: "ip"}, "type": {values: []string{"0", "default"}}, "locationlatitude": {name: "latsecs"}, "locationlongitude": {name: "longsecs"}},
	},
	GEOLocations: {
		name: "geo-custom-locations", place: Synchronised, key: []string{"name|location"}, identity: "name", part: GEOPart,
		reads: []Call{{Command: "listcustomlocation"}}, add: "addcustomlocation", remove: "deletecustomlocation",
	},
	GEORanges: {
		name: "geo-ip-ranges", place: Synchronised, key: []string{"ipaddress|ip"}, identity: "network", part: GEOPart, state: []string{"index", "status"},
		reads: []Call{{Command: "listips"}}, add: "addip", modify: "modiploc", remove: "delip",
		inputs: map[string]input{"locationlatitude": {name: "lat"}, "locationlongitude": {name: "long"}},
	},
	GEOAccessList: {
		name: "geo-allow-list", place: Synchronised, key: []string{"addr|ip|ipaddress"}, identity: "network", part: GEOPart,
		reads: []Call{{Command: "geoacl/listcustom"}}, add: "geoacl/addcustom", remove: "geoacl/removecustom",
	},
	GEONames: {
		name: "geo-fqdns", place: Synchronised, key: []string{"fullyqualifieddomainname"}, identity: "name", part: GEOPart,
		reads: []Call{{Command: "listfqdns"}}, add: "addfqdn", modify: "modfqdn", remove: "delfqdn",
		state:  []string{"status", "index", "mapping"},
		inputs: map[string]input{"failtime": {per: 60}},
	},
	GEOMaps: {
		name: "geo-maps", place: Synchronised, within: GEONames, identity: "name and address", part: GEOPart, standsOn: true,
		why:   "an address that is the unit's own is the partner's on the partner",
		reads: []Call{{Command: "listfqdns"}}, add: "addmap", modify: "modmap", remove: "delmap",
		state: []string{"status", "index"},
		inputs: map[string]input{
			"mappedaddress": {name: "mapaddress"}, "mappedport": {name: "mapport", values: []string{"*", "2"}}, "checkeraddr": {name: "checkerip"},
			"locationlatitude": {name: "lat"}, "locationlongitude": {name: "long"},
		},
	},
	GEORecords: {
		name: "geo-records", place: Synchronised, within: GEONames, identity: "name, type and value", part: GEOPart,
		reads: []Call{{Command: "listfqdns"}}, add: "addrr", modify: "modrr", remove: "delrr", state: []string{"id", "index"},
	},
	GEOParameters: {
		name: "geo-parameters", place: Synchronised, identity: "one object", part: GEOPart,
		reads: []Call{{Command: "listparams"}}, modify: "modparams",
	},
	GEOAccessSettings: {
		name: "geo-access-settings", place: Synchronised, identity: "one object", part: GEOPart,
		reads: []Call{{Command: "geoacl/getsettings"}}, modify: "geoacl/setautoupdate", state: []string{"lastupdated", "lastinstalled"},
		changeByHand: ownCommands,
	},

	UnitState: {
		name: "unit-state", place: State, identity: "one object",
		why:   "what a unit says of itself; a change of serial number, licence or firmware makes what it lost wait for a person",
		reads: []Call{{Command: "getall"}, {Command: "licenseinfo"}},
	},
	Interfaces: {
		name: "interfaces", place: Local, identity: "interface",
		why:   guides + ": addresses, netmasks, additional addresses, VLANs, VXLANs, MTU, link speed and duplex; read to know a unit's own addresses",
		reads: []Call{{Command: "showiface"}},
	},
	Routes:          {name: "routes", place: Local, identity: "destination", why: guides + ": additional routes", reads: []Call{{Command: "showroute"}}},
	AdminAccess:     {name: "admin-access", place: Local, identity: "one object", why: guides + ": administrative certificate, default gateway of the administration"},
	PartnerLists:    {name: "geo-partner-lists", place: Elsewhere, identity: "one object", why: "geoclients and geopartners are different on each unit by rule", reads: []Call{{Command: "getall"}}},
	HAMode:          {name: "ha-mode", place: Own, identity: "one object", why: "mode, partner, check port and preference are each unit's own", reads: []Call{{Command: "getazurehaparams"}}},
	Licence:         {name: "licence", place: Own, identity: "one object", why: "a licence is bound to its unit", reads: []Call{{Command: "licenseinfo"}}},
	APIKeys:         {name: "api-keys", place: Own, identity: "key", why: "secrets; not known whether HA synchronises them"},
	AddOns:          {name: "add-ons", place: Own, identity: "name", why: "installed on each unit", reads: []Call{{Command: "listaddon"}}},
	PrivateKeys:     {name: "private-keys", place: Unreadable, identity: "certificate", why: needsKey},
	Passwords:       {name: "passwords", place: Unreadable, identity: "user, endpoint or parameter", why: "masked or never shown; a restore carries some"},
	DNSSECKeys:      {name: "dnssec-keys", place: Unreadable, identity: "zone", why: "the private half is not shown; geoimportksk takes both", part: GEOPart},
	CacheExceptions: {name: "cache-exceptions", place: Unreadable, identity: "extension", why: "addnocache and addnocompress are known, a command that lists them is not"},
	SSOImages:       {name: "sso-image-sets", place: Unreadable, identity: "name", why: "no command is known", part: SSOPart},
	ErrorFiles:      {name: "error-files", place: Unreadable, identity: "service", why: "uploadvserrfile has no twin that reads", part: ServicesPart},
}

// oneOrZero are the words that the switches of the packet filter may read as, by what
// sets them.
var oneOrZero = []string{"yes", "1", "true", "1", "Y", "1", "enabled", "1", "drop", "1", "no", "0", "false", "0", "N", "0", "disabled", "0", "reject", "0"}

// limits is a list of limits of clients, of which there are four alike.
func limits(name, command string) spec {
	return spec{
		name: name, place: Synchronised, key: []string{"l7addr|addr|name"}, identity: "address",
		reads: []Call{{Command: command + "list"}}, add: command + "add", modify: command + "add", remove: command + "del",
		inputs: map[string]input{"limit": {name: "l7limit"}},
	}
}

// Place returns whose business the class is. Fields of it may have another place.
func (c Class) Place() Place { return c.spec().place }

// Part returns the part of a backup that carries the class, NoPart where none does
// that may be restored on a partner.
func (c Class) Part() Part { return c.spec().part }

func (c Class) spec() *spec {
	if c >= classCount {
		c = ClassUnknown
	}
	return &inventory[c]
}

// fieldPlace returns the place of a field of the class, by its name in normal form.
func (c Class) fieldPlace(field string) Place {
	s := c.spec()
	switch {
	case s.place != Synchronised:
		return s.place
	case c == Parameters:
		return ParameterPlace(field)
	case slices.Contains(s.state, field):
		return State
	case slices.Contains(s.secret, field):
		return Masked
	default:
		return Synchronised
	}
}
