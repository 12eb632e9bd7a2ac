package manifest_test

import (
	"encoding/json"
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"tandem/internal/manifest"
	"tandem/internal/pair"
)

// valid is a small pair file in which the rows below change a line.
const valid = `apiVersion: tandem/v1
kind: Pair
name: edge
azure: { subscription: 00000000-0000-0000-0000-000000000001, resourceGroup: rg, location: westeurope }
units:
  first: { vm: lm1, address: 10.0.0.4, api: { secret: lm1-api } }
  second: { vm: lm2, address: 10.0.0.5, api: { secret: lm2-api } }
loadBalancers:
  - name: ilb
    pools: [ pool ]
    frontends: [ { name: vip, address: 10.0.0.100 } ]
    rules: [ { name: https, frontend: vip, port: 443 } ]
`

var samePair = cmp.Options{
	cmpopts.EquateEmpty(),
	cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
	cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
}

func read(t *testing.T, content string) ([]pair.Definition, manifest.Problems) {
	t.Helper()
	pairs, err := manifest.Read("pair.yaml", strings.NewReader(content))
	if err == nil {
		return pairs, nil
	}
	problems, ok := errors.AsType[manifest.Problems](err)
	if !ok {
		t.Fatalf("Read = %v, want Problems", err)
	}
	if pairs != nil {
		t.Errorf("Read returned definitions beside %v", problems)
	}
	return nil, problems
}

// replaced returns the valid file with one piece of it replaced.
func replaced(t *testing.T, old, with string) string {
	t.Helper()
	if strings.Count(valid, old) != 1 {
		t.Fatalf("the valid file has %q %d times, want once", old, strings.Count(valid, old))
	}
	return strings.Replace(valid, old, with, 1)
}

func TestReadFillsInDefaults(t *testing.T) {
	pairs, problems := read(t, valid)
	if problems != nil {
		t.Fatal(problems)
	}
	want := []pair.Definition{pair.Definition{
		Name:  "edge",
		Azure: pair.Scope{Subscription: "00000000-0000-0000-0000-000000000001", ResourceGroup: "rg", Location: "westeurope"},
		Units: pair.Units{
			First:  pair.Unit{VM: "lm1", Address: netip.MustParseAddr("10.0.0.4"), API: pair.API{Secret: "lm1-api"}},
			Second: pair.Unit{VM: "lm2", Address: netip.MustParseAddr("10.0.0.5"), API: pair.API{Secret: "lm2-api"}},
		},
		LoadBalancers: []pair.LoadBalancer{{
			Name:      "ilb",
			Pools:     []string{"pool"},
			Frontends: []pair.Frontend{{Name: "vip", Address: netip.MustParseAddr("10.0.0.100")}},
			Rules:     []pair.Rule{{Name: "https", Frontend: "vip", Port: 443}},
		}},
	}.WithDefaults()}
	if diff := cmp.Diff(want, pairs, samePair); diff != "" {
		t.Error(diff)
	}
	if pairs[0].Mode != pair.Observe || pairs[0].Failover.Fence != pair.Ask {
		t.Errorf("mode %v and fence %v, want the defaults", pairs[0].Mode, pairs[0].Failover.Fence)
	}
}

func TestReadTakesEveryKey(t *testing.T) {
	content, err := os.ReadFile(filepath.Join("..", "..", "examples", "edge-weu.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	pairs, problems := read(t, strings.NewReplacer(
		"mode: observe", "mode: auto",
		"preferred: first", "preferred: none",
		"standbyForwards: unknown", "standbyForwards: yes",
		"checkAllInterfaces: false", "checkAllInterfaces: true",
		"fence: ask", "fence: auto",
	).Replace(string(content)))
	if problems != nil {
		t.Fatal(problems)
	}
	d := pairs[0]
	if d.Mode != pair.Auto || d.HA.Preferred != pair.PreferNone || d.HA.StandbyForwards != pair.ForwardsYes ||
		!d.HA.CheckAllInterfaces || d.Failover.Fence != pair.Allowed {
		t.Errorf("mode, HA or failover not as written: %+v %+v %+v", d.Mode, d.HA, d.Failover)
	}
	lb := d.LoadBalancers[0]
	if lb.Management.SSH != (pair.PortPair{First: 221, Second: 222}) || lb.Rules[1].From[0] != netip.MustParsePrefix("0.0.0.0/0") ||
		d.Sync.Every != pair.Duration(2*time.Minute) || d.Checks[0].Path != "/healthz" || d.Units.First.API.TLS.SHA256 == "" {
		t.Errorf("not as written: %+v", d)
	}
}

