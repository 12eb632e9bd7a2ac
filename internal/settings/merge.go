package settings

import (
	"maps"
	"slices"

	"tandem/internal/pair"
)

// Prefer says whose value is taken where both units changed the same thing.
type Prefer uint8

// The preferences. The zero value takes nobody's: a person chooses.
const (
	PreferNobody Prefer = iota
	PreferActive
	PreferFirst
	PreferSecond
)

// Policy is what a merge may do by itself.
type Policy struct {
	// Active is the unit that is active, RoleUnknown when that is not known; then
	// what was deleted anywhere waits.
	Active pair.Role `json:"active"`
	Prefer Prefer    `json:"prefer"`
	// Chosen are a person's choices, by id of a difference: the unit whose state
	// is right. They answer conflicts, and what is held for a person.
	Chosen map[string]pair.Role `json:"chosen,omitempty"`
}

// A deletion of more than manyPercent of a class waits for a person. One alone
// never counts as many, or nothing could be deleted from a small class.
const manyPercent = 5

// Base is what both units last had in common: where they agreed, with stand-ins for
// their own addresses. Its zero value is the first sight of a pair, which needs no
// rules of its own: nothing was there, so nothing can be deleted, what one unit has
// is an addition, and what both have differently is a conflict.
type Base struct {
	First   Origin             `json:"first"`
	Second  Origin             `json:"second"`
	Classes map[Class][]Object `json:"classes"`
	// Asked are the differences for which a person was asked, and why. They wait
	// until a person has chosen or they are gone: that the unit is active by now,
	// or the class has grown, answers no question.
	Asked map[string]Reason `json:"asked,omitempty"`
}

// Result is what a merge found.
type Result struct {
	// ToFirst and ToSecond are what to write to each unit, in order.
	ToFirst, ToSecond []Write
	// Carried are the differences of which the writes are made, but for those that
	// conflict.
	Carried   []Carried
	Conflicts []Conflict
	Held      []Held
	// Unread are classes that were not read on both units, and of which nothing is
	// known therefore. They stay in Base as they were.
	Unread []Class
	// Base is what both have in common when all is written. What conflicts without
	// a winner, and what is held, stays as it was before, and shows again.
	Base Base
}

// merge is one merge under way. Units are counted 0 for first and 1 for second, and
// 1-u is the other one.
type merge struct {
	policy    Policy
	look      bool              // nothing is carried over
	asked     map[string]Reason // before
	addresses addresses
	rebuilt   [2]Reason           // why a unit is not the one that it was
	sameWare  bool                // both have the same firmware
	gone      [2]map[Class]int    // how many objects a unit lacks that were common
	common    map[Class]int       // how many there were
	has       [2]map[Class]wanted // what a unit has, or gets
	writes    [2][]Write
	result    Result
}

type wanted map[string]bool

var roles = [2]pair.Role{pair.First, pair.Second}

// Merge compares both units with what they had in common, and says what to write to
// which. What one unit changed travels to the other; what both changed alike is
// nothing; what they changed differently is a conflict. Additions, changes and
// deletions are the same in this, but for deletions that may be an accident, and for
// what a rebuilt unit says, which wait for a person.
//
// The result shares objects with the arguments, which must not be changed after.
// Merge is symmetric: exchanging the units in all arguments exchanges them in the
// result.
func Merge(base Base, first, second *Snapshot, policy Policy) Result {
	return merged(base, first, second, policy, false)
}

// Common returns what both units have in common now, before anything of a result of
// Merge for the same units is written. What is not alike stays as it was, so that
// another Merge finds the same differences, with the same ids; what both units came to
// alike is known to be common. Without that, a change that one of them takes back
// later would look like one of the other.
func Common(base Base, first, second *Snapshot, result Result) Base {
	now := merged(base, first, second, Policy{}, true).Base
	now.First, now.Second, now.Asked = result.Base.First, result.Base.Second, result.Base.Asked
	return now
}

