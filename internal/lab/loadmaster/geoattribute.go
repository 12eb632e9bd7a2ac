package loadmaster

import (
	"maps"
	"slices"
	"strconv"
	"strings"
)

// What GEO objects have beside what the lab carries out (loadmaster.md 4.2, 4.3). It
// is kept and read back, and changes no answer to a client.
var (
	clusterAttributes = attributesOf(`
		Checker text is=none one=none|tcp|icmp
		CheckerPort digits is=0
		Type made
		Enable made
		LocationLatitude number in=latsecs is=0
		LocationLongitude number in=longsecs is=0
	`)
	fqdnAttributes = attributesOf(`
		FailTime number is=0 range=0..86400
		SiteRecoveryMode text is=auto one=auto|manual
		failover flag is=N
		publicRequestValue number is=0 range=0..3
		privateRequestValue number is=0 range=0..3
		LocalSettings number is=0 range=0..1
		LocalTTL number range=1..86400
		LocalSticky number range=0..86400
		UnanimousChecks flag is=N
	`)
	mapAttributes = attributesOf(`
		checkerAddr text in=checkerip
		CheckerPort digits in=port is=0
		MappedAddress text in=mapaddress
		MappedPort text in=mapport
		MappedName text
		LocationLatitude number in=lat
		LocationLongitude number in=long
		continent text
		country text
		customLocation text in=customlocation
	`)
	globalAttributes = attributesOf(`
		zone text
		PerZoneSOA flag is=N
		SourceOfAuthority text
		namesrv text
		SOAEmail text
		glueip text
		TTL number is=10 range=1..86400
		txt text
		persist number is=0 range=0..86400
		CheckInterval number is=120 range=9..3600
		ConnTimeout number is=20 range=4..60
		RetryAttempts number is=2 range=2..10
		EDNSECS flag is=N
		dclustunavail flag is=N
	`)
	// soaNames are the globals that listparams nests (loadmaster.md 4.1).
	soaNames = []string{"SourceOfAuthority", "namesrv", "SOAEmail", "TTL"}
)

// geoRecord is one that a name has beside its addresses.
type geoRecord struct {
	ID, Type, Data string
}

// geoMoreCommands are those of what is in this file, and of places.
func geoMoreCommands() []command {
	return []command{
		{"addcountry", func(u *Unit, args arguments) answer { return u.placeMap(args, true) }, false},
		{"addipcountry", writes((*Unit).placeRange), false},
		{"addrr", (*Unit).addRecord, false},
		{"changecheckeraddr", (*Unit).modifyMapAttributes, false},
		{"changemaploc", (*Unit).modifyMapAttributes, false},
		{"clustchangeloc", (*Unit).modifyCluster, false},
		{"deliploc", writes((*Unit).placeRange), false},
		{"delrr", (*Unit).deleteRecord, false},
		{"editcustomlocation", writes((*Unit).renameLocation), false},
		{"geochangecheckermapping", (*Unit).changeMapping, false},
		{"listparams", reads((*Unit).listGlobals), true},
		{"modrr", (*Unit).modifyRecord, false},
		{"removecountry", func(u *Unit, args arguments) answer { return u.placeMap(args, false) }, false},
		{"removeipcountry", writes((*Unit).placeRange), false},
	}
}

// more is take for what a GEO object keeps beside its own, which is made where it is
// missing.
func (u *Unit) more(all []attribute, args arguments, kept *map[string]string) (bad string) {
	if *kept == nil {
		*kept = map[string]string{}
	}
	return u.take(all, args, *kept)
}

// inSeconds makes the minutes of a setter the seconds that are read back
// (loadmaster.md 3.6), and tells whether they are some.
func inSeconds(args arguments) bool {
	minutes, given := args["failtime"]
	n, err := strconv.Atoi(minutes)
	if given && err == nil {
		args["failtime"] = strconv.Itoa(60 * n)
	}
	return !given || err == nil && n >= 0 && n <= 1440
}

// withMap lets edit change a map that is there.
func (u *Unit) withMap(args arguments, edit func(m *geoMap) answer) answer {
	return u.withFQDN(args, func(_ *geoState, f *geoFQDN) answer {
		i, there := f.find(args)
		if !there {
			return u.nothing()
		}
		return edit(&f.Maps[i])
	})
}

func (u *Unit) modifyMapAttributes(args arguments) answer {
	return u.withMap(args, func(m *geoMap) answer {
		if bad := u.more(mapAttributes, args, &m.More); bad != "" {
			return unknownValue(bad)
		}
		return done()
	})
}

