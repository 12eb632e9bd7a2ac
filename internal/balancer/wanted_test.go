package balancer_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tandem/internal/balancer"
	"tandem/internal/manifest"
	"tandem/internal/pair"
)

var update = flag.Bool("update", false, "write testdata/guide.golden anew")

// guideFile is the deployment of the guide as a pair file.
const guideFile = `apiVersion: tandem/v1
kind: Pair
name: edge-weu
azure: { subscription: 00000000-0000-0000-0000-000000000001, resourceGroup: rg-edge, location: westeurope }
units:
  first: { vm: lm1, address: 10.0.0.4, api: { secret: lm1-api } }
  second: { vm: lm2, address: 10.0.0.5, api: { secret: lm2-api } }
loadBalancers:
  - name: ilb-edge
    pools: [ loadmasters ]
    frontends: [ { name: vip1, address: 10.0.0.100 } ]
    management: { wui: { first: 8441, second: 8442 }, ssh: { first: 221, second: 222 } }
    rules:
      - { name: check, frontend: vip1, port: 8444 }
      - { name: https, frontend: vip1, port: 443, from: [ 0.0.0.0/0 ] }
securityGroup: { name: nsg-edge, managementFrom: [ 10.0.9.0/24 ] }
`

// define returns the guide's definition with some of it changed.
func define(t testing.TB, edits ...func(*pair.Definition)) *pair.Definition {
	t.Helper()
	defs, err := manifest.Read("pair.yaml", strings.NewReader(guideFile))
	if err != nil {
		t.Fatal(err)
	}
	d := &defs[0]
	for _, edit := range edits {
		edit(d)
	}
	return d
}

// tandem is where Tandem itself is.
var tandem = balancer.Surroundings{From: []netip.Prefix{netip.MustParsePrefix("10.0.8.0/26")}}

// obj is a JSON object.
type obj = map[string]any

const (
	group    = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg-edge/providers/"
	network  = group + "Microsoft.Network/"
	idVM1    = group + "Microsoft.Compute/virtualMachines/lm1"
	idVM2    = group + "Microsoft.Compute/virtualMachines/lm2"
	idNIC1   = network + "networkInterfaces/lm1-nic"
	idNIC2   = network + "networkInterfaces/lm2-nic"
	idLB     = network + "loadBalancers/ilb-edge"
	idGroup  = network + "networkSecurityGroups/nsg-edge"
	idSubnet = network + "virtualNetworks/vnet/subnets/default"
)

// scene is a world that can be changed before it is looked at.
type scene map[string]obj

// ref is how documents name other resources.
func ref(id string) obj { return obj{"id": id} }

// props are the properties of a document, or of a child.
func props(d obj) obj { return d["properties"].(obj) }

// newScene has two machines in one availability set, and neither a load balancer
// nor a security group.
func newScene() scene {
	s := scene{
		idLB: nil, idGroup: nil,
		idSubnet: {"id": idSubnet, "properties": obj{"addressPrefix": "10.0.0.0/24"}},
	}
	for _, m := range [][3]string{{idVM1, idNIC1, "10.0.0.4"}, {idVM2, idNIC2, "10.0.0.5"}} {
		s[m[0]] = obj{"id": m[0], "location": "westeurope", "properties": obj{
			"availabilitySet": ref(group + "Microsoft.Compute/availabilitySets/avset"),
			"networkProfile":  obj{"networkInterfaces": []any{ref(m[1])}},
		}}
		s[m[1]] = obj{"id": m[1], "location": "westeurope", "properties": obj{
			"virtualMachine": ref(m[0]), "ipConfigurations": []any{ipConfig(m[1], "ipconfig1", m[2], true)},
		}}
	}
	return s
}

func ipConfig(nic, name, address string, primary bool) obj {
	return obj{"name": name, "id": nic + "/ipConfigurations/" + name, "properties": obj{
		"privateIPAddress": address, "primary": primary, "subnet": ref(idSubnet),
	}}
}

// configs are the IP configurations of an interface.
func (s scene) configs(nic string) []any { return props(s[nic])["ipConfigurations"].([]any) }

// addConfig gives both interfaces another IP configuration.
func (s scene) addConfig(name, address1, address2 string) {
	for nic, address := range map[string]string{idNIC1: address1, idNIC2: address2} {
		props(s[nic])["ipConfigurations"] = append(s.configs(nic), ipConfig(nic, name, address, false))
	}
}

// join makes the primary IP configuration of an interface a member.
func (s scene) join(nic, list, id string) {
	p := props(s.configs(nic)[0].(obj))
	refs, _ := p[list].([]any)
	p[list] = append(refs, ref(id))
}

// put adds a child to a resource, which need not exist before.
func (s scene) put(id, list, name string, properties obj) {
	if s[id] == nil {
		s[id] = obj{"id": id, "location": "westeurope", "properties": obj{}}
		if strings.Contains(id, "/loadBalancers/") {
			s[id]["sku"] = obj{"name": "Standard", "tier": "Regional"}
		}
	}
	children, _ := props(s[id])[list].([]any)
	props(s[id])[list] = append(children, obj{"name": name, "id": id + "/" + list + "/" + name, "properties": properties})
}

