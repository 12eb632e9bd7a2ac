package discover_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"tandem/internal/balancer"
	"tandem/internal/discover"
	"tandem/internal/manifest"
	"tandem/internal/pair"
)

// obj is a JSON object.
type obj = map[string]any

func ref(id string) obj { return obj{"id": id} }

const (
	idVM1  = base + "Microsoft.Compute/virtualMachines/lm1"
	idVM2  = base + "Microsoft.Compute/virtualMachines/lm2"
	idNIC1 = network + "networkInterfaces/lm1-nic"
	idNIC2 = network + "networkInterfaces/lm2-nic"
	idLB   = network + "loadBalancers/ilb-edge"
	idNSG  = network + "networkSecurityGroups/nsg-edge"
	idVNet = network + "virtualNetworks/vnet"
)

// scene is a world that can be changed before it is read.
type scene map[string]obj

// props are the properties of a document, or of a child.
func props(d obj) obj { return d["properties"].(obj) }

// newScene has two machines in two zones, with a subnet for frontends, and
// nothing in front of them.
func newScene() scene {
	s := scene{}
	for _, n := range []string{"units", "vips"} {
		id := idVNet + "/subnets/" + n
		prefix := map[string][]any{"units": {"10.0.0.0/24", "fd00::/64"}, "vips": {"10.0.1.0/24", "fd00:1::/64"}}[n]
		s[id] = obj{"id": id, "name": n, "properties": obj{"addressPrefixes": prefix}}
	}
	for i, m := range [][3]string{{idVM1, idNIC1, "10.0.0.4"}, {idVM2, idNIC2, "10.0.0.5"}} {
		s[m[0]] = obj{"id": m[0], "name": fmt.Sprintf("lm%d", i+1), "location": "westeurope", "zones": []any{fmt.Sprint(i + 1)}, "properties": obj{
			"networkProfile": obj{"networkInterfaces": []any{ref(m[1])}},
		}}
		s[m[1]] = obj{"id": m[1], "name": fmt.Sprintf("lm%d-nic", i+1), "location": "westeurope", "properties": obj{
			"virtualMachine": ref(m[0]), "ipConfigurations": []any{ipConfig(m[1], "ipconfig1", m[2], true)},
		}}
	}
	return s
}

func ipConfig(nic, name, address string, primary bool) obj {
	return obj{"name": name, "id": nic + "/ipConfigurations/" + name, "properties": obj{
		"privateIPAddress": address, "primary": primary, "subnet": ref(idVNet + "/subnets/units"),
	}}
}

// addConfig gives both interfaces another IP configuration.
func (s scene) addConfig(name, address1, address2 string) {
	for nic, address := range map[string]string{idNIC1: address1, idNIC2: address2} {
		p := props(s[nic])
		p["ipConfigurations"] = append(p["ipConfigurations"].([]any), ipConfig(nic, name, address, false))
	}
}

// addInterface gives both machines another interface.
func (s scene) addInterface() {
	for i, vm := range []string{idVM1, idVM2} {
		nic := fmt.Sprintf("%snetworkInterfaces/lm%d-nic2", network, i+1)
		s[nic] = obj{"id": nic, "properties": obj{"virtualMachine": ref(vm), "ipConfigurations": []any{ipConfig(nic, "ipconfig1", fmt.Sprintf("10.0.0.%d", 24+i), true)}}}
		p := props(s[vm])["networkProfile"].(obj)
		p["networkInterfaces"] = append(p["networkInterfaces"].([]any), ref(nic))
	}
}

// put adds a child to a resource, which need not exist before.
func (s scene) put(id, list, name string, properties obj) obj {
	if s[id] == nil {
		s[id] = obj{"id": id, "name": id[strings.LastIndexByte(id, '/')+1:], "location": "westeurope", "properties": obj{}}
		if strings.Contains(id, "/loadBalancers/") {
			s[id]["sku"] = obj{"name": "Standard", "tier": "Regional"}
		}
	}
	children, _ := props(s[id])[list].([]any)
	props(s[id])[list] = append(children, obj{"name": name, "id": id + "/" + list + "/" + name, "properties": properties})
	return properties
}

