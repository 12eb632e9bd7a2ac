package settings

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"tandem/internal/pair"
)

// ProvocationName is the name of the marked virtual service that is made, and removed
// again, to provoke the vendor's sync: a new service is carried over at once
// (loadmaster.md 2.5). Readings leave it out; it is no setting of anybody.
const ProvocationName = "tandem-provokes-sync"

// serviceArgs address a service by its identity, which holds on any unit and at any
// time; an index may be another service's a moment later.
func serviceArgs(id string) []Field {
	address, rest, _ := strings.Cut(id, "/")
	port, protocol, _ := strings.Cut(rest, "/")
	return []Field{{"vs", address}, {"port", port}, {"prot", protocol}}
}

// argsOf address a service as it was read: one within another has an index only.
func argsOf(o *Object) []Field {
	if o.Class == SubServices {
		return []Field{{"vs", o.index}}
	}
	return serviceArgs(o.ID)
}

// service looks for a service, or for what of a service a write is about.
func service(w *Writer, write Write) (*Object, error) {
	o, err := w.service(write.path[0])
	for depth := 1; o != nil && err == nil && depth < len(write.path); depth++ {
		c := SubServices
		if depth == len(write.path)-1 {
			c = write.of
		}
		o = find(o.Kids, c, write.path[depth])
	}
	return o, err
}

// parent looks for the service in which the object of a write lies.
func (w *Writer) parent(write Write) (*Object, error) {
	within := Write{of: SubServices, path: write.path[:len(write.path)-1]}
	o, err := service(w, within)
	if err == nil && o == nil {
		err = missing("service " + strings.Join(within.path, " "))
	}
	return o, err
}

// service reads a service with all in it, in the normal form in which the list of all
// services gives it. It returns nil where there is none.
func (w *Writer) service(id string) (*Object, error) {
	n, there, err := w.lookFor(Call{Command: "showvs", Args: serviceArgs(id)})
	if err != nil || !there {
		return nil, err
	}
	if inner, ok := n.child("vs"); ok && len(inner.Kids) > 0 { // as in the list
		n = *inner
	}
	n.Name = "VS"
	list := Node{Kids: []Node{n}}
	for i := range n.Kids {
		index := n.Kids[i].text("vsindex")
		if !strings.EqualFold(n.Kids[i].Name, "subvs") || index == "" {
			continue
		}
		sub, err := w.look(Call{Command: "showvs", Args: []Field{{"vs", index}}})
		if err != nil {
			return nil, err
		}
		sub.Name = "VS"
		list.Kids = append(list.Kids, sub)
	}
	r := newReading()
	if err := r.Take(Call{Command: "listvs", class: VirtualServices}, list); err != nil {
		return nil, err
	}
	if err := w.readReferred(r, r.got[VirtualServices]); err != nil {
		return nil, err
	}
	if !r.resolve(r.got[VirtualServices]) {
		return nil, fmt.Errorf("the cipher set that the unit made for %s is not told: %w", id, pair.ErrUnreadable)
	}
	return find(r.got[VirtualServices], VirtualServices, id), nil
}

// readReferred reads the services to which services refer, and the cipher sets that the
// unit made for them, by their numbers and names.
func (w *Writer) readReferred(r *Reading, services []Object) error {
	for i := range services {
		if index := services[i].Value("followvsid"); index != "" && index != "0" && r.indexes[index] == "" {
			n, err := w.look(Call{Command: "showvs", Args: []Field{{"vs", index}}})
			if err != nil {
				return err
			}
			r.indexes[index] = serviceID(&n)
		}
		if set := services[i].Value("cipherset"); strings.HasPrefix(set, customSet) {
			call := CipherSets.spec().reads[0].of(CipherSets, set)
			n, err := w.look(call)
			if err != nil {
				return err
			}
			if err := r.Take(call, n); err != nil {
				return err
			}
		}
		if err := w.readReferred(r, services[i].Kids); err != nil {
			return err
		}
	}
	return nil
}

func setService(w *Writer, write Write, have *Object, fields []Field) error {
	key := serviceArgs(write.id())
	switch {
	case write.class == RuleBindings && have == nil:
		return missing("service " + write.id())
	case write.class == RuleBindings:
		return bind(w, write, have, fields)
	case write.verb == Delete:
		return w.do("delvs", key...)
	case have == nil && write.verb == Modify:
		return missing("service " + write.id())
	case have == nil:
		return w.do("addvs", append(key, arguments(write.of, fields)...)...)
	default:
		return w.do("modvs", append(key, arguments(write.of, fields)...)...)
	}
}