func merged(base Base, first, second *Snapshot, policy Policy, look bool) Result {
	m := &merge{
		policy: policy, look: look, asked: base.Asked, addresses: addressesOf(first.Interfaces, second.Interfaces), common: map[Class]int{},
		rebuilt:  [2]Reason{rebuilt(base.First, first.Origin), rebuilt(base.Second, second.Origin)},
		sameWare: first.Origin.Firmware == second.Origin.Firmware,
	}
	for u := range m.gone {
		m.gone[u], m.has[u] = map[Class]int{}, map[Class]wanted{}
	}
	m.result.Base.Classes = maps.Clone(base.Classes)
	if m.result.Base.Classes == nil {
		m.result.Base.Classes = map[Class][]Object{}
	}
	units := [2]*Snapshot{first, second}
	var sides [classCount][2][]Object
	var read []Class
	for c := ClassUnknown + 1; c < classCount; c++ {
		if c.Place() != Synchronised || len(c.spec().reads) == 0 || c.spec().within != ClassUnknown {
			continue
		}
		both := !needsAddresses(c) || m.addresses.known()
		for u, unit := range units {
			objects, ok := unit.Objects(c)
			both = both && ok
			sides[c][u] = m.addresses.neutral(objects, u)
		}
		if !both {
			m.result.Unread = append(m.result.Unread, c)
			continue
		}
		read = append(read, c)
		m.has[0][c], m.has[1][c] = wanted{}, wanted{}
		m.count(base.Classes[c], sides[c])
	}
	for _, c := range read {
		m.result.Base.Classes[c] = m.objects(nil, base.Classes[c], sides[c])
	}
	m.result.Base.First, m.result.Base.Second = first.Origin.or(base.First), second.Origin.or(base.Second)
	if slices.ContainsFunc(m.result.Unread, func(c Class) bool { return len(base.Classes[c]) > 0 }) {
		m.result.Base.First, m.result.Base.Second = base.First, base.Second // until all was compared with what they were
		for id, reason := range base.Asked {
			m.ask(id, reason)
		}
	}
	for u := range m.writes {
		Order(m.writes[u])
	}
	m.result.ToFirst, m.result.ToSecond = m.writes[0], m.writes[1]
	return m.result
}

// rebuilt returns why a unit is not the one of which the common state tells. What
// is not known tells nothing.
func rebuilt(before, now Origin) Reason {
	changed := func(before, now string) bool { return before != "" && now != "" && before != now }
	switch {
	case changed(before.Serial, now.Serial):
		return SerialChanged
	case changed(before.Licence, now.Licence):
		return LicenceChanged
	case changed(before.Firmware, now.Firmware):
		return FirmwareChanged
	default:
		return NoReason
	}
}

// count counts what was in common, what of it each unit lacks, and what each has,
// before anything is decided.
func (m *merge) count(base []Object, sides [2][]Object) {
	each(base, sides, func(base *Object, sides [2]*Object) {
		var kids []Object
		var below [2][]Object
		if base != nil {
			m.common[base.Class]++
			kids = base.Kids
		}
		for u, o := range sides {
			switch {
			case o != nil:
				m.give(u, o)
				below[u] = o.Kids
			case base != nil:
				m.gone[u][base.Class]++
			}
		}
		if sides[0] != nil && sides[1] != nil {
			m.count(kids, below)
		} else if base != nil {
			m.countKids(kids)
		}
	})
}

func (m *merge) countKids(kids []Object) {
	for i := range kids {
		m.common[kids[i].Class]++
		m.countKids(kids[i].Kids)
	}
}

// give remembers that a unit has an object, or gets it.
func (m *merge) give(u int, o *Object) {
	if m.has[u][o.Class] == nil {
		m.has[u][o.Class] = wanted{}
	}
	m.has[u][o.Class][o.ID] = true
}

