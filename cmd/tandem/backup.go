package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tandem/internal/api"
	"tandem/internal/pair"
)

func newBackups(c *console) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "backups PAIR",
		Short: "List the backups of a pair's units that are kept",
		Long: `Backups lists what is kept of a pair, the newest first, and says how the backups of
each unit stand. What is in a backup is not shown by any command: it holds the
unit's secrets.

Exit code 3 means that the newest attempt failed.`,
		Example: `  tandem backups edge-weu
  tandem backups edge-weu -o json`,
		Args: cobra.ExactArgs(1), ValidArgsFunction: c.completePairs,
		RunE: func(cmd *cobra.Command, args []string) error { return c.backups(cmd, args[0]) },
	}
	addServer(cmd)
	addOutput(cmd)
	return cmd
}

func (c *console) backups(cmd *cobra.Command, name string) error {
	client, err := c.client(cmd)
	if err != nil {
		return err
	}
	list, err := client.Backups(cmd.Context(), name)
	if err != nil {
		return err
	}
	if output(cmd) == "json" {
		err = writeJSON(c.out, list)
	} else {
		err = c.printBackups(list)
	}
	for _, u := range list.Units {
		if err == nil && u.Last != nil && u.Last.Failures > 0 {
			return &exitError{code: exitFound}
		}
	}
	return err
}

func (c *console) printBackups(list api.BackupList) error {
	every := "taken when a person asks"
	if list.Every > 0 {
		every = fmt.Sprintf("taken every %v", time.Duration(list.Every))
	}
	fmt.Fprintf(c.out, "%s, the newest %d of each unit and purpose are kept\n", every, list.Keep)
	for _, u := range list.Units {
		fmt.Fprintln(c.out, c.unitBackup(u))
	}
	if len(list.Backups) == 0 {
		_, err := fmt.Fprintln(c.out, "no backup is kept")
		return err
	}
	fmt.Fprintln(c.out)
	rows := [][]string{{"ID", "UNIT", "TAKEN", "FOR", "SIZE", "FIRMWARE", "SHA-256"}}
	for _, b := range list.Backups {
		rows = append(rows, []string{b.ID, b.Unit.String() + " " + b.VM, since(b.At), b.For.String(), fmt.Sprint(b.Size), b.Firmware, b.SHA256[:min(12, len(b.SHA256))]})
	}
	return table(c.out, rows)
}

// unitBackup says in a line how the backups of a unit stand.
func (c *console) unitBackup(u api.UnitBackups) string {
	words := fmt.Sprintf("%s (%s): ", u.Unit, u.VM)
	switch last := u.Last; {
	case last == nil:
		words += "none was taken"
	case last.Failures > 0:
		words += c.paint(red, fmt.Sprintf("failed %d times, the last time at %s", last.Failures, since(last.TriedAt))) + ": " + last.Why
	default:
		words += "taken at " + since(last.At)
	}
	if u.Due.Unix() > 0 {
		words += "; due again at " + since(u.Due)
	}
	if u.Busy {
		words += "; at work now"
	}
	if r := u.Restored; r != nil {
		words += fmt.Sprintf("; %s of %s restored at %s by %s", pair.PartsText(r.Parts), r.Backup, since(r.At), r.By)
	}
	return words
}

func newBackup(c *console) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "backup PAIR",
		Short: "Take a backup of both units now, or of one",
		Long: `Backup takes a backup of both units, or of one, and keeps it in the container of
TANDEM_BACKUPS. It is taken as soon as the pair is calm: no job runs, no unit boots,
and nothing of ours stands in the load balancer.`,
		Example: `  tandem backup edge-weu
  tandem backup edge-weu --unit second --reason "before the new certificates"`,
		Args: cobra.ExactArgs(1), ValidArgsFunction: c.completePairs,
		RunE: func(cmd *cobra.Command, args []string) error { return c.backup(cmd, args[0]) },
	}
	addUnit(cmd, "unit", "first or second; both where nothing is said")
	addWait(cmd, 5*time.Minute)
	addWord(cmd)
	return cmd
}

func (c *console) backup(cmd *cobra.Command, name string) error {
	unit, err := unitFlag(cmd, "unit")
	if err != nil {
		return err
	}
	client, err := c.client(cmd)
	if err != nil {
		return err
	}
	asked, err := c.say(cmd, api.BackUp, name, func(a *api.Ask) { a.Unit = unit })
	if err != nil {
		return err
	}
	whose := "both units"
	if unit != pair.RoleUnknown {
		whose = unit.String()
	}
	noWait, _ := cmd.Flags().GetBool("no-wait") // added by addWait
	if noWait || asked.DryRun {
		return c.told(cmd, asked, fmt.Sprintf("a backup of %s of pair %s will be taken as soon as the pair is calm, as %s asked", whose, name, asked.By))
	}
	var list api.BackupList
	err = c.wait(cmd, func(ctx context.Context) (bool, string, error) {
		now, err := client.Backups(ctx, name)
		switch {
		case passing(err):
			return false, err.Error(), nil
		case err != nil:
			return false, "", err
		case now.Asked != nil:
			return false, "waits until the pair is calm", nil
		case now.Units[0].Busy || now.Units[1].Busy:
			return false, "is being taken", nil
		}
		list = now
		return true, "", nil
	})
	if err != nil {
		return err
	}
	return c.tookBackup(cmd, client, list, unit, asked.Epoch)
}

