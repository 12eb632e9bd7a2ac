package settings

import (
	"errors"
	"slices"
	"strings"

	"tandem/internal/pair"
)

// setCluster sets a cluster: what is added has address and name only, and its place
// has a command of its own (loadmaster.md 4.2).
func setCluster(w *Writer, write Write, have *Object, fields []Field) error {
	switch {
	case have == nil && write.verb == Modify:
		return missing("cluster " + write.id())
	case have == nil:
		added := Object{Fields: fields}
		return w.do("addcluster", Field{"ip", added.Value("ipaddress")}, Field{"name", write.id()})
	}
	key := []Field{{"ip", have.Value("ipaddress")}}
	if have.index != "" { // which of the two is taken depends on the release (loadmaster.md 7 item 11)
		key = append(key, Field{"id", have.index})
	}
	if write.verb == Delete {
		return w.do("delcluster", key...)
	}
	var place, rest []Field
	for _, f := range fields {
		switch f.Name {
		case "ipaddress":
		case "locationlatitude", "locationlongitude":
			place = append(place, f)
		default:
			rest = append(rest, f)
		}
	}
	if len(rest) > 0 {
		if err := w.do("modcluster", append(slices.Clone(key), arguments(GEOClusters, rest)...)...); err != nil {
			return err
		}
	}
	return w.locate("clustchangeloc", key[:1], GEOClusters, have, place)
}

// locate sets a place, of which both numbers are always said.
func (w *Writer) locate(command string, key []Field, c Class, have *Object, fields []Field) error {
	if len(fields) == 0 {
		return nil
	}
	at := Object{}
	for _, name := range []string{"locationlatitude", "locationlongitude"} {
		at.set(name, "0")
		if have.Value(name) != "" {
			at.set(name, have.Value(name))
		}
	}
	for _, f := range fields {
		if f.Value != "" {
			at.set(f.Name, f.Value)
		}
	}
	return w.do(command, append(slices.Clone(key), arguments(c, at.Fields)...)...)
}

func setLocation(w *Writer, write Write, _ *Object, fields []Field) error {
	switch {
	case write.verb == Delete:
		return w.do("deletecustomlocation", Field{"clName", write.id()})
	case len(fields) > 0:
		return unsettable(fields[0])
	default:
		return w.do("addcustomlocation", Field{"location", write.id()})
	}
}

// setRange sets a range of addresses with its place, country or custom location
// (loadmaster.md 4.3).
func setRange(w *Writer, write Write, have *Object, fields []Field) error {
	key := []Field{{"ip", write.id()}}
	switch {
	case write.verb == Delete:
		return w.do("delip", key...)
	case have == nil && write.verb == Modify:
		return missing("range " + write.id())
	case have == nil:
		return w.do("addip", key...)
	}
	var place []Field
	for _, f := range fields {
		var err error
		switch f.Name {
		case "locationlatitude", "locationlongitude":
			place = append(place, f)
		case "country":
			err = w.swap("addipcountry", "removeipcountry", key, "countrycode", have, f)
		case "customlocation":
			err = w.swap("addipcountry", "removeipcountry", key, "customloc", have, f)
		default:
			err = unsettable(f)
		}
		if err != nil {
			return err
		}
	}
	if len(place) == 2 && place[0].Value+place[1].Value == "" {
		return w.do("deliploc", key...)
	}
	return w.locate("modiploc", key, GEORanges, have, place)
}

// swap removes the items of a list that shall not be in it, and adds those that shall.
func (w *Writer) swap(add, remove string, key []Field, arg string, have *Object, f Field) error {
	is, want := lines(have.Value(f.Name)), lines(f.Value)
	for _, item := range is {
		if !slices.Contains(want, item) {
			if err := w.do(remove, append(slices.Clone(key), Field{arg, item})...); err != nil {
				return err
			}
		}
	}
	for _, item := range want {
		if !slices.Contains(is, item) {
			if err := w.do(add, append(slices.Clone(key), Field{arg, item})...); err != nil {
				return err
			}
		}
	}
	return nil
}

// geoName looks for a GEO name, or for a map or record of one.
func geoName(w *Writer, write Write) (*Object, error) {
	n, there, err := w.lookFor(Call{Command: "showfqdn", Args: []Field{{"fqdn", write.path[0]}}})
	if err != nil || !there {
		return nil, err
	}
	if _, ok := n.child("fullyqualifieddomainname"); ok {
		n.Name = "fqdn"
		n = Node{Kids: []Node{n}}
	}
	r := newReading()
	if err := r.Take(Call{Command: "listfqdns", class: GEONames}, n); err != nil {
		return nil, err
	}
	o := find(r.got[GEONames], GEONames, write.path[0])
	if o == nil || len(write.path) == 1 {
		return o, nil
	}
	return find(o.Kids, write.of, write.id()), nil
}

