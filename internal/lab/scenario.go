package lab

import (
	"bytes"
	"cmp"
	"embed"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"path"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

//go:embed scenarios/*.yaml
var files embed.FS

// pairFile is the pair that every story starts from; a story changes it by
// path.
const pairFile = "scenarios/pair.yaml"

// Scenario is a story: what the world is like, what happens in it, and what
// must have come of it.
type Scenario struct {
	Name    string `yaml:"name"`
	Summary string `yaml:"summary"`
	// For is how long the story lasts.
	For time.Duration `yaml:"for"`
	// Pair changes the common pair file, for example ha.preferred: none.
	Pair map[string]any `yaml:"pair"`
	// Options are answers to what the references leave open, by name.
	Options map[string]string `yaml:"options"`
	// Boot is how long a unit takes from power on to being up.
	Boot time.Duration `yaml:"boot"`
	// Active is the unit that is active at the beginning, first or second;
	// first where nothing is said.
	Active string `yaml:"active"`
	// Configured are settings of units that differ at the beginning from what the
	// pair file says, for example second: { hamode: first }; the names are those of
	// the verb configure.
	Configured map[string]map[string]any `yaml:"configured"`
	// Unproved leaves it to the story to have the lever proved; otherwise it was
	// when the pair was set up.
	Unproved bool `yaml:"unproved"`
	// Neighbours is how many other pairs are behind the same load balancer. Steps
	// call their units by NeighbourPrefix, as neighbour-first.
	Neighbours int `yaml:"neighbours"`
	// Fresh is a world in which nothing stands in front of the pairs yet: there
	// are machines and interfaces, but no load balancer, no public address and no
	// security group.
	Fresh bool `yaml:"fresh"`
	// Workers is how many instances of the function app there are; one where
	// nothing is said.
	Workers int `yaml:"workers"`
	// MaxMode is the program's setting TANDEM_MAX_MODE; nothing is lowered where
	// nothing is said.
	MaxMode string `yaml:"maxMode"`
	// Clients hold connections to the published service all through the story;
	// none where nothing is said.
	Clients Clients `yaml:"clients"`
	// GEO makes the pairs and standalone units members of GEO; nil where nothing is
	// said.
	GEO *GEO `yaml:"geo"`
	// MayWrite are settings that stay on their unit and that the program may write in
	// this story, as Unit.ExcludedWrites names them.
	MayWrite []string `yaml:"mayWrite"`
	Steps    []Step   `yaml:"steps"`
	Expect   Expect   `yaml:"expect"`
}

// Step is one thing that happens, or one look at how things are, at a time.
type Step struct {
	At time.Duration `yaml:"at"`
	// Do is one of the verbs of verbs.go.
	Do   string `yaml:"do"`
	Unit string `yaml:"unit"`
	From string `yaml:"from"`
	To   string `yaml:"to"`
	// Late, Times and Lose change how Event Grid delivers from now on.
	Late  time.Duration `yaml:"late"`
	Times int           `yaml:"times"`
	Lose  bool          `yaml:"lose"`
	// By tells whether a person or the platform does it, where that matters.
	By string `yaml:"by"`
	// Every is the period of what repeats; For is how long something lasts, and
	// By how much a clock steps.
	Every time.Duration `yaml:"every"`
	For   time.Duration `yaml:"for"`
	// State is the admin state, the check port's answer, or whatever else a verb
	// puts a thing into; Address is a unit's new one.
	State   string `yaml:"state"`
	Address string `yaml:"address"`
	// Set changes settings by name: of a unit, or of the pair file by path.
	Set map[string]any `yaml:"set"`
	// Members are pairs and standalone units that are members of GEO, by name; all
	// where nothing is said.
	Members []string `yaml:"members"`
	// Refused demands that the operator's command is refused, because something else
	// is so.
	Refused bool `yaml:"refused"`
	// Alone lets it happen with the load balancer alone only: what a person would do
	// by hand where there is no program.
	Alone  bool `yaml:"alone"`
	Expect *Now `yaml:"expect"`
}

// Now is how things must be at the time of a step. Empty fields say nothing.
type Now struct {
	// Serving is who answers the client: lm1, lm2, both or nobody.
	Serving string `yaml:"serving"`
	// Unserved is for how long at least a unit has answered no request of the client,
	// by its name: unserved: { lm1: 10m }.
	Unserved map[string]time.Duration `yaml:"unserved"`
	// Situation is what the program believes.
	Situation string `yaml:"situation"`
	// Alarm is the alarm that stands, or none.
	Alarm string `yaml:"alarm"`
	// Backups is how many backups are kept of each unit, by role.
	Backups map[string]int `yaml:"backups"`
	// Job is how far the pair's newest job is, by the program's own word, or none.
	Job string `yaml:"job"`
	// Down lists the units that are set Down in the load balancer.
	Down *[]string `yaml:"down"`
	// NeighbourDown lists those of the first neighbour, as first and second.
	NeighbourDown *[]string `yaml:"neighbourDown"`
	// Sync is whether the units' settings get through to each other on their sync
	// port: open or blocked.
	Sync string `yaml:"sync"`
	// Settings is whether the units' synchronised settings are equal or different.
	Settings string `yaml:"settings"`
	// Holds is what is stored at units, by role and by the path of a setting, with
	// absent for what is not there: holds: { second: { "content-rules r1": absent } }.
	Holds map[string]map[string]any `yaml:"holds"`
	// Answers are the members whose sites a member answers the name with, and
	// Partners those of its partners that are up, a pair with either unit; both by
	// the member's name: answers: { sa1: [ edge-weu, sa1 ] }.
	Answers  map[string][]string `yaml:"answers"`
	Partners map[string][]string `yaml:"partners"`
	// Access and PartnerList are what a member's active unit has for Remote GEO
	// LoadMaster Access and GEO LoadMaster Partners, in any order, and Clusters the
	// names of its clusters.
	Access      map[string][]string `yaml:"access"`
	PartnerList map[string][]string `yaml:"partnerList"`
	Clusters    map[string][]string `yaml:"clusters"`
	// Topology is how far the topology's run is, by the program's own word, and
	// TopologyAlarms are the kinds of the alarms that stand in it, in any order.
	Topology       string    `yaml:"topology"`
	TopologyAlarms *[]string `yaml:"topologyAlarms"`
}

// Expect is what must have come of the story when it ends.
type Expect struct {
	// Outage is the most that the client may have measured.
	Outage struct {
		Tandem           time.Duration `yaml:"tandem"`
		LoadBalancerOnly time.Duration `yaml:"loadBalancerOnly"`
		// AloneAtLeast is the least that it was with the load balancer alone.
		AloneAtLeast time.Duration `yaml:"aloneAtLeast"`
	} `yaml:"outage"`
	// Split is the most time in which both units may have served, and
	// SplitWithout the least that it was without the program.
	Split        time.Duration `yaml:"split"`
	SplitWithout time.Duration `yaml:"splitWithout"`
	// Decisions are rows that must have won in this order; others may stand
	// between them.
	Decisions []string `yaml:"decisions"`
	// Never are rows that must not have won.
	Never []string `yaml:"never"`
	// Blind are the causes for which the program must not have trusted itself, in
	// this order; others may stand between them.
	Blind []string `yaml:"blind"`
	// Writes is the most writes to Resource Manager; nil says nothing.
	Writes *int `yaml:"writes"`
	// Stored is the most decisions that may have been stored; nil says nothing.
	Stored *int `yaml:"stored"`
	// Evidence are the kinds of facts that events must have brought to stored
	// decisions, in this order; NoEvidence demands that there were none.
	Evidence   []string `yaml:"evidence"`
	NoEvidence bool     `yaml:"noEvidence"`
	// Events are types of published events that must have come out in this
	// order; others may stand between them.
	Events []string `yaml:"events"`
	// NewConnectionsFailed is how many new connections of the story's clients may
	// at most have failed, and ConnectionsCut how many may at most have been cut
	// that stood; nil says nothing.
	NewConnectionsFailed *int `yaml:"newConnectionsFailed"`
	ConnectionsCut       *int `yaml:"connectionsCut"`
	// GEO is what the resolver may have measured.
	GEO ExpectGEO `yaml:"geo"`
}

// ExpectGEO is the most time in which members answered wrongly, and in which no
// member answered at all, with Tandem; and the least of the first without it.
type ExpectGEO struct {
	WrongAnswers time.Duration `yaml:"wrongAnswers"`
	Unanswered   time.Duration `yaml:"unanswered"`
	AloneAtLeast time.Duration `yaml:"aloneAtLeast"`
}

// Scenarios returns every story, sorted by name. The stories are part of the
// program, so a mistake in one is a fault of ours.
func Scenarios() ([]Scenario, error) {
	names, err := fs.Glob(files, "scenarios/*.yaml")
	if err != nil {
		return nil, err
	}
	var out []Scenario
	for _, name := range names {
		if name == pairFile {
			continue
		}
		b, err := files.ReadFile(name)
		if err != nil {
			return nil, err
		}
		s, err := ReadScenario(name, b)
		if err != nil {
			return nil, err
		}
		if s.Name != strings.TrimSuffix(path.Base(name), ".yaml") {
			return nil, fmt.Errorf("%s: name %q: expected the name of the file", name, s.Name)
		}
		out = append(out, s)
	}
	slices.SortFunc(out, func(a, b Scenario) int { return cmp.Compare(a.Name, b.Name) })
	return out, nil
}

// ReadScenario reads a story and refuses what it does not know.
func ReadScenario(file string, b []byte) (Scenario, error) {
	dec := yaml.NewDecoder(bytes.NewReader(b))
	dec.KnownFields(true)
	var s Scenario
	if err := dec.Decode(&s); err != nil {
		return s, fmt.Errorf("read story %s: %w", file, err)
	}
	if s.Name == "" || s.Summary == "" || s.For <= 0 {
		return s, fmt.Errorf("read story %s: expected name, summary and for", file)
	}
	if err := s.checkClients(); err != nil {
		return s, fmt.Errorf("read story %s: %w", file, err)
	}
	for i, st := range s.Steps {
		if i > 0 && st.At < s.Steps[i-1].At {
			return s, fmt.Errorf("read story %s: step %d is at %v, before the one above it", file, i+1, st.At)
		}
		if _, known := verbs[st.Do]; !known && st.Expect == nil {
			return s, fmt.Errorf("read story %s: step %d: do %q: expected one of %s", file, i+1, st.Do, strings.Join(Verbs(), ", "))
		}
	}
	return s, nil
}

// Find returns the story with the name.
func Find(name string) (Scenario, error) {
	all, err := Scenarios()
	if err != nil {
		return Scenario{}, err
	}
	for _, s := range all {
		if s.Name == name {
			return s, nil
		}
	}
	return Scenario{}, fmt.Errorf("story %q: there is no such story among %d", name, len(all))
}

// NeighbourPrefix begins the roles of the nth neighbour's units in a story: those
// of the first are neighbour-first and neighbour-second, those of the next one
// neighbour-2-first and neighbour-2-second.
func NeighbourPrefix(n int) string { return "neighbour" + neighbourSerial(n) + "-" }

// neighbourSerial tells the neighbours' names apart.
func neighbourSerial(n int) string {
	if n == 1 {
		return ""
	}
	return fmt.Sprintf("-%d", n)
}

// Neighbour is the story as it is for its nth neighbour, counted from 1: the pair
// file is as the story's, with units, addresses, a frontend and a pool of the
// neighbour's own behind the same load balancer.
func (s Scenario) Neighbour(n int) Scenario {
	type fields = map[string]any
	addresses := s.firstAddress().Next().Next()
	for range 2 * (n - 1) {
		addresses = addresses.Next()
	}
	prefix, serial, frontend := NeighbourPrefix(n), neighbourSerial(n), fmt.Sprintf("vip%d", n+1)
	own := fields{
		"name": "edge-neu" + serial,
		"loadBalancers": []any{fields{
			"name": "ilb-edge", "pools": []any{"neighbours" + serial},
			"frontends":  []any{fields{"name": frontend, "address": fmt.Sprintf("10.0.0.%d", 100+n)}},
			"probe":      fields{"path": "/", "interval": "5s", "threshold": 2},
			"management": fields{"wui": fields{"first": 8441, "second": 8442}, "ssh": fields{"first": 221, "second": 222}},
			"rules": []any{
				fields{"name": prefix + "check", "frontend": frontend, "port": 8444},
				fields{"name": prefix + "https", "frontend": frontend, "port": 443, "from": []any{"0.0.0.0/0"}},
			},
		}},
	}
	for i, role := range pairRoles {
		vm := fmt.Sprintf("lm%d", 1+2*n+i)
		own["units."+role+".vm"] = vm
		own["units."+role+".address"] = addresses.String()
		addresses = addresses.Next()
		own["units."+role+".api.secret"] = vm + "-api"
	}
	s.Pair = maps.Clone(s.Pair)
	if s.Pair == nil {
		s.Pair = map[string]any{}
	}
	maps.Copy(s.Pair, own)
	return s
}

// firstAddress is that of the first unit of the story's pair, behind which those of
// the neighbours' units come.
func (s Scenario) firstAddress() netip.Addr {
	const usual = "10.0.0.4"
	text, _ := s.Pair["units.first.address"].(string)
	if a, err := netip.ParseAddr(text); err == nil {
		return a
	}
	return netip.MustParseAddr(usual)
}

// With adds answers to open questions to the story's own.
func (s Scenario) With(options map[string]string) Scenario {
	merged := maps.Clone(s.Options)
	if merged == nil {
		merged = map[string]string{}
	}
	maps.Copy(merged, options)
	s.Options = merged
	return s
}

// PairFile returns the story's pair file: the common one with the story's
// changes and the units' certificates.
func (s Scenario) PairFile(pins map[string]string) ([]byte, error) {
	b, err := files.ReadFile(pairFile)
	if err != nil {
		return nil, err
	}
	var doc map[string]any
	if err := yaml.Unmarshal(b, &doc); err != nil {
		return nil, fmt.Errorf("read %s: %w", pairFile, err)
	}
	for unit, pin := range pins {
		set(doc, "units."+unit+".api.tls.sha256", pin)
	}
	for _, p := range slices.Sorted(maps.Keys(s.Pair)) {
		set(doc, p, s.Pair[p])
	}
	return yaml.Marshal(doc)
}

// set puts a value at a path of keys, making what is missing on the way.
func set(doc map[string]any, path string, value any) {
	head, rest, deeper := strings.Cut(path, ".")
	if !deeper {
		doc[head] = value
		return
	}
	child, ok := doc[head].(map[string]any)
	if !ok {
		child = map[string]any{}
		doc[head] = child
	}
	set(child, rest, value)
}
