package settings

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"tandem/internal/pair"
)

// setter is how the objects of a class are found and set.
type setter struct {
	// look returns the object of a write as it is, nil where there is none.
	look func(*Writer, Write) (*Object, error)
	// set makes it be: adds it where have is nil, deletes it where the write does,
	// and otherwise gives it the fields. Where what is added takes no fields, the writer
	// finds that they are left, and sets them.
	set func(w *Writer, write Write, have *Object, fields []Field) error
}

// setters has every class of which the reference documents setters (loadmaster.md 3
// and 4). What of a class they cannot do the inventory says, as what is left to a
// person.
var setters = [classCount]setter{
	Parameters:             {single, setParameters},
	HealthGlobals:          {single, setSingle},
	AdaptiveGlobals:        {single, setSingle},
	Hosts:                  anew("hostip"),
	CipherSets:             {cipherSet, named("name").set},
	Intermediates:          {intermediate, setIntermediate},
	Certificates:           named("cert"),
	ACMECertificates:       {listed, setACME},
	LDAPEndpoints:          named("name"),
	SSODomains:             named("domain"),
	RemoteGroups:           {listed, setAccount("group")},
	Users:                  {listed, setAccount("user")},
	WAFFiles:               named("filename"),
	Templates:              named("name"),
	ContentRules:           {listed, setRule},
	VirtualServices:        {service, setService},
	SubServices:            {service, setSubService},
	RealServers:            {service, setRealServer},
	OWASPRules:             {ofService, setOWASPRule},
	PacketFilter:           {single, setPacketFilter},
	AccessLists:            {listed, setAccess},
	ServiceAccessLists:     {ofService, setServiceAccess},
	ClientConnectionLimits: anew("l7addr"),
	ClientRateLimits:       anew("l7addr"),
	ClientRequestLimits:    anew("l7addr"),
	ClientBandwidthLimits:  anew("l7addr"),
	LimitRules:             named("name"),
	GEOClusters:            {listed, setCluster},
	GEOLocations:           {listed, setLocation},
	GEORanges:              {listed, setRange},
	GEOAccessList:          named("addr"),
	GEONames:               {geoName, setName},
	GEOMaps:                {geoName, setMap},
	GEORecords:             {geoName, setRecord},
	GEOParameters:          {single, setSingle},
}

// missing is the error for something that is to be changed and is not there.
func missing(what string) error { return fmt.Errorf("%s is not there: %w", what, pair.ErrNotFound) }

// unsettable is the error for a field that no command sets.
func unsettable(f Field) error {
	return fmt.Errorf("no command is known that sets %s: set it by hand on this unit, or restore the part: %w", f.Name, pair.ErrInvalid)
}

// single looks for a class that is one object.
func single(w *Writer, write Write) (*Object, error) {
	objects, err := w.objects(write.of, "")
	if err != nil || len(objects) == 0 {
		return nil, err
	}
	return &objects[0], nil
}

func setSingle(w *Writer, write Write, _ *Object, fields []Field) error {
	return w.do(write.of.spec().modify, arguments(write.of, fields)...)
}

// listed looks for an object in the list of its class.
func listed(w *Writer, write Write) (*Object, error) {
	objects, err := w.objects(write.of, "")
	if err != nil {
		return nil, err
	}
	return find(objects, write.of, write.id()), nil
}

// ofService looks for an object in the list of its class for a service, with which
// its identity begins.
func ofService(w *Writer, write Write) (*Object, error) {
	service, _, _ := strings.Cut(write.id(), " ")
	objects, err := w.objects(write.of, service)
	if err != nil {
		return nil, err
	}
	return find(objects, write.of, write.id()), nil
}

// named is a class whose setters take the identity and the fields in one call.
func named(key string) setter {
	return setter{listed, func(w *Writer, write Write, have *Object, fields []Field) error {
		s, args := write.of.spec(), []Field{{key, write.id()}}
		switch {
		case write.verb == Delete:
			return w.do(s.remove, args...)
		case have != nil:
			return w.do(s.modify, append(args, arguments(write.of, fields)...)...)
		case write.verb == Modify:
			return missing(write.id())
		default:
			return w.do(s.add, append(args, arguments(write.of, fields)...)...)
		}
	}}
}

// anew is a class without a command that changes: an object is deleted and added.
// They have one field beside their identity, so that nothing is lost where it comes to
// nothing in between.
func anew(key string) setter {
	return setter{listed, func(w *Writer, write Write, have *Object, fields []Field) error {
		s, args := write.of.spec(), []Field{{key, write.id()}}
		if have != nil {
			if err := w.do(s.remove, args...); err != nil || write.verb == Delete {
				return err
			}
		}
		return w.do(s.add, append(args, arguments(write.of, overlaid(have, fields))...)...)
	}}
}

