package loadmaster

import (
	"context"
	"fmt"
	"net/netip"
	"strings"

	"tandem/internal/pair"
)

const (
	// mostGEO bounds each list of an answer: many times what a topology has.
	mostGEO = 4096

	geoAccess   = "geoclients"
	geoPartners = "geopartners"
)

// GEO asks a unit what it holds of GEO: whom it lets ask for its services' states,
// its partners and what it says of them, and its clusters (loadmaster.md 4). Its time
// is left to the caller.
//
// Some firmware answers with an error where it has no cluster, which counts as none
// (loadmaster.md 4.2). A list with something in it that is no address is
// ErrUnreadable: what is not understood would be lost when the list is written.
func (c *Client) GEO(ctx context.Context, u pair.Unit) (pair.GEOSeen, error) {
	s, err := c.open(ctx, u)
	if err != nil {
		return pair.GEOSeen{}, err
	}
	defer s.unit.closeIdle() // as after a report
	return s.geo(ctx)
}

func (s *session) geo(ctx context.Context) (seen pair.GEOSeen, err error) {
	boot, err := s.optional(ctx, get("boottime"), "boottime")
	if err != nil {
		return seen, err
	}
	seen.BootedAt = timeOf(boot)
	if err := s.geoConfiguration(ctx, &seen); err != nil {
		return pair.GEOSeen{}, err
	}
	status, err := s.optionalData(ctx, command{name: "getgeopartnerstatus", list: true})
	if err != nil {
		return pair.GEOSeen{}, err
	}
	seen.Status = partnersIn(status, s.fact)
	return seen, nil
}

// geoConfiguration reads what SetGEO writes.
func (s *session) geoConfiguration(ctx context.Context, seen *pair.GEOSeen) (err error) {
	if seen.Access, err = s.addressList(ctx, geoAccess); err != nil {
		return err
	}
	if seen.Partners, err = s.addressList(ctx, geoPartners); err != nil {
		return err
	}
	read := command{name: "listclusters", list: true}
	data, err := s.call(ctx, read)
	if err != nil && !withoutGEO(err) {
		return err
	}
	if seen.Clusters, err = clustersIn(data, s.fact); err != nil {
		return s.unreadable(read, s.shown(err.Error()))
	}
	return nil
}

// addressList reads a parameter that holds addresses.
func (s *session) addressList(ctx context.Context, name string) ([]netip.Addr, error) {
	data, err := s.call(ctx, get(name))
	if err != nil {
		return nil, err
	}
	text, ok := data.value(name)
	if !ok {
		return nil, s.unreadable(get(name), "expected "+name+", found none")
	}
	list, err := addressesIn(text)
	if err != nil {
		return nil, s.unreadable(get(name), s.shown(err.Error()))
	}
	return list, nil
}

// addressesIn reads addresses with commas or blanks in between (loadmaster.md 4.4).
func addressesIn(text string) ([]netip.Addr, error) {
	var all []netip.Addr
	for word := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == ',' || r == ' ' }) {
		a, err := netip.ParseAddr(word)
		switch {
		case err != nil || a.Zone() != "":
			return nil, fmt.Errorf("expected addresses, found %q", word)
		case len(all) == mostGEO:
			return nil, fmt.Errorf("expected %d addresses at most", mostGEO)
		}
		all = append(all, a.Unmap())
	}
	return all, nil
}

// clustersIn reads an answer to listclusters. keep is what may be kept of a text.
func clustersIn(data element, keep func(string) string) ([]pair.GEOCluster, error) {
	var all []pair.GEOCluster
	for _, e := range data.children("cluster") {
		if e.empty() {
			continue
		}
		text, _ := e.value("IPAddress")
		a, err := netip.ParseAddr(text)
		switch {
		case err != nil || a.Zone() != "":
			return nil, fmt.Errorf("expected the address of every cluster, found %q", text)
		case len(all) == mostGEO:
			return nil, fmt.Errorf("expected %d clusters at most", mostGEO)
		}
		name, _ := e.value("Name")
		kind, _ := e.value("Type")
		all = append(all, pair.GEOCluster{Name: keep(name), Address: a.Unmap(), Half: kind == "0" || strings.EqualFold(kind, "default")})
	}
	return all, nil
}

