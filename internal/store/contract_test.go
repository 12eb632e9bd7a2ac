package store

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"tandem/internal/pair"
)

// account is a storage account under test.
type account struct {
	*Store
	// take returns the texts of the visible messages of a queue, and leaves
	// them invisible.
	take func(t *testing.T, queue string) []string
	// wait lets time pass for the account's messages.
	wait func(time.Duration)
}

// noon is the time of most tests; leases are given their time by the caller.
var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

const ttl = 30 * time.Second

func definition(name string, n int) pair.Definition {
	return pair.Definition{
		Name:  name,
		Mode:  pair.Auto,
		Azure: pair.Scope{Subscription: "00000000-0000-0000-0000-000000000001", ResourceGroup: "RG-edge", Location: "westeurope"},
		Units: pair.Units{
			First:  pair.Unit{VM: fmt.Sprintf("LM%d", n), Address: netip.MustParseAddr("10.0.0.4"), API: pair.API{Secret: "lm-api"}},
			Second: pair.Unit{VM: fmt.Sprintf("lm%d", n+1), Address: netip.MustParseAddr("10.0.0.5"), API: pair.API{Secret: "lm-api"}},
		},
		LoadBalancers: []pair.LoadBalancer{{Name: "ilb-edge", Pools: []string{"loadmasters"}}},
		SecurityGroup: pair.SecurityGroup{Name: "nsg-edge"},
		Failover:      pair.Failover{HoldDown: pair.Duration(10 * time.Minute)},
	}
}

func define(t *testing.T, s *Store, d pair.Definition) pair.Snapshot {
	t.Helper()
	snap, err := s.Define(t.Context(), d, nil)
	if err != nil {
		t.Fatal(err)
	}
	return snap
}

func acquire(t *testing.T, s *Store, snap pair.Snapshot, owner string, now time.Time) pair.Snapshot {
	t.Helper()
	snap, err := s.AcquireLease(t.Context(), snap, owner, now, ttl)
	if err != nil {
		t.Fatal(err)
	}
	return snap
}

func load(t *testing.T, s *Store, name string) pair.Snapshot {
	t.Helper()
	snap, err := s.Load(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return snap
}

func commit(t *testing.T, s *Store, snap pair.Snapshot, ch pair.Change) pair.Snapshot {
	t.Helper()
	snap, err := s.Commit(t.Context(), snap, ch)
	if err != nil {
		t.Fatal(err)
	}
	return snap
}

// decided returns a change as a decision makes it: a new epoch, one intent and
// one post.
func decided(snap pair.Snapshot) pair.Change {
	name := snap.Definition.Name
	rec := snap.Record
	rec.Epoch++
	rec.Situation, rec.Since = pair.BothActive, noon
	return pair.Change{
		Record: rec,
		PutIntents: []pair.Intent{{
			ID: pair.ID(name, rec.Epoch, 1), Epoch: rec.Epoch, Kind: pair.IntentFence, LoadBalancer: "ilb-edge",
			Pool: "loadmasters", Unit: pair.Second, Want: pair.AdminDown, Deadline: noon.Add(time.Minute), Reason: "both answer 200",
		}},
		Outbox: []pair.Post{entry(name, rec.Epoch, 2, `{"row":"both active"}`)},
	}
}

func entry(name string, epoch uint64, seq int, body string) pair.Post {
	return pair.Post{ID: pair.ID(name, epoch, seq), Kind: pair.PostJournal, At: noon, Type: "decided", Body: json.RawMessage(body)}
}

func entries(name string, epoch uint64, from, to int) []pair.Post {
	var posts []pair.Post
	for seq := from; seq <= to; seq++ {
		posts = append(posts, entry(name, epoch, seq, "{}"))
	}
	return posts
}

func wantKind(t *testing.T, err, kind error) {
	t.Helper()
	if !errors.Is(err, kind) {
		t.Errorf("got the error %v, want %v", err, kind)
	}
}

func diff(t *testing.T, got, want any) {
	t.Helper()
	opts := gocmp.Options{
		cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{}),
		gocmp.Comparer(func(a, b json.RawMessage) bool { return bytes.Equal(a, b) }), // long ones take seconds otherwise
	}
	if d := gocmp.Diff(want, got, opts); d != "" {
		t.Errorf("got something else (-want +got):\n%s", d)
	}
}

func collect(t *testing.T, names func(yield func(string, error) bool)) []string {
	t.Helper()
	var all []string
	for name, err := range names {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, name)
	}
	return all
}

// testContract is what both backends must do alike.
func testContract(t *testing.T, open func(t *testing.T) account) {
	tests := []struct {
		name string
		run  func(t *testing.T, a account)
	}{
		{"a pair is loaded as it was defined, and is due at once", testDefined},
		{"defining the same again changes nothing", testDefinedAgain},
		{"a changed definition takes a new epoch and moves its claims", testRedefined},
		{"a unit belongs to one pair, which the refusal names", testClaims},
		{"a claim without a pair can be taken over after a while", testClaimLeftBehind},
		{"several pairs may share a load balancer", testShared},
		{"what is not there is not found, and what cannot be a name is invalid", testMissing},
		{"a deleted pair leaves its epoch behind and nothing in the index", testDeleted},
		{"a pair that leaves anything standing is not deleted", testNotDeleted},
		{"everything is stopped for all workers until somebody lets it go", testStop},
		{"a stop of a newer release is obeyed and not touched", testStopTooNew},
		{"who stopped everything and let it go is kept, the newest first and not for ever", testSaid},
		{"of ten who stop everything at once none is forgotten", testSaidRace},
		{"a lease is held by one owner at a time", testLease},
		{"of thirty workers racing for a lease one wins", testLeaseRace},
		{"a worker that lost its lease can do nothing more", testTwoWorkers},
		{"a lease is renewed by its holder only, and not after its end", testRenew},
		{"a lease is released also beside another change", testRelease},
		{"an older epoch is refused", testStaleEpoch},
		{"a commit is stored as a whole and loaded as it was returned", testCommit},
		{"a commit on an old version stores nothing", testCommitConflict},
		{"a commit cannot touch the lease or the units", testCommitLimits},
		{"a hundred rows fit into one commit, and one more does not", testHundred},
		{"long texts are split, and too long ones refused by name", testOversize},
		{"any text survives, also as part of a key", testUnicode},
		{"posts are delivered once or more often", testOutbox},
		{"more than a page of posts is loaded as one", testManyPosts},
		{"the journal is read newest first, in pages", testJournal},
		{"more than a thousand pairs are listed in pages", testManyPairs},
		{"the due time is set, and entered where it is missing", testDue},
		{"an idempotency key is new once", testOnce},
		{"the index is rebuilt from the definitions", testReindex},
		{"what a newer release added survives a rewrite", testUnknownProperties},
		{"what needs a newer reader is shown and not touched", testTooNew},
		{"a resource has one writer, which a fence takes it from and an equal one waits for", testWriter},
		{"a writer that dies is followed after its time", testWriterDies},
		{"what cannot be a writer is refused", testWriterRefused},
		{"of thirty pairs that want to write at once one does", testWriterRace},
		{"a budget is one for all processes, and for each subscription", testBudget},
		{"a rest that one process was asked for is kept by all", testRest},
		{"what was spent without asking is told", testSpend},
		{"at most so many pairs have a slot, and a dead one's is free after its time", testSlots},
		{"of thirty pairs that want a slot at once as many have one as there are", testSlotsRace},
		{"what a newer release added to a brake survives", testBrakesKeep},
		{"a brake that needs a newer reader is not touched", testBrakesTooNew},
		{"rebuilding the index leaves the brakes alone", testBrakesStay},
		{"a document is kept as it is, whatever its size, and deleted with all its parts", testDocuments},
		{"half a document is nobody's, is found again, and can be completed", testDocumentHalf},
		{"what cannot be a document is refused and leaves nothing", testDocumentRefused},
		{"a topology is kept as it was stored, found when it is due, and replaced only by who has read it", testTopology},
		{"a topology of a newer release is shown and not touched", testTopologyTooNew},
		{"a delayed message becomes visible after its delay", testMessages},
		{"a message of more than 48 KiB is refused", testLargeMessage},
		{"a context that has ended stores nothing", testEnded},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { tt.run(t, open(t)) })
	}
}

