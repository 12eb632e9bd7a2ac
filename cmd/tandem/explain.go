package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tandem/internal/api"
	"tandem/internal/pair"
	"tandem/internal/replay"
)

func newExplain(c *console) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "explain PAIR [DECISION]",
		Short: "Tell why a decision was taken, on what evidence, and what a person can do",
		Long: `Explain tells the newest decision of a pair, or the one with the given id (see
tandem history): what was seen of each unit and how old that was, which row of
the decision table won, what differs from the pair file, since when and by whom,
what was intended, what was refused and why, and what a person can do. Above the
newest one stands what Tandem may do now: a pause changes that at once, and is no
reason for a new decision while nothing happens.`,
		Example: `  tandem explain edge-weu
  tandem explain edge-weu edge-weu-000000000007-001`,
		Args:              cobra.RangeArgs(1, 2),
		ValidArgsFunction: c.completePairs,
		RunE:              func(cmd *cobra.Command, args []string) error { return c.explain(cmd, args) },
	}
	addServer(cmd)
	addOutput(cmd)
	return cmd
}

func (c *console) explain(cmd *cobra.Command, args []string) error {
	client, err := c.client(cmd)
	if err != nil {
		return err
	}
	entry, err := c.decision(cmd, client, args)
	if err != nil {
		return err
	}
	var d pair.Decided
	if err := json.Unmarshal(entry.Body, &d); err != nil {
		return unreadable(entry, err)
	}
	known := pair.Decide(&d.Input).Record // learned from the input, as everything in a decision is, and not stored a second time
	out := explained{Drift: known.Drift, SetUp: known.SetUp(), Decided: d}
	if len(args) == 1 {
		if out.MayNow, err = mayNow(cmd.Context(), client, args[0]); err != nil {
			return err
		}
	}
	if output(cmd) == "json" {
		return writeJSON(c.out, out)
	}
	rows := decidedRows(&d, append(driftRows(out.Drift), setUpRows(out.SetUp)...))
	if out.MayNow != "" {
		rows = append([][]string{{"may now", out.MayNow}}, rows...)
	}
	return table(c.out, rows)
}

// explained is the JSON form of an explanation.
type explained struct {
	MayNow string `json:"mayNow,omitempty"` // with the newest decision: the stance that holds now
	// Drift is what differed from the pair file, since when and by whom.
	Drift *pair.Drifted `json:"drift,omitempty"`
	// SetUp is what the units said of their HA set-up and the pair file says otherwise.
	SetUp []pair.UnitHADrift `json:"setUp,omitempty"`
	pair.Decided
}

// mayNow says what Tandem may do about a pair by now, whatever it might when it
// decided last.
func mayNow(ctx context.Context, client *api.Client, name string) (string, error) {
	st, err := client.Pair(ctx, name)
	if errors.Is(err, pair.ErrNotFound) {
		return "nothing: the pair is not defined any more", nil
	}
	return cmp.Or(st.Stance, st.Warning), err
}

// decision finds the entry: the one that was named, or the newest decision.
func (c *console) decision(cmd *cobra.Command, client *api.Client, args []string) (pair.Entry, error) {
	if len(args) == 2 {
		e, err := client.Entry(cmd.Context(), args[0], args[1])
		if err == nil && e.Kind != pair.EntryDecided {
			return e, badInput("%s is not a decision but %q; tandem history %s lists them", e.ID, e.Kind, args[0])
		}
		return e, err
	}
	before := ""
	for {
		j, err := client.Journal(cmd.Context(), args[0], 50, before)
		if err != nil {
			return pair.Entry{}, err
		}
		for _, e := range j.Entries {
			if e.Kind == pair.EntryDecided {
				return e, nil
			}
		}
		if before = j.Next; before == "" {
			return pair.Entry{}, &exitError{code: exitFailed, err: errors.New("nothing was decided about pair " + args[0] + " yet; it is looked at every 15 seconds")}
		}
	}
}

