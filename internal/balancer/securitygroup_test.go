package balancer_test

import (
	"encoding/json"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"tandem/internal/balancer"
	"tandem/internal/pair"
)

const ours = "nsg-edge securityRules[name=tandem-edge-weu--"

// ownRule is a rule of the pair as it stands.
func ownRule(s scene, name string, priority int) obj {
	return s.secure(idGroup, "tandem-edge-weu--"+name, "Allow", priority, "10.9.9.9", "6973")
}

func TestSecurityRules(t *testing.T) {
	none := func(*pair.Definition) {}
	for _, tt := range []struct {
		name   string
		edit   func(*pair.Definition)
		scene  func(s scene)
		around func(*balancer.Surroundings)
		want   []string // as in TestWanted
	}{
		{"the probe is let in by its tag, and the partner by the units' addresses", none, nil, nil, []string{
			ours + `check-probe].sourceAddressPrefix = "AzureLoadBalancer"`, ours + `check-probe].destinationPortRange = "8444"`,
			ours + `sync].sourceAddressPrefixes = ["10.0.0.4","10.0.0.5"]`, ours + `sync].destinationPortRange = "6973"`,
			ours + `sync].destinationAddressPrefixes = ["10.0.0.4","10.0.0.5"]`,
		}},
		{"Tandem reaches the check port and the API, people the API and SSH", none, nil, nil, []string{
			ours + `check-tandem].sourceAddressPrefix = "10.0.8.0/26"`, ours + `check-tandem].destinationPortRange = "8444"`,
			ours + `api-tandem].sourceAddressPrefix = "10.0.8.0/26"`, ours + `api-tandem].destinationPortRange = "8443"`,
			ours + `api].sourceAddressPrefix = "10.0.9.0/24"`, ours + `api].destinationPortRange = "8443"`,
			ours + `ssh].sourceAddressPrefix = "10.0.9.0/24"`, ours + `ssh].destinationPortRange = "22"`,
		}},
		{"clients are let in to the port on the units", first(func(lb *pair.LoadBalancer) { lb.Rules[1].BackendPort = 9443 }), nil, nil, []string{
			ours + `published-9443].destinationPortRange = "9443"`, ours + `published-9443].sourceAddressPrefix = "0.0.0.0/0"`, "-published-443]",
		}},
		{"a rule without clients lets nobody in", first(func(lb *pair.LoadBalancer) { lb.Rules[1].From = nil }), nil, nil, []string{"-published"}},
		{
			"nobody is let in whom nobody named", func(d *pair.Definition) { d.SecurityGroup.ManagementFrom = nil }, nil,
			func(s *balancer.Surroundings) { s.From = nil },
			[]string{"--tandem]", "-api", "-ssh"},
		},
		{"networks of both families are two rules", first(func(lb *pair.LoadBalancer) {
			lb.Rules[1].From = []netip.Prefix{prefix("::/0"), prefix("203.0.113.0/24"), prefix("198.51.100.0/24"), prefix("203.0.113.0/24")}
		}), nil, nil, []string{ours + `published-443].sourceAddressPrefixes = ["198.51.100.0/24","203.0.113.0/24"]`, "-published-443-v6"}},
		{"units with two API ports have both let in", func(d *pair.Definition) { d.Units.Second.API.Port = 9443 }, nil, nil, []string{
			ours + `api].destinationPortRange = gone`, ours + `api].destinationPortRanges = ["8443","9443"]`,
		}},
		{"GEO members reach the tunnel and DNS", none, nil, func(s *balancer.Surroundings) {
			s.Members, s.TunnelPort = []netip.Prefix{prefix("172.24.1.7/32"), prefix("172.24.1.8/32")}, 2022
		}, []string{
			ours + `geo-tunnel].destinationPortRange = "2022"`, ours + `geo-tunnel].sourceAddressPrefixes = ["172.24.1.7","172.24.1.8"]`,
			ours + `geo-dns-tcp].destinationPortRange = "53"`, ours + `geo-dns-tcp].protocol = "Tcp"`, ours + `geo-dns-udp].protocol = "Udp"`,
		}},
		{"the guide's ports are only written when they are asked for", none, nil, nil, []string{"-guide-ports"}},
		{"the guide's ports are those of the NAT rules", func(d *pair.Definition) { d.SecurityGroup.GuidePorts = true }, nil, nil, []string{
			ours + `guide-ports].destinationPortRanges = ["221","222","8441","8442"]`, ours + `guide-ports].sourceAddressPrefix = "10.0.9.0/24"`,
		}},

		{"an existing rule keeps its number", none, func(s scene) { ownRule(s, "sync", 3000) }, nil, []string{ours + `sync].priority = 3000`}},
		{"new numbers are free ones", none, func(s scene) {
			s.secure(idGroup, "mine", "Allow", 1000, "10.7.0.0/16", "80")
			s.secure(idGroup, "out", "Allow", 1001, "*", "80")["direction"] = "Outbound"
			ownRule(s, "ssh", 1002)
		}, nil, []string{ours + `check-probe].priority = 1001`, ours + `check-partner].priority = 1003`, ours + `ssh].priority = 1002`}},
		{"a rule stands before whatever denies it, and the others stay", none, func(s scene) {
			ownRule(s, "sync", 3000)
			ownRule(s, "ssh", 3001)
			s.secure(idGroup, "lock", "Deny", 400, "VirtualNetwork", "6000-7000")
		}, nil, []string{ours + `sync].priority = 399`, ours + `ssh].priority = 3001`, ours + `check-probe].priority = 1000`}},
		{"a rule that somebody else's Allow makes unnecessary stays behind the Deny", none, func(s scene) {
			s.secure(idGroup, "open", "Allow", 300, "10.0.0.0/16", "*")
			s.secure(idGroup, "lock", "Deny", 400, "*", "6973")
		}, nil, []string{ours + `sync].priority = 1003`}},
		{"a Deny of everything is preceded by all", none, func(s scene) { s.secure(idGroup, "all", "Deny", 110, "*", "*") }, nil, []string{
			ours + `check-probe].priority = 109`, ours + `check-partner].priority = 108`, ours + `published-443].priority = 102`,
		}},
		{"a person's exception to the internet stands", none, func(s scene) { s.secure(idGroup, "bad", "Deny", 500, "198.51.100.0/24", "*") }, nil, []string{
			ours + `published-443].priority = 1007`,
		}},
		{"a Deny for all clients is preceded", none, func(s scene) { s.secure(idGroup, "closed", "Deny", 500, "*", "443") }, nil, []string{
			ours + `published-443].priority = 499`,
		}},
		{"a Deny for a tag that nobody can resolve may mean public addresses, and no private ones", none, func(s scene) {
			s.secure(idGroup, "cloud", "Deny", 500, "AzureCloud", "*")
		}, func(s *balancer.Surroundings) { s.From = []netip.Prefix{prefix("20.1.2.0/28")} }, []string{
			ours + `check-tandem].priority = 499`, ours + `api-tandem].priority = 498`, ours + `sync].priority = 1002`, ours + `published-443].priority = 1005`,
		}},
		{"a Deny for the group of the partner's interface denies the partner", none, func(s scene) {
			asg := network + "applicationSecurityGroups/lm"
			for _, nic := range []string{idNIC1, idNIC2} {
				props(s.configs(nic)[0].(obj))["applicationSecurityGroups"] = []any{ref(asg)}
			}
			p := s.secure(idGroup, "no-lm", "Deny", 500, "", "*")
			p["sourceApplicationSecurityGroups"] = []any{ref(asg)}
		}, nil, []string{ours + `check-partner].priority = 499`, ours + `sync].priority = 498`, ours + `api].priority = 1003`}},
		{"what keeps a unit from asking its partner is preceded where it leaves, too", none, func(s scene) {
			s.secure(idGroup, "quiet", "Deny", 900, "*", "6973")["direction"] = "Outbound"
		}, nil, []string{ours + `sync-out].direction = "Outbound"`, ours + `sync-out].priority = 899`, ours + `sync].priority = 1003`, "-check-out"}},
		{"a rule that nothing needs any more is removed, and another pair's is not", none, func(s scene) {
			ownRule(s, "published-8080", 3000)
			s.secure(idGroup, "tandem-edge-weu-2--sync", "Allow", 3001, "*", "6973")
			s.secure(idGroup, "tandem-edge--sync", "Allow", 3002, "*", "6973")
		}, nil, []string{ours + `published-8080] = gone`, "-tandem-edge-weu-2--", "-tandem-edge--"}},
		{"what says the same in another spelling stays", none, func(s scene) {
			p := ownRule(s, "api", 3000)
			p["sourceAddressPrefix"], p["sourceAddressPrefixes"] = "", []any{"10.0.9.0/24"}
			p["destinationAddressPrefix"], p["destinationAddressPrefixes"] = "", []any{"10.0.0.5/32", "10.0.0.4/32"}
		}, nil, []string{ours + `api].sourceAddressPrefix = "10.0.9.0/24"`, ours + `api].destinationAddressPrefixes = ["10.0.0.5/32","10.0.0.4/32"]`}},

		{"the group is put on interfaces where there is none", none, nil, nil, []string{
			`lm1-nic networkSecurityGroup.id = "networkSecurityGroups/nsg-edge"`, `lm2-nic networkSecurityGroup.id = "networkSecurityGroups/nsg-edge"`,
		}},
		{"the group is not put on an interface whose subnet has one", none, func(s scene) {
			props(s[idSubnet])["networkSecurityGroup"] = ref(idGroup)
		}, nil, []string{"-networkSecurityGroup"}},
		{"another group that lets everything in stays alone where it is", none, func(s scene) {
			other := network + "networkSecurityGroups/nsg-lm2"
			props(s[idNIC2])["networkSecurityGroup"] = ref(other)
			s.secure(other, "open", "Allow", 100, "*", "*")
		}, nil, []string{`lm1-nic networkSecurityGroup.id = "networkSecurityGroups/nsg-edge"`, "-lm2-nic networkSecurityGroup", ours + `sync].access = "Allow"`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, around := newScene(), tandem
			if tt.scene != nil {
				tt.scene(s)
			}
			if tt.around != nil {
				tt.around(&around)
			}
			got := lines(compile(t, define(t, tt.edit), s.world(t), around))
			for _, line := range tt.want {
				part, never := strings.CutPrefix(line, "-")
				found := slices.ContainsFunc(got, func(l string) bool { return l == line || never && strings.Contains(l, part) })
				if found == never {
					t.Errorf("%s: found %v\nin %s", line, found, strings.Join(slices.DeleteFunc(got, func(l string) bool {
						return !strings.Contains(l, "priority") && !strings.Contains(l, "ddressPrefix")
					}), "\n   "))
				}
			}
		})
	}
}

