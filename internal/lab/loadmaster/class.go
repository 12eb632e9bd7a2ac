package loadmaster

import (
	"encoding/base64"
	"slices"
	"strings"
	"time"
)

// class is a kind of objects that are alike in how they are read and written. Its
// name is that of what a sync engine has to know (loadmaster.md 3.2).
type class struct {
	name  string
	part  int  // of a backup; 0 goes with the base
	local bool // on the guide's list of what is not synchronised (loadmaster.md 2.5)

	key        string // its name in answers, and of the argument that names one unless named says another
	named      string
	gone       string // the argument that names one to remove, where it is another one
	element    string // around an object in an answer
	attributes []attribute
	file       string // the value that an uploaded file becomes, as text
	replaces   bool   // adding one that is there changes it
	network    bool   // the key is an address or a network, and has a prefix where it is given none
	exists     string // the answer to adding one that is there, where it is known

	list, show, add, modify, remove string // commands
	// sorted is the element by a value of the object, where that depends on it.
	sorted func(it *item) string
	// refuses says why the unit does not take an object as it would be now, or, where
	// there is none, why it does not give up the one of that key. u.mu is held.
	refuses func(u *Unit, it *item, key string) string
}

// Classes that others refer to.
const (
	classParameters    = "parameters"
	classRules         = "content-rules"
	classCertificates  = "certificates"
	classIntermediates = "intermediate-certificates"
	classCipherSets    = "cipher-sets"
	classLDAP          = "ldap-endpoints"
	classSSO           = "sso-domains"
	classUsers         = "users"
	classGroups        = "remote-groups"
	classAccessLists   = "access-lists"
	classLimitRules    = "limit-rules"
	classInterfaces    = "interfaces"
	classRoutes        = "routes"
	classGEO           = "geo"
)

// classes are those whose objects are lists with commands of their own.
var classes = slices.Concat(trafficClasses, limitClasses, otherClasses)

// ruleElements are the elements around rules, by their type (loadmaster.md 3.2).
var ruleElements = []string{"MatchContentRule", "AddHeaderRule", "DeleteHeaderRule", "ReplaceHeaderRule", "ModifyURLRule", "ReplaceBodyRule"}

var trafficClasses = []class{
	{
		name: classRules, part: virtualServices, key: "Name", list: "showrule", add: "addrule", modify: "modrule", remove: "delrule",
		attributes: attributesOf(`
			Type unshown is=0 one=0|1|2|3|4|5
			MatchType text one=Regex|prefix|postfix
			AddHost flag in=inchost
			CaseIndependent flag in=nocase
			Negate flag
			IncludeQuery flag in=incquery
			Header text shown
			Pattern text
			Replacement text
			HeaderValue text
			OnlyOnFlag number range=0..9
			OnlyOnNoFlag number range=0..9
			SetFlagOnMatch number in=setonmatch range=0..9
			MustFail flag
		`),
		sorted: func(it *item) string { return ruleElements[orDefault(it.Values["type"], "0")[0]-'0'] },
		refuses: func(u *Unit, it *item, key string) string {
			if it != nil {
				settleRule(it)
				return ""
			}
			if u.isBound(key) { // no text of such a refusal is known
				return "Command Failed: Rule in use"
			}
			return ""
		},
	},
	{
		name: classLDAP, part: ssoSettings, key: "Name", element: "endpoint", list: "showldaplist", show: "showldapendpoint", add: "addldapendpoint",
		modify: "modifyldapendpoint", remove: "deleteldapendpoint",
		attributes: attributesOf(`
			LDAPType number is=0 range=0..2
			Server text
			VInterval number is=60
			ReferralCount number is=0 range=0..10
			Timeout number is=5
			AdminUser text
			AdminPass secret
		`),
		refuses: inUse("ldapendpoint", "Command Failed: LDAP endpoint in use"),
	},
	{
		name: classSSO, part: ssoSettings, key: "Name", named: "domain", element: "Domain", list: "showdomain", add: "adddomain", modify: "moddomain", remove: "deldomain",
		attributes: attributesOf(`
			Id made
			Auth_Type text is=LDAP-Unencrypted
			Server text
			Server2 text
			Port number
			LDAP_EndPoint text refers=ldap-endpoints
			LDAP_Version number
			Logon_Fmt text is=Principalname
			Logon_Fmt2 text
			Logon_Domain text
			Logon_Transcode flag is=N
			Max_Failed_Auths number is=0 range=0..999
			Reset_Fail_Tout number is=60 range=60..86400
			Unblock_Tout number is=1800 range=60..86400
			Sess_Tout_Type text is=idle
			Sess_Tout_Idle_Pub number is=900 range=60..604800
			Sess_Tout_Duration_Pub number is=1800 range=60..604800
			Sess_Tout_Idle_Priv number is=900 range=60..604800
			Sess_Tout_Duration_Priv number is=28800 range=60..604800
			Kerberos_Domain text
			Kerberos_KDC text
			KCD_Username text
			KCD_Password secret
			TestUser text
			TestPass secret
			Radius_Shared_Secret secret
			IdP_Entity_ID text
			IdP_SSO_URL text
			IdP_Logoff_URL text
			IdP_Cert text
			SP_Entity_ID text
			SP_Cert text
			OIDC_App_ID text
			OIDC_Redirect_URI text
			OIDC_Auth_EP_URL text
			OIDC_Token_EP_URL text
			OIDC_Secret secret
		`),
		refuses: inUse("domain", "Command Failed: Domain in use"),
	},
	{
		name: "waf-files", part: virtualServices, key: "Name", named: "filename", element: "Rule", list: "listwafrules",
		add: "addwafcustomrule", remove: "delwafcustomrule", file: "content", attributes: attributesOf(`Content unshown`),
	},
	{
		name: "owasp-files", part: virtualServices, key: "Name", named: "filename", add: "addowaspcustomrule", remove: "delowaspcustomrule",
		file: "content", attributes: attributesOf(`Content unshown`),
	},
	{
		name: "templates", key: "Name", element: "template", list: "listtemplates", add: "uploadtemplate", remove: "deltemplate",
		file: "content", attributes: attributesOf(`Content unshown`),
	},
}

