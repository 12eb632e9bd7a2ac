package geo

import (
	"net/netip"
	"slices"

	"tandem/internal/pair"
)

// Action is what a step does.
type Action uint8

// The actions. The zero value does nothing.
const (
	NoAction Action = iota
	// SetAccess writes Remote GEO LoadMaster Access, the whole list.
	SetAccess
	// SetPartners writes the GEO LoadMaster Partners, the whole list.
	SetPartners
	// Reboot restarts a pair's first unit. The pair is moved to that unit
	// beforehand where the other one serves.
	Reboot
	// ResubmitPartners writes the same partners once more, on a unit that has
	// forgotten them.
	ResubmitPartners
	// CreateClusters creates clusters of the type Remote LM.
	CreateClusters
	// DeleteClusters deletes clusters that an earlier plan created.
	DeleteClusters
)

// actionWords are in the order of the actions.
var actionWords = [...]string{"none", "set-access", "set-partners", "reboot", "resubmit-partners", "create-clusters", "delete-clusters"}

// String returns the action's word.
func (a Action) String() string {
	if int(a) < len(actionWords) {
		return actionWords[a]
	}
	return "unknown"
}

// MarshalText returns the action's word.
func (a Action) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// Step is one step of a plan. Each may be repeated.
type Step struct {
	// N counts from 1.
	N      int    `json:"n"`
	Member string `json:"member"`
	// Unit is the own address of the unit that the step is done on.
	Unit   netip.Addr `json:"unit"`
	Action Action     `json:"action"`
	// Values are the addresses to write, create or delete. They are empty for a
	// restart, and where a list is to be emptied.
	Values []netip.Addr `json:"values"`
	// Reason says why, in words that complete "because".
	Reason string `json:"-"`
}

// Seen is what is there already. The zero value means that nothing is known,
// and the plan is then the whole of the guide's.
type Seen struct {
	// Members is what each member holds now, by its name. One that is missing
	// holds nothing.
	Members map[string]Held
	// Earlier is the topology that was brought about before. Only what it had is
	// removed from the lists: an address of nobody in either topology is
	// somebody else's and stays.
	Earlier Wanted
	// Calm restarts only pairs that owe it. Whoever serves gets what it lacks, and
	// the other unit when it serves: so a list that somebody changed, or that a unit
	// lacks on which the state came, is put right without an interruption.
	Calm bool
}

// Held is what one member holds now.
type Held struct {
	// Unreachable members get no steps. They are caught up by a later plan.
	Unreachable bool
	// Active is the unit that serves. Where it is not known, the topology says.
	Active   pair.Role
	Access   []netip.Addr
	Partners []netip.Addr
	Clusters []Cluster
	Owes     Debt
}

// Cluster is a cluster that a member holds.
type Cluster struct {
	Name    string
	Address netip.Addr
	// Created says that an earlier plan created it, which alone allows its
	// deletion.
	Created bool
	// Half is one that is there and not of the type Remote LM; one that an earlier plan
	// created is completed.
	Half bool
}

// Debt is what no unit shows, and what whoever carries out steps must remember
// of a member: which steps follow from one that was done. SetPartners on a pair
// leaves OwesReboot, unless it emptied the list. Reboot leaves OwesSubmit on
// its pair and on every standalone unit, and so does a failover on its pair.
// ResubmitPartners leaves nothing.
type Debt uint8

// The debts.
const (
	OwesNothing Debt = iota
	OwesSubmit
	OwesReboot
)

// Plan returns the steps that lead from what is seen to what is wanted, in the
// guide's order: access and partners on each member's active unit; then, pair
// by pair, a restart of the first unit and the partners once more on the unit
// that takes over; then the partners once more on each standalone unit; then
// the clusters. Where every step but some last ones was done, those are the
// plan.
//
// A pair is restarted only when its partners changed, because that is what its
// second unit would otherwise not have. Its own entry in the access list may be
// either unit's: on a running pair the guide's two readings are not worth a
// change.
func Plan(w Wanted, seen Seen) []Step {
	p := newPlanner(w, seen)
	for _, m := range p.members {
		p.lists(m)
	}
	for _, m := range p.members {
		p.restart(m)
	}
	for _, m := range p.members {
		p.resubmit(m)
	}
	for _, m := range p.members {
		p.clusters(m)
	}
	return p.steps
}

// The reasons of the steps.
const (
	whyAccess     = "a unit answers only those that its access list has, and a pair in the cloud has no shared address, so both units of every other pair are in it"
	whyPartners   = "the DNS configuration is kept in step with every unit of the others, and with none of its own pair"
	whyReboot     = "the partners must be submitted on second too, which is possible only while it serves"
	whyMoved      = "; second serves, so the pair is moved to first beforehand"
	whySubmit     = "a unit that becomes active has no partners until they are submitted on it"
	whyStandalone = "a standalone unit takes up the restarted pairs when its partners are submitted again"
	whyCreate     = "each member is asked for its services' states through its cluster"
	whyDelete     = "their member has left the topology, and an earlier plan created them"
)

// planner collects the steps of a plan.
type planner struct {
	members   []*planned
	wanted    []Lists
	names     map[string]bool // of the wanted clusters
	now       set             // the addresses of all members
	ours      set             // those of the earlier ones too
	restarted bool            // at least one pair
	calm      bool
	steps     []Step
}

// planned is a member and what the steps so far leave of it.
type planned struct {
	Lists
	held     Held
	active   netip.Addr
	partners []netip.Addr // to submit
	owes     Debt
}

type set map[netip.Addr]bool

