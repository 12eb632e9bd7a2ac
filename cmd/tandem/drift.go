package main

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"tandem/internal/api"
	"tandem/internal/pair"
)

func newDrift(c *console) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "drift PAIR",
		Short: "Show what of a pair is not what it must be, and since when",
		Long: `Drift shows what the resources in Azure have otherwise than the pair file says, as
the newest look found it, and what the settings of both units do not have alike, as
their newest comparison found it: what differs, which unit changed it, since when,
and what becomes of it. Nothing is read from the units for that.

Exit code 3 means that something differs.`,
		Example: `  tandem drift edge-weu
  tandem drift edge-weu -o json`,
		Args: cobra.ExactArgs(1), ValidArgsFunction: c.completePairs,
		RunE: func(cmd *cobra.Command, args []string) error { return c.drift(cmd, args[0]) },
	}
	addServer(cmd)
	addOutput(cmd)
	return cmd
}

// drifted is the answer of the command in JSON.
type drifted struct {
	Pair     string        `json:"pair"`
	Azure    *pair.Drifted `json:"azure,omitempty"`
	Settings api.Settings  `json:"settings"`
}

func (c *console) drift(cmd *cobra.Command, name string) error {
	client, err := c.client(cmd)
	if err != nil {
		return err
	}
	status, err := client.Pair(cmd.Context(), name)
	if err != nil {
		return err
	}
	found, err := client.Settings(cmd.Context(), name)
	if err != nil {
		return err
	}
	if output(cmd) == "json" {
		err = writeJSON(c.out, drifted{Pair: name, Azure: status.Drift, Settings: found})
	} else {
		err = c.printDrift(status.Drift, found)
	}
	if err == nil && (status.Drift != nil || found.Found.Differences() > 0) {
		return &exitError{code: exitFound}
	}
	return err
}

func (c *console) printDrift(azure *pair.Drifted, found api.Settings) error {
	if azure == nil {
		fmt.Fprintln(c.out, "Azure: "+c.paint(green, "as the pair file says"))
	} else {
		fmt.Fprintln(c.out, "Azure: "+c.paint(yellow, "differs from the pair file"))
		if err := table(c.out, driftRows(azure)); err != nil {
			return err
		}
	}
	fmt.Fprintln(c.out, "settings: "+c.alike(found))
	return c.printDifferences(found)
}

// alike says in a line or two how alike the settings are.
func (c *console) alike(found api.Settings) string {
	var words string
	switch {
	case found.ComparedAt.IsZero() && found.Failures == 0:
		words = c.paint(yellow, "never compared") + "; that is done when both units have been well for some minutes"
	case found.ComparedAt.IsZero():
		words = c.paint(yellow, "never compared")
	case found.Found.Differences() == 0:
		words = c.paint(green, "alike") + ", compared at " + since(found.ComparedAt)
	default:
		words = c.paint(yellow, found.Found.String()) + ", since " + since(found.Since) + ", compared at " + since(found.ComparedAt)
	}
	if found.Found.Differences() > 0 && found.ComparedAt.Before(found.Settles) {
		words += "; the units' own sync has its time until " + since(found.Settles)
	}
	if !found.ChangedAt.IsZero() {
		words += "; something changed at " + since(found.ChangedAt) + " that is not compared yet"
	}
	if found.Failures > 0 {
		words += fmt.Sprintf("\n  %s: %s", c.paint(red, fmt.Sprintf("the comparison failed %d times, the last time at %s", found.Failures, since(found.TriedAt))), found.Why)
	}
	if found.Apart != "" {
		words += "\n  " + c.paint(red, "alarm: "+found.Apart)
	}
	if len(found.Unread) > 0 {
		words += "\n  nothing is known of " + strings.Join(found.Unread, ", ") + ", which not both units gave"
	}
	return words
}

func (c *console) printDifferences(found api.Settings) error {
	for _, d := range found.Differences {
		if err := c.printDifference(d); err != nil {
			return err
		}
	}
	if found.More > 0 {
		fmt.Fprintf(c.out, "and %d more\n", found.More)
	}
	return nil
}

func (c *console) printDifference(d api.SettingsDifference) error {
	fmt.Fprintf(c.out, "\n%s  %s\n", c.paint(bold, subject(d)), c.paint(dim, d.ID))
	return table(c.out, [][]string{
		{"  was alike", cmp.Or(d.Base, "nothing")},
		{"  first", cmp.Or(d.First, "nothing")},
		{"  second", cmp.Or(d.Second, "nothing")},
		{"  since", since(d.Since)},
		{"  then", c.fate(d)},
	})
}

// subject names what a difference is about.
func subject(d api.SettingsDifference) string {
	return strings.Join(strings.Fields(d.Class+" "+d.Path+" "+d.Field), " ")
}

