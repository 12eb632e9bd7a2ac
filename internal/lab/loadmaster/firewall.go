package loadmaster

import (
	"slices"
	"strconv"
)

// firewallCommands are those of the application firewall that are no list of files,
// and the place of a limiting rule among the others.
func firewallCommands() []command {
	return []command{
		{"movelimitrule", writes((*Unit).moveLimitRule), false},
		{"owasprules", writesUnless(func(args arguments) bool { return args["enable"] == "" && args["runfirst"] == "" }, (*Unit).owaspRules), true},
	}
}

var owaspAttributes = attributesOf(`
	Type text is=CRS
	Enabled text in=enable is=yes one=yes|no
	Runfirst text in=runfirst is=no one=0|1|yes|no
`)

// owaspRules lists the rules of a service that were set, or sets one of them
// (loadmaster.md 3.2).
func (u *Unit) owaspRules(args arguments) answer {
	vs, parent := u.service(args)
	if vs == nil {
		return unknownService()
	}
	id := orDefault(args["rule"], args["ruleid"])
	if args["enable"] == "" && args["runfirst"] == "" {
		all := field{name: "Rule", repeated: [][]field{}}
		for _, it := range vs.of(classOWASPRules) {
			if id == "" || it.Key == id {
				all.repeated = append(all.repeated, append([]field{text("Id", it.Key)}, fieldsOf(owaspAttributes, it.Values, nil)...))
			}
		}
		if id != "" && len(all.repeated) == 1 { // one that is asked for is no list (v2-owasprule.json)
			return data(object("Rule", all.repeated[0]...))
		}
		return data(all)
	}
	if _, err := strconv.Atoi(id); err != nil {
		return missing("rule")
	}
	it := &item{Class: classOWASPRules, Key: id, Values: map[string]string{}}
	if was := vs.kid(classOWASPRules, id); was != nil {
		it = was.clone(asIs)
		vs.removeKid(was)
	}
	if bad := u.take(owaspAttributes, args, it.Values); bad != "" {
		return unknownValue(bad)
	}
	if on, known := truth(it.Values["runfirst"]); known && it.Values["runfirst"] != "" {
		it.Values["runfirst"] = yesNo(on)
	}
	vs.Kids = append(vs.Kids, it)
	u.touchService(vs, parent)
	return done()
}

// moveLimitRule gives a limiting rule a position, which counts from 1.
func (u *Unit) moveLimitRule(args arguments) answer {
	it := u.find(classLimitRules, args["name"])
	s := u.shelf(classLimitRules)
	at, err := strconv.Atoi(args["position"])
	switch {
	case it == nil:
		return unknownValue("name")
	case err != nil || at < 1 || at > len(s.items):
		return unknownValue("position")
	}
	s.items = slices.DeleteFunc(s.items, func(other *item) bool { return other == it })
	s.items = slices.Insert(s.items, at-1, it)
	u.touch(classLimitRules, it.Key)
	return done()
}