// nat puts an inbound NAT rule on the frontend vip1.
func (s scene) nat(name string, port, unitPort int, config string) {
	p := obj{"frontendIPConfiguration": ref(idLB + "/frontendIPConfigurations/vip1"), "protocol": "Tcp", "frontendPort": port, "backendPort": unitPort}
	if config != "" {
		p["backendIPConfiguration"] = ref(config)
	}
	s.put(idLB, "inboundNatRules", name, p)
}

// rule puts a load-balancing rule into the pool loadmasters.
func (s scene) rule(name, frontend string, port, unitPort int) obj {
	p := obj{
		"frontendIPConfiguration": ref(idLB + "/frontendIPConfigurations/" + frontend), "backendAddressPool": ref(idLB + "/backendAddressPools/loadmasters"),
		"protocol": "Tcp", "frontendPort": port, "backendPort": unitPort,
	}
	s.put(idLB, "loadBalancingRules", name, p)
	return p
}

// deny puts a rule of somebody's own into a security group.
func (s scene) secure(id, name, access string, priority int, from, port string) obj {
	p := obj{
		"access": access, "direction": "Inbound", "protocol": "*", "priority": priority, "sourceAddressPrefix": from, "sourcePortRange": "*",
		"destinationAddressPrefix": "*", "destinationPortRange": port,
	}
	s.put(id, "securityRules", name, p)
	return p
}

// handmade puts a load balancer in place as somebody built it in the portal by
// the guide, with names of their own.
func (s scene) handmade() {
	s.put(idLB, "frontendIPConfigurations", "vip1", obj{
		"privateIPAddress": "10.0.0.100", "privateIPAllocationMethod": "Static", "privateIPAddressVersion": "IPv4", "subnet": ref(idSubnet),
	})
	s.put(idLB, "backendAddressPools", "loadmasters", obj{"backendIPConfigurations": []any{ref(idNIC1 + "/ipConfigurations/ipconfig1"), ref(idNIC2 + "/ipConfigurations/ipconfig1")}})
	s.put(idLB, "probes", "hp-8444", obj{"protocol": "Http", "port": 8444, "requestPath": "/", "intervalInSeconds": 5, "numberOfProbes": 2, "probeThreshold": 2})
	for name, port := range map[string]int{"check": 8444, "https": 443} {
		p := s.rule(name, "vip1", port, port)
		p["probe"], p["backendAddressPools"] = ref(idLB+"/probes/hp-8444"), []any{ref(idLB + "/backendAddressPools/loadmasters")}
		p["idleTimeoutInMinutes"], p["enableFloatingIP"], p["loadDistribution"] = 4, false, "Default"
	}
	for i, nic := range []string{idNIC1, idNIC2} {
		config := nic + "/ipConfigurations/ipconfig1"
		s.nat(fmt.Sprintf("natLM%d", i+1), 8441+i, 8443, config)
		s.nat(fmt.Sprintf("sshLM%d", i+1), 221+i, 22, config)
		s.join(nic, "loadBalancerBackendAddressPools", idLB+"/backendAddressPools/loadmasters")
		s.join(nic, "loadBalancerInboundNatRules", fmt.Sprintf("%s/inboundNatRules/natLM%d", idLB, i+1))
		s.join(nic, "loadBalancerInboundNatRules", fmt.Sprintf("%s/inboundNatRules/sshLM%d", idLB, i+1))
	}
}

// world is the scene as it was read.
func (s scene) world(t testing.TB) balancer.World {
	t.Helper()
	w := make(balancer.World)
	for id, d := range s {
		w[pair.NewResourceID(id)] = nil
		if d == nil {
			continue
		}
		b, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		w[pair.NewResourceID(id)] = b
	}
	return w
}

// compile compiles what must not be refused.
func compile(t testing.TB, d *pair.Definition, w balancer.World, s balancer.Surroundings) balancer.Wanted {
	t.Helper()
	want, refusals := balancer.Compile(d, w, s)
	for _, r := range refusals {
		t.Errorf("refused: %v", r)
	}
	if refusals != nil {
		t.FailNow()
	}
	return want
}

// lines are the fields of a wanted state as text.
func lines(want balancer.Wanted) []string {
	var out []string
	for _, r := range want.Resources {
		for _, f := range r.Fields {
			value := string(f.Want)
			switch {
			case f.Remove:
				value = "gone"
			case f.Want == nil:
				value = "there"
			}
			out = append(out, r.ID.Name()+" "+strings.ReplaceAll(f.Path.String(), "properties.", "")+" = "+strings.ReplaceAll(value, network, ""))
		}
	}
	return out
}

// whys are the reasons of the fields whose line starts so.
func whys(want balancer.Wanted, start string) []string {
	var out []string
	all := lines(want)
	for _, r := range want.Resources {
		for _, f := range r.Fields {
			if strings.HasPrefix(all[0], start) {
				out = append(out, f.Why)
			}
			all = all[1:]
		}
	}
	return out
}

