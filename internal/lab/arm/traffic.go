package arm

import (
	"net/http"
	"net/netip"
	"strings"
	"time"

	"tandem/internal/lab/dataplane"
)

// traffic translates a load balancer for the data path. UDP rules, HA ports,
// NAT ranges and outbound rules carry no packet in the lab. m.mu is held.
func (m *Manager) traffic(id string, d document) dataplane.LoadBalancer {
	p := properties(d)
	lb := dataplane.LoadBalancer{ID: id}
	for _, f := range list(p, "frontendIPConfigurations") {
		lb.Frontends = append(lb.Frontends, dataplane.Frontend{Name: text(f, "name"), Address: m.address(f)})
	}
	for _, pool := range list(p, "backendAddressPools") {
		lb.Pools = append(lb.Pools, dataplane.Pool{Name: text(pool, "name"), Backends: m.backends(pool)})
	}
	for _, probe := range list(p, "probes") {
		q := properties(probe)
		lb.Probes = append(lb.Probes, dataplane.Probe{
			Name:              text(probe, "name"),
			Protocol:          probeProtocol(text(q, "protocol")),
			Port:              number(q, "port", 0),
			Path:              text(q, "requestPath"),
			Interval:          time.Duration(number(q, "intervalInSeconds", 15)) * time.Second,
			Threshold:         number(q, "probeThreshold", 1),
			NoHealthyBackends: dataplane.NoHealthyBackends(text(q, "noHealthyBackendsBehavior")),
		})
	}
	for _, rule := range list(p, "loadBalancingRules") {
		q := properties(rule)
		pools, err := rulePools("", q)
		if err != nil || len(pools) == 0 || strings.EqualFold(text(q, "protocol"), "Udp") || number(q, "frontendPort", 0) == 0 {
			continue
		}
		port := number(q, "frontendPort", 0)
		lb.Rules = append(lb.Rules, dataplane.Rule{
			Name:         text(rule, "name"),
			Frontend:     lastSegment(reference(q, "frontendIPConfiguration")),
			FrontendPort: port,
			BackendPort:  number(q, "backendPort", port),
			Pool:         lastSegment(pools[0]),
			Probe:        lastSegment(reference(q, "probe")),
			Distribution: dataplane.Distribution(text(q, "loadDistribution")),
			FloatingIP:   truth(q, "enableFloatingIP"),
			IdleTimeout:  time.Duration(number(q, "idleTimeoutInMinutes", 4)) * time.Minute,
		})
	}
	for _, nat := range list(p, "inboundNatRules") {
		q := properties(nat)
		members := m.natMembers(text(nat, "id"))
		if len(members) == 0 || strings.EqualFold(text(q, "protocol"), "Udp") {
			continue
		}
		lb.NATRules = append(lb.NATRules, dataplane.NATRule{
			Name:         text(nat, "name"),
			Frontend:     lastSegment(reference(q, "frontendIPConfiguration")),
			FrontendPort: number(q, "frontendPort", 0),
			BackendPort:  number(q, "backendPort", 0),
			Backend:      members[0].address,
			IdleTimeout:  time.Duration(number(q, "idleTimeoutInMinutes", 4)) * time.Minute,
		})
	}
	return lb
}

func probeProtocol(s string) dataplane.Protocol {
	for _, p := range []dataplane.Protocol{dataplane.HTTPS, dataplane.TCP} {
		if strings.EqualFold(s, string(p)) {
			return p
		}
	}
	return dataplane.HTTP
}

// backends lists the addresses of a pool of either kind. m.mu is held.
func (m *Manager) backends(pool document) []dataplane.Backend {
	entries := list(properties(pool), "loadBalancerBackendAddresses")
	state := func(e document) dataplane.AdminState { return dataplane.AdminState(text(properties(e), "adminState")) }
	var backends []dataplane.Backend
	if members := m.members(text(pool, "id")); len(members) > 0 {
		for _, mem := range members {
			backends = append(backends, dataplane.Backend{Name: mem.machine, Address: mem.address, AdminState: state(mem.entry(entries))})
		}
		return backends
	}
	for _, e := range entries {
		addr, err := netip.ParseAddr(text(properties(e), "ipAddress"))
		if err != nil {
			continue
		}
		name := text(e, "name")
		if nic, known := m.interfaceAt(addr); known {
			name = nic.machine
		}
		backends = append(backends, dataplane.Backend{Name: name, Address: addr, AdminState: state(e)})
	}
	return backends
}

// interfaceAt finds the interface with an address. m.mu is held.
func (m *Manager) interfaceAt(addr netip.Addr) (member, bool) {
	for _, mem := range m.interfaces("", "") {
		if mem.address == addr {
			return mem, true
		}
	}
	return member{}, false
}

// healthBody is the answer of the health action.
type healthBody struct {
	Up        int             `json:"up"`
	Down      int             `json:"down"`
	Addresses []backendHealth `json:"loadBalancerBackendAddresses"`
}

type backendHealth struct {
	Address   string `json:"ipAddress"`
	Interface string `json:"networkInterfaceIPConfigurationId,omitempty"`
	State     string `json:"state"`
	Reason    string `json:"reason"`
}

// health starts the health action of a rule; what the data path thinks is
// asked when it ends. m.mu is held.
func (m *Manager) health(c *call, r *resource, rule document) (answer, error) {
	if reference(properties(rule), "probe") == "" {
		return answer{}, refuse(codeFormat, "Load balancing rule "+text(rule, "id")+" has no probe, so it has no health.")
	}
	op := m.newOperation(c, r, "GetLoadBalancingRuleHealthOperation")
	id, name := r.id, text(rule, "name")
	pool := m.members(reference(properties(rule), "backendAddressPool"))
	m.after(m.opts.HealthDelay, func() {
		m.later(func() {
			health := m.path.Health(id, name)
			m.mu.Lock()
			defer m.unlockAndDeliver()
			op.body = healthAnswer(health, pool)
			m.finish(op, succeeded, nil)
		})
	})
	return answer{status: http.StatusAccepted, header: m.locationHeader(c, op)}, nil
}

func healthAnswer(health []dataplane.BackendHealth, pool []member) healthBody {
	b := healthBody{Addresses: []backendHealth{}}
	for _, h := range health {
		switch h.State {
		case dataplane.StateUp:
			b.Up++
		case dataplane.StateDown:
			b.Down++
		case dataplane.StateNA: // counts as neither
		}
		a := backendHealth{Address: h.Address.String(), State: string(h.State), Reason: string(h.Reason)}
		for _, mem := range pool {
			if mem.address == h.Address {
				a.Interface = mem.ipConfig
			}
		}
		b.Addresses = append(b.Addresses, a)
	}
	return b
}