// changeMapping says which service of a cluster a map stands for.
func (u *Unit) changeMapping(args arguments) answer {
	args["ip"] = args["fqdnip"]
	return u.withMap(args, func(m *geoMap) answer {
		if m.More == nil {
			m.More = map[string]string{}
		}
		m.More["mappedaddress"], m.More["mappedport"], m.More["mappedname"] = args["remvip"], args["remport"], args["remname"]
		return done()
	})
}

// placeMap gives a map a country, a continent or a place of one's own, or takes it.
func (u *Unit) placeMap(args arguments, on bool) answer {
	name := "country"
	if is, _ := truth(args["iscontinent"]); is {
		name = "continent"
	}
	value := args["countrycode"]
	if args["customlocation"] != "" {
		name, value = "customlocation", args["customlocation"]
	}
	return u.withMap(args, func(m *geoMap) answer {
		switch {
		case value == "":
			return missing("countrycode")
		case m.More == nil:
			m.More = map[string]string{}
		}
		words := slices.DeleteFunc(strings.Fields(m.More[name]), func(word string) bool { return word == value })
		if on {
			words = append(words, value)
		}
		m.More[name] = strings.Join(words, " ")
		return done()
	})
}

// placeRange gives a range of addresses a country or a place, or takes what a call
// does not name.
func (u *Unit) placeRange(args arguments) answer {
	it := u.find("geo-ip-ranges", withPrefix(args["ip"]))
	if it == nil {
		return u.nothing()
	}
	it = it.clone(asIs)
	delete(it.Values, "country")
	delete(it.Values, "customlocation")
	for argument, name := range map[string]string{"countrycode": "country", "customloc": "customlocation"} {
		if args[argument] != "" {
			it.Values[name] = args[argument]
		}
	}
	u.put(it)
	return done()
}

func (u *Unit) renameLocation(args arguments) answer {
	const class = "geo-custom-locations"
	it := u.find(class, args["cloldname"])
	switch {
	case it == nil:
		return u.nothing()
	case args["clnewname"] == "":
		return missing("clnewname")
	}
	renamed := it.clone(asIs)
	renamed.Key = args["clnewname"]
	u.drop(class, it.Key)
	u.put(renamed)
	return done()
}

func (u *Unit) addRecord(args arguments) answer {
	kind, value := strings.ToLower(args["type"]), orDefault(args["rdata"], args["name"])
	return u.withFQDN(args, func(g *geoState, f *geoFQDN) answer {
		if !slices.Contains([]string{"txt", "cname", "mx"}, kind) {
			return unknownValue("type")
		}
		if value == "" {
			return missing("rdata")
		}
		g.next++
		f.Records = append(f.Records, geoRecord{strconv.Itoa(g.next), kind, value})
		return done()
	})
}

func (u *Unit) modifyRecord(args arguments) answer {
	return u.withRecord(args, func(f *geoFQDN, i int) { f.Records[i].Data = args["value"] })
}

func (u *Unit) deleteRecord(args arguments) answer {
	return u.withRecord(args, func(f *geoFQDN, i int) { f.Records = slices.Delete(f.Records, i, i+1) })
}

func (u *Unit) withRecord(args arguments, edit func(f *geoFQDN, i int)) answer {
	return u.withFQDN(args, func(_ *geoState, f *geoFQDN) answer {
		i := slices.IndexFunc(f.Records, func(r geoRecord) bool { return r.ID == args["id"] })
		if i < 0 {
			return u.nothing()
		}
		edit(f, i)
		return done()
	})
}

// recordFields are the records of a name in an answer.
func (f *geoFQDN) recordFields() []field {
	all := field{name: "ResourceRecord"}
	for _, r := range f.Records {
		all.repeated = append(all.repeated, []field{text("Id", r.ID), text("Type", r.Type), text("RData", r.Data)})
	}
	if all.repeated == nil {
		return nil
	}
	return []field{all}
}

// listGlobals shows what modparams sets.
func (u *Unit) listGlobals(arguments) answer {
	soa, rest := field{name: "soa"}, []field{}
	for _, f := range fieldsOf(globalAttributes, u.geo.globals, nil) {
		if slices.Contains(soaNames, f.name) {
			soa.object = append(soa.object, f)
		} else {
			rest = append(rest, f)
		}
	}
	return data(append([]field{soa}, rest...)...)
}

// backupGEO is the DNS configuration in a backup.
func (u *Unit) backupGEO() geoConfig {
	c := u.geo.config()
	c.Version = geoVersion{} // a backup of the same settings is the same
	return c
}

// restoreGEO makes the DNS configuration of a backup the unit's own. u.mu is held.
func (u *Unit) restoreGEO(c geoConfig) {
	was := u.backupGEO()
	if slices.Equal(mustEncode(was), mustEncode(c)) {
		return
	}
	c.Version = geoVersion{u.changedAt, u.cfg.Name}
	c.Globals = maps.Clone(c.Globals)
	u.takeOverConfig(c)
}
