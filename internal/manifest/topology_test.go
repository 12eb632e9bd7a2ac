package manifest_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"unicode"

	"tandem/internal/geo"
	"tandem/internal/manifest"
	"tandem/internal/pair"
)

const topologyHead = "apiVersion: tandem/v1\nkind: GeoTopology\nname: global\nmembers:\n"

// written writes files and returns their names.
func written(t testing.TB, contents ...string) []string {
	t.Helper()
	dir := t.TempDir()
	var paths []string
	for i, content := range contents {
		path := filepath.Join(dir, fmt.Sprintf("%d.yaml", i))
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		paths = append(paths, path)
	}
	return paths
}

// mistakesOf returns what is wrong with files, without their directory.
func mistakesOf(t testing.TB, all bool, contents ...string) string {
	t.Helper()
	paths := written(t, contents...)
	_, err := manifest.LoadAll(nil, all, paths...)
	if err == nil {
		return ""
	}
	problems, ok := errors.AsType[manifest.Problems](err)
	if !ok || !errors.Is(err, pair.ErrInvalid) {
		t.Fatalf("LoadAll = %v, want Problems", err)
	}
	return strings.ReplaceAll(problems.Error(), filepath.Dir(paths[0])+string(filepath.Separator), "")
}

func TestTopologyIsReadWithTheAddressesOfItsPairs(t *testing.T) {
	content, err := manifest.LoadAll(nil, true, written(t, topologyHead+
		"- { pair: edge, active: slave, nat: { master: 203.0.113.4 } }\n- { name: alone, standalone: 10.0.0.9, api: { secret: alone-api } }\n", valid)...)
	if err != nil {
		t.Fatal(err)
	}
	address := netip.MustParseAddr
	want := []geo.Topology{{Name: "global", Mode: pair.Observe, Members: []geo.Member{
		{
			Name: "edge", Pair: "edge", First: address("10.0.0.4"), Second: address("10.0.0.5"), Active: pair.Second,
			NAT: geo.NAT{First: address("203.0.113.4")},
		},
		{Name: "alone", Standalone: address("10.0.0.9"), API: pair.API{Port: 8443, Secret: "alone-api"}},
	}}}
	if !reflect.DeepEqual(content.Topologies, want) || len(content.Pairs) != 1 {
		t.Errorf("got %d pairs and %+v, want %+v", len(content.Pairs), content.Topologies, want)
	}
}

func TestAPairThatMayBeDefinedElsewhereStaysWithoutAddresses(t *testing.T) {
	content, err := manifest.LoadAll(nil, false, written(t, topologyHead+"- { pair: edge }\n- { pair: other }\n")...)
	if err != nil {
		t.Fatal(err)
	}
	if m := content.Topologies[0].Members[1]; m.Name != "other" || m.First.IsValid() {
		t.Errorf("got %+v", m)
	}
}

