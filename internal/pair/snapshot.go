package pair

import (
	"encoding/json"
	"time"
)

// Snapshot is everything that the store holds of a pair, read at once from its
// partition.
type Snapshot struct {
	Definition Definition
	Record     Record
	Intents    []Intent // those not yet closed, in id order
	Outbox     []Post   // posts not yet delivered, in id order
	// Version names the record's state in the store. A Change is only taken
	// while it still stands.
	Version string
}

// Change is one write to a pair: everything in it is stored together or not at
// all, and only if the record is still the one that the snapshot was read with.
type Change struct {
	Record     Record
	Definition *Definition // nil leaves it as it is
	PutIntents []Intent    // new or changed
	DelIntents []string    // ids of closed ones
	Outbox     []Post      // new posts
}

// PostKind is where a post goes.
type PostKind uint8

// The kinds of posts.
const (
	PostUnknown PostKind = iota
	PostJournal          // an entry for the pair's journal
	PostMessage          // a queue message
	PostEvent            // a CloudEvent for the custom topic
)

var postNames = names{"unknown", "journal", "message", "event"}

func (k PostKind) String() string               { return postNames.text(uint8(k)) }
func (k PostKind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText reads the stored form.
func (k *PostKind) UnmarshalText(b []byte) error {
	v, err := postNames.parse("post", b)
	*k = PostKind(v)
	return err
}

// Post is something to be sent after the pair's state was stored. It waits in
// the pair's own partition until it is delivered, so a crash in between loses
// nothing, and its id makes a repeated delivery harmless.
type Post struct {
	V         int             `json:"v"`
	MinReader int             `json:"minReader"`
	ID        string          `json:"id"` // <pair>-<epoch>-<seq>
	Kind      PostKind        `json:"kind"`
	At        time.Time       `json:"at"`
	Type      string          `json:"type"`            // entry kind, message kind, or event type
	Queue     string          `json:"queue,omitempty"` // for PostMessage
	Delay     Duration        `json:"delay,omitempty"` // for PostMessage
	Body      json.RawMessage `json:"body"`
}

// The kinds of journal entries.
const (
	EntryDecided = "decided" // body: Decided
	EntryClosed  = "closed"  // body: Intent
	EntryApplied = "applied" // body: Definition
	EntryAsked   = "asked"   // body: Asked
)

// Decided is the journal's form of a decision: with its input it can be
// computed again, byte for byte.
type Decided struct {
	Decision Decision `json:"decision"`
	Input    Input    `json:"input"`
	Reason   string   `json:"reason"`
	Person   string   `json:"person,omitempty"` // what a person can do
}

// Asked is the journal's form of a person's word about the pair.
type Asked struct {
	// Word is pause, resume, approve, ack, prove, backup, restore, apply or remove; of
	// all pairs stop or go; with Job the kind of the job that was begun, or what was said about it:
	// approve, pause, resume, cancel.
	Word   string    `json:"word"`
	By     string    `json:"by"`
	Reason string    `json:"reason,omitempty"`
	Until  time.Time `json:"until,omitzero"`  // when a pause or an approval ends by itself
	Unit   Role      `json:"unit,omitempty"`  // the unit under maintenance
	Plan   string    `json:"plan,omitempty"`  // the hash of what was approved
	Job    string    `json:"job,omitempty"`   // the id of the job that the word is about
	Force  bool      `json:"force,omitempty"` // the job overrides the proof that its target is fit
	// Backup is the one that is to be restored, and Parts are the words for its parts.
	Backup string `json:"backup,omitempty"`
	Parts  string `json:"parts,omitempty"`
	// Setting is what a person chose a unit's state of, with both states.
	Setting string `json:"setting,omitempty"`
}

// Entry is one row of a pair's journal; its kind tells what its body is.
type Entry struct {
	ID   string          `json:"id"`
	Kind string          `json:"kind"`
	At   time.Time       `json:"at"`
	Body json.RawMessage `json:"body"`
}

// Message is what travels in the queues: who shall be looked at, and why.
type Message struct {
	V     int      `json:"v"`
	Kind  string   `json:"kind"` // "wake"
	Pairs []string `json:"pairs,omitempty"`
	// Topologies are GEO topologies that shall be looked at.
	Topologies []string `json:"topologies,omitempty"`
	Cause      Cause    `json:"cause,omitzero"`
	// Job is the id of the job that the message carries on.
	Job string `json:"job,omitempty"`
	// Attempt counts how often this message was put back after a passing
	// fault, so that it does not go round for ever.
	Attempt int `json:"attempt,omitempty"`
}

// The queues (DESIGN section 4).
const (
	QueuePairs = "tandem-pairs"
	QueueJobs  = "tandem-jobs"
)
