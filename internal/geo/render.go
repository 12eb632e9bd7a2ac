package geo

import (
	"bytes"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
)

// Render writes what is wanted and the steps for a person, as the guide's worked
// example does: for each member the two lists, with blanks between the
// addresses, ready for the fields of the appliance's pages. A reason is given
// where it is first needed.
func Render(w io.Writer, wanted Wanted, steps []Step) error {
	var b bytes.Buffer
	for _, l := range wanted.Members {
		l.render(&b)
	}
	renderClusters(&b, wanted)
	fmt.Fprintf(&b, "\nsteps\n")
	said := make(map[string]bool)
	for _, s := range steps {
		s.render(&b)
		if !said[s.Reason] {
			fmt.Fprintf(&b, "     because %s\n", s.Reason)
		}
		said[s.Reason] = true
	}
	_, err := w.Write(b.Bytes())
	return err
}

func (l Lists) render(b *bytes.Buffer) {
	kind := "standalone unit"
	if l.Kind == KindPair {
		kind = "pair"
	}
	fmt.Fprintf(b, "%s: %s %s\n", l.Name, kind, written(l.Units))
	if !slices.Equal(l.Units, l.Known) {
		fmt.Fprintf(b, "  known to the others as        %s\n", written(l.Known))
	}
	fmt.Fprintf(b, "  Remote GEO LoadMaster Access  %s\n", written(l.Access))
	fmt.Fprintf(b, "  GEO LoadMaster Partners       %s\n", written(l.Partners))
	if !slices.Contains(l.Access, l.Units[0]) {
		fmt.Fprintf(b, "  the own entry is the active unit's, as in the guide's worked example; its text asks for the first unit's\n")
	}
}

// renderClusters writes the clusters, which are the same on every member.
func renderClusters(b *bytes.Buffer, w Wanted) {
	names, wide := make(map[netip.Addr]string), 0
	for _, l := range w.Members {
		names[l.Known[0]] = l.Name
		wide = max(wide, len(l.Name))
	}
	fmt.Fprintf(b, "\nclusters on every member, type Remote LM\n")
	for _, a := range w.Members[0].Clusters {
		fmt.Fprintf(b, "  %-*s  %s\n", wide, names[a], a)
	}
}

func (s Step) render(b *bytes.Buffer) {
	fmt.Fprintf(b, "%3d  %s on %s of %s", s.N, s.Action, s.Unit, s.Member)
	if len(s.Values) > 0 {
		fmt.Fprintf(b, ": %s", written(s.Values))
	}
	fmt.Fprintln(b)
}

// written returns addresses as the guide writes them.
func written(all []netip.Addr) string {
	if len(all) == 0 {
		return "none"
	}
	texts := make([]string, len(all))
	for i, a := range all {
		texts[i] = a.String()
	}
	return strings.Join(texts, " ")
}
