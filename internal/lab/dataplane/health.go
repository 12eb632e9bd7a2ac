package dataplane

import (
	"fmt"
	"net/netip"
	"strings"
)

// State is the health state of a backend for one rule. Empty is what the
// platform shows for a machine that is switched off.
type State string

// The states. StateNA, not probed yet, counts as neither up nor down.
const (
	StateUp   State = "Up"
	StateDown State = "Down"
	StateNA   State = "NA"
)

// Reason explains a State in the platform's words (azure.md 1.11).
type Reason string

// The reasons that this data path gives.
const (
	UpProbeSuccess              Reason = "Up_Probe_Success"
	UpAllDownIsUp               Reason = "Up_Probe_AllDownIsUp"
	UpApproachingUnhealthy      Reason = "Up_Probe_ApproachingUnhealthyThreshold"
	UpAdmin                     Reason = "Up_Admin"
	DownHTTPStatusCodeError     Reason = "Down_Probe_HttpStatusCodeError"
	DownHTTPEndpointUnreachable Reason = "Down_Probe_HttpEndpointUnreachable"
	DownTCPProbeTimeout         Reason = "Down_Probe_TcpProbeTimeout"
	DownHTTPNoResponse          Reason = "Down_Probe_HttpNoResponse"
	DownApproachingHealthy      Reason = "Down_Probe_ApproachingHealthyThreshold"
	DownAdmin                   Reason = "Down_Admin"
	ReasonNA                    Reason = "NA"
)

// BackendHealth is what the load balancer thinks of a backend for one rule.
type BackendHealth struct {
	Address netip.Addr
	State   State
	Reason  Reason
}

// Health tells what a load balancer thinks of the backends of a rule, in the
// order of the pool. It is nil where there is no such load balancer or rule,
// and where the rule has no probe.
func (d *DataPath) Health(lbID, rule string) []BackendHealth {
	d.mu.Lock()
	defer d.mu.Unlock()
	b := d.balancers[lbID]
	if b == nil {
		return nil
	}
	r, ok := b.rule(rule)
	if !ok {
		return nil
	}
	probe, ok := b.probe(r.Probe)
	if !ok {
		return nil
	}
	pool := b.pool(r.Pool)
	allUp := probe.NoHealthyBackends == AllProbedUp && !d.anyByProbe(b, r, pool)
	health := make([]BackendHealth, 0, len(pool.Backends))
	for _, backend := range pool.Backends {
		h := BackendHealth{Address: backend.Address}
		if !d.stopped[backend.Address] {
			h.State, h.Reason = b.probers[probeKey{r.Probe, backend.Address}].health(backend.AdminState, allUp)
		}
		health = append(health, h)
	}
	return health
}

// health of a machine that is on.
func (p *prober) health(admin AdminState, allUp bool) (State, Reason) {
	switch {
	case admin == AdminUp:
		return StateUp, UpAdmin
	case admin == AdminDown:
		return StateDown, DownAdmin
	case allUp:
		return StateUp, UpAllDownIsUp
	case p.verdict == unprobed:
		return StateNA, ReasonNA
	case p.verdict == up && p.streak > 0:
		return StateUp, UpApproachingUnhealthy
	case p.verdict == up:
		return StateUp, UpProbeSuccess
	case p.streak > 0:
		return StateDown, DownApproachingHealthy
	}
	return StateDown, p.last.reason
}

// eligible lists the backends of a rule that may get new connections, in the
// order of the pool. d.mu is held.
func (d *DataPath) eligible(b *balancer, r Rule) []Backend {
	pool := b.pool(r.Pool)
	probe, probed := b.probe(r.Probe)
	if !probed {
		return pool.Backends
	}
	var chosen, followers []Backend
	for _, backend := range pool.Backends {
		switch backend.AdminState {
		case AdminUp:
			chosen = append(chosen, backend)
		case AdminDown:
		default:
			followers = append(followers, backend)
			if d.upByProbe(b, r, backend) {
				chosen = append(chosen, backend)
			}
		}
	}
	if probe.NoHealthyBackends == AllProbedUp && !d.anyByProbe(b, r, pool) {
		for _, f := range followers {
			if !d.stopped[f.Address] {
				chosen = append(chosen, f)
			}
		}
	}
	return chosen
}

// upByProbe tells whether the probe of a rule found a backend healthy, which
// never holds for a stopped one: its verdict is forgotten. d.mu is held.
func (d *DataPath) upByProbe(b *balancer, r Rule, backend Backend) bool {
	p := b.probers[probeKey{r.Probe, backend.Address}]
	return p != nil && p.verdict == up
}

// anyByProbe tells whether the probe of a rule found any backend healthy,
// whatever its admin state. d.mu is held.
func (d *DataPath) anyByProbe(b *balancer, r Rule, pool Pool) bool {
	for _, backend := range pool.Backends {
		if d.upByProbe(b, r, backend) {
			return true
		}
	}
	return false
}

// sentence tells what happened to the backend of a prober, and where that
// leaves the rules that use the probe. d.mu is held.
func (d *DataPath) sentence(b *balancer, p *prober, what string) string {
	for _, r := range b.Rules {
		if r.Probe != p.key.probe {
			continue
		}
		for _, backend := range b.pool(r.Pool).Backends {
			if backend.Address == p.key.address {
				return fmt.Sprintf("%s %s%s: %s", p.name, what, d.where(b), d.destination(b, r))
			}
		}
	}
	return fmt.Sprintf("%s %s%s", p.name, what, d.where(b))
}

// adminSentence tells of a new admin state. d.mu is held.
func (d *DataPath) adminSentence(b *balancer, pool Pool, backend Backend) string {
	what := fmt.Sprintf("%s set %s in %s%s", backend.Name, backend.AdminState, pool.Name, d.where(b))
	for _, r := range b.Rules {
		if r.Pool == pool.Name && r.Probe != "" {
			return what + ": " + d.destination(b, r)
		}
	}
	return what
}

// where names the load balancer, where there is more than one. d.mu is held.
func (d *DataPath) where(b *balancer) string {
	if len(d.balancers) < 2 {
		return ""
	}
	return " on " + b.Name()
}

// destination says where new connections go. d.mu is held.
func (d *DataPath) destination(b *balancer, r Rule) string {
	eligible := d.eligible(b, r)
	if len(eligible) == 0 {
		return "no new connection gets through"
	}
	names := make([]string, len(eligible))
	for i, backend := range eligible {
		names[i] = backend.Name
	}
	return "new connections go to " + strings.Join(names, " and ")
}
