package loadmaster

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
)

// Command lets a person do at the unit's pages what a command of the API does, or lets
// it have been done before a story began, where the unit is off. It fails where the
// unit refuses.
func (u *Unit) Command(name string, args map[string]string) error {
	if a := u.execute(name, maps.Clone(args)); a.status != 200 {
		return fmt.Errorf("%s on %s: %s", name, u.cfg.Name, a.text)
	}
	return nil
}

// GEOView is what people see of GEO at the unit's pages.
type GEOView struct {
	Access, Partners []netip.Addr
	PartnersUp       []netip.Addr // of Partners, those in whose status stands Up
	Clusters         []string     // names
	ClusterIDs       []int        // in the same order
	ClusterAddresses []netip.Addr // in the same order
}

// GEO is what the unit shows of GEO.
func (u *Unit) GEO() GEOView {
	u.mu.Lock()
	defer u.mu.Unlock()
	v := GEOView{Access: addressList(u.parameters["geoclients"]), Partners: addressList(u.parameters["geopartners"])}
	v.PartnersUp = slices.DeleteFunc(slices.Clone(v.Partners), func(a netip.Addr) bool { return u.geo.partners[a] != upDown(true) })
	for _, c := range u.geo.clusters {
		v.Clusters, v.ClusterIDs = append(v.Clusters, c.Name), append(v.ClusterIDs, c.Index)
		v.ClusterAddresses = append(v.ClusterAddresses, c.Address)
	}
	return v
}
