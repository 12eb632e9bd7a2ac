package loadmaster

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Execute runs a command as a person does at the unit, not over the network. It fails
// where the unit refuses it. A unit that is off takes it too, as with Configure.
func (u *Unit) Execute(name string, args map[string]string) error {
	if a := u.execute(name, lowered(args)); a.status != 200 {
		return fmt.Errorf("%s at %s: %d %s", name, u.cfg.Name, a.status, a.text)
	}
	return nil
}

// KeepBackup keeps a backup of the unit as it is now, for RestoreKept.
func (u *Unit) KeepBackup() {
	kept := u.backup(nil).file
	u.mu.Lock()
	defer u.mu.Unlock()
	u.kept = kept
}

// manyAddress is where the services are that AddServices makes: an additional address,
// since each unit has but one of its own.
const manyAddress = "10.0.0.200"

// AddServices gives the unit so many services, each with so many real servers, as if
// both units had always had them: the partner is not told.
func (u *Unit) AddServices(services, servers int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if face := u.theInterface(nil); face.Values["additional"] == "" {
		face.Values["additional"] = manyAddress + "/24"
	}
	for n := range services {
		vs := newService(manyAddress, strconv.Itoa(10_000+n), "tcp")
		vs.Values["nickname"] = "many-" + strconv.Itoa(n)
		for m := range servers {
			vs.Kids = append(vs.Kids, &item{Class: classRealServers, Key: fmt.Sprintf("10.0.9.%d:%d", 1+m, 8000+n%1000), Values: map[string]string{}})
		}
		u.numberAll(vs, nil)
		u.shelf(classServices).put(vs)
	}
	u.changedAt = time.Now()
}

// Differences names the synchronised settings that are not the same on two units,
// where each unit's own address is the same as the other's.
func (u *Unit) Differences(other *Unit) []string {
	mine, theirs := u.comparable(), other.comparable()
	var all []string
	for _, ref := range slices.SortedFunc(maps.Keys(mine), reference.compare) {
		if their, there := theirs[ref]; !there || !bytes.Equal(mine[ref], their) {
			all = append(all, ref.Class+" "+ref.Key)
		}
	}
	for _, ref := range slices.SortedFunc(maps.Keys(theirs), reference.compare) {
		if _, there := mine[ref]; !there {
			all = append(all, ref.Class+" "+ref.Key)
		}
	}
	return all
}

// comparable is all that is synchronised, in a form that is equal on units that are
// set alike.
func (u *Unit) comparable() map[reference][]byte {
	u.mu.Lock()
	defer u.mu.Unlock()
	all := map[reference][]byte{}
	for _, p := range parameters {
		if p.scope == synchronised && !p.isGEO() {
			all[reference{classParameters, p.name}] = []byte(u.parameters[p.name])
		}
	}
	own := func(address string) string {
		if address == u.host.Addr().String() {
			return ownAddress
		}
		return address
	}
	u.comparableGEO(all, own)
	for name, s := range u.shelves {
		if isLocal(name) {
			continue
		}
		for _, it := range s.items {
			c := it.clone(own)
			c.normalise()
			all[reference{name, c.Key}] = mustEncode(c)
		}
	}
	return all
}

// comparableGEO adds the clusters and names of GEO. u.mu is held.
func (u *Unit) comparableGEO(all map[reference][]byte, own func(string) string) {
	for _, c := range u.geo.clusters {
		all[reference{"geo-clusters", c.Name}] = mustEncode([]any{own(c.Address.String()), c.Type, c.Enabled, c.More})
	}
	for _, f := range u.geo.fqdns {
		lines := []string{}
		for _, m := range f.Maps {
			lines = append(lines, string(mustEncode([]any{own(m.Address.String()), m.Cluster, m.Checker, m.Weight, m.Enabled, m.More})))
		}
		for _, r := range f.Records {
			lines = append(lines, r.Type+" "+r.Data)
		}
		slices.Sort(lines)
		all[reference{"geo-fqdns", f.Name}] = mustEncode([]any{f.Selection, f.More, lines})
	}
}

// normalise leaves out what says nothing: values that nobody has set, and the order
// in which real servers came. Services within one are known by their place.
func (it *item) normalise() {
	for name, value := range it.Values {
		if value == "" || value == initialOf(it.Class, name) {
			delete(it.Values, name)
		}
	}
	for stage, rules := range it.Rules {
		if len(rules) == 0 {
			delete(it.Rules, stage)
		}
	}
	place := 0
	for _, kid := range it.Kids {
		if kid.normalise(); kid.Class == classSubServices {
			place++
			kid.Key = strconv.Itoa(place)
		}
	}
	slices.SortStableFunc(it.Kids, func(a, b *item) int {
		return reference{a.Class, a.Key}.compare(reference{b.Class, b.Key})
	})
}

// lowered gives arguments the names by which commands know them.
func lowered(args map[string]string) arguments {
	all := arguments{}
	for name, value := range args {
		all[strings.ToLower(name)] = value
	}
	return all
}
