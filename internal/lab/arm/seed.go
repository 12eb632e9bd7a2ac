package arm

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// Seed puts a resource in place from its JSON document, which needs an id of
// a known type and may hold anything else. It replaces one that is there,
// takes effect at once and raises no event. A load balancer must be one that
// the service would accept; its admin states count, where its pool lists
// interfaces that were seeded before. A machine runs.
func (m *Manager) Seed(doc []byte) error {
	d, err := parseDocument(doc)
	if err != nil {
		return fmt.Errorf("seed resource: %w", err)
	}
	id := text(d, "id")
	t := parseTarget(id)
	k := kindOf(t.provider, t.kind)
	if k == nil || t.name == "" || t.child != "" || t.verb != "" {
		return fmt.Errorf("seed resource %q: the id names no resource of a known type", id)
	}
	m.mu.Lock()
	defer m.unlockAndDeliver()
	r := m.resources[strings.ToLower(id)]
	isNew := r == nil
	if isNew {
		r = &resource{id: id, kind: k}
		if k.is("virtualMachines") {
			r.machine = &machine{power: Running, changed: time.Now()}
		}
	}
	standard(d, "location", "westeurope")
	if err := m.check(r, d, d); err != nil {
		return fmt.Errorf("seed resource %s: %w", id, err)
	}
	if k.provider == networkProvider {
		r.etag = m.newETag()
	}
	if isNew {
		m.store(r)
	}
	m.complete(r, d, r.doc, "Succeeded")
	r.doc = d
	m.refresh(r)
	return nil
}

// refresh brings the load balancers up to date with what was seeded, and the
// data path with the load balancers. m.mu is held.
func (m *Manager) refresh(seeded *resource) {
	if seeded.carriesTraffic() && !seeded.kind.is("loadBalancers") {
		seeded.carried = seeded.doc
		m.guard()
	}
	shared := seeded.kind.is("networkInterfaces") || seeded.kind.is("publicIPAddresses")
	for _, r := range m.order {
		if !r.kind.is("loadBalancers") || !shared && r != seeded {
			continue
		}
		d := clone(r.doc)
		m.completeLoadBalancer(d)
		r.doc = d
		r.version++
		r.applied = r.version
		r.unseen = nil
		m.carry(r, d)
	}
}

// Document returns a resource as GET answers it.
func (m *Manager) Document(id string) (json.RawMessage, error) {
	m.mu.Lock()
	r := m.resources[strings.ToLower(id)]
	var d document
	if r != nil {
		d = m.shown(r)
	}
	m.mu.Unlock()
	if r == nil {
		return nil, fmt.Errorf("read resource %s: it does not exist", id)
	}
	b, err := json.Marshal(d)
	if err != nil {
		return nil, fmt.Errorf("read resource %s: %w", id, err)
	}
	return b, nil
}

// VM is a virtual machine to seed.
type VM struct {
	ID         string
	Location   string // empty means westeurope
	Interfaces []string
	Tags       map[string]string
	Power      PowerState // empty means Running
	// Zone and AvailabilitySet, an id, are where the platform keeps the machine
	// apart from others; at most one of them is set.
	Zone            string
	AvailabilitySet string
}

// SeedVM puts a machine in place.
func (m *Manager) SeedVM(vm VM) error {
	nics := []any{}
	for i, id := range vm.Interfaces {
		nics = append(nics, document{"id": id, "properties": document{"primary": i == 0}})
	}
	p := document{
		"hardwareProfile": document{"vmSize": "Standard_D2s_v5"},
		"networkProfile":  document{"networkInterfaces": nics},
	}
	d := document{"id": vm.ID, "properties": p}
	if vm.Zone != "" {
		d["zones"] = []any{vm.Zone}
	}
	if vm.AvailabilitySet != "" {
		p["availabilitySet"] = document{"id": vm.AvailabilitySet}
	}
	if vm.Tags != nil {
		d["tags"] = vm.Tags
	}
	if err := m.seed(d, vm.Location); err != nil || vm.Power == "" {
		return err
	}
	return m.SetPower(vm.ID, vm.Power)
}

// NIC is a network interface to seed. Pools and NATRules are ids; they make
// its first IP configuration a member.
type NIC struct {
	ID            string
	Location      string // empty means westeurope
	VM            string // id
	Address       netip.Addr
	Subnet        string // id; may be empty, then no security group guards it
	SecurityGroup string // id; may be empty
	Pools         []string
	NATRules      []string
	Secondary     []netip.Addr // of further IP configurations: ipconfig2 and so on
}

// IPConfigurationID is the id of the first IP configuration of the interface.
func (n NIC) IPConfigurationID() string { return n.ID + "/ipConfigurations/ipconfig1" }

