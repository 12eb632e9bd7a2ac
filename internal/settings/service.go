package settings

import (
	"fmt"
	"strings"
)

// serviceKey are the fields of which the identity of a service is made.
var serviceKey = []string{"vsaddress", "vsport", "protocol", "rs", "subvs"}

// takeServices takes the list of services. Services within services stand beside
// their parent there, and are found by the index of the parent (loadmaster.md 3.2);
// indexes end here.
func (r *Reading) takeServices(n *Node) error {
	top, subs := []Object{}, map[string]*Node{} // by index
	var parents []*Node
	for i := range n.Kids {
		vs := &n.Kids[i]
		if !strings.EqualFold(vs.Name, "vs") || len(vs.Kids) == 0 {
			if !vs.empty(nil) {
				return fmt.Errorf("expected services, found %.40q", vs.Name)
			}
			continue
		}
		if vs.text("nickname") == ProvocationName {
			continue // for a moment, and no setting
		}
		if r.objects++; r.objects > maxObjects {
			return fmt.Errorf("more than %d objects", maxObjects)
		}
		if master := vs.text("mastervsid"); master != "" && master != "0" {
			subs[vs.text("index")] = vs
			continue
		}
		parents = append(parents, vs)
	}
	for _, vs := range parents {
		o := r.service(vs, VirtualServices)
		o.ID = serviceID(vs)
		if o.ID == "//" {
			return fmt.Errorf("a service has neither address nor port nor parent")
		}
		r.indexes[vs.text("index")] = o.ID
		if err := r.addSubs(&o, vs, subs); err != nil {
			return err
		}
		top = append(top, o)
	}
	if len(subs) > 0 {
		return fmt.Errorf("%d services lie within services that are not listed", len(subs))
	}
	r.got[VirtualServices] = top
	return nil
}

// serviceID returns the identity of a service that lies in none.
func serviceID(vs *Node) string {
	return address(vs.text("vsaddress")) + "/" + vs.text("vsport") + "/" + strings.ToLower(vs.text("protocol"))
}

// service takes the fields and the real servers of a service.
func (r *Reading) service(vs *Node, c Class) Object {
	o := Object{Class: c}
	r.fill(&o, vs, serviceKey)
	switch o.Value("adaptive") { // what was written as a schedule (loadmaster.md 3.6)
	case "http_rs":
		o.set("schedule", "adaptive")
	case "sdn_gstats":
		o.set("schedule", "sdn-adaptive")
	}
	o.set("adaptive", "")
	for i := range vs.Kids {
		if strings.EqualFold(vs.Kids[i].Name, "rs") && len(vs.Kids[i].Kids) > 0 {
			o.Kids = append(o.Kids, r.realServer(&vs.Kids[i]))
		}
	}
	return o
}

// realServer takes a real server. The address of one with a DNS name is what the
// unit resolved, and no setting.
func (r *Reading) realServer(rs *Node) Object {
	r.objects++
	host := rs.text("dnsname")
	if host == "" {
		host = address(rs.text("addr"))
	}
	o := Object{Class: RealServers, ID: host + ":" + rs.text("port")}
	r.fill(&o, rs, []string{"addr", "dnsname", "port"})
	o.index = rs.text("rsindex")
	r.indexes["!"+o.index] = o.ID
	return o
}

// addSubs gives a service those within it. Each has two entries: a service of its
// own, and what the parent says of it as of a real server.
func (r *Reading) addSubs(o *Object, vs *Node, subs map[string]*Node) error {
	for i := range vs.Kids {
		entry := &vs.Kids[i]
		if !strings.EqualFold(entry.Name, "subvs") || len(entry.Kids) == 0 {
			continue
		}
		index := entry.text("vsindex")
		own, ok := subs[index]
		if !ok {
			return fmt.Errorf("the service within %s is not listed", o.ID)
		}
		delete(subs, index)
		sub := r.service(own, SubServices)
		sub.ID = entry.text("name")
		if nick := sub.Value("nickname"); nick != "" {
			sub.ID = nick
		}
		r.indexes[index] = o.ID + " " + sub.ID
		sub.member = entry.text("rsindex")
		r.indexes["!"+sub.member] = sub.ID
		for j := range entry.Kids {
			switch name := r.name(entry.Kids[j].Name); name {
			case "status", "vsindex", "rsindex", "name", "nrules":
			default:
				r.addField(&sub, r.name("member."+name), textOf(&entry.Kids[j]))
			}
		}
		sub.Fields = joined(sub.Fields)
		sub.Kids = unique(sub.Kids)
		o.Kids = append(o.Kids, sub)
	}
	o.Kids = unique(o.Kids)
	return nil
}

// resolve replaces what services say by index of others by these others'
// identities, and the cipher sets that a unit made for a service by their value: one
// field, because a service has either a set or ciphers, and never both.
// It reports whether all these values were read.
func (r *Reading) resolve(services []Object) bool {
	all := true
	for i := range services {
		o := &services[i]
		r.refer(o, "followvsid", "")
		r.refer(o, "follow", "!")
		if set := o.Value("cipherset"); strings.HasPrefix(set, customSet) {
			all = all && r.custom[set] != ""
			o.set("cipherset", unitSet+r.custom[set])
		}
		all = r.resolve(o.Kids) && all
	}
	return all
}

func (r *Reading) refer(o *Object, field, kind string) {
	switch index := o.Value(field); index {
	case "", "0":
		o.set(field, "")
	default:
		o.set(field, r.indexes[kind+index])
	}
}
