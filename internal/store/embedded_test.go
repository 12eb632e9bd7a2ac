package store

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"tandem/internal/pair"
)

func openEmbedded(t *testing.T) account {
	now := noon
	e := NewEmbedded(EmbeddedOptions{Now: func() time.Time { return now }})
	return account{
		Store: e.Store(HandleOptions{}),
		take: func(t *testing.T, queue string) []string {
			t.Helper()
			var texts []string
			messages, err := e.Dequeue(t.Context(), queue, 32, time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range messages {
				texts = append(texts, m.Text)
			}
			return texts
		},
		wait: func(d time.Duration) { now = now.Add(d) },
	}
}

func TestEmbeddedKeepsTheContract(t *testing.T) { testContract(t, openEmbedded) }

func TestWorkersShareAnAccountAndHaveTheirOwnClock(t *testing.T) {
	e := NewEmbedded(EmbeddedOptions{})
	one := e.Store(HandleOptions{Now: func() time.Time { return noon }})
	two := e.Store(HandleOptions{Now: func() time.Time { return noon.Add(claimGrace) }})
	if err := one.enterIndex(t.Context(), definition("crashed", 1)); err != nil {
		t.Fatal(err)
	}
	_, err := one.Define(t.Context(), definition("edge-weu", 1), nil)
	wantKind(t, err, pair.ErrExists)
	define(t, two, definition("edge-weu", 1))
	load(t, one, "edge-weu")
}

func TestFaultsBreakAndHealTheAccount(t *testing.T) {
	down := fmt.Errorf("down for the story: %w", pair.ErrUnreachable)
	tests := []struct {
		name        string
		fault       Fault
		read, write error
		landed      bool
	}{
		{"a healed account works", Fault{}, nil, nil, true},
		{"reads fail alone", Fault{Reads: down}, down, nil, false},
		{"writes fail alone and do nothing", Fault{Writes: down}, nil, down, false},
		{"a lost answer leaves the outcome unknown, though it landed", Fault{Answers: down}, nil, pair.ErrUnknownOutcome, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := NewEmbedded(EmbeddedOptions{})
			s := e.Store(HandleOptions{})
			snap := define(t, s, definition("edge-weu", 1))
			e.Fail(tt.fault)
			if _, err := s.Load(t.Context(), "edge-weu"); !errors.Is(err, tt.read) {
				t.Errorf("read: got %v, want %v", err, tt.read)
			}
			if _, err := e.Dequeue(t.Context(), pair.QueuePairs, 1, time.Minute); !errors.Is(err, tt.read) {
				t.Errorf("dequeue: got %v, want %v", err, tt.read)
			}
			if err := s.Send(t.Context(), pair.QueuePairs, pair.Message{}, 0); !errors.Is(err, tt.write) {
				t.Errorf("send: got %v, want %v", err, tt.write)
			}
			_, err := s.Commit(t.Context(), snap, decided(snap))
			if want := errors.Join(tt.read, tt.write); want == nil && err != nil || want != nil && err == nil {
				t.Errorf("commit: got %v, want %v", err, want)
			}
			e.Fail(Fault{})
			if got := load(t, s, "edge-weu").Record.Epoch == 2; got != tt.landed {
				t.Errorf("landed is %t, want %t", got, tt.landed)
			}
		})
	}
}

func TestAGateFreezesOrCutsOffOneWorker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := NewEmbedded(EmbeddedOptions{})
		frozen := make(chan struct{})
		worker := e.Store(HandleOptions{Gate: func(ctx context.Context, write bool) error {
			if !write {
				return nil
			}
			select {
			case <-frozen:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}})
		snap := define(t, e.Store(HandleOptions{}), definition("edge-weu", 1))
		done := make(chan error)
		go func() {
			_, err := worker.AcquireLease(t.Context(), snap, "w1", time.Now(), ttl)
			done <- err
		}()
		synctest.Wait()
		// It wakes up after another worker has come and gone.
		time.Sleep(5 * time.Minute)
		other := acquire(t, e.Store(HandleOptions{}), snap, "w2", time.Now())
		close(frozen)
		wantKind(t, <-done, pair.ErrLeaseLost)
		diff(t, load(t, e.Store(HandleOptions{}), "edge-weu"), other)

		cut := errors.New("cut off")
		s := e.Store(HandleOptions{Gate: func(context.Context, bool) error { return cut }})
		_, err := s.Load(t.Context(), "edge-weu")
		wantKind(t, err, cut)
	})
}