func setName(w *Writer, write Write, have *Object, fields []Field) error {
	key := Field{"fqdn", write.id()}
	switch {
	case write.verb == Delete:
		return w.do("delfqdn", key)
	case have == nil && write.verb == Modify:
		return missing("name " + write.id())
	case have == nil:
		return w.do("addfqdn", key)
	default:
		return w.do("modfqdn", append([]Field{key}, arguments(GEONames, fields)...)...)
	}
}

// setMap sets an address of a name. What of it has a command of its own is set by that
// (loadmaster.md 4.3).
func setMap(w *Writer, write Write, have *Object, fields []Field) error {
	key := []Field{{"fqdn", write.path[0]}, {"ip", write.id()}}
	switch {
	case write.verb == Delete:
		return w.do("delmap", key...)
	case have == nil && write.verb == Modify:
		return missing("map " + strings.Join(write.path, " "))
	case have == nil:
		for _, f := range fields {
			if f.Name == "cluster" {
				key = append(key, Field{"clust", f.Value})
			}
		}
		return w.do("addmap", key...)
	default:
		return w.modifyMap(key, have, fields)
	}
}

func (w *Writer) modifyMap(key []Field, have *Object, fields []Field) error {
	all := Object{Fields: overlaid(have, fields)}
	var place, rest, checker, mapping []Field
	for _, f := range fields {
		var err error
		switch f.Name {
		case "locationlatitude", "locationlongitude":
			place = append(place, f)
		case "checkeraddr", "checkerport":
			checker = arguments(GEOMaps, []Field{{"checkeraddr", all.Value("checkeraddr")}, {"port", all.Value("checkerport")}})
		case "mappedname": // which is set together with what it is the name of
			mapping = []Field{{"remvip", all.Value("mappedaddress")}, {"remport", all.Value("mappedport")}, {"remname", f.Value}}
		case "cluster":
			rest, err = w.clusterID(rest, f.Value)
		case "country":
			err = w.swap("addcountry", "removecountry", append(slices.Clone(key), Field{"iscontinent", "no"}), "countrycode", have, f)
		case "continent":
			err = w.swap("addcountry", "removecountry", append(slices.Clone(key), Field{"iscontinent", "yes"}), "countrycode", have, f)
		case "customlocation":
			err = w.swap("addcountry", "removecountry", key, "customlocation", have, f)
		default:
			rest = append(rest, arguments(GEOMaps, []Field{f})...)
		}
		if err != nil {
			return err
		}
	}
	for _, call := range []struct {
		command string
		args    []Field
	}{{"modmap", rest}, {"changecheckeraddr", checker}} {
		if len(call.args) > 0 {
			if err := w.do(call.command, append(slices.Clone(key), call.args...)...); err != nil {
				return err
			}
		}
	}
	if len(mapping) > 0 {
		if err := w.do("geochangecheckermapping", append([]Field{key[0], {"fqdnip", key[1].Value}}, mapping...)...); err != nil {
			return err
		}
	}
	return w.locate("changemaploc", key, GEOMaps, have, place)
}

// clusterID adds the argument that gives a map another cluster, which goes by the
// index that the cluster has on this unit.
func (w *Writer) clusterID(args []Field, cluster string) ([]Field, error) {
	if cluster == "" {
		return append(args, Field{"cluster", "0"}), nil
	}
	clusters, err := w.objects(GEOClusters, "")
	if err != nil {
		return nil, err
	}
	o := find(clusters, GEOClusters, cluster)
	if o == nil {
		return nil, missing("cluster " + cluster)
	}
	return append(args, Field{"cluster", o.index}), nil
}

// setRecord sets a resource record of a name. It is added with its value, and changed
// and deleted by the number that it has on this unit.
func setRecord(w *Writer, write Write, have *Object, fields []Field) error {
	kind, value, _ := strings.Cut(write.id(), " ")
	key := []Field{{"fqdn", write.path[0]}, {"type", kind}}
	switch {
	case have == nil && write.verb == Modify:
		return missing("record " + strings.Join(write.path, " "))
	case have == nil:
		argument := "name"
		if kind == "txt" {
			argument = "rdata"
		}
		return w.do("addrr", append(key, Field{argument, value})...)
	case have.index == "":
		return errors.Join(missing("the number of record "+write.id()), pair.ErrUnreadable)
	}
	key = append(key, Field{"id", have.index})
	if write.verb == Delete {
		return w.do("delrr", key...)
	}
	for _, f := range fields {
		if err := w.do("modrr", append(slices.Clone(key), Field{"param", f.Name}, Field{"value", f.Value})...); err != nil {
			return err
		}
	}
	return nil
}
