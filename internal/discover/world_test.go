package discover_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"tandem/internal/balancer"
	"tandem/internal/discover"
	"tandem/internal/lab"
	labarm "tandem/internal/lab/arm"
	"tandem/internal/manifest"
)

const (
	subscription = "00000000-0000-0000-0000-000000000001"
	base         = "/subscriptions/" + subscription + "/resourceGroups/rg-edge/providers/"
	network      = base + "Microsoft.Network/"
)

// everything is a search for every pair of the resource group.
var everything = discover.Search{Subscription: subscription, ResourceGroup: "rg-edge"}

// manager reads the Resource Manager of a lab's world over its network.
type manager struct {
	client *http.Client
	token  string
}

// newManager builds the world of a story, in which nothing happens.
func newManager(t *testing.T, sc lab.Scenario) manager {
	t.Helper()
	sc.Name = "test"
	w, err := lab.New(sc, lab.Options{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(w.Authority())
	transport := &http.Transport{DialContext: w.Worker().DialContext, TLSClientConfig: &tls.Config{RootCAs: roots}}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		w.Close()
	})
	now := time.Now()
	return manager{&http.Client{Transport: transport}, labarm.UnsignedToken(lab.Person, "", "", now, now.Add(time.Hour))}
}

// get is nil where there is no such resource.
func (m manager) get(t *testing.T, path string) json.RawMessage {
	t.Helper()
	version := "2025-05-01"
	if strings.Contains(strings.ToLower(path), "microsoft.compute") {
		version = "2025-04-01"
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+lab.ManagerName+path+"?api-version="+version, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+m.token)
	resp, err := m.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode == http.StatusNotFound {
		return nil
	}
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s\n%s", path, resp.Status, b)
	}
	return b
}

// read reads what a search needs.
func (m manager) read(t *testing.T, s discover.Search) balancer.World {
	t.Helper()
	w := make(balancer.World)
	for _, kind := range discover.Kinds() {
		var page struct{ Value []json.RawMessage }
		if err := json.Unmarshal(m.get(t, base+kind), &page); err != nil {
			t.Fatal(err)
		}
		if err := discover.Add(w, page.Value); err != nil {
			t.Fatal(err)
		}
	}
	for rounds := 0; ; rounds++ {
		missing := s.Reads(w)
		if len(missing) == 0 {
			return w
		}
		if rounds == 10 {
			t.Fatalf("it never has enough: %v", missing)
		}
		for _, id := range missing {
			w[id] = m.get(t, string(id))
		}
	}
}

// nothingToWrite demands that the files of all pairs that were found can be
// read, and that what is there is what they say.
func nothingToWrite(t *testing.T, w balancer.World, found discover.Found, s balancer.Surroundings) {
	t.Helper()
	for _, p := range found.Pairs {
		for _, c := range toWrite(t, w, p, s) {
			t.Errorf("%s: there is something to write: %s", p.Name, c)
		}
		if !strings.Contains(string(p.File), "tandem plan has nothing to write") {
			t.Errorf("the file of %s says:\n%s", p.Name, p.File)
		}
	}
}

// toWrite are the places that the plan of a pair's file changes.
func toWrite(t *testing.T, w balancer.World, p discover.Pair, s balancer.Surroundings) []string {
	t.Helper()
	defs, err := manifest.Read(p.Name, strings.NewReader(string(p.File)))
	if err != nil {
		t.Fatalf("%v\n%s", err, p.File)
	}
	want, refusals := balancer.Compile(&defs[0], w, s)
	for _, r := range refusals {
		t.Errorf("%s is refused: %s\n%s", p.Name, r, p.File)
	}
	plan, err := balancer.Compare(want, w)
	if err != nil {
		t.Error(err)
	}
	var out []string
	for _, step := range plan.Steps {
		for _, c := range step.Changes {
			what := "change"
			switch {
			case c.From == nil:
				what = "add"
			case c.To == nil:
				what = "remove"
			}
			out = append(out, what+" "+step.Resource.Name()+" "+c.Path)
		}
	}
	return out
}

// labTandem is where Tandem is in the lab.
var labTandem = balancer.Surroundings{From: []netip.Prefix{netip.MustParsePrefix("10.0.1.0/24")}}

func TestTheFileOfASeededWorldSaysWhatIsThere(t *testing.T) {
	type fields = map[string]any
	public := []any{fields{
		"name": "plb-edge", "pools": []any{"loadmasters"}, "members": "address", "frontends": []any{fields{"name": "vip1", "publicIP": "pip-edge"}},
		"probe":      fields{"path": "/", "interval": "5s", "threshold": 2},
		"management": fields{"wui": fields{"first": 8441, "second": 8442}, "ssh": fields{"first": 221, "second": 222}},
		"rules": []any{
			fields{"name": "check", "frontend": "vip1", "port": 8444},
			fields{"name": "https", "frontend": "vip1", "port": 443, "from": []any{"0.0.0.0/0"}},
		},
	}, fields{
		"name": "ilb-edge", "pools": []any{"inside"}, "members": "address", "frontends": []any{fields{"name": "vip1", "address": "10.0.0.100"}},
		"probe": fields{"path": "/", "interval": "10s", "threshold": 3},
		"rules": []any{
			fields{"name": "check", "frontend": "vip1", "port": 8444},
			fields{"name": "https", "frontend": "vip1", "port": 443, "from": []any{"0.0.0.0/0"}},
		},
	}}
	for _, tt := range []struct {
		name  string
		story lab.Scenario
		pairs string
	}{
		{"one pair behind one load balancer", lab.Scenario{}, "edge-weu"},
		{"two pairs behind one load balancer", lab.Scenario{Neighbours: 1}, "edge-neu edge-weu"},
		{"one pair behind two, of addresses", lab.Scenario{Pair: fields{"loadBalancers": public}}, "edge-weu"},
		{"without a security group", lab.Scenario{Pair: fields{
			"securityGroup": nil, "loadBalancers": []any{fields{
				"name": "ilb-edge", "pools": []any{"loadmasters"}, "frontends": []any{fields{"name": "vip1", "address": "10.0.0.100"}},
				"probe": fields{"path": "/", "interval": "5s", "threshold": 2},
				"rules": []any{fields{"name": "check", "frontend": "vip1", "port": 8444}, fields{"name": "https", "frontend": "vip1", "port": 443}},
			}},
		}}, "ilb-edge"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.story.For = time.Minute
			w := newManager(t, tt.story).read(t, everything)
			found := everything.Find(w)
			var names []string
			for _, p := range found.Pairs {
				names = append(names, p.Name)
			}
			if got := strings.Join(names, " "); got != tt.pairs || len(found.Skipped) > 0 {
				t.Fatalf("found %s, skipped %v", got, found.Skipped)
			}
			nothingToWrite(t, w, found, labTandem)
		})
	}
}