// interleave is a gate that runs another writer before the n-th write.
func interleave(n int, other func()) func(context.Context, bool) error {
	writes := 0
	return func(_ context.Context, write bool) error {
		if !write {
			return nil
		}
		if writes++; writes == n {
			other()
		}
		return nil
	}
}

func TestOfTwoDueTimesSetAtOnceTheSoonerStands(t *testing.T) {
	soon, late := noon.Add(time.Second), noon.Add(time.Hour)
	for _, tt := range []struct{ mine, theirs time.Time }{{soon, late}, {late, soon}} {
		e := NewEmbedded(EmbeddedOptions{})
		other := e.Store(HandleOptions{})
		define(t, other, definition("edge-weu", 1))
		s := e.Store(HandleOptions{Gate: interleave(1, func() {
			if err := other.SetDue(t.Context(), "edge-weu", tt.theirs); err != nil {
				t.Error(err)
			}
		})})
		if err := s.SetDue(t.Context(), "edge-weu", tt.mine); err != nil {
			t.Fatal(err)
		}
		if names := collect(t, s.Due(t.Context(), soon)); len(names) != 1 {
			t.Errorf("mine %v, theirs %v: the pair is not due at the sooner one", tt.mine, tt.theirs)
		}
	}
}

func TestDefineIsRepeatedWhenAnotherWriterWasFirst(t *testing.T) {
	e := NewEmbedded(EmbeddedOptions{})
	other := e.Store(HandleOptions{})
	define(t, other, definition("edge-weu", 1))
	s := e.Store(HandleOptions{Gate: interleave(1, func() {
		snap := load(t, other, "edge-weu")
		commit(t, other, snap, decided(snap))
	})})
	d := definition("edge-weu", 1)
	d.Mode = pair.Observe
	var epochs []uint64
	snap, err := s.Define(t.Context(), d, func(epoch uint64) []pair.Post {
		epochs = append(epochs, epoch)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	diff(t, epochs, []uint64{2, 3})
	if snap.Record.Epoch != 3 || snap.Definition.Mode != pair.Observe || len(snap.Intents) != 1 {
		t.Errorf("got epoch %d, mode %s, %d intents; want 3, observe, 1", snap.Record.Epoch, snap.Definition.Mode, len(snap.Intents))
	}
}

func TestACrashAnywhereInDefineOrDeleteIsRepairedByRepeatingIt(t *testing.T) {
	d := definition("edge-weu", 1)
	moved := definition("edge-weu", 5)
	moved.LoadBalancers[0].Name = "ilb-new"
	steps := []struct {
		name string
		run  func(*Store) error
	}{
		{"define", func(s *Store) error { _, err := s.Define(t.Context(), d, nil); return err }},
		{"redefine", func(s *Store) error { _, err := s.Define(t.Context(), moved, nil); return err }},
		{"delete", func(s *Store) error { return s.Delete(t.Context(), "edge-weu") }},
	}
	crash := errors.New("crash")
	for last, step := range steps {
		for n := 1; ; n++ {
			e := NewEmbedded(EmbeddedOptions{Now: func() time.Time { return noon }})
			whole := e.Store(HandleOptions{})
			for _, before := range steps[:last] {
				if err := before.run(whole); err != nil {
					t.Fatal(err)
				}
			}
			writes := 0
			err := step.run(e.Store(HandleOptions{Gate: func(_ context.Context, write bool) error {
				if write {
					writes++
				}
				if writes >= n {
					return crash
				}
				return nil
			}}))
			if err == nil {
				break // it does fewer writes than n
			}
			wantKind(t, err, crash)
			if err := step.run(whole); err != nil {
				t.Errorf("%s after a crash before write %d: %v", step.name, n, err)
			}
			later := e.Store(HandleOptions{Now: func() time.Time { return noon.Add(claimGrace) }})
			if _, _, err := later.Reindex(t.Context()); err != nil {
				t.Error(err)
			}
			if added, removed, err := later.Reindex(t.Context()); err != nil || added+removed != 0 {
				t.Errorf("%s after a crash before write %d: the index is not settled (%v)", step.name, n, err)
			}
			wantRows := map[string]int{"define": 5, "redefine": 5, "delete": 0}[step.name]
			if rows, err := later.list(t.Context(), tableIndex, query{partition: indexPartition}); err != nil || len(rows) != wantRows {
				t.Errorf("%s after a crash before write %d: %d rows in the index (%v), want %d", step.name, n, len(rows), err, wantRows)
			}
		}
	}
}

func TestAPairOfManyPagesIsReadAsItStoodAtOneMoment(t *testing.T) {
	e := NewEmbedded(EmbeddedOptions{})
	other := e.Store(HandleOptions{})
	define(t, other, definition("edge-weu", 1))
	stuff(t, other, "edge-weu", pageSize+1)
	snap := load(t, other, "edge-weu")
	reads := 0
	s := e.Store(HandleOptions{Gate: func(context.Context, bool) error {
		if reads++; reads == 4 { // between the two pages of the second reading
			snap = commit(t, other, snap, decided(snap))
		}
		return nil
	}})
	got := load(t, s, "edge-weu")
	diff(t, got, snap)
}

func TestEmbeddedQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		e := NewEmbedded(EmbeddedOptions{})
		for i, delay := range []time.Duration{0, 10 * time.Second, 0} {
			if err := e.Enqueue(ctx, "tandem-pairs", fmt.Sprint(i), delay); err != nil {
				t.Fatal(err)
			}
		}
		take := func(limit int) []Message {
			t.Helper()
			got, err := e.Dequeue(ctx, "tandem-pairs", limit, 30*time.Second)
			if err != nil {
				t.Fatal(err)
			}
			return got
		}
		first := take(1)
		if len(first) != 1 || first[0].Text != "0" || first[0].DequeueCount != 1 {
			t.Fatalf("got %+v, want message 0 for the first time", first)
		}
		if rest := take(32); len(rest) != 1 || rest[0].Text != "2" {
			t.Fatalf("got %+v, want message 2 alone", rest)
		}
		time.Sleep(20 * time.Second)
		receipt, err := e.Update(ctx, "tandem-pairs", first[0].ID, first[0].PopReceipt, 30*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		wantKind(t, e.Delete(ctx, "tandem-pairs", first[0].ID, first[0].PopReceipt), pair.ErrConflict)
		time.Sleep(10 * time.Second)
		var texts []string
		for _, m := range take(32) { // 0 is still hidden; 2 comes for the second time
			texts = append(texts, fmt.Sprint(m.Text, " ", m.DequeueCount))
		}
		diff(t, texts, []string{"1 1", "2 2"})
		if err := e.Delete(ctx, "tandem-pairs", first[0].ID, receipt); err != nil {
			t.Fatal(err)
		}
		wantKind(t, e.Delete(ctx, "tandem-pairs", first[0].ID, receipt), pair.ErrNotFound)
		_, err = e.Update(ctx, "tandem-pairs", "nobody", "x", 0)
		wantKind(t, err, pair.ErrNotFound)
		_, err = e.Dequeue(ctx, "tandem-pairs", 1, 0)
		wantKind(t, err, pair.ErrInvalid)
		time.Sleep(messageLife)
		if left := take(32); left != nil {
			t.Errorf("got %+v after seven days, want nothing", left)
		}
	})
}
