package lab

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"tandem/internal/lab/network"
)

const (
	// resolveEvery is the time between two rounds of the resolver, and so the grain
	// of what it measures.
	resolveEvery = 2 * time.Second
	// resolvePatience is how long one question waits, less than a round.
	resolvePatience = 900 * time.Millisecond
	// geoGrace is how long an answer may be what it was before a site went up or
	// down: an interval of the checks, and the patience of one round of them with
	// members that are silent.
	geoGrace = 20 * time.Second
	dnsPort  = 53
)

// resolverAddr is beside the client.
var resolverAddr = netip.MustParseAddr("10.0.0.210")

// Resolved is what a resolver measured that kept asking every member.
type Resolved struct {
	// Wrong is the time in which a member's answer had a site too few or too many, or
	// a member that serves gave none.
	Wrong time.Duration
	// Unanswered is the time in which no member gave any answer.
	Unanswered time.Duration
}

// resolver asks the units of all members for the name, each of them in each round,
// because a resolver out there may come to any of them.
type resolver struct {
	host    *network.Host
	members []geoMember
	serves  func(geoMember) bool
	phase   time.Duration
	log     func(string)

	mu       sync.Mutex // guards what follows; never held across a wait
	known    bool       // somebody serves the name
	since    time.Time  // when the expected members last changed
	expected []string   // the members whose sites the answer is about
	up       map[string]change
	answers  map[string][]string // of the last round; nil where there was none
	told     map[string]string
	measured Resolved
}

// change is what a site is, and since when.
type change struct {
	up bool
	at time.Time
}

func newResolver(w *World) *resolver {
	return &resolver{
		host: w.net.Host("resolver", resolverAddr), members: w.members, serves: w.serves, log: w.record.to("resolver"),
		phase: phase(actorNeighbours + 2*w.Scenario.Neighbours + w.standalones()),
		up:    map[string]change{}, answers: map[string][]string{}, told: map[string]string{},
	}
}

// begin tells the resolver that the name is served from now on by and for members.
func (r *resolver) begin(members []geoMember) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.known, r.since, r.expected = true, time.Now(), nil
	for _, m := range members {
		r.expected = append(r.expected, m.name)
	}
}

// run asks until ctx ends.
func (r *resolver) run(ctx context.Context) {
	timer := time.NewTimer(r.phase)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		timer.Reset(resolveEvery)
		r.round(ctx)
	}
}

// round asks every member once.
func (r *resolver) round(ctx context.Context) {
	r.mu.Lock()
	known := r.known
	r.mu.Unlock()
	if !known {
		return
	}
	up := map[string]bool{}
	for _, m := range r.members {
		up[m.name] = r.serves(m)
	}
	answers := make([][]string, len(r.members))
	var wait sync.WaitGroup
	for i, m := range r.members {
		wait.Go(func() { answers[i] = r.askMember(ctx, m) })
	}
	wait.Wait()
	if ctx.Err() == nil {
		r.judge(time.Now(), up, answers)
	}
}

