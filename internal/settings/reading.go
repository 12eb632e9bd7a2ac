package settings

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"tandem/internal/pair"
)

const (
	// maxObjects bounds the objects of one reading, and maxFields those of one
	// object; maxText bounds a value, in bytes. A unit has no more than a few
	// thousand services, and its longest text has 5,000 characters.
	maxObjects = 200_000
	maxFields  = 2_000
	maxText    = 1 << 20
	maxDepth   = 8
)

// Reading puts together what a unit answers. It says which calls are to be made
// (Next), takes the answers (Take) or the want of one (Miss), and ends as a
// Snapshot. It is for one unit and one goroutine.
type Reading struct {
	wanted  []Class
	calls   []Call // all that were handed out
	done    []bool // by calls
	second  bool   // the calls for each object were handed out
	missed  map[Class]bool
	got     map[Class][]Object
	origin  Origin
	faces   []Interface
	unknown []string
	names   map[string]string
	objects int
	indexes map[string]string // of services and real servers on this unit, to identities
	custom  map[string]string // cipher sets that the unit made, by name
}

// Everyday are the classes that are read with few calls, however many services
// there are. The others take calls for each service.
func Everyday() []Class {
	var all []Class
	for c := ClassUnknown + 1; c < classCount; c++ {
		s := c.spec()
		perService := c == OWASPRules || c == ServiceAccessLists
		if s.place == Synchronised && s.within == ClassUnknown && len(s.reads) > 0 && !perService {
			all = append(all, c)
		}
	}
	return all
}

// NewReading begins to read classes. Those within others come with these, and what
// is needed to compare units comes with any: origin and interfaces. A class that
// is made of others' names, such as cipher sets, brings these.
func NewReading(classes ...Class) *Reading {
	r := newReading()
	for _, c := range append([]Class{UnitState, Interfaces}, classes...) {
		if outer := c.spec().within; outer != ClassUnknown {
			c = outer
		}
		for _, read := range c.spec().reads {
			if read.each != ClassUnknown && read.each != c {
				r.want(read.each)
			}
		}
		r.want(c)
		if c == VirtualServices { // which hold the cipher sets that the unit made for them
			r.want(CipherSets)
		}
	}
	return r
}

func newReading() *Reading {
	return &Reading{
		missed: map[Class]bool{}, got: map[Class][]Object{}, names: map[string]string{},
		indexes: map[string]string{}, custom: map[string]string{},
	}
}

func (r *Reading) want(c Class) {
	if !slices.Contains(r.wanted, c) {
		r.wanted = append(r.wanted, c)
	}
}

// Next returns the calls to make now: first one or a few for each class, then those
// for each object that was found, and none when all is read.
func (r *Reading) Next() []Call {
	if len(r.calls) > 0 && (r.second || slices.Contains(r.done, false)) {
		return nil
	}
	before := len(r.calls)
	if before == 0 {
		for _, c := range r.wanted {
			for _, call := range c.spec().reads {
				if call.each == ClassUnknown {
					call.class = c
					r.plan(call)
				}
			}
		}
	} else {
		r.second = true
		for _, c := range r.wanted {
			r.planEach(c)
		}
	}
	return r.calls[before:]
}

// plan adds a call, once for all classes that its answer has.
func (r *Reading) plan(call Call) {
	if !slices.ContainsFunc(r.calls, call.same) {
		r.calls, r.done = append(r.calls, call), append(r.done, false)
	}
}

// planEach adds the calls of a class that are made for each object of another.
func (r *Reading) planEach(c Class) {
	for _, read := range c.spec().reads {
		if read.each == ClassUnknown {
			continue
		}
		if r.missed[read.each] {
			r.missed[c] = true
			continue
		}
		if _, ok := r.got[c]; !ok {
			r.got[c] = nil // a class of which there is nothing to ask is empty
		}
		for _, name := range r.eachOf(c, read.each) {
			call := read.of(c, name)
			r.calls, r.done = append(r.calls, call), append(r.done, false)
		}
	}
}

