package pair

import (
	"fmt"
	"time"
)

// Row is one rule of the decision table: when it applies, what it does, and
// what it tells a person.
type Row struct {
	Name string
	// Acts names the action in one word, for the documents.
	Acts  string
	Alarm Alarm
	Next  time.Duration
	// ReadBalancers asks control to read the load balancers and decide again.
	ReadBalancers bool
	// Person says what somebody can do about it; empty where nothing is wrong.
	Person string
	// Why is the reason in a sentence; what was seen is put before it.
	Why string

	when func(*Facts) bool
	act  func(*Input, *Decision)
}

// rows is the decision table. The first row that applies wins, so order is
// meaning: taking back what we set comes before everything, then a person's
// word, then what is not yet believed, then the situations. The last row
// always applies.
var rows = []Row{
	{
		Name: "release-expired", Acts: "release", Alarm: AlarmWarning, Next: LookAgain,
		Person: "Nothing; watch that the release succeeds.",
		when:   func(f *Facts) bool { return f.Hold == HoldExpired },
		act:    release,
		Why:    "our fence is past its deadline and was not renewed by proof",
	},
	{
		Name: "release-paused", Acts: "release", Alarm: AlarmNotice, Next: LookAgain,
		Person: "Resume the pair when you are done.",
		when:   func(f *Facts) bool { return f.Hold != HoldNone && f.Stance == StancePaused },
		act:    release,
		Why:    "the pair is paused, and a pause first takes back what we set",
	},
	{
		Name: "release-mode", Acts: "release", Alarm: AlarmNotice, Next: LookAgain,
		Person: "Set mode and failover.fence to auto again if fences are wanted.",
		when:   func(f *Facts) bool { return f.Hold != HoldNone && (f.Stance != StanceAuto || f.Fence != Allowed) },
		act:    release,
		Why:    "the mode or the policy was lowered, and nothing of ours may stand in it",
	},
	{
		Name: "release-survivor", Acts: "release", Alarm: AlarmUrgent, Next: LookAgain,
		Person: "Look at the surviving unit: it no longer answers 200 on its check port.",
		when:   func(f *Facts) bool { return f.Hold != HoldNone && !f.SurvivorServes },
		act:    release,
		Why:    "the survivor no longer proves that it serves, so the fenced unit must be reachable again",
	},
	{
		Name: "release-opposed", Acts: "release", Alarm: AlarmUrgent, Next: LookAgain,
		Person: "Somebody set the surviving unit Down in the load balancer while the other one was fenced. Look who is at work there.",
		when:   func(f *Facts) bool { return f.Hold == HoldOpposed },
		act:    release,
		Why:    "somebody set the survivor Down, and both must never be Down",
	},
	{
		Name: "fence-erased", Acts: "forget", Alarm: AlarmUrgent, Next: LookAgain,
		Person: "Somebody changed the admin state that we had set. If that was a deployment, let it keep the admin states that stand.",
		when:   func(f *Facts) bool { return f.Hold == HoldErased },
		act:    forget,
		Why:    "our admin state is not there any more: somebody else took it away, so it is not ours to keep",
	},
	{
		Name: "fence-outlasts", Acts: "wait", Alarm: AlarmNotice, Next: LookAgain,
		Person: "Nothing.",
		when:   func(f *Facts) bool { return f.Hold != HoldNone && f.Situation != BothActive && !f.Settled },
		act:    explainOnly,
		Why:    "the fenced unit no longer answers 200; the fence stands until the load balancer's own probe has seen that too",
	},
	{
		Name: "release-healed", Acts: "release", Alarm: AlarmNotice, Next: LookAgain,
		Person: "Nothing; look for the cause of the split in the network between the units.",
		when:   func(f *Facts) bool { return f.Hold != HoldNone && f.Situation != BothActive },
		act:    release,
		Why:    "the fenced unit no longer answers 200, so the load balancer's own probe is enough",
	},
	{
		Name: "fence-renewed", Acts: "renew", Alarm: AlarmWarning, Next: LookAgain,
		Person: "Repair the link between the units: TCP on the check port must pass both ways.",
		when:   func(f *Facts) bool { return f.Hold == HoldDue && f.Proof != ProofNone },
		act:    renew,
		Why:    "both units still answer 200, freshly proved, so the fence stands for another while",
	},
	{
		Name: "fence-stands", Acts: "wait", Alarm: AlarmWarning, Next: LookAgain,
		Person: "Repair the link between the units: TCP on the check port must pass both ways.",
		when:   func(f *Facts) bool { return f.Hold != HoldNone },
		act:    explainOnly,
		Why:    "both units answer 200 and the loser is held Down in the load balancer",
	},
	{
		Name: "paused", Acts: "explain", Alarm: AlarmNone,
		Person: "Resume the pair when you are done.",
		when:   func(f *Facts) bool { return f.Stance == StancePaused },
		act:    explainOnly,
		Why:    "a person paused the pair: it is watched and explained, nothing is done",
	},
	{
		Name: "unclear", Acts: "explain", Alarm: AlarmNotice,
		Person: "Compare the two units: check port, HA mode, and whether the load balancer's probe reaches both.",
		when:   func(f *Facts) bool { return f.Situation == Unclear },
		act:    explainOnly,
		Why:    "what was seen fits no situation that we know, so nothing is done",
	},
	{
		Name: "glimpsed", Acts: "look again", Alarm: AlarmNone, Next: LookAgain,
		when: func(f *Facts) bool { return f.Belief == Glimpsed },
		act:  explainOnly,
		Why:  "it was just seen and may be gone in a moment",
	},
	{
		Name: "suspected", Acts: "look again", Alarm: AlarmNotice, Next: LookAgain,
		Person: "Nothing yet.",
		when:   func(f *Facts) bool { return f.Belief == Suspected },
		act:    explainOnly,
		Why:    "it was not seen often enough in a row to be believed",
	},
	{
		Name: "unconfigured", Acts: "explain", Alarm: AlarmWarning,
		Person: "Set up HA on both units (HA mode, partner, check port) and reboot them.",
		when:   func(f *Facts) bool { return f.Situation == Unconfigured },
		act:    explainOnly,
		Why:    "a unit says that HA is not configured",
	},
	{
		Name: "booting", Acts: "wait", Alarm: AlarmNone, Next: LookAgain,
		Person: "Wait: a unit needs about five minutes after a start.",
		when:   func(f *Facts) bool { return f.Situation == Booting },
		act:    explainOnly,
		Why:    "a unit was started less than five minutes ago, and its silence does not count yet",
	},
	{
		Name: "none-active", Acts: "explain", Alarm: AlarmUrgent, Next: LookAgain,
		Person: "Look at both units now: neither answers 200 on its check port. Check power, HA mode, check port, and whether 168.63.129.16 may reach it.",
		when:   func(f *Facts) bool { return f.Situation == NoneActive },
		act:    explainOnly,
		Why:    "neither unit answers 200; this release has no lever for that which is proved to be safe",
	},
	{
		Name: "degraded", Acts: "explain", Alarm: AlarmWarning,
		Person: "Find out why the silent unit is gone; the pair has no spare until it returns.",
		when:   func(f *Facts) bool { return f.Situation == Degraded },
		act:    explainOnly,
		Why:    "one unit serves and the other is gone; the load balancer already sends new connections to the one that serves",
	},
	{
		Name: "both-active-observed", Acts: "explain", Alarm: AlarmUrgent,
		Person: "Repair the link between the units, or set one of them Down in the load balancer until it is repaired.",
		when:   func(f *Facts) bool { return f.Situation == BothActive && f.Stance == StanceObserve },
		act:    explainOnly,
		Why:    "both units answer 200; in mode observe we only say so",
	},
	{
		Name: "both-active-policy", Acts: "explain", Alarm: AlarmUrgent,
		Person: "Repair the link between the units. To let Tandem fence, set failover.fence to ask or auto.",
		when: func(f *Facts) bool {
			return f.Situation == BothActive && (f.Fence == Never || f.Fence == ConsentUnset)
		},
		act: explainOnly,
		Why: "both units answer 200; the policy fence: never forbids to set one Down",
	},
	{
		Name: "both-active-read", Acts: "read the load balancer", Alarm: AlarmUrgent, Next: LookAgain, ReadBalancers: true,
		Person: "If this lasts, see why Resource Manager does not answer.",
		when:   func(f *Facts) bool { return f.Situation == BothActive && f.Obstacle == ObstacleUnread },
		act:    explainOnly,
		Why:    "both units answer 200; the load balancer must be read before anything is decided about it",
	},
	{
		Name: "both-active-foreign", Acts: "explain", Alarm: AlarmUrgent,
		Person: "Somebody set an admin state in the load balancer by hand. Clear it there when the maintenance is over.",
		when:   func(f *Facts) bool { return f.Situation == BothActive && f.Obstacle == ObstacleForeign },
		act:    explainOnly,
		Why:    "both units answer 200, and an admin state that is not ours stands on one of them: a person is at work",
	},
	{
		Name: "both-active-no-loser", Acts: "explain", Alarm: AlarmUrgent,
		Person: "Decide which unit shall serve and set the other one Down in the load balancer.",
		when:   func(f *Facts) bool { return f.Situation == BothActive && f.Obstacle == ObstacleNoLoser },
		act:    explainOnly,
		Why:    "both units answer 200, none is preferred, and it is not known which one served before",
	},
	{
		Name: "both-active-unreachable", Acts: "explain", Alarm: AlarmUrgent, Next: LookAgain,
		Person: "See that both units are in every pool, and that the load balancer's probe (168.63.129.16) reaches the one that shall serve.",
		when:   func(f *Facts) bool { return f.Situation == BothActive && f.Obstacle == ObstacleUnreachable },
		act:    explainOnly,
		Why:    "both units answer 200, but the load balancer does not carry both, or does not see the survivor as serving: a fence would leave nobody",
	},
	{
		Name: "both-active-preference", Acts: "explain", Alarm: AlarmUrgent,
		Person: "Set haprefered=0 on both units, or fence the second unit by hand.",
		when:   func(f *Facts) bool { return f.Situation == BothActive && f.Obstacle == ObstaclePreference },
		act:    explainOnly,
		Why:    "both units answer 200 and first should yield, but haprefered=0 was not read back from both units: after healing nobody would be left",
	},
	{
		Name: "both-active-limited", Acts: "explain", Alarm: AlarmUrgent,
		Person: "The last automatic move is too recent, or there were too many in an hour. Find the cause before you allow another.",
		when:   func(f *Facts) bool { return f.Situation == BothActive && f.Obstacle == ObstacleLimited },
		act:    explainOnly,
		Why:    "both units answer 200, but hold-down or the limit of moves per hour stops another automatic move",
	},
	{
		Name: "both-active-unproved", Acts: "look again", Alarm: AlarmUrgent, Next: LookAgain,
		Person: "See why neither the units' API nor the load balancer's rule health confirms what the check ports say.",
		when:   func(f *Facts) bool { return f.Situation == BothActive && f.Proof != ProofTwoKinds },
		act:    explainOnly,
		Why:    "both units answer 200 on the check port, but no second kind of evidence confirms it freshly",
	},
	{
		Name: "both-active-planned", Acts: "plan", Alarm: AlarmUrgent,
		Person: "Repair the link between the units, or set the loser Down in the load balancer by hand, or set failover.fence to auto.",
		when: func(f *Facts) bool {
			return f.Situation == BothActive && (f.Stance == StanceRecommend || f.Fence == Ask)
		},
		act: plan,
		Why: "both units answer 200; a fence is planned and waits for a person",
	},
	{
		Name: "fence", Acts: "fence", Alarm: AlarmUrgent, Next: LookAgain,
		Person: "Repair the link between the units: TCP on the check port must pass both ways.",
		when:   func(f *Facts) bool { return f.Situation == BothActive },
		act:    fence,
		Why:    "both units answer 200, freshly proved by two kinds of evidence: the loser is set Down so that one serves",
	},
	{
		Name: "healthy", Acts: "nothing", Alarm: AlarmNone,
		when: func(*Facts) bool { return true },
		act:  explainOnly,
		Why:  "one unit serves and the other stands by",
	},
}

