// Package replace takes in a unit that was built anew: it stays single, and Down in
// the load balancer, until it is licensed, has its settings back, is equal to its
// partner and is proved to forward. Only then it gets its place in the pair.
//
// A unit without HA answers no check port, so that no probe finds it and its partner
// never yields to it (loadmaster.md 2.3, 2.4). Down is for what the references do not
// know: a unit that answers all the same, or one that was restored with its place in
// the pair and rebooted before its time. What only a person can do, to license the
// unit and to restore its backup, is waited for and seen by the unit's own word.
package replace

import (
	"fmt"
	"time"

	"tandem/internal/job"
	"tandem/internal/job/move"
	"tandem/internal/pair"
)

// Kind is the word for this job in the record and on the command line.
const Kind = "replace"

const (
	// personFor is how long a person has for each thing that only a person can do, as
	// for an approval. A job that is begun once more finds what was done.
	personFor = time.Hour
	// personEvery is how often it is looked whether he has.
	personEvery = 15 * time.Second
	// provedFor is how long the unit must pass the checks.
	provedFor = 30 * time.Second
	// askedFor is how long a person has to approve.
	askedFor = time.Hour
	// landsWithin is how long an admin state may take to be seen in the data path,
	// and to be seen gone.
	landsWithin = 8 * time.Minute
	// rebootTakes is how long a unit may take to be back, and rebootAgain how long
	// one that was told to reboot has before it is told once more (as in configure).
	rebootTakes = 10 * time.Minute
	rebootAgain = 2 * time.Minute
	// tries is how often a step that waits for a person may set the unit Down again:
	// that is taken back whenever its partner does not prove itself.
	tries = 20
)

const (
	staysOut  = "the admin state goes back to None; as long as the unit is single, no probe finds it"
	noWayBack = "its place in the pair is what the pair file asks for, so it stays; it prefers nobody"
)

// Procedure takes in the job's unit, while its partner serves.
func Procedure() job.Procedure {
	return job.Procedure{
		Kind: Kind, Title: "take in a unit that was built anew, once it is licensed, restored, equal and proved",
		TakesUnit: true, NeedsUnit: true, Lasts: true,
		Steps: []job.Step{
			{Name: "preflight", Title: "its partner serves, and both are in every pool", Within: 2 * time.Minute, Do: preflight, Undoes: "nothing was changed"},
			{Name: "announce", Title: "a person has approved what cannot be proved", Within: askedFor, Do: announce, Undoes: "nothing was changed"},
			{Name: "preference", Title: "a new first unit takes nothing over by itself", Within: 3 * time.Minute, Do: preference, Undoes: "the preference for first stays suspended: second serves"},
			{Name: "out", Title: "the unit is Down in every pool", Within: landsWithin, Do: out, Undoes: staysOut},
			{Name: "licensed", Title: "the unit is licensed and lets us in", Within: personFor, Tries: tries, Do: licensed, Undoes: staysOut},
			{Name: "restored", Title: "the unit has its services back", Within: personFor, Tries: tries, Do: restored, Undoes: staysOut},
			{Name: "equal", Title: "it has its partner's firmware and services", Within: personFor, Tries: tries, Do: equal, Undoes: staysOut},
			{Name: "proved", Title: "it passes the pair file's checks", Within: personFor, Tries: tries, Do: proved, Undoes: staysOut},
			{Name: "mode", Title: "it knows its place in the pair", Within: 5 * time.Minute, Do: mode, Undoes: noWayBack},
			{Name: "reboot", Title: "it works in its mode", Within: rebootTakes, Do: reboot, Undoes: noWayBack},
			{Name: "standby", Title: "it stands by", Within: rebootTakes, Do: standby, Undoes: noWayBack},
			{Name: "return", Title: "the load balancer follows it again", Within: landsWithin, Do: comeBack, Undoes: noWayBack},
			{Name: "verify", Title: "its partner serves alone, and it can take over", Within: rebootTakes, Do: verify, Undoes: noWayBack},
			move.Settle(),
		},
	}
}

