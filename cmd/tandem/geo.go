package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"tandem/internal/geo"
	"tandem/internal/manifest"
)

func newGeo(c *console) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "geo",
		Short: "GEO: pairs and standalone units that answer DNS requests together",
		Long: `A topology file names the pairs and standalone units that answer DNS requests for
several sites together. Each of them must know the others, in three lists that
differ from member to member.`,
		Example: `  tandem geo plan -f global.yaml
  tandem geo apply -f global.yaml
  tandem geo status`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return badInput("expected plan, apply, status, verify or cancel; see %s --help", cmd.CommandPath())
		},
	}
	cmd.AddCommand(newGeoPlan(c), newGeoApply(c), newGeoStatus(c), newGeoVerify(c), newGeoCancel(c))
	return cmd
}

func newGeoPlan(c *console) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "plan -f FILE",
		Short: "Print what every member must hold, and the steps that lead there",
		Long: `Plan reads a topology file and prints, for each member, Remote GEO LoadMaster
Access, GEO LoadMaster Partners and the clusters, as they are written into the
fields of the appliance's pages, and then the steps in their order, with their
reasons. It asks no unit and changes nothing.

Pairs that the topology names are looked up in the files and directories that
--pair-file gives.

A pair's own entry in its access list is its first unit's address. With
--own active it is that of the unit that is active according to the file.`,
		Example: `  tandem geo plan -f global.yaml
  tandem geo plan -f global.yaml --pair-file edge-weu.yaml --pair-file pairs -o json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return c.geoPlan(cmd) },
	}
	cmd.Flags().StringP("file", "f", "", "topology file; - reads standard input")
	cmd.Flags().StringArray("pair-file", nil, "pair file, or directory of such files, repeatable")
	cmd.Flags().String("own", "first", "whose address a pair's own entry has: first or active")
	_ = cmd.MarkFlagFilename("file", "yaml", "yml", "json") // the flags were just added
	_ = cmd.MarkFlagFilename("pair-file", "yaml", "yml", "json")
	_ = cmd.RegisterFlagCompletionFunc("own", cobra.FixedCompletions([]string{"first", "active"}, cobra.ShellCompDirectiveNoFileComp))
	addOutput(cmd)
	return cmd
}

// geoPlanned is the JSON form of the command's answer.
type geoPlanned struct {
	geo.Wanted
	Steps []geo.Step `json:"steps"`
}

func (c *console) geoPlan(cmd *cobra.Command) error {
	own, err := ownEntry(cmd)
	if err != nil {
		return err
	}
	topology, err := c.topology(cmd)
	if err != nil {
		return err
	}
	wanted := geo.Compile(topology, own)
	steps := geo.Plan(wanted, geo.Seen{})
	if output(cmd) == "json" {
		return writeJSON(c.out, geoPlanned{wanted, steps})
	}
	return geo.Render(c.out, wanted, steps)
}

func ownEntry(cmd *cobra.Command) (geo.Own, error) {
	switch own, _ := cmd.Flags().GetString("own"); own { // added by newGeoPlan
	case "first":
		return geo.OwnFirst, nil
	case "active":
		return geo.OwnActive, nil
	default:
		return 0, badInput("--own %q: expected first or active", own)
	}
}

// topology reads the topology of the flag -f with the pairs that it names.
func (c *console) topology(cmd *cobra.Command) (geo.Topology, error) {
	file, _ := cmd.Flags().GetString("file") // added by newGeoPlan, like the next one
	given, _ := cmd.Flags().GetStringArray("pair-file")
	if file == "" {
		return geo.Topology{}, badInput("no topology file: give one with -f, for example -f global.yaml")
	}
	paths := []string{file}
	for _, path := range given {
		in, err := pairFiles(path)
		if err != nil {
			return geo.Topology{}, badInput("--pair-file: %w", err)
		}
		paths = append(paths, in...)
	}
	content, err := manifest.LoadAll(c.in, true, paths...)
	if err != nil {
		return geo.Topology{}, badInput("%w", err)
	}
	if n := len(content.Topologies); n != 1 {
		return geo.Topology{}, badInput("%s: expected one document of the kind GeoTopology in all files together, got %d", file, n)
	}
	return content.Topologies[0], nil
}

// pairFiles returns the pair files that a path means: a file itself, or those in
// a directory.
func pairFiles(path string) ([]string, error) {
	if info, err := os.Stat(path); err != nil || !info.IsDir() {
		return []string{path}, nil // what is wrong with it is told when it is read
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, err
	}
	var files []string
	for _, e := range entries {
		if !e.IsDir() && slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(e.Name())) {
			files = append(files, filepath.Join(path, e.Name()))
		}
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("%s: expected a directory with pair files (.yaml, .yml, .json)", path)
	}
	return files, nil
}
