package pair

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"time"
)

// Times of the decision. They are constants rather than settings because they
// follow from the platform: the load balancer itself needs ten to fifteen
// seconds to change its mind (azure.md 1.4).
const (
	// Spacing is the least time between two observations that count
	// separately, so that a burst of events confirms nothing.
	Spacing = 3 * time.Second
	// LookAgain is when a suspect pair, or one with a fence, is looked at
	// again; a quiet pair waits for the sweep.
	LookAgain = 5 * time.Second
	// FreshFor is how old an answer of a check port may be to count as proof
	// for a fence (DESIGN promise 2).
	FreshFor = 5 * time.Second
	// FenceFor is how long a fence stands unless it is renewed. A dead Tandem
	// leaves it standing, so it is short; a Tandem that lives renews it.
	FenceFor = 2 * time.Minute
	// ProveFor is how long the Down of a lever proof may stand. Rule health
	// follows late, so it is longer than a fence; it stands on the standby,
	// which serves nobody.
	ProveFor = 5 * time.Minute
)

// Input is everything a decision depends on. It is stored with the decision,
// so that anybody can compute it again.
type Input struct {
	Definition  Definition  `json:"definition"`
	MaxMode     Mode        `json:"maxMode"`         // TANDEM_MAX_MODE; it only lowers
	Stop        *Pause      `json:"stop,omitempty"`  // a person stopped everything
	Blind       BlindCause  `json:"blind,omitempty"` // why we do not trust ourselves
	Record      Record      `json:"record"`
	Observation Observation `json:"observation"`
	Evidence    []Evidence  `json:"evidence,omitempty"` // what events brought since
	Open        []Intent    `json:"open,omitempty"`     // intents that are not closed yet
	Spare       bool        `json:"spare,omitempty"`    // the process that looks has time for a backup
	Compares    bool        `json:"compares,omitempty"` // and to compare settings
	// Proposal is what the running job wants, by internal/job from the rest of this.
	Proposal *Proposal `json:"proposal,omitempty"`
}

// Decision is what should be done about a pair, and what to remember.
type Decision struct {
	V         int       `json:"v"`
	MinReader int       `json:"minReader"`
	ID        string    `json:"id"`
	Epoch     uint64    `json:"epoch"`
	At        time.Time `json:"at"`
	Seen      Situation `json:"seen"`     // what this observation shows
	Believed  Situation `json:"believed"` // what counts
	From      Situation `json:"from"`     // what counted before
	Row       string    `json:"row"`
	Facts     Facts     `json:"facts"`
	Intents   []Intent  `json:"intents,omitempty"`
	Alarm     Alarm     `json:"alarm,omitempty"`
	Next      Duration  `json:"next,omitempty"` // look again after; 0 leaves it to the sweep
	// ReadBalancers asks for the same decision again with the load balancers
	// read, which is too dear to do at every pass.
	ReadBalancers bool `json:"readBalancers,omitempty"`
	// Remove asks for the pair to be forgotten, once nothing is left to do.
	Remove bool `json:"remove,omitempty"`
	// Record is what shall be remembered; Changed says whether it differs from
	// what was. A decision that changes nothing and intends nothing is quiet,
	// and a quiet pass writes nothing.
	Record  Record `json:"-"`
	Changed bool   `json:"changed"`
}

// Quiet reports whether there is nothing to store and nothing to do.
func (d *Decision) Quiet() bool { return !d.Changed && len(d.Intents) == 0 }

// Alarm is how loudly a decision wants to be heard.
type Alarm uint8

// The levels of alarm.
const (
	AlarmNone Alarm = iota
	AlarmNotice
	AlarmWarning // somebody should look this week
	AlarmUrgent  // somebody should look now
)

var alarmNames = names{"none", "notice", "warning", "urgent"}

func (a Alarm) String() string               { return alarmNames.text(uint8(a)) }
func (a Alarm) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText reads the stored form.
func (a *Alarm) UnmarshalText(b []byte) error {
	v, err := alarmNames.parse("alarm", b)
	*a = Alarm(v)
	return err
}

