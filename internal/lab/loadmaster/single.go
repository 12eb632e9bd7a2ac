package loadmaster

import (
	"maps"
	"strings"
)

// single is a class of which a unit has one object, without a name.
type single struct {
	name         string
	part         int
	attributes   []attribute
	show, modify string
	// setters are commands that set one attribute each, by their names: which argument
	// it comes from, or what a command without one sets.
	setters []setter
	// getters are commands that show one attribute each.
	getters map[string]string
}

// setter is a command that sets one attribute.
type setter struct {
	command, argument, attribute, value string
}

const (
	classPacketFilter = "packet-filter"
	classWAF          = "waf-settings"
)

// singles are those classes (loadmaster.md 3.2, 4.1), but for the GEO parameters,
// which are with GEO, and the packet filter, which is with its lists.
var singles = []single{
	{
		name: "health-globals", part: virtualServices, show: "showhealth", modify: "modhealth",
		attributes: attributesOf(`
			RetryInterval number is=9 range=9..120
			Timeout number is=4 range=4..60
			RetryCount number is=2 range=2..15
		`),
	},
	{
		name: "adaptive-globals", part: virtualServices, show: "showadaptive", modify: "modadaptive",
		attributes: attributesOf(`
			AdaptiveURL text is=/load
			AdaptivePort number is=80 range=3..65530
			AdaptiveInterval number is=10 range=10..60
			MinPercent number is=0 range=0..100
		`),
	},
	{
		name: classWAF, show: "getwafsettings",
		attributes: attributesOf(`
			AutoUpdate switch is=no
			AutoInstall switch is=no
			InstallTime number is=4 range=0..23
			RemoteLogging switch is=no
			RemoteURI text
			RemoteUser text
			RemotePassword unshown
			LogFormat text is=native
		`),
		setters: []setter{
			{"setwafautoupdate", "enable", "autoupdate", ""},
			{"enablewafautoinstall", "", "autoinstall", "yes"},
			{"disablewafautoinstall", "", "autoinstall", "no"},
			{"setwafinstalltime", "hour", "installtime", ""},
			{"enablewafremotelogging", "", "remotelogging", "yes"},
			{"disablewafremotelogging", "", "remotelogging", "no"},
			{"setwaflogformat", "logformat", "logformat", ""},
		},
	},
	{
		name: "kubernetes-ingress",
		attributes: attributesOf(`
			Mode text
			Namespace text
			WatchTimeout number is=300
		`),
		setters: []setter{
			{"setlmingressmode", "mode", "mode", ""},
			{"setlmingressnamespace", "namespace", "namespace", ""},
			{"setlmingresswatchtimeout", "watchtimeout", "watchtimeout", ""},
		},
		getters: map[string]string{"getlmingressmode": "Mode", "getlmingressnamespace": "Namespace", "getlmingresswatchtimeout": "WatchTimeout"},
	},
	{
		name: "geo-access-settings", part: geoSettings, show: "geoacl/getsettings",
		attributes: attributesOf(`
			AutoUpdate switch is=no
			AutoInstall switch is=no
			InstallTime number is=4 range=0..23
		`),
		setters: []setter{
			{"geoacl/setautoupdate", "enable", "autoupdate", ""},
			{"geoacl/setautoinstall", "enable", "autoinstall", ""},
			{"geoacl/setinstalltime", "hour", "installtime", ""},
		},
	},
}

// singleCommands are those of the classes of one object.
func singleCommands() []command {
	var all []command
	for i := range singles {
		s := &singles[i]
		if s.show != "" {
			all = append(all, command{s.show, reads(func(u *Unit, _ arguments) answer { return data(u.singleFields(s)...) }), true})
		}
		if s.modify != "" {
			all = append(all, command{s.modify, writes(func(u *Unit, args arguments) answer { return u.setSingle(s, args) }), false})
		}
		for _, set := range s.setters {
			all = append(all, command{set.command, writes(func(u *Unit, args arguments) answer {
				value, given := args[set.argument]
				if set.argument == "" {
					value, given = set.value, true
				}
				if !given {
					return missing(set.argument)
				}
				return u.setSingle(s, arguments{set.attribute: value})
			}), false})
		}
		for name, shown := range s.getters {
			all = append(all, command{name, reads(func(u *Unit, _ arguments) answer {
				return data(text(shown, orDefault(u.singleValues(s)[strings.ToLower(shown)], s.initial(shown))))
			}), true})
		}
	}
	return all
}

func (s *single) initial(name string) string {
	for i := range s.attributes {
		if s.attributes[i].name == name {
			return s.attributes[i].initial
		}
	}
	return ""
}

// singleValues is what is stored of the object. u.mu is held.
func (u *Unit) singleValues(s *single) map[string]string {
	if it := u.find(s.name, ""); it != nil {
		return it.Values
	}
	return nil
}

func (u *Unit) singleFields(s *single) []field {
	return append([]field{}, fieldsOf(s.attributes, u.singleValues(s), nil)...)
}

func (u *Unit) setSingle(s *single, args arguments) answer {
	it := &item{Class: s.name, Values: map[string]string{}}
	maps.Copy(it.Values, u.singleValues(s))
	if bad := u.take(s.attributes, args, it.Values); bad != "" {
		return unknownValue(bad)
	}
	u.put(it)
	return done()
}
