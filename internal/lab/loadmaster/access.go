package loadmaster

import (
	"net/netip"
	"slices"
	"strings"
)

// accessVerbs are the arguments of aclcontrol that say what it does
// (loadmaster.md 3.2), each with a value of its own.
var accessVerbs = []string{
	"isenabled", "isdrop", "isifblock", "iswuiblock", "wuiaddr", "enable", "drop", "ifblock", "wuiblock", "list", "add", "del", "listvs", "addvs", "delvs",
}

// filterSwitches are those of the packet filter by the argument that sets them, with
// their names in answers.
var filterSwitches = map[string]string{"enable": "aclstatus", "drop": "aclmethod", "ifblock": "aclblockall", "wuiblock": "aclwuiblock"}

const longestComment = 127 // of an entry (loadmaster.md 3.2)

func accessCommands() []command {
	all := []command{{"aclcontrol", writesUnless(isAccessRead, func(u *Unit, args arguments) answer { return u.accessControl(args) }), true}}
	for _, verb := range []string{"isenabled", "isdrop", "isifblock", "iswuiblock", "wuiaddr"} { // the other way to say it
		all = append(all, command{"aclcontrol/" + verb, reads(func(u *Unit, _ arguments) answer { return u.accessControl(arguments{verb: ""}) }), true})
	}
	return all
}

func isAccessRead(args arguments) bool {
	verb := accessVerb(args)
	return verb == "" || strings.HasPrefix(verb, "is") || strings.HasPrefix(verb, "list") || verb == "wuiaddr"
}

func accessVerb(args arguments) string {
	i := slices.IndexFunc(accessVerbs, func(verb string) bool { _, given := args[verb]; return given })
	if i < 0 {
		return ""
	}
	return accessVerbs[i]
}

// writesUnless makes a command that writes, or reads, by its arguments.
func writesUnless(isRead func(arguments) bool, run func(*Unit, arguments) answer) func(*Unit, arguments) answer {
	return func(u *Unit, args arguments) answer {
		if isRead(args) {
			return reads(run)(u, args)
		}
		return writes(run)(u, args)
	}
}

func (u *Unit) accessControl(args arguments) answer {
	verb := accessVerb(args)
	switch verb {
	case "isenabled", "isdrop", "isifblock", "iswuiblock":
		return u.showFilter(strings.Replace(strings.TrimPrefix(verb, "is"), "enabled", "enable", 1))
	case "wuiaddr":
		return data(text("wuiaddr", u.host.Addr().String()))
	case "enable", "drop", "ifblock", "wuiblock":
		return u.setFilter(verb, args[verb])
	case "list", "add", "del":
		return u.accessList(verb, args)
	case "listvs", "addvs", "delvs":
		return u.serviceAccessList(strings.TrimSuffix(verb, "vs"), args[verb], args)
	}
	return missing("list")
}

func (u *Unit) showFilter(verb string) answer {
	value := "0"
	if it := u.find(classPacketFilter, ""); it != nil {
		value = orDefault(it.Values[verb], "0")
	}
	return data(typed(filterSwitches[verb], value))
}

func (u *Unit) setFilter(verb, value string) answer {
	switch {
	case value != "0" && value != "1":
		return unknownValue(verb)
	case verb == "enable" && value == "0" && u.geo.enabled:
		return fail(422, "Cannot disable aclcontrol while GSLB is enabled")
	}
	it := &item{Class: classPacketFilter, Values: map[string]string{}}
	if was := u.find(classPacketFilter, ""); was != nil {
		it = was.clone(asIs)
	}
	it.Values[verb] = value
	u.put(it)
	return done()
}

// listName knows the two lists by their new and their old names.
func listName(word string) (string, bool) {
	switch word {
	case "block", "black":
		return "block", true
	case "allow", "white":
		return "allow", true
	}
	return "", false
}

// withPrefix gives an address without a prefix that of one address
// (loadmaster.md 3.6).
func withPrefix(network string) string {
	if a, err := netip.ParseAddr(network); err == nil {
		return netip.PrefixFrom(a, a.BitLen()).String()
	}
	return network
}

// entry is what a call adds to a list or takes from it.
func entry(args arguments) (network string, bad answer) {
	network = withPrefix(args["addr"])
	_, err := netip.ParsePrefix(network)
	switch {
	case args["addr"] == "":
		return "", missing("addr")
	case err != nil:
		return "", fail(422, "Invalid address")
	case len(args["comment"]) > longestComment:
		return "", unknownValue("comment")
	}
	return network, answer{}
}

func (u *Unit) accessList(verb string, args arguments) answer {
	list, known := listName(args[verb])
	if !known {
		return unknownValue(verb)
	}
	if verb == "list" {
		return data(entries(list, u.shelf(classAccessLists).items)...)
	}
	network, bad := entry(args)
	key := list + " " + network
	switch {
	case bad.status != 0:
		return bad
	case verb == "del" && u.find(classAccessLists, key) == nil:
		return fail(422, "Invalid address")
	case verb == "del":
		u.drop(classAccessLists, key)
	default:
		u.put(&item{Class: classAccessLists, Key: key, Values: map[string]string{"comment": args["comment"]}})
	}
	return done()
}

// entries is a list in an answer.
func entries(list string, items []*item) []field {
	all := field{name: "IP", repeated: [][]field{}}
	for _, it := range items {
		if name, network, _ := strings.Cut(it.Key, " "); name == list {
			all.repeated = append(all.repeated, []field{text("addr", network), text("comment", it.Values["comment"])})
		}
	}
	return []field{text("list", list), all}
}

// serviceAccessList is a list of one service, which calls name in two ways
// (loadmaster.md 3.2).
func (u *Unit) serviceAccessList(verb, listed string, args arguments) answer {
	list, known := listName(listed)
	if !known {
		return unknownValue("list")
	}
	if args["vsip"] != "" {
		args["vs"], args["port"], args["prot"] = args["vsip"], args["vsport"], args["vsprot"]
	}
	vs, parent := u.service(args)
	if vs == nil {
		return unknownService()
	}
	if verb == "list" {
		fields := append([]field{
			text("VS_IP", vs.Values["vsaddress"]), text("VS_Port", vs.Values["vsport"]), text("VS_Protocol", vs.Values["protocol"]),
		}, entries(list, vs.of(classServiceACL))...)
		return data(object("VS", fields...))
	}
	network, bad := entry(args)
	was := vs.kid(classServiceACL, list+" "+network)
	switch {
	case bad.status != 0:
		return bad
	case verb == "del" && was == nil:
		return fail(422, "vipdump") // as the vendor's program says it (loadmaster.md 1.5)
	}
	vs.removeKid(was)
	if verb == "add" {
		vs.Kids = append(vs.Kids, &item{Class: classServiceACL, Key: list + " " + network, Values: map[string]string{"comment": args["comment"]}})
	}
	u.touchService(vs, parent)
	return done()
}
