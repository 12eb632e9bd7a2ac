package arm

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
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
		return a.addr, nil
	}
	a, err := c.readAddress(ctx, ipConfig)
	if errors.Is(err, pair.ErrNotFound) {
		return netip.Addr{}, nil
	}
	return a, err
}

// backend is a unit as a pair file knows it: its VM, and the one address by which
// it is called. A pool of the other family holds another address of the same
// interface (azure.md 1.3), which is the unit all the same: an admin state that
// passed it over would fence the unit for one family of clients and not for the
// other.
type backend struct {
	vm      pair.ResourceID
	address netip.Addr
}

// unitOf returns the address by which the pair file calls the unit that a pool's
// member is, the zero value for a member that is none of them.
func (c *Client) unitOf(ctx context.Context, units []backend, m member, f freshness) (netip.Addr, error) {
	at, err := c.addressOf(ctx, m.address, m.ipConfig, f)
	if err != nil || !at.IsValid() {
		return netip.Addr{}, err
	}
	for _, u := range units {
		if at == u.address {
			return u.address, nil
		}
	}
	for _, u := range units {
		if at.Is4() == u.address.Is4() {
			continue
		}
		beside, err := c.beside(ctx, u, m, f)
		if err != nil {
			return netip.Addr{}, err
		}
		if slices.Contains(beside, at) && slices.Contains(beside, u.address) {
			return u.address, nil
		}
	}
	return netip.Addr{}, nil
}

// beside returns all addresses of the interface that a member may be the unit's by:
// its own where it names one, and otherwise that of the unit's VM with the unit's
// address.
func (c *Client) beside(ctx context.Context, u backend, m member, f freshness) ([]netip.Addr, error) {
	if m.ipConfig == "" {
		return c.ofMachine(ctx, u, f)
	}
	if a, ok := c.cached(m.ipConfig); ok && (f == remembered || m.address == "") { // or it was read just now
		return a.beside, nil
	}
	if _, err := c.readAddress(ctx, m.ipConfig); err != nil {
		return nil, unlessGone(err)
	}
	a, _ := c.cached(m.ipConfig)
	return a.beside, nil
}

// ofMachine returns all addresses of that interface of a unit's VM that has the
// unit's address, none where there is no such VM or interface.
func (c *Client) ofMachine(ctx context.Context, u backend, f freshness) ([]netip.Addr, error) {
	if a, ok := c.cached(string(u.vm)); ok && f == remembered && slices.Contains(a.beside, u.address) {
		return a.beside, nil
	}
	id, err := parseID(u.vm, machineKind)
	if err != nil {
		return nil, err
	}
	clients, err := c.subscription(id.SubscriptionID)
	if err != nil {
		return nil, err
	}
	k := c.reading("read the interfaces of VM %s", id.Name)
	vm, err := clients.machines.Get(k.within(ctx), id.ResourceGroupName, id.Name, nil)
	if err != nil {
		return nil, unlessGone(k.failed(err))
	}
	if vm.Properties == nil || vm.Properties.NetworkProfile == nil {
		return nil, nil
	}
	for _, ref := range vm.Properties.NetworkProfile.NetworkInterfaces {
		if ref == nil {
			continue
		}
		nic, err := azarm.ParseResourceID(value(ref.ID))
		if err != nil || !isOf(nic, interfaceKind) {
			continue
		}
		configs, err := c.readInterface(ctx, nic)
		if err != nil && !errors.Is(err, pair.ErrNotFound) {
			return nil, err
		}
		if beside := addressesOf(configs); slices.Contains(beside, u.address) {
			c.remember(string(u.vm), cachedAddress{beside: beside})
			return beside, nil
		}
	}
	return nil, nil
}

// unlessGone drops the error of what is not there.
func unlessGone(err error) error {
	if errors.Is(err, pair.ErrNotFound) {
		return nil
	}
	return err
}

// readsAtOnce bounds how many interfaces are read at the same time. A pool may
// hold many, and each read counts against the subscription's limit.
const readsAtOnce = 4

// unitsAfresh returns which unit each member is, in their order. Interfaces
// are read a few at the same time, because a write waits for them all. After
// one has failed no further read is begun; of several errors the first in the
// members' order is returned.
func (c *Client) unitsAfresh(ctx context.Context, units []backend, members []member) ([]netip.Addr, error) {
	addrs, errs := make([]netip.Addr, len(members)), make([]error, len(members))
	var (
		next    atomic.Int64
		failed  atomic.Bool
		reading sync.WaitGroup
	)
	for range min(readsAtOnce, len(members)) {
		reading.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(members)) && !failed.Load(); i = next.Add(1) - 1 {
				addrs[i], errs[i] = c.unitOf(ctx, units, members[i], afresh)
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

func (c *Client) cached(id string) (cachedAddress, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	a, ok := c.addresses[strings.ToLower(id)]
	return a, ok && c.now().Before(a.until)
}

// readAddress reads the interface of an IP configuration and remembers all its
// addresses.
func (c *Client) readAddress(ctx context.Context, ipConfig string) (netip.Addr, error) {
	id, err := azarm.ParseResourceID(ipConfig)
	if err != nil || !isOf(id, interfaceKind+"/ipConfigurations") {
		return netip.Addr{}, fmt.Errorf("read the interface of a member: %w: %s is none of a VM", pair.ErrNotFound, oneLine(ipConfig, 200))
	}
	configs, err := c.readInterface(ctx, id.Parent)
	if err != nil {
		return netip.Addr{}, err
	}
	for _, config := range configs {
		if strings.EqualFold(config.name, id.Name) {
			return config.addr, nil
		}
	}
	return netip.Addr{}, nil
}

// ipConfig is one address of an interface.
type ipConfig struct {
	name string
	addr netip.Addr
}

// readInterface reads the addresses of an interface and remembers them.
func (c *Client) readInterface(ctx context.Context, id *azarm.ResourceID) ([]ipConfig, error) {
	clients, err := c.subscription(id.SubscriptionID)
	if err != nil {
		return nil, err
	}
	k := c.reading("read interface %s", id.Name)
	nic, err := clients.interfaces.Get(k.within(ctx), id.ResourceGroupName, id.Name, nil)
	if err != nil {
		return nil, k.failed(err)
	}
	if nic.Properties == nil {
		return nil, nil
	}
	var found []ipConfig
	for _, config := range nic.Properties.IPConfigurations {
		if config == nil || config.Properties == nil {
			continue
		}
		addr, err := netip.ParseAddr(value(config.Properties.PrivateIPAddress))
		if err != nil {
			continue // it has none yet
		}
		found = append(found, ipConfig{value(config.Name), addr.Unmap()})
	}
	for _, config := range found {
		c.remember(id.String()+"/ipConfigurations/"+config.name, cachedAddress{addr: config.addr, beside: addressesOf(found)})
	}
	return found, nil
}

func addressesOf(configs []ipConfig) []netip.Addr {
	var all []netip.Addr
	for _, config := range configs {
		all = append(all, config.addr)
	}
	return all
}

func (c *Client) remember(id string, a cachedAddress) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.addresses) >= addressesMost {
		clear(c.addresses)
	}
	a.until = c.now().Add(addressFor)
	c.addresses[strings.ToLower(id)] = a
}
