package replay

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"tandem/internal/pair"
)

// Course is what would have happened beside what did.
type Course struct {
	Pair  string `json:"pair"`
	Edits []Edit `json:"-"`
	Steps []Step `json:"decisions"`
	// First is when the two courses parted; zero where they never did.
	First time.Time `json:"first,omitzero"`
}

// Step is one decision of both courses.
type Step struct {
	ID string    `json:"id,omitempty"` // of the stored decision; empty between two of them
	At time.Time `json:"at"`
	// Happened is nil for a look that was not stored, because it changed nothing
	// in the real course.
	Happened *Told `json:"happened,omitempty"`
	Instead  Told  `json:"wouldHave"`
	Same     bool  `json:"same"` // the same row, with the same intents
}

// Told is a decision in the words of the journal.
type Told struct {
	Row      string         `json:"row"`
	Seen     pair.Situation `json:"seen"`
	Believed pair.Situation `json:"believed"`
	Intents  []string       `json:"intents,omitempty"`
	Reason   string         `json:"reason"`
	// Quiet is set where it changed nothing, so that it would not have been
	// stored.
	Quiet bool `json:"quiet,omitempty"`
}

// sweepEvery is how often a pair is looked at for which nobody asked sooner.
const sweepEvery = 15 * time.Second

// mostBetween bounds the looks that are put between two stored decisions.
const mostBetween = 500

// WhatIf decides everything again with edits in the definition.
//
// From the first difference on, a decision builds on the record that the one
// before would have left, and what would have been done is taken to be done at
// once. What was seen stays that of the real course, except for our own admin
// states, which are put as they would have stood; where the load balancers would
// have been read and were not, the nearest reading is taken. Persons said what
// they said.
//
// A look that changes nothing is not stored, so between two stored ones all saw
// the same as the first. Such looks are put between them as often as they would
// have been asked for, and at least every 15 seconds; those are told that would
// have been stored.
//
// Errors are those of Edited, and pair.ErrUnreadable for an input that no pass
// can have had.
func (h History) WhatIf(edits []Edit) (Course, error) {
	c := course{history: h, edits: edits, out: Course{Pair: h.Pair, Edits: edits}}
	for i := range h.Decisions {
		if err := c.step(i); err != nil {
			return Course{}, err
		}
	}
	return c.out, nil
}

// course is how far both courses have been followed.
type course struct {
	history History
	edits   []Edit
	out     Course

	// apart is set when the courses have parted. Until then record is the real
	// one.
	apart  bool
	record pair.Record // what the newest decision would have left
	real   pair.Record // what the newest stored decision left
	next   time.Duration

	edited     pair.Definition // the newest definition with the edits
	editedFrom []byte          // that definition as it was stored
}

// step follows both courses through one stored decision.
func (c *course) step(i int) error {
	r := &c.history.Decisions[i]
	// While something is seen that is not believed yet, each look counts and is
	// stored, so there was none in between.
	if i > 0 && c.real.Suspicion.Count == 0 {
		if err := c.between(i); err != nil {
			return err
		}
	}
	happened, err := decide(r.ID, &r.Input)
	if err != nil {
		return err
	}
	in, err := c.input(r)
	if err != nil {
		return err
	}
	instead, err := c.decide(i, &in)
	if err != nil {
		return err
	}
	s := Step{ID: r.ID, At: r.At, Happened: toldOf(&r.Input, &happened), Instead: *toldOf(&in, &instead)}
	s.Same = s.Happened.Row == s.Instead.Row && slices.Equal(s.Happened.Intents, s.Instead.Intents)
	if !s.Same || !sameRecord(&happened.Record, &instead.Record) {
		c.part(r.At)
	}
	c.out.Steps = append(c.out.Steps, s)
	c.real = happened.Record
	c.follow(&instead)
	return nil
}

// input is what the decision would have been made on.
func (c *course) input(r *Recorded) (pair.Input, error) {
	in := r.Input
	if err := c.edit(r.Input.Definition); err != nil {
		return in, err
	}
	in.Definition = c.edited
	if c.apart {
		in.Record = carried(c.record, c.real, r.Input.Record)
		in.Open = nil // all that would have been begun is done
		in.Observation.Balancers = asHeld(r.Input.Observation.Balancers, &in, r.Input.Record.Admin)
	}
	return in, nil
}

// edit keeps the edited form of the definition that a decision was made with.
// Definitions change rarely.
func (c *course) edit(d pair.Definition) error {
	b, err := json.Marshal(d)
	if err != nil {
		return fmt.Errorf("edit pair %s: %w: %w", d.Name, pair.ErrUnreadable, err)
	}
	if bytes.Equal(b, c.editedFrom) {
		return nil
	}
	if c.edited, err = Edited(d, c.edits); err == nil {
		c.editedFrom = b
	}
	return err
}

