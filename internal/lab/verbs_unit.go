package lab

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"tandem/internal/lab/arm"
	"tandem/internal/lab/loadmaster"
)

// unitVerbs are what happens inside the units, and what people do to them.
var unitVerbs = map[string]verb{
	"flap":             {"the unit's check port alternates between 503 and its answer, each for the time every", on(flap)},
	"calm":             {"the unit's check port is steady again", on(calm)},
	"check-port":       {"the unit's check port says from now on what state says: honest, 200, 503 or silent", on(setCheckPort)},
	"stop-forwarding":  {"the unit forwards nothing any more and does not know it", on(stopForwarding)},
	"forward":          {"the unit forwards again", on(forward)},
	"application-down": {"the real servers behind the unit are down; behind both without unit", applicationDown},
	"application-up":   {"the real servers behind the unit are up again; behind both without unit", applicationUp},
	"rotate-password":  {"somebody changes the unit's API key and does not tell the program", on(rotatePassword)},
	"restore-password": {"the unit's API key is again what the program knows", on(restorePassword)},
	"new-certificate":  {"the unit has a new certificate, which nobody has pinned", on(newCertificate)},
	"pin":              {"the operator applies the pair file with the pin of the certificate that the unit has now", on(pin)},
	"configure":        {"a person changes settings at the unit: hamode, partner, hcp, haprefered, hcai, or any parameter", on(configure)},
	"reboot":           {"a person reboots the appliance; the platform sees nothing", on(reboot)},
	"firmware":         {"the unit runs the firmware of state after its next reboot", on(installFirmware)},
	"stuck-passive":    {"the unit stays Passive whoever polls it", on(stuckPassive)},
	"stuck-standby":    {"the unit, without a preference, becomes Standby and waits for its partner", on(stuckStandby)},
	"stuck-boot":       {"the unit boots again and again from its next boot on and cannot be reached", on(stuckBoot)},
	"unstick":          {"the unit is no longer stuck", on(unstick)},
	"replace-unit":     {"a blank unit takes the unit's place and boots: unlicensed, without HA, services and API key, with another certificate", on(replaceUnit)},
	"license-unit":     {"a person licenses the blank unit and gives it the API key that the program knows", on(licenseUnit)},
	"restore-unit":     {"a person restores the services of the unit that was replaced from its backup; with state: all everything, its place in the pair too", on(restoreUnit)},
	"refuse-backups":   {"the API's user loses the permission to take backups of the unit", on(refuseBackups)},
	"allow-backups":    {"the API's user may take backups of the unit again", on(allowBackups)},
	"refuse-set-up":    {"the API's user loses the permission to change the unit's HA parameters", on(refuseSetUp)},
	"allow-set-up":     {"the API's user may change the unit's HA parameters again", on(allowSetUp)},
	"hang":             {"the appliance hangs: it is silent to everybody, its VM runs and the platform sees nothing; boot ends it", on(hang)},
	"api-silent":       {"the unit's API port is closed; the check port is not", on(apiSilent)},
	"api-answers":      {"the unit's API port is open again", on(apiAnswers)},
}

// on lets a verb happen to the unit that a step names.
func on(do func(*World, Step, *loadmaster.Unit)) func(*World, Step) {
	return func(w *World, st Step) {
		u := w.units[st.Unit]
		if u == nil {
			w.fail(fmt.Sprintf("%s: unit %q: expected one of %s", st.Do, st.Unit, strings.Join(w.roles(), ", ")))
			return
		}
		do(w, st, u)
	}
}

func flap(w *World, st Step, u *loadmaster.Unit) {
	if st.Every <= 0 {
		w.fail(fmt.Sprintf("flap: every %s: expected a time", st.Every))
		return
	}
	w.record.log("story", fmt.Sprintf("the check port of %s begins to flap: 503 and its answer in turn, for %s each", u.Name(), st.Every))
	u.ChangeFaults(func(f *loadmaster.Faults) { f.FlapEvery = st.Every })
}

func calm(w *World, _ Step, u *loadmaster.Unit) {
	w.record.log("story", "the check port of "+u.Name()+" is steady again")
	u.ChangeFaults(func(f *loadmaster.Faults) { f.FlapEvery = 0 })
}

