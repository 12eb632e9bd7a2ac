package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"

	"tandem/internal/pair"
)

// journalPage is a page of a journal where nothing is said.
const journalPage = 20

// journal answers a page of a pair's history: its own entries, newest first, and
// between them what was said meanwhile about all pairs, which is not counted by
// the limit and at most what the store keeps of it.
func (s *server) journal(r *http.Request) (any, error) {
	limit := journalPage
	if text := r.URL.Query().Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > pageMax {
			return nil, fmt.Errorf("limit %q: expected a number from 1 to %d: %w", text, pageMax, pair.ErrInvalid)
		}
		limit = n
	}
	name, before := r.PathValue("pair"), r.URL.Query().Get("before")
	entries, err := s.Store.Journal(r.Context(), name, limit+1, before) // one more, to know where the next page begins
	if err != nil {
		return nil, err
	}
	if len(entries) == 0 { // a journal outlives its pair, so only one without entries may be nobody's
		if _, err := s.status(r.Context(), name, nil); err != nil {
			return nil, err
		}
		return Journal{V: Version, Entries: []pair.Entry{}}, nil
	}
	said, err := s.saidIn(r.Context(), name, entries, limit, before != "")
	if err != nil {
		return nil, err
	}
	out := Journal{V: Version}
	if len(entries) > limit {
		entries, out.Next = entries[:limit], entries[limit-1].ID
	}
	out.Entries = merged(entries, said)
	return out, nil
}

// saidIn is what was said about all pairs in the time of a page: until its newest
// entry where there are newer ones of the pair, and after the newest entry of the
// next page, or since the pair's oldest. So each word is on one page.
func (s *server) saidIn(ctx context.Context, name string, entries []pair.Entry, limit int, newer bool) ([]pair.Entry, error) {
	all, err := s.Store.Said(ctx)
	if err != nil {
		return nil, err
	}
	newest, oldest, last := entries[0].At, entries[len(entries)-1].At, len(entries) <= limit
	for _, e := range entries {
		if last && e.At.Before(oldest) { // by the clock of another process
			oldest = e.At
		}
	}
	if len(all) > 0 && !newer && all[0].At.After(newest) {
		_, err := s.Store.Load(ctx, name)
		newer = errors.Is(err, pair.ErrNotFound) // what was said since is nothing to a pair that is gone
	}
	return slices.DeleteFunc(all, func(e pair.Entry) bool {
		return newer && e.At.After(newest) || e.At.Before(oldest) || !last && e.At.Equal(oldest)
	}), nil
}

// merged puts what was said among a pair's entries by its time. Both are newest
// first, and the pair's keep the order of their ids whatever the clocks were.
func merged(entries, said []pair.Entry) []pair.Entry {
	out := make([]pair.Entry, 0, len(entries)+len(said))
	for _, e := range entries {
		for len(said) > 0 && !said[0].At.Before(e.At) {
			out, said = append(out, said[0]), said[1:]
		}
		out = append(out, e)
	}
	return append(out, said...)
}
