package settings

import (
	"encoding/json"
	"net/netip"
	"slices"
	"strings"
)

// Field is one setting of an object: its name in lower case, and its value in
// normal form. A list is one value, with a line for each item. A field without a
// value does not exist, so clearing one is giving it none.
type Field struct {
	Name  string `json:"n"`
	Value string `json:"v"`
}

// Object is one thing that is set on a unit, without what no person set. Fields
// are sorted by name, kids by class and identity.
type Object struct {
	Class  Class    `json:"class"`
	ID     string   `json:"id"` // among its siblings of the class, the same on both units
	Fields []Field  `json:"fields,omitempty"`
	Kids   []Object `json:"kids,omitempty"`
	// Masked are names of fields that have a value which the unit does not show.
	// They are no part of what is compared.
	Masked []string `json:"masked,omitempty"`
	// index is the object's number on the unit of which it was read, and member that
	// of its entry in the service above it. They are another one on each unit
	// (loadmaster.md 0.1 item 9), so they are no part of what is compared or kept.
	index, member string
}

// Value returns the value of a field, "" when there is none.
func (o *Object) Value(name string) string {
	i, found := slices.BinarySearchFunc(o.Fields, name, func(f Field, n string) int { return strings.Compare(f.Name, n) })
	if !found {
		return ""
	}
	return o.Fields[i].Value
}

func (o *Object) set(name, value string) {
	i, found := slices.BinarySearchFunc(o.Fields, name, func(f Field, n string) int { return strings.Compare(f.Name, n) })
	switch {
	case found && value == "":
		o.Fields = slices.Delete(o.Fields, i, i+1)
	case found:
		o.Fields[i].Value = value
	case value != "":
		o.Fields = slices.Insert(o.Fields, i, Field{name, value})
	}
}

// bare reports whether the object is one without an identity of which nothing was
// said: an answer that told nothing.
func (o *Object) bare() bool { return o.ID == "" && len(o.Fields) == 0 && len(o.Masked) == 0 }

// same reports whether two objects are set alike.
func same(a, b *Object) bool {
	return a.Class == b.Class && a.ID == b.ID && slices.Equal(a.Fields, b.Fields) &&
		slices.EqualFunc(a.Kids, b.Kids, func(x, y Object) bool { return same(&x, &y) })
}

func sortObjects(objects []Object) { slices.SortFunc(objects, compareObjects) }

func compareObjects(a, b Object) int {
	if a.Class != b.Class {
		return int(a.Class) - int(b.Class)
	}
	return strings.Compare(a.ID, b.ID)
}

// Origin is which unit settings are of. Where one of these changed, the unit is
// blank, restored or rebuilt, or has another firmware.
type Origin struct {
	Serial   string `json:"serial,omitempty"`
	Licence  string `json:"licence,omitempty"`
	Firmware string `json:"firmware,omitempty"`
}

// or returns the origin with what is not known taken from another one.
func (o Origin) or(other Origin) Origin {
	if o.Serial == "" {
		o.Serial = other.Serial
	}
	if o.Licence == "" {
		o.Licence = other.Licence
	}
	if o.Firmware == "" {
		o.Firmware = other.Firmware
	}
	return o
}

// Interface is a network interface of a unit with its addresses.
type Interface struct {
	ID         string       `json:"id"`
	Address    netip.Addr   `json:"address"`
	Additional []netip.Addr `json:"additional,omitempty"`
}

// Snapshot is what was read of one unit's settings. A class that was not read, in
// whole, is not in it; that is another thing than a class without objects, and
// nothing follows from it.
type Snapshot struct {
	Origin     Origin
	Interfaces []Interface // none when they were not read
	// Unknown are parameters that the inventory does not have.
	Unknown []string
	classes map[Class][]Object
}

// Put gives a class its objects, none for a class that was read and is empty.
func (s *Snapshot) Put(c Class, objects []Object) {
	if s.classes == nil {
		s.classes = map[Class][]Object{}
	}
	sortObjects(objects)
	s.classes[c] = objects
}

// Objects returns the objects of a class, and whether it was read.
func (s *Snapshot) Objects(c Class) (objects []Object, read bool) {
	objects, read = s.classes[c]
	return objects, read
}

// Forget takes a class for not read, as a command does that is told to look at
// some classes only.
func (s *Snapshot) Forget(c Class) { delete(s.classes, c) }

// stored is a snapshot as it is kept while its settings are written.
type stored struct {
	Origin     Origin             `json:"origin"`
	Interfaces []Interface        `json:"interfaces,omitempty"`
	Unknown    []string           `json:"unknown,omitempty"`
	Classes    map[Class][]Object `json:"classes"`
}

func (s Snapshot) MarshalJSON() ([]byte, error) {
	return json.Marshal(stored{s.Origin, s.Interfaces, s.Unknown, s.classes})
}

func (s *Snapshot) UnmarshalJSON(b []byte) error {
	var kept stored
	if err := json.Unmarshal(b, &kept); err != nil {
		return err
	}
	*s = Snapshot{kept.Origin, kept.Interfaces, kept.Unknown, kept.Classes}
	return nil
}
