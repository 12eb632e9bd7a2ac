package pair

import (
	"fmt"
	"slices"
	"time"
)

// Row is one rule of the decision table: when it applies, what it does, and
// what it tells a person.
type Row struct {
	Name string
	// Acts names the action in a word, for the documents.
	Acts  string
	Alarm Alarm
	// Topic is the alarm's name where several rows are about one thing; empty is
	// the row's own.
	Topic string
	Next  time.Duration
	// ReadBalancers asks control to read the load balancers and decide again.
	ReadBalancers bool
	// Remove asks control to forget the pair.
	Remove bool
	// Person says what somebody can do about it; empty where nothing is wrong.
	Person string
	// Why is the reason in a sentence; what was seen is put before it.
	Why string

	when func(*Facts) bool
	act  func(*Input, *Decision, choice)
}

// rows is the decision table. The first row that applies wins, so order is
// meaning: taking back what we set comes before everything, then a person's
// word, then what is not yet believed, then the situations that no lever helps,
// then the levers, then what is left to say. The last row always applies.
var rows = slices.Concat(holdRows, stanceRows, jobRows, wishRows, doubtRows, repairRows, setUpRows, explainRows, fenceRows, leverRows, restRows)

const repairLink = "Repair the link between the units: TCP on the check port must pass both ways."

