package loadmaster

import (
	"encoding/binary"
	"io"
	"net"
	"slices"
	"strings"
	"time"
)

// GEO answers DNS requests over TCP here, because the lab's network has no UDP.
const dnsPortNumber = 53

// What a DNS message is made of (RFC 1035, 4.1 and 4.2.2).
const (
	dnsHeader   = 12
	dnsTypeA    = 1
	dnsTypeAAAA = 28
	dnsClassIN  = 1
	dnsRefused  = 5
	dnsNoName   = 3
	dnsBadForm  = 1
)

// serveDNS answers requests until the listener closes.
func (u *Unit) serveDNS(l *life, p *port) {
	for {
		conn, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.mu.Lock()
		p.conns[conn] = struct{}{}
		p.mu.Unlock()
		l.running.Go(func() {
			u.answerDNS(conn)
			_ = conn.Close()
			p.mu.Lock()
			defer p.mu.Unlock()
			delete(p.conns, conn)
		})
	}
}

// answerDNS answers the requests of one connection, each with its length before
// it.
func (u *Unit) answerDNS(conn net.Conn) {
	for {
		_ = conn.SetDeadline(time.Now().Add(time.Minute)) // a connection that is gone says so when it is read
		var length [2]byte
		if _, err := io.ReadFull(conn, length[:]); err != nil {
			return
		}
		request := make([]byte, binary.BigEndian.Uint16(length[:]))
		if _, err := io.ReadFull(conn, request); err != nil {
			return
		}
		answer := u.resolve(request)
		if answer == nil {
			return
		}
		message := append(binary.BigEndian.AppendUint16(nil, uint16(len(answer))), answer...)
		if _, err := conn.Write(message); err != nil {
			return
		}
	}
}

// resolve answers one request. Nil means that it is none.
func (u *Unit) resolve(request []byte) []byte {
	if len(request) < dnsHeader {
		return nil
	}
	name, end, ok := question(request)
	if !ok {
		return dnsAnswer(request[:dnsHeader], nil, dnsBadForm)
	}
	asked := request[:end]
	kind, class := binary.BigEndian.Uint16(request[end-4:]), binary.BigEndian.Uint16(request[end-2:])
	if class != dnsClassIN {
		return dnsAnswer(asked, nil, dnsRefused)
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	f, there := u.geo.fqdn(name)
	if !there {
		return dnsAnswer(asked, nil, dnsNoName)
	}
	ttl := uint32(u.geo.global("ttl", 10))
	var records [][]byte
	for _, m := range u.geo.choose(f) {
		raw := m.Address.AsSlice()
		if kind == dnsTypeA && len(raw) == 4 || kind == dnsTypeAAAA && len(raw) == 16 {
			records = append(records, record(kind, ttl, raw))
		}
	}
	return dnsAnswer(asked, records, 0)
}

// question reads the one question of a request: its name, and where it ends.
func question(request []byte) (name string, end int, ok bool) {
	if binary.BigEndian.Uint16(request[4:]) != 1 {
		return "", 0, false
	}
	var labels []string
	at := dnsHeader
	for at < len(request) && request[at] != 0 {
		length := int(request[at])
		if length > 63 || at+1+length >= len(request) {
			return "", 0, false
		}
		labels = append(labels, string(request[at+1:at+1+length]))
		at += 1 + length
	}
	end = at + 5 // the root, type and class
	return strings.Join(labels, "."), end, end <= len(request)
}

func record(kind uint16, ttl uint32, address []byte) []byte {
	const nameOfTheQuestion = 0xc000 | dnsHeader
	b := binary.BigEndian.AppendUint16(nil, nameOfTheQuestion)
	b = binary.BigEndian.AppendUint16(b, kind)
	b = binary.BigEndian.AppendUint16(b, dnsClassIN)
	b = binary.BigEndian.AppendUint32(b, ttl)
	b = binary.BigEndian.AppendUint16(b, uint16(len(address)))
	return append(b, address...)
}

// dnsAnswer turns a request, up to the end of its question, into an answer.
func dnsAnswer(request []byte, records [][]byte, code byte) []byte {
	const response, authoritative, recursionDesired = 0x80, 0x04, 0x01
	b := slices.Clone(request)
	b[2] = response | authoritative | b[2]&recursionDesired
	b[3] = code
	if len(request) == dnsHeader {
		b[4], b[5] = 0, 0
	}
	binary.BigEndian.PutUint16(b[6:], uint16(len(records)))
	b[8], b[9], b[10], b[11] = 0, 0, 0, 0
	return append(b, slices.Concat(records...)...)
}

// answers tells whether a map is up. Unit.mu is held.
func (g *geoState) answers(m geoMap) bool {
	if !m.Enabled {
		return false
	}
	if m.Checker == "none" {
		return true
	}
	return slices.ContainsFunc(g.clusters, func(c geoCluster) bool { return c.Name == m.Cluster && c.Enabled && c.up })
}

// choose returns the maps of an answer: with round robin all that are up, each
// time beginning with another one; with fixed weight the heaviest. Where none is
// up there is none in the answer; what the product then does is an option of its
// own. Unit.mu is held.
func (g *geoState) choose(f *geoFQDN) []geoMap {
	up := slices.DeleteFunc(slices.Clone(f.Maps), func(m geoMap) bool { return !g.answers(m) })
	if len(up) == 0 {
		return nil
	}
	if f.Selection == "fw" {
		return []geoMap{slices.MaxFunc(up, func(a, b geoMap) int { return a.Weight - b.Weight })}
	}
	g.queries++
	begin := g.queries % len(up)
	return append(slices.Clone(up[begin:]), up[:begin]...)
}
