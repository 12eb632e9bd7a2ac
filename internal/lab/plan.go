package lab

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"go.yaml.in/yaml/v3"

	"tandem/internal/lab/arm"
)

// plan is what the world reads of a pair file: the addresses and ports that it
// has to build. The program reads the same file with its own reader.
type plan struct {
	Name  string `yaml:"name"`
	Azure struct {
		Subscription  string `yaml:"subscription"`
		ResourceGroup string `yaml:"resourceGroup"`
		Location      string `yaml:"location"`
	} `yaml:"azure"`
	Units map[string]planUnit `yaml:"units"`
	HA    struct {
		Preferred          string `yaml:"preferred"`
		CheckPort          int    `yaml:"checkPort"`
		CheckAllInterfaces bool   `yaml:"checkAllInterfaces"`
	} `yaml:"ha"`
	LoadBalancers []planBalancer `yaml:"loadBalancers"`
	SecurityGroup struct {
		Name           string         `yaml:"name"`
		ManagementFrom []netip.Prefix `yaml:"managementFrom"`
	} `yaml:"securityGroup"`
}

// planUnit is a unit of a plan.
type planUnit struct {
	VM      string     `yaml:"vm"`
	Address netip.Addr `yaml:"address"`
	API     struct {
		Port   int    `yaml:"port"`
		Secret string `yaml:"secret"`
	} `yaml:"api"`
}

// planBalancer is what a pair has of a load balancer.
type planBalancer struct {
	Name      string   `yaml:"name"`
	Pools     []string `yaml:"pools"`
	Members   string   `yaml:"members"` // address, or interface where nothing is said
	Frontends []struct {
		Name     string     `yaml:"name"`
		Address  netip.Addr `yaml:"address"`
		PublicIP string     `yaml:"publicIP"`
	} `yaml:"frontends"`
	Probe struct {
		Path      string `yaml:"path"`
		Interval  string `yaml:"interval"`
		Threshold int    `yaml:"threshold"`
	} `yaml:"probe"`
	Management struct {
		WUI map[string]int `yaml:"wui"` // frontend ports by role
		SSH map[string]int `yaml:"ssh"`
	} `yaml:"management"`
	Rules []planRule `yaml:"rules"`
}

// planRule is a load balancing rule of a plan.
type planRule struct {
	Name        string         `yaml:"name"`
	Frontend    string         `yaml:"frontend"`
	Port        int            `yaml:"port"`
	BackendPort int            `yaml:"backendPort"`
	From        []netip.Prefix `yaml:"from"`
}

// unitPort is the port of the units that the rule leads to.
func (r planRule) unitPort() int {
	if r.BackendPort != 0 {
		return r.BackendPort
	}
	return r.Port
}

func readPlan(pairFile []byte) (plan, error) {
	var p plan
	if err := yaml.Unmarshal(pairFile, &p); err != nil {
		return p, fmt.Errorf("read the story's pair file: %w", err)
	}
	return p, nil
}

// resource returns the id of a resource of the pair.
func (p plan) resource(kind, name string) string {
	return "/subscriptions/" + p.Azure.Subscription + "/resourceGroups/" + p.Azure.ResourceGroup + "/providers/" + kind + "/" + name
}

func (p plan) vmID(role string) string {
	return p.resource("Microsoft.Compute/virtualMachines", p.Units[role].VM)
}

func (p plan) nicID(role string) string {
	return p.resource("Microsoft.Network/networkInterfaces", p.Units[role].VM+"-nic")
}

func (p plan) loadBalancerID(i int) string {
	return p.resource("Microsoft.Network/loadBalancers", p.LoadBalancers[i].Name)
}

// poolIDs are the pools that the units' interfaces are in.
func (p plan) poolIDs() []string {
	var out []string
	for i, lb := range p.LoadBalancers {
		if lb.Members == byAddress {
			continue
		}
		for _, pool := range lb.Pools {
			out = append(out, p.loadBalancerID(i)+"/backendAddressPools/"+pool)
		}
	}
	return out
}

// sshPort is the port of SSH on a unit (loadmaster.md 1.2).
const sshPort = 22

// apiPort is the port of the units' APIs, which the first unit tells.
func (p plan) apiPort() int { return p.Units[pairRoles[0]].API.Port }

// natRules are the rules of a load balancer that lead to the management ports
// of one unit, the first (0) or second (1).
func (p plan) natRules(lb planBalancer, unit int) []arm.NATRule {
	var out []arm.NATRule
	role := pairRoles[unit]
	for _, m := range []struct {
		name  string
		ports map[string]int
		to    int
	}{{"wui", lb.Management.WUI, p.apiPort()}, {"ssh", lb.Management.SSH, sshPort}} {
		if port := m.ports[role]; port != 0 {
			out = append(out, arm.NATRule{Name: p.Units[role].VM + "-" + m.name, Frontend: lb.Frontends[0].Name, FrontendPort: port, BackendPort: m.to})
		}
	}
	return out
}

