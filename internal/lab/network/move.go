package network

import (
	"fmt"
	"net/netip"
)

// Move gives the host with a name, which must be down, another address, as a
// machine gets whose interface was changed while it was off. Nobody has the old
// address any more; cuts and rules stay with the addresses that they name. It
// fails when the host is up, there is none of that name, or the address is
// taken.
func (n *Network) Move(name string, to netip.Addr) error {
	to = to.Unmap()
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, h := range n.hostsInOrder() {
		switch other := n.hosts[to]; {
		case h.name != name:
			continue
		case h.addr == to:
			return nil
		case h.up:
			return fmt.Errorf("move host %s: it is up", name)
		case !to.IsValid() || other != nil:
			return fmt.Errorf("move host %s: address %s is invalid or taken", name, to)
		}
		delete(n.hosts, h.addr)
		h.addr = to
		n.hosts[to] = h
		n.broadcast()
		return nil
	}
	return fmt.Errorf("move host %s: there is none of that name", name)
}
