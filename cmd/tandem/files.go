package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"tandem/internal/geo"
	"tandem/internal/manifest"
	"tandem/internal/pair"
)

// addFiles gives a command the flag -f.
func addFiles(cmd *cobra.Command) {
	cmd.Flags().StringArrayP("file", "f", nil, "pair file, repeatable; - reads standard input")
	_ = cmd.MarkFlagFilename("file", "yaml", "yml", "json") // the flag was just added
}

// definitions reads the pair files of the flag -f.
func (c *console) definitions(cmd *cobra.Command) ([]pair.Definition, error) {
	files, err := givenFiles(cmd)
	if err != nil {
		return nil, err
	}
	all, err := manifest.Load(c.in, files...)
	if err != nil {
		return all, badInput("%w", err)
	}
	return all, nil
}

func givenFiles(cmd *cobra.Command) ([]string, error) {
	files, _ := cmd.Flags().GetStringArray("file") // added by addFiles
	if len(files) == 0 {
		return nil, badInput("no pair file: give one with -f, for example -f edge-weu.yaml")
	}
	return files, nil
}

func newValidate(c *console) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "validate -f FILE",
		Short: "Check pair files and GEO topologies, all mistakes together",
		Example: `  tandem validate -f edge-weu.yaml
  tandem validate -f global.yaml -f edge-weu.yaml
  cat edge-weu.yaml | tandem validate -f -`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return c.validate(cmd) },
	}
	addFiles(cmd)
	addOutput(cmd)
	return cmd
}

// validated is the JSON form of the command's answer.
type validated struct {
	Valid      bool               `json:"valid"`
	Pairs      []string           `json:"pairs,omitempty"`
	Topologies []string           `json:"topologies,omitempty"`
	Mistakes   []manifest.Problem `json:"mistakes,omitempty"`
}

func (c *console) validate(cmd *cobra.Command) error {
	files, err := givenFiles(cmd)
	if err != nil {
		return err
	}
	content, err := manifest.LoadAll(c.in, false, files...)
	out := validated{Valid: err == nil}
	for _, d := range content.Pairs {
		out.Pairs = append(out.Pairs, d.Name)
	}
	for _, t := range content.Topologies {
		out.Topologies = append(out.Topologies, t.Name)
	}
	if err != nil {
		err = badInput("%w", err)
	}
	if output(cmd) == "json" {
		if err != nil {
			var rest error
			out.Mistakes, rest = mistakes(err)
			err = &exitError{code: exitBadInput, err: rest} // the mistakes are told in the answer
		}
		if failed := writeJSON(c.out, out); failed != nil {
			return failed
		}
		return err
	}
	for _, name := range out.Pairs {
		fmt.Fprintf(c.out, "pair %s is valid\n", name)
	}
	for _, t := range content.Topologies {
		fmt.Fprintf(c.out, "topology %s is valid%s\n", t.Name, unlooked(t))
	}
	return err
}

// unlooked says which pairs of a topology are in none of the files, so that
// their addresses were not compared with the others'.
func unlooked(t geo.Topology) string {
	var names []string
	for _, m := range t.Members {
		if m.Pair != "" && !m.First.IsValid() {
			names = append(names, m.Pair)
		}
	}
	if len(names) == 0 {
		return ""
	}
	return ", as far as can be told without the files of " + strings.Join(names, ", ")
}

// mistakes takes the mistakes in pair files out of an error, in which they come
// last, and returns the rest of it, if any.
func mistakes(err error) (manifest.Problems, error) {
	problems, _ := errors.AsType[manifest.Problems](err)
	if rest := strings.TrimSpace(strings.TrimSuffix(err.Error(), problems.Error())); rest != "" {
		return problems, errors.New(rest)
	}
	return problems, nil
}

func newSchema(c *console) *cobra.Command {
	kinds := map[string]func() ([]byte, error){"Pair": manifest.Schema, "GeoTopology": manifest.TopologySchema}
	return &cobra.Command{
		Use:   "schema [Pair | GeoTopology]",
		Short: "Print the JSON Schema of pair files, or of GEO topologies",
		Example: `  tandem schema > pair.schema.json
  tandem schema GeoTopology > topology.schema.json`,
		ValidArgs: []string{"Pair", "GeoTopology"},
		Args:      cobra.MatchAll(cobra.MaximumNArgs(1), cobra.OnlyValidArgs),
		RunE: func(_ *cobra.Command, args []string) error {
			schema := kinds[append(args, "Pair")[0]]
			b, err := schema()
			if err == nil {
				_, err = c.out.Write(b)
			}
			return err
		},
	}
}
