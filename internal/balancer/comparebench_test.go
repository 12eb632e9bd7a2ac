package balancer

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"tandem/internal/pair"
)

const benchGroup = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg-edge/providers/Microsoft.Network/"

// benchPair is what a pair of usual size wants and has: a load balancer with 20
// rules, a security group with 40, and two interfaces.
func benchPair(b *testing.B) (Wanted, World) {
	b.Helper()
	ilb, nsg := benchGroup+"loadBalancers/ilb-edge", benchGroup+"networkSecurityGroups/nsg-edge"
	want := Wanted{Pair: "edge-weu"}
	w := World{}
	add := func(id, doc string, fields []Field) {
		key := pair.NewResourceID(id)
		want.Resources = append(want.Resources, Resource{ID: key, New: raw(`{"location":"westeurope","sku":{"name":"Standard"}}`), Fields: fields})
		w[key] = raw(doc)
	}
	child := func(parent, kind, name, properties string) string {
		return fmt.Sprintf(`{"name":%q,"id":"%s/%s/%s","etag":"W/\"aaaaaaaa-0000-0000-0000-000000000001\"","type":"Microsoft.Network/x/%s","properties":{"provisioningState":"Succeeded",%s}}`, name, parent, kind, name, kind, properties)
	}

	var rules []string
	fields := []Field{
		field(b, "properties.frontendIPConfigurations[name=vip1].properties.privateIPAddress", `"10.0.0.100"`),
		field(b, "properties.backendAddressPools[name=loadmasters]", ""),
		field(b, "properties.probes[name=check].properties.protocol", `"Http"`),
		field(b, "properties.probes[name=check].properties.port", `8444`),
		field(b, "properties.probes[name=check].properties.requestPath", `"/"`),
		field(b, "properties.probes[name=check].properties.intervalInSeconds", `5`),
	}
	for i := range 20 {
		name := fmt.Sprintf("edge-weu-%d", 1000+i)
		rules = append(rules, child(ilb, "loadBalancingRules", name, fmt.Sprintf(`"frontendIPConfiguration":{"id":"%[1]s/frontendIPConfigurations/vip1"},"frontendPort":%[2]d,"backendPort":%[2]d,"enableFloatingIP":false,"idleTimeoutInMinutes":4,"protocol":"Tcp","loadDistribution":"Default","backendAddressPool":{"id":"%[1]s/backendAddressPools/loadmasters"},"probe":{"id":"%[1]s/probes/check"}`, ilb, 1000+i)))
		at := "properties.loadBalancingRules[name=" + name + "].properties."
		fields = append(fields,
			field(b, at+"frontendIPConfiguration.id", fmt.Sprintf("%q", strings.ToLower(ilb)+"/frontendipconfigurations/vip1")),
			field(b, at+"frontendPort", fmt.Sprint(1000+i)), field(b, at+"backendPort", fmt.Sprint(1000+i)),
			absent(field(b, at+"enableFloatingIP", "false"), "false"), field(b, at+"idleTimeoutInMinutes", "4"),
			field(b, at+"protocol", `"Tcp"`), absent(field(b, at+"loadDistribution", `"Default"`), `"Default"`),
			field(b, at+"backendAddressPool.id", fmt.Sprintf("%q", strings.ToLower(ilb)+"/backendaddresspools/loadmasters")),
			field(b, at+"probe.id", fmt.Sprintf("%q", strings.ToLower(ilb)+"/probes/check")))
	}
	add(ilb, fmt.Sprintf(`{"name":"ilb-edge","id":%q,"etag":"W/\"1\"","type":"Microsoft.Network/loadBalancers","location":"westeurope","sku":{"name":"Standard","tier":"Regional"},"properties":{"provisioningState":"Succeeded","frontendIPConfigurations":[%s],"backendAddressPools":[%s],"loadBalancingRules":[%s],"probes":[%s],"inboundNatRules":[],"outboundRules":[]}}`, ilb,
		child(ilb, "frontendIPConfigurations", "vip1", `"privateIPAddress":"10.0.0.100","privateIPAllocationMethod":"Static"`),
		child(ilb, "backendAddressPools", "loadmasters", `"loadBalancerBackendAddresses":[]`),
		strings.Join(rules, ","),
		child(ilb, "probes", "check", `"protocol":"Http","port":8444,"requestPath":"/","intervalInSeconds":5,"probeThreshold":2`)), fields)

	rules, fields = nil, nil
	for i := range 40 {
		name := fmt.Sprintf("edge-weu-allow-%d", 1000+i)
		rules = append(rules, child(nsg, "securityRules", name, fmt.Sprintf(`"protocol":"Tcp","sourcePortRange":"*","destinationPortRange":"%d","sourceAddressPrefixes":["10.0.0.0/24","10.1.0.0/24"],"destinationAddressPrefix":"*","access":"Allow","priority":%d,"direction":"Inbound","destinationAddressPrefixes":[]`, 1000+i, 200+i)))
		at := "properties.securityRules[name=" + name + "].properties."
		fields = append(fields,
			field(b, at+"protocol", `"TCP"`), field(b, at+"sourcePortRange", `"*"`), field(b, at+"destinationPortRange", fmt.Sprintf(`"%d"`, 1000+i)),
			field(b, at+"sourceAddressPrefixes", `["10.1.0.0/24","10.0.0.0/24"]`), field(b, at+"destinationAddressPrefix", `"*"`),
			field(b, at+"access", `"Allow"`), field(b, at+"direction", `"Inbound"`), field(b, at+"priority", fmt.Sprint(200+i)))
	}
	add(nsg, fmt.Sprintf(`{"name":"nsg-edge","id":%q,"location":"westeurope","properties":{"provisioningState":"Succeeded","securityRules":[%s]}}`, nsg, strings.Join(rules, ",")), fields)

	for i := range 2 {
		nic := fmt.Sprintf("%snetworkInterfaces/lm%d-nic", benchGroup, i+1)
		add(nic, fmt.Sprintf(`{"name":"lm%d-nic","id":%q,"location":"westeurope","properties":{"provisioningState":"Succeeded","ipConfigurations":[%s],"enableAcceleratedNetworking":true}}`, i+1, nic,
			child(nic, "ipConfigurations", "ipconfig1", fmt.Sprintf(`"privateIPAddress":"10.0.0.%d","loadBalancerBackendAddressPools":[{"id":"%s/backendAddressPools/loadmasters"}]`, 4+i, ilb))),
			[]Field{field(b, "properties.ipConfigurations[name=ipconfig1].properties.loadBalancerBackendAddressPools[id="+strings.ToLower(ilb)+"/backendaddresspools/loadmasters]", "")})
	}
	return want, w
}

