// Package discover writes pair files from what exists. It finds the load
// balancers of a resource group whose pools hold the same two machines, reads
// from them, from the machines' interfaces and from their security group what a
// pair file says, and tells at every value that Azure does not know why it was
// chosen, and of everything that a pair file cannot say that it is there.
//
// It is pure: values in, values out. internal/azure/arm reads the documents,
// internal/balancer says what a pair of that file must have, and
// internal/manifest what a file may say.
package discover

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"tandem/internal/balancer"
	"tandem/internal/balancer/document"
	"tandem/internal/pair"
)

// Kinds are the kinds of resources of which all of a resource group are needed
// before anything can be found, as Resource Manager spells them.
func Kinds() []string {
	return []string{"Microsoft.Network/loadBalancers", "Microsoft.Network/networkInterfaces", "Microsoft.Compute/virtualMachines"}
}

// Add puts the documents of a list into the world, each by its own id. One
// without an id is an error of the kind pair.ErrUnreadable.
func Add(w balancer.World, listed []json.RawMessage) error {
	for i, doc := range listed {
		var named document.Reference
		if err := json.Unmarshal(doc, &named); err != nil || named.ID == "" {
			return fmt.Errorf("read resource %d of a list: %w: it has no id", i+1, pair.ErrUnreadable)
		}
		w[named.Resource()] = doc
	}
	return nil
}

// Search is what is looked for, and where.
type Search struct {
	// Subscription and ResourceGroup are where the load balancers and the machines
	// are: a pair file names both by one resource group.
	Subscription, ResourceGroup string
	// VMs are the names of the first and the second unit where a person has said
	// them. Only their pair is found then; empty ones mean every pair.
	VMs [2]string
	// Surroundings are those of the Tandem that will look after the pairs. What is
	// empty is taken from the security rules that a Tandem wrote before.
	Surroundings balancer.Surroundings
	// Refused are resources that Reads has asked for and that may not be read, with
	// the reason. They are missing in the world.
	Refused map[pair.ResourceID]string
}

// Found is what a search has found.
type Found struct {
	Pairs   []Pair    // by name
	Skipped []Skipped // by resource
}

// Pair is one pair and its file.
type Pair struct {
	Name string
	// Definition is what the file says. Its mode is observe.
	Definition pair.Definition
	// Surroundings are those with which the pair was compared with what it must
	// have: those of the search, or else what its security rules tell of them.
	Surroundings balancer.Surroundings
	// File is the pair file, with a comment for each guess and each note. Reading
	// it gives the definition.
	File    []byte
	Guesses []Guess
	Notes   []Note
}

// Guess is a value that does not stand in Azure.
type Guess struct {
	// Field is the place in the pair file, for example units.first.api.secret.
	Field string `json:"field"`
	// Value is what was chosen; empty where the field is left out.
	Value string `json:"value"`
	Why   string `json:"why"`
}

// Note is something that exists and that a pair file cannot say, or that Tandem
// would change.
type Note struct {
	Field string `json:"field"` // the nearest place in the file; empty for all of it
	Why   string `json:"why"`
}

// Skipped is something that makes no pair.
type Skipped struct {
	Resource string `json:"resource"`
	Why      string `json:"why"`
}

// mostPairs bounds how many pairs are found at once.
const mostPairs = 500

// Reads returns what must still be read before Find can answer, in a fixed
// order. It is asked again after each reading, until it returns nothing.
func (s Search) Reads(w balancer.World) []pair.ResourceID {
	v := newSurvey(s, w)
	asked := make(map[pair.ResourceID]bool)
	var missing []pair.ResourceID
	want := func(ids ...pair.ResourceID) {
		for _, id := range ids {
			if _, read := w[id]; id != "" && !read && !asked[id] && s.Refused[id] == "" {
				asked[id] = true
				missing = append(missing, id)
			}
		}
	}
	want(v.unreadInterfaces()...)
	couples, _ := v.couples()
	for _, c := range couples {
		if d := v.draft(c); d.unfit == "" {
			def := d.definition()
			want(balancer.Reads(&def, w)...)
		}
	}
	return missing
}

// Find finds the pairs. Equal searches of equal worlds give equal results. What
// was not read is taken for missing.
func (s Search) Find(w balancer.World) Found {
	v := newSurvey(s, w)
	couples, skipped := v.couples()
	found := Found{Skipped: skipped}
	var drafts []*draft
	for _, c := range couples {
		d := v.draft(c)
		if d.unfit == "" && len(drafts) == mostPairs {
			d.unfit = fmt.Sprintf("there are more than %d pairs; name its machines with --vm", mostPairs)
		}
		if d.unfit != "" {
			found.Skipped = append(found.Skipped, Skipped{c.String(), d.unfit})
			continue
		}
		drafts = append(drafts, d)
	}
	nameAll(drafts)
	for _, d := range drafts {
		p, err := d.finish()
		if err != nil {
			found.Skipped = append(found.Skipped, Skipped{d.couple.String(), "no valid file can be written: " + text(err.Error())})
			continue
		}
		found.Pairs = append(found.Pairs, p)
	}
	slices.SortFunc(found.Pairs, func(a, b Pair) int { return strings.Compare(a.Name, b.Name) })
	slices.SortFunc(found.Skipped, func(a, b Skipped) int {
		if c := strings.Compare(a.Resource, b.Resource); c != 0 {
			return c
		}
		return strings.Compare(a.Why, b.Why)
	})
	return found
}

// nameAll gives each pair a name of its own. A name that stands in Azure comes
// before one that is made up.
func nameAll(drafts []*draft) {
	taken := make(map[string]bool)
	for _, written := range []bool{true, false} {
		for _, d := range drafts {
			if (d.group.owner != "") != written {
				continue
			}
			name, why := d.nameIt()
			unique := name
			for n := 2; taken[unique]; n++ {
				end := fmt.Sprintf("-%d", n)
				unique = strings.TrimRight(name[:min(len(name), mostName-len(end))], "-") + end
			}
			taken[unique] = true
			d.def.Name = unique
			d.guess("name", unique, why)
		}
	}
}

// single is the network of one address.
func single(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }
