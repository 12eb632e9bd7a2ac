package settings

import (
	"fmt"
	"time"

	"tandem/internal/pair"
)

var preferNames = [...]string{"nobody", "active", "first", "second"}

func (p Prefer) String() string {
	if int(p) >= len(preferNames) {
		return preferNames[PreferNobody]
	}
	return preferNames[p]
}

// MarshalText writes the name of a preference, as commands and stored states spell it.
func (p Prefer) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText reads the name of a preference; one that is not known is
// pair.ErrInvalid.
func (p *Prefer) UnmarshalText(b []byte) error {
	for i, name := range preferNames {
		if name == string(b) {
			*p = Prefer(i)
			return nil
		}
	}
	return fmt.Errorf("read preference %q: expected active, first or second: %w", b, pair.ErrInvalid)
}

// Comparison is everything that a merge came from, as it is kept: what both units had
// in common, what both had when they were read, and what may be done. Merging it again
// gives the same differences and the same writes, in the same order.
type Comparison struct {
	V  int       `json:"v"`
	At time.Time `json:"at"` // when the units were read
	// Base is what was known to be common before.
	Base   Base     `json:"base"`
	First  Snapshot `json:"first"`
	Second Snapshot `json:"second"`
	Policy Policy   `json:"policy"`
	// Since is when each difference was seen first, by its id.
	Since map[string]time.Time `json:"since,omitempty"`
}

// ComparisonVersion is the version of the stored form of a Comparison.
const ComparisonVersion = 1

// Result merges.
func (c *Comparison) Result() Result { return Merge(c.Base, &c.First, &c.Second, c.Policy) }

// Compare merges both units, and finds since when each difference is known: since now,
// or since the comparison before, which may be nil. It returns what both have in common
// now, to compare with the next time.
func (c *Comparison) Compare(before *Comparison) (Result, Base) {
	r := c.Result()
	c.Since = map[string]time.Time{}
	for _, d := range r.Differences() {
		c.Since[d.ID] = c.At
		if before == nil {
			continue
		}
		if at, known := before.Since[d.ID]; known && at.Before(c.At) {
			c.Since[d.ID] = at
		}
	}
	return r, Common(c.Base, &c.First, &c.Second, r)
}

// Seen returns when the oldest and the newest difference were seen first, zero where
// nothing differs.
func (c *Comparison) Seen() (oldest, newest time.Time) {
	for _, at := range c.Since {
		if oldest.IsZero() || at.Before(oldest) {
			oldest = at
		}
		if at.After(newest) {
			newest = at
		}
	}
	return oldest, newest
}

// Differences are all that a merge found, whatever becomes of them.
func (r *Result) Differences() []Difference {
	all := make([]Difference, 0, len(r.Carried)+len(r.Conflicts)+len(r.Held))
	for _, c := range r.Carried {
		all = append(all, c.Difference)
	}
	for _, c := range r.Conflicts {
		all = append(all, c.Difference)
	}
	for _, h := range r.Held {
		all = append(all, h.Difference)
	}
	return all
}

// Found counts what a merge found.
func (r *Result) Found() pair.SettingsFound {
	f := pair.SettingsFound{Unread: len(r.Unread)}
	carry := func(from pair.Role) {
		if from == pair.First {
			f.ToSecond++
		} else {
			f.ToFirst++
		}
	}
	for _, c := range r.Carried {
		carry(c.From)
	}
	for _, c := range r.Conflicts {
		if c.Winner == pair.RoleUnknown {
			f.Conflicts++
		} else {
			carry(c.Winner)
		}
	}
	for _, h := range r.Held {
		if h.Reason.Asks() {
			f.Asked++
		} else {
			f.Held++
		}
	}
	return f
}

// Asks reports whether a person's choice ends the wait.
func (r Reason) Asks() bool { return r >= DeletedOnStandby && r <= FirmwareChanged }

// In reports whether a write is of the class of that name, or lies in one.
func (w Write) In(class string) bool {
	for c := w.of; c != ClassUnknown; c = c.spec().within {
		if c.String() == class {
			return true
		}
	}
	return w.class.String() == class
}
