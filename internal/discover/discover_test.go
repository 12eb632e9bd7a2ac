package discover_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tandem/internal/balancer"
	"tandem/internal/discover"
	"tandem/internal/manifest"
	"tandem/internal/pair"
)

var update = flag.Bool("update", false, "write testdata/handmade.golden.yaml anew")

// handmade puts in place what somebody built in the portal by the guide, with
// names of their own and with a few things that no pair file can say.
func (s scene) handmade() {
	s.put(idLB, "frontendIPConfigurations", "LoadBalancerFrontEnd", obj{"privateIPAddress": "10.0.0.100", "privateIPAllocationMethod": "Static", "subnet": ref(idVNet + "/subnets/units")})
	s.put(idLB, "backendAddressPools", "Kemp_Pool", obj{"loadBalancerBackendAddresses": []any{
		obj{"name": "a", "properties": obj{"networkInterfaceIPConfiguration": ref(idNIC1 + "/ipConfigurations/ipconfig1"), "adminState": "None"}},
		obj{"name": "b", "properties": obj{"networkInterfaceIPConfiguration": ref(idNIC2 + "/ipConfigurations/ipconfig1"), "adminState": "None"}},
	}})
	s.put(idLB, "probes", "hp-8444", obj{"protocol": "Http", "port": 8444, "requestPath": "/", "intervalInSeconds": 5, "numberOfProbes": 2, "probeThreshold": 2})
	s.rule("lm-state", "Tcp", 8444, 8444)
	s.rule("web", "Tcp", 443, 443)
	for i, nic := range []string{idNIC1, idNIC2} {
		s.nat(fmt.Sprintf("natLM%d", i+1), 8441+i, 8443, nic)
		s.nat(fmt.Sprintf("sshLM%d", i+1), 221+i, 22, nic)
		p := props(props(s[nic])["ipConfigurations"].([]any)[0].(obj))
		p["loadBalancerBackendAddressPools"] = []any{ref(idLB + "/backendAddressPools/Kemp_Pool")}
		p["loadBalancerInboundNatRules"] = []any{ref(fmt.Sprintf("%s/inboundNatRules/natLM%d", idLB, i+1)), ref(fmt.Sprintf("%s/inboundNatRules/sshLM%d", idLB, i+1))}
	}
}

// rule puts a load-balancing rule for the pool of the handmade load balancer.
func (s scene) rule(name, protocol string, port, unitPort int) obj {
	return s.put(idLB, "loadBalancingRules", name, obj{
		"frontendIPConfiguration": ref(idLB + "/frontendIPConfigurations/LoadBalancerFrontEnd"), "backendAddressPool": ref(idLB + "/backendAddressPools/Kemp_Pool"),
		"probe": ref(idLB + "/probes/hp-8444"), "protocol": protocol, "frontendPort": port, "backendPort": unitPort, "idleTimeoutInMinutes": 4,
	})
}

// nat puts an inbound NAT rule to an interface.
func (s scene) nat(name string, port, unitPort int, nic string) obj {
	return s.put(idLB, "inboundNatRules", name, obj{
		"frontendIPConfiguration": ref(idLB + "/frontendIPConfigurations/LoadBalancerFrontEnd"), "backendIPConfiguration": ref(nic + "/ipConfigurations/ipconfig1"),
		"protocol": "Tcp", "frontendPort": port, "backendPort": unitPort,
	})
}

