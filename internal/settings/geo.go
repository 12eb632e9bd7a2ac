package settings

import (
	"fmt"
	"strings"
)

// takeNames takes the list of GEO names with their maps and resource records.
func (r *Reading) takeNames(n *Node) error {
	names := []Object{}
	key := GEONames.spec().key
	for i := range n.Kids {
		fqdn := &n.Kids[i]
		id, ok := identityOf(fqdn, key)
		if !ok {
			if !fqdn.empty(nil) {
				return fmt.Errorf("expected names, found %.40q", fqdn.Name)
			}
			continue
		}
		if r.objects += len(fqdn.Kids); r.objects > maxObjects {
			return fmt.Errorf("more than %d objects", maxObjects)
		}
		o := Object{Class: GEONames, ID: strings.TrimSuffix(id, ".")}
		plain := Node{}
		for j := range fqdn.Kids {
			kid := &fqdn.Kids[j]
			switch {
			case len(kid.Kids) == 0:
				plain.Kids = append(plain.Kids, *kid)
			case strings.EqualFold(kid.Name, "map"):
				o.Kids = append(o.Kids, r.geoMap(kid))
			default:
				o.Kids = append(o.Kids, r.record(kid))
			}
		}
		r.fill(&o, &plain, key)
		o.Kids = unique(o.Kids)
		names = append(names, o)
	}
	r.got[GEONames] = names
	return nil
}

func (r *Reading) geoMap(n *Node) Object {
	o := Object{Class: GEOMaps, ID: address(n.text("ipaddress"))}
	r.fill(&o, n, []string{"ipaddress"})
	return o
}

func (r *Reading) record(n *Node) Object {
	o := Object{Class: GEORecords, ID: strings.ToLower(n.text("type")) + " " + n.text("rdata|name|value")}
	r.fill(&o, n, nil)
	return o
}
