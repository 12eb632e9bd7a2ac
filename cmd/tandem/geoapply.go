package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tandem/internal/api"
	"tandem/internal/geo"
	"tandem/internal/manifest"
)

func newGeoApply(c *console) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "apply -f FILE | NAME",
		Short: "Bring a topology about on all of its members",
		Long: `Apply takes a topology file and brings it about: access and partners on the unit of
each member that serves, a restart of the first unit of each pair whose partners
are new, one pair at a time, the partners once more where they are forgotten, and
then the clusters. With a name it does so once more for the topology that was
applied last under that name.

Pairs must be defined on the server, and are named by { pair: NAME }. On each of
them it is a job of the kind geo, which asks before connections are lost: tandem
jobs approve PAIR. Members that cannot be reached hold nobody up, and are caught
up when they are back. The same file may be applied as often as you like.

Only what an earlier topology of ours brought is removed: members that are not in
the file any more leave the others' lists, and clusters are deleted that we made.

It goes on without this command: Ctrl-C ends the watching only. Exit code 3 means
that all that can be done is done, and something waits or is wrong.`,
		Example: `  tandem geo apply -f global.yaml --dry-run
  tandem geo apply -f global.yaml --reason "a new site" --server https://tandem-weu.azurewebsites.net
  tandem geo apply global`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return c.geoApply(cmd, args) },
	}
	addTopologyFile(cmd)
	addWait(cmd, 4*time.Hour)
	addWord(cmd)
	return cmd
}

func addTopologyFile(cmd *cobra.Command) {
	cmd.Flags().StringP("file", "f", "", "topology file; - reads standard input")
	_ = cmd.MarkFlagFilename("file", "yaml", "yml", "json") // the flag was just added
}

// topologyAsked is the topology that a command is about: its name, and its file where
// one was given.
func (c *console) topologyAsked(cmd *cobra.Command, args []string) (name, file string, err error) {
	path, _ := cmd.Flags().GetString("file") // added by addTopologyFile
	switch {
	case path == "" && len(args) == 1:
		return args[0], "", nil
	case path == "" || len(args) > 0:
		return "", "", badInput("expected a topology file (-f global.yaml), or the name of a topology that was applied before")
	}
	var b []byte
	if path == "-" {
		b, err = io.ReadAll(io.LimitReader(c.in, manifest.MaxSize+1))
	} else {
		b, err = os.ReadFile(path)
	}
	if err != nil {
		return "", "", badInput("read topology file: %w", err)
	}
	t, err := manifest.ReadTopology(path, strings.NewReader(string(b)), nil, false)
	if err != nil {
		return "", "", badInput("%w", err)
	}
	return t.Name, string(b), nil
}

func (c *console) geoApply(cmd *cobra.Command, args []string) error {
	name, file, err := c.topologyAsked(cmd, args)
	if err != nil {
		return err
	}
	client, err := c.client(cmd)
	if err != nil {
		return err
	}
	a, dryRun, err := c.ask(cmd)
	if err != nil {
		return err
	}
	t, err := client.ApplyGeo(cmd.Context(), name, api.GeoAsk{By: a.By, Reason: a.Reason, File: file}, dryRun)
	if err != nil {
		return err
	}
	noWait, _ := cmd.Flags().GetBool("no-wait") // added by addWait
	switch {
	case dryRun:
		return c.geoWouldDo(cmd, t)
	case noWait:
		return c.toldGeo(cmd, t, fmt.Sprintf("topology %s is being brought about, as %s asked; tandem geo status %s tells how it goes on", name, t.Run.By, name))
	}
	return c.followGeo(cmd, client, t)
}

// geoWouldDo prints what a dry run found to be left to do.
func (c *console) geoWouldDo(cmd *cobra.Command, t api.GeoTopology) error {
	if output(cmd) == "json" {
		return writeJSON(c.out, t)
	}
	if len(t.Steps) == 0 {
		fmt.Fprintf(c.out, "topology %s: nothing is left to do\n", t.Name)
	} else {
		fmt.Fprintf(c.out, "topology %s would be brought about (dry run, nothing was changed)\n", t.Name)
	}
	return c.printGeoSteps(t.Steps, t.Alarms)
}