func TestReasonsOfSecurityRules(t *testing.T) {
	s := newScene()
	s.secure(idGroup, "lock", "Deny", 400, "VirtualNetwork", "6973")
	want := compile(t, define(t, func(d *pair.Definition) { d.SecurityGroup.GuidePorts = true }), s.world(t), tandem)
	for start, why := range map[string]string{
		ours + "sync].priority": "the units keep their settings in step on port 6973 (guide 6); before the rule lock (priority 400), which would deny it",
		ours + "guide-ports].priority": "the guide recommends it (guide 6); it opens nothing, because a security group sees the port on the unit, 8443 or 22, " +
			"and not the load balancer's; written because securityGroup.guidePorts is true",
	} {
		if got := whys(want, start); !slices.Equal(got, []string{why}) {
			t.Errorf("the reason of %s is %q, want %q", start, got, why)
		}
	}
}

// groupNow is a security group as it stands in a world.
type groupNow struct {
	Properties struct {
		SecurityRules []struct {
			Name       string
			Properties struct {
				Access, Direction, Protocol, SourceAddressPrefix, DestinationAddressPrefix, DestinationPortRange string
				SourceAddressPrefixes, DestinationAddressPrefixes, DestinationPortRanges                         []string
				Priority                                                                                         int
			}
		}
	}
}

