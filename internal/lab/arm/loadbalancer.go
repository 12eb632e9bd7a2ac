package arm

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// checkLoadBalancer refuses what the network provider refuses (azure.md 1.3,
// 1.4, 1.6). old is nil on creation. m.mu is held.
func (m *Manager) checkLoadBalancer(r *resource, d, old document) error {
	p := properties(d)
	for _, pool := range list(p, "backendAddressPools") {
		id := r.id + "/backendAddressPools/" + text(pool, "name")
		if err := checkPool(id, pool, child(old, "backendAddressPools", text(pool, "name")), m.members(id)); err != nil {
			return err
		}
	}
	for _, probe := range list(p, "probes") {
		if err := checkProbe(r.id+"/probes/"+text(probe, "name"), properties(probe)); err != nil {
			return err
		}
	}
	rules, nats := list(p, "loadBalancingRules"), list(p, "inboundNatRules")
	if len(rules)+len(nats)+len(list(p, "outboundRules")) > 0 && len(list(p, "frontendIPConfigurations")) == 0 {
		return refuse("LoadBalancerWithoutFrontendIPCantHaveChildResources",
			"Load balancer "+r.id+" does not have a frontend IP configuration, but has child resources that need one.")
	}
	for _, rule := range rules {
		if err := checkRule(r.id, d, rule, "loadBalancingRules"); err != nil {
			return err
		}
	}
	for _, nat := range nats {
		if err := checkRule(r.id, d, nat, "inboundNatRules"); err != nil {
			return err
		}
	}
	return m.checkClashes(r.id, rules, nats)
}

// checkFrontends refuses frontends that have no place, another one's address, or
// a public address of another SKU, and a load balancer that is now of another
// SKU than before (azure.md 1.2). m.mu is held.
func (m *Manager) checkFrontends(r *resource, d document) error {
	sku, was := skuOf(d), skuOf(r.doc)
	if r.doc != nil && !strings.EqualFold(sku, was) {
		return refuse(codeFormat, "The SKU of "+r.id+" cannot be changed from "+was+" to "+sku+".")
	}
	for _, f := range list(properties(d), "frontendIPConfigurations") {
		id, p := r.id+"/frontendIPConfigurations/"+text(f, "name"), properties(f)
		subnet, public := reference(p, "subnet"), reference(p, "publicIPAddress")
		switch {
		case subnet == "" && public == "" && reference(p, "publicIPPrefix") == "":
			return refuse("FrontendIPConfigHasNoSubnetOrPublicIP", "Frontend IP Configuration "+id+" must reference either a Subnet or a Public IP Address.")
		case subnet != "" && public != "":
			return refuse("FrontendIPConfigHasBothSubnetAndPublicIP", "Frontend IP Configuration "+id+" must not reference both a Subnet and a Public IP Address.")
		}
		if err := m.checkAddress(id, r.id, p); err != nil {
			return err
		}
		if ip, _ := m.find(public); ip != nil && !strings.EqualFold(skuOf(ip.doc), sku) {
			return refuse("DifferentSkuLoadBalancersAndPublicIPAddressNotAllowed", "Load balancer "+r.id+" of SKU "+sku+" cannot reference "+public+" of SKU "+skuOf(ip.doc)+".")
		}
	}
	return nil
}

// skuOf returns the SKU of a document, which is Standard where none is named.
func skuOf(d document) string {
	if name := text(object(d, "sku"), "name"); name != "" {
		return name
	}
	return "Standard"
}

// child finds a child by its name.
func child(d document, col, name string) document {
	for _, c := range list(properties(d), col) {
		if strings.EqualFold(text(c, "name"), name) {
			return c
		}
	}
	return nil
}

// noProbePorts are the ports that HTTP probes may not use (azure.md 1.4).
var noProbePorts = []int{19, 21, 25, 70, 110, 119, 143, 220, 993}

func checkProbe(id string, p document) error {
	protocol, path := text(p, "protocol"), text(p, "requestPath")
	port := number(p, "port", 0)
	isTCP := strings.EqualFold(protocol, "Tcp")
	isHTTP := strings.EqualFold(protocol, "Http") || strings.EqualFold(protocol, "Https")
	var wrong string
	switch {
	case !isTCP && !isHTTP:
		wrong = "has no protocol Http, Https or Tcp"
	case port < 1 || port > 65535:
		wrong = "has no port between 1 and 65535"
	case isHTTP && path == "":
		wrong = "needs a requestPath"
	case isTCP && path != "":
		wrong = "cannot have a requestPath"
	case isHTTP && slices.Contains(noProbePorts, port):
		wrong = fmt.Sprintf("cannot use port %d", port)
	case number(p, "intervalInSeconds", 15) < 5:
		wrong = "has an interval of less than 5 seconds"
	case number(p, "probeThreshold", 1) < 1:
		wrong = "has a threshold of less than 1"
	case !oneOf(text(p, "noHealthyBackendsBehavior"), "", "AllProbedDown", "AllProbedUp"):
		wrong = "has an unknown noHealthyBackendsBehavior"
	default:
		return nil
	}
	return refuse(codeFormat, "Probe "+id+" "+wrong+".")
}