// askMember asks all units of a member. Nil is no answer at all.
func (r *resolver) askMember(ctx context.Context, m geoMember) []string {
	answers := make([][]string, len(m.units))
	var wait sync.WaitGroup
	for i, unit := range m.units {
		wait.Go(func() {
			if addresses, err := lookUp(ctx, r.host, unit, geoName); err == nil {
				answers[i] = r.sites(addresses)
			}
		})
	}
	wait.Wait()
	var all []string
	for _, a := range answers {
		if a != nil {
			all = append(append([]string{}, all...), a...)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// sites names the members whose sites the addresses are.
func (r *resolver) sites(addresses []netip.Addr) []string {
	names := []string{}
	for _, a := range addresses {
		name := a.String()
		if i := slices.IndexFunc(r.members, func(m geoMember) bool { return m.site == a }); i >= 0 {
			name = r.members[i].name
		}
		names = append(names, name)
	}
	return names
}

// judge adds up one round.
func (r *resolver) judge(now time.Time, up map[string]bool, answers [][]string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for name, is := range up {
		if was, seen := r.up[name]; !seen || was.up != is {
			r.up[name] = change{is, now}
		}
	}
	wrong, anybody := false, false
	for i, m := range r.members {
		r.answers[m.name] = answers[i]
		if !slices.Contains(r.expected, m.name) {
			continue
		}
		anybody = anybody || answers[i] != nil
		fault := r.fault(now, m, answers[i])
		wrong = wrong || fault != ""
		r.tell(m, answers[i], fault)
	}
	if wrong {
		r.measured.Wrong += resolveEvery
	}
	if !anybody {
		r.measured.Unanswered += resolveEvery
	}
}

// fault is what is wrong with a member's answer, and not because something changed
// just now.
func (r *resolver) fault(now time.Time, m geoMember, answer []string) string {
	settled := func(c change) bool { return now.Sub(c.at) > geoGrace && now.Sub(r.since) > geoGrace }
	switch itself := r.up[m.name]; {
	case !settled(itself):
		return ""
	case answer == nil && itself.up:
		return "though it serves"
	case answer == nil:
		return ""
	}
	var faults []string
	for _, name := range r.expected {
		site := r.up[name]
		switch has := slices.Contains(answer, name); {
		case has == site.up || !settled(site):
		case has:
			faults = append(faults, name+" is down")
		default:
			faults = append(faults, name+" is up")
		}
	}
	return strings.Join(faults, ", ")
}

// tell tells an answer that is another one than before, and what is wrong with it.
func (r *resolver) tell(m geoMember, answer []string, fault string) {
	words := m.name + " gives no answer for " + geoName
	switch {
	case len(answer) > 0:
		words = m.name + " answers " + geoName + " with " + strings.Join(answer, ", ")
	case answer != nil:
		words = m.name + " knows no site for " + geoName
	}
	if fault != "" {
		words += ", WRONG: " + fault
	}
	if r.told[m.name] != words {
		r.told[m.name] = words
		r.log(words)
	}
}

// answer is what a member answered last, sorted.
func (r *resolver) answer(name string) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.answers[name]
}

func (r *resolver) result() Resolved {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.measured
}

// errAnswer is an answer that is none to the question.
var errAnswer = errors.New("ask for a name: the answer is not one to the question")

// lookUp asks a name server for the IPv4 addresses of a name, over TCP, which is what
// the lab's network has. That there is no such name is an answer without addresses.
func lookUp(ctx context.Context, from *network.Host, server netip.Addr, name string) ([]netip.Addr, error) {
	ctx, cancel := context.WithTimeout(ctx, resolvePatience)
	defer cancel()
	conn, err := from.DialContext(ctx, "tcp", netip.AddrPortFrom(server, dnsPort).String())
	if err != nil {
		return nil, fmt.Errorf("ask for a name: %w", err)
	}
	defer func() { _ = conn.Close() }() // in memory
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return nil, fmt.Errorf("ask for a name: %w", err)
	}
	return exchangeDNS(conn, name)
}

// What of a DNS message a resolver looks at (RFC 1035, 4.1 and 4.2.2).
const (
	dnsTypeA   = 1
	dnsClassIN = 1
	dnsFixed   = 12 // of the header, and of a record before its data
	dnsAddress = 4
)

func exchangeDNS(conn net.Conn, name string) ([]netip.Addr, error) {
	const recursionDesired, oneQuestion = 1, 1
	question := []byte{0, 1, recursionDesired, 0, 0, oneQuestion, 0, 0, 0, 0, 0, 0}
	for label := range strings.SplitSeq(name, ".") {
		question = append(append(question, byte(len(label))), label...)
	}
	question = binary.BigEndian.AppendUint16(append(question, 0), dnsTypeA)
	question = binary.BigEndian.AppendUint16(question, dnsClassIN)
	if _, err := conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(question))), question...)); err != nil {
		return nil, fmt.Errorf("ask for a name: %w", err)
	}
	var length [2]byte
	if _, err := io.ReadFull(conn, length[:]); err != nil {
		return nil, fmt.Errorf("ask for a name: %w", err)
	}
	answer := make([]byte, binary.BigEndian.Uint16(length[:]))
	if _, err := io.ReadFull(conn, answer); err != nil {
		return nil, fmt.Errorf("ask for a name: %w", err)
	}
	if len(answer) < len(question) {
		return nil, errAnswer
	}
	var all []netip.Addr
	for rest := answer[len(question):]; len(rest) > 0; rest = rest[dnsFixed+dnsAddress:] {
		if len(rest) < dnsFixed+dnsAddress {
			return nil, errAnswer
		}
		a, _ := netip.AddrFromSlice(rest[dnsFixed : dnsFixed+dnsAddress])
		all = append(all, a)
	}
	return all, nil
}
