package loadmaster

import (
	"context"
	"fmt"

	"tandem/internal/pair"
)

// Configure makes a unit the first or the second of its pair with the given HA
// parameters, and returns the report of the unit as it is then. It sets this on
// one unit, and does not reboot it: the guide wants both rebooted after their
// modes have changed, the API's own recipe does not (loadmaster.md 2.1), so until
// then the unit may say that HA is not configured.
//
// The parameters are read first, and only what differs is written: the mode, and
// then the four parameters together, because a setter resets what is left out
// (loadmaster.md 0.1 item 3). What a unit does not tell differs. Nothing is sent
// where the values make no sense, as when the partner is the unit itself, which
// the guide tells people to enter (ErrInvalid; loadmaster.md 2.1).
//
// Each write is sent once. ErrUnknownOutcome means that something was sent and
// that not all is known of its effect: an answer was lost, the unit could not be
// read afterwards, or it took the mode and then not the parameters. ErrConflict
// means that the unit said yes and reads otherwise; then the report, which comes
// with the error, says how it reads. After any error but these two nothing was
// changed.
func (c *Client) Configure(ctx context.Context, u pair.Unit, role pair.Role, want HAParameters) (pair.Report, error) {
	if want.Role == pair.RoleUnknown {
		want.Role = role
	}
	if err := want.checkFor(u, role); err != nil {
		return pair.Report{}, fmt.Errorf("configure HA on unit %q: %w", u.VM, err)
	}
	s, err := c.open(ctx, u)
	if err != nil {
		return pair.Report{}, err
	}
	defer s.unit.closeIdle() // as after a report
	writes, err := s.toConfigure(ctx, want)
	if err != nil {
		return pair.Report{}, err
	}
	if len(writes) == 0 {
		return s.wholeReport(ctx)
	}
	for i, write := range writes {
		_, err := s.call(ctx, write)
		switch {
		case err != nil && i > 0:
			return pair.Report{}, s.fault(write, "the HA mode was changed, and then: "+err.Error(), pair.ErrUnknownOutcome)
		case err != nil:
			return pair.Report{}, err
		}
	}
	return s.reportBack(ctx, writes[len(writes)-1], want.differenceInAll)
}

// checkFor refuses what cannot be the HA settings of a unit.
func (p HAParameters) checkFor(u pair.Unit, role pair.Role) error {
	switch {
	case role != pair.First && role != pair.Second:
		return fmt.Errorf("role %v: expected first or second: %w", role, pair.ErrInvalid)
	case p.Role != role:
		return fmt.Errorf("the parameters are those of the %v unit, expected the %v: %w", p.Role, role, pair.ErrInvalid)
	case p.partnerIs(u.Address.Unmap()):
		return fmt.Errorf("partner %q is the unit itself: %w", p.Partner, pair.ErrInvalid)
	}
	if err := p.check(); err != nil {
		return err
	}
	return p.command().check() // before the mode is sent, which goes first
}

// toConfigure lists the writes that make a unit's HA settings the wanted ones, in
// their order.
func (s *session) toConfigure(ctx context.Context, want HAParameters) ([]command, error) {
	data, err := s.call(ctx, command{name: haRead})
	if err != nil {
		return nil, err
	}
	got := s.haParameters(data)
	all, _ := haFields(data).value("HealthCheckAllInterfaces")
	var writes []command
	if got.Role != want.Role {
		writes = append(writes, modeCommand(want.Role))
	}
	if odd := !yes(all) && !no(all); odd || want.difference(got) != "" {
		writes = append(writes, want.command())
	}
	return writes, nil
}

// differenceInAll says how got differs from what is wanted, the role included.
func (p HAParameters) differenceInAll(got HAParameters) string {
	d := p.difference(got)
	switch {
	case p.Role == got.Role:
		return d
	case d == "":
		return p.differenceInRole(got)
	default:
		return p.differenceInRole(got) + ", " + d
	}
}

func (p HAParameters) differenceInRole(got HAParameters) string {
	return fmt.Sprintf("role %v, expected %v", got.Role, p.Role)
}
