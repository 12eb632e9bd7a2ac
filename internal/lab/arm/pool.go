package arm

import (
	"net/netip"
	"slices"
	"strings"
)

// member is an IP configuration of a network interface that belongs to a
// pool or to a NAT rule. Membership lives in the interface (azure.md 1.3).
type member struct {
	ipConfig string // its id
	name     string // of the entry in the pool
	address  netip.Addr
	machine  string // the name of the VM, or of the interface where there is none
}

// members returns the members of a pool, oldest interface first. m.mu is held.
func (m *Manager) members(pool string) []member {
	return m.interfaces("loadBalancerBackendAddressPools", pool)
}

// natMembers returns whom a NAT rule forwards to. m.mu is held.
func (m *Manager) natMembers(rule string) []member {
	return m.interfaces("loadBalancerInboundNatRules", rule)
}

// interfaces returns the IP configurations that refer to an id; the empty
// field finds all. m.mu is held.
func (m *Manager) interfaces(field, id string) []member {
	var found []member
	for _, r := range m.order {
		if !r.kind.is("networkInterfaces") {
			continue
		}
		p := properties(r.doc)
		machine := lastSegment(reference(p, "virtualMachine"))
		if machine == "" {
			machine = r.name()
		}
		for _, c := range list(p, "ipConfigurations") {
			q := properties(c)
			if field != "" && !slices.ContainsFunc(references(q, field), func(ref string) bool { return strings.EqualFold(ref, id) }) {
				continue
			}
			addr, err := netip.ParseAddr(text(q, "privateIPAddress"))
			if err != nil {
				continue
			}
			name := parseTarget(r.id).group + "_" + r.name() + text(c, "name")
			found = append(found, member{ipConfig: text(c, "id"), name: name, address: addr, machine: machine})
		}
	}
	return found
}

// checkPool refuses a pool that edits what only interfaces can, or that is
// wrong in itself. old is nil for a new pool.
func checkPool(id string, pool, old document, members []member) error {
	p := properties(pool)
	entries := list(p, "loadBalancerBackendAddresses")
	ofNICs := len(members) > 0
	for _, e := range entries {
		q := properties(e)
		nic := reference(q, "networkInterfaceIPConfiguration")
		if !oneOf(text(q, "adminState"), "", "None", "Up", "Down") {
			return refuse(codeFormat, "An address of "+id+" has an unknown adminState.")
		}
		if nic != "" && (old == nil || !ofNICs) {
			return nicPoolRefused(id)
		}
		if !ofNICs {
			if _, err := netip.ParseAddr(text(q, "ipAddress")); err != nil {
				return refuse(codeFormat, "An address of "+id+" has no valid ipAddress.")
			}
			if reference(q, "virtualNetwork")+reference(q, "subnet")+reference(p, "virtualNetwork") == "" {
				return refuse(codeFormat, "An address of "+id+" has neither a virtualNetwork nor a subnet.")
			}
		}
	}
	if ofNICs && p["loadBalancerBackendAddresses"] != nil && !sameMembers(entries, members) {
		return nicPoolRefused(id)
	}
	return nil
}

func nicPoolRefused(id string) *failure {
	return refuse("ModificationOfNICIpConfigBackendPoolNotSupported",
		"Modifying the membership of backend address pool "+id+", which holds IP configurations of network interfaces, is not supported.")
}

// sameMembers tells whether the entries of a pool are its members, each once.
func sameMembers(entries []document, members []member) bool {
	if len(entries) != len(members) {
		return false
	}
	for _, mem := range members {
		if mem.entry(entries) == nil {
			return false
		}
	}
	return true
}

// entry finds the entry of a member by its interface, or by its name where
// the entry names no interface.
func (mem member) entry(entries []document) document {
	for _, e := range entries {
		nic := reference(properties(e), "networkInterfaceIPConfiguration")
		if strings.EqualFold(nic, mem.ipConfig) || nic == "" && text(e, "name") == mem.name {
			return e
		}
	}
	return nil
}

// completePool fills in the members of a pool of interfaces and what the
// service adds to every address. m.mu is held.
func (m *Manager) completePool(pool document) {
	p := properties(pool)
	standard(p, "loadBalancerBackendAddresses", []any{})
	members := m.members(text(pool, "id"))
	ids := make([]string, len(members))
	if len(members) > 0 {
		entries := list(p, "loadBalancerBackendAddresses")
		filled := make([]any, len(members))
		for i, mem := range members {
			e := mem.entry(entries)
			if e == nil {
				e = document{"name": mem.name}
			}
			q := ensure(e, "properties")
			q["networkInterfaceIPConfiguration"] = document{"id": mem.ipConfig}
			delete(q, "ipAddress")
			if m.opts.ShowNICAddresses {
				q["ipAddress"] = mem.address.String()
			}
			filled[i], ids[i] = e, mem.ipConfig
		}
		p["loadBalancerBackendAddresses"] = filled
	}
	setReferences(p, "backendIPConfigurations", ids)
	for _, e := range list(p, "loadBalancerBackendAddresses") {
		standard(ensure(e, "properties"), "adminState", "None")
	}
}

// forgetPools takes the pools and NAT rules that a load balancer no longer
// has out of the interfaces. m.mu is held.
func (m *Manager) forgetPools(lb *resource, now document) {
	if !lb.kind.is("loadBalancers") {
		return
	}
	for _, r := range m.order {
		if !r.kind.is("networkInterfaces") {
			continue
		}
		d, left := clone(r.doc), false
		for _, c := range list(properties(d), "ipConfigurations") {
			q := properties(c)
			for field, col := range map[string]string{"loadBalancerBackendAddressPools": "backendAddressPools", "loadBalancerInboundNatRules": "inboundNatRules"} {
				had := references(q, field)
				kept := slices.DeleteFunc(slices.Clone(had), func(id string) bool {
					prefix := lb.id + "/" + col + "/"
					mine := len(id) > len(prefix) && strings.EqualFold(id[:len(prefix)], prefix)
					return mine && child(now, col, lastSegment(id)) == nil
				})
				setReferences(q, field, kept)
				left = left || len(kept) < len(had)
			}
		}
		if left {
			m.restamp(r, d)
			r.doc = d
		}
	}
}
