package api

import "tandem/internal/pair"

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
	Plan     string    `json:"plan,omitempty"`     // hash of the plan that waits, where another was approved
	Job      string    `json:"job,omitempty"`      // id of the job that runs, where another was meant
}

// Mistake is one thing that is wrong in a pair file.
type Mistake struct {
	Line     int    `json:"line,omitempty"`
	Field    string `json:"field,omitempty"`
	Value    string `json:"value,omitempty"`
	Expected string `json:"expected"`
}
