package loadmaster

import (
	"cmp"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// geoState is what a unit has of GEO: DNS configuration, which partners keep in
// step, and what it found out (loadmaster.md 4). Unit.mu guards it.
//
// The units of a pair bring each other what they have in common (geopair.go).
type geoState struct {
	// On disk.
	enabled  bool
	clusters []geoCluster
	fqdns    []geoFQDN
	changed  geoVersion
	listed   geoVersion // of geoclients and geopartners
	next     int        // index of the next cluster or map
	globals  map[string]string

	// In memory.
	submitted bool // geopartners were submitted since the unit became active
	partners  map[netip.Addr]string
	queries   int // rr begins at another address each time
}

// geoVersion says who changed the DNS configuration last.
type geoVersion struct {
	At time.Time
	By string
}

func (v geoVersion) compare(o geoVersion) int {
	return cmp.Or(v.At.Compare(o.At), cmp.Compare(v.By, o.By))
}

// next is the version of a change, which is later than the one before it also where
// both are made in one instant.
func (v geoVersion) next(at time.Time, by string) geoVersion {
	if !at.After(v.At) {
		at = v.At.Add(1)
	}
	return geoVersion{at, by}
}

// geoCluster is a cluster: a place with services, which is asked for their state.
type geoCluster struct {
	Index   int
	Name    string
	Address netip.Addr
	Type    string // default, remoteLM, localLM
	Enabled bool
	More    map[string]string `json:",omitempty"`
	up      bool              // as the unit itself found
	why     string            // not
}

// geoFQDN is a name that the unit answers for.
type geoFQDN struct {
	Name      string // with its last dot
	Selection string
	Maps      []geoMap
	Records   []geoRecord       `json:",omitempty"`
	More      map[string]string `json:",omitempty"`
}

// geoMap is an address of a name.
type geoMap struct {
	Index   int
	Address netip.Addr
	Cluster string
	Checker string // none or clust
	Weight  int
	Enabled bool
	More    map[string]string `json:",omitempty"`
}

// geoCommands are those of section 4 that a lab needs. The map checkers none and
// clust are the ones that the lab carries out.
func geoCommands() []command {
	return []command{
		{"addcluster", (*Unit).addCluster, false},
		{"addfqdn", (*Unit).addFQDN, false},
		{"addmap", (*Unit).addMap, false},
		{"delcluster", (*Unit).deleteCluster, false},
		{"delfqdn", (*Unit).deleteFQDN, false},
		{"delmap", (*Unit).deleteMap, false},
		{"disablegeo", (*Unit).disableGEO, false},
		{"enablegeo", (*Unit).enableGEO, false},
		{"getgeopartnerstatus", (*Unit).partnerStatus, true},
		{"isgeoenabled", (*Unit).isGEOEnabled, true},
		{"listclusters", (*Unit).listClusters, true},
		{"listfqdns", (*Unit).listFQDNs, true},
		{"modcluster", (*Unit).modifyCluster, false},
		{"modfqdn", (*Unit).modifyFQDN, false},
		{"modmap", (*Unit).modifyMap, false},
		{"modparams", (*Unit).modifyGlobals, false},
		{"showcluster", (*Unit).showCluster, true},
		{"showfqdn", (*Unit).showFQDN, true},
	}
}

// setAndFollow writes a parameter and does what the GEO ones bring about.
func (u *Unit) setAndFollow(args arguments) answer {
	a := u.set(args)
	if a.status != 200 {
		return a
	}
	u.mu.Lock()
	if p, known := u.findParameter(args["param"]); known && p.isGEO() {
		u.geo.listed = geoVersion{time.Now(), u.cfg.Name}
	}
	if strings.EqualFold(args["param"], "geopartners") {
		u.geo.submitted, u.geo.partners = true, nil
	}
	u.mu.Unlock()
	u.settlePorts()
	u.wakeGEO()
	return a
}

// addressList reads geoclients and geopartners, which come with commas or blanks
// (loadmaster.md 4.4). What is no address is nobody's.
func addressList(text string) []netip.Addr {
	var all []netip.Addr
	for _, word := range strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' }) {
		if a, err := netip.ParseAddr(word); err == nil {
			all = append(all, a)
		}
	}
	return all
}