// tookBackup says what came of a backup that a person asked for.
func (c *console) tookBackup(cmd *cobra.Command, client *api.Client, list api.BackupList, unit pair.Role, after uint64) error {
	why, err := whyNot(cmd.Context(), client, list.Pair, after)
	if err != nil {
		return err
	}
	if why != "" {
		return &exitError{code: exitFailed, err: errors.New(why)}
	}
	if output(cmd) == "json" {
		return writeJSON(c.out, list)
	}
	for _, u := range list.Units {
		if unit == pair.RoleUnknown || u.Unit == unit {
			fmt.Fprintln(c.out, c.unitBackup(u))
		}
	}
	return nil
}

// whyNot finds in the journal why a backup or a restore that was asked for with an
// epoch came to nothing; empty where it does not say so.
func whyNot(ctx context.Context, client *api.Client, name string, after uint64) (string, error) {
	for e, err := range client.History(ctx, name) {
		if err != nil {
			return "", err
		}
		if !strings.HasPrefix(e.ID, name+"-") {
			continue // about all pairs
		}
		if e.ID <= pair.ID(name, after, 999) {
			break
		}
		var i pair.Intent
		if e.Kind != pair.EntryClosed {
			continue
		}
		if err := json.Unmarshal(e.Body, &i); err != nil {
			return "", unreadable(e, err)
		}
		if (i.Kind == pair.IntentBackup || i.Kind == pair.IntentRestore) && i.State == pair.IntentAbandoned {
			return i.String() + " was given up: " + i.LastErr, nil
		}
	}
	return "", nil
}

func newRestore(c *console) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "restore PAIR --unit UNIT --backup ID",
		Short: "Put parts of a backup on a unit",
		Long: `Restore puts parts of a kept backup on one unit: its services, GEO and SSO settings
where --types does not say otherwise. A backup of the unit as it is comes first, the
file is proved by its hash, and the unit must stand by and run the firmware of the
backup. Base settings (addresses, names, HA mode), another firmware, the partner's
backup and a unit that serves take --force. Base of one unit is never put on the
other one.

A replacement (tandem replace) waits for this. Elsewhere it waits until no job runs.

tandem backups PAIR tells the ids.`,
		Example: `  tandem restore edge-weu --unit second --backup second-20261122T020000.000Z --dry-run
  tandem restore edge-weu --unit second --backup second-20261122T020000.000Z --yes --reason "rebuilt"
  tandem restore edge-weu --unit second --backup second-20261122T020000.000Z --types services,geo`,
		Args: cobra.ExactArgs(1), ValidArgsFunction: c.completePairs,
		RunE: func(cmd *cobra.Command, args []string) error { return c.restore(cmd, args[0]) },
	}
	addUnit(cmd, "unit", "the unit on which it is restored: first or second")
	cmd.Flags().String("backup", "", "the id of the backup, as tandem backups shows it")
	cmd.Flags().StringSlice("types", nil, "parts of the backup: "+strings.Join(pair.PartWords(), ", ")+"; all but base where nothing is said")
	_ = cmd.RegisterFlagCompletionFunc("types", cobra.FixedCompletions(pair.PartWords(), cobra.ShellCompDirectiveNoFileComp)) // the flag was just added
	cmd.Flags().Bool("force", false, "override what speaks against it; needs the role Tandem.Force")
	cmd.Flags().Bool("yes", false, "do not ask")
	addWait(cmd, 10*time.Minute)
	addWord(cmd)
	return cmd
}

func (c *console) restore(cmd *cobra.Command, name string) error {
	client, err := c.client(cmd)
	if err != nil {
		return err
	}
	start, dryRun, err := c.restoreFlags(cmd)
	if err != nil {
		return err
	}
	ctx, key := cmd.Context(), rand.Text()
	plan, err := client.Restore(ctx, name, start, "", true)
	if err != nil {
		return err
	}
	switch {
	case dryRun || plan.Obstacle != "":
		return c.toldRestore(cmd, plan)
	case !c.agreed(cmd, plan):
		return &exitError{code: exitFailed, err: errors.New("not restored: nobody agreed; give --yes, or answer yes")}
	}
	asked, err := client.Restore(ctx, name, start, key, false)
	for n := 1; n < beginTries && (errors.Is(err, pair.ErrUnreachable) || errors.Is(err, pair.ErrUnknownOutcome)); n++ {
		asked, err = client.Restore(ctx, name, start, key, false) // the key keeps it from being asked for twice
	}
	if err != nil {
		return err
	}
	if noWait, _ := cmd.Flags().GetBool("no-wait"); noWait { // added by addWait
		return c.toldRestore(cmd, asked)
	}
	return c.watchRestore(cmd, client, asked, key)
}

