package manifest

import (
	"net/netip"
	"strconv"
	"strings"
	"time"

	"tandem/internal/pair"
)

// minInterval is the shortest time between two probes (azure.md 1.4).
const minInterval = 5 * time.Second

// mostRules is how many load-balancing rules an interface can have (azure.md 1.7).
const mostRules = 300

// mostPools is how many pools a pair can have in all: a release of all of them,
// with what it closes and tells, must fit into one table transaction of 100.
const mostPools = 20

// frontends remembers the frontends of all load balancers of a pair: an
// address or a public IP can be at one place only.
type frontends map[string]string

func (c *checker) balancers(d pair.Definition) {
	names, taken, rules, pools := make(unique), make(frontends), 0, 0
	for i, lb := range d.LoadBalancers {
		at := index("loadBalancers", i)
		c.once(names, at+".name", lb.Name, "load balancer")
		c.name(at+".name", lb.Name, resourceName, expectedName)
		c.pools(at, lb.Pools)
		c.frontends(at, lb, d.Units, taken)
		c.probe(at+".probe", lb.Probe)
		c.rules(at, lb, d)
		c.management(at, lb)
		rules += len(lb.Rules)
		pools += len(lb.Pools)
	}
	if pools > mostPools {
		c.refuse("loadBalancers", d.LoadBalancers, strconv.Itoa(mostPools)+" pools at most in all, so that what is done about them can be stored at once")
	}
	if rules > mostRules {
		c.refuse("loadBalancers", d.LoadBalancers, strconv.Itoa(mostRules)+" rules at most, because an interface cannot have more")
	}
}

func (c *checker) pools(at string, pools []string) {
	seen := make(unique)
	for i, pool := range pools {
		field := index(at+".pools", i)
		c.name(field, pool, resourceName, expectedName)
		if pool == "" {
			c.refuse(field, pool, expectedName)
		}
		if first, twice := seen[strings.ToLower(pool)]; twice {
			c.refuse(field, pool, "another name, because "+first+" is this one")
			continue
		}
		seen[strings.ToLower(pool)] = field
	}
}

func (c *checker) frontends(at string, lb pair.LoadBalancer, units pair.Units, taken frontends) {
	names := make(unique)
	for i, f := range lb.Frontends {
		field := index(at+".frontends", i)
		c.once(names, field+".name", f.Name, "frontend")
		c.name(field+".name", f.Name, resourceName, expectedName)
		if f.Address.IsValid() == (f.PublicIP != "") {
			c.refuse(field, f, "either address or publicIP")
			continue
		}
		if first := lb.Frontends[0]; public(first) != public(f) {
			c.refuse(field, f, kindOf(first)+" frontends only, because a load balancer is wholly internal or wholly public")
		}
		if public(f) {
			c.name(field+".publicIP", f.PublicIP, resourceName, expectedName)
			c.free(taken, field+".publicIP", f.PublicIP)
			continue
		}
		c.frontendAddress(field+".address", f.Address, units)
		c.free(taken, field+".address", f.Address.String())
	}
}

func (c *checker) frontendAddress(field string, a netip.Addr, units pair.Units) {
	c.address(field, a)
	for _, r := range pair.Roles {
		unit := units.Of(r).Address
		switch {
		case !unit.IsValid():
		case unit == a:
			c.refuse(field, a, "an address of the load balancer's own, because the "+r.String()+" unit has this one")
		case unit.Is4() != a.Is4() && r == pair.First:
			c.refuse(field, a, "an address of the same family as the units'")
		}
	}
}

func (c *checker) free(taken frontends, field, what string) {
	folded := strings.ToLower(what)
	if first, ok := taken[folded]; ok {
		c.refuse(field, what, "another one, because "+first+" has this one")
		return
	}
	taken[folded] = parent(field)
}

func public(f pair.Frontend) bool { return f.PublicIP != "" }

func kindOf(f pair.Frontend) string {
	if public(f) {
		return "public"
	}
	return "internal"
}

func (c *checker) probe(at string, p pair.BalanceProbe) {
	c.path(at+".path", p.Path)
	interval := time.Duration(p.Interval)
	switch {
	case interval <= 0:
	case interval < minInterval:
		c.refuse(at+".interval", p.Interval, "5s or more, because Azure probes no faster")
	case interval%time.Second != 0:
		c.refuse(at+".interval", p.Interval, "whole seconds, because Azure counts in them")
	}
}