func (c *console) printGeoSteps(steps []geo.Step, alarms []geo.Alarm) error {
	for _, s := range steps {
		values := ""
		for _, a := range s.Values {
			values += " " + a.String()
		}
		fmt.Fprintf(c.out, "  %s on %s of %s%s\n", s.Action, s.Unit, s.Member, strings.Replace(values, " ", ": ", 1))
	}
	return c.printGeoAlarms(alarms)
}

func (c *console) printGeoAlarms(alarms []geo.Alarm) error {
	for _, a := range alarms {
		if _, err := fmt.Fprintf(c.out, "%s %s: %s\n", c.paint(red, a.Kind), a.Member, a.Text); err != nil {
			return err
		}
	}
	return nil
}

// followGeo tells how a run goes on, until it is over or only waits.
func (c *console) followGeo(cmd *cobra.Command, client *api.Client, t api.GeoTopology) error {
	patience, _ := cmd.Flags().GetDuration("timeout") // added by addWait
	id, told, why := t.Run.ID, 0, ""
	text := output(cmd) == "text"
	err := c.repeat(cmd.Context(), patience, func(ctx context.Context) (bool, string, error) {
		now, err := client.Geo(ctx, t.Name)
		switch {
		case passing(err):
			return false, err.Error(), nil
		case err != nil:
			return false, "", err
		case now.Run.ID != id:
			return false, "", &exitError{code: exitFailed, err: fmt.Errorf("topology %s was applied again, by %s; tandem geo status %s", t.Name, now.Run.By, t.Name)}
		}
		t = now
		for told < len(now.Run.Steps) {
			if s := now.Run.Steps[told]; text {
				fmt.Fprintf(c.out, "%-7v %s: %s\n", lasted(now.Run.At, s.At, now.At), s.Member, s.What)
			}
			told++
		}
		if text && now.Run.Why != why && now.Run.Why != "" {
			fmt.Fprintf(c.out, "%-7v %s\n", lasted(now.Run.At, time.Time{}, now.At), now.Run.Why)
		}
		why = now.Run.Why
		return now.Run.State != geo.Runs, now.Run.State.String() + " " + now.Run.Why, nil
	})
	if err != nil {
		return err
	}
	return c.toldGeo(cmd, t, fmt.Sprintf("topology %s: the run of %s is %s after %v", t.Name, t.Run.By, t.Run.State, lasted(t.Run.At, t.Run.EndedAt, t.At)))
}

// toldGeo prints a topology: as JSON, or as a sentence with its alarms.
func (c *console) toldGeo(cmd *cobra.Command, t api.GeoTopology, sentence string) error {
	if output(cmd) == "json" {
		if err := writeJSON(c.out, t); err != nil {
			return err
		}
	} else {
		fmt.Fprintln(c.out, sentence)
		if err := c.printGeoAlarms(t.Alarms); err != nil {
			return err
		}
	}
	if geoFound(t) {
		return &exitError{code: exitFound}
	}
	return nil
}

// geoFound reports whether somebody should look at a topology.
func geoFound(t api.GeoTopology) bool {
	return len(t.Alarms) > 0 || t.Run.State == geo.Waits || t.Run.State == geo.Runs && t.Run.Asks
}

func newGeoStatus(c *console) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "status [NAME]",
		Short: "Show topologies, how far their runs are, and what somebody should know",
		Long: `Status shows what is remembered of all topologies, or of one with its members. It asks
no unit; tandem geo verify does.

Exit code 3 means that a run waits for somebody, or that an alarm stands.`,
		Example: `  tandem geo status
  tandem geo status global -o json`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return c.geoStatus(cmd, args) },
	}
	addServer(cmd)
	addOutput(cmd)
	return cmd
}

