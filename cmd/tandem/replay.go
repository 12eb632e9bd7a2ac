package main

import (
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"tandem/internal/pair"
	"tandem/internal/replay"
)

func newReplay(c *console) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "replay FILE | PAIR",
		Short: "Compute stored decisions again, as they were or with other settings",
		Long: `Replay computes every stored decision from its stored evidence and compares it with
the stored one, byte for byte. Exit code 3 means that one differs, and names the
first field that does; another release of Tandem may decide differently.

With --set it tells what would have happened with another value in the pair file.
FILE is what tandem history --all -o json printed, or a JSON array of journal
entries; - reads standard input. A PAIR is asked of the server.`,
		Example: `  tandem replay edge-weu
  tandem history edge-weu --all -o json > edge-weu.json
  tandem replay edge-weu.json
  tandem replay edge-weu.json --set failover.confirmAfter=5 --set mode=auto`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: c.completePairs,
		RunE:              func(cmd *cobra.Command, args []string) error { return c.replay(cmd, args[0]) },
	}
	cmd.Flags().StringArray("set", nil, "another value in the pair file, key=value, repeatable")
	addServer(cmd)
	addOutput(cmd)
	return cmd
}

func (c *console) replay(cmd *cobra.Command, from string) error {
	texts, _ := cmd.Flags().GetStringArray("set") // added above
	var edits []replay.Edit
	for _, text := range texts {
		e, err := replay.ParseEdit(text)
		if err != nil {
			return badInput("--set: %w", err)
		}
		edits = append(edits, e)
	}
	history, err := c.recorded(cmd, from)
	if err != nil {
		return err
	}
	verdict, err := history.Check()
	if err != nil {
		return err
	}
	if len(edits) == 0 {
		return c.verdict(cmd, verdict)
	}
	course, err := history.WhatIf(edits)
	if err != nil {
		return badInput("--set: %w", err)
	}
	return c.course(cmd, verdict, course)
}

var pairName = regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9]+)*$`)

// recorded reads the decisions: from the file, if there is one of the name, or
// else of the pair from the server.
func (c *console) recorded(cmd *cobra.Command, from string) (replay.History, error) {
	if from == "-" {
		return fileOf(c.in)
	}
	f, err := os.Open(from)
	if err == nil {
		defer func() { _ = f.Close() }() // it was only read
		return fileOf(f)
	}
	if !os.IsNotExist(err) || !pairName.MatchString(from) {
		return replay.History{}, badInput("read the decisions: %w", err)
	}
	client, err := c.client(cmd)
	if err != nil {
		return replay.History{}, badInput("there is no file %s, and no pair of that name can be asked for: %w", from, err)
	}
	var entries []pair.Entry
	for e, err := range client.History(cmd.Context(), from) {
		if err != nil {
			return replay.History{}, fmt.Errorf("there is no file %s, and of the pair: %w", from, err)
		}
		entries = append(entries, e)
	}
	return replay.Of(entries)
}

// fileOf reads a file, in which any mistake is bad input.
func fileOf(r io.Reader) (replay.History, error) {
	h, err := replay.Read(r)
	if err != nil {
		return h, badInput("%w", err)
	}
	return h, nil
}

// verdict tells what came of computing all again.
func (c *console) verdict(cmd *cobra.Command, v replay.Verdict) error {
	err := c.printVerdict(cmd, v)
	if err == nil && v.First != nil {
		return &exitError{code: exitFound}
	}
	return err
}

func (c *console) printVerdict(cmd *cobra.Command, v replay.Verdict) error {
	if output(cmd) == "json" {
		return writeJSON(c.out, v)
	}
	fmt.Fprintf(c.out, "pair %s: %d decisions computed again, %d as stored\n", v.Pair, v.Decisions, v.Same)
	if v.Newer > 0 {
		fmt.Fprintf(c.out, "%d decisions of a newer release were left out\n", v.Newer)
	}
	if d := v.First; d != nil {
		fmt.Fprintf(c.out, "the first that differs is %s, in the field %s\n", d.Decision, d.Field)
		return table(c.out, [][]string{{"stored", orNothing(d.Stored)}, {"now", orNothing(d.Recomputed)}})
	}
	return nil
}

func orNothing(s string) string {
	if s == "" {
		return "nothing"
	}
	return s
}

// caveats say what a course that did not happen rests on.
const caveats = `From there on:
- What was seen is what was seen in the real course, except for our own admin
  states, which are put as they would have stood. What the units and Azure would
  have done is not known.
- Looks that changed nothing are not stored. They are taken to be like the one
  before; lines without an id are such looks.
- What would have been begun is taken to be done at once.`

// course tells what happened and what would have happened.
func (c *console) course(cmd *cobra.Command, v replay.Verdict, course replay.Course) error {
	var err error
	if output(cmd) == "json" {
		err = writeJSON(c.out, map[string]any{"replay": v, "whatIf": course, "caveats": caveats})
	} else {
		err = c.printCourse(v, course)
	}
	if err == nil && v.First != nil {
		return &exitError{code: exitFound}
	}
	return err
}

func (c *console) printCourse(v replay.Verdict, course replay.Course) error {
	rows := [][]string{{"TIME", "ID", "HAPPENED", "WOULD HAVE HAPPENED"}}
	row := ""
	for _, s := range course.Steps {
		repeats := s.Happened == nil && s.Instead.Row == row && len(s.Instead.Intents) == 0
		if row = s.Instead.Row; repeats {
			continue
		}
		happened, instead := "", "the same"
		if s.Happened != nil {
			happened = toldWords(*s.Happened)
		}
		if !s.Same {
			instead = c.paint(yellow, toldWords(s.Instead))
		}
		rows = append(rows, []string{since(s.At), s.ID, happened, instead})
	}
	if err := table(c.out, rows); err != nil {
		return err
	}
	if d := v.First; d != nil {
		fmt.Fprintf(c.out, "\nThis release does not decide as was decided: decision %s differs in %s. So some of\nthe differences above may not be due to --set.\n", d.Decision, d.Field)
	}
	if course.First.IsZero() {
		_, err := fmt.Fprintf(c.out, "\nWith %s nothing would have been decided otherwise.\n", editWords(course.Edits))
		return err
	}
	_, err := fmt.Fprintf(c.out, "\nWith %s the courses part at %s.\n%s\n", editWords(course.Edits), since(course.First), caveats)
	return err
}

func toldWords(t replay.Told) string {
	words := t.Row
	if t.Quiet {
		words += " (nothing new)"
	}
	if len(t.Intents) > 0 {
		words += " (" + strings.Join(t.Intents, "; ") + ")"
	}
	return words
}

func editWords(edits []replay.Edit) string {
	var all []string
	for _, e := range edits {
		all = append(all, e.String())
	}
	return strings.Join(slices.Compact(all), ", ")
}
