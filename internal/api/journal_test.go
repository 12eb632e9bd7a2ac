package api_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"tandem/internal/api"
	"tandem/internal/pair"
)

// remembered puts entries of the pair edge and words about all pairs into the
// store. Each is given by its kind and its second: p5 is an entry of the pair
// five seconds after the moment, a5 a word about all pairs. The numbers of ids are
// in the order that is given.
func (s *served) remembered(what string) {
	s.t.Helper()
	for n, one := range strings.Fields(what) {
		var second int
		if _, err := fmt.Sscanf(one[1:], "%d", &second); err != nil {
			s.t.Fatal(err)
		}
		at, body := moment.Add(time.Duration(second)*time.Second), json.RawMessage(fmt.Sprintf("%q", one))
		var err error
		if one[0] == 'p' {
			err = s.store.AppendJournal(s.t.Context(), "edge", pair.Post{ID: pair.ID("edge", 1, n+2), Kind: pair.PostJournal, Type: pair.EntryDecided, At: at, Body: body})
		} else {
			err = s.store.SetStop(s.t.Context(), &pair.Pause{Owner: "ann"}, pair.Entry{Kind: pair.EntryAsked, At: at, Body: body})
		}
		if err != nil {
			s.t.Fatal(err)
		}
	}
}

// pages reads the history of edge in pages of so many entries of the pair.
func (s *served) pages(limit int) []string {
	s.t.Helper()
	var pages []string
	for before, more := "", true; more; more = before != "" {
		page, err := s.client.Journal(s.t.Context(), "edge", limit, before)
		if err != nil {
			s.t.Fatal(err)
		}
		var all []string
		for _, e := range page.Entries {
			all = append(all, strings.Trim(string(e.Body), `"`))
		}
		pages, before = append(pages, strings.Join(all, " ")), page.Next
	}
	return pages
}

func TestWhatIsSaidAboutAllPairsStandsInEachHistory(t *testing.T) {
	tests := []struct {
		name  string
		what  string
		limit int
		want  []string
	}{
		{"between the pair's own entries, by its time", "p1 a2 p3 a4 p5", 20, []string{"p5 a4 p3 a2 p1"}},
		{"the newest may be one", "p1 a2 a3", 20, []string{"a3 a2 p1"}},
		{"of the same instant it is the newer one", "p1 a1", 20, []string{"a1 p1"}},
		{"what was said before the pair's first entry is nothing to it", "a1 p2 a3", 20, []string{"a3 p2"}},
		{"a page is as many entries of the pair, and what lies between them and the next", "p1 a2 p3 a4 a5 p6 a7", 1, []string{"a7 p6 a5 a4", "p3 a2", "p1"}},
		{"a page that ends with the oldest has none after it", "p1 a2 p3 a4", 2, []string{"a4 p3 a2 p1"}},
		{"of the same instant it stands on one page", "p1 p2 a2 p3", 1, []string{"p3", "a2 p2", "p1"}},
		{"clocks that differ change the order of neither", "p5 p3 a4 p6", 20, []string{"p6 a4 p3 p5"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := words(t, pair.ModeUnset, nil)
			s.remembered(tt.what)
			equal(t, s.pages(tt.limit), tt.want)
		})
	}
}

func TestEachWordAboutAllPairsIsOnOnePage(t *testing.T) {
	s := words(t, pair.ModeUnset, nil)
	s.remembered("a1 p2 p2 a2 a2 p3 a4 p5 p6 a6 p6 a7 a8 p9 p9 a9")
	whole := strings.Fields(s.pages(200)[0])
	for limit := range 8 {
		got := strings.Fields(strings.Join(s.pages(limit+1), " "))
		if !slices.IsSortedFunc(got, func(a, b string) int { return strings.Compare(b[1:], a[1:]) }) {
			t.Errorf("in pages of %d: %v, want the newest first", limit+1, got)
		}
		equal(t, slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(whole)))
	}
}

func TestAHistoryIsBoundedHoweverOftenAllPairsWereStopped(t *testing.T) {
	s := words(t, pair.ModeUnset, nil)
	what := []string{"p0"}
	for n := range 300 {
		what = append(what, fmt.Sprintf("a%d", n+1))
	}
	s.remembered(strings.Join(what, " "))
	page, err := s.client.Journal(t.Context(), "edge", 1, "")
	if err != nil || len(page.Entries) != 201 || string(page.Entries[0].Body) != `"a300"` || page.Next != "" {
		t.Errorf("%d entries, the next page %q (%v); want the pair's one and the newest 200 words", len(page.Entries), page.Next, err)
	}
}

func TestWhatIsSaidAfterAPairIsGoneIsNothingToIt(t *testing.T) {
	s := words(t, pair.ModeUnset, nil)
	s.remembered("p1 a2 p3")
	snap, err := s.store.Load(t.Context(), "edge")
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, p := range snap.Outbox {
		ids = append(ids, p.ID)
	}
	if err := s.store.Delivered(t.Context(), "edge", ids); err != nil {
		t.Fatal(err)
	}
	if err := s.store.Delete(t.Context(), "edge"); err != nil {
		t.Fatal(err)
	}
	s.remembered("a4")
	equal(t, s.pages(20), []string{"p3 a2 p1"})
}

func TestAStopOfAllPairsTellsWhoAndWhy(t *testing.T) {
	s := words(t, pair.ModeUnset, nil)
	s.remembered("p-1")
	for _, w := range []api.Word{api.Stop, api.Go} {
		a := api.Ask{By: "ann", Reason: "fire"}
		if w == api.Stop {
			a.For = pair.Duration(time.Hour)
		}
		for _, dryRun := range []bool{true, false} {
			if _, err := s.client.Ask(t.Context(), w, "", a, dryRun); err != nil {
				t.Fatal(err)
			}
		}
	}
	page, err := s.client.Journal(t.Context(), "edge", 20, "")
	if err != nil || len(page.Entries) != 3 {
		t.Fatalf("%d entries (%v), want the pair's, the stop and its end", len(page.Entries), err)
	}
	slices.Reverse(page.Entries)
	var got []pair.Asked
	for _, e := range page.Entries[1:] {
		var a pair.Asked
		if err := json.Unmarshal(e.Body, &a); err != nil || e.Kind != pair.EntryAsked || !e.At.Equal(moment) {
			t.Fatalf("entry %+v (%v)", e, err)
		}
		got = append(got, a)
	}
	equal(t, got, []pair.Asked{{Word: "stop", By: "ann", Reason: "fire", Until: moment.Add(time.Hour)}, {Word: "go", By: "ann", Reason: "fire"}})
}
