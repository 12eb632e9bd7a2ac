package lab

import (
	"fmt"
	"maps"
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
	Frontends []struct {
		Name    string     `yaml:"name"`
		Address netip.Addr `yaml:"address"`
	} `yaml:"frontends"`
	Probe struct {
		Path      string `yaml:"path"`
		Interval  string `yaml:"interval"`
		Threshold int    `yaml:"threshold"`
	} `yaml:"probe"`
	Rules []struct {
		Name     string `yaml:"name"`
		Frontend string `yaml:"frontend"`
		Port     int    `yaml:"port"`
	} `yaml:"rules"`
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

// poolIDs are the pools that the pair's units are in.
func (p plan) poolIDs() []string {
	var out []string
	for i, lb := range p.LoadBalancers {
		for _, pool := range lb.Pools {
			out = append(out, p.loadBalancerID(i)+"/backendAddressPools/"+pool)
		}
	}
	return out
}

// servicePorts are the published ports, the check port left out.
func (p plan) servicePorts() []int {
	var out []int
	for _, lb := range p.LoadBalancers {
		for _, r := range lb.Rules {
			if r.Port != p.HA.CheckPort {
				out = append(out, r.Port)
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
	seed.Probes = append(seed.Probes, arm.Probe{
		Name: probe, Port: p.plan.HA.CheckPort, Path: lb.Probe.Path, Interval: interval, Threshold: lb.Probe.Threshold,
	})
	for _, f := range lb.Frontends {
		seed.Frontends = append(seed.Frontends, arm.Frontend{Name: f.Name, Address: f.Address})
	}
	for _, r := range lb.Rules {
		seed.Rules = append(seed.Rules, arm.Rule{
			Name: r.Name, Frontend: r.Frontend, Pool: lb.Pools[0], Probe: probe, FrontendPort: r.Port, BackendPort: r.Port,
		})
	}
	return nil
}

// neighbourPrefix begins the roles of the second pair's units in a story.
const neighbourPrefix = "neighbour-"

// neighbourOwn is what the second pair's file has of its own; the rest is as in
// the story's. Both pairs are behind one load balancer.
const neighbourOwn = `
name: edge-neu
units:
  first:  { vm: lm3, address: 10.0.0.6, api: { port: 8443, secret: lm3-api } }
  second: { vm: lm4, address: 10.0.0.7, api: { port: 8443, secret: lm4-api } }
loadBalancers:
  - name: ilb-edge
    pools: [ neighbours ]
    frontends: [ { name: vip2, address: 10.0.0.101 } ]
    probe: { path: /, interval: 5s, threshold: 2 }
    management: { wui: { first: 8441, second: 8442 }, ssh: { first: 221, second: 222 } }
    rules:
      - { name: neighbour-check, frontend: vip2, port: 8444 }
      - { name: neighbour-https, frontend: vip2, port: 443, from: [ 0.0.0.0/0 ] }
`

// neighbourFile returns the second pair's file, with the units' certificates.
func (s Scenario) neighbourFile(pins map[string]string) ([]byte, error) {
	b, err := s.PairFile(nil)
	if err != nil {
		return nil, err
	}
	var doc, own map[string]any
	if err := yaml.Unmarshal(b, &doc); err != nil {
		return nil, fmt.Errorf("read the story's pair file: %w", err)
	}
	if err := yaml.Unmarshal([]byte(neighbourOwn), &own); err != nil {
		return nil, fmt.Errorf("read the neighbour's part of the pair file: %w", err)
	}
	maps.Copy(doc, own)
	for unit, pin := range pins {
		set(doc, "units."+unit+".api.tls.sha256", pin)
	}
	return yaml.Marshal(doc)
}