// holdRows are about admin states of ours that stand. While one stands, one of
// them wins.
var holdRows = []Row{
	{
		Name: "release-expired", Acts: "release", Alarm: AlarmWarning, Next: LookAgain,
		Person: "Nothing; watch that the release succeeds.",
		when:   func(f *Facts) bool { return f.Hold == HoldExpired },
		act:    release,
		Why:    "our admin state is past its deadline and was not renewed by proof",
	},
	{
		Name: "release-retired", Acts: "release", Alarm: AlarmNotice, Next: LookAgain,
		Person: "Nothing; the pair is forgotten when nothing of ours stands any more.",
		when:   func(f *Facts) bool { return f.Hold != HoldNone && f.Stance == StanceRetired },
		act:    release,
		Why:    "the pair is to be forgotten, and first we take back what we set",
	},
	{
		Name: "release-paused", Acts: "release", Alarm: AlarmNotice, Next: LookAgain,
		Person: "Resume the pair when you are done.",
		when: func(f *Facts) bool {
			return f.Hold != HoldNone && (f.Stance == StancePaused || f.Stance == StanceMaintenance)
		},
		act: release,
		Why: "a person holds the pair, and a pause first takes back what we set",
	},
	{
		Name: "release-blind", Acts: "release", Alarm: AlarmUrgent, Next: LookAgain,
		Person: "Look at Tandem itself: its clock, its store, its network.",
		when:   func(f *Facts) bool { return f.Hold != HoldNone && f.Stance == StanceBlind },
		act:    release,
		Why:    "we do not trust ourselves, and nothing that needs our eyes may stand",
	},
	{
		Name: "release-mode", Acts: "release", Alarm: AlarmNotice, Next: LookAgain,
		Person: "Set mode and policy to auto again if this is wanted.",
		when:   func(f *Facts) bool { return f.Hold != HoldNone && !f.Licence },
		act:    release,
		Why:    "the mode or the policy was lowered, and nothing of ours may stand in it",
	},
	{
		Name: "release-survivor", Acts: "release", Alarm: AlarmUrgent, Next: LookAgain,
		Person: "Look at the surviving unit: it no longer answers 200 on its check port.",
		when:   func(f *Facts) bool { return f.Hold != HoldNone && !f.SurvivorServes },
		act:    release,
		Why:    "the survivor no longer proves that it serves, so the other unit must be reachable again",
	},
	{
		Name: "release-opposed", Acts: "release", Alarm: AlarmUrgent, Next: LookAgain,
		Person: "Somebody set the surviving unit Down in the load balancer while the other one was held Down. Look who is at work there.",
		when:   func(f *Facts) bool { return f.Hold == HoldOpposed },
		act:    release,
		Why:    "somebody set the survivor Down, and both must never be Down",
	},
	{
		Name: "release-unreached", Acts: "release", Alarm: AlarmUrgent, Next: LookAgain,
		Person: "Let 168.63.129.16 (service tag AzureLoadBalancer) reach the check port of the surviving unit: security group, routes, the unit's own access list.",
		when:   func(f *Facts) bool { return f.Hold == HoldUnreached },
		act:    release,
		Why:    "the survivor answers 200 to us, but the load balancer's own view is that it does not serve: then nobody is served, and the other unit must be reachable again",
	},
	{
		Name: "release-lying", Acts: "release", Alarm: AlarmUrgent, Next: LookAgain,
		Person: "Look at the surviving unit: it answers 200 and does not forward. Reboot it, or set it Down in the load balancer.",
		when:   func(f *Facts) bool { return f.Hold == HoldLying },
		act:    release,
		Why:    "the survivor fails a check that the unit held Down passes: it does not forward, so the other unit must be reachable again",
	},
	{
		Name: "release-job", Acts: "release", Alarm: AlarmWarning, Next: LookAgain,
		Person: "See tandem jobs: the job says what it waits for or why it ended.",
		when:   func(f *Facts) bool { return f.Hold == HoldJobDone },
		act:    releaseJob,
		Why:    "the admin states of a job are not wanted any more, or whoever is not held Down no longer proves that it forwards",
	},
	{
		Name: "job-erased", Acts: "forget", Alarm: AlarmUrgent, Next: LookAgain,
		Person: "Somebody changed an admin state while a job was at work. The job takes back what is left of it; start it again when nobody else is at work there.",
		when:   func(f *Facts) bool { return f.Hold == HoldJobErased },
		act:    forgetJob,
		Why:    "an admin state of the job is not there any more: somebody else took it away, so it is not ours to keep",
	},
	{
		Name: "job-holds", Acts: "job", Topic: "job", Alarm: AlarmNotice, Next: LookAgain,
		Person: "Watch it with tandem jobs watch; tandem jobs cancel takes everything back as long as the active state has not moved.",
		when:   func(f *Facts) bool { return f.Hold == HoldJob },
		act:    advance,
		Why:    "a job is at work, and its admin states stand, freshly proved",
	},
	{
		Name: "release-watched", Acts: "release", Alarm: AlarmNotice, Next: LookAgain,
		Person: "Nothing; until it is over, the unit may be set Down once more by what is on its way, and is no sure spare.",
		when:   func(f *Facts) bool { return f.Hold == HoldLeaving },
		act:    release,
		Why:    "our admin state is taken back, but it was sent and never seen, so it may still come: until that is unlikely, the load balancer's own view is watched",
	},
	{
		Name: "prove-stands", Acts: "wait", Alarm: AlarmNone, Next: LookAgain,
		Person: "Nothing; the proof ends by itself.",
		when:   func(f *Facts) bool { return f.Hold == HoldProving },
		act:    explainOnly,
		Why:    "the lever is being proved: the standby is held Down until the load balancer shows it",
	},
	{
		Name: "prove-ends", Acts: "release", Alarm: AlarmNone, Next: LookAgain,
		Person: "Nothing; the proof ends by itself.",
		when:   func(f *Facts) bool { return f.Hold == HoldProved },
		act:    release,
		Why:    "the proof has shown what it was for, or can show nothing more, and goes back",
	},
	{
		Name: "up-stands", Acts: "wait", Alarm: AlarmUrgent, Next: LookAgain,
		Person: "Find out why neither unit answers 200; one is held Up in the load balancer for two minutes at most.",
		when:   func(f *Facts) bool { return f.Hold == HoldUp },
		act:    explainOnly,
		Why:    "neither unit answers 200; the one that is proved to forward is held Up",
	},
	{
		Name: "release-up", Acts: "release", Alarm: AlarmNotice, Next: LookAgain,
		Person: "Nothing, if a unit answers 200 again; otherwise look at both.",
		when:   func(f *Facts) bool { return f.Hold == HoldUpDone },
		act:    release,
		Why:    "a unit answers 200 again, or the one held Up no longer proves that it forwards",
	},
	{
		Name: "fence-again", Acts: "fence", Topic: "fence", Alarm: AlarmUrgent, Next: LookAgain,
		Person: "Somebody took our admin state away. If that was a deployment, let it keep the admin states that stand; if you mean it, do it once more.",
		when: func(f *Facts) bool {
			return f.Hold == HoldErased && f.Situation.BothServe() && f.Proof == ProofTwoKinds
		},
		act: again,
		Why: "our admin state was taken away while both units still answer 200, freshly proved: it is set once more, and not a third time",
	},
	{
		Name: "fence-erased", Acts: "forget", Alarm: AlarmUrgent, Next: LookAgain,
		Person: "Somebody changed the admin state that we had set. If that was a deployment, let it keep the admin states that stand. After the second time nothing more is set by itself until tandem ack.",
		when:   func(f *Facts) bool { return f.Hold == HoldErased || f.Hold == HoldLost },
		act:    forget,
		Why:    "our admin state is not there any more: somebody else took it away, so it is not ours to keep",
	},
	{
		Name: "fence-outlasts", Acts: "wait", Alarm: AlarmNotice, Next: LookAgain,
		Person: "Nothing.",
		when:   func(f *Facts) bool { return f.Hold != HoldNone && !f.Situation.BothServe() && !f.Settled },
		act:    explainOnly,
		Why:    "the fenced unit no longer answers 200; the fence stands until the load balancer's own probe has seen that too",
	},
	{
		Name: "release-healed", Acts: "release", Alarm: AlarmNotice, Next: LookAgain,
		Person: "Nothing; look for the cause of the split in the network between the units.",
		when:   func(f *Facts) bool { return f.Hold != HoldNone && !f.Situation.BothServe() },
		act:    release,
		Why:    "the fenced unit no longer answers 200, so the load balancer's own probe is enough",
	},
	{
		Name: "fence-renewed", Acts: "renew", Topic: "fence", Alarm: AlarmWarning, Next: LookAgain,
		Person: repairLink,
		when:   func(f *Facts) bool { return f.Hold == HoldDue && f.Proof != ProofNone },
		act:    renew,
		Why:    "both units still answer 200, freshly proved, so the fence stands for another while",
	},
	{
		Name: "fence-sent", Acts: "wait", Topic: "fence", Alarm: AlarmUrgent, Next: LookAgain,
		Person: "If this lasts, see in the portal whether the load balancer follows: rule health must show Down_Admin for the loser.",
		when:   func(f *Facts) bool { return f.Hold == HoldSent },
		act:    explainOnly,
		Why:    "both units answer 200; Down was decided for the loser and is not seen to be in effect yet",
	},
	{
		Name: "repair-fenced", Acts: "repair", Topic: "fence", Alarm: AlarmWarning, Next: LookAgain,
		Person: "Watch that it succeeds; the fence goes when the units see each other again.",
		when:   func(f *Facts) bool { return f.Hold == HoldStanding && f.Lever == LeverRepair },
		act:    pull,
		Why:    "both units answer 200 and the loser is held Down; what the load balancer needs differs from the pair file, which may be why the link is cut: it is written as the file says",
	},
	{
		Name: "job-fenced", Acts: "job", Topic: "fence", Alarm: AlarmWarning, Next: LookAgain,
		Person: "Watch it with tandem jobs watch; the fence goes when the units see each other again.",
		when:   func(f *Facts) bool { return f.Hold == HoldStanding && f.Job == JobFactGoes },
		act:    advance,
		Why:    "both units answer 200 and the loser is held Down; a job sets up what may be why",
	},
	{
		Name: "set-up-fenced", Acts: "set up HA", Topic: "fence", Alarm: AlarmWarning, Next: LookAgain,
		Person: "Watch it with tandem jobs watch; the fence goes when the units see each other again.",
		when:   func(f *Facts) bool { return f.Hold == HoldStanding && f.Lever == LeverSetUp },
		act:    pull,
		Why:    "both units answer 200 and the loser is held Down; one is not set up as the pair file says, which may be why: a job begins that sets it up",
	},
	{
		Name: "fence-stands", Acts: "wait", Topic: "fence", Alarm: AlarmWarning, Next: LookAgain,
		Person: repairLink,
		when:   func(f *Facts) bool { return f.Hold != HoldNone },
		act:    explainOnly,
		Why:    "both units answer 200 and the loser is held Down in the load balancer",
	},
}

