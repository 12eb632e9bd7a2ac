package api_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"tandem/internal/api"
	"tandem/internal/geo"
	"tandem/internal/pair"
	"tandem/internal/store"
)

// topologies is what the API asks for, without units.
type topologies struct {
	records map[string]geo.Record
	asked   []string
	left    []geo.Step
}

func (t *topologies) Apply(_ context.Context, next geo.Topology, by, reason string) (geo.Record, error) {
	t.asked = append(t.asked, "apply "+next.Name+" for "+by+": "+reason)
	rec := geo.Record{Topology: next, Run: geo.Run{ID: next.Name + "-1", By: by, Reason: reason, State: geo.Runs}}
	t.records[next.Name] = rec
	return rec, nil
}

func (t *topologies) Cancel(_ context.Context, name, by, _ string) (geo.Record, error) {
	t.asked = append(t.asked, "cancel "+name+" for "+by)
	return t.Record(context.Background(), name)
}

func (t *topologies) Compare(_ context.Context, next geo.Topology) (geo.Comparison, error) {
	t.asked = append(t.asked, "compare "+next.Name)
	young := geo.Alarm{Kind: geo.AlarmCluster, Member: "sa1", Text: "young", Since: time.Now()}
	return geo.Comparison{Wanted: geo.Compile(next, geo.OwnFirst), Steps: t.left, Alarms: []geo.Alarm{young}}, nil
}

func (t *topologies) Record(_ context.Context, name string) (geo.Record, error) {
	rec, ok := t.records[name]
	if !ok {
		return rec, pair.ErrNotFound
	}
	return rec, nil
}

func (t *topologies) Records(context.Context) (all []geo.Record, err error) {
	for _, rec := range t.records {
		all = append(all, rec)
	}
	return all, nil
}

const topologyFile = `apiVersion: tandem/v1
kind: GeoTopology
name: global
members:
  - { pair: edge }
  - { name: sa1, standalone: 10.0.9.9, api: { secret: sa1-api } }
`

func geoServer(t *testing.T) (*api.Client, *topologies) {
	t.Helper()
	s := store.NewEmbedded(store.EmbeddedOptions{}).Store(store.HandleOptions{})
	d := pair.Definition{
		Name: "edge", Azure: pair.Scope{Subscription: "s", ResourceGroup: "rg"},
		Units: pair.Units{First: pair.Unit{VM: "lm1", Address: netip.MustParseAddr("10.0.0.4")}, Second: pair.Unit{VM: "lm2", Address: netip.MustParseAddr("10.0.0.5")}},
	}
	if _, err := s.Define(t.Context(), d, nil); err != nil {
		t.Fatal(err)
	}
	all := &topologies{records: map[string]geo.Record{}}
	h, err := api.NewServer(api.Options{Store: s, Topologies: all, Log: slog.New(slog.DiscardHandler), Auth: api.AuthNone})
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(h)
	t.Cleanup(web.Close)
	client, err := api.NewClient(web.URL, "", web.Client())
	if err != nil {
		t.Fatal(err)
	}
	return client, all
}

// TestATopologyIsAppliedByItsFile with the addresses of the pairs that are defined.
func TestATopologyIsAppliedByItsFile(t *testing.T) {
	client, all := geoServer(t)
	ask := api.GeoAsk{By: "ada", Reason: "a new site", File: topologyFile}
	all.left = []geo.Step{{N: 1, Member: "sa1", Action: geo.SetAccess}}
	dry, err := client.ApplyGeo(t.Context(), "global", ask, true)
	if err != nil || !dry.DryRun || len(dry.Steps) != 1 || len(dry.Alarms) > 0 || len(all.records) > 0 {
		t.Errorf("a dry run answers %+v, %v; stored %v", dry, err, all.records)
	}
	got, err := client.ApplyGeo(t.Context(), "global", ask, false)
	if err != nil || got.Run.By != "ada" || got.Members[0].Units[1] != netip.MustParseAddr("10.0.0.5") || got.Members[1].Kind != "standalone" {
		t.Fatalf("got %+v, %v", got, err)
	}
	if _, err := client.ApplyGeo(t.Context(), "global", api.GeoAsk{By: "bob"}, false); err != nil {
		t.Errorf("once more: %v", err)
	}
	if _, err := client.CancelGeo(t.Context(), "global", api.GeoAsk{By: "bob"}); err != nil {
		t.Errorf("cancel: %v", err)
	}
	listed, err := client.Geos(t.Context())
	if err != nil || len(listed) != 1 || listed[0].Name != "global" {
		t.Errorf("listed %+v, %v", listed, err)
	}
	for _, file := range []string{"", topologyFile} {
		v, err := client.VerifyGeo(t.Context(), "global", api.GeoAsk{File: file})
		if err != nil || v.Name != "global" || len(v.Members) != 2 || len(v.Steps) != 1 {
			t.Errorf("verified %+v, %v", v, err)
		}
	}
}

func TestATopologyThatIsWrongIsRefused(t *testing.T) {
	tests := []struct {
		name, topology string
		ask            api.GeoAsk
		kind           error
		why            string
	}{
		{"nobody asks", "global", api.GeoAsk{File: topologyFile}, pair.ErrInvalid, "by"},
		{"another name than in the path", "other", api.GeoAsk{By: "ada", File: topologyFile}, pair.ErrInvalid, "expected the same"},
		{"a pair that is not defined", "global", api.GeoAsk{By: "ada", File: strings.Replace(topologyFile, "edge", "edge-neu", 1)}, pair.ErrInvalid, "edge-neu is not defined"},
		{"a unit in two members", "global", api.GeoAsk{By: "ada", File: strings.Replace(topologyFile, "10.0.9.9", "10.0.0.4", 1)}, pair.ErrInvalid, "10.0.0.4"},
		{"no file", "global", api.GeoAsk{By: "ada", File: "hello"}, pair.ErrInvalid, "mapping"},
		{"one that was never applied", "asia", api.GeoAsk{By: "ada"}, pair.ErrNotFound, "not found"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			client, all := geoServer(t)
			_, err := client.ApplyGeo(t.Context(), tt.topology, tt.ask, false)
			if !errors.Is(err, tt.kind) || !strings.Contains(err.Error(), tt.why) || len(all.asked) > 0 {
				t.Errorf("got %v, and %v was asked", err, all.asked)
			}
		})
	}
}
