package arm

import (
	"fmt"
	"net/netip"
	"strings"
)

// checkPublicIP refuses an address that a Standard load balancer cannot have,
// and another SKU than before.
func checkPublicIP(r *resource, d, old document) error {
	p := properties(d)
	was, sku := text(object(old, "sku"), "name"), text(object(d, "sku"), "name")
	version := text(p, "publicIPAddressVersion")
	switch {
	case was != "" && sku != "" && !strings.EqualFold(was, sku):
		return refuse(codeFormat, "The SKU of "+r.id+" cannot be changed from "+was+" to "+sku+".")
	case version != "" && !strings.EqualFold(version, "IPv4") && !strings.EqualFold(version, "IPv6"):
		return refuse(codeFormat, "Public IP address "+r.id+" has an unknown publicIPAddressVersion.")
	case !strings.EqualFold(sku, "Basic") && strings.EqualFold(text(p, "publicIPAllocationMethod"), "Dynamic"):
		return refuse(codeFormat, "Standard SKU public IP address "+r.id+" must have Static publicIPAllocationMethod.")
	}
	return nil
}

// completePublicIP fills in defaults, and on creation the address that the
// platform chooses: one of those that are kept for examples. m.mu is held.
func (m *Manager) completePublicIP(d, old document) {
	sku := ensure(d, "sku")
	standard(sku, "name", "Standard")
	standard(sku, "tier", "Regional")
	p := properties(d)
	standard(p, "publicIPAllocationMethod", "Static")
	standard(p, "publicIPAddressVersion", "IPv4")
	standard(p, "idleTimeoutInMinutes", whole(4))
	if address := text(properties(old), "ipAddress"); address != "" {
		p["ipAddress"] = address
	}
	if text(p, "ipAddress") != "" {
		return
	}
	format := "198.51.100.%d"
	if strings.EqualFold(text(p, "publicIPAddressVersion"), "IPv6") {
		format = "2001:db8:51::%d"
	}
	p["ipAddress"] = fmt.Sprintf(format, 1+m.publicN%254)
	m.publicN++
}

// PublicAddress returns the address of a public IP resource, and false where
// there is none.
func (m *Manager) PublicAddress(id string) (netip.Addr, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r, _ := m.find(id)
	if r == nil {
		return netip.Addr{}, false
	}
	addr, err := netip.ParseAddr(text(properties(r.doc), "ipAddress"))
	return addr, err == nil
}
