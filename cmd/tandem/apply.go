package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"tandem/internal/api"
	"tandem/internal/manifest"
	"tandem/internal/pair"
)

func newApply(c *console) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "apply -f FILE",
		Short: "Define pairs by their files, and write what their load balancers need",
		Long: `Apply defines pairs: Tandem begins to watch them, or takes over what changed in
their files. Then it compares load balancers, security group and interfaces with
the file, as plan does, and shows what would be written. That is written only
when you say yes, or give the plan's hash with --plan: exactly that plan, and
nothing any more as soon as the world is not the one it was made on.

It is safe to stop and to repeat at any moment: what is begun goes on without this
command, and what is done already is not done again. Exit code 3 means that
something is left to write, and 2 that a file asks for what cannot be; without
--plan its pair is defined all the same.`,
		Example: `  tandem apply -f edge-weu.yaml --dry-run
  tandem apply -f edge-weu.yaml --server https://tandem-weu.azurewebsites.net
  tandem apply -f edge-weu.yaml --plan 3f9c1a2b4d5e6f70`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return c.apply(cmd) },
	}
	cmd.Flags().String("plan", "", "write exactly the plan with this hash, without asking")
	addFiles(cmd)
	addWait(cmd, 15*time.Minute)
	addWord(cmd)
	return cmd
}

// appliedForm is what came of applying one pair.
type appliedForm struct {
	api.Applied
	Planned *api.Planned `json:"planned,omitempty"`
	Written bool         `json:"written,omitempty"` // everything is as the file says
}

func (c *console) apply(cmd *cobra.Command) error {
	ds, err := c.definitions(cmd)
	if err != nil {
		return err
	}
	client, err := c.client(cmd)
	if err != nil {
		return err
	}
	if hash, _ := cmd.Flags().GetString("plan"); hash != "" && len(ds) > 1 { // added by newApply
		return badInput("--plan names the plan of one pair, and the files hold %d", len(ds))
	}
	done, left := make([]appliedForm, 0, len(ds)), exitDone
	for _, d := range ds {
		one, err := c.applyOne(cmd, client, d)
		if err != nil {
			return fmt.Errorf("apply pair %s: %w", d.Name, err)
		}
		switch {
		case one.Planned == nil || one.Written:
		case len(one.Planned.Refusals) > 0:
			left = exitBadInput
		case left == exitDone:
			left = exitFound
		}
		done = append(done, one)
	}
	if output(cmd) == "json" {
		if err := writeJSON(c.out, map[string]any{"pairs": done}); err != nil {
			return err
		}
	}
	if left != exitDone {
		return &exitError{code: left}
	}
	return nil
}

// applyOne defines a pair and has written what a person agreed to. A plan that was
// given must be the one that the world asks for, or nothing is changed at all.
func (c *console) applyOne(cmd *cobra.Command, client *api.Client, d pair.Definition) (out appliedForm, err error) {
	file, err := manifest.Format(d)
	if err != nil {
		return out, err
	}
	dryRun, _ := cmd.Flags().GetBool("dry-run") // added by addWord, and the next by newApply
	hash, _ := cmd.Flags().GetString("plan")
	planned, err := client.PlanFile(cmd.Context(), file)
	switch {
	case err == nil:
		out.Planned = &planned
	case !unplannable(err) || hash != "":
		return out, err
	}
	if hash != "" && len(planned.Refusals) > 0 {
		if output(cmd) == "text" {
			err = c.showPlan(planned)
		}
		return out, err
	}
	if hash != "" && planned.Plan.Hash != hash {
		return out, fmt.Errorf("the plan is %s by now, not %s, and nothing was changed: look at it with tandem plan -f: %w",
			orNone(planned.Plan.Hash), hash, pair.ErrConflict)
	}
	if out.Applied, err = client.Apply(cmd.Context(), d.Name, file, dryRun); err != nil {
		return out, err
	}
	text := output(cmd) == "text"
	if text {
		fmt.Fprintf(c.out, "pair %s %s%s\n", out.Name, out.Change, map[bool]string{true: " (dry run, nothing was changed)"}[dryRun])
	}
	if out.Planned == nil {
		return out, nil
	}
	if len(planned.Refusals) == 0 && planned.Plan.Empty() {
		out.Written = true
		return out, nil
	}
	if text && hash == "" {
		fmt.Fprintln(c.out)
		if err := c.showPlan(planned); err != nil {
			return out, err
		}
	}
	if dryRun || len(planned.Refusals) > 0 {
		return out, nil
	}
	if hash == "" && !(text && c.confirmed("Write this?")) {
		if text {
			fmt.Fprintf(c.out, "\nnothing of this is written yet; to write exactly this: tandem apply -f … --plan %s\n", planned.Plan.Hash)
		}
		return out, nil
	}
	out.Written, err = c.carryOut(cmd, client, d.Name, planned.Plan.Hash)
	return out, err
}

