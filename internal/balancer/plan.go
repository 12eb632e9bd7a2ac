package balancer

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"

	"tandem/internal/pair"
)

// PlanVersion is the version of the stored form of a Plan.
const PlanVersion = 1

// Plan is what must be written so that a pair has what it needs, in the order
// in which it must be written. It is a value: it can be shown, stored as JSON,
// approved by its hash, and carried out step by step.
type Plan struct {
	V    int    `json:"v"`
	Pair string `json:"pair"`
	// Hash names the plan: two plans have the same one when and only when they
	// have the same steps for the same pair.
	Hash  string `json:"hash"`
	Steps []Step `json:"steps"`
}

// Step is one write of one resource.
type Step struct {
	Resource pair.ResourceID `json:"resource"`
	Action   Action          `json:"action"`
	// New is the document to begin with when the resource is created.
	New     json.RawMessage `json:"new,omitempty"`
	Changes []Change        `json:"changes"`
	// Hash names what the step does, in 16 hexadecimal digits. It does not cover
	// reasons, nor the spelling of what is compared as the same.
	Hash string `json:"hash"`
}

// Change is one difference between what stands in a document and what must
// stand there.
type Change struct {
	// Path is the place, as Path.String writes it. Where an element of a list is
	// missing, it is the place of the element, and To the whole element.
	Path string `json:"path"`
	// From is what stands there, without white space and with names in order, so
	// that it does not depend on how it was spelled; nil where nothing stands.
	From json.RawMessage `json:"from,omitempty"`
	// To is what must stand there; nil where nothing must.
	To  json.RawMessage `json:"to,omitempty"`
	Why string          `json:"why"`
}

// Action is what a step does to its resource.
type Action uint8

// The actions; the zero value means that nothing is done. Resources are never
// deleted.
const (
	ActionUnknown Action = iota
	Create
	Update
)

func (a Action) String() string {
	switch a {
	case Create:
		return "create"
	case Update:
		return "update"
	default:
		return "unknown"
	}
}

// MarshalText writes the stored form.
func (a Action) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText reads the stored form.
func (a *Action) UnmarshalText(b []byte) error {
	for _, known := range []Action{ActionUnknown, Create, Update} {
		if string(b) == known.String() {
			*a = known
			return nil
		}
	}
	return fmt.Errorf("unknown action %q: %w", b, pair.ErrInvalid)
}

// Empty says whether nothing must be written.
func (p Plan) Empty() bool { return len(p.Steps) == 0 }

// Covers says whether another plan has only steps that this one has as well:
// then that is what is left of this plan when it was carried out in part, and
// an approval of this one is one of the other.
func (p Plan) Covers(rest Plan) bool {
	if p.Pair != rest.Pair {
		return false
	}
	type step struct {
		resource pair.ResourceID
		hash     string
	}
	have := make(map[step]bool, len(p.Steps))
	for _, s := range p.Steps {
		have[step{s.Resource, s.Hash}] = true
	}
	for _, s := range rest.Steps {
		if !have[step{s.Resource, s.Hash}] {
			return false
		}
	}
	return true
}

// Key is the lasting name of the place that a change of this step changes,
// whatever stands there: the same field has the same key in every plan.
func (s Step) Key(c Change) string { return string(s.Resource) + "#" + fold(c.Path) }

// hash makes Plan.Hash from the steps.
func (p Plan) hash() string {
	type step struct {
		Resource pair.ResourceID
		Hash     string
	}
	canonical := struct {
		V     int
		Pair  string
		Steps []step
	}{PlanVersion, p.Pair, make([]step, 0, len(p.Steps))}
	for _, s := range p.Steps {
		canonical.Steps = append(canonical.Steps, step{s.Resource, s.Hash})
	}
	return digest(canonical)
}

// hash makes Step.Hash from everything else.
func (s Step) hash() string {
	type change struct {
		Path     string
		From, To string
	}
	canonical := struct {
		V        int
		Resource pair.ResourceID
		Action   string
		New      string
		Changes  []change
	}{PlanVersion, s.Resource, s.Action.String(), string(s.New), make([]change, 0, len(s.Changes))}
	for _, c := range s.Changes {
		canonical.Changes = append(canonical.Changes, change{fold(c.Path), c.compared(c.From), c.compared(c.To)})
	}
	return digest(canonical)
}

// compared is what a change is from or to, in the form in which it is compared:
// the platform may spell the id of a new resource otherwise than it was asked to,
// and then a step that refers to it is still the same step.
func (c Change) compared(value json.RawMessage) string {
	if value == nil {
		return ""
	}
	t, err := readTree(value, nil)
	if err != nil {
		return string(value)
	}
	return string(t.write(nil, 0, c.form()))
}

// form is the one in which the values of a change are compared.
func (c Change) form() form {
	path, err := parsePath(c.Path)
	if err != nil {
		return exact
	}
	return path.form()
}

// form is the one in which values at a path are compared.
func (p Path) form() form {
	if slices.ContainsFunc(p, func(s Segment) bool { return caseful(s.Name) }) {
		return exact
	}
	return folded
}

// digest is short enough to be typed, and long enough that no two plans of a
// pair have the same.
func digest(canonical any) string {
	b, err := json.Marshal(canonical)
	if err != nil { // texts and numbers only
		b = fmt.Append(nil, canonical)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:8])
}
