package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"tandem/internal/api"
	"tandem/internal/balancer"
	"tandem/internal/manifest"
	"tandem/internal/pair"
)

func newPlan(c *console) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "plan -f FILE | PAIR",
		Short: "Show what would have to be written so that a pair has what its file says",
		Long: `Plan compares load balancers, security group and interfaces with what the pair file
asks for, field by field, and writes nothing. With a name it takes the pair as it
is defined.

Exit code 3 means that there is something to write, 0 that there is nothing, and 2
that the file asks for what cannot be.`,
		Example: `  tandem plan -f edge-weu.yaml
  tandem plan edge-weu -o json`,
		Args: cobra.MaximumNArgs(1), ValidArgsFunction: c.completePairs,
		RunE: func(cmd *cobra.Command, args []string) error { return c.plan(cmd, args) },
	}
	addFiles(cmd)
	addServer(cmd)
	addOutput(cmd)
	return cmd
}

func (c *console) plan(cmd *cobra.Command, args []string) error {
	client, err := c.client(cmd)
	if err != nil {
		return err
	}
	files := cmd.Flags().Changed("file")
	if files == (len(args) == 1) {
		return badInput("expected one pair, or files with -f; see %s --help", cmd.CommandPath())
	}
	var all []api.Planned
	if !files {
		one, err := client.PlanPair(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		all = append(all, one)
	} else if all, err = c.planFiles(cmd, client); err != nil {
		return err
	}
	if output(cmd) == "json" {
		err = writeJSON(c.out, map[string]any{"pairs": all})
	} else {
		err = c.showPlans(all)
	}
	if err != nil {
		return err
	}
	return foundIn(all)
}

func (c *console) planFiles(cmd *cobra.Command, client *api.Client) (all []api.Planned, err error) {
	ds, err := c.definitions(cmd)
	if err != nil {
		return nil, err
	}
	for _, d := range ds {
		file, err := manifest.Format(d)
		if err != nil {
			return nil, err
		}
		one, err := client.PlanFile(cmd.Context(), file)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, nil
}

// foundIn is the exit code for plans.
func foundIn(all []api.Planned) error {
	code := exitDone
	for _, p := range all {
		if len(p.Refusals) > 0 {
			return &exitError{code: exitBadInput}
		}
		if !p.Plan.Empty() {
			code = exitFound
		}
	}
	if code == exitDone {
		return nil
	}
	return &exitError{code: code}
}

// showPlans prints plans, and what cannot be.
func (c *console) showPlans(all []api.Planned) error {
	for n, p := range all {
		if n > 0 {
			fmt.Fprintln(c.out)
		}
		if err := c.showPlan(p); err != nil {
			return err
		}
	}
	return nil
}

func (c *console) showPlan(p api.Planned) error {
	if len(p.Refusals) > 0 {
		fmt.Fprintf(c.out, "%s: %s\n", p.Name, c.paint(red, "there is no plan, because what the file asks for cannot be"))
		for _, r := range p.Refusals {
			fmt.Fprintf(c.out, "\n  %s: %s\n      why: %s\n      way out: %s\n", r.Field, r.Value, r.Why, r.WayOut)
		}
		return nil
	}
	var b bytes.Buffer
	if err := balancer.Render(&b, p.Plan); err != nil {
		return err
	}
	for line := range strings.Lines(b.String()) {
		fmt.Fprint(c.out, c.paintMark(line))
	}
	return nil
}

// paintMark colours a line of a plan by its mark.
func (c *console) paintMark(line string) string {
	text := strings.TrimRight(line, "\n")
	color := map[string]string{"+": green, "~": yellow, "-": red}[firstWord(text)]
	if color == "" {
		return line
	}
	return c.paint(color, text) + "\n"
}

func firstWord(line string) string {
	word, _, _ := strings.Cut(strings.TrimSpace(line), " ")
	return word
}

// confirmed asks the person at the terminal; where there is none the answer is no.
func (c *console) confirmed(question string) bool {
	if !c.asks {
		return false
	}
	fmt.Fprintf(c.out, "\n%s Only yes is taken: ", question)
	line, _ := bufio.NewReader(c.in).ReadString('\n') // nothing is no
	return strings.TrimSpace(line) == "yes"
}

// unplannable reports whether a server does not know how to plan, because it is
// older or reads nothing of Azure.
func unplannable(err error) bool { return errors.Is(err, pair.ErrNotFound) }