// carryOut writes a plan into a world as Resource Manager would.
func carryOut(t testing.TB, p balancer.Plan, w balancer.World) {
	t.Helper()
	for _, s := range p.Steps {
		doc, err := s.Edit(w[s.Resource])
		if err != nil {
			t.Fatal(err)
		}
		w[s.Resource] = doc
	}
}

// planned compiles and compares.
func planned(t testing.TB, d *pair.Definition, w balancer.World, s balancer.Surroundings) balancer.Plan {
	t.Helper()
	p, err := balancer.Compare(compile(t, d, w, s), w)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// changes are the places that a plan changes.
func changes(p balancer.Plan) []string {
	var out []string
	for _, s := range p.Steps {
		for _, c := range s.Changes {
			out = append(out, s.Resource.Name()+" "+strings.ReplaceAll(c.Path, "properties.", ""))
		}
	}
	return out
}

// writeResource writes a resource for people: each element of a list with its
// fields and the reasons for them.
func writeResource(b *strings.Builder, r balancer.Resource) {
	fmt.Fprintf(b, "%s\n", r.ID)
	if r.New != nil {
		fmt.Fprintf(b, "  begins as %s\n", r.New)
	}
	head, why := "", ""
	for _, f := range r.Fields {
		first, rest, inElement := strings.Cut(strings.TrimPrefix(f.Path.String(), "properties."), "].properties.")
		if !inElement {
			first, rest = "", strings.TrimPrefix(f.Path.String(), "properties.")
		} else if first += "]"; first != head {
			fmt.Fprintf(b, "  %s\n", first)
		}
		if f.Why != why || first != head {
			fmt.Fprintf(b, "    # %s\n", f.Why)
		}
		head, why = first, f.Why
		value := string(f.Want)
		switch {
		case f.Remove:
			value = "must not be there"
		case f.Want == nil:
			value = "must be there"
		case f.Absent != nil:
			value += " (when left out: " + string(f.Absent) + ")"
		}
		fmt.Fprintf(b, "    %s: %s\n", strings.ReplaceAll(rest, network, "…/"), strings.ReplaceAll(value, network, "…/"))
	}
	b.WriteString("\n")
}

func TestTheGuidesDeploymentIsCompiledAsTheGuideSays(t *testing.T) {
	want := compile(t, define(t), newScene().world(t), tandem)
	var b strings.Builder
	for _, r := range want.Resources {
		writeResource(&b, r)
	}
	path := filepath.Join("testdata", "guide.golden")
	if *update {
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	golden, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(golden), b.String()); diff != "" {
		t.Errorf("run with -update after a change that is meant (-golden +got):\n%s", diff)
	}
}

// The values are those of the guide's tables in sections 5.2 to 5.4.
func TestTheGuidesTables(t *testing.T) {
	got := lines(compile(t, define(t), newScene().world(t), tandem))
	for _, tt := range []struct {
		name string
		want []string
	}{
		{"LoadMaster1 WUI leads from 8441 to 8443", []string{
			`inboundNatRules[name=LoadMaster1-WUI].frontendPort = 8441`, `inboundNatRules[name=LoadMaster1-WUI].backendPort = 8443`,
		}},
		{"LoadMaster1 SSH leads from 221 to 22", []string{
			`inboundNatRules[name=LoadMaster1-SSH].frontendPort = 221`, `inboundNatRules[name=LoadMaster1-SSH].backendPort = 22`,
		}},
		{"LoadMaster2 WUI leads from 8442 to 8443", []string{
			`inboundNatRules[name=LoadMaster2-WUI].frontendPort = 8442`, `inboundNatRules[name=LoadMaster2-WUI].backendPort = 8443`,
		}},
		{"LoadMaster2 SSH leads from 222 to 22", []string{
			`inboundNatRules[name=LoadMaster2-SSH].frontendPort = 222`, `inboundNatRules[name=LoadMaster2-SSH].backendPort = 22`,
		}},
		{"the probe asks the check port by HTTP, every 5 s, and twice before it believes", []string{
			`probes[name=check].protocol = "Http"`, `probes[name=check].port = 8444`, `probes[name=check].requestPath = "/"`,
			`probes[name=check].intervalInSeconds = 5`, `probes[name=check].probeThreshold = 2`,
		}},
		{"a rule is TCP, without persistence, with 4 minutes and no floating IP", []string{
			`loadBalancingRules[name=https].protocol = "Tcp"`, `loadBalancingRules[name=https].loadDistribution = "Default"`,
			`loadBalancingRules[name=https].idleTimeoutInMinutes = 4`, `loadBalancingRules[name=https].enableFloatingIP = false`,
			`loadBalancingRules[name=https].frontendPort = 443`, `loadBalancingRules[name=https].backendPort = 443`,
			`loadBalancingRules[name=https].probe.id = "loadBalancers/ilb-edge/probes/check"`,
		}},
	} {
		for _, line := range tt.want {
			if !slices.Contains(got, "ilb-edge "+line) {
				t.Errorf("%s: no %s", tt.name, line)
			}
		}
	}
}

func TestWhatExistsIsAdoptedWithItsNames(t *testing.T) {
	s := newScene()
	s.handmade()
	s.put(idLB, "loadBalancingRules", "somebody-else", obj{"protocol": "Udp", "frontendPort": 500, "backendPort": 500})
	props(s[idNIC1])["networkSecurityGroup"], props(s[idNIC2])["networkSecurityGroup"] = ref(idGroup), ref(idGroup)
	for _, c := range changes(planned(t, define(t), s.world(t), tandem)) {
		if !strings.HasPrefix(c, "nsg-edge securityRules[name=tandem-edge-weu--") {
			t.Errorf("the plan changes %s", c)
		}
	}
}

func TestWanted(t *testing.T) {
	prefix := netip.MustParsePrefix
	balancerOf := func(edit func(lb *pair.LoadBalancer)) func(*pair.Definition) {
		return func(d *pair.Definition) { edit(&d.LoadBalancers[0]) }
	}
	none := func(*pair.Definition) {}
	for _, tt := range []struct {
		name  string
		edit  func(*pair.Definition)
		scene func(s scene)
		want  []string // lines that must be there; after a "-", lines of which no part may be there
	}{
		{"a rule can say otherwise", balancerOf(func(lb *pair.LoadBalancer) {
			lb.Rules[1].IdleTimeout, lb.Rules[1].Persistence, lb.Rules[1].FloatingIP = pair.Duration(30*time.Minute), pair.PersistSourceIPProtocol, true
			lb.Rules[0].Persistence = pair.PersistSourceIP
		}), nil, []string{
			`ilb-edge loadBalancingRules[name=https].idleTimeoutInMinutes = 30`, `ilb-edge loadBalancingRules[name=https].loadDistribution = "SourceIPProtocol"`,
			`ilb-edge loadBalancingRules[name=https].enableFloatingIP = true`, `ilb-edge loadBalancingRules[name=check].loadDistribution = "SourceIP"`,
			`nsg-edge securityRules[name=tandem-edge-weu--published-443-floating].destinationAddressPrefix = "10.0.0.100"`,
		}},
		{"a rule to the check port is added where the file has none", balancerOf(func(lb *pair.LoadBalancer) { lb.Rules = lb.Rules[1:] }), nil, []string{
			`ilb-edge loadBalancingRules[name=check].frontendPort = 8444`, `ilb-edge loadBalancingRules[name=check].backendPort = 8444`,
		}},
		{"the added rule is the one that exists", balancerOf(func(lb *pair.LoadBalancer) { lb.Rules = lb.Rules[1:] }), func(s scene) {
			s.handmade()
			props(s[idLB])["loadBalancingRules"] = nil
			s.rule("state", "vip1", 8444, 8444)
		}, []string{`ilb-edge loadBalancingRules[name=state].backendPort = 8444`, "-[name=check].backendPort"}},
		{"members by address stand in the pool", balancerOf(func(lb *pair.LoadBalancer) { lb.Members = pair.ByAddress }), nil, []string{
			`ilb-edge backendAddressPools[name=loadmasters].loadBalancerBackendAddresses[name=lm1].ipAddress = "10.0.0.4"`,
			`ilb-edge backendAddressPools[name=loadmasters].loadBalancerBackendAddresses[name=lm2].virtualNetwork.id = "virtualNetworks/vnet"`,
			`lm1-nic ipConfigurations[name=ipconfig1].loadBalancerInboundNatRules[id=` + idLB + `/inboundNatRules/LoadMaster1-WUI] = there`,
			"-loadBalancerBackendAddressPools",
		}},
		{"a member by address keeps its name, and how its network is said", balancerOf(func(lb *pair.LoadBalancer) { lb.Members = pair.ByAddress }), func(s scene) {
			s.put(idLB, "backendAddressPools", "loadmasters", obj{"virtualNetwork": ref(network + "virtualNetworks/vnet"), "loadBalancerBackendAddresses": []any{
				obj{"name": "a1", "properties": obj{"ipAddress": "10.0.0.4"}},
			}})
		}, []string{
			`ilb-edge backendAddressPools[name=loadmasters].loadBalancerBackendAddresses[name=a1].ipAddress = "10.0.0.4"`, "-Addresses[name=lm1]", "-virtualNetwork.id",
		}},
		{"a frontend is in the subnet that the file names", balancerOf(func(lb *pair.LoadBalancer) {
			lb.Frontends[0].Subnet, lb.Frontends[0].Address = "vips", netip.MustParseAddr("10.0.1.9")
		}), func(s scene) {
			id := network + "virtualNetworks/vnet/subnets/vips"
			s[id] = obj{"id": id, "properties": obj{"addressPrefixes": []any{"10.0.1.0/24", "fd00:1::/64"}}}
		}, []string{`ilb-edge frontendIPConfigurations[name=vip1].subnet.id = "virtualNetworks/vnet/subnets/vips"`}},
		{"a frontend that exists keeps its subnet when the file names none", none, func(s scene) { s.handmade() }, []string{"-vip1].subnet"}},
		{"a public frontend has a static Standard address", balancerOf(func(lb *pair.LoadBalancer) {
			lb.Frontends[0] = pair.Frontend{Name: "vip1", PublicIP: "pip-edge"}
		}), func(s scene) { s[network+"publicIPAddresses/pip-edge"] = nil }, []string{
			`ilb-edge frontendIPConfigurations[name=vip1].publicIPAddress.id = "publicIPAddresses/pip-edge"`, "-privateIPAddress =",
		}},
		{"a public frontend keeps its address in another resource group", balancerOf(func(lb *pair.LoadBalancer) {
			lb.Frontends[0] = pair.Frontend{Name: "vip1", PublicIP: "pip-edge"}
		}), func(s scene) {
			id := strings.Replace(network, "rg-edge", "rg-net", 1) + "publicIPAddresses/pip-edge"
			s[id] = obj{"id": id, "sku": obj{"name": "Standard"}, "properties": obj{"publicIPAddressVersion": "IPv4"}}
			s.put(idLB, "frontendIPConfigurations", "vip1", obj{"publicIPAddress": ref(id)})
		}, []string{
			`ilb-edge frontendIPConfigurations[name=vip1].publicIPAddress.id = "` + strings.Replace(network, "rg-edge", "rg-net", 1) + `publicIPAddresses/pip-edge"`,
		}},
		{"IPv6 goes to the IPv6 configurations, in a pool of its own", balancerOf(func(lb *pair.LoadBalancer) {
			lb.Pools = append(lb.Pools, "loadmasters-v6")
			lb.Frontends = append(lb.Frontends, pair.Frontend{Name: "vip6", Address: netip.MustParseAddr("fd00::100")})
			lb.Rules = append(lb.Rules, pair.Rule{Name: "https6", Frontend: "vip6", Port: 443, Pool: "loadmasters-v6", From: []netip.Prefix{prefix("fd00:9::/64")}})
		}), func(s scene) {
			props(s[idSubnet])["addressPrefixes"] = []any{"10.0.0.0/24", "fd00::/64"}
			s.addConfig("ipv6", "fd00::4", "fd00::5")
		}, []string{
			`ilb-edge frontendIPConfigurations[name=vip6].privateIPAddressVersion = "IPv6"`,
			`ilb-edge loadBalancingRules[name=https6].backendAddressPool.id = "loadBalancers/ilb-edge/backendAddressPools/loadmasters-v6"`,
			`lm1-nic ipConfigurations[name=ipv6].loadBalancerBackendAddressPools[id=` + idLB + `/backendAddressPools/loadmasters-v6] = there`,
			`nsg-edge securityRules[name=tandem-edge-weu--published-443-v6].destinationAddressPrefixes = ["fd00::4","fd00::5"]`,
			`nsg-edge securityRules[name=tandem-edge-weu--published-443].destinationAddressPrefixes = ["10.0.0.4","10.0.0.5"]`,
			`nsg-edge securityRules[name=tandem-edge-weu--check-probe-v6].sourceAddressPrefix = "AzureLoadBalancer"`,
			"-[name=ipconfig1].loadBalancerBackendAddressPools[id=" + idLB + "/backendAddressPools/loadmasters-v6",
		}},
		{
			"a rule that exists keeps the pool of the pair's that it has", balancerOf(func(lb *pair.LoadBalancer) { lb.Pools = []string{"other", "loadmasters"} }),
			func(s scene) { s.handmade() },
			[]string{
				`ilb-edge loadBalancingRules[name=https].backendAddressPool.id = "loadBalancers/ilb-edge/backendAddressPools/loadmasters"`,
			},
		},
		{
			"a rule's pool is said twice, and never differently", balancerOf(func(lb *pair.LoadBalancer) { lb.Rules[1].Pool = "web"; lb.Pools = append(lb.Pools, "web") }),
			func(s scene) { s.handmade() },
			[]string{
				`ilb-edge loadBalancingRules[name=https].backendAddressPools[id=` + idLB + `/backendAddressPools/loadmasters] = gone`,
				`ilb-edge loadBalancingRules[name=https].backendAddressPools[id=` + idLB + `/backendAddressPools/web] = there`,
			},
		},
		{"a rule that shares its frontend with an outbound rule makes no outbound connections", none, func(s scene) {
			s.handmade()
			s.put(idLB, "outboundRules", "out", obj{"frontendIPConfigurations": []any{ref(idLB + "/frontendIPConfigurations/vip1")}})
		}, []string{`ilb-edge loadBalancingRules[name=https].disableOutboundSnat = true`}},
		{"the probe is the one that the check rule uses", none, func(s scene) { s.handmade() }, []string{
			`ilb-edge probes[name=hp-8444].port = 8444`, `ilb-edge loadBalancingRules[name=https].probe.id = "loadBalancers/ilb-edge/probes/hp-8444"`, "-probes[name=check]",
		}},
		{"another pair's probe keeps its name, and ours gets the pair's", none, func(s scene) {
			s.put(idLB, "probes", "check", obj{"protocol": "Http", "port": 8444})
			s.put(idLB, "loadBalancingRules", "other-https", obj{"probe": ref(idLB + "/probes/check"), "protocol": "Tcp", "frontendPort": 443})
		}, []string{`ilb-edge probes[name=edge-weu-check].port = 8444`}},
		{"another pair's NAT rule keeps its name, and ours gets the pair's", none, func(s scene) {
			s.put(idLB, "inboundNatRules", "LoadMaster1-WUI", obj{
				"protocol": "Tcp", "frontendPort": 8441, "backendPort": 8443, "frontendIPConfiguration": ref(idLB + "/frontendIPConfigurations/other"),
			})
		}, []string{`ilb-edge inboundNatRules[name=edge-weu-LoadMaster1-WUI].frontendPort = 8441`}},
		{"a NAT rule is found by what it does", none, func(s scene) { s.handmade() }, []string{
			`ilb-edge inboundNatRules[name=natLM1].frontendPort = 8441`,
			`lm1-nic ipConfigurations[name=ipconfig1].loadBalancerInboundNatRules[id=` + idLB + `/inboundNatRules/natLM1] = there`, "-LoadMaster1-WUI",
		}},
		{"a NAT rule of ours whose port was changed is found by its name", none, func(s scene) {
			s.put(idLB, "frontendIPConfigurations", "vip1", obj{"privateIPAddress": "10.0.0.100"})
			s.nat("LoadMaster1-WUI", 9999, 8443, "")
		}, []string{`ilb-edge inboundNatRules[name=LoadMaster1-WUI].frontendPort = 8441`, "-edge-weu-LoadMaster1"}},
		{"a NAT rule that leads to the wrong unit is led to the right one", balancerOf(func(lb *pair.LoadBalancer) { lb.Management.SSH = pair.PortPair{} }), func(s scene) {
			s.put(idLB, "frontendIPConfigurations", "vip1", obj{"privateIPAddress": "10.0.0.100"})
			s.nat("wui", 8441, 8443, idNIC2+"/ipConfigurations/ipconfig1")
			s.join(idNIC2, "loadBalancerInboundNatRules", idLB+"/inboundNatRules/wui")
		}, []string{
			`lm2-nic ipConfigurations[name=ipconfig1].loadBalancerInboundNatRules[id=` + idLB + `/inboundNatRules/wui] = gone`,
			`lm1-nic ipConfigurations[name=ipconfig1].loadBalancerInboundNatRules[id=` + idLB + `/inboundNatRules/wui] = there`,
		}},
		{"a frontend is found by its address", none, func(s scene) {
			s.put(idLB, "frontendIPConfigurations", "LoadBalancerFrontEnd", obj{"privateIPAddress": "10.0.0.100"})
		}, []string{
			`ilb-edge frontendIPConfigurations[name=LoadBalancerFrontEnd].privateIPAddress = "10.0.0.100"`,
			`ilb-edge loadBalancingRules[name=https].frontendIPConfiguration.id = "loadBalancers/ilb-edge/frontendIPConfigurations/LoadBalancerFrontEnd"`,
		}},
		{
			"Kemp 360 Central has a rule to the web interface, and the NAT rules to it give way", balancerOf(func(lb *pair.LoadBalancer) { lb.CentralPairAwareness = true }),
			func(s scene) { s.handmade() },
			[]string{
				`ilb-edge loadBalancingRules[name=central].frontendPort = 8443`, `ilb-edge loadBalancingRules[name=central].backendPort = 8443`,
				`ilb-edge inboundNatRules[name=natLM1] = gone`, `ilb-edge inboundNatRules[name=natLM2] = gone`,
				`lm1-nic ipConfigurations[name=ipconfig1].loadBalancerInboundNatRules[id=` + idLB + `/inboundNatRules/natLM1] = gone`,
				`ilb-edge inboundNatRules[name=sshLM1].backendPort = 22`,
			},
		},
		{
			"Kemp 360 Central leaves the NAT rules another IP configuration", balancerOf(func(lb *pair.LoadBalancer) { lb.CentralPairAwareness = true }),
			func(s scene) {
				s.handmade()
				s.addConfig("ipconfig2", "10.0.0.14", "10.0.0.15")
			},
			[]string{
				`ilb-edge inboundNatRules[name=natLM1].backendPort = 8443`,
				`lm1-nic ipConfigurations[name=ipconfig1].loadBalancerInboundNatRules[id=` + idLB + `/inboundNatRules/natLM1] = gone`,
				`lm1-nic ipConfigurations[name=ipconfig2].loadBalancerInboundNatRules[id=` + idLB + `/inboundNatRules/natLM1] = there`,
				`lm1-nic ipConfigurations[name=ipconfig1].loadBalancerInboundNatRules[id=` + idLB + `/inboundNatRules/sshLM1] = there`,
				`nsg-edge securityRules[name=tandem-edge-weu--api].destinationAddressPrefixes = ["10.0.0.4","10.0.0.5","10.0.0.14","10.0.0.15"]`,
			},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newScene()
			if tt.scene != nil {
				tt.scene(s)
			}
			d := define(t, tt.edit)
			if err := manifest.Validate(*d); err != nil {
				t.Fatal(err)
			}
			got := lines(compile(t, d, s.world(t), tandem))
			for _, line := range tt.want {
				part, never := strings.CutPrefix(line, "-")
				found := slices.ContainsFunc(got, func(l string) bool { return l == line || never && strings.Contains(l, part) })
				if found == never {
					t.Errorf("%s: found %v\nin %s", line, found, strings.Join(got, "\n   "))
				}
			}
		})
	}
}

