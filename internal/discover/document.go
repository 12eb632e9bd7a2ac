package discover

import (
	"net/netip"
	"slices"
	"strings"

	"tandem/internal/pair"
)

// reference is how a document names another resource, or a part of one.
type reference struct {
	ID string `json:"id"`
}

func (r reference) id() pair.ResourceID { return pair.NewResourceID(r.ID) }

// upTo is the part of an id before a kind of child, and the id itself where it
// has none.
func upTo(id pair.ResourceID, child string) pair.ResourceID {
	before, _, _ := strings.Cut(string(id), "/"+child+"/")
	return pair.ResourceID(before)
}

// spelledName is the last part of an id as a document spells it.
func spelledName(id string) string { return id[strings.LastIndexByte(id, '/')+1:] }

// part is a child of a resource.
type part[P any] struct {
	Name       string `json:"name"`
	Properties P      `json:"properties"`
}

// balancerDocument is what matters here of a load balancer.
type balancerDocument struct {
	ID       string `json:"id"`
	Location string `json:"location"`
	SKU      struct {
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

// child is the id of a part of the load balancer, for comparing.
func (d *balancerDocument) child(list, name string) pair.ResourceID {
	return pair.NewResourceID(d.ID + "/" + list + "/" + name)
}

func (d *balancerDocument) pool(name string) pair.ResourceID {
	return d.child("backendAddressPools", name)
}

// probe returns the probe that a rule refers to, or nil.
func (d *balancerDocument) probe(ref reference) *part[probePart] {
	for i, p := range d.Properties.Probes {
		if ref.ID != "" && d.child("probes", p.Name) == ref.id() {
			return &d.Properties.Probes[i]
		}
	}
	return nil
}

// frontend returns the frontend that a rule refers to, or nil.
func (d *balancerDocument) frontend(ref reference) *part[frontendPart] {
	for i, f := range d.Properties.Frontends {
		if ref.ID != "" && d.child("frontendIPConfigurations", f.Name) == ref.id() {
			return &d.Properties.Frontends[i]
		}
	}
	return nil
}

type frontendPart struct {
	Address        string    `json:"privateIPAddress"`
	Subnet         reference `json:"subnet"`
	PublicIP       reference `json:"publicIPAddress"`
	PublicIPPrefix reference `json:"publicIPPrefix"`
}

type poolPart struct {
	Network        reference           `json:"virtualNetwork"`
	Addresses      []part[addressPart] `json:"loadBalancerBackendAddresses"`
	Configurations []reference         `json:"backendIPConfigurations"`
}

type addressPart struct {
	Address       string    `json:"ipAddress"`
	AdminState    string    `json:"adminState"`
	Network       reference `json:"virtualNetwork"`
	Subnet        reference `json:"subnet"`
	Configuration reference `json:"networkInterfaceIPConfiguration"`
}

type probePart struct {
	Protocol  string `json:"protocol"`
	Port      int    `json:"port"`
	Path      string `json:"requestPath"`
	Interval  int    `json:"intervalInSeconds"`
	Threshold int    `json:"probeThreshold"`
	Count     int    `json:"numberOfProbes"` // the older field for the threshold
}

func (p probePart) isHTTP() bool { return strings.EqualFold(p.Protocol, "Http") }

type rulePart struct {
	Frontend     reference   `json:"frontendIPConfiguration"`
	Pool         reference   `json:"backendAddressPool"`
	Pools        []reference `json:"backendAddressPools"`
	Probe        reference   `json:"probe"`
	Protocol     string      `json:"protocol"`
	FrontendPort int         `json:"frontendPort"`
	BackendPort  int         `json:"backendPort"`
	Distribution string      `json:"loadDistribution"`
	Idle         int         `json:"idleTimeoutInMinutes"`
	FloatingIP   bool        `json:"enableFloatingIP"`
}

// pools are the pools that a rule sends to, each once.
func (p rulePart) pools() []pair.ResourceID {
	var out []pair.ResourceID
	for _, ref := range append([]reference{p.Pool}, p.Pools...) {
		if ref.ID != "" && !slices.Contains(out, ref.id()) {
			out = append(out, ref.id())
		}
	}
	return out
}

type natPart struct {
	Frontend      reference `json:"frontendIPConfiguration"`
	Configuration reference `json:"backendIPConfiguration"`
	Pool          reference `json:"backendAddressPool"`
	Protocol      string    `json:"protocol"`
	FrontendPort  int       `json:"frontendPort"`
	RangeStart    int       `json:"frontendPortRangeStart"`
	BackendPort   int       `json:"backendPort"`
}

type outboundPart struct {
	Frontends []reference `json:"frontendIPConfigurations"`
	Pool      reference   `json:"backendAddressPool"`
}

// vmDocument is what matters here of a virtual machine.
type vmDocument struct {
	ID         string `json:"id"`
	Location   string `json:"location"`
	Properties struct {
		NetworkProfile struct {
			Interfaces []reference `json:"networkInterfaces"`
		} `json:"networkProfile"`
		StorageProfile struct {
			Image struct {
				Publisher string `json:"publisher"`
			} `json:"imageReference"`
		} `json:"storageProfile"`
	} `json:"properties"`
}

// nicDocument is what matters here of a network interface.
type nicDocument struct {
	ID         string `json:"id"`
	Properties struct {
		Configurations []ipConfiguration `json:"ipConfigurations"`
		SecurityGroup  reference         `json:"networkSecurityGroup"`
		Machine        reference         `json:"virtualMachine"`
	} `json:"properties"`
}

type ipConfiguration struct {
	ID         string `json:"id"`
	Name       string `json:"name"`
	Properties struct {
		Address        string      `json:"privateIPAddress"`
		Allocation     string      `json:"privateIPAllocationMethod"`
		Primary        bool        `json:"primary"`
		Subnet         reference   `json:"subnet"`
		Pools          []reference `json:"loadBalancerBackendAddressPools"`
		NATRules       []reference `json:"loadBalancerInboundNatRules"`
		SecurityGroups []reference `json:"applicationSecurityGroups"`
	} `json:"properties"`
}

// address is the configuration's address; it is invalid where there is none.
func (c *ipConfiguration) address() netip.Addr {
	a, err := netip.ParseAddr(c.Properties.Address)
	if err != nil || a.Zone() != "" || a.Is4In6() || a.IsUnspecified() || a.IsMulticast() {
		return netip.Addr{}
	}
	return a
}

// network is the id of the virtual network that the configuration is in.
func (c *ipConfiguration) network() pair.ResourceID {
	return upTo(c.Properties.Subnet.id(), "subnets")
}

// subnetDocument is what matters here of a subnet.
type subnetDocument struct {
	Properties struct {
		SecurityGroup reference `json:"networkSecurityGroup"`
	} `json:"properties"`
}

// publicIPDocument is what matters here of a public IP.
type publicIPDocument struct {
	Properties struct {
		Address string `json:"ipAddress"`
		Version string `json:"publicIPAddressVersion"`
	} `json:"properties"`
}

// groupDocument is what matters here of a security group.
type groupDocument struct {
	ID         string `json:"id"`
	Properties struct {
		Rules []part[securityPart] `json:"securityRules"`
	} `json:"properties"`
}

// securityPart is a rule of a security group. Each of its places is in one of
// two fields, for one value or for several.
type securityPart struct {
	Access            string      `json:"access"`
	Direction         string      `json:"direction"`
	Protocol          string      `json:"protocol"`
	Priority          int         `json:"priority"`
	Source            string      `json:"sourceAddressPrefix"`
	Sources           []string    `json:"sourceAddressPrefixes"`
	SourceGroups      []reference `json:"sourceApplicationSecurityGroups"`
	SourcePort        string      `json:"sourcePortRange"`
	SourcePorts       []string    `json:"sourcePortRanges"`
	Destination       string      `json:"destinationAddressPrefix"`
	Destinations      []string    `json:"destinationAddressPrefixes"`
	DestinationGroups []reference `json:"destinationApplicationSecurityGroups"`
	Port              string      `json:"destinationPortRange"`
	Ports             []string    `json:"destinationPortRanges"`
}

// both returns the values of a place that has two fields.
func both(one string, several []string) []string {
	if one == "" {
		return several
	}
	return append([]string{one}, several...)
}