// overlaid returns the fields of an object with some changed: all that it shall have.
func overlaid(have *Object, fields []Field) []Field {
	if have == nil {
		return fields
	}
	o := Object{Fields: slices.Clone(have.Fields)}
	for _, f := range fields {
		o.set(f.Name, f.Value)
	}
	return o.Fields
}

// setParameters sets each parameter by a call, switches last: what they switch on
// needs its settings. One that the unit does not know or accept keeps none of the
// others back.
func setParameters(w *Writer, _ Write, have *Object, fields []Field) error {
	fields = slices.Clone(fields)
	if have == nil {
		have = &Object{}
	}
	slices.SortStableFunc(fields, func(a, b Field) int {
		return map[bool]int{true: 1}[parameterSwitches[a.Name]] - map[bool]int{true: 1}[parameterSwitches[b.Name]]
	})
	if gone := logHostsGone(have, fields); gone != "" {
		if err := w.do("set", Field{"param", noLogging}, Field{"value", gone}); err != nil {
			return err
		}
	}
	var failed error
	for _, f := range fields {
		if hostLists[f.Name] && f.Value == "" {
			continue // its hosts are gone, or on another level
		}
		for _, arg := range arguments(Parameters, []Field{f}) {
			err := w.do("set", Field{"param", arg.Name}, Field{"value", arg.Value})
			if err != nil && !errors.Is(err, pair.ErrInvalid) && !errors.Is(err, pair.ErrNotFound) {
				return err
			}
			if err != nil && failed == nil {
				failed = fmt.Errorf("parameter %s: %w", arg.Name, err)
			}
		}
	}
	return failed
}

// noLogging is the parameter that takes hosts away. It reads as nothing.
const noLogging = "syslognone"

// logHostsGone returns the hosts that no level shall log to any more. A level takes
// hosts, and only syslognone takes them away; one that is on another level now has
// moved (loadmaster.md 3.1).
func logHostsGone(have *Object, fields []Field) string {
	var before, after []string
	for _, f := range fields {
		if hostLists[f.Name] {
			before = append(before, strings.Split(have.Value(f.Name), ",")...)
			after = append(after, strings.Split(f.Value, ",")...)
		}
	}
	before = slices.DeleteFunc(before, func(host string) bool { return host == "" || slices.Contains(after, host) })
	return strings.Join(before, ",")
}

// cipherSet asks for a set by its name, since nothing lists them.
func cipherSet(w *Writer, write Write) (*Object, error) {
	call := CipherSets.spec().reads[0].of(CipherSets, write.id())
	n, there, err := w.lookFor(call)
	if err != nil || !there {
		return nil, err
	}
	r := newReading()
	if err := r.Take(call, n); err != nil {
		return nil, err
	}
	return find(r.got[CipherSets], CipherSets, write.id()), nil
}

// intermediate looks for a certificate with its text, which has a call of its own.
func intermediate(w *Writer, write Write) (*Object, error) {
	o, err := listed(w, write)
	if err != nil || o == nil || write.verb == Delete {
		return o, err
	}
	call := Intermediates.spec().reads[1].of(Intermediates, write.id())
	n, err := w.look(call)
	if err != nil {
		return nil, err
	}
	r := newReading()
	r.got[Intermediates] = []Object{*o}
	if err := r.Take(call, n); err != nil {
		return nil, err
	}
	return &r.got[Intermediates][0], nil
}

// setIntermediate uploads a certificate. One of the name is deleted first: a unit
// takes no second one.
func setIntermediate(w *Writer, write Write, have *Object, fields []Field) error {
	name := Field{"cert", write.id()}
	if have != nil {
		if err := w.do("delintermediate", name); err != nil || write.verb == Delete {
			return err
		}
	}
	for _, f := range overlaid(have, fields) {
		if f.Name == "certificate" {
			_, err := w.answerTo(Call{Command: "addintermediate", Args: []Field{name}, Writes: true, File: []byte(f.Value + "\n")})
			return err
		}
	}
	return missing("the text of certificate " + write.id())
}

// setACME deletes a certificate, which is all that calls can do with one. The
// identity begins with the number of its authority.
func setACME(w *Writer, write Write, _ *Object, _ []Field) error {
	authority, cert, _ := strings.Cut(write.id(), " ")
	return w.do("delacmecert", Field{"cert", cert}, Field{"acmetype", authority})
}