// Decide chooses what to do about a pair.
//
// It is pure: it reads no clock, makes no call and keeps nothing, so equal
// inputs give equal decisions. It never changes its input. It never fences
// without fresh proof that the survivor serves, because serving twice for a
// while is an inconvenience and not serving is an outage.
func Decide(in *Input) Decision {
	d := Decision{V: Version, MinReader: MinReader, At: in.Observation.At, From: in.Record.Situation}
	d.Record = in.Record
	d.adopt(in)
	d.Epoch = d.Record.Epoch + 1
	d.learn(in)
	now := sight(&in.Definition, &in.Observation, &d.Record)
	d.Seen = steadied(now, &in.Observation, &d.Record)
	belief := d.believe(in.Definition.Failover)
	d.Believed = d.Record.Situation
	d.remember(in, now)
	var c choice
	d.Facts, c = facts(in, &d, belief)

	row := choose(&d.Facts)
	d.Row, d.Alarm, d.Next = row.Name, row.Alarm, Duration(row.Next)
	d.ReadBalancers, d.Remove = row.ReadBalancers, row.Remove
	if p := proposed(in, &d.Record); p != nil && p.Read && len(in.Observation.Balancers) == 0 {
		d.ReadBalancers = true
	}
	row.act(in, &d, c)
	d.backUp(in)
	d.compare(in)
	d.tidy(in)
	d.alarm(cmp.Or(row.Topic, row.Name))
	d.Record.V, d.Record.MinReader = Version, max(MinReader, in.Record.MinReader)
	if d.Quiet() {
		d.Epoch = in.Record.Epoch
		return d
	}
	d.ID, d.Record.Epoch = ID(in.Definition.Name, d.Epoch, 1), d.Epoch
	if p := d.Record.Plan; p != nil && p.Decision == d.ID {
		p.Reason = Saw(in, &d) + ": " + why(row, in, &d)
	}
	return d
}

// alarm keeps what somebody should know. A doubt neither raises nor ends one.
func (d *Decision) alarm(topic string) {
	was := d.Record.Alarm
	switch {
	case d.Alarm >= AlarmWarning && (was == nil || was.Row != topic):
		d.Record.Alarm, d.Changed = &Alarmed{Row: topic, Level: d.Alarm, Since: d.At}, true
	case d.Alarm < AlarmWarning && was != nil && d.Facts.Belief == Confirmed:
		d.Record.Alarm, d.Changed = nil, true
	}
}

// learn takes over newer evidence of events. Older or equal evidence changes
// nothing, so repeats and late events do no harm.
func (d *Decision) learn(in *Input) {
	for _, e := range in.Evidence {
		for _, r := range Roles {
			u := &d.Record.Units[r.Index()]
			if in.Definition.VMID(r) != e.VM {
				continue
			}
			if tellsMore(e, u.Platform) {
				u.Platform, d.Changed = e, true
			}
			if e.Kind == EvidenceStarted && e.At.After(u.StartedAt) {
				u.StartedAt, d.Changed = e.At, true
			}
		}
	}
	for _, r := range Roles {
		d.learnOf(in, r)
	}
	d.learnLanded(in)
	d.learnDrift(in.Observation.Drift)
	d.learnSettings(in)
	if !unread(&in.Definition, &in.Observation) {
		f := foreign(&in.Definition, &d.Record, &in.Observation)
		for _, u := range d.Record.Units {
			f = f || u.Probed.Foreign != AdminUnknown // rule health is not read each time
		}
		if f != d.Record.Foreign {
			d.Record.Foreign, d.Changed = f, true
		}
	}
}

