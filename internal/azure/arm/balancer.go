package arm

import (
	"context"
	"slices"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v9"

	"tandem/internal/pair"
)

// LoadBalancer reads one load balancer of a pair with a single GET: its pools,
// the pair's units in them, their admin states, the ETags that a write needs,
// and the tags that are ours. The pools that the pair file names are returned even if they hold no
// unit, and every other pool that does. Interfaces whose address is not in the
// answer are read once and remembered.
//
// With health it also asks for the load balancer's own view of the units,
// through the rule of the check port. That takes seconds and counts as a write
// for Azure's limits (azure.md 1.11). A view that is refused or does not come
// in time is logged and stays empty, which means unknown, because the pools
// are worth having without it.
func (c *Client) LoadBalancer(ctx context.Context, d pair.Definition, lb pair.LoadBalancer, health bool) (pair.BalancerSeen, error) {
	id, err := parseID(d.LoadBalancerID(lb.Name), balancerKind)
	if err != nil {
		return pair.BalancerSeen{}, err
	}
	clients, err := c.subscription(id.SubscriptionID)
	if err != nil {
		return pair.BalancerSeen{}, err
	}
	k := c.reading("read load balancer %s", lb.Name)
	got, err := clients.balancers.Get(k.within(ctx), id.ResourceGroupName, id.Name, nil)
	if err != nil {
		return pair.BalancerSeen{}, k.failed(err)
	}
	seen := pair.BalancerSeen{Name: lb.Name, At: c.now(), Tags: ourTags(got.Tags)}
	if got.Properties == nil {
		return seen, nil
	}
	var units []backend
	for _, r := range pair.Roles {
		units = append(units, backend{d.VMID(r), d.Units.Of(r).Address.Unmap()})
	}
	if seen.Pools, err = c.pools(ctx, got.Properties, lb.Pools, units); err != nil {
		return pair.BalancerSeen{}, err
	}
	if health {
		seen.Health, err = c.ruleHealth(ctx, id, checkRule(got.Properties, lb.Pools, d.HA.CheckPort), units)
	}
	return seen, err
}

// pools returns the pools that are named or hold a unit, as the platform
// orders them.
func (c *Client) pools(ctx context.Context, lb *armnetwork.LoadBalancerPropertiesFormat, named []string, units []backend) ([]pair.PoolSeen, error) {
	var seen []pair.PoolSeen
	for _, p := range lb.BackendAddressPools {
		if p == nil {
			continue
		}
		members, err := c.members(ctx, p.Properties, units)
		if err != nil {
			return nil, err
		}
		name := value(p.Name)
		isNamed := slices.ContainsFunc(named, func(n string) bool { return strings.EqualFold(n, name) })
		if isNamed || len(members) > 0 {
			seen = append(seen, pair.PoolSeen{Name: name, ETag: value(p.Etag), Members: members})
		}
	}
	return seen, nil
}

// members returns the members of a pool that are units of the pair, by the addresses
// of the pair file, whatever family the pool is of.
func (c *Client) members(ctx context.Context, pool *armnetwork.BackendAddressPoolPropertiesFormat, units []backend) ([]pair.MemberSeen, error) {
	var seen []pair.MemberSeen
	for _, m := range entries(pool) {
		addr, err := c.unitOf(ctx, units, m, remembered)
		if err != nil {
			return nil, err
		}
		if addr.IsValid() {
			seen = append(seen, pair.MemberSeen{Name: m.name, Address: addr, Admin: m.admin})
		}
	}
	return seen, nil
}

// entries lists a pool's members. A pool by interface that has no entries for
// its members, as older ones do, still shows them as back-references; there is
// nothing then that an admin state could be read from or written to.
func entries(pool *armnetwork.BackendAddressPoolPropertiesFormat) []member {
	if pool == nil {
		return nil
	}
	var list []member
	for _, a := range pool.LoadBalancerBackendAddresses {
		if a == nil || a.Properties == nil {
			continue
		}
		m := member{name: value(a.Name), address: value(a.Properties.IPAddress), admin: adminState(string(value(a.Properties.AdminState)))}
		if ref := a.Properties.NetworkInterfaceIPConfiguration; ref != nil {
			m.ipConfig = value(ref.ID)
		}
		list = append(list, m)
	}
	if len(list) > 0 {
		return list
	}
	for _, config := range pool.BackendIPConfigurations {
		if config != nil {
			list = append(list, member{name: pair.ResourceID(value(config.ID)).Name(), ipConfig: value(config.ID)})
		}
	}
	return list
}

// checkRule returns the name of the rule that the probe of the check port
// decides about for one of the named pools, empty when there is none: other pools
// have other admin states, and other pairs may live behind the same load
// balancer. All rules of a pair may use that probe;
// the one for the check port itself is preferred, because it is the last that
// anybody would take away.
func checkRule(lb *armnetwork.LoadBalancerPropertiesFormat, pools []string, checkPort int) string {
	probes := map[pair.ResourceID]bool{}
	for _, p := range lb.Probes {
		if p != nil && p.Properties != nil && int(value(p.Properties.Port)) == checkPort {
			probes[pair.NewResourceID(value(p.ID))] = true
		}
	}
	found := ""
	for _, r := range lb.LoadBalancingRules {
		if r == nil || r.Properties == nil || r.Properties.Probe == nil || !probes[pair.NewResourceID(value(r.Properties.Probe.ID))] {
			continue
		}
		if !slices.ContainsFunc(pools, func(pool string) bool { return leadsTo(r.Properties, pool) }) {
			continue
		}
		if int(value(r.Properties.BackendPort)) == checkPort {
			return value(r.Name)
		}
		if found == "" {
			found = value(r.Name)
		}
	}
	return found
}

// leadsTo reports whether a rule sends traffic to a pool. A rule names its pool
// twice, once alone and once in a list (azure.md 1.6).
func leadsTo(r *armnetwork.LoadBalancingRulePropertiesFormat, pool string) bool {
	return slices.ContainsFunc(append(slices.Clone(r.BackendAddressPools), r.BackendAddressPool), func(ref *armnetwork.SubResource) bool {
		return ref != nil && strings.EqualFold(pair.ResourceID(value(ref.ID)).Name(), pool)
	})
}