// BenchmarkCompare measures comparing and planning one pair.
func BenchmarkCompare(b *testing.B) {
	want, w := benchPair(b)
	size := 0
	for _, doc := range w {
		size += len(doc)
	}
	drifted, none := World{}, World{}
	for id, doc := range w {
		text := strings.Replace(string(doc), `"port":8444`, `"port":8443`, 1)
		text = strings.Replace(text, `"priority":210`, `"priority":4000`, 1)
		drifted[id], none[id] = json.RawMessage(strings.Replace(text, `"protocol":"Tcp"`, `"protocol":"Udp"`, 1)), nil
	}
	for _, row := range []struct {
		name    string
		w       World
		changes int
	}{{"as it must be", w, 0}, {"four fields differ", drifted, 4}, {"nothing is there", none, 65}} {
		b.Run(row.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(size))
			for b.Loop() {
				plan, err := Compare(want, row.w)
				if err != nil {
					b.Fatal(err)
				}
				changes := 0
				for _, s := range plan.Steps {
					changes += len(s.Changes)
				}
				if changes != row.changes {
					b.Fatalf("%d changes, want %d: %v", changes, row.changes, changesOf(plan))
				}
			}
		})
	}
}

// BenchmarkEdit measures making the document of a load balancer.
func BenchmarkEdit(b *testing.B) {
	want, w := benchPair(b)
	id := want.Resources[0].ID
	doc := []byte(strings.Replace(string(w[id]), `"port":8444`, `"port":8443`, 1))
	plan, err := Compare(Wanted{Resources: want.Resources[:1]}, World{id: doc})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.SetBytes(int64(len(doc)))
	for b.Loop() {
		if _, err := plan.Steps[0].Edit(doc); err != nil {
			b.Fatal(err)
		}
	}
}
