package main

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tandem/internal/api"
	"tandem/internal/pair"
)

// jobWords are what a person can say about a job.
var jobWords = []string{pair.JobApprove, pair.JobPause, pair.JobResume, pair.JobCancel}

func newJobs(c *console) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "jobs [PAIR]",
		Short: "Show the jobs of pairs, watch one, approve, pause, resume or cancel it",
		Long: `Jobs shows the newest job of each pair, or of one with its steps: the one that runs,
or the last that ended. Older ones stand in tandem history.

Exit code 3 means that a job waits for a person's approval, or failed and nobody
has acknowledged that (tandem ack).`,
		Example: `  tandem jobs
  tandem jobs edge-weu
  tandem jobs --kind switchover -o json
  tandem jobs watch edge-weu
  tandem jobs cancel edge-weu --reason "not tonight"`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: c.completePairs,
		RunE:              func(cmd *cobra.Command, args []string) error { return c.jobs(cmd, args) },
	}
	cmd.Flags().String("kind", "", "only jobs of this kind, such as switchover")
	addServer(cmd)
	addOutput(cmd)
	_ = cmd.RegisterFlagCompletionFunc("kind", c.completeKinds) // the flag was just added
	cmd.AddCommand(newWatch(c),
		newJobWord(c, pair.JobApprove, "Approve what a job announces and asks for", `Approve lets a job go on that announced an interruption and asked for it. tandem
jobs PAIR shows what it asks.`),
		newJobWord(c, pair.JobPause, "Let a job rest", `Pause takes back what of the job stands in the load balancer and lets it rest until
somebody says resume. The pair itself is not paused.`),
		newJobWord(c, pair.JobResume, "Let a job go on that rests", `Resume lets a job go on. It looks at everything again that may have changed
meanwhile.`),
		newJobWord(c, pair.JobCancel, "End a job and take back what it did", `Cancel ends a job and takes back what it did. When the active state has begun to
move there is no way back by itself, and it is refused: let the job end, and start
another one.`))
	return cmd
}

