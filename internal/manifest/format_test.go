package manifest_test

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tandem/internal/manifest"
	"tandem/internal/pair"
)

// requireSame fails when a definition does not survive being written and read.
func requireSame(t *testing.T, d pair.Definition) []byte {
	t.Helper()
	text, err := manifest.Format(d)
	if err != nil {
		t.Fatal(err)
	}
	back, err := manifest.Read("formatted", bytes.NewReader(text))
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	if diff := cmp.Diff([]pair.Definition{d.WithDefaults()}, back, samePair); diff != "" {
		t.Errorf("(-want +got)\n%s\n%s", diff, text)
	}
	again, err := manifest.Format(d)
	if err != nil || !bytes.Equal(text, again) {
		t.Errorf("formatting twice differs: %v\n%s\n%s", err, text, again)
	}
	return text
}

func TestFormatWritesTheOrderOfTheReference(t *testing.T) {
	text := requireSame(t, pair.Definition{
		Name:  "edge",
		Mode:  pair.Auto,
		Azure: pair.Scope{Subscription: "00000000-0000-0000-0000-000000000001", ResourceGroup: "rg", Location: "westeurope"},
		Units: pair.Units{
			First:  pair.Unit{VM: "123", Address: netip.MustParseAddr("fd00::4"), API: pair.API{Secret: "a"}},
			Second: pair.Unit{VM: "lm2", Address: netip.MustParseAddr("fd00::5"), API: pair.API{Secret: "b", CAFile: "/x: y"}},
		},
		HA: pair.HA{StandbyForwards: pair.ForwardsYes},
		LoadBalancers: []pair.LoadBalancer{{
			Name: "lb", Pools: []string{"p"},
			Frontends: []pair.Frontend{{Name: "f", PublicIP: "pip"}},
			Rules:     []pair.Rule{{Name: "r", Frontend: "f", Port: 443}},
		}},
	})
	want := `apiVersion: tandem/v1
kind: Pair
name: edge
mode: auto
azure: {subscription: 00000000-0000-0000-0000-000000000001, resourceGroup: rg, location: westeurope}
units:
  first:
    vm: "123"
    address: fd00::4
    api: {secret: a}
  second:
    vm: lm2
    address: fd00::5
    api: {secret: b, caFile: '/x: y'}
ha: {standbyForwards: yes}
loadBalancers:
  - name: lb
    pools: [p]
    frontends:
      - {name: f, publicIP: pip}
    rules:
      - {name: r, frontend: f, port: 443}
`
	if diff := cmp.Diff(want, string(text)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestFormatKeepsTheExample(t *testing.T) {
	pairs, err := manifest.Load(nil, "../../examples/edge-weu.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if text := requireSame(t, pairs[0]); strings.Contains(string(text), `\u`) {
		t.Errorf("escaped text in\n%s", text)
	}
}