// secure puts a rule of somebody's own into a security group.
func (s scene) secure(name, access string, priority int, from, port string) obj {
	return s.put(idNSG, "securityRules", name, obj{
		"access": access, "direction": "Inbound", "protocol": "*", "priority": priority, "sourceAddressPrefix": from, "sourcePortRange": "*",
		"destinationAddressPrefix": "*", "destinationPortRange": port,
	})
}

// guard makes the security group look at the traffic of both interfaces.
func (s scene) guard() {
	for _, nic := range []string{idNIC1, idNIC2} {
		props(s[nic])["networkSecurityGroup"] = ref(idNSG)
	}
}

// world is the scene as it was read.
func (s scene) world(t testing.TB) balancer.World {
	t.Helper()
	w := make(balancer.World)
	for id, d := range s {
		b, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		w[pair.NewResourceID(id)] = b
	}
	return w
}

// build carries a definition's plan out, as Resource Manager would, until there
// is nothing more to write. It returns what stands in the way.
func build(t testing.TB, d *pair.Definition, w balancer.World, s balancer.Surroundings) []balancer.Refusal {
	t.Helper()
	for range 2 {
		absent(d, w)
		want, refusals := balancer.Compile(d, w, s)
		if len(refusals) > 0 {
			return refusals
		}
		plan, err := balancer.Compare(want, w)
		if err != nil {
			t.Fatal(err)
		}
		for _, step := range plan.Steps {
			doc, err := step.Edit(w[step.Resource])
			if err != nil {
				t.Fatal(err)
			}
			w[step.Resource] = identified(t, step.Resource, doc)
		}
	}
	return nil
}

// absent says of everything that is asked for and not there that it does not exist.
func absent(d *pair.Definition, w balancer.World) {
	for missing := balancer.Reads(d, w); len(missing) > 0; missing = balancer.Reads(d, w) {
		for _, id := range missing {
			w[id] = nil
		}
	}
}

// identified gives a new document its id.
func identified(t testing.TB, id pair.ResourceID, doc []byte) []byte {
	t.Helper()
	var d obj
	if err := json.Unmarshal(doc, &d); err != nil {
		t.Fatal(err)
	}
	if d["id"] == nil {
		d["id"] = string(id)
	}
	b, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// draw is a source of random choices.
type draw struct{ *rand.Rand }

func (r draw) oneIn(n int) bool { return r.IntN(n) == 0 }

func (r draw) networks(most int, ipv6 bool) []netip.Prefix {
	var out []netip.Prefix
	for range r.IntN(most + 1) {
		p := netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(1 + r.IntN(220)), byte(r.IntN(250)), 0, 0}), 16)
		if ipv6 && r.oneIn(3) {
			p = netip.PrefixFrom(netip.MustParseAddr(fmt.Sprintf("2001:db8:%x::", r.IntN(60000))), 48)
		}
		if r.oneIn(8) {
			p = netip.MustParsePrefix("0.0.0.0/0")
		}
		out = append(out, p)
	}
	return out
}

// definition draws what a person could have written for the scene, and changes
// the scene where it needs more.
func (r draw) definition(s scene) pair.Definition {
	d := pair.Definition{
		Name:  "edge-weu",
		Azure: pair.Scope{Subscription: subscription, ResourceGroup: "rg-edge", Location: "westeurope"},
		Units: pair.Units{
			First:  pair.Unit{VM: "lm1", Address: netip.MustParseAddr("10.0.0.4"), API: pair.API{Secret: "one"}},
			Second: pair.Unit{VM: "lm2", Address: netip.MustParseAddr("10.0.0.5"), API: pair.API{Secret: "two"}},
		},
	}
	if r.oneIn(3) {
		d.HA.CheckPort = 8445
	}
	if r.oneIn(4) {
		d.Units.Second.API.Port = 9443
	}
	if r.oneIn(4) {
		d.Units.First.API.Port = 9443
	}
	if r.oneIn(4) {
		s.addInterface()
		d.HA.CheckAllInterfaces = true
	}
	ipv6 := r.oneIn(3)
	if ipv6 {
		s.addConfig("ipv6", "fd00::4", "fd00::5")
	}
	if r.oneIn(3) {
		s.addConfig("spare", "10.0.0.14", "10.0.0.15")
	}
	if !r.oneIn(5) {
		d.SecurityGroup = pair.SecurityGroup{Name: "nsg-edge", ManagementFrom: r.networks(3, false), GuidePorts: r.oneIn(2)}
	}
	ports := r.Perm(200)
	d.LoadBalancers = []pair.LoadBalancer{r.balancer(&d, "ilb-edge", false, ipv6, ports[:100])}
	if r.oneIn(2) {
		d.LoadBalancers = append(d.LoadBalancers, r.balancer(&d, "plb-edge", true, false, ports[100:]))
	}
	if r.oneIn(5) {
		d.LoadBalancers = d.LoadBalancers[len(d.LoadBalancers)-1:]
	}
	return d
}