func TestTheReasonSaysThatNATRulesGiveWay(t *testing.T) {
	d := define(t, func(d *pair.Definition) { d.LoadBalancers[0].CentralPairAwareness = true })
	got := whys(compile(t, d, newScene().world(t), tandem), "ilb-edge loadBalancingRules[name=central].backendPort")
	want := []string{"Kemp 360 Central finds the active unit through the load balancer (guide 5.2); the NAT rules of management.wui give way to it, " +
		"because Azure takes port 8443 once on an IP configuration, and the interfaces have no other one"}
	if !slices.Equal(got, want) {
		t.Errorf("the reason is %q, want %q", got, want)
	}
}

func TestResourcesAreWrittenInTheOrderOfTheirReferences(t *testing.T) {
	order := func(want balancer.Wanted) []string {
		var out []string
		for _, r := range want.Resources {
			out = append(out, r.ID.Name())
		}
		return out
	}
	public := func(d *pair.Definition) {
		d.LoadBalancers[0].Frontends[0] = pair.Frontend{Name: "vip1", PublicIP: "pip-edge"}
	}
	fresh := newScene()
	fresh[network+"publicIPAddresses/pip-edge"] = nil
	got := order(compile(t, define(t, public), fresh.world(t), tandem))
	if want := []string{"pip-edge", "nsg-edge", "ilb-edge", "lm1-nic", "lm2-nic"}; !slices.Equal(got, want) {
		t.Errorf("a fresh build writes %v, want %v", got, want)
	}
	built := newScene()
	built.handmade()
	built.secure(idGroup, "any", "Allow", 200, "*", "9999")
	got = order(compile(t, define(t, func(d *pair.Definition) { d.LoadBalancers[0].CentralPairAwareness = true }), built.world(t), tandem))
	if want := []string{"nsg-edge", "lm1-nic", "lm2-nic", "ilb-edge"}; !slices.Equal(got, want) {
		t.Errorf("an exchange writes %v, want %v", got, want)
	}
}

