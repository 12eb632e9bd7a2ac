package arm

import "strings"

// withUsers returns a document with what the service adds when it is read: who
// refers to the resource. These fields are read-only and never kept. m.mu is
// held.
func (m *Manager) withUsers(r *resource, d document) document {
	switch r.kind.name {
	case "networkSecurityGroups":
		d = clone(d)
		p := ensure(d, "properties")
		setReferences(p, "networkInterfaces", m.referring("networkInterfaces", r.id))
		setReferences(p, "subnets", m.referring("virtualNetworks", r.id))
	case "virtualNetworks":
		d = clone(d)
		for _, s := range list(properties(d), "subnets") {
			id := text(s, "id")
			setReferences(ensure(s, "properties"), "ipConfigurations",
				append(m.referring("networkInterfaces", id), m.referring("loadBalancers", id)...))
		}
	case "publicIPAddresses":
		for _, id := range append(m.referring("loadBalancers", r.id), m.referring("networkInterfaces", r.id)...) {
			d = clone(d)
			ensure(d, "properties")["ipConfiguration"] = document{"id": id}
			break
		}
	}
	return d
}

// withoutUsers removes from a document what withUsers adds.
func withoutUsers(k *kind, d document) {
	p := properties(d)
	switch k.name {
	case "networkSecurityGroups":
		delete(p, "networkInterfaces")
		delete(p, "subnets")
	case "virtualNetworks":
		for _, s := range list(p, "subnets") {
			delete(properties(s), "ipConfigurations")
		}
	case "publicIPAddresses":
		delete(p, "ipConfiguration")
	}
}

// referring returns the ids of the resources of a kind, or of their children,
// that refer to an id, oldest resource first. m.mu is held.
func (m *Manager) referring(kindName, id string) []string {
	var ids []string
	for _, r := range m.order {
		if !r.kind.is(kindName) {
			continue
		}
		for _, ref := range referencesOf(r, r.doc) {
			if strings.EqualFold(ref.to, id) {
				ids = append(ids, ref.from)
			}
		}
	}
	return ids
}

// mention is a reference from a resource or one of its children to another
// resource or one of its children.
type mention struct{ from, to string }

// referencesOf lists what a document refers to outside of itself.
func referencesOf(r *resource, d document) []mention {
	var all []mention
	p := properties(d)
	add := func(from string, to ...string) {
		for _, id := range to {
			if id != "" {
				all = append(all, mention{from, id})
			}
		}
	}
	each := func(col string, refer func(from string, p document)) {
		for _, c := range list(p, col) {
			refer(r.id+"/"+col+"/"+text(c, "name"), properties(c))
		}
	}
	switch r.kind.name {
	case "loadBalancers":
		each("frontendIPConfigurations", func(from string, p document) {
			add(from, reference(p, "subnet"), reference(p, "publicIPAddress"))
		})
		each("backendAddressPools", func(from string, p document) {
			add(from, reference(p, "virtualNetwork"))
			for _, e := range list(p, "loadBalancerBackendAddresses") {
				add(from, reference(properties(e), "virtualNetwork"), reference(properties(e), "subnet"))
			}
		})
	case "networkInterfaces":
		add(r.id, reference(p, "networkSecurityGroup"))
		each("ipConfigurations", func(from string, p document) {
			add(from, reference(p, "subnet"), reference(p, "publicIPAddress"))
			add(from, references(p, "loadBalancerBackendAddressPools")...)
			add(from, references(p, "loadBalancerInboundNatRules")...)
		})
	case "virtualNetworks":
		each("subnets", func(from string, p document) { add(from, reference(p, "networkSecurityGroup")) })
	}
	return all
}