func (r draw) balancer(d *pair.Definition, name string, public, ipv6 bool, ports []int) pair.LoadBalancer {
	lb := pair.LoadBalancer{Name: name, Pools: []string{"loadmasters"}, Members: pair.Membership(1 + r.IntN(2))}
	lb.Probe = pair.BalanceProbe{Path: []string{"/", "/health"}[r.IntN(2)], Interval: pair.Duration(time.Duration(5+r.IntN(20)) * time.Second), Threshold: 1 + r.IntN(5)}
	for i := range 1 + r.IntN(2) {
		f := pair.Frontend{Name: fmt.Sprintf("vip%d", i+1), Address: netip.AddrFrom4([4]byte{10, 0, 0, byte(100 + i)})}
		if public {
			f.Address, f.PublicIP = netip.Addr{}, fmt.Sprintf("pip%d", i+1)
		} else if r.oneIn(3) {
			f.Address, f.Subnet = netip.AddrFrom4([4]byte{10, 0, 1, byte(100 + i)}), "vips"
		}
		lb.Frontends = append(lb.Frontends, f)
	}
	if r.oneIn(3) {
		lb.Pools = append(lb.Pools, "web")
	}
	check := pair.Rule{Name: "state", Frontend: "vip1", Port: max(d.HA.CheckPort, 8444)}
	if r.oneIn(3) {
		check.Pool = lb.Pools[len(lb.Pools)-1]
	}
	if !r.oneIn(3) {
		lb.Rules = append(lb.Rules, check)
	}
	for i := range 1 + r.IntN(5) {
		rule := pair.Rule{
			Name: fmt.Sprintf("r%d", i), Frontend: lb.Frontends[r.IntN(len(lb.Frontends))].Name, Port: 1000 + ports[i], IdleTimeout: pair.Duration(time.Duration(4+r.IntN(97)) * time.Minute),
			Persistence: pair.Persistence(1 + r.IntN(3)), FloatingIP: r.oneIn(4), Pool: lb.Pools[r.IntN(len(lb.Pools))],
		}
		if r.oneIn(3) && !rule.FloatingIP {
			rule.BackendPort = 2000 + ports[i]
		}
		if d.SecurityGroup.Name != "" {
			rule.From = r.networks(3, ipv6)
		}
		lb.Rules = append(lb.Rules, rule)
	}
	if ipv6 {
		lb.Pools = append(lb.Pools, "v6")
		lb.Frontends = append(lb.Frontends, pair.Frontend{Name: "vip6", Address: netip.MustParseAddr("fd00::100")})
		rule := pair.Rule{Name: "six", Frontend: "vip6", Port: 1000 + ports[9], Pool: "v6"}
		if d.SecurityGroup.Name != "" {
			rule.From = r.networks(3, true)
		}
		lb.Rules = append(lb.Rules, rule)
	}
	lb.Management = pair.Management{WUI: pair.PortPair{First: 8441, Second: 8442}, SSH: pair.PortPair{First: 221, Second: 222}}
	switch r.IntN(5) {
	case 0:
		lb.Management = pair.Management{}
	case 1:
		lb.Management = pair.Management{SSH: pair.PortPair{Second: 2222}}
	case 2:
		lb.Management.WUI = pair.PortPair{First: 9000, Second: 8999}
	}
	lb.CentralPairAwareness = r.oneIn(3)
	return lb
}