// setSubService sets a service within another one: fields of its own, and those of
// its entry in the service above it, which is like that of a real server
// (loadmaster.md 3.2).
func setSubService(w *Writer, write Write, have *Object, fields []Field) error {
	above, err := w.parent(write)
	switch {
	case err != nil:
		return err
	case have == nil && (write.verb == Modify || write.class == RuleBindings):
		return missing("service " + strings.Join(write.path, " "))
	case write.verb == Delete && ambiguous(above.Kids, write.id()):
		return fmt.Errorf("there are several of this name: name them in the WUI, or delete it there: %w", pair.ErrInvalid)
	case write.verb == Delete:
		return w.do("delvs", Field{"vs", have.index})
	case write.class == RuleBindings:
		return bind(w, write, have, fields)
	case have == nil:
		if have, err = w.newSubService(above); err != nil {
			return err
		}
	}
	var own, entry []Field
	for _, f := range fields {
		if name, ok := strings.CutPrefix(f.Name, "member."); ok {
			entry = append(entry, Field{name, f.Value})
		} else {
			own = append(own, f)
		}
	}
	if len(own) > 0 {
		if err := w.do("modvs", append(argsOf(have), arguments(SubServices, own)...)...); err != nil {
			return err
		}
	}
	if len(entry) == 0 {
		return nil
	}
	return w.do("modrs", append(append(argsOf(above), Field{"rs", "!" + have.member}), arguments(RealServers, entry)...)...)
}

// ambiguous reports whether there is a further service of the same name after one: it
// would be taken for the one that is deleted, now or when the write is repeated.
func ambiguous(kids []Object, id string) bool {
	name, count, _ := strings.Cut(id, " #")
	n, _ := strconv.Atoi(count)
	return find(kids, SubServices, name+" #"+strconv.Itoa(max(n, 1)+1)) != nil
}

// newSubService makes a service within another one, and finds it by its number. It has
// no name until it is given one. If we end in between, it stays: it cannot be told from
// one that a person is making, and what is nobody's mistake is seen by everybody.
func (w *Writer) newSubService(above *Object) (*Object, error) {
	before := map[string]bool{}
	for i := range above.Kids {
		if above.Kids[i].Class == SubServices { // of others, the numbers are others
			before[above.Kids[i].index] = true
		}
	}
	if err := w.do("modvs", append(argsOf(above), Field{"createsubvs", ""})...); err != nil {
		return nil, err
	}
	after, err := w.service(above.ID)
	if err != nil {
		return nil, err
	}
	if after != nil {
		for i := range after.Kids {
			if kid := &after.Kids[i]; kid.Class == SubServices && !before[kid.index] {
				return kid, nil
			}
		}
	}
	return nil, &NotKept{What: "add a service within " + above.ID, Wanted: "there", Got: "not there"}
}

func setRealServer(w *Writer, write Write, have *Object, fields []Field) error {
	above, err := w.parent(write)
	switch {
	case err != nil:
		return err
	case have == nil && (write.verb == Modify || write.class == RuleBindings):
		return missing("real server " + strings.Join(write.path, " "))
	case write.class == RuleBindings:
		return bindRealServer(w, above, have, fields)
	case write.verb == Delete:
		return w.do("delrs", append(argsOf(above), realServerArgs(have)...)...)
	case have == nil: // non_local has it taken where it lies in no network of the unit, as on the other one
		host, port := hostAndPort(write.id())
		args := append(argsOf(above), Field{"rs", host}, Field{"rsport", port}, Field{"non_local", "1"})
		return w.do("addrs", append(args, arguments(RealServers, fields)...)...)
	default:
		args := append(argsOf(above), realServerArgs(have)...)
		return w.do("modrs", append(args, arguments(RealServers, fields)...)...)
	}
}

func hostAndPort(id string) (host, port string) {
	id, _, _ = strings.Cut(id, " #")
	i := max(strings.LastIndex(id, ":"), 0)
	return id[:i], strings.TrimPrefix(id[i:], ":")
}

// realServerArgs address a real server by its address and port, and one with a name,
// of which the address is what the unit resolved, by its index.
func realServerArgs(o *Object) []Field {
	host, port := hostAndPort(o.ID)
	if address(host) == host && strings.Trim(host, "0123456789abcdef.:") == "" && !strings.Contains(o.ID, " #") {
		return []Field{{"rs", host}, {"rsport", port}}
	}
	return []Field{{"rs", "!" + o.index}}
}

// stage is one of the lists of rules of a service (loadmaster.md 3.2). Rules that
// match content are those of the stage before all others.
type stage struct{ add, remove, order string }

