package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"tandem/internal/api"
	"tandem/internal/manifest"
)

func newApply(c *console) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "apply -f FILE",
		Short: "Define pairs by their files",
		Long: `Apply defines pairs: Tandem begins to watch them, or takes over what changed in
their files. It does not touch the load balancer.`,
		Example: `  tandem apply -f edge-weu.yaml --dry-run
  tandem apply -f edge-weu.yaml --server https://tandem-weu.azurewebsites.net`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return c.apply(cmd) },
	}
	cmd.Flags().Bool("dry-run", false, "say what would change, change nothing")
	addFiles(cmd)
	addServer(cmd)
	addOutput(cmd)
	return cmd
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
	dryRun, _ := cmd.Flags().GetBool("dry-run") // added above
	done := make([]api.Applied, 0, len(ds))
	for _, d := range ds {
		file, err := manifest.Format(d)
		if err != nil {
			return err
		}
		applied, err := client.Apply(cmd.Context(), d.Name, file, dryRun)
		if err != nil {
			return fmt.Errorf("apply pair %s: %w", d.Name, err)
		}
		done = append(done, applied)
		if output(cmd) == "text" {
			fmt.Fprintf(c.out, "pair %s %s%s\n", applied.Name, applied.Change, map[bool]string{true: " (dry run, nothing was changed)"}[dryRun])
		}
	}
	if output(cmd) == "json" {
		return writeJSON(c.out, map[string]any{"pairs": done})
	}
	return nil
}
