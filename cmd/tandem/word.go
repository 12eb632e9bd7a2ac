package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tandem/internal/api"
	"tandem/internal/pair"
	"tandem/internal/replay"
)

// addWord gives a command that says a person's word the flags that all of them
// have.
func addWord(cmd *cobra.Command) {
	cmd.Flags().String("by", "", "who asks; the user of this terminal where neither this nor a token says it")
	cmd.Flags().String("reason", "", "why, for whoever finds it so at night")
	cmd.Flags().Bool("dry-run", false, "say what would change, change nothing")
	addServer(cmd)
	addOutput(cmd)
}

// ask makes a word of the command's flags. With a token the server knows who asks.
func (c *console) ask(cmd *cobra.Command) (a api.Ask, dryRun bool, err error) {
	a.By, _ = cmd.Flags().GetString("by") // added by addWord, like the next two
	a.Reason, _ = cmd.Flags().GetString("reason")
	dryRun, _ = cmd.Flags().GetBool("dry-run")
	if c.token(cmd) != "" {
		return a, dryRun, nil
	}
	if a.By = cmp.Or(a.By, c.setting("USER"), c.setting("USERNAME")); a.By == "" {
		return a, dryRun, badInput("it is not known who asks: give --by")
	}
	return a, dryRun, nil
}

// say says a word and tells what came of it.
func (c *console) say(cmd *cobra.Command, w api.Word, name string, change func(*api.Ask)) (api.Asked, error) {
	client, err := c.client(cmd)
	if err != nil {
		return api.Asked{}, err
	}
	a, dryRun, err := c.ask(cmd)
	if err != nil {
		return api.Asked{}, err
	}
	if change != nil {
		change(&a)
	}
	return client.Ask(cmd.Context(), w, name, a, dryRun)
}

// told prints the answer to a word: as JSON, or as a sentence.
func (c *console) told(cmd *cobra.Command, asked api.Asked, sentence string) error {
	if output(cmd) == "json" {
		return writeJSON(c.out, asked)
	}
	if asked.DryRun {
		sentence += " (dry run, nothing was changed)"
	}
	_, err := fmt.Fprintln(c.out, sentence)
	return err
}

func newPause(c *console) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "pause PAIR | --all",
		Short: "Have a pair, or all of them, watched and explained, and nothing done",
		Long: `Pause ends all that Tandem does about a pair by itself; what it set in the load
balancer is taken back first. With --unit it is the maintenance of that unit,
whose silence is then expected. Without --for or --until it stands until somebody
says resume. A pause takes the place of the one before.`,
		Example: `  tandem pause edge-weu --reason "cabling of rack 7" --for 2h
  tandem pause edge-weu --reason "new disk" --unit second --until 2026-11-22T23:00:00Z --by ada
  tandem pause --all --reason "work on the region's network" --for 4h`,
		Args:              pairOrAll,
		ValidArgsFunction: c.completePairs,
		RunE:              func(cmd *cobra.Command, args []string) error { return c.pause(cmd, args) },
	}
	cmd.Flags().Bool("all", false, "all pairs at once, those that are defined later too")
	addPause(cmd, "maintenance of this unit: first or second")
	return cmd
}

func newMaintenance(c *console) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "maintenance PAIR --unit UNIT",
		Short: "Have a pair left alone while somebody is at work on one of its units",
		Long: `Maintenance is a pause with a unit, whose silence is then expected: the pair is
watched and explained, what Tandem set in the load balancer is taken back first,
and nothing else is done. It does not move the service away: when the unit is the
active one, say tandem switchover before. Without --for or --until it stands until
somebody says resume.`,
		Example: `  tandem maintenance edge-weu --unit second --for 2h --reason "new disk"
  tandem resume edge-weu`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: c.completePairs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if unit, _ := cmd.Flags().GetString("unit"); unit == "" { // added by addPause
				return badInput("--unit: expected first or second, the one that somebody is at work on")
			}
			return c.pause(cmd, args)
		},
	}
	addPause(cmd, "the unit that somebody is at work on: first or second")
	return cmd
}

