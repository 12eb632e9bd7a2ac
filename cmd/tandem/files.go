package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

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
	files, _ := cmd.Flags().GetStringArray("file") // added by addFiles
	if len(files) == 0 {
		return nil, badInput("no pair file: give one with -f, for example -f edge-weu.yaml")
	}
	all, err := manifest.Load(c.in, files...)
	if err != nil {
		return all, badInput("%w", err)
	}
	return all, nil
}

func newValidate(c *console) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "validate -f FILE",
		Short: "Check pair files, all mistakes together",
		Example: `  tandem validate -f edge-weu.yaml
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
	Valid    bool               `json:"valid"`
	Pairs    []string           `json:"pairs,omitempty"`
	Mistakes []manifest.Problem `json:"mistakes,omitempty"`
}

func (c *console) validate(cmd *cobra.Command) error {
	ds, err := c.definitions(cmd)
	out := validated{Valid: err == nil}
	for _, d := range ds {
		out.Pairs = append(out.Pairs, d.Name)
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
	for _, d := range ds {
		fmt.Fprintf(c.out, "pair %s is valid\n", d.Name)
	}
	return err
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
	return &cobra.Command{
		Use:     "schema",
		Short:   "Print the JSON Schema of pair files",
		Example: `  tandem schema > pair.schema.json`,
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			b, err := manifest.Schema()
			if err == nil {
				_, err = c.out.Write(b)
			}
			return err
		},
	}
}