func (u *Unit) isGEOEnabled(arguments) answer {
	u.mu.Lock()
	defer u.mu.Unlock()
	return answer{status: 200, text: yesNo(u.geo.enabled)}
}

func (u *Unit) enableGEO(arguments) answer  { return u.switchGEO(true) }
func (u *Unit) disableGEO(arguments) answer { return u.switchGEO(false) }

func (u *Unit) switchGEO(on bool) answer {
	u.mu.Lock()
	u.geo.enabled, u.changedAt = on, time.Now()
	u.mu.Unlock()
	u.settlePorts()
	u.wakeGEO()
	return done()
}

// change lets edit change the DNS configuration, and tells the partners.
func (u *Unit) change(edit func(g *geoState) answer) answer {
	u.mu.Lock()
	a := edit(&u.geo)
	changed := a.status == 200 && a.fields == nil // not nothing, which may be a success too
	if changed {
		u.changedAt = time.Now()
		u.geo.changed = u.geo.changed.next(u.changedAt, u.cfg.Name)
		u.ownCluster()
	}
	u.mu.Unlock()
	if changed {
		u.wakeGEO()
	}
	return a
}

// nothing is the answer where there is no such cluster or name, which depends on
// the firmware (loadmaster.md 4.2).
func (u *Unit) nothing() answer {
	if u.cfg.Options.EmptyGEO == EmptyGEOIsAnError {
		return fail(422, "No geo data found")
	}
	return data([]field{}...)
}

// cluster finds one by address or index (loadmaster.md 4.2).
func (g *geoState) cluster(args arguments) (int, bool) {
	i := slices.IndexFunc(g.clusters, func(c geoCluster) bool {
		return c.Address.String() == args["ip"] || args["id"] != "" && strconv.Itoa(c.Index) == args["id"]
	})
	return i, i >= 0
}

func (u *Unit) addCluster(args arguments) answer {
	for _, name := range []string{"ip", "name"} {
		if args[name] == "" {
			return missing(name)
		}
	}
	address, err := netip.ParseAddr(args["ip"])
	if err != nil {
		return fail(422, "Invalid address")
	}
	return u.change(func(g *geoState) answer {
		if _, there := g.cluster(u.pairCluster(args)); there { // that it fails is documented, the text is not
			return fail(422, "Cluster %s already exists", address)
		}
		g.next++
		g.clusters = append(g.clusters, geoCluster{Index: g.next, Name: args["name"], Address: address, Type: "default", Enabled: true})
		return answer{status: 200, text: "Cluster " + address.String() + " added"}
	})
}

func (u *Unit) modifyCluster(args arguments) answer {
	return u.change(func(g *geoState) answer {
		i, there := g.cluster(u.pairCluster(args))
		if !there {
			return u.nothing()
		}
		c := &g.clusters[i]
		if kind, given := args["type"]; given {
			if !slices.Contains([]string{"default", "remoteLM", "localLM"}, kind) {
				return unknownValue("type")
			}
			c.Type = kind
		}
		if bad := u.more(clusterAttributes, args, &c.More); bad != "" {
			return unknownValue(bad)
		}
		c.Name = orDefault(args["name"], c.Name)
		c.Enabled = switched(args, c.Enabled)
		return done()
	})
}

// switched is what the argument enable asks for.
func switched(args arguments, is bool) bool {
	switch strings.ToLower(args["enable"]) {
	case "1", "y", "yes":
		return true
	case "0", "n", "no":
		return false
	}
	return is
}

func (u *Unit) deleteCluster(args arguments) answer {
	return u.change(func(g *geoState) answer {
		i, there := g.cluster(u.pairCluster(args))
		if !there {
			return u.nothing()
		}
		g.clusters = slices.Delete(g.clusters, i, i+1)
		return done()
	})
}

func (u *Unit) listClusters(arguments) answer {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.clusterAnswer(u.geo.clusters)
}

func (u *Unit) showCluster(args arguments) answer {
	u.mu.Lock()
	defer u.mu.Unlock()
	i, there := u.geo.cluster(u.pairCluster(args))
	if !there {
		return u.nothing()
	}
	return u.clusterAnswer(u.geo.clusters[i : i+1])
}

