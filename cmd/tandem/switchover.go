package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"tandem/internal/api"
	"tandem/internal/pair"
)

// The kinds of jobs that have a command of their own.
const (
	switchover = "switchover"
	configure  = "configure"
)

func newSwitchover(c *console) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "switchover PAIR",
		Short: "Have the other unit serve, without a lost new connection where that can be had",
		Long: `Switchover moves the active state to the other unit, drained: the target is proved
fit, new connections go to it, those of the old unit get --drain to end, and then
the units change roles by their own rules, which takes a reboot. Where the pair
file does not say that a standby forwards, ten to fifteen seconds are announced and
asked for.

It is a job, and goes on without this command: Ctrl-C ends the watching only. As
long as the active state has not moved, tandem jobs cancel takes everything back.

Exit code 1 means that it failed, was refused or cancelled, or waits for somebody
who can be asked.`,
		Example: `  tandem switchover edge-weu --reason "host maintenance tonight"
  tandem switchover edge-weu --to first --drain 10m --yes
  tandem switchover edge-weu --no-wait --by ada
  tandem switchover edge-weu --to second --force --reason "first is failing"`,
		Args: cobra.ExactArgs(1), ValidArgsFunction: c.completePairs,
		RunE: func(cmd *cobra.Command, args []string) error {
			to, err := unitFlag(cmd, "to")
			if err != nil {
				return err
			}
			drain, _ := cmd.Flags().GetDuration("drain") // added below, like the next
			force, _ := cmd.Flags().GetBool("force")
			if cmd.Flags().Changed("drain") && drain <= 0 {
				return badInput("--drain %v: expected more than nothing", drain)
			}
			return c.start(cmd, args[0], api.JobStart{Kind: switchover, Unit: to, Drain: pair.Duration(drain), Force: force})
		},
	}
	addUnit(cmd, "to", "the unit that shall serve: first or second; the other one where nothing is said")
	cmd.Flags().Duration("drain", 0, "how long connections of the old unit may take to end, such as 5m")
	cmd.Flags().Bool("force", false, "override the proof that the target is fit; needs the role Tandem.Force")
	addJob(cmd)
	return cmd
}

func newConfigure(c *console) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "configure PAIR",
		Short: "Set up HA on both units as the pair file says, and prove it",
		Long: `Configure sets HA mode, partner, check port, preference and interfaces of both units
as the pair file says, reads them back, reboots where that is needed, second first,
and proves the outcome: the roles, that both have left "unconnected", and that
exactly one unit answers 200. What is right already is not touched. A pair that
serves gets its parameters live, and reboots only through a switchover.

It is a job, and goes on without this command: Ctrl-C ends the watching only.`,
		Example: `  tandem configure edge-weu --dry-run
  tandem configure edge-weu --yes --reason "first set-up"`,
		Args: cobra.ExactArgs(1), ValidArgsFunction: c.completePairs,
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.start(cmd, args[0], api.JobStart{Kind: configure})
		},
	}
	addJob(cmd)
	return cmd
}

// addJob gives a command that starts a job its flags.
func addJob(cmd *cobra.Command) {
	cmd.Flags().Bool("yes", false, "approve at once what the job announces and asks for")
	addWait(cmd, time.Hour)
	addWord(cmd)
}