func orNone(hash string) string {
	if hash == "" {
		return "empty"
	}
	return hash
}

// carryOut wishes for a plan and follows it until everything is written.
func (c *console) carryOut(cmd *cobra.Command, client *api.Client, name, hash string) (bool, error) {
	asked, err := c.say(cmd, api.Apply, name, func(a *api.Ask) { a.Plan = hash })
	if err != nil {
		return false, err
	}
	noWait, _ := cmd.Flags().GetBool("no-wait") // added by addWait
	if noWait {
		if output(cmd) == "text" {
			fmt.Fprintf(c.out, "plan %s of pair %s is being written, as %s asked; tandem status %s tells how far it is\n", hash, name, asked.By, name)
		}
		return false, nil
	}
	steps := progress{c: c, client: client, pair: name, quiet: output(cmd) != "text"}
	why := ""
	err = c.wait(cmd, func(ctx context.Context) (bool, string, error) {
		st, err := client.Pair(ctx, name)
		if passing(err) {
			return false, err.Error(), nil
		}
		if err != nil {
			return false, "", err
		}
		open := steps.saw(ctx, st)
		switch {
		case st.Wish != nil:
			return false, fmt.Sprintf("waits for a look at the pair, which is %s (stance %s)", st.Situation, st.Stance), nil
		case open != "":
			return false, open, nil
		case st.Drift != nil && st.Drift.LastErr != "":
			why = st.Drift.LastErr
			return true, "", nil
		case st.Drift != nil && st.Drift.Refusal != "":
			why = st.Drift.Refusal
			return true, "", nil
		case st.Drift != nil && st.Drift.Hash != hash:
			why = "the world is not what the plan was made on; look at it again with tandem plan " + name
			return true, "", nil
		case st.Drift != nil:
			return false, "compares everything once more", nil
		default:
			return true, "", nil
		}
	})
	if err != nil {
		return false, err
	}
	if why != "" {
		return false, fmt.Errorf("not everything was written: %s: %w", why, pair.ErrConflict)
	}
	if output(cmd) == "text" {
		fmt.Fprintf(c.out, "pair %s is as its file says\n", name)
	}
	return true, nil
}

// progress tells what is being written and what came of it, each once.
type progress struct {
	c      *console
	client *api.Client
	pair   string
	quiet  bool
	open   []begun
	ended  []begun // and not told yet
}

// begun is one resource that is being written.
type begun struct {
	intent, what string
	since        time.Time
}

// saw looks at a status and returns what is under way, empty for nothing.
func (p *progress) saw(ctx context.Context, st api.Status) (doing string) {
	var open []begun
	for _, i := range st.Open {
		if i.Kind != pair.IntentRepair {
			continue
		}
		b := begun{i.ID, i.Resource.Title(), time.Now()}
		if n := slices.IndexFunc(p.open, b.same); n >= 0 {
			b.since = p.open[n].since
		}
		open = append(open, b)
		doing = cmp.Or(doing, "writes "+b.what+trouble(i))
	}
	for _, b := range p.open {
		if !slices.ContainsFunc(open, b.same) {
			p.ended = append(p.ended, b)
		}
	}
	p.open = open
	p.tell(ctx)
	return doing
}

func (b begun) same(o begun) bool { return b.intent == o.intent }

// tell says what came of the writes that ended, as the journal has it: not every
// one that is open no more was made. What the journal does not have yet, or what
// cannot be asked, is told after the next look.
func (p *progress) tell(ctx context.Context) {
	if p.quiet || len(p.ended) == 0 {
		return
	}
	journal, err := p.client.Journal(ctx, p.pair, 100, "")
	if err != nil {
		return
	}
	for _, e := range slices.Backward(journal.Entries) { // the newest is the first
		var i pair.Intent
		if e.Kind != pair.EntryClosed || json.Unmarshal(e.Body, &i) != nil {
			continue
		}
		n := slices.IndexFunc(p.ended, begun{intent: i.ID}.same)
		if n < 0 {
			continue
		}
		if what := p.ended[n].what; i.State == pair.IntentDone {
			fmt.Fprintf(p.c.out, "written: %s (%v)\n", what, time.Since(p.ended[n].since).Round(time.Second))
		} else {
			fmt.Fprintf(p.c.out, "not written: %s%s\n", what, trouble(i))
		}
		p.ended = slices.Delete(p.ended, n, n+1)
	}
}