// stanceRows are a person's word, and our own doubt in ourselves.
var stanceRows = []Row{
	{
		Name: "retired", Acts: "forget the pair", Alarm: AlarmNone, Remove: true,
		Person: "Nothing.",
		when:   func(f *Facts) bool { return f.Stance == StanceRetired },
		act:    explainOnly,
		Why:    "a person wants the pair forgotten, and nothing of ours stands any more",
	},
	{
		Name: "paused", Acts: "explain", Alarm: AlarmNone,
		Person: "Resume the pair when you are done.",
		when:   func(f *Facts) bool { return f.Stance == StancePaused },
		act:    explainOnly,
		Why:    "a person paused the pair, or everything: it is watched and explained, nothing is done",
	},
	{
		Name: "maintenance", Acts: "explain", Alarm: AlarmNone,
		Person: "Resume the pair when the maintenance is over.",
		when:   func(f *Facts) bool { return f.Stance == StanceMaintenance },
		act:    explainOnly,
		Why:    "a person is at work on one unit: its silence is expected, nothing is done",
	},
	{
		Name: "blind", Acts: "explain", Alarm: AlarmUrgent,
		Person: "Look at Tandem itself: its clock, its store, its network. It acts again a quiet minute after the last trouble.",
		when:   func(f *Facts) bool { return f.Stance == StanceBlind },
		act:    explainOnly,
		Why:    "we do not trust ourselves, so nothing is done",
	},
}

// jobRows are for the pair's job, which is alone with the pair while it goes: what it
// does explains what is seen.
var jobRows = []Row{
	{
		Name: "job", Acts: "job", Alarm: AlarmNone, Next: LookAgain,
		Person: "Watch it with tandem jobs watch.",
		when:   func(f *Facts) bool { return f.Job == JobFactGoes },
		act:    advance,
		Why:    "a job is at work",
	},
}

// wishRows are a person's word to write the pair's resources, which needs no belief
// in what the units do: a pair whose load balancer is yet to be made fits no
// situation.
var wishRows = []Row{
	{
		Name: "apply", Acts: "repair", Alarm: AlarmNone, Next: LookAgain,
		Person: "Watch that it succeeds.",
		when:   func(f *Facts) bool { return f.Wished && f.Obstacle == ObstacleNone },
		act:    pull,
		Why:    "a person wants what the load balancer needs written as the pair file says",
	},
	{
		Name: "apply-refused", Acts: "explain", Alarm: AlarmWarning,
		Person: "Look at the plan again (tandem plan) and apply that one.",
		when:   func(f *Facts) bool { return f.Wished },
		act:    refuseWish,
		Why:    "what a person wanted written is not written: the world is not what the plan was made on",
	},
}

// doubtRows are for what is not understood or not believed yet.
var doubtRows = []Row{
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
}

// repairRows are for load balancers, security groups and interfaces that are not
// what the pair file asks for, and can be. They come before the situations that no
// other lever helps, because a wrong probe or a rule that blocks it is behind many
// of them.
var repairRows = []Row{
	{
		Name: "repair-disputed", Acts: "plan", Alarm: AlarmUrgent,
		Person: "Agree with who changes it back. Then change the pair file, or let their deployment leave the field alone, and approve the plan.",
		when:   func(f *Facts) bool { return f.Lever == LeverRepair && f.Obstacle == ObstacleDispute },
		act:    plan,
		Why:    "somebody changes back what we repair, so it is not repaired again without a person",
	},
	{
		Name: "repair-planned", Acts: "plan", Alarm: AlarmWarning,
		Person: "Approve the plan with tandem approve, or change the pair file; tandem plan shows every field.",
		when: func(f *Facts) bool {
			return f.Lever == LeverRepair && f.Permit == PermitAsk && f.Obstacle == ObstacleNone
		},
		act: plan,
		Why: "what the load balancer needs differs from the pair file; the repair is planned and waits for a person",
	},
	{
		Name: "repair", Acts: "repair", Alarm: AlarmNotice, Next: LookAgain,
		Person: "Watch that it succeeds.",
		when: func(f *Facts) bool {
			return f.Lever == LeverRepair && f.Permit == PermitAct && f.Obstacle == ObstacleNone
		},
		act: pull,
		Why: "what the load balancer needs differs from the pair file: it is written as the file says",
	},
}