// SeedNIC puts an interface in place, and its address into its pools.
func (m *Manager) SeedNIC(n NIC) error {
	if !n.Address.IsValid() {
		return errors.New("seed interface " + n.ID + ": it has no address")
	}
	first := n.configuration(n.Address)
	first["primary"] = true
	setReferences(first, "loadBalancerBackendAddressPools", n.Pools)
	setReferences(first, "loadBalancerInboundNatRules", n.NATRules)
	configs := []any{document{"name": "ipconfig1", "properties": first}}
	for i, addr := range n.Secondary {
		configs = append(configs, document{"name": fmt.Sprintf("ipconfig%d", i+2), "properties": n.configuration(addr)})
	}
	p := document{"primary": true, "ipConfigurations": configs}
	if n.VM != "" {
		p["virtualMachine"] = document{"id": n.VM}
	}
	if n.SecurityGroup != "" {
		p["networkSecurityGroup"] = document{"id": n.SecurityGroup}
	}
	return m.seed(document{"id": n.ID, "properties": p}, n.Location)
}

// configuration returns the properties of an IP configuration.
func (n NIC) configuration(addr netip.Addr) document {
	p := document{"privateIPAddress": addr.String(), "privateIPAllocationMethod": "Static", "primary": false}
	if n.Subnet != "" {
		p["subnet"] = document{"id": n.Subnet}
	}
	return p
}

// VirtualNetwork is a virtual network to seed.
type VirtualNetwork struct {
	ID       string
	Location string // empty means westeurope
	Space    []netip.Prefix
	Subnets  []Subnet
}

// Subnet is a part of a virtual network. SecurityGroup is an id and may be
// empty.
type Subnet struct {
	Name          string
	Prefix        netip.Prefix
	SecurityGroup string
}

// SeedVirtualNetwork puts a virtual network in place.
func (m *Manager) SeedVirtualNetwork(n VirtualNetwork) error {
	space, subnets := []any{}, []any{}
	for _, prefix := range n.Space {
		space = append(space, prefix.String())
	}
	for _, s := range n.Subnets {
		p := document{"addressPrefix": s.Prefix.String()}
		if s.SecurityGroup != "" {
			p["networkSecurityGroup"] = document{"id": s.SecurityGroup}
		}
		subnets = append(subnets, document{"name": s.Name, "properties": p})
	}
	return m.seed(document{"id": n.ID, "properties": document{
		"addressSpace": document{"addressPrefixes": space}, "subnets": subnets,
	}}, n.Location)
}

// SecurityGroup is a network security group to seed, with rules for TCP.
type SecurityGroup struct {
	ID       string
	Location string // empty means westeurope
	Rules    []SecurityRule
}

// SecurityRule lets TCP in, or keeps it out, from sources to a port of
// destinations. Both are addresses, prefixes, tags or *; without destinations
// the rule is about all that the group guards.
type SecurityRule struct {
	Name        string
	Description string
	Priority    int
	Deny        bool
	From, To    []string
	Port        int
}

// SeedSecurityGroup puts a security group in place.
func (m *Manager) SeedSecurityGroup(g SecurityGroup) error {
	rules := []any{}
	for _, r := range g.Rules {
		p := document{
			"direction": "Inbound", "access": "Allow", "priority": whole(r.Priority), "protocol": "Tcp", "sourcePortRange": "*",
			"destinationPortRange": strconv.Itoa(r.Port),
		}
		if r.Description != "" {
			p["description"] = r.Description
		}
		if r.Deny {
			p["access"] = "Deny"
		}
		setPlaces(p, "sourceAddressPrefix", r.From)
		setPlaces(p, "destinationAddressPrefix", r.To)
		rules = append(rules, document{"name": r.Name, "properties": p})
	}
	return m.seed(document{"id": g.ID, "properties": document{"securityRules": rules}}, g.Location)
}

// setPlaces writes the sources or destinations of a rule: one alone, several in
// a list, and * for none.
func setPlaces(p document, key string, places []string) {
	switch len(places) {
	case 0:
		p[key] = "*"
	case 1:
		p[key] = places[0]
	default:
		p[key+"es"] = places
	}
}

// PublicIP is a public address to seed, for frontends that refer to it.
type PublicIP struct {
	ID       string
	Location string // empty means westeurope
	Address  netip.Addr
}

// SeedPublicIP puts a public address in place.
func (m *Manager) SeedPublicIP(ip PublicIP) error {
	return m.seed(document{"id": ip.ID, "sku": document{"name": "Standard"}, "properties": document{
		"ipAddress": ip.Address.String(), "publicIPAllocationMethod": "Static", "publicIPAddressVersion": "IPv4",
	}}, ip.Location)
}

