package story

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"tandem/internal/lab"
	"tandem/internal/pair"
)

// Outcome is what came of a story, in the form that the lab command prints as
// JSON.
type Outcome struct {
	Scenario string `json:"scenario"`
	Seed     uint64 `json:"seed"`
	Passed   bool   `json:"passed"`
	// OutageSeconds is how long the client was not served, and SplitSeconds how
	// long both units served it, with Tandem and with the load balancer alone.
	OutageSeconds Compared `json:"outageSeconds"`
	SplitSeconds  Compared `json:"splitSeconds"`
	// WrongAnswerSeconds is how long a GEO member answered wrongly, or served and did
	// not answer, where the story has GEO.
	WrongAnswerSeconds *Compared  `json:"wrongAnswerSeconds,omitempty"`
	Writes             int        `json:"writes"` // to Resource Manager
	Failures           []string   `json:"failures,omitempty"`
	Timeline           []Moment   `json:"timeline"`
	Decisions          []Decision `json:"decisions"`
	// Entries is the pair's journal, newest first, where it was asked for.
	Entries []pair.Entry `json:"entries,omitempty"`
}

// Compared holds one measurement with Tandem and with the load balancer alone.
type Compared struct {
	Tandem           float64 `json:"tandem"`
	LoadBalancerOnly float64 `json:"loadBalancerOnly"`
}

// Moment is one line of the transcript.
type Moment struct {
	At     string `json:"at"` // hh:mm:ss.mmm since the beginning
	Source string `json:"source"`
	Event  string `json:"event"`
}

// Decision is one stored decision.
type Decision struct {
	ID       string         `json:"id"`
	At       string         `json:"at"`
	Seen     pair.Situation `json:"seen"`
	Believed pair.Situation `json:"believed"`
	Row      string         `json:"row"`
	Reason   string         `json:"reason"`
	// Blind is why the program did not trust itself, if so.
	Blind     string   `json:"blind,omitempty"`
	Evidence  []string `json:"evidence,omitempty"` // kinds of facts that events brought
	Intents   []string `json:"intents,omitempty"`
	PersonCan string   `json:"personCan,omitempty"`
}

// decisions reads the stored decisions out of a journal, oldest first.
func decisions(entries []pair.Entry, start time.Time) ([]Decision, error) {
	out := []Decision{}
	for _, e := range slices.Backward(entries) {
		if e.Kind != pair.EntryDecided {
			continue
		}
		var d pair.Decided
		if err := json.Unmarshal(e.Body, &d); err != nil {
			return nil, fmt.Errorf("read journal entry %s: %w", e.ID, err)
		}
		one := Decision{
			ID: d.Decision.ID, At: lab.Line{At: d.Decision.At.Sub(start)}.Clock(), Seen: d.Decision.Seen, Believed: d.Decision.Believed,
			Row: d.Decision.Row, Reason: d.Reason, PersonCan: d.Person,
		}
		if d.Input.Blind != pair.NotBlind {
			one.Blind = d.Input.Blind.String()
		}
		for _, e := range d.Input.Evidence {
			one.Evidence = append(one.Evidence, e.Kind.String())
		}
		for _, i := range d.Decision.Intents {
			one.Intents = append(one.Intents, i.String())
		}
		out = append(out, one)
	}
	return out, nil
}

// judge compares an outcome with what the story expects of it.
func judge(sc lab.Scenario, o *Outcome, with, without lab.Outage, events []string) {
	e := sc.Expect
	limit := func(what string, got, most time.Duration) {
		if got > most {
			o.fail("%s %v, expected at most %v", what, got, most)
		}
	}
	limit("outage with Tandem", with.Total, e.Outage.Tandem)
	limit("outage with the load balancer alone", without.Total, e.Outage.LoadBalancerOnly)
	if without.Total < e.Outage.AloneAtLeast {
		o.fail("outage with the load balancer alone %v, expected at least %v", without.Total, e.Outage.AloneAtLeast)
	}
	if sc.GEO != nil {
		judgeGEO(e.GEO, o, with.Resolved, without.Resolved)
	}
	if e.Split > 0 {
		limit("both units served with Tandem for", with.Split, e.Split)
	}
	if without.Split < e.SplitWithout {
		o.fail("both units served for %v with the load balancer alone, expected at least %v", without.Split, e.SplitWithout)
	}
	rows := rowsOf(*o)
	inOrder(o, "decisions", rows, e.Decisions)
	inOrder(o, "published events", events, e.Events)
	var evidence, blind []string
	for _, d := range o.Decisions {
		evidence = append(evidence, d.Evidence...)
		if d.Blind != "" {
			blind = append(blind, d.Blind)
		}
	}
	inOrder(o, "causes of blindness", blind, e.Blind)
	inOrder(o, "evidence of events", evidence, e.Evidence)
	if e.NoEvidence && len(evidence) > 0 {
		o.fail("evidence of events %v, expected none", evidence)
	}
	for _, never := range e.Never {
		if slices.Contains(rows, never) {
			o.fail("row %s won, expected never", never)
		}
	}
	if e.Writes != nil && o.Writes > *e.Writes {
		o.fail("%d writes to Resource Manager, expected at most %d", o.Writes, *e.Writes)
	}
	if e.Stored != nil && len(rows) > *e.Stored {
		o.fail("%d decisions stored, expected at most %d: %v", len(rows), *e.Stored, rows)
	}
}

// judgeGEO compares what the resolver measured with what the story expects.
func judgeGEO(e lab.ExpectGEO, o *Outcome, with, without lab.Resolved) {
	o.WrongAnswerSeconds = &Compared{Tandem: with.Wrong.Seconds(), LoadBalancerOnly: without.Wrong.Seconds()}
	if with.Wrong > e.WrongAnswers {
		o.fail("wrong GEO answers with Tandem for %v, expected at most %v", with.Wrong, e.WrongAnswers)
	}
	if with.Unanswered > e.Unanswered {
		o.fail("no GEO answer at all with Tandem for %v, expected at most %v", with.Unanswered, e.Unanswered)
	}
	if without.Wrong < e.AloneAtLeast {
		o.fail("wrong GEO answers without Tandem for %v, expected at least %v", without.Wrong, e.AloneAtLeast)
	}
}

// rowsOf lists the rows of the stored decisions.
func rowsOf(o Outcome) []string {
	rows := make([]string, len(o.Decisions))
	for i, d := range o.Decisions {
		rows[i] = d.Row
	}
	return rows
}

// inOrder demands that the wanted words stand in the list in their order;
// others may stand between them.
func inOrder(o *Outcome, what string, list, want []string) {
	at := 0
	for _, word := range list {
		if at < len(want) && word == want[at] {
			at++
		}
	}
	if at < len(want) {
		o.fail("%s %v: expected %v in this order, %q is missing", what, list, want, want[at])
	}
}

func (o *Outcome) fail(format string, args ...any) {
	o.Failures = append(o.Failures, fmt.Sprintf(format, args...))
}