// preflight looks whether there is a unit to take in, beside one that serves.
func preflight(t *job.Turn) job.Verdict {
	unit, partner := t.Target(), t.Old()
	t.Read()
	rep, told := t.Told(unit)
	_, toldToo := t.Told(partner)
	switch {
	case t.Serves(unit) && t.Idle(partner):
		return job.Fail(t.Name(unit) + " serves, and alone: have its partner serve first (tandem switchover)")
	case !t.Serves(partner):
		return job.Wait(t.Name(partner) + " must answer 200")
	case told && t.StandsBy(unit) && rep.State == pair.Standby && move.Wrong(t, unit) == "":
		return job.Finish(t.Name(unit) + " stands by already, set up as the pair file says; nothing was touched")
	case told && works(rep) && early(t):
		return job.Fail(fmt.Sprintf("%s works in HA already and says that it is %s; what is wrong with it is for tandem configure", t.Name(unit), rep.State))
	case !toldToo:
		return job.Wait("the API of " + t.Name(partner) + " must answer")
	case !t.BalancersRead():
		return job.Wait("the load balancer must be read")
	case t.Foreign() != "":
		return job.Fail("an admin state that is not the job's stands: " + t.Foreign())
	}
	for _, r := range pair.Roles {
		if pool := t.NotIn(r); pool != "" {
			return job.Fail(fmt.Sprintf("%s is not in pool %s: see tandem plan, and begin again after tandem apply", t.Name(r), pool))
		}
	}
	return job.Done(t.Name(partner) + " serves")
}

// works reports whether a unit that told how it is works in HA.
func works(rep *pair.Report) bool {
	return rep.State == pair.Active || rep.State == pair.Standby || rep.State == pair.Unconnected
}

// early reports whether the unit was not given its place by this job yet.
func early(t *job.Turn) bool { return t.Job.Boots[t.Target().Index()].IsZero() }

// announce asks a person where nothing can prove that the unit forwards. It comes
// before anything is touched, because meanwhile the pair is the decision table's.
func announce(t *job.Turn) job.Verdict {
	if len(t.In.Definition.Checks) > 0 {
		return job.Skip("the pair file's checks prove whether it forwards")
	}
	return job.Consent(fmt.Sprintf("the pair file has no checks, so that nothing will prove that %s forwards before it stands by", t.Name(t.Target())))
}

// preference keeps a new first unit from taking over when it gets its place: neither
// unit may prefer it. Its partner must not prefer it either, or it would stop to serve
// beside a first unit that stands by (loadmaster.md 2.4).
func preference(t *job.Turn) job.Verdict {
	if t.Target() != pair.First {
		return job.Skip("second is never preferred")
	}
	if _, ok := t.Told(t.Old()); !ok {
		return job.Wait(t.Name(t.Old()) + " does not tell its preference")
	}
	if wrong := preferred(t); len(wrong) > 0 {
		return t.Ask("haprefered=0", wrong...)
	}
	return job.Done("no unit prefers first")
}

// preferred are the intents that take the preference for a new first unit away where
// it is told: from its partner, and from itself, where it was restored with it.
func preferred(t *job.Turn) []pair.Intent {
	var out []pair.Intent
	for _, r := range pair.Roles {
		if rep, ok := t.Told(r); ok && t.Target() == pair.First && rep.Role == r && rep.Preferred == pair.PreferFirst {
			out = append(out, pair.Intent{Kind: pair.IntentPrefer, Unit: r, Prefer: pair.PreferNone})
		}
	}
	return out
}

// keepOut sees that the unit is out before a step goes on. ok is false where it is
// not, or nobody could say; then v is how the step stands.
func keepOut(t *job.Turn) (v job.Verdict, ok bool) {
	unit, partner := t.Target(), t.Old()
	t.Read()
	rep, told := t.Told(unit)
	switch {
	case t.Serves(unit) && t.Idle(partner):
		return job.Fail(fmt.Sprintf("%s has taken the active state before it was proved, and %s does not answer 200: look at both units", t.Name(unit), t.Name(partner))), false
	case !t.Serves(partner) || t.Fails(partner):
		return job.Wait(t.Name(partner) + " must serve"), false
	case !t.BalancersRead():
		return job.Wait("the load balancer must be read"), false
	}
	if wrong := preferred(t); len(wrong) > 0 {
		return t.Ask("haprefered=0, before first works in its mode", wrong...), false
	}
	if missing := t.Missing(pair.IntentDrain, unit, pair.AdminDown); len(missing) > 0 && !off(t) {
		return t.Ask(t.Name(unit)+" Down in every pool", missing...), false
	}
	if told && works(rep) && early(t) {
		return job.Wait(fmt.Sprintf("%s works in HA before it was proved, and says that it is %s: set its HA mode to single and reboot it", t.Name(unit), rep.State)), false
	}
	return job.Verdict{}, true
}