// decide decides, once more with a reading of the load balancers where the
// decision asks for it, as a pass does.
func (c *course) decide(i int, in *pair.Input) (pair.Decision, error) {
	id := c.history.Decisions[i].ID
	d, err := decide(id, in)
	if err != nil || !d.ReadBalancers {
		return d, err
	}
	if near := c.history.reading(i); near != nil {
		in.Observation.Balancers = asHeld(near.Input.Observation.Balancers, in, near.Input.Record.Admin)
		d, err = decide(id, in)
	}
	return d, err
}

// reading is the stored decision nearest to the i-th that has a reading of the
// load balancers, or nil.
func (h History) reading(i int) *Recorded {
	for n := range len(h.Decisions) {
		for _, at := range []int{i + n, i - n} {
			if at >= 0 && at < len(h.Decisions) && len(h.Decisions[at].Input.Observation.Balancers) > 0 {
				return &h.Decisions[at]
			}
		}
	}
	return nil
}

// part notes that the courses have parted, if they had not.
func (c *course) part(at time.Time) {
	if !c.apart {
		c.apart, c.out.First = true, at
	}
}

// follow takes what a decision would have left.
func (c *course) follow(d *pair.Decision) {
	c.record, c.next = done(d), time.Duration(d.Next)
}

// between follows the looks between the stored decisions i-1 and i.
func (c *course) between(i int) error {
	before, until := &c.history.Decisions[i-1], c.history.Decisions[i].At
	at := before.At
	for range mostBetween {
		every := c.next
		if every <= 0 {
			every = sweepEvery
		}
		if at = at.Add(every); !at.Before(until) {
			return nil
		}
		if err := c.look(i-1, at); err != nil {
			return err
		}
	}
	return nil
}

// look makes a look like that of the i-th stored decision. While the courses
// are one it is judged with the stored definition too: what that decides as
// well is no difference.
func (c *course) look(i int, at time.Time) error {
	r := &c.history.Decisions[i]
	in := r.Input
	in.Definition, in.Record, in.Evidence, in.Open = c.edited, c.record, nil, nil
	in.Observation = moved(in.Observation, at)
	in.Observation.Balancers = asHeld(in.Observation.Balancers, &in, r.Input.Record.Admin)
	instead, err := c.decide(i, &in)
	if err != nil {
		return err
	}
	if !c.apart {
		usual := in
		usual.Definition = r.Input.Definition
		happens, err := c.decide(i, &usual)
		if err != nil {
			return err
		}
		quiet := happens.Quiet() && instead.Quiet()
		if happens.Row == instead.Row && (quiet || sameRecord(&happens.Record, &instead.Record)) {
			c.follow(&instead)
			return nil
		}
		c.part(at)
	}
	if !instead.Quiet() {
		c.out.Steps = append(c.out.Steps, Step{At: at, Instead: *toldOf(&in, &instead)})
	}
	c.follow(&instead)
	return nil
}

// moved is an observation as it would have been at another time.
func moved(o pair.Observation, at time.Time) pair.Observation {
	by := at.Sub(o.At)
	later := func(t *time.Time) {
		if !t.IsZero() {
			*t = t.Add(by)
		}
	}
	o.At = at
	for i := range o.Units {
		u := &o.Units[i]
		later(&u.Check.At)
		later(&u.API.At)
		later(&u.Power.At)
		later(&u.Service.At)
	}
	o.Balancers = slices.Clone(o.Balancers)
	for i := range o.Balancers {
		later(&o.Balancers[i].At)
	}
	return o
}

// done is the record that a decision leaves when all that it intends is done at
// once: admin states stand, or are gone.
func done(d *pair.Decision) pair.Record {
	rec := d.Record
	rec.Admin = slices.Clone(rec.Admin)
	for i := range rec.Admin {
		rec.Admin[i].Landed = true
	}
	for _, i := range d.Intents {
		if i.Kind == pair.IntentRelease {
			rec.Admin = slices.DeleteFunc(rec.Admin, func(h pair.AdminHold) bool {
				return h.LoadBalancer == i.LoadBalancer && h.Pool == i.Pool && h.Unit == i.Unit
			})
		}
	}
	return rec
}