// each walks three sorted lists side by side and calls with what has one identity,
// nil where it is not in a list.
func each(base []Object, sides [2][]Object, call func(base *Object, sides [2]*Object)) {
	lists := [3][]Object{base, sides[0], sides[1]}
	for {
		var least *Object
		for i := range lists {
			if len(lists[i]) > 0 && (least == nil || compareObjects(lists[i][0], *least) < 0) {
				least = &lists[i][0]
			}
		}
		if least == nil {
			return
		}
		var found [3]*Object
		for i := range lists {
			if len(lists[i]) > 0 && compareObjects(lists[i][0], *least) == 0 {
				found[i] = &lists[i][0]
			}
		}
		for i := range found {
			if found[i] != nil {
				lists[i] = lists[i][1:]
			}
		}
		call(found[0], [2]*Object{found[1], found[2]})
	}
}

// objects merges the objects in one place, and returns what is common to both.
func (m *merge) objects(path []string, base []Object, sides [2][]Object) []Object {
	common := make([]Object, 0, max(len(sides[0]), len(sides[1])))
	each(base, sides, func(base *Object, sides [2]*Object) {
		if o, ok := m.object(path, base, sides); ok {
			common = append(common, o)
		}
	})
	return common
}

// object merges one object. It returns what is common to both, if anything.
func (m *merge) object(path []string, base *Object, sides [2]*Object) (Object, bool) {
	switch {
	case sides[0] != nil && sides[1] != nil:
		m.secrets(path, sides)
		if same(sides[0], sides[1]) {
			return *sides[0], true
		}
		return m.both(path, base, sides), true
	case sides[0] == nil && sides[1] == nil:
		return Object{}, false
	case base == nil:
		return m.added(path, sides)
	case base.Class.spec().partial:
		return *base, true
	default:
		return m.deleted(path, base, sides)
	}
}

// added carries over what one unit has and the other one never had.
func (m *merge) added(path []string, sides [2]*Object) (Object, bool) {
	from := 0
	if sides[0] == nil {
		from = 1
	}
	if m.look {
		return Object{}, false
	}
	o := sides[from]
	d := m.difference(append(path, objectID(o)...), o.Class, "", Sight{}, [2]Sight{sightOf(sides[0]), sightOf(sides[1])})
	chosen, reason := m.policy.Chosen[d.ID], m.rebuilt[from]
	if before, ok := m.asked[d.ID]; ok {
		reason = before
	}
	switch {
	case chosen == roles[1-from] && o.Class.spec().removeByHand != "":
		m.hold(d, from, ByHand, o.Class.spec().removeByHand)
		return Object{}, false
	case chosen == roles[1-from]:
		m.remove(from, path, o)
		m.carry(d, 1-from)
		return Object{}, false
	case chosen == pair.RoleUnknown && reason != NoReason: // perhaps out of an old backup
		m.ask(d.ID, reason)
		m.hold(d, from, reason, "")
		return Object{}, false
	default:
		added, ok := m.add(1-from, path, o)
		if ok {
			m.carry(d, from)
		}
		return added, ok
	}
}