// setUpRows are for units whose HA set-up is not what the pair file says. They come
// before the situations that follow from it.
var setUpRows = []Row{
	{
		Name: "set-up-disputed", Acts: "plan", Alarm: AlarmUrgent,
		Person: "Agree with who changes it back at the unit. Then change the pair file, or approve the plan.",
		when:   func(f *Facts) bool { return f.Lever == LeverSetUp && f.Obstacle == ObstacleDispute },
		act:    plan,
		Why:    "somebody changes back at a unit what we set, so it is not set again without a person",
	},
	{
		Name: "set-up-planned", Acts: "plan", Alarm: AlarmUrgent,
		Person: "Approve the plan with tandem approve (a unit with another HA mode is rebooted then), or run tandem configure, or change the pair file.",
		when: func(f *Facts) bool {
			return f.Lever == LeverSetUp && f.Permit == PermitAsk && f.Obstacle == ObstacleNone
		},
		act: plan,
		Why: "a unit is not set up as the pair file says; the job that sets it up is planned and waits for a person",
	},
	{
		Name: "set-up", Acts: "set up HA", Alarm: AlarmNotice, Next: LookAgain,
		Person: "Watch it with tandem jobs watch.",
		when: func(f *Facts) bool {
			return f.Lever == LeverSetUp && f.Permit == PermitAct && f.Obstacle == ObstacleNone
		},
		act: pull,
		Why: "a unit is not set up as the pair file says: a job begins that sets it up",
	},
}

// explainRows are the situations in which no lever of ours helps.
var explainRows = []Row{
	{
		Name: "unconfigured", Acts: "explain", Alarm: AlarmWarning,
		Person: "Run tandem configure, or tandem replace for a unit that was built anew; or set up HA on both units yourself (HA mode, partner, check port) and reboot them.",
		when:   func(f *Facts) bool { return f.Situation == Unconfigured },
		act:    explainOnly,
		Why:    "a unit says that HA is not configured",
	},
	{
		Name: "misconfigured", Acts: "explain", Alarm: AlarmUrgent,
		Person: "Run tandem configure, or set HA mode, check port and partner as the pair file says (the partner is always the other unit), and reboot a unit whose mode changed.",
		when:   func(f *Facts) bool { return f.Situation == Misconfigured },
		act:    explainOnly,
		Why:    "both units live, but one is set up otherwise than the pair file says, so HA does not work",
	},
	{
		Name: "booting", Acts: "wait", Alarm: AlarmNone, Next: LookAgain,
		Person: "Wait: a unit needs about five minutes after a start.",
		when:   func(f *Facts) bool { return f.Situation == Booting },
		act:    explainOnly,
		Why:    "a unit was started less than five minutes ago, and its silence does not count yet",
	},
	{
		Name: "blind-path", Acts: "explain", Alarm: AlarmUrgent, Next: LookAgain,
		Person: "Repair the way from Tandem to the units: network, peering, security group. The load balancer still reaches them.",
		when:   func(f *Facts) bool { return f.Situation == Blind },
		act:    explainOnly,
		Why:    "neither unit answers us, but the load balancer's probe reaches one: we are the broken one",
	},
	{
		Name: "flapping", Acts: "explain", Alarm: AlarmUrgent, Next: LookAgain,
		Person: "Look at the unit whose check port comes and goes: load, restarts of its HA service, the network to it.",
		when:   func(f *Facts) bool { return f.Situation == Flapping },
		act:    explainOnly,
		Why:    "what is seen changes too often to be believed, so nothing is done",
	},
	{
		Name: "unconnected", Acts: "explain", Alarm: AlarmUrgent, Next: LookAgain,
		Person: "Let 168.63.129.16 (service tag AzureLoadBalancer) reach the check port of both units: security group, routes, the unit's own access list.",
		when:   func(f *Facts) bool { return f.Situation == Unpolled },
		act:    explainOnly,
		Why:    "the load balancer's probe does not reach a unit that lives: it serves nobody, or cannot take over",
	},
	{
		Name: "version-mismatch", Acts: "explain", Alarm: AlarmWarning,
		Person: "Bring both units to the same firmware, the standby first.",
		when:   func(f *Facts) bool { return f.Situation == VersionMismatch },
		act:    explainOnly,
		Why:    "the units run different firmware, so neither settings nor a takeover can be trusted",
	},
	{
		Name: "lying", Acts: "explain", Alarm: AlarmUrgent, Next: LookAgain,
		Person: "Move the active state to the unit that forwards: reboot the one that does not.",
		when:   func(f *Facts) bool { return f.Situation == Lying },
		act:    explainOnly,
		Why:    "the active unit answers 200 but fails a check that its partner passes: it does not forward, and the load balancer cannot know",
	},
	{
		Name: "application-down", Acts: "explain", Alarm: AlarmUrgent,
		Person: "Look at the application and the real servers first; if they are well, at the active unit: no partner proves that it would do better.",
		when:   func(f *Facts) bool { return f.Situation == ApplicationDown },
		act:    explainOnly,
		Why:    "the active unit answers 200, but a check of the pair file fails and no partner passes it: a fault of the application is never a reason to move",
	},
}

