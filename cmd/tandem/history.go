package main

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"tandem/internal/api"
	"tandem/internal/pair"
)

func newHistory(c *console) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "history PAIR",
		Short: "Show what was decided and done, newest first",
		Long: `History shows what was decided and done about a pair, and what persons said about
it or about all pairs, newest first. --limit counts the pair's own entries.`,
		Example: `  tandem history edge-weu
  tandem history edge-weu --limit 100 -o json
  tandem history edge-weu --all -o json > edge-weu.json`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: c.completePairs,
		RunE:              func(cmd *cobra.Command, args []string) error { return c.history(cmd, args[0]) },
	}
	cmd.Flags().Int("limit", 20, "how many entries of the pair, 1 to 200")
	cmd.Flags().String("before", "", "continue with entries older than this id")
	cmd.Flags().Bool("all", false, "all entries, as tandem replay takes them")
	addServer(cmd)
	addOutput(cmd)
	return cmd
}

func (c *console) history(cmd *cobra.Command, name string) error {
	client, err := c.client(cmd)
	if err != nil {
		return err
	}
	journal, err := pages(cmd, client, name)
	if err != nil {
		return err
	}
	if output(cmd) == "json" {
		return writeJSON(c.out, journal)
	}
	rows := [][]string{{"TIME", "ID", "WHAT", "WHY"}}
	for _, e := range journal.Entries {
		what, why, err := summary(e)
		if err != nil {
			return err
		}
		rows = append(rows, []string{since(e.At), e.ID, what, why})
	}
	if err := table(c.out, rows); err != nil {
		return err
	}
	if journal.Next != "" {
		fmt.Fprintf(c.out, "older: tandem history %s --before %s\n", name, journal.Next)
	}
	return nil
}

// pages reads the page that the flags ask for, or all of them.
func pages(cmd *cobra.Command, client *api.Client, name string) (api.Journal, error) {
	limit, _ := cmd.Flags().GetInt("limit") // added above, like the next two
	before, _ := cmd.Flags().GetString("before")
	if all, _ := cmd.Flags().GetBool("all"); !all {
		return client.Journal(cmd.Context(), name, limit, before)
	}
	if cmd.Flags().Changed("limit") || before != "" {
		return api.Journal{}, badInput("--all has no --limit and no --before")
	}
	journal := api.Journal{V: api.Version, Entries: []pair.Entry{}}
	for e, err := range client.History(cmd.Context(), name) {
		if err != nil {
			return journal, err
		}
		journal.Entries = append(journal.Entries, e)
	}
	return journal, nil
}

// summary tells an entry in two cells.
func summary(e pair.Entry) (what, why string, err error) {
	switch e.Kind {
	case pair.EntryDecided:
		var d pair.Decided
		if err := json.Unmarshal(e.Body, &d); err != nil {
			return "", "", unreadable(e, err)
		}
		return d.Decision.Row, d.Reason, nil
	case pair.EntryClosed:
		var i pair.Intent
		if err := json.Unmarshal(e.Body, &i); err != nil {
			return "", "", unreadable(e, err)
		}
		what, why = closedWords(i)
		return what, why, nil
	case pair.EntryApplied:
		var d pair.Definition
		if err := json.Unmarshal(e.Body, &d); err != nil {
			return "", "", unreadable(e, err)
		}
		return e.Kind, fmt.Sprintf("a person defined the pair: mode %s, fence %s", d.Mode, d.Failover.Fence), nil
	case pair.EntryAsked:
		var a pair.Asked
		if err := json.Unmarshal(e.Body, &a); err != nil {
			return "", "", unreadable(e, err)
		}
		return askedWhat(a), askedWords(a), nil
	default:
		return e.Kind, "", nil // of a newer release
	}
}

// closedWords tell an intent that ended.
func closedWords(i pair.Intent) (what, why string) {
	what = fmt.Sprintf("%s %s: ", i.Kind, i.State)
	switch {
	case i.Pool != "":
		what += fmt.Sprintf("%s in %s/%s", i.Unit, i.LoadBalancer, i.Pool)
	case i.Resource != "":
		what += i.Resource.Title()
	case i.LoadBalancer != "":
		what += i.LoadBalancer
	default:
		what += i.Unit.String()
	}
	switch {
	case i.LastErr != "":
		return what, i.LastErr
	case i.Pool != "":
		return what, "seen " + i.Want.String()
	case i.Kind == pair.IntentTag && i.Tag == "":
		return what, "no tag of ours"
	case i.Kind == pair.IntentTag:
		return what, i.Tag
	case i.Kind == pair.IntentPrefer:
		return what, "seen " + i.Prefer.String()
	default:
		return what, ""
	}
}

// askedWhat names a word as it is typed.
func askedWhat(a pair.Asked) string {
	if a.Job != "" && slices.Contains(jobWords, a.Word) {
		return "jobs " + a.Word
	}
	switch api.Word(a.Word) {
	case api.Stop:
		return "pause --all"
	case api.Go:
		return "resume --all"
	default:
		return a.Word
	}
}

// askedWords tell a person's word.
func askedWords(a pair.Asked) string {
	words := a.By + " asked"
	if a.Unit != pair.RoleUnknown {
		words += " for " + a.Unit.String()
	}
	if a.Plan != "" {
		words += " for plan " + a.Plan
	}
	if a.Job != "" {
		words += " for job " + a.Job
	}
	if a.Backup != "" {
		words += ", " + a.Parts + " of " + a.Backup
	}
	if a.Force {
		words += " by force"
	}
	if !a.Until.IsZero() {
		words += " until " + since(a.Until)
	}
	if a.Reason != "" {
		words += ": " + a.Reason
	}
	return words
}
