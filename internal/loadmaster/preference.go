package loadmaster

import (
	"context"
	"fmt"

	"tandem/internal/pair"
)

// Prefer sets which unit takes the active state back, nothing else, and
// returns the report of the unit as it is then. It sets this on one unit; a
// pair is moved by the same preference on both (DESIGN section 5).
//
// A write replaces all four HA parameters (loadmaster.md 0.1 item 3), so the
// other three are read first and written back as they were. Nothing is written
// where the preference is the wanted one already, nor where one of the three
// is missing (ErrUnreadable) or makes no sense (ErrInvalid), as when the unit
// calls itself its partner. That firmware does not tell its interfaces means
// no, as everywhere (loadmaster.md 2.1).
//
// The write is sent once. ErrUnknownOutcome means that it was sent and nothing
// is known of its effect: the answer was lost, or the unit could not be read
// afterwards. ErrConflict means that the unit said yes and reads otherwise in
// any of the four, be it that it forgot the write or that somebody else wrote
// too; then the report, which comes with the error, says how it reads. After
// any error but these two nothing was changed.
func (c *Client) Prefer(ctx context.Context, u pair.Unit, want pair.Preference) (pair.Report, error) {
	if want != pair.PreferFirst && want != pair.PreferNone {
		return pair.Report{}, fmt.Errorf("set the preference of unit %q to %v: expected first or none: %w", u.VM, want, pair.ErrInvalid)
	}
	s, err := c.open(ctx, u)
	if err != nil {
		return pair.Report{}, err
	}
	defer s.unit.closeIdle() // as after a report
	wanted, err := s.readToKeep(ctx, want)
	if err != nil {
		return pair.Report{}, err
	}
	if wanted.reads == want {
		return s.wholeReport(ctx)
	}
	write := wanted.command()
	if _, err := s.call(ctx, write); err != nil {
		return pair.Report{}, err
	}
	return s.reportBack(ctx, write, wanted.difference)
}

// kept are the HA parameters to write: a wanted preference, and the rest as
// the unit has it.
type kept struct {
	HAParameters
	reads pair.Preference // what the unit has now, unknown when it does not tell
}

// readToKeep reads the HA parameters in order to write them back. It is
// strict, because what is not understood would be changed.
func (s *session) readToKeep(ctx context.Context, want pair.Preference) (kept, error) {
	read := command{name: haRead}
	data, err := s.call(ctx, read)
	if err != nil {
		return kept{}, err
	}
	k := kept{HAParameters: s.haParameters(data)}
	k.reads, k.Preferred = k.Preferred, want
	fields := haFields(data)
	for _, name := range []string{"Partner", "Port"} {
		if text, _ := fields.value(name); text == "" {
			return kept{}, s.fault(read, "expected "+name+", which must be written back, it is not there", pair.ErrUnreadable)
		}
	}
	if err := k.check(); err != nil {
		return kept{}, s.fault(read, "what must be written back makes no sense: "+s.shown(err.Error()), pair.ErrInvalid)
	}
	if k.partnerIs(s.unit.at.Addr()) {
		return kept{}, s.fault(read, "the unit calls itself its partner, which must not be written back", pair.ErrInvalid)
	}
	if all, _ := fields.value("HealthCheckAllInterfaces"); !yes(all) && !no(all) {
		return kept{}, s.fault(read, fmt.Sprintf("HealthCheckAllInterfaces %q makes no sense, and must not be written back", s.shown(all)), pair.ErrInvalid)
	}
	return k, nil
}

// reportBack believes a write only when it is seen, and tells what else the
// unit says of itself.
func (s *session) reportBack(ctx context.Context, write command, difference func(HAParameters) string) (pair.Report, error) {
	r, err := s.wholeReport(ctx)
	if err != nil {
		return pair.Report{}, s.fault(write, "the unit said yes, but reading back failed: "+err.Error(), pair.ErrUnknownOutcome)
	}
	got := HAParameters{Role: r.Role, Partner: r.Partner, CheckPort: r.CheckPort, Preferred: r.Preferred, AllInterfaces: r.AllInterfaces}
	switch d := difference(got); {
	case got == HAParameters{}:
		return pair.Report{}, s.fault(write, "the unit said yes, but does not tell its HA parameters any more", pair.ErrUnknownOutcome)
	case d != "":
		return r, s.fault(write, "the unit said yes, but reads back "+d, pair.ErrConflict)
	default:
		return r, nil
	}
}
