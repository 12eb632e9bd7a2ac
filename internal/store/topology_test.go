package store

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"tandem/internal/geo"
	"tandem/internal/pair"
)

func topologyRecord(name string, epoch uint64) geo.Record {
	a := func(s string) netip.Addr { return netip.MustParseAddr(s) }
	return geo.Record{
		V: 1, MinReader: 1, Epoch: epoch, Lease: pair.Lease{Owner: "w1", Until: noon.Add(ttl), Generation: 3}, Due: noon.Add(1500 * time.Millisecond),
		Topology: geo.Topology{Name: name, Mode: pair.Recommend, Members: []geo.Member{
			{Name: "edge-weu", Pair: "edge-weu", First: a("10.0.0.4"), Second: a("10.0.0.5"), NAT: geo.NAT{First: a("192.0.2.4"), Second: a("192.0.2.5")}},
			{Name: "sa1", Standalone: a("10.0.9.9"), API: pair.API{Port: 8443, Secret: "sa1-api"}},
		}},
		Earlier: geo.Topology{Name: name, Members: []geo.Member{{Name: "sa2", Standalone: a("10.0.9.10")}}},
		Members: []geo.MemberRecord{{
			Name: "edge-weu", Owes: geo.OwesReboot, Run: name + "-000000000002", Created: []netip.Addr{a("10.0.9.9")},
			Submitted: pair.GEOSubmitted{Unit: pair.Second, BootedAt: noon.Add(-time.Hour), At: noon}, Job: pair.ID("edge-weu", 7, 1), Settled: pair.ID("edge-weu", 5, 1),
		}, {
			Name: "sa1", Owes: geo.OwesSubmit, Failed: "both lists failed 5 times", Tries: 5, Repairs: []time.Time{noon.Add(-time.Minute)},
			Refusal: &pair.Refusal{Until: noon.Add(time.Hour), Rest: pair.Duration(time.Hour)},
		}},
		Run: geo.Run{
			ID: name + "-000000000002", By: "ann", Reason: "ein neuer Standort <größer>", At: noon, State: geo.Waits, Asks: true, Why: "sa1 failed",
			Steps: []geo.RunStep{{At: noon, Member: "edge-weu", What: "begin job"}},
		},
		Alarms: []geo.Alarm{{Kind: geo.AlarmFailed, Member: "sa1", Text: "both lists failed 5 times", Since: noon}},
	}
}

func testTopology(t *testing.T, a account) {
	ctx := t.Context()
	_, err := a.Topology(ctx, "global")
	wantKind(t, err, pair.ErrNotFound)
	_, err = a.Topology(ctx, "../global")
	wantKind(t, err, pair.ErrInvalid)

	one, err := a.PutTopology(ctx, geo.Snapshot{Record: topologyRecord("global", 2)})
	if err != nil {
		t.Fatal(err)
	}
	diff(t, one.Record, topologyRecord("global", 2))
	got, err := a.Topology(ctx, "global")
	if err != nil {
		t.Fatal(err)
	}
	diff(t, got, one)
	_, err = a.PutTopology(ctx, geo.Snapshot{Record: topologyRecord("global", 2)})
	wantKind(t, err, pair.ErrExists)

	next := one
	next.Record.Epoch, next.Record.Due = 3, noon.Add(time.Hour)
	two, err := a.PutTopology(ctx, next)
	if err != nil {
		t.Fatal(err)
	}
	_, err = a.PutTopology(ctx, next) // what was read is not there any more
	wantKind(t, err, pair.ErrConflict)
	older := two
	older.Record.Epoch = 2
	_, err = a.PutTopology(ctx, older)
	wantKind(t, err, pair.ErrStaleEpoch)

	if _, err := a.PutTopology(ctx, geo.Snapshot{Record: topologyRecord("asia", 1)}); err != nil {
		t.Fatal(err)
	}
	due := func(at time.Time, want ...string) {
		t.Helper()
		names, err := a.DueTopologies(ctx, at)
		if err != nil || !slices.Equal(names, want) {
			t.Errorf("due at %v are %v (%v), want %v", at, names, err, want)
		}
	}
	due(noon)
	due(noon.Add(1500*time.Millisecond), "asia")
	due(noon.Add(time.Hour), "asia", "global")
	all, err := a.Topologies(ctx)
	if err != nil || len(all) != 2 || all[1].Version != two.Version {
		t.Errorf("got %d topologies (%v)", len(all), err)
	}
}

func testTopologyTooNew(t *testing.T, a account) {
	ctx := t.Context()
	one, err := a.PutTopology(ctx, geo.Snapshot{Record: topologyRecord("global", 2)})
	if err != nil {
		t.Fatal(err)
	}
	e, err := a.get(ctx, tableGeo, topologies, "global")
	if err != nil {
		t.Fatal(err)
	}
	set := func(name string, value any) {
		t.Helper()
		e.props[name] = value
		if _, err := a.apply(ctx, tableGeo, topologies, op{opReplace, e}); err != nil {
			t.Fatal(err)
		}
		if e, err = a.get(ctx, tableGeo, topologies, "global"); err != nil {
			t.Fatal(err)
		}
	}
	data, _ := e.props[propData].(string)
	set(propData, `{"later":1,`+data[1:])
	one.Version = e.etag
	if _, err = a.PutTopology(ctx, one); err != nil {
		t.Fatal(err)
	}
	if e, err = a.get(ctx, tableGeo, topologies, "global"); err != nil {
		t.Fatal(err)
	}
	if text, _ := e.props[propData].(string); !slices.Contains([]string{text[len(text)-len(`"later":1}`):]}, `"later":1}`) {
		t.Errorf("what a newer release added is gone: %s", text)
	}
	set(propMinReader, 9)
	got, err := a.Topology(ctx, "global")
	wantKind(t, err, pair.ErrTooNew)
	if got.Version != "" || got.Record.Epoch != 2 {
		t.Errorf("got version %q and epoch %d", got.Version, got.Record.Epoch)
	}
	_, err = a.PutTopology(ctx, geo.Snapshot{Record: one.Record, Version: e.etag})
	wantKind(t, err, pair.ErrTooNew)
	if all, err := a.Topologies(ctx); err != nil || len(all) > 0 {
		t.Errorf("got %d topologies (%v), want none that can be read", len(all), err)
	}
}
