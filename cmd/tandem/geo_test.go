package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var exampleTopology = filepath.Join("..", "..", "examples", "global.yaml")

func TestGeoPlanPrintsTheListsOfTheWorkedExample(t *testing.T) {
	got := command{}.run(t, "geo", "plan", "-f", exampleTopology, "--own", "active")
	if got.code != exitDone || got.err != "" {
		t.Fatalf("exit code %d: %s", got.code, got.err)
	}
	const access, partners = "Remote GEO LoadMaster Access  ", "GEO LoadMaster Partners       "
	has(t, "the plan", got.out,
		access+"172.24.1.7 172.24.1.8 172.24.1.5 172.24.1.9 172.24.1.10\n", partners+"172.24.1.7 172.24.1.8 172.24.1.9 172.24.1.10\n",
		access+"172.24.1.8 172.24.1.5 172.24.1.6 172.24.1.9 172.24.1.10\n", partners+"172.24.1.5 172.24.1.6 172.24.1.9 172.24.1.10\n",
		access+"172.24.1.7 172.24.1.8 172.24.1.5 172.24.1.6 172.24.1.9 172.24.1.10\n",
		partners+"172.24.1.7 172.24.1.8 172.24.1.5 172.24.1.6 172.24.1.10\n", partners+"172.24.1.7 172.24.1.8 172.24.1.5 172.24.1.6 172.24.1.9\n",
		"the own entry is the active unit's", " 11  reboot on 172.24.1.7 of pair2\n     because", "so the pair is moved to first beforehand")
	got = command{}.run(t, "geo", "plan", "-f", exampleTopology)
	has(t, "the plan", got.out, access+"172.24.1.7 172.24.1.5 172.24.1.6 172.24.1.9 172.24.1.10\n")
	if strings.Contains(got.out, "the own entry") {
		t.Errorf("speaks of the active unit's entry:\n%s", got.out)
	}
}

func TestGeoPlanAsJSONHasTheseKeysAndNoOthers(t *testing.T) {
	topology := "apiVersion: tandem/v1\nkind: GeoTopology\nname: small\nmembers: [ { name: pair1, first: 172.24.1.5, second: 172.24.1.6 } ]\n"
	got := command{in: topology}.run(t, "geo", "plan", "-f", "-", "-o", "json")
	var have, want any
	if err := json.Unmarshal([]byte(got.out), &have); err != nil {
		t.Fatalf("%v: %+v", err, got)
	}
	if err := json.Unmarshal([]byte(`{
		"members": [{"name": "pair1", "kind": "pair", "units": ["172.24.1.5", "172.24.1.6"], "access": ["172.24.1.5"], "partners": [], "clusters": ["172.24.1.5"]}],
		"steps": [
			{"n": 1, "member": "pair1", "unit": "172.24.1.5", "action": "set-access", "values": ["172.24.1.5"]},
			{"n": 2, "member": "pair1", "unit": "172.24.1.5", "action": "create-clusters", "values": ["172.24.1.5"]}
		]}`), &want); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, have); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestGeoPlanLooksPairsUpInFilesAndDirectories(t *testing.T) {
	topology := file(t, "topology.yaml", "apiVersion: tandem/v1\nkind: GeoTopology\nname: one\nmembers: [ { pair: edge-weu }, { name: sa, standalone: 10.9.0.4, nat: { standalone: 203.0.113.9 } } ]\n")
	for _, of := range []string{examplePair, directoryWith(t, examplePair)} {
		got := command{}.run(t, "geo", "plan", "-f", topology, "--pair-file", of)
		if got.code != exitDone {
			t.Fatalf("%s: exit code %d: %s", of, got.code, got.err)
		}
		has(t, "the plan", got.out, "edge-weu: pair 10.0.0.4 10.0.0.5\n", "known to the others as        203.0.113.9\n", "Access  10.0.0.4 203.0.113.9\n", "Access  10.0.0.4 10.0.0.5 10.9.0.4\n")
	}
	if got := (command{}).run(t, "validate", "-f", topology); got != (answer{exitDone, "topology one is valid, as far as can be told without the files of edge-weu\n", ""}) {
		t.Errorf("got %+v", got)
	}
	if got := (command{}).run(t, "validate", "-f", topology, "-f", examplePair); got != (answer{exitDone, "pair edge-weu is valid\ntopology one is valid\n", ""}) {
		t.Errorf("got %+v", got)
	}
}

// directoryWith makes a directory with a copy of a pair file and something else.
func directoryWith(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	other := file(t, "notes.txt", "no pair file")
	dir := filepath.Dir(other)
	if err := os.WriteFile(filepath.Join(dir, "edge.yml"), b, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestMistakesOfGeoPlanAreBadInput(t *testing.T) {
	unknown := file(t, "unknown.yaml", "apiVersion: tandem/v1\nkind: GeoTopology\nname: one\nmembers: [ { pair: edge-neu }, { name: b, standalone: lm1 } ]\n")
	for _, tt := range []struct {
		name string
		args []string
		says []string
	}{
		{"no topology", nil, []string{"-f global.yaml"}},
		{"an own entry that is none", []string{"-f", exampleTopology, "--own", "second"}, []string{`--own "second": expected first or active`}},
		{"no topology in the file", []string{"-f", examplePair}, []string{"expected one document of the kind GeoTopology", "got 0"}},
		{"a directory without pair files", []string{"-f", exampleTopology, "--pair-file", filepath.Dir(file(t, "notes.txt", ""))}, []string{"expected a directory with pair files"}},
		{"a pair file that is not there", []string{"-f", exampleTopology, "--pair-file", filepath.Join("nowhere", "x.yaml")}, []string{"nowhere"}},
		{"an unknown pair, with all other mistakes", []string{"-f", unknown, "--pair-file", examplePair}, []string{
			unknown + `:4: field "members[0].pair": "edge-neu": expected the name of a pair whose file is given as well: edge-weu`, `"lm1": expected an IP address`, "2 mistakes",
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := command{}.run(t, append([]string{"geo", "plan"}, tt.args...)...)
			if got.code != exitBadInput || got.out != "" {
				t.Errorf("exit code %d, printed %q", got.code, got.out)
			}
			has(t, "the error", got.err, tt.says...)
		})
	}
	if got := (command{}).run(t, "geo"); got.code != exitBadInput || !strings.Contains(got.err, "expected plan") {
		t.Errorf("geo alone: %+v", got)
	}
}

func TestSchemaOfTopologiesIsTheCheckedInOne(t *testing.T) {
	want, err := os.ReadFile(filepath.Join("..", "..", "docs", "schema", "topology.schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	if got := (command{}).run(t, "schema", "GeoTopology"); got != (answer{exitDone, string(want), ""}) {
		t.Errorf("exit code %d, error %q, %d bytes", got.code, got.err, len(got.out))
	}
	if got := (command{}).run(t, "schema", "Nonsense"); got.code != exitBadInput {
		t.Errorf("a schema of nothing: %+v", got)
	}
}

func TestGeoFlagsAreCompleted(t *testing.T) {
	for args, says := range map[string]string{"--own": "active\n", "--pair-file": "yaml\n", "-f": "yaml\n"} {
		got := command{}.run(t, "__complete", "geo", "plan", args, "")
		has(t, args, got.out, says)
	}
}