// decidedRows tell a decision, what it was made on, and what follows.
func decidedRows(d *pair.Decided, differs [][]string) [][]string {
	rows := [][]string{
		{"decision", d.Decision.ID},
		{"at", since(d.Decision.At)},
		{"row", d.Decision.Row},
		{"because", d.Reason},
		{"seen", d.Decision.Seen.String()},
		{"believed", fmt.Sprintf("%s (before: %s)", d.Decision.Believed, d.Decision.From)},
		{"may", stanceWords(d)},
	}
	for _, r := range pair.Roles {
		rows = append(rows, unitRows(d, r)...)
	}
	for _, b := range d.Input.Observation.Balancers {
		rows = append(rows, []string{b.Name, balancerWords(b) + age(d, b.At)})
	}
	rows = append(rows, differs...)
	rows = append(rows, []string{"facts", factWords(&d.Decision.Facts)})
	if words := refusedWords(&d.Decision.Facts); words != "" {
		rows = append(rows, []string{"refused", words})
	}
	for _, i := range d.Input.Open {
		rows = append(rows, []string{"under way", replay.Words(i) + " (" + i.State.String() + ")"})
	}
	for _, i := range d.Decision.Intents {
		rows = append(rows, []string{"intends", replay.Words(i)})
	}
	if d.Person != "" {
		rows = append(rows, []string{"you can", d.Person})
	}
	return rows
}

// stanceWords say what Tandem might do, and what held it back.
func stanceWords(d *pair.Decided) string {
	f, in := &d.Decision.Facts, &d.Input
	words := f.Stance.String()
	switch {
	case f.Stance == pair.StancePaused && in.Stop.In(in.Observation.At):
		return words + ", with all pairs, by " + in.Stop.Owner + ": " + in.Stop.Reason
	case (f.Stance == pair.StancePaused || f.Stance == pair.StanceMaintenance) && in.Record.Pause != nil:
		return words + " by " + in.Record.Pause.Owner + ": " + in.Record.Pause.Reason
	case f.Stance == pair.StanceBlind:
		return words + ": " + in.Blind.String()
	case f.Stance == pair.StanceRecommend && in.Definition.Mode == pair.Auto && f.Unproved:
		return words + " (mode auto: the lever is not proved)"
	case f.Stance >= pair.StanceObserve && f.Stance.String() != in.Definition.Mode.String():
		return fmt.Sprintf("%s (mode %s, TANDEM_MAX_MODE %s)", words, in.Definition.Mode, in.MaxMode)
	default:
		return words
	}
}

// unitRows tell what was seen of a unit, each source with its age.
func unitRows(d *pair.Decided, r pair.Role) [][]string {
	u, seen, rec := d.Input.Definition.Units.Of(r), d.Input.Observation.Unit(r), &d.Input.Record.Units[r.Index()]
	rows := [][]string{
		{r.String(), u.VM + " " + u.Address.String()},
		{"  check port", seen.Check.Answer.String() + age(d, seen.Check.At)},
		{"  API", apiWords(seen.API) + age(d, seen.API.At)},
	}
	if seen.Power.Power != pair.PowerUnknown {
		rows = append(rows, []string{"  power", seen.Power.Power.String() + age(d, seen.Power.At)})
	}
	if s := seen.Service; s.Answer != pair.ServiceUnknown {
		words := s.Answer.String()
		if s.Answer == pair.ServiceFailed {
			words += ", " + s.Check + " got " + s.Detail
		}
		rows = append(rows, []string{"  checks", words + age(d, s.At)})
	}
	if words := probedWords(d, r); words != "" {
		rows = append(rows, []string{"  load balancer", words})
	}
	platform := rec.Platform
	for _, e := range d.Input.Evidence {
		if e.VM == d.Input.Definition.VMID(r) && e.At.After(platform.At) {
			platform = e
		}
	}
	if platform.Kind != pair.EvidenceUnknown {
		rows = append(rows, []string{"  platform", platformWords(platform) + age(d, platform.At)})
	}
	return rows
}