func setCheckPort(w *World, st Step, u *loadmaster.Unit) {
	var fault loadmaster.CheckPortFault
	var words string
	switch st.State {
	case "honest":
		fault, words = loadmaster.CheckPortHonest, "says again what it is"
	case "200":
		fault, words = loadmaster.CheckPortSays200, "says 200 whatever it is"
	case "503":
		fault, words = loadmaster.CheckPortSays503, "says 503 whatever it is"
	case "silent":
		fault, words = loadmaster.CheckPortSilent, "takes connections and says nothing"
	default:
		w.fail(fmt.Sprintf("check-port: state %q: expected one of honest, 200, 503, silent", st.State))
		return
	}
	w.record.log("story", "the check port of "+u.Name()+" "+words)
	u.ChangeFaults(func(f *loadmaster.Faults) { f.CheckPort = fault })
}

func stopForwarding(w *World, _ Step, u *loadmaster.Unit) {
	w.record.log("story", u.Name()+" forwards nothing any more; its check port says what it said")
	u.ChangeFaults(func(f *loadmaster.Faults) { f.ServicesDead = true })
}

func forward(w *World, _ Step, u *loadmaster.Unit) {
	w.record.log("story", u.Name()+" forwards again")
	u.ChangeFaults(func(f *loadmaster.Faults) { f.ServicesDead = false })
}

func applicationDown(w *World, st Step) {
	eachUnit(w, st, func(role string) {
		w.record.log("story", "the real servers behind "+w.units[role].Name()+" are down")
		w.units[role].ChangeFaults(func(f *loadmaster.Faults) { f.RealServersDown = true })
	})
}

func applicationUp(w *World, st Step) {
	eachUnit(w, st, func(role string) {
		w.record.log("story", "the real servers behind "+w.units[role].Name()+" are up again")
		w.units[role].ChangeFaults(func(f *loadmaster.Faults) { f.RealServersDown = false })
	})
}

func rotatePassword(w *World, st Step, u *loadmaster.Unit) {
	w.record.log("story", "somebody changes the API key of "+u.Name())
	u.SetAPIKey("rotated-" + APIKey(w.plan.Units[st.Unit].API.Secret))
}

func restorePassword(w *World, st Step, u *loadmaster.Unit) {
	w.record.log("story", "somebody changes the API key of "+u.Name()+" back")
	u.SetAPIKey(APIKey(w.plan.Units[st.Unit].API.Secret))
}

func newCertificate(w *World, _ Step, u *loadmaster.Unit) {
	w.record.log("story", u.Name()+" has a new certificate")
	u.RotateCertificate()
}

// pin has the operator trust the unit's certificate of now. Only the story's
// own pair has an operator for that.
func pin(w *World, st Step, u *loadmaster.Unit) {
	if !slices.Contains(pairRoles[:], st.Unit) {
		w.fail(fmt.Sprintf("pin: unit %q: expected one of %s", st.Unit, strings.Join(pairRoles[:], ", ")))
		return
	}
	w.record.log("operator", fmt.Sprintf("applies the pair file of %s with the new pin of %s", w.plan.Name, u.Name()))
	w.do(Step{Do: "apply", Unit: w.plan.Name, Set: map[string]any{"units." + st.Unit + ".api.tls.sha256": u.CertificateSHA256()}})
}

func configure(w *World, st Step, u *loadmaster.Unit) {
	if len(st.Set) == 0 {
		w.fail("configure: set is empty: expected settings by name")
		return
	}
	settings := asText(st.Set)
	var words []string
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		words = append(words, name+"="+settings[name])
	}
	w.record.log("story", "a person sets "+strings.Join(words, ", ")+" at "+u.Name())
	if err := u.Configure(settings); err != nil {
		w.fail(err.Error())
	}
}

func reboot(w *World, _ Step, u *loadmaster.Unit) {
	w.record.log("story", "a person reboots "+u.Name())
	u.Reboot()
}

