package main

import (
	"time"

	"github.com/spf13/cobra"

	"tandem/internal/api"
	"tandem/internal/pair"
)

// replace is the kind of the job that takes in a unit.
const replace = "replace"

// replaceFor is how long the command watches: four steps of the job wait for people,
// an hour each, and a person may pause it.
const replaceFor = 12 * time.Hour

func newReplace(c *console) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "replace PAIR --unit first|second",
		Short: "Take in a unit that was built anew, once it is licensed, restored, equal and proved",
		Long: `Replace takes in a unit that was built anew, while its partner serves. Until it is
licensed, has its services back, has the firmware and the services of its partner, and
passes the pair file's checks, it stays single and Down in the load balancer, so that
a blank unit never becomes active. Then it gets its place in the pair, is rebooted,
stands by, and the load balancer follows it again. Where the pair file has no checks,
nothing would prove that it forwards: that is announced and asked for.

What is left to you is named by the step that waits, for an hour each: license the
unit, give it the credentials of its secret, apply the pair file with its certificate,
and restore its backup (tandem restore). Of the settings only the services are
compared, by port and protocol.

It is a job, and goes on without this command: Ctrl-C ends the watching only. tandem
jobs cancel takes everything back; the unit is out as long as it is single.

Exit code 1 means that it failed, was refused or cancelled, or waits for somebody
who can be asked.`,
		Example: `  tandem replace edge-weu --unit second --dry-run
  tandem replace edge-weu --unit first --reason "its disk was lost" --no-wait
  tandem jobs watch edge-weu`,
		Args: cobra.ExactArgs(1), ValidArgsFunction: c.completePairs,
		RunE: func(cmd *cobra.Command, args []string) error {
			unit, err := unitFlag(cmd, "unit")
			switch {
			case err != nil:
				return err
			case unit == pair.RoleUnknown:
				return badInput("--unit: expected first or second, the unit that was built anew")
			}
			return c.start(cmd, args[0], api.JobStart{Kind: replace, Unit: unit})
		},
	}
	addUnit(cmd, "unit", "the unit that was built anew: first or second")
	cmd.Flags().Bool("yes", false, "approve at once what the job announces and asks for")
	addWait(cmd, replaceFor)
	addWord(cmd)
	return cmd
}
