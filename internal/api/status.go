package api

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"tandem/internal/pair"
)

// Status is what a person wants to know of a pair first.
type Status struct {
	V    int       `json:"v"`
	Name string    `json:"name"`
	Mode pair.Mode `json:"mode"` // of the pair file
	// Stance is what Tandem may do about the pair now and why, in words.
	Stance    string          `json:"stance,omitempty"`
	Situation pair.Situation  `json:"situation"`
	Since     time.Time       `json:"since,omitzero"`
	Suspicion *pair.Suspicion `json:"suspicion,omitempty"`
	Alarm     *pair.Alarmed   `json:"alarm,omitempty"` // what somebody should know now
	// Active is the unit that was last seen serving alone.
	Active pair.Role        `json:"active,omitempty"`
	Epoch  uint64           `json:"epoch"`
	Holds  []pair.AdminHold `json:"holds,omitempty"` // admin states of ours that stand, with owner and deadline
	Open   []pair.Intent    `json:"open,omitempty"`  // intents not yet closed
	// Foreign is set while an admin state that is not ours stands on a unit.
	Foreign bool       `json:"foreign,omitempty"`
	Plan    *pair.Plan `json:"plan,omitempty"`
	// Drift is what differed from the pair file when that was looked at last, and
	// Wish a person's word to write it that waits.
	Drift *pair.Drifted `json:"drift,omitempty"`
	Wish  *pair.Wish    `json:"wish,omitempty"`
	// SetUp is what the units say of their HA set-up and the pair file says otherwise.
	SetUp  []pair.UnitHADrift `json:"setUp,omitempty"`
	Job    *pair.Job          `json:"job,omitempty"`   // the one that runs, or the last that ended
	Pause  *pair.Pause        `json:"pause,omitempty"` // of this pair, or of one unit
	Stop   *pair.Pause        `json:"stop,omitempty"`  // of all pairs
	Block  *pair.Block        `json:"block,omitempty"` // automatic moves wait for an ack
	Prove  *pair.Request      `json:"prove,omitempty"` // the lever proof was asked for
	Retire *pair.Request      `json:"retire,omitempty"`
	Proofs []Proof            `json:"proofs,omitempty"` // of each pool of the definition
	// Warning is set where this release may not act on what is stored, or
	// cannot read it.
	Warning string `json:"warning,omitempty"`
}

// What is shown of a pair instead of an error, so that it hides no other.
const (
	tooNew     = "written by a newer release: this one only observes the pair"
	unreadable = "what is stored of the pair cannot be read; the log has the details"
)

// Proof is whether the lever is proved on one pool, and who asked for it when.
type Proof struct {
	LoadBalancer string    `json:"loadBalancer"`
	Pool         string    `json:"pool"`
	Proved       bool      `json:"proved"`
	At           time.Time `json:"at,omitzero"`
	By           string    `json:"by,omitempty"`
}

func statusOf(s pair.Snapshot) Status {
	rec := &s.Record
	st := Status{
		V: Version, Name: s.Definition.Name, Mode: s.Definition.Mode, Situation: rec.Situation, Since: rec.Since, Alarm: rec.Alarm,
		Active: rec.LastActive, Epoch: rec.Epoch, Holds: rec.Admin, Open: slices.Clone(s.Intents), Foreign: rec.Foreign, Plan: rec.Plan,
		Drift: rec.Drift, SetUp: rec.SetUp(), Wish: rec.Wish, Job: rec.Job, Pause: rec.Pause, Block: rec.Block, Prove: rec.Prove, Retire: rec.Retire, Proofs: proofsOf(s),
	}
	for i := range st.Open {
		st.Open[i].Token = "" // a signed address, which is nobody else's business
	}
	if rec.Suspicion.Count > 0 {
		st.Suspicion = &rec.Suspicion
	}
	return st
}

func proofsOf(s pair.Snapshot) []Proof {
	var all []Proof
	for _, lb := range s.Definition.LoadBalancers {
		for _, pool := range lb.Pools {
			p := Proof{LoadBalancer: lb.Name, Pool: pool}
			for _, was := range s.Record.Proofs {
				if was.LoadBalancer == lb.Name && was.Pool == pool {
					p.Proved, p.At, p.By = was.Back, was.At, was.By
				}
			}
			all = append(all, p)
		}
	}
	return all
}

// stance is what Tandem may do about the pair now, and whether the lever is
// still unproved. It asks Decide, which has the only rule for it.
func (s *server) stance(snap pair.Snapshot, stop *pair.Pause) (stance pair.Stance, unproved bool) {
	in := pair.Input{Definition: snap.Definition, MaxMode: s.MaxMode, Stop: stop, Record: snap.Record, Open: snap.Intents}
	in.Observation.At = s.now()
	d := pair.Decide(&in)
	return d.Facts.Stance, d.Facts.Unproved
}

// stanceWords says the same for a person, with the reason where it is not the
// mode of the pair file.
func (s *server) stanceWords(snap pair.Snapshot, stop *pair.Pause) string {
	stance, unproved := s.stance(snap, stop)
	rec, mode := &snap.Record, snap.Definition.Mode
	switch {
	case stance == pair.StanceRetired:
		return "retired: " + rec.Retire.By + " wants the pair forgotten" + because(rec.Retire.Reason)
	case stance == pair.StancePaused && stop.In(s.now()):
		return "paused with all pairs by " + pauseWords(stop)
	case stance == pair.StancePaused:
		return "paused by " + pauseWords(rec.Pause)
	case stance == pair.StanceMaintenance:
		return "maintenance of " + rec.Pause.Unit.String() + " by " + pauseWords(rec.Pause)
	case stance == pair.StanceRecommend && mode == pair.Auto && unproved && s.MaxMode != pair.Recommend:
		return "auto (acts as recommend: the lever is not proved, run tandem prove)"
	case stance.String() != mode.String() && s.MaxMode != pair.ModeUnset && s.MaxMode < mode:
		return fmt.Sprintf("%s (acts as %s: TANDEM_MAX_MODE)", mode, stance)
	default:
		return stance.String()
	}
}

func pauseWords(p *pair.Pause) string {
	words := p.Owner
	if !p.Until.IsZero() {
		words += " until " + p.Until.UTC().Format("2006-01-02 15:04:05Z")
	}
	return words + because(p.Reason)
}

func because(reason string) string {
	if reason == "" {
		return ""
	}
	return ": " + reason
}

// status reads one pair. One that is too new for this release, or cannot be
// read, is shown with a warning instead of hidden behind an error, so that it
// hides no other.
func (s *server) status(ctx context.Context, name string, stop *pair.Pause) (Status, error) {
	if !stop.In(s.now()) {
		stop = nil
	}
	snap, err := s.Store.Load(ctx, name)
	switch {
	case errors.Is(err, pair.ErrTooNew):
		st := statusOf(snap)
		st.Name, st.Stop = name, stop
		st.Warning = tooNew
		return st, nil
	case errors.Is(err, pair.ErrUnreadable):
		s.Log.ErrorContext(ctx, "a pair cannot be read", "pair", name, "error", err.Error())
		return Status{V: Version, Name: name, Warning: unreadable}, nil
	case err != nil:
		return Status{}, err
	}
	st := statusOf(snap)
	if !snap.Record.Pause.In(s.now()) {
		st.Pause = nil
	}
	st.Stance, st.Stop = s.stanceWords(snap, stop), stop
	return st, nil
}