// lets is a second opinion on what a group does with one connection, for the
// few forms of rules that the random scenes have.
func (g groupNow) lets(from, to string, port string) bool {
	in := func(a string, words []string) bool {
		return slices.ContainsFunc(words, func(w string) bool {
			if !strings.Contains(w, "/") {
				w += "/32"
			}
			p, err := netip.ParsePrefix(w)
			switch w {
			case "*/32":
				return true
			case "VirtualNetwork/32":
				return strings.HasPrefix(a, "10.") || a == "168.63.129.16"
			case "AzureLoadBalancer/32":
				return a == "168.63.129.16"
			}
			return err == nil && p.Contains(addr(a))
		})
	}
	best, allowed := 1<<20, strings.HasPrefix(from, "10.") || from == "168.63.129.16"
	for _, r := range g.Properties.SecurityRules {
		p := r.Properties
		ports := append(p.DestinationPortRanges, p.DestinationPortRange)
		onPort := slices.Contains(ports, port) || slices.Contains(ports, "*") || slices.Contains(ports, "8000-9000") && port[0] == '8'
		if p.Direction == "Inbound" && p.Protocol != "Udp" && onPort && p.Priority < best &&
			in(from, append(p.SourceAddressPrefixes, p.SourceAddressPrefix)) && in(to, append(p.DestinationAddressPrefixes, p.DestinationAddressPrefix)) {
			best, allowed = p.Priority, p.Access == "Allow"
		}
	}
	return allowed
}

