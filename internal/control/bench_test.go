package control_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"tandem/internal/control"
	"tandem/internal/pair"
	"tandem/internal/store"
)

// One pass with adapters in memory shall take less than 100 µs. The row "in
// memory" has a store that keeps values, so it shows the pass itself; the row
// "embedded store" has the real store's logic over an account in memory, which
// reads and writes the stored forms.

// benchmarked is a store that a benchmark can put back to where it was.
type benchmarked interface {
	control.Store
	control.Outbox
	reset()
}

func stores(w *world) map[string]benchmarked {
	return map[string]benchmarked{"in memory": newMemory(w.load()), "embedded store": &embedded{w.store, w}}
}

// measured makes a controller over a store, with a log that drops everything.
func (w *world) measured(kept benchmarked) *control.Controller {
	return w.controller(&effects{}, func(o *control.Options) {
		o.Store, o.Outbox, o.Publisher, o.Platform, o.Log = kept, kept, w.topic, w.platform, slog.New(slog.DiscardHandler)
		o.Units, o.Checks = w.units, w.units
	})
}

func BenchmarkQuietPass(b *testing.B) {
	for _, name := range []string{"in memory", "embedded store"} {
		b.Run(name, func(b *testing.B) {
			w := newWorld(b)
			c := w.measured(stores(w)[name])
			cause := pair.Cause{Kind: pair.CauseSweep}
			if err := c.Pass(b.Context(), edge, cause); err != nil {
				b.Fatal(err)
			}
			told := len(w.topic.posts)
			b.ReportAllocs()
			for b.Loop() {
				if err := c.Pass(b.Context(), edge, cause); err != nil {
					b.Fatal(err)
				}
			}
			if len(w.topic.posts) != told {
				b.Error("the passes were not quiet")
			}
		})
	}
}

// BenchmarkFencePass makes the most that a pass does: it decides to fence,
// stores that, writes, sees it done, and tells everybody.
func BenchmarkFencePass(b *testing.B) {
	for _, name := range []string{"in memory", "embedded store"} {
		b.Run(name, func(b *testing.B) {
			w := newWorld(b, believing)
			kept := stores(w)[name]
			w.split()
			c := w.measured(kept)
			var took time.Duration
			for b.Loop() {
				start := time.Now() // stopping the timer would cost more than a pass
				if err := c.Pass(b.Context(), edge, pair.Cause{Kind: pair.CauseVM}); err != nil {
					b.Fatal(err)
				}
				took += time.Since(start)
				if len(w.platform.states()) != 1 {
					b.Fatal("the pass did not fence")
				}
				kept.reset()
				w.platform.by(func() {
					w.platform.pools["ilb/pool"].admin[secondAddr] = pair.AdminNone
					clear(w.platform.ops)
					clear(w.platform.tags)
					w.platform.writes = nil
				})
				w.topic.posts = nil
			}
			b.ReportMetric(float64(took.Nanoseconds())/float64(b.N), "ns/op")
		})
	}
}

// unfenced takes what a fence remembered out of a record.
func unfenced(rec pair.Record) pair.Record {
	rec.Admin, rec.Moves, rec.Alarm = nil, nil, nil
	return rec
}

// embedded is the store over an embedded account.
type embedded struct {
	*store.Store
	w *world
}

func (e *embedded) reset() {
	e.w.t.Helper()
	snap := e.w.load()
	if _, err := e.w.store.Commit(e.w.t.Context(), snap, pair.Change{Record: unfenced(snap.Record)}); err != nil {
		e.w.t.Fatal(err)
	}
}

// memory is a store of one pair that keeps values. It is used by one goroutine.
type memory struct {
	snap    pair.Snapshot
	version int
}

func newMemory(snap pair.Snapshot) *memory {
	m := &memory{}
	m.put(snap)
	return m
}

func (m *memory) put(snap pair.Snapshot) pair.Snapshot {
	m.version++
	snap.Version = fmt.Sprint(m.version)
	m.snap = snap
	return snap
}

func (m *memory) reset() {
	snap := m.snap
	snap.Record = unfenced(snap.Record)
	m.put(snap)
}

func (m *memory) Delete(context.Context, string) error { return nil }

func (m *memory) Stop(context.Context) (*pair.Pause, error) { return nil, nil }

func (m *memory) Load(context.Context, string) (pair.Snapshot, error) { return m.snap, nil }

func (m *memory) AcquireLease(_ context.Context, snap pair.Snapshot, owner string, now time.Time, ttl time.Duration) (pair.Snapshot, error) {
	if snap.Version != m.snap.Version {
		return pair.Snapshot{}, pair.ErrConflict
	}
	snap.Record.Lease = pair.Lease{Owner: owner, Until: now.Add(ttl), Generation: snap.Record.Lease.Generation + 1}
	return m.put(snap), nil
}

func (m *memory) ReleaseLease(context.Context, pair.Snapshot, string) (pair.Snapshot, error) {
	snap := m.snap
	snap.Record.Lease.Owner = ""
	return m.put(snap), nil
}

func (m *memory) Holds(_ context.Context, _ pair.Snapshot, owner string, _ time.Time) error {
	if m.snap.Record.Lease.Owner != owner {
		return pair.ErrLeaseLost
	}
	return nil
}

func (m *memory) Commit(_ context.Context, snap pair.Snapshot, ch pair.Change) (pair.Snapshot, error) {
	if snap.Version != m.snap.Version {
		return pair.Snapshot{}, pair.ErrConflict
	}
	next := m.snap
	lease := next.Record.Lease
	next.Record = ch.Record
	next.Record.Lease = lease
	next.Intents = slices.DeleteFunc(slices.Clone(next.Intents), func(i pair.Intent) bool {
		return slices.Contains(ch.DelIntents, i.ID) || slices.ContainsFunc(ch.PutIntents, func(p pair.Intent) bool { return p.ID == i.ID })
	})
	next.Intents = append(next.Intents, ch.PutIntents...)
	next.Outbox = append(slices.Clone(next.Outbox), ch.Outbox...)
	return m.put(next), nil
}

func (m *memory) AppendJournal(context.Context, string, pair.Post) error { return nil }

func (m *memory) Send(context.Context, string, pair.Message, time.Duration) error { return nil }

func (m *memory) Delivered(context.Context, string, []string) error {
	m.snap.Outbox = nil
	return nil
}
