package balancer

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// samplePlan has a step of each action, and a change of each sort.
func samplePlan(t testing.TB) Plan {
	t.Helper()
	const group = "/subscriptions/00000000-0000-0000-0000-000000000001/resourcegroups/rg-edge/providers/microsoft.network/"
	want := Wanted{Pair: "edge-weu", Resources: []Resource{
		{
			ID:  group + "networksecuritygroups/nsg-edge",
			New: raw(`{"location":"westeurope","zones":["1","2"],"tags":{}}`),
			Fields: []Field{
				{Path: mustPath(t, "properties.securityRules[name=edge-weu-check].properties.priority"), Want: raw("100"), Why: "the probe must reach the check port (the guide, 4.3)"},
				{Path: mustPath(t, "properties.securityRules[name=edge-weu-check].properties.destinationPortRange"), Want: raw(`"8444"`)},
			},
		},
		{
			ID: group + "loadbalancers/ilb-edge",
			Fields: []Field{
				{Path: mustPath(t, "properties.probes[name=check].properties.requestPath"), Want: raw(`"/"`), Why: "the unit answers there (the guide, 5.1)"},
				{Path: mustPath(t, "properties.probes[name=check].properties.port"), Want: raw("8444"), Why: "the unit answers there (the guide, 5.1)"},
				{Path: mustPath(t, "properties.probes[name=check].properties.prefixes"), Want: raw(`["10.0.0.4", "10.0.0.5"]`)},
				{Path: mustPath(t, "properties.loadBalancingRules[name=https].properties.probe.id"), Want: raw(`"` + group + `loadbalancers/ilb-edge/probes/check"`), Why: "a rule without a probe reaches a dead unit"},
				{Path: mustPath(t, "properties.inboundNatRules[name=old]"), Remove: true, Why: "its port has a rule"},
				{Path: mustPath(t, "properties.note"), Want: raw(`"x"`)},
			},
		},
	}}
	plan, err := Compare(want, World{
		group + "networksecuritygroups/nsg-edge": nil,
		group + "loadbalancers/ilb-edge": raw(`{"properties":{"probes":[{"name":"check","properties":{"port":80,"requestPath":"/\u001b[31m\u202e","prefixes":["10.0.0.9","10.0.0.4"]}}],` +
			`"inboundNatRules":[{"name":"old","etag":"W/1","properties":{"frontendPort":8443}}]}}`),
	})
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

// The stored form of a plan, and the hashes of one, do not change: a plan that
// waits for a person is approved by the hash that an earlier release made.
func TestTheStoredFormOfAPlan(t *testing.T) {
	const want = `{
  "v": 1,
  "pair": "p",
  "hash": "3cd6a1d3c2a1f75c",
  "steps": [
    {
      "resource": "/made",
      "action": "create",
      "new": {
        "location": "here"
      },
      "changes": [
        {
          "path": "l[name=a]",
          "to": {
            "name": "a",
            "b": "\u003c"
          },
          "why": "because of l[name=a].b"
        }
      ],
      "hash": "6aba2ccef11f3c30"
    },
    {
      "resource": "/r",
      "action": "update",
      "changes": [
        {
          "path": "a",
          "from": 1,
          "to": 2,
          "why": "because of a"
        },
        {
          "path": "b",
          "from": "x",
          "why": "because of b"
        }
      ],
      "hash": "ab2fc4e028970cb0"
    }
  ]
}`
	plan, err := Compare(Wanted{Pair: "p", Resources: []Resource{
		{ID: "/made", New: raw(`{"location": "here"}`), Fields: []Field{field(t, "l[name=a].b", `"<"`)}},
		{ID: "/r", Fields: []Field{field(t, "a", "2"), gone(t, "b")}},
	}}, World{"/made": nil, "/r": raw(`{"a":1,"b":"x"}`)})
	if err != nil {
		t.Fatal(err)
	}
	got, err := json.MarshalIndent(plan, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("stored form (- want, + got):\n%s", diff)
	}
	if diff := cmp.Diff(plan, stored(t, plan)); diff != "" {
		t.Errorf("stored and read again (- before, + after):\n%s", diff)
	}
}

func TestAnEmptyPlanIsAPlan(t *testing.T) {
	plan, err := compareOne(t, `{}`)
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(plan)
	if want := `{"v":1,"pair":"p","hash":"` + plan.Hash + `","steps":[]}`; err != nil || string(b) != want || len(plan.Hash) != 16 || !plan.Empty() {
		t.Errorf("%s, %v, want %s", b, err, want)
	}
}

func TestAnUnknownActionIsNotRead(t *testing.T) {
	var s Step
	if err := json.Unmarshal([]byte(`{"action":"delete"}`), &s); err == nil {
		t.Errorf("read as %v", s.Action)
	}
}

// Everything that a step does changes its hash, and nothing else does.
func TestWhatAHashCovers(t *testing.T) {
	base := samplePlan(t)
	for _, row := range []struct {
		name    string
		change  func(*Step)
		differs bool
	}{
		{"another resource", func(s *Step) { s.Resource = "/other" }, true},
		{"another action", func(s *Step) { s.Action = Update }, true},
		{"another beginning", func(s *Step) { s.New = raw(`{}`) }, true},
		{"a change less", func(s *Step) { s.Changes = s.Changes[1:] }, true},
		{"changes in another order", func(s *Step) { slices.Reverse(s.Changes) }, true},
		{"another place", func(s *Step) { s.Changes[1].Path = "properties.probes[name=check].properties.ports" }, true},
		{"another value", func(s *Step) { s.Changes[1].To = raw("8445") }, true},
		{"another spelling of what is written", func(s *Step) { s.Changes[1].To = raw("8444.0") }, false},
		{"another case of what is written, where case counts", func(s *Step) { s.Changes[0].To = raw(`"/A"`) }, true},
		{"nothing to write", func(s *Step) { s.Changes[1].To = nil }, true},
		{"another value before", func(s *Step) { s.Changes[1].From = raw("81") }, true},
		{"no value before", func(s *Step) { s.Changes[1].From = nil }, true},
		{"another case before, where case counts", func(s *Step) { s.Changes[0].From = raw(`"/A"`) }, true},
		{"another spelling of the value before", func(s *Step) { s.Changes[1].From = raw("8e1") }, false},
		{"another order of the elements before", func(s *Step) { s.Changes[2].From = raw(`["10.0.0.4","10.0.0.9"]`) }, false},
		{"another case of the place", func(s *Step) { s.Changes[1].Path = "Properties.Probes[name=Check].properties.port" }, false},
		{"another reason", func(s *Step) { s.Changes[1].Why = "for fun" }, false},
		{"another hash", func(s *Step) { s.Hash = "0" }, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := base.Steps[1]
			s.New = raw(`{"a":1}`)
			s.Action = Create
			s.Changes = slices.Clone(s.Changes)
			before := s.hash()
			row.change(&s)
			if differs := s.hash() != before; differs != row.differs {
				t.Errorf("the hash differs: %t, want %t", differs, row.differs)
			}
		})
	}
}

