package arm

import (
	"context"
	"strings"

	"tandem/internal/pair"
)

// Power reads the power state of a VM from its instance view. A state that is
// missing, as happens, or unknown is PowerUnknown and no error (azure.md 5);
// a hibernated VM shows as deallocated.
func (c *Client) Power(ctx context.Context, vm pair.ResourceID) (pair.PowerSeen, error) {
	id, err := parseID(vm, machineKind)
	if err != nil {
		return pair.PowerSeen{}, err
	}
	clients, err := c.subscription(id.SubscriptionID)
	if err != nil {
		return pair.PowerSeen{}, err
	}
	k := c.reading("read the power state of VM %s", id.Name)
	view, err := clients.machines.InstanceView(k.within(ctx), id.ResourceGroupName, id.Name, nil)
	if err != nil {
		return pair.PowerSeen{}, k.failed(err)
	}
	seen := pair.PowerSeen{At: c.now()}
	for _, status := range view.Statuses {
		if status == nil {
			continue
		}
		kind, word, _ := strings.Cut(value(status.Code), "/")
		switch {
		case strings.EqualFold(kind, "PowerState"):
			seen.Power = power(word)
		case strings.EqualFold(kind, "ProvisioningState") && status.Time != nil:
			seen.Since = status.Time.UTC()
		}
	}
	return seen, nil
}

// power reads the platform's word. A VM that is being created is on its way
// up like one that starts.
func power(word string) pair.Power {
	if strings.EqualFold(word, "creating") {
		return pair.PowerStarting
	}
	var p pair.Power
	if p.UnmarshalText([]byte(word)) != nil {
		return pair.PowerUnknown
	}
	return p
}