func (c *console) geoStatus(cmd *cobra.Command, args []string) error {
	client, err := c.client(cmd)
	if err != nil {
		return err
	}
	all := make([]api.GeoTopology, 1)
	if len(args) == 1 {
		all[0], err = client.Geo(cmd.Context(), args[0])
	} else {
		all, err = client.Geos(cmd.Context())
	}
	if err != nil {
		return err
	}
	found := false
	rows := [][]string{{"TOPOLOGY", "MEMBERS", "RUN", "BY", "ELAPSED", "NOTE"}}
	for _, t := range all {
		found = found || geoFound(t)
		rows = append(rows, []string{
			t.Name, fmt.Sprint(len(t.Members)), t.Run.State.String(), t.Run.By, lasted(t.Run.At, t.Run.EndedAt, t.At).String(), t.Run.Why,
		})
	}
	switch {
	case output(cmd) == "json":
		err = writeJSON(c.out, map[string]any{"topologies": append([]api.GeoTopology{}, all...)})
	case len(args) == 1:
		err = c.printGeoTopology(rows, all[0])
	default:
		err = table(c.out, rows)
		for _, t := range all {
			if err == nil {
				err = c.printGeoAlarms(t.Alarms)
			}
		}
	}
	if err == nil && found {
		return &exitError{code: exitFound}
	}
	return err
}

// printGeoTopology prints one topology with its members.
func (c *console) printGeoTopology(rows [][]string, t api.GeoTopology) error {
	if err := table(c.out, rows); err != nil {
		return err
	}
	members := [][]string{{"MEMBER", "KIND", "UNITS", "OWES", "JOB", "NOTE"}}
	for _, m := range t.Members {
		units := make([]string, len(m.Units))
		for i, a := range m.Units {
			units[i] = a.String()
		}
		note := m.Note
		if m.Failed != "" {
			note = m.Failed
		}
		members = append(members, []string{m.Name, m.Kind, strings.Join(units, " "), m.Owes, m.Job, note})
	}
	fmt.Fprintln(c.out)
	if err := table(c.out, members); err != nil {
		return err
	}
	return c.printGeoAlarms(t.Alarms)
}

func newGeoVerify(c *console) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "verify NAME | -f FILE",
		Short: "Compare a topology with what its units hold now",
		Long: `Verify asks the unit of each member that serves for its lists, its clusters and what it
says of its partners, and prints what is left to do. It changes nothing.

Exit code 3 means that something differs, or that a member cannot be asked.`,
		Example: `  tandem geo verify global
  tandem geo verify -f global.yaml -o json`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return c.geoVerify(cmd, args) },
	}
	addTopologyFile(cmd)
	addServer(cmd)
	addOutput(cmd)
	return cmd
}

func (c *console) geoVerify(cmd *cobra.Command, args []string) error {
	name, file, err := c.topologyAsked(cmd, args)
	if err != nil {
		return err
	}
	client, err := c.client(cmd)
	if err != nil {
		return err
	}
	v, err := client.VerifyGeo(cmd.Context(), name, api.GeoAsk{File: file})
	if err != nil {
		return err
	}
	if output(cmd) == "json" {
		err = writeJSON(c.out, v)
	} else {
		if len(v.Steps) == 0 {
			fmt.Fprintf(c.out, "topology %s: every member that was asked holds what it must\n", v.Name)
		} else {
			fmt.Fprintf(c.out, "topology %s: left to do\n", v.Name)
		}
		err = c.printGeoSteps(v.Steps, v.Alarms)
	}
	if err == nil && len(v.Steps)+len(v.Alarms) > 0 {
		return &exitError{code: exitFound}
	}
	return err
}

func newGeoCancel(c *console) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "cancel NAME",
		Short: "End the run of a topology",
		Long: `Cancel ends the bringing about of a topology. What was written stays, and the jobs of
its pairs are cancelled where the active state has not begun to move.`,
		Example: `  tandem geo cancel global --reason "not tonight"`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := c.client(cmd)
			if err != nil {
				return err
			}
			a, _, err := c.ask(cmd)
			if err != nil {
				return err
			}
			t, err := client.CancelGeo(cmd.Context(), args[0], api.GeoAsk{By: a.By, Reason: a.Reason})
			if err != nil {
				return err
			}
			if output(cmd) == "json" {
				return writeJSON(c.out, t)
			}
			_, err = fmt.Fprintf(c.out, "topology %s: its run is %s\n", t.Name, t.Run.State)
			return err
		},
	}
	cmd.Flags().String("by", "", "who asks; the user of this terminal where neither this nor a token says it")
	cmd.Flags().String("reason", "", "why, for whoever finds it so at night")
	addServer(cmd)
	addOutput(cmd)
	return cmd
}
