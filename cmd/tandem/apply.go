package main

import (
	"context"
	"fmt"
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
something is left to write.`,
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
		if one.Planned != nil && !one.Written {
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
	steps := progress{c: c, quiet: output(cmd) != "text"}
	why := ""
	err = c.wait(cmd, func(ctx context.Context) (bool, string, error) {
		st, err := client.Pair(ctx, name)
		if passing(err) {
			return false, err.Error(), nil
		}
		if err != nil {
			return false, "", err
		}
		open := steps.saw(st)
		switch {
		case st.Wish != nil:
			return false, fmt.Sprintf("waits for a look at the pair, which is %s (stance %s)", st.Situation, st.Stance), nil
		case open != "":
			return false, open, nil
		case st.Drift != nil && st.Drift.LastErr != "":
			why = st.Drift.LastErr
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

// progress tells what is being written and what is done, each once.
type progress struct {
	c     *console
	quiet bool
	open  map[string]time.Time // by what is written, since when
}

// saw looks at a status and returns what is under way, empty for nothing.
func (p *progress) saw(st api.Status) string {
	now, waits := map[string]time.Time{}, ""
	for _, i := range st.Open {
		if i.Kind != pair.IntentRepair {
			continue
		}
		what := i.Resource.Kind() + " " + i.Resource.Name()
		now[what] = time.Now()
		if began, known := p.open[what]; known {
			now[what] = began
		}
		if waits == "" {
			waits = "writes " + what + trouble(i)
		}
	}
	for what, began := range p.open {
		if _, still := now[what]; !still && !p.quiet {
			fmt.Fprintf(p.c.out, "written: %s (%v)\n", what, time.Since(began).Round(time.Second))
		}
	}
	p.open = now
	return waits
}
