package pair

import (
	"time"
)

const (
	// BootGrace is how long a unit may take after a start before its silence
	// counts: a unit on Azure is reachable about five minutes after boot
	// (loadmaster.md 2.6).
	BootGrace = 5 * time.Minute
	// FlapWindow is how long a change of what is seen is remembered, and
	// flapsAt how many of them within it are flapping. An ordinary failover and
	// return makes four or five.
	FlapWindow = 5 * time.Minute
	flapsAt    = 8
	// calmAt is how few changes must be left in the window before a flapping
	// pair counts as calm, so that it does not flap in and out of flapping.
	calmAt = 3
)

// Classify names what the observation shows. It does not judge whether to
// believe it; that takes repetition (believe) and a second kind of evidence
// (Facts.Proof).
//
// The check port decides, because it is what the load balancer obeys; the API
// and the platform explain a unit that does not answer there. What fits no
// situation is Unclear.
func Classify(def *Definition, seen *Observation, rec *Record) Situation {
	return steadied(sight(def, seen, rec), seen, rec)
}

// steadied calls flapping what changes too fast to be anything else.
func steadied(s Situation, seen *Observation, rec *Record) Situation {
	if flapping(rec, seen.At) && !s.BothServe() && s != Blind {
		return Flapping
	}
	return s
}

// sight is what this observation shows by itself.
func sight(def *Definition, seen *Observation, rec *Record) Situation {
	first, second := &seen.Units[0], &seen.Units[1]
	switch {
	case first.Check.Answer == CheckServing && second.Check.Answer == CheckServing:
		return classifyBoth(def, seen, rec)
	case notConfigured(first) || notConfigured(second):
		return Unconfigured
	case first.Check.Answer == CheckServing:
		return classifyPartner(def, seen, rec, Second)
	case second.Check.Answer == CheckServing:
		return classifyPartner(def, seen, rec, First)
	default:
		return classifyNone(seen, rec)
	}
}

// classifyBoth tells a cut link, where both units are set up right, from what
// is not understood. What was understood once stays so while both serve: an API
// that is silent now does not change the cause.
func classifyBoth(def *Definition, seen *Observation, rec *Record) Situation {
	known := seen.Units[0].API.Answer == APIAnswered && seen.Units[1].API.Answer == APIAnswered
	if rec.Situation == LinkCut || rec.Suspicion.Situation == LinkCut || known && misconfigured(def, seen) == "" {
		return LinkCut
	}
	return BothActive
}

// classifyPartner judges the partner of the one unit that serves, and then the
// pair that both make.
func classifyPartner(def *Definition, seen *Observation, rec *Record, partner Role) Situation {
	u := seen.Unit(partner)
	switch {
	case u.Check.Answer == CheckUnknown:
		return Unclear
	case booting(seen, rec, partner):
		return Booting
	case misconfigured(def, seen) != "":
		return Misconfigured
	case u.Check.Answer == CheckIdle && u.API.Report.State == Unconnected, unreached(seen, rec):
		return Unpolled
	case u.Check.Answer == CheckIdle:
		return classifySpare(seen, partner)
	case u.API.Answer == APIAnswered:
		return Unclear // it lives, and nothing that it says explains its check port
	default:
		return Degraded
	}
}

// classifySpare judges a pair of which one serves and the other stands by.
func classifySpare(seen *Observation, standby Role) Situation {
	serves, spare := seen.Unit(standby.Other()), seen.Unit(standby)
	a, b := serves.API.Report.Firmware, spare.API.Report.Firmware
	switch {
	case serves.Service.Answer == ServiceFailed && spare.Service.Answer == ServicePassed:
		return Lying
	case serves.Service.Answer == ServiceFailed:
		return ApplicationDown
	case a != "" && b != "" && a != b:
		return VersionMismatch
	default:
		return Healthy
	}
}

func classifyNone(seen *Observation, rec *Record) Situation {
	first, second := &seen.Units[0], &seen.Units[1]
	switch {
	case first.Check.Answer == CheckUnknown || second.Check.Answer == CheckUnknown:
		return Unclear
	case !first.Lives() && !second.Lives() && (rec.Units[0].Probed.Up || rec.Units[1].Probed.Up):
		return Blind
	case booting(seen, rec, First) || booting(seen, rec, Second):
		return Booting
	default:
		return NoneActive
	}
}

func notConfigured(u *UnitSeen) bool {
	return u.API.Answer == APIAnswered && u.API.Report.State == NotConfigured
}

// unreached reports whether the load balancer's probe gets no answer from a
// unit that answers us: then the unit serves nobody, or cannot take over.
func unreached(seen *Observation, rec *Record) bool {
	for _, r := range Roles {
		if rec.Units[r.Index()].Probed.Unreached && seen.Unit(r).Check.Answer.Answered() {
			return true
		}
	}
	return false
}

