package balancer_test

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"testing"

	"tandem/internal/balancer"
	"tandem/internal/pair"
)

// asSent gives documents what Resource Manager sends besides: ETags, types, ids
// and states of every part, and the default rules of a security group.
func asSent(t testing.TB, w balancer.World) balancer.World {
	t.Helper()
	out := make(balancer.World, len(w))
	for id, raw := range w {
		var doc obj
		if err := json.Unmarshal(raw, &doc); err != nil {
			t.Fatal(err)
		}
		if id.Name() == "nsg-edge" {
			var rules []any
			for i, name := range []string{
				"AllowVnetInBound", "AllowAzureLoadBalancerInBound", "DenyAllInBound", "AllowVnetOutBound", "AllowInternetOutBound", "DenyAllOutBound",
			} {
				access, direction := "Allow", "Inbound"
				if i%3 == 2 {
					access = "Deny"
				}
				if i > 2 {
					direction = "Outbound"
				}
				rules = append(rules, obj{"name": name, "properties": obj{
					"description": "Allow or deny what no other rule decides about", "protocol": "*", "sourcePortRange": "*", "destinationPortRange": "*",
					"sourceAddressPrefix": "*", "destinationAddressPrefix": "*", "access": access, "priority": 65000 + i%3, "direction": direction,
				}})
			}
			props(doc)["defaultSecurityRules"] = rules
		}
		complete(doc, string(id))
		b, err := json.Marshal(doc)
		if err != nil {
			t.Fatal(err)
		}
		out[id] = b
	}
	return out
}

// complete adds what every resource and every part of one has.
func complete(d obj, id string) {
	d["id"], d["etag"], d["type"] = id, `W/"00000000-0000-0000-0000-000000000001"`, "Microsoft.Network/resources/parts"
	p, _ := d["properties"].(obj)
	if p == nil {
		p = obj{}
		d["properties"] = p
	}
	p["provisioningState"] = "Succeeded"
	for list, v := range p {
		parts, _ := v.([]any)
		for _, part := range parts {
			if o, isObject := part.(obj); isObject && o["name"] != nil {
				complete(o, id+"/"+list+"/"+o["name"].(string))
			}
		}
	}
}

// BenchmarkPlan compiles a pair and compares it with what was read, which is all
// that a comparison by the guard costs beside the reading. It shall take less than
// a millisecond.
func BenchmarkPlan(b *testing.B) {
	twenty := func(d *pair.Definition) {
		lb := &d.LoadBalancers[0]
		for i := range 18 {
			lb.Rules = append(lb.Rules, pair.Rule{
				Name: fmt.Sprintf("port-%d", 9000+i), Frontend: "vip1", Port: 9000 + i,
				From: []netip.Prefix{prefix("192.0.2.0/24"), prefix("198.51.100.0/24")},
			})
		}
	}
	for _, row := range []struct {
		name string
		edit func(*pair.Definition)
	}{{"the guide's pair", func(*pair.Definition) {}}, {"20 published ports", twenty}} {
		s := newScene()
		for i := range 12 { // rules of other people
			s.secure(idGroup, fmt.Sprintf("somebody-%d", i), []string{"Allow", "Deny"}[i%2], 3000+i, fmt.Sprintf("10.9.%d.0/24", i), fmt.Sprint(5000+i))
		}
		d := define(b, row.edit)
		w := s.world(b)
		carryOut(b, planned(b, d, w, tandem), w)
		w = asSent(b, w)
		size := 0
		for _, doc := range w {
			size += len(doc)
		}
		b.Run(row.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(size))
			for b.Loop() {
				want, refusals := balancer.Compile(d, w, tandem)
				if len(refusals) > 0 {
					b.Fatal(refusals)
				}
				plan, err := balancer.Compare(want, w)
				if err != nil || !plan.Empty() {
					b.Fatalf("plan %v, %v; want an empty one", changes(plan), err)
				}
			}
			b.ReportMetric(1e6, "target-ns/op")
		})
	}
}
