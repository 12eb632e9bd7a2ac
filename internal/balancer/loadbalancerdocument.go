package balancer

import (
	"strings"
)

// balancerDocument is what matters here of a load balancer.
type balancerDocument struct {
	ID  string `json:"id"`
	SKU struct {
		Name string `json:"name"`
		Tier string `json:"tier"`
	} `json:"sku"`
	Properties struct {
		Frontends     []part[frontendPart] `json:"frontendIPConfigurations"`
		Pools         []part[poolPart]     `json:"backendAddressPools"`
		Probes        []part[probePart]    `json:"probes"`
		Rules         []part[rulePart]     `json:"loadBalancingRules"`
		NATRules      []part[natPart]      `json:"inboundNatRules"`
		NATPools      []part[natPart]      `json:"inboundNatPools"`
		OutboundRules []part[outboundPart] `json:"outboundRules"`
	} `json:"properties"`
}

// part is a child of a load balancer.
type part[P any] struct {
	Name       string `json:"name"`
	Properties P      `json:"properties"`
}

// named returns a test for a child's name. Azure compares names without regard
// to case.
func named[P any](name string) func(part[P]) bool {
	return func(p part[P]) bool { return strings.EqualFold(p.Name, name) }
}

type frontendPart struct {
	Address        string    `json:"privateIPAddress"`
	Subnet         reference `json:"subnet"`
	PublicIP       reference `json:"publicIPAddress"`
	PublicIPPrefix reference `json:"publicIPPrefix"`
}

func (p frontendPart) public() bool { return p.PublicIP.ID != "" || p.PublicIPPrefix.ID != "" }

type poolPart struct {
	Network        reference           `json:"virtualNetwork"`
	Addresses      []part[addressPart] `json:"loadBalancerBackendAddresses"`
	Configurations []reference         `json:"backendIPConfigurations"`
}

type addressPart struct {
	Address       string    `json:"ipAddress"`
	Network       reference `json:"virtualNetwork"`
	Subnet        reference `json:"subnet"`
	Configuration reference `json:"networkInterfaceIPConfiguration"`
}

// byAddress reports whether a member stands in the pool itself, and not only on
// its interface.
func (p poolPart) byAddress() bool {
	for _, a := range p.Addresses {
		q := a.Properties
		if q.Network.ID != "" || q.Subnet.ID != "" || q.Address != "" && q.Configuration.ID == "" {
			return true
		}
	}
	return p.Network.ID != ""
}

// byInterface reports whether a member is one by its interface.
func (p poolPart) byInterface() bool {
	return !p.byAddress() && len(p.Addresses)+len(p.Configurations) > 0
}

type probePart struct {
	Port              int    `json:"port"`
	NoHealthyBackends string `json:"noHealthyBackendsBehavior"`
}

type rulePart struct {
	Frontend     reference   `json:"frontendIPConfiguration"`
	Pool         reference   `json:"backendAddressPool"`
	Pools        []reference `json:"backendAddressPools"`
	Probe        reference   `json:"probe"`
	Protocol     string      `json:"protocol"`
	FrontendPort int         `json:"frontendPort"`
	BackendPort  int         `json:"backendPort"`
	FloatingIP   bool        `json:"enableFloatingIP"`
}

// natPart is an inbound NAT rule: for one machine, for the members of a pool, or
// for a scale set.
type natPart struct {
	Frontend      reference `json:"frontendIPConfiguration"`
	Configuration reference `json:"backendIPConfiguration"`
	Pool          reference `json:"backendAddressPool"`
	Protocol      string    `json:"protocol"`
	FrontendPort  int       `json:"frontendPort"`
	RangeStart    int       `json:"frontendPortRangeStart"`
	RangeEnd      int       `json:"frontendPortRangeEnd"`
	BackendPort   int       `json:"backendPort"`
	FloatingIP    bool      `json:"enableFloatingIP"`
}

type outboundPart struct {
	Frontends []reference `json:"frontendIPConfigurations"`
}

// publicIPDocument is what matters here of a public IP.
type publicIPDocument struct {
	SKU struct {
		Name string `json:"name"`
	} `json:"sku"`
	Properties struct {
		Address string    `json:"ipAddress"`
		Version string    `json:"publicIPAddressVersion"`
		UsedBy  reference `json:"ipConfiguration"`
	} `json:"properties"`
}
