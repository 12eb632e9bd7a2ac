package arm

import (
	"context"
	"strings"
	"time"

	azarm "github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v9"

	"tandem/internal/pair"
)

const (
	// healthBudget bounds one question for rule health. No invocation waits
	// longer than 20 s (DESIGN section 4), and the pass has more to do.
	healthBudget = 10 * time.Second
	// healthEvery is the time between two polls when the platform says
	// nothing.
	healthEvery = time.Second
)

// ruleHealth returns the load balancer's view of the units. Only the end of
// the caller's own context is an error; what the platform does not say within
// the budget is unknown.
func (c *Client) ruleHealth(ctx context.Context, lb *azarm.ResourceID, rule string, units []backend) ([]pair.HealthSeen, error) {
	if rule == "" {
		c.log.WarnContext(ctx, "no rule uses a probe on the check port, so the load balancer has no view of the units", "loadBalancer", lb.Name)
		return nil, nil
	}
	limited, cancel := context.WithTimeout(ctx, healthBudget)
	defer cancel()
	entries, err := c.askHealth(limited, lb, rule)
	if ctx.Err() != nil && err != nil {
		return nil, err
	}
	if err != nil {
		c.log.WarnContext(ctx, "rule health is unknown", "loadBalancer", lb.Name, "rule", rule, "error", err)
		return nil, nil
	}
	var seen []pair.HealthSeen
	for _, e := range entries {
		if e == nil {
			continue
		}
		m := member{address: value(e.IPAddress), ipConfig: value(e.NetworkInterfaceIPConfigurationID)}
		addr, err := c.unitOf(limited, units, m, remembered)
		if err != nil {
			c.log.WarnContext(ctx, "the address of an entry of rule health is unknown", "loadBalancer", lb.Name, "rule", rule, "error", err)
			continue
		}
		if addr.IsValid() {
			seen = append(seen, pair.HealthSeen{Rule: rule, Address: addr, Up: strings.EqualFold(value(e.State), "Up"), Reason: value(e.Reason)})
		}
	}
	return seen, nil
}

// askHealth runs the health action of one rule. PollUntilDone is not used: its
// shortest interval hides in tests and its default is 30 s.
func (c *Client) askHealth(ctx context.Context, lb *azarm.ResourceID, rule string) ([]*armnetwork.LoadBalancerHealthPerRulePerBackendAddress, error) {
	clients, err := c.subscription(lb.SubscriptionID)
	if err != nil {
		return nil, err
	}
	k := c.reading("ask load balancer %s for the health of rule %s", lb.Name, rule)
	poller, err := clients.rules.BeginHealth(k.within(ctx), lb.ResourceGroupName, lb.Name, rule, nil)
	if err != nil {
		return nil, k.failed(err)
	}
	for !poller.Done() {
		wait := retryAfter(k.resp, c.now())
		if wait == 0 {
			wait = healthEvery
		}
		if err := sleep(ctx, wait); err != nil {
			return nil, k.failed(err)
		}
		k = c.reading("%s", k.what)
		if _, err := poller.Poll(k.within(ctx)); err != nil {
			return nil, k.failed(err)
		}
	}
	result, err := poller.Result(k.within(ctx))
	if err != nil {
		return nil, k.failed(err)
	}
	return result.LoadBalancerBackendAddresses, nil
}