func TestAHandmadeDeploymentIsWrittenWithAReasonForEachGuess(t *testing.T) {
	s := newScene()
	s.handmade()
	s.guard()
	s.secure("in-web", "Allow", 200, "Internet", "443")
	s.secure("in-admin", "Allow", 210, "198.51.100.0/24", "8440-8450")
	s.secure("in-ssh", "Allow", 220, "198.51.100.0/24", "22")
	s.secure("no-more", "Deny", 4000, "*", "*")
	s.rule("dns", "Udp", 53, 53)
	s.rule("tls-plain", "Tcp", 80, 8080)["probe"] = ref(idLB + "/probes/tcp-8080")
	s.put(idLB, "probes", "tcp-8080", obj{"protocol": "Tcp", "port": 8080, "intervalInSeconds": 5})
	s.nat("snmp", 161, 161, idNIC1)["protocol"] = "Udp"
	s.put(idLB, "outboundRules", "out", obj{"frontendIPConfigurations": []any{}})
	s.put(idLB, "backendAddressPools", "others", obj{})
	found := search(s.world(t))
	if len(found.Pairs) != 1 {
		t.Fatalf("%+v", found)
	}
	path := filepath.Join("testdata", "handmade.golden.yaml")
	if *update {
		if err := os.WriteFile(path, found.Pairs[0].File, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	golden, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(golden), string(found.Pairs[0].File)); diff != "" {
		t.Errorf("run with -update after a change that is meant (-golden +got):\n%s", diff)
	}
	if want := []discover.Skipped{{Resource: "load balancer ilb-edge, pool others", Why: "it is empty"}}; !slices.Equal(found.Skipped, want) {
		t.Errorf("skipped %v", found.Skipped)
	}
}

// one is the only pair of a scene.
func one(t *testing.T, s scene) discover.Pair {
	t.Helper()
	found := search(s.world(t))
	if len(found.Pairs) != 1 {
		t.Fatalf("found %d pairs, skipped %v", len(found.Pairs), found.Skipped)
	}
	return found.Pairs[0]
}

func TestGuesses(t *testing.T) {
	for _, tt := range []struct {
		name   string
		scene  func(s scene)
		guess  []string // field = value
		reason string   // part of the reason of the first one
	}{
		{"the unit with the lower port on the load balancer is the first", func(s scene) {
			props(s[idLB])["inboundNatRules"] = nil
			s.nat("one", 8442, 8443, idNIC1)
			s.nat("two", 8441, 8443, idNIC2)
		}, []string{"units.first = lm2", "units.first.api.secret = lm2-api"}, "8441, is below the other's, 8442"},
		{"without such ports the names decide", func(s scene) { props(s[idLB])["inboundNatRules"] = nil }, []string{"units.first = lm1"}, "its name comes first"},
		{"the mode is always observe", func(scene) {}, []string{"mode = observe"}, "read this file"},
		{"the first unit is preferred", func(scene) {}, []string{"ha.preferred = first"}, "the guide's"},
		{"trust is left to a person", func(scene) {}, []string{"units.first.api.tls = ", "units.second.api.tls = "}, "certificate is not in Azure"},
		{"checks are left to a person", func(scene) {}, []string{"checks = "}, "forwards is not in Azure"},
		{"the rule to the check port is the check rule", func(scene) {}, []string{"loadBalancers[0].rules[0] = the check rule"}, "which its own probe asks"},
		{"the name is made of the load balancer's", func(scene) {}, []string{"name = ilb-edge"}, "only pair of that name"},
		{
			"of two pools on one load balancer the pool's name is in it", func(s scene) { s.put(idLB, "backendAddressPools", "more", obj{}) },
			[]string{"name = ilb-edge-kemp-pool"},
			"and the pool's",
		},
		{"the check port is the one that an HTTP probe asks and a rule leads to", func(s scene) {
			s.put(idLB, "probes", "odd", obj{"protocol": "Http", "port": 7000, "requestPath": "/"})
			s.put(idLB, "probes", "check", obj{"protocol": "Http", "port": 9444, "requestPath": "/"})
			rules := props(s[idLB])["loadBalancingRules"].([]any)
			props(rules[0].(obj))["probe"], props(rules[0].(obj))["backendPort"] = ref(idLB+"/probes/odd"), 9444
			props(rules[1].(obj))["probe"] = ref(idLB + "/probes/check")
		}, []string{"ha.checkPort = 9444"}, "HTTP probe check asks it"},
		{"without an HTTP probe the check port is the guide's, and so is the probe", func(s scene) {
			props(s[idLB])["probes"] = nil
		}, []string{"ha.checkPort = 8444", "loadBalancers[0].probe = path /, interval 5s, threshold 2"}, "no rule to the pools has an HTTP probe"},
		{"the port of the API is the one that a NAT rule leads to", func(s scene) {
			props(props(s[idLB])["inboundNatRules"].([]any)[0].(obj))["backendPort"] = 9443
		}, []string{"units.first.api.port = 9443"}, "a NAT rule leads to it"},
		{"without a NAT rule the port of the API is that of the images", func(s scene) {
			props(s[idLB])["inboundNatRules"] = nil
		}, []string{"units.first.api.port = 8443", "units.second.api.port = 8443"}, "vendor's images"},
		{"with several interfaces the check port must answer on all", func(s scene) { s.addInterface() }, []string{"ha.checkAllInterfaces = true", "units.first.address = 10.0.0.4"}, "hcai"},
		{"a rule from the API's port to the API is that of Kemp 360 Central", func(s scene) {
			props(s[idLB])["inboundNatRules"] = nil
			s.rule("k360", "Tcp", 8443, 8443)
		}, []string{"loadBalancers[0].centralPairAwareness = true"}, "Kemp 360 Central"},
		{"a probe with the older threshold only", func(s scene) {
			p := props(props(s[idLB])["probes"].([]any)[0].(obj))
			delete(p, "probeThreshold")
		}, []string{"loadBalancers[0].probe.threshold = 2"}, "numberOfProbes"},
		{"clients are those that the security group lets in", func(s scene) {
			s.guard()
			s.secure("a", "Allow", 200, "198.51.100.0/24", "400-500")
			s.secure("b", "Allow", 300, "203.0.113.7", "443")
		}, []string{"loadBalancers[0].rules[1].from = 198.51.100.0/24, 203.0.113.7/32", "loadBalancers[0].rules[0].from = "}, "the rule a, the rule b"},
		{"people who manage are those that it lets in to web interface and SSH", func(s scene) {
			s.guard()
			s.secure("a", "Allow", 200, "198.51.100.0/24", "*")
			s.secure("b", "Allow", 300, "203.0.113.7", "8443")
		}, []string{"securityGroup.managementFrom = 198.51.100.0/24", "securityGroup.name = nsg-edge"}, "to SSH by the rule a"},
		{"a rule for a group of machines that the units are in", func(s scene) {
			s.guard()
			asg := ref(network + "applicationSecurityGroups/lm")
			for _, nic := range []string{idNIC1, idNIC2} {
				props(props(s[nic])["ipConfigurations"].([]any)[0].(obj))["applicationSecurityGroups"] = []any{asg}
			}
			p := s.secure("to-lm", "Allow", 200, "*", "443")
			p["destinationAddressPrefix"], p["destinationApplicationSecurityGroups"] = "", []any{asg}
		}, []string{"loadBalancers[0].rules[1].from = 0.0.0.0/0"}, "the rule to-lm"},
		{"a machine's name that no secret can have", func(s scene) {
			vm := base + "Microsoft.Compute/virtualMachines/1_Edge.LM"
			s[vm] = s[idVM1]
			delete(s, idVM1)
			s[vm]["id"] = vm
			props(s[idNIC1])["virtualMachine"] = ref(vm)
		}, []string{"units.first.api.secret = lm1-edge-lm-api"}, "TANDEM_SECRET_LM1_EDGE_LM_API"},
		{"pools of IPv6 only leave the units their own addresses", func(s scene) {
			s.addConfig("ipv6", "fd00::4", "fd00::5")
			for _, nic := range []string{idNIC1, idNIC2} {
				configs := props(s[nic])["ipConfigurations"].([]any)
				props(configs[1].(obj))["loadBalancerBackendAddressPools"] = props(configs[0].(obj))["loadBalancerBackendAddressPools"]
				delete(props(configs[0].(obj)), "loadBalancerBackendAddressPools")
			}
			for _, a := range props(props(s[idLB])["backendAddressPools"].([]any)[0].(obj))["loadBalancerBackendAddresses"].([]any) {
				r := props(a.(obj))["networkInterfaceIPConfiguration"].(obj)
				r["id"] = strings.Replace(r["id"].(string), "ipconfig1", "ipv6", 1)
			}
			props(props(s[idLB])["frontendIPConfigurations"].([]any)[0].(obj))["privateIPAddress"] = "fd00::100"
		}, []string{"units.first = lm1", "ha.checkPort = 8444"}, "8441"},
		{"without a group there is none in the file", func(scene) {}, []string{"securityGroup = "}, "no group that a pair file can name"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newScene()
			s.handmade()
			tt.scene(s)
			p := one(t, s)
			for i, want := range tt.guess {
				at := slices.IndexFunc(p.Guesses, func(g discover.Guess) bool { return g.Field+" = "+g.Value == want })
				if at < 0 {
					t.Errorf("no %s in %q", want, p.Guesses)
				} else if i == 0 && !strings.Contains(p.Guesses[at].Why, tt.reason) {
					t.Errorf("%s, because %q; want %q", want, p.Guesses[at].Why, tt.reason)
				}
			}
			for _, g := range p.Guesses {
				first, _, _ := strings.Cut(g.Why, " ")
				if !strings.Contains(string(p.File), "guessed: "+first) && !strings.Contains(string(p.File), "is left out, because") {
					t.Errorf("the file has no comment for %+v", g)
				}
			}
		})
	}
}

