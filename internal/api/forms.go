package api

import (
	"time"

	"tandem/internal/pair"
)

// Status is what a person wants to know of a pair first.
type Status struct {
	V         int             `json:"v"`
	Name      string          `json:"name"`
	Mode      pair.Mode       `json:"mode"`
	Situation pair.Situation  `json:"situation"`
	Since     time.Time       `json:"since,omitzero"`
	Suspicion *pair.Suspicion `json:"suspicion,omitempty"`
	// Active is the unit that was last seen serving alone.
	Active pair.Role        `json:"active,omitempty"`
	Epoch  uint64           `json:"epoch"`
	Holds  []pair.AdminHold `json:"holds,omitempty"` // admin states of ours that stand
	Open   []pair.Intent    `json:"open,omitempty"`  // intents not yet closed
	Plan   *pair.Plan       `json:"plan,omitempty"`
	Pause  *pair.Pause      `json:"pause,omitempty"`
	// Warning is set where this release may not act on what is stored.
	Warning string `json:"warning,omitempty"`
}

func statusOf(s pair.Snapshot) Status {
	st := Status{
		V: Version, Name: s.Definition.Name, Mode: s.Definition.Mode, Situation: s.Record.Situation, Since: s.Record.Since,
		Active: s.Record.LastActive, Epoch: s.Record.Epoch, Holds: s.Record.Admin, Open: s.Intents, Plan: s.Record.Plan, Pause: s.Record.Pause,
	}
	if s.Record.Suspicion.Count > 0 {
		st.Suspicion = &s.Record.Suspicion
	}
	return st
}

// Pairs is the answer to a list of pairs.
type Pairs struct {
	V     int      `json:"v"`
	Pairs []Status `json:"pairs"`
	// Next continues the list; empty at its end.
	Next string `json:"next,omitempty"`
}

// Journal is a page of a pair's journal, newest first.
type Journal struct {
	V       int          `json:"v"`
	Entries []pair.Entry `json:"entries"`
	// Next continues with older entries; empty at the end.
	Next string `json:"next,omitempty"`
}

// Applied is the answer to a definition.
type Applied struct {
	V      int    `json:"v"`
	Name   string `json:"name"`
	Change string `json:"change"` // created, changed, unchanged
	DryRun bool   `json:"dryRun,omitempty"`
}

// Problem tells what went wrong in a form programs can read (RFC 9457).
type Problem struct {
	Kind     string    `json:"kind"`   // the error kind's short name
	Status   int       `json:"status"` // HTTP status
	Detail   string    `json:"detail"`
	Mistakes []Mistake `json:"mistakes,omitempty"` // in a definition
}

// Mistake is one thing that is wrong in a pair file.
type Mistake struct {
	Line     int    `json:"line,omitempty"`
	Field    string `json:"field,omitempty"`
	Value    string `json:"value,omitempty"`
	Expected string `json:"expected"`
}
