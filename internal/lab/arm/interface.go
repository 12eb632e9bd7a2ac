package arm

import (
	"net/netip"
	"slices"
	"strings"
)

// completeInterface fills in the defaults of IP configurations.
func completeInterface(d document) {
	configs := list(properties(d), "ipConfigurations")
	for _, c := range configs {
		p := properties(c)
		standard(p, "privateIPAllocationMethod", "Dynamic")
		standard(p, "privateIPAddressVersion", "IPv4")
		standard(p, "primary", len(configs) == 1)
	}
}

// checkInterface refuses what the network provider refuses of an interface
// that joins pools and NAT rules (azure.md 1.2, 1.3, 1.6). m.mu is held.
func (m *Manager) checkInterface(r *resource, d document) error {
	if err := m.checkKinds(r, d); err != nil {
		return err
	}
	for _, c := range list(properties(d), "ipConfigurations") {
		id, p := r.id+"/ipConfigurations/"+text(c, "name"), properties(c)
		if err := m.checkAddress(id, r.id, p); err != nil {
			return err
		}
		for _, pool := range references(p, "loadBalancerBackendAddressPools") {
			if m.holdsAddresses(pool) {
				return refuse(codeFormat, "Backend address pool "+pool+" holds IP addresses, so IP configuration "+id+" cannot be added to it.")
			}
		}
		for _, nat := range references(p, "loadBalancerInboundNatRules") {
			for _, other := range m.natMembers(nat) {
				if !strings.EqualFold(other.ipConfig, id) {
					return refuse(codeFormat, "Inbound NAT rule "+nat+" is already assigned to "+other.ipConfig+".")
				}
			}
		}
	}
	return m.checkJoins(r, d)
}

// holdsAddresses tells whether a pool is one of IP addresses. m.mu is held.
func (m *Manager) holdsAddresses(pool string) bool {
	_, c := m.find(pool)
	return slices.ContainsFunc(list(properties(c), "loadBalancerBackendAddresses"), func(e document) bool {
		return reference(properties(e), "networkInterfaceIPConfiguration") == ""
	})
}

// checkKinds refuses an interface behind two load balancers of one kind: it may
// be behind one internal and one public one (azure.md 1.2). m.mu is held.
func (m *Manager) checkKinds(r *resource, d document) error {
	var internal, public *resource
	for _, lb := range m.balancersOf(r, d) {
		one, code := &internal, "AnotherInternalLoadBalancerExists"
		if isPublic(lb.doc) {
			one, code = &public, codeFormat
		}
		if *one != nil {
			return refuse(code, "Network interface "+r.id+" uses load balancer "+(*one).id+", so it cannot use "+lb.id+" of the same kind.")
		}
		*one = lb
	}
	return nil
}

func isPublic(lb document) bool {
	return slices.ContainsFunc(list(properties(lb), "frontendIPConfigurations"), func(f document) bool {
		return reference(properties(f), "publicIPAddress") != ""
	})
}

// balancersOf returns the load balancers that an interface's document refers
// to. m.mu is held.
func (m *Manager) balancersOf(nic *resource, d document) []*resource {
	var all []*resource
	for _, ref := range referencesOf(nic, d) {
		if lb, _ := m.find(ref.to); lb != nil && lb.kind.is("loadBalancers") && !slices.Contains(all, lb) {
			all = append(all, lb)
		}
	}
	return all
}

// checkJoins refuses an interface that would bring two rules of a load balancer
// to the same port of one IP configuration. m.mu is held.
func (m *Manager) checkJoins(r *resource, d document) error {
	old, known := r.doc, slices.Contains(m.order, r)
	if !known {
		m.order = append(m.order, r)
	}
	r.doc = d
	defer func() {
		r.doc = old
		if !known {
			m.order = m.order[:len(m.order)-1]
		}
	}()
	for _, lb := range m.balancersOf(r, d) {
		p := properties(lb.doc)
		if err := m.checkClashes(lb.id, list(p, "loadBalancingRules"), list(p, "inboundNatRules")); err != nil {
			return err
		}
	}
	return nil
}

