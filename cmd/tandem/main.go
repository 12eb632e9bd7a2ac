// Command tandem keeps pairs of LoadMaster load balancers highly available on
// Azure. Without arguments it is the custom handler of the function app; with
// them it is the operator's command line and the lab.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"tandem/internal/api"
)

// Exit codes of all commands (DESIGN section 8).
const (
	exitDone     = 0 // done, and nothing wrong
	exitFailed   = 1
	exitBadInput = 2
	exitFound    = 3 // done, and something was found: drift, a failing check
)

// version is set by the Makefile when a release is built.
var version = "development"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, &console{
		out: os.Stdout, err: os.Stderr, in: os.Stdin, environ: os.Environ(),
		live:   isTerminal(os.Stdout),
		colors: isTerminal(os.Stdout) && os.Getenv("NO_COLOR") == "", asks: isTerminal(os.Stdin) && isTerminal(os.Stdout),
	}, os.Args[1:])
	stop()
	os.Exit(code)
}

// console is where a command reads and writes, and the environment it sees.
type console struct {
	out, err io.Writer
	in       io.Reader
	environ  []string
	colors   bool
	live     bool          // what was printed can be drawn anew
	asks     bool          // there is a person who can be asked
	every    time.Duration // between two looks of a command that waits; 0 is two seconds
}

// run runs one command and returns its exit code. Tests call it in place of the
// program.
func run(ctx context.Context, c *console, args []string) int {
	root := newRoot(c)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	switch e := (*exitError)(nil); {
	case err == nil:
		return exitDone
	case errors.As(err, &e):
		if e.err != nil {
			c.complain(e.err)
		}
		return e.code
	case errors.Is(err, context.Canceled):
		fmt.Fprintln(c.err, "tandem: stopped")
		return exitFailed
	default:
		fmt.Fprintln(c.err, "tandem: "+err.Error())
		return api.ExitCode(err)
	}
}

// complain prints an error. Mistakes in pair files begin with file and line, where
// editors look for them, and are counted.
func (c *console) complain(err error) {
	problems, rest := mistakes(err)
	if rest != nil {
		fmt.Fprintln(c.err, "tandem: "+rest.Error())
	}
	_, _ = problems.WriteTo(c.err) // to a terminal: there is nobody else to tell
}

// exitError ends the program with a code; its error, if any, is shown.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

func badInput(format string, args ...any) error {
	return &exitError{code: exitBadInput, err: fmt.Errorf(format, args...)}
}

func newRoot(c *console) *cobra.Command {
	root := &cobra.Command{
		Use:   "tandem",
		Short: "Keeps pairs of LoadMaster load balancers highly available on Azure",
		Long: `Tandem watches pairs of LoadMaster load balancers on Azure, decides what their
state asks for, and adjusts the Azure load balancer in front of them.

Without a command it is the custom handler of the function app (tandem serve).
To see a failover without an Azure account: tandem lab`,
		Example: `  tandem lab
  tandem validate -f edge-weu.yaml
  tandem apply -f edge-weu.yaml --server https://tandem-weu.azurewebsites.net
  tandem status`,
		Version:       version,
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE:          func(cmd *cobra.Command, _ []string) error { return serve(cmd.Context(), c) },
	}
	root.SetOut(c.out)
	root.SetErr(c.err)
	root.SetIn(c.in)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return badInput("%w; see %s --help", err, cmd.CommandPath())
	})
	root.AddCommand(newServe(c), newLab(c), newValidate(c), newSchema(c), newPlan(c), newApply(c), newDiscover(c), newGeo(c), newStatus(c), newHistory(c), newExplain(c), newReplay(c),
		newPause(c), newMaintenance(c), newResume(c), newApprove(c), newAck(c), newProve(c), newRemove(c),
		newSwitchover(c), newConfigure(c), newDrift(c), newSync(c), newConflicts(c), newBackups(c), newBackup(c), newRestore(c), newReplace(c), newJobs(c), newVersion(c))
	wrapArgs(root)
	return root
}

// wrapArgs makes wrong arguments bad input, which cobra itself does not tell
// from a failure.
func wrapArgs(cmd *cobra.Command) {
	if check := cmd.Args; check != nil {
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			if err := check(cmd, args); err != nil {
				return badInput("%w; see %s --help", err, cmd.CommandPath())
			}
			return nil
		}
	}
	for _, sub := range cmd.Commands() {
		wrapArgs(sub)
	}
}