func TestTopologyExampleIsValid(t *testing.T) {
	path := filepath.Join("..", "..", "examples", "global.yaml")
	content, err := manifest.LoadAll(nil, true, path)
	if err != nil || len(content.Topologies) != 1 {
		t.Fatalf("LoadAll = %+v, %v", content, err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := topologySchema(t).Validate(plain(t, text)[0]); err != nil {
		t.Error(err)
	}
}

func TestTopologyRules(t *testing.T) {
	for _, tt := range []struct {
		name, members, want string
	}{
		{"one pair alone is valid", "- { name: a, first: 10.0.0.4, second: 10.0.0.5 }", ""},
		{"IPv6 throughout is valid", "- { name: a, first: 'fd00::4', second: 'fd00::5' }\n- { name: b, standalone: 'fd00::9' }", ""},
		{"behind NAT, own addresses may be the same", "- { name: a, standalone: 10.0.0.4, nat: { standalone: 203.0.113.1 } }\n" +
			"- { name: b, standalone: 10.0.0.4, nat: { standalone: 203.0.113.2 } }", ""},
		{"a topology has a member", " []", `0.yaml:5: field "members": an empty list: expected a list of 1 or more`},
		{
			"a member is something", "- { name: a }",
			`0.yaml:5: field "members[0]": a mapping: expected pair, or first and second, or standalone in it`,
		},
		{
			"a member is one thing", "- { name: a, standalone: 10.0.0.4, first: 10.0.0.5, second: 10.0.0.6 }",
			`0.yaml:5: field "members[0].standalone": "10.0.0.4": expected either the units of a pair or a standalone unit`,
		},
		{
			"a pair that has a file has its addresses there", "- { pair: edge, first: 10.0.0.4, second: 10.0.0.5 }",
			`0.yaml:5: field "members[0].pair": "edge": expected no address beside it, because the pair's file has them`,
		},
		{
			"a pair has two units", "- { name: a, master: 10.0.0.4 }\n- { name: b, second: 10.0.0.6 }",
			`0.yaml:5: field "members[0].second": missing: expected the address of the pair's second unit
0.yaml:6: field "members[1].first": missing: expected the address of the pair's first unit`,
		},
		{
			"a member has a name", "- { standalone: 10.0.0.4 }",
			`0.yaml:5: field "members[0].name": missing: expected the member's name, which is its cluster's too`,
		},
		{
			"names are given once", "- { name: a, standalone: 10.0.0.4 }\n- { name: a, standalone: 10.0.0.9 }",
			`0.yaml:6: field "members[1].name": "a": expected another name, because the member in members[0] has this one`,
		},
		{
			"a pair is a member once", "- { pair: edge }\n- { name: other, pair: edge }\n- { pair: edge }",
			`0.yaml:6: field "members[1].pair": "edge": expected another name, because the member in members[0] has this one
0.yaml:7: field "members[2].pair": "edge": expected another name, because the member in members[0] has this one`,
		},
		{
			"a pair must be known", "- { pair: egde }",
			`0.yaml:5: field "members[0].pair": "egde": expected the name of a pair whose file is given as well: edge`,
		},
		{
			"a pair's units share no address", "- { name: a, first: 10.0.0.4, second: 10.0.0.4 }",
			`0.yaml:5: field "members[0].second": "10.0.0.4": expected another address than the first unit's, because a pair in the cloud shares none`,
		},
		{
			"a unit is in one member", "- { pair: edge }\n- { name: a, first: 10.0.0.9, second: 10.0.0.4 }\n- { name: b, standalone: 10.0.0.9 }",
			`0.yaml:6: field "members[1].second": "10.0.0.4": expected another address, because the unit in members[0].pair has this one, and a unit belongs to one member
0.yaml:7: field "members[2].standalone": "10.0.0.9": expected another address, because the unit in members[1].first has this one, and a unit belongs to one member`,
		},
		{
			"NAT addresses are of one unit", "- { name: a, first: 10.0.0.4, second: 10.0.0.5, nat: { first: 203.0.113.1, second: 203.0.113.1 } }",
			`0.yaml:5: field "members[0].nat.second": "203.0.113.1": expected another address, because the unit in members[0].nat.first has this one, and a unit belongs to one member`,
		},
		{
			"an own address behind NAT is nobody's name", "- { name: a, standalone: 10.0.0.4, nat: { standalone: 203.0.113.1 } }\n- { name: b, standalone: 10.0.0.4 }",
			`0.yaml:5: field "members[0].standalone": "10.0.0.4": expected another address, because the others know the unit in members[1].standalone by this one`,
		},
		{
			"NAT is said of the units that there are", "- { name: a, standalone: 10.0.0.4, nat: { first: 203.0.113.1 } }\n- { pair: edge, nat: { standalone: 203.0.113.2 } }",
			`0.yaml:5: field "members[0].nat": a mapping: expected only standalone in it, because the member is a standalone unit
0.yaml:6: field "members[1].nat": a mapping: expected only first and second in it, because the member is a pair`,
		},
		{
			"only a standalone unit says how it is reached", "- { pair: edge, api: { secret: lm1-api } }\n- { name: a, standalone: 10.0.0.9, api: { port: 443, secret: 'a b', tls: { sha256: " +
				strings.Repeat("ab", 32) + " }, caFile: ca.pem } }",
			`0.yaml:5: field "members[0].api": [redacted]: expected no such key, because a pair's file says how its units are reached
0.yaml:6: field "members[1].api.secret": [redacted]: expected the name of a secret, never the secret itself: letters, digits and '-', starting with a letter
0.yaml:6: field "members[1].api.caFile": "ca.pem": expected either tls.sha256 or caFile, because two ways to trust a certificate are one too many`,
		},
		{
			"a standalone unit is always active", "- { name: a, standalone: 10.0.0.4, active: first }",
			`0.yaml:5: field "members[0].active": "first": expected no such key, because a standalone unit is always active`,
		},
		{
			"all addresses are of one family", "- { name: a, standalone: 'fd00::1' }\n- { pair: edge, nat: { first: 'fd00::4' } }",
			`0.yaml:6: field "members[1].pair": "10.0.0.4": expected an address of the same family as fd00::1, because a unit is let in by the address that it comes from
0.yaml:6: field "members[1].pair": "10.0.0.5": expected an address of the same family as fd00::1, because a unit is let in by the address that it comes from`,
		},
		{
			"an address is one machine's", "- { name: a, standalone: 224.0.0.1 }",
			`0.yaml:5: field "members[0].standalone": "224.0.0.1": expected the address of one machine, without a zone and in its own family`,
		},
		{
			"all mistakes are told together, with what was meant", "- { nam: a, standalone: lm1 }\n- { name: B, standalone: 10.0.0.4, active: third }",
			`0.yaml:5: field "members[0].nam": unknown key: expected one of name, pair, first, second, standalone, api, active, nat (did you mean "name"?)
0.yaml:5: field "members[0].standalone": "lm1": expected an IP address such as 10.0.0.4
0.yaml:6: field "members[1].name": "B": expected text of at most 40 characters that matches ^[a-z][a-z0-9]*(-[a-z0-9]+)*$
0.yaml:6: field "members[1].active": "third": expected one of first, second`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := mistakesOf(t, true, topologyHead+tt.members+"\n", valid)
			if got != tt.want {
				t.Errorf("got:\n%s\nwant:\n%s", got, tt.want)
			}
		})
	}
}

func TestTopologyHasNoMoreMembersThanAnApplianceTakes(t *testing.T) {
	var members strings.Builder
	for i := range geo.MostMembers {
		fmt.Fprintf(&members, "- { name: m%d, standalone: 10.0.%d.%d }\n", i, i/200, i%200)
	}
	if got := mistakesOf(t, true, topologyHead+members.String()); got != "" {
		t.Errorf("%d members: %s", geo.MostMembers, got)
	}
	got := mistakesOf(t, true, topologyHead+members.String()+"- { name: last, standalone: 10.1.0.1 }\n")
	if !strings.HasPrefix(got, `0.yaml:5: field "members": a list of 257: expected 256 at most`) {
		t.Error(got)
	}
}

func TestTopologiesHaveNamesOfTheirOwn(t *testing.T) {
	one := topologyHead + "- { name: a, standalone: 10.0.0.4 }\n"
	want := `1.yaml:3: field "name": "global": expected another topology's name, because the topology "global" in 0.yaml has this one`
	if got := mistakesOf(t, true, one, one); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// Kinds of documents do not mix where only pairs are taken, and an unknown pair
// is not told where no pair is.
func TestWhatIsExpectedDependsOnWhatIsTaken(t *testing.T) {
	if got, want := mistakesOf(t, true, topologyHead+"- { pair: edge }\n"), `0.yaml:5: field "members[0].pair": "edge": expected a pair whose file is given as well`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, want := mistakesOf(t, true, ""), `0.yaml:1: an empty file: expected a document of the kind Pair or GeoTopology`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	_, err := manifest.Read("pair.yaml", strings.NewReader(topologyHead))
	if err == nil || !strings.Contains(err.Error(), "tandem geo plan") {
		t.Errorf("Read = %v", err)
	}
}

func topologySchema(t testing.TB) interface{ Validate(any) error } {
	t.Helper()
	text, err := manifest.TopologySchema()
	if err != nil {
		t.Fatal(err)
	}
	return compile(t, text)
}

func TestTopologySchemaIsFreshAndJudges(t *testing.T) {
	text, err := manifest.TopologySchema()
	if err != nil {
		t.Fatal(err)
	}
	compareFile(t, filepath.Join("..", "..", "docs", "schema", "topology.schema.json"), text)
	schema := topologySchema(t)
	for name, tt := range map[string]struct {
		members string
		ok      bool
	}{
		"a pair by name and a standalone unit":   {"- { pair: edge }\n- { name: a, standalone: 10.0.0.4 }\n", true},
		"the guide's words for the units":        {"- { name: a, master: 10.0.0.4, slave: 10.0.0.5, active: slave }\n", true},
		"both words for one unit":                {"- { name: a, master: 10.0.0.4, first: 10.0.0.4, second: 10.0.0.5 }\n", false},
		"an unknown key":                         {"- { name: a, alone: 10.0.0.4 }\n", false},
		"an address that is none":                {"- { name: a, standalone: lm1 }\n", false},
		"a topology without members":             {" []\n", false},
		"an active unit that is none":            {"- { pair: edge, active: third }\n", false},
		"NAT addresses, in either family's form": {"- { pair: edge, nat: { first: 'fd00::1' } }\n", true},
	} {
		if err := schema.Validate(plain(t, []byte(topologyHead+tt.members))[0]); (err == nil) != tt.ok {
			t.Errorf("%s: Validate = %v, want taken %v", name, err, tt.ok)
		}
	}
}

// FuzzTopology reads any file beside a pair. What is taken compiles, has no
// address twice in a list, and is written as JSON and read again as the same.
func FuzzTopology(f *testing.F) {
	f.Add(topologyHead + "- { pair: edge }\n- { name: a, standalone: 10.0.0.9, nat: { standalone: 203.0.113.9 } }\n")
	f.Add(topologyHead + "- { name: a, master: 'fd00::4', slave: 'fd00::5', active: slave }\n")
	f.Add(topologyHead + "- { name: a, first: 10.0.0.4, second: 10.0.0.4 }\n- { pair: edge, standalone: \"1\\n\" }\n")
	f.Add("kind: GeoTopology\nmembers: [[], {}, 7, &x {nat: *x}]\n---\nkind: Pair\n")
	edge := written(f, valid)[0]
	f.Fuzz(func(t *testing.T, content string) {
		got, err := manifest.LoadAll(strings.NewReader(content), true, "-", edge)
		if problems, ok := errors.AsType[manifest.Problems](err); ok {
			for _, p := range problems {
				if text := p.Error(); len(text) > 2000 || strings.ContainsFunc(text, unicode.IsControl) {
					t.Errorf("not fit for a terminal, %d bytes: %q", len(text), text)
				}
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, topology := range got.Topologies {
			for _, l := range geo.Compile(topology, geo.OwnFirst).Members {
				unique(t, l.Access)
				unique(t, l.Partners)
				unique(t, l.Clusters)
			}
			again(t, topology)
		}
	})
}

func unique(t *testing.T, list []netip.Addr) {
	t.Helper()
	seen := make(map[netip.Addr]bool)
	for _, a := range list {
		if seen[a] || !a.IsValid() {
			t.Errorf("%s is twice in %v, or none", a, list)
		}
		seen[a] = true
	}
}

func again(t *testing.T, topology geo.Topology) {
	t.Helper()
	for i, m := range topology.Members { // addresses of a pair's file do not stand in the topology
		if m.Pair != "" {
			topology.Members[i].First, topology.Members[i].Second = netip.Addr{}, netip.Addr{}
		}
	}
	b, err := json.Marshal(topology)
	if err != nil {
		t.Fatal(err)
	}
	file := bytes.Replace(b, []byte("{"), []byte(`{"apiVersion":"tandem/v1","kind":"GeoTopology",`), 1)
	back, err := manifest.LoadAll(bytes.NewReader(file), false, "-")
	if err != nil || !reflect.DeepEqual(back.Topologies, []geo.Topology{topology}) {
		t.Errorf("%s\nread again: %v, %v", file, back.Topologies, err)
	}
}