// Rows returns the decision table, for documents and tests.
func Rows() []Row { return append([]Row(nil), rows...) }

func choose(f *Facts) *Row {
	for i := range rows {
		if rows[i].when(f) {
			return &rows[i]
		}
	}
	panic("pair: the last row of the table always applies")
}

func rowNamed(name string) *Row {
	for i := range rows {
		if rows[i].Name == name {
			return &rows[i]
		}
	}
	return nil
}

// Explain renders what was seen and why the decision follows. It is apart from
// Decide because most decisions are never read.
func Explain(in *Input, d *Decision) string { return Saw(in, d) + ": " + Why(in, d) }

// Why renders the reason of a decision.
func Why(in *Input, d *Decision) string {
	row := rowNamed(d.Row)
	if row == nil {
		return fmt.Sprintf("row %q is not known to this release", d.Row)
	}
	return why(row, in, d)
}

func why(row *Row, in *Input, d *Decision) string {
	words := row.Why
	if d.Facts.Loser != RoleUnknown && d.Facts.Situation == BothActive {
		words += fmt.Sprintf("; the loser is %s, %s", d.Facts.Loser, in.Definition.Units.Of(d.Facts.Loser).VM)
	}
	if s := d.Record.Suspicion; s.Count > 0 {
		words += fmt.Sprintf("; %s was seen %d of %d times", s.Situation, s.Count,
			needed(in.Definition.Failover, s.Situation, d.Record.Since.IsZero()))
	}
	return words
}

// Saw renders the evidence in its shortest form: the situation, and what each
// unit answered on its check port and by its API.
func Saw(in *Input, d *Decision) string {
	words := d.Seen.String()
	for _, r := range Roles {
		u := in.Observation.Unit(r)
		words += ", " + r.String() + " " + u.Check.Answer.String()
		switch u.API.Answer {
		case APIUnknown:
		case APIAnswered:
			words += " (" + u.API.Report.State.String() + ")"
		default:
			words += " (API " + u.API.Answer.String() + ")"
		}
	}
	return words
}

// PersonCanDo returns what a person can do about a decision.
func PersonCanDo(d *Decision) string {
	if row := rowNamed(d.Row); row != nil {
		return row.Person
	}
	return ""
}