func (u *Unit) clusterAnswer(clusters []geoCluster) answer {
	if len(clusters) == 0 {
		return u.nothing()
	}
	f := field{name: "cluster", repeated: [][]field{}}
	for _, c := range clusters {
		f.repeated = append(f.repeated, slices.Concat([]field{
			text("Status", upDown(c.up)), number("Index", c.Index), text("IPAddress", c.Address.String()), text("Name", c.Name),
		}, fieldsOf(clusterAttributes, c.More, func(name string) (field, bool) {
			return text(name, map[string]string{"Type": c.Type, "Enable": yn(c.Enabled)}[name]), true
		}), []field{text("ClusterVSAddress", c.Address.String())}))
	}
	return data(f)
}

func upDown(up bool) string {
	if up {
		return "Up"
	}
	return "Down"
}

// yn is a boolean in GEO objects (loadmaster.md 1.5).
func yn(b bool) string { return strings.ToUpper(yesNo(b)[:1]) }

// fqdn finds a name; whether its last dot is given does not matter.
func (g *geoState) fqdn(name string) (*geoFQDN, bool) {
	i := slices.IndexFunc(g.fqdns, func(f geoFQDN) bool { return strings.EqualFold(f.Name, strings.TrimSuffix(name, ".")+".") })
	if i < 0 {
		return nil, false
	}
	return &g.fqdns[i], true
}

func (u *Unit) addFQDN(args arguments) answer {
	name := strings.TrimSuffix(args["fqdn"], ".")
	if name == "" {
		return missing("fqdn")
	}
	if !isHost(name) {
		return unknownValue("fqdn")
	}
	return u.change(func(g *geoState) answer {
		if _, there := g.fqdn(name); there {
			return fail(422, "FQDN already exists")
		}
		g.fqdns = append(g.fqdns, geoFQDN{Name: name + ".", Selection: "rr"})
		return done()
	})
}

// withFQDN lets edit change a name that is there.
func (u *Unit) withFQDN(args arguments, edit func(g *geoState, f *geoFQDN) answer) answer {
	return u.change(func(g *geoState) answer {
		f, there := g.fqdn(args["fqdn"])
		if !there {
			return u.nothing()
		}
		return edit(g, f)
	})
}

func (u *Unit) deleteFQDN(args arguments) answer {
	return u.withFQDN(args, func(g *geoState, f *geoFQDN) answer {
		name := f.Name
		g.fqdns = slices.DeleteFunc(g.fqdns, func(f geoFQDN) bool { return f.Name == name })
		return done()
	})
}

// modifyFQDN knows the selections round robin and fixed weight, the two that need
// no location and no load of a client.
func (u *Unit) modifyFQDN(args arguments) answer {
	return u.withFQDN(args, func(_ *geoState, f *geoFQDN) answer {
		selection := orDefault(args["selectioncriteria"], f.Selection)
		if selection != "rr" && selection != "fw" {
			return unknownValue("SelectionCriteria")
		}
		if !inSeconds(args) {
			return unknownValue("FailTime")
		}
		if bad := u.more(fqdnAttributes, args, &f.More); bad != "" {
			return unknownValue(bad)
		}
		f.Selection = selection
		return done()
	})
}

func (u *Unit) addMap(args arguments) answer {
	address, err := netip.ParseAddr(args["ip"])
	if err != nil {
		return fail(422, "Invalid address")
	}
	return u.withFQDN(args, func(g *geoState, f *geoFQDN) answer {
		if _, there := f.find(args); there {
			return fail(422, "Map %s already exists", address)
		}
		if name := args["clust"]; name != "" && !slices.ContainsFunc(g.clusters, func(c geoCluster) bool { return c.Name == name }) {
			return unknownValue("clust")
		}
		g.next++
		f.Maps = append(f.Maps, geoMap{Index: g.next, Address: address, Cluster: args["clust"], Checker: "none", Weight: 1000, Enabled: true})
		return done()
	})
}

func (f *geoFQDN) find(args arguments) (int, bool) {
	i := slices.IndexFunc(f.Maps, func(m geoMap) bool { return m.Address.String() == args["ip"] })
	return i, i >= 0
}