// fenceRows are for two units that both serve.
var fenceRows = []Row{
	{
		Name: "both-active-observed", Acts: "explain", Alarm: AlarmUrgent,
		Person: "Repair the link between the units, or set one of them Down in the load balancer until it is repaired.",
		when:   func(f *Facts) bool { return f.Situation.BothServe() && f.Stance == StanceObserve },
		act:    explainOnly,
		Why:    "both units answer 200; in mode observe we only say so",
	},
	{
		Name: "both-active-policy", Acts: "explain", Alarm: AlarmUrgent,
		Person: "Repair the link between the units. To let Tandem fence, set failover.fence to ask or auto.",
		when:   func(f *Facts) bool { return f.Situation.BothServe() && f.Permit == PermitNever },
		act:    explainOnly,
		Why:    "both units answer 200; the policy fence: never forbids to set one Down",
	},
	{
		Name: "both-active-read", Acts: "read the load balancer", Alarm: AlarmUrgent, Next: LookAgain, ReadBalancers: true,
		Person: "If this lasts, see why Resource Manager does not answer.",
		when:   func(f *Facts) bool { return f.Situation.BothServe() && f.Obstacle == ObstacleUnread },
		act:    explainOnly,
		Why:    "both units answer 200; the load balancer must be read before anything is decided about it",
	},
	{
		Name: "both-active-foreign", Acts: "explain", Alarm: AlarmUrgent,
		Person: "Somebody set an admin state in the load balancer by hand. Clear it there when the maintenance is over.",
		when:   func(f *Facts) bool { return f.Situation.BothServe() && f.Obstacle == ObstacleForeign },
		act:    explainOnly,
		Why:    "both units answer 200, and an admin state that is not ours stands on one of them: a person is at work",
	},
	{
		Name: "both-active-no-loser", Acts: "explain", Alarm: AlarmUrgent,
		Person: "Decide which unit shall serve and set the other one Down in the load balancer.",
		when:   func(f *Facts) bool { return f.Situation.BothServe() && f.Obstacle == ObstacleNoLoser },
		act:    explainOnly,
		Why:    "both units answer 200, none is preferred, and it is not known which one served before",
	},
	{
		Name: "both-active-unreachable", Acts: "explain", Alarm: AlarmUrgent, Next: LookAgain,
		Person: "See that both units are in every pool, and that the load balancer's probe (168.63.129.16) reaches the one that shall serve.",
		when:   func(f *Facts) bool { return f.Situation.BothServe() && f.Obstacle == ObstacleUnreachable },
		act:    explainOnly,
		Why:    "both units answer 200, but the load balancer does not carry both, or does not see the survivor as serving: a fence would leave nobody",
	},
	{
		Name: "both-active-lying", Acts: "explain", Alarm: AlarmUrgent, Next: LookAgain,
		Person: "Reboot the unit that does not forward, or set it Down in the load balancer; its partner forwards.",
		when:   func(f *Facts) bool { return f.Situation.BothServe() && f.Obstacle == ObstacleLying },
		act:    explainOnly,
		Why:    "both units answer 200, but the one that should stay fails a check that the other one passes: a fence would leave nobody who forwards",
	},
	{
		Name: "both-active-preference", Acts: "explain", Alarm: AlarmUrgent,
		Person: "Set haprefered=0 on both units, or fence the second unit by hand.",
		when:   func(f *Facts) bool { return f.Situation.BothServe() && f.Obstacle == ObstaclePreference },
		act:    explainOnly,
		Why:    "both units answer 200 and first should yield, but haprefered=0 was not read back from both units: after healing nobody would be left",
	},
	{
		Name: "both-active-unproved", Acts: "look again", Alarm: AlarmUrgent, Next: LookAgain,
		Person: "See why neither the units' API nor the load balancer's rule health confirms what the check ports say.",
		when:   func(f *Facts) bool { return f.Situation.BothServe() && f.Obstacle == ObstacleUnproved },
		act:    explainOnly,
		Why:    "both units answer 200 on the check port, but no second kind of evidence confirms it freshly",
	},
	{
		Name: "both-active-limited", Acts: "explain", Alarm: AlarmUrgent,
		Person: "The last automatic move is too recent. Find the cause before you allow another; tandem ack ends the waiting.",
		when:   func(f *Facts) bool { return f.Situation.BothServe() && f.Obstacle == ObstacleHoldDown },
		act:    explainOnly,
		Why:    "both units answer 200, but hold-down stops another automatic move so soon",
	},
	{
		Name: "both-active-blocked", Acts: "block", Alarm: AlarmUrgent,
		Person: "There were too many automatic moves in an hour, or somebody took our fence away twice. Find the cause, then run tandem ack.",
		when:   func(f *Facts) bool { return f.Situation.BothServe() && f.Obstacle != ObstacleNone },
		act:    block,
		Why:    "both units answer 200, but automatic moves are blocked until a person acknowledges",
	},
	{
		Name: "both-active-planned", Acts: "plan", Alarm: AlarmUrgent,
		Person: "Approve the plan with tandem approve, or repair the link between the units.",
		when:   func(f *Facts) bool { return f.Situation.BothServe() && f.Permit == PermitAsk },
		act:    plan,
		Why:    "both units answer 200; a fence is planned and waits for a person",
	},
	{
		Name: "fence", Acts: "fence", Alarm: AlarmUrgent, Next: LookAgain,
		Person: repairLink,
		when:   func(f *Facts) bool { return f.Situation.BothServe() },
		act:    pull,
		Why:    "both units answer 200, freshly proved by two kinds of evidence: the loser is set Down so that one serves",
	},
}

