package main

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
)

// report is what came out.
type report struct {
	Package string   `json:"package"`
	Also    []string `json:"also,omitempty"`
	// Sample is how many of the mutants were chosen by the seed, 0 for all.
	Sample     int     `json:"sample"`
	Seed       uint64  `json:"seed"`
	Incomplete bool    `json:"incomplete,omitempty"` // it ended early
	Percent    float64 `json:"percent"`              // killed of conditions and rows
	Least      float64 `json:"least"`
	Reached    bool    `json:"reached"`
	Seconds    float64 `json:"seconds"`
	Classes    []count `json:"classes"`
	// Survivors are what no test noticed, Broken what does not compile.
	Survivors []mutant `json:"survivors"`
	Broken    []mutant `json:"broken,omitempty"`
}

// count is what became of the mutants of one class. Made is all that were
// tried and compile, Killed counts those that hung, too.
type count struct {
	Class    class   `json:"class"`
	Made     int     `json:"made"`
	Killed   int     `json:"killed"`
	Hung     int     `json:"hung"`
	Survived int     `json:"survived"`
	Percent  float64 `json:"percent"`
}

// percent of nothing is nothing.
func percent(part, whole int) float64 {
	if whole == 0 {
		return 0
	}
	return 100 * float64(part) / float64(whole)
}

// count adds up the verdicts, of which there is one for each mutant.
func (r *report) count(ms []mutant, verdicts []verdict) {
	made, dead := 0, 0 // of conditions and rows
	for _, class := range classes {
		c := count{Class: class}
		for i, m := range ms {
			if m.Class == class {
				c.add(verdicts[i])
			}
		}
		c.Percent = percent(c.Killed, c.Made)
		r.Classes = append(r.Classes, c)
		if class != boundary {
			made, dead = made+c.Made, dead+c.Killed
		}
	}
	r.Survivors = []mutant{}
	for i, m := range ms {
		if verdicts[i] == survived {
			r.Survivors = append(r.Survivors, m)
		}
		if verdicts[i] == broken {
			r.Broken = append(r.Broken, m)
		}
	}
	r.Percent = percent(dead, made)
	r.Reached = r.Percent >= r.Least && !r.Incomplete
}

func (c *count) add(v verdict) {
	switch v {
	case untried, broken:
		return
	case survived:
		c.Survived++
	case hung:
		c.Hung++
		c.Killed++
	case killed:
		c.Killed++
	}
	c.Made++
}

func (r *report) writeJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

// write writes the report for people. Places are written as compilers do, so
// that editors find them.
func (r *report) write(w io.Writer) error {
	for _, m := range r.Survivors {
		fmt.Fprintln(w, m)
	}
	if len(r.Survivors) > 0 {
		fmt.Fprintln(w)
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "class\tmade\tkilled\tof these hung\tsurvived\t\t")
	for _, c := range r.Classes {
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%d\t%.1f %%\t\n", c.Class, c.Made, c.Killed, c.Hung, c.Survived, c.Percent)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, m := range r.Broken {
		fmt.Fprintf(w, "%s, which does not count: %s\n", m, m.Why)
	}
	chosen := "of all"
	switch {
	case r.Incomplete:
		chosen = "of those that were tried"
	case r.Sample > 0:
		chosen = fmt.Sprintf("of a sample, seed %d", r.Seed)
	}
	_, err := fmt.Fprintf(w, "%s: %.1f %% of conditions and rows killed (%s), at least %g %% wanted\n", r.Package, r.Percent, chosen, r.Least)
	return err
}
