package loadmaster

import (
	"cmp"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// The classes of which a service is made. The real servers, the services and the
// rules that are set for it lie in it, and go with it wherever it goes.
const (
	classServices    = "virtual-services"
	classSubServices = "sub-services"
	classRealServers = "real-servers"
	classOWASPRules  = "owasp-rules"
	classServiceACL  = "service-access-lists"
)

// serviceAttributes are those of a service in the order of its answers
// (loadmaster.md 3.3).
var serviceAttributes = attributesOf(`
	Status made
	Index made
	VSAddress made
	VSPort made
	Layer made
	NickName text
	Enable flag is=Y
	SSLReverse flag is=N
	SSLReencrypt flag is=N
	InterceptMode number is=0 range=0..2
	Intercept flag is=N
	InterceptOpts several is=opnormal;auditnone;reqdatadisable;resdatadisable
	AlertThreshold number is=0
	OWASPOpts several
	BlockingParanoia number
	RuleSets text
	DisabledRules text
	BlockedCountries text
	DefaultGW text
	Transparent flag is=N
	SubnetOriginating flag is=Y
	ServerInit number is=0
	UseforSnat flag
	StartTLSMode number
	ExtraPorts text
	AltAddress text
	LocalBindAddrs text
	Cookie text
	QueryTag text
	Idletime number is=660
	Cache flag is=N
	CachePercent number range=0..100
	Compress flag is=N
	AllowHTTP2 flag
	ForceL4 flag is=N
	ForceL7 flag is=Y
	MultiConnect flag is=N
	ClientCert number is=0
	SSLAcceleration flag
	CertFile made
	IntermediateCerts text refers=intermediate-certificates
	CipherSet made
	Tls13CipherSet text
	ReverseSNIHostname text
	PassCipher flag
	PassSni flag
	OCSPVerify number
	SecurityHeaderOptions number
	CopyHdrFrom text
	CopyHdrTo text
	StandbyAddr text
	StandbyPort digits
	PortFollow number
	TransactionLimit number
	Bandwidth number
	ConnsPerSecLimit number
	RequestsPerSecLimit number
	MaxConnsLimit number
	HTTPReschedule flag
	ErrorCode digits is=0
	ErrorUrl text
	CheckUse1.1 flag is=N
	MatchLen number is=0
	CheckUseGet number is=0 range=0..2
	CheckPattern text
	CheckHeaders text
	CheckPostData text
	LdapEndpoint text refers=ldap-endpoints
	ChkInterval number range=9..120
	ChkTimeout number range=4..60
	ChkRetryCount number range=2..15
	ExtraHdrKey text
	ExtraHdrValue text
	SSLRewrite digits is=0 range=0..2
	VStype text one=gen|http|http2|tls|ts|log
	FollowVSID made
	Protocol made
	Schedule text is=rr one=rr|wrr|lc|wlc|fixed|adaptive|sh|dl|sdn-adaptive|uhash
	Adaptive made
	CheckType text one=tcp|icmp|http|https|smtp|nntp|ftp|telnet|pop3|imap|rdp|ldap|none
	Persist text one=none|ssl|cookie|active-cookie|cookie-src|active-cook-src|cookie-hash|cookie-hash-src|url|query-hash|host|header|super|super-src|src|rdp|rdp-src|rdp-sb|rdp-sb-src|udpsip
	PersistTimeout digits is=0
	CheckPort digits is=0
	CheckHost text
	CheckUrl text
	CheckCodes text
	MatchRules made
	RequestRules made
	ResponseRules made
	MatchBodyRules made
	NRules made
	NRequestRules made
	NResponseRules made
	NMatchBodyRules made
	NPreProcessRules made
	EspEnabled flag is=N
	Domain text refers=sso-domains
	AltDomains text
	InputAuthMode number
	OutputAuthMode number
	AllowedHosts text
	AllowedDirectories text
	ExcludedDirectories text
	AllowedGroups text
	SingleSignOnDir text
	Logoff text
	MasterVS made
	MasterVSID made
	IsTransparent made
	AddVia number is=0
	QoS number is=0
	TlsType digits is=0
	NeedHostName flag is=N
	RefreshPersist flag is=N
	ResponseStatusRemap flag is=N
	ResponseRemapCodeMap text
	ResponseRemapMsgMap text
	ResponseRemapMsgFormat number is=0
	EnhancedHealthChecks flag is=N
	RsMinimum number is=0
	NumberOfRSs made
	SubVS made
	Rs made
`)

// serverAttributes are those of a real server, and memberAttributes those of a
// service in another one as this says them (v1-addrs.xml, v1-listvs-subvs.xml).
var (
	serverAttributes = attributesOf(`
		Status made
		VSIndex made
		RsIndex made
		Addr made
		Port made
		DnsName text shown
		Forward text is=nat one=nat|route
		Weight number is=1000 range=1..65535
		Limit number is=0
		RateLimit number is=0
		Follow number is=0
		Enable flag is=Y
		Critical flag is=N
		Non_Local unshown
		MatchRules made
		Nrules made
	`)
	memberAttributes = attributesOf(`
		Status made
		VSIndex made
		RsIndex made
		Name made
		Forward text is=nat
		Weight number is=1000 range=1..65535
		Limit number is=0
		Enable flag is=Y
		Critical flag is=N
		MatchRules made
		Nrules made
	`)
)

// serviceCommands are those of services and of what lies in them
// (loadmaster.md 3.2).
func serviceCommands() []command {
	return []command{
		{"addrs", writes((*Unit).addServer), false},
		{"addvs", writes((*Unit).addService), false},
		{"delrs", writes((*Unit).deleteServer), false},
		{"delvs", writes((*Unit).deleteService), false},
		{"disablers", writes((*Unit).disableServers), false},
		{"enablers", writes((*Unit).enableServers), false},
		{"listvs", reads((*Unit).listServices), true},
		{"modrs", writes((*Unit).modifyServer), false},
		{"modvs", writes((*Unit).modifyService), false},
		{"showrs", reads((*Unit).showServers), true},
		{"showvs", reads((*Unit).showService), true},
	}
}

// reads makes a command of a method that reads, for which u.mu is held.
func reads(run func(*Unit, arguments) answer) func(*Unit, arguments) answer {
	return func(u *Unit, args arguments) answer {
		u.mu.Lock()
		defer u.mu.Unlock()
		return run(u, args)
	}
}

// writes makes a command of a method that writes what is synchronised, which a
// standby may not take (loadmaster.md 1.7).
func writes(run func(*Unit, arguments) answer) func(*Unit, arguments) answer {
	return func(u *Unit, args arguments) answer {
		u.mu.Lock()
		if u.state == Standby && u.cfg.Options.StandbyWrites == StandbyRejectsWrites {
			u.mu.Unlock()
			return refusedOnStandby()
		}
		u.remember()
		a := run(u, args)
		u.publish()
		u.mu.Unlock()
		u.settlePorts()
		return a
	}
}

// refusedOnStandby has no known text.
func refusedOnStandby() answer { return fail(422, "Command not allowed on a standby unit") }

func unknownService() answer { return fail(422, "Unknown VS") }
func unknownServer() answer  { return fail(422, "Unknown RS") }

// serviceKey is what a service is known by.
func serviceKey(address, port, protocol string) string { return address + "/" + port + "/" + protocol }

// service finds the service that a call names, by its number or by address, port
// and protocol; parent is where it lies, if it does. u.mu is held.
func (u *Unit) service(args arguments) (vs, parent *item) {
	name := args["vs"]
	if index, err := strconv.Atoi(name); err == nil {
		return u.serviceAt(index)
	}
	return u.find(classServices, serviceKey(name, args["port"], strings.ToLower(orDefault(args["prot"], "tcp")))), nil
}

func (u *Unit) serviceAt(index int) (vs, parent *item) {
	for _, vs := range u.shelf(classServices).items {
		if vs.index == index {
			return vs, nil
		}
		for _, sub := range vs.Kids {
			if sub.Class == classSubServices && sub.index == index {
				return sub, vs
			}
		}
	}
	return nil, nil
}

// number gives a service, or a place in one, the unit's next number.
func (u *Unit) number(next *int) int {
	*next++
	return *next
}

// numberAll numbers what has no number yet, after the items that were there before.
// u.mu is held.
func (u *Unit) numberAll(vs, before *item) {
	vs.index = u.serviceNumber(before)
	for i, kid := range vs.Kids {
		var was *item
		if before != nil {
			was = before.kid(kid.Class, kid.Key)
		}
		switch kid.Class {
		case classSubServices:
			u.numberAll(vs.Kids[i], was)
			kid.place = u.placeNumber(was)
		case classRealServers:
			kid.place = u.placeNumber(was)
		}
	}
}

func (u *Unit) serviceNumber(before *item) int {
	if before != nil && before.index > 0 {
		return before.index
	}
	return u.number(&u.lastService)
}

func (u *Unit) placeNumber(before *item) int {
	if before != nil && before.place > 0 {
		return before.place
	}
	return u.number(&u.lastPlace)
}

func (u *Unit) addService(args arguments) answer {
	for _, name := range []string{"vs", "port", "prot"} {
		if args[name] == "" {
			return missing(name)
		}
	}
	address, err := netip.ParseAddr(args["vs"])
	port, protocol := args["port"], strings.ToLower(args["prot"])
	switch {
	case err != nil:
		return fail(422, "Invalid address")
	case !isServicePort(port):
		return unknownValue("port")
	case protocol != "tcp" && protocol != "udp":
		return unknownValue("prot")
	}
	vs := newService(address.String(), port, protocol)
	if u.find(classServices, vs.Key) != nil { // that it fails is documented of others, the text is not
		return fail(422, "VS already exists")
	}
	if bad := u.takeService(vs, args); bad != "" {
		return unknownValue(bad)
	}
	u.numberAll(vs, nil)
	u.put(vs)
	u.syncAtOnce()
	return data(u.serviceFields(vs, nil)...)
}

// isServicePort knows the ports that a service may have (loadmaster.md 3.3).
func isServicePort(port string) bool {
	n, err := strconv.Atoi(port)
	return port == "*" || err == nil && n >= 3 && n <= 65530
}

// newService is a service as it is when nothing is said of it. UDP is forced to
// layer 4 and transparent (loadmaster.md 3.3).
func newService(address, port, protocol string) *item {
	vs := &item{Class: classServices, Key: serviceKey(address, port, protocol), Values: map[string]string{
		"vsaddress": address, "vsport": port, "protocol": protocol, "vstype": "gen", "checktype": "tcp",
	}}
	switch {
	case protocol == "udp":
		vs.Values["forcel4"], vs.Values["forcel7"], vs.Values["transparent"] = "Y", "N", "Y"
		vs.Values["checktype"] = "icmp"
	case slices.Contains([]string{"80", "443", "8080", "8443"}, port):
		vs.Values["vstype"], vs.Values["checktype"] = "http", "http"
	}
	return vs
}

// takeService stores what a setter says of a service, in the form in which it is
// read back (loadmaster.md 3.6), and names what is impossible. u.mu is held.
func (u *Unit) takeService(vs *item, args arguments) (bad string) {
	switch args["sslrewrite"] {
	case "http":
		args["sslrewrite"] = "1"
	case "https":
		args["sslrewrite"] = "2"
	}
	if followed, given := args["followvsid"]; given {
		index, err := strconv.Atoi(followed)
		other, _ := u.serviceAt(index)
		if err != nil || index != 0 && (other == nil || other.Class != classServices) {
			return "FollowVSID"
		}
		delete(vs.Values, "followvsid")
		if other != nil {
			vs.Values["followvsid"] = other.Key
		}
	}
	for name, class := range map[string]string{"certfile": classCertificates, "cipherset": classCipherSets} {
		value, given := args[name]
		if given && !u.hasAll(class, value) {
			return name
		}
		if given {
			vs.Values[name] = value
			if name == "cipherset" {
				delete(vs.Values, "ciphers")
			}
		}
	}
	if ciphers, given := args["ciphers"]; given {
		vs.Values["ciphers"] = ciphers
	}
	if bad := u.take(serviceAttributes, args, vs.Values); bad != "" {
		return bad
	}
	settleService(vs, args)
	return ""
}

// settleService makes the values of a service agree with each other.
func settleService(vs *item, args arguments) {
	v := vs.Values
	if seconds, err := strconv.Atoi(v["persisttimeout"]); err == nil {
		v["persisttimeout"] = strconv.Itoa(seconds - seconds%60)
	}
	if v["idletime"] == "0" {
		v["idletime"] = "660"
	}
	switch {
	case v["protocol"] == "udp":
		v["forcel4"], v["forcel7"], v["transparent"] = "Y", "N", "Y"
	case args["forcel4"] != "" && v["forcel4"] == "Y":
		v["forcel7"] = "N"
	case args["forcel7"] != "" && v["forcel7"] == "Y":
		v["forcel4"] = "N"
	}
	if v["persist"] == "none" {
		delete(v, "persist")
	}
}

func (u *Unit) modifyService(args arguments) answer {
	vs, parent := u.service(args)
	if vs == nil {
		return unknownService()
	}
	if _, given := args["createsubvs"]; given && parent == nil {
		u.addSubService(vs)
		return data(u.serviceFields(vs, nil)...)
	}
	changed := vs.clone(asIs)
	if bad := u.takeService(changed, args); bad != "" {
		return unknownValue(bad)
	}
	if bad := u.orderRules(vs, args); bad != "" {
		return unknownValue(bad)
	}
	if parent == nil {
		if a, ok := u.rename(vs, changed, args); !ok {
			return a
		}
	}
	vs.Values = changed.Values
	u.touchService(vs, parent)
	return data(u.serviceFields(vs, parent)...)
}

func asIs(address string) string { return address }

// rename gives a service another address or port. u.mu is held.
func (u *Unit) rename(vs, changed *item, args arguments) (answer, bool) {
	address, port := vs.Values["vsaddress"], vs.Values["vsport"]
	if given := args["vsaddress"]; given != "" {
		if _, err := netip.ParseAddr(given); err != nil {
			return fail(422, "Invalid address"), false
		}
		address = given
	}
	if given := args["vsport"]; given != "" {
		if !isServicePort(given) {
			return unknownValue("vsport"), false
		}
		port = given
	}
	key := serviceKey(address, port, vs.Values["protocol"])
	if key == vs.Key {
		return answer{}, true
	}
	if u.find(classServices, key) != nil {
		return fail(422, "VS already exists"), false
	}
	was := vs.Key
	u.shelf(classServices).remove(was)
	u.touch(classServices, was)
	vs.Key, changed.Values["vsaddress"], changed.Values["vsport"] = key, address, port
	u.shelf(classServices).put(vs)
	return answer{}, true
}

// addSubService puts a service into another one, which is asked for what it made by
// reading it again (loadmaster.md 3.2). u.mu is held.
func (u *Unit) addSubService(vs *item) {
	key := 0
	for _, sub := range vs.of(classSubServices) {
		n, _ := strconv.Atoi(sub.Key)
		key = max(key, n)
	}
	sub := newService("", "0", vs.Values["protocol"])
	sub.Class, sub.Key = classSubServices, strconv.Itoa(key+1)
	sub.Values["vstype"] = vs.Values["vstype"]
	u.numberAll(sub, nil)
	sub.place = u.placeNumber(nil)
	vs.Kids = append(vs.Kids, sub)
	u.touchService(vs, nil)
}

func (u *Unit) deleteService(args arguments) answer {
	vs, parent := u.service(args)
	switch {
	case vs == nil:
		return unknownService()
	case parent != nil:
		parent.removeKid(vs)
		u.touchService(parent, nil)
	default:
		u.drop(classServices, vs.Key)
	}
	return done()
}

// touchService says that a service changed, or the one in which it lies.
func (u *Unit) touchService(vs, parent *item) {
	if parent != nil {
		vs = parent
	}
	u.touch(classServices, vs.Key)
}

func (u *Unit) listServices(arguments) answer {
	all := field{name: "VS", repeated: [][]field{}}
	for _, vs := range u.shelf(classServices).items {
		all.repeated = append(all.repeated, u.serviceFields(vs, nil))
	}
	for _, vs := range u.shelf(classServices).items {
		for _, sub := range vs.of(classSubServices) {
			all.repeated = append(all.repeated, u.serviceFields(sub, vs))
		}
	}
	return data(all)
}

func (u *Unit) showService(args arguments) answer {
	vs, parent := u.service(args)
	if vs == nil {
		return unknownService()
	}
	return data(u.serviceFields(vs, parent)...)
}

// serviceFields is a service in an answer. u.mu is held.
func (u *Unit) serviceFields(vs, parent *item) []field {
	return fieldsOf(serviceAttributes, vs.Values, func(name string) (field, bool) { return u.serviceField(vs, parent, name) })
}

// serviceField is what the unit says of a service that was not set as it is said.
// u.mu is held.
func (u *Unit) serviceField(vs, parent *item, name string) (field, bool) {
	v := vs.Values
	switch name {
	case "Status":
		return text(name, u.serviceStatus()), true
	case "Index":
		return number(name, vs.index), true
	case "VSAddress":
		return text(name, v["vsaddress"]), parent == nil
	case "VSPort":
		return text(name, v["vsport"]), true
	case "Protocol":
		return text(name, v["protocol"]), true
	case "Layer":
		if v["forcel4"] == "Y" {
			return number(name, 4), true
		}
		return number(name, 7), true
	case "CertFile":
		if v["certfile"] == "" && v["sslacceleration"] == "Y" { // that of the unit, which signed it itself (loadmaster.md 3.6)
			return text(name, u.ownCertificate()), true
		}
		return text(name, v["certfile"]), v["certfile"] != ""
	case "CipherSet":
		if v["ciphers"] != "" {
			return text(name, customSet+strconv.Itoa(vs.index)), true
		}
		return text(name, v["cipherset"]), v["cipherset"] != ""
	case "FollowVSID":
		if other := u.find(classServices, v["followvsid"]); other != nil {
			return number(name, other.index), true
		}
		return number(name, 0), true
	case "Adaptive":
		words := map[string]string{"adaptive": "http_rs", "sdn-adaptive": "sdn_gstats"}
		return text(name, words[v["schedule"]]), words[v["schedule"]] != ""
	case "IsTransparent":
		return number(name, 2), true
	case "Rs", "SubVS", "MasterVS", "MasterVSID", "NumberOfRSs":
		return u.kinField(vs, parent, name)
	}
	return rulesField(vs, name)
}

// kinField is what a service says of those in it and around it. u.mu is held.
func (u *Unit) kinField(vs, parent *item, name string) (field, bool) {
	subs, servers := vs.of(classSubServices), vs.of(classRealServers)
	kin := field{name: name}
	switch name {
	case "MasterVS":
		return typed(name, oneZero(len(subs) > 0)), true
	case "MasterVSID":
		if parent != nil {
			return number(name, parent.index), true
		}
		return number(name, 0), true
	case "NumberOfRSs":
		return number(name, len(servers)+len(subs)), true
	case "SubVS":
		for _, sub := range subs {
			kin.repeated = append(kin.repeated, u.memberFields(sub))
		}
	case "Rs":
		for _, rs := range servers {
			kin.repeated = append(kin.repeated, u.serverFields(vs, rs))
		}
	}
	return kin, kin.repeated != nil
}

// serviceStatus is what becomes of all services of the unit together. u.mu is held.
func (u *Unit) serviceStatus() string {
	return upDown(!u.faults.ServicesDead && !u.faults.RealServersDown)
}

// server finds the real server, or the service in a service, that a call names.
// u.mu is held.
func server(vs *item, args arguments) *item {
	place, byPlace := strings.CutPrefix(args["rs"], "!")
	for _, kid := range vs.Kids {
		switch {
		case kid.Class != classRealServers && kid.Class != classSubServices:
		case byPlace && strconv.Itoa(kid.place) == place:
			return kid
		case kid.Class == classRealServers && kid.Key == args["rs"]+":"+args["rsport"]:
			return kid
		}
	}
	return nil
}

func (u *Unit) addServer(args arguments) answer {
	vs, parent := u.service(args)
	if vs == nil {
		return unknownService()
	}
	host, port := orDefault(args["rs"], args["dnsname"]), args["rsport"]
	_, err := netip.ParseAddr(host)
	switch {
	case host == "":
		return missing("rs")
	case port == "":
		return missing("rsport")
	case !isHost(host):
		return fail(422, "Invalid address")
	case !isServicePort(port) || port == "*":
		return unknownValue("rsport")
	case vs.kid(classRealServers, host+":"+port) != nil:
		return fail(422, "RS already exists")
	}
	rs := &item{Class: classRealServers, Key: host + ":" + port, Values: map[string]string{}}
	if err != nil {
		rs.Values["dnsname"] = host
	}
	if bad := u.take(serverAttributes, args, rs.Values); bad != "" {
		return unknownValue(bad)
	}
	into := []*item{vs}
	if on, _ := truth(args["addtoallsubvs"]); on {
		into = append(into, vs.of(classSubServices)...)
	}
	for _, vs := range into {
		if vs.kid(classRealServers, rs.Key) == nil {
			one := rs.clone(asIs)
			one.place = u.placeNumber(nil)
			vs.Kids = append(vs.Kids, one)
		}
	}
	u.touchService(vs, parent)
	return data(field{name: "Rs", repeated: [][]field{u.serverFields(vs, vs.kid(classRealServers, rs.Key))}})
}

func (u *Unit) modifyServer(args arguments) answer {
	vs, parent := u.service(args)
	if vs == nil {
		return unknownService()
	}
	rs := server(vs, args)
	if rs == nil {
		return unknownServer()
	}
	list, values := serverAttributes, rs.clone(asIs).Values
	if rs.Class == classSubServices { // what its service says of it
		list, values = memberAttributes, membership(rs)
	}
	if bad := u.take(list, args, values); bad != "" {
		return unknownValue(bad)
	}
	if port := args["newport"]; port != "" && rs.Class == classRealServers {
		host := rs.Key[:strings.LastIndex(rs.Key, ":")]
		if !isServicePort(port) || vs.kid(classRealServers, host+":"+port) != nil {
			return unknownValue("newport")
		}
		rs.Key = host + ":" + port
	}
	if rs.Class == classRealServers {
		rs.Values = values
	} else {
		for name, value := range values {
			rs.Values[member+name] = value
		}
	}
	u.touchService(vs, parent)
	return done()
}

// member begins the names of what a service says of one in it.
const member = "member."

func membership(sub *item) map[string]string {
	values := map[string]string{}
	for name, value := range sub.Values {
		if short, ok := strings.CutPrefix(name, member); ok {
			values[short] = value
		}
	}
	return values
}

func (u *Unit) deleteServer(args arguments) answer {
	vs, parent := u.service(args)
	if vs == nil {
		return unknownService()
	}
	rs := server(vs, args)
	if rs == nil {
		return unknownServer()
	}
	vs.removeKid(rs)
	u.touchService(vs, parent)
	return done()
}

func (u *Unit) showServers(args arguments) answer {
	vs, _ := u.service(args)
	if vs == nil {
		return unknownService()
	}
	all := field{name: "Rs", repeated: [][]field{}}
	for _, rs := range vs.of(classRealServers) {
		if args["rs"] == "" || rs == server(vs, args) {
			all.repeated = append(all.repeated, u.serverFields(vs, rs))
		}
	}
	if args["rs"] != "" && len(all.repeated) == 0 {
		return unknownServer()
	}
	return data(all)
}

func (u *Unit) serverFields(vs, rs *item) []field {
	return fieldsOf(serverAttributes, rs.Values, func(name string) (field, bool) {
		colon := strings.LastIndex(rs.Key, ":")
		switch name {
		case "Status":
			return text(name, u.serviceStatus()), true
		case "VSIndex":
			return number(name, vs.index), true
		case "RsIndex":
			return number(name, rs.place), true
		case "Port":
			return typed(name, rs.Key[colon+1:]), true
		case "Addr":
			if rs.Values["dnsname"] != "" {
				return text(name, "198.51.100.1"), true // what every name resolves to here
			}
			return text(name, rs.Key[:colon]), true
		}
		return rulesField(rs, name)
	})
}

func (u *Unit) memberFields(sub *item) []field {
	return fieldsOf(memberAttributes, membership(sub), func(name string) (field, bool) {
		switch name {
		case "Status":
			return text(name, u.serviceStatus()), true
		case "VSIndex":
			return number(name, sub.index), true
		case "RsIndex":
			return number(name, sub.place), true
		case "Name":
			return text(name, cmp.Or(sub.Values["nickname"], "-")), true
		}
		return rulesField(sub, name)
	})
}

func (u *Unit) enableServers(args arguments) answer  { return u.switchServers(args, "Y") }
func (u *Unit) disableServers(args arguments) answer { return u.switchServers(args, "N") }

// switchServers switches the real servers of an address on or off, in all services.
func (u *Unit) switchServers(args arguments, enable string) answer {
	host := orDefault(args["rs"], args["dnsname"])
	if host == "" {
		return missing("rs")
	}
	found := false
	for _, vs := range u.shelf(classServices).items {
		for _, rs := range vs.of(classRealServers) {
			address, port, _ := strings.Cut(rs.Key, ":")
			if address == host && (args["port"] == "" || args["port"] == port) {
				rs.Values["enable"], found = enable, true
				u.touchService(vs, nil)
			}
		}
	}
	if !found {
		return unknownServer()
	}
	return done()
}

// publish lets the ports of the services work that are on the unit's own address,
// the one that its host has. u.mu is held.
func (u *Unit) publish() {
	if !u.servicesChanged {
		return
	}
	u.servicesChanged = false
	u.published = u.ports()
}

// ports are those of the services that are on and on the unit's own address.
// u.mu is held.
func (u *Unit) ports() []int {
	ports := []int{}
	own := u.host.Addr().String()
	for _, vs := range u.shelf(classServices).items {
		v := vs.Values
		if port, err := strconv.Atoi(v["vsport"]); err == nil && v["vsaddress"] == own && v["protocol"] == "tcp" && v["enable"] != "N" {
			ports = append(ports, port)
		}
	}
	return ports
}

// follow gives the services on the unit's own address the one that it has by now:
// Azure's DHCP may bring another with a new life. Whether they follow is not
// documented; a unit whose services stay would serve nobody until a person has
// changed each. u.mu is held.
func (u *Unit) follow() {
	was, is := u.address, u.host.Addr().String()
	u.address = is
	if was == "" || was == is {
		return
	}
	moved := func(address string) string {
		if address == was {
			return is
		}
		return address
	}
	services := u.shelf(classServices)
	for _, vs := range slices.Clone(services.items) {
		services.remove(vs.Key)
		for _, name := range []string{"vsaddress", "followvsid"} {
			if value, set := vs.Values[name]; set {
				vs.Values[name] = atAddress(value, moved)
			}
		}
		vs.Key = serviceKey(vs.Values["vsaddress"], vs.Values["vsport"], vs.Values["protocol"])
		services.put(vs)
	}
}
