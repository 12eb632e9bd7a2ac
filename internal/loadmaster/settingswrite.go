package loadmaster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"tandem/internal/pair"
	"tandem/internal/settings"
)

// WriteSetting makes one write on a unit: see WriteSettings.
func (c *Client) WriteSetting(ctx context.Context, u pair.Unit, w settings.Write) error {
	_, err := c.WriteSettings(ctx, u, []settings.Write{w})
	return err
}

// WriteSettings makes writes on a unit in their order, and returns how many of them
// are made and read back; with an error, the next one is the one that failed. Each is
// looked for first, made only as far as it is not so already, and compared with what
// reads back in normal form; so all of them may be made again after any error. Two or
// three calls are made for each, within what a unit bears.
//
// ErrUnknownOutcome means that an answer was lost: make the write again.
// *settings.NotKept, which is of the kind ErrConflict, is a unit that took it and reads
// otherwise. settings.ErrStandbyRejects is a standby that does not take it, which is
// one of two things that may become of it there (loadmaster.md 1.7). ErrInvalid is a
// write that object calls cannot make, of which nothing was sent, or values that the
// unit does not accept; ErrNotFound is a command that this firmware does not know, or
// something that is to be changed and is not there.
func (c *Client) WriteSettings(ctx context.Context, u pair.Unit, writes []settings.Write) (done int, err error) {
	s, err := c.open(ctx, u)
	if err != nil {
		return 0, err
	}
	defer s.unit.closeIdle() // as after a report
	writer := settings.NewWriter(func(call settings.Call) (settings.Node, error) { return s.setting(ctx, call) })
	for i, w := range writes {
		if err := writer.Write(w); err != nil {
			return i, err
		}
	}
	return len(writes), nil
}

// setting makes a call of a write of settings.
func (s *session) setting(ctx context.Context, call settings.Call) (settings.Node, error) {
	c := command{name: call.Command, write: call.Writes, upload: call.File, list: !call.Writes, lines: true}
	for _, a := range call.Args {
		c.args = append(c.args, arg{a.Name, a.Value})
	}
	data, err := s.call(ctx, c)
	switch {
	case err == nil:
		return node(data), nil
	case !call.Writes && withoutGEO(err):
		return settings.Node{}, nil
	case call.Writes:
		err = s.onStandby(ctx, c, err)
	}
	return settings.Node{}, err
}

// onStandby tells a unit that does not take a write because it is standby from one that
// does not accept the values. No text of such a refusal is known, so the unit is asked
// what it is.
func (s *session) onStandby(ctx context.Context, c command, err error) error {
	if !errors.Is(err, pair.ErrInvalid) && !errors.Is(err, errForbidden) {
		return err
	}
	data, lost := s.call(ctx, get("hastatus"))
	if lost != nil {
		return err
	}
	status, _ := data.value("hastatus")
	if state := haState(status); state != pair.Standby && state != pair.Unconnected {
		return err
	}
	return &fault{text: fmt.Sprintf("call %s on %s: %v (%v)", c, s.unit.at, settings.ErrStandbyRejects, err), is: []error{settings.ErrStandbyRejects}}
}

const (
	// provocationPort and the ports after it are where the marked service is made. No
	// service known uses them, and the unit's own tunnels do not; where one does,
	// the next is taken.
	provocationPort = 61973
	provocationLast = provocationPort + 9
)

// ProvokeSync has the vendor's sync run at once, by a marked virtual service that is
// made on the active unit (loadmaster.md 2.5). It is switched off and lies on the
// unit's own address, so nobody can reach anything by it. It stays there until
// WithdrawProvocation; one that is there already is removed first, because the making
// is what provokes.
func (c *Client) ProvokeSync(ctx context.Context, u pair.Unit) error {
	s, err := c.open(ctx, u)
	if err != nil {
		return err
	}
	defer s.unit.closeIdle() // as after a report
	taken, err := s.withdraw(ctx)
	if err != nil {
		return err
	}
	port := provocationPort
	for slices.Contains(taken, port) {
		if port++; port > provocationLast {
			return fmt.Errorf("provoke the sync of unit %q: ports %d to %d have services: %w", u.VM, provocationPort, provocationLast, pair.ErrExists)
		}
	}
	add := command{name: "addvs", write: true, args: []arg{
		{"vs", u.Address.Unmap().String()},
		{"port", strconv.Itoa(port)},
		{"prot", "tcp"},
		{"NickName", settings.ProvocationName},
		{"Enable", "0"},
	}}
	_, err = s.call(ctx, add)
	if err != nil {
		return s.onStandby(ctx, add, err)
	}
	return nil
}

// WithdrawProvocation removes the marked virtual service, wherever it is and whoever
// made it: it is known by its name, so one that a crash left is found, and one that the
// vendor's sync carried over is too. It is nil where there is none.
func (c *Client) WithdrawProvocation(ctx context.Context, u pair.Unit) error {
	s, err := c.open(ctx, u)
	if err != nil {
		return err
	}
	defer s.unit.closeIdle() // as after a report
	_, err = s.withdraw(ctx)
	return err
}

// withdraw removes all services of the name, and returns the ports of the others.
func (s *session) withdraw(ctx context.Context) (ports []int, err error) {
	list, err := s.call(ctx, command{name: "listvs", list: true})
	if err != nil {
		return nil, err
	}
	for _, vs := range list.children("VS") {
		name, _ := vs.value("NickName")
		port, _ := vs.value("VSPort")
		if name != settings.ProvocationName {
			ports = append(ports, portOf(port))
			continue
		}
		address, _ := vs.value("VSAddress")
		protocol, _ := vs.value("Protocol")
		remove := command{name: "delvs", write: true, args: []arg{{"vs", address}, {"port", port}, {"prot", cmp.Or(strings.ToLower(protocol), "tcp")}}}
		if _, err := s.call(ctx, remove); err != nil {
			return nil, s.onStandby(ctx, remove, err)
		}
	}
	return ports, nil
}