// settleRule makes the values of a rule what is read back (loadmaster.md 3.6).
func settleRule(it *item) {
	v := it.Values
	if v["type"] == "1" && v["replacement"] != "" {
		v["headervalue"] = v["replacement"]
		delete(v, "replacement")
	}
	if orDefault(v["type"], "0") != "0" {
		return
	}
	for name, usual := range map[string]string{"matchtype": "Regex", "addhost": "N", "caseindependent": "N", "negate": "N", "includequery": "N", "mustfail": "N"} {
		v[name] = orDefault(v[name], usual)
	}
}

// inUse refuses to give up an object that a service names.
func inUse(value, refusal string) func(*Unit, *item, string) string {
	return func(u *Unit, it *item, key string) string {
		if it == nil && u.isNamed(value, key) {
			return refusal
		}
		return ""
	}
}

// isNamed tells whether a service anywhere has a name among those of a value.
// u.mu is held.
func (u *Unit) isNamed(value, name string) bool {
	return slices.ContainsFunc(u.shelf(classServices).items, func(vs *item) bool {
		return vs.names(value, name) || slices.ContainsFunc(vs.Kids, func(kid *item) bool { return kid.names(value, name) })
	})
}

func (it *item) names(value, name string) bool {
	return slices.Contains(strings.Fields(it.Values[value]), name)
}

// limitClasses are the limits of clients by address, of which there are four alike,
// and the limiting rules.
var limitClasses = []class{
	limits("client-connection-limits", "clientmaxclimit", nil),
	limits("client-rate-limits", "clientcpslimit", nil),
	limits("client-request-limits", "clientrpslimit", nil),
	limits("client-bandwidth-limits", "clientbandwidthlimit", func(u *Unit, it *item, _ string) string {
		if it != nil && orDefault(u.parameters["ClientMaxBandwidthLimit"], "0") == "0" { // the text is not known (loadmaster.md 3.2)
			return "The client bandwidth limit is not set"
		}
		return ""
	}),
	{
		name: classLimitRules, key: "Name", element: "Rule", list: "listlimitrules", add: "addlimitrule", modify: "modlimitrule", remove: "dellimitrule",
		attributes: attributesOf(`
			Pattern text
			Limit number
			Match number is=0 one=0|1|2|64|65|66
		`),
	},
}