// LoadBalancer is a load balancer of the usual shape to seed; for anything
// else there is Seed. References between its parts are names. A pool holds the
// interfaces that name it, or the addresses that are its Members.
type LoadBalancer struct {
	ID        string
	Location  string // empty means westeurope
	Tags      map[string]string
	Frontends []Frontend
	Pools     []string
	Members   []Member
	Probes    []Probe
	Rules     []Rule
	NATRules  []NATRule
}

// Member is an address in a pool of addresses, of a virtual network, which is
// an id.
type Member struct {
	Pool, Name     string
	Address        netip.Addr
	VirtualNetwork string
}

// Frontend has a private address in a subnet, which is an id, or the id of a
// public one.
type Frontend struct {
	Name     string
	Address  netip.Addr
	Subnet   string
	PublicIP string
}

// Probe is a health probe; with a path it is HTTP, without one TCP.
type Probe struct {
	Name      string
	Port      int
	Path      string
	Interval  time.Duration // whole seconds
	Threshold int
}

// Rule is a load balancing rule for TCP.
type Rule struct {
	Name, Frontend, Pool, Probe string
	FrontendPort, BackendPort   int
}

// NATRule is an inbound NAT rule for TCP.
type NATRule struct {
	Name, Frontend            string
	FrontendPort, BackendPort int
}

// SeedLoadBalancer puts a load balancer in place.
func (m *Manager) SeedLoadBalancer(lb LoadBalancer) error {
	ref := func(col, name string) document { return document{"id": lb.ID + "/" + col + "/" + name} }
	named := func(name string, p document) any { return document{"name": name, "properties": p} }
	frontends, pools, probes, rules, nats := []any{}, []any{}, []any{}, []any{}, []any{}
	for _, f := range lb.Frontends {
		p := document{}
		if f.PublicIP != "" {
			p["publicIPAddress"] = document{"id": f.PublicIP}
		} else {
			p["privateIPAddress"], p["privateIPAllocationMethod"] = f.Address.String(), "Static"
			if f.Subnet != "" {
				p["subnet"] = document{"id": f.Subnet}
			}
		}
		frontends = append(frontends, named(f.Name, p))
	}
	for _, name := range lb.Pools {
		entries := []any{}
		for _, m := range lb.Members {
			if m.Pool == name {
				entries = append(entries, named(m.Name, document{"ipAddress": m.Address.String(), "virtualNetwork": document{"id": m.VirtualNetwork}}))
			}
		}
		pool := document{}
		if len(entries) > 0 {
			pool["loadBalancerBackendAddresses"] = entries
		}
		pools = append(pools, named(name, pool))
	}
	for _, probe := range lb.Probes {
		p := document{
			"protocol": "Tcp", "port": whole(probe.Port), "intervalInSeconds": whole(int(probe.Interval / time.Second)),
			"probeThreshold": whole(probe.Threshold), "numberOfProbes": whole(probe.Threshold),
		}
		if probe.Path != "" {
			p["protocol"], p["requestPath"] = "Http", probe.Path
		}
		probes = append(probes, named(probe.Name, p))
	}
	for _, r := range lb.Rules {
		p := document{
			"protocol": "Tcp", "frontendPort": whole(r.FrontendPort), "backendPort": whole(r.BackendPort),
			"frontendIPConfiguration": ref("frontendIPConfigurations", r.Frontend), "backendAddressPool": ref("backendAddressPools", r.Pool),
		}
		if r.Probe != "" {
			p["probe"] = ref("probes", r.Probe)
		}
		rules = append(rules, named(r.Name, p))
	}
	for _, r := range lb.NATRules {
		nats = append(nats, named(r.Name, document{
			"protocol": "Tcp", "frontendPort": whole(r.FrontendPort), "backendPort": whole(r.BackendPort),
			"frontendIPConfiguration": ref("frontendIPConfigurations", r.Frontend),
		}))
	}
	d := document{"id": lb.ID, "properties": document{
		"frontendIPConfigurations": frontends, "backendAddressPools": pools,
		"probes": probes, "loadBalancingRules": rules, "inboundNatRules": nats,
	}}
	if lb.Tags != nil {
		d["tags"] = lb.Tags
	}
	return m.seed(d, lb.Location)
}

// seed hands a document to Seed.
func (m *Manager) seed(d document, location string) error {
	if location != "" {
		d["location"] = location
	}
	b, err := json.Marshal(d)
	if err != nil {
		return fmt.Errorf("seed resource: %w", err)
	}
	return m.Seed(b)
}