func TestCompileChangesNothingAndAlwaysSaysTheSame(t *testing.T) {
	s := newScene()
	s.handmade()
	s.secure(idGroup, "nobody", "Deny", 900, "*", "*")
	d, w := define(t), s.world(t)
	def, before := *define(t), maps.Clone(w)
	first := compile(t, d, w, tandem)
	for range 3 {
		if diff := cmp.Diff(first, compile(t, d, w, tandem)); diff != "" {
			t.Fatal(diff)
		}
	}
	same := cmp.Options{cmp.Comparer(func(a, b netip.Addr) bool { return a == b }), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })}
	if diff := cmp.Diff(&def, d, same) + cmp.Diff(before, w); diff != "" {
		t.Errorf("the input was changed:\n%s", diff)
	}
}

// Two pairs can share a load balancer and a security group, each with what is
// its own; also what Tandem names is then different.
func TestTwoPairsShareALoadBalancer(t *testing.T) {
	s := newScene()
	for i, address := range []string{"10.0.0.6", "10.0.0.7"} {
		vm, nic := fmt.Sprintf("%sMicrosoft.Compute/virtualMachines/lm%d", group, i+3), fmt.Sprintf("%snetworkInterfaces/lm%d-nic", network, i+3)
		s[vm] = obj{"zones": []any{fmt.Sprint(i)}, "properties": obj{"networkProfile": obj{"networkInterfaces": []any{ref(nic)}}}}
		s[nic] = obj{"id": nic, "properties": obj{"ipConfigurations": []any{ipConfig(nic, "ipconfig1", address, true)}}}
	}
	one, w := define(t), s.world(t)
	two := define(t, func(d *pair.Definition) {
		d.Name = "core-weu"
		d.Units.First.VM, d.Units.First.Address = "lm3", netip.MustParseAddr("10.0.0.6")
		d.Units.Second.VM, d.Units.Second.Address = "lm4", netip.MustParseAddr("10.0.0.7")
		lb := &d.LoadBalancers[0]
		lb.Pools, lb.Frontends = []string{"core"}, []pair.Frontend{{Name: "vip2", Address: netip.MustParseAddr("10.0.0.101")}}
		lb.Rules = []pair.Rule{{Name: "core-https", Frontend: "vip2", Port: 443, From: []netip.Prefix{prefix("0.0.0.0/0")}}}
	})
	carryOut(t, planned(t, one, w, tandem), w)
	plan := planned(t, two, w, tandem)
	for _, c := range plan.Steps {
		for _, change := range c.Changes {
			if change.From != nil {
				t.Errorf("the second pair changes %s", change.Path)
			}
		}
	}
	carryOut(t, plan, w)
	for _, d := range []*pair.Definition{one, two} {
		if p := planned(t, d, w, tandem); !p.Empty() {
			t.Errorf("%s is not as wanted: %q", d.Name, changes(p))
		}
	}
	got := changes(plan)
	for _, want := range []string{"ilb-edge loadBalancingRules[name=core-weu-check]", "ilb-edge probes[name=core-weu-check]", "ilb-edge inboundNatRules[name=core-weu-LoadMaster1-WUI]"} {
		if !slices.Contains(got, want) {
			t.Errorf("no %s in %q", want, got)
		}
	}
}