func newPlanner(w Wanted, seen Seen) *planner {
	p := &planner{wanted: w.Members, names: make(map[string]bool), now: addresses(w), ours: addresses(w, seen.Earlier), calm: seen.Calm}
	for _, l := range w.Members {
		p.names[l.Name] = true
	}
	for _, l := range slices.Concat(w.Members, left(p.now, seen.Earlier)) {
		held := seen.Members[l.Name]
		if held.Unreachable {
			continue
		}
		m := &planned{Lists: l, held: held, active: l.Units[0], owes: held.Owes}
		if l.Kind == KindPair && second(held.Active, l.Active) {
			m.active = l.Units[1]
		}
		p.members = append(p.members, m)
	}
	return p
}

// second reports whether the second unit serves: as was seen, or else as the
// topology says.
func second(seen, told pair.Role) bool {
	return seen == pair.Second || seen == pair.RoleUnknown && told == pair.Second
}

// addresses returns all that the members have and are known by.
func addresses(of ...Wanted) set {
	all := set{}
	for _, w := range of {
		for _, l := range w.Members {
			for _, a := range slices.Concat(l.Units, l.Known) {
				all[a] = true
			}
		}
	}
	return all
}

// left returns the members of the earlier topology that are gone with all of
// their units. Their lists must have nothing of ours any more.
func left(now set, earlier Wanted) []Lists {
	var gone []Lists
	for _, l := range earlier.Members {
		if !slices.ContainsFunc(l.Units, func(a netip.Addr) bool { return now[a] }) {
			l.Access, l.Partners, l.Clusters = nil, nil, nil
			gone = append(gone, l)
		}
	}
	return gone
}

func (p *planner) add(m *planned, unit netip.Addr, action Action, values []netip.Addr, reason string) {
	if values == nil {
		values = []netip.Addr{}
	}
	p.steps = append(p.steps, Step{N: len(p.steps) + 1, Member: m.Name, Unit: unit, Action: action, Values: values, Reason: reason})
}

// lists brings the member's two lists about.
func (p *planner) lists(m *planned) {
	if access, differs := p.change(m.Access, m.held.Access, m.Units); differs {
		p.add(m, m.active, SetAccess, access, whyAccess)
	}
	partners, differs := p.change(m.Partners, m.held.Partners, nil)
	m.partners = partners
	if differs {
		p.add(m, m.active, SetPartners, partners, whyPartners)
	}
	switch {
	case len(m.Partners) == 0:
		m.owes = OwesNothing
	case differs && p.calm:
	case differs && m.Kind == KindPair:
		m.owes = OwesReboot
	}
}

// change returns the list to write, and whether that differs from what is held:
// an address is missing, or one of ours is too much. Of the own addresses any
// will do.
func (p *planner) change(want, held, own []netip.Addr) (list []netip.Addr, differs bool) {
	wanted, there := make(set, len(want)), make(set, len(held))
	for _, a := range want {
		wanted[a] = true
	}
	list = slices.Clone(want)
	for _, a := range held {
		switch {
		case wanted[a] || there[a]:
		case !p.ours[a]:
			list = append(list, a)
		case !slices.Contains(own, a):
			differs = true
		}
		there[a] = true
	}
	hasOwn := slices.ContainsFunc(own, func(a netip.Addr) bool { return there[a] })
	for _, a := range want {
		differs = differs || !there[a] && !(hasOwn && slices.Contains(own, a))
	}
	return list, differs
}

// restart restarts a pair that owes it, and submits its partners on the unit
// that then serves.
func (p *planner) restart(m *planned) {
	if m.Kind != KindPair || m.owes == OwesNothing {
		return
	}
	if m.owes == OwesReboot {
		why := whyReboot
		if m.active != m.Units[0] {
			why += whyMoved
		}
		p.add(m, m.Units[0], Reboot, nil, why)
		m.active = m.Units[1]
		p.restarted = true
	}
	p.add(m, m.active, ResubmitPartners, m.partners, whySubmit)
}

// resubmit submits a standalone unit's partners once more where a pair was
// restarted.
func (p *planner) resubmit(m *planned) {
	if m.Kind == KindStandalone && len(m.Partners) > 0 && (p.restarted || m.owes != OwesNothing) {
		p.add(m, m.active, ResubmitPartners, m.partners, whyStandalone)
	}
}

// clusters creates what is missing and deletes what an earlier plan created for
// a member that has left; what that member itself answers is its own affair. A
// cluster is there under its name or any address of its member: on a failover
// the appliance itself changes the address, and a plan never deletes and
// creates one to change it back.
func (p *planner) clusters(m *planned) {
	if len(m.Clusters) == 0 {
		return
	}
	names, there := make(map[string]bool, len(m.held.Clusters)), make(set, len(m.held.Clusters))
	var old []netip.Addr
	for _, c := range m.held.Clusters {
		if !c.Created || !c.Half {
			names[c.Name], there[c.Address] = true, true
		}
		if c.Created && !p.names[c.Name] && !p.now[c.Address] {
			old = append(old, c.Address)
		}
	}
	missing := set{}
	for _, of := range p.wanted {
		known := slices.ContainsFunc(slices.Concat(of.Units, of.Known), func(a netip.Addr) bool { return there[a] })
		missing[of.Known[0]] = !known && !names[of.Name]
	}
	if create := slices.DeleteFunc(slices.Clone(m.Clusters), func(a netip.Addr) bool { return !missing[a] }); len(create) > 0 {
		p.add(m, m.active, CreateClusters, create, whyCreate)
	}
	if len(old) > 0 {
		p.add(m, m.active, DeleteClusters, old, whyDelete)
	}
}
