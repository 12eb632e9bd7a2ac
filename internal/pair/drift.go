package pair

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Drift is what one reading of the load balancers, the security group and the
// interfaces showed to differ from what the pair file asks for (internal/balancer
// compares). It is boiled down to what a decision needs; the values themselves
// are in the plan that anybody can make again (tandem plan).
type Drift struct {
	At   time.Time `json:"at"`
	Hash string    `json:"hash,omitempty"` // of the plan; empty where nothing differs
	// Steps are one for each resource that has to be written, in the order in
	// which that has to happen.
	Steps []DriftStep `json:"steps,omitempty"`
	// Refusal is why there is no plan: the pair file asks for something that the
	// platform cannot give, or what is there stands in the way.
	Refusal string `json:"refusal,omitempty"`
	// By is the principal of the newest event about one of the resources.
	By string `json:"by,omitempty"`
}

// DriftStep is the write of one resource.
type DriftStep struct {
	Resource ResourceID `json:"resource"`
	// LoadBalancer is the resource's name where it is one: its writes must not
	// meet those of admin states.
	LoadBalancer string   `json:"loadBalancer,omitempty"`
	Hash         string   `json:"hash"`
	Create       bool     `json:"create,omitempty"`
	Changes      int      `json:"changes"`
	Fields       []string `json:"fields,omitempty"` // the first FieldsKept of the changes
}

// FieldsKept is how many fields of a step are remembered.
const FieldsKept = 16

// Drifted is a drift as it is remembered.
type Drifted struct {
	Drift
	Since time.Time `json:"since"` // since when exactly this was seen
	// Dispute names a field that somebody has changed back after each of our last
	// two repairs, and who that was.
	Dispute string `json:"dispute,omitempty"`
	// NotBefore is when the next repair may be tried after one that failed, and
	// LastErr why that one did.
	NotBefore time.Time `json:"notBefore,omitzero"`
	LastErr   string    `json:"lastError,omitempty"`
}

// Repair is a field that we set, and who had changed it, as far as events told.
// A field that the same principal changes back again and again is a dispute, and
// no drift.
type Repair struct {
	Resource ResourceID `json:"resource,omitempty"`
	Unit     Role       `json:"unit,omitempty"` // whose HA set-up it is a field of
	Field    string     `json:"field"`
	At       time.Time  `json:"at"`
	By       string     `json:"by,omitempty"`
}

// Wish is a person's word that the pair's resources shall be written as the plan
// with this hash says, in any mode (tandem apply).
type Wish struct {
	Plan string    `json:"plan"`
	By   string    `json:"by"`
	At   time.Time `json:"at"`
}

const (
	// DriftSettles is how long the same drift must be seen before it is repaired
	// without a person: a deployment in progress passes through states that are
	// nobody's wish.
	DriftSettles = time.Minute
	// RepairAgain is how long a repair rests that failed.
	RepairAgain = 10 * time.Minute
	// RepairsFor is how long a repair is remembered, so that a deployment that
	// changes something back every night is a dispute by the third night.
	RepairsFor = 7 * 24 * time.Hour
	// RepairsKept bounds the memory of repairs.
	RepairsKept = 64
	// WishFor is how long a person's wish waits to be carried out. What it rests on
	// changes; one who applies a plan wants it now.
	WishFor = 10 * time.Minute
)

// learnDrift remembers what a reading showed.
func (d *Decision) learnDrift(seen *Drift) {
	was := d.Record.Drift
	switch {
	case seen == nil:
	case seen.Hash == "" && seen.Refusal == "":
		if was != nil || d.Record.Wish != nil {
			d.Record.Drift, d.Record.Wish, d.Changed = nil, nil, true
		}
	case was == nil || was.Hash != seen.Hash || was.Refusal != seen.Refusal:
		d.Record.Drift, d.Changed = &Drifted{Drift: *seen, Since: d.At, Dispute: disputed(d.Record.Repairs, seen)}, true
	case was.By == "" && seen.By != "":
		// A look was faster than the event, which tells who it was.
		named := *was
		named.By, named.Dispute = seen.By, disputed(d.Record.Repairs, seen)
		d.Record.Drift, d.Changed = &named, true
	}
	if w := d.Record.Wish; w != nil && !w.stands(d.At) {
		d.Record.Wish, d.Changed = nil, true
	}
}

// disputed finds a field that was repaired twice already after the same principal
// had changed it. One that no event names is taken for always the same.
func disputed(repairs []Repair, seen *Drift) string {
	for _, s := range seen.Steps {
		for _, field := range s.Fields {
			times := 0
			for _, r := range repairs {
				if r.By == seen.By && r.Resource == s.Resource && r.Field == field {
					times++
				}
			}
			if times >= 2 {
				return s.Resource.Title() + ": " + field + ", set by Tandem and changed back by " + cmp.Or(seen.By, "somebody whom no event names")
			}
		}
	}
	return ""
}

