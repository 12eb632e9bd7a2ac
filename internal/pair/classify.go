package pair

import "time"

// BootGrace is how long a unit may take after a start before its silence
// counts: a unit on Azure is reachable about five minutes after boot
// (loadmaster.md 2.6).
const BootGrace = 5 * time.Minute

// Classify names what the observation shows. It does not judge whether to
// believe it; that takes repetition (believe) and a second kind of evidence
// (Facts.Proof).
//
// The check port decides, because it is what the load balancer obeys; the API
// and the platform explain a unit that does not answer there. What fits no
// situation is Unclear.
func Classify(seen *Observation, rec *Record) Situation {
	first, second := &seen.Units[0], &seen.Units[1]
	switch {
	case first.Check.Answer == CheckServing && second.Check.Answer == CheckServing:
		return BothActive
	case notConfigured(first) || notConfigured(second):
		return Unconfigured
	case first.Check.Answer == CheckServing:
		return classifyPartner(seen, rec, Second)
	case second.Check.Answer == CheckServing:
		return classifyPartner(seen, rec, First)
	default:
		return classifyNone(seen, rec)
	}
}

// classifyPartner judges the partner of the one unit that serves.
func classifyPartner(seen *Observation, rec *Record, partner Role) Situation {
	u := seen.Unit(partner)
	switch {
	case u.Check.Answer == CheckUnknown:
		return Unclear
	case u.Check.Answer == CheckIdle && u.API.Report.State != Unconnected:
		return Healthy
	case booting(seen, rec, partner):
		return Booting
	case u.Check.Answer == CheckIdle, u.API.Answer == APIAnswered:
		// It lives but is not ready: not polled, or another port or mode.
		return Unclear
	default:
		return Degraded
	}
}

func classifyNone(seen *Observation, rec *Record) Situation {
	switch {
	case seen.Units[0].Check.Answer == CheckUnknown || seen.Units[1].Check.Answer == CheckUnknown:
		return Unclear
	case booting(seen, rec, First) || booting(seen, rec, Second):
		return Booting
	default:
		return NoneActive
	}
}

func notConfigured(u *UnitSeen) bool {
	return u.API.Answer == APIAnswered && u.API.Report.State == NotConfigured
}

// booting reports whether the unit is inside the grace after its newest known
// start. Three sources tell of a start: an event, the unit's own boot time,
// and the platform's power state. A unit that says what it is has booted.
func booting(seen *Observation, rec *Record, r Role) bool {
	u := seen.Unit(r)
	switch {
	case u.API.Report.State == Active || u.API.Report.State == Standby:
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