const (
	// measuredLow is the part of the probes, in percent, below which the load
	// balancer does not see a unit serve. It is far from both ends because the first
	// and the last minute of a reading may be of before and after.
	measuredLow = 50
	// measuredFor is how long a reading of the availability metric tells anything.
	measuredFor = 10 * time.Minute
	// ReasonMeasured stands for the load balancer's word where its availability
	// metric tells, and rule health does not, that it does not see a unit serve.
	ReasonMeasured = "its availability metric shows few probes answered"
)

// measured is the reading of a unit's availability that counts: a recent one, where
// rule health, which is younger, neither sees the unit up nor explains it by an admin
// state.
func (b *BalancerSeen) measured(u Unit, now time.Time) (seen AvailabilitySeen, known bool) {
	for _, h := range b.Health {
		if h.Address == u.Address && (h.Up || h.Admin() != AdminNone) {
			return seen, false
		}
	}
	for _, a := range b.Availability {
		if age := now.Sub(a.At); a.Address == u.Address && age < measuredFor && age > -bootSkew {
			return a, true
		}
	}
	return seen, false
}

// overlooked reports whether a load balancer has not seen a unit serve for minutes in
// which the unit answered us 200 at every look. It is no proof of what is so now, and
// only makes more careful: nothing that leaves this unit to serve alone is set.
func overlooked(seen *Observation, u Unit) bool {
	for n := range seen.Balancers {
		if a, known := seen.Balancers[n].measured(u, seen.At); known && a.Answer == CheckServing && a.Percent < measuredLow {
			return true
		}
	}
	return false
}

// learnMeasured adds to how the load balancers' probes find a unit, p if that was
// read, what only the availability metric tells: that they do not see one serve that
// answers us 200, or see one serve that does not answer us at all. It is forgotten
// when the unit itself answers otherwise, or the metric does. What rule health said
// stands until rule health says otherwise.
func learnMeasured(p ProbedSeen, read bool, in *Input, r Role, was ProbedSeen) (ProbedSeen, bool) {
	if p.Unreached || p.Up || was.Foreign != AdminUnknown {
		return p, read
	}
	seen, unit := &in.Observation, in.Definition.Units.Of(r)
	told, up := false, false
	for n := range seen.Balancers {
		a, known := seen.Balancers[n].measured(unit, seen.At)
		told = told || known
		up = up || known && !a.Answer.Answered() && a.Percent >= measuredLow
	}
	answer, dark := seen.Unit(r).Check.Answer, !seen.Units[0].Lives() && !seen.Units[1].Lives()
	over := told || !was.Unreached && !dark || was.Unreached && answer.Answered() && answer != CheckServing
	switch {
	case overlooked(seen, unit):
		return ProbedSeen{Unreached: true, Reason: ReasonMeasured}, true
	case up && dark:
		return ProbedSeen{Up: true, Reason: ReasonMeasured}, true
	case was.Reason == ReasonMeasured && over:
		return ProbedSeen{}, true
	default:
		return p, read
	}
}

// flapping reports whether what is seen changes too fast to be believed.
func flapping(rec *Record, now time.Time) bool {
	recent := len(since(rec.Flips, now, FlapWindow))
	return recent >= flapsAt || rec.Situation == Flapping && recent >= calmAt
}

// booting reports whether the unit is inside the grace after its newest known
// start. Three sources tell of a start: an event, the unit's own boot time,
// and the platform's power state. A unit that says what it is has booted.
func booting(seen *Observation, rec *Record, r Role) bool {
	u := seen.Unit(r)
	switch {
	case u.API.Report.State == Active || u.API.Report.State == Standby:
		return false
	case u.Check.Answer == CheckServing || u.Check.Answer == CheckIdle && u.API.Report.State != Unconnected:
		return false
	case u.Power.Power == PowerStarting:
		return true
	}
	within := func(started time.Time) bool {
		age := seen.At.Sub(started)
		return !started.IsZero() && age >= -bootSkew && age < BootGrace
	}
	return within(rec.Units[r.Index()].StartedAt) || within(u.API.Report.BootedAt)
}

// bootSkew is how far another clock may be ahead of ours; a start that lies
// farther in the future is a wrong clock and grants nothing.
const bootSkew = time.Minute

// since returns those of the times that lie within a window before now. What
// lies in the future was noted by a clock that was ahead, and counts for nothing.
func since(times []time.Time, now time.Time, window time.Duration) []time.Time {
	var out []time.Time
	for _, t := range times {
		if age := now.Sub(t); age < window && age >= -bootSkew {
			out = append(out, t)
		}
	}
	return out
}
