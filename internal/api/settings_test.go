package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"tandem/internal/api"
	"tandem/internal/job"
	"tandem/internal/job/switchover"
	"tandem/internal/job/sync"
	"tandem/internal/pair"
	"tandem/internal/settings"
)

// shelf are the documents of every pair.
type shelf map[string][]byte

func (s shelf) Document(_ context.Context, _, id string) ([]byte, error) {
	if b, ok := s[id]; ok {
		return b, nil
	}
	return nil, pair.ErrNotFound
}

// conflicting is a comparison in which both units changed the message, the standby lost a
// host, and the active unit got another SNMP community.
func conflicting() (*settings.Comparison, settings.Result) {
	object := func(c settings.Class, id string, fields ...string) settings.Object {
		o := settings.Object{Class: c, ID: id}
		for n := 0; n < len(fields); n += 2 {
			o.Fields = append(o.Fields, settings.Field{Name: fields[n], Value: fields[n+1]})
		}
		return o
	}
	hosts := []settings.Object{object(settings.Hosts, "192.0.2.1", "fqdn", "one")}
	c := &settings.Comparison{V: 1, At: moment, Policy: settings.Policy{Active: pair.First}, Base: settings.Base{Classes: map[settings.Class][]settings.Object{
		settings.Parameters: {object(settings.Parameters, "", "motd", "hello", "snmpcommunity", "open sesame")}, settings.Hosts: hosts,
	}}}
	c.First.Put(settings.Parameters, []settings.Object{object(settings.Parameters, "", "motd", "of first", "snmpcommunity", "shazam")})
	c.First.Put(settings.Hosts, hosts)
	c.Second.Put(settings.Parameters, []settings.Object{object(settings.Parameters, "", "motd", "of second", "snmpcommunity", "open sesame")})
	c.Second.Put(settings.Hosts, nil)
	r, _ := c.Compare(nil)
	return c, r
}

// kept are the documents with that comparison.
func kept(t testing.TB) shelf {
	t.Helper()
	c, _ := conflicting()
	b, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	return shelf{"comparison-1": b}
}

// conflictID is the id of the conflict in it.
func conflictID() string {
	_, r := conflicting()
	return r.Conflicts[0].ID
}

// differing is a pair whose units have that.
func differing(t *testing.T) *served {
	t.Helper()
	_, r := conflicting()
	s := wordsWith(t, api.Options{Jobs: procedures(t), Documents: kept(t), Auth: api.AuthNone}, nil)
	s.remember(func(rec *pair.Record) {
		rec.Settings = &pair.SettingsRecord{
			Comparison: "comparison-1", ComparedAt: moment, Found: r.Found(), Since: moment, Settles: moment.Add(pair.VendorSyncTakes),
		}
	})
	return s
}

func TestSettingsThatDifferAreShown(t *testing.T) {
	s := differing(t)
	got, err := s.client.Settings(t.Context(), "edge")
	if err != nil || len(got.Differences) != 3 || got.Found.Conflicts != 1 || got.Found.Asked != 1 || got.Found.ToSecond != 1 || len(got.Unread) == 0 {
		t.Fatalf("%+v, %v", got, err)
	}
	byField := map[string]api.SettingsDifference{}
	for _, d := range got.Differences {
		byField[d.Class+" "+d.Path+" "+d.Field] = d
	}
	motd := byField["parameters  motd"]
	if motd.State != api.SettingsConflict || motd.Base != "hello" || motd.First != "of first" || motd.Second != "of second" || !motd.WaitsForPerson() || !motd.Since.Equal(moment) {
		t.Errorf("the message: %+v", motd)
	}
	host := byField["hosts 192.0.2.1 "]
	if host.State != api.SettingsAsk || host.By != pair.Second || host.First != "fqdn=one" || host.Second != "" || !strings.Contains(host.Why, "not known to be active") {
		t.Errorf("the host: %+v", host)
	}
	if d := byField["parameters  snmpcommunity"]; d.State != api.SettingsCarry || d.By != pair.First || d.First != "(not shown)" {
		t.Errorf("what opens something: %+v", d)
	}
	if got, err := s.client.PastSettings(t.Context(), "edge"); err != nil || len(got.Past) != 0 {
		t.Errorf("past %+v, %v", got.Past, err)
	}
}

