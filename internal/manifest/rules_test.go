package manifest_test

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"tandem/internal/manifest"
	"tandem/internal/pair"
)

// sound returns a definition that every rule accepts.
func sound(t *testing.T) pair.Definition {
	t.Helper()
	pairs, problems := read(t, valid)
	if problems != nil {
		t.Fatal(problems)
	}
	return pairs[0]
}

func TestRules(t *testing.T) {
	addr, prefix := netip.MustParseAddr, netip.MustParsePrefix
	for _, tt := range []struct {
		name  string
		edit  func(d *pair.Definition, lb *pair.LoadBalancer)
		field string // of the only problem; empty when there must be none
		want  string // part of it
	}{
		{
			"the two units are two machines", func(d *pair.Definition, _ *pair.LoadBalancer) { d.Units.Second.VM = "LM1" },
			"units.second.vm", "another virtual machine",
		},
		{
			"the two units have two addresses", func(d *pair.Definition, _ *pair.LoadBalancer) { d.Units.Second.Address = d.Units.First.Address },
			"units.second.address", "another address",
		},
		{
			"the units' addresses are of one family", func(d *pair.Definition, _ *pair.LoadBalancer) { d.Units.Second.Address = addr("fd00::5") },
			"units.second.address", "same family",
		},
		{
			"an address names one machine", func(d *pair.Definition, _ *pair.LoadBalancer) { d.Units.First.Address = addr("0.0.0.0") },
			"units.first.address", "one machine",
		},
		{"an address has no zone", func(d *pair.Definition, lb *pair.LoadBalancer) {
			d.Units.First.Address, d.Units.Second.Address = addr("fe80::1%eth0"), addr("fd00::2")
			lb.Frontends[0].Address = addr("fd00::9")
		}, "units.first.address", "without a zone"},
		{"IPv6 throughout is fine", func(d *pair.Definition, lb *pair.LoadBalancer) {
			d.Units.First.Address, d.Units.Second.Address = addr("fd00::4"), addr("fd00::5")
			lb.Frontends[0].Address = addr("fd00::9")
		}, "", ""},
		{
			"a machine's name is no path", func(d *pair.Definition, _ *pair.LoadBalancer) { d.Units.First.VM = "../lm1" },
			"units.first.vm", "a name that Azure takes",
		},
		{
			"a resource group's name is no path", func(d *pair.Definition, _ *pair.LoadBalancer) { d.Azure.ResourceGroup = "rg/x" },
			"azure.resourceGroup", "a resource group",
		},
		{
			"a region has its short name", func(d *pair.Definition, _ *pair.LoadBalancer) { d.Azure.Location = "West Europe" },
			"azure.location", "westeurope",
		},
		{
			"a subscription is a UUID", func(d *pair.Definition, _ *pair.LoadBalancer) { d.Azure.Subscription = "mine" },
			"azure.subscription", "a UUID",
		},
		{"a certificate is trusted in one way at most", func(d *pair.Definition, _ *pair.LoadBalancer) {
			d.Units.First.API.TLS.SHA256, d.Units.First.API.CAFile = strings.Repeat("ab", 32), "/ca.pem"
		}, "units.first.api.caFile", "either tls.sha256 or caFile"},
		{"a pin may have colons", func(d *pair.Definition, _ *pair.LoadBalancer) {
			d.Units.First.API.TLS.SHA256 = strings.TrimSuffix(strings.Repeat("AB:", 32), ":")
		}, "", ""},
		{
			"a pin is a whole SHA-256", func(d *pair.Definition, _ *pair.LoadBalancer) { d.Units.First.API.TLS.SHA256 = "abcd" },
			"units.first.api.tls.sha256", "matches",
		},
		{"the units may share a secret", func(d *pair.Definition, _ *pair.LoadBalancer) { d.Units.Second.API.Secret = "lm1-api" }, "", ""},

		{
			"the check port is not the API's", func(d *pair.Definition, _ *pair.LoadBalancer) { d.HA.CheckPort = 8443 },
			"ha.checkPort", "api.port",
		},
		{
			"the check port is not an API port of the second unit", func(d *pair.Definition, _ *pair.LoadBalancer) { d.Units.Second.API.Port = 8444 },
			"ha.checkPort", "api.port",
		},
		{
			"Azure does not probe some ports", func(d *pair.Definition, _ *pair.LoadBalancer) { d.HA.CheckPort = 110 },
			"ha.checkPort", "19, 21, 25, 70, 110, 119, 143, 220, 993",
		},
		{
			"the check port is not the settings sync's", func(d *pair.Definition, _ *pair.LoadBalancer) { d.HA.CheckPort = 6973 },
			"ha.checkPort", "6973 its settings sync",
		},
		{
			"the check port is in the range of ports", func(d *pair.Definition, _ *pair.LoadBalancer) { d.HA.CheckPort = 65536 },
			"ha.checkPort", "from 1 to 65535",
		},
		{"backups are an hour apart at least", func(d *pair.Definition, _ *pair.LoadBalancer) {
			d.Backup.Every = pair.Duration(time.Minute)
		}, "backup.every", "from 1h to 744h"},
		{"and a month at most", func(d *pair.Definition, _ *pair.LoadBalancer) {
			d.Backup.Every = pair.Duration(745 * time.Hour)
		}, "backup.every", "from 1h to 744h"},
		{"one each day is well", func(d *pair.Definition, _ *pair.LoadBalancer) {
			d.Backup.Every = pair.Duration(24 * time.Hour)
		}, "", ""},
		{"as many are kept as a year has days, at most", func(d *pair.Definition, _ *pair.LoadBalancer) { d.Backup.Keep = 366 }, "backup.keep", "from 1 to 365"},
		{"a managed failback needs a preferred unit", func(d *pair.Definition, _ *pair.LoadBalancer) {
			d.HA.Preferred, d.HA.Failback = pair.PreferNone, pair.FailbackManaged
		}, "ha.failback", "no unit to move back to"},
		{"no preferred unit goes with the default failback", func(d *pair.Definition, _ *pair.LoadBalancer) { d.HA.Preferred = pair.PreferNone }, "", ""},

		{
			"a pair has a load balancer", func(d *pair.Definition, _ *pair.LoadBalancer) { d.LoadBalancers = nil },
			"loadBalancers", "a list of 1 or more",
		},
		{
			"a load balancer has a pool", func(_ *pair.Definition, lb *pair.LoadBalancer) { lb.Pools = nil },
			"loadBalancers[0].pools", "a list of 1 or more",
		},
		{
			"a load balancer has a frontend", func(_ *pair.Definition, lb *pair.LoadBalancer) { lb.Frontends = nil },
			"loadBalancers[0].frontends", "a list of 1 or more",
		},
		{"load balancers have names of their own", func(d *pair.Definition, lb *pair.LoadBalancer) {
			other := *lb
			other.Name, other.Frontends = "ILB", []pair.Frontend{{Name: "vip", Address: addr("10.0.0.101")}}
			d.LoadBalancers = append(d.LoadBalancers, other)
		}, "loadBalancers[1].name", "another name, because the load balancer in loadBalancers[0]"},
		{"a private address is on one load balancer", func(d *pair.Definition, lb *pair.LoadBalancer) {
			other := *lb
			other.Name = "ilb2"
			d.LoadBalancers = append(d.LoadBalancers, other)
		}, "loadBalancers[1].frontends[0].address", "loadBalancers[0].frontends[0] has this one"},
		{"an internal and a public load balancer stand side by side", func(d *pair.Definition, lb *pair.LoadBalancer) {
			other := *lb
			other.Name, other.Frontends = "plb", []pair.Frontend{{Name: "vip", PublicIP: "pip"}}
			d.LoadBalancers = append(d.LoadBalancers, other)
		}, "", ""},
		{
			"a pool is named once", func(_ *pair.Definition, lb *pair.LoadBalancer) { lb.Pools = []string{"pool", "Pool"} },
			"loadBalancers[0].pools[1]", "another name",
		},
		{
			"a pool has a name", func(_ *pair.Definition, lb *pair.LoadBalancer) { lb.Pools = []string{""} },
			"loadBalancers[0].pools[0]", "a name that Azure takes",
		},

		{
			"a frontend has an address", func(_ *pair.Definition, lb *pair.LoadBalancer) { lb.Frontends[0].Address = netip.Addr{} },
			"loadBalancers[0].frontends[0]", "either address or publicIP",
		},
		{
			"a frontend has one address", func(_ *pair.Definition, lb *pair.LoadBalancer) { lb.Frontends[0].PublicIP = "pip" },
			"loadBalancers[0].frontends[0]", "either address or publicIP",
		},
		{"a load balancer is internal or public", func(_ *pair.Definition, lb *pair.LoadBalancer) {
			lb.Frontends = append(lb.Frontends, pair.Frontend{Name: "out", PublicIP: "pip"})
		}, "loadBalancers[0].frontends[1]", "internal frontends only"},
		{
			"a frontend's address is not a unit's", func(d *pair.Definition, lb *pair.LoadBalancer) { lb.Frontends[0].Address = d.Units.Second.Address },
			"loadBalancers[0].frontends[0].address", "the second unit has this one",
		},
		{"an IPv6 frontend stands beside an IPv4 one, with a pool of its own", func(_ *pair.Definition, lb *pair.LoadBalancer) {
			lb.Pools = []string{"pool", "pool-v6"}
			lb.Frontends = append(lb.Frontends, pair.Frontend{Name: "vip6", Address: addr("fd00::1")})
			lb.Rules = append(lb.Rules, pair.Rule{Name: "https6", Frontend: "vip6", Port: 443, Pool: "pool-v6"})
		}, "", ""},
		{"a pool has one address family", func(_ *pair.Definition, lb *pair.LoadBalancer) {
			lb.Frontends = append(lb.Frontends, pair.Frontend{Name: "vip6", Address: addr("fd00::1")})
			lb.Rules = append(lb.Rules, pair.Rule{Name: "https6", Frontend: "vip6", Port: 443})
		}, "loadBalancers[0].rules[1].pool", "rules[0] uses pool for the other address family"},
		{"a public IPv6 address is said to be one", func(_ *pair.Definition, lb *pair.LoadBalancer) {
			lb.Pools = []string{"pool", "pool-v6"}
			lb.Frontends = []pair.Frontend{{Name: "vip", PublicIP: "pip"}, {Name: "vip6", PublicIP: "pip6", IPv6: true}}
			lb.Rules = append(lb.Rules, pair.Rule{Name: "https6", Frontend: "vip6", Port: 443, Pool: "pool-v6", FloatingIP: true})
		}, "", ""},
		{
			"an address shows its family itself", func(_ *pair.Definition, lb *pair.LoadBalancer) { lb.Frontends[0].IPv6 = true },
			"loadBalancers[0].frontends[0].ipv6", "publicIP with it",
		},
		{"an internal frontend has no floating IP for IPv6", func(_ *pair.Definition, lb *pair.LoadBalancer) {
			lb.Frontends[0].Address, lb.Rules[0].FloatingIP = addr("fd00::1"), true
		}, "loadBalancers[0].rules[0].floatingIP", "no floating IP for IPv6"},
		{"a public address is in no subnet", func(_ *pair.Definition, lb *pair.LoadBalancer) {
			lb.Frontends[0] = pair.Frontend{Name: "vip", PublicIP: "pip", Subnet: "default"}
		}, "loadBalancers[0].frontends[0].subnet", "no subnet beside publicIP"},
		{
			"a subnet's name is no path", func(_ *pair.Definition, lb *pair.LoadBalancer) { lb.Frontends[0].Subnet = "a/b" },
			"loadBalancers[0].frontends[0].subnet", "a name that Azure takes",
		},
		{"frontends have names of their own", func(_ *pair.Definition, lb *pair.LoadBalancer) {
			lb.Frontends = append(lb.Frontends, pair.Frontend{Name: "vip", Address: addr("10.0.0.101")})
		}, "loadBalancers[0].frontends[1].name", "another name"},
		{"a public IP is on one frontend", func(_ *pair.Definition, lb *pair.LoadBalancer) {
			lb.Frontends = []pair.Frontend{{Name: "vip", PublicIP: "pip"}, {Name: "b", PublicIP: "PIP"}}
		}, "loadBalancers[0].frontends[1].publicIP", "another one"},

		{
			"Azure does not probe faster than every five seconds", func(_ *pair.Definition, lb *pair.LoadBalancer) { lb.Probe.Interval = pair.Duration(4 * time.Second) },
			"loadBalancers[0].probe.interval", "5s or more",
		},
		{"Azure probes in whole seconds", func(_ *pair.Definition, lb *pair.LoadBalancer) {
			lb.Probe.Interval = pair.Duration(5500 * time.Millisecond)
		}, "loadBalancers[0].probe.interval", "whole seconds"},
		{
			"a threshold counts at least one answer", func(_ *pair.Definition, lb *pair.LoadBalancer) { lb.Probe.Threshold = -1 },
			"loadBalancers[0].probe.threshold", "1 or more",
		},
		{
			"a probe's path starts at the root", func(_ *pair.Definition, lb *pair.LoadBalancer) { lb.Probe.Path = "health" },
			"loadBalancers[0].probe.path", "starts with /",
		},

		{
			"a probe runs only when a rule uses it", func(_ *pair.Definition, lb *pair.LoadBalancer) { lb.Rules = nil },
			"loadBalancers[0].rules", "only runs when a rule uses it",
		},
		{"the rule for Kemp 360 Central is a rule", func(_ *pair.Definition, lb *pair.LoadBalancer) {
			lb.Rules, lb.CentralPairAwareness = nil, true
		}, "", ""},
		{"rules have names of their own", func(_ *pair.Definition, lb *pair.LoadBalancer) {
			lb.Rules = append(lb.Rules, pair.Rule{Name: "HTTPS", Frontend: "vip", Port: 80})
		}, "loadBalancers[0].rules[1].name", "another name"},
		{
			"a rule names a frontend of its load balancer", func(_ *pair.Definition, lb *pair.LoadBalancer) { lb.Rules[0].Frontend = "vpi" },
			"loadBalancers[0].rules[0].frontend", "a frontend of this load balancer: vip",
		},
		{"a frontend's port has one rule", func(_ *pair.Definition, lb *pair.LoadBalancer) {
			lb.Rules = append(lb.Rules, pair.Rule{Name: "b", Frontend: "vip", Port: 443, BackendPort: 8080})
		}, "loadBalancers[0].rules[1].port", "rules[0] has this one on the same frontend"},
		{"a port of the units has one rule, whatever the frontend", func(_ *pair.Definition, lb *pair.LoadBalancer) {
			lb.Frontends = append(lb.Frontends, pair.Frontend{Name: "vip2", Address: addr("10.0.0.101")})
			lb.Rules = append(lb.Rules, pair.Rule{Name: "b", Frontend: "vip2", Port: 443})
		}, "loadBalancers[0].rules[1].port", "rules[0] leads to this one"},
		{"floating IP lets two frontends lead to one port", func(_ *pair.Definition, lb *pair.LoadBalancer) {
			lb.Frontends = append(lb.Frontends, pair.Frontend{Name: "vip2", Address: addr("10.0.0.101")})
			lb.Rules[0].FloatingIP = true
			lb.Rules = append(lb.Rules, pair.Rule{Name: "b", Frontend: "vip2", Port: 443, FloatingIP: true})
		}, "", ""},
		{"floating IP does not let one frontend lead twice to one port", func(_ *pair.Definition, lb *pair.LoadBalancer) {
			lb.Rules[0].FloatingIP = true
			lb.Rules = append(lb.Rules, pair.Rule{Name: "b", Frontend: "vip", Port: 444, BackendPort: 443, FloatingIP: true})
		}, "loadBalancers[0].rules[1].backendPort", "rules[0] leads to this one with the same address"},
		{
			"a rule names a pool of its load balancer", func(_ *pair.Definition, lb *pair.LoadBalancer) { lb.Rules[0].Pool = "pol" },
			"loadBalancers[0].rules[0].pool", "a pool of this load balancer: pool",
		},
		{"Azure does not forget a connection before four minutes", func(_ *pair.Definition, lb *pair.LoadBalancer) {
			lb.Rules[0].IdleTimeout = pair.Duration(3 * time.Minute)
		}, "loadBalancers[0].rules[0].idleTimeout", "4m to 100m"},
		{"Azure forgets a connection after a hundred minutes", func(_ *pair.Definition, lb *pair.LoadBalancer) {
			lb.Rules[0].IdleTimeout = pair.Duration(101 * time.Minute)
		}, "loadBalancers[0].rules[0].idleTimeout", "4m to 100m"},
		{"Azure counts idle time in minutes", func(_ *pair.Definition, lb *pair.LoadBalancer) {
			lb.Rules[0].IdleTimeout = pair.Duration(4*time.Minute + 30*time.Second)
		}, "loadBalancers[0].rules[0].idleTimeout", "whole minutes"},
		{"two frontends may lead to two ports", func(_ *pair.Definition, lb *pair.LoadBalancer) {
			lb.Frontends = append(lb.Frontends, pair.Frontend{Name: "vip2", Address: addr("10.0.0.101")})
			lb.Rules = append(lb.Rules, pair.Rule{Name: "b", Frontend: "vip2", Port: 443, BackendPort: 4443})
		}, "", ""},
		{"an unknown backend port clash names the key that has it", func(_ *pair.Definition, lb *pair.LoadBalancer) {
			lb.Rules = append(lb.Rules, pair.Rule{Name: "b", Frontend: "vip", Port: 8080, BackendPort: 443})
		}, "loadBalancers[0].rules[1].backendPort", "rules[0] leads to this one"},
		{
			"port 65535 is not a frontend port", func(_ *pair.Definition, lb *pair.LoadBalancer) { lb.Rules[0].Port = 65535 },
			"loadBalancers[0].rules[0].port", "from 1 to 65534",
		},
		{"who is let in is said by a security group", func(_ *pair.Definition, lb *pair.LoadBalancer) {
			lb.Rules[0].From = []netip.Prefix{prefix("0.0.0.0/0")}
		}, "loadBalancers[0].rules[0].from", "securityGroup.name with it"},
		{"a network is written by its first address", func(d *pair.Definition, lb *pair.LoadBalancer) {
			d.SecurityGroup.Name = "nsg"
			lb.Rules[0].From = []netip.Prefix{prefix("10.0.0.7/24")}
		}, "loadBalancers[0].rules[0].from[0]", "10.0.0.0/24"},
		{"a pair has 20 pools at most", func(_ *pair.Definition, lb *pair.LoadBalancer) {
			lb.Pools = nil
			for i := range 21 {
				lb.Pools = append(lb.Pools, fmt.Sprintf("p%d", i))
			}
		}, "loadBalancers", "20 pools at most"},
		{"an interface has 300 rules at most", func(_ *pair.Definition, lb *pair.LoadBalancer) {
			lb.Rules = nil
			for i := range 301 {
				lb.Rules = append(lb.Rules, pair.Rule{Name: fmt.Sprintf("r%d", i), Frontend: "vip", Port: 1000 + i})
			}
		}, "loadBalancers", "300 rules at most"},

		{
			"a NAT port is no rule's port", func(_ *pair.Definition, lb *pair.LoadBalancer) {
				lb.Management.WUI = pair.PortPair{First: 443, Second: 8442}
			},
			"loadBalancers[0].management.wui.first", "rules[0] has this one",
		},
		{"NAT ports differ", func(_ *pair.Definition, lb *pair.LoadBalancer) {
			lb.Management = pair.Management{WUI: pair.PortPair{First: 8441, Second: 8442}, SSH: pair.PortPair{First: 221, Second: 8441}}
		}, "loadBalancers[0].management.ssh.second", "management.wui.first has this one"},
		{"a NAT port for one unit only is fine", func(_ *pair.Definition, lb *pair.LoadBalancer) { lb.Management.SSH.First = 221 }, "", ""},
		{"a rule cannot lead to the web interface beside its NAT rules", func(_ *pair.Definition, lb *pair.LoadBalancer) {
			lb.Management.WUI = pair.PortPair{First: 8441, Second: 8442}
			lb.Rules = append(lb.Rules, pair.Rule{Name: "wui", Frontend: "vip", Port: 8443})
		}, "loadBalancers[0].rules[1].port", "management.wui leads to this one"},
		{"a rule cannot lead to SSH beside its NAT rules", func(_ *pair.Definition, lb *pair.LoadBalancer) {
			lb.Management.SSH.First = 221
			lb.Rules = append(lb.Rules, pair.Rule{Name: "ssh", Frontend: "vip", Port: 2222, BackendPort: 22})
		}, "loadBalancers[0].rules[1].backendPort", "management.ssh leads to this one"},
		{"Kemp 360 Central takes the web interface from NAT rules, which is not a mistake", func(_ *pair.Definition, lb *pair.LoadBalancer) {
			lb.Management.WUI, lb.CentralPairAwareness = pair.PortPair{First: 8441, Second: 8442}, true
		}, "", ""},
		{"Kemp 360 Central reaches both units on one port", func(d *pair.Definition, lb *pair.LoadBalancer) {
			d.Units.Second.API.Port, lb.CentralPairAwareness = 9443, true
		}, "loadBalancers[0].centralPairAwareness", "the same api.port on both units"},
		{"a written rule cannot take Kemp 360 Central's frontend port", func(_ *pair.Definition, lb *pair.LoadBalancer) {
			lb.CentralPairAwareness = true
			lb.Rules = append(lb.Rules, pair.Rule{Name: "wui", Frontend: "vip", Port: 8443, BackendPort: 9443})
		}, "loadBalancers[0].rules[1].port", "centralPairAwareness has this one on the same frontend"},
		{"a NAT port is not Kemp 360 Central's", func(_ *pair.Definition, lb *pair.LoadBalancer) {
			lb.CentralPairAwareness, lb.Management.SSH.First = true, 8443
		}, "loadBalancers[0].management.ssh.first", "centralPairAwareness has this one"},
		{"a written rule cannot take Kemp 360 Central's port", func(_ *pair.Definition, lb *pair.LoadBalancer) {
			lb.CentralPairAwareness = true
			lb.Rules = append(lb.Rules, pair.Rule{Name: "wui", Frontend: "vip", Port: 9443, BackendPort: 8443})
		}, "loadBalancers[0].rules[1].backendPort", "centralPairAwareness leads to this one"},

		{"networks for management need their group", func(d *pair.Definition, _ *pair.LoadBalancer) {
			d.SecurityGroup.ManagementFrom = []netip.Prefix{prefix("10.0.0.0/24")}
		}, "securityGroup.managementFrom", "securityGroup.name with it"},

		{
			"the guide's rules for NAT ports need their group", func(d *pair.Definition, _ *pair.LoadBalancer) { d.SecurityGroup.GuidePorts = true },
			"securityGroup.guidePorts", "securityGroup.name with it",
		},

		{"checks have names of their own", func(d *pair.Definition, _ *pair.LoadBalancer) {
			d.Checks = []pair.Check{{Name: "a", Port: 443}, {Name: "a", Port: 80}}
		}, "checks[1].name", "another name, because the check in checks[0]"},
		{"a check's path starts at the root", func(d *pair.Definition, _ *pair.LoadBalancer) {
			d.Checks = []pair.Check{{Name: "a", Port: 443, Path: "a b"}}
		}, "checks[0].path", "starts with /"},
		{"a check proves nothing on the check port", func(d *pair.Definition, _ *pair.LoadBalancer) {
			d.Checks = []pair.Check{{Name: "a", Port: 8444}}
		}, "checks[0].port", "503"},
		{"a check proves nothing on the API port", func(d *pair.Definition, _ *pair.LoadBalancer) {
			d.Checks = []pair.Check{{Name: "a", Port: 8443}}
		}, "checks[0].port", "without forwarding"},
		{"an expected status is one of HTTP's", func(d *pair.Definition, _ *pair.LoadBalancer) {
			d.Checks = []pair.Check{{Name: "a", Port: 443, Expect: 99}}
		}, "checks[0].expect", "from 100 to 599"},

		{"nothing is confirmed before it is suspected", func(d *pair.Definition, _ *pair.LoadBalancer) {
			d.Failover.SuspectAfter, d.Failover.ConfirmAfter = 4, 3
		}, "failover.confirmAfter", "failover.suspectAfter, 4"},
		{"confirming with the first suspicion is allowed", func(d *pair.Definition, _ *pair.LoadBalancer) {
			d.Failover.SuspectAfter, d.Failover.ConfirmAfter = 2, 2
		}, "", ""},
		{
			"a hold-down is positive", func(d *pair.Definition, _ *pair.LoadBalancer) { d.Failover.HoldDown = -1 },
			"failover.holdDown", "positive duration",
		},
		{"auto with an automatic fence is allowed", func(d *pair.Definition, _ *pair.LoadBalancer) {
			d.Mode, d.Failover.Fence = pair.Auto, pair.Allowed
		}, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := sound(t)
			tt.edit(&d, &d.LoadBalancers[0])
			err := manifest.Validate(d)
			problems, _ := errors.AsType[manifest.Problems](err)
			if tt.field == "" {
				if err != nil {
					t.Fatalf("Validate = %v, want none", err)
				}
				return
			}
			if len(problems) != 1 || problems[0].Field != tt.field || !strings.Contains(problems[0].Expected, tt.want) {
				t.Errorf("Validate = %v\nwant only field %q with %q", err, tt.field, tt.want)
			}
		})
	}
}

func TestValidateReportsWhatIsMissing(t *testing.T) {
	err := manifest.Validate(pair.Definition{})
	problems, _ := errors.AsType[manifest.Problems](err)
	var got []string
	for _, p := range problems {
		if p.File != "" || p.Line != 0 {
			t.Errorf("%v has a place, want none", p)
		}
		got = append(got, p.Field+" "+p.Value)
	}
	want := "name missing|azure missing|units missing|loadBalancers missing"
	if strings.Join(got, "|") != want {
		t.Errorf("Validate = %v\nwant %s", err, want)
	}
}