// Whatever other rules exist: after a plan the pair's traffic gets through its
// group, no two rules have one number, and no Deny was written.
func TestThePairsTrafficGetsThroughWhateverOtherRulesExist(t *testing.T) {
	for seed := range uint64(80) {
		r := rand.New(rand.NewPCG(6, seed))
		s := newScene()
		denies := 0
		for i := range r.IntN(8) {
			access := []string{"Deny", "Allow"}[r.IntN(2)]
			if access == "Deny" {
				denies++
			}
			s.secure(idGroup, "r"+string(rune('a'+i)), access, 200+r.IntN(20)*10+i,
				[]string{"*", "VirtualNetwork", "10.0.0.0/29", "10.0.8.0/27", "AzureLoadBalancer", "10.0.0.5"}[r.IntN(6)], []string{"*", "6973", "8000-9000", "22"}[r.IntN(4)])
		}
		if r.IntN(2) == 0 {
			ownRule(s, "sync", 4000)
		}
		w := s.world(t)
		d := define(t)
		carryOut(t, planned(t, d, w, tandem), w)
		var g groupNow
		if err := json.Unmarshal(w[pair.NewResourceID(idGroup)], &g); err != nil {
			t.Fatal(err)
		}
		numbers := map[int]string{}
		for _, rule := range g.Properties.SecurityRules {
			if rule.Properties.Access == "Deny" {
				denies--
			}
			if other, taken := numbers[rule.Properties.Priority]; taken {
				t.Errorf("seed %d: %s and %s have one number", seed, rule.Name, other)
			}
			numbers[rule.Properties.Priority] = rule.Name
		}
		if denies != 0 {
			t.Errorf("seed %d: %d Deny rules were written or lost", seed, -denies)
		}
		for _, way := range [][3]string{
			{"10.0.0.5", "10.0.0.4", "6973"},
			{"10.0.0.4", "10.0.0.5", "6973"},
			{"10.0.0.4", "10.0.0.5", "8444"},
			{"168.63.129.16", "10.0.0.4", "8444"},
			{"10.0.8.9", "10.0.0.5", "8444"},
			{"10.0.8.40", "10.0.0.5", "8443"},
			{"10.0.9.7", "10.0.0.4", "22"},
		} {
			if !g.lets(way[0], way[1], way[2]) {
				t.Errorf("seed %d: from %s to %s:%s is not let in by %s", seed, way[0], way[1], way[2], w[pair.NewResourceID(idGroup)])
			}
		}
	}
}
