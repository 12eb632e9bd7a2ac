package main

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"tandem/internal/api"
	"tandem/internal/pair"
	"tandem/internal/settings"
)

// papers are the documents of every pair.
type papers map[string][]byte

func (p papers) Document(_ context.Context, _, id string) ([]byte, error) {
	if b, ok := p[id]; ok {
		return b, nil
	}
	return nil, pair.ErrNotFound
}

// differing is an operator whose pair has a message that both units changed and a host
// that only first has.
func differing(t *testing.T) operator {
	t.Helper()
	message := func(text string) []settings.Object {
		return []settings.Object{{Class: settings.Parameters, Fields: []settings.Field{{Name: "motd", Value: text}}}}
	}
	c := settings.Comparison{V: settings.ComparisonVersion, At: night, Policy: settings.Policy{Active: pair.First}}
	c.Base.Classes = map[settings.Class][]settings.Object{settings.Parameters: message("hello")}
	c.First.Put(settings.Parameters, message("of first"))
	c.First.Put(settings.Hosts, []settings.Object{{Class: settings.Hosts, ID: "192.0.2.1", Fields: []settings.Field{{Name: "fqdn", Value: "one"}}}})
	c.Second.Put(settings.Parameters, message("of second"))
	c.Second.Put(settings.Hosts, nil)
	r, _ := c.Compare(nil)
	b, err := json.Marshal(&c)
	if err != nil {
		t.Fatal(err)
	}
	o := newOperator(t, func(opts *api.Options) { opts.Documents = papers{"comparison-1": b} })
	if got := o.run(t, "apply", "-f", examplePair); got.code != exitDone {
		t.Fatalf("got %+v", got)
	}
	has(t, "drift before the first comparison", o.run(t, "drift", "edge-weu").out, "as the pair file says", "never compared")
	o.remember(t, func(rec *pair.Record) {
		rec.Settings = &pair.SettingsRecord{Comparison: "comparison-1", ComparedAt: night, Found: r.Found(), Since: night, Settles: night.Add(4 * time.Minute)}
	})
	return o
}

func TestDriftShowsSettingsThatDiffer(t *testing.T) {
	o := differing(t)
	got := o.run(t, "drift", "edge-weu")
	if got.code != exitFound {
		t.Errorf("%+v", got)
	}
	has(t, "drift", got.out, "1 to carry to second, 1 in conflict", "own sync has its time until 2026-11-22 02:04:00Z", "parameters motd", "of first", "of second", "hello",
		"hosts 192.0.2.1", "fqdn=one", "changed on first: second is to get it", "it waits for you (tandem conflicts)", "nothing is known of")
	has(t, "JSON", o.run(t, "drift", "edge-weu", "-o", "json").out, `"settings"`, `"state": "conflict"`)
}

func TestAConflictIsResolved(t *testing.T) {
	o := differing(t)
	got := o.run(t, "conflicts", "edge-weu", "-o", "json")
	var found api.Settings
	if err := json.Unmarshal([]byte(got.out), &found); err != nil || got.code != exitFound || len(found.Differences) != 1 {
		t.Fatalf("%v: %+v", err, got)
	}
	id := found.Differences[0].ID
	if got := o.run(t, "conflicts", "resolve", "edge-weu", id); got.code != exitBadInput {
		t.Errorf("without a unit: %+v", got)
	}
	got = o.run(t, "conflicts", "resolve", "edge-weu", id, "--take", "second", "--by", "ann")
	if got.code != exitDone {
		t.Errorf("%+v", got)
	}
	has(t, "the answer", got.out, "parameters motd: that of second is right, as ann said")
	got = o.run(t, "conflicts", "edge-weu")
	if got.code != exitDone {
		t.Errorf("when it is resolved: %+v", got)
	}
	has(t, "the conflict", got.out, "ann chose that of second: the next sync takes it")
}

func TestASyncIsShownBefore(t *testing.T) {
	o := differing(t)
	got := o.run(t, "sync", "edge-weu", "--dry-run", "--by", "ann", "--prefer", "second", "--only", "hosts")
	if got.code != exitDone {
		t.Errorf("%+v", got)
	}
	has(t, "the dry run", got.out, "sync of pair edge-weu would be begun", "1 to carry to second", "hosts 192.0.2.1")
	if got := o.run(t, "sync", "edge-weu", "--dry-run", "--by", "ann", "--only", "sheep"); got.code != exitBadInput {
		t.Errorf("a class that is not there: %+v", got)
	}
}
