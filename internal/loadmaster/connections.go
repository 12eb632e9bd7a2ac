package loadmaster

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"tandem/internal/pair"
)

const statsRead = "stats"

// Connections asks a unit how many connections it carries at the moment: the
// sum over its virtual services, as stats tells it (loadmaster.md 5). Whether a
// service that has others inside is counted twice is documented nowhere; then it
// is too many, which makes a drain longer and never shorter.
//
// A unit without services carries none. But an answer that does not list the
// services, or does not tell of one of them how many connections it has, is
// ErrUnreadable: who waits for the last connection must not take silence for it.
func (c *Client) Connections(ctx context.Context, u pair.Unit) (int, error) {
	s, err := c.open(ctx, u)
	if err != nil {
		return 0, err
	}
	defer s.unit.closeIdle() // as after a report
	read := command{name: statsRead}
	data, err := s.call(ctx, read)
	if err != nil {
		return 0, err
	}
	n, err := connections(data)
	if err != nil {
		return 0, s.unreadable(read, s.shown(err.Error()))
	}
	return n, nil
}

// connections adds up the current connections of all services in an answer to
// stats.
func connections(stats element) (int, error) {
	total, services := 0, 0
	for _, service := range stats.children("Vs") {
		if service.empty() {
			continue
		}
		n, err := activeConnections(service)
		if err != nil {
			return 0, err
		}
		total += n
		services++
	}
	if services > 0 {
		return total, nil
	}
	if _, ok := stats.child("VStotals"); !ok {
		return 0, errors.New("expected the statistics of virtual services, found none")
	}
	for _, server := range stats.children("Rs") {
		if !server.empty() {
			return 0, errors.New("expected the virtual services to which the real servers belong, found none")
		}
	}
	return 0, nil
}

// activeConnections reads the current connections of one service. Of real
// servers firmware spells the field ActivConns (loadmaster.md 1.5), so that may
// be met here too.
func activeConnections(service element) (int, error) {
	for _, name := range []string{"ActiveConns", "ActivConns"} {
		text, ok := service.value(name)
		if !ok {
			continue
		}
		n, err := strconv.ParseUint(text, 10, 31)
		if err != nil {
			return 0, fmt.Errorf("%s %q: expected a number of connections", name, text)
		}
		return int(n), nil
	}
	return 0, errors.New("expected ActiveConns of every virtual service, found one without")
}