// learnLanded notes that a fence is in place which control gave up to wait for: the
// document reads it, and so does the load balancer's own view.
func (d *Decision) learnLanded(in *Input) {
	for n, h := range d.Record.Admin {
		u := in.Definition.Units.Of(h.Unit)
		if h.Fence() && !h.Landed && adminSeen(&in.Observation, h.LoadBalancer, h.Pool, u) == h.State && adminShown(&in.Observation, h.LoadBalancer, u) == h.State {
			d.Record.Admin = slices.Clone(d.Record.Admin)
			d.Record.Admin[n].Landed, d.Changed = true, true
		}
	}
}

// tellsMore reports whether evidence is to be remembered instead of what is
// known: because it is newer, or because what is known only follows from it and
// came first. That a machine is unavailable follows from its stop, whoever
// stopped it.
func tellsMore(e, known Evidence) bool {
	if followsFrom(e, known) {
		return false
	}
	return e.At.After(known.At) || followsFrom(known, e) && known.At.Sub(e.At) < stopSeenWithin
}

// stopSeenWithin is how much later than a stop the platform may notice that the
// machine is gone.
const stopSeenWithin = 10 * time.Minute

func followsFrom(e, cause Evidence) bool {
	return cause.Kind == EvidenceStopped && (e.Kind == EvidenceUnavailable || e.Kind == EvidenceDegraded)
}

// learnOf remembers what the platform said of one unit: its power state while it
// is silent, and how the load balancer's probe finds it.
func (d *Decision) learnOf(in *Input, r Role) {
	d.learnSetUp(in, r)
	u, seen := &d.Record.Units[r.Index()], in.Observation.Unit(r)
	switch {
	case seen.Lives() && u.Power != (PowerSeen{}):
		u.Power, d.Changed = PowerSeen{}, true
	case !seen.Lives() && seen.Power.Power != PowerUnknown && (seen.Power.Power != u.Power.Power || u.Platform.At.After(u.Power.At)):
		u.Power, d.Changed = seen.Power, true
	}
	switch {
	case seen.API.Rest > 0:
		u.Refusal, d.Changed = u.Refusal.After(d.At, time.Duration(seen.API.Rest)), true
	case seen.API.Answer == APIAnswered && u.Refusal != nil:
		u.Refusal, d.Changed = nil, true
	}
	p, read := probed(&in.Observation, in.Definition.Units.Of(r))
	p, read = learnMeasured(p, read, in, r, u.Probed)
	p.Foreign = foreignShown(&d.Record, &in.Observation, r, in.Definition.Units.Of(r))
	if !read {
		p = u.Probed
	}
	if dark := !in.Observation.Units[0].Lives() && !in.Observation.Units[1].Lives(); !dark {
		p.Up = false // it tells something only while neither answers us
	}
	if p != u.Probed {
		u.Probed, d.Changed = p, true
	}
}

// probed is how the load balancers' probes find a unit, if that was read; one of
// several that gets no answer is enough.
func probed(seen *Observation, unit Unit) (p ProbedSeen, read bool) {
	for _, lb := range seen.Balancers {
		for _, h := range lb.Health {
			if h.Address != unit.Address {
				continue
			}
			read = true
			if h.Unreached() {
				return ProbedSeen{Unreached: true, Reason: h.Reason}, true
			}
			p.Up = p.Up || h.ProbedUp()
		}
	}
	return p, read
}

// believe counts how often the same thing was seen in a row and takes it for
// true when that is often enough.
func (d *Decision) believe(f Failover) Belief {
	rec := &d.Record
	if sameSight(d.Seen, rec.Situation) && !rec.Since.IsZero() {
		if rec.Suspicion != (Suspicion{}) || d.Seen != rec.Situation {
			rec.Suspicion, rec.Situation, d.Changed = Suspicion{}, d.Seen, true
		}
		return Confirmed
	}
	s := &rec.Suspicion
	switch {
	case s.Count == 0 || !sameSight(s.Situation, d.Seen) || s.CountedAt.After(d.At): // or a clock went back
		*s = Suspicion{Situation: d.Seen, Since: d.At, Count: 1, CountedAt: d.At}
		d.Changed = true
	case d.At.Sub(s.CountedAt) >= Spacing:
		s.Situation = d.Seen
		s.Count++
		s.CountedAt = d.At
		d.Changed = true
	}
	switch {
	case s.Count >= needed(f, d.Seen, rec.Since.IsZero()):
		rec.Situation, rec.Since, rec.Suspicion = d.Seen, s.Since, Suspicion{}
		d.Changed = true
		return Confirmed
	case s.Count >= f.SuspectAfter:
		return Suspected
	default:
		return Glimpsed
	}
}

