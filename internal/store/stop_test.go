package store

import (
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"time"

	"tandem/internal/pair"
)

// word is what somebody said about all pairs, so many seconds after noon.
func word(by string, second int) pair.Entry {
	return pair.Entry{
		Kind: pair.EntryAsked, At: noon.Add(time.Duration(second) * time.Second),
		Body: json.RawMessage(fmt.Sprintf(`{"word":"stop","by":%q}`, by)),
	}
}

// numbered is the entry as it is kept.
func numbered(e pair.Entry, n uint64) pair.Entry {
	e.ID = pair.ID(everyPair, n, 1)
	return e
}

func said(t *testing.T, a account) []pair.Entry {
	t.Helper()
	entries, err := a.Said(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return entries
}

func testSaid(t *testing.T, a account) {
	set := func(n int, stop *pair.Pause) {
		t.Helper()
		if err := a.SetStop(t.Context(), stop, word("ann", n)); err != nil {
			t.Fatal(err)
		}
	}
	set(0, nil)
	diff(t, said(t, a), []pair.Entry(nil)) // nobody had stopped anything
	stop := &pair.Pause{Owner: "ann", Reason: "storm"}
	set(1, stop)
	set(2, stop)
	set(3, nil)
	diff(t, said(t, a), []pair.Entry{numbered(word("ann", 3), 3), numbered(word("ann", 2), 2), numbered(word("ann", 1), 1)})

	for n := 4; n <= saidMax+2; n++ {
		set(n, stop)
	}
	entries := said(t, a)
	if len(entries) != saidMax {
		t.Fatalf("%d words are kept, want %d", len(entries), saidMax)
	}
	diff(t, entries[0], numbered(word("ann", saidMax+2), saidMax+2))
	diff(t, entries[saidMax-1], numbered(word("ann", 3), 3))

	change(t, a.Store, tablePairs, everyPair, saidKey(saidMax+2), func(props map[string]any) {
		props[propMinReader], props[propData] = pair.Version+1, `{"how":"new"}`
	})
	diff(t, said(t, a)[0], numbered(word("ann", saidMax+1), saidMax+1)) // of a newer release
	set(saidMax+3, nil)
	diff(t, said(t, a)[0], numbered(word("ann", saidMax+3), saidMax+3))
}

func testSaidRace(t *testing.T, a account) {
	const all = 10
	var done sync.WaitGroup
	failed := make([]error, all)
	for n := range all {
		done.Go(func() {
			for range all { // whoever was not first says it again
				if failed[n] = a.SetStop(t.Context(), &pair.Pause{Owner: fmt.Sprint(n), Reason: "storm"}, word(fmt.Sprint(n), n)); failed[n] == nil {
					return
				}
			}
		})
	}
	done.Wait()
	for _, err := range failed {
		if err != nil {
			t.Fatal(err)
		}
	}
	stop, err := a.Stop(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	entries := said(t, a)
	if len(entries) != all {
		t.Fatalf("%d words are kept, want %d", len(entries), all)
	}
	var newest pair.Asked
	if err := json.Unmarshal(entries[0].Body, &newest); err != nil || newest.By != stop.Owner {
		t.Errorf("the newest word is %s's (%v), and the stop is %s's", newest.By, err, stop.Owner)
	}
}
