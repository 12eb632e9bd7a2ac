package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"tandem/internal/pair"
)

// Word is what a person can say about a pair, or with stop and go about all of
// them.
type Word string

// The words.
const (
	Pause   Word = "pause"   // watch and explain, do nothing; with a unit, expect its silence
	Resume  Word = "resume"  // end a pause
	Approve Word = "approve" // do what is planned
	Ack     Word = "ack"     // a person has looked: automatic moves are allowed again
	Prove   Word = "prove"   // prove the lever
	BackUp  Word = "backup"  // take a backup now; with a unit, of that one only
	Apply   Word = "apply"   // write load balancers, security group and interfaces as a plan says
	Remove  Word = "remove"  // take back what is ours, then forget the pair
	Stop    Word = "stop"    // pause every pair
	Go      Word = "go"      // end that
)

// Ask is the body of a person's word. By is needed unless Entra ID tells who
// calls; then it may be left out, and must not be somebody else.
type Ask struct {
	By     string `json:"by,omitempty" jsonschema_description:"Who says it. Needed unless Entra ID tells that."`
	Reason string `json:"reason,omitempty" jsonschema_description:"Why, for whoever finds it so at night. Needed for pause, remove and stop."`
	// For and Until end a pause or a stop by itself; without them it stands
	// until somebody ends it. Only one of them may be given.
	For   pair.Duration `json:"for,omitempty" jsonschema_description:"For how long a pause or a stop stands."`
	Until time.Time     `json:"until,omitzero" jsonschema_description:"Until when a pause or a stop stands, instead of for."`
	Unit  pair.Role     `json:"unit,omitempty" jsonschema_description:"Of a pause: maintenance of this unit. Of a backup: this unit only."`
	Plan  string        `json:"plan,omitempty" jsonschema_description:"Of an approval or an application: the hash of the plan."`
}

// Asked is the answer to a person's word.
type Asked struct {
	V      int    `json:"v"`
	Word   Word   `json:"word"`
	Pair   string `json:"pair,omitempty"` // empty for stop and go
	Change string `json:"change"`         // stored, unchanged: it was so already
	DryRun bool   `json:"dryRun,omitempty"`
	// Epoch is the pair's after the word.
	Epoch uint64    `json:"epoch,omitempty"`
	By    string    `json:"by"`
	Until time.Time `json:"until,omitzero"`
	Plan  string    `json:"plan,omitempty"`
	// Stance says what Tandem may do about the pair now, in words.
	Stance string `json:"stance,omitempty"`
}

// What a change of a definition or a word came to.
const (
	changeStored    = "stored"
	changeUnchanged = "unchanged"
)

const (
	// askMax bounds the body of a word.
	askMax = 16 << 10
	// byMax and reasonMax bound texts, in bytes. Who approves stands in a tag
	// of the load balancer, which has room for 256 characters.
	byMax     = 100
	reasonMax = 500
	// idMax bounds what is taken for an id.
	idMax = 200
	// pauseMax is the longest that a pause with an end may last.
	pauseMax = 366 * 24 * time.Hour
)

// members are those of an Ask that a word takes besides by and reason.
type members struct {
	reason bool // is needed
	ends   bool // takes for and until
	unit   bool
	plan   bool
}

// takes says what each word takes.
var takes = map[Word]members{
	Pause:   {reason: true, ends: true, unit: true},
	Resume:  {},
	Approve: {plan: true},
	Ack:     {},
	Prove:   {},
	BackUp:  {unit: true},
	Apply:   {plan: true},
	Remove:  {reason: true},
	Stop:    {reason: true, ends: true},
	Go:      {},
}

// readAsk reads and checks the body of a word. In what it returns, Until is set
// where an end was given, and For is not.
func readAsk(r *http.Request, w Word, now time.Time) (Ask, error) {
	a, err := readBody[Ask](r, string(w), askKeys)
	if err != nil {
		return a, err
	}
	if a.By, err = byOf(r, a.By); err != nil {
		return a, err
	}
	if err := a.check(w, now); err != nil {
		return a, fmt.Errorf("%s: %w: %w", w, err, pair.ErrInvalid)
	}
	return a, nil
}

