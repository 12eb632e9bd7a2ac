package main

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"tandem/internal/api"
	"tandem/internal/pair"
)

func newHistory(c *console) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "history PAIR",
		Short: "Show what was decided and done, newest first",
		Example: `  tandem history edge-weu
  tandem history edge-weu --limit 100 -o json`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: c.completePairs,
		RunE:              func(cmd *cobra.Command, args []string) error { return c.history(cmd, args[0]) },
	}
	cmd.Flags().Int("limit", 20, "how many entries, 1 to 200")
	cmd.Flags().String("before", "", "continue with entries older than this id")
	addServer(cmd)
	addOutput(cmd)
	return cmd
}

func (c *console) history(cmd *cobra.Command, name string) error {
	client, err := c.client(cmd)
	if err != nil {
		return err
	}
	limit, _ := cmd.Flags().GetInt("limit")      // added above
	before, _ := cmd.Flags().GetString("before") // added above
	journal, err := client.Journal(cmd.Context(), name, limit, before)
	if err != nil {
		return err
	}
	if output(cmd) == "json" {
		return writeJSON(c.out, journal)
	}
	rows := [][]string{{"TIME", "ID", "WHAT", "WHY"}}
	for _, e := range journal.Entries {
		what, why, err := summary(e)
		if err != nil {
			return err
		}
		rows = append(rows, []string{since(e.At), e.ID, what, why})
	}
	if err := table(c.out, rows); err != nil {
		return err
	}
	if journal.Next != "" {
		fmt.Fprintf(c.out, "older: tandem history %s --before %s\n", name, journal.Next)
	}
	return nil
}

// summary tells an entry in two cells.
func summary(e pair.Entry) (what, why string, err error) {
	switch e.Kind {
	case pair.EntryDecided:
		var d pair.Decided
		if err := json.Unmarshal(e.Body, &d); err != nil {
			return "", "", fmt.Errorf("read journal entry %s: %w: %w", e.ID, pair.ErrUnreadable, err)
		}
		return d.Decision.Row, d.Reason, nil
	case pair.EntryClosed:
		var i pair.Intent
		if err := json.Unmarshal(e.Body, &i); err != nil {
			return "", "", fmt.Errorf("read journal entry %s: %w: %w", e.ID, pair.ErrUnreadable, err)
		}
		what := fmt.Sprintf("%s %s: %s in %s/%s", i.Kind, i.State, i.Unit, i.LoadBalancer, i.Pool)
		if i.LastErr != "" {
			return what, i.LastErr, nil
		}
		return what, "seen " + i.Want.String(), nil
	case pair.EntryApplied:
		var d pair.Definition
		if err := json.Unmarshal(e.Body, &d); err != nil {
			return "", "", fmt.Errorf("read journal entry %s: %w: %w", e.ID, pair.ErrUnreadable, err)
		}
		return e.Kind, fmt.Sprintf("a person defined the pair: mode %s, fence %s", d.Mode, d.Failover.Fence), nil
	default:
		return e.Kind, "", nil // of a newer release
	}
}

func newExplain(c *console) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "explain PAIR [DECISION]",
		Short: "Tell why a decision was taken, on what evidence, and what a person can do",
		Long: `Explain tells the newest decision of a pair, or the one with the given id (see
tandem history): what each unit answered, which row of the decision table won,
what was intended, and what a person can do.`,
		Example: `  tandem explain edge-weu
  tandem explain edge-weu edge-weu-000000000007-001`,
		Args:              cobra.RangeArgs(1, 2),
		ValidArgsFunction: c.completePairs,
		RunE:              func(cmd *cobra.Command, args []string) error { return c.explain(cmd, args) },
	}
	addServer(cmd)
	addOutput(cmd)
	return cmd
}

func (c *console) explain(cmd *cobra.Command, args []string) error {
	client, err := c.client(cmd)
	if err != nil {
		return err
	}
	entry, err := c.decision(cmd, client, args)
	if err != nil {
		return err
	}
	var d pair.Decided
	if err := json.Unmarshal(entry.Body, &d); err != nil {
		return fmt.Errorf("read journal entry %s: %w: %w", entry.ID, pair.ErrUnreadable, err)
	}
	if output(cmd) == "json" {
		return writeJSON(c.out, d)
	}
	return c.printDecided(d)
}

// decision finds the entry: the one that was named, or the newest decision.
func (c *console) decision(cmd *cobra.Command, client *api.Client, args []string) (pair.Entry, error) {
	if len(args) == 2 {
		e, err := client.Entry(cmd.Context(), args[0], args[1])
		if err == nil && e.Kind != pair.EntryDecided {
			return e, badInput("%s is not a decision but %q; tandem history %s lists them", e.ID, e.Kind, args[0])
		}
		return e, err
	}
	before := ""
	for {
		j, err := client.Journal(cmd.Context(), args[0], 50, before)
		if err != nil {
			return pair.Entry{}, err
		}
		for _, e := range j.Entries {
			if e.Kind == pair.EntryDecided {
				return e, nil
			}
		}
		if before = j.Next; before == "" {
			return pair.Entry{}, &exitError{code: exitFailed, err: errors.New("nothing was decided about pair " + args[0] + " yet; it is looked at every 15 seconds")}
		}
	}
}

func (c *console) printDecided(d pair.Decided) error {
	rows := [][]string{
		{"decision", d.Decision.ID},
		{"at", since(d.Decision.At)},
		{"row", d.Decision.Row},
		{"because", d.Reason},
		{"seen", d.Decision.Seen.String()},
		{"believed", fmt.Sprintf("%s (before: %s)", d.Decision.Believed, d.Decision.From)},
		{"may", d.Decision.Facts.Stance.String()},
	}
	for _, r := range pair.Roles {
		u := d.Input.Observation.Unit(r)
		rows = append(rows, []string{r.String(), unitWords(d.Input.Definition.Units.Of(r), u)})
	}
	for _, b := range d.Input.Observation.Balancers {
		rows = append(rows, []string{b.Name, balancerWords(b)})
	}
	for _, i := range d.Decision.Intents {
		rows = append(rows, []string{"intends", fmt.Sprintf("%s: %s to %s in %s/%s", i.Kind, i.Unit, i.Want, i.LoadBalancer, i.Pool)})
	}
	if d.Person != "" {
		rows = append(rows, []string{"you can", d.Person})
	}
	return table(c.out, rows)
}

func unitWords(u pair.Unit, seen *pair.UnitSeen) string {
	words := fmt.Sprintf("%s %s: check port %s, API %s", u.VM, u.Address, seen.Check.Answer, seen.API.Answer)
	if seen.API.Answer == pair.APIAnswered {
		words += fmt.Sprintf(" (%s, prefers %s, firmware %s)", seen.API.Report.State, seen.API.Report.Preferred, seen.API.Report.Firmware)
	}
	if seen.Power.Power != pair.PowerUnknown {
		words += ", VM " + seen.Power.Power.String()
	}
	return words
}

func balancerWords(b pair.BalancerSeen) string {
	words := ""
	for _, p := range b.Pools {
		for _, m := range p.Members {
			words += fmt.Sprintf("%s/%s admin %s; ", p.Name, m.Address, m.Admin)
		}
	}
	for _, h := range b.Health {
		words += fmt.Sprintf("%s sees %s %s; ", h.Rule, h.Address, h.Reason)
	}
	return words
}