// others puts things of somebody else beside those of the pair.
func (r draw) others(s scene) {
	if r.oneIn(2) {
		s.put(idLB, "frontendIPConfigurations", "theirs", obj{"privateIPAddress": "10.0.0.200", "privateIPAllocationMethod": "Static", "subnet": ref(idVNet + "/subnets/units")})
		s.put(idLB, "backendAddressPools", "theirs", obj{})
		s.put(idLB, "probes", "check", obj{"protocol": "Http", "port": 80, "requestPath": "/", "intervalInSeconds": 15})
		for _, protocol := range []string{"Tcp", "Udp"} {
			s.put(idLB, "loadBalancingRules", "theirs-"+protocol, obj{
				"frontendIPConfiguration": ref(idLB + "/frontendIPConfigurations/theirs"), "backendAddressPool": ref(idLB + "/backendAddressPools/theirs"), "probe": ref(idLB + "/probes/check"),
				"protocol": protocol, "frontendPort": 443, "backendPort": 443,
			})
		}
		s.put(idLB, "outboundRules", "out", obj{"frontendIPConfigurations": []any{ref(idLB + "/frontendIPConfigurations/theirs")}, "backendAddressPool": ref(idLB + "/backendAddressPools/theirs")})
	}
	if r.oneIn(2) {
		s.guard()
		for i := range 1 + r.IntN(4) {
			s.secure(fmt.Sprintf("theirs%d", i), []string{"Deny", "Allow"}[r.IntN(2)], 300+17*i, []string{"*", "VirtualNetwork", "10.0.0.0/29", "7.0.0.0/8"}[r.IntN(4)], []string{"*", "6973", "8000-9000"}[r.IntN(3)])
		}
	}
}

func (r draw) surroundings() balancer.Surroundings {
	s := balancer.Surroundings{From: []netip.Prefix{netip.MustParsePrefix("10.0.8.0/26"), netip.MustParsePrefix("10.0.9.0/26")}[:r.IntN(3)]}
	if r.oneIn(4) {
		s.Members, s.TunnelPort = []netip.Prefix{netip.MustParsePrefix("172.24.1.5/32"), netip.MustParsePrefix("172.24.1.6/32")}, 22200
	}
	return s
}

// What was built by a pair file is found again: the file that is written for it
// may say it in other words, and asks for nothing that is not there.
func TestWhatWasBuiltIsWhatTheFileSays(t *testing.T) {
	built, refused := 0, 0
	for seed := range uint64(60) {
		r := draw{rand.New(rand.NewPCG(7, seed))}
		s := newScene()
		d := r.definition(s)
		r.others(s)
		around := r.surroundings()
		w := s.world(t)
		if err := manifest.Validate(d); err != nil {
			refused++
			continue
		}
		if refusals := build(t, &d, w, around); len(refusals) > 0 {
			refused++
			continue
		}
		built++
		found := search(w)
		if len(found.Pairs) != 1 {
			t.Fatalf("seed %d: found %d pairs, skipped %v", seed, len(found.Pairs), found.Skipped)
		}
		p := found.Pairs[0]
		if d.SecurityGroup.Name == "" && p.Definition.SecurityGroup.Name != "" {
			// A group that no Tandem has written to gets its rules beside the others.
			for _, c := range toWrite(t, w, p, around) {
				if !strings.HasPrefix(c, "add nsg-edge properties.securityRules[name=tandem-") {
					t.Errorf("seed %d: there is something to write: %s", seed, c)
				}
			}
		} else {
			nothingToWrite(t, w, found, around)
		}
		if d.SecurityGroup.Name != "" && p.Name != d.Name {
			t.Errorf("seed %d: the pair is called %s", seed, p.Name)
		}
		if t.Failed() {
			b, _ := manifest.Format(d) // for the eye
			t.Fatalf("seed %d was built from\n%s\nand is found as\n%s", seed, b, p.File)
		}
	}
	if built < 30 {
		t.Errorf("%d were built and %d could not be, so the test shows too little", built, refused)
	}
}

// search finds everything in a world where what it asks for does not exist
// unless it is there.
func search(w balancer.World) discover.Found {
	for missing := everything.Reads(w); len(missing) > 0; missing = everything.Reads(w) {
		for _, id := range missing {
			w[id] = nil
		}
	}
	return everything.Find(w)
}