func (c *console) jobs(cmd *cobra.Command, args []string) error {
	client, err := c.client(cmd)
	if err != nil {
		return err
	}
	all := []api.PairJob{}
	if len(args) == 1 {
		one, err := client.Job(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		if one.Job != nil || one.Warning != "" {
			all = append(all, one)
		}
	} else if all, err = client.Jobs(cmd.Context()); err != nil {
		return err
	}
	kind, _ := cmd.Flags().GetString("kind") // added by newJobs
	all = slices.DeleteFunc(all, func(p api.PairJob) bool { return kind != "" && (p.Job == nil || p.Job.Kind != kind) })
	if output(cmd) == "json" {
		err = writeJSON(c.out, map[string]any{"jobs": append([]api.PairJob{}, all...)})
	} else {
		err = c.printJobs(all, len(args) == 1)
	}
	if err == nil && slices.ContainsFunc(all, wantsPerson) {
		return &exitError{code: exitFound}
	}
	return err
}

// wantsPerson reports whether a job waits for somebody, or for somebody to look.
func wantsPerson(p api.PairJob) bool {
	return p.Job != nil && (p.Job.State == pair.JobAsks || p.Job.State == pair.JobFailed && !p.Job.Acknowledged)
}

// printJobs prints a line for each job, and the steps of one that was asked for.
func (c *console) printJobs(all []api.PairJob, details bool) error {
	rows := [][]string{{"PAIR", "ID", "KIND", "STATE", "STEP", "ELAPSED", "BY", "NOTE"}}
	for _, p := range all {
		if p.Job == nil {
			rows = append(rows, []string{p.Pair, "-", "-", "-", "-", "-", "-", p.Warning})
			continue
		}
		j := p.Job
		rows = append(rows, []string{
			p.Pair, j.ID, j.Kind, j.State.String(), stepOf(j), elapsed(p).String(), j.By, jobNote(p),
		})
	}
	if err := table(c.out, rows); err != nil || !details || len(all) == 0 || all[0].Job == nil {
		return err
	}
	fmt.Fprintln(c.out)
	return table(c.out, c.stepRows(all[0]))
}

func jobColor(s pair.JobState) string {
	switch s {
	case pair.JobDone:
		return green
	case pair.JobFailed:
		return red
	default:
		return yellow
	}
}

// stepOf says which step runs of how many.
func stepOf(j *pair.Job) string {
	return fmt.Sprintf("%d of %d", min(j.Step+1, len(j.Steps)), len(j.Steps))
}

// elapsed is how long a job has run, by the server's clock, or ran.
func elapsed(p api.PairJob) time.Duration { return lasted(p.Job.At, p.Job.EndedAt, p.At) }

// lasted is the time from the beginning of something to its end, or until now.
func lasted(from, end, now time.Time) time.Duration {
	if from.IsZero() {
		return 0
	}
	if end.IsZero() {
		end = now
	}
	return max(0, end.Sub(from).Round(time.Second))
}

// jobNote is the most important thing about a job.
func jobNote(p api.PairJob) string {
	j := p.Job
	switch {
	case p.Warning != "":
		return p.Warning
	case p.Waits != "":
		return "waits, because the pair is " + p.Waits
	case j.State == pair.JobAsks && j.Why != "":
		return j.Why + "; tandem jobs approve " + p.Pair
	case j.Why != "":
		return j.Why
	case j.State == pair.JobRuns && current(j) != nil:
		return strings.TrimSuffix(current(j).Name+": "+current(j).Note, ": ")
	default:
		return j.Reason
	}
}

// runningJob says in a few words what a job does that is not over.
func runningJob(j *pair.Job) string {
	words := fmt.Sprintf("%s for %s, ", j.Kind, j.By)
	if j.State != pair.JobRuns {
		return words + j.State.String()
	}
	words += "step " + stepOf(j)
	if s := current(j); s != nil {
		words += ": " + s.Name
	}
	return words
}

// current is the step that has its turn, nil where all are over.
func current(j *pair.Job) *pair.JobStep {
	if j.Step < 0 || j.Step >= len(j.Steps) {
		return nil
	}
	return &j.Steps[j.Step]
}

// stepsOf are the steps of a job, and how far it is undone where it is.
func stepsOf(j *pair.Job) []pair.JobStep {
	if j.Undo.BeganAt.IsZero() {
		return j.Steps
	}
	return append(slices.Clone(j.Steps), j.Undo)
}

// stepRows are the steps of a job for a table.
func (c *console) stepRows(p api.PairJob) [][]string {
	var rows [][]string
	for _, s := range stepsOf(p.Job) {
		took := ""
		if !s.BeganAt.IsZero() {
			took = lasted(s.BeganAt, s.EndedAt, p.At).String()
		}
		rows = append(rows, []string{c.paint(stepColor(s.State), s.State.String()), s.Name, took, s.Note})
	}
	return rows
}

// stepColor is a color whose code is as long as that of the others, for the sake of
// the columns.
func stepColor(s pair.StepState) string {
	switch s {
	case pair.StepDone:
		return green
	case pair.StepFailed:
		return red
	case pair.StepRuns:
		return yellow
	default:
		return white
	}
}

// completeKinds completes kinds of jobs that there are.
func (c *console) completeKinds(cmd *cobra.Command, _ []string, prefix string) ([]string, cobra.ShellCompDirective) {
	client, err := c.client(cmd)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	all, err := client.Jobs(cmd.Context())
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var kinds []string
	for _, p := range all {
		if p.Job != nil && strings.HasPrefix(p.Job.Kind, prefix) {
			kinds = append(kinds, p.Job.Kind)
		}
	}
	slices.Sort(kinds)
	return slices.Compact(kinds), cobra.ShellCompDirectiveNoFileComp
}

// jobID is the form of a job's id, <pair>-<epoch>-<number>.
var jobID = regexp.MustCompile(`^(.+)-[0-9]{12}-[0-9]{3}$`)

// newestJob finds the job that an argument means, a pair's newest or one by its id,
// which must be the pair's newest too.
func newestJob(cmd *cobra.Command, client *api.Client, arg string) (api.PairJob, error) {
	name, id := arg, ""
	if m := jobID.FindStringSubmatch(arg); m != nil {
		name, id = m[1], arg
	}
	p, err := client.Job(cmd.Context(), name)
	switch {
	case err != nil:
		return p, err
	case p.Job == nil && p.Warning != "":
		return p, &exitError{code: exitFailed, err: fmt.Errorf("pair %s: %s", name, p.Warning)}
	case p.Job == nil:
		return p, &exitError{code: exitFailed, err: fmt.Errorf("pair %s has no job", name)}
	case id != "" && p.Job.ID != id:
		return p, gone(id, p)
	}
	return p, nil
}

// gone says that a job is not the pair's newest any more.
func gone(id string, p api.PairJob) error {
	is := "has no job any more"
	if p.Job != nil {
		is = "has another job by now, " + p.Job.ID
	}
	return &exitError{code: exitFailed, err: fmt.Errorf("pair %s %s; tandem history %s tells what came of %s", p.Pair, is, p.Pair, id)}
}

func newWatch(c *console) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "watch PAIR | ID",
		Short: "Show how a job goes on, until it ends",
		Long: `Watch shows the steps of a pair's job with their times until it ends: drawn anew on
a terminal, a line for each change elsewhere. Ctrl-C ends the command, not the job.

Exit code 1 means that the job failed or was cancelled.`,
		Example: `  tandem jobs watch edge-weu
  tandem jobs watch edge-weu-000000000007-001 -o json`,
		Args: cobra.ExactArgs(1), ValidArgsFunction: c.completePairs,
		RunE: func(cmd *cobra.Command, args []string) error { return c.watch(cmd, args[0]) },
	}
	addServer(cmd)
	addOutput(cmd)
	return cmd
}

