package arm

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	azarm "github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"

	"tandem/internal/pair"
)

const (
	// addressFor is how long the address of an interface is remembered.
	// Addresses of units are static; this only bounds an old mistake.
	addressFor = time.Hour
	// addressesMost bounds the memory: a pool may hold thousands of members
	// that are not ours.
	addressesMost = 20_000
)

// freshness says whether a remembered address will do.
type freshness uint8

const (
	remembered freshness = iota
	afresh
)

// addressOf returns the address of a pool's member. A member by interface
// often carries only the id of its IP configuration; then the interface is
// asked. An interface that is gone, or is none of a VM, has no address, which
// is the zero value and equals no unit's address.
func (c *Client) addressOf(ctx context.Context, address, ipConfig string, f freshness) (netip.Addr, error) {
	if a, err := netip.ParseAddr(address); err == nil {
		return a.Unmap(), nil
	}
	if ipConfig == "" {
		return netip.Addr{}, nil
	}
	if a, ok := c.cached(ipConfig); ok && f == remembered {
		return a, nil
	}
	a, err := c.readAddress(ctx, ipConfig)
	if errors.Is(err, pair.ErrNotFound) {
		return netip.Addr{}, nil
	}
	return a, err
}

func (c *Client) cached(ipConfig string) (netip.Addr, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	a, ok := c.addresses[strings.ToLower(ipConfig)]
	return a.addr, ok && c.now().Before(a.until)
}

// readAddress reads the interface of an IP configuration and remembers all its
// addresses.
func (c *Client) readAddress(ctx context.Context, ipConfig string) (netip.Addr, error) {
	id, err := azarm.ParseResourceID(ipConfig)
	if err != nil || !strings.EqualFold(id.ResourceType.String(), "Microsoft.Network/networkInterfaces/ipConfigurations") {
		return netip.Addr{}, fmt.Errorf("read the interface of a member: %w: %s is none of a VM", pair.ErrNotFound, oneLine(ipConfig, 200))
	}
	clients, err := c.subscription(id.SubscriptionID)
	if err != nil {
		return netip.Addr{}, err
	}
	k := c.reading("read interface %s", id.Parent.Name)
	nic, err := clients.interfaces.Get(k.within(ctx), id.ResourceGroupName, id.Parent.Name, nil)
	if err != nil {
		return netip.Addr{}, k.failed(err)
	}
	var found netip.Addr
	if nic.Properties == nil {
		return found, nil
	}
	for _, config := range nic.Properties.IPConfigurations {
		if config == nil || config.Properties == nil {
			continue
		}
		addr, err := netip.ParseAddr(value(config.Properties.PrivateIPAddress))
		if err != nil {
			continue // it has none yet
		}
		name := value(config.Name)
		c.remember(id.Parent.String()+"/ipConfigurations/"+name, addr.Unmap())
		if strings.EqualFold(name, id.Name) {
			found = addr.Unmap()
		}
	}
	return found, nil
}

func (c *Client) remember(ipConfig string, addr netip.Addr) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.addresses) >= addressesMost {
		clear(c.addresses)
	}
	c.addresses[strings.ToLower(ipConfig)] = cachedAddress{addr: addr, until: c.now().Add(addressFor)}
}
