package main

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"tandem/internal/api"
	"tandem/internal/pair"
	"tandem/internal/replay"
)

func newStatus(c *console) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "status [PAIR]",
		Short: "Show what is believed of one pair or of all",
		Long: `Status shows what Tandem believes of its pairs. Exit code 3 means that at least
one of them is not healthy, or something waits for a person or stands in its load
balancer.`,
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
		err = c.printStatus(pairs, len(args) == 1)
	}
	if err == nil && unwell(pairs) {
		return &exitError{code: exitFound}
	}
	return err
}

func unwell(pairs []api.Status) bool {
	for _, p := range pairs {
		if p.Situation != pair.Healthy || len(p.Holds) > 0 || p.Plan != nil || p.Drift != nil || len(p.SetUp) > 0 || p.Alarm != nil || p.Block != nil || p.Warning != "" {
			return true
		}
	}
	return false
}

// printStatus prints a line for each pair, and all that is known of one that was
// asked for.
func (c *console) printStatus(pairs []api.Status, details bool) error {
	rows := [][]string{{"PAIR", "MODE", "SITUATION", "SINCE", "ACTIVE", "NOTE"}}
	for _, p := range pairs {
		rows = append(rows, []string{
			p.Name, p.Mode.String(), c.paint(situationColor(p.Situation), p.Situation.String()), since(p.Since), p.Active.String(), note(p),
		})
	}
	if err := table(c.out, rows); err != nil || !details {
		return err
	}
	more := detailRows(pairs[0])
	if len(more) > 0 {
		fmt.Fprintln(c.out)
	}
	return table(c.out, more)
}

// detailRows tell what stands, what is under way, and what waits for whom.
func detailRows(p api.Status) [][]string {
	var rows [][]string
	add := func(name, format string, args ...any) {
		rows = append(rows, []string{name, fmt.Sprintf(format, args...)})
	}
	if p.Stance != "" {
		add("stance", "%s", p.Stance)
	}
	if a := p.Alarm; a != nil {
		add("alarm", "%s since %s: %s", a.Level, since(a.Since), a.Row)
	}
	if b := p.Block; b != nil {
		add("blocked", "since %s: %s; tandem ack %s when the cause is found", since(b.Since), b.Reason, p.Name)
	}
	if p.Plan != nil {
		rows = append(rows, planRows(p.Plan)...)
	}
	rows = append(rows, driftRows(p.Drift)...)
	rows = append(rows, setUpRows(p.SetUp)...)
	if w := p.Wish; w != nil {
		add("to write", "plan %s, asked by %s at %s", w.Plan, w.By, since(w.At))
	}
	if p.Job.Running() {
		add("job", "%s since %s; tandem jobs %s tells more", runningJob(p.Job), since(p.Job.At), p.Name)
	}
	for _, h := range p.Holds {
		add("held", "%s, set by %s since %s", holdWords(h), h.Owner, since(h.Since))
	}
	for _, i := range p.Open {
		add("under way", "%s (%s)%s", replay.Words(i), i.State, trouble(i))
	}
	if p.Foreign {
		add("foreign", "an admin state that is not ours stands on a unit")
	}
	if r := p.Prove; r != nil {
		add("to prove", "asked by %s at %s", r.By, since(r.At))
	}
	for _, f := range p.Proofs {
		switch {
		case f.Proved:
			add("lever", "proved on %s/%s at %s, asked by %s", f.LoadBalancer, f.Pool, since(f.At), f.By)
		default:
			add("lever", "not proved on %s/%s", f.LoadBalancer, f.Pool)
		}
	}
	return rows
}

