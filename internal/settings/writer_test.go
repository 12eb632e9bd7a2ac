package settings

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"tandem/internal/pair"
)

// paperUnit is a unit that holds objects on paper. It answers looks as a unit writes
// what the objects are; of calls that change something it keeps the words. Objects are
// as they shall be when all calls of a write were made; one that is added is there,
// with no more than its identity, after the first.
type paperUnit struct {
	t             testing.TB
	w             Write
	before, after map[Class][]Object
	calls         int // that the write shall make
	made          []string
	numbers       map[string]int
	refuse        error // the answer to what changes something
	looks         int   // how often it was looked
}

func (p *paperUnit) call(c Call) (Node, error) {
	for _, a := range c.Args {
		if masked(a.Value) {
			p.t.Errorf("%s has a masked value", c)
		}
	}
	if c.Writes {
		text := c.String()
		if c.File != nil {
			text += " < " + strings.TrimSpace(string(c.File))
		}
		if p.made = append(p.made, text); p.refuse != nil {
			return Node{}, p.refuse
		}
		return Node{Text: "Command completed ok"}, nil
	}
	p.looks++
	return p.show(c)
}

func (p *paperUnit) objects() map[Class][]Object {
	switch {
	case len(p.made) >= p.calls && p.calls > 0:
		return p.after
	case len(p.made) == 0 || p.w.verb != Add:
		return p.before
	}
	now := maps.Clone(p.before)
	now[p.w.rootClass()] = withBare(p.before[p.w.rootClass()], p.w.path, p.w.of)
	if p.w.of == GEOClusters { // which are added with their address
		o := find(now[GEOClusters], GEOClusters, p.w.id())
		o.set("ipaddress", p.w.fields[0].Value)
	}
	return now
}

// rootClass is the class of the outermost object of a write.
func (w Write) rootClass() Class {
	if outer := w.of.spec().within; outer != ClassUnknown {
		return outer
	}
	return w.of
}

// withBare adds an object to what lies at a path.
func withBare(objects []Object, path []string, c Class) []Object {
	objects = slices.Clone(objects)
	if len(path) <= 1 {
		o := Object{Class: c}
		if len(path) == 1 {
			o.ID = path[0]
		}
		objects = append(objects, o)
		sortObjects(objects)
		return objects
	}
	for i := range objects {
		if objects[i].ID == path[0] {
			objects[i].Kids = withBare(objects[i].Kids, path[1:], c)
		}
	}
	return objects
}

func (p *paperUnit) number(of string) string {
	if p.numbers[of] == 0 {
		p.numbers[of] = len(p.numbers) + 11
	}
	return strconv.Itoa(p.numbers[of])
}

var errNotThere = fmt.Errorf("unknown: %w", pair.ErrInvalid)

func (p *paperUnit) show(c Call) (Node, error) {
	objects, name := p.objects(), ""
	if len(c.Args) > 0 {
		name = c.Args[0].Value
	}
	switch c.Command {
	case "showvs":
		return p.showService(objects[VirtualServices], c)
	case "showfqdn":
		for _, o := range objects[GEONames] {
			if o.ID == name {
				return Node{Kids: []Node{p.fqdn(o)}}, nil
			}
		}
		return Node{}, nil // some firmware says no more than this (loadmaster.md 4.2)
	case "getcipherset":
		for _, o := range objects[CipherSets] {
			if o.ID == name {
				return Node{Kids: []Node{{Name: "cipherset", Text: o.Value("value")}}}, nil
			}
		}
		for _, o := range objects[VirtualServices] {
			if name == "Custom_"+p.number(o.ID) {
				return Node{Kids: []Node{{Name: "cipherset", Text: strings.TrimPrefix(o.Value("cipherset"), unitSet)}}}, nil
			}
		}
		return Node{}, errNotThere
	case "readintermediate":
		for _, o := range objects[Intermediates] {
			if o.ID == name {
				return Node{Kids: []Node{{Name: "certificate", Text: o.Value("certificate")}}}, nil
			}
		}
		return Node{}, errNotThere
	}
	return p.list(objects[c.class], c), nil
}