// eachOf returns what the calls of a class are made for.
func (r *Reading) eachOf(c, each Class) []string {
	var names []string
	for i := range r.got[each] {
		o := &r.got[each][i]
		if c != CipherSets {
			names = append(names, o.ID)
			continue
		}
		for _, service := range append([]Object{*o}, o.Kids...) {
			if set := service.Value("cipherset"); set != "" && !systemSets[set] {
				names = append(names, set)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// systemSets are the cipher sets that every unit has; nobody can change them
// (loadmaster.md 3.2).
var systemSets = wordSet("Default Default_NoRc4 BestPractices Intermediate_compatibility Backward_compatibility WUI FIPS FIPS2 Legacy Null_Ciphers " +
	"ECDSA_Default ECDSA_BestPractices")

// Miss says that a call has no answer. The classes that need it are not read then.
func (r *Reading) Miss(call Call) {
	r.finish(call)
	r.missed[call.class] = true
	for _, c := range r.wanted {
		for _, read := range c.spec().reads {
			if read.each == ClassUnknown && read.same(Call{Command: call.Command, Args: call.Args}) {
				r.missed[c] = true
			}
		}
	}
}

func (r *Reading) finish(call Call) {
	if i := slices.IndexFunc(r.calls, call.same); i >= 0 {
		r.done[i] = true
	}
}

// Take takes the answer to a call: the fields below the envelope. An answer that
// is not understood is pair.ErrUnreadable, and its class not read: what is not
// recognised must not look as if there were nothing.
func (r *Reading) Take(call Call, answer Node) error {
	r.finish(call)
	if err := r.take(call, &answer); err != nil {
		r.Miss(call)
		return fmt.Errorf("read %s of a unit from %s: %w: %w", call.class, call.Command, err, pair.ErrUnreadable)
	}
	return nil
}

func (r *Reading) take(call Call, n *Node) error {
	if err := bounded(n, 0); err != nil {
		return err
	}
	switch call.Command {
	case "getall":
		r.takeParameters(n)
		return nil
	case "licenseinfo":
		r.origin.Licence = strings.Join(strings.Fields(n.text("uuid")+" "+n.text("licensetype")+" "+n.text("sku")), " ")
		return nil
	case "showiface":
		return r.takeInterfaces(n)
	case "listvs":
		return r.takeServices(n)
	case "listfqdns":
		return r.takeNames(n)
	case "getcipherset":
		return r.takeCipherSet(call, n)
	case "readintermediate":
		return r.takeText(call, n)
	}
	if len(call.class.spec().key) == 0 {
		return r.takeSingle(call, n)
	}
	return r.takeList(call, n)
}

func bounded(n *Node, depth int) error {
	switch {
	case depth > maxDepth:
		return fmt.Errorf("the answer is more than %d levels deep", maxDepth)
	case len(n.Kids) == 0 && len(n.Text) > maxText:
		return fmt.Errorf("a value has more than %d bytes", maxText)
	case len(n.Kids) > maxObjects:
		return fmt.Errorf("more than %d things side by side", maxObjects)
	}
	for i := range n.Kids {
		if err := bounded(&n.Kids[i], depth+1); err != nil {
			return err
		}
	}
	return nil
}

// takeParameters divides the parameters by their places.
func (r *Reading) takeParameters(n *Node) {
	r.origin.Serial, r.origin.Firmware = n.text("serialnumber"), n.text("version")
	o, known, at := Object{Class: Parameters}, Node{}, map[string]int{}
	for i := range n.Kids {
		kid := Node{Name: r.name(n.Kids[i].Name), Text: n.Kids[i].Text} // of HTML in it, the text is the source
		switch ParameterPlace(kid.Name) {
		case Synchronised, Masked:
			if j, ok := at[kid.Name]; ok { // a list in v2, a text with commas in v1
				known.Kids[j].Text += "," + kid.Text
				continue
			}
			at[kid.Name] = len(known.Kids)
			known.Kids = append(known.Kids, kid)
		case PlaceUnknown:
			r.unknown = append(r.unknown, kid.Name)
		default: // stays on its unit
		}
	}
	r.fill(&o, &known, nil)
	if slices.Contains(r.wanted, Parameters) {
		r.got[Parameters] = []Object{o}
	}
}

func (r *Reading) takeInterfaces(n *Node) error {
	for i := range n.Kids {
		face := &n.Kids[i]
		id := face.text("id")
		prefix, err := netip.ParsePrefix(face.text("ipaddress"))
		if id == "" || err != nil {
			continue // without an address it may repeat the previous one's text
		}
		f := Interface{ID: id, Address: prefix.Addr().Unmap()}
		for _, kid := range face.Kids {
			if strings.EqualFold(kid.Name, "additionaladdresses") {
				f.Additional = append(f.Additional, prefixes(&kid)...)
			}
		}
		if !slices.ContainsFunc(r.faces, func(other Interface) bool { return other.Address == f.Address }) {
			r.faces = append(r.faces, f)
		}
	}
	if len(r.faces) == 0 {
		return fmt.Errorf("expected an interface with an address, found none")
	}
	return nil
}

// prefixes returns the addresses of a node, and of those in it: v1 nests them.
func prefixes(n *Node) []netip.Addr {
	var all []netip.Addr
	for line := range strings.Lines(textOf(n)) {
		if p, err := netip.ParsePrefix(unpadded(line)); err == nil {
			all = append(all, p.Addr().Unmap())
		}
	}
	return all
}

// takeSingle takes a class that is one object, whose answers add up.
func (r *Reading) takeSingle(call Call, n *Node) error {
	o := Object{Class: call.class}
	if have := r.got[call.class]; len(have) > 0 {
		o = have[0]
	}
	flat := Node{Text: n.Text}
	for _, kid := range n.Kids { // the SOA of GEO is nested (loadmaster.md 4.1)
		if strings.EqualFold(kid.Name, "soa") {
			flat.Kids = append(flat.Kids, kid.Kids...)
		} else {
			flat.Kids = append(flat.Kids, kid)
		}
	}
	if len(flat.Kids) == 0 && unpadded(flat.Text) != "" { // v1 gives some as a bare text
		flat.Kids = []Node{{Name: call.Command, Text: flat.Text}}
	}
	r.fill(&o, &flat, nil)
	r.got[call.class] = []Object{o}
	return nil
}

// takeList takes a class that is a list of objects. Whatever has the key of the
// class is one of them: the elements around them differ between commands, and most
// are not documented.
func (r *Reading) takeList(call Call, n *Node) error {
	key := strings.Split(strings.Join(call.class.spec().key, "|"), "|")
	found, err := r.collect(call, n, key, r.got[call.class])
	if err != nil {
		return err
	}
	if len(found) == len(r.got[call.class]) && !n.empty(call.class.spec().listed) {
		return fmt.Errorf("expected objects with a %s, or nothing", call.class.spec().key[0])
	}
	r.got[call.class] = found
	return nil
}

// collect adds the objects in a node to those found; key are the names of all
// fields that are no fields of an object, but its identity.
func (r *Reading) collect(call Call, n *Node, key []string, found []Object) ([]Object, error) {
	for i := range n.Kids {
		kid := &n.Kids[i]
		id, ok := identityOf(kid, call.class.spec().key)
		if !ok {
			var err error
			if found, err = r.collect(call, kid, key, found); err != nil {
				return nil, err
			}
			continue
		}
		if r.objects++; r.objects > maxObjects {
			return nil, fmt.Errorf("more than %d objects", maxObjects)
		}
		o := Object{Class: call.class, ID: id}
		r.fill(&o, kid, key)
		refine(&o, call, r.name(kid.Name))
		found = append(found, o)
	}
	return found, nil
}

// identityOf returns the identity of an object by its key fields, all of which it
// must have.
func identityOf(n *Node, key []string) (string, bool) {
	var parts []string
	for _, k := range key {
		text := n.text(k)
		if text == "" {
			return "", false
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, "/"), len(parts) > 0
}

// refine makes the identity and the fields of an object what they are across
// units, where the key alone is not enough.
func refine(o *Object, call Call, element string) {
	switch o.Class {
	case AccessLists:
		o.ID = call.Args[0].Value + " " + network(o.ID)
	case ServiceAccessLists:
		o.ID = call.object + " " + call.Args[0].Value + " " + network(o.ID)
	case OWASPRules:
		o.ID = call.object + " " + o.ID
	case GEORanges, GEOAccessList:
		o.ID = network(o.ID)
	case ContentRules: // the element says of which type it is
		o.set("type", element)
	case ACMECertificates:
		o.ID = call.Args[0].Value + " " + o.ID
		o.set("acmetype", call.Args[0].Value)
	default: // the key is the identity
	}
}

// takeCipherSet takes the value of a set, whose name was asked for. One that the
// unit made for a service becomes a field of that service.
func (r *Reading) takeCipherSet(call Call, n *Node) error {
	value := n.text("value|ciphers|cipherset")
	if value == "" && len(n.Kids) == 1 {
		value = unpadded(n.Kids[0].Text)
	}
	if value == "" {
		return fmt.Errorf("expected the ciphers of %q, found none", call.object)
	}
	if strings.HasPrefix(call.object, customSet) {
		r.custom[call.object] = value
		return nil
	}
	r.got[CipherSets] = append(r.got[CipherSets], Object{Class: CipherSets, ID: call.object, Fields: []Field{{"value", value}}})
	return nil
}

// takeText gives an object the text that a call of its own reads.
func (r *Reading) takeText(call Call, n *Node) error {
	text := n.text("certificate|data")
	if text == "" && len(n.Kids) == 0 {
		text = unpadded(n.Text)
	}
	if text == "" {
		return fmt.Errorf("expected the text of %q, found none", call.object)
	}
	for i := range r.got[call.class] {
		if o := &r.got[call.class][i]; o.ID == call.object {
			o.set("certificate", text)
		}
	}
	return nil
}

// fill gives an object the fields of a node, in normal form, but those of its key.
func (r *Reading) fill(o *Object, n *Node, key []string) {
	if o.Fields == nil {
		o.Fields = make([]Field, 0, len(n.Kids))
	}
	for i := range n.Kids[:min(len(n.Kids), maxFields)] {
		name := r.name(n.Kids[i].Name)
		if slices.Contains(key, name) {
			continue
		}
		r.addField(o, name, textOf(&n.Kids[i]))
	}
	o.Fields = joined(o.Fields)
	slices.Sort(o.Masked)
	o.Masked = slices.Compact(o.Masked)
}

// addField adds a field at the end; fill puts them in order.
func (r *Reading) addField(o *Object, name, value string) {
	switch o.Class.fieldPlace(name) {
	case Synchronised:
		if masked(unpadded(value)) {
			break
		}
		if value = normal(o.Class, name, value); value != "" {
			o.Fields = append(o.Fields, Field{name, value})
		}
		return
	case Masked:
	case State:
		if name == "index" || name == "id" {
			o.index = unpadded(value)
		}
		return
	default:
		return
	}
	if unpadded(value) != "" {
		o.Masked = append(o.Masked, name)
	}
}

// joined sorts fields, and makes fields of one name a list in the order in which
// they came.
func joined(fields []Field) []Field {
	slices.SortStableFunc(fields, func(a, b Field) int { return strings.Compare(a.Name, b.Name) })
	out := fields[:0]
	for _, f := range fields {
		if last := len(out) - 1; last >= 0 && out[last].Name == f.Name {
			out[last].Value += "\n" + f.Value
			continue
		}
		out = append(out, f)
	}
	return out
}

// textOf returns a node as one value: a list has a line for each item.
func textOf(n *Node) string {
	if len(n.Kids) == 0 {
		return n.Text
	}
	var items []string
	for i := range n.Kids {
		if text := textOf(&n.Kids[i]); strings.TrimSpace(text) != "" {
			items = append(items, strings.TrimSpace(text))
		}
	}
	return strings.Join(items, "\n")
}

// name returns a name in lower case, the same string for the same name: there are
// some hundred names, and half a million fields on two large units.
func (r *Reading) name(s string) string {
	if lower, ok := r.names[s]; ok {
		return lower
	}
	lower := strings.ToLower(strings.Clone(s))
	r.names[strings.Clone(s)] = lower
	return lower
}

// Snapshot ends a reading. What was not asked for, or not answered in whole, is
// not in it.
func (r *Reading) Snapshot() Snapshot {
	s := Snapshot{Origin: r.origin, Interfaces: r.faces}
	slices.Sort(r.unknown)
	s.Unknown = slices.Compact(r.unknown)
	waiting := map[Class]bool{}
	for i, call := range r.calls {
		if !r.done[i] {
			waiting[call.class] = true
		}
	}
	for _, c := range r.wanted {
		objects, ok := r.got[c]
		if !ok || r.missed[c] || waiting[c] || c.spec().place != Synchronised {
			continue
		}
		if c == VirtualServices && !r.resolve(objects) || len(objects) == 1 && objects[0].bare() {
			continue
		}
		s.Put(c, unique(objects))
	}
	return s
}

// unique tells objects of one identity apart by their order, which is all that is
// left. It takes unsorted objects.
func unique(objects []Object) []Object {
	seen := make(map[string]int, len(objects))
	for i := range objects {
		o := &objects[i]
		key := string(rune(o.Class)) + o.ID
		if seen[key]++; seen[key] > 1 {
			o.ID += " #" + strconv.Itoa(seen[key])
		}
	}
	sortObjects(objects)
	return objects
}
