package lab

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"tandem/internal/lab/loadmaster"
)

// GEO is what a story wants of GEO: every pair and every standalone unit may be a
// member, and a resolver asks them all for one name through the whole story.
type GEO struct {
	// Standalones is how many units without a partner there are: sa1, sa2 and so on,
	// with the addresses behind those of the pairs.
	Standalones int `yaml:"standalones"`
	// Settled are the members for which a person has carried out the guide's
	// procedure before the story begins, and serves the name at all of them.
	Settled []string `yaml:"settled"`
}

const (
	// geoName is the name that stories serve. Its answer has the sites of all members
	// that are up.
	geoName = "www.example.com"
	// topologyName is the name of a story's topology.
	topologyName = "global"
	// geoInterval is that of the checks of clusters, the shortest there is
	// (loadmaster.md 4.1).
	geoInterval = 9 * time.Second
)

// geoMember is a pair or a standalone unit among the others.
type geoMember struct {
	name  string
	roles []string     // its units, as steps name them
	units []netip.Addr // in the same order
	site  netip.Addr   // where its service is: what the answers have
	api   *planUnit    // of a standalone unit
}

// geoMembers are the story's pairs, and then its standalone units.
func (w *World) geoMembers() []geoMember {
	var all []geoMember
	for _, p := range w.pairs {
		m := geoMember{name: p.plan.Name, site: p.plan.LoadBalancers[0].Frontends[0].Address}
		for _, role := range pairRoles {
			m.roles = append(m.roles, p.prefix+role)
			m.units = append(m.units, p.plan.Units[role].Address)
		}
		all = append(all, m)
	}
	for n := range w.standalones() {
		name := standaloneName(n)
		unit := w.plan.Units[name]
		all = append(all, geoMember{name: name, roles: []string{name}, units: []netip.Addr{unit.Address}, site: unit.Address, api: &unit})
	}
	return all
}

// standaloneName is the name of a standalone unit, counted from 0, and its role in
// steps.
func standaloneName(n int) string { return fmt.Sprintf("sa%d", n+1) }

// standalones is how many of them the story has.
func (w *World) standalones() int {
	if w.Scenario.GEO == nil {
		return 0
	}
	return w.Scenario.GEO.Standalones
}

// member finds a member by name.
func (w *World) member(name string) (geoMember, error) {
	for _, m := range w.members {
		if m.name == name {
			return m, nil
		}
	}
	return geoMember{}, fmt.Errorf("member %q: there is none in this story", name)
}

// chosen finds several members.
func (w *World) chosen(names []string) ([]geoMember, error) {
	var all []geoMember
	for _, name := range names {
		m, err := w.member(name)
		if err != nil {
			return nil, err
		}
		all = append(all, m)
	}
	return all, nil
}

// active is the unit of a member that is active, the first where none is.
func (w *World) active(m geoMember) *loadmaster.Unit {
	for _, role := range m.roles {
		if u := w.units[role]; u.State() == loadmaster.Active {
			return u
		}
	}
	return w.units[m.roles[0]]
}

// serves tells whether a member's services are up.
func (w *World) serves(m geoMember) bool {
	u := w.active(m)
	return u.State() == loadmaster.Active && u.ServesTraffic()
}

// planStandalones adds the standalone units to the units that steps name.
func (w *World) planStandalones() {
	last := w.pairs[len(w.pairs)-1].plan.Units[pairRoles[1]]
	address := last.Address
	for n := range w.standalones() {
		address = address.Next()
		unit := planUnit{VM: standaloneName(n), Address: address}
		unit.API.Port, unit.API.Secret = last.API.Port, standaloneName(n)+"-api"
		w.plan.Units[standaloneName(n)] = unit
	}
}

// buildStandalone makes a unit without a partner, counted from 0, which is off.
func (w *World) buildStandalone(n int) error {
	name := standaloneName(n)
	u := w.plan.Units[name]
	unit, err := loadmaster.New(loadmaster.Config{
		Name: name, Role: loadmaster.Single, CheckPort: w.plan.HA.CheckPort, APIPort: u.API.Port,
		APIKey: APIKey(u.API.Secret), ServicePorts: w.plan.servicePorts(), BootDelay: w.Scenario.Boot,
		Phase: phase(actorNeighbours + 2*w.Scenario.Neighbours + n), Seed: w.Options.Seed*10 + 6 + uint64(n)<<32, Options: w.behaviour.unit,
	}, w.net.Host(name, u.Address), w.record.to(name))
	if err != nil {
		return err
	}
	w.units[name] = unit
	return nil
}