// setAccount is for users and remote groups, of which the permissions are set as a
// whole (loadmaster.md 1.4).
func setAccount(key string) func(*Writer, Write, *Object, []Field) error {
	return func(w *Writer, write Write, have *Object, fields []Field) error {
		s, name := write.of.spec(), Field{key, write.id()}
		switch {
		case write.verb == Delete:
			return w.do(s.remove, name)
		case have == nil && write.verb == Modify:
			return missing(write.id())
		case have == nil:
			return w.do(s.add, name)
		}
		for _, f := range fields {
			if f.Name != "perms" {
				return unsettable(f)
			}
			if err := w.do(s.modify, name, f); err != nil {
				return err
			}
		}
		return nil
	}
}

// ruleTypes are the types of rules as they are listed, by the number that setters
// take (loadmaster.md 3.2).
var ruleTypes = []string{"matchcontentrule", "addheaderrule", "deleteheaderrule", "replaceheaderrule", "modifyurlrule", "replacebodyrule"}

// setRule always sends a whole rule with its type: some firmware resets what is left
// out.
func setRule(w *Writer, write Write, have *Object, fields []Field) error {
	key := Field{"name", write.id()}
	if write.verb == Delete {
		return w.do("delrule", key)
	}
	if have == nil && write.verb == Modify {
		return missing(write.id())
	}
	args, all := []Field{key}, overlaid(have, fields)
	for _, f := range fields {
		if f.Value == "" {
			all = append(all, f)
		}
	}
	for _, f := range all {
		if f.Name != "type" {
			args = append(args, arguments(ContentRules, []Field{f})...)
			continue
		}
		kind := slices.Index(ruleTypes, f.Value)
		if kind < 0 {
			return fmt.Errorf("type of rule %q: expected one of %s: %w", f.Value, strings.Join(ruleTypes, ", "), pair.ErrInvalid)
		}
		args = append(args, Field{"type", fmt.Sprint(kind)})
	}
	if have == nil {
		return w.do("addrule", args...)
	}
	return w.do("modrule", args...)
}

// setOWASPRule switches a rule of a service on or off. It always says both switches,
// as the clients do that are known (loadmaster.md 3.2).
func setOWASPRule(w *Writer, write Write, have *Object, fields []Field) error {
	service, rule, _ := strings.Cut(write.id(), " ")
	if have == nil {
		return missing("rule " + rule + " of service " + service)
	}
	args := append(serviceArgs(service), Field{"rule", rule})
	for _, f := range overlaid(have, fields) {
		switch f.Name {
		case "enabled":
			args = append(args, Field{"enable", yesNo(f.Value, "yes", "no")})
		case "runfirst":
			args = append(args, Field{"runfirst", yesNo(f.Value, "1", "0")})
		}
	}
	for _, f := range fields {
		if f.Name != "enabled" && f.Name != "runfirst" {
			return unsettable(f)
		}
	}
	return w.do("owasprules", args...)
}

// setPacketFilter sets each switch by a call. What reads as a word is written as a
// number.
func setPacketFilter(w *Writer, _ Write, _ *Object, fields []Field) error {
	for _, arg := range arguments(PacketFilter, fields) {
		if err := w.do("aclcontrol", arg); err != nil {
			return err
		}
	}
	return nil
}

// setAccess sets an entry of the unit's own lists, with its comment.
func setAccess(w *Writer, write Write, have *Object, fields []Field) error {
	list, network, _ := strings.Cut(write.id(), " ")
	return access(w, write, have, fields, "add", "del", list, Field{"addr", network})
}

// setServiceAccess sets an entry of the lists of a service.
func setServiceAccess(w *Writer, write Write, have *Object, fields []Field) error {
	parts := strings.SplitN(write.id(), " ", 3)
	if len(parts) < 3 {
		return missing(write.id())
	}
	key := serviceArgs(parts[0])
	return access(w, write, have, fields, "addvs", "delvs", parts[1],
		Field{"vsip", key[0].Value}, Field{"vsport", key[1].Value}, Field{"vsprot", key[2].Value}, Field{"addr", parts[2]})
}

// access adds, deletes, or deletes and adds: nothing changes an entry
// (loadmaster.md 3.2).
func access(w *Writer, write Write, have *Object, fields []Field, add, remove, list string, key ...Field) error {
	if have != nil {
		if err := w.do("aclcontrol", append([]Field{{remove, list}}, key...)...); err != nil || write.verb == Delete {
			return err
		}
	}
	args := append([]Field{{add, list}}, key...)
	for _, f := range overlaid(have, fields) {
		if f.Name != "comment" {
			return unsettable(f)
		}
		args = append(args, f)
	}
	return w.do("aclcontrol", args...)
}
