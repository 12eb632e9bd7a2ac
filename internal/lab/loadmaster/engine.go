package loadmaster

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"time"
)

// State is what a unit is now.
type State int

// The states of a unit. Passive is what the guide calls unconnected: up, but
// its HA state is not set yet (loadmaster.md 2.2).
const (
	Off State = iota
	Booting
	Passive
	Active
	Standby
)

// String is the API's word for Passive, Active and Standby.
func (s State) String() string {
	return [...]string{"Off", "Booting", "Passive", "Active", "Standby"}[s]
}

// Role is the fixed place of a unit in its pair (the guide: master and
// slave), or Single for a unit without HA.
type Role int

// The roles. The zero value is none of them and is refused by New.
const (
	First Role = iota + 1
	Second
	Single
)

// String is the word that azurehamode takes for the role.
func (r Role) String() string {
	switch r {
	case First:
		return "first"
	case Second:
		return "second"
	case Single:
		return "single"
	}
	return "unknown"
}

// partnerView is what a check of the partner found.
type partnerView int

const (
	partnerUnchecked partnerView = iota
	partnerActive                // answered 200
	partnerStandby               // answered 503
	partnerDown                  // anything else
)

// situation is all that the HA engine decides on.
type situation struct {
	role        Role
	preferFirst bool
	state       State // Passive, Active or Standby
	partner     partnerView
	misses      int // checks in a row that found the partner down
	needed      int // misses before the second unit takes over
	healing     NoPreferenceHealing
	waits       bool // Faults.StuckStandby
}

// next is the state machine of loadmaster.md 2.4: the state that follows, and
// why, for people. Roles never change, only states do.
func (s situation) next() (State, string) {
	switch {
	case s.partner == partnerUnchecked:
		return s.state, "the partner was not checked yet"
	case s.role == First && s.preferFirst:
		return Active, "it is the preferred unit"
	case s.role == First:
		return s.nextFirst()
	}
	return s.nextSecond()
}

// nextFirst is next for a first unit that is not preferred.
func (s situation) nextFirst() (State, string) {
	switch {
	case s.partner == partnerActive && s.state == Active && s.healing != FirstYields:
		return Active, "it was active before its partner"
	case s.partner == partnerActive:
		return Standby, "partner is active"
	case s.partner == partnerDown:
		return Active, "partner is silent"
	case s.waits && s.state == Standby:
		return Standby, "it waits for its partner"
	}
	return Active, "partner is not active"
}

func (s situation) nextSecond() (State, string) {
	stays := !s.preferFirst && s.state == Active
	switch {
	case s.partner == partnerActive && stays && s.healing != SecondYields:
		return Active, "it was active before its partner"
	case s.partner == partnerActive:
		return Standby, "partner is active"
	case s.partner == partnerStandby && stays:
		return Active, "partner is not active"
	case s.partner == partnerStandby:
		return Standby, "waits for the first unit"
	case s.misses >= s.needed:
		return Active, fmt.Sprintf("partner silent for %d checks", s.misses)
	}
	return s.state, "partner missed a check"
}

// watchPartner checks the partner at every interval until ctx ends. The first
// check comes one phase after the start.
func (u *Unit) watchPartner(ctx context.Context) {
	timer := time.NewTimer(u.cfg.Phase)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		timer.Reset(u.cfg.CheckInterval)
		u.mu.Lock()
		clustered, partner, port := u.clustered(), u.effective.partner, u.effective.checkPort
		u.mu.Unlock()
		if !clustered {
			continue
		}
		view := u.checkPartner(ctx, net.JoinHostPort(partner, strconv.Itoa(port)))
		if ctx.Err() != nil {
			return
		}
		u.step(view)
	}
}

// checkPartner asks the partner's check port on a connection of its own, as
// the unit does (loadmaster.md 2.4).
func (u *Unit) checkPartner(ctx context.Context, address string) partnerView {
	ctx, cancel := context.WithTimeout(ctx, u.cfg.CheckTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/", nil)
	if err != nil {
		return partnerDown
	}
	status, err := u.exchange(ctx, address, req)
	switch {
	case err != nil:
		return partnerDown
	case status == http.StatusOK:
		return partnerActive
	case status == http.StatusServiceUnavailable:
		return partnerStandby
	}
	return partnerDown
}

// exchange sends a request on a connection of its own and returns the status of
// the answer. It speaks HTTP by hand, because an http.Transport would leave
// goroutines behind when the unit dies.
func (u *Unit) exchange(ctx context.Context, address string, req *http.Request) (status int, err error) {
	conn, err := u.host.DialContext(ctx, "tcp", address)
	if err != nil {
		return 0, err
	}
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	defer func() { _ = conn.Close() }()
	req.Close = true
	if err := req.Write(conn); err != nil {
		return 0, err
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), req)
	if err != nil {
		return 0, err
	}
	return resp.StatusCode, resp.Body.Close()
}

// step feeds the result of one check to the state machine.
func (u *Unit) step(view partnerView) {
	u.mu.Lock()
	u.misses++
	if view != partnerDown {
		u.misses = 0
	}
	change := ""
	if u.clustered() && u.connected() {
		s := situation{
			role: u.effective.role, preferFirst: u.effective.preferFirst, state: u.state, partner: view,
			misses: u.misses, needed: u.cfg.CheckFailures, healing: u.cfg.Options.NoPreferenceHealing,
			waits: u.faults.StuckStandby,
		}
		if state, reason := s.next(); state != u.state {
			change = u.become(state, reason)
		}
	}
	u.mu.Unlock()
	u.say(change)
	u.settlePorts()
}

// clustered tells whether the unit is up, stays up and is part of a pair.
// u.mu is held.
func (u *Unit) clustered() bool {
	return u.state >= Passive && !u.life.over && u.effective.role != Single
}

// connected tells whether the state may leave Passive. step asks it after a
// check of the partner has ended. u.mu is held.
func (u *Unit) connected() bool {
	if u.faults.StuckPassive {
		return false
	}
	return u.polled || u.cfg.Options.PassiveUntil == PassiveUntilPartnerChecked
}

// become changes the state and returns the sentence about it. u.mu is held.
func (u *Unit) become(state State, reason string) string {
	u.state = state
	u.activeSince = time.Time{}
	if state == Active {
		u.activeSince = time.Now()
		u.forgetPartners()
		u.ownCluster()
		u.wakeGEO()
		u.wakeSync()
	}
	return fmt.Sprintf("becomes %s (%s)", state, reason)
}

// platformProbe is where Azure's load balancer probes come from.
var platformProbe = netip.AddrFrom4([4]byte{168, 63, 129, 16})

// noticePoll learns from a GET on the check port that the unit is polled
// (loadmaster.md 2.3). A partner that is configured by name is not recognised
// as such.
func (u *Unit) noticePoll(from string) {
	addr := netip.Addr{}
	if ap, err := netip.ParseAddrPort(from); err == nil {
		addr = ap.Addr().Unmap()
	}
	u.mu.Lock()
	counts := true
	switch u.cfg.Options.PolledBy {
	case PolledByAnyone:
	case PolledByLoadBalancer:
		counts = addr == platformProbe
	case PolledByAnyoneButPartner:
		counts = addr.String() != u.effective.partner
	}
	first := counts && !u.polled
	u.polled = u.polled || counts
	u.mu.Unlock()
	if first {
		u.say(fmt.Sprintf("is polled for the first time, by %s", addr))
	}
}
