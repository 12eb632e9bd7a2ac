package loadmaster

import (
	"slices"
	"strings"
)

// wire is what came over the network to the API and changes settings, which a story
// can judge: neither people at the unit nor its partner come that way.
type wire struct {
	writes   int
	excluded []string
}

// excludedCommands write what stays on its unit by the guide's list
// (loadmaster.md 2.5).
var excludedCommands = []string{
	"addadditional", "deladditional", "modiface", "setadminaccess", "addvlan", "delvlan", "addvxlan", "delvxlan", "createbond", "addbond", "delbond", "unbond",
	"addroute", "delroute",
}

// note keeps what a call over the network writes. u.mu is not held.
func (u *Unit) note(name string, args arguments) {
	name = strings.ReplaceAll(strings.ToLower(name), ".", "/")
	u.mu.Lock()
	defer u.mu.Unlock()
	if c, known := u.commands[name]; known && !c.always {
		u.wire.writes++
	}
	what := ""
	switch {
	case name == "set":
		what = u.excludedParameter(args)
	case slices.Contains(excludedCommands, name):
		what = name
	case name == "restore":
		what = u.foreignBase(args)
	case slices.ContainsFunc(slices.Collect(mapValues(args)), isMask):
		what = "asterisks in " + name
	}
	if what != "" && !slices.Contains(u.wire.excluded, what) {
		u.wire.excluded = append(u.wire.excluded, what)
	}
}

// isMask knows what a secret reads as, which is five asterisks of some
// (loadmaster.md 3.1).
func isMask(value string) bool { return len(value) >= 5 && strings.Trim(value, "*") == "" }

func mapValues(args arguments) func(func(string) bool) {
	return func(yield func(string) bool) {
		for _, value := range args {
			if !yield(value) {
				return
			}
		}
	}
}

// excludedParameter names a parameter that must not come from afar. u.mu is held.
func (u *Unit) excludedParameter(args arguments) string {
	p, known := u.findParameter(args["param"])
	switch {
	case !known:
		return ""
	case p.scope == local || p.scope == own:
		return p.name
	case p.form == formSecret && isMask(args["value"]):
		return "asterisks in " + p.name
	}
	return ""
}

// foreignBase tells of the base of another unit. u.mu is held.
func (u *Unit) foreignBase(args arguments) string {
	b, err := readBackup(args[fileArgument])
	if err != nil || b.Name == u.cfg.Name || (len(args["type"]) > 0 && (args["type"][len(args["type"])-1]-'0')%2 == 0) {
		return ""
	}
	return "base of " + b.Name
}

// ExcludedWrites are what came over the network and must not have: settings that the
// guide says stay on their unit or that do by nature, the base of another unit's
// backup, and asterisks for a secret.
func (u *Unit) ExcludedWrites() []string {
	u.mu.Lock()
	defer u.mu.Unlock()
	return slices.Clone(u.wire.excluded)
}

// SettingWrites is how many calls came over the network that write.
func (u *Unit) SettingWrites() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.wire.writes
}