// natIDs are the NAT rules that lead to a unit.
func (p plan) natIDs(unit int) []string {
	var out []string
	for i, lb := range p.LoadBalancers {
		for _, r := range p.natRules(lb, unit) {
			out = append(out, p.loadBalancerID(i)+"/inboundNatRules/"+r.Name)
		}
	}
	return out
}

func (p plan) securityGroupID() string {
	return p.resource("Microsoft.Network/networkSecurityGroups", p.SecurityGroup.Name)
}

func (p plan) publicIPID(name string) string {
	return p.resource("Microsoft.Network/publicIPAddresses", name)
}

// publicIPIDs are the public addresses of the frontends.
func (p plan) publicIPIDs() []string {
	var out []string
	for _, lb := range p.LoadBalancers {
		for _, f := range lb.Frontends {
			if f.PublicIP != "" {
				out = append(out, p.publicIPID(f.PublicIP))
			}
		}
	}
	return out
}

// clientAddress is where the client is: beside the units, or in the internet
// where the first frontend is public.
func (p plan) clientAddress() netip.Addr {
	if p.LoadBalancers[0].Frontends[0].PublicIP != "" {
		return internetAddr
	}
	return clientAddr
}

// published are the rules for services: those for the check port and the API
// are left out.
func (p plan) published() []planRule {
	var out []planRule
	for _, lb := range p.LoadBalancers {
		for _, r := range lb.Rules {
			if port := r.unitPort(); port != p.HA.CheckPort && port != p.apiPort() {
				out = append(out, r)
			}
		}
	}
	return out
}

// servicePorts are the ports of the units that are published, each once.
func (p plan) servicePorts() []int {
	var out []int
	for _, r := range p.published() {
		if !slices.Contains(out, r.unitPort()) {
			out = append(out, r.unitPort())
		}
	}
	return out
}

// byAddress is how a pair file says that pools hold addresses, as in the
// vendor's present guide, and not interfaces.
const byAddress = "address"

// members are the units in the pools of a load balancer of addresses.
func (p plan) members(lb planBalancer) []arm.Member {
	var out []arm.Member
	for _, pool := range lb.Pools {
		for _, role := range pairRoles {
			if u := p.Units[role]; lb.Members == byAddress {
				out = append(out, arm.Member{Pool: pool, Name: u.VM, Address: u.Address, VirtualNetwork: p.networkID()})
			}
		}
	}
	return out
}

// PairFile is the file of one pair of a world.
type PairFile struct {
	Name string // of the pair
	YAML []byte // with the pins of the units' certificates
}

// pairRoles are the units of a pair in its own file.
var pairRoles = [2]string{"first", "second"}

// pairOf is one pair of a world.
type pairOf struct {
	plan   plan
	prefix string // of its roles where a story names them
	active string // the role that is active at the beginning; empty means first
	actors [2]int // of its units
	seed   uint64 // distinguishes the seeds of its units from others

	file   func(pins map[string]string) ([]byte, error)
	pinned []byte // the file with the units' certificates
}

// addBalancers adds what the pair has of load balancers to those of other
// pairs: its frontends, pools, rules and a probe of its own.
func (p *pairOf) addBalancers(all []arm.LoadBalancer) ([]arm.LoadBalancer, error) {
	for i, lb := range p.plan.LoadBalancers {
		id := p.plan.loadBalancerID(i)
		at := slices.IndexFunc(all, func(other arm.LoadBalancer) bool { return other.ID == id })
		if at < 0 {
			at = len(all)
			all = append(all, arm.LoadBalancer{ID: id})
		}
		if err := p.addTo(&all[at], lb); err != nil {
			return nil, err
		}
	}
	return all, nil
}

func (p *pairOf) addTo(seed *arm.LoadBalancer, lb planBalancer) error {
	interval, err := time.ParseDuration(lb.Probe.Interval)
	if err != nil {
		return fmt.Errorf("probe interval of %s: %w", lb.Name, err)
	}
	probe := p.prefix + "check"
	seed.Pools = append(seed.Pools, lb.Pools...)
	seed.Members = append(seed.Members, p.plan.members(lb)...)
	seed.Probes = append(seed.Probes, arm.Probe{
		Name: probe, Port: p.plan.HA.CheckPort, Path: lb.Probe.Path, Interval: interval, Threshold: lb.Probe.Threshold,
	})
	for _, f := range lb.Frontends {
		frontend := arm.Frontend{Name: f.Name, Address: f.Address, Subnet: p.plan.subnetID(unitsSubnet)}
		if f.PublicIP != "" {
			frontend.PublicIP = p.plan.publicIPID(f.PublicIP)
		}
		seed.Frontends = append(seed.Frontends, frontend)
	}
	for _, r := range lb.Rules {
		seed.Rules = append(seed.Rules, arm.Rule{
			Name: r.Name, Frontend: r.Frontend, Pool: lb.Pools[0], Probe: probe, FrontendPort: r.Port, BackendPort: r.unitPort(),
		})
	}
	for unit := range pairRoles {
		seed.NATRules = append(seed.NATRules, p.plan.natRules(lb, unit)...)
	}
	return nil
}