// addPause gives a command the flags of a pause.
func addPause(cmd *cobra.Command, unit string) {
	cmd.Flags().Duration("for", 0, "how long, such as 2h")
	cmd.Flags().String("until", "", "until when, such as 2026-11-22T23:00:00Z")
	addUnit(cmd, "unit", unit)
	addWord(cmd)
}

// addUnit gives a command a flag that names a unit.
func addUnit(cmd *cobra.Command, name, usage string) {
	cmd.Flags().String(name, "", usage)
	_ = cmd.RegisterFlagCompletionFunc(name, cobra.FixedCompletions([]string{"first", "second"}, cobra.ShellCompDirectiveNoFileComp)) // the flag was just added
}

// unitFlag reads such a flag; unset is no unit.
func unitFlag(cmd *cobra.Command, name string) (r pair.Role, err error) {
	text, _ := cmd.Flags().GetString(name) // added by addUnit
	if text != "" && (r.UnmarshalText([]byte(text)) != nil || r == pair.RoleUnknown) {
		return r, badInput("--%s %q: expected first or second", name, text)
	}
	return r, nil
}

// pairOrAll demands one pair, or the flag --all and none.
func pairOrAll(cmd *cobra.Command, args []string) error {
	all, _ := cmd.Flags().GetBool("all") // added by the commands that use this
	if len(args) > 1 || all == (len(args) == 1) {
		return errors.New("expected one pair, or --all")
	}
	return nil
}

func (c *console) pause(cmd *cobra.Command, args []string) error {
	a, err := pauseFlags(cmd)
	if err != nil {
		return err
	}
	w, name, whom := api.Stop, "", "all pairs"
	if len(args) == 1 {
		w, name, whom = api.Pause, args[0], "pair "+args[0]
	}
	asked, err := c.say(cmd, w, name, func(full *api.Ask) { full.For, full.Until, full.Unit = a.For, a.Until, a.Unit })
	if err != nil {
		return err
	}
	sentence := whom + " paused by " + asked.By
	if a.Unit != pair.RoleUnknown {
		sentence = "maintenance of " + a.Unit.String() + " of " + whom + " begun by " + asked.By
	}
	if !asked.Until.IsZero() {
		sentence += " until " + since(asked.Until)
	}
	return c.told(cmd, asked, sentence+"; what of ours stands is taken back first")
}

// pauseFlags reads what only pause takes.
func pauseFlags(cmd *cobra.Command) (a api.Ask, err error) {
	length, _ := cmd.Flags().GetDuration("for") // added by addPause, like the next
	until, _ := cmd.Flags().GetString("until")
	if cmd.Flags().Changed("for") && length <= 0 {
		return a, badInput("--for %v: expected more than nothing", length)
	}
	a.For = pair.Duration(length)
	if until != "" {
		if a.Until, err = time.Parse(time.RFC3339, until); err != nil {
			return a, badInput("--until %q: expected a time such as 2026-11-22T23:00:00Z", until)
		}
	}
	a.Unit, err = unitFlag(cmd, "unit")
	return a, err
}

func newResume(c *console) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "resume PAIR | --all",
		Short: "End a pause or a maintenance",
		Long: `Resume ends the pause of a pair or the maintenance of one of its units. With --all
it ends the pause of all pairs; a pair that was paused by itself stays so.`,
		Example: `  tandem resume edge-weu --by ada
  tandem resume --all --reason "the network is whole again"`,
		Args:              pairOrAll,
		ValidArgsFunction: c.completePairs,
		RunE:              func(cmd *cobra.Command, args []string) error { return c.resume(cmd, args) },
	}
	cmd.Flags().Bool("all", false, "the pause of all pairs")
	addWord(cmd)
	return cmd
}

func (c *console) resume(cmd *cobra.Command, args []string) error {
	w, name, whom := api.Go, "", "all pairs"
	if len(args) == 1 {
		w, name, whom = api.Resume, args[0], "pair "+args[0]
	}
	asked, err := c.say(cmd, w, name, nil)
	if err != nil {
		return err
	}
	sentence := whom + " resumed by " + asked.By
	if asked.Change != changeStored {
		sentence = whom + ": nobody had paused that"
	}
	if asked.Stance != "" {
		sentence += "; its stance is: " + asked.Stance
	}
	return c.told(cmd, asked, sentence)
}

