package faults

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"tandem/internal/lab"
	"tandem/internal/store"
)

// embedded is the program's own store in memory, as a world's account.
type embedded struct{ *store.Embedded }

func newEmbedded() account { return embedded{store.NewEmbedded(store.EmbeddedOptions{})} }

func (e embedded) handle(now func() time.Time) vault {
	return e.Store(store.HandleOptions{Now: now})
}

func (e embedded) dequeue(hide time.Duration) []letter {
	var out []letter
	for _, queue := range queues {
		for more := true; more; {
			taken, err := e.Dequeue(context.Background(), queue, 32, hide)
			if err != nil {
				panic(err) // an account without faults
			}
			for _, m := range taken {
				l := letter{queue: queue, id: m.ID, receipt: m.PopReceipt, taken: m.DequeueCount}
				if err := json.Unmarshal([]byte(m.Text), &l.message); err != nil {
					panic(err) // the program wrote it
				}
				out = append(out, l)
			}
			more = len(taken) == 32
		}
	}
	return out
}

func (e embedded) drop(l letter) {
	_ = e.Delete(context.Background(), l.queue, l.id, l.receipt) // it was taken again meanwhile
}

func (e embedded) mark(name string, minReader int) error { return e.MarkRecord(name, minReader) }

// told is everything that was decided and how it ended, in a story with an
// account.
func told(t *testing.T, sc lab.Scenario, seed uint64, open func() account) (out []string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w, err := newWorld(sc, seed, open())
		if err != nil {
			t.Fatal(err)
		}
		w.play(context.Background(), 0, nil)
		if w.check.found != nil {
			out = append(out, w.check.found.String())
		}
		for _, s := range w.sites {
			entries, err := w.vault.Journal(context.Background(), s.name, 1000, "")
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range slices.Backward(entries) {
				out = append(out, fmt.Sprintf("%s %s %s", e.ID, e.At.Sub(w.start), e.Body))
			}
		}
	})
	return out
}

func differ(t *testing.T, seed uint64, what string, a, b []string) {
	t.Helper()
	for n := range max(len(a), len(b)) {
		switch {
		case n >= len(a):
			t.Fatalf("seed %d, %s: one more: %s", seed, what, b[n])
		case n >= len(b):
			t.Fatalf("seed %d, %s: one more: %s", seed, what, a[n])
		case a[n] != b[n]:
			at := 0
			for at < min(len(a[n]), len(b[n])) && a[n][at] == b[n][at] {
				at++
			}
			around := func(s string) string { return s[max(0, at-100):min(len(s), at+100)] }
			t.Fatalf("seed %d, %s, entry %d of %d, %.60s:\n…%s…\n…%s…", seed, what, n+1, len(a), a[n], around(a[n]), around(b[n]))
		}
	}
}

// TestSameSeedTellsTheSameStory plays stories twice. What is left to chance, such as
// which of two timers of one instant is first, shows in few of them.
func TestSameSeedTellsTheSameStory(t *testing.T) {
	n := uint64(20)
	if few() {
		n = 5
	}
	for seed := firstSeed(t); seed < firstSeed(t)+n; seed++ {
		sc, _ := generate(seed, steps)
		differ(t, seed, "played twice", told(t, sc, seed, func() account { return newLedger() }), told(t, sc, seed, func() account { return newLedger() }))
	}
}

// TestLedgerIsLikeTheStore plays stories with the ledger and with the embedded
// store, which must go alike to the last byte of the journal.
func TestLedgerIsLikeTheStore(t *testing.T) {
	n := uint64(20)
	if few() {
		n = 2
	}
	for seed := firstSeed(t); seed < firstSeed(t)+n; seed++ {
		sc, _ := generate(seed, 100)
		differ(t, seed, "ledger and store", told(t, sc, seed, func() account { return newLedger() }), told(t, sc, seed, newEmbedded))
	}
}