// list writes the objects of a class as the elements of an answer.
func (p *paperUnit) list(objects []Object, c Call) Node {
	s, n := c.class.spec(), Node{}
	for _, o := range objects {
		one := Node{Name: "item"}
		if slices.Contains(s.state, "index") {
			one.Kids = append(one.Kids, Node{Name: "Index", Text: p.number(o.ID)})
		}
		parts := []string{o.ID}
		switch c.class {
		case AccessLists, ServiceAccessLists, OWASPRules, ACMECertificates: // what they are listed by, and then their key
			by := strings.TrimSpace(c.object + " " + map[bool]string{true: c.Args[0].Value}[c.class != OWASPRules])
			rest, ok := strings.CutPrefix(o.ID, by+" ")
			if !ok {
				continue
			}
			parts = []string{rest}
		case SDNControllers:
			parts = strings.Split(o.ID, "/")
		case ContentRules:
			one.Name = o.Value("type")
		default: // is known by its key alone
		}
		for i, key := range s.key {
			key, _, _ = strings.Cut(key, "|")
			one.Kids = append(one.Kids, Node{Name: key, Text: parts[i]})
		}
		for _, f := range o.Fields {
			if c.class != Intermediates && f.Name != "acmetype" && (c.class != ContentRules || f.Name != "type") {
				one.Kids = append(one.Kids, paper(f))
			}
		}
		if len(s.key) == 0 {
			return map[bool]Node{true: {Kids: one.Kids}}[c.same(s.reads[0])]
		}
		n.Kids = append(n.Kids, one)
	}
	return n
}

// paper writes a field; a list has an element for each item.
func paper(f Field) Node {
	items := lines(f.Value)
	if len(items) < 2 {
		return Node{Name: f.Name, Text: f.Value}
	}
	n := Node{Name: f.Name}
	for _, item := range items {
		n.Kids = append(n.Kids, Node{Name: "Name", Text: item})
	}
	return n
}

func (p *paperUnit) showService(services []Object, c Call) (Node, error) {
	for _, o := range services {
		if slices.Equal(c.Args, serviceArgs(o.ID)) || c.Args[0].Value == p.number(o.ID) {
			return p.vs(o, ""), nil
		}
		for _, kid := range o.Kids {
			if kid.Class == SubServices && c.Args[0].Value == p.number(o.ID+" "+kid.ID) {
				return p.vs(kid, o.ID), nil
			}
		}
	}
	return Node{}, errNotThere
}

func (p *paperUnit) vs(o Object, above string) Node {
	n := Node{Name: "VS"}
	add := func(name, text string) { n.Kids = append(n.Kids, Node{Name: name, Text: text}) }
	own := o.ID
	if above == "" {
		key := serviceArgs(o.ID)
		add("VSAddress", key[0].Value)
		add("VSPort", key[1].Value)
		add("Protocol", key[2].Value)
	} else {
		own = above + " " + o.ID
		add("MasterVSID", p.number(above))
	}
	add("Index", p.number(own))
	for _, f := range o.Fields {
		switch {
		case f.Name == "followvsid":
			add("FollowVSID", p.number(f.Value))
		case strings.HasPrefix(f.Value, unitSet):
			add("CipherSet", "Custom_"+p.number(own))
		case !strings.HasPrefix(f.Name, "member."):
			n.Kids = append(n.Kids, paper(f))
		}
	}
	for _, kid := range o.Kids {
		entry := Node{Name: "Rs", Kids: []Node{{Name: "RsIndex", Text: p.number("!" + own + kid.ID)}}}
		switch kid.Class {
		case SubServices:
			name, _, _ := strings.Cut(kid.ID, " #")
			entry.Name = "SubVS"
			entry.Kids = append(entry.Kids, Node{Name: "VSIndex", Text: p.number(own + " " + kid.ID)}, Node{Name: "Name", Text: name})
		default:
			host, port := hostAndPort(kid.ID)
			key := map[bool]string{true: "Addr", false: "DnsName"}[address(host) == host && !strings.Contains(host, "x")]
			entry.Kids = append(entry.Kids, Node{Name: key, Text: host}, Node{Name: "Port", Text: port})
		}
		for _, f := range kid.Fields {
			switch name, member := strings.CutPrefix(f.Name, "member."); {
			case f.Name == "follow":
				entry.Kids = append(entry.Kids, Node{Name: "Follow", Text: p.number("!" + own + f.Value)})
			case member == (kid.Class == SubServices):
				entry.Kids = append(entry.Kids, paper(Field{name, f.Value}))
			}
		}
		n.Kids = append(n.Kids, entry)
	}
	return n
}

func (p *paperUnit) fqdn(o Object) Node {
	n := Node{Name: "fqdn", Kids: []Node{{Name: "FullyQualifiedDomainName", Text: o.ID + "."}}}
	for _, f := range o.Fields {
		n.Kids = append(n.Kids, paper(f))
	}
	for _, kid := range o.Kids {
		entry := Node{Name: "Map", Kids: []Node{{Name: "Index", Text: p.number(kid.ID)}, {Name: "IPAddress", Text: kid.ID}}}
		if kid.Class == GEORecords {
			kind, value, _ := strings.Cut(kid.ID, " ")
			entry = Node{Name: "rr", Kids: []Node{{Name: "Id", Text: p.number(kid.ID)}, {Name: "type", Text: kind}, {Name: "rdata", Text: value}}}
		}
		for _, f := range kid.Fields {
			if f.Name != "type" && f.Name != "rdata" {
				entry.Kids = append(entry.Kids, paper(f))
			}
		}
		n.Kids = append(n.Kids, entry)
	}
	return n
}

