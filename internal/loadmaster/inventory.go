package loadmaster

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"slices"
	"strings"

	"tandem/internal/pair"
)

const licenceRead = "licenseinfo"

// Inventory asks a unit what it has: a licence, and virtual services. Its time is
// left to the caller.
//
// What licenseinfo says on a unit that was never licensed is documented nowhere. A
// licence has a type (loadmaster.md 5), so that a unit which names none counts as
// unlicensed, and one that does not know the command is ErrNotFound: who waits for
// a licence must not take silence for one. Services are those of stats, where an
// answer that does not list them is ErrUnreadable, as for Connections.
func (c *Client) Inventory(ctx context.Context, u pair.Unit) (pair.InventorySeen, error) {
	var out pair.InventorySeen
	s, err := c.open(ctx, u)
	if err != nil {
		return out, err
	}
	defer s.unit.closeIdle() // as after a report
	licence, err := s.call(ctx, command{name: licenceRead})
	if err != nil {
		return out, err
	}
	read := command{name: statsRead}
	stats, err := s.call(ctx, read)
	if err != nil {
		return out, err
	}
	services, err := servicesIn(stats)
	if err != nil {
		return out, s.unreadable(read, s.shown(err.Error()))
	}
	kind, _ := licence.value("LicenseType")
	out.Licensed, out.Services, out.ServicesHash = kind != "", len(services), hashOf(services)
	return out, nil
}

// servicesIn lists the virtual services of an answer to stats by port and protocol,
// in order. Addresses are each unit's own, and so are numbers (loadmaster.md 0.1 fact
// 9, 7 item 9).
func servicesIn(stats element) ([]string, error) {
	var all []string
	for _, service := range stats.children("Vs") {
		if service.empty() {
			continue
		}
		port, ok := service.value("VSPort")
		if !ok || port == "" {
			return nil, errors.New("expected VSPort of every virtual service, found one without")
		}
		protocol, _ := service.value("VSProt")
		all = append(all, port+"/"+strings.ToLower(protocol))
	}
	if _, ok := stats.child("VStotals"); !ok && len(all) == 0 {
		return nil, errors.New("expected the statistics of virtual services, found none")
	}
	slices.Sort(all)
	return all, nil
}

// hashOf names exactly these services; none has no name.
func hashOf(services []string) string {
	if len(services) == 0 {
		return ""
	}
	sum := sha256.Sum256([]byte(strings.Join(services, "\n")))
	return hex.EncodeToString(sum[:8])
}