func TestConflictsThatAreOverAreKept(t *testing.T) {
	s := differing(t)
	s.remember(func(rec *pair.Record) {
		rec.Settings = &pair.SettingsRecord{ComparedAt: moment.Add(time.Hour), Past: []pair.SettingsPast{{Comparison: "comparison-1", At: moment}, {Comparison: "gone"}}}
	})
	got, err := s.client.PastSettings(t.Context(), "edge")
	if err != nil || len(got.Past) != 1 || got.Past[0].Second != "of second" || !got.Past[0].At.Equal(moment) || len(got.Differences) != 0 {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestAPersonChooses(t *testing.T) {
	s := differing(t)
	found, err := s.client.Settings(t.Context(), "edge")
	if err != nil {
		t.Fatal(err)
	}
	by := map[string]string{}
	for _, d := range found.Differences {
		by[d.State] = d.ID
	}
	ask := api.ChooseAsk{By: "ann", Reason: "the new one", ID: by[api.SettingsConflict], Unit: pair.Second}
	was := s.record()
	if dry, err := s.client.Choose(t.Context(), "edge", ask, true); err != nil || dry.Change != "stored" || !dry.DryRun {
		t.Errorf("a dry run: %+v, %v", dry, err)
	}
	equal(t, s.record(), was)
	for n, want := range []string{"stored", "unchanged"} {
		got, err := s.client.Choose(t.Context(), "edge", ask, false)
		if err != nil || got.Change != want || got.Difference.Takes != pair.Second {
			t.Fatalf("time %d: %+v, %v", n+1, got, err)
		}
	}
	if got := s.record().Settings; got.Choice(ask.ID) != pair.Second {
		t.Errorf("remembered %+v", got.Chosen)
	}
	if said := s.entry(); said.Word != "choose" || said.By != "ann" || !strings.Contains(said.Setting, "of first on first, of second on second") {
		t.Errorf("journal: %+v", said)
	}
	for name, bad := range map[string]struct {
		ask  api.ChooseAsk
		kind error
	}{
		"what only one unit changed":     {api.ChooseAsk{By: "ann", ID: by[api.SettingsCarry], Unit: pair.Second}, pair.ErrConflict},
		"what is not there":              {api.ChooseAsk{By: "ann", ID: "0123456789ab", Unit: pair.Second}, pair.ErrNotFound},
		"a difference without a unit":    {api.ChooseAsk{By: "ann", ID: by[api.SettingsAsk]}, pair.ErrInvalid},
		"a unit without a difference":    {api.ChooseAsk{By: "ann", Unit: pair.First}, pair.ErrInvalid},
		"who does not say who he is not": {api.ChooseAsk{ID: by[api.SettingsAsk], Unit: pair.First}, pair.ErrInvalid},
	} {
		if _, err := s.client.Choose(t.Context(), "edge", bad.ask, false); !errors.Is(err, bad.kind) {
			t.Errorf("%s: %v, want %v", name, err, bad.kind)
		}
	}
}

func TestASyncTakesOnlyWordsThatItKnows(t *testing.T) {
	for name, tt := range map[string]struct {
		kind string
		sync *pair.JobSync
		bad  string
	}{
		"a unit and classes":               {"sync", &pair.JobSync{Prefer: "second", Only: []string{"content-rules", "virtual-services"}}, ""},
		"another preference":               {"sync", &pair.JobSync{Prefer: "nobody"}, "sync.prefer"},
		"a class that is not there":        {"sync", &pair.JobSync{Only: []string{"sheep"}}, "sync.only"},
		"a class that stays on its unit":   {"sync", &pair.JobSync{Only: []string{"interfaces"}}, "sync.only"},
		"another job carries nothing over": {"switchover", &pair.JobSync{}, "expected none"},
	} {
		syncs, err := job.NewRegistry(sync.Procedure(), switchover.Procedure())
		if err != nil {
			t.Fatal(err)
		}
		s := wordsWith(t, api.Options{Jobs: syncs, Auth: api.AuthNone}, nil)
		got, err := s.client.StartJob(t.Context(), "edge", api.JobStart{Kind: tt.kind, By: "ann", Sync: tt.sync}, "", true)
		if tt.bad == "" && (err != nil || got.Job.Sync == nil || got.Job.Sync.Prefer != "second") || tt.bad != "" && (!errors.Is(err, pair.ErrInvalid) || !strings.Contains(err.Error(), tt.bad)) {
			t.Errorf("%s: %+v, %v", name, got.Job.Sync, err)
		}
	}
}
