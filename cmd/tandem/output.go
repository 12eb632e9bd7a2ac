package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"text/tabwriter"

	"github.com/spf13/cobra"
)

// addOutput gives a command the flag -o.
func addOutput(cmd *cobra.Command) {
	cmd.Flags().StringP("output", "o", "text", "text or json")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"text", "json"}, cobra.ShellCompDirectiveNoFileComp)) // the flag was just added
	check := cmd.PreRunE
	cmd.PreRunE = func(cmd *cobra.Command, args []string) error {
		if o := output(cmd); o != "text" && o != "json" {
			return badInput("--output %q: expected text or json", o)
		}
		if check != nil {
			return check(cmd, args)
		}
		return nil
	}
}

func output(cmd *cobra.Command) string {
	o, _ := cmd.Flags().GetString("output") // added by addOutput
	return o
}

func writeJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// table writes aligned columns.
func table(w io.Writer, rows [][]string) error {
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	for _, row := range rows {
		for i, cell := range row {
			if i > 0 {
				fmt.Fprint(t, "\t")
			}
			fmt.Fprint(t, cell)
		}
		fmt.Fprintln(t)
	}
	return t.Flush()
}

// isTerminal reports whether there is a person at the other end. The null device
// is a character device too, but nobody reads there.
func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return false
	}
	null, err := os.Stat(os.DevNull)
	return err != nil || !os.SameFile(info, null)
}

// paint colours a text on a terminal.
func (c *console) paint(color, text string) string {
	if !c.colors {
		return text
	}
	return "\x1b[" + color + "m" + text + "\x1b[0m"
}

// The colours in use.
const (
	red    = "31"
	green  = "32"
	yellow = "33"
	blue   = "34"
	white  = "37"
	dim    = "2"
	bold   = "1"
)