// start starts a job and follows it until it ends.
func (c *console) start(cmd *cobra.Command, name string, start api.JobStart) error {
	client, err := c.client(cmd)
	if err != nil {
		return err
	}
	a, dryRun, err := c.ask(cmd)
	if err != nil {
		return err
	}
	start.By, start.Reason = a.By, a.Reason
	asked, err := c.begin(cmd.Context(), client, name, start, dryRun)
	if err != nil {
		return err
	}
	j := &asked.Job
	noWait, _ := cmd.Flags().GetBool("no-wait") // added by addWait
	switch {
	case asked.Obstacle != "":
		if err := c.toldJob(cmd, asked, "nothing would be begun: "+asked.Obstacle); err != nil {
			return err
		}
		return &exitError{code: exitFound}
	case dryRun:
		return c.toldJob(cmd, asked, fmt.Sprintf("%s of pair %s would be begun: %s", j.Kind, name, stepNames(j)))
	case noWait:
		return c.toldJob(cmd, asked, fmt.Sprintf("%s %s is begun, as %s asked; tandem jobs watch %s tells how it goes on", j.Kind, j.ID, asked.By, name))
	}
	w := &watcher{c: c, out: c.err, live: c.live}
	if w.live {
		w.out = c.out
	}
	if output(cmd) == "json" {
		w = nil
	}
	patience, _ := cmd.Flags().GetDuration("timeout") // added by addWait
	last, err := c.follow(cmd, client, api.PairJob{Pair: name, Job: j}, patience, w, func(j *pair.Job) error {
		return c.consent(cmd, client, name, j, a)
	})
	if err == nil && output(cmd) == "json" {
		asked.Job = *last.Job
		err = writeJSON(c.out, asked)
	}
	return c.ended(cmd, last, err)
}

func stepNames(j *pair.Job) string {
	names := make([]string, len(j.Steps))
	for i, s := range j.Steps {
		names[i] = s.Name
	}
	return strings.Join(names, ", ")
}

// beginTries is how often a request that starts a job is sent where nobody knows
// whether it arrived. Its key keeps it from starting two.
const beginTries = 3

func (c *console) begin(ctx context.Context, client *api.Client, name string, start api.JobStart, dryRun bool) (asked api.JobAsked, err error) {
	key := rand.Text()
	for n := range beginTries {
		if n > 0 {
			select {
			case <-time.After(cmp.Or(c.every, 2*time.Second)):
			case <-ctx.Done():
				return asked, ctx.Err()
			}
		}
		asked, err = client.StartJob(ctx, name, start, key, dryRun)
		if !errors.Is(err, pair.ErrUnreachable) && !errors.Is(err, pair.ErrUnknownOutcome) {
			return asked, err
		}
	}
	return asked, err
}

// consent approves what a job asks for, if a person says so.
func (c *console) consent(cmd *cobra.Command, client *api.Client, name string, j *pair.Job, a api.Ask) error {
	yes, _ := cmd.Flags().GetBool("yes") // added by addJob
	switch {
	case yes:
	case !c.asks || output(cmd) != "text":
		return &exitError{code: exitFailed, err: fmt.Errorf("%s waits for an approval: %s; tandem jobs approve %s, or tandem jobs cancel %s", j.Kind, j.Why, name, name)}
	default:
		fmt.Fprintf(c.out, "\n%s\n", j.Why)
		if !c.confirmed("Approve this?") {
			return &exitError{code: exitFailed, err: fmt.Errorf("not approved, and the job waits; tandem jobs approve %s, or tandem jobs cancel %s", name, name)}
		}
	}
	_, err := client.SayJob(cmd.Context(), pair.JobApprove, name, api.JobAsk{Job: j.ID, By: a.By, Reason: a.Reason}, false)
	if errors.Is(err, pair.ErrConflict) || passing(err) {
		return nil // it asks nothing any more, or the next look asks again
	}
	return err
}

