package balancer_test

import (
	"bytes"
	"strings"
	"testing"

	"tandem/internal/balancer"
	"tandem/internal/pair"
)

// capitals gives what is created names with capitals, as people in Azure do.
func capitals(d *pair.Definition) {
	d.LoadBalancers[0].Name, d.SecurityGroup.Name = "ILB-Edge", "NSG-Edge"
	d.LoadBalancers[0].Frontends[0] = pair.Frontend{Name: "vip1", PublicIP: "PIP-Edge"}
}

// A new resource gets the name as the pair file spells it, although ids are
// compared in lower case.
func TestANewResourceIsCalledAsThePairFileSays(t *testing.T) {
	want := compile(t, define(t, capitals), capitalScene().world(t), tandem)
	for i, name := range []string{"publicIPAddresses/PIP-Edge", "networkSecurityGroups/NSG-Edge", "loadBalancers/ILB-Edge"} {
		if id := `{"id":"` + network + name + `"`; !strings.HasPrefix(string(want.Resources[i].New), id) {
			t.Errorf("got %s, want it to begin with %s", want.Resources[i].New, id)
		}
	}
}

func capitalScene() scene {
	s := newScene()
	for _, id := range []string{"publicIPAddresses/PIP-Edge", "networkSecurityGroups/NSG-Edge", "loadBalancers/ILB-Edge"} {
		s[network+id] = nil
	}
	return s
}

// The steps that come after the one that creates a resource are still those that
// were planned, however the platform spells the new resource's id.
func TestTheRestOfAPlanIsTheSameHoweverThePlatformSpellsWhatIsNew(t *testing.T) {
	for name, spell := range map[string]func([]byte) []byte{
		"as it was sent": bytes.Clone,
		"in lower case": func(b []byte) []byte {
			return bytes.ReplaceAll(b, []byte(network+"loadBalancers/ILB-Edge"), []byte(strings.ToLower(network+"loadBalancers/ILB-Edge")))
		},
		"the group in capitals": func(b []byte) []byte { return bytes.ReplaceAll(b, []byte("/rg-edge/"), []byte("/RG-EDGE/")) },
	} {
		d, w := define(t, capitals), capitalScene().world(t)
		plan := planned(t, d, w, tandem)
		for i, s := range plan.Steps {
			carryOut(t, balancer.Plan{Steps: []balancer.Step{s}}, w)
			w[s.Resource] = spell(w[s.Resource])
			rest := planned(t, d, w, tandem)
			if len(rest.Steps) != len(plan.Steps)-i-1 || !plan.Covers(rest) {
				t.Fatalf("%s: after %s the rest is another plan: %q", name, s.Resource.Title(), changes(rest))
			}
		}
	}
}