// leverRows are for the other levers: each is read for, held up, planned or
// pulled. Where it may not be pulled at all, the rest rows explain.
var leverRows = slices.Concat(
	[]Row{{
		Name: "balancer-unread", Acts: "read the load balancer", Alarm: AlarmWarning, Next: LookAgain, ReadBalancers: true,
		Person: "If this lasts, see why Resource Manager does not answer.",
		when:   func(f *Facts) bool { return f.Permit != PermitNever && f.Obstacle == ObstacleUnread },
		act:    explainOnly,
		Why:    "the load balancer must be read before anything is decided about it",
	}},
	[]Row{{
		Name: "under-way", Acts: "wait", Alarm: AlarmWarning, Next: LookAgain,
		Person: "Watch that it succeeds.",
		when:   func(f *Facts) bool { return f.Obstacle == ObstacleUnderWay },
		act:    explainOnly,
		Why:    "what an earlier decision wants done is being done",
	}},
	leverRowsOf(LeverPrefer, "preference", AlarmWarning, AlarmNotice, [3]string{
		"the units' preference is not what it must be, and cannot be set now",
		"the units' preference is not what it must be; setting it is planned and waits for a person",
		"the units' preference is set to what it must be",
	}),
	leverRowsOf(LeverUp, "up", AlarmUrgent, AlarmUrgent, [3]string{
		"neither unit answers 200, and the one that is proved to forward cannot be set Up now",
		"neither unit answers 200; setting the one Up that is proved to forward is planned and waits for a person",
		"neither unit answers 200: the one that is proved to forward is set Up until one does",
	}),
	leverRowsOf(LeverStart, "start", AlarmUrgent, AlarmUrgent, [3]string{
		"a unit's VM is switched off, and is not started",
		"a unit's VM is switched off; starting it is planned and waits for a person",
		"a unit's VM is switched off and no person did it: it is started",
	}),
	leverRowsOf(LeverRestart, "restart", AlarmUrgent, AlarmUrgent, [3]string{
		"a unit has been silent for longer than a boot takes, and is not restarted",
		"a unit has been silent for longer than a boot takes; restarting its VM is planned and waits for a person",
		"a unit is down for certain, by our eyes and the load balancer's, and its partner serves: its VM is restarted",
	}),
	leverRowsOf(LeverMove, "move", AlarmWarning, AlarmNotice, [3]string{
		"the active state should be on the other unit, and is not moved now",
		"the active state should be on the other unit; moving it, drained, is planned and waits for a person",
		"the active state should be on the other unit: a job begins that moves it, drained",
	}),
	[]Row{
		{
			Name: "sync-planned", Acts: "plan", Alarm: AlarmNotice,
			Person: "Look at tandem drift; tandem approve begins exactly that, tandem sync does too.",
			when: func(f *Facts) bool {
				return f.Lever == LeverSync && f.Permit == PermitAsk && f.Obstacle == ObstacleNone
			},
			act: plan,
			Why: "one unit serves and the other stands by, but the settings of both differ and the units' own sync does not mend that; a sync is planned and waits for a person",
		},
		{
			Name: "sync", Acts: "sync", Alarm: AlarmNotice, Next: LookAgain,
			Person: "Watch that it succeeds: tandem jobs watch.",
			when: func(f *Facts) bool {
				return f.Lever == LeverSync && f.Permit == PermitAct && f.Obstacle == ObstacleNone
			},
			act: pull,
			Why: "one unit serves and the other stands by, but the settings of both differ and the units' own sync does not mend that: a job begins that makes them alike",
		},
	},
	[]Row{
		{
			Name: "prove-refused", Acts: "explain", Alarm: AlarmWarning,
			Person: "See that the pair is healthy, that no admin state stands on its units and that both are in every pool; then run tandem prove again.",
			when:   func(f *Facts) bool { return f.Lever == LeverProve && f.Obstacle != ObstacleNone },
			act:    refuseProof,
			Why:    "a person asked for the lever proof, and it cannot be made now",
		},
		{
			Name: "prove", Acts: "prove", Alarm: AlarmNone, Next: LookAgain,
			Person: "Nothing; look at tandem status for the result.",
			when:   func(f *Facts) bool { return f.Lever == LeverProve && f.Permit == PermitAct },
			act:    pull,
			Why:    "a person asked for the lever proof: a write with a wrong ETag, then Down on the standby and back",
		},
	},
)

// leverRowsOf are the three rows of a lever: held up, planned, pulled.
func leverRowsOf(l Lever, name string, held, pulled Alarm, why [3]string) []Row {
	return []Row{
		{
			Name: name + "-held", Acts: "explain", Alarm: held, Next: LookAgain,
			Person: "See what stands in the way; it is named with the reason.",
			when:   func(f *Facts) bool { return wants(f, l) && f.Permit != PermitNever && f.Obstacle != ObstacleNone },
			act:    block,
			Why:    why[0],
		},
		{
			Name: name + "-planned", Acts: "plan", Alarm: held,
			Person: "Approve the plan with tandem approve, or do it yourself.",
			when:   func(f *Facts) bool { return wants(f, l) && f.Permit == PermitAsk },
			act:    plan,
			Why:    why[1],
		},
		{
			Name: name, Acts: name, Alarm: pulled, Next: LookAgain,
			Person: "Watch that it succeeds.",
			when:   func(f *Facts) bool { return wants(f, l) && f.Permit == PermitAct },
			act:    pull,
			Why:    why[2],
		},
	}
}