// carried is the record before a decision that would have been: what the one
// before would have left, with what was said and proved meanwhile in the real
// course.
func carried(rec, left, found pair.Record) pair.Record {
	rec.Epoch, rec.Lease = found.Epoch, found.Lease
	rec.Proofs = found.Proofs
	if !same(left.Pause, found.Pause) {
		rec.Pause = found.Pause
	}
	if !same(left.Prove, found.Prove) {
		rec.Prove = found.Prove
	}
	if !same(left.Retire, found.Retire) {
		rec.Retire = found.Retire
	}
	if left.Block != nil && found.Block == nil || len(left.Moves) > 0 && len(found.Moves) == 0 { // somebody has looked
		rec.Block, rec.Moves = nil, nil
	}
	if p := found.Plan; p != nil && p.Approved != nil && rec.Plan != nil && rec.Plan.Hash == p.Hash {
		rec.Plan = p
	}
	return rec
}

// asHeld is what was read of the load balancers, with our own admin states as
// they would have stood in place of those that held stood for.
func asHeld(seen []pair.BalancerSeen, in *pair.Input, held []pair.AdminHold) []pair.BalancerSeen {
	all := slices.Clone(seen)
	for i := range all {
		b := &all[i]
		b.Tags = maps.Clone(b.Tags)
		delete(b.Tags, pair.TagName(in.Definition.Name)) // it speaks of the real course
		b.Pools = slices.Clone(b.Pools)
		for n := range b.Pools {
			p := &b.Pools[n]
			p.Members = slices.Clone(p.Members)
			for m := range p.Members {
				setAdmin(&p.Members[m], b.Name, p.Name, in, held)
			}
		}
		b.Health = healthAsHeld(b, in, held)
	}
	return all
}

// healthAsHeld is the load balancer's own view with our admin states as they
// would have stood. What its probe would have said of a unit that was held Down
// is not known, so it is left out.
func healthAsHeld(b *pair.BalancerSeen, in *pair.Input, held []pair.AdminHold) []pair.HealthSeen {
	down := func(holds []pair.AdminHold, h pair.HealthSeen) bool {
		return slices.ContainsFunc(holds, func(a pair.AdminHold) bool {
			return a.LoadBalancer == b.Name && a.State == pair.AdminDown && in.Definition.Units.Of(a.Unit).Address == h.Address
		})
	}
	var all []pair.HealthSeen
	for _, h := range b.Health {
		if down(in.Record.Admin, h) {
			h.Up, h.Reason = false, downAdmin
		} else if h.Reason == downAdmin && down(held, h) {
			continue
		}
		all = append(all, h)
	}
	return all
}

// downAdmin is the load balancer's word for a unit that an admin state holds
// Down (azure.md 1.11).
const downAdmin = "Down_Admin"

func setAdmin(m *pair.MemberSeen, balancer, pool string, in *pair.Input, held []pair.AdminHold) {
	at := func(h pair.AdminHold) bool {
		return h.LoadBalancer == balancer && h.Pool == pool && in.Definition.Units.Of(h.Unit).Address == m.Address
	}
	if i := slices.IndexFunc(held, at); i >= 0 && held[i].State == m.Admin {
		m.Admin = pair.AdminNone
	}
	if i := slices.IndexFunc(in.Record.Admin, at); i >= 0 {
		m.Admin = in.Record.Admin[i].State
	}
}

func same(a, b any) bool {
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && bytes.Equal(x, y)
}

// sameRecord compares all that a decision remembers but the epoch, which only
// counts.
func sameRecord(a, b *pair.Record) bool {
	x, y := *a, *b
	x.Epoch, y.Epoch = 0, 0
	return same(x, y)
}

func toldOf(in *pair.Input, d *pair.Decision) *Told {
	t := &Told{Row: d.Row, Seen: d.Seen, Believed: d.Believed, Reason: pair.Explain(in, d), Quiet: d.Quiet()}
	for _, i := range d.Intents {
		if i.Kind == pair.IntentTag {
			continue // it says what the others do
		}
		t.Intents = append(t.Intents, Words(i))
	}
	return t
}

// Words say what an intent wants done.
func Words(i pair.Intent) string {
	switch i.Kind {
	case pair.IntentStart, pair.IntentRestart:
		return fmt.Sprintf("%s: the VM of %s", i.Kind, i.Unit)
	case pair.IntentPrefer:
		return fmt.Sprintf("%s: %s on %s", i.Kind, i.Prefer, i.Unit)
	case pair.IntentTag:
		if i.Tag == "" {
			return fmt.Sprintf("%s: none on %s", i.Kind, i.LoadBalancer)
		}
		return fmt.Sprintf("%s: %q on %s", i.Kind, i.Tag, i.LoadBalancer)
	default:
		return fmt.Sprintf("%s: %s to %s in %s/%s", i.Kind, i.Unit, i.Want, i.LoadBalancer, i.Pool)
	}
}