var stages = map[string]stage{
	"matchrules":      {"addprerule", "delprerule", "PreProcPrecedence"},
	"prerules":        {"addprerule", "delprerule", "PreProcPrecedence"},
	"preprocessrules": {"addprerule", "delprerule", "PreProcPrecedence"},
	"requestrules":    {"addrequestrule", "delrequestrule", "RequestPrecedence"},
	"responserules":   {"addresponserule", "delresponserule", "ResponsePrecedence"},
	"matchbodyrules":  {"addresponsebodyrule", "delresponsebodyrule", "MatchBodyPrecedence"},
}

// bind binds rules to a service in their order, and lets it follow another one.
func bind(w *Writer, write Write, have *Object, fields []Field) error {
	for _, f := range fields {
		var err error
		switch {
		case f.Name == "followvsid":
			err = w.follow(have, f.Value)
		case f.Name == "member.matchrules":
			above, lost := w.parent(write)
			if lost != nil {
				return lost
			}
			err = w.rebind("rsrule", append(argsOf(above), Field{"rs", "!" + have.member}), lines(have.Value(f.Name)), lines(f.Value))
		case stages[f.Name].add != "":
			err = w.bindInOrder(stages[f.Name], argsOf(have), lines(have.Value(f.Name)), lines(f.Value))
		default:
			err = unsettable(f)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// follow has a service follow another one, by the index that it has on this unit.
func (w *Writer) follow(o *Object, id string) error {
	index := "0"
	if id != "" {
		service, within, isSub := strings.Cut(id, " ")
		other, err := w.service(service)
		if isSub && other != nil {
			other = find(other.Kids, SubServices, within)
		}
		if err != nil {
			return err
		}
		if other == nil {
			return missing("service " + id)
		}
		index = other.index
	}
	return w.do("modvs", append(argsOf(o), Field{"FollowVSID", index})...)
}

// lines returns the items of a list.
func lines(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == '\n' })
}

// bindInOrder removes rules, adds rules, which come last then, and moves those that
// are not where they belong; the first place is 1.
func (w *Writer) bindInOrder(s stage, key []Field, have, want []string) error {
	is, err := w.bindAll(s.add, s.remove, key, have, want)
	if err != nil {
		return err
	}
	for i, rule := range want {
		if is[i] == rule {
			continue
		}
		if err := w.do("modvs", append(slices.Clone(key), Field{s.order, rule}, Field{s.order + "Pos", fmt.Sprint(i + 1)})...); err != nil {
			return err
		}
		is = slices.DeleteFunc(is, func(r string) bool { return r == rule })
		is = slices.Insert(is, i, rule)
	}
	return nil
}

// bindAll removes and adds rules, and returns the list as it is then.
func (w *Writer) bindAll(add, remove string, key []Field, have, want []string) ([]string, error) {
	var is []string
	for _, rule := range have {
		if slices.Contains(want, rule) {
			is = append(is, rule)
		} else if err := w.do(remove, append(slices.Clone(key), Field{"rule", rule})...); err != nil {
			return nil, err
		}
	}
	for _, rule := range want {
		if slices.Contains(is, rule) {
			continue
		}
		if err := w.do(add, append(slices.Clone(key), Field{"rule", rule})...); err != nil {
			return nil, err
		}
		is = append(is, rule)
	}
	return is, nil
}

// rebind binds rules where no command moves one: what is out of its place is removed
// and added again, with all behind it.
func (w *Writer) rebind(command string, key []Field, have, want []string) error {
	kept := slices.DeleteFunc(slices.Clone(have), func(r string) bool { return !slices.Contains(want, r) })
	same := 0
	for same < len(kept) && same < len(want) && kept[same] == want[same] {
		same++
	}
	if _, err := w.bindAll("add"+command, "del"+command, key, have, want[:same]); err != nil {
		return err
	}
	_, err := w.bindAll("add"+command, "del"+command, key, want[:same], want)
	return err
}

// bindRealServer binds rules to a real server, and lets it follow another one of its
// service.
func bindRealServer(w *Writer, above, have *Object, fields []Field) error {
	for _, f := range fields {
		var err error
		switch f.Name {
		case "matchrules":
			err = w.rebind("rsrule", append(argsOf(above), Field{"rs", "!" + have.index}), lines(have.Value(f.Name)), lines(f.Value))
		case "follow":
			index := "0"
			if f.Value != "" {
				other := find(above.Kids, RealServers, f.Value)
				if other == nil {
					return missing("real server " + f.Value + " of the same service")
				}
				index = other.index
			}
			err = w.do("modrs", append(append(argsOf(above), realServerArgs(have)...), Field{"follow", index})...)
		default:
			err = unsettable(f)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