func testDefined(t *testing.T, a account) {
	d := definition("edge-weu", 1)
	snap := define(t, a.Store, d)
	if snap.Version == "" {
		t.Error("the snapshot has no version")
	}
	want := pair.Snapshot{Definition: d, Record: pair.Record{V: 1, MinReader: 1, Epoch: 1}, Version: snap.Version}
	diff(t, snap, want)
	diff(t, load(t, a.Store, "edge-weu"), want)
	diff(t, collect(t, a.Due(t.Context(), noon)), []string{"edge-weu"})
	for _, id := range []pair.ResourceID{d.VMID(pair.First), d.VMID(pair.Second), pair.ResourceID(strings.ToUpper(string(d.VMID(pair.First))))} {
		names, err := a.PairsOfVM(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		diff(t, names, []string{"edge-weu"})
	}
}

func testDefinedAgain(t *testing.T, a account) {
	d := definition("edge-weu", 1)
	first := define(t, a.Store, d)
	again, err := a.Define(t.Context(), d, func(uint64) []pair.Post {
		t.Error("posts were asked for although nothing changed")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	diff(t, again, first)
}

func testRedefined(t *testing.T, a account) {
	was := definition("edge-weu", 1)
	before := acquire(t, a.Store, define(t, a.Store, was), "w1", noon)
	d := definition("edge-weu", 2) // lm2 stays, as the first unit
	d.LoadBalancers[0].Name = "ilb-new"
	var epochs []uint64
	snap, err := a.Define(t.Context(), d, func(epoch uint64) []pair.Post {
		epochs = append(epochs, epoch)
		return []pair.Post{entry("edge-weu", epoch, 1, `{"applied":true}`)}
	})
	if err != nil {
		t.Fatal(err)
	}
	diff(t, epochs, []uint64{2})
	diff(t, snap.Definition, d)
	if len(snap.Outbox) != 1 || snap.Outbox[0].ID != pair.ID("edge-weu", 2, 1) {
		t.Errorf("got the outbox %+v, want the post of epoch 2", snap.Outbox)
	}
	diff(t, snap.Record.Lease, before.Record.Lease)
	for id, want := range map[pair.ResourceID][]string{was.VMID(pair.First): nil, d.VMID(pair.First): {"edge-weu"}, d.VMID(pair.Second): {"edge-weu"}} {
		got, err := a.PairsOfVM(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		diff(t, got, want)
	}
	old, err := a.PairsOfResource(t.Context(), was.LoadBalancerID("ilb-edge"))
	if err != nil || old != nil {
		t.Errorf("the old load balancer leads to %v (%v), want nobody", old, err)
	}
}

func testClaims(t *testing.T, a account) {
	define(t, a.Store, definition("edge-weu", 1))
	_, err := a.Define(t.Context(), definition("other", 2), nil)
	wantKind(t, err, pair.ErrExists)
	if text := fmt.Sprint(err); !strings.Contains(text, "vm lm2 ") || !strings.Contains(text, "pair edge-weu") {
		t.Errorf("got %q, want vm and pair named", text)
	}
	_, err = a.Load(t.Context(), "other")
	wantKind(t, err, pair.ErrNotFound)
	free, err := a.PairsOfVM(t.Context(), definition("other", 2).VMID(pair.Second))
	if err != nil || free != nil {
		t.Errorf("the free unit leads to %v (%v), want nobody: claims are all or nothing", free, err)
	}
	define(t, a.Store, definition("edge-weu", 7)) // lets go of both
	define(t, a.Store, definition("other", 2))
}

func testClaimLeftBehind(t *testing.T, a account) {
	a.now = func() time.Time { return noon }
	if err := a.enterIndex(t.Context(), definition("crashed", 1)); err != nil {
		t.Fatal(err)
	}
	a.now = func() time.Time { return noon.Add(claimGrace - time.Second) }
	_, err := a.Define(t.Context(), definition("edge-weu", 1), nil)
	wantKind(t, err, pair.ErrExists)
	a.now = func() time.Time { return noon.Add(claimGrace) }
	d := definition("edge-weu", 1)
	define(t, a.Store, d)
	names, err := a.PairsOfVM(t.Context(), d.VMID(pair.First))
	if err != nil {
		t.Fatal(err)
	}
	diff(t, names, []string{"edge-weu"})
	// A claim that its pair lives on is never taken over.
	a.now = func() time.Time { return noon.Add(100 * claimGrace) }
	_, err = a.Define(t.Context(), definition("crashed", 1), nil)
	wantKind(t, err, pair.ErrExists)
}

func testShared(t *testing.T, a account) {
	define(t, a.Store, definition("edge-b", 3))
	d := definition("edge-a", 1)
	define(t, a.Store, d)
	group := strings.Replace(string(d.LoadBalancerID("nsg-edge")), "loadbalancers", "networkSecurityGroups", 1)
	for _, id := range []pair.ResourceID{d.LoadBalancerID("ILB-edge"), pair.ResourceID(group)} {
		names, err := a.PairsOfResource(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		diff(t, names, []string{"edge-a", "edge-b"})
	}
	names, err := a.PairsOfResource(t.Context(), d.LoadBalancerID("ilb-edg"))
	if err != nil || names != nil {
		t.Errorf("a name that is the beginning of another leads to %v (%v), want nobody", names, err)
	}
}

func testMissing(t *testing.T, a account) {
	ctx := t.Context()
	for name, kind := range map[string]error{
		"nobody": pair.ErrNotFound, "": pair.ErrInvalid, "../x": pair.ErrInvalid, "Edge": pair.ErrInvalid, "a--b": pair.ErrInvalid,
		"a-": pair.ErrInvalid, "1a": pair.ErrInvalid, strings.Repeat("a", 41): pair.ErrInvalid,
	} {
		snap := pair.Snapshot{Definition: pair.Definition{Name: name}, Version: `W/"1"`}
		_, err := a.Load(ctx, name)
		wantKind(t, err, kind)
		_, err = a.AcquireLease(ctx, snap, "w1", noon, ttl)
		wantKind(t, err, kind)
		_, err = a.Commit(ctx, snap, pair.Change{})
		wantKind(t, err, kind)
		wantKind(t, a.SetDue(ctx, name, noon), kind)
		wantKind(t, a.Delete(ctx, name), kind)
		if kind == pair.ErrInvalid {
			_, err = a.Define(ctx, definition(name, 1), nil)
			wantKind(t, err, kind)
			wantKind(t, a.Delivered(ctx, name, nil), kind)
			_, err = a.Journal(ctx, name, 1, "")
			wantKind(t, err, kind)
		}
	}
	same := definition("edge-weu", 1)
	same.Units.Second.VM = "lm1"
	_, err := a.Define(ctx, same, nil)
	wantKind(t, err, pair.ErrInvalid)
	journal, err := a.Journal(ctx, "nobody", 10, "")
	if err != nil || journal != nil {
		t.Errorf("got the journal %v (%v), want an empty one", journal, err)
	}
}

func testDeleted(t *testing.T, a account) {
	ctx := t.Context()
	snap := acquire(t, a.Store, define(t, a.Store, definition("edge-weu", 1)), "w1", noon)
	ch := pair.Change{Record: snap.Record}
	ch.Record.Epoch = 41
	snap = commit(t, a.Store, snap, ch)
	for range 2 {
		if err := a.Delete(ctx, "edge-weu"); err != nil {
			t.Fatal(err)
		}
	}
	_, err := a.Load(ctx, "edge-weu")
	wantKind(t, err, pair.ErrNotFound)
	wantKind(t, a.Holds(ctx, snap, "w1", noon), pair.ErrLeaseLost)
	_, err = a.Commit(ctx, snap, ch)
	wantKind(t, err, pair.ErrNotFound)
	wantKind(t, a.SetDue(ctx, "edge-weu", noon), pair.ErrNotFound)
	if names := collect(t, a.Pairs(ctx)); names != nil {
		t.Errorf("got the pairs %v, want none", names)
	}
	define(t, a.Store, definition("heir", 1)) // the units are free

	again := define(t, a.Store, definition("edge-weu", 5))
	if again.Record.Epoch != 42 || again.Record.Lease.Generation != 1 || again.Record.Lease.Owner != "" {
		t.Errorf("got epoch %d and lease %+v, want epoch 42 and generation 1, held by nobody", again.Record.Epoch, again.Record.Lease)
	}
	_, err = a.Commit(ctx, snap, ch)
	wantKind(t, err, pair.ErrStaleEpoch)
}

func testNotDeleted(t *testing.T, a account) {
	for i, ch := range []pair.Change{
		{Record: pair.Record{Epoch: 1, Admin: []pair.AdminHold{{Unit: pair.Second}}}},
		{Record: pair.Record{Epoch: 1}, PutIntents: []pair.Intent{{ID: pair.ID("edge-1", 1, 1), Epoch: 1}}},
		{Record: pair.Record{Epoch: 1}, Outbox: entries("edge-2", 1, 1, 1)},
	} {
		name := fmt.Sprintf("edge-%d", i)
		commit(t, a.Store, define(t, a.Store, definition(name, 10*i)), ch)
		wantKind(t, a.Delete(t.Context(), name), pair.ErrConflict)
		load(t, a.Store, name)
	}
}

func testStop(t *testing.T, a account) {
	ctx := t.Context()
	define(t, a.Store, definition("edge-weu", 1))
	stops := func(want *pair.Pause) {
		t.Helper()
		got, err := a.Stop(ctx)
		if err != nil {
			t.Fatal(err)
		}
		diff(t, got, want)
	}
	set := func(stop *pair.Pause) {
		t.Helper()
		if err := a.SetStop(ctx, stop, word("ann", 0)); err != nil {
			t.Fatal(err)
		}
	}
	stops(nil)
	set(nil) // to let go what nobody stopped is fine
	stops(nil)
	set(&pair.Pause{Owner: "ann", Reason: "größere Arbeiten", Until: noon.Add(time.Hour + time.Microsecond)})
	stops(&pair.Pause{Owner: "ann", Reason: "größere Arbeiten", Until: noon.Add(time.Hour)})
	set(&pair.Pause{Owner: "bob", Reason: "still at it"})
	stops(&pair.Pause{Owner: "bob", Reason: "still at it"})

	if names := collect(t, a.Pairs(ctx)); !slices.Equal(names, []string{"edge-weu"}) {
		t.Errorf("while everything is stopped the pairs are %v, want edge-weu alone", names)
	}
	if added, removed, err := a.Reindex(ctx); added+removed != 0 || err != nil {
		t.Errorf("rebuilding the index adds %d and removes %d rows (%v), want none", added, removed, err)
	}
	_, err := a.Load(ctx, everyPair)
	wantKind(t, err, pair.ErrInvalid) // no pair can have the name
	stops(&pair.Pause{Owner: "bob", Reason: "still at it"})
	set(nil)
	stops(nil)
}

func testStopTooNew(t *testing.T, a account) {
	ctx := t.Context()
	if err := a.SetStop(ctx, &pair.Pause{Owner: "ann", Reason: "a newer way to stop"}, word("ann", 0)); err != nil {
		t.Fatal(err)
	}
	change(t, a.Store, tablePairs, everyPair, keyStop, func(props map[string]any) { props[propMinReader] = pair.Version + 1 })
	stop, err := a.Stop(ctx)
	if err != nil || !stop.In(noon) || stop.Owner != "ann" {
		t.Errorf("got the stop %+v (%v), want ann's", stop, err)
	}
	wantKind(t, a.SetStop(ctx, nil, word("bob", 1)), pair.ErrTooNew)
	if said := said(t, a); len(said) != 1 {
		t.Errorf("%d words are kept, want none of what was refused", len(said))
	}
	if stop, err := a.Stop(ctx); err != nil || stop == nil {
		t.Errorf("got the stop %+v (%v) after the refusal, want ann's", stop, err)
	}
}

func testLease(t *testing.T, a account) {
	ctx := t.Context()
	free := define(t, a.Store, definition("edge-weu", 1))
	first := acquire(t, a.Store, free, "w1", noon)
	if got, want := first.Record.Lease, (pair.Lease{Owner: "w1", Until: noon.Add(ttl), Generation: 1}); got != want {
		t.Errorf("got the lease %+v, want %+v", got, want)
	}
	diff(t, load(t, a.Store, "edge-weu"), first)
	if err := a.Holds(ctx, first, "w1", noon.Add(ttl-time.Millisecond)); err != nil {
		t.Error(err)
	}
	wantKind(t, a.Holds(ctx, first, "w1", noon.Add(ttl)), pair.ErrLeaseLost)
	wantKind(t, a.Holds(ctx, first, "w2", noon), pair.ErrLeaseLost)
	wantKind(t, a.Holds(ctx, free, "w1", noon), pair.ErrLeaseLost)

	_, err := a.AcquireLease(ctx, first, "w2", noon.Add(ttl+LeaseSkew-time.Millisecond), ttl)
	wantKind(t, err, pair.ErrLeaseLost)
	_, err = a.AcquireLease(ctx, free, "w1", noon, ttl)
	wantKind(t, err, pair.ErrConflict)
	again := acquire(t, a.Store, first, "w1", noon.Add(time.Second))
	wantKind(t, a.Holds(ctx, first, "w1", noon.Add(time.Second)), pair.ErrLeaseLost)
	second := acquire(t, a.Store, again, "w2", noon.Add(time.Second+ttl+LeaseSkew))
	if got := second.Record.Lease.Generation; got != 3 {
		t.Errorf("got generation %d, want 3", got)
	}
}

func testLeaseRace(t *testing.T, a account) {
	snap := define(t, a.Store, definition("edge-weu", 1))
	const workers = 30
	won := make([]bool, workers)
	var all sync.WaitGroup
	for i := range workers {
		all.Go(func() {
			_, err := a.AcquireLease(context.Background(), snap, fmt.Sprintf("w%d", i), noon, ttl)
			if won[i] = err == nil; err != nil && !errors.Is(err, pair.ErrLeaseLost) && !errors.Is(err, pair.ErrConflict) {
				t.Errorf("worker %d: %v", i, err)
			}
		})
	}
	all.Wait()
	lease := load(t, a.Store, "edge-weu").Record.Lease
	for i, w := range won {
		if w != (lease.Owner == fmt.Sprintf("w%d", i)) {
			t.Errorf("worker %d: won is %t, but %s holds the lease", i, w, lease.Owner)
		}
	}
	if lease.Generation != 1 {
		t.Errorf("got generation %d, want 1", lease.Generation)
	}
}

func testTwoWorkers(t *testing.T, a account) {
	ctx := t.Context()
	one := acquire(t, a.Store, define(t, a.Store, definition("edge-weu", 1)), "w1", noon)
	later := noon.Add(ttl + LeaseSkew)
	two := acquire(t, a.Store, load(t, a.Store, "edge-weu"), "w2", later)

	wantKind(t, a.Holds(ctx, one, "w1", noon), pair.ErrLeaseLost)
	_, err := a.Commit(ctx, one, decided(one))
	wantKind(t, err, pair.ErrLeaseLost)
	_, err = a.RenewLease(ctx, one, "w1", noon, ttl)
	wantKind(t, err, pair.ErrLeaseLost)
	_, err = a.ReleaseLease(ctx, one, "w1")
	wantKind(t, err, pair.ErrLeaseLost)

	two = commit(t, a.Store, two, decided(two))
	diff(t, load(t, a.Store, "edge-weu"), two)
	two, err = a.ReleaseLease(ctx, two, "w2")
	if err != nil {
		t.Fatal(err)
	}
	_, err = a.Commit(ctx, one, decided(one))
	wantKind(t, err, pair.ErrLeaseLost)
	diff(t, load(t, a.Store, "edge-weu"), two)
}

func testRenew(t *testing.T, a account) {
	ctx := t.Context()
	snap := acquire(t, a.Store, define(t, a.Store, definition("edge-weu", 1)), "w1", noon)
	renewed, err := a.RenewLease(ctx, snap, "w1", noon.Add(20*time.Second), ttl)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := renewed.Record.Lease, (pair.Lease{Owner: "w1", Until: noon.Add(50 * time.Second), Generation: 1}); got != want {
		t.Errorf("got the lease %+v, want %+v", got, want)
	}
	diff(t, load(t, a.Store, "edge-weu"), renewed)
	_, err = a.RenewLease(ctx, snap, "w1", noon, ttl)
	wantKind(t, err, pair.ErrConflict)
	_, err = a.RenewLease(ctx, renewed, "w2", noon, ttl)
	wantKind(t, err, pair.ErrLeaseLost)
	_, err = a.RenewLease(ctx, renewed, "w1", noon.Add(50*time.Second), ttl)
	wantKind(t, err, pair.ErrLeaseLost)
}

func testRelease(t *testing.T, a account) {
	ctx := t.Context()
	snap := acquire(t, a.Store, define(t, a.Store, definition("edge-weu", 1)), "w1", noon)
	person := load(t, a.Store, "edge-weu")
	person.Record.Pause = &pair.Pause{Owner: "ann", Reason: "work", Until: noon.Add(time.Hour)}
	commit(t, a.Store, person, pair.Change{Record: person.Record})
	released, err := a.ReleaseLease(ctx, snap, "w1")
	if err != nil {
		t.Fatal(err)
	}
	if released.Version != "" {
		t.Errorf("got version %q of a snapshot that is partly old, want none", released.Version)
	}
	_, err = a.Commit(ctx, released, pair.Change{Record: released.Record})
	wantKind(t, err, pair.ErrConflict)
	rec := load(t, a.Store, "edge-weu").Record
	diff(t, rec, released.Record)
	if rec.Lease != (pair.Lease{Generation: 1}) || rec.Pause == nil {
		t.Errorf("got lease %+v and pause %+v, want generation 1 alone and the pause", rec.Lease, rec.Pause)
	}
	acquire(t, a.Store, load(t, a.Store, "edge-weu"), "w2", noon)
}

func testStaleEpoch(t *testing.T, a account) {
	ctx := t.Context()
	snap := acquire(t, a.Store, define(t, a.Store, definition("edge-weu", 1)), "w1", noon)
	snap = commit(t, a.Store, snap, decided(snap)) // epoch 2

	lower := pair.Change{Record: snap.Record}
	lower.Record.Epoch = 1
	_, err := a.Commit(ctx, snap, lower)
	wantKind(t, err, pair.ErrStaleEpoch)

	for epoch, kind := range map[uint64]error{1: pair.ErrStaleEpoch, 3: pair.ErrInvalid} {
		ch := pair.Change{Record: snap.Record, PutIntents: []pair.Intent{{ID: pair.ID("edge-weu", epoch, 7), Epoch: epoch}}}
		_, err = a.Commit(ctx, snap, ch)
		wantKind(t, err, kind)
	}
	newer := definition("edge-weu", 1)
	newer.Mode = pair.Observe
	define(t, a.Store, newer) // epoch 3, the lease untouched
	wantKind(t, a.Holds(ctx, snap, "w1", noon), pair.ErrStaleEpoch)
	_, err = a.Commit(ctx, snap, decided(snap))
	wantKind(t, err, pair.ErrStaleEpoch)
	_, err = a.RenewLease(ctx, snap, "w1", noon, ttl)
	wantKind(t, err, pair.ErrStaleEpoch)
}

func testCommit(t *testing.T, a account) {
	snap := acquire(t, a.Store, define(t, a.Store, definition("edge-weu", 1)), "w1", noon)
	local := noon.In(time.FixedZone("CET", 3600)).Add(123456 * time.Nanosecond)
	ch := decided(snap)
	ch.Record.Moves = []time.Time{local}
	ch.Record.Pause = &pair.Pause{Until: local}
	ch.PutIntents[0].BegunAt = local
	ch.Outbox = append(ch.Outbox, pair.Post{
		ID: pair.ID("edge-weu", 2, 3), Kind: pair.PostMessage, At: local, Type: "wake", Queue: pair.QueuePairs,
		Delay: pair.Duration(30 * time.Second), Body: json.RawMessage(`{"v":1}`),
	})
	snap = commit(t, a.Store, snap, ch)
	diff(t, load(t, a.Store, "edge-weu"), snap)
	if !ch.Record.Moves[0].Equal(local) || !ch.Record.Pause.Until.Equal(local) {
		t.Error("the caller's own values were changed")
	}
	if got := snap.Record.Moves[0]; !got.Equal(noon) || got.Location() != time.UTC {
		t.Errorf("got the time %v, want %v in UTC", got, noon)
	}
	if len(snap.Intents) != 1 || len(snap.Outbox) != 2 || snap.Record.Epoch != 2 {
		t.Fatalf("got epoch %d, %d intents, %d posts; want 2, 1, 2", snap.Record.Epoch, len(snap.Intents), len(snap.Outbox))
	}

	begun := snap.Intents[0]
	begun.State, begun.Token = pair.IntentBegun, "resume"
	another := pair.Intent{ID: pair.ID("edge-weu", 2, 0), Epoch: 2, Kind: pair.IntentRelease}
	mode := snap.Definition
	mode.Mode = pair.Recommend
	snap = commit(t, a.Store, snap, pair.Change{
		Record: snap.Record, PutIntents: []pair.Intent{begun, another}, Definition: &mode, Outbox: snap.Outbox[:1],
	})
	diff(t, load(t, a.Store, "edge-weu"), snap)
	diff(t, []string{snap.Intents[0].ID, snap.Intents[1].ID, snap.Intents[1].Token}, []string{another.ID, begun.ID, "resume"})
	if snap.Definition.Mode != pair.Recommend || len(snap.Outbox) != 2 {
		t.Errorf("got mode %s and %d posts, want recommend and 2", snap.Definition.Mode, len(snap.Outbox))
	}

	snap = commit(t, a.Store, snap, pair.Change{Record: snap.Record, DelIntents: []string{begun.ID, "gone"}})
	diff(t, load(t, a.Store, "edge-weu"), snap)
	if len(snap.Intents) != 1 {
		t.Errorf("got %d intents, want 1", len(snap.Intents))
	}
}

func testCommitConflict(t *testing.T, a account) {
	old := define(t, a.Store, definition("edge-weu", 1))
	now := commit(t, a.Store, old, pair.Change{Record: old.Record})
	_, err := a.Commit(t.Context(), old, decided(old))
	wantKind(t, err, pair.ErrConflict)
	diff(t, load(t, a.Store, "edge-weu"), now)
}

func testCommitLimits(t *testing.T, a account) {
	ctx := t.Context()
	snap := acquire(t, a.Store, define(t, a.Store, definition("edge-weu", 1)), "w1", noon)
	lease := snap.Record.Lease
	ch := pair.Change{Record: snap.Record}
	ch.Record.Lease = pair.Lease{Owner: "thief", Generation: 9}
	snap = commit(t, a.Store, snap, ch)
	diff(t, snap.Record.Lease, lease)

	moved := definition("edge-weu", 4)
	id, foreign := pair.ID("edge-weu", 1, 1), pair.ID("other", 1, 1)
	for name, ch := range map[string]pair.Change{
		"other units":          {Definition: &moved},
		"an intent of another": {PutIntents: []pair.Intent{{ID: foreign, Epoch: 1}}},
		"an odd id":            {PutIntents: []pair.Intent{{ID: "edge-weu-1/2", Epoch: 1}}},
		"one intent twice":     {PutIntents: []pair.Intent{{ID: id, Epoch: 1}, {ID: id, Epoch: 1}}},
		"one post twice":       {Outbox: append(entries("edge-weu", 1, 1, 1), entries("edge-weu", 1, 1, 1)...)},
		"a post of another":    {Outbox: entries("other", 1, 1, 1)},
		"a post to nowhere":    {Outbox: []pair.Post{{ID: id, Body: json.RawMessage("{}")}}},
		"a post without body":  {Outbox: []pair.Post{{ID: id, Kind: pair.PostEvent}}},
		"a broken body":        {Outbox: []pair.Post{{ID: id, Kind: pair.PostEvent, Body: json.RawMessage("{")}}},
	} {
		ch.Record = snap.Record
		if _, err := a.Commit(ctx, snap, ch); !errors.Is(err, pair.ErrInvalid) {
			t.Errorf("%s: got the error %v, want %v", name, err, pair.ErrInvalid)
		}
	}
	diff(t, load(t, a.Store, "edge-weu"), snap)
}

func testHundred(t *testing.T, a account) {
	snap := define(t, a.Store, definition("edge-weu", 1))
	_, err := a.Commit(t.Context(), snap, pair.Change{Record: snap.Record, Outbox: entries("edge-weu", 1, 1, 100)})
	wantKind(t, err, pair.ErrTooLarge)
	diff(t, load(t, a.Store, "edge-weu"), snap)
	snap = commit(t, a.Store, snap, pair.Change{Record: snap.Record, Outbox: entries("edge-weu", 1, 1, 99)})
	if got := load(t, a.Store, "edge-weu"); len(got.Outbox) != 99 || got.Version != snap.Version {
		t.Errorf("got %d posts, want 99", len(got.Outbox))
	}
}

func testOversize(t *testing.T, a account) {
	ctx := t.Context()
	snap := define(t, a.Store, definition("edge-weu", 1))
	snap.Record.Plan = &pair.Plan{Reason: strings.Repeat("x", maxText+1000) + strings.Repeat("😀é", maxText)}
	snap = commit(t, a.Store, snap, pair.Change{Record: snap.Record})
	diff(t, load(t, a.Store, "edge-weu"), snap)
	snap.Record.Plan = nil
	snap = commit(t, a.Store, snap, pair.Change{Record: snap.Record})
	diff(t, load(t, a.Store, "edge-weu"), snap)

	long := `"` + strings.Repeat("x", 600_000) + `"`
	for row, ch := range map[string]pair.Change{
		"record":                      {Record: pair.Record{Epoch: 1, Plan: &pair.Plan{Reason: long}}},
		"intent-edge-weu-00000000000": {Record: snap.Record, PutIntents: []pair.Intent{{ID: pair.ID("edge-weu", 1, 1), Epoch: 1, Reason: long}}},
		"outbox-edge-weu-00000000000": {Record: snap.Record, Outbox: []pair.Post{entry("edge-weu", 1, 1, long)}},
	} {
		_, err := a.Commit(ctx, snap, ch)
		wantKind(t, err, pair.ErrTooLarge)
		if err != nil && !strings.Contains(err.Error(), row) {
			t.Errorf("got %q, want %s named", err, row)
		}
	}
	d := definition("big", 5)
	d.Checks = []pair.Check{{Name: long}}
	_, err := a.Define(ctx, d, nil)
	wantKind(t, err, pair.ErrTooLarge)

	many := pair.Change{Record: snap.Record}
	for seq := range 12 { // each fits, together they are more than 4 MiB
		many.Outbox = append(many.Outbox, entry("edge-weu", 1, seq, `"`+strings.Repeat("x", 400_000)+`"`))
	}
	_, err = a.Commit(ctx, snap, many)
	wantKind(t, err, pair.ErrTooLarge)
	diff(t, load(t, a.Store, "edge-weu"), snap)
}

func testUnicode(t *testing.T, a account) {
	ctx := t.Context()
	texts := []string{"plain", "日本語", "😀", "a/b\\c#d?e", "100%", "o'neil", "\x00\t\n\x7f\u0085", "<&>\u2028", "\xff\xfe", "=2f", "UPPER"}
	d := definition("edge-weu", 1)
	d.Azure.ResourceGroup = "größe (日本).x_y'"
	snap := define(t, a.Store, d)
	names, err := a.PairsOfVM(ctx, d.VMID(pair.Second))
	if err != nil {
		t.Fatal(err)
	}
	diff(t, names, []string{"edge-weu"})
	snap.Record.Pause = &pair.Pause{Reason: strings.ToValidUTF8(strings.Join(texts, "|"), "")}
	snap = commit(t, a.Store, snap, pair.Change{Record: snap.Record})
	diff(t, load(t, a.Store, "edge-weu"), snap)
	for _, text := range texts {
		for i, want := range []bool{true, false} {
			if first, err := a.Once(ctx, "scope "+text, "key "+text); err != nil || first != want {
				t.Errorf("%q for the %d. time: got %t (%v), want %t", text, i+1, first, err, want)
			}
		}
	}
	_, err = a.Once(ctx, "scope", strings.Repeat("/", maxKey/3+1))
	wantKind(t, err, pair.ErrTooLarge)
	_, err = a.Once(ctx, "scope", "")
	wantKind(t, err, pair.ErrInvalid)
}

func testOutbox(t *testing.T, a account) {
	ctx := t.Context()
	snap := define(t, a.Store, definition("edge-weu", 1))
	for i := range 3 {
		snap = commit(t, a.Store, snap, pair.Change{Record: snap.Record, Outbox: entries("edge-weu", 1, 100*i+1, 100*i+50)})
	}
	var ids []string
	for _, p := range snap.Outbox[1:] {
		ids = append(ids, p.ID)
	}
	for range 2 {
		if err := a.Delivered(ctx, "edge-weu", append(ids, "never-there")); err != nil {
			t.Fatal(err)
		}
	}
	snap.Outbox = snap.Outbox[:1]
	diff(t, load(t, a.Store, "edge-weu"), snap)
	// Delivering does not move the version.
	commit(t, a.Store, snap, pair.Change{Record: snap.Record})
}

// stuff puts n posts into the outbox of a pair that has none, without the cost
// of so many commits.
func stuff(t *testing.T, s *Store, name string, n int) []pair.Post {
	t.Helper()
	tr := transaction{p: newPartition(name, nil)}
	posts, err := tr.outbox(nil, entries(name, 1, 0, n-1))
	if err != nil {
		t.Fatal(err)
	}
	for chunk := range slices.Chunk(tr.ops, maxOps) {
		if _, err := s.apply(t.Context(), tablePairs, name, chunk...); err != nil {
			t.Fatal(err)
		}
	}
	return posts
}

func testManyPosts(t *testing.T, a account) {
	snap := define(t, a.Store, definition("edge-weu", 1))
	snap.Outbox = stuff(t, a.Store, "edge-weu", pageSize+1)
	diff(t, load(t, a.Store, "edge-weu"), snap)
}

func testJournal(t *testing.T, a account) {
	ctx := t.Context()
	var want []pair.Entry
	for epoch := uint64(1); epoch <= 12; epoch++ {
		for seq := 1; seq <= 2; seq++ {
			post := entry("edge-weu", epoch, seq, fmt.Sprintf(`{"n":%d}`, epoch))
			if epoch == 3 {
				post.Body = json.RawMessage(`"` + strings.Repeat("long ", 20_000) + `"`)
			}
			for range 2 {
				if err := a.AppendJournal(ctx, "edge-weu", post); err != nil {
					t.Fatal(err)
				}
			}
			want = append(want, pair.Entry{ID: post.ID, Kind: post.Type, At: post.At, Body: post.Body})
		}
	}
	slices.Reverse(want)
	var got []pair.Entry
	for before := ""; ; {
		page, err := a.Journal(ctx, "edge-weu", 5, before)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, page...)
		if len(page) < 5 {
			break
		}
		before = page[len(page)-1].ID
	}
	diff(t, got, want)
	for _, limit := range []int{-1, 0, 1} {
		if page, err := a.Journal(ctx, "edge-weu", limit, ""); err != nil || len(page) != 1 {
			t.Errorf("limit %d: got %d entries (%v), want 1", limit, len(page), err)
		}
	}
	one, err := a.Entry(ctx, "edge-weu", want[7].ID)
	if err != nil {
		t.Fatal(err)
	}
	diff(t, one, want[7])
	_, err = a.Entry(ctx, "edge-weu", pair.ID("edge-weu", 99, 1))
	wantKind(t, err, pair.ErrNotFound)
	for _, id := range []string{"", "x", pair.ID("other", 1, 1), "edge-weu-1-1", pair.ID("edge-weu", maxEpoch+1, 1)} {
		_, err = a.Entry(ctx, "edge-weu", id)
		wantKind(t, err, pair.ErrInvalid)
		if id != "" {
			_, err = a.Journal(ctx, "edge-weu", 1, id)
			wantKind(t, err, pair.ErrInvalid)
		}
	}

	// Entries of a newer release are shown where they can be read.
	for i, data := range []string{"", `{"id":7}`} {
		key, err := journalKey("edge-weu", want[i].ID)
		if err != nil {
			t.Fatal(err)
		}
		change(t, a.Store, tableJournal, "edge-weu", key, func(p map[string]any) {
			p[propMinReader] = 2
			if data != "" {
				p[propData] = data
			}
		})
	}
	page, err := a.Journal(ctx, "edge-weu", 2, "")
	if err != nil {
		t.Fatal(err)
	}
	diff(t, page, []pair.Entry{want[0], want[2]})
	_, err = a.Entry(ctx, "edge-weu", want[1].ID)
	wantKind(t, err, pair.ErrTooNew)
}

func testManyPairs(t *testing.T, a account) {
	ctx := t.Context()
	const n = 1050
	var want, due []string
	var ops []op
	for i := range n {
		name := fmt.Sprintf("p%04d", i)
		r, err := newIndexRow(prefixPair+name, indexed{Pair: name, At: noon})
		if err != nil {
			t.Fatal(err)
		}
		if want = append(want, name); i%3 == 0 {
			due = append(due, name)
		} else {
			r.props[propDue] = noon.Add(time.Millisecond).Format(dueLayout)
		}
		ops = append(ops, r.insert())
	}
	for chunk := range slices.Chunk(ops, maxOps) {
		if _, err := a.apply(ctx, tableIndex, indexPartition, chunk...); err != nil {
			t.Fatal(err)
		}
	}
	diff(t, collect(t, a.Pairs(ctx)), want)
	diff(t, collect(t, a.Due(ctx, noon)), due)
	diff(t, collect(t, a.Due(ctx, noon.Add(time.Millisecond))), want)
	for name, err := range a.Pairs(ctx) {
		if err != nil || name != want[0] {
			t.Errorf("the first pair is %q, %v; want %q", name, err, want[0])
		}
		break // stopping early is fine
	}
}

func testDue(t *testing.T, a account) {
	ctx := t.Context()
	define(t, a.Store, definition("edge-weu", 1))
	for _, due := range []time.Time{noon.Add(time.Minute), noon.Add(time.Minute), noon.Add(time.Second), noon.Add(time.Hour)} {
		if err := a.SetDue(ctx, "edge-weu", due); err != nil {
			t.Fatal(err)
		}
		if names := collect(t, a.Due(ctx, due.Add(-time.Millisecond))); names != nil {
			t.Errorf("due at %v: got %v a moment before, want none", due, names)
		}
		diff(t, collect(t, a.Due(ctx, due)), []string{"edge-weu"})
	}
	e, err := a.get(ctx, tableIndex, indexPartition, prefixPair+"edge-weu")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.apply(ctx, tableIndex, indexPartition, op{opRemove, e}); err != nil {
		t.Fatal(err)
	}
	if err := a.SetDue(ctx, "edge-weu", noon); err != nil {
		t.Fatal(err)
	}
	diff(t, collect(t, a.Due(ctx, noon)), []string{"edge-weu"})
}

func testOnce(t *testing.T, a account) {
	const callers = 10
	var mu sync.Mutex
	firsts := map[string]int{}
	var all sync.WaitGroup
	for range callers {
		for _, scope := range []string{"api", "events"} {
			all.Go(func() {
				first, err := a.Once(context.Background(), scope, "key")
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				if first {
					firsts[scope]++
				}
			})
		}
	}
	all.Wait()
	diff(t, firsts, map[string]int{"api": 1, "events": 1})
}

func testReindex(t *testing.T, a account) {
	ctx := t.Context()
	a.now = func() time.Time { return noon }
	names := []string{"edge-a", "edge-b", "edge-c"}
	for i, name := range names {
		define(t, a.Store, definition(name, 10*i))
	}
	whole, err := a.list(ctx, tableIndex, query{partition: indexPartition})
	if err != nil {
		t.Fatal(err)
	}
	if added, removed, err := a.Reindex(ctx); err != nil || added+removed != 0 {
		t.Errorf("a whole index: added %d, removed %d (%v), want nothing", added, removed, err)
	}
	var ops []op
	for _, e := range whole[3:] {
		ops = append(ops, op{opRemove, e})
	}
	if _, err := a.apply(ctx, tableIndex, indexPartition, ops...); err != nil {
		t.Fatal(err)
	}
	if err := a.enterIndex(ctx, definition("ghost", 70)); err != nil {
		t.Fatal(err)
	}
	if added, removed, err := a.Reindex(ctx); err != nil || added != len(ops) || removed != 0 {
		t.Errorf("soon: added %d, removed %d (%v), want %d and 0", added, removed, err, len(ops))
	}
	a.now = func() time.Time { return noon.Add(claimGrace) }
	if added, removed, err := a.Reindex(ctx); err != nil || added != 0 || removed != 5 {
		t.Errorf("later: added %d, removed %d (%v), want 0 and the ghost's 5", added, removed, err)
	}
	again, err := a.list(ctx, tableIndex, query{partition: indexPartition})
	if err != nil {
		t.Fatal(err)
	}
	keys := func(rows []entity) (all []string) {
		for _, e := range rows {
			all = append(all, e.key)
		}
		return all
	}
	diff(t, keys(again), keys(whole))
	diff(t, collect(t, a.Pairs(ctx)), names)

	// Two pairs on one unit can only come about by a mistake of ours.
	d := definition("edge-d", 0)
	tr := transaction{p: newPartition(d.Name, nil)}
	if _, err := tr.create(d); err != nil {
		t.Fatal(err)
	}
	if _, err := a.apply(ctx, tablePairs, d.Name, tr.ops...); err != nil {
		t.Fatal(err)
	}
	_, _, err = a.Reindex(ctx)
	wantKind(t, err, pair.ErrExists)
	owner, err := a.PairsOfVM(ctx, d.VMID(pair.First))
	if err != nil {
		t.Fatal(err)
	}
	diff(t, owner, []string{"edge-a"})
}

// change changes a stored row behind the store's back, as a newer release
// would.
func change(t *testing.T, s *Store, table, part, key string, edit func(props map[string]any)) {
	t.Helper()
	e, err := s.get(t.Context(), table, part, key)
	if err != nil {
		t.Fatal(err)
	}
	edit(e.props)
	if _, err := s.apply(t.Context(), table, part, op{opReplace, e}); err != nil {
		t.Fatal(err)
	}
}

func testUnknownProperties(t *testing.T, a account) {
	ctx := t.Context()
	snap := define(t, a.Store, definition("edge-weu", 1))
	snap = commit(t, a.Store, snap, decided(snap))
	intent := prefixIntent + snap.Intents[0].ID
	rows := map[string]string{keyRecord: tablePairs, keyDefinition: tablePairs, intent: tablePairs, prefixPair + "edge-weu": tableIndex}
	part := map[string]string{tablePairs: "edge-weu", tableIndex: indexPartition}
	for key, table := range rows {
		change(t, a.Store, table, part[table], key, func(props map[string]any) {
			props["later"] = "kept"
			if data, ok := props[propData].(string); ok {
				props[propData] = strings.TrimSuffix(data, "}") + `,"added":{"by":"a newer release"}}`
			}
		})
	}
	snap = acquire(t, a.Store, load(t, a.Store, "edge-weu"), "w1", noon)
	mode := snap.Definition
	mode.Mode = pair.Observe
	snap = commit(t, a.Store, snap, pair.Change{Record: snap.Record, PutIntents: snap.Intents, Definition: &mode})
	diff(t, load(t, a.Store, "edge-weu"), snap)
	if err := a.SetDue(ctx, "edge-weu", noon); err != nil {
		t.Fatal(err)
	}
	for key, table := range rows {
		e, err := a.get(ctx, table, part[table], key)
		if err != nil {
			t.Fatal(err)
		}
		if e.props["later"] != "kept" {
			t.Errorf("%s: its unknown property was lost: %v", key, e.props)
		}
		inData := strings.Contains(fmt.Sprint(e.props[propData]), "a newer release")
		if (key == keyRecord || key == intent) && !inData {
			t.Errorf("%s: its unknown field was lost: %v", key, e.props)
		}
	}
}

func testTooNew(t *testing.T, a account) {
	ctx := t.Context()
	for i, tt := range []struct {
		name string
		edit func(props map[string]any)
	}{
		{"the row says so", func(p map[string]any) { p[propMinReader] = 2 }},
		{"the record says so", func(p map[string]any) {
			p[propData] = strings.Replace(p[propData].(string), `"minReader":1`, `"minReader":2`, 1)
		}},
		{"the record says so and has words that we do not know", func(p map[string]any) {
			p[propData] = strings.NewReplacer(`"minReader":1`, `"minReader":2`, `"both active"`, `"upside down"`).Replace(p[propData].(string))
		}},
	} {
		d := definition(fmt.Sprintf("edge-%d", i), 10*i)
		snap := define(t, a.Store, d)
		snap = commit(t, a.Store, acquire(t, a.Store, snap, "w1", noon), decided(snap))
		change(t, a.Store, tablePairs, d.Name, keyRecord, tt.edit)
		got, err := a.Load(ctx, d.Name)
		wantKind(t, err, pair.ErrTooNew)
		if got.Record.MinReader != 2 || got.Record.Epoch != 2 || got.Record.Lease.Owner != "w1" || got.Version != "" {
			t.Errorf("%s: got reader %d, epoch %d, lease %+v, version %q; want 2, 2, of w1, none",
				tt.name, got.Record.MinReader, got.Record.Epoch, got.Record.Lease, got.Version)
		}
		diff(t, got.Definition, d)
		if len(got.Intents) != 1 || len(got.Outbox) != 1 {
			t.Errorf("%s: got %d intents and %d posts, want 1 and 1", tt.name, len(got.Intents), len(got.Outbox))
		}
		_, err = a.Commit(ctx, got, pair.Change{Record: got.Record})
		wantKind(t, err, pair.ErrTooNew)
		_, err = a.AcquireLease(ctx, got, "w2", noon.Add(time.Hour), ttl)
		wantKind(t, err, pair.ErrTooNew)
		wantKind(t, a.Holds(ctx, snap, "w1", noon), pair.ErrTooNew)
		_, err = a.Define(ctx, definition(d.Name, 10*i+5), nil)
		wantKind(t, err, pair.ErrTooNew)
		wantKind(t, a.Delete(ctx, d.Name), pair.ErrTooNew)
	}
	snap := define(t, a.Store, definition("edge-x", 100))
	snap = commit(t, a.Store, snap, decided(snap))
	change(t, a.Store, tablePairs, "edge-x", prefixIntent+snap.Intents[0].ID, func(p map[string]any) {
		p[propData] = `{"kind":"levitate"}`
		p[propMinReader] = 2
	})
	got, err := a.Load(ctx, "edge-x")
	wantKind(t, err, pair.ErrTooNew)
	if got.Intents != nil || got.Record.Epoch != 2 || got.Version != "" {
		t.Errorf("an intent of a newer release: got %+v", got)
	}
	change(t, a.Store, tablePairs, "edge-x", keyDefinition, func(p map[string]any) { p[propData] = `{"units":` })
	change(t, a.Store, tablePairs, "edge-x", prefixIntent+snap.Intents[0].ID, func(p map[string]any) { p[propMinReader] = 1 })
	_, err = a.Load(ctx, "edge-x")
	wantKind(t, err, pair.ErrTooNew) // a word that is not known was written by a newer release
	change(t, a.Store, tablePairs, "edge-x", prefixIntent+snap.Intents[0].ID, func(p map[string]any) { p[propData] = `{"kind":` })
	_, err = a.Load(ctx, "edge-x")
	wantKind(t, err, pair.ErrUnreadable)
}

func testMessages(t *testing.T, a account) {
	ctx := t.Context()
	const queue = "contract-wake"
	now := pair.Message{Kind: "wake", Pairs: []string{"edge-weu"}, Cause: pair.Cause{Kind: pair.CauseSweep}}
	later := pair.Message{Kind: "wake", Pairs: []string{"größer"}}
	for delay, m := range map[time.Duration]pair.Message{-time.Second: now, 1500 * time.Millisecond: later} {
		if err := a.Send(ctx, queue, m, delay); err != nil {
			t.Fatal(err)
		}
	}
	diff(t, a.take(t, queue), []string{`{"v":1,"kind":"wake","pairs":["edge-weu"],"cause":{"kind":"sweep"}}`})
	a.wait(2500 * time.Millisecond)
	diff(t, a.take(t, queue), []string{`{"v":1,"kind":"wake","pairs":["größer"]}`})
	for _, name := range []string{"", "ab", "Upper", "a_b", "a--b", "-ab", "../tandem", strings.Repeat("a", 64)} {
		wantKind(t, a.Send(ctx, name, now, 0), pair.ErrInvalid)
	}
	wantKind(t, a.Send(ctx, queue, now, 8*24*time.Hour), pair.ErrInvalid)
}

func testLargeMessage(t *testing.T, a account) {
	const queue = "contract-large"
	m := pair.Message{Pairs: []string{""}}
	b, err := json.Marshal(pair.Message{V: 1, Pairs: m.Pairs})
	if err != nil {
		t.Fatal(err)
	}
	m.Pairs[0] = strings.Repeat("x", 48<<10-len(b))
	if err := a.Send(t.Context(), queue, m, 0); err != nil {
		t.Fatal(err)
	}
	m.Pairs[0] += "x"
	wantKind(t, a.Send(t.Context(), queue, m, 0), pair.ErrTooLarge)
	if got := a.take(t, queue); len(got) != 1 || len(got[0]) != 48<<10 {
		t.Errorf("got %d messages, want one of 48 KiB", len(got))
	}
}

func testEnded(t *testing.T, a account) {
	snap := define(t, a.Store, definition("edge-weu", 1))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := a.Commit(ctx, snap, decided(snap))
	wantKind(t, err, context.Canceled)
	wantKind(t, err, pair.ErrUnreachable)
	_, err = a.Load(ctx, "edge-weu")
	wantKind(t, err, context.Canceled)
	if err := a.Send(ctx, pair.QueuePairs, pair.Message{}, 0); err == nil {
		t.Error("a message was sent")
	}
	diff(t, load(t, a.Store, "edge-weu"), snap)
}
