package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"tandem/internal/api"
	"tandem/internal/pair"
)

func newStatus(c *console) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "status [PAIR]",
		Short: "Show what is believed of one pair or of all",
		Long: `Status shows what Tandem believes of its pairs. Exit code 3 means that at least
one of them is not healthy.`,
		Example: `  tandem status
  tandem status edge-weu -o json`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: c.completePairs,
		RunE:              func(cmd *cobra.Command, args []string) error { return c.status(cmd, args) },
	}
	addServer(cmd)
	addOutput(cmd)
	return cmd
}

func (c *console) status(cmd *cobra.Command, args []string) error {
	client, err := c.client(cmd)
	if err != nil {
		return err
	}
	var pairs []api.Status
	if len(args) == 1 {
		one, err := client.Pair(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		pairs = []api.Status{one}
	} else if pairs, err = client.Pairs(cmd.Context()); err != nil {
		return err
	}
	if output(cmd) == "json" {
		err = writeJSON(c.out, map[string]any{"pairs": append([]api.Status{}, pairs...)})
	} else {
		err = c.printStatus(pairs)
	}
	if err == nil && unwell(pairs) {
		return &exitError{code: exitFound}
	}
	return err
}

func unwell(pairs []api.Status) bool {
	for _, p := range pairs {
		if p.Situation != pair.Healthy || len(p.Holds) > 0 || p.Plan != nil || p.Warning != "" {
			return true
		}
	}
	return false
}

func (c *console) printStatus(pairs []api.Status) error {
	rows := [][]string{{"PAIR", "MODE", "SITUATION", "SINCE", "ACTIVE", "NOTE"}}
	for _, p := range pairs {
		rows = append(rows, []string{
			p.Name, p.Mode.String(), c.paint(situationColor(p.Situation), p.Situation.String()), since(p.Since), p.Active.String(), note(p),
		})
	}
	return table(c.out, rows)
}

func situationColor(s pair.Situation) string {
	switch s {
	case pair.Healthy:
		return green
	case pair.BothActive, pair.NoneActive:
		return red
	default:
		return yellow
	}
}

func since(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format("2006-01-02 15:04:05Z")
}

// note is the most important thing beside the situation.
func note(p api.Status) string {
	switch {
	case p.Warning != "":
		return p.Warning
	case p.Pause != nil:
		return fmt.Sprintf("paused by %s: %s", p.Pause.Owner, p.Pause.Reason)
	case len(p.Holds) > 0:
		h := p.Holds[0]
		return fmt.Sprintf("%s held %s in %s until %s", h.Unit, h.State, h.LoadBalancer, since(h.Deadline))
	case p.Plan != nil:
		return fmt.Sprintf("plan %s: %s", p.Plan.Hash, p.Plan.Row)
	case p.Suspicion != nil:
		return fmt.Sprintf("%s seen %d times", p.Suspicion.Situation, p.Suspicion.Count)
	default:
		return ""
	}
}