// buildGEO makes the standalone units, turns GEO on everywhere, and settles what a
// story wants settled, before any unit starts: all of it was so for long. Nothing is
// done in a story without GEO.
func (w *World) buildGEO() error {
	if w.Scenario.GEO == nil {
		return nil
	}
	for n := range w.standalones() {
		if err := w.buildStandalone(n); err != nil {
			return err
		}
	}
	w.members = w.geoMembers()
	w.resolver = newResolver(w)
	settled, err := w.chosen(w.Scenario.GEO.Settled)
	if err != nil {
		return err
	}
	for _, m := range w.members {
		for _, role := range m.roles {
			u := w.units[role]
			err := errors.Join(u.Command("enablegeo", nil), u.Command("modparams", map[string]string{"checkinterval": fmt.Sprint(int(geoInterval.Seconds()))}))
			if err == nil && slices.Contains(w.Scenario.GEO.Settled, m.name) {
				err = w.settleGEO(u, m, settled)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// settleGEO carries out the guide's procedure on a unit of a member, as far as a world
// needs it that has been so for long.
func (w *World) settleGEO(u *loadmaster.Unit, m geoMember, members []geoMember) error {
	access, partners := geoLists(m, members)
	if err := submit(u, access, partners); err != nil {
		return err
	}
	if err := addClusters(u, members); err != nil {
		return err
	}
	return w.serveName(u, members)
}

// geoLists are Remote GEO LoadMaster Access and GEO LoadMaster Partners of a member,
// in the words of the guide (loadmaster.md 4.4): both units of every other pair, the
// other standalone units, and in the first list the own first unit.
func geoLists(m geoMember, all []geoMember) (access, partners []netip.Addr) {
	for _, other := range all {
		if other.name != m.name {
			partners = append(partners, other.units...)
		}
	}
	return append([]netip.Addr{m.units[0]}, partners...), partners
}

// submit writes both lists on a unit.
func submit(u *loadmaster.Unit, access, partners []netip.Addr) error {
	return errors.Join(
		u.Command("set", map[string]string{"param": "geoclients", "value": strings.Join(addressList(access), ",")}),
		u.Command("set", map[string]string{"param": "geopartners", "value": strings.Join(addressList(partners), ",")}),
	)
}

// addClusters creates the clusters of members on a unit: of the type Remote LM, with
// the address of the first unit.
func addClusters(u *loadmaster.Unit, of []geoMember) error {
	for _, m := range of {
		if err := u.Command("addcluster", map[string]string{"ip": m.units[0].String(), "name": m.name}); err != nil {
			return err
		}
		now := u.GEO()
		i := slices.Index(now.Clusters, m.name) // the address may be the other unit's by now
		if err := u.Command("modcluster", map[string]string{"id": fmt.Sprint(now.ClusterIDs[i]), "type": "remoteLM"}); err != nil {
			return err
		}
	}
	return nil
}

// serveName adds the name on a unit, with a map for the site of each member, which is
// checked by its cluster where that is there.
func (w *World) serveName(u *loadmaster.Unit, of []geoMember) error {
	if err := u.Command("addfqdn", map[string]string{"fqdn": geoName}); err != nil {
		return err
	}
	clusters := u.GEO().Clusters
	for _, m := range of {
		args, checker := map[string]string{"fqdn": geoName, "ip": m.site.String()}, "none"
		if slices.Contains(clusters, m.name) {
			args["clust"], checker = m.name, "clust"
		}
		if err := u.Command("addmap", args); err != nil {
			return err
		}
		if err := u.Command("modmap", map[string]string{"fqdn": geoName, "ip": m.site.String(), "checker": checker}); err != nil {
			return err
		}
	}
	w.resolver.begin(of)
	return nil
}

// TopologyFile is the file of a story's topology, with the members of the step, all
// where it names none, and whatever else its set has.
func (w *World) TopologyFile(st Step) ([]byte, error) {
	members, err := w.chosen(w.topologyMembers(st))
	if err != nil {
		return nil, err
	}
	doc := map[string]any{"apiVersion": "tandem/v1", "kind": "GeoTopology", "name": topologyName}
	maps.Copy(doc, st.Set)
	var list []any
	for _, m := range members {
		if m.api == nil {
			list = append(list, map[string]any{"pair": m.name})
			continue
		}
		list = append(list, map[string]any{"name": m.name, "standalone": m.site.String(), "api": map[string]any{
			"port": m.api.API.Port, "secret": m.api.API.Secret,
			"tls": map[string]any{"sha256": w.units[m.name].CertificateSHA256()},
		}})
	}
	doc["members"] = list
	return yaml.Marshal(doc)
}

// topologyMembers are the names of the members that a step is about.
func (w *World) topologyMembers(st Step) []string {
	if len(st.Members) > 0 {
		return st.Members
	}
	var all []string
	for _, m := range w.members {
		all = append(all, m.name)
	}
	return all
}