// follow looks at a job until it ends, tells how it goes on, and calls asked while
// it waits for a person. It returns the job as it was seen last.
func (c *console) follow(cmd *cobra.Command, client *api.Client, first api.PairJob, patience time.Duration, w *watcher, asked func(*pair.Job) error) (api.PairJob, error) {
	last := first
	name, id := first.Pair, first.Job.ID
	err := c.repeat(cmd.Context(), patience, func(ctx context.Context) (bool, string, error) {
		p, err := client.Job(ctx, name)
		switch {
		case passing(err):
			return false, err.Error(), nil
		case errors.Is(err, pair.ErrNotFound), err == nil && p.Warning == "" && (p.Job == nil || p.Job.ID != id):
			return false, "", gone(id, api.PairJob{Pair: name, Job: p.Job})
		case err != nil:
			return false, "", err
		case p.Job == nil || p.Job.ID != id:
			return false, p.Warning, nil
		}
		last = p
		w.saw(p)
		if p.Job.State.Ended() {
			return true, "", nil
		}
		if p.Job.State == pair.JobAsks && p.Job.Said == nil && asked != nil {
			err = asked(p.Job)
			w.below()
		}
		return false, p.Job.State.String() + " at step " + stepOf(p.Job) + ", " + jobNote(p), err
	})
	if cmd.Context().Err() != nil {
		err = &exitError{code: exitFailed, err: fmt.Errorf("not watched any more; %s goes on without this command: tandem jobs watch %s, or tandem jobs cancel %s", id, name, name)}
	}
	return last, err
}

// watcher tells how a job goes on: as a list that is drawn anew, or with a line for
// each change. A nil one tells nothing.
type watcher struct {
	c     *console
	out   io.Writer
	live  bool
	drawn int               // lines of the list on the terminal
	told  map[string]string // what was said of each step, and of the job
}

// saw tells what is new.
func (w *watcher) saw(p api.PairJob) {
	switch {
	case w == nil:
	case w.live:
		w.draw(p)
	default:
		w.tell(p)
	}
}

// below leaves the list as it is, and draws the next one under what was printed
// meanwhile.
func (w *watcher) below() {
	if w != nil {
		w.drawn = 0
	}
}

// The terminal's commands with which a list is drawn anew: no line may be broken in
// two, or the count of lines would be wrong.
const (
	cutLines   = "\x1b[?7l"
	breakLines = "\x1b[?7h"
	clearBelow = "\x1b[J"
)

func (w *watcher) draw(p api.PairJob) {
	j := p.Job
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s, by %s: %s, %v\n", j.Kind, j.ID, j.By, w.c.paint(jobColor(j.State), j.State.String()), elapsed(p))
	t := tabwriter.NewWriter(&b, 0, 4, 2, ' ', 0)
	for _, row := range w.c.stepRows(p) {
		fmt.Fprintln(t, "  "+strings.Join(row, "\t"))
	}
	_ = t.Flush() // into memory
	if words := jobNote(p); words != "" && (p.Waits != "" || j.State != pair.JobRuns) && !j.State.Ended() {
		fmt.Fprintln(&b, words)
	}
	up := ""
	if w.drawn > 0 {
		up = fmt.Sprintf("\x1b[%dA\r", w.drawn) + clearBelow
	}
	fmt.Fprint(w.out, up+cutLines+b.String()+breakLines)
	w.drawn = strings.Count(b.String(), "\n")
}

func (w *watcher) tell(p api.PairJob) {
	j := p.Job
	if w.told == nil {
		w.told = map[string]string{}
		fmt.Fprintf(w.out, "%s %s, by %s\n", j.Kind, j.ID, j.By)
	}
	say := func(about, words string) {
		if w.told[about] != words {
			fmt.Fprintf(w.out, "%-7v %s\n", elapsed(p), words)
			w.told[about] = words
		}
	}
	for _, s := range stepsOf(j) {
		if s.State == pair.StepOpen {
			continue
		}
		words := s.Name + " " + s.State.String()
		if !s.EndedAt.IsZero() {
			words += fmt.Sprintf(" (%v)", lasted(s.BeganAt, s.EndedAt, p.At))
		}
		say(s.Name, strings.TrimSuffix(words+": "+s.Note, ": "))
	}
	words := ""
	if p.Waits != "" || j.State != pair.JobRuns && !j.State.Ended() {
		words = j.State.String() + ": " + jobNote(p)
	}
	if words != "" || w.told[""] != "" && !j.State.Ended() {
		say("", cmp.Or(words, "goes on"))
	}
}
