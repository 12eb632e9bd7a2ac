package network

import "net/netip"

// Filter decides whether a packet may open a stream from a socket to another
// one, as security groups do. It is asked at every attempt, with the network
// locked: it must be quick, keep to what it was made of, and not call the
// network.
type Filter func(from, to netip.AddrPort) bool

// SetFilter puts a filter before all new streams, in place of the one before;
// nil lets everything through. Like Block it is stateful: established streams
// go on, and so do those that wait for an answer once the filter lets them in.
// Programs that reach in by Bind come from nowhere in the world and always pass.
func (n *Network) SetFilter(f Filter) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.filter = f
	n.broadcast()
}

// Passes tells whether nothing on the way would drop the packets that open a
// stream from an address to a port of another: no cut, no rule of Block and no
// filter. Whether anybody listens there makes no difference.
func (n *Network) Passes(from netip.Addr, to netip.AddrPort) bool {
	from, to = from.Unmap(), netip.AddrPortFrom(to.Addr().Unmap(), to.Port())
	n.mu.Lock()
	defer n.mu.Unlock()
	return !n.isCut(from, to.Addr()) && !n.isBlocked(netip.AddrPortFrom(from, firstEphemeralPort), to)
}
