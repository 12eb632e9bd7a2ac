package document

import (
	"slices"
	"strings"

	"tandem/internal/pair"
)

// LoadBalancer is what matters here of a load balancer.
type LoadBalancer struct {
	ID       string `json:"id"`
	Location string `json:"location"`
	SKU      struct {
		Name string `json:"name"`
		Tier string `json:"tier"`
	} `json:"sku"`
	Properties struct {
		Frontends     []Part[Frontend]     `json:"frontendIPConfigurations"`
		Pools         []Part[Pool]         `json:"backendAddressPools"`
		Probes        []Part[Probe]        `json:"probes"`
		Rules         []Part[Rule]         `json:"loadBalancingRules"`
		NATRules      []Part[NATRule]      `json:"inboundNatRules"`
		NATPools      []Part[NATRule]      `json:"inboundNatPools"`
		OutboundRules []Part[OutboundRule] `json:"outboundRules"`
	} `json:"properties"`
}

// Child is the id of a part of the load balancer.
func (d *LoadBalancer) Child(list, name string) pair.ResourceID {
	return pair.NewResourceID(d.ID + "/" + list + "/" + name)
}

// ProbeOf returns the probe that a rule refers to, or nil.
func (d *LoadBalancer) ProbeOf(ref Reference) *Part[Probe] {
	return child(d, "probes", d.Properties.Probes, ref)
}

// FrontendOf returns the frontend that a rule refers to, or nil.
func (d *LoadBalancer) FrontendOf(ref Reference) *Part[Frontend] {
	return child(d, "frontendIPConfigurations", d.Properties.Frontends, ref)
}

func child[P any](d *LoadBalancer, list string, parts []Part[P], ref Reference) *Part[P] {
	i := slices.IndexFunc(parts, func(p Part[P]) bool { return d.Child(list, p.Name) == ref.Resource() })
	if i < 0 {
		return nil
	}
	return &parts[i]
}

// Part is a child of a resource.
type Part[P any] struct {
	Name       string `json:"name"`
	Properties P      `json:"properties"`
}

// Named returns a test for a child's name. Azure compares names without regard
// to case.
func Named[P any](name string) func(Part[P]) bool {
	return func(p Part[P]) bool { return strings.EqualFold(p.Name, name) }
}

// Frontend is one address of a load balancer.
type Frontend struct {
	Address        string    `json:"privateIPAddress"`
	Subnet         Reference `json:"subnet"`
	PublicIP       Reference `json:"publicIPAddress"`
	PublicIPPrefix Reference `json:"publicIPPrefix"`
}

// Public reports whether the frontend has a public address.
func (f Frontend) Public() bool { return f.PublicIP.ID != "" || f.PublicIPPrefix.ID != "" }

// Pool is a backend pool.
type Pool struct {
	Network        Reference           `json:"virtualNetwork"`
	Addresses      []Part[PoolAddress] `json:"loadBalancerBackendAddresses"`
	Configurations []Reference         `json:"backendIPConfigurations"`
}

// PoolAddress is a member of a pool.
type PoolAddress struct {
	Address       string    `json:"ipAddress"`
	AdminState    string    `json:"adminState"`
	Network       Reference `json:"virtualNetwork"`
	Subnet        Reference `json:"subnet"`
	Configuration Reference `json:"networkInterfaceIPConfiguration"`
}

// ByAddress reports whether a member stands in the pool itself, and not only on
// its interface (azure.md 1.3).
func (p Pool) ByAddress() bool {
	return p.Network.ID != "" || slices.ContainsFunc(p.Addresses, func(a Part[PoolAddress]) bool {
		q := a.Properties
		return q.Network.ID != "" || q.Subnet.ID != "" || q.Address != "" && q.Configuration.ID == ""
	})
}

// ByInterface reports whether a member is one by its interface.
func (p Pool) ByInterface() bool {
	return !p.ByAddress() && len(p.Addresses)+len(p.Configurations) > 0
}

// Probe is a health probe.
type Probe struct {
	Protocol          string `json:"protocol"`
	Port              int    `json:"port"`
	Path              string `json:"requestPath"`
	Interval          int    `json:"intervalInSeconds"`
	Threshold         int    `json:"probeThreshold"`
	Count             int    `json:"numberOfProbes"` // the older field for the threshold
	NoHealthyBackends string `json:"noHealthyBackendsBehavior"`
}

// IsHTTP reports whether the probe asks by HTTP.
func (p Probe) IsHTTP() bool { return strings.EqualFold(p.Protocol, "Http") }

// Rule is a load-balancing rule.
type Rule struct {
	Frontend     Reference   `json:"frontendIPConfiguration"`
	Pool         Reference   `json:"backendAddressPool"`
	Pools        []Reference `json:"backendAddressPools"`
	Probe        Reference   `json:"probe"`
	Protocol     string      `json:"protocol"`
	FrontendPort int         `json:"frontendPort"`
	BackendPort  int         `json:"backendPort"`
	Distribution string      `json:"loadDistribution"`
	Idle         int         `json:"idleTimeoutInMinutes"`
	FloatingIP   bool        `json:"enableFloatingIP"`
}

// AllPools are the pools that a rule sends to, each once.
func (r Rule) AllPools() []Reference {
	var out []Reference
	for _, ref := range append([]Reference{r.Pool}, r.Pools...) {
		if ref.ID != "" && !Refer(out, ref.ID) {
			out = append(out, ref)
		}
	}
	return out
}

// NATRule is an inbound NAT rule: for one machine, for the members of a pool, or
// for a scale set.
type NATRule struct {
	Frontend      Reference `json:"frontendIPConfiguration"`
	Configuration Reference `json:"backendIPConfiguration"`
	Pool          Reference `json:"backendAddressPool"`
	Protocol      string    `json:"protocol"`
	FrontendPort  int       `json:"frontendPort"`
	RangeStart    int       `json:"frontendPortRangeStart"`
	RangeEnd      int       `json:"frontendPortRangeEnd"`
	BackendPort   int       `json:"backendPort"`
	FloatingIP    bool      `json:"enableFloatingIP"`
}

// OutboundRule is a rule for what leaves the members of a pool.
type OutboundRule struct {
	Frontends []Reference `json:"frontendIPConfigurations"`
	Pool      Reference   `json:"backendAddressPool"`
}