// fate says what becomes of a difference.
func (c *console) fate(d api.SettingsDifference) string {
	switch {
	case d.Chosen != "":
		return fmt.Sprintf("%s chose that of %s: the next sync takes it", d.Chosen, d.Takes)
	case d.State == api.SettingsCarry:
		return fmt.Sprintf("changed on %s: %s is to get it", d.By, d.By.Other())
	case d.State == api.SettingsConflict && d.Takes != pair.RoleUnknown:
		return d.Why + ": that of " + d.Takes.String() + " is taken, by the policy"
	case d.WaitsForPerson():
		return c.paint(yellow, d.Why+": it waits for you (tandem conflicts)")
	default:
		return c.paint(yellow, d.Why)
	}
}

func newConflicts(c *console) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "conflicts PAIR",
		Short: "Show what both units changed, and what waits for a person",
		Long: `Conflicts shows the settings for which it is not clear which unit is right: both
changed the same thing, or something is gone where that may be an accident. What the
policy decides by itself (sync.conflicts: active) is shown too, with both values.

Exit code 3 means that something waits for a person.`,
		Example: `  tandem conflicts edge-weu
  tandem conflicts resolve edge-weu 3f0a9c1b2d4e --take first --reason "the new one"`,
		Args: cobra.ExactArgs(1), ValidArgsFunction: c.completePairs,
		RunE: func(cmd *cobra.Command, args []string) error { return c.conflicts(cmd, args[0]) },
	}
	addServer(cmd)
	addOutput(cmd)
	cmd.AddCommand(newResolve(c))
	return cmd
}

func (c *console) conflicts(cmd *cobra.Command, name string) error {
	client, err := c.client(cmd)
	if err != nil {
		return err
	}
	found, err := client.PastSettings(cmd.Context(), name)
	if err != nil {
		return err
	}
	var open bool
	conflicts := []api.SettingsDifference{}
	for _, d := range found.Differences {
		if d.State == api.SettingsConflict || d.State == api.SettingsAsk {
			conflicts = append(conflicts, d)
			open = open || d.WaitsForPerson()
		}
	}
	found.Differences = conflicts
	switch {
	case output(cmd) == "json":
		err = writeJSON(c.out, found)
	default:
		err = c.printConflicts(found)
	}
	if err == nil && open {
		return &exitError{code: exitFound}
	}
	return err
}

func (c *console) printConflicts(found api.Settings) error {
	if len(found.Differences) == 0 {
		fmt.Fprintln(c.out, "no conflict, and nothing waits for a person; settings: "+c.alike(found))
	}
	if err := c.printDifferences(found); err != nil || len(found.Past) == 0 {
		return err
	}
	fmt.Fprintln(c.out, "\nconflicts that are over; the value that lost is kept here only:")
	for _, p := range found.Past {
		fmt.Fprintf(c.out, "\n%s  %s\n", c.paint(bold, subject(p.SettingsDifference)), c.paint(dim, p.ID))
		if err := table(c.out, [][]string{{"  first", cmp.Or(p.First, "nothing")}, {"  second", cmp.Or(p.Second, "nothing")}, {"  seen last", since(p.At)}}); err != nil {
			return err
		}
	}
	return nil
}

func newResolve(c *console) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "resolve PAIR ID",
		Short: "Say whose state of one thing is right",
		Long: `Resolve says whose state of one thing is right, by the id that tandem conflicts
shows. The next sync carries it over. The id stands for these very values: where a unit
changes its one before, the choice counts for nothing.`,
		Example: `  tandem conflicts resolve edge-weu 3f0a9c1b2d4e --take first --reason "the new one"`,
		Args:    cobra.ExactArgs(2), ValidArgsFunction: c.completePairs,
		RunE: func(cmd *cobra.Command, args []string) error { return c.resolve(cmd, args[0], args[1]) },
	}
	addUnit(cmd, "take", "the unit whose state is right: first or second")
	addWord(cmd)
	return cmd
}

func (c *console) resolve(cmd *cobra.Command, name, id string) error {
	unit, err := unitFlag(cmd, "take")
	if err != nil {
		return err
	}
	if unit == pair.RoleUnknown {
		return badInput("expected --take first or --take second; see %s --help", cmd.CommandPath())
	}
	client, err := c.client(cmd)
	if err != nil {
		return err
	}
	ask, dryRun, err := c.ask(cmd)
	if err != nil {
		return err
	}
	chosen, err := client.Choose(cmd.Context(), name, api.ChooseAsk{By: ask.By, Reason: ask.Reason, ID: id, Unit: unit}, dryRun)
	if err != nil {
		return err
	}
	if output(cmd) == "json" {
		return writeJSON(c.out, chosen)
	}
	_, err = fmt.Fprintf(c.out, "%s: that of %s is right, as %s said; the next sync takes it\n",
		subject(chosen.Difference), unit, chosen.By)
	return err
}