// wants reports whether a lever is what the pair needs. A preference can wait for
// days, after a switchover: a job that wants a person is the news then.
func wants(f *Facts, l Lever) bool {
	waits := f.Job == JobFactAsks || f.Job == JobFactFailed
	return f.Lever == l && !(l == LeverPrefer && f.Obstacle != ObstacleNone && waits)
}

// restRows are what is left to say.
var restRows = []Row{
	{
		Name: "none-active", Acts: "explain", Alarm: AlarmUrgent, Next: LookAgain,
		Person: "Look at both units now: neither answers 200 on its check port. Check power, HA mode, check port, and whether 168.63.129.16 may reach it.",
		when:   func(f *Facts) bool { return f.Situation == NoneActive },
		act:    explainOnly,
		Why:    "neither unit answers 200, and no lever that is allowed would help",
	},
	{
		Name: "degraded", Acts: "explain", Alarm: AlarmWarning,
		Person: "Find out why the silent unit is gone; the pair has no spare until it returns.",
		when:   func(f *Facts) bool { return f.Situation == Degraded },
		act:    explainOnly,
		Why:    "one unit serves and the other is gone; the load balancer already sends new connections to the one that serves",
	},
	{
		Name: "repair-held", Acts: "explain", Alarm: AlarmWarning, Next: LookAgain,
		Person: "See what stands in the way; it is named with the reason. tandem apply does not wait.",
		when: func(f *Facts) bool {
			return f.Lever == LeverRepair && f.Permit != PermitNever && f.Obstacle != ObstacleNone
		},
		act: explainOnly,
		Why: "what the load balancer needs differs from the pair file, and is not repaired now",
	},
	{
		Name: "drift", Acts: "explain", Alarm: AlarmWarning,
		Person: "Look at the difference (tandem plan) and apply it (tandem apply), or change the pair file.",
		when:   func(f *Facts) bool { return f.Lever == LeverRepair },
		act:    explainOnly,
		Why:    "what the load balancer needs differs from the pair file; in mode observe we only say so",
	},
	{
		Name: "set-up-drift", Acts: "explain", Alarm: AlarmWarning,
		Person: "Run tandem configure, or change the pair file; what keeps Tandem from it is named with the reason.",
		when:   func(f *Facts) bool { return f.Lever == LeverSetUp },
		act:    explainOnly,
		Why:    "one unit serves and the other stands by, but one is not set up as the pair file says, and it is not set up now",
	},
	{
		Name: "job-asks", Acts: "explain", Alarm: AlarmWarning,
		Person: "Look at tandem jobs: approve what it announces, or cancel it.",
		when:   func(f *Facts) bool { return f.Job == JobFactAsks },
		act:    explainOnly,
		Why:    "a job waits for a person's approval",
	},
	{
		Name: "job-failed", Acts: "explain", Alarm: AlarmWarning,
		Person: "Look at tandem jobs for the step and the reason; tandem ack when you have taken note.",
		when:   func(f *Facts) bool { return f.Job == JobFactFailed },
		act:    explainOnly,
		Why:    "a job failed",
	},
	{
		Name: "api-refused", Acts: "explain", Alarm: AlarmWarning,
		Person: "See that the secret of the unit is the one that the unit takes, and that its certificate is the one in the pair file. Credentials that were refused are tried again after two minutes, an hour and a day, those of another secret too; after tandem ack within two minutes.",
		when:   func(f *Facts) bool { return f.Refused },
		act:    explainOnly,
		Why:    "one unit serves and the other stands by, but a unit's API does not let us in: the proof by a second kind of evidence is weaker without it",
	},
	{
		Name: "foreign-admin-state", Acts: "explain", Alarm: AlarmWarning,
		Person: "Somebody set an admin state on a unit in the load balancer. Clear it there when the maintenance is over: while it stands, the load balancer does not follow the units.",
		when:   func(f *Facts) bool { return f.Foreign },
		act:    explainOnly,
		Why:    "one unit serves and the other stands by, but an admin state that is not ours stands on one of them",
	},
	{
		Name: "backup-fails", Acts: "explain", Alarm: AlarmWarning,
		Person: "Look at tandem backups for the reason: the unit's user needs the permission backup, the app's identity Storage Blob Data Contributor on the container of TANDEM_BACKUPS. It is tried again by itself, at longer and longer intervals; tandem backup tries now.",
		when:   func(f *Facts) bool { return f.Unsaved },
		act:    explainOnly,
		Why:    "one unit serves and the other stands by, but the backups of a unit failed several times in a row",
	},
	{
		Name: "settings-differ", Acts: "explain", Alarm: AlarmWarning,
		Person: "Look at tandem drift for what differs, and at tandem conflicts for what waits for you; tandem sync carries the rest over. Where the settings could not be compared, the reason says why.",
		when:   func(f *Facts) bool { return f.Apart },
		act:    explainOnly,
		Why:    "one unit serves and the other stands by, but the settings of both were not alike, or not compared, for longer than sync.maxDrift",
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
	f := &d.Facts
	if f.Unit != RoleUnknown && f.Situation.BothServe() {
		words += fmt.Sprintf("; the loser is %s, %s", f.Unit, in.Definition.Units.Of(f.Unit).VM)
	} else if f.Unit != RoleUnknown && f.Lever != LeverNone {
		words += fmt.Sprintf("; it is about %s, %s", f.Unit, in.Definition.Units.Of(f.Unit).VM)
	}
	if f.Obstacle != ObstacleNone && f.Obstacle != ObstacleUnread && f.Lever != LeverFence {
		words += "; in the way of " + f.Lever.String() + ": " + obstacleWord(f)
	}
	if drift := d.Record.Drift; drift != nil && f.Lever == LeverRepair && (f.Belief == Confirmed || f.Wished) {
		words += "; " + drift.words()
	}
	if j := d.Record.Job; j != nil && (f.Job != JobFactNone || f.Hold == HoldJob) {
		words += "; " + j.words()
	}
	for _, i := range d.Intents {
		switch {
		case i.Kind == IntentBackup && i.Job == "":
			words += "; a backup of " + i.Unit.String() + " is taken for " + i.By
		case i.Kind == IntentCompare && i.Job == "":
			words += "; the settings of both units are compared"
		}
	}
	if f.Apart {
		words += "; " + d.Record.Settings.Apart(in.Definition.Sync, d.At)
	}
	for _, r := range Roles {
		if b := d.Record.Units[r.Index()].Backup; f.Unsaved && b != nil && b.Failures > 0 {
			words += fmt.Sprintf("; the backup of %s failed %d times: %s", r, b.Failures, b.Why)
		}
	}
	if f.Approved {
		words += "; approved by " + approvedBy(in)
	}
	for _, r := range Roles {
		wrong := d.Record.Units[r.Index()].SetUp
		if wrong != nil && (f.Lever == LeverSetUp || f.Situation == Misconfigured || f.Situation == NoneActive || f.Situation.BothServe()) {
			words += "; " + r.String() + " has " + wrong.Words()
		}
	}
	for _, r := range Roles {
		if e := d.Record.Units[r.Index()].Platform; e.ByPerson && e.Kind == EvidenceStopped && stopped(&in.Observation, &d.Record, r) {
			words += fmt.Sprintf("; a person stopped %s, %s", r, in.Definition.Units.Of(r).VM)
		}
	}
	if in.Blind != NotBlind {
		words += "; " + in.Blind.String()
	}
	if f.Unproved && in.Definition.Mode == Auto && f.Stance == StanceRecommend {
		words += "; mode auto waits for the lever proof (tandem prove)"
	}
	if s := d.Record.Suspicion; s.Count > 0 {
		words += fmt.Sprintf("; %s was seen %d of %d times", s.Situation, s.Count,
			needed(in.Definition.Failover, s.Situation, d.Record.Since.IsZero()))
	}
	return words
}

// obstacleWord says what stands in the way of the lever.
func obstacleWord(f *Facts) string {
	if f.Lever == LeverRepair && f.Obstacle == ObstacleHoldDown {
		return "it has not stood for a minute yet, and deployments pass through what nobody wants; or the last repair failed a moment ago"
	}
	switch {
	case f.Lever == LeverSetUp && f.Obstacle == ObstacleHoldDown:
		return "it has not stood for a minute yet, and a person may be at work there"
	case f.Lever == LeverSetUp && f.Obstacle == ObstacleUnproved:
		return "not both units' APIs answer"
	case f.Lever == LeverSetUp && f.Obstacle == ObstacleRefusal:
		return "what the load balancer needs differs from the pair file too (tandem plan), so that the pair file may be what is wrong"
	}
	return obstacleWords[f.Obstacle]
}

// obstacleWords say what stands in the way of a lever.
var obstacleWords = map[Obstacle]string{
	ObstacleUnderWay:    "it is being done already",
	ObstacleForeign:     "an admin state that is not ours stands on a unit",
	ObstacleNoLoser:     "it is not known which unit should yield",
	ObstacleUnreachable: "not every pool holds both units, or the load balancer does not see the other one serving",
	ObstaclePreference:  "second serves, and a preference for first would pull the active state away undrained",
	ObstacleUnproved:    "the load balancer's own view and the partner's answer do not both confirm it",
	ObstacleHoldDown:    "the last automatic move is too recent",
	ObstacleBlocked:     "there were too many; a person must look (tandem ack)",
	ObstacleDispute:     "somebody changes back what we repair",
	ObstacleRefusal:     "what the pair file asks for cannot be had",
	ObstacleMoved:       "the world is not any more what the plan was made on",
	ObstacleFailed:      "the last job failed or was cancelled; a person must look (tandem ack)",
	ObstacleUnequal:     "the settings of both units differ (tandem drift)",
	ObstacleLying:       "the unit that would stay fails a check that the other one passes",
}

func approvedBy(in *Input) string {
	if p := in.Record.Plan; p != nil && p.Approved != nil {
		return p.Approved.By
	}
	return "a person"
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
		if u.Service.Answer == ServiceFailed {
			words += " (check " + u.Service.Check + " failed: " + u.Service.Detail + ")"
		}
		if p := d.Record.Units[r.Index()].Probed; p.Unreached && u.Check.Answer.Answered() {
			words += " (the load balancer: " + p.Reason + ")"
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
