package balancer

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRender(t *testing.T) {
	var b strings.Builder
	plan := samplePlan(t)
	if err := Render(&b, plan); err != nil {
		t.Fatal(err)
	}
	want := `edge-weu: plan d8dce4b85ff0b939

+ security group nsg-edge will be created
    /subscriptions/00000000-0000-0000-0000-000000000001/resourcegroups/rg-edge/providers/microsoft.network/networksecuritygroups/nsg-edge
    + location: "westeurope"
    + zones: ["1","2"]
    + tags: {}
    + properties.securityRules[name=edge-weu-check]
        + name: "edge-weu-check"
        + properties.priority: 100
        + properties.destinationPortRange: "8444"
        # the probe must reach the check port (the guide, 4.3)

~ load balancer ilb-edge will be changed
    /subscriptions/00000000-0000-0000-0000-000000000001/resourcegroups/rg-edge/providers/microsoft.network/loadbalancers/ilb-edge
    ~ properties.probes[name=check].properties.requestPath: "/\x1b[31m\u202e" → "/"
        # the unit answers there (the guide, 5.1)
    ~ properties.probes[name=check].properties.port: 80 → 8444
        # the unit answers there (the guide, 5.1)
    ~ properties.probes[name=check].properties.prefixes
        + "10.0.0.5"
        - "10.0.0.9"
    + properties.loadBalancingRules[name=https]
        + name: "https"
        + properties.probe.id: "…cegroups/rg-edge/providers/microsoft.network/loadbalancers/ilb-edge/probes/check"
        # a rule without a probe reaches a dead unit
    - properties.inboundNatRules[name=old]: {"name":"old","properties":{"frontendPort":8443}}
        # its port has a rule
    + properties.note: "x"

1 to create, 1 to change
`
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Errorf("(- want, + got):\n%s\n%s", diff, b.String())
	}
}

func TestRenderOfNothing(t *testing.T) {
	var b strings.Builder
	if err := Render(&b, Plan{Pair: "edge-weu"}); err != nil || b.String() != "edge-weu: everything is as it must be, nothing to do\n" {
		t.Errorf("%q, %v", b.String(), err)
	}
}

func TestRenderOfNestedElements(t *testing.T) {
	plan := Plan{Pair: "p\x1b", Steps: []Step{{
		Resource: "/subscriptions/1/providers/microsoft.network/networkinterfaces/lm1-nic", Action: Update,
		Changes: []Change{{Path: "a", To: raw(`{"l":[{"name":"x]","p":1},{"p":[]},{"id":"/i"},[true,{}],"s\u009b"],"a.b":null}`), Why: "one\ntwo"}, {Path: "b", To: raw(`{"`)}},
	}}}
	var b strings.Builder
	if err := Render(&b, plan); err != nil {
		t.Fatal(err)
	}
	want := `p\u001b: plan 

~ interface lm1-nic will be changed
    /subscriptions/1/providers/microsoft.network/networkinterfaces/lm1-nic
    + a
        + l[name="x]"].name: "x]"
        + l[name="x]"].p: 1
        + l[].p: []
        + l[id=/i].id: "/i"
        + l[][]: true
        + l[][]: {}
        + l[]: "s\u009b"
        + "a.b": null
        # one\u000atwo
    + b
        + {"

0 to create, 1 to change
`
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Errorf("(- want, + got):\n%s\n%s", diff, b.String())
	}
}

func TestRenderClips(t *testing.T) {
	long := strings.Repeat("ä", clipRunes+1)
	var many []string
	for i := range clipElements + 3 {
		many = append(many, fmt.Sprint(i))
	}
	plan := Plan{Steps: []Step{{Resource: "/r", Action: Update, Changes: []Change{
		{Path: "text", From: raw(`"` + long + `"`)},
		{Path: "id", From: raw(`"/subscriptions/` + long + `/name"`)},
		{Path: "object", From: raw(`{"a":"` + long + `"}`)},
		{Path: "broken", From: raw(`{` + long)},
		{Path: "list", From: raw(`[]`), To: raw("[" + strings.Join(many, ",") + "]")},
	}}}}
	var b strings.Builder
	if err := Render(&b, plan); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`text: "` + strings.Repeat("ä", clipRunes) + `…"` + "\n",
		`id: "…` + strings.Repeat("ä", clipRunes-len("/name")) + `/name"` + "\n",
		`object: {"a":"` + strings.Repeat("ä", clipRunes-len(`{"a":"`)) + "…\n",
		`broken: {` + strings.Repeat("ä", clipRunes-1) + "…\n",
		"+ 19\n        + … and 3 more\n",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is not in\n%s", want, b.String())
		}
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, errFull }

var errFull = errors.New("full")

func TestRenderTellsThatItCouldNotWrite(t *testing.T) {
	if err := Render(failing{}, Plan{Pair: "edge-weu"}); !errors.Is(err, errFull) {
		t.Errorf("%v", err)
	}
}