// needed is how many observations in a row make a situation believed. Recovery
// takes more than failure; a new pair that is healthy is taken at its word.
func needed(f Failover, s Situation, newPair bool) int {
	switch {
	case s == Healthy && newPair, s == Flapping: // which many looks have made out already
		return 1
	case s == Healthy:
		return f.RecoverAfter
	default:
		return f.ConfirmAfter
	}
}

// remember notes which unit serves alone and how often what is seen changes,
// and drops what has expired.
func (d *Decision) remember(in *Input, now Situation) {
	rec, seen := &d.Record, &in.Observation
	if serving := servingAlone(seen); serving != RoleUnknown && serving != rec.LastActive {
		rec.LastActive, d.Changed = serving, true
	}
	if !sameSight(now, rec.Sight) && !d.flapsOn() {
		if rec.Sight != Unclear { // the first sight is no change
			rec.Flips = append(since(rec.Flips, d.At, FlapWindow), d.At)
			rec.Flips = rec.Flips[max(0, len(rec.Flips)-flapsAt):]
		}
		rec.Sight, d.Changed = now, true
	}
	if len(rec.Flips) > 0 && rec.Situation != Flapping && len(since(rec.Flips, d.At, FlapWindow)) == 0 {
		rec.Flips, d.Changed = nil, true
	}
	if kept := slices.DeleteFunc(slices.Clone(rec.Repairs), func(r Repair) bool { return d.At.Sub(r.At) >= RepairsFor }); len(kept) < len(rec.Repairs) {
		rec.Repairs, d.Changed = kept, true
	}
	if len(since(rec.Moves, d.At, time.Hour)) < len(rec.Moves) {
		rec.Moves, d.Changed = since(rec.Moves, d.At, time.Hour), true
	}
	if rec.Plan != nil && !rec.Plan.Since.Equal(rec.Since) {
		rec.Plan, d.Changed = nil, true
	}
	if rec.Pause != nil && rec.Pause.over(d.At) {
		rec.Pause, d.Changed = nil, true
	}
}

// flapsOn reports whether a flapping pair has changed a moment ago, so that
// another change says nothing new and need not be stored.
func (d *Decision) flapsOn() bool {
	flips := d.Record.Flips
	if d.Record.Situation != Flapping || len(flips) == 0 {
		return false
	}
	return len(since(flips, d.At, FlapWindow/10)) > 0
}

func servingAlone(seen *Observation) Role {
	a, b := seen.Units[0].Check.Answer, seen.Units[1].Check.Answer
	switch {
	case a == CheckServing && b != CheckServing && b != CheckUnknown:
		return First
	case b == CheckServing && a != CheckServing && a != CheckUnknown:
		return Second
	default:
		return RoleUnknown
	}
}

// release takes back every admin state of ours.
func release(in *Input, d *Decision, _ choice) { d.takeBack(in, d.Record.Admin) }

