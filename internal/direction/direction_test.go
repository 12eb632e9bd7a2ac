package direction

import (
	"testing"
)

const (
	resourceManager = "github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/..."

	command  = "tandem/cmd/..."
	handlers = "tandem/handlers/..."
	lab      = "tandem/internal/lab/..."
	story    = "tandem/internal/story/..."
	program  = "tandem/internal/app/..."
)

// above are the packages that call adapters.
var above = []string{command, handlers, program, story, "tandem/internal/api/...", "tandem/internal/control/...", "tandem/internal/job/..."}

// adapters are the packages that each know one outside thing.
var adapters = []string{
	"tandem/internal/azure/arm/...", "tandem/internal/azure/events/...", "tandem/internal/azure/identity/...",
	"tandem/internal/loadmaster/...", "tandem/internal/probe/...", "tandem/internal/store/...", "tandem/internal/vault/...",
}

// planned are packages that the layout names and that come later.
var planned = []string{
	"tandem/internal/settings/...", "tandem/internal/geo/...", "tandem/internal/firmware/...", "tandem/internal/job/...",
}

// rules are the directions of the layout, DESIGN section 3.
var rules = append([]rule{
	{
		name: "the domain needs only the standard library",
		why:  "what is decided must be readable, and testable in all its combinations, without knowing anything else",
		of:   []string{"tandem/internal/pair/..."},
		only: []string{},
	},
	{
		name: "a pure room needs only the standard library and the domain's nouns",
		why:  "values in, values out: a plan is a value that can be compared and shown before anybody acts on it",
		of:   []string{"tandem/internal/balancer/document/...", "tandem/internal/settings/...", "tandem/internal/geo/...", "tandem/internal/firmware/..."},
		only: []string{"tandem/internal/pair"},
	},
	{
		name: "comparing needs only the documents that are compared beside that",
		why:  "what a pair must have follows from its file and from what was read, and from nothing else",
		of:   []string{"tandem/internal/balancer"},
		only: []string{"tandem/internal/pair", "tandem/internal/balancer/document"},
	},
	{
		name: "finding pair files needs only what compiles, compares and writes them",
		why:  "what is found is judged by the same rules as what a person writes",
		of:   []string{"tandem/internal/discover/..."},
		only: []string{"tandem/internal/pair", "tandem/internal/balancer", "tandem/internal/balancer/document", "tandem/internal/manifest", "go.yaml.in/yaml/v3"},
	},
	{
		name: "the step engine needs only the domain",
		why:  "it knows what a step is and not what any of them does, so that each procedure can be read, tested and replaced alone",
		of:   []string{"tandem/internal/job"},
		only: []string{"tandem/internal/pair"},
	},
	{
		name:   "a procedure needs only the step engine and the domain",
		why:    "it emits intents in the domain's words, which the one executor carries out; two procedures share nothing but the engine and the steps of a move",
		of:     []string{"tandem/internal/job/..."},
		except: []string{"tandem/internal/job"},
		only:   []string{"tandem/internal/job", "tandem/internal/job/move", "tandem/internal/pair"},
	},
	{
		name: "a pure room does no I/O, waits for nothing and logs nothing",
		why:  "any decision can be recomputed from the journal, byte for byte (promise 10)",
		of: []string{
			"tandem/internal/pair/...", "tandem/internal/balancer/...", "tandem/internal/settings/...",
			"tandem/internal/geo/...", "tandem/internal/firmware/...",
		},
		never: []string{"context", "log/...", "math/rand/...", "net", "net/http/...", "os/..."},
	},
	{
		name:  "the lab imports nothing of the program",
		why:   "a world made of the program's own parts would repeat its mistakes, and every test would pass",
		of:    []string{lab},
		never: []string{"tandem/..."},
		but:   []string{lab},
		tests: true,
	},
	{
		name:   "nothing of the program imports the lab",
		why:    "the program does not know that it is simulated; what is proved in the lab is what is deployed",
		of:     []string{"tandem/..."},
		except: []string{lab, story, "tandem/cmd/tandem"},
		never:  []string{lab},
	},
	{
		name:   "stories are played by the command and by tests",
		why:    "a story joins the program and the lab, so whoever imports it depends on everything",
		of:     []string{"tandem/..."},
		except: []string{story, "tandem/cmd/tandem"},
		never:  []string{story},
	},
	{
		name:   "only the command and the stories assemble the program",
		why:    "a part that needs the whole can neither be replaced nor tested alone",
		of:     []string{"tandem/..."},
		except: []string{program, story, "tandem/cmd/tandem"},
		never:  []string{program},
	},
	{
		name:  "nothing imports a command",
		why:   "what two commands share is a package with a name",
		of:    []string{"tandem/..."},
		never: []string{command},
		tests: true,
	},
	{
		name:    "control reaches no adapter and nothing above it",
		why:     "the one actor states in domain words what it needs, so that a pass reads and tests without Azure",
		of:      []string{"tandem/internal/control/..."},
		never:   append([]string{command, handlers, program, story, "tandem/internal/api/...", "tandem/internal/job/..."}, adapters...),
		through: true,
	},
	{
		name:    "handlers reach no adapter but the event decoders",
		why:     "a handler decodes, makes one call and encodes; who does the work is not its business",
		of:      []string{handlers},
		never:   adapters,
		but:     []string{"tandem/internal/azure/events/..."},
		through: true,
	},
	{
		name:  "a replay needs only the domain and the pair file",
		why:   "what was decided, or would have been, follows from the journal alone; whatever else it needed could not be stored with it (promise 10)",
		of:    []string{"tandem/internal/replay"},
		only:  []string{"tandem/internal/manifest", "tandem/internal/pair"},
		tests: true,
	},
	{
		name:  "random faults reach the program by its doors, and no adapter but the store",
		why:   "they play the program in a light world of their own and in the lab's; another adapter would bring its own idea of the outside",
		of:    []string{"tandem/internal/faults"},
		never: []string{"tandem/..."},
		but: []string{
			"tandem/internal/api", "tandem/internal/balancer", "tandem/internal/control", "tandem/internal/job/...", "tandem/internal/manifest", "tandem/internal/pair",
			"tandem/internal/store", lab, story,
		},
		tests: true,
	},
	{
		name:   "only internal/azure/arm imports the Resource Manager SDK",
		why:    "no arm type leaves the adapter, and armnetwork costs 2 GiB and 45 s to compile, which no other test shall pay",
		of:     []string{"tandem/..."},
		except: []string{"tandem/internal/azure/arm/...", "tandem/internal/lab/arm"},
		never:  []string{resourceManager},
		tests:  true,
	},
	{
		name:  "the lab's Resource Manager does not import the SDK's",
		why:   "it is a server for the unchanged clients, which only its tests use; with the SDK's types it would share the SDK's gaps",
		of:    []string{"tandem/internal/lab/arm"},
		never: []string{resourceManager},
	},
	{
		name:    "the event decoders never compile the Resource Manager SDK",
		why:     "an event is a hint in JSON; whoever reads events shall not wait for armnetwork",
		of:      []string{"tandem/internal/azure/events/..."},
		never:   []string{resourceManager},
		through: true,
	},
}, apart()...)