// changeStored is the answer to a word that changed something.
const changeStored = "stored"

func newApprove(c *console) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "approve PAIR [HASH]",
		Short: "Have the plan carried out that waits for a person",
		Long: `Approve gives a person's word for exactly one plan, which its hash names. Without
the hash it shows the plan that waits and asks. The approval holds for ten
minutes; what the plan rests on must still be so when it is carried out, and the
limits of automatic moves do not count for it.

Exit code 1 means that another plan waits by now, or none.`,
		Example: `  tandem approve edge-weu
  tandem approve edge-weu 8ff51939f0187d58 --reason "the link will be down all night" --by ada`,
		Args:              cobra.RangeArgs(1, 2),
		ValidArgsFunction: c.completePairs,
		RunE:              func(cmd *cobra.Command, args []string) error { return c.approve(cmd, args) },
	}
	addWord(cmd)
	return cmd
}

func (c *console) approve(cmd *cobra.Command, args []string) error {
	hash := ""
	if len(args) == 2 {
		hash = args[1]
	} else {
		var err error
		if hash, err = c.confirmPlan(cmd, args[0]); err != nil {
			return err
		}
	}
	asked, err := c.say(cmd, api.Approve, args[0], func(a *api.Ask) { a.Plan = hash })
	if err != nil {
		return err
	}
	return c.told(cmd, asked, fmt.Sprintf("plan %s of pair %s approved by %s until %s; tandem history %s tells what comes of it",
		hash, args[0], asked.By, since(asked.Until), args[0]))
}

// confirmPlan shows the plan that waits and asks the person at the terminal.
func (c *console) confirmPlan(cmd *cobra.Command, name string) (string, error) {
	client, err := c.client(cmd)
	if err != nil {
		return "", err
	}
	st, err := client.Pair(cmd.Context(), name)
	if err != nil {
		return "", err
	}
	if st.Plan == nil {
		return "", &exitError{code: exitFailed, err: fmt.Errorf("no plan of pair %s waits; tandem explain %s says how things stand", name, name)}
	}
	if !c.asks || output(cmd) != "text" {
		return "", badInput("plan %s waits; nobody can be asked here, so give its hash: tandem approve %s %s", st.Plan.Hash, name, st.Plan.Hash)
	}
	if err := table(c.out, planRows(st.Plan)); err != nil {
		return "", err
	}
	fmt.Fprint(c.out, "approve this plan? [yes/no] ")
	answer, err := bufio.NewReader(io.LimitReader(c.in, 100)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("read the answer: %w", err)
	}
	if answer = strings.ToLower(strings.TrimSpace(answer)); answer != "yes" && answer != "y" {
		return "", &exitError{code: exitFailed, err: errors.New("not approved")}
	}
	return st.Plan.Hash, nil
}

func planRows(p *pair.Plan) [][]string {
	rows := [][]string{{"plan", p.Hash}, {"row", p.Row}, {"since", since(p.At)}, {"because", p.Reason}}
	for _, i := range p.Intents {
		rows = append(rows, []string{"would do", replay.Words(i)})
	}
	if p.Approved != nil {
		rows = append(rows, []string{"approved", "by " + p.Approved.By + " at " + since(p.Approved.At)})
	}
	return rows
}

func newAck(c *console) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "ack PAIR",
		Short: "Acknowledge that somebody has looked, so that automatic moves are allowed again",
		Long: `Ack ends what waits for a person to look: the block after too many automatic moves
in an hour, the hold-down after the last one, the limit of starts and restarts in
a day, and the alarm of a job that failed. Find the cause first.

It also ends the rest of credentials that a unit refused, also for another secret:
they are tried again within two minutes. Put the right secret first, because a unit
locks the account after three failed logins.`,
		Example: `  tandem ack edge-weu --reason "the switch was replaced"
  tandem ack edge-weu --reason "the new password is in the settings" --by ada`,
		Args: cobra.ExactArgs(1), ValidArgsFunction: c.completePairs,
		RunE: func(cmd *cobra.Command, args []string) error {
			asked, err := c.say(cmd, api.Ack, args[0], nil)
			if err != nil {
				return err
			}
			return c.told(cmd, asked, fmt.Sprintf("pair %s acknowledged by %s: automatic moves are allowed again, credentials that a unit refused are tried within two minutes; its stance is: %s", args[0], asked.By, asked.Stance))
		},
	}
	addWord(cmd)
	return cmd
}