// randomDefinition draws a valid definition.
func randomDefinition(t testing.TB, r *rand.Rand) *pair.Definition {
	t.Helper()
	return define(t, func(d *pair.Definition) {
		lb := &d.LoadBalancers[0]
		lb.Rules = lb.Rules[r.IntN(2):1]
		ports := r.Perm(200)
		for i := range 1 + r.IntN(6) {
			rule := pair.Rule{Name: fmt.Sprintf("r%d", i), Frontend: "vip1", Port: 1000 + ports[i], IdleTimeout: pair.Duration(time.Duration(4+r.IntN(97)) * time.Minute)}
			rule.Persistence = pair.Persistence(1 + r.IntN(3))
			rule.FloatingIP = r.IntN(4) == 0
			if r.IntN(3) == 0 && !rule.FloatingIP {
				rule.BackendPort = 2000 + ports[i]
			}
			for range r.IntN(4) {
				rule.From = append(rule.From, netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(1 + r.IntN(220)), byte(r.IntN(250)), 0, 0}), 16))
			}
			lb.Rules = append(lb.Rules, rule)
		}
		lb.Members = pair.Membership(1 + r.IntN(2))
		lb.Probe.Interval, lb.Probe.Threshold = pair.Duration(time.Duration(5+r.IntN(20))*time.Second), 1+r.IntN(5)
		lb.CentralPairAwareness = r.IntN(3) == 0
		if r.IntN(4) == 0 {
			lb.Management = pair.Management{SSH: pair.PortPair{First: 2200}}
		}
		if r.IntN(3) == 0 {
			lb.Frontends[0] = pair.Frontend{Name: "vip1", PublicIP: "pip-edge"}
		}
		d.HA.CheckPort = []int{8444, 8445}[r.IntN(2)]
		if d.HA.CheckPort != 8444 && len(lb.Rules) > 0 && lb.Rules[0].Port == 8444 {
			lb.Rules[0].Port = d.HA.CheckPort
		}
		d.SecurityGroup.GuidePorts = r.IntN(2) == 0
		if r.IntN(4) == 0 {
			d.Units.Second.API.Port, lb.CentralPairAwareness = 9443, false
		}
	})
}

