package manifest

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"tandem/internal/pair"
)

// minInterval is the shortest time between two probes (azure.md 1.4).
const minInterval = 5 * time.Second

// The limits of a rule's idle timeout (azure.md 1.6).
const (
	minIdle = 4 * time.Minute
	maxIdle = 100 * time.Minute
)

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
		c.management(at, lb, d)
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
			if f.Subnet != "" {
				c.refuse(field+".subnet", f.Subnet, "no subnet beside publicIP, because a public address is in none")
			}
			continue
		}
		c.name(field+".subnet", f.Subnet, resourceName, expectedName)
		if f.IPv6 {
			c.refuse(field+".ipv6", f.IPv6, "publicIP with it, because an address shows its family itself")
		}
		c.frontendAddress(field+".address", f.Address, units)
		c.free(taken, field+".address", f.Address.String())
	}
}

func (c *checker) frontendAddress(field string, a netip.Addr, units pair.Units) {
	c.address(field, a)
	for _, r := range pair.Roles {
		if a.IsValid() && units.Of(r).Address == a {
			c.refuse(field, a, "an address of the load balancer's own, because the "+r.String()+" unit has this one")
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

// socket is a port at a place that only one thing can lead to or listen at: a
// frontend's own, or the units' in one address family, where the frontend is
// empty. Azure tells rules apart by it (azure.md 1.6).
type socket struct {
	frontend string
	ipv6     bool
	port     int
}

// sockets says what has which socket.
type sockets map[socket]string

func (c *checker) rules(at string, lb pair.LoadBalancer, d pair.Definition) {
	if len(lb.Rules) == 0 && !lb.CentralPairAwareness {
		c.refuse(at+".rules", lb.Rules, "one rule or more, because Azure's probe only runs when a rule uses it")
	}
	names, pools := make(unique), make(map[string]poolUse)
	ports, backends := c.reserved(at, lb, d)
	for i, rule := range lb.Rules {
		field := index(at+".rules", i)
		c.once(names, field+".name", rule.Name, "rule")
		c.name(field+".name", rule.Name, resourceName, expectedName)
		c.frontendOf(field, rule, lb)
		c.frontendPort(field, rule, ports)
		c.backendPort(field, rule, lb, backends)
		c.poolOf(field, rule, lb, pools)
		c.idleTimeout(field+".idleTimeout", rule.IdleTimeout)
		c.networks(field+".from", rule.From)
		if f, ok := frontendNamed(lb, rule.Frontend); ok && rule.FloatingIP && f.Address.Is6() {
			c.refuse(field+".floatingIP", rule.FloatingIP, "false, because an internal load balancer has no floating IP for IPv6")
		}
		if len(rule.From) > 0 && d.SecurityGroup.Name == "" {
			c.refuse(field+".from", rule.From, "securityGroup.name with it, because the networks are let in by that group")
		}
	}
}

func frontendNamed(lb pair.LoadBalancer, name string) (pair.Frontend, bool) {
	for _, f := range lb.Frontends {
		if strings.EqualFold(f.Name, name) {
			return f, true
		}
	}
	return pair.Frontend{}, false
}

func (c *checker) frontendOf(field string, rule pair.Rule, lb pair.LoadBalancer) {
	known := make([]string, len(lb.Frontends))
	for i, f := range lb.Frontends {
		if f.Name == "" || strings.EqualFold(f.Name, rule.Frontend) { // a missing name is reported where it is missing
			return
		}
		known[i] = f.Name
	}
	if rule.Frontend != "" && len(known) > 0 {
		c.refuse(field+".frontend", rule.Frontend, "the name of a frontend of this load balancer: "+clip(strings.Join(known, ", ")))
	}
}

func (c *checker) frontendPort(field string, rule pair.Rule, ports sockets) {
	at := socket{frontend: strings.ToLower(rule.Frontend), port: rule.Port}
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
func (c *checker) backendPort(field string, rule pair.Rule, lb pair.LoadBalancer, backends sockets) {
	key := ".backendPort"
	if rule.BackendPort == 0 {
		key = ".port"
	}
	f, _ := frontendNamed(lb, rule.Frontend)
	at := socket{ipv6: f.Is6(), port: rule.UnitPort()}
	if at.port == 0 {
		return
	}
	expected := "another port of the units, because %s leads to this one and Azure takes each once, or floatingIP: true"
	if rule.FloatingIP {
		at.frontend, expected = strings.ToLower(rule.Frontend), "another port of the units, because %s leads to this one with the same address"
	}
	if first, taken := backends[at]; taken {
		c.refuse(field+key, at.port, fmt.Sprintf(expected, first))
		return
	}
	backends[at] = field
}

// poolUse is the first rule that a pool is used by.
type poolUse struct {
	field string
	ipv6  bool
}

// poolOf refuses a pool that is not the load balancer's, and one for both
// address families: a pool holds IP configurations of one (azure.md 1.3).
func (c *checker) poolOf(field string, rule pair.Rule, lb pair.LoadBalancer, pools map[string]poolUse) {
	pool := rule.Pool
	if pool == "" && len(lb.Pools) > 0 {
		pool = lb.Pools[0]
	}
	if pool == "" {
		return
	}
	if !slices.ContainsFunc(lb.Pools, func(p string) bool { return strings.EqualFold(p, pool) }) {
		c.refuse(field+".pool", pool, "the name of a pool of this load balancer: "+clip(strings.Join(lb.Pools, ", ")))
		return
	}
	f, _ := frontendNamed(lb, rule.Frontend)
	use, used := pools[strings.ToLower(pool)]
	if used && use.ipv6 != f.Is6() {
		c.refuse(field+".pool", rule.Pool, "another pool, because "+use.field+" uses "+pool+" for the other address family, and a pool has one")
	}
	if !used {
		pools[strings.ToLower(pool)] = poolUse{field, f.Is6()}
	}
}

func (c *checker) idleTimeout(field string, d pair.Duration) {
	idle := time.Duration(d)
	switch {
	case idle <= 0:
	case idle < minIdle || idle > maxIdle:
		c.refuse(field, d, "4m to 100m, which are Azure's limits")
	case idle%time.Minute != 0:
		c.refuse(field, d, "whole minutes, because Azure counts in them")
	}
}

// reserved returns the sockets that the load balancer's NAT rules and the rule
// for Kemp 360 Central take. Where there are both, the rule has the units' web
// interface, and the NAT rules give way when the pair is compiled: whether an
// interface has another IP configuration for them, only Azure knows.
func (c *checker) reserved(at string, lb pair.LoadBalancer, d pair.Definition) (ports, backends sockets) {
	ports, backends = make(sockets), make(sockets)
	first := d.Units.First.API.Port
	for _, ipv6 := range []bool{false, true} {
		if lb.Management.SSH != (pair.PortPair{}) {
			backends[socket{ipv6: ipv6, port: portSSH}] = at + ".management.ssh"
		}
		for _, r := range pair.Roles {
			if lb.Management.WUI != (pair.PortPair{}) {
				backends[socket{ipv6: ipv6, port: d.Units.Of(r).API.Port}] = at + ".management.wui"
			}
		}
		if lb.CentralPairAwareness {
			backends[socket{ipv6: ipv6, port: first}] = at + ".centralPairAwareness"
		}
	}
	if lb.CentralPairAwareness && len(lb.Frontends) > 0 {
		ports[socket{frontend: strings.ToLower(lb.Frontends[0].Name), port: first}] = at + ".centralPairAwareness"
	}
	if second := d.Units.Second.API.Port; lb.CentralPairAwareness && first != second {
		c.refuse(at+".centralPairAwareness", true,
			"the same api.port on both units with it, because one rule cannot lead to "+strconv.Itoa(first)+" and "+strconv.Itoa(second))
	}
	return ports, backends
}

// management checks the NAT ports. They share the load balancer's frontends
// with its rules, so each port can be used once (azure.md 1.6).
func (c *checker) management(at string, lb pair.LoadBalancer, d pair.Definition) {
	taken := make(map[int]string)
	if lb.CentralPairAwareness {
		taken[d.Units.First.API.Port] = at + ".centralPairAwareness"
	}
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