// drawn are objects in the words of objectsOf; a _ is a blank, and a | divides the
// items of a list.
func drawn(t testing.TB, text string) map[Class][]Object {
	t.Helper()
	all := objectsOf(t, text)
	var mend func(objects []Object)
	mend = func(objects []Object) {
		r := strings.NewReplacer("_", " ", "|", "\n")
		for i := range objects {
			objects[i].ID = r.Replace(objects[i].ID)
			for j := range objects[i].Fields {
				objects[i].Fields[j].Value = r.Replace(objects[i].Fields[j].Value)
			}
			mend(objects[i].Kids)
		}
		sortObjects(objects)
	}
	for _, objects := range all {
		mend(objects)
	}
	return all
}

// writesTo are the writes that make a unit with some objects one with others.
func writesTo(t testing.TB, before, after map[Class][]Object) []Write {
	t.Helper()
	base, units := Base{First: origin, Second: origin, Classes: before}, [2]*Snapshot{unitOf(t, 0, ""), unitOf(t, 0, "")}
	for u, objects := range []map[Class][]Object{after, before} {
		units[u].Interfaces = []Interface{{ID: fmt.Sprint(u), Address: interfacesOf[u][0].Address, Additional: interfacesOf[u][0].Additional}}
		for c, all := range objects {
			units[u].Put(c, all)
		}
	}
	r := Merge(base, units[0], units[1], Policy{Active: pair.First, Prefer: PreferFirst})
	for _, h := range r.Held {
		t.Errorf("held: %s %s: %s %s", h.Class, h.Path, h.Reason, h.Detail)
	}
	return r.ToSecond
}

func TestEveryWriteInTheWordsOfTheReference(t *testing.T) {
	covered := map[Class]map[Verb]bool{}
	for _, tt := range wireTests {
		t.Run(tt.rule, func(t *testing.T) {
			before, after := drawn(t, tt.before), drawn(t, tt.after)
			writes := writesTo(t, before, after)
			if len(writes) == 0 {
				t.Fatal("there is nothing to write")
			}
			var got strings.Builder
			for _, w := range writes {
				p := &paperUnit{t: t, w: w, before: before, after: after, calls: strings.Count(tt.calls, "\n") - 1, numbers: map[string]int{}}
				if err := NewWriter(p.call).Write(w); err != nil {
					t.Errorf("%s: %v", w.what(), err)
				}
				got.WriteString(strings.Join(p.made, "\n") + "\n")
				if covered[w.class] == nil {
					covered[w.class] = map[Verb]bool{}
				}
				covered[w.class][w.verb] = true
				again := &paperUnit{t: t, w: w, before: after, after: after, numbers: map[string]int{}}
				if err := NewWriter(again.call).Write(w); err != nil || len(again.made) > 0 {
					t.Errorf("%s, which is so already: %v, %q", w.what(), err, again.made)
				}
			}
			if got := got.String(); got != strings.TrimPrefix(tt.calls, "\n") {
				t.Errorf("calls\n%s, want\n%s", got, strings.TrimPrefix(tt.calls, "\n"))
			}
		})
	}
	for c := ClassUnknown + 1; c < classCount; c++ {
		s := c.spec()
		if c.Place() != Synchronised || t.Failed() {
			continue
		}
		verbs := map[Verb]bool{
			Add:    len(s.key)+len(s.within.String()) > len("unknown") && s.addByHand == "" && c != RuleBindings,
			Modify: s.changeByHand == "" && s.modify != "",
			Delete: s.remove != "" && s.removeByHand == "" && !s.partial,
		}
		for _, verb := range []Verb{Add, Modify, Delete} {
			if verbs[verb] && !covered[c][verb] {
				t.Errorf("no row has %s %s", verb, c)
			}
		}
	}
}

func TestWritesThatAPersonHasToMake(t *testing.T) {
	for c := ClassUnknown + 1; c < classCount; c++ {
		for _, verb := range []Verb{Add, Modify, Delete} {
			p := &paperUnit{t: t, numbers: map[string]int{}}
			w := Write{class: c, of: c, verb: verb, path: []string{"x"}}
			s := c.spec()
			why := map[Verb]string{Add: s.addByHand, Modify: s.changeByHand, Delete: s.removeByHand}[verb]
			if why == "" && c.Place() == Synchronised && setters[c].set != nil {
				continue
			}
			if c == RuleBindings { // which are written to a service
				continue
			}
			err := NewWriter(p.call).Write(w)
			if !errors.Is(err, pair.ErrInvalid) || !strings.Contains(err.Error(), c.String()) || len(p.made)+p.looks > 0 {
				t.Errorf("%s: %v; it made %q", w, err, p.made)
			}
		}
	}
}