// What is there and cannot be said is told, and so is what Tandem would change.
func TestNothingIsLeftOutSilently(t *testing.T) {
	for _, tt := range []struct {
		name  string
		scene func(s scene)
		field string
		says  string
	}{
		{"a rule for UDP", func(s scene) { s.rule("dns", "Udp", 53, 53) }, "loadBalancers[0].rules", "the rule dns (UDP 53 to 53) is left out and stays as it is, because a pair file publishes TCP only"},
		{"HA ports", func(s scene) { s.rule("all", "All", 0, 0) }, "loadBalancers[0].rules", "HA ports"},
		{"HA ports are refused by the plan too", func(s scene) { s.rule("all", "All", 0, 0) }, "loadBalancers[0].rules", "tandem plan refuses it as it is"},
		{"an outbound rule", func(s scene) { s.put(idLB, "outboundRules", "out", obj{}) }, "loadBalancers[0].frontends", "outbound rules, which a pair file cannot say and Tandem leaves alone: out"},
		{"a rule of others", func(s scene) {
			s.put(idLB, "loadBalancingRules", "theirs", obj{"protocol": "Tcp", "frontendPort": 1, "backendPort": 2, "backendAddressPool": ref(idLB + "/backendAddressPools/x")})
		}, "loadBalancers[0].rules", "Tandem leaves alone: theirs (TCP 1 to 2)"},
		{"a pool of others", func(s scene) { s.put(idLB, "backendAddressPools", "x", obj{}) }, "loadBalancers[0].pools", "pools of others"},
		{"a NAT rule to another port of a unit", func(s scene) { s.nat("snmp", 1161, 161, idNIC1) }, "loadBalancers[0].management", "the NAT rule snmp (TCP 1161 to lm1 port 161) is left out"},
		{"a NAT rule to another machine", func(s scene) { s.nat("theirs", 1, 2, network+"networkInterfaces/x") }, "loadBalancers[0].management", "lead to neither unit"},
		{"a NAT rule for a pool", func(s scene) { s.nat("range", 0, 22, "")["frontendPortRangeStart"] = 1000 }, "loadBalancers[0].management", "for all members of a pool"},
		{"an inbound NAT pool", func(s scene) { s.put(idLB, "inboundNatPools", "np", obj{}) }, "loadBalancers[0].management", "scale sets"},
		{"a NAT rule on a port that is published too", func(s scene) {
			s.put(idLB, "frontendIPConfigurations", "vip2", obj{"privateIPAddress": "10.0.0.101", "subnet": ref(idVNet + "/subnets/units")})
			s.rule("clash", "Tcp", 8441, 8441)["frontendIPConfiguration"] = ref(idLB + "/frontendIPConfigurations/vip2")
		}, "loadBalancers[0].management", "wui.first is left out, because a pair file expects another port"},
		{"a probe that is slower than a pair file can say", func(s scene) {
			props(props(s[idLB])["probes"].([]any)[0].(obj))["requestPath"] = "no path"
		}, "loadBalancers[0].probe", "the probe's own values are left out"},
		{
			"an idle timeout that no pair file takes", func(s scene) { s.rule("short", "Tcp", 81, 81)["idleTimeoutInMinutes"] = 2 }, "loadBalancers[0].rules",
			"the rule short (TCP 81 to 81) is left out, because a pair file expects 4m to 100m",
		},
		{"a rule that uses another probe", func(s scene) { s.rule("plain", "Tcp", 80, 80)["probe"] = ref(idLB + "/probes/x") }, "loadBalancers[0].rules[2]", "tandem apply would change loadBalancingRules[name=plain].probe.id"},
		{"an admin state that stands", func(s scene) {
			a := props(props(s[idLB])["backendAddressPools"].([]any)[0].(obj))["loadBalancerBackendAddresses"].([]any)
			props(a[1].(obj))["adminState"] = "Down"
		}, "loadBalancers[0].pools", "the admin state of lm2 is Down now"},
		{"an address that is allocated anew", func(s scene) {
			props(props(s[idNIC1])["ipConfigurations"].([]any)[0].(obj))["privateIPAllocationMethod"] = "Dynamic"
		}, "units.first.address", "make it static"},
		{"a Basic load balancer", func(s scene) { s[idLB]["sku"] = obj{"name": "Basic"} }, "loadBalancers[0].name", "Basic is retired"},
		{"machines that one fault takes away", func(s scene) { delete(s[idVM1], "zones") }, "units", "neither in one availability set nor in two zones"},
		{"a frontend with a prefix", func(s scene) {
			p := props(props(s[idLB])["frontendIPConfigurations"].([]any)[0].(obj))
			s.put(idLB, "frontendIPConfigurations", "pre", obj{"publicIPPrefix": ref(network + "publicIPPrefixes/x"), "like": p})
			s.rule("odd", "Tcp", 81, 81)["frontendIPConfiguration"] = ref(idLB + "/frontendIPConfigurations/pre")
		}, "loadBalancers[0].rules", "public IP prefix"},
		{"a pool that is joined in the other way", func(s scene) {
			s.put(idLB, "backendAddressPools", "by-ip", obj{"loadBalancerBackendAddresses": []any{
				obj{"name": "a", "properties": obj{"ipAddress": "10.0.0.4", "virtualNetwork": ref(idVNet)}}, obj{"name": "b", "properties": obj{"ipAddress": "10.0.0.5", "virtualNetwork": ref(idVNet)}},
			}})
		}, "loadBalancers[0].pools", "the pool by-ip is left out with its rules"},
		{"a tag that is no address", func(s scene) { s.guard(); s.secure("azure", "Allow", 200, "AzureCloud", "443") }, "securityGroup", "the rule azure lets in AzureCloud, which is no address"},
		{"clients that are denied before", func(s scene) {
			s.guard()
			s.secure("no", "Deny", 150, "198.51.0.0/16", "*")
			s.secure("yes", "Allow", 200, "198.51.100.0/24", "443")
		}, "securityGroup", "which the rule no denies before it"},
		{"people who may reach SSH only", func(s scene) { s.guard(); s.secure("ssh", "Allow", 200, "198.51.100.0/24", "22") }, "securityGroup", "one of the web interface and SSH only: 198.51.100.0/24"},
		{"rules that Tandem would add", func(s scene) { s.guard(); s.secure("x", "Deny", 200, "9.9.9.9", "1") }, "securityGroup", "tandem apply would add securityRules[name=tandem-ilb-edge--sync]"},
		{"a second group", func(s scene) {
			s.guard()
			s.secure("x", "Deny", 200, "9.9.9.9", "1")
			id := network + "networkSecurityGroups/nsg-subnet"
			s[id] = obj{"id": id, "properties": obj{}}
			props(s[idVNet+"/subnets/units"])["networkSecurityGroup"] = ref(id)
		}, "securityGroup", "the group nsg-subnet looks at the units' traffic too"},
		{"a group in another resource group", func(s scene) {
			id := strings.Replace(network, "rg-edge", "rg-net", 1) + "networkSecurityGroups/nsg-net"
			s[id] = obj{"id": id, "properties": obj{}}
			props(s[idVNet+"/subnets/units"])["networkSecurityGroup"] = ref(id)
		}, "securityGroup", "it is in another resource group"},
		{"a frontend that no pair file can name, with its rules", func(s scene) {
			s.put(idLB, "frontendIPConfigurations", "vip(2)", obj{"privateIPAddress": "10.0.0.101", "subnet": ref(idVNet + "/subnets/units")})
			s.rule("second", "Tcp", 81, 81)["frontendIPConfiguration"] = ref(idLB + "/frontendIPConfigurations/vip(2)")
		}, "loadBalancers[0].frontends", "the frontend vip(2) is left out, because a pair file expects a name that Azure takes"},
		{"a group that no pair file can name", func(s scene) {
			id := network + "networkSecurityGroups/nsg(1)"
			s[id] = obj{"id": id, "properties": obj{}}
			for _, nic := range []string{idNIC1, idNIC2} {
				props(s[nic])["networkSecurityGroup"] = ref(id)
			}
			s.put(id, "securityRules", "in", obj{
				"access": "Allow", "direction": "Inbound", "protocol": "Tcp", "priority": 200, "sourceAddressPrefix": "*", "destinationAddressPrefix": "*", "destinationPortRange": "443",
			})
		}, "", "the security group is left out, because a pair file expects a name that Azure takes"},
		{"a rule for Central beside units with different ports", func(s scene) {
			props(props(s[idLB])["inboundNatRules"].([]any)[0].(obj))["backendPort"] = 9443
			s.rule("k360", "Tcp", 8443, 8443)
		}, "loadBalancers[0].rules", "the rule k360 (TCP 8443 to 8443) is left out, because a pair file expects another port of the units"},
		{"a rule that lets in only one of the units' clients", func(s scene) {
			s.guard()
			s.secure("half", "Allow", 200, "Internet", "443")["destinationAddressPrefix"] = "10.0.0.4"
		}, "securityGroup", "the rule half lets in to port 443 only some connections, or to one unit only"},
		{"clients of the internet that are denied before", func(s scene) {
			s.guard()
			s.secure("no", "Deny", 150, "Internet", "*")
			s.secure("yes", "Allow", 200, "198.51.100.0/24", "443")
			s.secure("own", "Allow", 210, "10.3.0.0/16", "443")
		}, "securityGroup", "lets in 198.51.100.0/24 to port 443, which the rule no denies before it"},
		{"clients of the network that are denied before", func(s scene) {
			s.guard()
			s.secure("no", "Deny", 150, "VirtualNetwork", "*")
			s.secure("own", "Allow", 210, "10.3.0.0/16", "443")
		}, "securityGroup", "lets in 10.3.0.0/16 to port 443, which the rule no denies before it"},
		{"a group of machines that a rule lets in", func(s scene) {
			s.guard()
			p := s.secure("asg", "Allow", 200, "", "443")
			p["sourceApplicationSecurityGroups"] = []any{ref(network + "applicationSecurityGroups/web")}
		}, "securityGroup", "the rule asg lets in the application security group web, which is no address"},
		{"more rules of others than anybody reads", func(s scene) {
			s.guard()
			for i := range 30 {
				s.secure(fmt.Sprintf("r%d", i), "Allow", 200+i, "9.9.9.9", "1")
			}
		}, "securityGroup", "r19 and 10 more"},
		{"machines that nothing but a probe speaks for", func(s scene) {
			props(s[idLB])["inboundNatRules"], props(s[idLB])["loadBalancingRules"], props(s[idLB])["probes"] = nil, nil, nil
			s.put(idLB, "probes", "hp-8444", obj{"protocol": "Http", "port": 80, "requestPath": "/"})
			s.rule("web", "Tcp", 80, 80)
		}, "", "nothing but an HTTP probe speaks for LoadMasters"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newScene()
			s.handmade()
			tt.scene(s)
			p := one(t, s)
			told := func(n discover.Note) bool { return n.Field == tt.field && strings.Contains(n.Why, tt.says) }
			if !slices.ContainsFunc(p.Notes, told) {
				t.Errorf("no note about %q says %q in %+v", tt.field, tt.says, p.Notes)
			}
			if flat := unwrapped(p.File); !strings.Contains(flat, tt.says) {
				t.Errorf("the file does not say %q:\n%s", tt.says, p.File)
			}
		})
	}
}