func TestWhatThePlansHashCovers(t *testing.T) {
	base := samplePlan(t)
	for name, change := range map[string]func(*Plan){
		"another pair":           func(p *Plan) { p.Pair = "other" },
		"a step less":            func(p *Plan) { p.Steps = p.Steps[1:] },
		"steps in another order": func(p *Plan) { slices.Reverse(p.Steps) },
		"another step":           func(p *Plan) { p.Steps[0].Hash = "0" },
	} {
		t.Run(name, func(t *testing.T) {
			p := base
			p.Steps = slices.Clone(p.Steps)
			if change(&p); p.hash() == base.Hash {
				t.Error("the hash is the same")
			}
		})
	}
	if again := samplePlan(t); again.Hash != base.Hash {
		t.Errorf("the same plan has the hashes %s and %s", base.Hash, again.Hash)
	}
}

func TestCovers(t *testing.T) {
	whole := samplePlan(t)
	with := func(steps ...Step) Plan { return Plan{Pair: whole.Pair, Steps: steps} }
	other := whole.Steps[1]
	other.Hash = "0"
	moved := whole.Steps[1]
	moved.Resource = whole.Steps[0].Resource
	for _, row := range []struct {
		name string
		rest Plan
		want bool
	}{
		{"itself", whole, true},
		{"nothing", with(), true},
		{"what is left after the first step", with(whole.Steps[1]), true},
		{"steps in whatever order", with(whole.Steps[1], whole.Steps[0]), true},
		{"no step that does something else", with(whole.Steps[0], other), false},
		{"no step of another resource", with(moved), false},
		{"nothing of another pair", Plan{Pair: "other"}, false},
	} {
		if got := whole.Covers(row.rest); got != row.want {
			t.Errorf("a plan covers %s: %t, want %t", row.name, got, row.want)
		}
	}
}

func TestTheKeyOfAFieldStays(t *testing.T) {
	one, err := compareOne(t, `{"a":{"b":1}}`, field(t, "a.b", "2"))
	if err != nil {
		t.Fatal(err)
	}
	two, err := compareOne(t, `{"A":{"B":7}}`, field(t, "a.B", "3"))
	if err != nil {
		t.Fatal(err)
	}
	a, b := one.Steps[0], two.Steps[0]
	if x, y := a.Key(a.Changes[0]), b.Key(b.Changes[0]); x != y || x != "/r#a.b" {
		t.Errorf("keys %q and %q", x, y)
	}
}