func (c *console) restoreFlags(cmd *cobra.Command) (start api.RestoreAsk, dryRun bool, err error) {
	a, dryRun, err := c.ask(cmd)
	if err != nil {
		return start, dryRun, err
	}
	start = api.RestoreAsk{By: a.By, Reason: a.Reason}
	start.Backup, _ = cmd.Flags().GetString("backup") // added by newRestore, like the next two
	start.Types, _ = cmd.Flags().GetStringSlice("types")
	start.Force, _ = cmd.Flags().GetBool("force")
	if start.Unit, err = unitFlag(cmd, "unit"); err == nil && start.Unit == pair.RoleUnknown {
		err = badInput("--unit: expected first or second")
	}
	if _, _, bad := pair.ParseBackupID(start.Backup); err == nil && bad != nil {
		err = badInput("--backup: %w", bad)
	}
	return start, dryRun, err
}

// agreed tells a person what will be done and asks.
func (c *console) agreed(cmd *cobra.Command, plan api.RestoreAsked) bool {
	if yes, _ := cmd.Flags().GetBool("yes"); yes { // added by newRestore
		return true
	}
	if !c.asks || output(cmd) != "text" {
		return false
	}
	fmt.Fprintln(c.out, strings.Join(numbered(plan.Notes), "\n"))
	return c.confirmed("Restore this?")
}

func numbered(notes []string) []string {
	out := make([]string, len(notes))
	for n, note := range notes {
		out[n] = fmt.Sprintf("%d. %s", n+1, note)
	}
	return out
}

// toldRestore prints what would be done, or what was asked for.
func (c *console) toldRestore(cmd *cobra.Command, asked api.RestoreAsked) error {
	if output(cmd) == "json" {
		if err := writeJSON(c.out, asked); err != nil || asked.Obstacle == "" {
			return err
		}
		return &exitError{code: exitFound}
	}
	fmt.Fprintln(c.out, strings.Join(numbered(asked.Notes), "\n"))
	switch {
	case asked.Obstacle != "":
		fmt.Fprintln(c.out, "nothing would be done: "+asked.Obstacle)
		return &exitError{code: exitFound}
	case asked.DryRun:
		fmt.Fprintln(c.out, "backup "+asked.Backup.ID+" would be restored (dry run, nothing was changed)")
	default:
		fmt.Fprintf(c.out, "backup %s will be restored as soon as the pair is calm, as %s asked\n", asked.Backup.ID, asked.By)
	}
	return nil
}

// journalPatience is how many looks a command gives the journal to say why something
// came to nothing.
const journalPatience = 5

// watchRestore waits for what comes of a restore.
func (c *console) watchRestore(cmd *cobra.Command, client *api.Client, asked api.RestoreAsked, key string) error {
	var done *pair.Restored
	why, left := "", journalPatience
	err := c.wait(cmd, func(ctx context.Context) (bool, string, error) {
		now, err := client.Backups(ctx, asked.Pair)
		switch {
		case passing(err):
			return false, err.Error(), nil
		case err != nil:
			return false, "", err
		}
		u := now.Units[asked.Unit.Index()]
		switch {
		case u.Restored != nil && u.Restored.Key == key:
			done = u.Restored
			return true, "", nil
		case now.Restoring != nil && u.Busy:
			return false, "is at work on " + u.VM, nil
		case now.Restoring != nil:
			return false, "waits until the pair is calm", nil
		}
		if why, err = whyNot(ctx, client, asked.Pair, asked.Epoch); err != nil || why != "" {
			return why != "", "", err
		}
		left--
		why = "it waited too long for the pair to be calm"
		return left == 0, "waits for the journal to say what came of it", nil
	})
	switch {
	case err != nil:
		return err
	case done == nil:
		return &exitError{code: exitFailed, err: fmt.Errorf("backup %s was not restored on %s: %s", asked.Backup.ID, asked.Unit, why)}
	case output(cmd) == "json":
		return writeJSON(c.out, done)
	}
	_, err = fmt.Fprintf(c.out, "%s of backup %s restored on %s at %s; compare, and reboot it where values do not show\n",
		pair.PartsText(done.Parts), done.Backup, asked.Unit, since(done.At))
	return err
}