// Repaired notes the fields of a step that was written.
func (rec *Record) Repaired(resource ResourceID, at time.Time) {
	if rec.Drift == nil {
		return
	}
	for _, s := range rec.Drift.Steps {
		if s.Resource != resource {
			continue
		}
		for _, field := range s.Fields {
			rec.Repairs = append(slices.Clone(rec.Repairs), Repair{Resource: resource, Field: field, At: at, By: rec.Drift.By})
		}
	}
	rec.Repairs = rec.Repairs[max(0, len(rec.Repairs)-RepairsKept):]
}

func (w *Wish) stands(now time.Time) bool {
	age := now.Sub(w.At)
	return age > -bootSkew && age < WishFor
}

// repair chooses to write the pair's resources: for a person at once; otherwise
// where no other lever fits, or where it needs no asking, because a load balancer
// that is not what it must be makes every other lever doubtful. While it is under
// way the others are chosen as if there were no drift.
func (d *Decision) repair(in *Input, other choice, s Stance) choice {
	drift := d.Record.Drift
	c := choice{LeverRepair, RoleUnknown, Allowed}
	switch {
	case drift != nil && d.wished(in):
		return c
	case drift == nil || d.Seen == Blind || d.Seen == Booting || d.Seen == Flapping || other.lever == LeverProve:
		return other
	case other.lever == LeverNone:
		return c
	case s == StanceAuto && d.repairObstacle(in, false) == ObstacleNone:
		return c
	default:
		return other
	}
}

// mends chooses the repair of what may have cut the link, while a fence stands. The
// fence has its own end: where the cause is ours to mend, waiting for that would be
// waiting for ever.
func (d *Decision) mends(in *Input, f *Facts) choice {
	if f.Hold != HoldStanding || !d.Record.Admin[0].Fence() {
		return choice{}
	}
	c := choice{LeverRepair, RoleUnknown, Allowed}
	if d.Record.Drift == nil || d.repairObstacle(in, false) != ObstacleNone {
		c = d.setUp(in, choice{}, f.Stance)
	}
	if c.lever == LeverSetUp && d.setUpObstacle(in, false) != ObstacleNone || permit(c, f.Stance, false, false) != PermitAct {
		return choice{}
	}
	f.Lever, f.Permit = c.lever, PermitAct
	return c
}

// wished reports whether a person's wish waits, and not for what is being written
// already.
func (d *Decision) wished(in *Input) bool {
	return d.Record.Wish != nil && !underWay(in, IntentRepair, RoleUnknown)
}

// repairObstacle is what stands in the way of a repair. A person's word passes a
// dispute and the waits, and nothing else.
func (d *Decision) repairObstacle(in *Input, approved bool) Obstacle {
	drift := d.Record.Drift
	switch {
	case underWay(in, IntentRepair, RoleUnknown):
		return ObstacleUnderWay
	case drift.Hash == "":
		return ObstacleRefusal
	case d.Record.Wish != nil && d.Record.Wish.Plan != drift.Hash:
		return ObstacleMoved
	case approved || d.Record.Wish != nil:
		return ObstacleNone
	case drift.Dispute != "":
		return ObstacleDispute
	case d.At.Sub(drift.Since) < DriftSettles || d.At.Before(drift.NotBefore):
		return ObstacleHoldDown
	default:
		return ObstacleNone
	}
}

// refuseWish ends a person's wish that cannot be carried out.
func refuseWish(_ *Input, d *Decision, _ choice) { d.Record.Wish, d.Changed = nil, true }

// words say what differs, since when and by whom, in the length of a sentence.
func (d *Drifted) words() string {
	words := strings.Join(d.Differences(), "; ")
	if d.Hash != "" {
		words += "; plan " + d.Hash
	}
	words += "; seen since " + d.Since.UTC().Format(time.DateTime) + "Z"
	if d.By != "" {
		words += "; the newest change is by " + d.By
	}
	if d.Dispute != "" {
		words += "; disputed: " + d.Dispute
	}
	if d.LastErr != "" {
		words += "; the last repair failed: " + d.LastErr
	}
	return words
}

// idInPath is an element of a list of references; the end of its id tells a person
// enough.
var idInPath = regexp.MustCompile(`\[id=/[^]]*/([^]/]+)\]`)

// Differences say for a person what differs, one sentence for each resource that
// has to be written; or why it cannot be written.
func (d *Drift) Differences() []string {
	if d.Refusal != "" {
		return []string{d.Refusal}
	}
	all := make([]string, len(d.Steps))
	for i, s := range d.Steps {
		verb := "differs in "
		if s.Create {
			verb = "is missing: "
		}
		few := s.Fields[:min(3, len(s.Fields))]
		fields := idInPath.ReplaceAllString(strings.Join(few, ", "), "[$1]")
		if more := s.Changes - len(few); more > 0 {
			fields += fmt.Sprintf(" and %d more", more)
		}
		all[i] = s.Resource.Title() + " " + verb + fields
	}
	return all
}