func TestReadTakesTheGuidesWords(t *testing.T) {
	content := replaced(t, "  first:", "  master:")
	content = strings.Replace(content, "  second:", "  slave:", 1)
	content += "    management: { wui: { master: 8441, slave: 8442 } }\nha: { preferred: master }\n"
	pairs, problems := read(t, content)
	if problems != nil {
		t.Fatal(problems)
	}
	d := pairs[0]
	if d.Units.First.VM != "lm1" || d.Units.Second.VM != "lm2" || d.HA.Preferred != pair.PreferFirst ||
		d.LoadBalancers[0].Management.WUI != (pair.PortPair{First: 8441, Second: 8442}) {
		t.Errorf("units %+v, preferred %v, management %+v", d.Units, d.HA.Preferred, d.LoadBalancers[0].Management)
	}
}

func TestReadTakesJSON(t *testing.T) {
	b, err := json.MarshalIndent(plain(t, []byte(valid))[0], "", "\t")
	if err != nil {
		t.Fatal(err)
	}
	want, _ := read(t, valid)
	got, problems := read(t, string(b))
	if problems != nil {
		t.Fatal(problems)
	}
	if diff := cmp.Diff(want, got, samePair); diff != "" {
		t.Error(diff)
	}
}

func TestReadTakesSeveralDocuments(t *testing.T) {
	other := strings.NewReplacer("name: edge", "name: core", "lm1", "lm3", "lm2", "lm4").Replace(valid)
	pairs, problems := read(t, "---\n"+valid+"---\n---\n"+other)
	if problems != nil {
		t.Fatal(problems)
	}
	if len(pairs) != 2 || pairs[0].Name != "edge" || pairs[1].Name != "core" {
		t.Errorf("Read = %v, want edge and core", pairs)
	}
}

