package balancer_test

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tandem/internal/balancer"
	"tandem/internal/pair"
)

// readAll asks what to read until nothing is left, and returns what each
// reading was of.
func readAll(t *testing.T, d *pair.Definition, s scene) [][]string {
	t.Helper()
	all, w := s.world(t), balancer.World{}
	var stages [][]string
	for range 20 {
		missing := balancer.Reads(d, w)
		if len(missing) == 0 {
			return stages
		}
		var stage []string
		for _, id := range missing {
			stage = append(stage, id.Name())
			w[id] = all[id]
		}
		stages = append(stages, stage)
	}
	t.Fatal("the reading has no end")
	return nil
}

func TestReads(t *testing.T) {
	none := func(*pair.Definition) {}
	public := func(d *pair.Definition) {
		d.LoadBalancers[0].Frontends[0] = pair.Frontend{Name: "vip1", PublicIP: "pip"}
	}
	for _, tt := range []struct {
		name  string
		edit  func(*pair.Definition)
		scene func(s scene)
		want  [][]string
	}{
		{"each document tells what to read next", none, func(s scene) {
			props(s[idSubnet])["networkSecurityGroup"] = ref(network + "networkSecurityGroups/nsg-subnet")
			props(s[idNIC2])["networkSecurityGroup"] = ref(network + "networkSecurityGroups/nsg-nic")
		}, [][]string{{"nsg-edge", "ilb-edge", "lm1", "lm2"}, {"lm1-nic", "lm2-nic"}, {"default", "nsg-nic"}, {"nsg-subnet"}}},
		{
			"what does not exist is not asked for again", none, func(s scene) { s[idVM1], s[idNIC2] = nil, nil },
			[][]string{{"nsg-edge", "ilb-edge", "lm1", "lm2"}, {"lm2-nic"}},
		},
		{
			"a public address is read once its load balancer was", public, func(scene) {},
			[][]string{{"nsg-edge", "ilb-edge", "lm1", "lm2"}, {"pip", "lm1-nic", "lm2-nic"}, {"default"}},
		},
		{
			"a subnet that the file names is in the units' network", first(func(lb *pair.LoadBalancer) { lb.Frontends[0].Subnet = "vips" }), func(scene) {},
			[][]string{{"nsg-edge", "ilb-edge", "lm1", "lm2"}, {"lm1-nic", "lm2-nic"}, {"default", "vips"}},
		},
		{"another load balancer that a unit is behind is read", none, func(s scene) {
			s.join(idNIC1, "loadBalancerBackendAddressPools", network+"loadBalancers/old/backendAddressPools/p")
		}, [][]string{{"nsg-edge", "ilb-edge", "lm1", "lm2"}, {"lm1-nic", "lm2-nic"}, {"default", "old"}}},
		{
			"no group is read where none is named", func(d *pair.Definition) { d.SecurityGroup = pair.SecurityGroup{} }, func(scene) {},
			[][]string{{"ilb-edge", "lm1", "lm2"}, {"lm1-nic", "lm2-nic"}, {"default"}},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newScene()
			tt.scene(s)
			if diff := cmp.Diff(tt.want, readAll(t, define(t, tt.edit), s)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// Documents come from outside: whatever they are, nothing panics, the reading
// ends, and what is refused is refused with a reason.
func FuzzDocuments(f *testing.F) {
	s := newScene()
	s.handmade()
	s.secure(idGroup, "lock", "Deny", 400, "VirtualNetwork", "6000-7000")
	s.addConfig("ipconfig2", "10.0.0.14", "10.0.0.15")
	whole, err := json.Marshal(s)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add([]byte(`{}`))
	for id := range s {
		one, err := json.Marshal(map[string]any{id: "x"})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(one)
	}
	ids := make([]string, 0, len(s))
	for id := range s {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	f.Fuzz(func(t *testing.T, b []byte) {
		var docs map[string]json.RawMessage
		if json.Unmarshal(b, &docs) != nil {
			return
		}
		w := s.world(t)
		for _, id := range ids {
			if doc, ok := docs[id]; ok {
				w[pair.NewResourceID(id)] = doc
			}
		}
		d := define(t, first(func(lb *pair.LoadBalancer) { lb.CentralPairAwareness = true }))
		for range 20 {
			for _, id := range balancer.Reads(d, w) {
				w[id] = nil
			}
		}
		if missing := balancer.Reads(d, w); len(missing) > 0 {
			t.Fatalf("the reading has no end: %v", missing)
		}
		want, refusals := balancer.Compile(d, w, tandem)
		if (len(want.Resources) == 0) != (len(refusals) > 0) {
			t.Errorf("%d resources are wanted, and %v is refused", len(want.Resources), refusals)
		}
		for _, r := range refusals {
			if r.Field == "" || r.Why == "" || r.WayOut == "" {
				t.Errorf("a refusal says too little: %v", r)
			}
		}
	})
}
