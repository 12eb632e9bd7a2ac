package endtoend

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"tandem/internal/api"
	"tandem/internal/pair"
)

// journal reads what was decided and done, as a person does, newest first.
func (d *deployment) journal() []pair.Entry {
	d.t.Helper()
	var j api.Journal
	if err := json.Unmarshal([]byte(d.tandem(0, "history", pairName, "--limit", "200", "-o", "json")), &j); err != nil {
		d.t.Fatal(err)
	}
	for i := range j.Entries[1:] {
		// The id holds the epoch, so its order is that of the epochs.
		if newer, older := j.Entries[i].ID, j.Entries[i+1].ID; newer <= older {
			d.t.Errorf("journal entry %s stands above %s", newer, older)
		}
	}
	return j.Entries
}

// decisions are the rows that won, oldest first. Each decision must come out
// again, byte for byte, when it is computed from what was stored with it.
func (d *deployment) decisions(entries []pair.Entry) (rows []string, ids map[string]string) {
	d.t.Helper()
	ids = map[string]string{}
	for _, e := range slices.Backward(entries) {
		if e.Kind != pair.EntryDecided {
			continue
		}
		var stored struct{ Decision json.RawMessage }
		var told pair.Decided
		d.read(e, &stored)
		d.read(e, &told)
		var was bytes.Buffer // as it was stored, before the command indented it
		again, err := json.Marshal(pair.Decide(&told.Input))
		if err := errors.Join(err, json.Compact(&was, stored.Decision)); err != nil || was.String() != string(again) {
			d.t.Errorf("decision %s was stored as\n%s\nand is computed again as\n%s, %v", e.ID, &was, again, err)
		}
		rows = append(rows, told.Decision.Row)
		ids[told.Decision.Row] = e.ID
	}
	return rows, ids
}

// closed are the intents that have ended, oldest first, each in a few words.
func (d *deployment) closed(entries []pair.Entry) (words []string, closings []pair.Entry) {
	d.t.Helper()
	for _, e := range slices.Backward(entries) {
		if e.Kind == pair.EntryClosed {
			var in pair.Intent
			if d.read(e, &in); in.Kind == pair.IntentTag {
				continue // it only says what the others do
			}
			words = append(words, fmt.Sprintf("%s %s %s, %d writes", in.Kind, in.Unit, in.State, in.Attempts))
			closings = append(closings, e)
		}
	}
	return words, closings
}

// published demands that the topic was told each change of the belief and of the
// alarm, and each end of an intent, in their order and nothing else. Repeats with the same id
// do no harm and are left out.
func (d *deployment) published(entries []pair.Entry) {
	d.t.Helper()
	var got, want []string
	for _, e := range d.world.Published() {
		if e.Subject != pairName {
			d.t.Errorf("event %s is about %q", e.ID, e.Subject)
		}
		got = append(got, e.Type+" "+e.ID)
	}
	for _, e := range slices.Backward(entries) {
		var decided pair.Decided
		var intent pair.Intent
		switch e.Kind {
		case pair.EntryDecided:
			if d.read(e, &decided); decided.Decision.From != decided.Decision.Believed {
				want = append(want, "tandem.pair.situation-changed "+pair.ID(pairName, decided.Decision.Epoch, 100))
			}
			if now := pair.Decide(&decided.Input).Record.Alarm; now != decided.Input.Record.Alarm {
				want = append(want, "tandem.pair.alarm-changed "+pair.ID(pairName, decided.Decision.Epoch, 103))
			}
		case pair.EntryClosed:
			if d.read(e, &intent); intent.Kind != pair.IntentTag {
				n, err := strconv.Atoi(intent.ID[len(intent.ID)-3:])
				if err != nil {
					d.t.Fatal(err)
				}
				want = append(want, "tandem.pair.action-done "+pair.ID(pairName, intent.Epoch, 600+n))
			}
		}
	}
	if !slices.Equal(got, want) {
		d.t.Errorf("published %q, expected %q", got, want)
	}
}

func (d *deployment) read(e pair.Entry, into any) {
	d.t.Helper()
	if err := json.Unmarshal(e.Body, into); err != nil {
		d.t.Fatalf("journal entry %s: %v", e.ID, err)
	}
}

// inOrder demands that the list has the words in their order; others may stand
// between them.
func (d *deployment) inOrder(what string, list []string, want ...string) {
	d.t.Helper()
	d.says(what+": "+strings.Join(list, " | "), want...)
}
