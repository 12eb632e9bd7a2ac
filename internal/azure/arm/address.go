package arm

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
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

// readsAtOnce bounds how many interfaces are read at the same time. A pool may
// hold many, and each read counts against the subscription's limit.
const readsAtOnce = 4

// addressesAfresh returns the addresses of members, in their order. Interfaces
// are read a few at the same time, because a write waits for them all. After
// one has failed no further read is begun; of several errors the first in the
// members' order is returned.
func (c *Client) addressesAfresh(ctx context.Context, members []member) ([]netip.Addr, error) {
	addrs, errs := make([]netip.Addr, len(members)), make([]error, len(members))
	var (
		next    atomic.Int64
		failed  atomic.Bool
		reading sync.WaitGroup
	)
	for range min(readsAtOnce, len(members)) {
		reading.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(members)) && !failed.Load(); i = next.Add(1) - 1 {
				addrs[i], errs[i] = c.addressOf(ctx, members[i].address, members[i].ipConfig, afresh)
				if errs[i] != nil {
					failed.Store(true)
				}
			}
		})
	}
	reading.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return addrs, nil
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
	if err != nil || !isOf(id, interfaceKind+"/ipConfigurations") {
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
