package loadmaster

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"
	"unicode"

	"tandem/internal/pair"
)

// statsEvery is how often the time of the last change is read. The answer of
// stats lists every service with its counters, so it is the one expensive
// read of a report, and settings are compared every two minutes at most.
const statsEvery = time.Minute

// Report asks a unit for its own view of itself. It takes three calls on one
// connection: boottime, hastatus and getazurehaparams. The version is read
// again only when the boot time has changed, since firmware changes with a
// reboot only, and ChangedAt is up to a minute old.
//
// Firmware that does not know hastatus is asked for activetime instead: 0 is
// a standby (loadmaster.md 2.2). Any other value leaves the state unknown,
// because a unit without HA has one too; the check port tells who serves.
//
// A fact that the unit does not give is missing. An error means that the unit
// gave no view at all; then the report is empty.
func (c *Client) Report(ctx context.Context, u pair.Unit) (pair.Report, error) {
	s, err := c.open(ctx, u)
	if err != nil {
		return pair.Report{}, err
	}
	defer s.unit.closeIdle() // nothing asks this unit again soon, and thousands of idle connections are dear
	return s.wholeReport(ctx)
}

// wholeReport is a report, or an error and nothing of one.
func (s *session) wholeReport(ctx context.Context) (pair.Report, error) {
	r, err := s.report(ctx)
	if err != nil {
		return pair.Report{}, err
	}
	return r, nil
}

func (s *session) report(ctx context.Context) (pair.Report, error) {
	var r pair.Report
	boot, err := s.optional(ctx, get("boottime"), "boottime")
	if err != nil {
		return r, err
	}
	r.BootedAt = timeOf(boot)
	known := s.unit.known(boot)
	if r.State, err = s.state(ctx, &known); err != nil {
		return r, err
	}
	if known.firmware == "" {
		if known.firmware, err = s.optional(ctx, get("version"), "version"); err != nil {
			return r, err
		}
	}
	r.Firmware = known.firmware
	if err := s.addHA(ctx, &r); err != nil {
		return r, err
	}
	if now := time.Now(); known.readAt.IsZero() || now.Sub(known.readAt) >= statsEvery {
		changed, err := s.optional(ctx, command{name: statsRead}, "ChangeTime")
		if err != nil {
			return r, err
		}
		known.changedAt, known.readAt = timeOf(changed), now
	}
	r.ChangedAt = known.changedAt
	s.unit.learn(known)
	return r, nil
}

// state reads the HA state, remembering whether this firmware tells it.
func (s *session) state(ctx context.Context, known *facts) (pair.HAState, error) {
	if !known.noStatus {
		data, err := s.call(ctx, get("hastatus"))
		if word, ok := data.value("hastatus"); ok {
			return s.stateOf(ctx, word), nil
		}
		known.noStatus = errors.Is(err, pair.ErrNotFound)
		if err != nil && !known.noStatus {
			return pair.StateUnknown, err
		}
	}
	active, err := s.optional(ctx, get("activetime"), "activetime")
	if err != nil || active != "0" {
		return pair.StateUnknown, err
	}
	return pair.Standby, nil
}

func (s *session) stateOf(ctx context.Context, word string) pair.HAState {
	state := haState(word)
	if state == pair.StateUnknown {
		s.client.opts.Log.LogAttrs(ctx, slog.LevelDebug, "unit reports an HA state that is not known",
			slog.String("unit", s.unit.at.String()), slog.String("hastatus", s.shown(word)))
	}
	return state
}

func (s *session) addHA(ctx context.Context, r *pair.Report) error {
	data, err := s.optionalData(ctx, command{name: haRead})
	if err != nil {
		return err
	}
	ha := s.haParameters(data)
	r.Role, r.Preferred = ha.Role, ha.Preferred
	r.Partner, r.CheckPort, r.AllInterfaces = ha.Partner, ha.CheckPort, ha.AllInterfaces
	return nil
}

// optional reads one field that a report can do without.
func (s *session) optional(ctx context.Context, c command, field string) (string, error) {
	data, err := s.optionalData(ctx, c)
	if err != nil {
		return "", err
	}
	text, _ := data.value(field)
	return s.fact(text), nil
}

// optionalData passes over what concerns one command only. That the unit is
// silent, refuses or is not trusted ends the report.
func (s *session) optionalData(ctx context.Context, c command) (element, error) {
	data, err := s.call(ctx, c)
	for _, passing := range []error{pair.ErrNotFound, pair.ErrInvalid, pair.ErrUnreadable, errForbidden} {
		if errors.Is(err, passing) {
			s.client.opts.Log.LogAttrs(ctx, slog.LevelDebug, "unit does not give a fact",
				slog.String("unit", s.unit.at.String()), slog.String("command", c.String()), slog.Any("error", err))
			return element{}, nil
		}
	}
	return data, err
}

// fact takes a text from the unit for one that may be kept: short, printable
// and without secrets, or else nothing.
func (s *session) fact(text string) string {
	odd := func(r rune) bool { return !unicode.IsPrint(r) }
	if len(text) > maxShown || strings.ContainsFunc(text, odd) || s.hider.Replace(text) != text {
		return ""
	}
	return text
}
