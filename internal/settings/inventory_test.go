package settings

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"tandem/internal/pair"
)

var update = flag.Bool("update", false, "write docs/settings.md anew")

// TestTheGuidesListIsExact compares what is local with the list in the vendor's guide,
// section 1 (loadmaster.md 2.5): not less, and not more, because what stays on its
// unit is not the same on both.
func TestTheGuidesListIsExact(t *testing.T) {
	list := map[string][]string{
		"default gateway (v4, v6)":            {"dfltgw", "dfltgwv6"},
		"hostname":                            {"hostname", "ha1hostname", "ha2hostname"},
		"name server":                         {"nameserver", "namserver"},
		"domain":                              {"searchlist"},
		"admin default gateway":               {"admingw", "admin-access"},
		"administrative certificate settings": {"wuicacertlist", "admin-access"},
		"IP addresses and netmasks, link speed and duplex, MTU, additional addresses, VLANs, VXLANs": {"interfaces"},
		"additional routes": {"routes"},
	}
	var want []string
	for _, names := range list {
		want = append(want, names...)
	}
	var got []string
	for _, g := range parameterGroups {
		if g.place == Local {
			got = append(got, strings.Fields(strings.ToLower(g.names))...)
		}
	}
	for c := ClassUnknown + 1; c < classCount; c++ {
		if c.Place() == Local {
			got = append(got, c.String())
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if want = slices.Compact(want); !slices.Equal(want, got) {
		t.Errorf("local are\n%q, the guide says\n%q", got, want)
	}
}

func TestInventoryIsWhole(t *testing.T) {
	names := map[string]bool{}
	for c := ClassUnknown + 1; c < classCount; c++ {
		s := c.spec()
		switch {
		case s.name == "" || names[s.name]:
			t.Errorf("class %d has no name of its own: %q", c, s.name)
		case s.identity == "":
			t.Errorf("%s has no identity", c)
		case s.place == PlaceUnknown:
			t.Errorf("%s has no place", c)
		case s.place != Synchronised && s.why == "":
			t.Errorf("%s is %s without a reason", c, s.place)
		case s.place == Synchronised && len(s.reads) == 0:
			t.Errorf("%s is synchronised, and no call reads it", c)
		case s.place == Synchronised && s.add+s.modify == "":
			t.Errorf("%s is synchronised, and no call writes it", c)
		case s.place == Unreadable && len(s.reads) > 0:
			t.Errorf("%s cannot be read, and a call reads it", c)
		}
		names[s.name] = true
		var back Class
		if err := back.UnmarshalText([]byte(c.String())); err != nil || back != c {
			t.Errorf("%s reads back as %s: %v", c, back, err)
		}
		for _, k := range s.key {
			for alternative := range strings.SplitSeq(k, "|") {
				if slices.Contains([]string{"index", "vsindex", "rsindex", "id"}, alternative) && c != OWASPRules {
					t.Errorf("%s is known by %s, which is another one on each unit", c, alternative)
				}
			}
		}
	}
	var c Class
	if err := c.UnmarshalText([]byte("nothing")); !errors.Is(err, pair.ErrInvalid) {
		t.Errorf("a class that does not exist: %v", err)
	}
}

func TestPlacesOfParameters(t *testing.T) {
	tests := []struct {
		rule string
		name string
		want Place
	}{
		{"case does not matter", "WUITLSPROTOCOLS", Synchronised},
		{"a star stands for any rest", "radiusserver", Synchronised},
		{"what is named is not what a star says", "radiusSecret", Masked},
		{"partner lists are the GEO job's", "geopartners", Elsewhere},
		{"classic HA belongs to its unit", "haprefered", Own},
		{"what is not known has no place", "hostname2", PlaceUnknown},
		{"the gateway is on the guide's list", "dfltgw", Local},
		{"a version is no setting", "version", State},
	}
	for _, tt := range tests {
		if got := ParameterPlace(tt.name); got != tt.want {
			t.Errorf("%s: %s is %s, want %s", tt.rule, tt.name, got, tt.want)
		}
	}
}

// TestSettingsDocument keeps docs/settings.md equal to the inventory.
func TestSettingsDocument(t *testing.T) {
	const file = "../../docs/settings.md"
	got := document()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s is not what the inventory gives now; if the change is meant, run: go test ./internal/settings -update", file)
	}
}

func document() string {
	var b strings.Builder
	b.WriteString(`# Settings

<!-- Written from internal/settings by: go test ./internal/settings -update -->

Every kind of setting of a unit that is known, who reads it, what makes two things on two units the same thing, and whose
business it is. Commands are those of the API v1; the JSON API has the same ones, with dots for slashes.

| Place | Meaning |
| --- | --- |
| synchronised | the same on both units; nothing else is ever written |
| local | the vendor's guide says that it is not synchronised; this is its list |
| own | belongs to its unit by nature, although the guide's list does not have it |
| GEO job | different on each unit by rule |
| state | said by the unit, set by nobody |
| masked | a secret that reads back as asterisks: neither compared nor written |
| cannot be read | the API does not give it |

A parameter that is not in this document is shown, and never written. Indexes are another number on each unit and no part of
any identity. A unit's own address is the partner's own address on the partner, where a virtual service, a GEO cluster or a
GEO map has it; every other address stays as it is.

## Classes

| Class | Place | Read by | The same on both units by | Written by | Not written | Restore | Note |
| --- | --- | --- | --- | --- | --- | --- | --- |
`)
	for c := ClassUnknown + 1; c < classCount; c++ {
		s := c.spec()
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | %s | %s |\n", s.name, s.place, readers(s), s.identity, writers(s), unwritten(c), restore(s.part), s.why)
	}
	b.WriteString(`
What is written is looked for first, so that a repeat changes nothing, and compared with what reads back. Of virtual services,
real servers and rules bound to them, each is found by its identity on the unit that is written to. What is not written waits
for a person, who sets it in the WUI; certificates move with ` + "`backupcert` and `restorecert`" + ` where the policy allows.

Restore is the number of the part of a backup that carries the class to a partner: 2 virtual services, 4 GEO, 8 single sign-on.
1, base, has addresses in it and is never restored on a partner.

## Parameters

| Group | Place | Parameters |
| --- | --- | --- |
`)
	for _, g := range parameterGroups {
		names := strings.Fields(g.names)
		for i := range names {
			names[i] = "`" + names[i] + "`"
		}
		fmt.Fprintf(&b, "| %s | %s | %s |\n", g.name, g.place, strings.Join(names, ", "))
	}
	return b.String()
}

func readers(s *spec) string {
	var calls []string
	for _, call := range s.reads {
		text := "`" + call.String() + "`"
		if call.each != ClassUnknown {
			text += " for each of " + call.each.String()
		}
		calls = append(calls, text)
	}
	return strings.Join(calls, ", ")
}

func writers(s *spec) string {
	var calls []string
	for _, c := range []string{s.add, s.modify, s.remove} {
		if c != "" && !slices.Contains(calls, "`"+c+"`") {
			calls = append(calls, "`"+c+"`")
		}
	}
	if s.modify != "" && strings.Contains(s.modify, " ") {
		return s.modify
	}
	return strings.Join(calls, ", ")
}

// unwritten says what of a class object calls do not write, and why.
func unwritten(c Class) string {
	s := c.spec()
	if s.place != Synchronised {
		return ""
	}
	var all []string
	for _, one := range []struct{ what, why string }{{"adding", s.addByHand}, {"changing", s.changeByHand}, {"deleting", s.removeByHand}} {
		if one.why == "" {
			continue
		}
		if last := len(all) - 1; last >= 0 && strings.HasSuffix(all[last], ": "+one.why) {
			all[last] = one.what + " and " + all[last]
			continue
		}
		all = append(all, one.what+": "+one.why)
	}
	for _, field := range slices.Sorted(maps.Keys(s.fixed)) {
		all = append(all, "`"+field+"`: "+s.fixed[field])
	}
	return strings.Join(all, "; ")
}

func restore(p Part) string {
	if p == NoPart {
		return ""
	}
	return fmt.Sprint(uint8(p))
}
