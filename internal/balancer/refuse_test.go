package balancer_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"tandem/internal/balancer"
	"tandem/internal/pair"
)

// first edits the only load balancer of the definition.
func first(edit func(lb *pair.LoadBalancer)) func(*pair.Definition) {
	return func(d *pair.Definition) { edit(&d.LoadBalancers[0]) }
}

func addr(s string) netip.Addr     { return netip.MustParseAddr(s) }
func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

// Every contradiction is refused before anything is sent, with its place, the
// reason and the way out.
func TestRefusals(t *testing.T) {
	none := func(*pair.Definition) {}
	empty := func(scene) {}
	for _, tt := range []struct {
		name   string
		edit   func(*pair.Definition)
		scene  func(s scene)
		around func(*balancer.Surroundings)
		want   []string
	}{
		{"a NAT rule and a rule on one frontend port", first(func(lb *pair.LoadBalancer) {
			lb.Rules = append(lb.Rules, pair.Rule{Name: "admin", Frontend: "vip1", Port: 8441, BackendPort: 9000})
		}), empty, nil, []string{
			`loadBalancers[0].management.wui.first: 8441: the rule admin has this port of the frontend vip1 too, and a frontend's port leads to one place; give one of the two another port`,
		}},
		{"a NAT rule and somebody's rule on one frontend port", none, func(s scene) {
			s.handmade()
			props(s[idLB])["inboundNatRules"] = nil
			s.rule("admin", "vip1", 8441, 9000)
		}, nil, []string{
			`loadBalancers[0].management.wui.first: 8441: the rule admin has this port of the frontend vip1 too, and a frontend's port leads to one place; give one of the two another port`,
		}},
		{"a rule that exists under another name", none, func(s scene) {
			s.handmade()
			props(s[idLB])["loadBalancingRules"] = nil
			s.rule("web", "vip1", 443, 443)
		}, nil, []string{
			`loadBalancers[0].rules[1].port: 443: the rule web has this port of the frontend vip1 too, and a frontend's port leads to one place; give one of the two another port, or, if they are meant to be the same, call it web in the pair file`,
		}},
		{"somebody's range of NAT ports around one of ours", none, func(s scene) {
			s.put(idLB, "frontendIPConfigurations", "vip1", obj{"privateIPAddress": "10.0.0.100"})
			s.put(idLB, "inboundNatRules", "range", obj{
				"frontendIPConfiguration": ref(idLB + "/frontendIPConfigurations/vip1"), "protocol": "Tcp",
				"frontendPortRangeStart": 8400, "frontendPortRangeEnd": 8441, "backendPort": 5000,
			})
		}, nil, []string{
			`loadBalancers[0].management.wui.first: 8441: the NAT rule range has this port of the frontend vip1 too, and a frontend's port leads to one place; give one of the two another port`,
		}},
		{"a NAT rule and a rule to one port of the units", first(func(lb *pair.LoadBalancer) {
			lb.Rules = append(lb.Rules, pair.Rule{Name: "wui", Frontend: "vip1", Port: 9443, BackendPort: 8443})
			lb.Management.SSH, lb.Management.WUI.Second = pair.PortPair{}, 0
		}), empty, nil, []string{
			`loadBalancers[0].management.wui.first: 8443: the rule wui leads to this port of the units too, and Azure takes a port and protocol once on an IP configuration without floating IP (RulesUseSameBackendPortProtocolAndIPConfig); leave one of the two out, or lead the NAT rule to another IP configuration`,
		}},
		{"somebody's NAT rule to a port that a rule leads to", none, func(s scene) {
			s.handmade()
			s.nat("direct", 9001, 443, idNIC2+"/ipConfigurations/ipconfig1")
		}, nil, []string{
			`loadBalancers[0].rules[1].port: 443: the NAT rule direct leads to this port of the units too, and Azure takes a port and protocol once on an IP configuration without floating IP (RulesUseSameBackendPortProtocolAndIPConfig); leave one of the two out, or lead the NAT rule to another IP configuration`,
		}},
		{"the backend port of another frontend without floating IP", first(func(lb *pair.LoadBalancer) {
			lb.Frontends = append(lb.Frontends, pair.Frontend{Name: "vip2", Address: addr("10.0.0.101")})
			lb.Rules = append(lb.Rules, pair.Rule{Name: "https2", Frontend: "vip2", Port: 443})
		}), empty, nil, []string{
			`loadBalancers[0].rules[2].port: 443: the rule https leads to this port of the units too, and without floating IP Azure takes each once (RulesUseSameBackendPortProtocolAndPool); give one of the two another backendPort, or set floatingIP: true on both and give the units the frontends' addresses on loopbacks`,
		}},
		{"the backend port of another load balancer's rule of the same kind", none, func(s scene) {
			other := network + "loadBalancers/old"
			s.handmade()
			s.put(other, "frontendIPConfigurations", "f", obj{"privateIPAddress": "10.0.0.200"})
			s.put(other, "backendAddressPools", "p", obj{})
			s.put(other, "loadBalancingRules", "legacy", obj{
				"frontendIPConfiguration": ref(other + "/frontendIPConfigurations/f"), "backendAddressPool": ref(other + "/backendAddressPools/p"),
				"protocol": "Tcp", "frontendPort": 443, "backendPort": 443,
			})
			s.join(idNIC1, "loadBalancerBackendAddressPools", other+"/backendAddressPools/p")
		}, nil, []string{
			`loadBalancers[0].rules[1].port: 443: the rule legacy of the load balancer old leads to this port of the units too, and without floating IP Azure takes each once (RulesUseSameBackendPortProtocolAndPool); give one of the two another backendPort, or set floatingIP: true on both and give the units the frontends' addresses on loopbacks`,
		}},
		{"two rules of one frontend with one address and port", first(func(lb *pair.LoadBalancer) {
			lb.Rules[1].FloatingIP = true
			lb.Rules = append(lb.Rules, pair.Rule{Name: "again", Frontend: "vip1", Port: 444, BackendPort: 443, FloatingIP: true})
		}), empty, nil, []string{
			`loadBalancers[0].rules[2].backendPort: 443: the rule https leads to this port too, with the same frontend's address, so the units cannot tell the two apart; give one of the two another backendPort`,
		}},

		{"a unit's check port is another one", none, empty, func(s *balancer.Surroundings) { s.CheckPorts = [2]int{8444, 8445} }, []string{
			`ha.checkPort: 8444: the second unit itself says 8445; with different ports on units and probe, HA does not work; make the health check port the same on both units and in the pair file`,
		}},
		{"a rule answers for the check port with another one", first(func(lb *pair.LoadBalancer) { lb.Rules[0].BackendPort = 8445 }), empty, nil, []string{
			`loadBalancers[0].rules[0].backendPort: 8445: the probe asks port 8444, and this rule gives the answer of another port for that of the check port; make it 8444, or use another frontend port`,
		}},

		{"a Basic load balancer", none, func(s scene) {
			s.handmade()
			s[idLB]["sku"] = obj{"name": "Basic"}
		}, nil, []string{
			`loadBalancers[0].name: ilb-edge: the load balancer is Basic, and the pair needs a Standard one; Basic is retired, and a SKU cannot be changed; build a new one under another name, or migrate this one, and name it here`,
		}},
		{"a load balancer of the global tier", none, func(s scene) {
			s.handmade()
			s[idLB]["sku"] = obj{"name": "Standard", "tier": "Global"}
		}, nil, []string{
			`loadBalancers[0].name: ilb-edge: the load balancer is of the global tier, which has load balancers behind it and no machines; name a regional one`,
		}},
		{"a Basic public IP", first(func(lb *pair.LoadBalancer) { lb.Frontends[0] = pair.Frontend{Name: "vip1", PublicIP: "pip"} }), func(s scene) {
			s[network+"publicIPAddresses/pip"] = obj{"sku": obj{"name": "Basic"}, "properties": obj{"publicIPAddressVersion": "IPv4"}}
		}, nil, []string{
			`loadBalancers[0].frontends[0].publicIP: pip: the public IP is Basic, and a Standard load balancer takes Standard ones only; Basic is retired (DifferentSkuLoadBalancersAndPublicIPAddressNotAllowed); upgrade it to Standard, or name another one`,
		}},
		{"a public IP of the other family", first(func(lb *pair.LoadBalancer) { lb.Frontends[0] = pair.Frontend{Name: "vip1", PublicIP: "pip"} }), func(s scene) {
			s[network+"publicIPAddresses/pip"] = obj{"sku": obj{"name": "Standard"}, "properties": obj{"publicIPAddressVersion": "IPv6"}}
		}, nil, []string{
			`loadBalancers[0].frontends[0].ipv6: false: the public IP is an IPv6 address; set ipv6 to true`,
		}},
		{"a public IP that somebody else uses", first(func(lb *pair.LoadBalancer) { lb.Frontends[0] = pair.Frontend{Name: "vip1", PublicIP: "pip"} }), func(s scene) {
			s[network+"publicIPAddresses/pip"] = obj{"properties": obj{"ipConfiguration": ref(network + "networkInterfaces/x/ipConfigurations/y")}}
		}, nil, []string{
			`loadBalancers[0].frontends[0].publicIP: pip: the public IP belongs to …/networkinterfaces/x/ipconfigurations/y already; name another one`,
		}},

		{"units in different networks", none, func(s scene) {
			id := network + "virtualNetworks/other/subnets/default"
			s[id] = obj{"id": id, "properties": obj{"addressPrefix": "10.0.0.0/24"}}
			props(s.configs(idNIC2)[0].(obj))["subnet"] = ref(id)
		}, nil, []string{
			`units.second.vm: lm2: it is in the network other, and the first unit in vnet; a load balancer reaches the machines of one network only; move one of the two into the other's network`,
		}},
		{"a unit in another resource group", none, func(s scene) { s[idVM2] = nil }, nil, []string{
			`units.second.vm: lm2: there is no such virtual machine in the resource group rg-edge, and the units must be in one (guide 2); correct azure.resourceGroup or the name, or move the machine`,
		}},
		{"a unit in another region", none, func(s scene) { s[idVM2]["location"] = "North Europe" }, nil, []string{
			`units.second.vm: lm2: it is in the region North Europe, and a load balancer in westeurope cannot reach it; correct azure.location`,
		}},
		{"an address that no interface has", none, func(s scene) { props(s.configs(idNIC2)[0].(obj))["privateIPAddress"] = "10.0.0.7" }, nil, []string{
			`units.second.address: 10.0.0.5: no interface of the virtual machine lm2 has this address; correct the address, which is that of eth0`,
		}},
		{"neither one availability set nor two zones", none, func(s scene) {
			delete(props(s[idVM1]), "availabilitySet")
			s[idVM1]["zones"] = []any{"1"}
		}, nil, []string{
			`units: zone 1 and availability set avset: the units are neither in one availability set nor in two zones, so one fault or one maintenance of Azure takes both (guide 2); deploy the machines again into one availability set, or into two zones; neither can be changed afterwards`,
		}},
		{"both units in one zone", none, func(s scene) {
			for _, vm := range []string{idVM1, idVM2} {
				delete(props(s[vm]), "availabilitySet")
				s[vm]["zones"] = []any{"2"}
			}
		}, nil, []string{
			`units: zone 2 and zone 2: the units are neither in one availability set nor in two zones, so one fault or one maintenance of Azure takes both (guide 2); deploy the machines again into one availability set, or into two zones; neither can be changed afterwards`,
		}},
		{"two availability sets", none, func(s scene) {
			props(s[idVM2])["availabilitySet"] = ref(group + "Microsoft.Compute/availabilitySets/other")
		}, nil, []string{
			`units: availability set avset and availability set other: the units are neither in one availability set nor in two zones, so one fault or one maintenance of Azure takes both (guide 2); deploy the machines again into one availability set, or into two zones; neither can be changed afterwards`,
		}},
		{"bonded interfaces", none, empty, func(s *balancer.Surroundings) { s.Bonded[1] = true }, []string{
			`units.second.vm: lm2: the unit says that interfaces of it are bonded, which is impossible on Azure; no document of Azure shows it; undo the bond on the unit, and use one interface`,
		}},
		{"multi-arm without checkAllInterfaces", none, func(s scene) {
			second := network + "networkInterfaces/lm1-nic2"
			s[second] = obj{"id": second, "properties": obj{"ipConfigurations": []any{ipConfig(second, "ipconfig1", "10.0.0.34", true)}}}
			vm := props(s[idVM1])["networkProfile"].(obj)
			vm["networkInterfaces"] = append(vm["networkInterfaces"].([]any), ref(second))
		}, nil, []string{
			`ha.checkAllInterfaces: false: the virtual machine lm1 has several interfaces, and the check port answers on one of them unless hcai is set, so the probe may see a unit that is up as down; set ha.checkAllInterfaces: true, and hcai=1 on both units`,
		}},

		{"more than 300 rules to an interface", first(func(lb *pair.LoadBalancer) {
			for i := range 297 {
				lb.Rules = append(lb.Rules, pair.Rule{Name: fmt.Sprintf("r%d", i), Frontend: "vip1", Port: 20000 + i})
			}
		}), empty, nil, []string{
			`loadBalancers: 301 rules: they lead to the first unit's interface, which takes 300 at most, those of others included (LoadBalancerRuleCountLimitReachedForNic); publish fewer ports`,
			`loadBalancers: 301 rules: they lead to the second unit's interface, which takes 300 at most, those of others included (LoadBalancerRuleCountLimitReachedForNic); publish fewer ports`,
		}},
		{"more than 1,500 rules on a load balancer", none, func(s scene) {
			s.handmade()
			for i := range 1495 {
				s.put(idLB, "loadBalancingRules", fmt.Sprintf("r%d", i), obj{"protocol": "Udp", "frontendPort": 10000 + i, "backendPort": 10000 + i})
			}
		}, nil, []string{
			`loadBalancers[0].rules: 1501 rules: a load balancer has 1500 at most, those of others included; put some of them on another load balancer`,
		}},
		{"more than 600 frontends on a load balancer", none, func(s scene) {
			s.handmade()
			for i := range 600 {
				s.put(idLB, "frontendIPConfigurations", fmt.Sprintf("f%d", i), obj{"privateIPAddress": "10.1.0.1"})
			}
		}, nil, []string{
			`loadBalancers[0].frontends: 601 frontends: a load balancer has 600 at most, those of others included; put some of them on another load balancer`,
		}},
		{"more than 1,000 rules in a security group", none, func(s scene) {
			for i := range 993 {
				s.secure(idGroup, fmt.Sprintf("r%d", i), "Allow", 2000+i, "*", "7777")
			}
		}, nil, []string{
			`securityGroup.name: nsg-edge: 1001 rules are more than the 1000 that a group has at most; remove rules that nobody needs, or name a group of the pair's own`,
		}},
		{"more than 4,000 networks in a security rule", first(func(lb *pair.LoadBalancer) {
			for i := range 4001 {
				lb.Rules[1].From = append(lb.Rules[1].From, netip.PrefixFrom(netip.AddrFrom4([4]byte{20, byte(i >> 8), byte(i), 0}), 24))
			}
		}), empty, nil, []string{
			`loadBalancers[0].rules[1].from: 4002 networks: a security rule has 4000 at most; join neighbouring networks`,
		}},
		{"a second internal load balancer for an interface", none, func(s scene) {
			other := network + "loadBalancers/old"
			s.put(other, "frontendIPConfigurations", "f", obj{"privateIPAddress": "10.0.0.200"})
			s.join(idNIC1, "loadBalancerBackendAddressPools", other+"/backendAddressPools/p")
		}, nil, []string{
			`loadBalancers[0].name: ilb-edge: the first unit's interface is behind the internal load balancer old too, and can be behind one internal and one public load balancer (AnotherInternalLoadBalancerExists); put the frontends and rules of both on one load balancer`,
		}},
		{"two internal load balancers of the pair", func(d *pair.Definition) {
			d.LoadBalancers = append(d.LoadBalancers, pair.LoadBalancer{
				Name: "ilb2", Pools: []string{"p"}, Frontends: []pair.Frontend{{Name: "f", Address: addr("10.0.0.102")}},
				Rules: []pair.Rule{{Name: "r", Frontend: "f", Port: 9444, BackendPort: 9444}, {Name: "c", Frontend: "f", Port: 9000}},
			})
		}, func(s scene) { s[network+"loadBalancers/ilb2"] = nil }, nil, []string{
			`loadBalancers[1].name: ilb2: the first unit's interface is behind the internal load balancer ilb-edge too, and can be behind one internal and one public load balancer (AnotherInternalLoadBalancerExists); put the frontends and rules of both on one load balancer`,
			`loadBalancers[1].name: ilb2: the second unit's interface is behind the internal load balancer ilb-edge too, and can be behind one internal and one public load balancer (AnotherInternalLoadBalancerExists); put the frontends and rules of both on one load balancer`,
			`ha.checkPort: 8444: the rule check of the load balancer ilb-edge leads to this port of the units too, and without floating IP Azure takes each once (RulesUseSameBackendPortProtocolAndPool); give one of the two another backendPort, or set floatingIP: true on both and give the units the frontends' addresses on loopbacks`,
		}},

		{"an internal frontend on a public load balancer", none, func(s scene) {
			s.put(idLB, "frontendIPConfigurations", "out", obj{"publicIPAddress": ref(network + "publicIPAddresses/pip")})
		}, nil, []string{
			`loadBalancers[0].frontends: vip1 is internal: the load balancer has the public frontend out, and is wholly internal or wholly public; name another load balancer for it in the pair file`,
		}},
		{"AllProbedUp that somebody else's rule needs", none, func(s scene) {
			s.handmade()
			props(props(s[idLB])["probes"].([]any)[0].(obj))["noHealthyBackendsBehavior"] = "AllProbedUp"
			s.put(idLB, "loadBalancingRules", "dns", obj{"protocol": "Udp", "frontendPort": 53, "backendPort": 53, "probe": ref(idLB + "/probes/hp-8444")})
		}, nil, []string{
			`loadBalancers[0].probe: hp-8444: the probe says AllProbedUp, which would send traffic to both units when neither answers 200, and the rule dns of somebody else uses it too; give that rule a probe of its own, or let it agree to AllProbedDown`,
		}},
		{"an HA ports rule beside ours", none, func(s scene) {
			s.handmade()
			s.put(idLB, "loadBalancingRules", "all", obj{
				"protocol": "All", "frontendPort": 0, "backendPort": 0, "frontendIPConfiguration": ref(idLB + "/frontendIPConfigurations/other"),
				"backendAddressPools": []any{ref(idLB + "/backendAddressPools/loadmasters")},
			})
		}, nil, []string{
			`loadBalancers[0].rules: ilb-edge: the load balancer has the HA ports rule all, which takes every port and excludes every other rule of its frontend and pool; remove that rule, or use other frontends and pools`,
		}},
		{"NAT rules beside a scale set's", none, func(s scene) {
			s.handmade()
			s.put(idLB, "inboundNatPools", "vmss", obj{})
		}, nil, []string{
			`loadBalancers[0].management: NAT rules: the load balancer has the inbound NAT pool vmss of a scale set, and Azure takes no NAT rules beside one; leave management out, or name another load balancer`,
		}},
		{"a pool by interface where the file says by address", first(func(lb *pair.LoadBalancer) { lb.Members = pair.ByAddress }), func(s scene) { s.handmade() }, nil, []string{
			`loadBalancers[0].members: address: the pool loadmasters has members by interface, and a pool has one kind; set members: interface, or name a new pool`,
		}},
		{"a pool by address where the file says by interface", none, func(s scene) {
			s.put(idLB, "backendAddressPools", "loadmasters", obj{"loadBalancerBackendAddresses": []any{obj{"name": "a", "properties": obj{"ipAddress": "10.0.0.4"}}}})
		}, nil, []string{
			`loadBalancers[0].members: interface: the pool loadmasters has members by address, and a pool has one kind; set members: address, or name a new pool`,
		}},
		{"a rule of another pair's with the same name", none, func(s scene) {
			s.put(idLB, "frontendIPConfigurations", "vip9", obj{"privateIPAddress": "10.0.0.109"})
			s.rule("https", "vip9", 443, 443)["backendAddressPool"] = ref(idLB + "/backendAddressPools/core")
		}, nil, []string{
			`loadBalancers[0].rules[1].name: https: the load balancer has a rule of this name that leads from the frontend vip9 to the pool core, so it is somebody else's; choose another name`,
		}},
		{"a frontend of another pair's with the same name", none, func(s scene) {
			s.put(idLB, "frontendIPConfigurations", "vip1", obj{"privateIPAddress": "10.0.0.109"})
			s.rule("core-https", "vip1", 444, 444)["backendAddressPool"] = ref(idLB + "/backendAddressPools/core")
		}, nil, []string{
			`loadBalancers[0].frontends[0].name: vip1: the load balancer has a frontend of this name with another address, and the rule core-https of somebody else uses it; choose another name, or correct the address`,
		}},
		{"a pool that another machine is in", none, func(s scene) {
			s.put(idLB, "backendAddressPools", "loadmasters", obj{"backendIPConfigurations": []any{ref(idNIC1 + "/ipConfigurations/ipconfig1"), ref(network + "networkInterfaces/web1-nic/ipConfigurations/x")}})
		}, nil, []string{
			`loadBalancers[0].pools: loadmasters: the pool holds interface web1-nic too, which is none of the pair's units, and would get their traffic; take it out of the pool, or name a pool of the pair's own`,
		}},
		{"a NAT rule of somebody else's machine", none, func(s scene) {
			s.put(idLB, "frontendIPConfigurations", "vip1", obj{"privateIPAddress": "10.0.0.100"})
			s.nat("jump", 221, 22, network+"networkInterfaces/jump/ipConfigurations/x")
		}, nil, []string{
			`loadBalancers[0].management.ssh.first: 221: the NAT rule jump has this port, and leads to /subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg-edge/providers/Microsoft.Network/networkInterfaces/jump, which is none of the units' interfaces with their addresses; use another port, or take the rule off that interface`,
		}},
		{"NAT rules that the units would have to exchange", first(func(lb *pair.LoadBalancer) { lb.Management.SSH = pair.PortPair{} }), func(s scene) {
			s.put(idLB, "frontendIPConfigurations", "vip1", obj{"privateIPAddress": "10.0.0.100"})
			s.nat("a", 8442, 8443, idNIC1+"/ipConfigurations/ipconfig1")
			s.nat("b", 8441, 8443, idNIC2+"/ipConfigurations/ipconfig1")
			s.join(idNIC1, "loadBalancerInboundNatRules", idLB+"/inboundNatRules/a")
			s.join(idNIC2, "loadBalancerInboundNatRules", idLB+"/inboundNatRules/b")
		}, nil, []string{
			`loadBalancers: NAT rules: each unit has a NAT rule that belongs to the other one, and a rule leads to one machine at a time, so no order of writes can exchange them; exchange the ports in management, or take one rule off its interface by hand`,
		}},

		{"an IPv6 frontend without IPv6 on the interfaces", first(func(lb *pair.LoadBalancer) {
			lb.Pools = append(lb.Pools, "v6")
			lb.Frontends = append(lb.Frontends, pair.Frontend{Name: "vip6", PublicIP: "", Address: addr("fd00::100")})
			lb.Rules = append(lb.Rules, pair.Rule{Name: "https6", Frontend: "vip6", Port: 443, Pool: "v6"})
		}), func(s scene) { props(s[idSubnet])["addressPrefixes"] = []any{"fd00::/64"} }, nil, []string{
			`loadBalancers[0].frontends[1]: vip6: it takes IPv6 traffic, and the first unit's interface lm1-nic has no IPv6 configuration; add one to the interface, in a subnet with an IPv6 network`,
			`loadBalancers[0].frontends[1]: vip6: it takes IPv6 traffic, and the second unit's interface lm2-nic has no IPv6 configuration; add one to the interface, in a subnet with an IPv6 network`,
		}},
		{"floating IP for IPv6 on an internal load balancer", first(func(lb *pair.LoadBalancer) {
			lb.Pools = append(lb.Pools, "v6")
			lb.Frontends = append(lb.Frontends, pair.Frontend{Name: "vip6", Address: addr("fd00::100")})
			lb.Rules = append(lb.Rules, pair.Rule{Name: "https6", Frontend: "vip6", Port: 443, Pool: "v6", FloatingIP: true})
		}), func(s scene) {
			props(s[idSubnet])["addressPrefixes"] = []any{"fd00::/64"}
			s.addConfig("v6", "fd00::4", "fd00::5")
		}, nil, []string{
			`loadBalancers[0].rules[2].floatingIP: true: an internal load balancer has no floating IP for IPv6; set it to false, and use another backendPort`,
		}},
		{
			"floating IP on a secondary IP configuration", first(func(lb *pair.LoadBalancer) { lb.Rules[1].FloatingIP = true }),
			func(s scene) { props(s.configs(idNIC1)[0].(obj))["primary"] = false }, nil,
			[]string{
				`loadBalancers[0].rules[1].floatingIP: true: the first unit's address is on the secondary IP configuration ipconfig1, for which Azure has no floating IP; set it to false, or use the primary address`,
			},
		},
		{"one pool for both address families", first(func(lb *pair.LoadBalancer) {
			lb.Frontends = append(lb.Frontends, pair.Frontend{Name: "vip6", Address: addr("fd00::100")})
			lb.Rules = append(lb.Rules, pair.Rule{Name: "https6", Frontend: "vip6", Port: 444})
		}), func(s scene) {
			props(s[idSubnet])["addressPrefixes"] = []any{"fd00::/64"}
			s.addConfig("v6", "fd00::4", "fd00::5")
		}, nil, []string{
			`loadBalancers[0].rules[2].pool: loadmasters: rules of both address families use this pool, and a pool holds IP configurations of one; give the rules on IPv6 frontends a pool of their own, in pools and in pool`,
		}},
		{"a frontend outside its subnet", first(func(lb *pair.LoadBalancer) { lb.Frontends[0].Address = addr("10.0.7.1") }), empty, nil, []string{
			`loadBalancers[0].frontends[0].address: 10.0.7.1: it is not in the subnet default, 10.0.0.0/24; use a free address of that subnet, or name the right one in subnet`,
		}},
		{
			"a subnet that does not exist", first(func(lb *pair.LoadBalancer) { lb.Frontends[0].Subnet = "vips" }),
			func(s scene) { s[network+"virtualNetworks/vnet/subnets/vips"] = nil }, nil,
			[]string{
				`loadBalancers[0].frontends[0].subnet: vips: there is no subnet vips in the units' network; name one that exists`,
			},
		},

		{"a group of somebody else that denies the settings sync", func(d *pair.Definition) {
			d.SecurityGroup, d.LoadBalancers[0].Rules[1].From = pair.SecurityGroup{}, nil
		}, func(s scene) {
			other := network + "networkSecurityGroups/nsg-subnet"
			props(s[idSubnet])["networkSecurityGroup"] = ref(other)
			s.secure(other, "lock", "Deny", 150, "10.0.0.5", "6973")
		}, nil, []string{
			`security group nsg-subnet: rule lock (priority 150): it denies TCP 6973 from 10.0.0.5 to 10.0.0.4: the units keep their settings in step on port 6973 (guide 6); every group that looks at a unit's traffic must let it through, and Tandem writes to the one in securityGroup.name only; change that rule, or add an Allow rule with a number below 150 to nsg-subnet, or name that group in securityGroup.name`,
		}},
		{"a group of somebody else that denies the probe", none, func(s scene) {
			other := network + "networkSecurityGroups/nsg-subnet"
			props(s[idSubnet])["networkSecurityGroup"] = ref(other)
			s.secure(other, "lock", "Deny", 150, "AzureLoadBalancer", "8000-9000")
			s.secure(other, "web", "Allow", 160, "Internet", "443")
		}, nil, []string{
			`security group nsg-subnet: rule lock (priority 150): it denies TCP 8444 from 168.63.129.16 to 10.0.0.4: the load balancer's probe asks the check port (guide 6); every group that looks at a unit's traffic must let it through, and Tandem writes to the one in securityGroup.name only; change that rule, or add an Allow rule with a number below 150 to nsg-subnet, or name that group in securityGroup.name`,
			`security group nsg-subnet: rule lock (priority 150): it denies TCP 8444 from 168.63.129.16 to 10.0.0.5: the load balancer's probe asks the check port (guide 6); every group that looks at a unit's traffic must let it through, and Tandem writes to the one in securityGroup.name only; change that rule, or add an Allow rule with a number below 150 to nsg-subnet, or name that group in securityGroup.name`,
		}},
		{"a group of somebody else that lets no clients in", none, func(s scene) {
			other := network + "networkSecurityGroups/nsg-subnet"
			props(s[idSubnet])["networkSecurityGroup"] = ref(other)
			s.put(other, "securityRules", "x", obj{"access": "Allow", "direction": "Inbound", "protocol": "Udp", "priority": 100, "sourceAddressPrefix": "*", "destinationAddressPrefix": "*", "destinationPortRange": "*"})
		}, nil, []string{
			`security group nsg-subnet: rule DenyAllInBound (priority 65500): it denies TCP 443 from 0.0.0.0/0 to 10.0.0.4: clients reach the published port (guide 6), as loadBalancers[0].rules[1].from says; every group that looks at a unit's traffic must let it through, and Tandem writes to the one in securityGroup.name only; add an Allow rule for it to nsg-subnet, or name that group in securityGroup.name`,
			`security group nsg-subnet: rule DenyAllInBound (priority 65500): it denies TCP 443 from 0.0.0.0/0 to 10.0.0.5: clients reach the published port (guide 6), as loadBalancers[0].rules[1].from says; every group that looks at a unit's traffic must let it through, and Tandem writes to the one in securityGroup.name only; add an Allow rule for it to nsg-subnet, or name that group in securityGroup.name`,
		}},
		{"a group that a unit's traffic goes through and that is gone", none, func(s scene) {
			other := network + "networkSecurityGroups/nsg-subnet"
			props(s[idSubnet])["networkSecurityGroup"] = ref(other)
			s[other] = nil
		}, nil, []string{
			`security group nsg-subnet: not there: the first unit's traffic goes through it, and it could not be read; read the pair again`,
			`security group nsg-subnet: not there: the second unit's traffic goes through it, and it could not be read; read the pair again`,
		}},
		{"a group of somebody else that keeps a unit from asking its partner", none, func(s scene) {
			other := network + "networkSecurityGroups/nsg-lm1"
			props(s[idNIC1])["networkSecurityGroup"] = ref(other)
			props(s.configs(idNIC1)[0].(obj))["subnet"] = ref(idSubnet)
			s.secure(other, "web", "Allow", 160, "Internet", "443")
			s.secure(other, "quiet", "Deny", 170, "*", "6973")["direction"] = "Outbound"
		}, nil, []string{
			`security group nsg-lm1: rule quiet (priority 170): it denies TCP 6973 from 10.0.0.4 to 10.0.0.5: the units keep their settings in step on port 6973 (guide 6); every group that looks at a unit's traffic must let it through, and Tandem writes to the one in securityGroup.name only; change that rule, or add an Allow rule with a number below 170 to nsg-lm1, or name that group in securityGroup.name`,
		}},
		{"no room before a Deny of the pair's own group", none, func(s scene) {
			s.secure(idGroup, "nothing", "Deny", 101, "10.0.0.0/24", "6973")
			s.secure(idGroup, "something", "Allow", 100, "9.9.9.9", "9")
		}, nil, []string{
			`security group nsg-edge: rule nothing (priority 101): the group has no free number for the rule tandem-edge-weu--sync below the rule nothing (priority 101), which denies it: the units keep their settings in step on port 6973 (guide 6); change that rule, or give it a higher number than 101`,
		}},
		{"a public frontend without any security group", func(d *pair.Definition) {
			d.SecurityGroup = pair.SecurityGroup{}
			d.LoadBalancers[0].Rules[1].From = nil
			d.LoadBalancers[0].Frontends[0] = pair.Frontend{Name: "vip1", PublicIP: "pip"}
		}, func(s scene) { s[network+"publicIPAddresses/pip"] = nil }, nil, []string{
			`securityGroup.name: missing: neither the first unit's interface nor its subnet has a security group, and without one a Standard load balancer lets nobody in from outside; name a group, which Tandem creates and puts on the interfaces`,
			`securityGroup.name: missing: neither the second unit's interface nor its subnet has a security group, and without one a Standard load balancer lets nobody in from outside; name a group, which Tandem creates and puts on the interfaces`,
		}},

		{"a pair that was not read", none, func(s scene) { delete(s, idVM1) }, nil, []string{
			`/subscriptions/00000000-0000-0000-0000-000000000001/resourcegroups/rg-edge/providers/microsoft.compute/virtualmachines/lm1: not read: what must be written follows from what exists; read it first`,
		}},
		{"a document that is none of its kind", none, func(s scene) { props(s[idNIC1])["ipConfigurations"] = "x" }, nil, []string{
			`…/networkinterfaces/lm1-nic: not a document of its kind: a field has a type that this release does not know; a newer release of Tandem may read it`,
			`units.first.address: 10.0.0.4: no interface of the virtual machine lm1 has this address; correct the address, which is that of eth0`,
		}},
		{"a load balancer without a frontend", first(func(lb *pair.LoadBalancer) { lb.Frontends = nil }), empty, nil, []string{
			`loadBalancers[0]: ilb-edge: it has no frontend or no pool, so nothing can be built; name one of each in the pair file`,
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, around := newScene(), tandem
			tt.scene(s)
			if tt.around != nil {
				tt.around(&around)
			}
			d := define(t, tt.edit)
			want, refusals := balancer.Compile(d, s.world(t), around)
			got := make([]string, len(refusals))
			for i, r := range refusals {
				got[i] = strings.ReplaceAll(r.String(), strings.ToLower(network), "…/")
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("refused:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(tt.want, "\n"))
			}
			if len(want.Resources) > 0 {
				t.Error("something is wanted although something was refused")
			}
		})
	}
}
