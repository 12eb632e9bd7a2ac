package loadmaster

import (
	"slices"
	"strings"
)

// A host is logged to on one level only, and only syslognone takes one away: what a
// level is set to adds to it (loadmaster.md 3.1).
const noLogging = "syslognone"

var logLevels = []string{"syslogemergency", "syslogcritical", "syslogerror", "syslogwarn", "syslognotice", "sysloginfo"}

// moveLogHosts takes hosts off all levels but the given one, which may be none.
// u.mu is held.
func (u *Unit) moveLogHosts(hosts, to string) {
	for _, level := range logLevels {
		if level == to || u.parameters[level] == "" {
			continue
		}
		left := slices.DeleteFunc(logHosts(u.parameters[level]), func(host string) bool { return slices.Contains(logHosts(hosts), host) })
		if value := strings.Join(left, ","); value != u.parameters[level] {
			u.parameters[level] = value
			u.touch(classParameters, level)
		}
	}
}

// addLogHosts returns the hosts of a level with further ones. u.mu is held.
func (u *Unit) addLogHosts(level, hosts string) string {
	all := append(logHosts(u.parameters[level]), logHosts(hosts)...)
	slices.Sort(all)
	return strings.Join(slices.Compact(all), ",")
}

func logHosts(value string) []string {
	return strings.FieldsFunc(value, func(r rune) bool { return r == ',' || r == ' ' })
}