// driftRows tell what differs from the pair file, since when, by whom where an
// event told that, and what keeps it from being repaired.
func driftRows(d *pair.Drifted) [][]string {
	if d == nil {
		return nil
	}
	var rows [][]string
	for _, words := range d.Differences() {
		rows = append(rows, []string{"differs", words})
	}
	rows = append(rows,
		[]string{"  since", since(d.Since)},
		[]string{"  changed by", cmp.Or(d.By, "nobody knows: no event has told")})
	if d.Hash != "" {
		rows = append(rows, []string{"  plan", d.Hash + "; tandem plan shows it field by field"})
	}
	if d.Dispute != "" {
		rows = append(rows, []string{"  disputed", d.Dispute})
	}
	if d.LastErr != "" {
		rows = append(rows, []string{"  repair failed", d.LastErr + "; the next one not before " + since(d.NotBefore)})
	}
	return rows
}

// setUpRows tell how the units are set up otherwise than the pair file says, and since
// when.
func setUpRows(all []pair.UnitHADrift) [][]string {
	var rows [][]string
	for _, h := range all {
		rows = append(rows,
			[]string{"differs", "HA set-up of " + h.Unit.String() + ": " + h.Differences()},
			[]string{"  since", since(h.Since)},
			[]string{"  changed by", "nobody knows: units do not tell"})
		if h.Dispute != "" {
			rows = append(rows, []string{"  disputed", h.Dispute})
		}
	}
	return rows
}

// trouble says what stands in the way of an intent.
func trouble(i pair.Intent) string {
	if i.LastErr == "" {
		return ""
	}
	return fmt.Sprintf(", %d attempts: %s", i.Attempts, i.LastErr)
}

func holdWords(h pair.AdminHold) string {
	return fmt.Sprintf("%s held %s in %s until %s", h.Unit, h.State, h.LoadBalancer, since(h.Deadline))
}

func situationColor(s pair.Situation) string {
	switch s {
	case pair.Healthy:
		return green
	case pair.BothActive, pair.NoneActive, pair.LinkCut, pair.Lying, pair.ApplicationDown:
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
	case p.Retire != nil:
		return fmt.Sprintf("is being removed, as %s asked", p.Retire.By)
	case p.Stop != nil:
		return fmt.Sprintf("all pairs paused by %s%s: %s", p.Stop.Owner, until(p.Stop), p.Stop.Reason)
	case p.Pause != nil && p.Pause.Unit != pair.RoleUnknown:
		return fmt.Sprintf("maintenance of %s by %s%s: %s", p.Pause.Unit, p.Pause.Owner, until(p.Pause), p.Pause.Reason)
	case p.Pause != nil:
		return fmt.Sprintf("paused by %s%s: %s", p.Pause.Owner, until(p.Pause), p.Pause.Reason)
	case p.Job.Running():
		return runningJob(p.Job)
	case len(p.Holds) > 0:
		return holdWords(p.Holds[0])
	case p.Block != nil:
		return fmt.Sprintf("blocked: %s; tandem ack %s", p.Block.Reason, p.Name)
	case p.Plan != nil && p.Plan.Approved != nil:
		return fmt.Sprintf("plan %s: %s, approved by %s", p.Plan.Hash, p.Plan.Row, p.Plan.Approved.By)
	case p.Plan != nil:
		return fmt.Sprintf("plan %s: %s", p.Plan.Hash, p.Plan.Row)
	case p.Suspicion != nil:
		return fmt.Sprintf("%s seen %d times", p.Suspicion.Situation, p.Suspicion.Count)
	case p.Alarm != nil && p.Situation == pair.Healthy: // else the situation says it
		return fmt.Sprintf("%s: %s", p.Alarm.Level, p.Alarm.Row)
	case p.Mode == pair.Auto && !proved(p):
		return "acts as recommend: the lever is not proved"
	default:
		return ""
	}
}

func until(p *pair.Pause) string {
	if p.Until.IsZero() {
		return ""
	}
	return " until " + since(p.Until)
}

func proved(p api.Status) bool {
	return !slices.ContainsFunc(p.Proofs, func(f api.Proof) bool { return !f.Proved })
}
