package balancer_test

import (
	"encoding/json"
	"slices"
	"testing"

	"tandem/internal/balancer"
	"tandem/internal/pair"
)

// built is a pair as the program has built it, whose documents a person changes.
type built struct {
	t *testing.T
	w balancer.World
}

// part changes the properties of an element of a list.
func (b built) part(id, list, name string, change func(p obj)) {
	b.t.Helper()
	var doc obj
	key := pair.NewResourceID(id)
	if err := json.Unmarshal(b.w[key], &doc); err != nil {
		b.t.Fatal(err)
	}
	elements, _ := props(doc)[list].([]any)
	i := slices.IndexFunc(elements, func(e any) bool { return e.(obj)["name"] == name })
	if i < 0 {
		i = len(elements)
		elements = append(elements, obj{"name": name, "id": id + "/" + list + "/" + name, "properties": obj{}})
		props(doc)[list] = elements
	}
	change(props(elements[i].(obj)))
	raw, err := json.Marshal(doc)
	if err != nil {
		b.t.Fatal(err)
	}
	b.w[key] = raw
}

// TestWhatSomebodyChangedIsRecognised: one change that a person makes is one change
// back, and nothing of somebody else's is taken for the pair's because of it.
func TestWhatSomebodyChangedIsRecognised(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(b built)
		want   []string
	}{
		{"nothing", func(built) {}, nil},
		{"the rule to the check port has somebody's probe: it gets the pair's back", func(b built) {
			b.part(idLB, "probes", "other", func(p obj) { p["protocol"], p["port"] = "Tcp", 9 })
			b.part(idLB, "loadBalancingRules", "check", func(p obj) { p["probe"] = ref(idLB + "/probes/other") })
		}, []string{"ilb-edge loadBalancingRules[name=check].probe.id"}},
		{"the pair's probe asks another port: it is still the pair's", func(b built) {
			b.part(idLB, "probes", "check", func(p obj) { p["port"] = 8445 })
		}, []string{"ilb-edge probes[name=check].port"}},
		{"a NAT rule is on somebody's frontend: it is still the pair's", func(b built) {
			b.part(idLB, "frontendIPConfigurations", "vip9", func(p obj) { p["privateIPAddress"] = "10.0.0.109" })
			b.part(idLB, "inboundNatRules", "LoadMaster1-WUI", func(p obj) {
				p["frontendIPConfiguration"] = ref(idLB + "/frontendIPConfigurations/vip9")
				p["backendIPConfiguration"] = ref(idNIC1 + "/ipConfigurations/ipconfig1") // as Azure tells whom it leads to
			})
		}, []string{"ilb-edge inboundNatRules[name=LoadMaster1-WUI].frontendIPConfiguration.id"}},
		{"a security rule looks the other way: it keeps its number", func(b built) {
			b.part(idGroup, "securityRules", "tandem-edge-weu--sync", func(p obj) { p["direction"] = "Outbound" })
		}, []string{"nsg-edge securityRules[name=tandem-edge-weu--sync].direction"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d, b := define(t), built{t, newScene().world(t)}
			carryOut(t, planned(t, d, b.w, tandem), b.w)
			tt.change(b)
			if got := changes(planned(t, d, b.w, tandem)); !slices.Equal(got, tt.want) {
				t.Errorf("the plan changes %q, want %q", got, tt.want)
			}
		})
	}
}