func limits(name, command string, refuses func(*Unit, *item, string) string) class {
	return class{
		name: name, key: "l7addr", element: "Limit", list: command + "list", add: command + "add", remove: command + "del", replaces: true,
		attributes: attributesOf(`l7limit number`), refuses: refuses,
	}
}

var otherClasses = []class{
	{
		name: "hosts", key: "HostIP", element: "HostsEntry", list: "gethosts", add: "addhostsentry", remove: "delhostsentry",
		attributes: attributesOf(`HostFQDN text`),
	},
	{
		name: classUsers, key: "Name", named: "user", element: "User", list: "userlist", show: "usershow", add: "useraddlocal", modify: "usersetperms",
		remove: "userdellocal", exists: "User already exists.",
		attributes: attributesOf(`
			Perms text
			Password unshown
			Radius unshown
			NoPass unshown
		`),
	},
	{
		name: classGroups, key: "Name", named: "group", element: "Group", list: "grouplist", show: "groupshow", add: "groupaddremote", modify: "groupsetperms",
		remove: "groupdelremote", attributes: attributesOf(`Perms text`),
	},
	{
		name: "acme-certificates", key: "Name", named: "cert", element: "cert", list: "listacmecert", show: "getacmecert", add: "addacmecert", remove: "delacmecert",
		attributes: attributesOf(`
			DomainName text in=cn
			VID text
			ACMEType number in=acmetype is=1 range=1..2
		`),
	},
	{
		name: "vpns", key: "Name", named: "name", element: "VPN", list: "listvpns", add: "createvpncon", remove: "deletevpncon",
		attributes: attributesOf(`
			LocalIP text
			LocalSubnet text
			RemoteIP text
			RemoteSubnet text
			PSK secret
		`),
	},
	{
		name: "sdn-controllers", key: "ipv4", element: "controller", list: "getsdncontroller", add: "addsdncontroller", modify: "modsdncontroller", remove: "delsdncontroller",
		attributes: attributesOf(`
			Port number is=8443
			HTTPS switch is=yes
			User text
			Password secret
		`),
	},
	{
		name: "geo-custom-locations", part: geoSettings, key: "Name", named: "location", element: "location", list: "listcustomlocation", add: "addcustomlocation",
		remove: "deletecustomlocation", gone: "clname",
	},
	{
		name: "geo-ip-ranges", part: geoSettings, key: "IPAddress", named: "ip", element: "IPAddress", list: "listips", show: "showip", add: "addip", modify: "modiploc",
		remove: "delip", network: true,
		attributes: attributesOf(`
			LocationLatitude text in=lat
			LocationLongitude text in=long
			Country text is=-1 in=countrycode
			CustomLocation text in=customloc
		`),
	},
	{
		name: "geo-allow-list", part: geoSettings, key: "addr", element: "IP", list: "geoacl/listcustom", add: "geoacl/addcustom", remove: "geoacl/removecustom", network: true,
	},
	{
		name: classRoutes, local: true, key: "Destination", named: "dest", element: "Route", list: "showroute", add: "addroute", remove: "delroute", network: true,
		attributes: attributesOf(`Gateway text`),
	},
	{name: "cache-exceptions", key: "Name", named: "param", add: "addnocache", remove: "delnocache"},
	{name: "compression-exceptions", key: "Name", named: "param", add: "addnocompress", remove: "delnocompress"},
	{name: "add-ons", local: true, key: "Name", element: "addon", list: "listaddon"},
}

// classCommands are those of the classes.
func classCommands() []command {
	var all []command
	for i := range classes {
		c := &classes[i]
		for _, one := range []struct {
			name string
			run  func(*Unit, arguments) answer
			read bool
		}{
			{c.list, reads(c.listAll), true},
			{c.show, reads(c.showOne), true},
			{c.add, c.writes(c.addOne), false},
			{c.modify, c.writes(c.modifyOne), false},
			{c.remove, c.writes(c.removeOne), false},
		} {
			if one.name != "" {
				all = append(all, command{one.name, one.run, one.read})
			}
		}
	}
	return all
}

