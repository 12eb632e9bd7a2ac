package store

import (
	"bytes"
	"encoding/json"
	"flag"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tandem/internal/geo"
	"tandem/internal/pair"
)

// update writes the golden rows of the release that is being made. Those of a
// release that is out are never changed.
var update = flag.Bool("update", false, "write testdata/release-1 anew; only before release 1 is out")

const goldenDir = "testdata/release-1"

// goldenDefinition, goldenRecord and so on are what the golden rows hold.
func goldenDefinition() pair.Definition {
	d := definition("edge-weu", 1)
	d.HA = pair.HA{Preferred: pair.PreferFirst, CheckPort: 8444, Failback: pair.FailbackUnit, StandbyForwards: pair.ForwardsNo}
	d.LoadBalancers[0].Frontends = []pair.Frontend{{Name: "vip1", Address: netip.MustParseAddr("10.0.0.100")}}
	d.LoadBalancers[0].Probe = pair.BalanceProbe{Path: "/", Interval: pair.Duration(5 * time.Second), Threshold: 2}
	d.LoadBalancers[0].Rules = []pair.Rule{{Name: "https", Frontend: "vip1", Port: 443, From: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}}}
	d.Checks = []pair.Check{{Name: "shop", Port: 443, Path: "/healthz", Expect: 200}}
	d.Failover = pair.Failover{SuspectAfter: 2, ConfirmAfter: 3, RecoverAfter: 5, HoldDown: pair.Duration(10 * time.Minute), MaxMovesPerHour: 2, Fence: pair.Ask, Start: pair.Ask, Restart: pair.Never}
	return d
}

func goldenRecord(d pair.Definition) pair.Record {
	return pair.Record{
		V: 1, MinReader: 1, Epoch: 2,
		Lease:     pair.Lease{Owner: "w1", Until: noon.Add(ttl), Generation: 1},
		Situation: pair.BothActive, Since: noon.Add(-125 * time.Millisecond),
		Suspicion:  pair.Suspicion{Situation: pair.Healthy, Since: noon, Count: 1, CountedAt: noon},
		LastActive: pair.First,
		Units: [2]pair.UnitRecord{
			{Platform: pair.Evidence{Kind: pair.EvidenceStarted, VM: d.VMID(pair.First), At: noon, ByPerson: true, Detail: "restart", EventID: "e1"}, StartedAt: noon},
			{},
		},
		Admin: []pair.AdminHold{{
			LoadBalancer: "ilb-edge", Pool: "loadmasters", Unit: pair.Second, State: pair.AdminDown, Epoch: 2, Owner: "tandem",
			Reason: "both answer 200", Since: noon, Deadline: noon.Add(time.Minute),
		}},
		Moves: []time.Time{noon.Add(-time.Minute)},
		Plan: &pair.Plan{
			Hash: "abc", Decision: pair.ID("edge-weu", 2, 0), Row: "both active", Intents: []pair.Intent{goldenIntent()},
			Reason: "both answer 200", At: noon,
		},
		Settings: &pair.SettingsRecord{
			Base: "base-0123456789ab", Comparison: "comparison-0123456789ab", Marks: [2]time.Time{noon, noon.Add(time.Second)}, ComparedAt: noon,
			Found: pair.SettingsFound{ToFirst: 1, Conflicts: 2}, Since: noon.Add(-time.Hour), Settles: noon, Standby: [2]pair.StandbyWrites{pair.StandbyUntried, pair.StandbyForgets},
			Chosen: []pair.SettingsChoice{{ID: "0123456789ab", Unit: pair.Second, By: "ann", At: noon}},
			Work:   &pair.SettingsWork{Job: pair.ID("edge-weu", 2, 1), Plan: "comparison-0123456789ab", At: noon, Active: pair.First, Total: [2]int{3, 0}, Next: [2]int{1, 0}},
			Past:   []pair.SettingsPast{{Comparison: "comparison-ba9876543210", At: noon}},
		},
		Pause: &pair.Pause{Owner: "ann", Reason: "größere Arbeiten <1h>", Until: noon.Add(time.Hour)},
	}
}

func goldenIntent() pair.Intent {
	return pair.Intent{
		V: 1, MinReader: 1, ID: pair.ID("edge-weu", 2, 1), Epoch: 2, Kind: pair.IntentFence, State: pair.IntentBegun,
		LoadBalancer: "ilb-edge", Pool: "loadmasters", Unit: pair.Second, Want: pair.AdminDown, Deadline: noon.Add(time.Minute),
		Reason: "both answer 200", Token: "resume", Attempts: 1, BegunAt: noon, LastErr: "throttled",
	}
}

