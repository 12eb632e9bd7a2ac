package lab

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
)

// geoVerbs are what people do about GEO. Members are called by the name of their
// pair, or sa1, sa2 and so on.
var geoVerbs = map[string]verb{
	"geo-serve": {"a person adds a name at the GEO of the member of unit, with a map for the site of each of members, checked by its cluster where that is there", geoServe},

	"geo-apply":  {"the operator applies the topology of members, with the other keys of set (tandem geo apply)", geoOperates("applies", true)},
	"geo-cancel": {"the operator cancels the topology's run (tandem geo cancel)", geoOperates("cancels the run of", false)},
}

// geoOperates is for what the operator does with the topology.
func geoOperates(does string, tellsMembers bool) func(*World, Step) {
	return func(w *World, st Step) {
		words := does + " the topology " + topologyName
		if tellsMembers {
			words += " of " + strings.Join(w.topologyMembers(st), ", ")
		}
		w.record.log("operator", words)
		st.Unit = topologyName
		w.do(st)
	}
}

func geoServe(w *World, st Step) {
	at, err := w.member(st.Unit)
	if err != nil {
		w.fail("geo-serve: " + err.Error())
		return
	}
	of, err := w.chosen(w.topologyMembers(st))
	if err != nil {
		w.fail("geo-serve: " + err.Error())
		return
	}
	w.record.log("story", "a person adds "+geoName+" at "+w.active(at).Name()+", with the sites of "+strings.Join(w.topologyMembers(st), ", "))
	if err := w.serveName(w.active(at), of); err != nil {
		w.fail("geo-serve: " + err.Error())
	}
}

// lookAtGEO compares what the members answer and hold with what the story says.
func (w *World) lookAtGEO(now Now) {
	looks := []struct {
		what string
		want map[string][]string
		got  func(geoMember) []string
	}{
		{"answers with", now.Answers, func(m geoMember) []string { return w.resolver.answer(m.name) }},
		{"has as partners that are up", now.Partners, func(m geoMember) []string { return w.named(w.active(m).GEO().PartnersUp) }},
		{"has as access list", now.Access, func(m geoMember) []string { return addressList(w.active(m).GEO().Access) }},
		{"has as partner list", now.PartnerList, func(m geoMember) []string { return addressList(w.active(m).GEO().Partners) }},
		{"has as clusters", now.Clusters, func(m geoMember) []string { return w.active(m).GEO().Clusters }},
	}
	for _, look := range looks {
		for _, name := range slices.Sorted(maps.Keys(look.want)) {
			m, err := w.member(name)
			if err != nil {
				w.fail(err.Error())
				continue
			}
			got, want := slices.Sorted(slices.Values(look.got(m))), slices.Sorted(slices.Values(look.want[name]))
			if !slices.Equal(got, want) {
				w.fail(fmt.Sprintf("%s %s %v, expected %v", name, look.what, got, want))
			}
		}
	}
	w.lookAtTopology(now)
}

// lookAtTopology compares what the program says of the topology.
func (w *World) lookAtTopology(now Now) {
	if w.Options.Topology == nil || now.Topology == "" && now.TopologyAlarms == nil {
		return
	}
	state, alarms := w.Options.Topology()
	if now.Topology != "" && state != now.Topology {
		w.fail(fmt.Sprintf("the run of the topology is %q, expected %q", state, now.Topology))
	}
	if now.TopologyAlarms == nil {
		return
	}
	slices.Sort(alarms)
	if got, want := slices.Compact(alarms), slices.Sorted(slices.Values(*now.TopologyAlarms)); !slices.Equal(got, want) {
		w.fail(fmt.Sprintf("alarms %v stand in the topology, expected %v", got, want))
	}
}

// named are the members that have any of the addresses, each once.
func (w *World) named(addresses []netip.Addr) []string {
	var all []string
	for _, m := range w.members {
		if slices.ContainsFunc(m.units, func(a netip.Addr) bool { return slices.Contains(addresses, a) }) {
			all = append(all, m.name)
		}
	}
	return all
}

func addressList(all []netip.Addr) []string {
	var words []string
	for _, a := range all {
		words = append(words, a.String())
	}
	return words
}
