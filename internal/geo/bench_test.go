package geo_test

import (
	"fmt"
	"net/netip"
	"testing"

	"tandem/internal/geo"
)

// BenchmarkCompile200Members is promised under 10 ms (issue 7).
func BenchmarkCompile200Members(b *testing.B) {
	topology := large()
	for b.Loop() {
		geo.Compile(topology, geo.OwnFirst)
	}
}

// BenchmarkPlan200MembersWithOneNew plans what a new member changes, which is
// every list.
func BenchmarkPlan200MembersWithOneNew(b *testing.B) {
	topology := large()
	seen := settled(geo.Compile(geo.Topology{Members: topology.Members[1:]}, geo.OwnFirst))
	w := geo.Compile(topology, geo.OwnFirst)
	for b.Loop() {
		geo.Plan(w, seen)
	}
}

// large is 150 pairs and 50 standalone units.
func large() geo.Topology {
	var t geo.Topology
	for i := range 200 {
		a := netip.AddrFrom4([4]byte{10, 0, byte(i), 4})
		if i%4 == 0 {
			t.Members = append(t.Members, geo.Member{Name: fmt.Sprint("sa", i), Standalone: a})
		} else {
			t.Members = append(t.Members, geo.Member{Name: fmt.Sprint("pair", i), First: a, Second: a.Next()})
		}
	}
	return t
}
