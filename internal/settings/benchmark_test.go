package settings

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"tandem/internal/pair"
)

// largeAnswer is the list of services of a large unit, with all the fields of the
// example; each call makes its own strings, as a decoder does.
func largeAnswer(t testing.TB, unit, services, servers int) Node {
	example := payload(t, "v2-listvs.json").Kids[0]
	list := Node{}
	rs := 0
	for i := range services {
		vs := Node{Name: "VS"}
		for _, kid := range example.Kids {
			text := string([]byte(kid.Text))
			switch kid.Name {
			case "Index":
				text = fmt.Sprint(i + 1 + unit)
			case "VSAddress":
				text = fmt.Sprintf("10.0.0.%d", 4+unit)
			case "VSPort":
				text = fmt.Sprint(1000 + i)
			case "NickName":
				text = fmt.Sprintf("service-%d", i)
			}
			vs.Kids = append(vs.Kids, Node{Name: string([]byte(kid.Name)), Text: text, Kids: kid.Kids})
		}
		for ; rs < (i+1)*servers/services; rs++ {
			vs.Kids = append(vs.Kids, Node{Name: "Rs", Kids: []Node{
				{Name: "Status", Text: "Up"},
				{Name: "VSIndex", Text: fmt.Sprint(i)},
				{Name: "RsIndex", Text: fmt.Sprint(rs)},
				{Name: "Addr", Text: fmt.Sprintf("10.1.%d.%d", rs/250, rs%250+1)},
				{Name: "Port", Text: "8080"},
				{Name: "DnsName"},
				{Name: "Forward", Text: "nat"},
				{Name: "Weight", Text: "1000"},
				{Name: "Limit", Text: "0"},
				{Name: "RateLimit", Text: "0"},
				{Name: "Follow", Text: "0"},
				{Name: "Enable", Text: "true"},
				{Name: "Critical", Text: "false"},
				{Name: "Nrules", Text: "0"},
			}})
		}
		list.Kids = append(list.Kids, vs)
	}
	return list
}

func largeUnit(t testing.TB, unit int, answer Node) *Snapshot {
	r := NewReading(VirtualServices)
	for _, call := range r.Next() {
		if call.Command != "listvs" {
			r.Miss(call)
		} else if err := r.Take(call, answer); err != nil {
			t.Fatal(err)
		}
	}
	s := r.Snapshot()
	s.Interfaces = []Interface{{ID: "0", Address: netip.MustParseAddr(fmt.Sprintf("10.0.0.%d", 4+unit))}}
	return &s
}

// BenchmarkNormalForm reads both units of 2,000 services and 10,000 real servers.
func BenchmarkNormalForm(b *testing.B) {
	answers := [2]Node{largeAnswer(b, 0, 2000, 10_000), largeAnswer(b, 1, 2000, 10_000)}
	b.ReportAllocs()
	for b.Loop() {
		largeUnit(b, 0, answers[0])
		largeUnit(b, 1, answers[1])
	}
}

// BenchmarkMerge compares two units of 2,000 services and 10,000 real servers, of
// which a few were changed, with what they had in common. It may take 300 ms and
// 200 MB, the normal form included.
func BenchmarkMerge(b *testing.B) {
	units := [2]*Snapshot{largeUnit(b, 0, largeAnswer(b, 0, 2000, 10_000)), largeUnit(b, 1, largeAnswer(b, 1, 2000, 10_000))}
	policy := Policy{Active: pair.First, Prefer: PreferActive}
	base := Merge(Base{}, units[0], units[1], policy).Base
	if n := len(base.Classes[VirtualServices]); n != 2000 {
		b.Fatalf("%d services are common", n)
	}
	services, _ := units[0].Objects(VirtualServices)
	for i := range 20 {
		o := &services[i*100]
		o.Fields = slices.Clone(o.Fields) // the common state has the same ones
		o.set("nickname", "changed")
	}
	b.ReportAllocs()
	for b.Loop() {
		if r := Merge(base, units[0], units[1], policy); len(r.ToSecond) != 20 || len(r.ToFirst) != 0 {
			b.Fatalf("%d writes to first, %d to second", len(r.ToFirst), len(r.ToSecond))
		}
	}
}

// TestLargePairMergesInItsBounds keeps the allocations of the benchmarks in their
// bound. Time is for the benchmarks.
func TestLargePairMergesInItsBounds(t *testing.T) {
	answers := [2]Node{largeAnswer(t, 0, 2000, 10_000), largeAnswer(t, 1, 2000, 10_000)}
	result := testing.Benchmark(func(b *testing.B) {
		b.ReportAllocs()
		for range b.N {
			Merge(Base{}, largeUnit(b, 0, answers[0]), largeUnit(b, 1, answers[1]), Policy{})
		}
	})
	if got := result.AllocedBytesPerOp(); got > 200<<20 {
		t.Errorf("%d MB to compare a large pair", got>>20)
	}
}
