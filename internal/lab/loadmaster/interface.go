package loadmaster

import (
	"net/netip"
	"slices"
	"strings"
	"time"
)

// interfaceCommands are those of the network, all of which stays on its unit
// (loadmaster.md 3.2).
func interfaceCommands() []command {
	return []command{
		{"addadditional", reads((*Unit).addAdditional), false},
		{"deladditional", reads((*Unit).deleteAdditional), false},
		{"modiface", reads((*Unit).modifyInterface), false},
		{"setadminaccess", reads(func(*Unit, arguments) answer { return done() }), false},
		{"showiface", reads((*Unit).showInterface), true},
	}
}

// theInterface is the one that a unit here has. u.mu is held.
func (u *Unit) theInterface(args arguments) *item {
	return u.find(classInterfaces, orDefault(orDefault(args["interface"], args["iface"]), "0"))
}

func (u *Unit) showInterface(args arguments) answer {
	it := u.theInterface(args)
	if it == nil {
		return unknownValue("interface")
	}
	fields := []field{
		typed("Id", it.Key), text("IPAddress", it.Values["ipaddress"]), typed("Mtu", orDefault(it.Values["mtu"], "1500")), text("InterfaceType", "Port"),
		typed("GeoTrafficEnable", orDefault(it.Values["geotraffic"], "yes")), typed("DefaultInterface", "yes"), typed("AdminWuiEnable", "yes"),
	}
	if more := strings.Fields(it.Values["additional"]); len(more) > 0 {
		fields = append(fields, field{name: "AdditionalAddresses", list: &list{"IPaddress", more}})
	}
	return data(field{name: "Interface", repeated: [][]field{fields}})
}

func (u *Unit) addAdditional(args arguments) answer {
	return u.changeAdditional(args, func(all []string, network string) []string { return append(all, network) })
}

func (u *Unit) deleteAdditional(args arguments) answer {
	return u.changeAdditional(args, func(all []string, network string) []string {
		return slices.DeleteFunc(all, func(other string) bool { return other == network })
	})
}

func (u *Unit) changeAdditional(args arguments, change func(all []string, network string) []string) answer {
	it := u.theInterface(args)
	if it == nil {
		return unknownValue("interface")
	}
	if _, err := netip.ParsePrefix(args["addr"]); err != nil {
		return fail(422, "Invalid address")
	}
	it.Values["additional"] = strings.Join(change(strings.Fields(it.Values["additional"]), args["addr"]), " ")
	u.changedAt = time.Now()
	return done()
}

// modifyInterface changes one field in each call (loadmaster.md 1.1).
func (u *Unit) modifyInterface(args arguments) answer {
	it := u.theInterface(args)
	if it == nil {
		return unknownValue("interface")
	}
	for _, name := range []string{"addr", "mtu", "geotraffic", "gwiface", "adminwuienable"} {
		value, given := args[name]
		switch {
		case !given:
			continue
		case name == "addr":
			name = "ipaddress"
		}
		it.Values[name] = value
		u.changedAt = time.Now()
		return done()
	}
	return fail(422, "Nothing Modified")
}
