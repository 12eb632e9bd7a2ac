package settings

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// input is how a setter wants a field that reads otherwise.
type input struct {
	name string // "" for the same
	// values are pairs of what is read and what is sent.
	values []string
	// per divides a number: what is read in seconds and written in minutes has 60.
	per int
}

// switches are the fields of objects that are yes or no. The API v1 writes Y and N,
// v2 true and false (loadmaster.md 1.5, 1.6). They are listed, because the same
// words in a name or a pattern are text.
var switches = wordSet("addhost allowhttp2 caseindependent cache checkuse1.1 compress critical enable enhancedhealthchecks espenabled failover " +
	"forcel4 forcel7 includequery intercept multiconnect mustfail needhostname negate non_local nonlocal passcipher passsni refreshpersist " +
	"responsestatusremap sslreencrypt sslreverse subnetoriginating transparent unanimouschecks useforsnat member.enable member.critical")

// parameterSwitches are the parameters that are yes or no.
var parameterSwitches = wordSet("addcookieport addvia allowemptyposts allowemptyhttpheaders allowupload alwayspersist authpostwait backupenable backupnetstat " +
	"cefmsgformat closeonerror dhcpv6 dnsnamesenable dnsreloadonerror dropatdrainend droponfail emailenable expect100 extendedperms forcefullrsmatch " +
	"hoverhelp ipv6forwarding keepalive l7ntlmproxy limitlogging localbind loguseragent multigw nonlocalrs ocspusessl ocspcertchecking " +
	"onlydefaultroutes resetclose rfcconform routefilter rsarelocal sendratelimiterror sessionbasicauth sessioncontrol sharesubvspersist slowstart snat " +
	"snmpenable snmphatrap snmptrapenable snmpv3enable sslforceserververify sslrenegotiate sslstapling subnetorigin subnetoriginating tcpnorecycle " +
	"tcpsack tcptimestamp transparent wuildapep wuinestedgroups")

// hostLists are parameters that hold hosts in any order; a comma, a blank or a
// list divides them, by dialect (loadmaster.md 1.6, 3.1).
var hostLists = wordSet("syslogemergency syslogcritical syslogerror syslogwarn syslognotice sysloginfo")

func wordSet(words string) map[string]bool {
	set := map[string]bool{}
	for w := range strings.FieldsSeq(words) {
		set[w] = true
	}
	return set
}

const (
	// unitSet stands, before its ciphers, for the cipher set that a unit made for the
	// service that has it; its name holds an index (loadmaster.md 3.6).
	unitSet   = "@custom "
	customSet = "Custom_"
)

// masked reports whether a text is what a unit shows in place of a secret.
func masked(text string) bool { return len(text) >= 5 && strings.Trim(text, "*") == "" }

// normal returns a value as it is compared: what two units that are set alike have
// in common, and what reads back after it was written (loadmaster.md 3.6).
func normal(c Class, field, value string) string {
	value = unpadded(value)
	switch {
	case c == Parameters:
		return normalParameter(field, value)
	case switches[field]:
		return yesNo(value, "Y", "N")
	}
	switch field {
	case "persisttimeout": // whole minutes; less than one is off
		if n, err := strconv.Atoi(value); err == nil {
			return strconv.Itoa(n - n%60)
		}
	case "certfile": // the self-signed certificate of a unit
		if len(value) == 32 && strings.Trim(value, "0123456789abcdefABCDEF") == "" {
			return ""
		}
	case "country":
		if value == "-1" {
			return ""
		}
	case "sslrewrite": // written as nothing
		if value == "0" {
			return ""
		}
	case "matchtype", "schedule", "checktype", "protocol", "checker":
		return strings.ToLower(value)
	case "perms":
		return words(value, true)
	}
	return value
}

func normalParameter(field, value string) string {
	switch {
	case parameterSwitches[field]:
		return yesNo(value, "yes", "no")
	case hostLists[field]:
		return words(value, true)
	}
	switch field {
	case "conntimeout":
		if value == "0" {
			return "660"
		}
	case "backupmethod":
		if value == "ftp" {
			return "wput"
		}
	case "ntphost":
		return words(value, false)
	case "motd", "wuipreauth":
		return value
	}
	if value == "false" { // how v2 writes a text that is not set
		return ""
	}
	return value
}

func unpadded(s string) string {
	s = strings.TrimSpace(s)
	if len(s) >= 2 && s[0] == '"' && s[len(s)-1] == '"' {
		s = strings.TrimSpace(s[1 : len(s)-1])
	}
	return s
}

func yesNo(value, yes, no string) string {
	switch strings.ToLower(value) {
	case "y", "yes", "true", "1":
		return yes
	case "n", "no", "false", "0":
		return no
	default:
		return value
	}
}

// words returns what commas and blanks divide, with one comma between; in order
// of the alphabet where the order means nothing.
func words(value string, sorted bool) string {
	list := strings.FieldsFunc(value, func(r rune) bool { return strings.ContainsRune(", \t\r\n", r) })
	if sorted {
		slices.Sort(list)
		list = slices.Compact(list)
	}
	return strings.Join(list, ",")
}

// address returns an address as it is compared, or the text if it is none: a
// wildcard, for instance.
func address(text string) string {
	if a, err := netip.ParseAddr(text); err == nil {
		return a.Unmap().String()
	}
	return strings.ToLower(text)
}

// network returns a network as it is compared; an address alone is one of a single
// host (loadmaster.md 3.6).
func network(text string) string {
	if a, err := netip.ParseAddr(text); err == nil {
		return netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen()).String()
	}
	if p, err := netip.ParsePrefix(text); err == nil {
		return p.String()
	}
	return strings.ToLower(text)
}

// inputOf returns a field as the setters of its class want it: a switch as 1 or 0,
// which is taken everywhere (loadmaster.md 1.5).
func inputOf(c Class, f Field) Field {
	if c == Parameters && parameterSwitches[f.Name] || c != Parameters && switches[f.Name] {
		f.Value = yesNo(f.Value, "1", "0")
	}
	in, ok := c.spec().inputs[f.Name]
	if !ok {
		return f
	}
	for i := 0; i+1 < len(in.values); i += 2 {
		if in.values[i] == f.Value {
			f.Value = in.values[i+1]
			break
		}
	}
	if n, err := strconv.Atoi(f.Value); err == nil && in.per > 0 {
		f.Value = strconv.Itoa(n / in.per)
	}
	if in.name != "" {
		f.Name = in.name
	}
	return f
}
