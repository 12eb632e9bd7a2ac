package loadmaster

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// customSet begins the name of a cipher set that a unit makes for a service, whose
// number is the rest of it (loadmaster.md 3.6).
const customSet = "Custom_"

// systemSets are the cipher sets that every unit has (loadmaster.md 3.2).
var systemSets = []string{
	"Default", "Default_NoRc4", "BestPractices", "Intermediate_compatibility", "Backward_compatibility", "WUI", "FIPS", "Legacy", "Null_Ciphers",
	"ECDSA_Default", "ECDSA_BestPractices",
}

// setUp gives a unit what it has from the beginning: the system's cipher sets, one
// interface, and services on its own address. Nothing of it is a change.
func (u *Unit) setUp(ports []int) {
	for i, name := range systemSets {
		u.shelf(classCipherSets).put(&item{Class: classCipherSets, Key: name, Values: map[string]string{"value": fmt.Sprintf("ECDHE-RSA-AES256-GCM-SHA384:set-%d", i)}})
	}
	u.shelf(classInterfaces).put(&item{Class: classInterfaces, Key: "0", Values: map[string]string{"ipaddress": u.host.Addr().String() + "/24"}})
	for _, port := range ports {
		vs := newService(u.host.Addr().String(), strconv.Itoa(port), "tcp")
		u.numberAll(vs, nil)
		u.shelf(classServices).put(vs)
	}
}

// localClasses are those that stay on their unit.
var localClasses = func() []string {
	names := []string{classInterfaces}
	for i := range classes {
		if classes[i].local {
			names = append(names, classes[i].name)
		}
	}
	return names
}()

func isLocal(class string) bool { return slices.Contains(localClasses, class) }

// partOf is the part of a backup that a class is in.
func partOf(class string) int {
	for i := range classes {
		if classes[i].name == class {
			return orDefault(classes[i].part, baseSettings)
		}
	}
	for i := range singles {
		if singles[i].name == class {
			return orDefault(singles[i].part, baseSettings)
		}
	}
	if class == classServices {
		return virtualServices
	}
	return baseSettings
}

// ownCertificate is the name of the certificate that the unit signed itself, as a
// service shows it that was given none.
func (u *Unit) ownCertificate() string {
	return fmt.Sprintf("%032x", u.cfg.Seed*0x9e3779b97f4a7c15+uint64(u.generation))
}

// moreCommands are those of what is no list of objects of one kind.
func moreCommands() []command {
	return slices.Concat(singleCommands(), accessCommands(), interfaceCommands(), certificateCommands(), firewallCommands(), geoMoreCommands())
}

// Setting returns what is stored of a synchronised setting, or of a local one, with
// secrets in clear: a parameter, or a class, the object and where one is asked for
// its field, with blanks between. The service that a real server lies in comes before
// it, and self stands for the unit's own address. Of an object without a field it is
// the word present.
func (u *Unit) Setting(path string) (value string, ok bool) {
	words := strings.Fields(strings.ReplaceAll(path, "self/", u.host.Addr().String()+"/"))
	if len(words) == 1 {
		return u.Parameter(words[0])
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	it, rest := u.settled(words)
	switch {
	case it == nil:
		return "", false
	case len(rest) == 0:
		return "present", true
	}
	if rules := it.Rules[strings.ToLower(rest[0])]; rules != nil {
		return strings.Join(rules, " "), true
	}
	if value, set := it.Values[strings.ToLower(rest[0])]; set {
		return value, true
	}
	return initialOf(it.Class, rest[0]), true
}

// settled finds the object of a path, and the words behind it. u.mu is held.
func (u *Unit) settled(words []string) (*item, []string) {
	class, rest := words[0], words[1:]
	inside := class == classRealServers || class == classSubServices || class == classOWASPRules || class == classServiceACL
	if !inside {
		for n := len(rest); n > 0; n-- { // some keys have blanks
			if it := u.find(class, strings.Join(rest[:n], " ")); it != nil {
				return it, rest[n:]
			}
		}
		if it := u.find(class, ""); it != nil { // of which there is one
			return it, rest
		}
		return nil, nil
	}
	vs := u.find(classServices, rest[0])
	for n := len(rest); vs != nil && n > 1; n-- {
		name := strings.Join(rest[1:n], " ")
		for _, kid := range vs.of(class) {
			if kid.Key == name || class == classSubServices && kid.Values["nickname"] == name {
				return kid, rest[n:]
			}
		}
	}
	return nil, nil
}

// initialOf is what an attribute of a class is that nobody has set.
func initialOf(class, name string) string {
	var all []attribute
	name, isMember := strings.CutPrefix(name, member)
	switch class {
	case classServices, classSubServices:
		all = serviceAttributes
		if isMember {
			all = memberAttributes
		}
	case classRealServers:
		all = serverAttributes
	}
	for i := range classes {
		if classes[i].name == class {
			all = classes[i].attributes
		}
	}
	for i := range singles {
		if singles[i].name == class {
			all = singles[i].attributes
		}
	}
	for i := range all {
		if strings.EqualFold(all[i].name, name) {
			return all[i].initial
		}
	}
	return ""
}
