package lab

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// programVerbs are what happens to the program: its workers, its store, its
// clock and its operator. What concerns the Functions host is done here, the
// rest by the program's own side (Program.Do). In a world without a program
// they are told and do nothing.
//
// The workers are called worker-1, worker-2, and so on, and are named in unit;
// worker-1 is meant where nothing is said. The operator's commands name a pair
// in unit, that of the story where nothing is said.
var programVerbs = map[string]verb{
	"kill":              {"the handler process dies without a word, as often as times says, and every so often", kill},
	"kill-after-write":  {"the handler dies when Resource Manager has taken its next writes, those of the method in state, and not answered yet", killAfter(ManagerName, "Resource Manager has taken its next write")},
	"kill-after-events": {"the handler dies when the topic has taken its next events and not answered yet", killAfter(TopicName, "the topic has taken its next events")},
	"kill-after-backup": {"the handler dies when the container for backups has taken its next write and not answered yet", toProgram(fixed("the handler will die when the container for backups has taken its next write"))},
	"stop-program":      {"a person stops the whole function app", stopProgram},
	"start-program":     {"a person starts the whole function app", startProgram},
	"sweep-gap":         {"no timer fires for that long", sweepGap},

	"freeze":              {"all input and output of a worker stops for that long, and then goes on", toProgram(freezeWords)},
	"freeze-before-write": {"the next write to Resource Manager, of the method in state, is held for that long before it leaves, and so is all else of its worker", toProgram(freezeBeforeWriteWords)},
	"clock":               {"the wall clock of a worker steps by that much, back where it is negative", toProgram(clockWords)},

	"store-down":     {"every request to the tables fails from now on; queues work", toProgram(fixed("the tables of the storage account cannot be reached"))},
	"store-readonly": {"every write to the tables is refused from now on; reads and queues work", toProgram(fixed("the tables of the storage account can only be read"))},
	"store-up":       {"the tables work again, as fast as before", toProgram(fixed("the tables of the storage account are well again"))},
	"store-slow":     {"every request to the tables takes that much longer", toProgram(storeSlowWords)},
	"store-fails":    {"the next requests to the tables fail with an unknown outcome; half of the writes are done", toProgram(storeFailsWords)},
	"newer-record":   {"the stored record of the pair is marked as only a newer release may read it", toProgram(fixed("a newer release writes the record of the pair, for newer readers only"))},

	"apply":      {"the operator applies the pair file with the changes of set, which stay", operates(applyWords)},
	"pause":      {"the operator pauses the pair for that long, with state: first or second for the maintenance of that unit, or with state: all every pair", operates(named("pauses"))},
	"resume":     {"the operator resumes the pair, or with state: all every pair", operates(named("resumes"))},
	"approve":    {"the operator approves the plan that waits", operates(named("approves the plan of"))},
	"ack":        {"the operator acknowledges what blocks the pair", operates(named("acknowledges"))},
	"prove":      {"the operator proves the lever on the pair's load balancer", operates(named("proves the lever of"))},
	"write":      {"the operator has written what the pair's plan shows", operates(named("has written what the plan shows for"))},
	"switchover": {"the operator asks for the active state to be moved to the unit of state, drained for that long", operates(switchoverWords)},
	"set-up":     {"the operator asks for HA to be set up on both units (tandem configure)", operates(named("asks for HA to be set up on"))},
	"replace":    {"the operator asks for the unit of state to be taken in that was built anew (tandem replace)", operates(replaceWords)},
	"backup":     {"the operator has a backup taken of both units, or of the unit of state (tandem backup)", operates(backupWords)},
	"restore":    {"the operator has the newest backup of the unit of state restored on it (tandem restore)", operates(restoreWords)},
	"sync":       {"the operator asks for the units' settings to be made alike, with state: first, second or active by that unit's value where both changed one", operates(syncWords)},
	"choose":     {"the operator takes the state of the unit of state for all of the settings that wait for a person", operates(chooseWords)},
	"consent":    {"the operator approves what the pair's job announces", operates(named("approves what the job announces of"))},
	"cancel":     {"the operator cancels the pair's job", operates(named("cancels the job of"))},
	"remove":     {"the operator removes the pair", operates(named("removes"))},
}

// killEvery is the time between two deaths where a story does not say.
const killEvery = 10 * time.Second

func kill(w *World, st Step) {
	every := killEvery
	if st.Every > 0 {
		every = st.Every
	}
	words := "the handler of " + worker(st) + " is killed"
	if st.Times > 1 {
		words += fmt.Sprintf(", and so %d times in all, every %v", st.Times, every)
	}
	w.record.log("story", words)
	if i, ok := w.instance(st); ok {
		w.program.killTimes(i, max(st.Times, 1), every)
	}
}

func killAfter(service, when string) func(*World, Step) {
	return func(w *World, st Step) {
		who := "the handler"
		if st.Unit != "" {
			who += " of " + st.Unit
		}
		words := who + " will die when " + when + method(st)
		if st.Times > 1 {
			words += fmt.Sprintf(", %d times", st.Times)
		}
		w.record.log("story", words)
		if _, ok := w.instance(st); ok {
			w.program.killAfter(service, fatal{st.Unit, st.State}, max(st.Times, 1))
		}
	}
}

func stopProgram(w *World, _ Step) {
	w.record.log("story", "a person stops the function app")
	if w.program != nil {
		w.program.stop(true)
	}
}