// writes is as the function of that name, but that a standby takes what is local.
func (c *class) writes(run func(*Unit, arguments) answer) func(*Unit, arguments) answer {
	if c.local {
		return reads(run)
	}
	return writes(run)
}

// argument names the object that a call is about.
func (c *class) argument() string { return strings.ToLower(orDefault(c.named, c.key)) }

// given is the key that a call names.
func (c *class) given(args arguments) string {
	key := args[c.argument()]
	if c.network && key != "" {
		return withPrefix(key)
	}
	return key
}

func (c *class) listAll(u *Unit, args arguments) answer {
	if args[c.argument()] != "" && c.show == "" {
		return c.showOne(u, args)
	}
	return c.answer(u, u.shelf(c.name).items, args)
}

func (c *class) showOne(u *Unit, args arguments) answer {
	key := c.given(args)
	if key == "" {
		return missing(c.argument())
	}
	it := u.find(c.name, key)
	if it == nil {
		return unknownValue(c.argument())
	}
	return c.answer(u, []*item{it}, nil)
}

// answer lists objects, in an element of their own for each sort of them.
func (c *class) answer(u *Unit, items []*item, args arguments) answer {
	fields := []field{}
	for n, it := range items {
		if kind := args["type"]; kind != "" && it.Values["type"] != "" && it.Values["type"] != kind || args["acmetype"] != "" && orDefault(it.Values["acmetype"], "1") != args["acmetype"] {
			continue
		}
		element := c.element
		if c.sorted != nil {
			element = c.sorted(it)
		}
		i := slices.IndexFunc(fields, func(f field) bool { return f.name == element })
		if i < 0 {
			i, fields = len(fields), append(fields, field{name: element})
		}
		one := append([]field{text(c.key, it.Key)}, fieldsOf(c.attributes, it.Values, func(name string) (field, bool) {
			return number(name, u.numbersFrom+n), true // a local number (loadmaster.md 3.2)
		})...)
		fields[i].repeated = append(fields[i].repeated, one)
	}
	return data(fields...)
}

func (c *class) addOne(u *Unit, args arguments) answer {
	key := c.given(args)
	if key == "" {
		return missing(c.argument())
	}
	it := u.find(c.name, key)
	switch {
	case it != nil && c.replaces:
		return c.modifyOne(u, args)
	case it != nil:
		return fail(422, "%s", orDefault(c.exists, "Already exists")) // most texts are not known
	}
	return c.store(u, &item{Class: c.name, Key: key, Values: map[string]string{}}, args)
}

func (c *class) modifyOne(u *Unit, args arguments) answer {
	key := c.given(args)
	if key == "" {
		return missing(c.argument())
	}
	it := u.find(c.name, key)
	if it == nil {
		return unknownValue(c.argument())
	}
	return c.store(u, it.clone(asIs), args)
}

// store puts an object where it is one that the unit takes. u.mu is held.
func (c *class) store(u *Unit, it *item, args arguments) answer {
	if c.file != "" {
		raw, err := base64.StdEncoding.DecodeString(args[fileArgument])
		if err != nil || len(raw) == 0 {
			return missing(fileArgument)
		}
		it.Values[c.file] = string(raw)
	}
	if bad := u.take(c.attributes, args, it.Values); bad != "" {
		return unknownValue(bad)
	}
	if c.refuses != nil {
		if why := c.refuses(u, it, it.Key); why != "" {
			return fail(422, "%s", why)
		}
	}
	if c.local {
		u.shelf(c.name).put(it)
		u.changedAt = time.Now()
		return done()
	}
	u.put(it)
	if c.show != "" || c.list == "showrule" { // those that answer with what they made
		return c.answer(u, []*item{it}, nil)
	}
	return done()
}

func (c *class) removeOne(u *Unit, args arguments) answer {
	key := c.given(args)
	if c.gone != "" {
		key = args[c.gone]
	}
	if key == "" {
		return missing(c.argument())
	}
	if u.find(c.name, key) == nil {
		return unknownValue(c.argument())
	}
	if c.refuses != nil {
		if why := c.refuses(u, nil, key); why != "" {
			return fail(422, "%s", why)
		}
	}
	if c.local {
		u.shelf(c.name).remove(key)
		u.changedAt = time.Now()
		return done()
	}
	u.drop(c.name, key)
	return done()
}
