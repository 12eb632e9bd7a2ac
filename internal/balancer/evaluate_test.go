package balancer

import (
	"math/rand/v2"
	"net/netip"
	"testing"
)

// secRule is a rule of a group in short.
func secRule(name string, priority int, access, from, to, port string) ruleOfGroup {
	r := ruleOfGroup{Name: name}
	p := &r.Properties
	p.Priority, p.Access, p.Direction, p.Protocol = priority, access, "Inbound", "Tcp"
	p.Source, p.SourcePort, p.Destination, p.Port = from, "*", to, port
	return r
}

func TestEvaluate(t *testing.T) {
	unit := netip.MustParseAddr("10.0.0.4")
	change := func(r ruleOfGroup, edit func(*ruleOfGroup)) ruleOfGroup {
		edit(&r)
		return r
	}
	for _, tt := range []struct {
		name   string
		rules  []ruleOfGroup
		from   string
		except bool
		want   string // the rule that lets it in, or with a "-" the one that does not
	}{
		{"a network of the machines gets in by the default rules", nil, "10.0.8.0/26", false, "AllowVnetInBound"},
		{"the probe gets in by the default rules", nil, "168.63.129.16/32", false, "AllowVnetInBound"},
		{"the internet does not", nil, "203.0.113.0/24", false, "-DenyAllInBound"},
		{"a network of the machines' own with public addresses is no internet", nil, "52.1.0.0/28", false, "AllowVnetInBound"},
		{"the lower number decides, whatever the order", []ruleOfGroup{
			secRule("late", 200, "Deny", "*", "*", "443"), secRule("early", 100, "Allow", "*", "*", "443"),
		}, "203.0.113.0/24", false, "early"},
		{"a rule for another port does not matter", []ruleOfGroup{secRule("a", 100, "Deny", "*", "*", "442")}, "10.0.8.0/26", false, "AllowVnetInBound"},
		{"a range of ports has its ends in it", []ruleOfGroup{secRule("a", 100, "Deny", "*", "*", "400-443")}, "10.0.8.0/26", false, "-a"},
		{"several ports are all looked at", []ruleOfGroup{change(secRule("a", 100, "Deny", "*", "*", ""), func(r *ruleOfGroup) {
			r.Properties.Ports = []string{"80", "443"}
		})}, "10.0.8.0/26", false, "-a"},
		{"a rule for another protocol does not matter", []ruleOfGroup{change(secRule("a", 100, "Deny", "*", "*", "*"), func(r *ruleOfGroup) {
			r.Properties.Protocol = "Udp"
		})}, "10.0.8.0/26", false, "AllowVnetInBound"},
		{"a rule for what leaves does not matter", []ruleOfGroup{change(secRule("a", 100, "Deny", "*", "*", "*"), func(r *ruleOfGroup) {
			r.Properties.Direction = "Outbound"
		})}, "10.0.8.0/26", false, "AllowVnetInBound"},
		{"a rule for another machine does not matter", []ruleOfGroup{secRule("a", 100, "Deny", "*", "10.0.0.9", "*")}, "10.0.8.0/26", false, "AllowVnetInBound"},
		{"a rule for the machine's network matters", []ruleOfGroup{secRule("a", 100, "Deny", "*", "10.0.0.0/29", "*")}, "10.0.8.0/26", false, "-a"},
		{"VirtualNetwork is what is private", []ruleOfGroup{secRule("a", 100, "Deny", "virtualnetwork", "*", "*")}, "10.0.8.0/26", false, "-a"},
		{"Internet is everything else", []ruleOfGroup{secRule("a", 100, "Allow", "Internet", "*", "*")}, "203.0.113.0/24", false, "a"},
		{"Internet is not the machines' network", []ruleOfGroup{secRule("a", 100, "Deny", "Internet", "*", "*")}, "52.1.0.0/28", false, "AllowVnetInBound"},
		{"AzureLoadBalancer is the probe", []ruleOfGroup{secRule("a", 100, "Deny", "AzureLoadBalancer", "*", "*")}, "168.63.129.16/32", false, "-a"},
		{"AzureLoadBalancer is nobody else", []ruleOfGroup{secRule("a", 100, "Deny", "AzureLoadBalancer", "*", "*")}, "10.0.8.0/26", false, "AllowVnetInBound"},
		{"a tag that nobody can resolve allows nothing", []ruleOfGroup{secRule("a", 100, "Allow", "AzureCloud", "*", "*")}, "203.0.113.0/24", false, "-DenyAllInBound"},
		{"a tag that nobody can resolve may deny public addresses", []ruleOfGroup{
			secRule("a", 100, "Deny", "AzureCloud", "*", "*"), secRule("b", 200, "Allow", "*", "*", "*"),
		}, "203.0.113.0/24", false, "-a"},
		{"a tag that nobody can resolve denies no private ones", []ruleOfGroup{secRule("a", 100, "Deny", "AzureCloud", "*", "*")}, "10.0.8.0/26", false, "AllowVnetInBound"},
		{"two rules together let a whole network in", []ruleOfGroup{
			secRule("a", 100, "Allow", "203.0.113.0/25", "*", "*"), secRule("b", 110, "Allow", "203.0.113.128/25", "*", "*"), secRule("c", 120, "Deny", "*", "*", "*"),
		}, "203.0.113.0/24", false, "b"},
		{"a part that is denied is denied", []ruleOfGroup{
			secRule("a", 100, "Deny", "203.0.113.7", "*", "*"), secRule("b", 110, "Allow", "*", "*", "*"),
		}, "203.0.113.0/24", false, "-a"},
		{"a part that was let in before is not denied", []ruleOfGroup{
			secRule("a", 100, "Allow", "203.0.113.0/28", "*", "*"), secRule("b", 110, "Deny", "203.0.113.7", "*", "*"), secRule("c", 120, "Allow", "*", "*", "*"),
		}, "203.0.113.0/24", false, "c"},
		{"an exception to a wide source stands", []ruleOfGroup{
			secRule("a", 100, "Deny", "203.0.113.7", "*", "*"), secRule("b", 110, "Allow", "*", "*", "*"),
		}, "203.0.113.0/24", true, "b"},
		{"a Deny of all of a wide source is no exception", []ruleOfGroup{secRule("a", 100, "Deny", "203.0.112.0/20", "*", "*")}, "203.0.113.0/24", true, "-a"},
		{"exceptions that leave nothing are none", []ruleOfGroup{
			secRule("a", 100, "Deny", "203.0.113.0/25", "*", "*"), secRule("b", 110, "Deny", "203.0.113.128/25", "*", "*"), secRule("c", 120, "Allow", "*", "*", "*"),
		}, "203.0.113.0/24", true, "-b"},
		{"a Deny of the internet is no exception to everybody", []ruleOfGroup{
			secRule("a", 100, "Deny", "Internet", "*", "*"), secRule("b", 110, "Allow", "*", "*", "*"),
		}, "0.0.0.0/0", true, "-a"},
		{"a Deny of the network itself is one", []ruleOfGroup{
			secRule("a", 100, "Deny", "VirtualNetwork", "*", "*"), secRule("b", 110, "Allow", "*", "*", "*"),
		}, "0.0.0.0/0", true, "b"},
		{"so is a Deny of a tag that nobody can resolve", []ruleOfGroup{
			secRule("a", 100, "Deny", "AzureCloud", "*", "*"), secRule("b", 110, "Allow", "*", "*", "*"),
		}, "203.0.113.0/24", true, "b"},
		{"what such a tag denies is let in by nobody", []ruleOfGroup{secRule("a", 100, "Deny", "AzureCloud", "*", "*")}, "0.0.0.0/0", true, "-DenyAllInBound"},
		{"an Allow for some source ports lets nobody in for certain", []ruleOfGroup{change(secRule("a", 100, "Allow", "*", "*", "*"), func(r *ruleOfGroup) {
			r.Properties.SourcePort = "1024-65535"
		})}, "203.0.113.0/24", false, "-DenyAllInBound"},
		{"a Deny for some source ports may deny", []ruleOfGroup{change(secRule("a", 100, "Deny", "*", "*", "*"), func(r *ruleOfGroup) {
			r.Properties.SourcePort = "1024-65535"
		})}, "10.0.8.0/26", false, "-a"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := newTags(prefixes("10.0.0.0/24", "52.1.0.0/16")).newGroup("/g", append(tt.rules, defaultRules()...))
			v := g.evaluate(traffic{from: netip.MustParsePrefix(tt.from), to: unit, port: 443, protocol: "Tcp", except: tt.except})
			got := v.rule.name
			if !v.allowed {
				got = "-" + got
			}
			if got != tt.want {
				t.Errorf("decided by %s, want %s", got, tt.want)
			}
		})
	}
}