func (u *Unit) modifyMap(args arguments) answer {
	return u.withFQDN(args, func(g *geoState, f *geoFQDN) answer {
		i, there := f.find(args)
		if !there {
			return u.nothing()
		}
		m := f.Maps[i]
		m.Checker = orDefault(args["checker"], m.Checker)
		if m.Checker != "none" && m.Checker != "clust" {
			return unknownValue("checker")
		}
		if weight, given := args["weight"]; given {
			n, err := strconv.Atoi(weight)
			if err != nil || n < 1 || n > 65535 {
				return unknownValue("weight")
			}
			m.Weight = n
		}
		if id, given := args["cluster"]; given {
			i, there := g.cluster(arguments{"id": id})
			if !there {
				return unknownValue("cluster")
			}
			m.Cluster = g.clusters[i].Name
		}
		if args["mapport"] == "2" { // how any port is said (loadmaster.md 3.6)
			args["mapport"] = "*"
		}
		if bad := u.more(mapAttributes, args, &m.More); bad != "" {
			return unknownValue(bad)
		}
		m.Enabled = switched(args, m.Enabled)
		f.Maps[i] = m
		return done()
	})
}

func (u *Unit) deleteMap(args arguments) answer {
	return u.withFQDN(args, func(_ *geoState, f *geoFQDN) answer {
		i, there := f.find(args)
		if !there {
			return u.nothing()
		}
		f.Maps = slices.Delete(f.Maps, i, i+1)
		return done()
	})
}

func (u *Unit) listFQDNs(arguments) answer {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.fqdnAnswer(u.geo.fqdns)
}

func (u *Unit) showFQDN(args arguments) answer {
	u.mu.Lock()
	defer u.mu.Unlock()
	f, there := u.geo.fqdn(args["fqdn"])
	if !there {
		return u.nothing()
	}
	return u.fqdnAnswer([]geoFQDN{*f})
}

func (u *Unit) fqdnAnswer(fqdns []geoFQDN) answer {
	if len(fqdns) == 0 {
		return u.nothing()
	}
	all := field{name: "fqdn", repeated: [][]field{}}
	for _, f := range fqdns {
		maps, anyUp := field{name: "Map", repeated: [][]field{}}, false
		for _, m := range f.Maps {
			up := u.geo.answers(m)
			anyUp = anyUp || up
			maps.repeated = append(maps.repeated, append([]field{
				text("Status", upDown(up)), number("Index", m.Index), text("IPAddress", m.Address.String()), text("Cluster", m.Cluster),
				text("Checker", m.Checker), number("Weight", m.Weight), text("Enable", yn(m.Enabled)),
			}, fieldsOf(mapAttributes, m.More, nil)...))
		}
		all.repeated = append(all.repeated, slices.Concat([]field{
			text("Status", upDown(anyUp)), text("FullyQualifiedDomainName", f.Name), text("SelectionCriteria", f.Selection),
		}, fieldsOf(fqdnAttributes, f.More, nil), f.recordFields(), []field{maps}))
	}
	return data(all)
}

// modifyGlobals changes what all names have in common (loadmaster.md 4.1).
func (u *Unit) modifyGlobals(args arguments) answer {
	return u.change(func(g *geoState) answer {
		if bad := u.more(globalAttributes, args, &g.globals); bad != "" {
			return unknownValue(bad)
		}
		return done()
	})
}

// global is a global's value, or its documented default.
func (g *geoState) global(name string, usual int) int {
	if n, err := strconv.Atoi(g.globals[name]); err == nil {
		return n
	}
	return usual
}

// partnerStatus tells what the unit knows of its partners; the names of the
// fields are not documented (loadmaster.md 4.4).
func (u *Unit) partnerStatus(arguments) answer {
	u.mu.Lock()
	defer u.mu.Unlock()
	f := field{name: "Partner", repeated: [][]field{}}
	for _, a := range addressList(u.parameters["geopartners"]) {
		f.repeated = append(f.repeated, []field{text("Address", a.String()), text("Status", orDefault(u.geo.partners[a], "Unknown"))})
	}
	if len(f.repeated) == 0 {
		return data(text("GeoPartners", ""))
	}
	return data(object("GeoPartners", f))
}
