package loadmaster

import (
	"maps"
	"slices"
	"strings"
)

// item is a thing that is set on a unit, with all that lies in it.
type item struct {
	Class string `json:",omitempty"`
	// Key is what it is known by among its like, the same on both units but for the
	// unit's own address.
	Key    string              `json:",omitempty"`
	Values map[string]string   `json:",omitempty"` // by lower-case name; what nobody has set is not there
	Rules  map[string][]string `json:",omitempty"` // that are bound, in their order, by stage
	Kids   []*item             `json:",omitempty"`

	// The numbers that this unit gave it: of a service that of itself and, in
	// another one, that of its place there; of a real server that of its place.
	index, place int
}

// shelf is the items of a class, in the order in which they came.
type shelf struct {
	items []*item
	byKey map[string]*item
}

func (s *shelf) put(it *item) {
	if old := s.byKey[it.Key]; old != nil {
		s.items[slices.Index(s.items, old)] = it
	} else {
		s.items = append(s.items, it)
	}
	s.byKey[it.Key] = it
}

func (s *shelf) remove(key string) {
	if old := s.byKey[key]; old != nil {
		s.items = slices.DeleteFunc(s.items, func(it *item) bool { return it == old })
		delete(s.byKey, key)
	}
}

// shelf returns the items of a class. u.mu is held.
func (u *Unit) shelf(class string) *shelf {
	s := u.shelves[class]
	if s == nil {
		s = &shelf{byKey: map[string]*item{}}
		u.shelves[class] = s
	}
	return s
}

// find returns an item, or nil. u.mu is held.
func (u *Unit) find(class, key string) *item {
	if s := u.shelves[class]; s != nil {
		return s.byKey[key]
	}
	return nil
}

// put and drop change the items of a class, and tell the partner of it. u.mu is held.
func (u *Unit) put(it *item) {
	u.shelf(it.Class).put(it)
	u.touch(it.Class, it.Key)
}

func (u *Unit) drop(class, key string) {
	u.shelf(class).remove(key)
	u.touch(class, key)
}

// clone copies an item without its numbers, and with other addresses.
func (it *item) clone(address func(string) string) *item {
	c := &item{Class: it.Class, Key: atAddress(it.Key, address), Values: maps.Clone(it.Values)}
	for _, name := range []string{"vsaddress", "followvsid"} {
		if value, set := c.Values[name]; set {
			c.Values[name] = atAddress(value, address)
		}
	}
	for stage, rules := range it.Rules {
		if c.Rules == nil {
			c.Rules = map[string][]string{}
		}
		c.Rules[stage] = slices.Clone(rules)
	}
	for _, kid := range it.Kids {
		c.Kids = append(c.Kids, kid.clone(address))
	}
	return c
}

// atAddress gives the address at the beginning of a text, before a slash, to
// another one.
func atAddress(text string, address func(string) string) string {
	head, rest, more := strings.Cut(text, "/")
	if head = address(head); more {
		return head + "/" + rest
	}
	return head
}

// kid returns what lies in an item, or nil.
func (it *item) kid(class, key string) *item {
	i := slices.IndexFunc(it.Kids, func(k *item) bool { return k.Class == class && k.Key == key })
	if i < 0 {
		return nil
	}
	return it.Kids[i]
}

func (it *item) removeKid(kid *item) {
	it.Kids = slices.DeleteFunc(it.Kids, func(k *item) bool { return k == kid })
}

// of lists what lies in an item of a class.
func (it *item) of(class string) []*item {
	var all []*item
	for _, kid := range it.Kids {
		if kid.Class == class {
			all = append(all, kid)
		}
	}
	return all
}
