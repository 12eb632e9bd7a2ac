package lab

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"tandem/internal/lab/loadmaster"
)

// settingVerbs are what happens to the settings of units and to the way between them.
var settingVerbs = map[string]verb{
	"at-unit":       {"a person gives the unit the command of state with the arguments of set, where self is the unit's own address; refused demands that it is", on(atUnit)},
	"many-services": {"there are so many services as times says, each with so many real servers as state says; on both units without unit", manyServices},
	"block-sync":    {"a network rule drops what the units say to each other on their sync port; both ways without from and to", blockSync},
	"unblock-sync":  {"that rule is lifted; both ways without from and to", unblockSync},
	"keep-backup":   {"a person keeps a backup of the unit, which restore-unit restores", on(keepBackup)},
}

func atUnit(w *World, st Step, u *loadmaster.Unit) {
	args := asText(st.Set)
	var words []string
	for _, name := range slices.Sorted(maps.Keys(args)) {
		if args[name] == "self" {
			args[name] = w.plan.Units[st.Unit].Address.String()
		}
		words = append(words, name+"="+args[name])
	}
	w.record.log("story", fmt.Sprintf("a person gives %s the command %s %s", u.Name(), st.State, strings.Join(words, " ")))
	err := u.Execute(st.State, args)
	if (err != nil) != st.Refused {
		w.fail(fmt.Sprintf("at-unit: %s at %s: %v, expected that it is refused: %t", st.State, u.Name(), err, st.Refused))
	}
}

func manyServices(w *World, st Step) {
	servers, err := strconv.Atoi(st.State)
	if err != nil || st.Times <= 0 {
		w.fail(fmt.Sprintf("many-services: times %d, state %q: expected two numbers", st.Times, st.State))
		return
	}
	eachUnit(w, st, func(role string) {
		w.record.log("story", fmt.Sprintf("%s has %d services more, each with %d real servers", w.units[role].Name(), st.Times, servers))
		w.units[role].AddServices(st.Times, servers)
	})
}

func blockSync(w *World, st Step) {
	w.record.log("story", "a network rule drops what the units say to each other on their sync port"+direction(st))
	for _, way := range w.ways(st) {
		w.net.Block(way[0], way[1], syncPort)
	}
}

func unblockSync(w *World, st Step) {
	w.record.log("story", "the units reach each other on their sync port again"+direction(st))
	for _, way := range w.ways(st) {
		w.net.Unblock(way[0], way[1], syncPort)
	}
}

func keepBackup(w *World, _ Step, u *loadmaster.Unit) {
	w.record.log("story", "a person keeps a backup of "+u.Name())
	u.KeepBackup()
}

// lookAtSettings compares the settings of units with how the story says they must be.
func (w *World) lookAtSettings(now Now) {
	if now.Settings != "" {
		differences := w.units[pairRoles[0]].Differences(w.units[pairRoles[1]])
		got := "equal"
		if len(differences) > 0 {
			got = "different"
		}
		if got != now.Settings {
			w.fail(fmt.Sprintf("the units' settings are %s, expected %s: %s", got, now.Settings, strings.Join(differences[:min(len(differences), 10)], "; ")))
		}
	}
	for _, role := range slices.Sorted(maps.Keys(now.Holds)) {
		if w.units[role] == nil {
			w.fail(fmt.Sprintf("holds: unit %q: expected one of %s", role, strings.Join(w.roles(), ", ")))
			continue
		}
		for _, path := range slices.Sorted(maps.Keys(now.Holds[role])) {
			want := fmt.Sprint(now.Holds[role][path])
			got, there := w.units[role].Setting(path)
			if !there {
				got = "absent"
			}
			if got != want {
				w.fail(fmt.Sprintf("%s has for %s %q, expected %q", w.units[role].Name(), path, got, want))
			}
		}
	}
}

// judgeSettings fails a story in which the program wrote what stays on its unit.
func (w *World) judgeSettings() {
	for _, role := range w.roles() {
		for _, what := range w.units[role].ExcludedWrites() {
			if !slices.Contains(w.Scenario.MayWrite, what) {
				w.fail(fmt.Sprintf("the program wrote %s at %s, which stays on its unit", what, w.units[role].Name()))
			}
		}
	}
}