// apart are the rules that keep adapters from each other and from those above
// them.
func apart() []rule {
	var apart []rule
	for _, adapter := range adapters {
		apart = append(apart, rule{
			name:    adapter + " reaches no other adapter and nothing above it",
			why:     "an adapter translates one outside thing into domain words; joining two of them is a decision, and decisions are made in control",
			of:      []string{adapter},
			never:   append(append([]string{}, adapters...), above...),
			but:     []string{adapter},
			through: true,
		})
	}
	return apart
}

func TestImportsGoInTheDirectionsOfTheLayout(t *testing.T) {
	g := load(t)
	for _, r := range rules {
		t.Run(r.name, func(t *testing.T) {
			for _, b := range r.broken(g) {
				t.Errorf("%s\nthe rule: %s, because %s", b, r.name, r.why)
			}
		})
	}
}

// A rule about a package that was renamed or removed would be kept by nobody.
func TestEveryPatternNamesAPackage(t *testing.T) {
	g := load(t)
	exists := func(pattern string) bool {
		for path := range g {
			if matches(path, pattern) {
				return true
			}
		}
		return false
	}
	for _, r := range rules {
		for _, patterns := range [][]string{r.of, r.except, r.never, r.but, r.only} {
			for _, p := range patterns {
				if !exists(p) && !matchesAny(p, planned) {
					t.Errorf("no package is %s, which the rule speaks of: %s", p, r.name)
				}
			}
		}
	}
}