func oneOf(s string, values ...string) bool { return slices.Contains(values, s) }

// checkRule refuses a rule whose numbers or references are wrong.
func checkRule(lb string, d, rule document, col string) error {
	p := properties(rule)
	id := lb + "/" + col + "/" + text(rule, "name")
	references := map[string][]string{"frontendIPConfigurations": {reference(p, "frontendIPConfiguration")}}
	if col == "loadBalancingRules" {
		pools, err := rulePools(id, p)
		if err != nil {
			return err
		}
		references["backendAddressPools"] = pools
		if probe := reference(p, "probe"); probe != "" {
			references["probes"] = []string{probe}
		}
	}
	for _, kind := range []string{"frontendIPConfigurations", "backendAddressPools", "probes"} {
		for _, ref := range references[kind] {
			name := lastSegment(ref)
			if !strings.EqualFold(ref, lb+"/"+kind+"/"+name) || child(d, kind, name) == nil {
				return refuse("InvalidResourceReference", "Resource "+ref+" referenced by resource "+id+
					" was not found. Please make sure that the referenced resource exists, and that both resources are in the same region.")
			}
		}
	}
	var wrong string
	switch idle, ranged := number(p, "idleTimeoutInMinutes", 4), number(p, "frontendPortRangeStart", 0) > 0; {
	case !oneOf(strings.ToLower(text(p, "protocol")), "tcp", "udp", "all"):
		wrong = "has no protocol Tcp, Udp or All"
	case !ranged && !within(number(p, "frontendPort", -1), 0, 65534):
		wrong = "has no frontendPort between 0 and 65534"
	case !within(number(p, "backendPort", -1), 0, 65535) && (col != "loadBalancingRules" || p["backendPort"] != nil):
		wrong = "has no backendPort between 0 and 65535"
	case !within(idle, 4, 100):
		wrong = "has no idleTimeoutInMinutes between 4 and 100"
	case !oneOf(text(p, "loadDistribution"), "", "Default", "SourceIP", "SourceIPProtocol"):
		wrong = "has an unknown loadDistribution"
	default:
		return nil
	}
	return refuse(codeFormat, "Rule "+id+" "+wrong+".")
}

func within(n, low, high int) bool { return n >= low && n <= high }

// rulePools returns the pools of a rule, which it may name in two ways that
// must agree.
func rulePools(id string, p document) ([]string, error) {
	one, all := reference(p, "backendAddressPool"), references(p, "backendAddressPools")
	switch {
	case one == "":
		return all, nil
	case len(all) == 0 || len(all) == 1 && strings.EqualFold(all[0], one):
		return []string{one}, nil
	}
	return nil, refuse("LoadBalancingRuleBackendAdressPoolAndBackendAddressPoolsCannotBeSetAtTheSameTimeWithDifferentValue",
		"Load balancing rule "+id+" has different values in backendAddressPool and backendAddressPools.")
}

// checkClashes refuses two rules that cannot be told apart at the frontend or
// at the backend. m.mu is held.
func (m *Manager) checkClashes(lb string, rules, nats []document) error {
	all := make([]socket, 0, len(rules)+len(nats))
	for _, r := range rules {
		all = append(all, m.socketOf(lb, r, false))
	}
	for _, r := range nats {
		all = append(all, m.socketOf(lb, r, true))
	}
	for i, b := range all {
		for _, a := range all[:i] {
			if err := a.clash(b); err != nil {
				return err
			}
		}
	}
	return nil
}

// socket is what a rule takes at both ends.
type socket struct {
	id           string
	nat          bool
	protocol     string
	frontend     string
	frontendPort int
	backendPort  int
	floating     bool
	pools        []string
	ipConfigs    []string
}

