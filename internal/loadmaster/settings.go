package loadmaster

import (
	"context"
	"errors"
	"log/slog"
	"strings"

	"tandem/internal/pair"
	"tandem/internal/settings"
)

// ReadSettings reads classes of a unit's settings, with what is needed to compare
// them. It makes about forty calls for settings.Everyday, and those that are for
// each object, one after the other within what a unit bears: seven seconds at
// least.
//
// A class that this firmware does not know, that the user may not read or that
// cannot be understood is not in the snapshot, which is another thing than a class
// without objects. That the unit is silent, refuses or is not trusted ends the
// reading with an error, and there is no snapshot then.
func (c *Client) ReadSettings(ctx context.Context, u pair.Unit, classes ...settings.Class) (settings.Snapshot, error) {
	s, err := c.open(ctx, u)
	if err != nil {
		return settings.Snapshot{}, err
	}
	defer s.unit.closeIdle() // as after a report
	reading := settings.NewReading(classes...)
	for calls := reading.Next(); len(calls) > 0; calls = reading.Next() {
		for _, call := range calls {
			if err := s.readSetting(ctx, reading, call); err != nil {
				return settings.Snapshot{}, err
			}
		}
	}
	return reading.Snapshot(), nil
}

// readSetting makes a call of a reading. What concerns the call only is missed.
func (s *session) readSetting(ctx context.Context, reading *settings.Reading, call settings.Call) error {
	read := command{name: call.Command, list: true}
	for _, a := range call.Args {
		read.args = append(read.args, arg{a.Name, a.Value})
	}
	data, err := s.call(ctx, read)
	if err == nil || withoutGEO(err) {
		err = reading.Take(call, node(data))
	} else {
		reading.Miss(call)
	}
	for _, passing := range []error{pair.ErrNotFound, pair.ErrInvalid, pair.ErrUnreadable, errForbidden} {
		if errors.Is(err, passing) {
			s.client.opts.Log.LogAttrs(ctx, slog.LevelDebug, "unit does not give settings",
				slog.String("unit", s.unit.at.String()), slog.String("call", s.shown(call.String())), slog.Any("error", err))
			return nil
		}
	}
	return err
}

// withoutGEO reports whether a unit said that it has none of what it was asked for:
// of GEO, some firmware says so by an error, of which the text is all there is
// (loadmaster.md 4.2).
func withoutGEO(err error) bool {
	return errors.Is(err, pair.ErrInvalid) && strings.Contains(strings.ToLower(err.Error()), "no geo data found")
}

// node gives an answer in the form that settings take.
func node(e element) settings.Node {
	n := settings.Node{Name: e.name, Text: e.text}
	if len(e.kids) > 0 {
		n.Kids = make([]settings.Node, len(e.kids))
	}
	for i, kid := range e.kids {
		n.Kids[i] = node(kid)
	}
	return n
}

// SettingsMark asks a unit, in one call, for a text that changes when its settings
// do (loadmaster.md 5). As long as it is the same, nothing need be read again. A unit
// that gives none is ErrUnreadable: it must not look unchanged.
func (c *Client) SettingsMark(ctx context.Context, u pair.Unit) (string, error) {
	s, err := c.open(ctx, u)
	if err != nil {
		return "", err
	}
	defer s.unit.closeIdle() // as after a report
	read := command{name: statsRead, list: true}
	data, err := s.call(ctx, read)
	if err != nil {
		return "", err
	}
	text, _ := data.value("ChangeTime")
	mark := s.fact(text)
	if mark == "" {
		return "", s.unreadable(read, "expected ChangeTime, found none")
	}
	return mark, nil
}
