package lab

import (
	"fmt"
	"net/netip"

	"go.yaml.in/yaml/v3"
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
	Units map[string]struct {
		VM      string     `yaml:"vm"`
		Address netip.Addr `yaml:"address"`
		API     struct {
			Port   int    `yaml:"port"`
			Secret string `yaml:"secret"`
		} `yaml:"api"`
	} `yaml:"units"`
	HA struct {
		Preferred          string `yaml:"preferred"`
		CheckPort          int    `yaml:"checkPort"`
		CheckAllInterfaces bool   `yaml:"checkAllInterfaces"`
	} `yaml:"ha"`
	LoadBalancers []struct {
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
	} `yaml:"loadBalancers"`
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
