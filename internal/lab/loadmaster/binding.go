package loadmaster

import (
	"slices"
	"strconv"
	"strings"
)

// stage is where a rule works on what passes a service (loadmaster.md 3.2). field is
// what the service shows, command the middle of the commands that bind, precedence
// what begins the arguments that order, and types those of the rules that fit.
type stage struct {
	field, command, precedence string
	types                      []string
}

var (
	serverStage = stage{"MatchRules", "rsrule", "rsrule", []string{"0"}}
	stages      = []stage{
		{"MatchRules", "prerule", "preproc", nil},
		{"RequestRules", "requestrule", "request", nil},
		{"ResponseRules", "responserule", "response", nil},
		{"MatchBodyRules", "responsebodyrule", "matchbody", []string{"5"}},
		serverStage,
	}
)

// bindingCommands are those that bind rules to services and to real servers.
func bindingCommands() []command {
	var all []command
	for _, s := range stages {
		all = append(all,
			command{"add" + s.command, writes(func(u *Unit, args arguments) answer { return u.bind(s, args, true) }), false},
			command{"del" + s.command, writes(func(u *Unit, args arguments) answer { return u.bind(s, args, false) }), false})
	}
	return all
}

// bind binds a rule to a service, or to a real server or a service in it, after
// those that are bound, or undoes that. u.mu is held.
func (u *Unit) bind(s stage, args arguments, on bool) answer {
	vs, parent := u.service(args)
	if vs == nil {
		return unknownService()
	}
	to := vs
	if s.command == serverStage.command {
		if to = server(vs, args); to == nil {
			return unknownServer()
		}
	}
	name := args["rule"]
	if name == "" {
		return missing("rule")
	}
	rule, bound := u.find(classRules, name), slices.Contains(to.Rules[s.key()], name)
	switch {
	case on && (rule == nil || s.types != nil && !slices.Contains(s.types, rule.Values["type"])), !on && !bound:
		return unknownValue("rule")
	case on && bound:
		return fail(422, "Rule already assigned") // that it fails is inferred
	case on && to.Rules == nil:
		to.Rules = map[string][]string{s.key(): {name}}
	case on:
		to.Rules[s.key()] = append(to.Rules[s.key()], name)
	default:
		to.Rules[s.key()] = slices.DeleteFunc(slices.Clone(to.Rules[s.key()]), func(other string) bool { return other == name })
	}
	u.touchService(vs, parent)
	return done()
}

func (s stage) key() string { return strings.ToLower(s.field) }

// orderRules puts a bound rule to a position, which counts from 1, and names what is
// impossible. u.mu is held.
func (u *Unit) orderRules(vs *item, args arguments) (bad string) {
	for _, s := range stages {
		name, given := args[s.precedence+"precedence"]
		if !given {
			continue
		}
		to := vs
		if s.command == serverStage.command && args["rs"] != "" {
			if to = server(vs, args); to == nil {
				return "rs"
			}
		}
		rules := slices.Clone(to.Rules[s.key()])
		at, err := strconv.Atoi(args[s.precedence+"precedencepos"])
		from := slices.Index(rules, name)
		if err != nil || from < 0 || at < 1 || at > len(rules) {
			return s.precedence + "Precedence"
		}
		rules = slices.Delete(rules, from, from+1)
		to.Rules[s.key()] = slices.Insert(rules, at-1, name)
	}
	return ""
}

// rulesField is a list of bound rules, or the number of them, in an answer.
func rulesField(it *item, name string) (field, bool) {
	counted := map[string]string{
		"NRules": "rules", "Nrules": "matchrules", "NPreProcessRules": "matchrules", "NRequestRules": "requestrules",
		"NResponseRules": "responserules", "NMatchBodyRules": "matchbodyrules",
	}
	if key, isCount := counted[name]; isCount {
		return number(name, len(it.Rules[key])), true
	}
	rules := it.Rules[strings.ToLower(name)]
	return field{name: name, list: &list{"Name", rules}}, len(rules) > 0
}

// isBound tells whether a service anywhere uses a rule. u.mu is held.
func (u *Unit) isBound(rule string) bool {
	return slices.ContainsFunc(u.shelf(classServices).items, func(vs *item) bool { return vs.binds(rule) })
}

func (it *item) binds(rule string) bool {
	for _, rules := range it.Rules {
		if slices.Contains(rules, rule) {
			return true
		}
	}
	return slices.ContainsFunc(it.Kids, func(kid *item) bool { return kid.binds(rule) })
}
