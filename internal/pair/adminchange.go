package pair

import (
	"net/netip"
	"time"
)

// AdminChange is one wanted admin state of one backend address in one pool.
type AdminChange struct {
	LoadBalancer ResourceID
	Pool         string
	Address      netip.Addr // of the unit, by the pair file; its member may be of the other family
	VM           ResourceID // of the unit
	Want         AdminState
	// ETag is the pool's version that the decision was made on; the write is
	// refused with ErrConflict when the pool has another one.
	ETag string
	// Rewrite sends the write even where the pool already reads as wanted, to
	// supersede an earlier write of ours that may still be on its way.
	Rewrite bool
}

// Operation is a platform operation that may still be running.
type Operation struct {
	// Token resumes the operation in another process; empty when Done.
	Token string
	// Done means that the platform calls it finished, which is not yet a proof
	// that traffic moved (azure.md 0 item 4).
	Done bool
	// After is how long the platform asks to wait before polling, 0 when it
	// says nothing.
	After time.Duration
}
