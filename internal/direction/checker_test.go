package direction

import (
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

// world is a made-up graph in which no rule is broken.
func world() graph {
	g := graph{
		"tandem":                         {imports: []string{"embed"}},
		"tandem/cmd/tandem":              {imports: []string{"os", "tandem/internal/story", "tandem/internal/lab", "tandem/internal/app", "tandem/internal/config"}},
		"tandem/handlers":                {imports: []string{"context", "tandem/internal/azure/events", "tandem/internal/pair"}, testImports: []string{"tandem/internal/lab/host"}},
		"tandem/internal/api":            {imports: []string{"tandem/internal/pair"}},
		"tandem/internal/app":            {imports: []string{"tandem/handlers", "tandem/internal/control", "tandem/internal/azure/arm", "tandem/internal/store"}},
		"tandem/internal/azure/arm":      {imports: []string{"tandem/internal/pair", "tandem/internal/azure/arm/fake", armnetwork}},
		"tandem/internal/azure/arm/fake": {imports: []string{armnetwork}},
		"tandem/internal/azure/events":   {imports: []string{"tandem/internal/pair", sdk}},
		"tandem/internal/azure/identity": {imports: []string{"tandem/internal/pair"}},
		"tandem/internal/config":         {imports: []string{"tandem/internal/pair"}},
		"tandem/internal/control":        {imports: []string{"context", "tandem/internal/pair"}},
		"tandem/internal/discover":       {imports: []string{"tandem/internal/pair"}},
		"tandem/internal/faults":         {testImports: []string{"tandem/internal/control", "tandem/internal/lab", "tandem/internal/story"}},
		"tandem/internal/geo":            {imports: []string{"net/netip", "tandem/internal/pair"}},
		"tandem/internal/job":            {imports: []string{"context", "tandem/internal/pair"}},
		"tandem/internal/job/sync":       {imports: []string{"tandem/internal/job", "tandem/internal/pair"}},
		"tandem/internal/lab":            {imports: []string{"net", "tandem/internal/lab/arm", "tandem/internal/lab/host"}},
		"tandem/internal/lab/arm":        {testImports: []string{armnetwork, "tandem/internal/lab/arm"}},
		"tandem/internal/lab/host":       {},
		"tandem/internal/loadmaster":     {imports: []string{"tandem/internal/pair"}, testImports: []string{"tandem/internal/lab"}},
		"tandem/internal/pair":           {imports: []string{"fmt", "net/netip"}, testImports: []string{"os", sdk}},
		"tandem/internal/probe":          {imports: []string{"net/http"}},
		"tandem/internal/replay":         {imports: []string{"fmt", "tandem/internal/pair"}, testImports: []string{"tandem/internal/replay"}},
		"tandem/internal/vault":          {imports: []string{"tandem/internal/pair", sdk}},
		"tandem/internal/store":          {imports: []string{"tandem/internal/pair", sdk}},
		"tandem/internal/story":          {imports: []string{"tandem/internal/app", "tandem/internal/lab"}},
		armnetwork:                       {},
		sdk:                              {},
	}
	for _, path := range []string{"context", "embed", "fmt", "log/slog", "net", "net/http", "net/netip", "os", "os/exec"} {
		g[path] = node{standard: true}
	}
	return g
}

const (
	armnetwork = "github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v9"
	sdk        = "github.com/Azure/azure-sdk-for-go/sdk/azcore"
)

// brokenIn returns what all rules find in a graph.
func brokenIn(g graph) []string {
	var found []string
	for _, r := range rules {
		found = append(found, r.broken(g)...)
	}
	slices.Sort(found)
	return slices.Compact(found)
}

func TestAWorldInOrderBreaksNoRule(t *testing.T) {
	if found := brokenIn(world()); len(found) > 0 {
		t.Errorf("found:\n%s", strings.Join(found, "\n"))
	}
}

func TestEveryRuleCanBeBroken(t *testing.T) {
	type change struct {
		from, to string
		inTest   bool
	}
	tests := []struct {
		rule   string // the beginning of its name
		change change
		found  string // empty: the import itself
	}{
		{rule: "the domain needs only", change: change{from: "tandem/internal/pair", to: sdk}},
		{rule: "the domain needs only", change: change{from: "tandem/internal/pair", to: "tandem/internal/config"}},
		{rule: "a pure room needs only", change: change{from: "tandem/internal/geo", to: sdk}},
		{rule: "a pure room needs only", change: change{from: "tandem/internal/geo", to: "tandem/internal/api"}},
		{rule: "comparing needs only", change: change{from: "tandem/internal/balancer", to: "tandem/internal/discover"}},
		{rule: "a pure room does no I/O", change: change{from: "tandem/internal/pair", to: "os"}},
		{rule: "a pure room does no I/O", change: change{from: "tandem/internal/pair", to: "log/slog"}},
		{rule: "a pure room does no I/O", change: change{from: "tandem/internal/geo", to: "net/http"}},
		{rule: "the lab imports nothing", change: change{from: "tandem/internal/lab/host", to: "tandem/internal/pair"}},
		{rule: "the lab imports nothing", change: change{from: "tandem/internal/lab", to: "tandem"}},
		{rule: "the lab imports nothing", change: change{from: "tandem/internal/lab/arm", to: "tandem/internal/pair", inTest: true}},
		{rule: "nothing of the program imports the lab", change: change{from: "tandem/internal/store", to: "tandem/internal/lab/host"}},
		{rule: "nothing of the program imports the lab", change: change{from: "tandem", to: "tandem/internal/lab"}},
		{rule: "stories are played", change: change{from: "tandem/internal/api", to: "tandem/internal/story"}},
		{rule: "only the command and the stories assemble", change: change{from: "tandem/internal/api", to: "tandem/internal/app"}},
		{rule: "nothing imports a command", change: change{from: "tandem/internal/config", to: "tandem/cmd/tandem"}},
		{rule: "nothing imports a command", change: change{from: "tandem/internal/config", to: "tandem/cmd/tandem", inTest: true}},
		{rule: "control reaches no adapter", change: change{from: "tandem/internal/control", to: "tandem/internal/store"}},
		{rule: "control reaches no adapter", change: change{from: "tandem/internal/control", to: "tandem/handlers"}},
		{
			rule:   "control reaches no adapter",
			change: change{from: "tandem/internal/control", to: "tandem/internal/app"},
			found:  "tandem/internal/control imports tandem/internal/app imports tandem/internal/store",
		},
		{rule: "handlers reach no adapter", change: change{from: "tandem/handlers", to: "tandem/internal/loadmaster"}},
		{
			rule:   "handlers reach no adapter",
			change: change{from: "tandem/internal/azure/events", to: "tandem/internal/azure/identity"},
			found:  "tandem/handlers imports tandem/internal/azure/events imports tandem/internal/azure/identity",
		},
		{rule: "finding pair files needs only", change: change{from: "tandem/internal/discover", to: "tandem/internal/azure/arm"}},
		{rule: "the step engine needs only", change: change{from: "tandem/internal/job", to: "tandem/internal/control"}},
		{rule: "the step engine needs only", change: change{from: "tandem/internal/job", to: sdk}},
		{rule: "a procedure needs only", change: change{from: "tandem/internal/job/sync", to: "tandem/internal/loadmaster"}},
		{rule: "a replay needs only", change: change{from: "tandem/internal/replay", to: "tandem/internal/store"}},
		{rule: "a replay needs only", change: change{from: "tandem/internal/replay", to: "tandem/internal/control", inTest: true}},
		{rule: "random faults reach", change: change{from: "tandem/internal/faults", to: "tandem/internal/azure/arm", inTest: true}},
		{rule: "only internal/azure/arm imports", change: change{from: "tandem/internal/store", to: armnetwork}},
		{rule: "only internal/azure/arm imports", change: change{from: "tandem/internal/store", to: armnetwork, inTest: true}},
		{rule: "the lab's Resource Manager", change: change{from: "tandem/internal/lab/arm", to: armnetwork}},
		{
			rule:   "the event decoders never",
			change: change{from: sdk, to: armnetwork},
			found:  "tandem/internal/azure/events imports " + sdk + " imports " + armnetwork,
		},
		{rule: "tandem/internal/azure/arm/... reaches", change: change{from: "tandem/internal/azure/arm", to: "tandem/internal/store"}},
		{rule: "tandem/internal/azure/events/... reaches", change: change{from: "tandem/internal/azure/events", to: "tandem/internal/probe"}},
		{rule: "tandem/internal/azure/identity/... reaches", change: change{from: "tandem/internal/azure/identity", to: "tandem/internal/azure/arm"}},
		{rule: "tandem/internal/loadmaster/... reaches", change: change{from: "tandem/internal/loadmaster", to: "tandem/internal/api"}},
		{rule: "tandem/internal/probe/... reaches", change: change{from: "tandem/internal/probe", to: "tandem/internal/control"}},
		{rule: "tandem/internal/vault/... reaches", change: change{from: "tandem/internal/vault", to: "tandem/internal/store"}},
		{rule: "tandem/internal/store/... reaches", change: change{from: "tandem/internal/store", to: "tandem/internal/loadmaster"}},
	}
	tried := map[string]bool{}
	for _, test := range tests {
		i := slices.IndexFunc(rules, func(r rule) bool { return strings.HasPrefix(r.name, test.rule) })
		if i < 0 {
			t.Fatalf("no rule begins with %q", test.rule)
		}
		tried[rules[i].name] = true
		t.Run(rules[i].name, func(t *testing.T) {
			g, c := world(), test.change
			n, want := g[c.from], c.from+" imports "+c.to
			if c.inTest {
				n.testImports, want = append(n.testImports, c.to), "a test of "+want
			} else {
				n.imports = append(n.imports, c.to)
			}
			g[c.from] = n
			if test.found != "" {
				want = test.found
			}
			if found := rules[i].broken(g); !slices.Contains(found, want) {
				t.Errorf("got %q, want %q in it", found, want)
			}
		})
	}
	for _, r := range rules {
		if !tried[r.name] {
			t.Errorf("nothing here breaks the rule: %s", r.name)
		}
	}
}

func TestTestsMayDoWhatThePackageMayNot(t *testing.T) {
	g := world()
	g["tandem/internal/store"] = node{testImports: []string{"tandem/internal/lab", "tandem/internal/story", "tandem/internal/loadmaster"}}
	if found := brokenIn(g); len(found) > 0 {
		t.Errorf("found %q", found)
	}
}

func TestTheStreamOfTheGoCommandIsRead(t *testing.T) {
	g, err := parse(strings.NewReader(`{"ImportPath": "fmt", "Standard": true}
{"ImportPath": "tandem", "Imports": ["fmt"], "TestImports": ["os"], "XTestImports": ["io"]}`))
	if err != nil {
		t.Fatal(err)
	}
	want := graph{"fmt": {standard: true}, "tandem": {imports: []string{"fmt"}, testImports: []string{"os", "io"}}}
	if diff := cmp.Diff(want, g, cmp.AllowUnexported(node{})); diff != "" {
		t.Errorf("graph (-want +got):\n%s", diff)
	}
	if _, err := parse(strings.NewReader(`{"ImportPath": `)); err == nil {
		t.Error("half a stream was accepted")
	}
}

func TestReadsOfTheEnvironmentAreFound(t *testing.T) {
	tree := fstest.MapFS{
		"internal/store/a.go":          {Data: []byte("package store\nimport \"os\"\nvar region = os.Getenv(\"REGION\")\n")},
		"internal/store/b.go":          {Data: []byte("package store\nimport system \"os\"\nvar read = system.LookupEnv\n")},
		"internal/store/c.go":          {Data: []byte("package store\nimport \"os\"\n// os.Getenv is not used.\nvar file, text = os.Open, \"os.Getenv\"\n")},
		"internal/store/d_test.go":     {Data: []byte("package store\nimport \"os\"\nvar region = os.Getenv(\"REGION\")\n")},
		"internal/config/load.go":      {Data: []byte("package config\nimport \"os\"\nvar all = os.Environ()\n")},
		"internal/lab/host/process.go": {Data: []byte("package host\nimport \"os\"\nvar all = os.Environ()\n")},
		"internal/lab/host/host.go":    {Data: []byte("package host\nimport \"syscall\"\nvar all = syscall.Environ()\n")},
		"node_modules/x/x.go":          {Data: []byte("not Go")},
	}
	found, err := environmentReads(tree)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"internal/lab/host/host.go:3:11 reads the environment by syscall.Environ",
		"internal/store/a.go:3:14 reads the environment by os.Getenv",
		"internal/store/b.go:3:12 reads the environment by os.LookupEnv",
	}
	if diff := cmp.Diff(want, found); diff != "" {
		t.Errorf("found (-want +got):\n%s", diff)
	}
}
