// Package replay computes stored decisions again: as they were decided, to show
// that they follow from what was stored with them, and with another definition,
// to show what would have happened.
//
// It is pure but for the reader that it is given. Where the entries come from,
// a file or the operator API, is for the command to say; what is decided is
// internal/pair's, and what a pair file may say internal/manifest's.
package replay

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"tandem/internal/pair"
)

const (
	// MaxSize is the largest file that is read, in bytes; a decision with its
	// input takes a few thousand.
	MaxSize = 128 << 20
	// mostEntries is how many journal entries a file may have.
	mostEntries = 200_000
)

// History is the stored decisions of one pair.
type History struct {
	Pair      string
	Decisions []Recorded // oldest first
	// Newer counts the decisions that only a newer release can read. They are
	// left out, so what follows them may follow from them.
	Newer int
}

// Recorded is one stored decision.
type Recorded struct {
	ID     string
	At     time.Time
	Input  pair.Input
	Stored json.RawMessage // the decision as it is stored
	Reason string
}

// Read reads what tandem history --all -o json prints, or a JSON array of
// journal entries, in any order. The error is pair.ErrTooLarge for a file beyond
// the limits, and pair.ErrUnreadable for one of another form, without a
// decision, or with those of several pairs; other errors are the reader's.
func Read(r io.Reader) (History, error) {
	b, err := io.ReadAll(io.LimitReader(r, MaxSize+1))
	if err != nil {
		return History{}, fmt.Errorf("read the decisions: %w", err)
	}
	if len(b) > MaxSize {
		return History{}, fmt.Errorf("read the decisions: more than %d bytes: %w", MaxSize, pair.ErrTooLarge)
	}
	var file struct {
		Entries []pair.Entry `json:"entries"`
	}
	if b = bytes.TrimSpace(b); len(b) > 0 && b[0] == '[' {
		err = json.Unmarshal(b, &file.Entries)
	} else {
		err = json.Unmarshal(b, &file)
	}
	if err != nil {
		return History{}, fmt.Errorf("read the decisions: expected what tandem history --all -o json prints, or an array of journal entries: %w: %w", pair.ErrUnreadable, err)
	}
	return Of(file.Entries)
}

// Of takes the decisions out of journal entries, in any order, each once. Its
// errors are those of Read.
func Of(entries []pair.Entry) (History, error) {
	if len(entries) > mostEntries {
		return History{}, fmt.Errorf("read the decisions: %d entries, possible are %d: %w", len(entries), mostEntries, pair.ErrTooLarge)
	}
	var h History
	seen := map[string]bool{}
	for _, e := range entries {
		if e.Kind != pair.EntryDecided || seen[e.ID] {
			continue
		}
		seen[e.ID] = true
		r, err := recorded(e)
		if errors.Is(err, pair.ErrTooNew) {
			h.Newer++
			continue
		}
		if err != nil {
			return History{}, fmt.Errorf("read decision %.80q: %w", e.ID, err)
		}
		if name := r.Input.Definition.Name; h.Pair == "" {
			h.Pair = name
		} else if name != h.Pair {
			return History{}, fmt.Errorf("read the decisions: they are of the pairs %.80q and %.80q, expected one: %w", h.Pair, name, pair.ErrUnreadable)
		}
		h.Decisions = append(h.Decisions, r)
	}
	if len(h.Decisions) == 0 {
		return History{}, fmt.Errorf("read the decisions: none among %d entries that this release can read: %w", len(entries), pair.ErrUnreadable)
	}
	slices.SortFunc(h.Decisions, func(a, b Recorded) int { return strings.Compare(a.ID, b.ID) }) // ids are in the order of time
	return h, nil
}

func recorded(e pair.Entry) (Recorded, error) {
	var body struct {
		Decision json.RawMessage `json:"decision"`
		Input    pair.Input      `json:"input"`
		Reason   string          `json:"reason"`
	}
	var version struct {
		MinReader int `json:"minReader"`
	}
	err := json.Unmarshal(e.Body, &body)
	if err == nil {
		err = json.Unmarshal(body.Decision, &version)
	}
	switch {
	case errors.Is(err, pair.ErrTooNew):
		return Recorded{}, err
	case err != nil:
		return Recorded{}, fmt.Errorf("%w: %w", pair.ErrUnreadable, err)
	case version.MinReader > pair.Version || !body.Input.Record.Readable():
		return Recorded{}, pair.ErrTooNew
	case body.Input.Definition.Name == "":
		return Recorded{}, fmt.Errorf("it has no input: %w", pair.ErrUnreadable)
	}
	return Recorded{ID: e.ID, At: body.Input.Observation.At, Input: body.Input, Stored: body.Decision, Reason: body.Reason}, nil
}

// decide computes a decision. What a file holds may be nothing that a pass could
// have seen, and Decide panics on what is impossible.
func decide(id string, in *pair.Input) (d pair.Decision, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("decide %.80q again: its input is impossible (%.200s): %w", id, fmt.Sprint(r), pair.ErrUnreadable)
		}
	}()
	return pair.Decide(in), nil
}
