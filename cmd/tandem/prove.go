package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tandem/internal/api"
	"tandem/internal/pair"
)

func newProve(c *console) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "prove PAIR",
		Short: "Prove on the pair's own load balancer that admin states work, as mode auto needs",
		Long: `Prove tries the lever before it is needed, on every pool of the pair: a write with
a wrong ETag must be refused, and Down on the standby, which serves nobody, must
show in the load balancer's own view and go back. Until it has passed, a pair in
mode auto acts as in recommend.

It is made when the pair is healthy and no admin state stands on its units, and
takes a minute or two. Exit code 1 means that it was refused or did not pass.`,
		Example: `  tandem prove edge-weu
  tandem prove edge-weu --no-wait --by ada`,
		Args: cobra.ExactArgs(1), ValidArgsFunction: c.completePairs,
		RunE: func(cmd *cobra.Command, args []string) error { return c.prove(cmd, args[0]) },
	}
	addWait(cmd, 10*time.Minute)
	addWord(cmd)
	return cmd
}

// provedForm is the JSON form of what came of a proof.
type provedForm struct {
	api.Asked
	Passed bool        `json:"passed"`
	Proofs []api.Proof `json:"proofs"`
	Why    string      `json:"why,omitempty"` // it did not pass
}

func (c *console) prove(cmd *cobra.Command, name string) error {
	client, err := c.client(cmd)
	if err != nil {
		return err
	}
	before, err := client.Pair(cmd.Context(), name)
	if err != nil {
		return err
	}
	asked, err := c.say(cmd, api.Prove, name, nil)
	if err != nil {
		return err
	}
	noWait, _ := cmd.Flags().GetBool("no-wait") // added by addWait
	if noWait || asked.DryRun {
		return c.told(cmd, asked, fmt.Sprintf("the lever of pair %s will be proved as soon as the pair is healthy, as %s asked", name, asked.By))
	}
	out := provedForm{Asked: asked}
	err = c.wait(cmd, func(ctx context.Context) (bool, string, error) {
		st, err := client.Pair(ctx, name)
		if passing(err) {
			return false, err.Error(), nil
		}
		if doing := proving(st); err != nil || doing != "" {
			return false, doing, err
		}
		out.Proofs = st.Proofs
		if out.Passed = allProved(before.Proofs, st.Proofs); out.Passed {
			return true, "", nil
		}
		out.Why, err = notProved(ctx, client, name, asked)
		return err == nil && out.Why != "", "waits for the journal to say why it did not pass", err
	})
	if err != nil {
		return err
	}
	return c.proved(cmd, out)
}

func (c *console) proved(cmd *cobra.Command, out provedForm) error {
	if output(cmd) == "json" {
		if err := writeJSON(c.out, out); err != nil || out.Passed {
			return err
		}
		return &exitError{code: exitFailed}
	}
	if !out.Passed {
		return &exitError{code: exitFailed, err: fmt.Errorf("the lever of pair %s is not proved: %s", out.Pair, out.Why)}
	}
	for _, p := range out.Proofs {
		fmt.Fprintf(c.out, "proved on %s/%s at %s\n", p.LoadBalancer, p.Pool, since(p.At))
	}
	_, err := fmt.Fprintf(c.out, "the lever of pair %s is proved\n", out.Pair)
	return err
}

// proving says what the proof waits for, empty when it is over.
func proving(st api.Status) string {
	if st.Prove != nil {
		return fmt.Sprintf("waits for a look at the pair, which is %s (stance %s)", st.Situation, st.Stance)
	}
	for _, h := range st.Holds {
		if h.Lever == pair.LeverProve {
			return fmt.Sprintf("%s is held Down in %s/%s until the load balancer shows it, and then set back", h.Unit, h.LoadBalancer, h.Pool)
		}
	}
	for _, i := range st.Open {
		if i.Kind == pair.IntentProve {
			return fmt.Sprintf("the proof in %s/%s is %s", i.LoadBalancer, i.Pool, i.State)
		}
	}
	return ""
}

// allProved reports whether every pool is proved by another proof than before.
func allProved(before, now []api.Proof) bool {
	if len(now) == 0 {
		return false
	}
	for _, p := range now {
		if !p.Proved || slices.Contains(before, p) {
			return false
		}
	}
	return true
}

// notProved finds in the journal why a proof that was asked for did not pass. It
// is empty while the journal does not say; what has just happened may still be
// on its way there.
func notProved(ctx context.Context, client *api.Client, name string, asked api.Asked) (string, error) {
	last := ""
	for e, err := range client.History(ctx, name) {
		if err != nil {
			return "", err
		}
		if !strings.HasPrefix(e.ID, name+"-") {
			continue // about all pairs
		}
		if e.ID <= pair.ID(name, asked.Epoch, 999) {
			break
		}
		why, end, err := proofWords(e)
		if err != nil {
			return "", err
		}
		if end {
			return why, nil
		}
		if last == "" {
			last = why
		}
	}
	return last, nil
}

// proofWords says what an entry tells about a proof that did not pass, and
// whether it is the end of it.
func proofWords(e pair.Entry) (why string, end bool, err error) {
	switch e.Kind {
	case pair.EntryDecided:
		var d pair.Decided
		if err := json.Unmarshal(e.Body, &d); err != nil {
			return "", false, unreadable(e, err)
		}
		return d.Reason, d.Decision.Row == "prove-refused", nil
	case pair.EntryClosed:
		var i pair.Intent
		if err := json.Unmarshal(e.Body, &i); err != nil {
			return "", false, unreadable(e, err)
		}
		if i.Kind == pair.IntentProve && i.State == pair.IntentAbandoned {
			return i.LastErr, true, nil
		}
	}
	return "", false, nil
}

func unreadable(e pair.Entry, err error) error {
	if errors.Is(err, pair.ErrTooNew) {
		return fmt.Errorf("read journal entry %s: %w", e.ID, err)
	}
	return fmt.Errorf("read journal entry %s: %w: %w", e.ID, pair.ErrUnreadable, err)
}