// Every mistake is named with its line, field, value and what was expected.
func TestReadRefusesForms(t *testing.T) {
	for _, tt := range []struct {
		name, old, with string
		want            []string
	}{
		{"a wrong type is named", "port: 443", "port: https", []string{
			`pair.yaml:12: field "loadBalancers[0].rules[0].port": "https": expected a whole number from 1 to 65534`,
		}},
		{"a quoted number is no number", "port: 443", `port: "443"`, []string{
			`pair.yaml:12: field "loadBalancers[0].rules[0].port": "443": expected a whole number from 1 to 65534, without quotes`,
		}},
		{"a number that could be octal is refused", "port: 443", "port: 0443", []string{
			`pair.yaml:12: field "loadBalancers[0].rules[0].port": 0443: expected a whole number from 1 to 65534`,
		}},
		{"a port of 0 that was written is not a port left out", "port: 443", "port: 443, backendPort: 0", []string{
			`pair.yaml:12: field "loadBalancers[0].rules[0].backendPort": 0: expected a whole number from 1 to 65535`,
		}},
		{"a number past every limit is refused", "port: 443", "port: 99999999999999999999", []string{
			`pair.yaml:12: field "loadBalancers[0].rules[0].port": 99999999999999999999: expected a whole number from 1 to 65534`,
		}},
		{"a number where text belongs needs quotes", "name: edge", "name: 42", []string{
			`pair.yaml:3: field "name": 42: expected text of at most 40 characters that matches ^[a-z][a-z0-9]*(-[a-z0-9]+)*$, in quotes`,
		}},
		{"an unknown key is answered with the one that was meant", "pools: [ pool ]", "pols: [ pool ]", []string{
			`pair.yaml:10: field "loadBalancers[0].pols": unknown key: expected one of name, pools, members, frontends, probe, management, rules, centralPairAwareness (did you mean "pools"?)`,
		}},
		{"what an unknown key holds is not shown", "secret: lm1-api", "secret: lm1-api, password: hunter2", []string{
			`pair.yaml:6: field "units.first.api.password": unknown key: expected one of port, secret, tls, caFile`,
		}},
		{"a key given twice is refused", "name: edge", "name: edge\nname: edge", []string{
			`pair.yaml:4: field "name": given twice: expected it once, as on line 3`,
		}},
		{"both words for one unit are the same key twice", "  first:", "  master: { vm: x, address: 10.0.0.9, api: { secret: x } }\n  first:", []string{
			`pair.yaml:7: field "units.first": given twice: expected it once, as on line 6`,
		}},
		{"a key without a value is refused", "kind: Pair", "kind: Pair\nmode:", []string{
			`pair.yaml:3: field "mode": nothing: expected one of observe, recommend, auto, or the key left out`,
		}},
		{"a misspelt word is answered with the one that was meant", "kind: Pair", "kind: Pair\nmode: observed", []string{
			`pair.yaml:3: field "mode": "observed": expected one of observe, recommend, auto (did you mean observe?)`,
		}},
		{"words of stored rows are not words of files", "kind: Pair", "kind: Pair\nmode: unset", []string{
			`pair.yaml:3: field "mode": "unset": expected one of observe, recommend, auto`,
		}},
		{"a list where a mapping belongs is refused once", "  second: { vm: lm2, address: 10.0.0.5, api: { secret: lm2-api } }", "  second: []", []string{
			`pair.yaml:7: field "units.second": a list: expected a mapping with the keys vm, address, api`,
		}},
		{"a word where a list belongs is refused", "pools: [ pool ]", "pools: pool", []string{
			`pair.yaml:10: field "loadBalancers[0].pools": "pool": expected a list of 1 or more`,
		}},
		{"an empty list is refused where one is needed", "pools: [ pool ]", "pools: []", []string{
			`pair.yaml:10: field "loadBalancers[0].pools": an empty list: expected a list of 1 or more`,
		}},
		{"an empty text is refused", "pools: [ pool ]", `pools: [ "" ]`, []string{
			`pair.yaml:10: field "loadBalancers[0].pools[0]": "": expected text`,
		}},
		{"a name instead of an address is refused", "address: 10.0.0.4", "address: lm1.example", []string{
			`pair.yaml:6: field "units.first.address": "lm1.example": expected an IP address such as 10.0.0.4`,
		}},
		{"an empty address is not an address left out", "address: 10.0.0.4", `address: ""`, []string{
			`pair.yaml:6: field "units.first.address": "": expected an IP address such as 10.0.0.4`,
		}},
		{"a duration needs a unit", "kind: Pair", "kind: Pair\nsync: { every: 120 }", []string{
			`pair.yaml:3: field "sync.every": 120: expected a positive duration with a unit, such as 10m or 5s`,
		}},
		{"a duration is positive", "kind: Pair", "kind: Pair\nsync: { every: 0s }", []string{
			`pair.yaml:3: field "sync.every": "0s": expected a positive duration with a unit, such as 10m or 5s`,
		}},
		{"a negative duration is refused", "kind: Pair", "kind: Pair\nfailover: { holdDown: -10m }", []string{
			`pair.yaml:3: field "failover.holdDown": "-10m": expected a positive duration with a unit, such as 10m or 5s`,
		}},
		{"a network needs its length", "port: 443", "port: 443, from: [ 10.0.0.0 ]", []string{
			`pair.yaml:12: field "loadBalancers[0].rules[0].from[0]": "10.0.0.0": expected a network such as 10.0.0.0/24`,
		}},
		{"a word for yes is no boolean", "    pools", "    centralPairAwareness: yes\n    pools", []string{
			`pair.yaml:10: field "loadBalancers[0].centralPairAwareness": "yes": expected true or false`,
		}},
		{"a missing name is reported at the document", "name: edge\n", "", []string{
			`pair.yaml:1: field "name": missing: expected text of at most 40 characters that matches ^[a-z][a-z0-9]*(-[a-z0-9]+)*$ (Name of the pair: lower-case letters, digits and single dashes; it is part of every id.)`,
		}},
		{"a unit needs its API's secret", ", api: { secret: lm1-api }", "", []string{
			`pair.yaml:6: field "units.first.api": missing: expected a mapping with the keys port, secret, tls, caFile (How the unit's API is reached.)`,
		}},
		{"a missing version is reported with the other mistakes", "apiVersion: tandem/v1\nkind: Pair\nname: edge", "kind: Pair\nname: Edge", []string{
			`pair.yaml:1: field "apiVersion": missing: expected tandem/v1 (Version of the file's format.)`,
			`pair.yaml:2: field "name": "Edge": expected text of at most 40 characters that matches ^[a-z][a-z0-9]*(-[a-z0-9]+)*$`,
		}},
		{"another version is not guessed at", "apiVersion: tandem/v1", "apiVersion: tandem/v2\ncolour: red", []string{
			`pair.yaml:1: field "apiVersion": "tandem/v2": expected tandem/v1`,
		}},
		{"a topology is no pair", "kind: Pair\nname", "kind: GeoTopology\nmembers: []\nname", []string{
			`pair.yaml:2: field "kind": "GeoTopology": expected Pair, because a GeoTopology is not taken here; tandem geo plan and tandem validate take it`,
		}},
		{"a misspelt kind is answered with the one that was meant", "kind: Pair", "kind: pair", []string{
			`pair.yaml:2: field "kind": "pair": expected one of Pair, GeoTopology (did you mean Pair?)`,
		}},
		{"an alias is refused", "  second: { vm: lm2, address: 10.0.0.5, api: { secret: lm2-api } }", "  second: *x\nx: &x 1", []string{
			// The anchor is defined after its use, which YAML does not know.
			`pair.yaml:1: unknown anchor 'x' referenced: expected valid YAML`,
		}},
		{"a merge key is an unknown key", "pools: [ pool ]", "pools: &p [ pool ]\n    <<: *p", []string{
			`pair.yaml:11: field "loadBalancers[0].<<": unknown key: expected one of name, pools, members, frontends, probe, management, rules, centralPairAwareness`,
		}},
		{"a key that is no text is refused", "pools: [ pool ]", "pools: [ pool ]\n    ? [ a ]\n    : b", []string{
			`pair.yaml:11: field "loadBalancers[0]": a key that is not plain text: expected one of name, pools, members, frontends, probe, management, rules, centralPairAwareness`,
		}},
		{"a secret that stands in the file by mistake is not shown", "secret: lm1-api", "secret: bal:hunter2", []string{
			`pair.yaml:6: field "units.first.api.secret": [redacted]: expected the name of a secret, never the secret itself: letters, digits and '-', starting with a letter`,
		}},
		{"a secret in place of the mapping is not shown", "api: { secret: lm1-api }", "api: hunter2", []string{
			`pair.yaml:6: field "units.first.api": [redacted]: expected a mapping with the keys port, secret, tls, caFile`,
		}},
		{"control characters do not reach the terminal", "name: edge", `name: "a\x1b[2Jb"`, []string{
			`pair.yaml:3: field "name": "a\x1b[2Jb": expected text of at most 40 characters that matches ^[a-z][a-z0-9]*(-[a-z0-9]+)*$`,
		}},
		{"a name of 41 characters is refused", "name: edge", "name: a" + strings.Repeat("b", 40), []string{
			`pair.yaml:3: field "name": "a` + strings.Repeat("b", 40) + `": expected text of at most 40 characters that matches ^[a-z][a-z0-9]*(-[a-z0-9]+)*$`,
		}},
		{"a name ends with no dash", "name: edge", "name: edge-", []string{
			`pair.yaml:3: field "name": "edge-": expected text of at most 40 characters that matches ^[a-z][a-z0-9]*(-[a-z0-9]+)*$`,
		}},
		{"a subscription is a UUID in its usual form", "00000000-0000-0000-0000-000000000001", "{00000000-0000-0000-0000-000000000001}", []string{
			`pair.yaml:4: field "azure.subscription": a mapping: expected a UUID such as 00000000-0000-0000-0000-000000000001`,
		}},
		{"broken YAML is reported at its line", "name: edge", "name: edge: core", []string{
			`pair.yaml:3: mapping values are not allowed in this context: expected valid YAML`,
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, problems := read(t, replaced(t, tt.old, tt.with))
			if diff := cmp.Diff(strings.Join(tt.want, "\n"), problems.Error()); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestReadReportsAllMistakesInTheOrderOfTheirLines(t *testing.T) {
	_, problems := read(t, `apiVersion: tandem/v1
kind: Pair
mode: fast
azure: { subscription: mine, resourceGroup: rg, location: West Europe }
units:
  first: { vm: lm1, address: 10.0.0.4, api: { secret: a, port: 70000 } }
  second: { vm: LM1, address: 10.0.0.4, api: { secret: b } }
loadBalancers:
  - name: ilb
    pools: [ pool ]
    frontends: [ { name: vip, address: 10.0.0.100 } ]
    rules: [ { name: a, frontend: vpi, port: 443, colour: red } ]
failover: { confirmAfter: 1 }
`)
	var got []string
	for _, p := range problems {
		if p.File != "pair.yaml" || p.Column == 0 || p.Value == "" || p.Expected == "" {
			t.Errorf("incomplete: %#v", p)
		}
		got = append(got, p.Field)
	}
	want := []string{
		"name", "mode", "azure.subscription", "azure.location", "units.first.api.port", "units.second.vm",
		"units.second.address", "loadBalancers[0].rules[0].frontend", "loadBalancers[0].rules[0].colour", "failover.confirmAfter",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s\n%v", diff, problems)
	}
	if !slices.IsSortedFunc(problems, func(a, b manifest.Problem) int { return a.Line - b.Line }) {
		t.Errorf("not in the order of lines:\n%v", problems)
	}
	if !errors.Is(problems, pair.ErrInvalid) {
		t.Error("Problems are not of the kind pair.ErrInvalid")
	}
}

func TestReadRefusesWhatIsNoPairFile(t *testing.T) {
	bomb := "a: &a [x,x,x,x,x,x,x,x,x]\n"
	for c := 'b'; c < 'j'; c++ {
		bomb += string(c) + ": &" + string(c) + " [" + strings.Repeat("*"+string(c-1)+",", 9) + "]\n"
	}
	for _, tt := range []struct{ name, content, want string }{
		{"an empty file is no pair file", "", "an empty file"},
		{"a file of comments is no pair file", "# nothing\n---\n", "an empty file"},
		{"a list is no pair file", "- a\n", "a list"},
		{"a word is no pair file", "hello", `"hello"`},
		{"a file over the size limit is not parsed", "# " + strings.Repeat("x", manifest.MaxSize), "too large"},
		{"an alias bomb is not expanded", bomb, "unknown key"},
		{"an alias in a value is refused", strings.Replace(valid, "lm2,", "*n,", 1) + "x: &n lm2", "unknown anchor"},
		{"an alias of an earlier value is refused", strings.NewReplacer("vm: lm1", "vm: &n lm1", "vm: lm2", "vm: *n").Replace(valid), "an alias"},
		{"endless nesting is refused", strings.Repeat("[", 20_000), "exceeded max depth"},
		{"bytes that are no text are refused", "a: \xff", "invalid leading UTF-8"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, problems := read(t, tt.content)
			if len(problems) == 0 || !strings.Contains(problems[0].Error(), tt.want) {
				t.Errorf("problems = %v, want the first with %q", problems, tt.want)
			}
		})
	}
}

func TestReadSaysOnceThatADocumentIsNoMapping(t *testing.T) {
	_, problems := read(t, "- a\n")
	want := "pair.yaml:1: a list: expected a mapping that starts with apiVersion: tandem/v1"
	if problems.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", problems, want)
	}
}

func TestReadStopsReportingAtSomePoint(t *testing.T) {
	var b strings.Builder
	for i := range 5000 {
		b.WriteString("k" + strings.Repeat("x", i%7) + string(rune('a'+i%26)) + ": 1\n")
	}
	_, problems := read(t, b.String())
	if len(problems) > 101 || !strings.Contains(problems[len(problems)-1].Value, "more mistakes") {
		t.Errorf("%d problems, the last %v; want 100 and that there are more", len(problems), problems[len(problems)-1])
	}
}

// A file that is all mistakes must not cost more than reading it as YAML does.
func TestReadIsSoonDoneWithLargeFiles(t *testing.T) {
	const size = manifest.MaxSize / 8
	for _, tt := range []struct{ name, content string }{
		{"many documents", strings.Repeat("---\n{}\n", size/7)},
		{"many unknown keys", strings.Repeat("a:\n", size/3)},
		{"many items", "loadBalancers: [" + strings.Repeat("{},", size/3) + "]"},
		{"many items of items", "loadBalancers: [" + strings.Repeat("{rules: ["+strings.Repeat("{},", 300)+"]},", size/912) + "]"},
		{"deep nesting", "loadBalancers: " + strings.Repeat("[", 9000) + strings.Repeat("]", 9000)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			done := make(chan error, 1)
			go func() {
				_, err := manifest.Read("large.yaml", strings.NewReader(tt.content))
				done <- err
			}()
			select {
			case err := <-done:
				if err == nil || len(err.Error()) > 1<<20 {
					t.Errorf("want mistakes, and not too many: %v", err)
				}
			case <-time.After(20 * time.Second):
				t.Error("not done after 20 s")
			}
		})
	}
}

func TestReadReturnsTheReadersError(t *testing.T) {
	broken := errors.New("cable pulled")
	_, err := manifest.Read("pair.yaml", iotest.ErrReader(broken))
	if !errors.Is(err, broken) || !strings.Contains(err.Error(), "pair.yaml") {
		t.Errorf("Read = %v, want the reader's error with the name", err)
	}
}

func TestLoadReportsAllFilesTogether(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	a := write("a.yaml", valid)
	b := write("b.yaml", strings.NewReplacer("name: edge", "name: core", "vm: lm2", "vm: LM3", "vm: lm1", "vm: lm4").Replace(valid))
	same := write("same.yaml", strings.NewReplacer("vm: lm1", "vm: lm5", "vm: lm2", "vm: LM2").Replace(valid))
	broken := write("broken.yaml", "a: [")

	if pairs, err := manifest.Load(strings.NewReader(""), a, b); err != nil || len(pairs) != 2 {
		t.Errorf("Load = %v, %v, want two pairs", pairs, err)
	}
	_, err := manifest.Load(strings.NewReader(valid), broken, a, filepath.Join(dir, "none.yaml"), same, "-")
	problems, ok := errors.AsType[manifest.Problems](err)
	if !ok || !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("Load = %v, want problems and a file that is not there", err)
	}
	want := []string{
		broken + `:1: did not find expected node content: expected valid YAML`,
		same + `:3: field "name": "edge": expected another name, because the pair "edge" in ` + a + ` has this one`,
		same + `:7: field "units.second.vm": "LM2": expected another virtual machine, because the pair "edge" in ` + a + ` has this one`,
		`standard input:3: field "name": "edge": expected another name, because the pair "edge" in ` + a + ` has this one`,
		`standard input:6: field "units.first.vm": "lm1": expected another virtual machine, because the pair "edge" in ` + a + ` has this one`,
		`standard input:7: field "units.second.vm": "lm2": expected another virtual machine, because the pair "edge" in ` + a + ` has this one`,
	}
	if diff := cmp.Diff(strings.Join(want, "\n"), problems.Error()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestProblemsWriteTo(t *testing.T) {
	var b strings.Builder
	two := manifest.Problems{
		{File: "a.yaml", Line: 3, Field: "name", Value: "missing", Expected: "text"},
		{Field: "mode", Value: `"x"`, Expected: "auto"},
	}
	if _, err := two.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	want := "a.yaml:3: field \"name\": missing: expected text\nfield \"mode\": \"x\": expected auto\n2 mistakes\n"
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
}

func FuzzRead(f *testing.F) {
	example, err := os.ReadFile(filepath.Join("..", "..", "examples", "edge-weu.yaml"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(example))
	f.Add(valid)
	f.Add("{\n\t\"apiVersion\": \"tandem/v1\"\n}")
	f.Add("a: &a [*a]")
	f.Add("---\n---\n- x")
	f.Add("? {a: b}\n: c\n<<: *x")
	schema := compiled(f)
	f.Fuzz(func(t *testing.T, content string) {
		pairs, err := manifest.Read("fuzz", strings.NewReader(content))
		if err != nil {
			_ = err.Error()
			return
		}
		for _, doc := range plain(t, []byte(content)) {
			if err := schema.Validate(doc); err != nil {
				t.Errorf("the reader took what the schema refuses: %v\n%s", err, content)
			}
		}
		for _, d := range pairs {
			if err := manifest.Validate(d); err != nil {
				t.Errorf("Validate refuses what Read took: %v", err)
			}
			requireSame(t, d)
		}
	})
}