func installFirmware(w *World, st Step, u *loadmaster.Unit) {
	if st.State == "" {
		w.fail("firmware: state is empty: expected a version")
		return
	}
	w.record.log("story", "firmware "+st.State+" is installed on "+u.Name()+", for its next reboot")
	u.InstallFirmware(st.State)
}

func stuckPassive(w *World, _ Step, u *loadmaster.Unit) {
	w.record.log("story", u.Name()+" is stuck")
	u.ChangeFaults(func(f *loadmaster.Faults) { f.StuckPassive = true })
}

func stuckStandby(w *World, _ Step, u *loadmaster.Unit) {
	w.record.log("story", u.Name()+" waits for its partner to become active")
	u.ChangeFaults(func(f *loadmaster.Faults) { f.StuckStandby = true })
}

func unstick(w *World, _ Step, u *loadmaster.Unit) {
	w.record.log("story", u.Name()+" is no longer stuck")
	u.ChangeFaults(func(f *loadmaster.Faults) { f.StuckPassive, f.StuckStandby, f.StuckBoot = false, false, false })
}

func stuckBoot(w *World, _ Step, u *loadmaster.Unit) {
	w.record.log("story", u.Name()+" will not come up from its next boot")
	u.ChangeFaults(func(f *loadmaster.Faults) { f.StuckBoot = true })
}

// replaceUnit is a machine that is built anew from the vendor's image. One that
// Azure has switched off stays so.
func replaceUnit(w *World, st Step, u *loadmaster.Unit) {
	w.record.log("story", "a blank unit takes the place of "+u.Name())
	u.Replace()
	w.unavailable(st.Unit)
	if w.manager.Power(w.plan.vmID(st.Unit)) == arm.Running {
		u.PowerOn()
		w.available(st.Unit)
	}
}

func licenseUnit(w *World, st Step, u *loadmaster.Unit) {
	w.record.log("story", "a person licenses "+u.Name()+" and gives it the API key that the program knows")
	u.License(APIKey(w.plan.Units[st.Unit].API.Secret), "")
}

func restoreUnit(w *World, st Step, u *loadmaster.Unit) {
	words := "the services of " + u.Name()
	if st.State == "all" {
		words = "all settings of " + u.Name()
	}
	w.record.log("story", "a person restores "+words+" from the backup of before")
	if err := u.RestoreKept(st.State == "all"); err != nil {
		w.fail(err.Error())
	}
}

func refuseBackups(w *World, _ Step, u *loadmaster.Unit) {
	w.record.log("story", "the program's user loses the permission to take backups of "+u.Name())
	u.ChangeFaults(func(f *loadmaster.Faults) { f.BackupsRefused = true })
}

func allowBackups(w *World, _ Step, u *loadmaster.Unit) {
	w.record.log("story", "the program's user may take backups of "+u.Name()+" again")
	u.ChangeFaults(func(f *loadmaster.Faults) { f.BackupsRefused = false })
}

func refuseSetUp(w *World, _ Step, u *loadmaster.Unit) {
	w.record.log("story", "the program's user loses the permission to change the HA parameters of "+u.Name())
	u.ChangeFaults(func(f *loadmaster.Faults) { f.SetUpRefused = true })
}

func allowSetUp(w *World, _ Step, u *loadmaster.Unit) {
	w.record.log("story", "the program's user may change the HA parameters of "+u.Name()+" again")
	u.ChangeFaults(func(f *loadmaster.Faults) { f.SetUpRefused = false })
}

// hang is a crash of which nobody outside learns: no event comes, and the VM
// shows as running.
func hang(w *World, _ Step, u *loadmaster.Unit) {
	w.record.log("story", u.Name()+" hangs; its VM runs")
	u.PowerOff()
}

func apiSilent(w *World, _ Step, u *loadmaster.Unit) {
	w.record.log("story", "the API port of "+u.Name()+" is closed")
	u.ChangeFaults(func(f *loadmaster.Faults) { f.API = loadmaster.APIRefuses })
}

func apiAnswers(w *World, _ Step, u *loadmaster.Unit) {
	w.record.log("story", "the API port of "+u.Name()+" is open again")
	u.ChangeFaults(func(f *loadmaster.Faults) { f.API = loadmaster.APIHealthy })
}