// A set of networks says the same of each address as its networks do one by one.
func TestSetsOfNetworks(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	small := func() netip.Prefix {
		return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(r.IntN(256))}), 24+r.IntN(9)).Masked()
	}
	in := func(a netip.Addr, set []netip.Prefix) bool {
		for _, p := range set {
			if p.Contains(a) {
				return true
			}
		}
		return false
	}
	for range 2000 {
		p, set := small(), []netip.Prefix{small(), small(), small()}
		rest, all := without([]netip.Prefix{p}, set), true
		for i := range 256 {
			a := netip.AddrFrom4([4]byte{10, 0, 0, byte(i)})
			if got, want := in(a, rest), p.Contains(a) && !in(a, set); got != want {
				t.Fatalf("%v in %v without %v: %v, want %v", a, p, set, got, want)
			}
			all = all && (!p.Contains(a) || in(a, set))
		}
		if got := covered(p, set); got != all {
			t.Fatalf("%v covered by %v: %v, want %v", p, set, got, all)
		}
	}
	if got := without(prefixes("fd00::/126"), prefixes("fd00::2/128")); len(got) != 2 || got[0].String() != "fd00::/127" || got[1].String() != "fd00::3/128" {
		t.Errorf("IPv6 networks are cut to %v", got)
	}
}
