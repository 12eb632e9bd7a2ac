package settings

import (
	"slices"
	"strings"
)

// secrets says that one unit has a secret and the other one none; whether two are
// the same nobody can see.
func (m *merge) secrets(path []string, sides [2]*Object) {
	if slices.Equal(sides[0].Masked, sides[1].Masked) {
		return
	}
	path = append(slices.Clip(path), objectID(sides[0])...)
	for u, o := range sides {
		for _, name := range o.Masked {
			if !slices.Contains(sides[1-u].Masked, name) {
				m.hold(m.difference(path, o.Class, name, Sight{}, [2]Sight{}), u, ByHand, "a secret that only one unit has")
			}
		}
	}
}

// unfitObject returns why an object cannot be written to a unit, if so.
func (m *merge) unfitObject(to int, path []string, o *Object) (Reason, string) {
	s := o.Class.spec()
	if s.addByHand != "" {
		return ByHand, s.addByHand
	}
	if s.standsOn {
		if reason := m.addresses.misplaced(o.ID, o.Class, to); reason != NoReason {
			return reason, replaced(o.ID, m.addresses.at[1-to])
		}
	}
	if o.Class == ServiceAccessLists || o.Class == OWASPRules { // which begin with their service
		service, _, _ := strings.Cut(o.ID, " ")
		if services := m.has[to][VirtualServices]; services != nil && !services[service] {
			return NeedsOther, VirtualServices.String() + " " + service
		}
	}
	for _, f := range o.Fields {
		if reason, detail := m.unfit(to, Add, o.Class, f); reason != NoReason {
			return reason, detail
		}
	}
	return NoReason, ""
}

// references are the fields that name objects of another class.
var references = map[string]Class{
	"certfile": Certificates, "intermediatecerts": Intermediates, "domain": SSODomains, "ldapendpoint": LDAPEndpoints,
	"matchrules": ContentRules, "member.matchrules": ContentRules, "requestrules": ContentRules, "responserules": ContentRules, "matchbodyrules": ContentRules, "cluster": GEOClusters,
}

// unfit returns why a field cannot be written to a unit, if so.
func (m *merge) unfit(to int, verb Verb, c Class, f Field) (Reason, string) {
	s := c.spec()
	if verb == Modify && s.changeByHand != "" {
		return ByHand, s.changeByHand
	}
	if slices.Contains(s.addresses, f.Name) {
		if reason := m.addresses.misplaced(f.Value, c, to); reason != NoReason {
			return reason, f.Value
		}
	}
	if why := s.fixed[f.Name]; verb == Modify && why != "" {
		return ByHand, why
	}
	there := m.has[to][references[f.Name]]
	if there == nil || s.within == ClassUnknown && c != VirtualServices {
		return NoReason, ""
	}
	names := strings.Split(f.Value, "\n")
	if f.Name == "certfile" || f.Name == "intermediatecerts" { // several with blanks between
		names = strings.Fields(f.Value)
	}
	for _, name := range names {
		if name != "" && !there[name] {
			return NeedsOther, references[f.Name].String() + " " + name
		}
	}
	return NoReason, ""
}
