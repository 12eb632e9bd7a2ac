// Package document has the documents of Resource Manager as far as the load
// balancer of a pair is about them: what internal/balancer compares with a pair
// file, and internal/discover writes one from. Both read them from the same
// bytes, which are written back as they were; these types only look.
package document

import (
	"net/netip"
	"slices"
	"strings"

	"tandem/internal/pair"
)

// Reference is how a document names another resource, or a part of one.
type Reference struct {
	ID string `json:"id"`
}

// Resource is the id that is referred to, in the form in which ids are compared.
func (r Reference) Resource() pair.ResourceID { return pair.NewResourceID(r.ID) }

// Is reports whether the reference is to the resource. Azure compares ids
// without regard to case.
func (r Reference) Is(id string) bool { return r.ID != "" && strings.EqualFold(r.ID, id) }

// Refer reports whether one of the references is to the resource.
func Refer(refs []Reference, id string) bool {
	return slices.ContainsFunc(refs, func(r Reference) bool { return r.Is(id) })
}

// IDs returns what references are to, in the form in which ids are compared.
func IDs(refs []Reference) []pair.ResourceID {
	out := make([]pair.ResourceID, len(refs))
	for i, r := range refs {
		out[i] = r.Resource()
	}
	return out
}

// UpTo returns the part of an id before a kind of child, and the id itself where
// it has none: …/loadbalancers/ilb/backendaddresspools/p → …/loadbalancers/ilb.
func UpTo[ID ~string](id ID, child string) ID {
	if i := strings.Index(strings.ToLower(string(id)), "/"+strings.ToLower(child)+"/"); i >= 0 {
		return id[:i]
	}
	return id
}

// VM is what matters here of a virtual machine.
type VM struct {
	ID         string   `json:"id"`
	Location   string   `json:"location"`
	Zones      []string `json:"zones"`
	Properties struct {
		AvailabilitySet Reference `json:"availabilitySet"`
		NetworkProfile  struct {
			Interfaces []Reference `json:"networkInterfaces"`
		} `json:"networkProfile"`
		StorageProfile struct {
			Image struct {
				Publisher string `json:"publisher"`
			} `json:"imageReference"`
		} `json:"storageProfile"`
	} `json:"properties"`
}

// Interface is what matters here of a network interface.
type Interface struct {
	ID         string `json:"id"`
	Properties struct {
		Configurations []IPConfiguration `json:"ipConfigurations"`
		SecurityGroup  Reference         `json:"networkSecurityGroup"`
		Machine        Reference         `json:"virtualMachine"`
	} `json:"properties"`
}

// IPConfiguration is one address of an interface, and what it belongs to.
type IPConfiguration struct {
	ID         string `json:"id"`
	Name       string `json:"name"`
	Properties struct {
		Address        string      `json:"privateIPAddress"`
		Allocation     string      `json:"privateIPAllocationMethod"`
		Primary        bool        `json:"primary"`
		Subnet         Reference   `json:"subnet"`
		Pools          []Reference `json:"loadBalancerBackendAddressPools"`
		NATRules       []Reference `json:"loadBalancerInboundNatRules"`
		SecurityGroups []Reference `json:"applicationSecurityGroups"`
	} `json:"properties"`
}

// Addr is the configuration's address. It is invalid where that is none that a
// unit can have, such as a block of addresses.
func (c *IPConfiguration) Addr() netip.Addr {
	a, err := netip.ParseAddr(c.Properties.Address)
	if err != nil || a.Zone() != "" || a.Is4In6() || a.IsUnspecified() || a.IsMulticast() {
		return netip.Addr{}
	}
	return a
}

// Network is the id of the virtual network that the configuration is in.
func (c *IPConfiguration) Network() pair.ResourceID {
	return UpTo(c.Properties.Subnet.Resource(), "subnets")
}

// Holding returns the configuration that has an address, or nil.
func (n *Interface) Holding(a netip.Addr) *IPConfiguration {
	for i := range n.Properties.Configurations {
		if c := &n.Properties.Configurations[i]; a.IsValid() && c.Addr() == a {
			return c
		}
	}
	return nil
}

// Balancers returns the load balancers that the interface is behind.
func (n *Interface) Balancers() []pair.ResourceID {
	var out []pair.ResourceID
	for _, c := range n.Properties.Configurations {
		for _, ref := range c.Properties.Pools {
			out = append(out, UpTo(ref.Resource(), "backendAddressPools"))
		}
		for _, ref := range c.Properties.NATRules {
			out = append(out, UpTo(ref.Resource(), "inboundNatRules"))
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Subnet is what matters here of a subnet.
type Subnet struct {
	ID         string `json:"id"`
	Properties struct {
		AddressPrefix   string    `json:"addressPrefix"`
		AddressPrefixes []string  `json:"addressPrefixes"`
		SecurityGroup   Reference `json:"networkSecurityGroup"`
	} `json:"properties"`
}

// Prefixes returns the subnet's networks, of both address families.
func (s *Subnet) Prefixes() []netip.Prefix {
	var out []netip.Prefix
	for _, text := range append([]string{s.Properties.AddressPrefix}, s.Properties.AddressPrefixes...) {
		if p, err := netip.ParsePrefix(text); err == nil && !slices.Contains(out, p.Masked()) {
			out = append(out, p.Masked())
		}
	}
	return out
}

// SecurityGroup is what matters here of a network security group.
type SecurityGroup struct {
	ID         string `json:"id"`
	Properties struct {
		Rules    []Part[SecurityRule] `json:"securityRules"`
		Defaults []Part[SecurityRule] `json:"defaultSecurityRules"`
	} `json:"properties"`
}

// SecurityRule is a rule of a security group as the platform sends it. Each of
// its places is in one of two fields, for one value or for several.
type SecurityRule struct {
	Access            string      `json:"access"`
	Direction         string      `json:"direction"`
	Protocol          string      `json:"protocol"`
	Priority          int         `json:"priority"`
	Source            string      `json:"sourceAddressPrefix"`
	Sources           []string    `json:"sourceAddressPrefixes"`
	SourceGroups      []Reference `json:"sourceApplicationSecurityGroups"`
	SourcePort        string      `json:"sourcePortRange"`
	SourcePorts       []string    `json:"sourcePortRanges"`
	Destination       string      `json:"destinationAddressPrefix"`
	Destinations      []string    `json:"destinationAddressPrefixes"`
	DestinationGroups []Reference `json:"destinationApplicationSecurityGroups"`
	Port              string      `json:"destinationPortRange"`
	Ports             []string    `json:"destinationPortRanges"`
}

// Inbound reports whether the rule looks at what arrives.
func (r SecurityRule) Inbound() bool { return strings.EqualFold(r.Direction, "Inbound") }

// Both returns the values of a place that has two fields.
func Both(one string, several []string) []string {
	if one == "" {
		return several
	}
	return append([]string{one}, several...)
}

// PublicIP is what matters here of a public IP.
type PublicIP struct {
	SKU struct {
		Name string `json:"name"`
	} `json:"sku"`
	Properties struct {
		Address string    `json:"ipAddress"`
		Version string    `json:"publicIPAddressVersion"`
		UsedBy  Reference `json:"ipConfiguration"`
	} `json:"properties"`
}