// randomScene draws a world in which the pair can be built.
func randomScene(r *rand.Rand, d *pair.Definition) scene {
	s := newScene()
	s[network+"publicIPAddresses/pip-edge"] = nil
	if r.IntN(2) == 0 {
		s.addConfig("ipconfig2", "10.0.0.14", "10.0.0.15")
	}
	lb := d.LoadBalancers[0]
	fits := lb.Members != pair.ByAddress && lb.Frontends[0].PublicIP == "" && (!lb.CentralPairAwareness || lb.Management.WUI.First != 0)
	if r.IntN(2) == 0 && fits {
		s.handmade()
		props(s[idLB])["loadBalancingRules"] = nil
	}
	if r.IntN(2) == 0 {
		props(s[idNIC1])["networkSecurityGroup"] = ref(idGroup)
		for i := range r.IntN(4) {
			s.secure(idGroup, fmt.Sprintf("deny%d", i), []string{"Deny", "Allow"}[r.IntN(2)], 300+17*i, []string{"*", "VirtualNetwork", "10.0.0.0/29", "7.0.0.0/8"}[r.IntN(4)], []string{"*", "6973", "8000-9000"}[r.IntN(3)])
		}
	}
	return s
}

// What was applied is what is wanted: apply(plan(x)), then plan(x) is empty.
func TestNothingIsPlannedAfterAPlanWasCarriedOut(t *testing.T) {
	for seed := range uint64(80) {
		r := rand.New(rand.NewPCG(4, seed))
		d := randomDefinition(t, r)
		if err := manifest.Validate(*d); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		w := randomScene(r, d).world(t)
		carryOut(t, planned(t, d, w, tandem), w)
		if again := planned(t, d, w, tandem); !again.Empty() {
			t.Fatalf("seed %d: the second plan changes %q", seed, changes(again))
		}
	}
}

func BenchmarkCompile(b *testing.B) {
	s := newScene()
	s.handmade()
	d, w := define(b), s.world(b)
	carryOut(b, planned(b, d, w, tandem), w)
	for b.Loop() {
		compile(b, d, w, tandem)
	}
}