func apiWords(a pair.APISeen) string {
	if a.Answer != pair.APIAnswered {
		return a.Answer.String()
	}
	return fmt.Sprintf("%s (%s, prefers %s, firmware %s)", a.Answer, a.Report.State, a.Report.Preferred, a.Report.Firmware)
}

// probedWords say how the load balancer sees a unit: by this pass's reading, or
// by the one that is remembered.
func probedWords(d *pair.Decided, r pair.Role) string {
	address := d.Input.Definition.Units.Of(r).Address
	var all []string
	for _, b := range d.Input.Observation.Balancers {
		for _, h := range b.Health {
			if h.Address == address {
				all = append(all, fmt.Sprintf("%s by rule %s of %s%s", healthWords(h), h.Rule, b.Name, age(d, b.At)))
			}
		}
	}
	if p := d.Input.Record.Units[r.Index()].Probed; len(all) == 0 && p != (pair.ProbedSeen{}) {
		return p.Reason + " when it was read last"
	}
	return strings.Join(all, "; ")
}

// healthWords say what the load balancer says of a unit; of a stopped VM it has
// no word.
func healthWords(h pair.HealthSeen) string {
	switch {
	case h.Reason != "":
		return h.Reason
	case h.Up:
		return "up"
	default:
		return "down"
	}
}

func platformWords(e pair.Evidence) string {
	words := e.Kind.String()
	if e.ByPerson {
		words += " by a person"
	}
	if e.Detail != "" {
		words += " (" + e.Detail + ")"
	}
	return words
}

// age says how old a piece of evidence was at the decision.
func age(d *pair.Decided, at time.Time) string {
	if at.IsZero() {
		return ""
	}
	return fmt.Sprintf(", %v old", max(0, d.Decision.At.Sub(at)).Round(100*time.Millisecond))
}

func balancerWords(b pair.BalancerSeen) string {
	var all []string
	for _, p := range b.Pools {
		for _, m := range p.Members {
			all = append(all, fmt.Sprintf("%s/%s admin %s", p.Name, m.Address, m.Admin))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(b.Tags)) {
		all = append(all, fmt.Sprintf("tag %s: %s", name, b.Tags[name]))
	}
	return strings.Join(all, "; ")
}

// factWords tell the closed choices that the table of rows looked at.
func factWords(f *pair.Facts) string {
	words := fmt.Sprintf("%s, stance %s", f.Belief, f.Stance)
	if f.Hold != pair.HoldNone {
		words += fmt.Sprintf(", hold %s on %s, survivor serves: %s, settled: %s, allowed: %s",
			f.Hold, f.Unit, yes(f.SurvivorServes), yes(f.Settled), yes(f.Licence))
	}
	words += ", proof that both serve: " + f.Proof.String()
	if f.Lever != pair.LeverNone {
		words += fmt.Sprintf(", lever %s, permit %s, obstacle %s", f.Lever, f.Permit, f.Obstacle)
	}
	if f.Foreign {
		words += ", an admin state that is not ours stands"
	}
	if f.Approved {
		words += ", approved by a person"
	}
	return words
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// refusedWords say which lever would have fitted and what stood in its way.
func refusedWords(f *pair.Facts) string {
	switch {
	case f.Lever == pair.LeverNone:
		return ""
	case f.Permit == pair.PermitNever:
		return f.Lever.String() + ": mode, policy or a person's word do not allow it"
	case f.Obstacle != pair.ObstacleNone:
		return f.Lever.String() + ", because of: " + f.Obstacle.String()
	case f.Permit == pair.PermitAsk:
		return f.Lever.String() + ": not without a person (tandem approve)"
	default:
		return ""
	}
}