// off reports whether the unit's VM is switched off. Of one the load balancer shows no
// admin state, and it takes nothing (azure.md 1.11).
func off(t *job.Turn) bool {
	seen := t.In.Observation.Unit(t.Target())
	power := seen.Power.Power
	if power == pair.PowerUnknown {
		power = t.In.Record.Units[t.Target().Index()].Power.Power
	}
	return !seen.Lives() && (power == pair.PowerStopped || power == pair.PowerDeallocated)
}

func out(t *job.Turn) job.Verdict {
	if v, ok := keepOut(t); !ok {
		return v
	}
	if off(t) {
		return job.Done("its VM is switched off; it is set Down as soon as it is not")
	}
	return job.Done("Down is seen in every pool")
}

// licensed waits until a person has licensed the unit and given it credentials.
func licensed(t *job.Turn) job.Verdict {
	t.Soon(personEvery)
	if v, ok := keepOut(t); !ok {
		return v
	}
	unit := t.Target()
	t.Inspect(unit)
	switch has, ok := t.Has(unit); {
	case !ok:
		return job.Wait(lockedOut(t) + ", and does not tell whether it is licensed")
	case !has.Licensed:
		return job.Wait(fmt.Sprintf("%s has no licence: license it, and give it the credentials of secret %q", t.Name(unit), secret(t)))
	}
	return job.Done("it names a licence, and lets us in")
}

// lockedOut says what keeps us from asking the unit, and what a person can do.
func lockedOut(t *job.Turn) string {
	name := t.Name(t.Target())
	switch t.In.Observation.Unit(t.Target()).API.Answer {
	case pair.APIAnswered:
		return name + " lets us in"
	case pair.APIUntrusted:
		return name + " has a certificate that the pair file does not name (put its SHA-256 there, and apply the file)"
	case pair.APIRefused:
		return fmt.Sprintf("%s does not let us in (license it, turn its API on, give it the credentials of secret %q, then tandem ack)", name, secret(t))
	default:
		return "the API of " + name + " does not answer"
	}
}

func secret(t *job.Turn) string { return t.In.Definition.Units.Of(t.Target()).API.Secret }

// inventories are what both units have.
func inventories(t *job.Turn) (mine, theirs *pair.InventorySeen, v job.Verdict, ok bool) {
	t.Soon(personEvery)
	if v, ok = keepOut(t); !ok {
		return nil, nil, v, false
	}
	t.Inspect(t.Target())
	mine, ok = t.Has(t.Target())
	theirs, okToo := t.Has(t.Old())
	switch {
	case !ok:
		return nil, nil, job.Wait(lockedOut(t) + ", and does not tell what services it has"), false
	case !okToo:
		return nil, nil, job.Wait(t.Name(t.Old()) + " does not tell what services it has"), false
	}
	return mine, theirs, v, true
}

// restored waits until a person has restored the unit's backup.
func restored(t *job.Turn) job.Verdict {
	mine, theirs, v, ok := inventories(t)
	switch {
	case !ok:
		return v
	case mine.Services == 0 && theirs.Services > 0:
		return job.Wait(fmt.Sprintf("%s has no service, and its partner has %d: restore its backup (tandem restore, or the services at the unit); where they do not show after that, reboot it",
			t.Name(t.Target()), theirs.Services))
	}
	return job.Done(fmt.Sprintf("it has %d of %d services", mine.Services, theirs.Services))
}

// equal compares what the units tell today: their firmware, and their services by port
// and protocol.
func equal(t *job.Turn) job.Verdict {
	mine, theirs, v, ok := inventories(t)
	if !ok {
		return v
	}
	name := t.Name(t.Target())
	here, _ := t.Told(t.Target()) // or it could not have told what it has
	there, _ := t.Told(t.Old())
	switch {
	case here.Firmware != there.Firmware || here.Firmware == "":
		return job.Wait(fmt.Sprintf("%s runs firmware %q, and its partner %q: install the same", name, here.Firmware, there.Firmware))
	case mine.Services != theirs.Services:
		return job.Wait(fmt.Sprintf("%s has %d services, and its partner %d", name, mine.Services, theirs.Services))
	case mine.ServicesHash != theirs.ServicesHash:
		return job.Wait(name + " has services on other ports than its partner")
	}
	return job.Done("firmware " + here.Firmware + ", and the same services by port; what else is in them is not compared")
}