// published is a rule's place on a load balancer.
type published struct {
	frontend string
	port     int
}

func (c *checker) rules(at string, lb pair.LoadBalancer, d pair.Definition) {
	if len(lb.Rules) == 0 && !lb.CentralPairAwareness {
		c.refuse(at+".rules", lb.Rules, "one rule or more, because Azure's probe only runs when a rule uses it")
	}
	names, ports, backends := make(unique), make(map[published]string), c.reserved(at, lb, d)
	for i, rule := range lb.Rules {
		field := index(at+".rules", i)
		c.once(names, field+".name", rule.Name, "rule")
		c.name(field+".name", rule.Name, resourceName, expectedName)
		c.frontendOf(field, rule, lb)
		c.frontendPort(field, rule, ports)
		c.backendPort(field, rule, backends)
		c.networks(field+".from", rule.From)
		if len(rule.From) > 0 && d.SecurityGroup.Name == "" {
			c.refuse(field+".from", rule.From, "securityGroup.name with it, because the networks are let in by that group")
		}
	}
}

func (c *checker) frontendOf(field string, rule pair.Rule, lb pair.LoadBalancer) {
	known := make([]string, len(lb.Frontends))
	for i, f := range lb.Frontends {
		if f.Name == "" || f.Name == rule.Frontend { // a missing name is reported where it is missing
			return
		}
		known[i] = f.Name
	}
	if rule.Frontend != "" && len(known) > 0 {
		c.refuse(field+".frontend", rule.Frontend, "the name of a frontend of this load balancer: "+clip(strings.Join(known, ", ")))
	}
}

func (c *checker) frontendPort(field string, rule pair.Rule, ports map[published]string) {
	at := published{rule.Frontend, rule.Port}
	if rule.Frontend == "" || rule.Port == 0 {
		return
	}
	if first, taken := ports[at]; taken {
		c.refuse(field+".port", rule.Port, "another port, because "+first+" has this one on the same frontend")
		return
	}
	ports[at] = field
}

// backendPort refuses a port of the units that something else on the load
// balancer leads to already: without floating IP Azure could not tell the two
// apart (azure.md 1.6, RulesUseSameBackendPortProtocolAndPool and …AndIPConfig).
func (c *checker) backendPort(field string, rule pair.Rule, backends map[int]string) {
	key, port := ".backendPort", rule.BackendPort
	if port == 0 {
		key, port = ".port", rule.Port
	}
	if port == 0 {
		return
	}
	if first, taken := backends[port]; taken {
		c.refuse(field+key, port, "another port of the units, because "+first+" leads to this one and Azure takes each once")
		return
	}
	backends[port] = field
}

// reserved returns the ports of the units that the load balancer's NAT rules
// and the rule for Kemp 360 Central lead to, and refuses the two for one port.
func (c *checker) reserved(at string, lb pair.LoadBalancer, d pair.Definition) map[int]string {
	out := make(map[int]string)
	if lb.Management.SSH != (pair.PortPair{}) {
		out[portSSH] = at + ".management.ssh"
	}
	wui := lb.Management.WUI != (pair.PortPair{})
	for _, r := range pair.Roles {
		port := d.Units.Of(r).API.Port
		if wui {
			out[port] = at + ".management.wui"
		} else if lb.CentralPairAwareness {
			out[port] = at + ".centralPairAwareness"
		}
	}
	if wui && lb.CentralPairAwareness {
		c.refuse(at+".centralPairAwareness", true,
			"false, or no management.wui, because both lead to the units' web interface and Azure takes each port once")
	}
	return out
}

// management checks the NAT ports. They share the load balancer's frontends
// with its rules, so each port can be used once (azure.md 1.6).
func (c *checker) management(at string, lb pair.LoadBalancer) {
	taken := make(map[int]string)
	for i, rule := range lb.Rules {
		taken[rule.Port] = index(at+".rules", i)
	}
	for _, nat := range []struct {
		field string
		port  int
	}{
		{at + ".management.wui.first", lb.Management.WUI.First},
		{at + ".management.wui.second", lb.Management.WUI.Second},
		{at + ".management.ssh.first", lb.Management.SSH.First},
		{at + ".management.ssh.second", lb.Management.SSH.Second},
	} {
		if nat.port == 0 {
			continue
		}
		if first, used := taken[nat.port]; used {
			c.refuse(nat.field, nat.port, "another port, because "+first+" has this one on the same load balancer")
			continue
		}
		taken[nat.port] = nat.field
	}
}