// takeBack takes admin states of ours back, unless that is under way. Where one was
// never seen in place it may still be on its way, so None is written even where
// None is read, to supersede it, and is not believed at once.
func (d *Decision) takeBack(in *Input, holds []AdminHold) {
	var gone []AdminHold
	for _, h := range holds {
		i := Intent{
			Kind: IntentRelease, LoadBalancer: h.LoadBalancer, Pool: h.Pool, Unit: h.Unit, Want: AdminNone, Rewrite: !h.Landed,
			Late: h.Late || !h.Landed,
		}
		underWay := false
		for _, o := range in.Open {
			if o.Same(i) {
				underWay = underWay || o.Kind == IntentRelease
				i.Late = i.Late || o.Late
				if o.State == IntentOpen { // of that fence nothing was sent
					i.Rewrite, i.Late = false, h.Late
				}
			}
		}
		if !underWay {
			d.intend(in, i)
			gone = append(gone, h)
		}
	}
	stays := slices.DeleteFunc(slices.Clone(d.Record.Admin), func(h AdminHold) bool { return slices.Contains(holds, h) })
	for _, h := range gone {
		d.tag(in, h.LoadBalancer, tagOf(stays, h.LoadBalancer))
	}
}

// forget drops the holds of what somebody else has taken away, and takes back
// what is left of them in other pools. Who takes a fence away for the second time
// means it, so that nothing is set by itself again before a person said so.
func forget(in *Input, d *Decision, c choice) {
	left := slices.DeleteFunc(slices.Clone(d.Record.Admin), in.erased)
	for _, h := range d.Record.Admin {
		if in.erased(h) && !slices.ContainsFunc(left, func(o AdminHold) bool { return o.LoadBalancer == h.LoadBalancer }) {
			d.tag(in, h.LoadBalancer, "")
		}
	}
	if d.Facts.Hold == HoldLost && d.Record.Admin[0].Fence() {
		d.Record.Block = &Block{Since: d.At, Reason: d.Row}
	}
	d.Record.Admin, d.Changed = nil, true
	if len(left) > 0 {
		d.Record.Admin = left
		release(in, d, c)
	}
}

// pull carries out the chosen lever. What it may set in a load balancer is
// remembered before the effect: it is ours to take back, whether the write
// arrived or not.
func pull(in *Input, d *Decision, c choice) {
	owner := OwnerTandem
	switch {
	case d.Facts.Approved:
		owner = d.Record.Plan.Approved.By
	case c.lever == LeverProve:
		owner = d.Record.Prove.By
	case c.lever == LeverRepair && d.Record.Wish != nil:
		owner = d.Record.Wish.By
	}
	intents, sets := intentsOf(c, in, d), false
	for _, i := range intents {
		if i.Pool == "" {
			continue
		}
		sets = true
		h := AdminHold{
			LoadBalancer: i.LoadBalancer, Pool: i.Pool, Unit: i.Unit, State: i.Want, Lever: c.lever,
			Epoch: d.Epoch, Owner: owner, Reason: d.Row, Since: d.At, Deadline: i.Deadline,
		}
		d.hold(h)
	}
	for _, h := range d.Record.Admin {
		if sets {
			d.tag(in, h.LoadBalancer, tagOf(d.Record.Admin, h.LoadBalancer))
		}
	}
	for _, i := range intents {
		i.By = owner
		d.intend(in, i)
	}
	switch {
	case c.lever == LeverProve:
		d.Record.Prove = nil
	case c.lever == LeverRepair:
		d.Record.Wish = nil
	case c.lever == LeverSetUp || c.lever == LeverSync: // what needs no asking moves nothing
	case c.lever == LeverStart || c.lever == LeverRestart:
		u := &d.Record.Units[c.unit.Index()]
		u.Powered = append(since(u.Powered, d.At, 24*time.Hour), d.At)
	case c.lever != LeverPrefer || d.Seen == NoneActive:
		d.Record.Moves = append(slices.Clone(d.Record.Moves), d.At)
	}
	d.Record.Plan = nil
}

// hold remembers an admin state of ours.
func (d *Decision) hold(h AdminHold) { d.Record.Admin = append(slices.Clone(d.Record.Admin), h) }