// socketOf describes a rule. m.mu is held.
func (m *Manager) socketOf(lb string, rule document, nat bool) socket {
	p := properties(rule)
	s := socket{
		nat:          nat,
		protocol:     strings.ToLower(text(p, "protocol")),
		frontend:     strings.ToLower(reference(p, "frontendIPConfiguration")),
		frontendPort: number(p, "frontendPort", 0),
		backendPort:  number(p, "backendPort", number(p, "frontendPort", 0)),
		floating:     truth(p, "enableFloatingIP"),
	}
	if nat {
		s.id = lb + "/inboundNatRules/" + text(rule, "name")
		for _, member := range m.natMembers(s.id) {
			s.ipConfigs = append(s.ipConfigs, strings.ToLower(member.ipConfig))
		}
		return s
	}
	s.id = lb + "/loadBalancingRules/" + text(rule, "name")
	pools, _ := rulePools(s.id, p) // checked before
	for _, pool := range pools {
		s.pools = append(s.pools, strings.ToLower(pool))
		for _, member := range m.members(pool) {
			s.ipConfigs = append(s.ipConfigs, strings.ToLower(member.ipConfig))
		}
	}
	return s
}

// clash compares two rules (azure.md 1.6).
func (s socket) clash(t socket) error {
	if s.protocol != t.protocol && s.protocol != "all" && t.protocol != "all" {
		return nil
	}
	what := fmt.Sprintf("%s and %s with protocol %s and backend port %d", s.id, t.id, t.protocol, t.backendPort)
	if s.frontend == t.frontend && s.frontendPort == t.frontendPort && s.frontendPort != 0 {
		return refuse(codeFormat, "Rules use the same frontend port: "+what+".")
	}
	if s.floating || t.floating || s.backendPort != t.backendPort {
		return nil
	}
	if !s.nat && !t.nat && intersect(s.pools, t.pools) {
		return refuse("RulesUseSameBackendPortProtocolAndPool", "Rules use the same pool: "+what+".")
	}
	if intersect(s.ipConfigs, t.ipConfigs) {
		return refuse("RulesUseSameBackendPortProtocolAndIPConfig", "Rules use the same IP configuration: "+what+".")
	}
	return nil
}

func intersect(a, b []string) bool {
	return slices.ContainsFunc(a, func(s string) bool { return slices.Contains(b, s) })
}

// completeLoadBalancer fills in defaults, members and back references. m.mu
// is held.
func (m *Manager) completeLoadBalancer(d document) {
	sku := ensure(d, "sku")
	standard(sku, "name", "Standard")
	standard(sku, "tier", "Regional")
	p := properties(d)
	for _, probe := range list(p, "probes") {
		q := properties(probe)
		standard(q, "intervalInSeconds", whole(15))
		standard(q, "numberOfProbes", whole(1))
		standard(q, "probeThreshold", whole(1))
		standard(q, "noHealthyBackendsBehavior", "AllProbedDown")
	}
	for _, rule := range list(p, "loadBalancingRules") {
		q := properties(rule)
		standardRule(q)
		standard(q, "loadDistribution", "Default")
		standard(q, "disableOutboundSnat", false)
		if pools, err := rulePools("", q); err == nil && len(pools) == 1 {
			q["backendAddressPool"] = document{"id": pools[0]}
			setReferences(q, "backendAddressPools", pools)
		}
	}
	for _, nat := range list(p, "inboundNatRules") {
		q := properties(nat)
		standardRule(q)
		delete(q, "backendIPConfiguration")
		if members := m.natMembers(text(nat, "id")); len(members) > 0 {
			q["backendIPConfiguration"] = document{"id": members[0].ipConfig}
		}
	}
	for _, pool := range list(p, "backendAddressPools") {
		m.completePool(pool)
	}
	for _, f := range list(p, "frontendIPConfigurations") {
		standard(properties(f), "privateIPAllocationMethod", "Dynamic")
		setReferences(properties(f), "inboundNatRules", users(p, "inboundNatRules", "frontendIPConfiguration", text(f, "id")))
	}
	for _, back := range [][2]string{{"frontendIPConfigurations", "frontendIPConfiguration"}, {"backendAddressPools", "backendAddressPool"}, {"probes", "probe"}} {
		for _, c := range list(p, back[0]) {
			setReferences(properties(c), "loadBalancingRules", users(p, "loadBalancingRules", back[1], text(c, "id")))
		}
	}
}

func standardRule(p document) {
	standard(p, "enableFloatingIP", false)
	standard(p, "enableTcpReset", false)
	standard(p, "idleTimeoutInMinutes", whole(4))
}

// users returns the ids of the rules that refer to a child.
func users(p document, col, field, id string) []string {
	var ids []string
	for _, rule := range list(p, col) {
		if strings.EqualFold(reference(properties(rule), field), id) {
			ids = append(ids, text(rule, "id"))
		}
	}
	return ids
}

// address returns the address of a frontend, if it has one. m.mu is held.
func (m *Manager) address(frontend document) netip.Addr {
	p := properties(frontend)
	s := text(p, "privateIPAddress")
	if public := m.resources[strings.ToLower(reference(p, "publicIPAddress"))]; public != nil {
		s = text(properties(public.doc), "ipAddress")
	}
	addr, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Addr{}
	}
	return addr
}