func TestWhatAUnitDoesNotKeep(t *testing.T) {
	before, after := drawn(t, "hosts 1.1.1.1 hostfqdn=a"), drawn(t, "hosts 1.1.1.1 hostfqdn=b")
	tests := []struct {
		rule          string
		before, after map[Class][]Object // that are wanted
		kept          map[Class][]Object
		want          NotKept
	}{
		{"a value is named with what was wanted and what is there", before, after, before, NotKept{"modify hosts 1.1.1.1", "hostfqdn", "b", "a"}},
		{"so is an object that is not there", nil, after, nil, NotKept{"add hosts 1.1.1.1", "", "there", "not there"}},
		{"and one that still is", before, nil, before, NotKept{"delete hosts 1.1.1.1", "", "gone", "still there"}},
	}
	for _, tt := range tests {
		w := writesTo(t, tt.before, tt.after)[0]
		p := &paperUnit{t: t, w: w, before: tt.kept, after: tt.kept, calls: 9, numbers: map[string]int{}}
		if w.verb == Add {
			p.calls = 1
		}
		err := NewWriter(p.call).Write(w)
		got, ok := errors.AsType[*NotKept](err)
		if !ok || *got != tt.want || !errors.Is(err, pair.ErrConflict) || got.Error() == "" {
			t.Errorf("%s: got %v, want %+v", tt.rule, err, tt.want)
		}
	}
}

func TestWhichOfSeveralIsDeleted(t *testing.T) {
	const three = "virtual-services 10.0.0.20/443/tcp\n  sub-services --\n  sub-services --_#2\n  sub-services web nickname=web"
	before, after := drawn(t, three), drawn(t, "virtual-services 10.0.0.20/443/tcp\n  sub-services --")
	for id, refused := range map[string]bool{"-": true, "- #2": false, "web": false} {
		w := Write{class: SubServices, of: SubServices, verb: Delete, path: []string{"10.0.0.20/443/tcp", id}}
		p := &paperUnit{t: t, w: w, before: before, after: after, calls: 1, numbers: map[string]int{}}
		if err := NewWriter(p.call).Write(w); errors.Is(err, pair.ErrInvalid) != refused || refused != (len(p.made) == 0) {
			t.Errorf("%q: got %v after %q", id, err, p.made)
		}
	}
}

func TestAWriteThatFailsIsPassedOn(t *testing.T) {
	lost := fmt.Errorf("lost: %w", pair.ErrUnknownOutcome)
	w := writesTo(t, nil, drawn(t, "hosts 1.1.1.1 hostfqdn=a"))[0]
	p := &paperUnit{t: t, w: w, calls: 1, refuse: lost, numbers: map[string]int{}}
	if err := NewWriter(p.call).Write(w); !errors.Is(err, pair.ErrUnknownOutcome) || len(p.made) != 1 {
		t.Errorf("got %v after %q", err, p.made)
	}
}

func TestOneParameterKeepsNoneBack(t *testing.T) {
	before, after := drawn(t, "parameters - motd=a paranoia=1 timezone=x"), drawn(t, "parameters - motd=b paranoia=2 timezone=y")
	w := writesTo(t, before, after)[0]
	for kind, want := range map[error]int{pair.ErrInvalid: 3, pair.ErrNotFound: 3, pair.ErrUnreachable: 1, ErrStandbyRejects: 1} {
		p := &paperUnit{t: t, w: w, before: before, after: after, refuse: fmt.Errorf("no: %w", kind), numbers: map[string]int{}}
		if err := NewWriter(p.call).Write(w); !errors.Is(err, kind) || len(p.made) != want {
			t.Errorf("%v: got %v after %q", kind, err, p.made)
		}
	}
}

func TestOneLookServesTheNextWrite(t *testing.T) {
	before, after := drawn(t, "hosts 1.1.1.1 hostfqdn=a"), drawn(t, "hosts 1.1.1.1 hostfqdn=b")
	w := writesTo(t, before, after)[0]
	p := &paperUnit{t: t, w: w, before: before, after: after, calls: 2, numbers: map[string]int{}}
	writer := NewWriter(p.call)
	for range 2 {
		if err := writer.Write(w); err != nil {
			t.Fatal(err)
		}
	}
	if p.looks != 2 || len(p.made) != 2 {
		t.Errorf("looked %d times for %q", p.looks, p.made)
	}
	writer.Forget()
	if err := writer.Write(w); err != nil || p.looks != 3 {
		t.Errorf("after forgetting: %v, looked %d times", err, p.looks)
	}
}
