package pair

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
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
)

// Input is everything a decision depends on. It is stored with the decision,
// so that anybody can compute it again.
type Input struct {
	Definition  Definition  `json:"definition"`
	MaxMode     Mode        `json:"maxMode"` // TANDEM_MAX_MODE; it only lowers
	Record      Record      `json:"record"`
	Observation Observation `json:"observation"`
	Evidence    []Evidence  `json:"evidence,omitempty"` // what events brought since
	Open        []Intent    `json:"open,omitempty"`     // intents that are not closed yet
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
	d.learn(in)
	d.Seen = Classify(&in.Observation, &d.Record)
	belief := d.believe(in.Definition.Failover)
	d.Believed = d.Record.Situation
	d.remember(&in.Observation)
	d.Facts = facts(in, &d, belief)

	row := choose(&d.Facts)
	d.Row, d.Alarm, d.Next = row.Name, row.Alarm, Duration(row.Next)
	d.ReadBalancers = row.ReadBalancers
	d.Epoch = in.Record.Epoch + 1
	d.ID = ID(in.Definition.Name, d.Epoch, 1)
	row.act(in, &d)
	if p := d.Record.Plan; p != nil && p.Decision == d.ID {
		p.Reason = Saw(in, &d) + ": " + why(row, in, &d)
	}
	d.Record.V, d.Record.MinReader = Version, max(MinReader, in.Record.MinReader)
	if d.Quiet() {
		d.Epoch = in.Record.Epoch
		d.ID = ""
	} else {
		d.Record.Epoch = d.Epoch
	}
	return d
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
			if e.At.After(u.Platform.At) {
				u.Platform, d.Changed = e, true
			}
			if e.Kind == EvidenceStarted && e.At.After(u.StartedAt) {
				u.StartedAt, d.Changed = e.At, true
			}
		}
	}
}

// believe counts how often the same thing was seen in a row and takes it for
// true when that is often enough.
func (d *Decision) believe(f Failover) Belief {
	rec := &d.Record
	if d.Seen == rec.Situation && !rec.Since.IsZero() {
		if rec.Suspicion != (Suspicion{}) {
			rec.Suspicion, d.Changed = Suspicion{}, true
		}
		return Confirmed
	}
	s := &rec.Suspicion
	switch {
	case s.Count == 0 || s.Situation != d.Seen || s.CountedAt.After(d.At): // or a clock went back
		*s = Suspicion{Situation: d.Seen, Since: d.At, Count: 1, CountedAt: d.At}
		d.Changed = true
	case d.At.Sub(s.CountedAt) >= Spacing:
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
	case s == Healthy && newPair:
		return 1
	case s == Healthy:
		return f.RecoverAfter
	default:
		return f.ConfirmAfter
	}
}

// remember notes which unit serves alone and drops what has expired.
func (d *Decision) remember(seen *Observation) {
	if serving := servingAlone(seen); serving != RoleUnknown && serving != d.Record.LastActive {
		d.Record.LastActive, d.Changed = serving, true
	}
	if len(d.Record.Moves) > 0 && d.At.Sub(d.Record.Moves[0]) >= time.Hour {
		d.Record.Moves = movesSince(d.Record.Moves, d.At.Add(-time.Hour))
		d.Changed = true
	}
	if d.Record.Plan != nil && d.Believed != BothActive {
		d.Record.Plan, d.Changed = nil, true
	}
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

func movesSince(moves []time.Time, since time.Time) []time.Time {
	for i, m := range moves {
		if m.After(since) {
			return moves[i:]
		}
	}
	return nil
}

// release takes back every admin state of ours, unless that is under way. Where
// the fence was never seen in place it may still be on its way, so None is
// written even where None is read, and supersedes it.
func release(in *Input, d *Decision) {
	for _, h := range d.Record.Admin {
		i := Intent{
			Kind: IntentRelease, LoadBalancer: h.LoadBalancer, Pool: h.Pool, Unit: h.Unit, Want: AdminNone, Rewrite: !h.Landed,
		}
		underWay := false
		for _, o := range in.Open {
			if o.Same(i) {
				underWay = underWay || o.Kind == IntentRelease
				i.Rewrite = i.Rewrite && o.State != IntentOpen // of that fence nothing was sent
			}
		}
		if !underWay {
			d.intend(in, i)
		}
	}
}

// forget drops the holds of a fence that somebody else has taken away.
func forget(_ *Input, d *Decision) {
	d.Record.Admin, d.Changed = nil, true
}

// fence sets the loser Down in every pool of every load balancer that holds
// it. The hold is remembered before the effect: what may have been set is ours
// to take back, whether the write arrived or not.
func fence(in *Input, d *Decision) {
	deadline := d.At.Add(FenceFor)
	holds := append([]AdminHold(nil), d.Record.Admin...)
	for _, i := range fenceIntents(in, d.Facts.Loser, deadline) {
		d.intend(in, i)
		holds = append(holds, AdminHold{
			LoadBalancer: i.LoadBalancer, Pool: i.Pool, Unit: i.Unit, State: AdminDown,
			Epoch: d.Epoch, Owner: "tandem", Reason: d.Row, Since: d.At, Deadline: deadline,
		})
	}
	d.Record.Admin = holds
	d.Record.Moves = append(append([]time.Time(nil), d.Record.Moves...), d.At)
}

func fenceIntents(in *Input, loser Role, deadline time.Time) []Intent {
	var out []Intent
	address := in.Definition.Units.Of(loser).Address
	for _, lb := range in.Observation.Balancers {
		for _, p := range lb.Pools {
			for _, m := range p.Members {
				if m.Address == address {
					out = append(out, Intent{
						Kind: IntentFence, LoadBalancer: lb.Name, Pool: p.Name, Unit: loser, Want: AdminDown, Deadline: deadline,
					})
				}
			}
		}
	}
	return out
}

// renew moves the deadlines of the standing fence. Nothing is written to the
// platform, so there is no intent.
func renew(_ *Input, d *Decision) {
	holds := append([]AdminHold(nil), d.Record.Admin...)
	for i := range holds {
		holds[i].Deadline = d.At.Add(FenceFor)
	}
	d.Record.Admin, d.Changed = holds, true
}

// plan stores what would be done, for a person to approve.
func plan(in *Input, d *Decision) {
	intents := fenceIntents(in, d.Facts.Loser, time.Time{})
	for i := range intents {
		intents[i].V, intents[i].MinReader, intents[i].Reason = Version, MinReader, d.Row
	}
	p := Plan{Decision: d.ID, Row: d.Row, Intents: intents, At: d.At}
	p.Hash = planHash(d.Record.Since, intents)
	if d.Record.Plan == nil || d.Record.Plan.Hash != p.Hash {
		d.Record.Plan, d.Changed = &p, true
	}
}

// planHash names exactly these intents in exactly this occurrence of the
// situation.
func planHash(since time.Time, intents []Intent) string {
	b, err := json.Marshal(struct {
		Since   time.Time
		Intents []Intent
	}{since.UTC(), intents})
	if err != nil {
		panic("pair: a plan that cannot be written: " + err.Error()) // only text, numbers and times
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:8])
}

func explainOnly(*Input, *Decision) {}

// intend adds an intent with the next id of this decision's epoch.
func (d *Decision) intend(in *Input, i Intent) {
	i.V, i.MinReader, i.Epoch, i.Reason = Version, MinReader, d.Epoch, d.Row
	i.ID = ID(in.Definition.Name, d.Epoch, 2+len(d.Intents))
	d.Intents = append(d.Intents, i)
	d.Changed = true
}