// askKeys are the keys of an Ask.
const askKeys = "by, reason, for, until, unit, plan"

// readBody reads a body with the given keys, and with no others.
func readBody[T any](r *http.Request, what, keys string) (form T, err error) {
	return readLongBody[T](r, askMax, what, keys)
}

// readLongBody is readBody for a body with a file in it.
func readLongBody[T any](r *http.Request, most int64, what, keys string) (form T, err error) {
	b, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, most))
	if _, over := errors.AsType[*http.MaxBytesError](err); over {
		return form, fmt.Errorf("%s: more than %d bytes: %w", what, most, pair.ErrTooLarge)
	}
	if err != nil {
		return form, fmt.Errorf("read the body of %s: %w: %w", what, pair.ErrUnreachable, err)
	}
	if form, err = parseBody[T](b, keys); err != nil {
		return form, fmt.Errorf("%s: %w: %w", what, err, pair.ErrInvalid)
	}
	return form, nil
}

func parseBody[T any](b []byte, keys string) (form T, err error) {
	if len(b) == 0 {
		return form, errors.New("empty body; expected JSON, which the host passes on only with Content-Length")
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&form); err != nil {
		return form, errors.New("expected a JSON object with " + keys + ": " + clip(err.Error()))
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return form, errors.New("expected one JSON object and nothing after it")
	}
	return form, nil
}

// checkSpeaker refuses whoever is nobody, and texts that cannot be shown.
func checkSpeaker(by, reason *string) error {
	*by, *reason = strings.TrimSpace(*by), strings.TrimSpace(*reason)
	switch {
	case *by == "":
		return errors.New("by: expected who asks")
	case strings.EqualFold(*by, pair.OwnerTandem):
		return fmt.Errorf("by %q: expected a person, this name is the program's own", *by)
	case !oneLine(*by, byMax):
		return fmt.Errorf("by: expected one line of at most %d bytes", byMax)
	case !oneLine(*reason, reasonMax):
		return fmt.Errorf("reason: expected one line of at most %d bytes", reasonMax)
	}
	return nil
}

// check refuses what the word does not take, instead of leaving it out.
func (a *Ask) check(w Word, now time.Time) error {
	if err := checkSpeaker(&a.By, &a.Reason); err != nil {
		return err
	}
	takes := takes[w]
	switch {
	case a.Reason == "" && takes.reason:
		return errors.New("reason: expected why, for whoever finds it so at night")
	case a.Unit != pair.RoleUnknown && !takes.unit:
		return errors.New("unit: only a pause and a backup take one")
	case a.Plan != "" && !takes.plan:
		return errors.New("plan: only an approval takes one")
	case a.Plan == "" && takes.plan:
		return errors.New("plan: expected the hash of the plan, as tandem status shows it")
	case !oneLine(a.Plan, byMax):
		return errors.New("plan: expected a hash")
	case (a.For != 0 || !a.Until.IsZero()) && !takes.ends:
		return errors.New("for, until: only pause and stop have an end")
	}
	return a.end(now)
}

// end turns for into until.
func (a *Ask) end(now time.Time) error {
	if a.For != 0 && !a.Until.IsZero() {
		return errors.New("for and until: expected one of them")
	}
	if a.For < 0 || time.Duration(a.For) > pauseMax {
		return fmt.Errorf("for %s: expected more than nothing and at most %s", a.For, pauseMax)
	}
	if a.For > 0 {
		a.Until, a.For = now.Add(time.Duration(a.For)), 0
	}
	if a.Until.IsZero() {
		return nil
	}
	a.Until = a.Until.UTC().Truncate(time.Millisecond)
	if !a.Until.After(now) || a.Until.Sub(now) > pauseMax {
		return fmt.Errorf("until %s: expected a time after now, %s, and at most %s ahead", a.Until.Format(time.RFC3339), now.Format(time.RFC3339), pauseMax)
	}
	return nil
}

// oneLine reports whether a text is short and made of what can be shown: it is
// stored, logged and shown on terminals.
func oneLine(s string, most int) bool {
	return len(s) <= most && utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}

// clip bounds what comes from outside before it is shown.
func clip(s string) string {
	const most = 200
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