// deleted deals with what one unit deleted, and the other one left or changed.
func (m *merge) deleted(path []string, base *Object, sides [2]*Object) (Object, bool) {
	by := 0 // the unit that deleted it
	if sides[1] == nil {
		by = 1
	}
	if m.look {
		return *base, true
	}
	rest := sides[1-by]
	d := m.difference(append(path, objectID(base)...), base.Class, "", sightOf(base), [2]Sight{sightOf(sides[0]), sightOf(sides[1])})
	chosen := m.policy.Chosen[d.ID]
	reason := m.accidental(d.ID, by, base.Class)
	winner, conflict := chosen, !same(base, rest)
	if conflict {
		if winner == pair.RoleUnknown {
			winner = m.winner(d.ID)
		}
		if winner == roles[by] && chosen == pair.RoleUnknown && reason != NoReason {
			winner = pair.RoleUnknown
			m.ask(d.ID, reason)
		}
		m.result.Conflicts = append(m.result.Conflicts, Conflict{Difference: d, Winner: winner})
	} else if winner == pair.RoleUnknown {
		if reason != NoReason {
			m.ask(d.ID, reason)
			m.hold(d, by, reason, "")
			return *base, true
		}
		winner = roles[by]
	}
	if why := base.Class.spec().removeByHand; winner == roles[by] && why != "" {
		m.hold(d, by, ByHand, why)
		return *base, true
	}
	switch winner {
	case roles[by]:
		m.remove(1-by, path, rest)
		if !conflict {
			m.carry(d, by)
		}
		return Object{}, false
	case roles[1-by]:
		if o, ok := m.add(by, path, rest); ok {
			if !conflict {
				m.carry(d, 1-by)
			}
			return o, true
		}
		return *base, true
	default:
		return *base, true
	}
}

// accidental returns why a unit's deletion in a class is not believed, if so.
func (m *merge) accidental(id string, by int, c Class) Reason {
	if reason := m.asked[id]; reason != NoReason {
		return reason
	}
	many := m.gone[by][c] > 1 && m.gone[by][c]*100 > manyPercent*m.common[c]
	switch {
	case m.rebuilt[by] != NoReason:
		return m.rebuilt[by]
	case many:
		return ManyDeleted
	case m.policy.Active != roles[by]:
		return DeletedOnStandby
	default:
		return NoReason
	}
}

// ask remembers that a person is asked for a difference.
func (m *merge) ask(id string, reason Reason) {
	if m.result.Base.Asked == nil {
		m.result.Base.Asked = map[string]Reason{}
	}
	m.result.Base.Asked[id] = reason
}

// winner returns whose state is taken where both units changed something, by the
// policy. A rebuilt unit does not win because it is active: it may be blank.
func (m *merge) winner(id string) pair.Role {
	switch m.policy.Prefer {
	case PreferFirst:
		return pair.First
	case PreferSecond:
		return pair.Second
	case PreferActive:
		if m.policy.Active == pair.RoleUnknown {
			return pair.RoleUnknown
		}
		reason := m.rebuilt[m.policy.Active.Index()]
		if before, ok := m.asked[id]; ok {
			reason = before
		}
		if reason == NoReason {
			return m.policy.Active
		}
		m.ask(id, reason)
	case PreferNobody:
	}
	return pair.RoleUnknown
}

// both merges an object that both units have.
func (m *merge) both(path []string, base *Object, sides [2]*Object) Object {
	if base == nil {
		base = &Object{}
	}
	a, b := sides[0], sides[1]
	common := Object{Class: a.Class, ID: a.ID, Masked: a.Masked, Fields: make([]Field, 0, len(a.Fields))}
	path = append(slices.Clip(path), objectID(a)...)
	var to [2][]Field
	fields := [3][]Field{base.Fields, a.Fields, b.Fields}
	for {
		name, values, more := nextField(&fields)
		if !more {
			break
		}
		value, writeTo := values[1], -1
		if values[1] != values[2] {
			value, writeTo = m.field(path, a.Class, name, values)
		}
		if writeTo >= 0 {
			to[writeTo] = append(to[writeTo], Field{name, value})
		}
		if value != "" {
			common.Fields = append(common.Fields, Field{name, value})
		}
	}
	for u := range to {
		if len(to[u]) > 0 {
			m.write(u, Modify, a.Class, path, to[u])
		}
	}
	common.Kids = m.objects(path, base.Kids, [2][]Object{a.Kids, b.Kids})
	return common
}

// nextField takes the field that comes first by name off three sorted lists.
func nextField(lists *[3][]Field) (name string, values [3]string, more bool) {
	for i := range lists {
		if len(lists[i]) > 0 && (!more || lists[i][0].Name < name) {
			name, more = lists[i][0].Name, true
		}
	}
	for i := range lists {
		if len(lists[i]) > 0 && lists[i][0].Name == name {
			values[i] = lists[i][0].Value
			lists[i] = lists[i][1:]
		}
	}
	return name, values, more
}

