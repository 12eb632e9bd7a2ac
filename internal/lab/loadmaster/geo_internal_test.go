package loadmaster

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"
)

// FuzzResolve sends any bytes as a DNS request: the answer, if there is one, is an
// answer to that request and announces as many records as it has.
func FuzzResolve(f *testing.F) {
	request := append([]byte{0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0}, "\x03www\x07example\x03com\x00\x00\x01\x00\x01"...)
	f.Add(request)
	f.Add(request[:len(request)-4])
	f.Add(bytes.Replace(request, []byte("\x03com\x00"), []byte("\xc0\x0ccom"), 1))
	f.Add(bytes.Replace(request, []byte("\x00\x01\x00\x01"), []byte("\x00\x1c\x00\x03"), 1))
	f.Add(append(request[:dnsHeader:dnsHeader], 0))
	f.Add([]byte{})
	u := &Unit{geo: geoState{fqdns: []geoFQDN{{Name: "www.example.com.", Maps: []geoMap{
		{Address: netip.MustParseAddr("192.0.2.1"), Checker: "none", Enabled: true},
		{Address: netip.MustParseAddr("2001:db8::1"), Checker: "none", Enabled: true},
	}}}}}
	f.Fuzz(func(t *testing.T, request []byte) {
		if len(request) > 0xffff {
			return // no length could be sent
		}
		before := bytes.Clone(request)
		answer := u.resolve(request)
		if !bytes.Equal(before, request) {
			t.Error("the request was changed")
		}
		if answer == nil {
			return
		}
		if !bytes.Equal(answer[:2], request[:2]) || answer[2]&0x80 == 0 || len(answer) > len(request)+28 {
			t.Errorf("% x is no answer to % x", answer, request)
		}
		if n, code := binary.BigEndian.Uint16(answer[6:]), answer[3]; n > 1 || n == 1 && code != 0 {
			t.Errorf("%d records with code %d", n, code)
		}
	})
}

func TestFixedWeightAnswersWithTheHeaviestThatIsUp(t *testing.T) {
	address := func(n byte) netip.Addr { return netip.AddrFrom4([4]byte{192, 0, 2, n}) }
	g := geoState{clusters: []geoCluster{{Name: "far", Enabled: true}}}
	f := &geoFQDN{Selection: "fw", Maps: []geoMap{
		{Address: address(1), Checker: "none", Weight: 10, Enabled: true},
		{Address: address(2), Checker: "none", Weight: 30, Enabled: false},
		{Address: address(3), Checker: "none", Weight: 20, Enabled: true},
		{Address: address(4), Checker: "clust", Cluster: "far", Weight: 40, Enabled: true},
	}}
	for _, want := range []netip.Addr{address(3), address(4)} {
		if got := g.choose(f); len(got) != 1 || got[0].Address != want {
			t.Errorf("got %v, want %s", got, want)
		}
		g.clusters[0].up = true
	}
	g.clusters[0].Enabled = false
	f.Maps = f.Maps[3:]
	if got := g.choose(f); got != nil {
		t.Errorf("none is up: got %v", got)
	}
}

func TestRoundRobinBeginsWithAnotherOneEachTime(t *testing.T) {
	f := &geoFQDN{Selection: "rr", Maps: []geoMap{
		{Address: netip.MustParseAddr("192.0.2.1"), Checker: "none", Enabled: true},
		{Address: netip.MustParseAddr("192.0.2.2"), Checker: "none", Enabled: true},
	}}
	var g geoState
	a, b := g.choose(f), g.choose(f)
	if len(a) != 2 || len(b) != 2 || a[0].Address == b[0].Address {
		t.Errorf("got %v and %v", a, b)
	}
}