// unwrapped is a file with all its comments on one line.
func unwrapped(file []byte) string {
	return strings.Join(strings.Fields(strings.ReplaceAll(string(file), "#", "")), " ")
}

func TestWhatMakesNoPairIsSaid(t *testing.T) {
	pool := func(s scene, name string, nics ...string) {
		var refs []any
		for _, nic := range nics {
			refs = append(refs, ref(nic+"/ipConfigurations/ipconfig1"))
		}
		s.put(idLB, "backendAddressPools", name, obj{"backendIPConfigurations": refs})
	}
	third := func(s scene, group string) string {
		vm, nic := strings.Replace(base, "rg-edge", group, 1)+"Microsoft.Compute/virtualMachines/lm3", network+"networkInterfaces/lm3-nic"
		s[vm] = obj{"id": vm, "location": "westeurope", "properties": obj{"networkProfile": obj{"networkInterfaces": []any{ref(nic)}}}}
		s[nic] = obj{"id": nic, "properties": obj{"virtualMachine": ref(vm), "ipConfigurations": []any{ipConfig(nic, "ipconfig1", "10.0.0.6", true)}}}
		return nic
	}
	for _, tt := range []struct {
		name      string
		scene     func(s scene)
		vms       [2]string
		what, why string
	}{
		{"a pool with one machine", func(s scene) { pool(s, "p", idNIC1) }, [2]string{}, "load balancer ilb-edge, pool p", "it holds one machine only, lm1"},
		{"an empty pool", func(s scene) { pool(s, "p") }, [2]string{}, "load balancer ilb-edge, pool p", "it is empty"},
		{"a pool with three", func(s scene) { pool(s, "p", idNIC1, idNIC2, third(s, "rg-edge")) }, [2]string{}, "load balancer ilb-edge, pool p", "it holds 3 machines"},
		{"a machine in another resource group", func(s scene) { pool(s, "p", idNIC1, third(s, "rg-else")) }, [2]string{}, "load balancer ilb-edge, pool p", "which is not in the resource group rg-edge"},
		{"an interface of no machine", func(s scene) {
			id := network + "networkInterfaces/loose"
			s[id] = obj{"id": id, "properties": obj{"ipConfigurations": []any{ipConfig(id, "ipconfig1", "10.0.0.9", true)}}}
			pool(s, "p", idNIC1, id)
		}, [2]string{}, "load balancer ilb-edge, pool p", "the interface loose, which belongs to no machine"},
		{"a scale set", func(s scene) {
			pool(s, "p", base+"Microsoft.Compute/virtualMachineScaleSets/vmss/virtualMachines/0/networkInterfaces/nic")
		}, [2]string{}, "load balancer ilb-edge, pool p", "the scale set vmss"},
		{"an address of nobody", func(s scene) {
			s.put(idLB, "backendAddressPools", "p", obj{"loadBalancerBackendAddresses": []any{obj{"name": "a", "properties": obj{"ipAddress": "10.9.9.9"}}}})
		}, [2]string{}, "load balancer ilb-edge, pool p", "the address 10.9.9.9, which no machine"},
		{"an address of another network", func(s scene) {
			s.put(idLB, "backendAddressPools", "p", obj{"loadBalancerBackendAddresses": []any{obj{"name": "a", "properties": obj{"ipAddress": "10.0.0.4", "virtualNetwork": ref(idVNet + "-other")}}}})
		}, [2]string{}, "load balancer ilb-edge, pool p", "the address 10.0.0.4, which no machine"},
		{"a load balancer without pools", func(s scene) { s[idLB+"2"] = obj{"id": idLB + "2"} }, [2]string{}, "load balancer ilb-edge2", "it has no backend pool"},
		{"a gateway load balancer", func(s scene) { s[idLB+"2"] = obj{"id": idLB + "2", "sku": obj{"name": "Gateway"}} }, [2]string{}, "load balancer ilb-edge2", "gateway"},
		{"a global one", func(s scene) { s[idLB+"2"] = obj{"id": idLB + "2", "sku": obj{"tier": "Global"}} }, [2]string{}, "load balancer ilb-edge2", "global tier"},
		{"a document that is odd", func(s scene) { s[idLB+"2"] = obj{"id": idLB + "2", "properties": "?"} }, [2]string{}, "loadbalancers ilb-edge2", "a form that this release does not know"},
		{"a machine that is in two pairs", func(s scene) { pool(s, "p", idNIC1, idNIC2); pool(s, "q", idNIC1, third(s, "rg-edge")) }, [2]string{}, "machines lm1 and lm2", "say which with --vm"},
		{"machines that nothing speaks for", func(s scene) { pool(s, "p", idNIC1, idNIC2) }, [2]string{}, "machines lm1 and lm2", "nothing shows that they are LoadMasters"},
		{"without a rule", func(s scene) { pool(s, "p", idNIC1, idNIC2) }, [2]string{"lm1", "lm2"}, "machines lm1 and lm2", "no load-balancing rule sends TCP to their pools"},
		{"a machine that does not exist", func(scene) {}, [2]string{"lm1", "lm9"}, "VM lm9", "there is no such virtual machine"},
		{"machines that are in no pool", func(s scene) { pool(s, "p", idNIC1) }, [2]string{"lm2", "lm1"}, "machines lm1 and lm2", "holds these two and nothing else"},
		{"other machines than were asked for", func(s scene) { third(s, "rg-edge"); pool(s, "p", idNIC1, idNIC2) }, [2]string{"lm1", "lm3"}, "machines lm1 and lm2", "other machines were asked for"},
		{"machines without addresses", func(s scene) {
			s.handmade()
			props(props(s[idNIC1])["ipConfigurations"].([]any)[0].(obj))["privateIPAddress"] = ""
		}, [2]string{}, "machines lm1 and lm2", "no addresses of one family"},
		{"a location that is none", func(s scene) { s.handmade(); s[idVM1]["location"] = "?" }, [2]string{}, "machines lm1 and lm2", `no valid file can be written: field "azure.location"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newScene()
			tt.scene(s)
			w := s.world(t)
			look := everything
			look.VMs = tt.vms
			found := look.Find(w)
			if len(found.Pairs) > 0 {
				t.Errorf("found %s", found.Pairs[0].File)
			}
			if !slices.ContainsFunc(found.Skipped, func(s discover.Skipped) bool { return s.Resource == tt.what && strings.Contains(s.Why, tt.why) }) {
				t.Errorf("nothing says %s: %s in %+v", tt.what, tt.why, found.Skipped)
			}
		})
	}
}

func TestAPersonsWordSaysWhichUnitIsTheFirst(t *testing.T) {
	s := newScene()
	s.handmade()
	w := s.world(t)
	search(w) // reads
	for _, vms := range [][2]string{{"lm1", "lm2"}, {"LM2", "lm1"}} {
		look := everything
		look.VMs = vms
		found := look.Find(w)
		if len(found.Pairs) != 1 || !strings.EqualFold(found.Pairs[0].Definition.Units.First.VM, vms[0]) {
			t.Fatalf("%v: %+v", vms, found)
		}
		if slices.ContainsFunc(found.Pairs[0].Guesses, func(g discover.Guess) bool { return g.Field == "units.first" }) {
			t.Error("what a person said is called a guess")
		}
	}
}

// Two pairs whose load balancers have one name but for signs that no pair's name
// has get two names, each a valid one.
func TestEachPairHasANameOfItsOwn(t *testing.T) {
	s := newScene()
	for i, lb := range []string{"Edge_" + strings.Repeat("x", 50), "Edge." + strings.Repeat("x", 50)} {
		id := network + "loadBalancers/" + lb
		var refs []any
		for j := range 2 {
			n := fmt.Sprintf("m%d%d", i, j)
			vm, nic := base+"Microsoft.Compute/virtualMachines/"+n, network+"networkInterfaces/"+n
			s[vm] = obj{"id": vm, "location": "westeurope", "properties": obj{"networkProfile": obj{"networkInterfaces": []any{ref(nic)}}}}
			s[nic] = obj{"id": nic, "properties": obj{"ipConfigurations": []any{ipConfig(nic, "ipconfig1", fmt.Sprintf("10.0.0.%d", 20+2*i+j), true)}}}
			refs = append(refs, ref(nic+"/ipConfigurations/ipconfig1"))
		}
		s.put(id, "frontendIPConfigurations", "vip", obj{"privateIPAddress": fmt.Sprintf("10.0.0.%d", 100+i)})
		s.put(id, "backendAddressPools", "p", obj{"backendIPConfigurations": refs})
		s.put(id, "loadBalancingRules", "check", obj{
			"frontendIPConfiguration": ref(id + "/frontendIPConfigurations/vip"), "backendAddressPool": ref(id + "/backendAddressPools/p"), "protocol": "Tcp", "frontendPort": 8444, "backendPort": 8444,
		})
	}
	var names []string
	for _, p := range search(s.world(t)).Pairs {
		names = append(names, p.Name)
	}
	if want := []string{"edge-" + strings.Repeat("x", 33) + "-2", "edge-" + strings.Repeat("x", 35)}; !slices.Equal(names, want) {
		t.Errorf("got %q, want %q", names, want)
	}
}

func TestWhatMayNotBeReadIsSaid(t *testing.T) {
	s := newScene()
	s.handmade()
	w := s.world(t)
	subnet := pair.NewResourceID(idVNet + "/subnets/units")
	delete(w, subnet)
	if missing := everything.Reads(w); !slices.Equal(missing, []pair.ResourceID{subnet}) {
		t.Fatalf("it wants %v", missing)
	}
	look := everything
	look.Refused = map[pair.ResourceID]string{subnet: "no permission"}
	if missing := look.Reads(w); len(missing) > 0 {
		t.Fatalf("it wants %v again", missing)
	}
	found := look.Find(w)
	if len(found.Pairs) != 1 || !strings.Contains(unwrapped(found.Pairs[0].File), "is not known, because subnets units is needed for it: no permission.") {
		t.Errorf("%s", found.Pairs[0].File)
	}
}

// What comes from outside stands in values and comments, and never becomes
// anything else.
func TestNamesFromOutsideAreOnlyText(t *testing.T) {
	s := newScene()
	s.handmade()
	s.rule("x\nmode: auto #\x1b[31m\u2028", "Udp", 1, 1)
	s.guard()
	s.secure("y\r\nmode: auto", "Allow", 200, "9.9.9.9\nmode: auto", "443")
	p := one(t, s)
	if p.Definition.Mode != pair.Observe || strings.ContainsAny(string(p.File), "\r\x1b\u2028") {
		t.Errorf("%q", p.File)
	}
	for line := range strings.Lines(string(p.File)) {
		if strings.Contains(line, "auto") && !strings.HasPrefix(strings.TrimSpace(line), "#") {
			t.Errorf("%q", line)
		}
	}
}

func TestEqualWorldsGiveEqualFiles(t *testing.T) {
	s := newScene()
	s.handmade()
	s.guard()
	s.secure("in", "Allow", 200, "Internet", "*")
	w := s.world(t)
	first := search(w)
	for range 5 {
		if diff := cmp.Diff(string(first.Pairs[0].File), string(search(w).Pairs[0].File)); diff != "" {
			t.Fatal(diff)
		}
	}
}

func TestAListWithoutIdsIsRefused(t *testing.T) {
	for _, doc := range []string{`{}`, `[]`, `{"id":7}`} {
		if err := discover.Add(balancer.World{}, []json.RawMessage{json.RawMessage(doc)}); err == nil {
			t.Errorf("%s was taken", doc)
		}
	}
}

// FuzzFind breaks documents in places of the seed's choice, also by the text.
func FuzzFind(f *testing.F) {
	for seed := range uint64(40) {
		f.Add(seed, []string{"", "8444", "Internet", "10.0.0.4", "fd00::4", "0.0.0.0/0", idLB + "/backendAddressPools/Kemp_Pool", "\n- x: y", "Udp", "*"}[seed%10])
	}
	f.Fuzz(findInBroken)
}

// findInBroken demands that whatever is found in a broken world is a file that
// can be read, in mode observe.
func findInBroken(t *testing.T, seed uint64, text string) {
	s := newScene()
	s.handmade()
	s.guard()
	s.secure("tandem-edge-weu--sync", "Allow", 200, "10.0.0.4", "6973")["destinationAddressPrefix"] = "10.0.0.0/29"
	s.secure("a", "Allow", 210, "Internet", "1-65535")
	r := draw{rand.New(rand.NewPCG(seed, 1))}
	w := balancer.World{}
	whole := s.world(t)
	for _, id := range slices.Sorted(maps.Keys(whole)) {
		doc := whole[id]
		var tree any
		if err := json.Unmarshal(doc, &tree); err != nil {
			t.Fatal(err)
		}
		if r.oneIn(2) {
			tree = r.broken(tree, text)
		}
		b, err := json.Marshal(tree)
		if err != nil {
			t.Fatal(err)
		}
		w[id] = b
	}
	for round := 0; ; round++ {
		missing := everything.Reads(w)
		if len(missing) == 0 {
			break
		}
		if round == 10 {
			t.Fatalf("it never has enough: %v", missing)
		}
		for _, id := range missing {
			w[id] = nil
		}
	}
	for _, p := range everything.Find(w).Pairs {
		defs, err := manifest.Read(p.Name, strings.NewReader(string(p.File)))
		if err != nil || len(defs) != 1 || defs[0].Name != p.Name || defs[0].Mode != pair.Observe {
			t.Fatalf("%v\n%s", err, p.File)
		}
	}
}

// broken replaces, repeats or takes out something anywhere in a document.
func (r draw) broken(v any, text string) any {
	switch v := v.(type) {
	case map[string]any:
		keys := slices.Sorted(maps.Keys(v))
		if len(keys) == 0 || r.oneIn(8) {
			break
		}
		key := keys[r.IntN(len(keys))]
		if r.oneIn(10) {
			delete(v, key)
			return v
		}
		v[key] = r.broken(v[key], text)
		return v
	case []any:
		if len(v) == 0 || r.oneIn(8) {
			break
		}
		i := r.IntN(len(v))
		if r.oneIn(6) {
			return append(v, v[i])
		}
		v[i] = r.broken(v[i], text)
		return v
	}
	return []any{text, nil, r.IntN(70000), -1, true, []any{}, []any{text}, obj{}, obj{"id": text}, "All", "Tcp", "8444"}[r.IntN(12)]
}