// field merges a field with different values; they are the common one and those of
// the units. It returns the common value now, and the unit that must get it, -1 for
// none.
func (m *merge) field(path []string, c Class, name string, values [3]string) (string, int) {
	base, sides := values[0], [2]string{values[1], values[2]}
	if m.look || !writable(c, Field{name, sides[0]}) || !writable(c, Field{name, sides[1]}) {
		return base, -1
	}
	d := m.difference(path, c, name, Sight{Value: base}, [2]Sight{{Value: sides[0]}, {Value: sides[1]}})
	winner := m.policy.Chosen[d.ID]
	from := 0
	if sides[0] == base {
		from = 1
	}
	conflict := sides[0] != base && sides[1] != base
	reason := m.rebuilt[from]
	if before, ok := m.asked[d.ID]; ok {
		reason = before
	}
	switch {
	case winner != pair.RoleUnknown:
	case conflict:
		winner = m.winner(d.ID)
	case reason != NoReason:
		m.ask(d.ID, reason)
		m.hold(d, from, reason, "")
		return base, -1
	case !m.sameWare && base == "":
		m.hold(d, from, FirmwareDiffers, "")
		return base, -1
	default:
		winner = roles[from]
	}
	if conflict {
		m.result.Conflicts = append(m.result.Conflicts, Conflict{Difference: d, Winner: winner})
	}
	if winner == pair.RoleUnknown {
		return base, -1
	}
	u := winner.Index()
	if reason, detail := m.unfit(1-u, Modify, c, Field{name, sides[u]}); reason != NoReason {
		m.hold(d, u, reason, detail)
		return base, -1
	}
	if !conflict {
		m.carry(d, u)
	}
	return sides[u], 1 - u
}

// add writes an object and all in it to a unit. It returns what of it becomes
// common; what cannot be written is held.
func (m *merge) add(to int, path []string, o *Object) (Object, bool) {
	path = append(slices.Clip(path), objectID(o)...)
	reason, detail := m.unfitObject(to, path, o)
	if reason != NoReason {
		var sides [2]Sight
		sides[1-to] = sightOf(o)
		m.hold(m.difference(path, o.Class, "", Sight{}, sides), 1-to, reason, detail)
		return Object{}, false
	}
	m.give(to, o)
	m.write(to, Add, o.Class, path, o.Fields)
	common := *o
	common.Kids = nil
	for i := range o.Kids {
		if kid, ok := m.add(to, path, &o.Kids[i]); ok {
			common.Kids = append(common.Kids, kid)
		}
	}
	return common, true
}

func (m *merge) remove(from int, path []string, o *Object) {
	delete(m.has[from][o.Class], o.ID)
	m.write(from, Delete, o.Class, append(slices.Clip(path), objectID(o)...), nil)
}

func (m *merge) write(to int, verb Verb, c Class, path []string, fields []Field) {
	m.writes[to] = append(m.writes[to], newWrites(verb, c, path, fields, m.addresses.at[to])...)
}

func (m *merge) difference(path []string, c Class, field string, base Sight, sides [2]Sight) Difference {
	return newDifference(c, path, field, base, sides[0], sides[1])
}

func (m *merge) carry(d Difference, from int) {
	m.result.Carried = append(m.result.Carried, Carried{Difference: d, From: roles[from]})
}

func (m *merge) hold(d Difference, from int, reason Reason, detail string) {
	m.result.Held = append(m.result.Held, Held{Difference: d, From: roles[from], Reason: reason, Detail: detail})
}

// objectID is the last part of a path; a class that is one object has none.
func objectID(o *Object) []string {
	if o.ID == "" {
		return nil
	}
	return []string{o.ID}
}
