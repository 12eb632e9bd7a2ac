package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"tandem/internal/api"
	"tandem/internal/pair"
)

// syncs is the kind of the job that makes settings alike.
const syncs = "sync"

// syncFor is how long the command watches: a large unit takes an hour of writes, and the
// units' own sync comes before.
const syncFor = 4 * time.Hour

func newSync(c *console) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "sync PAIR",
		Short: "Make the settings of both units alike",
		Long: `Sync compares the settings of both units with what they last had in common, and
carries over what one of them changed. What the standby changed is written to the
active unit, each thing read back, after a backup of it. What the active unit changed is
left to the units' own sync; what that does not carry goes to the standby by a restore of
single parts (sync.restore in the pair file), or by single writes where one of them was
proved to last for 150 s. Where both changed the same thing, --prefer or the pair file
says whose value is taken; what waits for a person stays as it is (tandem conflicts).

What object calls cannot carry is named and left: private keys, passwords and files.

It is a job, and goes on without this command: Ctrl-C ends the watching only. With
--dry-run it shows what the newest comparison found, and changes nothing.

Exit code 1 means that not everything could be carried over, or that it was refused or
cancelled.`,
		Example: `  tandem sync edge-weu --dry-run
  tandem sync edge-weu --prefer active --reason "after the maintenance"
  tandem sync edge-weu --only content-rules,virtual-services`,
		Args: cobra.ExactArgs(1), ValidArgsFunction: c.completePairs,
		RunE: func(cmd *cobra.Command, args []string) error { return c.sync(cmd, args[0]) },
	}
	cmd.Flags().String("prefer", "", "whose value is taken where both units changed the same thing: first, second or active")
	_ = cmd.RegisterFlagCompletionFunc("prefer", cobra.FixedCompletions([]string{"first", "second", "active"}, cobra.ShellCompDirectiveNoFileComp)) // the flag was just added
	cmd.Flags().StringSlice("only", nil, "classes of settings that are written, by their names in docs/settings.md; all where nothing is said")
	cmd.Flags().Bool("force", false, "do without a backup of the unit that is written to; needs the role Tandem.Force")
	cmd.Flags().Bool("yes", false, "approve at once what the job announces and asks for")
	addWait(cmd, syncFor)
	addWord(cmd)
	return cmd
}

func (c *console) sync(cmd *cobra.Command, name string) error {
	start := api.JobStart{Kind: syncs}
	start.Force, _ = cmd.Flags().GetBool("force") // added by newSync, like the next two
	prefer, _ := cmd.Flags().GetString("prefer")
	only, _ := cmd.Flags().GetStringSlice("only")
	if prefer != "" || len(only) > 0 {
		start.Sync = &pair.JobSync{Prefer: prefer, Only: only}
	}
	dryRun, _ := cmd.Flags().GetBool("dry-run") // added by addWord
	if err := c.start(cmd, name, start); err != nil || !dryRun || output(cmd) == "json" {
		return err
	}
	client, err := c.client(cmd)
	if err != nil {
		return err
	}
	found, err := client.Settings(cmd.Context(), name)
	if err != nil {
		return err
	}
	fmt.Fprintln(c.out, "settings: "+c.alike(found))
	return c.printDifferences(found)
}