// addWait gives a command that waits for what comes of a word the flags for it.
func addWait(cmd *cobra.Command, patience time.Duration) {
	cmd.Flags().Bool("no-wait", false, "do not wait for what comes of it")
	cmd.Flags().Duration("timeout", patience, "how long to wait")
}

// wait calls look, every two seconds, until it is done or the command's time is
// over, and tells what it says meanwhile when that changes.
func (c *console) wait(cmd *cobra.Command, look func(context.Context) (done bool, doing string, err error)) error {
	patience, _ := cmd.Flags().GetDuration("timeout") // added by addWait
	last := ""
	return c.repeat(cmd.Context(), patience, func(ctx context.Context) (bool, string, error) {
		done, doing, err := look(ctx)
		if err == nil && !done && doing != last {
			fmt.Fprintln(c.err, "tandem: "+doing)
			last = doing
		}
		return done, doing, err
	})
}

// repeat calls look, every two seconds, until it is done or the time is over; none
// has no end.
func (c *console) repeat(ctx context.Context, patience time.Duration, look func(context.Context) (done bool, doing string, err error)) error {
	var over <-chan time.Time
	if patience > 0 {
		timer := time.NewTimer(patience)
		defer timer.Stop()
		over = timer.C
	}
	for {
		done, doing, err := look(ctx)
		if err != nil || done {
			return err
		}
		select {
		case <-time.After(cmp.Or(c.every, 2*time.Second)):
		case <-over:
			return &exitError{code: exitFailed, err: fmt.Errorf("not done after %v: %s; it goes on without this command", patience, doing)}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func newRemove(c *console) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "remove PAIR",
		Short: "Have a pair forgotten, after what is ours was taken back",
		Long: `Remove ends Tandem's work on a pair. Admin states that Tandem set are set back to
None first, then the pair is forgotten; its journal is kept. The units and the
load balancer stay as they are, and tandem apply makes the pair again.`,
		Example: `  tandem remove edge-weu --reason "moved to another region"
  tandem remove edge-weu --reason "moved to another region" --no-wait --by ada`,
		Args: cobra.ExactArgs(1), ValidArgsFunction: c.completePairs,
		RunE: func(cmd *cobra.Command, args []string) error { return c.remove(cmd, args[0]) },
	}
	addWait(cmd, 5*time.Minute)
	addWord(cmd)
	return cmd
}

func (c *console) remove(cmd *cobra.Command, name string) error {
	asked, err := c.say(cmd, api.Remove, name, nil)
	if err != nil {
		return err
	}
	noWait, _ := cmd.Flags().GetBool("no-wait") // added by addWait
	if noWait || asked.DryRun {
		return c.told(cmd, asked, fmt.Sprintf("pair %s will be forgotten when nothing of ours stands any more, as %s asked", name, asked.By))
	}
	client, err := c.client(cmd)
	if err != nil {
		return err
	}
	err = c.wait(cmd, func(ctx context.Context) (bool, string, error) {
		st, err := client.Pair(ctx, name)
		if errors.Is(err, pair.ErrNotFound) {
			return true, "", nil
		}
		if passing(err) {
			return false, err.Error(), nil
		}
		return false, "waits until nothing of ours stands" + standing(st), err
	})
	if err != nil {
		return err
	}
	return c.told(cmd, asked, "pair "+name+" is forgotten; tandem history "+name+" still has its journal")
}

// passing reports whether an error may be gone at the next look.
func passing(err error) bool {
	return errors.Is(err, pair.ErrUnreachable) || errors.Is(err, pair.ErrThrottled) || errors.Is(err, pair.ErrBusy)
}

// standing says what of ours stands.
func standing(st api.Status) string {
	var all []string
	for _, h := range st.Holds {
		all = append(all, holdWords(h))
	}
	for _, i := range st.Open {
		all = append(all, replay.Words(i)+" is "+i.State.String())
	}
	if len(all) == 0 {
		return ""
	}
	return ": " + strings.Join(all, "; ")
}