func startProgram(w *World, _ Step) {
	w.record.log("story", "a person starts the function app")
	if w.program != nil {
		w.program.stop(false)
	}
}

func sweepGap(w *World, st Step) {
	w.record.log("story", fmt.Sprintf("the timer does not fire for %v", st.For))
	if w.program != nil {
		w.program.timers.Skip(st.For)
	}
}

// FreezeHost stops the Functions host of a worker for a while; its handler is
// the launcher's. The host goes on a moment later than the time says.
func (w *World) FreezeHost(worker string, d time.Duration) {
	if i := w.program.named(worker); i != nil {
		i.host.Freeze(d + hostThaw)
	}
}

// instance is the one that a step names. Where there is no program there is
// none; a name that nobody has fails the story.
func (w *World) instance(st Step) (*instance, bool) {
	if w.program == nil {
		return nil, false
	}
	i := w.program.named(st.Unit)
	if i == nil {
		w.fail(fmt.Sprintf("%s: no worker is called %q", st.Do, st.Unit))
	}
	return i, i != nil
}

// worker is the name of the worker that a step is about.
func worker(st Step) string {
	if st.Unit == "" {
		return workerName(0)
	}
	return st.Unit
}

func workerName(n int) string { return fmt.Sprintf("worker-%d", n+1) }

// toProgram tells what happens and hands the step to the program's side.
func toProgram(words func(Step) string) func(*World, Step) {
	return func(w *World, st Step) {
		w.record.log("story", words(st))
		w.do(st)
	}
}

// operates is toProgram for what the operator does.
func operates(words func(pair string, st Step) string) func(*World, Step) {
	return func(w *World, st Step) {
		if st.Unit == "" {
			st.Unit = w.plan.Name
		}
		w.record.log("operator", words(st.Unit, st))
		w.do(st)
	}
}

func (w *World) do(st Step) {
	if w.program == nil || w.program.do == nil {
		return
	}
	if err := w.program.do(st); err != nil {
		w.fail(fmt.Sprintf("%s: %v", st.Do, err))
	}
}

func fixed(words string) func(Step) string { return func(Step) string { return words } }

func freezeWords(st Step) string {
	return fmt.Sprintf("%s is frozen for %v", worker(st), st.For)
}

func freezeBeforeWriteWords(st Step) string {
	who := "the worker that writes next"
	if st.Unit != "" {
		who = st.Unit
	}
	return fmt.Sprintf("%s will be frozen for %v, right before a write to Resource Manager leaves%s", who, st.For, method(st))
}

// method is the one that a write must have for a step.
func method(st Step) string {
	if st.State == "" {
		return ""
	}
	return ", a " + strings.ToUpper(st.State)
}

func clockWords(st Step) string {
	if st.For < 0 {
		return fmt.Sprintf("the wall clock of %s steps back by %v", worker(st), -st.For)
	}
	return fmt.Sprintf("the wall clock of %s steps forward by %v", worker(st), st.For)
}

func switchoverWords(pair string, st Step) string {
	words := "asks for a switchover of " + pair
	if st.State != "" {
		words += " to " + st.State
	}
	if st.For > 0 {
		words += fmt.Sprintf(", drained for %v", st.For)
	}
	return words
}

func replaceWords(pair string, st Step) string {
	return "asks for the new " + st.State + " unit to be taken in by " + pair
}

func backupWords(pair string, st Step) string {
	whose := "both units"
	if st.State != "" {
		whose = st.State
	}
	return "asks for a backup of " + whose + " of " + pair
}

func restoreWords(pair string, st Step) string {
	return "asks for the newest backup of " + st.State + " of " + pair + " to be restored on it"
}

func syncWords(pair string, st Step) string {
	words := "asks for the settings of both units of " + pair + " to be made alike"
	if st.State != "" {
		words += ", by what " + st.State + " has"
	}
	return words
}

func chooseWords(pair string, st Step) string {
	return "takes what " + st.State + " has for all that waits in the settings of " + pair
}

func storeSlowWords(st Step) string {
	return fmt.Sprintf("every request to the tables of the storage account takes %v longer", st.Late)
}

func storeFailsWords(st Step) string {
	return fmt.Sprintf("the next %d requests to the tables of the storage account fail, and nobody knows what was done", max(st.Times, 1))
}

func named(does string) func(string, Step) string {
	return func(pair string, st Step) string {
		if st.State == "all" {
			pair = "every pair"
		}
		words := does + " " + pair
		if st.State != "" && st.State != "all" {
			words += ", for maintenance of " + st.State + ","
		}
		if st.For > 0 {
			words += fmt.Sprintf(" for %v", st.For)
		}
		return words
	}
}

func applyWords(pair string, st Step) string {
	words := "applies the pair file of " + pair
	var changes []string
	for _, path := range slices.Sorted(maps.Keys(st.Set)) {
		changes = append(changes, fmt.Sprintf("%s: %v", path, st.Set[path]))
	}
	if len(changes) > 0 {
		words += " with " + strings.Join(changes, ", ")
	}
	return words
}

// ChangedPairFile returns a pair file with other values at paths such as
// failover.confirmAfter, for the operator who edits it.
func ChangedPairFile(file []byte, changes map[string]any) ([]byte, error) {
	var doc map[string]any
	if err := yaml.Unmarshal(file, &doc); err != nil {
		return nil, fmt.Errorf("change the pair file: %w", err)
	}
	for _, path := range slices.Sorted(maps.Keys(changes)) {
		set(doc, path, changes[path])
	}
	return yaml.Marshal(doc)
}