func goldenPosts() []pair.Post {
	journal := entry("edge-weu", 2, 2, `{"row":"both active"}`)
	journal.V, journal.MinReader = 1, 1
	return []pair.Post{journal, {
		V: 1, MinReader: 1, ID: pair.ID("edge-weu", 2, 3), Kind: pair.PostMessage, At: noon, Type: "wake", Queue: pair.QueuePairs,
		Delay: pair.Duration(30 * time.Second), Body: json.RawMessage(`{"v":1,"kind":"wake","pairs":["edge-weu"]}`),
	}}
}

func goldenStop() *pair.Pause {
	return &pair.Pause{Owner: "ann", Reason: "maintenance of the region", Until: noon.Add(2 * time.Hour)}
}

// writeGolden makes every kind of row and returns the account.
func writeGolden(t *testing.T) (*Embedded, *Store) {
	e := NewEmbedded(EmbeddedOptions{Now: func() time.Time { return noon }})
	s := e.Store(HandleOptions{})
	d := goldenDefinition()
	snap := acquire(t, s, define(t, s, d), "w1", noon)
	commit(t, s, snap, pair.Change{Record: goldenRecord(d), PutIntents: []pair.Intent{goldenIntent()}, Outbox: goldenPosts()})
	if err := s.AppendJournal(t.Context(), "edge-weu", goldenPosts()[0]); err != nil {
		t.Fatal(err)
	}
	if err := s.SetDue(t.Context(), "edge-weu", noon.Add(1500*time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Once(t.Context(), "api", "POST /pairs/1"); err != nil {
		t.Fatal(err)
	}
	if err := s.SetStop(t.Context(), goldenStop(), word("ann", 0)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.PutTopology(t.Context(), geo.Snapshot{Record: topologyRecord("global", 2)}); err != nil {
		t.Fatal(err)
	}
	define(t, s, definition("gone", 8))
	if err := s.Delete(t.Context(), "gone"); err != nil {
		t.Fatal(err)
	}
	if err := s.PutDocument(t.Context(), "edge-weu", "base-0123456789ab", []byte(`{"classes":{}}`)); err != nil {
		t.Fatal(err)
	}
	writeGoldenBrakes(t, s)
	return e, s
}

// goldenWriter is the writer of the golden rows.
func goldenWriter() pair.Writer {
	return pair.Writer{
		Resource: goldenDefinition().LoadBalancerID("ilb-edge"), Owner: "w1/7", Pair: "edge-weu", Rank: pair.RankFence, Until: noon.Add(ttl), Generation: 2,
	}
}

// writeGoldenBrakes makes every kind of row of the brakes: a load balancer with
// a writer, and a security group that was let go; a budget of which both kinds
// were taken; two slots.
func writeGoldenBrakes(t *testing.T, s *Store) {
	t.Helper()
	ctx := t.Context()
	w := goldenWriter()
	for _, as := range []pair.Writer{{Owner: "w2/1", Pair: "edge-neu", Rank: pair.RankRepair}, {Owner: w.Owner, Pair: w.Pair, Rank: w.Rank}} {
		got, err := s.AcquireWriter(ctx, w.Resource, as, noon, ttl)
		if err != nil {
			t.Fatal(err)
		}
		if as.Rank == w.Rank {
			diff(t, got, w)
		}
	}
	free, err := s.AcquireWriter(ctx, resources(goldenDefinition())[1], pair.Writer{Owner: w.Owner, Pair: w.Pair, Rank: pair.RankRepair}, noon, ttl)
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		s.ReleaseWriter(ctx, free),
		s.Reserve(ctx, subscription, 100, 40, noon),
		s.TakeSlot(ctx, "edge-weu", 2, noon, ttl), s.TakeSlot(ctx, "edge-neu", 2, noon, 2*ttl),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// readGoldenBrakes reads what writeGoldenBrakes made.
func readGoldenBrakes(t *testing.T, s *Store) {
	t.Helper()
	ctx := t.Context()
	w := goldenWriter()
	_, stands, err := s.writer(ctx, w.Resource)
	if err != nil {
		t.Fatal(err)
	}
	diff(t, stands, keeping[pair.Writer]{Value: w})
	if err := s.HoldsWriter(ctx, w, noon); err != nil {
		t.Error(err)
	}
	next, err := s.AcquireWriter(ctx, resources(goldenDefinition())[1], pair.Writer{Owner: "w3/1", Pair: "edge-neu", Rank: pair.RankRepair}, noon, ttl)
	if err != nil || next.Generation != 2 {
		t.Errorf("got generation %d (%v) of what was let go, want 2", next.Generation, err)
	}
	refused(t, s, 26, 0, noon)
	refused(t, s, 0, 61, noon)
	reserve(t, s, 25, 60, noon)
	err = s.TakeSlot(ctx, "edge-sea", 2, noon, ttl)
	wantKind(t, err, pair.ErrBusy)
	diff(t, pair.RetryAfter(err, 0), ttl+LeaseSkew)
}

// goldenRows returns all rows of an account as they are kept in testdata, by
// file name.
func goldenRows(t *testing.T, e *Embedded) map[string][]byte {
	t.Helper()
	rows := map[string][]byte{}
	for table, parts := range e.tables {
		for part, s := range parts {
			for key, row := range s.rows {
				b, err := json.Marshal(row)
				if err != nil {
					t.Fatal(err)
				}
				var text bytes.Buffer
				if err := json.Indent(&text, append(b, '\n'), "", "  "); err != nil {
					t.Fatal(err)
				}
				name := strings.NewReplacer(":", "+", "=", "%").Replace(table + "." + part + "." + key + ".json")
				rows[name] = text.Bytes()
			}
		}
	}
	return rows
}

func TestThisReleaseWritesItsGoldenRows(t *testing.T) {
	e, _ := writeGolden(t)
	rows := goldenRows(t, e)
	if *update {
		if err := os.RemoveAll(goldenDir); err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(goldenDir, 0o755); err != nil {
			t.Fatal(err)
		}
		for name, b := range rows {
			if err := os.WriteFile(filepath.Join(goldenDir, name), b, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	files, err := filepath.Glob(filepath.Join(goldenDir, "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range files {
		names = append(names, filepath.Base(f))
	}
	diff(t, slices.Sorted(maps.Keys(rows)), names)
	for name, b := range rows {
		want, err := os.ReadFile(filepath.Join(goldenDir, name))
		if err != nil {
			t.Fatal(err)
		}
		diff(t, string(b), string(want))
	}
}

func TestTheGoldenRowsOfRelease1AreRead(t *testing.T) {
	e := NewEmbedded(EmbeddedOptions{Now: func() time.Time { return noon }})
	s := e.Store(HandleOptions{})
	files, err := filepath.Glob(filepath.Join(goldenDir, "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files (%v)", len(files), err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		var props map[string]any
		if err := json.Unmarshal(b, &props); err != nil {
			t.Fatal(err)
		}
		props["odata.etag"] = "any"
		if b, err = json.Marshal(props); err != nil {
			t.Fatal(err)
		}
		row, err := readEntity(b)
		if err != nil {
			t.Fatal(err)
		}
		row.etag = ""
		table, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(f), tablePrefix), ".")
		if _, err := s.apply(t.Context(), table, row.partition, op{opInsert, row}); err != nil {
			t.Fatal(err)
		}
	}
	ctx := t.Context()
	d := goldenDefinition()
	snap := load(t, s, "edge-weu")
	want := pair.Snapshot{Definition: d, Record: goldenRecord(d), Intents: []pair.Intent{goldenIntent()}, Outbox: goldenPosts(), Version: snap.Version}
	diff(t, snap, want)
	journal, err := s.Journal(ctx, "edge-weu", 10, "")
	if err != nil {
		t.Fatal(err)
	}
	p := goldenPosts()[0]
	diff(t, journal, []pair.Entry{{ID: p.ID, Kind: p.Type, At: p.At, Body: p.Body}})
	diff(t, collect(t, s.Due(ctx, noon.Add(1500*time.Millisecond))), []string{"edge-weu"})
	diff(t, collect(t, s.Due(ctx, noon.Add(1499*time.Millisecond))), []string(nil))
	owner, err := s.PairsOfVM(ctx, d.VMID(pair.Second))
	if err != nil {
		t.Fatal(err)
	}
	diff(t, owner, []string{"edge-weu"})
	users, err := s.PairsOfResource(ctx, d.LoadBalancerID("ilb-edge"))
	if err != nil {
		t.Fatal(err)
	}
	diff(t, users, []string{"edge-weu"})
	if first, err := s.Once(ctx, "api", "POST /pairs/1"); err != nil || first {
		t.Errorf("a used key is new (%v)", err)
	}
	stop, err := s.Stop(ctx)
	if err != nil {
		t.Fatal(err)
	}
	diff(t, stop, goldenStop())
	diff(t, said(t, account{Store: s}), []pair.Entry{numbered(word("ann", 0), 1)})
	if got := define(t, s, definition("gone", 8)).Record.Epoch; got != 2 {
		t.Errorf("got epoch %d after the tombstone, want 2", got)
	}
	top, err := s.Topology(ctx, "global")
	if err != nil {
		t.Fatal(err)
	}
	diff(t, top.Record, topologyRecord("global", 2))
	readGoldenBrakes(t, s)
}