// partnersIn reads an answer to getgeopartnerstatus, the names of whose fields are
// documented nowhere (loadmaster.md 4.4): of each partner the value that is an
// address, and the one whose name ends in status. What has no address is left out.
func partnersIn(data element, keep func(string) string) []pair.GEOPartner {
	partners, ok := data.child("GeoPartners")
	if !ok {
		partners = data
	}
	var all []pair.GEOPartner
	for _, e := range partners.children("Partner") {
		var p pair.GEOPartner
		for _, kid := range e.kids {
			text := unpadded(kid.text)
			if a, err := netip.ParseAddr(text); err == nil && !p.Address.IsValid() {
				p.Address = a.Unmap()
			} else if strings.HasSuffix(strings.ToLower(kid.name), "status") {
				p.Status = keep(text)
			}
		}
		if p.Address.IsValid() && len(all) < mostGEO {
			all = append(all, p)
		}
	}
	return all
}

// SetGEO writes GEO lists or clusters of one unit, and returns what it holds then.
// What is there is read first, and only what differs is written: so it may be
// repeated after whatever became of it. A list that is submitted is written also
// where it reads right.
//
// Each write is sent once. ErrUnknownOutcome means that something was sent and that
// not all is known of its effect, ErrConflict that the unit said yes and reads
// otherwise. After any other error nothing was changed.
func (c *Client) SetGEO(ctx context.Context, u pair.Unit, w pair.GEOWrite) (pair.GEOSeen, error) {
	s, err := c.open(ctx, u)
	if err != nil {
		return pair.GEOSeen{}, err
	}
	defer s.unit.closeIdle() // as after a report
	var was pair.GEOSeen
	if err := s.geoConfiguration(ctx, &was); err != nil {
		return pair.GEOSeen{}, err
	}
	writes := toSetGEO(w, &was)
	for i, write := range writes {
		_, err := s.call(ctx, write)
		switch {
		case err != nil && i > 0:
			return pair.GEOSeen{}, s.fault(write, "something was written, and then: "+err.Error(), pair.ErrUnknownOutcome)
		case err != nil:
			return pair.GEOSeen{}, err
		}
	}
	last := command{name: "listclusters"}
	if len(writes) > 0 {
		last = writes[len(writes)-1]
	}
	now, err := s.geo(ctx)
	switch {
	case err != nil && len(writes) > 0:
		return pair.GEOSeen{}, s.fault(last, "the unit said yes, but reading back failed: "+err.Error(), pair.ErrUnknownOutcome)
	case err != nil:
		return pair.GEOSeen{}, err
	}
	if left := toSetGEO(unsubmitted(w), &now); len(left) > 0 {
		return now, s.fault(last, "the unit said yes, but reads as if "+left[0].String()+" had not been", pair.ErrConflict)
	}
	return now, nil
}

// unsubmitted is what of a write can be seen.
func unsubmitted(w pair.GEOWrite) pair.GEOWrite {
	w.Submit = false
	return w
}

// toSetGEO lists the writes that bring a unit from what it holds to what is wanted,
// in their order.
func toSetGEO(w pair.GEOWrite, was *pair.GEOSeen) (writes []command) {
	if w.Lists && !pair.SameAddresses(was.Access, w.Access) {
		writes = append(writes, setAddresses(geoAccess, w.Access))
	}
	if w.Lists && (w.Submit || !pair.SameAddresses(was.Partners, w.Partners)) {
		writes = append(writes, setAddresses(geoPartners, w.Partners))
	}
	for _, c := range w.Create {
		if was.HasCluster(c) {
			continue
		}
		at := c.Address
		there := false
		for _, o := range was.Clusters {
			if o.Name == c.Name || o.Address == c.Address {
				at, there = o.Address, true
			}
		}
		if !there {
			writes = append(writes, command{name: "addcluster", write: true, args: []arg{{"ip", at.String()}, {"name", c.Name}}})
		}
		writes = append(writes, command{name: "modcluster", write: true, args: []arg{{"ip", at.String()}, {"type", "remoteLM"}}})
	}
	for _, a := range w.Delete {
		if was.HasAddress(a) {
			writes = append(writes, command{name: "delcluster", write: true, args: []arg{{"ip", a.String()}}})
		}
	}
	return writes
}

// setAddresses writes a list whole; an empty one is unset (loadmaster.md 4.4).
func setAddresses(name string, list []netip.Addr) command {
	texts := make([]string, len(list))
	for i, a := range list {
		texts[i] = a.String()
	}
	return command{name: "set", write: true, args: []arg{{"param", name}, {"value", strings.Join(texts, ",")}}}
}