func (c *console) watch(cmd *cobra.Command, arg string) error {
	client, err := c.client(cmd)
	if err != nil {
		return err
	}
	first, err := newestJob(cmd, client, arg)
	if err != nil {
		return err
	}
	w := &watcher{c: c, out: c.out, live: c.live}
	if output(cmd) == "json" {
		w = nil
	}
	last, err := c.follow(cmd, client, first, 0, w, nil)
	if err != nil {
		return err
	}
	if output(cmd) == "json" {
		err = writeJSON(c.out, last)
	}
	return c.ended(cmd, last, err)
}

func newJobWord(c *console, word, short, long string) *cobra.Command {
	cmd := &cobra.Command{
		Use:   word + " PAIR | ID",
		Short: short,
		Long:  long,
		Example: `  tandem jobs ` + word + ` edge-weu
  tandem jobs ` + word + ` edge-weu-000000000007-001 --by ada --reason "as agreed with the shop"`,
		Args: cobra.ExactArgs(1), ValidArgsFunction: c.completePairs,
		RunE: func(cmd *cobra.Command, args []string) error { return c.sayJob(cmd, word, args[0]) },
	}
	addWord(cmd)
	return cmd
}

func (c *console) sayJob(cmd *cobra.Command, word, arg string) error {
	client, err := c.client(cmd)
	if err != nil {
		return err
	}
	a, dryRun, err := c.ask(cmd)
	if err != nil {
		return err
	}
	p, err := newestJob(cmd, client, arg)
	if err != nil {
		return err
	}
	asked, err := client.SayJob(cmd.Context(), word, p.Pair, api.JobAsk{Job: p.Job.ID, By: a.By, Reason: a.Reason}, dryRun)
	if err != nil {
		return err
	}
	sentence := fmt.Sprintf("%s %s %s by %s", p.Job.Kind, p.Job.ID, heard[word], asked.By)
	if asked.Change != changeStored {
		sentence = fmt.Sprintf("%s %s: that was said already", p.Job.Kind, p.Job.ID)
	}
	return c.toldJob(cmd, asked, sentence+"; tandem jobs watch "+p.Pair+" tells how it goes on")
}

// heard says what became of a job by a word.
var heard = map[string]string{
	pair.JobApprove: "approved", pair.JobPause: "paused", pair.JobResume: "resumed", pair.JobCancel: "cancelled",
}

// toldJob prints the answer about a job: as JSON, or as a sentence.
func (c *console) toldJob(cmd *cobra.Command, asked api.JobAsked, sentence string) error {
	if output(cmd) == "json" {
		return writeJSON(c.out, asked)
	}
	if asked.DryRun {
		sentence += " (dry run, nothing was changed)"
	}
	_, err := fmt.Fprintln(c.out, sentence)
	return err
}

// ended says what came of a job; err is what went wrong before.
func (c *console) ended(cmd *cobra.Command, p api.PairJob, err error) error {
	if err != nil {
		return err
	}
	j := p.Job
	sentence := fmt.Sprintf("%s of pair %s is %s after %v", j.Kind, p.Pair, j.State, elapsed(p))
	if j.Why != "" {
		sentence += ": " + j.Why
	}
	switch {
	case output(cmd) == "json" && j.State != pair.JobDone:
		return &exitError{code: exitFailed}
	case output(cmd) == "json":
		return nil
	case j.State != pair.JobDone:
		return &exitError{code: exitFailed, err: errors.New(sentence)}
	}
	_, err = fmt.Fprintln(c.out, sentence)
	return err
}