// again sets a fence once more that somebody else took away, as a template's
// deployment does. It is the same move, and it is done once: somebody who takes
// it away twice means it.
func again(in *Input, d *Decision, _ choice) {
	holds := slices.Clone(d.Record.Admin)
	for n := range holds {
		holds[n].Again, holds[n].Landed, holds[n].Epoch = true, false, d.Epoch
		holds[n].Deadline = d.At.Add(FenceFor)
	}
	for _, h := range holds {
		d.tag(in, h.LoadBalancer, tagOf(holds, h.LoadBalancer))
	}
	for _, h := range holds {
		d.intend(in, Intent{Kind: IntentFence, LoadBalancer: h.LoadBalancer, Pool: h.Pool, Unit: h.Unit, Want: h.State, Deadline: h.Deadline, By: h.Owner})
	}
	d.Record.Admin = holds
}

// renew moves the deadlines of the standing fence. Only the tag is written to
// the platform.
func renew(in *Input, d *Decision, _ choice) {
	holds := slices.Clone(d.Record.Admin)
	for n := range holds {
		holds[n].Deadline, holds[n].Epoch = d.At.Add(FenceFor), d.Epoch
	}
	for _, h := range holds {
		d.tag(in, h.LoadBalancer, tagOf(holds, h.LoadBalancer))
	}
	d.Record.Admin, d.Changed = holds, true
}

// plan stores what would be done, for a person to approve.
func plan(in *Input, d *Decision, c choice) {
	intents := intentsOf(c, in, d)
	p := Plan{Decision: ID(in.Definition.Name, d.Epoch, 1), Row: d.Row, Intents: intents, At: d.At, Since: d.Record.Since, Hash: planHash(d.Record.Since, intents)}
	for i := range intents {
		intents[i].V, intents[i].MinReader, intents[i].Reason, intents[i].Deadline = Version, MinReader, d.Row, time.Time{}
	}
	if d.Record.Plan == nil || d.Record.Plan.Hash != p.Hash {
		d.Record.Plan, d.Changed = &p, true
	}
}

// block stops automatic moves until a person acknowledges, where there were too
// many; other obstacles end by themselves.
func block(_ *Input, d *Decision, c choice) {
	if d.Facts.Obstacle == ObstacleBlocked && d.Record.Block == nil && c.lever != LeverStart && c.lever != LeverRestart {
		d.Record.Block, d.Changed = &Block{Since: d.At, Reason: d.Row}, true
	}
}

// refuseProof ends a person's wish to have the lever proved.
func refuseProof(_ *Input, d *Decision, _ choice) { d.Record.Prove, d.Changed = nil, true }

// planHash names exactly these intents in exactly this occurrence of the
// situation.
func planHash(since time.Time, intents []Intent) string {
	if len(intents) == 0 {
		return ""
	}
	type what struct {
		Kind   IntentKind
		Place  string
		Pool   string
		Unit   Role
		Want   AdminState
		Prefer Preference
		Step   string `json:",omitempty"`
	}
	all := make([]what, len(intents))
	for n, i := range intents {
		all[n] = what{i.Kind, i.Place(), i.Pool, i.Unit, i.Want, i.Prefer, i.Step}
	}
	b, err := json.Marshal(struct {
		Since   time.Time
		Intents []what
	}{since.UTC(), all})
	if err != nil {
		panic("pair: a plan that cannot be written: " + err.Error()) // only text, numbers and times
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:8])
}

func explainOnly(*Input, *Decision, choice) {}

// tag has the load balancer say what of ours stands on it; an empty text takes
// that back. One tag speaks for all pools of a pair.
func (d *Decision) tag(in *Input, balancer, text string) {
	i := Intent{Kind: IntentTag, LoadBalancer: balancer, Tag: text}
	if !slices.ContainsFunc(d.Intents, i.Same) {
		d.intend(in, i)
	}
}

// intend adds an intent with the next id of this decision's epoch.
func (d *Decision) intend(in *Input, i Intent) {
	i.V, i.MinReader, i.Epoch, i.Reason = Version, MinReader, d.Epoch, d.Row
	i.ID = ID(in.Definition.Name, d.Epoch, 2+len(d.Intents))
	d.Intents = append(d.Intents, i)
	d.Changed = true
}