// proved has the unit pass the checks while it is single, so that they are proof
// whether a standby forwards or not.
func proved(t *job.Turn) job.Verdict {
	if v, ok := keepOut(t); !ok {
		return v
	}
	unit := t.Target()
	switch {
	case len(t.In.Definition.Checks) == 0:
		return job.Skip("the pair file has no checks, as a person approved")
	case !early(t):
		return job.Skip("it was proved before it got its place")
	}
	t.Inspect(unit)
	passes := t.Steady(t.Passes(unit), provedFor)
	switch {
	case t.Fails(unit):
		return job.Wait(t.Name(unit) + " fails check " + t.In.Observation.Unit(unit).Service.Check)
	case !passes:
		return job.Wait(fmt.Sprintf("%s must pass the checks for %v", t.Name(unit), provedFor))
	}
	return job.Done(fmt.Sprintf("it passed the checks for %v", provedFor))
}

// mode gives the unit its place. It works after the reboot.
func mode(t *job.Turn) job.Verdict {
	unit, partner := t.Target(), t.Old()
	if v, ok := keepOut(t); !ok {
		return v
	}
	_, ok := t.Told(unit)
	switch {
	case !ok:
		return job.Wait("the API of " + t.Name(unit) + " must answer")
	case !t.Stands(unit, pair.AdminDown):
		return job.Wait(t.Name(unit) + " must be Down in every pool")
	case !t.NoteBoot(unit):
		return job.Fail(t.Name(unit) + " does not tell its boot time, so that its reboot could not be recognised; set it up by hand")
	}
	want := t.In.Definition.HA.UnitPreference()
	if unit == pair.First {
		want = pair.PreferNone // its partner serves
	}
	if rep, _ := t.Told(unit); move.Wrong(t, unit) == "" && rep.Preferred == want {
		return job.Done("read back")
	}
	return t.Ask(t.Name(unit)+" becomes the partner of "+t.Name(partner), pair.Intent{Kind: pair.IntentConfigure, Unit: unit, Prefer: want})
}

func reboot(t *job.Turn) job.Verdict {
	unit := t.Target()
	if v, ok := keepOut(t); !ok {
		return v
	}
	rep, ok := t.Told(unit)
	switch {
	case !ok:
		return job.Wait(t.Name(unit) + " is not back yet")
	case t.Rebooted(unit) && rep.State == pair.NotConfigured:
		return job.Fail(t.Name(unit) + " has rebooted and still says that HA is not configured; look at its licence and its HA mode")
	case t.Rebooted(unit):
		return job.Done("it is back, with another boot time")
	}
	return t.AskAgainAfter(rebootAgain, t.Name(unit)+" reboots", move.Reboot(t, unit))
}

// standby sees the unit stand by while it is Down. Whether Azure probes a unit that is
// Down is not known, and one that nobody probes is unconnected: that must do here.
func standby(t *job.Turn) job.Verdict {
	unit := t.Target()
	if v, ok := keepOut(t); !ok {
		return v
	}
	rep, ok := t.Told(unit)
	switch {
	case !ok:
		return job.Wait("the API of " + t.Name(unit) + " must answer")
	case move.Wrong(t, unit) != "":
		return job.Fail(move.Wrong(t, unit) + "; look who else sets up the unit, and run tandem configure")
	case !t.StandsBy(unit) || rep.State == pair.Active:
		return job.Wait(t.Name(unit) + " must answer 503, as a standby does")
	case t.Fails(unit):
		return job.Wait(t.Name(unit) + " fails check " + t.In.Observation.Unit(unit).Service.Check)
	}
	return job.Done("it answers 503 and knows its place")
}

func comeBack(t *job.Turn) job.Verdict {
	t.Soon(time.Second)
	t.Read()
	if waitsFor := t.TakeBack(); waitsFor != "" {
		return job.Wait(waitsFor)
	}
	return job.Done("no admin state of ours stands")
}

func verify(t *job.Turn) job.Verdict {
	unit, partner := t.Target(), t.Old()
	rep, ok := t.Told(unit)
	switch {
	case t.ServesAlone() != partner:
		return job.Wait(t.Name(partner) + " must answer 200, and alone")
	case !ok:
		return job.Wait("the API of " + t.Name(unit) + " must answer")
	case rep.State != pair.Standby && rep.State != pair.StateUnknown:
		return job.Wait(t.Name(unit) + " says that it is " + rep.State.String() + ", and must stand by")
	case t.In.Record.Units[unit.Index()].Probed.Unreached:
		return job.Wait("the load balancer's probe gets no answer from " + t.Name(unit))
	}
	return job.Done(t.Name(partner) + " serves, and " + t.Name(unit) + " stands by")
}