// joined brings the load balancers up to date that an interface has joined or
// left: another member and another ETag (azure.md 1.9). The traffic follows
// later. m.mu is held.
func (m *Manager) joined(r *resource, now, old document) {
	uses := func(d document, lb *resource) string {
		var all []string
		for _, ref := range referencesOf(r, d) {
			if strings.HasPrefix(strings.ToLower(ref.to), strings.ToLower(lb.id)+"/") {
				all = append(all, strings.ToLower(ref.from+" "+ref.to))
			}
		}
		slices.Sort(all)
		return strings.Join(all, "\n")
	}
	for _, lb := range m.order {
		if !lb.kind.is("loadBalancers") || uses(now, lb) == uses(old, lb) {
			continue
		}
		d := clone(lb.doc)
		m.restamp(lb, d)
		m.completeLoadBalancer(d)
		lb.doc = d
	}
}

// find returns the resource with an id, and where the id is that of a child,
// the child. Both are nil where there is none. m.mu is held.
func (m *Manager) find(id string) (*resource, document) {
	t := parseTarget(id)
	k := kindOf(t.provider, t.kind)
	if k == nil || t.name == "" || t.verb != "" {
		return nil, nil
	}
	r := m.resources[strings.ToLower(resourceID(t, k))]
	switch {
	case r == nil || t.child == "":
		return r, nil
	case k.collection(t.child) == nil:
		return nil, nil
	}
	c := child(r.doc, k.collection(t.child).name, t.childName)
	if c == nil {
		return nil, nil
	}
	return r, c
}

// checkAddress refuses a static private address that its subnet does not have
// to give. owner is the resource that may have it already. m.mu is held.
func (m *Manager) checkAddress(id, owner string, p document) error {
	subnet := reference(p, "subnet")
	_, s := m.find(subnet)
	prefix, err := netip.ParsePrefix(text(properties(s), "addressPrefix"))
	if err != nil || text(p, "privateIPAddress") == "" {
		return nil
	}
	addr, err := netip.ParseAddr(text(p, "privateIPAddress"))
	what := "Private static IP address " + text(p, "privateIPAddress")
	switch {
	case err != nil:
		return refuse(codeFormat, what+" of "+id+" is not valid.")
	case !prefix.Contains(addr):
		return refuse(codeFormat, what+" of "+id+" does not belong to the range of subnet prefix "+prefix.String()+".")
	case isReserved(prefix, addr):
		return refuse("PrivateIPAddressInReservedRange", what+" falls within reserved IP range of subnet prefix "+prefix.String()+".")
	}
	if holder := m.holder(addr, subnet, owner); holder != "" {
		return refuse("PrivateIPAddressIsAllocated", "IP configuration "+id+" is using the private IP address "+addr.String()+
			" which is already allocated to resource "+holder+".")
	}
	return nil
}

// isReserved tells whether an address is one of the five that Azure keeps in
// every subnet: the first four and the last.
func isReserved(prefix netip.Prefix, addr netip.Addr) bool {
	first := prefix.Masked().Addr()
	for range 4 {
		if addr == first {
			return true
		}
		first = first.Next()
	}
	return addr.Is4() && !prefix.Contains(addr.Next())
}

// holder returns what else has an address in a virtual network. m.mu is held.
func (m *Manager) holder(addr netip.Addr, subnet, owner string) string {
	vnet, _ := m.find(subnet)
	for _, r := range m.order {
		col := map[string]string{"networkInterfaces": "ipConfigurations", "loadBalancers": "frontendIPConfigurations"}[r.kind.name]
		if col == "" || strings.EqualFold(r.id, owner) {
			continue
		}
		for _, c := range list(properties(r.doc), col) {
			p := properties(c)
			a, err := netip.ParseAddr(text(p, "privateIPAddress"))
			if in, _ := m.find(reference(p, "subnet")); err == nil && a == addr && in == vnet {
				return text(c, "id")
			}
		}
	}
	return ""
}
